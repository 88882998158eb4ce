/* bundle_classes.c - which switches are alike: colour refinement. See bundle.h, bundling.h.
 *
 * A mould's switches are coloured by what they are; then, until no class splits, each one's colour takes in the colours
 * of its links and of the switches at their ends. Devices that are no switches have colours of their own. Units come
 * first: their cables count with their shapes in all copies, but not where they lead. Then the system's own switches,
 * for which a switch in a copy has the colour of its class there.
 * Colours are 64-bit hashes. So classes are checked afterwards, link by link, in every copy: where two members differ, by
 * a cable or by a collision, or are linked to each other, the class is taken apart, and all is done again.
 * Refinement: M. Grohe, K. Kersting, M. Mladenov, E. Selman, "Dimension Reduction via Colour Refinement", ESA 2014. Rounds
 * over all links instead of a worklist: fabrics need about as many as they have tiers.
 * Cost: O(rounds x links of moulds and cables), and a sort of the links of merged switches. */
#include "topo/bundling.h"

#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

/* ---- colours ----------------------------------------------------------------------------------------------------- */

/* The last steps of SplitMix64 (rng.c): one to one, and every bit depends on all. */
static inline uint64_t mix(uint64_t z)
{
    z += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* A colour among those of one sort. */
enum { DEVICE, ALONE, PLAIN, INNER };
static inline uint64_t colour_of(uint64_t sort, uint64_t value)
{
    return mix(mix(sort) ^ value);
}

static uint64_t fault_colour(const fs_topo *topo, uint32_t link)
{
    const fs_factors *f = &topo->link_faults;
    uint32_t low = 0, high = f->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (f->ids[middle] < link)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == f->count || f->ids[low] != link)
        return 0;
    return fs_hash_bytes(FS_HASH_START, f->factors + (size_t)low * topo->n_epochs, topo->n_epochs * sizeof *f->factors);
}

uint64_t fs_link_colour(const fs_topo *topo, uint32_t link)
{
    uint32_t base;
    const fs_connection *c = fs_topo_connection(topo, link, &base);
    uint64_t colour = mix((uint64_t)c->shape[link & 1u] << 32 | c->shape[~link & 1u]);
    if (topo->link_faults.count == 0)
        return colour;
    return mix(mix(colour ^ fault_colour(topo, link)) ^ fault_colour(topo, link ^ 1u));
}

bool fs_picks_paths(const fs_topo *topo, uint32_t device)
{
    uint32_t network = fs_topo_device(topo, device).network;
    if (network == FS_NONE)
        return false;
    fs_routing routing = topo->networks[network].routing;
    return routing == FS_ROUTING_ECMP || routing == FS_ROUTING_STATIC;
}

/* What a switch is. */
static uint64_t first_colour(const fs_bundling *b, const fs_mould *m, uint32_t local)
{
    uint32_t id = fs_mould_device(m, local);
    fs_device d = fs_topo_device(b->whole, id);
    if (m->alone[local] || fs_picks_paths(b->whole, id))
        return colour_of(ALONE, local);
    uint64_t colour = colour_of(PLAIN, (uint64_t)d.part << 32 | d.network);
    if (m->loose) /* classes do not reach from one segment to another */
        colour =
            mix(colour ^ (uint64_t)(fs_spot_of(b->segments.data, b->segments.count, id).segment - b->segments.data));
    return mix(colour ^ m->cables[local]);
}

/* ---- cables of switches in units --------------------------------------------------------------------------------- */

static void note_cable(fs_bundling *b, uint32_t device, uint32_t link)
{
    fs_spot at = fs_spot_of(b->segments.data, b->segments.count, device);
    fs_mould *m = &b->moulds.data[at.segment->mould];
    if (m->loose || !fs_is_switch(fs_topo_device(b->whole, device).kind))
        return;
    uint64_t copy = at.segment->first_copy + at.copy;
    m->cables[at.local] += mix(colour_of(INNER, copy) ^ fs_link_colour(b->whole, link)) | 1u; /* never back to 0 soon */
}

static void note_cables(fs_bundling *b)
{
    const fs_topo *topo = b->whole;
    for (uint32_t link = topo->first_cable; link < topo->n_links; link += 2) {
        const fs_connection *c = &topo->cables[(link - topo->first_cable) / 2];
        note_cable(b, c->low, link);
        note_cable(b, c->high, link + 1);
    }
}

