/* prop_network.c - properties of random networks: every device below a tier has its cables up, to switches of its own
 * group and class; switches of a tier share evenly; ports are counted to the last one; whatever is connected is reached;
 * written out a network reads back the same. */
#include "base/mem.h"
#include "base/rng.h"
#include "topo/survey.h"
#include "topo/topo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { CASES = 300, TIERS_MAX = 3, TEXT = 8192 };

typedef struct random_tier {
    bool rail;
    uint32_t group, n_groups, switches, classes, uplinks, ports; /* ports: 0 = not limited */
} random_tier;

typedef struct random_net {
    uint32_t nodes, nics, nic_ports, planes, rails, n_tiers;
    random_tier tiers[TIERS_MAX];
    int top; /* 0 none, 1 torus (a ring), 2 dragonfly */
} random_net;

static uint32_t divisor(fs_rng *rng, uint32_t n)
{
    uint32_t d;
    do
        d = 1 + fs_rng_below(rng, n);
    while (n % d != 0);
    return d;
}

static uint32_t lower_count(const random_net *net, uint32_t t)
{
    return t == 0 ? net->nics * net->nic_ports / net->planes : net->tiers[t - 1].switches;
}

static uint32_t lower_groups(const random_net *net, uint32_t t)
{
    return t == 0 ? net->nodes : net->tiers[t - 1].n_groups;
}

static void make_tier(fs_rng *rng, random_net *net, uint32_t t)
{
    random_tier *tier = &net->tiers[t];
    bool last = t + 1 == net->n_tiers && net->top == 0;
    uint32_t groups = lower_groups(net, t);
    tier->rail = t == 0 ? fs_rng_below(rng, 2) : net->tiers[t - 1].rail && !last && fs_rng_below(rng, 2);
    tier->group = last ? groups : 1 + fs_rng_below(rng, groups + 2);
    tier->n_groups = (groups + tier->group - 1) / tier->group;
    tier->classes = tier->rail ? net->rails : t == 0 || last ? 1 : divisor(rng, lower_count(net, t));
    tier->switches = tier->classes * (1 + fs_rng_below(rng, 3));
    uint32_t n = tier->switches / tier->classes;
    tier->uplinks = t == 0 ? 1 + fs_rng_below(rng, 3) : n + fs_rng_below(rng, 3 * n);
    tier->ports = 0;
}

static random_net make_net(fs_rng *rng)
{
    random_net net = {.nodes = 1 + fs_rng_below(rng, 24), .nics = 1u << fs_rng_below(rng, 4)};
    net.nic_ports = 1 + fs_rng_below(rng, 2);
    net.planes = divisor(rng, net.nics * net.nic_ports);
    net.rails = divisor(rng, net.nics * net.nic_ports / net.planes);
    net.n_tiers = 1 + fs_rng_below(rng, TIERS_MAX);
    net.top = (int)fs_rng_below(rng, 3);
    for (uint32_t t = 0; t < net.n_tiers; t++)
        make_tier(rng, &net, t);
    return net;
}

