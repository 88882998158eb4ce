/* work_series.h - series of communications: what work_match.c numbers and work_pairs.c compares. Private to these two.
 *
 * A series is the ops of one program that meet the same partner in order: its collectives on one family, or its sends
 * (receives) with one peer and tag. Series are interned by content, so that agreement is equality of two numbers. */
#ifndef FS_WORK_SERIES_H
#define FS_WORK_SERIES_H

#include "base/index.h"
#include "base/mem.h"
#include "work/work_check.h"

typedef struct fs_series_key {
    uint32_t program, kind, family, peer, tag; /* kind: fs_op_kind; no padding: hashed as bytes */
} fs_series_key;

typedef struct fs_series {
    fs_series_key key;
    uint32_t begin, count; /* uses[] */
    uint32_t content;      /* the first series of equal content */
    uint32_t largest_root; /* its op with the largest root */
} fs_series;

typedef struct fs_matcher {
    const fs_work *work;
    FS_VEC(fs_series) all;  /* program by program */
    uint32_t *series_begin; /* (n_programs + 1) */
    uint32_t *uses;         /* ops, series after fs_series */
    fs_index by_key, by_content;
} fs_matcher;

static inline const fs_op *fs_series_op(const fs_matcher *m, const fs_series *s, uint32_t i)
{
    return &m->work->programs[s->key.program].ops[m->uses[s->begin + i]];
}

static inline const char *fs_op_name(const fs_matcher *m, const fs_op *op)
{
    return m->work->names[op->name];
}

static inline bool fs_op_rooted(const fs_op *op)
{
    return op->coll == FS_BROADCAST || op->coll == FS_REDUCE;
}

/* Would two members of a group be content with each other's op? Sends meet receives, so the kind does not count. */
bool fs_same_call(const fs_op *a, const fs_op *b);

/* Sends meet receives. The series are numbered. */
FS_MUST_CHECK fs_status fs_work_check_pairs(const fs_matcher *m, fs_err *err);

#endif
