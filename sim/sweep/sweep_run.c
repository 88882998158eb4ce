/* sweep_run.c - see sweep_run.h.
 *
 * The caller's process hashes points, writes the database and runs the pool; workers only simulate. Points with one
 * topology, settings included, go one after the other, so that workers have it loaded (point_run.h); otherwise they go in
 * order. Where somebody else turns out to fill in the same points at the same time, the sweep goes on from a random
 * place, so that the two do not compute the same ones side by side; and what was computed twice all the same is stored
 * once. */
#include "sweep/sweep_run.h"

#include "base/clock.h"
#include "base/index.h"
#include "base/rng.h"
#include "sweep/point_hash.h"
#include "sweep/point_run.h"
#include "sweep/progress.h"
#include "sweep/workers.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Peak memory of a point before one of its kind has run: an upper line through shipped cases (36 MB on 8 GPUs, 106 MB on
 * 62,720 devices, 468 MB on 380,720 devices), and how much later ones may exceed what was seen. */
static const double program_bytes = 64e6, device_bytes = 2e3, margin = 1.25;
static const double jump_s = 1; /* between two jumps */

typedef struct sweep_state {
    const fs_sweep *sweep;
    const fs_sweep_options *options;
    fs_store *store;
    fs_point_runner *runner; /* the workers have copies */
    fs_member *members;      /* (points of the sweep) */
    uint32_t *place;         /* (points of the sweep) the first point with the same topology and settings of it */
    FS_VEC(uint32_t) todo;   /* numbers of points to compute */
    uint32_t at;             /* next of todo */
    double jumped_s;
    fs_rng rng;
    double *peak;  /* (n_topologies x n_traces) largest seen; 0: none yet */
    double *prior; /* (n_topologies) */
    fs_progress progress;
    fs_sweep_summary *summary;
} sweep_state;

/* ---- before ------------------------------------------------------------------------------------------------------- */

static bool same_topology(const fs_point *a, const fs_point *b)
{
    uint32_t i = 0, k = 0;
    if (a->topology != b->topology)
        return false;
    for (;; i++, k++) {
        while (i < a->count && !fs_setting_is_topo(a->settings[i].name))
            i++;
        while (k < b->count && !fs_setting_is_topo(b->settings[k].name))
            k++;
        if (i == a->count || k == b->count)
            return i == a->count && k == b->count;
        const fs_setting *x = &a->settings[i], *y = &b->settings[k];
        if (strcmp(x->name, y->name) != 0 || !fs_value_equal(x->value, y->value))
            return false;
    }
}

static uint64_t hash_topology(const fs_point *p)
{
    uint64_t hash = fs_hash_bytes(FS_HASH_START, p->topology->path, strlen(p->topology->path));
    for (uint32_t i = 0; i < p->count; i++) {
        const fs_setting *s = &p->settings[i];
        if (!fs_setting_is_topo(s->name))
            continue;
        hash = fs_hash_bytes(hash, s->name, strlen(s->name));
        hash = s->value.kind == FS_VALUE_TEXT ? fs_hash_bytes(hash, s->value.text, strlen(s->value.text))
                                              : fs_hash_bytes(hash, &s->value.number, sizeof s->value.number);
    }
    return hash;
}

/* Settings and hash of each point. */
static fs_status identify(sweep_state *s, fs_err *err)
{
    fs_sweep_hashes hashes = {0};
    uint32_t n = fs_sweep_count(s->sweep);
    s->members = fs_zalloc(n, sizeof *s->members);
    fs_status status = s->members ? fs_sweep_hashes_make(s->sweep, &hashes, err) : fs_fail_nomem(err);
    for (uint32_t i = 0; i < n && status == FS_OK; i++) {
        fs_point point;
        fs_out *out = NULL;
        char *settings = NULL;
        size_t length = 0;
        status = fs_sweep_point(s->sweep, i, &point, err);
        if (status == FS_OK)
            status = fs_out_memory(&out, err);
        if (status == FS_OK) {
            fs_point_write_settings(&point, out);
            status = fs_out_take(out, &settings, &length, err);
        }
        s->members[i].settings = settings;
        s->members[i].baseline = point.baseline;
        if (status == FS_OK)
            status = fs_point_hash(s->sweep, &hashes, &point, settings, s->members[i].hash, err);
    }
    fs_sweep_hashes_free(&hashes);
    return status;
}

static bool is_mine(const sweep_state *s, uint32_t number)
{
    return s->options->n_shards <= 1 || number % s->options->n_shards == s->options->shard;
}

/* A point that is in the database and stays. */
static bool is_there(const sweep_state *s, fs_point_state state)
{
    return state == FS_POINT_OK || (state == FS_POINT_FAILED && !s->options->retry);
}

