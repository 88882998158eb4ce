/* batcher.c - see batcher.h. batcher_lists.c has the heaps, rings and lists. */
#include "serve/batcher_in.h"

#include <assert.h>

/* Part of the blocks that admission leaves free while others run, so that it does not take what they need next: the
 * watermark of vLLM (core/block_manager.py, default 0.01). */
#define WATERMARK 0.01

/* Beyond any length, so that clock - tokens is never negative. */
#define CLOCK_START (UINT64_C(1) << 40)

fs_status fs_batcher_new(const fs_batcher_def *def, fs_kv *kv, fs_seq *seqs, fs_batcher **batcher, fs_err *err)
{
    fs_batcher *b = fs_zalloc(1, sizeof *b);
    if (!b)
        return fs_fail_nomem(err);
    b->def = *def;
    b->kv = kv;
    b->seqs = seqs;
    b->ring = fs_kv_tokens_per_block(kv);
    b->lane_seqs = (def->max_seqs + def->lanes - 1) / def->lanes;
    b->lanes = fs_zalloc(def->lanes, sizeof *b->lanes);
    for (uint32_t l = 0; b->lanes && l < def->lanes; l++) {
        fs_lane_state *lane = &b->lanes[l];
        lane->clock = CLOCK_START;
        lane->first = lane->last = FS_NONE;
        lane->ring = fs_alloc(b->ring, sizeof *lane->ring);
        for (uint32_t i = 0; lane->ring && i < b->ring; i++)
            lane->ring[i] = FS_NONE;
        if (!lane->ring)
            break;
    }
    if (!b->lanes || !b->lanes[def->lanes - 1].ring) {
        fs_batcher_free(b);
        return fs_fail_nomem(err);
    }
    *batcher = b;
    return FS_OK;
}

