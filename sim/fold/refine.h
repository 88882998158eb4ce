/* refine.h - colour refinement: the coarsest equitable partition of a weighted graph.
 *
 * Nodes come with colours, arcs with weights. The result is the coarsest partition into classes such that the nodes of
 * a class have one colour, and for every class C the weights of the arcs that come from C add up to the same at each of
 * them. Weights are integers modulo 2^64, so sums are exact: four quarters equal one whole.
 *
 * Method: worklist refinement (A. Cardon, M. Crochemore 1982; R. Paige, R. E. Tarjan 1987; C. Berkholz, P. Bonsma,
 * M. Grohe 2017). Each class has a random word H, and each node keeps the sum of weight x H(class) over the arcs that
 * come in, which tells the sums per class apart. When a class splits, its largest part keeps H, and the others'
 * neighbours are brought up to date; so a node moves at most log2(n) times, and the cost is O(arcs x log n), in
 * practice two to three visits an arc. Two independent sums of 64 bits each make a wrong merge less likely than 2^-64
 * for any graph that fits in memory. H comes from a fixed sequence: results are reproducible. */
#ifndef FS_REFINE_H
#define FS_REFINE_H

#include "base/err.h"

/* What arrives at a node, or is its colour: two independent hashes. */
typedef struct fs_colour {
    uint64_t a, b;
} fs_colour;

typedef struct fs_ray {
    uint32_t to, weight; /* a node, an id in weights[] */
} fs_ray;

typedef struct fs_graph {
    uint32_t n_nodes;
    const fs_colour *colours; /* (n_nodes) equal where nodes may be in one class */
    const uint64_t *begin;    /* (n_nodes + 1) */
    const fs_ray *rays;       /* arcs that leave each node */
    const uint64_t *weights;  /* odd, or as many trailing zeros as their ratios need */
} fs_graph;

/* class_of (n_nodes): classes are numbered in the order of their first members. */
FS_MUST_CHECK fs_status fs_refine(const fs_graph *graph, uint32_t *class_of, uint32_t *n_classes, fs_err *err);

#endif
