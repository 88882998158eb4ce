/* pat.c - parallel aggregated trees: all_gather and reduce_scatter in a logarithmic number of steps; see algorithms.h.
 *
 * all_gather: each rank's n-th part goes down a binomial tree, far ranks first: with distances 2^j from the largest below
 * n down to 1, whoever has a part sends it on by each smaller distance. A part thus reaches the rank at offset o by the
 * binary digits of o, and over distance 2^j a rank sends one part for each offset below n whose lowest digit is j,
 *     count(j) = floor((n - 1 - 2^j) / 2^(j+1)) + 1,
 * which sum to n - 1. Far ranks get few parts and near ones many, which is what distinguishes it from Bruck's algorithm
 * (S. Jeaugey, "PAT: a new algorithm for all-gather and reduce-scatter operations at scale", 2025). reduce_scatter is the
 * same backwards. NCCL uses it with one rank a node; by name it runs on any group.
 * Coupled: one transfer, its edges weighted by count. Flows: one transfer per rank and distance. Messages: the same, with
 * a distance after the one before: a rank sends on what it has got. Cost: O(n log n) routes. */
#include "coll/algorithms.h"

#include <math.h>

static uint32_t count_of(uint32_t n, uint32_t distance)
{
    return (n - 1 - distance) / (2 * distance) + 1;
}

/* Whom a rank sends to over a distance. */
static uint32_t target(const fs_algo_run *run, uint32_t rank, uint32_t distance)
{
    uint32_t n = run->group.n;
    return (run->kind == FS_ALL_GATHER ? rank + distance : rank + n - distance) % n;
}

/* The slowest of the steps, each of which has its distance's slowest edge. */
static fs_status emit_step(const fs_algo_run *run, uint32_t distance, double *slowest_s, uint32_t *ids, fs_err *err)
{
    uint32_t n = run->group.n;
    double times = count_of(n, distance), share = 1.0 / n;
    fs_status status = FS_OK;
    *slowest_s = 0.0;
    for (uint32_t i = 0; i < n && status == FS_OK; i++) {
        fs_way way = {0};
        uint32_t to = target(run, i, distance);
        bool weighted = run->b->mode == FS_LOWER_COUPLED;
        status = fs_way_pair(run, i, to, weighted ? times : 1.0, &way, err);
        if (status == FS_OK && run->b->mode == FS_LOWER_FLOWS)
            status = fs_shape_move_end(run->b, share * times, 0.0, err);
        else if (status == FS_OK && !weighted)
            status = fs_shape_message_end(run->b, share * times, way.latency_s, way.worst_class, &ids[i], err);
        *slowest_s = fmax(*slowest_s, way.latency_s);
        if (run->form->domain_of[i] == run->form->domain_of[to] && way.worst_class > run->b->intra_class)
            run->b->intra_class = way.worst_class;
    }
    return status;
}

/* What rank i sends over a distance waits for what it has sent and got over the one before. */
static fs_status order(const fs_algo_run *run, uint32_t before, const uint32_t *last, const uint32_t *ids, fs_err *err)
{
    uint32_t n = run->group.n;
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < n && status == FS_OK; i++) {
        status = fs_shape_after(run->b, ids[i], last[i], err);
        if (status == FS_OK && target(run, i, before) != i)
            status = fs_shape_after(run->b, ids[target(run, i, before)], last[i], err);
    }
    return status;
}

fs_status fs_pat_emit(const fs_algo_run *run, fs_err *err)
{
    uint32_t n = run->group.n, steps = 0, first = run->b->moves.count;
    bool messages = run->b->mode == FS_LOWER_MESSAGES;
    while (1u << steps < n && steps < 31)
        steps++;
    fs_status status = FS_OK;
    if (run->b->mode != FS_LOWER_COUPLED)
        status = fs_shape_check_moves(run->kind, FS_ALGO_PAT, n, (double)n * steps, err);
    uint32_t *ids = status == FS_OK ? fs_alloc(2 * (size_t)n, sizeof *ids) : NULL, *last = ids ? ids + n : NULL;
    if (status == FS_OK && ids == NULL)
        status = fs_fail_nomem(err);
    double latency_s = 0.0;
    for (uint32_t s = 0; s < steps && status == FS_OK; s++) {
        uint32_t j = run->kind == FS_ALL_GATHER ? steps - 1 - s : s;
        double slowest_s;
        status = emit_step(run, 1u << j, &slowest_s, ids, err);
        if (status == FS_OK && messages && s > 0)
            status = order(run, run->kind == FS_ALL_GATHER ? 2u << j : (1u << j) / 2, last, ids, err);
        for (uint32_t i = 0; i < n && messages; i++)
            last[i] = ids[i];
        latency_s += slowest_s;
    }
    if (status == FS_OK)
        status = messages ? fs_shape_move_end(run->b, 0.0, latency_s, err)
                          : fs_shape_edges_end(run->b, first, 1.0 / n, latency_s, err);
    fs_free(ids);
    return status;
}
