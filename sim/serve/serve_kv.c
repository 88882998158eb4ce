/* serve_kv.c - caches that travel: from prefill to decode, to the CPU and back. See serve.h and serve_state.h.
 *
 * A request's blocks on the prefill replica are held until all of its cache has arrived; on the decode replica they are
 * taken before anything moves. Those that find none wait in the order in which they ask, and nobody overtakes them. */
#include "serve/serve_state.h"

/* ---- from prefill to decode -------------------------------------------------------------------------------------- */

static bool goes_on(const fs_serving *s, uint32_t request)
{
    return s->targets.count > 0 && s->requests->all[request].output > 1;
}

void fs_serving_aim(fs_serving *s, uint32_t request)
{
    if (!goes_on(s, request))
        return;
    uint32_t target = fs_serving_pick(s, &s->targets, &s->next_target, request);
    fs_post *post = &s->posts[target];
    s->run->requests[request].target = target;
    post->under_way++;
    fs_serving_note_blocks(s, target);
    s->passages[request].reserved =
        post->landing.count == post->landing_next && fs_batcher_reserve(s->c->replicas[target].batcher, request);
    fs_serving_note_blocks(s, target);
}

static fs_status move(fs_serving *s, uint32_t request, double tokens, double delay_s, fs_err *err)
{
    const fs_served *r = &s->run->requests[request];
    fs_kv_path path;
    if (!(tokens > 0))
        return FS_OK;
    fs_status status = fs_cluster_kv_path(s->c, r->replica, r->target, request, &path, err);
    if (status != FS_OK)
        return status;
    uint32_t pool = s->c->replicas[r->replica].pool;
    double bytes = tokens * fs_step_kv_all_bytes(s->c->pools[pool].model);
    s->run->pools[pool].kv_bytes += bytes;
    s->passages[request].moving++;
    return fs_engine_transfer(s->engine, path.pattern, bytes * path.amount, path.latency_s + delay_s,
                              s->tag | FS_TAG_KV | request, err);
}

/* All of it is there: it decodes, and leaves where it was. */
static fs_status arrive(fs_serving *s, uint32_t request, fs_err *err)
{
    fs_served *r = &s->run->requests[request];
    r->landed_s = s->now_s;
    fs_serving_note_blocks(s, r->replica);
    fs_batcher_release(s->c->replicas[r->replica].batcher, request);
    fs_serving_note_blocks(s, r->replica);
    s->posts[r->replica].under_way--;
    fs_status status = fs_batcher_join(s->c->replicas[r->target].batcher, request, err);
    if (status == FS_OK)
        status = fs_serving_kick(s, r->target, err);
    return status == FS_OK ? fs_serving_kick(s, r->replica, err) : status;
}

fs_status fs_serving_chunk_begins(fs_serving *s, uint32_t request, uint32_t tokens, double compute_s, fs_err *err)
{
    const fs_passage *p = &s->passages[request];
    double layers = s->c->in->model.layers;
    if (!goes_on(s, request) || !p->reserved)
        return FS_OK;
    const fs_seq *seq = &s->c->seqs[0][request];
    fs_status status = FS_OK;
    if (seq->computed == seq->cached && seq->cached > 0 && p->moving == 0) /* what was found need not be waited for */
        status = move(s, request, seq->cached, 0, err);
    return status == FS_OK ? move(s, request, tokens * (layers - 1) / layers, compute_s / layers, err) : status;
}

fs_status fs_serving_chunk_ends(fs_serving *s, uint32_t request, uint32_t tokens, fs_err *err)
{
    if (!goes_on(s, request) || !s->passages[request].reserved)
        return FS_OK;
    return move(s, request, tokens / (double)s->c->in->model.layers, 0, err);
}

fs_status fs_serving_prompt_done(fs_serving *s, uint32_t request, fs_err *err)
{
    fs_passage *p = &s->passages[request];
    fs_post *post = &s->posts[s->run->requests[request].target];
    p->computed = true;
    if (p->reserved)
        return p->moving == 0 ? arrive(s, request, err) : FS_OK;
    if (!FS_PUSH(&post->landing, request))
        return fs_fail_nomem(err);
    return fs_serving_land(s, s->run->requests[request].target, err);
}

