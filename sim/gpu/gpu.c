/* gpu.c - see gpu.h. One kernel, alone: it is either bound by arithmetic or by memory traffic, and the two overlap
 * perfectly inside it. The launch gap is paid by every kernel, empty ones included, because dependent kernels do not
 * overlap on a stream. */
#include "gpu/gpu.h"

double fs_gpu_kernel_s(const fs_part *gpu, double flops, double bytes, fs_dtype dtype, bool ideal)
{
    double peak = gpu->peak_flops[dtype] * (ideal ? 1 : gpu->gemm_efficiency);
    double rate = gpu->mem_Bps * (ideal ? 1 : gpu->mem_efficiency);
    if ((flops > 0 && !(peak > 0)) || (bytes > 0 && !(rate > 0)))
        return -1;
    double arithmetic_s = flops > 0 ? flops / peak : 0;
    double memory_s = bytes > 0 ? bytes / rate : 0;
    double work_s = arithmetic_s > memory_s ? arithmetic_s : memory_s;
    return ideal ? work_s : work_s + gpu->launch_s;
}
