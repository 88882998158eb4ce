/* box.c - see box.h. Boxes by union-find over links, a unit at a time; kinds by comparison of the boxes' devices and links.
 *
 * Two boxes are of one kind when their devices have consecutive ids and, device by device and link by link, everything
 * that a route depends on is equal: kinds, nodes relative to the first device's, ends and links relative to the first,
 * capacities and latencies, and what is left of them in this epoch. Of links into the network their number counts alone.
 * So a box with a failed link is of a kind of its own. A hash of the same finds candidates. Nearly all boxes lie in one
 * copy of a unit, and are like the same part of the copy before: then only faults and cables need a look. */
#include "route/box.h"

#include "base/forest.h"
#include "base/rng.h"

#include <string.h>

typedef struct grouping {
    fs_boxes *boxes;
    const fs_view *view;
    uint32_t *root;    /* (n_devices) of the union-find forest */
    uint32_t *size;    /* (n_devices) of the set, at its root */
    uint32_t *begin;   /* (boxes + 1) in members */
    uint32_t *members; /* (n_devices) devices by box, ascending */
    fs_index kinds;    /* by the hash of their example */
} grouping;

static fs_link_class class_of(const fs_topo *topo, const fs_link *link)
{
    return topo->link_types[link->type].class_;
}

/* ---- which devices belong together ------------------------------------------------------------------------------- */

/* All copies of a unit hang together alike: the first one's trees are moved to the others. */
static void unite_copies(grouping *g, const fs_topo_run *run)
{
    const fs_topo *topo = g->view->topo;
    const fs_topo_unit *unit = run->unit;
    uint32_t first = run->first_device, n = unit->n_devices;
    for (uint32_t k = 0; k < unit->n_links / 2; k++) {
        const fs_connection *c = &unit->connections[k];
        if (topo->link_types[topo->shapes[c->shape[0]].type].class_ != FS_CLASS_NET)
            fs_forest_unite(g->root, first + c->low, first + c->high);
    }
    for (uint32_t d = first + n; d < first + run->copies * n; d++)
        g->root[d] = g->root[d - n] + n;
}

static void unite_devices(grouping *g)
{
    const fs_topo *topo = g->view->topo;
    fs_forest_start(g->root, topo->n_devices);
    for (uint32_t r = 0; r < topo->n_runs; r++)
        unite_copies(g, &topo->runs[r]);
    for (uint32_t l = topo->first_cable; l < topo->n_links; l += 2) { /* a connection is two links */
        const fs_link link = fs_topo_link(topo, l);
        if (class_of(topo, &link) != FS_CLASS_NET)
            fs_forest_unite(g->root, link.src, link.dst);
    }
    memset(g->size, 0, (size_t)topo->n_devices * sizeof *g->size);
    for (uint32_t d = 0; d < topo->n_devices; d++)
        g->size[fs_forest_root(g->root, d)]++;
}

/* Number the boxes in the order of their first devices, which are the roots. */
static fs_status number_boxes(grouping *g, fs_err *err)
{
    const fs_topo *topo = g->view->topo;
    fs_boxes *b = g->boxes;
    for (uint32_t d = 0; d < topo->n_devices; d++) {
        uint32_t root = fs_forest_root(g->root, d);
        if (root != d) {
            b->box_of[d] = b->box_of[root];
        } else if (g->size[d] == 1 && fs_topo_device(topo, d).kind == FS_DEVICE_NET_SWITCH) {
            b->box_of[d] = FS_NONE;
        } else {
            if (FS_PUSH(&b->boxes, ((fs_box){FS_NONE, d, FS_NONE})) == NULL)
                return fs_fail_nomem(err);
            b->box_of[d] = b->boxes.count - 1;
        }
    }
    return FS_OK;
}

