/* training_model.c - "model" of a training trace (docs/FORMATS.md, Trace). */
#include "work/training_reader.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void read_mla(fs_training_reader *r, const fs_json *model, fs_mla *a)
{
    static const char *const keys[] = {"q_rank", "kv_rank", "nope_dim", "rope_dim", "v_dim"};
    if (!fs_training_enter(r, model, "mla", false, keys, COUNT(keys)))
        return;
    fs_training_number(r, "q_rank", false, FS_WIDTH_MAX, &a->q_rank);
    fs_training_number(r, "kv_rank", true, FS_WIDTH_MAX, &a->kv_rank);
    fs_training_number(r, "nope_dim", true, FS_WIDTH_MAX, &a->nope);
    fs_training_number(r, "rope_dim", true, FS_WIDTH_MAX, &a->rope);
    fs_training_number(r, "v_dim", true, FS_WIDTH_MAX, &a->v);
}

/* ---- how popular experts are ------------------------------------------------------------------------------------- */

/* The r-th most popular expert is chosen in proportion to (r + 1)^-exponent. Popular ones are dealt out to the
 * expert-parallel positions in turn, as a placement that knows of them would. */
static void zipf(double *popularity, uint32_t experts, uint32_t ep, double exponent)
{
    uint32_t local = experts / ep;
    for (uint32_t e = 0; e < experts; e++)
        popularity[e] = pow(e % local * ep + e / local + 1, -exponent);
}

static void read_vector(fs_training_reader *r, const fs_json *list, uint32_t experts)
{
    uint32_t i = 0;
    if (fs_json_count(list) != experts)
        r->status = fs_json_fail(r->doc, list, false, r->err, "'skew' has %u numbers, but there are %u experts",
                                 fs_json_count(list), experts);
    for (const fs_json *v = fs_json_first(list); v && r->status == FS_OK; v = fs_json_next(v), i++) {
        r->popularity[i] = fs_json_kind(v) == FS_JSON_NUMBER ? fs_json_number(v) : -1;
        if (!(r->popularity[i] >= 0))
            r->status = fs_json_fail(r->doc, v, false, r->err, "expected how popular an expert is: not negative");
    }
}

/* "uniform"; {"zipf": 1.1}; or a number for each expert. */
static void read_skew(fs_training_reader *r, const fs_json *skew, fs_training *t)
{
    static const char *const names[] = {"uniform"}, *const keys[] = {"zipf"};
    uint32_t ignored = 0;
    double exponent = 1, sum = 0;
    if (skew == NULL || r->status != FS_OK)
        return;
    if (fs_json_kind(skew) == FS_JSON_STRING) {
        fs_training_choice(r, r->object, "skew", true, names, COUNT(names), &ignored);
        return;
    }
    r->popularity = fs_alloc(t->model.moe.experts, sizeof *r->popularity);
    if (r->popularity == NULL) {
        r->status = fs_fail_nomem(r->err);
    } else if (fs_json_kind(skew) == FS_JSON_ARRAY) {
        read_vector(r, skew, t->model.moe.experts);
    } else if (fs_json_kind(skew) == FS_JSON_OBJECT) {
        r->status = fs_json_only(r->doc, skew, keys, COUNT(keys), r->err);
        if (r->status == FS_OK)
            r->status = fs_json_number_in(r->doc, skew, "zipf", true, 0, 10, &exponent, r->err);
        zipf(r->popularity, t->model.moe.experts, t->ep, exponent);
    } else {
        r->status = fs_json_fail(r->doc, skew, false, r->err,
                                 "'skew' is \"uniform\", {\"zipf\": exponent}, or a number for each expert");
    }
    for (uint32_t e = 0; r->status == FS_OK && e < t->model.moe.experts; e++)
        sum += r->popularity[e];
    if (r->status == FS_OK && !(sum > 0 && isfinite(sum)))
        r->status = fs_json_fail(r->doc, skew, false, r->err, "'skew' sums to nothing, or to more than a number holds");
    for (uint32_t e = 0; r->status == FS_OK && e < t->model.moe.experts; e++)
        r->popularity[e] /= sum;
    t->model.moe.popularity = r->popularity;
}

