/* import_hwloc_nvlink.c - NVLinks and NVSwitches, from hwloc's NVLinkBandwidth matrix.
 *
 * The matrix holds MB/s in one direction between GPUs, NVSwitches (PCI devices) and, on POWER8 and POWER9, CPU
 * packages. NVML reports it from the GPUs' side, so links between NVSwitches never appear: a DGX-2 comes out as two
 * halves. In this order:
 *   1. objects become nodes of a graph; the PCI functions of one NVSwitch are one node;
 *   2. MB/s become lanes: whole numbers of NVLinks, or the file is refused;
 *   3. a matrix that was closed transitively (`lstopo --distances-transform transitive-closure`) gives GPU pairs more
 *      NVLinks than a GPU has, or direct ones beside those to a switch: each group of such GPUs gets one switch;
 *   4. NVSwitch ports that were listed as objects of their own (each with one GPU) are merged into one switch;
 *   5. two equal halves are joined by trunks, k-th switch to k-th switch, with as many lanes as the switch has to GPUs:
 *      so are the two baseboards of a DGX-2 and of a 16-GPU HGX A100 wired (NVIDIA, DGX-2 whitepaper).
 *
 * Cost: O(objects^2), objects at most NVLINK_OBJECTS_MAX. */
#include "topo/import_hwloc_pcie.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NVLINK_OBJECTS_MAX = 1024,    /* a DGX-2 has 28 */
    NVLINK_MBPS_MAX = 1000000000, /* beyond any machine; keeps sums in range */
    PCI_VENDOR_NVIDIA_ID = 0x10de,
    PCI_BASE_BRIDGE = 0x06 /* an NVSwitch calls itself an "other bridge", 0680 */
};

typedef struct node {
    fs_device_kind kind; /* GPU, CPU or NVSwitch */
    uint32_t device;     /* NVSwitches: FS_NONE until they are added */
    hwloc_obj_t obj;     /* NULL: a switch that was made up */
    uint32_t group;      /* computed by label_groups */
} node;

typedef struct graph {
    fs_hw_board *board;
    node *nodes;
    uint32_t n, stride;
    uint64_t *weight; /* (stride x stride), symmetric: MB/s, lanes after to_lanes */
} graph;

static uint64_t *at(const graph *g, uint32_t a, uint32_t b)
{
    return &g->weight[(size_t)a * g->stride + b];
}

static void set(const graph *g, uint32_t a, uint32_t b, uint64_t value)
{
    *at(g, a, b) = value;
    *at(g, b, a) = value;
}

static const fs_hw_gpu_arch *arch_of(const graph *g, uint32_t gpu)
{
    const fs_hw_parts *parts = g->board->parts;
    return fs_hw_gpu_arch_of(
        fs_hw_part_attribute(parts, "gpu", g->board->devices.data[g->nodes[gpu].device].part, "arch"));
}

static char *node_name(const graph *g, uint32_t i, char *buffer, size_t size)
{
    if (g->nodes[i].device != FS_NONE)
        return fs_hw_device_name(&g->board->devices.data[g->nodes[i].device], buffer, size);
    return fs_hw_obj_name(g->nodes[i].obj, buffer, size);
}

/* ---- 1. nodes ---- */

static bool is_nvswitch(hwloc_obj_t obj)
{
    if (obj->type != HWLOC_OBJ_PCI_DEVICE)
        return false;
    if (obj->subtype && strcmp(obj->subtype, "NVSwitch") == 0)
        return true;
    return obj->attr->pcidev.vendor_id == PCI_VENDOR_NVIDIA_ID && obj->attr->pcidev.class_id >> 8 == PCI_BASE_BRIDGE;
}

static bool same_chip(hwloc_obj_t a, hwloc_obj_t b)
{
    const struct hwloc_pcidev_attr_s *x = &a->attr->pcidev, *y = &b->attr->pcidev;
    return x->domain == y->domain && x->bus == y->bus && x->dev == y->dev;
}