void fs_batcher_free(fs_batcher *b)
{
    if (!b)
        return;
    for (uint32_t l = 0; b->lanes && l < b->def.lanes; l++) {
        fs_free(b->lanes[l].ring);
        fs_free(b->lanes[l].chunks.data);
        fs_free(b->lanes[l].ends.data);
        fs_free(b->lanes[l].prefill.data);
        fs_free(b->lanes[l].fresh.data);
    }
    fs_free(b->lanes);
    fs_free(b->waiting.data);
    fs_free(b->landed.data);
    fs_free(b->scratch.data);
    fs_free(b->news.started.data);
    fs_free(b->news.first.data);
    fs_free(b->news.fresh.data);
    fs_free(b->news.again.data);
    fs_free(b->news.finished.data);
    fs_free(b->news.preempted.data);
    fs_free(b->news.returning.data);
    fs_free(b);
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

/* Tokens that will be in the cache when it ends: all but the last, which nobody attends to. */
bool fs_batcher_fits(const fs_batcher *b, uint32_t id)
{
    const fs_seq *s = &b->seqs[id];
    uint64_t tokens = (uint64_t)s->input + (b->def.holds ? 0 : s->output - 1);
    return fs_kv_blocks_of(b->kv, tokens) <= b->def.seq_blocks;
}

static uint64_t spare_blocks(const fs_batcher *b)
{
    return b->running > 0 ? (uint64_t)(WATERMARK * (double)fs_kv_count(b->kv).blocks) : 0;
}

/* So many tokens of a cache that comes from elsewhere. */
static bool take_copy(fs_batcher *b, fs_seq *s, uint32_t tokens)
{
    uint64_t need = fs_kv_blocks_of(b->kv, tokens);
    if (need + spare_blocks(b) > fs_kv_available(b->kv) || !fs_kv_take(b->kv, need))
        return false;
    s->blocks = need;
    return true;
}

/* All that a prompt needs; what it has in common with others is used from there. */
static bool take_prompt(fs_batcher *b, fs_seq *s)
{
    uint32_t found = fs_kv_match(b->kv, s->hashes, s->n_hashes);
    uint64_t need = fs_kv_blocks_of(b->kv, s->prompt) - found * fs_kv_hash_blocks(b->kv);
    fs_kv_pin(b->kv, s->hashes, found);
    if (need + spare_blocks(b) > fs_kv_available(b->kv) || !fs_kv_take(b->kv, need)) {
        fs_kv_unpin(b->kv, s->hashes, found);
        return false;
    }
    fs_kv_note_lookup(b->kv, s->n_hashes, found);
    s->blocks = need;
    s->pinned = found;
    uint32_t cached = found * fs_kv_hash_tokens(b->kv);
    s->computed = cached < s->prompt ? cached : s->prompt - 1; /* the last one is needed for the next token */
    return true;
}

static void drop_blocks(fs_batcher *b, fs_seq *s)
{
    fs_kv_give(b->kv, s->blocks);
    fs_kv_unpin(b->kv, s->hashes, s->pinned);
    s->blocks = 0;
    s->pinned = 0;
}

/* ---- coming ------------------------------------------------------------------------------------------------------ */

fs_status fs_batcher_submit(fs_batcher *b, uint32_t id, fs_err *err)
{
    b->seqs[id].state = FS_SEQ_WAITING;
    b->seqs[id].prompt = b->seqs[id].input;
    return fs_batcher_queue(b, id) ? FS_OK : fs_fail_nomem(err);
}

bool fs_batcher_reserve(fs_batcher *b, uint32_t id)
{
    fs_seq *s = &b->seqs[id];
    if (!take_copy(b, s, s->input))
        return false;
    s->prompt = s->computed = s->input;
    s->n_hashes = 0;
    return true;
}

/* Decoding from the next iteration on. */
static fs_status begin_decoding(fs_batcher *b, uint32_t lane, uint32_t id, fs_err *err)
{
    fs_lane_state *l = &b->lanes[lane];
    fs_seq *s = &b->seqs[id];
    s->state = FS_SEQ_DECODE;
    s->fresh = true;
    s->offset = l->clock - s->prompt;
    s->ends = l->clock + (s->output - s->produced);
    l->context += s->prompt;
    l->decodes++;
    fs_ring_add(b, l, id);
    return fs_ends_add(b, l, id) && fs_ids_add(&l->fresh, id) ? FS_OK : fs_fail_nomem(err);
}

/* The lane with the fewest, if it may have one more. */
static uint32_t roomiest(const fs_batcher *b)
{
    uint32_t best = 0;
    for (uint32_t l = 1; l < b->def.lanes; l++)
        if (b->lanes[l].running < b->lanes[best].running)
            best = l;
    return b->lanes[best].running < b->lane_seqs ? best : FS_NONE;
}

static fs_status start(fs_batcher *b, uint32_t lane, uint32_t id, fs_err *err)
{
    fs_seq *s = &b->seqs[id];
    s->lane = lane;
    b->lanes[lane].running++;
    b->running++;
    fs_urgent_add(b, &b->lanes[lane], id);
    if (s->preemptions == 0) {
        s->cached = s->computed;
        if (!fs_ids_add(&b->news.started, id))
            return fs_fail_nomem(err);
    }
    return FS_OK;
}

/* Those whose prompt has landed decode as soon as a lane has room. */
static fs_status take_landed(fs_batcher *b, fs_err *err)
{
    fs_status status = FS_OK;
    uint32_t lane;
    while (status == FS_OK && b->landed_next < b->landed.count && (lane = roomiest(b)) != FS_NONE) {
        uint32_t id = b->landed.data[b->landed_next++];
        status = start(b, lane, id, err);
        if (status == FS_OK)
            status = begin_decoding(b, lane, id, err);
    }
    if (b->landed_next == b->landed.count)
        b->landed.count = b->landed_next = 0;
    return status;
}

fs_status fs_batcher_join(fs_batcher *b, uint32_t id, fs_err *err)
{
    b->seqs[id].produced = 1;
    b->seqs[id].state = FS_SEQ_WAITING;
    return fs_ids_add(&b->landed, id) ? FS_OK : fs_fail_nomem(err);
}

fs_status fs_batcher_return(fs_batcher *b, uint32_t id, fs_err *err)
{
    fs_seq *s = &b->seqs[id];
    assert(s->state == FS_SEQ_RETURNING);
    s->prompt = s->computed = s->swapped;
    s->swapped = 0;
    s->state = FS_SEQ_WAITING;
    return fs_ids_add(&b->landed, id) ? FS_OK : fs_fail_nomem(err);
}

/* ---- going ------------------------------------------------------------------------------------------------------- */

/* Out of the lane's lists; its tokens are counted, its blocks stay. */
static void stop(fs_batcher *b, uint32_t id)
{
    fs_seq *s = &b->seqs[id];
    fs_lane_state *l = &b->lanes[s->lane];
    if (s->state == FS_SEQ_DECODE) {
        s->produced = s->output - (uint32_t)(s->ends > l->clock ? s->ends - l->clock : 0);
        l->context -= l->clock - s->offset;
        l->decodes--;
        fs_ring_remove(b, l, id);
        fs_ends_remove(b, l, id);
        if (s->fresh)
            fs_ids_remove(&l->fresh, id);
    } else {
        fs_ids_remove(&l->prefill, id);
    }
    fs_urgent_remove(b, l, id);
    l->running--;
    b->running--;
}

static fs_status preempt(fs_batcher *b, uint32_t id, fs_err *err)
{
    fs_seq *s = &b->seqs[id];
    s->broken = s->state == FS_SEQ_DECODE && !s->fresh;
    if (b->def.swap && s->state == FS_SEQ_DECODE)
        s->swapped = (uint32_t)(b->lanes[s->lane].clock - s->offset);
    stop(b, id);
    drop_blocks(b, s);
    s->prompt = s->input + s->produced; /* which gives the next token */
    s->computed = 0;
    s->state = FS_SEQ_WAITING;
    s->preemptions++;
    return fs_batcher_queue(b, id) && fs_ids_add(&b->news.preempted, id) ? FS_OK : fs_fail_nomem(err);
}

static fs_status finish(fs_batcher *b, uint32_t id, fs_err *err)
{
    fs_seq *s = &b->seqs[id];
    stop(b, id);
    if (b->def.holds) {
        s->state = FS_SEQ_HELD;
    } else {
        drop_blocks(b, s);
        s->state = FS_SEQ_DONE;
    }
    return fs_ids_add(&b->news.finished, id) ? FS_OK : fs_fail_nomem(err);
}

void fs_batcher_release(fs_batcher *b, uint32_t id)
{
    assert(b->seqs[id].state == FS_SEQ_HELD);
    drop_blocks(b, &b->seqs[id]);
    b->seqs[id].state = FS_SEQ_DONE;
}

/* ---- an iteration ------------------------------------------------------------------------------------------------ */

/* Tokens of the next step: the running total is the mean's, rounded down. */
static uint32_t step_tokens(const fs_batcher *b, const fs_lane_state *l)
{
    double g = b->def.step_tokens;
    return (uint32_t)((uint64_t)(g * (double)(l->steps + 1)) - (uint64_t)(g * (double)l->steps));
}

/* A block for each decoding sequence that fills its last one in this step. */
static fs_status grow(fs_batcher *b, fs_lane_state *l, uint32_t step, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t k = 0; k < step && status == FS_OK; k++) {
        b->scratch.count = 0;
        for (uint32_t id = l->ring[(l->clock + k) % b->ring]; id != FS_NONE; id = b->seqs[id].ring_after)
            if (!fs_ids_add(&b->scratch, id))
                return fs_fail_nomem(err);
        for (uint32_t i = 0; i < b->scratch.count && status == FS_OK; i++) {
            fs_seq *s = &b->seqs[b->scratch.data[i]];
            uint64_t tokens = l->clock + k - s->offset, there = s->blocks + s->pinned * fs_kv_hash_blocks(b->kv);
            if (s->ends <= l->clock + k || fs_kv_blocks_of(b->kv, tokens + 1) <= there)
                continue; /* has all its tokens before the step is over; brought a block along */
            while (status == FS_OK && s->state == FS_SEQ_DECODE && !fs_kv_take(b->kv, 1))
                status = preempt(b, l->last, err); /* the least urgent one, perhaps itself */
            if (s->state == FS_SEQ_DECODE)
                s->blocks++;
        }
    }
    return status;
}

