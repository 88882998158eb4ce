/* training_step.c - a step of training: a program for each pipeline stage (and, where experts are unevenly popular, for
 * each position of a stage's expert-parallel groups); all other ranks share them.
 *
 * A program is its schedule's passes (training_passes.c), between the weights that are gathered before them and what
 * comes after: gradients are reduced where that was not done on the way, and Adam runs. Cost: O(ops written). */
#include "work/training_step.h"

#include "work/training_passes.h"

#include <stdio.h>

/* ---- before and after -------------------------------------------------------------------------------------------- */

static uint32_t named_collective(fs_step *s, fs_op op, const char *name, fs_phase phase, bool after_last)
{
    op.phase = (uint8_t)phase;
    if (s->status == FS_OK)
        s->status = fs_work_name(s->b, name, &op.name, s->err);
    return fs_step_append(s, &op, &s->last, after_last && s->last != FS_NONE);
}

/* Weights that the optimizer changed, over those that share it. The last op. */
static uint32_t gather(fs_step *s, fs_gpu_size size, bool beside, fs_phase phase, bool after_last)
{
    fs_op ops[3];
    uint32_t n = fs_training_exchange(s->t, &s->wiring, size, false, ops), at = FS_NONE;
    for (uint32_t i = 0; i < n; i++) { /* one stream: the last one is there when all are */
        ops[i].sm_share = beside ? s->t->sm_share : 0;
        at = named_collective(s, ops[i], "weights all-gather", phase, after_last);
    }
    return at;
}

static uint32_t n_layers_of_stage(const fs_training *t, uint32_t stage)
{
    uint32_t sum = 0, first, count;
    for (uint32_t c = 0; c < t->vpp; c++) {
        fs_training_layers(t, c * t->pp + stage, &first, &count);
        sum += count;
    }
    return sum;
}

static void gather_chunk(fs_step *s, uint32_t c, uint32_t *n)
{
    const fs_training *t = s->t;
    uint32_t first, count, chunk = c * t->pp + s->stage;
    fs_bucket_walk walk = {0};
    fs_training_layers(t, chunk, &first, &count);
    fs_gpu_size rest = fs_training_chunk_size(t, chunk);
    for (uint32_t i = first; i < first + count; i++)
        rest.dense -= fs_training_layer_size(t, i).dense; /* embeddings: with the first bucket or the last */
    double head = chunk == 0 ? rest.dense : 0, tail = chunk == 0 ? 0 : rest.dense;
    if (count == 0)
        s->gathered[(*n)++] = gather(s, rest, true, FS_PHASE_FORWARD, false);
    for (uint32_t i = first; i < first + count; i++) {
        fs_gpu_size size;
        bool full = fs_bucket_add(t, &walk, i, &size), last = i + 1 == first + count;
        if (!full && !last)
            continue;
        if (!full)
            size = walk.size;
        size.dense += head + (last ? tail : 0);
        head = 0;
        s->gathered[(*n)++] = gather(s, size, true, FS_PHASE_FORWARD, false);
    }
}

static void gather_weights(fs_step *s)
{
    const fs_training *t = s->t;
    bool now = t->overlap_param_gather && (t->zero == 1 || t->zero == 2);
    uint32_t n = 0;
    for (uint32_t c = 0; c < t->vpp && s->status == FS_OK; c++) {
        s->gather_begin[c] = n;
        if (now)
            gather_chunk(s, c, &n);
    }
}

/* First and last stage hold the tied embedding each and sum its gradients: between two ranks an all-reduce is an
 * exchange of all of it. */
static uint32_t exchange_embedding(fs_step *s)
{
    const fs_training *t = s->t;
    bool first = s->stage == 0, last = s->stage + 1 == t->pp;
    uint32_t name = FS_NONE;
    if (!t->model.tied || t->pp == 1 || (!first && !last))
        return FS_NONE;
    double bytes = fs_embedding_parameters(&t->model) / t->tp * fs_training_grad_bytes(t);
    if (s->status == FS_OK)
        s->status = fs_work_name(s->b, "tied embedding", &name, s->err);
    int32_t peer = first ? -1 : 1;
    fs_step_message(s, FS_OP_SEND, peer, FS_TAG_EMBEDDING, s->wiring.pp_streams[1], bytes, name, s->last);
    return fs_step_message(s, FS_OP_RECV, peer, FS_TAG_EMBEDDING, s->wiring.pp_streams[0], bytes, name, s->last);
}

static void reduce_rest(fs_step *s, fs_gpu_size size)
{
    fs_op ops[3];
    if (s->t->overlap_grad_reduce || s->t->zero >= 2)
        return;
    uint32_t n = fs_training_exchange(s->t, &s->wiring, size, true, ops);
    for (uint32_t i = 0; i < n; i++)
        s->reduced[ops[i].family == s->wiring.edp] =
            named_collective(s, ops[i], "gradient all-reduce", FS_PHASE_BACKWARD, true);
}

