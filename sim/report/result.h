/* result.h - the answer: plain data that every report is written from.
 *
 * Filled by run_result.c, read by report/. Arrays and names of rows belong to the result (fs_result_free). */
#ifndef FS_RESULT_H
#define FS_RESULT_H

#include "coll/coll.h"
#include "engine/engine.h"
#include "report/spans.h"
#include "topo/outline.h"
#include "work/work.h"

typedef struct fs_breakdown_row {
    const char *name; /* "compute", "optimizer", "exposed tp", ..., "idle" */
    double seconds;   /* mean over ranks; the rows sum to the step time */
    double max_s;     /* of the rank that spends most there */
    uint32_t max_rank;
} fs_breakdown_row;

typedef struct fs_tier_row {
    const char *name;
    uint32_t links;
    double capacity_Bps;     /* of all its links together */
    double bytes;            /* that crossed them */
    double mean_utilization; /* bytes / (capacity x step) */
    double peak_utilization; /* highest total load / capacity */
    uint32_t busiest_link;   /* the first of links[] in the tier, FS_NONE if the tier was idle */
} fs_tier_row;

/* A class of links that carried the same. */
typedef struct fs_link_row {
    uint32_t link;                                            /* topology link id of one of them */
    uint64_t count;                                           /* how many there are */
    double bytes, mean_utilization, peak_utilization, busy_s; /* of each */
} fs_link_row;

/* One row per distinct communication: how often, how long, at what busbw. */
typedef struct fs_comm_row {
    const char *family; /* "tp"; "p2p" for sends without one */
    const char *what;   /* "all_reduce" */
    double size_bytes;
    uint32_t ranks; /* members of the group */
    uint64_t count; /* per rank */
    fs_algo algo;
    fs_proto proto;
    uint32_t channels;
    double mean_s; /* from the time that all are there to the end */
    double algbw_Bps, busbw_Bps;
} fs_comm_row;

/* One run of a scaling study. */
typedef struct fs_scaling_row {
    uint32_t gpus;                                         /* ranks */
    double step_time_s, tokens_per_s, tflops_per_gpu, mfu; /* 0 = not known, but for the step */
    double efficiency;          /* throughput per GPU relative to the run on the fewest GPUs; 0 = not known */
    double exposed, bubble;     /* parts of the step, mean over ranks: communication waited for; pipeline bubbles */
    const char *busiest_tier;   /* of the most loaded link; NULL where none carried anything */
    double busiest_utilization; /* mean, of that link */
    double memory_bytes;        /* on the fullest GPU; 0 = not known */
    bool fits;                  /* and whether the smallest GPU in use has as much */
    double wall_s;
} fs_scaling_row;

/* What the job's share of the machine draws, in W; all 0 where a GPU's power is not known. */
typedef struct fs_power {
    double gpus_W, gpus_rated_W; /* while the job runs; at most */
    double lpus_W, lpus_rated_W; /* likewise, of what computes in a GPU's place */
    double hosts_W;              /* CPUs and what stands around them */
    double nics_W, switches_W;   /* switches: NVSwitches, PCIe and network switches */
    double busy;                 /* part of the time that GPUs, without LPUs, are not idle */
    double pue;                  /* facility over IT */
    double facility_W, rated_W;  /* all of it times PUE: while the job runs; with GPUs at their rated power */
} fs_power;

/* Load of the links behind an edge of the outline. */
typedef struct fs_edge_load {
    double capacity_Bps, bytes; /* of all of them */
    double busiest;             /* mean utilization of the most loaded one */
} fs_edge_load;

/* For pictures, in bounded size; all empty where nobody asked (fs_run_options.pictures). */
typedef struct fs_pictures {
    uint32_t n_steps; /* of time */
    double step_s;
    const double *tier_load;  /* (n_steps x n_tiers) part of its capacity, mean over the step */
    fs_outline *outline;      /* owned; NULL: none */
    fs_edge_load *edge_loads; /* (outline->n_edges) */
    uint32_t stands_for;      /* of a fleet that was folded, one copy is drawn, for so many */
    fs_spans *spans;          /* owned; NULL: none */
} fs_pictures;

typedef struct fs_result {
    const fs_topo *topo; /* not owned */
    const fs_work *work; /* not owned */
    const char *network, *lowering, *cost, *fold;
    uint64_t seed;
    double step_time_s;
    double tflops_per_gpu, mfu, hfu; /* 0 = not known. tflops counts hardware FLOPs, mfu / hfu are fractions of peak */
    double tokens_per_s, tokens_per_s_per_gpu;
    double gpu_mem_bytes; /* capacity of the smallest GPU used */
    fs_power power;
    uint32_t n_breakdown, n_tiers, n_links, n_comms;
    fs_breakdown_row *breakdown; /* sorted by precedence: compute first, idle last */
    fs_tier_row *tiers;          /* (topo->n_tiers) */
    fs_link_row *links;          /* every class that carried bytes, highest mean utilization first, then id */
    fs_comm_row *comms;
    const struct fs_serving_result *serving; /* of an inference trace (serving.h), else NULL */
    uint32_t n_scaling;                      /* 0: no scaling study */
    const fs_scaling_row *scaling;           /* (n_scaling) of ascending GPUs, this run the last; not owned */
    const char *scaling_mode;                /* "weak", "strong" */
    fs_pictures pictures;
    uint64_t rank_classes, link_classes, transfer_classes; /* what was simulated */
    uint64_t ranks, transfers, ops;                        /* for how many; transfers: moves of all plans */
    fs_engine_counters counters;
    uint64_t peak_memory_bytes; /* of the process */
    double wall_s;
    struct fs_arena *arena; /* owns the arrays and their names; NULL where the caller does */
} fs_result;

void fs_result_free(fs_result *result);

/* Tokens/s for each MW that the facility draws, and the J that a token takes; 0 where either is not known. */
double fs_result_per_mw(const fs_result *result);
double fs_result_joules(const fs_result *result);

/* Bytes on the fullest GPU, 0 where the trace does not say. */
double fs_result_memory(const fs_result *result);

/* The result as a row of a scaling study, but for its efficiency. The tier's name stays the topology's. */
fs_scaling_row fs_result_scaling(const fs_result *result);
/* Fill the efficiencies: rows (n) of ascending GPUs. Tokens/s count where they are known, else TFLOP/s. */
void fs_scaling_finish(fs_scaling_row *rows, uint32_t n);

#endif
