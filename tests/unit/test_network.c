/* test_network.c - network generators against closed forms and published designs; boards in boards; every error. */
#include "base/mem.h"
#include "topo/survey.h"
#include "topo/topo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Round figures: a cable w carries 50 GB/s, W twice as much. <system> is on line 22. */
static const char head[] =
    "<fabsim version='topology/1' name='test'>\n"
    " <parts>\n"
    "  <gpu name='g' arch='hopper' memory='80GB' memory-bandwidth='3TB/s' gemm-efficiency='0.7'\n"
    "       memory-efficiency='0.9' launch='1us' power='700W' source='s'><peak dtype='fp16' "
    "flops='900TFLOP/s'/></gpu>\n"
    "  <nvswitch name='nvs' latency='25ns' ports='72' source='s'/> "
    "<nvswitch name='box' latency='25ns' source='s'/> <nic name='n' source='s'/> <cpu name='c' "
    "source='s'/>\n"
    "  <net-switch name='sw' latency='100ns' source='s'/> <net-switch name='sw64' latency='100ns' ports='64' "
    "source='s'/>\n"
    "  <link-type name='nv' class='nvlink' tier='nvlink' bandwidth='25GB/s' effective='20GB/s' latency='1us' "
    "source='s'/>\n"
    "  <link-type name='pc' class='pcie' tier='pcie' bandwidth='400GB/s' effective='400GB/s' latency='0s' "
    "source='s'/>\n"
    "  <link-type name='w' class='net' tier='nic' bandwidth='50GB/s' effective='48GB/s' latency='1us' source='s'/>\n"
    "  <link-type name='W' class='net' tier='fat' bandwidth='100GB/s' effective='96GB/s' latency='1us' source='s'/>\n"
    " </parts>\n"
    " <board name='one'><device name='gpu0' part='g'/><device name='nic0' part='n'/><device name='cpu0' part='c'/>\n"
    "  <link from='gpu0' to='nic0' type='pc'/></board>\n"
    " <board name='two'><device name='gpu[0-1]' part='g'/><device name='nic[0-1]' part='n'/>\n"
    "  <link from='gpu[0-1]' to='nic[0-1]' type='pc' pair='each'/><link from='gpu0' to='gpu1' type='pc'/></board>\n"
    " <board name='eight'><device name='gpu[0-7]' part='g'/><device name='nic[0-7]' part='n'/>\n"
    "  <device name='nvsw[0-3]' part='nvs'/><link from='gpu[0-7]' to='nvsw[0-3]' type='nv' pair='all'/>\n"
    "  <link from='gpu[0-7]' to='nic[0-7]' type='pc' pair='each'/></board>\n"
    " <board name='rack'><place board='two' name='tray' count='3'/><device name='top2' part='sw'/><device "
    "name='top[0-1]' part='nvs'/>\n"
    "  <link from='tray[0-2]/gpu[0-1]' to='top[0-1]' type='nv' pair='all'/></board>\n"
    " <board name='loop'><place board='loop' name='x'/></board>\n";

static char *document(const char *system)
{
    static const char form[] = "%s<system>\n%s</system>\n</fabsim>\n";
    size_t size = sizeof head + sizeof form + strlen(system);
    char *text = malloc(size);
    snprintf(text, size, form, head, system);
    return text;
}

static fs_topo *load(const char *system)
{
    fs_topo *topo = NULL;
    fs_err err;
    char *text = document(system);
    if (fs_topo_parse("t.xml", text, strlen(text), NULL, 0, &topo, &err) != FS_OK)
        fail_msg("%s:%u:%u: %s", err.file, err.line, err.column, err.text);
    free(text);
    return topo;
}

static void expect_error(const char *system, const char *message)
{

    fs_topo *topo = NULL;
    fs_err err;
    char found[2048], *text = document(system);
    uint64_t live = fs_mem_live();
    assert_int_equal(fs_topo_parse("t.xml", text, strlen(text), NULL, 0, &topo, &err), FS_E_TOPOLOGY);
    fs_err_format(&err, found, sizeof found);
    assert_string_equal(found, message);
    assert_null(topo);
    assert_int_equal(fs_mem_live(), live);
    free(text);
}

/* Devices named `prefix` and a number. */
static uint32_t count_devices(const fs_topo *topo, const char *prefix)
{
    uint32_t count = 0;
    size_t length = strlen(prefix);
    for (uint32_t d = 0; d < topo->n_devices; d++) {
        const char *name = FS_DEVICE_NAME(topo, d);
        count += strncmp(name, prefix, length) == 0 && name[length + strspn(name + length, "0123456789")] == '\0';
    }
    return count;
}

typedef struct tally {
    uint32_t connections;
    uint64_t lanes;
} tally;

static tally count_tier(const fs_topo *topo, const char *tier)
{
    tally sum = {0};
    for (uint32_t l = 0; l < topo->n_links; l += 2) {
        const fs_link link = fs_topo_link(topo, l);
        if (strcmp(topo->tiers[topo->link_types[link.type].tier].name, tier) == 0) {
            sum.connections++;
            sum.lanes += link.lanes;
        }
    }
    return sum;
}

/* Lanes of all connections between two devices. */
static uint32_t lanes_between(const fs_topo *topo, const char *from, const char *to)
{
    uint32_t a = fs_topo_find(topo, from), b = fs_topo_find(topo, to), lanes = 0;
    assert_int_not_equal(a, FS_NONE);
    assert_int_not_equal(b, FS_NONE);
    for (uint32_t i = 0; i < fs_topo_out_count(topo, a); i++) {
        const fs_link link = fs_topo_link(topo, fs_topo_out_link(topo, a, i));
        lanes += link.dst == b ? link.lanes : 0;
    }
    return lanes;
}

static void expect_reach(const fs_topo *topo)
{
    fs_survey survey;
    fs_err err;
    assert_int_equal(fs_survey_make(topo, &survey, &err), FS_OK);
    assert_true(survey.all_reach);
    fs_survey_free(&survey);
}

/* Bisection of one tier, B/s in one direction. */
static double bisection(const fs_topo *topo, const char *tier)
{
    fs_survey survey;
    fs_err err;
    double found = -1;
    assert_int_equal(fs_survey_make(topo, &survey, &err), FS_OK);
    assert_true(survey.all_reach);
    for (uint32_t t = 0; t < topo->n_tiers; t++)
        if (strcmp(topo->tiers[t].name, tier) == 0)
            found = survey.tiers[t].bisection_Bps;
    fs_survey_free(&survey);
    return found;
}

