/* lowering.h - what lower.c and choice.c share: the state of a lowering.
 *
 *   group  the GPUs seen from the fabric (group.c)                    per distinct list of GPUs
 *   form   what groups that lie alike have in common (group.c)        per relative position of the members
 *   shape  an algorithm on a group: patterns and shares (shape.c)     per (group, kind, algorithm, root, load, copies)
 *   choice algorithm and protocol                                     per (form, kind, what was asked for, size)
 *   plan   a shape times a size, with the protocol's cost             per (group, kind, what was asked for, size) */
#ifndef FS_LOWERING_H
#define FS_LOWERING_H

#include "coll/algorithms.h"
#include "coll/nccl_cost.h"

/* A request, and the group or form that it is for. Hashed and compared as bytes: no padding. */
typedef struct fs_request_key {
    double size_bytes;
    uint32_t whose, root, load, apart;
    uint8_t kind, algo, proto, transpose;
    uint16_t top_k, top_domains;
} fs_request_key;

typedef struct fs_shape_key {
    uint32_t group, root, load, apart;
    uint8_t kind, algo, transpose, unused;
    uint16_t top_k, top_domains;
} fs_shape_key;

_Static_assert(sizeof(fs_request_key) == 32 && sizeof(fs_shape_key) == 24, "keys have padding");

typedef struct fs_known_shape {
    fs_shape_key key;
    const fs_shape *shape; /* NULL: the algorithm cannot do it here */
} fs_known_shape;

typedef struct fs_choice {
    fs_algo algo;
    fs_proto proto;
} fs_choice;

typedef struct fs_known_choice {
    fs_request_key key;
    fs_choice choice;
} fs_known_choice;

typedef struct fs_known_plan {
    fs_request_key key;
    const fs_plan *plan;
} fs_known_plan;

/* A load that some request brought. */
typedef struct fs_known_load {
    uint32_t n;
    const double *weights;
} fs_known_load;

struct fs_lowering {
    fs_lowering_options options;
    const fs_nccl_table *nccl; /* NULL under ideal costs */
    fs_nccl_table *own_nccl;   /* NULL: it is the options' */
    fs_arena *arena;
    fs_neighbourhood hood;
    fs_groups groups;
    fs_shape_builder builder;
    FS_VEC(fs_known_load) loads;
    FS_VEC(fs_known_shape) shapes;
    FS_VEC(fs_known_choice) choices;
    FS_VEC(fs_known_plan) plans;
    fs_index load_index, shape_index, choice_index, plan_index;
};

/* Shapes that differ by a factor are one: an all_reduce by ring is an all_gather with twice the bytes and steps. */
typedef struct fs_scaled_shape {
    const fs_shape *shape; /* NULL: the algorithm cannot do it here */
    fs_algo algo;          /* what the shape stands for */
    double times, latency_times;
} fs_scaled_shape;

/* The request's shape by an algorithm on a group. Where that cannot be, FS_E_TRACE, or, quiet, no shape. */
FS_MUST_CHECK fs_status fs_find_shape(fs_lowering *low, uint32_t group, const fs_request_key *request, fs_algo algo,
                                      bool quiet, fs_scaled_shape *out, fs_err *err);

/* A shape with a protocol, as NCCL's model sees it; s_per_B: of the shape, as the links of the group or as its boards tell. */
fs_nccl_run fs_nccl_run_of(const fs_lowering *low, const fs_group *group, const fs_request_key *request,
                           const fs_scaled_shape *scaled, double s_per_B, fs_proto proto);

/* FS_E_TRACE where the collective cannot be done by the algorithm asked for. */
FS_MUST_CHECK fs_status fs_check_algo(fs_coll_kind kind, fs_algo algo, fs_err *err);
/* Algorithm and protocol for a request to a group: what was asked for, or what the group's form does fastest. */
FS_MUST_CHECK fs_status fs_choose(fs_lowering *low, uint32_t group, const fs_request_key *request, fs_choice *choice,
                                  fs_err *err);

static inline fs_coll_kind fs_kind_of(const fs_request_key *request)
{
    return request->kind == FS_BARRIER ? FS_ALL_REDUCE : (fs_coll_kind)request->kind;
}

#endif
