/* direct.h - what algorithms of single pairs have in common: one transfer for all pairs of a class of route. */
#ifndef FS_DIRECT_H
#define FS_DIRECT_H

#include "coll/algorithms.h"

/* Transfers by class of route. */
typedef struct fs_direct_classes {
    bool used[FS_LINK_CLASSES];
    double latency_s[FS_LINK_CLASSES];
} fs_direct_classes;

/* Add what one position of the group sends another, as point-to-point traffic goes: `share` of the size, `times` over. It
 * arrives after_s later than its way says. Nothing where times is 0 or a position would send to itself. */
FS_MUST_CHECK fs_status fs_direct_pair(const fs_algo_run *run, uint32_t src, uint32_t dst, double share, double times,
                                       double after_s, fs_direct_classes *c, fs_err *err);
/* All pairs have been added, `share` each. */
FS_MUST_CHECK fs_status fs_direct_end(const fs_algo_run *run, double share, const fs_direct_classes *c, fs_err *err);

#endif
