/* sched.c - see sched.h. A queue of lanes to look at, and meetings that gather members and then run their plans.
 *
 * A lane (stream of an actor) is looked at when its op has ended or when an op that it waited for has: it issues ops
 * until one takes time or waits. All of this goes through one first-in first-out queue, so nothing recurses, however
 * many ops take no time. A lane that waits hangs on the lane of the op that it waits for: an end visits the waiters of
 * its own lane only.
 * Meetings come from a pool of as many as lanes, are found by a hash of what they are while members are missing (of one
 * member none is), and keep their counters for reuse: no allocation once every kind of plan has run.
 * Engine tags: a lane for compute and delay; MOVE_TAG | meeting << 32 | move for moves of a plan; EPOCH_TAG for the
 * timer to the next epoch.
 * An epoch begins with new capacities, and what moves takes the patterns that its plan has for it.
 * Cost: O(1) an op and member, O(moves + edges) a plan. */
#include "sched/sched.h"

#include "base/mem.h"
#include "base/rng.h"
#include "sched/sched_state.h"

#include <string.h>

#define MOVE_TAG (UINT64_C(1) << 63)
#define EPOCH_TAG (UINT64_C(1) << 62)
#define LANES_MAX (UINT32_MAX / 2) /* so that tags and the ring's indices fit; it would take 200 GB of lanes */

/* Shares of an SM pool count in millionths, so that what is taken and given back cancels exactly. */
enum { POOL_PARTS = 1000000, POOL_PARTS_LEFT = 50000 };

static void push(fs_sched *s, uint32_t lane)
{
    s->lanes[lane].state = FS_LANE_READY;
    uint32_t tail = s->ready_head + s->ready_count++;
    s->ready[tail >= s->n_lanes ? tail - s->n_lanes : tail] = lane;
}

static uint32_t pop(fs_sched *s)
{
    uint32_t lane = s->ready[s->ready_head];
    s->ready_head = s->ready_head + 1 == s->n_lanes ? 0 : s->ready_head + 1;
    s->ready_count--;
    return lane;
}

/* The op at the lane's cursor has ended: the lane goes on, and so do those that waited for it. */
static void end_op(fs_sched *s, uint32_t lane)
{
    fs_lane *l = &s->lanes[lane];
    uint32_t op = fs_sched_op_of(s, lane);
    l->cursor++;
    s->end_s = s->now_s;
    if (s->calls.end)
        s->calls.end(s->calls.context, l->actor, op, s->now_s);
    uint32_t *link = &l->waiter;
    while (*link != FS_NONE) {
        uint32_t waiter = *link;
        if (s->lanes[waiter].waits_for == op) {
            *link = s->lanes[waiter].next;
            push(s, waiter);
        } else {
            link = &s->lanes[waiter].next;
        }
    }
}

/* ---- meetings ---------------------------------------------------------------------------------------------------- */

static uint32_t *bucket_of(fs_sched *s, const fs_meeting *m)
{
    uint32_t key[4] = {m->place, m->slot, m->tag, m->sequence};
    uint64_t hash = fs_hash_bytes(FS_HASH_START, key, sizeof key);
    return &s->buckets[(uint32_t)hash & s->mask];
}

/* A meeting from the pool, as *wanted says. */
static uint32_t open_meeting(fs_sched *s, const fs_meeting *wanted)
{
    uint32_t i = s->free_meeting;
    fs_meeting *m = &s->meetings[i];
    s->free_meeting = m->next;
    uint32_t *waits = m->waits, counters = m->counters;
    *m = *wanted;
    m->waits = waits;
    m->counters = counters;
    return i;
}

/* The meeting that waits for members and is the same as *wanted; opened where there is none. A single member waits for
 * nobody, so nobody looks for its meeting: it is in no bucket. */
