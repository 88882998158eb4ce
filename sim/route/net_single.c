/* net_single.c - one way for a flow, by a hash or by the destination; see net.h.
 *
 * At every switch the flow takes one of the links that lead to switches nearer to its destination, by distances to the
 * destination's switch (breadth-first, 2 B a switch, kept). A link of several lanes counts as often: cables between which
 * a flow has to choose, and one of which it could fill, are links of their own.
 *
 * ECMP: the link is drawn by a hash of seed, source and destination port, flow and switch.
 *
 * Static: as the subnet manager of a fat tree lays the tables of its switches, the same for all sources. Destinations
 * are numbered j, leaf by leaf, each leaf having room for the most ports that one has. A switch of level l (leaves: 0)
 * with k ways up takes number floor(j / s(l)) mod k, where s(l) is the product of the numbers of uplinks of the levels below
 * it; on the way down what leads back to where the same digits led up: neighbours by s(l - 2), parallel cables by
 * s(l - 1). In a full fat tree every permutation that shifts all ports by the same number then puts at most one flow on
 * any link. E. Zahavi, "D-Mod-K Routing Providing Non-Blocking Traffic for Shift Permutations on Real Life Fat Trees",
 * CCIT report 776, Technion, 2010.
 * Where the link so chosen in the healthy machine has failed, or leads to where the destination is not nearer any more,
 * the same digit chooses among the ways that are left: only destinations that used what failed move.
 *
 * Cost: O(links of the network) for a new destination switch, then O(links of the switches on the way). */
#include "route/net.h"

#include "base/rng.h"
#include "topo/bundle.h"

#include <math.h>
#include <string.h>

enum { UNREACHED = UINT16_MAX };

/* ---- distances --------------------------------------------------------------------------------------------------- */

/* Breadth-first against the direction of the links. Healthy links stand in both directions, so `out` serves for them. */
static fs_status spread_distances(fs_net *net, const fs_net_edges *edges, uint32_t dst, uint16_t *distances,
                                  fs_err *err)
{
    net->on_path.count = 0;
    memset(distances, 0xff, net->n * sizeof *distances);
    distances[dst] = 0;
    if (FS_PUSH(&net->on_path, dst) == NULL)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < net->on_path.count; i++) {
        uint32_t v = net->on_path.data[i];
        if (distances[v] + 1 >= UNREACHED)
            break;
        for (uint32_t e = edges->begin[v]; e < edges->begin[v + 1]; e++) {
            uint32_t from = edges->edges[e].to;
            if (distances[from] != UNREACHED)
                continue;
            distances[from] = (uint16_t)(distances[v] + 1);
            if (FS_PUSH(&net->on_path, from) == NULL)
                return fs_fail_nomem(err);
        }
    }
    return FS_OK;
}

static fs_status distances_to(fs_net *net, uint32_t dst, bool healthy, const uint16_t **out, fs_err *err)
{
    bool whole = net->healthy.begin == net->out.begin;
    uint16_t **known = &net->distances[dst + (healthy && !whole ? net->n : 0)];
    if (*known == NULL) {
        uint16_t *distances = fs_alloc(net->n, sizeof *distances);
        if (distances == NULL)
            return fs_fail_nomem(err);
        fs_status status = spread_distances(net, healthy ? &net->healthy : &net->in, dst, distances, err);
        if (status != FS_OK) {
            fs_free(distances);
            return status;
        }
        *known = distances;
        net->distances_bytes += net->n * sizeof *distances;
    }
    *out = *known;
    return FS_OK;
}

/* ---- levels of a fat tree ---------------------------------------------------------------------------------------- */

/* Cables of a vertex to what is no vertex, by link; those before `before` alone. */
static uint32_t count_cables(const fs_net *net, uint32_t vertex, uint32_t before)
{
    const fs_topo *topo = net->view->topo;
    const fs_links links = fs_topo_out(topo, net->devices[vertex]);
    uint32_t count = 0;
    for (uint32_t k = 0; k < links.count && fs_links_at(&links, k) < before; k++) {
        const fs_link link = fs_topo_link(topo, fs_links_at(&links, k));
        count += net->vertex_of[link.dst] == FS_NONE && topo->link_types[link.type].class_ == FS_CLASS_NET;
    }
    return count;
}

