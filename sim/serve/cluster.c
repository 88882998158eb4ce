/* cluster.c - see cluster.h. */
#include "serve/cluster.h"

#include "base/mem.h"
#include "serve/afd.h"
#include "serve/kv_path.h"

#include <math.h>
#include <string.h>

#define GB 1e9 /* as the memory of GPUs is sold */

static fs_status bad_pool(const char *trace_path, const fs_pool *pool, fs_err *err, const char *what)
{
    return fs_fail_at(err, FS_E_TRACE, trace_path, pool->line, pool->column, "pool '%.100s': %s", pool->name, what);
}

/* ---- pools ------------------------------------------------------------------------------------------------------- */

static fs_status check_parts(const fs_topo *topo, const char *trace_path, const fs_pool *pool, fs_err *err)
{
    char text[512];
    uint32_t n = pool->replicas * fs_pool_replica_gpus(pool);
    for (uint32_t g = 1; g < n; g++)
        if (fs_topo_gpu_part(topo, pool->first_gpu + g) != fs_topo_gpu_part(topo, pool->first_gpu)) {
            snprintf(text, sizeof text, "its GPUs are of two kinds, '%.100s' and '%.100s'",
                     fs_topo_gpu_part(topo, pool->first_gpu)->name, fs_topo_gpu_part(topo, pool->first_gpu + g)->name);
            return bad_pool(trace_path, pool, err, text);
        }
    return FS_OK;
}

/* Weights and nothing else. */
static fs_status fit_ffn(const char *trace_path, const fs_pool *pool, const fs_part *gpu, fs_pool_fit *f, fs_err *err)
{
    char text[512];
    double room = pool->memory_fraction * f->gpu_bytes, all = fs_step_all_bytes(f->model);
    f->weight_bytes = fs_step_weight_bytes(f->model);
    if (f->weight_bytes <= room)
        return FS_OK;
    snprintf(
        text, sizeof text,
        "the model does not fit: %.4g GB of MLPs and experts, %.3g GB on the fullest '%.100s', but %.2f of its memory "
        "are %.3g GB; at least %.0f are needed, a replica has %u: raise 'ep', 'pp' or 'tp'",
        all / GB, f->weight_bytes / GB, gpu->name, pool->memory_fraction, room / GB, ceil(all / room),
        fs_pool_replica_gpus(pool));
    return bad_pool(trace_path, pool, err, text);
}

/* Blocks of the KV cache from what weights leave of the memory. */
static fs_status fit(const char *trace_path, const fs_pool *pool, fs_pool_fit *f, fs_err *err)
{
    char text[512], needed[96] = "";
    double block = fs_step_kv_bytes(f->model) * pool->block_tokens, room = pool->memory_fraction * f->gpu_bytes;
    room -= fs_step_window_bytes(f->model) * ((pool->max_seqs + pool->dp - 1) / pool->dp);
    f->weight_bytes = fs_step_weight_bytes(f->model);
    if (pool->blocks > 0)
        f->blocks = pool->blocks;
    else if (pool->measured)
        f->blocks = f->weight_bytes + block <= room ? (uint64_t)((room - f->weight_bytes) / block) : UINT32_MAX;
    else
        f->blocks = (uint64_t)fmax(0, floor((room - f->weight_bytes) / block));
    f->kv_bytes = (double)f->blocks * block;
    if (!pool->measured && (f->weight_bytes + f->kv_bytes > room || f->blocks == 0)) {
        if (room > 0 && f->weight_bytes > room) /* weights that ranks of attention each have a copy of count as often */
            snprintf(needed, sizeof needed, "; its weights need at least %.0f GPUs, a replica has %u",
                     ceil(fs_step_all_bytes(f->model) / room), fs_pool_replica_gpus(pool));
        snprintf(text, sizeof text,
                 "the model does not fit: %.1f GB of weights and %.3g GB for %llu block%s of KV cache, but %.2f of a "
                 "GPU's memory are %.1f GB%s; raise 'tp', 'pp' or 'ep', or lower the precision",
                 f->weight_bytes / GB, (f->blocks ? f->kv_bytes : block) / GB,
                 (unsigned long long)(f->blocks ? f->blocks : 1), f->blocks > 1 ? "s" : "", pool->memory_fraction,
                 room / GB, needed);
        return bad_pool(trace_path, pool, err, text);
    }
    return FS_OK;
}

