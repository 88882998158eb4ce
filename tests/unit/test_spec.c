/* test_spec.c - names, patterns, specs, freezing, one-line topologies. */
#include "topo/spec_in.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const fs_place at = {"spec.xml", 7, 3};

static const fs_part gpu = {
    .name = "g",
    .kind = FS_DEVICE_GPU,
    .arch = FS_VOLTA,
    .peak_flops = {[FS_FP16] = 1e14},
    .mem_bytes = 1e9,
    .mem_Bps = 1e12,
    .gemm_efficiency = 0.5,
    .mem_efficiency = 0.5,
    .launch_s = 1e-6,
    .power_W = 300,
};
static const fs_part nic = {.name = "n", .kind = FS_DEVICE_NIC, .latency_s = 1e-6};
static const fs_link_type wire = {
    .name = "w", .class_ = FS_CLASS_PCIE, .bandwidth_Bps = 10e9, .effective_Bps = 8e9, .latency_s = 1e-6};

static void expect_error(fs_status status, const fs_err *err, const char *text)
{
    assert_int_equal(status, FS_E_TOPOLOGY);
    assert_int_equal(err->status, status);
    assert_string_equal(err->text, text);
}

static void expect_at(fs_status status, const fs_err *err, const char *text)
{
    expect_error(status, err, text);
    assert_string_equal(err->file, "spec.xml");
    assert_int_equal(err->line, 7);
    assert_int_equal(err->column, 3);
}

/* ---- names and patterns ------------------------------------------------------------------------------------------ */

static void names_have_dense_ids(void **state)
{
    (void)state;
    fs_names set = {0};
    static char text[1000][8];
    assert_int_equal(fs_names_find(&set, "a"), FS_NONE);
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(text[i], sizeof text[i], "n%u", i);
        assert_true(fs_names_add(&set, text[i]));
    }
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(fs_names_find(&set, text[i]), i);
    assert_int_equal(fs_names_find(&set, "n1000"), FS_NONE);
    fs_names_free(&set);
}

static void expect_names(const char *pattern, const char *joined)
{
    fs_name_list list;
    fs_err err;
    char text[256] = "";
    assert_int_equal(fs_name_list_expand(pattern, &list, &err), FS_OK);
    for (uint32_t i = 0; i < list.count; i++) {
        strcat(text, i ? " " : "");
        strcat(text, list.names[i]);
    }
    assert_string_equal(text, joined);
    fs_name_list_free(&list);
}

static void patterns_expand(void **state)
{
    (void)state;
    expect_names("gpu", "gpu");
    expect_names("gpu[0-3]", "gpu0 gpu1 gpu2 gpu3");
    expect_names("a[0,2,4-5]z", "a0z a2z a4z a5z");
    expect_names("node[0-1]/gpu[7,3]", "node0/gpu7 node0/gpu3 node1/gpu7 node1/gpu3");
    expect_names("[9-11]", "9 10 11");
    expect_names("a[4294967294]", "a4294967294");
    fs_name_list list;
    fs_err err;
    assert_int_equal(fs_name_list_expand("x[0-1048575]", &list, &err), FS_OK);
    assert_int_equal(list.count, 1 << 20);
    fs_name_list_free(&list);
}

