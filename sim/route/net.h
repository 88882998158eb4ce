/* net.h - the network: switches joined by network links, and ways between them. Internal to route.
 *
 * The vertices are the devices that pass traffic from one network link to another: switches, and whatever else has
 * network links but is no NIC and no GPU. NICs hang on them by cables, which the router adds to a way.
 *
 * Cost: O(devices + links) once; 8 B a link between switches and direction. Ways of the adaptive kind by a breadth-first
 * search from both ends, level by level, always on the side with fewer links to look at: in a fat tree of s switches to
 * a leaf with u uplinks O(u^2), and microseconds where spines are merged (topo/bundle.h). They are kept until they fill
 * FS_NET_LEGS_MAX_BYTES, then forgotten. */
#ifndef FS_NET_H
#define FS_NET_H

#include "route/leg.h"

typedef struct fs_net_edge {
    uint32_t to, link; /* the vertex at the other end; the link in the direction of the traffic */
} fs_net_edge;

/* The edges of vertex v: edges[begin[v] ..< begin[v + 1]], by link. */
typedef struct fs_net_edges {
    uint32_t *begin; /* (n + 1) */
    fs_net_edge *edges;
} fs_net_edges;

/* One side of a search. Levels: at distance i from where it began are queue[level[i] ..< level[i + 1]]. */
typedef struct fs_net_side {
    uint32_t *stamp;    /* (n) number of the search that reached the vertex */
    uint32_t *distance; /* (n) good where stamped */
    FS_VEC(uint32_t) queue;
    FS_VEC(uint32_t) level;
    uint64_t work; /* edges of the last level */
} fs_net_side;

typedef struct fs_net {
    const fs_view *view;
    bool single_path;
    uint32_t n;           /* vertices */
    uint32_t *vertex_of;  /* (n_devices) FS_NONE: not a vertex */
    uint32_t *devices;    /* (n) */
    fs_net_edges out, in; /* in: edges that end at v; to = where they begin */
    fs_leg_store legs;    /* ends are vertices, resources links; space 0 */
    /* Scratch of the search. */
    fs_net_side ahead, back;
    uint32_t search;
    uint32_t *number_of;       /* (n) FS_NONE between searches: vertex of the DAG */
    FS_VEC(uint32_t) on_path;  /* first half (from the middle to the source), then second half */
    FS_VEC(fs_dag_edge) found; /* ends are vertices of the network */
    FS_VEC(uint32_t) begin;    /* where the edges of a vertex of the DAG begin */
    fs_dag dag;
} fs_net;

/* The network of the view, which must outlive it. net: all zero bits; to be cleared also after a failure. */
FS_MUST_CHECK fs_status fs_net_init(fs_net *net, const fs_view *view, bool single_path, fs_err *err);
void fs_net_clear(fs_net *net);

/* All minimal ways from vertex to vertex, src != dst; *leg = an id in net->legs. One that is not there is a leg too. */
FS_MUST_CHECK fs_status fs_net_leg(fs_net *net, uint32_t src, uint32_t dst, uint32_t *leg, fs_err *err);

/* Before a route is put together: forget legs if they take too much memory. */
void fs_net_make_room(fs_net *net);

#endif
