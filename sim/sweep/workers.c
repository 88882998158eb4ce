/* workers.c - the pool: hands out tasks, hears answers, replaces workers that died. See workers.h.
 *
 * One loop: fill idle slots while tasks and memory are left, wait for an answer, a deadline, a signal or the next tick.
 * A worker is forked when its slot first gets a task, and again after it died. Signals write into a pipe that the same
 * wait watches, so none can slip in between. */
#include "sweep/workers_in.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TICK_MS = 250, SAID_MAX = 4096 };

typedef struct slot {
    pid_t pid; /* 0: no worker */
    int socket;
    FILE *said; /* what the worker wrote to stderr; NULL: not kept */
    bool busy;
    uint32_t task;
    double start_s, predicted_bytes;
} slot;

typedef struct pool {
    const fs_workers_def *def;
    fs_cores *cores;
    bool bind;
    uint32_t n_slots, n_busy;
    uint32_t seen; /* tasks that were looked at, where they come in order */
    uint32_t next; /* the task to hand out next; FS_NONE: not looked up, or no more */
    double memory_bytes, taken_bytes;
    slot *slots;        /* (n_slots) */
    struct pollfd *fds; /* (n_slots + 1) the last is the signals' */
} pool;

/* ---- signals ------------------------------------------------------------------------------------------------------ */

static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
enum { N_CAUGHT = sizeof caught / sizeof *caught };
static int signal_pipe[2] = {-1, -1};

static void on_signal(int number)
{
    unsigned char byte = (unsigned char)number;
    int saved = errno;
    if (write(signal_pipe[1], &byte, 1) < 0) {
        /* the pipe is full of signals: the first of them will do */
    }
    errno = saved;
}

static fs_status catch_signals(struct sigaction old[N_CAUGHT], fs_err *err)
{
    if (pipe(signal_pipe) != 0)
        return fs_fail(err, FS_E_IO, "cannot make a pipe: %s", strerror(errno));
    for (int i = 0; i < 2; i++) {
        fcntl(signal_pipe[i], F_SETFD, FD_CLOEXEC);
        fcntl(signal_pipe[i], F_SETFL, O_NONBLOCK);
    }
    for (int i = 0; i < N_CAUGHT; i++) {
        struct sigaction mine = {.sa_handler = on_signal};
        if (sigaction(caught[i], NULL, &old[i]) == 0 && old[i].sa_handler != SIG_IGN)
            sigaction(caught[i], &mine, NULL);
    }
    return FS_OK;
}

static void release_signals(const struct sigaction old[N_CAUGHT])
{
    for (int i = 0; i < N_CAUGHT; i++)
        sigaction(caught[i], &old[i], NULL);
    for (int i = 0; i < 2; i++) {
        close(signal_pipe[i]);
        signal_pipe[i] = -1;
    }
}

void fs_workers_raise(int signal)
{
    raise(signal);
}

/* ---- one worker --------------------------------------------------------------------------------------------------- */

/* What ended a worker, in words; the slot is empty afterwards. */
static void bury(slot *s, bool kill_it, char *why, size_t size)
{
    char text[SAID_MAX] = "";
    int how = 0;
    if (kill_it)
        kill(s->pid, SIGKILL);
    while (waitpid(s->pid, &how, 0) < 0 && errno == EINTR)
        continue;
    if (s->said) {
        long length = fseek(s->said, 0, SEEK_END) == 0 ? ftell(s->said) : 0;
        if (length > 0 && fseek(s->said, length > SAID_MAX - 1 ? length - SAID_MAX + 1 : 0, SEEK_SET) == 0)
            text[fread(text, 1, sizeof text - 1, s->said)] = '\0';
        fclose(s->said);
    }
    size_t end = strlen(text);
    while (end > 0 && (text[end - 1] == '\n' || text[end - 1] == ' '))
        text[--end] = '\0';
    const char *line = strrchr(text, '\n') ? strrchr(text, '\n') + 1 : text;
    const char *colon = line[0] ? ": " : "";
    if (WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL)
        snprintf(why, size, "the worker was killed (SIGKILL), perhaps because memory ran out%s%s", colon, line);
    else if (WIFSIGNALED(how))
        snprintf(why, size, "the worker crashed (signal %d, %s)%s%s", WTERMSIG(how), strsignal(WTERMSIG(how)), colon,
                 line);
    else
        snprintf(why, size, "the worker ended by itself (status %d)%s%s", WEXITSTATUS(how), colon, line);
    close(s->socket);
    *s = (slot){.socket = -1};
}

static void start_child(pool *p, uint32_t i, int socket, pid_t parent)
{
    for (uint32_t k = 0; k < p->n_slots; k++) /* else the end of the pool would not close the others' */
        if (p->slots[k].pid)
            close(p->slots[k].socket);
    if (p->bind)
        fs_cores_bind(p->cores, i);
    fs_worker_main(p->def, socket, p->slots[i].said ? fileno(p->slots[i].said) : -1, parent);
}

