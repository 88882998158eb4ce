/* training_step.h - one step of training as a program of kernels and collectives. Private to sim/work. */
#ifndef FS_TRAINING_STEP_H
#define FS_TRAINING_STEP_H

#include "work/transformer.h"
#include "work/work_build.h"

/* Appends the step to `program`, which every rank runs. Families `tp`, `dp` exist. */
FS_MUST_CHECK fs_status fs_training_emit(fs_work_builder *b, uint32_t program, const fs_training *t, uint32_t tp,
                                         uint32_t dp, fs_err *err);

#endif
