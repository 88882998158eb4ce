/* spec_freeze.c - turn a spec into the constant topology. See spec.h, topo.h.
 *
 * Steps: check the whole; keep the parts, link types and tiers that something uses, in the order of declaration (tiers:
 * of their types), so that a library of parts leaves no trace; copy units and runs (spec_freeze_units.c), then their
 * links and the cables (spec_freeze_links.c); hash the content (topo_hash.c). Everything in one arena. */
#include "topo/freezer.h"

#include <stdlib.h>
#include <string.h>

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

/* (devices of the unit) whether something of the unit is linked to it. */
static void mark_linked(const fs_spec_unit *unit, bool *linked)
{
    memset(linked, 0, unit->devices.count * sizeof *linked);
    for (uint32_t i = 0; i < unit->links.count; i++)
        linked[unit->links.data[i].from] = linked[unit->links.data[i].to] = true;
}

/* A single GPU may stand alone (it computes); several must be connected, each to something.
 * cabled (n_devices): whether a cable ends there. */
static fs_status check_run(const fs_spec *spec, const fs_spec_run *run, bool *linked, const bool *cabled, fs_err *err)
{
    const fs_spec_unit *unit = fs_spec_unit_of(spec, run);
    mark_linked(unit, linked);
    for (uint32_t i = 0; i < unit->devices.count; i++) {
        const fs_spec_device_row *d = &unit->devices.data[i];
        if (linked[i] || spec->parts.data[d->part].kind != FS_DEVICE_GPU)
            continue;
        for (uint32_t copy = 0; copy < run->copies; copy++) {
            uint32_t id = run->first_device + copy * unit->devices.count + i;
            char name[FS_NAME_MAX + 1];
            if (!cabled[id])
                return fs_fail_at(err, FS_E_TOPOLOGY, d->place.file ? d->place.file : spec->path, d->place.line,
                                  d->place.column, "GPU '%s' is connected to nothing",
                                  fs_spec_device_name(spec, id, name, sizeof name));
        }
    }
    return FS_OK;
}

static fs_status check_gpus(const fs_spec *spec, bool *linked, bool *cabled, fs_err *err)
{
    uint64_t n_gpus = 0;
    for (uint32_t i = 0; i < spec->cables.count; i++)
        cabled[spec->cables.data[i].from] = cabled[spec->cables.data[i].to] = true;
    for (uint32_t r = 0; r < spec->runs.count; r++) {
        const fs_spec_unit *unit = fs_spec_unit_of(spec, &spec->runs.data[r]);
        for (uint32_t i = 0; i < unit->devices.count; i++)
            if (spec->parts.data[unit->devices.data[i].part].kind == FS_DEVICE_GPU)
                n_gpus += spec->runs.data[r].copies;
    }
    if (n_gpus == 0)
        return fs_fail_at(err, FS_E_TOPOLOGY, spec->path, 0, 0, "topology '%s' has no GPU", spec->name);
    fs_status status = FS_OK;
    for (uint32_t r = 0; status == FS_OK && n_gpus > 1 && r < spec->runs.count; r++)
        status = check_run(spec, &spec->runs.data[r], linked, cabled, err);
    return status;
}

static fs_status check_whole(const fs_spec *spec, fs_err *err)
{
    fs_status status = check_title(spec, err);
    if (status != FS_OK)
        return status;
    bool *linked = fs_alloc(spec->n_devices, sizeof *linked), *cabled = fs_zalloc(spec->n_devices, sizeof *cabled);
    status = linked && cabled ? check_gpus(spec, linked, cabled, err) : fs_fail_nomem(err);
    fs_free(linked);
    fs_free(cabled);
    return status;
}

/* ---- copying ----------------------------------------------------------------------------------------------------- */

static void fill_none(uint32_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        ids[i] = FS_NONE;
}

/* Which parts, types and tiers are used, and their new ids. */
static void number_used(fs_freezer *f)
{
    const fs_spec *spec = f->spec;
    fs_topo *topo = f->topo;
    fill_none(f->part_of, spec->parts.count);
    fill_none(f->type_of, spec->types.count);
    fill_none(f->tier_of, spec->tier_names.count);
    for (uint32_t r = 0; r < spec->runs.count; r++) {
        const fs_spec_unit *unit = fs_spec_unit_of(spec, &spec->runs.data[r]);
        for (uint32_t i = 0; i < unit->devices.count; i++)
            f->part_of[unit->devices.data[i].part] = 0;
        for (uint32_t i = 0; i < unit->links.count; i++)
            f->type_of[unit->links.data[i].type] = 0;
    }
    for (uint32_t i = 0; i < spec->cables.count; i++)
        f->type_of[spec->cables.data[i].type] = 0;
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

static bool copy_parts(fs_freezer *f)
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

static bool copy_networks(fs_freezer *f)
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

/* ---- all of it --------------------------------------------------------------------------------------------------- */

/* The topology with everything copied, or NULL when out of memory. */
static fs_topo *build(fs_freezer *f)
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
    if (!topo->epoch_start_s || !topo->name || !topo->path || !copy_parts(f) || !copy_networks(f) ||
        !fs_freeze_units(f) || !fs_freeze_links(f)) {
        fs_arena_free(arena);
        return NULL;
    }
    topo->hash = fs_topo_hash(topo);
    return topo;
}

fs_status fs_spec_freeze(const fs_spec *spec, fs_topo **topo, fs_err *err)
{
    fs_status status = check_whole(spec, err);
    if (status != FS_OK)
        return status;
    fs_freezer f = {
        .spec = spec,
        .part_of = fs_alloc(spec->parts.count, sizeof(uint32_t)),
        .type_of = fs_alloc(spec->types.count, sizeof(uint32_t)),
        .tier_of = fs_alloc(spec->tier_names.count, sizeof(uint32_t)),
        .unit_of = fs_alloc(spec->units.count, sizeof(uint32_t)),
    };
    fs_topo *made = f.part_of && f.type_of && f.tier_of && f.unit_of ? build(&f) : NULL;
    fs_free(f.part_of);
    fs_free(f.type_of);
    fs_free(f.tier_of);
    fs_free(f.unit_of);
    if (made == NULL)
        return fs_fail_nomem(err);
    *topo = made;
    return FS_OK;
}