/* The node of an object, made where it is new; FS_NONE for objects that are no part of the board. */
static uint32_t node_of(graph *g, hwloc_obj_t obj)
{
    node found = {.device = FS_NONE, .obj = obj};
    bool guessed;
    if (!obj)
        return FS_NONE;
    if (is_nvswitch(obj)) {
        found.kind = FS_DEVICE_NVSWITCH;
    } else if (!hwloc_obj_type_is_io(obj->type)) {
        found.kind = FS_DEVICE_CPU;
        found.device = fs_hw_socket_of(g->board, obj, &guessed);
    } else {
        found.kind = FS_DEVICE_GPU;
        found.device = fs_hw_find(g->board, FS_DEVICE_GPU, fs_hw_pci_above(obj));
        if (found.device == FS_NONE)
            return FS_NONE;
    }
    for (uint32_t i = 0; i < g->n; i++) {
        const node *old = &g->nodes[i];
        if (old->kind == found.kind &&
            (found.kind == FS_DEVICE_NVSWITCH ? same_chip(old->obj, obj) : old->device == found.device))
            return i;
    }
    g->nodes[g->n] = found;
    return g->n++;
}

static fs_status read_matrix(graph *g, const struct hwloc_distances_s *matrix, fs_err *err)
{
    const uint32_t n = matrix->nbobjs;
    if (n > NVLINK_OBJECTS_MAX)
        return fs_fail_at(err, FS_E_TOPOLOGY, g->board->path, 0, 0,
                          "NVLinkBandwidth is a matrix of %u objects, more than %d", n, NVLINK_OBJECTS_MAX);
    g->stride = n + n / 2 + 1; /* one switch may be made up for two objects */
    g->nodes = fs_zalloc(g->stride, sizeof *g->nodes);
    g->weight = fs_zalloc((size_t)g->stride * g->stride, sizeof *g->weight);
    uint32_t *ids = fs_alloc(n, sizeof *ids);
    if (!g->nodes || !g->weight || !ids) {
        fs_free(ids);
        return fs_fail_nomem(err);
    }
    for (uint32_t i = 0; i < n; i++)
        ids[i] = node_of(g, matrix->objs[i]);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = i + 1; j < n; j++) {
            const uint64_t there = matrix->values[(size_t)i * n + j], back = matrix->values[(size_t)j * n + i];
            const uint64_t value = there > back ? there : back;
            if (ids[i] != FS_NONE && ids[j] != FS_NONE && ids[i] != ids[j])
                set(g, ids[i], ids[j], *at(g, ids[i], ids[j]) + (value < NVLINK_MBPS_MAX ? value : NVLINK_MBPS_MAX));
        }
    fs_free(ids);
    return FS_OK;
}

/* ---- 2. lanes ---- */

/* The link type between two nodes; NULL where their parts have none. */
static const char *type_between(const graph *g, uint32_t a, uint32_t b)
{
    if (g->nodes[a].kind == FS_DEVICE_NVSWITCH && g->nodes[b].kind == FS_DEVICE_NVSWITCH) {
        for (uint32_t gpu = 0; gpu < g->n; gpu++)
            if (g->nodes[gpu].kind == FS_DEVICE_GPU && *at(g, gpu, a) > 0)
                return arch_of(g, gpu)->trunk;
    }
    const uint32_t gpu = g->nodes[a].kind == FS_DEVICE_GPU ? a : b, peer = gpu == a ? b : a;
    const fs_hw_gpu_arch *arch = arch_of(g, gpu);
    return g->nodes[peer].kind == FS_DEVICE_NVSWITCH ? arch->switched
           : g->nodes[peer].kind == FS_DEVICE_CPU    ? arch->to_cpu
                                                     : arch->direct;
}

static fs_status lanes_of(const graph *g, uint32_t a, uint32_t b, uint64_t MBps, uint64_t *lanes, fs_err *err)
{
    char from[FS_HW_NAME_MAX], to[FS_HW_NAME_MAX];
    const uint32_t gpu = g->nodes[a].kind == FS_DEVICE_GPU ? a : b;
    if (g->nodes[gpu].kind != FS_DEVICE_GPU)
        return fs_fail_at(err, FS_E_TOPOLOGY, g->board->path, 0, 0,
                          "NVLinkBandwidth joins %s and %s, neither of which is a GPU",
                          node_name(g, a, from, sizeof from), node_name(g, b, to, sizeof to));
    const fs_hw_gpu_arch *arch = arch_of(g, gpu);
    if (!type_between(g, a, b))
        return fs_fail_at(err, FS_E_TOPOLOGY, g->board->path, 0, 0,
                          "NVLinkBandwidth joins %s and %s, but part '%s' has no such NVLinks",
                          node_name(g, a, from, sizeof from), node_name(g, b, to, sizeof to),
                          g->board->devices.data[g->nodes[gpu].device].part);
    const uint64_t rate = arch->nvlink_MBps, whole = (MBps + rate / 2) / rate;
    const uint64_t nominal = whole * rate, off = MBps > nominal ? MBps - nominal : nominal - MBps;
    if (whole == 0 || off > rate / 20) /* 5 %: a rounded figure passes, another generation's rate does not */
        return fs_fail_at(err, FS_E_TOPOLOGY, g->board->path, 0, 0,
                          "NVLinkBandwidth between %s and %s is %llu MB/s, no whole number of NVLinks of %llu MB/s",
                          node_name(g, a, from, sizeof from), node_name(g, b, to, sizeof to), (unsigned long long)MBps,
                          (unsigned long long)rate);
    *lanes = whole;
    return FS_OK;
}

