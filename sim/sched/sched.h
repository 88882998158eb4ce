/* sched.h - dependencies: which op may start, and what happens when one ends.
 *
 * As CUDA has it: an op is issued when it is the first unfinished op of its stream and all its dependencies have ended.
 * A compute op then takes its seconds of work from its GPU's SM pool (concurrent kernels share it; sm_share of active
 * communication shrinks it). A collective starts when every member has issued it, a transfer when both sides have; from
 * issue to end it occupies its stream.
 * - Members meet by number, as on a communicator: the k-th collective of a family in a rank's program order meets the
 *   k-th of the other members; the k-th send of (source, destination, tag) meets the k-th recv. Streams may run them
 *   out of order.
 * - While communication moves, its sm_share is taken from the SM pool of each rank in it. Shares of several add up, in
 *   steps of 1e-6; what is left for kernels never falls below 5 %, so that compute always ends.
 * - At the start of each epoch of the job, links and GPUs change their speeds, and communication that has other ways in
 *   it takes them.
 * State is O(actors x streams), besides 12 B an op of each program (16 B a collective) for the order of issue; the job
 * is constant. */
#ifndef FS_SCHED_H
#define FS_SCHED_H

#include "engine/engine.h"
#include "fold/fold.h"

/* What happens to ops; any pointer may be NULL. The two sides of a transfer move, and end, one right after the other,
 * the sender first. A compute or delay op issues and ends, it does not move. */
typedef struct fs_sched_calls {
    void *context;
    void (*issue)(void *context, uint32_t actor, uint32_t op, double now_s); /* begins to occupy its stream */
    void (*move)(void *context, uint32_t actor, uint32_t op, double now_s); /* communication: all are there, it moves */
    void (*end)(void *context, uint32_t actor, uint32_t op, double now_s);
    void (*load)(void *context, uint32_t resource, double load, double now_s); /* as the engine tells it */
} fs_sched_calls;

/* Run the job on a fresh engine (made over the job's resources and pattern table). *makespan_s = end of the last op.
 * A deadlock is FS_E_SIM: the text names up to 8 stuck ranks, the op each stands at and what it waits for. */
FS_MUST_CHECK fs_status fs_sched_run(const fs_job *job, fs_engine *engine, const fs_sched_calls *calls,
                                     double *makespan_s, fs_err *err);

#endif
