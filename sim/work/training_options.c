/* training_options.c - number formats, kernels, recomputation, overlap and host of a training trace (docs/FORMATS.md). */
#include "work/training_reader.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void part(fs_training_reader *r, const char *key, fs_dtype *dtype)
{
    static const char *const names[] = {"fp16", "bf16", "fp8", "fp4"};
    static const fs_dtype dtypes[] = {FS_FP16, FS_BF16, FS_FP8, FS_FP4};
    uint32_t at = FS_NONE;
    fs_training_choice(r, r->object, key, false, names, COUNT(names), &at);
    if (r->status == FS_OK && at != FS_NONE)
        *dtype = dtypes[at];
}

static double bytes_of(fs_dtype dtype)
{
    return dtype == FS_FP4 ? 0.5 : dtype == FS_FP8 ? 1 : FS_ACTIVATION_BYTES;
}

/* "bf16", "fp8": products of weights in fp8, all else in bf16; or the parts one by one. */
static void read_precision(fs_training_reader *r, fs_training *t)
{
    static const char *const names[] = {"fp16", "bf16", "fp8", "fp4"}, *const bases[] = {"fp16", "bf16"};
    static const char *const keys[] = {"base",     "gemm",    "experts", "attention", "logits",
                                       "dispatch", "combine", "weights", "scales"},
                             *const scales[] = {"block", "tensor"};
    static const fs_dtype dtypes[] = {FS_FP16, FS_BF16, FS_FP8, FS_FP4};
    const fs_json *root = fs_json_root(r->doc);
    uint32_t kind = 0, scale = 0;
    bool parts = fs_json_kind(fs_json_get(root, "precision")) == FS_JSON_OBJECT;
    if (parts && fs_training_enter(r, root, "precision", true, keys, COUNT(keys))) {
        kind = 1;
        fs_training_choice(r, r->object, "base", false, bases, COUNT(bases), &kind);
    } else if (!parts) {
        fs_training_choice(r, root, "precision", false, names, COUNT(names), &kind);
    }
    t->precision = kind == 0 ? FS_FP16 : FS_BF16;
    t->gemm = dtypes[kind];
    t->attention = t->logits = t->precision;
    if (parts)
        part(r, "gemm", &t->gemm);
    t->experts = t->gemm;
    fs_dtype dispatch = t->precision, combine = t->precision, weights = t->precision;
    if (parts) {
        part(r, "experts", &t->experts);
        part(r, "attention", &t->attention);
        part(r, "logits", &t->logits);
        part(r, "dispatch", &dispatch);
        part(r, "combine", &combine);
        part(r, "weights", &weights);
        fs_training_choice(r, r->object, "scales", false, scales, COUNT(scales), &scale);
    }
    t->tensor_scales = scale == 1;
    t->dispatch_bytes = bytes_of(dispatch);
    t->combine_bytes = bytes_of(combine);
    t->param_bytes = bytes_of(weights);
}

static void read_optimizer(fs_training_reader *r, fs_training *t)
{
    static const char *const optimizers[] = {"adam"}, *const keys[] = {"name", "master", "moments"};
    static const char *const formats[] = {"fp32", "fp16", "bf16", "fp8", "none"};
    static const double bytes[] = {4, 2, 2, 1, 0};
    const fs_json *root = fs_json_root(r->doc);
    uint32_t ignored = 0, master = 0, moments = 0;
    if (fs_json_kind(fs_json_get(root, "optimizer")) == FS_JSON_OBJECT) {
        if (!fs_training_enter(r, root, "optimizer", true, keys, COUNT(keys)))
            return;
        fs_training_choice(r, r->object, "name", false, optimizers, COUNT(optimizers), &ignored);
        fs_training_choice(r, r->object, "master", false, formats, COUNT(formats), &master);
        fs_training_choice(r, r->object, "moments", false, formats, COUNT(formats) - 1, &moments);
    } else {
        fs_training_choice(r, root, "optimizer", false, optimizers, COUNT(optimizers), &ignored);
    }
    t->master_bytes = bytes[master];
    t->moment_bytes = bytes[moments];
}