/* ---- fat trees --------------------------------------------------------------------------------------------------- */

/* The k-ary fat tree of Al-Fares, Loukissas, Vahdat, SIGCOMM 2008: k pods of k/2 leaves and k/2 spines, (k/2)^2 cores,
 * all switches with k ports, k^3/4 hosts, full bisection. */
static void a_k_ary_fat_tree(void **state)
{
    (void)state;
    for (uint32_t k = 4; k <= 8; k += 4) {
        char system[1024];
        uint32_t half = k / 2, hosts = k * k * k / 4;
        snprintf(system, sizeof system,
                 "<place board='one' name='host' count='%u'/>\n"
                 "<network name='net' nodes='host' ports='nic0'>\n"
                 " <tier name='leaf' part='sw' type='w' group='%u' switches='1'/>\n"
                 " <tier name='spine' part='sw' type='w' group='%u' switches='%u'/>\n"
                 " <tier name='core' part='sw' type='w' switches='%u' planes='%u'/>\n"
                 "</network>\n",
                 hosts, half, half, half, half * half, half);
        fs_topo *topo = load(system);
        assert_int_equal(count_devices(topo, "net/leaf"), k * half);
        assert_int_equal(count_devices(topo, "net/spine"), k * half);
        assert_int_equal(count_devices(topo, "net/core"), half * half);
        assert_int_equal(count_tier(topo, "nic").connections, hosts);
        assert_int_equal(count_tier(topo, "leaf-spine").connections, hosts);
        assert_int_equal(count_tier(topo, "spine-core").connections, hosts);
        for (uint32_t d = 0; d < topo->n_devices; d++)
            if (fs_topo_device(topo, d).kind == FS_DEVICE_NET_SWITCH)
                assert_int_equal(fs_topo_out_count(topo, d), k);
        assert_true(bisection(topo, "leaf-spine") == hosts / 2 * 50e9);
        assert_true(bisection(topo, "spine-core") == hosts / 2 * 50e9);
        fs_topo_free(topo);
    }
}

/* Leaf, spine and core counts, and cables, of published reference designs: NVIDIA's DGX SuperPOD reference
 * architectures for H100 (RA-11333), B200, and B300 with XDR (docs.nvidia.com/dgx-superpod). Which spines of a three-tier
 * design join which rails is not in the tables: by rail below, by turns above, which gives the published counts. */
static void superpods(void **state)
{
    (void)state;
    static const struct {
        uint32_t nodes, leaf, spine, core, node_leaf, leaf_spine, spine_core;
        const char *tree;
    } designs[] = {
        {127, 32, 16, 0, 1016, 1024, 0,
         "<tier name='leaf' part='sw64' type='w' by='rail' group='32' switches='8'/>"
         "<tier name='spine' part='sw64' type='w' switches='16' lanes='2'/>"},
        {64, 16, 8, 0, 512, 512, 0,
         "<tier name='leaf' part='sw64' type='w' by='rail' group='32' switches='8'/>"
         "<tier name='spine' part='sw64' type='w' switches='8' oversubscription='1'/>"},
        {128, 32, 16, 0, 1024, 1024, 0,
         "<tier name='leaf' part='sw64' type='w' by='rail' group='32' switches='8'/>"
         "<tier name='spine' part='sw64' type='w' oversubscription='1' lanes='2'/>"},
        {256, 64, 32, 0, 2048, 2048, 0,
         "<tier name='leaf' part='sw64' type='w' by='rail' group='32' switches='8'/>"
         "<tier name='spine' part='sw64' type='w' oversubscription='1'/>"},
        {512, 128, 128, 64, 4096, 4096, 4096,
         "<tier name='leaf' part='sw64' type='w' by='rail' group='32' switches='8'/>"
         "<tier name='spine' part='sw64' type='w' by='rail' switches='128' lanes='2'/>"
         "<tier name='core' part='sw64' type='w' switches='64' oversubscription='1'/>"},
        {1024, 256, 256, 128, 8192, 8192, 8192,
         "<tier name='leaf' part='sw64' type='w' by='rail' group='32' switches='8'/>"
         "<tier name='spine' part='sw64' type='w' by='rail' switches='256'/>"
         "<tier name='core' part='sw64' type='w' switches='128' uplinks='32'/>"},
        {2048, 512, 512, 256, 16384, 16384, 16384,
         "<tier name='leaf' part='sw64' type='w' by='rail' group='32' switches='8'/>"
         "<tier name='spine' part='sw64' type='w' by='rail' group='32' switches='256'/>"
         "<tier name='core' part='sw64' type='w' switches='256' uplinks='32'/>"},
        {72, 8, 4, 0, 576, 576, 0,
         "<tier name='leaf' part='sw' type='W' by='rail' group='72' switches='8'/>"
         "<tier name='spine' part='sw' type='W' switches='4' lanes='18'/>"},
        {144, 16, 8, 0, 1152, 1152, 0,
         "<tier name='leaf' part='sw' type='W' by='rail' group='72' switches='8'/>"
         "<tier name='spine' part='sw' type='W' switches='8' lanes='9'/>"},
        {288, 32, 18, 0, 2304, 2304, 0,
         "<tier name='leaf' part='sw' type='W' by='rail' group='72' switches='8'/>"
         "<tier name='spine' part='sw' type='W' switches='18' oversubscription='1'/>"},
        {576, 64, 36, 0, 4608, 4608, 0,
         "<tier name='leaf' part='sw' type='W' by='rail' group='72' switches='8'/>"
         "<tier name='spine' part='sw' type='W' switches='36' oversubscription='1'/>"},
        {1296, 144, 72, 0, 10368, 10368, 0,
         "<tier name='leaf' part='sw' type='W' by='rail' group='72' switches='8'/>"
         "<tier name='spine' part='sw' type='W' oversubscription='1'/>"},
    };
    for (size_t i = 0; i < sizeof designs / sizeof *designs; i++) {
        char system[2048];
        snprintf(system, sizeof system,
                 "<place board='eight' name='node' count='%u'/>\n"
                 "<network name='ib' nodes='node' ports='nic[0-7]'>%s</network>\n",
                 designs[i].nodes, designs[i].tree);
        fs_topo *topo = load(system);
        assert_int_equal(count_devices(topo, "ib/leaf"), designs[i].leaf);
        assert_int_equal(count_devices(topo, "ib/spine"), designs[i].spine);
        assert_int_equal(count_devices(topo, "ib/core"), designs[i].core);
        const char *nic = designs[i].nodes % 72 == 0 ? "fat" : "nic";
        assert_int_equal(count_tier(topo, nic).lanes, designs[i].node_leaf);
        assert_int_equal(count_tier(topo, "leaf-spine").lanes, designs[i].leaf_spine);
        assert_int_equal(count_tier(topo, "spine-core").lanes, designs[i].spine_core);
        expect_reach(topo);
        fs_topo_free(topo);
    }
}

