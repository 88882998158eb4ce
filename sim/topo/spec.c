/* spec.c - collect parts and link types; check each when it comes. See spec.h; spec_unit.c has devices and links.
 *
 * Invariant: whatever is in the spec is valid by itself (names unique, references resolved, figures in range), so
 * freezing has only the whole to look at: that there are GPUs, and that they are connected.
 * A failed call leaves the spec as it was, but for strings in its arena. */
#include "topo/spec_in.h"

#include "base/num.h"
#include "topo/gpu_figures.h"

#include <string.h>

/* Ranges keep every later sum, product and quotient finite; they are orders of magnitude beyond any machine. */
typedef struct interval {
    double low, high;
    const char *text;
} interval;

static const interval times = {0, 1e6, "from 0 to 1e6 s"};
static const interval rates = {1, 1e18, "from 1 to 1e18 B/s"};
static const interval sizes = {1, 1e18, "from 1 to 1e18 B"};
static const interval powers = {0, 1e9, "from 0 to 1e9 W"};
static const interval computes = {1, 1e24, "from 1 to 1e24 FLOP/s"};
static const interval fractions = {1e-6, 1, "from 1e-6 to 1"};

fs_spec *fs_spec_new(const char *name, const char *path)
{
    fs_spec *spec = fs_zalloc(1, sizeof *spec);
    if (spec == NULL)
        return NULL;
    spec->open = FS_NONE;
    spec->arena = fs_arena_new();
    if (spec->arena) {
        spec->name = fs_arena_strdup(spec->arena, name);
        spec->path = fs_arena_strdup(spec->arena, path ? path : "");
    }
    if (spec->name == NULL || spec->path == NULL) {
        fs_spec_free(spec);
        return NULL;
    }
    return spec;
}

static void free_unit(fs_spec_unit *unit)
{
    fs_free(unit->devices.data);
    fs_free(unit->links.data);
    fs_free(unit->nodes.data);
    fs_names_free(&unit->device_names);
    fs_names_free(&unit->node_names);
}

void fs_spec_free(fs_spec *spec)
{
    if (spec == NULL)
        return;
    fs_names_free(&spec->part_names);
    fs_names_free(&spec->type_names);
    fs_names_free(&spec->tier_names);
    fs_free(spec->parts.data);
    fs_free(spec->types.data);
    fs_names_free(&spec->network_names);
    fs_names_free(&spec->loose_devices);
    fs_names_free(&spec->loose_nodes);
    fs_names_free(&spec->place_names);
    for (uint32_t i = 0; i < spec->units.count; i++)
        free_unit(&spec->units.data[i]);
    fs_free(spec->units.data);
    fs_free(spec->runs.data);
    fs_free(spec->cables.data);
    fs_free(spec->networks.data);
    fs_free(spec->loose_device_ids.data);
    fs_free(spec->loose_node_ids.data);
    fs_free(spec->place_runs.data);
    fs_index_free(&spec->run_index);
    if (spec->arena)
        fs_arena_free(spec->arena);
    fs_free(spec);
}

void fs_spec_set_forwarding(fs_spec *spec, bool gpu_forwarding)
{
    spec->gpu_forwarding = gpu_forwarding;
}

void fs_spec_set_cross_rail(fs_spec *spec, bool cross_rail)
{
    spec->cross_rail = cross_rail;
}

/* ---- what the calls share ---------------------------------------------------------------------------------------- */

static fs_status check_range(fs_spec *spec, const char *field, double value, const interval *allowed, fs_place place,
                             fs_err *err)
{
    if (value >= allowed->low && value <= allowed->high) /* false for NaN */
        return FS_OK;
    char found[40];
    return FS_SPEC_FAIL(spec, field, place, err, "%s must be %s, found %s", field, allowed->text,
                        fs_format_exact(value, found, sizeof found));
}

fs_status fs_spec_check_new(fs_spec *spec, const fs_names *set, const char *what, const char *name, bool slash,
                            fs_place place, fs_err *err)
{
    if (!fs_name_ok(name, slash))
        return FS_SPEC_FAIL(spec, "name", place, err,
                            "%s name '%.60s': expected 1 to 255 letters, digits, '_', '-', '.'%s", what, name,
                            slash ? ", '/'" : "");
    if (fs_names_find(set, name) != FS_NONE)
        return FS_SPEC_FAIL(spec, "name", place, err, "%s '%s' is defined twice", what, name);
    return FS_OK;
}

