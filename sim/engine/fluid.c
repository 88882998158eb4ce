/* fluid.c - slots, events and integrals of the fluid model; see fluid.h.
 *
 * Life of a transfer: WAITING (its latency, an event in the heap) -> MOVING (uses in the lists of its resources, rate
 * from fill.c, its end in the heap) -> done. Progress is lazy: `remaining` is brought up to date only when the rate
 * changes, and the end is the remembered time, never a test of `remaining`, so rounding cannot hold anything up.
 *
 * Everything that happens at one time is delivered before rates are solved once: a start and an end only mark
 * their resources dirty.
 *
 * Invariants: a slot has an event unless it is free, carried, or moving at rate 0; uses exist exactly for
 * MOVING slots; resources[r].dirty iff r is among dirty[0 .. n_dirty). Cost: O(log slots + pattern) an event beside
 * fill.c. */
#include "engine/fluid_state.h"

#include "base/mem.h"

#include <math.h>

enum {
    FIRST_SLOTS = 64,
    SLOTS_MAX = 1 << 28 /* timers and transfers at once: 2^28, some 40 GB, so sizes never overflow */
};

/* Ends that are equal on paper may come out some ulps apart. Events this near (relative to the time) are one time:
 * else the gap would show as a burst of speed, in peaks and timelines, of those that end last. */
static const double SAME_TIME = 1e-14;

/* ---- life ---- */

fs_status fs_fluid_new(const fs_engine_def *def, const fs_carrier *carrier, fs_fluid **fluid, fs_err *err)
{
    fs_fluid *f = fs_zalloc(1, sizeof *f);
    if (f == NULL)
        return fs_fail_nomem(err);
    f->patterns = def->patterns;
    f->max_events = def->max_events;
    f->n_resources = def->n_resources;
    if (carrier)
        f->carrier = *carrier;
    f->free_slot = FS_NONE;
    for (uint32_t i = 0; i < USE_SIZES; i++)
        f->free_uses[i] = FS_NONE;
    f->resources = fs_zalloc(def->n_resources, sizeof *f->resources);
    f->logs = fs_zalloc(def->n_resources, sizeof *f->logs);
    f->stale = fs_alloc(def->n_resources, sizeof *f->stale);
    f->touched = fs_alloc(def->n_resources, sizeof *f->touched);
    fs_status status = FS_OK;
    if (!f->resources || !f->logs || !f->stale || !f->touched)
        status = fs_fail_nomem(err);
    if (status == FS_OK)
        status = fs_heap_reserve(&f->queue, def->n_resources, err);
    if (status != FS_OK) {
        fs_fluid_free(f);
        return status;
    }
    for (uint32_t i = 0; i < def->n_resources; i++) {
        f->resources[i].capacity = def->capacity[i];
        f->resources[i].level = INFINITY;
        f->resources[i].first_use = FS_NONE;
    }
    *fluid = f;
    return FS_OK;
}

void fs_fluid_free(fs_fluid *fluid)
{
    if (fluid == NULL)
        return;
    fs_heap_release(&fluid->heap);
    fs_heap_release(&fluid->queue);
    fs_free(fluid->resources);
    fs_free(fluid->logs);
    fs_free(fluid->slots);
    fs_free(fluid->uses);
    fs_free(fluid->fresh);
    fs_free(fluid->changed);
    fs_free(fluid->stale);
    fs_free(fluid->touched);
    fs_free(fluid);
}

/* ---- pools ---- */

static fs_status grow_ids(uint32_t **ids, uint32_t wanted, fs_err *err)
{
    uint32_t *grown = fs_realloc(*ids, wanted, sizeof **ids);
    if (grown == NULL)
        return fs_fail_nomem(err);
    *ids = grown;
    return FS_OK;
}

static fs_status grow_slots(fs_fluid *fluid, fs_err *err)
{
    uint32_t wanted = fluid->slot_capacity ? fluid->slot_capacity * 2 : FIRST_SLOTS;
    if (wanted > SLOTS_MAX)
        return fs_fail(err, FS_E_SIM, "more than %d transfers and timers at once", SLOTS_MAX);
    fs_status status = fs_heap_reserve(&fluid->heap, wanted, err);
    if (status == FS_OK)
        status = grow_ids(&fluid->fresh, wanted, err);
    if (status == FS_OK)
        status = grow_ids(&fluid->changed, wanted, err);
    if (status != FS_OK)
        return status;
    fs_slot *slots = fs_realloc(fluid->slots, wanted, sizeof *slots);
    if (slots == NULL)
        return fs_fail_nomem(err);
    fluid->slots = slots;
    fluid->slot_capacity = wanted;
    return FS_OK;
}

