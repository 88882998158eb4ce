/* import_hwloc_pcie.h - the PCIe tree of an imported node. */
#ifndef FS_IMPORT_HWLOC_PCIE_H
#define FS_IMPORT_HWLOC_PCIE_H

#include "topo/import_hwloc_board.h"

/* One PCIe link: generation 1 to 6 and width in lanes. generation 0 = unknown. */
typedef struct fs_pcie_link {
    uint32_t generation, width;
} fs_pcie_link;

/* Link device `index` (a GPU or a NIC) to its socket, through the PCIe switches above it, which are added on the
 * way. */
FS_MUST_CHECK fs_status fs_hw_attach_pcie(fs_hw_board *board, uint32_t index, fs_err *err);

/* The socket that an object belongs to; *guessed where hwloc does not know. */
uint32_t fs_hw_socket_of(const fs_hw_board *board, hwloc_obj_t obj, bool *guessed);

/* What moves `GBps` in one direction (hwloc's figure, line code taken off). 15.75 GB/s is 3.0 x16, 4.0 x8 and 5.0 x4:
 * the widest is meant. */
fs_pcie_link fs_pcie_decode(double GBps);
/* What the link between a port and the device below it runs at, from what both report; `expected` is the generation of
 * the device, 0 = unknown. *assumed where it is not what they say. */
fs_pcie_link fs_pcie_choose(double port_GBps, double device_GBps, uint32_t expected, bool *assumed);

/* "pcie4-x8", and "pcie3-x16-root" below an Intel root complex. */
char *fs_pcie_type_name(fs_pcie_link link, bool intel_root, char *buffer, size_t size);
/* Write the link type of that name, if it is one of those, scaled from the shipped x16 types. False where it is
 * none. */
bool fs_pcie_type_write(const char *name, fs_out *out);

#endif
