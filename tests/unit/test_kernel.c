/* Kernel times against sums by hand, on a GPU of round figures; what a kernel needs; words that are refused. */
#include "../fixture.h"

#include "gpu/gpu.h"

/* One SM multiplies at 0.5e12 FLOP/s; memory and L2 never bind but where a test says so. */
static fs_part round_gpu(void)
{
    fs_part gpu = {.mem_Bps = 1e18, .gemm_efficiency = 0.5, .mem_efficiency = 0.5, .launch_s = 1e-6};
    gpu.peak_flops[FS_FP16] = 1e14;
    gpu.costs = (fs_gpu_costs){.sms = 100,
                               .floor_s = 2e-6,
                               .l2_Bps = 1e18,
                               .operand = 1,
                               .sustained = 1,
                               .tile_max = 32768,
                               .append_Bps = 1e12,
                               .append8_Bps = 5e11,
                               .attention = 0.5,
                               .attention_grad = 0.25,
                               .query_block = 128,
                               .attend_s = 3e-6,
                               .decode_s = 4e-6,
                               .join_s = 1e-6,
                               .read = 1,
                               .stream_Bps = 1e16,
                               .fp8_read = 1.5};
    gpu.product[FS_FP16] = (fs_gpu_product){.efficiency = 0.5, .floor_s = 1e-6, .whole = true};
    return gpu;
}

static double microseconds(const fs_part *gpu, const fs_kernel_shape *shape, fs_dtype dtype)
{
    double flops, bytes;
    fs_kernel_time time;
    fs_kernel_needs(shape, dtype, &flops, &bytes);
    assert_true(fs_gpu_kernel(gpu, shape, flops, bytes, dtype, false, &time));
    return time.seconds * 1e6;
}

static fs_kernel_shape gemm(double m, double n, double k)
{
    return (fs_kernel_shape){.kind = FS_KERNEL_GEMM, .batch = 1, .m = m, .n = n, .k = k};
}

#define US(gpu, shape, expected) assert_true(fabs(microseconds(gpu, &(shape), FS_FP16) - (expected)) < 1e-3)

/* The smallest tile is 64 x 32: 2 x 64 x 32 x 1000 / 0.5e12 = 8.192 us a wave, and a floor of 1 us. */
static void products_run_in_waves(void **state)
{
    (void)state;
    fs_part gpu = round_gpu();
    fs_kernel_shape one = gemm(64, 32, 1000), wave = gemm(6400, 32, 1000), next = gemm(6401, 32, 1000);
    US(&gpu, one, 1 + 8.192);
    US(&gpu, wave, 1 + 8.192);
    US(&gpu, next, 1 + 2 * 8.192);
    fs_kernel_shape batch = gemm(64, 32, 1000);
    batch.batch = 150;
    US(&gpu, batch, 1 + 2 * 8.192);
    gpu.product[FS_FP16].tile_s = 16e-6; /* of 256 x 128 numbers: 1 us of 64 x 32 */
    US(&gpu, wave, 1 + 9.192);
    gpu.product[FS_FP16].depth_s = 10e-9; /* 1,000 of them, for 8.192 us of sums */
    US(&gpu, wave, 1 + 11);
    gpu.product[FS_FP16].depth_s = 0;
    gpu.costs.sustained = 0.5; /* 9.192 us is hardly warm: + 9.192 x 9.192 / 1009.192 */
    US(&gpu, wave, 1 + 9.192 + 9.192 * 9.192 / 1009.192);
    gpu.peak_flops[FS_FP8] = 1e14; /* as fast with half of the bits: half of the power, which is all allowed */
    gpu.product[FS_FP8] = gpu.product[FS_FP16];
    assert_true(fabs(microseconds(&gpu, &wave, FS_FP8) - (1 + 9.192)) < 1e-3);
    gpu.peak_flops[FS_FP8] = 1.5e14; /* three quarters of it */
    double busy = 1 + 8.192 / 1.5;
    assert_true(fabs(microseconds(&gpu, &wave, FS_FP8) - (1 + busy + 0.5 * busy * busy / (busy + 1000))) < 1e-3);
}

