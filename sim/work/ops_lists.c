/* ops_lists.c - kernel lists and loads of an ops trace (docs/FORMATS.md, Trace): named at the top, or written in an op.
 * Cost: O(values). */
#include "work/ops_reader.h"

#include "base/rng.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* "gemm": [m, n, k]: the kernel's kind and its sizes; flops and bytes follow from it where they are not given. */
static fs_status read_shape(fs_ops_reader *r, const fs_json *json, fs_dtype dtype, fs_kernel *kernel)
{
    double sizes[FS_KERNEL_SIZES + 1];
    uint32_t n = 0, kv = FS_FP16, kind = FS_KERNEL_PLAIN;
    bool causal = false;
    const fs_json *list = NULL;
    for (uint32_t i = FS_KERNEL_GEMM; i < FS_KERNEL_KINDS; i++) {
        const fs_json *here = fs_json_get(json, fs_kernel_kind_names[i]);
        if (here && list)
            return fs_json_fail(r->doc, here, true, r->err, "a kernel has one shape, this one has two");
        list = here ? here : list;
        kind = here ? i : kind;
    }
    fs_status status = fs_json_bool_in(r->doc, json, "causal", false, &causal, r->err);
    if (status == FS_OK)
        status = fs_json_enum_in(r->doc, json, "kv_dtype", false, fs_dtype_names, FS_DTYPES, &kv, r->err);
    if (status != FS_OK || (list == NULL && !causal))
        return status;
    if (list == NULL || fs_json_kind(list) != FS_JSON_ARRAY)
        return fs_json_fail(r->doc, list ? list : json, false, r->err, "expected a shape: \"gemm\": [m, n, k]");
    for (const fs_json *v = fs_json_first(list); v && n < COUNT(sizes); v = fs_json_next(v)) {
        if (fs_json_kind(v) != FS_JSON_NUMBER)
            return fs_json_fail(r->doc, v, false, r->err, "expected a number");
        sizes[n++] = fs_json_number(v);
    }
    fs_err why = {0};
    if (fs_kernel_shape_of((fs_kernel_kind)kind, sizes, n, causal, (fs_dtype)kv, &kernel->shape, &why) != FS_OK)
        return fs_json_fail(r->doc, list, false, r->err, "%s", why.text);
    double flops, bytes;
    fs_kernel_needs(&kernel->shape, dtype, &flops, &bytes);
    kernel->flops = fs_json_get(json, "flops") ? kernel->flops : flops;
    kernel->bytes = fs_json_get(json, "bytes") ? kernel->bytes : bytes;
    return FS_OK;
}

/* Optional: a measured kernel needs no model. */
static fs_status read_measured(fs_ops_reader *r, const fs_json *json, double *seconds)
{
    const fs_json *us = fs_json_get(json, "duration_us"), *s = fs_json_get(json, "duration_s");
    if (us && s)
        return fs_json_fail(r->doc, s, true, r->err, "either 'duration_us' or 'duration_s', not both");
    double unit = us ? 1e-6 : 1;
    fs_status status = fs_json_number_in(r->doc, json, us ? "duration_us" : "duration_s", false, 0,
                                         FS_TRACE_SECONDS_MAX / unit, seconds, r->err);
    *seconds *= unit;
    return status;
}

static fs_status read_kernel(fs_ops_reader *r, const fs_json *json, fs_kernel *kernel)
{
    static const char *const keys[] = {"name",           "flops",      "bytes",    "dtype",   "count",
                                       "duration_us",    "duration_s", "gemm",     "grouped", "attention",
                                       "attention_grad", "append",     "quantise", "causal",  "kv_dtype"};
    const char *name = "kernel";
    uint32_t dtype = FS_FP16;
    uint64_t count = 1;
    *kernel = (fs_kernel){0};
    if (fs_json_kind(json) != FS_JSON_OBJECT)
        return fs_json_fail(r->doc, json, false, r->err, "expected a kernel: {\"flops\": .., \"bytes\": ..}");
    fs_status status = fs_json_only(r->doc, json, keys, COUNT(keys), r->err);
    if (status == FS_OK)
        status = fs_json_string_in(r->doc, json, "name", false, &name, r->err);
    if (status == FS_OK)
        status = fs_json_quantity_in(r->doc, json, "flops", false, FS_UNIT_FLOP, 0, FS_TRACE_FLOPS_MAX, &kernel->flops,
                                     r->err);
    if (status == FS_OK)
        status = fs_json_quantity_in(r->doc, json, "bytes", false, FS_UNIT_BYTES, 0, FS_TRACE_BYTES_MAX, &kernel->bytes,
                                     r->err);
    if (status == FS_OK)
        status = fs_json_enum_in(r->doc, json, "dtype", false, fs_dtype_names, FS_DTYPES, &dtype, r->err);
    if (status == FS_OK)
        status = fs_json_uint_in(r->doc, json, "count", false, 1, FS_KERNELS_MAX, &count, r->err);
    if (status == FS_OK)
        status = fs_work_name(r->b, name, &kernel->name, r->err);
    if (status == FS_OK)
        status = read_measured(r, json, &kernel->measured_s);
    if (status == FS_OK)
        status = read_shape(r, json, (fs_dtype)dtype, kernel);
    kernel->dtype = (uint8_t)dtype;
    kernel->count = (uint32_t)count;
    return status;
}

