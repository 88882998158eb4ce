/* run_fabric.h - what every run needs of a topology: bundles, routes, lowering. Private to run.c and serve_*.c. */
#ifndef FS_RUN_FABRIC_H
#define FS_RUN_FABRIC_H

#include "run.h"

typedef struct fs_run_fabric {
    const fs_topo *topo; /* that is simulated: the bundled one, or the one given */
    fs_topo *bundled;
    fs_router *router;
    fs_router **epochs; /* (n_epochs) where links fail, else NULL */
    uint32_t n_epochs;
    fs_pattern_table *patterns;
    fs_lowering *lowering;
    bool kept; /* by the options' cache, which frees it */
} fs_run_fabric;

/* *f is all zero bits before, and good for closing after a failure too. */
FS_MUST_CHECK fs_status fs_run_fabric_open(const fs_topo *whole, const fs_run_options *options, fs_nccl_use use,
                                           fs_run_fabric *f, fs_err *err);
void fs_run_fabric_close(fs_run_fabric *f);

uint64_t fs_run_peak_memory_bytes(void);

#endif