/* ---- refinement -------------------------------------------------------------------------------------------------- */

typedef struct edge { /* to another switch of the mould */
    uint32_t to;
    uint64_t colour;
} edge;

typedef struct graph { /* the switches of a mould */
    uint32_t n;
    uint32_t *local;                  /* (n) */
    uint32_t *vertex;                 /* (devices of the mould) FS_NONE: no switch */
    uint64_t *colour, *next, *sorted; /* (n) */
    uint32_t *begin;                  /* (n + 1) */
    FS_VEC(edge) edges;
} graph;

static void free_graph(graph *g)
{
    fs_free(g->local);
    fs_free(g->vertex);
    fs_free(g->colour);
    fs_free(g->next);
    fs_free(g->sorted);
    fs_free(g->begin);
    fs_free(g->edges.data);
}

/* Whether the end of a link of a mould's device is a switch of the mould; else its colour. */
static uint32_t end_of(const fs_bundling *b, const fs_mould *m, const graph *g, uint32_t device, uint64_t *colour)
{
    if (!m->loose) {
        uint32_t vertex = g->vertex[device - m->first_device];
        *colour = colour_of(DEVICE, device);
        return vertex;
    }
    fs_spot at = fs_spot_of(b->segments.data, b->segments.count, device);
    const fs_mould *there = &b->moulds.data[at.segment->mould];
    *colour = colour_of(DEVICE, device);
    if (there->loose)
        return g->vertex[at.local];
    if (fs_is_switch(fs_topo_device(b->whole, device).kind)) {
        uint64_t copy = (uint64_t)(at.segment - b->segments.data) << 32 | at.copy;
        *colour = mix(colour_of(INNER, copy) ^ there->class_of[at.local]);
    }
    return FS_NONE;
}

static bool add_edges(const fs_bundling *b, const fs_mould *m, graph *g, uint32_t v)
{
    fs_links links = fs_topo_out(b->whole, fs_mould_device(m, g->local[v]));
    uint32_t n = m->loose ? links.count : links.n_unit; /* cables of units have been noted before */
    for (uint32_t i = 0; i < n; i++) {
        uint32_t link = fs_links_at(&links, i);
        uint64_t colour, at_end;
        uint32_t to = end_of(b, m, g, fs_topo_link(b->whole, link).dst, &at_end);
        colour = fs_link_colour(b->whole, link);
        if (to == FS_NONE)
            g->colour[v] += mix(at_end ^ colour);
        else if (!FS_PUSH(&g->edges, ((edge){to, colour})))
            return false;
    }
    g->begin[v + 1] = g->edges.count;
    return true;
}

static bool make_graph(const fs_bundling *b, const fs_mould *m, graph *g)
{
    g->vertex = fs_alloc(m->n_devices, sizeof *g->vertex);
    g->local = fs_alloc(m->n_devices, sizeof *g->local);
    if (g->vertex == NULL || g->local == NULL)
        return false;
    for (uint32_t d = 0; d < m->n_devices; d++) {
        bool is_switch = fs_is_switch(fs_topo_device(b->whole, fs_mould_device(m, d)).kind);
        g->vertex[d] = is_switch ? g->n : FS_NONE;
        if (is_switch)
            g->local[g->n++] = d;
    }
    g->colour = fs_alloc(g->n, sizeof *g->colour);
    g->next = fs_alloc(g->n, sizeof *g->next);
    g->sorted = fs_alloc(g->n, sizeof *g->sorted);
    g->begin = fs_zalloc((size_t)g->n + 1, sizeof *g->begin);
    bool good = g->colour && g->next && g->sorted && g->begin;
    for (uint32_t v = 0; good && v < g->n; v++) {
        g->colour[v] = first_colour(b, m, g->local[v]);
        good = add_edges(b, m, g, v);
    }
    return good;
}

