/* survey.c - what one wants to know of a topology at a glance. See survey.h.
 *
 * Bisection. The first half of the GPUs, by number (the smaller half where they are odd), sends to the second half as
 * much as the links can carry: a maximum flow, one direction, bare bandwidth. It is what the wires allow, not what
 * routing makes of them: NVLink and PCIe add up here, although a transfer uses one of them.
 * Of a tier: the same with the tier's links as the only limit. Because NVLink and the rest are alternatives, an NVLink
 * tier is seen in the network of NVLinks alone, and any other tier in the network without NVLinks; all other links
 * there are unlimited. Where the halves are then joined without the tier, or not even with it, the tier is no limit:
 * carries_gpus is false and its bisection 0.
 *
 * Scale-up domains: GPUs joined by NVLink or C2C, directly, through NVSwitches, or through each other.
 *
 * Reach: two GPUs reach each other over a direct link; through devices that are not GPUs; and, where GPUs forward, over
 * two NVLinks with one GPU between. The devices between GPUs fall into components (union-find); nearly always one
 * component touches all GPUs, and otherwise the GPUs that each one reaches are counted until one comes short.
 *
 * All but the counts is of the bundled topology, whose GPUs reach the same over the same bandwidth; bisections of that
 * folded by halves (flow_net.c). Cost: O(devices + links) several times, and at worst O(GPUs^2) for the reach. A machine
 * of a million GPUs takes seconds. */
#include "topo/survey.h"

#include "base/forest.h"
#include "base/mem.h"
#include "topo/bundle.h"
#include "topo/max_flow.h"

#include <string.h>

static uint32_t *new_forest(uint32_t count)
{
    uint32_t *parent = fs_alloc(count, sizeof *parent);
    if (parent)
        fs_forest_start(parent, count);
    return parent;
}

static bool is_gpu(const fs_topo *topo, uint32_t device)
{
    return fs_topo_device(topo, device).kind == FS_DEVICE_GPU;
}

static fs_link_class class_of(const fs_topo *topo, const fs_link *link)
{
    return topo->link_types[link->type].class_;
}

/* ---- scale-up domains -------------------------------------------------------------------------------------------- */

static bool scales_up(const fs_topo *topo, uint32_t device)
{
    fs_device_kind kind = fs_topo_device(topo, device).kind;
    return kind == FS_DEVICE_GPU || kind == FS_DEVICE_NVSWITCH;
}

static fs_status find_domains(const fs_topo *topo, fs_survey *s, fs_err *err)
{
    uint32_t *parent = new_forest(topo->n_devices), *size = fs_zalloc(topo->n_devices, sizeof *size);
    bool good = parent && size;
    for (uint32_t l = 0; good && l < topo->n_links; l += 2) {
        const fs_link link = fs_topo_link(topo, l);
        fs_link_class c = class_of(topo, &link);
        if ((c == FS_CLASS_NVLINK || c == FS_CLASS_C2C) && scales_up(topo, link.src) && scales_up(topo, link.dst))
            fs_forest_unite(parent, link.src, link.dst);
    }
    for (uint32_t g = 0; good && g < topo->n_gpus; g++) {
        uint32_t *members = &size[fs_forest_root(parent, topo->gpus[g])];
        s->scale_up_domains += *members == 0;
        ++*members;
        if (*members > s->largest_domain)
            s->largest_domain = *members;
    }
    fs_free(parent);
    fs_free(size);
    return good ? FS_OK : fs_fail_nomem(err);
}

/* ---- reach ------------------------------------------------------------------------------------------------------- */

typedef struct reach {
    const fs_topo *topo;
    uint32_t *component; /* (n_devices) of devices that are not GPUs: their root */
    uint32_t *begin;     /* (n_devices + 1) by root: its GPUs in members[] */
    uint32_t *members;   /* GPU numbers; a GPU with two links into a component is there twice */
    uint32_t *stamp;     /* (n_gpus) the last GPU that reached it, by number; FS_NONE = none */
} reach;

