/* ring_search.c - the rings ("channels") of a group; see group.h.
 *
 * One domain:
 *   switched NVLink  one ring in rank order, GPUs of one board (one set of switches) together: every edge spreads over
 *                    all switches, each GPU sends and receives once, so no second ring could add bandwidth, and trunks
 *                    between boards are crossed once each way.
 *   NVLink mesh      disjoint directed Hamiltonian cycles on the lanes (mesh_rings.c), weighted by lanes.
 *   else (PCIe)      one ring: from each GPU to the nearest that is left. In a tree, nearest first finishes each PCIe
 *                    switch and each socket before it leaves it, so every uplink and each direction of a link between
 *                    sockets is crossed once: the best a ring can do.
 * Several domains: one ring per rail c, as NCCL lays them. It enters domains 0, 2, 4, ... at the GPU of rail c and
 *   leaves them at that of rail c ^ 1; in domains 1, 3, 5, ... the other way round. So each edge between domains stays
 *   on one rail and thus in one leaf; only where the number of domains is odd does the closing edge change rails, or,
 *   where rails never meet, leave by the other rail's NIC. Within a domain the ring walks as above, from the GPU of the
 *   one rail to that of the other.
 * Cost: O(rings x ranks) routes; PCIe domains O(n^2) routes; the mesh search has a fixed budget. */
#include "coll/group.h"
#include "coll/mesh_rings.h"

#include <math.h>

/* ---- walks through one domain ------------------------------------------------------------------------------------ */

/* The first NVSwitch that a GPU hangs on, or FS_NONE: GPUs of one board agree on it. */
static uint32_t switch_of(const fs_topo *topo, uint32_t gpu)
{
    uint32_t best = FS_NONE;
    for (uint32_t k = 0; k < fs_topo_out_count(topo, gpu); k++) {
        const fs_link link = fs_topo_link(topo, fs_topo_out_link(topo, gpu, k));
        if (fs_topo_device(topo, link.dst).kind == FS_DEVICE_NVSWITCH &&
            topo->link_types[link.type].class_ == FS_CLASS_NVLINK && link.dst < best)
            best = link.dst;
    }
    return best;
}

/* Lanes of the direct NVLinks among the members: lanes (n x n). False where the domain is no small mesh. */
static bool mesh_lanes(fs_neighbourhood *hood, const fs_group *group, const fs_domain *domain, uint32_t *lanes)
{
    const fs_topo *topo = hood->topo;
    uint32_t n = domain->n, total = 0;
    if (n < 2 || n > FS_MESH_MAX)
        return false;
    for (uint32_t i = 0; i < n * n; i++)
        lanes[i] = 0;
    uint32_t stamp = ++hood->stamp;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t gpu = group->gpus[domain->members[i]];
        hood->stamp_of_device[gpu] = stamp;
        hood->index_of_device[gpu] = i;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t gpu = group->gpus[domain->members[i]];
        for (uint32_t k = 0; k < fs_topo_out_count(topo, gpu); k++) {
            const fs_link link = fs_topo_link(topo, fs_topo_out_link(topo, gpu, k));
            if (hood->stamp_of_device[link.dst] != stamp || topo->link_types[link.type].class_ != FS_CLASS_NVLINK)
                continue;
            lanes[i * n + hood->index_of_device[link.dst]] += link.lanes;
            total += link.lanes;
        }
    }
    return total > 0;
}

static bool is_switched(const fs_topo *topo, const fs_group *group, const fs_domain *domain)
{
    for (uint32_t i = 0; i < domain->n; i++)
        if (switch_of(topo, group->gpus[domain->members[i]]) == FS_NONE)
            return false;
    return true;
}

/* Members by board, the board of `first` first, `last` at the end. */
static void walk_switched(const fs_topo *topo, const fs_group *group, const fs_domain *domain, uint32_t first,
                          uint32_t last, uint32_t *order)
{
    uint32_t n = 0, board = switch_of(topo, group->gpus[first]);
    uint32_t wanted = domain->n - (last != FS_NONE && last != first);
    order[n++] = first;
    while (n < wanted) {
        uint32_t next_board = FS_NONE;
        for (uint32_t i = 0; i < domain->n; i++) {
            uint32_t member = domain->members[i];
            if (member != first && member != last && switch_of(topo, group->gpus[member]) == board)
                order[n++] = member;
        }
        /* The next board is that of the first member that is not on any board so far. */
        for (uint32_t i = 0; i < domain->n && n < wanted && next_board == FS_NONE; i++) {
            bool placed = domain->members[i] == last;
            for (uint32_t k = 0; k < n && !placed; k++)
                placed = order[k] == domain->members[i];
            if (!placed)
                next_board = switch_of(topo, group->gpus[domain->members[i]]);
        }
        board = next_board;
    }
    if (last != FS_NONE && last != first)
        order[n] = last;
}

