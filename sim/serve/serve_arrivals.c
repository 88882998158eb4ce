/* serve_arrivals.c - requests as they come, the router, and closed loops. See serve_state.h. */
#include "serve/serve_state.h"

static bool fits(const fs_serving *s, uint32_t replica, uint32_t request)
{
    return fs_batcher_fits(s->c->replicas[replica].batcher, request);
}

/* Prompt blocks that are there already, where the router asks for them. */
static uint32_t kept(const fs_serving *s, uint32_t replica, uint32_t request)
{
    const fs_request *r = &s->requests->all[request];
    if (s->c->in->router != FS_PREFIX || r->n_hashes == 0)
        return 0;
    return fs_kv_match(s->c->replicas[replica].kv, s->requests->hashes + r->first_hash, r->n_hashes);
}

uint32_t fs_serving_pick(fs_serving *s, const fs_ids *among, uint32_t *next, uint32_t request)
{
    uint32_t best = FS_NONE, most = 0;
    for (uint32_t i = 0; i < among->count; i++) {
        uint32_t at = s->c->in->router == FS_ROUND_ROBIN ? (*next + i) % among->count : i, replica = among->data[at];
        if (!fits(s, replica, request))
            continue;
        if (s->c->in->router == FS_ROUND_ROBIN) {
            *next = (at + 1) % among->count;
            return replica;
        }
        uint32_t found = kept(s, replica, request);
        if (best == FS_NONE || found > most ||
            (found == most && s->posts[replica].under_way < s->posts[best].under_way)) {
            best = replica;
            most = found;
        }
    }
    return best;
}

/* Is there a replica that can decode it? */
/* Longer than the model's context: engines answer with an error (vLLM: "maximum context length"). */
static bool is_too_long(const fs_serving *s, uint32_t request)
{
    const fs_request *r = &s->requests->all[request];
    return (uint64_t)r->input + r->output > s->c->in->source.context;
}

static bool has_target(const fs_serving *s, uint32_t request)
{
    for (uint32_t i = 0; i < s->targets.count; i++)
        if (fits(s, s->targets.data[i], request))
            return true;
    return s->targets.count == 0 || s->requests->all[request].output == 1;
}

static bool is_closed(const fs_serving *s)
{
    return s->c->in->source.arrival == FS_CLOSED && !s->c->in->source.requests;
}

static fs_status accept(fs_serving *s, uint32_t request, fs_err *err);

fs_status fs_serving_end_request(fs_serving *s, fs_err *err)
{
    s->ended++;
    if (!is_closed(s) || s->arrived == s->requests->n)
        return FS_OK;
    return accept(s, s->arrived++, err);
}

static fs_status accept(fs_serving *s, uint32_t request, fs_err *err)
{
    fs_served *r = &s->run->requests[request];
    *r = (fs_served){.arrival_s = s->now_s, .replica = FS_NONE, .target = FS_NONE};
    bool possible = !is_too_long(s, request) && has_target(s, request);
    uint32_t replica = possible ? fs_serving_pick(s, &s->entries, &s->next_entry, request) : FS_NONE;
    r->rejected = replica == FS_NONE;
    if (r->rejected) {
        s->ended++; /* in a closed loop the next one comes with an event of its own: no recursion */
        return is_closed(s) ? fs_engine_timer(s->engine, 0, s->tag | FS_TAG_ARRIVAL, err) : FS_OK;
    }
    r->replica = replica;
    s->posts[replica].under_way++;
    fs_status status = fs_batcher_submit(s->c->replicas[replica].batcher, request, err);
    return status == FS_OK ? fs_serving_kick(s, replica, err) : status;
}

/* The next arrival, if there is one to wait for. */
static fs_status await_arrival(fs_serving *s, fs_err *err)
{
    if (is_closed(s) || s->arrived == s->requests->n)
        return FS_OK;
    double delay_s = s->requests->all[s->arrived].arrival_s - s->now_s;
    return fs_engine_timer(s->engine, delay_s > 0 ? delay_s : 0, s->tag | FS_TAG_ARRIVAL, err);
}

fs_status fs_serving_arrival(fs_serving *s, fs_err *err)
{
    fs_status status = FS_OK;
    bool more = s->arrived < s->requests->n;
    while (more && status == FS_OK) {
        status = accept(s, s->arrived++, err);
        more = !is_closed(s) && s->arrived < s->requests->n && s->requests->all[s->arrived].arrival_s <= s->now_s;
    }
    return status == FS_OK ? await_arrival(s, err) : status;
}

fs_status fs_serving_begin(fs_serving *s, fs_err *err)
{
    if (!is_closed(s))
        return await_arrival(s, err);
    uint32_t n = s->c->in->source.concurrency < s->requests->n ? s->c->in->source.concurrency : s->requests->n;
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < n && status == FS_OK; i++)
        status = accept(s, s->arrived++, err);
    return status;
}