static void bad_patterns_are_errors(void **state)
{
    (void)state;
    static const char number[] = "expected a number without leading zeros, below 4294967295, in the bracket";
    static const char many[] = "stands for more than 1048576 names";
    static const struct {
        const char *pattern, *what;
    } cases[] = {
        {"gpu[0-4000000000]", many},
        {"gpu[0-4294967295]", number},
        {"gpu[0-99999999999999999999]", number},
        {"a[0-1023]b[0-1024]", many},
        {"a[0-600000,0-600000]", many},
        {"gpu[0-", number},
        {"gpu[", number},
        {"gpu[]", number},
        {"gpu[a]", number},
        {"gpu[-1]", number},
        {"gpu[00-10]", number},
        {"gpu[1-02]", number},
        {"gpu[0,]", number},
        {"gpu[0", "a bracket is not closed"},
        {"gpu[0 ]", "expected ',' or '-' or ']' after a number"},
        {"gpu[0-1-2]", "expected ',' or '-' or ']' after a number"},
        {"gpu[3-1]", "a range must rise"},
        {"gpu0]", "']' without '['"},
        {"[1][1][1][1][1][1][1][1][1]", "more than 8 brackets"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fs_name_list list;
        fs_err err;
        char text[256];
        snprintf(text, sizeof text, "name pattern '%s': %s", cases[i].pattern, cases[i].what);
        expect_error(fs_name_list_expand(cases[i].pattern, &list, &err), &err, text);
    }
}

static void long_patterns_are_errors(void **state)
{
    (void)state;
    fs_name_list list;
    fs_err err;
    char text[1100];
    expect_error(fs_name_list_expand("", &list, &err), &err, "empty name");
    memset(text, 'a', sizeof text);
    text[1025] = '\0';
    expect_error(fs_name_list_expand(text, &list, &err), &err, "name pattern is longer than 1024 bytes");
    text[256] = '\0';
    expect_error(fs_name_list_expand(text, &list, &err), &err,
                 "name pattern 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...': a name is longer than 255 bytes");
    char *p = text;
    *p++ = '[';
    for (int i = 0; i < 64; i++)
        p += sprintf(p, "%d,", i);
    strcpy(p, "64]");
    assert_int_equal(fs_name_list_expand(text, &list, &err), FS_E_TOPOLOGY);
    assert_non_null(strstr(err.text, ": more than 64 ranges in one bracket"));
}

/* ---- a spec ------------------------------------------------------------------------------------------------------ */

static fs_spec *new_spec(void)
{
    fs_err err;
    fs_spec *spec = fs_spec_new("test", "spec.xml");
    assert_non_null(spec);
    assert_int_equal(fs_spec_part(spec, &gpu, at, &err), FS_OK);
    assert_int_equal(fs_spec_part(spec, &nic, at, &err), FS_OK);
    assert_int_equal(fs_spec_link_type(spec, &wire, "pcie", at, &err), FS_OK);
    return spec;
}

static void bad_figures_are_errors(void **state)
{
    (void)state;
    const struct {
        size_t field;
        double value;
        const char *text, *blame;
    } cases[] = {
        {offsetof(fs_part, mem_bytes), 0, "memory must be from 1 to 1e18 B, found 0", "memory"},
        {offsetof(fs_part, mem_Bps), -1, "memory-bandwidth must be from 1 to 1e18 B/s, found -1", "memory-bandwidth"},
        {offsetof(fs_part, gemm_efficiency), 1.5, "gemm-efficiency must be from 1e-6 to 1, found 1.5",
         "gemm-efficiency"},
        {offsetof(fs_part, mem_efficiency), 0, "memory-efficiency must be from 1e-6 to 1, found 0",
         "memory-efficiency"},
        {offsetof(fs_part, launch_s), -1, "launch must be from 0 to 1e6 s, found -1", "launch"},
        {offsetof(fs_part, power_W), -5, "power must be from 0 to 1e9 W, found -5", "power"},
        {offsetof(fs_part, latency_s), -1, "latency must be from 0 to 1e6 s, found -1", "latency"},
        {offsetof(fs_part, latency_s), 1, "GPU part 'x' has a latency: GPUs are endpoints", "latency"},
        {offsetof(fs_part, peak_flops[FS_FP16]), 0, "GPU part 'x' has no peak for any dtype", NULL},
        {offsetof(fs_part, peak_flops[FS_FP16]), 1e30, "fp16 must be from 1 to 1e24 FLOP/s, found 1e+30", "fp16"},
    };
    fs_spec *spec = new_spec();
    fs_err err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fs_part part = gpu;
        part.name = "x";
        memcpy((char *)&part + cases[i].field, &cases[i].value, sizeof(double));
        expect_at(fs_spec_part(spec, &part, at, &err), &err, cases[i].text);
        if (cases[i].blame)
            assert_string_equal(spec->blame, cases[i].blame);
        else
            assert_null(spec->blame);
    }
    fs_part part = gpu;
    part.name = "x";
    part.mem_bytes = NAN;
    assert_int_equal(fs_spec_part(spec, &part, at, &err), FS_E_TOPOLOGY);
    fs_spec_free(spec);
}

static void bad_parts_are_errors(void **state)
{
    (void)state;
    fs_spec *spec = new_spec();
    fs_err err;
    fs_part part = gpu;
    part.name = "x";
    part.arch = FS_ARCHS;
    expect_at(fs_spec_part(spec, &part, at, &err), &err, "GPU part 'x' has an unknown architecture");
    part.kind = FS_DEVICE_KINDS;
    expect_at(fs_spec_part(spec, &part, at, &err), &err, "part 'x' is of an unknown kind");
    part.kind = FS_DEVICE_NIC;
    expect_at(fs_spec_part(spec, &part, at, &err), &err, "part 'x' has figures that only a GPU has");
    part = nic;
    part.name = "x";
    part.multicast = true;
    expect_at(fs_spec_part(spec, &part, at, &err), &err, "part 'x': only switches multicast");
    expect_at(fs_spec_part(spec, &nic, at, &err), &err, "part 'n' is defined twice");
    part.name = "a b";
    expect_at(fs_spec_part(spec, &part, at, &err), &err,
              "part name 'a b': expected 1 to 255 letters, digits, '_', '-', '.'");
    fs_spec_free(spec);
}