/* Along NVLinks that still have lanes, else along any. Takes the lanes of the path. */
static bool walk_mesh(const fs_domain *domain, const uint32_t *lanes, uint32_t first, uint32_t last,
                      uint32_t *lanes_left, uint32_t *order)
{
    uint8_t path[FS_MESH_MAX];
    uint32_t n = domain->n, from = FS_NONE, to = FS_NONE;
    for (uint32_t i = 0; i < n; i++) {
        from = domain->members[i] == first ? i : from;
        to = domain->members[i] == last ? i : to;
    }
    if (!(lanes_left != NULL && fs_mesh_find_path(n, lanes_left, from, to, path)) &&
        !fs_mesh_find_path(n, lanes, from, to, path))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        order[i] = domain->members[path[i]];
        if (lanes_left != NULL && i > 0 && lanes_left[path[i - 1] * n + path[i]] > 0)
            lanes_left[path[i - 1] * n + path[i]]--;
    }
    return true;
}

/* From each GPU to the nearest that is left: the least slow class of link, then the fewest hops, then by rank. */
static fs_status walk_nearest(fs_neighbourhood *hood, const fs_group *group, const fs_domain *domain, uint32_t first,
                              uint32_t last, uint32_t *order, fs_err *err)
{
    uint32_t stamp = ++hood->stamp, n = 0;
    order[n++] = first;
    hood->stamp_of_device[group->gpus[first]] = stamp;
    while (n < domain->n) {
        uint32_t nearest = FS_NONE, least = UINT32_MAX;
        for (uint32_t i = 0; i < domain->n; i++) {
            uint32_t member = domain->members[i];
            if (hood->stamp_of_device[group->gpus[member]] == stamp || (member == last && n + 1 < domain->n))
                continue;
            const fs_route *route;
            fs_status status =
                fs_router_find(hood->router, group->gpus[order[n - 1]], group->gpus[member], 0, &route, err);
            if (status != FS_OK)
                return status;
            uint32_t far = fs_route_distance(route);
            nearest = far < least ? member : nearest;
            least = far < least ? far : least;
        }
        order[n++] = nearest;
        hood->stamp_of_device[group->gpus[nearest]] = stamp;
    }
    return FS_OK;
}

fs_status fs_group_walk(fs_neighbourhood *hood, const fs_group *group, uint32_t domain_index, uint32_t first,
                        uint32_t last, uint32_t *lanes_left, uint32_t *order, fs_err *err)
{
    const fs_domain *domain = &group->domains[domain_index];
    uint32_t lanes[FS_MESH_MAX * FS_MESH_MAX];
    if (is_switched(hood->topo, group, domain)) {
        walk_switched(hood->topo, group, domain, first, last, order);
        return FS_OK;
    }
    if (mesh_lanes(hood, group, domain, lanes) && walk_mesh(domain, lanes, first, last, lanes_left, order))
        return FS_OK;
    return walk_nearest(hood, group, domain, first, last, order, err);
}

/* ---- channels ---------------------------------------------------------------------------------------------------- */

/* Where a ring enters or leaves a domain. */
typedef struct port {
    uint32_t position, nic;
} port;

static fs_status new_channels(fs_neighbourhood *hood, const fs_group *group, uint32_t count, fs_channel **channels,
                              uint32_t **orders, fs_err *err)
{
    *channels = fs_arena_alloc(hood->arena, count, sizeof **channels);
    *orders = fs_arena_alloc(hood->arena, (size_t)count * group->n, sizeof **orders);
    return *channels == NULL || *orders == NULL ? fs_fail_nomem(err) : FS_OK;
}

/* Fill channel->next. ports[2d], ports[2d + 1]: where the ring enters and leaves domain d; NULL for one domain. */
static fs_status connect(fs_neighbourhood *hood, const fs_group *group, fs_channel *channel, const port *ports,
                         fs_err *err)
{
    uint32_t n = group->n;
    const fs_route **next = fs_arena_alloc(hood->arena, n, sizeof(fs_route *));
    if (next == NULL)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t a = channel->order[i], b = channel->order[(i + 1) % n];
        uint32_t da = group->domain_of[a], db = group->domain_of[b];
        bool crosses = group->n_domains > 1 && da != db;
        fs_status status = fs_group_cross(hood, group->gpus[a], crosses ? ports[2 * da + 1].nic : FS_NONE,
                                          crosses ? ports[2 * db].nic : FS_NONE, group->gpus[b], &next[i], err);
        if (status != FS_OK)
            return status;
    }
    channel->next = next;
    return FS_OK;
}

