/* group.h - a process group seen from the fabric: who is near whom, which NICs serve it, which rings it has.
 *
 * Made once per distinct list of GPUs and kept. Channels (ring_search.c) are found when a ring, tree or chain is first
 * asked for: a pair that only sends never pays for the search. */
#ifndef FS_GROUP_H
#define FS_GROUP_H

#include "base/mem.h"
#include "route/route.h"

/* How far the ends of a route are apart: by the slowest class of link first, then by hops. */
static inline uint32_t fs_route_distance(const fs_route *route)
{
    return route->worst_class << 16 | (route->hops < UINT16_MAX ? route->hops : UINT16_MAX);
}

/* A NIC that serves the group in one domain. */
typedef struct fs_rail {
    uint32_t nic;          /* device id */
    uint32_t enter, leave; /* positions in the group: GPUs next to it; different where there are two */
} fs_rail;

/* A scale-up domain, or a node: members reach each other without the network. */
typedef struct fs_domain {
    uint32_t n;
    const uint32_t *members; /* (n) positions in the group, ascending */
    uint32_t n_rails;
    const fs_rail *rails; /* (n_rails) by device id: by board, then by rail; found with the channels */
} fs_domain;

/* One ring over the whole group. */
typedef struct fs_channel {
    const uint32_t *order;       /* (n) positions in the group */
    const fs_route *const *next; /* (n) order[i] -> order[(i + 1) % n] */
    double share;                /* of the bytes; the channels' sum to 1 */
} fs_channel;

typedef struct fs_group {
    uint32_t n;
    const uint32_t *gpus;      /* (n) device ids */
    const uint32_t *domain_of; /* (n) index in domains[] */
    uint32_t n_domains;
    fs_domain *domains;  /* (n_domains) by first member */
    uint32_t n_rails;    /* that every domain has; 0 where the network is not reached through NICs. With channels */
    uint32_t n_channels; /* 0: not searched yet */
    const fs_channel *channels;
} fs_group;

/* What belongs to the topology alone; made once. */
typedef struct fs_neighbourhood {
    const fs_topo *topo;
    fs_router *router;
    fs_arena *arena;            /* groups live here */
    uint32_t *domain_of_device; /* (n_devices) scale-up domain: any label, equal where joined by NVLink or a board */
    uint32_t *nics_begin;       /* (n_nodes + 2) NICs of board b, of no board where b = n_nodes: */
    uint32_t *nics;             /* nics[nics_begin[b] ..< nics_begin[b + 1]], device ids, ascending */
    uint32_t *host_of_nic;      /* (n_devices) the GPU that a NIC is given on its full board; FS_NONE: not asked yet */
    uint32_t *stamp_of_device;  /* (n_devices) scratch: the last group that named the device */
    uint32_t stamp;
    uint32_t *index_of_device; /* (n_devices) scratch */
} fs_neighbourhood;

FS_MUST_CHECK fs_status fs_neighbourhood_init(fs_neighbourhood *hood, const fs_topo *topo, fs_router *router,
                                              fs_arena *arena, fs_err *err);
void fs_neighbourhood_free(fs_neighbourhood *hood);

/* FS_E_TRACE where a device is no GPU or is named twice. */
FS_MUST_CHECK fs_status fs_group_new(fs_neighbourhood *hood, const uint32_t *gpus, uint32_t n, fs_group **group,
                                     fs_err *err);

/* Fill the domains' rails. */
FS_MUST_CHECK fs_status fs_group_find_rails(fs_neighbourhood *hood, fs_group *group, fs_err *err);

/* ring_search.c: fill group->channels, and the rails where there are several domains. */
FS_MUST_CHECK fs_status fs_group_find_channels(fs_neighbourhood *hood, fs_group *group, fs_err *err);

/* The members of a domain as a path along the fabric that starts at position `first` and ends at `last` (FS_NONE:
 * anywhere); order (domain->n). lanes_left: see ring_search.c; NULL = all lanes. */
FS_MUST_CHECK fs_status fs_group_walk(fs_neighbourhood *hood, const fs_group *group, uint32_t domain, uint32_t first,
                                      uint32_t last, uint32_t *lanes_left, uint32_t *order, fs_err *err);

/* A GPU (a position in a group, or a device) next to a NIC (a device). */
typedef struct fs_near_nic {
    uint32_t nic, gpu;
} fs_near_nic;

typedef FS_VEC(fs_near_nic) fs_near_nics;

/* All nearest NICs of one GPU among those of its board, appended with the name `as` for the GPU. */
FS_MUST_CHECK fs_status fs_nearest_nics(fs_neighbourhood *hood, uint32_t gpu, uint32_t as, fs_near_nics *near,
                                        fs_err *err);
/* The distinct NICs of near[], by device id, each with its GPUs. rails has room for near->count. */
uint32_t fs_assign_rails(const fs_near_nics *near, fs_rail *rails);
/* A device's board; devices of none share the number n_nodes. */
uint32_t fs_board_of(const fs_topo *topo, uint32_t device);

/* crossing.c: GPU to GPU in another domain through two given NICs; FS_NONE for both: as the router likes. */
FS_MUST_CHECK fs_status fs_group_cross(fs_neighbourhood *hood, uint32_t src_gpu, uint32_t src_nic, uint32_t dst_nic,
                                       uint32_t dst_gpu, const fs_route **route, fs_err *err);
/* The same as NCCL sends point to point: on the rails of the destination. Any two GPUs. */
FS_MUST_CHECK fs_status fs_group_pair(fs_neighbourhood *hood, uint32_t src_gpu, uint32_t dst_gpu,
                                      const fs_route **route, fs_err *err);

#endif
