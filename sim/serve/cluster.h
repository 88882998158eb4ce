/* cluster.h - the replicas of an inference job on a topology: who stands where, what fits, how KV caches travel.
 *
 * A replica's GPUs follow each other: number ((stage x dp) + rank) x tp + i of them is part i of attention's rank `rank`
 * in stage `stage`. Its dp ranks keep one KV cache of all their blocks together, as sequences are dealt out evenly. */
#ifndef FS_CLUSTER_H
#define FS_CLUSTER_H

#include "serve/batcher.h"
#include "serve/exchange.h"
#include "serve/step_cost.h"
#include "topo/topo.h"

typedef struct fs_replica {
    uint32_t pool;       /* index */
    uint32_t first_lane; /* of its pp lanes */
    uint32_t *gpus;      /* (tp x dp x pp) device ids */
    fs_group_ref *tp;    /* (pp x dp) groups of tp */
    fs_group_ref *ep;    /* (pp) groups of tp x dp, where experts are dealt out */
    fs_group_ref *send;  /* ((pp - 1) x dp x tp) pairs */
    double *slowness;    /* (pp) kernels take so many times as long: a slow GPU holds up its stage */
    fs_kv *kv;           /* NULL, as batcher: of role "ffn", whose groups ep are of the GPUs of a stage */
    fs_batcher *batcher;
    uint32_t ffn;                /* replica that has its MLPs and experts; FS_NONE: itself */
    fs_group_ref *apart;         /* (pp of ffn) GPUs of a stage there, then those here */
    const double *routed, *even; /* (GPUs of such a group) what each gets of a layer's tokens: of experts, of an MLP */
} fs_replica;

/* What follows for a pool. */
typedef struct fs_pool_fit {
    fs_step_model *model;
    double weight_bytes, kv_bytes, gpu_bytes; /* on a GPU; kv_bytes: of all its blocks */
    uint64_t blocks;                          /* of a dp rank */
} fs_pool_fit;

typedef struct fs_cluster {
    const fs_inference *in;
    const fs_topo *topo;
    fs_router *router; /* of what is left of the machine */
    fs_lowering *lowering;
    fs_pattern_table *patterns;
    uint32_t n_replicas, n_lanes;
    fs_replica *replicas; /* (n_replicas) pool after pool */
    fs_pool_fit *pools;   /* (in->n_pools) */
    fs_seq *seqs[2];      /* (requests) where prompts are computed; where a decode pool goes on */
    struct fs_kv_paths *paths;
    struct fs_arena *arena;
} fs_cluster;

/* A model that does not fit, and GPUs of two kinds in a pool, are FS_E_TRACE at the pool. The topology has the GPUs
 * (fs_work_check_placement). On failure too fs_cluster_close frees what there is. */
FS_MUST_CHECK fs_status fs_cluster_open(const fs_inference *in, const char *trace_path, const fs_topo *topo,
                                        fs_router *router, fs_lowering *lowering, fs_pattern_table *patterns,
                                        bool ideal, const fs_requests *requests, fs_cluster *cluster, fs_err *err);
void fs_cluster_close(fs_cluster *cluster);

/* Tokens that the KV cache of one replica holds. FS_E_TRACE where the model does not fit. */
FS_MUST_CHECK fs_status fs_pool_capacity(const fs_inference *in, const char *trace_path, const fs_topo *topo,
                                         const fs_pool *pool, uint64_t *tokens, fs_err *err);

/* What its iterations cost a GPU; fs_step_model_free frees. */
FS_MUST_CHECK fs_status fs_pool_step_model(const fs_inference *in, const char *trace_path, const fs_topo *topo,
                                           const fs_pool *pool, fs_step_model **model, fs_err *err);
/* What a decoding sequence gets from an iteration, on average. */
double fs_pool_step_tokens(const fs_pool *pool);

/* An iteration goes through stages, each at a station of a replica. They are those of its pipeline; or, with the MLPs
 * elsewhere, the attention and the MLP of each layer in turn, and the logits. */
uint32_t fs_cluster_stages(const fs_cluster *cluster, const fs_replica *replica);
typedef struct fs_stage_place {
    uint32_t replica, station; /* station: < pp of its pool */
} fs_stage_place;
fs_stage_place fs_cluster_place(const fs_cluster *cluster, const fs_replica *replica, uint32_t stage);
/* Seconds of its kernels, on the GPUs that it has. */
double fs_cluster_compute_s(const fs_cluster *cluster, const fs_replica *replica, uint32_t stage,
                            const fs_batch *batch);

/* How tokens of an iteration get to experts on GPUs of their own, where the trace leaves it open: as engines with DeepEP do
 * (SGLang's --deepep-mode auto), by its normal kernels where there are prompts, else by its low-latency ones. */
fs_algo fs_cluster_dispatch(const fs_pool *pool, const fs_batch *batch);

/* The communication of a stage of a replica in an iteration, and to the next one: at most FS_EXCHANGE_STEPS_MAX steps. */
uint32_t fs_cluster_steps(const fs_cluster *cluster, const fs_replica *replica, uint32_t stage, const fs_batch *batch,
                          fs_exchange_step *steps);
uint32_t fs_cluster_send(const fs_cluster *cluster, const fs_replica *replica, uint32_t stage, const fs_batch *batch,
                         fs_exchange_step *steps);

/* From one replica's KV cache to another's: one transfer over the routes of all pairs of GPUs that hold the same part of
 * it. amount: what moves on each for every byte of the request's cache. The dp rank follows from the request. */
typedef struct fs_kv_path {
    uint32_t pattern;
    double amount, latency_s;
} fs_kv_path;
FS_MUST_CHECK fs_status fs_cluster_kv_path(fs_cluster *cluster, uint32_t from, uint32_t to, uint32_t request,
                                           fs_kv_path *path, fs_err *err);

/* The same between a replica's GPUs and the memory of the CPUs beside them, out or back. */
FS_MUST_CHECK fs_status fs_cluster_swap_path(fs_cluster *cluster, uint32_t replica, uint32_t request, bool out,
                                             fs_kv_path *path, fs_err *err);
/* The CPU that a GPU reaches in the fewest hops, on its node; FS_NONE where there is none. */
uint32_t fs_cluster_cpu(fs_cluster *cluster, uint32_t gpu);

#endif
