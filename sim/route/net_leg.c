/* net_leg.c - all minimal ways between two switches; see net.h.
 *
 * Breadth-first from both ends. The sides meet in the level at distance a from the source and b from the destination,
 * when one of them first reaches a vertex of the other's last level: both have finished their levels, so a + b is the
 * distance, and every minimal way crosses the middle level. The ways are then traced from the middle outwards over the
 * levels that the search has seen, looking only at links that the search has looked at: a core switch in the middle with
 * a thousand links is not unrolled.
 * Stubs, that is switches with one neighbour, are left out where the search does not begin with them: under merged
 * spines all leaves are stubs, and a spine's hundreds of links to them lead nowhere. A side that begins with a stub takes
 * its first step before anything else, so that afterwards neither side has passed a link that the other leaves out.
 * I. Pohl, "Bi-directional Search", Machine Intelligence 6 (1971). */
#include "route/net.h"

static fs_status reach(fs_net *net, fs_net_side *side, const fs_net_edges *edges, uint32_t vertex, uint32_t distance,
                       fs_err *err)
{
    side->stamp[vertex] = net->search;
    side->distance[vertex] = distance;
    side->work += edges->begin[vertex + 1] - edges->begin[vertex];
    return FS_PUSH(&side->queue, vertex) != NULL ? FS_OK : fs_fail_nomem(err);
}

static fs_status end_level(fs_net_side *side, fs_err *err)
{
    return FS_PUSH(&side->level, side->queue.count) != NULL ? FS_OK : fs_fail_nomem(err);
}

static fs_status start(fs_net *net, fs_net_side *side, const fs_net_edges *edges, uint32_t vertex, fs_err *err)
{
    side->queue.count = side->level.count = 0;
    side->work = 0;
    fs_status status = end_level(side, err);
    if (status == FS_OK)
        status = reach(net, side, edges, vertex, 0, err);
    return status == FS_OK ? end_level(side, err) : status;
}

/* How far a side has come. */
static uint32_t depth(const fs_net_side *side)
{
    return side->level.count - 2;
}

/* One level further. *met: a vertex of it is known to the other side. */
static fs_status expand(fs_net *net, fs_net_side *side, const fs_net_side *other, const fs_net_edges *edges, bool *met,
                        fs_err *err)
{
    uint32_t d = depth(side), begin = side->level.data[d], end = side->level.data[d + 1];
    side->work = 0;
    for (uint32_t i = begin; i < end; i++) {
        uint32_t v = side->queue.data[i];
        for (uint32_t e = edges->begin[v]; e < edges->begin[v + 1]; e++) {
            uint32_t to = edges->edges[e].to;
            if (side->stamp[to] == net->search)
                continue;
            fs_status status = reach(net, side, edges, to, d + 1, err);
            if (status != FS_OK)
                return status;
            *met = *met || other->stamp[to] == net->search;
        }
    }
    return end_level(side, err);
}

static void next_search(fs_net *net)
{
    if (++net->search == 0) { /* wrapped: forget all stamps */
        for (uint32_t v = 0; v < net->n; v++)
            net->ahead.stamp[v] = net->back.stamp[v] = 0;
        net->search = 1;
    }
}

static fs_status expand_ahead(fs_net *net, bool *met, fs_err *err)
{
    return expand(net, &net->ahead, &net->back, &net->through, met, err);
}

static fs_status expand_back(fs_net *net, bool *met, fs_err *err)
{
    return expand(net, &net->back, &net->ahead, &net->back_through, met, err);
}

/* Search until the sides meet, or one has seen all that it reaches. */
static fs_status meet(fs_net *net, uint32_t src, uint32_t dst, bool *met, fs_err *err)
{
    next_search(net);
    fs_status status = start(net, &net->ahead, &net->through, src, err);
    if (status == FS_OK)
        status = start(net, &net->back, &net->back_through, dst, err);
    *met = false;
    if (status == FS_OK && net->stub[dst])
        status = expand_back(net, met, err);
    if (status == FS_OK && net->stub[src] && !*met)
        status = expand_ahead(net, met, err);
    while (status == FS_OK && !*met && (net->ahead.work > 0 || net->back.work > 0)) {
        bool ahead = net->back.work == 0 || (net->ahead.work > 0 && net->ahead.work <= net->back.work);
        status = ahead ? expand_ahead(net, met, err) : expand_back(net, met, err);
    }
    return status;
}

/* ---- from the middle outwards ------------------------------------------------------------------------------------ */

static fs_status put_on_path(fs_net *net, uint32_t vertex, fs_err *err)
{
    if (FS_PUSH(&net->on_path, vertex) == NULL)
        return fs_fail_nomem(err);
    net->number_of[vertex] = net->on_path.count - 1;
    return FS_OK;
}

