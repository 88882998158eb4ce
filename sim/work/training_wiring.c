/* training_wiring.c - who talks to whom in a step of training, and on which streams. */
#include "work/training_task.h"

typedef struct wirer {
    fs_work_builder *b;
    const fs_training *t;
    fs_wiring *wiring;
    fs_status status; /* of what failed first; nothing is tried after it */
    fs_err *err;
} wirer;

/* A family of up to two digits, of any order; ones of size 1 do not count. */
static void family(wirer *s, const char *name, fs_digit a, fs_digit b, uint32_t *id)
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

static void stream(wirer *s, bool wanted, const char *name, uint16_t *id)
{
    if (s->status == FS_OK && wanted)
        s->status = fs_work_stream(s->b, name, id, s->err);
}

static void make_families(wirer *s)
{
    const fs_training *t = s->t;
    const fs_digit none = {1, 1};
    fs_wiring *w = s->wiring;
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

static void make_streams(wirer *s)
{
    static const char *const pipeline[] = {"pp recv forward", "pp send forward", "pp recv backward",
                                           "pp send backward"};
    const fs_training *t = s->t;
    fs_wiring *w = s->wiring;
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
fs_status fs_training_wire(fs_work_builder *b, const fs_training *t, fs_wiring *wiring, fs_err *err)
{
    wirer s = {.b = b, .t = t, .wiring = wiring, .status = FS_OK, .err = err};
    *wiring = (fs_wiring){.tp = FS_NONE,
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
    return s.status;
}
