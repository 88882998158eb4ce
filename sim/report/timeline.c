/* timeline.c - see timeline.h: which ranks are drawn, which time, and what each op did in it. Writing is the formats' work. */
#include "report/timeline_in.h"

#include "base/mem.h"
#include "report/load_series.h"
#include "report/spans.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const fs_timeline_kind_names[FS_TIMELINE_KINDS] = {"auto", "chrome", "perfetto", "kineto"};

/* Counter points over all tiers: some 6 MB of JSON. */
enum { COUNTER_POINTS = 100000 };

/* A stream of an actor. */
typedef struct stream_state {
    uint64_t issue_ns, move_ns;
    uint64_t arrow; /* of the transfer under way; 0 = none */
    bool moved;
} stream_state;

static uint64_t nanoseconds(double seconds)
{
    double ns = seconds * 1e9 + 0.5;
    return ns < 9e18 ? (uint64_t)ns : UINT64_C(9000000000000000000); /* 285 years */
}

const char *fs_timeline_escape(fs_arena *arena, const char *text)
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

const char *fs_timeline_track_name(const fs_timeline *t, uint32_t track)
{
    uint32_t gpu = t->work->gpu_of[t->rank[track]];
    char text[FS_NAME_MAX + 64];
    int n = snprintf(text, sizeof text, "gpu%u (%s)", gpu, FS_DEVICE_NAME(t->topo, t->topo->gpus[gpu]));
    if (t->alike[track] > 0 && n > 0)
        snprintf(text + n, sizeof text - (size_t)n, " and %u alike", t->alike[track]);
    return fs_arena_strdup(t->arena, text);
}

bool fs_timeline_uses(const fs_timeline *t, uint32_t track, uint32_t stream)
{
    const fs_program *program = &t->work->programs[t->work->program_of[t->rank[track]]];
    for (uint32_t i = 0; i < program->n_ops; i++)
        if (program->ops[i].stream == stream)
            return true;
    return false;
}

/* ---- tracks ------------------------------------------------------------------------------------------------------ */

static fs_status count_tracks(fs_timeline *t, const fs_timeline_options *options, fs_err *err)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < options->n_ranges; i++) {
        if (options->ranges[i].last >= t->work->n_ranks)
            return fs_fail(err, FS_E_USAGE, "--timeline-ranks: there is no rank %u, the last is %u",
                           options->ranges[i].last, t->work->n_ranks - 1);
        n += options->ranges[i].last - options->ranges[i].first + 1;
    }
    if (n > FS_TIMELINE_TRACKS_MAX)
        return fs_fail(err, FS_E_USAGE, "--timeline-ranks: more than %d ranks", FS_TIMELINE_TRACKS_MAX);
    t->n_tracks = n > 0 ? (uint32_t)n : t->actors.n;
    if (options->kind == FS_TIMELINE_KINETO && t->n_tracks > FS_TIMELINE_FILES_MAX)
        return fs_fail(err, FS_E_USAGE,
                       "--timeline-format kineto: %u files, one for each rank, are more than %d: choose some with "
                       "--timeline-ranks",
                       t->n_tracks, FS_TIMELINE_FILES_MAX);
    return FS_OK;
}

static void add_track(fs_timeline *t, uint32_t track, uint32_t rank, uint32_t actor, uint32_t alike)
{
    t->rank[track] = rank;
    t->alike[track] = alike;
    t->next_track[track] = t->first_track[actor];
    t->first_track[actor] = track;
}

