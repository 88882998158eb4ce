/* training.c - kind "training": a transformer's step under any mix of parallelism (docs/FORMATS.md, Trace).
 *
 * Reads and checks the description, then expands it: training_step.c writes the programs, training_layout.c and
 * transformer.c know the totals. training_model.c and training_options.c read the rest. */
#include "work/training_reader.h"
#include "work/training_step.h"

#include "base/mem.h"
#include "base/num.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

#ifndef FS_PASSES_MAX        /* fuzz builds take less, so that few bytes cannot ask for many ops */
#define FS_PASSES_MAX 200000 /* layers x microbatches: some million ops */
#endif

enum {
    BATCH_MAX = 1 << 24, /* sequences */
    PASSES_MAX = FS_PASSES_MAX
};

/* ---- typed members ----------------------------------------------------------------------------------------------- */

bool fs_training_enter(fs_training_reader *r, const fs_json *parent, const char *key, bool required,
                       const char *const *keys, size_t count)
{
    const fs_json *object = fs_json_get(parent, key);
    if (r->status != FS_OK)
        return false;
    if (object == NULL && required)
        r->status = fs_json_fail(r->doc, parent, false, r->err, "missing key '%s'", key);
    else if (object && fs_json_kind(object) != FS_JSON_OBJECT)
        r->status = fs_json_fail(r->doc, object, false, r->err, "'%s' is an object", key);
    else
        r->status = fs_json_only(r->doc, object, keys, count, r->err);
    if (r->status != FS_OK || object == NULL)
        return false;
    r->object = object;
    return true;
}

void fs_training_number(fs_training_reader *r, const char *key, bool required, uint32_t high, uint32_t *out)
{
    uint64_t value = *out;
    if (r->status == FS_OK)
        r->status = fs_json_uint_in(r->doc, r->object, key, required, 1, high, &value, r->err);
    *out = (uint32_t)value;
}

void fs_training_flag(fs_training_reader *r, const char *key, bool *out)
{
    if (r->status == FS_OK)
        r->status = fs_json_bool_in(r->doc, r->object, key, false, out, r->err);
}

void fs_training_choice(fs_training_reader *r, const fs_json *object, const char *key, bool required,
                        const char *const *names, size_t count, uint32_t *out)
{
    if (r->status == FS_OK)
        r->status = fs_json_enum_in(r->doc, object, key, required, names, count, out, r->err);
}

void fs_training_divides(fs_training_reader *r, const char *key, uint32_t value, const char *what, uint32_t of)
{
    const fs_json *place = fs_json_get(r->object, key);
    if (r->status == FS_OK && (of == 0 || value % of != 0))
        r->status = fs_json_fail(r->doc, place ? place : r->object, false, r->err,
                                 "'%s' is %u, which is no multiple of %s, %u", key, value, what, of);
}

/* ---- parallelism ------------------------------------------------------------------------------------------------- */

static const char *const dimensions[FS_DIMS] = {"tp", "cp", "ep", "dp", "pp"};

/* "tp-cp-ep-dp-pp", the fastest first; dimensions that it leaves out come behind. */
static void read_order(fs_training_reader *r, fs_training *t)
{
    const char *text = "tp-cp-ep-dp-pp";
    uint32_t n = 0;
    bool seen[FS_DIMS] = {false};
    if (r->status == FS_OK)
        r->status = fs_json_string_in(r->doc, r->object, "order", false, &text, r->err);
    for (const char *at = text; r->status == FS_OK && *at != '\0';) {
        uint32_t d = 0;
        while (d < FS_DIMS && strncmp(at, dimensions[d], 2) != 0)
            d++;
        if (d == FS_DIMS || seen[d] || (at[2] != '-' && at[2] != '\0') || (at[2] == '-' && at[3] == '\0')) {
            r->status = fs_json_fail(r->doc, fs_json_get(r->object, "order"), false, r->err,
                                     "'%.100s' is no order of tp, cp, ep, dp and pp, such as \"tp-cp-ep-dp-pp\"", text);
            return;
        }
        seen[d] = true;
        t->order[n++] = (uint8_t)d;
        at += at[2] == '-' ? 3 : 2;
    }
    for (uint32_t d = 0; d < FS_DIMS; d++)
        if (!seen[d])
            t->order[n++] = (uint8_t)d;
}

/* dp follows from the number of GPUs where only that is given. */
static void read_replicas(fs_training_reader *r, fs_training *t)
{
    uint32_t gpus = 0;
    uint64_t replica = (uint64_t)t->tp * t->cp * t->pp;
    fs_training_number(r, "gpus", false, FS_RANKS_MAX, &gpus);
    fs_training_number(r, "dp", false, FS_RANKS_MAX, &t->dp);
    if (r->status != FS_OK || gpus == 0)
        return;
    const fs_json *place = fs_json_get(r->object, "gpus");
    if (gpus % replica != 0)
        r->status =
            fs_json_fail(r->doc, place, false, r->err, "'gpus' is %u, which is no multiple of tp x cp x pp, %llu", gpus,
                         (unsigned long long)replica);
    else if (fs_json_get(r->object, "dp") && gpus != replica * t->dp)
        r->status = fs_json_fail(r->doc, place, false, r->err, "'gpus' is %u, but tp x cp x pp x dp is %llu", gpus,
                                 (unsigned long long)(replica * t->dp));
    t->dp = (uint32_t)(gpus / replica);
}