/* A kernel of so many bytes, behind `deps`. */
static void kernel(fs_step *s, const char *name, double bytes, uint32_t *deps, uint32_t *n_deps)
{
    fs_op op = fs_op_default(FS_OP_COMPUTE);
    op.stream = s->wiring.compute;
    op.phase = FS_PHASE_OPTIMIZER;
    op.dtype = (uint8_t)s->t->precision;
    op.bytes = bytes;
    if (s->status == FS_OK)
        s->status = fs_work_name(s->b, name, &op.name, s->err);
    s->last = fs_step_append(s, &op, deps, *n_deps);
    *n_deps = 0;
}

/* The squares of the gradients' norm, summed over one family after the other. */
static void sum_norm(fs_step *s, uint32_t *deps, uint32_t *n_deps)
{
    const fs_training *t = s->t;
    const struct {
        bool wanted;
        uint32_t family;
        uint16_t stream;
    } sums[] = {{t->tp > 1, s->wiring.tp, s->wiring.tp_stream},
                {t->pp > 1, s->wiring.pp, s->wiring.pp_streams[1]},
                {t->zero > 0 && t->dp * t->cp > 1, s->wiring.dp, s->wiring.dp_stream}};
    uint32_t before = s->last;
    for (uint32_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        fs_op op = fs_op_default(FS_OP_COLLECTIVE);
        if (!sums[i].wanted)
            continue;
        op.family = sums[i].family;
        op.stream = sums[i].stream;
        op.size_bytes = 4;
        op.phase = FS_PHASE_OPTIMIZER;
        if (s->status == FS_OK)
            s->status = fs_work_name(s->b, "norm all-reduce", &op.name, s->err);
        before = fs_step_append(s, &op, &before, 1);
        deps[0] = before;
        *n_deps = 1;
    }
}

/* Adam in mixed precision, bytes per parameter, as Megatron-LM and Apex run it; g = bytes of a gradient. Gradients of two
 * bytes are copied to fp32 first (g + 4), those of fp16 unscaled (8); norm 4, clip 8; Adam reads gradient, master weight
 * and moments and writes the last two (4 + 2 x state); master weights are copied to the weights in use. */
static void optimizer(fs_step *s, fs_gpu_size size, uint32_t exchanged)
{
    const fs_training *t = s->t;
    double edp = t->model.moe.experts ? fs_training_edp(t) : 1, g = fs_training_grad_bytes(t);
    double n = t->zero > 0 ? size.dense / ((double)t->shard * t->cp) + size.experts / edp : size.dense + size.experts;
    double state = t->master_bytes + 2 * t->moment_bytes;
    uint32_t deps[4], n_deps = 0;
    for (uint32_t i = 0; i < 2; i++)
        if (s->reduced[i] != FS_NONE)
            deps[n_deps++] = s->reduced[i];
    if (exchanged != FS_NONE)
        deps[n_deps++] = exchanged;
    if (t->host_step_s > 0)
        s->last = fs_step_delay(s, s->wiring.compute, t->host_step_s, &s->last, s->last != FS_NONE);
    if (g < 4)
        kernel(s, "gradients to fp32", (g + 4) * n, deps, &n_deps);
    if (t->precision == FS_FP16)
        kernel(s, "unscale", 8 * n, deps, &n_deps);
    kernel(s, "gradient norm", 4 * n, deps, &n_deps);
    sum_norm(s, deps, &n_deps);
    kernel(s, "clip", 8 * n, deps, &n_deps);
    kernel(s, "adam", (4 + 2 * state) * n, deps, &n_deps);
    if (t->master_bytes > FS_ACTIVATION_BYTES)
        kernel(s, "master weights to weights", (t->master_bytes + FS_ACTIVATION_BYTES) * n, deps, &n_deps);
    if ((t->zero == 1 || t->zero == 2) && !t->overlap_param_gather)
        gather(s, size, false, FS_PHASE_OPTIMIZER, true);
}

/* ---- programs ---------------------------------------------------------------------------------------------------- */

static void emit(fs_step *s, const fs_slots *slots)
{
    fs_gpu_size size = fs_training_stage_size(s->t, s->stage);
    s->last = s->reduced[0] = s->reduced[1] = s->sent = FS_NONE;
    gather_weights(s);
    fs_step_passes(s, slots);
    uint32_t exchanged = exchange_embedding(s);
    reduce_rest(s, size);
    optimizer(s, size, exchanged);
}

/* Ops of the passes, so that the program's arrays need not grow; and those of the longest one. */
static uint64_t count_ops(fs_step *s, const fs_slots *slots, uint32_t *longest)
{
    uint64_t sum = 64 + 2 * (uint64_t)n_layers_of_stage(s->t, s->stage);
    for (uint32_t i = 0; i < slots->count && s->status == FS_OK; i++) {
        uint32_t n = fs_step_task(s, &slots->data[i])->ops.count;
        *longest = n > *longest ? n : *longest;
        sum += 5 + n;
    }
    return sum;
}

