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

/* The slowest class among the edges that stay in a domain. */
static uint32_t intra_class(const fs_group *group)
{
    uint32_t worst = FS_CLASS_NVLINK;
    for (uint32_t c = 0; c < group->n_channels; c++) {
        const fs_channel *channel = &group->channels[c];
        for (uint32_t i = 0; i < group->n; i++)
            if (group->domain_of[channel->order[i]] == group->domain_of[channel->order[(i + 1) % group->n]] &&
                channel->next[i]->worst_class > worst)
                worst = channel->next[i]->worst_class;
    }
    return worst;
}

static fs_status begin(const fs_algo_run *run, fs_err *err)
{
    fs_status status = fs_group_find_channels(run->hood, run->group, err);
    if (status != FS_OK)
        return status;
    run->b->channels = run->group->n_channels;
    run->b->intra_class = intra_class(run->group);
    return FS_OK;
}

/* Each step waits for the slowest edge. */
static double ring_latency(const fs_channel *channel, uint32_t n, uint32_t steps)
{
    double slowest = 0.0;
    for (uint32_t i = 0; i < n; i++)
        slowest = fmax(slowest, channel->next[i]->latency_s);
    return steps * slowest;
}

static fs_status ring_channel(const fs_algo_run *run, const fs_channel *channel, uint32_t steps, fs_err *err)
{
    uint32_t n = run->group->n;
    double share = channel->share * steps / n, latency = ring_latency(channel, n, steps);
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < n && status == FS_OK; i++)
        status = fs_shape_edge(run->b, channel->next[i], share, latency, err);
    return status == FS_OK ? fs_shape_move_end(run->b, share, latency, err) : status;
}

static fs_status ring_messages(const fs_algo_run *run, const fs_channel *channel, uint32_t steps, fs_err *err)
{
    uint32_t n = run->group->n, *last = fs_alloc(2 * (size_t)n, sizeof *last);
    if (last == NULL)
        return fs_fail_nomem(err);
    uint32_t *now = last + n;
    fs_status status = FS_OK;
    for (uint32_t s = 0; s < steps && status == FS_OK; s++) {
        for (uint32_t i = 0; i < n && status == FS_OK; i++) {
            status = fs_shape_message(run->b, channel->next[i], channel->share / n, &now[i], err);
            if (status == FS_OK && s > 0)
                status = fs_shape_after(run->b, now[i], last[(i + n - 1) % n], err);
            if (status == FS_OK && s > 0)
                status = fs_shape_after(run->b, now[i], last[i], err);
        }
        for (uint32_t i = 0; i < n; i++)
            last[i] = now[i];
    }
    fs_free(last);
    return status == FS_OK ? fs_shape_move_end(run->b, 0.0, ring_latency(channel, n, steps), err) : status;
}

fs_status fs_ring_emit(const fs_algo_run *run, fs_err *err)
{
    fs_status status = begin(run, err);
    uint32_t n = run->group->n, steps = run->kind == FS_ALL_REDUCE ? 2 * (n - 1) : n - 1;
    bool messages = run->b->mode == FS_LOWER_MESSAGES;
    if (status == FS_OK && run->b->mode != FS_LOWER_COUPLED)
        status = fs_shape_check_moves(run->kind, FS_ALGO_RING, n, (double)run->b->channels * n * (messages ? steps : 1),
                                      err);
    for (uint32_t c = 0; c < run->group->n_channels && status == FS_OK; c++)
        status = (messages ? ring_messages : ring_channel)(run, &run->group->channels[c], steps, err);
    return status;
}

/* Index in the channel's order at which the chain starts; it takes n - 1 edges from there. */
static uint32_t chain_start(const fs_algo_run *run, const fs_channel *channel)
{
    uint32_t n = run->group->n, at = 0;
    while (channel->order[at] != run->root)
        at++;
    return run->kind == FS_REDUCE ? (at + 1) % n : at;
}

static double chain_latency(const fs_channel *channel, uint32_t n, uint32_t start)
{
    double latency = 0.0;
    for (uint32_t i = 0; i + 1 < n; i++)
        latency += channel->next[(start + i) % n]->latency_s;
    return latency;
}

static fs_status chain_channel(const fs_algo_run *run, const fs_channel *channel, fs_err *err)
{
    uint32_t n = run->group->n, start = chain_start(run, channel);
    double latency = chain_latency(channel, n, start);
    fs_status status = FS_OK;
    for (uint32_t i = 0; i + 1 < n && status == FS_OK; i++)
        status = fs_shape_edge(run->b, channel->next[(start + i) % n], channel->share, latency, err);
    return status == FS_OK ? fs_shape_move_end(run->b, channel->share, latency, err) : status;
}

static fs_status chain_messages(const fs_algo_run *run, const fs_channel *channel, fs_err *err)
{
    uint32_t n = run->group->n, start = chain_start(run, channel), *last = fs_alloc(n, sizeof *last);
    if (last == NULL)
        return fs_fail_nomem(err);
    fs_status status = FS_OK;
    for (uint32_t k = 0; k < FS_CHUNKS && status == FS_OK; k++) {
        for (uint32_t i = 0; i + 1 < n && status == FS_OK; i++) {
            uint32_t id = 0;
            status = fs_shape_message(run->b, channel->next[(start + i) % n], channel->share / FS_CHUNKS, &id, err);
            if (status == FS_OK && i > 0)
                status = fs_shape_after(run->b, id, last[i - 1], err);
            if (status == FS_OK && k > 0)
                status = fs_shape_after(run->b, id, last[i], err);
            last[i] = id;
        }
    }
    fs_free(last);
    return status == FS_OK ? fs_shape_move_end(run->b, 0.0, chain_latency(channel, n, start), err) : status;
}

fs_status fs_chain_emit(const fs_algo_run *run, fs_err *err)
{
    fs_status status = begin(run, err);
    bool messages = run->b->mode == FS_LOWER_MESSAGES;
    if (status == FS_OK && run->b->mode != FS_LOWER_COUPLED)
        status = fs_shape_check_moves(run->kind, FS_ALGO_CHAIN, run->group->n,
                                      (double)run->b->channels * (run->group->n - 1) * (messages ? FS_CHUNKS : 1), err);
    for (uint32_t c = 0; c < run->group->n_channels && status == FS_OK; c++)
        status = (messages ? chain_messages : chain_channel)(run, &run->group->channels[c], err);
    return status;
}