static uint32_t network_of(const fs_net *net, uint32_t vertex)
{
    return fs_topo_device(net->view->topo, net->devices[vertex]).network;
}

/* Leaves are those with cables to ports; the others as many levels above as they are links away from one. */
static fs_status find_levels(fs_net *net, fs_err *err)
{
    memset(net->level, 0xff, net->n);
    net->on_path.count = 0;
    for (uint32_t v = 0; v < net->n; v++) {
        uint32_t network = network_of(net, v), ports = network != FS_NONE ? count_cables(net, v, FS_NONE) : 0;
        if (ports == 0)
            continue;
        fs_net_tree *tree = &net->trees[network];
        tree->ports = ports > tree->ports ? ports : tree->ports;
        net->rank[v] = tree->leaves++;
        net->level[v] = 0;
        if (FS_PUSH(&net->on_path, v) == NULL)
            return fs_fail_nomem(err);
    }
    for (uint32_t i = 0; i < net->on_path.count; i++) {
        uint32_t v = net->on_path.data[i];
        for (uint32_t e = net->healthy.begin[v]; e < net->healthy.begin[v + 1]; e++) {
            uint32_t to = net->healthy.edges[e].to;
            if (net->level[to] != UINT8_MAX)
                continue;
            net->level[to] = (uint8_t)(net->level[v] + (net->level[v] + 1 < FS_NET_LEVELS));
            if (FS_PUSH(&net->on_path, to) == NULL)
                return fs_fail_nomem(err);
        }
    }
    return FS_OK;
}

/* stride[l + 1] for now: the most uplinks that a switch of level l has. Then products. */
static void find_strides(fs_net *net)
{
    for (uint32_t v = 0; v < net->n; v++) {
        uint32_t network = network_of(net, v), up = 0, level = net->level[v];
        if (network == FS_NONE || level + 1 >= FS_NET_LEVELS)
            continue;
        for (uint32_t e = net->healthy.begin[v]; e < net->healthy.begin[v + 1]; e++)
            if (net->level[net->healthy.edges[e].to] == level + 1)
                up += net->healthy.edges[e].lanes;
        uint32_t *most = &net->trees[network].stride[level + 1];
        *most = up > *most ? up : *most;
    }
    for (uint32_t i = 0; i < net->view->topo->n_networks; i++) {
        uint32_t *stride = net->trees[i].stride;
        stride[0] = 1;
        for (uint32_t l = 1; l < FS_NET_LEVELS; l++) {
            uint64_t product = (uint64_t)stride[l - 1] * (stride[l] > 0 ? stride[l] : 1);
            stride[l] = product < UINT32_MAX ? (uint32_t)product : UINT32_MAX;
        }
    }
}

static fs_status know_trees(fs_net *net, fs_err *err)
{
    if (net->level != NULL)
        return FS_OK;
    net->level = fs_alloc(net->n, sizeof *net->level);
    net->rank = fs_zalloc(net->n, sizeof *net->rank);
    net->trees = fs_zalloc(net->view->topo->n_networks, sizeof *net->trees);
    fs_status status = net->level && net->rank && net->trees ? find_levels(net, err) : fs_fail_nomem(err);
    if (status == FS_OK) {
        find_strides(net);
        return FS_OK;
    }
    fs_free(net->level);
    fs_free(net->rank);
    fs_free(net->trees);
    net->level = NULL;
    net->rank = NULL;
    net->trees = NULL;
    return status;
}

/* ---- which link -------------------------------------------------------------------------------------------------- */