/* Two waves of 200 tiles of 64 x 32; a wave's sums take 8.192 us, filling and emptying 1 us. */
static void tiles_overlap(void **state)
{
    (void)state;
    fs_part gpu = round_gpu();
    gpu.product[FS_FP16].tile_s = 16e-6;
    gpu.costs.tile_max = 4096; /* no tile that would do it in one wave for less */
    fs_kernel_shape two = gemm(12800, 32, 1000), least = gemm(64, 32, 1000);
    US(&gpu, two, 1 + 2 * 9.192);
    gpu.product[FS_FP16].overlap = true;
    US(&gpu, two, 1 + 8.192 + 9.192);
    gpu.product[FS_FP16].tile_s = 0;
    gpu.product[FS_FP16].tile_min = 32768; /* as many as 64 rows have room for: 64 x 64 */
    US(&gpu, least, 1 + 16.384);
}

/* 1000 rows of 1000 numbers of 2 B each way; fp16 for fp8, as it is what the GPU has. */
static void quantisation(void **state)
{
    (void)state;
    fs_part gpu = round_gpu();
    fs_kernel_shape q = {.kind = FS_KERNEL_QUANTISE, .m = 1000, .k = 1000};
    gpu.product[FS_FP16].row_s = 4e-9;
    US(&gpu, q, 1 + 4);
    gpu.product[FS_FP16].pass_s = 6e-9; /* 2,048 numbers at a time */
    US(&gpu, q, 1 + 4 + 6);
    q.k = 2049;
    US(&gpu, q, 1 + 4 + 2 * 6);
}

static void products_split_their_sums(void **state)
{
    (void)state;
    fs_part gpu = round_gpu();
    fs_kernel_shape one = gemm(64, 32, 4096);
    US(&gpu, one, 1 + 33.554432);
    gpu.product[FS_FP16].whole = false; /* in 32 parts of 128 */
    US(&gpu, one, 1 + 33.554432 / 32);
    fs_kernel_shape twenty = gemm(64 * 20, 32, 4096); /* 20 tiles: 4 parts each fill 80 SMs, 6 would need 120 */
    US(&gpu, twenty, 1 + 33.554432 / 4);
}

static void operands_come_from_memory_and_cache(void **state)
{
    (void)state;
    fs_part gpu = round_gpu();
    fs_kernel_shape thin = gemm(1, 25600, 1000);
    gpu.mem_Bps = 1e12;
    gpu.costs.operand = 0.5; /* (1000 + 25.6e6 + 25600) x 2 B at 5e11 B/s = 102.5 us; arithmetic 4 waves of 8.192 us */
    double memory = 2 * (1000 + 25.6e6 + 25600) / 5e5, waves = 4 * 8.192;
    US(&gpu, thin, 1 + pow(pow(memory, 4) + pow(waves, 4), 0.25));
    gpu = round_gpu();
    gpu.costs.l2_Bps = 1e12; /* one tile: (64 + 32) x 1000 x 2 B at a hundredth of it */
    fs_kernel_shape one = gemm(64, 32, 1000);
    US(&gpu, one, 1 + pow(pow(8.192, 4) + pow(19.2, 4), 0.25));
}

static void experts_have_rows_of_their_own(void **state)
{
    (void)state;
    fs_part gpu = round_gpu();
    fs_kernel_shape grouped = {.kind = FS_KERNEL_GROUPED, .batch = 50, .m = 50 * 129, .n = 32, .k = 1000};
    US(&gpu, grouped, 1 + 2 * 8.192); /* 129 rows are three tiles of 64, or two of 128 */
    grouped.m = 10;
    US(&gpu, grouped, 1 + 8.192);
    double flops, bytes;
    fs_kernel_needs(&grouped, FS_FP16, &flops, &bytes); /* the weights of ten */
    assert_true(fabs(bytes - 2.0 * (10 * 1000 + 10 * 32 + 10 * 1000 * 32)) < 1e-6);
    grouped = (fs_kernel_shape){.kind = FS_KERNEL_GROUPED, .batch = 3, .m = 700, .n = 32, .k = 1000, .spread = 4};
    US(&gpu, grouped, 1 + 8.192); /* 100, 200, 400 rows: 2 + 4 + 7 tiles */
    grouped.m = 0.7;              /* rows 0.1, 0.2, 0.4 */
    fs_kernel_needs(&grouped, FS_FP16, &flops, &bytes);
    assert_true(fabs(bytes - 2.0 * (0.7 * 1000 + 0.7 * 32 + 0.7 * 1000 * 32)) < 1e-6);
}

