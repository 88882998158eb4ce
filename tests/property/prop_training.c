/* prop_training.c - random training jobs under every mix of parallelism: their ops do what the totals say, they run to
 * the end, and on a fabric where all GPUs are alike the nesting of dimensions changes nothing. And the bubbles of
 * pipeline schedules, in closed form. */
#include "../fixture.h"

#include "base/rng.h"

#include <stdlib.h>

enum { CASES = 400, RUNS = 120, RANKS = 16, TEXT = 4096 };
static uint64_t seed;

typedef struct text {
    char data[TEXT];
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

static layout random_layout(fs_rng *rng)
{
    layout l = {.tp = power_below(rng, 4), .experts = fs_rng_below(rng, 5) < 2, .vpp = 1, .ep = 1, .etp = 1};
    l.cp = power_below(rng, 4);
    l.pp = power_below(rng, RANKS / (l.tp * l.cp) < 4 ? RANKS / (l.tp * l.cp) : 4);
    l.dp = power_below(rng, RANKS / (l.tp * l.cp * l.pp));
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
        put(t, ", \"shard\": %u", power_below(rng, l->dp));
    put(t, "}, ");
}

static void put_rest(text *t, fs_rng *rng, const layout *l)
{
    static const char *const schedules[] = {"1f1b", "gpipe", "zb-h1"}, *const precisions[] = {"fp16", "bf16", "fp8"};
    static const char *const recomputes[] = {"none", "selective", "full"}, *const kernels[] = {"unfused", "fused",
                                                                                               "flash"};
    uint32_t microbatches = (1 + fs_rng_below(rng, 4)) * (l->vpp > 1 ? l->pp : 1);
    put(t, "\"batch\": {\"global\": %u, \"micro\": 2}, ", 2 * microbatches * l->dp);
    put(t, "\"precision\": \"%s\", \"recompute\": \"%s\", \"kernels\": \"%s\", ", precisions[fs_rng_below(rng, 3)],
        recomputes[fs_rng_below(rng, 3)], kernels[fs_rng_below(rng, 3)]);
    if (l->vpp == 1)
        put(t, "\"schedule\": \"%s\", ", schedules[fs_rng_below(rng, 3)]);
    put(t,
        "\"overlap\": {\"grad_reduce\": %s, \"param_gather\": %s, \"tp\": %s, \"moe_shared\": %s, \"sm_share\": %s, "
        "\"bucket\": %s}",
        yes(coin(rng)), yes(coin(rng)), yes(coin(rng)), yes(coin(rng)), coin(rng) ? "0" : "0.1",
        coin(rng) ? "0" : "500000");
}

static fs_work *random_work(fs_rng rng, const layout *l, const char *order)
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

static double flops_of(const fs_work *w)
{
    double sum = 0;
    for (uint32_t p = 0; p < w->n_programs; p++)
        for (uint32_t i = 0; i < w->programs[p].n_ops; i++) {
            uint32_t list = w->programs[p].ops[i].kernels;
            for (uint32_t k = 0; list != FS_NONE && k < w->kernel_lists[list].n; k++)
                sum += w->kernel_lists[list].kernels[k].flops * w->programs[p].n_ranks;
        }
    return sum;
}

static void ops_do_what_the_totals_say(void **state)
{
    (void)state;
    for (seed = 1; seed <= CASES; seed++) {
        fs_rng rng = fs_rng_seed(seed);
        layout l = random_layout(&rng);
        fs_work *work = random_work(rng, &l, "tp-cp-ep-dp-pp");
        double found = flops_of(work), expected = work->totals.hardware_flops;
        if (!(fabs(found - expected) <= 1e-9 * expected))
            fail_msg("seed %llu: ops have %.17g FLOPs, the totals %.17g", (unsigned long long)seed, found, expected);
        fs_work_free(work);
    }
}

static double run(const fs_topo *topo, const fs_work *work)
{
    fs_run_options options = ideal();
    fs_result result = {0};
    if (fs_run(topo, work, &options, &result, &failure) != FS_OK)
        fail_msg("seed %llu: %s", (unsigned long long)seed, failure.text);
    double step_s = result.step_time_s;
    fs_result_free(&result);
    return step_s;
}

static void steps_end_in_any_nesting(void **state)
{
    (void)state;
    fs_topo *topo = make_topo("gpus:16 nvlink:100GB/s");
    for (seed = 1; seed <= RUNS; seed++) {
        fs_rng rng = fs_rng_seed(seed);
        char order[] = "tp-cp-dp-pp-ep";
        layout l = random_layout(&rng);
        for (uint32_t i = 4; i > 1; i--) { /* shuffle all but ep */
            uint32_t j = fs_rng_below(&rng, i);
            char kept[2] = {order[3 * j], order[3 * j + 1]};
            memmove(order + 3 * j, order + 3 * (i - 1), 2);
            memcpy(order + 3 * (i - 1), kept, 2);
        }
        fs_work *plain = random_work(rng, &l, "tp-cp-ep-dp-pp");
        double step_s = run(topo, plain), arithmetic_s = plain->totals.hardware_flops / plain->n_ranks / 100e12;
        assert_true(step_s >= arithmetic_s * (1 - 1e-9) || plain->totals.dtype == FS_FP8);
        if (!l.experts) {
            fs_work *nested = random_work(rng, &l, order);
            ASSERT_CLOSE(run(topo, nested), step_s, 1e-9);
            fs_work_free(nested);
        }
        fs_work_free(plain);
    }
    fs_topo_free(topo);
}

/* ---- bubbles ----------------------------------------------------------------------------------------------------- */

/* 4 stages, 8 microbatches, layers alone: nearly all the time is products of matrices, a forward pass takes x, the
 * gradients of inputs x and those of weights x. What else there is (norms, the ends of the model, messages) is small. */
static double pipeline_s(const fs_topo *topo, const char *parallel, const char *schedule, uint32_t batch)
{
    text t = {.n = 0};
    fs_work *work = NULL;
    put(&t,
        "{\"fabsim\": \"trace/1\", \"kind\": \"training\", \"model\": {\"layers\": 16, \"hidden\": 8192, \"heads\": "
        "64, "
        "\"vocab\": 64, \"seq\": 512, \"bias\": false, \"dropout\": false}, \"parallel\": {%s}, \"batch\": "
        "{\"global\": %u, "
        "\"micro\": 4}, \"kernels\": \"flash\"%s}",
        parallel, batch, schedule);
    ASSERT_OK(fs_work_parse("t.json", t.data, t.n, NULL, 0, &work, &failure));
    double flops = work->totals.hardware_flops / 3; /* of all forward passes */
    double x = flops / 100e12 / 4 / (batch / 4);    /* of one microbatch in one stage */
    double optimizer_s = 12 * 8192.0 * 8192 * 4 * 30 / 2e12;
    double step_s = run(topo, work) - optimizer_s;
    fs_work_free(work);
    return step_s / x;
}

static void bubbles_of_pipelines(void **state)
{
    (void)state;
    fs_topo *topo = make_topo("gpus:4 nvlink:10TB/s");
    const double passes = 8 * 3; /* of one stage, in units of x */
    ASSERT_CLOSE(pipeline_s(topo, "\"pp\": 4", "", 32), passes + 3 * 3, 0.03);
    ASSERT_CLOSE(pipeline_s(topo, "\"pp\": 4", ", \"schedule\": \"gpipe\"", 32), passes + 3 * 3, 0.03);
    ASSERT_CLOSE(pipeline_s(topo, "\"pp\": 4, \"vpp\": 4", "", 32), passes + 3 * 3 / 4.0, 0.03);
    ASSERT_CLOSE(pipeline_s(topo, "\"pp\": 4", ", \"schedule\": \"zb-h1\"", 32), passes + 3 * 1, 0.03);
    fs_topo_free(topo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ops_do_what_the_totals_say),
        cmocka_unit_test(steps_end_in_any_nesting),
        cmocka_unit_test(bubbles_of_pipelines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