/* true, false, or "backward": which tensor-parallel collectives run beside products. */
static void read_tp_overlap(fs_training_reader *r, fs_training *t)
{
    static const char *const names[] = {"none", "backward", "all"};
    uint32_t which = FS_TP_NONE;
    bool all = false;
    if (fs_json_kind(fs_json_get(r->object, "tp")) == FS_JSON_STRING) {
        fs_training_choice(r, r->object, "tp", false, names, COUNT(names), &which);
    } else {
        fs_training_flag(r, "tp", &all);
        which = all ? FS_TP_ALL : FS_TP_NONE;
    }
    t->overlap_tp = t->tp > 1 ? (fs_tp_overlap)which : FS_TP_NONE;
}

static void read_overlap(fs_training_reader *r, fs_training *t)
{
    static const char *const keys[] = {"grad_reduce", "param_gather", "tp",     "pp",
                                       "ep",          "moe_shared",   "bucket", "sm_share"};
    double share = 0;
    t->overlap_grad_reduce = t->overlap_param_gather = t->zero == 3;
    t->overlap_pp = true;
    if (!fs_training_enter(r, fs_json_root(r->doc), "overlap", false, keys, COUNT(keys)))
        return;
    fs_training_flag(r, "grad_reduce", &t->overlap_grad_reduce);
    fs_training_flag(r, "param_gather", &t->overlap_param_gather);
    read_tp_overlap(r, t);
    fs_training_flag(r, "pp", &t->overlap_pp);
    fs_training_flag(r, "moe_shared", &t->overlap_shared);
    fs_training_flag(r, "ep", &t->overlap_ep);
    if (r->status == FS_OK && t->overlap_ep && (t->schedule != FS_SCHEDULE_1F1B || (t->pp > 1 && t->vpp == 1)))
        r->status = fs_json_fail(r->doc, fs_json_get(r->object, "ep"), true, r->err,
                                 "'ep' needs the schedule 1f1b, interleaved where pp > 1; vpp is %u", t->vpp);
    t->overlap_ep = t->overlap_ep && t->ep > 1;
    if (r->status == FS_OK)
        r->status = fs_json_number_in(r->doc, r->object, "bucket", false, 0, 1e15, &t->bucket, r->err);
    if (r->status == FS_OK)
        r->status = fs_json_number_in(r->doc, r->object, "sm_share", false, 0, 0.9, &share, r->err);
    t->sm_share = (float)share;
}

/* How tokens get to their experts and back. */
static void read_dispatch(fs_training_reader *r, fs_training *t)
{
    static const char *const keys[] = {"algo", "top_domains", "padded"}, *const names[] = {"forwarded", "direct",
                                                                                           "lowlatency"};
    static const fs_algo algos[] = {FS_ALGO_FORWARDED, FS_ALGO_DIRECT, FS_ALGO_LOWLATENCY};
    uint32_t at = 0;
    if (fs_training_enter(r, fs_json_root(r->doc), "dispatch", false, keys, COUNT(keys))) {
        const fs_json *limit = fs_json_get(r->object, "top_domains");
        fs_training_choice(r, r->object, "algo", false, names, COUNT(names), &at);
        fs_training_flag(r, "padded", &t->dispatch_padded);
        fs_training_number(r, "top_domains", false, UINT16_MAX, &t->top_domains);
        if (r->status == FS_OK && limit && at != 0)
            r->status = fs_json_fail(r->doc, limit, true, r->err, "'top_domains' goes with \"algo\": \"forwarded\"");
    }
    t->dispatch_algo = (uint8_t)algos[at];
}

/* Bits of the words that a list has, or a string between its '+'; `expected` is what an unknown one is answered with. */
static uint32_t read_words(fs_training_reader *r, const fs_json *value, const char *const *words, size_t count,
                           const char *expected)
{
    bool list = fs_json_kind(value) == FS_JSON_ARRAY;
    uint32_t bits = 0;
    for (const fs_json *v = list ? fs_json_first(value) : value; v && r->status == FS_OK;
         v = list ? fs_json_next(v) : NULL) {
        const char *text = fs_json_kind(v) == FS_JSON_STRING ? fs_json_string(v) : "";
        for (bool more = true; more && r->status == FS_OK;) {
            size_t at = 0, length = list ? strlen(text) : strcspn(text, "+");
            while (at < count && (strncmp(text, words[at], length) != 0 || words[at][length] != '\0'))
                at++;
            if (at == count)
                r->status = fs_json_fail(r->doc, v, false, r->err, "expected %s", expected);
            else
                bits |= 1u << at;
            more = text[length] == '+';
            text += length + more;
        }
    }
    return bits;
}

