/* fill.c - progressive filling, in the part of the system that has changed.
 *
 * Max-min fairness is local: a rate depends only on transfers that are connected to it through shared resources. So
 * from each dirty resource the connected component is gathered and solved alone; the rest keeps its rates and its
 * end times bit for bit.
 *
 * Filling (Bertsekas and Gallager, "Data Networks", 1992, section 6.5.2, with coefficients): all open transfers
 * rise at one level. Resource r is full at level spare(r) / weight(r), where weight is the sum of coefficients of its
 * open transfers; the resource that is full first freezes them at that level, and their load is taken off the other
 * resources. Such a level never falls when another resource freezes first, so a heap of levels may be stale: a popped
 * entry whose level has risen meanwhile is pushed back.
 *
 * Invariants: each pop freezes transfers or raises a stale entry, and an entry is stale at most once per
 * frozen transfer, so it ends whatever the rounding does. Cost: O((uses + resources) log resources) of the component;
 * O(pattern) for a transfer that shares nothing. */
#include "engine/fluid_state.h"

#include <math.h>

/* Once cancellation may have eaten this share of a running difference, it is summed again from its terms. */
static const double LOST_DIGITS = 1e-6;

typedef struct part {
    uint32_t n_resources, n_slots;
} part;

/* fmin and fmax are calls, for the sake of NaN; there is none here. */
static double smaller(double a, double b)
{
    return a < b ? a : b;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static void see_resource(fs_fluid *fluid, part *p, uint32_t id)
{
    fs_resource *r = &fluid->resources[id];
    if (r->stamp == fluid->stamp)
        return;
    r->stamp = fluid->stamp;
    r->spare = r->capacity;
    r->weight = 0;
    r->new_load = 0;
    r->open = 0;
    fluid->part_resources[p->n_resources++] = id;
}

static void see_slot(fs_fluid *fluid, part *p, uint32_t id)
{
    fs_slot *s = &fluid->slots[id];
    if (s->stamp == fluid->stamp)
        return;
    s->stamp = fluid->stamp;
    s->level = -1;
    fluid->part_slots[p->n_slots++] = id;
    for (uint32_t u = s->first_use; u != FS_NONE; u = fluid->uses[u].sibling) {
        see_resource(fluid, p, fluid->uses[u].resource);
        fs_resource *r = &fluid->resources[fluid->uses[u].resource];
        r->weight += fluid->uses[u].coefficient;
        r->open++;
    }
}

/* All that is connected to a dirty resource. */
static part gather(fs_fluid *fluid, uint32_t seed)
{
    part p = {0};
    see_resource(fluid, &p, seed);
    for (uint32_t i = 0; i < p.n_resources; i++)
        for (uint32_t u = fluid->resources[fluid->part_resources[i]].first_use; u != FS_NONE; u = fluid->uses[u].next)
            see_slot(fluid, &p, fluid->uses[u].slot);
    return p;
}

/* ---- the heap of levels: binary, minimum first, ties by resource ---- */

static bool lower(fs_fill_entry a, fs_fill_entry b)
{
    return a.level < b.level || (a.level == b.level && a.resource < b.resource);
}

static void sink(fs_fill_entry *levels, uint32_t count, uint32_t at, fs_fill_entry entry)
{
    for (uint64_t child; (child = 2 * (uint64_t)at + 1) < count; at = (uint32_t)child) {
        if (child + 1 < count && lower(levels[child + 1], levels[child]))
            child++;
        if (!lower(levels[child], entry))
            break;
        levels[at] = levels[child];
    }
    levels[at] = entry;
}

/* ---- filling ---- */

/* Weight and spare from their terms: running differences lose digits when most of their value has gone. */
static void sum_again(const fs_fluid *fluid, fs_resource *r)
{
    double weight = 0, used = 0;
    for (uint32_t u = r->first_use; u != FS_NONE; u = fluid->uses[u].next) {
        const fs_slot *s = &fluid->slots[fluid->uses[u].slot];
        if (s->level < 0)
            weight += fluid->uses[u].coefficient;
        else
            used += fluid->uses[u].coefficient * s->level;
    }
    r->weight = weight;
    r->spare = r->capacity - used;
}

static double level_of(const fs_fluid *fluid, fs_resource *r)
{
    if (r->weight < LOST_DIGITS * r->full_weight || r->spare < LOST_DIGITS * r->capacity)
        sum_again(fluid, r);
    return r->spare > 0 ? r->spare / r->weight : 0;
}

static void freeze(fs_fluid *fluid, uint32_t slot, double level)
{
    fs_slot *s = &fluid->slots[slot];
    s->level = level;
    for (uint32_t u = s->first_use; u != FS_NONE; u = fluid->uses[u].sibling) {
        fs_resource *r = &fluid->resources[fluid->uses[u].resource];
        double load = fluid->uses[u].coefficient * level;
        r->weight -= fluid->uses[u].coefficient;
        r->spare -= load;
        r->new_load += load;
        r->open--;
    }
}

static void fill(fs_fluid *fluid, part p)
{
    fs_fill_entry *levels = fluid->levels;
    uint32_t count = 0;
    for (uint32_t i = 0; i < p.n_resources; i++) {
        uint32_t id = fluid->part_resources[i];
        fs_resource *r = &fluid->resources[id];
        r->full_weight = r->weight;
        if (r->open > 0)
            levels[count++] = (fs_fill_entry){.level = r->capacity / r->weight, .resource = id};
    }
    for (uint32_t i = count / 2; i-- > 0;)
        sink(levels, count, i, levels[i]);
    while (count > 0) {
        fs_fill_entry top = levels[0];
        fs_resource *r = &fluid->resources[top.resource];
        double level = r->open > 0 ? level_of(fluid, r) : 0;
        if (level > top.level) {
            sink(levels, count, 0, (fs_fill_entry){.level = level, .resource = top.resource});
            continue;
        }
        for (uint32_t u = r->first_use; u != FS_NONE && r->open > 0; u = fluid->uses[u].next)
            if (fluid->slots[fluid->uses[u].slot].level < 0)
                freeze(fluid, fluid->uses[u].slot, level);
        count--;
        sink(levels, count, 0, levels[count]);
    }
}

/* A transfer that shares nothing runs at the capacity of its narrowest resource. */
static void fill_alone(fs_fluid *fluid, uint32_t slot)
{
    double level = INFINITY;
    for (uint32_t u = fluid->slots[slot].first_use; u != FS_NONE; u = fluid->uses[u].sibling)
        level = smaller(level, fluid->resources[fluid->uses[u].resource].capacity / fluid->uses[u].coefficient);
    freeze(fluid, slot, level);
}

/* ---- what follows from the new rates ---- */

static void apply_rate(fs_fluid *fluid, uint32_t slot)
{
    fs_slot *s = &fluid->slots[slot];
    if (s->level == s->rate) /* the remembered end time stays exact */
        return;
    s->remaining = larger(0, s->remaining - s->rate * (fluid->now_s - s->since_s));
    s->since_s = fluid->now_s;
    s->rate = s->level;
    double end_s = s->rate > 0 ? fluid->now_s + s->remaining / s->rate : INFINITY;
    if (end_s < INFINITY)
        fs_heap_put(&fluid->heap, slot, end_s, s->sequence);
    else
        fs_heap_drop(&fluid->heap, slot);
}

static void apply_load(fs_fluid *fluid, uint32_t id, const fs_engine_calls *calls)
{
    fs_resource *r = &fluid->resources[id];
    double load = smaller(r->new_load, r->capacity); /* rounding may have put it an ulp above */
    if (load == r->load)
        return;
    if (r->load == 0)
        r->busy_since_s = fluid->now_s;
    else if (load == 0)
        r->use.busy_s += fluid->now_s - r->busy_since_s;
    r->load = load;
    r->use.peak = larger(r->use.peak, load);
    if (calls->load)
        calls->load(calls->context, id, load, fluid->now_s);
}

/* Kernels by themselves on their SM pool are most of what a trace has: a transfer that is alone on its only resource
 * needs no gathering. Returns whether it was one. */
static bool fill_lone(fs_fluid *fluid, uint32_t id, const fs_engine_calls *calls)
{
    fs_resource *r = &fluid->resources[id];
    if (r->first_use == FS_NONE)
        return false;
    const fs_use *use = &fluid->uses[r->first_use];
    if (use->next != FS_NONE || use->sibling != FS_NONE || fluid->slots[use->slot].first_use != r->first_use)
        return false;
    fluid->slots[use->slot].level = r->capacity / use->coefficient;
    r->new_load = use->coefficient * fluid->slots[use->slot].level;
    apply_rate(fluid, use->slot);
    apply_load(fluid, id, calls);
    fluid->count.solves++;
    fluid->count.solve_visits += 2; /* the transfer and the resource */
    return true;
}

void fs_fill(fs_fluid *fluid, const fs_engine_calls *calls)
{
    fluid->stamp++;
    for (uint32_t i = 0; i < fluid->n_dirty; i++) {
        fs_resource *seed = &fluid->resources[fluid->dirty[i]];
        seed->dirty = false;
        if (seed->stamp == fluid->stamp || fill_lone(fluid, fluid->dirty[i], calls))
            continue;
        part p = gather(fluid, fluid->dirty[i]);
        if (p.n_slots == 1)
            fill_alone(fluid, fluid->part_slots[0]);
        else if (p.n_slots > 1)
            fill(fluid, p);
        for (uint32_t j = 0; j < p.n_slots; j++)
            apply_rate(fluid, fluid->part_slots[j]);
        for (uint32_t j = 0; j < p.n_resources; j++)
            apply_load(fluid, fluid->part_resources[j], calls);
        fluid->count.solves += p.n_slots > 0;
        fluid->count.solve_visits += p.n_slots + p.n_resources;
    }
    fluid->n_dirty = 0;
}
