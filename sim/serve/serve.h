/* serve.h - an inference job as it goes: requests arrive, replicas iterate, KV caches travel.
 *
 * A replica's iteration is a timer for its kernels, then its collectives on the fabric (with two_batch both at once),
 * stage after stage; its lanes follow each other through the stages. Where a pool of role "ffn" has the MLPs, stages alternate
 * between the two replicas (afd.h). A prefill pool's KV cache leaves layer by layer: a
 * chunk's bytes but those of the last layer may move from when the first layer is done, the last layer's from the end of
 * the iteration. Where the decode replica has no blocks when the prompt starts, the whole cache waits, and moves once it
 * has. Everything that moves shares links with everything else. */
#ifndef FS_SERVE_H
#define FS_SERVE_H

#include "base/summary.h"
#include "serve/cluster.h"

/* One request's life; times in s. */
typedef struct fs_served {
    double arrival_s, start_s, first_s, done_s; /* start: its prompt's first iteration */
    double landed_s;                            /* its cache is where it is decoded; 0: computed there */
    uint32_t replica, target;                   /* that computed the prompt, that decoded; FS_NONE before */
    bool rejected; /* longer than the model's context, or no replica will ever have room for it */
} fs_served;

/* Where an iteration is whose MLPs are in another pool: on which side, and on the way to it, waiting, or in kernels. */
enum { FS_SIDE_ATTENTION, FS_SIDE_FFN, FS_SIDES };
enum { FS_STAY_WAY, FS_STAY_QUEUE, FS_STAY_WORK, FS_STAYS };

/* What a pool did, all replicas together. */
typedef struct fs_pool_work {
    uint64_t iterations, preemptions;
    double prompt_tokens, output_tokens; /* computed; those of recomputed prompts count again */
    double batch; /* decoding sequences, summed over iterations with any; / decodings: the mean */
    uint64_t decodings;
    double busy_s;                     /* of a station, summed over stations and replicas */
    double compute_s;                  /* of that, kernels */
    double side_s[FS_SIDES][FS_STAYS]; /* with MLPs elsewhere: of its iterations */
    double block_s;                    /* blocks in use x time */
    uint64_t peak_blocks;              /* of one replica */
    uint64_t kv_hits, kv_lookups;
    double kv_bytes; /* that left for other replicas */
} fs_pool_work;

typedef struct fs_serve_out {
    double end_s;
    fs_served *requests; /* (n) the caller's */
    fs_pool_work *pools; /* (n_pools) the caller's */
    fs_samples *itl;     /* the caller's: times between two steps of a sequence, `count` of each */
    uint32_t count;      /* how many services alike this one stands for: the caller's, >= 1 */
    double fresh_ttft_s; /* the shortest prompt alone; 0: not computed */
    double fresh_tpot_s; /* a sequence alone, with the shortest context */
} fs_serve_out;

typedef struct fs_serve_calls {
    void *context;
    void (*load)(void *context, uint32_t resource, double load, double now_s); /* engine.h; NULL: none */
} fs_serve_calls;

/* A cluster with a stream of requests and a router of its own. Services share the fabric and nothing else. */
typedef struct fs_service {
    fs_cluster *cluster;
    const fs_requests *requests;
    fs_serve_out *out;
} fs_service;

/* Fills the outs of all (n >= 1). Every request is done or rejected when it returns FS_OK. */
FS_MUST_CHECK fs_status fs_serve(const fs_service *services, uint32_t n, fs_engine *engine, const fs_serve_calls *calls,
                                 fs_err *err);

#endif
