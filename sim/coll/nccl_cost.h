/* nccl_cost.h - what NCCL's protocols cost: its own published constants and step counts.
 *
 * Source of every figure: NVIDIA NCCL 2.30.7, src/graph/tuning.cc, except where the table says otherwise. They are
 * NVIDIA's measurements, not fitted to anything here. */
#ifndef FS_NCCL_COST_H
#define FS_NCCL_COST_H

#include "coll/coll.h"

/* A collective about to run. */
typedef struct fs_nccl_run {
    fs_coll_kind kind;
    fs_algo algo;        /* not auto */
    fs_proto proto;      /* not auto */
    fs_arch arch;        /* of the GPUs */
    uint32_t n, n_nodes; /* ranks; scale-up domains */
    uint32_t channels;
    uint32_t intra_class; /* slowest fs_link_class inside a domain */
    double size_bytes;
    double stream_s; /* the payload's time at the links' full rate */
    double nvlink_s; /* the same, over NVLinks alone */
} fs_nccl_run;

typedef struct fs_nccl_time {
    double wire;      /* bytes on the wire per byte of payload: flags of LL and LL128 */
    double latency_s; /* launch and hops */
    double wait_s;    /* what the GPUs need beyond wire x stream_s, with the links idle: see nccl_cost.c */
} fs_nccl_time;

/* Does NCCL have this protocol for it? */
bool fs_nccl_has(const fs_nccl_run *run);
fs_nccl_time fs_nccl_cost(const fs_nccl_run *run);
double fs_nccl_wire(fs_proto proto);
/* Slow twin: latency of one message over a link of a class; the launch before the first ones. */
double fs_nccl_hop(fs_algo algo, fs_proto proto, uint32_t link_class);
double fs_nccl_launch(fs_algo algo, fs_proto proto);

#endif
