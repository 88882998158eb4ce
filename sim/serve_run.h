/* serve_run.h - one simulation of an inference job, from a topology and a work to a result: run.h's twin. */
#ifndef FS_SERVE_RUN_H
#define FS_SERVE_RUN_H

#include "run.h"

/* work->inference is there. Options that a serving run does not have - other networks, timelines - are FS_E_USAGE, and so
 * are faults that come and go. */
FS_MUST_CHECK fs_status fs_serve_run(const fs_topo *topo, const fs_work *work, const fs_run_options *options,
                                     fs_result *result, fs_err *err);

#endif
