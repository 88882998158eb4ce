/* mesh_rings.c - see mesh_rings.h. Backtracking over cycles, most rings first.
 *
 * The most rings there can be is the least lane count out of (or into) a vertex. For k from that bound down to 1 the
 * search looks for k cycles, one after the other, each by depth-first search from vertex 0, smallest neighbour first;
 * a dead end backs up into the ring before. Rings are looked for in pairs (a cycle and its reverse), as real meshes
 * have equal lanes both ways and pairs halve the depth; an odd k adds one single ring at the end. Successive rings are
 * in ascending order, so no set is tried twice.
 * DGX-1 V100: bound 6, found 3 cycles x 2 directions. A budget per k bounds the cost where no such set exists (finding
 * k disjoint Hamiltonian cycles is NP-hard): at most FS_MESH_RINGS_MAX * BUDGET steps, 0.1 s in the worst case.
 * Not finding the best set costs bandwidth in the model, never correctness. */
#include "coll/mesh_rings.h"

#include <string.h>

enum { BUDGET = 1 << 17 }; /* vertices visited for one k */

typedef struct hunt {
    uint32_t n, wanted, found;
    bool paired; /* each cycle takes its reverse too */
    uint32_t lanes[FS_MESH_MAX * FS_MESH_MAX];
    uint8_t cycles[FS_MESH_RINGS_MAX][FS_MESH_MAX];
    uint32_t steps;
} hunt;

static bool usable(const hunt *h, uint32_t from, uint32_t to)
{
    if (!h->paired)
        return h->lanes[from * h->n + to] > 0;
    return h->lanes[from * h->n + to] > 0 && h->lanes[to * h->n + from] > 0;
}

static void take(hunt *h, uint32_t from, uint32_t to, bool give_back)
{
    uint32_t by = give_back ? 1u : UINT32_MAX; /* +1 or -1 */
    h->lanes[from * h->n + to] += by;
    if (h->paired)
        h->lanes[to * h->n + from] += by;
}

static bool next_cycle(hunt *h);

/* Cycles ascend: cycle f must not be smaller than cycle f - 1 as a sequence. Checked on the prefix so far. */
static bool below_previous(const hunt *h, uint32_t depth)
{
    return h->found > 0 && memcmp(h->cycles[h->found], h->cycles[h->found - 1], depth) < 0;
}

/* Extend the cycle h->found, which has `depth` vertices. Depth of the recursion: rings x vertices. */
static bool extend(hunt *h, uint32_t depth, uint32_t visited)
{
    uint8_t *cycle = h->cycles[h->found];
    uint32_t at = cycle[depth - 1];
    if (h->steps++ >= BUDGET || below_previous(h, depth))
        return false;
    if (depth == h->n) {
        /* Of a cycle and its reverse, only the one with the smaller second vertex. */
        if (!usable(h, at, 0) || (h->paired && h->n > 2 && cycle[1] > at))
            return false;
        take(h, at, 0, false);
        h->found++;
        if (next_cycle(h))
            return true;
        h->found--;
        take(h, at, 0, true);
        return false;
    }
    for (uint32_t to = 1; to < h->n; to++) {
        if ((visited >> to & 1u) || !usable(h, at, to))
            continue;
        take(h, at, to, false);
        cycle[depth] = (uint8_t)to;
        if (extend(h, depth + 1, visited | 1u << to))
            return true;
        take(h, at, to, true);
    }
    return false;
}

static bool next_cycle(hunt *h)
{
    if (h->found == h->wanted)
        return true;
    h->cycles[h->found][0] = 0;
    return extend(h, 1, 1u);
}

/* The most rings that could be: no vertex can be left, or reached, more often than it has lanes. */
static uint32_t upper_bound(uint32_t n, const uint32_t *lanes)
{
    uint32_t bound = FS_MESH_RINGS_MAX;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t out = 0, in = 0;
        for (uint32_t j = 0; j < n; j++) {
            out += lanes[i * n + j];
            in += lanes[j * n + i];
        }
        bound = out < bound ? (uint32_t)out : bound;
        bound = in < bound ? (uint32_t)in : bound;
    }
    return bound;
}

static bool find_set(hunt *h, const uint32_t *lanes, uint32_t wanted, bool paired)
{
    memcpy(h->lanes, lanes, (size_t)h->n * h->n * sizeof *lanes);
    h->wanted = wanted;
    h->paired = paired;
    h->found = h->steps = 0;
    return next_cycle(h);
}

static void reverse(uint32_t n, const uint8_t *order, uint8_t *out)
{
    out[0] = order[0];
    for (uint32_t i = 1; i < n; i++)
        out[i] = order[n - i];
}

static void keep(fs_mesh_ring *rings, uint32_t *n_rings, uint32_t n, const uint8_t *order)
{
    for (uint32_t i = 0; i < *n_rings; i++) {
        if (memcmp(rings[i].order, order, n) == 0) {
            rings[i].lanes++;
            return;
        }
    }
    memcpy(rings[*n_rings].order, order, n);
    rings[(*n_rings)++].lanes = 1;
}

static void keep_all(const hunt *h, fs_mesh_ring *rings, uint32_t *n_rings)
{
    for (uint32_t i = 0; i < h->found; i++) {
        keep(rings, n_rings, h->n, h->cycles[i]);
        if (h->paired) {
            uint8_t back[FS_MESH_MAX];
            reverse(h->n, h->cycles[i], back);
            keep(rings, n_rings, h->n, back);
        }
    }
}

void fs_mesh_find_rings(uint32_t n, const uint32_t *lanes, fs_mesh_ring *rings, uint32_t *n_rings)
{
    hunt h = {.n = n};
    *n_rings = 0;
    for (uint32_t k = upper_bound(n, lanes); k > 0; k--) {
        /* The reverse of a ring of two is the ring itself. */
        bool pairs = n > 2 && k % 2 == 0;
        if ((pairs && find_set(&h, lanes, k / 2, true)) || find_set(&h, lanes, k, false)) {
            keep_all(&h, rings, n_rings);
            return;
        }
    }
}

typedef struct walk {
    uint32_t n, last, steps;
    const uint32_t *lanes;
    uint8_t *order;
} walk;

static bool walk_on(walk *w, uint32_t depth, uint32_t visited)
{
    uint32_t at = w->order[depth - 1];
    if (depth == w->n)
        return w->last == FS_NONE || at == w->last;
    if (w->steps++ >= BUDGET || at == w->last)
        return false;
    for (uint32_t to = 0; to < w->n; to++) {
        if ((visited >> to & 1u) || w->lanes[at * w->n + to] == 0)
            continue;
        w->order[depth] = (uint8_t)to;
        if (walk_on(w, depth + 1, visited | 1u << to))
            return true;
    }
    return false;
}

bool fs_mesh_find_path(uint32_t n, const uint32_t *lanes, uint32_t first, uint32_t last, uint8_t *order)
{
    walk w = {.n = n, .last = last, .lanes = lanes, .order = order};
    order[0] = (uint8_t)first;
    return walk_on(&w, 1, 1u << first);
}