/* A slot of a kind, with its number in the order of starts. */
static fs_status take_slot(fs_fluid *fluid, fs_slot_kind kind, uint64_t tag, uint32_t *id, fs_err *err)
{
    bool listed = false;
    if (fluid->free_slot != FS_NONE) {
        *id = fluid->free_slot;
        fluid->free_slot = fluid->slots[*id].first_use;
        listed = fluid->slots[*id].listed;
    } else {
        if (fluid->slots_made == fluid->slot_capacity) {
            fs_status status = grow_slots(fluid, err);
            if (status != FS_OK)
                return status;
        }
        *id = fluid->slots_made++;
    }
    fluid->slots[*id] =
        (fs_slot){.kind = (uint8_t)kind, .tag = tag, .sequence = fluid->next_sequence++, .listed = listed};
    return FS_OK;
}

static void give_slot(fs_fluid *fluid, uint32_t id)
{
    fluid->slots[id].kind = SLOT_FREE;
    fluid->slots[id].first_use = fluid->free_slot;
    fluid->free_slot = id;
}

/* The bytes of an ended transfer, exactly: coefficient x amount. */
static void end_moving(fs_fluid *fluid, uint32_t slot)
{
    fs_uses_unlink(fluid, slot, fluid->slots[slot].amount);
    fluid->n_moving--;
}

/* The carrier's rates are its own: a resource counts as busy while anything of the carrier crosses it. */
static void count_carried(fs_fluid *fluid, const fs_slot *s, bool starts)
{
    uint32_t count;
    const fs_share *row = fs_pattern_row(fluid->patterns, s->pattern, &count);
    for (uint32_t i = 0; i < count; i++) {
        fs_resource_log *log = &fluid->logs[row[i].resource];
        if (starts) {
            if (log->carried++ == 0)
                log->busy_since_s = fluid->now_s;
        } else {
            log->use.amount += row[i].coefficient * s->amount;
            if (--log->carried == 0)
                log->use.busy_s += fluid->now_s - log->busy_since_s;
        }
    }
}

/* ---- starts ---- */

/* Sorts out what a caller may have got wrong. *n_shares is how many the pattern has. */
static fs_status check_pattern(const fs_fluid *fluid, uint32_t pattern, uint32_t *n_shares, fs_err *err)
{
    if (pattern >= fs_pattern_count(fluid->patterns))
        return fs_fail(err, FS_E_SIM, "transfer along pattern %u, but there are %u patterns", pattern,
                       fs_pattern_count(fluid->patterns));
    uint32_t count;
    const fs_share *row = fs_pattern_row(fluid->patterns, pattern, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (row[i].resource >= fluid->n_resources)
            return fs_fail(err, FS_E_SIM, "pattern %u loads resource %u, but there are %u resources", pattern,
                           row[i].resource, fluid->n_resources);
        if (!(row[i].coefficient > 0 && row[i].coefficient < INFINITY))
            return fs_fail(err, FS_E_SIM, "pattern %u loads resource %u with coefficient %g, expected more than 0",
                           pattern, row[i].resource, row[i].coefficient);
    }
    *n_shares = count;
    return FS_OK;
}

static bool has_shares(const fs_fluid *fluid, uint32_t pattern)
{
    uint32_t count;
    fs_pattern_row(fluid->patterns, pattern, &count);
    return count > 0;
}

/* The latency is paid, and there is something to move. */
static fs_status begin_moving(fs_fluid *fluid, uint32_t slot, fs_err *err)
{
    uint32_t pattern = fluid->slots[slot].pattern, count;
    const fs_share *row = fs_pattern_row(fluid->patterns, pattern, &count);
    int carried = 0;
    fs_status status = FS_OK;
    if (fluid->carrier.carry)
        status = fluid->carrier.takes(fluid->carrier.context, pattern, &carried, err);
    if (status == FS_OK && !carried)
        status = fs_uses_reserve(fluid, count, err);
    if (status != FS_OK)
        return status;
    fs_slot *s = &fluid->slots[slot];
    fluid->n_moving++;
    if (carried) {
        s->kind = SLOT_CARRIED;
        count_carried(fluid, s, true);
        return fluid->carrier.carry(fluid->carrier.context, slot, pattern, s->amount, err);
    }
    s->kind = SLOT_MOVING;
    s->remaining = s->amount;
    s->since_s = fluid->now_s;
    fs_uses_link(fluid, slot, row, count);
    return FS_OK;
}

