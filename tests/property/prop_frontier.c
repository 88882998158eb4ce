/* prop_frontier.c - the frontier is exactly the good points that none dominates (the definition, pair by pair), in order, and
 * no point that a search leaves out belongs to it;
 * and what is measured of a run's requests, by hand. */
#include "../fixture.h"
#include "base/rng.h"
#include "pareto/factory.h"
#include "report/serving.h"

enum { RUNS = 400, POINTS_MAX = 60 };

static bool beats(const fs_operating_point *a, const fs_operating_point *b, fs_frontier_by by)
{
    double x = fs_operating_throughput(a, by), y = fs_operating_throughput(b, by);
    return x >= y && a->per_user >= b->per_user && (x > y || a->per_user > b->per_user);
}

/* The slow twin: of equal points the first, of the others those that nothing beats. */
static bool belongs(const fs_operating_point *points, uint32_t n, uint32_t i, fs_frontier_by by)
{
    for (uint32_t k = 0; k < n; k++) {
        bool equal = points[k].per_user == points[i].per_user &&
                     fs_operating_throughput(&points[k], by) == fs_operating_throughput(&points[i], by);
        if (points[k].state == FS_OPERATING_GOOD && (beats(&points[k], &points[i], by) || (equal && k < i)))
            return false;
    }
    return points[i].state == FS_OPERATING_GOOD;
}

static void the_frontier_is_what_nothing_beats(void **state)
{
    (void)state;
    uint64_t kept = 0;
    for (uint32_t run = 0; run < RUNS; run++) {
        fs_rng rng = fs_rng_seed(run);
        fs_operating_point points[POINTS_MAX] = {0};
        uint32_t n = fs_rng_below(&rng, POINTS_MAX), frontier[POINTS_MAX], levels = 2 + fs_rng_below(&rng, 30), at = 0;
        fs_frontier_by by = (fs_frontier_by)(run % FS_FRONTIER_BYS);
        for (uint32_t i = 0; i < n; i++) /* few levels: many are equal in one or both */
            points[i] = (fs_operating_point){.state = fs_rng_below(&rng, 4) ? FS_OPERATING_GOOD : FS_OPERATING_TTFT,
                                             .per_user = 1 + fs_rng_below(&rng, levels),
                                             .per_gpu = 1 + fs_rng_below(&rng, levels),
                                             .per_MW = 1 + fs_rng_below(&rng, levels)};
        uint32_t found = fs_frontier(points, n, by, frontier);
        for (uint32_t i = 0; i < n; i++) {
            bool there = false;
            for (uint32_t k = 0; k < found; k++)
                there = there || frontier[k] == i;
            assert_int_equal(there, belongs(points, n, i, by));
            at += there;
        }
        assert_int_equal(at, found);
        for (uint32_t k = 1; k < found; k++) { /* more for a user is less for all */
            const fs_operating_point *a = &points[frontier[k - 1]], *b = &points[frontier[k]];
            assert_true(a->per_user < b->per_user && fs_operating_throughput(a, by) > fs_operating_throughput(b, by));
        }
        kept += found;
    }
    assert_true(kept > RUNS);
}

/* Four slots, each of which serves requests of 10 tokens in 9 s, 1 s after the one before; slot k is k x 2.5 s late. */
static void a_steady_state_by_hand(void **state)
{
    (void)state;
    enum { SLOTS = 4, ROUNDS = 12, ROWS = SLOTS * ROUNDS };
    fs_request_row rows[ROWS] = {0};
    for (uint32_t i = 0; i < ROWS; i++) {
        double arrival_s = 10.0 * (i / SLOTS) + 2.5 * (i % SLOTS);
        rows[i] = (fs_request_row){
            .arrival_s = arrival_s, .first_s = arrival_s + 1, .done_s = arrival_s + 10, .output = 10, .count = 1};
    }
    const fs_serving_result v = {.n_rows = ROWS, .requests = rows};
    fs_operating_point p = {.candidate = {.gpus = 2}};
    assert_true(fs_operating_measure(&v, SLOTS, &p));
    ASSERT_CLOSE(p.tokens_per_s, 4, 0.02); /* 10 tokens in 10 s in each slot */
    ASSERT_CLOSE(p.ttft_s, 1, 1e-9);
    ASSERT_CLOSE(p.tpot_s, 1, 1e-9);
    ASSERT_CLOSE(p.per_user, 1, 1e-9);
    assert_true(p.unevenness < 0.02);
    const fs_serving_result few = {.n_rows = SLOTS, .requests = rows};
    assert_false(fs_operating_measure(&few, SLOTS, &p)); /* the loop never gets full */
}

