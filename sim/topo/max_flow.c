/* max_flow.c - see max_flow.h. Dinic 1970: phases of shortest augmenting paths in a level graph.
 *
 * The two links of a connection are each other's reverse arcs, so the graph is the topology itself. Sources and sinks
 * are sets: level 0 holds all sources, and a phase uses the sinks of the lowest level that has any. A path takes
 * exactly what its narrowest link has left, which leaves exactly 0 there, so rounding cannot keep a phase going.
 * Cost: O(V^2 E) at worst; on fabrics of k tiers a few phases of O(E). No recursion. */
#include "topo/max_flow.h"

#include "base/mem.h"

enum { PASS, SOURCE, SINK };

typedef struct flow {
    const fs_topo *topo;
    double *residual;
    const unsigned char *role;
    uint32_t *level; /* (n_devices) FS_NONE = not reached */
    uint32_t *next;  /* (n_devices) which of its links is tried next */
    uint32_t *queue; /* (n_devices) devices of the search, then links of the path */
} flow;

/* Breadth-first levels; whether a sink is reached. Sinks past the first level that has one are left out. */
static bool find_levels(flow *f)
{
    const fs_topo *topo = f->topo;
    uint32_t count = 0, last = FS_NONE;
    for (uint32_t d = 0; d < topo->n_devices; d++) {
        f->level[d] = f->role[d] == SOURCE ? 0 : FS_NONE;
        f->next[d] = 0;
        if (f->role[d] == SOURCE)
            f->queue[count++] = d;
    }
    for (uint32_t head = 0; head < count; head++) {
        uint32_t d = f->queue[head];
        if (f->role[d] == SINK || f->level[d] >= last)
            continue;
        for (uint32_t i = 0; i < fs_topo_out_count(topo, d); i++) {
            uint32_t link = fs_topo_out_link(topo, d, i), to = fs_topo_link(topo, link).dst;
            if (f->residual[link] <= 0 || f->level[to] != FS_NONE)
                continue;
            f->level[to] = f->level[d] + 1;
            f->queue[count++] = to;
            if (f->role[to] == SINK)
                last = f->level[to];
        }
    }
    return last != FS_NONE;
}

/* Push what the path of `length` links can take; the length up to its first link that is now full. */
static uint32_t augment(flow *f, uint32_t length, double *total)
{
    double least = f->residual[f->queue[0]];
    for (uint32_t i = 1; i < length; i++)
        if (f->residual[f->queue[i]] < least)
            least = f->residual[f->queue[i]];
    uint32_t keep = length;
    for (uint32_t i = length; i-- > 0;) {
        uint32_t link = f->queue[i];
        f->residual[link] -= least;
        f->residual[link ^ 1] += least;
        if (f->residual[link] <= 0)
            keep = i;
    }
    *total += least;
    return keep;
}

/* All paths from one source in the level graph, depth first. */
static void drain(flow *f, uint32_t source, double *total)
{
    const fs_topo *topo = f->topo;
    uint32_t at = source, length = 0;
    for (;;) {
        if (f->role[at] == SINK) {
            length = augment(f, length, total);
            at = length ? fs_topo_link(topo, f->queue[length - 1]).dst : source;
        }
        bool advanced = false;
        for (; !advanced && f->next[at] < fs_topo_out_count(topo, at); f->next[at] += !advanced) {
            uint32_t link = fs_topo_out_link(topo, at, f->next[at]), to = fs_topo_link(topo, link).dst;
            advanced = f->residual[link] > 0 && f->level[to] == f->level[at] + 1;
            if (advanced)
                f->queue[length++] = link;
        }
        if (advanced) {
            at = fs_topo_link(topo, f->queue[length - 1]).dst;
        } else if (length == 0) {
            return;
        } else { /* dead end: do not try this link again in this phase */
            at = fs_topo_link(topo, f->queue[--length]).src;
            f->next[at]++;
        }
    }
}

fs_status fs_max_flow(const fs_topo *topo, double *residual, const unsigned char *role, double *value, fs_err *err)
{
    flow f = {
        .topo = topo,
        .residual = residual,
        .role = role,
        .level = fs_alloc(topo->n_devices, sizeof(uint32_t)),
        .next = fs_alloc(topo->n_devices, sizeof(uint32_t)),
        .queue = fs_alloc(topo->n_devices, sizeof(uint32_t)),
    };
    bool good = f.level && f.next && f.queue;
    double total = 0;
    while (good && find_levels(&f))
        for (uint32_t d = 0; d < topo->n_devices; d++)
            if (role[d] == SOURCE)
                drain(&f, d, &total);
    fs_free(f.level);
    fs_free(f.next);
    fs_free(f.queue);
    if (!good)
        return fs_fail_nomem(err);
    *value = total;
    return FS_OK;
}