static uint32_t join(fs_sched *s, const fs_meeting *wanted)
{
    if (wanted->members == 1)
        return open_meeting(s, wanted);
    uint32_t *head = bucket_of(s, wanted);
    for (uint32_t i = *head; i != FS_NONE; i = s->meetings[i].next) {
        const fs_meeting *m = &s->meetings[i];
        if (m->place == wanted->place && m->slot == wanted->slot && m->tag == wanted->tag &&
            m->sequence == wanted->sequence)
            return i;
    }
    uint32_t i = open_meeting(s, wanted);
    s->meetings[i].next = *head;
    *head = i;
    return i;
}

static void leave_bucket(fs_sched *s, uint32_t meeting)
{
    uint32_t *link = bucket_of(s, &s->meetings[meeting]);
    while (*link != meeting)
        link = &s->meetings[*link].next;
    *link = s->meetings[meeting].next;
}

static uint32_t member_lane(const fs_sched *s, const fs_meeting *m, uint32_t i)
{
    if (m->family == FS_NONE || m->members == 1)
        return m->lane[i];
    uint32_t actor = s->job->meeting_actors[s->job->meeting_begin[m->place] + i];
    const fs_order_program *order = fs_sched_program(s, actor);
    uint32_t op = order->coll_ops[order->coll_begin[m->family] + m->sequence];
    return fs_sched_lane_of(s, actor, fs_sched_ops(s, actor)->ops[op].stream);
}

/* What is left of an SM pool for kernels. */
static void set_pool(fs_sched *s, uint32_t actor)
{
    uint32_t pool = s->job->n_links + actor, taken = s->sm_taken[actor];
    taken = taken < POOL_PARTS - POOL_PARTS_LEFT ? taken : POOL_PARTS - POOL_PARTS_LEFT;
    fs_engine_set_capacity(s->engine, pool, s->capacity[pool] * (POOL_PARTS - taken) / POOL_PARTS);
}

/* Take an op's share from (sign 1) or give it back to (sign -1) the SM pool of its actor. */
static void take_share(fs_sched *s, uint32_t actor, const fs_op *op, int sign)
{
    if (op->sm_share == 0)
        return;
    uint32_t parts = (uint32_t)((double)op->sm_share * POOL_PARTS + 0.5);
    if (parts == 0)
        return;
    s->sm_taken[actor] += sign > 0 ? parts : 0 - parts;
    set_pool(s, actor);
}

static uint32_t pattern_now(const fs_sched *s, const fs_plan *plan, uint32_t move)
{
    const uint32_t *own = plan->patterns_at ? plan->patterns_at[s->epoch] : NULL;
    return own ? own[move] : plan->moves[move].pattern;
}

static fs_status start_move(fs_sched *s, uint32_t meeting, uint32_t move, fs_err *err)
{
    const fs_plan *plan = s->meetings[meeting].plan;
    const fs_move *m = &plan->moves[move];
    return fs_engine_transfer(s->engine, pattern_now(s, plan, move), m->bytes, m->latency_s,
                              MOVE_TAG | (uint64_t)meeting << 32 | move, err);
}

static void finish_meeting(fs_sched *s, uint32_t meeting)
{
    fs_meeting *m = &s->meetings[meeting];
    for (uint32_t i = 0; i < m->members; i++) {
        uint32_t lane = member_lane(s, m, i);
        uint32_t actor = s->lanes[lane].actor;
        take_share(s, actor, &fs_sched_ops(s, actor)->ops[fs_sched_op_of(s, lane)], -1);
        end_op(s, lane);
        push(s, lane);
    }
    m->next = s->free_meeting;
    s->free_meeting = meeting;
}

