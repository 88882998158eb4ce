/* test_systems.c - the shipped clusters are what their files say: counts, cables of each tier, bisection, reach.
 *
 * The figures are written down here a second time. Nodes, GPUs and switches are those of the sources that each file
 * names, or follow from the wiring that it says it assumes. Runs in the root of the repository. */
#include "topo/survey.h"
#include "topo/topo.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct tier_expectation {
    const char *name;
    uint64_t lanes;
    double
        bisection; /* of all GPUs' bandwidth into the tier, the part that the halves can exchange; 0 = not looked at */
} tier_expectation;

typedef struct expectation {
    const char *name;                  /* topologies/NAME.xml */
    uint32_t of_kind[FS_DEVICE_KINDS]; /* GPU, NVSwitch, NIC, CPU, PCIe switch, network switch */
    uint32_t nodes, networks;
    uint32_t largest_domain; /* 0 = too large to survey here */
    tier_expectation tiers[4];
} expectation;

static const expectation expected[] = {
    {"dgx1-v100-512", {512, 0, 256, 128, 256, 24}, 64, 1, 8, {{"nic", 256, 1}, {"leaf-spine", 256, 1}}},
    {"dgx2h-512", {512, 384, 256, 64, 384, 24}, 32, 1, 16, {{"nic", 256, 1}, {"leaf-spine", 256, 1}}},
    {"selene-a100",
     {4480, 3360, 4480, 1120, 2240, 224 + 320 + 112},
     560,
     1,
     8,
     {{"nic", 4480, 1}, {"leaf-spine", 4480, 1}, {"spine-core", 4480, 1}}},
    {"a100-10k",
     {10000, 7500, 10000, 2500, 5000, 63 * 8 + 4 * 160 + 400},
     1250,
     1,
     8,
     {{"nic", 10000, 1}, {"leaf-spine", 63 * 8 * 20, 0}, {"spine-core", 4 * 160 * 20, 0}}},
    {"superpod-h100", {1016, 508, 1016, 254, 1016, 48}, 127, 1, 8, {{"nic", 1016, 0}, {"leaf-spine", 1024, 0}}},
    {"h100-16k",
     {16384, 8192, 16384, 4096, 16384, 512 + 512 + 256},
     2048,
     1,
     8,
     {{"nic", 16384, 1}, {"leaf-spine", 16384, 1}, {"spine-core", 16384, 1}}},
    {"h100-24k",
     {24576, 12288, 24576, 6144, 12288, 1536 + 128 + 9},
     3072,
     1,
     8,
     {{"nic", 24576, 1}, {"rack-cluster", 2 * 24576, 2}, {"cluster-aggregation", 8 * 432, 432 / 3072.0}}},
    {"h100-24k-ib",
     {24576, 12288, 24576, 6144, 12288, 768 + 768 + 512},
     3072,
     1,
     8,
     {{"nic", 24576, 1}, {"leaf-spine", 24576, 1}, {"spine-core", 24576, 0}}},
    {"dgx-gh200",
     {256, 96 + 36, 256, 256, 0, 12},
     256,
     2,
     256,
     {{"nvlink", 4608, 1}, {"nvlink-l2", 4608, 1}, {"nic", 256, 1}, {"leaf-spine", 256, 1}}},
    {"h100-pod256",
     {256, 128 + 18, 256, 64, 256, 12},
     32,
     3,
     256,
     {{"nvlink", 4608, 1}, {"nvlink-l2", 2304, 0.5}, {"nic", 256, 1}, {"leaf-spine", 256, 0}}},
    {"gb200-nvl72", {72, 18, 72, 36, 0, 0}, 18, 0, 72, {{"nvlink", 1296, 1}}},
    {"gb200-nvl36x2", {72, 36, 72, 36, 0, 0}, 18, 0, 72, {{"nvlink", 1296, 1}, {"nvlink-trunk", 648, 1}}},
    {"gb200-superpod", {576, 144, 576, 288, 0, 41}, 144, 1, 72, {{"nic", 576, 1}, {"leaf-spine", 576, 1}}},
    {"nvl576",
     {576, 288 + 144, 576, 288, 0, 41},
     144,
     2,
     576,
     {{"nvlink", 10368, 1}, {"nvlink-l2", 10368, 1}, {"nic", 576, 1}}},
    {"vr-nvl72", {72, 36, 144, 36, 0, 0}, 18, 0, 72, {{"nvlink", 2592, 1}}},
    {"vr-nvl72-lpx",
     {72 + 8 * 256, 36, 144 + 8 * 64, 36 + 8 * 32, 0, 4},
     18 + 8 * 32,
     1,
     256,
     {{"nvlink", 2592, 0}, {"lpu-c2c", 8 * (32 * 28 * 4 + 8 * 496 * 2), 0}, {"nic", 144 + 8 * 64 * 4, 0}}},
    {"vr-nvl72-lpx20",
     {72 + 20 * 256, 36, 144 + 20 * 64, 36 + 20 * 32, 0, 4},
     18 + 20 * 32,
     1,
     256,
     {{"lpu-c2c", 20 * (32 * 28 * 4 + 8 * 496 * 2), 0}, {"nic", 144 + 20 * 64 * 4, 0}}},
    {"kyber-nvl144", {144, 36, 288, 72, 0, 0}, 18, 0, 144, {{"nvlink", 5184, 1}}},
    {"colossus-100k",
     {100352, 50176, 100352, 25088, 100352, 1568 + 2048 + 784},
     12544,
     1,
     0,
     {{"nic", 100352, 0}, {"leaf-spine", 100352, 0}, {"spine-core", 100352, 0}}},
    {"ib-nvl72-100k",
     {103680, 25920, 103680, 51840, 0, 1440 + 1440 + 864},
     25920,
     1,
     0,
     {{"nic", 103680, 0}, {"leaf-spine", 103680, 0}, {"spine-core", 103680, 0}}},
    {"rubin-1m",
     {1008000, 504000, 2016000, 504000, 0, 2 * (4000 + 4032 + 2520)},
     252000,
     1,
     0,
     {{"nic", 2016000, 0}, {"leaf-spine", 2016000, 0}, {"spine-core", 2016000, 0}}},
};
enum { N_EXPECTED = sizeof expected / sizeof *expected };

