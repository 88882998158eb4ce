/* run.h - one simulation from a topology and a work to a result: the only file that knows every stage. */
#ifndef FS_RUN_H
#define FS_RUN_H

#include "report/result.h"
#include "report/timeline.h"
#include "sched/sched.h"

/* New liquid-cooled halls come to 1.1 and the mean of all to 1.56 (Uptime Institute's survey of 2024, from memory). */
#define FS_PUE 1.2

/* What a run may keep for the next one on the same topology with the same options: bundles, routes, lowering with the
 * groups, shapes and plans made so far. One topology is kept, the last. Results are the same to the last bit. */
typedef struct fs_run_cache fs_run_cache;
fs_run_cache *fs_run_cache_new(void); /* NULL: no memory */
void fs_run_cache_free(fs_run_cache *cache);
void fs_run_cache_forget(fs_run_cache *cache, const fs_topo *topo); /* before the topology is freed */

typedef struct fs_run_options {
    fs_backend network;
    fs_lowering_mode lowering;
    fs_cost cost;
    fs_fold_mode fold; /* the stock networks never fold */
    uint64_t seed;
    uint64_t max_events;  /* 0 = none */
    bool pictures;        /* fill fs_result.pictures */
    const char *timeline; /* path, NULL = none */
    fs_timeline_options timeline_options;
    const struct fs_nccl_table *nccl; /* costs of collectives; NULL = the shipped table */
    double pue;                       /* of the facility: all of its power over what computes */
    bool registered, sharp;           /* as in fs_lowering_options */
    fs_run_cache *cache;              /* NULL: none. The caller's; with it, nccl outlives it */
} fs_run_options;

fs_run_options fs_run_default(void);

FS_MUST_CHECK fs_status fs_run(const fs_topo *topo, const fs_work *work, const fs_run_options *options,
                               fs_result *result, fs_err *err);

#endif