static fs_status list_members(grouping *g, fs_err *err)
{
    const fs_topo *topo = g->view->topo;
    fs_boxes *b = g->boxes;
    g->begin = fs_zalloc((size_t)b->boxes.count + 1, sizeof *g->begin);
    uint32_t *next = g->root; /* has done its work; a box has a device of its own */
    if (g->begin == NULL)
        return fs_fail_nomem(err);
    for (uint32_t box = 0; box < b->boxes.count; box++)
        g->begin[box + 1] = g->begin[box] + g->size[b->boxes.data[box].first_device];
    memcpy(next, g->begin, (size_t)b->boxes.count * sizeof *next);
    for (uint32_t d = 0; d < topo->n_devices; d++)
        if (b->box_of[d] != FS_NONE)
            g->members[next[b->box_of[d]]++] = d;
    return FS_OK;
}

static void find_first_link(grouping *g, uint32_t box)
{
    const fs_topo *topo = g->view->topo;
    const uint32_t *members = g->members + g->begin[box];
    uint32_t n = g->begin[box + 1] - g->begin[box], first = FS_NONE;
    for (uint32_t i = 0; i < n; i++) {
        const fs_links links = fs_topo_out(topo, members[i]);
        for (uint32_t k = 0; k < links.count; k++) {
            uint32_t id = fs_links_at(&links, k);
            const fs_link link = fs_topo_link(topo, id);
            if (class_of(topo, &link) != FS_CLASS_NET) {
                first = id < first ? id : first;
                break; /* they ascend */
            }
        }
    }
    g->boxes->boxes.data[box].first_link = first & ~UINT32_C(1); /* a box without links has none to name */
}

/* ---- which boxes are alike --------------------------------------------------------------------------------------- */

/* All that a route may depend on; compared as bytes, so there is no padding. */
typedef struct feature {
    uint32_t class_, to, link, kind;
    double bandwidth_Bps, effective_Bps, latency_s, factor;
} feature;

static feature feature_of(const grouping *g, const fs_box *box, uint32_t id)
{
    const fs_topo *topo = g->view->topo;
    const fs_link link = fs_topo_link(topo, id);
    fs_link_class class_ = class_of(topo, &link);
    if (class_ == FS_CLASS_NET)
        return (feature){.class_ = class_};
    return (feature){.class_ = class_,
                     .to = link.dst - box->first_device,
                     .link = id - box->first_link,
                     .bandwidth_Bps = link.bandwidth_Bps,
                     .effective_Bps = link.effective_Bps,
                     .latency_s = link.latency_s,
                     .factor = fs_view_factor(g->view, id)};
}

/* Of a device itself, in the same form. */
static feature trait_of(const grouping *g, const fs_box *box, uint32_t local)
{
    const fs_topo *topo = g->view->topo;
    const fs_device d = fs_topo_device(topo, box->first_device + local);
    uint32_t node = fs_topo_device(topo, box->first_device).node;
    return (feature){.kind = d.kind,
                     .to = d.node == FS_NONE ? FS_NONE : d.node - node,
                     .link = fs_topo_out_count(topo, box->first_device + local)};
}

static uint64_t hash_box(const grouping *g, const fs_box *box, uint32_t n)
{
    uint64_t hash = FS_HASH_START;
    for (uint32_t i = 0; i < n; i++) {
        feature trait = trait_of(g, box, i);
        hash = fs_hash_bytes(hash, &trait, sizeof trait);
        const fs_links links = fs_topo_out(g->view->topo, box->first_device + i);
        for (uint32_t k = 0; k < links.count; k++) {
            feature f = feature_of(g, box, fs_links_at(&links, k));
            hash = fs_hash_bytes(hash, &f, sizeof f);
        }
    }
    return hash;
}

