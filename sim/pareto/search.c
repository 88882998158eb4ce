/* search.c - see search.h. */
#include "pareto/search.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "sweep/progress.h"
#include "sweep/workers.h"

#include <string.h>

#define SECONDS_MAX 120 /* of one point: it is given up then */

enum { POINTS_MAX = 100000, CONCURRENCY_MAX = 1 << 18, GPUS_LEAST = 32 };

typedef struct context {
    const fs_search_def *def;
    fs_search *search;
    fs_progress progress;
} context;

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
    s->of_state[p->state]++;
    fs_progress_count(&c->progress, p->state == FS_OPERATING_FAILED);
    return FS_OK;
}

static void tick(void *data)
{
    context *c = data;
    fs_progress_show(&c->progress);
}

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
        def->limits = (fs_operating_limits){def->work->inference->slo_ttft_s, def->work->inference->slo_tpot_s};
    return FS_OK;
}

fs_status fs_search_run(const fs_search_def *def, fs_search *s, int *signal, fs_err *err)
{
    double start_s = fs_clock_s();
    *s = (fs_search){0};
    fs_status status = fs_space_make(def->topo, def->work, &def->space, &s->space, err);
    if (status != FS_OK)
        return status;
    s->points = fs_zalloc(s->space.n, sizeof *s->points);
    if (!s->points) {
        fs_search_free(s);
        return fs_fail_nomem(err);
    }
    context c = {.def = def, .search = s, .progress = fs_progress_start(def->progress, s->space.n)};
    const fs_workers_def workers = {.n_tasks = s->space.n,
                                    .n_workers = def->workers,
                                    .seconds_max = SECONDS_MAX,
                                    .context = &c,
                                    .run = run_point,
                                    .end = end_point,
                                    .tick = tick};
    status = fs_workers_run(&workers, signal, err);
    fs_progress_stop(&c.progress);
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
