/* json_parser.h - state of one parse, between json_read.c (yajl) and json_build.c (its callbacks); private to them. */
#ifndef FS_JSON_PARSER_H
#define FS_JSON_PARSER_H

#include "base/index.h"
#include "base/json_tree.h"

#include <setjmp.h>
#include <yajl/yajl_parse.h>

typedef struct fs_json_key_entry fs_json_key_entry; /* an interned key */

typedef struct fs_json_ring {
    struct fs_json_ring *prev, *next;
} fs_json_ring;

typedef struct fs_json_parser {
    fs_json_doc *doc;
    fs_err *err;
    fs_status status; /* of our own checks */
    const char *key;  /* of the member whose value comes next */
    uint32_t depth;
    uint32_t open[FS_JSON_DEPTH_MAX];       /* containers that are not closed, by index */
    uint32_t last_child[FS_JSON_DEPTH_MAX]; /* FS_NONE while empty */
    FS_VEC(fs_json_key_entry *) keys;
    fs_index key_index;
    fs_json_key_entry *last_key; /* the key that was read last */
    yajl_handle yajl;
    uint32_t end;        /* where the last value that was read ends */
    fs_json_ring blocks; /* all of yajl's */
    jmp_buf out_of_memory;
} fs_json_parser;

/* What builds the tree. The context is the parser. */
extern const yajl_callbacks fs_json_callbacks;

/* First byte behind what yajl has consumed. */
static inline uint32_t fs_json_token_end(const fs_json_parser *p)
{
    return (uint32_t)yajl_get_bytes_consumed(p->yajl);
}

#endif
