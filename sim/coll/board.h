/* board.h - what collectives know of the machine's boards: which are alike, which NICs serve which GPU, which boards
 * are one scale-up domain.
 *
 * A board is a placed node; devices of no board make up the last one. Boards of one make have the same devices at the
 * same distances of id, with the same links among them, so whatever is found on one of them (the nearest NICs of a GPU,
 * the GPU beside a NIC) holds for all, and is found once. Devices are therefore named by their distance from the first
 * device of the board: `local`. */
#ifndef FS_BOARD_H
#define FS_BOARD_H

#include "coll/unit_legs.h"

/* How far the ends of a route are apart: by the slowest class of link first, then by hops. */
static inline uint32_t fs_route_distance(const fs_route *route)
{
    return route->worst_class << 16 | (route->hops < UINT16_MAX ? route->hops : UINT16_MAX);
}

/* NICs and GPUs of a make; numbers below are indices in nics[] and gpus[]. */
typedef struct fs_make {
    uint32_t n_gpus, n_nics;
    const uint32_t *gpus, *nics; /* local, ascending */
    const uint32_t *rails;       /* (n_nics) */
    const uint32_t *near_begin;  /* (n_gpus + 1) */
    const uint32_t *near;        /* numbers of the nearest NICs of each GPU, ascending */
    const uint32_t *via; /* (n_gpus x n_nics) local of the GPU that hands over to the NIC: itself, or, PXN, the one
                          * beside the NIC, if that is reached over NVLink and nearer to it; FS_NONE: no way */
    const double *out_s, *in_s; /* (n_gpus x n_nics) latency of that way, and of the one from the NIC to the GPU */
    const bool *open;           /* (n_nics) all GPUs of the board have a way to it */
} fs_make;

/* What belongs to the topology alone; made once. */
typedef struct fs_neighbourhood {
    const fs_topo *topo;
    fs_router *router; /* of the healthy machine */
    fs_arena *arena;
    fs_route_buffer buffer; /* scratch */
    fs_unit_legs legs;
    uint32_t *first_of_board;  /* (n_nodes + 1) device id; of devices of no board: 0 */
    uint32_t *end_of_board;    /* (n_nodes + 1) one past its last device id */
    uint32_t *make_of_board;   /* (n_nodes + 1) dense */
    uint32_t *domain_of_board; /* (n_nodes + 1) scale-up domain, dense */
    uint32_t n_nvswitches;
    uint32_t n_makes;
    fs_make **makes; /* (n_makes) NULL: not asked for yet */
    bool *odd;       /* (n_makes) a GPU has an NVLink to what is not on the board */
} fs_neighbourhood;

FS_MUST_CHECK fs_status fs_neighbourhood_init(fs_neighbourhood *hood, const fs_topo *topo, fs_router *router,
                                              fs_arena *arena, fs_err *err);
void fs_neighbourhood_free(fs_neighbourhood *hood);

/* A device's board; devices of none share the number n_nodes. */
static inline uint32_t fs_board_of(const fs_topo *topo, uint32_t device)
{
    uint32_t node = fs_topo_device(topo, device).node;
    return node == FS_NONE ? topo->n_nodes : node;
}

FS_MUST_CHECK fs_status fs_find_make(fs_neighbourhood *hood, uint32_t board, const fs_make **make, fs_err *err);
/* A route of the healthy machine, good until the next one is asked for. */
static inline fs_status fs_find_route(fs_neighbourhood *hood, uint32_t src, uint32_t dst, const fs_route **route,
                                      fs_err *err)
{
    fs_status status = fs_router_compose(hood->router, src, dst, 0, &hood->buffer, err);
    *route = &hood->buffer.route;
    return status;
}

/* The GPU of its board that hands a GPU's bytes to a NIC of the board, itself or another; FS_NONE: there is no way. */
FS_MUST_CHECK fs_status fs_way_to_nic(fs_neighbourhood *hood, uint32_t gpu, uint32_t nic, uint32_t *via, fs_err *err);
/* Numbers in the make; FS_NONE where it is none of its GPUs; no NIC is on the rail. */
uint32_t fs_make_gpu(const fs_make *make, uint32_t local);
uint32_t fs_make_nic(const fs_make *make, uint32_t local);
uint32_t fs_make_nic_on_rail(const fs_make *make, uint32_t rail);

#endif
