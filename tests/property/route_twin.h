/* route_twin.h - the slow twin of the router: what route.h says, device by device over the whole machine.
 *
 * One search per pair over all devices, by relaxing every link until nothing changes; no boxes, no legs, no caches. The
 * routes of the real router must have the same links, and with the same fractions where one port of each box carries all;
 * several ports divide the bytes as router.c says, which is no rule for every single link. */
#ifndef FS_TEST_ROUTE_TWIN_H
#define FS_TEST_ROUTE_TWIN_H

#include "base/mem.h"
#include "route/route.h"

#include <math.h>

/* Where a packet is: at a device, before it has been in the network, in it, or after; as it crosses the network once,
 * and NICs lead from the board to the network or back and to nothing else. */
typedef struct twin_place {
    uint64_t cost; /* to the destination; UINT64_MAX = no way */
    bool on_path;
    double into, onward, real, fraction, latency; /* onward: without the cables at the end of a network; real: with */
    uint32_t hops, endless;                       /* endless: links onwards of unlimited weight */
} twin_place;

typedef struct twin {
    const fs_topo *topo;
    uint32_t epoch, src, dst;
    int rule;           /* 0 NVLink, 1 NVLink with a GPU between, 2 the board, 3 everything */
    twin_place *places; /* (3 n_devices): 3 d + stage */
    double *fraction;   /* (n_links) the answer, */
    double latency_s, bandwidth_Bps;
    uint32_t hops;
    bool several; /* ports carry it */
} twin;

static inline fs_link_class twin_class(const twin *t, uint32_t link)
{
    return t->topo->link_types[fs_topo_link(t->topo, link).type].class_;
}

static inline double twin_capacity(const twin *t, uint32_t link)
{
    return fs_topo_link(t->topo, link).effective_Bps * fs_topo_link_factor(t->topo, link, t->epoch);
}

/* The place at which a link ends that starts at `place`. */
static inline uint32_t twin_end(const twin *t, uint32_t place, uint32_t link)
{
    uint32_t to = fs_topo_link(t->topo, link).dst, stage = place % 3;
    bool net = twin_class(t, link) == FS_CLASS_NET;
    return to == t->dst ? 3 * to : 3 * to + (net ? 1 : stage == 1 ? 2 : stage);
}

static inline uint64_t twin_cost(const twin *t, uint32_t link)
{
    fs_link_class class_ = twin_class(t, link);
    return t->rule < 2 ? 1 : class_ == FS_CLASS_NET ? 1 : class_ == FS_CLASS_CPU ? 5 * 4096 : 4096;
}

/* May a packet at this place take this link? */
static inline bool twin_may(const twin *t, uint32_t place, uint32_t link)
{
    fs_device_kind from = fs_topo_device(t->topo, place / 3).kind,
                   to = fs_topo_device(t->topo, fs_topo_link(t->topo, link).dst).kind;
    bool net = twin_class(t, link) == FS_CLASS_NET, first = place == 3 * t->src;
    if (twin_capacity(t, link) <= 0.0 || place / 3 == t->dst || (net && place % 3 == 2))
        return false;
    if (t->rule < 2 &&
        (twin_class(t, link) != FS_CLASS_NVLINK || (from != FS_DEVICE_GPU && from != FS_DEVICE_NVSWITCH) ||
         (to != FS_DEVICE_GPU && to != FS_DEVICE_NVSWITCH)))
        return false;
    if (t->rule == 2 && net)
        return false;
    if (!first && from == FS_DEVICE_GPU && t->rule != 1)
        return false;
    return first || from != FS_DEVICE_NIC || net == (place % 3 == 0);
}

static inline bool twin_search(twin *t)
{
    for (uint32_t p = 0; p < 3 * t->topo->n_devices; p++)
        t->places[p] = (twin_place){.cost = UINT64_MAX};
    t->places[3 * t->dst].cost = 0;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t l = 0; l < t->topo->n_links; l++)
            for (uint32_t stage = 0; stage < 3; stage++) {
                uint32_t place = 3 * fs_topo_link(t->topo, l).src + stage;
                twin_place *from = &t->places[place], *to = &t->places[twin_end(t, place, l)];
                if (to->cost == UINT64_MAX || to->cost + twin_cost(t, l) >= from->cost || !twin_may(t, place, l))
                    continue;
                from->cost = to->cost + twin_cost(t, l);
                changed = true;
            }
    }
    uint64_t cost = t->places[3 * t->src].cost;
    return cost != UINT64_MAX && (t->rule != 1 || cost <= 2);
}

static inline bool twin_on_path(const twin *t, uint32_t place, uint32_t link)
{
    const twin_place *from = &t->places[place], *to = &t->places[twin_end(t, place, link)];
    return from->on_path && from->cost != UINT64_MAX && to->cost != UINT64_MAX &&
           from->cost == to->cost + twin_cost(t, link) && twin_may(t, place, link);
}

/* Inside a network, cables from a switch to a NIC or GPU do not weigh. */
static inline bool twin_endless(const twin *t, uint32_t link)
{
    fs_device_kind to = fs_topo_device(t->topo, fs_topo_link(t->topo, link).dst).kind;
    return twin_class(t, link) == FS_CLASS_NET && (to == FS_DEVICE_NIC || to == FS_DEVICE_GPU);
}

static inline double twin_real(const twin *t, uint32_t place, uint32_t link)
{
    const twin_place *to = &t->places[twin_end(t, place, link)];
    double capacity = twin_capacity(t, link);
    return fmin(capacity, to->real * (capacity / to->into));
}

