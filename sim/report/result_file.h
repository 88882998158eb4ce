/* result_file.h - results that fabsim wrote, read back: for comparisons and pictures.
 *
 * A file is recognised by its content, not by its name, and checked as far as readers rely on it: members have their types, rows
 * their columns. What a reader does not know is left alone, so that files of later versions with the same schema_version
 * can be read. */
#ifndef FS_RESULT_FILE_H
#define FS_RESULT_FILE_H

#include "base/json.h"

typedef enum fs_result_kind {
    FS_RESULT_RUN,    /* fabsim TOPOLOGY TRACE --json: training, ops, serving, scaling studies */
    FS_RESULT_COLL,   /* fabsim coll --json */
    FS_RESULT_PARETO, /* fabsim pareto --json */
    FS_RESULT_KINDS
} fs_result_kind;

enum { FS_RESULT_SCHEMA = 3 }; /* the schema_version that is written and read */

/* FS_E_IO at the place of what is wrong; .gz is read. The caller frees *doc. */
FS_MUST_CHECK fs_status fs_result_read(const char *path, fs_result_kind *kind, fs_json_doc **doc, fs_err *err);
/* The same from memory (fuzzing, tests); `path` is for messages. */
FS_MUST_CHECK fs_status fs_result_parse(const char *path, const char *text, size_t length, fs_result_kind *kind,
                                        fs_json_doc **doc, fs_err *err);

#endif
