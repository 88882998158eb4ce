/* work_builder.h - a builder from inside: work_build.c has names, ranks, programs and the end, work_groups.c the
 * families, work_lists.c kernel lists and loads. Private to these. */
#ifndef FS_WORK_BUILDER_H
#define FS_WORK_BUILDER_H

#include "base/index.h"
#include "base/mem.h"
#include "work/work_build.h"

typedef struct fs_interned {
    FS_VEC(const char *) names;
    fs_index index;
} fs_interned;

typedef struct fs_draft {
    const char *name;
    fs_op *ops;          /* (op_capacity) */
    uint32_t *dep_begin; /* (op_capacity + 1) */
    uint32_t *deps;      /* (dep_capacity) */
    uint32_t n_ops, op_capacity, n_deps, dep_capacity, n_ranks;
} fs_draft;

/* What kernels of a name take. */
typedef struct fs_measured {
    uint32_t name;
    bool seen;
    double seconds;
} fs_measured;

struct fs_work_builder {
    fs_arena *arena;
    const char *name, *kind, *path, *note;
    uint64_t hash;
    fs_totals totals;
    fs_nccl_use nccl;
    double kernel_efficiency;
    const fs_fault *faults;
    uint32_t n_faults;
    const struct fs_inference *inference;
    uint32_t n_ranks;
    uint32_t explicit_ranks;       /* n_ranks for each explicit family */
    uint32_t *gpu_of, *program_of; /* (n_ranks) */
    fs_interned streams, labels;
    FS_VEC(fs_family) families;
    FS_VEC(fs_kernel_list) lists;
    FS_VEC(fs_load) loads;
    fs_index list_index, load_index;
    FS_VEC(fs_draft) programs;
    FS_VEC(fs_measured) measured;
};

/* Of the kernels of a name; 0 where nothing was measured. */
double fs_work_measured_s(fs_work_builder *b, uint32_t name);

#define FS_BAD_WORK(b, err, ...) fs_fail_at(err, FS_E_TRACE, (b)->path, 0, 0, __VA_ARGS__)

#endif
