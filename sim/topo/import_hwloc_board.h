/* import_hwloc_board.h - what the importer knows of a node, between reading it from hwloc and writing it down.
 *
 * Order: import_hwloc.c loads the topology and calls, in this order, fs_hw_scan (devices and PCIe tree), fs_hw_nvlinks
 * (NVLinks and NVSwitches) and fs_hw_write. Private to sim/topo/import_hwloc*.c. */
#ifndef FS_IMPORT_HWLOC_BOARD_H
#define FS_IMPORT_HWLOC_BOARD_H

#include "base/mem.h"
#include "topo/import_hwloc.h"
#include "topo/topo.h"

#include <hwloc.h>
#include <stdbool.h>

enum {
    FS_HW_NAME_MAX = 64,        /* a device, part or link type name */
    FS_HW_NOTE_MAX = 256,       /* one remark */
    FS_HW_ENDPOINTS_MAX = 1024, /* GPUs, and NICs, of one node: 16 is what a big one has */
    FS_HW_PCIE_DEPTH_MAX = 32   /* bridges above one device; 256 buses bound it in PCIe itself */
};

typedef struct fs_hw_device {
    fs_device_kind kind;
    hwloc_obj_t obj; /* PCI device, package, or the upstream port of a PCIe switch; NULL: made up */
    uint32_t number; /* among its kind: the N of "gpuN" */
    char part[FS_HW_NAME_MAX];
    char note[FS_HW_NOTE_MAX]; /* becomes the source attribute */
} fs_hw_device;

typedef struct fs_hw_link {
    uint32_t from, to; /* indices in devices */
    uint32_t lanes;
    char type[FS_HW_NAME_MAX];
    char note[FS_HW_NOTE_MAX];
} fs_hw_link;

typedef struct fs_hw_remark {
    char text[FS_HW_NOTE_MAX];
} fs_hw_remark;

typedef struct fs_hw_parts fs_hw_parts; /* below */

typedef struct fs_hw_board {
    hwloc_topology_t topology;
    const fs_hw_parts *parts;
    const char *path; /* for messages; NULL: this machine */
    fs_hwloc_options options;
    FS_VEC(fs_hw_device) devices; /* GPUs first, then NICs, CPUs, PCIe switches, NVSwitches */
    FS_VEC(fs_hw_link) links;
    FS_VEC(fs_hw_remark) remarks; /* what was assumed or left out, in order */
    uint32_t n_gpus;              /* devices [0, n_gpus) */
} fs_hw_board;

/* ---- stages ---- */
FS_MUST_CHECK fs_status fs_hw_scan(fs_hw_board *board, fs_err *err);
FS_MUST_CHECK fs_status fs_hw_nvlinks(fs_hw_board *board, fs_err *err);
FS_MUST_CHECK fs_status fs_hw_write(const fs_hw_board *board, fs_out *out, fs_err *err);

/* ---- building ---- */
FS_MUST_CHECK fs_status fs_hw_add_device(fs_hw_board *board, fs_device_kind kind, hwloc_obj_t obj, const char *part,
                                         uint32_t *index, fs_err *err);
FS_MUST_CHECK fs_status fs_hw_add_link(fs_hw_board *board, uint32_t from, uint32_t to, const char *type, uint32_t lanes,
                                       const char *note, fs_err *err);
FS_PRINTF(3, 4) FS_MUST_CHECK fs_status fs_hw_remark_add(fs_hw_board *board, fs_err *err, const char *format, ...);
uint32_t fs_hw_find(const fs_hw_board *board, fs_device_kind kind, hwloc_obj_t obj); /* FS_NONE where absent */
char *fs_hw_device_name(const fs_hw_device *device, char *buffer, size_t size);      /* "gpu3" */
/* A name for messages: "nvml3 at 0000:3b:00.0"; the buffer is returned. */
char *fs_hw_obj_name(hwloc_obj_t obj, char *buffer, size_t size);
hwloc_obj_t fs_hw_pci_above(hwloc_obj_t obj); /* the PCI device of an OS device; obj itself where there is none */

/* ---- what hwloc does not know (import_hwloc_models.c) ---- */

/* What comes with a GPU architecture. */
typedef struct fs_hw_gpu_arch {
    const char *arch;     /* as in a part's attribute */
    const char *switched; /* link type of one NVLink to an NVSwitch; NULL: there are none */
    const char *direct;   /* ... to another GPU */
    const char *to_cpu;   /* ... to a CPU (POWER8 and POWER9); NULL: there are none */
    const char *trunk;    /* ... between NVSwitches; NULL: there are none */
    const char *nvswitch; /* the NVSwitch of that generation; NULL: there is none */
    uint32_t nvlink_MBps; /* one NVLink, one direction, as hwloc counts it */
    uint32_t nvlinks;     /* most NVLinks that a GPU has */
    uint32_t pcie_generation;
} fs_hw_gpu_arch;

const char *fs_hw_gpu_part(const char *model, uint32_t pci_device);   /* NULL where unknown */
const char *fs_hw_nic_part(uint32_t pci_vendor, uint32_t pci_device); /* NULL where unknown */
const fs_hw_gpu_arch *fs_hw_gpu_arch_of(const char *arch);            /* never NULL */
const char *fs_hw_cpu_part(hwloc_obj_t package);
const char *fs_hw_socket_link(hwloc_obj_t package); /* link type between two sockets of it */
const char *fs_hw_pcie_switch_part(uint32_t pcie_generation);

/* ---- parts that ship with fabsim (import_hwloc_parts.c) ---- */
typedef struct fs_hw_text {
    const char *file, *text;
    size_t length;
} fs_hw_text;
extern const fs_hw_text fs_hw_shipped_parts[]; /* made by scripts/embed.sh from topologies/parts */
extern const uint32_t fs_hw_n_shipped_parts;

FS_MUST_CHECK fs_status fs_hw_parts_open(fs_hw_parts **parts, fs_err *err);
void fs_hw_parts_close(fs_hw_parts *parts);
/* An attribute of a part or link type, owned by `parts`; NULL where there is none. `element` NULL: of any kind. */
const char *fs_hw_part_attribute(const fs_hw_parts *parts, const char *element, const char *name,
                                 const char *attribute);
/* FS_E_USAGE with a suggestion where `name` is no shipped part of that element. */
FS_MUST_CHECK fs_status fs_hw_part_check(const fs_hw_parts *parts, const char *element, const char *name, fs_err *err);
/* Write the element of that name as it stands in its file. */
FS_MUST_CHECK fs_status fs_hw_part_write(const fs_hw_parts *parts, const char *name, fs_out *out, fs_err *err);

#endif
