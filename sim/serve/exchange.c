/* exchange.c - see exchange.h. Tags: the owner's | run << 24 | move; runs and chains come from pools that only grow. */
#include "serve/exchange.h"

#include "base/mem.h"

#include <string.h>

enum { MOVE_BITS = 24 };

typedef struct run {
    const fs_plan *plan;
    double count;
    uint32_t chain, left, next; /* next: of the free ones */
    uint32_t *waits;            /* (capacity) predecessors of each move that have not ended */
    uint32_t capacity;
} run;

typedef struct chain {
    fs_exchange_step steps[FS_EXCHANGE_STEPS_MAX];
    uint32_t n_steps, at, runs_left, owner, next;
} chain;

struct fs_exchange {
    fs_engine *engine;
    fs_lowering *lowering;
    uint64_t tag;
    FS_VEC(run) runs;
    FS_VEC(chain) chains;
    uint32_t free_run, free_chain;
};

fs_status fs_exchange_new(fs_engine *engine, fs_lowering *lowering, uint64_t tag, fs_exchange **exchange, fs_err *err)
{
    fs_exchange *x = fs_zalloc(1, sizeof *x);
    if (!x)
        return fs_fail_nomem(err);
    x->engine = engine;
    x->lowering = lowering;
    x->tag = tag;
    x->free_run = x->free_chain = FS_NONE;
    *exchange = x;
    return FS_OK;
}

void fs_exchange_free(fs_exchange *x)
{
    if (!x)
        return;
    for (uint32_t i = 0; i < x->runs.count; i++)
        fs_free(x->runs.data[i].waits);
    fs_free(x->runs.data);
    fs_free(x->chains.data);
    fs_free(x);
}

/* What serving engines have beside NCCL: every rank reads all the others' buffers, or parts of them and then the sums. Such
 * plans exist within one domain alone, and where the table of costs has them. */
static fs_status lower_shots(const fs_exchange *x, fs_coll_request request, const fs_plan **plan, fs_err *err)
{
    static const fs_algo algos[] = {FS_ALGO_ONESHOT, FS_ALGO_TWOSHOT};
    for (uint32_t i = 0; i < 2 && request.n > 1; i++) {
        const fs_plan *other = NULL;
        fs_err why = {0};
        request.algo = algos[i];
        fs_status status = fs_lower(x->lowering, &request, &other, &why);
        if (status == FS_E_NOMEM)
            return fs_fail_nomem(err);
        if (status == FS_OK && other->estimate_s < (*plan)->estimate_s)
            *plan = other;
    }
    return FS_OK;
}

static fs_status lower(const fs_exchange *x, const fs_exchange_step *step, uint32_t group, const fs_plan **plan,
                       fs_err *err)
{
    fs_group_ref *g = &step->groups[group];
    const fs_coll_request request = {.kind = step->kind,
                                     .algo = step->algo,
                                     .proto = step->proto,
                                     .gpus = g->gpus,
                                     .n = g->n,
                                     .group = step->kind == FS_SENDRECV ? NULL : &g->number,
                                     .size_bytes = step->size_bytes,
                                     .load = step->load,
                                     .transpose = step->transpose,
                                     .top_k = step->top_k,
                                     .top_domains = step->top_domains,
                                     .apart = step->apart};
    fs_status status = fs_lower(x->lowering, &request, plan, err);
    return status == FS_OK && step->shots ? lower_shots(x, request, plan, err) : status;
}

static fs_status start_move(const fs_exchange *x, uint32_t index, uint32_t move, fs_err *err)
{
    const run *r = &x->runs.data[index];
    const fs_move *m = &r->plan->moves[move];
    uint32_t pattern = r->plan->patterns_at && r->plan->patterns_at[0] ? r->plan->patterns_at[0][move] : m->pattern;
    return fs_engine_transfer(x->engine, pattern, m->bytes * r->count, m->latency_s * r->count,
                              x->tag | (uint64_t)index << MOVE_BITS | move, err);
}

static fs_status take_run(fs_exchange *x, const fs_plan *plan, uint32_t chain_index, double count, uint32_t *index,
                          fs_err *err)
{
    if (x->free_run == FS_NONE) {
        if (!FS_PUSH(&x->runs, (run){0}))
            return fs_fail_nomem(err);
        x->runs.data[x->runs.count - 1].next = FS_NONE;
        x->free_run = x->runs.count - 1;
    }
    run *r = &x->runs.data[x->free_run];
    if (r->capacity < plan->n_moves) {
        uint32_t *waits = fs_realloc(r->waits, plan->n_moves, sizeof *waits);
        if (!waits)
            return fs_fail_nomem(err);
        r->waits = waits;
        r->capacity = plan->n_moves;
    }
    *index = x->free_run;
    x->free_run = r->next;
    r->plan = plan;
    r->count = count;
    r->chain = chain_index;
    r->left = plan->n_moves;
    memcpy(r->waits, plan->n_pred, plan->n_moves * sizeof *r->waits);
    return FS_OK;
}

