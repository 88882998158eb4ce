/* serve.c - see serve.h, serve_state.h. Everything happens at an event: an arrival, the end of kernels, of communication or
 * of a cache's transfer; each ends what it was about and starts what can start now. */
#include "serve/serve_state.h"

#include <math.h>

enum { TAG_BITS = 62 }; /* below those that say what a tag is about */

static const fs_pool *pool_of(const fs_serving *s, uint32_t replica)
{
    return &s->c->in->pools[s->c->replicas[replica].pool];
}

static fs_pool_work *work_of(const fs_serving *s, uint32_t replica)
{
    return &s->run->pools[s->c->replicas[replica].pool];
}

static fs_stage_place place_of(const fs_serving *s, const fs_lane *l)
{
    return fs_cluster_place(s->c, &s->c->replicas[l->replica], l->stage);
}

static fs_station *station_at(const fs_serving *s, fs_stage_place at)
{
    return &s->posts[at.replica].stations[at.station];
}

/* What the lane has done since it did something else. */
static void note_stay(fs_serving *s, fs_lane *l, uint32_t stay)
{
    uint32_t side = place_of(s, l).replica == l->replica ? FS_SIDE_ATTENTION : FS_SIDE_FFN;
    work_of(s, l->replica)->side_s[side][stay] += s->now_s - l->since_s;
    l->since_s = s->now_s;
}

void fs_serving_note_blocks(fs_serving *s, uint32_t replica)
{
    fs_post *post = &s->posts[replica];
    fs_pool_work *work = work_of(s, replica);
    const fs_kv *kv = s->c->replicas[replica].kv;
    if (!kv)
        return;
    work->block_s += (double)post->used * (s->now_s - post->used_since_s);
    post->used_since_s = s->now_s;
    post->used = fs_kv_count(kv).blocks - fs_kv_available(kv);
    if (post->used > work->peak_blocks)
        work->peak_blocks = post->used;
}

/* ---- iterations -------------------------------------------------------------------------------------------------- */

static fs_status stage_done(fs_serving *s, uint32_t lane, fs_err *err);

static fs_status begin_exchange(fs_serving *s, uint32_t lane, fs_err *err)
{
    fs_lane *l = &s->lanes[lane];
    fs_exchange_step steps[FS_EXCHANGE_STEPS_MAX];
    uint32_t n = fs_cluster_steps(s->c, &s->c->replicas[l->replica], l->stage, &l->batch, steps);
    bool done = true;
    fs_status status = fs_exchange_begin(s->exchange, lane, steps, n, &done, err);
    if (status == FS_OK && done)
        status = stage_done(s, lane, err);
    return status;
}

static fs_status begin_stage(fs_serving *s, uint32_t lane, fs_err *err)
{
    fs_lane *l = &s->lanes[lane];
    const fs_replica *r = &s->c->replicas[l->replica];
    double compute_s = fs_cluster_compute_s(s->c, r, l->stage, &l->batch);
    fs_stage_place at = place_of(s, l);
    station_at(s, at)->busy = true;
    work_of(s, at.replica)->compute_s += compute_s;
    if (l->phase == FS_LANE_QUEUED)
        note_stay(s, l, FS_STAY_QUEUE);
    l->phase = FS_LANE_STAGE;
    l->since_s = s->now_s;
    l->parts = 2;
    fs_status status = FS_OK;
    if (l->stage == 0 && pool_of(s, l->replica)->role == FS_ROLE_PREFILL) {
        uint32_t n = 0;
        const fs_chunk *chunks = fs_batcher_chunks(r->batcher, l->index, &n);
        for (uint32_t i = 0; i < n && status == FS_OK; i++)
            status = fs_serving_chunk_begins(s, chunks[i].id, chunks[i].tokens, compute_s, err);
    }
    if (status == FS_OK)
        status = fs_engine_timer(s->engine, compute_s, s->tag | FS_TAG_COMPUTE | lane, err);
    return status == FS_OK && pool_of(s, l->replica)->two_batch ? begin_exchange(s, lane, err) : status;
}

/* Into the stage, or into the queue for it. */
static fs_status enter_stage(fs_serving *s, uint32_t lane, fs_err *err)
{
    fs_lane *l = &s->lanes[lane];
    fs_station *station = station_at(s, place_of(s, l));
    note_stay(s, l, FS_STAY_WAY);
    if (!station->busy)
        return begin_stage(s, lane, err);
    l->phase = FS_LANE_QUEUED;
    station->queue[(station->head + station->count++) % station->room] = lane;
    return FS_OK;
}