/* The same for B300 with Spectrum-X, whose two tiers of 64 switch ports of 800 Gb/s reach 8,192 GPUs only when each port is
 * two of 400 Gb/s, on planes of their own: there are twice as many cables as the tables count. */
static void superpods_of_two_planes(void **state)
{
    (void)state;
    static const struct {
        uint32_t nodes, leaf, spine;
    } designs[] = {{64, 16, 8}, {128, 32, 16}, {256, 64, 32}, {512, 128, 64}, {1024, 256, 128}};
    for (size_t i = 0; i < sizeof designs / sizeof *designs; i++) {
        char system[1024];
        snprintf(system, sizeof system,
                 "<place board='eight' name='node' count='%u'/>\n"
                 "<network name='eth' nodes='node' ports='nic[0-7]' nic-ports='2' planes='2'>\n"
                 "<tier name='leaf' part='sw' type='w' by='rail' group='64' switches='8'/>"
                 "<tier name='spine' part='sw' type='w' switches='%u' oversubscription='1'/></network>\n",
                 designs[i].nodes, designs[i].spine / 2);
        fs_topo *topo = load(system);
        uint32_t gpus = designs[i].nodes * 8;
        for (uint32_t p = 0; p < 2; p++) {
            assert_int_equal(count_devices(topo, p ? "eth/plane1/leaf" : "eth/plane0/leaf"), designs[i].leaf / 2);
            assert_int_equal(count_devices(topo, p ? "eth/plane1/spine" : "eth/plane0/spine"), designs[i].spine / 2);
        }
        assert_int_equal(count_tier(topo, "nic").lanes, 2 * gpus);
        assert_int_equal(count_tier(topo, "leaf-spine").lanes, 2 * gpus);
        assert_int_equal(lanes_between(topo, "node0/nic5", "eth/plane0/leaf5"), 1);
        assert_int_equal(lanes_between(topo, "node0/nic5", "eth/plane1/leaf5"), 1);
        fs_topo_free(topo);
    }
}

static void ports_find_their_switches(void **state)
{
    (void)state;
    fs_topo *topo = load("<place board='eight' name='node' count='7'/>\n"
                         "<network name='a' nodes='node' ports='nic[0-7]' routing='ecmp'>\n"
                         " <tier name='leaf' part='sw' type='w' by='rail' group='4' switches='8'/>\n"
                         " <tier name='spine' part='sw' type='W' by='rail' switches='16'/>\n"
                         " <tier name='core' part='sw' type='W' switches='2' label='top'/>\n"
                         "</network>\n"
                         "<network name='b' nodes='node' ports='nic[0-7]' rails='2'>\n"
                         " <tier name='leaf' part='sw' type='w' by='rail' group='4' switches='4'/>\n"
                         " <tier name='spine' part='sw' type='w' switches='1'/>\n"
                         "</network>\n"
                         "<network name='c' nodes='node' ports='nic[0-7]' routing='static'>\n"
                         " <tier name='tor' part='sw' type='w' group='4' switches='2' lanes='3'/>\n"
                         " <tier name='agg' part='sw' type='w' switches='1'/>\n"
                         "</network>\n");
    assert_int_equal(topo->n_networks, 3);
    assert_string_equal(topo->networks[0].name, "a");
    assert_int_equal(topo->networks[0].routing, FS_ROUTING_ECMP);
    assert_int_equal(topo->networks[1].routing, FS_ROUTING_ADAPTIVE);
    assert_int_equal(topo->networks[2].routing, FS_ROUTING_STATIC);
    assert_int_equal(fs_topo_device(topo, fs_topo_find(topo, "b/leaf0")).network, 1);
    assert_int_equal(fs_topo_device(topo, fs_topo_find(topo, "node0/nvsw0")).network, FS_NONE);
    assert_int_equal(lanes_between(topo, "node1/nic3", "a/leaf3"), 1);
    assert_int_equal(lanes_between(topo, "node6/nic3", "a/leaf11"), 1); /* second group, partly filled */
    assert_int_equal(lanes_between(topo, "a/leaf11", "a/spine6"), 1);   /* rail 3 has spines 6 and 7 */
    assert_int_equal(lanes_between(topo, "a/leaf11", "a/spine7"), 1);
    assert_int_equal(fs_topo_out_count(topo, fs_topo_find(topo, "a/leaf11")), 3 + 2);
    assert_int_equal(count_tier(topo, "top").connections, 32);
    assert_int_equal(lanes_between(topo, "node0/nic2", "b/leaf0"), 1); /* rail 0: even ports, first half of the group */
    assert_int_equal(lanes_between(topo, "node2/nic2", "b/leaf1"), 1);
    assert_int_equal(lanes_between(topo, "node3/nic7", "b/leaf3"), 1);
    assert_int_equal(lanes_between(topo, "node1/nic7", "c/tor0"), 3);
    assert_int_equal(lanes_between(topo, "node2/nic0", "c/tor1"), 3);
    assert_int_equal(lanes_between(topo, "node4/nic0", "c/tor2"), 3);
    expect_reach(topo);
    fs_topo_free(topo);
}

/* The last tier at 1:1, 2:1, 4:1: the bisection is what the ratio says. */
static void oversubscription_halves_the_bisection(void **state)
{
    (void)state;
    for (uint32_t ratio = 1; ratio <= 4; ratio *= 2) {
        char system[1024];
        snprintf(system, sizeof system,
                 "<place board='one' name='n' count='32'/>\n"
                 "<network name='f' nodes='n' ports='nic0'>\n"
                 "<tier name='leaf' part='sw' type='w' group='8' switches='1'/>\n"
                 "<tier name='spine' part='sw' type='W' switches='1' oversubscription='%u'/></network>\n",
                 ratio);
        fs_topo *topo = load(system);
        assert_int_equal(count_tier(topo, "leaf-spine").lanes, 4 * 4 / ratio); /* 4 leaves, 4 fat cables at 1:1 */
        assert_true(bisection(topo, "leaf-spine") == 16 * 50e9 / ratio);
        fs_topo_free(topo);
    }
}

