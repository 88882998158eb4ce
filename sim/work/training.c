/* training.c - kind "training": a dense transformer's step under tensor and data parallelism (docs/FORMATS.md, Trace).
 *
 * Reads and checks the description, then expands it: training_step.c writes the one program that all ranks run,
 * transformer.c knows the totals. Rank = data-parallel index x tp + tensor-parallel index. */
#include "work/training_step.h"

#include "base/num.h"
#include "work/trace.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

#ifndef FS_PASSES_MAX        /* fuzz builds take less, so that few bytes cannot ask for many ops */
#define FS_PASSES_MAX 200000 /* layers x microbatches: some 20 million ops, 2 GB */
#endif

enum {
    LAYERS_MAX = 100000,
    WIDTH_MAX = 1 << 24, /* hidden, ffn, vocab, seq */
    BATCH_MAX = 1 << 24, /* samples */
    PASSES_MAX = FS_PASSES_MAX
};

typedef struct reader {
    const fs_json_doc *doc;
    fs_err *err;
    fs_status status;
    const fs_json *object; /* being read */
} reader;

/* Enters a member object whose keys are known. A missing one stands for {} where it is optional. */
static bool enter(reader *r, const char *key, bool required, const char *const *keys, size_t count)
{
    const fs_json *root = fs_json_root(r->doc), *object = fs_json_get(root, key);
    r->object = object;
    if (r->status != FS_OK)
        return false;
    if (object == NULL && required)
        r->status = fs_json_fail(r->doc, root, false, r->err, "missing key '%s'", key);
    else if (object && fs_json_kind(object) != FS_JSON_OBJECT)
        r->status = fs_json_fail(r->doc, object, false, r->err, "'%s' is an object", key);
    else
        r->status = fs_json_only(r->doc, object, keys, count, r->err);
    return r->status == FS_OK && object;
}

static void number(reader *r, const char *key, bool required, uint32_t high, uint32_t *out)
{
    uint64_t value = *out;
    if (r->status == FS_OK)
        r->status = fs_json_uint_in(r->doc, r->object, key, required, 1, high, &value, r->err);
    *out = (uint32_t)value;
}

static void flag(reader *r, const char *key, bool *out)
{
    if (r->status == FS_OK)
        r->status = fs_json_bool_in(r->doc, r->object, key, false, out, r->err);
}

static uint32_t choice(reader *r, const fs_json *object, const char *key, bool required, const char *const *names,
                       size_t count, uint32_t otherwise)
{
    uint32_t index = otherwise;
    if (r->status == FS_OK)
        r->status = fs_json_enum_in(r->doc, object, key, required, names, count, &index, r->err);
    return index;
}

/* `value` of `key` must be a multiple of `of`. */
static void divides(reader *r, const char *key, uint32_t value, const char *what, uint32_t of)
{
    const fs_json *place = fs_json_get(r->object, key);
    if (r->status == FS_OK && (of == 0 || value % of != 0))
        r->status = fs_json_fail(r->doc, place ? place : r->object, false, r->err,
                                 "'%s' is %u, which is no multiple of %s, %u", key, value, what, of);
}

static void read_parallel(reader *r, fs_training *t)
{
    static const char *const keys[] = {"tp", "dp"};
    t->tp = t->dp = 1;
    if (!enter(r, "parallel", false, keys, COUNT(keys)))
        return;
    number(r, "tp", false, FS_RANKS_MAX, &t->tp);
    number(r, "dp", false, FS_RANKS_MAX, &t->dp);
    if (r->status == FS_OK && (uint64_t)t->tp * t->dp > FS_RANKS_MAX)
        r->status = fs_json_fail(r->doc, r->object, false, r->err, "tp x dp is %llu ranks, expected at most %d",
                                 (unsigned long long)t->tp * t->dp, FS_RANKS_MAX);
}

static void read_model(reader *r, fs_training *t)
{
    static const char *const keys[] = {"layers", "hidden", "heads", "kv_heads", "ffn", "vocab", "seq", "gated"};
    fs_transformer *m = &t->model;
    if (!enter(r, "model", true, keys, COUNT(keys)))
        return;
    number(r, "layers", true, LAYERS_MAX, &m->layers);
    number(r, "hidden", true, WIDTH_MAX, &m->hidden);
    number(r, "heads", true, WIDTH_MAX, &m->heads);
    m->kv_heads = m->heads;
    number(r, "kv_heads", false, WIDTH_MAX, &m->kv_heads);
    m->ffn = 4 * m->hidden;
    number(r, "ffn", false, 4 * WIDTH_MAX, &m->ffn);
    number(r, "vocab", true, WIDTH_MAX, &m->vocab);
    number(r, "seq", true, WIDTH_MAX, &m->seq);
    flag(r, "gated", &m->gated);
    divides(r, "hidden", m->hidden, "heads", m->heads);
    divides(r, "heads", m->heads, "kv_heads", m->kv_heads);
    divides(r, "heads", m->heads, "tp", t->tp);
    divides(r, "kv_heads", m->kv_heads, "tp", t->tp);
    divides(r, "ffn", m->ffn, "tp", t->tp);
    divides(r, "vocab", m->vocab, "tp", t->tp);
}

