/* spec_unit.c - nodes, devices and links of a spec, and boards that are placed in copies. See spec.h.
 *
 * A board is a unit: stored once, whatever the number of its copies; a board placed in a board is copied into the outer
 * one. The system is a sequence of runs: copies of a unit, and the devices between them. So the id of a device, node or
 * link is arithmetic, and so is its name: the run's name, the number of the copy, the name within the unit.
 * Names are unique: a new name, and every copy of a new run, is looked for among what there is.
 * Cost: O(1) expected for a device or a link, O(unit) for a place in a board, O(copies + devices of the system itself)
 * for a place in the system. */
#include "topo/spec_in.h"

#include "base/num.h"
#include "base/rng.h"

#include <stdio.h>
#include <string.h>

static fs_spec_unit *open_unit(const fs_spec *spec)
{
    return spec->open == FS_NONE ? NULL : &spec->units.data[spec->open];
}

/* Copies of one device that has no name within its unit, as switches are: "leaf7" instead of "leaf7/...". */
static bool is_bare(const fs_spec *spec, const fs_spec_run *run)
{
    const fs_spec_unit *unit = fs_spec_unit_of(spec, run);
    return run->name && unit->devices.count == 1 && unit->devices.data[0].name[0] == '\0';
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* False where it does not fit. */
static bool full_name(const fs_spec_run *run, uint32_t copy, const char *local, char *buffer, size_t size)
{
    char number[16] = "";
    bool named = run->name && run->name[0] != '\0';
    if (run->numbered)
        snprintf(number, sizeof number, "%u", copy);
    int length =
        snprintf(buffer, size, "%s%s%s%s", named ? run->name : "", number, named && local[0] ? "/" : "", local);
    return (size_t)length < size;
}

static uint64_t hash_of(const char *text, size_t length)
{
    return fs_hash_bytes(FS_HASH_START, text, length);
}

/* A number as copies are numbered: no leading zero, below `limit`. */
static bool copy_number(const char *digits, size_t length, uint32_t limit, uint32_t *copy)
{
    uint64_t value = 0;
    if (length == 0 || length > 9 || (digits[0] == '0' && length > 1))
        return false;
    for (size_t i = 0; i < length; i++)
        value = value * 10 + (uint64_t)(digits[i] - '0');
    *copy = (uint32_t)value;
    return value < limit;
}

/* Whether the first `length` bytes of `text` name a copy of the run. */
static bool names_copy(const fs_spec_run *run, const char *text, size_t length, uint32_t *copy)
{
    size_t own = run->name ? strlen(run->name) : SIZE_MAX;
    if (own > length || memcmp(run->name, text, own) != 0)
        return false;
    *copy = 0;
    return run->numbered ? copy_number(text + own, length - own, run->copies, copy) : own == length;
}

/* The run with a copy of that name; NULL = none. */
static const fs_spec_run *find_copy(const fs_spec *spec, const char *text, size_t length, bool bare, uint32_t *copy)
{
    for (size_t own = length;; own--) {
        fs_index_probe probe = fs_index_search(&spec->run_index, hash_of(text, own));
        for (uint32_t id = fs_index_next(&probe); id != FS_NONE; id = fs_index_next(&probe)) {
            const fs_spec_run *run = &spec->runs.data[id];
            if (strlen(run->name) == own && is_bare(spec, run) == bare && names_copy(run, text, length, copy))
                return run;
        }
        if (own == 0 || text[own - 1] < '0' || text[own - 1] > '9')
            return NULL;
    }
}

/* "node3/gpu0" -> the run and the copy that "node3" names, and "gpu0"; "gpu0" of the only board likewise. */
static const fs_spec_run *split(const fs_spec *spec, const char *name, uint32_t *copy, const char **local)
{
    const char *slash = strchr(name, '/');
    size_t length = slash ? (size_t)(slash - name) : strlen(name);
    const fs_spec_run *run = find_copy(spec, name, length, false, copy);
    *local = slash ? slash + 1 : "";
    if (run == NULL && (run = find_copy(spec, "", 0, false, copy)))
        *local = name;
    return run;
}

uint32_t fs_spec_find_device(const fs_spec *spec, const char *name)
{
    uint32_t id = fs_names_find(&spec->loose_devices, name), copy;
    if (id != FS_NONE)
        return spec->loose_device_ids.data[id];
    const char *local;
    const fs_spec_run *run = find_copy(spec, name, strlen(name), true, &copy);
    if (run)
        return run->first_device + copy;
    run = split(spec, name, &copy, &local);
    id = run ? fs_names_find(&fs_spec_unit_of(spec, run)->device_names, local) : FS_NONE;
    return id == FS_NONE ? FS_NONE : run->first_device + copy * fs_spec_unit_of(spec, run)->devices.count + id;
}

uint32_t fs_spec_find_node(const fs_spec *spec, const char *name)
{
    uint32_t id = fs_names_find(&spec->loose_nodes, name), copy;
    if (id != FS_NONE)
        return spec->loose_node_ids.data[id];
    const char *local;
    const fs_spec_run *run = split(spec, name, &copy, &local);
    id = run ? fs_names_find(&fs_spec_unit_of(spec, run)->node_names, local) : FS_NONE;
    return id == FS_NONE ? FS_NONE : run->first_node + copy * fs_spec_unit_of(spec, run)->nodes.count + id;
}

static const fs_spec_run *run_of(const fs_spec *spec, uint32_t device)
{
    uint32_t low = 0, high = spec->runs.count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (spec->runs.data[middle].first_device <= device)
            low = middle;
        else
            high = middle;
    }
    return &spec->runs.data[low];
}

