/* timeline_chrome.c - Chrome's JSON. One event a line, times in microseconds with exactly three decimals.
 *
 * Arrows bind to the slice that encloses their time: they leave the send a quarter of the way through its move and
 * arrive at three quarters, well inside, since viewers differ at the edges. */
#include "base/mem.h"
#include "report/spans.h"
#include "report/timeline_in.h"

typedef struct chrome {
    fs_out *out;
    const char **names; /* (n_names) op labels, escaped */
    const char *tier;   /* whose counters are written, escaped */
    bool any;           /* an event has been written */
} chrome;

/* Each event is one call of this and then members up to the closing brace. */
static void begin_event(chrome *c, char kind, uint32_t pid, uint64_t tid)
{
    fs_out_printf(c->out, "%s{\"ph\":\"%c\",\"pid\":%u,\"tid\":%llu", c->any ? ",\n" : "", kind, pid,
                  (unsigned long long)tid);
    c->any = true;
}

static void add_time(chrome *c, const char *key, uint64_t ns)
{
    fs_out_printf(c->out, ",\"%s\":%llu.%03u", key, (unsigned long long)(ns / 1000), (unsigned)(ns % 1000));
}

static void write_name(chrome *c, uint32_t pid, uint64_t tid, const char *what, const char *name)
{
    begin_event(c, 'M', pid, tid);
    fs_out_printf(c->out, ",\"name\":\"%s\",\"args\":{\"name\":\"%s\"}}", what, name);
}

static void write_sort_index(chrome *c, uint32_t pid, uint64_t tid, const char *what, uint64_t index)
{
    begin_event(c, 'M', pid, tid);
    fs_out_printf(c->out, ",\"name\":\"%s\",\"args\":{\"sort_index\":%llu}}", what, (unsigned long long)index);
}

/* ---- processes and threads: from 1, since 0 means the idle task to some viewers ---------------------------------- */

static uint32_t process_of(uint32_t track)
{
    return track + 1;
}

/* Different from every process's number, or a viewer would call it that process's main thread. */
static uint64_t thread_of(const fs_timeline *t, uint32_t track, uint32_t stream)
{
    return (uint64_t)t->n_tracks + t->topo->n_tiers + 1 + (uint64_t)track * t->work->n_streams + stream;
}

static fs_status write_track(fs_timeline *t, uint32_t track, const char *const *streams, fs_err *err)
{
    chrome *c = t->state;
    const char *plain = fs_timeline_track_name(t, track), *name = plain ? fs_timeline_escape(t->arena, plain) : NULL;
    if (!name)
        return fs_fail_nomem(err);
    write_name(c, process_of(track), 0, "process_name", name);
    write_sort_index(c, process_of(track), 0, "process_sort_index", t->rank[track]);
    for (uint32_t s = 0; s < t->work->n_streams; s++) {
        if (!fs_timeline_uses(t, track, s))
            continue;
        write_name(c, process_of(track), thread_of(t, track, s), "thread_name", streams[s]);
        write_sort_index(c, process_of(track), thread_of(t, track, s), "thread_sort_index", s);
    }
    return FS_OK;
}

static fs_status open_chrome(fs_timeline *t, const char *path, fs_err *err)
{
    const fs_work *work = t->work;
    chrome *c = t->state = fs_arena_alloc(t->arena, 1, sizeof *c);
    const char **streams = fs_arena_alloc(t->arena, work->n_streams, sizeof *streams);
    if (!c || !streams || !(c->names = fs_arena_alloc(t->arena, work->n_names, sizeof *c->names)))
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < work->n_names; i++)
        if (!(c->names[i] = fs_timeline_escape(t->arena, work->names[i])))
            return fs_fail_nomem(err);
    for (uint32_t s = 0; s < work->n_streams; s++)
        if (!(streams[s] = fs_timeline_escape(t->arena, work->streams[s])))
            return fs_fail_nomem(err);
    fs_status status = fs_out_open(path, &c->out, err);
    if (status != FS_OK)
        return status;
    fs_out_puts(c->out, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
    for (uint32_t track = 0; track < t->n_tracks && status == FS_OK; track++)
        status = write_track(t, track, streams, err);
    return status;
}

