/* space.h - what a search for operating points tries: layouts of pools, and requests under way at a time.
 *
 * A layout is tp x dp x pp GPUs of a replica: powers of two of each, as far as the model splits so and the GPUs last. dp > 1
 * is data-parallel attention with experts dealt out over all tp x dp GPUs; without experts it would be replicas side by
 * side, which serve as one does. Disaggregated: one decode replica in each layout, beside 1, 2, 4, ... replicas of the
 * trace's prefill pool. Requests under way: from one for each dp rank up to what the KV cache holds, in equal ratios. */
#ifndef FS_PARETO_SPACE_H
#define FS_PARETO_SPACE_H

#include "topo/topo.h"
#include "work/inference.h"
#include "work/work.h"

typedef struct fs_candidate {
    uint32_t tp, dp, pp, ep;   /* of a replica that decodes */
    uint32_t prefill_replicas; /* 0: it computes prompts, too */
    uint32_t gpus;             /* of all */
    uint32_t concurrency;
} fs_candidate;

typedef struct fs_space {
    fs_candidate *all; /* (n) layout after layout, in each from few requests to many */
    uint32_t n;
    uint32_t layouts,
        layouts_tried;      /* that the model splits into; thinned out evenly to keep to the number of points */
    uint32_t layouts_unfit; /* of those tried: mostly, weights and a request do not fit into the memory */
    char reason[256];       /* of the first of these */
} fs_space;

typedef struct fs_space_limits {
    uint32_t points;      /* at most */
    uint32_t gpus;        /* of a candidate, at most */
    uint32_t concurrency; /* at most */
} fs_space_limits;

/* Candidates of an inference trace on a topology. FS_E_TRACE where the trace is of no kind that can be searched, or
 * nothing fits. fs_space_free frees. */
FS_MUST_CHECK fs_status fs_space_make(const fs_topo *topo, const fs_work *work, const fs_space_limits *limits,
                                      fs_space *space, fs_err *err);
void fs_space_free(fs_space *space);

/* The pools of a candidate: pools[2], of which *n are used. */
void fs_candidate_pools(const fs_inference *in, const fs_candidate *candidate, fs_pool *pools, uint32_t *n);
/* "TP 4 x DP 8, EP 32 + 2 x prefill", into the buffer, which is returned. */
const char *fs_candidate_text(const fs_candidate *candidate, char *text, size_t size);

#endif
