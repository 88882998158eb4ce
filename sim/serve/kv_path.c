/* kv_path.c - fs_cluster_kv_path of cluster.h: which GPUs send what, and their routes as one transfer.
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
    uint32_t key[4]; /* replicas, their dp ranks */
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

fs_status fs_cluster_kv_path(fs_cluster *c, uint32_t from, uint32_t to, uint32_t request, fs_kv_path *path, fs_err *err)
{
    const fs_replica *a = &c->replicas[from], *b = &c->replicas[to];
    uint32_t from_dp = c->in->pools[a->pool].dp, to_dp = c->in->pools[b->pool].dp;
    known k = {.key = {from, to, request % from_dp, request % to_dp}};
    uint64_t hash = fs_hash_bytes(FS_HASH_START, k.key, sizeof k.key);
    fs_index_probe probe = fs_index_search(&c->paths->index, hash);
    uint32_t i = fs_index_next(&probe);
    while (i != FS_NONE && memcmp(c->paths->all.data[i].key, k.key, sizeof k.key) != 0)
        i = fs_index_next(&probe);
    if (i == FS_NONE) {
        fs_status status = find_path(c, a, k.key[2], b, k.key[3], &k.path, err);
        if (status != FS_OK)
            return status;
        i = c->paths->all.count;
        if (!FS_PUSH(&c->paths->all, k) || !fs_index_add(&c->paths->index, hash, i))
            return fs_fail_nomem(err);
    }
    *path = c->paths->all.data[i].path;
    return FS_OK;
}
