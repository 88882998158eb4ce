/* training_step.c - a step of training: families, and a program for each pipeline stage (and, where experts are
 * unevenly popular, for each position of a stage's expert-parallel groups); all other ranks share them.
 *
 * A program is its schedule's passes, each a task (training_task.c) between a receive and a send; then gradients are
 * reduced where that was not done on the way, and Adam runs. Receives are posted ahead, each direction has streams of
 * its own. Where the CPU's time is given, a stream of its own has it, and a pass ends when both it and the GPU are through.
 * Cost: O(ops written). */
#include "work/training_step.h"

#include "work/training_schedule.h"

#include <stdio.h>
#include <string.h>

typedef struct step {
    fs_work_builder *b;
    const fs_training *t;
    fs_err *err;
    fs_status status; /* of what failed first; nothing is tried after it */
    fs_wiring wiring;
    uint32_t stage, program, load;
    double share;
    fs_task *tasks;         /* (FS_PASSES x vpp x 2) made when first needed */
    uint32_t *gathered;     /* ops that gather the weights of buckets */
    uint32_t *gather_begin; /* (vpp + 1) of the stage's chunks */
    uint32_t last;          /* kernel, FS_NONE */
    uint32_t sent;          /* the last message, where kernels wait for it, FS_NONE */
    uint32_t host;          /* what the CPU did last, FS_NONE */
    uint32_t reduced[2];
    uint32_t *at[2]; /* (ops of the longest task) of passes that are being written */
    uint32_t name_act, name_grad, name_gather, name_host;
} step;

/* ---- families and streams ---------------------------------------------------------------------------------------- */

/* A family of up to two digits, of any order; ones of size 1 do not count. */
static void family(step *s, const char *name, fs_digit a, fs_digit b, uint32_t *id)
{
    fs_digit both[2] = {a.stride <= b.stride ? a : b, a.stride <= b.stride ? b : a};
    if (s->status != FS_OK)
        return;
    if (a.size == 1 || b.size == 1)
        both[0] = a.size == 1 ? b : a;
    bool one = a.size == 1 || b.size == 1;
    if (!one && both[0].size * both[0].stride == both[1].stride) { /* neighbours are one digit */
        both[0].size *= both[1].size;
        one = true;
    }
    if (one && both[0].size == 1)
        both[0].stride = 1;
    s->status = fs_work_family_digits(s->b, name, both, one ? 1 : 2, id, s->err);
}

static void stream(step *s, bool wanted, const char *name, uint16_t *id)
{
    if (s->status == FS_OK && wanted)
        s->status = fs_work_stream(s->b, name, id, s->err);
}

static void make_families(step *s)
{
    const fs_training *t = s->t;
    const fs_digit none = {1, 1};
    fs_wiring *w = &s->wiring;
    fs_digit tp = fs_training_digit(t, FS_DIM_TP), cp = fs_training_digit(t, FS_DIM_CP);
    fs_digit dp = fs_training_digit(t, FS_DIM_DP), pp = fs_training_digit(t, FS_DIM_PP);
    family(s, "tp", tp, none, &w->tp);
    family(s, "dp", cp, dp, &w->dp);
    if (t->cp > 1)
        family(s, "cp", cp, none, &w->cp);
    if (t->pp > 1)
        family(s, "pp", pp, none, &w->pp);
    if (t->zero > 0 && t->shard < t->dp) {
        fs_digit inner = {t->shard, dp.stride}, outer = {t->dp / t->shard, dp.stride * t->shard};
        family(s, "dp_shard", cp, inner, &w->shard);
        family(s, "dp_replica", outer, none, &w->replica);
    }
    if (t->model.moe.experts == 0)
        return;
    if (t->ep > 1)
        family(s, "ep", fs_training_expert_digit(t, FS_DIM_EP), none, &w->ep);
    if (t->etp > 1)
        family(s, "etp", fs_training_expert_digit(t, FS_DIM_TP), none, &w->etp);
    if (fs_training_edp(t) > 1)
        family(s, "edp", fs_training_expert_digit(t, FS_DIM_DP), none, &w->edp);
}

static void make_streams(step *s)
{
    static const char *const pipeline[] = {"pp recv forward", "pp send forward", "pp recv backward",
                                           "pp send backward"};
    const fs_training *t = s->t;
    fs_wiring *w = &s->wiring;
    stream(s, true, "compute", &w->compute);
    stream(s, t->tp > 1, "tp", &w->tp_stream);
    stream(s, t->cp > 1, t->ring ? "cp recv" : "cp", &w->cp_recv);
    stream(s, t->cp > 1 && t->ring, "cp send", &w->cp_send);
    stream(s, t->dp * t->cp > 1, "dp", &w->dp_stream);
    stream(s, w->edp != FS_NONE, "edp", &w->edp_stream);
    stream(s, t->zero > 0 && (t->dp * t->cp > 1 || w->edp != FS_NONE), "gather", &w->gather_stream);
    stream(s, w->ep != FS_NONE || w->etp != FS_NONE, "ep", &w->ep_stream);
    for (uint32_t i = 0; i < 4; i++)
        stream(s, t->pp > 1, pipeline[i], &w->pp_streams[i]);
    stream(s, t->host_launch_s > 0, "host", &w->host);
}