static fs_status add_chunk(fs_batcher *b, fs_lane_state *l, uint32_t id, uint32_t tokens, fs_batch *batch, fs_err *err)
{
    const fs_seq *s = &b->seqs[id];
    if (!FS_PUSH(&l->chunks, ((fs_chunk){id, tokens})))
        return fs_fail_nomem(err);
    batch->chunks++;
    batch->prefill_tokens += tokens;
    batch->prefill_pairs += (double)tokens * s->computed + (double)tokens * (tokens + 1.0) / 2;
    batch->prefill_context += s->computed + tokens;
    batch->outputs += s->computed + tokens == s->prompt;
    return FS_OK;
}

/* The rest of the budget for prompts that have begun. */
static fs_status continue_prompts(fs_batcher *b, fs_lane_state *l, uint32_t *budget, fs_batch *batch, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t i = 0; i<l->prefill.count && * budget> 0 && status == FS_OK; i++) {
        const fs_seq *s = &b->seqs[l->prefill.data[i]];
        uint32_t left = s->prompt - s->computed, tokens = left < *budget ? left : *budget;
        status = add_chunk(b, l, l->prefill.data[i], tokens, batch, err);
        *budget -= tokens;
    }
    return status;
}

/* How many a lane may run: lanes share what there is. */
static uint32_t room_of(const fs_batcher *b)
{
    uint32_t even = (b->running + b->waiting.count + b->def.lanes - 1) / b->def.lanes;
    return even < b->lane_seqs ? even : b->lane_seqs;
}

