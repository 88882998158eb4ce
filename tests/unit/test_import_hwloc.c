/* test_import_hwloc.c - exports of lstopo become boards: two fixtures, small made-up nodes, errors.
 *
 * Real exports are tried where FABSIM_SHARED names a folder that holds inputs/hwloc/; they are skipped elsewhere. */
#include "base/mem.h"
#include "topo/import_hwloc.h"
#include "topo/import_hwloc_board.h"
#include "topo/import_hwloc_pcie.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FIXTURES "tests/fixtures/hwloc/"

static char folder[64], node_path[96], board_path[96];

static int make_folder(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/fabsim-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    snprintf(node_path, sizeof node_path, "%s/node.xml", folder);
    snprintf(board_path, sizeof board_path, "%s/board.xml", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(node_path);
    unlink(board_path);
    return rmdir(folder);
}

/* ---- importing --------------------------------------------------------------------------------------------------- */

static fs_status try_import(const char *path, const fs_hwloc_options *options, fs_err *err)
{
    fs_out *out = NULL;
    fs_status status = fs_out_open(board_path, &out, err);
    if (status != FS_OK)
        return status;
    status = fs_import_hwloc(path, options, out, err);
    if (status != FS_OK) {
        fs_out_discard(out);
        return status;
    }
    return fs_out_close(out, err);
}

/* The board's text; the caller frees it. */
static char *import_text(const char *path, const fs_hwloc_options *options)
{
    fs_err err = {0};
    char *text = NULL;
    size_t length;
    if (try_import(path, options, &err) != FS_OK)
        fail_msg("%s: %s", path, err.text);
    assert_int_equal(fs_file_read(board_path, &text, &length, &err), FS_OK);
    return text;
}

static fs_topo *import_topo(const char *path, const fs_hwloc_options *options)
{
    fs_err err = {0};
    fs_topo *topo = NULL;
    char *text = import_text(path, options);
    if (fs_topo_parse("board.xml", text, strlen(text), NULL, 0, &topo, &err) != FS_OK)
        fail_msg("board.xml:%u: %s", err.line, err.text);
    fs_free(text);
    return topo;
}

static void expect_error(const char *path, const fs_hwloc_options *options, fs_status status, const char *text)
{
    fs_err err = {0};
    assert_int_equal(try_import(path, options, &err), status);
    assert_string_equal(err.text, text);
}

static void expect_text(const char *path, const fs_hwloc_options *options, const char *part)
{
    char *text = import_text(path, options);
    if (!strstr(text, part))
        fail_msg("no '%s' in:\n%s", part, text);
    fs_free(text);
}

/* ---- asking a topology ------------------------------------------------------------------------------------------- */

static uint32_t count_kind(const fs_topo *topo, fs_device_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < topo->n_devices; i++)
        count += fs_topo_device(topo, i).kind == kind;
    return count;
}

/* Lanes from a device over links of a class; to devices of `kind` only, unless that is FS_DEVICE_KINDS. */
static uint32_t lanes_from(const fs_topo *topo, uint32_t device, fs_link_class class_, fs_device_kind kind)
{
    uint32_t lanes = 0;
    for (uint32_t i = 0; i < fs_topo_out_count(topo, device); i++) {
        const fs_link link = fs_topo_link(topo, fs_topo_out_link(topo, device, i));
        if (topo->link_types[link.type].class_ == class_ &&
            (kind == FS_DEVICE_KINDS || fs_topo_device(topo, link.dst).kind == kind))
            lanes += link.lanes;
    }
    return lanes;
}

/* FS_NONE: there is none. */
static uint32_t link_between(const fs_topo *topo, const char *from, const char *to)
{
    const uint32_t a = fs_topo_find(topo, from), b = fs_topo_find(topo, to);
    assert_int_not_equal(a, FS_NONE);
    assert_int_not_equal(b, FS_NONE);
    for (uint32_t i = 0; i < topo->n_links; i++)
        if (fs_topo_link(topo, i).src == a && fs_topo_link(topo, i).dst == b)
            return i;
    return FS_NONE;
}

static void expect_link(const fs_topo *topo, const char *from, const char *to, const char *type, uint32_t lanes)
{
    const uint32_t id = link_between(topo, from, to);
    if (id == FS_NONE)
        fail_msg("no link from %s to %s", from, to);
    const fs_link link = fs_topo_link(topo, id);
    assert_string_equal(topo->link_types[link.type].name, type);
    assert_int_equal(link.lanes, lanes);
}

static void expect_part(const fs_topo *topo, const char *device, const char *part)
{
    const uint32_t id = fs_topo_find(topo, device);
    assert_int_not_equal(id, FS_NONE);
    assert_string_equal(topo->parts[fs_topo_device(topo, id).part].name, part);
}

/* Every device reaches every other over some path. */
static void expect_connected(const fs_topo *topo)
{
    uint32_t *queue = calloc(topo->n_devices, sizeof *queue), head = 0, tail = 0;
    bool *seen = calloc(topo->n_devices, sizeof *seen);
    queue[tail++] = 0;
    seen[0] = true;
    while (head < tail) {
        const uint32_t device = queue[head++];
        for (uint32_t i = 0; i < fs_topo_out_count(topo, device); i++) {
            const uint32_t next = fs_topo_link(topo, fs_topo_out_link(topo, device, i)).dst;
            if (!seen[next]) {
                seen[next] = true;
                queue[tail++] = next;
            }
        }
    }
    assert_int_equal(tail, topo->n_devices);
    free(queue);
    free(seen);
}

/* ---- fixtures ---------------------------------------------------------------------------------------------------- */

