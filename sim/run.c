/* run.c - see run.h. Stages in the order of the data: bundles, routes, lowering, fold, engine, scheduler, result.
 *
 * Each stage is made from the ones before it and freed in the opposite order. Packets of one connection keep to one
 * path, so the router takes the first of the equal ones for ns3, and no packets make a coupled transfer, so ns3 has
 * its edges as flows; cm02 splits flows and couples them as fabric does (stock_cm02.cpp).
 */
#include "run.h"

#include "base/clock.h"
#include "base/mem.h"
#include "run_fabric.h"
#include "run_power.h"
#include "run_watch.h"

typedef struct stages {
    fs_run_fabric fabric;
    fs_job *job;
    fs_engine *engine;
} stages;

fs_run_options fs_run_default(void)
{
    return (fs_run_options){
        .network = FS_BACKEND_FABRIC, .lowering = FS_LOWER_COUPLED, .cost = FS_COST_NCCL, .pue = FS_PUE};
}

static fs_status prepare(const fs_topo *whole, const fs_work *work, const fs_run_options *options, stages *s,
                         fs_err *err)
{
    fs_run_fabric *f = &s->fabric;
    fs_status status = fs_run_fabric_open(whole, options, work->nccl, f, err);
    if (status == FS_OK)
        status = fs_fold(work, f->topo, f->lowering, f->patterns, options->cost, options->fold, &s->job, err);
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
    fs_run_fabric_close(&s->fabric);
}

/* Run and fill; the timeline is closed in any case. */
static fs_status simulate(const stages *s, const fs_topo *whole, bool pictures, fs_timeline *timeline,
                          fs_result *result, fs_err *err)
{
    fs_watch watch;
    double step_s = 0;
    fs_result made = {0};
    fs_status status = fs_watch_start(s->job, timeline, pictures, &watch, err);
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
    double start_s = fs_clock_s();
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
        status = fs_timeline_open(
            options->timeline, &options->timeline_options, work, topo,
            (fs_tracks){s.job->n_actors, s.job->actor_rank, s.job->actor_count, s.job->actor_of_rank}, &timeline, err);
    if (status == FS_OK)
        status = simulate(&s, topo, options->pictures, timeline, &made, err);
    discard(&s);
    if (status != FS_OK && options->cache)
        fs_run_cache_forget(options->cache, topo);
    if (status != FS_OK)
        return status;
    made.power = fs_run_power(topo, work, (fs_busy){.gpus = fs_run_busy(&made)}, options->pue);
    made.network = fs_backend_name(options->network);
    made.lowering = fs_lowering_names[chosen.lowering];
    made.cost = fs_cost_names[options->cost];
    made.fold = fs_fold_names[chosen.fold];
    made.seed = options->seed;
    made.peak_memory_bytes = fs_run_peak_memory_bytes();
    made.wall_s = fs_clock_s() - start_s;
    *result = made;
    return FS_OK;
}
