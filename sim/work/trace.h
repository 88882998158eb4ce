/* trace.h - what the readers of the kinds of traces share. Private to sim/work. */
#ifndef FS_TRACE_H
#define FS_TRACE_H

#include "base/json.h"
#include "work/work_build.h"

/* Limits of amounts in a trace; far beyond any machine, and far inside a double. Bytes: FS_TRACE_BYTES_MAX. */
#define FS_TRACE_FLOPS_MAX 1e27
#define FS_TRACE_SECONDS_MAX 1e9

/* Each fills a fresh builder from the document, whose version and kind are known to be right. */
FS_MUST_CHECK fs_status fs_trace_read_ops(const fs_json_doc *doc, fs_work_builder *b, fs_err *err);
FS_MUST_CHECK fs_status fs_trace_read_training(const fs_json_doc *doc, fs_work_builder *b, fs_err *err);
/* `path` is the trace's: a file of requests is named from there. */
FS_MUST_CHECK fs_status fs_trace_read_inference(const fs_json_doc *doc, const char *path, fs_work_builder *b,
                                                fs_err *err);

/* "faults", which a trace of any kind may have. `path` goes into their origins. */
FS_MUST_CHECK fs_status fs_trace_read_faults(const fs_json_doc *doc, const char *path, fs_work_builder *b, fs_err *err);

/* Grow a document to another number of ranks; *mode: as in fs_work_load_scaled. */
FS_MUST_CHECK fs_status fs_trace_scale(fs_json_doc *doc, uint32_t n_ranks, fs_scaling *mode, fs_err *err);

#endif
