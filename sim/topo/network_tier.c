/* network_tier.c - read a <tier> of a network, and the <torus> or <dragonfly> above the last one. See network.h.
 *
 * How many cables go up from a lower device follows from one of: `lanes` (of each pair of switches, default 1),
 * `uplinks` (of the lower device, all together), `oversubscription` (its bandwidth down over its bandwidth up). With
 * oversubscription the number of switches may be left out: as many as the uplinks reach, `lanes` each. */
#include "topo/network.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct reading { /* one tier */
    const fs_reader *r;
    const xmlNode *e;
    fs_net *net;
    fs_net_tier *tier;
    uint32_t t;
} reading;

#define FAIL(reading, attribute, ...)                                                                                  \
    fs_doc_fail((reading)->r->doc, (reading)->e, (attribute), (reading)->r->err, __VA_ARGS__)

/* ---- what it is made of ------------------------------------------------------------------------------------------ */

static fs_status read_part(reading *g)
{
    fs_spec *spec = g->r->spec;
    const char *name = fs_doc_get(g->e, "part");
    fs_status status = fs_read_blame(
        g->r, g->e,
        fs_spec_find(spec, &spec->part_names, "part", "part", name, &g->tier->part, (fs_place){0}, g->r->err));
    if (status != FS_OK)
        return status;
    fs_device_kind kind = spec->parts.data[g->tier->part].kind;
    if (kind != FS_DEVICE_NVSWITCH && kind != FS_DEVICE_NET_SWITCH)
        return FAIL(g, "part", "part '%s' is a %s: a tier consists of switches", name, fs_device_kind_name(kind));
    return FS_OK;
}

/* The link type of `e` under the label that it gives, else under `label`; NULL = the type's own tier. */
static fs_status read_type(const fs_reader *r, const xmlNode *e, const char *label, uint32_t *type)
{
    fs_spec *spec = r->spec;
    const char *name = fs_doc_get(e, "type"), *given = fs_doc_get(e, "label");
    fs_status status = fs_read_blame(
        r, e, fs_spec_find(spec, &spec->type_names, "type", "link type", name, type, (fs_place){0}, r->err));
    if (given)
        label = given;
    if (status == FS_OK && label)
        status = fs_read_blame(r, e, fs_spec_tier_type(spec, name, label, type, (fs_place){0}, r->err));
    return status;
}

/* Cables below the first tier keep their type's label, but those between switches that boards have; further up a label
 * says what is joined: "leaf-spine". */
static fs_status read_cable(reading *g)
{
    const fs_net *net = g->net;
    bool ends = net->port_kind == FS_DEVICE_NIC || net->port_kind == FS_DEVICE_GPU;
    char label[2 * FS_NAME_MAX + 2];
    snprintf(label, sizeof label, "%s-%s",
             g->t > 0                               ? net->tiers[g->t - 1].name
             : net->port_kind == FS_DEVICE_NVSWITCH ? "nvlink"
                                                    : "switch",
             g->tier->name);
    return read_type(g->r, g->e, g->t == 0 && ends ? NULL : label, &g->tier->type);
}

static fs_status read_name(reading *g)
{
    g->tier->name = fs_doc_get(g->e, "name");
    for (uint32_t t = 0; t < g->t; t++)
        if (strcmp(g->net->tiers[t].name, g->tier->name) == 0)
            return FAIL(g, "name", "tier '%s' is defined twice", g->tier->name);
    return FS_OK;
}

/* ---- groups and classes ------------------------------------------------------------------------------------------ */

static fs_status read_by(reading *g)
{
    const fs_net *net = g->net;
    const char *by = fs_doc_get(g->e, "by");
    bool ends = g->t == 0 && (net->port_kind == FS_DEVICE_NIC || net->port_kind == FS_DEVICE_GPU);
    g->tier->by = ends && net->port_kind == FS_DEVICE_NIC ? FS_NET_BY_NODE : FS_NET_BY_ALL;
    if (by == NULL)
        return FS_OK;
    g->tier->by = strcmp(by, "node") == 0 ? FS_NET_BY_NODE : strcmp(by, "rail") == 0 ? FS_NET_BY_RAIL : FS_NET_BY_ALL;
    if (g->tier->by == FS_NET_BY_NODE && !ends)
        return FAIL(g, "by", "by=\"node\" is for the first tier, below which are NICs or GPUs");
    if (g->tier->by == FS_NET_BY_RAIL && (g->t > 0 ? net->tiers[g->t - 1].by != FS_NET_BY_RAIL : !ends))
        return FAIL(g, "by",
                    g->t > 0 ? "by=\"rail\" needs a tier by=\"rail\" below it"
                             : "by=\"rail\" at the first tier is for NICs and GPUs");
    return FS_OK;
}

