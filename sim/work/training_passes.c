/* training_passes.c - the passes of a schedule, each a task (training_task.c) between a receive and a send. Receives are
 * posted ahead, each direction has streams of its own. Where the CPU's time is given, a stream of its own has it, and a
 * pass ends when both it and the GPU are through. Cost: O(ops written). */
#include "work/training_passes.h"

/* ---- ops --------------------------------------------------------------------------------------------------------- */

uint32_t fs_step_append(fs_step *s, const fs_op *op, const uint32_t *deps, uint32_t n_deps)
{
    uint32_t index = 0;
    if (s->status == FS_OK)
        s->status = fs_work_op(s->b, s->program, op, deps, n_deps, &index, s->err);
    return index;
}

uint32_t fs_step_message(fs_step *s, fs_op_kind kind, int32_t peer, uint32_t tag, uint16_t on, double bytes,
                         uint32_t name, uint32_t after)
{
    fs_op op = fs_op_default(kind);
    op.family = s->wiring.pp;
    op.peer = peer;
    op.tag = tag;
    op.stream = on;
    op.size_bytes = bytes;
    op.name = name;
    return fs_step_append(s, &op, &after, after != FS_NONE);
}

uint32_t fs_step_delay(fs_step *s, uint16_t on, double seconds, const uint32_t *deps, uint32_t n_deps)
{
    fs_op op = fs_op_default(FS_OP_DELAY);
    op.stream = on;
    op.duration_s = seconds;
    op.name = s->name_host;
    return fs_step_append(s, &op, deps, n_deps);
}

/* ---- tasks ------------------------------------------------------------------------------------------------------- */

fs_task *fs_step_task(fs_step *s, const fs_slot *slot)
{
    const fs_training *t = s->t;
    bool special = slot->microbatch == (slot->pass == FS_PASS_FORWARD ? 0 : fs_training_microbatches(t) - 1);
    fs_task *task = &s->tasks[((uint32_t)slot->pass * t->vpp + slot->chunk) * 2 + special];
    if (task->ops.count > 0 || s->status != FS_OK)
        return task;
    fs_task_request request = {.pass = slot->pass,
                               .chunk = slot->chunk * t->pp + s->stage,
                               .special = special,
                               .share = s->share,
                               .load = s->load};
    s->status = fs_task_make(s->b, t, &s->wiring, &request, task, s->err);
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

/* The CPU launches what was written since it last did, ahead of the GPU and on a stream of its own, but not before the
 * kernel that it waits for; kernels that follow wait until it is through. Nothing where its time is not given. */
static void launch(fs_step *s, replay *r)
{
    if (!(s->t->host_launch_s > 0))
        return;
    uint32_t host =
        fs_step_delay(s, s->wiring.host, r->launches * s->t->host_launch_s, &r->awaited, r->awaited != FS_NONE);
    uint32_t deps[2] = {host, s->last};
    s->last = fs_step_delay(s, s->wiring.compute, 0, deps, s->last == FS_NONE ? 1 : 2);
    r->launches = 0;
    r->awaited = FS_NONE;
}

static void replay_op(fs_step *s, replay *r, bool launched)
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
    r->at[r->next] = fs_step_append(s, &one->op, deps, n);
    if (computes)
        s->last = r->at[r->next];
    r->next++;
}

/* Its ops up to the next all-to-all of tokens, that one included. */
static void replay_part(fs_step *s, replay *r)
{
    while (r->next < r->task->ops.count && s->status == FS_OK) {
        const fs_task_op *one = &r->task->ops.data[r->next];
        bool moves = one->op.kind == FS_OP_COLLECTIVE && one->op.family == s->wiring.ep;
        r->launches += one->launches;
        if (moves)
            launch(s, r);
        replay_op(s, r, moves && s->t->host_launch_s > 0);
        r->awaited = one->counted ? s->last : r->awaited;
        if (moves)
            return;
    }
}

/* One task, or parts of several by turns: while tokens of one are on their way, kernels of another run. */
static void replay_all(fs_step *s, replay *r, uint32_t n)
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
static uint32_t receive(fs_step *s, bool forward)
{
    const fs_training *t = s->t;
    double bytes = boundary_bytes(t);
    uint32_t at = fs_step_message(s, FS_OP_RECV, forward ? -1 : 1, forward ? FS_TAG_FORWARD : FS_TAG_BACKWARD,
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
    return fs_step_append(s, &op, &at, 1);
}

static void send(fs_step *s, bool forward, uint32_t after)
{
    uint32_t at = fs_step_message(s, FS_OP_SEND, forward ? 1 : -1, forward ? FS_TAG_FORWARD : FS_TAG_BACKWARD,
                                  s->wiring.pp_streams[forward ? 1 : 3], boundary_bytes(s->t),
                                  forward ? s->name_act : s->name_grad, after);
    /* Interleaved schedules post all four messages of a pair of passes at once: nobody waits for his own. */
    s->sent = s->t->overlap_pp || s->t->vpp > 1 ? FS_NONE : at;
}

/* Passes that run beside each other, by turns; mostly one. */
static void run_beside(fs_step *s, const fs_slot *slots, uint32_t n)
{
    const fs_training *t = s->t;
    uint32_t end = t->pp * t->vpp - 1;
    replay r[2] = {0};
    bool sends[2] = {false};
    for (uint32_t i = 0; i < n; i++) {
        const fs_slot *slot = &slots[i];
        bool forward = slot->pass == FS_PASS_FORWARD, talks = slot->pass != FS_PASS_WEIGHTS;
        uint32_t chunk = slot->chunk * t->pp + s->stage;
        bool receives = talks && chunk != (forward ? 0 : end);
        sends[i] = talks && chunk != (forward ? end : 0);
        r[i] = (replay){.task = fs_step_task(s, slot),
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

void fs_step_passes(fs_step *s, const fs_slots *slots)
{
    for (uint32_t i = 0, n; i < slots->count && s->status == FS_OK; i += n) {
        n = slots->data[i].beside && i + 1 < slots->count ? 2 : 1;
        run_beside(s, &slots->data[i], n);
    }
}
