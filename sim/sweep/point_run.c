/* point_run.c - see point_run.h. */
#include "sweep/point_run.h"

#include "coll/nccl_table.h"
#include "report/report.h"
#include "serve_run.h"

#include <stdio.h>
#include <string.h>

enum { TOPOLOGIES_MAX = 8, KEY_MAX = FS_SETTINGS_MAX * FS_SETTING_SIZE };

typedef struct loaded {
    char *key; /* path and settings */
    fs_topo *topo;
    uint64_t used;
} loaded;

struct fs_point_runner {
    loaded topologies[TOPOLOGIES_MAX];
    uint64_t clock;
    fs_overrides overrides;
    char key[KEY_MAX];
    fs_run_cache *cache;
};

/* What a point asks of the run itself: "options.cost" and the like. */
typedef struct options {
    fs_run_options run;
    const char *nccl_file, *nccl_release;
} options;

fs_status fs_point_runner_new(fs_point_runner **runner, fs_err *err)
{
    fs_point_runner *r = fs_zalloc(1, sizeof *r);
    if (!r || !(r->cache = fs_run_cache_new())) {
        fs_free(r);
        return fs_fail_nomem(err);
    }
    *runner = r;
    return FS_OK;
}

static void drop(fs_point_runner *r, loaded *l)
{
    fs_run_cache_forget(r->cache, l->topo);
    fs_topo_free(l->topo);
    fs_free(l->key);
    *l = (loaded){0};
}

void fs_point_runner_free(fs_point_runner *runner)
{
    if (!runner)
        return;
    for (uint32_t i = 0; i < TOPOLOGIES_MAX; i++)
        drop(runner, &runner->topologies[i]);
    fs_run_cache_free(runner->cache);
    fs_free(runner);
}

/* ---- topologies --------------------------------------------------------------------------------------------------- */

static fs_status make_key(fs_point_runner *r, const char *path, fs_err *err)
{
    size_t used = (size_t)snprintf(r->key, sizeof r->key, "%s", path);
    for (uint32_t i = 0; i < r->overrides.n_topo && used < sizeof r->key; i++) {
        const fs_topo_override *o = &r->overrides.topo[i];
        used += (size_t)snprintf(r->key + used, sizeof r->key - used, "\n%s.%s=%s", o->name, o->attribute, o->value);
    }
    return used < sizeof r->key ? FS_OK : fs_fail(err, FS_E_USAGE, "a topology with too long settings");
}

/* The one with the key, or the place of the one not used for longest. */
static loaded *find(fs_point_runner *r)
{
    loaded *oldest = &r->topologies[0];
    for (uint32_t i = 0; i < TOPOLOGIES_MAX; i++) {
        loaded *l = &r->topologies[i];
        if (l->key && strcmp(l->key, r->key) == 0)
            return l;
        if (l->used < oldest->used)
            oldest = l;
    }
    return oldest;
}

static fs_status get_topo(fs_point_runner *r, const char *path, fs_topo **topo, fs_err *err)
{
    fs_status status = make_key(r, path, err);
    if (status != FS_OK)
        return status;
    loaded *l = find(r);
    if (!l->key || strcmp(l->key, r->key) != 0) {
        drop(r, l);
        status = fs_topo_load(path, r->overrides.topo, r->overrides.n_topo, &l->topo, err);
        if (status == FS_OK && !(l->key = fs_strdup(r->key)))
            status = fs_fail_nomem(err);
        if (status != FS_OK) {
            drop(r, l);
            return status;
        }
    }
    l->used = ++r->clock;
    *topo = l->topo;
    return FS_OK;
}

fs_status fs_point_runner_load(fs_point_runner *runner, const char *path, uint32_t *n_devices, fs_err *err)
{
    fs_topo *topo = NULL;
    fs_overrides_clear(&runner->overrides);
    fs_status status = get_topo(runner, path, &topo, err);
    if (status == FS_OK)
        *n_devices = topo->n_devices;
    return status;
}

/* ---- settings ----------------------------------------------------------------------------------------------------- */

