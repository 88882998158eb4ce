/* network.c - read a <network>: what it attaches to, its tiers, what joins them. See network.h.
 *
 * Everything is checked before the first switch is made, so that errors speak of the file and not of devices. */
#include "topo/network.h"

#include <string.h>

fs_status fs_network_declare(const fs_reader *r, const xmlNode *e)
{
    fs_network network = {.name = fs_doc_get(e, "name")};
    const char *routing = fs_doc_get(e, "routing");
    for (int i = 0; routing && i < FS_ROUTINGS; i++)
        if (strcmp(routing, fs_routing_names[i]) == 0)
            network.routing = (fs_routing)i;
    return fs_read_blame(r, e, fs_spec_network(r->spec, &network, (fs_place){0}, r->err));
}

/* ---- where it attaches ------------------------------------------------------------------------------------------- */

static bool can_attach(fs_device_kind kind)
{
    return kind == FS_DEVICE_NIC || kind == FS_DEVICE_GPU || kind == FS_DEVICE_NVSWITCH || kind == FS_DEVICE_NET_SWITCH;
}

/* Port `name` of the first copy; `taken` (stride) marks devices that are ports already. */
static fs_status add_port(const fs_reader *r, fs_net *net, uint32_t run, const char *name, bool *taken)
{
    uint32_t device;
    fs_status status = fs_read_blame(
        r, net->element, fs_spec_run_device(r->spec, run, name, &device, &net->stride, (fs_place){0}, r->err));
    if (status != FS_OK)
        return status;
    fs_device_kind kind = r->spec->parts.data[fs_spec_device_at(r->spec, device)->part].kind;
    if (!can_attach(kind))
        return fs_doc_fail(r->doc, net->element, "ports", r->err,
                           "'%s' is a %s: a network attaches to NICs, GPUs or switches", name,
                           fs_device_kind_name(kind));
    if (net->n_ports > 0 && kind != net->port_kind)
        return fs_doc_fail(r->doc, net->element, "ports", r->err, "'%s' is a %s, the ports before it are of kind %s",
                           name, fs_device_kind_name(kind), fs_device_kind_name(net->port_kind));
    bool *mark = &taken[device - r->spec->runs.data[run].first_device];
    if (*mark)
        return fs_doc_fail(r->doc, net->element, "ports", r->err,
                           "'%s' is named twice: nic-ports gives a device several ports", name);
    *mark = true;
    net->port_kind = kind;
    net->ports[net->n_ports++] = device;
    return FS_OK;
}

static fs_status read_ports(const fs_reader *r, fs_net *net, uint32_t run)
{
    fs_name_list names = {0};
    fs_status status = fs_read_names(r, net->element, "ports", &names);
    if (status != FS_OK)
        return status;
    bool *taken = fs_zalloc(fs_spec_unit_of(r->spec, &r->spec->runs.data[run])->devices.count, sizeof *taken);
    net->ports = fs_alloc(names.count, sizeof *net->ports);
    if (taken == NULL || net->ports == NULL)
        status = fs_fail_nomem(r->err);
    for (uint32_t i = 0; status == FS_OK && i < names.count; i++)
        status = add_port(r, net, run, names.names[i], taken);
    fs_free(taken);
    fs_name_list_free(&names);
    return status;
}

