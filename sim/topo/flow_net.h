/* flow_net.h - a topology as a flow network between the halves of its GPUs, folded. Internal to topo. */
#ifndef FS_FLOW_NET_H
#define FS_FLOW_NET_H

#include "topo/topo.h"

enum { FS_FLOW_PASS, FS_FLOW_SOURCE, FS_FLOW_SINK };

/* Vertices are classes of devices, arcs are links of one type between two classes, all of them together: arc 2k leads
 * one way, and arc 2k + 1 back. */
typedef struct fs_flow_net {
    uint32_t n, n_arcs;
    uint32_t *begin, *out; /* (n + 1), (n_arcs) arcs by source */
    uint32_t *src, *dst;   /* (n_arcs) */
    uint32_t *type;        /* (n_arcs) link type */
    double *bandwidth_Bps; /* (n_arcs) */
    unsigned char *role;   /* (n) sources: the first half of the GPUs; sinks: the second half */
} fs_flow_net;

/* fold: false makes each device a class of its own, the slow twin. */
FS_MUST_CHECK fs_status fs_flow_net_make(const fs_topo *topo, bool fold, fs_flow_net *net, fs_err *err);
void fs_flow_net_free(fs_flow_net *net);

#endif
