/* net.c - the graph of the network; see net.h. */
#include "route/net.h"

#include "base/forest.h"

enum { LEGS_MAX_BYTES = 64 << 20, DISTANCES_MAX_BYTES = 256 << 20 };

static bool is_network(const fs_topo *topo, const fs_link *link)
{
    return topo->link_types[link->type].class_ == FS_CLASS_NET;
}

static void mark_end(fs_net *net, uint32_t device)
{
    if (net->vertex_of[device] != FS_NONE)
        return;
    fs_device_kind kind = fs_topo_device(net->view->topo, device).kind;
    if (kind != FS_DEVICE_GPU && kind != FS_DEVICE_NIC)
        net->vertex_of[device] = 0;
}

/* Both ends of all network links may be vertices. Copies of a unit are like the first. */
static void mark_ends(fs_net *net)
{
    const fs_topo *topo = net->view->topo;
    for (uint32_t r = 0; r < topo->n_runs; r++) {
        const fs_topo_run *run = &topo->runs[r];
        uint32_t n = run->unit->n_devices;
        for (uint32_t l = run->first_link; l < run->first_link + run->unit->n_links; l++) {
            const fs_link link = fs_topo_link(topo, l);
            if (is_network(topo, &link))
                mark_end(net, link.src);
        }
        for (uint32_t d = run->first_device + n; d < run->first_device + run->copies * n; d++)
            net->vertex_of[d] = net->vertex_of[d - n];
    }
    for (uint32_t l = topo->first_cable; l < topo->n_links; l++) {
        const fs_link link = fs_topo_link(topo, l);
        if (is_network(topo, &link))
            mark_end(net, link.src);
    }
}

/* Number the vertices in the order of their devices. */
static fs_status number_vertices(fs_net *net, fs_err *err)
{
    const fs_topo *topo = net->view->topo;
    for (uint32_t d = 0; d < topo->n_devices; d++)
        net->vertex_of[d] = FS_NONE;
    mark_ends(net);
    for (uint32_t d = 0; d < topo->n_devices; d++)
        if (net->vertex_of[d] != FS_NONE)
            net->vertex_of[d] = net->n++;
    net->devices = fs_alloc(net->n, sizeof *net->devices);
    if (net->devices == NULL)
        return fs_fail_nomem(err);
    for (uint32_t d = 0; d < topo->n_devices; d++)
        if (net->vertex_of[d] != FS_NONE)
            net->devices[net->vertex_of[d]] = d;
    return FS_OK;
}

/* The edges out of every vertex, or into it; healthy: also those that have failed. *failed: there are such. */
static fs_status list_edges(fs_net *net, bool out, bool healthy, fs_net_edges *list, bool *failed, fs_err *err)
{
    const fs_topo *topo = net->view->topo;
    FS_VEC(fs_net_edge) edges = {0};
    list->begin = fs_alloc((size_t)net->n + 1, sizeof *list->begin);
    if (list->begin == NULL)
        return fs_fail_nomem(err);
    list->begin[0] = 0;
    for (uint32_t v = 0; v < net->n; v++) {
        const fs_links links = fs_topo_out(topo, net->devices[v]);
        for (uint32_t k = 0; k < links.count; k++) {
            uint32_t id = fs_links_at(&links, k);
            const fs_link link = fs_topo_link(topo, id);
            uint32_t used = out ? id : id ^ 1u, to = net->vertex_of[link.dst];
            if (to == FS_NONE || !is_network(topo, &link))
                continue;
            if (!healthy && !fs_view_alive(net->view, used)) {
                *failed = true;
                continue;
            }
            if (FS_PUSH(&edges, ((fs_net_edge){to, used, link.lanes})) == NULL) {
                fs_free(edges.data);
                return fs_fail_nomem(err);
            }
        }
        list->begin[v + 1] = edges.count;
    }
    list->edges = edges.data;
    return FS_OK;
}

static bool side_init(fs_net_side *side, uint32_t n)
{
    side->stamp = fs_zalloc(n, sizeof *side->stamp);
    side->distance = fs_alloc(n, sizeof *side->distance);
    return side->stamp != NULL && side->distance != NULL;
}

static void side_clear(fs_net_side *side)
{
    fs_free(side->stamp);
    fs_free(side->distance);
    fs_free(side->queue.data);
    fs_free(side->level.data);
}

/* Do all edges of a vertex lead to one neighbour? */
static bool is_stub(const fs_net *net, uint32_t v)
{
    const fs_net_edges *lists[] = {&net->out, &net->in};
    uint32_t neighbour = FS_NONE;
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t e = lists[i]->begin[v]; e < lists[i]->begin[v + 1]; e++) {
            uint32_t to = lists[i]->edges[e].to;
            if (neighbour != FS_NONE && to != neighbour)
                return false;
            neighbour = to;
        }
    return neighbour != FS_NONE;
}

static fs_status trim_edges(const fs_net *net, const fs_net_edges *all, fs_net_edges *trimmed, fs_err *err)
{
    FS_VEC(fs_net_edge) edges = {0};
    trimmed->begin = fs_alloc((size_t)net->n + 1, sizeof *trimmed->begin);
    if (trimmed->begin == NULL)
        return fs_fail_nomem(err);
    trimmed->begin[0] = 0;
    for (uint32_t v = 0; v < net->n; v++) {
        for (uint32_t e = all->begin[v]; e < all->begin[v + 1]; e++)
            if ((net->stub[v] || !net->stub[all->edges[e].to]) && FS_PUSH(&edges, all->edges[e]) == NULL) {
                fs_free(edges.data);
                return fs_fail_nomem(err);
            }
        trimmed->begin[v + 1] = edges.count;
    }
    trimmed->edges = edges.data;
    return FS_OK;
}

