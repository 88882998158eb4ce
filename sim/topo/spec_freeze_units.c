/* spec_freeze_units.c - devices and nodes of a spec as the units and runs of a topology. See spec_freeze.c, unit.h.
 *
 * A unit gets its devices numbered by kind and its NICs by node. Cost: O(devices in units, log for the names). */
#include "topo/freezer.h"
#include "topo/unit_index.h"

#include <string.h>

static bool copy_names(fs_freezer *f, const fs_spec_unit *from, fs_topo_unit *unit)
{
    fs_arena *arena = f->topo->arena;
    const char **names = fs_arena_alloc(arena, unit->n_devices, sizeof *names);
    const char **nodes = fs_arena_alloc(arena, unit->n_nodes, sizeof *nodes);
    if (names == NULL || nodes == NULL)
        return false;
    for (uint32_t i = 0; i < unit->n_devices; i++)
        if (!(names[i] = fs_arena_strdup(arena, from->devices.data[i].name)))
            return false;
    for (uint32_t i = 0; i < unit->n_nodes; i++)
        if (!(nodes[i] = fs_arena_strdup(arena, from->nodes.data[i])))
            return false;
    unit->names = names;
    unit->nodes = nodes;
    return fs_unit_order_names(arena, unit);
}

/* How many NICs a node of a placed board has: those that the system adds to it come after them. */
static uint32_t placed_nics(const fs_spec *spec, uint32_t node)
{
    uint32_t count = 0;
    for (uint32_t r = spec->runs.count; r-- > 0;) {
        const fs_spec_run *run = &spec->runs.data[r];
        const fs_spec_unit *unit = fs_spec_unit_of(spec, run);
        if (run->name == NULL || node < run->first_node || unit->nodes.count == 0)
            continue;
        uint32_t offset = node - run->first_node;
        for (uint32_t i = 0; offset / unit->nodes.count < run->copies && i < unit->devices.count; i++)
            count += unit->devices.data[i].node == offset % unit->nodes.count &&
                     spec->parts.data[unit->devices.data[i].part].kind == FS_DEVICE_NIC;
        break;
    }
    return count;
}

/* `nics` (nodes of the unit, or of the system for loose devices): how many NICs each has so far. */
static bool copy_devices(fs_freezer *f, const fs_spec_unit *from, bool loose, uint32_t *nics, fs_topo_unit *unit)
{
    fs_device *devices = fs_arena_alloc(f->topo->arena, unit->n_devices, sizeof *devices);
    if (devices == NULL)
        return false;
    for (uint32_t i = 0; i < unit->n_devices; i++) {
        const fs_spec_device_row *row = &from->devices.data[i];
        fs_device *d = &devices[i];
        d->kind = f->spec->parts.data[row->part].kind;
        d->part = f->part_of[row->part];
        d->node = row->node;
        d->index = unit->of_kind[d->kind]++;
        d->network = row->network;
        d->rail = FS_NONE;
        if (d->kind != FS_DEVICE_NIC || d->node == FS_NONE)
            continue;
        if (loose && nics[d->node] == 0)
            nics[d->node] = placed_nics(f->spec, d->node);
        d->rail = nics[d->node]++;
    }
    unit->devices = devices;
    return true;
}

static bool copy_units(fs_freezer *f, fs_topo_unit *units)
{
    const fs_spec *spec = f->spec;
    uint32_t *loose_nics = fs_zalloc(spec->n_nodes, sizeof *loose_nics);
    bool good = loose_nics != NULL;
    for (uint32_t r = 0; good && r < spec->runs.count; r++) {
        const fs_spec_run *run = &spec->runs.data[r];
        const fs_spec_unit *from = fs_spec_unit_of(spec, run);
        fs_topo_unit *unit = &units[f->unit_of[run->unit]];
        if (unit->devices)
            continue; /* of an earlier run */
        *unit = (fs_topo_unit){
            .n_devices = from->devices.count, .n_links = 2 * from->links.count, .n_nodes = from->nodes.count};
        uint32_t *nics = run->name ? fs_zalloc(unit->n_nodes, sizeof *nics) : loose_nics;
        good = nics && copy_devices(f, from, run->name == NULL, nics, unit) && copy_names(f, from, unit);
        if (nics != loose_nics)
            fs_free(nics);
    }
    fs_free(loose_nics);
    return good;
}

static bool copy_runs(fs_freezer *f, const fs_topo_unit *units, fs_topo_run *runs)
{
    const fs_spec *spec = f->spec;
    fs_topo *topo = f->topo;
    uint32_t of_kind[FS_DEVICE_KINDS] = {0};
    for (uint32_t r = 0; r < spec->runs.count; r++) {
        const fs_spec_run *row = &spec->runs.data[r];
        const fs_topo_unit *unit = &units[f->unit_of[row->unit]];
        fs_topo_run *run = &runs[r];
        *run = (fs_topo_run){.unit = unit,
                             .copies = row->copies,
                             .first_device = row->first_device,
                             .first_link = topo->first_cable,
                             .first_node = row->first_node,
                             .node_base = row->name ? row->first_node : 0,
                             .name = fs_arena_strdup(topo->arena, row->name ? row->name : ""),
                             .numbered = row->numbered};
        if (run->name == NULL)
            return false;
        memcpy(run->first_index, of_kind, sizeof of_kind);
        for (int kind = 0; kind < FS_DEVICE_KINDS; kind++)
            of_kind[kind] += row->copies * unit->of_kind[kind];
        topo->first_cable += row->copies * unit->n_links;
    }
    topo->n_gpus = of_kind[FS_DEVICE_GPU];
    return true;
}

static bool list_gpus(fs_topo *topo)
{
    uint32_t *gpus = fs_arena_alloc(topo->arena, topo->n_gpus, sizeof *gpus), n = 0;
    for (uint32_t r = 0; gpus && r < topo->n_runs; r++) {
        const fs_topo_run *run = &topo->runs[r];
        if (run->unit->of_kind[FS_DEVICE_GPU] == 0)
            continue;
        for (uint32_t copy = 0; copy < run->copies; copy++)
            for (uint32_t d = 0; d < run->unit->n_devices; d++)
                if (run->unit->devices[d].kind == FS_DEVICE_GPU)
                    gpus[n++] = run->first_device + copy * run->unit->n_devices + d;
    }
    topo->gpus = gpus;
    return gpus != NULL;
}

bool fs_freeze_units(fs_freezer *f)
{
    const fs_spec *spec = f->spec;
    fs_topo *topo = f->topo;
    topo->n_runs = spec->runs.count;
    topo->n_devices = spec->n_devices;
    topo->n_nodes = spec->n_nodes;
    for (uint32_t i = 0; i < spec->units.count; i++)
        f->unit_of[i] = FS_NONE;
    for (uint32_t r = 0; r < spec->runs.count; r++)
        if (f->unit_of[spec->runs.data[r].unit] == FS_NONE)
            f->unit_of[spec->runs.data[r].unit] = topo->n_units++;
    fs_topo_unit *units = fs_arena_alloc(topo->arena, topo->n_units, sizeof *units);
    fs_topo_run *runs = fs_arena_alloc(topo->arena, topo->n_runs, sizeof *runs);
    topo->units = units;
    topo->runs = runs;
    return units && runs && copy_units(f, units) && copy_runs(f, units, runs) && list_gpus(topo);
}
