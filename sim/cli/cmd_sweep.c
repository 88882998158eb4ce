/* cmd_sweep.c - `fabsim sweep`: compute the points of a sweep, merge databases, show and export them. */
#include "base/num.h"
#include "cli/sweep_cli.h"
#include "sweep/store.h"
#include "sweep/sweep_run.h"
#include "sweep/workers.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static fs_status parse(fs_sweep_arguments *a, int argc, char *const *argv, bool *help, fs_err *err)
{
    const fs_option options[] = {
        {"output", 'o', FS_OPTION_TEXT, &a->output, "FILE.db",
         "The database; points that it has are not computed again.", NULL, 0},
        {"jobs", 'j', FS_OPTION_UINT, &a->jobs, "N", "Worker processes (default: one for each physical core).", NULL,
         0},
        {"time-limit", 0, FS_OPTION_TEXT, &a->time_limit, "TIME", "Of a point: 90s, 500ms.", NULL, 0},
        {"memory-limit", 0, FS_OPTION_SIZE, &a->memory_limit, "SIZE", "Of a point: 4G.", NULL, 0},
        {"retry", 0, FS_OPTION_FLAG, &a->retry, NULL, "Compute failed points again.", NULL, 0},
        {"dry-run", 'n', FS_OPTION_FLAG, &a->dry_run, NULL, "Check the sweep file and say how many points it has.",
         NULL, 0},
        {"check", 0, FS_OPTION_FLAG, &a->check, NULL,
         "Compute nothing; exit status 0 if all points are there, 5 if some failed or are missing.", NULL, 0},
        {"quiet", 'q', FS_OPTION_FLAG, &a->quiet, NULL, "No progress and no summary.", NULL, 0},
        {"shard", 0, FS_OPTION_TEXT, &a->shard, "I/N",
         "Only points I, I + N, I + 2N, ... from 0 (default: from SLURM_ARRAY_TASK_ID and _COUNT).", NULL, 0},
        {"merge", 0, FS_OPTION_FLAG, &a->merge, NULL, "Take over all points of the databases named into that of -o.",
         NULL, 0},
        {"slurm", 0, FS_OPTION_FLAG, &a->slurm, NULL, "Submit the sweep as a Slurm array, and its merge behind it.",
         NULL, 0},
        {"tasks", 0, FS_OPTION_UINT, &a->tasks, "N", "With --slurm: array tasks, a shard each (default 16).", NULL, 0},
        {"resubmit", 0, FS_OPTION_TEXT, &a->resubmit, "I,J-K",
         "With --slurm: only these tasks again, with their failed points.", NULL, 0},
        {"sbatch", 0, FS_OPTION_LIST, &a->sbatch, "OPTION", "With --slurm: handed to sbatch, as --sbatch=--time=30.",
         NULL, 0},
        {"show", 0, FS_OPTION_FLAG, &a->show, NULL, "Print a table of the database named.", NULL, 0},
        {"where", 0, FS_OPTION_TEXT, &a->where, "CONDITION",
         "With --show: rows for which it holds: 'parallel.tp <= 8 && mfu > 0.4'.", NULL, 0},
        {"best", 0, FS_OPTION_TEXT, &a->best, "COLUMN",
         "With --show: best rows first, max:COLUMN or min:COLUMN (default: min for times, else max).", NULL, 0},
        {"group-by", 0, FS_OPTION_TEXT, &a->group_by, "COLUMN,...",
         "With --show: the best row of each group (needs --best).", NULL, 0},
        {"columns", 0, FS_OPTION_TEXT, &a->columns, "COLUMN,...",
         "With --show: these columns (default: what varies, and the main figures).", NULL, 0},
        {"sweep", 0, FS_OPTION_TEXT, &a->sweep, "NAME", "With --show: only the sweep of that name.", NULL, 0},
        {"top", 0, FS_OPTION_UINT, &a->top, "N", "With --show: at most N rows.", NULL, 0},
        {"csv", 0, FS_OPTION_TEXT, &a->csv, "FILE", "With --show: all columns as CSV instead; - is stdout.", NULL, 0},
        {"jsonl", 0, FS_OPTION_TEXT, &a->jsonl, "FILE", "With --show: a JSON object a line instead; - is stdout.", NULL,
         0},
    };
    static const char *const names[] = {"SWEEP.json or FILE.db"};
    const fs_command command = {
        .usage = "fabsim sweep SWEEP.json -o FILE.db [options], fabsim sweep --show FILE.db [options]",
        .description =
            "Simulate topologies x traces x settings in parallel processes and keep every point in a database.\n"
            "Interrupted sweeps go on where they were; failed points are rows with their message.\n"
            "docs/FORMATS.md describes sweep files and databases.\n\n"
            "exit status: 0 all points are there, 5 some failed, 130 after Ctrl-C, else as fabsim",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .arguments = names,
        .min_arguments = 1,
        .max_arguments = FS_ARGUMENTS_MAX,
    };
    return fs_cli_parse(&command, argc, argv, a->values, &a->n_values, help, err);
}

