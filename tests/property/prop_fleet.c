/* prop_fleet.c - fleets of copies, folded and with every copy simulated: the same results; and what shares a link, or
 * stands or fares otherwise, is not folded. */
#include "../unit/serve_case.h"
#include "base/rng.h"
#include "topo/faults.h"

enum { RUNS = 60 };

/* A machine, GPUs of a copy, how many copies fit, and whether they may fold. */
typedef struct setting {
    const char *machine;
    uint32_t gpus, most;
    bool folds;
} setting;

static const setting settings[] = {
    {"topologies/dgx-h100-x2.xml", 8, 2, true},   /* a node each */
    {"topologies/dgx-h100-x2.xml", 4, 4, true},   /* two on a node, on NVLinks of their own */
    {"topologies/dgx-h100-x2.xml", 2, 8, true},   /* four */
    {"topologies/dgx-h100-x2.xml", 16, 1, false}, /* over both nodes */
    {"topologies/gb200-superpod.xml", 8, 12, true},
    {"topologies/selene-a100.xml", 16, 5, false}, /* two nodes each, over shared switches */
    {"topologies/v100-pcie.xml", 4, 2, false},    /* over PCIe switches; swapped caches meet */
    {"nodes:6 gpus:4 nvlink:50GB/s,1us nic:10GB/s,2us", 4, 6, true},
    {"nodes:6 gpus:4 nvlink:50GB/s,1us nic:10GB/s,2us", 8, 3, false},
};

static uint32_t pick(fs_rng *rng, uint32_t low, uint32_t high)
{
    return low + fs_rng_below(rng, high - low + 1);
}

/* Pools that use `gpus` GPUs: one, or two that pass caches on. */
static void make_engines(fs_rng *rng, uint32_t gpus, char *text, size_t size)
{
    uint32_t half = gpus / 2, tp = 1u + fs_rng_below(rng, 2);
    const char *limits = "\"limits\":{\"max_tokens\":96,\"max_seqs\":12},\"kv\":{\"block_tokens\":4,\"blocks\":120}";
    if (fs_rng_below(rng, 2))
        fs_snprintf(text, size, "{\"role\":\"both\",\"replicas\":%u,\"parallel\":{\"tp\":%u},%s}", gpus / tp, tp,
                    limits);
    else
        fs_snprintf(text, size,
                    "{\"role\":\"prefill\",\"replicas\":%u,%s},{\"role\":\"decode\",\"parallel\":{\"pp\":%u},%s}", half,
                    limits, half > 2 ? 2u : 1u, limits);
}

static void make_requests(fs_rng *rng, char *text, size_t size)
{
    static const char *const arrivals[] = {"\"rate\":4000", "\"arrival\":\"bursts\",\"burst\":5,\"rate\":3000",
                                           "\"arrival\":\"closed\",\"concurrency\":7"};
    fs_snprintf(text, size, "%s,\"count\":%u,\"input\":{\"uniform\":[1,200]},\"output\":{\"uniform\":[1,20]}",
                arrivals[fs_rng_below(rng, 3)], pick(rng, 1, 60));
}

static served run(const setting *s, const char *engines, const char *requests, const char *more, const fs_fault *fault,
                  fs_fold_mode fold)
{
    fs_run_options options = ideal();
    served made = {0};
    options.fold = fold;
    if (!fault) {
        made = serve_with(s->machine, engines, requests, more, options);
        return made;
    }
    /* Loaded once without, for the topology. */
    fs_result first = {0};
    ASSERT_OK(try_serve(s->machine, engines, requests, more, options, &made.topo, &made.work, &first));
    fs_result_free(&first);
    ASSERT_OK(fs_topo_apply_faults(made.topo, fault, 1, &failure));
    ASSERT_OK(fs_serve_run(made.topo, made.work, &options, &made.result, &failure));
    made.v = made.result.serving;
    return made;
}

static void same_summary(const fs_summary *a, const fs_summary *b)
{
    ASSERT_CLOSE(a->count, b->count, 1e-12);
    ASSERT_CLOSE(a->mean, b->mean, 1e-9);
    ASSERT_CLOSE(a->greatest, b->greatest, 1e-9);
    ASSERT_CLOSE(a->p50, b->p50, 2e-3); /* bins of 0.1 % */
    ASSERT_CLOSE(a->p99, b->p99, 2e-3);
}

static void same(const served *a, const served *b)
{
    const fs_serving_result *v = a->v, *w = b->v;
    ASSERT_CLOSE(a->result.step_time_s, b->result.step_time_s, 1e-9);
    ASSERT_CLOSE(v->output_tokens_per_s, w->output_tokens_per_s, 1e-9);
    ASSERT_CLOSE(v->input_tokens_per_s, w->input_tokens_per_s, 1e-9);
    ASSERT_CLOSE(v->goodput_tokens_per_s, w->goodput_tokens_per_s, 1e-9);
    ASSERT_CLOSE(v->offered_per_s, w->offered_per_s, 1e-12);
    assert_true(v->n_requests == w->n_requests && v->n_rejected == w->n_rejected && v->preemptions == w->preemptions);
    assert_int_equal(v->unstable, w->unstable);
    same_summary(&v->ttft, &w->ttft);
    same_summary(&v->tpot, &w->tpot);
    same_summary(&v->itl, &w->itl);
    same_summary(&v->e2e, &w->e2e);
    same_summary(&v->queue, &w->queue);
    for (uint32_t p = 0; p < v->n_pools; p++) {
        const fs_pool_row *x = &v->pools[p], *y = &w->pools[p];
        assert_true(x->replicas == y->replicas && x->iterations == y->iterations && x->preemptions == y->preemptions);
        ASSERT_CLOSE(x->busy, y->busy, 1e-9);
        ASSERT_CLOSE(x->kv_mean, y->kv_mean, 1e-9);
        ASSERT_CLOSE(x->kv_peak, y->kv_peak, 1e-12);
        ASSERT_CLOSE(x->kv_sent_bytes, y->kv_sent_bytes, 1e-9);
    }
    for (uint32_t t = 0; t < a->result.n_tiers; t++) {
        ASSERT_CLOSE(a->result.tiers[t].bytes, b->result.tiers[t].bytes, 1e-9);
        assert_true(a->result.tiers[t].links == b->result.tiers[t].links);
        ASSERT_CLOSE(a->result.tiers[t].capacity_Bps, b->result.tiers[t].capacity_Bps, 1e-9);
        ASSERT_CLOSE(a->result.tiers[t].peak_utilization, b->result.tiers[t].peak_utilization, 1e-6);
    }
    ASSERT_CLOSE(a->result.power.facility_W, b->result.power.facility_W, 1e-9);
}

