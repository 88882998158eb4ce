/* inference_pools.c - "engines" of an inference trace: the pools of replicas, and that the model can be split so. */
#include "work/inference_reader.h"

#include "base/mem.h"
#include "coll/coll.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { BLOCKS_MAX = 1 << 30, SEQS_MAX = 1 << 20, ITERATIONS_MAX = 1 << 20 };

/* What keeps a model from being split as a pool says. */
typedef enum obstacle { NONE, TP, PP, NO_EXPERTS, EP } obstacle;

/* Experts that the GPUs of a replica keep: every one as many, copies among them. */
static uint32_t expert_places(const fs_transformer *m, const fs_pool *p)
{
    return m->moe.experts + p->redundant;
}

/* Of a pool of role "ffn" only what all pools have in common: tp, pp and a model without experts are
 * fs_inference_read_ffn_parallel's. */
static obstacle obstacle_of(const fs_transformer *m, const fs_pool *p)
{
    if (p->role != FS_ROLE_FFN) {
        if (m->heads % p->tp != 0 || m->vocab % p->tp != 0)
            return TP;
        if (p->pp > m->layers)
            return PP;
        if (p->ep > 1 && m->moe.experts == 0)
            return NO_EXPERTS;
    }
    bool spread = p->ep == (uint64_t)p->tp * p->dp && expert_places(m, p) % p->ep == 0;
    return p->ep == 1 || spread ? NONE : EP;
}

bool fs_pool_splits(const fs_transformer *m, const fs_pool *p)
{
    return obstacle_of(m, p) == NONE;
}

static void read_parallel(fs_training_reader *r, const fs_json *pool, fs_pool *p)
{
    static const char *const keys[] = {"tp", "dp", "pp", "ep"};
    if (!fs_training_enter(r, pool, "parallel", false, keys, COUNT(keys)))
        return;
    fs_training_number(r, "tp", false, FS_RANKS_MAX, &p->tp);
    fs_training_number(r, "dp", false, FS_RANKS_MAX, &p->dp);
    fs_training_number(r, "pp", false, FS_LAYERS_MAX, &p->pp);
    fs_training_number(r, "ep", false, FS_RANKS_MAX, &p->ep);
}

static void check_split(fs_training_reader *r, const fs_json *pool, const fs_transformer *m, const fs_pool *p)
{
    const fs_json *parallel = fs_json_get(pool, "parallel"), *ep = fs_json_get(parallel, "ep");
    if (r->status != FS_OK)
        return;
    switch (obstacle_of(m, p)) {
    case NONE: break;
    case TP:
        r->status =
            fs_json_fail(r->doc, fs_json_get(parallel, "tp"), false, r->err,
                         "tp is %u, which divides not both %u heads and a vocabulary of %u", p->tp, m->heads, m->vocab);
        break;
    case PP:
        r->status = fs_json_fail(r->doc, fs_json_get(parallel, "pp"), false, r->err,
                                 "pp is %u, but there are %u layers", p->pp, m->layers);
        break;
    case NO_EXPERTS:
        r->status = fs_json_fail(r->doc, ep, false, r->err, "'ep' spreads experts, but the model has no 'moe'");
        break;
    case EP:
        r->status = fs_json_fail(r->doc, ep, false, r->err,
                                 "'ep' is %u; expected 1, or tp x dp, %llu, where that divides the %u experts", p->ep,
                                 (unsigned long long)p->tp * p->dp, expert_places(m, p));
        break;
    }
    if (r->status == FS_OK && p->redundant > 0 && p->ep == 1)
        r->status = fs_json_fail(r->doc, fs_json_get(pool, "redundant"), false, r->err,
                                 "'redundant' experts stand on GPUs of their own: 'parallel' must have 'ep'");
}

static void read_limits(fs_training_reader *r, const fs_json *pool, fs_pool *p)
{
    static const char *const keys[] = {"max_tokens", "max_seqs", "chunked_prefill", "balance_iterations"};
    if (!fs_training_enter(r, pool, "limits", false, keys, COUNT(keys)))
        return;
    fs_training_number(r, "max_tokens", false, FS_TOKENS_MAX, &p->max_tokens);
    fs_training_number(r, "max_seqs", false, SEQS_MAX, &p->max_seqs);
    fs_training_flag(r, "chunked_prefill", &p->chunked_prefill);
    fs_training_number(r, "balance_iterations", false, ITERATIONS_MAX, &p->balance_iterations);
}