static bool same_boxes(const grouping *g, const fs_box *a, const fs_box *b, uint32_t n)
{
    const fs_topo *topo = g->view->topo;
    for (uint32_t i = 0; i < n; i++) {
        feature x = trait_of(g, a, i), y = trait_of(g, b, i);
        if (memcmp(&x, &y, sizeof x) != 0)
            return false;
        const fs_links from_a = fs_topo_out(topo, a->first_device + i), from_b = fs_topo_out(topo, b->first_device + i);
        for (uint32_t k = 0; k < from_a.count; k++) {
            feature f = feature_of(g, a, fs_links_at(&from_a, k)), h = feature_of(g, b, fs_links_at(&from_b, k));
            if (memcmp(&f, &h, sizeof f) != 0)
                return false;
        }
    }
    return true;
}

/* Does the epoch change links of the copy? */
static bool has_faults(const fs_view *view, const fs_topo_run *run, uint32_t copy)
{
    const fs_factors *faults = &view->topo->link_faults;
    uint32_t first = run->first_link + copy * run->unit->n_links, low = 0, high = faults->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (faults->ids[middle] < first)
            low = middle + 1;
        else
            high = middle;
    }
    return view->epoch != FS_NONE && low < faults->count && faults->ids[low] < first + run->unit->n_links;
}

/* Has device by device as many cables, and all of them into the network? */
static bool same_cables(const fs_topo *topo, uint32_t a, uint32_t b, uint32_t n)
{
    const uint32_t *begin = topo->cable_begin;
    for (uint32_t i = 0; i < n; i++)
        if (begin[a + i + 1] - begin[a + i] != begin[b + i + 1] - begin[b + i])
            return false;
    for (uint32_t k = begin[b]; k < begin[b + n]; k++) {
        const fs_link link = fs_topo_link(topo, topo->cable_links[k]);
        if (class_of(topo, &link) != FS_CLASS_NET)
            return false;
    }
    return true;
}

/* Sort in a box of n devices that is plainly a copy of the example of the kind, the same part of the same unit. */
static bool sort_in_copy(const grouping *g, uint32_t kind_id, uint32_t box, uint32_t n)
{
    const fs_topo *topo = g->view->topo;
    const fs_box_kind *kind = &g->boxes->kinds.data[kind_id];
    fs_box *row = &g->boxes->boxes.data[box];
    uint32_t example = kind->example.first_device;
    fs_where a = fs_topo_where(topo, example), b = fs_topo_where(topo, row->first_device);
    if (kind->n != n || kind->members != NULL || a.run != b.run || a.local != b.local ||
        b.local + n > b.run->unit->n_devices || has_faults(g->view, a.run, a.copy) ||
        has_faults(g->view, b.run, b.copy) || !same_cables(topo, example, row->first_device, n))
        return false;
    row->kind = kind_id;
    row->first_link = kind->example.first_link + (b.copy - a.copy) * b.run->unit->n_links;
    return true;
}

/* ---- a new kind -------------------------------------------------------------------------------------------------- */

static bool scale_up(const fs_box_kind *kind, fs_link_class class_, uint32_t a, uint32_t b)
{
    fs_device_kind x = kind->kinds[a], y = kind->kinds[b];
    return class_ == FS_CLASS_NVLINK && (x == FS_DEVICE_GPU || x == FS_DEVICE_NVSWITCH) &&
           (y == FS_DEVICE_GPU || y == FS_DEVICE_NVSWITCH);
}

