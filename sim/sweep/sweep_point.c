/* sweep_point.c - from numbers to points, and which combinations are points. */
#include "sweep/sweep_in.h"

#include "base/jsonw.h"

#include <string.h>

/* ---- settings of a point ------------------------------------------------------------------------------------------ */

/* Sorted insertion; a name that is there gets the new value. */
static fs_status set(fs_point *p, const char *name, fs_value value, fs_err *err)
{
    uint32_t at = p->count;
    while (at > 0 && strcmp(p->settings[at - 1].name, name) > 0)
        at--;
    if (at > 0 && strcmp(p->settings[at - 1].name, name) == 0) {
        p->settings[at - 1].value = value;
        return FS_OK;
    }
    if (p->count == FS_SETTINGS_MAX)
        return fs_fail(err, FS_E_USAGE, "a point sets more than %d values", FS_SETTINGS_MAX);
    memmove(p->settings + at + 1, p->settings + at, (p->count - at) * sizeof *p->settings);
    p->settings[at] = (fs_setting){name, value};
    p->count++;
    return FS_OK;
}

static fs_status set_all(fs_point *p, const fs_setting_list *list, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < list->count && status == FS_OK; i++)
        status = set(p, list->data[i].name, list->data[i].value, err);
    return status;
}

static bool lookup(void *context, const char *name, fs_value *value, const char **near)
{
    const fs_point *p = context;
    const char *names[FS_SETTINGS_MAX + 2] = {"topology", "trace"};
    const char *files[] = {p->topology->file, p->trace->file};
    for (uint32_t i = 0; i < 2; i++) {
        if (strcmp(name, names[i]) == 0) {
            *value = (fs_value){.kind = FS_VALUE_TEXT, .text = files[i]};
            return true;
        }
    }
    for (uint32_t i = 0; i < p->count; i++) {
        if (strcmp(name, p->settings[i].name) == 0) {
            *value = p->settings[i].value;
            return true;
        }
        names[i + 2] = p->settings[i].name;
    }
    *near = fs_suggest(name, names, p->count + 2);
    return false;
}

static fs_status derive(const fs_sweep *s, fs_point *p, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < s->n_derived && status == FS_OK; i++) {
        fs_value value = {0};
        status = fs_expr_eval(s->derived[i].expr, lookup, p, &value, err);
        if (status == FS_OK)
            status = set(p, s->derived[i].name, value, err);
    }
    return status;
}

/* What all points on these inputs set. The other settings are left as they are in memory: there are many points. */
static fs_status start_point(const fs_sweep *s, uint32_t topology, uint32_t trace, fs_point *p, fs_err *err)
{
    p->topology = &s->topologies[topology];
    p->trace = &s->traces[trace];
    p->baseline = false;
    p->count = 0;
    fs_status status = set_all(p, &s->set, err);
    if (status == FS_OK)
        status = set_all(p, &p->topology->set, err);
    return status == FS_OK ? set_all(p, &p->trace->set, err) : status;
}

static fs_status make_baseline(const fs_sweep *s, fs_point *p, fs_err *err)
{
    fs_status status = start_point(s, s->baseline_topology, s->baseline_trace, p, err);
    p->baseline = true;
    if (status == FS_OK)
        status = set_all(p, &s->baseline, err);
    return status == FS_OK ? derive(s, p, err) : status;
}

/* The last axis changes fastest, then the ones before it, the trace, the topology. */
static fs_status make_combination(const fs_sweep *s, uint32_t combination, fs_point *p, fs_err *err)
{
    uint32_t digit[FS_AXES_MAX];
    for (uint32_t i = s->n_axes; i-- > 0;) {
        digit[i] = combination % s->axes[i].n_values;
        combination /= s->axes[i].n_values;
    }
    fs_status status = start_point(s, combination / s->n_traces, combination % s->n_traces, p, err);
    for (uint32_t i = 0; i < s->n_axes && status == FS_OK; i++) {
        const fs_axis *a = &s->axes[i];
        for (uint32_t k = 0; k < a->n_names && status == FS_OK; k++)
            if (a->values[(size_t)digit[i] * a->n_names + k].kind != FS_VALUE_ABSENT)
                status = set(p, a->names[k], a->values[(size_t)digit[i] * a->n_names + k], err);
    }
    return status == FS_OK ? derive(s, p, err) : status;
}

uint32_t fs_sweep_count(const fs_sweep *sweep)
{
    return sweep->combinations.count + sweep->has_baseline;
}

fs_status fs_sweep_point(const fs_sweep *sweep, uint32_t number, fs_point *point, fs_err *err)
{
    if (sweep->has_baseline && number == 0)
        return make_baseline(sweep, point, err);
    return make_combination(sweep, sweep->combinations.data[number - sweep->has_baseline], point, err);
}

/* ---- which combinations ------------------------------------------------------------------------------------------- */

static fs_status fulfils(const fs_sweep *s, fs_point *p, bool *all, fs_err *err)
{
    fs_status status = FS_OK;
    *all = true;
    for (uint32_t i = 0; i < s->n_conditions && *all && status == FS_OK; i++)
        status = fs_expr_holds(s->conditions[i], lookup, p, all, err);
    return status;
}

static fs_status count_combinations(const fs_sweep *s, uint32_t *count, fs_err *err)
{
    uint64_t n = (uint64_t)s->n_topologies * s->n_traces;
    for (uint32_t i = 0; i < s->n_axes && n <= FS_SWEEP_COMBINATIONS_MAX; i++)
        n *= s->axes[i].n_values;
    if (n > FS_SWEEP_COMBINATIONS_MAX)
        return fs_fail_at(err, FS_E_USAGE, s->path, 0, 0, "more than %u combinations", FS_SWEEP_COMBINATIONS_MAX);
    *count = (uint32_t)n;
    return FS_OK;
}

fs_status fs_sweep_enumerate(fs_sweep *s, fs_err *err)
{
    uint32_t n = 0;
    fs_point p;
    fs_status status = count_combinations(s, &n, err);
    if (status == FS_OK && s->has_baseline)
        status = make_baseline(s, &p, err); /* that its derived settings can be had */
    for (uint32_t i = 0; i < n && status == FS_OK; i++) {
        bool wanted = true;
        status = make_combination(s, i, &p, err);
        if (status == FS_OK)
            status = fulfils(s, &p, &wanted, err);
        if (status != FS_OK || !wanted)
            continue;
        if (s->combinations.count == FS_SWEEP_POINTS_MAX)
            return fs_fail_at(err, FS_E_USAGE, s->path, 0, 0, "more than %u points", FS_SWEEP_POINTS_MAX);
        if (!FS_PUSH(&s->combinations, i))
            return fs_fail_nomem(err);
    }
    if (status == FS_OK && fs_sweep_count(s) == 0)
        return fs_fail_at(err, FS_E_USAGE, s->path, 0, 0, "no combination fulfils the conditions");
    return status;
}

/* ---- as text ------------------------------------------------------------------------------------------------------ */

void fs_point_write_settings(const fs_point *point, fs_out *out)
{
    fs_jsonw w = fs_jsonw_start(out);
    fs_jsonw_object_inline(&w, NULL);
    for (uint32_t i = 0; i < point->count; i++) {
        const fs_setting *s = &point->settings[i];
        if (s->value.kind == FS_VALUE_NUMBER)
            fs_jsonw_number(&w, s->name, s->value.number);
        else if (s->value.kind == FS_VALUE_BOOL)
            fs_jsonw_bool(&w, s->name, s->value.number != 0);
        else
            fs_jsonw_string(&w, s->name, s->value.text);
    }
    fs_jsonw_end(&w);
}
