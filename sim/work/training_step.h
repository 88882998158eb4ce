/* training_step.h - one step of training as programs of kernels and communication. Private to sim/work. */
#ifndef FS_TRAINING_STEP_H
#define FS_TRAINING_STEP_H

#include "work/training.h"

/* Into a builder that has its ranks: families, programs and who runs them. */
FS_MUST_CHECK fs_status fs_training_emit(fs_work_builder *b, const fs_training *t, fs_err *err);

#endif