/* "X": a slice. The caller closes the event. */
static void begin_slice(fs_timeline *t, const fs_slice *s, const char *name, uint64_t from_ns, uint64_t to_ns)
{
    chrome *c = t->state;
    begin_event(c, 'X', process_of(s->track), thread_of(t, s->track, s->op->stream));
    add_time(c, "ts", from_ns);
    add_time(c, "dur", to_ns - from_ns);
    fs_out_printf(c->out, ",\"name\":\"%s\",\"cat\":\"%s\"", name, fs_op_category(s->op));
}

static void write_arrow(fs_timeline *t, const fs_slice *s)
{
    chrome *c = t->state;
    uint64_t quarter = (s->end_ns - s->move_ns) / 4;
    bool leaves = s->op->kind == FS_OP_SEND;
    begin_event(c, leaves ? 's' : 'f', process_of(s->track), thread_of(t, s->track, s->op->stream));
    add_time(c, "ts", leaves ? s->move_ns + quarter : s->end_ns - quarter);
    fs_out_printf(c->out, ",\"id\":%llu,\"name\":\"transfer\",\"cat\":\"transfer\"%s}", (unsigned long long)s->arrow,
                  leaves ? "" : ",\"bp\":\"e\"");
}

static void write_slice(fs_timeline *t, const fs_slice *s)
{
    chrome *c = t->state;
    begin_slice(t, s, fs_op_title(s->op, c->names), s->issue_ns, s->end_ns);
    if (s->moved)
        fs_out_printf(c->out, ",\"args\":{\"op\":%u,\"size_bytes\":%.0f}}", s->op_index, s->op->size_bytes);
    else
        fs_out_printf(c->out, ",\"args\":{\"op\":%u}}", s->op_index);
    if (s->moved && s->move_ns > s->issue_ns) {
        begin_slice(t, s, "wait", s->issue_ns, s->move_ns);
        fs_out_puts(c->out, "}");
        begin_slice(t, s, "move", s->move_ns, s->end_ns);
        fs_out_puts(c->out, "}");
    }
    if (s->arrow)
        write_arrow(t, s);
}

static fs_status begin_tier(fs_timeline *t, uint32_t tier, fs_err *err)
{
    chrome *c = t->state;
    uint32_t pid = t->n_tracks + 1 + tier;
    c->tier = fs_timeline_escape(t->arena, t->topo->tiers[tier].name);
    if (!c->tier)
        return fs_fail_nomem(err);
    begin_event(c, 'M', pid, 0);
    fs_out_printf(c->out, ",\"name\":\"process_name\",\"args\":{\"name\":\"tier %s\"}}", c->tier);
    write_sort_index(c, pid, 0, "process_sort_index", (uint64_t)t->work->n_ranks + tier);
    return FS_OK;
}

static void write_counter(fs_timeline *t, const fs_counter *counter)
{
    chrome *c = t->state;
    begin_event(c, 'C', t->n_tracks + 1 + counter->tier, 0);
    add_time(c, "ts", counter->now_ns);
    fs_out_printf(c->out, ",\"name\":\"load %%\",\"args\":{\"%s\":%.3f}}", c->tier, counter->percent);
}

static fs_status close_chrome(fs_timeline *t, double end_s, fs_err *err)
{
    chrome *c = t->state;
    (void)end_s;
    fs_out_puts(c->out, "\n]}\n");
    fs_status status = fs_out_close(c->out, err);
    c->out = NULL;
    return status;
}

static void discard_chrome(fs_timeline *t)
{
    fs_out_discard(((chrome *)t->state)->out);
}

const fs_timeline_format fs_timeline_chrome = {.open = open_chrome,
                                               .slice = write_slice,
                                               .tier = begin_tier,
                                               .counter = write_counter,
                                               .close = close_chrome,
                                               .discard = discard_chrome};
