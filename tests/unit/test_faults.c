/* test_faults.c - what a list of faults leaves of links and GPUs, and every way to name them wrongly. */
#include "base/mem.h"
#include "topo/faults.h"
#include "topo/spec.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* node0/gpu0.. node0/nvsw0 node0/nic0.., leaf0 leaf1 spine0. */
#define NODES "nodes:2 gpus:2 nvlink:100GB/s nic:50GB/s spine"

static fs_topo *open_topo(const char *line)
{
    fs_topo *topo = NULL;
    fs_err err = {0};
    if (fs_spec_oneline(line, &topo, &err) != FS_OK)
        fail_msg("%s", err.text);
    return topo;
}

static fs_fault fault(fs_fault_kind kind, const char *name, double speed)
{
    return (fs_fault){.kind = kind,
                      .name = name,
                      .speed = speed,
                      .to_s = INFINITY,
                      .origin = "scenario.json",
                      .line = 3,
                      .column = 7,
                      .status_if_bad = FS_E_TRACE};
}

static fs_fault during(fs_fault f, double from_s, double to_s)
{
    f.from_s = from_s;
    f.to_s = to_s;
    return f;
}

static void apply(fs_topo *topo, const fs_fault *faults, uint32_t n)
{
    fs_err err = {0};
    if (fs_topo_apply_faults(topo, faults, n, &err) != FS_OK)
        fail_msg("%s", err.text);
}

static double link_factor(const fs_topo *topo, const char *from, const char *to, uint32_t epoch)
{
    uint32_t src = fs_topo_find(topo, from), dst = fs_topo_find(topo, to);
    for (uint32_t i = 0; i < fs_topo_out_count(topo, src); i++) {
        uint32_t link = fs_topo_out_link(topo, src, i);
        if (fs_topo_link(topo, link).dst == dst)
            return fs_topo_link_factor(topo, link, epoch);
    }
    fail_msg("no link from %s to %s", from, to);
    return -1;
}

/* Exact: factors are the numbers given, never computed with. */
static void expect(double found, double expected)
{
    if (!(found <= expected && found >= expected))
        fail_msg("found %.17g, expected %.17g", found, expected);
}

/* Links in the epoch that are not whole. */
static uint32_t broken(const fs_topo *topo, uint32_t epoch)
{
    uint32_t n = 0;
    for (uint32_t l = 0; l < topo->n_links; l++)
        n += fs_topo_link_factor(topo, l, epoch) < 1;
    return n;
}

static void a_healthy_machine_is_whole(void **state)
{
    (void)state;
    fs_topo *topo = open_topo(NODES);
    apply(topo, NULL, 0);
    assert_int_equal(topo->n_epochs, 1);
    expect(topo->epoch_start_s[0], 0);
    assert_int_equal(broken(topo, 0), 0);
    for (uint32_t g = 0; g < topo->n_gpus; g++)
        expect(fs_topo_gpu_factor(topo, g, 0), 1);
    fs_topo_free(topo);
}

static void a_link_fails_in_both_directions(void **state)
{
    (void)state;
    static const char *const names[] = {"leaf0-spine0", "leaf0 - spine0", "spine0-leaf0"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fs_topo *topo = open_topo(NODES);
        fs_fault f = fault(FS_FAULT_LINK, names[i], 0.25);
        apply(topo, &f, 1);
        expect(link_factor(topo, "leaf0", "spine0", 0), 0.25);
        expect(link_factor(topo, "spine0", "leaf0", 0), 0.25);
        assert_int_equal(broken(topo, 0), 2);
        fs_topo_free(topo);
    }
}

static void an_arrow_means_one_direction(void **state)
{
    (void)state;
    static const char *const names[] = {"spine0->leaf1", "spine0>leaf1", "spine0 -> leaf1", "spine0 > leaf1"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fs_topo *topo = open_topo(NODES);
        fs_fault f = fault(FS_FAULT_LINK, names[i], 0);
        apply(topo, &f, 1);
        expect(link_factor(topo, "spine0", "leaf1", 0), 0);
        expect(link_factor(topo, "leaf1", "spine0", 0), 1);
        assert_int_equal(broken(topo, 0), 1);
        fs_topo_free(topo);
    }
}

