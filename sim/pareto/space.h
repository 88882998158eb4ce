/* space.h - what a search for operating points tries: layouts of pools, and requests under way at a time.
 *
 * A layout is tp x dp x pp GPUs of a replica: powers of two of each, as far as the model splits so and the GPUs last. dp > 1
 * is data-parallel attention with experts dealt out over all tp x dp GPUs; without experts it would be replicas side by
 * side, which serve as one does. Requests under way: from one for each dp rank up to what the KV cache holds, in equal
 * ratios.
 *
 * Disaggregated, a decode replica in each layout is combined with each layout of prefill replicas that is worth it
 * (fs_prefill_frontier), as many of these as keep up with what the decode replica takes under that load. Rates are matched
 * so, instead of all numbers tried, by NVIDIA's aiconfigurator and by DistServe (Zhong et al., OSDI 2024, section 4), too. */
#ifndef FS_PARETO_SPACE_H
#define FS_PARETO_SPACE_H

#include "base/mem.h"
#include "topo/topo.h"
#include "work/inference.h"
#include "work/work.h"

typedef struct fs_layout {
    uint32_t tp, dp, pp, ep;
} fs_layout;

typedef struct fs_candidate {
    fs_layout main;            /* of the replica that decodes; it computes prompts, too, if there are no others */
    fs_layout prefill;         /* of each of the others */
    uint32_t prefill_replicas; /* 0: none */
    uint32_t gpus;             /* of all */
    uint32_t concurrency;
    uint32_t combination; /* which of the combinations of layouts that are tried, from 0 on */
} fs_candidate;

/* A layout of replicas that compute prompts, measured alone. */
typedef struct fs_prefill {
    fs_layout layout;
    double prompts_per_s, ttft_s; /* of a replica with more than it can do; of a prompt with nobody else there */
} fs_prefill;

typedef struct fs_layouts {
    FS_VEC(fs_layout) fit;
    uint32_t unfit;   /* the model splits so, but mostly, weights and a request do not fit into the memory */
    char reason[256]; /* of the first of these */
} fs_layouts;

typedef struct fs_space {
    fs_candidate *all; /* (n) combination after combination, in each from few requests to many */
    uint32_t n;
    uint32_t layouts, layouts_unfit; /* as in fs_layouts, of the replica that decodes; layouts: both kinds */
    uint32_t combinations,
        combinations_tried; /* of such a layout with one for prompts; thinned out evenly to keep to the
                                                  number of points */
    char reason[256];
} fs_space;

typedef struct fs_space_limits {
    uint32_t points;      /* at most */
    uint32_t gpus;        /* of a candidate, at most */
    uint32_t concurrency; /* at most */
} fs_space_limits;

/* FS_E_TRACE where the trace is of no kind that can be searched. */
FS_MUST_CHECK fs_status fs_space_check(const fs_work *work, fs_err *err);
/* A pool of such a role in the trace; NULL: none. */
const fs_pool *fs_space_pool(const fs_inference *in, fs_role role);

/* Layouts of a pool of the trace on at most so many GPUs. fs_free frees fit.data. */
FS_MUST_CHECK fs_status fs_space_layouts(const fs_topo *topo, const fs_work *work, const fs_pool *pool, uint32_t gpus,
                                         fs_layouts *layouts, fs_err *err);

/* Candidates of an inference trace on a topology; prefills[n_prefills] of a disaggregated one. FS_E_TRACE where nothing
 * fits. fs_space_free frees. */
FS_MUST_CHECK fs_status fs_space_make(const fs_topo *topo, const fs_work *work, const fs_space_limits *limits,
                                      const fs_prefill *prefills, uint32_t n_prefills, fs_space *space, fs_err *err);
void fs_space_free(fs_space *space);

static inline uint32_t fs_layout_gpus(const fs_layout *layout)
{
    return layout->tp * layout->dp * layout->pp;
}

/* The pool in that layout: one replica from the first GPU on. */
fs_pool fs_layout_pool(const fs_pool *pool, const fs_layout *layout);
/* The pools of a candidate: pools[2], of which *n are used. */
void fs_candidate_pools(const fs_inference *in, const fs_candidate *candidate, fs_pool *pools, uint32_t *n);

/* The same layouts, and as many prefill replicas? */
bool fs_candidate_alike(const fs_candidate *a, const fs_candidate *b);

enum { FS_CANDIDATE_TEXT = 128 };
/* "TP 4 x DP 8, EP 32 + 2 x prefill TP 8", into the buffer, which is returned. */
const char *fs_candidate_text(const fs_candidate *candidate, char *text, size_t size);

#endif
