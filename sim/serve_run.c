/* serve_run.c - see serve_run.h. Stages in the order of the data: fabric, fleet, requests, clusters, engine, the run, the
 * result.
 *
 * A trace is a service, or a fleet of copies of one. Copies that must behave alike are simulated once and counted as
 * often as they are there (serve/fleet.h); replicas within a copy never are. Links are the engine's resources, all of them;
 * kernels are timers. */
#include "serve_run.h"

#include "base/clock.h"
#include "base/mem.h"
#include "report/serving.h"
#include "run_fabric.h"
#include "run_links.h"
#include "run_power.h"
#include "serve/fleet.h"
#include "serve/serve.h"
#include "topo/bundle.h"

#include <math.h>
#include <string.h>

/* A copy that is simulated. */
typedef struct copy {
    fs_inference in; /* the trace's, with pools on the GPUs of the copy */
    fs_requests requests;
    fs_cluster cluster;
    fs_serve_out out;
} copy;

typedef struct stages {
    const fs_work *work;
    const fs_inference *in;
    fs_run_fabric fabric;
    fs_fleet_plan plan;
    copy *copies; /* (plan.n) */
    fs_samples *itl;
    double end_s;
    fs_engine *engine;
    fs_metric *metric;
    double *capacity, *load, *tier_Bps; /* (links), (links) B/s now, (tiers) */
    uint32_t *tier_of, *tier_links;     /* (links), (tiers) */
    uint32_t *link_count;               /* (links) that each stands for */
    uint32_t n_links;                   /* of the topology that may be used: those from 0 on */
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
static uint32_t count_links(const stages *s)
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

/* Links of the whole topology up to the end of the unit that the first copy of the service stands in; 0: nothing was folded. */
static uint32_t links_to_draw(const stages *s, const fs_topo *whole)
{
    if (s->plan.members[0].n_links == 0)
        return 0;
    fs_where at = fs_topo_where(whole, whole->gpus[s->in->pools[0].first_gpu]);
    return at.run->first_link + (at.copy + 1) * at.run->unit->n_links;
}

static fs_status prepare_links(stages *s, fs_cost cost, fs_err *err)
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
static fs_status open_copy(stages *s, const fs_run_options *options, uint32_t i, fs_err *err)
{
    const fs_fleet_member *member = &s->plan.members[i];
    copy *c = &s->copies[i];
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

static fs_status open_copies(stages *s, const fs_run_options *options, fs_err *err)
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

static fs_status prepare(const fs_topo *whole, const fs_run_options *options, stages *s, fs_err *err)
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

static fs_status serve(stages *s, fs_err *err)
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

static void discard(stages *s)
{
    fs_engine_free(s->engine);
    for (uint32_t i = 0; s->copies && i < s->plan.n; i++)
        fs_cluster_close(&s->copies[i].cluster);
    fs_run_fabric_close(&s->fabric);
    fs_metric_free(s->metric);
    fs_samples_free(s->itl);
    fs_arena_free(s->arena);
}

/* ---- the result: requests ---------------------------------------------------------------------------------------- */

static fs_request_row row_of(const copy *c, const fs_fleet_member *member, uint32_t i)
{
    const fs_request *asked = &c->requests.all[i];
    const fs_served *got = &c->out.requests[i];
    const fs_seq *here = &c->cluster.seqs[0][i], *there = c->cluster.seqs[1] ? &c->cluster.seqs[1][i] : NULL;
    uint32_t first = member->copy * c->cluster.n_replicas; /* of the copy's among all replicas */
    return (fs_request_row){.arrival_s = got->arrival_s,
                            .start_s = got->start_s,
                            .first_s = got->first_s,
                            .landed_s = got->landed_s,
                            .done_s = got->done_s,
                            .input = asked->input,
                            .output = asked->output,
                            .priority = asked->priority,
                            .replica = got->replica == FS_NONE ? FS_NONE : first + got->replica,
                            .target = got->target == FS_NONE ? FS_NONE : first + got->target,
                            .preemptions = here->preemptions + (there ? there->preemptions : 0),
                            .cached = here->cached,
                            .count = member->count,
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
            queued[q] += r->count * (to - from) / quarter_s;
    }
}

/* More wait in each quarter than in the one before, at the end twice as many as in the second and more than a twentieth of
 * all: a queue that is stable forgets its beginning. */
static bool is_unstable(const fs_serving_result *v)
{
    const double *q = v->queued;
    return v->concurrency == 0 && q[1] < q[2] && q[2] < q[3] && q[3] >= 2 * q[1] && q[3] > 0.05 * (double)v->n_requests;
}

enum { TTFT, TPOT, E2E, QUEUE, SAMPLES };

typedef struct sums {
    fs_samples *samples[SAMPLES];
    double done, met, input, output, good_output;
} sums;

static void count_request(const fs_request_row *r, fs_serving_result *v, sums *sum)
{
    double n = r->count;
    v->n_rejected += r->rejected ? r->count : 0;
    v->preemptions += (uint64_t)r->preemptions * r->count;
    if (r->rejected)
        return;
    sum->done += n;
    sum->input += n * r->input;
    sum->output += n * r->output;
    fs_samples_add(sum->samples[TTFT], r->first_s - r->arrival_s, n);
    fs_samples_add(sum->samples[E2E], r->done_s - r->arrival_s, n);
    fs_samples_add(sum->samples[QUEUE], r->start_s - r->arrival_s, n);
    if (r->output > 1)
        fs_samples_add(sum->samples[TPOT], tpot_of(r), n);
    sum->met += meets(v, r) ? n : 0;
    sum->good_output += meets(v, r) ? n * r->output : 0;
}

/* Copies follow each other, each with its requests in the order of their arrivals. */
static void count_requests(const stages *s, fs_serving_result *v, sums *sum)
{
    double end_s = s->end_s;
    for (uint32_t i = 0, first = 0; i < s->plan.n; first += s->copies[i++].requests.n) {
        const fs_request_row *r = &v->requests[first];
        uint32_t n = s->copies[i].requests.n;
        double begin_s = r[0].arrival_s, last_s = r[n - 1].arrival_s;
        for (uint32_t k = 0; k < n; k++) {
            count_request(&r[k], v, sum);
            if (!r[k].rejected)
                add_wait(&r[k], begin_s, (last_s - begin_s) / 4, v->queued);
        }
    }
    v->mean_input = sum->done > 0 ? sum->input / sum->done : 0;
    v->mean_output = sum->done > 0 ? sum->output / sum->done : 0;
    v->slo_met = sum->done > 0 ? sum->met / sum->done : 0;
    if (!(end_s > 0))
        return;
    v->requests_per_s = sum->done / end_s;
    v->input_tokens_per_s = sum->input / end_s;
    v->output_tokens_per_s = sum->output / end_s;
    v->goodput_per_s = sum->met / end_s;
    v->goodput_tokens_per_s = sum->good_output / end_s;
}

static fs_status fill_requests(const stages *s, fs_serving_result *v, fs_err *err)
{
    sums sum = {0};
    bool all = true;
    for (uint32_t i = 0, row = 0; i < s->plan.n; i++)
        for (uint32_t k = 0; k < s->copies[i].requests.n; k++)
            v->requests[row++] = row_of(&s->copies[i], &s->plan.members[i], k);
    for (uint32_t k = 0; k < SAMPLES; k++) {
        sum.samples[k] = fs_samples_new();
        all = all && sum.samples[k];
    }
    if (all) {
        count_requests(s, v, &sum);
        v->ttft = fs_samples_summary(sum.samples[TTFT]);
        v->tpot = fs_samples_summary(sum.samples[TPOT]);
        v->e2e = fs_samples_summary(sum.samples[E2E]);
        v->queue = fs_samples_summary(sum.samples[QUEUE]);
        v->itl = fs_samples_summary(s->itl);
        v->unstable = is_unstable(v);
        v->output_tokens_per_s_per_gpu = v->gpus > 0 ? v->output_tokens_per_s / (double)v->gpus : 0;
        v->output_tokens_per_s_per_user = v->tpot.mean > 0 ? 1 / v->tpot.mean : 0;
    }
    for (uint32_t k = 0; k < SAMPLES; k++)
        fs_samples_free(sum.samples[k]);
    return all ? FS_OK : fs_fail_nomem(err);
}

/* ---- the result: pools --------------------------------------------------------------------------------------------- */

/* Of all copies together. */
static fs_pool_work sum_work(const stages *s, uint32_t index)
{
    fs_pool_work sum = {0};
    for (uint32_t i = 0; i < s->plan.n; i++) {
        const fs_pool_work *w = &s->copies[i].out.pools[index];
        uint32_t n = s->plan.members[i].count;
        sum.iterations += n * w->iterations;
        sum.preemptions += n * w->preemptions;
        sum.decodings += n * w->decodings;
        sum.kv_hits += n * w->kv_hits;
        sum.kv_lookups += n * w->kv_lookups;
        sum.prompt_tokens += n * w->prompt_tokens;
        sum.output_tokens += n * w->output_tokens;
        sum.batch += n * w->batch;
        sum.busy_s += n * w->busy_s;
        sum.compute_s += n * w->compute_s;
        sum.block_s += n * w->block_s;
        sum.kv_bytes += n * w->kv_bytes;
        for (uint32_t side = 0; side < FS_SIDES; side++)
            for (uint32_t stay = 0; stay < FS_STAYS; stay++)
                sum.side_s[side][stay] += n * w->side_s[side][stay];
        sum.peak_blocks = w->peak_blocks > sum.peak_blocks ? w->peak_blocks : sum.peak_blocks;
    }
    return sum;
}

/* The side that iterations spend most of their time at is what bounds them: behind full GPUs they wait, and where none are full
 * they are on the way. */
static void fill_afd(const stages *s, const fs_pool *pool, const fs_pool_work *work, fs_afd_row *row)
{
    const double(*at)[FS_STAYS] = work->side_s;
    double sum = 0;
    for (uint32_t side = 0; side < FS_SIDES; side++)
        for (uint32_t stay = 0; stay < FS_STAYS; stay++)
            sum += at[side][stay];
    if (!(sum > 0))
        return;
    *row = (fs_afd_row){.ffn = s->in->pools[pool->ffn].name,
                        .micro_batches = pool->micro_batches,
                        .attention = at[FS_SIDE_ATTENTION][FS_STAY_WORK] / sum,
                        .attention_queue = at[FS_SIDE_ATTENTION][FS_STAY_QUEUE] / sum,
                        .ffn_work = at[FS_SIDE_FFN][FS_STAY_WORK] / sum,
                        .ffn_queue = at[FS_SIDE_FFN][FS_STAY_QUEUE] / sum,
                        .there = at[FS_SIDE_FFN][FS_STAY_WAY] / sum,
                        .back = at[FS_SIDE_ATTENTION][FS_STAY_WAY] / sum};
    double attention = row->attention + row->attention_queue, ffn = row->ffn_work + row->ffn_queue;
    double links = row->there + row->back;
    row->bound = attention >= ffn && attention >= links ? "attention" : ffn >= links ? "ffn" : "links";
}

/* All GPUs of a pool are of one part (cluster.c). */
static const fs_part *part_of_pool(const stages *s, uint32_t index)
{
    const fs_topo *topo = s->fabric.topo;
    return &topo->parts[fs_topo_device(topo, topo->gpus[s->in->pools[index].first_gpu]).part];
}

/* Of all replicas, in a copy of the service. */
static uint32_t pool_devices(const stages *s, uint32_t index)
{
    return s->in->pools[index].replicas * fs_pool_replica_gpus(&s->in->pools[index]);
}

static void fill_pool(const stages *s, uint32_t index, fs_pool_row *row)
{
    const fs_pool *pool = &s->in->pools[index];
    const fs_pool_fit *f = &s->copies[0].cluster.pools[index];
    const fs_pool_work work = sum_work(s, index);
    uint32_t replicas = pool->replicas * s->in->fleet.copies;
    double time_s = s->end_s, stages_s = time_s * replicas * pool->pp;
    uint64_t blocks = f->blocks * pool->dp;
    bool known = f->weight_bytes + f->kv_bytes <= f->gpu_bytes; /* measured times may be of another machine */
    *row = (fs_pool_row){.name = pool->name,
                         .role = fs_role_names[pool->role],
                         .part = part_of_pool(s, index)->name,
                         .lpu = fs_part_is_lpu(part_of_pool(s, index)),
                         .replicas = replicas,
                         .gpus = fs_pool_replica_gpus(pool),
                         .iterations = work.iterations,
                         .preemptions = work.preemptions,
                         .mean_batch = work.decodings ? work.batch / (double)work.decodings : 0,
                         .kv_blocks = blocks,
                         .kv_block_tokens = pool->block_tokens,
                         .kv_peak = blocks ? (double)work.peak_blocks / (double)blocks : 0,
                         .kv_hits = work.kv_lookups ? (double)work.kv_hits / (double)work.kv_lookups : -1,
                         .kv_sent_bytes = work.kv_bytes,
                         .weight_bytes = known ? f->weight_bytes : 0,
                         .kv_bytes = known ? f->kv_bytes : 0,
                         .gpu_bytes = f->gpu_bytes};
    if (pool->ffn != FS_NONE)
        fill_afd(s, pool, &work, &row->afd);
    if (!(time_s > 0))
        return;
    row->busy = work.busy_s / stages_s;
    row->compute = work.compute_s / stages_s;
    row->prompt_tokens_per_s = work.prompt_tokens / time_s;
    if (blocks > 0)
        row->kv_mean = work.block_s / time_s / replicas / (double)blocks;
}

/* ---- the result ---------------------------------------------------------------------------------------------------- */

static void count_devices(const stages *s, fs_serving_result *v)
{
    for (uint32_t p = 0; p < s->in->n_pools; p++) {
        uint64_t n = (uint64_t)pool_devices(s, p) * s->in->fleet.copies;
        *(fs_part_is_lpu(part_of_pool(s, p)) ? &v->lpus : &v->gpus) += n;
    }
}

static fs_status fill_serving(const stages *s, fs_result *r, fs_err *err)
{
    const fs_request_source *source = &s->in->source;
    fs_serving_result *v = fs_arena_alloc(r->arena, 1, sizeof *v);
    if (!v)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < s->plan.n; i++) {
        if (UINT32_MAX - v->n_rows < s->copies[i].requests.n)
            return fs_fail(err, FS_E_TRACE,
                           "%s: more than %u requests to simulate: fewer copies, or a lower 'distinct'", s->work->path,
                           UINT32_MAX);
        v->n_rows += s->copies[i].requests.n;
        v->n_requests += (uint64_t)s->copies[i].requests.n * s->plan.members[i].count;
    }
    v->copies = s->in->fleet.copies;
    v->streams = s->in->fleet.distinct;
    v->copies_simulated = s->plan.n;
    v->n_pools = s->in->n_pools;
    v->requests = fs_arena_alloc(r->arena, v->n_rows, sizeof *v->requests);
    v->pools = fs_arena_alloc(r->arena, v->n_pools, sizeof *v->pools);
    if (!v->requests || !v->pools)
        return fs_fail_nomem(err);
    v->offered_per_s = source->rate * v->copies;
    v->concurrency = source->requests ? 0 : source->concurrency * v->copies;
    v->slo_ttft_s = s->in->slo_ttft_s;
    v->slo_tpot_s = s->in->slo_tpot_s;
    v->alone_ttft_s = s->copies[0].out.fresh_ttft_s;
    v->alone_tpot_s = s->copies[0].out.fresh_tpot_s;
    count_devices(s, v);
    fs_status status = fill_requests(s, v, err);
    for (uint32_t p = 0; p < v->n_pools; p++)
        fill_pool(s, p, &v->pools[p]);
    r->tokens_per_s = v->output_tokens_per_s;
    r->tokens_per_s_per_gpu = v->output_tokens_per_s_per_gpu;
    r->serving = v;
    return status;
}

/* GPUs are busy while a stage of theirs is in an iteration. */
static void fill_power(const stages *s, double pue, fs_result *r)
{
    double busy_W[2] = {0, 0}, rated_W[2] = {0, 0}; /* GPUs, LPUs */
    for (uint32_t p = 0; p < s->in->n_pools; p++) {
        const fs_part *part = part_of_pool(s, p);
        double pool_W = part->power_W * pool_devices(s, p);
        rated_W[fs_part_is_lpu(part)] += pool_W;
        busy_W[fs_part_is_lpu(part)] += pool_W * r->serving->pools[p].busy;
        if (p == 0 || part->mem_bytes < r->gpu_mem_bytes)
            r->gpu_mem_bytes = part->mem_bytes;
    }
    const fs_busy busy = {.gpus = rated_W[0] > 0 ? fmin(1, busy_W[0] / rated_W[0]) : 0,
                          .lpus = rated_W[1] > 0 ? fmin(1, busy_W[1] / rated_W[1]) : 0};
    r->power = fs_run_power(r->topo, s->work, busy, pue);
}

static fs_status fill(stages *s, const fs_topo *whole, const fs_run_options *options, fs_result *result, fs_err *err)
{
    fs_result r = {.topo = whole,
                   .work = s->work,
                   .step_time_s = s->end_s,
                   .ranks = s->work->n_ranks,
                   .rank_classes = s->work->n_ranks / s->in->fleet.copies * s->plan.n,
                   .link_classes = s->n_links,
                   .counters = fs_engine_count(s->engine),
                   .arena = fs_arena_new()};
    if (!r.arena)
        return fs_fail_nomem(err);
    r.transfers = r.transfer_classes = r.counters.transfers;
    fs_metric_finish(s->metric, s->end_s);
    const fs_run_links links = {.topo = s->fabric.topo,
                                .n = s->n_links,
                                .capacity = s->capacity,
                                .tier_of = s->tier_of,
                                .link_count = s->link_count,
                                .tier_links = s->tier_links,
                                .tier_Bps = s->tier_Bps,
                                .metric = s->metric,
                                .n_drawn = links_to_draw(s, whole),
                                .stands_for = s->plan.members[0].count};
    fs_status status = fs_run_fill_links(&links, s->engine, &r, err);
    if (status == FS_OK)
        status = fill_serving(s, &r, err);
    if (status == FS_OK)
        fill_power(s, options->pue, &r);
    if (status == FS_OK && options->pictures)
        status = fs_run_fill_pictures(&links, s->engine, &r, err);
    if (status == FS_OK)
        *result = r;
    else
        fs_result_free(&r);
    return status;
}

fs_status fs_serve_run(const fs_topo *topo, const fs_work *work, const fs_run_options *options, fs_result *result,
                       fs_err *err)
{
    double start_s = fs_clock_s();
    stages s = {.work = work, .in = work->inference, .arena = fs_arena_new()};
    fs_result made = {0};
    fs_status status = s.arena ? check(topo, work, options, err) : fs_fail_nomem(err);
    if (status == FS_OK)
        status = prepare(topo, options, &s, err);
    if (status == FS_OK)
        status = serve(&s, err);
    if (status == FS_OK)
        status = fill(&s, topo, options, &made, err);
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
