/* sweep_slurm.c - `fabsim sweep --slurm`: the sweep as arrays of Slurm tasks, and the merge behind them.
 *
 * Each task computes a shard into a database of its own (FILE.db.shard-I-of-N): SQLite's log needs memory that all
 * writers share, which nodes do not. Tasks beyond MaxArraySize, the cluster's limit, go into further arrays whose scripts
 * add an offset. The merge runs after all of them, however they ended, and says which tasks are incomplete and how to
 * submit them again: it is the one who sees all. */
#include "base/num.h"
#include "cli/sweep_cli.h"
#include "sweep/sweep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TASKS_DEFAULT = 16, TASKS_MAX = FS_ARGUMENTS_MAX, WORD_MAX = 4096, IDS_MAX = 65536 };

typedef struct submission {
    const fs_sweep_arguments *a;
    uint32_t n_tasks;
    uint32_t array_max; /* tasks in an array */
    bool wanted[TASKS_MAX];
    char program[WORD_MAX], script[WORD_MAX]; /* this program; the tasks' script */
    char ids[IDS_MAX];                        /* of the arrays, with ':' before each */
} submission;

/* ---- commands ----------------------------------------------------------------------------------------------------- */

/* A word for a shell: within single quotes. */
static void write_word(fs_out *out, const char *word)
{
    fs_out_puts(out, "'");
    for (; *word; word++)
        fs_out_write(out, *word == '\'' ? "'\\''" : word, *word == '\'' ? 4 : 1);
    fs_out_puts(out, "'");
}

