/* spans.c - see spans.h. O(1) an op, amortised: a thinning halves the spans at least. */
#include "report/spans.h"

#include "base/mem.h"

const char *fs_op_category(const fs_op *op)
{
    switch ((fs_op_kind)op->kind) {
    case FS_OP_COMPUTE: return fs_phase_names[op->phase];
    case FS_OP_DELAY: return "delay";
    case FS_OP_SEND: return "send";
    case FS_OP_RECV: return "recv";
    case FS_OP_COLLECTIVE: break;
    }
    return fs_coll_names[op->coll];
}

const char *fs_op_title(const fs_op *op, const char *const *labels)
{
    return labels[op->name][0] ? labels[op->name] : fs_op_category(op);
}

/* Tracks to draw, ascending, into chosen (FS_SPAN_ROWS). */
static uint32_t choose(uint32_t n_tracks, const uint32_t *first, uint32_t n_first, uint32_t *chosen)
{
    uint32_t from = n_tracks <= FS_SPAN_ROWS || n_first < FS_SPAN_ROWS ? n_tracks : n_first;
    const uint32_t *list = from == n_first ? first : NULL;
    uint32_t n = from < FS_SPAN_ROWS ? from : FS_SPAN_ROWS;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = n > 1 ? (uint32_t)((uint64_t)i * (from - 1) / (n - 1)) : 0;
        chosen[i] = list ? list[at] : at;
    }
    return n;
}

/* The first track of each program. */
static fs_status first_tracks(const fs_work *work, uint32_t n_tracks, const uint32_t *track_rank, uint32_t *first,
                              uint32_t *n_first, fs_err *err)
{
    bool *seen = fs_zalloc(work->n_programs, sizeof *seen);
    if (!seen)
        return fs_fail_nomem(err);
    *n_first = 0;
    for (uint32_t t = 0; t < n_tracks; t++) {
        uint32_t program = work->program_of[track_rank[t]];
        if (!seen[program])
            first[(*n_first)++] = t;
        seen[program] = true;
    }
    fs_free(seen);
    return FS_OK;
}

static fs_span_stream *stream_of(fs_spans *spans, uint32_t row, uint32_t op)
{
    const fs_work *work = spans->work;
    const fs_op *what = &work->programs[work->program_of[spans->rank[row]]].ops[op];
    return &spans->streams[(size_t)row * work->n_streams + what->stream];
}

/* Room for the streams that the rows' programs use. */
static fs_status make_streams(fs_spans *s, fs_err *err)
{
    s->streams = fs_zalloc((size_t)s->n_rows * s->work->n_streams, sizeof *s->streams);
    if (!s->streams)
        return fs_fail_nomem(err);
    for (uint32_t row = 0; row < s->n_rows; row++) {
        const fs_program *program = &s->work->programs[s->work->program_of[s->rank[row]]];
        for (uint32_t i = 0; i < program->n_ops; i++) {
            fs_span_stream *stream = stream_of(s, row, i);
            if (!stream->spans && !(stream->spans = fs_alloc(FS_SPANS_PER_STREAM, sizeof *stream->spans)))
                return fs_fail_nomem(err);
        }
    }
    return FS_OK;
}

fs_status fs_spans_new(const fs_work *work, uint32_t n_tracks, const uint32_t *track_rank, const uint32_t *track_count,
                       uint32_t *row_of, fs_spans **spans, fs_err *err)
{
    uint32_t n_first = 0, chosen[FS_SPAN_ROWS];
    uint32_t *first = fs_alloc(n_tracks, sizeof *first);
    fs_spans *s = fs_zalloc(1, sizeof *s);
    fs_status status = first && s ? first_tracks(work, n_tracks, track_rank, first, &n_first, err) : fs_fail_nomem(err);
    if (status == FS_OK) {
        s->work = work;
        s->n_rows = choose(n_tracks, first, n_first, chosen);
        for (uint32_t t = 0; t < n_tracks; t++)
            row_of[t] = FS_NONE;
        for (uint32_t row = 0; row < s->n_rows; row++) {
            row_of[chosen[row]] = row;
            s->rank[row] = track_rank[chosen[row]];
            s->count[row] = track_count[chosen[row]];
        }
        status = make_streams(s, err);
    }
    fs_free(first);
    if (status != FS_OK) {
        fs_spans_free(s);
        return status;
    }
    *spans = s;
    return FS_OK;
}

void fs_spans_free(fs_spans *spans)
{
    if (!spans)
        return;
    for (size_t i = 0; spans->streams && i < (size_t)spans->n_rows * spans->work->n_streams; i++)
        fs_free(spans->streams[i].spans);
    fs_free(spans->streams);
    fs_free(spans);
}

/* Any two neighbours that stay are together at least as long as the resolution, so at most
 * 2 (time / resolution) + 1 stay: a quarter of the room twice, and one. */
static void thin(fs_span_stream *stream)
{
    double begin_s = stream->spans[0].start_s, end_s = stream->spans[stream->count - 1].end_s;
    double resolution_s = (end_s - begin_s) * 4 / FS_SPANS_PER_STREAM;
    uint32_t kept = 0;
    for (uint32_t i = 1; i < stream->count; i++) {
        fs_span *last = &stream->spans[kept], *next = &stream->spans[i];
        if (next->end_s - last->start_s >= resolution_s) {
            stream->spans[++kept] = *next;
            continue;
        }
        last->end_s = next->end_s;
        last->count += next->count;
        if (next->longest_s > last->longest_s) {
            last->longest_s = next->longest_s;
            last->op = next->op;
        }
    }
    stream->count = kept + 1;
}

void fs_spans_issue(fs_spans *spans, uint32_t row, uint32_t op, double now_s)
{
    stream_of(spans, row, op)->issue_s = now_s;
}

void fs_spans_end(fs_spans *spans, uint32_t row, uint32_t op, double now_s)
{
    fs_span_stream *stream = stream_of(spans, row, op);
    double took_s = now_s - stream->issue_s;
    if (!(took_s > 0)) /* nothing to see */
        return;
    if (stream->count == FS_SPANS_PER_STREAM)
        thin(stream);
    stream->spans[stream->count++] = (fs_span){stream->issue_s, now_s, took_s, op, 1};
}
