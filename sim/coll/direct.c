/* direct.c - every pair at once; see algorithms.h.
 *
 * all_to_all: each rank sends S/n to each of the n - 1 others; all_gather: its S/n to all; reduce_scatter: to each the
 * S/n that is its. So in all three every ordered pair carries S/n. send/recv: one pair, all of S.
 *
 * Coupled: one transfer for all pairs of one class of route (NVLink, PCIe, network, ...), at most five, O(links) in
 * total. Max-min fair sharing gives all pairs of an all-to-all the same rate until the most loaded link is full, and
 * that link's pairs keep that rate to the end; so the end of the whole, max over links of load / capacity, is the
 * same for single flows, one transfer per source, or one in all. What differs is when the others let go of their links.
 * One in all would hold NVLink for as long as the network takes; one per source costs n rows of O(links) each and gains
 * nothing where ranks are alike. By class, pairs within a node end when they would as flows, and cost stays O(links).
 * Messages: one per pair, no order among them. */
#include "coll/algorithms.h"

#include <math.h>

/* All routes, by destination and source; the own one is NULL. send/recv is the pair 0 -> 1. */
typedef struct pairs {
    const fs_route **routes; /* (n x n) */
    uint32_t classes;        /* bit c: some pair's route has worst class c */
    double latency_s[FS_LINK_CLASSES];
} pairs;

static bool is_pair(const fs_algo_run *run, uint32_t src, uint32_t dst)
{
    return src != dst && (run->kind != FS_SENDRECV || src == 0);
}

static fs_status find_pairs(const fs_algo_run *run, pairs *p, fs_err *err)
{
    const fs_group *group = run->group;
    uint32_t n = group->n;
    p->routes = fs_zalloc((size_t)n * n, sizeof(fs_route *));
    if (p->routes == NULL)
        return fs_fail_nomem(err);
    for (uint32_t dst = 0; dst < n; dst++) {
        for (uint32_t src = 0; src < n; src++) {
            const fs_route **route = &p->routes[(size_t)dst * n + src];
            if (!is_pair(run, src, dst))
                continue;
            fs_status status = fs_group_pair(run->hood, group->gpus[src], group->gpus[dst], route, err);
            if (status != FS_OK)
                return status;
            uint32_t class_ = (*route)->worst_class;
            p->classes |= 1u << class_;
            p->latency_s[class_] = fmax(p->latency_s[class_], (*route)->latency_s);
            if (group->domain_of[src] == group->domain_of[dst] && class_ > run->b->intra_class)
                run->b->intra_class = class_;
        }
    }
    return FS_OK;
}

/* All pairs of one class. */
static fs_status emit_class(const fs_algo_run *run, const pairs *p, uint32_t class_, double share, fs_err *err)
{
    size_t n = run->group->n;
    fs_status status = FS_OK;
    for (size_t i = 0; i < n * n && status == FS_OK; i++) {
        const fs_route *route = p->routes[i];
        uint32_t id;
        if (route == NULL || route->worst_class != class_)
            continue;
        status = run->b->mode == FS_LOWER_MESSAGES ? fs_shape_message(run->b, route, share, &id, err)
                                                   : fs_shape_edge(run->b, route, share, route->latency_s, err);
    }
    return status == FS_OK ? fs_shape_move_end(run->b, share, p->latency_s[class_], err) : status;
}

fs_status fs_direct_emit(const fs_algo_run *run, fs_err *err)
{
    uint32_t n = run->group->n;
    double count = run->kind == FS_SENDRECV ? 1.0 : (double)n * (n - 1),
           share = run->kind == FS_SENDRECV ? 1.0 : 1.0 / n;
    fs_status status = FS_OK;
    if (run->b->mode != FS_LOWER_COUPLED)
        status = fs_shape_check_moves(run->kind, FS_ALGO_DIRECT, n, count, err);
    pairs p = {0};
    if (status == FS_OK)
        status = find_pairs(run, &p, err);
    for (uint32_t class_ = 0; class_ < FS_LINK_CLASSES && status == FS_OK; class_++)
        if (p.classes >> class_ & 1u)
            status = emit_class(run, &p, class_, share, err);
    fs_free(p.routes);
    return status;
}