static fs_status check(const fs_sweep_arguments *a, fs_err *err)
{
    bool shows = a->where || a->best || a->group_by || a->columns || a->sweep || a->top || a->csv || a->jsonl;
    if (a->show + a->merge + a->slurm > 1)
        return fs_fail(err, FS_E_USAGE, "--show, --merge and --slurm exclude each other");
    if (shows && !a->show)
        return fs_fail(err, FS_E_USAGE,
                       "--where, --best, --group-by, --columns, --sweep, --top, --csv and --jsonl go "
                       "with --show");
    if ((a->tasks || a->resubmit || a->sbatch.count) && !a->slurm)
        return fs_fail(err, FS_E_USAGE, "--tasks, --resubmit and --sbatch go with --slurm");
    if (!a->show && !a->dry_run && !a->output)
        return fs_fail(err, FS_E_USAGE, "-o FILE.db is missing: where the points go");
    if (!a->merge && a->n_values > 1)
        return fs_fail(err, FS_E_USAGE, "unexpected argument '%s'", a->values[1]);
    if (a->group_by && !a->best)
        return fs_fail(err, FS_E_USAGE, "--group-by needs --best: which row stands for a group");
    if (a->jobs > FS_WORKERS_MAX)
        return fs_fail(err, FS_E_USAGE, "--jobs: at most %d", FS_WORKERS_MAX);
    return FS_OK;
}

/* "3/16", from 0. */
static fs_status read_shard(const char *text, fs_sweep_options *o, fs_err *err)
{
    char word[16] = "";
    uint64_t i = 0, n = 0;
    size_t length = strcspn(text, "/");
    if (length < sizeof word)
        memcpy(word, text, length);
    if (text[length] != '/' || fs_parse_uint(word, &i) != 0 || fs_parse_uint(text + length + 1, &n) != 0 || i >= n ||
        n > UINT32_MAX)
        return fs_fail(err, FS_E_USAGE, "--shard: expected I/N with I from 0 to N - 1, found '%s'", text);
    o->shard = (uint32_t)i;
    o->n_shards = (uint32_t)n;
    return FS_OK;
}

static bool from_environment(const char *name, uint64_t *out)
{
    const char *text = getenv(name);
    return text && fs_parse_uint(text, out) == 0;
}

/* A task of a whole array is a shard; of an array with gaps nobody knows of how many. */
static fs_status shard_of_array(fs_sweep_options *o, fs_err *err)
{
    uint64_t id = 0, count = 0, low = 0, high = 0;
    if (!from_environment("SLURM_ARRAY_TASK_ID", &id) || !from_environment("SLURM_ARRAY_TASK_COUNT", &count))
        return FS_OK;
    if (!from_environment("SLURM_ARRAY_TASK_MIN", &low))
        low = 0;
    if (!from_environment("SLURM_ARRAY_TASK_MAX", &high))
        high = low + count - 1;
    if (count == 0 || count > UINT32_MAX || high - low + 1 != count || id < low || id > high)
        return fs_fail(err, FS_E_USAGE, "this Slurm array has gaps: say --shard I/N, the task and how many there were");
    o->shard = (uint32_t)(id - low);
    o->n_shards = (uint32_t)count;
    return FS_OK;
}