/* ---- ops --------------------------------------------------------------------------------------------------------- */

static uint32_t append(step *s, const fs_op *op, const uint32_t *deps, uint32_t n_deps)
{
    uint32_t index = 0;
    if (s->status == FS_OK)
        s->status = fs_work_op(s->b, s->program, op, deps, n_deps, &index, s->err);
    return index;
}

static uint32_t message(step *s, fs_op_kind kind, int32_t peer, uint32_t tag, uint16_t on, double bytes, uint32_t name,
                        uint32_t after)
{
    fs_op op = fs_op_default(kind);
    op.family = s->wiring.pp;
    op.peer = peer;
    op.tag = tag;
    op.stream = on;
    op.size_bytes = bytes;
    op.name = name;
    return append(s, &op, &after, after != FS_NONE);
}

static uint32_t named_collective(step *s, fs_op op, const char *name, fs_phase phase, bool after_last)
{
    op.phase = (uint8_t)phase;
    if (s->status == FS_OK)
        s->status = fs_work_name(s->b, name, &op.name, s->err);
    return append(s, &op, &s->last, after_last && s->last != FS_NONE);
}

/* ---- the host ---------------------------------------------------------------------------------------------------- */

/* Time in which no kernel runs: behind the last one, or of the CPU alone. */
static uint32_t delay(step *s, uint16_t on, double seconds, const uint32_t *deps, uint32_t n_deps)
{
    fs_op op = fs_op_default(FS_OP_DELAY);
    op.stream = on;
    op.duration_s = seconds;
    op.name = s->name_host;
    return append(s, &op, deps, n_deps);
}

/* The CPU launches what the GPU will do, ahead of it, on a stream of its own, but not before the kernel that it waits for. */
static void host_launches(step *s, double launches, uint32_t after)
{
    if (s->t->host_launch_s > 0)
        s->host = delay(s, s->wiring.host, launches * s->t->host_launch_s, &after, after != FS_NONE);
}

/* Nothing goes on before all of it was launched. */
static void join_host(step *s)
{
    uint32_t deps[2] = {s->host, s->last};
    if (s->t->host_launch_s > 0)
        s->last = delay(s, s->wiring.compute, 0, deps, s->last == FS_NONE ? 1 : 2);
}

/* ---- tasks ------------------------------------------------------------------------------------------------------- */

static fs_task *find_task(step *s, fs_pass pass, uint32_t chunk, bool special)
{
    fs_task *task = &s->tasks[((uint32_t)pass * s->t->vpp + chunk) * 2 + special];
    if (task->ops.count > 0 || s->status != FS_OK)
        return task;
    fs_task_request request = {
        .pass = pass, .chunk = chunk * s->t->pp + s->stage, .special = special, .share = s->share, .load = s->load};
    s->status = fs_task_make(s->b, s->t, &s->wiring, &request, task, s->err);
    return task;
}

/* A task on its way into the program. */
typedef struct replay {
    const fs_task *task;
    const uint32_t *gathered;
    uint32_t input;   /* what it starts from, FS_NONE where nothing came in */
    uint32_t before;  /* the last kernel of what was there first, FS_NONE */
    uint32_t next;    /* op of the task */
    double launches;  /* that the CPU has not been given yet */
    uint32_t awaited; /* it launches no more before this kernel has ended, FS_NONE */
    uint32_t *at;     /* (ops of the task) where each has come to be */
} replay;

/* What the CPU launches has been written; kernels that follow wait until it is through. */
static void launch(step *s, replay *r)
{
    host_launches(s, r->launches, r->awaited);
    join_host(s);
    r->launches = 0;
    r->awaited = FS_NONE;
}

static void replay_op(step *s, replay *r, bool launched)
{
    const fs_task_op *one = &r->task->ops.data[r->next];
    uint32_t deps[FS_TASK_DEPS + 3], n = 0;
    bool computes = one->op.kind == FS_OP_COMPUTE;
    for (uint32_t d = 0; d < one->n_deps; d++) {
        uint32_t dep = one->deps[d];
        if (dep == FS_TASK_START) {
            if (r->input != FS_NONE)
                deps[n++] = r->input;
            if (r->before != FS_NONE && !computes) /* kernels follow each other anyway */
                deps[n++] = r->before;
            if (s->sent != FS_NONE)
                deps[n++] = s->sent;
        } else if (dep >= FS_TASK_GATHER(0)) {
            if (r->gathered[dep - FS_TASK_GATHER(0)] != FS_NONE)
                deps[n++] = r->gathered[dep - FS_TASK_GATHER(0)];
        } else {
            deps[n++] = r->at[dep];
        }
    }
    if (launched && s->last != FS_NONE)
        deps[n++] = s->last;
    r->at[r->next] = append(s, &one->op, deps, n);
    if (computes)
        s->last = r->at[r->next];
    r->next++;
}