static void two_names_are_both_directions(void **state)
{
    (void)state;
    fs_topo *topo = open_topo(NODES);
    fs_fault f = fault(FS_FAULT_LINK, "node1/nic[0-1]", 0.5);
    f.other = "leaf[0-1]";
    apply(topo, &f, 1);
    expect(link_factor(topo, "node1/nic0", "leaf0", 0), 0.5);
    expect(link_factor(topo, "leaf1", "node1/nic1", 0), 0.5);
    assert_int_equal(broken(topo, 0), 4);
    fs_topo_free(topo);
}

static void patterns_may_hold_dashes(void **state)
{
    (void)state;
    fs_topo *topo = open_topo(NODES);
    fs_fault f = fault(FS_FAULT_LINK, "leaf[0-1]-spine0", 0);
    apply(topo, &f, 1);
    assert_int_equal(broken(topo, 0), 4);
    fs_topo_free(topo);
}

static void a_switch_takes_its_links_along(void **state)
{
    (void)state;
    fs_topo *topo = open_topo(NODES);
    fs_fault f = fault(FS_FAULT_SWITCH, "leaf0", 0);
    apply(topo, &f, 1);
    expect(link_factor(topo, "leaf0", "spine0", 0), 0);
    expect(link_factor(topo, "spine0", "leaf0", 0), 0);
    expect(link_factor(topo, "node0/nic0", "leaf0", 0), 0);
    expect(link_factor(topo, "leaf0", "node1/nic0", 0), 0);
    assert_int_equal(broken(topo, 0), 6);
    fs_topo_free(topo);
}

static void so_does_a_nic(void **state)
{
    (void)state;
    fs_topo *topo = open_topo(NODES);
    fs_fault f = fault(FS_FAULT_NIC, "node[0-1]/nic1", 0.5);
    apply(topo, &f, 1);
    expect(link_factor(topo, "node1/nic1", "leaf1", 0), 0.5);
    expect(link_factor(topo, "node0/gpu1", "node0/nic1", 0), 0.5);
    assert_int_equal(broken(topo, 0), 8);
    fs_topo_free(topo);
}

static void gpus_go_by_name_and_number(void **state)
{
    (void)state;
    fs_topo *topo = open_topo(NODES);
    const fs_fault faults[] = {fault(FS_FAULT_GPU, "node0/gpu1", 0.5), fault(FS_FAULT_GPU, "[2-3]", 0.75)};
    apply(topo, faults, 2);
    expect(fs_topo_gpu_factor(topo, 0, 0), 1);
    expect(fs_topo_gpu_factor(topo, 1, 0), 0.5);
    expect(fs_topo_gpu_factor(topo, 2, 0), 0.75);
    expect(fs_topo_gpu_factor(topo, 3, 0), 0.75);
    assert_int_equal(broken(topo, 0), 0);
    fs_topo_free(topo);
}

static void times_cut_the_run_into_epochs(void **state)
{
    (void)state;
    fs_topo *topo = open_topo(NODES);
    const fs_fault faults[] = {during(fault(FS_FAULT_LINK, "leaf0-spine0", 0), 2, 3),
                               during(fault(FS_FAULT_GPU, "0", 0), 1, 2), fault(FS_FAULT_SWITCH, "leaf1", 0.5),
                               during(fault(FS_FAULT_LINK, "leaf0-spine0", 0.5), 1, INFINITY)};
    static const double starts[] = {0, 1, 2, 3}, link[] = {1, 0.5, 0, 0.5}, gpu[] = {1, 0, 1, 1};
    apply(topo, faults, 4);
    assert_int_equal(topo->n_epochs, 4);
    for (uint32_t e = 0; e < 4; e++) {
        expect(topo->epoch_start_s[e], starts[e]);
        expect(link_factor(topo, "spine0", "leaf0", e), link[e]);
        expect(link_factor(topo, "spine0", "leaf1", e), 0.5);
        expect(fs_topo_gpu_factor(topo, 0, e), gpu[e]);
    }
    assert_int_equal(topo->n_faults, 4);
    assert_string_equal(topo->faults[1].name, "0");
    fs_topo_free(topo);
}

static void full_speed_is_no_fault(void **state)
{
    (void)state;
    fs_topo *topo = open_topo(NODES);
    fs_fault f = during(fault(FS_FAULT_SWITCH, "spine0", 1), 1, 2);
    apply(topo, &f, 1);
    assert_int_equal(topo->n_epochs, 1);
    assert_int_equal(topo->link_faults.count, 0);
    fs_topo_free(topo);
}