static void folded_is_unfolded(void **state)
{
    (void)state;
    uint32_t folded = 0, apart = 0;
    for (uint32_t i = 0; i < RUNS; i++) {
        fs_rng rng = fs_rng_seed(i);
        const setting *s = &settings[i % (sizeof settings / sizeof *settings)];
        char engines[1024], requests[512], more[256];
        uint32_t copies = pick(&rng, s->most > 1 ? 2 : 1, s->most), distinct = pick(&rng, 1, copies < 3 ? copies : 3);
        make_engines(&rng, s->gpus, engines, sizeof engines);
        make_requests(&rng, requests, sizeof requests);
        fs_snprintf(more, sizeof more,
                    ",\"fleet\":{\"copies\":%u,\"distinct\":%u,\"stride\":%u},\"slo\":{\"ttft_s\":0.004},\"precision\":"
                    "\"fp16\"",
                    copies, distinct, s->gpus);
        print_message("# run %u: %s [%s] {%s}%s\n", i, s->machine, engines, requests, more);
        served a = run(s, engines, requests, more, NULL, FS_FOLD_AUTO);
        served b = run(s, engines, requests, more, NULL, FS_FOLD_OFF);
        same(&a, &b);
        assert_int_equal(b.v->copies_simulated, copies);
        assert_true(a.v->copies_simulated >= distinct);
        if (!s->folds && distinct < copies)
            assert_int_equal(a.v->copies_simulated, copies);
        folded += a.v->copies_simulated < copies;
        apart += a.v->copies_simulated == copies && distinct < copies;
        end(&a);
        end(&b);
    }
    assert_true(folded >= RUNS / 4 && apart >= 5); /* both were tried */
}

/* As many classes as there are streams and places on a node. */
static void streams_and_places_count(void **state)
{
    (void)state;
    static const char engines[] = "{\"role\":\"both\",\"parallel\":{\"tp\":4}}";
    static const char requests[] = "\"rate\":4000,\"count\":30,\"input\":50,\"output\":5";
    static const struct {
        const char *fleet;
        uint32_t simulated;
    } cases[] = {{"\"copies\":4,\"distinct\":1", 2}, /* first and second half of a node */
                 {"\"copies\":4,\"distinct\":2", 2}, /* the first halves draw one stream, the second the other */
                 {"\"copies\":4,\"distinct\":3", 4}, /* copy 3 draws what copy 0 does, but stands elsewhere */
                 {"\"copies\":4,\"distinct\":4", 4},
                 {"\"copies\":2,\"distinct\":1,\"stride\":8", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char more[128];
        fs_snprintf(more, sizeof more, ",\"fleet\":{%s}", cases[i].fleet);
        served s = serve("topologies/dgx-h100-x2.xml", engines, requests, more);
        assert_int_equal(s.v->copies_simulated, cases[i].simulated);
        end(&s);
    }
}

/* A slow GPU, and a slow link, make their copy another one. */
static void faults_split(void **state)
{
    (void)state;
    static const char engines[] = "{\"role\":\"both\",\"parallel\":{\"tp\":4,\"dp\":2}}";
    static const char requests[] = "\"rate\":4000,\"count\":40,\"input\":50,\"output\":5";
    static const char fleet[] = ",\"fleet\":{\"copies\":12,\"distinct\":1}";
    const setting s = {"topologies/gb200-superpod.xml", 8, 12, true};
    const fs_fault faults[] = {
        {.kind = FS_FAULT_GPU, .name = "rack0/tray3/gpu1", .speed = 0.5, .to_s = INFINITY, .origin = "t"},
        {.kind = FS_FAULT_SWITCH, .name = "rack0/nvsw2", .speed = 0.25, .to_s = INFINITY, .origin = "t"}};
    served whole = run(&s, engines, requests, fleet, NULL, FS_FOLD_AUTO);
    for (size_t i = 0; i < 2; i++) {
        served a = run(&s, engines, requests, fleet, &faults[i], FS_FOLD_AUTO);
        served b = run(&s, engines, requests, fleet, &faults[i], FS_FOLD_OFF);
        same(&a, &b);
        assert_true(a.v->copies_simulated > whole.v->copies_simulated && a.v->copies_simulated <= 12);
        assert_true(a.v->ttft.greatest > whole.v->ttft.greatest * 1.000001);
        end(&a);
        end(&b);
    }
    end(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(folded_is_unfolded), cmocka_unit_test(streams_and_places_count),
                                       cmocka_unit_test(faults_split)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
