/* sharp.c - NVLS in each node, reduction and multicast in the network's switches on every rail: all_reduce, as NCCL's
 * CollNet does with NVLink SHARP; see heads.h, algorithms.h.
 *
 * Each NIC sends its slice once and gets the result once. So does each leaf that is not alone, to and from the switches
 * above it (R. Graham et al., "Scalable Hierarchical Aggregation Protocol (SHArP)", COMHPC 2016). Which switch is the
 * root does not matter to the bytes: from leaf to leaf, round all leaves in order, crosses each leaf's uplinks once
 * either way, and each pod's where leaves of a pod follow each other.
 * Coupled: one transfer a rail, all edges of which carry the slice. Flows: one per load, store, NIC and direction, and
 * one for the switches. Messages: FS_CHUNKS chunks; one message for all of the network, as switches wait for all. */
#include "coll/heads.h"

#include <math.h>
#include <stdlib.h>

/* A head's NIC and the switch above it. */
typedef struct tap {
    uint32_t nic, leaf; /* device ids */
} tap;

static fs_status refuse(fs_err *err)
{
    return fs_fail(err, FS_E_TRACE,
                   "sharp needs network switches that reduce (multicast=\"yes\"); nvlstree, ring and tree do without");
}

/* Ports of the NIC that are up, with what part of its bytes each takes: into (or from, back) the network. */
static fs_status add_ports(const fs_algo_run *run, uint32_t nic, bool back, uint32_t *leaf, double *latency_s,
                           fs_err *err)
{
    const fs_topo *topo = run->hood->topo;
    double total = 0.0;
    *leaf = FS_NONE;
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t k = 0; k < fs_topo_out_count(topo, nic); k++) {
            uint32_t id = fs_topo_out_link(topo, nic, k), used = back ? id ^ 1u : id;
            const fs_link link = fs_topo_link(topo, id);
            const fs_device end = fs_topo_device(topo, link.dst);
            double rate = link.effective_Bps;
            if (topo->link_types[link.type].class_ != FS_CLASS_NET)
                continue;
            if (end.kind != FS_DEVICE_NET_SWITCH || !topo->parts[end.part].multicast)
                return refuse(err);
            if (run->epoch != FS_NONE)
                rate *= fs_topo_link_factor(topo, used, run->epoch);
            if (pass == 0) {
                total += rate;
                *leaf = *leaf == FS_NONE ? link.dst : *leaf;
            } else if (rate > 0.0) {
                fs_status status = fs_shape_add(run->b, &(fs_share){used, rate / total}, 1, 0, 1.0, err);
                if (status != FS_OK)
                    return status;
                *latency_s = fmax(*latency_s, fs_topo_link(topo, used).latency_s);
            }
        }
    }
    if (*leaf == FS_NONE)
        return refuse(err);
    if (!(total > 0.0))
        return fs_fail(err, FS_E_TOPOLOGY, "a fault cuts '%s' off its network", FS_DEVICE_NAME(topo, nic));
    return FS_OK;
}

/* A head to its network, or back. */
static fs_status add_head(const fs_algo_run *run, fs_heads *h, uint32_t d, bool back, tap *at, fs_err *err)
{
    const fs_rail *rail = fs_head_rail(run, h, d);
    uint32_t gpu = run->group.gpus[rail->enter], via = gpu;
    double *latency_s = back ? &h->down_s[d] : &h->up_s[d], cable_s = 0.0;
    fs_way way;
    at->nic = gpu + (uint32_t)rail->offset;
    *latency_s = 0.0;
    fs_status status = add_ports(run, at->nic, back, &at->leaf, &cable_s, err);
    if (status == FS_OK && back) {
        status = fs_way_leg(run, at->nic, gpu, 0, 1.0, &way, err);
    } else if (status == FS_OK) {
        status = fs_way_to_nic(run->hood, gpu, at->nic, &via, err);
        if (status == FS_OK && via != gpu) {
            status = fs_way_leg(run, gpu, via, 0, 1.0, &way, err);
            cable_s += status == FS_OK ? way.latency_s : 0.0;
        }
        if (status == FS_OK)
            status = fs_way_leg(run, via, at->nic, 0, 1.0, &way, err);
    }
    if (status == FS_OK)
        *latency_s = cable_s + way.latency_s;
    return status;
}

/* The links between switches on the way from one NIC to another. */
static fs_status add_switches(const fs_algo_run *run, const tap *from, const tap *to, double *latency_s, fs_err *err)
{
    const fs_topo *topo = run->hood->topo;
    fs_route_buffer *buffer = &run->hood->buffer;
    fs_status status = fs_router_compose(run->router, from->nic, to->nic, 0, buffer, err);
    for (uint32_t i = 0; status == FS_OK && i < buffer->route.n_shares; i++) {
        const fs_share *share = &buffer->route.shares[i];
        const fs_link link = fs_topo_link(topo, share->resource);
        if (fs_topo_device(topo, link.src).kind == FS_DEVICE_NET_SWITCH &&
            fs_topo_device(topo, link.dst).kind == FS_DEVICE_NET_SWITCH)
            status = fs_shape_add(run->b, share, 1, 0, 1.0, err);
    }
    if (status == FS_OK)
        *latency_s = fmax(*latency_s, buffer->route.latency_s);
    return status;
}

static int by_leaf(const void *a, const void *b)
{
    const tap *x = a, *y = b;
    if (x->leaf != y->leaf)
        return x->leaf < y->leaf ? -1 : 1;
    return (x->nic > y->nic) - (x->nic < y->nic);
}

