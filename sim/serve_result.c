/* serve_result.c - see serve_stages.h. Rows of requests and pools, devices, power, links; what the requests' rows come to is
 * report/serving.c's. */
#include "serve_stages.h"

#include "base/mem.h"
#include "report/serving.h"
#include "run_links.h"
#include "run_power.h"

#include <math.h>

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static fs_request_row row_of(const fs_serve_copy *c, const fs_fleet_member *member, uint32_t i)
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

/* ---- pools ------------------------------------------------------------------------------------------------------- */

/* Of all copies together. */
static fs_pool_work sum_work(const fs_serve_stages *s, uint32_t index)
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
static void fill_afd(const fs_serve_stages *s, const fs_pool *pool, const fs_pool_work *work, fs_afd_row *row)
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
static const fs_part *part_of_pool(const fs_serve_stages *s, uint32_t index)
{
    return fs_topo_gpu_part(s->fabric.topo, s->in->pools[index].first_gpu);
}

/* Of all replicas, in a copy of the service. */
static uint32_t pool_devices(const fs_serve_stages *s, uint32_t index)
{
    return s->in->pools[index].replicas * fs_pool_replica_gpus(&s->in->pools[index]);
}

static void fill_pool(const fs_serve_stages *s, uint32_t index, fs_pool_row *row)
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

static void count_devices(const fs_serve_stages *s, fs_serving_result *v)
{
    for (uint32_t p = 0; p < s->in->n_pools; p++) {
        uint64_t n = (uint64_t)pool_devices(s, p) * s->in->fleet.copies;
        *(fs_part_is_lpu(part_of_pool(s, p)) ? &v->lpus : &v->gpus) += n;
    }
}

/* How many requests the rows are, and stand for. */
static fs_status count_rows(const fs_serve_stages *s, fs_serving_result *v, fs_err *err)
{
    for (uint32_t i = 0; i < s->plan.n; i++) {
        if (UINT32_MAX - v->n_rows < s->copies[i].requests.n)
            return fs_fail(err, FS_E_TRACE,
                           "%s: more than %u requests to simulate: fewer copies, or a lower 'distinct'", s->work->path,
                           UINT32_MAX);
        v->n_rows += s->copies[i].requests.n;
        v->n_requests += (uint64_t)s->copies[i].requests.n * s->plan.members[i].count;
    }
    return FS_OK;
}

static void fill_asked(const fs_serve_stages *s, fs_serving_result *v)
{
    const fs_request_source *source = &s->in->source;
    v->copies = s->in->fleet.copies;
    v->streams = s->in->fleet.distinct;
    v->copies_simulated = s->plan.n;
    v->n_pools = s->in->n_pools;
    v->offered_per_s = source->rate * v->copies;
    v->concurrency = source->requests ? 0 : source->concurrency * v->copies;
    v->slo_ttft_s = s->in->slo_ttft_s;
    v->slo_tpot_s = s->in->slo_tpot_s;
    v->alone_ttft_s = s->copies[0].out.fresh_ttft_s;
    v->alone_tpot_s = s->copies[0].out.fresh_tpot_s;
}

static fs_status fill_serving(const fs_serve_stages *s, fs_result *r, fs_err *err)
{
    fs_serving_result *v = fs_arena_alloc(r->arena, 1, sizeof *v);
    fs_status status = v ? count_rows(s, v, err) : fs_fail_nomem(err);
    if (status != FS_OK)
        return status;
    fill_asked(s, v);
    count_devices(s, v);
    v->requests = fs_arena_alloc(r->arena, v->n_rows, sizeof *v->requests);
    v->pools = fs_arena_alloc(r->arena, v->n_pools, sizeof *v->pools);
    if (!v->requests || !v->pools)
        return fs_fail_nomem(err);
    for (uint32_t i = 0, row = 0; i < s->plan.n; i++)
        for (uint32_t k = 0; k < s->copies[i].requests.n; k++)
            v->requests[row++] = row_of(&s->copies[i], &s->plan.members[i], k);
    for (uint32_t p = 0; p < v->n_pools; p++)
        fill_pool(s, p, &v->pools[p]);
    v->itl = fs_samples_summary(s->itl);
    status = fs_serving_sum_up(v, s->in->source.count, s->end_s, err);
    r->tokens_per_s = v->output_tokens_per_s;
    r->tokens_per_s_per_gpu = v->output_tokens_per_s_per_gpu;
    r->serving = v;
    return status;
}

/* GPUs are busy while a stage of theirs is in an iteration. */
static void fill_power(const fs_serve_stages *s, double pue, fs_result *r)
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

/* Links of the whole topology up to the end of the unit that the first copy of the service stands in; 0: nothing was folded. */
static uint32_t links_to_draw(const fs_serve_stages *s, const fs_topo *whole)
{
    if (s->plan.members[0].n_links == 0)
        return 0;
    fs_where at = fs_topo_where(whole, whole->gpus[s->in->pools[0].first_gpu]);
    return at.run->first_link + (at.copy + 1) * at.run->unit->n_links;
}

fs_status fs_serve_result(fs_serve_stages *s, const fs_topo *whole, const fs_run_options *options, fs_result *result,
                          fs_err *err)
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
