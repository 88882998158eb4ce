/* search.c - see search.h. */
#include "pareto/search.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "sweep/progress.h"
#include "sweep/workers.h"

#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX 120 /* of one point: it is given up then */

enum { POINTS_MAX = 100000, CONCURRENCY_MAX = 1 << 18, GPUS_LEAST = 32 };

typedef struct context {
    const fs_search_def *def;
    fs_search *search;
    fs_prefill *prefills; /* (n_prefills) */
    uint32_t n_prefills;
    fs_progress progress;
    uint32_t *order; /* (space.n) points as they start: by their place in their combination */
    uint32_t started;
    uint32_t *enough; /* (combinations_tried) the least load that is over the limit of tokens: more is beyond */
} context;

/* ---- loads beyond the limit ------------------------------------------------------------------------------------------ */

typedef struct turn {
    uint32_t place, point; /* in its combination; among all */
} turn;

static int by_place(const void *left, const void *right)
{
    const turn *a = left, *b = right;
    return a->place != b->place ? (a->place > b->place) - (a->place < b->place)
                                : (a->point > b->point) - (a->point < b->point);
}

static fs_status plan_order(context *c, fs_err *err)
{
    const fs_space *space = &c->search->space;
    turn *turns = fs_alloc(space->n, sizeof *turns);
    c->order = fs_alloc(space->n, sizeof *c->order);
    c->enough = fs_alloc(space->combinations_tried, sizeof *c->enough);
    if (turns && c->order && c->enough) {
        for (uint32_t i = 0; i < space->n; i++)
            turns[i] = (turn){
                i > 0 && space->all[i].combination == space->all[i - 1].combination ? turns[i - 1].place + 1 : 0, i};
        qsort(turns, space->n, sizeof *turns, by_place);
        for (uint32_t i = 0; i < space->n; i++)
            c->order[i] = turns[i].point;
        for (uint32_t i = 0; i < space->combinations_tried; i++)
            c->enough[i] = UINT32_MAX;
    }
    fs_free(turns);
    return turns && c->order && c->enough ? FS_OK : fs_fail_nomem(err);
}

static bool is_beyond(const context *c, uint32_t point)
{
    const fs_candidate *candidate = &c->search->space.all[point];
    return candidate->concurrency > c->enough[candidate->combination];
}

static void note_load(context *c, const fs_operating_point *p)
{
    uint32_t *enough = &c->enough[p->candidate.combination];
    double limit_s = c->def->limits.tpot_s;
    bool steady = p->state == FS_OPERATING_TTFT || p->state == FS_OPERATING_TPOT;
    if (!c->def->limits.exhaustive && limit_s > 0 && steady && p->tpot_s > limit_s * (1 + FS_EVEN) &&
        p->candidate.concurrency < *enough)
        *enough = p->candidate.concurrency;
}

static fs_status next_point(void *data, uint32_t *task, fs_err *err)
{
    context *c = data;
    (void)err;
    for (; c->started < c->search->space.n && is_beyond(c, c->order[c->started]); c->started++)
        fs_progress_count(&c->progress, false);
    *task = c->started < c->search->space.n ? c->order[c->started++] : FS_NONE;
    return FS_OK;
}

static void count_states(context *c)
{
    fs_search *s = c->search;
    for (uint32_t i = 0; i < s->space.n; i++) {
        if (is_beyond(c, i))
            s->points[i] = (fs_operating_point){.candidate = s->space.all[i], .state = FS_OPERATING_BEYOND};
        s->of_state[s->points[i].state]++;
    }
}

/* ---- points ---------------------------------------------------------------------------------------------------------- */

/* In a worker. The answer is the point itself: the caller is the same program. */
static fs_status run_point(void *data, uint32_t task, fs_out *answer, fs_err *err)
{
    const context *c = data;
    fs_operating_point p = {.candidate = c->search->space.all[task]};
    fs_status status = fs_operating_simulate(c->def->topo, c->def->work, c->def->options, &c->def->limits, &p, err);
    if (status == FS_OK)
        fs_out_write(answer, (const char *)&p, sizeof p);
    return status;
}

