/* algorithms.h - each algorithm: from a group to a shape. */
#ifndef FS_ALGORITHMS_H
#define FS_ALGORITHMS_H

#include "coll/shape.h"

typedef struct fs_algo_run {
    fs_neighbourhood *hood;
    fs_group *group;   /* of at least two */
    fs_coll_kind kind; /* one that the algorithm can do */
    uint32_t root;
    fs_shape_builder *b; /* begun */
} fs_algo_run;

enum { FS_CHUNKS = 8 }; /* messages that chains and trees cut their bytes into: NCCL_STEPS, the depth of its pipeline */

/* ring.c */
FS_MUST_CHECK fs_status fs_ring_emit(const fs_algo_run *run, fs_err *err);
FS_MUST_CHECK fs_status fs_chain_emit(const fs_algo_run *run, fs_err *err);
/* tree.c */
FS_MUST_CHECK fs_status fs_tree_emit(const fs_algo_run *run, fs_err *err);
/* Parent of node in tree 0 or 1 of the double binary tree over n nodes; FS_NONE for the root. */
uint32_t fs_tree_parent(uint32_t node, uint32_t n, uint32_t tree);
/* nvls.c: FS_E_TRACE where the GPUs do not all hang on one set of multicast switches. */
FS_MUST_CHECK fs_status fs_nvls_emit(const fs_algo_run *run, fs_err *err);
/* direct.c */
FS_MUST_CHECK fs_status fs_direct_emit(const fs_algo_run *run, fs_err *err);

#endif
