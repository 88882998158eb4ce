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
 *   leaves them at that of the next GPU's rail; in domains 1, 3, 5, ... the other way round. So each edge between domains stays
 *   on one rail and thus in one leaf; only where the number of domains is odd does the closing edge change rails, or,
 *   where rails never meet, leave by the other rail's NIC. Within a domain the ring walks as above, from the GPU of the
 *   one rail to that of the other.
 * Cost: O(rings x ranks) routes; PCIe domains O(n^2) routes; the mesh search has a fixed budget. */
#include "coll/group.h"
#include "coll/mesh_rings.h"

#include <math.h>

/* ---- walks through one domain ------------------------------------------------------------------------------------ */

uint32_t fs_switch_of(const fs_topo *topo, uint32_t gpu)
{
    const fs_links links = fs_topo_out(topo, gpu);
    uint32_t best = FS_NONE;
    for (uint32_t k = 0; k < links.count; k++) {
        const fs_link link = fs_topo_link(topo, fs_links_at(&links, k));
        if (link.dst < best && topo->link_types[link.type].class_ == FS_CLASS_NVLINK &&
            fs_topo_device(topo, link.dst).kind == FS_DEVICE_NVSWITCH)
            best = link.dst;
    }
    return best;
}

/* Lanes of the direct NVLinks among the members: lanes (n x n). False where the domain is no small mesh. */
static bool mesh_lanes(const fs_topo *topo, const fs_form *form, const fs_domain *domain, uint32_t *lanes)
{
    uint32_t n = domain->n, total = 0;
    if (n < 2 || n > FS_MESH_MAX)
        return false;
    for (uint32_t i = 0; i < n * n; i++)
        lanes[i] = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t gpu = form->sample[domain->members[i]];
        for (uint32_t k = 0; k < fs_topo_out_count(topo, gpu); k++) {
            const fs_link link = fs_topo_link(topo, fs_topo_out_link(topo, gpu, k));
            if (topo->link_types[link.type].class_ != FS_CLASS_NVLINK)
                continue;
            for (uint32_t j = 0; j < n; j++) {
                bool joined = form->sample[domain->members[j]] == link.dst;
                lanes[i * n + j] += joined ? link.lanes : 0;
                total += joined ? link.lanes : 0;
            }
        }
    }
    return total > 0;
}

static bool is_switched(const fs_topo *topo, const fs_form *form, const fs_domain *domain)
{
    for (uint32_t i = 0; i < domain->n; i++)
        if (fs_switch_of(topo, form->sample[domain->members[i]]) == FS_NONE)
            return false;
    return true;
}

/* Members by board, the board of `first` first, `last` at the end. Within a board those behind `first`, then those before
 * it: walks that begin at different GPUs are the same walk turned round, so that no GPU of a board is special. */
