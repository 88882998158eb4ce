/* network_build.c - expand a network: the switches of its tiers, and the cables between them. See network.h.
 *
 * Dealing. A lower device has `uplinks` cables to the n switches of its class. They are dealt in turn, and the next lower
 * device goes on where the last one stopped: every pair gets uplinks / n lanes, the rest one more for some, and no switch
 * has more than one cable more than another. With n dividing uplinks that is the complete bipartite graph of fat trees.
 * A port at the first tier has one switch: the ports of a rail (or of all rails) of a group, node by node, fill the
 * switches in blocks of equal size.
 * Tori join switch s of a group with switch s of its neighbours. In a dragonfly the global cables of a group, ordered by
 * the group they lead to, are dealt in turn over its switches: A. Shpiner et al., "Dragonfly+: Low Cost Topology for
 * Scaling Datacenters", HiPINEB 2017.
 * Cost: O(switches + connections); lanes are counted, not walked through, but where each is a connection. */
#include "topo/network.h"

#include <stdio.h>

typedef struct plane { /* the one that is being built */
    const fs_reader *r;
    const fs_net *net;
    uint32_t number;
    uint32_t first[FS_NET_TIERS_MAX]; /* device id of each tier's switch 0 */
} plane;

static fs_status cable(const plane *p, uint32_t from, uint32_t to, uint32_t type, uint32_t lanes)
{
    fs_place place = {0};
    return fs_read_blame(p->r, p->net->element, fs_spec_cable(p->r->spec, from, to, type, lanes, place, p->r->err));
}

/* Cables between two switches. Where a flow takes one of them, by a hash or by its destination, each is a connection of its
 * own; else they are lanes of one. */
static fs_status cables(const plane *p, uint32_t from, uint32_t to, uint32_t type, uint32_t count)
{
    fs_routing routing = p->r->spec->networks.data[p->net->id].routing;
    fs_status status = FS_OK;
    if (routing != FS_ROUTING_ECMP && routing != FS_ROUTING_STATIC)
        return cable(p, from, to, type, count);
    for (uint32_t i = 0; status == FS_OK && i < count; i++)
        status = cable(p, from, to, type, 1);
    return status;
}

/* Device j of lower group l of tier t. */
static uint32_t lower_device(const plane *p, uint32_t t, uint32_t l, uint32_t j)
{
    const fs_net *net = p->net;
    if (t > 0)
        return p->first[t - 1] + l * net->tiers[t - 1].switches + j;
    uint32_t port = j * net->planes + p->number; /* ports go to planes in turn */
    return net->ports[port / net->nic_ports] + l * net->stride;
}

static fs_status add_switches(plane *p)
{
    const fs_net *net = p->net;
    fs_status status = FS_OK;
    for (uint32_t t = 0; status == FS_OK && t < net->n_tiers; t++) {
        const fs_net_tier *tier = &net->tiers[t];
        char prefix[2 * FS_NAME_MAX + 32];
        if (net->planes > 1)
            snprintf(prefix, sizeof prefix, "%s/plane%u/%s", net->name, p->number, tier->name);
        else
            snprintf(prefix, sizeof prefix, "%s/%s", net->name, tier->name);
        uint64_t count = (uint64_t)tier->n_groups * tier->switches;
        if (count > FS_DEVICES_MAX)
            return fs_doc_fail(p->r->doc, net->element, NULL, p->r->err, "more than %u devices",
                               (unsigned)FS_DEVICES_MAX);
        status = fs_read_blame(p->r, net->element,
                               fs_spec_switches(p->r->spec, prefix, (uint32_t)count, tier->part, net->id, &p->first[t],
                                                fs_doc_place(p->r->doc, net->element, NULL), p->r->err));
    }
    return status;
}

/* Ports to the one switch that each is plugged into. */
static fs_status plug_ports(const plane *p)
{
    const fs_net *net = p->net;
    const fs_net_tier *tier = &net->tiers[0];
    uint32_t of_node = fs_net_plane_ports(net) / tier->classes; /* of one rail */
    uint64_t of_group = (uint64_t)tier->group * of_node, per_class = tier->switches / tier->classes;
    fs_status status = FS_OK;
    for (uint32_t node = 0; status == FS_OK && node < net->n_nodes; node++)
        for (uint32_t k = 0; status == FS_OK && k < of_node * tier->classes; k++) {
            uint64_t at = (uint64_t)(node % tier->group) * of_node + k / tier->classes;
            uint64_t s = k % tier->classes * per_class + at * per_class / of_group;
            uint32_t to = p->first[0] + node / tier->group * tier->switches + (uint32_t)s;
            status = cable(p, lower_device(p, 0, node, k), to, tier->type, tier->uplinks);
        }
    return status;
}