static fs_status bad_option(const fs_setting *s, const char *wanted, fs_err *err)
{
    return fs_fail(err, FS_E_USAGE, "%s: expected %s", s->name, wanted);
}

static fs_status read_choice(const fs_setting *s, const char *const *names, uint32_t count, uint32_t *out, fs_err *err)
{
    for (uint32_t i = 0; s->value.kind == FS_VALUE_TEXT && i < count; i++) {
        if (strcmp(names[i], s->value.text) == 0) {
            *out = i;
            return FS_OK;
        }
    }
    char all[256] = "one of";
    for (uint32_t i = 0; i < count; i++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s %s", i ? "," : "", names[i]);
    }
    return bad_option(s, all, err);
}

static fs_status read_whole(const fs_setting *s, uint64_t *out, fs_err *err)
{
    double x = s->value.number;
    if (s->value.kind != FS_VALUE_NUMBER || !(x >= 0) || x > 9e15 || x != (double)(uint64_t)x)
        return bad_option(s, "a whole number", err);
    *out = (uint64_t)x;
    return FS_OK;
}

static fs_status read_flag(const fs_setting *s, bool *out, fs_err *err)
{
    if (s->value.kind != FS_VALUE_BOOL)
        return bad_option(s, "true or false", err);
    *out = s->value.number != 0;
    return FS_OK;
}

static fs_status read_option(const fs_setting *s, const char *name, options *o, fs_err *err)
{
    static const char *const networks[] = {"fabric", "cm02"}; /* ns3 runs once in a process */
    static const char *const names[] = {"cost", "fold",         "lowering",   "network",    "seed",
                                        "nccl", "nccl-version", "max-events", "registered", "sharp"};
    enum { COST, FOLD, LOWERING, NETWORK, SEED, NCCL, RELEASE, EVENTS, REGISTERED, SHARP, N };
    uint32_t which = 0, choice = 0;
    fs_status status = FS_OK;
    while (which < N && strcmp(names[which], name) != 0)
        which++;
    switch (which) {
    case COST:
        status = read_choice(s, fs_cost_names, 2, &choice, err);
        o->run.cost = (fs_cost)choice;
        return status;
    case FOLD:
        status = read_choice(s, fs_fold_names, FS_FOLDS, &choice, err);
        o->run.fold = (fs_fold_mode)choice;
        return status;
    case LOWERING:
        status = read_choice(s, fs_lowering_names, 3, &choice, err);
        o->run.lowering = (fs_lowering_mode)choice;
        return status;
    case NETWORK:
        status = read_choice(s, networks, 2, &choice, err);
        o->run.network = (fs_backend)choice;
        return status;
    case SEED: return read_whole(s, &o->run.seed, err);
    case EVENTS: return read_whole(s, &o->run.max_events, err);
    case REGISTERED: return read_flag(s, &o->run.registered, err);
    case SHARP: return read_flag(s, &o->run.sharp, err);
    case NCCL:
    case RELEASE:
        if (s->value.kind != FS_VALUE_TEXT)
            return bad_option(s, "a text", err);
        *(which == NCCL ? &o->nccl_file : &o->nccl_release) = s->value.text;
        return FS_OK;
    default: break;
    }
    const char *near = fs_suggest(name, names, N);
    return near ? fs_fail(err, FS_E_USAGE, "%s: there is no such option (did you mean 'options.%s'?)", s->name, near)
                : fs_fail(err, FS_E_USAGE, "%s: there is no such option", s->name);
}

/* The value as `--set` takes it. A text that reads as another JSON scalar keeps its quotes, so that it stays a text in
 * the trace; attributes of topologies are texts anyway. */
static const char *value_text(const fs_setting *s, char *buffer, size_t size)
{
    double ignored = 0;
    if (s->value.kind == FS_VALUE_NUMBER)
        return fs_format_exact(s->value.number, buffer, size);
    if (s->value.kind == FS_VALUE_BOOL)
        return s->value.number != 0 ? "true" : "false";
    static const char *const words[] = {"true", "false", "null"};
    bool scalar = fs_parse_number(s->value.text, &ignored) == 0;
    for (size_t i = 0; i < 3; i++)
        scalar |= strcmp(words[i], s->value.text) == 0;
    if (!scalar || fs_setting_is_topo(s->name) || strchr(s->name, ':'))
        return s->value.text;
    snprintf(buffer, size, "\"%s\"", s->value.text);
    return buffer;
}