/* Rates and readings of their own, by what a scale is of; an expert's last tile, masked, takes twice as long. */
static void experts_have_kernels_of_their_own(void **state)
{
    (void)state;
    fs_part gpu = round_gpu();
    fs_gpu_product *product = &gpu.product[FS_FP16];
    fs_kernel_shape grouped = {.kind = FS_KERNEL_GROUPED, .batch = 50, .m = 50 * 129, .n = 32, .k = 1000};
    product->grouped = 0.5;
    US(&gpu, grouped, 1 + 4 * 8.192);
    grouped.scales = FS_SCALES_BLOCK;
    US(&gpu, grouped, 1 + 4 * 8.192); /* has none of its own */
    product->grouped_block = 0.25;
    US(&gpu, grouped, 1 + 8 * 8.192);
    grouped.scales = FS_SCALES_TENSOR;
    product->grouped_tensor = 0.5;
    grouped.m = 50 * 128;
    gpu.costs.tile_max = 128 * 128;
    double full, masked;
    fs_kernel_time time;
    assert_true(fs_gpu_kernel(&gpu, &grouped, 0, 0, FS_FP16, false, &time));
    full = time.seconds;
    grouped.m = 50 * 64;
    assert_true(fs_gpu_kernel(&gpu, &grouped, 0, 0, FS_FP16, false, &time));
    masked = time.seconds;
    assert_true(fabs((masked - 1e-6) / (full - 1e-6) - 1) < 1e-9); /* 50 tiles, or 50 twice: one wave of 100 SMs */
    grouped.scales = FS_SCALES_USUAL;
    grouped.m = 50;
    grouped.n = 25600;
    gpu.mem_Bps = 1e12;
    gpu.costs.operand = 0.5;
    product->grouped_read = 0.25;
    double flops, bytes;
    fs_kernel_needs(&grouped, FS_FP16, &flops, &bytes);
    assert_true(fs_gpu_kernel(&gpu, &grouped, flops, bytes, FS_FP16, false, &time));
    assert_true(time.bound == FS_BOUND_MEMORY && time.seconds > bytes / 0.25e12);
}

/* A score of two products of 64: 2 x 128 FLOPs on an SM that does 0.5e12 a second, 5.12e-4 us. */
static void attention_by_queries(void **state)
{
    (void)state;
    fs_part gpu = round_gpu();
    fs_kernel_shape a = {.kind = FS_KERNEL_ATTENTION,
                         .kv_dtype = FS_FP16,
                         .batch = 1,
                         .queries = 256,
                         .keys = 256,
                         .heads = 100,
                         .kv_heads = 100,
                         .dim = 64,
                         .value_dim = 64};
    US(&gpu, a, 3 + 256 * 256 * 5.12e-4);
    a.causal = true; /* blocks of 128: 128 and 256 keys */
    US(&gpu, a, 3 + 128 * (128 + 256) * 5.12e-4);
    a.heads = a.kv_heads = 1; /* the longer block alone */
    US(&gpu, a, 3 + 128 * 256 * 5.12e-4);
    gpu.costs.score_s = 1e-9;
    gpu.costs.block_s = 1e-6;
    US(&gpu, a, 3 + 128 * 256 * 15.12e-4 + 1);
    a.kind = FS_KERNEL_ATTENTION_GRAD; /* 5 products for 2, at half the rate */
    US(&gpu, a, 3 + 128 * 256 * (5 * 5.12e-4 + 1e-3) + 1);
}

static void attention_by_keys(void **state)
{
    (void)state;
    fs_part gpu = round_gpu();
    fs_kernel_shape a = {.kind = FS_KERNEL_ATTENTION,
                         .kv_dtype = FS_FP16,
                         .batch = 1,
                         .queries = 1,
                         .keys = 256,
                         .heads = 8,
                         .kv_heads = 1,
                         .dim = 64,
                         .value_dim = 64};
    US(&gpu, a, 4 + 16 * 256 * 5.12e-4); /* 8 heads in 16 rows */
    a.keys = 2048;                       /* 8 pieces, put together */
    US(&gpu, a, 4 + 16 * 256 * 5.12e-4 + 1);
    gpu.costs.stream_Bps = 1e9; /* 8 SMs read 2048 keys and values of 128 B, beside 8 queries and results */
    double memory = (2 * 2048 * 128 + 2 * 8 * 128) / 8e3, compute = 16 * 256 * 5.12e-4;
    US(&gpu, a, 4 + pow(pow(memory, 4) + pow(compute, 4), 0.25) + 1);
    a.kv_dtype = FS_FP8; /* half the bytes, each of them 1.5 */
    memory = (1.5 * 2 * 2048 * 64 + 2 * 8 * 128) / 8e3;
    US(&gpu, a, 4 + pow(pow(memory, 4) + pow(compute, 4), 0.25) + 1);
}