static fs_status begin_first(fs_serving *s, fs_station *station, fs_err *err)
{
    uint32_t lane = station->queue[station->head];
    station->head = (station->head + 1) % station->room;
    station->count--;
    return begin_stage(s, lane, err);
}

/* Composition has taken these from the queue, and those out of work. */
static void note_composition(fs_serving *s, uint32_t lane)
{
    const fs_lane *l = &s->lanes[lane];
    const fs_batcher_news *news = fs_batcher_news_of(s->c->replicas[l->replica].batcher);
    bool entry = pool_of(s, l->replica)->role != FS_ROLE_DECODE;
    const fs_seq *seqs = s->c->seqs[!entry];
    for (uint32_t i = 0; i < news->started.count && entry; i++) {
        s->run->requests[news->started.data[i]].start_s = s->now_s;
        fs_serving_aim(s, news->started.data[i]);
    }
    for (uint32_t i = 0; i < news->preempted.count; i++)
        if (seqs[news->preempted.data[i]].broken)
            s->passages[news->preempted.data[i]].last_token_s = l->last_step_s;
    work_of(s, l->replica)->preemptions += news->preempted.count;
}

/* The first station is free: the next lane that finds something to do, or, if it came before, one that is in the middle of
 * its iteration and waits there. */
static fs_status compose(fs_serving *s, uint32_t replica, fs_err *err)
{
    const fs_replica *r = &s->c->replicas[replica];
    fs_post *post = &s->posts[replica];
    fs_station *station = &post->stations[0];
    uint32_t lanes = fs_pool_lanes(pool_of(s, replica));
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < lanes && status == FS_OK && !station->busy; i++) {
        uint32_t lane = (post->next_lane + i) % lanes;
        fs_lane *l = &s->lanes[r->first_lane + lane];
        bool any = false;
        if (l->phase != FS_LANE_IDLE || !fs_batcher_may_run(r->batcher, lane))
            continue;
        if (station->count > 0 && s->lanes[station->queue[station->head]].since_s <= l->since_s)
            continue;
        fs_serving_note_blocks(s, replica);
        status = fs_batcher_compose(r->batcher, lane, &l->batch, &any, err);
        fs_serving_note_blocks(s, replica);
        if (status == FS_OK)
            note_composition(s, r->first_lane + lane);
        if (status == FS_OK)
            status = fs_serving_swap(s, replica, err);
        if (status == FS_OK && fs_batcher_news_of(r->batcher)->preempted.count > 0)
            status = fs_serving_land(s, replica, err); /* into the blocks that they lost */
        if (status != FS_OK || !any)
            continue;
        post->next_lane = (lane + 1) % lanes;
        l->stage = 0;
        status = begin_stage(s, r->first_lane + lane, err);
    }
    return status == FS_OK && !station->busy && station->count > 0 ? begin_first(s, station, err) : status;
}

fs_status fs_serving_kick(fs_serving *s, uint32_t replica, fs_err *err)
{
    if (s->posts[replica].kicked)
        return FS_OK;
    s->posts[replica].kicked = true;
    return FS_PUSH(&s->kicked, replica) ? FS_OK : fs_fail_nomem(err);
}

static fs_status compose_all(fs_serving *s, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < s->kicked.count && status == FS_OK; i++) {
        s->posts[s->kicked.data[i]].kicked = false;
        status = compose(s, s->kicked.data[i], err);
    }
    s->kicked.count = 0;
    return status;
}

/* Gaps between tokens: one for all that were in the lane's last step too, and their own for those that were not. */
static void note_tokens(fs_serving *s, uint32_t lane, const fs_batcher_news *news)
{
    fs_lane *l = &s->lanes[lane];
    const fs_ids *single[] = {&news->fresh, &news->again};
    for (uint32_t k = 0; k < 2; k++)
        for (uint32_t i = 0; i < single[k]->count; i++) {
            double *last_s = &s->passages[single[k]->data[i]].last_token_s;
            fs_samples_add(s->run->itl, s->now_s - *last_s, s->run->count);
            *last_s = s->now_s;
        }
    if (l->batch.decodes > news->fresh.count)
        fs_samples_add(s->run->itl, s->now_s - l->last_step_s,
                       (double)(l->batch.decodes - news->fresh.count) * s->run->count);
    if (l->batch.decodes > 0)
        l->last_step_s = s->now_s;
    uint32_t both[] = {l->replica, s->c->replicas[l->replica].ffn};
    for (uint32_t i = 0; i < 2 && both[i] != FS_NONE; i++) {
        fs_pool_work *work = work_of(s, both[i]);
        work->iterations++;
        work->batch += l->batch.decodes;
        work->decodings += l->batch.decodes > 0;
    }
    work_of(s, l->replica)->prompt_tokens += l->batch.prefill_tokens;
}

