/* spec_network.c - networks in a spec: switches and cables in great numbers, by id. See spec.h.
 *
 * What a generator adds is checked as everything else in a spec, but nothing is looked up by name for each cable.
 * Cost: O(1) per switch and cable. */
#include "topo/spec_in.h"

#include "base/num.h"

#include <stdio.h>
#include <string.h>

fs_status fs_spec_network(fs_spec *spec, const fs_network *network, fs_place place, fs_err *err)
{
    fs_status status = fs_spec_check_new(spec, &spec->network_names, "network", network->name, false, place, err);
    if (status == FS_OK && (unsigned)network->routing >= FS_ROUTINGS)
        status = FS_SPEC_FAIL(spec, "routing", place, err, "network '%s' has an unknown routing", network->name);
    if (status != FS_OK)
        return status;
    fs_network *copy = FS_PUSH(&spec->networks, *network);
    if (copy == NULL)
        return fs_fail_nomem(err);
    copy->name = fs_spec_intern(spec, &spec->network_names, network->name);
    if (copy->name == NULL) {
        spec->networks.count--;
        return fs_fail_nomem(err);
    }
    return FS_OK;
}

fs_status fs_spec_join(fs_spec *spec, uint32_t device, uint32_t network, fs_place place, fs_err *err)
{
    fs_spec_device_row *row = fs_spec_device_at(spec, device);
    fs_device_kind kind = spec->parts.data[row->part].kind;
    char name[FS_NAME_MAX + 1];
    if (kind != FS_DEVICE_NVSWITCH && kind != FS_DEVICE_NET_SWITCH)
        return FS_SPEC_FAIL(spec, "network", place, err, "device '%s' is a %s: a network consists of switches",
                            fs_spec_device_name(spec, device, name, sizeof name), fs_device_kind_name(kind));
    row->network = network;
    return FS_OK;
}

fs_status fs_spec_switches(fs_spec *spec, const char *prefix, uint32_t count, uint32_t part, uint32_t network,
                           uint32_t *first, fs_place place, fs_err *err)
{
    uint32_t begin = spec->n_devices;
    fs_spec_device_row row = {.part = part, .node = FS_NONE, .network = network, .place = place};
    fs_status status = fs_spec_unit_begin(spec, false, err);
    if (status == FS_OK)
        status = fs_spec_add_device(spec, "", row, err);
    if (status == FS_OK)
        status = fs_spec_place(spec, fs_spec_unit_end(spec), prefix, true, count, place, err);
    if (status == FS_OK)
        *first = begin;
    return status;
}

static bool same_figures(const fs_link_type *a, const fs_link_type *b)
{
    return a->class_ == b->class_ && a->bandwidth_Bps == b->bandwidth_Bps && a->effective_Bps == b->effective_Bps &&
           a->latency_s == b->latency_s;
}

fs_status fs_spec_tier_type(fs_spec *spec, const char *type, const char *tier, uint32_t *id, fs_place place,
                            fs_err *err)
{
    uint32_t base;
    fs_status status = fs_spec_find(spec, &spec->type_names, "type", "link type", type, &base, place, err);
    if (status != FS_OK)
        return status;
    fs_link_type copy = spec->types.data[base];
    if (strcmp(spec->tier_names.names[copy.tier], tier) == 0) {
        *id = base;
        return FS_OK;
    }
    char name[2 * FS_NAME_MAX + 2];
    snprintf(name, sizeof name, "%.*s.%.*s", FS_NAME_MAX, type, FS_NAME_MAX, tier);
    uint32_t made = fs_names_find(&spec->type_names, name);
    bool known = made != FS_NONE && same_figures(&copy, &spec->types.data[made]) &&
                 strcmp(spec->tier_names.names[spec->types.data[made].tier], tier) == 0;
    if (!known) {
        made = spec->types.count;
        copy.name = name;
        status = fs_spec_link_type(spec, &copy, tier, place, err);
    }
    if (status == FS_OK)
        *id = made;
    return status;
}

fs_status fs_spec_run_device(fs_spec *spec, uint32_t run, const char *name, uint32_t *device, uint32_t *stride,
                             fs_place place, fs_err *err)
{
    const fs_spec_run *row = &spec->runs.data[run];
    const fs_names *names = &fs_spec_unit_of(spec, row)->device_names;
    uint32_t id = fs_names_find(names, name);
    if (id != FS_NONE) {
        *device = row->first_device + id;
        *stride = fs_spec_unit_of(spec, row)->devices.count;
        return FS_OK;
    }
    const char *near = fs_suggest(name, names->names, names->count);
    if (near)
        return FS_SPEC_FAIL(spec, "ports", place, err, "unknown device '%.255s' in '%s' (did you mean '%s'?)", name,
                            row->name, near);
    return FS_SPEC_FAIL(spec, "ports", place, err, "unknown device '%.255s' in '%s'", name, row->name);
}

fs_status fs_spec_find_place(fs_spec *spec, const char *name, uint32_t *run, uint32_t *copies, fs_place place,
                             fs_err *err)
{
    uint32_t id;
    fs_status status = fs_spec_find(spec, &spec->place_names, "nodes", "place", name, &id, place, err);
    if (status != FS_OK)
        return status;
    *run = spec->place_runs.data[id];
    *copies = spec->runs.data[*run].copies;
    return FS_OK;
}