static fs_status to_lanes(const graph *g, fs_err *err)
{
    for (uint32_t a = 0; a < g->n; a++)
        for (uint32_t b = a + 1; b < g->n; b++) {
            uint64_t lanes = 0;
            if (*at(g, a, b) == 0)
                continue;
            fs_status status = lanes_of(g, a, b, *at(g, a, b), &lanes, err);
            if (status != FS_OK)
                return status;
            set(g, a, b, lanes);
        }
    return FS_OK;
}

/* ---- 3. to 5. switches that the matrix hides ---- */

/* Nodes that reach each other over NVLink get one group number: that of the lowest node. */
static void label_groups(const graph *g)
{
    for (uint32_t i = 0; i < g->n; i++)
        g->nodes[i].group = i;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t a = 0; a < g->n; a++)
            for (uint32_t b = 0; b < g->n; b++)
                if (*at(g, a, b) > 0 && g->nodes[b].group < g->nodes[a].group) {
                    g->nodes[a].group = g->nodes[b].group;
                    changed = true;
                }
    }
}

/* Sum of lanes from `from` to nodes of a kind; *peers counts those. */
static uint64_t lanes_to(const graph *g, uint32_t from, fs_device_kind kind, uint32_t *peers)
{
    uint64_t sum = 0;
    *peers = 0;
    for (uint32_t i = 0; i < g->n; i++)
        if (g->nodes[i].kind == kind && *at(g, from, i) > 0) {
            sum += *at(g, from, i);
            ++*peers;
        }
    return sum;
}

/* Give each GPU of `group` lanes[gpu] lanes to a new switch instead of its direct links. */
static void replace_by_switch(graph *g, uint32_t group, const uint64_t *lanes)
{
    const uint32_t made_up = g->n;
    for (uint32_t a = 0; a < made_up; a++)
        for (uint32_t b = a + 1; b < made_up; b++)
            if (g->nodes[a].group == group && g->nodes[a].kind == FS_DEVICE_GPU && g->nodes[b].kind == FS_DEVICE_GPU)
                set(g, a, b, 0);
    g->nodes[g->n++] = (node){.kind = FS_DEVICE_NVSWITCH, .device = FS_NONE, .group = group};
    for (uint32_t a = 0; a < made_up; a++)
        if (g->nodes[a].group == group && g->nodes[a].kind == FS_DEVICE_GPU)
            set(g, a, made_up, lanes[a]);
}

/* Step 3 for one group: is it closed, and how many lanes has each GPU? */
static fs_status open_group(graph *g, uint32_t group, uint64_t *lanes, fs_err *err)
{
    char name[FS_HW_NAME_MAX];
    bool closed = false;
    for (uint32_t a = 0; a < g->n; a++) {
        uint32_t peers, switches;
        lanes[a] = 0;
        if (g->nodes[a].group != group || g->nodes[a].kind != FS_DEVICE_GPU)
            continue;
        const uint64_t direct = lanes_to(g, a, FS_DEVICE_GPU, &peers),
                       switched = lanes_to(g, a, FS_DEVICE_NVSWITCH, &switches);
        const fs_hw_gpu_arch *arch = arch_of(g, a);
        for (uint32_t b = 0; b < g->n; b++) {
            if (g->nodes[b].kind != FS_DEVICE_GPU)
                continue;
            if (switched > 0)
                set(g, a, b, 0); /* the switches say it already */
            else if (*at(g, a, b) > lanes[a])
                lanes[a] = *at(g, a, b);
        }
        if (switched > 0 ? switched > arch->nvlinks
                         : direct > arch->nvlinks && (!arch->switched || lanes[a] > arch->nvlinks))
            return fs_fail_at(err, FS_E_TOPOLOGY, g->board->path, 0, 0,
                              "NVLinkBandwidth gives %s %llu NVLinks, but part '%s' has at most %u",
                              node_name(g, a, name, sizeof name),
                              (unsigned long long)(switched > 0 ? switched : direct),
                              g->board->devices.data[g->nodes[a].device].part, arch->nvlinks);
        closed |= switched == 0 && direct > arch->nvlinks;
    }
    if (!closed)
        return FS_OK;
    replace_by_switch(g, group, lanes);
    return fs_hw_remark_add(g->board, err,
                            "NVLinkBandwidth gives GPUs more NVLinks than they have: it was closed transitively, "
                            "and one switch stands for all NVSwitches");
}

