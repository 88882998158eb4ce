/* point_hash.h - the identity of points: a hash of all that can change their results. Private to sim/sweep. */
#ifndef FS_POINT_HASH_H
#define FS_POINT_HASH_H

#include "sweep/store.h"
#include "sweep/sweep.h"

/* What all points of a sweep share: the program and the files. */
typedef struct fs_sweep_hashes {
    uint64_t program;
    uint64_t *topologies, *traces; /* (n_topologies), (n_traces): of the text of the files and what they include */
} fs_sweep_hashes;
FS_MUST_CHECK fs_status fs_sweep_hashes_make(const fs_sweep *sweep, fs_sweep_hashes *hashes, fs_err *err);
void fs_sweep_hashes_free(fs_sweep_hashes *hashes);

/* `settings`: as fs_point_write_settings writes them. */
FS_MUST_CHECK fs_status fs_point_hash(const fs_sweep *sweep, const fs_sweep_hashes *hashes, const fs_point *point,
                                      const char *settings, char hash[FS_POINT_HASH_SIZE], fs_err *err);

#endif
