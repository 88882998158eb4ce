/* spec_freeze.c - turn a spec into the constant topology. See spec.h, topo.h.
 *
 * Steps: check the whole; keep the parts, link types and tiers that something uses, in the order of declaration (tiers:
 * of their types), so that a library of parts leaves no trace; number devices by kind and NICs by node; sort the
 * connections by what they join, so that the order of their declaration changes no result, and write out two links for
 * each; index links by source with a counting sort; hash the content. Cost: O(devices + links log links) time, one
 * arena. */
#include "topo/spec_in.h"

#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

typedef struct freezer {
    const fs_spec *spec;
    fs_topo *topo;
    uint32_t *part_of, *type_of, *tier_of; /* id in the spec -> id in the topology, FS_NONE = unused */
    uint32_t *scratch;                     /* max(n_nodes, n_devices) */
} freezer;

/* ---- checks of the whole ----------------------------------------------------------------------------------------- */

static fs_status check_title(const fs_spec *spec, fs_err *err)
{
    size_t length = strlen(spec->name);
    bool good = length >= 1 && length <= FS_NAME_MAX && spec->name[0] != ' ' && spec->name[length - 1] != ' ';
    for (size_t i = 0; i < length; i++)
        good = good && spec->name[i] >= ' ' && spec->name[i] <= '~';
    return good
               ? FS_OK
               : fs_fail_at(err, FS_E_TOPOLOGY, spec->path, 0, 0,
                            "the name of a topology is 1 to 255 printable ASCII characters without blanks at its ends");
}

/* A single GPU may stand alone (it computes); several must be connected, each to something. */
static fs_status check_gpus(const fs_spec *spec, bool *connected, fs_err *err)
{
    uint32_t n_gpus = 0;
    for (uint32_t i = 0; i < spec->links.count; i++)
        connected[spec->links.data[i].from] = connected[spec->links.data[i].to] = true;
    for (uint32_t i = 0; i < spec->devices.count; i++)
        n_gpus += spec->parts.data[spec->devices.data[i].part].kind == FS_DEVICE_GPU;
    if (n_gpus == 0)
        return fs_fail_at(err, FS_E_TOPOLOGY, spec->path, 0, 0, "topology '%s' has no GPU", spec->name);
    for (uint32_t i = 0; n_gpus > 1 && i < spec->devices.count; i++) {
        const fs_spec_device_row *d = &spec->devices.data[i];
        if (spec->parts.data[d->part].kind == FS_DEVICE_GPU && !connected[i])
            return fs_fail_at(err, FS_E_TOPOLOGY, d->place.file ? d->place.file : spec->path, d->place.line,
                              d->place.column, "GPU '%s' is connected to nothing", d->name);
    }
    return FS_OK;
}

static fs_status check_whole(const fs_spec *spec, fs_err *err)
{
    fs_status status = check_title(spec, err);
    if (status != FS_OK)
        return status;
    bool *connected = fs_zalloc(spec->devices.count, sizeof *connected);
    if (connected == NULL)
        return fs_fail_nomem(err);
    status = check_gpus(spec, connected, err);
    fs_free(connected);
    return status;
}

/* ---- copying ----------------------------------------------------------------------------------------------------- */

static void fill_none(uint32_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        ids[i] = FS_NONE;
}

/* Which parts, types and tiers are used, and their new ids. */
static void number_used(freezer *f)
{
    const fs_spec *spec = f->spec;
    fs_topo *topo = f->topo;
    fill_none(f->part_of, spec->parts.count);
    fill_none(f->type_of, spec->types.count);
    fill_none(f->tier_of, spec->tier_names.count);
    for (uint32_t i = 0; i < spec->devices.count; i++)
        f->part_of[spec->devices.data[i].part] = 0;
    for (uint32_t i = 0; i < spec->links.count; i++)
        f->type_of[spec->links.data[i].type] = 0;
    for (uint32_t i = 0; i < spec->parts.count; i++)
        if (f->part_of[i] != FS_NONE)
            f->part_of[i] = topo->n_parts++;
    for (uint32_t i = 0; i < spec->types.count; i++) {
        if (f->type_of[i] == FS_NONE)
            continue;
        f->type_of[i] = topo->n_link_types++;
        uint32_t *tier = &f->tier_of[spec->types.data[i].tier];
        if (*tier == FS_NONE)
            *tier = topo->n_tiers++;
    }
}

