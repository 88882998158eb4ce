/* refine.c - see refine.h.
 *
 * The members of a class lie together in order[], and those whose sum has changed since the class was last looked at
 * come first. Invariant between rounds: members of a class that are not touched have equal sums, which are right for
 * the present classes. A round splits every touched class by sums, then tells the neighbours of what moved. */
#include "fold/refine.h"

#include "base/mem.h"

#include <stdbool.h>
#include <string.h>

typedef struct part {
    fs_colour sum;
    uint32_t count, at; /* members; where they go in order[] */
    uint32_t class_;
} part;

typedef struct block {
    uint32_t class_, old; /* the nodes of a new class, and the class that they left */
} block;

typedef struct refiner {
    const fs_graph *g;
    uint32_t *class_of; /* (n_nodes) */
    fs_colour *sum;     /* (n_nodes) */
    uint32_t *order;    /* (n_nodes) nodes by class */
    uint32_t *place;    /* (n_nodes) inverse of order[] */
    uint32_t *first;    /* (n_nodes) per class: where it begins in order[] */
    uint32_t *size;     /* (n_nodes) per class */
    uint32_t *touched;  /* (n_nodes) per class: members at its front whose sum has changed */
    uint32_t n_classes;
    FS_VEC(uint32_t) queue; /* classes with touched members */
    FS_VEC(block) moved;
    FS_VEC(part) parts;
    uint32_t *scratch;      /* (n_nodes) */
    uint32_t *part_of;      /* (n_nodes) of the touched members of a class */
    FS_VEC(uint32_t) table; /* (count: a power of two) of parts + 1, by sum */
} refiner;

/* SplitMix64's finaliser, as in base/rng.c, here inline: one a moved class. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static fs_colour word_of(uint32_t class_)
{
    static const uint64_t step = UINT64_C(0x9e3779b97f4a7c15);
    return (fs_colour){mix((2 * (uint64_t)class_ + 1) * step), mix((2 * (uint64_t)class_ + 2) * step)};
}

static bool same(fs_colour x, fs_colour y)
{
    return x.a == y.a && x.b == y.b;
}

/* ---- splitting --------------------------------------------------------------------------------------------------- */

/* The part of that sum; made where there is none. */
static bool find_part(refiner *r, fs_colour sum, uint32_t *id)
{
    uint32_t mask = r->table.count - 1;
    uint32_t at = (uint32_t)(mix(sum.a) >> 32) & mask;
    for (;; at = (at + 1) & mask) {
        uint32_t mark = r->table.data[at];
        if (mark == 0)
            break;
        if (same(r->parts.data[mark - 1].sum, sum)) {
            *id = mark - 1;
            return true;
        }
    }
    *id = r->parts.count;
    r->table.data[at] = *id + 1;
    return FS_PUSH(&r->parts, ((part){.sum = sum})) != NULL;
}

/* An empty table for up to n parts. */
static bool clear_table(refiner *r, uint32_t n)
{
    uint32_t slots = 4;
    while (slots < UINT32_MAX / 4 && slots < 2 * n)
        slots *= 2;
    if (slots > r->table.capacity) {
        fs_free(r->table.data);
        r->table.capacity = 0;
        r->table.data = fs_alloc(slots, sizeof *r->table.data);
        if (!r->table.data)
            return false;
        r->table.capacity = slots;
    }
    r->table.count = slots;
    memset(r->table.data, 0, slots * sizeof *r->table.data);
    return true;
}

/* Whether all members have one sum: the usual end of a look. */
static bool is_uniform(const refiner *r, uint32_t class_)
{
    const uint32_t *members = r->order + r->first[class_];
    uint32_t n = r->touched[class_] + (r->touched[class_] < r->size[class_]); /* one of the others speaks for all */
    for (uint32_t i = 1; i < n; i++)
        if (!same(r->sum[members[i]], r->sum[members[0]]))
            return false;
    return true;
}

/* Give parts their places: those that were not touched stay at the end, with what equals them before them. */
static uint32_t lay_out(refiner *r, uint32_t class_)
{
    uint32_t n = r->touched[class_], others = r->size[class_] - n, at = r->first[class_], largest = 0;
    for (uint32_t p = others > 0; p < r->parts.count; p++) {
        r->parts.data[p].at = at;
        at += r->parts.data[p].count;
    }
    if (others > 0) {
        r->parts.data[0].at = at;
        r->parts.data[0].count += others;
    }
    for (uint32_t p = 1; p < r->parts.count; p++)
        if (r->parts.data[p].count > r->parts.data[largest].count)
            largest = p;
    return largest;
}

static fs_status split(refiner *r, uint32_t class_, fs_err *err)
{
    uint32_t n = r->touched[class_], first = r->first[class_], others = r->size[class_] - n;
    if (is_uniform(r, class_)) {
        r->touched[class_] = 0;
        return FS_OK;
    }
    memcpy(r->scratch, r->order + first, n * sizeof *r->scratch);
    r->parts.count = 0;
    uint32_t rest = 0;
    if (!clear_table(r, n + 1) || (others > 0 && !find_part(r, r->sum[r->order[first + n]], &rest)))
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < n; i++) {
        if (!find_part(r, r->sum[r->scratch[i]], &r->part_of[i]))
            return fs_fail_nomem(err);
        r->parts.data[r->part_of[i]].count++;
    }
    uint32_t kept = lay_out(r, class_);
    for (uint32_t p = 0; p < r->parts.count; p++) {
        uint32_t id = p == kept ? class_ : r->n_classes++;
        r->first[id] = r->parts.data[p].at;
        r->size[id] = r->parts.data[p].count;
        r->touched[id] = 0;
        r->parts.data[p].class_ = id;
        if (id != class_ && !FS_PUSH(&r->moved, ((block){id, class_})))
            return fs_fail_nomem(err);
    }
    for (uint32_t i = 0; i < n; i++) {
        part *p = &r->parts.data[r->part_of[i]];
        uint32_t node = r->scratch[i];
        r->order[p->at] = node;
        r->place[node] = p->at++;
        r->class_of[node] = p->class_;
    }
    for (uint32_t i = 0; kept != 0 && i < others; i++) /* behind those of their part that were touched */
        r->class_of[r->order[r->parts.data[0].at + i]] = r->parts.data[0].class_;
    return FS_OK;
}