static fs_status find_stubs(fs_net *net, fs_err *err)
{
    bool any = false;
    net->stub = fs_alloc(net->n, sizeof *net->stub);
    if (net->stub == NULL)
        return fs_fail_nomem(err);
    for (uint32_t v = 0; v < net->n; v++)
        any = (net->stub[v] = is_stub(net, v)) || any;
    if (!any) {
        net->through = net->out;
        net->back_through = net->in;
        return FS_OK;
    }
    fs_status status = trim_edges(net, &net->out, &net->through, err);
    return status == FS_OK ? trim_edges(net, &net->in, &net->back_through, err) : status;
}

static fs_status find_components(fs_net *net, fs_err *err)
{
    net->component = fs_alloc(net->n, sizeof *net->component);
    if (net->component == NULL)
        return fs_fail_nomem(err);
    fs_forest_start(net->component, net->n);
    for (uint32_t v = 0; v < net->n; v++)
        for (uint32_t e = net->healthy.begin[v]; e < net->healthy.begin[v + 1]; e++)
            fs_forest_unite(net->component, v, net->healthy.edges[e].to);
    for (uint32_t v = 0; v < net->n; v++)
        net->component[v] = fs_forest_root(net->component, v);
    return FS_OK;
}

static fs_status list_routing(fs_net *net, fs_err *err)
{
    const fs_topo *topo = net->view->topo;
    net->routing = fs_zalloc(net->n, sizeof *net->routing);
    net->distances = fs_zalloc(2 * (size_t)net->n, sizeof *net->distances);
    if (net->routing == NULL || net->distances == NULL)
        return fs_fail_nomem(err);
    for (uint32_t v = 0; v < net->n; v++) {
        uint32_t network = fs_topo_device(topo, net->devices[v]).network;
        net->routing[v] = (uint8_t)(network == FS_NONE ? FS_ROUTING_ADAPTIVE : topo->networks[network].routing);
        net->hashed = net->hashed || net->routing[v] == FS_ROUTING_ECMP;
    }
    return FS_OK;
}

fs_status fs_net_init(fs_net *net, const fs_view *view, bool single_path, uint64_t seed, fs_err *err)
{
    bool failed = false;
    net->view = view;
    net->single_path = single_path;
    net->seed = seed;
    net->vertex_of = fs_alloc(view->topo->n_devices, sizeof *net->vertex_of);
    if (net->vertex_of == NULL)
        return fs_fail_nomem(err);
    fs_status status = number_vertices(net, err);
    if (status == FS_OK)
        status = list_edges(net, true, false, &net->out, &failed, err);
    if (status == FS_OK)
        status = list_edges(net, false, false, &net->in, &failed, err);
    if (status == FS_OK && failed)
        status = list_edges(net, true, true, &net->healthy, &failed, err);
    else if (status == FS_OK)
        net->healthy = net->out;
    if (status == FS_OK)
        status = find_components(net, err);
    if (status == FS_OK)
        status = find_stubs(net, err);
    if (status == FS_OK)
        status = list_routing(net, err);
    if (status != FS_OK)
        return status;
    net->number_of = fs_alloc(net->n, sizeof *net->number_of);
    if (!side_init(&net->ahead, net->n) || !side_init(&net->back, net->n) || net->number_of == NULL)
        return fs_fail_nomem(err);
    for (uint32_t v = 0; v < net->n; v++)
        net->number_of[v] = FS_NONE;
    return FS_OK;
}

static void forget_distances(fs_net *net)
{
    for (uint32_t i = 0; net->distances != NULL && i < 2 * net->n; i++) {
        fs_free(net->distances[i]);
        net->distances[i] = NULL;
    }
    net->distances_bytes = 0;
}

void fs_net_clear(fs_net *net)
{
    forget_distances(net);
    fs_free(net->distances);
    fs_free(net->component);
    fs_free(net->stub);
    fs_free(net->routing);
    fs_free(net->level);
    fs_free(net->rank);
    fs_free(net->trees);
    fs_leg_store_clear(&net->single);
    const fs_net_edges *whole[] = {&net->out, &net->in, &net->out},
                       *parts[] = {&net->through, &net->back_through, &net->healthy};
    for (uint32_t i = 0; i < 3; i++) /* the same memory where nothing differs */
        if (parts[i]->begin != whole[i]->begin) {
            fs_free(parts[i]->begin);
            fs_free(parts[i]->edges);
        }
    fs_free(net->vertex_of);
    fs_free(net->devices);
    fs_free(net->out.begin);
    fs_free(net->out.edges);
    fs_free(net->in.begin);
    fs_free(net->in.edges);
    fs_leg_store_clear(&net->legs);
    side_clear(&net->ahead);
    side_clear(&net->back);
    fs_free(net->number_of);
    fs_free(net->on_path.data);
    fs_free(net->found.data);
    fs_free(net->begin.data);
    fs_dag_free(&net->dag);
    *net = (fs_net){0};
}

void fs_net_make_room(fs_net *net)
{
    if (fs_leg_store_bytes(&net->legs) > LEGS_MAX_BYTES)
        fs_leg_store_clear(&net->legs);
    if (net->distances_bytes > DISTANCES_MAX_BYTES)
        forget_distances(net);
    net->single.legs.count = net->single.shares.count = 0;
}
