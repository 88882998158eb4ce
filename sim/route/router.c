/* router.c - see route.h. Routes put together from legs.
 *
 * Inside a box (box.h) a route is a leg of the box's kind, moved to the box: the first of
 *   1. NVLink among GPUs and NVSwitches; with gpu_forwarding, where that fails, with one GPU between;
 *   2. the board, for devices of one node;
 *   3. the cheaper of the board and the network
 * that joins the two. Else it leads from the source over the board to a port (a NIC), over its cable to a switch, from
 * switch to switch (net.h), over another cable to a port of the destination's box, and over that board. Of all pairs of
 * ports and cables those with the least cost are used at once: board hops first, network hops second (costs in
 * box_leg.c). Several such ways share the bytes in proportion to what each of them can carry, the least of its cables and
 * of its legs; what is alike gets equal parts. Inside the network bytes are spread without regard to the cables at the
 * ends: they are shared by all that leaves a switch, not by one flow.
 * Traffic crosses the network once: it does not enter a third box to change networks.
 *
 * Cost of a route: that of its legs where they are new, then 10 to 20 ns a leg and a few ns a share; nothing that grows
 * with the machine. */
#include "route/route.h"

#include "route/box.h"
#include "route/net.h"

#include <math.h>

/* How a port is joined with the network. */
typedef struct plug {
    uint32_t vertex; /* of the network; FS_NONE: the other end is no switch */
    uint32_t device; /* the other end */
    uint32_t link;   /* FS_NONE: the port is a switch itself */
} plug;

typedef FS_VEC(plug) plugs;

/* One way from source to destination: legs and links that one path or several equal ones cross. FS_NONE = not there. */
typedef struct way {
    uint32_t exit, entry; /* legs inside the source's and the destination's box */
    uint32_t up, down;    /* cables; equal where one cable joins the two ports */
    uint32_t across;      /* leg in the network */
    double weight;
} way;

typedef struct known_route {
    uint32_t src, dst;
    uint64_t flow;
    const fs_route *route;
} known_route;

struct fs_router {
    fs_view view;
    fs_router_options options;
    fs_boxes boxes;
    fs_net net;
    fs_arena *arena; /* routes that fs_router_find has given out */
    FS_VEC(known_route) known;
    fs_index index; /* of known */
    fs_route_buffer buffer;
    plugs ups, downs;
    FS_VEC(way) ways; /* the best so far */
};

fs_status fs_router_new(const fs_topo *topo, fs_router_options options, fs_router **out, fs_err *err)
{
    fs_router *router = fs_zalloc(1, sizeof *router);
    if (router == NULL)
        return fs_fail_nomem(err);
    router->view = (fs_view){topo, options.epoch};
    router->options = options;
    router->arena = fs_arena_new();
    fs_status status = router->arena ? FS_OK : fs_fail_nomem(err);
    if (status == FS_OK)
        status = fs_boxes_init(&router->boxes, &router->view, options.single_path, err);
    if (status == FS_OK)
        status = fs_net_init(&router->net, &router->view, options.single_path, err);
    if (status != FS_OK) {
        fs_router_free(router);
        return status;
    }
    *out = router;
    return FS_OK;
}

void fs_router_free(fs_router *router)
{
    if (router == NULL)
        return;
    fs_boxes_clear(&router->boxes);
    fs_net_clear(&router->net);
    if (router->arena)
        fs_arena_free(router->arena);
    fs_free(router->known.data);
    fs_index_free(&router->index);
    fs_route_buffer_free(&router->buffer);
    fs_free(router->ups.data);
    fs_free(router->downs.data);
    fs_free(router->ways.data);
    fs_free(router);
}

void fs_route_buffer_free(fs_route_buffer *buffer)
{
    fs_free(buffer->shares.data);
    *buffer = (fs_route_buffer){0};
}

/* ---- ways through the network ------------------------------------------------------------------------------------ */

