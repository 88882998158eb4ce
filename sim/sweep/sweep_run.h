/* sweep_run.h - computes the points of a sweep that its database does not have yet. */
#ifndef FS_SWEEP_RUN_H
#define FS_SWEEP_RUN_H

#include "sweep/sweep.h"

typedef struct fs_sweep_options {
    const char *database;
    uint32_t n_workers;            /* 0: one for each physical core */
    double seconds_max, bytes_max; /* of a point; 0: any */
    bool retry;                    /* failed points are computed again */
    bool check;                    /* compute nothing, only say what is there; the database must exist */
    uint32_t shard, n_shards;      /* points whose number leaves that remainder; n_shards 0 or 1: all */
    FILE *progress;                /* NULL: none */
} fs_sweep_options;

/* Of this shard's points. */
typedef struct fs_sweep_summary {
    uint32_t points, there; /* there: in the database beforehand */
    uint32_t computed;
    uint32_t failed, missing; /* in the database afterwards */
    double seconds;
} fs_sweep_summary;

/* *signal: as in fs_workers_run; what was computed until then is in the database. */
FS_MUST_CHECK fs_status fs_sweep_run(const fs_sweep *sweep, const fs_sweep_options *options, fs_sweep_summary *summary,
                                     int *signal, fs_err *err);

#endif