static void a100_node_has_its_switches(void **state)
{
    (void)state;
    fs_topo *topo = import_topo(FIXTURES "nvswitch-8-a100.xml", NULL);
    assert_int_equal(topo->n_gpus, 8);
    assert_int_equal(count_kind(topo, FS_DEVICE_NVSWITCH), 6);
    assert_int_equal(count_kind(topo, FS_DEVICE_NIC), 9); /* 8, and one card with two functions; one is down */
    assert_int_equal(count_kind(topo, FS_DEVICE_CPU), 2);
    assert_int_equal(count_kind(topo, FS_DEVICE_PCIE_SWITCH), 4); /* not the one above the NVSwitches */
    for (uint32_t i = 0; i < topo->n_devices; i++) {
        if (fs_topo_device(topo, i).kind == FS_DEVICE_GPU)
            assert_int_equal(lanes_from(topo, i, FS_CLASS_NVLINK, FS_DEVICE_NVSWITCH), 12);
        if (fs_topo_device(topo, i).kind == FS_DEVICE_NVSWITCH)
            assert_int_equal(lanes_from(topo, i, FS_CLASS_NVLINK, FS_DEVICE_KINDS), 16);
    }
    expect_part(topo, "gpu7", "a100-sxm4-40gb");
    expect_part(topo, "nvsw5", "nvswitch2");
    expect_part(topo, "nic0", "connectx-6");
    expect_part(topo, "plx3", "pex-gen4");
    expect_part(topo, "cpu1", "epyc-7742");
    expect_link(topo, "gpu0", "nvsw0", "nvlink3", 2);
    expect_connected(topo);
    fs_topo_free(topo);
}

static void a100_node_has_its_pcie_tree(void **state)
{
    (void)state;
    fs_topo *topo = import_topo(FIXTURES "nvswitch-8-a100.xml", NULL);
    static const char *const tree[][2] = {
        {"gpu0", "plx0"}, {"gpu1", "plx0"}, {"gpu2", "plx1"}, {"gpu3", "plx1"}, {"gpu4", "plx2"}, {"gpu5", "plx2"},
        {"gpu6", "plx3"}, {"gpu7", "plx3"}, {"nic0", "plx0"}, {"nic1", "plx0"}, {"nic2", "cpu0"}, {"nic3", "plx1"},
        {"nic8", "plx3"}, {"plx0", "cpu0"}, {"plx1", "cpu0"}, {"plx2", "cpu1"}, {"plx3", "cpu1"},
    };
    for (size_t i = 0; i < sizeof tree / sizeof tree[0]; i++) /* 4.0 is what the ports say; NVML's figure is 3.0 */
        expect_link(topo, tree[i][0], tree[i][1], "pcie4-x16", 1);
    expect_link(topo, "cpu0", "cpu1", "xgmi-rome", 1);
    fs_topo_free(topo);
    expect_text(FIXTURES "nvswitch-8-a100.xml", NULL,
                "<device name=\"nic2\" part=\"connectx-6\" source=\"hwloc: mlx5_8 at 0000:21:00.0, mlx5_9 at "
                "0000:21:00.1, 1 of 2 ports active\"/>");
    expect_text(FIXTURES "nvswitch-8-a100.xml", NULL,
                "left out, no port is active: mlx5_10 at 0000:22:00.0, 0 of 1 ports active");
}

static void p100_mesh_has_its_links(void **state)
{
    (void)state;
    fs_topo *topo = import_topo(FIXTURES "mesh-8-p100.xml", NULL);
    char from[8], to[8];
    assert_int_equal(topo->n_gpus, 8);
    assert_int_equal(count_kind(topo, FS_DEVICE_NVSWITCH), 0);
    assert_int_equal(count_kind(topo, FS_DEVICE_NIC), 4);
    assert_int_equal(count_kind(topo, FS_DEVICE_PCIE_SWITCH), 4);
    for (uint32_t a = 0; a < 8; a++) {
        snprintf(from, sizeof from, "gpu%u", a);
        assert_int_equal(lanes_from(topo, topo->gpus[a], FS_CLASS_NVLINK, FS_DEVICE_GPU), 4);
        for (uint32_t b = 0; b < 8; b++) {
            snprintf(to, sizeof to, "gpu%u", b);
            if (a != b && (a / 4 == b / 4 || a % 4 == b % 4))
                expect_link(topo, from, to, "nvlink1-mesh", 1);
            else
                assert_int_equal(FS_NONE, link_between(topo, from, to));
        }
    }
    expect_link(topo, "gpu6", "plx3", "pcie3-x16", 1);
    expect_link(topo, "nic3", "plx3", "pcie3-x16", 1);
    expect_link(topo, "plx3", "cpu1", "pcie3-x16-root", 1); /* Intel */
    expect_link(topo, "cpu0", "cpu1", "qpi-broadwell", 1);
    expect_connected(topo);
    fs_topo_free(topo);
}

static void same_node_gives_same_bytes(void **state)
{
    (void)state;
    char *once = import_text(FIXTURES "mesh-8-p100.xml", NULL), *again = import_text(FIXTURES "mesh-8-p100.xml", NULL);
    assert_string_equal(once, again);
    fs_free(once);
    fs_free(again);
}

/* ---- real exports ------------------------------------------------------------------------------------------------ */

static const char *shared_file(const char *name)
{
    static char path[512];
    const char *shared = getenv("FABSIM_SHARED");
    if (!shared) {
        print_message("FABSIM_SHARED is not set: skipped\n");
        skip();
    }
    snprintf(path, sizeof path, "%s/inputs/hwloc/%s", shared, name);
    return path;
}

