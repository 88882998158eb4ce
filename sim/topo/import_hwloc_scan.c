/* import_hwloc_scan.c - the devices of a node: GPUs, NICs, CPU sockets.
 *
 * GPUs are the PCI devices below the OS devices nvml0, nvml1, ...; where hwloc was built without NVML, below cuda0,
 * cuda1, ...; where it has neither, all NVIDIA display controllers. NICs are the PCI devices below OpenFabrics OS
 * devices, else all Mellanox network controllers. Both are numbered by PCI bus id, which is NVML's own order, so that
 * "gpu3" is what nvidia-smi calls GPU 3. The functions of one card are one NIC, because they share its PCIe link.
 *
 * Cost: O(objects + endpoints^2), endpoints at most FS_HW_ENDPOINTS_MAX. */
#include "topo/import_hwloc_board.h"

#include "topo/import_hwloc_pcie.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PCI_VENDOR_NVIDIA = 0x10de,
    PCI_VENDOR_MELLANOX = 0x15b3,
    PCI_BASE_NETWORK = 0x02, /* PCI base classes (PCI Code and ID Assignment Specification) */
    PCI_BASE_DISPLAY = 0x03,
    NIC_PORTS_MAX = 8
};

/* A GPU or a NIC before it has a number. */
typedef struct endpoint {
    hwloc_obj_t obj;   /* PCI device, or the OS device itself where hwloc has no PCI device above it */
    hwloc_obj_t osdev; /* NULL: found by PCI class */
} endpoint;

typedef FS_VEC(endpoint) endpoint_list;

/* Is it "nvml12" for the stem "nvml"? */
static bool is_numbered(const char *name, const char *stem)
{
    size_t length = strlen(stem);
    return name && strncmp(name, stem, length) == 0 && isdigit((unsigned char)name[length]);
}

hwloc_obj_t fs_hw_pci_above(hwloc_obj_t obj)
{
    for (hwloc_obj_t up = obj; up; up = up->parent)
        if (up->type == HWLOC_OBJ_PCI_DEVICE)
            return up;
    return obj;
}

static int by_bus_id(const void *left, const void *right)
{
    const hwloc_obj_t a = ((const endpoint *)left)->obj, b = ((const endpoint *)right)->obj;
    const bool a_pci = a->type == HWLOC_OBJ_PCI_DEVICE, b_pci = b->type == HWLOC_OBJ_PCI_DEVICE;
    if (a_pci != b_pci)
        return a_pci ? -1 : 1;
    if (a_pci) {
        const uint32_t key_a[4] = {a->attr->pcidev.domain, a->attr->pcidev.bus, a->attr->pcidev.dev,
                                   a->attr->pcidev.func};
        const uint32_t key_b[4] = {b->attr->pcidev.domain, b->attr->pcidev.bus, b->attr->pcidev.dev,
                                   b->attr->pcidev.func};
        for (int i = 0; i < 4; i++)
            if (key_a[i] != key_b[i])
                return key_a[i] < key_b[i] ? -1 : 1;
    }
    return a->logical_index < b->logical_index ? -1 : a->logical_index > b->logical_index;
}

static fs_status push_endpoint(const fs_hw_board *board, endpoint_list *list, hwloc_obj_t obj, hwloc_obj_t osdev,
                               const char *what, fs_err *err)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->data[i].obj == obj)
            return FS_OK;
    if (list->count == FS_HW_ENDPOINTS_MAX)
        return fs_fail_at(err, FS_E_TOPOLOGY, board->path, 0, 0, "one node with more than %d %s", FS_HW_ENDPOINTS_MAX,
                          what);
    const endpoint found = {.obj = obj, .osdev = osdev};
    return FS_PUSH(list, found) ? FS_OK : fs_fail_nomem(err);
}

static fs_status push_osdevs(const fs_hw_board *board, endpoint_list *list, const char *stem, fs_err *err)
{
    fs_status status = FS_OK;
    for (hwloc_obj_t os = NULL; status == FS_OK && (os = hwloc_get_next_osdev(board->topology, os));) {
        if (stem ? is_numbered(os->name, stem) : os->attr->osdev.type == HWLOC_OBJ_OSDEV_OPENFABRICS)
            status = push_endpoint(board, list, fs_hw_pci_above(os), os, stem ? "GPUs" : "NICs", err);
    }
    return status;
}

static fs_status push_pci(const fs_hw_board *board, endpoint_list *list, uint32_t vendor, uint32_t base_class,
                          const char *what, fs_err *err)
{
    fs_status status = FS_OK;
    for (hwloc_obj_t pci = NULL; status == FS_OK && (pci = hwloc_get_next_pcidev(board->topology, pci));)
        if (pci->attr->pcidev.vendor_id == vendor && pci->attr->pcidev.class_id >> 8 == base_class)
            status = push_endpoint(board, list, pci, NULL, what, err);
    return status;
}

