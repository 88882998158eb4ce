/* spans.h - what a few ranks did when, in a bounded number of spans, thinned as they come: for a picture in a result.
 *
 * While there is room each op is a span. When the spans of a stream run out, neighbours that are together shorter than a
 * resolution become one, which keeps the label and the category of the longest op in it and counts the rest; the resolution
 * is chosen so that at most half of the spans are left. */
#ifndef FS_SPANS_H
#define FS_SPANS_H

#include "work/work.h"

enum { FS_SPAN_ROWS = 8, FS_SPANS_PER_STREAM = 512 };

typedef struct fs_span {
    double start_s, end_s, longest_s;
    uint32_t op;    /* the longest one, in its rank's program */
    uint32_t count; /* ops */
} fs_span;

typedef struct fs_span_stream {
    fs_span *spans; /* (FS_SPANS_PER_STREAM) in the order of time, without overlap; NULL where the program has no ops */
    uint32_t count;
    double issue_s; /* of the op under way */
} fs_span_stream;

typedef struct fs_spans {
    const fs_work *work; /* not owned */
    uint32_t n_rows;
    uint32_t rank[FS_SPAN_ROWS], count[FS_SPAN_ROWS]; /* one of a class of ranks; how many there are */
    fs_span_stream *streams;                          /* (n_rows x work->n_streams) */
} fs_spans;

/* Choose rows among tracks (classes of ranks): all where they are few, else one for each program, else evenly among these.
 * row_of (n_tracks) receives the row of each track, FS_NONE for most. */
FS_MUST_CHECK fs_status fs_spans_new(const fs_work *work, uint32_t n_tracks, const uint32_t *track_rank,
                                     const uint32_t *track_count, uint32_t *row_of, fs_spans **spans, fs_err *err);
void fs_spans_free(fs_spans *spans);
/* An op of a row begins, and ends; on its stream they come one after the other. */
void fs_spans_issue(fs_spans *spans, uint32_t row, uint32_t op, double now_s);
void fs_spans_end(fs_spans *spans, uint32_t row, uint32_t op, double now_s);

/* "forward", "all_reduce", "send", "delay": what kind of op it is, as timelines have it. */
const char *fs_op_category(const fs_op *op);
/* What an op is called: its label, or what it is where it has none. labels: (n_names of the work), plain or escaped. */
const char *fs_op_title(const fs_op *op, const char *const *labels);

#endif