static void check_parallel(fs_training_reader *r, const fs_training *t)
{
    const fs_json *place = r->object;
    if (r->status != FS_OK)
        return;
    double ranks = (double)t->tp * t->cp * t->dp * t->pp, experts = (double)t->ep * t->etp;
    if (ranks > FS_RANKS_MAX)
        r->status = fs_json_fail(r->doc, place, false, r->err, "tp x cp x dp x pp is %.0f ranks, expected at most %d",
                                 ranks, FS_RANKS_MAX);
    else if (experts > FS_RANKS_MAX || t->tp * t->cp * t->dp % (t->ep * t->etp) != 0)
        r->status =
            fs_json_fail(r->doc, place, false, r->err, "ep x etp is %.0f, which does not divide tp x cp x dp, %u",
                         experts, t->tp * t->cp * t->dp);
    else if (t->dp % t->shard != 0)
        r->status = fs_json_fail(r->doc, fs_json_get(place, "shard"), false, r->err,
                                 "'shard' is %u, which does not divide dp, %u", t->shard, t->dp);
    else if (t->shard < t->dp && (t->zero == 0 || t->ep * t->etp > 1))
        r->status = fs_json_fail(r->doc, fs_json_get(place, "shard"), false, r->err,
                                 "'shard' goes with 'zero', without experts");
    else if (t->vpp > 1 && t->pp == 1)
        r->status =
            fs_json_fail(r->doc, fs_json_get(place, "vpp"), false, r->err, "'vpp' needs pipeline stages, but pp is 1");
}

static void check_stages(fs_training_reader *r, const fs_training *t)
{
    if (r->status == FS_OK && t->pp > 1 &&
        fs_training_digit(t, FS_DIM_PP).stride != fs_training_expert_digit(t, FS_DIM_PP).stride)
        r->status = fs_json_fail(r->doc, r->object, false, r->err,
                                 "in this order a pipeline stage would be other ranks for experts (etp, ep) than for "
                                 "the rest (tp, cp): put pp behind ep, or make them equal");
}

static void read_parallel(fs_training_reader *r, fs_training *t)
{
    static const char *const keys[] = {"tp",    "cp",       "pp",      "vpp",  "dp",    "ep",   "etp",
                                       "order", "sequence", "cp_comm", "zero", "shard", "gpus", "scatter_gather"};
    static const char *const comms[] = {"all_gather", "ring"};
    uint32_t ring = 0;
    uint64_t zero = 0;
    t->tp = t->cp = t->pp = t->vpp = t->dp = t->ep = t->etp = t->shard = 1;
    for (uint8_t d = 0; d < FS_DIMS; d++)
        t->order[d] = d;
    if (!fs_training_enter(r, fs_json_root(r->doc), "parallel", false, keys, COUNT(keys)))
        return;
    fs_training_number(r, "tp", false, FS_RANKS_MAX, &t->tp);
    fs_training_number(r, "cp", false, FS_RANKS_MAX, &t->cp);
    fs_training_number(r, "pp", false, FS_RANKS_MAX, &t->pp);
    fs_training_number(r, "vpp", false, FS_RANKS_MAX, &t->vpp);
    fs_training_number(r, "ep", false, FS_RANKS_MAX, &t->ep);
    bool experts = fs_json_get(fs_json_get(fs_json_root(r->doc), "model"), "moe") != NULL;
    t->etp = experts ? t->tp : 1;
    fs_training_number(r, "etp", false, FS_RANKS_MAX, &t->etp);
    if (r->status == FS_OK && (double)t->tp * t->cp * t->pp <= FS_RANKS_MAX)
        read_replicas(r, t);
    t->shard = t->dp;
    fs_training_number(r, "shard", false, FS_RANKS_MAX, &t->shard);
    if (r->status == FS_OK)
        r->status = fs_json_uint_in(r->doc, r->object, "zero", false, 0, 3, &zero, r->err);
    t->zero = (uint32_t)zero;
    fs_training_flag(r, "sequence", &t->sequence);
    fs_training_flag(r, "scatter_gather", &t->scatter_gather);
    fs_training_choice(r, r->object, "cp_comm", false, comms, COUNT(comms), &ring);
    t->ring = ring == 1;
    t->sequence = t->sequence && t->tp > 1;
    read_order(r, t);
    check_parallel(r, t);
    if (experts)
        check_stages(r, t);
}

/* ---- batch and schedule ------------------------------------------------------------------------------------------ */