static void bad_link_types_are_errors(void **state)
{
    (void)state;
    fs_spec *spec = new_spec();
    fs_err err;
    fs_link_type t = wire;
    expect_at(fs_spec_link_type(spec, &t, "pcie", at, &err), &err, "link type 'w' is defined twice");
    t.name = "x";
    t.class_ = FS_LINK_CLASSES;
    expect_at(fs_spec_link_type(spec, &t, "pcie", at, &err), &err, "link type 'x' is of an unknown class");
    t.class_ = FS_CLASS_NET;
    t.effective_Bps = 11e9;
    expect_at(fs_spec_link_type(spec, &t, "pcie", at, &err), &err, "effective bandwidth exceeds bandwidth");
    t.effective_Bps = 0;
    expect_at(fs_spec_link_type(spec, &t, "pcie", at, &err), &err, "effective must be from 1 to 1e18 B/s, found 0");
    t.bandwidth_Bps = 1e308;
    expect_at(fs_spec_link_type(spec, &t, "pcie", at, &err), &err,
              "bandwidth must be from 1 to 1e18 B/s, found 1e+308");
    t = wire;
    t.name = "x";
    t.latency_s = -1;
    expect_at(fs_spec_link_type(spec, &t, "pcie", at, &err), &err, "latency must be from 0 to 1e6 s, found -1");
    t.latency_s = 0;
    expect_at(fs_spec_link_type(spec, &t, "", at, &err), &err,
              "tier name '': expected 1 to 255 letters, digits, '_', '-', '.'");
    fs_spec_free(spec);
}

static void bad_devices_and_links_are_errors(void **state)
{
    (void)state;
    fs_spec *spec = new_spec();
    fs_err err;
    uint32_t node;
    assert_int_equal(fs_spec_node(spec, "board", &node, at, &err), FS_OK);
    expect_at(fs_spec_node(spec, "board", &node, at, &err), &err, "node 'board' is defined twice");
    assert_int_equal(fs_spec_device(spec, "gpu0", "g", node, at, &err), FS_OK);
    expect_at(fs_spec_device(spec, "gpu0", "g", node, at, &err), &err, "device 'gpu0' is defined twice");
    expect_at(fs_spec_device(spec, "gp?", "g", node, at, &err), &err,
              "device name 'gp?': expected 1 to 255 letters, digits, '_', '-', '.', '/'");
    expect_at(fs_spec_device(spec, "gpu1", "toaster", node, at, &err), &err, "unknown part 'toaster'");
    expect_at(fs_spec_device(spec, "gpu1", "g", 9, at, &err), &err, "device 'gpu1' is on a node that does not exist");
    assert_int_equal(fs_spec_device(spec, "gpu1", "g", FS_NONE, at, &err), FS_OK);
    expect_at(fs_spec_link(spec, "gpu0", "gpu1", "cable", 1, at, &err), &err, "unknown link type 'cable'");
    expect_at(fs_spec_link(spec, "gpu0", "gpu1", "w", 0, at, &err), &err, "lanes must be from 1 to 4096, found 0");
    expect_at(fs_spec_link(spec, "gpu0", "gpu1", "w", 4097, at, &err), &err,
              "lanes must be from 1 to 4096, found 4097");
    expect_at(fs_spec_link(spec, "gpx0", "gpu1", "w", 1, at, &err), &err,
              "unknown device 'gpx0' (did you mean 'gpu0'?)");
    assert_string_equal(spec->blame, "from");
    expect_at(fs_spec_link(spec, "gpu0", "gpy1", "w", 1, at, &err), &err,
              "unknown device 'gpy1' (did you mean 'gpu1'?)");
    assert_string_equal(spec->blame, "to");
    expect_at(fs_spec_link(spec, "gpu0", "gpu0", "w", 1, at, &err), &err, "device 'gpu0' is linked to itself");
    assert_int_equal(fs_spec_link(spec, "gpu0", "gpu1", "w", 4096, at, &err), FS_OK);
    fs_spec_free(spec);
}

