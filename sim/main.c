/* main.c - which command was meant, and the one place where errors are printed.
 *
 * A trace through fabsim in reading order: cli/ reads the command line; topo/ reads and freezes the machine; work/
 * reads the job; run.c hands both to route/ and coll/ (what communication costs), gpu/ (what kernels cost), fold/ (what
 * must be simulated), sched/ and engine/ (the simulation), metric/ (where the time went) and report/ (the answer). */
#include "base/num.h"
#include "cli/cli.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct command {
    const char *name;
    fs_status (*run)(int argc, char *const *argv, const fs_call *call, fs_err *err);
} command;

enum { N_COMMANDS = 9 };
static const command commands[N_COMMANDS] = {
    {"coll", fs_cmd_coll},       {"kernel", fs_cmd_kernel},   {"sweep", fs_cmd_sweep},
    {"topo", fs_cmd_topo},       {"import", fs_cmd_import},   {"pareto", fs_cmd_pareto},
    {"factory", fs_cmd_factory}, {"compare", fs_cmd_compare}, {"report", fs_cmd_report}};

/* The command line as one string, cut at the buffer's end. */
static void join(int argc, char *const *argv, char *buffer, size_t size)
{
    size_t used = (size_t)snprintf(buffer, size, "fabsim");
    for (int i = 1; i < argc && used < size; i++)
        used += (size_t)snprintf(buffer + used, size - used, " %s", argv[i]);
}

/* A first word alone that is no file but nearly a command. */
static fs_status check_first_word(int argc, char *const *argv, fs_err *err)
{
    const char *names[N_COMMANDS];
    for (size_t i = 0; i < N_COMMANDS; i++)
        names[i] = commands[i].name;
    const char *near = argc >= 2 && access(argv[1], F_OK) != 0 ? fs_suggest(argv[1], names, N_COMMANDS) : NULL;
    return near ? fs_fail(err, FS_E_USAGE, "unknown command '%.60s' (did you mean '%s'?)", argv[1], near) : FS_OK;
}

static fs_status dispatch(int argc, char *const *argv, fs_err *err)
{
    char command_line[1024];
    join(argc, argv, command_line, sizeof command_line);
    const fs_call call = {.argv = argv, .text = command_line};
    if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
        printf("fabsim %s\n", FABSIM_VERSION);
        return fflush(stdout) == 0 ? FS_OK : fs_fail(err, FS_E_IO, "cannot write to stdout");
    }
    for (size_t i = 0; argc >= 2 && i < N_COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2, &call, err);
    if (argc == 2 && strcmp(argv[1], "help") == 0) {
        char *help[] = {argv[0], "--help"};
        return fs_cmd_run(1, help + 1, &call, err);
    }
    fs_status status = check_first_word(argc, argv, err);
    return status != FS_OK ? status : fs_cmd_run(argc - 1, argv + 1, &call, err);
}

/* Take half-written outputs along, then end as the signal would have ended us: a shell sees 130 after Ctrl-C. */
static void die(int signal)
{
    fs_out_abandon();
    raise(signal); /* SA_RESETHAND: now the default action */
}

static void clean_up_on_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction old, mine = {.sa_handler = die, .sa_flags = (int)SA_RESETHAND};
        /* nohup and background jobs ignore signals, and mean it */
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            sigaction(signals[i], &mine, NULL);
    }
}

int main(int argc, char **argv)
{
    clean_up_on_signals();
    fs_err err = {0};
    fs_status status = dispatch(argc, argv, &err);
    if (status != FS_OK) {
        char text[FS_ERR_FILE_MAX + FS_ERR_TEXT_MAX + 64];
        fs_err_format(&err, text, sizeof text);
        fprintf(stderr, "%s\n", text);
    }
    return fs_exit_status(status);
}