/* First tokens and last ones. */
static fs_status note_ends(fs_serving *s, uint32_t replica, const fs_batcher_news *news, fs_err *err)
{
    bool prefill = pool_of(s, replica)->role == FS_ROLE_PREFILL;
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < news->first.count; i++) {
        s->run->requests[news->first.data[i]].first_s = s->now_s;
        s->passages[news->first.data[i]].last_token_s = s->now_s;
    }
    for (uint32_t i = 0; i < news->finished.count && status == FS_OK; i++) {
        uint32_t request = news->finished.data[i];
        if (prefill && s->requests->all[request].output > 1) {
            status = fs_serving_prompt_done(s, request, err);
            continue;
        }
        if (prefill)
            fs_batcher_release(s->c->replicas[replica].batcher, request);
        s->run->requests[request].done_s = s->now_s;
        work_of(s, replica)->output_tokens += s->requests->all[request].output;
        s->posts[replica].under_way--;
        status = fs_serving_end_request(s, err);
    }
    return status;
}

static fs_status end_iteration(fs_serving *s, uint32_t lane, fs_err *err)
{
    fs_lane *l = &s->lanes[lane];
    uint32_t replica = l->replica, n = 0;
    fs_batcher *batcher = s->c->replicas[replica].batcher;
    fs_status status = FS_OK;
    const fs_chunk *chunks = fs_batcher_chunks(batcher, l->index, &n);
    for (uint32_t i = 0; i < n && status == FS_OK && pool_of(s, replica)->role == FS_ROLE_PREFILL; i++)
        status = fs_serving_chunk_ends(s, chunks[i].id, chunks[i].tokens, err);
    fs_serving_note_blocks(s, replica);
    if (status == FS_OK)
        status = fs_batcher_finish(batcher, l->index, err);
    if (status != FS_OK)
        return status;
    const fs_batcher_news *news = fs_batcher_news_of(batcher);
    note_tokens(s, lane, news);
    status = note_ends(s, replica, news, err);
    l->phase = FS_LANE_IDLE;
    l->since_s = s->now_s;
    fs_serving_note_blocks(s, replica);
    if (status == FS_OK)
        status = fs_serving_land(s, replica, err);
    return status == FS_OK ? fs_serving_kick(s, replica, err) : status;
}

/* The station is free for the next. Who comes first where iterations begin is seen when this event is dealt with. */
static fs_status leave_stage(fs_serving *s, fs_stage_place at, fs_err *err)
{
    fs_station *station = station_at(s, at);
    station->busy = false;
    if (at.station == 0 && s->c->replicas[at.replica].batcher)
        return fs_serving_kick(s, at.replica, err);
    return station->count > 0 ? begin_first(s, station, err) : FS_OK;
}

/* Kernels, or communication, of the stage have ended. */
static fs_status stage_done(fs_serving *s, uint32_t lane, fs_err *err)
{
    fs_lane *l = &s->lanes[lane];
    const fs_replica *r = &s->c->replicas[l->replica];
    fs_stage_place at = place_of(s, l);
    if (--l->parts > 0)
        return FS_OK;
    work_of(s, at.replica)->busy_s += s->now_s - l->since_s;
    note_stay(s, l, FS_STAY_WORK);
    if (l->stage + 1 == fs_cluster_stages(s->c, r)) {
        fs_status status = end_iteration(s, lane, err);
        return status == FS_OK ? leave_stage(s, at, err) : status;
    }
    fs_exchange_step steps[FS_EXCHANGE_STEPS_MAX];
    bool sent = true;
    l->phase = FS_LANE_SEND;
    uint32_t n = fs_cluster_send(s->c, r, l->stage, &l->batch, steps);
    fs_status status = fs_exchange_begin(s->exchange, lane, steps, n, &sent, err);
    l->stage++;
    if (status == FS_OK && sent)
        status = enter_stage(s, lane, err);
    return status == FS_OK ? leave_stage(s, at, err) : status;
}

static fs_status on_compute(fs_serving *s, uint32_t lane, fs_err *err)
{
    const fs_lane *l = &s->lanes[lane];
    bool beside = pool_of(s, l->replica)->two_batch;
    if (beside)
        return stage_done(s, lane, err);
    s->lanes[lane].parts--;
    return begin_exchange(s, lane, err);
}

