/* outline.h - a topology in few boxes, for a drawing.
 *
 * Small systems are drawn device by device. Larger ones are contracted until they fit: first what other links than those of network
 * switches join becomes one box (a server, a rack), then what the leaves join (a pod), what the next switches join, and so on;
 * switches above that are grouped in the same way, so that the picture is a tree of groups. Cost: O(devices + links) a level. */
#ifndef FS_OUTLINE_H
#define FS_OUTLINE_H

#include "base/index.h"
#include "topo/topo.h"

enum { FS_OUTLINE_NODES = 512, FS_OUTLINE_EDGES = 4096 };

typedef struct fs_outline_node {
    uint32_t first;         /* a device of it, the first */
    uint32_t level;         /* 0: servers, and what is in them; else the distance of its highest switches from those */
    uint32_t devices, gpus; /* how many */
    uint32_t boxes;         /* servers or racks in it; 0: a part of one, or switches alone */
} fs_outline_node;

/* All links of a tier between two nodes, both directions; a == b: inside a node. */
typedef struct fs_outline_edge {
    uint32_t a, b; /* a <= b */
    uint32_t tier;
    uint32_t links;
} fs_outline_edge;

typedef struct fs_outline {
    const fs_topo *topo; /* not owned */
    uint32_t detail;     /* 0: devices; 1: servers and switches; n + 2: groups of switches up to level n */
    uint32_t n_nodes, n_edges;
    fs_outline_node *nodes; /* (n_nodes) */
    fs_outline_edge *edges; /* (n_edges) by a, b, tier */
    uint32_t n_links, n_devices;
    uint32_t *node_of; /* (n_devices) */
    fs_index index;    /* of edges */
} fs_outline;

/* Of the first n_links links and the devices up to the last that they join: all of a topology, or what comes first in it.
 * *outline is NULL where even the last contraction has too many parts: servers that nothing joins. */
FS_MUST_CHECK fs_status fs_outline_new(const fs_topo *topo, uint32_t n_links, fs_outline **outline, fs_err *err);
void fs_outline_free(fs_outline *outline);

/* The edge that a link, one of the first n_links, belongs to. */
uint32_t fs_outline_edge_of(const fs_outline *outline, uint32_t link);

#endif
