/* run_watch.c - see run_watch.h. O(1) an event, but for a metric's word of categories. */
#include "run_watch.h"

#include "base/mem.h"
#include "topo/bundle.h"

static const fs_op *op_of(const fs_watch *w, uint32_t actor, uint32_t op)
{
    return &w->job->work->programs[w->job->actor_program[actor]].ops[op];
}

static bool is_transfer(const fs_op *op)
{
    return op->kind == FS_OP_SEND || op->kind == FS_OP_RECV;
}

/* The category of an op, once it moves. */
static uint32_t category_of(const fs_watch *w, const fs_op *op)
{
    switch ((fs_op_kind)op->kind) {
    case FS_OP_COMPUTE: return op->phase == FS_PHASE_OPTIMIZER ? FS_CATEGORY_OPTIMIZER : FS_CATEGORY_COMPUTE;
    case FS_OP_COLLECTIVE: return FS_CATEGORY_FAMILIES + op->family;
    case FS_OP_DELAY: return w->delay;
    case FS_OP_SEND:
    case FS_OP_RECV: break;
    }
    return w->p2p;
}

static void on_issue(void *context, uint32_t actor, uint32_t op_index, double now_s)
{
    fs_watch *w = context;
    const fs_op *op = op_of(w, actor, op_index);
    fs_metric_begin(w->metric, actor, is_transfer(op) ? w->bubble : category_of(w, op), now_s);
    if (w->spans && w->span_row[actor] != FS_NONE)
        fs_spans_issue(w->spans, w->span_row[actor], op_index, now_s);
    if (w->timeline)
        fs_timeline_issue(w->timeline, actor, op_index, now_s);
}

static void on_move(void *context, uint32_t actor, uint32_t op_index, double now_s)
{
    fs_watch *w = context;
    const fs_op *op = op_of(w, actor, op_index);
    w->move_s[(size_t)actor * w->job->work->n_streams + op->stream] = now_s;
    if (is_transfer(op)) {
        fs_metric_end(w->metric, actor, w->bubble, now_s);
        fs_metric_begin(w->metric, actor, w->p2p, now_s);
    }
    if (w->timeline)
        fs_timeline_move(w->timeline, actor, op_index, now_s);
}

/* A collective counts once, with its first member; a transfer with its sender. */
static void count_plan(fs_watch *w, uint32_t actor, uint32_t op_index, const fs_op *op, double now_s)
{
    const fs_job *job = w->job;
    uint32_t plan = 0;
    if (op->kind == FS_OP_COLLECTIVE) {
        uint32_t meeting = job->meeting_of[(size_t)op->family * job->n_actors + actor];
        if (job->meeting_actors[job->meeting_begin[meeting]] != actor)
            return;
        plan = meeting - job->family_meetings[op->family];
    } else if (op->kind == FS_OP_SEND) {
        plan = job->actor_index[actor];
    } else {
        return;
    }
    plan += job->plan_begin[job->op_signature[job->actor_program[actor]][op_index]];
    w->plan_count[plan]++;
    w->plan_s[plan] += now_s - w->move_s[(size_t)actor * job->work->n_streams + op->stream];
}

static void on_end(void *context, uint32_t actor, uint32_t op_index, double now_s)
{
    fs_watch *w = context;
    const fs_op *op = op_of(w, actor, op_index);
    fs_metric_end(w->metric, actor, category_of(w, op), now_s);
    count_plan(w, actor, op_index, op, now_s);
    if (w->spans && w->span_row[actor] != FS_NONE)
        fs_spans_end(w->spans, w->span_row[actor], op_index, now_s);
    if (w->timeline)
        fs_timeline_end(w->timeline, actor, op_index, now_s);
}

static void on_load(void *context, uint32_t resource, double load, double now_s)
{
    fs_watch *w = context;
    if (resource >= w->job->n_links)
        return;
    uint32_t tier = w->tier_of[resource];
    double delta = (load - w->link_load[resource]) * w->job->link_count[resource];
    w->link_load[resource] = load;
    fs_metric_load(w->metric, tier, delta, now_s);
    if (w->timeline)
        fs_timeline_load(w->timeline, tier, delta / w->tier_Bps[tier], now_s);
}

static fs_status allocate(fs_watch *w, fs_err *err)
{
    const fs_job *job = w->job;
    uint32_t n_tiers = job->topo->n_tiers, n_plans = job->plan_begin[job->n_signatures];
    w->tier_of = fs_arena_alloc(w->arena, job->n_links, sizeof *w->tier_of);
    w->link_load = fs_arena_alloc(w->arena, job->n_links, sizeof *w->link_load);
    w->tier_links = fs_arena_alloc(w->arena, n_tiers, sizeof *w->tier_links);
    w->tier_Bps = fs_arena_alloc(w->arena, n_tiers, sizeof *w->tier_Bps);
    w->move_s = fs_arena_alloc(w->arena, (size_t)job->n_actors * job->work->n_streams, sizeof *w->move_s);
    w->plan_count = fs_arena_alloc(w->arena, n_plans, sizeof *w->plan_count);
    w->plan_s = fs_arena_alloc(w->arena, n_plans, sizeof *w->plan_s);
    if (!w->tier_of || !w->link_load || !w->tier_links || !w->tier_Bps || !w->move_s || !w->plan_count || !w->plan_s)
        return fs_fail_nomem(err);
    for (uint32_t l = 0; l < job->n_links; l++) {
        uint32_t tier = job->topo->link_types[fs_topo_link(job->topo, job->link_of[l]).type].tier;
        w->tier_of[l] = tier;
        w->tier_links[tier] += job->link_count[l] * fs_bundle_links(job->topo, job->link_of[l]);
        w->tier_Bps[tier] += job->capacity[l] * job->link_count[l];
    }
    return FS_OK;
}

static fs_status watch_spans(fs_watch *w, fs_err *err)
{
    const fs_job *job = w->job;
    w->span_row = fs_arena_alloc(w->arena, job->n_actors, sizeof *w->span_row);
    if (!w->span_row)
        return fs_fail_nomem(err);
    return fs_spans_new(job->work, job->n_actors, job->actor_rank, job->actor_count, w->span_row, &w->spans, err);
}

fs_status fs_watch_start(const fs_job *job, fs_timeline *timeline, bool pictures, fs_watch *watch, fs_err *err)
{
    fs_watch w = {.job = job, .timeline = timeline, .arena = fs_arena_new()};
    w.p2p = FS_CATEGORY_FAMILIES + job->work->n_families;
    w.delay = w.p2p + 1;
    w.bubble = w.p2p + 2;
    w.idle = w.p2p + 3;
    fs_status status = w.arena ? allocate(&w, err) : fs_fail_nomem(err);
    if (status == FS_OK && pictures)
        status = watch_spans(&w, err);
    if (status == FS_OK)
        status = fs_metric_new(job->n_actors, w.idle, job->topo->n_tiers, &w.metric, err);
    if (status != FS_OK) {
        fs_spans_free(w.spans);
        fs_arena_free(w.arena);
        return status;
    }
    *watch = w;
    watch->calls =
        (fs_sched_calls){.context = watch, .issue = on_issue, .move = on_move, .end = on_end, .load = on_load};
    return FS_OK;
}

void fs_watch_stop(fs_watch *watch)
{
    fs_spans_free(watch->spans);
    fs_metric_free(watch->metric);
    fs_arena_free(watch->arena);
}
