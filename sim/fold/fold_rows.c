/* fold_rows.c - the plans of the classes, over resources instead of links.
 *
 * The move of a class of n groups (or senders), whose pattern crosses the links of class L with coefficients that add
 * up to A, loads each of the |L| resources' links with n A / |L|: one transfer stands for n. Where a plan has no order
 * among its moves, those of one pattern class with equal bytes and latency have one rate at all times, and become one
 * move with the sum of their rows.
 * A job that is not folded takes the plans and patterns of the lowering as they are.
 * Cost: O(shares and moves of the classes' first members). */
#include "fold/folding.h"

#include <string.h>

typedef struct folder {
    fs_folding *f;
    fs_pattern_table *patterns;
    uint32_t *begin, *owners; /* as in the job, as are: */
    const fs_plan **plans;
    double *sum;              /* (n_links of the job) scratch, zero between rows */
    FS_VEC(uint32_t) crossed; /* where it is not */
    FS_VEC(fs_share) row;
    FS_VEC(fs_move) moves;
    FS_VEC(uint32_t) classes; /* of the moves' patterns */
    FS_VEC(uint32_t) times;   /* how many of the plan's moves each stands for */
    uint32_t *last;           /* (pattern classes) the last move of that class, where classes[] agrees */
} folder;

/* The row of `times` transfers with this pattern. */
static fs_status fold_pattern(folder *r, uint32_t pattern, double times, uint32_t *id, fs_err *err)
{
    const fs_folding *f = r->f;
    uint32_t count;
    const fs_share *row = fs_pattern_row(f->patterns, pattern, &count);
    r->crossed.count = r->row.count = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t l = f->classes.link[row[i].resource];
        if (r->sum[l] == 0 && !FS_PUSH(&r->crossed, l))
            return fs_fail_nomem(err);
        r->sum[l] += row[i].coefficient;
    }
    for (uint32_t i = 0; i < r->crossed.count; i++) {
        uint32_t l = r->crossed.data[i];
        fs_share share = {.resource = l, .coefficient = times * r->sum[l] / f->job->link_count[l]};
        r->sum[l] = 0;
        if (!FS_PUSH(&r->row, share))
            return fs_fail_nomem(err);
    }
    return fs_pattern_add(r->patterns, r->row.data, r->row.count, id, err);
}

/* ---- one plan ---------------------------------------------------------------------------------------------------- */

/* The move that another joins, or FS_NONE. Of one class only the last is looked at: moves that are alike follow each
 * other. */
static uint32_t find_alike(const folder *r, const fs_move *move, uint32_t class_)
{
    uint32_t i = r->last[class_];
    if (i >= r->moves.count || r->classes.data[i] != class_)
        return FS_NONE;
    return r->moves.data[i].bytes == move->bytes && r->moves.data[i].latency_s == move->latency_s ? i : FS_NONE;
}

static fs_status collect_moves(folder *r, const fs_plan *plan, bool ordered, fs_err *err)
{
    r->moves.count = r->classes.count = r->times.count = 0;
    for (uint32_t i = 0; i < plan->n_moves; i++) {
        const fs_move *move = &plan->moves[i];
        uint32_t class_ = r->f->classes.pattern[move->pattern];
        uint32_t alike = ordered ? FS_NONE : find_alike(r, move, class_);
        if (alike != FS_NONE) {
            r->times.data[alike]++;
            continue;
        }
        r->last[class_] = r->moves.count;
        if (!FS_PUSH(&r->moves, *move) || !FS_PUSH(&r->classes, class_) || !FS_PUSH(&r->times, 1))
            return fs_fail_nomem(err);
    }
    return FS_OK;
}

/* What the moves of an ordered plan are in each epoch. */
static fs_status fold_epochs(folder *r, const fs_plan *plan, double owners, fs_plan *made, fs_err *err)
{
    uint32_t n_epochs = r->f->topo->n_epochs;
    const uint32_t **patterns_at = fs_arena_alloc(r->f->arena, n_epochs, sizeof *patterns_at);
    if (!patterns_at)
        return fs_fail_nomem(err);
    for (uint32_t e = 0; e < n_epochs; e++) {
        if (!plan->patterns_at[e])
            continue;
        uint32_t *own = fs_arena_alloc(r->f->arena, plan->n_moves, sizeof *own);
        if (!own)
            return fs_fail_nomem(err);
        for (uint32_t i = 0; i < plan->n_moves; i++) {
            fs_status status = fold_pattern(r, plan->patterns_at[e][i], owners, &own[i], err);
            if (status != FS_OK)
                return status;
        }
        patterns_at[e] = own;
    }
    made->patterns_at = patterns_at;
    return FS_OK;
}

static fs_status fold_plan(folder *r, const fs_plan *plan, uint32_t owners, const fs_plan **out, fs_err *err)
{
    fs_folding *f = r->f;
    fs_status status = collect_moves(r, plan, fs_fold_is_ordered(plan), err);
    if (status != FS_OK)
        return status;
    uint32_t n = r->moves.count;
    fs_plan *made = fs_arena_alloc(f->arena, 1, sizeof *made);
    fs_move *moves = fs_arena_alloc(f->arena, n, sizeof *moves);
    if (!made || !moves)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < n; i++) {
        moves[i] = r->moves.data[i];
        status = fold_pattern(r, moves[i].pattern, (double)owners * r->times.data[i], &moves[i].pattern, err);
        if (status != FS_OK)
            return status;
    }
    *made = *plan; /* without an order, as many zeros as are needed begin its lists */
    made->n_moves = n;
    made->moves = moves;
    if (plan->patterns_at && fold_epochs(r, plan, owners, made, err) != FS_OK)
        return err->status;
    *out = made;
    f->job->n_transfer_classes += n;
    return FS_OK;
}

