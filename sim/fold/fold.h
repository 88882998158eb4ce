/* fold.h - what is simulated: classes of ranks and links that must behave alike, and their plans.
 *
 * Input: work (who does what), topology and lowering (what it costs). Output: a job, in terms of actors
 * (classes of ranks), meetings (classes of groups) and resources (classes of links, and an SM pool per actor). The
 * scheduler and the engine see only the job. Today the partition is the identity: one actor per rank, one resource per
 * link, and every multiplicity is 1; the quotient by colour refinement replaces fs_fold's body and nothing after it.
 * Constant once built. */
#ifndef FS_FOLD_H
#define FS_FOLD_H

#include "coll/coll.h"
#include "work/work.h"

typedef struct fs_job {
    const fs_work *work;
    const fs_topo *topo;

    uint32_t n_actors;
    const uint32_t *actor_rank;      /* (n_actors) a rank that stands for the class */
    const uint32_t *actor_of_rank;   /* (n_ranks) */
    const uint32_t *actor_program;   /* (n_actors) */
    const uint32_t *actor_index;     /* (n_actors) its place among the actors that run the same program */
    const uint32_t *actor_count;     /* (n_actors) ranks in the class */
    const double *const *duration_s; /* (n_actors) -> (n_ops): seconds each compute / delay op takes alone */

    uint32_t n_meetings;
    const uint32_t *meeting_begin; /* (n_meetings + 1) */
    const uint32_t *meeting_actors;
    const uint32_t *meeting_group; /* (n_meetings) the group of the family that stands for the class */
    const uint32_t *meeting_of;    /* (n_families x n_actors), FS_NONE where the actor is in no group of it */

    /* A signature is a distinct (family, collective, size, algorithm, protocol, root), or a distinct (program, family,
     * peer, size) of a send: the sender and the signature then tell the receiver. A recv has none: it takes the send's.
     */
    const uint32_t *const *op_signature; /* (n_programs) -> (n_ops); FS_NONE for compute, delay and recv */
    uint32_t n_signatures;
    const uint32_t *plan_begin; /* (n_signatures + 1) */
    /* collectives: plans[plan_begin[signature] + group of the family], NULL for a group that never issues it;
     * sends: plans[plan_begin[signature] + actor_index[sender]] */
    const fs_plan *const *plans;

    uint32_t n_links;           /* resources [0, n_links) */
    uint32_t n_resources;       /* and one SM pool per actor: resource n_links + actor */
    const double *capacity;     /* (n_resources) */
    const uint32_t *sm_pattern; /* (n_actors) pattern {(n_links + actor, 1)} */
    const uint32_t *link_of;    /* (n_links) a topology link that stands for the resource */
    const uint32_t *link_count; /* (n_links) links in the class */
    struct fs_arena *arena;     /* owns everything above but work, topo and plans */
} fs_job;

/* FS_E_TRACE where the trace does not fit the topology: more ranks than GPUs, a kernel in a number format that its GPU
 * lacks, a collective that its algorithm cannot do here; at the op's place where one is to blame. */
FS_MUST_CHECK fs_status fs_fold(const fs_work *work, const fs_topo *topo, fs_lowering *lowering,
                                fs_pattern_table *patterns, fs_cost cost, fs_job **job, fs_err *err);
void fs_job_free(fs_job *job);

/* The actor that an op of `actor` sends to or receives from. */
uint32_t fs_job_peer(const fs_job *job, uint32_t actor, const fs_op *op);

#endif