static fs_status passage_event(fs_serving *s, uint32_t request, fs_err *err)
{
    fs_passage *p = &s->passages[request];
    p->moving--;
    return p->moving == 0 && p->computed ? arrive(s, request, err) : FS_OK;
}

fs_status fs_serving_land(fs_serving *s, uint32_t replica, fs_err *err)
{
    fs_post *post = &s->posts[replica];
    fs_status status = FS_OK;
    fs_serving_note_blocks(s, replica);
    while (status == FS_OK && post->landing_next < post->landing.count) {
        uint32_t request = post->landing.data[post->landing_next];
        if (!fs_batcher_reserve(s->c->replicas[replica].batcher, request))
            break;
        post->landing_next++;
        s->passages[request].reserved = true;
        status = move(s, request, s->requests->all[request].input, 0, err);
    }
    if (post->landing_next == post->landing.count)
        post->landing_next = post->landing.count = 0;
    fs_serving_note_blocks(s, replica);
    return status;
}

/* ---- to the CPU and back ----------------------------------------------------------------------------------------- */

static uint32_t decoded_at(const fs_serving *s, uint32_t request)
{
    const fs_served *r = &s->run->requests[request];
    return r->target != FS_NONE ? r->target : r->replica;
}

static fs_seq *sequence_of(const fs_serving *s, uint32_t request)
{
    return &s->c->seqs[s->run->requests[request].target != FS_NONE][request];
}

static fs_status swap(fs_serving *s, uint32_t request, bool out, fs_err *err)
{
    fs_kv_path path;
    uint32_t replica = decoded_at(s, request);
    fs_status status = fs_cluster_swap_path(s->c, replica, request, out, &path, err);
    if (status != FS_OK)
        return status;
    const fs_step_model *model = s->c->pools[s->c->replicas[replica].pool].model;
    double bytes = sequence_of(s, request)->swapped * fs_step_kv_all_bytes(model);
    return fs_engine_transfer(s->engine, path.pattern, bytes * path.amount, path.latency_s,
                              s->tag | (out ? FS_TAG_SWAP_OUT : FS_TAG_SWAP_IN) | request, err);
}

fs_status fs_serving_swap(fs_serving *s, uint32_t replica, fs_err *err)
{
    const fs_batcher_news *news = fs_batcher_news_of(s->c->replicas[replica].batcher);
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < news->preempted.count && status == FS_OK; i++) {
        uint32_t request = news->preempted.data[i];
        if (sequence_of(s, request)->swapped == 0)
            continue;
        s->passages[request].leaving = true;
        status = swap(s, request, true, err);
    }
    for (uint32_t i = 0; i < news->returning.count && status == FS_OK; i++) {
        fs_passage *p = &s->passages[news->returning.data[i]];
        p->wanted = true;
        if (!p->leaving)
            status = swap(s, news->returning.data[i], false, err);
    }
    return status;
}

static fs_status returned(fs_serving *s, uint32_t request, fs_err *err)
{
    uint32_t replica = decoded_at(s, request);
    s->passages[request].wanted = false;
    fs_status status = fs_batcher_return(s->c->replicas[replica].batcher, request, err);
    return status == FS_OK ? fs_serving_kick(s, replica, err) : status;
}

fs_status fs_serving_kv_event(fs_serving *s, uint64_t tag, fs_err *err)
{
    uint32_t request = (uint32_t)tag;
    fs_passage *p = &s->passages[request];
    if ((tag >> 32 << 32) == FS_TAG_SWAP_IN)
        return returned(s, request, err);
    if ((tag >> 32 << 32) != FS_TAG_SWAP_OUT)
        return passage_event(s, request, err);
    p->leaving = false;
    return p->wanted ? swap(s, request, false, err) : FS_OK;
}