/* ---- all plans --------------------------------------------------------------------------------------------------- */

/* Plans of a signature: one a meeting of its family, or an actor of its program. */
static fs_status lay_out(folder *r, fs_err *err)
{
    const fs_folding *f = r->f;
    const fs_job *job = f->job;
    uint32_t *actors = fs_arena_alloc(f->own, f->work->n_programs, sizeof *actors);
    r->begin = fs_arena_alloc(f->arena, (size_t)job->n_signatures + 1, sizeof *r->begin);
    if (!actors || !r->begin)
        return fs_fail_nomem(err);
    for (uint32_t a = 0; a < job->n_actors; a++)
        actors[job->actor_program[a]]++;
    for (uint32_t s = 0; s < job->n_signatures; s++) {
        const fs_signature *signature = &f->signatures[s];
        uint32_t n = signature->program != FS_NONE
                         ? actors[signature->program]
                         : job->family_meetings[signature->family + 1] - job->family_meetings[signature->family];
        r->begin[s + 1] = r->begin[s] + n; /* no more than raw plans */
    }
    r->plans = fs_arena_alloc(f->arena, r->begin[job->n_signatures], sizeof *r->plans);
    r->owners = fs_arena_alloc(f->arena, r->begin[job->n_signatures], sizeof *r->owners);
    return r->plans && r->owners ? FS_OK : fs_fail_nomem(err);
}

/* The plan of a class of owners. */
static fs_status take_plan(folder *r, const fs_plan *raw, uint32_t n_owners, uint32_t at, fs_err *err)
{
    if (!raw)
        return FS_OK;
    r->owners[at] = n_owners;
    r->f->job->reroutes = r->f->job->reroutes || raw->patterns_at;
    if (r->f->classes.pattern)
        return fold_plan(r, raw, n_owners, &r->plans[at], err);
    r->plans[at] = raw;
    r->f->job->n_transfer_classes += raw->n_moves;
    return FS_OK;
}

static fs_status take_plans(folder *r, fs_err *err)
{
    const fs_folding *f = r->f;
    const fs_job *job = f->job;
    fs_status status = FS_OK;
    for (uint32_t family = 0; family < f->work->n_families; family++) {
        uint32_t first = job->family_meetings[family];
        for (uint32_t m = first; m < job->family_meetings[family + 1]; m++) {
            for (uint32_t i = f->of_family_begin[family]; i < f->of_family_begin[family + 1]; i++) {
                uint32_t s = f->of_family[i];
                const fs_plan *raw = f->raw[f->raw_begin[s] + job->meeting_group[m]];
                status = take_plan(r, raw, job->meeting_count[m], r->begin[s] + m - first, err);
                if (status != FS_OK)
                    return status;
            }
        }
    }
    for (uint32_t a = 0; a < job->n_actors; a++) {
        fs_owner sends = fs_fold_sender(f, job->actor_rank[a]);
        for (uint32_t i = 0; i < sends.n; i++) {
            uint32_t s = sends.signatures[i];
            const fs_plan *raw = f->raw[f->raw_begin[s] + sends.place];
            status = take_plan(r, raw, job->actor_count[a], r->begin[s] + job->actor_index[a], err);
            if (status != FS_OK)
                return status;
        }
    }
    return FS_OK;
}

static fs_status add_pools(folder *r, fs_err *err)
{
    fs_job *job = r->f->job;
    uint32_t *sm_pattern = fs_arena_alloc(r->f->arena, job->n_actors, sizeof *sm_pattern);
    if (!sm_pattern)
        return fs_fail_nomem(err);
    for (uint32_t a = 0; a < job->n_actors; a++) {
        fs_share pool = {.resource = job->n_links + a, .coefficient = 1};
        fs_status status = fs_pattern_add(r->patterns, &pool, 1, &sm_pattern[a], err);
        if (status != FS_OK)
            return status;
    }
    job->sm_pattern = sm_pattern;
    return FS_OK;
}

fs_status fs_fold_rows(fs_folding *f, fs_err *err)
{
    fs_job *job = f->job;
    folder r = {.f = f, .patterns = f->patterns};
    fs_status status = lay_out(&r, err);
    job->folded = f->classes.pattern != NULL;
    if (status == FS_OK && job->folded) {
        r.patterns = job->own_patterns = fs_pattern_table_new();
        r.sum = fs_zalloc(job->n_links, sizeof *r.sum);
        r.last = fs_zalloc(f->classes.n_patterns, sizeof *r.last);
        status = r.patterns && r.sum && r.last ? FS_OK : fs_fail_nomem(err);
    }
    if (status == FS_OK)
        status = take_plans(&r, err);
    if (status == FS_OK)
        status = add_pools(&r, err);
    job->plan_begin = r.begin;
    job->plans = r.plans;
    job->plan_owners = r.owners;
    job->patterns = r.patterns;
    fs_free(r.sum);
    fs_free(r.crossed.data);
    fs_free(r.row.data);
    fs_free(r.moves.data);
    fs_free(r.classes.data);
    fs_free(r.last);
    fs_free(r.times.data);
    return status;
}
