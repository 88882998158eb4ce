/* serve_stages.h - what the stages of an inference run leave for the next ones: serve_run.c fills it, serve_result.c reads it.
 * Private to the two. */
#ifndef FS_SERVE_STAGES_H
#define FS_SERVE_STAGES_H

#include "metric/metric.h"
#include "run_fabric.h"
#include "serve/fleet.h"
#include "serve/serve.h"

/* A copy of the service that is simulated. */
typedef struct fs_serve_copy {
    fs_inference in; /* the trace's, with pools on the GPUs of the copy */
    fs_requests requests;
    fs_cluster cluster;
    fs_serve_out out;
} fs_serve_copy;

typedef struct fs_serve_stages {
    const fs_work *work;
    const fs_inference *in;
    fs_run_fabric fabric;
    fs_fleet_plan plan;
    fs_serve_copy *copies; /* (plan.n) */
    fs_samples *itl;
    double end_s;
    fs_engine *engine;
    fs_metric *metric;
    double *capacity, *load, *tier_Bps; /* (n_links), (n_links) B/s now, (n_tiers) */
    uint32_t *tier_of, *tier_links;     /* (n_links), (n_tiers) */
    uint32_t *link_count;               /* (n_links) that each stands for */
    uint32_t n_links;                   /* of the topology that may be used: those from 0 on */
    struct fs_arena *arena;
} fs_serve_stages;

/* What a run that has ended comes to: all but the options, the memory and the wall time. `whole` is the topology to speak of:
 * the run's, or the one that it is a bundle of. */
FS_MUST_CHECK fs_status fs_serve_result(fs_serve_stages *stages, const fs_topo *whole, const fs_run_options *options,
                                        fs_result *result, fs_err *err);

#endif
