/* router_in.h - inside of a router: for router*.c. */
#ifndef FS_ROUTER_IN_H
#define FS_ROUTER_IN_H

#include "route/box.h"
#include "route/net.h"
#include "route/route.h"

/* How a port is joined with the network. */
typedef struct fs_plug {
    uint32_t vertex; /* of the network; FS_NONE: the other end is no switch */
    uint32_t device; /* the other end */
    uint32_t link;   /* FS_NONE: the port is a switch itself */
} fs_plug;

typedef FS_VEC(fs_plug) fs_plugs;

/* What most NICs are: a port with one cable, alive both ways, to a switch. Kept for each device that is asked for. */
typedef struct fs_socket {
    uint32_t state; /* FS_SOCKET_UNKNOWN, FS_SOCKET_OTHER, or FS_SOCKET_FIRST + vertex of the switch */
    uint32_t link;  /* into the network; link ^ 1 comes back */
} fs_socket;

enum { FS_SOCKET_UNKNOWN, FS_SOCKET_OTHER, FS_SOCKET_FIRST };

/* One way from source to destination: legs and links that one path or several equal ones cross. FS_NONE = not there. */
typedef struct fs_way {
    uint32_t exit, entry; /* legs inside the source's and the destination's box */
    uint32_t up, down;    /* cables; equal where one cable joins the two ports */
    uint32_t across;      /* leg in the network, */
    bool single;          /* which gives the flow this one way */
    double weight;
} fs_way;

typedef struct fs_known_route {
    uint32_t src, dst;
    uint64_t flow;
    const fs_route *route;
} fs_known_route;

struct fs_router {
    fs_view view;
    fs_router_options options;
    fs_boxes boxes;
    fs_net net;
    fs_arena *arena; /* routes that fs_router_find has given out */
    FS_VEC(fs_known_route) known;
    fs_index index; /* of known */
    fs_route_buffer buffer;
    fs_plugs ups, downs;
    fs_socket *sockets;  /* (n_devices) */
    FS_VEC(fs_way) ways; /* the best so far */
};

/* router_ways.c: all best ways from src to dst over the network, into router->ways, if they are cheaper than *best, which
 * then is their cost. */
FS_MUST_CHECK fs_status fs_router_cross(fs_router *router, uint32_t src, uint32_t dst, uint64_t flow, uint64_t *best,
                                        fs_err *err);

#endif
