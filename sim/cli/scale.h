/* scale.h - a scaling study: the same job on one number of GPUs after the other. Private to cli. */
#ifndef FS_SCALE_H
#define FS_SCALE_H

#include "cli/cli.h"

enum { FS_SCALE_MAX = 64 };

/* Ascending, all different. */
typedef struct fs_scale_list {
    uint32_t gpus[FS_SCALE_MAX];
    uint32_t count;
} fs_scale_list;

/* "1024,2048"; NULL is an empty list. FS_E_USAGE. */
FS_MUST_CHECK fs_status fs_scale_parse(const char *text, fs_scale_list *list, fs_err *err);

typedef struct fs_scale_job {
    fs_topo *topo; /* gets the faults of the command line and of the trace */
    const char *path;
    const fs_overrides *overrides;
    const fs_cli_fault_list *faults;
    fs_scaling mode;
    const fs_run_options *options; /* a timeline is of the largest run */
} fs_scale_job;

/* Run them all. *work and *result are those of the largest, which carries the study; rows (list->count) are the
 * caller's and outlive it. The caller frees *work, also where a run failed. */
FS_MUST_CHECK fs_status fs_scale_run(const fs_scale_job *job, const fs_scale_list *list, fs_scaling_row *rows,
                                     fs_work **work, fs_result *result, fs_err *err);

#endif