static bool copy_parts(freezer *f)
{
    const fs_spec *spec = f->spec;
    fs_topo *topo = f->topo;
    fs_part *parts = fs_arena_alloc(topo->arena, topo->n_parts, sizeof *parts);
    fs_link_type *types = fs_arena_alloc(topo->arena, topo->n_link_types, sizeof *types);
    fs_tier *tiers = fs_arena_alloc(topo->arena, topo->n_tiers, sizeof *tiers);
    if (!parts || !types || !tiers)
        return false;
    for (uint32_t i = 0; i < spec->parts.count; i++) {
        if (f->part_of[i] == FS_NONE)
            continue;
        fs_part *part = &parts[f->part_of[i]];
        *part = spec->parts.data[i];
        if (!(part->name = fs_arena_strdup(topo->arena, part->name)))
            return false;
    }
    for (uint32_t i = 0; i < spec->types.count; i++) {
        if (f->type_of[i] == FS_NONE)
            continue;
        fs_link_type *type = &types[f->type_of[i]];
        *type = spec->types.data[i];
        type->tier = f->tier_of[type->tier];
        if (!(type->name = fs_arena_strdup(topo->arena, type->name)))
            return false;
    }
    for (uint32_t i = 0; i < spec->tier_names.count; i++)
        if (f->tier_of[i] != FS_NONE &&
            !(tiers[f->tier_of[i]].name = fs_arena_strdup(topo->arena, spec->tier_names.names[i])))
            return false;
    topo->parts = parts;
    topo->link_types = types;
    topo->tiers = tiers;
    return true;
}

static bool copy_nodes(freezer *f)
{
    fs_topo *topo = f->topo;
    topo->n_nodes = f->spec->node_names.count;
    const char **nodes = fs_arena_alloc(topo->arena, topo->n_nodes, sizeof *nodes);
    for (uint32_t i = 0; nodes && i < topo->n_nodes; i++)
        if (!(nodes[i] = fs_arena_strdup(topo->arena, f->spec->node_names.names[i])))
            return false;
    topo->nodes = nodes;
    return nodes != NULL;
}

static bool copy_networks(freezer *f)
{
    const fs_spec *spec = f->spec;
    fs_topo *topo = f->topo;
    topo->n_networks = spec->networks.count;
    fs_network *networks = fs_arena_alloc(topo->arena, topo->n_networks, sizeof *networks);
    for (uint32_t i = 0; networks && i < topo->n_networks; i++) {
        networks[i] = spec->networks.data[i];
        if (!(networks[i].name = fs_arena_strdup(topo->arena, networks[i].name)))
            return false;
    }
    topo->networks = networks;
    return networks != NULL;
}

static bool copy_devices(freezer *f)
{
    const fs_spec *spec = f->spec;
    fs_topo *topo = f->topo;
    topo->n_devices = spec->devices.count;
    fs_device *devices = fs_arena_alloc(topo->arena, topo->n_devices, sizeof *devices);
    const char **names = fs_arena_alloc(topo->arena, topo->n_devices, sizeof *names);
    uint32_t of_kind[FS_DEVICE_KINDS] = {0}, *nics = f->scratch; /* nics[node]: how many so far */
    if (devices == NULL || names == NULL)
        return false;
    memset(nics, 0, (size_t)topo->n_nodes * sizeof *nics);
    for (uint32_t i = 0; i < topo->n_devices; i++) {
        const fs_spec_device_row *row = &spec->devices.data[i];
        fs_device *d = &devices[i];
        d->kind = spec->parts.data[row->part].kind;
        d->part = f->part_of[row->part];
        d->node = row->node;
        d->index = of_kind[d->kind]++;
        d->rail = d->kind == FS_DEVICE_NIC && d->node != FS_NONE ? nics[d->node]++ : FS_NONE;
        d->network = row->network;
        if (!(names[i] = fs_arena_strdup(topo->arena, row->name)))
            return false;
    }
    topo->n_gpus = of_kind[FS_DEVICE_GPU];
    uint32_t *gpus = fs_arena_alloc(topo->arena, topo->n_gpus, sizeof *gpus);
    if (gpus == NULL)
        return false;
    for (uint32_t i = 0; i < topo->n_devices; i++)
        if (devices[i].kind == FS_DEVICE_GPU)
            gpus[devices[i].index] = i;
    topo->devices = devices;
    topo->device_names = names;
    topo->gpus = gpus;
    return true;
}

