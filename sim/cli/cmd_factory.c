/* cmd_factory.c - `fabsim factory TOPOLOGY.xml TRACE.json ...`: systems side by side in a facility of given power. */
#include "cli/cli.h"
#include "pareto/factory.h"
#include "sweep/workers.h"

typedef struct arguments {
    const char *json, *tiers;
    bool quiet, print_tiers;
    double power_W, pue, ttft_s;
    uint64_t points, gpus, concurrency, workers, seed;
} arguments;

enum { SYSTEMS_MAX = FS_ARGUMENTS_MAX / 2 };

/* A topology and a trace, and what the search found. */
typedef struct contender {
    fs_topo *topo;
    fs_work *work;
    fs_search search;
} contender;

static fs_status parse(arguments *a, int argc, char *const *argv, const char **values, uint32_t *n, bool *help,
                       fs_err *err)
{
    const fs_option options[] = {
        {"power", 0, FS_OPTION_POWER, &a->power_W, "POWER", "Of the facility (default 1GW).", NULL, 0},
        {"pue", 0, FS_OPTION_NUMBER, &a->pue, "X",
         "Power of the whole facility over that of its machines (default 1.2).", NULL, 0},
        {"tiers", 0, FS_OPTION_TEXT, &a->tiers, "FILE.json",
         "What tokens are sold at (default: those of the GTC 2026 keynote).", NULL, 0},
        {"print-tiers", 0, FS_OPTION_FLAG, &a->print_tiers, NULL, "Print the file of these, to change for --tiers.",
         NULL, 0},
        {"ttft", 0, FS_OPTION_TIME, &a->ttft_s, "TIME",
         "90 % of first tokens within this (default: each trace's slo, else none).", NULL, 0},
        {"points", 0, FS_OPTION_UINT, &a->points, "N", "Points to simulate for each system, at most (default 100).",
         NULL, 0},
        {"gpus", 0, FS_OPTION_UINT, &a->gpus, "N", "GPUs of a replica, at most (default: those of a rack, or 32).",
         NULL, 0},
        {"concurrency", 0, FS_OPTION_UINT, &a->concurrency, "N",
         "Requests under way at a time on a replica, at most (default 4096).", NULL, 0},
        {"workers", 0, FS_OPTION_UINT, &a->workers, "N", "Processes that work (default: one for each core).", NULL, 0},
        {"seed", 0, FS_OPTION_UINT, &a->seed, "N", "Seed of everything random.", NULL, 0},
        {"json", 0, FS_OPTION_TEXT, &a->json, "FILE", "Write JSON; - is stdout and implies --quiet.", NULL, 0},
        {"quiet", 'q', FS_OPTION_FLAG, &a->quiet, NULL, "No table on stdout.", NULL, 0},
    };
    static const char *const names[] = {"TOPOLOGY.xml", "TRACE.json"};
    const fs_command command = {
        .usage = "fabsim factory TOPOLOGY.xml TRACE.json [TOPOLOGY.xml TRACE.json ...] [options]",
        .description =
            "Compare systems that serve a model in a facility of given power: for each price tier the best\n"
            "operating point that is fast enough for it, how many replicas fit into its share of the power,\n"
            "tokens/s, and what they sell for.",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .arguments = names,
        .min_arguments = 0, /* none with --print-tiers */
        .max_arguments = FS_ARGUMENTS_MAX,
    };
    return fs_cli_parse(&command, argc, argv, values, n, help, err);
}

static fs_status search(const arguments *a, const char *topology, const char *trace, contender *c, int *signal,
                        fs_err *err)
{
    fs_run_options options = fs_run_default();
    options.seed = a->seed;
    options.pue = a->pue;
    fs_status status = fs_topo_load(topology, NULL, 0, &c->topo, err);
    if (status == FS_OK)
        status = fs_work_load(trace, NULL, 0, &c->work, err);
    if (status != FS_OK)
        return status;
    fs_search_def def = {.topo = c->topo, .work = c->work, .options = &options, .progress = stderr};
    status = fs_search_limit(&def, a->points, a->gpus, a->concurrency, a->workers, err);
    def.limits.tpot_s = 0; /* that is what tiers are about */
    if (a->ttft_s > 0)
        def.limits.ttft_s = a->ttft_s;
    return status == FS_OK ? fs_search_run(&def, &c->search, signal, err) : status;
}

