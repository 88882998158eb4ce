/* crossing.c - from a GPU in one domain to a GPU in another over chosen NICs; see group.h.
 *
 * NCCL does not leave the choice of NICs to shortest paths. Rings name the NICs (ring_search.c). Point-to-point traffic
 * uses the destination's rail: the sender hands the bytes over NVLink to the GPU beside its own NIC of that rail, which
 * sends them ("PXN", NCCL 2.12, on by default), so they stay in one leaf and do not cross CPUs. So:
 *   src -> [its board's GPU beside the NIC, if that is reached over NVLink] -> NIC -> network -> NIC -> dst.
 * The detour is only made where the NIC is farther from src than from that GPU. A destination with several nearest NICs
 * takes an equal part through each. Rings whose rails never meet leave on the rail on which they arrive. For point to
 * point the router decides where any step of this is missing. */
#include "coll/group.h"

#include <math.h>
#include <string.h>

enum { LEGS_MAX = 4 }; /* GPU, GPU, NIC, NIC, GPU */

typedef struct path {
    uint32_t n;
    const fs_route *legs[LEGS_MAX];
} path;

/* Like fs_router_find, but *route = NULL where there is no path. */
static fs_status try_route(fs_neighbourhood *hood, uint32_t src, uint32_t dst, const fs_route **route, fs_err *err)
{
    fs_err no_path;
    *route = NULL;
    fs_status status = fs_router_find(hood->router, src, dst, 0, route, &no_path);
    if (status == FS_OK || status == FS_E_TOPOLOGY)
        return FS_OK;
    *err = no_path;
    return status;
}

/* Give every NIC of a board its GPU. */
static fs_status find_hosts(fs_neighbourhood *hood, uint32_t board, fs_err *err)
{
    const fs_topo *topo = hood->topo;
    fs_near_nics near = {0};
    fs_status status = FS_OK;
    for (uint32_t g = 0; g < topo->n_gpus && status == FS_OK; g++)
        if (fs_board_of(topo, topo->gpus[g]) == board)
            status = fs_nearest_nics(hood, topo->gpus[g], topo->gpus[g], &near, err);
    fs_rail *rails = status == FS_OK ? fs_alloc(near.count, sizeof *rails) : NULL;
    if (status == FS_OK && rails == NULL)
        status = fs_fail_nomem(err);
    uint32_t n = status == FS_OK ? fs_assign_rails(&near, rails) : 0;
    for (uint32_t i = 0; i < n; i++)
        hood->host_of_nic[rails[i].nic] = rails[i].enter;
    fs_free(rails);
    fs_free(near.data);
    return status;
}

/* Append the way from a GPU to a NIC of its board; *found tells whether there is one. */
static fs_status to_nic(fs_neighbourhood *hood, uint32_t gpu, uint32_t nic, path *p, bool *found, fs_err *err)
{
    const fs_route *direct, *hand_over = NULL, *last = NULL;
    fs_status status = FS_OK;
    if (hood->host_of_nic[nic] == FS_NONE)
        status = find_hosts(hood, fs_board_of(hood->topo, nic), err);
    if (status == FS_OK)
        status = try_route(hood, gpu, nic, &direct, err);
    uint32_t host = hood->host_of_nic[nic];
    if (status == FS_OK && host != FS_NONE && host != gpu) {
        status = try_route(hood, gpu, host, &hand_over, err);
        if (status == FS_OK)
            status = try_route(hood, host, nic, &last, err);
    }
    if (status != FS_OK)
        return status;
    bool by_host = hand_over != NULL && last != NULL && hand_over->worst_class == FS_CLASS_NVLINK &&
                   (direct == NULL || fs_route_distance(direct) > fs_route_distance(last));
    *found = by_host || direct != NULL;
    if (by_host) {
        p->legs[p->n++] = hand_over;
        p->legs[p->n++] = last;
    } else if (direct != NULL) {
        p->legs[p->n++] = direct;
    }
    return FS_OK;
}

static fs_status make_path(fs_neighbourhood *hood, uint32_t src_gpu, uint32_t src_nic, uint32_t dst_nic,
                           uint32_t dst_gpu, path *p, bool *found, fs_err *err)
{
    p->n = 0;
    fs_status status = to_nic(hood, src_gpu, src_nic, p, found, err);
    const uint32_t stops[] = {src_nic, dst_nic, dst_gpu};
    for (uint32_t i = 0; i < 2 && status == FS_OK && *found; i++) {
        status = try_route(hood, stops[i], stops[i + 1], &p->legs[p->n], err);
        *found = status == FS_OK && p->legs[p->n] != NULL;
        p->n++;
    }
    return status;
}

