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
#include "route/router_in.h"

#include <math.h>

fs_status fs_router_new(const fs_topo *topo, fs_router_options options, fs_router **out, fs_err *err)
{
    fs_router *router = fs_zalloc(1, sizeof *router);
    if (router == NULL)
        return fs_fail_nomem(err);
    router->view = (fs_view){topo, options.epoch};
    router->options = options;
    router->arena = fs_arena_new();
    router->sockets = fs_zalloc(topo->n_devices, sizeof *router->sockets);
    fs_status status = router->arena && router->sockets ? FS_OK : fs_fail_nomem(err);
    if (status == FS_OK)
        status = fs_boxes_init(&router->boxes, &router->view, options.single_path, err);
    if (status == FS_OK)
        status = fs_net_init(&router->net, &router->view, options.single_path, options.seed, err);
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
    fs_free(router->sockets);
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

static fs_status add_way(fs_router *router, uint32_t src, uint32_t dst, const fs_way *w, sum *s,
                         fs_route_buffer *buffer, fs_err *err)
{
    const fs_box *boxes = router->boxes.boxes.data;
    uint32_t a = router->boxes.box_of[src], b = router->boxes.box_of[dst];
    uint32_t from = a == FS_NONE ? 0 : boxes[a].first_link, to = b == FS_NONE ? 0 : boxes[b].first_link;
    fs_status status = add_leg(&router->boxes.legs, w->exit, from, buffer, s, err);
    if (status == FS_OK)
        status = add_cable(router, w->up, buffer, s, err);
    if (status == FS_OK)
        status = add_leg(w->single ? &router->net.single : &router->net.legs, w->across, 0, buffer, s, err);
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
        const fs_way *w = &router->ways.data[i];
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

static bool is_gpu(const fs_topo *topo, uint32_t device)
{
    return fs_topo_device(topo, device).kind == FS_DEVICE_GPU;
}

/* Would a GPU between them join two GPUs of a box? */
static fs_status is_forwardable(fs_router *router, uint32_t src, uint32_t dst, bool *yes, fs_err *err)
{
    const fs_topo *topo = router->view.topo;
    fs_boxes *boxes = &router->boxes;
    uint32_t box = boxes->box_of[src], leg;
    *yes = false;
    if (topo->gpu_forwarding || box == FS_NONE || box != boxes->box_of[dst] || !is_gpu(topo, src) || !is_gpu(topo, dst))
        return FS_OK;
    fs_status status = fs_box_leg(boxes, boxes->boxes.data[box].kind, FS_REACH_FORWARDED, fs_box_local(boxes, box, src),
                                  fs_box_local(boxes, box, dst), &leg, err);
    if (status == FS_OK)
        *yes = fs_leg_found(&boxes->legs.legs.data[leg]);
    return status;
}

/* The first link that has failed on the route of the healthy machine, FS_NONE where that has none either. */
static fs_status find_failed_link(const fs_router *router, uint32_t src, uint32_t dst, uint64_t flow, uint32_t *link,
                                  fs_err *err)
{
    const fs_topo *topo = router->view.topo;
    fs_router_options options = router->options;
    fs_router *healthy = NULL;
    fs_route_buffer buffer = {0};
    *link = FS_NONE;
    if (router->view.epoch == FS_NONE || topo->link_faults.count == 0)
        return FS_OK;
    options.epoch = FS_NONE;
    fs_status status = fs_router_new(topo, options, &healthy, err);
    if (status == FS_OK) {
        fs_err no_path;
        status = fs_router_compose(healthy, src, dst, flow, &buffer, &no_path);
        for (uint32_t i = 0; status == FS_OK && i < buffer.route.n_shares && *link == FS_NONE; i++)
            if (!fs_view_alive(&router->view, buffer.route.shares[i].resource))
                *link = buffer.route.shares[i].resource;
        if (status == FS_E_TOPOLOGY)
            status = FS_OK;
        else if (status != FS_OK)
            *err = no_path;
    }
    fs_route_buffer_free(&buffer);
    fs_router_free(healthy);
    return status;
}

static fs_status unreachable(fs_router *router, uint32_t src, uint32_t dst, uint64_t flow, fs_err *err)
{
    const fs_topo *topo = router->view.topo;
    const char *a = FS_DEVICE_NAME(topo, src), *b = FS_DEVICE_NAME(topo, dst);
    uint32_t link = FS_NONE;
    bool forwardable;
    fs_status status = is_forwardable(router, src, dst, &forwardable, err);
    if (status == FS_OK)
        status = find_failed_link(router, src, dst, flow, &link, err);
    if (status != FS_OK)
        return status;
    if (link != FS_NONE) {
        char name[FS_LINK_NAME_SIZE];
        return fs_fail_at(err, FS_E_TOPOLOGY, topo->path, 0, 0,
                          "no path from '%s' to '%s': a failed link cuts it off, %s", a, b,
                          fs_link_name(topo, link, name, sizeof name));
    }
    return fs_fail_at(err, FS_E_TOPOLOGY, topo->path, 0, 0, "no path from '%s' to '%s'%s", a, b,
                      forwardable ? "; gpu-forwarding=\"yes\" would let a GPU between them pass their traffic on" : "");
}

fs_status fs_router_compose(fs_router *router, uint32_t src, uint32_t dst, uint64_t flow, fs_route_buffer *buffer,
                            fs_err *err)
{
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
    fs_status status = fs_router_cross(router, src, dst, flow, &best, err);
    if (status != FS_OK)
        return status;
    if (router->ways.count > 0)
        return compose_ways(router, src, dst, buffer, err);
    return leg != FS_NONE ? compose_leg(router, src, leg, buffer, err) : unreachable(router, src, dst, flow, err);
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
        const fs_known_route *known = &router->known.data[i];
        if (known->src == src && known->dst == dst && known->flow == flow)
            return known->route;
    }
    return NULL;
}

static fs_status remember(fs_router *router, fs_known_route new, fs_err *err)
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
    if (!router->net.hashed) /* then it makes no difference */
        flow = 0;
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
    status = remember(router, (fs_known_route){src, dst, flow, route}, err);
    if (status == FS_OK)
        *out = route;
    return status;
}
