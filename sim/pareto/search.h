/* search.h - all candidates of a space, by worker processes.
 *
 * Low loads go first, of all combinations of layouts. Under more load tokens do not come sooner, so where one point of a
 * combination is over the limit of tokens by more than rates may differ in a steady state (5 %), those under more load are
 * not simulated: none of them can be good, and they are the dearest. Which these are depends on the points under less load
 * alone, never on how many workers there are: what was under way when it showed is dropped. */
#ifndef FS_PARETO_SEARCH_H
#define FS_PARETO_SEARCH_H

#include "pareto/frontier.h"

typedef struct fs_search_def {
    const fs_topo *topo;
    const fs_work *work;
    const fs_run_options *options;
    fs_space_limits space;
    fs_operating_limits limits;
    uint32_t workers; /* 0: one for each core */
    FILE *progress;   /* NULL: silence */
} fs_search_def;

typedef struct fs_search {
    fs_space space;
    fs_operating_point *points;                       /* (space.n) */
    uint32_t prefills, prefills_unfit, prefills_kept; /* layouts for prompts, as of the space; worth combining */
    uint32_t of_state[FS_OPERATING_STATES];
    char failure[256]; /* of the first point that failed; else "" */
    double wall_s;
} fs_search;

/* Fills the space and the number of workers from options, and the limits from the trace's. gpus 0: those of the
 * largest board with all that is placed in it, or 32, as far as there are any. FS_E_USAGE for numbers of nothing, or more
 * GPUs than there are. */
FS_MUST_CHECK fs_status fs_search_limit(fs_search_def *def, uint64_t points, uint64_t gpus, uint64_t concurrency,
                                        uint64_t workers, fs_err *err);
/* A point that fails is counted and does not stop the others. *signal as in workers.h. */
FS_MUST_CHECK fs_status fs_search_run(const fs_search_def *def, fs_search *search, int *signal, fs_err *err);
void fs_search_free(fs_search *search);

#endif
