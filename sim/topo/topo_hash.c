/* topo_hash.c - the identity of a machine: a hash of everything in it, link by link and name by name.
 *
 * The same for a board that is placed and for one that is written out, and for every order of links. It is the one thing
 * that is done for each copy of a board: O(devices + links), some nanoseconds each. */
#include "topo/freezer.h"

#include "base/rng.h"
#include "topo/gpu_figures.h"

#include <string.h>

/* Numbers go in byte by byte, lowest first, so that the hash is the same on every machine. */
static uint64_t hash_u64(uint64_t hash, uint64_t value)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
    return fs_hash_bytes(hash, bytes, sizeof bytes);
}

static uint64_t hash_double(uint64_t hash, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return hash_u64(hash, bits);
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    size_t length = strlen(text);
    return fs_hash_bytes(hash_u64(hash, length), text, length);
}

static uint64_t hash_part(uint64_t h, const fs_part *p)
{
    h = hash_text(h, p->name);
    h = hash_u64(h, (uint64_t)p->kind);
    h = hash_u64(h, (uint64_t)p->arch);
    for (int i = 0; i < FS_DTYPES; i++)
        h = hash_double(h, p->peak_flops[i]);
    const double figures[] = {p->mem_bytes, p->mem_Bps, p->gemm_efficiency, p->mem_efficiency,
                              p->launch_s,  p->power_W, p->host_W,          p->latency_s};
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        h = hash_double(h, figures[i]);
    for (size_t i = 0; i < FS_COST_FIGURES; i++)
        h = hash_double(h, fs_figure_value(&fs_cost_figures[i], &p->costs));
    for (int d = 0; d < FS_DTYPES; d++) {
        for (size_t i = 0; i < FS_PRODUCT_FIGURES; i++)
            h = hash_double(h, fs_figure_value(&fs_product_figures[i], &p->product[d]));
        h = hash_u64(h, p->product[d].whole);
        h = hash_u64(h, p->product[d].overlap);
    }
    return hash_u64(h, p->multicast);
}

static uint64_t hash_link_type(uint64_t h, const fs_topo *topo, const fs_link_type *t)
{
    h = hash_text(h, t->name);
    h = hash_u64(h, (uint64_t)t->class_);
    h = hash_text(h, topo->tiers[t->tier].name);
    h = hash_double(h, t->bandwidth_Bps);
    h = hash_double(h, t->effective_Bps);
    return hash_double(h, t->latency_s);
}

/* A step of SplitMix64 (rng.c): one to one, and every bit depends on all. */
static inline uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* The connections of one copy, or cables. A sum: no order, and no waiting for the one before. */
static uint64_t sum_connections(const fs_topo *topo, const fs_connection *connections, uint32_t n, uint32_t base)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        const fs_connection *c = &connections[i];
        const fs_link_shape *shape = &topo->shapes[c->shape[0]];
        uint64_t h = mix(FS_HASH_START ^ ((uint64_t)(base + c->low) << 32 | (base + c->high)));
        sum += mix(h ^ ((uint64_t)shape->type << 32 | shape->lanes));
    }
    return sum;
}

/* Names and devices of one copy. */
static uint64_t hash_copy(uint64_t h, const fs_topo *topo, const fs_topo_run *run, uint32_t copy)
{
    char name[FS_NAME_MAX + 1];
    uint32_t first = run->first_device + copy * run->unit->n_devices;
    size_t prefix = 0;
    for (uint32_t i = 0; i < run->unit->n_devices; i++) {
        const char *local = run->unit->names[i];
        size_t length = strlen(local);
        if (i == 0) /* the names of all others begin like this one */
            prefix = strlen(fs_device_name(topo, first, name, sizeof name)) - length;
        memcpy(name + prefix, local, length + 1);
        fs_device d = fs_topo_device(topo, first + i);
        h = hash_text(h, name);
        h = hash_u64(h, (uint64_t)d.part << 32 | d.node);
        h = hash_u64(h, d.network);
    }
    return h;
}

static uint64_t hash_devices(uint64_t h, const fs_topo *topo)
{
    for (uint32_t i = 0; i < topo->n_nodes; i++)
        h = hash_text(h, FS_NODE_NAME(topo, i));
    for (uint32_t r = 0; r < topo->n_runs; r++)
        for (uint32_t copy = 0; copy < topo->runs[r].copies; copy++)
            h = hash_copy(h, topo, &topo->runs[r], copy);
    return h;
}

static uint64_t sum_links(const fs_topo *topo)
{
    uint64_t sum = sum_connections(topo, topo->cables, (topo->n_links - topo->first_cable) / 2, 0);
    for (uint32_t r = 0; r < topo->n_runs; r++) {
        const fs_topo_unit *unit = topo->runs[r].unit;
        for (uint32_t copy = 0; copy < topo->runs[r].copies; copy++)
            sum += sum_connections(topo, unit->connections, unit->n_links / 2,
                                   topo->runs[r].first_device + copy * unit->n_devices);
    }
    return sum;
}

uint64_t fs_topo_hash(const fs_topo *topo)
{
    uint64_t h = hash_text(FS_HASH_START, topo->name);
    h = hash_u64(h, (uint64_t)topo->cross_rail << 1 | topo->gpu_forwarding);
    h = hash_u64(h, topo->n_parts);
    for (uint32_t i = 0; i < topo->n_parts; i++)
        h = hash_part(h, &topo->parts[i]);
    h = hash_u64(h, topo->n_link_types);
    for (uint32_t i = 0; i < topo->n_link_types; i++)
        h = hash_link_type(h, topo, &topo->link_types[i]);
    h = hash_u64(h, topo->n_networks);
    for (uint32_t i = 0; i < topo->n_networks; i++)
        h = hash_u64(hash_text(h, topo->networks[i].name), (uint64_t)topo->networks[i].routing);
    h = hash_u64(h, (uint64_t)topo->n_nodes << 32 | topo->n_devices);
    h = hash_devices(h, topo);
    return hash_u64(hash_u64(h, topo->n_links), sum_links(topo));
}
