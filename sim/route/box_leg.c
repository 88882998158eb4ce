/* box_leg.c - ways inside a box; see box.h. Shortest paths by class cost, all of them.
 *
 * Costs: over NVLink every hop is 1. On the board a hop is FS_COST_BOARD and a hop between CPUs five times that, so a
 * CPU-CPU link is avoided where up to four PCIe hops do the same; network hops, outside, cost 1 and are never more than
 * a hop on a board. So traffic leaves through the nearest NICs and enters through the nearest, and between them takes the
 * fewest hops: the price of a wrong NIC (crossing sockets) is never paid to save a switch hop, as NCCL prefers it.
 * GPUs and NICs end ways and do not lie on them, but for one GPU on a forwarded one, as NCCL's PATH_NVB.
 *
 * A search from the destination (Dijkstra, O(m log n) in what is reached) tells the costs from everywhere; it is kept,
 * 4 B a device. A leg is then the DAG of those links that lie on a shortest path from its source: O(links of these
 * devices). */
#include "route/box.h"

#include <stdlib.h>
#include <string.h>

enum { COST_BOARD = 4096, COST_CPU = 5 * COST_BOARD, FORWARD_HOPS = 2 };

/* ---- costs ------------------------------------------------------------------------------------------------------- */

static bool in_reach(const fs_box_edge *edge, fs_reach reach)
{
    return reach == FS_REACH_BOARD || edge->scale_up;
}

static uint32_t cost_of(const fs_box_edge *edge, fs_reach reach)
{
    return reach != FS_REACH_BOARD ? 1 : edge->class_ == FS_CLASS_CPU ? COST_CPU : COST_BOARD;
}

/* May traffic of others pass through a device? */
static bool passes(const fs_box_kind *kind, uint32_t device, fs_reach reach)
{
    fs_device_kind what = kind->kinds[device];
    return what == FS_DEVICE_GPU ? reach == FS_REACH_FORWARDED : what != FS_DEVICE_NIC;
}

/* A total order, so that the heap's history does not show. */
static bool nearer(fs_box_item a, fs_box_item b)
{
    return a.cost != b.cost ? a.cost < b.cost : a.device < b.device;
}