static fs_status list_todo(sweep_state *s, fs_err *err)
{
    for (uint32_t i = 0; i < fs_sweep_count(s->sweep); i++) {
        fs_point_state state = FS_POINT_ABSENT;
        if (!is_mine(s, i))
            continue;
        fs_status status = fs_store_state(s->store, s->members[i].hash, &state, err);
        if (status != FS_OK)
            return status;
        bool there = is_there(s, state);
        s->summary->points++;
        s->summary->there += there;
        if (!there && !FS_PUSH(&s->todo, i))
            return fs_fail_nomem(err);
    }
    return FS_OK;
}

static fs_status place_points(sweep_state *s, fs_err *err)
{
    uint32_t n = fs_sweep_count(s->sweep);
    fs_index index = {0};
    fs_status status = FS_OK;
    s->place = fs_zalloc(n, sizeof *s->place);
    if (!s->place)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < n && status == FS_OK; i++) {
        fs_point point, other;
        status = fs_sweep_point(s->sweep, i, &point, err);
        if (status != FS_OK)
            break;
        uint64_t hash = hash_topology(&point);
        fs_index_probe probe = fs_index_search(&index, hash);
        uint32_t found = fs_index_next(&probe);
        while (found != FS_NONE &&
               (fs_sweep_point(s->sweep, found, &other, err) != FS_OK || !same_topology(&point, &other)))
            found = fs_index_next(&probe);
        s->place[i] = found == FS_NONE ? i : found;
        if (found == FS_NONE && !fs_index_add(&index, hash, i))
            status = fs_fail_nomem(err);
    }
    fs_index_free(&index);
    return status;
}

static const uint32_t *places; /* qsort has no context */