/* All groups of the chain's step; *moving: did any start? */
static fs_status start_step(fs_exchange *x, uint32_t chain_index, bool *moving, fs_err *err)
{
    const fs_exchange_step step = x->chains.data[chain_index].steps[x->chains.data[chain_index].at];
    for (uint32_t g = 0; g < step.n_groups; g++) {
        const fs_plan *plan = NULL;
        uint32_t index = 0;
        fs_status status = lower(x, &step, g, &plan, err);
        if (status == FS_OK && plan->n_moves == 0)
            continue;
        if (status == FS_OK)
            status = take_run(x, plan, chain_index, step.count, &index, err);
        if (status != FS_OK)
            return status;
        x->chains.data[chain_index].runs_left++;
        *moving = true;
        for (uint32_t m = 0; m < plan->n_moves && status == FS_OK; m++)
            if (plan->n_pred[m] == 0)
                status = start_move(x, index, m, err);
        if (status != FS_OK)
            return status;
    }
    return FS_OK;
}

/* From step `at` on, until one moves; *done where none does any more. */
static fs_status advance(fs_exchange *x, uint32_t chain_index, bool *done, fs_err *err)
{
    bool moving = false;
    while (!moving && x->chains.data[chain_index].at < x->chains.data[chain_index].n_steps) {
        fs_status status = start_step(x, chain_index, &moving, err);
        if (status != FS_OK)
            return status;
        if (!moving)
            x->chains.data[chain_index].at++;
    }
    *done = !moving;
    if (*done) {
        x->chains.data[chain_index].next = x->free_chain;
        x->free_chain = chain_index;
    }
    return FS_OK;
}

fs_status fs_exchange_begin(fs_exchange *x, uint32_t owner, const fs_exchange_step *steps, uint32_t n_steps, bool *done,
                            fs_err *err)
{
    *done = true;
    if (n_steps == 0)
        return FS_OK;
    if (x->free_chain == FS_NONE) {
        if (!FS_PUSH(&x->chains, (chain){0}))
            return fs_fail_nomem(err);
        x->chains.data[x->chains.count - 1].next = FS_NONE;
        x->free_chain = x->chains.count - 1;
    }
    uint32_t index = x->free_chain;
    chain *c = &x->chains.data[index];
    x->free_chain = c->next;
    memcpy(c->steps, steps, n_steps * sizeof *steps);
    c->n_steps = n_steps;
    c->at = c->runs_left = 0;
    c->owner = owner;
    return advance(x, index, done, err);
}

fs_status fs_exchange_event(fs_exchange *x, uint64_t tag, uint32_t *owner, fs_err *err)
{
    uint32_t index = (uint32_t)((tag & ~x->tag) >> MOVE_BITS), move = (uint32_t)tag & ((1u << MOVE_BITS) - 1);
    const fs_plan *plan = x->runs.data[index].plan;
    *owner = FS_NONE;
    for (uint32_t i = plan->succ_begin[move]; i < plan->succ_begin[move + 1]; i++) {
        if (--x->runs.data[index].waits[plan->succ[i]] > 0)
            continue;
        fs_status status = start_move(x, index, plan->succ[i], err);
        if (status != FS_OK)
            return status;
    }
    if (--x->runs.data[index].left > 0)
        return FS_OK;
    uint32_t chain_index = x->runs.data[index].chain;
    x->runs.data[index].next = x->free_run;
    x->free_run = index;
    chain *c = &x->chains.data[chain_index];
    if (--c->runs_left > 0)
        return FS_OK;
    bool done = false;
    uint32_t whose = c->owner;
    c->at++;
    fs_status status = advance(x, chain_index, &done, err);
    if (status == FS_OK && done)
        *owner = whose;
    return status;
}

fs_status fs_exchange_estimate(fs_exchange *x, const fs_exchange_step *steps, uint32_t n_steps, double *seconds,
                               fs_err *err)
{
    double sum = 0;
    for (uint32_t i = 0; i < n_steps; i++) {
        double longest = 0;
        for (uint32_t g = 0; g < steps[i].n_groups; g++) {
            const fs_plan *plan = NULL;
            fs_status status = lower(x, &steps[i], g, &plan, err);
            if (status != FS_OK)
                return status;
            longest = plan->estimate_s > longest ? plan->estimate_s : longest;
        }
        sum += longest * steps[i].count;
    }
    *seconds = sum;
    return FS_OK;
}
