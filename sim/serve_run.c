/* serve_run.c - see serve_run.h. Stages in the order of the data: fabric, fleet, requests, clusters, engine, the run; the result
 * is serve_result.c's.
 *
 * A trace is a service, or a fleet of copies of one. Copies that must behave alike are simulated once and counted as
 * often as they are there (serve/fleet.h); replicas within a copy never are. Links are the engine's resources, all of them;
 * kernels are timers. */
#include "serve_run.h"

#include "base/clock.h"
#include "base/mem.h"
#include "serve_stages.h"
#include "topo/bundle.h"

#include <math.h>
#include <string.h>

static fs_status check(const fs_topo *topo, const fs_work *work, const fs_run_options *options, fs_err *err)
{
    if (options->network != FS_BACKEND_FABRIC)
        return fs_fail(err, FS_E_USAGE, "--network %s does not know inference traces; fabric does",
                       fs_backend_name(options->network));
    if (options->timeline)
        return fs_fail(err, FS_E_USAGE, "--timeline does not know inference traces yet; --csv DIR has every request");
    if (topo->n_epochs > 1)
        return fs_fail(err, FS_E_USAGE,
                       "faults that come and go do not go with inference traces yet: leave out the times");
    return fs_work_check_placement(work, topo, err);
}

/* ---- links ------------------------------------------------------------------------------------------------------- */

static void on_load(void *context, uint32_t link, double load, double now_s)
{
    fs_serve_stages *s = context;
    fs_metric_load(s->metric, s->tier_of[link], (load - s->load[link]) * s->link_count[link], now_s);
    s->load[link] = load;
}

/* The first link behind those of the unit's copy that has this one. */
static uint32_t end_of_copy(const fs_topo *topo, uint32_t link)
{
    fs_where at = fs_topo_where(topo, fs_topo_link(topo, link).src);
    return at.run->first_link + (at.copy + 1) * at.run->unit->n_links;
}

/* A fleet that folds uses few links, mostly the first ones, and those of whole units: nothing is kept for those behind. */
static uint32_t count_links(const fs_serve_stages *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->plan.n; i++) {
        const fs_fleet_member *m = &s->plan.members[i];
        if (m->n_links == 0)
            return s->fabric.topo->n_links;
        uint32_t end = end_of_copy(s->fabric.topo, m->links[m->n_links - 1]);
        n = end > n ? end : n;
    }
    return n;
}

static fs_status prepare_links(fs_serve_stages *s, fs_cost cost, fs_err *err)
{
    const fs_topo *topo = s->fabric.topo;
    s->n_links = count_links(s);
    s->capacity = fs_arena_alloc(s->arena, s->n_links, sizeof *s->capacity);
    s->load = fs_arena_alloc(s->arena, s->n_links, sizeof *s->load);
    s->tier_of = fs_arena_alloc(s->arena, s->n_links, sizeof *s->tier_of);
    s->tier_links = fs_arena_alloc(s->arena, topo->n_tiers, sizeof *s->tier_links);
    s->tier_Bps = fs_arena_alloc(s->arena, topo->n_tiers, sizeof *s->tier_Bps);
    s->link_count = fs_arena_alloc(s->arena, s->n_links, sizeof *s->link_count);
    if (!s->capacity || !s->load || !s->tier_of || !s->tier_links || !s->tier_Bps || !s->link_count)
        return fs_fail_nomem(err);
    for (uint32_t l = 0; l < topo->n_links; l++) {
        double left = fs_topo_link_factor(topo, l, 0), whole = fs_link_capacity(topo, l, cost);
        double capacity = left > 0 ? whole * left : whole; /* nothing is routed over a link that is down */
        uint32_t tier = topo->link_types[fs_topo_link(topo, l).type].tier;
        s->tier_links[tier] += fs_bundle_links(topo, l);
        s->tier_Bps[tier] += capacity;
        if (l >= s->n_links)
            continue;
        s->capacity[l] = capacity;
        s->link_count[l] = 1;
        s->tier_of[l] = tier;
    }
    for (uint32_t i = 0; i < s->plan.n; i++)
        for (uint32_t k = 0; k < s->plan.members[i].n_links; k++)
            s->link_count[s->plan.members[i].links[k]] = s->plan.members[i].count;
    return fs_metric_new(1, 1, topo->n_tiers, &s->metric, err);
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

/* The i-th copy that is simulated: its pools, requests and cluster. */
static fs_status open_copy(fs_serve_stages *s, const fs_run_options *options, uint32_t i, fs_err *err)
{
    const fs_fleet_member *member = &s->plan.members[i];
    fs_serve_copy *c = &s->copies[i];
    fs_pool *pools = fs_arena_alloc(s->arena, s->in->n_pools, sizeof *pools);
    if (!pools)
        return fs_fail_nomem(err);
    memcpy(pools, s->in->pools, s->in->n_pools * sizeof *pools);
    for (uint32_t p = 0; p < s->in->n_pools; p++)
        pools[p].first_gpu += member->copy * s->in->fleet.stride;
    c->in = *s->in;
    c->in.pools = pools;
    uint64_t seed = s->in->seed + options->seed + member->copy % s->in->fleet.distinct;
    fs_status status = fs_requests_make(&s->in->source, seed, s->arena, &c->requests, err);
    if (status == FS_OK)
        status = fs_cluster_open(&c->in, s->work->path, s->fabric.topo,
                                 s->fabric.epochs ? s->fabric.epochs[0] : s->fabric.router, s->fabric.lowering,
                                 s->fabric.patterns, options->cost == FS_COST_IDEAL, &c->requests, &c->cluster, err);
    if (status != FS_OK)
        return status;
    c->out.count = member->count;
    c->out.itl = s->itl;
    c->out.requests = fs_arena_alloc(s->arena, c->requests.n, sizeof *c->out.requests);
    c->out.pools = fs_arena_alloc(s->arena, s->in->n_pools, sizeof *c->out.pools);
    return c->out.requests && c->out.pools ? FS_OK : fs_fail_nomem(err);
}

static fs_status open_copies(fs_serve_stages *s, const fs_run_options *options, fs_err *err)
{
    fs_router *const routers[] = {s->fabric.router, s->fabric.epochs ? s->fabric.epochs[0] : NULL};
    fs_status status = fs_fleet_plan_make(s->in, s->fabric.topo, routers, s->fabric.epochs ? 2 : 1,
                                          options->fold == FS_FOLD_AUTO, s->arena, &s->plan, err);
    if (status != FS_OK)
        return status;
    s->copies = fs_arena_alloc(s->arena, s->plan.n, sizeof *s->copies);
    s->itl = fs_samples_new();
    if (!s->copies || !s->itl)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < s->plan.n && status == FS_OK; i++)
        status = open_copy(s, options, i, err);
    return status;
}