static void kernels_that_move_memory(void **state)
{
    (void)state;
    fs_part gpu = round_gpu();
    fs_kernel_shape plain = {0}, append = {.kind = FS_KERNEL_APPEND,
                                           .kv_dtype = FS_FP8,
                                           .batch = 1,
                                           .queries = 1000,
                                           .heads = 8,
                                           .kv_heads = 2,
                                           .dim = 64,
                                           .value_dim = 64};
    fs_kernel_time time;
    gpu.mem_Bps = 1e12;
    assert_true(fs_gpu_kernel(&gpu, &plain, 0, 1e6, FS_FP16, false, &time));
    assert_true(fabs(time.seconds - 4e-6) < 1e-12 && time.bound == FS_BOUND_LATENCY);
    US(&gpu, append, 2 + 1000 * (8 * 64 * 4 + 2 * 128 * 3) / 5e5);
}

/* Parts that do not tell how kernels run, and the ideal. */
static void flat_roofline(void **state)
{
    (void)state;
    fs_part gpu = {.mem_Bps = 1e12, .gemm_efficiency = 0.5, .mem_efficiency = 0.8, .launch_s = 1e-6};
    fs_kernel_shape plain = {0};
    fs_kernel_time time;
    gpu.peak_flops[FS_FP16] = 1e14;
    const struct {
        double flops, bytes, seconds;
        fs_dtype dtype;
        bool ideal;
    } cases[] = {{1e12, 1e9, 1e-2, FS_FP16, true},
                 {1e12, 1e9, 2e-2 + 1e-6, FS_FP16, false},
                 {1e9, 1e9, 1.25e-3 + 1e-6, FS_FP16, false},
                 {0, 0, 1e-6, FS_FP16, false},
                 {0, 8e11, 1 + 1e-6, FS_FP8, false}}; /* no FLOPs: no peak needed */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(fs_gpu_kernel(&gpu, &plain, cases[i].flops, cases[i].bytes, cases[i].dtype, cases[i].ideal, &time));
        assert_true(fabs(time.seconds - cases[i].seconds) < 1e-12);
    }
    assert_false(fs_gpu_kernel(&gpu, &plain, 1, 0, FS_FP8, false, &time));
    gpu.mem_Bps = 0;
    assert_false(fs_gpu_kernel(&gpu, &plain, 1, 1, FS_FP16, false, &time));
}

static void shapes_are_checked(void **state)
{
    (void)state;
    fs_kernel_shape shape;
    const double few[] = {1, 2}, attention[] = {1, 8, 4, 2, 2, 64}, zero[] = {1, 2, 0};
    assert_int_equal(fs_kernel_shape_of(FS_KERNEL_GEMM, few, 2, false, FS_FP16, &shape, &failure), FS_E_USAGE);
    assert_string_equal(failure.text, "gemm takes 3 or more sizes, found 2");
    assert_int_equal(fs_kernel_shape_of(FS_KERNEL_GEMM, zero, 3, false, FS_FP16, &shape, &failure), FS_E_USAGE);
    assert_int_equal(fs_kernel_shape_of(FS_KERNEL_ATTENTION, attention, 6, true, FS_FP16, &shape, &failure),
                     FS_E_USAGE);
    ASSERT_OK(fs_kernel_shape_of(FS_KERNEL_ATTENTION, attention, 6, false, FS_FP16, &shape, &failure));
    assert_true(fabs(shape.value_dim - 64) < 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_run_in_waves),
        cmocka_unit_test(tiles_overlap),
        cmocka_unit_test(quantisation),
        cmocka_unit_test(products_split_their_sums),
        cmocka_unit_test(operands_come_from_memory_and_cache),
        cmocka_unit_test(experts_have_rows_of_their_own),
        cmocka_unit_test(experts_have_kernels_of_their_own),
        cmocka_unit_test(attention_by_queries),
        cmocka_unit_test(attention_by_keys),
        cmocka_unit_test(kernels_that_move_memory),
        cmocka_unit_test(flat_roofline),
        cmocka_unit_test(shapes_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
