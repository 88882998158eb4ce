/* survey.h - what one wants to know of a topology at a glance: counts, tiers, bisection, reachability. */
#ifndef FS_SURVEY_H
#define FS_SURVEY_H

#include "topo/topo.h"

typedef struct fs_tier_survey {
    uint32_t connections; /* pairs of opposite links */
    uint64_t lanes;       /* members of those */
    double bandwidth_Bps; /* sum over one direction */
    double bisection_Bps; /* as fs_survey.bisection_Bps, with the links of this tier as the only limit, in the network
                              * that the tier belongs to: NVLinks, or everything else */
    bool carries_gpus;    /* whether that limits at all; else bisection_Bps is 0 */
} fs_tier_survey;

typedef struct fs_survey {
    uint32_t devices_of_kind[FS_DEVICE_KINDS];
    fs_tier_survey *tiers; /* (topo->n_tiers) */
    double bisection_Bps;  /* one direction: max flow from the first half of the GPUs to the second half */
    uint32_t scale_up_domains, largest_domain; /* GPUs that reach each other over NVLink (and C2C) only */
    bool all_reach;                            /* every GPU reaches every other over some path */
    uint32_t unreached_from, unreached_to;     /* an example where not: GPU numbers */
} fs_survey;

FS_MUST_CHECK fs_status fs_survey_make(const fs_topo *topo, fs_survey *survey, fs_err *err);
void fs_survey_free(fs_survey *survey);

#endif