/* The first line that a command prints. */
static fs_status ask(char *const *argv, char *line, size_t size, fs_err *err)
{
    int ends[2], how = 0;
    if (pipe(ends) != 0)
        return fs_fail(err, FS_E_IO, "cannot make a pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(ends[1]);
    FILE *file = pid > 0 ? fdopen(ends[0], "r") : NULL;
    line[0] = '\0';
    bool more = file && fgets(line, (int)size, file);
    for (char rest[256]; more && fgets(rest, sizeof rest, file);)
        continue;
    if (file)
        fclose(file);
    while (pid > 0 && waitpid(pid, &how, 0) < 0 && errno == EINTR)
        continue;
    line[strcspn(line, "\n")] = '\0';
    if (pid > 0 && WIFEXITED(how) && WEXITSTATUS(how) == 0)
        return FS_OK;
    return fs_fail(err, FS_E_IO,
                   pid > 0 && WIFEXITED(how) && WEXITSTATUS(how) == 127 ? "cannot run %s: is Slurm installed here?"
                                                                        : "%s failed",
                   argv[0]);
}

/* MaxArraySize is one more than the largest index. Without an answer, Slurm's default. */
static uint32_t ask_array_max(void)
{
    enum { DEFAULT = 1001 };
    char *const argv[] = {"sh", "-c", "scontrol show config | sed -n 's/^MaxArraySize *= *//p'", NULL};
    char line[64];
    uint64_t size = 0;
    fs_err ignored;
    if (ask(argv, line, sizeof line, &ignored) != FS_OK || fs_parse_uint(line, &size) != 0 || size < 2)
        size = DEFAULT;
    return size - 1 < TASKS_MAX ? (uint32_t)size - 1 : TASKS_MAX;
}

/* ---- scripts ------------------------------------------------------------------------------------------------------ */

static fs_status open_script(const char *path, fs_out **out, fs_err *err)
{
    fs_status status = fs_out_open(path, out, err);
    if (status == FS_OK)
        fs_out_puts(*out, "#!/bin/bash\n");
    return status;
}

static void write_flag(fs_out *out, const char *flag, const char *value)
{
    if (!value)
        return;
    fs_out_printf(out, " %s", flag);
    write_word(out, value);
}

/* "PROGRAM sweep FILE -o DATABASE", each a word. */
static void write_sweep(const submission *s, fs_out *out)
{
    write_word(out, s->program);
    fs_out_puts(out, " sweep ");
    write_word(out, s->a->values[0]);
    fs_out_puts(out, " -o ");
    write_word(out, s->a->output);
}

/* The options that every task gets. */
static void write_limits(const submission *s, fs_out *out)
{
    write_flag(out, "--time-limit=", s->a->time_limit);
    if (s->a->memory_limit > 0)
        fs_out_printf(out, " --memory-limit=%.0fB", s->a->memory_limit);
    if (s->a->jobs)
        fs_out_printf(out, " --jobs=%u", (uint32_t)s->a->jobs);
}

/* $1: what to add to the task's number. */
static fs_status write_tasks(const submission *s, fs_err *err)
{
    fs_out *out = NULL;
    fs_status status = open_script(s->script, &out, err);
    if (status != FS_OK)
        return status;
    fs_out_printf(
        out,
        "# One task of the sweep: a shard into a database of its own.\ntask=$((SLURM_ARRAY_TASK_ID + ${1:-0}))\nexec ");
    write_sweep(s, out);
    fs_out_printf(out, "\".shard-$task-of-%u\" --shard \"$task/%u\" --quiet --retry", s->n_tasks, s->n_tasks);
    write_limits(s, out);
    fs_out_puts(out, "\n");
    return fs_out_close(out, err);
}

static void write_resubmission(const submission *s, fs_out *out)
{
    write_sweep(s, out);
    fs_out_printf(out, " --slurm --tasks=%u", s->n_tasks);
    for (uint32_t i = 0; i < s->a->sbatch.count; i++)
        write_flag(out, "--sbatch=", s->a->sbatch.values[i]);
    write_limits(s, out);
}

/* Merge what there is; then see, shard by shard, what is missing or failed. */
static fs_status write_merge(const submission *s, const char *path, fs_err *err)
{
    fs_out *out = NULL;
    fs_status status = open_script(path, &out, err);
    if (status != FS_OK)
        return status;
    fs_out_puts(out, "# After all tasks, however they ended: merge, and say which are to be submitted again.\nfabsim=");
    write_word(out, s->program);
    fs_out_puts(out, "\nout=");
    write_word(out, s->a->output);
    fs_out_puts(out, "\nsweep=");
    write_word(out, s->a->values[0]);
    fs_out_printf(
        out,
        "\nshards=()\nagain=()\n"
        "for ((i = 0; i < %u; i++)); do\n"
        "    shard=$out.shard-$i-of-%u\n"
        "    [ -f \"$shard\" ] && shards+=(\"$shard\")\n"
        "    \"$fabsim\" sweep \"$sweep\" -o \"$shard\" --shard \"$i/%u\" --check >/dev/null 2>&1 || again+=(\"$i\")\n"
        "done\n"
        "[ ${#shards[@]} -eq 0 ] || \"$fabsim\" sweep --merge -o \"$out\" \"${shards[@]}\" || exit 1\n"
        "if [ ${#again[@]} -eq 0 ]; then\n"
        "    echo \"all %u tasks are complete\"\n"
        "    exit 0\n"
        "fi\n"
        "list=$(IFS=,; echo \"${again[*]}\")\n"
        "echo \"failed tasks: $list\"\n"
        "cat <<'END'\nto submit them again:\n  ",
        s->n_tasks, s->n_tasks, s->n_tasks, s->n_tasks);
    write_resubmission(s, out);
    fs_out_puts(out, " \\\nEND\necho \"    --resubmit=$list\"\nexit 5\n");
    return fs_out_close(out, err);
}

/* ---- submission --------------------------------------------------------------------------------------------------- */

static fs_status submit(const submission *s, const char *const *own, uint32_t n_own, char *id, size_t size, fs_err *err)
{
    const char *argv[FS_OPTION_LIST_MAX + 16] = {"sbatch", "--parsable"};
    uint32_t n = 2;
    for (uint32_t i = 0; i < s->a->sbatch.count; i++)
        argv[n++] = s->a->sbatch.values[i];
    for (uint32_t i = 0; i < n_own; i++)
        argv[n++] = own[i];
    fs_status status = ask((char *const *)(uintptr_t)argv, id, size, err);
    id[strcspn(id, ";")] = '\0'; /* the cluster's name may follow */
    return status;
}

/* The wanted tasks of one array: "0-3,7", as numbers within it; how many there are. */
static uint32_t list_tasks(const submission *s, uint32_t first, char *text, size_t size)
{
    uint32_t count = 0, end = first + s->array_max < s->n_tasks ? first + s->array_max : s->n_tasks;
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = first; i < end && used + 32 < size; i++) {
        uint32_t last = i;
        if (!s->wanted[i])
            continue;
        while (last + 1 < end && s->wanted[last + 1])
            last++;
        used += (size_t)snprintf(text + used, size - used, last > i ? "%s%u-%u" : "%s%u", used ? "," : "", i - first,
                                 last - first);
        count += last - i + 1;
        i = last;
    }
    return count;
}