typedef struct walk {
    const fs_net *net;
    const uint16_t *healthy, *left; /* distances to the destination, without and with what has failed */
    uint64_t hash;                  /* ECMP: of the flow */
    uint32_t number;                /* static: j of the destination */
    const fs_net_tree *tree;        /* static; NULL with ECMP */
} walk;

static uint64_t hash_flow(const fs_net *net, const fs_net_flow *flow)
{
    const fs_topo *topo = net->view->topo; /* a bundled one hashes as what it stands for */
    const uint64_t words[] = {net->seed, fs_bundle_device(topo, flow->src_port, 0),
                              fs_bundle_device(topo, flow->dst_port, 0), flow->number};
    return fs_hash_bytes(FS_HASH_START, words, sizeof words);
}

/* Uniform in [0, count) for every vertex anew. */
static uint32_t draw(uint64_t hash, uint32_t vertex, uint32_t count)
{
    fs_rng rng = fs_rng_seed(hash ^ (uint64_t)vertex << 32);
    return (uint32_t)((fs_rng_u64(&rng) >> 32) * count >> 32);
}

static uint32_t digit(uint32_t number, uint32_t stride, uint32_t count)
{
    return number / stride % count;
}

/* Edges of v that lead one step nearer; `only` = FS_NONE or the one neighbour that counts. With pick < their lanes: the
 * edge with that lane, else FS_NONE; *count: their lanes. */
static uint32_t pick_edge(const fs_net_edges *edges, const uint16_t *distances, uint32_t v, uint32_t only,
                          uint32_t pick, uint32_t *count)
{
    uint32_t before = 0, picked = FS_NONE;
    for (uint32_t e = edges->begin[v]; e < edges->begin[v + 1] && picked == FS_NONE; e++) {
        const fs_net_edge *edge = &edges->edges[e];
        if (distances[edge->to] == UNREACHED || distances[edge->to] + 1 != distances[v] ||
            (only != FS_NONE && edge->to != only))
            continue;
        picked = pick - before < edge->lanes && pick >= before ? e : FS_NONE;
        before += edge->lanes;
    }
    *count = before;
    return picked;
}

/* The pick-th distinct neighbour one step nearer, FS_NONE beyond them; *count: how many. They come in runs, as parallel
 * cables have consecutive links. */
static uint32_t pick_neighbour(const walk *w, uint32_t v, uint32_t pick, uint32_t *count)
{
    const fs_net_edges *edges = &w->net->healthy;
    uint32_t last = FS_NONE, n = 0, picked = FS_NONE;
    for (uint32_t e = edges->begin[v]; e < edges->begin[v + 1]; e++) {
        uint32_t to = edges->edges[e].to;
        if (to == last || w->healthy[to] == UNREACHED || w->healthy[to] + 1 != w->healthy[v])
            continue;
        picked = n == pick ? to : picked;
        last = to;
        n++;
    }
    *count = n;
    return picked;
}

/* The link of the healthy machine from v on, by the rule of static routing. */
static uint32_t static_edge(const walk *w, uint32_t v)
{
    const uint8_t *level = w->net->level;
    const uint32_t *stride = w->tree->stride;
    uint32_t count, only = FS_NONE, up = stride[level[v] < FS_NET_LEVELS ? level[v] : 0];
    if (w->healthy[v] == UNREACHED || w->healthy[v] == 0)
        return FS_NONE;
    uint32_t first = pick_neighbour(w, v, 0, &count);
    if (level[first] < level[v] && level[v] < FS_NET_LEVELS) {
        uint32_t back = level[v] >= 2 ? stride[level[v] - 2] : 1;
        only = pick_neighbour(w, v, digit(w->number, back, count), &count);
        up = stride[level[v] - 1];
    }
    pick_edge(&w->net->healthy, w->healthy, v, only, FS_NONE, &count);
    return pick_edge(&w->net->healthy, w->healthy, v, only, digit(w->number, up, count), &count);
}