/* "none", "full", "selective" (attention's scores); or what is formed again in the backward pass. */
static void read_recompute(fs_training_reader *r, fs_training *t)
{
    static const char *const words[] = {"none", "selective", "full", "scores", "norm", "activation", "latent", "mlp"};
    enum { PARTS = FS_RECOMPUTE_FULL + 1 }; /* the words from here on */
    const fs_json *root = fs_json_root(r->doc), *value = fs_json_get(root, "recompute");
    uint32_t word = FS_RECOMPUTE_NONE;
    if (value && (fs_json_kind(value) == FS_JSON_ARRAY ||
                  (fs_json_kind(value) == FS_JSON_STRING && strchr(fs_json_string(value), '+')))) {
        t->recompute_parts =
            read_words(r, value, words + PARTS, COUNT(words) - PARTS,
                       "what to form again: \"scores\", \"norm\", \"activation\", \"latent\", \"mlp\"");
    } else {
        fs_training_choice(r, root, "recompute", false, words, COUNT(words), &word);
        t->recompute_parts = word == FS_RECOMPUTE_SELECTIVE ? FS_AGAIN_SCORES
                             : word >= PARTS                ? 1u << (word - PARTS)
                                                            : 0;
    }
    t->recompute = t->recompute_parts ? FS_RECOMPUTE_SELECTIVE : (fs_recompute)word;
}

/* What the CPU that launches kernels costs. */
static void read_host(fs_training_reader *r, fs_training *t)
{
    static const char *const keys[] = {"launch_us", "step_us", "graphs", "sync"};
    static const char *const captured[] = {"attention", "router"};
    double launch_us = 0, step_us = 0;
    if (!fs_training_enter(r, fs_json_root(r->doc), "host", false, keys, COUNT(keys)))
        return;
    if (r->status == FS_OK)
        r->status = fs_json_number_in(r->doc, r->object, "launch_us", false, 0, 1e6, &launch_us, r->err);
    if (r->status == FS_OK)
        r->status = fs_json_number_in(r->doc, r->object, "step_us", false, 0, 1e9, &step_us, r->err);
    const fs_json *graphs = fs_json_get(r->object, "graphs");
    if (r->status == FS_OK && graphs)
        t->host_graphs =
            read_words(r, graphs, captured, COUNT(captured), "what graphs launch: \"attention\", \"router\"");
    fs_training_flag(r, "sync", &t->host_sync);
    t->host_launch_s = launch_us * 1e-6;
    t->host_step_s = step_us * 1e-6;
}

void fs_training_read_options(fs_training_reader *r, fs_training *t)
{
    static const char *const grads[] = {"fp16", "bf16", "fp32"};
    static const char *const kernels[] = {"unfused", "fused", "flash"};
    static const fs_dtype dtypes[] = {FS_FP16, FS_BF16, FS_FP32};
    const fs_json *root = fs_json_root(r->doc);
    uint32_t kernel = FS_FUSED;
    read_precision(r, t);
    uint32_t grad = t->precision == FS_FP16 ? 0 : 1;
    fs_training_choice(r, root, "grad_dtype", false, grads, COUNT(grads), &grad);
    read_recompute(r, t);
    fs_training_choice(r, root, "kernels", false, kernels, COUNT(kernels), &kernel);
    t->grad_dtype = dtypes[grad];
    t->gradient_fusion = kernel == FS_FLASH;
    r->object = root;
    fs_training_flag(r, "gradient_fusion", &t->gradient_fusion);
    t->kernels = (fs_kernels)kernel;
    read_optimizer(r, t);
    read_overlap(r, t);
    read_dispatch(r, t);
    read_host(r, t);
}
