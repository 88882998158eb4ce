/* gpu.h - how long a kernel takes on a GPU part, alone on it. docs/MODEL.md, Kernels, has the equations.
 *
 * `ideal`, and parts without <kernels>, take the roofline of the kernel's FLOPs and bytes (Williams, Waterman, Patterson
 * 2009): max(flops / (peak x gemm_efficiency), bytes / (memory rate x mem_efficiency)) + launch; ideal leaves out
 * efficiencies and launch. Otherwise the shape decides. No kernel is faster than its ideal time. */
#ifndef FS_GPU_H
#define FS_GPU_H

#include "gpu/kernel.h"

typedef enum fs_gpu_bound {
    FS_BOUND_COMPUTE, /* arithmetic on all SMs */
    FS_BOUND_WAVES,   /* arithmetic, but fewer SMs or fuller tiles than there is work for */
    FS_BOUND_MEMORY,
    FS_BOUND_CACHE,   /* operands out of L2 */
    FS_BOUND_LATENCY, /* fixed costs */
    FS_BOUNDS
} fs_gpu_bound;

extern const char *const fs_gpu_bound_names[FS_BOUNDS]; /* "compute" */

typedef struct fs_kernel_time {
    double seconds;
    double ideal_s; /* the roofline at peak and full memory rate */
    fs_gpu_bound bound;
} fs_kernel_time;

/* False where the part has no peak for dtype, and flops > 0. Cost: about a microsecond. */
bool fs_gpu_kernel(const fs_part *gpu, const fs_kernel_shape *shape, double flops, double bytes, fs_dtype dtype,
                   bool ideal, fs_kernel_time *time);

#endif