static bool set_up(reach *r)
{
    const fs_topo *topo = r->topo;
    r->component = new_forest(topo->n_devices);
    r->begin = fs_zalloc((size_t)topo->n_devices + 2, sizeof *r->begin);
    r->members = fs_alloc(topo->n_links, sizeof *r->members);
    r->stamp = fs_alloc(topo->n_gpus, sizeof *r->stamp);
    if (!r->component || !r->begin || !r->members || !r->stamp)
        return false;
    memset(r->stamp, 0xFF, topo->n_gpus * sizeof *r->stamp);
    for (uint32_t l = 0; l < topo->n_links; l += 2)
        if (!is_gpu(topo, fs_topo_link(topo, l).src) && !is_gpu(topo, fs_topo_link(topo, l).dst))
            fs_forest_unite(r->component, fs_topo_link(topo, l).src, fs_topo_link(topo, l).dst);
    /* Counting sort of GPUs by component; begin[] is shifted by one while it is filled. */
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t l = 0; l < topo->n_links; l++) {
            const fs_link link = fs_topo_link(topo, l);
            if (!is_gpu(topo, link.src) || is_gpu(topo, link.dst))
                continue;
            uint32_t root = fs_forest_root(r->component, link.dst);
            if (pass == 0)
                r->begin[root + 2]++;
            else
                r->members[r->begin[root + 1]++] = fs_topo_device(topo, link.src).index;
        }
        for (uint32_t d = 0; pass == 0 && d < topo->n_devices; d++)
            r->begin[d + 2] += r->begin[d + 1];
    }
    return true;
}

static void stamp_one(reach *r, uint32_t gpu, uint32_t by, uint32_t *count)
{
    *count += r->stamp[gpu] != by;
    r->stamp[gpu] = by;
}

/* GPUs that GPU number `gpu` has a link to, directly or (hops 2) through one more over NVLink. */
static void stamp_neighbours(reach *r, uint32_t device, uint32_t by, int hops, bool nvlink_only, uint32_t *count)
{
    const fs_topo *topo = r->topo;
    for (uint32_t i = 0; i < fs_topo_out_count(topo, device); i++) {
        const fs_link link = fs_topo_link(topo, fs_topo_out_link(topo, device, i));
        bool nvlink = class_of(topo, &link) == FS_CLASS_NVLINK;
        if (!is_gpu(topo, link.dst) || (nvlink_only && !nvlink))
            continue;
        stamp_one(r, fs_topo_device(topo, link.dst).index, by, count);
        if (hops > 1 && nvlink)
            stamp_neighbours(r, link.dst, by, hops - 1, true, count);
    }
}

/* How many GPUs it reaches, itself among them; their stamps say which. */
static uint32_t count_reached(reach *r, uint32_t gpu)
{
    const fs_topo *topo = r->topo;
    uint32_t device = topo->gpus[gpu], count = 0;
    stamp_one(r, gpu, gpu, &count);
    stamp_neighbours(r, device, gpu, topo->gpu_forwarding ? 2 : 1, false, &count);
    for (uint32_t i = 0; i < fs_topo_out_count(topo, device) && count < topo->n_gpus; i++) {
        uint32_t to = fs_topo_link(topo, fs_topo_out_link(topo, device, i)).dst;
        if (is_gpu(topo, to))
            continue;
        uint32_t root = fs_forest_root(r->component, to);
        for (uint32_t m = r->begin[root]; m < r->begin[root + 1]; m++)
            stamp_one(r, r->members[m], gpu, &count);
    }
    return count;
}

/* Whether one component touches every GPU. */
static bool one_joins_all(reach *r)
{
    const fs_topo *topo = r->topo;
    for (uint32_t root = 0; root < topo->n_devices; root++) {
        uint32_t count = 0;
        if (r->begin[root + 1] - r->begin[root] < topo->n_gpus)
            continue;
        for (uint32_t m = r->begin[root]; m < r->begin[root + 1]; m++)
            stamp_one(r, r->members[m], topo->n_gpus + root, &count); /* no GPU has that number */
        if (count == topo->n_gpus)
            return true;
    }
    return false;
}

static fs_status find_reach(const fs_topo *topo, fs_survey *s, fs_err *err)
{
    reach r = {.topo = topo};
    bool good = set_up(&r);
    s->all_reach = true;
    bool joined = good && one_joins_all(&r);
    for (uint32_t g = 0; good && !joined && s->all_reach && g < topo->n_gpus; g++) {
        if (count_reached(&r, g) == topo->n_gpus)
            continue;
        s->all_reach = false;
        s->unreached_from = g;
        while (r.stamp[s->unreached_to] == g)
            s->unreached_to++;
    }
    fs_free(r.component);
    fs_free(r.begin);
    fs_free(r.members);
    fs_free(r.stamp);
    return good ? FS_OK : fs_fail_nomem(err);
}

/* ---- bisection --------------------------------------------------------------------------------------------------- */

typedef struct cut {
    const fs_topo *topo;
    const fs_flow_net *net;
    double *capacity; /* (n_arcs) */
} cut;

static fs_link_class class_of_arc(const cut *c, uint32_t arc)
{
    return c->topo->link_types[c->net->type[arc]].class_;
}