/* The uplinks of lower device j of lower group l. */
static fs_status deal_uplinks(const plane *p, uint32_t t, uint32_t l, uint32_t j)
{
    const fs_net_tier *tier = &p->net->tiers[t];
    uint32_t n = tier->switches / tier->classes, in_class = fs_net_lower(p->net, t) / tier->classes;
    /* A rail is a block of the lower group's switches, as they are numbered; planes take them in turn. */
    bool rail = tier->by == FS_NET_BY_RAIL;
    uint32_t class_ = rail ? j / in_class : j % tier->classes, index = rail ? j % in_class : j / tier->classes;
    uint64_t order = (uint64_t)(l % tier->group) * in_class + index, begin = order * tier->uplinks;
    uint32_t first = p->first[t] + l / tier->group * tier->switches + class_ * n;
    fs_status status = FS_OK;
    for (uint32_t x = 0; status == FS_OK && x < n && x < tier->uplinks; x++) {
        uint32_t lanes = tier->uplinks / n + (x < tier->uplinks % n);
        uint32_t from = lower_device(p, t, l, j), to = first + (uint32_t)((begin + x) % n);
        status = t > 0 ? cables(p, from, to, tier->type, lanes) : cable(p, from, to, tier->type, lanes);
    }
    return status;
}

static fs_status add_tier_cables(const plane *p, uint32_t t)
{
    if (t == 0 && p->net->tiers[0].by != FS_NET_BY_ALL)
        return plug_ports(p);
    fs_status status = FS_OK;
    for (uint32_t l = 0; status == FS_OK && l < fs_net_lower_groups(p->net, t); l++)
        for (uint32_t j = 0; status == FS_OK && j < fs_net_lower(p->net, t); j++)
            status = deal_uplinks(p, t, l, j);
    return status;
}

/* ---- what joins the groups of the last tier ---------------------------------------------------------------------- */

/* Switch s of two groups of the last tier. */
static fs_status join_groups(const plane *p, uint32_t a, uint32_t s_a, uint32_t b, uint32_t s_b, uint32_t lanes)
{
    uint32_t last = p->net->n_tiers - 1, n = p->net->tiers[last].switches;
    return cables(p, p->first[last] + a * n + s_a, p->first[last] + b * n + s_b, p->net->top_type, lanes);
}

/* Each group to the next in every dimension; the last to the first, unless there are but two. */
static fs_status add_torus(const plane *p)
{
    const fs_net *net = p->net;
    const fs_net_tier *last = &net->tiers[net->n_tiers - 1];
    fs_status status = FS_OK;
    for (uint32_t d = net->n_dims, step = 1; d-- > 0; step *= net->dims[d]) {
        uint32_t size = net->dims[d];
        for (uint32_t g = 0; status == FS_OK && g < last->n_groups; g++) {
            uint32_t at = g / step % size, next = g - at * step + (at + 1) % size * step;
            bool joined = at + 1 < size || size > 2;
            for (uint32_t s = 0; joined && status == FS_OK && s < last->switches; s++)
                status = join_groups(p, g, s, next, s, net->top_lanes);
        }
    }
    return status;
}

static fs_status add_dragonfly(const plane *p)
{
    const fs_net_tier *last = &p->net->tiers[p->net->n_tiers - 1];
    uint32_t n = last->switches, cables = p->net->top_lanes;
    fs_status status = FS_OK;
    for (uint32_t a = 0; status == FS_OK && a < last->n_groups; a++)
        for (uint32_t b = a + 1; status == FS_OK && b < last->n_groups; b++)
            for (uint32_t c = 0; status == FS_OK && c < cables && c < n; c++) {
                uint64_t at_a = (uint64_t)(b - 1) * cables + c, at_b = (uint64_t)a * cables + c;
                status =
                    join_groups(p, a, (uint32_t)(at_a % n), b, (uint32_t)(at_b % n), cables / n + (c < cables % n));
            }
    return status;
}

/* A switch has two neighbours in each dimension, one where there are but two groups. */
uint64_t fs_net_top_ports(const fs_net *net)
{
    const fs_net_tier *last = &net->tiers[net->n_tiers - 1];
    uint64_t neighbours = 0;
    if (net->top == FS_NET_DRAGONFLY)
        return ((uint64_t)(last->n_groups - 1) * net->top_lanes + last->switches - 1) / last->switches;
    for (uint32_t d = 0; d < net->n_dims; d++)
        neighbours += net->dims[d] > 2 ? 2 : net->dims[d] - 1;
    return neighbours * net->top_lanes;
}

fs_status fs_net_build(const fs_reader *r, const fs_net *net)
{
    fs_status status = FS_OK;
    for (uint32_t number = 0; status == FS_OK && number < net->planes; number++) {
        plane p = {.r = r, .net = net, .number = number};
        status = add_switches(&p);
        for (uint32_t t = 0; status == FS_OK && t < net->n_tiers; t++)
            status = add_tier_cables(&p, t);
        if (status == FS_OK && net->top == FS_NET_TORUS)
            status = add_torus(&p);
        if (status == FS_OK && net->top == FS_NET_DRAGONFLY)
            status = add_dragonfly(&p);
    }
    return status;
}