static fs_status one_domain(fs_neighbourhood *hood, fs_group *group, fs_err *err)
{
    const fs_domain *domain = &group->domains[0];
    fs_mesh_ring rings[FS_MESH_RINGS_MAX];
    uint32_t lanes[FS_MESH_MAX * FS_MESH_MAX], n_rings = 0, total = 0, n = group->n;
    if (!is_switched(hood->topo, group, domain) && mesh_lanes(hood, group, domain, lanes))
        fs_mesh_find_rings(n, lanes, rings, &n_rings);
    fs_channel *channels;
    uint32_t *orders, count = n_rings ? n_rings : 1;
    fs_status status = new_channels(hood, group, count, &channels, &orders, err);
    if (status != FS_OK)
        return status;
    for (uint32_t c = 0; c < n_rings; c++)
        total += rings[c].lanes;
    for (uint32_t c = 0; c < n_rings; c++)
        for (uint32_t i = 0; i < n; i++)
            orders[c * n + i] = domain->members[rings[c].order[i]];
    if (n_rings == 0)
        status = fs_group_walk(hood, group, 0, 0, FS_NONE, NULL, orders, err);
    for (uint32_t c = 0; c < count && status == FS_OK; c++) {
        channels[c].order = orders + (size_t)c * n;
        channels[c].share = n_rings ? (double)rings[c].lanes / (double)total : 1.0;
        status = connect(hood, group, &channels[c], NULL, err);
    }
    if (status != FS_OK)
        return status;
    group->channels = channels;
    group->n_channels = count;
    return FS_OK;
}

/* Ring c enters domain d by *in and leaves it by *out. */
static void choose_ports(const fs_group *group, uint32_t c, uint32_t d, port *in, port *out)
{
    const fs_domain *domain = &group->domains[d];
    if (group->n_rails == 0) {
        *in = (port){domain->members[0], FS_NONE};
        *out = (port){domain->members[domain->n - 1], FS_NONE};
        return;
    }
    uint32_t other = (c ^ 1u) < group->n_rails ? c ^ 1u : c;
    const fs_rail *a = &domain->rails[d % 2 == 0 ? c : other], *b = &domain->rails[d % 2 == 0 ? other : c];
    *in = (port){a->enter, a->nic};
    *out = (port){b->enter, b->nic};
    if (out->position == in->position) /* one GPU serves both: leave by its neighbour, or by anyone */
        out->position = b->leave;
    for (uint32_t i = domain->n; i-- > 0 && out->position == in->position && domain->n > 1;)
        out->position = domain->members[i];
}

/* The walks of all rings through domain d; offset: where the domain's part of a ring begins. */
static fs_status walk_domain(fs_neighbourhood *hood, const fs_group *group, uint32_t d, uint32_t offset, uint32_t count,
                             port *ports, uint32_t *orders, fs_err *err)
{
    uint32_t lanes_left[FS_MESH_MAX * FS_MESH_MAX];
    bool mesh = mesh_lanes(hood, group, &group->domains[d], lanes_left);
    fs_status status = FS_OK;
    for (uint32_t c = 0; c < count && status == FS_OK; c++) {
        port *in = &ports[2 * ((size_t)c * group->n_domains + d)];
        choose_ports(group, c, d, in, in + 1);
        uint32_t last = in[1].position == in[0].position ? FS_NONE : in[1].position;
        status = fs_group_walk(hood, group, d, in[0].position, last, mesh ? lanes_left : NULL,
                               orders + (size_t)c * group->n + offset, err);
    }
    return status;
}

/* Bytes in proportion to what the slowest edge of each ring can take alone. */
static void weigh(fs_channel *channels, uint32_t count, uint32_t n)
{
    double total = 0.0;
    for (uint32_t c = 0; c < count; c++) {
        double slowest = INFINITY;
        for (uint32_t i = 0; i < n; i++)
            slowest = fmin(slowest, channels[c].next[i]->effective_Bps);
        channels[c].share = slowest;
        total += slowest;
    }
    for (uint32_t c = 0; c < count; c++)
        channels[c].share /= total;
}

static fs_status several_domains(fs_neighbourhood *hood, fs_group *group, fs_err *err)
{
    fs_status status = fs_group_find_rails(hood, group, err);
    if (status != FS_OK)
        return status;
    uint32_t count = group->n_rails ? group->n_rails : 1, *orders;
    fs_channel *channels;
    status = new_channels(hood, group, count, &channels, &orders, err);
    if (status != FS_OK)
        return status;
    port *ports = fs_alloc((size_t)count * group->n_domains * 2, sizeof *ports);
    if (ports == NULL)
        return fs_fail_nomem(err);
    for (uint32_t d = 0, offset = 0; d < group->n_domains && status == FS_OK; offset += group->domains[d++].n)
        status = walk_domain(hood, group, d, offset, count, ports, orders, err);
    for (uint32_t c = 0; c < count && status == FS_OK; c++) {
        channels[c].order = orders + (size_t)c * group->n;
        status = connect(hood, group, &channels[c], ports + (size_t)c * group->n_domains * 2, err);
    }
    fs_free(ports);
    if (status != FS_OK)
        return status;
    weigh(channels, count, group->n);
    group->channels = channels;
    group->n_channels = count;
    return FS_OK;
}

fs_status fs_group_find_channels(fs_neighbourhood *hood, fs_group *group, fs_err *err)
{
    if (group->n_channels > 0)
        return FS_OK;
    return group->n_domains == 1 ? one_domain(hood, group, err) : several_domains(hood, group, err);
}