static fs_status open_pool(fs_cluster *c, const char *trace_path, uint32_t index, bool ideal, fs_err *err)
{
    const fs_pool *pool = &c->in->pools[index];
    fs_pool_fit *f = &c->pools[index];
    fs_status status = check_parts(c->topo, trace_path, pool, err);
    if (status != FS_OK)
        return status;
    if (pool->swap && fs_cluster_cpu(c, c->topo->gpus[pool->first_gpu]) == FS_NONE)
        return bad_pool(trace_path, pool, err,
                        "\"preemption\": \"swap\" needs a CPU beside its GPUs; \"recompute\" does not");
    const fs_part *gpu = fs_topo_gpu_part(c->topo, pool->first_gpu);
    f->gpu_bytes = gpu->mem_bytes;
    status = fs_step_model_new(c->in, pool, gpu, ideal, trace_path, &f->model, err);
    if (status != FS_OK)
        return status;
    return pool->role == FS_ROLE_FFN ? fit_ffn(trace_path, pool, gpu, f, err) : fit(trace_path, pool, f, err);
}

fs_status fs_pool_step_model(const fs_inference *in, const char *trace_path, const fs_topo *topo, const fs_pool *pool,
                             fs_step_model **model, fs_err *err)
{
    return fs_step_model_new(in, pool, fs_topo_gpu_part(topo, pool->first_gpu), false, trace_path, model, err);
}

fs_status fs_pool_capacity(const fs_inference *in, const char *trace_path, const fs_topo *topo, const fs_pool *pool,
                           uint64_t *tokens, fs_err *err)
{
    fs_pool_fit f = {.gpu_bytes = fs_topo_gpu_part(topo, pool->first_gpu)->mem_bytes};
    fs_status status = fs_pool_step_model(in, trace_path, topo, pool, &f.model, err);
    if (status == FS_OK)
        status = fit(trace_path, pool, &f, err);
    *tokens = f.blocks * pool->block_tokens * pool->dp;
    fs_step_model_free(f.model);
    return status;
}

/* ---- replicas ---------------------------------------------------------------------------------------------------- */

static fs_group_ref *make_groups(fs_arena *arena, const uint32_t *gpus, uint32_t n, uint32_t size)
{
    fs_group_ref *groups = fs_arena_alloc(arena, n, sizeof *groups);
    for (uint32_t i = 0; groups && i < n; i++)
        groups[i] = (fs_group_ref){.gpus = gpus + (size_t)i * size, .n = size, .number = FS_NONE};
    return groups;
}

static fs_status open_groups(fs_cluster *c, const fs_pool *pool, fs_replica *r, fs_err *err)
{
    uint32_t n = fs_pool_replica_gpus(pool), stage = pool->tp * pool->dp, sends = n - stage;
    uint32_t *pairs = fs_arena_alloc(c->arena, 2 * (size_t)sends, sizeof *pairs);
    r->tp = make_groups(c->arena, r->gpus, pool->pp * pool->dp, pool->tp);
    r->ep = make_groups(c->arena, r->gpus, pool->pp, stage);
    r->send = pairs ? make_groups(c->arena, pairs, sends, 2) : NULL;
    if (!r->tp || !r->ep || !r->send)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < sends; i++) {
        pairs[2 * i] = r->gpus[i];
        pairs[2 * i + 1] = r->gpus[i + stage];
    }
    return FS_OK;
}

/* What speculation gives: the tokens up to the first wrong guess, and the right one in its place (Leviathan, Kalman,
 * Matias, ICML 2023, equation 1). */
double fs_pool_step_tokens(const fs_pool *pool)
{
    double sum = 1, right = 1;
    for (uint32_t i = 0; i < pool->draft_tokens; i++)
        sum += right *= pool->acceptance;
    return sum;
}

static fs_status open_engine(const fs_cluster *c, const fs_pool *pool, const fs_pool_fit *f, uint32_t hash_tokens,
                             fs_replica *r, fs_err *err)
{
    if (pool->role == FS_ROLE_FFN)
        return FS_OK;
    const fs_batcher_def def = {.lanes = fs_pool_lanes(pool),
                                .max_tokens = pool->max_tokens,
                                .max_seqs = pool->max_seqs,
                                .seq_blocks = f->blocks,
                                .chunked = pool->chunked_prefill,
                                .swap = pool->swap,
                                .holds = pool->role == FS_ROLE_PREFILL,
                                .draft_tokens = pool->draft_tokens,
                                .step_tokens = fs_pool_step_tokens(pool),
                                .ranks = pool->dp,
                                .balance = pool->balance_iterations};
    fs_status status =
        fs_kv_new(f->blocks * pool->dp, pool->block_tokens, pool->prefix_cache ? hash_tokens : 0, &r->kv, err);
    if (status == FS_OK)
        status = fs_batcher_new(&def, r->kv, c->seqs[pool->role == FS_ROLE_DECODE], &r->batcher, err);
    return status;
}

