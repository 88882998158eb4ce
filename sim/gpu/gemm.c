/* gemm.c - products of matrices: of many tilings the one that ends first, as cuBLAS would choose. See gpu_model.h.
 *
 * A tiling cuts the output into tiles of rows x columns; where all tiles would leave SMs idle, the sum over k is cut
 * as well (split-k). SMs work on these units wave after wave. Three things go on beside each other: arithmetic at a
 * fixed part of the peak, and filling and emptying every unit; operands that come out of L2 for each unit; and the
 * matrices, once, from memory. A kernel that keeps all SMs busy for long is slowed by the power limit: the clock
 * falls from its highest to what can be sustained, half of it after SLOW_DOWN_S.
 *
 * Cost: O(tilings x splits), some 100 evaluations. */
#include "gpu/gpu_model.h"

#include <math.h>
#include <stddef.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* s. Kernels of much less are measured at the highest clock, of much more at the sustained one. */
#define SLOW_DOWN_S 1e-3

/* Numbers of the tile that tile_s is said of. */
#define TILE_NUMBERS (256.0 * 128)

/* The smallest tile of kernels that come in few sizes, however few rows there are. */
#define LEAST_ROWS 64
#define LEAST_COLUMNS 64

/* What a part of k takes at least, however short it is: finer ones are not worth it. */
#define SPLIT_DEPTH 128

static const double rows_of[] = {256, 128, 64};
static const double splits[] = {1, 2, 3, 4, 6, 8, 16, 32};

/* How much of two things that go on beside each other hides: the 4-norm, between the longest of them and their sum. */
double fs_gpu_overlap(double a, double b, double c)
{
    double top = fmax(a, fmax(b, c));
    if (!(top > 0))
        return 0;
    double x = a / top, y = b / top, z = c / top;
    x *= x;
    y *= y;
    z *= z;
    return top * sqrt(sqrt(x * x + y * y + z * z));
}

double fs_gpu_total(const fs_gpu_parts *p)
{
    return fs_gpu_overlap(p->compute_s, p->memory_s, p->cache_s) + p->fixed_s;
}

/* Loads of experts that lie evenly in the logarithm: rows_i = rows x spread^(i / (n - 1)), scaled to their sum. An expert
 * that would get less than a row is there in so many parts of all cases. */
fs_gpu_rows fs_gpu_experts(const fs_kernel_shape *s, double tile_rows)
{
    fs_gpu_rows r = {0};
    if (!(s->spread > 1) || s->batch < 2) {
        double each = s->m / s->batch;
        r.active = fmin(s->batch, s->m);
        r.tiles = each < 1 ? r.active : s->batch * ceil(each / tile_rows);
        return r;
    }
    double factor = pow(s->spread, 1 / (s->batch - 1)), least = s->m * (factor - 1) / (pow(factor, s->batch) - 1);
    for (double i = 0, rows = least; i < s->batch; i++, rows *= factor) {
        double there = fmin(1, rows);
        r.active += there;
        r.tiles += there * ceil(rows / tile_rows);
    }
    return r;
}

typedef struct gemm_case {
    const fs_part *gpu;
    const fs_kernel_shape *shape;
    double in;       /* B of an operand's number */
    double rate;     /* FLOP/s of one SM at its highest clock */
    double tile_s;   /* of TILE_NUMBERS */
    double least;    /* numbers of the smallest tile */
    double depth_s;  /* a number of k, at the least */
    bool overlap;    /* filling and emptying hide behind the next tile's sums */
    bool whole;      /* sums over k are not split */
    bool masked;     /* a tile that an expert's rows do not fill takes twice as long as a full one */
    double useful_s; /* all arithmetic, spread evenly */
    double slow;     /* time at the clock that power allows, over that at the highest */
} gemm_case;

/* Power at the highest clock goes with the rate and with the bits that are multiplied. `sustained` is said of products in 16 bits; a
 * format that draws less slows down less, or not at all: where the voltage is at its lowest, power goes with the clock. */
static double slow_of(const fs_part *gpu, double rate, fs_dtype dtype)
{
    fs_dtype wide = gpu->peak_flops[FS_BF16] > 0 ? FS_BF16 : FS_FP16;
    double most = gpu->peak_flops[wide] * gpu->product[wide].efficiency * fs_dtype_bytes(wide);
    double power = most > 0 ? rate * fs_dtype_bytes(dtype) / most : 1;
    return fmax(1, power / gpu->costs.sustained);
}

static double slow_down(const gemm_case *c, double seconds)
{
    return seconds * (1 + (c->slow - 1) * seconds / (seconds + SLOW_DOWN_S));
}

