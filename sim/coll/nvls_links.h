/* nvls_links.h - the NVLinks between the GPUs of a domain and the switches that reduce and multicast for them. */
#ifndef FS_NVLS_LINKS_H
#define FS_NVLS_LINKS_H

#include "coll/algorithms.h"

/* An address lives in one switch, the same for all GPUs, so the fraction of the bytes that goes to a switch is the same
 * for all: in proportion to the narrowest GPU's lanes to it. Within a GPU's lanes to one switch they spread evenly. */
typedef struct fs_nvls {
    uint32_t n_switches;
    uint32_t *switches; /* (n_switches) device ids */
    double *fraction;   /* (n_switches) of the bytes; sums to 1 */
    FS_VEC(fs_share) up, down;
    FS_VEC(uint32_t) begin; /* (n + 1) shares of each member in up and down */
    double latency_s;       /* up and down */
} fs_nvls;

/* For n members of the group, by position; all zero bits is an empty one, and an old one is used again. FS_E_TRACE where
 * they do not all hang on one set of multicast switches, FS_E_TOPOLOGY where faults have cut one off. */
FS_MUST_CHECK fs_status fs_nvls_find(const fs_algo_run *run, const uint32_t *members, uint32_t n, fs_nvls *v,
                                     fs_err *err);
void fs_nvls_free(fs_nvls *v);

/* Member i's links, `times` over, into the transfer that is being put together. */
FS_MUST_CHECK fs_status fs_nvls_up(const fs_algo_run *run, const fs_nvls *v, uint32_t i, double times, fs_err *err);
FS_MUST_CHECK fs_status fs_nvls_down(const fs_algo_run *run, const fs_nvls *v, uint32_t i, double times, fs_err *err);

#endif