/* Capacities as a tier sees them; `other` for links of other tiers. */
static void set_tier(cut *c, uint32_t tier, bool nvlink, double own, double other)
{
    for (uint32_t a = 0; a < c->net->n_arcs; a++) {
        bool same_network = (class_of_arc(c, a) == FS_CLASS_NVLINK) == nvlink;
        bool mine = c->topo->link_types[c->net->type[a]].tier == tier;
        c->capacity[a] = !same_network ? 0 : mine ? own * c->net->bandwidth_Bps[a] : other;
    }
}

static fs_status survey_tier(cut *c, uint32_t tier, bool nvlink, fs_tier_survey *s, fs_err *err)
{
    double unlimited = 1, flow;
    for (uint32_t a = 0; a < c->net->n_arcs; a++)
        unlimited += c->net->bandwidth_Bps[a];
    set_tier(c, tier, nvlink, 0, 1); /* are the halves joined without the tier? */
    fs_status status = fs_max_flow(c->net, c->capacity, &flow, err);
    if (status != FS_OK || flow > 0)
        return status;
    set_tier(c, tier, nvlink, 1, unlimited);
    status = fs_max_flow(c->net, c->capacity, &flow, err);
    if (status != FS_OK)
        return status;
    s->bisection_Bps = flow;
    s->carries_gpus = flow > 0;
    return FS_OK;
}

static fs_status find_bisection(const fs_topo *topo, const bool *nvlink, fs_survey *s, fs_err *err)
{
    fs_flow_net net;
    fs_status status = fs_flow_net_make(topo, true, &net, err);
    if (status != FS_OK)
        return status;
    cut c = {topo, &net, fs_alloc(net.n_arcs, sizeof(double))};
    if (c.capacity == NULL)
        status = fs_fail_nomem(err);
    for (uint32_t a = 0; status == FS_OK && a < net.n_arcs; a++)
        c.capacity[a] = net.bandwidth_Bps[a];
    if (status == FS_OK)
        status = fs_max_flow(&net, c.capacity, &s->bisection_Bps, err);
    for (uint32_t t = 0; status == FS_OK && t < topo->n_tiers; t++)
        status = survey_tier(&c, t, nvlink[t], &s->tiers[t], err);
    fs_free(c.capacity);
    fs_flow_net_free(&net);
    return status;
}

/* ---- counts ------------------------------------------------------------------------------------------------------ */

/* `copies` times these connections. nvlink (n_tiers): whether a tier is of NVLinks. */
static void count_connections(const fs_topo *topo, const fs_connection *connections, uint32_t n, uint32_t copies,
                              fs_survey *s, bool *nvlink)
{
    for (uint32_t i = 0; i < n; i++) {
        const fs_link_shape *shape = &topo->shapes[connections[i].shape[0]];
        const fs_link_type *type = &topo->link_types[shape->type];
        fs_tier_survey *tier = &s->tiers[type->tier];
        tier->connections += copies;
        tier->lanes += (uint64_t)shape->lanes * copies;
        tier->bandwidth_Bps += shape->bandwidth_Bps * copies;
        nvlink[type->tier] |= type->class_ == FS_CLASS_NVLINK;
    }
}

static void count_all(const fs_topo *topo, fs_survey *s, bool *nvlink)
{
    for (uint32_t r = 0; r < topo->n_runs; r++) {
        const fs_topo_run *run = &topo->runs[r];
        for (int kind = 0; kind < FS_DEVICE_KINDS; kind++)
            s->devices_of_kind[kind] += run->copies * run->unit->of_kind[kind];
        count_connections(topo, run->unit->connections, run->unit->n_links / 2, run->copies, s, nvlink);
    }
    count_connections(topo, topo->cables, (topo->n_links - topo->first_cable) / 2, 1, s, nvlink);
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

fs_status fs_survey_make(const fs_topo *topo, fs_survey *survey, fs_err *err)
{
    fs_survey s = {.tiers = fs_zalloc(topo->n_tiers, sizeof *s.tiers)};
    bool *nvlink = fs_zalloc(topo->n_tiers, sizeof *nvlink);
    fs_topo *small = NULL;
    fs_status status = s.tiers && nvlink ? fs_topo_bundle(topo, &small, err) : fs_fail_nomem(err);
    if (status == FS_OK) {
        count_all(topo, &s, nvlink);
        status = find_domains(small, &s, err);
    }
    if (status == FS_OK)
        status = find_reach(small, &s, err);
    if (status == FS_OK)
        status = find_bisection(small, nvlink, &s, err);
    fs_topo_free(small);
    fs_free(nvlink);
    if (status != FS_OK) {
        fs_survey_free(&s);
        return status;
    }
    *survey = s;
    return FS_OK;
}

void fs_survey_free(fs_survey *survey)
{
    fs_free(survey->tiers);
    *survey = (fs_survey){0};
}