static fs_status add_edges(grouping *g, fs_box_kind *kind, uint32_t box, uint32_t *begin, fs_err *err)
{
    const fs_topo *topo = g->view->topo;
    const uint32_t *members = g->members + g->begin[box];
    uint32_t n_edges = 0, n_ports = 0, used = 0;
    for (uint32_t i = 0; i < kind->n; i++)
        n_edges += fs_topo_out_count(topo, members[i]);
    fs_box_edge *edges = fs_arena_alloc(g->boxes->arena, n_edges, sizeof *edges);
    uint32_t *ports = fs_arena_alloc(g->boxes->arena, kind->n, sizeof *ports);
    bool *plugged = fs_arena_alloc(g->boxes->arena, kind->n, sizeof *plugged);
    if (edges == NULL || ports == NULL || plugged == NULL)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < kind->n; i++) {
        const fs_links links = fs_topo_out(topo, members[i]);
        for (uint32_t k = 0; k < links.count; k++) {
            uint32_t id = fs_links_at(&links, k);
            const fs_link link = fs_topo_link(topo, id);
            fs_link_class class_ = class_of(topo, &link);
            if (class_ == FS_CLASS_NET) {
                plugged[i] = true;
                continue;
            }
            uint32_t to = fs_box_local(g->boxes, box, link.dst);
            edges[used++] = (fs_box_edge){.to = to,
                                          .link = id - kind->example.first_link,
                                          .class_ = class_,
                                          .scale_up = scale_up(kind, class_, i, to),
                                          .alive = fs_view_alive(g->view, id),
                                          .alive_back = fs_view_alive(g->view, id ^ 1u)};
        }
        begin[i + 1] = used;
        if (plugged[i] && kind->kinds[i] != FS_DEVICE_GPU)
            ports[n_ports++] = i;
    }
    kind->edges_begin = begin;
    kind->edges = edges;
    kind->plugged = plugged;
    kind->ports = ports;
    kind->n_ports = n_ports;
    return FS_OK;
}

/* The kind of which this box is the first. */
static fs_status add_kind(grouping *g, uint32_t box, bool consecutive, fs_err *err)
{
    fs_boxes *b = g->boxes;
    const uint32_t *members = g->members + g->begin[box];
    uint32_t n = g->begin[box + 1] - g->begin[box];
    fs_box *row = &b->boxes.data[box];
    row->kind = b->kinds.count;
    uint32_t *copy = fs_arena_alloc(b->arena, consecutive ? 0 : n, sizeof *copy);
    uint32_t *begin = fs_arena_alloc(b->arena, (size_t)n + 1, sizeof *begin);
    fs_device_kind *kinds = fs_arena_alloc(b->arena, n, sizeof *kinds);
    uint32_t *nodes = fs_arena_alloc(b->arena, n, sizeof *nodes);
    fs_box_kind kind = {.n = n, .members = consecutive ? NULL : copy, .kinds = kinds, .nodes = nodes};
    for (uint32_t reach = 0; reach < FS_REACHES; reach++)
        if (!(kind.costs[reach] = fs_arena_alloc(b->arena, n, sizeof *kind.costs[reach])))
            return fs_fail_nomem(err);
    kind.exits = fs_arena_alloc(b->arena, n, sizeof *kind.exits);
    kind.entries = fs_arena_alloc(b->arena, n, sizeof *kind.entries);
    if (!copy || !begin || !kinds || !nodes || !kind.exits || !kind.entries)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < n; i++) {
        kinds[i] = fs_topo_device(g->view->topo, members[i]).kind;
        nodes[i] = fs_topo_device(g->view->topo, members[i]).node;
    }
    if (!consecutive) {
        memcpy(copy, members, (size_t)n * sizeof *copy);
        row->first_link = 0; /* links keep their own ids */
    }
    kind.example = *row;
    if (FS_PUSH(&b->kinds, kind) == NULL)
        return fs_fail_nomem(err);
    return add_edges(g, &b->kinds.data[row->kind], box, begin, err);
}

static fs_status sort_in_box(grouping *g, uint32_t box, bool consecutive, fs_err *err)
{
    fs_boxes *b = g->boxes;
    uint32_t n = g->begin[box + 1] - g->begin[box];
    find_first_link(g, box);
    uint64_t hash = consecutive ? hash_box(g, &b->boxes.data[box], n) : 0;
    fs_index_probe probe = fs_index_search(&g->kinds, hash);
    for (uint32_t k = consecutive ? fs_index_next(&probe) : FS_NONE; k != FS_NONE; k = fs_index_next(&probe))
        if (b->kinds.data[k].n == n && same_boxes(g, &b->kinds.data[k].example, &b->boxes.data[box], n)) {
            b->boxes.data[box].kind = k;
            return FS_OK;
        }
    fs_status status = add_kind(g, box, consecutive, err);
    if (status == FS_OK && consecutive && !fs_index_add(&g->kinds, hash, b->boxes.data[box].kind))
        status = fs_fail_nomem(err);
    return status;
}

