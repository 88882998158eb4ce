/* work.h - the job: programs of operations, who runs them, who talks to whom.
 *
 * A trace becomes an fs_work: `ops` traces are read as they are (ops_trace.c), `training` traces are expanded
 * (training.c) into the same structure. Programs are shared by the ranks that run them: nothing is stored per
 * (rank, op). Groups come in families ("tp", "dp", "world"): a family's groups are disjoint sets of ranks, an op
 * names a family, and each rank means its own group of it. Families of equal strides are arithmetic and store nothing
 * per rank; everybody reads families through the accessors below.
 * Frozen and checked by fs_work_load; constant afterwards. */
#ifndef FS_WORK_H
#define FS_WORK_H

#include "base/file.h"
#include "coll/coll.h"
#include "gpu/kernel.h"
#include "topo/faults.h"

typedef enum fs_op_kind { FS_OP_COMPUTE, FS_OP_DELAY, FS_OP_COLLECTIVE, FS_OP_SEND, FS_OP_RECV } fs_op_kind;

typedef enum fs_phase {
    FS_PHASE_NONE,
    FS_PHASE_FORWARD,
    FS_PHASE_BACKWARD,
    FS_PHASE_RECOMPUTE,
    FS_PHASE_OPTIMIZER,
    FS_PHASES
} fs_phase;

/* One kernel of a list; count of them run one after the other. */
typedef struct fs_kernel {
    double flops, bytes;
    double measured_s;     /* > 0: what it takes on the job's GPUs, whatever a model says */
    fs_kernel_shape shape; /* of FS_KERNEL_PLAIN flops and bytes are all that is known */
    uint32_t count;
    uint32_t name; /* id in work->names */
    uint8_t dtype; /* fs_dtype */
} fs_kernel;

/* What one compute op runs, kernel after kernel: nothing that other streams do can fall between two of them. Interned:
 * equal lists have equal ids. */
typedef struct fs_kernel_list {
    uint32_t n;
    const fs_kernel *kernels; /* (n) */
} fs_kernel_list;

/* Shares of the positions of a group in an uneven all-to-all; they sum to 1. Interned, as kernel lists are. */
typedef struct fs_load {
    uint32_t n;
    const double *weight; /* (n) */
} fs_load;

/* One operation of a program, 80 B. */
typedef struct fs_op {
    uint8_t kind;                /* fs_op_kind */
    uint8_t coll;                /* fs_coll_kind, for FS_OP_COLLECTIVE */
    uint8_t algo, proto;         /* fs_algo, fs_proto */
    uint8_t dtype;               /* fs_dtype, for roofline compute */
    uint8_t phase;               /* fs_phase */
    uint16_t stream;             /* id in work->streams */
    uint32_t family;             /* collectives; send/recv by shift; else FS_NONE */
    int32_t peer;                /* send/recv: a rank (family == FS_NONE) or a shift in the group, modulo its size */
    uint32_t tag;                /* send/recv match by (source, destination, tag) in program order */
    uint32_t root;               /* broadcast, reduce: position in the group */
    uint32_t name;               /* id in work->names */
    uint32_t line, column;       /* where the trace says so; 0 for ops that an expansion made */
    uint32_t kernels;            /* compute: id in work->kernel_lists, or FS_NONE: one kernel of flops and bytes */
    uint32_t load;               /* all_to_all: id in work->loads, or FS_NONE: even */
    float sm_share;              /* collectives, send/recv: part of the GPU's SMs in use while it moves, [0, 1) */
    bool transpose;              /* all_to_all with a load, see fs_load_bytes */
    uint16_t top_k, top_domains; /* all_to_all by forwarded, see fs_coll_request */
    double duration_s;           /* compute, delay; negative: take the roofline of flops and bytes, or of the kernels */
    double flops, bytes;         /* compute by roofline */
    double size_bytes;           /* communication; meaning as in coll.h */
} fs_op;

