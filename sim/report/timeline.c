/* timeline.c - see timeline.h. One event a line, times in microseconds with exactly three decimals.
 *
 * Times are rounded to whole nanoseconds (what Perfetto keeps) before they are subtracted, so that slices that touch in
 * the run touch in the picture, and a child never sticks out of its parent.
 * Arrows bind to the slice that encloses their time: they leave the send a quarter of the way through its move and
 * arrive at three quarters, well inside, since viewers differ at the edges. */
#include "report/timeline.h"

#include "base/mem.h"
#include "report/load_series.h"
#include "report/spans.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Counter points over all tiers: some 6 MB of JSON. */
enum { COUNTER_POINTS = 100000 };

/* A stream of a track. */
typedef struct thread {
    uint64_t issue_ns, move_ns;
    uint64_t arrow; /* of the transfer under way; 0 = none */
    bool moved;
} thread;

struct fs_timeline {
    fs_out *out;
    const fs_work *work;
    const fs_topo *topo;
    fs_tracks tracks;
    fs_arena *arena;
    const char **names; /* (n_names) op labels, escaped */
    thread *threads;    /* (tracks.n x n_streams) */
    double *tier_load;  /* (n_tiers) fraction of capacity */
    fs_load_series *tiers;
    uint64_t arrows;
    bool any; /* an event has been written */
};

/* ---- text -------------------------------------------------------------------------------------------------------- */

static uint64_t nanoseconds(double seconds)
{
    double ns = seconds * 1e9 + 0.5;
    return ns < 9e18 ? (uint64_t)ns : UINT64_C(9000000000000000000); /* 285 years */
}

/* The inside of a JSON string. NULL when out of memory. */
static const char *escape(fs_arena *arena, const char *text)
{
    enum { ESCAPE_MAX = 6 /* \u001f */ };
    size_t length = strlen(text), n = 0;
    char *escaped = fs_arena_alloc(arena, length * ESCAPE_MAX + 1, 1);
    if (!escaped)
        return NULL;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') {
            escaped[n++] = '\\';
            escaped[n++] = (char)c;
        } else if (c < 0x20) {
            n += (size_t)snprintf(escaped + n, ESCAPE_MAX + 1, "\\u%04x", c);
        } else {
            escaped[n++] = (char)c;
        }
    }
    escaped[n] = '\0';
    return escaped;
}

/* Each event is one call of this and then members up to the closing brace. */
static void begin_event(fs_timeline *t, char kind, uint32_t pid, uint64_t tid)
{
    fs_out_printf(t->out, "%s{\"ph\":\"%c\",\"pid\":%u,\"tid\":%llu", t->any ? ",\n" : "", kind, pid,
                  (unsigned long long)tid);
    t->any = true;
}

static void add_time(fs_timeline *t, const char *key, uint64_t ns)
{
    fs_out_printf(t->out, ",\"%s\":%llu.%03u", key, (unsigned long long)(ns / 1000), (unsigned)(ns % 1000));
}

static void write_name(fs_timeline *t, uint32_t pid, uint64_t tid, const char *what, const char *name)
{
    begin_event(t, 'M', pid, tid);
    fs_out_printf(t->out, ",\"name\":\"%s\",\"args\":{\"name\":\"%s\"}}", what, name);
}

static void write_sort_index(fs_timeline *t, uint32_t pid, uint64_t tid, const char *what, uint64_t index)
{
    begin_event(t, 'M', pid, tid);
    fs_out_printf(t->out, ",\"name\":\"%s\",\"args\":{\"sort_index\":%llu}}", what, (unsigned long long)index);
}

/* ---- processes and threads: from 1, since 0 means the idle task to some viewers ---------------------------------- */

static uint32_t process_of(uint32_t track)
{
    return track + 1;
}

/* Different from every process's number, or a viewer would call it that process's main thread. */
static uint64_t thread_of(const fs_timeline *t, uint32_t track, uint32_t stream)
{
    return (uint64_t)t->tracks.n + t->topo->n_tiers + 1 + (uint64_t)track * t->work->n_streams + stream;
}

static thread *thread_at(const fs_timeline *t, uint32_t track, uint32_t stream)
{
    return &t->threads[(size_t)track * t->work->n_streams + stream];
}

static const fs_op *op_at(const fs_timeline *t, uint32_t track, uint32_t op)
{
    return &t->work->programs[t->work->program_of[t->tracks.rank[track]]].ops[op];
}

