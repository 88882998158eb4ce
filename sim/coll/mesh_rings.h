/* mesh_rings.h - Hamiltonian cycles and paths in a small graph with lane capacities.
 *
 * Vertices are the GPUs of a group, lanes[i * n + j] the NVLink lanes from i straight to j. A ring takes one lane of
 * each of its n arcs. Deterministic: smallest vertices first, a fixed budget of steps. */
#ifndef FS_MESH_RINGS_H
#define FS_MESH_RINGS_H

#include "base/err.h"

#include <stdbool.h>

enum { FS_MESH_MAX = 32 }; /* vertices; larger switchless meshes do not exist (DGX-1: 8, POWER: 6) */

typedef struct fs_mesh_ring {
    uint8_t order[FS_MESH_MAX]; /* (n) vertices, order[0] = 0; the ring closes from the last to the first */
    uint32_t lanes;             /* how often the ring was found: it takes so many lanes of each arc */
} fs_mesh_ring;

enum { FS_MESH_RINGS_MAX = 64 };

/* As many arc-disjoint directed Hamiltonian cycles as the search finds, equal ones merged. *n_rings = 0 where there is
 * none. 2 <= n <= FS_MESH_MAX; lanes (n x n). */
void fs_mesh_find_rings(uint32_t n, const uint32_t *lanes, fs_mesh_ring *rings, uint32_t *n_rings);

/* A Hamiltonian path from `first` to `last` (FS_NONE: anywhere) over arcs with at least one lane. */
bool fs_mesh_find_path(uint32_t n, const uint32_t *lanes, uint32_t first, uint32_t last, uint8_t *order);

#endif
