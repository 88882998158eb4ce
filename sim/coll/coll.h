/* coll.h - from a collective to transfers: algorithm, protocol, latency, bytes on each link.
 *
 * lower.c dispatches and keeps; choice.c picks; ring.c, tree.c, nvls.c, direct.c make plans; ring_search.c finds the
 * channels; nccl_cost.c says what it takes, nccl_belief.c what NCCL believes that it takes. Lowering is deterministic and cached.
 *
 * size_bytes is what nccl-tests prints in its size column: the whole buffer. all_reduce, broadcast, reduce: the
 * buffer of each rank; all_gather: the gathered result; reduce_scatter: the input; all_to_all: what
 * each rank sends in total (its own share included); send/recv: the message. */
#ifndef FS_COLL_H
#define FS_COLL_H

#include "base/pattern.h"
#include "route/route.h"

typedef enum fs_coll_kind {
    FS_ALL_REDUCE,
    FS_ALL_GATHER,
    FS_REDUCE_SCATTER,
    FS_ALL_TO_ALL,
    FS_BROADCAST,
    FS_REDUCE,
    FS_BARRIER, /* an all_reduce of 4 bytes as far as time goes */
    FS_SENDRECV,
    FS_COLL_KINDS
} fs_coll_kind;

typedef enum fs_algo {
    FS_ALGO_AUTO,
    FS_ALGO_RING,     /* one ring per channel, channels found on the real links */
    FS_ALGO_TREE,     /* chains in a node, double binary tree over nodes: all_reduce */
    FS_ALGO_NVLS,     /* multicast and reduction in the NVSwitch: all_reduce, all_gather, reduce_scatter, broadcast */
    FS_ALGO_DIRECT,   /* every pair at once: all_to_all, and one-shot all_gather, reduce_scatter */
    FS_ALGO_CHAIN,    /* pipelined along the ring order: broadcast, reduce */
    FS_ALGO_NVLSTREE, /* NVLS in a node, a double binary tree over nodes on every rail: all_reduce */
    FS_ALGO_SHARP,    /* NVLS in a node, reduction in the network's switches on every rail: all_reduce */
    FS_ALGO_PAT,      /* logarithmic, far ranks first: all_gather, reduce_scatter */
    FS_ALGO_HIERARCHICAL, /* rings in nodes, then across, then in nodes: all_reduce, all_gather, reduce_scatter */
    FS_ALGO_ONESHOT,      /* every rank sends all to all and sums by itself, in one domain: all_reduce; not NCCL's */
    FS_ALGO_TWOSHOT,      /* the same for parts, then sends the sums around: all_reduce; not NCCL's */
    FS_ALGO_FORWARDED,    /* a token once to each domain of its experts, passed on inside it: all_to_all; DeepEP's */
    FS_ALGO_LOWLATENCY,   /* as direct, by kernels that write to the experts' GPUs themselves: all_to_all; DeepEP's */
    FS_ALGOS
} fs_algo;

typedef enum fs_proto { FS_PROTO_AUTO, FS_PROTO_LL, FS_PROTO_LL128, FS_PROTO_SIMPLE, FS_PROTOS } fs_proto;

typedef enum fs_cost { FS_COST_NCCL, FS_COST_IDEAL, FS_COSTS } fs_cost;

typedef enum fs_lowering_mode {
    FS_LOWER_COUPLED,  /* a pipelined algorithm is one transfer per channel: the default */
    FS_LOWER_FLOWS,    /* one transfer per edge of the algorithm, all at once */
    FS_LOWER_MESSAGES, /* message by message, chunk after chunk, with the algorithm's own dependencies: the slow twin */
    FS_LOWERINGS
} fs_lowering_mode;

/* One transfer of a plan. */
typedef struct fs_move {
    uint32_t pattern;
    double bytes;     /* that one edge moves */
    double latency_s; /* paid before the bytes move, after the predecessors are done */
} fs_move;

/* A collective made concrete: moves and the order among them. Move j may start when all its predecessors are done.
 * The plan is done when all moves are. Constant; owned by the lowering. */