/* 6 cables over 4 switches: 2 2 1 1, then 1 1 2 2, so that each switch gets as many as any other. */
static void uplinks_are_dealt_in_turn(void **state)
{
    (void)state;
    fs_topo *topo = load("<place board='one' name='n' count='4'/>\n"
                         "<network name='f' nodes='n' ports='nic0'>\n"
                         "<tier name='leaf' part='sw' type='w' group='1' switches='1'/>\n"
                         "<tier name='spine' part='sw' type='w' switches='4' uplinks='6'/></network>\n");
    static const uint32_t expected[4][4] = {{2, 2, 1, 1}, {1, 1, 2, 2}, {2, 2, 1, 1}, {1, 1, 2, 2}};
    for (uint32_t l = 0; l < 4; l++)
        for (uint32_t s = 0; s < 4; s++) {
            char leaf[16], spine[16];
            snprintf(leaf, sizeof leaf, "f/leaf%u", l);
            snprintf(spine, sizeof spine, "f/spine%u", s);
            assert_int_equal(lanes_between(topo, leaf, spine), expected[l][s]);
        }
    fs_topo_free(topo);
}

/* A group that is larger than the machine: every switch of a full one is there. */
static void a_pod_may_be_partly_filled(void **state)
{
    (void)state;
    fs_topo *topo = load("<place board='eight' name='node' count='5'/>\n"
                         "<network name='ib' nodes='node' ports='nic[0-7]'>\n"
                         "<tier name='leaf' part='sw64' type='w' by='rail' group='32' switches='8'/>\n"
                         "<tier name='spine' part='sw64' type='w' group='4' switches='16' oversubscription='1'/>\n"
                         "</network>\n");
    assert_int_equal(count_devices(topo, "ib/leaf"), 8);
    assert_int_equal(count_devices(topo, "ib/spine"), 16);
    assert_int_equal(lanes_between(topo, "ib/leaf7", "ib/spine15"), 2);
    fs_topo_free(topo);
}

/* ---- NVSwitch levels, tori, dragonflies -------------------------------------------------------------------------- */

/* DGX GH200: 256 GPUs, 32 chassis with 3 first-level boxes, 36 boxes above them in 3 planes of 12; 6 links from a GPU to
 * each box of its chassis, 4 from there to each box of its plane. */
static void two_levels_of_nvswitches(void **state)
{
    (void)state;
    fs_topo *topo = load("<place board='one' name='node' count='256'/>\n"
                         "<network name='nvl' nodes='node' ports='gpu0'>\n"
                         "<tier name='l1' part='box' type='nv' group='8' switches='3' lanes='6'/>\n"
                         "<tier name='l2' part='box' type='nv' switches='36' planes='3' lanes='4'/></network>\n");
    assert_int_equal(count_devices(topo, "nvl/l1"), 96);
    assert_int_equal(count_devices(topo, "nvl/l2"), 36);
    assert_int_equal(count_tier(topo, "nvlink").lanes, 256 * 18);
    assert_int_equal(count_tier(topo, "l1-l2").lanes, 256 * 18);
    assert_int_equal(lanes_between(topo, "node9/gpu0", "nvl/l15"), 6);
    assert_int_equal(lanes_between(topo, "nvl/l14", "nvl/l212"), 4); /* box 4: the second of chassis 1 */
    assert_int_equal(lanes_between(topo, "nvl/l14", "nvl/l211"), 0);
    fs_survey survey;
    fs_err err;
    assert_int_equal(fs_survey_make(topo, &survey, &err), FS_OK);
    assert_int_equal(survey.largest_domain, 256);
    assert_true(survey.bisection_Bps == 128 * 450e9);
    fs_survey_free(&survey);
    fs_topo_free(topo);
}

/* Switches of boards as ports: every one to all of its plane, however uneven. */
static void board_switches_may_be_ports(void **state)
{
    (void)state;
    fs_topo *topo = load("<place board='eight' name='node' count='3'/>\n"
                         "<network name='nvl' nodes='node' ports='nvsw[0,3,1,2]' planes='2'>\n"
                         "<tier name='ext' part='nvs' type='nv' switches='4' uplinks='6'/></network>\n");
    assert_int_equal(count_devices(topo, "nvl/plane0/ext"), 4);
    assert_int_equal(count_tier(topo, "nvlink-ext").lanes, 3 * 4 * 6);
    assert_int_equal(lanes_between(topo, "node0/nvsw0", "nvl/plane0/ext0"), 2);
    assert_int_equal(lanes_between(topo, "node0/nvsw1", "nvl/plane0/ext2"), 2); /* goes on where nvsw0 stopped */
    assert_int_equal(lanes_between(topo, "node0/nvsw3", "nvl/plane0/ext0"), 0);
    expect_reach(topo);
    fs_topo_free(topo);
}

