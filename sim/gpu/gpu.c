/* gpu.c - see gpu.h. The flat roofline, the kernels that only move memory, and what bounds a kernel. */
#include "gpu/gpu_model.h"

#include <math.h>

const char *const fs_gpu_bound_names[FS_BOUNDS] = {"compute", "waves", "memory", "cache", "latency"};

/* 256 threads with 16 B each. Seen in the measured times: on H100 and B200 they step up after every 2,048 numbers of a row. */
#define PASS_NUMBERS 2048

/* Arithmetic and memory traffic overlap perfectly. */
static void roofline(double flops, double bytes, double peak, double rate, fs_gpu_parts *parts)
{
    *parts = (fs_gpu_parts){.compute_s = flops > 0 ? flops / peak : 0, .memory_s = bytes > 0 ? bytes / rate : 0};
    parts->useful_s = parts->compute_s;
}

/* Kernels without a shape: what moves memory starts and ends, and streams in between. */
static void plain(const fs_part *gpu, double flops, double bytes, fs_dtype dtype, fs_gpu_parts *parts)
{
    roofline(flops, bytes, gpu->peak_flops[dtype] * gpu->gemm_efficiency, gpu->mem_Bps * gpu->mem_efficiency, parts);
    parts->fixed_s = gpu->costs.floor_s;
}

/* A block of threads to each row takes PASS_NUMBERS at a time. One scale is the tensor's: what each pass found joins one maximum,
 * one after the other for all SMs. */
static void quantise(const fs_part *gpu, const fs_kernel_shape *s, double bytes, fs_dtype dtype, fs_gpu_parts *parts)
{
    const fs_gpu_product *product = &gpu->product[dtype];
    plain(gpu, 0, bytes, dtype, parts);
    parts->cache_s = s->m * (product->row_s + ceil(s->k / PASS_NUMBERS) * product->pass_s);
    parts->fixed_s = product->floor_s;
}

static void price(const fs_part *gpu, const fs_kernel_shape *s, double flops, double bytes, fs_dtype dtype,
                  fs_gpu_parts *parts)
{
    const fs_gpu_costs *costs = &gpu->costs;
    switch ((fs_kernel_kind)s->kind) {
    case FS_KERNEL_GEMM:
    case FS_KERNEL_GROUPED:
        if (gpu->product[dtype].efficiency > 0)
            fs_gpu_gemm(gpu, s, dtype, bytes, parts);
        else
            plain(gpu, flops, bytes, dtype, parts);
        return;
    case FS_KERNEL_ATTENTION:
    case FS_KERNEL_ATTENTION_GRAD: fs_gpu_attention(gpu, s, dtype, parts); return;
    case FS_KERNEL_APPEND:
        plain(gpu, 0, 0, dtype, parts);
        parts->memory_s = bytes / (s->kv_dtype == FS_FP8 ? costs->append8_Bps : costs->append_Bps);
        return;
    case FS_KERNEL_QUANTISE: quantise(gpu, s, bytes, dtype, parts); return;
    case FS_KERNEL_PLAIN:
    case FS_KERNEL_KINDS: break;
    }
    plain(gpu, flops, bytes, dtype, parts);
}

static fs_gpu_bound bound_of(const fs_gpu_parts *p)
{
    double top = fmax(p->compute_s, fmax(p->memory_s, p->cache_s));
    if (p->fixed_s >= top)
        return FS_BOUND_LATENCY;
    if (p->memory_s >= top)
        return FS_BOUND_MEMORY;
    if (p->cache_s >= top)
        return FS_BOUND_CACHE;
    return p->useful_s >= 0.7 * p->compute_s ? FS_BOUND_COMPUTE : FS_BOUND_WAVES;
}

bool fs_gpu_kernel(const fs_part *gpu, const fs_kernel_shape *shape, double flops, double bytes, fs_dtype dtype,
                   bool ideal, fs_kernel_time *time)
{
    double peak = gpu->peak_flops[dtype], rate = gpu->mem_Bps;
    if ((flops > 0 && !(peak > 0)) || (bytes > 0 && !(rate > 0)))
        return false;
    fs_gpu_parts parts;
    roofline(flops, bytes, peak, rate, &parts);
    time->ideal_s = fmax(parts.compute_s, parts.memory_s);
    time->seconds = time->ideal_s;
    if (!ideal && fs_gpu_known(gpu)) {
        price(gpu, shape, flops, bytes, dtype, &parts);
        time->seconds = fmax(time->ideal_s, fmax(fs_gpu_total(&parts), gpu->launch_s));
    } else if (!ideal) {
        roofline(flops, bytes, peak * gpu->gemm_efficiency, rate * gpu->mem_efficiency, &parts);
        parts.fixed_s = gpu->launch_s;
        time->seconds = fmax(parts.compute_s, parts.memory_s) + gpu->launch_s;
    }
    time->bound = bound_of(&parts);
    return true;
}