/* Where a port leads into the network, or (out = false) comes from it. */
static fs_status find_plugs(const fs_router *router, uint32_t port, bool out, plugs *list, fs_err *err)
{
    const fs_topo *topo = router->view.topo;
    list->count = 0;
    if (router->net.vertex_of[port] != FS_NONE)
        return FS_PUSH(list, ((plug){router->net.vertex_of[port], port, FS_NONE})) ? FS_OK : fs_fail_nomem(err);
    const fs_links links = fs_topo_out(topo, port);
    for (uint32_t k = 0; k < links.count; k++) {
        uint32_t id = fs_links_at(&links, k), used = out ? id : id ^ 1u;
        const fs_link link = fs_topo_link(topo, id);
        if (topo->link_types[link.type].class_ != FS_CLASS_NET || !fs_view_alive(&router->view, used))
            continue;
        if (FS_PUSH(list, ((plug){router->net.vertex_of[link.dst], link.dst, used})) == NULL)
            return fs_fail_nomem(err);
    }
    return FS_OK;
}

static double capacity_of(const fs_router *router, uint32_t link)
{
    return link == FS_NONE ? INFINITY
                           : fs_topo_link(router->view.topo, link).effective_Bps * fs_view_factor(&router->view, link);
}

/* The way from plug to plug. *hops: its network hops, FS_NONE where there is none. */
static fs_status join_plugs(fs_router *router, uint32_t dst_port, const plug *up, const plug *down, way *w,
                            uint32_t *hops, fs_err *err)
{
    *hops = FS_NONE;
    *w = (way){FS_NONE,    FS_NONE, up->link,
               down->link, FS_NONE, fmin(capacity_of(router, up->link), capacity_of(router, down->link))};
    if (up->link != FS_NONE && up->device == dst_port) { /* one cable from port to port, or the port is the switch */
        *hops = up->link == down->link || down->link == FS_NONE ? 1 : FS_NONE;
        return FS_OK;
    }
    if (up->vertex == FS_NONE || down->vertex == FS_NONE)
        return FS_OK;
    uint32_t cables = (up->link != FS_NONE ? 1u : 0u) + (down->link != FS_NONE ? 1u : 0u);
    if (up->vertex == down->vertex) {
        *hops = cables;
        return FS_OK;
    }
    fs_status status = fs_net_leg(&router->net, up->vertex, down->vertex, &w->across, err);
    if (status != FS_OK)
        return status;
    const fs_leg *leg = &router->net.legs.legs.data[w->across];
    if (fs_leg_found(leg)) {
        *hops = cables + leg->hops;
        w->weight = fmin(w->weight, leg->onward_Bps);
    }
    return FS_OK;
}

/* Add the ways from port to port to the best, or let them replace the best. exit, entry: the legs to and from. */
static fs_status join_ports(fs_router *router, uint32_t src_port, uint32_t dst_port, uint64_t board_cost,
                            const way *ends, uint64_t *best, fs_err *err)
{
    fs_status status = find_plugs(router, src_port, true, &router->ups, err);
    if (status == FS_OK)
        status = find_plugs(router, dst_port, false, &router->downs, err);
    for (uint32_t i = 0; status == FS_OK && i < router->ups.count; i++)
        for (uint32_t j = 0; status == FS_OK && j < router->downs.count; j++) {
            way w;
            uint32_t hops;
            status = join_plugs(router, dst_port, &router->ups.data[i], &router->downs.data[j], &w, &hops, err);
            if (status != FS_OK || hops == FS_NONE || board_cost + hops > *best)
                continue;
            if (board_cost + hops < *best)
                router->ways.count = 0;
            *best = board_cost + hops;
            w.exit = ends->exit;
            w.entry = ends->entry;
            w.weight = fmin(w.weight, ends->weight);
            if (FS_PUSH(&router->ways, w) == NULL)
                status = fs_fail_nomem(err);
        }
    return status;
}

