/* training_case.h - random training traces, for property tests: models of a few small layers under every mix of
 * parallelism, schedule and overlap. */
#ifndef FS_TEST_TRAINING_CASE_H
#define FS_TEST_TRAINING_CASE_H

#include "../fixture.h"
#include "base/rng.h"

enum { TRACE_TEXT = 4096 };

typedef struct text {
    char data[TRACE_TEXT];
    size_t n;
} text;

__attribute__((format(printf, 2, 3))) static void put(text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    t->n += (size_t)vsnprintf(t->data + t->n, sizeof t->data - t->n, format, args);
    va_end(args);
    assert_true(t->n < sizeof t->data);
}

static bool coin(fs_rng *rng)
{
    return fs_rng_below(rng, 2) == 0;
}

static uint32_t power_below(fs_rng *rng, uint32_t limit) /* 1, 2, 4, ... <= limit */
{
    uint32_t n = 0;
    while (2u << n <= limit)
        n++;
    return 1u << fs_rng_below(rng, n + 1);
}

typedef struct layout {
    uint32_t tp, cp, pp, dp, vpp, ep, etp;
    bool experts, sequence;
} layout;

/* For at most so many ranks: a power of two from 1 up. */
static layout random_layout(fs_rng *rng, uint32_t ranks)
{
    layout l = {.tp = power_below(rng, ranks < 4 ? ranks : 4),
                .experts = fs_rng_below(rng, 5) < 2,
                .vpp = 1,
                .ep = 1,
                .etp = 1};
    l.cp = power_below(rng, ranks / l.tp < 4 ? ranks / l.tp : 4);
    l.pp = power_below(rng, ranks / (l.tp * l.cp) < 4 ? ranks / (l.tp * l.cp) : 4);
    l.dp = power_below(rng, ranks / (l.tp * l.cp * l.pp));
    l.sequence = l.tp > 1 && (l.experts || coin(rng));
    if (l.pp > 1 && coin(rng))
        l.vpp = 2;
    if (l.experts) {
        l.etp = coin(rng) ? l.tp : 1;
        l.ep = power_below(rng, l.tp * l.cp * l.dp / l.etp < 8 ? l.tp * l.cp * l.dp / l.etp : 8);
    }
    return l;
}

static const char *yes(bool b)
{
    return b ? "true" : "false";
}

static void put_model(text *t, fs_rng *rng, const layout *l)
{
    static const char *const skews[] = {"\"uniform\"", "{\"zipf\": 1}", "[1, 2, 3, 4, 5, 6, 7, 8]"};
    static const char *const positions[] = {"learned", "rotary", "none"};
    put(t,
        "\"model\": {\"layers\": %u, \"hidden\": 256, \"heads\": 8, \"kv_heads\": 4, \"vocab\": 1024, \"seq\": 128, ",
        l->pp * l->vpp + fs_rng_below(rng, 5) - (l->pp * l->vpp > 3 ? 2 : 0));
    put(t, "\"gated\": %s, \"tied\": %s, \"bias\": %s, \"dropout\": %s, \"causal\": %s, \"norm\": \"%s\", ",
        yes(coin(rng)), yes(coin(rng)), yes(coin(rng)), yes(coin(rng)), yes(coin(rng)), coin(rng) ? "layer" : "rms");
    put(t, "\"positions\": \"%s\"", positions[fs_rng_below(rng, 3)]);
    if (fs_rng_below(rng, 3) == 0)
        put(t, ", \"mla\": {%s\"kv_rank\": 32, \"nope_dim\": 16, \"rope_dim\": 8, \"v_dim\": 16}",
            coin(rng) ? "\"q_rank\": 48, " : "");
    if (l->experts)
        put(t,
            ", \"moe\": {\"experts\": 8, \"top_k\": 2, \"ffn\": 128, \"every\": %u, \"dense_first\": %u%s%s, \"skew\": "
            "%s}",
            1 + fs_rng_below(rng, 2), fs_rng_below(rng, 2), coin(rng) ? ", \"shared_ffn\": 64" : "",
            fs_rng_below(rng, 3) ? "" : ", \"capacity\": 1.25", skews[fs_rng_below(rng, 3)]);
    put(t, "}, ");
}