static fs_status open_replica(fs_cluster *c, uint32_t pool_index, uint32_t first_gpu, uint32_t hash_tokens,
                              fs_replica *r, fs_err *err)
{
    const fs_pool *pool = &c->in->pools[pool_index];
    uint32_t n = fs_pool_replica_gpus(pool);
    r->pool = pool_index;
    r->first_lane = c->n_lanes;
    r->ffn = FS_NONE;
    c->n_lanes += fs_pool_lanes(pool);
    r->gpus = fs_arena_alloc(c->arena, n, sizeof *r->gpus);
    r->slowness = fs_arena_alloc(c->arena, pool->pp, sizeof *r->slowness);
    if (!r->gpus || !r->slowness)
        return fs_fail_nomem(err);
    for (uint32_t s = 0; s < pool->pp; s++)
        r->slowness[s] = 1;
    for (uint32_t g = 0; g < n; g++) {
        uint32_t stage = g / (pool->tp * pool->dp);
        r->gpus[g] = c->topo->gpus[first_gpu + g];
        r->slowness[stage] = fmax(r->slowness[stage], 1 / fs_topo_gpu_factor(c->topo, first_gpu + g, 0));
    }
    fs_status status = open_groups(c, pool, r, err);
    return status == FS_OK ? open_engine(c, pool, &c->pools[pool_index], hash_tokens, r, err) : status;
}

static fs_status open_sequences(fs_cluster *c, const fs_requests *requests, fs_err *err)
{
    bool two = false;
    for (uint32_t p = 0; p < c->in->n_pools; p++)
        two = two || c->in->pools[p].role == FS_ROLE_DECODE;
    for (uint32_t side = 0; side < 1u + two; side++) {
        fs_seq *seqs = fs_arena_alloc(c->arena, requests->n, sizeof *seqs);
        if (!seqs)
            return fs_fail_nomem(err);
        c->seqs[side] = seqs;
        for (uint32_t i = 0; i < requests->n; i++) {
            const fs_request *r = &requests->all[i];
            seqs[i] = (fs_seq){.input = r->input,
                               .output = r->output,
                               .priority = r->priority,
                               .order = i,
                               .hashes = requests->hashes ? requests->hashes + r->first_hash : NULL,
                               .n_hashes = r->n_hashes};
        }
    }
    return FS_OK;
}

fs_status fs_cluster_open(const fs_inference *in, const char *trace_path, const fs_topo *topo, fs_router *router,
                          fs_lowering *lowering, fs_pattern_table *patterns, bool ideal, const fs_requests *requests,
                          fs_cluster *c, fs_err *err)
{
    *c = (fs_cluster){
        .in = in, .topo = topo, .router = router, .lowering = lowering, .patterns = patterns, .arena = fs_arena_new()};
    if (!c->arena)
        return fs_fail_nomem(err);
    for (uint32_t p = 0; p < in->n_pools; p++)
        c->n_replicas += in->pools[p].replicas;
    c->pools = fs_arena_alloc(c->arena, in->n_pools, sizeof *c->pools);
    c->replicas = fs_arena_alloc(c->arena, c->n_replicas, sizeof *c->replicas);
    if (!c->pools || !c->replicas) {
        c->n_replicas = 0;
        return fs_fail_nomem(err);
    }
    fs_status status = open_sequences(c, requests, err);
    for (uint32_t p = 0, r = 0; p < in->n_pools && status == FS_OK; p++) {
        const fs_pool *pool = &in->pools[p];
        status = open_pool(c, trace_path, p, ideal, err);
        for (uint32_t i = 0; i < pool->replicas && status == FS_OK; i++)
            status = open_replica(c, p, pool->first_gpu + i * fs_pool_replica_gpus(pool), requests->hash_tokens,
                                  &c->replicas[r++], err);
    }
    if (status == FS_OK)
        status = fs_afd_open(c, err);
    return status == FS_OK ? fs_kv_paths_new(&c->paths, err) : status;
}

void fs_cluster_close(fs_cluster *c)
{
    for (uint32_t r = 0; r < c->n_replicas; r++) {
        fs_batcher_free(c->replicas[r].batcher);
        fs_kv_free(c->replicas[r].kv);
    }
    for (uint32_t p = 0; c->pools && p < c->in->n_pools; p++)
        fs_step_model_free(c->pools[p].model);
    fs_kv_paths_free(c->paths);
    fs_arena_free(c->arena);
    *c = (fs_cluster){0};
}