static int by_place(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    if (places[a] != places[b])
        return places[a] < places[b] ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* Points with one topology one after the other. */
static fs_status order_todo(sweep_state *s, fs_err *err)
{
    fs_status status = place_points(s, err);
    if (status != FS_OK)
        return status;
    places = s->place;
    qsort(s->todo.data, s->todo.count, sizeof *s->todo.data, by_place);
    return FS_OK;
}

/* Topologies that settings do not change are loaded before the workers are forked, once for all; and how large they are
 * says what memory points on them may need. One that cannot be read without settings is left to its points. */
static fs_status prepare_topologies(sweep_state *s, fs_err *err)
{
    const fs_sweep *sweep = s->sweep;
    s->peak = fs_zalloc((size_t)sweep->n_topologies * sweep->n_traces, sizeof *s->peak);
    s->prior = fs_zalloc(sweep->n_topologies, sizeof *s->prior);
    if (!s->peak || !s->prior)
        return fs_fail_nomem(err);
    fs_status status = fs_point_runner_new(&s->runner, err);
    for (uint32_t i = 0; i < sweep->n_topologies && status == FS_OK; i++) {
        uint32_t n_devices = 0;
        fs_err ignored;
        if (fs_point_runner_load(s->runner, sweep->topologies[i].path, &n_devices, &ignored) == FS_E_NOMEM)
            return fs_fail_nomem(err);
        s->prior[i] = program_bytes + device_bytes * n_devices;
    }
    return status;
}

/* ---- the pool's questions ----------------------------------------------------------------------------------------- */

static double *peak_of(sweep_state *s, const fs_point *point)
{
    size_t topology = (size_t)(point->topology - s->sweep->topologies);
    return &s->peak[topology * s->sweep->n_traces + (size_t)(point->trace - s->sweep->traces)];
}

static double predict(void *context, uint32_t task)
{
    sweep_state *s = context;
    fs_point point;
    fs_err ignored;
    if (fs_sweep_point(s->sweep, task, &point, &ignored) != FS_OK)
        return 0;
    double seen = *peak_of(s, &point);
    return seen > 0 ? margin * seen : s->prior[point.topology - s->sweep->topologies];
}

static void reverse(uint32_t *first, uint32_t *end)
{
    while (first < end) {
        uint32_t kept = *first;
        *first++ = *--end;
        *end = kept;
    }
}

/* Somebody else is at work: rotate what is left, by a random amount. */
static void jump(sweep_state *s)
{
    double now_s = fs_clock_s();
    uint32_t left = s->todo.count - s->at, *from = s->todo.data + s->at;
    if (left < 2 || now_s - s->jumped_s < jump_s)
        return;
    uint32_t by = fs_rng_below(&s->rng, left);
    s->jumped_s = now_s;
    reverse(from, from + by);
    reverse(from + by, from + left);
    reverse(from, from + left);
}

static fs_status next(void *context, uint32_t *task, fs_err *err)
{
    sweep_state *s = context;
    *task = FS_NONE;
    while (s->at < s->todo.count) {
        uint32_t number = s->todo.data[s->at++];
        fs_point_state state = FS_POINT_ABSENT;
        fs_status status = fs_store_state(s->store, s->members[number].hash, &state, err);
        if (status != FS_OK)
            return status;
        if (!is_there(s, state)) {
            *task = number;
            return FS_OK;
        }
        fs_progress_count(&s->progress, state == FS_POINT_FAILED);
        jump(s);
    }
    return FS_OK;
}

static fs_status run(void *context, uint32_t task, fs_out *answer, fs_err *err)
{
    sweep_state *s = context;
    fs_point point;
    fs_status status = fs_sweep_point(s->sweep, task, &point, err);
    return status == FS_OK ? fs_point_run(s->runner, &point, answer, err) : status;
}

static fs_status end(void *context, uint32_t task, const fs_task_end *e, fs_err *err)
{
    sweep_state *s = context;
    fs_point point;
    char message[FS_ERR_FILE_MAX + FS_ERR_TEXT_MAX + 64];
    fs_status status = fs_sweep_point(s->sweep, task, &point, err);
    if (status != FS_OK)
        return status;
    if (e->peak_bytes > *peak_of(s, &point))
        *peak_of(s, &point) = e->peak_bytes;
    if (e->error)
        fs_err_format(e->error, message, sizeof message);
    const fs_point_row row = {.hash = s->members[task].hash,
                              .version = FABSIM_VERSION,
                              .topology = point.topology->file,
                              .trace = point.trace->file,
                              .settings = s->members[task].settings,
                              .status = e->status,
                              .message = e->error ? message : NULL,
                              .result = e->answer,
                              .result_size = e->length,
                              .wall_s = e->wall_s,
                              .peak_bytes = e->peak_bytes};
    s->summary->computed++;
    fs_progress_count(&s->progress, e->status != FS_OK);
    return fs_store_put(s->store, &row, s->options->retry, err);
}

static void tick(void *context)
{
    fs_progress_show(&((sweep_state *)context)->progress);
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

static fs_status count_failed(sweep_state *s, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < fs_sweep_count(s->sweep) && status == FS_OK; i++) {
        fs_point_state state = FS_POINT_ABSENT;
        if (!is_mine(s, i))
            continue;
        status = fs_store_state(s->store, s->members[i].hash, &state, err);
        s->summary->failed += state == FS_POINT_FAILED;
        s->summary->missing += state == FS_POINT_ABSENT;
    }
    return status;
}

static fs_status compute(sweep_state *s, int *signal, fs_err *err)
{
    fs_status status = order_todo(s, err);
    if (status == FS_OK)
        status = prepare_topologies(s, err);
    if (status != FS_OK)
        return status;
    const fs_workers_def def = {.n_tasks = s->todo.count,
                                .n_workers = s->options->n_workers,
                                .seconds_max = s->options->seconds_max,
                                .bytes_max = s->options->bytes_max,
                                .context = s,
                                .next = next,
                                .predict_bytes = predict,
                                .run = run,
                                .end = end,
                                .tick = tick};
    s->rng = fs_rng_seed((uint64_t)getpid() << 32 ^ (uint64_t)time(NULL));
    s->progress = fs_progress_start(s->options->progress, s->todo.count);
    status = fs_workers_run(&def, signal, err);
    fs_progress_stop(&s->progress);
    return status;
}

static void discard(sweep_state *s)
{
    for (uint32_t i = 0; s->members && i < fs_sweep_count(s->sweep); i++)
        fs_free((void *)(uintptr_t)s->members[i].settings);
    fs_free(s->members);
    fs_free(s->place);
    fs_free(s->todo.data);
    fs_free(s->peak);
    fs_free(s->prior);
    fs_point_runner_free(s->runner);
    fs_store_close(s->store);
}

fs_status fs_sweep_run(const fs_sweep *sweep, const fs_sweep_options *options, fs_sweep_summary *summary, int *signal,
                       fs_err *err)
{
    double start_s = fs_clock_s();
    sweep_state s = {.sweep = sweep, .options = options, .summary = summary};
    *summary = (fs_sweep_summary){0};
    *signal = 0;
    fs_status status = identify(&s, err);
    if (status == FS_OK)
        status = fs_store_open(options->database, !options->check, &s.store, err);
    if (status == FS_OK && !options->check)
        status = fs_store_set_members(s.store, sweep->name, s.members, fs_sweep_count(sweep), err);
    if (status == FS_OK)
        status = list_todo(&s, err);
    if (status == FS_OK && !options->check && s.todo.count > 0)
        status = compute(&s, signal, err);
    if (status == FS_OK)
        status = count_failed(&s, err);
    summary->seconds = fs_clock_s() - start_s;
    discard(&s);
    return status;
}
