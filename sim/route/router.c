/* router.c - see route.h. Shortest paths by class cost, spread over all of them.
 *
 * Three networks are tried in turn; the first that joins the two devices is the one used:
 *   1. scale-up: NVLink among GPUs and NVSwitches, one per hop. With gpu_forwarding, where that fails, two NVLink hops
 *      with any GPU between: one intermediate GPU, as NCCL's PATH_NVB does;
 *   2. the board: everything but the network, for devices of one board;
 *   3. everything. A network hop costs 1, a hop inside a board 4096, a hop between CPUs 5 x 4096: traffic leaves
 *      through the nearest NICs and enters through the nearest, and between them takes the fewest hops. The price of a
 *      wrong NIC (crossing sockets) is thus never paid to save a switch hop, as NCCL prefers it; and a CPU-CPU link is
 *      avoided where up to four PCIe hops do the same.
 * GPUs end paths and, but for forwarding, never lie on them. A NIC passes traffic between its board and the network,
 * never from one network link to another or from PCIe to PCIe.
 *
 * Fractions. The minimal paths form a DAG. Let C(v) be what can flow on from v: C(dst) is unlimited, else
 *     C(v) = sum over next links l = (v, w) of min(capacity(l), C(w)).
 * v splits its bytes in proportion to min(capacity(l), C(w)), so a lane that the far side cannot match gets no more
 * than the far side takes: 4 lanes into a switch and 5 out of it weigh 4. On parallel switches (all NVSwitch boards)
 * this is the maximum flow, hence the least worst load; where paths join again it is the even spraying of
 * per-packet adaptive routing. Rejected: lanes of the first hop only, which overloads the narrow side.
 *
 * Cost: a search from the destination, O(m log n) in the part of the machine that is no farther away than the source.
 * Routes to the same destination one after the other go on with its search, so all pairs cost n searches when the
 * destination is the outer loop. Found routes are kept. Memory: 16 B per share. */
#include "route/route.h"

#include "base/index.h"
#include "base/mem.h"

#include <math.h>

enum {
    COST_NET = 1,
    COST_BOARD = 4096, /* above any number of network hops on a minimal path */
    COST_CPU = 5 * COST_BOARD,
    FORWARD_HOPS = 2 /* one GPU between two NVLinks */
};

typedef struct known_route {
    uint32_t src, dst;
    const fs_route *route;
} known_route;

typedef struct item {
    uint64_t cost;
    uint32_t device;
} item;

typedef enum network { SCALE_UP, FORWARDED, BOARD, EVERYTHING, NETWORKS } network;

/* What a search knows of a device; valid where stamp is the search's. */
typedef struct mark {
    uint64_t cost; /* to the destination */
    uint32_t stamp;
    bool settled;
    bool by_net;     /* NICs: the way to the destination begins with a network link */
    double onward;   /* C(v), B/s */
    double latency;  /* s, slowest minimal path to the destination */
    double fraction; /* of the bytes that pass here */
    uint32_t hops;
} mark;

struct fs_router {
    const fs_topo *topo;
    bool single_path;
    fs_arena *arena; /* routes */
    FS_VEC(known_route) known;
    fs_index index; /* of known, by source and destination */
    mark *marks;    /* (n_devices) */
    uint32_t stamp;
    uint32_t dst; /* of the search in marks, heap and order, which may go on; FS_NONE: none */
    network net;
    FS_VEC(item) heap;
    FS_VEC(uint32_t) order; /* settled devices, nearest to the destination first */
    uint32_t n_measured;    /* of them have onward, latency and hops */
    FS_VEC(fs_share) shares;
};

fs_status fs_router_new(const fs_topo *topo, fs_router_options options, fs_router **out, fs_err *err)
{
    fs_router *router = fs_zalloc(1, sizeof *router);
    if (router == NULL)
        return fs_fail_nomem(err);
    router->topo = topo;
    router->single_path = options.single_path;
    router->arena = fs_arena_new();
    router->marks = fs_zalloc(topo->n_devices, sizeof *router->marks);
    router->dst = FS_NONE;
    if (router->arena == NULL || router->marks == NULL) {
        fs_router_free(router);
        return fs_fail_nomem(err);
    }
    *out = router;
    return FS_OK;
}

void fs_router_free(fs_router *router)
{
    if (router == NULL)
        return;
    fs_arena_free(router->arena);
    fs_free(router->known.data);
    fs_index_free(&router->index);
    fs_free(router->marks);
    fs_free(router->heap.data);
    fs_free(router->order.data);
    fs_free(router->shares.data);
    fs_free(router);
}

/* ---- cache ------------------------------------------------------------------------------------------------------- */

static uint64_t pair_of(uint32_t src, uint32_t dst)
{
    return (uint64_t)src << 32 | dst;
}

