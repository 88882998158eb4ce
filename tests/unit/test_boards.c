/* The shipped topologies are what they say: counts, NVLink matrices, bandwidths, who shares a PCIe switch.
 *
 * Two views of the same facts. The tables below are written down here a second time, by hand. And where the environment
 * variable FABSIM_SHARED names a folder with hardware/links.csv (one row per connection of each machine), every
 * connection of that file is counted and must be there, and no NVLink may be there that it lacks.
 *
 * Runs in the root of the repository. */
#include "route/route.h"
#include "topo/survey.h"
#include "topo/topo.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ==== what each file must hold ==== */

typedef struct expectation {
    const char *name;                  /* topologies/NAME.xml */
    uint32_t of_kind[FS_DEVICE_KINDS]; /* GPU, NVSwitch, NIC, CPU, PCIe switch, network switch */
    uint32_t nodes;
    uint32_t lanes;                     /* NVLinks of each GPU */
    double nvlink_GBps, effective_GBps; /* of each GPU, one direction */
    uint32_t largest_domain;            /* GPUs that reach each other over NVLink */
} expectation;

static const expectation expected[] = {
    {"dgx1-p100", {8, 0, 4, 2, 4, 0}, 1, 4, 80, 72, 8},
    {"dgx1-v100", {8, 0, 4, 2, 4, 0}, 1, 6, 150, 120, 8},
    {"dgx2h", {16, 12, 8, 2, 12, 0}, 1, 6, 150, 120, 16},
    {"dgx-a100", {8, 6, 8, 2, 4, 0}, 1, 12, 300, 240, 8},
    {"dgx-h100", {8, 4, 8, 2, 8, 0}, 1, 18, 450, 370.8, 8},
    {"dgx-h100-x2", {16, 8, 16, 4, 16, 8}, 2, 18, 450, 370.8, 8},
    {"hgx-b200", {8, 2, 8, 2, 8, 0}, 1, 18, 900, 721.8, 8},
    {"gb200-nvl72", {72, 18, 72, 36, 0, 0}, 18, 18, 900, 721.8, 72},
    {"v100-pcie", {8, 0, 2, 2, 4, 0}, 1, 0, 0, 0, 1},
    {"t4-server", {4, 0, 2, 2, 0, 0}, 1, 0, 0, 0, 1},
    {"a100-mig", {4, 0, 0, 1, 1, 0}, 1, 0, 0, 0, 1},
    {"dgx-a100-mig", {56, 0, 8, 2, 12, 0}, 1, 0, 0, 0, 1},
};
enum { N_EXPECTED = sizeof expected / sizeof *expected };

static fs_topo *load(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "topologies/%s.xml", name);
    fs_topo *topo = NULL;
    fs_err err;
    if (fs_topo_load(path, NULL, 0, &topo, &err) != FS_OK) {
        char text[4096];
        fs_err_format(&err, text, sizeof text);
        fail_msg("%s", text);
    }
    return topo;
}

/* Equal but for rounding: within 1 B/s. */
static bool is_rate(double Bps, double GBps)
{
    return fabs(Bps - GBps * 1e9) <= 1;
}

static fs_link_class class_of(const fs_topo *topo, const fs_link *link)
{
    return topo->link_types[link->type].class_;
}

/* Device id of the n-th device of a kind, FS_NONE where there are fewer. */
static uint32_t nth(const fs_topo *topo, fs_device_kind kind, uint32_t n)
{
    for (uint32_t d = 0; d < topo->n_devices; d++)
        if (fs_topo_device(topo, d).kind == kind && fs_topo_device(topo, d).index == n)
            return d;
    return FS_NONE;
}

/* NVLink lanes from device a to device b. */
static uint32_t nvlinks(const fs_topo *topo, uint32_t a, uint32_t b)
{
    uint32_t lanes = 0;
    for (uint32_t i = 0; i < fs_topo_out_count(topo, a); i++) {
        const fs_link link = fs_topo_link(topo, fs_topo_out_link(topo, a, i));
        if (link.dst == b && class_of(topo, &link) == FS_CLASS_NVLINK)
            lanes += link.lanes;
    }
    return lanes;
}

/* The device that a GPU or NIC hangs from on the host's side: its PCIe switch or socket. */
static uint32_t host_side(const fs_topo *topo, uint32_t device)
{
    uint32_t found = FS_NONE;
    for (uint32_t i = 0; i < fs_topo_out_count(topo, device); i++) {
        const fs_link link = fs_topo_link(topo, fs_topo_out_link(topo, device, i));
        fs_link_class c = class_of(topo, &link);
        if (c == FS_CLASS_PCIE || c == FS_CLASS_C2C) {
            assert_int_equal(found, FS_NONE); /* one port each */
            found = link.dst;
        }
    }
    return found;
}