static fs_status prepare(const fs_topo *whole, const fs_run_options *options, fs_serve_stages *s, fs_err *err)
{
    fs_status status = fs_run_fabric_open(whole, options, s->work->nccl, &s->fabric, err);
    if (status == FS_OK)
        status = open_copies(s, options, err);
    if (status == FS_OK)
        status = prepare_links(s, options->cost, err);
    if (status != FS_OK)
        return status;
    const fs_engine_def def = {.backend = FS_BACKEND_FABRIC,
                               .n_resources = s->n_links,
                               .n_links = s->n_links,
                               .capacity = s->capacity,
                               .patterns = s->fabric.patterns,
                               .max_events = options->max_events};
    return fs_engine_new(&def, &s->engine, err);
}

static fs_status serve(fs_serve_stages *s, fs_err *err)
{
    const fs_serve_calls calls = {.context = s, .load = on_load};
    fs_service *services = fs_arena_alloc(s->arena, s->plan.n, sizeof *services);
    if (!services)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < s->plan.n; i++)
        services[i] = (fs_service){&s->copies[i].cluster, &s->copies[i].requests, &s->copies[i].out};
    fs_status status = fs_serve(services, s->plan.n, s->engine, &calls, err);
    for (uint32_t i = 0; i < s->plan.n && status == FS_OK; i++)
        s->end_s = fmax(s->end_s, s->copies[i].out.end_s);
    return status;
}

static void discard(fs_serve_stages *s)
{
    fs_engine_free(s->engine);
    for (uint32_t i = 0; s->copies && i < s->plan.n; i++)
        fs_cluster_close(&s->copies[i].cluster);
    fs_run_fabric_close(&s->fabric);
    fs_metric_free(s->metric);
    fs_samples_free(s->itl);
    fs_arena_free(s->arena);
}

fs_status fs_serve_run(const fs_topo *topo, const fs_work *work, const fs_run_options *options, fs_result *result,
                       fs_err *err)
{
    double start_s = fs_clock_s();
    fs_serve_stages s = {.work = work, .in = work->inference, .arena = fs_arena_new()};
    fs_result made = {0};
    fs_status status = s.arena ? check(topo, work, options, err) : fs_fail_nomem(err);
    if (status == FS_OK)
        status = prepare(topo, options, &s, err);
    if (status == FS_OK)
        status = serve(&s, err);
    if (status == FS_OK)
        status = fs_serve_result(&s, topo, options, &made, err);
    discard(&s);
    if (status != FS_OK && options->cache)
        fs_run_cache_forget(options->cache, topo);
    if (status != FS_OK)
        return status;
    made.network = fs_backend_name(options->network);
    made.lowering = fs_lowering_names[options->lowering];
    made.cost = fs_cost_names[options->cost];
    made.fold = fs_fold_names[options->fold];
    made.seed = options->seed;
    made.peak_memory_bytes = fs_run_peak_memory_bytes();
    made.wall_s = fs_clock_s() - start_s;
    *result = made;
    return FS_OK;
}
