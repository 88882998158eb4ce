/* inference.h - an inference job as its trace describes it: a model, pools of engines that serve it, and requests.
 *
 * A pool is a number of replicas alike. A replica is tp x dp x pp GPUs, nested in this order: tensor parallelism, data
 * parallelism of attention (each of the dp ranks has sequences and a KV cache of its own; experts are shared), pipeline.
 * A pool of role "ffn" has the MLPs and experts of pools that name it, which are left with attention: tp splits each, ep deals
 * out experts, pp deals out layers; no requests of its own.
 * Read by inference.c (the whole, the model), inference_pools.c and inference_requests.c; constant afterwards, and owned
 * by the work. What follows from it and a topology is sim/serve's business. */
#ifndef FS_INFERENCE_H
#define FS_INFERENCE_H

#include "work/transformer.h"

typedef enum fs_role { FS_ROLE_BOTH, FS_ROLE_PREFILL, FS_ROLE_DECODE, FS_ROLE_FFN, FS_ROLES } fs_role;
typedef enum fs_policy { FS_ROUND_ROBIN, FS_LEAST_LOADED, FS_PREFIX, FS_POLICIES } fs_policy;
typedef enum fs_arrival { FS_POISSON, FS_GAMMA, FS_BURSTS, FS_CONSTANT, FS_CLOSED, FS_ARRIVALS } fs_arrival;

typedef struct fs_pool {
    const char *name;
    fs_role role;
    uint32_t replicas;
    uint32_t tp, dp, pp, ep;     /* ep: 1, experts split over tp as everything else; or tp x dp, dealt out over all */
    uint32_t first_gpu;          /* replicas stand on the GPUs from here on */
    uint32_t max_tokens;         /* of one iteration, prefill and decode together */
    uint32_t max_seqs;           /* that run at a time on a replica */
    bool chunked_prefill;        /* prompts are cut so that decoding never waits; else prompts go first and whole */
    uint32_t balance_iterations; /* that prompts wait at most until each dp rank has one; 0: they do not wait */
    bool two_batch;              /* two halves of the batch: communication of one beside the kernels of the other */
    bool nccl_reduce;            /* all-reduces as NCCL has them; else by one or two shots where those are faster */
    uint8_t dispatch;      /* fs_algo that moves tokens to experts and back; FS_ALGO_AUTO: by what an iteration has */
    uint32_t top_domains;  /* forwarded: domains that a token's experts are in at most; 0: all */
    uint32_t redundant;    /* copies of experts beside the first of each, for the most popular ones */
    uint32_t block_tokens; /* of a block of the KV cache */
    uint32_t blocks;       /* for each of the dp ranks; 0: what fits into memory */
    bool swap;         /* a sequence that loses its blocks leaves their content with the CPU; else computes it again */
    bool prefix_cache; /* blocks of prompts are kept for those that begin alike */
    double memory_fraction;   /* of the GPU's memory that weights and KV cache may take */
    uint32_t draft_tokens;    /* speculative decoding: guessed in each step; 0: none */
    double acceptance;        /* probability that a guess is right, given that those before it were */
    double launch_s;          /* least time from one kernel to the next; < 0: as in a CUDA graph */
    double iteration_s;       /* of the host, once an iteration */
    double prompt_efficiency; /* of the kernels that prompts add to an iteration, against those measured alone; 0..1 */
    bool measured;            /* iterations take what follows, communication in a replica included */
    double prefill_s_per_token, decode_s, decode_s_per_seq;
    uint32_t ffn;           /* pool that has its MLPs and experts; FS_NONE: it has them itself */
    uint32_t micro_batches; /* that go to and fro between the two */
    uint32_t line, column;  /* where the pool stands in the trace */
} fs_pool;

static inline uint32_t fs_pool_replica_gpus(const fs_pool *pool)
{
    return pool->tp * pool->dp * pool->pp; /* ffn: dp is ep */
}

/* Iterations that may be under way on a replica at a time. */
static inline uint32_t fs_pool_lanes(const fs_pool *pool)
{
    return pool->role == FS_ROLE_FFN ? 0 : pool->ffn != FS_NONE ? pool->micro_batches : pool->pp;
}

