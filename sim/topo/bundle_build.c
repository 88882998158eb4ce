/* bundle_build.c - the bundled topology, when the classes of switches are known. See bundle.h, bundling.h.
 *
 * Devices: one for each class, in the order of first members. Connections between the same two classes and of the same
 * colours become one with all their lanes. The maps between both topologies are made on the way.
 * Cost: a counting sort of cables, and sorts of those of one device; 40 bytes a cable meanwhile. */
#include "topo/bundling.h"
#include "topo/unit_index.h"

#include "base/index.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct maker {
    fs_bundling *b;
    fs_topo *topo;                /* the bundled one */
    FS_VEC(fs_link_shape) shapes; /* those of the whole topology first */
    fs_index shape_index;         /* of the others */
} maker;

/* ---- connections ------------------------------------------------------------------------------------------------- */

typedef struct item { /* a connection of the whole topology between bundled devices */
    uint32_t low, high, shape[2];
    uint64_t colour; /* from low to high */
    uint32_t from;   /* its number * 2, plus 1 where turned round */
    bool alone; /* of a switch that picks paths: not to be joined with others, nor to change its place among them */
} item;

static int compare_items(const void *left, const void *right)
{
    const item *a = left, *b = right;
    if (a->high != b->high)
        return a->high < b->high ? -1 : 1;
    for (int i = 0; i < 2 && !a->alone; i++)
        if (a->shape[i] != b->shape[i])
            return a->shape[i] < b->shape[i] ? -1 : 1;
    if (a->colour != b->colour && !a->alone)
        return a->colour < b->colour ? -1 : 1;
    return a->from < b->from ? -1 : 1;
}

static bool same_bundle(const item *a, const item *b)
{
    return !a->alone && a->low == b->low && a->high == b->high && a->shape[0] == b->shape[0] &&
           a->shape[1] == b->shape[1] && a->colour == b->colour;
}

/* By lower device, then as above; `sorted` gets them. False when out of memory. */
static bool sort_items(const item *items, uint32_t n, uint32_t n_devices, item *sorted)
{
    uint32_t *begin = fs_zalloc((size_t)n_devices + 1, sizeof *begin);
    if (begin == NULL)
        return false;
    for (uint32_t i = 0; i < n; i++)
        begin[items[i].low + 1]++;
    for (uint32_t d = 0; d < n_devices; d++)
        begin[d + 1] += begin[d];
    for (uint32_t i = 0; i < n; i++)
        sorted[begin[items[i].low]++] = items[i];
    for (uint32_t d = 0, first = 0; d < n_devices; first = begin[d++])
        if (begin[d] - first > 1)
            qsort(sorted + first, begin[d] - first, sizeof *sorted, compare_items);
    fs_free(begin);
    return true;
}

/* The shape of `count` links of shape `id` together; FS_NONE when out of memory. */
static uint32_t add_lanes(maker *m, uint32_t id, uint32_t count)
{
    if (count == 1)
        return id;
    uint64_t hash = (uint64_t)id << 32 | count;
    const fs_link_shape one = m->shapes.data[id];
    uint64_t lanes = (uint64_t)one.lanes * count;
    const fs_link_type *type = &m->topo->link_types[one.type];
    fs_link_shape all = one;
    all.lanes = lanes < UINT32_MAX ? (uint32_t)lanes : UINT32_MAX;
    all.bandwidth_Bps = type->bandwidth_Bps * (double)lanes;
    all.effective_Bps = type->effective_Bps * (double)lanes;
    fs_index_probe probe = fs_index_search(&m->shape_index, hash);
    for (uint32_t made = fs_index_next(&probe); made != FS_NONE; made = fs_index_next(&probe)) {
        const fs_link_shape *s = &m->shapes.data[made];
        if (s->type == all.type && s->latency_s == all.latency_s && s->bandwidth_Bps == all.bandwidth_Bps)
            return made;
    }
    uint32_t made = m->shapes.count;
    return FS_PUSH(&m->shapes, all) && fs_index_add(&m->shape_index, hash, made) ? made : FS_NONE;
}