static void freezing_checks_the_whole(void **state)
{
    (void)state;
    fs_err err;
    fs_topo *topo = NULL;
    fs_spec *spec = new_spec();
    expect_error(fs_spec_freeze(spec, &topo, &err), &err, "topology 'test' has no GPU");
    assert_string_equal(err.file, "spec.xml");
    assert_int_equal(fs_spec_device(spec, "gpu0", "g", FS_NONE, at, &err), FS_OK);
    assert_int_equal(fs_spec_freeze(spec, &topo, &err), FS_OK); /* a single GPU may stand alone */
    fs_topo_free(topo);
    topo = NULL;
    assert_int_equal(fs_spec_device(spec, "gpu1", "g", FS_NONE, at, &err), FS_OK);
    expect_at(fs_spec_freeze(spec, &topo, &err), &err, "GPU 'gpu0' is connected to nothing");
    assert_null(topo);
    fs_spec_free(spec);
    spec = fs_spec_new(" x", NULL);
    expect_error(fs_spec_freeze(spec, &topo, &err), &err,
                 "the name of a topology is 1 to 255 printable ASCII characters without blanks at its ends");
    fs_spec_free(spec);
}

static void freezing_lays_out_arrays(void **state)
{
    (void)state;
    fs_err err;
    fs_spec *spec = new_spec();
    fs_part spare = nic;
    spare.name = "spare";
    uint32_t a, b;
    assert_int_equal(fs_spec_part(spec, &spare, at, &err), FS_OK);
    assert_int_equal(fs_spec_node(spec, "a", &a, at, &err), FS_OK);
    assert_int_equal(fs_spec_node(spec, "b", &b, at, &err), FS_OK);
    const struct {
        const char *name, *part;
        uint32_t node;
    } devices[] = {{"n0", "n", b}, {"g0", "g", a}, {"n1", "n", a},
                   {"g1", "g", b}, {"n2", "n", b}, {"n3", "n", FS_NONE}};
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(fs_spec_device(spec, devices[i].name, devices[i].part, devices[i].node, at, &err), FS_OK);
    assert_int_equal(fs_spec_link(spec, "g0", "n1", "w", 2, at, &err), FS_OK);
    assert_int_equal(fs_spec_link(spec, "n1", "g1", "w", 1, at, &err), FS_OK);
    fs_topo *topo;
    assert_int_equal(fs_spec_freeze(spec, &topo, &err), FS_OK);
    fs_spec_free(spec); /* the topology owns copies */

    assert_int_equal(topo->n_parts, 2); /* the spare is dropped */
    assert_int_equal(topo->n_gpus, 2);
    assert_int_equal(topo->gpus[0], 1);
    assert_int_equal(topo->gpus[1], 3);
    const uint32_t rails[] = {0, FS_NONE, 0, FS_NONE, 1, FS_NONE}, index[] = {0, 0, 1, 1, 2, 3};
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(fs_topo_device(topo, i).rail, rails[i]);
        assert_int_equal(fs_topo_device(topo, i).index, index[i]);
        assert_int_equal(fs_topo_find(topo, devices[i].name), i);
    }
    assert_int_equal(fs_topo_find(topo, "g2"), FS_NONE);
    assert_int_equal(topo->n_links, 4);
    assert_int_equal(fs_topo_link(topo, 1).src, 2);
    assert_int_equal(fs_topo_link(topo, 1).dst, 1);
    assert_true(fs_topo_link(topo, 0).bandwidth_Bps == 20e9 && fs_topo_link(topo, 0).effective_Bps == 16e9);
    assert_true(fs_topo_link(topo, 0).latency_s == 1e-6);
    assert_true(fs_topo_link(topo, 1).latency_s == 2e-6); /* of the link and of the NIC that it leaves */
    const uint32_t begin[] = {0, 0, 1, 3, 4, 4, 4}, out[] = {0, 1, 2, 3};
    for (uint32_t d = 0; d < 6; d++) {
        assert_int_equal(fs_topo_out_count(topo, d), begin[d + 1] - begin[d]);
        for (uint32_t i = begin[d]; i < begin[d + 1]; i++)
            assert_int_equal(fs_topo_out_link(topo, d, i - begin[d]), out[i]);
    }
    char name[64];
    assert_string_equal(fs_link_name(topo, 3, name, sizeof name), "g1 -> n1");
    fs_topo_free(topo);
}

/* ---- boards ------------------------------------------------------------------------------------------------------ */

/* Two GPUs, a NIC and a link between each GPU and the NIC. */
static uint32_t small_board(fs_spec *spec)
{
    fs_err err;
    assert_int_equal(fs_spec_unit_begin(spec, true, &err), FS_OK);
    assert_int_equal(fs_spec_device(spec, "g0", "g", 0, at, &err), FS_OK);
    assert_int_equal(fs_spec_device(spec, "g1", "g", 0, at, &err), FS_OK);
    assert_int_equal(fs_spec_device(spec, "n0", "n", 0, at, &err), FS_OK);
    assert_int_equal(fs_spec_link(spec, "g1", "n0", "w", 1, at, &err), FS_OK);
    assert_int_equal(fs_spec_link(spec, "g0", "n0", "w", 2, at, &err), FS_OK);
    return fs_spec_unit_end(spec);
}