static void real_dgx2h(void **state)
{
    (void)state;
    fs_topo *topo = import_topo(shared_file("nvidiaDGX2.xml"), NULL);
    char from[8], to[8];
    assert_int_equal(topo->n_gpus, 16);
    assert_int_equal(count_kind(topo, FS_DEVICE_NVSWITCH), 12);
    assert_int_equal(count_kind(topo, FS_DEVICE_PCIE_SWITCH), 12);
    expect_part(topo, "gpu15", "v100-sxm3-32gb-h");
    for (uint32_t gpu = 0; gpu < 16; gpu++)
        assert_int_equal(lanes_from(topo, topo->gpus[gpu], FS_CLASS_NVLINK, FS_DEVICE_NVSWITCH), 6);
    for (uint32_t i = 0; i < 6; i++) { /* trunks, which hwloc does not see */
        snprintf(from, sizeof from, "nvsw%u", i);
        snprintf(to, sizeof to, "nvsw%u", i + 6);
        expect_link(topo, from, to, "nvlink2-trunk", 8);
    }
    expect_link(topo, "gpu0", "nvsw5", "nvlink2", 1);
    assert_int_equal(FS_NONE, link_between(topo, "gpu0", "nvsw6"));
    expect_connected(topo);
    fs_topo_free(topo);
}

static void real_power8(void **state)
{
    (void)state;
    fs_topo *topo = import_topo(shared_file("power8gpudistances.xml"), NULL);
    assert_int_equal(topo->n_gpus, 4);
    expect_link(topo, "gpu0", "gpu1", "nvlink1-mesh", 2);
    expect_link(topo, "gpu2", "gpu3", "nvlink1-mesh", 2);
    expect_link(topo, "gpu1", "cpu0", "pcie3-x8", 1);
    expect_link(topo, "cpu0", "cpu1", "xbus-power8", 1);
    for (uint32_t gpu = 0; gpu < 4; gpu++) {
        assert_int_equal(lanes_from(topo, topo->gpus[gpu], FS_CLASS_C2C, FS_DEVICE_CPU), 2);
        assert_int_equal(lanes_from(topo, topo->gpus[gpu], FS_CLASS_NVLINK, FS_DEVICE_KINDS), 2);
    }
    expect_connected(topo);
    fs_topo_free(topo);
}

/* ---- made-up nodes ----------------------------------------------------------------------------------------------- */

typedef uint64_t (*rate)(uint32_t from, uint32_t to); /* MB/s; GPUs first, then switches */

typedef struct node {
    uint32_t gpus, switches;
    const char *model, *product;
    const char *osdev; /* "nvml", "cuda", or NULL for bare PCI devices */
    uint32_t pci_device;
    bool functions;         /* switches are functions of half as many chips */
    uint32_t bridges;       /* nested above the GPUs */
    uint32_t other_sockets; /* beside the one: then the PCI tree belongs to none of them */
    bool no_socket;
    uint32_t nic;          /* PCI device id of a NIC of vendor 15b3; 0: none */
    bool socket_in_matrix; /* behind GPUs and switches */
    rate rates;            /* NULL: no matrix */
} node;

static void write_matrix(FILE *f, const node *n)
{
    const uint32_t count = n->gpus + n->switches + n->socket_in_matrix;
    char line[4096];
    fprintf(f, "<distances2hetero nbobjs=\"%u\" kind=\"25\" name=\"NVLinkBandwidth\">\n", count);
    for (uint32_t i = 0; i < count; i++) {
        if (i < n->gpus + n->switches)
            snprintf(line, sizeof line, "%s:%u ", i < n->gpus ? "OSDev" : "PCIDev", i < n->gpus ? 5000 + i : 1000 + i);
        else
            snprintf(line, sizeof line, "Package:10 ");
        fprintf(f, "<indexes length=\"%zu\">%s</indexes>\n", strlen(line), line);
    }
    for (uint32_t i = 0; i < count; i++) {
        size_t used = 0;
        for (uint32_t j = 0; j < count; j++)
            used += (size_t)snprintf(line + used, sizeof line - used, "%llu ",
                                     (unsigned long long)(i == j ? 9 : n->rates(i, j)));
        fprintf(f, "<u64values length=\"%zu\">%s</u64values>\n", used, line);
    }
    fputs("</distances2hetero>\n", f);
}

static void write_pci(FILE *f, const node *n)
{
    fputs("<object type=\"Bridge\" gp_index=\"6\" bridge_type=\"0-1\" depth=\"0\" bridge_pci=\"0000:[00-ff]\">\n", f);
    for (uint32_t i = 0; i < n->bridges; i++)
        fprintf(f,
                "<object type=\"Bridge\" gp_index=\"%u\" bridge_type=\"1-1\" depth=\"%u\" bridge_pci=\"0000:[01-ff]\" "
                "pci_busid=\"0000:00:%02x.0\" pci_type=\"0604 [1000:c010] [0000:0000] 00\" pci_link_speed=\"31.5\">\n",
                100 + i, 1 + i, i % 32);
    for (uint32_t i = 0; i < n->gpus; i++) {
        fprintf(f,
                "<object type=\"PCIDev\" gp_index=\"%u\" pci_busid=\"%04x:%02x:00.0\" "
                "pci_type=\"0302 [10de:%04x] [10de:0000] a1\" pci_link_speed=\"0.000000\">\n",
                1000 + i, i / 100, 1 + i % 100, n->pci_device);
        if (n->osdev)
            fprintf(f,
                    "<object type=\"OSDev\" gp_index=\"%u\" name=\"%s%u\" osdev_type=\"1\">"
                    "<info name=\"GPUModel\" value=\"%s\"/></object>\n",
                    5000 + i, n->osdev, i, n->model);
        fputs("</object>\n", f);
    }
    for (uint32_t i = 0; i < n->switches; i++)
        fprintf(f,
                "<object type=\"PCIDev\" gp_index=\"%u\" subtype=\"NVSwitch\" pci_busid=\"0000:%02x:00.%u\" "
                "pci_type=\"0680 [10de:1af1] [10de:0000] a1\" pci_link_speed=\"0.0\"/>\n",
                1000 + n->gpus + i, 0x80 + (n->functions ? i / 2 : i), n->functions ? i % 2 : 0);
    if (n->nic)
        fprintf(f,
                "<object type=\"PCIDev\" gp_index=\"7\" pci_busid=\"0000:f0:00.0\" pci_type=\"0207 [15b3:%04x] "
                "[15b3:0000] 00\" "
                "pci_link_speed=\"63.0\"/>\n",
                n->nic);
    for (uint32_t i = 0; i <= n->bridges; i++)
        fputs("</object>\n", f);
}

