/* max_flow.h - maximum flow between two sets of devices. Internal to topo. */
#ifndef FS_MAX_FLOW_H
#define FS_MAX_FLOW_H

#include "topo/topo.h"

/* residual (n_links): capacities in B/s on entry, 0 = the link does not exist; what is left of them afterwards.
 * role (n_devices): 1 = source, 2 = sink, 0 = passes on. Sources and sinks pass nothing on: whatever could pass a
 * source could as well start there, and the same for sinks, so the value does not depend on whether GPUs forward. */
FS_MUST_CHECK fs_status fs_max_flow(const fs_topo *topo, double *residual, const unsigned char *role, double *flow,
                                    fs_err *err);

#endif
