/* work.h - the job: programs of operations, who runs them, who talks to whom.
 *
 * A trace becomes an fs_work: `ops` traces are read as they are (ops_trace.c), `training` traces are expanded
 * (training.c) into the same structure. Programs are shared by the ranks that run them: nothing is stored per
 * (rank, op). Groups come in families ("tp", "dp", "world"): a family's groups are disjoint sets of ranks, an op
 * names a family, and each rank means its own group of it.
 * Frozen and checked by fs_work_load; constant afterwards. */
#ifndef FS_WORK_H
#define FS_WORK_H

#include "base/file.h"
#include "coll/coll.h"

typedef enum fs_op_kind { FS_OP_COMPUTE, FS_OP_DELAY, FS_OP_COLLECTIVE, FS_OP_SEND, FS_OP_RECV } fs_op_kind;

typedef enum fs_phase {
    FS_PHASE_NONE,
    FS_PHASE_FORWARD,
    FS_PHASE_BACKWARD,
    FS_PHASE_RECOMPUTE,
    FS_PHASE_OPTIMIZER,
    FS_PHASES
} fs_phase;

/* One operation of a program, 72 B. */
typedef struct fs_op {
    uint8_t kind;          /* fs_op_kind */
    uint8_t coll;          /* fs_coll_kind, for FS_OP_COLLECTIVE */
    uint8_t algo, proto;   /* fs_algo, fs_proto */
    uint8_t dtype;         /* fs_dtype, for roofline compute */
    uint8_t phase;         /* fs_phase */
    uint16_t stream;       /* id in work->streams */
    uint32_t family;       /* collectives; send/recv by shift; else FS_NONE */
    int32_t peer;          /* send/recv: a rank (family == FS_NONE) or a shift in the group, modulo its size */
    uint32_t tag;          /* send/recv match by (source, destination, tag) in program order */
    uint32_t root;         /* broadcast, reduce: position in the group */
    uint32_t name;         /* id in work->names */
    uint32_t line, column; /* where the trace says so; 0 for ops that an expansion made */
    float sm_share;        /* collectives, send/recv: part of the GPU's SMs in use while it moves, [0, 1) */
    double duration_s;     /* compute, delay; negative: take the roofline of flops and bytes */
    double flops, bytes;   /* compute by roofline */
    double size_bytes;     /* communication; meaning as in coll.h */
} fs_op;

typedef struct fs_program {
    const char *name;
    uint32_t n_ops;
    const fs_op *ops;          /* (n_ops) in program order: the order of issue on each stream */
    const uint32_t *dep_begin; /* (n_ops + 1) */
    const uint32_t *deps;      /* ops of this program that must end before op i starts, besides its stream's order */
    uint32_t n_ranks;
} fs_program;

typedef struct fs_family {
    const char *name;
    uint32_t n_groups;
    const uint32_t *begin;       /* (n_groups + 1) */
    const uint32_t *ranks;       /* members, group after group, in group order */
    const uint32_t *group_of;    /* (n_ranks) group of each rank, FS_NONE if in none */
    const uint32_t *position_of; /* (n_ranks) its position in that group */
} fs_family;

typedef struct fs_memory {
    double weights, gradients, optimizer, activations; /* B per GPU, the fullest one */
} fs_memory;

/* What a step does, over all ranks, where the trace tells (training). 0 = not known. */
typedef struct fs_totals {
    double model_flops;    /* of one step without recomputation: MFU */
    double hardware_flops; /* with recomputation: HFU */
    double tokens;
    double samples;
    fs_dtype dtype; /* whose peak MFU is measured against */
    fs_memory memory;
} fs_totals;

typedef struct fs_work {
    const char *name, *kind, *path; /* kind: "ops", "training" */
    const char *note;               /* one line for the report's head: "8.3B parameters, TP 8, ..." or "" */
    uint64_t hash;                  /* of the trace as read, overrides included */
    uint32_t n_ranks, n_programs, n_families, n_streams, n_names;
    const uint32_t *gpu_of;     /* (n_ranks) GPU number of each rank, all different */
    const uint32_t *program_of; /* (n_ranks) */
    const fs_program *programs;
    const fs_family *families;
    const char *const *streams; /* (n_streams) */
    const char *const *names;   /* (n_names) op labels */
    fs_totals totals;
    struct fs_arena *arena; /* owns everything above */
} fs_work;

/* One `--set path=value` on the trace (fs_json_set). */
typedef struct fs_trace_override {
    const char *path, *value;
} fs_trace_override;

FS_MUST_CHECK fs_status fs_work_load(const char *path, const fs_trace_override *overrides, uint32_t n_overrides,
                                     fs_work **work, fs_err *err);
FS_MUST_CHECK fs_status fs_work_parse(const char *path, const char *json, size_t length,
                                      const fs_trace_override *overrides, uint32_t n_overrides, fs_work **work,
                                      fs_err *err);
void fs_work_free(fs_work *work);

/* The rank that a send or recv of `rank` means: `peer` itself, or (family != FS_NONE) so many positions on in its
 * group. */
uint32_t fs_work_peer(const fs_work *work, uint32_t family, int32_t peer, uint32_t rank);

/* The same work as an explicit ops trace; reads back as equal work (streams and labels numbered by first use). */
void fs_work_write_ops(const fs_work *work, fs_out *out);

extern const char *const fs_phase_names[FS_PHASES];

#endif
