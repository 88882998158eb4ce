/* cmd_run.c - `fabsim TOPOLOGY.xml TRACE.json`: simulate and report. */
#include "cli/scale.h"
#include "cli/timeline_option.h"
#include "report/report.h"
#include "serve_run.h"

#include <string.h>

typedef struct arguments {
    const char *json, *csv, *dump_ops, *scale;
    fs_cli_timeline timeline;
    fs_timeline_options timeline_options; /* of it */
    bool quiet, stable;
    uint64_t seed, top, max_events;
    uint32_t network, lowering, cost, fold, scaling;
    double pue;
    fs_option_list sets, faults;
    fs_cli_nccl nccl;
} arguments;

static fs_status parse(arguments *a, int argc, char *const *argv, const char *values[FS_ARGUMENTS_MAX], bool *help,
                       fs_err *err)
{
    const fs_option options[] = {
        {"json", 0, FS_OPTION_TEXT, &a->json, "FILE", "Write the result as JSON; - is stdout and implies --quiet.",
         NULL, 0},
        {"csv", 0, FS_OPTION_TEXT, &a->csv, "DIR", "Write breakdown, tiers, links and communication as CSV files.",
         NULL, 0},
        {"timeline", 0, FS_OPTION_TEXT, &a->timeline.path, "FILE",
         "Write what happened when, for ui.perfetto.dev: .json, .pftrace, either with .gz; - is stdout\n"
         "and implies --quiet.",
         NULL, 0},
        {"timeline-format", 0, FS_OPTION_CHOICE, &a->timeline.kind, "NAME",
         "chrome, perfetto, or kineto: a folder with a file for each rank (default: by the name).",
         fs_timeline_kind_names, FS_TIMELINE_KINDS},
        {"timeline-ranks", 0, FS_OPTION_TEXT, &a->timeline.ranks, "N,N-N,...", "These ranks only.", NULL, 0},
        {"timeline-window", 0, FS_OPTION_TEXT, &a->timeline.window, "FROM..TO",
         "This time only: 0.5s..1.5s, 2s.., ..100ms.", NULL, 0},
        {"quiet", 'q', FS_OPTION_FLAG, &a->quiet, NULL, "No summary on stdout.", NULL, 0},
        {"set", 0, FS_OPTION_LIST, &a->sets, "KEY=VALUE",
         "Override a scalar: model.seq=2048, topo:nvlink2.bandwidth=50GB/s, nccl:hopper.nvls=0.8.", NULL, 0},
        {"fault", 0, FS_OPTION_LIST, &a->faults, "FAULT",
         "link:A-B=down, switch:NAME=0.5@1s..2s, nic:..., gpu:NAME=0.8: what fails, how far, when.", NULL, 0},
        {"scale", 0, FS_OPTION_TEXT, &a->scale, "N,N,...",
         "Run the training job on N GPUs, for each N, and print a scaling table.", NULL, 0},
        {"scaling", 0, FS_OPTION_CHOICE, &a->scaling, "weak|strong",
         "With --scale: the batch grows with the GPUs, or stays (default: what the trace says, else weak).",
         fs_scaling_names, FS_SCALINGS},
        {"cost", 0, FS_OPTION_CHOICE, &a->cost, "nccl|ideal",
         "Protocol costs of NCCL (default), or bare bandwidth and hop latency.", fs_cost_names, 2},
        FS_CLI_NCCL_OPTIONS(&a->nccl),
        {"lowering", 0, FS_OPTION_CHOICE, &a->lowering, "MODE",
         "coupled (default), flows, or messages: how collectives become transfers.", fs_lowering_names, 3},
        {"fold", 0, FS_OPTION_CHOICE, &a->fold, "auto|off",
         "Simulate one of each class of ranks and links that must behave alike (default), or all of them.",
         fs_fold_names, FS_FOLDS},
        {"network", 0, FS_OPTION_CHOICE, &a->network, "MODEL",
         "fabric (default), cm02 (stock SimGrid flows) or ns3 (packets; small sizes, no coupled lowering).",
         fs_network_names, 3},
        {"pue", 0, FS_OPTION_NUMBER, &a->pue, "X",
         "Power of the whole facility over that of its machines (default 1.2).", NULL, 0},
        {"seed", 0, FS_OPTION_UINT, &a->seed, "N", "Seed of everything random; reported in the result.", NULL, 0},
        {"top", 0, FS_OPTION_UINT, &a->top, "N", "How many links the JSON lists (default 20).", NULL, 0},
        {"stable", 0, FS_OPTION_FLAG, &a->stable, NULL,
         "Leave wall time and memory out of the JSON: same run, same bytes.", NULL, 0},
        {"max-events", 0, FS_OPTION_UINT, &a->max_events, "N", "Give up after N events.", NULL, 0},
        {"dump-ops", 0, FS_OPTION_TEXT, &a->dump_ops, "FILE", "Write the trace as explicit ops and stop.", NULL, 0},
    };
    static const char *const names[] = {"TOPOLOGY.xml", "TRACE.json"};
    const fs_command command = {
        .usage = "fabsim TOPOLOGY.xml TRACE.json [options]",
        .description =
            "Simulate one step of a training job (or a trace of operations) on a GPU fabric and report step\n"
            "time, where it went, and which links were loaded; or a model that is served (kind \"inference\"),\n"
            "and report latencies, throughput and the same of links.\n\n"
            "other commands (fabsim COMMAND --help):\n"
            "  fabsim coll TOPOLOGY.xml --op all_reduce    collective table, as nccl-tests prints it\n"
            "  fabsim kernel GPU KIND SIZE...              what a GPU kernel takes alone, and what bounds it\n"
            "  fabsim sweep SWEEP.json -o FILE.db          many points, kept in a database\n"
            "  fabsim topo TOPOLOGY.xml                    check and describe a topology\n"
            "  fabsim import hwloc NODE.xml -o BOARD.xml   a real node from an lstopo export\n"
            "  fabsim pareto TOPOLOGY.xml TRACE.json       operating points of a served model that nothing beats\n"
            "  fabsim factory TOPOLOGY.xml TRACE.json ...  systems side by side in a facility of given power\n"
            "  fabsim compare A.json B.json                what changed between two results, and why\n"
            "  fabsim report RESULT... -o REPORT.html      pictures of results\n"
            "  fabsim --version                            the version",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .arguments = names,
        .min_arguments = 2,
        .max_arguments = 2,
    };
    uint32_t n = 0;
    return fs_cli_parse(&command, argc, argv, values, &n, help, err);
}