static fs_status read_groups(reading *g)
{
    fs_net_tier *tier = g->tier;
    uint32_t lower = fs_net_lower_groups(g->net, g->t);
    tier->group = lower;
    fs_status status = fs_read_count(g->r, g->e, "group", FS_COUNT_MAX, &tier->group);
    if (status != FS_OK)
        return status;
    if (tier->group > lower) /* the only group is partly filled: its switches are there all the same */
        tier->n_groups = 1;
    else
        tier->n_groups = lower / tier->group + (lower % tier->group != 0);
    return FS_OK;
}

static fs_status read_classes(reading *g)
{
    fs_net_tier *tier = g->tier;
    uint32_t lower = fs_net_lower(g->net, g->t);
    bool rail = tier->by == FS_NET_BY_RAIL;
    tier->classes = rail ? g->net->rails : 1;
    if (fs_doc_get(g->e, "planes") == NULL)
        return FS_OK;
    if (tier->by != FS_NET_BY_ALL)
        return FAIL(g, "planes", "by=\"%s\" already says which switches are joined", rail ? "rail" : "node");
    fs_status status = fs_read_count(g->r, g->e, "planes", FS_COUNT_MAX, &tier->classes);
    if (status == FS_OK && lower % tier->classes != 0)
        return FAIL(g, "planes", "the %u devices of a group below do not divide into %u planes", lower, tier->classes);
    return status;
}

/* ---- cables ------------------------------------------------------------------------------------------------------ */

/* Cables up for each lower device so that bandwidth down / bandwidth up is as wanted. */
static fs_status read_oversubscription(reading *g, uint32_t *uplinks)
{
    double ratio = 1;
    fs_status status = fs_read_quantity(g->r, g->e, "oversubscription", FS_UNIT_NONE, &ratio);
    if (status != FS_OK)
        return status;
    if (g->t == 0)
        return FAIL(g, "oversubscription", "oversubscription compares with the tier below: the first has none");
    const fs_net_tier *below = &g->net->tiers[g->t - 1];
    const fs_link_type *types = g->r->spec->types.data;
    double down_Bps = below->down * types[below->type].bandwidth_Bps;
    double exact = down_Bps / (ratio * types[g->tier->type].bandwidth_Bps), whole = nearbyint(exact);
    if (!(whole >= 1 && whole <= FS_COUNT_MAX && fabs(exact - whole) <= 1e-9 * whole)) {
        char found[40];
        return FAIL(g, "oversubscription",
                    "a switch of tier '%s' would have %s cables up: not a whole number from 1 to %d", below->name,
                    fs_format_exact(exact, found, sizeof found), FS_COUNT_MAX);
    }
    *uplinks = (uint32_t)whole;
    return FS_OK;
}

static fs_status check_one_of(reading *g)
{
    static const char *const ways[] = {"lanes", "uplinks", "oversubscription"};
    bool has[3];
    for (int i = 0; i < 3; i++)
        has[i] = fs_doc_get(g->e, ways[i]) != NULL;
    bool switches = fs_doc_get(g->e, "switches") != NULL;
    if (!switches && !has[2])
        return FAIL(g, NULL, "<tier> lacks the attribute 'switches'");
    if (has[1] && (has[0] || has[2]))
        return FAIL(g, "uplinks", "'uplinks' and '%s' say the same: give one of them", has[0] ? "lanes" : ways[2]);
    if (has[0] && has[2] && switches)
        return FAIL(g, "lanes", "of 'switches', 'lanes' and 'oversubscription' two determine the third");
    return FS_OK;
}

/* Switches of a group, and cables up of each lower device. */
static fs_status read_uplinks(reading *g)
{
    fs_net_tier *tier = g->tier;
    uint32_t lanes = 1, uplinks = 0;
    fs_status status = check_one_of(g);
    if (status == FS_OK)
        status = fs_read_count(g->r, g->e, "lanes", FS_LANES_MAX, &lanes);
    if (status == FS_OK)
        status = fs_read_count(g->r, g->e, "switches", FS_COUNT_MAX, &tier->switches);
    if (status == FS_OK)
        status = fs_read_count(g->r, g->e, "uplinks", FS_COUNT_MAX, &uplinks);
    if (status == FS_OK && fs_doc_get(g->e, "oversubscription"))
        status = read_oversubscription(g, &uplinks);
    if (status != FS_OK)
        return status;
    if (tier->switches == 0) {
        if (uplinks % lanes != 0)
            return FAIL(g, "lanes", "%u cables up do not divide into bundles of %u", uplinks, lanes);
        tier->switches = uplinks / lanes * tier->classes;
    }
    if (tier->switches % tier->classes != 0)
        return FAIL(g, "switches", "%u switches do not divide into %u %s", tier->switches, tier->classes,
                    tier->by == FS_NET_BY_RAIL ? "rails" : "planes");
    bool plugged = g->t == 0 && tier->by != FS_NET_BY_ALL;
    if (plugged && uplinks != 0)
        return FAIL(g, "uplinks", "a port has one switch: 'lanes' says of how many lanes its cable is");
    uint64_t all = uplinks != 0 || plugged ? uplinks : (uint64_t)lanes * (tier->switches / tier->classes);
    if (all > FS_COUNT_MAX)
        return FAIL(g, "lanes", "more than %d cables up from one device", FS_COUNT_MAX);
    tier->uplinks = plugged ? lanes : (uint32_t)all;
    return FS_OK;
}

