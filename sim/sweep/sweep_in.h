/* sweep_in.h - what the readers of a sweep file share. Private to sim/sweep. */
#ifndef FS_SWEEP_IN_H
#define FS_SWEEP_IN_H

#include "sweep/sweep.h"

/* A number, text or truth value at `value`; anything else is an error there. */
FS_MUST_CHECK fs_status fs_sweep_scalar(const fs_sweep *s, const fs_json *value, fs_value *out, fs_err *err);
/* The key of a member, checked as the name of a setting. */
FS_MUST_CHECK fs_status fs_sweep_name(const fs_sweep *s, const fs_json *member, const char **name, fs_err *err);

/* An axis with room for its names and values. */
FS_MUST_CHECK fs_status fs_sweep_axis(fs_sweep *s, const fs_json *at, uint32_t n_names, uint32_t n_values,
                                      fs_axis **axis, fs_err *err);

/* "random" and "latin_hypercube": an axis of samples each. */
FS_MUST_CHECK fs_status fs_sweep_read_samples(fs_sweep *s, const char *key, bool latin, fs_err *err);

/* All combinations through the conditions; at the end of loading. */
FS_MUST_CHECK fs_status fs_sweep_enumerate(fs_sweep *s, fs_err *err);

#endif
