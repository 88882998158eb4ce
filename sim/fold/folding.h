/* folding.h - a job being folded. Private to fold/.
 *
 * The stages, each in a file of its own: fold_times.c (seconds of kernels), fold_slots.c (who sends to whom),
 * fold_plans.c (signatures, and a plan for every group and sender), fold_colour.c (what is alike), fold_job.c (classes
 * become the job), fold_rows.c (their plans). fold.c calls them. */
#ifndef FS_FOLDING_H
#define FS_FOLDING_H

#include "base/mem.h"
#include "fold/fold.h"

/* A group that issues a collective. */
typedef struct fs_met {
    uint32_t family, group;
} fs_met;

typedef struct fs_signature {
    uint32_t program; /* of a send, else FS_NONE */
    uint32_t family;
    const fs_op *op; /* the first one of its kind: for the request, and to blame */
} fs_signature;

/* A partition of the elements: class numbers follow first members. */
typedef struct fs_classes {
    uint32_t n_ranks, n_mets, n_links, n_patterns; /* classes of each kind */
    uint32_t *rank;                                /* (ranks of the work) */
    uint32_t *met;                                 /* (mets) */
    uint32_t *link;                                /* (links of the topology) */
    uint32_t *pattern; /* (patterns of the table) FS_NONE where no plan uses it; NULL: not folded */
} fs_classes;

typedef struct fs_folding {
    fs_job *job; /* what is there already */
    const fs_work *work;
    const fs_topo *topo;
    fs_lowering *lowering;
    fs_pattern_table *patterns;
    struct fs_arena *arena; /* the job's */
    struct fs_arena *own;   /* for what follows; gone when the job is made */
    fs_cost cost;
    uint32_t *program_ranks;    /* (n_programs) ranks that run each */
    uint32_t *index_in_program; /* (n_ranks) place of each rank among those */

    uint32_t *timing_of;    /* (n_ranks) */
    const double **timings; /* -> (n_ops) of the program; in the job's arena */
    uint32_t n_timings;

    uint32_t *form_count; /* (n_programs) */
    uint64_t *form_begin; /* (n_ranks + 1) where the forms of each rank begin in: */
    fs_end *ends;         /* peers are ranks here */
    uint32_t *numbering;  /* (n_ranks) */

    uint32_t n_mets;
    fs_met *mets;               /* (n_mets) by family, then group */
    uint32_t *met_begin;        /* (n_families + 1) where each family's groups begin in met_of */
    uint32_t *met_of;           /* by group, FS_NONE: it never issues a collective */
    fs_signature *signatures;   /* (job->n_signatures) */
    uint32_t *raw_begin;        /* (n_signatures + 1) */
    const fs_plan **raw;        /* collectives: raw_begin[signature] + group; sends: + index_in_program[sender] */
    uint32_t *of_family;        /* collectives of each family: signatures, ascending */
    uint32_t *of_family_begin;  /* (n_families + 1) */
    uint32_t *of_program;       /* sends of each program: signatures, ascending */
    uint32_t *of_program_begin; /* (n_programs + 1) */

    fs_classes classes;
} fs_folding;

static inline uint32_t fs_fold_device(const fs_folding *f, uint32_t rank)
{
    return f->topo->gpus[f->work->gpu_of[rank]];
}

/* The plans of a group's collectives, or of a rank's sends: signatures list[begin ..< end], raw plans at
 * raw_begin[signature] + place. */
typedef struct fs_owner {
    const uint32_t *signatures;
    uint32_t n, place;
} fs_owner;

static inline fs_owner fs_fold_met(const fs_folding *f, uint32_t met)
{
    uint32_t family = f->mets[met].family, begin = f->of_family_begin[family];
    return (fs_owner){f->of_family + begin, f->of_family_begin[family + 1] - begin, f->mets[met].group};
}

static inline fs_owner fs_fold_sender(const fs_folding *f, uint32_t rank)
{
    uint32_t program = f->work->program_of[rank], begin = f->of_program_begin[program];
    return (fs_owner){f->of_program + begin, f->of_program_begin[program + 1] - begin, f->index_in_program[rank]};
}

/* Whether it matters which move is which: there is an order among them, or they change their ways. */
static inline bool fs_fold_is_ordered(const fs_plan *plan)
{
    return plan->patterns_at || (plan->n_moves > 0 && plan->succ_begin[plan->n_moves] > 0);
}

/* The patterns that the moves of a plan have of their own in an epoch, or NULL. */
static inline const uint32_t *fs_fold_patterns_at(const fs_plan *plan, uint32_t epoch)
{
    return plan->patterns_at ? plan->patterns_at[epoch] : NULL;
}

FS_MUST_CHECK fs_status fs_fold_times(fs_folding *f, fs_err *err);
FS_MUST_CHECK fs_status fs_fold_slots(fs_folding *f, fs_err *err);
FS_MUST_CHECK fs_status fs_fold_plans(fs_folding *f, fs_err *err);
FS_MUST_CHECK fs_status fs_fold_colour(fs_folding *f, fs_err *err);
FS_MUST_CHECK fs_status fs_fold_alone(fs_folding *f, fs_err *err); /* the identity partition */
FS_MUST_CHECK fs_status fs_fold_job(fs_folding *f, fs_err *err);
FS_MUST_CHECK fs_status fs_fold_rows(fs_folding *f, fs_err *err);

#endif