static void put_parallel(text *t, fs_rng *rng, const layout *l, const char *order)
{
    uint32_t zero = fs_rng_below(rng, 4);
    put(t,
        "\"parallel\": {\"tp\": %u, \"cp\": %u, \"pp\": %u, \"vpp\": %u, \"dp\": %u, \"sequence\": %s, \"zero\": %u, ",
        l->tp, l->cp, l->pp, l->vpp, l->dp, yes(l->sequence), zero);
    put(t, "\"cp_comm\": \"%s\", \"scatter_gather\": %s, \"order\": \"%s\"", coin(rng) ? "ring" : "all_gather",
        yes(coin(rng)), order);
    if (l->experts)
        put(t, ", \"ep\": %u, \"etp\": %u", l->ep, l->etp);
    else if (zero > 0 && coin(rng))
        put(t, ", \"shard\": %u", power_below(rng, l->dp & (0u - l->dp))); /* of the powers that divide it */
    put(t, "}, ");
}

static void put_rest(text *t, fs_rng *rng, const layout *l)
{
    static const char *const schedules[] = {"1f1b", "gpipe", "zb-h1"}, *const precisions[] = {"fp16", "bf16", "fp8"};
    static const char *const recomputes[] = {"none", "selective", "full", "mlp", "norm+latent+mlp"},
                             *const kernels[] = {"unfused", "fused", "flash"};
    static const char *const algos[] = {"forwarded", "direct", "lowlatency"};
    uint32_t microbatches = (1 + fs_rng_below(rng, 4)) * (l->vpp > 1 ? l->pp : 1);
    put(t, "\"batch\": {\"global\": %u, \"micro\": 2}, ", 2 * microbatches * l->dp);
    put(t, "\"precision\": \"%s\", \"recompute\": \"%s\", \"kernels\": \"%s\", ", precisions[fs_rng_below(rng, 3)],
        recomputes[fs_rng_below(rng, 5)], kernels[fs_rng_below(rng, 3)]);
    if (l->vpp == 1)
        put(t, "\"schedule\": \"%s\", ", schedules[fs_rng_below(rng, 3)]);
    else
        put(t, "\"host\": {\"launch_us\": %u, \"graphs\": \"%s\"}, ", fs_rng_below(rng, 3),
            coin(rng) ? "attention" : "attention+router");
    put(t,
        "\"overlap\": {\"grad_reduce\": %s, \"param_gather\": %s, \"tp\": %s, \"moe_shared\": %s, \"sm_share\": %s, "
        "\"bucket\": %s, \"ep\": %s}",
        yes(coin(rng)), yes(coin(rng)), yes(coin(rng)), yes(coin(rng)), coin(rng) ? "0" : "0.1",
        coin(rng) ? "0" : "500000", yes(l->vpp > 1 && coin(rng)));
    if (coin(rng))
        put(t, ", \"dispatch\": {\"algo\": \"%s\"}", algos[fs_rng_below(rng, 3)]);
    else
        put(t, ", \"dispatch\": {\"top_domains\": %u}", 1 + fs_rng_below(rng, 3));
}

static fs_work *random_work(uint64_t seed, fs_rng rng, const layout *l, const char *order)
{
    text t = {.n = 0};
    put(&t, "{\"fabsim\": \"trace/1\", \"kind\": \"training\", ");
    put_model(&t, &rng, l);
    put_parallel(&t, &rng, l, order);
    put_rest(&t, &rng, l);
    put(&t, "}");
    fs_work *work = NULL;
    if (fs_work_parse("t.json", t.data, t.n, NULL, 0, &work, &failure) != FS_OK)
        fail_msg("seed %llu: %s\n%s", (unsigned long long)seed, failure.text, t.data);
    return work;
}

#endif
