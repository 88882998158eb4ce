/* work_build.h - a work being built; the ops reader, training.c and tests fill it, then freeze and check.
 *
 * Checks in fs_work_freeze (work_check.c), all FS_E_TRACE with the place of the op to blame:
 * dependency cycles (streams' order included; the ops of the cycle are named); every rank has at most one program; no
 * GPU twice; groups of a family are disjoint, ids in range; for each group, all members' programs issue the same
 * sequence of collectives on it (kind, size, root, algorithm); for each (source, destination, tag), sends and receives
 * pair up with equal sizes; a rank is in the group that its op uses. Cost: O(ops + ranks + members). */
#ifndef FS_WORK_BUILD_H
#define FS_WORK_BUILD_H

#include "work/work.h"

enum {
    FS_RANKS_MAX = 1 << 22,
    FS_FAMILIES_MAX = 256,
    FS_STREAMS_MAX = 1024,
    FS_KERNELS_MAX = 1 << 20
};                              /* GPU numbers are below FS_RANKS_MAX */
#define FS_TRACE_BYTES_MAX 1e18 /* of one op: beyond any machine, far inside a double */

typedef struct fs_work_builder fs_work_builder;

fs_work_builder *fs_work_builder_new(const char *name, const char *kind, const char *path); /* NULL: no memory */
void fs_work_builder_free(fs_work_builder *builder);

/* Once, first. Rank i stands on GPU i until it is placed. */
FS_MUST_CHECK fs_status fs_work_set_ranks(fs_work_builder *b, uint32_t n_ranks, fs_err *err);
FS_MUST_CHECK fs_status fs_work_place(fs_work_builder *b, uint32_t rank, uint32_t gpu, fs_err *err);
/* A family of equal strides: group g holds ranks that differ in one mixed-radix digit: rank = outer * (size * stride) +
 * position * stride + inner. stride 1, size n_ranks = the world, which is family 0 of every work under the name
 * "world". */
FS_MUST_CHECK fs_status fs_work_family_strided(fs_work_builder *b, const char *name, uint32_t size, uint32_t stride,
                                               uint32_t *family, fs_err *err);
/* Several digits at once: groups of ranks that differ in any of them. Strides ascend, each a multiple of the size x
 * stride before it. */
FS_MUST_CHECK fs_status fs_work_family_digits(fs_work_builder *b, const char *name, const fs_digit *digits,
                                              uint32_t n_digits, uint32_t *family, fs_err *err);
FS_MUST_CHECK fs_status fs_work_family_explicit(fs_work_builder *b, const char *name, const uint32_t *begin,
                                                uint32_t n_groups, const uint32_t *ranks, uint32_t *family,
                                                fs_err *err);
/* Both are interned: the same name gives the same id. */
FS_MUST_CHECK fs_status fs_work_stream(fs_work_builder *b, const char *name, uint16_t *stream, fs_err *err);
FS_MUST_CHECK fs_status fs_work_name(fs_work_builder *b, const char *name, uint32_t *id, fs_err *err);

/* From now on every kernel of that name, in a list or an op of its own, takes `seconds` > 0, whatever it does. */
FS_MUST_CHECK fs_status fs_work_measured(fs_work_builder *b, const char *kernel, double seconds, fs_err *err);
bool fs_work_measured_seen(const fs_work_builder *b, const char *kernel); /* whether such a kernel came since */
/* The nearest to `name` of all names of kernels and ops so far, or NULL. */
const char *fs_work_near(const fs_work_builder *b, const char *name);

/* Interned by content; what they are given is copied. A kernel's name is an id of fs_work_name. Shares are
 * normalised to a sum of 1. */
FS_MUST_CHECK fs_status fs_work_kernels(fs_work_builder *b, const fs_kernel *kernels, uint32_t n, uint32_t *id,
                                        fs_err *err);
FS_MUST_CHECK fs_status fs_work_load_shares(fs_work_builder *b, const double *weight, uint32_t n, uint32_t *id,
                                            fs_err *err);

FS_MUST_CHECK fs_status fs_work_program(fs_work_builder *b, const char *name, uint32_t *program, fs_err *err);
fs_op fs_op_default(fs_op_kind kind);     /* every field at its neutral value */
const char *fs_op_label(const fs_op *op); /* "send", "all_reduce": the name of an op that was given none */
/* Room for n_ops ops: large programs should say so beforehand, growing leaves the smaller arrays in the arena. */
FS_MUST_CHECK fs_status fs_work_reserve(fs_work_builder *b, uint32_t program, uint32_t n_ops, fs_err *err);
/* Appends to the program. A name of FS_NONE becomes the op's label; stream 0, where none is interned yet, "main". deps
 * are indices of ops of the same program, later ones allowed. */
FS_MUST_CHECK fs_status fs_work_op(fs_work_builder *b, uint32_t program, const fs_op *op, const uint32_t *deps,
                                   uint32_t n_deps, uint32_t *index, fs_err *err);
FS_MUST_CHECK fs_status fs_work_assign(fs_work_builder *b, uint32_t rank, uint32_t program, fs_err *err);
void fs_work_set_kernel_efficiency(fs_work_builder *b, double efficiency); /* 1 unless this is called */
void fs_work_set_totals(fs_work_builder *b, const fs_totals *totals);
void fs_work_set_nccl(fs_work_builder *b, fs_nccl_use nccl);
FS_MUST_CHECK fs_status fs_work_set_faults(fs_work_builder *b, const fs_fault *faults, uint32_t n, fs_err *err);
FS_MUST_CHECK fs_status fs_work_set_note(fs_work_builder *b, const char *note, fs_err *err);
void fs_work_set_inference(fs_work_builder *b, const struct fs_inference *inference); /* in the arena, see below */
struct fs_arena *fs_work_arena(fs_work_builder *b); /* the work's: what lies there lives as long */
void fs_work_set_hash(fs_work_builder *b, uint64_t hash);
void fs_work_mix_hash(fs_work_builder *b, uint64_t hash); /* of another input */

/* Ranks without a program get an empty one, "(idle)". After success the builder can only be freed. */
FS_MUST_CHECK fs_status fs_work_freeze(fs_work_builder *b, fs_work **work, fs_err *err);

#endif
