/* workers.h - many independent tasks on the cores of one machine, each in a process of its own kind.
 *
 * Processes and not threads: SimGrid has one engine a process, a task that crashes or runs out of memory takes nothing
 * with it, and a limit can be enforced from outside. Workers are forked from the caller, so a task is a number, and
 * whatever the caller prepared (points, parsed topologies) is there without being sent. A worker does one task after
 * the other and may keep what it likes in between: its copy of the context is its own.
 *
 * One worker for each physical core that the process may use, bound to it with hwloc: two simulations on one core's
 * hardware threads take each other's cache. Fewer workers than cores are not bound, since they cannot know which cores
 * their neighbours take.
 *
 * Memory: a task starts when its predicted peak fits beside those that run into what the machine (and its cgroup) had
 * free, or when nothing else runs. Tasks start in order, so a large one waits until the small ones before it are done.
 *
 * A task ends well, fails, overruns its limits or takes its worker along; each is told to the caller, and the pool goes
 * on with a new worker. Only the caller's own error or a signal stops it. Workers die with their parent, also by
 * SIGKILL. */
#ifndef FS_WORKERS_H
#define FS_WORKERS_H

#include "base/file.h"

enum { FS_WORKERS_MAX = 1024 };

/* How a task ended. */
typedef struct fs_task_end {
    fs_status status;
    const char *answer; /* (length) what it wrote, NUL-terminated; NULL where it failed */
    size_t length;
    const fs_err *error; /* NULL where it did not fail */
    double wall_s;
    double peak_bytes; /* largest resident set of the worker during the task; 0 where it died */
} fs_task_end;

typedef struct fs_workers_def {
    uint32_t n_tasks;    /* tasks 0 .. n_tasks - 1 start in this order, or as `next` says, and end in any */
    uint32_t n_workers;  /* at most FS_WORKERS_MAX; 0: one for each physical core */
    double seconds_max;  /* of one task; 0: any */
    double bytes_max;    /* that one task may map beyond what its worker had; 0: any */
    double memory_bytes; /* of all running tasks, as predicted; 0: what is free */
    void *context;
    /* In the caller: the next task to start instead of 0, 1, ...; FS_NONE: there is none any more. NULL: in order. */
    fs_status (*next)(void *context, uint32_t *task, fs_err *err);
    double (*predict_bytes)(void *context, uint32_t task); /* peak of the worker; NULL: not known, all start */
    /* In a worker: write the answer or fail. */
    fs_status (*run)(void *context, uint32_t task, fs_out *answer, fs_err *err);
    /* In the caller: a task ended. An error from here stops the pool. */
    fs_status (*end)(void *context, uint32_t task, const fs_task_end *end, fs_err *err);
    void (*tick)(void *context); /* in the caller, some times a second; NULL: nothing */
} fs_workers_def;

/* Returns when all tasks have ended, when `end` failed, or on SIGINT, SIGTERM or SIGHUP (unless ignored before): then
 * *signal is its number and not 0, running tasks are killed and untold, and the caller finishes and raises it again
 * (fs_workers_raise). No pool inside a pool. */
FS_MUST_CHECK fs_status fs_workers_run(const fs_workers_def *def, int *signal, fs_err *err);
void fs_workers_raise(int signal);

/* Physical cores that this process may use; bytes that it may still take. */
uint32_t fs_workers_cores(void);
double fs_workers_free_bytes(void);

#endif
