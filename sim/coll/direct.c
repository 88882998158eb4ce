/* direct.c - every pair at once; see algorithms.h.
 *
 * all_to_all: each rank sends S/n to each of the n - 1 others; all_gather: its S/n to all; reduce_scatter: to each the S/n
 * that is its. So in all three every ordered pair carries S/n. send/recv: one pair, all of S.
 *
 * Coupled: one transfer for all pairs of one class of route (NVLink, PCIe, network, ...), at most five, O(links) in
 * total. Max-min fair sharing gives all pairs of an all-to-all the same rate until the most loaded link is full, and that
 * link's pairs keep that rate to the end; so the end of the whole, max over links of load / capacity, is the
 * same for single flows, one transfer per source, or one in all. What differs is when the others let go of their links.
 * One in all would hold NVLink for as long as the network takes; one per source costs n rows of O(links) each and gains
 * nothing where ranks are alike. By class, pairs within a node end when they would as flows, and cost stays O(links).
 * Messages: one per pair, no order among them. */
#include "coll/algorithms.h"

#include <math.h>

typedef struct pair_scan {
    uint32_t classes; /* bit c: some pair's route has worst class c */
    double latency_s[FS_LINK_CLASSES];
} pair_scan;

/* Destinations outside: the router's searches start at the destination. send/recv is the pair 0 -> 1. */
static fs_status scan_pairs(const fs_algo_run *run, pair_scan *scan, fs_err *err)
{
    const fs_group *group = run->group;
    for (uint32_t dst = 0; dst < group->n; dst++) {
        for (uint32_t src = 0; src < group->n; src++) {
            const fs_route *route;
            if (src == dst || (run->kind == FS_SENDRECV && src != 0))
                continue;
            fs_status status = fs_router_find(run->hood->router, group->gpus[src], group->gpus[dst], &route, err);
            if (status != FS_OK)
                return status;
            scan->classes |= 1u << route->worst_class;
            scan->latency_s[route->worst_class] = fmax(scan->latency_s[route->worst_class], route->latency_s);
            if (group->domain_of[src] == group->domain_of[dst] && route->worst_class > run->b->intra_class)
                run->b->intra_class = route->worst_class;
        }
    }
    return FS_OK;
}

/* All pairs of one class. */
static fs_status emit_class(const fs_algo_run *run, uint32_t class_, double latency_s, double share, fs_err *err)
{
    const fs_group *group = run->group;
    fs_status status = FS_OK;
    for (uint32_t dst = 0; dst < group->n && status == FS_OK; dst++) {
        for (uint32_t src = 0; src < group->n && status == FS_OK; src++) {
            const fs_route *route;
            if (src == dst || (run->kind == FS_SENDRECV && src != 0))
                continue;
            status = fs_router_find(run->hood->router, group->gpus[src], group->gpus[dst], &route, err);
            if (status != FS_OK || route->worst_class != class_)
                continue;
            uint32_t id;
            status = run->b->mode == FS_LOWER_MESSAGES ? fs_shape_message(run->b, route, share, &id, err)
                                                       : fs_shape_edge(run->b, route, share, route->latency_s, err);
        }
    }
    return status == FS_OK ? fs_shape_move_end(run->b, share, latency_s, err) : status;
}

fs_status fs_direct_emit(const fs_algo_run *run, fs_err *err)
{
    uint32_t n = run->group->n;
    double pairs = run->kind == FS_SENDRECV ? 1.0 : (double)n * (n - 1), share = run->kind == FS_SENDRECV ? 1.0 : 1.0 / n;
    fs_status status = FS_OK;
    if (run->b->mode != FS_LOWER_COUPLED)
        status = fs_shape_check_moves(run->kind, FS_ALGO_DIRECT, n, pairs, err);
    pair_scan scan = {0};
    if (status == FS_OK)
        status = scan_pairs(run, &scan, err);
    for (uint32_t class_ = 0; class_ < FS_LINK_CLASSES && status == FS_OK; class_++)
        if (scan.classes >> class_ & 1u)
            status = emit_class(run, class_, scan.latency_s[class_], share, err);
    return status;
}