static fs_status open_closure(graph *g, fs_err *err)
{
    const uint32_t n = g->n;
    uint64_t *lanes = fs_alloc(g->stride, sizeof *lanes);
    if (!lanes)
        return fs_fail_nomem(err);
    label_groups(g);
    fs_status status = FS_OK;
    for (uint32_t group = 0; status == FS_OK && group < n; group++)
        if (g->nodes[group].group == group)
            status = open_group(g, group, lanes, err);
    fs_free(lanes);
    return status;
}

/* Step 4. A switch with a single GPU would be of no use: what hwloc lists are ports. */
static fs_status merge_ports(graph *g, fs_err *err)
{
    uint32_t first = FS_NONE, gpus, only_gpu = FS_NONE;
    bool several = false;
    for (uint32_t s = 0; s < g->n; s++) {
        if (g->nodes[s].kind != FS_DEVICE_NVSWITCH)
            continue;
        lanes_to(g, s, FS_DEVICE_GPU, &gpus);
        if (gpus > 1)
            return FS_OK;
        first = first == FS_NONE ? s : first;
        for (uint32_t a = 0; a < g->n; a++)
            if (g->nodes[a].kind == FS_DEVICE_GPU && *at(g, a, s) > 0) {
                several |= only_gpu != FS_NONE && only_gpu != a;
                only_gpu = a;
            }
    }
    if (!several)
        return FS_OK;
    for (uint32_t s = first + 1; s < g->n; s++) {
        if (g->nodes[s].kind != FS_DEVICE_NVSWITCH)
            continue;
        for (uint32_t a = 0; a < g->n; a++) {
            if (a != first && a != s)
                set(g, a, first, *at(g, a, first) + *at(g, a, s));
            set(g, a, s, 0);
        }
    }
    return fs_hw_remark_add(g->board, err,
                            "every NVSwitch object has one GPU: they are taken for the ports of one switch");
}

/* Bus order, so that the k-th switch of one half meets the k-th of the other. */
static int switch_order(const node *a, const node *b)
{
    if (!a->obj || !b->obj)
        return (a->obj != NULL) - (b->obj != NULL);
    const struct hwloc_pcidev_attr_s *x = &a->obj->attr->pcidev, *y = &b->obj->attr->pcidev;
    const uint32_t key_x[3] = {x->domain, x->bus, x->dev}, key_y[3] = {y->domain, y->bus, y->dev};
    for (int i = 0; i < 3; i++)
        if (key_x[i] != key_y[i])
            return key_x[i] < key_y[i] ? -1 : 1;
    return 0;
}

/* Switches with GPUs, in bus order. */
static uint32_t list_switches(const graph *g, uint32_t *list)
{
    uint32_t count = 0, gpus;
    for (uint32_t s = 0; s < g->n; s++) {
        if (g->nodes[s].kind != FS_DEVICE_NVSWITCH || lanes_to(g, s, FS_DEVICE_GPU, &gpus) == 0)
            continue;
        uint32_t place = count++;
        for (; place > 0 && switch_order(&g->nodes[s], &g->nodes[list[place - 1]]) < 0; place--)
            list[place] = list[place - 1];
        list[place] = s;
    }
    return count;
}

