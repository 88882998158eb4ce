/* compare.h - what is different between two results, and why: a table for a person. */
#ifndef FS_COMPARE_H
#define FS_COMPARE_H

#include "base/json.h"
#include "report/table.h"

/* A result file of kind FS_RESULT_RUN (result_file.h), and what to call it. */
typedef struct fs_compared {
    const char *path;
    const fs_json_doc *doc;
} fs_compared;

/* From a to b. FS_E_USAGE where one of them is of serving and the other is not. */
FS_MUST_CHECK fs_status fs_compare_text(fs_compared a, fs_compared b, fs_style style, fs_out *out, fs_err *err);

#endif
