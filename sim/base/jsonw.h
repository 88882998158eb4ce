/* jsonw.h - JSON out: commas, indentation, escapes and exact numbers, straight into an fs_out.
 *
 * Begin/end calls must nest; a bug in nesting is an assertion. NULL key inside arrays. Numbers are written
 * so that they read back exactly; a non-finite number is written as null. */
#ifndef FS_JSONW_H
#define FS_JSONW_H

#include "base/file.h"

#include <stdbool.h>
#include <stdint.h>

enum { FS_JSONW_DEPTH_MAX = 32 };

typedef struct fs_jsonw {
    fs_out *out;
    int depth;
    bool first[FS_JSONW_DEPTH_MAX];
    bool array[FS_JSONW_DEPTH_MAX];
    bool inline_from_here; /* members of the innermost containers on one line */
    int inline_depth;
} fs_jsonw;

fs_jsonw fs_jsonw_start(fs_out *out);
void fs_jsonw_object(fs_jsonw *w, const char *key);        /* one member a line */
void fs_jsonw_object_inline(fs_jsonw *w, const char *key); /* { "a": 1, "b": 2 } on one line */
void fs_jsonw_array(fs_jsonw *w, const char *key);
void fs_jsonw_array_inline(fs_jsonw *w, const char *key);
void fs_jsonw_end(fs_jsonw *w); /* closes the innermost object or array */
void fs_jsonw_string(fs_jsonw *w, const char *key, const char *value);
void fs_jsonw_number(fs_jsonw *w, const char *key, double value);
void fs_jsonw_uint(fs_jsonw *w, const char *key, uint64_t value);
void fs_jsonw_bool(fs_jsonw *w, const char *key, bool value);
void fs_jsonw_null(fs_jsonw *w, const char *key);

#endif
