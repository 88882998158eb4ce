/* test_bundle.c - which switches of small and shipped systems are one, their names, and what keeps them apart. */
#include "topo/bundle.h"
#include "topo/faults.h"

#include "base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* <system> follows. */
static const char head[] =
    "<fabsim version='topology/1' name='test'><parts>"
    "<gpu name='g' arch='hopper' memory='80GB' memory-bandwidth='3TB/s' gemm-efficiency='0.7' memory-efficiency='0.9'"
    " launch='1us' power='700W' source='s'><peak dtype='fp16' flops='900TFLOP/s'/></gpu>"
    "<nvswitch name='nvs' latency='25ns' source='s'/><nic name='n' source='s'/>"
    "<net-switch name='sw' latency='100ns' source='s'/>"
    "<link-type name='nv' class='nvlink' tier='nvlink' bandwidth='25GB/s' effective='20GB/s' latency='1us' source='s'/>"
    "<link-type name='pc' class='pcie' tier='pcie' bandwidth='60GB/s' effective='50GB/s' latency='0s' source='s'/>"
    "<link-type name='w' class='net' tier='nic' bandwidth='50GB/s' effective='48GB/s' latency='1us' source='s'/>"
    "</parts><board name='b'><device name='gpu[0-1]' part='g'/><device name='nic[0-1]' part='n'/>"
    "<device name='nvsw[0-3]' part='nvs'/><link from='gpu[0-1]' to='nvsw[0,3]' type='nv' pair='all'/>"
    "<link from='gpu[0-1]' to='nvsw[1-2]' type='nv' lanes='2' pair='all'/>"
    "<link from='gpu[0-1]' to='nic[0-1]' type='pc' pair='each'/></board>\n";

static fs_topo *load(const char *system)
{
    char text[4096];
    fs_topo *topo = NULL;
    fs_err err;
    snprintf(text, sizeof text, "%s<system>%s</system></fabsim>", head, system);
    if (fs_topo_parse("t.xml", text, strlen(text), NULL, 0, &topo, &err) != FS_OK)
        fail_msg("%s", err.text);
    return topo;
}

static fs_topo *bundle(const fs_topo *whole)
{
    fs_topo *small = NULL;
    fs_err err;
    assert_int_equal(fs_topo_bundle(whole, &small, &err), FS_OK);
    return small;
}

static void apply(fs_topo *topo, const char *link)
{
    fs_err err;
    fs_fault fault = {.kind = FS_FAULT_LINK,
                      .name = link,
                      .speed = 0.5,
                      .to_s = INFINITY,
                      .origin = "x",
                      .status_if_bad = FS_E_USAGE};
    assert_int_equal(fs_topo_apply_faults(topo, &fault, 1, &err), FS_OK);
}

/* The device that stands for `name`: its own name, and for how many. */
static void expect(const fs_topo *small, const fs_topo *whole, const char *name, const char *bundled, uint32_t count)
{
    uint32_t id = fs_topo_find(whole, name);
    assert_int_not_equal(id, FS_NONE);
    uint32_t d = fs_bundle_of_device(small, id);
    assert_string_equal(FS_DEVICE_NAME(small, d), bundled);
    assert_int_equal(fs_bundle_devices(small, d), count);
    assert_int_equal(fs_topo_find(small, bundled), d);
}

static const char two_tiers[] = "<place board='b' name='node' count='4'/>"
                                "<network name='net' nodes='node' ports='nic[0-1]' routing='%s'>"
                                "<tier name='leaf' part='sw' type='w' by='rail' group='2' switches='2'/>"
                                "<tier name='spine' part='sw' type='w' switches='4' uplinks='8'/></network>";

static fs_topo *fat_tree(const char *routing)
{
    char text[1024];
    snprintf(text, sizeof text, two_tiers, routing);
    return load(text);
}

static void twins_become_one(void **state)
{
    (void)state;
    fs_topo *whole = fat_tree("adaptive"), *small = bundle(whole);
    expect(small, whole, "node2/nvsw3", "node2/nvsw0+1", 2);
    expect(small, whole, "node2/nvsw2", "node2/nvsw[1-2]", 2);
    expect(small, whole, "net/spine2", "net/spine[0-3]", 4);
    expect(small, whole, "net/leaf1", "net/leaf1", 1);
    expect(small, whole, "node3/gpu1", "node3/gpu1", 1);
    assert_int_equal(small->n_devices, 4 * 6 + 4 + 1);
    assert_int_equal(small->n_links, 2 * (4 * (4 + 2) + 8 + 4));
    assert_int_equal(small->n_units, 2);
    assert_true(small->hash == whole->hash);
    /* A leaf's links to all spines are one: 4 spines x 2 lanes. */
    uint32_t leaf = fs_topo_find(small, "net/leaf1"), spine = fs_topo_find(small, "net/spine[0-3]");
    fs_links out = fs_topo_out(small, leaf);
    uint32_t link = fs_links_at(&out, out.count - 1);
    assert_int_equal(fs_topo_link(small, link).dst, spine);
    assert_int_equal(fs_topo_link(small, link).lanes, 8);
    assert_true(fs_topo_link(small, link).effective_Bps == 8 * 48e9);
    assert_int_equal(fs_bundle_links(small, link), 4);
    for (uint32_t i = 0; i < 4; i++) {
        char name[FS_LINK_NAME_SIZE], want[FS_LINK_NAME_SIZE];
        snprintf(want, sizeof want, "net/leaf1 -> net/spine%u", i);
        assert_string_equal(fs_link_name(whole, fs_bundle_link(small, link, i), name, sizeof name), want);
    }
    fs_topo_free(small);
    fs_topo_free(whole);
}