static void read_kv(fs_training_reader *r, const fs_json *pool, fs_pool *p)
{
    static const char *const keys[] = {"block_tokens", "blocks", "memory_fraction", "prefix_cache", "preemption"};
    static const char *const preemptions[] = {"recompute", "swap"};
    uint32_t preemption = 0;
    if (!fs_training_enter(r, pool, "kv", false, keys, COUNT(keys)))
        return;
    fs_training_number(r, "block_tokens", false, 1 << 16, &p->block_tokens);
    fs_training_number(r, "blocks", false, BLOCKS_MAX, &p->blocks);
    fs_inference_number(r, "memory_fraction", false, 0.01, 1, &p->memory_fraction);
    fs_training_flag(r, "prefix_cache", &p->prefix_cache);
    fs_training_choice(r, r->object, "preemption", false, preemptions, COUNT(preemptions), &preemption);
    p->swap = preemption == 1;
}

static void read_times(fs_training_reader *r, const fs_json *pool, fs_pool *p)
{
    static const char *const overhead[] = {"launch_us", "iteration_us", "prompt_efficiency"};
    static const char *const measured[] = {"prefill_s_per_token", "decode_s", "decode_s_per_seq"};
    static const char *const speculative[] = {"tokens", "acceptance"};
    double launch_us = -1, iteration_us = 0;
    if (fs_training_enter(r, pool, "overhead", false, overhead, COUNT(overhead))) {
        fs_inference_number(r, "launch_us", false, 0, 1e6, &launch_us);
        fs_inference_number(r, "iteration_us", false, 0, 1e9, &iteration_us);
        fs_inference_number(r, "prompt_efficiency", false, 0.01, 1, &p->prompt_efficiency);
    }
    p->launch_s = launch_us < 0 ? -1 : launch_us * 1e-6;
    p->iteration_s = iteration_us * 1e-6;
    if (fs_training_enter(r, pool, "measured", false, measured, COUNT(measured))) {
        p->measured = true;
        fs_inference_number(r, "prefill_s_per_token", true, 0, 1e6, &p->prefill_s_per_token);
        fs_inference_number(r, "decode_s", true, 0, 1e6, &p->decode_s);
        fs_inference_number(r, "decode_s_per_seq", false, 0, 1e6, &p->decode_s_per_seq);
    }
    if (fs_training_enter(r, pool, "speculative", false, speculative, COUNT(speculative))) {
        fs_training_number(r, "tokens", true, 64, &p->draft_tokens);
        fs_inference_number(r, "acceptance", true, 0, 1, &p->acceptance);
    }
}

/* How tokens get to their experts and back: words of training's `dispatch`, and one for what engines with DeepEP do. */
static void read_dispatch(fs_training_reader *r, const fs_json *pool, fs_pool *p)
{
    static const char *const keys[] = {"algo", "top_domains"}, *const names[] = {"auto", "direct", "forwarded",
                                                                                 "lowlatency"};
    static const fs_algo algos[] = {FS_ALGO_AUTO, FS_ALGO_DIRECT, FS_ALGO_FORWARDED, FS_ALGO_LOWLATENCY};
    uint32_t at = 0;
    if (!fs_training_enter(r, pool, "dispatch", false, keys, COUNT(keys)))
        return;
    const fs_json *limit = fs_json_get(r->object, "top_domains");
    fs_training_choice(r, r->object, "algo", false, names, COUNT(names), &at);
    fs_training_number(r, "top_domains", false, UINT16_MAX, &p->top_domains);
    if (r->status == FS_OK && limit && algos[at] != FS_ALGO_AUTO && algos[at] != FS_ALGO_FORWARDED)
        r->status =
            fs_json_fail(r->doc, limit, true, r->err, "'top_domains' goes with \"algo\": \"forwarded\" or \"auto\"");
    if (r->status == FS_OK && p->ep == 1)
        r->status = fs_json_fail(r->doc, fs_json_get(pool, "dispatch"), true, r->err,
                                 "'dispatch' is of experts on GPUs of their own: 'parallel' must have 'ep'");
    p->dispatch = (uint8_t)algos[at];
}

