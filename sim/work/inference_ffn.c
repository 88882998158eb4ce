/* inference_ffn.c - attention and FFN apart: pools of role "ffn", and the pools whose MLPs and experts they have. */
#include "work/inference_reader.h"

#include "base/num.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { MICRO_BATCHES_MAX = 64 };

void fs_inference_read_ffn_parallel(fs_training_reader *r, const fs_json *pool, const fs_inference *in, fs_pool *p)
{
    static const char *const keys[] = {"tp", "ep", "pp"};
    const fs_transformer *m = &in->model;
    if (!fs_training_enter(r, pool, "parallel", false, keys, COUNT(keys)))
        return;
    fs_training_number(r, "tp", false, FS_RANKS_MAX, &p->tp);
    fs_training_number(r, "ep", false, FS_RANKS_MAX, &p->ep);
    fs_training_number(r, "pp", false, FS_LAYERS_MAX, &p->pp);
    if (r->status != FS_OK)
        return;
    const fs_json *tp = fs_json_get(r->object, "tp"), *pp = fs_json_get(r->object, "pp"),
                  *ep = fs_json_get(r->object, "ep");
    uint32_t width = m->moe.experts > 0 ? m->moe.ffn : m->ffn;
    if (width % p->tp != 0)
        r->status = fs_json_fail(r->doc, tp, false, r->err, "tp is %u, which does not divide %u columns of %s", p->tp,
                                 width, m->moe.experts > 0 ? "an expert" : "the MLP");
    else if (p->ep > 1 && (m->moe.experts == 0 || m->moe.experts % p->ep != 0))
        r->status = fs_json_fail(r->doc, ep, false, r->err, "'ep' is %u, which does not divide the model's %u experts",
                                 p->ep, m->moe.experts);
    else if (p->pp > m->layers)
        r->status = fs_json_fail(r->doc, pp, false, r->err, "pp is %u, but there are %u layers", p->pp, m->layers);
    p->dp = p->ep;
}

/* What only an engine with sequences has. */
static void check_ffn_keys(fs_training_reader *r, const fs_json *json)
{
    static const char *const others[] = {"limits", "speculative", "overhead", "measured", "overlap", "ffn", "dispatch"};
    static const char *const kv[] = {"memory_fraction"};
    for (size_t i = 0; i < COUNT(others) && r->status == FS_OK; i++)
        if (fs_json_get(json, others[i]))
            r->status = fs_json_fail(r->doc, fs_json_get(json, others[i]), false, r->err,
                                     "a pool of role 'ffn' has no sequences, so no '%s'; it belongs to the pool that "
                                     "names this one in its 'ffn'",
                                     others[i]);
    const fs_json *memory = fs_json_get(json, "kv");
    if (r->status == FS_OK && fs_json_kind(memory) == FS_JSON_OBJECT)
        r->status = fs_json_only(r->doc, memory, kv, COUNT(kv), r->err);
}

/* The pool of that name; FS_NONE. */
static uint32_t find_pool(const fs_pool *pools, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(pools[i].name, name) == 0)
            return i;
    return FS_NONE;
}

static void fail_unknown(fs_training_reader *r, const fs_json *at, const fs_pool *pools, uint32_t n, const char *name)
{
    const char *names[FS_POOLS_MAX];
    for (uint32_t i = 0; i < n; i++)
        names[i] = pools[i].name;
    const char *near = fs_suggest(name, names, n);
    r->status = fs_json_fail(r->doc, at, false, r->err, "there is no pool '%.100s' among the engines%s%.100s%s", name,
                             near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

static void check_attention(fs_training_reader *r, const fs_json *json, const fs_json *name, const fs_pool *pools,
                            const fs_pool *p)
{
    const fs_pool *ffn = &pools[p->ffn];
    if (ffn->role != FS_ROLE_FFN)
        r->status = fs_json_fail(r->doc, name, false, r->err, "pool '%.100s' is of role '%s'; expected \"ffn\"",
                                 ffn->name, fs_role_names[ffn->role]);
    else if (p->role == FS_ROLE_PREFILL)
        r->status = fs_json_fail(r->doc, name, false, r->err,
                                 "a pool of role 'prefill' keeps its MLPs; 'decode' and 'both' may leave them");
    else if (p->pp > 1 || p->ep > 1 || p->two_batch || p->measured)
        r->status = fs_json_fail(r->doc, json, false, r->err,
                                 "a pool whose MLPs are in '%.100s' is of attention only: no 'pp', no 'ep', no "
                                 "'two_batch' ('micro_batches' does it), no 'measured'",
                                 ffn->name);
    else if (p->replicas % ffn->replicas != 0)
        r->status = fs_json_fail(r->doc, json, false, r->err,
                                 "%u replicas cannot share %u of '%.100s' evenly; the one must divide the other",
                                 p->replicas, ffn->replicas, ffn->name);
}

static void read_link(fs_training_reader *r, const fs_json *json, fs_pool *pools, uint32_t n, fs_pool *p)
{
    static const char *const keys[] = {"pool", "micro_batches"};
    const char *name = "";
    if (!fs_training_enter(r, json, "ffn", false, keys, COUNT(keys)))
        return;
    r->status = fs_json_string_in(r->doc, r->object, "pool", true, &name, r->err);
    fs_training_number(r, "micro_batches", false, MICRO_BATCHES_MAX, &p->micro_batches);
    if (r->status != FS_OK)
        return;
    const fs_json *at = fs_json_get(r->object, "pool");
    p->ffn = find_pool(pools, n, name);
    if (p->ffn == FS_NONE)
        fail_unknown(r, at, pools, n, name);
    else
        check_attention(r, json, at, pools, p);
}

void fs_inference_link_ffn(fs_training_reader *r, const fs_json *list, fs_pool *pools, uint32_t n)
{
    const fs_json *json = fs_json_first(list);
    for (uint32_t i = 0; i < n && r->status == FS_OK; i++, json = fs_json_next(json)) {
        if (pools[i].role == FS_ROLE_FFN)
            check_ffn_keys(r, json);
        else
            read_link(r, json, pools, n, &pools[i]);
    }
    json = fs_json_first(list);
    for (uint32_t i = 0; i < n && r->status == FS_OK; i++, json = fs_json_next(json)) {
        bool named = pools[i].role != FS_ROLE_FFN;
        for (uint32_t k = 0; k < n; k++)
            named = named || pools[k].ffn == i;
        if (!named)
            r->status = fs_json_fail(r->doc, json, false, r->err,
                                     "no pool leaves its MLPs to '%.100s': \"ffn\": {\"pool\": \"%.100s\"} in one of "
                                     "role 'decode' or 'both'",
                                     pools[i].name, pools[i].name);
    }
}
