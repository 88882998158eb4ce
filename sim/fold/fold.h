/* fold.h - what is simulated: classes of ranks and links that must behave alike, and their plans.
 *
 * Input: work (who does what), topology and lowering (what it costs). Output: a job, in terms of actors (classes of
 * ranks), meetings (classes of groups) and resources (classes of links, and an SM pool per actor). The scheduler and
 * the engine see only the job. Constant once built.
 *
 * With FS_FOLD_OFF every class has one member. With FS_FOLD_AUTO classes come from colour refinement (refine.h) over
 * ranks, groups, patterns and links (fold_colour.c), and the quotient behaves exactly as the whole:
 *  - Ranks of a class run one program on equal GPUs, are in groups of equal classes, and send to and receive from
 *    ranks of equal classes that see them alike. So each finds what it depends on done at the same time.
 *  - Groups of a class have members of the same classes and plans alike: equal moves, over patterns of equal classes.
 *  - Each pattern of a class T crosses the links of a class L with the same sum of coefficients A(T, L), and each link
 *    of L is loaded by T with the same sum, which must then be |T| A(T, L) / |L|.
 * Fill progressively: while all unfrozen transfers rise together, links of a class carry the same load, so they saturate
 * together, and the transfers of a class freeze together: max-min fair rates are constant on classes. By induction over
 * events and dependencies everything alike stays alike. (M. Grohe, K. Kersting, M. Mladenov, E. Selman, "Dimension
 * Reduction via Colour Refinement", ESA 2014, prove the same of linear programs.)
 * In the quotient a resource is ONE link of its class; the move of a class of n groups (or senders) is one transfer
 * that loads it with n times its sum of coefficients there, divided by the links of the class. Moves of one plan that
 * are alike in everything become one as well. */
#ifndef FS_FOLD_H
#define FS_FOLD_H

#include "coll/coll.h"
#include "work/work.h"

typedef enum fs_fold_mode { FS_FOLD_AUTO, FS_FOLD_OFF, FS_FOLDS } fs_fold_mode;

/* Where the ops of one form (fs_job.op_form) on one actor lead. A rank's forms that mean the same peer share a slot, so
 * (slot of the sender, tag) is one channel of messages in order. */
typedef struct fs_end {
    uint32_t slot;      /* of the actor: the lowest form with this peer */
    uint32_t peer;      /* actor */
    uint32_t peer_slot; /* the peer's slot for this actor; FS_NONE if it never names it */
} fs_end;

typedef struct fs_job {
    const fs_work *work;
    const fs_topo *topo;

    uint32_t n_actors;
    const uint32_t *actor_rank;      /* (n_actors) the first rank of the class */
    const uint32_t *actor_of_rank;   /* (n_ranks) */
    const uint32_t *actor_program;   /* (n_actors) */
    const uint32_t *actor_index;     /* (n_actors) its place among the actors that run the same program */
    const uint32_t *actor_count;     /* (n_actors) ranks in the class */
    const double *const *duration_s; /* (n_actors) -> (n_ops): seconds each compute / delay op takes alone */

    const uint32_t *const *op_form;  /* (n_programs) -> (n_ops) number of the distinct (family, peer); FS_NONE */
    const fs_end *const *actor_ends; /* (n_actors) -> (forms of its program) */
    const uint32_t *actor_numbering; /* (n_actors) equal where the program and the slots of all forms are */
    uint32_t n_numberings;

    /* Families that no collective names have no meetings, nor have groups that never issue one. */
    uint32_t n_meetings;
    const uint32_t *family_meetings; /* (n_families + 1) first meeting of each family */
    const uint32_t *meeting_begin;   /* (n_meetings + 1) */
    const uint32_t *meeting_actors;  /* distinct, in the order of the group */
    const uint32_t *meeting_group;   /* (n_meetings) the first group of the class */
    const uint32_t *meeting_count;   /* (n_meetings) groups in the class */
    const uint32_t *meeting_of;      /* (n_families x n_actors), FS_NONE where the actor is in none of it */

    /* A signature is a distinct (family, collective, size, algorithm, protocol, root), or a distinct (program, family,
     * peer, size) of a send: the sender and the signature then tell the receiver. A recv has none: it takes the send's.
     */
    const uint32_t *const *op_signature; /* (n_programs) -> (n_ops); FS_NONE for compute, delay and recv */
    uint32_t n_signatures;
    const uint32_t *plan_begin; /* (n_signatures + 1) */
    /* collectives: plans[plan_begin[signature] + meeting - family_meetings[family]], NULL where it is never issued;
     * sends: plans[plan_begin[signature] + actor_index[sender]] */
    const fs_plan *const *plans;
    const uint32_t *plan_owners; /* like plans: groups or senders that each stands for */

    const fs_pattern_table *patterns; /* of plans and SM pools */
    uint32_t n_links;                 /* resources [0, n_links) */
    uint32_t n_resources;             /* and one SM pool per actor: resource n_links + actor */
    uint32_t n_epochs;                /* >= 1: of the topology; plans may have patterns of their own in each */
    const double *epoch_start_s;      /* (n_epochs) the first 0 */
    bool reroutes;                    /* some plan has other patterns in some epoch */
    const double *capacity;           /* (n_resources) of one link, and 1: without faults */
    const double *capacity_at;        /* (n_epochs x n_resources) what is left of it in each; 0 = down */
    const uint32_t *sm_pattern;       /* (n_actors) pattern {(n_links + actor, 1)} */
    const uint32_t *link_of;          /* (n_links) the first topology link of the class */
    const uint32_t *link_count;       /* (n_links) links in the class; all of one tier */
    const uint32_t *resource_of_link; /* (topo->n_links) */

    uint64_t n_transfers;        /* of all plans before folding */
    uint64_t n_transfer_classes; /* after */
    bool folded;                 /* some class has several members */
    struct fs_arena
        *arena; /* owns everything above but work, topo, and plans and patterns of a job that is not folded */
    fs_pattern_table *own_patterns; /* NULL: those of the lowering */
} fs_job;

/* FS_E_TRACE where the trace does not fit the topology: more ranks than GPUs, a kernel in a number format that its GPU
 * lacks, a collective that its algorithm cannot do here; at the op's place where one is to blame. Lowering and patterns
 * must outlive the job. */
FS_MUST_CHECK fs_status fs_fold(const fs_work *work, const fs_topo *topo, fs_lowering *lowering,
                                fs_pattern_table *patterns, fs_cost cost, fs_fold_mode mode, fs_job **job, fs_err *err);
void fs_job_free(fs_job *job);

/* Where a send or recv of an actor leads. */
static inline const fs_end *fs_job_end(const fs_job *job, uint32_t actor, uint32_t op)
{
    return &job->actor_ends[actor][job->op_form[job->actor_program[actor]][op]];
}

extern const char *const fs_fold_names[FS_FOLDS]; /* "auto", "off" */

#endif