fs_spec_device_row *fs_spec_device_at(const fs_spec *spec, uint32_t device)
{
    const fs_spec_run *run = run_of(spec, device);
    const fs_spec_unit *unit = fs_spec_unit_of(spec, run);
    return &unit->devices.data[(device - run->first_device) % unit->devices.count];
}

const char *fs_spec_device_name(const fs_spec *spec, uint32_t device, char *buffer, size_t size)
{
    const fs_spec_run *run = run_of(spec, device);
    uint32_t n = fs_spec_unit_of(spec, run)->devices.count;
    (void)full_name(run, (device - run->first_device) / n, fs_spec_device_at(spec, device)->name, buffer, size);
    return buffer;
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static fs_status taken(fs_spec *spec, const char *what, const char *name, fs_place place, fs_err *err)
{
    return FS_SPEC_FAIL(spec, "name", place, err, "%s '%s' is defined twice", what, name);
}

/* A new name of a node or a device, in the open unit or in the system. */
static fs_status check_new(fs_spec *spec, bool device, const char *name, fs_place place, fs_err *err)
{
    static const fs_names nothing;
    const char *what = device ? "device" : "node";
    const fs_spec_unit *unit = open_unit(spec);
    if (unit)
        return fs_spec_check_new(spec, device ? &unit->device_names : &unit->node_names, what, name, true, place, err);
    fs_status status = fs_spec_check_new(spec, &nothing, what, name, true, place, err);
    if (status != FS_OK)
        return status;
    uint32_t id = device ? fs_spec_find_device(spec, name) : fs_spec_find_node(spec, name);
    return id == FS_NONE ? FS_OK : taken(spec, what, name, place, err);
}

/* Keep in `best` the nearer to `name` of it and `other`. */
static void keep_nearest(const char *name, const char *other, char best[FS_NAME_MAX + 1])
{
    const char *pair[] = {best, other};
    if (fs_suggest(name, pair, 2) == other)
        memcpy(best, other, strlen(other) + 1);
}

/* Names near `name`: of the system's own devices, and of each board in the copy that `name` names, or in the first. */
static void suggest_device(const fs_spec *spec, const char *name, char best[FS_NAME_MAX + 1])
{
    char other[FS_NAME_MAX + 1];
    const char *slash = strchr(name, '/');
    best[0] = '\0';
    for (uint32_t r = 0; r < spec->runs.count; r++) {
        const fs_spec_run *run = &spec->runs.data[r];
        const fs_spec_unit *unit = fs_spec_unit_of(spec, run);
        uint32_t copy;
        if (slash == NULL || run->name == NULL || !names_copy(run, name, (size_t)(slash - name), &copy))
            copy = 0;
        for (uint32_t d = 0; d < unit->devices.count; d++)
            if (full_name(run, copy, unit->devices.data[d].name, other, sizeof other))
                keep_nearest(name, other, best);
    }
}

static fs_status find_device(fs_spec *spec, const char *field, const char *name, uint32_t *id, fs_place place,
                             fs_err *err)
{
    const fs_spec_unit *unit = open_unit(spec);
    if (unit)
        return fs_spec_find(spec, &unit->device_names, field, "device", name, id, place, err);
    *id = fs_spec_find_device(spec, name);
    if (*id != FS_NONE)
        return FS_OK;
    char near[FS_NAME_MAX + 1];
    suggest_device(spec, name, near);
    if (near[0])
        return FS_SPEC_FAIL(spec, field, place, err, "unknown device '%.255s' (did you mean '%s'?)", name, near);
    return FS_SPEC_FAIL(spec, field, place, err, "unknown device '%.255s'", name);
}

/* ---- nodes, devices, links --------------------------------------------------------------------------------------- */

/* Where the next thing goes: the open unit, or the system's own devices after its last place. NULL = out of memory. */
static fs_spec_unit *current_unit(fs_spec *spec)
{
    if (spec->open != FS_NONE)
        return open_unit(spec);
    if (spec->runs.count > 0 && spec->runs.data[spec->runs.count - 1].name == NULL)
        return &spec->units.data[spec->runs.data[spec->runs.count - 1].unit];
    fs_spec_run run = {
        .unit = spec->units.count, .copies = 1, .first_device = spec->n_devices, .first_node = spec->n_nodes};
    fs_spec_unit *unit = FS_PUSH(&spec->units, ((fs_spec_unit){.outer = FS_NONE}));
    return unit && FS_PUSH(&spec->runs, run) ? unit : NULL;
}

fs_status fs_spec_add_node(fs_spec *spec, const char *name, fs_err *err)
{
    fs_spec_unit *unit = current_unit(spec);
    if (unit == NULL)
        return fs_fail_nomem(err);
    bool loose = spec->open == FS_NONE;
    const char *copy = fs_spec_intern(spec, loose ? &spec->loose_nodes : &unit->node_names, name);
    if (copy == NULL || !FS_PUSH(&unit->nodes, copy) || (loose && !FS_PUSH(&spec->loose_node_ids, spec->n_nodes)))
        return fs_fail_nomem(err);
    spec->n_nodes += loose;
    return FS_OK;
}

fs_status fs_spec_add_device(fs_spec *spec, const char *name, fs_spec_device_row row, fs_err *err)
{
    fs_spec_unit *unit = current_unit(spec);
    if (unit == NULL)
        return fs_fail_nomem(err);
    bool loose = spec->open == FS_NONE;
    if ((loose ? spec->n_devices : unit->devices.count) >= FS_DEVICES_MAX)
        return FS_SPEC_FAIL(spec, NULL, row.place, err, "more than %u devices", (unsigned)FS_DEVICES_MAX);
    row.name = fs_spec_intern(spec, loose ? &spec->loose_devices : &unit->device_names, name);
    if (row.name == NULL || !FS_PUSH(&unit->devices, row) ||
        (loose && !FS_PUSH(&spec->loose_device_ids, spec->n_devices)))
        return fs_fail_nomem(err);
    spec->n_devices += loose;
    return FS_OK;
}

fs_status fs_spec_node(fs_spec *spec, const char *name, uint32_t *node, fs_place place, fs_err *err)
{
    fs_status status = check_new(spec, false, name, place, err);
    if (status == FS_OK)
        status = fs_spec_add_node(spec, name, err);
    if (status == FS_OK)
        *node = (spec->open == FS_NONE ? spec->n_nodes : open_unit(spec)->nodes.count) - 1;
    return status;
}

fs_status fs_spec_device(fs_spec *spec, const char *name, const char *part, uint32_t node, fs_place place, fs_err *err)
{
    uint32_t part_id = FS_NONE, n_nodes = spec->open == FS_NONE ? spec->n_nodes : open_unit(spec)->nodes.count;
    fs_status status = check_new(spec, true, name, place, err);
    if (status == FS_OK)
        status = fs_spec_find(spec, &spec->part_names, "part", "part", part, &part_id, place, err);
    if (status == FS_OK && node != FS_NONE && node >= n_nodes)
        status = FS_SPEC_FAIL(spec, "node", place, err, "device '%s' is on a node that does not exist", name);
    if (status != FS_OK)
        return status;
    return fs_spec_add_device(
        spec, name, (fs_spec_device_row){.part = part_id, .node = node, .network = FS_NONE, .place = place}, err);
}

fs_status fs_spec_cable(fs_spec *spec, uint32_t from, uint32_t to, uint32_t type, uint32_t lanes, fs_place place,
                        fs_err *err)
{
    fs_spec_unit *unit = open_unit(spec);
    fs_spec_link_row row = {from, to, type, lanes};
    if (lanes < 1 || lanes > FS_LANES_MAX)
        return FS_SPEC_FAIL(spec, "lanes", place, err, "lanes must be from 1 to %d, found %u", FS_LANES_MAX, lanes);
    if (from == to) {
        char name[FS_NAME_MAX + 1];
        return FS_SPEC_FAIL(spec, "to", place, err, "device '%s' is linked to itself",
                            unit ? unit->devices.data[from].name : fs_spec_device_name(spec, from, name, sizeof name));
    }
    if (fs_spec_connections(spec) >= FS_LINKS_MAX / 2)
        return FS_SPEC_FAIL(spec, NULL, place, err, "more than %u links", (unsigned)FS_LINKS_MAX);
    if (!(unit ? FS_PUSH(&unit->links, row) : FS_PUSH(&spec->cables, row)))
        return fs_fail_nomem(err);
    spec->n_connections += unit == NULL;
    return FS_OK;
}

uint64_t fs_spec_connections(const fs_spec *spec)
{
    return spec->open == FS_NONE ? spec->n_connections : open_unit(spec)->links.count;
}

fs_status fs_spec_link(fs_spec *spec, const char *from, const char *to, const char *type, uint32_t lanes,
                       fs_place place, fs_err *err)
{
    uint32_t a = FS_NONE, b = FS_NONE, type_id = FS_NONE;
    fs_status status = fs_spec_find(spec, &spec->type_names, "type", "link type", type, &type_id, place, err);
    if (status == FS_OK)
        status = find_device(spec, "from", from, &a, place, err);
    if (status == FS_OK)
        status = find_device(spec, "to", to, &b, place, err);
    return status == FS_OK ? fs_spec_cable(spec, a, b, type_id, lanes, place, err) : status;
}

/* ---- units and places -------------------------------------------------------------------------------------------- */

fs_status fs_spec_unit_begin(fs_spec *spec, bool node, fs_err *err)
{
    uint32_t id = spec->units.count;
    if (FS_PUSH(&spec->units, ((fs_spec_unit){.outer = spec->open})) == NULL)
        return fs_fail_nomem(err);
    spec->open = id;
    return node ? fs_spec_add_node(spec, "", err) : FS_OK;
}

uint32_t fs_spec_unit_end(fs_spec *spec)
{
    uint32_t id = spec->open;
    spec->open = spec->units.data[id].outer;
    return id;
}

/* One copy of a unit goes into the open one. */
static fs_status copy_unit(fs_spec *spec, uint32_t id, const fs_spec_run *run, uint32_t copy, fs_place place,
                           fs_err *err)
{
    char name[2 * FS_NAME_MAX + 16];
    const fs_spec_unit *from = &spec->units.data[id], *to = open_unit(spec);
    uint32_t first_device = to->devices.count, first_node = to->nodes.count;
    fs_status status = FS_OK;
    for (uint32_t i = 0; status == FS_OK && i < from->nodes.count; i++) {
        (void)full_name(run, copy, from->nodes.data[i], name, sizeof name);
        status = check_new(spec, false, name, place, err);
        if (status == FS_OK)
            status = fs_spec_add_node(spec, name, err);
    }
    for (uint32_t i = 0; status == FS_OK && i < from->devices.count; i++) {
        fs_spec_device_row row = from->devices.data[i];
        row.node = row.node == FS_NONE ? FS_NONE : first_node + row.node;
        (void)full_name(run, copy, row.name, name, sizeof name);
        status = check_new(spec, true, name, place, err);
        if (status == FS_OK)
            status = fs_spec_add_device(spec, name, row, err);
    }
    for (uint32_t i = 0; status == FS_OK && i < from->links.count; i++) {
        const fs_spec_link_row *l = &from->links.data[i];
        status = fs_spec_cable(spec, first_device + l->from, first_device + l->to, l->type, l->lanes, place, err);
    }
    return status;
}

/* No copy of the run has a name that something else has. The run is not in the spec yet. */
static fs_status check_copies(fs_spec *spec, const fs_spec_run *run, fs_place place, fs_err *err)
{
    char name[FS_NAME_MAX + 1];
    const fs_spec_unit *unit = fs_spec_unit_of(spec, run);
    bool bare = is_bare(spec, run);
    const char *what = bare ? "device" : unit->nodes.count == 1 && unit->nodes.data[0][0] == '\0' ? "node" : "place";
    uint32_t last = run->copies - 1, other;
    for (uint32_t i = 0; i < unit->devices.count; i++)
        if (!full_name(run, last, unit->devices.data[i].name, name, sizeof name))
            return FS_SPEC_FAIL(spec, "name", place, err, "device name '%.60s...': longer than %d bytes", name,
                                FS_NAME_MAX);
    for (uint32_t copy = 0; copy < run->copies; copy++) {
        (void)full_name(run, copy, "", name, sizeof name);
        if (bare ? fs_spec_find_device(spec, name) != FS_NONE
                 : find_copy(spec, name, strlen(name), false, &other) != NULL)
            return taken(spec, what, name, place, err);
    }
    return FS_OK;
}

/* No device or node that was there before has the name of one in the last run. */
static fs_status check_before(fs_spec *spec, fs_place place, fs_err *err)
{
    uint32_t copy, last = spec->runs.count - 1;
    const char *local;
    for (uint32_t i = 0; i < spec->loose_devices.count; i++) {
        const fs_spec_run *run = split(spec, spec->loose_devices.names[i], &copy, &local);
        if (run == &spec->runs.data[last] && fs_names_find(&fs_spec_unit_of(spec, run)->device_names, local) != FS_NONE)
            return taken(spec, "device", spec->loose_devices.names[i], place, err);
    }
    for (uint32_t i = 0; i < spec->loose_nodes.count; i++) {
        const fs_spec_run *run = split(spec, spec->loose_nodes.names[i], &copy, &local);
        if (run == &spec->runs.data[last] && fs_names_find(&fs_spec_unit_of(spec, run)->node_names, local) != FS_NONE)
            return taken(spec, "node", spec->loose_nodes.names[i], place, err);
    }
    for (uint32_t r = 0; r < last; r++) { /* "fabric/leaf7" may be a copy of one device, and a device of a board */
        const fs_spec_run *bare = &spec->runs.data[r];
        char name[FS_NAME_MAX + 1];
        for (uint32_t i = 0; bare->name && is_bare(spec, bare) && i < bare->copies; i++) {
            (void)full_name(bare, i, "", name, sizeof name);
            const fs_spec_run *run = split(spec, name, &copy, &local);
            if (run != &spec->runs.data[last])
                break; /* nor will the others be in it */
            if (fs_names_find(&fs_spec_unit_of(spec, run)->device_names, local) != FS_NONE)
                return taken(spec, "device", name, place, err);
        }
    }
    return FS_OK;
}

/* The copies become the next run of the system. */
static fs_status add_run(fs_spec *spec, const fs_spec_run *run, fs_place place, fs_err *err)
{
    const fs_spec_unit *unit = fs_spec_unit_of(spec, run);
    uint64_t devices = (uint64_t)run->copies * unit->devices.count, links = (uint64_t)run->copies * unit->links.count;
    if (devices + spec->n_devices > FS_DEVICES_MAX)
        return FS_SPEC_FAIL(spec, NULL, place, err, "more than %u devices", (unsigned)FS_DEVICES_MAX);
    if (links + spec->n_connections > FS_LINKS_MAX / 2)
        return FS_SPEC_FAIL(spec, NULL, place, err, "more than %u links", (unsigned)FS_LINKS_MAX);
    fs_status status = check_copies(spec, run, place, err);
    if (status != FS_OK)
        return status;
    uint32_t id = spec->runs.count;
    const char *name = fs_arena_strdup(spec->arena, run->name);
    fs_spec_run *made = name ? FS_PUSH(&spec->runs, *run) : NULL;
    if (made == NULL || !fs_index_add(&spec->run_index, hash_of(name, strlen(name)), id))
        return fs_fail_nomem(err);
    made->name = name;
    made->first_device = spec->n_devices;
    made->first_node = spec->n_nodes;
    spec->n_devices += (uint32_t)devices;
    spec->n_nodes += run->copies * unit->nodes.count;
    spec->n_connections += links;
    if (is_bare(spec, made))
        return FS_OK;
    bool known = fs_names_find(&spec->place_names, name) != FS_NONE;
    if (!known && (!fs_names_add(&spec->place_names, name) || !FS_PUSH(&spec->place_runs, id)))
        return fs_fail_nomem(err);
    return check_before(spec, place, err);
}

fs_status fs_spec_place(fs_spec *spec, uint32_t unit, const char *name, bool numbered, uint32_t copies, fs_place place,
                        fs_err *err)
{
    fs_spec_run run = {.unit = unit, .copies = copies, .name = name, .numbered = numbered};
    if (name[0] != '\0' && !fs_name_ok(name, is_bare(spec, &run)))
        return FS_SPEC_FAIL(spec, "name", place, err,
                            "place name '%.60s': expected 1 to 255 letters, digits, '_', '-', '.'", name);
    if (spec->open == FS_NONE)
        return add_run(spec, &run, place, err);
    fs_status status = FS_OK;
    for (uint32_t copy = 0; status == FS_OK && copy < copies; copy++)
        status = copy_unit(spec, unit, &run, copy, place, err);
    return status;
}
