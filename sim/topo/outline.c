/* outline.c - see outline.h.
 *
 * A forest of devices is joined stage by stage: at stage 0 over links that touch no network switch, at stage k over those of switches
 * at distance k from the servers. A switch at distance d belongs to the group that its tree is at stage d. A drawing of
 * stage k shows trees of stage k, and the switches above in their groups. */
#include "topo/outline.h"

#include "base/forest.h"
#include "base/mem.h"

#include <stdlib.h>

enum { LEVELS_MAX = 16 };

typedef struct sketch {
    const fs_topo *topo;
    uint32_t n_devices, n_links; /* that are drawn */
    uint8_t *distance;           /* (n_devices) of network switches from the nearest other device; 0 for these */
    uint32_t *root;              /* (n_devices) forest */
    uint32_t *box;               /* (n_devices) tree after stage 0 */
    uint32_t *group;             /* (n_devices) of a switch: its tree after its own stage */
    uint32_t levels;             /* greatest distance */
} sketch;

static bool is_switch(const fs_topo *topo, uint32_t device)
{
    return fs_topo_device(topo, device).kind == FS_DEVICE_NET_SWITCH;
}

/* Breadth first from all servers at once, level by level; what no server reaches is as far as the farthest. */
static void measure(sketch *s)
{
    const fs_topo *topo = s->topo;
    bool more = true;
    for (uint32_t d = 0; d < s->n_devices; d++)
        s->distance[d] = is_switch(topo, d) ? LEVELS_MAX : 0;
    for (uint32_t level = 1; more && level < LEVELS_MAX; level++) {
        more = false;
        for (uint32_t d = 0; d < s->n_devices; d++) {
            if (s->distance[d] != LEVELS_MAX)
                continue;
            fs_links out = fs_topo_out(topo, d);
            for (uint32_t i = 0; i < out.count; i++) {
                uint32_t to = fs_topo_link(topo, fs_links_at(&out, i)).dst;
                if (to < s->n_devices && s->distance[to] == level - 1) {
                    s->distance[d] = (uint8_t)level;
                    s->levels = level;
                    more = true;
                    break;
                }
            }
        }
    }
}

/* Join over the links whose farther end is at this distance. */
static void join(sketch *s, uint32_t stage)
{
    for (uint32_t l = 0; l < s->n_links; l += 2) {
        fs_link link = fs_topo_link(s->topo, l);
        uint32_t a = s->distance[link.src], b = s->distance[link.dst];
        if ((a > b ? a : b) == stage)
            fs_forest_unite(s->root, link.src, link.dst);
    }
    for (uint32_t d = 0; d < s->n_devices; d++) {
        if (stage == 0)
            s->box[d] = fs_forest_root(s->root, d);
        if (s->distance[d] == stage)
            s->group[d] = fs_forest_root(s->root, d);
    }
}

/* What stands for a device in a drawing of this detail: a device of the node; switches in groups of their own apart from trees
 * that have the same root. */
static uint64_t node_key(sketch *s, uint32_t detail, uint32_t device)
{
    uint32_t distance = s->distance[device];
    if (detail == 0)
        return device;
    if (detail == 1)
        return distance > 0 ? device : s->box[device];
    if (distance <= detail - 2)
        return fs_forest_root(s->root, device);
    return (uint64_t)distance << 32 | s->group[device];
}

/* ---- nodes and edges of one detail ------------------------------------------------------------------------------- */

/* Number the nodes in the order of their first devices; *fits is false where there are too many. */
static fs_status number(sketch *s, uint32_t detail, fs_outline *o, bool *fits, fs_err *err)
{
    fs_status status = FS_OK;
    fs_index index = {0};
    uint64_t keys[FS_OUTLINE_NODES];
    o->n_nodes = 0;
    *fits = true;
    for (uint32_t d = 0; d < s->n_devices && *fits && status == FS_OK; d++) {
        uint64_t key = node_key(s, detail, d);
        fs_index_probe probe = fs_index_search(&index, key);
        uint32_t id = fs_index_next(&probe);
        while (id != FS_NONE && keys[id] != key)
            id = fs_index_next(&probe);
        if (id == FS_NONE && o->n_nodes == FS_OUTLINE_NODES) {
            *fits = false;
        } else if (id == FS_NONE) {
            id = o->n_nodes++;
            keys[id] = key;
            o->nodes[id] = (fs_outline_node){.first = d};
            if (!fs_index_add(&index, key, id))
                status = fs_fail_nomem(err);
        }
        o->node_of[d] = id;
    }
    fs_index_free(&index);
    return status;
}

static void describe(const sketch *s, fs_outline *o)
{
    for (uint32_t d = 0; d < s->n_devices; d++) {
        fs_outline_node *node = &o->nodes[o->node_of[d]];
        node->devices++;
        node->gpus += fs_topo_device(s->topo, d).kind == FS_DEVICE_GPU;
        node->boxes += o->detail > 0 && s->distance[d] == 0 && s->box[d] == d; /* roots */
        if (s->distance[d] > node->level)
            node->level = s->distance[d];
    }
}