/* All members are there: the plan's first moves start. */
static fs_status begin_meeting(fs_sched *s, uint32_t meeting, fs_err *err)
{
    fs_meeting *m = &s->meetings[meeting];
    const fs_plan *plan = m->plan;
    if (m->members > 1)
        leave_bucket(s, meeting);
    if (m->counters < plan->n_moves) {
        uint32_t *waits = fs_realloc(m->waits, plan->n_moves, sizeof *waits);
        if (!waits)
            return fs_fail_nomem(err);
        m->waits = waits;
        m->counters = plan->n_moves;
    }
    if (plan->n_moves > 0)
        memcpy(m->waits, plan->n_pred, plan->n_moves * sizeof *m->waits);
    m->moves_left = plan->n_moves;
    for (uint32_t i = 0; i < m->members; i++) {
        uint32_t lane = member_lane(s, m, i);
        uint32_t actor = s->lanes[lane].actor, op = fs_sched_op_of(s, lane);
        take_share(s, actor, &fs_sched_ops(s, actor)->ops[op], 1);
        if (s->calls.move)
            s->calls.move(s->calls.context, actor, op, s->now_s);
    }
    for (uint32_t i = 0; i < plan->n_moves; i++)
        if (plan->n_pred[i] == 0 && start_move(s, meeting, i, err) != FS_OK)
            return err->status;
    if (plan->n_moves == 0)
        finish_meeting(s, meeting);
    return FS_OK;
}

static fs_status end_move(fs_sched *s, uint32_t meeting, uint32_t move, fs_err *err)
{
    fs_meeting *m = &s->meetings[meeting];
    const fs_plan *plan = m->plan;
    for (uint32_t i = plan->succ_begin[move]; i < plan->succ_begin[move + 1]; i++)
        if (--m->waits[plan->succ[i]] == 0 && start_move(s, meeting, plan->succ[i], err) != FS_OK)
            return err->status;
    if (--m->moves_left == 0)
        finish_meeting(s, meeting);
    return FS_OK;
}

/* A member issues its part of a collective or a transfer. */
static fs_status issue_communication(fs_sched *s, uint32_t lane, uint32_t op_index, fs_err *err)
{
    const fs_job *job = s->job;
    uint32_t actor = s->lanes[lane].actor;
    const fs_op *op = &fs_sched_ops(s, actor)->ops[op_index];
    fs_meeting wanted = {.family = FS_NONE, .sequence = fs_sched_sequence(s, actor, op_index), .members = 2};
    if (op->kind == FS_OP_COLLECTIVE) {
        wanted.family = op->family;
        wanted.place = job->meeting_of[(size_t)op->family * job->n_actors + actor];
        wanted.slot = FS_NONE;
        wanted.members = job->meeting_begin[wanted.place + 1] - job->meeting_begin[wanted.place];
    } else {
        const fs_end *end = fs_job_end(job, actor, op_index);
        wanted.place = op->kind == FS_OP_SEND ? actor : end->peer;
        wanted.slot = op->kind == FS_OP_SEND ? end->slot : end->peer_slot;
        wanted.tag = op->tag;
    }
    uint32_t meeting = join(s, &wanted);
    fs_meeting *m = &s->meetings[meeting];
    uint32_t signature = job->op_signature[job->actor_program[actor]][op_index];
    if (op->kind == FS_OP_COLLECTIVE)
        m->plan = job->plans[job->plan_begin[signature] + m->place - job->family_meetings[op->family]];
    else if (op->kind == FS_OP_SEND)
        m->plan = job->plans[job->plan_begin[signature] + job->actor_index[actor]];
    m->lane[op->kind == FS_OP_RECV] = lane;
    m->arrived++;
    return m->arrived == m->members ? begin_meeting(s, meeting, err) : FS_OK;
}

/* ---- lanes ------------------------------------------------------------------------------------------------------- */

/* Hang the lane on the first dependency of its next op that has not ended; false where all have. */
static bool waits(fs_sched *s, uint32_t lane, uint32_t op, const fs_program *program, const fs_order_program *order)
{
    fs_lane *l = &s->lanes[lane], *lanes = &s->lanes[s->lane_begin[l->actor]];
    for (uint32_t i = program->dep_begin[op]; i < program->dep_begin[op + 1]; i++) {
        uint32_t dep = program->deps[i];
        fs_lane *on = &lanes[order->lane_of[program->ops[dep].stream]];
        if (order->position[dep] < on->cursor)
            continue;
        l->state = FS_LANE_WAITS;
        l->waits_for = dep;
        l->next = on->waiter;
        on->waiter = lane;
        return true;
    }
    return false;
}

