/* spec_freeze_links.c - links of a spec as connections of units and cables of a topology. See spec_freeze.c, unit.h.
 *
 * Connections are sorted by what they join, so that the order of their declaration changes no result. Cables within one
 * placed board come before all others: only explicit machines have such, and their links get the ids that they have
 * where the board is placed and not written out.
 * Cost: a counting sort by the lower device, then O(n log n) for the connections of each device; 16 bytes a connection
 * while they are sorted. */
#include "topo/freezer.h"
#include "topo/unit_index.h"

#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

typedef struct connection {
    uint32_t low, high, type, lanes; /* low < high: device ids */
} connection;

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

/* The id of the shape of links that leave a device of `part`; FS_NONE when out of memory. */
static uint32_t shape_of(fs_freezer *f, uint32_t type_id, uint32_t lanes, uint32_t part)
{
    const fs_link_type *type = &f->topo->link_types[type_id];
    double latency_s = type->latency_s + f->topo->parts[part].latency_s;
    uint32_t key[4] = {type_id, lanes};
    memcpy(key + 2, &latency_s, sizeof latency_s);
    uint64_t hash = fs_hash_bytes(FS_HASH_START, key, sizeof key);
    fs_index_probe probe = fs_index_search(&f->shape_index, hash);
    for (uint32_t id = fs_index_next(&probe); id != FS_NONE; id = fs_index_next(&probe)) {
        const fs_link_shape *s = &f->shapes.data[id];
        if (s->type == type_id && s->lanes == lanes && s->latency_s == latency_s)
            return id;
    }
    fs_link_shape made = {type_id, lanes, type->bandwidth_Bps * lanes, type->effective_Bps * lanes, latency_s};
    uint32_t id = f->shapes.count;
    return FS_PUSH(&f->shapes, made) && fs_index_add(&f->shape_index, hash, id) ? id : FS_NONE;
}

/* part_low, part_high: what its ends are made of. */
static bool make_connection(fs_freezer *f, const connection *c, uint32_t part_low, uint32_t part_high,
                            fs_connection *out)
{
    *out = (fs_connection){
        c->low, c->high, {shape_of(f, c->type, c->lanes, part_low), shape_of(f, c->type, c->lanes, part_high)}};
    return out->shape[0] != FS_NONE && out->shape[1] != FS_NONE;
}

/* ---- sorting ----------------------------------------------------------------------------------------------------- */

static connection rising(const fs_freezer *f, const fs_spec_link_row *row)
{
    bool up = row->from < row->to;
    return (connection){up ? row->from : row->to, up ? row->to : row->from, f->type_of[row->type], row->lanes};
}

/* Of connections with the same lower device: a total order but for equal ones, which are exchangeable. */
static int compare(const void *left, const void *right)
{
    const connection *a = left, *b = right;
    if (a->high != b->high)
        return a->high < b->high ? -1 : 1;
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    return (a->lanes > b->lanes) - (a->lanes < b->lanes);
}

/* Those rows whose place in `flags` equals `flag` (all: flags NULL), sorted, to `out`; how many. `begin` (n_devices + 1)
 * is scratch. */
static uint32_t sort_rows(const fs_freezer *f, const fs_spec_link_row *rows, uint32_t n, const bool *flags, bool flag,
                          uint32_t *begin, uint32_t n_devices, connection *out)
{
    memset(begin, 0, ((size_t)n_devices + 1) * sizeof *begin);
    for (uint32_t i = 0; i < n; i++)
        if (flags == NULL || flags[i] == flag)
            begin[rising(f, &rows[i]).low + 1]++;
    for (uint32_t d = 0; d < n_devices; d++)
        begin[d + 1] += begin[d];
    uint32_t count = begin[n_devices];
    for (uint32_t i = 0; i < n; i++) {
        connection c = rising(f, &rows[i]);
        if (flags == NULL || flags[i] == flag)
            out[begin[c.low]++] = c;
    }
    for (uint32_t d = 0, first = 0; d < n_devices; first = begin[d++]) /* begin[d] is now where the next one's begin */
        if (begin[d] - first > 1)
            qsort(out + first, begin[d] - first, sizeof *out, compare);
    return count;
}

/* ---- links within a board that is written out ---------------------------------------------------------------------- */

/* The first part of a path: "rack3" of "rack3/tray5". Length 0: it has but one part. */
static size_t first_part(const char *name)
{
    const char *slash = strchr(name, '/');
    return slash ? (size_t)(slash - name) : 0;
}

/* Links that may have been written out: those of the only board of a system (unit), or cables (unit NULL). */
typedef struct written {
    const fs_freezer *f;
    const fs_spec_unit *unit;
    const fs_spec_link_row *rows;
    uint32_t n;
    const char *const *nodes; /* (n_nodes) names */
    uint32_t n_nodes;
} written;

/* The first parts of the names of nodes: boards. False when out of memory. */
static bool collect_boards(const written *w, fs_arena *arena, fs_names *boards)
{
    for (uint32_t i = 0; i < w->n_nodes; i++) {
        size_t length = first_part(w->nodes[i]);
        const char *board = fs_arena_strndup(arena, w->nodes[i], length ? length : strlen(w->nodes[i]));
        if (board == NULL || (fs_names_find(boards, board) == FS_NONE && !fs_names_add(boards, board)))
            return false;
    }
    return true;
}

/* The board that a device was written out of, by its name; FS_NONE: none. */
static uint32_t board_of(const written *w, const fs_names *boards, uint32_t device)
{
    const char *name;
    if (w->unit) {
        name = w->unit->devices.data[device].name;
    } else {
        fs_where at = fs_topo_where(w->f->topo, device);
        if (w->f->spec->runs.data[at.run - w->f->topo->runs].name)
            return FS_NONE;
        name = at.run->unit->names[at.local];
    }
    char board[FS_NAME_MAX + 1];
    size_t length = first_part(name);
    memcpy(board, name, length);
    board[length] = '\0';
    return length ? fs_names_find(boards, board) : FS_NONE;
}