static const fs_route *recall(const fs_router *router, uint32_t src, uint32_t dst)
{
    fs_index_probe probe = fs_index_search(&router->index, pair_of(src, dst));
    for (uint32_t i = fs_index_next(&probe); i != FS_NONE; i = fs_index_next(&probe))
        if (router->known.data[i].src == src && router->known.data[i].dst == dst)
            return router->known.data[i].route;
    return NULL;
}

static fs_status remember(fs_router *router, uint32_t src, uint32_t dst, const fs_route *route, fs_err *err)
{
    if (FS_PUSH(&router->known, ((known_route){src, dst, route})) == NULL)
        return fs_fail_nomem(err);
    if (!fs_index_add(&router->index, pair_of(src, dst), router->known.count - 1)) {
        router->known.count--;
        return fs_fail_nomem(err);
    }
    return FS_OK;
}

/* ---- search ------------------------------------------------------------------------------------------------------ */

/* A total order, so that the heap's history does not show. */
static bool nearer(item a, item b)
{
    return a.cost != b.cost ? a.cost < b.cost : a.device < b.device;
}

static fs_status heap_push(fs_router *router, item new, fs_err *err)
{
    if (FS_PUSH(&router->heap, new) == NULL)
        return fs_fail_nomem(err);
    item *heap = router->heap.data;
    uint32_t i = router->heap.count - 1;
    for (; i > 0 && nearer(new, heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = new;
    return FS_OK;
}

static item heap_pop(fs_router *router)
{
    item *heap = router->heap.data, top = heap[0], last = heap[--router->heap.count];
    uint32_t n = router->heap.count, i = 0;
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

static fs_link_class link_class(const fs_topo *topo, uint32_t link)
{
    return topo->link_types[fs_topo_link(topo, link).type].class_;
}

static uint32_t link_cost(fs_link_class class_, network net)
{
    if (net == SCALE_UP || net == FORWARDED)
        return 1;
    return class_ == FS_CLASS_NET ? COST_NET : class_ == FS_CLASS_CPU ? COST_CPU : COST_BOARD;
}

static bool in_network(const fs_topo *topo, uint32_t link, network net)
{
    fs_link_class class_ = link_class(topo, link);
    if (net == EVERYTHING)
        return true;
    if (net == BOARD)
        return class_ != FS_CLASS_NET;
    fs_device_kind to = fs_topo_device(topo, fs_topo_link(topo, link).dst).kind,
                   from = fs_topo_device(topo, fs_topo_link(topo, link).src).kind;
    return class_ == FS_CLASS_NVLINK && (to == FS_DEVICE_GPU || to == FS_DEVICE_NVSWITCH) &&
           (from == FS_DEVICE_GPU || from == FS_DEVICE_NVSWITCH);
}

/* May the bytes that cross `link` go on from its end to the destination as the mark of that device says? */
static bool passes(const fs_router *router, uint32_t link, network net, uint32_t dst)
{
    const fs_topo *topo = router->topo;
    uint32_t end = fs_topo_link(topo, link).dst;
    if (end == dst)
        return true;
    fs_device_kind kind = fs_topo_device(topo, end).kind;
    if (kind == FS_DEVICE_GPU)
        return net == FORWARDED;
    if (kind == FS_DEVICE_NIC)
        return router->marks[end].by_net != (link_class(topo, link) == FS_CLASS_NET);
    return true;
}

static bool improves(fs_router *router, uint32_t device, uint64_t cost)
{
    const mark *m = &router->marks[device];
    return m->stamp != router->stamp || (!m->settled && cost < m->cost);
}

static fs_status start_search(fs_router *router, uint32_t dst, fs_err *err)
{
    if (++router->stamp == 0) { /* wrapped: forget all marks */
        for (uint32_t i = 0; i < router->topo->n_devices; i++)
            router->marks[i].stamp = 0;
        router->stamp = 1;
    }
    router->heap.count = router->order.count = router->n_measured = 0;
    router->marks[dst] = (mark){.stamp = router->stamp};
    return heap_push(router, (item){0, dst}, err);
}

/* Offer the devices with a link to `device` the way over it. */
static fs_status relax(fs_router *router, uint32_t device, uint32_t dst, network net, fs_err *err)
{
    const fs_topo *topo = router->topo;
    for (uint32_t k = 0; k < fs_topo_out_count(topo, device); k++) {
        uint32_t link = fs_topo_out_link(topo, device, k) ^ 1u; /* the opposite direction: into this device */
        uint32_t from = fs_topo_link(topo, link).src;
        fs_link_class class_ = link_class(topo, link);
        uint64_t cost = router->marks[device].cost + link_cost(class_, net);
        if (!in_network(topo, link, net) || !passes(router, link, net, dst) || !improves(router, from, cost) ||
            (net == FORWARDED && cost > FORWARD_HOPS))
            continue;
        router->marks[from] = (mark){.cost = cost, .stamp = router->stamp, .by_net = class_ == FS_CLASS_NET};
        fs_status status = heap_push(router, (item){cost, from}, err);
        if (status != FS_OK)
            return status;
    }
    return FS_OK;
}

/* Settle devices outwards from dst until src is; order[] and marks[] then hold the answer. *found tells. */
static fs_status search(fs_router *router, uint32_t src, uint32_t dst, network net, bool *found, fs_err *err)
{
    const fs_topo *topo = router->topo;
    fs_status status = FS_OK;
    if (router->dst != dst || router->net != net)
        status = start_search(router, dst, err);
    router->dst = FS_NONE; /* until this has gone well */
    *found = router->marks[src].stamp == router->stamp && router->marks[src].settled;
    while (status == FS_OK && router->heap.count > 0 && !*found) {
        item top = heap_pop(router);
        mark *m = &router->marks[top.device];
        if (m->settled)
            continue;
        m->settled = true;
        if (FS_PUSH(&router->order, top.device) == NULL)
            return fs_fail_nomem(err);
        *found = top.device == src;
        if (fs_topo_device(topo, top.device).kind == FS_DEVICE_GPU && top.device != dst && net != FORWARDED)
            continue; /* nothing passes it */
        status = relax(router, top.device, dst, net, err);
    }
    if (status != FS_OK)
        return status;
    router->dst = dst;
    router->net = net;
    return FS_OK;
}

/* Is the link on a minimal path to dst? Its start must be settled. */
static bool on_path(const fs_router *router, uint32_t link, network net, uint32_t dst)
{
    const fs_topo *topo = router->topo;
    const mark *from = &router->marks[fs_topo_link(topo, link).src], *to = &router->marks[fs_topo_link(topo, link).dst];
    fs_link_class class_ = link_class(topo, link);
    if (to->stamp != router->stamp || !to->settled || from->cost != to->cost + link_cost(class_, net))
        return false;
    if (fs_topo_device(topo, fs_topo_link(topo, link).src).kind == FS_DEVICE_NIC &&
        from->by_net != (class_ == FS_CLASS_NET))
        return false;
    return in_network(topo, link, net) && passes(router, link, net, dst);
}

/* ---- the route over the DAG -------------------------------------------------------------------------------------- */

static double weight_of(const fs_router *router, uint32_t link)
{
    return fmin(fs_topo_link(router->topo, link).effective_Bps,
                router->marks[fs_topo_link(router->topo, link).dst].onward);
}

/* From the destination outwards: what can flow on from each device, and how far it is. */
static void measure(fs_router *router, network net, uint32_t dst)
{
    const fs_topo *topo = router->topo;
    router->marks[dst].onward = INFINITY;
    for (; router->n_measured < router->order.count; router->n_measured++) {
        uint32_t device = router->order.data[router->n_measured];
        mark *m = &router->marks[device];
        for (uint32_t k = 0; k < fs_topo_out_count(topo, device) && device != dst; k++) {
            uint32_t link = fs_topo_out_link(topo, device, k);
            if (!on_path(router, link, net, dst))
                continue;
            const mark *next = &router->marks[fs_topo_link(topo, link).dst];
            bool first = m->hops == 0;
            if (first || !router->single_path) {
                m->onward += weight_of(router, link);
                m->latency = fmax(m->latency, fs_topo_link(topo, link).latency_s + next->latency);
                m->hops = m->hops > next->hops + 1 ? m->hops : next->hops + 1;
            }
        }
    }
}

/* From the source inwards: the fraction of the bytes on each link. */
static fs_status spread(fs_router *router, network net, uint32_t src, uint32_t dst, fs_err *err)
{
    const fs_topo *topo = router->topo;
    router->shares.count = 0;
    for (uint32_t i = 0; i < router->order.count; i++)
        router->marks[router->order.data[i]].fraction = 0.0;
    router->marks[src].fraction = 1.0;
    for (uint32_t i = router->order.count; i-- > 1;) {
        uint32_t device = router->order.data[i];
        const mark *m = &router->marks[device];
        if (m->fraction <= 0.0)
            continue;
        for (uint32_t k = 0; k < fs_topo_out_count(topo, device); k++) {
            uint32_t link = fs_topo_out_link(topo, device, k);
            if (!on_path(router, link, net, dst))
                continue;
            double part = router->single_path ? m->fraction : m->fraction * weight_of(router, link) / m->onward;
            router->marks[fs_topo_link(topo, link).dst].fraction += part;
            if (FS_PUSH(&router->shares, ((fs_share){link, part})) == NULL)
                return fs_fail_nomem(err);
            if (router->single_path)
                break;
        }
    }
    return FS_OK;
}

static fs_status make_route(fs_router *router, network net, uint32_t src, uint32_t dst, const fs_route **out,
                            fs_err *err)
{
    const fs_topo *topo = router->topo;
    measure(router, net, dst);
    fs_status status = spread(router, net, src, dst, err);
    if (status != FS_OK)
        return status;
    uint32_t n = router->shares.count;
    fs_route *route = fs_arena_alloc(router->arena, 1, sizeof *route);
    fs_share *shares = fs_arena_alloc(router->arena, n, sizeof *shares);
    if (route == NULL || shares == NULL)
        return fs_fail_nomem(err);
    *route = (fs_route){.n_shares = n,
                        .shares = shares,
                        .latency_s = router->marks[src].latency,
                        .bandwidth_Bps = INFINITY,
                        .effective_Bps = INFINITY,
                        .hops = router->marks[src].hops,
                        .worst_class = FS_CLASS_NVLINK};
    for (uint32_t i = 0; i < n; i++) {
        shares[i] = router->shares.data[i];
        if (shares[i].coefficient > 1.0) /* joined fractions may exceed 1 by rounding */
            shares[i].coefficient = 1.0;
        const fs_link link = fs_topo_link(topo, shares[i].resource);
        route->bandwidth_Bps = fmin(route->bandwidth_Bps, link.bandwidth_Bps / shares[i].coefficient);
        route->effective_Bps = fmin(route->effective_Bps, link.effective_Bps / shares[i].coefficient);
        uint32_t class_ = link_class(topo, shares[i].resource); /* the enum goes from fast to slow */
        route->worst_class = class_ > route->worst_class ? class_ : route->worst_class;
    }
    fs_shares_sort(shares, n);
    *out = route;
    return FS_OK;
}

/* Whether `net` is worth trying for this pair. */
static bool applies(const fs_topo *topo, network net, uint32_t src, uint32_t dst)
{
    const fs_device a = fs_topo_device(topo, src), b = fs_topo_device(topo, dst);
    bool gpus = a.kind == FS_DEVICE_GPU && b.kind == FS_DEVICE_GPU;
    switch (net) {
    case SCALE_UP: return gpus;
    case FORWARDED: return gpus && topo->gpu_forwarding;
    case BOARD: return a.node == b.node;
    case EVERYTHING:
    case NETWORKS: return true;
    }
    return true;
}

static fs_status unreachable(fs_router *router, uint32_t src, uint32_t dst, fs_err *err)
{
    const fs_topo *topo = router->topo;
    const char *a = FS_DEVICE_NAME(topo, src), *b = FS_DEVICE_NAME(topo, dst);
    bool forwardable = false;
    if (!topo->gpu_forwarding && applies(topo, SCALE_UP, src, dst)) {
        fs_status status = search(router, src, dst, FORWARDED, &forwardable, err);
        if (status != FS_OK)
            return status;
    }
    return fs_fail_at(err, FS_E_TOPOLOGY, topo->path, 0, 0, "no path from '%s' to '%s'%s", a, b,
                      forwardable ? "; gpu-forwarding=\"yes\" would let a GPU between them pass their traffic on" : "");
}

fs_status fs_router_find(fs_router *router, uint32_t src, uint32_t dst, uint64_t flow, const fs_route **out,
                         fs_err *err)
{
    (void)flow; /* every network spreads over all minimal paths */
    const fs_route *known = recall(router, src, dst);
    if (known != NULL) {
        *out = known;
        return FS_OK;
    }
    for (network net = SCALE_UP; net < NETWORKS; net++) {
        bool found = false;
        if (!applies(router->topo, net, src, dst))
            continue;
        fs_status status = search(router, src, dst, net, &found, err);
        if (status != FS_OK)
            return status;
        if (!found)
            continue;
        const fs_route *route = NULL;
        status = make_route(router, net, src, dst, &route, err);
        if (status == FS_OK)
            status = remember(router, src, dst, route, err);
        if (status == FS_OK)
            *out = route;
        return status;
    }
    return unreachable(router, src, dst, err);
}

void fs_route_buffer_free(fs_route_buffer *buffer)
{
    fs_free(buffer->shares.data);
    *buffer = (fs_route_buffer){0};
}

fs_status fs_router_compose(fs_router *router, uint32_t src, uint32_t dst, uint64_t flow, fs_route_buffer *buffer,
                            fs_err *err)
{
    const fs_route *route = NULL;
    fs_status status = fs_router_find(router, src, dst, flow, &route, err);
    buffer->shares.count = 0;
    for (uint32_t i = 0; status == FS_OK && i < route->n_shares; i++)
        if (FS_PUSH(&buffer->shares, route->shares[i]) == NULL)
            status = fs_fail_nomem(err);
    if (status != FS_OK)
        return status;
    buffer->route = *route;
    buffer->route.shares = buffer->shares.data;
    return FS_OK;
}