/* Issue ops of the lane until one takes time, waits, or is a meeting (whose end comes back through the queue). */
static fs_status advance(fs_sched *s, uint32_t lane, fs_err *err)
{
    fs_lane *l = &s->lanes[lane];
    const fs_order_program *order = fs_sched_program(s, l->actor);
    const fs_program *program = fs_sched_ops(s, l->actor);
    while (l->cursor < l->n_ops) {
        uint32_t op = l->ops[l->cursor];
        uint8_t kind = program->ops[op].kind;
        if (waits(s, lane, op, program, order))
            return FS_OK;
        l->state = FS_LANE_BUSY;
        if (s->calls.issue)
            s->calls.issue(s->calls.context, l->actor, op, s->now_s);
        if (kind != FS_OP_COMPUTE && kind != FS_OP_DELAY)
            return issue_communication(s, lane, op, err);
        double seconds = s->job->duration_s[l->actor][op];
        if (seconds > 0)
            return kind == FS_OP_COMPUTE
                       ? fs_engine_transfer(s->engine, s->job->sm_pattern[l->actor], seconds, 0, lane, err)
                       : fs_engine_timer(s->engine, seconds, lane, err);
        end_op(s, lane);
    }
    l->state = FS_LANE_FINISHED;
    s->unfinished--;
    return FS_OK;
}

static fs_status pump(fs_sched *s, fs_err *err)
{
    while (s->ready_count > 0) {
        fs_status status = advance(s, pop(s), err);
        if (status != FS_OK)
            return status;
    }
    return FS_OK;
}

/* ---- epochs ------------------------------------------------------------------------------------------------------ */

static uint32_t repattern(void *context, uint64_t tag, uint32_t pattern)
{
    const fs_sched *s = context;
    if (!(tag & MOVE_TAG))
        return pattern;
    return pattern_now(s, s->meetings[(tag & ~MOVE_TAG) >> 32].plan, (uint32_t)tag);
}

/* Capacities that differ from those before, and the timer to the next epoch. */
static fs_status enter_epoch(fs_sched *s, uint32_t epoch, const double *before, fs_err *err)
{
    const fs_job *job = s->job;
    s->epoch = epoch;
    s->capacity = job->capacity_at + (size_t)epoch * job->n_resources;
    for (uint32_t l = 0; l < job->n_links; l++)
        if (s->capacity[l] != before[l])
            fs_engine_set_capacity(s->engine, l, s->capacity[l]);
    for (uint32_t a = 0; a < job->n_actors; a++)
        if (s->capacity[job->n_links + a] != before[job->n_links + a])
            set_pool(s, a);
    if (epoch + 1 == job->n_epochs)
        return FS_OK;
    return fs_engine_timer(s->engine, job->epoch_start_s[epoch + 1] - s->now_s, EPOCH_TAG, err);
}