static void a_whole_topology_stands_for_itself(void **state)
{
    (void)state;
    fs_topo *whole = fat_tree("adaptive");
    assert_int_equal(fs_bundle_devices(whole, 5), 1);
    assert_int_equal(fs_bundle_device(whole, 5, 0), 5);
    assert_int_equal(fs_bundle_of_device(whole, 5), 5);
    assert_int_equal(fs_bundle_links(whole, 7), 1);
    assert_int_equal(fs_bundle_link(whole, 7, 0), 7);
    assert_int_equal(fs_bundle_of_link(whole, 7), 7);
    fs_topo_free(whole);
}

static void networks_that_pick_paths_stay(void **state)
{
    (void)state;
    static const char *const routings[] = {"ecmp", "static"};
    for (int i = 0; i < 2; i++) {
        fs_topo *whole = fat_tree(routings[i]), *small = bundle(whole);
        expect(small, whole, "net/spine2", "net/spine2", 1);
        expect(small, whole, "node2/nvsw2", "node2/nvsw[1-2]", 2);
        fs_topo_free(small);
        fs_topo_free(whole);
    }
}

static void faults_keep_apart_what_they_touch(void **state)
{
    (void)state;
    fs_topo *whole = fat_tree("adaptive");
    apply(whole, "net/leaf1 - net/spine2");
    fs_topo *small = bundle(whole);
    expect(small, whole, "net/spine2", "net/spine2", 1);
    expect(small, whole, "net/spine3", "net/spine0+2", 3);
    assert_int_equal(small->n_runs, 2);
    fs_topo_free(small);
    apply(whole, "node1/gpu0 -> node1/nvsw0"); /* in the second list instead of the first */
    small = bundle(whole);
    expect(small, whole, "net/spine2", "net/spine[0-3]", 4);
    expect(small, whole, "node1/nvsw0", "node1/nvsw0", 1);
    expect(small, whole, "node1/nvsw3", "node1/nvsw3", 1);
    expect(small, whole, "node1/nvsw2", "node1/nvsw[1-2]", 2);
    expect(small, whole, "node2/nvsw3", "node2/nvsw0+1", 2);
    assert_int_equal(small->n_runs, 4); /* node0; node1; node2 and 3; switches */
    assert_int_equal(small->n_units, 3);
    assert_string_equal(FS_NODE_NAME(small, 3), "node3");
    uint32_t link = fs_bundle_of_link(small, whole->link_faults.ids[0]);
    assert_true(fs_topo_link_factor(small, link, 0) == 0.5 && fs_topo_link_factor(small, link ^ 1, 0) == 1);
    fs_topo_free(small);
    fs_topo_free(whole);
}

static void equal_faults_share_a_unit(void **state)
{
    (void)state;
    fs_topo *whole = fat_tree("adaptive");
    fs_err err;
    fs_fault fault = {
        .kind = FS_FAULT_SWITCH, .name = "node[1-2]/nvsw0", .to_s = 1, .origin = "x", .status_if_bad = FS_E_USAGE};
    assert_int_equal(fs_topo_apply_faults(whole, &fault, 1, &err), FS_OK);
    fs_topo *small = bundle(whole);
    assert_int_equal(small->n_runs, 4); /* node0; node1 and 2; node3; switches */
    assert_int_equal(small->runs[1].copies, 2);
    expect(small, whole, "node2/nvsw0", "node2/nvsw0", 1);
    expect(small, whole, "node3/nvsw0", "node3/nvsw0+1", 2);
    fs_topo_free(small);
    fs_topo_free(whole);
}