/* One end of a route: the device and the ports by which its box is left or entered. */
typedef struct end {
    uint32_t device, box, kind, local;
    fs_gates gates;
} end;

static fs_status find_end(fs_router *router, uint32_t device, bool out, end *e, fs_gate *own, fs_err *err)
{
    *own = (fs_gate){device, 0};
    *e = (end){device, router->boxes.box_of[device], FS_NONE, FS_NONE, {1, own}};
    if (e->box == FS_NONE)
        return FS_OK; /* a switch is its own port */
    e->kind = router->boxes.boxes.data[e->box].kind;
    e->local = fs_box_local(&router->boxes, e->box, device);
    return fs_box_gates(&router->boxes, e->kind, e->local, out, &e->gates, err);
}

static uint32_t gate_device(const fs_router *router, const end *e, const fs_gate *gate)
{
    return e->box == FS_NONE ? gate->port : fs_box_device(&router->boxes, e->box, gate->port);
}

/* The leg over the board between an end and one of its ports: FS_NONE where they are the same. */
static fs_status gate_leg(fs_router *router, const end *e, const fs_gate *gate, bool out, uint32_t *leg, double *weight,
                          fs_err *err)
{
    *leg = FS_NONE;
    if (e->box == FS_NONE || gate->port == e->local)
        return FS_OK;
    uint32_t src = out ? e->local : gate->port, dst = out ? gate->port : e->local;
    fs_status status = fs_box_leg(&router->boxes, e->kind, FS_REACH_BOARD, src, dst, leg, err);
    if (status == FS_OK)
        *weight = fmin(*weight, router->boxes.legs.legs.data[*leg].onward_Bps);
    return status;
}

/* All best ways over the network, into router->ways; *best: their cost, left alone where there is none as cheap. */
static fs_status cross_network(fs_router *router, uint32_t src, uint32_t dst, uint64_t *best, fs_err *err)
{
    end a, b;
    fs_gate own[2];
    router->ways.count = 0;
    fs_status status = find_end(router, src, true, &a, &own[0], err);
    if (status == FS_OK)
        status = find_end(router, dst, false, &b, &own[1], err);
    for (uint32_t i = 0; status == FS_OK && i < a.gates.n; i++)
        for (uint32_t j = 0; status == FS_OK && j < b.gates.n; j++) {
            const fs_gate *exit = &a.gates.gates[i], *entry = &b.gates.gates[j];
            uint64_t cost = (uint64_t)exit->cost + entry->cost;
            if (cost >= *best)
                break; /* they ascend, and a way has a network hop */
            way ends = {.weight = INFINITY};
            status = gate_leg(router, &a, exit, true, &ends.exit, &ends.weight, err);
            if (status == FS_OK)
                status = gate_leg(router, &b, entry, false, &ends.entry, &ends.weight, err);
            if (status == FS_OK)
                status = join_ports(router, gate_device(router, &a, exit), gate_device(router, &b, entry), cost, &ends,
                                    best, err);
        }
    return status;
}

/* ---- putting together -------------------------------------------------------------------------------------------- */

/* What the pieces of one way add up to. */
typedef struct sum {
    double part, latency_s;
    uint32_t hops;
} sum;

static fs_status add_share(fs_route_buffer *buffer, uint32_t link, double coefficient, fs_err *err)
{
    return FS_PUSH(&buffer->shares, ((fs_share){link, coefficient})) ? FS_OK : fs_fail_nomem(err);
}