static fs_status hire(pool *p, uint32_t i, fs_err *err)
{
    slot *s = &p->slots[i];
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        return fs_fail(err, FS_E_IO, "cannot make a socket pair for a worker: %s", strerror(errno));
    fcntl(pair[0], F_SETFD, FD_CLOEXEC);
    s->said = tmpfile();
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        close(pair[0]);
        start_child(p, i, pair[1], parent);
    }
    close(pair[1]);
    if (pid < 0) {
        int reason = errno;
        close(pair[0]);
        if (s->said)
            fclose(s->said);
        s->said = NULL;
        return fs_fail(err, FS_E_SIM, "cannot start a worker process: %s", strerror(reason));
    }
    s->pid = pid;
    s->socket = pair[0];
    return FS_OK;
}

/* ---- handing out -------------------------------------------------------------------------------------------------- */

static fs_status hand_out(pool *p, uint32_t i, double predicted_bytes, fs_err *err)
{
    slot *s = &p->slots[i];
    char why[SAID_MAX + 128];
    bool sent = s->pid && fs_socket_send(s->socket, &p->next, sizeof p->next);
    if (s->pid && !sent) /* it died while it had nothing to do */
        bury(s, true, why, sizeof why);
    if (!sent) {
        fs_status status = hire(p, i, err);
        if (status != FS_OK)
            return status;
        sent = fs_socket_send(s->socket, &p->next, sizeof p->next);
    }
    if (!sent) {
        bury(s, true, why, sizeof why);
        return fs_fail(err, FS_E_SIM, "a worker died before its first task: %.1000s", why);
    }
    s->busy = true;
    s->task = p->next;
    p->next = FS_NONE;
    s->start_s = fs_clock_s();
    s->predicted_bytes = predicted_bytes;
    p->taken_bytes += predicted_bytes;
    p->n_busy++;
    return FS_OK;
}

static fs_status look_ahead(pool *p, fs_err *err)
{
    if (p->next != FS_NONE)
        return FS_OK;
    if (p->def->next)
        return p->def->next(p->def->context, &p->next, err);
    p->next = p->seen < p->def->n_tasks ? p->seen++ : FS_NONE;
    return FS_OK;
}

static fs_status fill(pool *p, fs_err *err)
{
    for (uint32_t i = 0; i < p->n_slots; i++) {
        if (p->slots[i].busy)
            continue;
        fs_status looked = look_ahead(p, err);
        if (looked != FS_OK || p->next == FS_NONE)
            return looked;
        double bytes = p->def->predict_bytes ? p->def->predict_bytes(p->def->context, p->next) : 0;
        if (p->n_busy > 0 && p->taken_bytes + bytes > p->memory_bytes)
            return FS_OK;
        fs_status status = hand_out(p, i, bytes, err);
        if (status != FS_OK && p->n_busy > 0) /* too many processes: go on with those there are */
            return FS_OK;
        if (status != FS_OK)
            return status;
    }
    return FS_OK;
}

/* ---- answers ------------------------------------------------------------------------------------------------------ */

static fs_status tell(pool *p, slot *s, fs_task_end *end, fs_err *err)
{
    end->wall_s = fs_clock_s() - s->start_s;
    s->busy = false;
    p->n_busy--;
    p->taken_bytes -= s->predicted_bytes;
    if (p->n_busy == 0)
        p->taken_bytes = 0; /* and no rounding is left */
    return p->def->end ? p->def->end(p->def->context, s->task, end, err) : FS_OK;
}

/* The worker of a task is gone, or must go: for `reason` or, where that is NULL, for what it died of. */
static fs_status tell_dead(pool *p, slot *s, const char *reason, fs_err *err)
{
    char why[SAID_MAX + 128];
    fs_err what = {0};
    slot dead = *s;
    bury(s, reason != NULL, why, sizeof why);
    fs_task_end end = {.status = fs_fail(&what, FS_E_SIM, "%.1500s", reason ? reason : why), .error = &what};
    return tell(p, &dead, &end, err);
}

static fs_status hear(pool *p, slot *s, fs_err *err)
{
    fs_answer_head head;
    if (!fs_socket_receive(s->socket, &head, sizeof head))
        return tell_dead(p, s, NULL, err);
    char *bytes = fs_alloc((size_t)head.length + 1, 1);
    if (!bytes)
        return fs_fail_nomem(err);
    bytes[head.length] = '\0';
    if (!fs_socket_receive(s->socket, bytes, (size_t)head.length)) {
        fs_free(bytes);
        return tell_dead(p, s, NULL, err);
    }
    fs_err what;
    fs_task_end end = {.status = (fs_status)head.status, .peak_bytes = head.peak_bytes};
    if (end.status == FS_OK) {
        end.answer = bytes;
        end.length = (size_t)head.length;
    } else {
        memcpy(&what, bytes, sizeof what);
        end.error = &what;
    }
    fs_status status = tell(p, s, &end, err);
    fs_free(bytes);
    if (head.leaves) {
        char why[SAID_MAX + 128];
        bury(s, false, why, sizeof why);
    }
    return status;
}

