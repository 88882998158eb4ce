/* prop_training.c - random training jobs under every mix of parallelism: their ops do what the totals say, they run to
 * the end, and on a fabric where all GPUs are alike the nesting of dimensions changes nothing. And the bubbles of
 * pipeline schedules, in closed form. */
#include "training_case.h"

#include <stdlib.h>

enum { CASES = 400, RUNS = 120, RANKS = 16 };
static uint64_t seed;

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
        layout l = random_layout(&rng, RANKS);
        fs_work *work = random_work(seed, rng, &l, "tp-cp-ep-dp-pp");
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
        layout l = random_layout(&rng, RANKS);
        for (uint32_t i = 4; i > 1; i--) { /* shuffle all but ep */
            uint32_t j = fs_rng_below(&rng, i);
            char kept[2] = {order[3 * j], order[3 * j + 1]};
            memmove(order + 3 * j, order + 3 * (i - 1), 2);
            memcpy(order + 3 * (i - 1), kept, 2);
        }
        fs_work *plain = random_work(seed, rng, &l, "tp-cp-ep-dp-pp");
        double step_s = run(topo, plain), arithmetic_s = plain->totals.hardware_flops / plain->n_ranks / 100e12;
        assert_true(step_s >= arithmetic_s * (1 - 1e-9) || plain->totals.dtype == FS_FP8);
        if (!l.experts) {
            fs_work *nested = random_work(seed, rng, &l, order);
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

/* A mixture of experts on 4 GPUs, 16 microbatches of 4 layers, flows of tokens a third as long as kernels. */
static double experts_s(const char *topology, const char *overlap)
{
    text t = {.n = 0};
    fs_work *work = NULL;
    fs_topo *topo = make_topo(topology);
    put(&t,
        "{\"fabsim\": \"trace/1\", \"kind\": \"training\", \"model\": {\"layers\": 4, \"hidden\": 4096, \"heads\": "
        "32, \"vocab\": 64, \"seq\": 2048, \"bias\": false, \"dropout\": false, \"moe\": {\"experts\": 4, \"ffn\": "
        "4096}}, \"parallel\": {\"dp\": 4, \"ep\": 4}, \"batch\": {\"global\": 64}, \"kernels\": \"flash\"%s}",
        overlap);
    ASSERT_OK(fs_work_parse("t.json", t.data, t.n, NULL, 0, &work, &failure));
    double step_s = run(topo, work);
    fs_work_free(work);
    fs_topo_free(topo);
    return step_s;
}

/* By turns with another pass, all-to-alls show only where a pass is alone: the first forward and the last backward one. */
static void tokens_move_beside_kernels(void **state)
{
    (void)state;
    const char *slow = "gpus:4 nvlink:10GB/s", *fast = "gpus:4 nvlink:100TB/s";
    double kernels_s = experts_s(fast, ""), apart_s = experts_s(slow, "") - kernels_s;
    /* What is not tokens: gradients, once a step, at the end either way. */
    const char *direct = ", \"dispatch\": {\"algo\": \"direct\"}";
    double direct_s = experts_s(slow, direct) - experts_s(fast, direct);
    /* direct: 2 copies of a token for 1.75, and the same gradients */
    double gradients_s = (direct_s - apart_s * 2 / 1.75) / (1 - 2 / 1.75);
    double turns_s = experts_s(slow, ", \"overlap\": {\"ep\": true}") - kernels_s;
    ASSERT_CLOSE(turns_s - gradients_s, (apart_s - gradients_s) / 16, 0.05);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ops_do_what_the_totals_say),
        cmocka_unit_test(steps_end_in_any_nesting),
        cmocka_unit_test(bubbles_of_pipelines),
        cmocka_unit_test(tokens_move_beside_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