/* ==== the tables ==== */

static void check_gpu_links(const fs_topo *topo, const expectation *want)
{
    for (uint32_t g = 0; g < topo->n_gpus; g++) {
        uint32_t device = topo->gpus[g], lanes = 0;
        double bandwidth = 0, effective = 0;
        for (uint32_t i = 0; i < fs_topo_out_count(topo, device); i++) {
            const fs_link link = fs_topo_link(topo, fs_topo_out_link(topo, device, i));
            if (class_of(topo, &link) != FS_CLASS_NVLINK)
                continue;
            lanes += link.lanes;
            bandwidth += link.bandwidth_Bps;
            effective += link.effective_Bps;
        }
        assert_int_equal(lanes, want->lanes);
        assert_true(is_rate(bandwidth, want->nvlink_GBps));
        assert_true(is_rate(effective, want->effective_GBps));
    }
}

static void counts_and_bandwidths(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_EXPECTED; i++) {
        const expectation *want = &expected[i];
        fs_topo *topo = load(want->name);
        fs_survey survey;
        fs_err err;
        assert_int_equal(fs_survey_make(topo, &survey, &err), FS_OK);
        for (int kind = 0; kind < FS_DEVICE_KINDS; kind++)
            assert_int_equal(survey.devices_of_kind[kind], want->of_kind[kind]);
        assert_int_equal(topo->n_nodes, want->nodes);
        assert_int_equal(survey.largest_domain, want->largest_domain);
        assert_true(survey.all_reach);
        check_gpu_links(topo, want);
        fs_survey_free(&survey);
        fs_topo_free(topo);
    }
}

static void figures_are_plausible(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_EXPECTED; i++) {
        fs_topo *topo = load(expected[i].name);
        for (uint32_t t = 0; t < topo->n_link_types; t++) {
            const fs_link_type *type = &topo->link_types[t];
            assert_true(type->effective_Bps <= type->bandwidth_Bps);
            /* NCCL plans with 72 to 97 % of a wire, but with far less between sockets. */
            if (type->class_ != FS_CLASS_CPU)
                assert_true(type->effective_Bps >= 0.6 * type->bandwidth_Bps);
            assert_true(type->latency_s >= 10e-9 && type->latency_s <= 1e-6);
        }
        for (uint32_t p = 0; p < topo->n_parts; p++) {
            const fs_part *part = &topo->parts[p];
            if (part->kind != FS_DEVICE_GPU)
                continue;
            assert_true(part->peak_flops[FS_FP16] > part->peak_flops[FS_FP32]);
            assert_true(part->gemm_efficiency > 0.5 && part->gemm_efficiency < 1);
            assert_true(part->mem_efficiency > 0.5 && part->mem_efficiency < 1);
            assert_true(part->launch_s > 0.5e-6 && part->launch_s < 10e-6);
        }
        fs_topo_free(topo);
    }
}

/* Both directions of the whole GPU to GPU matrix. */
static void check_mesh(const char *name, const uint8_t want[8][8])
{
    fs_topo *topo = load(name);
    for (uint32_t a = 0; a < 8; a++)
        for (uint32_t b = 0; b < 8; b++)
            assert_int_equal(nvlinks(topo, topo->gpus[a], topo->gpus[b]), want[a][b]);
    fs_topo_free(topo);
}

static void mesh_of_dgx1_p100(void **state)
{
    (void)state;
    static const uint8_t want[8][8] = {
        {0, 1, 1, 1, 1, 0, 0, 0}, {1, 0, 1, 1, 0, 1, 0, 0}, {1, 1, 0, 1, 0, 0, 1, 0}, {1, 1, 1, 0, 0, 0, 0, 1},
        {1, 0, 0, 0, 0, 1, 1, 1}, {0, 1, 0, 0, 1, 0, 1, 1}, {0, 0, 1, 0, 1, 1, 0, 1}, {0, 0, 0, 1, 1, 1, 1, 0},
    };
    check_mesh("dgx1-p100", want);
}

static void mesh_of_dgx1_v100(void **state)
{
    (void)state;
    static const uint8_t want[8][8] = {
        {0, 1, 1, 2, 2, 0, 0, 0}, {1, 0, 2, 1, 0, 2, 0, 0}, {1, 2, 0, 2, 0, 0, 1, 0}, {2, 1, 2, 0, 0, 0, 0, 1},
        {2, 0, 0, 0, 0, 1, 1, 2}, {0, 2, 0, 0, 1, 0, 2, 1}, {0, 0, 1, 0, 1, 2, 0, 2}, {0, 0, 0, 1, 2, 1, 2, 0},
    };
    check_mesh("dgx1-v100", want);
}