static fs_status enforce_deadlines(pool *p, fs_err *err)
{
    fs_status status = FS_OK;
    double latest_s = fs_clock_s() - p->def->seconds_max;
    for (uint32_t i = 0; i < p->n_slots && p->def->seconds_max > 0 && status == FS_OK; i++) {
        char why[96];
        if (!p->slots[i].busy || p->slots[i].start_s > latest_s)
            continue;
        snprintf(why, sizeof why, "took longer than the limit of %g s", p->def->seconds_max);
        status = tell_dead(p, &p->slots[i], why, err);
    }
    return status;
}

/* ---- the loop ----------------------------------------------------------------------------------------------------- */

/* Milliseconds until something must be looked at even if nobody answers. */
static int patience(const pool *p)
{
    double wait_s = TICK_MS * 1e-3, now_s = fs_clock_s();
    for (uint32_t i = 0; i < p->n_slots && p->def->seconds_max > 0; i++)
        if (p->slots[i].busy && p->slots[i].start_s + p->def->seconds_max - now_s < wait_s)
            wait_s = p->slots[i].start_s + p->def->seconds_max - now_s;
    return wait_s > 0 ? (int)(wait_s * 1e3) + 1 : 0;
}

/* One wait and all that it brought. */
static fs_status attend(pool *p, int *signal, fs_err *err)
{
    for (uint32_t i = 0; i < p->n_slots; i++)
        p->fds[i] = (struct pollfd){.fd = p->slots[i].busy ? p->slots[i].socket : -1, .events = POLLIN};
    p->fds[p->n_slots] = (struct pollfd){.fd = signal_pipe[0], .events = POLLIN};
    if (poll(p->fds, p->n_slots + 1, patience(p)) < 0 && errno != EINTR)
        return fs_fail(err, FS_E_IO, "cannot wait for workers: %s", strerror(errno));
    unsigned char number = 0;
    if (read(signal_pipe[0], &number, 1) == 1) {
        *signal = number;
        return FS_OK;
    }
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < p->n_slots && status == FS_OK; i++)
        if (p->fds[i].fd >= 0 && p->fds[i].revents)
            status = hear(p, &p->slots[i], err);
    return status == FS_OK ? enforce_deadlines(p, err) : status;
}

static fs_status work_off(pool *p, int *signal, fs_err *err)
{
    fs_status status = fill(p, err);
    double ticked_s = 0;
    while (status == FS_OK && *signal == 0 && p->n_busy > 0) {
        status = attend(p, signal, err);
        if (p->def->tick && fs_clock_s() - ticked_s > TICK_MS * 1e-3) {
            ticked_s = fs_clock_s();
            p->def->tick(p->def->context);
        }
        if (status == FS_OK && *signal == 0)
            status = fill(p, err);
    }
    return status;
}

static fs_status open_pool(pool *p, fs_err *err)
{
    fs_status status = fs_cores_open(&p->cores, err);
    if (status != FS_OK)
        return status;
    uint32_t n_cores = fs_cores_count(p->cores);
    p->n_slots = p->def->n_workers ? p->def->n_workers : n_cores;
    if (p->n_slots > FS_WORKERS_MAX)
        return fs_fail(err, FS_E_USAGE, "%u workers asked for, at most %d are possible", p->n_slots, FS_WORKERS_MAX);
    p->bind = p->n_slots == n_cores;
    p->memory_bytes = p->def->memory_bytes > 0 ? p->def->memory_bytes : fs_workers_free_bytes();
    p->slots = fs_zalloc(p->n_slots, sizeof *p->slots);
    p->fds = fs_zalloc(p->n_slots + 1, sizeof *p->fds);
    return p->slots && p->fds ? FS_OK : fs_fail_nomem(err);
}

/* Busy workers, where any are left, are of no use to anybody. */
static void close_pool(pool *p)
{
    char why[SAID_MAX + 128];
    for (uint32_t i = 0; p->slots && i < p->n_slots; i++)
        if (p->slots[i].pid)
            bury(&p->slots[i], true, why, sizeof why);
    fs_free(p->slots);
    fs_free(p->fds);
    fs_cores_close(p->cores);
}

fs_status fs_workers_run(const fs_workers_def *def, int *signal, fs_err *err)
{
    struct sigaction old[N_CAUGHT];
    pool p = {.def = def, .next = FS_NONE};
    *signal = 0;
    fs_status status = open_pool(&p, err);
    if (status == FS_OK && (status = catch_signals(old, err)) == FS_OK) {
        status = work_off(&p, signal, err);
        close_pool(&p);
        release_signals(old);
        return status;
    }
    close_pool(&p);
    return status;
}
