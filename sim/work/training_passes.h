/* training_passes.h - the program of a stage while it is being written, and its passes. Private to training_step.c and
 * training_passes.c. */
#ifndef FS_TRAINING_PASSES_H
#define FS_TRAINING_PASSES_H

#include "work/training_schedule.h"
#include "work/training_task.h"

typedef struct fs_step {
    fs_work_builder *b;
    const fs_training *t;
    fs_err *err;
    fs_status status; /* of what failed first; nothing is tried after it */
    fs_wiring wiring;
    uint32_t stage, program, load;
    double share;
    fs_task *tasks;         /* (FS_PASSES x vpp x 2) made when first needed */
    uint32_t *gathered;     /* ops that gather the weights of buckets */
    uint32_t *gather_begin; /* (vpp + 1) of the stage's chunks */
    uint32_t last;          /* kernel, FS_NONE */
    uint32_t sent;          /* the last message, where kernels wait for it, FS_NONE */
    uint32_t reduced[2];    /* the last reductions of gradients over dp and edp, FS_NONE */
    uint32_t *at[2];        /* (ops of the longest task) of passes that are being written */
    uint32_t name_act, name_grad, name_gather, name_host;
} fs_step;

/* These return the op's index in the program. */
uint32_t fs_step_append(fs_step *s, const fs_op *op, const uint32_t *deps, uint32_t n_deps);
/* A message to or from the stage `peer` further, behind the op `after`, unless that is FS_NONE. */
uint32_t fs_step_message(fs_step *s, fs_op_kind kind, int32_t peer, uint32_t tag, uint16_t on, double bytes,
                         uint32_t name, uint32_t after);
/* Time in which no kernel runs: behind the last one, or of the CPU alone. */
uint32_t fs_step_delay(fs_step *s, uint16_t on, double seconds, const uint32_t *deps, uint32_t n_deps);

fs_task *fs_step_task(fs_step *s, const fs_slot *slot); /* what a pass does; of no ops where that failed */
/* All passes of a schedule; `last`, `sent` and `reduced` say what was there before them, and then what they end with. */
void fs_step_passes(fs_step *s, const fs_slots *slots);

#endif
