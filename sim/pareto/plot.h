/* plot.h - points as characters: a terminal is enough. */
#ifndef FS_PARETO_PLOT_H
#define FS_PARETO_PLOT_H

#include "base/file.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct fs_plot_point {
    double x, y; /* positive */
    char mark;   /* of marks in one cell the one that comes last in "." to "~" stays */
} fs_plot_point;

/* Both axes logarithmic, `width` columns and `height` rows in all, at least 30 x 6. Nothing for no points. */
FS_MUST_CHECK fs_status fs_plot(const fs_plot_point *points, uint32_t n, uint32_t width, uint32_t height,
                                const char *x_title, const char *y_title, fs_out *out, fs_err *err);

#endif