/* The middle: what both sides have in their last levels. */
static fs_status trace_middle(fs_net *net, fs_err *err)
{
    const fs_net_side *a = &net->ahead, *b = &net->back;
    fs_status status = FS_OK;
    for (uint32_t i = a->level.data[depth(a)]; status == FS_OK && i < a->queue.count; i++)
        if (b->stamp[a->queue.data[i]] == net->search && b->distance[a->queue.data[i]] == depth(b))
            status = put_on_path(net, a->queue.data[i], err);
    return status;
}

/* Those of a side's levels before its last that lead to what is on a path, from the last but one to the first; and the
 * links by which they do. ahead: the side that began at the source. */
static fs_status trace_side(fs_net *net, bool ahead, fs_err *err)
{
    const fs_net_side *side = ahead ? &net->ahead : &net->back;
    const fs_net_edges *edges = ahead ? &net->through : &net->back_through;
    fs_status status = FS_OK;
    for (uint32_t d = depth(side); d-- > 0;) {
        for (uint32_t i = side->level.data[d]; i < side->level.data[d + 1]; i++) {
            uint32_t v = side->queue.data[i], before = net->found.count;
            for (uint32_t e = edges->begin[v]; e < edges->begin[v + 1]; e++) {
                uint32_t to = edges->edges[e].to, link = edges->edges[e].link;
                if (net->number_of[to] == FS_NONE || side->stamp[to] != net->search || side->distance[to] != d + 1)
                    continue;
                /* Vertices for now; renamed once all are numbered. */
                if (FS_PUSH(&net->found, ((fs_dag_edge){ahead ? v : to, ahead ? to : v, link, link, 0.0})) == NULL)
                    return fs_fail_nomem(err);
            }
            if (net->found.count > before)
                status = put_on_path(net, v, err);
            if (status != FS_OK)
                return status;
        }
    }
    return FS_OK;
}

/* The first half of on_path leads from the middle back to the source: number it in reverse. The links are then sorted by
 * where they begin; those of one vertex come in an order that follows from the search alone. */
static fs_status number_in_order(fs_net *net, uint32_t n_first, fs_err *err)
{
    for (uint32_t i = 0; i < n_first; i++)
        net->number_of[net->on_path.data[i]] = n_first - 1 - i;
    net->begin.count = 0;
    for (uint32_t i = 0; i < net->on_path.count + 1; i++)
        if (FS_PUSH(&net->begin, 0) == NULL)
            return fs_fail_nomem(err);
    for (uint32_t i = 0; i < net->found.count; i++)
        net->begin.data[net->number_of[net->found.data[i].from] + 1]++;
    for (uint32_t i = 0; i < net->on_path.count; i++)
        net->begin.data[i + 1] += net->begin.data[i];
    net->dag.edges.count = 0;
    for (uint32_t i = 0; i < net->found.count; i++)
        if (FS_PUSH(&net->dag.edges, ((fs_dag_edge){0})) == NULL)
            return fs_fail_nomem(err);
    for (uint32_t i = 0; i < net->found.count; i++) {
        fs_dag_edge e = net->found.data[i];
        e.from = net->number_of[e.from];
        e.to = net->number_of[e.to];
        net->dag.edges.data[net->begin.data[e.from]++] = e;
    }
    return FS_OK;
}

static fs_status trace(fs_net *net, fs_err *err)
{
    net->on_path.count = net->found.count = 0;
    fs_status status = trace_middle(net, err);
    if (status == FS_OK)
        status = trace_side(net, true, err);
    uint32_t n_first = net->on_path.count;
    if (status == FS_OK)
        status = trace_side(net, false, err);
    if (status == FS_OK)
        status = number_in_order(net, n_first, err);
    for (uint32_t i = 0; i < net->on_path.count; i++)
        net->number_of[net->on_path.data[i]] = FS_NONE;
    return status;
}

fs_status fs_net_leg(fs_net *net, uint32_t src, uint32_t dst, uint32_t *out, fs_err *err)
{
    fs_leg leg = {.src = src, .dst = dst, .hops = FS_NONE, .worst_class = FS_CLASS_NET};
    uint32_t known = net->last_leg;
    if (known >= net->legs.legs.count || net->legs.legs.data[known].src != src || net->legs.legs.data[known].dst != dst)
        known = fs_leg_recall(&net->legs, leg.space, src, dst);
    if (known != FS_NONE) {
        *out = net->last_leg = known;
        return FS_OK;
    }
    bool met = false;
    fs_status status = meet(net, src, dst, &met, err);
    if (status == FS_OK && met)
        status = trace(net, err);
    if (status == FS_OK)
        status = met ? fs_dag_solve(&net->dag, net->view, net->on_path.count, net->single_path, leg, &net->legs, err)
                     : fs_leg_keep(&net->legs, leg, err);
    if (status == FS_OK)
        *out = net->last_leg = net->legs.legs.count - 1;
    return status;
}