static void read_moe(fs_training_reader *r, const fs_json *model, fs_training *t)
{
    static const char *const keys[] = {"experts", "top_k",       "ffn",      "shared_ffn",
                                       "every",   "dense_first", "capacity", "skew"};
    fs_moe *moe = &t->model.moe;
    if (!fs_training_enter(r, model, "moe", false, keys, COUNT(keys)))
        return;
    uint64_t first = 0;
    moe->top_k = 2;
    moe->ffn = t->model.ffn;
    fs_training_number(r, "experts", true, FS_EXPERTS_MAX, &moe->experts);
    fs_training_number(r, "top_k", false, moe->experts, &moe->top_k);
    fs_training_number(r, "ffn", false, 4 * FS_WIDTH_MAX, &moe->ffn);
    fs_training_number(r, "shared_ffn", false, 4 * FS_WIDTH_MAX, &moe->shared_ffn);
    fs_training_number(r, "every", false, FS_LAYERS_MAX, &moe->every);
    if (r->status == FS_OK)
        r->status = fs_json_uint_in(r->doc, r->object, "dense_first", false, 0, FS_LAYERS_MAX, &first, r->err);
    if (r->status == FS_OK)
        r->status = fs_json_number_in(r->doc, r->object, "capacity", false, 0.01, 100, &moe->capacity, r->err);
    moe->first = (uint32_t)first;
    fs_training_divides(r, "experts", moe->experts, "ep", t->ep);
    fs_training_divides(r, "ffn", moe->ffn, "etp", t->etp);
    fs_training_divides(r, "shared_ffn", moe->shared_ffn, "tp", t->tp);
    if (r->status == FS_OK && moe->top_k > moe->experts)
        r->status = fs_json_fail(r->doc, r->object, false, r->err, "top_k is %u, but there are %u experts", moe->top_k,
                                 moe->experts);
    read_skew(r, fs_json_get(r->object, "skew"), t);
}

/* What only the kernels of serving know, as windows: norms of queries and keys. */
static void read_qk_norm(fs_training_reader *r, const fs_json *model, fs_transformer *m)
{
    static const char *const norms[FS_QK_NORMS] = {"none", "head", "all"};
    uint32_t norm = FS_QK_NONE;
    r->object = model;
    fs_training_choice(r, model, "qk_norm", false, norms, COUNT(norms), &norm);
    m->qk_norm = (uint8_t)norm;
}

/* ---- the model --------------------------------------------------------------------------------------------------- */

static void read_sizes(fs_training_reader *r, fs_transformer *m)
{
    const fs_json *head_dim = fs_json_get(r->object, "head_dim");
    uint32_t layers = 0, hidden = 0, heads = 0, vocab = 0, seq = 0;
    fs_training_number(r, "layers", true, FS_LAYERS_MAX, &layers);
    fs_training_number(r, "hidden", true, FS_WIDTH_MAX, &hidden);
    fs_training_number(r, "heads", true, FS_WIDTH_MAX, &heads);
    fs_training_number(r, "vocab", true, FS_WIDTH_MAX, &vocab);
    fs_training_number(r, "seq", true, FS_WIDTH_MAX, &seq);
    *m = fs_transformer_default(layers, hidden, heads, vocab, seq);
    fs_training_number(r, "kv_heads", false, FS_WIDTH_MAX, &m->kv_heads);
    fs_training_number(r, "head_dim", false, FS_WIDTH_MAX, &m->head_dim);
    fs_training_number(r, "ffn", false, 4 * FS_WIDTH_MAX, &m->ffn);
    if (head_dim == NULL && fs_json_get(r->object, "mla") == NULL)
        fs_training_divides(r, "hidden", hidden, "heads", heads);
    fs_training_divides(r, "heads", heads, "kv_heads", m->kv_heads);
}