static fs_status write_json(const fs_result *result, const arguments *a, const char *command_line, fs_err *err)
{
    fs_out *out = NULL;
    fs_status status = fs_out_open(a->json, &out, err);
    if (status != FS_OK)
        return status;
    const fs_report_meta meta = {.version = FABSIM_VERSION,
                                 .command = command_line,
                                 .stable = a->stable,
                                 .top_links = a->top < UINT32_MAX ? (uint32_t)a->top : UINT32_MAX};
    fs_report_json(result, &meta, out);
    return fs_out_close(out, err);
}

static fs_status write_text(const fs_result *result, fs_err *err)
{
    fs_out *out = NULL;
    fs_status status = fs_out_open("-", &out, err);
    if (status != FS_OK)
        return status;
    status = result->n_scaling ? fs_report_scaling(result, fs_cli_style(), out, err)
                               : fs_report_text(result, fs_cli_style(), out, err);
    return fs_out_finish(out, status, err);
}

static fs_status write_ops(const fs_work *work, const char *path, fs_err *err)
{
    fs_out *out = NULL;
    fs_status status = fs_out_open(path, &out, err);
    if (status != FS_OK)
        return status;
    fs_work_write_ops(work, out);
    return fs_out_close(out, err);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static fs_status check(const arguments *a, const char *const *values, const fs_scale_list *list, fs_err *err)
{
    if (ends_with(values[1], ".xml") && !ends_with(values[0], ".xml"))
        return fs_fail(err, FS_E_USAGE, "the topology comes first: fabsim %s %s", values[1], values[0]);
    if (a->json && a->timeline.path && strcmp(a->json, a->timeline.path) == 0)
        return fs_fail(err, FS_E_USAGE, "--json and --timeline cannot both go to '%s'", a->json);
    if (a->scale && a->dump_ops)
        return fs_fail(err, FS_E_USAGE, "--scale and --dump-ops exclude each other");
    if (a->scaling != FS_SCALING_AUTO && !a->scale)
        return fs_fail(err, FS_E_USAGE, "--scaling means nothing without --scale");
    if (list->count > 1 && a->network == FS_BACKEND_NS3)
        return fs_fail(err, FS_E_USAGE, "--network ns3 runs once in a process: one number for --scale");
    return FS_OK;
}

static fs_status report(const fs_result *result, const arguments *a, const char *command_line, fs_err *err)
{
    fs_status status = FS_OK;
    if (!a->quiet && !fs_cli_is_stdout(a->json) && !fs_cli_is_stdout(a->timeline.path))
        status = write_text(result, err);
    if (status == FS_OK && a->json)
        status = write_json(result, a, command_line, err);
    if (status == FS_OK && a->csv)
        status = fs_report_csv(result, a->csv, err);
    return status;
}

static fs_run_options run_options(const arguments *a)
{
    fs_run_options options = fs_run_default();
    options.network = (fs_backend)a->network;
    options.lowering = (fs_lowering_mode)a->lowering;
    options.cost = (fs_cost)a->cost;
    options.fold = (fs_fold_mode)a->fold;
    options.seed = a->seed;
    options.max_events = a->max_events;
    options.pictures = a->json != NULL;
    options.timeline = a->timeline.path;
    options.timeline_options = a->timeline_options;
    options.pue = a->pue;
    fs_cli_nccl_apply(&a->nccl, &options);
    return options;
}

/* What to simulate. */
typedef struct job {
    const arguments *arguments;
    const char *topology, *trace, *command_line;
    fs_scale_list scale;
    fs_overrides overrides;
    fs_cli_fault_list faults;
} job;

static fs_status simulate_one(const job *j, fs_topo *topo, fs_work **work, fs_result *result, fs_err *err)
{
    const fs_run_options options = run_options(j->arguments);
    fs_status status = fs_work_load(j->trace, j->overrides.trace, j->overrides.n_trace, work, err);
    if (status == FS_OK)
        status = fs_cli_apply_faults(topo, &j->faults, *work, err);
    if (status != FS_OK)
        return status;
    return (*work)->inference ? fs_serve_run(topo, *work, &options, result, err)
                              : fs_run(topo, *work, &options, result, err);
}

static fs_status simulate_scaled(const job *j, fs_topo *topo, fs_scaling_row *rows, fs_work **work, fs_result *result,
                                 fs_err *err)
{
    const fs_run_options options = run_options(j->arguments);
    const fs_scale_job scaled = {.topo = topo,
                                 .path = j->trace,
                                 .overrides = &j->overrides,
                                 .faults = &j->faults,
                                 .mode = (fs_scaling)j->arguments->scaling,
                                 .options = &options};
    return fs_scale_run(&scaled, &j->scale, rows, work, result, err);
}

static fs_status simulate(const job *j, fs_err *err)
{
    fs_topo *topo = NULL;
    fs_work *work = NULL;
    fs_result result = {0};
    fs_scaling_row rows[FS_SCALE_MAX];
    fs_status status = fs_topo_load(j->topology, j->overrides.topo, j->overrides.n_topo, &topo, err);
    if (status == FS_OK && j->scale.count > 0)
        status = simulate_scaled(j, topo, rows, &work, &result, err);
    else if (status == FS_OK)
        status = simulate_one(j, topo, &work, &result, err);
    if (status == FS_OK)
        status = report(&result, j->arguments, j->command_line, err);
    fs_result_free(&result);
    fs_work_free(work);
    fs_topo_free(topo);
    return status;
}

/* Needs no topology, but checks that it is one. */
static fs_status dump_ops(const job *j, fs_err *err)
{
    fs_topo *topo = NULL;
    fs_work *work = NULL;
    fs_status status = fs_topo_load(j->topology, j->overrides.topo, j->overrides.n_topo, &topo, err);
    if (status == FS_OK)
        status = fs_work_load(j->trace, j->overrides.trace, j->overrides.n_trace, &work, err);
    if (status == FS_OK && work->inference)
        status =
            fs_fail(err, FS_E_USAGE, "--dump-ops: an inference trace has no ops of its own; what runs depends on time");
    if (status == FS_OK)
        status = write_ops(work, j->arguments->dump_ops, err);
    fs_work_free(work);
    fs_topo_free(topo);
    return status;
}

fs_status fs_cmd_run(int argc, char *const *argv, const fs_call *call, fs_err *err)
{
    arguments a = {.top = 20, .pue = FS_PUE};
    const char *values[FS_ARGUMENTS_MAX];
    bool help = false;
    fs_status status = parse(&a, argc, argv, values, &help, err);
    if (status != FS_OK || help)
        return status;
    job j = {.arguments = &a, .topology = values[0], .trace = values[1], .command_line = call->text};
    status = fs_scale_parse(a.scale, &j.scale, err);
    if (status == FS_OK)
        status = check(&a, values, &j.scale, err);
    if (status == FS_OK)
        status = fs_cli_check_pue(a.pue, err);
    if (status == FS_OK)
        status = fs_out_check(a.json, err);
    if (status == FS_OK)
        status = fs_cli_timeline_read(&a.timeline, &a.timeline_options, err);
    if (status == FS_OK)
        status = fs_cli_prepare_network((fs_backend)a.network, call, err);
    if (status == FS_OK)
        status = fs_cli_overrides(&a.sets, &j.overrides, err);
    if (status == FS_OK)
        status = fs_cli_faults(&a.faults, &j.faults, err);
    if (status == FS_OK)
        status = fs_cli_nccl_load(&a.nccl, &j.overrides, err);
    if (status == FS_OK)
        status = a.dump_ops ? dump_ops(&j, err) : simulate(&j, err);
    fs_nccl_table_free(a.nccl.table);
    return status;
}