static fs_status read_options(const fs_sweep_arguments *a, fs_sweep_options *o, fs_err *err)
{
    const char *why = "";
    *o = (fs_sweep_options){.database = a->output,
                            .n_workers = (uint32_t)a->jobs,
                            .bytes_max = a->memory_limit,
                            .retry = a->retry,
                            .check = a->check,
                            .progress = a->quiet ? NULL : stderr};
    if (a->time_limit && fs_parse_quantity(a->time_limit, FS_UNIT_SECONDS, &o->seconds_max, &why) != 0)
        return fs_fail(err, FS_E_USAGE, "--time-limit: %s", why);
    return a->shard ? read_shard(a->shard, o, err) : shard_of_array(o, err);
}

static fs_status summarize(const fs_sweep_arguments *a, const fs_sweep_summary *s, bool interrupted, fs_err *err)
{
    fs_out *out = NULL;
    char n[4][32];
    if (a->quiet)
        return FS_OK;
    fs_status status = fs_out_open("-", &out, err);
    if (status != FS_OK)
        return status;
    fs_out_printf(out, "%s points: %s there already, %s computed in %.1f s", fs_format_count(s->points, n[0], 32),
                  fs_format_count(s->there, n[1], 32), fs_format_count(s->computed, n[2], 32), s->seconds);
    if (s->computed > 0 && s->seconds > 0)
        fs_out_printf(out, " (%.*f /s)", s->computed / s->seconds < 10, s->computed / s->seconds);
    if (s->failed > 0)
        fs_out_printf(out, ", %s failed", fs_format_count(s->failed, n[3], 32));
    fs_out_puts(out, interrupted ? "; interrupted, the same command goes on\n" : "\n");
    return fs_out_close(out, err);
}

static fs_status compute(const fs_sweep_arguments *a, fs_err *err)
{
    fs_sweep *sweep = NULL;
    fs_sweep_options options;
    fs_sweep_summary summary = {0};
    int signal = 0;
    fs_status status = read_options(a, &options, err);
    if (status == FS_OK)
        status = fs_sweep_load(a->values[0], &sweep, err);
    if (status != FS_OK)
        return status;
    if (a->dry_run) {
        summary.points = fs_sweep_count(sweep);
        fs_sweep_free(sweep);
        return summarize(a, &summary, false, err);
    }
    status = fs_sweep_run(sweep, &options, &summary, &signal, err);
    fs_sweep_free(sweep);
    if (status == FS_OK)
        status = summarize(a, &summary, signal != 0, err);
    if (signal != 0)
        fs_workers_raise(signal);
    if (status == FS_OK && summary.missing > 0)
        return fs_fail(err, FS_E_POINTS, "%u of %u points are missing", summary.missing, summary.points);
    if (status == FS_OK && summary.failed > 0)
        return fs_fail(err, FS_E_POINTS,
                       "%u of %u points failed: fabsim sweep --show %s --where \"status == 'failed'\"", summary.failed,
                       summary.points, a->output);
    return status;
}

static fs_status merge(const fs_sweep_arguments *a, fs_err *err)
{
    fs_store *store = NULL;
    fs_status status = fs_store_open(a->output, true, &store, err);
    for (uint32_t i = 0; i < a->n_values && status == FS_OK; i++)
        status = fs_store_merge(store, a->values[i], err);
    fs_store_close(store);
    return status;
}

fs_status fs_cmd_sweep(int argc, char *const *argv, const fs_call *call, fs_err *err)
{
    fs_sweep_arguments a = {.call = call};
    bool help = false;
    fs_status status = parse(&a, argc, argv, &help, err);
    if (status != FS_OK || help)
        return status;
    status = check(&a, err);
    if (status != FS_OK)
        return status;
    if (a.show)
        return fs_sweep_show(&a, err);
    if (a.merge)
        return merge(&a, err);
    return a.slurm ? fs_sweep_slurm(&a, err) : compute(&a, err);
}