/* Names with a '-' of their own. */
static fs_topo *open_dashed(void)
{
    static const char xml[] = "<fabsim version='topology/1' name='dashed'><parts>"
                              "<gpu name='g' arch='none' memory='1GB' memory-bandwidth='1GB/s' gemm-efficiency='1' "
                              "memory-efficiency='1' launch='1us' power='1W' source='x'>"
                              "<peak dtype='fp16' flops='1TFLOP/s'/></gpu>"
                              "<link-type name='l' class='nvlink' tier='t' bandwidth='1GB/s' effective='1GB/s' "
                              "latency='1us' source='x'/></parts><board name='b'>"
                              "<device name='a' part='g'/><device name='a-b' part='g'/><device name='b-c' part='g'/>"
                              "<device name='c' part='g'/><device name='x-y' part='g'/>"
                              "<link from='a' to='b-c' type='l'/><link from='a-b' to='c' type='l'/>"
                              "<link from='x-y' to='a-b' type='l'/></board></fabsim>";
    fs_topo *topo = NULL;
    fs_err err = {0};
    if (fs_topo_parse("dashed.xml", xml, sizeof xml - 1, NULL, 0, &topo, &err) != FS_OK)
        fail_msg("%u: %s", err.line, err.text);
    return topo;
}

static void names_may_hold_dashes(void **state)
{
    (void)state;
    fs_topo *topo = open_dashed();
    fs_fault f = fault(FS_FAULT_LINK, "x-y-a-b", 0); /* one reading */
    apply(topo, &f, 1);
    expect(link_factor(topo, "x-y", "a-b", 0), 0);
    assert_int_equal(broken(topo, 0), 2);
    f.name = "a - b-c";
    apply(topo, &f, 1);
    expect(link_factor(topo, "b-c", "a", 0), 0);
    assert_int_equal(broken(topo, 0), 2);
    fs_topo_free(topo);
}

static void expect_error_in(fs_topo *topo, const fs_fault *faults, uint32_t n, const char *text)
{
    fs_err err = {0};
    assert_int_equal(fs_topo_apply_faults(topo, faults, n, &err), FS_E_TRACE);
    assert_string_equal(err.text, text);
    assert_string_equal(err.file, "scenario.json");
    assert_int_equal(err.line, 3);
    assert_int_equal(err.column, 7);
    assert_int_equal(topo->n_epochs, 1);
    assert_int_equal(topo->link_faults.count + topo->gpu_faults.count + topo->n_faults, 0);
}

static void expect_error(fs_fault f, const char *text)
{
    fs_topo *topo = open_topo(NODES);
    expect_error_in(topo, &f, 1, text);
    fs_topo_free(topo);
}

static void errors_say_what_was_expected(void **state)
{
    (void)state;
    expect_error(fault(FS_FAULT_LINK, "leaf0-spin0", 0), "no device 'spin0' (did you mean 'spine0'?)");
    expect_error(fault(FS_FAULT_LINK, "leaf0->leaf1", 0), "no link between 'leaf0' and 'leaf1'");
    expect_error(fault(FS_FAULT_LINK, "leaf0", 0), "'leaf0' is no link, expected A-B, A - B or A->B of two devices");
    expect_error(fault(FS_FAULT_LINK, "le-af-0", 0),
                 "'le-af-0' is no link, expected A-B, A - B or A->B of two devices");
    expect_error(fault(FS_FAULT_LINK, "leaf0->", 0), "empty name");
    expect_error(fault(FS_FAULT_SWITCH, "leaf[0-", 0),
                 "name pattern 'leaf[0-': expected a number without leading zeros, below 4294967295, in the bracket");
    expect_error(fault(FS_FAULT_SWITCH, "Leaf0", 0), "no switch 'Leaf0' (did you mean 'leaf0'?)");
    expect_error(fault(FS_FAULT_SWITCH, "core", 0), "no switch 'core' in this topology");
    expect_error(fault(FS_FAULT_SWITCH, "node0/nic0", 0), "'node0/nic0' is a nic, expected a switch");
    expect_error(fault(FS_FAULT_NIC, "leaf0", 0), "'leaf0' is a net-switch, expected a nic");
    expect_error(fault(FS_FAULT_GPU, "4", 0.5), "no gpu '4' in this topology");
    expect_error(fault(FS_FAULT_GPU, "node0/gpu7", 0.5), "no gpu 'node0/gpu7' (did you mean 'node0/gpu0'?)");
    expect_error(fault(FS_FAULT_GPU, "leaf0", 0.5), "'leaf0' is a net-switch, expected a gpu");
    expect_error(fault(FS_FAULT_GPU, "0", 1.5), "a speed is from 0 (down) to 1 (whole)");
    expect_error(fault(FS_FAULT_GPU, "0", (double)NAN), "a speed is from 0 (down) to 1 (whole)");
    expect_error(fault(FS_FAULT_GPU, "0", 0), "a GPU that is down for good never ends its work: expected a speed above "
                                              "0, or a time at which it comes back");
    expect_error(during(fault(FS_FAULT_GPU, "0", 0.5), 2, 2), "a fault begins at 0 s or later, and ends after that");
    expect_error(during(fault(FS_FAULT_GPU, "0", 0.5), -1, 2), "a fault begins at 0 s or later, and ends after that");
    char longest[1100];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    expect_error(fault(FS_FAULT_LINK, longest, 0), "longer than 1023 bytes");

    fs_topo *topo = open_dashed();
    fs_fault f = fault(FS_FAULT_LINK, "a-b-c", 0);
    expect_error_in(topo, &f, 1, "'a-b-c' can be read in 2 ways, write it with blanks around the sign: A - B");
    fs_topo_free(topo);
}

