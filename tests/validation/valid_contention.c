/* valid_contention.c - contention in a leaf-spine fabric, against arithmetic that fits on a page.
 *
 * Eight leafs of eight nodes, one GPU and one 50 GB/s NIC each. Eight pipelines of eight stages: a pipeline fills a
 * leaf, so the data-parallel rings of all stages run across the leafs at once, and every leaf has eight ring edges to
 * send up and eight to take in. With s cables of 50 GB/s to the spines a ring then gets s/8 of a cable: times 1, 2, 4
 * with 8, 4, 2 cables. Latencies are zero, so times are bytes over rates: 2 (n-1)/n S / rate.
 * A cable fails: adaptive routing leaves the leaf 7 cables for 8 rings, and as a ring is as fast as its slowest edge,
 * all rings slow down by 8/7. Under static routing each ring has one cable up from each leaf, chosen by its
 * destination; when it fails, the ring moves to another ring's cable, and the two, and no other, take twice as long.
 * That eight destinations of a leaf have a cable each is D-mod-K routing (E. Zahavi, 2010). */
#include "../fixture.h"
#include "topo/faults.h"

#include <stdlib.h>

enum { LEAFS = 8, STAGES = 8 };

#define CABLE_BPS 50e9
#define SIZE_BYTES 1e9

static const char machine[] =
    "<fabsim version='topology/1' name='leaf and spine'>\n"
    " <parts>\n"
    "  <gpu name='g' arch='hopper' memory='80GB' memory-bandwidth='3TB/s' gemm-efficiency='0.7' memory-efficiency='0.9'"
    " launch='1us' power='700W' source='made up'><peak dtype='fp16' flops='900TFLOP/s'/></gpu>\n"
    "  <nic name='n' source='made up'/> <net-switch name='sw' latency='0s' source='made up'/>\n"
    "  <link-type name='pc' class='pcie' tier='pcie' bandwidth='400GB/s' effective='400GB/s' latency='0s' "
    "source='made up'/>\n"
    "  <link-type name='w' class='net' tier='net' bandwidth='50GB/s' effective='50GB/s' latency='0s' source='made "
    "up'/>\n"
    " </parts>\n"
    " <board name='one'><device name='gpu0' part='g'/><device name='nic0' part='n'/>\n"
    "  <link from='gpu0' to='nic0' type='pc'/></board>\n"
    " <system><place board='one' name='node' count='64'/>\n"
    "  <network name='fabric' nodes='node' ports='nic0' routing='%s'>\n"
    "   <tier name='leaf' part='sw' type='w' by='node' group='8' switches='1'/>\n"
    "   <tier name='spine' part='sw' type='w' switches='%u'/>\n"
    "  </network></system>\n"
    "</fabsim>\n";

static fs_topo *leaf_spine(const char *routing, uint32_t spines)
{
    char text[sizeof machine + 32];
    fs_topo *topo = NULL;
    snprintf(text, sizeof text, machine, routing, spines);
    ASSERT_OK(fs_topo_parse("leaf-spine.xml", text, strlen(text), NULL, 0, &topo, &failure));
    return topo;
}

/* Every stage's gradients at once: rank = pipeline * STAGES + stage, in groups of one stage. */
static fs_work *gradients(fs_algo algo)
{
    uint32_t dp = 0, program;
    fs_work_builder *b = make_builder(LEAFS * STAGES);
    ASSERT_OK(fs_work_family_strided(b, "dp", LEAFS, STAGES, &dp, &failure));
    program = add_program(b, "step", 0, LEAFS * STAGES - 1);
    fs_op op = collective(FS_ALL_REDUCE, dp, SIZE_BYTES);
    op.algo = (uint8_t)algo;
    add(b, program, "main", op);
    return finish(b);
}

/* Of "exposed dp": the mean over ranks, and the longest. */
typedef struct waited {
    double mean_s, max_s;
} waited;

static waited run(const char *routing, uint32_t spines, const fs_fault *fault)
{
    fs_topo *topo = leaf_spine(routing, spines);
    fs_work *work = gradients(FS_ALGO_RING);
    fs_run_options options = ideal();
    fs_result result = {0};
    waited found = {0};
    if (fault)
        ASSERT_OK(fs_topo_apply_faults(topo, fault, 1, &failure));
    ASSERT_OK(fs_run(topo, work, &options, &result, &failure));
    for (uint32_t i = 0; i < result.n_breakdown; i++)
        if (strcmp(result.breakdown[i].name, "exposed dp") == 0)
            found = (waited){result.breakdown[i].seconds, result.breakdown[i].max_s};
    fs_result_free(&result);
    fs_work_free(work);
    fs_topo_free(topo);
    return found;
}

static double alone_s(void)
{
    return 2.0 * (LEAFS - 1) / LEAFS * SIZE_BYTES / CABLE_BPS;
}

static void oversubscription_slows_all_stages_alike(void **state)
{
    (void)state;
    const char *const policies[] = {"adaptive", "spray"};
    for (uint32_t p = 0; p < 2; p++) {
        for (uint32_t over = 1; over <= 4; over *= 2) {
            waited found = run(policies[p], 8 / over, NULL);
            ASSERT_CLOSE(found.max_s, over * alone_s(), 1e-9);
            ASSERT_CLOSE(found.mean_s, over * alone_s(), 1e-9);
        }
    }
}

/* Eight rings on as many cables, two or four on each: static routing loses nothing to adaptive routing here. */
static void static_routing_shares_evenly(void **state)
{
    (void)state;
    for (uint32_t over = 1; over <= 4; over *= 2) {
        waited found = run("static", 8 / over, NULL);
        ASSERT_CLOSE(found.max_s, over * alone_s(), 1e-9);
        ASSERT_CLOSE(found.mean_s, over * alone_s(), 1e-9);
    }
}

static fs_fault dead_cable(void)
{
    return (fs_fault){.kind = FS_FAULT_LINK,
                      .name = "fabric/leaf0",
                      .other = "fabric/spine0",
                      .speed = 0,
                      .to_s = INFINITY,
                      .origin = "test",
                      .status_if_bad = FS_E_USAGE};
}

static void a_dead_cable_under_adaptive_routing_costs_everybody_a_little(void **state)
{
    (void)state;
    fs_fault dead = dead_cable();
    waited found = run("adaptive", 8, &dead);
    ASSERT_CLOSE(found.max_s, 8.0 / 7.0 * alone_s(), 1e-9);
    ASSERT_CLOSE(found.mean_s, 8.0 / 7.0 * alone_s(), 1e-9);
}

/* The ring that lost its cable, and those whose cables it moved to: on the way from leaf 0, and on the way to it. */
static void a_dead_cable_under_static_routing_hurts_the_rings_on_it(void **state)
{
    (void)state;
    fs_fault dead = dead_cable();
    waited found = run("static", 8, &dead);
    double hurt = (found.mean_s / alone_s() - 1.0) * STAGES; /* rings that take twice as long */
    ASSERT_CLOSE(found.max_s, 2.0 * alone_s(), 1e-9);
    assert_true(fabs(hurt - 2.0) < 1e-9 || fabs(hurt - 3.0) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oversubscription_slows_all_stages_alike),
        cmocka_unit_test(static_routing_shares_evenly),
        cmocka_unit_test(a_dead_cable_under_adaptive_routing_costs_everybody_a_little),
        cmocka_unit_test(a_dead_cable_under_static_routing_hurts_the_rings_on_it),
    };
    return cmocka_run_group_tests_name("contention", tests, NULL, NULL);
}