static fs_status end_point(void *data, uint32_t task, const fs_task_end *end, fs_err *err)
{
    context *c = data;
    fs_search *s = c->search;
    fs_operating_point *p = &s->points[task];
    (void)err;
    if (end->status == FS_OK && end->length == sizeof *p)
        memcpy(p, end->answer, sizeof *p);
    else
        *p = (fs_operating_point){.candidate = s->space.all[task], .state = FS_OPERATING_FAILED};
    if (p->state == FS_OPERATING_FAILED && s->failure[0] == '\0')
        fs_snprintf(s->failure, sizeof s->failure, "%s", end->error ? end->error->text : "no answer");
    note_load(c, p);
    fs_progress_count(&c->progress, p->state == FS_OPERATING_FAILED);
    return FS_OK;
}

static void tick(void *data)
{
    context *c = data;
    fs_progress_show(&c->progress);
}

/* ---- prompts alone --------------------------------------------------------------------------------------------------- */

static fs_status run_prefill(void *data, uint32_t task, fs_out *answer, fs_err *err)
{
    const context *c = data;
    fs_prefill p = c->prefills[task];
    fs_status status = fs_prefill_simulate(c->def->topo, c->def->work, c->def->options, &p, err);
    if (status == FS_OK)
        fs_out_write(answer, (const char *)&p, sizeof p);
    return status;
}

static fs_status end_prefill(void *data, uint32_t task, const fs_task_end *end, fs_err *err)
{
    context *c = data;
    (void)err;
    if (end->status == FS_OK && end->length == sizeof *c->prefills)
        memcpy(&c->prefills[task], end->answer, sizeof *c->prefills);
    else if (c->search->failure[0] == '\0')
        fs_snprintf(c->search->failure, sizeof c->search->failure, "%s", end->error ? end->error->text : "no answer");
    return FS_OK;
}

/* Those that are worth combining with layouts to decode in stay, to the front of c->prefills. */
static fs_status keep_prefills(context *c, fs_err *err)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_prefills; i++)
        if (c->prefills[i].prompts_per_s > 0)
            c->prefills[n++] = c->prefills[i];
    c->n_prefills = c->search->prefills_kept = fs_prefill_frontier(c->prefills, n, c->def->limits.ttft_s);
    if (n == 0)
        return fs_fail(err, FS_E_SIM, "%s: no layout computes prompts; the first failure: %s", c->def->work->path,
                       c->search->failure[0] ? c->search->failure : "no steady state");
    return FS_OK;
}

/* Each layout of a disaggregated trace's prefill pool, leaving a GPU to decode. */
static fs_status measure_prefills(context *c, int *signal, fs_err *err)
{
    const fs_search_def *def = c->def;
    const fs_pool *pool = fs_space_pool(def->work->inference, FS_ROLE_PREFILL);
    fs_layouts layouts;
    if (!pool)
        return FS_OK;
    fs_status status = fs_space_layouts(def->topo, def->work, pool, def->space.gpus - 1, &layouts, err);
    if (status != FS_OK)
        return status;
    c->search->prefills = layouts.fit.count + layouts.unfit;
    c->search->prefills_unfit = layouts.unfit;
    c->n_prefills = layouts.fit.count;
    c->prefills = fs_zalloc(c->n_prefills, sizeof *c->prefills);
    for (uint32_t i = 0; i < c->n_prefills && c->prefills; i++)
        c->prefills[i].layout = layouts.fit.data[i];
    fs_free(layouts.fit.data);
    const fs_workers_def workers = {.n_tasks = c->n_prefills,
                                    .n_workers = def->workers,
                                    .seconds_max = SECONDS_MAX,
                                    .context = c,
                                    .run = run_prefill,
                                    .end = end_prefill};
    status = c->prefills ? fs_workers_run(&workers, signal, err) : fs_fail_nomem(err);
    return status == FS_OK && !*signal ? keep_prefills(c, err) : status;
}