typedef enum fs_length_kind { FS_FIXED, FS_UNIFORM, FS_LOGNORMAL, FS_EXPONENTIAL, FS_LENGTH_KINDS } fs_length_kind;

/* How long prompts or answers are, in tokens; never outside [low, high]. */
typedef struct fs_length {
    fs_length_kind kind;
    double mean, cv; /* cv: standard deviation / mean, of lognormal */
    uint32_t low, high;
} fs_length;

typedef struct fs_request {
    double arrival_s;              /* closed loop: FS_NONE's time is when it is its turn, and this is 0 */
    uint32_t input, output;        /* tokens, >= 1 */
    uint32_t priority;             /* higher ones go first */
    uint32_t first_hash, n_hashes; /* in hashes[]: one for each hash_tokens of the prompt, of all up to there */
} fs_request;

enum {
    FS_REQUESTS_MAX = 1 << 22,
    FS_TOKENS_MAX = 1 << 24, /* of a prompt or an answer */
    FS_PRIORITIES_MAX = 16,
    FS_POOLS_MAX = 64
};

typedef struct fs_request_source {
    fs_arrival arrival;
    double rate;          /* requests/s; 0 in a closed loop */
    double cv;            /* gamma: of the times between arrivals */
    uint32_t burst;       /* bursts: requests that come together */
    uint32_t concurrency; /* closed: under way at any time */
    bool staggered;       /* closed: the first answers end at random places, as if they had begun before */
    uint32_t count;
    uint32_t
        context; /* tokens that a prompt and its answer may have together: the model's seq. Of longer ones drawn answers
                         are cut, those of a file rejected */
    fs_length input, output;
    uint32_t n_priorities;
    double priority_share[FS_PRIORITIES_MAX]; /* of requests with priority i; sums to 1 */
    uint32_t prefix_groups, prefix_tokens;    /* prompts of a group begin with the same tokens; 0: none do */
    /* From a file: count requests in the order of their arrivals; `rate` is their mean. */
    const fs_request *requests; /* NULL: drawn as above */
    const uint64_t *hashes;
    uint64_t file_hash;
    uint32_t n_hashes, hash_tokens; /* hash_tokens: what one hash stands for, 0 without any */
} fs_request_source;

/* The whole service several times over, on GPUs `stride` apart, each with a stream of requests of its own: copy i draws
 * stream i mod `distinct`. */
typedef struct fs_fleet {
    uint32_t copies, distinct, stride;
} fs_fleet;

typedef struct fs_inference {
    fs_transformer model;
    fs_dtype weights, gemm, experts,
        expert_gemm; /* weights as stored; what products with them run in; both of experts */
    fs_dtype mlp, mlp_gemm, projection, projection_gemm; /* of MLPs, dense or shared; of the attention's output */
    fs_dtype attention, kv;
    uint8_t scales; /* fs_scales of what products read: found as it goes by kernels of their own, or known beforehand;
                     * usual: the first where numbers have fp4 */
    bool
        drafts; /* guesses come from the model's layer for later tokens (model.mtp), which all tokens pass through, and are
                  * not for nothing; false where MLPs are in other pools, too */
    double dispatch_bytes, combine_bytes; /* of a number on its way to the experts and back */
    uint32_t n_pools;
    const fs_pool *pools; /* (n_pools) */
    fs_fleet fleet;
    fs_request_source source;
    double slo_ttft_s, slo_tpot_s; /* 0: none */
    fs_policy router;
    uint64_t seed;
} fs_inference;

/* Tokens, but for what bounds cut off. */
double fs_mean_length(const fs_length *length);

/* Can the model be split as the pool's tp, dp, pp and ep say? */
bool fs_pool_splits(const fs_transformer *model, const fs_pool *pool);

extern const char *const fs_role_names[FS_ROLES];
extern const char *const fs_policy_names[FS_POLICIES];
extern const char *const fs_arrival_names[FS_ARRIVALS];

#endif
