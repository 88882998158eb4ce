/* leg.h - pieces that routes are made of, and how bytes divide over equal paths. Internal to route.
 *
 * A leg is the way between two places of one part of the machine: two devices of a box (box.h), or two switches of a
 * network (net.h). Legs are found once and kept in a store; routes are put together from them. */
#ifndef FS_LEG_H
#define FS_LEG_H

#include "base/index.h"
#include "base/mem.h"
#include "base/pattern.h"
#include "topo/topo.h"

/* The machine as a router sees it: in one epoch of the topology, or healthy. */
typedef struct fs_view {
    const fs_topo *topo;
    uint32_t epoch; /* FS_NONE: all links at their nominal capacity */
} fs_view;

static inline double fs_view_factor(const fs_view *view, uint32_t link)
{
    return view->epoch == FS_NONE ? 1.0 : fs_topo_link_factor(view->topo, link, view->epoch);
}

static inline bool fs_view_alive(const fs_view *view, uint32_t link)
{
    return fs_view_factor(view, link) > 0.0;
}

typedef struct fs_leg {
    uint32_t space, src, dst; /* what it leads from and to; the store's owner gives the numbers their meaning */
    uint32_t n_shares, first_share;
    uint32_t hops;        /* FS_NONE: there is no way */
    uint32_t worst_class; /* fs_link_class */
    double latency_s, bandwidth_Bps, effective_Bps;
    double onward_Bps; /* what can flow from its source to its destination at once, by effective rates */
} fs_leg;

static inline bool fs_leg_found(const fs_leg *leg)
{
    return leg->hops != FS_NONE;
}

typedef struct fs_leg_store {
    FS_VEC(fs_leg) legs;
    FS_VEC(fs_share) shares; /* of all legs; resource = link, as the owner of the store numbers links */
    fs_index index;          /* of legs, by space, source and destination */
} fs_leg_store;

/* Id of a leg in legs, FS_NONE where it is not known. */
uint32_t fs_leg_recall(const fs_leg_store *store, uint32_t space, uint32_t src, uint32_t dst);
/* Enter a leg whose shares are the last in store->shares. */
FS_MUST_CHECK fs_status fs_leg_keep(fs_leg_store *store, fs_leg leg, fs_err *err);
size_t fs_leg_store_bytes(const fs_leg_store *store);
void fs_leg_store_clear(fs_leg_store *store); /* what remains is an empty store */

/* ---- fractions ---------------------------------------------------------------------------------------------------
 * The equal paths from a source to a destination form a DAG. Let C(v) be what can flow on from v: C(dst) is unlimited,
 * and else the sum over the links l = (v, w) onwards of their weights
 *     weight(l) = min(capacity(l), C(w) * capacity(l) / (capacity of all links of the DAG into w)),
 * since the others that lead into w claim their part of C(w). v divides its bytes in proportion to the weights, so a lane
 * that the far side cannot match gets no more than the far side takes: 4 lanes into a switch and 5 out of it weigh 4. On
 * parallel switches this is the maximum flow; where paths join again it is the even spraying of per-packet adaptive
 * routing. The rule sees only sums over links, so switches that are alike may be merged into one with all their lanes,
 * and nothing changes (topo/bundle.h).
 * Rejected: lanes of the first hop only, which overloads the narrow side; C(w) undivided, by which merging switches moves
 * traffic to where several links lead into a narrow one. */
typedef struct fs_dag_edge {
    uint32_t from, to; /* vertices, from < to */
    uint32_t link;     /* of the topology */
    uint32_t resource; /* as the leg shall name it */
    double weight;     /* scratch */
} fs_dag_edge;

typedef struct fs_dag_vertex {
    double into, onward, latency, fraction;
    uint32_t hops;
} fs_dag_vertex;

/* Scratch memory of the computation, used again and again; all zero bits is an empty one. Vertices are numbered from 0,
 * the source, in topological order; the last is the destination. Every vertex lies on a path. */
typedef struct fs_dag {
    FS_VEC(fs_dag_edge) edges; /* ascending by `from` */
    FS_VEC(fs_dag_vertex) vertices;
} fs_dag;

/* Append the shares to the store and enter the leg: `leg` with its figures filled in. single_path: of the links from a
 * vertex only the first. Cost: O(links). */
FS_MUST_CHECK fs_status fs_dag_solve(fs_dag *dag, const fs_view *view, uint32_t n_vertices, bool single_path,
                                     fs_leg leg, fs_leg_store *store, fs_err *err);
void fs_dag_free(fs_dag *dag);

#endif