/* The first one that waits, whose cache is elsewhere: returning, where there are blocks for it and for a step: else it
 * might lose them again before it got anywhere. */
static fs_status call_back(fs_batcher *b, uint32_t id, fs_err *err)
{
    fs_seq *s = &b->seqs[id];
    uint32_t all = s->input + s->output - 1, next = s->swapped + 1 + b->def.draft_tokens;
    if (!take_copy(b, s, next < all ? next : all))
        return FS_OK;
    fs_batcher_unqueue(b);
    s->state = FS_SEQ_RETURNING;
    return fs_ids_add(&b->news.returning, id) ? FS_OK : fs_fail_nomem(err);
}

/* Waiting sequences, in their order, as long as there is room for the next one. Without chunks a prompt comes whole, and
 * one that is longer than the budget alone. */
static fs_status admit(fs_batcher *b, uint32_t lane, uint32_t *budget, fs_batch *batch, fs_err *err)
{
    fs_lane_state *l = &b->lanes[lane];
    fs_status status = FS_OK;
    uint32_t room = room_of(b);
    while (status == FS_OK && *budget > 0 && b->waiting.count > 0 && l->running < room) {
        uint32_t id = b->waiting.data[0];
        fs_seq *s = &b->seqs[id];
        if (s->swapped > 0) {
            status = call_back(b, id, err);
            if (s->state != FS_SEQ_RETURNING)
                break;
            continue;
        }
        if (!b->def.chunked && s->prompt > *budget && batch->chunks > 0)
            break;
        if (!take_prompt(b, s))
            break;
        fs_batcher_unqueue(b);
        uint32_t left = s->prompt - s->computed;
        uint32_t tokens = !b->def.chunked || left < *budget ? left : *budget;
        s->state = FS_SEQ_PREFILL;
        status = start(b, lane, id, err);
        if (status == FS_OK && !fs_ids_add(&l->prefill, id))
            status = fs_fail_nomem(err);
        if (status == FS_OK)
            status = add_chunk(b, l, id, tokens, batch, err);
        *budget -= tokens < *budget ? tokens : *budget;
    }
    return status;
}

static void forget_news(fs_batcher *b)
{
    b->news.started.count = b->news.first.count = b->news.fresh.count = 0;
    b->news.finished.count = b->news.preempted.count = b->news.again.count = b->news.returning.count = 0;
}

/* The decoding part; what is left of the budget. */
static fs_status compose_decodes(fs_batcher *b, fs_lane_state *l, fs_batch *batch, uint32_t *budget, fs_err *err)
{
    uint32_t step = step_tokens(b, l), verified = 1 + b->def.draft_tokens;
    fs_status status = grow(b, l, step, err);
    if (status != FS_OK || l->decodes == 0)
        return status;
    batch->decodes = l->decodes;
    batch->step = step;
    batch->verified = verified;
    batch->decode_context = l->context + (uint64_t)l->decodes * verified;
    uint64_t spent = (uint64_t)l->decodes * verified;
    batch->outputs = (uint32_t)spent;
    *budget = spent < *budget ? *budget - (uint32_t)spent : 0;
    return FS_OK;
}

/* May prompts compute now? With `balance`, once every rank has one, or one has nothing else to do, or they have waited long
 * enough. The count runs where no prompt is there, too, as in TensorRT-LLM (py_executor.py, _balance_adp_requests). */
static bool prompts_go(const fs_batcher *b, fs_lane_state *l)
{
    uint32_t room = b->lane_seqs - l->running, begin = b->waiting.count < room ? b->waiting.count : room;
    bool all_have = l->prefill.count + begin >= b->def.ranks, one_is_idle = l->decodes < b->def.ranks;
    if (b->def.balance > 0 && !all_have && !one_is_idle && ++l->without_prompts < b->def.balance)
        return false;
    l->without_prompts = 0;
    return true;
}

/* Decoding first, prompts from what it leaves of the budget. Who has just lost its blocks does not take them back while
 * others go on. */
static fs_status compose_mixed(fs_batcher *b, uint32_t lane, fs_batch *batch, fs_err *err)
{
    fs_lane_state *l = &b->lanes[lane];
    uint32_t budget = b->def.max_tokens, preempted = b->news.preempted.count;
    fs_status status = compose_decodes(b, l, batch, &budget, err);
    if (status != FS_OK || !prompts_go(b, l))
        return status;
    status = continue_prompts(b, l, &budget, batch, err);
    if (status == FS_OK && b->news.preempted.count == preempted)
        status = admit(b, lane, &budget, batch, err);
    return status;
}