static void write_socket(FILE *f, const node *n, uint32_t index)
{
    char set[128];
    snprintf(set, sizeof set, "cpuset=\"0x%x\" complete_cpuset=\"0x%x\" nodeset=\"0x1\" complete_nodeset=\"0x1\"",
             1u << index, 1u << index);
    if (!n->no_socket)
        fprintf(f, "<object type=\"Package\" os_index=\"%u\" gp_index=\"%u\" %s>\n", index, 10 + index, set);
    fprintf(f, "<object type=\"PU\" os_index=\"%u\" gp_index=\"%u\" %s/>\n", index, 20 + index, set);
    if (index == 0 && n->other_sockets == 0)
        write_pci(f, n);
    if (!n->no_socket)
        fputs("</object>\n", f);
}

static const char *write_node(const node *n)
{
    const unsigned all = (1u << (1 + n->other_sockets)) - 1;
    char set[128];
    snprintf(set, sizeof set, "cpuset=\"0x%x\" complete_cpuset=\"0x%x\" nodeset=\"0x1\" complete_nodeset=\"0x1\"", all,
             all);
    FILE *f = fopen(node_path, "w");
    assert_non_null(f);
    fprintf(
        f,
        "<?xml version=\"1.0\"?>\n<topology version=\"2.0\">\n"
        "<object type=\"Machine\" os_index=\"0\" gp_index=\"1\" allowed_cpuset=\"0x%x\" allowed_nodeset=\"0x1\" %s>\n"
        "<info name=\"DMIProductName\" value=\"%s\"/>\n"
        "<object type=\"NUMANode\" os_index=\"0\" gp_index=\"2\" local_memory=\"1\" %s/>\n",
        all, set, n->product ? n->product : "made up", set);
    for (uint32_t i = 0; i <= n->other_sockets; i++)
        write_socket(f, n, i);
    if (n->other_sockets > 0)
        write_pci(f, n);
    fputs("</object>\n", f);
    if (n->rates)
        write_matrix(f, n);
    fputs("</topology>\n", f);
    assert_int_equal(fclose(f), 0);
    return node_path;
}

static const node a100s = {.gpus = 8, .model = "NVIDIA A100-SXM4-80GB", .osdev = "nvml"};
static bool is_switch(uint32_t i)
{
    return i >= 8;
} /* of 8 GPUs */

static uint64_t all_pairs(uint32_t from, uint32_t to)
{
    return is_switch(from) || is_switch(to) ? 0 : 300000;
}

static void closed_matrix_becomes_one_switch(void **state)
{
    (void)state;
    node n = a100s;
    n.rates = all_pairs;
    fs_topo *topo = import_topo(write_node(&n), NULL);
    assert_int_equal(count_kind(topo, FS_DEVICE_NVSWITCH), 1);
    for (uint32_t gpu = 0; gpu < 8; gpu++)
        assert_int_equal(lanes_from(topo, topo->gpus[gpu], FS_CLASS_NVLINK, FS_DEVICE_KINDS), 12);
    expect_link(topo, "gpu3", "nvsw0", "nvlink3", 12);
    expect_link(topo, "gpu3", "cpu0", "pcie4-x16", 1); /* speed unknown: the generation is the GPU's */
    fs_topo_free(topo);
    expect_text(node_path, NULL, "it was closed transitively, and one switch stands for all NVSwitches");
    expect_text(node_path, NULL, "source=\"assumed: PCIe 4.0 x16\"");
    expect_text(node_path, NULL, "<device name=\"nvsw0\" part=\"nvswitch2\" source=\"hwloc: NVLinkBandwidth\"/>");
}

static uint64_t closed_and_switched(uint32_t from, uint32_t to)
{
    return is_switch(from) != is_switch(to) ? 50000 : is_switch(from) ? 0 : 300000;
}

static void direct_links_beside_switches_are_dropped(void **state)
{
    (void)state;
    node n = a100s;
    n.switches = 6;
    n.rates = closed_and_switched;
    fs_topo *topo = import_topo(write_node(&n), NULL);
    for (uint32_t gpu = 0; gpu < 8; gpu++) {
        assert_int_equal(lanes_from(topo, topo->gpus[gpu], FS_CLASS_NVLINK, FS_DEVICE_GPU), 0);
        assert_int_equal(lanes_from(topo, topo->gpus[gpu], FS_CLASS_NVLINK, FS_DEVICE_NVSWITCH), 12);
    }
    fs_topo_free(topo);
}

static uint64_t own_port(uint32_t from, uint32_t to)
{
    return from + 8 == to || to + 8 == from ? 300000 : 0;
}

static void ports_are_merged_into_a_switch(void **state)
{
    (void)state;
    node n = a100s;
    n.switches = 8;
    n.rates = own_port;
    fs_topo *topo = import_topo(write_node(&n), NULL);
    assert_int_equal(count_kind(topo, FS_DEVICE_NVSWITCH), 1);
    expect_link(topo, "gpu0", "nvsw0", "nvlink3", 12);
    expect_link(topo, "gpu7", "nvsw0", "nvlink3", 12);
    fs_topo_free(topo);
    expect_text(node_path, NULL, "every NVSwitch object has one GPU: they are taken for the ports of one switch");
}

