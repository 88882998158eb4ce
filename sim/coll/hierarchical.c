/* hierarchical.c - rings in domains, then across, then in domains again; see algorithms.h.
 *
 * Over d domains of m ranks each, with S the size:
 *   all_reduce      reduce_scatter in the domains, m all_reduces of S/m across (one for each place in a domain, on its
 *                   own NICs), all_gather in the domains
 *   all_gather      across first, S/m each, then in the domains
 *   reduce_scatter  in the domains first, then across, S/m each
 * (M. Cho, U. Finkler, D. Kung, H. Hunter, "BlueConnect", SysML 2019.) A ring in a domain has m edges with (m-1)/m S
 * each, one across d edges with (d-1)/d S/m, twice that to all-reduce. Stages follow each other: a stage begins when all
 * of the one before has ended, so times add up.
 * Coupled: a stage in the domains is one transfer, as domains are alike; one across is one transfer a place. Flows: one
 * transfer an edge. Messages: a chunk per rank that goes round, as in ring.c. A move of no bytes joins two stages. */
#include "coll/algorithms.h"

#include <math.h>

typedef enum stage { INSIDE, ACROSS } stage;

typedef struct hierarchy {
    uint32_t d, m;
    uint32_t *order;      /* (n) walks of all domains */
    uint32_t *now, *last; /* (max(d, m)) scratch: messages of this step and the one before */
    uint32_t gate;        /* the move that all of this stage waits for; FS_NONE: it is the first */
    uint32_t first;       /* move of this stage */
} hierarchy;

/* Position number i of ring number r. */
static uint32_t position(const fs_algo_run *run, const hierarchy *h, stage s, uint32_t r, uint32_t i)
{
    return s == INSIDE ? h->order[r * h->m + i] : run->form->domains[i].members[r];
}

static fs_status add_edge(const fs_algo_run *run, const hierarchy *h, stage s, uint32_t r, uint32_t i, fs_way *way,
                          fs_err *err)
{
    uint32_t n = s == INSIDE ? h->m : h->d;
    fs_status status = fs_way_pair(run, position(run, h, s, r, i), position(run, h, s, r, (i + 1) % n), 1.0, way, err);
    if (status == FS_OK && s == INSIDE && way->worst_class > run->b->intra_class)
        run->b->intra_class = way->worst_class;
    return status;
}

static fs_status ring(const fs_algo_run *run, const hierarchy *h, stage s, uint32_t r, double share, double *slowest_s,
                      fs_err *err)
{
    uint32_t n = s == INSIDE ? h->m : h->d;
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < n && status == FS_OK; i++) {
        fs_way way = {0};
        status = add_edge(run, h, s, r, i, &way, err);
        if (status == FS_OK)
            status = fs_shape_edge_end(run->b, share, err);
        *slowest_s = fmax(*slowest_s, way.latency_s);
    }
    return status;
}

/* Step by step, each edge after itself and after what came in; the first step behind the gate. */
static fs_status ring_messages(const fs_algo_run *run, hierarchy *h, stage s, uint32_t r, uint32_t steps, double share,
                               double *slowest_s, fs_err *err)
{
    uint32_t n = s == INSIDE ? h->m : h->d;
    fs_status status = FS_OK;
    for (uint32_t step = 0; step < steps && status == FS_OK; step++) {
        for (uint32_t i = 0; i < n && status == FS_OK; i++) {
            fs_way way = {0};
            status = add_edge(run, h, s, r, i, &way, err);
            if (status == FS_OK)
                status = fs_shape_message_end(run->b, share, way.latency_s, way.worst_class, &h->now[i], err);
            if (status == FS_OK && step > 0)
                status = fs_shape_after(run->b, h->now[i], h->last[(i + n - 1) % n], err);
            if (status == FS_OK && step > 0)
                status = fs_shape_after(run->b, h->now[i], h->last[i], err);
            if (status == FS_OK && step == 0 && h->gate != FS_NONE)
                status = fs_shape_after(run->b, h->now[i], h->gate, err);
            *slowest_s = fmax(*slowest_s, way.latency_s);
        }
        for (uint32_t i = 0; i < n; i++)
            h->last[i] = h->now[i];
    }
    return status;
}

