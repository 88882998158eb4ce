/* ring.c - rings and chains; see algorithms.h.
 *
 * Ring over n ranks, one channel with B bytes: B is cut into n chunks that go round; all_gather and reduce_scatter pass
 * each chunk on n - 1 times, all_reduce 2(n - 1) times (P. Patarasuk, X. Yuan, "Bandwidth optimal all-reduce algorithms
 * for clusters of workstations", JPDC 2009). So each of the n edges carries (n - 1)/n or 2(n - 1)/n of B, and the
 * steps follow each other: coupled latency = steps x the slowest edge's.
 * Chain: broadcast and reduce run along the ring's order from, or to, the root: n - 1 edges carry B each, cut so finely
 * that all move at once; the latency is that of the whole chain. NCCL's "ring" broadcast is this.
 *
 * Messages: step s of edge i waits for what came in (step s - 1 of edge i - 1) and for the edge itself (step s - 1). A
 * chain does the same with FS_CHUNKS chunks. */
#include "coll/algorithms.h"

#include <math.h>

static fs_status begin(const fs_algo_run *run, fs_err *err)
{
    fs_status status = fs_form_find_channels(run->hood, run->form, err);
    run->b->channels = run->form->n_channels;
    return status;
}

/* Add edge i of channel c; the slowest class among the edges that stay in a domain is noted. */
static fs_status add_edge(const fs_algo_run *run, uint32_t c, uint32_t i, fs_way *way, fs_err *err)
{
    const uint32_t *order = run->form->channels[c].order, *domain_of = run->form->domain_of;
    fs_status status = fs_way_edge(run, c, i, way, err);
    if (status == FS_OK && way->worst_class > run->b->intra_class &&
        domain_of[order[i]] == domain_of[order[i + 1 < run->group.n ? i + 1 : 0]])
        run->b->intra_class = way->worst_class;
    return status;
}

static fs_status ring_channel(const fs_algo_run *run, uint32_t c, uint32_t steps, fs_err *err)
{
    uint32_t n = run->group.n, first = run->b->moves.count;
    double share = run->form->channels[c].share * steps / n, slowest = 0.0;
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < n && status == FS_OK; i++) {
        fs_way way;
        status = add_edge(run, c, i, &way, err);
        if (status == FS_OK)
            status = fs_shape_edge_end(run->b, share, err);
        if (status == FS_OK)
            slowest = fmax(slowest, way.latency_s);
    }
    /* Each step waits for the slowest edge. */
    return status == FS_OK ? fs_shape_edges_end(run->b, first, share, steps * slowest, err) : status;
}

static fs_status ring_messages(const fs_algo_run *run, uint32_t c, uint32_t steps, fs_err *err)
{
    uint32_t n = run->group.n, *last = fs_alloc(2 * (size_t)n, sizeof *last);
    if (last == NULL)
        return fs_fail_nomem(err);
    uint32_t *now = last + n;
    double share = run->form->channels[c].share / n, slowest = 0.0;
    fs_status status = FS_OK;
    for (uint32_t s = 0; s < steps && status == FS_OK; s++) {
        for (uint32_t i = 0; i < n && status == FS_OK; i++) {
            fs_way way = {0};
            status = add_edge(run, c, i, &way, err);
            if (status == FS_OK)
                status = fs_shape_message_end(run->b, share, way.latency_s, way.worst_class, &now[i], err);
            if (status == FS_OK && s > 0)
                status = fs_shape_after(run->b, now[i], last[(i + n - 1) % n], err);
            if (status == FS_OK && s > 0)
                status = fs_shape_after(run->b, now[i], last[i], err);
            slowest = fmax(slowest, way.latency_s);
        }
        for (uint32_t i = 0; i < n; i++)
            last[i] = now[i];
    }
    fs_free(last);
    return status == FS_OK ? fs_shape_move_end(run->b, 0.0, steps * slowest, err) : status;
}

fs_status fs_ring_emit(const fs_algo_run *run, fs_err *err)
{
    fs_status status = begin(run, err);
    uint32_t n = run->group.n, steps = run->kind == FS_ALL_REDUCE ? 2 * (n - 1) : n - 1;
    bool messages = run->b->mode == FS_LOWER_MESSAGES;
    if (status == FS_OK && run->b->mode != FS_LOWER_COUPLED)
        status = fs_shape_check_moves(run->kind, FS_ALGO_RING, n, (double)run->b->channels * n * (messages ? steps : 1),
                                      err);
    for (uint32_t c = 0; c < run->form->n_channels && status == FS_OK; c++)
        status = (messages ? ring_messages : ring_channel)(run, c, steps, err);
    return status;
}

/* Index in the channel's order at which the chain starts; it takes n - 1 edges from there. */
static uint32_t chain_start(const fs_algo_run *run, uint32_t c)
{
    uint32_t n = run->group.n, at = 0;
    while (run->form->channels[c].order[at] != run->root)
        at++;
    return run->kind == FS_REDUCE ? (at + 1) % n : at;
}

static fs_status chain_channel(const fs_algo_run *run, uint32_t c, fs_err *err)
{
    uint32_t n = run->group.n, start = chain_start(run, c), first = run->b->moves.count;
    double latency_s = 0.0, share = run->form->channels[c].share;
    fs_status status = FS_OK;
    for (uint32_t i = 0; i + 1 < n && status == FS_OK; i++) {
        fs_way way = {0};
        status = add_edge(run, c, (start + i) % n, &way, err);
        if (status == FS_OK)
            status = fs_shape_edge_end(run->b, share, err);
        latency_s += way.latency_s;
    }
    return status == FS_OK ? fs_shape_edges_end(run->b, first, share, latency_s, err) : status;
}

static fs_status chain_messages(const fs_algo_run *run, uint32_t c, fs_err *err)
{
    uint32_t n = run->group.n, start = chain_start(run, c), *last = fs_alloc(n, sizeof *last);
    if (last == NULL)
        return fs_fail_nomem(err);
    double latency_s = 0.0, share = run->form->channels[c].share / FS_CHUNKS;
    fs_status status = FS_OK;
    for (uint32_t k = 0; k < FS_CHUNKS && status == FS_OK; k++) {
        for (uint32_t i = 0; i + 1 < n && status == FS_OK; i++) {
            uint32_t id = 0;
            fs_way way = {0};
            status = add_edge(run, c, (start + i) % n, &way, err);
            if (status == FS_OK)
                status = fs_shape_message_end(run->b, share, way.latency_s, way.worst_class, &id, err);
            if (status == FS_OK && i > 0)
                status = fs_shape_after(run->b, id, last[i - 1], err);
            if (status == FS_OK && k > 0)
                status = fs_shape_after(run->b, id, last[i], err);
            last[i] = id;
            latency_s += k == 0 ? way.latency_s : 0.0;
        }
    }
    fs_free(last);
    return status == FS_OK ? fs_shape_move_end(run->b, 0.0, latency_s, err) : status;
}

fs_status fs_chain_emit(const fs_algo_run *run, fs_err *err)
{
    fs_status status = begin(run, err);
    bool messages = run->b->mode == FS_LOWER_MESSAGES;
    if (status == FS_OK && run->b->mode != FS_LOWER_COUPLED)
        status = fs_shape_check_moves(run->kind, FS_ALGO_CHAIN, run->group.n,
                                      (double)run->b->channels * (run->group.n - 1) * (messages ? FS_CHUNKS : 1), err);
    for (uint32_t c = 0; c < run->form->n_channels && status == FS_OK; c++)
        status = (messages ? chain_messages : chain_channel)(run, c, err);
    return status;
}
