/* Whatever the shape, on every GPU part that ships: a kernel is never faster than peak and memory rate allow, its time is
 * finite, and twice as much of anything never takes less. */
#include "../fixture.h"

#include "base/rng.h"
#include "gpu/gpu.h"

enum { ROUNDS = 4000 };

/* Keys are cut into whole pieces and rows into whole tiles: what that may gain. */
#define ROUNDING 0.01

static const char *const parts[] = {"p100-sxm2",
                                    "v100-sxm2-32gb",
                                    "v100-sxm3-32gb-h",
                                    "v100-pcie-32gb",
                                    "a100-sxm4-40gb",
                                    "a100-sxm4-80gb",
                                    "h100-sxm5",
                                    "h200-sxm",
                                    "gh200",
                                    "b200-sxm",
                                    "gb200",
                                    "gb300",
                                    "rubin",
                                    "rubin-ultra",
                                    "t4",
                                    "a100-40gb-mig-1g.5gb",
                                    "a100-80gb-mig-7g.80gb"};

static double size(fs_rng *rng, uint32_t bits)
{
    double about = (double)(UINT64_C(1) << fs_rng_below(rng, bits));
    return about + (fs_rng_below(rng, 2) ? floor(about * fs_rng_unit(rng)) : 0);
}

static fs_kernel_shape random_shape(fs_rng *rng)
{
    fs_kernel_kind kind = (fs_kernel_kind)(1 + fs_rng_below(rng, FS_KERNEL_KINDS - 1));
    double group = size(rng, 4), heads = group * size(rng, 4), queries = size(rng, 14), dims[] = {64, 128, 192, 256};
    double dim = dims[fs_rng_below(rng, 4)];
    fs_dtype kv = fs_rng_below(rng, 2) ? FS_FP8 : FS_BF16;
    switch (kind) {
    case FS_KERNEL_GEMM:
        return (fs_kernel_shape){
            .kind = FS_KERNEL_GEMM, .batch = size(rng, 6), .m = size(rng, 15), .n = size(rng, 15), .k = size(rng, 15)};
    case FS_KERNEL_GROUPED:
        return (fs_kernel_shape){.kind = FS_KERNEL_GROUPED,
                                 .batch = size(rng, 8),
                                 .m = size(rng, 15),
                                 .n = size(rng, 14),
                                 .k = size(rng, 14),
                                 .spread = size(rng, 10)};
    case FS_KERNEL_QUANTISE:
        return (fs_kernel_shape){.kind = FS_KERNEL_QUANTISE, .m = size(rng, 15), .k = size(rng, 15)};
    default:
        return (fs_kernel_shape){.kind = (uint8_t)kind,
                                 .kv_dtype = (uint8_t)kv,
                                 .batch = size(rng, 8),
                                 .queries = queries,
                                 .keys = queries + (fs_rng_below(rng, 2) ? size(rng, 16) : 0),
                                 .heads = heads,
                                 .kv_heads = group,
                                 .dim = dim,
                                 .value_dim = dim,
                                 .causal = kind != FS_KERNEL_APPEND && fs_rng_below(rng, 2)};
    }
}

static double seconds(const fs_part *gpu, const fs_kernel_shape *shape, fs_dtype dtype)
{
    double flops, bytes;
    fs_kernel_time real, ideal;
    fs_kernel_needs(shape, dtype, &flops, &bytes);
    assert_true(fs_gpu_kernel(gpu, shape, flops, bytes, dtype, false, &real));
    assert_true(fs_gpu_kernel(gpu, shape, flops, bytes, dtype, true, &ideal));
    assert_true(isfinite(real.seconds) && real.seconds >= ideal.seconds && real.seconds >= gpu->launch_s);
    ASSERT_CLOSE(real.ideal_s, ideal.seconds, 1e-12);
    return real.seconds;
}

/* Everything that can be doubled alone. More experts may be faster: their rows spread over more SMs. */
static void twice_as_much(const fs_part *gpu, const fs_kernel_shape *shape, fs_dtype dtype)
{
    const fs_kernel_sizes *sizes = &fs_kernel_sizes_of[shape->kind];
    double once = seconds(gpu, shape, dtype);
    for (uint32_t i = 0; i < sizes->n; i++) {
        fs_kernel_shape more = *shape;
        const char *name = sizes->size[i].name;
        double *value = (double *)((char *)&more + sizes->size[i].offset);
        bool attends = shape->dim > 0, grouped = shape->kind == FS_KERNEL_GROUPED;
        if (grouped && (i >= 3)) /* experts, spread */
            continue;
        if (attends && (strcmp(name, "queries") == 0 || strcmp(name, "kv_heads") == 0))
            continue; /* more queries may be another way of cutting; more heads of keys fill fewer rows */
        *value *= 2;
        double twice = seconds(gpu, &more, dtype);
        if (!(twice >= once * (1 - ROUNDING)))
            fail_msg("%s: %s of a %s doubled takes %g s, before %g s", gpu->name, name,
                     fs_kernel_kind_names[shape->kind], twice, once);
    }
}

static void on_every_part(void **state)
{
    (void)state;
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        fs_rng rng = fs_rng_seed(p + 1);
        fs_topo *topo = NULL;
        ASSERT_OK(fs_topo_of_part(parts[p], NULL, 0, &topo, &failure));
        const fs_part *gpu = &topo->parts[fs_topo_device(topo, topo->gpus[0]).part];
        assert_string_equal(gpu->name, parts[p]);
        assert_true(gpu->costs.sms > 0);
        for (uint32_t i = 0; i < ROUNDS; i++) {
            fs_kernel_shape shape = random_shape(&rng);
            fs_dtype dtype = (fs_dtype)fs_rng_below(&rng, FS_DTYPES);
            if (gpu->peak_flops[dtype] > 0)
                twice_as_much(gpu, &shape, dtype);
        }
        fs_topo_free(topo);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(on_every_part)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