/* A factory of 1 MW: replicas of 80 kW that give 100 tokens/s to many users, or of 60 kW for fast ones. */
static void a_factory_by_hand(void **state)
{
    (void)state;
    fs_tiers tiers = {.n = 3, .all = {{"slow", 1, 5, 0.5}, {"fast", 10, 50, 0.5}, {"too fast", 100, 500, 0}}};
    fs_operating_point points[] = {{.state = FS_OPERATING_GOOD,
                                    .candidate = {.gpus = 8},
                                    .tokens_per_s = 100,
                                    .per_user = 10,
                                    .rated_W = 80e3,
                                    .per_rated_MW = 1250,
                                    .per_MW = 2500},
                                   {.state = FS_OPERATING_GOOD,
                                    .candidate = {.gpus = 4},
                                    .tokens_per_s = 30,
                                    .per_user = 60,
                                    .rated_W = 60e3,
                                    .per_rated_MW = 500,
                                    .per_MW = 500},
                                   {.state = FS_OPERATING_OPEN,
                                    .candidate = {.gpus = 4},
                                    .tokens_per_s = 900,
                                    .per_user = 600,
                                    .rated_W = 60e3,
                                    .per_rated_MW = 15000,
                                    .per_MW = 15000}};
    const fs_search search = {.space = {.n = 3}, .points = points};
    const fs_factory f = {.power_W = 1e6, .tiers = &tiers};
    fs_factory_row row = {0};
    fs_factory_fill(&f, &search, &row);
    ASSERT_CLOSE(row.lines[0].replicas, 6, 1e-12); /* 500 / 80 */
    ASSERT_CLOSE(row.lines[0].tokens_per_s, 600, 1e-12);
    ASSERT_CLOSE(row.lines[0].power_W, 240e3, 1e-12);
    ASSERT_CLOSE(row.lines[0].rated_W, 480e3, 1e-12);
    ASSERT_CLOSE(row.lines[0].dollars_per_year, 600e-6 * 365 * 86400, 1e-12);
    assert_ptr_equal(row.lines[1].point, &points[1]);
    ASSERT_CLOSE(row.lines[1].replicas, 8, 1e-12); /* 500 / 60 */
    ASSERT_CLOSE(row.lines[1].dollars_per_year, 240e-6 * 10 * 365 * 86400, 1e-12);
    assert_null(row.lines[2].point);
    ASSERT_CLOSE(row.total.gpus, 6 * 8 + 8 * 4, 1e-12);
    ASSERT_CLOSE(row.total.tokens_per_s, 840, 1e-12);
}

/* What is left out has one that is kept which does as well; of what is kept none does as well as one before it. */
static void a_prefill_layout_is_left_out_where_another_does_as_well(void **state)
{
    (void)state;
    uint32_t left_out = 0;
    for (uint32_t run = 0; run < RUNS; run++) {
        fs_rng rng = fs_rng_seed(run);
        fs_prefill all[POINTS_MAX] = {0}, kept[POINTS_MAX];
        uint32_t n = 1 + fs_rng_below(&rng, POINTS_MAX - 1);
        double limit_s = run % 2 ? 0.01 * fs_rng_below(&rng, 300) : 0;
        for (uint32_t i = 0; i < n; i++) {
            const fs_layout layout = {1u << fs_rng_below(&rng, 4), 1u << fs_rng_below(&rng, 3), 1, 1};
            all[i] = (fs_prefill){layout, 1 + fs_rng_below(&rng, 100), 0.01 * (1 + fs_rng_below(&rng, 200))};
        }
        memcpy(kept, all, sizeof all);
        uint32_t n_kept = fs_prefill_frontier(kept, n, limit_s);
        assert_in_range(n_kept, 1, n);
        left_out += n - n_kept;
        for (uint32_t i = 0; i < n; i++) {
            bool found = false; /* itself, too */
            for (uint32_t k = 0; k < n_kept; k++)
                found = found ||
                        (fs_layout_gpus(&kept[k].layout) <= fs_layout_gpus(&all[i].layout) &&
                         kept[k].prompts_per_s * fs_layout_gpus(&all[i].layout) >=
                             all[i].prompts_per_s * fs_layout_gpus(&kept[k].layout) &&
                         (limit_s == 0 || kept[k].ttft_s <= 1.05 * all[i].ttft_s || kept[k].ttft_s <= limit_s / 2));
            assert_true(found);
        }
        for (uint32_t k = 1; k < n_kept; k++)
            for (uint32_t b = 0; b < k; b++)
                assert_true(fs_layout_gpus(&kept[b].layout) > fs_layout_gpus(&kept[k].layout) ||
                            (limit_s > 0 && kept[b].ttft_s > 1.05 * kept[k].ttft_s && kept[b].ttft_s > limit_s / 2));
    }
    assert_true(left_out > RUNS);
}