/* Its ops up to the next all-to-all of tokens, that one included. */
static void replay_part(step *s, replay *r)
{
    while (r->next < r->task->ops.count && s->status == FS_OK) {
        const fs_task_op *one = &r->task->ops.data[r->next];
        bool moves = one->op.kind == FS_OP_COLLECTIVE && one->op.family == s->wiring.ep, host = s->t->host_launch_s > 0;
        r->launches += one->launches;
        if (moves && host)
            launch(s, r);
        replay_op(s, r, moves && host);
        r->awaited = one->counted ? s->last : r->awaited;
        if (moves)
            return;
    }
}

/* One task, or parts of several by turns: while tokens of one are on their way, kernels of another run. */
static void replay_all(step *s, replay *r, uint32_t n)
{
    bool more = true;
    while (more && s->status == FS_OK) {
        more = false;
        for (uint32_t i = 0; i < n; i++) {
            replay_part(s, &r[i]);
            more = more || r[i].next < r[i].task->ops.count;
        }
    }
    for (uint32_t i = 0; i < n && s->status == FS_OK; i++) {
        for (uint32_t k = 0; k < 2; k++)
            if (r[i].task->reduced[k] != FS_NONE)
                s->reduced[k] = r[i].at[r[i].task->reduced[k]];
        if (s->t->host_launch_s > 0)
            launch(s, &r[i]);
    }
    s->sent = FS_NONE;
}

static double boundary_bytes(const fs_training *t)
{
    double tokens = (double)t->micro_batch * t->model.seq / t->cp;
    return tokens * t->model.hidden * FS_ACTIVATION_BYTES / (t->sequence || t->scatter_gather ? t->tp : 1);
}

/* From the stage before (forward) or behind (backward); with scatter-gather the parts are put together over tp. */
static uint32_t receive(step *s, bool forward)
{
    const fs_training *t = s->t;
    double bytes = boundary_bytes(t);
    uint32_t at = message(s, FS_OP_RECV, forward ? -1 : 1, forward ? FS_TAG_FORWARD : FS_TAG_BACKWARD,
                          s->wiring.pp_streams[forward ? 0 : 2], bytes, forward ? s->name_act : s->name_grad,
                          t->overlap_pp ? FS_NONE : s->last);
    if (!t->scatter_gather || t->sequence || t->tp == 1)
        return at;
    fs_op op = fs_op_default(FS_OP_COLLECTIVE);
    op.coll = FS_ALL_GATHER;
    op.family = s->wiring.tp;
    op.stream = s->wiring.tp_stream;
    op.size_bytes = bytes * t->tp;
    op.name = s->name_gather;
    return append(s, &op, &at, 1);
}

static void send(step *s, bool forward, uint32_t after)
{
    uint32_t at = message(s, FS_OP_SEND, forward ? 1 : -1, forward ? FS_TAG_FORWARD : FS_TAG_BACKWARD,
                          s->wiring.pp_streams[forward ? 1 : 3], boundary_bytes(s->t),
                          forward ? s->name_act : s->name_grad, after);
    /* Interleaved schedules post all four messages of a pair of passes at once: nobody waits for his own. */
    s->sent = s->t->overlap_pp || s->t->vpp > 1 ? FS_NONE : at;
}

/* Passes that run beside each other, by turns; mostly one. */
static void passes(step *s, const fs_slot *slots, uint32_t n)
{
    const fs_training *t = s->t;
    uint32_t end = t->pp * t->vpp - 1;
    replay r[2] = {0};
    bool sends[2] = {false};
    for (uint32_t i = 0; i < n; i++) {
        const fs_slot *slot = &slots[i];
        bool forward = slot->pass == FS_PASS_FORWARD, talks = slot->pass != FS_PASS_WEIGHTS;
        uint32_t chunk = slot->chunk * t->pp + s->stage, marked = forward ? 0 : fs_training_microbatches(t) - 1;
        bool receives = talks && chunk != (forward ? 0 : end);
        sends[i] = talks && chunk != (forward ? end : 0);
        r[i] = (replay){.task = find_task(s, slot->pass, slot->chunk, slot->microbatch == marked),
                        .gathered = s->gathered + s->gather_begin[slot->chunk],
                        .input = receives ? receive(s, forward) : FS_NONE,
                        .before = s->last,
                        .launches = receives + sends[i],
                        .awaited = t->host_sync ? s->last : FS_NONE,
                        .at = s->at[i]};
    }
    replay_all(s, r, n);
    for (uint32_t i = 0; i < n && s->status == FS_OK; i++) {
        bool alone = n == 1 || t->host_launch_s > 0 || r[i].task->end == FS_NONE;
        if (sends[i])
            send(s, slots[i].pass == FS_PASS_FORWARD, alone ? s->last : r[i].at[r[i].task->end]);
    }
}

