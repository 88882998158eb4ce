/* flow_net.c - see flow_net.h.
 *
 * Devices are coloured by part and half, then refined until no class splits: all of a class have as many links of one
 * shape to another class. A maximum flow is a linear program whose solutions may be averaged over such classes, so the
 * program over the classes, with the capacities of their links together, has the same value: M. Grohe, K. Kersting,
 * M. Mladenov, E. Selman, "Dimension Reduction via Colour Refinement", ESA 2014. A regular machine of a million GPUs has
 * some dozens of classes. Colours are 64-bit hashes; two classes with the same one would make a wrong figure in a
 * description, with a probability of 1e-8 for a million classes.
 * Cost: O(links) for each of a few rounds. */
#include "topo/flow_net.h"

#include "base/index.h"
#include "base/mem.h"

#include <string.h>

/* The last steps of SplitMix64 (rng.c). */
static inline uint64_t mix(uint64_t z)
{
    z += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

typedef struct folder {
    const fs_topo *topo;
    uint64_t *colour, *next;  /* (n_devices) */
    uint64_t *shape;          /* (n_shapes) colours */
    FS_VEC(uint64_t) classes; /* their colours */
    fs_index index;
    uint32_t *class_of; /* (n_devices) */
} folder;

static unsigned char role_of(const fs_topo *topo, const fs_device *d)
{
    return d->kind != FS_DEVICE_GPU ? FS_FLOW_PASS : d->index < topo->n_gpus / 2 ? FS_FLOW_SOURCE : FS_FLOW_SINK;
}

/* ---- classes ----------------------------------------------------------------------------------------------------- */

/* What `n` connections of devices from `base` on add to the colours of their ends. */
static void add_colours(folder *f, const fs_connection *connections, uint32_t n, uint32_t base)
{
    for (uint32_t i = 0; i < n; i++) {
        const fs_connection *c = &connections[i];
        uint32_t a = base + c->low, b = base + c->high;
        f->next[a] += mix(f->colour[b] ^ f->shape[c->shape[0]]);
        f->next[b] += mix(f->colour[a] ^ f->shape[c->shape[1]]);
    }
}

static void take_round(folder *f)
{
    const fs_topo *topo = f->topo;
    for (uint32_t d = 0; d < topo->n_devices; d++)
        f->next[d] = mix(f->colour[d]);
    for (uint32_t r = 0; r < topo->n_runs; r++) {
        const fs_topo_run *run = &topo->runs[r];
        for (uint32_t copy = 0; copy < run->copies; copy++)
            add_colours(f, run->unit->connections, run->unit->n_links / 2,
                        run->first_device + copy * run->unit->n_devices);
    }
    add_colours(f, topo->cables, (topo->n_links - topo->first_cable) / 2, 0);
    uint64_t *swap = f->colour;
    f->colour = f->next;
    f->next = swap;
}

/* Number the colours in the order of the devices. False when out of memory. */
static bool number_colours(folder *f)
{
    fs_index_free(&f->index);
    f->classes.count = 0;
    for (uint32_t d = 0; d < f->topo->n_devices; d++) {
        fs_index_probe probe = fs_index_search(&f->index, f->colour[d]);
        uint32_t id = fs_index_next(&probe);
        while (id != FS_NONE && f->classes.data[id] != f->colour[d])
            id = fs_index_next(&probe);
        if (id == FS_NONE) {
            id = f->classes.count;
            if (!FS_PUSH(&f->classes, f->colour[d]) || !fs_index_add(&f->index, f->colour[d], id))
                return false;
        }
        f->class_of[d] = id;
    }
    return true;
}

static bool find_classes(folder *f, bool fold)
{
    const fs_topo *topo = f->topo;
    f->colour = fs_alloc(topo->n_devices, sizeof *f->colour);
    f->next = fs_alloc(topo->n_devices, sizeof *f->next);
    f->shape = fs_alloc(topo->n_shapes, sizeof *f->shape);
    f->class_of = fs_alloc(topo->n_devices, sizeof *f->class_of);
    if (!f->colour || !f->next || !f->shape || !f->class_of)
        return false;
    for (uint32_t i = 0; i < topo->n_shapes; i++)
        f->shape[i] = mix(i);
    for (uint32_t d = 0; d < topo->n_devices; d++) {
        fs_device device = fs_topo_device(topo, d);
        f->colour[d] = mix(fold ? (uint64_t)role_of(topo, &device) << 32 | device.part : d);
    }
    bool good = number_colours(f);
    for (uint32_t before = 0; good && f->classes.count > before;) {
        before = f->classes.count;
        take_round(f);
        good = number_colours(f);
    }
    return good;
}

static void free_folder(folder *f)
{
    fs_free(f->colour);
    fs_free(f->next);
    fs_free(f->shape);
    fs_free(f->classes.data);
    fs_free(f->class_of);
    fs_index_free(&f->index);
}

/* ---- arcs -------------------------------------------------------------------------------------------------------- */

typedef struct pair {         /* two arcs */
    uint32_t low, high, type; /* classes, low < high */
    double bandwidth_Bps;
} pair;

typedef struct pairs {
    FS_VEC(pair) list;
    fs_index index;
} pairs;

static bool add_pair(pairs *p, uint32_t a, uint32_t b, const fs_link_shape *shape)
{
    pair made = {a < b ? a : b, a < b ? b : a, shape->type, shape->bandwidth_Bps};
    if (a == b)
        return true; /* what goes round within a class gets nowhere */
    uint64_t hash = mix((uint64_t)made.low << 32 | made.high) ^ shape->type;
    fs_index_probe probe = fs_index_search(&p->index, hash);
    for (uint32_t id = fs_index_next(&probe); id != FS_NONE; id = fs_index_next(&probe)) {
        pair *known = &p->list.data[id];
        if (known->low == made.low && known->high == made.high && known->type == made.type) {
            known->bandwidth_Bps += made.bandwidth_Bps;
            return true;
        }
    }
    uint32_t id = p->list.count;
    return FS_PUSH(&p->list, made) && fs_index_add(&p->index, hash, id);
}

static bool add_pairs(const folder *f, pairs *p, const fs_connection *connections, uint32_t n, uint32_t base)
{
    bool good = true;
    for (uint32_t i = 0; good && i < n; i++)
        good = add_pair(p, f->class_of[base + connections[i].low], f->class_of[base + connections[i].high],
                        &f->topo->shapes[connections[i].shape[0]]);
    return good;
}

static bool find_pairs(const folder *f, pairs *p)
{
    const fs_topo *topo = f->topo;
    bool good = true;
    for (uint32_t r = 0; r < topo->n_runs; r++) {
        const fs_topo_run *run = &topo->runs[r];
        for (uint32_t copy = 0; good && copy < run->copies; copy++)
            good = add_pairs(f, p, run->unit->connections, run->unit->n_links / 2,
                             run->first_device + copy * run->unit->n_devices);
    }
    return good && add_pairs(f, p, topo->cables, (topo->n_links - topo->first_cable) / 2, 0);
}

static bool make_arcs(const folder *f, const pairs *p, fs_flow_net *net)
{
    *net = (fs_flow_net){.n = f->classes.count, .n_arcs = 2 * p->list.count};
    net->begin = fs_zalloc((size_t)net->n + 1, sizeof *net->begin);
    net->out = fs_alloc(net->n_arcs, sizeof *net->out);
    net->src = fs_alloc(net->n_arcs, sizeof *net->src);
    net->dst = fs_alloc(net->n_arcs, sizeof *net->dst);
    net->type = fs_alloc(net->n_arcs, sizeof *net->type);
    net->bandwidth_Bps = fs_alloc(net->n_arcs, sizeof *net->bandwidth_Bps);
    net->role = fs_alloc(net->n, 1);
    if (!net->begin || !net->out || !net->src || !net->dst || !net->type || !net->bandwidth_Bps || !net->role)
        return false;
    for (uint32_t a = 0; a < net->n_arcs; a++) {
        const pair *from = &p->list.data[a / 2];
        net->src[a] = a % 2 ? from->high : from->low;
        net->dst[a] = a % 2 ? from->low : from->high;
        net->type[a] = from->type;
        net->bandwidth_Bps[a] = from->bandwidth_Bps;
        net->begin[net->src[a] + 1]++;
    }
    for (uint32_t v = 0; v < net->n; v++)
        net->begin[v + 1] += net->begin[v];
    for (uint32_t a = 0; a < net->n_arcs; a++)
        net->out[net->begin[net->src[a]]++] = a;
    memmove(net->begin + 1, net->begin, net->n * sizeof *net->begin); /* each has moved on to where the next begins */
    net->begin[0] = 0;
    for (uint32_t d = 0; d < f->topo->n_devices; d++) {
        fs_device device = fs_topo_device(f->topo, d);
        net->role[f->class_of[d]] = role_of(f->topo, &device);
    }
    return true;
}

fs_status fs_flow_net_make(const fs_topo *topo, bool fold, fs_flow_net *net, fs_err *err)
{
    folder f = {.topo = topo};
    pairs p = {0};
    fs_flow_net made = {0};
    bool good = find_classes(&f, fold) && find_pairs(&f, &p) && make_arcs(&f, &p, &made);
    free_folder(&f);
    fs_free(p.list.data);
    fs_index_free(&p.index);
    if (!good) {
        fs_flow_net_free(&made);
        return fs_fail_nomem(err);
    }
    *net = made;
    return FS_OK;
}

void fs_flow_net_free(fs_flow_net *net)
{
    fs_free(net->begin);
    fs_free(net->out);
    fs_free(net->src);
    fs_free(net->dst);
    fs_free(net->type);
    fs_free(net->bandwidth_Bps);
    fs_free(net->role);
    *net = (fs_flow_net){0};
}