fs_status fs_fluid_transfer(fs_fluid *fluid, uint32_t pattern, double amount, double latency_s, uint64_t tag,
                            fs_err *err)
{
    if (!(amount >= 0 && amount < INFINITY))
        return fs_fail(err, FS_E_SIM, "transfer of %g bytes, expected 0 or more", amount);
    if (!(latency_s >= 0 && latency_s < INFINITY))
        return fs_fail(err, FS_E_SIM, "transfer with a latency of %g s, expected 0 or more", latency_s);
    uint32_t slot, n_shares;
    fs_status status = check_pattern(fluid, pattern, &n_shares, err);
    if (status == FS_OK)
        status = take_slot(fluid, SLOT_WAITING, tag, &slot, err);
    if (status != FS_OK)
        return status;
    fluid->slots[slot].amount = amount;
    fluid->slots[slot].pattern = pattern;
    fluid->count.transfers++;
    /* A carrier starts flows in its own time only. */
    if (latency_s == 0 && !fluid->carrier.carry && amount > 0 && n_shares > 0)
        return begin_moving(fluid, slot, err);
    fs_heap_put(&fluid->heap, slot, fluid->now_s + latency_s, fluid->slots[slot].sequence);
    return FS_OK;
}

fs_status fs_fluid_timer(fs_fluid *fluid, double delay_s, uint64_t tag, fs_err *err)
{
    if (!(delay_s >= 0 && delay_s < INFINITY))
        return fs_fail(err, FS_E_SIM, "timer of %g s, expected 0 or more", delay_s);
    uint32_t slot;
    fs_status status = take_slot(fluid, SLOT_TIMER, tag, &slot, err);
    if (status == FS_OK)
        fs_heap_put(&fluid->heap, slot, fluid->now_s + delay_s, fluid->slots[slot].sequence);
    return status;
}

void fs_fluid_set_capacity(fs_fluid *fluid, uint32_t resource, double capacity)
{
    if (fluid->resources[resource].capacity == capacity)
        return;
    fluid->resources[resource].capacity = capacity;
    fs_mark_stale(fluid, resource, STALE_RAISED);
}

/* ---- another way ---- */

/* What has moved counts for the old pattern; the rest is a transfer along the new one. */
static fs_status lead_elsewhere(fs_fluid *fluid, uint32_t slot, uint32_t pattern, fs_err *err)
{
    fs_slot *s = &fluid->slots[slot];
    double left = s->amount;
    if (s->kind == SLOT_MOVING)
        left = fmax(0, s->remaining - s->rate * (fluid->now_s - s->since_s));
    if (left > 0 && !has_shares(fluid, pattern) && has_shares(fluid, s->pattern))
        return fs_fail(err, FS_E_SIM, "no way is left for a transfer with %g bytes to move at %.9g s", left,
                       fluid->now_s);
    s->pattern = pattern;
    if (s->kind != SLOT_MOVING)
        return FS_OK;
    uint32_t count;
    const fs_share *row = fs_pattern_row(fluid->patterns, pattern, &count);
    fs_status status = left > 0 ? fs_uses_reserve(fluid, count, err) : FS_OK;
    if (status != FS_OK)
        return status;
    fs_uses_unlink(fluid, slot, s->amount - left);
    s->amount = left;
    s->remaining = left;
    s->since_s = fluid->now_s;
    if (left > 0)
        fs_uses_link(fluid, slot, row, count);
    else
        fs_heap_put(&fluid->heap, slot, fluid->now_s, s->sequence);
    return FS_OK;
}

fs_status fs_fluid_repattern(fs_fluid *fluid, uint32_t (*pattern_of)(void *context, uint64_t tag, uint32_t pattern),
                             void *context, fs_err *err)
{
    for (uint32_t slot = 0; slot < fluid->slots_made; slot++) {
        const fs_slot *s = &fluid->slots[slot];
        if (s->kind != SLOT_WAITING && s->kind != SLOT_MOVING)
            continue;
        uint32_t pattern = pattern_of(context, s->tag, s->pattern);
        if (pattern == s->pattern)
            continue;
        uint32_t n_shares;
        fs_status status = check_pattern(fluid, pattern, &n_shares, err);
        if (status == FS_OK)
            status = lead_elsewhere(fluid, slot, pattern, err);
        if (status != FS_OK)
            return status;
    }
    return FS_OK;
}

/* ---- events ---- */

void fs_fluid_settle(fs_fluid *fluid, const fs_engine_calls *calls)
{
    if (fluid->n_moving > fluid->count.peak_active)
        fluid->count.peak_active = fluid->n_moving;
    if (fluid->n_fresh + fluid->n_stale + fluid->n_touched > 0)
        fs_fill(fluid, calls);
}

double fs_fluid_next(const fs_fluid *fluid)
{
    return fluid->heap.count > 0 ? fluid->heap.events[0].time_s : INFINITY;
}

