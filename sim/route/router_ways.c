/* router_ways.c - the ways from one device over the network to another; see router.c.
 *
 * A way: over the board to a port, by its cable to a switch, from switch to switch, by a cable to a port of the
 * destination's box, over that board. Pairs of ports are tried in the order of what the boards cost, which weighs more
 * than any number of network hops, so nearly always one pair is looked at. */
#include "route/router_in.h"

#include <math.h>

/* Where a port leads into the network, or (out = false) comes from it. */
static fs_status find_plugs(const fs_router *router, uint32_t port, bool out, fs_plugs *list, fs_err *err)
{
    const fs_topo *topo = router->view.topo;
    list->count = 0;
    if (router->net.vertex_of[port] != FS_NONE)
        return FS_PUSH(list, ((fs_plug){router->net.vertex_of[port], port, FS_NONE})) ? FS_OK : fs_fail_nomem(err);
    const fs_links links = fs_topo_out(topo, port);
    for (uint32_t k = 0; k < links.count; k++) {
        uint32_t id = fs_links_at(&links, k), used = out ? id : id ^ 1u;
        const fs_link link = fs_topo_link(topo, id);
        if (topo->link_types[link.type].class_ != FS_CLASS_NET || !fs_view_alive(&router->view, used))
            continue;
        if (FS_PUSH(list, ((fs_plug){router->net.vertex_of[link.dst], link.dst, used})) == NULL)
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
static fs_status join_plugs(fs_router *router, const fs_net_flow *flow, const fs_plug *up, const fs_plug *down,
                            fs_way *w, uint32_t *hops, fs_err *err)
{
    fs_net *net = &router->net;
    *hops = FS_NONE;
    *w = (fs_way){.exit = FS_NONE,
                  .entry = FS_NONE,
                  .up = up->link,
                  .down = down->link,
                  .across = FS_NONE,
                  .weight = fmin(capacity_of(router, up->link), capacity_of(router, down->link))};
    if (up->link != FS_NONE &&
        up->device == flow->dst_port) { /* one cable from port to port, or the port is the switch */
        *hops = up->link == down->link || down->link == FS_NONE ? 1 : FS_NONE;
        return FS_OK;
    }
    if (up->vertex == FS_NONE || down->vertex == FS_NONE)
        return FS_OK;
    uint32_t cables = (up->link != FS_NONE ? 1u : 0u) + (down->link != FS_NONE ? 1u : 0u);
    if (!fs_net_may_join(net, up->vertex, down->vertex))
        return FS_OK;
    w->single = fs_net_is_single(net, up->vertex);
    if (up->vertex == down->vertex) {
        *hops = cables;
        return FS_OK;
    }
    fs_status status = w->single ? fs_net_single(net, up->vertex, down->vertex, flow, &w->across, err)
                                 : fs_net_leg(net, up->vertex, down->vertex, &w->across, err);
    if (status != FS_OK)
        return status;
    const fs_leg *leg = w->single ? &net->single.legs.data[w->across] : &net->legs.legs.data[w->across];
    if (fs_leg_found(leg)) {
        *hops = cables + leg->hops;
        w->weight = fmin(w->weight, leg->onward_Bps);
    }
    return FS_OK;
}

/* Of the ways from port to port, which begin at `first`, a flow of a network that spreads nothing takes one, by its hash.
 */
static void keep_one(fs_router *router, const fs_net_flow *flow, uint32_t first)
{
    uint32_t count = router->ways.count - first;
    if (count < 2 || !router->ways.data[first].single)
        return;
    router->ways.data[first] = router->ways.data[first + fs_net_choose(&router->net, flow, count)];
    router->ways.count = first + 1;
}

/* Add the ways from port to port to the best, or let them replace the best. ends: the legs to and from. */
static fs_status join_ports(fs_router *router, const fs_net_flow *flow, uint64_t board_cost, const fs_way *ends,
                            uint64_t *best, fs_err *err)
{
    uint32_t first = router->ways.count;
    fs_status status = find_plugs(router, flow->src_port, true, &router->ups, err);
    if (status == FS_OK)
        status = find_plugs(router, flow->dst_port, false, &router->downs, err);
    for (uint32_t i = 0; status == FS_OK && i < router->ups.count; i++)
        for (uint32_t j = 0; status == FS_OK && j < router->downs.count; j++) {
            fs_way w;
            uint32_t hops;
            fs_net_flow here = *flow;
            here.last_cable = router->downs.data[j].link;
            status = join_plugs(router, &here, &router->ups.data[i], &router->downs.data[j], &w, &hops, err);
            if (status != FS_OK || hops == FS_NONE || board_cost + hops > *best)
                continue;
            if (board_cost + hops < *best)
                router->ways.count = first = 0;
            *best = board_cost + hops;
            w.exit = ends->exit;
            w.entry = ends->entry;
            w.weight = fmin(w.weight, ends->weight);
            if (FS_PUSH(&router->ways, w) == NULL)
                status = fs_fail_nomem(err);
        }
    if (status == FS_OK)
        keep_one(router, flow, first);
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

/* ---- from NIC to NIC --------------------------------------------------------------------------------------------- */

static fs_status find_socket(fs_router *router, uint32_t device, fs_socket *socket, fs_err *err)
{
    *socket = router->sockets[device];
    if (socket->state != FS_SOCKET_UNKNOWN)
        return FS_OK;
    *socket = (fs_socket){FS_SOCKET_OTHER, FS_NONE};
    fs_plugs *ups = &router->ups, *downs = &router->downs;
    if (fs_topo_device(router->view.topo, device).kind == FS_DEVICE_NIC && router->boxes.box_of[device] != FS_NONE) {
        fs_status status = find_plugs(router, device, true, ups, err);
        if (status == FS_OK)
            status = find_plugs(router, device, false, downs, err);
        if (status != FS_OK)
            return status;
        const fs_plug *up = ups->data, *down = downs->data;
        if (ups->count == 1 && downs->count == 1 && up->link != FS_NONE && down->link == (up->link ^ 1u) &&
            up->vertex != FS_NONE && !fs_net_is_single(&router->net, up->vertex))
            *socket = (fs_socket){FS_SOCKET_FIRST + up->vertex, up->link};
    }
    router->sockets[device] = *socket;
    return FS_OK;
}

fs_status fs_router_attachment(fs_router *router, uint32_t device, fs_attachment *attachment, bool *found, fs_err *err)
{
    const fs_topo *topo = router->view.topo;
    fs_socket socket;
    fs_status status = find_socket(router, device, &socket, err);
    *found = status == FS_OK && socket.state >= FS_SOCKET_FIRST;
    if (*found)
        *attachment = (fs_attachment){.device = router->net.devices[socket.state - FS_SOCKET_FIRST],
                                      .link = socket.link,
                                      .up_s = fs_topo_link(topo, socket.link).latency_s,
                                      .down_s = fs_topo_link(topo, socket.link ^ 1u).latency_s};
    return status;
}

/* The way between two sockets of different boxes, which is the best where it exists: any other leaves its box by another
 * port, and that costs more than all of the network. Most routes of a large job are of this kind. */
static fs_status join_sockets(fs_router *router, uint32_t src, uint32_t dst, uint64_t *best, fs_err *err)
{
    fs_net *net = &router->net;
    fs_socket up, down;
    if (router->boxes.box_of[src] == router->boxes.box_of[dst])
        return FS_OK;
    fs_status status = find_socket(router, src, &up, err);
    if (status == FS_OK && up.state >= FS_SOCKET_FIRST)
        status = find_socket(router, dst, &down, err);
    if (status != FS_OK || up.state < FS_SOCKET_FIRST || down.state < FS_SOCKET_FIRST)
        return status;
    uint32_t from = up.state - FS_SOCKET_FIRST, to = down.state - FS_SOCKET_FIRST, hops = 2;
    fs_way w = {FS_NONE, FS_NONE, up.link, down.link ^ 1u, FS_NONE, false, 1.0};
    if (from != to) {
        if (!fs_net_may_join(net, from, to))
            return FS_OK;
        status = fs_net_leg(net, from, to, &w.across, err);
        if (status != FS_OK || !fs_leg_found(&net->legs.legs.data[w.across]))
            return status;
        hops += net->legs.legs.data[w.across].hops;
    }
    if (hops >= *best)
        return FS_OK;
    *best = hops;
    return FS_PUSH(&router->ways, w) != NULL ? FS_OK : fs_fail_nomem(err);
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

fs_status fs_router_cross(fs_router *router, uint32_t src, uint32_t dst, uint64_t number, uint64_t *best, fs_err *err)
{
    end a, b;
    fs_gate own[2];
    router->ways.count = 0;
    fs_status status = join_sockets(router, src, dst, best, err);
    if (status != FS_OK || router->ways.count > 0)
        return status;
    status = find_end(router, src, true, &a, &own[0], err);
    if (status == FS_OK)
        status = find_end(router, dst, false, &b, &own[1], err);
    for (uint32_t i = 0; status == FS_OK && i < a.gates.n; i++)
        for (uint32_t j = 0; status == FS_OK && j < b.gates.n; j++) {
            const fs_gate *exit = &a.gates.gates[i], *entry = &b.gates.gates[j];
            uint64_t cost = (uint64_t)exit->cost + entry->cost;
            if (cost >= *best)
                break; /* they ascend, and a way has a network hop */
            fs_way ends = {.weight = INFINITY};
            fs_net_flow flow = {gate_device(router, &a, exit), gate_device(router, &b, entry), FS_NONE, number};
            status = gate_leg(router, &a, exit, true, &ends.exit, &ends.weight, err);
            if (status == FS_OK)
                status = gate_leg(router, &b, entry, false, &ends.entry, &ends.weight, err);
            if (status == FS_OK)
                status = join_ports(router, &flow, cost, &ends, best, err);
        }
    return status;
}
