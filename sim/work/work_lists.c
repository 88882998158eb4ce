/* work_lists.c - kernel lists and loads, interned by content. See work_build.h. Cost: O(length) a call. */
#include "work/work_builder.h"

#include "base/num.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

static bool amount(double x)
{
    return isfinite(x) && x >= 0;
}

static bool same(double a, double b)
{
    return !(a < b) && !(a > b);
}

static uint64_t hash_kernels(const fs_kernel *kernels, uint32_t n)
{
    uint64_t hash = FS_HASH_START;
    for (uint32_t i = 0; i < n; i++) {
        const fs_kernel_shape *s = &kernels[i].shape; /* not all of it: a hash need not tell everything */
        struct {
            double flops, bytes, m, n;
            uint32_t count, name;
        } key = {kernels[i].flops + 0.0, kernels[i].bytes + 0.0, s->m + s->queries,
                 s->n + s->keys,         kernels[i].count,       kernels[i].name}; /* -0 is 0 */
        hash = fs_hash_bytes(hash, &key, sizeof key);
    }
    return hash;
}

/* Where durations come from names, equal names have them already. */
static bool same_kernels(const fs_kernel_list *list, const fs_kernel *kernels, uint32_t n, bool named)
{
    if (list->n != n)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const fs_kernel *a = &list->kernels[i], *b = &kernels[i];
        if (!same(a->flops, b->flops) || !same(a->bytes, b->bytes) || a->count != b->count || a->name != b->name ||
            a->dtype != b->dtype || (!named && !same(a->measured_s, b->measured_s)) ||
            !fs_kernel_same_shape(&a->shape, &b->shape))
            return false;
    }
    return true;
}

/* ---- measured kernels -------------------------------------------------------------------------------------------- */

fs_status fs_work_measured(fs_work_builder *b, const char *kernel, double seconds, fs_err *err)
{
    fs_measured m = {.seconds = seconds};
    fs_status status = fs_work_name(b, kernel, &m.name, err);
    if (status == FS_OK && FS_PUSH(&b->measured, m) == NULL)
        status = fs_fail_nomem(err);
    return status;
}

double fs_work_measured_s(fs_work_builder *b, uint32_t name)
{
    for (uint32_t i = 0; i < b->measured.count; i++)
        if (b->measured.data[i].name == name) {
            b->measured.data[i].seen = true;
            return b->measured.data[i].seconds;
        }
    return 0;
}

bool fs_work_measured_seen(const fs_work_builder *b, const char *kernel)
{
    for (uint32_t i = 0; i < b->measured.count; i++)
        if (strcmp(b->labels.names.data[b->measured.data[i].name], kernel) == 0)
            return b->measured.data[i].seen;
    return false;
}

const char *fs_work_near(const fs_work_builder *b, const char *name)
{
    FS_VEC(const char *) others = {0};
    bool all = true;
    for (uint32_t i = 0; all && i < b->labels.names.count; i++)
        if (strcmp(b->labels.names.data[i], name) != 0)
            all = FS_PUSH(&others, b->labels.names.data[i]) != NULL;
    const char *near = all ? fs_suggest(name, others.data, others.count) : NULL;
    fs_free(others.data);
    return near;
}

/* ---- lists of kernels -------------------------------------------------------------------------------------------- */

static void apply_measured(fs_work_builder *b, fs_kernel *kernels, uint32_t n)
{
    for (uint32_t i = 0; b->measured.count > 0 && i < n; i++) {
        double seconds = fs_work_measured_s(b, kernels[i].name);
        kernels[i].measured_s = seconds > 0 ? seconds : kernels[i].measured_s;
    }
}

fs_status fs_work_kernels(fs_work_builder *b, const fs_kernel *kernels, uint32_t n, uint32_t *id, fs_err *err)
{
    if (n > FS_KERNELS_MAX)
        return FS_BAD_WORK(b, err, "%u kernels in one op, expected at most %d", n, FS_KERNELS_MAX);
    for (uint32_t i = 0; i < n; i++)
        if (!amount(kernels[i].flops) || !amount(kernels[i].bytes) || !amount(kernels[i].measured_s) ||
            kernels[i].dtype >= FS_DTYPES || kernels[i].name >= b->labels.names.count)
            return FS_BAD_WORK(b, err, "kernel %u has an amount, number format or name that cannot be", i);
    uint64_t hash = hash_kernels(kernels, n);
    fs_index_probe probe = fs_index_search(&b->list_index, hash);
    uint32_t known = fs_index_next(&probe);
    while (known != FS_NONE && !same_kernels(&b->lists.data[known], kernels, n, b->measured.count > 0))
        known = fs_index_next(&probe);
    if (known == FS_NONE) {
        fs_kernel *copy = fs_arena_alloc(b->arena, n, sizeof *copy);
        fs_kernel_list list = {n, copy};
        if (copy == NULL || FS_PUSH(&b->lists, list) == NULL)
            return fs_fail_nomem(err);
        if (n > 0)
            memcpy(copy, kernels, n * sizeof *copy);
        apply_measured(b, copy, n);
        known = b->lists.count - 1;
        if (!fs_index_add(&b->list_index, hash, known)) {
            b->lists.count--;
            return fs_fail_nomem(err);
        }
    }
    *id = known;
    return FS_OK;
}

/* Shares that sum to 1 but for rounding stay as they are, so that what is written is read back equal. */
#define SUM_TOLERANCE 1e-9

fs_status fs_work_load_shares(fs_work_builder *b, const double *weight, uint32_t n, uint32_t *id, fs_err *err)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!amount(weight[i]))
            return FS_BAD_WORK(b, err, "share %u of a load is negative or not finite", i);
        sum += weight[i];
    }
    if (!(sum > 0) || !isfinite(sum))
        return FS_BAD_WORK(b, err, "the shares of a load sum to nothing, or to more than a number holds");
    double scale = fabs(sum - 1) <= SUM_TOLERANCE ? 1 : sum;
    double *share = fs_arena_alloc(b->arena, n, sizeof *share);
    if (share == NULL)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < n; i++)
        share[i] = weight[i] / scale + 0.0; /* -0 is 0: hashed and compared as bytes */
    uint64_t hash = fs_hash_bytes(FS_HASH_START, share, n * sizeof *share);
    fs_index_probe probe = fs_index_search(&b->load_index, hash);
    uint32_t known = fs_index_next(&probe);
    while (known != FS_NONE &&
           (b->loads.data[known].n != n || memcmp(b->loads.data[known].weight, share, n * sizeof *share) != 0))
        known = fs_index_next(&probe);
    if (known == FS_NONE) {
        fs_load load = {n, share};
        if (FS_PUSH(&b->loads, load) == NULL)
            return fs_fail_nomem(err);
        known = b->loads.count - 1;
        if (!fs_index_add(&b->load_index, hash, known)) {
            b->loads.count--;
            return fs_fail_nomem(err);
        }
    }
    *id = known;
    return FS_OK;
}