static void check_batch(fs_training_reader *r, const fs_training *t)
{
    uint64_t replica = (uint64_t)t->micro_batch * t->dp;
    const fs_json *place = fs_json_get(r->object, "global");
    if (r->status != FS_OK)
        return;
    if (t->global_batch % replica != 0) {
        r->status =
            fs_json_fail(r->doc, place, false, r->err, "'global' is %u, which is no multiple of micro x dp, %llu",
                         t->global_batch, (unsigned long long)replica);
        return;
    }
    uint32_t n = fs_training_microbatches(t);
    double each = (t->model.moe.popularity ? t->ep : 1) * (double)(t->ring ? t->cp : 1);
    double passes = (double)n * t->model.layers * each;
    if (passes > PASSES_MAX && each > 1)
        r->status = fs_json_fail(r->doc, r->object, false, r->err,
                                 "%u microbatches of %u layers, for %.0f expert positions and steps of a ring; their "
                                 "product may be %d at most",
                                 n, t->model.layers, each, PASSES_MAX);
    else if (passes > PASSES_MAX)
        r->status = fs_json_fail(r->doc, r->object, false, r->err,
                                 "%u microbatches of %u layers; their product may be %d at most", n, t->model.layers,
                                 PASSES_MAX);
    else if (t->vpp > 1 && n % t->pp != 0)
        r->status =
            fs_json_fail(r->doc, place, false, r->err,
                         "%u microbatches, which are no multiple of pp, %u, as interleaving (vpp) needs", n, t->pp);
}

static void read_batch(fs_training_reader *r, fs_training *t)
{
    static const char *const keys[] = {"global", "micro"};
    static const char *const schedules[] = {"1f1b", "gpipe", "zb-h1"};
    const fs_json *root = fs_json_root(r->doc);
    uint32_t schedule = FS_SCHEDULE_1F1B;
    if (!fs_training_enter(r, root, "batch", true, keys, COUNT(keys)))
        return;
    fs_training_number(r, "global", true, BATCH_MAX, &t->global_batch);
    t->micro_batch = 1;
    fs_training_number(r, "micro", false, BATCH_MAX, &t->micro_batch);
    check_batch(r, t);
    fs_training_choice(r, root, "schedule", false, schedules, COUNT(schedules), &schedule);
    t->schedule = (fs_schedule)schedule;
    if (r->status == FS_OK && t->vpp > 1 && schedule != FS_SCHEDULE_1F1B)
        r->status = fs_json_fail(r->doc, fs_json_get(root, "schedule"), false, r->err,
                                 "interleaving (vpp) is a schedule of its own: leave out 'schedule'");
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static fs_status expand(fs_work_builder *b, const fs_training *t, fs_err *err)
{
    char note[512];
    fs_totals totals = {.model_flops = fs_training_model_flops(t),
                        .hardware_flops = fs_training_hardware_flops(t),
                        .tokens = (double)t->global_batch * t->model.seq,
                        .samples = t->global_batch,
                        .dtype = t->gemm,
                        .experts = t->model.moe.experts > 0};
    fs_status status = fs_training_memory(t, &totals.memory, err);
    if (status == FS_OK)
        status = fs_work_set_ranks(b, fs_training_ranks(t), err);
    if (status == FS_OK)
        status = fs_training_emit(b, t, err);
    fs_training_note(t, note, sizeof note);
    if (status == FS_OK)
        status = fs_work_set_note(b, note, err);
    if (status == FS_OK)
        fs_work_set_totals(b, &totals);
    return status;
}

fs_status fs_trace_read_training(const fs_json_doc *doc, fs_work_builder *b, fs_err *err)
{
    static const char *const keys[] = {"fabsim",
                                       "source",
                                       "kind",
                                       "name",
                                       "model",
                                       "parallel",
                                       "batch",
                                       "precision",
                                       "grad_dtype",
                                       "recompute",
                                       "kernels",
                                       "optimizer",
                                       "overlap",
                                       "dispatch",
                                       "schedule",
                                       "faults",
                                       "scale",
                                       "host",
                                       "kernel_efficiency",
                                       "kernels_measured",
                                       "gradient_fusion",
                                       "nccl"};
    fs_training t = {0};
    fs_training_reader r = {.doc = doc, .err = err};
    r.status = fs_json_only(doc, fs_json_root(doc), keys, COUNT(keys), err);
    read_parallel(&r, &t);
    fs_training_read_model(&r, &t);
    if (r.status == FS_OK && (t.model.window > 0 || t.model.qk_norm == FS_QK_ALL))
        r.status = fs_json_fail(
            doc, fs_json_get(fs_json_root(doc), "model"), false, err,
            "'window' and 'qk_norm': \"all\" are of models that are served; training has no kernels for them");
    read_batch(&r, &t);
    fs_training_read_options(&r, &t);
    const fs_json *measured = fs_json_get(fs_json_root(doc), "kernels_measured");
    if (r.status == FS_OK && measured)
        r.status = fs_training_read_measured(&r, measured, b);
    if (r.status == FS_OK)
        r.status = expand(b, &t, err);
    if (r.status == FS_OK && measured)
        r.status = fs_training_check_measured(&r, measured, b);
    fs_free(r.popularity);
    return r.status;
}
