/* kv_path.h - the ways of KV caches that are known already. Private to cluster.c and kv_path.c. */
#ifndef FS_KV_PATH_H
#define FS_KV_PATH_H

#include "base/err.h"

typedef struct fs_kv_paths fs_kv_paths;

FS_MUST_CHECK fs_status fs_kv_paths_new(fs_kv_paths **paths, fs_err *err);
void fs_kv_paths_free(fs_kv_paths *paths);

#endif