/* NVSwitches of boards that are cabled to the outside: alike only where their cables are, and what they lead to. */
static void cables_tell_switches_of_boards_apart(void **state)
{
    (void)state;
    static const char place[] = "<place board='b' name='node' count='3'/><device name='out[0-3]' part='nvs'%s/>%s";
    static const struct {
        const char *network, *links;
        uint32_t outer, inner; /* how many out0 and node1/nvsw0 stand for */
    } cases[] = {
        {"", "<link from='node[0-2]/nvsw[0,3]' to='out[0-3]' type='nv' pair='all'/>", 4, 2},
        {"",
         "<link from='node[0-2]/nvsw0' to='out[0-1]' type='nv' pair='all'/>"
         "<link from='node[0-2]/nvsw3' to='out[2-3]' type='nv' pair='all'/>",
         4, 2},
        {"", "<link from='node[0-2]/nvsw0' to='out[0-3]' type='nv' pair='all'/>", 4, 1},
        {"",
         "<link from='node[0-1]/nvsw[0,3]' to='out[0-3]' type='nv' pair='all'/>"
         "<link from='node2/nvsw0' to='out[0-3]' type='nv' pair='all'/>",
         4, 1},
        {"",
         "<link from='node[0-2]/nvsw[0,3]' to='out[0-3]' type='nv' pair='all'/>"
         "<link from='out0' to='out1' type='nv'/><link from='out2' to='out3' type='nv'/>",
         1, 2},
        /* The same cables, but to what another network's switch is: only the check sees that. */
        {"",
         "<network name='x'/><device name='far' part='nvs' network='x'/>"
         "<link from='node[0-2]/nvsw0' to='out[0-3]' type='nv' pair='all'/>"
         "<link from='node[0-2]/nvsw3' to='out[0-2]' type='nv' pair='all'/>"
         "<link from='node[0-2]/nvsw3' to='far' type='nv'/>",
         3, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048];
        snprintf(text, sizeof text, place, cases[i].network, cases[i].links);
        fs_topo *whole = load(text), *small = bundle(whole);
        uint32_t outer = fs_bundle_of_device(small, fs_topo_find(whole, "out0"));
        uint32_t inner = fs_bundle_of_device(small, fs_topo_find(whole, "node1/nvsw0"));
        assert_int_equal(fs_bundle_devices(small, outer), cases[i].outer);
        assert_int_equal(fs_bundle_devices(small, inner), cases[i].inner);
        fs_topo_free(small);
        fs_topo_free(whole);
    }
}

static void shipped_systems_shrink(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t switches, bundled; /* NVSwitches and network switches */
    } cases[] = {
        {"gb200-nvl72", 18, 1},
        {"dgx-h100-x2", 2 * 4 + 8, 2 * 2 + 8},
        {"dgx1-v100", 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[256];
        fs_topo *whole = NULL;
        fs_err err;
        snprintf(path, sizeof path, "topologies/%s.xml", cases[i].name);
        assert_int_equal(fs_topo_load(path, NULL, 0, &whole, &err), FS_OK);
        fs_topo *small = bundle(whole);
        const fs_topo *topos[] = {whole, small};
        uint32_t count[2] = {0};
        for (int k = 0; k < 2; k++)
            for (uint32_t d = 0; d < topos[k]->n_devices; d++) {
                fs_device_kind kind = fs_topo_device(topos[k], d).kind;
                count[k] += kind == FS_DEVICE_NVSWITCH || kind == FS_DEVICE_NET_SWITCH;
            }
        assert_int_equal(count[0], cases[i].switches);
        assert_int_equal(count[1], cases[i].bundled);
        fs_topo_free(small);
        fs_topo_free(whole);
    }
}

static void failing_allocations_are_clean(void **state)
{
    (void)state;
    fs_topo *whole = fat_tree("adaptive");
    apply(whole, "node1/gpu0 -> node1/nvsw0");
    fs_status status = FS_E_NOMEM;
    for (uint64_t n = 1; status != FS_OK; n++) {
        fs_topo *small = NULL;
        fs_err err;
        uint64_t live = fs_mem_live();
        fs_mem_fail_after(n);
        status = fs_topo_bundle(whole, &small, &err);
        fs_mem_fail_after(0);
        assert_true(status == FS_OK || (status == FS_E_NOMEM && small == NULL));
        fs_topo_free(small);
        assert_int_equal(fs_mem_live(), live);
    }
    fs_topo_free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twins_become_one),
        cmocka_unit_test(a_whole_topology_stands_for_itself),
        cmocka_unit_test(networks_that_pick_paths_stay),
        cmocka_unit_test(faults_keep_apart_what_they_touch),
        cmocka_unit_test(equal_faults_share_a_unit),
        cmocka_unit_test(cables_tell_switches_of_boards_apart),
        cmocka_unit_test(shipped_systems_shrink),
        cmocka_unit_test(failing_allocations_are_clean),
    };
    return cmocka_run_group_tests_name("bundle", tests, NULL, NULL);
}
