/* gpu_model.h - the parts of the kernel model, private to sim/gpu. docs/MODEL.md, Kernels, has the equations. */
#ifndef FS_GPU_MODEL_H
#define FS_GPU_MODEL_H

#include "gpu/gpu.h"

/* Results and activations are of two bytes whatever the operands are. */
#define FS_RESULT_BYTES 2.0

/* What goes on beside each other in a kernel, and its fixed costs, s. */
typedef struct fs_gpu_parts {
    double compute_s, memory_s, cache_s, fixed_s;
    double useful_s; /* of compute_s, what full tiles on all SMs would take */
} fs_gpu_parts;

/* Three things beside each other: at least the longest, at most their sum. */
double fs_gpu_overlap(double a, double b, double c);
double fs_gpu_total(const fs_gpu_parts *parts);

/* Whether the part tells how kernels of this format run. */
static inline bool fs_gpu_known(const fs_part *gpu)
{
    return gpu->costs.sms > 0;
}

/* How rows are dealt out to the experts of a grouped product. */
typedef struct fs_gpu_rows {
    double active; /* experts that have rows; their weights are read */
    double tiles;  /* of `rows` rows each, over all experts */
} fs_gpu_rows;
fs_gpu_rows fs_gpu_experts(const fs_kernel_shape *shape, double tile_rows);

/* GEMM and GROUPED of so many bytes. */
void fs_gpu_gemm(const fs_part *gpu, const fs_kernel_shape *shape, fs_dtype dtype, double bytes, fs_gpu_parts *parts);
/* ATTENTION and ATTENTION_GRAD. */
void fs_gpu_attention(const fs_part *gpu, const fs_kernel_shape *shape, fs_dtype dtype, fs_gpu_parts *parts);

#endif
