/* algorithms.h - each algorithm: from a group to a shape. */
#ifndef FS_ALGORITHMS_H
#define FS_ALGORITHMS_H

#include "coll/shape.h"

typedef struct fs_algo_run {
    fs_neighbourhood *hood;
    fs_router *router; /* of the epoch; structure is hood's, of the healthy machine */
    uint32_t epoch;    /* FS_NONE: the healthy machine */
    fs_group group;    /* of at least two */
    fs_form *form;     /* of the group */
    fs_algo algo;
    fs_coll_kind kind; /* one that the algorithm can do */
    uint32_t root;
    bool cross_rail;    /* point to point between rails: through the network; else PXN */
    const double *load; /* (n) all_to_all: parts of what each rank sends (transpose: gets), sum 1; NULL: even */
    bool transpose;
    uint32_t top_k, top_domains; /* forwarded: copies of a token; domains that they are in at most, 0: all */
    uint32_t apart;              /* as coll.h */
    fs_shape_builder *b;         /* begun */
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
/* nvls_heads.c: both FS_E_TRACE where there is one domain, or one without NICs or multicast switches; SHARP also where the
 * network's switches do not reduce. */
FS_MUST_CHECK fs_status fs_nvls_tree_emit(const fs_algo_run *run, fs_err *err);
FS_MUST_CHECK fs_status fs_sharp_emit(const fs_algo_run *run, fs_err *err);
/* hierarchical.c: FS_E_TRACE where domains have different numbers of members. */
FS_MUST_CHECK fs_status fs_hierarchical_emit(const fs_algo_run *run, fs_err *err);
/* pat.c */
FS_MUST_CHECK fs_status fs_pat_emit(const fs_algo_run *run, fs_err *err);
/* direct.c */
FS_MUST_CHECK fs_status fs_direct_emit(const fs_algo_run *run, fs_err *err);
/* forwarded.c */
FS_MUST_CHECK fs_status fs_forwarded_emit(const fs_algo_run *run, fs_err *err);

/* ---- crossing.c: ways between GPUs, added to the transfer that is being put together ---- */

/* The way that was added last. */
typedef struct fs_way {
    double latency_s;
    uint32_t worst_class; /* fs_link_class of the slowest link */
} fs_way;

/* From a device to another as the router likes, `times` over. flow: a ring's channel; 0 for all else. */
FS_MUST_CHECK fs_status fs_way_leg(const fs_algo_run *run, uint32_t src, uint32_t dst, uint64_t flow, double times,
                                   fs_way *way, fs_err *err);
/* The same; *found = false, and nothing is added, where there is no way. FS_E_TOPOLOGY where only a fault is in it. */
FS_MUST_CHECK fs_status fs_way_try(const fs_algo_run *run, uint32_t src, uint32_t dst, uint64_t flow, double times,
                                   fs_way *way, bool *found, fs_err *err);
/* Between positions of the group in different domains, through two given NICs (offset 0: as the router likes). */
FS_MUST_CHECK fs_status fs_way_cross(const fs_algo_run *run, uint32_t src, fs_port src_nic, fs_port dst_nic,
                                     uint32_t dst, uint64_t flow, fs_way *way, fs_err *err);
/* Between any two positions, as point-to-point traffic goes. */
FS_MUST_CHECK fs_status fs_way_pair(const fs_algo_run *run, uint32_t src, uint32_t dst, double times, fs_way *way,
                                    fs_err *err);
/* NICs nearest to a GPU: their device ids are base + make->nics[near[k]]. */
typedef struct fs_near_nics {
    const fs_make *make;
    uint32_t base, n;
    const uint32_t *near;
} fs_near_nics;

FS_MUST_CHECK fs_status fs_find_near(const fs_algo_run *run, uint32_t gpu, fs_near_nics *near, fs_err *err);
/* Edge i of a channel: order[i] -> order[(i + 1) % n]. */
FS_MUST_CHECK fs_status fs_way_edge(const fs_algo_run *run, uint32_t channel, uint32_t i, fs_way *way, fs_err *err);

#endif