static uint64_t switched(uint32_t from, uint32_t to)
{
    return is_switch(from) != is_switch(to) ? 25000 : 0;
}

static void functions_of_a_chip_are_one_switch(void **state)
{
    (void)state;
    node n = a100s;
    n.switches = 12;
    n.functions = true;
    n.rates = switched;
    fs_topo *topo = import_topo(write_node(&n), NULL);
    assert_int_equal(count_kind(topo, FS_DEVICE_NVSWITCH), 6);
    expect_link(topo, "gpu0", "nvsw5", "nvlink3", 2);
    fs_topo_free(topo);
}

/* GPUs 0-3 at the even switches, 4-7 at the odd ones: bus order must pair 8 with 9, 10 with 11. */
static uint64_t halves(uint32_t from, uint32_t to)
{
    const uint32_t gpu = is_switch(from) ? to : from, chip = is_switch(from) ? from : to;
    return is_switch(from) != is_switch(to) && gpu / 4 == chip % 2 ? 50000 : 0;
}

static void halves_are_joined_by_trunks(void **state)
{
    (void)state;
    node n = a100s;
    n.switches = 4;
    n.rates = halves;
    fs_topo *topo = import_topo(write_node(&n), NULL);
    expect_link(topo, "nvsw0", "nvsw1", "nvlink3-trunk", 8);
    expect_link(topo, "nvsw2", "nvsw3", "nvlink3-trunk", 8);
    fs_topo_free(topo);
    expect_text(node_path, NULL, "2 pairs joined as in a DGX-2, with as many lanes as each has to GPUs");

    n.model = "NVIDIA H100 80GB HBM3"; /* no such boards: no trunks */
    topo = import_topo(write_node(&n), NULL);
    assert_int_equal(FS_NONE, link_between(topo, "nvsw0", "nvsw1"));
    fs_topo_free(topo);
    expect_text(node_path, NULL,
                "the NVSwitches form 2 groups which hwloc does not join: GPUs of different groups meet over PCIe");

    n = a100s;
    n.switches = 5; /* three on one side */
    n.rates = halves;
    expect_text(write_node(&n), NULL, "the NVSwitches form 2 groups which hwloc does not join");
}

/* ---- GPUs and options -------------------------------------------------------------------------------------------- */

static void gpus_are_found_in_three_ways(void **state)
{
    (void)state;
    node n = {.gpus = 2, .model = "Tesla V100-SXM2-32GB", .osdev = "cuda"};
    expect_text(write_node(&n), NULL,
                "<device name=\"gpu1\" part=\"v100-sxm2-32gb\" source=\"hwloc: cuda1 at 0000:02:00.0, Tesla "
                "V100-SXM2-32GB\"/>");
    expect_text(node_path, NULL, "no NVLinkBandwidth matrix, so no NVLinks");
    n = (node){.gpus = 2, .pci_device = 0x20b2};
    expect_text(write_node(&n), NULL,
                "<device name=\"gpu1\" part=\"a100-sxm4-80gb\" source=\"hwloc: PCI 0000:02:00.0\"/>");
    const fs_hwloc_options options = {.gpu_part = "h200-sxm"};
    expect_text(node_path, &options, "<device name=\"gpu0\" part=\"h200-sxm\"");
}

static void unknown_parts_are_errors(void **state)
{
    (void)state;
    node n = {.gpus = 2, .model = "NVIDIA Nothing 9000", .osdev = "nvml", .pci_device = 0xffff};
    expect_error(
        write_node(&n), NULL, FS_E_TOPOLOGY,
        "nvml0 at 0000:01:00.0 is 'NVIDIA Nothing 9000' (PCI device 10de:ffff), which is none of the shipped parts; "
        "name one with --gpu-part");
    const fs_hwloc_options misspelt = {.gpu_part = "h200-smx"}, bad_nic = {.nic_part = "carrier-pigeon"};
    expect_error(node_path, &misspelt, FS_E_USAGE,
                 "no shipped gpu part is called 'h200-smx'; did you mean 'h200-sxm'?");
    expect_error(
        node_path, &bad_nic, FS_E_USAGE,
        "no shipped nic part is called 'carrier-pigeon'; there are connectx-4, connectx-5, connectx-6, connectx-7, "
        "bluefield-3, connectx-8, connectx-9, lpx-fabric");
    n.gpus = 0;
    expect_error(write_node(&n), NULL, FS_E_TOPOLOGY,
                 "the machine of this file has no NVIDIA GPU that hwloc sees\n"
                 "expected OS devices nvml0 or cuda0, or a PCI device of vendor 10de and class 03xx");
}

static void text_of_the_machine_is_escaped(void **state)
{
    (void)state;
    const fs_hwloc_options options = {.gpu_part = "h200-sxm"};
    const node n = {.gpus = 1,
                    .osdev = "nvml",
                    .model = "&lt;a&gt; &amp; &quot;b&quot; \xc3\xa9",
                    .product = "x --&gt; y\xe2\x82\xac"};
    fs_topo *topo = import_topo(write_node(&n), &options);
    assert_string_equal(topo->name, "x-y");
    fs_topo_free(topo);
    expect_text(node_path, &options, "&lt;a> &amp; &quot;b&quot; ??");
    expect_text(node_path, &options, "hwloc sees it: x - -> y???. Made");
}

