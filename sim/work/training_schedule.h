/* training_schedule.h - in which order a pipeline stage does its passes. Private to sim/work. */
#ifndef FS_TRAINING_SCHEDULE_H
#define FS_TRAINING_SCHEDULE_H

#include "work/training_task.h"

typedef struct fs_slot {
    fs_pass pass;
    uint32_t chunk, microbatch; /* chunk: of the stage, 0 to vpp - 1 */
    bool beside;                /* it and the next one run beside each other */
} fs_slot;

typedef FS_VEC(fs_slot) fs_slots;

/* Into an empty list; the caller frees slots->data, also where it fails. */
FS_MUST_CHECK fs_status fs_schedule_make(const fs_training *t, uint32_t stage, fs_slots *slots, fs_err *err);

#endif
