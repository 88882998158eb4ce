/* inference.c - kind "inference": a model that is served (docs/FORMATS.md, Trace). */
#include "work/inference_reader.h"

#include "base/mem.h"
#include "base/num.h"
#include "gpu/gpu.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

const char *const fs_role_names[FS_ROLES] = {"both", "prefill", "decode", "ffn"};
const char *const fs_policy_names[FS_POLICIES] = {"round_robin", "least_loaded", "prefix"};
const char *const fs_arrival_names[FS_ARRIVALS] = {"poisson", "gamma", "bursts", "constant", "closed"};

enum { STORED_ONLY = 1 }; /* at the end of the list */
static const char *const formats[] = {"bf16", "fp16", "fp8", "fp4", "int8", "mxfp4"};
static const fs_dtype format_dtypes[] = {FS_BF16, FS_FP16, FS_FP8, FS_FP4, FS_INT8, FS_MXFP4};

/* ---- model and precision ----------------------------------------------------------------------------------------- */

/* The model is one for all pools, so nothing of it is split here: each pool checks what it splits. */
static void read_model(fs_training_reader *r, fs_arena *arena, fs_inference *in)
{
    fs_training t = {.tp = 1, .cp = 1, .pp = 1, .vpp = 1, .dp = 1, .ep = 1, .etp = 1};
    fs_training_read_model(r, &t);
    in->model = t.model;
    uint32_t n = t.model.moe.experts;
    if (r->status != FS_OK || !r->popularity)
        return;
    double *kept = fs_arena_alloc(arena, n, sizeof *kept);
    if (!kept) {
        r->status = fs_fail_nomem(r->err);
        return;
    }
    memcpy(kept, r->popularity, n * sizeof *kept);
    in->model.moe.popularity = kept;
}

static void read_format(fs_training_reader *r, const char *key, bool stored, fs_dtype *dtype)
{
    uint32_t at = FS_NONE;
    fs_training_choice(r, r->object, key, false, formats, COUNT(formats) - (stored ? 0 : STORED_ONLY), &at);
    if (r->status == FS_OK && at != FS_NONE)
        *dtype = format_dtypes[at];
}

/* Tensor cores take both at one rate. */
static fs_dtype multiplied(fs_dtype stored)
{
    return stored == FS_MXFP4 ? FS_FP4 : stored;
}

/* A part of the weights that is stored, and multiplied, in a format of its own. */
static void read_part(fs_training_reader *r, const char *key, fs_dtype *stored, fs_dtype *gemm)
{
    fs_dtype own = FS_DTYPES_STORED;
    read_format(r, key, true, &own);
    if (own == FS_DTYPES_STORED)
        return;
    *stored = own;
    *gemm = multiplied(own);
}

/* "fp8": weights and products in it, the rest in bf16; or part by part. */
static void read_precision(fs_training_reader *r, fs_inference *in)
{
    static const char *const keys[] = {"weights", "gemm",       "experts", "expert_gemm", "attention", "kv",
                                       "mlp",     "projection", "scales",  "dispatch",    "combine"};
    static const char *const scales[] = {"tensor", "block"};
    static const uint8_t kinds[] = {FS_SCALES_TENSOR, FS_SCALES_BLOCK};
    uint32_t scale = FS_NONE;
    const fs_json *root = fs_json_root(r->doc);
    uint32_t at = 0;
    bool parts = fs_json_kind(fs_json_get(root, "precision")) == FS_JSON_OBJECT;
    if (!parts)
        fs_training_choice(r, root, "precision", false, formats, COUNT(formats), &at);
    in->weights = format_dtypes[at];
    in->attention = in->weights == FS_FP16 ? FS_FP16 : FS_BF16;
    if (parts && fs_training_enter(r, root, "precision", true, keys, COUNT(keys))) {
        read_format(r, "weights", true, &in->weights);
        read_format(r, "attention", false, &in->attention);
    }
    in->experts = in->weights;
    in->gemm = in->expert_gemm = multiplied(in->weights);
    in->kv = in->attention;
    fs_dtype dispatch = FS_BF16, combine = FS_BF16;
    if (parts) {
        read_format(r, "gemm", false, &in->gemm);
        read_format(r, "experts", true, &in->experts);
        in->expert_gemm = in->gemm;
        read_format(r, "expert_gemm", false, &in->expert_gemm);
        read_format(r, "kv", false, &in->kv);
        read_format(r, "dispatch", false, &dispatch);
        read_format(r, "combine", false, &combine);
        fs_training_choice(r, r->object, "scales", false, scales, COUNT(scales), &scale);
    }
    in->mlp = in->projection = in->weights;
    in->mlp_gemm = in->projection_gemm = in->gemm;
    if (parts) {
        read_part(r, "mlp", &in->mlp, &in->mlp_gemm);
        read_part(r, "projection", &in->projection, &in->projection_gemm);
    }
    in->scales = scale == FS_NONE ? FS_SCALES_USUAL : kinds[scale];
    in->dispatch_bytes = fs_dtype_bytes(dispatch);
    in->combine_bytes = fs_dtype_bytes(combine);
}