static void time_tiling(const gemm_case *c, double tiles, double rows, double columns, double split,
                        fs_gpu_parts *parts)
{
    const fs_gpu_costs *costs = &c->gpu->costs;
    const fs_kernel_shape *s = c->shape;
    double units = tiles * split, depth = split > 1 ? fmax(s->k / split, SPLIT_DEPTH) : s->k;
    double busy = fmax(1, fmin(units, costs->sms)), waves = ceil(units / costs->sms);
    double partial = split > 1 ? 2 * 4 * split * s->batch * s->m * s->n : 0; /* sums in fp32, written and read */
    double start = c->tile_s * rows * columns / TILE_NUMBERS;
    double sums = depth * fmax(2 * rows * columns / c->rate, c->depth_s);
    double next = c->overlap ? fmax(sums, start) : sums + start; /* of each wave but the last */
    parts->compute_s = slow_down(c, (waves - 1) * next + sums + start);
    parts->cache_s = (units * (rows + columns) * depth * c->in + partial) / (costs->l2_Bps * busy / costs->sms);
    parts->fixed_s = split > 1 ? c->tile_s : 0;
    parts->useful_s = c->useful_s;
}

/* The best split of a tiling, if it is better than *best. */
static void try_tile(const gemm_case *c, double rows, double columns, double *best, fs_gpu_parts *parts)
{
    const fs_kernel_shape *s = c->shape;
    double down = s->batch * ceil(s->m / rows);
    if (s->kind == FS_KERNEL_GROUPED) {
        fs_gpu_rows dealt = fs_gpu_experts(s, rows);
        down = dealt.tiles + (c->masked && dealt.tiles * rows > s->m ? dealt.active : 0);
    }
    double tiles = down * ceil(s->n / columns);
    if (rows * columns > c->gpu->costs.tile_max || rows * columns < c->least)
        return;
    for (size_t i = 0; i < COUNT(splits); i++) {
        fs_gpu_parts now = {.memory_s = parts->memory_s};
        bool fits = tiles * splits[i] <= c->gpu->costs.sms && !c->whole;
        if (i > 0 && !fits)
            return;
        time_tiling(c, tiles, rows, columns, splits[i], &now);
        if (fs_gpu_total(&now) < *best) {
            *best = fs_gpu_total(&now);
            *parts = now;
        }
    }
}

/* Kernels of their own for scales of a tensor are known of Hopper: they have one size of tiles, the largest, and take twice as long
 * where rows have to be masked (experts of 64 rows took 2,121 us, of 128 rows 1,139: H100, 8 experts of 4096 x 14336). */
static void choose_grouped(gemm_case *c, const fs_gpu_product *product)
{
    fs_scales scales = (fs_scales)c->shape->scales;
    double rate = product->grouped > 0 ? product->grouped : 1;
    c->masked = scales == FS_SCALES_TENSOR && product->grouped_tensor > 0;
    if (c->masked) {
        rate = product->grouped_tensor;
        c->least = c->gpu->costs.tile_max;
    } else if (scales == FS_SCALES_BLOCK && product->grouped_block > 0) {
        rate = product->grouped_block;
    }
    c->rate *= rate;
    c->useful_s /= rate;
}

void fs_gpu_gemm(const fs_part *gpu, const fs_kernel_shape *shape, fs_dtype dtype, double bytes, fs_gpu_parts *parts)
{
    const fs_gpu_product *product = &gpu->product[dtype];
    const fs_gpu_costs *costs = &gpu->costs;
    bool grouped = shape->kind == FS_KERNEL_GROUPED;
    double rate = gpu->peak_flops[dtype] * product->efficiency, best = INFINITY, read = costs->operand;
    double rows = grouped ? shape->m / shape->batch : shape->m, batch = grouped ? 1 : shape->batch;
    gemm_case c = {.gpu = gpu, .shape = shape, .in = fs_dtype_bytes(dtype), .rate = rate / costs->sms};
    c.tile_s = product->tile_s;
    c.depth_s = product->depth_s;
    c.slow = slow_of(gpu, rate, dtype);
    c.whole = product->whole || grouped;
    c.least = fmin(product->tile_min, fmax(rows, LEAST_ROWS) * LEAST_COLUMNS);
    c.overlap = product->overlap;
    c.useful_s = 2 * batch * shape->m * shape->n * shape->k / rate;
    if (grouped)
        choose_grouped(&c, product);
    if (grouped && product->grouped_read > 0)
        read = product->grouped_read;
    *parts = (fs_gpu_parts){.memory_s = bytes / (gpu->mem_Bps * read)};
    for (size_t i = 0; i < COUNT(rows_of); i++)
        for (double columns = 256; columns >= 32; columns = costs->step > 0 ? columns - costs->step : columns / 2) {
            try_tile(&c, rows_of[i], columns, &best, parts);
            try_tile(&c, columns, rows_of[i], &best, parts);
        }
    parts->fixed_s += product->floor_s;
}
