/* import_hwloc_pcie.c - the PCIe tree: from an endpoint up to its socket, ports merged into switches.
 *
 * hwloc shows every bridge. Below a host bridge they alternate: a root port (depth 1) faces down; what is at its far
 * end is an endpoint or the upstream port of a switch (depth 2), whose downstream ports (depth 3) face down again, and
 * so on. A switch is therefore the bridge at an even depth with its children, and is named by that bridge. A link joins
 * a port that faces down with the endpoint or upstream port below it. Where a virtual machine breaks the alternation (a
 * device directly below an even bridge, or below none) the same rule still gives a tree.
 *
 * Speeds. A port reports what its link runs at. For GPUs, hwloc up to 2.9 overwrites the device's figure by the maximum
 * that NVML names, with every generation from the third on counted as the third; so the port is believed first. An idle
 * GPU trains its link down to generation 1 or 2 to save power; such a figure gives way to the device's, or to the
 * generation that the GPU is known to have.
 *
 * Bandwidth of one lane: PCI Express Base Specification, transfer rate less line code (8b/10b, 128b/130b, and 242/256
 * of flits for 6.0). */
#include "topo/import_hwloc_pcie.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    PCIE_GENERATIONS = 6,
    PCIE_SCALING_FIRST = 3, /* links train down from this generation on to save power */
    PCIE_ASSUMED = 3,       /* generation where nothing is known */
    PCIE_WIDTH_MAX = 16
};

/* kB/s of one lane in one direction, by generation. */
static const uint32_t lane_kBps[PCIE_GENERATIONS + 1] = {0, 250000, 500000, 984375, 1968750, 3937500, 7562500};

fs_pcie_link fs_pcie_decode(double GBps)
{
    const fs_pcie_link unknown = {0, 0};
    if (!(GBps > 0))
        return unknown;
    for (uint32_t width = PCIE_WIDTH_MAX; width > 0; width /= 2)
        for (uint32_t generation = 1; generation <= PCIE_GENERATIONS; generation++) {
            const double nominal = lane_kBps[generation] * 1e-6 * width;
            /* 1 %: tools round the line code differently, and 4.0 (1.0 x16) must stay apart from 3.938 (3.0 x4). */
            if (fabs(GBps - nominal) <= 0.01 * nominal)
                return (fs_pcie_link){generation, width};
        }
    return unknown;
}

fs_pcie_link fs_pcie_choose(double port_GBps, double device_GBps, uint32_t expected, bool *assumed)
{
    const fs_pcie_link port = fs_pcie_decode(port_GBps), device = fs_pcie_decode(device_GBps);
    *assumed = false;
    if (port.generation >= PCIE_SCALING_FIRST)
        return port;
    /* What is left is a port that sleeps, a slow one, or none: the faster of what is said, or what the part implies. */
    fs_pcie_link link = device.generation > port.generation ? device : port;
    if (link.generation == 0)
        link = (fs_pcie_link){PCIE_ASSUMED, PCIE_WIDTH_MAX};
    else if (link.generation >= expected)
        return link;
    *assumed = true;
    if (expected > 0)
        link.generation = expected;
    return link;
}

/* ---- link types ---- */

char *fs_pcie_type_name(fs_pcie_link link, bool intel_root, char *buffer, size_t size)
{
    snprintf(buffer, size, "pcie%u-x%u%s", link.generation, link.width, intel_root ? "-root" : "");
    return buffer;
}

bool fs_pcie_type_write(const char *name, fs_out *out)
{
    char candidate[FS_HW_NAME_MAX];
    for (uint32_t generation = 1; generation <= PCIE_GENERATIONS; generation++)
        for (uint32_t width = 1; width <= PCIE_WIDTH_MAX; width *= 2)
            for (int root = 0; root < 2; root++) {
                if (strcmp(fs_pcie_type_name((fs_pcie_link){generation, width}, root, candidate, sizeof candidate),
                           name) != 0)
                    continue;
                /* As the shipped x16 types: 12 of 15.75 GB/s, and 5/6 of that where an Intel root complex splits
                 * packets. */
                const uint64_t wire = (uint64_t)lane_kBps[generation] * width;
                const uint64_t bulk = wire * 1200 / 1575;
                fs_out_printf(
                    out,
                    "<link-type name=\"%s\" class=\"pcie\" tier=\"pcie\" bandwidth=\"%llukB/s\" effective=\"%llukB/s\" "
                    "latency=\"150ns\" source=\"PCI Express %u.0, %u lanes; effective and latency: as pcie3-x16%s, "
                    "scaled\"/>",
                    name, (unsigned long long)wire, (unsigned long long)(root ? bulk * 5 / 6 : bulk), generation, width,
                    root ? "-root" : "");
                return true;
            }
    return false;
}

/* ---- the tree ---- */

uint32_t fs_hw_socket_of(const fs_hw_board *board, hwloc_obj_t obj, bool *guessed)
{
    const hwloc_obj_t place = hwloc_get_non_io_ancestor_obj(board->topology, obj);
    uint32_t first = FS_NONE;
    *guessed = false;
    for (hwloc_obj_t up = place; up; up = up->parent) {
        const uint32_t socket = fs_hw_find(board, FS_DEVICE_CPU, up);
        if (socket != FS_NONE)
            return socket;
    }
    for (uint32_t i = 0; i < board->devices.count; i++) {
        if (board->devices.data[i].kind != FS_DEVICE_CPU)
            continue;
        if (first != FS_NONE) {
            *guessed = true;
            break;
        }
        first = i;
    }
    return first;
}