static void read_slo(fs_training_reader *r, fs_inference *in)
{
    static const char *const keys[] = {"ttft_s", "tpot_s"};
    if (!fs_training_enter(r, fs_json_root(r->doc), "slo", false, keys, COUNT(keys)))
        return;
    fs_inference_number(r, "ttft_s", false, 1e-9, FS_TRACE_SECONDS_MAX, &in->slo_ttft_s);
    fs_inference_number(r, "tpot_s", false, 1e-9, FS_TRACE_SECONDS_MAX, &in->slo_tpot_s);
}

/* GPUs from the first to the last that the pools use. */
static uint32_t span(const fs_inference *in)
{
    uint32_t first = UINT32_MAX, end = 0;
    for (uint32_t i = 0; i < in->n_pools; i++) {
        uint32_t last = in->pools[i].first_gpu + in->pools[i].replicas * fs_pool_replica_gpus(&in->pools[i]);
        first = in->pools[i].first_gpu < first ? in->pools[i].first_gpu : first;
        end = last > end ? last : end;
    }
    return end - first;
}

static void read_fleet(fs_training_reader *r, fs_inference *in)
{
    static const char *const keys[] = {"copies", "distinct", "stride"};
    const fs_json *root = fs_json_root(r->doc), *fleet = fs_json_get(root, "fleet");
    in->fleet = (fs_fleet){.copies = 1, .distinct = 1};
    if (r->status != FS_OK)
        return;
    in->fleet.stride = span(in);
    if (!fs_training_enter(r, root, "fleet", false, keys, COUNT(keys)))
        return;
    fs_training_number(r, "copies", true, FS_RANKS_MAX, &in->fleet.copies);
    in->fleet.distinct = in->source.requests ? 1 : in->fleet.copies;
    fs_training_number(r, "distinct", false, in->fleet.copies, &in->fleet.distinct);
    fs_training_number(r, "stride", false, FS_RANKS_MAX, &in->fleet.stride);
    if (r->status != FS_OK)
        return;
    if (in->source.requests && in->fleet.distinct > 1)
        r->status = fs_json_fail(r->doc, fs_json_get(fleet, "distinct"), false, r->err,
                                 "requests from a file are the same for every copy: 'distinct' is 1");
    else if (in->fleet.stride < span(in))
        r->status = fs_json_fail(r->doc, fs_json_get(fleet, "stride"), false, r->err,
                                 "a copy uses %u GPUs from its first to its last; 'stride' cannot be less", span(in));
    else if ((double)in->fleet.copies * in->fleet.stride > FS_RANKS_MAX)
        r->status = fs_json_fail(r->doc, fleet, false, r->err, "%u copies, %u GPUs apart: at most %d GPUs can be",
                                 in->fleet.copies, in->fleet.stride, FS_RANKS_MAX);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static int add_text(char *text, size_t size, int used, const char *format, uint32_t number)
{
    return used < 0 || (size_t)used >= size ? used
                                            : used + fs_snprintf(text + used, size - (size_t)used, format, number);
}

static void write_note(const fs_inference *in, char *text, size_t size)
{
    int used = fs_snprintf(text, size, "%.4gB parameters (%u layers, hidden %u), weights %s, KV cache %s",
                           fs_transformer_parameters(&in->model) * 1e-9, in->model.layers, in->model.hidden,
                           fs_dtype_names[in->weights], fs_dtype_names[in->kv]);
    if (in->fleet.copies > 1)
        used = add_text(text, size, used, "; %u copies", in->fleet.copies);
    for (uint32_t i = 0; i < in->n_pools && used > 0 && (size_t)used < size; i++) {
        const fs_pool *p = &in->pools[i];
        used += fs_snprintf(text + used, size - (size_t)used, "; %u x '%.40s' of TP %u", p->replicas, p->name, p->tp);
        if (p->dp > 1 && p->role != FS_ROLE_FFN)
            used = add_text(text, size, used, " x DP %u", p->dp);
        if (p->pp > 1)
            used = add_text(text, size, used, " x PP %u", p->pp);
        if (p->ep > 1)
            used = add_text(text, size, used, ", EP %u", p->ep);
        if (p->ffn != FS_NONE)
            used = add_text(text, size, used, ", %u micro-batches to and from", p->micro_batches);
        if (p->ffn != FS_NONE && used > 0 && (size_t)used < size)
            used += fs_snprintf(text + used, size - (size_t)used, " '%.40s'", in->pools[p->ffn].name);
    }
}

/* Ranks are the GPUs of the pools in their order, copy after copy. */
static fs_status place(fs_work_builder *b, const fs_inference *in, fs_err *err)
{
    uint32_t n = 0, rank = 0;
    for (uint32_t i = 0; i < in->n_pools; i++)
        n += in->pools[i].replicas * fs_pool_replica_gpus(&in->pools[i]);
    fs_status status = fs_work_set_ranks(b, n * in->fleet.copies, err);
    for (uint32_t c = 0; c < in->fleet.copies; c++)
        for (uint32_t i = 0; i < in->n_pools; i++)
            for (uint32_t g = 0; g < in->pools[i].replicas * fs_pool_replica_gpus(&in->pools[i]); g++)
                if (status == FS_OK)
                    status = fs_work_place(b, rank++, in->pools[i].first_gpu + g + c * in->fleet.stride, err);
    return status;
}

static fs_status keep(fs_work_builder *b, const fs_inference *in, fs_err *err)
{
    char note[1024];
    write_note(in, note, sizeof note);
    fs_status status = place(b, in, err);
    if (status == FS_OK)
        status = fs_work_set_note(b, note, err);
    if (status == FS_OK)
        fs_work_set_inference(b, in);
    if (status == FS_OK && in->source.requests)
        fs_work_mix_hash(b, in->source.file_hash);
    return status;
}

fs_status fs_trace_read_inference(const fs_json_doc *doc, const char *path, fs_work_builder *b, fs_err *err)
{
    static const char *const keys[] = {"fabsim",   "source", "kind",   "name", "model",  "precision", "engines",
                                       "requests", "slo",    "router", "seed", "faults", "fleet"};
    const fs_json *root = fs_json_root(doc);
    fs_arena *arena = fs_work_arena(b);
    fs_inference *in = fs_arena_alloc(arena, 1, sizeof *in);
    if (!in)
        return fs_fail_nomem(err);
    fs_training_reader r = {.doc = doc, .err = err};
    uint32_t router = FS_LEAST_LOADED;
    r.status = fs_json_only(doc, root, keys, COUNT(keys), err);
    read_model(&r, arena, in);
    fs_free(r.popularity);
    r.popularity = NULL;
    read_precision(&r, in);
    fs_inference_read_pools(&r, arena, in);
    fs_inference_read_requests(&r, path, arena, in);
    read_fleet(&r, in);
    read_slo(&r, in);
    fs_training_choice(&r, root, "router", false, fs_policy_names, FS_POLICIES, &router);
    in->router = (fs_policy)router;
    if (r.status == FS_OK)
        r.status = fs_json_uint_in(doc, root, "seed", false, 0, UINT32_MAX, &in->seed, err);
    return r.status == FS_OK ? keep(b, in, err) : r.status;
}