static inline double twin_weight(const twin *t, uint32_t place, uint32_t link)
{
    const twin_place *to = &t->places[twin_end(t, place, link)];
    double capacity = twin_capacity(t, link);
    if (fs_topo_device(t->topo, place / 3).kind != FS_DEVICE_NET_SWITCH)
        return twin_real(t, place, link);
    return twin_endless(t, link) ? INFINITY : fmin(capacity, to->onward * (capacity / to->into));
}

/* The place with the next cost after (or before) one; all places of one cost are handled together. */
static inline uint64_t twin_next(const twin *t, uint64_t cost, bool up)
{
    uint64_t best = UINT64_MAX;
    for (uint32_t p = 0; p < 3 * t->topo->n_devices; p++) {
        uint64_t c = t->places[p].cost;
        if (c == UINT64_MAX || (up ? c <= cost : c >= cost))
            continue;
        if (best == UINT64_MAX || (up ? c < best : c > best))
            best = c;
    }
    return best;
}

typedef void twin_visit(twin *t, uint32_t place, uint32_t link);

static inline void twin_each(twin *t, uint64_t cost, twin_visit *visit)
{
    for (uint32_t p = 0; p < 3 * t->topo->n_devices; p++)
        for (uint32_t k = 0; t->places[p].cost == cost && k < fs_topo_out_count(t->topo, p / 3); k++) {
            uint32_t link = fs_topo_out_link(t->topo, p / 3, k);
            if (twin_on_path(t, p, link))
                visit(t, p, link);
        }
}

static inline void twin_mark(twin *t, uint32_t place, uint32_t link)
{
    t->places[twin_end(t, place, link)].on_path = true;
    t->places[twin_end(t, place, link)].into += twin_capacity(t, link);
}

static inline void twin_measure(twin *t, uint32_t place, uint32_t link)
{
    twin_place *from = &t->places[place], *to = &t->places[twin_end(t, place, link)];
    double weight = twin_weight(t, place, link);
    from->onward += weight;
    from->real += twin_real(t, place, link);
    from->endless += isinf(weight) ? 1 : 0;
    from->latency = fmax(from->latency, fs_topo_link(t->topo, link).latency_s + to->latency);
    from->hops = from->hops > to->hops + 1 ? from->hops : to->hops + 1;
}

static inline void twin_spread(twin *t, uint32_t place, uint32_t link)
{
    const twin_place *from = &t->places[place];
    double weight = twin_weight(t, place, link),
           part = from->endless > 0 ? (isinf(weight) ? 1.0 / from->endless : 0.0) : weight / from->onward;
    t->places[twin_end(t, place, link)].fraction += from->fraction * part;
    t->fraction[link] += from->fraction * part;
}

/* The route, into t->fraction and the figures below it; false where there is none. */
static inline bool twin_find(twin *t, uint32_t src, uint32_t dst)
{
    const fs_device a = fs_topo_device(t->topo, src), b = fs_topo_device(t->topo, dst);
    bool gpus = a.kind == FS_DEVICE_GPU && b.kind == FS_DEVICE_GPU, found = false;
    t->src = src;
    t->dst = dst;
    for (uint32_t l = 0; l < t->topo->n_links; l++)
        t->fraction[l] = 0.0;
    for (t->rule = 0; t->rule < 4 && !found; t->rule += !found)
        if ((t->rule == 0 && gpus) || (t->rule == 1 && gpus && t->topo->gpu_forwarding) ||
            (t->rule == 2 && a.node == b.node) || t->rule == 3)
            found = twin_search(t);
    if (!found)
        return false;
    uint64_t farthest = t->places[3 * src].cost;
    t->places[3 * src].on_path = true;
    t->places[3 * src].fraction = 1.0;
    t->places[3 * dst].onward = t->places[3 * dst].real = INFINITY;
    for (uint64_t c = farthest; c != UINT64_MAX && c > 0; c = twin_next(t, c, false))
        twin_each(t, c, twin_mark);
    for (uint64_t c = twin_next(t, 0, true); c != UINT64_MAX && c <= farthest; c = twin_next(t, c, true))
        twin_each(t, c, twin_measure);
    for (uint64_t c = farthest; c != UINT64_MAX && c > 0; c = twin_next(t, c, false))
        twin_each(t, c, twin_spread);
    t->several = false;
    for (uint32_t l = 0; l < t->topo->n_links; l++) {
        fs_device_kind from = fs_topo_device(t->topo, fs_topo_link(t->topo, l).src).kind,
                       to = fs_topo_device(t->topo, fs_topo_link(t->topo, l).dst).kind;
        t->several = t->several || (t->fraction[l] > 0.0 && t->fraction[l] < 1.0 && twin_class(t, l) == FS_CLASS_NET &&
                                    (from != FS_DEVICE_NET_SWITCH || to != FS_DEVICE_NET_SWITCH));
    }
    t->latency_s = t->places[3 * src].latency;
    t->hops = t->places[3 * src].hops;
    t->bandwidth_Bps = INFINITY;
    for (uint32_t l = 0; l < t->topo->n_links; l++)
        if (t->fraction[l] > 0.0)
            t->bandwidth_Bps = fmin(t->bandwidth_Bps, fs_topo_link(t->topo, l).bandwidth_Bps *
                                                          fs_topo_link_factor(t->topo, l, t->epoch) / t->fraction[l]);
    return true;
}

#endif