/* The edge, in net->out, by which the flow leaves v. */
static uint32_t next_edge(const walk *w, uint32_t v)
{
    const fs_net *net = w->net;
    uint32_t count, pick;
    if (w->tree != NULL) {
        uint32_t chosen = static_edge(w, v), link = chosen == FS_NONE ? FS_NONE : net->healthy.edges[chosen].link;
        for (uint32_t e = net->out.begin[v]; link != FS_NONE && e < net->out.begin[v + 1]; e++)
            if (net->out.edges[e].link == link && w->left[net->out.edges[e].to] + 1 == w->left[v])
                return e;
    }
    pick_edge(&net->out, w->left, v, FS_NONE, FS_NONE, &count);
    pick = w->tree == NULL
               ? draw(w->hash, fs_bundle_device(net->view->topo, net->devices[v], 0), count)
               : digit(w->number, net->level[v] < FS_NET_LEVELS ? w->tree->stride[net->level[v]] : 1, count);
    return pick_edge(&net->out, w->left, v, FS_NONE, pick, &count);
}

/* ---- the way ----------------------------------------------------------------------------------------------------- */

static fs_status add_link(fs_net *net, uint32_t id, fs_leg *leg, fs_err *err)
{
    const fs_link link = fs_topo_link(net->view->topo, id);
    double factor = fs_view_factor(net->view, id);
    leg->hops++;
    leg->n_shares++;
    leg->latency_s += link.latency_s;
    leg->bandwidth_Bps = fmin(leg->bandwidth_Bps, link.bandwidth_Bps * factor);
    leg->effective_Bps = fmin(leg->effective_Bps, link.effective_Bps * factor);
    return FS_PUSH(&net->single.shares, ((fs_share){id, 1.0})) ? FS_OK : fs_fail_nomem(err);
}

/* Number of a destination: j. */
static uint32_t number_of_port(const fs_net *net, uint32_t vertex, const fs_net_flow *flow)
{
    const fs_net_tree *tree = &net->trees[network_of(net, vertex)];
    uint32_t at = flow->last_cable == FS_NONE ? 0 : count_cables(net, vertex, flow->last_cable & ~UINT32_C(1));
    return net->rank[vertex] * tree->ports + at;
}

static fs_status walk_there(fs_net *net, const walk *w, fs_leg *leg, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t v = leg->src; status == FS_OK && v != leg->dst;) {
        uint32_t e = next_edge(w, v);
        v = net->out.edges[e].to;
        status = add_link(net, net->out.edges[e].link, leg, err);
    }
    return status;
}

fs_status fs_net_single(fs_net *net, uint32_t src, uint32_t dst, const fs_net_flow *flow, uint32_t *out, fs_err *err)
{
    walk w = {.net = net, .hash = hash_flow(net, flow)};
    bool fixed = net->routing[src] == FS_ROUTING_STATIC;
    fs_leg leg = {.src = src,
                  .dst = dst,
                  .first_share = net->single.shares.count,
                  .bandwidth_Bps = INFINITY,
                  .effective_Bps = INFINITY,
                  .worst_class = FS_CLASS_NET};
    fs_status status = distances_to(net, dst, false, &w.left, err);
    if (status == FS_OK)
        status = distances_to(net, dst, true, &w.healthy, err);
    if (status == FS_OK && fixed)
        status = know_trees(net, err);
    if (status != FS_OK)
        return status;
    if (fixed) {
        w.tree = &net->trees[network_of(net, src)];
        w.number = number_of_port(net, dst, flow);
    }
    if (w.left[src] == UNREACHED)
        leg.hops = FS_NONE;
    else
        status = walk_there(net, &w, &leg, err);
    leg.onward_Bps = leg.effective_Bps;
    if (status == FS_OK && FS_PUSH(&net->single.legs, leg) == NULL)
        status = fs_fail_nomem(err);
    if (status == FS_OK)
        *out = net->single.legs.count - 1;
    return status;
}

uint32_t fs_net_choose(const fs_net *net, const fs_net_flow *flow, uint32_t count)
{
    return draw(hash_flow(net, flow), FS_NONE, count);
}
