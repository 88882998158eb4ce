/* kernel.h - what a kernel does: its kind and shape, and the FLOPs and bytes that follow from them. */
#ifndef FS_KERNEL_H
#define FS_KERNEL_H

#include "base/err.h"
#include "topo/part.h"

#include <stddef.h>

typedef enum fs_kernel_kind {
    FS_KERNEL_PLAIN,          /* FLOPs and bytes: norms, elementwise, embedding, loss, optimizer; what has no shape */
    FS_KERNEL_GEMM,           /* `batch` products (m x k) (k x n) */
    FS_KERNEL_GROUPED,        /* m rows, each multiplied by the (k x n) of one of `batch` experts */
    FS_KERNEL_ATTENTION,      /* whose scores stay on the SMs (FlashAttention): prefill, decode, training */
    FS_KERNEL_ATTENTION_GRAD, /* its backward pass */
    FS_KERNEL_APPEND,         /* rotates queries and keys and writes keys and values to their cache, as serving does */
    FS_KERNEL_QUANTISE,       /* m rows of k numbers to a narrow format */
    FS_KERNEL_KINDS
} fs_kernel_kind;

extern const char *const fs_kernel_kind_names[FS_KERNEL_KINDS]; /* "gemm" */

/* What a scale of a narrow format is for, where kernels differ by it. */
typedef enum fs_scales {
    FS_SCALES_USUAL,  /* what most kernels of the part and format have */
    FS_SCALES_TENSOR, /* all of a tensor */
    FS_SCALES_BLOCK,  /* a block of 128 x 128 weights, 128 numbers of a row (DeepSeek-V3) */
    FS_SCALES
} fs_scales;

extern const char *const fs_scales_names[FS_SCALES]; /* "tensor" */

/* Sizes are doubles, as shares of experts are no whole numbers. Those that a kind lacks are 0. */
typedef struct fs_kernel_shape {
    uint8_t kind;     /* fs_kernel_kind */
    uint8_t scales;   /* GROUPED: fs_scales */
    uint8_t kv_dtype; /* ATTENTION, APPEND: fs_dtype of keys and values in memory */
    bool causal;      /* ATTENTION: the i-th of q queries sees the first keys - q + i + 1 keys */
    double batch;     /* GEMM, GROUPED; ATTENTION: sequences */
    double m, n, k;   /* GEMM, GROUPED, QUANTISE (m, k) */
    double spread;    /* GROUPED: rows of the busiest expert over those of the least, the others evenly between in the
                       * logarithm; 0 and 1: all have as many */
    double queries, keys, heads, kv_heads; /* ATTENTION, APPEND; the first two of one sequence */
    double dim, value_dim;                 /* ATTENTION, APPEND: of a head's queries and keys, and of its values */
} fs_kernel_shape;

/* B of a number as products read it; a format of 4 bits has a scale of a byte for each 16 numbers. */
double fs_dtype_bytes(fs_dtype dtype);

/* What a shape needs: FLOPs, and bytes that memory must move at least. Results and activations are of 2 bytes.
 * FS_KERNEL_PLAIN needs nothing that the shape would tell. */
void fs_kernel_needs(const fs_kernel_shape *shape, fs_dtype dtype, double *flops, double *bytes);

/* The sizes of a kind in the order in which they are written, "m n k batch" for a GEMM. Those that are optional come last
 * and have a default; value_dim's is dim. */
typedef struct fs_kernel_size {
    const char *name;
    size_t offset; /* of a double in fs_kernel_shape */
    bool optional;
} fs_kernel_size;

enum { FS_KERNEL_SIZES = 7 };

typedef struct fs_kernel_sizes {
    uint32_t n, n_required;
    fs_kernel_size size[FS_KERNEL_SIZES];
} fs_kernel_sizes;

extern const fs_kernel_sizes fs_kernel_sizes_of[FS_KERNEL_KINDS];

/* A shape of n sizes in that order. FS_OK, or FS_E_USAGE with a text: too few, too many, one not above 0, more heads of keys
 * than of queries, fewer keys than queries under a causal mask. */
FS_MUST_CHECK fs_status fs_kernel_shape_of(fs_kernel_kind kind, const double *sizes, uint32_t n, bool causal,
                                           fs_dtype kv_dtype, fs_kernel_shape *shape, fs_err *err);
/* The n-th size of a shape. */
static inline double fs_kernel_size_at(const fs_kernel_shape *shape, uint32_t i)
{
    return *(const double *)((const char *)shape + fs_kernel_sizes_of[shape->kind].size[i].offset);
}

bool fs_kernel_same_shape(const fs_kernel_shape *a, const fs_kernel_shape *b);

#endif
