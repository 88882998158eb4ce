/* kv_path.c - fs_cluster_kv_path and fs_cluster_swap_path of cluster.h: which GPUs send what, and their routes as one transfer.
 *
 * Layers and heads are in the same order on both sides, so that with a parts here and b there the greater number of pairs
 * is enough, each with as much: part k of them lies on GPU k x a / n here and k x b / n there. Latents are whole on every
 * GPU of a rank: each on the other side gets all of it, from one of those here in turn. Routes are those of sends of a
 * size that is bound by bandwidth. */
#include "serve/kv_path.h"

#include "base/index.h"
#include "base/mem.h"
#include "base/rng.h"
#include "serve/cluster.h"

#include <math.h>
#include <string.h>

#define PROBE_BYTES 67108864.0 /* 64 MiB: protocol Simple, whatever the architecture */

typedef struct known {
    uint32_t key[4]; /* replicas, their dp ranks; to the CPU and back: FS_NONE for the second, and out or not */
    fs_kv_path path;
} known;

struct fs_kv_paths {
    fs_index index;
    FS_VEC(known) all;
    FS_VEC(fs_share) shares; /* scratch */
};

fs_status fs_kv_paths_new(fs_kv_paths **paths, fs_err *err)
{
    fs_kv_paths *made = fs_zalloc(1, sizeof *made);
    if (!made)
        return fs_fail_nomem(err);
    *paths = made;
    return FS_OK;
}

void fs_kv_paths_free(fs_kv_paths *p)
{
    if (!p)
        return;
    fs_index_free(&p->index);
    fs_free(p->all.data);
    fs_free(p->shares.data);
    fs_free(p);
}

/* The shares of one pair's send, for one byte of it. */
static fs_status add_pair(fs_cluster *c, uint32_t from, uint32_t to, double *latency_s, fs_err *err)
{
    const uint32_t gpus[] = {from, to};
    const fs_coll_request request = {.kind = FS_SENDRECV, .gpus = gpus, .n = 2, .size_bytes = PROBE_BYTES};
    const fs_plan *plan = NULL;
    fs_status status = fs_lower(c->lowering, &request, &plan, err);
    for (uint32_t m = 0; status == FS_OK && m < plan->n_moves; m++) {
        const fs_move *move = &plan->moves[m];
        uint32_t n = 0, id = plan->patterns_at && plan->patterns_at[0] ? plan->patterns_at[0][m] : move->pattern;
        const fs_share *row = fs_pattern_row(c->patterns, id, &n);
        for (uint32_t i = 0; i < n; i++)
            if (!FS_PUSH(&c->paths->shares,
                         ((fs_share){row[i].resource, row[i].coefficient * move->bytes / PROBE_BYTES})))
                return fs_fail_nomem(err);
        *latency_s = fmax(*latency_s, move->latency_s);
    }
    return status;
}