/* "cost" of "options.cost"; NULL: a setting of the inputs. */
static const char *option_name(const fs_setting *s)
{
    static const char prefix[] = "options.";
    enum { LENGTH = sizeof prefix - 1 };
    return strncmp(s->name, prefix, LENGTH) == 0 ? s->name + LENGTH : NULL;
}

static fs_status read_settings(fs_point_runner *r, const fs_point *point, options *o, fs_err *err)
{
    fs_status status = FS_OK;
    *o = (options){.run = fs_run_default()};
    fs_overrides_clear(&r->overrides);
    for (uint32_t i = 0; i < point->count && status == FS_OK; i++) {
        const fs_setting *s = &point->settings[i];
        char buffer[FS_SETTING_SIZE + 2];
        const char *option = option_name(s);
        if (option)
            status = read_option(s, option, o, err);
        else
            status = fs_overrides_add(&r->overrides, s->name, value_text(s, buffer, sizeof buffer), err);
    }
    return status;
}

/* ---- the run ------------------------------------------------------------------------------------------------------ */

/* How to get the same from the command line. */
static void write_command(const fs_point *point, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "fabsim %s %s", point->topology->path, point->trace->path);
    for (uint32_t i = 0; i < point->count && used < size; i++) {
        const fs_setting *s = &point->settings[i];
        char buffer[FS_SETTING_SIZE + 2];
        const char *option = option_name(s);
        if (option && s->value.kind == FS_VALUE_BOOL && s->value.number == 0)
            continue;
        if (option && s->value.kind == FS_VALUE_BOOL)
            used += (size_t)snprintf(text + used, size - used, " --%s", option);
        else
            used += (size_t)snprintf(text + used, size - used, option ? " --%s=%s" : " --set %s=%s",
                                     option ? option : s->name, value_text(s, buffer, sizeof buffer));
    }
}

static fs_status simulate(fs_point_runner *r, const fs_point *point, const options *o, fs_out *out, fs_err *err)
{
    fs_topo *topo = NULL;
    fs_work *work = NULL;
    fs_result result = {0};
    fs_status status = get_topo(r, point->topology->path, &topo, err);
    if (status == FS_OK)
        status = fs_work_load(point->trace->path, r->overrides.trace, r->overrides.n_trace, &work, err);
    if (status == FS_OK)
        status = fs_topo_apply_faults(topo, work->faults, work->n_faults, err);
    if (status == FS_OK)
        status = work->inference ? fs_serve_run(topo, work, &o->run, &result, err)
                                 : fs_run(topo, work, &o->run, &result, err);
    if (status == FS_OK) {
        char command[4096];
        write_command(point, command, sizeof command);
        const fs_report_meta meta = {.version = FABSIM_VERSION, .command = command, .stable = true, .top_links = 20};
        fs_report_json(&result, &meta, out);
    }
    fs_result_free(&result);
    fs_work_free(work);
    return status;
}

fs_status fs_point_run(fs_point_runner *runner, const fs_point *point, fs_out *result, fs_err *err)
{
    options o;
    fs_nccl_table *table = NULL;
    fs_status status = read_settings(runner, point, &o, err);
    bool own_table = o.nccl_file || o.nccl_release || runner->overrides.n_nccl > 0;
    if (status == FS_OK && own_table)
        status = fs_nccl_table_load(o.nccl_file, o.nccl_release, runner->overrides.nccl, runner->overrides.n_nccl,
                                    &table, err);
    o.run.nccl = table;
    o.run.cache = own_table ? NULL : runner->cache; /* the table would have to outlive it */
    if (status == FS_OK)
        status = simulate(runner, point, &o, result, err);
    fs_nccl_table_free(table);
    return status;
}