/* One layout for prompts that ends 4 in a second, whatever it is: each candidate has whole replicas of it, no fewer under
 * more requests, and never more than the decode replica can take, or than there are GPUs. */
static void prefill_replicas_keep_up(void **state)
{
    (void)state;
    static const char text[] =
        "{\"fabsim\":\"trace/"
        "1\",\"kind\":\"inference\",\"name\":\"t\",\"model\":{\"layers\":2,\"hidden\":64,\"heads\":4,"
        "\"ffn\":256,\"vocab\":128,\"seq\":4096},\"engines\":[{\"role\":\"prefill\"},{\"role\":\"decode\"}],"
        "\"requests\":{\"rate\":1,\"count\":4,\"input\":1000,\"output\":500}}";
    fs_topo *topo = make_topo("gpus:16 nvlink:50GB/s,1us");
    fs_work *work = NULL;
    fs_space space;
    const fs_space_limits limits = {.points = 200, .gpus = 16, .concurrency = 64};
    const fs_prefill prefill = {.layout = {2, 1, 1, 1}, .prompts_per_s = 40};
    uint32_t most = 0;
    ASSERT_OK(fs_work_parse("t.json", text, strlen(text), NULL, 0, &work, &failure));
    ASSERT_OK(fs_space_make(topo, work, &limits, &prefill, 1, &space, &failure));
    assert_true(space.n > 0 && space.combinations == space.combinations_tried);
    for (uint32_t i = 0; i < space.n; i++) {
        const fs_candidate *c = &space.all[i];
        assert_int_equal(c->gpus, 2 * c->prefill_replicas + fs_layout_gpus(&c->main));
        assert_true(c->prefill_replicas >= 1 && c->gpus <= 16);
        if (i > 0 && memcmp(&c->main, &c[-1].main, sizeof c->main) == 0)
            assert_true(c->concurrency > c[-1].concurrency && c->prefill_replicas >= c[-1].prefill_replicas);
        most = c->prefill_replicas > most ? c->prefill_replicas : most;
    }
    assert_true(most > 1);
    fs_space_free(&space);
    fs_work_free(work);
    fs_topo_free(topo);
}

/* All points of a closed loop with that limit of tokens. */
static void search_all(const fs_topo *topo, const fs_work *work, double tpot_s, bool exhaustive, fs_search *search)
{
    fs_run_options options = fs_run_default();
    fs_search_def def = {.topo = topo, .work = work, .options = &options};
    int signal = 0;
    ASSERT_OK(fs_search_limit(&def, 48, 0, 256, 2, &failure));
    def.limits = (fs_operating_limits){.tpot_s = tpot_s, .exhaustive = exhaustive};
    ASSERT_OK(fs_search_run(&def, search, &signal, &failure));
    assert_int_equal(signal, 0);
}

/* The slow twin simulates all points until they are steady: the same ones are good, to the last bit, and so the frontier is
 * the same; and what is left out is over the limit. */