/* Sorted items as connections and their map. */
static bool join_items(maker *m, const item *sorted, uint32_t n, fs_connection **out, fs_bundle_map *map)
{
    fs_arena *arena = m->b->arena;
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        count += i == 0 || !same_bundle(&sorted[i - 1], &sorted[i]);
    fs_connection *connections = fs_arena_alloc(arena, count, sizeof *connections);
    uint32_t *begin = fs_arena_alloc(arena, (size_t)count + 1, sizeof *begin);
    uint32_t *members = fs_arena_alloc(arena, n, sizeof *members), *of = fs_arena_alloc(arena, n, sizeof *of);
    if (!connections || !begin || !members || !of)
        return false;
    uint32_t at = 0;
    for (uint32_t i = 0, first = 0; i < n; i++) {
        members[i] = sorted[i].from;
        of[sorted[i].from / 2] = 2 * at + sorted[i].from % 2;
        if (i + 1 < n && same_bundle(&sorted[i], &sorted[i + 1]))
            continue;
        uint32_t many = i + 1 - first;
        const item *s = &sorted[first];
        connections[at] =
            (fs_connection){s->low, s->high, {add_lanes(m, s->shape[0], many), add_lanes(m, s->shape[1], many)}};
        if (connections[at].shape[0] == FS_NONE || connections[at].shape[1] == FS_NONE)
            return false;
        begin[++at] = first = i + 1;
    }
    *out = connections;
    *map = (fs_bundle_map){count, n, begin, members, of};
    return true;
}