static void copies_are_arithmetic(void **state)
{
    (void)state;
    fs_err err;
    fs_topo *topo;
    uint32_t node, more, first, stride, run, copies;
    fs_spec *spec = new_spec();
    uint32_t board = small_board(spec);
    assert_int_equal(fs_spec_node(spec, "first", &node, at, &err), FS_OK);
    assert_int_equal(fs_spec_device(spec, "lone", "g", node, at, &err), FS_OK);
    assert_int_equal(fs_spec_place(spec, board, "node", true, 12, at, &err), FS_OK);
    assert_int_equal(fs_spec_place(spec, board, "single", false, 1, at, &err), FS_OK);
    assert_int_equal(fs_spec_node(spec, "last", &more, at, &err), FS_OK);
    assert_int_equal(more, 14);
    assert_int_equal(fs_spec_device(spec, "extra", "n", 6, at, &err), FS_OK); /* on node5 */
    assert_int_equal(fs_spec_find_place(spec, "node", &run, &copies, at, &err), FS_OK);
    assert_int_equal(copies, 12);
    assert_int_equal(fs_spec_run_device(spec, run, "n0", &first, &stride, at, &err), FS_OK);
    assert_int_equal(stride, 3);
    for (uint32_t k = 0; k < copies; k++)
        assert_int_equal(fs_spec_cable(spec, first + k * stride, 0, 0, 1, at, &err), FS_OK);
    assert_int_equal(fs_spec_link(spec, "lone", "single/g1", "w", 1, at, &err), FS_OK);
    assert_int_equal(fs_spec_freeze(spec, &topo, &err), FS_OK);
    fs_spec_free(spec);

    assert_int_equal(topo->n_units, 3);
    assert_int_equal(topo->n_runs, 4);
    assert_int_equal(topo->n_devices, 1 + 13 * 3 + 1);
    assert_int_equal(topo->n_links, 2 * (13 * 2 + 13));
    assert_int_equal(topo->first_cable, 2 * 13 * 2);
    assert_string_equal(FS_DEVICE_NAME(topo, 0), "lone");
    assert_string_equal(FS_DEVICE_NAME(topo, 1 + 11 * 3 + 1), "node11/g1");
    assert_string_equal(FS_DEVICE_NAME(topo, 1 + 12 * 3 + 2), "single/n0");
    assert_string_equal(FS_NODE_NAME(topo, 0), "first");
    assert_string_equal(FS_NODE_NAME(topo, 12), "node11");
    assert_string_equal(FS_NODE_NAME(topo, 13), "single");
    assert_string_equal(FS_NODE_NAME(topo, 14), "last");
    for (uint32_t d = 0; d < topo->n_devices; d++)
        assert_int_equal(fs_topo_find(topo, FS_DEVICE_NAME(topo, d)), d);
    static const char *const strangers[] = {"node12/g0",  "node01/g0", "node/g0", "node1g0", "node1",
                                            "single0/g0", "node1/",    "",        "g0",      "node99999999999/g0"};
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        assert_int_equal(fs_topo_find(topo, strangers[i]), FS_NONE);
    const fs_device g = fs_topo_device(topo, 1 + 4 * 3 + 1), n = fs_topo_device(topo, 40);
    assert_true(g.kind == FS_DEVICE_GPU && g.node == 5 && g.index == 1 + 4 * 2 + 1 && g.rail == FS_NONE);
    assert_true(n.kind == FS_DEVICE_NIC && n.node == 6 && n.index == 13 && n.rail == 1); /* after the board's own */
    const fs_link l = fs_topo_link(topo, 2 * (4 * 2 + 1) + 1);                           /* sorted: g0 - n0, g1 - n0 */
    assert_true(l.src == 1 + 4 * 3 + 2 && l.dst == 1 + 4 * 3 + 1 && l.lanes == 1);
    assert_true(fs_topo_link(topo, 2 * 4 * 2).lanes == 2);
    fs_links out = fs_topo_out(topo, 1 + 4 * 3 + 2);
    assert_int_equal(out.count, 3);
    assert_int_equal(fs_links_at(&out, 0), 2 * 4 * 2 + 1);
    assert_int_equal(fs_topo_link(topo, fs_links_at(&out, 2)).dst, 0);
    fs_topo_free(topo);
}