/* A leg of a box or of the network, its links moved by first_link. */
static fs_status add_leg(const fs_leg_store *store, uint32_t id, uint32_t first_link, fs_route_buffer *buffer, sum *s,
                         fs_err *err)
{
    if (id == FS_NONE)
        return FS_OK;
    const fs_leg *leg = &store->legs.data[id];
    const fs_share *shares = store->shares.data + leg->first_share;
    fs_status status = FS_OK;
    for (uint32_t i = 0; status == FS_OK && i < leg->n_shares; i++)
        status = add_share(buffer, first_link + shares[i].resource, shares[i].coefficient * s->part, err);
    fs_route *route = &buffer->route;
    route->bandwidth_Bps = fmin(route->bandwidth_Bps, leg->bandwidth_Bps / s->part);
    route->effective_Bps = fmin(route->effective_Bps, leg->effective_Bps / s->part);
    route->worst_class = leg->worst_class > route->worst_class ? leg->worst_class : route->worst_class;
    s->latency_s += leg->latency_s;
    s->hops += leg->hops;
    return status;
}

static fs_status add_cable(const fs_router *router, uint32_t id, fs_route_buffer *buffer, sum *s, fs_err *err)
{
    if (id == FS_NONE)
        return FS_OK;
    const fs_link link = fs_topo_link(router->view.topo, id);
    double factor = fs_view_factor(&router->view, id);
    fs_route *route = &buffer->route;
    route->bandwidth_Bps = fmin(route->bandwidth_Bps, link.bandwidth_Bps * factor / s->part);
    route->effective_Bps = fmin(route->effective_Bps, link.effective_Bps * factor / s->part);
    route->worst_class = FS_CLASS_NET;
    s->latency_s += link.latency_s;
    s->hops++;
    return add_share(buffer, id, s->part, err);
}

static fs_status add_way(fs_router *router, uint32_t src, uint32_t dst, const way *w, sum *s, fs_route_buffer *buffer,
                         fs_err *err)
{
    const fs_box *boxes = router->boxes.boxes.data;
    uint32_t a = router->boxes.box_of[src], b = router->boxes.box_of[dst];
    uint32_t from = a == FS_NONE ? 0 : boxes[a].first_link, to = b == FS_NONE ? 0 : boxes[b].first_link;
    fs_status status = add_leg(&router->boxes.legs, w->exit, from, buffer, s, err);
    if (status == FS_OK)
        status = add_cable(router, w->up, buffer, s, err);
    if (status == FS_OK)
        status = add_leg(&router->net.legs, w->across, 0, buffer, s, err);
    if (status == FS_OK && w->down != w->up)
        status = add_cable(router, w->down, buffer, s, err);
    return status == FS_OK ? add_leg(&router->boxes.legs, w->entry, to, buffer, s, err) : status;
}

static void start_route(fs_route_buffer *buffer)
{
    buffer->shares.count = 0;
    buffer->route = (fs_route){.bandwidth_Bps = INFINITY, .effective_Bps = INFINITY, .worst_class = FS_CLASS_NVLINK};
}

/* Several ways may load a link together. */
static void finish_route(const fs_router *router, fs_route_buffer *buffer)
{
    fs_route *route = &buffer->route;
    uint32_t before = buffer->shares.count;
    buffer->shares.count = fs_shares_sort(buffer->shares.data, before);
    route->shares = buffer->shares.data;
    route->n_shares = buffer->shares.count;
    for (uint32_t i = 0; before != route->n_shares && i < route->n_shares; i++) {
        fs_share *share = &buffer->shares.data[i];
        share->coefficient = fmin(share->coefficient, 1.0); /* a sum may exceed 1 by rounding */
        const fs_link link = fs_topo_link(router->view.topo, share->resource);
        double factor = fs_view_factor(&router->view, share->resource);
        route->bandwidth_Bps = fmin(route->bandwidth_Bps, link.bandwidth_Bps * factor / share->coefficient);
        route->effective_Bps = fmin(route->effective_Bps, link.effective_Bps * factor / share->coefficient);
    }
}

