/* crossing.c - from a GPU in one domain to a GPU in another over chosen NICs; see algorithms.h.
 *
 * NCCL does not leave the choice of NICs to shortest paths. Rings name the NICs (ring_search.c). Point-to-point traffic
 * uses the destination's rail: the sender hands the bytes over NVLink to the GPU beside its own NIC of that rail, which
 * sends them ("PXN", NCCL 2.12, on by default), so they stay in one leaf and do not cross CPUs. So:
 *   src -> [its board's GPU beside the NIC, if that is reached over NVLink] -> NIC -> network -> NIC -> dst.
 * The detour is only made where the NIC is farther from src than from that GPU (board.h, fs_make.via). A destination with
 * several nearest NICs takes an equal part through each. Without PXN (cross_rail) bytes leave by the source's own
 * nearest NICs and change rails in the network. Rings whose rails never meet leave on the rail on which they arrive.
 * For point to point the router decides where any step of this is missing. */
#include "coll/algorithms.h"

#include <math.h>

fs_status fs_way_leg(const fs_algo_run *run, uint32_t src, uint32_t dst, uint64_t flow, double times, fs_way *way,
                     fs_err *err)
{
    fs_unit_legs *legs = &run->hood->legs;
    uint32_t id = FS_NONE, first_link = 0;
    fs_status status = FS_OK;
    if (run->router == legs->router)
        status = fs_unit_leg_find(legs, src, dst, &id, &first_link, err);
    if (status == FS_OK && id != FS_NONE) {
        const fs_unit_leg *leg = &legs->legs.data[id];
        *way = (fs_way){leg->latency_s, leg->worst_class};
        return fs_shape_add(run->b, legs->shares.data + leg->first_share, leg->n_shares, first_link, times, err);
    }
    fs_route_buffer *buffer = &run->hood->buffer;
    if (status == FS_OK)
        status = fs_router_compose(run->router, src, dst, flow, buffer, err);
    if (status != FS_OK)
        return status;
    *way = (fs_way){buffer->route.latency_s, buffer->route.worst_class};
    return fs_shape_add(run->b, buffer->route.shares, buffer->route.n_shares, 0, times, err);
}

/* What is not found by a router of an epoch, but is by that of the healthy machine, has been cut off. */
fs_status fs_way_try(const fs_algo_run *run, uint32_t src, uint32_t dst, uint64_t flow, double times, fs_way *way,
                     bool *found, fs_err *err)
{
    fs_err no_path;
    fs_status status = fs_way_leg(run, src, dst, flow, times, way, &no_path), healthy = status;
    *found = status == FS_OK;
    if (status == FS_E_TOPOLOGY && run->router != run->hood->router) {
        const fs_route *route;
        healthy = fs_find_route(run->hood, src, dst, &route, err);
    }
    if (status == FS_OK || healthy == FS_E_TOPOLOGY)
        return FS_OK;
    if (healthy == FS_OK || healthy == status)
        *err = no_path;
    return healthy == FS_OK ? status : healthy;
}

static void follow(fs_way *way, const fs_way *leg)
{
    way->latency_s += leg->latency_s;
    if (leg->worst_class > way->worst_class) /* the enum goes from fast to slow */
        way->worst_class = leg->worst_class;
}

/* Over two NICs. *found = false, and nothing is added, where there is no such way. */
static fs_status add_path(const fs_algo_run *run, uint32_t src_gpu, uint32_t src_nic, uint32_t dst_nic,
                          uint32_t dst_gpu, uint64_t flow, double times, fs_way *way, bool *found, fs_err *err)
{
    uint32_t via;
    fs_way net, leg;
    fs_status status = fs_way_to_nic(run->hood, src_gpu, src_nic, &via, err);
    *found = status == FS_OK && via != FS_NONE;
    if (*found)
        status = fs_way_try(run, src_nic, dst_nic, flow, times, &net, found, err);
    if (status != FS_OK || !*found)
        return status;
    *way = (fs_way){0};
    if (via != src_gpu) {
        status = fs_way_leg(run, src_gpu, via, flow, times, &leg, err);
        if (status == FS_OK)
            follow(way, &leg);
    }
    if (status == FS_OK)
        status = fs_way_leg(run, via, src_nic, flow, times, &leg, err);
    if (status == FS_OK) {
        follow(way, &leg);
        follow(way, &net);
        status = fs_way_leg(run, dst_nic, dst_gpu, flow, times, &leg, err);
    }
    if (status == FS_OK)
        follow(way, &leg);
    return status;
}

/* The NIC of a GPU's board on the rail of another NIC, or FS_NONE. */
static fs_status nic_on_rail(const fs_algo_run *run, uint32_t gpu, uint32_t other, uint32_t *nic, fs_err *err)
{
    const fs_make *make;
    uint32_t board = fs_board_of(run->hood->topo, gpu);
    fs_status status = fs_find_make(run->hood, board, &make, err);
    if (status != FS_OK)
        return status;
    uint32_t k = fs_make_nic_on_rail(make, fs_topo_device(run->hood->topo, other).rail);
    *nic = k == FS_NONE ? FS_NONE : run->hood->first_of_board[board] + make->nics[k];
    return FS_OK;
}