static void limits(void **state)
{
    (void)state;
    enum { MANY = FS_FAULTS_MAX + 1 };
    static fs_fault faults[MANY];
    fs_topo *topo = open_topo(NODES);
    for (uint32_t i = 0; i < MANY; i++)
        faults[i] = during(fault(FS_FAULT_GPU, "0", 0.5), i, i + 1);
    expect_error_in(topo, faults, MANY, "more than 4096 faults");
    expect_error_in(topo, faults, FS_EPOCHS_MAX, "the times of all faults cut the run into 65 epochs, more than 64");
    apply(topo, faults, FS_EPOCHS_MAX - 1);
    assert_int_equal(topo->n_epochs, FS_EPOCHS_MAX);
    fs_topo_free(topo);
}

static void text_is_what_the_command_line_takes(void **state)
{
    (void)state;
    char text[200];
    fs_fault f = during(fault(FS_FAULT_LINK, "leaf0-spine0", 0.5), 0.25, 2);
    assert_string_equal(fs_fault_text(&f, text, sizeof text), "link:leaf0-spine0=0.5@0.25s..2s");
    f = during(fault(FS_FAULT_SWITCH, "leaf0", 0), 1, INFINITY);
    assert_string_equal(fs_fault_text(&f, text, sizeof text), "switch:leaf0=down@1s..");
    f = fault(FS_FAULT_LINK, "a", 0);
    f.other = "b";
    assert_string_equal(fs_fault_text(&f, text, sizeof text), "link:a - b=down");
}

/* Every allocation fails once; nothing changes and nothing leaks. */
static void memory_runs_out(void **state)
{
    (void)state;
    const fs_fault faults[] = {fault(FS_FAULT_LINK, "leaf[0-1]-spine0", 0.5),
                               during(fault(FS_FAULT_GPU, "node0/gpu1", 0.5), 1, 2)};
    for (uint64_t n = 1;; n++) {
        fs_topo *topo = open_topo(NODES);
        uint64_t live = fs_mem_live();
        fs_err err = {0};
        fs_mem_fail_after(n);
        fs_status status = fs_topo_apply_faults(topo, faults, 2, &err);
        fs_mem_fail_after(0);
        if (status == FS_OK) {
            assert_int_equal(topo->n_epochs, 3);
            fs_topo_free(topo);
            assert_true(n > 8);
            return;
        }
        assert_int_equal(status, FS_E_NOMEM);
        assert_int_equal(topo->n_epochs, 1);
        assert_int_equal(topo->link_faults.count, 0);
        assert_true(fs_mem_live() <= live + 1); /* the topology's arena may have grown */
        fs_topo_free(topo);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_machine_is_whole),
        cmocka_unit_test(a_link_fails_in_both_directions),
        cmocka_unit_test(an_arrow_means_one_direction),
        cmocka_unit_test(two_names_are_both_directions),
        cmocka_unit_test(patterns_may_hold_dashes),
        cmocka_unit_test(a_switch_takes_its_links_along),
        cmocka_unit_test(so_does_a_nic),
        cmocka_unit_test(gpus_go_by_name_and_number),
        cmocka_unit_test(times_cut_the_run_into_epochs),
        cmocka_unit_test(full_speed_is_no_fault),
        cmocka_unit_test(names_may_hold_dashes),
        cmocka_unit_test(errors_say_what_was_expected),
        cmocka_unit_test(limits),
        cmocka_unit_test(text_is_what_the_command_line_takes),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