/* GPUs and switches of `name` in `groups` equal groups; within a group each GPU has lanes[s] links to the s-th switch.
 */
static void check_switches(const char *name, uint32_t groups, uint32_t switches, const uint32_t *lanes)
{
    fs_topo *topo = load(name);
    uint32_t gpus = topo->n_gpus / groups;
    for (uint32_t g = 0; g < topo->n_gpus; g++)
        for (uint32_t s = 0; s < groups * switches; s++) {
            uint32_t nvswitch = nth(topo, FS_DEVICE_NVSWITCH, s);
            uint32_t want = g / gpus == s / switches ? lanes[s % switches] : 0;
            assert_int_equal(nvlinks(topo, topo->gpus[g], nvswitch), want);
            assert_int_equal(nvlinks(topo, nvswitch, topo->gpus[g]), want);
        }
    fs_topo_free(topo);
}

static void switch_matrices(void **state)
{
    (void)state;
    static const uint32_t ones[18] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const uint32_t a100[] = {2, 2, 2, 2, 2, 2}, h100[] = {4, 5, 5, 4}, b200[] = {9, 9};
    check_switches("dgx2h", 2, 6, ones);
    check_switches("dgx-a100", 1, 6, a100);
    check_switches("dgx-h100", 1, 4, h100);
    check_switches("dgx-h100-x2", 2, 4, h100);
    check_switches("hgx-b200", 1, 2, b200);
    check_switches("gb200-nvl72", 1, 18, ones);
}

static void trunks_of_dgx2h(void **state)
{
    (void)state;
    fs_topo *topo = load("dgx2h");
    for (uint32_t a = 0; a < 12; a++)
        for (uint32_t b = 0; b < 12; b++)
            assert_int_equal(nvlinks(topo, nth(topo, FS_DEVICE_NVSWITCH, a), nth(topo, FS_DEVICE_NVSWITCH, b)),
                             a % 6 == b % 6 && a != b ? 8 : 0);
    fs_topo_free(topo);
}

/* A slice has the SMs, the clock and the memory of its card: what is said of an SM is the same, the rest in parts. */
static void slices_are_parts_of_a_card(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t gpu;
        double sms, eighths;
    } slices[] = {{"a100-mig", 0, 42, 4}, {"a100-mig", 1, 28, 2}, {"a100-mig", 3, 14, 1}, {"dgx-a100-mig", 55, 14, 1}};
    fs_topo *whole = load("dgx-a100");
    const fs_part *card = &whole->parts[fs_topo_device(whole, whole->gpus[0]).part];
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++) {
        fs_topo *topo = load(slices[i].name);
        const fs_part *slice = fs_topo_gpu_part(topo, slices[i].gpu);
        double memory = slices[i].eighths / 8, of_40 = strstr(slice->name, "40gb") ? 1555.0 / 2039 : 1;
        fs_part scaled = *slice;
        assert_true(slice->costs.sms == slices[i].sms && card->costs.sms == 108);
        for (int d = 0; d < FS_DTYPES; d++) {
            assert_true(fabs(slice->peak_flops[d] / (card->peak_flops[d] + 1e-300) - slices[i].sms / 108) < 1e-3 ||
                        card->peak_flops[d] == 0);
            assert_memory_equal(&slice->product[d], &card->product[d], sizeof card->product[d]);
        }
        assert_true(fabs(slice->mem_Bps / (card->mem_Bps * memory * of_40) - 1) < 1e-3);
        assert_true(fabs(slice->costs.stream_Bps / (card->costs.stream_Bps * of_40) - 1) < 1e-2);
        scaled.costs.sms = card->costs.sms;
        scaled.costs.l2_Bps /= memory;
        scaled.costs.append_Bps /= memory;
        scaled.costs.append8_Bps /= memory;
        scaled.costs.stream_Bps = card->costs.stream_Bps;
        assert_memory_equal(&scaled.costs, &card->costs, sizeof card->costs);
        fs_topo_free(topo);
    }
    fs_topo_free(whole);
}

