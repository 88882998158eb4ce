/* serve_run.c - see serve_run.h. Stages in the order of the data: requests, fabric, cluster, engine, the run, the result.
 *
 * Nothing is folded: each replica has a stream of its own, so no two are alike. Links are the engine's resources, all of
 * them; kernels are timers. */
#include "serve_run.h"

#include "base/mem.h"
#include "report/serving.h"
#include "run_fabric.h"
#include "run_links.h"
#include "serve/serve.h"
#include "topo/bundle.h"

#include <math.h>
#include <string.h>

typedef struct stages {
    const fs_work *work;
    const fs_inference *in;
    fs_run_fabric fabric;
    fs_requests requests;
    fs_cluster cluster;
    fs_engine *engine;
    fs_metric *metric;
    double *capacity, *load, *tier_Bps; /* (links), (links) B/s now, (tiers) */
    uint32_t *tier_of, *tier_links;     /* (links), (tiers) */
    fs_serve_out out;
    fs_arena *arena;
} stages;

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
    stages *s = context;
    fs_metric_load(s->metric, s->tier_of[link], load - s->load[link], now_s);
    s->load[link] = load;
}

static fs_status prepare_links(stages *s, fs_cost cost, fs_err *err)
{
    const fs_topo *topo = s->fabric.topo;
    s->capacity = fs_arena_alloc(s->arena, topo->n_links, sizeof *s->capacity);
    s->load = fs_arena_alloc(s->arena, topo->n_links, sizeof *s->load);
    s->tier_of = fs_arena_alloc(s->arena, topo->n_links, sizeof *s->tier_of);
    s->tier_links = fs_arena_alloc(s->arena, topo->n_tiers, sizeof *s->tier_links);
    s->tier_Bps = fs_arena_alloc(s->arena, topo->n_tiers, sizeof *s->tier_Bps);
    if (!s->capacity || !s->load || !s->tier_of || !s->tier_links || !s->tier_Bps)
        return fs_fail_nomem(err);
    for (uint32_t l = 0; l < topo->n_links; l++) {
        double left = fs_topo_link_factor(topo, l, 0), whole = fs_link_capacity(topo, l, cost);
        s->capacity[l] = left > 0 ? whole * left : whole; /* nothing is routed over a link that is down */
        s->tier_of[l] = topo->link_types[fs_topo_link(topo, l).type].tier;
        s->tier_links[s->tier_of[l]] += fs_bundle_links(topo, l);
        s->tier_Bps[s->tier_of[l]] += s->capacity[l];
    }
    return fs_metric_new(1, 1, topo->n_tiers, &s->metric, err);
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static fs_status prepare(const fs_topo *whole, const fs_run_options *options, stages *s, fs_err *err)
{
    fs_status status = fs_requests_make(&s->in->source, s->in->seed + options->seed, s->arena, &s->requests, err);
    if (status == FS_OK)
        status = fs_run_fabric_open(whole, options, s->work->nccl, &s->fabric, err);
    if (status == FS_OK)
        status = fs_cluster_open(s->in, s->work->path, s->fabric.topo,
                                 s->fabric.epochs ? s->fabric.epochs[0] : s->fabric.router, s->fabric.lowering,
                                 s->fabric.patterns, options->cost == FS_COST_IDEAL, &s->requests, &s->cluster, err);
    if (status == FS_OK)
        status = prepare_links(s, options->cost, err);
    if (status != FS_OK)
        return status;
    s->out.requests = fs_arena_alloc(s->arena, s->requests.n, sizeof *s->out.requests);
    s->out.pools = fs_arena_alloc(s->arena, s->in->n_pools, sizeof *s->out.pools);
    s->out.itl = fs_samples_new();
    if (!s->out.requests || !s->out.pools || !s->out.itl)
        return fs_fail_nomem(err);
    const fs_engine_def def = {.backend = FS_BACKEND_FABRIC,
                               .n_resources = s->fabric.topo->n_links,
                               .n_links = s->fabric.topo->n_links,
                               .capacity = s->capacity,
                               .patterns = s->fabric.patterns,
                               .max_events = options->max_events};
    return fs_engine_new(&def, &s->engine, err);
}

static void discard(stages *s)
{
    fs_engine_free(s->engine);
    fs_cluster_close(&s->cluster);
    fs_run_fabric_close(&s->fabric);
    fs_metric_free(s->metric);
    fs_samples_free(s->out.itl);
    fs_arena_free(s->arena);
}

/* ---- the result: requests ---------------------------------------------------------------------------------------- */

static fs_request_row row_of(const stages *s, uint32_t i)
{
    const fs_request *asked = &s->requests.all[i];
    const fs_served *got = &s->out.requests[i];
    const fs_seq *here = &s->cluster.seqs[0][i], *there = s->cluster.seqs[1] ? &s->cluster.seqs[1][i] : NULL;
    return (fs_request_row){.arrival_s = got->arrival_s,
                            .start_s = got->start_s,
                            .first_s = got->first_s,
                            .landed_s = got->landed_s,
                            .done_s = got->done_s,
                            .input = asked->input,
                            .output = asked->output,
                            .priority = asked->priority,
                            .replica = got->replica,
                            .target = got->target,
                            .preemptions = here->preemptions + (there ? there->preemptions : 0),
                            .cached = here->cached,
                            .rejected = got->rejected};
}

static double tpot_of(const fs_request_row *r)
{
    return r->output > 1 ? (r->done_s - r->first_s) / (r->output - 1.0) : 0;
}

static bool meets(const fs_serving_result *v, const fs_request_row *r)
{
    return (v->slo_ttft_s <= 0 || r->first_s - r->arrival_s <= v->slo_ttft_s) &&
           (v->slo_tpot_s <= 0 || tpot_of(r) <= v->slo_tpot_s);
}

/* Waiting time that falls into each quarter of the time of arrivals. */
static void add_wait(const fs_request_row *r, double begin_s, double quarter_s, double *queued)
{
    for (int q = 0; q < 4 && quarter_s > 0; q++) {
        double from = fmax(r->arrival_s, begin_s + q * quarter_s), to = fmin(r->start_s, begin_s + (q + 1) * quarter_s);
        if (to > from)
            queued[q] += (to - from) / quarter_s;
    }
}

/* More wait in each quarter than in the one before, at the end twice as many as in the second and more than a twentieth of
 * all: a queue that is stable forgets its beginning. */
static bool is_unstable(const fs_serving_result *v)
{
    const double *q = v->queued;
    return v->concurrency == 0 && q[1] < q[2] && q[2] < q[3] && q[3] >= 2 * q[1] && q[3] > 0.05 * v->n_requests;
}

enum { TTFT, TPOT, E2E, QUEUE, SAMPLES };

static void count_requests(const stages *s, fs_serving_result *v, fs_samples *const *samples)
{
    double begin_s = v->requests[0].arrival_s, last_s = v->requests[v->n_requests - 1].arrival_s, met = 0;
    double input = 0, output = 0, good_output = 0, end_s = s->out.end_s;
    uint32_t done = 0;
    for (uint32_t i = 0; i < v->n_requests; i++) {
        const fs_request_row *r = &v->requests[i];
        v->n_rejected += r->rejected;
        v->preemptions += r->preemptions;
        if (r->rejected)
            continue;
        done++;
        input += r->input;
        output += r->output;
        fs_samples_add(samples[TTFT], r->first_s - r->arrival_s, 1);
        fs_samples_add(samples[E2E], r->done_s - r->arrival_s, 1);
        fs_samples_add(samples[QUEUE], r->start_s - r->arrival_s, 1);
        if (r->output > 1)
            fs_samples_add(samples[TPOT], tpot_of(r), 1);
        add_wait(r, begin_s, (last_s - begin_s) / 4, v->queued);
        met += meets(v, r);
        good_output += meets(v, r) ? r->output : 0;
    }
    v->mean_input = done ? input / done : 0;
    v->mean_output = done ? output / done : 0;
    v->slo_met = done ? met / done : 0;
    if (!(end_s > 0))
        return;
    v->requests_per_s = done / end_s;
    v->input_tokens_per_s = input / end_s;
    v->output_tokens_per_s = output / end_s;
    v->goodput_per_s = met / end_s;
    v->goodput_tokens_per_s = good_output / end_s;
}

static fs_status fill_requests(const stages *s, fs_serving_result *v, fs_err *err)
{
    fs_samples *samples[SAMPLES];
    bool all = true;
    for (uint32_t i = 0; i < v->n_requests; i++)
        v->requests[i] = row_of(s, i);
    for (uint32_t k = 0; k < SAMPLES; k++) {
        samples[k] = fs_samples_new();
        all = all && samples[k];
    }
    if (all) {
        count_requests(s, v, samples);
        v->ttft = fs_samples_summary(samples[TTFT]);
        v->tpot = fs_samples_summary(samples[TPOT]);
        v->e2e = fs_samples_summary(samples[E2E]);
        v->queue = fs_samples_summary(samples[QUEUE]);
        v->itl = fs_samples_summary(s->out.itl);
        v->unstable = is_unstable(v);
        v->output_tokens_per_s_per_gpu = v->output_tokens_per_s / s->work->n_ranks;
        v->output_tokens_per_s_per_user = v->tpot.mean > 0 ? 1 / v->tpot.mean : 0;
    }
    for (uint32_t k = 0; k < SAMPLES; k++)
        fs_samples_free(samples[k]);
    return all ? FS_OK : fs_fail_nomem(err);
}

/* ---- the result: pools --------------------------------------------------------------------------------------------- */

static void fill_pool(const stages *s, uint32_t index, fs_pool_row *row)
{
    const fs_pool *pool = &s->in->pools[index];
    const fs_pool_fit *f = &s->cluster.pools[index];
    const fs_pool_work *work = &s->out.pools[index];
    double time_s = s->out.end_s, stages_s = time_s * pool->replicas * pool->pp;
    uint64_t blocks = f->blocks * pool->dp;
    bool known = f->weight_bytes + f->kv_bytes <= f->gpu_bytes; /* measured times may be of another machine */
    *row = (fs_pool_row){.name = pool->name,
                         .role = fs_role_names[pool->role],
                         .replicas = pool->replicas,
                         .gpus = fs_pool_replica_gpus(pool),
                         .iterations = work->iterations,
                         .preemptions = work->preemptions,
                         .mean_batch = work->decodings ? work->batch / (double)work->decodings : 0,
                         .kv_blocks = blocks,
                         .kv_block_tokens = pool->block_tokens,
                         .kv_peak = (double)work->peak_blocks / (double)blocks,
                         .kv_hits = work->kv_lookups ? (double)work->kv_hits / (double)work->kv_lookups : -1,
                         .kv_sent_bytes = work->kv_bytes,
                         .weight_bytes = known ? f->weight_bytes : 0,
                         .kv_bytes = known ? f->kv_bytes : 0,
                         .gpu_bytes = f->gpu_bytes};
    if (!(time_s > 0))
        return;
    row->busy = work->busy_s / stages_s;
    row->compute = work->compute_s / stages_s;
    row->prompt_tokens_per_s = work->prompt_tokens / time_s;
    row->kv_mean = work->block_s / time_s / pool->replicas / (double)blocks;
}

/* ---- the result ---------------------------------------------------------------------------------------------------- */

static fs_status fill_serving(const stages *s, fs_result *r, fs_err *err)
{
    const fs_request_source *source = &s->in->source;
    fs_serving_result *v = fs_arena_alloc(r->arena, 1, sizeof *v);
    if (!v)
        return fs_fail_nomem(err);
    v->n_requests = s->requests.n;
    v->n_pools = s->in->n_pools;
    v->requests = fs_arena_alloc(r->arena, v->n_requests, sizeof *v->requests);
    v->pools = fs_arena_alloc(r->arena, v->n_pools, sizeof *v->pools);
    if (!v->requests || !v->pools)
        return fs_fail_nomem(err);
    v->offered_per_s = source->rate;
    v->concurrency = source->requests ? 0 : source->concurrency;
    v->slo_ttft_s = s->in->slo_ttft_s;
    v->slo_tpot_s = s->in->slo_tpot_s;
    v->alone_ttft_s = s->out.fresh_ttft_s;
    v->alone_tpot_s = s->out.fresh_tpot_s;
    fs_status status = fill_requests(s, v, err);
    for (uint32_t p = 0; p < v->n_pools; p++)
        fill_pool(s, p, &v->pools[p]);
    r->tokens_per_s = v->output_tokens_per_s;
    r->tokens_per_s_per_gpu = v->output_tokens_per_s_per_gpu;
    r->serving = v;
    return status;
}

static void fill_power(const stages *s, fs_result *r)
{
    double power_W = 0;
    for (uint32_t rank = 0; rank < s->work->n_ranks; rank++) {
        uint32_t device = r->topo->gpus[s->work->gpu_of[rank]];
        const fs_part *part = &r->topo->parts[fs_topo_device(r->topo, device).part];
        if (!(part->power_W > 0))
            return;
        power_W += part->power_W;
        if (rank == 0 || part->mem_bytes < r->gpu_mem_bytes)
            r->gpu_mem_bytes = part->mem_bytes;
    }
    r->energy_j = power_W * r->step_time_s;
}

static fs_status fill(stages *s, const fs_topo *whole, bool pictures, fs_result *result, fs_err *err)
{
    fs_result r = {.topo = whole,
                   .work = s->work,
                   .step_time_s = s->out.end_s,
                   .ranks = s->work->n_ranks,
                   .rank_classes = s->work->n_ranks,
                   .link_classes = s->fabric.topo->n_links,
                   .counters = fs_engine_count(s->engine),
                   .arena = fs_arena_new()};
    if (!r.arena)
        return fs_fail_nomem(err);
    r.transfers = r.transfer_classes = r.counters.transfers;
    fs_metric_finish(s->metric, s->out.end_s);
    const fs_run_links links = {.topo = s->fabric.topo,
                                .n = s->fabric.topo->n_links,
                                .capacity = s->capacity,
                                .tier_of = s->tier_of,
                                .tier_links = s->tier_links,
                                .tier_Bps = s->tier_Bps,
                                .metric = s->metric};
    fs_status status = fs_run_fill_links(&links, s->engine, &r, err);
    if (status == FS_OK)
        status = fill_serving(s, &r, err);
    if (status == FS_OK && pictures)
        status = fs_run_fill_pictures(&links, s->engine, &r, err);
    fill_power(s, &r);
    if (status == FS_OK)
        *result = r;
    else
        fs_result_free(&r);
    return status;
}

fs_status fs_serve_run(const fs_topo *topo, const fs_work *work, const fs_run_options *options, fs_result *result,
                       fs_err *err)
{
    double start_s = fs_run_clock_s();
    stages s = {.work = work, .in = work->inference, .arena = fs_arena_new()};
    const fs_serve_calls calls = {.context = &s, .load = on_load};
    fs_result made = {0};
    fs_status status = s.arena ? check(topo, work, options, err) : fs_fail_nomem(err);
    if (status == FS_OK)
        status = prepare(topo, options, &s, err);
    if (status == FS_OK)
        status = fs_serve(&s.cluster, &s.requests, s.engine, &calls, &s.out, err);
    if (status == FS_OK)
        status = fill(&s, topo, options->pictures, &made, err);
    discard(&s);
    if (status != FS_OK && options->cache)
        fs_run_cache_forget(options->cache, topo);
    if (status != FS_OK)
        return status;
    made.network = fs_backend_name(options->network);
    made.lowering = fs_lowering_names[options->lowering];
    made.cost = fs_cost_names[options->cost];
    made.fold = fs_fold_names[FS_FOLD_OFF];
    made.seed = options->seed;
    made.peak_memory_bytes = fs_run_peak_memory_bytes();
    made.wall_s = fs_run_clock_s() - start_s;
    *result = made;
    return FS_OK;
}
