/* afd.c - see afd.h. */
#include "serve/afd.h"

#include "base/mem.h"

#include <string.h>

static const fs_pool *pool_of(const fs_cluster *c, const fs_replica *r)
{
    return &c->in->pools[r->pool];
}

static fs_step_model *model_of(const fs_cluster *c, const fs_replica *r)
{
    return c->pools[r->pool].model;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* The GPUs that have the MLPs come first, those that attend behind them. */
static fs_status open_groups(fs_cluster *c, fs_replica *r, uint32_t stage_gpus, fs_err *err)
{
    const fs_replica *ffn = &c->replicas[r->ffn];
    uint32_t stages = pool_of(c, ffn)->pp, here = fs_pool_replica_gpus(pool_of(c, r)), n = stage_gpus + here;
    uint32_t *gpus = fs_arena_alloc(c->arena, (size_t)stages * n, sizeof *gpus);
    r->apart = fs_arena_alloc(c->arena, stages, sizeof *r->apart);
    if (!gpus || !r->apart)
        return fs_fail_nomem(err);
    for (uint32_t s = 0; s < stages; s++, gpus += n) {
        memcpy(gpus, ffn->gpus + (size_t)s * stage_gpus, stage_gpus * sizeof *gpus);
        memcpy(gpus + stage_gpus, r->gpus, here * sizeof *gpus);
        r->apart[s] = (fs_group_ref){.gpus = gpus, .n = n, .number = FS_NONE};
    }
    return FS_OK;
}

/* Where experts are, the GPUs that share one get even parts of its tokens. */
static fs_status open_shares(fs_cluster *c, fs_replica *r, uint32_t stage_gpus, fs_err *err)
{
    const fs_replica *ffn = &c->replicas[r->ffn];
    const double *load = fs_step_expert_load(model_of(c, ffn));
    uint32_t n = r->apart[0].n, tp = pool_of(c, ffn)->tp;
    double *routed = fs_arena_alloc(c->arena, n, sizeof *routed), *even = fs_arena_alloc(c->arena, n, sizeof *even);
    if (!routed || !even)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < stage_gpus; i++) {
        even[i] = 1.0 / stage_gpus;
        routed[i] = load ? load[i / tp] / tp : even[i];
    }
    r->routed = routed;
    r->even = even;
    return FS_OK;
}

fs_status fs_afd_open(fs_cluster *c, fs_err *err)
{
    uint32_t first[FS_POOLS_MAX], next = 0;
    fs_status status = FS_OK;
    for (uint32_t p = 0; p < c->in->n_pools; p++) {
        first[p] = next;
        next += c->in->pools[p].replicas;
    }
    for (uint32_t i = 0; i < c->n_replicas && status == FS_OK; i++) {
        fs_replica *r = &c->replicas[i];
        const fs_pool *pool = pool_of(c, r);
        if (pool->ffn == FS_NONE)
            continue;
        const fs_pool *ffn = &c->in->pools[pool->ffn];
        r->ffn = first[pool->ffn] + (i - first[r->pool]) % ffn->replicas;
        status = open_groups(c, r, ffn->tp * ffn->ep, err);
        if (status == FS_OK)
            status = open_shares(c, r, ffn->tp * ffn->ep, err);
    }
    return status;
}

/* ---- stages ------------------------------------------------------------------------------------------------------ */

uint32_t fs_afd_stages(const fs_cluster *c)
{
    return 2 * c->in->model.layers + 1;
}

/* The stage of the other replica's that has a layer: layers are dealt out as in a pipeline. */
static uint32_t station_of(const fs_cluster *c, const fs_replica *ffn, uint32_t layer)
{
    uint64_t layers = c->in->model.layers, pp = pool_of(c, ffn)->pp;
    return (uint32_t)(((layer + 1) * pp - 1) / layers);
}

fs_stage_place fs_afd_place(const fs_cluster *c, const fs_replica *r, uint32_t stage)
{
    if (stage % 2 == 0)
        return (fs_stage_place){(uint32_t)(r - c->replicas), 0};
    return (fs_stage_place){r->ffn, station_of(c, &c->replicas[r->ffn], stage / 2)};
}

