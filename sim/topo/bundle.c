/* bundle.c - bundle a topology, and ask what it stands for. See bundle.h; bundle_segments.c cuts it, bundle_classes.c
 * finds who is alike, bundle_build.c makes the new one.
 *
 * Cost: O(units + cables) for a few rounds, and sorts of the cables of each device; answers O(log runs). */
#include "topo/bundling.h"

fs_status fs_topo_bundle(const fs_topo *whole, fs_topo **bundled, fs_err *err)
{
    fs_arena *arena = fs_arena_new();
    fs_topo *topo = arena ? fs_arena_alloc(arena, 1, sizeof *topo) : NULL;
    fs_bundling b = {.whole = whole, .arena = arena};
    fs_status status = topo ? fs_bundle_segments(&b, err) : fs_fail_nomem(err);
    if (status == FS_OK)
        status = fs_bundle_classes(&b, err);
    if (status == FS_OK) {
        *topo = *whole; /* parts, figures and faults are the same */
        topo->arena = arena;
        status = fs_bundle_build(&b, topo, err);
    }
    fs_free(b.segments.data);
    fs_free(b.moulds.data);
    if (status == FS_OK)
        *bundled = topo;
    else if (arena)
        fs_arena_free(arena);
    return status;
}

/* ---- devices ----------------------------------------------------------------------------------------------------- */

/* The class of a bundled device in its mould. */
static uint32_t class_at(const fs_topo *topo, uint32_t device, fs_where *at)
{
    *at = fs_topo_where(topo, device);
    return topo->bundle->segments[at->run - topo->runs].first_class + at->local;
}

uint32_t fs_bundle_devices(const fs_topo *topo, uint32_t device)
{
    if (topo->bundle == NULL)
        return 1;
    fs_where at;
    uint32_t c = class_at(topo, device, &at);
    const fs_mould *m = &topo->bundle->moulds[topo->bundle->segments[at.run - topo->runs].mould];
    return m->begin[c + 1] - m->begin[c];
}

uint32_t fs_bundle_device(const fs_topo *topo, uint32_t device, uint32_t i)
{
    if (topo->bundle == NULL)
        return device;
    fs_where at;
    uint32_t c = class_at(topo, device, &at);
    const fs_segment *s = &topo->bundle->segments[at.run - topo->runs];
    const fs_mould *m = &topo->bundle->moulds[s->mould];
    uint32_t local = m->members[m->begin[c] + i];
    return m->loose ? m->ids[local] : s->first_device + at.copy * s->n_devices + local;
}

uint32_t fs_bundle_of_device(const fs_topo *topo, uint32_t whole_device)
{
    const fs_bundle *b = topo->bundle;
    return b ? fs_bundled_id(b->segments, b->n_segments, b->moulds, whole_device) : whole_device;
}

/* ---- links ------------------------------------------------------------------------------------------------------- */

/* The map that knows a bundled link; its number there; the first link of the whole topology that the map speaks of. */
static const fs_bundle_map *map_of(const fs_topo *topo, uint32_t link, uint32_t *number, uint32_t *whole)
{
    const fs_bundle *b = topo->bundle;
    if (link >= topo->first_cable) {
        *number = link - topo->first_cable;
        *whole = b->whole->first_cable;
        return &b->cables;
    }
    uint32_t at = fs_topo_run_of_link(topo, link);
    const fs_topo_run *run = &topo->runs[at];
    const fs_segment *s = &b->segments[at];
    uint32_t offset = link - run->first_link, copy = offset / run->unit->n_links;
    *number = offset - copy * run->unit->n_links;
    *whole = s->first_link + copy * s->n_links;
    return &b->moulds[s->mould].links;
}

uint32_t fs_bundle_links(const fs_topo *topo, uint32_t link)
{
    if (topo->bundle == NULL)
        return 1;
    uint32_t number, whole;
    const fs_bundle_map *map = map_of(topo, link, &number, &whole);
    return map->begin[number / 2 + 1] - map->begin[number / 2];
}

uint32_t fs_bundle_link(const fs_topo *topo, uint32_t link, uint32_t i)
{
    if (topo->bundle == NULL)
        return link;
    uint32_t number, whole;
    const fs_bundle_map *map = map_of(topo, link, &number, &whole);
    return whole + (map->members[map->begin[number / 2] + i] ^ (number & 1u));
}

uint32_t fs_bundle_of_link(const fs_topo *topo, uint32_t whole_link)
{
    const fs_bundle *b = topo->bundle;
    if (b == NULL)
        return whole_link;
    if (whole_link >= b->whole->first_cable) {
        uint32_t number = whole_link - b->whole->first_cable;
        return topo->first_cable + (b->cables.of[number / 2] ^ (number & 1u));
    }
    uint32_t low = 0, high = b->n_segments;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (b->segments[middle].first_link <= whole_link)
            low = middle;
        else
            high = middle;
    }
    const fs_segment *s = &b->segments[low];
    const fs_topo_run *run = &topo->runs[low];
    uint32_t offset = whole_link - s->first_link, copy = offset / s->n_links, number = offset - copy * s->n_links;
    return run->first_link + copy * run->unit->n_links + (b->moulds[s->mould].links.of[number / 2] ^ (number & 1u));
}