/* Equal parts over the paths, as one route. */
static fs_status compose(fs_neighbourhood *hood, const path *paths, uint32_t n_paths, const fs_route **out, fs_err *err)
{
    uint32_t n = 0, used = 0;
    for (uint32_t i = 0; i < n_paths; i++)
        for (uint32_t k = 0; k < paths[i].n; k++)
            n += paths[i].legs[k]->n_shares;
    fs_route *route = fs_arena_alloc(hood->arena, 1, sizeof *route);
    fs_share *shares = fs_arena_alloc(hood->arena, n, sizeof *shares);
    if (route == NULL || shares == NULL)
        return fs_fail_nomem(err);
    *route = (fs_route){.shares = shares, .bandwidth_Bps = INFINITY, .effective_Bps = INFINITY};
    for (uint32_t i = 0; i < n_paths; i++) {
        double latency_s = 0.0;
        uint32_t hops = 0;
        for (uint32_t k = 0; k < paths[i].n; k++) {
            const fs_route *leg = paths[i].legs[k];
            latency_s += leg->latency_s;
            hops += leg->hops;
            if (leg->worst_class > route->worst_class) /* the enum goes from fast to slow */
                route->worst_class = leg->worst_class;
            for (uint32_t s = 0; s < leg->n_shares; s++)
                shares[used++] = (fs_share){leg->shares[s].resource, leg->shares[s].coefficient / n_paths};
        }
        route->latency_s = fmax(route->latency_s, latency_s);
        route->hops = hops > route->hops ? hops : route->hops;
    }
    route->n_shares = fs_shares_sort(shares, n);
    for (uint32_t i = 0; i < route->n_shares; i++) {
        const fs_link link = fs_topo_link(hood->topo, shares[i].resource);
        route->bandwidth_Bps = fmin(route->bandwidth_Bps, link.bandwidth_Bps / shares[i].coefficient);
        route->effective_Bps = fmin(route->effective_Bps, link.effective_Bps / shares[i].coefficient);
    }
    *out = route;
    return FS_OK;
}

/* The NIC of a board on a rail, or FS_NONE. */
static uint32_t nic_on_rail(const fs_neighbourhood *hood, uint32_t board, uint32_t rail)
{
    for (uint32_t k = hood->nics_begin[board]; k < hood->nics_begin[board + 1]; k++)
        if (fs_topo_device(hood->topo, hood->nics[k]).rail == rail)
            return hood->nics[k];
    return FS_NONE;
}

fs_status fs_group_cross(fs_neighbourhood *hood, uint32_t src_gpu, uint32_t src_nic, uint32_t dst_nic, uint32_t dst_gpu,
                         const fs_route **out, fs_err *err)
{
    path p;
    bool found = false;
    if (src_nic == FS_NONE || dst_nic == FS_NONE)
        return fs_router_find(hood->router, src_gpu, dst_gpu, 0, out, err);
    fs_status status = make_path(hood, src_gpu, src_nic, dst_nic, dst_gpu, &p, &found, err);
    uint32_t twin = nic_on_rail(hood, fs_board_of(hood->topo, src_gpu), fs_topo_device(hood->topo, dst_nic).rail);
    if (status == FS_OK && !found && twin != FS_NONE) /* rails that never meet: leave on the one to arrive on */
        status = make_path(hood, src_gpu, twin, dst_nic, dst_gpu, &p, &found, err);
    if (status != FS_OK)
        return status;
    if (!found) {
        const fs_topo *topo = hood->topo;
        return fs_fail_at(err, FS_E_TOPOLOGY, hood->topo->path, 0, 0, "no path from '%s' to '%s' over '%s' and '%s'",
                          FS_DEVICE_NAME(topo, src_gpu), FS_DEVICE_NAME(topo, dst_gpu), FS_DEVICE_NAME(topo, src_nic),
                          FS_DEVICE_NAME(topo, dst_nic));
    }
    return compose(hood, &p, 1, out, err);
}

fs_status fs_group_pair(fs_neighbourhood *hood, uint32_t src_gpu, uint32_t dst_gpu, const fs_route **out, fs_err *err)
{
    if (hood->domain_of_device[src_gpu] == hood->domain_of_device[dst_gpu])
        return fs_router_find(hood->router, src_gpu, dst_gpu, 0, out, err);
    fs_near_nics near = {0};
    uint32_t board = fs_board_of(hood->topo, src_gpu);
    fs_status status = fs_nearest_nics(hood, dst_gpu, dst_gpu, &near, err);
    path *paths = status == FS_OK ? fs_alloc(near.count, sizeof *paths) : NULL;
    if (status == FS_OK && paths == NULL)
        status = fs_fail_nomem(err);
    bool found = near.count > 0;
    for (uint32_t i = 0; i < near.count && status == FS_OK && found; i++) {
        uint32_t dst_nic = near.data[i].nic,
                 src_nic = nic_on_rail(hood, board, fs_topo_device(hood->topo, dst_nic).rail);
        found = src_nic != FS_NONE;
        if (found)
            status = make_path(hood, src_gpu, src_nic, dst_nic, dst_gpu, &paths[i], &found, err);
    }
    if (status == FS_OK)
        status = found ? compose(hood, paths, near.count, out, err)
                       : fs_router_find(hood->router, src_gpu, dst_gpu, 0, out, err);
    fs_free(paths);
    fs_free(near.data);
    return status;
}