/* (n) whether both ends are on one board; NULL when out of memory. */
static bool *mark_inner(const written *w)
{
    fs_names boards = {0};
    fs_arena *arena = fs_arena_new();
    bool *inner = arena ? fs_zalloc(w->n, sizeof *inner) : NULL;
    bool good = inner && collect_boards(w, arena, &boards);
    for (uint32_t i = 0; good && i < w->n; i++) {
        uint32_t board = board_of(w, &boards, w->rows[i].from);
        inner[i] = board != FS_NONE && board == board_of(w, &boards, w->rows[i].to);
    }
    fs_names_free(&boards);
    if (arena)
        fs_arena_free(arena);
    if (!good)
        fs_free(inner);
    return good ? inner : NULL;
}

/* Sorted, with those inside a board first. False when out of memory. */
static bool sort_written(const written *w, uint32_t *begin, uint32_t n_devices, connection *sorted)
{
    bool *inner = NULL;
    uint32_t n_inner = 0;
    if (w->n_nodes > 0) {
        inner = mark_inner(w);
        if (inner == NULL)
            return false;
        n_inner = sort_rows(w->f, w->rows, w->n, inner, true, begin, n_devices, sorted);
    }
    sort_rows(w->f, w->rows, w->n, inner, false, begin, n_devices, sorted + n_inner);
    fs_free(inner);
    return true;
}

/* ---- units ------------------------------------------------------------------------------------------------------- */

/* only: it is the only board of a system, and so its names are those that it would have written out. */
static bool copy_unit_links(fs_freezer *f, const fs_spec_unit *from, bool only, fs_topo_unit *unit)
{
    fs_arena *arena = f->topo->arena;
    uint32_t n = from->links.count;
    fs_connection *connections = fs_arena_alloc(arena, n, sizeof *connections);
    uint32_t *begin = fs_arena_alloc(arena, (size_t)unit->n_devices + 1, sizeof *begin);
    uint32_t *out = fs_arena_alloc(arena, unit->n_links, sizeof *out);
    connection *sorted = fs_alloc(n, sizeof *sorted);
    written w = {f, from, from->links.data, n, from->nodes.data, only ? from->nodes.count : 0};
    bool good = connections && begin && out && sorted && sort_written(&w, begin, unit->n_devices, sorted);
    if (good)
        memset(begin, 0, ((size_t)unit->n_devices + 1) * sizeof *begin);
    for (uint32_t i = 0; good && i < n; i++)
        good = make_connection(f, &sorted[i], unit->devices[sorted[i].low].part, unit->devices[sorted[i].high].part,
                               &connections[i]);
    fs_free(sorted);
    if (good)
        fs_unit_index_links(connections, unit->n_links, 0, unit->n_devices, begin, out);
    unit->connections = connections;
    unit->out_begin = begin;
    unit->out_links = out;
    return good;
}

/* ---- cables ------------------------------------------------------------------------------------------------------ */

static bool copy_cables(fs_freezer *f)
{
    fs_topo *topo = f->topo;
    uint32_t n = f->spec->cables.count;
    fs_connection *cables = fs_arena_alloc(topo->arena, n, sizeof *cables);
    uint32_t *begin = fs_arena_alloc(topo->arena, (size_t)topo->n_devices + 1, sizeof *begin);
    uint32_t *links = fs_arena_alloc(topo->arena, (size_t)n * 2, sizeof *links);
    connection *sorted = fs_alloc(n, sizeof *sorted);
    const fs_names *nodes = &f->spec->loose_nodes;
    written w = {f, NULL, f->spec->cables.data, n, nodes->names, nodes->count};
    bool good = cables && begin && links && sorted && sort_written(&w, begin, topo->n_devices, sorted);
    for (uint32_t i = 0; good && i < n; i++)
        good = make_connection(f, &sorted[i], fs_topo_device(topo, sorted[i].low).part,
                               fs_topo_device(topo, sorted[i].high).part, &cables[i]);
    fs_free(sorted);
    if (!good)
        return false;
    memset(begin, 0, ((size_t)topo->n_devices + 1) * sizeof *begin);
    fs_unit_index_links(cables, 2 * n, topo->first_cable, topo->n_devices, begin, links);
    topo->n_links = topo->first_cable + 2 * n;
    topo->cables = cables;
    topo->cable_begin = begin;
    topo->cable_links = links;
    return true;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

bool fs_freeze_links(fs_freezer *f)
{
    fs_topo *topo = f->topo;
    bool good = true;
    for (uint32_t r = 0; good && r < topo->n_runs; r++) {
        const fs_spec_run *run = &f->spec->runs.data[r];
        fs_topo_unit *unit = (fs_topo_unit *)topo->runs[r].unit; /* in the topology's own arena */
        if (unit->connections == NULL)
            good = copy_unit_links(f, fs_spec_unit_of(f->spec, run), run->name && run->name[0] == '\0', unit);
    }
    good = good && copy_cables(f);
    fs_link_shape *shapes = good ? fs_arena_alloc(topo->arena, f->shapes.count, sizeof *shapes) : NULL;
    if (shapes && f->shapes.count > 0)
        memcpy(shapes, f->shapes.data, f->shapes.count * sizeof *shapes);
    topo->shapes = shapes;
    topo->n_shapes = f->shapes.count;
    fs_free(f->shapes.data);
    fs_index_free(&f->shape_index);
    return shapes != NULL;
}