/* ---- GPUs ---- */

static fs_status add_gpu(fs_hw_board *board, const endpoint *gpu, fs_err *err)
{
    char name[FS_HW_NAME_MAX];
    const bool pci = gpu->obj->type == HWLOC_OBJ_PCI_DEVICE;
    const char *model = gpu->osdev ? hwloc_obj_get_info_by_name(gpu->osdev, "GPUModel") : NULL;
    if (!model)
        model = hwloc_obj_get_info_by_name(gpu->obj, "PCIDevice");
    const uint32_t id = pci ? gpu->obj->attr->pcidev.device_id : 0;
    const char *part = board->options.gpu_part ? board->options.gpu_part : fs_hw_gpu_part(model, id);
    if (!part)
        return fs_fail_at(
            err, FS_E_TOPOLOGY, board->path, 0, 0,
            "%s is '%.80s' (PCI device 10de:%04x), which is none of the shipped parts; name one with --gpu-part",
            fs_hw_obj_name(gpu->osdev ? gpu->osdev : gpu->obj, name, sizeof name), model ? model : "unnamed", id);
    uint32_t index;
    fs_status status = fs_hw_add_device(board, FS_DEVICE_GPU, gpu->obj, part, &index, err);
    if (status != FS_OK)
        return status;
    fs_hw_device *device = &board->devices.data[index];
    snprintf(device->note, sizeof device->note, "hwloc: %s%s%s",
             fs_hw_obj_name(gpu->osdev ? gpu->osdev : gpu->obj, name, sizeof name), model ? ", " : "",
             model ? model : "");
    return FS_OK;
}

static fs_status scan_gpus(fs_hw_board *board, fs_err *err)
{
    endpoint_list list = {0};
    fs_status status = push_osdevs(board, &list, "nvml", err);
    if (status == FS_OK && list.count == 0)
        status = push_osdevs(board, &list, "cuda", err);
    if (status == FS_OK && list.count == 0)
        status = push_pci(board, &list, PCI_VENDOR_NVIDIA, PCI_BASE_DISPLAY, "GPUs", err);
    if (status == FS_OK && list.count == 0)
        status = fs_fail_at(err, FS_E_TOPOLOGY, board->path, 0, 0, "%s has no NVIDIA GPU that hwloc sees\n%s",
                            board->path ? "the machine of this file" : "this machine",
                            "expected OS devices nvml0 or cuda0, or a PCI device of vendor 10de and class 03xx");
    if (list.count > 0)
        qsort(list.data, list.count, sizeof list.data[0], by_bus_id);
    for (uint32_t i = 0; status == FS_OK && i < list.count; i++)
        status = add_gpu(board, &list.data[i], err);
    board->n_gpus = list.count;
    fs_free(list.data);
    return status;
}

/* ---- NICs ---- */

/* Ports of an OpenFabrics device, and how many of them are active (the kernel writes state "4: ACTIVE", hwloc the
 * number). */
static uint32_t count_ports(hwloc_obj_t osdev, uint32_t *active)
{
    uint32_t ports = 0;
    *active = 0;
    for (uint32_t port = 1; osdev && port <= NIC_PORTS_MAX; port++) {
        char key[24];
        snprintf(key, sizeof key, "Port%uState", port);
        const char *state = hwloc_obj_get_info_by_name(osdev, key);
        ports += state != NULL;
        *active += state && strtol(state, NULL, 10) == 4;
    }
    return ports;
}

/* Functions of one card: on one bus below a port, or, without a port above, in one slot. */
static bool same_card(hwloc_obj_t a, hwloc_obj_t b)
{
    if (a->type != HWLOC_OBJ_PCI_DEVICE || b->type != HWLOC_OBJ_PCI_DEVICE || a->parent != b->parent)
        return false;
    const struct hwloc_pcidev_attr_s *x = &a->attr->pcidev, *y = &b->attr->pcidev;
    const bool below_port =
        a->parent->type == HWLOC_OBJ_BRIDGE && a->parent->attr->bridge.upstream_type == HWLOC_OBJ_BRIDGE_PCI;
    return x->domain == y->domain && x->bus == y->bus && (below_port || x->dev == y->dev);
}

