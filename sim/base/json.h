/* json.h - JSON in (yajl underneath) as a read-only tree that knows where each value stood.
 *
 * yajl tokenises; this file keeps a compact tree (about 32 B a value) with the byte offset of every
 * key and value, so that a semantic error far from the parser can still say file:line:column. Lines and
 * columns are computed from the offset when an error is made, never before.
 * Limits: depth 64, file 4 GiB - 1, no comments, no duplicate keys, no trailing garbage, UTF-8 only. */
#ifndef FS_JSON_H
#define FS_JSON_H

#include "base/err.h"
#include "base/num.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum fs_json_type {
    FS_JSON_NULL,
    FS_JSON_BOOL,
    FS_JSON_NUMBER,
    FS_JSON_STRING,
    FS_JSON_ARRAY,
    FS_JSON_OBJECT
} fs_json_type;

typedef struct fs_json fs_json;         /* one value; owned by its document */
typedef struct fs_json_doc fs_json_doc; /* the document */

/* Errors carry `status_if_bad` (FS_E_TRACE for traces). `path` is for messages and .gz is read. */
FS_MUST_CHECK fs_status fs_json_read(const char *path, fs_status status_if_bad, fs_json_doc **doc, fs_err *err);
FS_MUST_CHECK fs_status fs_json_parse(const char *path, const char *text, size_t length, fs_status status_if_bad,
                                      fs_json_doc **doc, fs_err *err);
void fs_json_free(fs_json_doc *doc);
const fs_json *fs_json_root(const fs_json_doc *doc);
uint64_t fs_json_hash(const fs_json_doc *doc); /* of the text as read */

/* Replace the scalar at dotted path "model.layers" or "programs.0.ops.3.size_bytes" by `text` (read as JSON
 * if it parses as a JSON scalar, else as a string). A key that is not there is added, and so are objects on the
 * way to it; elements of arrays are not. */
FS_MUST_CHECK fs_status fs_json_set(fs_json_doc *doc, const char *path, const char *text, fs_err *err);

/* Walking. A missing key gives NULL; NULL is accepted everywhere and behaves as absent. */
fs_json_type fs_json_kind(const fs_json *value);
const fs_json *fs_json_get(const fs_json *object, const char *key);
uint32_t fs_json_count(const fs_json *container); /* elements, or members */
const fs_json *fs_json_first(const fs_json *container);
const fs_json *fs_json_next(const fs_json *value); /* next element / member value */
const char *fs_json_key(const fs_json *value);     /* of a member value; NULL in an array */
const char *fs_json_string(const fs_json *value);  /* only for FS_JSON_STRING */
double fs_json_number(const fs_json *value);       /* only for FS_JSON_NUMBER, finite */
bool fs_json_bool(const fs_json *value);           /* only for FS_JSON_BOOL */

/* An error at a value's place (its key's place where at_key and it has one). */
FS_PRINTF(5, 6)
fs_status fs_json_fail(const fs_json_doc *doc, const fs_json *value, bool at_key, fs_err *err, const char *format, ...);

/* Where a value stands, for whoever keeps places (0, 0 for one that was set). Start with {.doc = doc}. Cheap when
 * values come in the order of the text: the cursor counts lines from the last value on, and starts over to go back. */
typedef struct fs_json_cursor {
    const fs_json_doc *doc;
    uint32_t seen, lines, line_start; /* lines ended before `seen`, and where the last of them did */
} fs_json_cursor;
void fs_json_place(fs_json_cursor *cursor, const fs_json *value, uint32_t *line, uint32_t *column);

/* Every key of `object` must be among keys[]; else an error at the key with "did you mean". */
FS_MUST_CHECK fs_status fs_json_only(const fs_json_doc *doc, const fs_json *object, const char *const *keys,
                                     size_t count, fs_err *err);

/* Typed members. A required member that is absent is an error at the object; wrong types, fractions where
 * integers are due, and values outside [low, high] are errors at the value. Where absent and not required,
 * *out is left as the caller set it (its default). */
FS_MUST_CHECK fs_status fs_json_uint_in(const fs_json_doc *doc, const fs_json *object, const char *key, bool required,
                                        uint64_t low, uint64_t high, uint64_t *out, fs_err *err);
FS_MUST_CHECK fs_status fs_json_number_in(const fs_json_doc *doc, const fs_json *object, const char *key, bool required,
                                          double low, double high, double *out, fs_err *err);
FS_MUST_CHECK fs_status fs_json_bool_in(const fs_json_doc *doc, const fs_json *object, const char *key, bool required,
                                        bool *out, fs_err *err);
FS_MUST_CHECK fs_status fs_json_string_in(const fs_json_doc *doc, const fs_json *object, const char *key, bool required,
                                          const char **out, fs_err *err);
/* A number in SI, or a string with a unit ("64MiB"). */
FS_MUST_CHECK fs_status fs_json_quantity_in(const fs_json_doc *doc, const fs_json *object, const char *key,
                                            bool required, fs_unit unit, double low, double high, double *out,
                                            fs_err *err);
/* One of names[]: *out becomes its index. Misspelt: "did you mean". */
FS_MUST_CHECK fs_status fs_json_enum_in(const fs_json_doc *doc, const fs_json *object, const char *key, bool required,
                                        const char *const *names, size_t count, uint32_t *out, fs_err *err);

#endif
