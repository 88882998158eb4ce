/* factors.h - what is left of some links or GPUs, in each epoch. */
#ifndef FS_FACTORS_H
#define FS_FACTORS_H

#include <stddef.h>
#include <stdint.h>

/* What faults leave of some links or GPUs, epoch by epoch; what is not listed stays whole. */
typedef struct fs_factors {
    uint32_t count;
    const uint32_t *ids;   /* (count) ascending */
    const double *factors; /* (count x n_epochs) in [0, 1]; 0 = down */
} fs_factors;

/* Of one of them in an epoch. Cost: O(log count). */
static inline double fs_factor_at(const fs_factors *f, uint32_t id, uint32_t n_epochs, uint32_t epoch)
{
    uint32_t low = 0, high = f->count; /* mostly 0: then this is one comparison */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (f->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < f->count && f->ids[low] == id ? f->factors[(size_t)low * n_epochs + epoch] : 1.0;
}

#endif