static fs_status on_exchange(fs_serving *s, uint64_t tag, fs_err *err)
{
    uint32_t lane = FS_NONE;
    fs_status status = fs_exchange_event(s->exchange, tag, &lane, err);
    if (status != FS_OK || lane == FS_NONE)
        return status;
    return s->lanes[lane].phase == FS_LANE_SEND ? enter_stage(s, lane, err) : stage_done(s, lane, err);
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static fs_status on_event(fs_serving *s, uint64_t tag, fs_err *err)
{
    switch (tag & FS_TAG_KV) {
    case FS_TAG_ARRIVAL: return fs_serving_arrival(s, err);
    case FS_TAG_COMPUTE: return on_compute(s, (uint32_t)tag, err);
    case FS_TAG_EXCHANGE: return on_exchange(s, tag, err);
    default: return fs_serving_kv_event(s, tag, err);
    }
}

/* All services of a run; a tag says whose it is in the bits from `shift` up to what it is about. */
typedef struct host {
    fs_serving *all; /* (n) */
    uint32_t n;
    unsigned shift;
    const fs_serve_calls *calls;
} host;

static fs_status on_done(void *context, uint64_t tag, double now_s, fs_err *err)
{
    const host *h = context;
    uint64_t whose = tag & ~FS_TAG_KV & ~((UINT64_C(1) << h->shift) - 1);
    fs_serving *s = &h->all[whose >> h->shift];
    s->now_s = now_s;
    fs_status status = on_event(s, tag & ~whose, err);
    return status == FS_OK ? compose_all(s, err) : status;
}

static void on_load(void *context, uint32_t resource, double load, double now_s)
{
    const host *h = context;
    h->calls->load(h->calls->context, resource, load, now_s);
}

static fs_status prepare(fs_serving *s, fs_err *err)
{
    const fs_cluster *c = s->c;
    s->lanes = fs_arena_alloc(s->arena, c->n_lanes, sizeof *s->lanes);
    s->posts = fs_arena_alloc(s->arena, c->n_replicas, sizeof *s->posts);
    s->passages = fs_arena_alloc(s->arena, s->requests->n, sizeof *s->passages);
    if (!s->lanes || !s->posts || !s->passages)
        return fs_fail_nomem(err);
    for (uint32_t r = 0; r < c->n_replicas; r++) {
        const fs_pool *pool = pool_of(s, r);
        uint32_t lanes = fs_pool_lanes(pool), room = pool->role == FS_ROLE_FFN ? c->n_lanes : lanes;
        fs_ids *list = pool->role == FS_ROLE_DECODE ? &s->targets : &s->entries;
        s->posts[r].stations = fs_arena_alloc(s->arena, pool->pp, sizeof *s->posts[r].stations);
        if (!s->posts[r].stations || (pool->role != FS_ROLE_FFN && !FS_PUSH(list, r)))
            return fs_fail_nomem(err);
        for (uint32_t i = 0; i < lanes; i++)
            s->lanes[c->replicas[r].first_lane + i] = (fs_lane){.replica = r, .index = i};
        for (uint32_t i = 0; i < pool->pp; i++) {
            fs_station *station = &s->posts[r].stations[i];
            station->room = room;
            station->queue = fs_arena_alloc(s->arena, room, sizeof *station->queue);
            if (!station->queue)
                return fs_fail_nomem(err);
        }
    }
    return fs_exchange_new(s->engine, c->lowering, s->tag | FS_TAG_EXCHANGE, &s->exchange, err);
}

/* The least that a prompt and a token take, with nobody else there: what no SLO may undercut. */
static fs_status alone(fs_serving *s, uint32_t replica, const fs_batch *batch, double *seconds, fs_err *err)
{
    const fs_replica *r = &s->c->replicas[replica];
    const fs_pool *pool = pool_of(s, replica);
    fs_status status = FS_OK;
    *seconds = 0;
    for (uint32_t stage = 0; stage < fs_cluster_stages(s->c, r) && status == FS_OK; stage++) {
        fs_exchange_step steps[FS_EXCHANGE_STEPS_MAX], send[FS_EXCHANGE_STEPS_MAX];
        uint32_t n = fs_cluster_steps(s->c, r, stage, batch, steps), sends = 0;
        double compute_s = fs_cluster_compute_s(s->c, r, stage, batch), moving_s = 0, send_s = 0;
        status = fs_exchange_estimate(s->exchange, steps, n, &moving_s, err);
        if (status == FS_OK)
            sends = fs_cluster_send(s->c, r, stage, batch, send);
        if (status == FS_OK)
            status = fs_exchange_estimate(s->exchange, send, sends, &send_s, err);
        *seconds += send_s + (pool->two_batch ? fmax(compute_s, moving_s) : compute_s + moving_s);
    }
    return status;
}

static fs_status estimate_alone(fs_serving *s, fs_err *err)
{
    uint32_t shortest = FS_NONE;
    for (uint32_t i = 0; i < s->requests->n; i++)
        if (s->requests->all[i].input < shortest)
            shortest = s->requests->all[i].input;
    uint32_t replica = s->targets.count > 0 ? s->targets.data[0] : s->entries.data[0];
    const fs_pool *pool = pool_of(s, replica);
    const fs_batch prompt = {.chunks = 1,
                             .prefill_tokens = shortest,
                             .prefill_pairs = shortest * (shortest + 1.0) / 2,
                             .prefill_context = shortest,
                             .outputs = 1};
    const fs_batch token = {.decodes = 1,
                            .step = 1,
                            .verified = 1 + pool->draft_tokens,
                            .decode_context = shortest + 1u,
                            .outputs = 1 + pool->draft_tokens};
    fs_status status = alone(s, s->entries.data[0], &prompt, &s->run->fresh_ttft_s, err);
    if (status == FS_OK)
        status = alone(s, replica, &token, &s->run->fresh_tpot_s, err);
    double right = 1, tokens = 1;
    for (uint32_t i = 0; i < pool->draft_tokens; i++)
        tokens += right *= pool->acceptance;
    s->run->fresh_tpot_s /= tokens;
    return status;
}

static void finish(fs_serving *s)
{
    for (uint32_t r = 0; r < s->c->n_replicas; r++) {
        if (!s->c->replicas[r].kv)
            continue;
        fs_serving_note_blocks(s, r);
        const fs_kv_use use = fs_kv_count(s->c->replicas[r].kv);
        work_of(s, r)->kv_hits += use.hits;
        work_of(s, r)->kv_lookups += use.lookups;
    }
    s->run->end_s = s->now_s;
}

static void clear(fs_serving *s)
{
    if (!s->c)
        return;
    for (uint32_t r = 0; s->posts && r < s->c->n_replicas; r++)
        fs_free(s->posts[r].landing.data);
    fs_free(s->entries.data);
    fs_free(s->targets.data);
    fs_free(s->kicked.data);
    fs_exchange_free(s->exchange);
    fs_arena_free(s->arena);
}

static fs_status open_service(fs_serving *s, fs_err *err)
{
    s->arena = fs_arena_new();
    fs_status status = s->arena ? prepare(s, err) : fs_fail_nomem(err);
    if (status == FS_OK)
        status = estimate_alone(s, err);
    if (status == FS_OK)
        status = fs_serving_begin(s, err);
    return status == FS_OK ? compose_all(s, err) : status;
}

static fs_status close_service(fs_serving *s, fs_err *err)
{
    if (s->ended < s->requests->n)
        return fs_fail(err, FS_E_SIM, "%u of %u requests never end: nothing is left to happen",
                       s->requests->n - s->ended, s->requests->n);
    finish(s);
    return FS_OK;
}

fs_status fs_serve(const fs_service *services, uint32_t n, fs_engine *engine, const fs_serve_calls *calls, fs_err *err)
{
    host h = {.all = fs_zalloc(n, sizeof *h.all), .n = n, .shift = TAG_BITS, .calls = calls};
    const fs_engine_calls engine_calls = {
        .context = &h, .done = on_done, .load = calls && calls->load ? on_load : NULL};
    fs_status status = h.all ? FS_OK : fs_fail_nomem(err);
    while ((n - 1) >> (TAG_BITS - h.shift) > 0)
        h.shift--;
    for (uint32_t i = 0; i < n && status == FS_OK; i++) {
        h.all[i] = (fs_serving){.c = services[i].cluster,
                                .requests = services[i].requests,
                                .engine = engine,
                                .run = services[i].out,
                                .tag = (uint64_t)i << h.shift};
        status = open_service(&h.all[i], err);
    }
    if (status == FS_OK)
        status = fs_engine_run(engine, &engine_calls, err);
    for (uint32_t i = 0; i < n && status == FS_OK; i++)
        status = close_service(&h.all[i], err);
    for (uint32_t i = 0; i < n && h.all; i++)
        clear(&h.all[i]);
    fs_free(h.all);
    return status;
}
