/* test_survey.c - counts, bisection, scale-up domains and reach of small topologies, by hand. */
#include "topo/spec.h"
#include "topo/survey.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static fs_topo *make(const char *line)
{
    fs_topo *topo;
    fs_err err;
    assert_int_equal(fs_spec_oneline(line, &topo, &err), FS_OK);
    return topo;
}

static fs_survey survey_of(const fs_topo *topo)
{
    fs_survey s;
    fs_err err;
    assert_int_equal(fs_survey_make(topo, &s, &err), FS_OK);
    return s;
}

static void expect_bisection(const char *line, double GBps)
{
    fs_topo *topo = make(line);
    fs_survey s = survey_of(topo);
    assert_true(s.bisection_Bps == GBps * 1e9);
    fs_survey_free(&s);
    fs_topo_free(topo);
}

static void bisections_by_hand(void **state)
{
    (void)state;
    expect_bisection("gpus:8 nvlink:25GB/s", 100);
    expect_bisection("gpus:1 nvlink:25GB/s", 0);
    expect_bisection("gpus:3 nvlink:25GB/s", 25); /* one GPU to two */
    expect_bisection("ring:8 nvlink:25GB/s", 50);
    expect_bisection("ring:8 nvlink:25GB/s forwarding", 50);
    expect_bisection("mesh:4 nvlink:25GB/s", 100);
    expect_bisection("pcie:8 pcie:12GB/s", 48);
    expect_bisection("nodes:2 gpus:4 nvlink:100GB/s nic:25GB/s", 100);
    expect_bisection("nodes:2 gpus:4 nvlink:100GB/s nic:25GB/s spine", 100);
}

static void tiers_by_hand(void **state)
{
    (void)state;
    fs_topo *topo = make("nodes:2 gpus:4 nvlink:100GB/s nic:25GB/s pcie:30GB/s spine");
    fs_survey s = survey_of(topo);
    assert_int_equal(topo->n_tiers, 4);
    const struct {
        const char *name;
        uint32_t connections, lanes;
        double GBps, bisection;
    } tiers[] = {
        {"nvlink", 8, 8, 800, 0}, /* does not lead from node to node */
        {"pcie", 8, 8, 240, 120},
        {"nic", 8, 8, 200, 100},
        {"leaf-spine", 4, 8, 200, 0}, /* the leaves alone join the halves */
    };
    for (uint32_t t = 0; t < 4; t++) {
        assert_string_equal(topo->tiers[t].name, tiers[t].name);
        assert_int_equal(s.tiers[t].connections, tiers[t].connections);
        assert_int_equal(s.tiers[t].lanes, tiers[t].lanes);
        assert_true(s.tiers[t].bandwidth_Bps == tiers[t].GBps * 1e9);
        assert_true(s.tiers[t].bisection_Bps == tiers[t].bisection * 1e9);
        assert_int_equal(s.tiers[t].carries_gpus, tiers[t].bisection > 0);
    }
    assert_int_equal(s.devices_of_kind[FS_DEVICE_GPU], 8);
    assert_int_equal(s.devices_of_kind[FS_DEVICE_NIC], 8);
    assert_int_equal(s.devices_of_kind[FS_DEVICE_NVSWITCH], 2);
    assert_int_equal(s.devices_of_kind[FS_DEVICE_NET_SWITCH], 5);
    assert_int_equal(s.scale_up_domains, 2);
    assert_int_equal(s.largest_domain, 4);
    assert_true(s.all_reach);
    fs_survey_free(&s);
    fs_topo_free(topo);
}

