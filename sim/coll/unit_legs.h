/* unit_legs.h - routes inside a unit of the topology, found on one copy and moved to the others.
 *
 * Copies of a unit have the same links at the same distances of id, so a route that stays inside one is the same in all:
 * its links are kept as distances from the copy's first link. Only of the healthy machine. */
#ifndef FS_UNIT_LEGS_H
#define FS_UNIT_LEGS_H

#include "base/mem.h"
#include "route/route.h"

typedef struct fs_unit_leg {
    uint32_t first_share, n_shares;
    double latency_s;
    uint32_t worst_class;
} fs_unit_leg;

/* Ends are the GPUs and NICs of a unit. */
typedef struct fs_unit_ends {
    uint32_t n;
    uint32_t *end_of; /* (devices of the unit) number of the end, or FS_NONE */
    uint32_t *leg;    /* (n x n) number of the leg + 1; 0: not asked for yet; FS_NONE: it leaves the unit, or is none */
} fs_unit_ends;

typedef struct fs_unit_legs {
    const fs_topo *topo;
    fs_router *router;   /* of the healthy machine */
    fs_unit_ends *units; /* (n_units) */
    FS_VEC(fs_unit_leg) legs;
    FS_VEC(fs_share) shares;
    fs_route_buffer buffer; /* scratch */
} fs_unit_legs;

FS_MUST_CHECK fs_status fs_unit_legs_init(fs_unit_legs *legs, const fs_topo *topo, fs_router *router, fs_err *err);
void fs_unit_legs_free(fs_unit_legs *legs);

/* The number of the leg between two devices, FS_NONE where the router has to be asked; *first_link is to be added to its
 * shares' links. */
FS_MUST_CHECK fs_status fs_unit_leg_find(fs_unit_legs *legs, uint32_t src, uint32_t dst, uint32_t *leg,
                                         uint32_t *first_link, fs_err *err);

#endif