/* All moves since the stage began wait for its gate, and the next stage waits for them. */
static fs_status close_stage(const fs_algo_run *run, hierarchy *h, bool messages, bool is_last, fs_err *err)
{
    uint32_t end = run->b->moves.count;
    fs_status status = FS_OK;
    for (uint32_t i = h->first; i < end && h->gate != FS_NONE && !messages && status == FS_OK; i++)
        status = fs_shape_after(run->b, i, h->gate, err);
    if (status == FS_OK && !is_last) {
        uint32_t gate;
        status = fs_shape_message_end(run->b, 0.0, 0.0, FS_CLASS_NVLINK, &gate, err);
        for (uint32_t i = h->first; i < end && status == FS_OK; i++)
            status = fs_shape_after(run->b, gate, i, err);
        h->gate = gate;
        run->b->moves.data[gate].steps = FS_NO_STEPS;
    }
    h->first = run->b->moves.count;
    fs_shape_phase_end(run->b);
    return status;
}

/* bytes: of the buffer that goes round each ring. */
static fs_status emit_stage(const fs_algo_run *run, hierarchy *h, stage s, double bytes, uint32_t turns, bool is_last,
                            fs_err *err)
{
    bool messages = run->b->mode == FS_LOWER_MESSAGES;
    uint32_t rings = s == INSIDE ? h->d : h->m, n = s == INSIDE ? h->m : h->d, steps = turns * (n - 1);
    double share = messages ? bytes / n : bytes * steps / n, slowest_s = 0.0;
    fs_status status = FS_OK;
    for (uint32_t r = 0; r < rings && n > 1 && status == FS_OK; r++) {
        uint32_t first = run->b->moves.count;
        status = messages ? ring_messages(run, h, s, r, steps, share, &slowest_s, err)
                          : ring(run, h, s, r, share, &slowest_s, err);
        if (status == FS_OK && !messages && (s == ACROSS || r + 1 == rings))
            status = fs_shape_edges_end(run->b, s == INSIDE ? h->first : first, share, steps * slowest_s, err);
    }
    if (status == FS_OK && messages)
        status = fs_shape_move_end(run->b, 0.0, steps * slowest_s, err);
    for (uint32_t i = h->first; i < run->b->moves.count && !messages; i++) {
        run->b->moves.data[i].class_ = s == INSIDE ? run->b->intra_class : FS_CLASS_NET;
        run->b->moves.data[i].steps = steps;
    }
    return status == FS_OK ? close_stage(run, h, messages, is_last, err) : status;
}

static fs_status check(const fs_algo_run *run, uint32_t m, fs_err *err)
{
    uint32_t d = run->form->n_domains;
    for (uint32_t i = 1; i < d; i++)
        if (run->form->domains[i].n != m)
            return fs_fail(err, FS_E_TRACE,
                           "hierarchical needs as many ranks of the group on each node, and has %u and %u; ring and "
                           "tree do without",
                           m, run->form->domains[i].n);
    double turns = run->kind == FS_ALL_REDUCE ? 2.0 : 1.0, n = run->group.n;
    bool messages = run->b->mode == FS_LOWER_MESSAGES;
    if (run->b->mode == FS_LOWER_COUPLED)
        return FS_OK;
    return fs_shape_check_moves(run->kind, FS_ALGO_HIERARCHICAL, run->group.n, turns * n * (messages ? m + d : 2), err);
}

static fs_status emit_stages(const fs_algo_run *run, hierarchy *h, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < h->d && status == FS_OK; i++)
        status = fs_form_walk(run->hood, run->form, i, run->form->domains[i].members[0], FS_NONE, NULL,
                              h->order + i * h->m, err);
    if (status == FS_OK && run->kind != FS_ALL_GATHER)
        status = emit_stage(run, h, INSIDE, 1.0, 1, false, err);
    if (status == FS_OK)
        status = emit_stage(run, h, ACROSS, 1.0 / h->m, run->kind == FS_ALL_REDUCE ? 2 : 1,
                            run->kind == FS_REDUCE_SCATTER, err);
    if (status == FS_OK && run->kind != FS_REDUCE_SCATTER)
        status = emit_stage(run, h, INSIDE, 1.0, 1, true, err);
    return status;
}

fs_status fs_hierarchical_emit(const fs_algo_run *run, fs_err *err)
{
    hierarchy h = {.d = run->form->n_domains, .m = run->form->domains[0].n, .gate = FS_NONE};
    fs_status status = check(run, h.m, err);
    if (status != FS_OK)
        return status;
    size_t widest = h.d > h.m ? h.d : h.m;
    run->b->channels = h.m;
    h.order = fs_alloc(run->group.n, sizeof *h.order);
    h.now = fs_alloc(widest, sizeof *h.now);
    h.last = fs_alloc(widest, sizeof *h.last);
    status = h.order && h.now && h.last ? emit_stages(run, &h, err) : fs_fail_nomem(err);
    fs_free(h.order);
    fs_free(h.now);
    fs_free(h.last);
    return status;
}