static void read_batch(reader *r, fs_training *t)
{
    static const char *const keys[] = {"global", "micro"};
    if (!enter(r, "batch", true, keys, COUNT(keys)))
        return;
    number(r, "global", true, BATCH_MAX, &t->global_batch);
    t->micro_batch = 1;
    number(r, "micro", false, BATCH_MAX, &t->micro_batch);
    if (r->status != FS_OK)
        return;
    uint64_t replica = (uint64_t)t->micro_batch * t->dp;
    if (t->global_batch % replica != 0)
        r->status = fs_json_fail(r->doc, fs_json_get(r->object, "global"), false, r->err,
                                 "'global' is %u, which is no multiple of micro x dp, %llu", t->global_batch,
                                 (unsigned long long)replica);
    else if ((uint64_t)fs_training_microbatches(t) * t->model.layers > PASSES_MAX)
        r->status = fs_json_fail(r->doc, r->object, false, r->err,
                                 "%u microbatches of %u layers; their product may be %d at most",
                                 fs_training_microbatches(t), t->model.layers, PASSES_MAX);
}

static void read_options(reader *r, fs_training *t)
{
    static const char *const precisions[] = {"fp16", "bf16"}, *const grads[] = {"fp16", "bf16", "fp32"};
    static const fs_dtype dtypes[] = {FS_FP16, FS_BF16, FS_FP32};
    static const char *const recomputes[] = {"none", "full"}, *const kernels[] = {"unfused", "fused", "flash"};
    static const char *const optimizers[] = {"adam"}, *const overlaps[] = {"grad_reduce"};
    const fs_json *root = fs_json_root(r->doc);
    uint32_t precision = choice(r, root, "precision", false, precisions, COUNT(precisions), 0);
    t->precision = dtypes[precision];
    t->grad_dtype = dtypes[choice(r, root, "grad_dtype", false, grads, COUNT(grads), precision)];
    t->recompute = choice(r, root, "recompute", false, recomputes, COUNT(recomputes), 0) == 1;
    t->kernels = (fs_kernels)choice(r, root, "kernels", false, kernels, COUNT(kernels), FS_FUSED);
    choice(r, root, "optimizer", false, optimizers, COUNT(optimizers), 0);
    if (enter(r, "overlap", false, overlaps, COUNT(overlaps)))
        flag(r, "grad_reduce", &t->overlap_grad_reduce);
}

static fs_status set_note(fs_work_builder *b, const fs_training *t, fs_err *err)
{
    static const char *const kernels[] = {"unfused", "fused", "flash"};
    const fs_transformer *m = &t->model;
    double n = fs_transformer_parameters(m);
    uint64_t tenths = (uint64_t)(n / 1e8 + 0.5); /* of a billion: integers need no decimal point of the locale's */
    char note[256], size[32];
    if (n < 1e9)
        snprintf(size, sizeof size, "%.0fM", n / 1e6);
    else
        snprintf(size, sizeof size, "%llu.%lluB", (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10));
    snprintf(note, sizeof note,
             "%s parameters (%u layers, hidden %u, %u heads), TP %u x DP %u, batch %u x %u tokens, %s, %s kernels%s",
             size, m->layers, m->hidden, m->heads, t->tp, t->dp, t->global_batch, m->seq, fs_dtype_names[t->precision],
             kernels[t->kernels], t->recompute ? ", full recomputation" : "");
    return fs_work_set_note(b, note, err);
}

static fs_status expand(fs_work_builder *b, const fs_training *t, fs_err *err)
{
    uint32_t tp = 0, dp = 0, program = 0, n_ranks = t->tp * t->dp;
    fs_totals totals = {.model_flops = fs_training_model_flops(t),
                        .hardware_flops = fs_training_hardware_flops(t),
                        .tokens = (double)t->global_batch * t->model.seq,
                        .samples = t->global_batch,
                        .dtype = t->precision,
                        .memory = fs_training_memory(t)};
    fs_status status = fs_work_set_ranks(b, n_ranks, err);
    if (status == FS_OK)
        status = fs_work_family_strided(b, "tp", t->tp, 1, &tp, err);
    if (status == FS_OK)
        status = fs_work_family_strided(b, "dp", t->dp, t->tp, &dp, err);
    if (status == FS_OK)
        status = fs_work_program(b, "step", &program, err);
    for (uint32_t rank = 0; rank < n_ranks && status == FS_OK; rank++)
        status = fs_work_assign(b, rank, program, err);
    if (status == FS_OK)
        status = fs_training_emit(b, program, t, tp, dp, err);
    if (status == FS_OK)
        status = set_note(b, t, err);
    if (status == FS_OK)
        fs_work_set_totals(b, &totals);
    return status;
}

fs_status fs_trace_read_training(const fs_json_doc *doc, fs_work_builder *b, fs_err *err)
{
    static const char *const keys[] = {"fabsim",    "kind",      "name",       "model",     "parallel",
                                       "batch",     "precision", "grad_dtype", "recompute", "kernels",
                                       "optimizer", "overlap",   "faults",     "scale"};
    fs_training t = {0};
    reader r = {.doc = doc, .err = err};
    r.status = fs_json_only(doc, fs_json_root(doc), keys, COUNT(keys), err);
    read_parallel(&r, &t);
    read_model(&r, &t);
    read_batch(&r, &t);
    read_options(&r, &t);
    return r.status == FS_OK ? expand(b, &t, err) : r.status;
}
