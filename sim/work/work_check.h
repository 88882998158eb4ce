/* work_check.h - what must hold for a frozen work, whoever built it. Only work_build.c calls these. */
#ifndef FS_WORK_CHECK_H
#define FS_WORK_CHECK_H

#include "work/work.h"

/* No GPU twice; dependencies in range and free of cycles, the streams' order included. O(ranks + ops + deps). */
FS_MUST_CHECK fs_status fs_work_check_order(const fs_work *work, fs_err *err);

/* Ranks agree on their collectives, sends meet receives (work_match.c). O(ops + ranks x (families + channels)). */
FS_MUST_CHECK fs_status fs_work_check_match(const fs_work *work, fs_err *err);

/* FS_E_TRACE at the place of an op. */
FS_PRINTF(4, 5) fs_status fs_work_fail(const fs_work *work, const fs_op *op, fs_err *err, const char *format, ...);

#endif