static fs_status compose_ways(fs_router *router, uint32_t src, uint32_t dst, fs_route_buffer *buffer, fs_err *err)
{
    double total = 0.0;
    uint32_t n = router->options.single_path ? 1 : router->ways.count;
    fs_status status = FS_OK;
    start_route(buffer);
    for (uint32_t i = 0; i < n; i++)
        total += router->ways.data[i].weight;
    for (uint32_t i = 0; status == FS_OK && i < n; i++) {
        const way *w = &router->ways.data[i];
        sum s = {.part = n == 1 ? 1.0 : isinf(total) ? 1.0 / n : w->weight / total};
        status = add_way(router, src, dst, w, &s, buffer, err);
        buffer->route.latency_s = fmax(buffer->route.latency_s, s.latency_s);
        buffer->route.hops = s.hops > buffer->route.hops ? s.hops : buffer->route.hops;
    }
    if (status == FS_OK)
        finish_route(router, buffer);
    return status;
}

/* A leg inside the box that both are in. */
static fs_status compose_leg(fs_router *router, uint32_t src, uint32_t leg, fs_route_buffer *buffer, fs_err *err)
{
    sum s = {.part = 1.0};
    start_route(buffer);
    fs_status status = add_leg(&router->boxes.legs, leg, router->boxes.boxes.data[router->boxes.box_of[src]].first_link,
                               buffer, &s, err);
    buffer->route.latency_s = s.latency_s;
    buffer->route.hops = s.hops;
    buffer->route.shares = buffer->shares.data;
    buffer->route.n_shares = buffer->shares.count;
    return status;
}

/* ---- which rule -------------------------------------------------------------------------------------------------- */

/* The leg that the first rule which applies gives, FS_NONE where the two must look at the network as well.
 * *board_cost: what the board asks, FS_NONE where it does not join them. */
static fs_status find_inside(fs_router *router, uint32_t src, uint32_t dst, uint32_t *leg, uint64_t *board_cost,
                             fs_err *err)
{
    const fs_topo *topo = router->view.topo;
    uint32_t box = router->boxes.box_of[src], kind_id = router->boxes.boxes.data[box].kind;
    uint32_t from = fs_box_local(&router->boxes, box, src), to = fs_box_local(&router->boxes, box, dst);
    const fs_box_kind *kind = &router->boxes.kinds.data[kind_id];
    bool gpus = kind->kinds[from] == FS_DEVICE_GPU && kind->kinds[to] == FS_DEVICE_GPU;
    fs_reach reach = gpus ? FS_REACH_NVLINK : FS_REACH_BOARD;
    for (; reach < FS_REACHES; reach++) {
        if (reach == FS_REACH_FORWARDED && !topo->gpu_forwarding)
            continue;
        fs_status status = fs_box_leg(&router->boxes, kind_id, reach, from, to, leg, err);
        if (status != FS_OK)
            return status;
        if (fs_leg_found(&router->boxes.legs.legs.data[*leg]) &&
            (reach != FS_REACH_BOARD || kind->nodes[from] == kind->nodes[to]))
            return FS_OK;
    }
    uint32_t cost;
    fs_status status = fs_box_cost(&router->boxes, kind_id, from, to, &cost, err);
    if (status != FS_OK)
        return status;
    if (cost != FS_NONE)
        *board_cost = cost;
    else
        *leg = FS_NONE;
    return FS_OK;
}

static fs_status unreachable(fs_router *router, uint32_t src, uint32_t dst, fs_err *err)
{
    const fs_topo *topo = router->view.topo;
    const char *a = FS_DEVICE_NAME(topo, src), *b = FS_DEVICE_NAME(topo, dst);
    uint32_t box = router->boxes.box_of[src], leg;
    bool forwardable = false;
    if (!topo->gpu_forwarding && box != FS_NONE && box == router->boxes.box_of[dst] &&
        fs_topo_device(topo, src).kind == FS_DEVICE_GPU && fs_topo_device(topo, dst).kind == FS_DEVICE_GPU) {
        fs_status status =
            fs_box_leg(&router->boxes, router->boxes.boxes.data[box].kind, FS_REACH_FORWARDED,
                       fs_box_local(&router->boxes, box, src), fs_box_local(&router->boxes, box, dst), &leg, err);
        if (status != FS_OK)
            return status;
        forwardable = fs_leg_found(&router->boxes.legs.legs.data[leg]);
    }
    return fs_fail_at(err, FS_E_TOPOLOGY, topo->path, 0, 0, "no path from '%s' to '%s'%s", a, b,
                      forwardable ? "; gpu-forwarding=\"yes\" would let a GPU between them pass their traffic on" : "");
}