static fs_status sort_into_kinds(grouping *g, fs_err *err)
{
    fs_boxes *b = g->boxes;
    fs_status status = FS_OK;
    for (uint32_t box = 0; box < b->boxes.count && status == FS_OK; box++) {
        const uint32_t *members = g->members + g->begin[box];
        uint32_t n = g->begin[box + 1] - g->begin[box];
        bool consecutive = members[n - 1] - members[0] == n - 1;
        if (!consecutive || box == 0 || !sort_in_copy(g, b->boxes.data[box - 1].kind, box, n))
            status = sort_in_box(g, box, consecutive, err);
    }
    return status;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static fs_status group_boxes(grouping *g, fs_err *err)
{
    uint32_t largest = 0;
    if (!g->root || !g->size || !g->members)
        return fs_fail_nomem(err);
    unite_devices(g);
    fs_status status = number_boxes(g, err);
    if (status == FS_OK)
        status = list_members(g, err);
    if (status == FS_OK)
        status = sort_into_kinds(g, err);
    if (status != FS_OK)
        return status;
    for (uint32_t k = 0; k < g->boxes->kinds.count; k++)
        largest = g->boxes->kinds.data[k].n > largest ? g->boxes->kinds.data[k].n : largest;
    g->boxes->vertex_of = fs_alloc(largest, sizeof *g->boxes->vertex_of);
    if (g->boxes->vertex_of == NULL)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < largest; i++)
        g->boxes->vertex_of[i] = FS_NONE;
    return FS_OK;
}

fs_status fs_boxes_init(fs_boxes *boxes, const fs_view *view, bool single_path, fs_err *err)
{
    uint32_t n = view->topo->n_devices;
    boxes->view = view;
    boxes->single_path = single_path;
    boxes->arena = fs_arena_new();
    boxes->box_of = fs_alloc(n, sizeof *boxes->box_of);
    if (boxes->arena == NULL || boxes->box_of == NULL)
        return fs_fail_nomem(err);
    grouping g = {.boxes = boxes,
                  .view = view,
                  .root = fs_alloc(n, sizeof *g.root),
                  .size = fs_alloc(n, sizeof *g.size),
                  .members = fs_alloc(n, sizeof *g.members)};
    fs_status status = group_boxes(&g, err);
    fs_free(g.root);
    fs_free(g.size);
    fs_free(g.begin);
    fs_free(g.members);
    fs_index_free(&g.kinds);
    return status;
}

void fs_boxes_clear(fs_boxes *boxes)
{
    if (boxes->arena != NULL)
        fs_arena_free(boxes->arena);
    fs_free(boxes->box_of);
    fs_free(boxes->boxes.data);
    fs_free(boxes->kinds.data);
    fs_leg_store_clear(&boxes->legs);
    fs_dag_free(&boxes->dag);
    fs_free(boxes->heap.data);
    fs_free(boxes->found.data);
    fs_free(boxes->vertex_of);
    *boxes = (fs_boxes){0};
}

uint32_t fs_box_local(const fs_boxes *boxes, uint32_t box, uint32_t device)
{
    const fs_box *row = &boxes->boxes.data[box];
    const fs_box_kind *kind = &boxes->kinds.data[row->kind];
    if (kind->members == NULL)
        return device - row->first_device;
    uint32_t low = 0, high = kind->n;
    while (low + 1 < high) {
        uint32_t middle = low + (high - low) / 2;
        if (kind->members[middle] <= device)
            low = middle;
        else
            high = middle;
    }
    return low;
}