static void read_kinds(fs_training_reader *r, fs_transformer *m)
{
    static const char *const norms[] = {"layer", "rms"}, *const positions[] = {"learned", "rotary", "none"};
    uint32_t norm = 0, position = 0;
    fs_training_flag(r, "gated", &m->gated);
    fs_training_flag(r, "tied", &m->tied);
    fs_training_flag(r, "bias", &m->bias);
    fs_training_flag(r, "dropout", &m->dropout);
    fs_training_flag(r, "causal", &m->causal);
    fs_training_flag(r, "parallel_block", &m->parallel_block);
    fs_training_choice(r, r->object, "norm", false, norms, COUNT(norms), &norm);
    fs_training_choice(r, r->object, "positions", false, positions, COUNT(positions), &position);
    m->norm_bias = norm == 0;
    m->learned_positions = position == 0;
    m->rotary = position == 1;
}

/* gpt-oss: {"tokens": 128, "full_every": 2}. */
static void read_window(fs_training_reader *r, const fs_json *model, fs_transformer *m)
{
    static const char *const keys[] = {"tokens", "full_every"};
    if (!fs_training_enter(r, model, "window", false, keys, COUNT(keys)))
        return;
    m->full_every = 1;
    fs_training_number(r, "tokens", true, FS_WIDTH_MAX, &m->window);
    fs_training_number(r, "full_every", true, m->layers, &m->full_every);
    if (r->status == FS_OK && m->mla.kv_rank > 0)
        r->status = fs_json_fail(r->doc, r->object, false, r->err, "'window' does not go with 'mla'");
}

void fs_training_read_model(fs_training_reader *r, fs_training *t)
{
    static const char *const keys[] = {"layers",         "hidden",  "heads",  "kv_heads", "head_dim", "ffn",
                                       "vocab",          "seq",     "gated",  "tied",     "bias",     "norm",
                                       "positions",      "dropout", "causal", "mla",      "moe",      "mtp",
                                       "parallel_block", "window",  "qk_norm"};
    fs_transformer *m = &t->model;
    if (!fs_training_enter(r, fs_json_root(r->doc), "model", true, keys, COUNT(keys)))
        return;
    const fs_json *model = r->object;
    read_sizes(r, m);
    read_kinds(r, m);
    fs_training_number(r, "mtp", false, FS_LAYERS_MAX, &m->mtp);
    fs_training_divides(r, "heads", m->heads, "tp", t->tp);
    if (fs_json_get(model, "mla") == NULL)
        fs_training_divides(r, "kv_heads", m->kv_heads, "tp", t->tp);
    fs_training_divides(r, "ffn", m->ffn, "tp", t->tp);
    fs_training_divides(r, "vocab", m->vocab, "tp", t->tp);
    fs_training_divides(r, "seq", m->seq, t->sequence ? "tp x cp" : "cp", t->cp * (t->sequence ? t->tp : 1));
    read_qk_norm(r, model, m);
    read_mla(r, model, &m->mla);
    read_moe(r, model, t);
    read_window(r, model, m);
    r->object = model;
    if (r->status == FS_OK && m->layers + 2 < (uint64_t)t->pp * t->vpp) /* embedding and output may be alone */
        r->status = fs_json_fail(r->doc, fs_json_get(model, "layers"), false, r->err,
                                 "%u layers for pp x vpp, %llu: each but the first and the last needs one", m->layers,
                                 (unsigned long long)t->pp * t->vpp);
    if (r->status == FS_OK && m->moe.experts > 0 && m->parallel_block)
        r->status = fs_json_fail(r->doc, fs_json_get(model, "parallel_block"), false, r->err,
                                 "'parallel_block' is of attention and an MLP, but layers have experts");
    if (r->status == FS_OK && m->moe.experts == 0 && t->ep * t->etp > 1)
        r->status = fs_json_fail(r->doc, model, false, r->err, "'ep' and 'etp' spread experts, but 'moe' is missing");
    if (r->status == FS_OK && m->moe.experts > 0 && t->tp > 1 && !t->sequence)
        r->status = fs_json_fail(r->doc, model, false, r->err,
                                 "experts under tensor parallelism need \"sequence\": true in 'parallel'");
}