static void check_devices(const fs_topo *topo, const expectation *e)
{
    uint32_t found[FS_DEVICE_KINDS] = {0};
    for (uint32_t d = 0; d < topo->n_devices; d++)
        found[fs_topo_device(topo, d).kind]++;
    for (int k = 0; k < FS_DEVICE_KINDS; k++)
        if (found[k] != e->of_kind[k])
            fail_msg("%s: %u of kind %s, expected %u", e->name, found[k], fs_device_kind_name((fs_device_kind)k),
                     e->of_kind[k]);
    assert_int_equal(topo->n_nodes, e->nodes);
    assert_int_equal(topo->n_networks, e->networks);
}

static uint32_t tier_named(const fs_topo *topo, const char *name)
{
    uint32_t t = 0;
    while (t < topo->n_tiers && strcmp(topo->tiers[t].name, name) != 0)
        t++;
    if (t == topo->n_tiers)
        fail_msg("%s: no tier %s", topo->name, name);
    return t;
}

/* Bandwidth of the links of one device, one direction, in a tier. */
static double bandwidth_into(const fs_topo *topo, fs_device_kind kind, uint32_t tier)
{
    double sum = 0;
    for (uint32_t l = 0; l < topo->n_links; l += 2) {
        const fs_link link = fs_topo_link(topo, l);
        if (topo->link_types[link.type].tier == tier &&
            (fs_topo_device(topo, link.src).kind == kind || fs_topo_device(topo, link.dst).kind == kind))
            sum += link.bandwidth_Bps;
    }
    return sum;
}

