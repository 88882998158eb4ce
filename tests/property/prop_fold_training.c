/* prop_fold_training.c - training jobs, folded and unfolded: random models under tensor, context, pipeline, data and expert
 * parallelism with every ZeRO stage, on random networks of 8 to 512 GPUs, whole and with faults. Their ranks differ in
 * stage, in load of experts and in where their groups lie; the rest is symmetry. A failure prints its seed. */
#include "fold_twin.h"
#include "training_case.h"

enum { CASES = 300, RANKS_MAX = 512, RANKS_USUAL = 64 };

static void training_folds_exactly(void **state)
{
    (void)state;
    uint32_t folded_well = 0, rerouted = 0, largest = 0;
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        fs_rng rng = fs_rng_seed(seed);
        machine m = draw_network(&rng);
        uint32_t gpus = m.topo->n_gpus, most = fs_rng_below(&rng, 12) ? RANKS_USUAL : RANKS_MAX;
        most = gpus < most ? gpus : most;
        layout l = random_layout(&rng, most);
        if (fs_rng_below(&rng, 2)) /* nearly everybody has a part */
            l.dp *= most / (l.tp * l.cp * l.pp * l.dp);
        const char *order = l.experts || fs_rng_below(&rng, 2) ? "tp-cp-ep-dp-pp" : "tp-cp-ep-pp-dp";
        fs_work *work = random_work(seed, rng, &l, order);
        fs_run_options options = fs_run_default();
        options.cost = fs_rng_below(&rng, 2) ? FS_COST_IDEAL : FS_COST_NCCL;
        if (fs_rng_below(&rng, 2))
            hurt(&m, &rng, step_of(m.topo, work, options));
        bool moved;
        uint32_t actors = folded_is_unfolded(seed, m.topo, work, options, &moved);
        folded_well += actors * 2 <= work->n_ranks;
        rerouted += moved && actors < work->n_ranks;
        largest = work->n_ranks > largest ? work->n_ranks : largest;
        fs_work_free(work);
        fs_topo_free(m.topo);
    }
    print_message("%u of %u jobs, of up to %u ranks, fold to half or fewer; %u fold and reroute\n", folded_well, CASES,
                  largest, rerouted);
    assert_in_range(folded_well, CASES / 5, CASES);
    assert_in_range(rerouted, CASES / 50, CASES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(training_folds_exactly)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
