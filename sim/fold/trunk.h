/* trunk.h - links that every pattern crosses alike. Private to fold/.
 *
 * Links of one colour that every pattern crosses alike behave alike: as the GPUs' links that a ring in a node uses, all
 * of them, or the ways of a rail through equal stages. They are one trunk: one node of the graph that is refined, which
 * weighs as much as its links. Links that no pattern crosses are in no trunk: their colour is their class.
 * Two links are alike if their sums of weight x word over the patterns that cross them are, twice 64 bits. */
#ifndef FS_TRUNK_H
#define FS_TRUNK_H

#include "fold/folding.h"
#include "fold/refine.h"

typedef struct fs_trunks {
    uint32_t n;
    uint32_t *of_link; /* (n_links) FS_NONE: idle */
    uint32_t *first;   /* (n) its first link: the one that has arcs */
    uint32_t *count;   /* (n) links */
    fs_colour *links;  /* (n_links) their colours */
} fs_trunks;

/* trunks: all zero bits. To be freed also after a failure. */
FS_MUST_CHECK fs_status fs_trunks_find(const fs_folding *f, const uint32_t *patterns, uint32_t n_patterns,
                                       fs_trunks *trunks, fs_err *err);
void fs_trunks_free(fs_trunks *trunks);

/* Classes of links from those of trunks, in the order of first members: class_of (n_links). */
FS_MUST_CHECK fs_status fs_trunks_classes(const fs_folding *f, const fs_trunks *trunks, const uint32_t *class_of_trunk,
                                          uint32_t *class_of, uint32_t *n_classes, fs_err *err);

/* A coefficient as an integer: a multiple of 1 / COEFFICIENT_UNITS to 1e-12, so that equal sums are equal; others count
 * as words of their own. */
uint64_t fs_coefficient_weight(double coefficient);

/* Colours of nodes: two independent hashes of what they are. */
fs_colour fs_colour_start(uint32_t kind);
void fs_colour_add(fs_colour *c, uint64_t more);
void fs_colour_add_d(fs_colour *c, double more);

enum { FS_NODE_LINK, FS_NODE_PATTERN, FS_NODE_GROUP, FS_NODE_RANK };

#endif