static void this_machine_says_what_it_lacks(void **state)
{
    (void)state;
    fs_err err = {0};
    setenv("HWLOC_COMPONENTS", "-pci", 1); /* it leaks by way of libpciaccess; sysfs shows the same devices */
    const fs_status status = try_import(NULL, NULL, &err);
    unsetenv("HWLOC_COMPONENTS");
    if (status == FS_OK)
        return; /* it has GPUs */
    assert_int_equal(err.status, FS_E_TOPOLOGY);
    assert_string_equal(err.file, "");
    if (strncmp(err.text, "this machine has no NVIDIA GPU that hwloc sees", 46) != 0)
        assert_non_null(strstr(err.text, "which is none of the shipped parts"));
}

/* ---- sockets, NICs ----------------------------------------------------------------------------------------------- */

static uint64_t to_the_socket(uint32_t from, uint32_t to)
{
    return from == 2 || to == 2 ? 40000 : 0;
} /* of 2 GPUs */

static void sockets_have_nvlinks_on_power(void **state)
{
    (void)state;
    const node n = {
        .gpus = 2, .model = "Tesla P100-SXM2-16GB", .osdev = "nvml", .socket_in_matrix = true, .rates = to_the_socket};
    fs_topo *topo = import_topo(write_node(&n), NULL);
    const uint32_t cpu = fs_topo_find(topo, "cpu0");
    assert_int_equal(lanes_from(topo, cpu, FS_CLASS_C2C, FS_DEVICE_GPU), 4);
    assert_int_equal(lanes_from(topo, cpu, FS_CLASS_PCIE, FS_DEVICE_GPU), 2);
    assert_int_equal(lanes_from(topo, cpu, FS_CLASS_NVLINK, FS_DEVICE_KINDS), 0);
    fs_topo_free(topo);
}

static void grace_has_c2c(void **state)
{
    (void)state;
    const node n = {.gpus = 2, .model = "NVIDIA GB200", .osdev = "nvml"};
    fs_topo *topo = import_topo(write_node(&n), NULL);
    expect_link(topo, "gpu1", "cpu0", "c2c-gb200", 1);
    fs_topo_free(topo);
}

static void unknown_sockets_are_remarked(void **state)
{
    (void)state;
    node n = {.gpus = 1, .model = "NVIDIA H200", .osdev = "nvml", .other_sockets = 2};
    fs_topo *topo = import_topo(write_node(&n), NULL);
    assert_int_equal(count_kind(topo, FS_DEVICE_CPU), 3);
    expect_link(topo, "cpu0", "cpu2", "other-socket-link", 1);
    expect_link(topo, "cpu1", "cpu2", "other-socket-link", 1);
    expect_link(topo, "gpu0", "cpu0", "pcie5-x16", 1);
    fs_topo_free(topo);
    expect_text(node_path, NULL, "hwloc does not know how sockets are wired: each is joined to each");
    expect_text(node_path, NULL, "hwloc does not know the socket of gpu0: the first one is assumed");
    n.other_sockets = 0;
    n.no_socket = true;
    expect_text(write_node(&n), NULL, "hwloc names no CPU socket: the whole machine stands for one");
}

static void nics_need_a_part(void **state)
{
    (void)state;
    node n = {.gpus = 1, .model = "NVIDIA H200", .osdev = "nvml", .nic = 0x1021};
    expect_text(write_node(&n), NULL, "<device name=\"nic0\" part=\"connectx-7\" source=\"hwloc: PCI 0000:f0:00.0\"/>");
    n.nic = 0xffff;
    expect_text(write_node(&n), NULL, "left out, PCI device 15b3:ffff is none of the shipped parts: PCI 0000:f0:00.0");
    const fs_hwloc_options options = {.nic_part = "connectx-6"};
    expect_text(node_path, &options, "<device name=\"nic0\" part=\"connectx-6\"");
}

static uint64_t nothing(uint32_t from, uint32_t to)
{
    return (void)from, (void)to, 0;
}

static void limits_hold(void **state)
{
    (void)state;
    node n = {.gpus = 1025, .model = "NVIDIA H200", .osdev = "nvml"};
    expect_error(write_node(&n), NULL, FS_E_TOPOLOGY, "one node with more than 1024 GPUs");
    n.gpus = 1020;
    n.switches = 5;
    n.rates = nothing;
    expect_error(write_node(&n), NULL, FS_E_TOPOLOGY, "NVLinkBandwidth is a matrix of 1025 objects, more than 1024");
    n = (node){.gpus = 1, .model = "NVIDIA H200", .osdev = "nvml", .bridges = 33};
    expect_error(write_node(&n), NULL, FS_E_TOPOLOGY, "more than 32 PCIe bridges stand above one device");
    n.bridges = 32; /* 16 switches, the last of them without a downstream port */
    fs_topo *topo = import_topo(write_node(&n), NULL);
    assert_int_equal(count_kind(topo, FS_DEVICE_PCIE_SWITCH), 16);
    expect_link(topo, "gpu0", "plx15", "pcie5-x16", 1);
    expect_link(topo, "plx15", "plx14", "pcie4-x16", 1);
    fs_topo_free(topo);
    FILE *f = fopen(node_path, "w");
    assert_non_null(f);
    assert_int_equal(ftruncate(fileno(f), (64 << 20) + 1), 0);
    fclose(f);
    expect_error(node_path, NULL, FS_E_TOPOLOGY, "the file is larger than 64 MiB");
}

/* ---- NVLink errors ----------------------------------------------------------------------------------------------- */

static uint64_t odd_rate(uint32_t from, uint32_t to)
{
    return from + to == 1 ? 30000 : 0;
}
static uint64_t too_many(uint32_t from, uint32_t to)
{
    return is_switch(from) != is_switch(to) ? 75000 : 0;
}
static uint64_t no_gpu(uint32_t from, uint32_t to)
{
    return is_switch(from) && is_switch(to) ? 25000 : 0;
}
static uint64_t enormous(uint32_t from, uint32_t to)
{
    return from + to == 1 ? UINT64_MAX : 0;
}