static fs_status make_tracks(fs_timeline *t, const fs_timeline_options *options, fs_err *err)
{
    fs_status status = count_tracks(t, options, err);
    if (status != FS_OK)
        return status;
    t->rank = fs_arena_alloc(t->arena, t->n_tracks, sizeof *t->rank);
    t->alike = fs_arena_alloc(t->arena, t->n_tracks, sizeof *t->alike);
    t->next_track = fs_arena_alloc(t->arena, t->n_tracks, sizeof *t->next_track);
    t->first_track = fs_arena_alloc(t->arena, t->actors.n, sizeof *t->first_track);
    if (!t->rank || !t->alike || !t->next_track || !t->first_track)
        return fs_fail_nomem(err);
    for (uint32_t a = 0; a < t->actors.n; a++)
        t->first_track[a] = FS_NONE;
    if (options->n_ranges == 0)
        for (uint32_t a = 0; a < t->actors.n; a++)
            add_track(t, a, t->actors.rank[a], a, t->actors.count[a] - 1);
    uint32_t track = 0;
    for (uint32_t i = 0; i < options->n_ranges; i++)
        for (uint32_t rank = options->ranges[i].first; rank <= options->ranges[i].last; rank++)
            add_track(t, track++, rank, t->actors.of_rank[rank], 0);
    return FS_OK;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static fs_status prepare(fs_timeline *t, const fs_timeline_options *options, fs_err *err)
{
    uint32_t n_tiers = t->topo->n_tiers;
    uint32_t points = COUNTER_POINTS / (n_tiers ? n_tiers : 1);
    if (points < FS_LOAD_POINTS_MIN)
        points = FS_LOAD_POINTS_MIN;
    t->from_s = options->from_s;
    t->to_s = options->to_s > 0 ? options->to_s : INFINITY;
    t->from_ns = nanoseconds(t->from_s);
    t->to_ns = options->to_s > 0 ? nanoseconds(t->to_s) : UINT64_MAX;
    t->streams = fs_arena_alloc(t->arena, (size_t)t->actors.n * t->work->n_streams, sizeof *t->streams);
    t->tier_load = fs_arena_alloc(t->arena, n_tiers, sizeof *t->tier_load);
    t->tiers = fs_arena_alloc(t->arena, n_tiers, sizeof *t->tiers);
    fs_load_point *room = fs_arena_alloc(t->arena, (size_t)n_tiers * points, sizeof *room);
    if (!t->streams || !t->tier_load || !t->tiers || !room)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < n_tiers; i++) {
        t->tiers[i] = fs_load_series_start(room + (size_t)i * points, points);
        t->tiers[i].begin_s = t->tiers[i].since_s = t->from_s;
    }
    return make_tracks(t, options, err);
}

static const fs_timeline_format *format_of(fs_timeline_kind kind, const char *path)
{
    static const char pftrace[] = ".pftrace", zipped[] = ".pftrace.gz";
    size_t n = strlen(path);
    bool perfetto = (n >= sizeof pftrace - 1 && strcmp(path + n - (sizeof pftrace - 1), pftrace) == 0) ||
                    (n >= sizeof zipped - 1 && strcmp(path + n - (sizeof zipped - 1), zipped) == 0);
    switch (kind) {
    case FS_TIMELINE_CHROME: return &fs_timeline_chrome;
    case FS_TIMELINE_PERFETTO: return &fs_timeline_perfetto;
    case FS_TIMELINE_KINETO: return &fs_timeline_kineto;
    case FS_TIMELINE_AUTO:
    case FS_TIMELINE_KINDS: break;
    }
    return perfetto ? &fs_timeline_perfetto : &fs_timeline_chrome;
}

fs_status fs_timeline_open(const char *path, const fs_timeline_options *options, const fs_work *work,
                           const fs_topo *topo, fs_tracks tracks, fs_timeline **timeline, fs_err *err)
{
    fs_timeline *t = fs_zalloc(1, sizeof *t);
    if (!t)
        return fs_fail_nomem(err);
    t->format = format_of(options->kind, path);
    t->work = work;
    t->topo = topo;
    t->actors = tracks;
    t->arena = fs_arena_new();
    fs_status status = t->arena ? prepare(t, options, err) : fs_fail_nomem(err);
    if (status == FS_OK)
        status = t->format->open(t, path, err);
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
    if (timeline->state)
        timeline->format->discard(timeline);
    fs_arena_free(timeline->arena);
    fs_free(timeline);
}

