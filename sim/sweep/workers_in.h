/* workers_in.h - the two ends of a worker. Private to sim/sweep.
 *
 * Over a socket pair, the pool sends numbers of tasks and the worker answers each with a head and `length` bytes: its
 * answer, or an fs_err. The end of the stream in place of a head means that the worker is gone. */
#ifndef FS_WORKERS_IN_H
#define FS_WORKERS_IN_H

#include "sweep/workers.h"

#include <stdbool.h>
#include <sys/types.h>

typedef struct fs_answer_head {
    uint64_t length;
    double peak_bytes;
    int32_t status;
    uint32_t leaves; /* 1: the worker ends itself after this answer */
} fs_answer_head;

/* In a new process: do tasks that come over `socket` until it closes. `diagnostics` gets stderr. */
_Noreturn void fs_worker_main(const fs_workers_def *def, int socket, int diagnostics, pid_t parent);

/* Whole buffers over a socket or none: false when the other end is gone. */
bool fs_socket_send(int socket, const void *bytes, size_t count);
bool fs_socket_receive(int socket, void *bytes, size_t count);

/* Where workers stand. */
typedef struct fs_cores fs_cores;
FS_MUST_CHECK fs_status fs_cores_open(fs_cores **cores, fs_err *err); /* those that this process may use */
void fs_cores_close(fs_cores *cores);
uint32_t fs_cores_count(const fs_cores *cores);
void fs_cores_bind(const fs_cores *cores, uint32_t i); /* this process to core i; where that is refused, anywhere */

#endif
