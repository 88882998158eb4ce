/* gpu.h - how long a kernel takes on a GPU part, alone on it.
 *
 * Roofline: max(flops / (peak x gemm_efficiency), bytes / (memory rate x mem_efficiency)) + launch.
 * (Williams, Waterman, Patterson 2009.) `ideal` leaves out efficiencies and launch. */
#ifndef FS_GPU_H
#define FS_GPU_H

#include "topo/topo.h"

/* Seconds; negative where the part has no peak for dtype (and flops > 0). */
double fs_gpu_kernel_s(const fs_part *gpu, double flops, double bytes, fs_dtype dtype, bool ideal);

#endif