static void walk_switched(const fs_topo *topo, const fs_form *form, const fs_domain *domain, uint32_t first,
                          uint32_t last, uint32_t *order)
{
    uint32_t n = 0, start = 0, board = fs_switch_of(topo, form->sample[first]);
    uint32_t wanted = domain->n - (last != FS_NONE && last != first);
    while (domain->members[start] != first)
        start++;
    order[n++] = first;
    while (n < wanted) {
        uint32_t next_board = FS_NONE;
        for (uint32_t i = 1; i < domain->n; i++) {
            uint32_t member = domain->members[(start + i) % domain->n];
            if (member != last && fs_switch_of(topo, form->sample[member]) == board)
                order[n++] = member;
        }
        /* The next board is that of the next member that is not on any board so far. */
        for (uint32_t i = 1; i < domain->n && n < wanted && next_board == FS_NONE; i++) {
            uint32_t member = domain->members[(start + i) % domain->n];
            bool placed = member == last;
            for (uint32_t k = 0; k < n && !placed; k++)
                placed = order[k] == member;
            if (!placed)
                next_board = fs_switch_of(topo, form->sample[member]);
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
static fs_status walk_nearest(fs_neighbourhood *hood, const fs_form *form, const fs_domain *domain, uint32_t first,
                              uint32_t last, uint32_t *order, fs_err *err)
{
    bool *walked = fs_zalloc(domain->n, sizeof *walked);
    fs_status status = walked ? FS_OK : fs_fail_nomem(err);
    order[0] = first;
    for (uint32_t i = 0; i < domain->n && status == FS_OK; i++)
        walked[i] = domain->members[i] == first;
    for (uint32_t n = 1; n < domain->n && status == FS_OK; n++) {
        uint32_t nearest = FS_NONE, least = UINT32_MAX;
        for (uint32_t i = 0; i < domain->n && status == FS_OK; i++) {
            uint32_t member = domain->members[i];
            const fs_route *route;
            if (walked[i] || (member == last && n + 1 < domain->n))
                continue;
            status = fs_find_route(hood, form->sample[order[n - 1]], form->sample[member], &route, err);
            uint32_t far = status == FS_OK ? fs_route_distance(route) : UINT32_MAX;
            nearest = far < least ? i : nearest;
            least = far < least ? far : least;
        }
        if (status == FS_OK) {
            order[n] = domain->members[nearest];
            walked[nearest] = true;
        }
    }
    fs_free(walked);
    return status;
}

fs_status fs_form_walk(fs_neighbourhood *hood, const fs_form *form, uint32_t domain_index, uint32_t first,
                       uint32_t last, uint32_t *lanes_left, uint32_t *order, fs_err *err)
{
    const fs_domain *domain = &form->domains[domain_index];
    uint32_t lanes[FS_MESH_MAX * FS_MESH_MAX];
    if (domain->n == 1) {
        order[0] = first;
        return FS_OK;
    }
    if (is_switched(hood->topo, form, domain)) {
        walk_switched(hood->topo, form, domain, first, last, order);
        return FS_OK;
    }
    if (mesh_lanes(hood->topo, form, domain, lanes) && walk_mesh(domain, lanes, first, last, lanes_left, order))
        return FS_OK;
    return walk_nearest(hood, form, domain, first, last, order, err);
}

/* ---- channels ---------------------------------------------------------------------------------------------------- */

static fs_status new_channels(fs_neighbourhood *hood, const fs_form *form, uint32_t count, fs_channel **channels,
                              uint32_t **orders, fs_err *err)
{
    *channels = fs_arena_alloc(hood->arena, count, sizeof **channels);
    *orders = fs_arena_alloc(hood->arena, (size_t)count * form->n, sizeof **orders);
    return *channels == NULL || *orders == NULL ? fs_fail_nomem(err) : FS_OK;
}

static fs_status one_domain(fs_neighbourhood *hood, fs_form *form, fs_err *err)
{
    const fs_domain *domain = &form->domains[0];
    fs_mesh_ring rings[FS_MESH_RINGS_MAX];
    uint32_t lanes[FS_MESH_MAX * FS_MESH_MAX], n_rings = 0, total = 0, n = form->n;
    if (!is_switched(hood->topo, form, domain) && mesh_lanes(hood->topo, form, domain, lanes))
        fs_mesh_find_rings(n, lanes, rings, &n_rings);
    fs_channel *channels;
    uint32_t *orders, count = n_rings ? n_rings : 1;
    fs_status status = new_channels(hood, form, count, &channels, &orders, err);
    if (status != FS_OK)
        return status;
    for (uint32_t c = 0; c < n_rings; c++)
        total += rings[c].lanes;
    for (uint32_t c = 0; c < n_rings; c++)
        for (uint32_t i = 0; i < n; i++)
            orders[c * n + i] = domain->members[rings[c].order[i]];
    if (n_rings == 0)
        status = fs_form_walk(hood, form, 0, 0, FS_NONE, NULL, orders, err);
    if (status != FS_OK)
        return status;
    for (uint32_t c = 0; c < count; c++) {
        channels[c].order = orders + (size_t)c * n;
        channels[c].share = n_rings ? (double)rings[c].lanes / (double)total : 1.0;
    }
    form->channels = channels;
    form->n_channels = count;
    return FS_OK;
}

/* The rail that ring c takes by turns with its own: another GPU's, for a ring that came in by one cannot leave by it again
 * before it has seen the others. Two GPUs swap theirs, as they are near each other on most boards; where their number is
 * odd, each takes the next one's. */
static uint32_t partner(const fs_form *form, uint32_t c)
{
    const fs_rail *rails = form->domains[0].rails;
    uint32_t nics = 1; /* of a GPU; the same for all on any board that is known */
    while (nics < form->n_rails && rails[nics].enter == rails[0].enter)
        nics++;
    uint32_t gpus = form->n_rails / nics, gpu = c / nics;
    if (gpu >= gpus)
        return c;
    return (gpus % 2 == 0 ? gpu ^ 1u : (gpu + 1) % gpus) * nics + c % nics;
}

/* Ring c enters domain d by *in and leaves it by *out. */
static void choose_ports(const fs_form *form, uint32_t c, uint32_t d, fs_port *in, fs_port *out)
{
    const fs_domain *domain = &form->domains[d];
    if (form->n_rails == 0) {
        *in = (fs_port){.position = domain->members[0]};
        *out = (fs_port){.position = domain->members[domain->n - 1]};
        return;
    }
    uint32_t other = partner(form, c);
    const fs_rail *a = &domain->rails[d % 2 == 0 ? c : other], *b = &domain->rails[d % 2 == 0 ? other : c];
    *in = (fs_port){a->enter, a->enter, a->offset};
    *out = (fs_port){b->enter, b->enter, b->offset};
    if (out->position == in->position) /* one GPU serves both: leave by its neighbour, or by anyone */
        out->position = b->leave;
    for (uint32_t i = domain->n; i-- > 0 && out->position == in->position && domain->n > 1;)
        out->position = domain->members[i];
}

/* The walks of all rings through domain d; offset: where the domain's part of a ring begins. */
static fs_status walk_domain(fs_neighbourhood *hood, const fs_form *form, uint32_t d, uint32_t offset, uint32_t count,
                             fs_port *ports, uint32_t *orders, fs_err *err)
{
    uint32_t lanes_left[FS_MESH_MAX * FS_MESH_MAX];
    bool mesh = mesh_lanes(hood->topo, form, &form->domains[d], lanes_left);
    fs_status status = FS_OK;
    for (uint32_t c = 0; c < count && status == FS_OK; c++) {
        fs_port *in = &ports[2 * ((size_t)c * form->n_domains + d)];
        choose_ports(form, c, d, in, in + 1);
        uint32_t last = in[1].position == in[0].position ? FS_NONE : in[1].position;
        status = fs_form_walk(hood, form, d, in[0].position, last, mesh ? lanes_left : NULL,
                              orders + (size_t)c * form->n + offset, err);
    }
    return status;
}

/* What a NIC takes from the network, B/s. */
static double rate_of_nic(const fs_topo *topo, uint32_t nic)
{
    double rate = 0.0;
    for (uint32_t k = 0; k < fs_topo_out_count(topo, nic); k++) {
        const fs_link link = fs_topo_link(topo, fs_topo_out_link(topo, nic, k));
        if (topo->link_types[link.type].class_ == FS_CLASS_NET)
            rate += link.effective_Bps;
    }
    return rate;
}

/* What the slowest edge of a ring takes alone, as far as boards and NICs tell: what is beyond is not the form's. */
static fs_status slowest_edge(fs_neighbourhood *hood, const fs_form *form, const fs_channel *channel, double *rate,
                              fs_err *err)
{
    fs_status status = FS_OK;
    *rate = INFINITY;
    for (uint32_t i = 0; i < form->n && status == FS_OK; i++) {
        uint32_t a = channel->order[i], b = channel->order[(i + 1) % form->n];
        const fs_route *route;
        if (form->domain_of[a] != form->domain_of[b])
            continue;
        status = fs_find_route(hood, form->sample[a], form->sample[b], &route, err);
        *rate = status == FS_OK ? fmin(*rate, route->effective_Bps) : *rate;
    }
    for (uint32_t p = 0; p < 2 * form->n_domains && status == FS_OK; p++) {
        const fs_port *port = &channel->ports[p];
        uint32_t gpu = form->sample[port->position], nic = form->sample[port->anchor] + (uint32_t)port->offset;
        const fs_route *route;
        if (port->offset == 0)
            continue;
        *rate = fmin(*rate, rate_of_nic(hood->topo, nic));
        uint32_t via = gpu;
        if (p % 2 == 1)
            status = fs_way_to_nic(hood, gpu, nic, &via, err);
        if (status == FS_OK && via != FS_NONE)
            status =
                p % 2 == 0 ? fs_find_route(hood, nic, gpu, &route, err) : fs_find_route(hood, via, nic, &route, err);
        if (status == FS_OK && via != FS_NONE)
            *rate = fmin(*rate, route->effective_Bps);
    }
    return status;
}

/* Bytes in proportion to what the slowest edge of each ring can take alone. */
static fs_status weigh(fs_neighbourhood *hood, const fs_form *form, fs_channel *channels, uint32_t count, fs_err *err)
{
    double total = 0.0;
    channels[0].share = 1.0;
    for (uint32_t c = 0; c < count && count > 1; c++) {
        fs_status status = slowest_edge(hood, form, &channels[c], &channels[c].share, err);
        if (status != FS_OK)
            return status;
        total += channels[c].share;
    }
    for (uint32_t c = 0; c < count && count > 1; c++)
        channels[c].share /= total;
    return FS_OK;
}

static fs_status several_domains(fs_neighbourhood *hood, fs_form *form, fs_err *err)
{
    fs_status status = fs_form_find_rails(hood, form, err);
    if (status != FS_OK)
        return status;
    uint32_t count = form->n_rails ? form->n_rails : 1, *orders;
    fs_channel *channels;
    status = new_channels(hood, form, count, &channels, &orders, err);
    fs_port *ports = NULL;
    if (status == FS_OK) {
        ports = fs_arena_alloc(hood->arena, (size_t)count * form->n_domains * 2, sizeof *ports);
        status = ports ? FS_OK : fs_fail_nomem(err);
    }
    for (uint32_t d = 0, offset = 0; d < form->n_domains && status == FS_OK; offset += form->domains[d++].n)
        status = walk_domain(hood, form, d, offset, count, ports, orders, err);
    if (status != FS_OK)
        return status;
    for (uint32_t c = 0; c < count; c++)
        channels[c] =
            (fs_channel){.order = orders + (size_t)c * form->n, .ports = ports + (size_t)c * form->n_domains * 2};
    status = weigh(hood, form, channels, count, err);
    if (status != FS_OK)
        return status;
    form->channels = channels;
    form->n_channels = count;
    return FS_OK;
}

fs_status fs_form_find_channels(fs_neighbourhood *hood, fs_form *form, fs_err *err)
{
    if (form->n_channels > 0)
        return FS_OK;
    return form->n_domains == 1 ? one_domain(hood, form, err) : several_domains(hood, form, err);
}