/* NIC k sits below the same PCIe switch (or socket) as its GPUs: k = g x NICs / GPUs. */
static void nics_sit_beside_their_gpus(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_EXPECTED; i++) {
        if (expected[i].lanes == 0)
            continue; /* NICs have ports of their own at the sockets; slices are seven to a card */
        fs_topo *topo = load(expected[i].name);
        uint32_t n_nics = expected[i].of_kind[FS_DEVICE_NIC];
        for (uint32_t g = 0; g < topo->n_gpus; g++) {
            uint32_t nic = nth(topo, FS_DEVICE_NIC, g * n_nics / topo->n_gpus);
            assert_int_not_equal(nic, FS_NONE);
            assert_int_equal(host_side(topo, topo->gpus[g]), host_side(topo, nic));
            assert_int_equal(fs_topo_device(topo, nic).node, fs_topo_device(topo, topo->gpus[g]).node);
        }
        fs_topo_free(topo);
    }
}

static void rails_meet_at_their_leaf(void **state)
{
    (void)state;
    fs_topo *topo = load("dgx-h100-x2");
    uint32_t cables = 0;
    for (uint32_t l = 0; l < topo->n_links; l++) {
        const fs_link link = fs_topo_link(topo, l);
        if (class_of(topo, &link) != FS_CLASS_NET || fs_topo_device(topo, link.src).kind != FS_DEVICE_NIC)
            continue;
        cables++;
        assert_int_equal(fs_topo_device(topo, link.src).rail, fs_topo_device(topo, link.dst).index);
        assert_true(is_rate(link.bandwidth_Bps, 50));
    }
    assert_int_equal(cables, 16);
    fs_topo_free(topo);
}

/* What a lone bulk transfer gets on its way, for pairs near and far: the figures that NCCL plans with. */
static void routes_get_what_nccl_plans_with(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t from, to; /* GPU numbers */
        double GBps;
    } pairs[] = {
        {"dgx1-p100", 0, 4, 18},    {"dgx1-p100", 0, 5, 6}, /* no NVLink: through QPI */
        {"dgx1-v100", 0, 1, 20},    {"dgx1-v100", 0, 3, 40},   {"dgx1-v100", 0, 7, 6},    {"dgx2h", 0, 7, 120},
        {"dgx2h", 0, 15, 120}, /* through the trunks */
        {"dgx-a100", 0, 7, 240},    {"dgx-h100", 0, 7, 370.8}, {"hgx-b200", 0, 7, 721.8}, {"gb200-nvl72", 0, 71, 721.8},
        {"v100-pcie", 0, 1, 12},    {"v100-pcie", 0, 2, 10}, /* a switch; the root complex */
        {"v100-pcie", 0, 4, 10},                             /* the other socket */
        {"dgx-h100-x2", 3, 11, 48},                          /* a rail: PCIe is a little tighter than the NIC's cable */
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        fs_topo *topo = load(pairs[i].name);
        fs_router *router = NULL;
        const fs_route *route = NULL;
        fs_err err;
        assert_int_equal(fs_router_new(topo, (fs_router_options){0}, &router, &err), FS_OK);
        assert_int_equal(fs_router_find(router, topo->gpus[pairs[i].from], topo->gpus[pairs[i].to], 0, &route, &err),
                         FS_OK);
        if (!is_rate(route->effective_Bps, pairs[i].GBps))
            fail_msg("%s: GPU %u to %u gets %g B/s, not %g GB/s", pairs[i].name, pairs[i].from, pairs[i].to,
                     route->effective_Bps, pairs[i].GBps);
        fs_router_free(router);
        fs_topo_free(topo);
    }
}

/* ==== against a file of connections ==== */

enum { CELLS_MAX = 16, LINE_MAX_BYTES = 4096, MATRIX = 256 };

typedef struct csv_system {
    const char *system, *file;
    uint32_t storage_from, storage_count; /* NICs that the boards leave out, by their number in the file */
} csv_system;

static const csv_system csv_systems[] = {
    {"DGX-1 P100", "dgx1-p100", 0, 0},
    {"DGX-1V V100", "dgx1-v100", 0, 0},
    {"DGX-2", "dgx2h", 4, 2},
    {"DGX A100", "dgx-a100", 0, 0},
    {"HGX/DGX H100-H200", "dgx-h100", 0, 0},
    {"HGX/DGX B200-B300", "hgx-b200", 0, 0},
    {"GB200/GB300 NVL72", "gb200-nvl72", 0, 0},
};

/* Split a line in place at commas outside quotes. */
static uint32_t split(char *line, char *cells[CELLS_MAX])
{
    uint32_t n = 0;
    char *out = line;
    bool quoted = false;
    cells[n++] = out;
    for (char *p = line; *p && *p != '\n' && *p != '\r'; p++) {
        if (*p == '"')
            quoted = !quoted;
        else if (*p == ',' && !quoted && n < CELLS_MAX) {
            *out++ = '\0';
            cells[n++] = out;
        } else
            *out++ = *p;
    }
    *out = '\0';
    return n;
}

