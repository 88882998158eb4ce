/* json_tree.h - the tree behind json.h; private to json_*.c.
 *
 * Values lie in one array in preorder: the first child follows its container, the next sibling follows the
 * subtree (span values further), so that links cost nothing. A value takes 24 bytes. Strings are decoded
 * in place in the document's text; keys are interned, because a trace repeats a dozen of them a million times.
 * A key's place is not stored: it is found by reading the text backwards from its value. */
#ifndef FS_JSON_TREE_H
#define FS_JSON_TREE_H

#include "base/json.h"
#include "base/mem.h"

enum {
    FS_JSON_DEPTH_MAX = 64,             /* containers within containers */
    FS_JSON_VALUES_MAX = (1 << 28) - 1, /* in one document: what `span` can count */
    FS_JSON_SETS_MAX = 1000             /* values set from the command line */
};

struct fs_json {
    union {
        double number;
        bool boolean;
        const char *string; /* in the text, or in the arena where it was set */
        uint32_t count;     /* elements or members */
    } u;
    const char *key;    /* in the arena; NULL in an array */
    uint32_t offset;    /* of its first byte in the text; length + 1 + i: the i-th value that was set */
    uint32_t span : 28; /* values in this subtree, itself included */
    uint32_t kind : 3;  /* fs_json_type */
    uint32_t last : 1;  /* no sibling follows */
};

struct fs_json_doc {
    char *path;
    char *text; /* (length + 1) */
    uint32_t length;
    fs_status status_if_bad;
    uint64_t hash;
    fs_arena *arena;           /* keys, strings that were set */
    FS_VEC(fs_json) values;    /* preorder; the root is first */
    FS_VEC(const char *) sets; /* "path=text" of each value that was set */
};

/* An error at a byte of the text. */
FS_PRINTF(4, 5)
fs_status fs_json_fail_offset(const fs_json_doc *doc, uint32_t offset, fs_err *err, const char *format, ...);

/* The opening quote of the string literal whose closing quote stands at `close`. */
uint32_t fs_json_open_quote(const char *text, uint32_t close);

#endif