/* Step 5. list[] holds `count` switches in bus order. */
static fs_status join_halves(graph *g, const uint32_t *list, uint32_t count, fs_err *err)
{
    uint32_t first_half = 0, groups = 0, gpus;
    label_groups(g);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t same = 0;
        for (uint32_t j = 0; j < i; j++)
            same += g->nodes[list[j]].group == g->nodes[list[i]].group;
        groups += same == 0;
        first_half += g->nodes[list[i]].group == g->nodes[list[0]].group;
    }
    if (groups < 2)
        return FS_OK;
    bool alike = groups == 2 && first_half * 2 == count;
    const char *trunk = NULL;
    for (uint32_t a = 0; a < g->n && !trunk; a++)
        if (g->nodes[a].kind == FS_DEVICE_GPU)
            trunk = arch_of(g, a)->trunk;
    for (int pass = 0; alike && trunk && pass < 2; pass++) { /* compare first, then join */
        for (uint32_t i = 0, j = 0; i < count; i++) {
            if (g->nodes[list[i]].group != g->nodes[list[0]].group)
                continue;
            while (g->nodes[list[j]].group == g->nodes[list[0]].group)
                j++;
            const uint64_t lanes = lanes_to(g, list[i], FS_DEVICE_GPU, &gpus);
            alike &= lanes == lanes_to(g, list[j], FS_DEVICE_GPU, &gpus);
            if (pass == 1)
                set(g, list[i], list[j], lanes);
            j++;
        }
    }
    if (!alike || !trunk)
        return fs_hw_remark_add(g->board, err,
                                "the NVSwitches form %u groups which hwloc does not join: GPUs of different groups "
                                "meet over PCIe",
                                groups);
    return fs_hw_remark_add(g->board, err,
                            "hwloc does not see links between NVSwitches: %u pairs joined as in a DGX-2, with as many "
                            "lanes as each has to GPUs",
                            count / 2);
}

/* ---- devices and links ---- */

static fs_status add_switches(graph *g, const uint32_t *list, uint32_t count, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t i = 0; status == FS_OK && i < count; i++) {
        node *chip = &g->nodes[list[i]];
        uint32_t gpu = 0;
        while (g->nodes[gpu].kind != FS_DEVICE_GPU || *at(g, gpu, list[i]) == 0)
            gpu++;
        status =
            fs_hw_add_device(g->board, FS_DEVICE_NVSWITCH, chip->obj, arch_of(g, gpu)->nvswitch, &chip->device, err);
        if (status != FS_OK)
            break;
        char name[FS_HW_NAME_MAX];
        snprintf(g->board->devices.data[chip->device].note, FS_HW_NOTE_MAX, "hwloc: %s",
                 chip->obj ? fs_hw_obj_name(chip->obj, name, sizeof name) : "NVLinkBandwidth");
    }
    return status;
}

static int by_ends(const void *left, const void *right)
{
    const fs_hw_link *a = left, *b = right;
    if (a->from != b->from)
        return a->from < b->from ? -1 : 1;
    return a->to < b->to ? -1 : a->to > b->to;
}

/* Sorted by devices, so that neither hwloc's order nor ours of nodes shows. */
static fs_status add_links(const graph *g, fs_err *err)
{
    fs_status status = FS_OK;
    const uint32_t first = g->board->links.count;
    for (uint32_t a = 0; a < g->n; a++)
        for (uint32_t b = a + 1; status == FS_OK && b < g->n; b++) {
            if (*at(g, a, b) == 0)
                continue;
            const bool a_first = g->nodes[a].device < g->nodes[b].device;
            status = fs_hw_add_link(g->board, g->nodes[a_first ? a : b].device, g->nodes[a_first ? b : a].device,
                                    type_between(g, a, b), (uint32_t)*at(g, a, b), "", err);
        }
    if (g->board->links.count > first)
        qsort(&g->board->links.data[first], g->board->links.count - first, sizeof(fs_hw_link), by_ends);
    return status;
}

fs_status fs_hw_nvlinks(fs_hw_board *board, fs_err *err)
{
    struct hwloc_distances_s *matrix = NULL;
    unsigned found = 1;
    if (hwloc_distances_get_by_name(board->topology, "NVLinkBandwidth", &found, &matrix, 0) != 0 || found == 0)
        return fs_hw_remark_add(
            board, err,
            "no NVLinkBandwidth matrix, so no NVLinks: if the GPUs have some, export with an hwloc that "
            "was built with NVML");
    graph g = {.board = board};
    fs_status status = read_matrix(&g, matrix, err);
    uint32_t *switches = status == FS_OK ? fs_alloc(g.stride, sizeof *switches) : NULL;
    if (status == FS_OK && !switches)
        status = fs_fail_nomem(err);
    if (status == FS_OK)
        status = to_lanes(&g, err);
    if (status == FS_OK)
        status = open_closure(&g, err);
    if (status == FS_OK)
        status = merge_ports(&g, err);
    if (status == FS_OK) {
        const uint32_t count = list_switches(&g, switches);
        status = join_halves(&g, switches, count, err);
        if (status == FS_OK)
            status = add_switches(&g, switches, count, err);
        if (status == FS_OK)
            status = add_links(&g, err);
    }
    fs_free(switches);
    fs_free(g.weight);
    fs_free(g.nodes);
    hwloc_distances_release(board->topology, matrix);
    return status;
}
