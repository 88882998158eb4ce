/* pat.c - parallel aggregated trees: all_gather and reduce_scatter in a logarithmic number of steps; see algorithms.h.
 *
 * all_gather: each rank's n-th part goes down a binomial tree, far ranks first: with distances 2^j from the largest below
 * n down to 1, whoever has a part sends it on by each smaller distance. A part thus reaches the rank at offset o by the
 * binary digits of o, and over distance 2^j a rank sends one part for each offset below n whose lowest digit is j,
 *     count(j) = floor((n - 1 - 2^j) / 2^(j+1)) + 1,
 * which sum to n - 1. Far ranks get few parts and near ones many, which is what distinguishes it from Bruck's algorithm
 * (S. Jeaugey, "PAT: a new algorithm for all-gather and reduce-scatter operations at scale", 2025). reduce_scatter is the
 * same backwards. NCCL uses it with one rank a node; by name it runs on any group.
 * Coupled: one transfer, its edges weighted by count. With one rank a node everything that a rank sends or gets passes
 * its own NICs, so of the n log n edges only what is between leaves is walked, once for neighbours that hang on one leaf:
 * O(n) routes and O(leaves log n) of switches. Flows: one transfer per rank and distance, the slow twin. Messages: the
 * same, with a distance after the one before: a rank sends on what it has got. Cost of both: O(n log n) routes. */
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

/* ---- one rank a node, each on its own NICs ------------------------------------------------------------------------ */

/* A NIC, and how it hangs on the network. */
typedef struct lane_end {
    uint32_t nic;
    fs_attachment at;
} lane_end;

/* Lanes: every member has as many near NICs as the others, and its k-th is on one rail with theirs (several where each GPU
 * has a NIC on each of several planes). All that a pair exchanges goes over the lanes in equal parts. */
typedef struct lanes {
    uint32_t n;     /* lanes */
    lane_end *ends; /* (n x members) lane after lane */
} lanes;

/* Lane k of a member; *found = false where its way would be another. */
static fs_status find_lane_end(const fs_algo_run *run, const fs_near_nics *near, uint32_t k, uint32_t rail,
                               lane_end *end, bool *found, fs_err *err)
{
    uint32_t own = near->near[k];
    end->nic = near->base + near->make->nics[own];
    *found = near->make->rails[own] == rail && fs_make_nic_on_rail(near->make, rail) == own;
    return *found ? fs_router_attachment(run->router, end->nic, &end->at, found, err) : FS_OK;
}

/* l->n = 0 where members' traffic does not keep to lanes. */
static fs_status find_lanes(const fs_algo_run *run, lanes *l, fs_err *err)
{
    uint32_t n = run->group.n;
    bool found = run->form->n_domains == n;
    fs_near_nics first;
    fs_status status = fs_find_near(run, run->group.gpus[0], &first, err);
    if (status != FS_OK || !found || first.n == 0 || (first.n > 1 && run->cross_rail))
        return status;
    l->ends = fs_alloc((size_t)n * first.n, sizeof *l->ends);
    if (l->ends == NULL)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < n && found && status == FS_OK; i++) {
        fs_near_nics near;
        status = fs_find_near(run, run->group.gpus[i], &near, err);
        found = status == FS_OK && near.n == first.n;
        for (uint32_t k = 0; k < first.n && found && status == FS_OK; k++) {
            lane_end *end = &l->ends[(size_t)k * n + i];
            status = find_lane_end(run, &near, k, first.make->rails[first.near[k]], end, &found, err);
        }
    }
    l->n = found ? first.n : 0;
    return status;
}

/* Between the leaves of a lane, over one distance. Members that follow each other hang on one leaf and send to another:
 * what is between the two is walked once for all of them. */
static fs_status add_across(const fs_algo_run *run, const lane_end *ends, uint32_t distance, double times,
                            double *slowest_s, bool *found, fs_err *err)
{
    uint32_t n = run->group.n;
    fs_status status = FS_OK;
    for (uint32_t i = 0, end; i < n && *found && status == FS_OK; i = end) {
        const fs_attachment *from = &ends[i].at, *to = &ends[target(run, i, distance)].at;
        double up_s = from->up_s, down_s = to->down_s;
        for (end = i + 1; end < n; end++) {
            const fs_attachment *next = &ends[target(run, end, distance)].at;
            if (ends[end].at.device != from->device || next->device != to->device)
                break;
            up_s = fmax(up_s, ends[end].at.up_s);
            down_s = fmax(down_s, next->down_s);
        }
        fs_way way = {0};
        if (from->device != to->device)
            status = fs_way_try(run, from->device, to->device, 0, times * (end - i), &way, found, err);
        *slowest_s = fmax(*slowest_s, up_s + way.latency_s + down_s);
    }
    return status;
}

/* Between each GPU and the leaf of a lane all n - 1 parts go, both ways; *latency_s: to the NIC and from it. */
static fs_status add_ends(const fs_algo_run *run, const lane_end *ends, double times, double *latency_s, fs_err *err)
{
    double out_s = 0.0, in_s = 0.0;
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < run->group.n && status == FS_OK; i++) {
        fs_way out = {0}, in = {0};
        const fs_share cables[] = {{ends[i].at.link, 1.0}, {ends[i].at.link ^ 1u, 1.0}};
        status = fs_way_leg(run, run->group.gpus[i], ends[i].nic, 0, times, &out, err);
        if (status == FS_OK)
            status = fs_way_leg(run, ends[i].nic, run->group.gpus[i], 0, times, &in, err);
        if (status == FS_OK)
            status = fs_shape_add(run->b, cables, 2, 0, times, err);
        out_s = fmax(out_s, out.latency_s);
        in_s = fmax(in_s, in.latency_s);
    }
    *latency_s = fmax(*latency_s, out_s + in_s);
    return status;
}

/* *found = false, and nothing is added, where it has to be walked edge by edge. */
static fs_status emit_lanes(const fs_algo_run *run, uint32_t steps, bool *found, fs_err *err)
{
    uint32_t n = run->group.n;
    lanes l = {0};
    double latency_s = 0.0, ends_s = 0.0;
    fs_status status = find_lanes(run, &l, err);
    *found = l.n > 0;
    for (uint32_t j = 0; j < steps && status == FS_OK && *found; j++) {
        double slowest_s = 0.0, times = (double)count_of(n, 1u << j) / l.n;
        for (uint32_t k = 0; k < l.n && status == FS_OK && *found; k++)
            status = add_across(run, l.ends + (size_t)k * n, 1u << j, times, &slowest_s, found, err);
        latency_s += slowest_s;
    }
    for (uint32_t k = 0; k < l.n && status == FS_OK && *found; k++)
        status = add_ends(run, l.ends + (size_t)k * n, (double)(n - 1) / l.n, &ends_s, err);
    if (status == FS_OK && *found)
        status = fs_shape_move_end(run->b, 1.0 / n, latency_s + steps * ends_s, err);
    else
        fs_shape_drop(run->b);
    fs_free(l.ends);
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
        status = emit_lanes(run, steps, &done, err);
    else
        status = fs_shape_check_moves(run->kind, FS_ALGO_PAT, n, (double)n * steps, err);
    return status == FS_OK && !done ? emit_edges(run, steps, err) : status;
}