static fs_status write_track(fs_timeline *t, uint32_t track, const char *const *streams, fs_err *err)
{
    uint32_t rank = t->tracks.rank[track], gpu = t->work->gpu_of[rank];
    const char *device = escape(t->arena, FS_DEVICE_NAME(t->topo, t->topo->gpus[gpu]));
    if (!device)
        return fs_fail_nomem(err);
    begin_event(t, 'M', process_of(track), 0);
    fs_out_printf(t->out, ",\"name\":\"process_name\",\"args\":{\"name\":\"gpu%u (%s)", gpu, device);
    if (t->tracks.count[track] > 1)
        fs_out_printf(t->out, " and %u alike", t->tracks.count[track] - 1);
    fs_out_puts(t->out, "\"}}");
    write_sort_index(t, process_of(track), 0, "process_sort_index", rank);
    const fs_program *program = &t->work->programs[t->work->program_of[rank]];
    for (uint32_t i = 0; i < program->n_ops; i++)
        thread_at(t, track, program->ops[i].stream)->moved = true; /* here: the stream is in use */
    for (uint32_t s = 0; s < t->work->n_streams; s++) {
        if (!thread_at(t, track, s)->moved)
            continue;
        thread_at(t, track, s)->moved = false;
        write_name(t, process_of(track), thread_of(t, track, s), "thread_name", streams[s]);
        write_sort_index(t, process_of(track), thread_of(t, track, s), "thread_sort_index", s);
    }
    return FS_OK;
}

