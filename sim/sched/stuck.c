/* stuck.c - a deadlock in words: which ranks stand at which op, and whom each waits for.
 *
 * Nothing is left to happen, yet lanes are unfinished. A lane that waits for an op of its own rank is a consequence;
 * the cause is a lane that has issued communication which others have not. So of each stuck rank the first such lane is
 * named. Ranks are named as they are without folding: each stands where its actor does. A text of the first STUCK_MAX
 * ranks says enough and stays within an error's length. */
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

/* "ranks 1, 2, 5 and 3 more": of the group of a rank. */
static void add_missing(text *t, const fs_sched *s, uint32_t rank, uint32_t family_id, uint32_t sequence)
{
    const fs_family *family = &s->job->work->families[family_id];
    uint32_t group = fs_family_group_of(family, rank), size = fs_family_size(family, group), missing = 0, listed = 0;
    for (uint32_t i = 0; i < size; i++)
        missing += !has_issued(s, s->job->actor_of_rank[fs_family_member(family, group, i)], family_id, sequence);
    add(t, "%s", missing == 1 ? "rank" : "ranks");
    for (uint32_t i = 0; i < size && listed < MISSING_MAX; i++) {
        uint32_t member = fs_family_member(family, group, i);
        if (!has_issued(s, s->job->actor_of_rank[member], family_id, sequence))
            add(t, "%s %u", listed++ > 0 ? "," : "", member);
    }
    if (missing > listed)
        add(t, " and %u more", missing - listed);
}

static void add_stuck(text *t, const fs_sched *s, uint32_t rank, uint32_t lane)
{
    const fs_work *work = s->job->work;
    uint32_t actor = s->lanes[lane].actor, op_index = fs_sched_op_of(s, lane);
    const fs_op *op = op_at(s, lane);
    add(t, "rank %u waits in ", rank);
    if (s->lanes[lane].state == FS_LANE_WAITS) {
        add_op(t, s, actor, op_index);
        add(t, " for its own ");
        add_op(t, s, actor, s->lanes[lane].waits_for);
    } else if (op->kind == FS_OP_COLLECTIVE) {
        add(t, "%s ", fs_coll_names[op->coll]);
        add_op(t, s, actor, op_index);
        add(t, " of group %.*s for ", NAME_WIDTH, work->families[op->family].name);
        add_missing(t, s, rank, op->family, fs_sched_sequence(s, actor, op_index));
    } else {
        add(t, "%s ", op->kind == FS_OP_SEND ? "send" : "recv");
        add_op(t, s, actor, op_index);
        add(t, " for rank %u to %s", fs_work_peer(work, op->family, op->peer, rank),
            op->kind == FS_OP_SEND ? "receive" : "send");
    }
}

fs_status fs_sched_fail_stuck(const fs_sched *s, fs_err *err)
{
    char buffer[FS_ERR_TEXT_MAX], when[32];
    text t = {buffer, sizeof buffer};
    uint32_t stuck = 0;
    add(&t, "deadlock after %s: ", fs_format_seconds(s->now_s, when, sizeof when));
    for (uint32_t rank = 0; rank < s->job->work->n_ranks; rank++) {
        uint32_t lane = stuck_lane(s, s->job->actor_of_rank[rank]);
        if (lane == FS_NONE)
            continue;
        if (stuck++ >= STUCK_MAX)
            continue;
        add(&t, "%s", stuck > 1 ? "; " : "");
        add_stuck(&t, s, rank, lane);
    }
    if (stuck > STUCK_MAX)
        add(&t, "; and %u more ranks", stuck - STUCK_MAX);
    return fs_fail(err, FS_E_SIM, "%s", buffer);
}
