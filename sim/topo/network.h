/* network.h - network generators: from <network> to switches and cables. Internal to topo.
 *
 * A network is built of equal planes; each plane of tiers, from the one that the nodes attach to upwards; each tier of
 * groups of switches. A group joins `group` groups of the tier below (nodes, at the first tier), the last one perhaps
 * fewer. What connects the groups of the last tier, if it has several, is a torus or a dragonfly.
 *
 * Numbers. Switch s of group g of a tier is number g * switches + s of its plane. A tier of several classes (rails, or
 * planes of this tier alone) joins each lower switch with the switches of one class only; a class is a block of
 * consecutive switches, so class = s / (switches / classes). */
#ifndef FS_NETWORK_H
#define FS_NETWORK_H

#include "topo/topo_read.h"

enum { FS_NET_TIERS_MAX = 6, FS_NET_DIMS_MAX = 6, FS_NET_PORTS_MAX = 256 };

typedef enum fs_net_by {                 /* which switches of a group a lower device is joined with */
                         FS_NET_BY_NODE, /* one, node by node: as many to the first, then as many to the next */
                         FS_NET_BY_RAIL, /* of its rail; at the first tier one */
                         FS_NET_BY_ALL   /* all of its class, its cables dealt in turn */
} fs_net_by;

typedef struct fs_net_tier {
    const char *name;
    uint32_t part, type; /* ids in the spec; type: of the cables that go down */
    fs_net_by by;
    uint32_t group, n_groups; /* lower groups in a full group; groups */
    uint32_t switches;        /* of one group, in one plane; classes divides it */
    uint32_t classes;
    uint32_t uplinks; /* cables from each lower device; of one port to its only switch: lanes of that cable */
    uint32_t down;    /* most cables from below at one switch, lanes counted */
} fs_net_tier;

typedef enum fs_net_top { FS_NET_TREE, FS_NET_TORUS, FS_NET_DRAGONFLY } fs_net_top;

typedef struct fs_net {
    const xmlNode *element;
    const char *name;
    uint32_t id;      /* in the spec's networks */
    uint32_t n_nodes; /* copies of the place */
    uint32_t stride;  /* between the ids of a port's device in one copy and the next */
    uint32_t n_ports, nic_ports, rails, planes;
    uint32_t *ports; /* (n_ports) device ids in the first copy; owned */
    fs_device_kind port_kind;
    uint32_t n_tiers;
    fs_net_tier tiers[FS_NET_TIERS_MAX];
    fs_net_top top;
    uint32_t top_type, top_lanes; /* lanes: of a cable of the torus; cables between two groups of the dragonfly */
    uint32_t n_dims, dims[FS_NET_DIMS_MAX];
} fs_net;

/* Cables of a node's ports within one plane; lower devices of tier t in one lower group; such groups. */
static inline uint32_t fs_net_plane_ports(const fs_net *net)
{
    return net->n_ports * net->nic_ports / net->planes;
}

static inline uint32_t fs_net_lower(const fs_net *net, uint32_t t)
{
    return t == 0 ? fs_net_plane_ports(net) : net->tiers[t - 1].switches;
}

static inline uint32_t fs_net_lower_groups(const fs_net *net, uint32_t t)
{
    return t == 0 ? net->n_nodes : net->tiers[t - 1].n_groups;
}

/* Most cables of one switch to its own last tier's other groups, for the check of its ports. */
uint64_t fs_net_top_ports(const fs_net *net);

/* Name and routing of a <network>, so that others can refer to it; then all the rest. */
FS_MUST_CHECK fs_status fs_network_declare(const fs_reader *r, const xmlNode *e);
FS_MUST_CHECK fs_status fs_network_add(const fs_reader *r, const xmlNode *e);

/* network_tier.c: the next <tier>, the <torus> or <dragonfly> at the end. */
FS_MUST_CHECK fs_status fs_net_read_tier(const fs_reader *r, const xmlNode *e, fs_net *net);
FS_MUST_CHECK fs_status fs_net_read_top(const fs_reader *r, const xmlNode *e, fs_net *net);
/* network_build.c: switches and cables of what has been read and checked. */
FS_MUST_CHECK fs_status fs_net_build(const fs_reader *r, const fs_net *net);

#endif