/* The slot has ended: free it, then tell, so that the callee may take it again. */
static fs_status end_slot(fs_fluid *fluid, uint32_t slot, const fs_engine_calls *calls, fs_err *err)
{
    if (fluid->max_events > 0 && fluid->count.events >= fluid->max_events)
        return fs_fail(err, FS_E_SIM, "stopped after %llu events at %.9g s: the limit of events is reached",
                       (unsigned long long)fluid->max_events, fluid->now_s);
    fluid->count.events++;
    uint64_t tag = fluid->slots[slot].tag;
    give_slot(fluid, slot);
    return calls->done(calls->context, tag, fluid->now_s, err);
}

fs_status fs_fluid_deliver(fs_fluid *fluid, double now_s, const fs_engine_calls *calls, fs_err *err)
{
    double until_s = now_s * (1 + SAME_TIME);
    fluid->now_s = now_s;
    while (fluid->heap.count > 0 && fluid->heap.events[0].time_s <= until_s) {
        uint32_t slot = fluid->heap.events[0].slot;
        const fs_slot *s = &fluid->slots[slot];
        fs_status status;
        fs_heap_drop(&fluid->heap, slot);
        if (s->kind == SLOT_WAITING && s->amount > 0 && has_shares(fluid, s->pattern)) {
            status = begin_moving(fluid, slot, err);
        } else {
            if (s->kind == SLOT_MOVING)
                end_moving(fluid, slot);
            status = end_slot(fluid, slot, calls, err);
        }
        if (status != FS_OK)
            return status;
    }
    return FS_OK;
}

fs_status fs_fluid_landed(fs_fluid *fluid, uint32_t slot, const fs_engine_calls *calls, fs_err *err)
{
    count_carried(fluid, &fluid->slots[slot], false);
    fluid->n_moving--;
    return end_slot(fluid, slot, calls, err);
}

void fs_fluid_observe(fs_fluid *fluid, uint32_t resource, double load, const fs_engine_calls *calls)
{
    fs_resource_log *log = &fluid->logs[resource];
    if (load == log->load)
        return;
    log->load = load;
    log->use.peak = fmax(log->use.peak, load);
    if (calls->load)
        calls->load(calls->context, resource, load, fluid->now_s);
}

fs_status fs_fluid_at_rest(const fs_fluid *fluid, fs_err *err)
{
    if (fluid->n_moving == 0)
        return FS_OK;
    for (uint32_t slot = 0; slot < fluid->slots_made; slot++) {
        const fs_slot *s = &fluid->slots[slot];
        if (s->kind != SLOT_MOVING && s->kind != SLOT_CARRIED)
            continue;
        uint32_t count;
        const fs_share *row = fs_pattern_row(fluid->patterns, s->pattern, &count);
        for (uint32_t i = 0; i < count; i++)
            if (fluid->resources[row[i].resource].capacity == 0)
                return fs_fail(
                    err, FS_E_SIM,
                    "standing still at %.9g s: %u of the transfers cannot move; the first needs resource %u, which "
                    "has no capacity",
                    fluid->now_s, fluid->n_moving, row[i].resource);
    }
    return fs_fail(err, FS_E_SIM, "standing still at %.9g s: %u of the transfers cannot move", fluid->now_s,
                   fluid->n_moving);
}

/* ---- questions ---- */

double fs_fluid_now(const fs_fluid *fluid)
{
    return fluid->now_s;
}

double fs_fluid_rate(const fs_fluid *fluid, uint64_t tag)
{
    for (uint32_t slot = 0; slot < fluid->slots_made; slot++)
        if (fluid->slots[slot].kind == SLOT_MOVING && fluid->slots[slot].tag == tag)
            return fluid->slots[slot].rate;
    return 0;
}

double fs_fluid_load(const fs_fluid *fluid, uint32_t resource)
{
    return fluid->logs[resource].load;
}

fs_resource_use fs_fluid_use(const fs_fluid *fluid, uint32_t resource)
{
    const fs_resource *r = &fluid->resources[resource];
    const fs_resource_log *log = &fluid->logs[resource];
    fs_resource_use use = log->use;
    if ((r->n_uses > 0 && log->load > 0) || log->carried > 0)
        use.busy_s += fluid->now_s - log->busy_since_s;
    for (uint32_t u = r->first_use; u != FS_NONE; u = fluid->uses[u].next) {
        const fs_slot *s = &fluid->slots[fluid->uses[u].slot];
        double left = fmax(0, s->remaining - s->rate * (fluid->now_s - s->since_s));
        use.amount += fluid->uses[u].coefficient * (s->amount - left);
    }
    return use;
}

fs_engine_counters fs_fluid_count(const fs_fluid *fluid)
{
    return fluid->count;
}
