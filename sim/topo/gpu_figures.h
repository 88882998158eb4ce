/* gpu_figures.h - the figures of <kernels>, <attention> and <peak> of a GPU part, as one table: reading, writing,
 * checking and hashing walk it, so that none can forget one. Internal to topo. */
#ifndef FS_GPU_FIGURES_H
#define FS_GPU_FIGURES_H

#include "base/num.h"
#include "topo/part.h"

#include <stddef.h>

typedef struct fs_gpu_figure {
    const char *element, *attribute;
    fs_unit unit;
    double low, high;
    size_t offset; /* of a double in fs_gpu_costs; for "peak" in fs_gpu_product */
} fs_gpu_figure;

enum { FS_COST_FIGURES = 22, FS_PRODUCT_FIGURES = 11 };

extern const fs_gpu_figure fs_cost_figures[FS_COST_FIGURES];       /* those of <kernels> first */
extern const fs_gpu_figure fs_product_figures[FS_PRODUCT_FIGURES]; /* optional attributes of <peak> */

static inline double *fs_figure_of(const fs_gpu_figure *figure, void *holder)
{
    return (double *)((char *)holder + figure->offset);
}

static inline double fs_figure_value(const fs_gpu_figure *figure, const void *holder)
{
    return *(const double *)((const char *)holder + figure->offset);
}

#endif
