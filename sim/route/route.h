/* route.h - how bytes get from one device to another.
 *
 * Rules, in order:
 * 1. GPU to GPU over NVLink (and NVSwitches) where a path exists; GPUs do not forward for others unless the topology
 *    says gpu-forwarding="yes".
 * 2. Else over PCIe, C2C, CPU links, NICs and network switches: fewest hops by class cost (box_leg.c), GPUs as endpoints
 *    only. Inside a node the network is not used, unless nothing else joins the two devices; and a route crosses the
 *    network once: it does not pass through a third node.
 * 3. All minimal paths are used at once, in fractions (leg.h) by what each can carry (adaptive routing, NVSwitch
 *    spraying). A route is a set of links with fractions that say which part of the bytes crosses each.
 * Links that are down in the router's epoch do not exist for it; others have what is left of their capacity.
 * Constant once made, but for caches; single-threaded. */
#ifndef FS_ROUTE_H
#define FS_ROUTE_H

#include "base/mem.h"
#include "base/pattern.h"
#include "topo/topo.h"

typedef struct fs_route {
    uint32_t n_shares;
    const fs_share *shares; /* (n_shares) resource = link id, ascending; coefficient in (0, 1] */
    double latency_s;       /* sum of link latencies along the slowest of the equal paths */
    double bandwidth_Bps;   /* min over links of capacity / coefficient, bare bandwidth */
    double effective_Bps;   /* the same with effective_Bps */
    uint32_t hops;          /* links on a path */
    uint32_t worst_class;   /* fs_link_class of the slowest kind crossed: NET > CPU > PCIE > C2C > NVLINK */
} fs_route;

typedef struct fs_router fs_router;

typedef struct fs_router_options {
    bool single_path; /* one minimal path, always the same, instead of all: for backends without fractions */
    uint32_t epoch;   /* of the topology: links that are down in it do not exist; FS_NONE: the healthy machine */
    uint64_t seed;    /* of the hashes of networks with ECMP */
} fs_router_options;

FS_MUST_CHECK fs_status fs_router_new(const fs_topo *topo, fs_router_options options, fs_router **router, fs_err *err);
void fs_router_free(fs_router *router);

/* The route between two different devices; owned by the router. flow tells connections between the same two apart
 * where a network hashes them (ECMP): a ring's channel, 0 for all else. FS_E_TOPOLOGY naming both where there is none.
 */
FS_MUST_CHECK fs_status fs_router_find(fs_router *router, uint32_t src_device, uint32_t dst_device, uint64_t flow,
                                       const fs_route **route, fs_err *err);

/* A route that the caller owns; all zero bits is an empty one. */
typedef struct fs_route_buffer {
    fs_route route; /* its shares are those below; good until the buffer is used again */
    FS_VEC(fs_share) shares;
} fs_route_buffer;

void fs_route_buffer_free(fs_route_buffer *buffer);

/* The same route as fs_router_find's, into the buffer: nothing is kept for the pair, so this is the way to ask for
 * millions. */
FS_MUST_CHECK fs_status fs_router_compose(fs_router *router, uint32_t src_device, uint32_t dst_device, uint64_t flow,
                                          fs_route_buffer *buffer, fs_err *err);

/* How a port with one cable hangs on a network that spreads its traffic, as most NICs do. What two such ports exchange
 * crosses the cables of both and, between their switches, what any two ports of those would cross. */
typedef struct fs_attachment {
    uint32_t device;     /* the switch */
    uint32_t link;       /* into the network; link ^ 1 comes back */
    double up_s, down_s; /* latency of the two */
} fs_attachment;

/* *found = false where the device is no such port, in this router's epoch. */
FS_MUST_CHECK fs_status fs_router_attachment(fs_router *router, uint32_t device, fs_attachment *attachment, bool *found,
                                             fs_err *err);

#endif