static void check_tiers(const fs_topo *topo, const expectation *e)
{
    uint64_t lanes[32] = {0};
    assert_in_range(topo->n_tiers, 1, 32);
    for (uint32_t l = 0; l < topo->n_links; l += 2) {
        const fs_link link = fs_topo_link(topo, l);
        lanes[topo->link_types[link.type].tier] += link.lanes;
    }
    for (const tier_expectation *t = e->tiers; t < e->tiers + 4 && t->name; t++)
        if (lanes[tier_named(topo, t->name)] != t->lanes)
            fail_msg("%s: %s has %llu lanes, expected %llu", e->name, t->name,
                     (unsigned long long)lanes[tier_named(topo, t->name)], (unsigned long long)t->lanes);
}

static void check_survey(const fs_topo *topo, const expectation *e)
{
    fs_survey survey;
    fs_err err;
    assert_int_equal(fs_survey_make(topo, &survey, &err), FS_OK);
    assert_true(survey.all_reach);
    assert_int_equal(survey.largest_domain, e->largest_domain);
    for (const tier_expectation *t = e->tiers; t < e->tiers + 4 && t->name; t++) {
        bool nvlink = strncmp(t->name, "nvlink", 6) == 0;
        double half =
            bandwidth_into(topo, nvlink ? FS_DEVICE_GPU : FS_DEVICE_NIC, tier_named(topo, nvlink ? "nvlink" : "nic")) /
            2;
        double found = survey.tiers[tier_named(topo, t->name)].bisection_Bps;
        if (t->bisection > 0 && fabs(found - half * t->bisection) > 1e-9 * half)
            fail_msg("%s: bisection of %s is %g of the half that enters, expected %g", e->name, t->name, found / half,
                     t->bisection);
    }
    fs_survey_free(&survey);
}

static void clusters(void **state)
{
    (void)state;
    for (int i = 0; i < N_EXPECTED; i++) {
        char path[256], text[4096];
        fs_topo *topo = NULL;
        fs_err err;
        snprintf(path, sizeof path, "topologies/%s.xml", expected[i].name);
        if (fs_topo_load(path, NULL, 0, &topo, &err) != FS_OK) {
            fs_err_format(&err, text, sizeof text);
            fail_msg("%s", text);
        }
        check_devices(topo, &expected[i]);
        check_tiers(topo, &expected[i]);
        if (expected[i].largest_domain > 0)
            check_survey(topo, &expected[i]);
        fs_topo_free(topo);
    }
}

/* Every spine of one number reaches the same cores from all rails and pods, so that traffic spreads evenly on its way
 * down: in each plane of cores, each rail of each pod has as many spines as any other. */
static void core_planes_are_fair(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t rails, pods, spines_per_rail;
    } cases[] = {{"h100-16k", 8, 2, 32}, {"h100-24k-ib", 8, 3, 32}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[256], name[64];
        fs_topo *topo = NULL;
        fs_err err;
        snprintf(path, sizeof path, "topologies/%s.xml", cases[i].name);
        assert_int_equal(fs_topo_load(path, NULL, 0, &topo, &err), FS_OK);
        uint32_t seen[3][8] = {{0}}, core = fs_topo_find(topo, "ib/core5");
        for (uint32_t k = 0; k < fs_topo_out_count(topo, core); k++) {
            fs_device_name(topo, fs_topo_link(topo, fs_topo_out_link(topo, core, k)).dst, name, sizeof name);
            uint32_t number = 0;
            assert_int_equal(sscanf(name, "ib/spine%u", &number), 1);
            uint32_t pod = number / (cases[i].rails * cases[i].spines_per_rail);
            seen[pod][number / cases[i].spines_per_rail % cases[i].rails]++;
        }
        for (uint32_t pod = 0; pod < cases[i].pods; pod++)
            for (uint32_t rail = 0; rail < cases[i].rails; rail++)
                assert_int_equal(seen[pod][rail], 1);
        fs_topo_free(topo);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clusters),
        cmocka_unit_test(core_planes_are_fair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
