/* ops_reader.h - a reader of ops traces at work: ops_trace.c has the document and its programs, ops_fields.c one op,
 * ops_lists.c kernel lists and loads. Private to these. */
#ifndef FS_OPS_READER_H
#define FS_OPS_READER_H

#include "base/index.h"
#include "base/mem.h"
#include "work/trace.h"

/* The keys of ops. */
enum {
    FS_F_OP,
    FS_F_ID,
    FS_F_NAME,
    FS_F_STREAM,
    FS_F_AFTER,
    FS_F_DURATION_US,
    FS_F_DURATION_S,
    FS_F_FLOPS,
    FS_F_BYTES,
    FS_F_DTYPE,
    FS_F_KERNELS,
    FS_F_PHASE,
    FS_F_GROUP,
    FS_F_SIZE,
    FS_F_ALGO,
    FS_F_PROTO,
    FS_F_SM_SHARE,
    FS_F_ROOT,
    FS_F_LOAD,
    FS_F_TRANSPOSE,
    FS_F_TOP_K,
    FS_F_TOP_DOMAINS,
    FS_F_TO,
    FS_F_FROM,
    FS_F_SHIFT,
    FS_F_TAG,
    FS_FIELDS
};

typedef FS_VEC(uint32_t) fs_uint_list;

/* Lists that the document names, and their ids in the builder. */
typedef struct fs_named_lists {
    FS_VEC(const char *) names;
    fs_uint_list ids; /* (names.count) */
    fs_index index;   /* of names */
} fs_named_lists;

typedef struct fs_ops_reader {
    const fs_json_doc *doc;
    fs_work_builder *b;
    fs_err *err;
    uint32_t n_ranks;
    const char *families[FS_FAMILIES_MAX]; /* names, by id */
    uint32_t n_families;
    fs_named_lists kernels, loads;

    /* The program being read. */
    uint32_t program, n_ops;
    const char **ids;  /* (n_ops) NULL where an op has none */
    fs_index by_id;    /* of ids */
    fs_uint_list deps; /* of the op being read */
    /* The key as the document holds it, NULL until it is seen: keys there are interned. */
    const char *key_of[FS_FIELDS];
    const fs_json *field[FS_FIELDS]; /* members of the op being read */
    const fs_json *op_json;
    uint32_t kind; /* index in op_kinds */
    fs_json_cursor at;
} fs_ops_reader;

/* An error of the builder knows no place: give it that of the value to blame. */
fs_status fs_ops_blame(const fs_ops_reader *r, const fs_json *value, fs_status status);

/* The document's "kernels" and "loads", and what an op says of them: a name there, or the list itself. */
FS_MUST_CHECK fs_status fs_ops_read_lists(fs_ops_reader *r, const fs_json *kernels, const fs_json *loads);
FS_MUST_CHECK fs_status fs_ops_kernels(fs_ops_reader *r, const fs_json *value, uint32_t *id);
FS_MUST_CHECK fs_status fs_ops_load(fs_ops_reader *r, const fs_json *value, uint32_t *id);
void fs_ops_free_lists(fs_ops_reader *r);

/* Fill ids and by_id from all ops of a program; the caller frees both, also where it fails. */
FS_MUST_CHECK fs_status fs_ops_collect_ids(fs_ops_reader *r, const fs_json *ops);

/* Read one op and append it to the program. */
FS_MUST_CHECK fs_status fs_ops_read(fs_ops_reader *r, const fs_json *op);

#endif