static fs_link make_link(const fs_topo *topo, uint32_t src, uint32_t dst, uint32_t type_id, uint32_t lanes)
{
    const fs_link_type *type = &topo->link_types[type_id];
    return (fs_link){
        .src = src,
        .dst = dst,
        .type = type_id,
        .lanes = lanes,
        .bandwidth_Bps = type->bandwidth_Bps * lanes,
        .effective_Bps = type->effective_Bps * lanes,
        .latency_s = type->latency_s + topo->parts[topo->devices[src].part].latency_s,
    };
}

typedef struct connection {
    uint32_t low, high, type, lanes; /* low < high: device ids */
} connection;

/* A total order but for equal connections, which are exchangeable. */
static int compare_connections(const void *left, const void *right)
{
    const connection *a = left, *b = right;
    if (a->low != b->low)
        return a->low < b->low ? -1 : 1;
    if (a->high != b->high)
        return a->high < b->high ? -1 : 1;
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    return (a->lanes > b->lanes) - (a->lanes < b->lanes);
}

/* (spec->links.count), freed by the caller; NULL when out of memory. */
static connection *sorted_connections(const freezer *f)
{
    const fs_spec *spec = f->spec;
    connection *sorted = fs_alloc(spec->links.count, sizeof *sorted);
    for (uint32_t i = 0; sorted && i < spec->links.count; i++) {
        const fs_spec_link_row *row = &spec->links.data[i];
        bool rising = row->from < row->to;
        sorted[i] =
            (connection){rising ? row->from : row->to, rising ? row->to : row->from, f->type_of[row->type], row->lanes};
    }
    if (sorted)
        qsort(sorted, spec->links.count, sizeof *sorted, compare_connections);
    return sorted;
}

static bool copy_links(freezer *f)
{
    fs_topo *topo = f->topo;
    uint32_t n = f->spec->links.count;
    topo->n_links = n * 2;
    fs_link *links = fs_arena_alloc(topo->arena, topo->n_links, sizeof *links);
    uint32_t *begin = fs_arena_alloc(topo->arena, (size_t)topo->n_devices + 1, sizeof *begin);
    uint32_t *out = fs_arena_alloc(topo->arena, topo->n_links, sizeof *out);
    uint32_t *next = f->scratch;
    connection *sorted = links && begin && out ? sorted_connections(f) : NULL;
    if (sorted == NULL)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const connection *c = &sorted[i];
        links[2 * i] = make_link(topo, c->low, c->high, c->type, c->lanes);
        links[2 * i + 1] = make_link(topo, c->high, c->low, c->type, c->lanes);
        begin[c->low + 1]++;
        begin[c->high + 1]++;
    }
    fs_free(sorted);
    for (uint32_t d = 0; d < topo->n_devices; d++) {
        begin[d + 1] += begin[d];
        next[d] = begin[d];
    }
    for (uint32_t l = 0; l < topo->n_links; l++)
        out[next[links[l].src]++] = l;
    topo->links = links;
    topo->out_begin = begin;
    topo->out_links = out;
    return true;
}

/* ---- the hash of the content ------------------------------------------------------------------------------------- */

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
                              p->launch_s,  p->power_W, p->latency_s};
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        h = hash_double(h, figures[i]);
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

