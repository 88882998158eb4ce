/* worker.c - the inside of a worker process, see workers_in.h. */
#include "sweep/workers_in.h"

#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

bool fs_socket_send(int socket, const void *bytes, size_t count)
{
    for (const char *at = bytes; count > 0;) {
        ssize_t n = send(socket, at, count, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        count -= (size_t)n;
    }
    return true;
}

bool fs_socket_receive(int socket, void *bytes, size_t count)
{
    for (char *at = bytes; count > 0;) {
        ssize_t n = recv(socket, at, count, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        count -= (size_t)n;
    }
    return true;
}

/* What a terminal sends to all of its group is for the pool to decide; SIGTERM and crashes end a worker at once, whatever
 * the caller's handlers would do. */
static void set_signals(void)
{
    static const int ends[] = {SIGTERM, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct sigaction ignore = {.sa_handler = SIG_IGN}, standard = {.sa_handler = SIG_DFL};
    sigaction(SIGINT, &ignore, NULL);
    sigaction(SIGHUP, &ignore, NULL);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        sigaction(ends[i], &standard, NULL);
}

/* Largest resident set since the last call. "5" resets what the kernel remembers (proc(5), clear_refs); where that is
 * not allowed, the peak is that of all tasks so far. */
static double take_peak(void)
{
    struct rusage use;
    double peak = getrusage(RUSAGE_SELF, &use) == 0 ? (double)use.ru_maxrss * 1024 : 0;
    FILE *reset = fopen("/proc/self/clear_refs", "w");
    if (reset) {
        fputs("5", reset);
        fclose(reset);
    }
    return peak;
}

static double mapped_bytes(void)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm) {
        if (fscanf(statm, "%lu", &pages) != 1)
            pages = 0;
        fclose(statm);
    }
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Beyond the limit allocations fail, which C code reports; libraries in C++ end the process instead. */
static void limit_memory(double bytes)
{
    struct rlimit limit;
    if (bytes <= 0 || getrlimit(RLIMIT_AS, &limit) != 0)
        return;
    rlim_t wanted = (rlim_t)(mapped_bytes() + bytes);
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY || wanted < limit.rlim_max ? wanted : limit.rlim_max;
    (void)setrlimit(RLIMIT_AS, &limit);
}

/* False: the pool is gone. */
static bool do_task(const fs_workers_def *def, int socket, uint32_t task, fs_answer_head *head)
{
    fs_out *out = NULL;
    fs_err err = {0};
    char *answer = NULL;
    size_t length = 0;
    limit_memory(def->bytes_max);
    fs_status status = fs_out_memory(&out, &err);
    if (status == FS_OK) {
        status = def->run(def->context, task, out, &err);
        if (status == FS_OK)
            status = fs_out_take(out, &answer, &length, &err);
        else
            fs_out_discard(out);
    }
    *head = (fs_answer_head){.length = status == FS_OK ? length : sizeof err,
                             .peak_bytes = take_peak(),
                             .status = (int32_t)status,
                             .leaves = status == FS_E_NOMEM}; /* with it go the remains */
    bool sent = fs_socket_send(socket, head, sizeof *head) &&
                fs_socket_send(socket, status == FS_OK ? (const void *)answer : &err, (size_t)head->length);
    fs_free(answer);
    return sent;
}

_Noreturn void fs_worker_main(const fs_workers_def *def, int socket, int diagnostics, pid_t parent)
{
    set_signals();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before the line above */
        _exit(0);
    if (diagnostics >= 0)
        dup2(diagnostics, STDERR_FILENO);
    uint32_t task = 0;
    fs_answer_head head = {0};
    (void)take_peak();
    while (!head.leaves && fs_socket_receive(socket, &task, sizeof task) && do_task(def, socket, task, &head))
        continue;
    _exit(0); /* no exit handlers: what they would flush or remove is the parent's */
}
