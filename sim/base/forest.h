/* forest.h - disjoint sets over dense ids (union-find with path halving).
 *
 * parent[] holds a tree per set; the smallest id of a set is its root, so that results do not depend on the order of
 * unions. Cost: O(log n) amortised; without ranks, which the fixed root rules out. */
#ifndef FS_FOREST_H
#define FS_FOREST_H

#include <stdint.h>

static inline void fs_forest_start(uint32_t *parent, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        parent[i] = i;
}

static inline uint32_t fs_forest_root(uint32_t *parent, uint32_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

static inline void fs_forest_unite(uint32_t *parent, uint32_t a, uint32_t b)
{
    a = fs_forest_root(parent, a);
    b = fs_forest_root(parent, b);
    parent[a > b ? a : b] = a > b ? b : a;
}

#endif
