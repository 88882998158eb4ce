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
    fs_spec_device_row *row = &spec->devices.data[device];
    fs_device_kind kind = spec->parts.data[row->part].kind;
    if (kind != FS_DEVICE_NVSWITCH && kind != FS_DEVICE_NET_SWITCH)
        return FS_SPEC_FAIL(spec, "network", place, err, "device '%s' is a %s: a network consists of switches",
                            row->name, fs_device_kind_name(kind));
    row->network = network;
    return FS_OK;
}

fs_status fs_spec_switches(fs_spec *spec, const char *prefix, uint32_t count, uint32_t part, uint32_t network,
                           uint32_t *first, fs_place place, fs_err *err)
{
    uint32_t begin = spec->devices.count;
    fs_status status = FS_OK;
    for (uint32_t i = 0; status == FS_OK && i < count; i++) {
        char name[FS_NAME_MAX + 16];
        snprintf(name, sizeof name, "%.*s%u", FS_NAME_MAX, prefix, i);
        status = fs_spec_device(spec, name, spec->parts.data[part].name, FS_NONE, place, err);
        if (status == FS_OK)
            status = fs_spec_join(spec, begin + i, network, place, err);
    }
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

fs_status fs_spec_cable(fs_spec *spec, uint32_t from, uint32_t to, uint32_t type, uint32_t lanes, fs_place place,
                        fs_err *err)
{
    if (lanes < 1 || lanes > FS_LANES_MAX)
        return FS_SPEC_FAIL(spec, "lanes", place, err, "lanes must be from 1 to %d, found %u", FS_LANES_MAX, lanes);
    if (spec->links.count >= FS_LINKS_MAX / 2)
        return FS_SPEC_FAIL(spec, NULL, place, err, "more than %u links", (unsigned)FS_LINKS_MAX);
    fs_spec_link_row row = {from, to, type, lanes};
    return FS_PUSH(&spec->links, row) ? FS_OK : fs_fail_nomem(err);
}

fs_status fs_spec_run(fs_spec *spec, const char *name, bool numbered, uint32_t copies, uint32_t first, fs_err *err)
{
    fs_spec_run_row row = {numbered, copies, first, (spec->devices.count - first) / copies};
    if (fs_names_find(&spec->run_names, name) != FS_NONE)
        return FS_OK; /* two places of one name make different devices: the first stands for it */
    if (FS_PUSH(&spec->runs, row) == NULL)
        return fs_fail_nomem(err);
    if (fs_spec_intern(spec, &spec->run_names, name) == NULL) {
        spec->runs.count--;
        return fs_fail_nomem(err);
    }
    return FS_OK;
}

/* Suggest by the name within the board: what all copies begin with would make everything alike. */
static fs_status unknown_device(fs_spec *spec, const fs_spec_run_row *row, const char *name, size_t prefix,
                                const char *place_name, fs_place place, fs_err *err)
{
    const char **inner = fs_alloc(row->size, sizeof *inner);
    if (inner == NULL)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < row->size; i++)
        inner[i] = spec->device_names.names[row->first + i] + prefix;
    const char *near = fs_suggest(name, inner, row->size);
    fs_free(inner);
    if (near)
        return FS_SPEC_FAIL(spec, "ports", place, err, "unknown device '%.255s' in '%s' (did you mean '%s'?)", name,
                            place_name, near);
    return FS_SPEC_FAIL(spec, "ports", place, err, "unknown device '%.255s' in '%s'", name, place_name);
}

fs_status fs_spec_run_device(fs_spec *spec, uint32_t run, const char *name, uint32_t *device, uint32_t *stride,
                             fs_place place, fs_err *err)
{
    const fs_spec_run_row *row = &spec->runs.data[run];
    const char *place_name = spec->run_names.names[run];
    char full[2 * FS_NAME_MAX + 16];
    size_t prefix = (size_t)snprintf(full, sizeof full, "%s%s/", place_name, row->numbered ? "0" : "");
    snprintf(full + prefix, sizeof full - prefix, "%.*s", FS_NAME_MAX, name);
    uint32_t id = fs_names_find(&spec->device_names, full);
    if (id != FS_NONE) {
        *device = id;
        *stride = row->size;
        return FS_OK;
    }
    return unknown_device(spec, row, name, prefix, place_name, place, err);
}