fs_status fs_way_cross(const fs_algo_run *run, uint32_t src, fs_port src_port, fs_port dst_port, uint32_t dst,
                       uint64_t flow, fs_way *way, fs_err *err)
{
    const uint32_t *gpus = run->group.gpus;
    if (src_port.offset == 0 || dst_port.offset == 0)
        return fs_way_leg(run, gpus[src], gpus[dst], flow, 1.0, way, err);
    uint32_t src_nic = gpus[src_port.anchor] + (uint32_t)src_port.offset, twin = FS_NONE;
    uint32_t dst_nic = gpus[dst_port.anchor] + (uint32_t)dst_port.offset;
    bool found = false;
    fs_status status = add_path(run, gpus[src], src_nic, dst_nic, gpus[dst], flow, 1.0, way, &found, err);
    if (status == FS_OK && !found) /* rails that never meet: leave on the one to arrive on */
        status = nic_on_rail(run, gpus[src], dst_nic, &twin, err);
    if (status == FS_OK && !found && twin != FS_NONE)
        status = add_path(run, gpus[src], twin, dst_nic, gpus[dst], flow, 1.0, way, &found, err);
    if (status != FS_OK || found)
        return status;
    const fs_topo *topo = run->hood->topo;
    return fs_fail_at(err, FS_E_TOPOLOGY, topo->path, 0, 0, "no path from '%s' to '%s' over '%s' and '%s'",
                      FS_DEVICE_NAME(topo, gpus[src]), FS_DEVICE_NAME(topo, gpus[dst]), FS_DEVICE_NAME(topo, src_nic),
                      FS_DEVICE_NAME(topo, dst_nic));
}

fs_status fs_way_edge(const fs_algo_run *run, uint32_t c, uint32_t i, fs_way *way, fs_err *err)
{
    const fs_channel *channel = &run->form->channels[c];
    uint32_t a = channel->order[i], b = channel->order[i + 1 < run->group.n ? i + 1 : 0];
    uint32_t da = run->form->domain_of[a], db = run->form->domain_of[b];
    if (da == db)
        return fs_way_leg(run, run->group.gpus[a], run->group.gpus[b], c, 1.0, way, err);
    return fs_way_cross(run, a, channel->ports[2 * da + 1], channel->ports[2 * db], b, c, way, err);
}

/* ---- point to point ---------------------------------------------------------------------------------------------- */

fs_status fs_find_near(const fs_algo_run *run, uint32_t gpu, fs_near_nics *near, fs_err *err)
{
    uint32_t board = fs_board_of(run->hood->topo, gpu);
    near->base = run->hood->first_of_board[board];
    fs_status status = fs_find_make(run->hood, board, &near->make, err);
    if (status != FS_OK)
        return status;
    uint32_t g = fs_make_gpu(near->make, gpu - near->base), begin = near->make->near_begin[g];
    near->n = near->make->near_begin[g + 1] - begin;
    near->near = near->make->near + begin;
    return FS_OK;
}

static uint32_t near_nic(const fs_near_nics *near, uint32_t k)
{
    return near->base + near->make->nics[near->near[k]];
}

/* Way number k of so many: by PXN one for each NIC of the destination, else one for each pair of NICs. */
static fs_status add_way(const fs_algo_run *run, uint32_t src_gpu, const fs_near_nics *from, uint32_t dst_gpu,
                         const fs_near_nics *to, uint32_t k, double times, fs_way *way, bool *found, fs_err *err)
{
    uint32_t dst_nic = near_nic(to, k % to->n), src_nic;
    fs_status status = FS_OK;
    if (run->cross_rail)
        src_nic = near_nic(from, k / to->n);
    else
        status = nic_on_rail(run, src_gpu, dst_nic, &src_nic, err);
    *found = status == FS_OK && src_nic != FS_NONE;
    return *found ? add_path(run, src_gpu, src_nic, dst_nic, dst_gpu, 0, times, way, found, err) : status;
}

fs_status fs_way_pair(const fs_algo_run *run, uint32_t src, uint32_t dst, double times, fs_way *way, fs_err *err)
{
    uint32_t src_gpu = run->group.gpus[src], dst_gpu = run->group.gpus[dst];
    if (run->form->domain_of[src] == run->form->domain_of[dst])
        return fs_way_leg(run, src_gpu, dst_gpu, 0, times, way, err);
    fs_near_nics from, to;
    fs_status status = fs_find_near(run, src_gpu, &from, err);
    if (status == FS_OK)
        status = fs_find_near(run, dst_gpu, &to, err);
    if (status != FS_OK)
        return status;
    uint32_t n_ways = to.n * (run->cross_rail ? from.n : 1);
    bool found = n_ways > 0;
    fs_way one;
    for (uint32_t k = 0; k < n_ways && n_ways > 1 && found && status == FS_OK; k++) /* all of them or none */
        status = add_way(run, src_gpu, &from, dst_gpu, &to, k, 0.0, &one, &found, err);
    *way = (fs_way){0};
    for (uint32_t k = 0; k < n_ways && found && status == FS_OK; k++) {
        status = add_way(run, src_gpu, &from, dst_gpu, &to, k, times / n_ways, &one, &found, err);
        if (status == FS_OK && found) {
            way->latency_s = fmax(way->latency_s, one.latency_s);
            way->worst_class = one.worst_class > way->worst_class ? one.worst_class : way->worst_class;
        }
    }
    return status == FS_OK && !found ? fs_way_leg(run, src_gpu, dst_gpu, 0, times, way, err) : status;
}