static fs_status write_out(const fs_factory *f, const char *path, bool json, fs_err *err)
{
    fs_out *out = NULL;
    fs_status status = fs_out_open(path, &out, err);
    if (status != FS_OK)
        return status;
    if (json)
        fs_factory_json(f, out);
    else
        status = fs_factory_text(f, fs_cli_style(), out, err);
    return fs_out_finish(out, status, err);
}

static fs_status print_tiers(fs_err *err)
{
    fs_out *out = NULL;
    fs_status status = fs_out_open("-", &out, err);
    if (status != FS_OK)
        return status;
    fs_tiers_print(out);
    return fs_out_close(out, err);
}

static fs_status report(const arguments *a, const fs_factory *f, fs_err *err)
{
    fs_status status = FS_OK;
    double replicas = 0;
    bool any = false; /* point that is fast enough for a tier */
    if (!a->quiet && !fs_cli_is_stdout(a->json))
        status = write_out(f, "-", false, err);
    if (status == FS_OK && a->json)
        status = write_out(f, a->json, true, err);
    for (uint32_t r = 0; r < f->n; r++) {
        replicas += f->rows[r].total.replicas;
        for (uint32_t t = 0; t < f->tiers->n; t++)
            any = any || f->rows[r].lines[t].point;
    }
    if (status == FS_OK && !any)
        status =
            fs_fail(err, FS_E_SIM,
                    "no system has a point that keeps the limit of first tokens and is fast enough for a tier: raise "
                    "--ttft, search more --points, or other tiers");
    if (status == FS_OK && replicas < 1)
        status = fs_fail(err, FS_E_SIM, "not one replica of any system fits: more --power, or other tiers");
    return status;
}

fs_status fs_cmd_factory(int argc, char *const *argv, const fs_call *call, fs_err *err)
{
    arguments a = {.power_W = 1e9, .pue = FS_PUE, .points = 100, .concurrency = 4096};
    const char *values[FS_ARGUMENTS_MAX];
    contender contenders[SYSTEMS_MAX] = {0};
    fs_factory_row rows[SYSTEMS_MAX] = {0};
    fs_tiers tiers;
    uint32_t n = 0;
    int signal = 0;
    bool help = false;
    (void)call;
    fs_status status = parse(&a, argc, argv, values, &n, &help, err);
    if (status != FS_OK || help)
        return status;
    if (a.print_tiers)
        return print_tiers(err);
    if (n == 0)
        return fs_fail(err, FS_E_USAGE, "missing TOPOLOGY.xml and TRACE.json, a pair for each system");
    if (n % 2 != 0)
        return fs_fail(err, FS_E_USAGE, "topologies and traces come in pairs: '%s' has no trace", values[n - 1]);
    status = fs_cli_check_pue(a.pue, err);
    if (status == FS_OK)
        status = fs_out_check(a.json, err);
    if (status == FS_OK)
        status = fs_tiers_read(a.tiers, &tiers, err);
    fs_factory f = {.power_W = a.power_W, .pue = a.pue, .tiers = &tiers, .rows = rows};
    for (; f.n < n / 2 && status == FS_OK && !signal; f.n++) {
        contender *c = &contenders[f.n];
        status = search(&a, values[2 * (size_t)f.n], values[2 * (size_t)f.n + 1], c, &signal, err);
        if (status == FS_OK && !signal) {
            rows[f.n] = (fs_factory_row){.system = c->topo->name, .trace = c->work->name};
            fs_factory_fill(&f, &c->search, &rows[f.n]);
        }
    }
    if (status == FS_OK && !signal)
        status = report(&a, &f, err);
    for (uint32_t i = 0; i < SYSTEMS_MAX; i++) {
        fs_search_free(&contenders[i].search);
        fs_work_free(contenders[i].work);
        fs_topo_free(contenders[i].topo);
    }
    if (signal)
        fs_workers_raise(signal);
    return status;
}