static void write_net(const random_net *net, char *text)
{
    char *at = text;
    at += sprintf(
        at,
        "<fabsim version='topology/1' name='t'><parts>\n"
        "<gpu name='g' arch='hopper' memory='80GB' memory-bandwidth='3TB/s' gemm-efficiency='1'\n"
        " memory-efficiency='1' launch='1us' power='1W' source='s'><peak dtype='fp16' flops='1TFLOP/s'/></gpu>\n"
        "<nic name='n' source='s'/><pcie-switch name='p' latency='0s' source='s'/>\n"
        "<link-type name='pc' class='pcie' tier='pcie' bandwidth='9GB/s' effective='9GB/s' latency='0s' source='s'/>\n"
        "<link-type name='w' class='net' tier='nic' bandwidth='1GB/s' effective='1GB/s' latency='0s' source='s'/>\n");
    for (uint32_t t = 0; t < net->n_tiers; t++) {
        at += sprintf(at, "<net-switch name='s%u' latency='0s' source='s'", t);
        at += net->tiers[t].ports ? sprintf(at, " ports='%u'", net->tiers[t].ports) : 0;
        at += sprintf(at, "/>\n");
    }
    at +=
        sprintf(at,
                "</parts>\n<board name='b'><device name='gpu[0-%u]' part='g'/><device name='nic[0-%u]' part='n'/>\n"
                "<device name='plx' part='p'/><link from='gpu[0-%u]' to='plx' type='pc'/>\n"
                "<link from='nic[0-%u]' to='plx' type='pc'/></board>\n<system><place board='b' name='n' count='%u'/>\n"
                "<network name='x' nodes='n' ports='nic[0-%u]' nic-ports='%u' planes='%u' rails='%u'>\n",
                net->nics - 1, net->nics - 1, net->nics - 1, net->nics - 1, net->nodes, net->nics - 1, net->nic_ports,
                net->planes, net->rails);
    for (uint32_t t = 0; t < net->n_tiers; t++) {
        const random_tier *tier = &net->tiers[t];
        at += sprintf(at, "<tier name='t%c' part='s%u' type='w' group='%u' switches='%u' %s='%u'", (char)('a' + (int)t),
                      t, tier->group, tier->switches, t == 0 ? "lanes" : "uplinks", tier->uplinks);
        at += tier->rail ? sprintf(at, " by='rail'") : 0;
        at += !tier->rail && tier->classes > 1 ? sprintf(at, " planes='%u'", tier->classes) : 0;
        at += sprintf(at, "/>\n");
    }
    uint32_t groups = net->tiers[net->n_tiers - 1].n_groups;
    at += net->top == 1 ? sprintf(at, "<torus dims='%u' type='w'/>\n", groups) : 0;
    at += net->top == 2 ? sprintf(at, "<dragonfly cables='2' type='w'/>\n") : 0;
    sprintf(at, "</network></system></fabsim>\n");
}

static fs_status load(const random_net *net, fs_topo **topo, fs_err *err)
{
    char text[TEXT];
    write_net(net, text);
    return fs_topo_parse("t.xml", text, strlen(text), NULL, 0, topo, err);
}

/* Tier, plane and number of a generated switch; false for anything else. */
static bool parse_switch(const fs_topo *topo, uint32_t device, uint32_t *tier, uint32_t *plane, uint32_t *number)
{
    char name[FS_NAME_MAX + 1], letter;
    fs_device_name(topo, device, name, sizeof name);
    *plane = 0;
    if (sscanf(name, "x/t%c%u", &letter, number) != 2 && sscanf(name, "x/plane%u/t%c%u", plane, &letter, number) != 3)
        return false;
    *tier = (uint32_t)(letter - 'a');
    return true;
}

/* Lanes of a switch to the tiers below and above it, and to its own. */
typedef struct around {
    uint32_t down, up, across;
} around;

static around look_around(const fs_topo *topo, const random_net *net, uint32_t device, uint32_t tier, uint32_t plane,
                          uint32_t number)
{
    around a = {0};
    for (uint32_t i = 0; i < fs_topo_out_count(topo, device); i++) {
        const fs_link link = fs_topo_link(topo, fs_topo_out_link(topo, device, i));
        uint32_t t, p, s;
        if (!parse_switch(topo, link.dst, &t, &p, &s)) {
            assert_int_equal(tier, 0);
            a.down += link.lanes;
            continue;
        }
        assert_int_equal(p, plane);
        if (t == tier) {
            a.across += link.lanes;
        } else if (t < tier) {
            a.down += link.lanes;
        } else { /* to a switch of the group and class that its own number says */
            const random_tier *up = &net->tiers[t];
            uint32_t lower = net->tiers[tier].switches, j = number % lower, n = up->switches / up->classes;
            assert_int_equal(s / up->switches, number / lower / up->group);
            assert_int_equal(s % up->switches / n, up->rail ? j / (lower / up->classes) : j % up->classes);
            a.up += link.lanes;
        }
    }
    return a;
}