/* Four GPUs in a line of switches: a max flow that must give back what it first took. */
static void flow_takes_back(void **state)
{
    (void)state;
    static const char xml[] =
        "<fabsim version='topology/1' name='x'><parts>"
        "<gpu name='g' arch='none' memory='1GB' memory-bandwidth='1GB/s' gemm-efficiency='1' memory-efficiency='1' "
        "launch='0s'"
        " power='1W' source='s'><peak dtype='fp16' flops='1TFLOP/s'/></gpu>"
        "<pcie-switch name='s' latency='0s' source='s'/>"
        "<link-type name='l' class='pcie' tier='t' bandwidth='1GB/s' effective='1GB/s' latency='0s' source='s'/>"
        "</parts><board name='b'><device name='gpu[0-1]' part='g'/><device name='[0-5]' part='s'/>"
        "<link from='gpu0' to='0' type='l'/><link from='gpu0' to='1' type='l'/>"
        "<link from='0' to='2' type='l'/><link from='2' to='gpu1' type='l'/>" /* short, through both long paths */
        "<link from='1' to='2' type='l'/><link from='0' to='3' type='l'/><link from='3' to='4' type='l'/>"
        "<link from='4' to='gpu1' type='l'/></board></fabsim>";
    fs_topo *topo;
    fs_err err;
    assert_int_equal(fs_topo_parse("x", xml, strlen(xml), NULL, 0, &topo, &err), FS_OK);
    fs_survey s = survey_of(topo);
    assert_true(s.bisection_Bps == 2e9);
    assert_true(s.tiers[0].bisection_Bps == 2e9 && s.tiers[0].carries_gpus);
    assert_int_equal(s.scale_up_domains, 2);
    assert_int_equal(s.largest_domain, 1);
    fs_survey_free(&s);
    fs_topo_free(topo);
}

static void expect_reach(const char *line, bool all, uint32_t from, uint32_t to)
{
    fs_topo *topo = make(line);
    fs_survey s = survey_of(topo);
    assert_int_equal(s.all_reach, all);
    assert_int_equal(s.unreached_from, from);
    assert_int_equal(s.unreached_to, to);
    fs_survey_free(&s);
    fs_topo_free(topo);
}

static void reach_by_hand(void **state)
{
    (void)state;
    expect_reach("gpus:8 nvlink:25GB/s", true, 0, 0);
    expect_reach("ring:1 nvlink:25GB/s", true, 0, 0);
    expect_reach("mesh:4 nvlink:25GB/s", true, 0, 0);
    expect_reach("ring:3 nvlink:25GB/s", true, 0, 0);
    expect_reach("ring:4 nvlink:25GB/s", false, 0, 2);
    expect_reach("ring:5 nvlink:25GB/s forwarding", true, 0, 0);
    expect_reach("ring:6 nvlink:25GB/s forwarding", false, 0, 3);         /* only one GPU may lie between */
    expect_reach("nodes:2 gpus:2 nvlink:25GB/s nic:25GB/s", false, 0, 3); /* rails without a spine */
    expect_reach("nodes:2 gpus:2 nvlink:25GB/s nic:25GB/s spine", true, 0, 0);
}

static void failing_allocations_are_clean(void **state)
{
    (void)state;
    fs_topo *topo = make("nodes:2 gpus:2 nvlink:25GB/s nic:25GB/s");
    fs_status status = FS_E_NOMEM;
    for (uint64_t n = 1; status != FS_OK; n++) {
        fs_survey s;
        fs_err err;
        uint64_t live = fs_mem_live();
        fs_mem_fail_after(n);
        status = fs_survey_make(topo, &s, &err);
        fs_mem_fail_after(0);
        assert_true(status == FS_OK || status == FS_E_NOMEM);
        if (status == FS_OK)
            fs_survey_free(&s);
        assert_int_equal(fs_mem_live(), live);
    }
    fs_topo_free(topo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bisections_by_hand),
        cmocka_unit_test(tiers_by_hand),
        cmocka_unit_test(flow_takes_back),
        cmocka_unit_test(reach_by_hand),
        cmocka_unit_test(failing_allocations_are_clean),
    };
    return cmocka_run_group_tests_name("survey", tests, NULL, NULL);
}
