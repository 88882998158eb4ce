/* stuck.c - a deadlock in words: which ranks stand at which op, and whom each waits for.
 *
 * Nothing is left to happen, yet lanes are unfinished. A lane that waits for an op of its own rank is a consequence;
 * the cause is a lane that has issued communication which others have not. So of each stuck rank the first such lane is
 * named. A text of the first STUCK_MAX ranks says enough and stays within an error's length. */
#include "base/num.h"
#include "sched/sched_state.h"
#include "work/work_build.h"

#include <string.h>

enum { STUCK_MAX = 8, MISSING_MAX = 4, NAME_WIDTH = 40 /* characters of a user's name that are shown */ };

typedef struct text {
    char *at;
    size_t left;
} text;

FS_PRINTF(2, 3) static void add(text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = fs_vsnprintf(t->at, t->left, format, args);
    va_end(args);
    size_t written = n < 0 ? 0 : (size_t)n < t->left ? (size_t)n : t->left - 1;
    t->at += written;
    t->left -= written;
}

static bool is_communication(const fs_op *op)
{
    return op->kind == FS_OP_COLLECTIVE || op->kind == FS_OP_SEND || op->kind == FS_OP_RECV;
}

static const fs_op *op_at(const fs_sched *s, uint32_t lane)
{
    return &fs_sched_ops(s, s->lanes[lane].actor)->ops[fs_sched_op_of(s, lane)];
}

/* The lane to name: the first that waits for others, else the first that waits for its own rank, else FS_NONE. */
static uint32_t stuck_lane(const fs_sched *s, uint32_t actor)
{
    uint32_t waiting = FS_NONE;
    for (uint32_t lane = s->lane_begin[actor]; lane < s->lane_begin[actor + 1]; lane++) {
        if (s->lanes[lane].state == FS_LANE_BUSY && is_communication(op_at(s, lane)))
            return lane;
        if (s->lanes[lane].state == FS_LANE_WAITS && waiting == FS_NONE)
            waiting = lane;
    }
    return waiting;
}

/* "'grad' (op 17, stream main)" */
static void add_op(text *t, const fs_sched *s, uint32_t actor, uint32_t op_index)
{
    const fs_work *work = s->job->work;
    const fs_op *op = &fs_sched_ops(s, actor)->ops[op_index];
    const char *name = work->names[op->name];
    if (strcmp(name, fs_op_label(op)) != 0) /* a name of its own */
        add(t, "'%.*s' ", NAME_WIDTH, name);
    add(t, "(op %u, stream %.*s)", op_index, NAME_WIDTH, work->streams[op->stream]);
}

/* Whether the actor stands at its part of the collective. */
static bool has_issued(const fs_sched *s, uint32_t actor, uint32_t family, uint32_t sequence)
{
    const fs_order_program *order = fs_sched_program(s, actor);
    uint32_t op = order->coll_ops[order->coll_begin[family] + sequence];
    uint32_t lane = fs_sched_lane_of(s, actor, fs_sched_ops(s, actor)->ops[op].stream);
    return order->position[op] == s->lanes[lane].cursor && s->lanes[lane].state == FS_LANE_BUSY;
}

/* "ranks 1, 2, 5 and 3 more" */
static void add_missing(text *t, const fs_sched *s, uint32_t meeting, uint32_t family, uint32_t sequence)
{
    const fs_job *job = s->job;
    uint32_t missing = 0, listed = 0;
    for (uint32_t i = job->meeting_begin[meeting]; i < job->meeting_begin[meeting + 1]; i++)
        missing += !has_issued(s, job->meeting_actors[i], family, sequence);
    add(t, "%s", missing == 1 ? "rank" : "ranks");
    for (uint32_t i = job->meeting_begin[meeting]; i < job->meeting_begin[meeting + 1] && listed < MISSING_MAX; i++)
        if (!has_issued(s, job->meeting_actors[i], family, sequence))
            add(t, "%s %u", listed++ > 0 ? "," : "", job->actor_rank[job->meeting_actors[i]]);
    if (missing > listed)
        add(t, " and %u more", missing - listed);
}

static void add_stuck(text *t, const fs_sched *s, uint32_t lane)
{
    const fs_job *job = s->job;
    uint32_t actor = s->lanes[lane].actor, op_index = fs_sched_op_of(s, lane);
    const fs_op *op = op_at(s, lane);
    add(t, "rank %u waits in ", job->actor_rank[actor]);
    if (s->lanes[lane].state == FS_LANE_WAITS) {
        add_op(t, s, actor, op_index);
        add(t, " for its own ");
        add_op(t, s, actor, s->lanes[lane].waits_for);
    } else if (op->kind == FS_OP_COLLECTIVE) {
        add(t, "%s ", fs_coll_names[op->coll]);
        add_op(t, s, actor, op_index);
        add(t, " of group %.*s for ", NAME_WIDTH, job->work->families[op->family].name);
        add_missing(t, s, job->meeting_of[(size_t)op->family * job->n_actors + actor], op->family,
                    s->order.sequence[actor][op_index]);
    } else {
        uint32_t peer = job->actor_rank[fs_job_peer(job, actor, op)];
        add(t, "%s ", op->kind == FS_OP_SEND ? "send" : "recv");
        add_op(t, s, actor, op_index);
        add(t, " for rank %u to %s", peer, op->kind == FS_OP_SEND ? "receive" : "send");
    }
}

fs_status fs_sched_fail_stuck(const fs_sched *s, fs_err *err)
{
    char buffer[FS_ERR_TEXT_MAX], when[32];
    text t = {buffer, sizeof buffer};
    uint32_t stuck = 0;
    add(&t, "deadlock after %s: ", fs_format_seconds(s->now_s, when, sizeof when));
    for (uint32_t a = 0; a < s->job->n_actors; a++) {
        uint32_t lane = stuck_lane(s, a);
        if (lane == FS_NONE)
            continue;
        if (stuck++ >= STUCK_MAX)
            continue;
        add(&t, "%s", stuck > 1 ? "; " : "");
        add_stuck(&t, s, lane);
    }
    if (stuck > STUCK_MAX)
        add(&t, "; and %u more ranks", stuck - STUCK_MAX);
    return fs_fail(err, FS_E_SIM, "%s", buffer);
}