/* ---- telling the neighbours -------------------------------------------------------------------------------------- */

static bool touch(refiner *r, uint32_t node)
{
    uint32_t class_ = r->class_of[node];
    if (r->size[class_] == 1)
        return true;
    uint32_t front = r->first[class_] + r->touched[class_], at = r->place[node];
    if (at < front)
        return true;
    uint32_t other = r->order[front];
    r->order[at] = other;
    r->place[other] = at;
    r->order[front] = node;
    r->place[node] = front;
    return r->touched[class_]++ > 0 || FS_PUSH(&r->queue, class_) != NULL;
}

static inline void add(const refiner *r, uint32_t node, fs_colour change)
{
    const fs_graph *g = r->g;
    for (uint64_t i = g->begin[node]; i < g->begin[node + 1]; i++) {
        uint64_t weight = g->weights[g->rays[i].weight];
        fs_colour *sum = &r->sum[g->rays[i].to];
        sum->a += weight * change.a;
        sum->b += weight * change.b;
    }
}

static fs_status tell(refiner *r, block moved, fs_err *err)
{
    const fs_graph *g = r->g;
    fs_colour now = word_of(moved.class_), before = word_of(moved.old);
    fs_colour change = {now.a - before.a, now.b - before.b};
    uint32_t n = r->size[moved.class_];
    memcpy(r->scratch, r->order + r->first[moved.class_], n * sizeof *r->scratch); /* touch() reorders the class */
    for (uint32_t i = 0; i < n; i++) {
        add(r, r->scratch[i], change);
        for (uint64_t k = g->begin[r->scratch[i]]; k < g->begin[r->scratch[i] + 1]; k++)
            if (!touch(r, g->rays[k].to))
                return fs_fail_nomem(err);
    }
    return FS_OK;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static fs_status split_all(refiner *r, fs_err *err)
{
    r->moved.count = 0;
    for (uint32_t i = 0; i < r->queue.count; i++) {
        fs_status status = split(r, r->queue.data[i], err);
        if (status != FS_OK)
            return status;
    }
    r->queue.count = 0;
    return FS_OK;
}

/* One class of all, split by colour; then every node speaks once, and every class has to be looked at. */
static fs_status start(refiner *r, fs_err *err)
{
    uint32_t n = r->g->n_nodes;
    for (uint32_t i = 0; i < n; i++) {
        r->order[i] = r->place[i] = i;
        r->class_of[i] = 0;
        r->sum[i] = r->g->colours[i];
    }
    r->first[0] = 0;
    r->size[0] = r->touched[0] = n;
    r->n_classes = 1;
    if (!FS_PUSH(&r->queue, 0))
        return fs_fail_nomem(err);
    fs_status status = split_all(r, err);
    if (status != FS_OK)
        return status;
    for (uint32_t i = 0; i < n; i++)
        add(r, i, word_of(r->class_of[i]));
    for (uint32_t c = 0; c < r->n_classes; c++) {
        r->touched[c] = r->size[c];
        if (!FS_PUSH(&r->queue, c))
            return fs_fail_nomem(err);
    }
    return FS_OK;
}

static fs_status run(refiner *r, fs_err *err)
{
    fs_status status = start(r, err);
    do {
        if (status == FS_OK)
            status = split_all(r, err);
        for (uint32_t i = 0; status == FS_OK && i < r->moved.count; i++)
            status = tell(r, r->moved.data[i], err);
    } while (status == FS_OK && r->queue.count > 0);
    return status;
}

/* Number classes in the order of their first members. */
static void renumber(refiner *r)
{
    uint32_t seen = 0;
    for (uint32_t c = 0; c < r->n_classes; c++)
        r->first[c] = FS_NONE;
    for (uint32_t i = 0; i < r->g->n_nodes; i++) {
        uint32_t *id = &r->first[r->class_of[i]];
        if (*id == FS_NONE)
            *id = seen++;
        r->class_of[i] = *id;
    }
}

fs_status fs_refine(const fs_graph *graph, uint32_t *class_of, uint32_t *n_classes, fs_err *err)
{
    *n_classes = 0;
    if (graph->n_nodes == 0)
        return FS_OK;
    uint32_t n = graph->n_nodes;
    refiner r = {.g = graph, .class_of = class_of};
    r.sum = fs_alloc(n, sizeof *r.sum);
    uint32_t *words = fs_alloc(n, 7 * sizeof *words);
    fs_status status = r.sum && words ? FS_OK : fs_fail_nomem(err);
    if (status == FS_OK) {
        uint32_t **arrays[] = {&r.order, &r.place, &r.first, &r.size, &r.touched, &r.scratch, &r.part_of};
        for (uint32_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
            *arrays[i] = words + (size_t)i * n;
        status = run(&r, err);
    }
    if (status == FS_OK) {
        renumber(&r);
        *n_classes = r.n_classes;
    }
    fs_free(r.sum);
    fs_free(words);
    fs_free(r.queue.data);
    fs_free(r.moved.data);
    fs_free(r.parts.data);
    fs_free(r.table.data);
    return status;
}
