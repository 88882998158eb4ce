/* fill.c - max-min fair rates, changed where they change and nowhere else.
 *
 * State: every resource has a level. A full resource lets no transfer run faster than its level, and some run at it;
 * the level of one that is not full is infinite. A transfer runs at the lowest level that it crosses. The levels that
 * are consistent,
 *     sum over transfers of coefficient x min(level(r), rate that the others allow) = capacity(r)  where level is finite,
 * are the max-min fair ones, and there is one such state (Bertsekas and Gallager, "Data Networks", 1992, section 6.5.2;
 * Ros-Giralt et al., "On the Bottleneck Structure of Congestion-Controlled Networks", SIGMETRICS 2020, call the order
 * among levels the bottleneck structure: a level depends on lower ones only).
 *
 * So a change travels upwards, and is followed as changes of shortest paths are (Ramalingam and Reps, "An Incremental
 * Algorithm for a Generalization of the Shortest-Path Problem", J. Algorithms 21, 1996): resources whose level is wrong
 * wait in a queue under the lowest level at which that may show. The first of them is put right:
 *   - its level is too high: it is lowered, with the transfers above it, and is final;
 *   - its level is too low: it is raised as if those that it holds were held by nobody else; each runs on to the next
 *     level that it crosses.
 * The transfers that changed change the loads of what they cross; where that is full, or becomes so, it is queued.
 *
 * Invariants: the lowest level in the queue never falls, so below it all is final; a level is lowered once
 * in a solve at most, and raised only while transfers leave it or after a lowering nearby, so it ends whatever rounding
 * does. Levels within rounding of each other are the same, so what does not change keeps its rate and end bit for bit.
 *
 * Cost: O(shares of the transfers that change, times how often; shares at the full resources that they cross; queue),
 * and O(pattern) for a transfer that shares nothing. Whatever is not full costs O(1) a change.
 *
 * Shares looked at an event, measured with bench/engine.c on 98,304 hashed flows of random sizes and on 256 rings of 1,000
 * links: 36 and 1,019. Rejected: growing a region of transfers that are filled again, the rest held fixed, until nobody
 * outside objects: 59 and 23,071, as each round looks at all of the region; filling the component that the event
 * is connected to: 982 transfers and links on 16,384 of the flows, and more with every flow. */
#include "engine/fluid_state.h"

#include <float.h>
#include <math.h>

/* Relative. Levels and loads that are equal on paper come out some roundings apart. */
static const double SAME = 4 * DBL_EPSILON;
/* A load this near its capacity is the capacity: sums of many shares round more often than one level does. */
static const double FULL = 1e-14;
/* Loads below this share of the capacity may be what rounding left of larger ones: they are summed again. */
static const double LOST_DIGITS = 1e-9;
/* B/s. Nothing is faster, so that sums of rates stay finite. */
static const double RATE_MAX = 1e300;

