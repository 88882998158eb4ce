/* test_topo_xml.c - reading topologies: what is accepted, and every error with its file, line and column. */
#include "topo/topo.h"

#include "base/mem.h"
#include "topo/topo_doc.h"
#include "topo/topo_words.h"

#include <libxml/parser.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A valid topology; cases replace a piece of it. Line numbers below count from here. */
static const char valid[] =
    "<fabsim version=\"topology/1\" name=\"test\" xmlns:xi=\"http://www.w3.org/2001/XInclude\">\n"              /* 1 */
    " <parts>\n"                                                                                                /* 2 */
    "  <gpu name=\"g\" arch=\"ampere\" memory=\"40GB\" memory-bandwidth=\"1.5TB/s\" gemm-efficiency=\"0.75\"\n" /* 3 */
    "       memory-efficiency=\"0.9\" launch=\"5us\" power=\"400W\" source=\"s\">\n"                            /* 4 */
    "   <peak dtype=\"fp32\" flops=\"20TFLOP/s\"/><peak dtype=\"fp16\" flops=\"300TFLOP/s\"/>\n"                /* 5 */
    "  </gpu>\n"                                                                                                /* 6 */
    "  <nvswitch name=\"s\" latency=\"300ns\" multicast=\"yes\" source=\"s\"/>\n"                               /* 7 */
    "  <nic name=\"n\" source=\"s\"/> <net-switch name=\"leaf\" latency=\"0s\" source=\"s\"/>\n"                /* 8 */
    "  <link-type name=\"nv\" class=\"nvlink\" tier=\"nvlink\" bandwidth=\"25GB/s\" effective=\"20GB/s\"\n"     /* 9 */
    "             latency=\"500ns\" source=\"s\"/>\n"                                                           /* 10 */
    "  <link-type name=\"w\" class=\"net\" tier=\"nic\" bandwidth=\"2GB/s\" effective=\"1GB/s\" latency=\"1us\" "
    "source=\"s\"/>\n"                                                                     /* 11 */
    " </parts>\n"                                                                          /* 12 */
    " <board name=\"b\">\n"                                                                /* 13 */
    "  <device name=\"gpu[0-1]\" part=\"g\"/> <device name=\"sw0\" part=\"s\"/>\n"         /* 14 */
    "  <device name=\"nic[0-1]\" part=\"n\"/>\n"                                           /* 15 */
    "  <link from=\"gpu[0-1]\" to=\"sw0\" type=\"nv\" lanes=\"2\"/>\n"                     /* 16 */
    "  <link from=\"gpu[0-1]\" to=\"nic[0-1]\" type=\"w\" pair=\"each\"/>\n"               /* 17 */
    " </board>\n"                                                                          /* 18 */
    " <system>\n"                                                                          /* 19 */
    "  <place board=\"b\" name=\"node\" count=\"2\"/>\n"                                   /* 20 */
    "  <node name=\"extra\"/> <device name=\"leaf[0-1]\" part=\"leaf\" node=\"extra\"/>\n" /* 21 */
    "  <link from=\"node[0-1]/nic[0-1]\" to=\"leaf[0-1]\" type=\"w\" pair=\"all\"/>\n"     /* 22 */
    " </system>\n"                                                                         /* 23 */
    "</fabsim>\n";