/* ---- stages ------------------------------------------------------------------------------------------------------ */

uint32_t fs_cluster_stages(const fs_cluster *c, const fs_replica *r)
{
    return r->ffn != FS_NONE ? fs_afd_stages(c) : c->in->pools[r->pool].pp;
}

fs_stage_place fs_cluster_place(const fs_cluster *c, const fs_replica *r, uint32_t stage)
{
    return r->ffn != FS_NONE ? fs_afd_place(c, r, stage) : (fs_stage_place){(uint32_t)(r - c->replicas), stage};
}

double fs_cluster_compute_s(const fs_cluster *c, const fs_replica *r, uint32_t stage, const fs_batch *batch)
{
    fs_stage_place at = fs_cluster_place(c, r, stage);
    fs_step_model *model = c->pools[r->pool].model;
    double time_s = r->ffn != FS_NONE ? fs_afd_compute_s(c, r, stage, batch) : fs_step_compute_s(model, stage, batch);
    return time_s * c->replicas[at.replica].slowness[at.station];
}

/* ---- communication ----------------------------------------------------------------------------------------------- */

fs_algo fs_cluster_dispatch(const fs_pool *pool, const fs_batch *batch)
{
    if (pool->dispatch != FS_ALGO_AUTO)
        return (fs_algo)pool->dispatch;
    return batch->prefill_tokens > 0 ? FS_ALGO_FORWARDED : FS_ALGO_LOWLATENCY;
}

uint32_t fs_cluster_steps(const fs_cluster *c, const fs_replica *r, uint32_t stage, const fs_batch *batch,
                          fs_exchange_step *steps)
{
    if (r->ffn != FS_NONE)
        return fs_afd_steps(c, r, stage, batch, steps);
    const fs_pool *pool = &c->in->pools[r->pool];
    const fs_step_model *model = c->pools[r->pool].model;
    const fs_step_comm comm = fs_step_communication(model, stage, batch);
    const double *load = fs_step_expert_load(model);
    fs_group_ref *tp = r->tp + (size_t)stage * pool->dp, *ep = r->ep + stage;
    uint32_t n = 0;
    const double sums[][2] = {{comm.tp_bytes, comm.tp_count}, {comm.norm_bytes, comm.norm_count}};
    for (uint32_t i = 0; i < 2; i++)
        if (sums[i][0] > 0)
            steps[n++] = (fs_exchange_step){.kind = FS_ALL_REDUCE,
                                            .size_bytes = sums[i][0],
                                            .count = sums[i][1],
                                            .shots = !pool->nccl_reduce,
                                            .groups = tp,
                                            .n_groups = pool->dp};
    const fs_algo algo = fs_cluster_dispatch(pool, batch);
    const bool forwarded = algo == FS_ALGO_FORWARDED;
    const double sizes[] = {comm.dispatch_bytes, comm.combine_bytes};
    for (uint32_t back = 0; back < 2; back++)
        if (sizes[back] > 0)
            steps[n++] = (fs_exchange_step){.kind = FS_ALL_TO_ALL,
                                            .algo = algo,
                                            .top_k = forwarded ? (uint16_t)c->in->model.moe.top_k : 0,
                                            .top_domains = forwarded ? (uint16_t)pool->top_domains : 0,
                                            .size_bytes = sizes[back],
                                            .count = comm.ep_count,
                                            .groups = ep,
                                            .n_groups = 1,
                                            .load = load,
                                            .transpose = back && load};
    if (comm.logits_bytes > 0)
        steps[n++] = (fs_exchange_step){.kind = FS_ALL_GATHER,
                                        .size_bytes = comm.logits_bytes,
                                        .count = comm.logits_count,
                                        .groups = tp,
                                        .n_groups = pool->dp};
    return n;
}

uint32_t fs_cluster_send(const fs_cluster *c, const fs_replica *r, uint32_t stage, const fs_batch *batch,
                         fs_exchange_step *step)
{
    if (r->ffn != FS_NONE)
        return fs_afd_send(c, r, stage, batch, step);
    const fs_pool *pool = &c->in->pools[r->pool];
    const fs_step_comm comm = fs_step_communication(c->pools[r->pool].model, stage, batch);
    uint32_t n = pool->dp * pool->tp;
    if (!(comm.send_bytes > 0))
        return 0;
    *step = (fs_exchange_step){.kind = FS_SENDRECV,
                               .size_bytes = comm.send_bytes,
                               .count = 1,
                               .groups = r->send + (size_t)stage * n,
                               .n_groups = n};
    return 1;
}