static uint64_t hash_topo(const fs_topo *topo)
{
    uint64_t h = hash_text(FS_HASH_START, topo->name);
    h = hash_u64(h, topo->gpu_forwarding);
    h = hash_u64(h, topo->n_parts);
    for (uint32_t i = 0; i < topo->n_parts; i++)
        h = hash_part(h, &topo->parts[i]);
    h = hash_u64(h, topo->n_link_types);
    for (uint32_t i = 0; i < topo->n_link_types; i++)
        h = hash_link_type(h, topo, &topo->link_types[i]);
    h = hash_u64(h, topo->n_nodes);
    for (uint32_t i = 0; i < topo->n_nodes; i++)
        h = hash_text(h, topo->nodes[i]);
    h = hash_u64(h, topo->n_devices);
    for (uint32_t i = 0; i < topo->n_devices; i++) {
        h = hash_text(h, topo->device_names[i]);
        h = hash_u64(h, (uint64_t)topo->devices[i].part << 32 | topo->devices[i].node);
    }
    h = hash_u64(h, topo->n_links);
    for (uint32_t i = 0; i < topo->n_links; i += 2) {
        const fs_link *l = &topo->links[i];
        h = hash_u64(h, (uint64_t)l->src << 32 | l->dst);
        h = hash_u64(h, (uint64_t)l->type << 32 | l->lanes);
    }
    return h;
}

/* A machine without networks hashes as it did before there were any. */
static uint64_t hash_networks(uint64_t h, const fs_topo *topo)
{
    if (topo->n_networks == 0 && !topo->cross_rail)
        return h;
    h = hash_u64(h, topo->cross_rail);
    for (uint32_t i = 0; i < topo->n_networks; i++)
        h = hash_u64(hash_text(h, topo->networks[i].name), (uint64_t)topo->networks[i].routing);
    for (uint32_t i = 0; i < topo->n_devices; i++)
        if (topo->devices[i].network != FS_NONE)
            h = hash_u64(h, (uint64_t)i << 32 | topo->devices[i].network);
    return h;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

/* The topology with everything copied, or NULL when out of memory. */
static fs_topo *build(freezer *f)
{
    fs_arena *arena = fs_arena_new();
    fs_topo *topo = arena ? fs_arena_alloc(arena, 1, sizeof *topo) : NULL;
    if (topo == NULL) {
        if (arena)
            fs_arena_free(arena);
        return NULL;
    }
    f->topo = topo;
    topo->arena = arena;
    topo->gpu_forwarding = f->spec->gpu_forwarding;
    topo->cross_rail = f->spec->cross_rail;
    topo->name = fs_arena_strdup(arena, f->spec->name);
    topo->path = fs_arena_strdup(arena, f->spec->path);
    topo->n_epochs = 1;
    topo->epoch_start_s = fs_arena_alloc(arena, 1, sizeof *topo->epoch_start_s); /* zero: one epoch, from the start */
    number_used(f);
    if (!topo->epoch_start_s || !topo->name || !topo->path || !copy_parts(f) || !copy_nodes(f) || !copy_networks(f) ||
        !copy_devices(f) || !copy_links(f)) {
        fs_arena_free(arena);
        return NULL;
    }
    topo->hash = hash_networks(hash_topo(topo), topo);
    return topo;
}

fs_status fs_spec_freeze(const fs_spec *spec, fs_topo **topo, fs_err *err)
{
    fs_status status = check_whole(spec, err);
    if (status != FS_OK)
        return status;
    uint32_t n_scratch = spec->devices.count > spec->node_names.count ? spec->devices.count : spec->node_names.count;
    freezer f = {
        .spec = spec,
        .part_of = fs_alloc(spec->parts.count, sizeof(uint32_t)),
        .type_of = fs_alloc(spec->types.count, sizeof(uint32_t)),
        .tier_of = fs_alloc(spec->tier_names.count, sizeof(uint32_t)),
        .scratch = fs_alloc(n_scratch, sizeof(uint32_t)),
    };
    fs_topo *made = f.part_of && f.type_of && f.tier_of && f.scratch ? build(&f) : NULL;
    fs_free(f.part_of);
    fs_free(f.type_of);
    fs_free(f.tier_of);
    fs_free(f.scratch);
    if (made == NULL)
        return fs_fail_nomem(err);
    *topo = made;
    return FS_OK;
}
