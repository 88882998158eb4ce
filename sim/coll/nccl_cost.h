/* nccl_cost.h - what NCCL believes that a collective takes, by which it chooses; and what it does take. */
#ifndef FS_NCCL_COST_H
#define FS_NCCL_COST_H

#include "coll/nccl_table.h"

/* A collective about to run. */
typedef struct fs_nccl_run {
    fs_coll_kind kind;
    fs_algo algo;        /* not auto */
    fs_proto proto;      /* not auto */
    fs_arch arch;        /* of the GPUs */
    uint32_t n, n_nodes; /* ranks; scale-up domains */
    uint32_t apart;      /* as coll.h */
    uint32_t channels;
    uint32_t intra_class;        /* slowest fs_link_class inside a domain */
    bool registered;             /* its buffers are: no copies through NCCL's own */
    uint32_t top_k, top_domains; /* of forwarded */
    double size_bytes;
    double stream_s; /* the payload's time at the links' effective rate */
    double nvlink_s; /* the same, over NVLinks alone */
    double nic_s;    /* the same, over the adapters alone */
    double wire_s;   /* latency of the links, switches and NICs on the way, of the whole algorithm */
} fs_nccl_run;

typedef struct fs_nccl_time {
    double wire;      /* bytes on the wire per byte of payload: flags of LL and LL128 */
    double latency_s; /* what it takes beyond wire x stream_s, with the links idle: >= 0 */
} fs_nccl_time;

/* Does NCCL have this protocol for it? */
bool fs_nccl_has(const fs_nccl_run *run);
/* Seconds as NCCL's tuning model has them (nccl_belief.c). */
double fs_nccl_belief(const fs_nccl_table *table, const fs_nccl_run *run);
fs_nccl_time fs_nccl_cost(const fs_nccl_table *table, const fs_nccl_run *run);
double fs_nccl_wire(fs_proto proto);
/* Steps within domains and between them, of a ring. */
void fs_nccl_ring_steps(const fs_nccl_run *run, double *intra, double *inter);
uint32_t fs_nccl_floor_log2(double x);
/* Slow twin: latency of one message over a link of a class; the launch before the first ones. */
double fs_nccl_hop(const fs_nccl_table *table, fs_arch arch, fs_algo algo, fs_proto proto, uint32_t link_class);
double fs_nccl_launch(const fs_nccl_table *table, fs_arch arch, fs_algo algo, fs_proto proto);

#endif