static uint64_t edge_hash(uint32_t a, uint32_t b, uint32_t tier)
{
    return ((uint64_t)a * FS_OUTLINE_NODES + b) * 256 + tier;
}

static fs_outline_edge edge_of(const fs_outline *o, uint32_t link)
{
    fs_link l = fs_topo_link(o->topo, link);
    uint32_t a = o->node_of[l.src], b = o->node_of[l.dst];
    return (fs_outline_edge){.a = a < b ? a : b, .b = a < b ? b : a, .tier = o->topo->link_types[l.type].tier};
}

static uint32_t find(const fs_outline *o, const fs_outline_edge *edge)
{
    fs_index_probe probe = fs_index_search(&o->index, edge_hash(edge->a, edge->b, edge->tier));
    uint32_t id = fs_index_next(&probe);
    while (id != FS_NONE && (o->edges[id].a != edge->a || o->edges[id].b != edge->b || o->edges[id].tier != edge->tier))
        id = fs_index_next(&probe);
    return id;
}

static fs_status connect(fs_outline *o, bool *fits, fs_err *err)
{
    fs_index_free(&o->index);
    o->index = (fs_index){0};
    o->n_edges = 0;
    for (uint32_t l = 0; l < o->n_links; l++) {
        fs_outline_edge edge = edge_of(o, l);
        uint32_t id = find(o, &edge);
        if (id == FS_NONE) {
            if (o->n_edges == FS_OUTLINE_EDGES) {
                *fits = false;
                return FS_OK;
            }
            id = o->n_edges++;
            o->edges[id] = edge;
            if (!fs_index_add(&o->index, edge_hash(edge.a, edge.b, edge.tier), id))
                return fs_fail_nomem(err);
        }
        o->edges[id].links++;
    }
    return FS_OK;
}

/* The first detail that fits. */
static fs_status draw(sketch *s, fs_outline *o, bool *drawn, fs_err *err)
{
    fs_status status = FS_OK;
    bool fits = false;
    fs_forest_start(s->root, s->n_devices);
    measure(s);
    for (uint32_t stage = 0; stage <= s->levels; stage++) /* groups need all stages */
        join(s, stage);
    for (uint32_t detail = 0; status == FS_OK && !fits && detail < s->levels + 3; detail++) {
        if (detail >= 2) { /* trees as they are at this stage: join again up to there */
            if (detail == 2)
                fs_forest_start(s->root, s->n_devices);
            join(s, detail - 2);
        }
        o->detail = detail;
        status = number(s, detail, o, &fits, err);
        if (status == FS_OK && fits)
            status = connect(o, &fits, err);
    }
    if (status == FS_OK && fits)
        describe(s, o);
    *drawn = fits;
    return status;
}

static uint32_t count_devices(const fs_topo *topo, uint32_t n_links)
{
    uint32_t n = 0;
    if (n_links == topo->n_links)
        return topo->n_devices;
    for (uint32_t l = 0; l < n_links; l++) {
        fs_link link = fs_topo_link(topo, l);
        uint32_t last = link.src > link.dst ? link.src : link.dst;
        n = last >= n ? last + 1 : n;
    }
    return n;
}

fs_status fs_outline_new(const fs_topo *topo, uint32_t n_links, fs_outline **outline, fs_err *err)
{
    uint32_t n = count_devices(topo, n_links);
    bool drawn = false;
    sketch s = {.topo = topo,
                .n_devices = n,
                .n_links = n_links,
                .distance = fs_alloc(n, sizeof *s.distance),
                .root = fs_alloc(n, sizeof *s.root),
                .box = fs_alloc(n, sizeof *s.box),
                .group = fs_zalloc(n, sizeof *s.group)};
    fs_outline *o = fs_zalloc(1, sizeof *o);
    fs_status status = s.distance && s.root && s.box && s.group && o ? FS_OK : fs_fail_nomem(err);
    if (status == FS_OK) {
        o->topo = topo;
        o->n_links = n_links;
        o->n_devices = n;
        o->nodes = fs_alloc(FS_OUTLINE_NODES, sizeof *o->nodes);
        o->edges = fs_alloc(FS_OUTLINE_EDGES, sizeof *o->edges);
        o->node_of = fs_alloc(n, sizeof *o->node_of);
        status = o->nodes && o->edges && o->node_of ? draw(&s, o, &drawn, err) : fs_fail_nomem(err);
    }
    fs_free(s.distance);
    fs_free(s.root);
    fs_free(s.box);
    fs_free(s.group);
    if (!drawn || status != FS_OK) {
        fs_outline_free(o);
        o = NULL;
    }
    if (status == FS_OK)
        *outline = o;
    return status;
}

void fs_outline_free(fs_outline *outline)
{
    if (!outline)
        return;
    fs_index_free(&outline->index);
    fs_free(outline->nodes);
    fs_free(outline->edges);
    fs_free(outline->node_of);
    fs_free(outline);
}

uint32_t fs_outline_edge_of(const fs_outline *outline, uint32_t link)
{
    fs_outline_edge edge = edge_of(outline, link);
    return find(outline, &edge);
}