fs_status fs_spec_find(fs_spec *spec, const fs_names *set, const char *field, const char *what, const char *name,
                       uint32_t *id, fs_place place, fs_err *err)
{
    *id = fs_names_find(set, name);
    if (*id != FS_NONE)
        return FS_OK;
    const char *near = fs_suggest(name, set->names, set->count);
    if (near)
        return FS_SPEC_FAIL(spec, field, place, err, "unknown %s '%.255s' (did you mean '%s'?)", what, name, near);
    return FS_SPEC_FAIL(spec, field, place, err, "unknown %s '%.255s'", what, name);
}

const char *fs_spec_intern(fs_spec *spec, fs_names *set, const char *name)
{
    const char *copy = fs_arena_strdup(spec->arena, name);
    return copy && fs_names_add(set, copy) ? copy : NULL;
}

/* ---- parts and link types ---------------------------------------------------------------------------------------- */

/* Figures of <peak> are optional, those of <kernels> and <attention> stand together. */
static fs_status check_costs(fs_spec *spec, const fs_part *part, fs_place place, fs_err *err)
{
    for (int d = 0; d < FS_DTYPES; d++)
        for (size_t i = 0; i < FS_PRODUCT_FIGURES; i++) {
            const fs_gpu_figure *f = &fs_product_figures[i];
            double value = fs_figure_value(f, &part->product[d]);
            if (!(value >= 0 && value <= f->high))
                return FS_SPEC_FAIL(spec, fs_dtype_names[d], place, err, "%s of %s must be from %g to %g, found %g",
                                    f->attribute, fs_dtype_names[d], f->low, f->high, value);
        }
    for (size_t i = 0; part->costs.sms != 0 && i < FS_COST_FIGURES; i++) {
        const fs_gpu_figure *f = &fs_cost_figures[i];
        double value = fs_figure_value(f, &part->costs);
        if (!(value >= f->low && value <= f->high))
            return FS_SPEC_FAIL(spec, NULL, place, err, "<%s> of GPU part '%s': %s must be from %g to %g, found %g",
                                f->element, part->name, f->attribute, f->low, f->high, value);
    }
    return FS_OK;
}

static fs_status check_gpu(fs_spec *spec, const fs_part *part, fs_place place, fs_err *err)
{
    bool any = false;
    for (int i = 0; i < FS_DTYPES; i++) {
        if (part->peak_flops[i] == 0)
            continue;
        any = true;
        fs_status status = check_range(spec, fs_dtype_names[i], part->peak_flops[i], &computes, place, err);
        if (status != FS_OK)
            return status;
    }
    if (!any)
        return FS_SPEC_FAIL(spec, NULL, place, err, "GPU part '%s' has no peak for any dtype", part->name);
    if ((unsigned)part->arch >= FS_ARCHS)
        return FS_SPEC_FAIL(spec, "arch", place, err, "GPU part '%s' has an unknown architecture", part->name);
    const struct {
        const char *field;
        double value;
        const interval *allowed;
    } checks[] = {
        {"memory", part->mem_bytes, &sizes},
        {"memory-bandwidth", part->mem_Bps, &rates},
        {"gemm-efficiency", part->gemm_efficiency, &fractions},
        {"memory-efficiency", part->mem_efficiency, &fractions},
        {"launch", part->launch_s, &times},
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        fs_status status = check_range(spec, checks[i].field, checks[i].value, checks[i].allowed, place, err);
        if (status != FS_OK)
            return status;
    }
    return check_costs(spec, part, place, err);
}

/* Whether it has a figure that only GPUs have: that would be lost on the way through XML. */
static bool has_gpu_figures(const fs_part *part)
{
    for (int i = 0; i < FS_DTYPES; i++)
        if (part->peak_flops[i] != 0)
            return true;
    return part->arch != FS_ARCH_NONE || part->mem_bytes != 0 || part->mem_Bps != 0 || part->gemm_efficiency != 0 ||
           part->mem_efficiency != 0 || part->launch_s != 0 || part->costs.sms != 0;
}