static void one_program(fs_step *s, const char *name)
{
    uint32_t n_tasks = FS_PASSES * s->t->vpp * 2, n_gathers = n_layers_of_stage(s->t, s->stage) + s->t->vpp;
    fs_slots slots = {0};
    s->tasks = fs_zalloc(n_tasks, sizeof *s->tasks);
    s->gathered = fs_alloc(n_gathers, sizeof *s->gathered);
    s->gather_begin = fs_zalloc((size_t)s->t->vpp + 1, sizeof *s->gather_begin);
    if (!s->tasks || !s->gathered || !s->gather_begin)
        s->status = fs_fail_nomem(s->err);
    for (uint32_t i = 0; s->status == FS_OK && i < n_gathers; i++)
        s->gathered[i] = FS_NONE;
    if (s->status == FS_OK)
        s->status = fs_work_program(s->b, name, &s->program, s->err);
    if (s->status == FS_OK)
        s->status = fs_schedule_make(s->t, s->stage, &slots, s->err);
    uint32_t longest = 1;
    uint64_t n_ops = s->status == FS_OK ? count_ops(s, &slots, &longest) : 0;
    for (uint32_t i = 0; i < 2; i++)
        s->at[i] = fs_alloc(longest, sizeof *s->at[i]);
    if (s->status == FS_OK && (!s->at[0] || !s->at[1]))
        s->status = fs_fail_nomem(s->err);
    if (s->status == FS_OK)
        s->status = fs_work_reserve(s->b, s->program, n_ops < UINT32_MAX ? (uint32_t)n_ops : UINT32_MAX, s->err);
    if (s->status == FS_OK)
        emit(s, &slots);
    for (uint32_t i = 0; s->tasks && i < n_tasks; i++)
        fs_free(s->tasks[i].ops.data);
    for (uint32_t i = 0; i < 2; i++)
        fs_free(s->at[i]);
    fs_free(slots.data);
    fs_free(s->tasks);
    fs_free(s->gathered);
    fs_free(s->gather_begin);
}

static void assign(fs_step *s, uint32_t first_program, uint32_t n_positions)
{
    fs_digit pp = fs_training_digit(s->t, FS_DIM_PP), ep = {1, 1};
    if (n_positions > 1)
        ep = fs_training_expert_digit(s->t, FS_DIM_EP);
    uint32_t n_ranks = fs_training_ranks(s->t);
    for (uint32_t rank = 0; rank < n_ranks && s->status == FS_OK; rank++) {
        uint32_t stage = rank / pp.stride % pp.size, position = rank / ep.stride % ep.size;
        s->status = fs_work_assign(s->b, rank, first_program + stage * n_positions + position, s->err);
    }
}

static void make_programs(fs_step *s, double *share)
{
    const fs_training *t = s->t;
    bool uneven = t->model.moe.experts > 0 && fs_training_shares(t, share);
    uint32_t n_positions = uneven ? t->ep : 1, first = 0;
    s->share = 1.0 / t->ep;
    s->load = FS_NONE;
    if (uneven && s->status == FS_OK)
        s->status = fs_work_load_shares(s->b, share, t->ep, &s->load, s->err);
    for (uint32_t i = 0; i < t->pp * n_positions && s->status == FS_OK; i++) {
        char name[64];
        s->stage = i / n_positions;
        if (uneven) {
            s->share = share[i % n_positions];
            snprintf(name, sizeof name, "stage %u, experts %u", s->stage, i % n_positions);
        } else {
            snprintf(name, sizeof name, t->pp == 1 ? "step" : "stage %u", s->stage);
        }
        one_program(s, name);
        first = i == 0 ? s->program : first;
    }
    assign(s, first, n_positions);
}

fs_status fs_training_emit(fs_work_builder *b, const fs_training *t, fs_err *err)
{
    fs_step s = {.b = b, .t = t, .err = err};
    double *share = fs_alloc(t->ep, sizeof *share);
    s.status = share ? FS_OK : fs_fail_nomem(err);
    if (s.status == FS_OK)
        s.status = fs_training_wire(b, t, &s.wiring, err);
    if (t->pp > 1 && s.status == FS_OK)
        s.status = fs_work_name(b, "activations", &s.name_act, err);
    if (t->pp > 1 && s.status == FS_OK)
        s.status = fs_work_name(b, "activation gradients", &s.name_grad, err);
    if (t->pp > 1 && s.status == FS_OK)
        s.status = fs_work_name(b, "activations all-gather", &s.name_gather, err);
    if (t->host_launch_s + t->host_step_s > 0 && s.status == FS_OK)
        s.status = fs_work_name(b, "host", &s.name_host, err);
    if (s.status == FS_OK)
        make_programs(&s, share);
    fs_free(share);
    return s.status;
}