static fs_status read_attachment(const fs_reader *r, fs_net *net)
{
    const xmlNode *e = net->element;
    const char *nodes = fs_doc_get(e, "nodes");
    if (nodes == NULL || fs_doc_get(e, "ports") == NULL)
        return fs_doc_fail(r->doc, e, NULL, r->err,
                           "a <network> with tiers says which 'ports' of which 'nodes' it joins");
    uint32_t run;
    fs_status status =
        fs_read_blame(r, e, fs_spec_find_place(r->spec, nodes, &run, &net->n_nodes, (fs_place){0}, r->err));
    net->nic_ports = net->planes = 1;
    if (status == FS_OK)
        status = fs_read_count(r, e, "nic-ports", FS_NET_PORTS_MAX, &net->nic_ports);
    if (status == FS_OK)
        status = fs_read_count(r, e, "planes", FS_NET_PORTS_MAX, &net->planes);
    if (status == FS_OK)
        status = read_ports(r, net, run);
    if (status != FS_OK)
        return status;
    uint32_t all = net->n_ports * net->nic_ports; /* below 2^20 * 2^8 */
    if (all % net->planes != 0)
        return fs_doc_fail(r->doc, e, "planes", r->err, "the %u ports of a node do not divide into %u planes", all,
                           net->planes);
    net->rails = all / net->planes; /* unless said otherwise, each port is a rail of its own */
    status = fs_read_count(r, e, "rails", FS_COUNT_MAX, &net->rails);
    if (status == FS_OK && all / net->planes % net->rails != 0)
        return fs_doc_fail(r->doc, e, "rails", r->err,
                           "the %u ports of a node in one plane do not divide into %u rails", all / net->planes,
                           net->rails);
    return status;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static fs_status read_children(const fs_reader *r, fs_net *net)
{
    fs_status status = FS_OK;
    for (const xmlNode *e = fs_doc_child(net->element); status == FS_OK && e; e = fs_doc_next(e))
        status = fs_doc_is(e, "tier") ? fs_net_read_tier(r, e, net) : fs_net_read_top(r, e, net);
    if (status != FS_OK)
        return status;
    const fs_net_tier *last = &net->tiers[net->n_tiers - 1];
    if (net->top == FS_NET_TREE && last->n_groups > 1)
        return fs_doc_fail(
            r->doc, net->element, NULL, r->err,
            "nothing joins the %u groups of tier '%s': leave out its 'group', or add a tier, a <torus> or "
            "a <dragonfly>",
            last->n_groups, last->name);
    return FS_OK;
}

/* A switch that has more cables than its part has ports. Tiers are checked from the bottom up. */
static fs_status check_switch_ports(const fs_reader *r, const fs_net *net)
{
    const xmlNode *e = fs_doc_child(net->element);
    for (uint32_t t = 0; t < net->n_tiers; t++, e = fs_doc_next(e)) {
        const fs_net_tier *tier = &net->tiers[t];
        const fs_part *part = &r->spec->parts.data[tier->part];
        uint64_t up = t + 1 < net->n_tiers ? net->tiers[t + 1].uplinks : fs_net_top_ports(net);
        if (part->ports != 0 && tier->down + up > part->ports)
            return fs_doc_fail(r->doc, e, "part", r->err,
                               "a switch of tier '%s' has %u cables down and %llu up, but '%s' has %u ports",
                               tier->name, tier->down, (unsigned long long)up, part->name, part->ports);
    }
    return FS_OK;
}

/* Explicit: its switches are devices of the system that name it. */
static fs_status check_explicit(const fs_reader *r, const xmlNode *e)
{
    static const char *const generator[] = {"nodes", "ports", "nic-ports", "rails", "planes"};
    for (size_t i = 0; i < sizeof generator / sizeof *generator; i++)
        if (fs_doc_get(e, generator[i]))
            return fs_doc_fail(r->doc, e, generator[i], r->err, "'%s' has no meaning in a <network> without <tier>",
                               generator[i]);
    return FS_OK;
}

fs_status fs_network_add(const fs_reader *r, const xmlNode *e)
{
    fs_net net = {.element = e, .name = fs_doc_get(e, "name")};
    net.id = fs_names_find(&r->spec->network_names, net.name);
    if (fs_doc_child(e) == NULL)
        return check_explicit(r, e);
    fs_status status = read_attachment(r, &net);
    if (status == FS_OK)
        status = read_children(r, &net);
    if (status == FS_OK)
        status = check_switch_ports(r, &net);
    if (status == FS_OK)
        status = fs_net_build(r, &net);
    fs_free(net.ports);
    return status;
}
