/* cmd_pareto.c - `fabsim pareto TOPOLOGY.xml TRACE.json`: which layouts and loads nothing beats. */
#include "base/mem.h"
#include "cli/cli.h"
#include "pareto/pareto_report.h"
#include "sweep/workers.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

typedef struct arguments {
    const char *json, *csv;
    bool quiet;
    double ttft_s, tpot_s, pue;
    uint64_t points, gpus, concurrency, workers, seed;
    uint32_t by;
    fs_option_list sets;
    fs_overrides overrides;
} arguments;

static fs_status parse(arguments *a, int argc, char *const *argv, const char **values, bool *help, fs_err *err)
{
    const fs_option options[] = {
        {"by", 0, FS_OPTION_CHOICE, &a->by, "gpu|mw", "Throughput per GPU (default) or per MW of the facility.",
         fs_frontier_by_names, FS_FRONTIER_BYS},
        {"ttft", 0, FS_OPTION_TIME, &a->ttft_s, "TIME",
         "90 % of first tokens within this (default: the trace's slo, else none).", NULL, 0},
        {"tpot", 0, FS_OPTION_TIME, &a->tpot_s, "TIME",
         "90 % of requests with this for a token after the first (default: the trace's slo, else none).", NULL, 0},
        {"points", 0, FS_OPTION_UINT, &a->points, "N", "How many points to simulate, at most (default 200).", NULL, 0},
        {"gpus", 0, FS_OPTION_UINT, &a->gpus, "N", "GPUs of a candidate, at most (default: those of a rack, or 32).",
         NULL, 0},
        {"concurrency", 0, FS_OPTION_UINT, &a->concurrency, "N",
         "Requests under way at a time, at most (default 4096).", NULL, 0},
        {"workers", 0, FS_OPTION_UINT, &a->workers, "N", "Processes that work (default: one for each core).", NULL, 0},
        {"pue", 0, FS_OPTION_NUMBER, &a->pue, "X",
         "Power of the whole facility over that of its machines (default 1.2).", NULL, 0},
        {"seed", 0, FS_OPTION_UINT, &a->seed, "N", "Seed of everything random.", NULL, 0},
        {"set", 0, FS_OPTION_LIST, &a->sets, "KEY=VALUE",
         "Override a scalar of trace or topology, as for a simulation.", NULL, 0},
        {"json", 0, FS_OPTION_TEXT, &a->json, "FILE", "Write all points as JSON; - is stdout and implies --quiet.",
         NULL, 0},
        {"csv", 0, FS_OPTION_TEXT, &a->csv, "FILE", "Write all points as CSV; - is stdout and implies --quiet.", NULL,
         0},
        {"quiet", 'q', FS_OPTION_FLAG, &a->quiet, NULL, "No table on stdout.", NULL, 0},
    };
    static const char *const names[] = {"TOPOLOGY.xml", "TRACE.json"};
    const fs_command command = {
        .usage = "fabsim pareto TOPOLOGY.xml TRACE.json [options]",
        .description =
            "Search parallel layouts and loads of a served model (kind \"inference\") for the points that no other\n"
            "beats in both throughput and tokens/s per user. Each point is a closed loop on the first GPUs of the\n"
            "topology, simulated until its rate is steady.",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .arguments = names,
        .min_arguments = 2,
        .max_arguments = 2,
    };
    uint32_t n = 0;
    return fs_cli_parse(&command, argc, argv, values, &n, help, err);
}

static uint32_t terminal_width(void)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    int known = columns ? atoi(columns) : 0;
    return known > 0 && known < 1000 ? (uint32_t)known : 100;
}

static fs_status write_file(const fs_pareto_view *view, const char *path,
                            void (*write)(const fs_pareto_view *, fs_out *), fs_err *err)
{
    fs_out *out = NULL;
    fs_status status = path ? fs_out_open(path, &out, err) : FS_OK;
    if (status != FS_OK || !path)
        return status;
    write(view, out);
    return fs_out_close(out, err);
}

static fs_status write_text(const fs_pareto_view *view, fs_err *err)
{
    fs_out *out = NULL;
    fs_status status = fs_out_open("-", &out, err);
    if (status != FS_OK)
        return status;
    return fs_out_finish(out, fs_pareto_text(view, fs_cli_style(), out, err), err);
}

static fs_status report(const arguments *a, const fs_search_def *def, const fs_search *search, fs_err *err)
{
    uint32_t *frontier = fs_alloc(search->space.n + 1, sizeof *frontier);
    if (!frontier)
        return fs_fail_nomem(err);
    fs_pareto_view view = {
        .def = def, .search = search, .by = (fs_frontier_by)a->by, .frontier = frontier, .width = terminal_width()};
    view.n = fs_frontier(search->points, search->space.n, view.by, frontier);
    fs_status status = view.n == UINT32_MAX ? fs_fail_nomem(err) : FS_OK;
    if (status == FS_OK && !a->quiet && !fs_cli_is_stdout(a->json) && !fs_cli_is_stdout(a->csv))
        status = write_text(&view, err);
    if (status == FS_OK)
        status = write_file(&view, a->json, fs_pareto_json, err);
    if (status == FS_OK)
        status = write_file(&view, a->csv, fs_pareto_csv, err);
    if (status == FS_OK && view.n == 0)
        status = fs_fail(err, FS_E_SIM, "no point keeps the limits: raise --ttft or --tpot, or search more --points");
    fs_free(frontier);
    return status;
}

static fs_status search_and_report(const arguments *a, fs_topo *topo, const fs_work *work, fs_err *err)
{
    fs_run_options options = fs_run_default();
    fs_search search;
    int signal = 0;
    options.seed = a->seed;
    options.pue = a->pue;
    fs_search_def def = {.topo = topo, .work = work, .options = &options, .progress = stderr};
    fs_status status = fs_search_limit(&def, a->points, a->gpus, a->concurrency, a->workers, err);
    if (a->ttft_s > 0)
        def.limits.ttft_s = a->ttft_s;
    if (a->tpot_s > 0)
        def.limits.tpot_s = a->tpot_s;
    if (status == FS_OK)
        status = fs_search_run(&def, &search, &signal, err);
    if (status != FS_OK)
        return status;
    status = signal ? FS_OK : report(a, &def, &search, err);
    fs_search_free(&search);
    if (signal)
        fs_workers_raise(signal);
    return status;
}

fs_status fs_cmd_pareto(int argc, char *const *argv, const fs_call *call, fs_err *err)
{
    static arguments a; /* overrides are large */
    a = (arguments){.points = 200, .concurrency = 4096, .pue = FS_PUE};
    const char *values[FS_ARGUMENTS_MAX];
    bool help = false;
    fs_topo *topo = NULL;
    fs_work *work = NULL;
    (void)call;
    fs_status status = parse(&a, argc, argv, values, &help, err);
    if (status != FS_OK || help)
        return status;
    status = fs_cli_check_pue(a.pue, err);
    if (status == FS_OK)
        status = fs_out_check(a.json, err);
    if (status == FS_OK)
        status = fs_out_check(a.csv, err);
    if (status == FS_OK)
        status = fs_cli_overrides(&a.sets, &a.overrides, err);
    if (status == FS_OK)
        status = fs_topo_load(values[0], a.overrides.topo, a.overrides.n_topo, &topo, err);
    if (status == FS_OK)
        status = fs_work_load(values[1], a.overrides.trace, a.overrides.n_trace, &work, err);
    if (status == FS_OK)
        status = search_and_report(&a, topo, work, err);
    fs_work_free(work);
    fs_topo_free(topo);
    return status;
}
