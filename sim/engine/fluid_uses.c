/* fluid_uses.c - which transfers cross which resources; see fluid_state.h.
 *
 * A transfer takes its uses in one block, so that a change of its rate walks memory in order. Blocks have one of few
 * sizes (two to an octave: at most a third is waste), and freed ones are chained by size. Pools grow by doubling but
 * touch no memory before it is needed. Cost: O(shares). */
#include "base/mem.h"
#include "engine/fluid_state.h"

#include <math.h>

enum { FIRST_USES = 64, USES_MAX = 1 << 30 };

/* Number of the smallest block size that holds `count` uses, and that size: 1, 2, 3, 4, 6, 8, 12, 16, ... */
static uint32_t size_class(uint32_t count, uint32_t *size)
{
    uint32_t octave = 31 - (uint32_t)__builtin_clz(count); /* 2^octave <= count */
    uint32_t low = UINT32_C(1) << octave, middle = low + low / 2;
    if (count == low)
        *size = low;
    else
        *size = count <= middle ? middle : 2 * low;
    return 2 * octave + (count > low) + (count > middle);
}

fs_status fs_uses_reserve(fs_fluid *fluid, uint32_t count, fs_err *err)
{
    if (count > USES_MAX / 2)
        return fs_fail(err, FS_E_SIM, "transfers cross more than %d resources at once", USES_MAX);
    uint32_t size, class = size_class(count, &size);
    if (fluid->free_uses[class] != FS_NONE || fluid->use_capacity - fluid->uses_made >= size)
        return FS_OK;
    uint32_t wanted = fluid->use_capacity ? fluid->use_capacity : FIRST_USES;
    while (wanted - fluid->uses_made < size) {
        if (wanted >= USES_MAX)
            return fs_fail(err, FS_E_SIM, "transfers cross more than %d resources at once", USES_MAX);
        wanted *= 2;
    }
    fs_use *uses = fs_realloc(fluid->uses, wanted, sizeof *uses);
    if (uses == NULL)
        return fs_fail_nomem(err);
    fluid->uses = uses;
    fluid->use_capacity = wanted;
    return FS_OK;
}

static uint32_t take_block(fs_fluid *fluid, uint32_t count)
{
    uint32_t size, class = size_class(count, &size), first = fluid->free_uses[class];
    if (first != FS_NONE) {
        fluid->free_uses[class] = fluid->uses[first].next;
        return first;
    }
    first = fluid->uses_made;
    fluid->uses_made += size;
    return first;
}

static void give_block(fs_fluid *fluid, uint32_t first, uint32_t count)
{
    uint32_t size, class = size_class(count, &size);
    fluid->uses[first].next = fluid->free_uses[class];
    fluid->free_uses[class] = first;
}

void fs_uses_link(fs_fluid *fluid, uint32_t slot, const fs_share *row, uint32_t count)
{
    fs_slot *s = &fluid->slots[slot];
    s->first_use = take_block(fluid, count);
    s->n_uses = count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id = s->first_use + i;
        fs_resource *r = &fluid->resources[row[i].resource];
        fluid->uses[id] = (fs_use){.coefficient = row[i].coefficient,
                                   .slot = slot,
                                   .resource = row[i].resource,
                                   .next = r->first_use,
                                   .prev = FS_NONE};
        if (r->first_use != FS_NONE)
            fluid->uses[r->first_use].prev = id;
        r->first_use = id;
        r->n_uses++;
        if (r->level == 0)
            fs_hold(r, row[i].coefficient);
    }
    if (!s->listed) {
        s->listed = true;
        fluid->fresh[fluid->n_fresh++] = slot;
    }
}

void fs_uses_unlink(fs_fluid *fluid, uint32_t slot, double amount)
{
    fs_slot *s = &fluid->slots[slot];
    for (uint32_t i = 0; i < s->n_uses; i++) {
        const fs_use *u = &fluid->uses[s->first_use + i];
        fs_resource *r = &fluid->resources[u->resource];
        if (u->prev == FS_NONE)
            r->first_use = u->next;
        else
            fluid->uses[u->prev].next = u->next;
        if (u->next != FS_NONE)
            fluid->uses[u->next].prev = u->prev;
        if (u->rate == r->level)
            fs_let_go(r, u->coefficient);
        fs_add_load(r, -(u->coefficient * u->rate));
        if (--r->n_uses == 0) {
            r->load = 0;
            r->load_low = 0;
        }
        fs_mark_touched(fluid, u->resource);
        if (r->level < (double)INFINITY)
            fs_mark_stale(fluid, u->resource, STALE_LOWERED);
        fluid->logs[u->resource].use.amount += u->coefficient * amount;
    }
    if (s->n_uses > 0)
        give_block(fluid, s->first_use, s->n_uses);
    s->n_uses = 0;
}