static uint32_t greater(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static fs_status find_path(fs_cluster *c, const fs_replica *from, uint32_t from_rank, const fs_replica *to,
                           uint32_t to_rank, fs_kv_path *path, fs_err *err)
{
    const fs_pool *a = &c->in->pools[from->pool], *b = &c->in->pools[to->pool];
    bool latent = c->in->model.mla.kv_rank > 0;
    uint32_t parts = latent ? b->tp : greater(a->tp, b->tp), stages = greater(a->pp, b->pp);
    fs_status status = FS_OK;
    *path = (fs_kv_path){.amount = latent ? 1.0 / stages : 1.0 / stages / parts};
    c->paths->shares.count = 0;
    for (uint32_t s = 0; s < stages; s++) {
        uint32_t here = (s * a->pp / stages * a->dp + from_rank) * a->tp;
        uint32_t there = (s * b->pp / stages * b->dp + to_rank) * b->tp;
        for (uint32_t k = 0; k < parts && status == FS_OK; k++)
            status = add_pair(c, from->gpus[here + (latent ? k % a->tp : k * a->tp / parts)],
                              to->gpus[there + k * b->tp / parts], &path->latency_s, err);
    }
    if (status == FS_OK)
        status = fs_pattern_add(c->patterns, c->paths->shares.data, c->paths->shares.count, &path->pattern, err);
    return status;
}

/* The path of a key; false where it is not known. */
static bool recall(const fs_kv_paths *p, const known *wanted, uint64_t hash, fs_kv_path *path)
{
    fs_index_probe probe = fs_index_search(&p->index, hash);
    uint32_t i = fs_index_next(&probe);
    while (i != FS_NONE && memcmp(p->all.data[i].key, wanted->key, sizeof wanted->key) != 0)
        i = fs_index_next(&probe);
    if (i != FS_NONE)
        *path = p->all.data[i].path;
    return i != FS_NONE;
}

static fs_status keep(fs_kv_paths *p, const known *k, uint64_t hash, fs_err *err)
{
    if (!FS_PUSH(&p->all, *k) || !fs_index_add(&p->index, hash, p->all.count - 1))
        return fs_fail_nomem(err);
    return FS_OK;
}

fs_status fs_cluster_kv_path(fs_cluster *c, uint32_t from, uint32_t to, uint32_t request, fs_kv_path *path, fs_err *err)
{
    const fs_replica *a = &c->replicas[from], *b = &c->replicas[to];
    known k = {.key = {from, to, request % c->in->pools[a->pool].dp, request % c->in->pools[b->pool].dp}};
    uint64_t hash = fs_hash_bytes(FS_HASH_START, k.key, sizeof k.key);
    if (recall(c->paths, &k, hash, path))
        return FS_OK;
    fs_status status = find_path(c, a, k.key[2], b, k.key[3], &k.path, err);
    if (status == FS_OK)
        status = keep(c->paths, &k, hash, err);
    if (status == FS_OK)
        *path = k.path;
    return status;
}

/* ---- to the CPU and back ----------------------------------------------------------------------------------------- */

uint32_t fs_cluster_cpu(fs_cluster *c, uint32_t gpu)
{
    fs_where at = fs_topo_where(c->topo, gpu);
    uint32_t node = fs_topo_device(c->topo, gpu).node, best = FS_NONE, hops = 0;
    uint32_t first = at.run->first_device + at.copy * at.run->unit->n_devices;
    for (uint32_t d = first; d < first + at.run->unit->n_devices; d++) {
        fs_device device = fs_topo_device(c->topo, d);
        const fs_route *route = NULL;
        fs_err ignored;
        if (device.kind != FS_DEVICE_CPU || device.node != node ||
            fs_router_find(c->router, gpu, d, 0, &route, &ignored) != FS_OK)
            continue;
        if (best == FS_NONE || route->hops < hops) {
            best = d;
            hops = route->hops;
        }
    }
    return best;
}

static fs_status add_swap(fs_cluster *c, uint32_t gpu, bool out, double *latency_s, fs_err *err)
{
    uint32_t cpu = fs_cluster_cpu(c, gpu);
    const fs_route *route = NULL;
    if (cpu == FS_NONE)
        return fs_fail(err, FS_E_TOPOLOGY, "%s has no CPU beside it to leave its KV cache with",
                       FS_DEVICE_NAME(c->topo, gpu));
    fs_status status = fs_router_find(c->router, out ? gpu : cpu, out ? cpu : gpu, 0, &route, err);
    for (uint32_t i = 0; status == FS_OK && i < route->n_shares; i++)
        if (!FS_PUSH(&c->paths->shares, route->shares[i]))
            return fs_fail_nomem(err);
    if (status == FS_OK)
        *latency_s = fmax(*latency_s, route->latency_s);
    return status;
}

fs_status fs_cluster_swap_path(fs_cluster *c, uint32_t replica, uint32_t request, bool out, fs_kv_path *path,
                               fs_err *err)
{
    const fs_replica *r = &c->replicas[replica];
    const fs_pool *pool = &c->in->pools[r->pool];
    const fs_step_model *model = c->pools[r->pool].model;
    uint32_t rank = request % pool->dp;
    known k = {.key = {replica, FS_NONE, rank, out}};
    uint64_t hash = fs_hash_bytes(FS_HASH_START, k.key, sizeof k.key);
    if (recall(c->paths, &k, hash, path))
        return FS_OK;
    fs_status status = FS_OK;
    k.path.amount = fs_step_kv_bytes(model) / fs_step_kv_all_bytes(model);
    c->paths->shares.count = 0;
    for (uint32_t s = 0; s < pool->pp; s++)
        for (uint32_t i = 0; i < pool->tp && status == FS_OK; i++)
            status = add_swap(c, r->gpus[(s * pool->dp + rank) * pool->tp + i], out, &k.path.latency_s, err);
    if (status == FS_OK)
        status = fs_pattern_add(c->patterns, c->paths->shares.data, c->paths->shares.count, &k.path.pattern, err);
    if (status == FS_OK)
        status = keep(c->paths, &k, hash, err);
    if (status == FS_OK)
        *path = k.path;
    return status;
}