static void impossible_nvlinks_are_errors(void **state)
{
    (void)state;
    node n = a100s;
    n.switches = 6;
    n.rates = odd_rate;
    expect_error(write_node(&n), NULL, FS_E_TOPOLOGY,
                 "NVLinkBandwidth between gpu0 and gpu1 is 30000 MB/s, no whole number of NVLinks of 25000 MB/s");
    n.rates = too_many;
    expect_error(write_node(&n), NULL, FS_E_TOPOLOGY,
                 "NVLinkBandwidth gives gpu0 18 NVLinks, but part 'a100-sxm4-80gb' has at most 12");
    n.rates = enormous;
    expect_error(write_node(&n), NULL, FS_E_TOPOLOGY,
                 "NVLinkBandwidth gives gpu0 40000 NVLinks, but part 'a100-sxm4-80gb' has at most 12");
    n.rates = no_gpu;
    expect_error(write_node(&n), NULL, FS_E_TOPOLOGY,
                 "NVLinkBandwidth joins PCI 0000:80:00.0 and PCI 0000:81:00.0, neither of which is a GPU");
    n.model = "Tesla P100-SXM2-16GB";
    n.rates = switched;
    expect_error(write_node(&n), NULL, FS_E_TOPOLOGY,
                 "NVLinkBandwidth joins gpu0 and PCI 0000:80:00.0, but part 'p100-sxm2' has no such NVLinks");
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void expect_file_error(const char *content, uint32_t line, const char *text)
{
    fs_err err = {0};
    FILE *f = fopen(node_path, "w");
    assert_non_null(f);
    fputs(content, f);
    fclose(f);
    assert_int_equal(try_import(node_path, NULL, &err), FS_E_TOPOLOGY);
    assert_string_equal(err.text, text);
    assert_string_equal(err.file, node_path);
    assert_int_equal(err.line, line);
}

static void bad_files_are_errors(void **state)
{
    (void)state;
    fs_err err = {0};
    char text[256];
    snprintf(text, sizeof text, "cannot read '%s': Is a directory", folder);
    expect_error(folder, NULL, FS_E_IO, text);
    assert_int_equal(try_import("no/such/file.xml", NULL, &err), FS_E_IO);
    assert_string_equal(err.text, "cannot read 'no/such/file.xml': No such file or directory");
    expect_file_error("", 1, "the file is empty");
    expect_file_error("GPU0 GPU1\n", 1, "not well-formed XML: Start tag expected, '<' not found");
    expect_file_error("<topology version=\"2.0\">\n<object>\n</topology>\n", 3,
                      "not well-formed XML: Opening and ending tag mismatch: object line 2 and topology");
    expect_file_error("\n<fabsim version=\"topology/1\"/>\n", 2,
                      "the root element is <fabsim>, expected <topology>, as 'lstopo --of xml' writes it");
    expect_file_error("<!DOCTYPE topology [<!ENTITY a \"b\">]>\n<topology version=\"2.0\"/>\n", 2,
                      "this file declares entities or elements of its own, which no export of lstopo does");
    expect_file_error("<!DOCTYPE topology SYSTEM \"hwloc3.dtd\">\n<topology version=\"3.0\"/>\n", 2,
                      "this export has version 3.0, the installed hwloc reads version 2.x\n"
                      "export it again with: lstopo --export-xml-flags v2 --of xml node.xml");
    expect_file_error("<topology version=\"2.0\">\n<distances2 nbobjs=\"4294967295\"/>\n</topology>\n", 2,
                      "a matrix of distances between more than 4096 objects");
    expect_file_error("<topology version=\"2.0\"/>\n", 0, "hwloc cannot make sense of this export: Invalid argument");
}

static void truncated_exports_are_errors(void **state)
{
    (void)state;
    fs_err err = {0};
    char *text = NULL;
    size_t length;
    assert_int_equal(fs_file_read(FIXTURES "mesh-8-p100.xml", &text, &length, &err), FS_OK);
    for (size_t cut = 1; cut < length - 12; cut += 997) { /* "</topology>\n" */
        FILE *f = fopen(node_path, "w");
        assert_non_null(f);
        fwrite(text, 1, cut, f);
        fclose(f);
        assert_int_equal(try_import(node_path, NULL, &err), FS_E_TOPOLOGY);
    }
    fs_free(text);
}

static void failed_allocations_are_errors(void **state)
{
    (void)state;
    fs_err err = {0};
    assert_int_equal(try_import(FIXTURES "nvswitch-8-a100.xml", NULL, &err), FS_OK); /* what libxml2 keeps for good */
    for (uint64_t n = 1;; n += n < 300 ? 1 : 7) { /* every one at first: there are thousands */
        const uint64_t before = fs_mem_live();
        fs_mem_fail_after(n);
        const fs_status status = try_import(FIXTURES "nvswitch-8-a100.xml", NULL, &err);
        fs_mem_fail_after(0);
        if (status == FS_OK)
            break;
        assert_int_equal(status, FS_E_NOMEM);
        assert_int_equal(fs_mem_live(), before);
    }
}

/* ---- models and speeds ------------------------------------------------------------------------------------------- */

static void every_model_has_a_shipped_part(void **state)
{
    (void)state;
    static const char *const models[] = {
        "Tesla P100-SXM2-16GB", "Tesla V100-SXM2-32GB",  "Tesla V100-SXM3-32GB", "Tesla V100-SXM3-32GB-H",
        "Tesla V100-PCIE-32GB", "NVIDIA A100-SXM4-40GB", "A100-SXM4-80GB",       "NVIDIA H100 80GB HBM3",
        "NVIDIA H200",          "NVIDIA B200",           "NVIDIA GB200",
    };
    static const uint32_t nics[] = {0x1013, 0x1014, 0x1017, 0x1018, 0x1019, 0x101a, 0x101b, 0x101c, 0x1021};
    fs_err err = {0};
    fs_hw_parts *parts = NULL;
    assert_int_equal(fs_hw_parts_open(&parts, &err), FS_OK);
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        const char *part = fs_hw_gpu_part(models[i], 0);
        assert_non_null(part);
        assert_int_equal(fs_hw_part_check(parts, "gpu", part, &err), FS_OK);
        const fs_hw_gpu_arch *arch = fs_hw_gpu_arch_of(fs_hw_part_attribute(parts, "gpu", part, "arch"));
        const char *const types[] = {arch->switched, arch->direct, arch->to_cpu, arch->trunk};
        for (size_t k = 0; k < sizeof types / sizeof types[0]; k++)
            if (types[k])
                assert_int_equal(fs_hw_part_check(parts, "link-type", types[k], &err), FS_OK);
        if (arch->nvswitch)
            assert_int_equal(fs_hw_part_check(parts, "nvswitch", arch->nvswitch, &err), FS_OK);
    }
    for (size_t i = 0; i < sizeof nics / sizeof nics[0]; i++)
        assert_int_equal(fs_hw_part_check(parts, "nic", fs_hw_nic_part(0x15b3, nics[i]), &err), FS_OK);
    for (uint32_t generation = 1; generation <= 6; generation++)
        assert_int_equal(fs_hw_part_check(parts, "pcie-switch", fs_hw_pcie_switch_part(generation), &err), FS_OK);
    assert_null(fs_hw_gpu_part("NVIDIA GH200 480GB", 0)); /* not an H200 */
    assert_null(fs_hw_gpu_part(NULL, 0));
    assert_null(fs_hw_nic_part(0x8086, 0x1013));
    fs_hw_parts_close(parts);
}