static bool is_port(hwloc_obj_t obj)
{
    return obj && obj->type == HWLOC_OBJ_BRIDGE && obj->attr->bridge.upstream_type == HWLOC_OBJ_BRIDGE_PCI;
}

static double speed_of(hwloc_obj_t obj)
{
    if (obj->type == HWLOC_OBJ_PCI_DEVICE)
        return (double)obj->attr->pcidev.linkspeed;
    return is_port(obj) ? (double)obj->attr->bridge.upstream.pci.linkspeed : 0;
}

/* Generation that the part of a device implies; 0 where it implies none. */
static uint32_t expected_generation(const fs_hw_board *board, const fs_hw_device *device)
{
    if (device->kind != FS_DEVICE_GPU)
        return 0;
    return fs_hw_gpu_arch_of(fs_hw_part_attribute(board->parts, "gpu", device->part, "arch"))->pcie_generation;
}

/* Join `child` (its far end of the link is `below`, the port above it `port`, which may be NULL) to `parent`. */
static fs_status join(fs_hw_board *board, uint32_t child, hwloc_obj_t below, hwloc_obj_t port, uint32_t parent,
                      fs_err *err)
{
    const fs_hw_device *up = &board->devices.data[parent], *down = &board->devices.data[child];
    char type[FS_HW_NAME_MAX], note[FS_HW_NOTE_MAX];
    bool assumed;
    /* Grace reaches its GPU over NVLink-C2C, which carries the PCIe transactions too: hwloc shows a root port. */
    if (down->kind == FS_DEVICE_GPU && up->kind == FS_DEVICE_CPU && strcmp(down->part, "gb200") == 0)
        return fs_hw_add_link(board, child, parent, "c2c-gb200", 1, "assumed from the GPU model", err);
    const fs_pcie_link link =
        fs_pcie_choose(port ? speed_of(port) : 0, speed_of(below), expected_generation(board, down), &assumed);
    const char *vendor = up->kind == FS_DEVICE_CPU ? hwloc_obj_get_info_by_name(up->obj, "CPUVendor") : NULL;
    fs_pcie_type_name(link, vendor && strcmp(vendor, "GenuineIntel") == 0, type, sizeof type);
    snprintf(note, sizeof note, "%s: PCIe %u.0 x%u", assumed ? "assumed" : "hwloc", link.generation, link.width);
    return fs_hw_add_link(board, child, parent, type, 1, note, err);
}

/* The bridges above a device, the nearest first, without the host bridge. */
static fs_status ports_above(const fs_hw_board *board, hwloc_obj_t obj, hwloc_obj_t *ports, uint32_t *count,
                             fs_err *err)
{
    *count = 0;
    for (hwloc_obj_t up = obj->parent; is_port(up); up = up->parent) {
        if (*count == FS_HW_PCIE_DEPTH_MAX)
            return fs_fail_at(err, FS_E_TOPOLOGY, board->path, 0, 0, "more than %d PCIe bridges stand above one device",
                              FS_HW_PCIE_DEPTH_MAX);
        ports[(*count)++] = up;
    }
    return FS_OK;
}

static fs_status add_switch(fs_hw_board *board, hwloc_obj_t upstream, hwloc_obj_t port, uint32_t *index, fs_err *err)
{
    bool assumed;
    const fs_pcie_link link = fs_pcie_choose(port ? speed_of(port) : 0, speed_of(upstream), 0, &assumed);
    fs_status status =
        fs_hw_add_device(board, FS_DEVICE_PCIE_SWITCH, upstream, fs_hw_pcie_switch_part(link.generation), index, err);
    if (status != FS_OK)
        return status;
    char name[FS_HW_NAME_MAX];
    fs_hw_device *device = &board->devices.data[*index];
    snprintf(device->note, sizeof device->note, "hwloc: %s, PCI device %04x:%04x",
             fs_hw_obj_name(upstream, name, sizeof name), upstream->attr->bridge.upstream.pci.vendor_id,
             upstream->attr->bridge.upstream.pci.device_id);
    return FS_OK;
}

fs_status fs_hw_attach_pcie(fs_hw_board *board, uint32_t index, fs_err *err)
{
    const hwloc_obj_t obj = board->devices.data[index].obj;
    hwloc_obj_t ports[FS_HW_PCIE_DEPTH_MAX];
    uint32_t n_ports;
    bool guessed;
    fs_status status = ports_above(board, obj, ports, &n_ports, err);
    if (status != FS_OK)
        return status;
    char name[FS_HW_NAME_MAX];
    uint32_t above = fs_hw_socket_of(board, obj, &guessed);
    if (guessed)
        status = fs_hw_remark_add(board, err, "hwloc does not know the socket of %s: the first one is assumed",
                                  fs_hw_device_name(&board->devices.data[index], name, sizeof name));
    /* Downwards: ports[n_ports - 1] is at depth 1. Only upstream ports (even depth) are devices. */
    for (uint32_t depth = 2; status == FS_OK && depth <= n_ports; depth += 2) {
        const hwloc_obj_t upstream = ports[n_ports - depth];
        uint32_t at = fs_hw_find(board, FS_DEVICE_PCIE_SWITCH, upstream);
        if (at == FS_NONE) {
            status = add_switch(board, upstream, ports[n_ports - depth + 1], &at, err);
            if (status == FS_OK)
                status = join(board, at, upstream, ports[n_ports - depth + 1], above, err);
        }
        above = at;
    }
    if (status != FS_OK)
        return status;
    return join(board, index, obj, n_ports % 2 == 1 ? ports[0] : NULL, above, err);
}