static fs_step_hop hop_of(const fs_cluster *c, const fs_replica *r, uint32_t stage, const fs_batch *batch)
{
    return fs_step_hop_of(model_of(c, r), model_of(c, &c->replicas[r->ffn]), stage / 2, batch);
}

double fs_afd_compute_s(const fs_cluster *c, const fs_replica *r, uint32_t stage, const fs_batch *batch)
{
    if (stage % 2 == 0)
        return fs_step_attention_s(model_of(c, r), stage / 2, batch);
    return fs_step_ffn_s(model_of(c, &c->replicas[r->ffn]), stage / 2, hop_of(c, r, stage, batch).tokens);
}

/* ---- communication ----------------------------------------------------------------------------------------------- */

/* Only the logits are gathered at the place where they are computed. */
uint32_t fs_afd_steps(const fs_cluster *c, const fs_replica *r, uint32_t stage, const fs_batch *batch,
                      fs_exchange_step *steps)
{
    const fs_step_comm comm = fs_step_communication(model_of(c, r), 0, batch);
    if (stage + 1 < fs_afd_stages(c) || !(comm.logits_bytes > 0))
        return 0;
    steps[0] = (fs_exchange_step){.kind = FS_ALL_GATHER,
                                  .size_bytes = comm.logits_bytes,
                                  .count = 1,
                                  .groups = r->tp,
                                  .n_groups = pool_of(c, r)->dp};
    return 1;
}

static fs_exchange_step across(const fs_cluster *c, const fs_replica *r, uint32_t stage, const fs_step_hop *hop,
                               bool back)
{
    const fs_replica *ffn = &c->replicas[r->ffn];
    fs_group_ref *group = &r->apart[station_of(c, ffn, stage / 2)];
    return (fs_exchange_step){.kind = FS_ALL_TO_ALL,
                              .proto = FS_PROTO_SIMPLE, /* writes to the other's memory, no flags between the data */
                              .size_bytes = (back ? hop->back : hop->there) / group->n,
                              .count = 1,
                              .groups = group,
                              .n_groups = 1,
                              .load = hop->experts ? r->routed : r->even,
                              .transpose = back,
                              .apart = group->n - fs_pool_replica_gpus(pool_of(c, r))};
}

/* Among the GPUs that share an MLP or an expert. */
static fs_exchange_step among(const fs_cluster *c, const fs_replica *r, uint32_t stage, const fs_step_hop *hop,
                              bool back)
{
    const fs_replica *ffn = &c->replicas[r->ffn];
    uint32_t station = station_of(c, ffn, stage / 2), ep = pool_of(c, ffn)->ep;
    return (fs_exchange_step){.kind = back ? FS_REDUCE_SCATTER : FS_ALL_GATHER,
                              .size_bytes = back ? hop->scatter : hop->gather,
                              .count = 1,
                              .groups = hop->experts ? ffn->tp + (size_t)station * ep : ffn->ep + station,
                              .n_groups = hop->experts ? ep : 1};
}

uint32_t fs_afd_send(const fs_cluster *c, const fs_replica *r, uint32_t stage, const fs_batch *batch,
                     fs_exchange_step *steps)
{
    uint32_t n = 0;
    if (stage + 1 == fs_afd_stages(c))
        return 0;
    const fs_step_hop hop = hop_of(c, r, stage, batch);
    if (stage % 2 == 1) {
        if (hop.scatter > 0)
            steps[n++] = among(c, r, stage, &hop, true);
        steps[n++] = across(c, r, stage, &hop, true);
        return n;
    }
    if (hop.reduce > 0) /* a reduce-scatter before tokens leave and an all-gather when they are back */
        steps[n++] = (fs_exchange_step){.kind = FS_ALL_REDUCE,
                                        .size_bytes = hop.reduce,
                                        .count = 1,
                                        .shots = !pool_of(c, r)->nccl_reduce,
                                        .groups = r->tp,
                                        .n_groups = pool_of(c, r)->dp};
    steps[n++] = across(c, r, stage, &hop, false);
    if (hop.gather > 0)
        steps[n++] = among(c, r, stage, &hop, false);
    return n;
}
