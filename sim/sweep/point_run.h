/* point_run.h - runs points one after the other in one process, and keeps what they share.
 *
 * Topologies stay loaded (the last ones used, by file and settings), and so do bundles, routes, groups and shapes of the
 * last run where topology and options are the same (fs_run_cache in run.h). */
#ifndef FS_POINT_RUN_H
#define FS_POINT_RUN_H

#include "sweep/sweep.h"

typedef struct fs_point_runner fs_point_runner;

FS_MUST_CHECK fs_status fs_point_runner_new(fs_point_runner **runner, fs_err *err);
void fs_point_runner_free(fs_point_runner *runner);

/* Load a topology without settings, to have it when it is asked for. */
FS_MUST_CHECK fs_status fs_point_runner_load(fs_point_runner *runner, const char *path, uint32_t *n_devices,
                                             fs_err *err);

/* Write the result: the text of `fabsim --json --stable` of the same topology, trace and settings. */
FS_MUST_CHECK fs_status fs_point_run(fs_point_runner *runner, const fs_point *point, fs_out *result, fs_err *err);

#endif