fs_status fs_router_compose(fs_router *router, uint32_t src, uint32_t dst, uint64_t flow, fs_route_buffer *buffer,
                            fs_err *err)
{
    (void)flow; /* every network spreads over all minimal paths */
    uint32_t box = router->boxes.box_of[src], leg = FS_NONE;
    uint64_t board = UINT64_MAX;
    if (box != FS_NONE && box == router->boxes.box_of[dst]) {
        fs_status status = find_inside(router, src, dst, &leg, &board, err);
        if (status != FS_OK)
            return status;
        if (leg != FS_NONE && board == UINT64_MAX)
            return compose_leg(router, src, leg, buffer, err);
    }
    uint64_t best = board;
    fs_net_make_room(&router->net);
    fs_status status = cross_network(router, src, dst, &best, err);
    if (status != FS_OK)
        return status;
    if (router->ways.count > 0)
        return compose_ways(router, src, dst, buffer, err);
    return leg != FS_NONE ? compose_leg(router, src, leg, buffer, err) : unreachable(router, src, dst, err);
}

/* ---- routes that are kept ---------------------------------------------------------------------------------------- */

static uint64_t hash_of(uint32_t src, uint32_t dst, uint64_t flow)
{
    return ((uint64_t)src << 32 | dst) ^ flow * UINT64_C(0xbf58476d1ce4e5b9); /* SplitMix64's multiplier */
}

static const fs_route *recall(const fs_router *router, uint32_t src, uint32_t dst, uint64_t flow)
{
    fs_index_probe probe = fs_index_search(&router->index, hash_of(src, dst, flow));
    for (uint32_t i = fs_index_next(&probe); i != FS_NONE; i = fs_index_next(&probe)) {
        const known_route *known = &router->known.data[i];
        if (known->src == src && known->dst == dst && known->flow == flow)
            return known->route;
    }
    return NULL;
}

static fs_status remember(fs_router *router, known_route new, fs_err *err)
{
    if (FS_PUSH(&router->known, new) == NULL)
        return fs_fail_nomem(err);
    if (!fs_index_add(&router->index, hash_of(new.src, new.dst, new.flow), router->known.count - 1)) {
        router->known.count--;
        return fs_fail_nomem(err);
    }
    return FS_OK;
}

fs_status fs_router_find(fs_router *router, uint32_t src, uint32_t dst, uint64_t flow, const fs_route **out,
                         fs_err *err)
{
    flow = 0; /* every network spreads over all minimal paths */
    const fs_route *known = recall(router, src, dst, flow);
    if (known != NULL) {
        *out = known;
        return FS_OK;
    }
    fs_route_buffer *buffer = &router->buffer;
    fs_status status = fs_router_compose(router, src, dst, flow, buffer, err);
    if (status != FS_OK)
        return status;
    fs_route *route = fs_arena_alloc(router->arena, 1, sizeof *route);
    fs_share *shares = fs_arena_alloc(router->arena, buffer->route.n_shares, sizeof *shares);
    if (route == NULL || shares == NULL)
        return fs_fail_nomem(err);
    *route = buffer->route;
    for (uint32_t i = 0; i < route->n_shares; i++)
        shares[i] = buffer->route.shares[i];
    route->shares = shares;
    status = remember(router, (known_route){src, dst, flow, route}, err);
    if (status == FS_OK)
        *out = route;
    return status;
}