/* "gpu3", "gpu3.link0", "mlx5_6", "gpu*", "gpu0..71", "nvsw0,nvsw1": numbers first to last, and the kind from the first
 * letter (gpu, nvsw, else a NIC, whose number follows its underscore). */
static fs_device_kind read_names(const char *cell, uint32_t n_gpus, uint32_t *first, uint32_t *last)
{
    fs_device_kind kind = cell[0] == 'g' ? FS_DEVICE_GPU : cell[0] == 'n' ? FS_DEVICE_NVSWITCH : FS_DEVICE_NIC;
    const char *number = kind == FS_DEVICE_NIC ? strchr(cell, '_') + 1 : cell + strcspn(cell, "0123456789*");
    char *end;
    *first = *last = (uint32_t)strtoul(number, &end, 10);
    if (*number == '*')
        *last = n_gpus - 1;
    else if (!strncmp(end, "..", 2))
        *last = (uint32_t)strtoul(end + 2, NULL, 10);
    else if (*end == ',')
        *last = (uint32_t)strtoul(end + strcspn(end, "0123456789"), NULL, 10);
    return kind;
}

/* Rows of one system: NVLinks are added up in want, NICs must share the host side of their GPU. */
static void check_row(const fs_topo *topo, const csv_system *system, char *cells[CELLS_MAX], uint32_t (*want)[MATRIX])
{
    uint32_t a0, a1, b0, b1;
    fs_device_kind from = read_names(cells[1], topo->n_gpus, &a0, &a1);
    fs_device_kind to = read_names(cells[2], topo->n_gpus, &b0, &b1);
    uint32_t lanes = (uint32_t)strtoul(cells[4], NULL, 10);
    if (to == FS_DEVICE_NIC) {
        if (system->storage_count && b0 >= system->storage_from)
            b0 -= system->storage_count;
        assert_int_equal(host_side(topo, topo->gpus[a0]), host_side(topo, nth(topo, FS_DEVICE_NIC, b0)));
        return;
    }
    for (uint32_t a = a0; a <= a1; a++)
        for (uint32_t b = b0; b <= b1; b++) {
            uint32_t src = nth(topo, from, a), dst = nth(topo, to, b);
            assert_true(src < MATRIX && dst < MATRIX);
            want[src][dst] += lanes;
            want[dst][src] += lanes;
        }
}

static void check_system(FILE *file, const csv_system *system)
{
    static uint32_t want[MATRIX][MATRIX];
    static char line[LINE_MAX_BYTES];
    memset(want, 0, sizeof want);
    fs_topo *topo = load(system->file);
    uint32_t rows = 0;
    rewind(file);
    while (fgets(line, sizeof line, file)) {
        char *cells[CELLS_MAX];
        if (split(line, cells) >= 6 && !strcmp(cells[0], system->system)) {
            check_row(topo, system, cells, want);
            rows++;
        }
    }
    assert_true(rows > 0);
    for (uint32_t g = 0; g < topo->n_devices; g++)
        for (uint32_t d = 0; d < topo->n_devices; d++)
            assert_int_equal(nvlinks(topo, g, d), g < MATRIX && d < MATRIX ? want[g][d] : 0);
    fs_topo_free(topo);
}

static void matrices_match_the_links_file(void **state)
{
    (void)state;
    const char *folder = getenv("FABSIM_SHARED");
    if (!folder) {
        print_message("skipped: FABSIM_SHARED is not set, no links file to compare with\n");
        skip();
    }
    char path[1024];
    snprintf(path, sizeof path, "%s/hardware/links.csv", folder);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("FABSIM_SHARED is set, but %s cannot be read", path);
    for (size_t i = 0; i < sizeof csv_systems / sizeof *csv_systems; i++)
        check_system(file, &csv_systems[i]);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_and_bandwidths),
        cmocka_unit_test(figures_are_plausible),
        cmocka_unit_test(mesh_of_dgx1_p100),
        cmocka_unit_test(mesh_of_dgx1_v100),
        cmocka_unit_test(switch_matrices),
        cmocka_unit_test(trunks_of_dgx2h),
        cmocka_unit_test(slices_are_parts_of_a_card),
        cmocka_unit_test(nics_sit_beside_their_gpus),
        cmocka_unit_test(rails_meet_at_their_leaf),
        cmocka_unit_test(routes_get_what_nccl_plans_with),
        cmocka_unit_test(matrices_match_the_links_file),
    };
    return cmocka_run_group_tests_name("boards", tests, NULL, NULL);
}
