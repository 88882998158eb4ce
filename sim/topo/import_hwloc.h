/* import_hwloc.h - a real node in: hwloc's view of a machine becomes a board file.
 *
 * Reads an export of `lstopo` (XML, version 2 of its format) or the machine it runs on, and writes a topology file with
 * one board: GPUs, NVSwitches, NICs, CPU sockets and PCIe switches with the links between them. The file stands
 * alone: the parts that it names are copied into it. docs/IMPORT.md says what is taken from where. */
#ifndef FS_IMPORT_HWLOC_H
#define FS_IMPORT_HWLOC_H

#include "base/err.h"
#include "base/file.h"

typedef struct fs_hwloc_options {
    const char *gpu_part; /* part of every GPU; NULL = found by its model */
    const char *nic_part; /* part of every NIC; NULL = found by its PCI device id */
} fs_hwloc_options;

/* Write the board of the node in the file at `path` (NULL: of this machine; "-": of stdin) to `out`, which is only
 * touched when all went well. `options` may be NULL. FS_E_IO where the file cannot be read, FS_E_TOPOLOGY where it is
 * not an export that this version of hwloc reads, has no GPU, or has one whose part is unknown. */
FS_MUST_CHECK fs_status fs_import_hwloc(const char *path, const fs_hwloc_options *options, fs_out *out, fs_err *err);

#endif
