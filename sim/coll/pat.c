/* pat.c - parallel aggregated trees: all_gather and reduce_scatter in a logarithmic number of steps; see algorithms.h.
 *
 * all_gather: each rank's n-th part goes down a binomial tree, far ranks first: with distances 2^j from the largest below
 * n down to 1, whoever has a part sends it on by each smaller distance. A part thus reaches the rank at offset o by the
 * binary digits of o, and over distance 2^j a rank sends one part for each offset below n whose lowest digit is j,
 *     count(j) = floor((n - 1 - 2^j) / 2^(j+1)) + 1,
 * which sum to n - 1. Far ranks get few parts and near ones many, which is what distinguishes it from Bruck's algorithm
 * (S. Jeaugey, "PAT: a new algorithm for all-gather and reduce-scatter operations at scale", 2025). reduce_scatter is the
 * same backwards. NCCL uses it with one rank a node; by name it runs on any group.
 * Coupled: one transfer, its edges weighted by count. With one rank a node, all on one rail, everything that a rank
 * sends or gets passes its own NIC, so of the n log n edges only what is between NICs is walked. Flows: one transfer per rank and distance. Messages: the same, with
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

/* ---- one rank a node, on one rail -------------------------------------------------------------------------------- */

/* The only NIC of each member, by position; *lined_up = false where one has several, or they are of different rails. */
static fs_status find_nics(const fs_algo_run *run, uint32_t *nics, bool *lined_up, fs_err *err)
{
    const fs_topo *topo = run->hood->topo;
    *lined_up = run->form->n_domains == run->group.n;
    for (uint32_t i = 0; i < run->group.n && *lined_up; i++) {
        fs_near_nics near;
        fs_status status = fs_find_near(run, run->group.gpus[i], &near, err);
        if (status != FS_OK)
            return status;
        *lined_up = near.n == 1;
        if (*lined_up)
            nics[i] = near.base + near.make->nics[near.near[0]];
        *lined_up = *lined_up && fs_topo_device(topo, nics[i]).rail == fs_topo_device(topo, nics[0]).rail;
    }
    return FS_OK;
}

static fs_status add_nets(const fs_algo_run *run, const uint32_t *nics, uint32_t distance, double *slowest_s,
                          bool *found, fs_err *err)
{
    double times = count_of(run->group.n, distance);
    fs_status status = FS_OK;
    *slowest_s = 0.0;
    for (uint32_t i = 0; i < run->group.n && *found && status == FS_OK; i++) {
        fs_way way = {0};
        status = fs_way_try(run, nics[i], nics[target(run, i, distance)], 0, times, &way, found, err);
        *slowest_s = fmax(*slowest_s, way.latency_s);
    }
    return status;
}

/* Between each GPU and its NIC all n - 1 parts go, both ways. */
static fs_status add_ends(const fs_algo_run *run, const uint32_t *nics, double *latency_s, fs_err *err)
{
    double times = run->group.n - 1, out_s = 0.0, in_s = 0.0;
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < run->group.n && status == FS_OK; i++) {
        fs_way out = {0}, in = {0};
        status = fs_way_leg(run, run->group.gpus[i], nics[i], 0, times, &out, err);
        if (status == FS_OK)
            status = fs_way_leg(run, nics[i], run->group.gpus[i], 0, times, &in, err);
        out_s = fmax(out_s, out.latency_s);
        in_s = fmax(in_s, in.latency_s);
    }
    *latency_s = out_s + in_s;
    return status;
}

/* *found = false, and nothing is added, where it has to be walked edge by edge. */
static fs_status emit_lined_up(const fs_algo_run *run, uint32_t steps, bool *found, fs_err *err)
{
    uint32_t *nics = fs_alloc(run->group.n, sizeof *nics);
    double latency_s = 0.0, ends_s = 0.0;
    fs_status status = nics ? find_nics(run, nics, found, err) : fs_fail_nomem(err);
    for (uint32_t j = 0; j < steps && status == FS_OK && *found; j++) {
        double slowest_s;
        status = add_nets(run, nics, 1u << j, &slowest_s, found, err);
        latency_s += slowest_s;
    }
    if (status == FS_OK && *found)
        status = add_ends(run, nics, &ends_s, err);
    if (status == FS_OK && *found)
        status = fs_shape_move_end(run->b, 1.0 / run->group.n, latency_s + steps * ends_s, err);
    else
        fs_shape_drop(run->b);
    fs_free(nics);
    return status;
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static fs_status emit_edges(const fs_algo_run *run, uint32_t steps, fs_err *err)
{
    uint32_t n = run->group.n, first = run->b->moves.count, *ids = fs_alloc(2 * (size_t)n, sizeof *ids);
    bool messages = run->b->mode == FS_LOWER_MESSAGES;
    if (ids == NULL)
        return fs_fail_nomem(err);
    uint32_t *last = ids + n;
    double latency_s = 0.0;
    fs_status status = FS_OK;
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

fs_status fs_pat_emit(const fs_algo_run *run, fs_err *err)
{
    uint32_t n = run->group.n, steps = 0;
    bool done = false;
    while (steps < 31 && 1u << steps < n)
        steps++;
    fs_status status = FS_OK;
    if (run->b->mode == FS_LOWER_COUPLED)
        status = emit_lined_up(run, steps, &done, err);
    else
        status = fs_shape_check_moves(run->kind, FS_ALGO_PAT, n, (double)n * steps, err);
    return status == FS_OK && !done ? emit_edges(run, steps, err) : status;
}