/* ---- before and after -------------------------------------------------------------------------------------------- */

/* Weights that the optimizer changed, over those that share it. The last op. */
static uint32_t gather(step *s, fs_gpu_size size, bool beside, fs_phase phase, bool after_last)
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

static void gather_chunk(step *s, uint32_t c, uint32_t *n)
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

static void gather_weights(step *s)
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
static uint32_t exchange_embedding(step *s)
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
    message(s, FS_OP_SEND, peer, FS_TAG_EMBEDDING, s->wiring.pp_streams[1], bytes, name, s->last);
    return message(s, FS_OP_RECV, peer, FS_TAG_EMBEDDING, s->wiring.pp_streams[0], bytes, name, s->last);
}

static void reduce_rest(step *s, fs_gpu_size size)
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
static void kernel(step *s, const char *name, double bytes, uint32_t *deps, uint32_t *n_deps)
{
    fs_op op = fs_op_default(FS_OP_COMPUTE);
    op.stream = s->wiring.compute;
    op.phase = FS_PHASE_OPTIMIZER;
    op.dtype = (uint8_t)s->t->precision;
    op.bytes = bytes;
    if (s->status == FS_OK)
        s->status = fs_work_name(s->b, name, &op.name, s->err);
    s->last = append(s, &op, deps, *n_deps);
    *n_deps = 0;
}

/* The squares of the gradients' norm, summed over one family after the other. */
static void sum_norm(step *s, uint32_t *deps, uint32_t *n_deps)
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
        before = append(s, &op, &before, 1);
        deps[0] = before;
        *n_deps = 1;
    }
}

/* Adam in mixed precision, bytes per parameter, as Megatron-LM and Apex run it; g = bytes of a gradient. Gradients of two
 * bytes are copied to fp32 first (g + 4), those of fp16 unscaled (8); norm 4, clip 8; Adam reads gradient, master weight
 * and moments and writes the last two (4 + 2 x state); master weights are copied to the weights in use. */
static void optimizer(step *s, fs_gpu_size size, uint32_t exchanged)
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
        s->last = delay(s, s->wiring.compute, t->host_step_s, &s->last, s->last != FS_NONE);
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

static void emit(step *s, const fs_slots *slots)
{
    fs_gpu_size size = fs_training_stage_size(s->t, s->stage);
    s->last = s->reduced[0] = s->reduced[1] = s->sent = s->host = FS_NONE;
    gather_weights(s);
    for (uint32_t i = 0, n; i < slots->count && s->status == FS_OK; i += n) {
        n = slots->data[i].beside && i + 1 < slots->count ? 2 : 1;
        passes(s, &slots->data[i], n);
    }
    uint32_t exchanged = exchange_embedding(s);
    reduce_rest(s, size);
    optimizer(s, size, exchanged);
}

/* Ops of the passes, so that the program's arrays need not grow; and those of the longest one. */
static uint64_t count_ops(step *s, const fs_slots *slots, uint32_t *longest)
{
    uint64_t sum = 64 + 2 * (uint64_t)n_layers_of_stage(s->t, s->stage);
    uint32_t last = fs_training_microbatches(s->t) - 1;
    for (uint32_t i = 0; i < slots->count && s->status == FS_OK; i++) {
        const fs_slot *slot = &slots->data[i];
        bool special = slot->microbatch == (slot->pass == FS_PASS_FORWARD ? 0 : last);
        uint32_t n = find_task(s, slot->pass, slot->chunk, special)->ops.count;
        *longest = n > *longest ? n : *longest;
        sum += 5 + n;
    }
    return sum;
}

static void one_program(step *s, const char *name)
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

static void assign(step *s, uint32_t first_program, uint32_t n_positions)
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

static void make_programs(step *s, double *share)
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
    step s = {.b = b, .t = t, .err = err};
    double *share = fs_alloc(t->ep, sizeof *share);
    s.status = share ? FS_OK : fs_fail_nomem(err);
    s.wiring = (fs_wiring){.tp = FS_NONE,
                           .cp = FS_NONE,
                           .dp = FS_NONE,
                           .pp = FS_NONE,
                           .ep = FS_NONE,
                           .etp = FS_NONE,
                           .edp = FS_NONE,
                           .shard = FS_NONE,
                           .replica = FS_NONE};
    make_families(&s);
    make_streams(&s);
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