/* One card: the endpoints [first, first + count). Cards whose ports are all down stay out where others are up. */
static fs_status add_nic(fs_hw_board *board, const endpoint *first, uint32_t count, bool some_active, fs_err *err)
{
    char name[FS_HW_NAME_MAX], note[FS_HW_NOTE_MAX];
    uint32_t ports = 0, active = 0;
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t up;
        ports += count_ports(first[i].osdev, &up);
        active += up;
        if (used < sizeof note)
            used += (size_t)snprintf(note + used, sizeof note - used, "%s%s", i ? ", " : "",
                                     fs_hw_obj_name(first[i].osdev ? first[i].osdev : first[i].obj, name, sizeof name));
    }
    if (ports > 0 && used < sizeof note)
        snprintf(note + used, sizeof note - used, ", %u of %u ports active", active, ports);
    if (some_active && ports > 0 && active == 0)
        return fs_hw_remark_add(board, err, "left out, no port is active: %s", note);

    const hwloc_obj_t obj = first->obj;
    const bool pci = obj->type == HWLOC_OBJ_PCI_DEVICE;
    const uint32_t vendor = pci ? obj->attr->pcidev.vendor_id : 0, id = pci ? obj->attr->pcidev.device_id : 0;
    const char *part = board->options.nic_part ? board->options.nic_part : fs_hw_nic_part(vendor, id);
    if (!part)
        return fs_hw_remark_add(board, err, "left out, PCI device %04x:%04x is none of the shipped parts: %s", vendor,
                                id, note);
    uint32_t index;
    fs_status status = fs_hw_add_device(board, FS_DEVICE_NIC, obj, part, &index, err);
    if (status == FS_OK)
        snprintf(board->devices.data[index].note, sizeof note, "hwloc: %.*s", FS_HW_NOTE_MAX - 8, note);
    return status;
}

static fs_status scan_nics(fs_hw_board *board, fs_err *err)
{
    endpoint_list list = {0};
    bool some_active = false;
    fs_status status = push_osdevs(board, &list, NULL, err);
    if (status == FS_OK && list.count == 0)
        status = push_pci(board, &list, PCI_VENDOR_MELLANOX, PCI_BASE_NETWORK, "NICs", err);
    if (list.count > 0)
        qsort(list.data, list.count, sizeof list.data[0], by_bus_id);
    for (uint32_t i = 0; i < list.count; i++) {
        uint32_t active;
        count_ports(list.data[i].osdev, &active);
        some_active |= active > 0;
    }
    for (uint32_t i = 0; status == FS_OK && i < list.count;) {
        uint32_t count = 1;
        while (i + count < list.count && same_card(list.data[i].obj, list.data[i + count].obj))
            count++;
        status = add_nic(board, &list.data[i], count, some_active, err);
        i += count;
    }
    fs_free(list.data);
    return status;
}

/* ---- CPU sockets ---- */

static fs_status add_cpu(fs_hw_board *board, hwloc_obj_t package, fs_err *err)
{
    uint32_t index;
    fs_status status = fs_hw_add_device(board, FS_DEVICE_CPU, package, fs_hw_cpu_part(package), &index, err);
    if (status != FS_OK)
        return status;
    fs_hw_device *device = &board->devices.data[index];
    const char *model = hwloc_obj_get_info_by_name(package, "CPUModel");
    const int nodes = hwloc_bitmap_weight(package->nodeset);
    snprintf(device->note, sizeof device->note, "hwloc: %s, %d NUMA node%s", model ? model : "socket", nodes,
             nodes == 1 ? "" : "s");
    return FS_OK;
}

/* Sockets, each joined to each: right for 2 and for 4 with three links each; hwloc does not know the wiring. */
static fs_status scan_cpus(fs_hw_board *board, fs_err *err)
{
    const uint32_t first = board->devices.count;
    fs_status status = FS_OK;
    const int sockets = hwloc_get_nbobjs_by_type(board->topology, HWLOC_OBJ_PACKAGE);
    for (int i = 0; status == FS_OK && i < sockets; i++)
        status = add_cpu(board, hwloc_get_obj_by_type(board->topology, HWLOC_OBJ_PACKAGE, (unsigned)i), err);
    if (status == FS_OK && sockets <= 0) {
        status = add_cpu(board, hwloc_get_root_obj(board->topology), err);
        if (status == FS_OK)
            status = fs_hw_remark_add(board, err, "hwloc names no CPU socket: the whole machine stands for one");
    }
    const uint32_t end = board->devices.count;
    if (status == FS_OK && end - first > 2)
        status = fs_hw_remark_add(board, err, "hwloc does not know how sockets are wired: each is joined to each");
    for (uint32_t i = first; i < end; i++)
        for (uint32_t j = i + 1; status == FS_OK && j < end; j++)
            status = fs_hw_add_link(board, i, j, fs_hw_socket_link(board->devices.data[i].obj), 1,
                                    "assumed from the CPU model", err);
    return status;
}

fs_status fs_hw_scan(fs_hw_board *board, fs_err *err)
{
    fs_status status = scan_gpus(board, err);
    if (status == FS_OK)
        status = scan_nics(board, err);
    const uint32_t endpoints = board->devices.count;
    if (status == FS_OK)
        status = scan_cpus(board, err);
    for (uint32_t i = 0; status == FS_OK && i < endpoints; i++)
        status = fs_hw_attach_pcie(board, i, err);
    return status;
}