typedef struct fs_program {
    const char *name;
    uint32_t n_ops;
    const fs_op *ops;          /* (n_ops) in program order: the order of issue on each stream */
    const uint32_t *dep_begin; /* (n_ops + 1) */
    const uint32_t *deps;      /* ops of this program that must end before op i starts, besides its stream's order */
    uint32_t n_ranks;
} fs_program;

enum { FS_FAMILY_DIGITS_MAX = 4 };

/* Ranks read as a mixed-radix number: the digit of `size` values that counts in steps of `stride`. */
typedef struct fs_digit {
    uint32_t size, stride;
} fs_digit;

/* Either strided (size > 0): the members of a group differ in some digits of their rank, and are in the order of their
 * ranks; or explicit: lists. Groups are disjoint. Read through fs_family_... only. */
typedef struct fs_family {
    const char *name;
    uint32_t n_groups;
    uint32_t size;        /* of every group; 0: explicit */
    uint32_t common_size; /* members of each group where all have as many, else 0 */
    uint32_t n_digits;
    fs_digit digits[FS_FAMILY_DIGITS_MAX]; /* (n_digits) of ascending strides */
    const uint32_t *begin;                 /* (n_groups + 1) this and below: explicit families only */
    const uint32_t *ranks;                 /* members, group after group, in group order */
    const uint32_t *group_of;              /* (n_ranks) group of each rank, FS_NONE if in none */
    const uint32_t *position_of;           /* (n_ranks) its position in that group */
} fs_family;

typedef struct fs_memory {
    double weights, gradients, optimizer, activations; /* B per GPU, the fullest one */
} fs_memory;

/* How a trace wants NCCL to be used; as in fs_lowering_options. */
typedef struct fs_nccl_use {
    bool registered, sharp;
    fs_cross_rail cross_rail;
} fs_nccl_use;

/* What a step does, over all ranks, where the trace tells (training). 0 = not known. */
typedef struct fs_totals {
    double model_flops;    /* of one step without recomputation: MFU */
    double hardware_flops; /* with recomputation: HFU */
    double tokens;
    double samples;
    fs_dtype dtype; /* whose peak MFU is measured against */
    bool experts;   /* a training trace of a mixture of experts */
    fs_memory memory;
} fs_totals;

typedef struct fs_work {
    const char *name, *kind, *path; /* kind: "ops", "training", "inference" */
    const char *note;               /* one line for the report's head: "8.3B parameters, TP 8, ..." or "" */
    uint64_t hash;                  /* of the trace as read, overrides included */
    uint32_t n_ranks, n_programs, n_families, n_streams, n_names, n_kernel_lists, n_loads;
    const uint32_t *gpu_of;     /* (n_ranks) GPU number of each rank, all different */
    const uint32_t *program_of; /* (n_ranks) */
    const fs_program *programs;
    const fs_family *families;
    const char *const *streams;         /* (n_streams) */
    const char *const *names;           /* (n_names) labels of ops and kernels */
    const fs_kernel_list *kernel_lists; /* (n_kernel_lists) */
    const fs_load *loads;               /* (n_loads) */
    fs_totals totals;
    fs_nccl_use nccl;
    double kernel_efficiency; /* 0.01 to 1: kernels without a duration take 1 / this as long as they are modelled; 0: in
                                 a step, what the GPU part says of that */
    uint32_t n_faults;
    const fs_fault *faults;               /* (n_faults) a scenario: for fs_topo_apply_faults */
    const struct fs_inference *inference; /* what is served, by programs that are empty; NULL for the other kinds */
    struct fs_arena *arena;               /* owns everything above */
} fs_work;

/* One `--set path=value` on the trace (fs_json_set). */
typedef struct fs_trace_override {
    const char *path, *value;
} fs_trace_override;

FS_MUST_CHECK fs_status fs_work_load(const char *path, const fs_trace_override *overrides, uint32_t n_overrides,
                                     fs_work **work, fs_err *err);