/* `text` with the first `from` replaced by `to`. Caller frees. */
static char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    assert_non_null(at);
    char *out = malloc(strlen(text) + strlen(to) + 1);
    sprintf(out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

static fs_status parse(const char *xml, fs_topo **topo, fs_err *err)
{
    return fs_topo_parse("t.xml", xml, strlen(xml), NULL, 0, topo, err);
}

static void expect_error(const char *xml, fs_status expected, const char *message)
{
    fs_topo *topo = NULL;
    fs_err err;
    char text[4096];
    uint64_t live = fs_mem_live();
    fs_status status = parse(xml, &topo, &err);
    assert_int_not_equal(status, FS_OK);
    fs_err_format(&err, text, sizeof text);
    assert_string_equal(text, message);
    assert_int_equal(status, expected);
    assert_null(topo);
    assert_int_equal(fs_mem_live(), live);
}

/* ---- what is accepted -------------------------------------------------------------------------------------------- */

static void a_system_expands(void **state)
{
    (void)state;
    fs_topo *topo;
    fs_err err;
    assert_int_equal(parse(valid, &topo, &err), FS_OK);
    assert_string_equal(topo->name, "test");
    assert_string_equal(topo->path, "t.xml");
    assert_int_equal(topo->n_gpus, 4);
    assert_int_equal(topo->n_devices, 12);
    assert_int_equal(topo->n_links, 2 * (2 * 4 + 8));
    assert_int_equal(topo->n_nodes, 3);
    assert_string_equal(FS_NODE_NAME(topo, 1), "node1");
    assert_string_equal(FS_DEVICE_NAME(topo, 5), "node1/gpu0");
    assert_int_equal(fs_topo_device(topo, 9).rail, 1); /* node1/nic1 */
    assert_int_equal(fs_topo_device(topo, 10).node, 2);
    const fs_link up = fs_topo_link(topo, 1); /* node0/sw0 -> node0/gpu0 */
    assert_true(up.bandwidth_Bps == 50e9 && up.effective_Bps == 40e9 && up.latency_s == 500e-9 + 300e-9);
    const fs_part *g = &topo->parts[0];
    assert_true(g->peak_flops[FS_FP16] == 300e12 && g->peak_flops[FS_FP32] == 20e12 && g->peak_flops[FS_FP8] == 0);
    assert_true(g->mem_bytes == 40e9 && g->mem_Bps == 1.5e12 && g->gemm_efficiency == 0.75 && g->mem_efficiency == 0.9);
    assert_true(g->launch_s == 5e-6 && g->power_W == 400 && g->arch == FS_AMPERE);
    assert_true(topo->parts[1].multicast);
    assert_int_equal(topo->n_tiers, 2);
    assert_string_equal(topo->tiers[topo->link_types[1].tier].name, "nic");
    assert_false(topo->gpu_forwarding);
    char name[64];
    assert_string_equal(fs_link_name(topo, topo->n_links - 1, name, sizeof name), "leaf1 -> node1/nic1");
    fs_topo_free(topo);
}

static void a_single_board_keeps_names(void **state)
{
    (void)state;
    fs_topo *topo;
    fs_err err;
    char *head = replaced(valid, " name=\"test\"", " name=\"test\" gpu-forwarding=\"yes\"");
    *strstr(head, " <system>") = '\0';
    strcat(head, "</fabsim>");
    assert_int_equal(parse(head, &topo, &err), FS_OK);
    assert_string_equal(FS_DEVICE_NAME(topo, 0), "gpu0");
    assert_string_equal(FS_NODE_NAME(topo, 0), "b");
    assert_int_equal(topo->n_nodes, 1);
    assert_true(topo->gpu_forwarding);
    fs_topo_free(topo);
    free(head);
}

static void the_system_decides_on_forwarding(void **state)
{
    (void)state;
    fs_topo *topo;
    fs_err err;
    char *a = replaced(valid, " name=\"test\"", " name=\"test\" gpu-forwarding=\"yes\"");
    char *b = replaced(a, "<system>", "<system gpu-forwarding=\"no\">");
    assert_int_equal(parse(b, &topo, &err), FS_OK);
    assert_false(topo->gpu_forwarding);
    fs_topo_free(topo);
    free(a);
    free(b);
}

static void a_place_without_count_is_not_numbered(void **state)
{
    (void)state;
    fs_topo *topo;
    fs_err err;
    char *a = replaced(valid, " count=\"2\"", "");
    char *b = replaced(a, "node[0-1]/", "node/");
    assert_int_equal(parse(b, &topo, &err), FS_OK);
    assert_string_equal(FS_DEVICE_NAME(topo, 0), "node/gpu0");
    fs_topo_free(topo);
    free(a);
    free(b);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

typedef struct change {
    const char *from, *to, *message;
} change;

static void expect_changes(const change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *xml = replaced(valid, changes[i].from, changes[i].to);
        expect_error(xml, FS_E_TOPOLOGY, changes[i].message);
        free(xml);
    }
}

static void words_are_checked(void **state)
{
    (void)state;
    static const change changes[] = {
        {"<board name=\"b\">", "<bord/><board name=\"b\">",
         "t.xml:13:2: error: unknown element <bord> in <fabsim> (did you mean <board>?)"},
        {"<nic name", "<toaster name",
         "t.xml:8:3: error: unknown element <toaster> in <parts>, expected one of: parts gpu nvswitch nic cpu "
         "pcie-switch "
         "net-switch link-type"},
        {"<peak dtype=\"fp16\" flops=\"300TFLOP/s\"/>", "<peak dtype=\"fp16\" flops=\"300TFLOP/s\"><x/></peak>",
         "t.xml:5:80: error: unknown element <x>: <peak> has no children"},
        {" <system>", " <system/><system>",
         "t.xml:19:11: error: <system> is out of place: <parts> and <board> come first, then at most one <system>"},
        {"launch=", "lunch=", "t.xml:4:32: error: unknown attribute 'lunch' of <gpu> (did you mean 'launch'?)"},
        {"launch=", "zzz=", "t.xml:4:32: error: unknown attribute 'zzz' of <gpu>"},
        {" power=\"400W\"", "", "t.xml:3:3: error: <gpu> lacks the attribute 'power'"},
        {" type=\"nv\"", "", "t.xml:16:3: error: <link> lacks the attribute 'type'"},
        {"<peak dtype=\"fp32\" flops=\"20TFLOP/s\"/><peak dtype=\"fp16\" flops=\"300TFLOP/s\"/>", "",
         "t.xml:3:3: error: <gpu> needs at least one <peak>"},
        {"<parts>", "<parts>text", "t.xml:2:2: error: text in <parts>: expected only elements"},
        {"class=\"net\"", "class=\"nett\"", "t.xml:11:23: error: class: unknown value 'nett' (did you mean 'net'?)"},
        {"arch=\"ampere\"", "arch=\"fermi9\"",
         "t.xml:3:17: error: arch: expected one of: none pascal volta turing ampere hopper blackwell rubin; found "
         "'fermi9'"},
        {"topology/1", "topology/2",
         "t.xml:1:9: error: version: unknown value 'topology/2' (did you mean 'topology/1'?)"},
        {"name=\"test\"", "name=\" x\"",
         "t.xml:1:30: error: name: expected 1 to 255 printable ASCII characters without blanks at the ends"},
        {"name=\"g\"", "name=\"g/x\"",
         "t.xml:3:8: error: name: expected 1 to 255 letters, digits, '_', '-', '.', found 'g/x'"},
        {"name=\"sw0\"", "name=\"sw/0\"",
         "t.xml:14:46: error: name: expected 1 to 1024 letters, digits, '_', '-', '.', brackets, found 'sw/0'"},
        {"source=\"s\"", "source=\"\"", "t.xml:4:58: error: source: must not be empty"},
        {"lanes=\"2\"", "lanes=\"two\"",
         "t.xml:16:44: error: lanes: expected a whole number of at most 10 digits, found 'two'"},
    };
    expect_changes(changes, sizeof changes / sizeof *changes);
}

static void figures_are_checked(void **state)
{
    (void)state;
    static const change changes[] = {
        {"\"5us\"", "\"5\"", "t.xml:4:32: error: launch: expected a time such as 700ns, found '5'"},
        {"\"5us\"", "\"-5us\"", "t.xml:4:32: error: launch: must not be negative, found '-5us'"},
        {"\"5us\"", "\"1e7s\"", "t.xml:4:32: error: launch must be from 0 to 1e6 s, found 10000000"},
        {"\"40GB\"", "\"0GB\"", "t.xml:3:31: error: memory must be from 1 to 1e18 B, found 0"},
        {"\"1.5TB/s\"", "\"1e308TB/s\"", "t.xml:3:45: error: memory-bandwidth: '1e308TB/s' is out of range"},
        {"\"0.75\"", "\"1.1\"", "t.xml:3:72: error: gemm-efficiency must be from 1e-6 to 1, found 1.1"},
        {"\"20TFLOP/s\"", "\"0TFLOP/s\"", "t.xml:5:23: error: fp32 must be from 1 to 1e24 FLOP/s, found 0"},
        {"\"300TFLOP/s\"", "\"1e30FLOP/s\"", "t.xml:5:61: error: fp16 must be from 1 to 1e24 FLOP/s, found 1e+30"},
        {"\"fp16\"", "\"fp32\"", "t.xml:5:48: error: peak of fp32 is given twice"},
        {"\"1GB/s\"", "\"3GB/s\"", "t.xml:11:64: error: effective bandwidth exceeds bandwidth"},
        {"\"2GB/s\"", "\"1e308GB/s\"", "t.xml:11:46: error: bandwidth: '1e308GB/s' is out of range"},
        {"lanes=\"2\"", "lanes=\"0\"", "t.xml:16:44: error: lanes must be from 1 to 4096, found '0'"},
        {"lanes=\"2\"", "lanes=\"4097\"", "t.xml:16:44: error: lanes must be from 1 to 4096, found '4097'"},
        {"count=\"2\"", "count=\"0\"", "t.xml:20:32: error: count must be from 1 to 1048576, found '0'"},
        {"count=\"2\"", "count=\"1048577\"", "t.xml:20:32: error: count must be from 1 to 1048576, found '1048577'"},
    };
    expect_changes(changes, sizeof changes / sizeof *changes);
    char *xml = replaced(valid, "\"5us\"", "\"nan\"");
    fs_topo *topo;
    fs_err err;
    assert_int_equal(parse(xml, &topo, &err), FS_E_TOPOLOGY);
    assert_int_equal(err.line, 4);
    assert_int_equal(err.column, 32);
    free(xml);
}

static void references_are_checked(void **state)
{
    (void)state;
    static const change changes[] = {
        {"part=\"g\"", "part=\"gg\"", "t.xml:14:27: error: unknown part 'gg'"},
        {"part=\"leaf\"", "part=\"leav\"", "t.xml:21:49: error: unknown part 'leav' (did you mean 'leaf'?)"},
        {"type=\"nv\"", "type=\"x\"", "t.xml:16:34: error: unknown link type 'x'"},
        {"to=\"sw0\"", "to=\"sw1\"", "t.xml:16:25: error: unknown device 'sw1' (did you mean 'sw0'?)"},
        {"from=\"node[0-1]", "from=\"node[0-2]",
         "t.xml:22:9: error: unknown device 'node2/nic0' (did you mean 'node0/nic0'?)"},
        {"to=\"sw0\"", "to=\"gpu1\"", "t.xml:16:25: error: device 'gpu1' is linked to itself"},
        {"board=\"b\"", "board=\"bored\"", "t.xml:20:10: error: unknown board 'bored'"},
        {"board name=\"b\"", "board name=\"borad\"", "t.xml:20:10: error: unknown board 'b'"},
        {"node=\"extra\"", "node=\"extar\"", "t.xml:21:61: error: unknown node 'extar' (did you mean 'extra'?)"},
        {"<node name=\"extra\"/>", "",
         "t.xml:21:41: error: unknown node 'extra': nodes are declared before their devices"},
        {"<node name=\"extra\"/>", "<node name=\"node1\"/>", "t.xml:21:9: error: node 'node1' is defined twice"},
        {"name=\"nic[0-1]\"", "name=\"gpu[1-2]\"", "t.xml:15:11: error: device 'gpu1' is defined twice"},
        {"name=\"w\"", "name=\"nv\"", "t.xml:11:14: error: link type 'nv' is defined twice"},
        {"name=\"n\"", "name=\"g\"", "t.xml:8:8: error: part 'g' is defined twice"},
        {" <board", " <board name=\"b\"/><board", "t.xml:13:26: error: board 'b' is defined twice"},
        {"name=\"gpu[0-1]\"", "name=\"gpu[0-2]\"", "t.xml:14:3: error: GPU 'node0/gpu2' is connected to nothing"},
        {"name=\"gpu[0-1]\"", "name=\"gpu[0-4000000000]\"",
         "t.xml:14:11: error: name pattern 'gpu[0-4000000000]': stands for more than 1048576 names"},
        {"from=\"gpu[0-1]\" to=\"nic", "from=\"gpu[1-0]\" to=\"nic",
         "t.xml:17:9: error: name pattern 'gpu[1-0]': a range must rise"},
        {"to=\"nic[0-1]\"", "to=\"nic[0\"", "t.xml:17:25: error: name pattern 'nic[0': a bracket is not closed"},
        {"type=\"w\" pair=\"each\"", "type=\"w\"",
         "t.xml:17:3: error: 2 names meet 2: say pair=\"all\" (each with each) or pair=\"each\" (one by one)"},
        {"to=\"nic[0-1]\"", "to=\"nic0\"",
         "t.xml:17:44: error: pair=\"each\" needs as many names on both sides, found 2 and 1"},
        {"from=\"node[0-1]/nic[0-1]\" to=\"leaf[0-1]\"", "from=\"a[0-99999]\" to=\"a[0-99999]\"",
         "t.xml:22:3: error: more than 268435456 links"},
    };
    expect_changes(changes, sizeof changes / sizeof *changes);
    expect_error("<fabsim version=\"topology/1\" name=\"x\"/>", FS_E_TOPOLOGY,
                 "t.xml:1:1: error: expected a <system> or exactly one <board>, found 0 boards");
    expect_error("<fabsim version=\"topology/1\" name=\"x\"><system/></fabsim>", FS_E_TOPOLOGY,
                 "t.xml: error: topology 'x' has no GPU");
}

static void text_that_is_not_xml(void **state)
{
    (void)state;
    expect_error("", FS_E_TOPOLOGY, "t.xml:1:1: error: the file is empty");
    expect_error("\xFF\xFE<", FS_E_TOPOLOGY, "t.xml:1:1: error: not UTF-8 text");
    expect_error("\n<parts/>", FS_E_TOPOLOGY,
                 "t.xml:2:1: error: expected <fabsim>, found <parts>: a fragment for other files to include");
    expect_error("<html/>", FS_E_TOPOLOGY, "t.xml:1:1: error: expected <fabsim>, found <html>: not a topology");
    expect_error("<fabsim xmlns='urn:x'/>", FS_E_TOPOLOGY,
                 "t.xml:1:1: error: expected <fabsim> in no namespace, found <fabsim> in 'urn:x'");
    expect_error("<fabsim\n", FS_E_TOPOLOGY,
                 "t.xml:2:1: error: not well-formed XML: Couldn't find end of Start Tag fabsim line 1");
    expect_error("<fabsim>&x;</fabsim>", FS_E_TOPOLOGY,
                 "t.xml:1:12: error: not well-formed XML: Entity 'x' not defined");
    expect_error("<fabsim a='1' a='2'/>", FS_E_TOPOLOGY,
                 "t.xml:1:20: error: not well-formed XML: Attribute a redefined");
    expect_error("<!-- x -->\n <!DOCTYPE fabsim [<!ENTITY a 'b'>]><fabsim>&a;</fabsim>", FS_E_TOPOLOGY,
                 "t.xml:2:2: error: DOCTYPE is not allowed: a topology has no entities and no DTD");
    expect_error("<!DOCTYPE fabsim SYSTEM 'http://localhost/x.dtd'><fabsim/>", FS_E_TOPOLOGY,
                 "t.xml:1:1: error: DOCTYPE is not allowed: a topology has no entities and no DTD");
    char deep[33 * 7 + 1] = "";
    for (int i = 0; i < 33; i++)
        strcat(deep, "<parts>");
    expect_error(deep, FS_E_TOPOLOGY, "t.xml:1:225: error: elements nest deeper than 32");
    for (size_t length = 0; length < sizeof valid - 2; length += 7) { /* cut off anywhere */
        fs_topo *topo;
        fs_err err;
        assert_int_equal(fs_topo_parse("t.xml", valid, length, NULL, 0, &topo, &err), FS_E_TOPOLOGY);
        assert_true(err.line >= 1);
    }
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/fabsim-test-XXXXXX");
    return mkdtemp(folder) ? chdir(folder) : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return chdir("/") == 0 ? system(command) : -1;
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void expect_load_error(const char *path, fs_status expected, const char *message)
{
    fs_topo *topo = NULL;
    fs_err err;
    char text[4096];
    uint64_t live = fs_mem_live();
    fs_status status = fs_topo_load(path, NULL, 0, &topo, &err);
    assert_int_not_equal(status, FS_OK);
    fs_err_format(&err, text, sizeof text);
    assert_string_equal(text, message);
    assert_int_equal(status, expected);
    assert_int_equal(fs_mem_live(), live);
}

#define ROOT "<fabsim version=\"topology/1\" name=\"x\" xmlns:xi=\"http://www.w3.org/2001/XInclude\">\n"

static void includes_compose(void **state)
{
    (void)state;
    const char *parts = strstr(valid, " <parts>"), *board = strstr(valid, " <board"),
               *system = strstr(valid, " <system");
    char text[4096];
    assert_int_equal(mkdir("lib", 0700), 0);
    snprintf(text, sizeof text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n%.*s", (int)(board - parts), parts);
    put("lib/real.xml", text);
    put("lib/all.xml", "<parts xmlns:xi=\"http://www.w3.org/2001/XInclude\"><xi:include href=\"./real.xml\"/></parts>");
    snprintf(text, sizeof text, "%.*s", (int)(system - board), board);
    put("board.xml", text);
    snprintf(text, sizeof text, ROOT "<xi:include href=\"lib/all.xml\"/><xi:include href=\"%s/board.xml\"/>%s", folder,
             system);
    put("main.xml", text);
    fs_topo *one, *two;
    fs_err err;
    assert_int_equal(fs_topo_load("main.xml", NULL, 0, &one, &err), FS_OK);
    char *named = replaced(valid, "name=\"test\"", "name=\"x\"");
    assert_int_equal(parse(named, &two, &err), FS_OK);
    assert_true(one->hash == two->hash);
    fs_topo_free(one);
    fs_topo_free(two);
    free(named);
    put("lib/real.xml", "<parts>\n  <gpu nam=\"x\"/></parts>"); /* errors name the file they are in */
    expect_load_error("main.xml", FS_E_TOPOLOGY,
                      "lib/real.xml:2:8: error: unknown attribute 'nam' of <gpu> (did you mean 'name'?)");
    put("lib/real.xml", "<parts>\n  <gpu");
    expect_load_error("main.xml", FS_E_TOPOLOGY,
                      "lib/real.xml:2:7: error: not well-formed XML: Couldn't find end of Start Tag gpu line 2");
}

static void bad_includes_are_errors(void **state)
{
    (void)state;
    static const struct {
        const char *include, *message;
    } cases[] = {
        {"<xi:include href='none.xml'/>",
         "inc.xml:2:13: error: <xi:include>: cannot read 'none.xml': No such file or directory"},
        {"<xi:include href='.'/>", "inc.xml:2:13: error: <xi:include>: cannot read '.': Is a directory"},
        {"<xi:include href='-'/>", "inc.xml:2:13: error: <xi:include>: cannot read './-': No such file or directory"},
        {"<xi:include href='inc.xml'/>", "inc.xml:2:13: error: include cycle: 'inc.xml' includes itself"},
        {"<xi:include href='loop.xml'/>", "loop.xml:1:63: error: include cycle: 'loop.xml' includes itself"},
        {"<xi:include href='spin.xml'/>", NULL},
        {"<xi:include href='top.xml'/>", "top.xml:1:1: error: an included file is <parts> or <board>, found <fabsim>"},
        {"<xi:include href='self.xml'/>", "self.xml:1:1: error: <xi:include> cannot be the whole file"},
        {"<xi:include/>", "inc.xml:2:1: error: <xi:include> needs href=\"FILE.xml\""},
        {"<xi:include href=''/>", "inc.xml:2:13: error: <xi:include> needs href=\"FILE.xml\""},
        {"<xi:include href='a' parse='text'/>",
         "inc.xml:2:22: error: unknown attribute 'parse' of <xi:include>, expected only href"},
        {"<xi:include href='a'><xi:fallback/></xi:include>", "inc.xml:2:1: error: <xi:include> must be empty"},
        {"<xi:fallback/>", "inc.xml:2:1: error: <xi:fallback> is not supported, only <xi:include href=\"...\"/>"},
    };
    put("loop.xml", "<parts xmlns:xi='http://www.w3.org/2001/XInclude'><xi:include href='loop.xml'/></parts>");
    put("spin.xml", "<parts xmlns:xi='http://www.w3.org/2001/XInclude'><xi:include href='lib/../spin.xml'/></parts>");
    put("top.xml", "<fabsim/>");
    put("self.xml", "<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='x'/>");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text, ROOT "%s</fabsim>", cases[i].include);
        put("inc.xml", text);
        char message[512] = ""; /* spin.xml's path grows with each turn */
        for (int turn = 0; turn < 15; turn++)
            strcat(message, "lib/../");
        strcat(message, "spin.xml:1:63: error: includes nest deeper than 16");
        expect_load_error("inc.xml", FS_E_TOPOLOGY, cases[i].message ? cases[i].message : message);
    }
    expect_load_error("none.xml", FS_E_IO, "fabsim: error: cannot read 'none.xml': No such file or directory");
    expect_load_error(".", FS_E_IO, "fabsim: error: cannot read '.': Is a directory");
}

static void too_many_files_are_an_error(void **state)
{
    (void)state;
    put("empty.xml", "<parts/>");
    FILE *file = fopen("many.xml", "w");
    fputs(ROOT, file);
    for (int i = 0; i < 1024; i++)
        fputs("<xi:include href='empty.xml'/>\n", file);
    fputs("</fabsim>", file);
    fclose(file);
    expect_load_error("many.xml", FS_E_TOPOLOGY, "empty.xml: error: a topology includes at most 1024 files");
}

static void large_files_are_an_error(void **state)
{
    (void)state;
    size_t length = ((size_t)64 << 20) + 1;
    char *text = malloc(length);
    memset(text, ' ', length);
    fs_topo *topo;
    fs_err err;
    assert_int_equal(fs_topo_parse("t.xml", text, length, NULL, 0, &topo, &err), FS_E_TOPOLOGY);
    assert_string_equal(err.text, "a topology is at most 64 MiB, all its files together");
    free(text);
}

/* Lines past 65535, where libxml2 stops counting on elements. */
static void far_lines_are_exact(void **state)
{
    (void)state;
    size_t head = strlen("<fabsim>");
    char *text = malloc(head + 70000 + 8);
    strcpy(text, "<fabsim>");
    memset(text + head, '\n', 70000);
    strcpy(text + head + 70000, " <bad/>");
    char *xml = malloc(strlen(text) + 20);
    sprintf(xml, "%s</fabsim>", text);
    char *good = replaced(xml, "<fabsim>", ROOT);
    expect_error(good, FS_E_TOPOLOGY,
                 "t.xml:70002:2: error: unknown element <bad> in <fabsim>, expected one of: parts board system");
    free(text);
    free(xml);
    free(good);
}

/* ---- --set ------------------------------------------------------------------------------------------------------- */

static fs_status set(const char *name, const char *attribute, const char *value, fs_topo **topo, fs_err *err)
{
    fs_topo_override o = {name, attribute, value};
    return fs_topo_parse("t.xml", valid, strlen(valid), &o, 1, topo, err);
}

static void overrides_apply(void **state)
{
    (void)state;
    fs_topo *topo;
    fs_err err;
    assert_int_equal(set("nv", "bandwidth", "50GB/s", &topo, &err), FS_OK);
    assert_true(fs_topo_link(topo, 0).bandwidth_Bps == 100e9);
    fs_topo_free(topo);
    assert_int_equal(set("g", "fp16", "1PFLOP/s", &topo, &err), FS_OK);
    assert_true(topo->parts[0].peak_flops[FS_FP16] == 1e15);
    fs_topo_free(topo);
    assert_int_equal(set("s", "power", "5W", &topo, &err), FS_OK); /* an attribute that was not there */
    assert_true(topo->parts[1].power_W == 5);
    fs_topo_free(topo);
}

static void bad_overrides_are_usage_errors(void **state)
{
    (void)state;
    static const struct {
        const char *name, *attribute, *value, *message;
    } cases[] = {
        {"x9", "power", "1W", "--set topo:x9.power: nothing has that name"},
        {"leav", "power", "1W", "--set topo:leav.power: nothing has that name (did you mean 'leaf'?)"},
        {"g", "pover", "1W", "--set topo:g.pover: <gpu> has no such attribute (did you mean 'power'?)"},
        {"g", "fp8", "1W", "--set topo:g.fp8: <gpu> has no such attribute"},
        {"g", "power", "1", "--set topo:g.power=1: power: expected a power such as 700W, found '1'"},
        {"g", "power", "-1W", "--set topo:g.power=-1W: power: must not be negative, found '-1W'"},
        {"g", "launch", "1e9s", "--set topo:g.launch=1e9s: launch must be from 0 to 1e6 s, found 1000000000"},
        {"nv", "effective", "26GB/s", "--set topo:nv.effective=26GB/s: effective bandwidth exceeds bandwidth"},
        {"gpu[0-1]", "part", "x", "--set topo:gpu[0-1].part=x: unknown part 'x'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fs_topo *topo = NULL;
        fs_err err;
        assert_int_equal(set(cases[i].name, cases[i].attribute, cases[i].value, &topo, &err), FS_E_USAGE);
        assert_string_equal(err.text, cases[i].message);
        assert_int_equal(err.line, 0);
        assert_null(topo);
    }
    char *twin = replaced(valid, "<nic name=\"n\"", "<nic name=\"leaf\"");
    fs_topo_override o = {"leaf", "power", "1W"};
    fs_topo *topo;
    fs_err err;
    assert_int_equal(fs_topo_parse("t.xml", twin, strlen(twin), &o, 1, &topo, &err), FS_E_USAGE);
    assert_string_equal(err.text, "--set topo:leaf.power: several elements have that name");
    free(twin);
}

/* ---- schema and vocabulary --------------------------------------------------------------------------------------- */

static const char *sample(const fs_word_attr *a)
{
    static const char *const quantities[] = {
        [FS_UNIT_NONE] = "0.5",       [FS_UNIT_SECONDS] = "1us", [FS_UNIT_BYTES] = "1GB", [FS_UNIT_BPS] = "1GB/s",
        [FS_UNIT_FLOPS] = "1TFLOP/s", [FS_UNIT_FLOP] = "1TFLOP", [FS_UNIT_WATTS] = "1W"};
    static char choice[64];
    switch (a->kind) {
    case FS_WORD_COUNT: return "2";
    case FS_WORD_QUANTITY: return quantities[a->unit];
    case FS_WORD_CHOICE:
        snprintf(choice, sizeof choice, "%.*s", (int)strcspn(a->choices, " "), a->choices);
        return choice;
    default: return "x";
    }
}

static bool is_valid(fs_doc *doc)
{
    fs_err err;
    return fs_doc_validate(doc, &err) == FS_OK;
}

/* What the table of words calls required, optional or unknown, so does the schema. */
static void the_schema_and_the_words_agree(void **state)
{
    (void)state;
    static const char *const values[] = {"",     "x",      "-1GB/s", "yes", "1.5", "1us",
                                         "1us ", "a[0-1]", "a/b",    "2",   "-2",  "12345678901"};
    fs_doc doc;
    fs_err err;
    assert_int_equal(fs_doc_open(&doc, "t.xml", valid, strlen(valid), &err), FS_OK);
    xmlNode *root = xmlDocGetRootElement(doc.tree);
    for (xmlNode *e = root; e; e = fs_doc_walk(e, root)) {
        const fs_word *word = fs_word_of(e);
        assert_non_null(word);
        for (const fs_word_attr *a = word->attributes; a->name; a++) {
            const xmlChar *name = (const xmlChar *)a->name;
            xmlChar *before = xmlGetProp(e, name);
            const char *why;
            xmlUnsetProp(e, name);
            assert_int_equal(is_valid(&doc), !a->required);
            xmlSetProp(e, name, (const xmlChar *)sample(a));
            assert_true(is_valid(&doc) && fs_word_check(a, sample(a), &why));
            for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
                xmlSetProp(e, name, (const xmlChar *)values[v]);
                if (is_valid(&doc) != fs_word_check(a, values[v], &why))
                    fail_msg("<%s %s=\"%s\">", (const char *)e->name, a->name, values[v]);
            }
            if (before)
                xmlSetProp(e, name, before);
            else
                xmlUnsetProp(e, name);
            xmlFree(before);
        }
        xmlSetProp(e, (const xmlChar *)"bogus", (const xmlChar *)"x");
        assert_false(is_valid(&doc));
        xmlUnsetProp(e, (const xmlChar *)"bogus");
    }
    fs_doc_close(&doc);
}

/* ---- all the rest ------------------------------------------------------------------------------------------------ */

static void failing_allocations_are_clean(void **state)
{
    (void)state;
    char *bad = replaced(valid, "launch=", "lunch=");
    const fs_topo_override o[] = {{"nv", "bandwidth", "50GB/s"}, {"nw", "x", "y"}};
    put("part.xml", "<parts/>");
    put("inc.xml", ROOT "<xi:include href='part.xml'/><system/></fabsim>");
    for (int round = 0; round < 4; round++) {
        fs_status status = FS_E_NOMEM;
        /* Every one in the first round; the others mostly read the same schema again: one in seven. */
        for (uint64_t n = 1; status == FS_E_NOMEM; n += round == 0 ? 1 : 7) {
            fs_topo *topo = NULL;
            fs_err err;
            uint64_t live = fs_mem_live();
            fs_mem_fail_after(n);
            if (round == 3)
                status = fs_topo_load("inc.xml", NULL, 0, &topo, &err);
            else
                status = fs_topo_parse("t.xml", round == 1 ? bad : valid, strlen(round == 1 ? bad : valid), o,
                                       round == 2 ? 2 : 1, &topo, &err);
            fs_mem_fail_after(0);
            fs_topo_free(topo);
            assert_int_equal(fs_mem_live(), live);
        }
        assert_int_equal(status, round == 0 ? FS_OK : round == 2 ? FS_E_USAGE : FS_E_TOPOLOGY);
    }
    free(bad);
}

static int set_up(void **state)
{
    fs_topo *topo;
    fs_err err;
    if (parse(valid, &topo, &err) != FS_OK) /* libxml2 keeps some global tables from its first use */
        return -1;
    fs_topo_free(topo);
    return make_folder(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_system_expands),
        cmocka_unit_test(a_single_board_keeps_names),
        cmocka_unit_test(the_system_decides_on_forwarding),
        cmocka_unit_test(a_place_without_count_is_not_numbered),
        cmocka_unit_test(words_are_checked),
        cmocka_unit_test(figures_are_checked),
        cmocka_unit_test(references_are_checked),
        cmocka_unit_test(text_that_is_not_xml),
        cmocka_unit_test(includes_compose),
        cmocka_unit_test(bad_includes_are_errors),
        cmocka_unit_test(too_many_files_are_an_error),
        cmocka_unit_test(large_files_are_an_error),
        cmocka_unit_test(far_lines_are_exact),
        cmocka_unit_test(overrides_apply),
        cmocka_unit_test(bad_overrides_are_usage_errors),
        cmocka_unit_test(the_schema_and_the_words_agree),
        cmocka_unit_test(failing_allocations_are_clean),
    };
    return cmocka_run_group_tests_name("topo_xml", tests, set_up, remove_folder);
}
