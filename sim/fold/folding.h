/* folding.h - a job being folded. Private to fold/. */
#ifndef FS_FOLDING_H
#define FS_FOLDING_H

#include "fold/fold.h"

typedef struct fs_folding {
    fs_job *job; /* what is there already */
    const fs_work *work;
    const fs_topo *topo;
    fs_lowering *lowering;
    struct fs_arena *arena; /* the job's */
    fs_cost cost;
    uint32_t *program_actors; /* (n_programs) actors of each */
} fs_folding;

static inline uint32_t fs_fold_device(const fs_folding *f, uint32_t rank)
{
    return f->topo->gpus[f->work->gpu_of[rank]];
}

/* Signatures of ops, and their plans. The job's actors must be there. */
FS_MUST_CHECK fs_status fs_fold_plans(const fs_folding *folding, fs_err *err);

#endif