static int compare_u64(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static uint32_t count_colours(graph *g)
{
    uint32_t count = 0;
    memcpy(g->sorted, g->colour, g->n * sizeof *g->sorted);
    qsort(g->sorted, g->n, sizeof *g->sorted, compare_u64);
    for (uint32_t i = 0; i < g->n; i++)
        count += i == 0 || g->sorted[i] != g->sorted[i - 1];
    return count;
}

/* Each round's colours split the classes of the one before, so when their number stays, so do they. */
static void refine(graph *g)
{
    uint32_t before = 0, count = count_colours(g);
    while (count > before && count < g->n) {
        for (uint32_t v = 0; v < g->n; v++) {
            uint64_t sum = mix(g->colour[v]);
            for (uint32_t e = g->begin[v]; e < g->begin[v + 1]; e++)
                sum += mix(g->colour[g->edges.data[e].to] ^ g->edges.data[e].colour);
            g->next[v] = sum;
        }
        uint64_t *swap = g->colour;
        g->colour = g->next;
        g->next = swap;
        before = count;
        count = count_colours(g);
    }
}

typedef struct coloured {
    uint64_t colour;
    uint32_t vertex;
} coloured;

static int compare_coloured(const void *left, const void *right)
{
    const coloured *a = left, *b = right;
    if (a->colour != b->colour)
        return a->colour < b->colour ? -1 : 1;
    return a->vertex < b->vertex ? -1 : 1;
}

/* (vertices) the first vertex of the same colour; NULL when out of memory. */
static uint32_t *find_firsts(const graph *g)
{
    uint32_t *first = fs_alloc(g->n, sizeof *first);
    coloured *sorted = fs_alloc(g->n, sizeof *sorted);
    bool good = first && sorted;
    for (uint32_t v = 0; good && v < g->n; v++)
        sorted[v] = (coloured){g->colour[v], v};
    if (good)
        qsort(sorted, g->n, sizeof *sorted, compare_coloured);
    for (uint32_t i = 0, begin = 0; good && i < g->n; i++) {
        if (sorted[i].colour != sorted[begin].colour)
            begin = i;
        first[sorted[i].vertex] = sorted[begin].vertex;
    }
    fs_free(sorted);
    if (!good)
        fs_free(first);
    return good ? first : NULL;
}

/* Number the classes by their first members, and list their members. */
static void number_classes(fs_mould *m, const graph *g, const uint32_t *first)
{
    m->n_classes = 0;
    memset(m->begin, 0, ((size_t)m->n_devices + 1) * sizeof *m->begin);
    for (uint32_t d = 0; d < m->n_devices; d++) {
        uint32_t v = g->vertex[d];
        bool new_class = v == FS_NONE || first[v] == v;
        m->class_of[d] = new_class ? m->n_classes++ : m->class_of[g->local[first[v]]];
        m->begin[m->class_of[d] + 1]++;
    }
    for (uint32_t c = 0; c < m->n_classes; c++)
        m->begin[c + 1] += m->begin[c];
    for (uint32_t d = 0; d < m->n_devices; d++)
        m->members[m->begin[m->class_of[d]]++] = d;
    memmove(m->begin + 1, m->begin, m->n_classes * sizeof *m->begin);
    m->begin[0] = 0;
}

static bool find_classes(const fs_bundling *b, fs_mould *m)
{
    graph g = {0};
    bool good = make_graph(b, m, &g);
    if (good)
        refine(&g);
    uint32_t *first = good ? find_firsts(&g) : NULL;
    if (first)
        number_classes(m, &g, first);
    fs_free(first);
    free_graph(&g);
    return first != NULL;
}

/* Ids in the bundled topology. */
static void number_segments(fs_bundling *b)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < b->segments.count; i++) {
        fs_segment *s = &b->segments.data[i];
        const fs_mould *m = &b->moulds.data[s->mould];
        s->first = next;
        s->first_class = 0;
        s->n_classes = m->n_classes;
        if (m->loose && s->n_devices > 0) { /* no class goes past the end of a segment */
            uint32_t end = s->offset + s->n_devices;
            s->first_class = m->class_of[s->offset];
            s->n_classes = (end < m->n_devices ? m->class_of[end] : m->n_classes) - s->first_class;
        } else if (m->loose) {
            s->n_classes = 0;
        }
        next += s->copies * s->n_classes;
    }
}

/* ---- the check --------------------------------------------------------------------------------------------------- */

typedef struct link_row { /* a link of a member */
    uint32_t to, unused;  /* to: id in the bundled topology */
    uint64_t colour;
} link_row;

typedef struct rows {
    FS_VEC(link_row) list;
} rows;

static int compare_rows(const void *left, const void *right)
{
    const link_row *a = left, *b = right;
    if (a->to != b->to)
        return a->to < b->to ? -1 : 1;
    return (a->colour > b->colour) - (a->colour < b->colour);
}