static void speeds_are_decoded(void **state)
{
    (void)state;
    static const struct {
        double GBps;
        uint32_t generation, width;
    } cases[] = {
        {0, 0, 0},    {-1, 0, 0},         {0.25, 1, 1},       {4.0, 1, 16},       {3.938462, 3, 4}, {7.876923, 3, 8},
        {8.0, 2, 16}, {15.753846, 3, 16}, {31.507692, 4, 16}, {63.015385, 5, 16}, {121.0, 6, 16},   {1000, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const fs_pcie_link link = fs_pcie_decode(cases[i].GBps);
        assert_int_equal(link.generation, cases[i].generation);
        assert_int_equal(link.width, cases[i].width);
    }
}

static void expect_choice(double port, double device, uint32_t expected, uint32_t generation, uint32_t width,
                          bool assumed)
{
    bool was_assumed;
    const fs_pcie_link link = fs_pcie_choose(port, device, expected, &was_assumed);
    assert_int_equal(link.generation, generation);
    assert_int_equal(link.width, width);
    assert_int_equal(was_assumed, assumed);
}

static void ports_are_believed_unless_they_sleep(void **state)
{
    (void)state;
    expect_choice(31.5, 15.75, 4, 4, 16, false); /* NVML's maximum is counted as 3.0 */
    expect_choice(7.88, 15.75, 3, 3, 8, false);  /* half the lanes are wired */
    expect_choice(4.0, 15.75, 5, 5, 16, true);   /* asleep; the device says x16 */
    expect_choice(4.0, 4.0, 3, 3, 16, true);     /* both asleep */
    expect_choice(4.0, 4.0, 0, 1, 16, false);    /* a switch: no reason to doubt it */
    expect_choice(0, 15.75, 0, 3, 16, false);    /* no port above */
    expect_choice(0, 15.75, 4, 4, 16, true);     /* a GPU, as NVML has it */
    expect_choice(0, 0, 5, 5, 16, true);
    expect_choice(0, 0, 0, 3, 16, true);
    expect_choice(0, 123.4, 0, 3, 16, true); /* no rate of PCIe */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            failed_allocations_are_errors), /* first: later, hwloc's libxml2 allocates through fs_alloc too */
        cmocka_unit_test(a100_node_has_its_switches),
        cmocka_unit_test(a100_node_has_its_pcie_tree),
        cmocka_unit_test(p100_mesh_has_its_links),
        cmocka_unit_test(same_node_gives_same_bytes),
        cmocka_unit_test(real_dgx2h),
        cmocka_unit_test(real_power8),
        cmocka_unit_test(closed_matrix_becomes_one_switch),
        cmocka_unit_test(direct_links_beside_switches_are_dropped),
        cmocka_unit_test(ports_are_merged_into_a_switch),
        cmocka_unit_test(functions_of_a_chip_are_one_switch),
        cmocka_unit_test(halves_are_joined_by_trunks),
        cmocka_unit_test(gpus_are_found_in_three_ways),
        cmocka_unit_test(unknown_parts_are_errors),
        cmocka_unit_test(text_of_the_machine_is_escaped),
        cmocka_unit_test(this_machine_says_what_it_lacks),
        cmocka_unit_test(sockets_have_nvlinks_on_power),
        cmocka_unit_test(grace_has_c2c),
        cmocka_unit_test(unknown_sockets_are_remarked),
        cmocka_unit_test(nics_need_a_part),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(impossible_nvlinks_are_errors),
        cmocka_unit_test(bad_files_are_errors),
        cmocka_unit_test(truncated_exports_are_errors),
        cmocka_unit_test(every_model_has_a_shipped_part),
        cmocka_unit_test(speeds_are_decoded),
        cmocka_unit_test(ports_are_believed_unless_they_sleep),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