/* Round all leaves that have heads, once. Sorts taps. */
static fs_status add_leaves(const fs_algo_run *run, tap *taps, double *latency_s, fs_err *err)
{
    uint32_t n = 0;
    qsort(taps, run->form->n_domains, sizeof *taps, by_leaf);
    for (uint32_t d = 0; d < run->form->n_domains; d++)
        if (n == 0 || taps[d].leaf != taps[n - 1].leaf)
            taps[n++] = taps[d];
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < n && n > 1 && status == FS_OK; i++)
        status = add_switches(run, &taps[i], &taps[(i + 1) % n], latency_s, err);
    return status;
}

static double latency(const fs_algo_run *run, const fs_heads *h, double switches_s)
{
    double up = 0.0, down = 0.0;
    for (uint32_t d = 0; d < run->form->n_domains; d++) {
        up = fmax(up, h->up_s[d]);
        down = fmax(down, h->down_s[d]);
    }
    run->b->within_s = fs_heads_latency(run, h);
    return up + down + switches_s + run->b->within_s;
}

static fs_status emit(const fs_algo_run *run, fs_heads *h, tap *taps, double share, fs_err *err)
{
    uint32_t first = run->b->moves.count;
    double switches_s = 0.0;
    fs_status status = FS_OK;
    for (uint32_t d = 0; d < run->form->n_domains && status == FS_OK; d++) {
        for (uint32_t i = 0; i < 4 && status == FS_OK; i++) {
            status = i < 2 ? fs_head_nvls(run, h, d, i == 0, err) : add_head(run, h, d, i == 3, &taps[d], err);
            if (status == FS_OK)
                status = fs_shape_edge_end(run->b, share, err);
        }
    }
    if (status == FS_OK)
        status = add_leaves(run, taps, &switches_s, err);
    return status == FS_OK ? fs_shape_edges_end(run->b, first, share, latency(run, h, switches_s), err) : status;
}

/* One chunk: loads, then the network, then stores; in ids: loads, stores, and last the network. */
static fs_status emit_chunk(const fs_algo_run *run, fs_heads *h, tap *taps, double share, double *switches_s,
                            fs_err *err)
{
    uint32_t n = run->form->n_domains, *load = h->ids, *store = load + n, *net = store + n;
    fs_status status = FS_OK;
    for (uint32_t d = 0; d < n && status == FS_OK; d++) {
        status = fs_head_nvls(run, h, d, true, err);
        if (status == FS_OK)
            status = fs_head_message(run, share, h->nvls[d].latency_s, FS_CLASS_NVLINK, &load[d], err);
    }
    for (uint32_t i = 0; i < 2 * n && status == FS_OK; i++)
        status = add_head(run, h, i / 2, i % 2, &taps[i / 2], err);
    if (status == FS_OK)
        status = add_leaves(run, taps, switches_s, err);
    if (status == FS_OK)
        status = fs_head_message(run, share, latency(run, h, *switches_s) - fs_heads_latency(run, h), FS_CLASS_NET, net,
                                 err);
    for (uint32_t d = 0; d < n && status == FS_OK; d++) {
        status = fs_head_nvls(run, h, d, false, err);
        if (status == FS_OK)
            status = fs_head_message(run, share, h->nvls[d].latency_s, FS_CLASS_NVLINK, &store[d], err);
        if (status == FS_OK)
            status = fs_head_after(run, *net, load[d], err);
        if (status == FS_OK)
            status = fs_head_after(run, store[d], *net, err);
    }
    return status;
}

static fs_status emit_messages(const fs_algo_run *run, fs_heads *h, tap *taps, double share, fs_err *err)
{
    double switches_s = 0.0;
    fs_status status = FS_OK;
    for (uint32_t k = 0; k < FS_CHUNKS && status == FS_OK; k++) {
        uint32_t *swap = h->last_ids;
        h->last_ids = h->ids;
        h->ids = swap;
        status = emit_chunk(run, h, taps, share / FS_CHUNKS, &switches_s, err);
        for (uint32_t i = 0; i < 2 * run->form->n_domains + 1 && k > 0 && status == FS_OK; i++)
            status = fs_head_after(run, h->ids[i], h->last_ids[i], err);
    }
    return status == FS_OK ? fs_shape_move_end(run->b, 0.0, latency(run, h, switches_s), err) : status;
}

fs_status fs_sharp_emit(const fs_algo_run *run, fs_err *err)
{
    bool messages = run->b->mode == FS_LOWER_MESSAGES;
    uint32_t n = run->form->n_domains;
    fs_heads h = {0};
    fs_status status = fs_heads_init(run, &h, err);
    tap *taps = status == FS_OK ? fs_alloc(n, sizeof *taps) : NULL;
    if (status == FS_OK && taps == NULL)
        status = fs_fail_nomem(err);
    uint32_t rails = run->form->n_rails;
    if (status == FS_OK && run->b->mode != FS_LOWER_COUPLED)
        status =
            fs_shape_check_moves(run->kind, run->algo, run->group.n, 5.0 * rails * n * (messages ? FS_CHUNKS : 1), err);
    for (h.rail = 0; h.rail < rails && status == FS_OK; h.rail++)
        status = (messages ? emit_messages : emit)(run, &h, taps, 1.0 / rails, err);
    fs_free(taps);
    fs_heads_free(run, &h);
    return status;
}
