/* run_set.h - settings by path, as `--set` and sweeps give them: which input a path means.
 *
 *   topo:NAME.ATTRIBUTE, or a path that begins with a kind of element (gpu.h100-sxm5.power): the topology
 *   nccl:NAME.ATTRIBUTE: NCCL's costs
 *   anything else: the trace */
#ifndef FS_RUN_SET_H
#define FS_RUN_SET_H

#include "run.h"

enum { FS_SETTINGS_MAX = 64, FS_SETTING_SIZE = 256 };

/* The storage is the caller's and lives as long as the overrides are used. */
typedef struct fs_overrides {
    char text[FS_SETTINGS_MAX][FS_SETTING_SIZE];
    uint32_t count; /* of text */
    fs_topo_override topo[FS_SETTINGS_MAX], nccl[FS_SETTINGS_MAX];
    fs_trace_override trace[FS_SETTINGS_MAX];
    uint32_t n_topo, n_nccl, n_trace;
} fs_overrides;

bool fs_setting_is_topo(const char *path);

void fs_overrides_clear(fs_overrides *o);
/* FS_E_USAGE where the path has no sense or there are too many. */
FS_MUST_CHECK fs_status fs_overrides_add(fs_overrides *o, const char *path, const char *value, fs_err *err);
/* The error of a setting that is none. */
fs_status fs_overrides_bad(const char *text, fs_err *err);

#endif
