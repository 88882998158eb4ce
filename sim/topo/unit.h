/* unit.h - how a topology is stored: boards once, their copies by arithmetic. Everybody else reads it through topo.h.
 *
 * The devices of a machine are a sequence of runs, and a run is `copies` copies of a unit, one after the other: what is
 * first in copy k + 1 follows what is last in copy k. Devices that stand in the system itself are runs of one copy. So
 * the k-th copy's device d is first_device + k * n_devices + d, and its links, nodes and device indices go likewise.
 * Links that lead from one copy to another, or to the system's own devices, are cables: they come after all links of
 * units and are stored one by one, 16 bytes a connection. */
#ifndef FS_UNIT_H
#define FS_UNIT_H

#include "topo/part.h"

typedef struct fs_device {
    fs_device_kind kind;
    uint32_t part;    /* id in parts[] */
    uint32_t node;    /* which placed board, or FS_NONE for switches of the system */
    uint32_t index;   /* among the devices of its kind, in id order: the GPU number for GPUs */
    uint32_t rail;    /* NICs: index among the NICs of its board; else FS_NONE */
    uint32_t network; /* switches of a network: id in networks[]; else FS_NONE */
} fs_device;

typedef struct fs_link {
    uint32_t src, dst; /* device ids */
    uint32_t type;     /* id in link_types[] */
    uint32_t lanes;    /* equal members; the capacities below are of all lanes together */
    double bandwidth_Bps;
    double effective_Bps;
    double latency_s; /* of the link, and of the switch it leaves */
} fs_link;

/* What is alike in many links. */
typedef struct fs_link_shape {
    uint32_t type, lanes;
    double bandwidth_Bps, effective_Bps, latency_s;
} fs_link_shape;

/* Two links: low -> high of shape[0], and back of shape[1]. */
typedef struct fs_connection {
    uint32_t low, high; /* devices; low < high */
    uint32_t shape[2];
} fs_connection;

typedef struct fs_topo_unit {
    uint32_t n_devices, n_links, n_nodes;
    uint32_t of_kind[FS_DEVICE_KINDS];
    const fs_device *devices;         /* (n_devices) node and index within the unit */
    const char *const *names;         /* (n_devices) within the unit: "gpu3", "tray5/gpu3"; "" = that of the copy */
    const uint32_t *by_name;          /* (n_devices) in the order of their names */
    const char *const *nodes;         /* (n_nodes) names; "" = that of the copy */
    const fs_connection *connections; /* (n_links / 2) between devices of the unit; sorted */
    const uint32_t *out_begin;        /* (n_devices + 1) */
    const uint32_t *out_links;        /* (n_links) by source, ascending */
} fs_topo_unit;

typedef struct fs_topo_run {
    const fs_topo_unit *unit;
    uint32_t copies;
    uint32_t first_device, first_link, first_node;
    uint32_t node_base; /* what the nodes of its devices count from: first_node, or 0 for the system's own devices */
    uint32_t first_index[FS_DEVICE_KINDS];
    const char *name; /* of its copies: "node" + number, or "node"; "" = no prefix */
    bool numbered;
    uint32_t first_number;
} fs_topo_run;

/* A device as a device of a copy. */
typedef struct fs_where {
    const fs_topo_run *run;
    uint32_t copy, local;
} fs_where;

#endif
