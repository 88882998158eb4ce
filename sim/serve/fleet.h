/* fleet.h - which copies of a service may stand for others.
 *
 * Two copies do the same at the same times if they draw the same stream of requests, stand alike on the machine, and share
 * no link with any other copy. This is proved, not guessed: every copy lies within one copy of a unit (a board with all
 * that is placed in it, topo/unit.h), at the same place of it; the routes between all its GPUs, and to the CPUs where
 * caches are swapped out, stay within that copy of the unit and off the network; and no two copies of the service use one
 * link. Whatever collective or cache moves takes (parts of) these routes. Where any of it does not hold for any copy,
 * nothing is folded: a copy that leaves its unit might meet all others.
 * Copies with streams of their own are not alike, and a router that spreads one stream over replicas gives each of them
 * other requests, whatever its policy: replicas of one pool never fold. */
#ifndef FS_SERVE_FLEET_H
#define FS_SERVE_FLEET_H

#include "route/route.h"
#include "work/inference.h"

/* A copy that is simulated, for `count` of them. */
typedef struct fs_fleet_member {
    uint32_t copy, count;
    uint32_t n_links;      /* 0 where nothing was folded */
    const uint32_t *links; /* (n_links) that it may use; nobody else does */
} fs_fleet_member;

typedef struct fs_fleet_plan {
    uint32_t n;
    fs_fleet_member *members; /* (n) ascending copies */
} fs_fleet_plan;

/* All GPUs are there (fs_work_check_placement). routers (n_routers): every one that traffic may be routed by. Without
 * `fold` every copy is a member. Allocates in the arena. */
FS_MUST_CHECK fs_status fs_fleet_plan_make(const fs_inference *in, const fs_topo *topo, fs_router *const *routers,
                                           uint32_t n_routers, bool fold, struct fs_arena *arena, fs_fleet_plan *plan,
                                           fs_err *err);

#endif