static bool list_links(const fs_bundling *b, uint32_t device, rows *r)
{
    fs_links links = fs_topo_out(b->whole, device);
    r->list.count = 0;
    for (uint32_t i = 0; i < links.count; i++) {
        uint32_t link = fs_links_at(&links, i);
        link_row row = {
            .to = fs_bundled_id(b->segments.data, b->segments.count, b->moulds.data, fs_topo_link(b->whole, link).dst),
            .colour = fs_link_colour(b->whole, link)};
        if (!FS_PUSH(&r->list, row))
            return false;
    }
    if (links.count > 0)
        qsort(r->list.data, r->list.count, sizeof *r->list.data, compare_rows);
    return true;
}

/* Whether members [begin, end) of a class are alike, `shift` ids further than in the mould. */
static fs_status check_members(const fs_bundling *b, const fs_mould *m, uint32_t class_id, uint32_t shift, rows pair[2],
                               bool *alike, fs_err *err)
{
    uint32_t first = fs_mould_device(m, m->members[m->begin[class_id]]) + shift;
    uint32_t own = fs_bundled_id(b->segments.data, b->segments.count, b->moulds.data, first);
    if (!list_links(b, first, &pair[0]))
        return fs_fail_nomem(err);
    *alike = true;
    for (uint32_t i = 0; i < pair[0].list.count; i++)
        *alike = *alike && pair[0].list.data[i].to != own;
    for (uint32_t i = m->begin[class_id] + 1; *alike && i < m->begin[class_id + 1]; i++) {
        if (!list_links(b, fs_mould_device(m, m->members[i]) + shift, &pair[1]))
            return fs_fail_nomem(err);
        *alike = pair[0].list.count == pair[1].list.count &&
                 (pair[0].list.count == 0 ||
                  memcmp(pair[0].list.data, pair[1].list.data, pair[0].list.count * sizeof *pair[0].list.data) == 0);
    }
    return FS_OK;
}

/* In all copies where cables may tell members apart, in one where there are none. */
static fs_status check_class(const fs_bundling *b, uint32_t mould, uint32_t class_id, rows pair[2], bool *alike,
                             fs_err *err)
{
    const fs_mould *m = &b->moulds.data[mould];
    if (m->loose || m->cables[m->members[m->begin[class_id]]] == 0)
        return check_members(b, m, class_id, 0, pair, alike, err);
    fs_status status = FS_OK;
    *alike = true;
    for (uint32_t i = 0; i < b->segments.count; i++) {
        const fs_segment *s = &b->segments.data[i];
        for (uint32_t copy = 0; status == FS_OK && *alike && s->mould == mould && copy < s->copies; copy++)
            status = check_members(b, m, class_id, s->first_device + copy * s->n_devices - m->first_device, pair, alike,
                                   err);
    }
    return status;
}

/* *found: some class had members that are not alike; they will be alone. */
static fs_status check_all(fs_bundling *b, bool *found, fs_err *err)
{
    rows pair[2] = {0};
    fs_status status = FS_OK;
    *found = false;
    for (uint32_t i = 0; i < b->moulds.count; i++) {
        fs_mould *m = &b->moulds.data[i];
        for (uint32_t c = 0; status == FS_OK && c < m->n_classes; c++) {
            bool alike = true;
            if (m->begin[c + 1] - m->begin[c] > 1)
                status = check_class(b, i, c, pair, &alike, err);
            for (uint32_t k = m->begin[c]; !alike && k < m->begin[c + 1]; k++)
                m->alone[m->members[k]] = true;
            *found = *found || !alike;
        }
    }
    fs_free(pair[0].list.data);
    fs_free(pair[1].list.data);
    return status;
}

fs_status fs_bundle_classes(fs_bundling *b, fs_err *err)
{
    bool again = true;
    note_cables(b);
    while (again) { /* at least one class more is taken apart each time */
        for (uint32_t i = 0; i < b->moulds.count; i++)
            if (i != b->loose && !find_classes(b, &b->moulds.data[i]))
                return fs_fail_nomem(err);
        if (!find_classes(b, &b->moulds.data[b->loose]))
            return fs_fail_nomem(err);
        number_segments(b);
        fs_status status = check_all(b, &again, err);
        if (status != FS_OK)
            return status;
    }
    return FS_OK;
}
