/* run.c - see run.h. Stages in the order of the data: bundles, routes, lowering, fold, engine, scheduler, result.
 *
 * Each stage is made from the ones before it and freed in the opposite order. Packets of one connection keep to one
 * path, so the router takes the first of the equal ones for ns3, and no packets make a coupled transfer, so ns3 has
 * its edges as flows; cm02 splits flows and couples them as fabric does (stock_cm02.cpp).
 */
#include "run.h"

#include "base/mem.h"
#include "run_watch.h"
#include "topo/bundle.h"

#include <sys/resource.h>
#include <time.h>

typedef struct stages {
    const fs_topo *topo; /* that is simulated: the bundled one, or the one given */
    fs_topo *bundled;
    fs_router *router;
    fs_router **epochs; /* (n_epochs) where links fail, else NULL */
    uint32_t n_epochs;
    fs_pattern_table *patterns;
    fs_lowering *lowering;
    fs_job *job;
    fs_engine *engine;
} stages;

static double clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static uint64_t peak_memory_bytes(void)
{
    struct rusage use;
    if (getrusage(RUSAGE_SELF, &use) != 0)
        return 0;
    return (uint64_t)use.ru_maxrss * 1024; /* Linux counts in KiB */
}

fs_run_options fs_run_default(void)
{
    return (fs_run_options){.network = FS_BACKEND_FABRIC, .lowering = FS_LOWER_COUPLED, .cost = FS_COST_NCCL};
}

/* What folds is bundled first: switches that nothing tells apart are one, before any route is looked for. */
static fs_status choose_topo(const fs_topo *whole, const fs_run_options *options, stages *s, fs_err *err)
{
    fs_status status = options->fold == FS_FOLD_AUTO ? fs_topo_bundle(whole, &s->bundled, err) : FS_OK;
    s->topo = s->bundled ? s->bundled : whole;
    return status;
}

/* One for the healthy machine, which decides what collectives look like, and where links fail one for each epoch. */
static fs_status make_routers(const fs_run_options *options, stages *s, fs_err *err)
{
    fs_router_options routing = {
        .single_path = options->network == FS_BACKEND_NS3, .epoch = FS_NONE, .seed = options->seed};
    fs_status status = fs_router_new(s->topo, routing, &s->router, err);
    if (status != FS_OK || s->topo->link_faults.count == 0)
        return status;
    s->epochs = fs_zalloc(s->topo->n_epochs, sizeof(fs_router *));
    s->n_epochs = s->topo->n_epochs;
    if (!s->epochs)
        return fs_fail_nomem(err);
    for (routing.epoch = 0; status == FS_OK && routing.epoch < s->n_epochs; routing.epoch++)
        status = fs_router_new(s->topo, routing, &s->epochs[routing.epoch], err);
    return status;
}

static fs_status prepare(const fs_topo *whole, const fs_work *work, const fs_run_options *options, stages *s,
                         fs_err *err)
{
    fs_status status = choose_topo(whole, options, s, err);
    if (status == FS_OK)
        status = make_routers(options, s, err);
    if (status != FS_OK)
        return status;
    s->patterns = fs_pattern_table_new();
    if (!s->patterns)
        return fs_fail_nomem(err);
    fs_lowering_options how = {.cost = options->cost,
                               .mode = options->lowering,
                               .epochs = s->epochs,
                               .nccl = options->nccl,
                               .cross_rail = work->nccl.cross_rail,
                               .registered = options->registered || work->nccl.registered,
                               .sharp = options->sharp || work->nccl.sharp};
    status = fs_lowering_new(s->topo, s->router, s->patterns, how, &s->lowering, err);
    if (status == FS_OK)
        status = fs_fold(work, s->topo, s->lowering, s->patterns, options->cost, options->fold, &s->job, err);
    if (status != FS_OK)
        return status;
    fs_engine_def def = {.backend = options->network,
                         .n_resources = s->job->n_resources,
                         .n_links = s->job->n_links,
                         .capacity = s->job->capacity,
                         .patterns = s->job->patterns,
                         .max_events = options->max_events};
    return fs_engine_new(&def, &s->engine, err);
}

static void discard(stages *s)
{
    fs_engine_free(s->engine);
    fs_job_free(s->job);
    fs_lowering_free(s->lowering);
    fs_pattern_table_free(s->patterns);
    for (uint32_t e = 0; s->epochs && e < s->n_epochs; e++)
        fs_router_free(s->epochs[e]);
    fs_free(s->epochs);
    fs_router_free(s->router);
    fs_topo_free(s->bundled);
}

/* Run and fill; the timeline is closed in any case. */
static fs_status simulate(const stages *s, const fs_topo *whole, fs_timeline *timeline, fs_result *result, fs_err *err)
{
    fs_watch watch;
    double step_s = 0;
    fs_result made = {0};
    fs_status status = fs_watch_start(s->job, timeline, &watch, err);
    if (status != FS_OK) {
        fs_timeline_discard(timeline);
        return status;
    }
    status = fs_sched_run(s->job, s->engine, &watch.calls, &step_s, err);
    if (status == FS_OK)
        status = fs_watch_result(&watch, whole, s->engine, step_s, &made, err);
    fs_watch_stop(&watch);
    if (status != FS_OK) {
        fs_timeline_discard(timeline);
        return status;
    }
    if (timeline)
        status = fs_timeline_close(timeline, step_s, err);
    if (status == FS_OK)
        *result = made;
    else
        fs_result_free(&made);
    return status;
}

fs_status fs_run(const fs_topo *topo, const fs_work *work, const fs_run_options *options, fs_result *result,
                 fs_err *err)
{
    double start_s = clock_s();
    stages s = {0};
    fs_timeline *timeline = NULL;
    fs_result made = {0};
    fs_run_options chosen = *options;
    if (chosen.network == FS_BACKEND_NS3 && chosen.lowering == FS_LOWER_COUPLED)
        chosen.lowering = FS_LOWER_FLOWS;
    if (chosen.network != FS_BACKEND_FABRIC) /* flows with small whole coefficients, or none */
        chosen.fold = FS_FOLD_OFF;
    fs_status status = prepare(topo, work, &chosen, &s, err);
    if (status == FS_OK && options->timeline)
        status = fs_timeline_open(options->timeline, work, topo,
                                  (fs_tracks){s.job->n_actors, s.job->actor_rank, s.job->actor_count}, &timeline, err);
    if (status == FS_OK)
        status = simulate(&s, topo, timeline, &made, err);
    discard(&s);
    if (status != FS_OK)
        return status;
    made.network = fs_backend_name(options->network);
    made.lowering = fs_lowering_names[chosen.lowering];
    made.cost = fs_cost_names[options->cost];
    made.fold = fs_fold_names[chosen.fold];
    made.seed = options->seed;
    made.peak_memory_bytes = peak_memory_bytes();
    made.wall_s = clock_s() - start_s;
    *result = made;
    return FS_OK;
}
