/* max_flow.c - see max_flow.h. Dinic 1970: phases of shortest augmenting paths in a level graph.
 *
 * Arcs come in pairs, each the reverse of the other. Sources and sinks
 * are sets: level 0 holds all sources, and a phase uses the sinks of the lowest level that has any. A path takes
 * exactly what its narrowest link has left, which leaves exactly 0 there, so rounding cannot keep a phase going.
 * Cost: O(V^2 E) at worst; on fabrics of k tiers a few phases of O(E). No recursion. */
#include "topo/max_flow.h"

#include "base/mem.h"

typedef struct flow {
    const fs_flow_net *net;
    double *residual;
    uint32_t *level; /* (n) FS_NONE = not reached */
    uint32_t *next;  /* (n) which of its links is tried next */
    uint32_t *queue; /* (n) devices of the search, then links of the path */
} flow;

/* Breadth-first levels; whether a sink is reached. Sinks past the first level that has one are left out. */
static bool find_levels(flow *f)
{
    const fs_flow_net *net = f->net;
    uint32_t count = 0, last = FS_NONE;
    for (uint32_t d = 0; d < net->n; d++) {
        f->level[d] = net->role[d] == FS_FLOW_SOURCE ? 0 : FS_NONE;
        f->next[d] = 0;
        if (net->role[d] == FS_FLOW_SOURCE)
            f->queue[count++] = d;
    }
    for (uint32_t head = 0; head < count; head++) {
        uint32_t d = f->queue[head];
        if (net->role[d] == FS_FLOW_SINK || f->level[d] >= last)
            continue;
        for (uint32_t i = 0; i < net->begin[d + 1] - net->begin[d]; i++) {
            uint32_t link = net->out[net->begin[d] + i], to = net->dst[link];
            if (f->residual[link] <= 0 || f->level[to] != FS_NONE)
                continue;
            f->level[to] = f->level[d] + 1;
            f->queue[count++] = to;
            if (net->role[to] == FS_FLOW_SINK)
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
    const fs_flow_net *net = f->net;
    uint32_t at = source, length = 0;
    for (;;) {
        if (net->role[at] == FS_FLOW_SINK) {
            length = augment(f, length, total);
            at = length ? net->dst[f->queue[length - 1]] : source;
        }
        bool advanced = false;
        for (; !advanced && f->next[at] < net->begin[at + 1] - net->begin[at]; f->next[at] += !advanced) {
            uint32_t link = net->out[net->begin[at] + f->next[at]], to = net->dst[link];
            advanced = f->residual[link] > 0 && f->level[to] == f->level[at] + 1;
            if (advanced)
                f->queue[length++] = link;
        }
        if (advanced) {
            at = net->dst[f->queue[length - 1]];
        } else if (length == 0) {
            return;
        } else { /* dead end: do not try this link again in this phase */
            at = net->src[f->queue[--length]];
            f->next[at]++;
        }
    }
}

fs_status fs_max_flow(const fs_flow_net *net, double *residual, double *value, fs_err *err)
{
    flow f = {
        .net = net,
        .residual = residual,
        .level = fs_alloc(net->n, sizeof(uint32_t)),
        .next = fs_alloc(net->n, sizeof(uint32_t)),
        .queue = fs_alloc(net->n, sizeof(uint32_t)),
    };
    bool good = f.level && f.next && f.queue;
    double total = 0;
    while (good && find_levels(&f))
        for (uint32_t d = 0; d < net->n; d++)
            if (net->role[d] == FS_FLOW_SOURCE)
                drain(&f, d, &total);
    fs_free(f.level);
    fs_free(f.next);
    fs_free(f.queue);
    if (!good)
        return fs_fail_nomem(err);
    *value = total;
    return FS_OK;
}