static fs_status read_kernel_list(fs_ops_reader *r, const fs_json *list, uint32_t *id)
{
    FS_VEC(fs_kernel) kernels = {0};
    fs_status status = FS_OK;
    for (const fs_json *v = fs_json_first(list); v && status == FS_OK; v = fs_json_next(v)) {
        fs_kernel kernel;
        status = read_kernel(r, v, &kernel);
        if (status == FS_OK && FS_PUSH(&kernels, kernel) == NULL)
            status = fs_fail_nomem(r->err);
    }
    if (status == FS_OK)
        status = fs_ops_blame(r, list, fs_work_kernels(r->b, kernels.data, kernels.count, id, r->err));
    fs_free(kernels.data);
    return status;
}

static fs_status read_shares(fs_ops_reader *r, const fs_json *list, uint32_t *id)
{
    FS_VEC(double) shares = {0};
    fs_status status = FS_OK;
    for (const fs_json *v = fs_json_first(list); v && status == FS_OK; v = fs_json_next(v)) {
        double share = fs_json_kind(v) == FS_JSON_NUMBER ? fs_json_number(v) : -1;
        if (!(share >= 0))
            status = fs_json_fail(r->doc, v, false, r->err, "expected a share: a number that is not negative");
        else if (FS_PUSH(&shares, share) == NULL)
            status = fs_fail_nomem(r->err);
    }
    if (status == FS_OK)
        status = fs_ops_blame(r, list, fs_work_load_shares(r->b, shares.data, shares.count, id, r->err));
    fs_free(shares.data);
    return status;
}

typedef fs_status (*reader_of)(fs_ops_reader *r, const fs_json *list, uint32_t *id);

static uint64_t hash_of(const char *name)
{
    return fs_hash_bytes(FS_HASH_START, name, strlen(name));
}

static fs_status read_named(fs_ops_reader *r, const fs_json *object, const char *key, reader_of read,
                            fs_named_lists *lists)
{
    fs_status status = FS_OK;
    if (object && fs_json_kind(object) != FS_JSON_OBJECT)
        return fs_json_fail(r->doc, object, false, r->err, "'%s' is an object: names and their lists", key);
    for (const fs_json *v = fs_json_first(object); v && status == FS_OK; v = fs_json_next(v)) {
        uint32_t id = 0;
        if (fs_json_kind(v) != FS_JSON_ARRAY)
            return fs_json_fail(r->doc, v, false, r->err, "expected a list");
        status = read(r, v, &id);
        if (status == FS_OK && (FS_PUSH(&lists->names, fs_json_key(v)) == NULL || FS_PUSH(&lists->ids, id) == NULL ||
                                !fs_index_add(&lists->index, hash_of(fs_json_key(v)), lists->names.count - 1)))
            status = fs_fail_nomem(r->err);
    }
    return status;
}

/* A name of the document's lists, or a list. */
static fs_status find_or_read(fs_ops_reader *r, const fs_json *value, const char *key, reader_of read,
                              const fs_named_lists *lists, uint32_t *id)
{
    if (fs_json_kind(value) == FS_JSON_ARRAY)
        return read(r, value, id);
    if (fs_json_kind(value) != FS_JSON_STRING)
        return fs_json_fail(r->doc, value, false, r->err, "'%s' takes a list, or the name of one", key);
    const char *name = fs_json_string(value);
    fs_index_probe probe = fs_index_search(&lists->index, hash_of(name));
    uint32_t i = fs_index_next(&probe);
    while (i != FS_NONE && strcmp(lists->names.data[i], name) != 0)
        i = fs_index_next(&probe);
    if (i != FS_NONE) {
        *id = lists->ids.data[i];
        return FS_OK;
    }
    const char *near = fs_suggest(name, lists->names.data, lists->names.count);
    return fs_json_fail(r->doc, value, false, r->err,
                        near ? "no list '%.100s' among the trace's '%s' (did you mean '%.100s'?)"
                             : "no list '%.100s' among the trace's '%s'",
                        name, strcmp(key, "load") == 0 ? "loads" : key, near);
}

fs_status fs_ops_read_lists(fs_ops_reader *r, const fs_json *kernels, const fs_json *loads)
{
    fs_status status = read_named(r, kernels, "kernels", read_kernel_list, &r->kernels);
    return status == FS_OK ? read_named(r, loads, "loads", read_shares, &r->loads) : status;
}

fs_status fs_ops_kernels(fs_ops_reader *r, const fs_json *value, uint32_t *id)
{
    return find_or_read(r, value, "kernels", read_kernel_list, &r->kernels, id);
}

fs_status fs_ops_load(fs_ops_reader *r, const fs_json *value, uint32_t *id)
{
    return find_or_read(r, value, "load", read_shares, &r->loads, id);
}

void fs_ops_free_lists(fs_ops_reader *r)
{
    fs_named_lists *both[] = {&r->kernels, &r->loads};
    for (size_t i = 0; i < COUNT(both); i++) {
        fs_free(both[i]->names.data);
        fs_free(both[i]->ids.data);
        fs_index_free(&both[i]->index);
    }
}