typedef struct fs_plan {
    uint32_t n_moves;
    const fs_move *moves;       /* (n_moves) */
    const uint32_t *succ_begin; /* (n_moves + 1) */
    const uint32_t *succ;       /* (succ_begin[n_moves]) successors of each move */
    const uint32_t *n_pred;     /* (n_moves) */
    /* Where links fail or come back: patterns_at[epoch][move], NULL where an epoch's are those of moves[], which are
     * the healthy machine's; NULL where all are. */
    const uint32_t *const *patterns_at;
    fs_algo algo; /* what auto chose */
    fs_proto proto;
    uint32_t channels;
    double estimate_s; /* the modelled time without other traffic; what auto compares */
} fs_plan;

typedef struct fs_coll_request {
    fs_coll_kind kind;
    fs_algo algo;
    fs_proto proto;
    const uint32_t *gpus; /* (n) device ids in rank order of the group; all different */
    uint32_t n;           /* >= 1; a group of one does nothing */
    uint32_t *group; /* in and out: the lowering's number for these GPUs, FS_NONE before the first request of them; then
                      * they are not looked up again. NULL: look them up */
    uint32_t root;   /* position in gpus[]: broadcast, reduce. sendrecv: gpus[0] -> gpus[1] */
    double size_bytes;  /* >= 0 */
    const double *load; /* (n) all_to_all: position i sends size_bytes x load[j] to j; sums to 1. NULL: even */
    bool transpose;     /* with a load: i sends size_bytes x load[i] to each */
    /* all_to_all by forwarded: size_bytes counts top_k copies of each token; 0: one. top_domains: domains that a token's
     * copies are in at most; 0: all. */
    uint16_t top_k, top_domains;
    uint32_t apart; /* with a load: the first so many positions get by it, all from the others, which send alike and get
                     * nothing (transpose: the other way round); size_bytes x n is the sum; 0: all to all */
} fs_coll_request;

typedef struct fs_lowering fs_lowering;

/* How point-to-point traffic gets to another rail. */
typedef enum fs_cross_rail {
    FS_CROSS_AS_TOPOLOGY, /* as fs_topo.cross_rail says */
    FS_CROSS_PXN,         /* over NVLink to the GPU of the destination's rail, which sends */
    FS_CROSS_NETWORK,     /* by the source's own NIC, through the network's spines */
    FS_CROSS_RAILS
} fs_cross_rail;

typedef struct fs_lowering_options {
    fs_cost cost;
    fs_lowering_mode mode;
    fs_cross_rail cross_rail;
    fs_router *const *epochs;         /* (topo->n_epochs) routers of each epoch; NULL: the machine stays healthy */
    const struct fs_nccl_table *nccl; /* costs, outlives the lowering; NULL: the shipped table */
    bool registered;                  /* buffers are registered with NCCL: nothing is copied through its own */
    bool sharp;                       /* auto considers SHARP in the network (NCCL_COLLNET_ENABLE=1) */
} fs_lowering_options;

/* router: of the healthy machine. topo, the routers and patterns must outlive the lowering; patterns are added to as
 * plans are made. */
FS_MUST_CHECK fs_status fs_lowering_new(const fs_topo *topo, fs_router *router, fs_pattern_table *patterns,
                                        fs_lowering_options options, fs_lowering **lowering, fs_err *err);
void fs_lowering_free(fs_lowering *lowering);

/* FS_E_TRACE where the algorithm cannot do the collective here (text says why and what can); FS_E_TOPOLOGY where faults
 * cut the group off. */
FS_MUST_CHECK fs_status fs_lower(fs_lowering *lowering, const fs_coll_request *request, const fs_plan **plan,
                                 fs_err *err);

/* Capacity of a link under a cost model, B/s: bandwidth_Bps (ideal) or effective_Bps (nccl). */
double fs_link_capacity(const fs_topo *topo, uint32_t link, fs_cost cost);

/* busbw / algbw of nccl-tests: 2(n-1)/n for all_reduce, (n-1)/n for all_gather, reduce_scatter, all_to_all, else 1. */
double fs_busbw_factor(fs_coll_kind kind, uint32_t n);

extern const char *const fs_coll_names[FS_COLL_KINDS];        /* "all_reduce" ... */
extern const char *const fs_algo_names[FS_ALGOS];             /* "auto", "ring" ... */
extern const char *const fs_lowering_names[FS_LOWERINGS];     /* "coupled" ... */
extern const char *const fs_cost_names[FS_COSTS];             /* "nccl", "ideal" */
extern const char *const fs_proto_names[FS_PROTOS];           /* "auto", "LL", "LL128", "Simple" */
extern const char *const fs_cross_rail_names[FS_CROSS_RAILS]; /* "topology", "pxn", "network" */

#endif
