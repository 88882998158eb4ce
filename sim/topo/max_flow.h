/* max_flow.h - maximum flow from sources to sinks. Internal to topo. */
#ifndef FS_MAX_FLOW_H
#define FS_MAX_FLOW_H

#include "topo/flow_net.h"

/* residual (n_arcs): capacities in B/s on entry, 0 = the arc does not exist; what is left of them afterwards. Sources and
 * sinks pass nothing on: whatever could pass a source could as well start there, and the same for sinks, so the value
 * does not depend on whether GPUs forward. */
FS_MUST_CHECK fs_status fs_max_flow(const fs_flow_net *net, double *residual, double *flow, fs_err *err);

#endif
