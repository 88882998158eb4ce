/* sweep_sample.c - random and Latin hypercube samples of a sweep.
 *
 * A sample gives each setting a number u in [0, 1) and maps it to the setting's range or list. Random: all u are
 * independent. Latin hypercube (McKay, Beckman, Conover, Technometrics 21(2), 1979): with n samples, each n-th of [0, 1)
 * is hit exactly once by each setting, in an order that is a random permutation of its own. */
#include "sweep/sweep_in.h"

#include "base/num.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SAMPLES_MAX = 1000000 };

typedef struct range {
    const fs_json *list; /* or, where this is NULL: */
    double from, to;
    bool log, integer;
    const char *unit;
} range;

static fs_status read_bounds(const fs_sweep *s, const fs_json *object, range *r, fs_err *err)
{
    static const char *const keys[] = {"from", "to", "scale", "integer", "unit"}, *const scales[] = {"linear", "log"};
    uint32_t scale = 0;
    fs_status status = fs_json_only(s->doc, object, keys, sizeof keys / sizeof *keys, err);
    if (status == FS_OK)
        status = fs_json_number_in(s->doc, object, "from", true, -1e300, 1e300, &r->from, err);
    if (status == FS_OK)
        status = fs_json_number_in(s->doc, object, "to", true, r->from, 1e300, &r->to, err);
    if (status == FS_OK)
        status = fs_json_enum_in(s->doc, object, "scale", false, scales, 2, &scale, err);
    if (status == FS_OK)
        status = fs_json_bool_in(s->doc, object, "integer", false, &r->integer, err);
    if (status == FS_OK)
        status = fs_json_string_in(s->doc, object, "unit", false, &r->unit, err);
    r->log = scale == 1;
    if (status == FS_OK && r->log && r->from <= 0)
        return fs_json_fail(s->doc, fs_json_get(object, "from"), false, err, "a log scale begins above 0");
    if (status == FS_OK && r->integer && (r->from != floor(r->from) || r->to != floor(r->to)))
        return fs_json_fail(s->doc, object, false, err, "whole numbers have whole bounds");
    return status;
}

static fs_status read_range(const fs_sweep *s, const fs_json *value, range *r, fs_err *err)
{
    if (fs_json_kind(value) == FS_JSON_ARRAY && fs_json_count(value) > 0) {
        r->list = value;
        return FS_OK;
    }
    if (fs_json_kind(value) != FS_JSON_OBJECT)
        return fs_json_fail(s->doc, value, false, err,
                            "expected a list of values or {\"from\": ..., \"to\": ...}, with \"scale\", \"integer\", "
                            "\"unit\"");
    return read_bounds(s, value, r, err);
}

/* u in [0, 1) within the bounds; six digits, so that what is stored, shown and run is the same number. */
static fs_status map(const fs_sweep *s, const range *r, double u, fs_value *value, fs_err *err)
{
    double span = r->to - r->from + (r->integer ? 1 : 0), x = r->from + u * span;
    char text[96];
    if (r->log)
        x = exp(log(r->from) + u * (log(r->to + (r->integer ? 1 : 0)) - log(r->from)));
    if (r->integer)
        x = fmin(floor(x), r->to);
    fs_snprintf(text, sizeof text, r->integer ? "%.0f" : "%.6g", x);
    if (fs_parse_number(text, &value->number) != 0)
        return fs_fail(err, FS_E_USAGE, "a sample is no number: %s", text);
    value->kind = FS_VALUE_NUMBER;
    if (!r->unit)
        return FS_OK;
    size_t used = strlen(text);
    snprintf(text + used, sizeof text - used, "%s", r->unit);
    *value = (fs_value){.kind = FS_VALUE_TEXT, .text = fs_arena_strdup(s->arena, text)};
    return value->text ? FS_OK : fs_fail_nomem(err);
}

static fs_status draw_one(const fs_sweep *s, const range *r, double u, fs_value *value, fs_err *err)
{
    if (!r->list)
        return map(s, r, u, value, err);
    uint32_t wanted = (uint32_t)(u * fs_json_count(r->list));
    const fs_json *at = fs_json_first(r->list);
    while (wanted-- > 0)
        at = fs_json_next(at);
    return fs_sweep_scalar(s, at, value, err);
}

/* One setting's column of all samples. `order` has room for n. */
static fs_status draw(const fs_sweep *s, const range *r, bool latin, fs_rng *rng, fs_axis *axis, uint32_t column,
                      uint32_t *order, fs_err *err)
{
    uint32_t n = axis->n_values;
    for (uint32_t i = 0; i < n; i++) { /* Fisher and Yates, inside out */
        uint32_t k = latin ? fs_rng_below(rng, i + 1) : i;
        order[i] = order[k];
        order[k] = i;
    }
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < n && status == FS_OK; i++) {
        double u = fs_rng_unit(rng);
        u = latin ? (order[i] + u) / n : u;
        status = draw_one(s, r, u < 1 ? u : 0, &axis->values[(size_t)i * axis->n_names + column], err);
    }
    return status;
}

static fs_status draw_all(fs_sweep *s, const fs_json *settings, bool latin, uint64_t seed, fs_axis *axis, fs_err *err)
{
    uint32_t *order = fs_zalloc(axis->n_values, sizeof *order), column = 0;
    fs_rng rng = fs_rng_seed(seed);
    fs_status status = order ? FS_OK : fs_fail_nomem(err);
    for (const fs_json *m = fs_json_first(settings); m && status == FS_OK; m = fs_json_next(m), column++) {
        range r = {0};
        status = fs_sweep_name(s, m, &axis->names[column], err);
        if (status == FS_OK)
            status = read_range(s, m, &r, err);
        if (status == FS_OK)
            status = draw(s, &r, latin, &rng, axis, column, order, err);
    }
    fs_free(order);
    return status;
}

fs_status fs_sweep_read_samples(fs_sweep *s, const char *key, bool latin, fs_err *err)
{
    static const char *const keys[] = {"count", "seed", "settings"};
    const fs_json *object = fs_json_get(fs_json_root(s->doc), key), *settings = fs_json_get(object, "settings");
    uint64_t count = 0, seed = 0;
    fs_axis *axis = NULL;
    if (!object)
        return FS_OK;
    if (fs_json_kind(object) != FS_JSON_OBJECT)
        return fs_json_fail(s->doc, object, false, err,
                            "expected {\"count\": ..., \"seed\": ..., \"settings\": {...}}");
    fs_status status = fs_json_only(s->doc, object, keys, sizeof keys / sizeof *keys, err);
    if (status == FS_OK)
        status = fs_json_uint_in(s->doc, object, "count", true, 1, SAMPLES_MAX, &count, err);
    if (status == FS_OK)
        status = fs_json_uint_in(s->doc, object, "seed", false, 0, UINT64_C(1) << 53, &seed, err);
    if (status == FS_OK && (fs_json_kind(settings) != FS_JSON_OBJECT || fs_json_count(settings) == 0))
        status = fs_json_fail(s->doc, settings ? settings : object, false, err,
                              "'settings' has a range or a list for each setting");
    if (status == FS_OK)
        status = fs_sweep_axis(s, object, fs_json_count(settings), (uint32_t)count, &axis, err);
    return status == FS_OK ? draw_all(s, settings, latin, seed, axis, err) : status;
}