/* The most cables that arrive from below at one switch. */
static fs_status count_down(reading *g)
{
    fs_net_tier *tier = g->tier;
    bool plugged = g->t == 0 && tier->by != FS_NET_BY_ALL;
    uint64_t n = tier->switches / tier->classes;
    uint64_t lower = (uint64_t)tier->group * (fs_net_lower(g->net, g->t) / tier->classes);
    if (!plugged && tier->uplinks / n + (tier->uplinks % n != 0) > FS_LANES_MAX)
        return FAIL(g, NULL, "more than %d lanes between two switches", FS_LANES_MAX);
    uint64_t down = plugged ? (lower + n - 1) / n * tier->uplinks : (lower * tier->uplinks + n - 1) / n;
    if (down > UINT32_MAX)
        return FAIL(g, NULL, "more than 4294967295 cables at one switch");
    tier->down = (uint32_t)down;
    return FS_OK;
}

fs_status fs_net_read_tier(const fs_reader *r, const xmlNode *e, fs_net *net)
{
    if (net->top != FS_NET_TREE)
        return fs_doc_fail(r->doc, e, NULL, r->err, "a <tier> comes before <torus> and <dragonfly>");
    if (net->n_tiers == FS_NET_TIERS_MAX)
        return fs_doc_fail(r->doc, e, NULL, r->err, "a network has at most %d tiers", FS_NET_TIERS_MAX);
    reading g = {.r = r, .e = e, .net = net, .tier = &net->tiers[net->n_tiers], .t = net->n_tiers};
    static fs_status (*const steps[])(reading *) = {read_name,   read_part,    read_cable,   read_by,
                                                    read_groups, read_classes, read_uplinks, count_down};
    fs_status status = FS_OK;
    for (size_t i = 0; status == FS_OK && i < sizeof steps / sizeof *steps; i++)
        status = steps[i](&g);
    if (status == FS_OK)
        net->n_tiers++;
    return status;
}

/* ---- above the last tier ----------------------------------------------------------------------------------------- */

/* "8x8x4" */
static fs_status read_dims(const fs_reader *r, const xmlNode *e, fs_net *net)
{
    const char *text = fs_doc_get(e, "dims");
    uint64_t groups = 1;
    for (const char *at = text; net->n_dims < FS_NET_DIMS_MAX;) {
        char digits[16];
        size_t length = strcspn(at, "x");
        uint64_t size;
        snprintf(digits, sizeof digits, "%.*s", (int)(length < 15 ? length : 15), at);
        if (fs_parse_uint(digits, &size) != 0 || size < 1 || size > FS_COUNT_MAX)
            return fs_doc_fail(r->doc, e, "dims", r->err, "dims: each must be from 1 to %d, found '%.60s'",
                               FS_COUNT_MAX, text);
        net->dims[net->n_dims++] = (uint32_t)size;
        groups = groups * size > UINT32_MAX ? UINT32_MAX : groups * size;
        at += length;
        if (*at++ == '\0')
            break;
    }
    const fs_net_tier *last = &net->tiers[net->n_tiers - 1];
    if (groups != last->n_groups)
        return fs_doc_fail(r->doc, e, "dims", r->err, "a torus of %s joins %llu groups, but tier '%s' has %u", text,
                           (unsigned long long)groups, last->name, last->n_groups);
    return FS_OK;
}

fs_status fs_net_read_top(const fs_reader *r, const xmlNode *e, fs_net *net)
{
    bool torus = fs_doc_is(e, "torus");
    if (net->n_tiers == 0)
        return fs_doc_fail(r->doc, e, NULL, r->err, "<%s> joins the groups of the last tier: a <tier> comes first",
                           (const char *)e->name);
    if (net->top != FS_NET_TREE)
        return fs_doc_fail(r->doc, e, NULL, r->err, "a network has one <torus> or <dragonfly>");
    char label[FS_NAME_MAX + 16];
    snprintf(label, sizeof label, "%s-%s", net->tiers[net->n_tiers - 1].name, torus ? "torus" : "global");
    net->top = torus ? FS_NET_TORUS : FS_NET_DRAGONFLY;
    net->top_lanes = 1;
    fs_status status = read_type(r, e, label, &net->top_type);
    if (status == FS_OK)
        status = fs_read_count(r, e, torus ? "lanes" : "cables", FS_LANES_MAX, &net->top_lanes);
    return status == FS_OK && torus ? read_dims(r, e, net) : status;
}