/* How the batch goes with the number of GPUs: as the trace says (else weak), grows, or stays. */
typedef enum fs_scaling { FS_SCALING_AUTO, FS_SCALING_WEAK, FS_SCALING_STRONG, FS_SCALINGS } fs_scaling;
extern const char *const fs_scaling_names[FS_SCALINGS];

/* The same job on n_ranks GPUs: data parallelism grows or shrinks, or what else the trace's "scale" names. *mode comes
 * back as what auto meant. FS_E_USAGE where that is not possible: an ops trace, n_ranks no multiple of the other
 * dimensions, a batch that does not divide. */
FS_MUST_CHECK fs_status fs_work_load_scaled(const char *path, const fs_trace_override *overrides, uint32_t n_overrides,
                                            uint32_t n_ranks, fs_scaling *mode, fs_work **work, fs_err *err);
FS_MUST_CHECK fs_status fs_work_parse(const char *path, const char *json, size_t length,
                                      const fs_trace_override *overrides, uint32_t n_overrides, fs_work **work,
                                      fs_err *err);
void fs_work_free(fs_work *work);

/* The group that a rank is in, FS_NONE if in none. */
static inline uint32_t fs_family_group_of(const fs_family *f, uint32_t rank)
{
    if (f->size == 0)
        return f->group_of[rank];
    for (uint32_t i = f->n_digits; i-- > 0;) /* from the top, so that the strides below stay what they are */
        rank = rank / (f->digits[i].size * f->digits[i].stride) * f->digits[i].stride + rank % f->digits[i].stride;
    return rank;
}

/* The place of a rank in its group; it is in one. */
static inline uint32_t fs_family_position(const fs_family *f, uint32_t rank)
{
    if (f->size == 0)
        return f->position_of[rank];
    uint32_t position = 0;
    for (uint32_t i = f->n_digits; i-- > 0;)
        position = position * f->digits[i].size + rank / f->digits[i].stride % f->digits[i].size;
    return position;
}

static inline uint32_t fs_family_size(const fs_family *f, uint32_t group)
{
    return f->size ? f->size : f->begin[group + 1] - f->begin[group];
}

/* The rank at a place of a group. */
static inline uint32_t fs_family_member(const fs_family *f, uint32_t group, uint32_t position)
{
    if (f->size == 0)
        return f->ranks[f->begin[group] + position];
    uint32_t rank = group;
    for (uint32_t i = 0; i < f->n_digits; i++) {
        const fs_digit *d = &f->digits[i];
        rank = rank / d->stride * (d->size * d->stride) + position % d->size * d->stride + rank % d->stride;
        position /= d->size;
    }
    return rank;
}

/* Members of all groups together: at most n_ranks. */
static inline uint32_t fs_family_members(const fs_family *f)
{
    return f->size ? f->size * f->n_groups : f->begin[f->n_groups];
}

/* What position i of a group of n sends to position j in an all-to-all of size_bytes: without a load the n-th part;
 * with one, weight[j] of it (tokens to the experts that j holds); transposed, weight[i] (back from them). */
static inline double fs_load_bytes(const fs_load *load, bool transpose, uint32_t n, double size_bytes, uint32_t i,
                                   uint32_t j)
{
    return load ? size_bytes * load->weight[transpose ? i : j] : size_bytes / n;
}

/* The rank that a send or recv of `rank` means: `peer` itself, or (family != FS_NONE) so many positions on in its
 * group. */
uint32_t fs_work_peer(const fs_work *work, uint32_t family, int32_t peer, uint32_t rank);

/* Every rank has a GPU of the topology; else FS_E_TRACE. */
FS_MUST_CHECK fs_status fs_work_check_placement(const fs_work *work, const fs_topo *topo, fs_err *err);

/* The same work as an explicit ops trace; reads back as equal work (streams and labels numbered by first use). */
void fs_work_write_ops(const fs_work *work, fs_out *out);

extern const char *const fs_phase_names[FS_PHASES];

#endif