static fs_status heap_push(fs_boxes *b, fs_box_item new, fs_err *err)
{
    if (FS_PUSH(&b->heap, new) == NULL)
        return fs_fail_nomem(err);
    fs_box_item *heap = b->heap.data;
    uint32_t i = b->heap.count - 1;
    for (; i > 0 && nearer(new, heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = new;
    return FS_OK;
}

static fs_box_item heap_pop(fs_boxes *b)
{
    fs_box_item *heap = b->heap.data, top = heap[0], last = heap[--b->heap.count];
    uint32_t n = b->heap.count, i = 0;
    for (uint32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && nearer(heap[child + 1], heap[child]))
            child++;
        if (!nearer(heap[child], last))
            break;
        heap[i] = heap[child];
    }
    if (n > 0)
        heap[i] = last;
    return top;
}

static fs_status search(fs_boxes *b, const fs_box_kind *kind, fs_reach reach, uint32_t dst, uint32_t *costs,
                        fs_err *err)
{
    for (uint32_t i = 0; i < kind->n; i++)
        costs[i] = FS_NONE;
    b->heap.count = 0;
    costs[dst] = 0;
    fs_status status = heap_push(b, (fs_box_item){0, dst}, err);
    while (status == FS_OK && b->heap.count > 0) {
        fs_box_item top = heap_pop(b);
        if (top.cost != costs[top.device] || (top.device != dst && !passes(kind, top.device, reach)))
            continue;
        for (uint32_t i = kind->edges_begin[top.device]; i < kind->edges_begin[top.device + 1]; i++) {
            const fs_box_edge *edge = &kind->edges[i];
            uint32_t cost = top.cost + cost_of(edge, reach);
            if (!edge->alive_back || !in_reach(edge, reach) || cost >= costs[edge->to] ||
                (reach == FS_REACH_FORWARDED && cost > FORWARD_HOPS))
                continue;
            costs[edge->to] = cost;
            status = heap_push(b, (fs_box_item){cost, edge->to}, err);
            if (status != FS_OK)
                return status;
        }
    }
    return status;
}

/* Costs to dst from every device of the kind. */
static fs_status costs_to(fs_boxes *b, uint32_t kind_id, fs_reach reach, uint32_t dst, const uint32_t **out,
                          fs_err *err)
{
    const fs_box_kind *kind = &b->kinds.data[kind_id];
    if (kind->costs[reach][dst] == NULL) {
        uint32_t *costs = fs_arena_alloc(b->arena, kind->n, sizeof *costs);
        if (costs == NULL)
            return fs_fail_nomem(err);
        fs_status status = search(b, kind, reach, dst, costs, err);
        if (status != FS_OK)
            return status;
        kind->costs[reach][dst] = costs;
    }
    *out = kind->costs[reach][dst];
    return FS_OK;
}

fs_status fs_box_cost(fs_boxes *b, uint32_t kind, uint32_t src, uint32_t dst, uint32_t *cost, fs_err *err)
{
    const uint32_t *costs = NULL;
    fs_status status = costs_to(b, kind, FS_REACH_BOARD, dst, &costs, err);
    if (status == FS_OK)
        *cost = costs[src];
    return status;
}

/* ---- legs -------------------------------------------------------------------------------------------------------- */

typedef struct way {
    const fs_box_kind *kind;
    fs_reach reach;
    uint32_t dst;
    const uint32_t *costs; /* to dst */
} way;

/* Is an edge of `from` on a shortest path? `from` itself is on one. */
static bool on_path(const way *w, uint32_t from, const fs_box_edge *edge)
{
    return edge->alive && in_reach(edge, w->reach) && w->costs[edge->to] != FS_NONE &&
           w->costs[from] == w->costs[edge->to] + cost_of(edge, w->reach) &&
           (edge->to == w->dst || passes(w->kind, edge->to, w->reach));
}

static int farther_first(const void *left, const void *right)
{
    const fs_box_item *a = left, *b = right;
    if (a->cost != b->cost)
        return a->cost > b->cost ? -1 : 1;
    return (a->device > b->device) - (a->device < b->device);
}

/* The devices on shortest paths from src, the farthest from the destination first: a topological order. */
static fs_status gather_devices(fs_boxes *b, const way *w, uint32_t src, fs_err *err)
{
    b->found.count = 0;
    if (FS_PUSH(&b->found, ((fs_box_item){w->costs[src], src})) == NULL)
        return fs_fail_nomem(err);
    b->vertex_of[src] = 0;
    for (uint32_t i = 0; i < b->found.count; i++) {
        uint32_t from = b->found.data[i].device;
        for (uint32_t e = w->kind->edges_begin[from]; e < w->kind->edges_begin[from + 1]; e++) {
            const fs_box_edge *edge = &w->kind->edges[e];
            if (!on_path(w, from, edge) || b->vertex_of[edge->to] != FS_NONE)
                continue;
            if (FS_PUSH(&b->found, ((fs_box_item){w->costs[edge->to], edge->to})) == NULL)
                return fs_fail_nomem(err);
            b->vertex_of[edge->to] = 0;
        }
    }
    qsort(b->found.data, b->found.count, sizeof *b->found.data, farther_first);
    for (uint32_t i = 0; i < b->found.count; i++)
        b->vertex_of[b->found.data[i].device] = i;
    return FS_OK;
}

static fs_status gather_links(fs_boxes *b, const way *w, fs_err *err)
{
    b->dag.edges.count = 0;
    for (uint32_t i = 0; i < b->found.count; i++) {
        uint32_t from = b->found.data[i].device;
        for (uint32_t e = w->kind->edges_begin[from]; e < w->kind->edges_begin[from + 1]; e++) {
            const fs_box_edge *edge = &w->kind->edges[e];
            if (!on_path(w, from, edge))
                continue;
            fs_dag_edge new = {i, b->vertex_of[edge->to], w->kind->example.first_link + edge->link, edge->link, 0.0};
            if (FS_PUSH(&b->dag.edges, new) == NULL)
                return fs_fail_nomem(err);
        }
    }
    return FS_OK;
}

static fs_status find_leg(fs_boxes *b, const way *w, fs_leg leg, fs_err *err)
{
    fs_status status = gather_devices(b, w, leg.src, err);
    if (status == FS_OK)
        status = gather_links(b, w, err);
    for (uint32_t i = 0; i < b->found.count; i++)
        b->vertex_of[b->found.data[i].device] = FS_NONE;
    return status == FS_OK ? fs_dag_solve(&b->dag, b->view, b->found.count, b->single_path, leg, &b->legs, err)
                           : status;
}

fs_status fs_box_leg(fs_boxes *b, uint32_t kind, fs_reach reach, uint32_t src, uint32_t dst, uint32_t *out, fs_err *err)
{
    fs_leg leg = {.space = kind * FS_REACHES + reach, .src = src, .dst = dst, .hops = FS_NONE};
    uint32_t known = fs_leg_recall(&b->legs, leg.space, src, dst);
    if (known != FS_NONE) {
        *out = known;
        return FS_OK;
    }
    way w = {.kind = &b->kinds.data[kind], .reach = reach, .dst = dst};
    fs_status status = costs_to(b, kind, reach, dst, &w.costs, err);
    if (status == FS_OK)
        status = w.costs[src] == FS_NONE ? fs_leg_keep(&b->legs, leg, err) : find_leg(b, &w, leg, err);
    if (status == FS_OK)
        *out = b->legs.legs.count - 1;
    return status;
}

/* ---- gates ------------------------------------------------------------------------------------------------------- */

static int nearest_first(const void *left, const void *right)
{
    const fs_gate *a = left, *b = right;
    if (a->cost != b->cost)
        return a->cost < b->cost ? -1 : 1;
    return (a->port > b->port) - (a->port < b->port);
}

static fs_status find_gates(fs_boxes *b, uint32_t kind_id, uint32_t device, bool out, fs_gates *known, fs_err *err)
{
    const fs_box_kind *kind = &b->kinds.data[kind_id];
    fs_gate *gates = fs_arena_alloc(b->arena, (size_t)kind->n_ports + 1, sizeof *gates);
    if (gates == NULL)
        return fs_fail_nomem(err);
    uint32_t n = 0;
    if (kind->plugged[device])
        gates[n++] = (fs_gate){device, 0};
    for (uint32_t i = 0; i < kind->n_ports; i++) {
        uint32_t port = kind->ports[i], cost = FS_NONE;
        fs_status status =
            port == device ? FS_OK : fs_box_cost(b, kind_id, out ? device : port, out ? port : device, &cost, err);
        if (status != FS_OK)
            return status;
        if (cost != FS_NONE)
            gates[n++] = (fs_gate){port, cost};
    }
    qsort(gates, n, sizeof *gates, nearest_first);
    *known = (fs_gates){n, gates};
    return FS_OK;
}

fs_status fs_box_gates(fs_boxes *b, uint32_t kind, uint32_t device, bool out, fs_gates *gates, fs_err *err)
{
    fs_gates *known = out ? &b->kinds.data[kind].exits[device] : &b->kinds.data[kind].entries[device];
    fs_status status = known->gates != NULL ? FS_OK : find_gates(b, kind, device, out, known, err);
    if (status == FS_OK)
        *gates = *known;
    return status;
}