static fs_status next_epoch(fs_sched *s, fs_err *err)
{
    if (s->unfinished == 0) /* nobody is left to see it */
        return FS_OK;
    fs_status status = enter_epoch(s, s->epoch + 1, s->capacity, err);
    if (status == FS_OK && s->job->reroutes)
        status = fs_engine_repattern(s->engine, repattern, s, err);
    return status;
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static fs_status on_done(void *context, uint64_t tag, double now_s, fs_err *err)
{
    fs_sched *s = context;
    s->now_s = now_s;
    if (tag == EPOCH_TAG)
        return next_epoch(s, err);
    if (tag & MOVE_TAG) {
        fs_status status = end_move(s, (uint32_t)((tag & ~MOVE_TAG) >> 32), (uint32_t)tag, err);
        if (status != FS_OK)
            return status;
    } else {
        end_op(s, (uint32_t)tag);
        push(s, (uint32_t)tag);
    }
    return pump(s, err);
}

static void on_load(void *context, uint32_t resource, double load, double now_s)
{
    const fs_sched *s = context;
    s->calls.load(s->calls.context, resource, load, now_s);
}

static fs_status prepare(fs_sched *s, fs_err *err)
{
    const fs_job *job = s->job;
    fs_status status = fs_order_make(job, &s->order, err);
    if (status != FS_OK)
        return status;
    s->lane_begin = fs_alloc((size_t)job->n_actors + 1, sizeof *s->lane_begin);
    if (!s->lane_begin)
        return fs_fail_nomem(err);
    for (uint32_t a = 0; a < job->n_actors; a++) {
        uint32_t n = fs_sched_program(s, a)->n_lanes;
        if (n > LANES_MAX - s->n_lanes)
            return fs_fail_nomem(err);
        s->lane_begin[a] = s->n_lanes;
        s->n_lanes += n;
    }
    s->lane_begin[job->n_actors] = s->n_lanes;
    uint32_t n_buckets = 1;
    while (n_buckets < s->n_lanes)
        n_buckets *= 2;
    s->mask = n_buckets - 1;
    s->lanes = fs_zalloc(s->n_lanes, sizeof *s->lanes);
    s->ready = fs_alloc(s->n_lanes, sizeof *s->ready);
    s->meetings = fs_zalloc(s->n_lanes, sizeof *s->meetings);
    s->buckets = fs_alloc(n_buckets, sizeof *s->buckets);
    s->sm_taken = fs_zalloc(job->n_actors, sizeof *s->sm_taken);
    if (!s->lanes || !s->ready || !s->meetings || !s->buckets || !s->sm_taken)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < n_buckets; i++)
        s->buckets[i] = FS_NONE;
    for (uint32_t a = 0; a < job->n_actors; a++) {
        const fs_order_program *order = fs_sched_program(s, a);
        for (uint32_t lane = s->lane_begin[a]; lane < s->lane_begin[a + 1]; lane++) {
            const uint32_t *begin = &order->lane_begin[lane - s->lane_begin[a]];
            s->lanes[lane] = (fs_lane){
                .ops = order->lane_ops + begin[0], .n_ops = begin[1] - begin[0], .actor = a, .waiter = FS_NONE};
            s->meetings[lane].next = lane + 1; /* the end of the chain is never reached: see fs_meeting */
            push(s, lane);
        }
    }
    s->unfinished = s->n_lanes;
    return FS_OK;
}

static void clear(fs_sched *s)
{
    for (uint32_t i = 0; s->meetings && i < s->n_lanes; i++)
        fs_free(s->meetings[i].waits);
    fs_free(s->meetings);
    fs_free(s->lane_begin);
    fs_free(s->lanes);
    fs_free(s->ready);
    fs_free(s->buckets);
    fs_free(s->sm_taken);
    fs_order_free(&s->order);
}

fs_status fs_sched_run(const fs_job *job, fs_engine *engine, const fs_sched_calls *calls, double *makespan_s,
                       fs_err *err)
{
    fs_sched s = {.job = job, .engine = engine};
    if (calls)
        s.calls = *calls;
    fs_engine_calls engine_calls = {.context = &s, .done = on_done, .load = s.calls.load ? on_load : NULL};
    fs_status status = prepare(&s, err);
    if (status == FS_OK)
        status = enter_epoch(&s, 0, job->capacity, err);
    if (status == FS_OK)
        status = pump(&s, err);
    if (status == FS_OK)
        status = fs_engine_run(engine, &engine_calls, err);
    if (status == FS_OK && s.unfinished > 0)
        status = fs_sched_fail_stuck(&s, err);
    if (status == FS_OK)
        *makespan_s = s.end_s;
    clear(&s);
    return status;
}