/* ---- limits ---------------------------------------------------------------------------------------------------------- */

/* A rack, or some nodes: a large model needs more than one of eight GPUs. */
static uint32_t gpus_of_a_replica(const fs_topo *topo)
{
    uint32_t gpus = GPUS_LEAST;
    for (uint32_t r = 0; r < topo->n_runs; r++)
        if (topo->runs[r].unit->of_kind[FS_DEVICE_GPU] > gpus)
            gpus = topo->runs[r].unit->of_kind[FS_DEVICE_GPU];
    return gpus < topo->n_gpus ? gpus : topo->n_gpus;
}

fs_status fs_search_limit(fs_search_def *def, uint64_t points, uint64_t gpus, uint64_t concurrency, uint64_t workers,
                          fs_err *err)
{
    if (points == 0 || points > POINTS_MAX)
        return fs_fail(err, FS_E_USAGE, "--points: expected 1 to %d, found %llu", POINTS_MAX,
                       (unsigned long long)points);
    if (concurrency == 0 || concurrency > CONCURRENCY_MAX)
        return fs_fail(err, FS_E_USAGE, "--concurrency: expected 1 to %d, found %llu", CONCURRENCY_MAX,
                       (unsigned long long)concurrency);
    if (gpus > def->topo->n_gpus)
        return fs_fail(err, FS_E_USAGE, "--gpus: %llu asked for, %s has %u", (unsigned long long)gpus, def->topo->path,
                       def->topo->n_gpus);
    if (workers > FS_WORKERS_MAX)
        return fs_fail(err, FS_E_USAGE, "--workers: expected at most %d", FS_WORKERS_MAX);
    def->space = (fs_space_limits){.points = (uint32_t)points,
                                   .gpus = gpus ? (uint32_t)gpus : gpus_of_a_replica(def->topo),
                                   .concurrency = (uint32_t)concurrency};
    def->workers = (uint32_t)workers;
    if (def->work->inference)
        def->limits = (fs_operating_limits){.ttft_s = def->work->inference->slo_ttft_s,
                                            .tpot_s = def->work->inference->slo_tpot_s};
    return FS_OK;
}

/* ---- the search ------------------------------------------------------------------------------------------------------ */

static fs_status run_points(context *c, int *signal, fs_err *err)
{
    fs_search *s = c->search;
    s->points = fs_zalloc(s->space.n, sizeof *s->points);
    if (!s->points)
        return fs_fail_nomem(err);
    fs_status status = plan_order(c, err);
    if (status != FS_OK)
        return status;
    c->progress = fs_progress_start(c->def->progress, s->space.n);
    const fs_workers_def workers = {.n_tasks = s->space.n,
                                    .n_workers = c->def->workers,
                                    .seconds_max = SECONDS_MAX,
                                    .context = c,
                                    .next = next_point,
                                    .run = run_point,
                                    .end = end_point,
                                    .tick = tick};
    status = fs_workers_run(&workers, signal, err);
    fs_progress_stop(&c->progress);
    if (status == FS_OK && !*signal)
        count_states(c);
    return status;
}

fs_status fs_search_run(const fs_search_def *def, fs_search *s, int *signal, fs_err *err)
{
    double start_s = fs_clock_s();
    context c = {.def = def, .search = s};
    *s = (fs_search){0};
    fs_status status = fs_space_check(def->work, err);
    if (status == FS_OK)
        status = measure_prefills(&c, signal, err);
    if (status == FS_OK && !*signal)
        status = fs_space_make(def->topo, def->work, &def->space, c.prefills, c.n_prefills, &s->space, err);
    if (status == FS_OK && !*signal)
        status = run_points(&c, signal, err);
    fs_free(c.prefills);
    fs_free(c.order);
    fs_free(c.enough);
    s->wall_s = fs_clock_s() - start_s;
    if (status != FS_OK)
        fs_search_free(s);
    return status;
}

void fs_search_free(fs_search *s)
{
    fs_space_free(&s->space);
    fs_free(s->points);
    *s = (fs_search){0};
}
