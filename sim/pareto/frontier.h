/* frontier.h - which points no other one beats. */
#ifndef FS_PARETO_FRONTIER_H
#define FS_PARETO_FRONTIER_H

#include "pareto/point.h"

/* What throughput is counted by. */
typedef enum fs_frontier_by { FS_BY_GPU, FS_BY_MW, FS_FRONTIER_BYS } fs_frontier_by;
extern const char *const fs_frontier_by_names[FS_FRONTIER_BYS];

double fs_operating_throughput(const fs_operating_point *point, fs_frontier_by by);

/* Of the good points those that none other dominates: none has as much throughput and as many tokens/s per user, and more
 * of one. Of points that are equal in both the first. Indices into points[] go to frontier[] (n), ascending in tokens/s
 * per user and hence descending in throughput. Returns how many, or UINT32_MAX without memory. Cost: O(n log n). */
uint32_t fs_frontier(const fs_operating_point *points, uint32_t n, fs_frontier_by by, uint32_t *frontier);

/* Of layouts for prompts those worth combining with others, to the front of prefills[n]; returns how many. One is left out
 * where another on no more GPUs computes as many prompts for each GPU and has a prompt as soon: k of that one do as well in
 * its place. Soon is within 5 %, or within half of the limit of first tokens, which leaves the other half to queues; without
 * a limit (0) all are soon, since the frontier asks how fast tokens come after the first. Descending in prompts/s for each
 * GPU. Cost: O(n^2), and n is at most some hundred. */
uint32_t fs_prefill_frontier(fs_prefill *prefills, uint32_t n, double ttft_limit_s);

#endif
