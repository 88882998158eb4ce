/* serving.h - what an inference run adds to a result. Filled by serve_result.c, read by report/; arrays belong to the
 * result. */
#ifndef FS_REPORT_SERVING_H
#define FS_REPORT_SERVING_H

#include "base/summary.h"
#include "work/inference.h"

/* Where iterations are whose MLPs are in another pool, as parts of their time that sum to 1: in kernels of either side, waiting
 * for its GPUs, and on the way to it. */
typedef struct fs_afd_row {
    const char *ffn; /* the other pool's name; NULL: none */
    uint32_t micro_batches;
    double attention, attention_queue, ffn_work, ffn_queue, there, back;
    const char *bound; /* "attention", "ffn", "links": where most of it goes, waiting included */
} fs_afd_row;

typedef struct fs_pool_row {
    const char *name, *role;
    const char *part;        /* that it runs on */
    bool lpu;                /* which is no GPU */
    uint32_t replicas, gpus; /* gpus: of a replica, or LPUs */
    uint64_t iterations, preemptions;
    double mean_batch;          /* sequences that decode, over iterations where any do */
    double busy, compute;       /* parts of the time, mean over replicas and stages: an iteration; its kernels */
    double prompt_tokens_per_s; /* computed, all replicas */
    uint64_t kv_blocks;         /* of a replica */
    uint32_t kv_block_tokens;
    double kv_mean, kv_peak; /* parts of the blocks in use: over time and replicas; of the fullest one */
    double kv_hits;          /* part of the shared prompt blocks that were found; < 0: none were sought */
    double kv_sent_bytes;    /* to other replicas */
    double weight_bytes, kv_bytes, gpu_bytes; /* on a GPU */
    fs_afd_row afd;
} fs_pool_row;

typedef struct fs_request_row {
    double arrival_s, start_s, first_s, landed_s, done_s; /* landed: in the decode pool, 0 without one */
    uint32_t input, output, priority, replica, target, preemptions, cached;
    uint32_t count; /* how many alike it stands for: copies of a fleet that were simulated as one */
    bool rejected;
} fs_request_row;

typedef struct fs_serving_result {
    uint64_t n_requests, n_rejected;
    uint32_t copies, streams, copies_simulated; /* of the service; their different streams of requests; 1: no fleet */
    double offered_per_s;                       /* requests; 0 in a closed loop */
    uint32_t concurrency;                       /* of a closed loop, else 0 */
    double mean_input, mean_output;             /* tokens */
    fs_summary ttft, tpot, itl, e2e, queue;     /* s; tpot of requests with two tokens and more */
    uint64_t gpus, lpus;                        /* of all pools */
    double requests_per_s, input_tokens_per_s, output_tokens_per_s;
    double output_tokens_per_s_per_gpu,
        output_tokens_per_s_per_user;           /* per GPU, LPUs not counted; per user: 1 / mean tpot */
    double slo_ttft_s, slo_tpot_s;              /* 0: none */
    double slo_met;                             /* part of the requests that were done */
    double goodput_per_s, goodput_tokens_per_s; /* of those */
    double alone_ttft_s, alone_tpot_s;          /* the shortest prompt, and a token after it, with nobody else there */
    bool unstable;                              /* the queue grew all the time */
    double queued[4];                           /* requests that waited, mean over each quarter of the arrivals' time */
    uint64_t preemptions;
    uint32_t n_pools;
    fs_pool_row *pools; /* (n_pools) */
    uint32_t n_rows;
    fs_request_row *requests; /* (n_rows) of the copies that were simulated, each in the order of arrivals */
} fs_serving_result;

/* A token after the first, on average; 0 where there is none. */
double fs_request_tpot_s(const fs_request_row *row);

/* What the rows of requests come to over a run of end_s: rejections, preemptions, latencies, rates, goodput, the queue. The rest
 * of *serving is there; copies follow each other, each with rows_of_copy (>= 1) of n_rows, a multiple of it. */
FS_MUST_CHECK fs_status fs_serving_sum_up(fs_serving_result *serving, uint32_t rows_of_copy, double end_s, fs_err *err);

#endif