static fs_status write_head(fs_timeline *t, fs_err *err)
{
    const char **streams = fs_arena_alloc(t->arena, t->work->n_streams, sizeof *streams);
    if (!streams)
        return fs_fail_nomem(err);
    for (uint32_t s = 0; s < t->work->n_streams; s++)
        if (!(streams[s] = escape(t->arena, t->work->streams[s])))
            return fs_fail_nomem(err);
    fs_out_puts(t->out, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
    for (uint32_t track = 0; track < t->tracks.n; track++) {
        fs_status status = write_track(t, track, streams, err);
        if (status != FS_OK)
            return status;
    }
    return FS_OK;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static fs_status prepare(fs_timeline *t, fs_err *err)
{
    const fs_work *work = t->work;
    uint32_t n_tiers = t->topo->n_tiers;
    uint32_t points = COUNTER_POINTS / (n_tiers ? n_tiers : 1);
    if (points < FS_LOAD_POINTS_MIN)
        points = FS_LOAD_POINTS_MIN;
    t->names = fs_arena_alloc(t->arena, work->n_names, sizeof *t->names);
    t->threads = fs_arena_alloc(t->arena, (size_t)t->tracks.n * work->n_streams, sizeof *t->threads);
    t->tier_load = fs_arena_alloc(t->arena, n_tiers, sizeof *t->tier_load);
    t->tiers = fs_arena_alloc(t->arena, n_tiers, sizeof *t->tiers);
    fs_load_point *room = fs_arena_alloc(t->arena, (size_t)n_tiers * points, sizeof *room);
    if (!t->names || !t->threads || !t->tier_load || !t->tiers || !room)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < work->n_names; i++)
        if (!(t->names[i] = escape(t->arena, work->names[i])))
            return fs_fail_nomem(err);
    for (uint32_t i = 0; i < n_tiers; i++)
        t->tiers[i] = fs_load_series_start(room + (size_t)i * points, points);
    return FS_OK;
}

fs_status fs_timeline_open(const char *path, const fs_work *work, const fs_topo *topo, fs_tracks tracks,
                           fs_timeline **timeline, fs_err *err)
{
    fs_timeline *t = fs_zalloc(1, sizeof *t);
    if (!t)
        return fs_fail_nomem(err);
    t->work = work;
    t->topo = topo;
    t->tracks = tracks;
    t->arena = fs_arena_new();
    fs_status status = t->arena ? prepare(t, err) : fs_fail_nomem(err);
    if (status == FS_OK)
        status = fs_out_open(path, &t->out, err);
    if (status == FS_OK)
        status = write_head(t, err);
    if (status != FS_OK) {
        fs_timeline_discard(t);
        return status;
    }
    *timeline = t;
    return FS_OK;
}

void fs_timeline_discard(fs_timeline *timeline)
{
    if (!timeline)
        return;
    fs_out_discard(timeline->out);
    fs_arena_free(timeline->arena);
    fs_free(timeline);
}

/* ---- ops --------------------------------------------------------------------------------------------------------- */

void fs_timeline_issue(fs_timeline *t, uint32_t track, uint32_t op, double now_s)
{
    thread *stream = thread_at(t, track, op_at(t, track, op)->stream);
    *stream = (thread){.issue_ns = nanoseconds(now_s)};
}

void fs_timeline_move(fs_timeline *t, uint32_t track, uint32_t op_index, double now_s)
{
    const fs_op *op = op_at(t, track, op_index);
    thread *stream = thread_at(t, track, op->stream);
    stream->move_ns = nanoseconds(now_s);
    stream->moved = true;
    if (op->kind == FS_OP_SEND)
        t->arrows++;
    stream->arrow = op->kind == FS_OP_SEND || op->kind == FS_OP_RECV ? t->arrows : 0;
}

/* "X": a slice. The caller closes the event. */
static void begin_slice(fs_timeline *t, uint32_t track, const fs_op *op, const char *name, uint64_t from_ns,
                        uint64_t to_ns)
{
    begin_event(t, 'X', process_of(track), thread_of(t, track, op->stream));
    add_time(t, "ts", from_ns);
    add_time(t, "dur", to_ns - from_ns);
    fs_out_printf(t->out, ",\"name\":\"%s\",\"cat\":\"%s\"", name, fs_op_category(op));
}

static void write_arrow(fs_timeline *t, uint32_t track, const fs_op *op, const thread *stream, uint64_t end_ns)
{
    uint64_t quarter = (end_ns - stream->move_ns) / 4;
    bool leaves = op->kind == FS_OP_SEND;
    begin_event(t, leaves ? 's' : 'f', process_of(track), thread_of(t, track, op->stream));
    add_time(t, "ts", leaves ? stream->move_ns + quarter : end_ns - quarter);
    fs_out_printf(t->out, ",\"id\":%llu,\"name\":\"transfer\",\"cat\":\"transfer\"%s}",
                  (unsigned long long)stream->arrow, leaves ? "" : ",\"bp\":\"e\"");
}

void fs_timeline_end(fs_timeline *t, uint32_t track, uint32_t op_index, double now_s)
{
    const fs_op *op = op_at(t, track, op_index);
    const thread *stream = thread_at(t, track, op->stream);
    uint64_t end_ns = nanoseconds(now_s);
    begin_slice(t, track, op, t->names[op->name], stream->issue_ns, end_ns);
    if (stream->moved)
        fs_out_printf(t->out, ",\"args\":{\"op\":%u,\"size_bytes\":%.0f}}", op_index, op->size_bytes);
    else
        fs_out_printf(t->out, ",\"args\":{\"op\":%u}}", op_index);
    if (!stream->moved)
        return;
    if (stream->move_ns > stream->issue_ns) {
        begin_slice(t, track, op, "wait", stream->issue_ns, stream->move_ns);
        fs_out_puts(t->out, "}");
        begin_slice(t, track, op, "move", stream->move_ns, end_ns);
        fs_out_puts(t->out, "}");
    }
    if (stream->arrow)
        write_arrow(t, track, op, stream, end_ns);
}

/* ---- tiers ------------------------------------------------------------------------------------------------------- */

void fs_timeline_load(fs_timeline *t, uint32_t tier, double delta, double now_s)
{
    t->tier_load[tier] += delta;
    fs_load_series_set(&t->tiers[tier], now_s, t->tier_load[tier]);
}

static fs_status write_counters(fs_timeline *t, uint32_t tier, double end_s, fs_err *err)
{
    uint32_t pid = t->tracks.n + 1 + tier;
    fs_load_series *series = &t->tiers[tier];
    const char *name = escape(t->arena, t->topo->tiers[tier].name);
    if (!name)
        return fs_fail_nomem(err);
    begin_event(t, 'M', pid, 0);
    fs_out_printf(t->out, ",\"name\":\"process_name\",\"args\":{\"name\":\"tier %s\"}}", name);
    write_sort_index(t, pid, 0, "process_sort_index", (uint64_t)t->work->n_ranks + tier);
    fs_load_series_finish(series, end_s);
    for (uint32_t i = 0; i < series->count; i++) {
        uint64_t now_ns = nanoseconds(series->points[i].time_s);
        if (i + 1 < series->count && nanoseconds(series->points[i + 1].time_s) == now_ns)
            continue; /* the last word at a time counts: two values at once are none */
        double percent = series->points[i].load * 100;
        begin_event(t, 'C', pid, 0);
        add_time(t, "ts", now_ns);
        /* Sums of changes may end a rounding error away from 0, also below. */
        fs_out_printf(t->out, ",\"name\":\"load %%\",\"args\":{\"%s\":%.3f}}", name, percent > 0 ? percent : 0.0);
    }
    return FS_OK;
}

fs_status fs_timeline_close(fs_timeline *t, double end_s, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t tier = 0; status == FS_OK && tier < t->topo->n_tiers; tier++)
        status = write_counters(t, tier, end_s, err);
    if (status == FS_OK) {
        fs_out_puts(t->out, "\n]}\n");
        status = fs_out_close(t->out, err);
        t->out = NULL;
    }
    fs_timeline_discard(t);
    return status;
}