static void boards_stand_in_boards(void **state)
{
    (void)state;
    fs_err err;
    fs_topo *topo;
    fs_spec *spec = new_spec();
    uint32_t tray = small_board(spec);
    assert_int_equal(fs_spec_unit_begin(spec, false, &err), FS_OK);
    assert_int_equal(fs_spec_place(spec, tray, "tray", true, 2, at, &err), FS_OK);
    assert_int_equal(fs_spec_device(spec, "top", "n", FS_NONE, at, &err), FS_OK);
    assert_int_equal(fs_spec_link(spec, "tray1/g0", "top", "w", 1, at, &err), FS_OK);
    expect_at(fs_spec_place(spec, tray, "tray", true, 1, at, &err), &err, "node 'tray0' is defined twice");
    uint32_t rack = fs_spec_unit_end(spec);
    assert_int_equal(fs_spec_place(spec, rack, "rack", true, 3, at, &err), FS_OK);
    expect_at(fs_spec_place(spec, rack, "rack2", false, 1, at, &err), &err, "place 'rack2' is defined twice");
    assert_int_equal(fs_spec_freeze(spec, &topo, &err), FS_OK);
    fs_spec_free(spec);
    assert_int_equal(topo->n_units, 1);
    assert_int_equal(topo->n_nodes, 6);
    assert_string_equal(FS_NODE_NAME(topo, 3), "rack1/tray1");
    assert_string_equal(FS_DEVICE_NAME(topo, 7 + 3), "rack1/tray1/g0");
    assert_int_equal(fs_topo_device(topo, 7 + 3).node, 3);
    assert_int_equal(fs_topo_device(topo, 7 + 6).node, FS_NONE);
    assert_int_equal(fs_topo_find(topo, "rack2/top"), 20);
    fs_topo_free(topo);
}

static void names_of_copies_are_unique(void **state)
{
    (void)state;
    fs_err err;
    uint32_t node, first;
    fs_spec *spec = new_spec();
    uint32_t board = small_board(spec);
    assert_int_equal(fs_spec_place(spec, board, "node", true, 20, at, &err), FS_OK);
    expect_at(fs_spec_node(spec, "node19", &node, at, &err), &err, "node 'node19' is defined twice");
    expect_at(fs_spec_device(spec, "node3/g1", "g", FS_NONE, at, &err), &err, "device 'node3/g1' is defined twice");
    assert_int_equal(fs_spec_node(spec, "node20", &node, at, &err), FS_OK);
    expect_at(fs_spec_place(spec, board, "node", true, 2, at, &err), &err, "node 'node0' is defined twice");
    expect_at(fs_spec_place(spec, board, "node1", true, 2, at, &err), &err, "node 'node10' is defined twice");
    expect_at(fs_spec_place(spec, board, "a b", true, 2, at, &err), &err,
              "place name 'a b': expected 1 to 255 letters, digits, '_', '-', '.'");
    expect_at(fs_spec_run_device(spec, 0, "n1", &first, &node, at, &err), &err, "unknown device 'n1' in 'node'");
    expect_at(fs_spec_link(spec, "node7/g2", "node7/g1", "w", 1, at, &err), &err,
              "unknown device 'node7/g2' (did you mean 'node7/g0'?)");
    expect_at(fs_spec_cable(spec, 7, 7, 0, 1, at, &err), &err, "device 'node2/g1' is linked to itself");
    fs_spec_free(spec);

    spec = new_spec(); /* what was there before the place */
    board = small_board(spec);
    assert_int_equal(fs_spec_device(spec, "x1/g0", "g", FS_NONE, at, &err), FS_OK);
    expect_at(fs_spec_place(spec, board, "x", true, 2, at, &err), &err, "device 'x1/g0' is defined twice");
    fs_spec_free(spec);
    spec = new_spec();
    board = small_board(spec);
    assert_int_equal(fs_spec_node(spec, "x1", &node, at, &err), FS_OK);
    expect_at(fs_spec_place(spec, board, "x", true, 2, at, &err), &err, "node 'x1' is defined twice");
    fs_spec_free(spec);
    spec = new_spec();
    board = small_board(spec);
    assert_int_equal(fs_spec_switches(spec, "x/g", 2, 1, FS_NONE, &first, at, &err), FS_OK);
    expect_at(fs_spec_switches(spec, "x/g", 1, 1, FS_NONE, &first, at, &err), &err, "device 'x/g0' is defined twice");
    expect_at(fs_spec_place(spec, board, "x", false, 1, at, &err), &err, "device 'x/g0' is defined twice");
    fs_spec_free(spec);
}

