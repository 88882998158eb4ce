/* point.h - one operating point: a closed loop in its steady state.
 *
 * C requests are under way at any time; the first C have answers cut at random places, so that they do not end together.
 * Counted is what happens from the time that 2 C requests have ended until the last one comes: before, the loop fills;
 * behind, it drains. Tokens of an answer count evenly between its first and its last. The rates of the two halves of that
 * time must agree within 5 %; where they do not, the run is repeated with twice the requests, at most four times - unless it
 * is plain that tokens come too late: their times settle long before rates do. Of 86 runs that were repeated (gpt-oss 120b,
 * Llama 405B, Mixtral on nodes of H100) the 90th percentile differed from the last run's by -4 to +5 %, whatever the halves
 * did; a quarter over the limit is five times that. */
#ifndef FS_PARETO_POINT_H
#define FS_PARETO_POINT_H

#include "pareto/space.h"
#include "run.h"

#define FS_EVEN 0.05 /* how much the rates of the two halves of a steady state may differ, relative */

typedef enum fs_operating_state {
    FS_OPERATING_GOOD,   /* converged, and keeps the limits */
    FS_OPERATING_TTFT,   /* converged; first tokens come too late */
    FS_OPERATING_TPOT,   /* ... tokens do */
    FS_OPERATING_BEYOND, /* not simulated: the same layouts are far over the limit of tokens under less load (search.h) */
    FS_OPERATING_OPEN,   /* did not converge */
    FS_OPERATING_REJECTED, /* requests do not fit into the KV cache */
    FS_OPERATING_FAILED,   /* the simulation did, or its worker */
    FS_OPERATING_STATES
} fs_operating_state;
extern const char *const fs_operating_states[FS_OPERATING_STATES]; /* for people and files */

typedef struct fs_operating_point {
    fs_candidate candidate;
    fs_operating_state state;
    double tokens_per_s;              /* output, of the candidate */
    double per_gpu, per_user, per_MW; /* tokens/s: per user 1 / mean TPOT; per MW of the facility while it runs */
    double per_rated_MW;              /* of the facility with GPUs at rated power: what must be provided for */
    double rated_W;                   /* that power, of the candidate */
    double ttft_s, tpot_s;            /* 90th percentiles */
    double unevenness;                /* of the halves: |a - b| / (a + b) x 2 */
    uint32_t requests;                /* of the last run */
} fs_operating_point;

typedef struct fs_operating_limits {
    double ttft_s, tpot_s; /* of 90 % of the requests; 0: none */
    bool exhaustive;       /* simulate also what shows early to be over the limit of tokens: for comparison */
} fs_operating_limits;

/* Simulate; fills all of *point but its candidate. Errors of the simulation are errors here. */
FS_MUST_CHECK fs_status fs_operating_simulate(const fs_topo *topo, const fs_work *work, const fs_run_options *options,
                                              const fs_operating_limits *limits, fs_operating_point *point,
                                              fs_err *err);

/* How fast replicas of prefill->layout compute prompts, alone: fills the rest of it. prompts_per_s 0: no steady state. */
FS_MUST_CHECK fs_status fs_prefill_simulate(const fs_topo *topo, const fs_work *work, const fs_run_options *options,
                                            fs_prefill *prefill, fs_err *err);

/* From the requests of a run: rates and latencies in its steady state. false where there is none. */
struct fs_serving_result;
bool fs_operating_measure(const struct fs_serving_result *serving, uint32_t concurrency, fs_operating_point *point);

#endif