/* fmin and fmax are calls, for the sake of NaN; there is none here. */
static double smaller(double a, double b)
{
    return a < b ? a : b;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static bool overloaded(const fs_resource *r)
{
    return r->load + r->load_low > r->capacity * (1 + SAME);
}

/* ---- rates ---- */

/* A transfer gets a rate: its uses, the loads of what it crosses, and what may be wrong there now. `except` is being
 * dealt with. */
static void set_rate(fs_fluid *fluid, uint32_t slot, double rate, uint32_t except)
{
    fs_slot *s = &fluid->slots[slot];
    fs_use *uses = &fluid->uses[s->first_use];
    double old = uses[0].rate;
    for (uint32_t i = 0; i < s->n_uses; i++) {
        fs_resource *r = &fluid->resources[uses[i].resource];
        bool look = r->level < (double)INFINITY || overloaded(r);
        fs_add_load(r, uses[i].coefficient * rate);
        fs_add_load(r, -(uses[i].coefficient * old));
        uses[i].rate = rate;
        if (old == r->level)
            fs_let_go(r, uses[i].coefficient);
        if (rate == r->level)
            fs_hold(r, uses[i].coefficient);
        fs_mark_touched(fluid, uses[i].resource);
        if ((look || overloaded(r)) && uses[i].resource != except && !r->sealed)
            fs_mark_stale(fluid, uses[i].resource, rate < old ? STALE_LOWERED : STALE_RAISED);
    }
    if (!s->changed) {
        s->changed = true;
        fluid->changed[fluid->n_changed++] = slot;
    }
    fluid->count.solve_visits += s->n_uses;
}

/* A transfer that shares nothing runs at the capacity of its narrowest resource. */
static void set_alone(fs_fluid *fluid, uint32_t slot, double rate)
{
    fs_slot *s = &fluid->slots[slot];
    for (uint32_t i = 0; i < s->n_uses; i++) {
        fs_use *u = &fluid->uses[s->first_use + i];
        fs_resource *r = &fluid->resources[u->resource];
        u->rate = rate;
        r->load = u->coefficient * rate;
        r->load_low = 0;
        r->level = r->capacity / u->coefficient == rate ? rate : (double)INFINITY;
        r->held = 0;
        r->n_held = 0;
        if (r->level == rate)
            fs_hold(r, u->coefficient);
        fs_mark_touched(fluid, u->resource);
    }
    s->changed = true;
    fluid->changed[fluid->n_changed++] = slot;
    fluid->count.solve_visits += s->n_uses;
}

/* The first rate of a transfer: the lowest level that it crosses; where there is none, twice what its narrowest
 * resource can do, so that one is overloaded and finds its level. */
static void place(fs_fluid *fluid, uint32_t slot)
{
    const fs_slot *s = &fluid->slots[slot];
    bool alone = true;
    double bound = RATE_MAX, level = INFINITY;
    for (uint32_t i = 0; i < s->n_uses; i++) {
        const fs_use *u = &fluid->uses[s->first_use + i];
        const fs_resource *r = &fluid->resources[u->resource];
        alone = alone && r->n_uses == 1;
        bound = smaller(bound, r->capacity / u->coefficient);
        level = smaller(level, r->level);
    }
    if (alone)
        set_alone(fluid, slot, bound);
    else
        set_rate(fluid, slot, smaller(level, 2 * bound), FS_NONE);
}

/* ---- levels ---- */

/* The level that fills the resource, if transfers that it holds are held by nobody else. Newton's method on
 *     sum of coefficient x min(level, rate) = capacity:
 * concave in the level, so after the first step it comes from below, and each further one leaves some transfer behind. */
static double level_called_for(fs_fluid *fluid, fs_resource *r)
{
    if (r->capacity == 0)
        return 0;
    bool first = r->level < (double)INFINITY;
    double threshold = first ? r->level : fluid->floor;
    for (;; first = false) {
        double used = 0, weight = 0, below = 0, above = INFINITY;
        for (uint32_t id = r->first_use; id != FS_NONE; id = fluid->uses[id].next) {
            const fs_use *u = &fluid->uses[id];
            if (u->rate < threshold) {
                used += u->coefficient * u->rate;
                below = larger(below, u->rate);
            } else {
                weight += u->coefficient;
                if (u->rate < r->level)
                    above = smaller(above, u->rate);
            }
        }
        fluid->count.solve_visits += r->n_uses;
        if (first)
            r->held = weight;
        if (weight == 0) {
            if (used <= r->capacity * (1 + SAME))
                return (double)INFINITY;
            if (!first)
                return fluid->floor; /* rounding: all is final, and an ulp too much */
            threshold = fluid->floor;
            continue;
        }
        double level = larger((r->capacity - used) / weight, fluid->floor);
        if (level <= above && (level >= below || !first))
            return level;
        threshold = level;
    }
}

/* The lowest level at which it may show that the level of a resource is wrong; INFINITY: it is right. O(1): a level that
 * holds transfers of weight w is right at level + (capacity - load) / w or, where that is lower, not below it. */
static double shows_at(const fs_fluid *fluid, const fs_resource *r)
{
    if (r->capacity == 0)
        return r->level > 0 ? fluid->floor : (double)INFINITY;
    if (r->level == (double)INFINITY || r->n_held == 0)
        return overloaded(r) ? fluid->floor : (double)INFINITY;
    double spare = r->capacity - r->load - r->load_low;
    if (fabs(spare) <= SAME * r->capacity)
        return (double)INFINITY;
    double level = r->level;
    if (spare < 0) /* `held` is a running sum: where rounding left nothing of it, it bounds nothing */
        level = r->held > 0 ? level + spare / r->held : 0;
    return larger(level, fluid->floor);
}

/* A resource that a change has reached. */
static void look_at(fs_fluid *fluid, uint32_t id)
{
    fs_resource *r = &fluid->resources[id];
    bool lowered = r->stale == STALE_LOWERED;
    r->stale = STALE_NOT;
    if (r->sealed)
        return;
    if (r->n_held == 0 && r->capacity > 0 && !overloaded(r))
        r->level = INFINITY;
    double key = shows_at(fluid, r);
    uint32_t at = fluid->queue.position[id];
    if (key == (double)INFINITY) {
        fs_heap_drop(&fluid->queue, id);
        return;
    }
    r->target = (double)NAN;
    if (lowered && at != FS_NONE && fluid->queue.events[at].time_s > key)
        return; /* lower rates elsewhere: its level can only be higher than was thought */
    fs_heap_put(&fluid->queue, id, key, id);
}

/* Lower the level: what is faster follows. */
static void lower(fs_fluid *fluid, uint32_t id, double level)
{
    fs_resource *r = &fluid->resources[id];
    r->level = level;
    r->sealed = true;
    r->held = 0;
    r->n_held = 0;
    fs_mark_touched(fluid, id); /* fs_fill opens the seal */
    for (uint32_t u = r->first_use; u != FS_NONE; u = fluid->uses[u].next) {
        if (fluid->uses[u].rate > level)
            set_rate(fluid, fluid->uses[u].slot, level, id);
        else if (fluid->uses[u].rate == level)
            fs_hold(r, fluid->uses[u].coefficient);
    }
}

static double lowest_level(fs_fluid *fluid, uint32_t slot)
{
    const fs_slot *s = &fluid->slots[slot];
    double level = RATE_MAX;
    for (uint32_t i = 0; i < s->n_uses; i++)
        level = smaller(level, fluid->resources[fluid->uses[s->first_use + i].resource].level);
    fluid->count.solve_visits += s->n_uses;
    return level;
}

/* Raise the level: what it held goes on to the next level that it crosses. */
static void lift(fs_fluid *fluid, uint32_t id, double level)
{
    fs_resource *r = &fluid->resources[id];
    double old = r->level;
    r->level = level;
    r->held = 0;
    r->n_held = 0;
    for (uint32_t u = r->first_use; u != FS_NONE; u = fluid->uses[u].next) {
        if (fluid->uses[u].rate != old)
            continue;
        double rate = lowest_level(fluid, fluid->uses[u].slot);
        if (rate != old)
            set_rate(fluid, fluid->uses[u].slot, rate, id);
    }
    fs_mark_stale(fluid, id, STALE_RAISED);
}

/* Put the first of the queue right. */
static void take_first(fs_fluid *fluid)
{
    uint32_t id = fluid->queue.events[0].slot;
    fs_resource *r = &fluid->resources[id];
    fluid->floor = larger(fluid->floor, fluid->queue.events[0].time_s);
    if (r->target != r->target)
        r->target = level_called_for(fluid, r);
    double key = smaller(r->target, r->level);
    if (key > fluid->floor) { /* later than was thought */
        fs_heap_put(&fluid->queue, id, key, id);
        if (fluid->queue.events[0].slot != id)
            return;
        fluid->floor = key;
    }
    fs_heap_drop(&fluid->queue, id);
    if (r->target < r->level)
        lower(fluid, id, r->target);
    else if (r->target > r->level)
        lift(fluid, id, r->target);
}

/* ---- what follows from the new rates ---- */

static void apply_rate(fs_fluid *fluid, uint32_t slot)
{
    fs_slot *s = &fluid->slots[slot];
    double rate = fluid->uses[s->first_use].rate;
    s->changed = false;
    if (rate == s->rate) /* the remembered end time stays exact */
        return;
    s->remaining = larger(0, s->remaining - s->rate * (fluid->now_s - s->since_s));
    s->since_s = fluid->now_s;
    s->rate = rate;
    double end_s = rate > 0 ? fluid->now_s + s->remaining / rate : INFINITY;
    if (end_s < INFINITY)
        fs_heap_put(&fluid->heap, slot, end_s, s->sequence);
    else
        fs_heap_drop(&fluid->heap, slot);
}

static double settled_load(const fs_fluid *fluid, const fs_resource *r)
{
    double load = r->load + r->load_low;
    if (load <= r->capacity * LOST_DIGITS) {
        load = 0;
        for (uint32_t u = r->first_use; u != FS_NONE; u = fluid->uses[u].next)
            load += fluid->uses[u].coefficient * fluid->uses[u].rate;
    }
    return load >= r->capacity * (1 - FULL) ? r->capacity : load;
}

static void apply_load(fs_fluid *fluid, uint32_t id, const fs_engine_calls *calls)
{
    fs_resource *r = &fluid->resources[id];
    fs_resource_log *log = &fluid->logs[id];
    double load = settled_load(fluid, r);
    r->touched = false;
    r->sealed = false;
    if (load == log->load)
        return;
    if (log->load == 0)
        log->busy_since_s = fluid->now_s;
    else if (load == 0)
        log->use.busy_s += fluid->now_s - log->busy_since_s;
    log->load = load;
    log->use.peak = larger(log->use.peak, load);
    if (calls->load)
        calls->load(calls->context, id, load, fluid->now_s);
}

void fs_fill(fs_fluid *fluid, const fs_engine_calls *calls)
{
    uint64_t visits = fluid->count.solve_visits;
    fluid->floor = 0;
    for (uint32_t i = 0; i < fluid->n_fresh; i++) {
        fs_slot *s = &fluid->slots[fluid->fresh[i]];
        s->listed = false;
        if (s->kind == SLOT_MOVING)
            place(fluid, fluid->fresh[i]);
    }
    fluid->n_fresh = 0;
    for (;;) {
        for (uint32_t i = 0; i < fluid->n_stale; i++)
            look_at(fluid, fluid->stale[i]);
        fluid->n_stale = 0;
        if (fluid->queue.count == 0)
            break;
        take_first(fluid);
    }
    for (uint32_t i = 0; i < fluid->n_changed; i++)
        apply_rate(fluid, fluid->changed[i]);
    fluid->n_changed = 0;
    for (uint32_t i = 0; i < fluid->n_touched; i++)
        apply_load(fluid, fluid->touched[i], calls);
    fluid->n_touched = 0;
    fluid->count.solves += fluid->count.solve_visits > visits;
}