/* ---- ops --------------------------------------------------------------------------------------------------------- */

static const fs_op *op_at(const fs_timeline *t, uint32_t actor, uint32_t op)
{
    return &t->work->programs[t->work->program_of[t->actors.rank[actor]]].ops[op];
}

static stream_state *stream_of(fs_timeline *t, uint32_t actor, const fs_op *op)
{
    return &t->streams[(size_t)actor * t->work->n_streams + op->stream];
}

void fs_timeline_issue(fs_timeline *t, uint32_t actor, uint32_t op, double now_s)
{
    *stream_of(t, actor, op_at(t, actor, op)) = (stream_state){.issue_ns = nanoseconds(now_s)};
}

void fs_timeline_move(fs_timeline *t, uint32_t actor, uint32_t op_index, double now_s)
{
    const fs_op *op = op_at(t, actor, op_index);
    stream_state *stream = stream_of(t, actor, op);
    stream->move_ns = nanoseconds(now_s);
    stream->moved = true;
    if (op->kind == FS_OP_SEND)
        t->arrows++;
    stream->arrow = op->kind == FS_OP_SEND || op->kind == FS_OP_RECV ? t->arrows : 0;
}

void fs_timeline_end(fs_timeline *t, uint32_t actor, uint32_t op_index, double now_s)
{
    const fs_op *op = op_at(t, actor, op_index);
    const stream_state *stream = stream_of(t, actor, op);
    uint32_t track = t->first_track[actor];
    uint64_t end_ns = nanoseconds(now_s);
    if (end_ns < t->from_ns || stream->issue_ns > t->to_ns || track == FS_NONE)
        return;
    bool alone =
        t->next_track[track] == FS_NONE; /* of several ranks of one class nobody knows whose partner is whose */
    for (; track != FS_NONE; track = t->next_track[track]) {
        const fs_slice slice = {.track = track,
                                .op_index = op_index,
                                .op = op,
                                .issue_ns = stream->issue_ns,
                                .move_ns = stream->move_ns,
                                .end_ns = end_ns,
                                .moved = stream->moved,
                                .arrow = alone ? stream->arrow : 0};
        t->format->slice(t, &slice);
    }
}

/* ---- tiers ------------------------------------------------------------------------------------------------------- */

void fs_timeline_load(fs_timeline *t, uint32_t tier, double delta, double now_s)
{
    t->tier_load[tier] += delta;
    if (now_s <= t->to_s)
        fs_load_series_set(&t->tiers[tier], now_s > t->from_s ? now_s : t->from_s, t->tier_load[tier]);
}

static fs_status write_counters(fs_timeline *t, uint32_t tier, double end_s, fs_err *err)
{
    fs_load_series *series = &t->tiers[tier];
    fs_status status = t->format->tier(t, tier, err);
    if (status != FS_OK)
        return status;
    fs_load_series_finish(series, end_s);
    for (uint32_t i = 0; i < series->count; i++) {
        uint64_t now_ns = nanoseconds(series->points[i].time_s);
        if (i + 1 < series->count && nanoseconds(series->points[i + 1].time_s) == now_ns)
            continue; /* the last word at a time counts: two values at once are none */
        double percent = series->points[i].load * 100;
        /* Sums of changes may end a rounding error away from 0, also below. */
        t->format->counter(t, &(fs_counter){tier, now_ns, percent > 0 ? percent : 0.0});
    }
    return FS_OK;
}

fs_status fs_timeline_close(fs_timeline *t, double end_s, fs_err *err)
{
    fs_status status = FS_OK;
    double last_s = end_s < t->to_s ? end_s : t->to_s;
    for (uint32_t tier = 0; status == FS_OK && t->format->tier && tier < t->topo->n_tiers; tier++)
        status = write_counters(t, tier, last_s > t->from_s ? last_s : t->from_s, err);
    if (status == FS_OK)
        status = t->format->close(t, end_s, err);
    fs_timeline_discard(t);
    return status;
}