/* Returns, per tier, the most lanes at a switch. */
static void check_switches(const fs_topo *topo, const random_net *net, uint32_t most[TIERS_MAX])
{
    uint32_t switches = 0, expected = 0, low[TIERS_MAX], high[TIERS_MAX] = {0};
    memset(low, 0xFF, sizeof low);
    for (uint32_t d = 0; d < topo->n_devices; d++) {
        uint32_t t, p, s;
        if (!parse_switch(topo, d, &t, &p, &s))
            continue;
        switches++;
        around a = look_around(topo, net, d, t, p, s);
        assert_int_equal(a.up, t + 1 < net->n_tiers ? net->tiers[t + 1].uplinks : 0);
        uint32_t others = net->tiers[t].n_groups - 1;
        if (t + 1 == net->n_tiers && net->top == 1)
            assert_int_equal(a.across, others > 1 ? 2 : others);
        if (t + 1 == net->n_tiers && net->top == 2) /* two cables to each other group */
            assert_in_range(a.across, others * 2 / net->tiers[t].switches,
                            (others * 2 + net->tiers[t].switches - 1) / net->tiers[t].switches);
        if (s / net->tiers[t].switches < lower_groups(net, t) / net->tiers[t].group) { /* a full group */
            low[t] = a.down < low[t] ? a.down : low[t];
            high[t] = a.down > high[t] ? a.down : high[t];
        }
        uint32_t all = a.down + a.up + a.across;
        most[t] = all > most[t] ? all : most[t];
    }
    for (uint32_t t = 0; t < net->n_tiers; t++) {
        expected += net->planes * net->tiers[t].n_groups * net->tiers[t].switches;
        if (high[t] > 0) /* cables of a port stay together, at the first tier */
            assert_true(high[t] - low[t] <= (t == 0 ? net->tiers[0].uplinks : 1));
    }
    assert_int_equal(switches, expected);
}

static void check_reach(const fs_topo *topo)
{
    fs_survey survey;
    fs_err err;
    assert_int_equal(fs_survey_make(topo, &survey, &err), FS_OK);
    assert_true(survey.all_reach);
    fs_survey_free(&survey);
}

static void check_rewrite(const fs_topo *topo)
{
    fs_out *out = NULL;
    fs_err err;
    fs_topo *again = NULL;
    char path[] = "/tmp/prop_networkXXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(fs_out_open(path, &out, &err), FS_OK);
    fs_topo_write_xml(topo, out);
    assert_int_equal(fs_out_close(out, &err), FS_OK);
    assert_int_equal(fs_topo_load(path, NULL, 0, &again, &err), FS_OK);
    assert_true(topo->hash == again->hash);
    fs_topo_free(again);
    remove(path);
}

/* Exactly as many ports as a full switch needs are enough; one fewer is an error. */
static void check_ports(random_net *net, const uint32_t most[TIERS_MAX], uint32_t t)
{
    fs_topo *topo = NULL;
    fs_err err;
    net->tiers[t].ports = most[t];
    if (load(net, &topo, &err) != FS_OK)
        fail_msg("%s", err.text);
    fs_topo_free(topo);
    net->tiers[t].ports = most[t] - 1;
    if (most[t] > 1)
        assert_int_equal(load(net, &topo, &err), FS_E_TOPOLOGY);
    net->tiers[t].ports = 0;
}

/* Every class of the last tier joins everything below it, or a ring or dragonfly does. */
static bool is_connected(const random_net *net)
{
    return net->planes == 1 && net->top == 0 && net->n_tiers > 1;
}

static void try_network(uint64_t seed)
{
    fs_rng rng = fs_rng_seed(seed);
    random_net net = make_net(&rng);
    fs_topo *topo = NULL;
    fs_err err;
    uint32_t most[TIERS_MAX] = {0};
    if (load(&net, &topo, &err) != FS_OK)
        fail_msg("%s", err.text);
    check_switches(topo, &net, most);
    if (is_connected(&net))
        check_reach(topo);
    check_rewrite(topo);
    fs_topo_free(topo);
    uint32_t t = fs_rng_below(&rng, net.n_tiers);
    bool full = lower_groups(&net, t) % net.tiers[t].group == 0;
    bool even =
        net.top != 2 || t + 1 < net.n_tiers; /* else no switch may have both the most down and the most across */
    if (full && even)
        check_ports(&net, most, t);
}

static uint64_t seed_under_test;

static void random_networks(void **state)
{
    (void)state;
    const char *text = getenv("FABSIM_TEST_SEED");
    uint64_t first = text ? strtoull(text, NULL, 10) : 1, count = text ? 1 : CASES;
    for (uint64_t seed = first; seed < first + count; seed++) {
        seed_under_test = seed;
        try_network(seed);
    }
    seed_under_test = 0;
}

/* A failing assertion leaves the test where it stands; this runs all the same. */
static int name_the_seed(void **state)
{
    (void)state;
    if (seed_under_test != 0)
        print_message("FABSIM_TEST_SEED=%llu\n", (unsigned long long)seed_under_test);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(random_networks, name_the_seed),
    };
    return cmocka_run_group_tests_name("prop_network", tests, NULL, NULL);
}