fs_status fs_spec_part(fs_spec *spec, const fs_part *part, fs_place place, fs_err *err)
{
    fs_status status = fs_spec_check_new(spec, &spec->part_names, "part", part->name, false, place, err);
    if (status == FS_OK && (unsigned)part->kind >= FS_DEVICE_KINDS)
        status = FS_SPEC_FAIL(spec, NULL, place, err, "part '%s' is of an unknown kind", part->name);
    if (status == FS_OK && part->kind == FS_DEVICE_GPU)
        status = check_gpu(spec, part, place, err);
    else if (status == FS_OK && has_gpu_figures(part))
        status = FS_SPEC_FAIL(spec, NULL, place, err, "part '%s' has figures that only a GPU has", part->name);
    if (status == FS_OK)
        status = check_range(spec, "power", part->power_W, &powers, place, err);
    if (status == FS_OK)
        status = check_range(spec, "host-power", part->host_W, &powers, place, err);
    if (status == FS_OK)
        status = check_range(spec, "latency", part->latency_s, &times, place, err);
    if (status == FS_OK && part->kind == FS_DEVICE_GPU && part->latency_s != 0)
        status =
            FS_SPEC_FAIL(spec, "latency", place, err, "GPU part '%s' has a latency: GPUs are endpoints", part->name);
    if (status == FS_OK && part->ports != 0 && part->kind != FS_DEVICE_NVSWITCH && part->kind != FS_DEVICE_NET_SWITCH)
        status = FS_SPEC_FAIL(spec, "ports", place, err, "part '%s': only NVSwitches and network switches count ports",
                              part->name);
    if (status == FS_OK && part->multicast && part->kind != FS_DEVICE_NVSWITCH && part->kind != FS_DEVICE_NET_SWITCH)
        status = FS_SPEC_FAIL(spec, "multicast", place, err, "part '%s': only switches multicast", part->name);
    if (status != FS_OK)
        return status;
    fs_part *copy = FS_PUSH(&spec->parts, *part);
    if (copy == NULL)
        return fs_fail_nomem(err);
    copy->name = fs_spec_intern(spec, &spec->part_names, part->name);
    if (copy->name == NULL) {
        spec->parts.count--;
        return fs_fail_nomem(err);
    }
    return FS_OK;
}

/* The id of a tier that may be new. */
static fs_status intern_tier(fs_spec *spec, const char *tier, uint32_t *id, fs_place place, fs_err *err)
{
    *id = fs_names_find(&spec->tier_names, tier);
    if (*id != FS_NONE)
        return FS_OK;
    if (!fs_name_ok(tier, false))
        return FS_SPEC_FAIL(spec, "tier", place, err,
                            "tier name '%.60s': expected 1 to 255 letters, digits, '_', '-', '.'", tier);
    *id = spec->tier_names.count;
    return fs_spec_intern(spec, &spec->tier_names, tier) ? FS_OK : fs_fail_nomem(err);
}

fs_status fs_spec_link_type(fs_spec *spec, const fs_link_type *type, const char *tier, fs_place place, fs_err *err)
{
    uint32_t tier_id = FS_NONE;
    fs_status status = fs_spec_check_new(spec, &spec->type_names, "link type", type->name, false, place, err);
    if (status == FS_OK && (unsigned)type->class_ >= FS_LINK_CLASSES)
        status = FS_SPEC_FAIL(spec, "class", place, err, "link type '%s' is of an unknown class", type->name);
    if (status == FS_OK)
        status = check_range(spec, "bandwidth", type->bandwidth_Bps, &rates, place, err);
    if (status == FS_OK)
        status = check_range(spec, "effective", type->effective_Bps, &rates, place, err);
    if (status == FS_OK && type->effective_Bps > type->bandwidth_Bps)
        status = FS_SPEC_FAIL(spec, "effective", place, err, "effective bandwidth exceeds bandwidth");
    if (status == FS_OK)
        status = check_range(spec, "latency", type->latency_s, &times, place, err);
    if (status == FS_OK)
        status = intern_tier(spec, tier, &tier_id, place, err);
    if (status != FS_OK)
        return status;
    fs_link_type *copy = FS_PUSH(&spec->types, *type);
    if (copy == NULL)
        return fs_fail_nomem(err);
    copy->tier = tier_id;
    copy->name = fs_spec_intern(spec, &spec->type_names, type->name);
    if (copy->name == NULL) {
        spec->types.count--;
        return fs_fail_nomem(err);
    }
    return FS_OK;
}