/* Whole prompts first, in iterations of their own. */
static fs_status compose_apart(fs_batcher *b, uint32_t lane, fs_batch *batch, fs_err *err)
{
    uint32_t budget = b->def.max_tokens;
    fs_status status = prompts_go(b, &b->lanes[lane]) ? admit(b, lane, &budget, batch, err) : FS_OK;
    return status == FS_OK && batch->chunks == 0 ? compose_decodes(b, &b->lanes[lane], batch, &budget, err) : status;
}

fs_status fs_batcher_compose(fs_batcher *b, uint32_t lane, fs_batch *batch, bool *any, fs_err *err)
{
    fs_lane_state *l = &b->lanes[lane];
    fs_status status = FS_OK;
    bool again = true;
    *any = false;
    forget_news(b);
    l->chunks.count = 0;
    while (status == FS_OK && again) { /* where all that ran has lost its blocks, another may have them */
        uint32_t preempted = b->news.preempted.count;
        *batch = (fs_batch){0};
        status = take_landed(b, err);
        if (status == FS_OK)
            status = b->def.chunked ? compose_mixed(b, lane, batch, err) : compose_apart(b, lane, batch, err);
        *any = batch->decodes + batch->chunks > 0;
        again = !*any && b->news.preempted.count > preempted;
    }
    l->step = batch->step;
    return status;
}

/* The prompt is computed: what it has in common with others is kept for them, and it decodes or is done. */
static fs_status end_prompt(fs_batcher *b, uint32_t lane, uint32_t id, fs_err *err)
{
    fs_seq *s = &b->seqs[id];
    uint64_t blocks = 0;
    uint32_t whole = fs_kv_hash_blocks(b->kv) > 0 ? s->n_hashes : 0;
    fs_status status = fs_kv_store(b->kv, s->hashes + s->pinned, whole - s->pinned, &blocks, err);
    if (status != FS_OK)
        return status;
    s->pinned = whole;
    s->blocks -= blocks;
    if (!fs_ids_add(s->produced == 0 ? &b->news.first : &b->news.again, id))
        return fs_fail_nomem(err);
    s->produced++;
    if (b->def.holds || s->produced >= s->output)
        return finish(b, id, err);
    fs_ids_remove(&b->lanes[lane].prefill, id);
    return begin_decoding(b, lane, id, err);
}

static fs_status end_decodes(fs_batcher *b, fs_lane_state *l, fs_err *err)
{
    fs_status status = FS_OK;
    l->context += (uint64_t)l->decodes * l->step;
    l->clock += l->step;
    l->steps++;
    for (uint32_t i = 0; i < l->fresh.count; i++) {
        b->seqs[l->fresh.data[i]].fresh = false;
        if (!fs_ids_add(&b->news.fresh, l->fresh.data[i]))
            return fs_fail_nomem(err);
    }
    l->fresh.count = 0;
    while (status == FS_OK && l->ends.count > 0 && b->seqs[l->ends.data[0]].ends <= l->clock)
        status = finish(b, l->ends.data[0], err);
    return status;
}

fs_status fs_batcher_finish(fs_batcher *b, uint32_t lane, fs_err *err)
{
    fs_lane_state *l = &b->lanes[lane];
    forget_news(b);
    fs_status status = l->step > 0 ? end_decodes(b, l, err) : FS_OK;
    for (uint32_t i = 0; i < l->chunks.count && status == FS_OK; i++) {
        fs_seq *s = &b->seqs[l->chunks.data[i].id];
        s->computed += l->chunks.data[i].tokens;
        if (s->computed == s->prompt)
            status = end_prompt(b, lane, l->chunks.data[i].id, err);
    }
    l->step = 0;
    l->chunks.count = 0;
    return status;
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

const fs_batcher_news *fs_batcher_news_of(const fs_batcher *b)
{
    return &b->news;
}

const fs_chunk *fs_batcher_chunks(const fs_batcher *b, uint32_t lane, uint32_t *n)
{
    *n = b->lanes[lane].chunks.count;
    return b->lanes[lane].chunks.data;
}

uint32_t fs_batcher_waiting(const fs_batcher *b)
{
    return b->waiting.count + b->landed.count - b->landed_next;
}

uint32_t fs_batcher_running(const fs_batcher *b)
{
    return b->running;
}

bool fs_batcher_may_run(const fs_batcher *b, uint32_t lane)
{
    return b->lanes[lane].running > 0 || fs_batcher_waiting(b) > 0;
}