static fs_pool default_pool(void)
{
    return (fs_pool){.role = FS_ROLE_BOTH,
                     .replicas = 1,
                     .tp = 1,
                     .dp = 1,
                     .pp = 1,
                     .ep = 1,
                     .max_tokens = 8192,
                     .max_seqs = 256,
                     .chunked_prefill = true,
                     .block_tokens = 16,
                     .memory_fraction = 0.9,
                     .launch_s = -1,
                     .prompt_efficiency = 1,
                     .ffn = FS_NONE,
                     .micro_batches = 2};
}

/* `next` is the GPU behind the pools before. */
static void read_pool(fs_training_reader *r, fs_json_cursor *at, const fs_json *json, uint32_t next, fs_arena *arena,
                      const fs_inference *in, fs_pool *p)
{
    static const char *const keys[] = {"name",      "role",        "replicas",  "parallel", "limits",
                                       "kv",        "speculative", "overhead",  "measured", "overlap",
                                       "first_gpu", "all_reduce",  "redundant", "ffn",      "dispatch"};
    static const char *const overlaps[] = {"none", "two_batch"}, *const reductions[] = {"shots", "nccl"};
    uint32_t role = FS_ROLE_BOTH, overlap = 0, reduction = 0;
    uint64_t first = next, redundant = 0;
    const char *name = "engine";
    *p = default_pool();
    if (fs_json_kind(json) != FS_JSON_OBJECT)
        r->status = fs_json_fail(r->doc, json, false, r->err, "expected a pool of engines: {\"role\": \"both\", ...}");
    if (r->status == FS_OK)
        r->status = fs_json_only(r->doc, json, keys, COUNT(keys), r->err);
    if (r->status != FS_OK)
        return;
    fs_json_place(at, json, &p->line, &p->column);
    r->object = json;
    r->status = fs_json_string_in(r->doc, json, "name", false, &name, r->err);
    fs_training_choice(r, json, "role", false, fs_role_names, FS_ROLES, &role);
    fs_training_choice(r, json, "overlap", false, overlaps, COUNT(overlaps), &overlap);
    fs_training_choice(r, json, "all_reduce", false, reductions, COUNT(reductions), &reduction);
    fs_training_number(r, "replicas", false, FS_RANKS_MAX, &p->replicas);
    if (r->status == FS_OK)
        r->status = fs_json_uint_in(r->doc, json, "first_gpu", false, 0, FS_RANKS_MAX - 1, &first, r->err);
    if (r->status == FS_OK)
        r->status = fs_json_uint_in(r->doc, json, "redundant", false, 0, FS_EXPERTS_MAX, &redundant, r->err);
    p->role = (fs_role)role;
    p->nccl_reduce = reduction == 1;
    p->redundant = (uint32_t)redundant;
    p->two_batch = overlap == 1;
    p->first_gpu = (uint32_t)first;
    p->name = fs_arena_strdup(arena, name);
    if (r->status == FS_OK && !p->name)
        r->status = fs_fail_nomem(r->err);
    if (p->role == FS_ROLE_FFN)
        fs_inference_read_ffn_parallel(r, json, in, p);
    else
        read_parallel(r, json, p);
    check_split(r, json, &in->model, p);
    read_dispatch(r, json, p);
    read_limits(r, json, p);
    read_kv(r, json, p);
    read_times(r, json, p);
    double gpus = (double)p->replicas * p->tp * p->dp * p->pp;
    if (r->status == FS_OK && gpus + p->first_gpu > FS_RANKS_MAX)
        r->status = fs_json_fail(r->doc, json, false, r->err, "%.0f GPUs from number %u on, at most %d can be", gpus,
                                 p->first_gpu, FS_RANKS_MAX);
}