/* low, high: where the ends of connection number `number` are in the bundled topology. */
static item make_item(const maker *m, const fs_connection *c, uint32_t link, uint32_t number, uint32_t low,
                      uint32_t high)
{
    bool turned = low > high;
    const fs_link whole = fs_topo_link(m->b->whole, link);
    item made = {.low = turned ? high : low,
                 .high = turned ? low : high,
                 .shape = {c->shape[turned], c->shape[!turned]},
                 .colour = fs_link_colour(m->b->whole, link + turned),
                 .from = 2 * number + turned,
                 .alone = fs_picks_paths(m->b->whole, whole.src) || fs_picks_paths(m->b->whole, whole.dst)};
    return made;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* Where the number at the end of a name begins. */
static size_t stem(const char *name)
{
    size_t length = strlen(name);
    while (length > 0 && name[length - 1] >= '0' && name[length - 1] <= '9')
        length--;
    return length;
}

/* Of several: "spine[0-63]" where they are numbered one after the other; else "nvsw0+3", the first and how many more. */
static void bundle_name(const char *first, const char *last, uint32_t count, char *buffer, size_t size)
{
    size_t n = stem(first);
    unsigned long a = strtoul(first + n, NULL, 10), b = strtoul(last + n, NULL, 10);
    int length = -1;
    if (stem(last) == n && strncmp(first, last, n) == 0 && b >= a && b - a == count - 1)
        length = snprintf(buffer, size, "%.*s[%lu-%lu]", (int)n, first, a, b);
    if (length < 0 || (size_t)length >= size)
        snprintf(buffer, size, "%.*s+%u", (int)size - 16, first, count - 1);
}

/* The name of a class within its unit, or in full. */
static const char *class_name(const maker *m, const fs_mould *mould, uint32_t class_id)
{
    const fs_topo *whole = m->b->whole;
    uint32_t begin = mould->begin[class_id], end = mould->begin[class_id + 1];
    uint32_t ends[2] = {mould->members[begin], mould->members[end - 1]};
    char text[3][FS_NAME_MAX + 1];
    for (int i = 0; i < 2; i++) {
        uint32_t id = fs_mould_device(mould, ends[i]);
        if (mould->loose)
            fs_device_name(whole, id, text[i], sizeof text[i]);
        else
            snprintf(text[i], sizeof text[i], "%s", whole->runs[mould->run].unit->names[ends[i]]);
    }
    if (end - begin == 1)
        return fs_arena_strdup(m->b->arena, text[0]);
    bundle_name(text[0], text[1], end - begin, text[2], sizeof text[2]);
    return fs_arena_strdup(m->b->arena, text[2]);
}

/* ---- units ------------------------------------------------------------------------------------------------------- */

/* Devices of classes [first, first + n) as those of a unit. */
static bool add_classes(maker *m, const fs_mould *mould, uint32_t first, uint32_t n, fs_topo_unit *unit)
{
    fs_arena *arena = m->b->arena;
    fs_device *devices = fs_arena_alloc(arena, n, sizeof *devices);
    const char **names = fs_arena_alloc(arena, n, sizeof *names);
    if (devices == NULL || names == NULL)
        return false;
    for (uint32_t c = 0; c < n; c++) {
        uint32_t local = mould->members[mould->begin[first + c]];
        fs_device *d = &devices[c];
        *d = mould->loose ? fs_topo_device(m->b->whole, mould->ids[local])
                          : m->b->whole->runs[mould->run].unit->devices[local];
        d->index = unit->of_kind[d->kind]++;
        names[c] = class_name(m, mould, first + c);
        if (names[c] == NULL)
            return false;
    }
    unit->n_devices = n;
    unit->devices = devices;
    unit->names = names;
    return fs_unit_order_names(arena, unit);
}

static bool index_unit(maker *m, fs_topo_unit *unit)
{
    uint32_t *begin = fs_arena_alloc(m->b->arena, (size_t)unit->n_devices + 1, sizeof *begin);
    uint32_t *out = fs_arena_alloc(m->b->arena, unit->n_links, sizeof *out);
    if (begin && out)
        fs_unit_index_links(unit->connections, unit->n_links, 0, unit->n_devices, begin, out);
    unit->out_begin = begin;
    unit->out_links = out;
    return begin && out;
}

/* Of copies of a board. */
static bool make_unit(maker *m, fs_mould *mould, fs_topo_unit *unit)
{
    const fs_topo_unit *whole = m->b->whole->runs[mould->run].unit;
    uint32_t n = whole->n_links / 2;
    *unit = (fs_topo_unit){.n_nodes = whole->n_nodes, .nodes = whole->nodes};
    if (!add_classes(m, mould, 0, mould->n_classes, unit))
        return false;
    item *items = fs_alloc(n, sizeof *items), *sorted = fs_alloc(n, sizeof *sorted);
    fs_connection *connections = NULL;
    for (uint32_t i = 0; items && i < n; i++) {
        const fs_connection *c = &whole->connections[i];
        items[i] = make_item(m, c, mould->first_link + 2 * i, i, mould->class_of[c->low], mould->class_of[c->high]);
    }
    bool good = items && sorted && sort_items(items, n, mould->n_classes, sorted) &&
                join_items(m, sorted, n, &connections, &mould->links);
    fs_free(items);
    fs_free(sorted);
    unit->connections = connections;
    unit->n_links = 2 * mould->links.n;
    mould->unit = unit;
    return good && index_unit(m, unit);
}

/* Of devices of the system; runs [segment.first_run, next_run) of the whole topology. */
static bool make_loose(maker *m, const fs_segment *s, uint32_t next_run, fs_topo_unit *unit)
{
    const fs_topo *whole = m->b->whole;
    *unit = (fs_topo_unit){0};
    for (uint32_t r = s->first_run; r < next_run; r++)
        unit->n_nodes += whole->runs[r].unit->n_nodes;
    const char **nodes = fs_arena_alloc(m->b->arena, unit->n_nodes, sizeof *nodes);
    for (uint32_t r = s->first_run, n = 0; nodes && r < next_run; r++)
        for (uint32_t i = 0; i < whole->runs[r].unit->n_nodes; i++)
            nodes[n++] = whole->runs[r].unit->nodes[i];
    unit->nodes = nodes;
    return nodes && add_classes(m, &m->b->moulds.data[s->mould], s->first_class, s->n_classes, unit) &&
           index_unit(m, unit);
}

/* ---- runs -------------------------------------------------------------------------------------------------------- */

static void make_run(maker *m, const fs_segment *s, const fs_topo_unit *unit, uint32_t of_kind[FS_DEVICE_KINDS],
                     fs_topo_run *run)
{
    const fs_topo_run *whole = &m->b->whole->runs[s->first_run];
    bool loose = m->b->moulds.data[s->mould].loose;
    uint32_t node = whole->first_node + s->first_copy * whole->unit->n_nodes;
    *run = (fs_topo_run){.unit = unit,
                         .copies = s->copies,
                         .first_device = s->first,
                         .first_link = m->topo->first_cable,
                         .first_node = node,
                         .node_base = loose ? 0 : node,
                         .name = loose ? "" : whole->name,
                         .numbered = !loose && whole->numbered,
                         .first_number = whole->first_number + s->first_copy};
    memcpy(run->first_index, of_kind, sizeof run->first_index);
    for (int kind = 0; kind < FS_DEVICE_KINDS; kind++)
        of_kind[kind] += s->copies * unit->of_kind[kind];
    m->topo->first_cable += s->copies * unit->n_links;
}

static bool make_runs(maker *m)
{
    fs_topo *topo = m->topo;
    uint32_t n = m->b->segments.count, of_kind[FS_DEVICE_KINDS] = {0};
    fs_topo_unit *units = fs_arena_alloc(m->b->arena, n, sizeof *units);
    fs_topo_run *runs = fs_arena_alloc(m->b->arena, n, sizeof *runs);
    if (units == NULL || runs == NULL)
        return false;
    topo->units = units;
    topo->runs = runs;
    topo->n_runs = n;
    topo->n_units = topo->n_devices = topo->first_cable = 0;
    for (uint32_t i = 0; i < n; i++) {
        const fs_segment *s = &m->b->segments.data[i];
        fs_mould *mould = &m->b->moulds.data[s->mould];
        fs_topo_unit *unit = mould->unit;
        if (unit == NULL) {
            uint32_t next_run = i + 1 < n ? m->b->segments.data[i + 1].first_run : m->b->whole->n_runs;
            unit = &units[topo->n_units++];
            if (mould->loose ? !make_loose(m, s, next_run, unit) : !make_unit(m, mould, unit))
                return false;
        }
        make_run(m, s, unit, of_kind, &runs[i]);
        topo->n_devices += s->copies * s->n_classes;
    }
    return true;
}

static bool list_gpus(maker *m)
{
    const fs_bundling *b = m->b;
    uint32_t *gpus = fs_arena_alloc(b->arena, m->topo->n_gpus, sizeof *gpus);
    for (uint32_t g = 0; gpus && g < m->topo->n_gpus; g++)
        gpus[g] = fs_bundled_id(b->segments.data, b->segments.count, b->moulds.data, b->whole->gpus[g]);
    m->topo->gpus = gpus;
    return gpus != NULL;
}

/* ---- cables ------------------------------------------------------------------------------------------------------ */

static bool make_cables(maker *m, fs_bundle_map *map)
{
    const fs_bundling *b = m->b;
    const fs_topo *whole = b->whole;
    fs_topo *topo = m->topo;
    uint32_t n = (whole->n_links - whole->first_cable) / 2;
    item *items = fs_alloc(n, sizeof *items), *sorted = fs_alloc(n, sizeof *sorted);
    fs_connection *cables = NULL;
    for (uint32_t i = 0; items && i < n; i++) {
        const fs_connection *c = &whole->cables[i];
        uint32_t ends[2] = {fs_bundled_id(b->segments.data, b->segments.count, b->moulds.data, c->low),
                            fs_bundled_id(b->segments.data, b->segments.count, b->moulds.data, c->high)};
        items[i] = make_item(m, c, whole->first_cable + 2 * i, i, ends[0], ends[1]);
    }
    bool good =
        items && sorted && sort_items(items, n, topo->n_devices, sorted) && join_items(m, sorted, n, &cables, map);
    fs_free(items);
    fs_free(sorted);
    if (!good)
        return false;
    topo->n_links = topo->first_cable + 2 * map->n;
    uint32_t *begin = fs_arena_alloc(b->arena, (size_t)topo->n_devices + 1, sizeof *begin);
    uint32_t *links = fs_arena_alloc(b->arena, 2 * (size_t)map->n, sizeof *links);
    if (begin && links)
        fs_unit_index_links(cables, 2 * map->n, topo->first_cable, topo->n_devices, begin, links);
    topo->cables = cables;
    topo->cable_begin = begin;
    topo->cable_links = links;
    return begin && links;
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

typedef struct fault {
    uint32_t link, row; /* of the bundled topology; in the factors of the whole one */
} fault;

static int compare_faults(const void *left, const void *right)
{
    const fault *a = left, *b = right;
    return (a->link > b->link) - (a->link < b->link);
}

/* Links of a bundle have the same factors. */
static bool copy_faults(maker *m)
{
    const fs_factors *from = &m->b->whole->link_faults;
    fs_topo *topo = m->topo;
    uint32_t n_epochs = topo->n_epochs, n = 0;
    if (from->count == 0)
        return true;
    fault *faults = fs_alloc(from->count, sizeof *faults);
    uint32_t *ids = fs_arena_alloc(m->b->arena, from->count, sizeof *ids);
    double *factors = fs_arena_alloc(m->b->arena, (size_t)from->count * n_epochs, sizeof *factors);
    bool good = faults && ids && factors;
    for (uint32_t i = 0; good && i < from->count; i++)
        faults[i] = (fault){fs_bundle_of_link(topo, from->ids[i]), i};
    if (good)
        qsort(faults, from->count, sizeof *faults, compare_faults);
    for (uint32_t i = 0; good && i < from->count; i++) {
        if (n > 0 && ids[n - 1] == faults[i].link)
            continue;
        ids[n] = faults[i].link;
        memcpy(factors + (size_t)n++ * n_epochs, from->factors + (size_t)faults[i].row * n_epochs,
               n_epochs * sizeof *factors);
    }
    fs_free(faults);
    topo->link_faults = (fs_factors){n, ids, factors};
    return good;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static bool make_all(maker *m, fs_bundle *bundle)
{
    const fs_topo *whole = m->b->whole;
    if (!make_runs(m) || !list_gpus(m) || !make_cables(m, &bundle->cables))
        return false;
    fs_link_shape *shapes = fs_arena_alloc(m->b->arena, m->shapes.count, sizeof *shapes);
    if (shapes && m->shapes.count > 0)
        memcpy(shapes, m->shapes.data, m->shapes.count * sizeof *shapes);
    m->topo->shapes = shapes;
    m->topo->n_shapes = m->shapes.count;
    fs_segment *segments = fs_arena_alloc(m->b->arena, m->b->segments.count, sizeof *segments);
    fs_mould *moulds = fs_arena_alloc(m->b->arena, m->b->moulds.count, sizeof *moulds);
    if (shapes == NULL || segments == NULL || moulds == NULL)
        return false;
    memcpy(segments, m->b->segments.data, m->b->segments.count * sizeof *segments);
    memcpy(moulds, m->b->moulds.data, m->b->moulds.count * sizeof *moulds);
    bundle->whole = whole;
    bundle->n_segments = m->b->segments.count;
    bundle->n_moulds = m->b->moulds.count;
    bundle->segments = segments;
    bundle->moulds = moulds;
    m->topo->bundle = bundle;
    return copy_faults(m);
}

fs_status fs_bundle_build(fs_bundling *b, fs_topo *topo, fs_err *err)
{
    const fs_topo *whole = b->whole;
    maker m = {.b = b, .topo = topo};
    fs_bundle *bundle = fs_arena_alloc(b->arena, 1, sizeof *bundle);
    bool good = bundle != NULL;
    for (uint32_t i = 0; good && i < whole->n_shapes; i++)
        good = FS_PUSH(&m.shapes, whole->shapes[i]) != NULL;
    good = good && make_all(&m, bundle);
    fs_free(m.shapes.data);
    fs_index_free(&m.shape_index);
    return good ? FS_OK : fs_fail_nomem(err);
}