/* A ring of n has n connections, of two one, of one none. */
static void tori(void **state)
{
    (void)state;
    static const struct {
        const char *dims;
        uint32_t groups, connections;
    } cases[] = {{"8", 8, 8}, {"4x3", 12, 24}, {"4x2", 8, 8 + 4}, {"2x2x2", 8, 12}, {"5x1x3", 15, 30}, {"1x1", 1, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char system[1024];
        snprintf(system, sizeof system,
                 "<place board='two' name='n' count='%u'/>\n"
                 "<network name='t' nodes='n' ports='nic[0-1]'>\n"
                 "<tier name='router' part='sw' type='w' group='1' switches='1'/>\n"
                 "<torus dims='%s' type='W' lanes='2'/></network>\n",
                 cases[i].groups, cases[i].dims);
        fs_topo *topo = load(system);
        assert_int_equal(count_devices(topo, "t/router"), cases[i].groups);
        assert_int_equal(count_tier(topo, "router-torus").connections, cases[i].connections);
        assert_int_equal(count_tier(topo, "router-torus").lanes, 2 * cases[i].connections);
        expect_reach(topo);
        fs_topo_free(topo);
    }
}

static void a_torus_counts_in_rows(void **state)
{
    (void)state;
    fs_topo *topo = load("<place board='one' name='n' count='12'/>\n"
                         "<network name='t' nodes='n' ports='nic0'>\n"
                         "<tier name='r' part='sw' type='w' group='1' switches='1'/>\n"
                         "<torus dims='3x4' type='w'/></network>\n");
    assert_int_equal(lanes_between(topo, "t/r5", "t/r6"), 1);
    assert_int_equal(lanes_between(topo, "t/r4", "t/r7"), 1); /* around the row */
    assert_int_equal(lanes_between(topo, "t/r5", "t/r9"), 1);
    assert_int_equal(lanes_between(topo, "t/r1", "t/r9"), 1); /* around the column */
    assert_int_equal(lanes_between(topo, "t/r3", "t/r4"), 0);
    fs_topo_free(topo);
}

/* Dragonfly+: every pair of groups has its cables, every spine as many as any other, give or take one. */
static void a_dragonfly(void **state)
{
    (void)state;
    fs_topo *topo = load("<place board='one' name='n' count='40'/>\n"
                         "<network name='d' nodes='n' ports='nic0'>\n"
                         "<tier name='leaf' part='sw' type='w' group='4' switches='1'/>\n"
                         "<tier name='spine' part='sw' type='w' group='2' switches='2'/>\n"
                         "<dragonfly cables='3' type='W' label='global'/></network>\n");
    assert_int_equal(count_devices(topo, "d/spine"), 10);
    assert_int_equal(count_tier(topo, "global").lanes, 10 * 3);
    uint32_t between[5][5] = {{0}};
    for (uint32_t s = 0; s < 10; s++) {
        char from[16];
        uint32_t own = 0;
        snprintf(from, sizeof from, "d/spine%u", s);
        for (uint32_t t = 0; t < 10; t++) {
            char to[16];
            snprintf(to, sizeof to, "d/spine%u", t);
            uint32_t lanes = s == t ? 0 : lanes_between(topo, from, to);
            between[s / 2][t / 2] += lanes;
            own += lanes;
        }
        assert_int_equal(own, 6);
    }
    for (int a = 0; a < 5; a++)
        for (int b = 0; b < 5; b++)
            assert_int_equal(between[a][b], a == b ? 0 : 3);
    expect_reach(topo);
    fs_topo_free(topo);
}

/* ---- boards in boards, explicit networks ------------------------------------------------------------------------- */

static void racks_are_placed(void **state)
{
    (void)state;
    fs_topo *topo = load("<place board='rack' name='rack' count='2'/>\n"
                         "<network name='ib' nodes='rack' ports='tray[0-2]/nic[0-1]' rails='2'>\n"
                         "<tier name='leaf' part='sw' type='w' by='rail' group='1' switches='2'/>\n"
                         "<tier name='spine' part='sw' type='w' switches='1'/></network>\n");
    assert_int_equal(topo->n_gpus, 12);
    assert_int_equal(topo->n_nodes, 6);
    assert_string_equal(FS_NODE_NAME(topo, 4), "rack1/tray1");
    uint32_t gpu = fs_topo_find(topo, "rack1/tray2/gpu1");
    assert_int_not_equal(gpu, FS_NONE);
    assert_int_equal(fs_topo_device(topo, gpu).node, 5);
    assert_int_equal(fs_topo_device(topo, gpu).index, 11);
    assert_int_equal(fs_topo_device(topo, fs_topo_find(topo, "rack1/tray2/nic1")).rail, 1);
    assert_int_equal(fs_topo_device(topo, fs_topo_find(topo, "rack1/top0")).node, FS_NONE);
    assert_int_equal(lanes_between(topo, "rack1/tray2/gpu1", "rack1/top1"), 1);
    assert_int_equal(lanes_between(topo, "rack1/tray2/nic1", "ib/leaf3"), 1);
    expect_reach(topo);
    fs_topo_free(topo);
}

static void a_rack_may_stand_alone(void **state)
{
    (void)state;
    fs_topo *topo = NULL;
    fs_err err;
    char text[4096];
    snprintf(text, sizeof text, "%.*s</fabsim>", (int)(strstr(head, " <board name='one'>") - head), head);
    const char *two = strstr(head, " <board name='two'>"), *eight = strstr(head, " <board name='eight'>");
    const char *rack = strstr(head, " <board name='rack'>"), *loop = strstr(head, " <board name='loop'>");
    snprintf(text + strlen(text) - strlen("</fabsim>"), 2048, "%.*s%.*s</fabsim>", (int)(eight - two), two,
             (int)(loop - rack), rack);
    assert_int_equal(fs_topo_parse("t.xml", text, strlen(text), NULL, 0, &topo, &err), FS_OK);
    assert_string_equal(FS_DEVICE_NAME(topo, 0), "tray0/gpu0");
    assert_int_equal(topo->n_nodes, 3);
    fs_topo_free(topo);
}

static fs_topo *reread(const fs_topo *topo)
{
    fs_out *out = NULL;
    fs_err err;
    char path[] = "/tmp/test_networkXXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(fs_out_open(path, &out, &err), FS_OK);
    fs_topo_write_xml(topo, out);
    assert_int_equal(fs_out_close(out, &err), FS_OK);
    fs_topo *again = NULL;
    if (fs_topo_load(path, NULL, 0, &again, &err) != FS_OK)
        fail_msg("%u:%u: %s", err.line, err.column, err.text);
    remove(path);
    return again;
}

static void networks_survive_writing(void **state)
{
    (void)state;
    fs_topo *topo = load("<place board='rack' name='rack' count='2'/>\n"
                         "<network name='x' routing='spray'/>\n"
                         "<device name='hub' part='sw' network='x'/>\n"
                         "<network name='ib' nodes='rack' ports='tray[0-2]/nic[0-1]' planes='2' routing='static'>\n"
                         "<tier name='leaf' part='sw64' type='w' group='1' switches='1'/>\n"
                         "<tier name='spine' part='sw64' type='W' switches='1'/></network>\n"
                         "<link from='ib/plane[0-1]/spine0' to='hub' type='w'/>\n");
    fs_topo *again = reread(topo);
    assert_true(topo->hash == again->hash);
    assert_int_equal(again->n_networks, 2);
    assert_int_equal(again->networks[0].routing, FS_ROUTING_SPRAY);
    assert_int_equal(fs_topo_device(again, fs_topo_find(again, "hub")).network, 0);
    assert_int_equal(fs_topo_device(again, fs_topo_find(again, "ib/plane1/leaf1")).network, 1);
    assert_int_equal(again->parts[fs_topo_device(again, fs_topo_find(again, "ib/plane1/leaf1")).part].ports, 64);
    assert_false(again->cross_rail);
    fs_topo_free(again);
    fs_topo_free(topo);
}

static void cross_rail_traffic_may_use_the_network(void **state)
{
    (void)state;
    fs_topo *topo = NULL;
    fs_err err;
    char *text = document("<place board='one' name='n' count='1'/>\n"), longer[8192];
    char *system = strstr(text, "<system>");
    snprintf(longer, sizeof longer, "%.*s<system cross-rail='network'>%s", (int)(system - text), text,
             system + strlen("<system>"));
    assert_int_equal(fs_topo_parse("t.xml", longer, strlen(longer), NULL, 0, &topo, &err), FS_OK);
    assert_true(topo->cross_rail);
    fs_topo *again = reread(topo);
    assert_true(again->cross_rail && again->hash == topo->hash);
    fs_topo_free(again);
    fs_topo_free(topo);
    free(text);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/* The first line of a system is line 23 of the file. */
#define NODES "<place board='eight' name='node' count='6'/>\n"
#define NET "<network name='ib' nodes='node' ports='nic[0-7]'>"
#define LEAF "<tier name='leaf' part='sw64' type='w' by='rail' group='4' switches='8'/>"

static void what_a_network_attaches_to(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {NODES "<network name='ib' nodes='nodes' ports='nic0'>" LEAF "</network>\n",
         "t.xml:24:20: error: unknown place 'nodes' (did you mean 'node'?)"},
        {NODES "<network name='ib' nodes='rack' ports='nic0'>" LEAF "</network>\n",
         "t.xml:24:20: error: unknown place 'rack'"},
        {NODES "<network name='ib' nodes='node'>" LEAF "</network>\n",
         "t.xml:24:1: error: a <network> with tiers says which 'ports' of which 'nodes' it joins"},
        {NODES "<network name='ib' ports='nic0'>" LEAF "</network>\n",
         "t.xml:24:1: error: a <network> with tiers says which 'ports' of which 'nodes' it joins"},
        {NODES "<network name='ib' nodes='node' ports='nci0'>" LEAF "</network>\n",
         "t.xml:24:33: error: unknown device 'nci0' in 'node' (did you mean 'nic0'?)"},
        {NODES "<network name='ib' nodes='node' ports='hca0'>" LEAF "</network>\n",
         "t.xml:24:33: error: unknown device 'hca0' in 'node'"},
        {NODES "<network name='ib' nodes='node' ports='nic[0'>" LEAF "</network>\n",
         "t.xml:24:33: error: name pattern 'nic[0': a bracket is not closed"},
        {"<place board='one' name='n'/><network name='ib' nodes='n' ports='cpu0'>" LEAF "</network>\n",
         "t.xml:23:59: error: 'cpu0' is a cpu: a network attaches to NICs, GPUs or switches"},
        {"<place board='rack' name='r'/><network name='ib' nodes='r' ports='top[0-2]'>" LEAF "</network>\n",
         "t.xml:23:60: error: 'top2' is a net-switch, the ports before it are of kind nvswitch"},
        {"<place board='eight' name='nvsw' count='1'/><network name='x' nodes='nvsw' ports='nvsw[0,0]'>" LEAF
         "</network>\n",
         "t.xml:23:76: error: 'nvsw0' is named twice: nic-ports gives a device several ports"},
        {NODES "<network name='ib' nodes='node' ports='nic[0-7]' planes='3'>" LEAF "</network>\n",
         "t.xml:24:50: error: the 8 ports of a node do not divide into 3 planes"},
        {NODES "<network name='ib' nodes='node' ports='nic[0-7]' planes='2' rails='3'>" LEAF "</network>\n",
         "t.xml:24:61: error: the 4 ports of a node in one plane do not divide into 3 rails"},
        {NODES "<network name='ib' nodes='node' ports='nic[0-7]' nic-ports='257'>" LEAF "</network>\n",
         "t.xml:24:50: error: nic-ports must be from 1 to 256, found '257'"},
        {NODES "<network name='ib' planes='2'/>\n",
         "t.xml:24:20: error: 'planes' has no meaning in a <network> without <tier>"},
        {NODES "<network name='ib' nodes='node'/>\n",
         "t.xml:24:20: error: 'nodes' has no meaning in a <network> without <tier>"},
        {NODES "<network name='ib'/><network name='ib'/>\n", "t.xml:24:30: error: network 'ib' is defined twice"},
        {NODES "<network name='ib' routing='adaptiv'/>\n",
         "t.xml:24:20: error: routing: unknown value 'adaptiv' (did you mean 'adaptive'?)"},
        {NODES "<network name='ib'><leaf/></network>\n",
         "t.xml:24:20: error: unknown element <leaf> in <network>, expected one of: tier torus dragonfly"},
        {NODES "<network name='ib'/><device name='hub' part='sw' network='eth'/>\n",
         "t.xml:24:50: error: unknown network 'eth'"},
        {NODES "<network name='eth0'/><device name='hub' part='sw' network='eth'/>\n",
         "t.xml:24:52: error: unknown network 'eth' (did you mean 'eth0'?)"},
        {NODES "<network name='ib'/><device name='hub' part='n' network='ib'/>\n",
         "t.xml:24:49: error: device 'hub' is a nic: a network consists of switches"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_error(cases[i][0], cases[i][1]);
}

static void what_a_tier_is_made_of(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {NODES NET "<tier name='leaf' part='sw46' type='w' switches='8'/></network>\n",
         "t.xml:24:68: error: unknown part 'sw46' (did you mean 'sw64'?)"},
        {NODES NET "<tier name='leaf' part='g' type='w' switches='8'/></network>\n",
         "t.xml:24:68: error: part 'g' is a gpu: a tier consists of switches"},
        {NODES NET "<tier name='leaf' part='sw' type='fibre' switches='8'/></network>\n",
         "t.xml:24:78: error: unknown link type 'fibre'"},
        {NODES NET "<tier name='leaf' part='sw' type='w' switchs='8'/></network>\n",
         "t.xml:24:87: error: unknown attribute 'switchs' of <tier> (did you mean 'switches'?)"},
        {NODES NET "<tier name='leaf' part='sw' type='w'/></network>\n",
         "t.xml:24:50: error: <tier> lacks the attribute 'switches'"},
        {NODES NET "<tier name='leaf' part='sw' type='w' switches='0'/></network>\n",
         "t.xml:24:87: error: switches must be from 1 to 1048576, found '0'"},
        {NODES NET LEAF "<tier name='leaf' part='sw' type='w' switches='8'/></network>\n",
         "t.xml:24:129: error: tier 'leaf' is defined twice"},
        {NODES NET "<tier name='leaf' part='sw' type='w' by='rail' switches='9'/></network>\n",
         "t.xml:24:97: error: 9 switches do not divide into 8 rails"},
        {NODES NET LEAF "<tier name='spine' part='sw' type='w' by='node' switches='8'/></network>\n",
         "t.xml:24:161: error: by=\"node\" is for the first tier, below which are NICs or GPUs"},
        {NODES NET "<tier name='leaf' part='sw' type='w' switches='1'/>"
                   "<tier name='spine' part='sw' type='w' by='rail' switches='8'/></network>\n",
         "t.xml:24:139: error: by=\"rail\" needs a tier by=\"rail\" below it"},
        {NODES
         "<network name='x' nodes='node' ports='nvsw[0-3]'><tier name='up' part='sw' type='nv' by='rail' switches='4'/>"
         "</network>\n",
         "t.xml:24:86: error: by=\"rail\" at the first tier is for NICs and GPUs"},
        {NODES NET "<tier name='leaf' part='sw' type='w' by='rail' switches='8' planes='2'/></network>\n",
         "t.xml:24:110: error: by=\"rail\" already says which switches are joined"},
        {NODES NET LEAF "<tier name='spine' part='sw' type='w' switches='6' planes='3'/></network>\n",
         "t.xml:24:174: error: the 8 devices of a group below do not divide into 3 planes"},
        {NODES NET LEAF "<tier name='spine' part='sw' type='w' switches='6' planes='4'/></network>\n",
         "t.xml:24:161: error: 6 switches do not divide into 4 planes"},
        {NODES NET LEAF "</network>\n", "t.xml:24:1: error: nothing joins the 2 groups of tier 'leaf': leave out its "
                                        "'group', or add a tier, a <torus> or a "
                                        "<dragonfly>"},
        {NODES NET "<tier name='a' part='sw' type='w' switches='1'/><tier name='b' part='sw' type='w' switches='1'/>"
                   "<tier name='c' part='sw' type='w' switches='1'/><tier name='d' part='sw' type='w' switches='1'/>"
                   "<tier name='e' part='sw' type='w' switches='1'/><tier name='f' part='sw' type='w' switches='1'/>\n"
                   "<tier name='g' part='sw' type='w' switches='1'/></network>\n",
         "t.xml:25:1: error: a network has at most 6 tiers"},
        {"<device name='ib/leaf7' part='sw'/>" NODES NET LEAF
         "<tier name='top' part='sw' type='w' switches='1'/></network>\n",
         "t.xml:24:10: error: device 'ib/leaf7' is defined twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_error(cases[i][0], cases[i][1]);
}

static void how_many_cables_go_up(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {NODES NET "<tier name='leaf' part='sw' type='w' switches='1' oversubscription='2'/></network>\n",
         "t.xml:24:100: error: oversubscription compares with the tier below: the first has none"},
        {NODES NET "<tier name='leaf' part='sw' type='w' switches='1' uplinks='2'/></network>\n",
         "t.xml:24:100: error: a port has one switch: 'lanes' says of how many lanes its cable is"},
        {NODES NET LEAF "\n<tier name='spine' part='sw' type='w' switches='1' oversubscription='3'/></network>\n",
         "t.xml:25:52: error: a switch of tier 'leaf' would have 1.3333333333333333 cables up: not a whole number from "
         "1 to "
         "1048576"},
        {NODES NET LEAF "\n<tier name='spine' part='sw' type='w' switches='1' oversubscription='0'/></network>\n",
         "t.xml:25:52: error: a switch of tier 'leaf' would have inf cables up: not a whole number from 1 to 1048576"},
        {NODES NET LEAF "\n<tier name='spine' part='sw' type='w' switches='1' lanes='2' uplinks='3'/></network>\n",
         "t.xml:25:62: error: 'uplinks' and 'lanes' say the same: give one of them"},
        {NODES NET LEAF
         "\n<tier name='spine' part='sw' type='w' switches='1' oversubscription='2' uplinks='3'/></network>\n",
         "t.xml:25:73: error: 'uplinks' and 'oversubscription' say the same: give one of them"},
        {NODES NET LEAF
         "\n<tier name='spine' part='sw' type='w' switches='1' oversubscription='2' lanes='3'/></network>\n",
         "t.xml:25:73: error: of 'switches', 'lanes' and 'oversubscription' two determine the third"},
        {NODES NET LEAF "\n<tier name='spine' part='sw' type='w' oversubscription='1' lanes='3'/></network>\n",
         "t.xml:25:60: error: 4 cables up do not divide into bundles of 3"},
        {NODES NET LEAF "\n<tier name='spine' part='sw' type='w' switches='1' lanes='4097'/></network>\n",
         "t.xml:25:52: error: lanes must be from 1 to 4096, found '4097'"},
        {NODES NET LEAF "\n<tier name='spine' part='sw' type='w' switches='1' uplinks='4097'/></network>\n",
         "t.xml:25:1: error: more than 4096 lanes between two switches"},
        {NODES NET LEAF "\n<tier name='spine' part='sw' type='w' switches='257' lanes='4096'/></network>\n",
         "t.xml:25:54: error: more than 1048576 cables up from one device"},
        {NODES NET "<tier name='leaf' part='sw64' type='w' by='rail' group='32' switches='8'/>\n"
                   "<tier name='spine' part='sw' type='w' switches='33'/></network>\n",
         "t.xml:24:68: error: a switch of tier 'leaf' has 32 cables down and 33 up, but 'sw64' has 64 ports"},
        {NODES NET "<tier name='leaf' part='sw' type='w' group='1' switches='1'/>\n"
                   "<tier name='spine' part='sw64' type='w' switches='8' lanes='11'/></network>\n",
         "t.xml:25:20: error: a switch of tier 'spine' has 66 cables down and 0 up, but 'sw64' has 64 ports"},
        {"<place board='one' name='n' count='4'/>\n<network name='t' nodes='n' ports='nic0'>"
         "<tier name='r' part='sw64' type='w' group='1' switches='1'/><torus dims='4' type='w' "
         "lanes='32'/></network>\n",
         "t.xml:24:57: error: a switch of tier 'r' has 1 cables down and 64 up, but 'sw64' has 64 ports"},
        {"<place board='one' name='n' count='4'/>\n<network name='t' nodes='n' ports='nic0'>"
         "<tier name='r' part='sw64' type='w' group='1' switches='1'/><dragonfly cables='22' type='w'/></network>\n",
         "t.xml:24:57: error: a switch of tier 'r' has 1 cables down and 66 up, but 'sw64' has 64 ports"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_error(cases[i][0], cases[i][1]);
}

static void what_joins_the_groups(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {NODES NET LEAF "\n<torus dims='3' type='w'/></network>\n",
         "t.xml:25:8: error: a torus of 3 joins 3 groups, but tier 'leaf' has 2"},
        {NODES NET LEAF "\n<torus dims='2x' type='w'/></network>\n",
         "t.xml:25:8: error: dims: expected 1 to 6 whole numbers with 'x' between them, as in 8x8x4, found '2x'"},
        {NODES NET LEAF "\n<torus dims='2x0' type='w'/></network>\n",
         "t.xml:25:8: error: dims: each must be from 1 to 1048576, found '2x0'"},
        {NODES NET LEAF "\n<torus dims='1048576x1048576' type='w'/></network>\n",
         "t.xml:25:8: error: a torus of 1048576x1048576 joins 4294967295 groups, but tier 'leaf' has 2"},
        {NODES NET LEAF "\n<torus dims='2' type='v'/></network>\n", "t.xml:25:17: error: unknown link type 'v'"},
        {NODES NET LEAF "\n<dragonfly type='w'/></network>\n",
         "t.xml:25:1: error: <dragonfly> lacks the attribute 'cables'"},
        {NODES NET LEAF "\n<dragonfly cables='0' type='w'/></network>\n",
         "t.xml:25:12: error: cables must be from 1 to 4096, found '0'"},
        {NODES NET "<torus dims='2' type='w'/></network>\n",
         "t.xml:24:50: error: <torus> joins the groups of the last tier: a <tier> comes first"},
        {NODES NET LEAF "<torus dims='2' type='w'/>\n<dragonfly cables='1' type='w'/></network>\n",
         "t.xml:25:1: error: a network has one <torus> or <dragonfly>"},
        {NODES NET LEAF "<torus dims='2' type='w'/>\n<tier name='b' part='sw' type='w' switches='1'/></network>\n",
         "t.xml:25:1: error: a <tier> comes before <torus> and <dragonfly>"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_error(cases[i][0], cases[i][1]);
}

static void boards_in_boards_have_limits(void **state)
{
    (void)state;
    expect_error("<place board='loop' name='x'/>\n", "t.xml:21:28: error: boards nest deeper than 4");
    char *text = document("<place board='rack' name='r'/>\n");
    char *device = strstr(text, "part='nvs'/>\n  <link from='tray");
    memcpy(device, "part='g'  />", 12);
    fs_topo *topo = NULL;
    fs_err err;
    assert_int_equal(fs_topo_parse("t.xml", text, strlen(text), NULL, 0, &topo, &err), FS_E_TOPOLOGY);
    assert_string_equal(err.text, "a board that places other boards has only switches of its own, found a gpu");
    assert_int_equal(err.line, 19);
    free(text);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* Those that any document costs, as the schema is read first: test_topo_xml.c fails each of them. */
static uint64_t allocations_of_the_schema(void)
{
    static const char text[] = "<fabsim version='topology/1' name='none'/>";
    fs_topo *topo = NULL;
    fs_err err;
    uint64_t before = fs_mem_allocations();
    assert_int_not_equal(fs_topo_parse("t.xml", text, sizeof text - 1, NULL, 0, &topo, &err), FS_OK);
    return fs_mem_allocations() - before;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    char *text = document("<place board='rack' name='rack' count='4'/>\n"
                          "<network name='ib' nodes='rack' ports='tray[0-2]/nic[0-1]' planes='2' routing='static'>\n"
                          "<tier name='leaf' part='sw64' type='w' group='1' switches='1'/>\n"
                          "<tier name='spine' part='sw64' type='W' group='2' switches='1'/>\n"
                          "<torus dims='2' type='w'/></network>\n");
    fs_topo *topo = NULL;
    fs_err err;
    assert_int_equal(fs_topo_parse("t.xml", text, strlen(text), NULL, 0, &topo, &err), FS_OK);
    fs_topo_free(topo); /* what libxml2 keeps for good is allocated now */
    uint64_t live = fs_mem_live(), n = allocations_of_the_schema() * 9 / 10, first = n;
    fs_status status;
    do {
        topo = NULL;
        fs_mem_fail_after(++n);
        status = fs_topo_parse("t.xml", text, strlen(text), NULL, 0, &topo, &err);
        fs_mem_fail_after(0);
        assert_true(status == FS_OK || (status == FS_E_NOMEM && topo == NULL));
        fs_topo_free(topo);
        assert_int_equal(fs_mem_live(), live);
    } while (status != FS_OK);
    assert_true(n > first + 100);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_k_ary_fat_tree),
        cmocka_unit_test(superpods),
        cmocka_unit_test(superpods_of_two_planes),
        cmocka_unit_test(ports_find_their_switches),
        cmocka_unit_test(oversubscription_halves_the_bisection),
        cmocka_unit_test(uplinks_are_dealt_in_turn),
        cmocka_unit_test(a_pod_may_be_partly_filled),
        cmocka_unit_test(two_levels_of_nvswitches),
        cmocka_unit_test(board_switches_may_be_ports),
        cmocka_unit_test(tori),
        cmocka_unit_test(a_torus_counts_in_rows),
        cmocka_unit_test(a_dragonfly),
        cmocka_unit_test(racks_are_placed),
        cmocka_unit_test(a_rack_may_stand_alone),
        cmocka_unit_test(networks_survive_writing),
        cmocka_unit_test(cross_rail_traffic_may_use_the_network),
        cmocka_unit_test(what_a_network_attaches_to),
        cmocka_unit_test(what_a_tier_is_made_of),
        cmocka_unit_test(how_many_cables_go_up),
        cmocka_unit_test(what_joins_the_groups),
        cmocka_unit_test(boards_in_boards_have_limits),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