static fs_status submit_arrays(submission *s, fs_out *out, fs_err *err)
{
    static char list[WORD_MAX * 4], array[WORD_MAX * 4 + 16];
    fs_status status = FS_OK;
    for (uint32_t first = 0; first < s->n_tasks && status == FS_OK; first += s->array_max) {
        char id[64], offset[16], log[WORD_MAX + 32];
        uint32_t count = list_tasks(s, first, list, sizeof list);
        if (count == 0)
            continue;
        snprintf(array, sizeof array, "--array=%s", list);
        snprintf(offset, sizeof offset, "%u", first);
        snprintf(log, sizeof log, "--output=%s.slurm-%%A_%%a.log", s->a->output);
        const char *own[] = {array, log, s->script, offset};
        status = submit(s, own, 4, id, sizeof id, err);
        if (status != FS_OK)
            break;
        size_t used = strlen(s->ids);
        snprintf(s->ids + used, sizeof s->ids - used, ":%s", id);
        fs_out_printf(out, "array %s: %u tasks from %u\n", id, count, first);
    }
    return status;
}

static fs_status submit_merge(submission *s, fs_out *out, fs_err *err)
{
    static char dependency[IDS_MAX + 32];
    char path[WORD_MAX + 16], log[WORD_MAX + 32], id[64];
    snprintf(path, sizeof path, "%s.merge.sh", s->a->output);
    snprintf(log, sizeof log, "--output=%s.merge.log", s->a->output);
    snprintf(dependency, sizeof dependency, "--dependency=afterany%s", s->ids);
    fs_status status = write_merge(s, path, err);
    const char *own[] = {dependency, log, path};
    if (status == FS_OK)
        status = submit(s, own, 3, id, sizeof id, err);
    if (status == FS_OK)
        fs_out_printf(out, "merge %s after them, into %s; which tasks failed will be in %s.merge.log\n", id,
                      s->a->output, s->a->output);
    return status;
}

/* "3,7-9": into the tasks wanted. */
static fs_status read_wanted(submission *s, fs_err *err)
{
    for (uint32_t i = 0; i < s->n_tasks; i++)
        s->wanted[i] = !s->a->resubmit;
    for (const char *at = s->a->resubmit; at;) {
        char word[32] = "";
        uint64_t from = 0, to = 0;
        size_t n = strcspn(at, ",");
        if (n < sizeof word)
            memcpy(word, at, n);
        char *dash = strchr(word, '-');
        if (dash)
            *dash = '\0';
        if (fs_parse_uint(word, &from) != 0 || fs_parse_uint(dash ? dash + 1 : word, &to) != 0 || from > to ||
            to >= s->n_tasks)
            return fs_fail(err, FS_E_USAGE, "--resubmit: expected tasks below %u, as 3,7-9, found '%s'", s->n_tasks,
                           s->a->resubmit);
        for (; from <= to; from++)
            s->wanted[from] = true;
        at = at[n] ? at + n + 1 : NULL;
    }
    return FS_OK;
}

static fs_status prepare(submission *s, fs_err *err)
{
    if (s->a->tasks > TASKS_MAX)
        return fs_fail(err, FS_E_USAGE, "--tasks: at most %d", TASKS_MAX);
    if (strlen(s->a->output) > WORD_MAX - 64)
        return fs_fail(err, FS_E_USAGE, "-o: longer than %d bytes", WORD_MAX - 64);
    s->n_tasks = s->a->tasks ? (uint32_t)s->a->tasks : TASKS_DEFAULT;
    ssize_t length = readlink("/proc/self/exe", s->program, sizeof s->program - 1);
    if (length < 0)
        snprintf(s->program, sizeof s->program, "%s", s->a->call->argv[0]);
    snprintf(s->script, sizeof s->script, "%s.task.sh", s->a->output);
    fs_sweep *sweep = NULL; /* errors now and not in every task */
    fs_status status = fs_sweep_load(s->a->values[0], &sweep, err);
    fs_sweep_free(sweep);
    if (status == FS_OK)
        status = read_wanted(s, err);
    s->array_max = ask_array_max();
    return status == FS_OK ? write_tasks(s, err) : status;
}

fs_status fs_sweep_slurm(const fs_sweep_arguments *a, fs_err *err)
{
    static submission s;
    fs_out *out = NULL;
    s.a = a;
    fs_status status = prepare(&s, err);
    if (status == FS_OK)
        status = fs_out_open("-", &out, err);
    if (status != FS_OK)
        return status;
    status = submit_arrays(&s, out, err);
    if (status == FS_OK)
        status = submit_merge(&s, out, err);
    return fs_out_finish(out, status, err);
}