/* Pools do not share GPUs, and what one starts another can end. */
static void check_pools(fs_training_reader *r, const fs_json *list, const fs_pool *pools, uint32_t n)
{
    const fs_json *json = fs_json_first(list);
    uint32_t of_role[FS_ROLES] = {0};
    for (uint32_t i = 0; i < n && r->status == FS_OK; i++, json = fs_json_next(json)) {
        uint32_t end = pools[i].first_gpu + pools[i].replicas * fs_pool_replica_gpus(&pools[i]);
        of_role[pools[i].role]++;
        for (uint32_t k = 0; k < i && r->status == FS_OK; k++)
            if (pools[i].first_gpu < pools[k].first_gpu + pools[k].replicas * fs_pool_replica_gpus(&pools[k]) &&
                pools[k].first_gpu < end)
                r->status = fs_json_fail(
                    r->doc, json, false, r->err, "pools '%.100s' and '%.100s' both use GPU %u", pools[k].name,
                    pools[i].name, pools[i].first_gpu > pools[k].first_gpu ? pools[i].first_gpu : pools[k].first_gpu);
    }
    if (r->status == FS_OK && (of_role[FS_ROLE_PREFILL] > 0) != (of_role[FS_ROLE_DECODE] > 0))
        r->status = fs_json_fail(r->doc, list, false, r->err, "a pool of role '%s' needs one of role '%s'",
                                 fs_role_names[of_role[FS_ROLE_PREFILL] ? FS_ROLE_PREFILL : FS_ROLE_DECODE],
                                 fs_role_names[of_role[FS_ROLE_PREFILL] ? FS_ROLE_DECODE : FS_ROLE_PREFILL]);
    if (r->status == FS_OK && of_role[FS_ROLE_BOTH] + of_role[FS_ROLE_PREFILL] == 0)
        r->status =
            fs_json_fail(r->doc, list, false, r->err, "no pool answers requests: one of role 'both' is missing");
    if (r->status == FS_OK && of_role[FS_ROLE_BOTH] > 0 && of_role[FS_ROLE_PREFILL] > 0)
        r->status = fs_json_fail(r->doc, list, false, r->err,
                                 "pools are either all of role 'both', or of 'prefill' and 'decode'");
}

void fs_inference_read_pools(fs_training_reader *r, fs_arena *arena, fs_inference *in)
{
    const fs_json *root = fs_json_root(r->doc), *list = fs_json_get(root, "engines");
    uint32_t n = fs_json_count(list), next = 0, i = 0;
    uint64_t gpus = 0;
    if (r->status != FS_OK)
        return;
    if (fs_json_kind(list) != FS_JSON_ARRAY || n < 1 || n > FS_POOLS_MAX) {
        r->status = fs_json_fail(r->doc, list ? list : root, false, r->err,
                                 "'engines': expected a list of 1 to %d pools", FS_POOLS_MAX);
        return;
    }
    fs_pool *pools = fs_arena_alloc(arena, n, sizeof *pools);
    if (!pools) {
        r->status = fs_fail_nomem(r->err);
        return;
    }
    fs_json_cursor at = {.doc = r->doc};
    for (const fs_json *json = fs_json_first(list); json && r->status == FS_OK; json = fs_json_next(json), i++) {
        read_pool(r, &at, json, next, arena, in, &pools[i]);
        if (r->status == FS_OK) {
            next = pools[i].first_gpu + pools[i].replicas * fs_pool_replica_gpus(&pools[i]);
            gpus += (uint64_t)pools[i].replicas * fs_pool_replica_gpus(&pools[i]);
        }
    }
    if (r->status == FS_OK)
        check_pools(r, list, pools, n);
    fs_inference_link_ffn(r, list, pools, n);
    if (r->status == FS_OK && gpus > FS_RANKS_MAX)
        r->status = fs_json_fail(r->doc, list, false, r->err, "more than %d GPUs", FS_RANKS_MAX);
    in->n_pools = n;
    in->pools = pools;
    bool apart = false, guessed = false;
    for (uint32_t k = 0; k < n && r->status == FS_OK; k++) {
        apart = apart || pools[k].ffn != FS_NONE;
        guessed = guessed || pools[k].draft_tokens > 0;
    }
    in->drafts = in->model.mtp > 0 && guessed && !apart;
}
