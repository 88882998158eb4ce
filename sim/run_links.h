/* run_links.h - links and tiers of a result: what the engine has counted, for people. Private to run*.c and serve_*.c. */
#ifndef FS_RUN_LINKS_H
#define FS_RUN_LINKS_H

#include "metric/metric.h"
#include "report/result.h"

/* Resources [0, n) of the engine are links, each of which stands for a class. */
typedef struct fs_run_links {
    const fs_topo *topo; /* that was simulated: r->topo, or a bundle of it */
    uint32_t n;
    const uint32_t *link_of;          /* (n) link of the topology; NULL: the same number */
    const uint32_t *link_count;       /* (n) links in the class; NULL: 1 */
    const double *capacity;           /* (n) B/s */
    const uint32_t *tier_of;          /* (n) */
    const uint32_t *tier_links;       /* (n_tiers) */
    const double *tier_Bps;           /* (n_tiers) capacity of all links */
    const uint32_t *resource_of_link; /* (topo->n_links) the way back from link_of; NULL: the same number */
    const fs_metric *metric;          /* has the peaks of tiers and their loads over time */
    uint32_t n_drawn;                 /* links of the whole topology, the first ones: what is drawn; 0: all of it */
    uint32_t stands_for;              /* how many copies what is drawn stands for, itself among them */
} fs_run_links;

/* Fills links and tiers of a result that has its topology, arena and step_time_s. */
FS_MUST_CHECK fs_status fs_run_fill_links(const fs_run_links *links, const fs_engine *engine, fs_result *r,
                                          fs_err *err);

/* Fills the load of tiers over time of a result that has its tiers, and the outline of what is drawn, whose links have resources. */
FS_MUST_CHECK fs_status fs_run_fill_pictures(const fs_run_links *links, const fs_engine *engine, fs_result *r,
                                             fs_err *err);

#endif