static void runs_have_limits(void **state)
{
    (void)state;
    fs_err err;
    char name[FS_NAME_MAX + 1];
    fs_spec *spec = new_spec();
    uint32_t board = small_board(spec);
    expect_at(fs_spec_place(spec, board, "node", true, FS_DEVICES_MAX / 3 + 1, at, &err), &err,
              "more than 268435456 devices");
    expect_at(fs_spec_place(spec, board, "node", true, FS_LINKS_MAX / 4 + 1, at, &err), &err,
              "more than 268435456 links");
    memset(name, 'a', sizeof name);
    name[FS_NAME_MAX] = '\0';
    assert_int_equal(fs_spec_place(spec, board, name, true, 2, at, &err), FS_E_TOPOLOGY);
    assert_non_null(strstr(err.text, "...': longer than 255 bytes"));
    fs_spec_free(spec);
}

/* ---- one line ---------------------------------------------------------------------------------------------------- */

static void one_line_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        uint32_t gpus, devices, links, nodes, tiers;
    } cases[] = {
        {"gpus:8 nvlink:25GB/s,500ns", 8, 9, 16, 1, 1},
        {"gpus:1 nvlink:25GB/s", 1, 2, 2, 1, 1},
        {"ring:8 nvlink:25GB/s,500ns,20GB/s", 8, 8, 16, 1, 1},
        {"ring:2 nvlink:25GB/s", 2, 2, 2, 1, 1},
        {"ring:1 nvlink:25GB/s", 1, 1, 0, 1, 0},
        {"mesh:4  nvlink:25GB/s forwarding", 4, 4, 12, 1, 1},
        {"pcie:8 pcie:12GB/s,1us", 8, 9, 16, 1, 1},
        {"nodes:2 gpus:4 nvlink:25GB/s nic:25GB/s,1us", 8, 22, 48, 2, 3},
        {"nodes:2 gpus:4 nvlink:25GB/s nic:25GB/s,1us pcie:30GB/s spine multicast flops:1PFLOP/s", 8, 23, 56, 2, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fs_topo *topo;
        fs_err err;
        assert_int_equal(fs_spec_oneline(cases[i].line, &topo, &err), FS_OK);
        assert_int_equal(topo->n_gpus, cases[i].gpus);
        assert_int_equal(topo->n_devices, cases[i].devices);
        assert_int_equal(topo->n_links, cases[i].links);
        assert_int_equal(topo->n_nodes, cases[i].nodes);
        assert_int_equal(topo->n_tiers, cases[i].tiers);
        fs_topo_free(topo);
    }
}

static void one_line_figures(void **state)
{
    (void)state;
    fs_topo *topo;
    fs_err err;
    assert_int_equal(
        fs_spec_oneline(
            "nodes:2 gpus:2 nic:25GB/s,1us,20GB/s nvlink:50GB/s,500ns flops:2TFLOP/s multicast forwarding spine", &topo,
            &err),
        FS_OK);
    assert_true(topo->gpu_forwarding);
    assert_true(topo->parts[0].peak_flops[FS_FP8] == 2e12);
    uint32_t sw = fs_topo_find(topo, "node1/nvsw0"), leaf = fs_topo_find(topo, "leaf1"),
             rail = fs_topo_find(topo, "node1/nic1");
    assert_int_not_equal(fs_topo_find(topo, "spine0"), FS_NONE);
    assert_int_equal(fs_topo_device(topo, sw).node, 1);
    assert_true(topo->parts[fs_topo_device(topo, sw).part].multicast);
    assert_int_equal(fs_topo_device(topo, leaf).node, FS_NONE);
    assert_int_equal(fs_topo_device(topo, rail).rail, 1);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < fs_topo_out_count(topo, rail); i++) {
        const fs_link l = fs_topo_link(topo, fs_topo_out_link(topo, rail, i));
        bool net = topo->link_types[l.type].class_ == FS_CLASS_NET;
        assert_true(l.bandwidth_Bps == 25e9 && l.effective_Bps == 20e9 && l.latency_s == (net ? 1e-6 : 0));
        seen += net ? l.dst == leaf : fs_topo_device(topo, l.dst).kind == FS_DEVICE_GPU;
    }
    assert_int_equal(seen, 2);
    assert_true(fs_topo_link(topo, topo->n_links - 2).bandwidth_Bps ==
                50e9); /* leaf to spine: as many lanes as nodes */
    fs_topo_free(topo);
}