static void points_beyond_the_limit_are_never_good(void **state)
{
    (void)state;
    static const char text[] =
        "{\"fabsim\":\"trace/"
        "1\",\"kind\":\"inference\",\"name\":\"t\",\"model\":{\"layers\":4,\"hidden\":2048,\"heads\":8,"
        "\"ffn\":8192,\"vocab\":32000,\"seq\":4096},\"engines\":[{\"limits\":{\"max_tokens\":512}}],\"requests\":{"
        "\"rate\":1,"
        "\"count\":4,\"input\":{\"uniform\":[20,300]},\"output\":{\"uniform\":[2,40]}}}";
    fs_topo *topo = NULL;
    fs_work *work = NULL;
    uint32_t beyond = 0, good = 0;
    ASSERT_OK(fs_topo_load("topologies/dgx-h100.xml", NULL, 0, &topo, &failure));
    ASSERT_OK(fs_work_parse("t.json", text, strlen(text), NULL, 0, &work, &failure));
    fs_search any;
    search_all(topo, work, 0, true, &any);
    for (uint32_t l = 0; l < any.space.n; l += 7) { /* limits that some points keep and others do not */
        fs_search fast, slow;
        double limit_s = any.points[l].tpot_s;
        search_all(topo, work, limit_s, false, &fast);
        search_all(topo, work, limit_s, true, &slow);
        assert_int_equal(fast.space.n, slow.space.n);
        assert_int_equal(slow.of_state[FS_OPERATING_BEYOND], 0);
        for (uint32_t i = 0; i < fast.space.n; i++) {
            const fs_operating_point *a = &fast.points[i], *b = &slow.points[i];
            assert_int_equal(a->state == FS_OPERATING_GOOD, b->state == FS_OPERATING_GOOD);
            if (a->state == FS_OPERATING_GOOD)
                assert_memory_equal(a, b, sizeof *a);
            if (a->state == FS_OPERATING_BEYOND)
                assert_true(b->tpot_s > limit_s);
        }
        beyond += fast.of_state[FS_OPERATING_BEYOND];
        good += fast.of_state[FS_OPERATING_GOOD];
        fs_search_free(&fast);
        fs_search_free(&slow);
    }
    fs_search_free(&any);
    assert_true(beyond > 10 && good > 10);
    fs_work_free(work);
    fs_topo_free(topo);
}

static void layouts_are_those_that_the_model_splits_into(void **state)
{
    (void)state;
    static const char text[] =
        "{\"fabsim\":\"trace/"
        "1\",\"kind\":\"inference\",\"name\":\"t\",\"model\":{\"layers\":2,\"hidden\":64,\"heads\":4,"
        "\"ffn\":256,\"vocab\":128,\"seq\":4096},\"engines\":[{}],\"requests\":{\"rate\":1,\"count\":4,\"input\":10,"
        "\"output\":5}}";
    fs_topo *topo = make_topo("gpus:16 nvlink:50GB/s,1us");
    fs_work *work = NULL;
    fs_space space;
    const fs_space_limits limits = {.points = 200, .gpus = 16, .concurrency = 64};
    ASSERT_OK(fs_work_parse("t.json", text, strlen(text), NULL, 0, &work, &failure));
    ASSERT_OK(fs_space_make(topo, work, &limits, NULL, 0, &space, &failure));
    assert_int_equal(space.layouts, 6); /* TP 1, 2, 4 by PP 1, 2: four heads, two layers, no experts */
    assert_int_equal(space.layouts_unfit, 0);
    assert_true(space.n <= 200 && space.n >= 6 * 5);
    for (uint32_t i = 0; i < space.n; i++) {
        const fs_candidate *c = &space.all[i];
        assert_true(c->gpus == fs_layout_gpus(&c->main) && c->gpus <= 16 && c->concurrency >= 1 &&
                    c->concurrency <= 64);
        assert_true(i == 0 || !fs_candidate_alike(c, c - 1) || c->concurrency > c[-1].concurrency);
    }
    fs_space_free(&space);
    fs_work_free(work);
    fs_topo_free(topo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_frontier_is_what_nothing_beats),
                                       cmocka_unit_test(a_steady_state_by_hand),
                                       cmocka_unit_test(a_factory_by_hand),
                                       cmocka_unit_test(a_prefill_layout_is_left_out_where_another_does_as_well),
                                       cmocka_unit_test(prefill_replicas_keep_up),
                                       cmocka_unit_test(points_beyond_the_limit_are_never_good),
                                       cmocka_unit_test(layouts_are_those_that_the_model_splits_into)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
