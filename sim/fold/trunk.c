/* trunk.c - see trunk.h. Cost: O(shares of the patterns + links). */
#include "fold/trunk.h"

#include "base/index.h"
#include "base/rng.h"
#include "topo/bundle.h"

#include <math.h>
#include <string.h>

/* 2^12 x 3^2 x 5 x 7 x 11 x 13: fractions over up to 4,096 spines in powers of two, and over any 2 to 16. */
#define COEFFICIENT_UNITS 184504320.0

uint64_t fs_coefficient_weight(double coefficient)
{
    double units = coefficient * COEFFICIENT_UNITS, whole = floor(units + 0.5);
    if (whole > 0 && whole < 0x1p53 && fabs(units - whole) <= 1e-12 * whole)
        return (uint64_t)whole;
    return fs_hash_bytes(FS_HASH_START, &coefficient, sizeof coefficient) | 1;
}

/* ---- colours ----------------------------------------------------------------------------------------------------- */

void fs_colour_add(fs_colour *c, uint64_t more)
{
    uint64_t shifted = c->b + UINT64_C(0x9e3779b97f4a7c15);
    c->a = fs_hash_bytes(c->a, &more, sizeof more);
    c->b = fs_hash_bytes(shifted, &more, sizeof more);
}

void fs_colour_add_d(fs_colour *c, double more)
{
    uint64_t bits;
    memcpy(&bits, &more, sizeof bits);
    fs_colour_add(c, bits);
}

fs_colour fs_colour_start(uint32_t kind)
{
    fs_colour c = {FS_HASH_START, ~FS_HASH_START};
    fs_colour_add(&c, kind);
    return c;
}

/* Tier, links that it stands for, capacity, and what is left of that in each epoch. */
static fs_colour colour_of_link(const fs_folding *f, uint32_t link)
{
    fs_link l = fs_topo_link(f->topo, link);
    fs_colour c = fs_colour_start(FS_NODE_LINK);
    fs_colour_add(&c, f->topo->link_types[l.type].tier);
    fs_colour_add(&c, fs_bundle_links(f->topo, link));
    fs_colour_add_d(&c, fs_link_capacity(f->topo, link, f->cost));
    for (uint32_t e = 0; e < f->topo->n_epochs; e++)
        fs_colour_add_d(&c, fs_topo_link_factor(f->topo, link, e));
    return c;
}

/* ---- trunks ------------------------------------------------------------------------------------------------------ */

/* What tells the links apart: sums over the patterns that cross them. */
static void add_columns(const fs_folding *f, const uint32_t *patterns, uint32_t n_patterns, fs_colour *columns)
{
    double last = 0;
    uint64_t weight = 0;
    for (uint32_t i = 0; i < n_patterns; i++) {
        uint32_t count;
        const fs_share *row = fs_pattern_row(f->patterns, patterns[i], &count);
        fs_colour word = fs_colour_start(FS_NODE_PATTERN);
        fs_colour_add(&word, i);
        for (uint32_t s = 0; s < count; s++) {
            if (row[s].coefficient != last) { /* most of a row's are equal */
                last = row[s].coefficient;
                weight = fs_coefficient_weight(last);
            }
            columns[row[s].resource].a += weight * word.a;
            columns[row[s].resource].b += weight * word.b;
        }
    }
}

static bool same(fs_colour x, fs_colour y)
{
    return x.a == y.a && x.b == y.b;
}

/* Columns become what tells trunks apart: with the colours of the links. */
static fs_status join(fs_trunks *t, fs_colour *columns, uint32_t n_links, fs_err *err)
{
    fs_index index = {0};
    FS_VEC(uint32_t) first = {0};
    fs_status status = FS_OK;
    for (uint32_t l = 0; status == FS_OK && l < n_links; l++) {
        t->of_link[l] = FS_NONE;
        if (columns[l].a == 0 && columns[l].b == 0)
            continue;
        fs_colour_add(&columns[l], t->links[l].a);
        fs_colour_add(&columns[l], t->links[l].b);
        fs_index_probe probe = fs_index_search(&index, columns[l].a);
        uint32_t id = fs_index_next(&probe);
        while (id != FS_NONE && !same(columns[first.data[id]], columns[l]))
            id = fs_index_next(&probe);
        if (id == FS_NONE) {
            id = first.count;
            if (!FS_PUSH(&first, l) || !fs_index_add(&index, columns[l].a, id))
                status = fs_fail_nomem(err);
        }
        t->of_link[l] = id;
    }
    fs_index_free(&index);
    t->first = first.data;
    t->n = first.count;
    return status;
}

fs_status fs_trunks_find(const fs_folding *f, const uint32_t *patterns, uint32_t n_patterns, fs_trunks *t, fs_err *err)
{
    uint32_t n_links = f->topo->n_links;
    fs_colour *columns = fs_zalloc(n_links, sizeof *columns);
    t->of_link = fs_alloc(n_links, sizeof *t->of_link);
    t->links = fs_alloc(n_links, sizeof *t->links);
    fs_status status = columns && t->of_link && t->links ? FS_OK : fs_fail_nomem(err);
    for (uint32_t l = 0; status == FS_OK && l < n_links; l++)
        t->links[l] = colour_of_link(f, l);
    if (status == FS_OK) {
        add_columns(f, patterns, n_patterns, columns);
        status = join(t, columns, n_links, err);
    }
    fs_free(columns);
    if (status != FS_OK)
        return status;
    t->count = fs_zalloc(t->n, sizeof *t->count);
    if (!t->count)
        return fs_fail_nomem(err);
    for (uint32_t l = 0; l < n_links; l++)
        if (t->of_link[l] != FS_NONE)
            t->count[t->of_link[l]]++;
    return FS_OK;
}

void fs_trunks_free(fs_trunks *t)
{
    fs_free(t->of_link);
    fs_free(t->first);
    fs_free(t->count);
    fs_free(t->links);
    *t = (fs_trunks){0};
}

/* ---- classes ----------------------------------------------------------------------------------------------------- */

fs_status fs_trunks_classes(const fs_folding *f, const fs_trunks *t, const uint32_t *class_of_trunk, uint32_t *class_of,
                            uint32_t *n_classes, fs_err *err)
{
    fs_index index = {0};
    FS_VEC(fs_colour) classes = {0};
    fs_status status = FS_OK;
    for (uint32_t l = 0; status == FS_OK && l < f->topo->n_links; l++) {
        fs_colour c = t->links[l];
        fs_colour_add(&c, t->of_link[l] == FS_NONE ? FS_NONE : class_of_trunk[t->of_link[l]]);
        fs_index_probe probe = fs_index_search(&index, c.a);
        uint32_t id = fs_index_next(&probe);
        while (id != FS_NONE && !same(classes.data[id], c))
            id = fs_index_next(&probe);
        if (id == FS_NONE) {
            id = classes.count;
            if (!FS_PUSH(&classes, c) || !fs_index_add(&index, c.a, id))
                status = fs_fail_nomem(err);
        }
        class_of[l] = id;
    }
    *n_classes = classes.count;
    fs_index_free(&index);
    fs_free(classes.data);
    return status;
}