static void bad_lines_are_errors(void **state)
{
    (void)state;
    static const char shape[] = "expected a shape first: gpus:N, ring:N, mesh:N, pcie:N or nodes:N";
    static const struct {
        const char *line, *word, *what;
    } cases[] = {
        {"", "", shape},
        {"torus:4", "torus", shape},
        {"gpus", "gpus", shape},
        {"gpus:0", "gpus", "expected a number from 1 to 65536"},
        {"gpus:x", "gpus", "expected a number from 1 to 65536"},
        {"mesh:1025", "mesh", "expected a number from 1 to 1024"},
        {"gpus:4", "gpus", "needs nvlink:RATE beside it"},
        {"gpus:4 nvlink:25", "nvlink", NULL},
        {"gpus:4 nvlink:25GB/s,5", "nvlink", NULL},
        {"gpus:4 nvlink:25GB/s,5ns,x", "nvlink", NULL},
        {"gpus:4 nvlink:25GB/s nvlink:25GB/s", "nvlink", "given twice"},
        {"gpus:4 gpus:4 nvlink:25GB/s", "gpus", "unknown word"},
        {"nodes:2 gpus:4 gpus:4", "gpus", "given twice"},
        {"gpus:4 nvlink:25GB/s multicast multicast", "multicast", "given twice"},
        {"gpus:4 nvlink:25GB/s flops:1TFLOP/s flops:1TFLOP/s", "flops", "given twice"},
        {"gpus:4 nvlink:25GB/s flops:1", "flops", NULL},
        {"gpus:4 nvlink:25GB/s fast", "fast", "unknown word"},
        {"gpus:4 nvlink:25GB/s pcie:1GB/s", "pcie", "has no place in this shape"},
        {"gpus:4 nvlink:25GB/s nic:1GB/s", "nic", "has no place in this shape"},
        {"gpus:4 nvlink:25GB/s spine", "spine", "has no place in this shape"},
        {"pcie:4 nvlink:25GB/s", "nvlink", "has no place in this shape"},
        {"pcie:4", "pcie", "needs pcie:RATE beside it"},
        {"nodes:4 nvlink:25GB/s", "nodes", "needs gpus:N beside it"},
        {"nodes:4 gpus:4 nvlink:25GB/s", "nodes", "needs nic:RATE beside it"},
        {"nodes:65536 gpus:65536", "nodes", "more than 1048576 GPUs"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fs_topo *topo = NULL;
        fs_err err;
        char text[256];
        fs_status status = fs_spec_oneline(cases[i].line, &topo, &err);
        int n =
            snprintf(text, sizeof text, "topology line: '%s': %s", cases[i].word, cases[i].what ? cases[i].what : "");
        if (cases[i].what == NULL) /* the rest is fs_parse_quantity's */
            err.text[n] = '\0';
        expect_error(status, &err, text);
        assert_null(topo);
    }
    static char longest[1002];
    memset(longest, ' ', 1001);
    fs_err err;
    fs_topo *topo;
    expect_error(fs_spec_oneline(longest, &topo, &err), &err, "topology line: longer than 1000 bytes");
    expect_error(fs_spec_oneline("gpus:2 nvlink:1e39B/s", &topo, &err), &err,
                 "bandwidth must be from 1 to 1e18 B/s, found 1e+39");
}

static void failing_allocations_are_clean(void **state)
{
    (void)state;
    fs_status status = FS_E_NOMEM;
    for (uint64_t n = 1; status != FS_OK; n++) {
        fs_topo *topo = NULL;
        fs_err err;
        uint64_t live = fs_mem_live();
        fs_mem_fail_after(n);
        status = fs_spec_oneline("nodes:2 gpus:2 nvlink:25GB/s nic:25GB/s spine", &topo, &err);
        if (status == FS_OK) {
            fs_name_list list;
            status = fs_name_list_expand("a[0-3]", &list, &err);
            if (status == FS_OK)
                fs_name_list_free(&list);
            fs_topo_free(topo);
        }
        fs_mem_fail_after(0);
        assert_true(status == FS_OK || status == FS_E_NOMEM);
        assert_int_equal(fs_mem_live(), live);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_have_dense_ids),
        cmocka_unit_test(patterns_expand),
        cmocka_unit_test(bad_patterns_are_errors),
        cmocka_unit_test(long_patterns_are_errors),
        cmocka_unit_test(bad_figures_are_errors),
        cmocka_unit_test(bad_parts_are_errors),
        cmocka_unit_test(bad_link_types_are_errors),
        cmocka_unit_test(bad_devices_and_links_are_errors),
        cmocka_unit_test(freezing_checks_the_whole),
        cmocka_unit_test(freezing_lays_out_arrays),
        cmocka_unit_test(copies_are_arithmetic),
        cmocka_unit_test(boards_stand_in_boards),
        cmocka_unit_test(names_of_copies_are_unique),
        cmocka_unit_test(runs_have_limits),
        cmocka_unit_test(one_line_shapes),
        cmocka_unit_test(one_line_figures),
        cmocka_unit_test(bad_lines_are_errors),
        cmocka_unit_test(failing_allocations_are_clean),
    };
    return cmocka_run_group_tests_name("spec", tests, NULL, NULL);
}
