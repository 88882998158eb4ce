/* run_watch.h - what run.c notes down while a job runs, and the result that comes of it. Private to run.c.
 *
 * fs_watch.calls goes to the scheduler. Categories of time, in order of precedence: compute, optimizer, one per family,
 * p2p, delay, bubble (a send or recv that waits for its peer); then idle. */
#ifndef FS_RUN_WATCH_H
#define FS_RUN_WATCH_H

#include "metric/metric.h"
#include "report/timeline.h"
#include "run.h"

enum { FS_CATEGORY_COMPUTE, FS_CATEGORY_OPTIMIZER, FS_CATEGORY_FAMILIES };

typedef struct fs_watch {
    const fs_job *job;
    fs_sched_calls calls;
    fs_metric *metric;
    fs_timeline *timeline;             /* NULL = none; the caller's */
    uint32_t p2p, delay, bubble, idle; /* categories */
    uint32_t *tier_of;                 /* (n_links) */
    uint32_t *tier_links;              /* (n_tiers) */
    double *tier_Bps;                  /* (n_tiers) capacity of all links */
    double *link_load;                 /* (n_links) B/s now */
    fs_spans *spans;                   /* NULL = none; goes to the result */
    uint32_t *span_row;                /* (n_actors) FS_NONE for most */
    double *move_s;                    /* (n_actors x n_streams) since when the communication under way moves */
    uint64_t *plan_count;              /* (plans) how often each has run */
    double *plan_s;                    /* (plans) seconds that took in all */
    struct fs_arena *arena;
} fs_watch;

FS_MUST_CHECK fs_status fs_watch_start(const fs_job *job, fs_timeline *timeline, bool pictures, fs_watch *watch,
                                       fs_err *err);
void fs_watch_stop(fs_watch *watch);

/* Fill what the job, the engine and the watch tell: all but the options, the counters' memory and wall time. `whole` is
 * the topology to speak of: the job's, or the one that the job's is a bundle of. */
FS_MUST_CHECK fs_status fs_watch_result(fs_watch *watch, const fs_topo *whole, const fs_engine *engine, double step_s,
                                        fs_result *result, fs_err *err);

#endif
