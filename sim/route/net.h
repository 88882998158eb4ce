/* net.h - the network: switches joined by network links, and ways between them. Internal to route.
 *
 * The vertices are the devices that pass traffic from one network link to another: switches, and whatever else has
 * network links but is no NIC and no GPU. NICs hang on them by cables, which the router adds to a way.
 *
 * Cost: O(devices + links) once; 8 B a link between switches and direction. Ways of the adaptive kind by a breadth-first
 * search from both ends, level by level, always on the side with fewer links to look at: in a fat tree of leaves with u
 * uplinks O(u^2), and next to nothing where spines are merged (topo/bundle.h). They are kept until they fill 64 MB, then
 * forgotten. */
#ifndef FS_NET_H
#define FS_NET_H

#include "route/leg.h"

enum { FS_NET_LEVELS = 8 }; /* of switches above each other that static routing tells apart */

typedef struct fs_net_edge {
    uint32_t to, link, lanes; /* the vertex at the other end; the link in the direction of the traffic */
} fs_net_edge;

/* The edges of vertex v: edges[begin[v] ..< begin[v + 1]], by link. */
typedef struct fs_net_edges {
    uint32_t *begin; /* (n + 1) */
    fs_net_edge *edges;
} fs_net_edges;

/* What static routing needs to know of a network: see net_single.c. */
typedef struct fs_net_tree {
    uint32_t leaves;                /* switches with cables to NICs */
    uint32_t ports;                 /* most such cables at one of them */
    uint32_t stride[FS_NET_LEVELS]; /* product of the uplinks of a switch of each level below */
} fs_net_tree;

/* A flow in a network that gives it one way. */
typedef struct fs_net_flow {
    uint32_t src_port, dst_port; /* devices: NICs, or the switches themselves */
    uint32_t last_cable;         /* the link into dst_port, or FS_NONE */
    uint64_t number;
} fs_net_flow;

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
    bool *stub;           /* (n) all edges lead to one neighbour: a leaf under merged spines. No way leads through it */
    fs_net_edges through, back_through; /* out and in without edges from what is no stub to stubs */
    fs_net_edges healthy;               /* out, as if nothing had failed; the same memory as out where nothing has */
    uint32_t *component; /* (n) equal where joined, whatever has failed: planes and rails may have nothing in common */
    fs_leg_store legs;   /* ends are vertices, resources links; space 0 */
    uint32_t last_leg;   /* in legs, if it is still there: the last that was asked for. Neighbours ask for the same */
    /* For networks that give a flow one way. */
    uint64_t seed;
    bool hashed;      /* some network does so by a hash */
    uint8_t *routing; /* (n) fs_routing of the vertex's network */
    uint16_t *
        *distances; /* (2 n) from all vertices to one, (n) each; those of the healthy machine after the others. NULL =
                             not asked yet */
    size_t distances_bytes;
    uint8_t *level;      /* (n) 0 = has cables to NICs; NULL until static routing asks */
    uint32_t *rank;      /* (n) of such a switch among those of its network */
    fs_net_tree *trees;  /* (n_networks) */
    fs_leg_store single; /* legs of the route that is being put together, not indexed */
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
FS_MUST_CHECK fs_status fs_net_init(fs_net *net, const fs_view *view, bool single_path, uint64_t seed, fs_err *err);
void fs_net_clear(fs_net *net);

/* All minimal ways from vertex to vertex, src != dst; *leg = an id in net->legs. One that is not there is a leg too. */
FS_MUST_CHECK fs_status fs_net_leg(fs_net *net, uint32_t src, uint32_t dst, uint32_t *leg, fs_err *err);

/* May there be a way at all? A search need not find out, switch by switch. */
static inline bool fs_net_may_join(const fs_net *net, uint32_t src, uint32_t dst)
{
    return net->component[src] == net->component[dst];
}

/* Does the vertex's network give every flow one way? */
static inline bool fs_net_is_single(const fs_net *net, uint32_t vertex)
{
    return net->routing[vertex] == FS_ROUTING_ECMP || net->routing[vertex] == FS_ROUTING_STATIC;
}

/* net_single.c: the one way of a flow, as the network of src likes; *leg = an id in net->single, good until room is made.
 */
FS_MUST_CHECK fs_status fs_net_single(fs_net *net, uint32_t src, uint32_t dst, const fs_net_flow *flow, uint32_t *leg,
                                      fs_err *err);
/* Which of several cables of its ports a flow uses. */
uint32_t fs_net_choose(const fs_net *net, const fs_net_flow *flow, uint32_t count);

/* Before a route is put together: forget legs and distances that take too much memory. */
void fs_net_make_room(fs_net *net);

#endif
