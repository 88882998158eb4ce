/* kernel.c - see kernel.h. */
#include "gpu/kernel.h"

#include "gpu/gpu_model.h"

const char *const fs_kernel_kind_names[FS_KERNEL_KINDS] = {"plain",          "gemm",   "grouped", "attention",
                                                           "attention_grad", "append", "quantise"};

const char *const fs_scales_names[FS_SCALES] = {"usual", "tensor", "block"};

double fs_dtype_bytes(fs_dtype dtype)
{
    switch (dtype) {
    case FS_FP64: return 8;
    case FS_FP32:
    case FS_TF32: return 4;
    case FS_FP8:
    case FS_INT8: return 1;
    case FS_FP4: return 0.5 + 1.0 / 16;
    case FS_MXFP4: return 0.5 + 1.0 / 32;
    case FS_FP16:
    case FS_BF16:
    case FS_DTYPES_STORED: break;
    }
    return 2;
}

/* A causal mask leaves out what stands above the diagonal. */
static double scores_of(const fs_kernel_shape *s)
{
    double hidden = s->causal ? (s->queries - 1) / 2 : 0;
    return s->batch * s->heads * s->queries * (s->keys - hidden);
}

void fs_kernel_needs(const fs_kernel_shape *s, fs_dtype dtype, double *flops, double *bytes)
{
    double in = fs_dtype_bytes(dtype), kv = fs_dtype_bytes((fs_dtype)s->kv_dtype);
    double q = s->batch * s->queries * s->heads, own = s->batch * s->kv_heads * (s->dim + s->value_dim);
    double read = q * (s->dim + s->value_dim) * FS_RESULT_BYTES + own * s->keys * kv; /* and the output written */
    switch ((fs_kernel_kind)s->kind) {
    case FS_KERNEL_GEMM:
        *flops = 2 * s->batch * s->m * s->n * s->k;
        *bytes = s->batch * ((s->m * s->k + s->k * s->n) * in + s->m * s->n * FS_RESULT_BYTES);
        return;
    case FS_KERNEL_GROUPED:
        *flops = 2 * s->m * s->n * s->k;
        *bytes = s->m * (s->k * in + s->n * FS_RESULT_BYTES) + fs_gpu_experts(s, 1).active * s->k * s->n * in;
        return;
    case FS_KERNEL_ATTENTION:
        *flops = 2 * scores_of(s) * (s->dim + s->value_dim);
        *bytes = read;
        return;
    case FS_KERNEL_ATTENTION_GRAD: /* five products for two; reads and writes everything once more, as gradients */
        *flops = 2 * scores_of(s) * (3 * s->dim + 2 * s->value_dim);
        *bytes = 2 * read;
        return;
    case FS_KERNEL_APPEND: /* queries in place; keys and values from the product's result to the cache */
        *flops = 0;
        *bytes = q * s->dim * 2 * FS_RESULT_BYTES + own * s->queries * (FS_RESULT_BYTES + kv);
        return;
    case FS_KERNEL_QUANTISE:
        *flops = 0;
        *bytes = s->m * s->k * (FS_RESULT_BYTES + in);
        return;
    case FS_KERNEL_PLAIN:
    case FS_KERNEL_KINDS: break;
    }
    *flops = *bytes = 0;
}

#define SIZE(name, field, optional)                                                                                    \
    {                                                                                                                  \
        name, offsetof(fs_kernel_shape, field), optional                                                               \
    }
#define ATTENTION                                                                                                      \
    {                                                                                                                  \
        7, 6,                                                                                                          \
        {                                                                                                              \
            SIZE("sequences", batch, false), SIZE("queries", queries, false), SIZE("keys", keys, false),               \
                SIZE("heads", heads, false), SIZE("kv_heads", kv_heads, false), SIZE("dim", dim, false),               \
                SIZE("value_dim", value_dim, true)                                                                     \
        }                                                                                                              \
    }

const fs_kernel_sizes fs_kernel_sizes_of[FS_KERNEL_KINDS] = {
    [FS_KERNEL_GEMM] = {4,
                        3,
                        {SIZE("m", m, false), SIZE("n", n, false), SIZE("k", k, false), SIZE("batch", batch, true)}},
    [FS_KERNEL_GROUPED] = {5,
                           4,
                           {SIZE("m", m, false), SIZE("n", n, false), SIZE("k", k, false),
                            SIZE("experts", batch, false), SIZE("spread", spread, true)}},
    [FS_KERNEL_ATTENTION] = ATTENTION,
    [FS_KERNEL_ATTENTION_GRAD] = ATTENTION,
    [FS_KERNEL_APPEND] = {6,
                          5,
                          {SIZE("sequences", batch, false), SIZE("queries", queries, false),
                           SIZE("heads", heads, false), SIZE("kv_heads", kv_heads, false), SIZE("dim", dim, false),
                           SIZE("value_dim", value_dim, true)}},
    [FS_KERNEL_QUANTISE] = {2, 2, {SIZE("m", m, false), SIZE("k", k, false)}},
};

fs_status fs_kernel_shape_of(fs_kernel_kind kind, const double *sizes, uint32_t n, bool causal, fs_dtype kv_dtype,
                             fs_kernel_shape *shape, fs_err *err)
{
    const fs_kernel_sizes *all = &fs_kernel_sizes_of[kind];
    fs_kernel_shape s = {.kind = (uint8_t)kind, .kv_dtype = (uint8_t)kv_dtype, .causal = causal};
    if (n < all->n_required || n > all->n)
        return fs_fail(err, FS_E_USAGE, "%s takes %u%s sizes, found %u", fs_kernel_kind_names[kind], all->n_required,
                       all->n > all->n_required ? " or more" : "", n);
    for (uint32_t i = 0; i < all->n; i++) {
        double value = i < n ? sizes[i] : 1;
        if (!(value > 0 && value <= 1e15))
            return fs_fail(err, FS_E_USAGE, "%s must be above 0 and at most 1e15, found %g", all->size[i].name, value);
        *(double *)((char *)&s + all->size[i].offset) = value;
    }
    if (s.dim > 0 && n < all->n)
        s.value_dim = s.dim;
    if (s.kv_heads > s.heads)
        return fs_fail(err, FS_E_USAGE, "more kv_heads (%g) than heads (%g)", s.kv_heads, s.heads);
    if (causal && (s.dim == 0 || s.keys < s.queries))
        return fs_fail(err, FS_E_USAGE, "a causal mask needs attention with as many keys as queries, or more");
    *shape = s;
    return FS_OK;
}

static bool same(double a, double b)
{
    return !(a < b) && !(a > b);
}

bool fs_kernel_same_shape(const fs_kernel_shape *a, const fs_kernel_shape *b)
{
    return a->kind == b->kind && a->kv_dtype == b->kv_dtype && a->causal == b->causal && a->scales == b->scales &&
           same(a->batch, b->batch) && same(a->m, b->m) && same(a->n, b->n) && same(a->k, b->k) &&
           same(a->spread, b->spread) && same(a->queries, b->queries) && same(a->keys, b->keys) &&
           same(a->heads, b->heads) && same(a->kv_heads, b->kv_heads) && same(a->dim, b->dim) &&
           same(a->value_dim, b->value_dim);
}
