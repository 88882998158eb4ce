/* run_power.h - what a job's share of the machine draws. Private to run.c and serve_*.c.
 *
 * GPUs and LPUs: idle + (rated - idle) x busy, linear in the part of the time that they are not idle. All else - CPUs and what
 * stands around them, NICs, switches - draws its rated power all the time: memory, fans and ports do not rest with the
 * kernels. A job answers for the devices of a unit (a board with all that is placed in it) in the proportion of the unit's
 * GPUs that it uses, and for the switches between units in the proportion of the machine's. Devices whose part says no power count
 * nothing. The facility draws PUE times that. */
#ifndef FS_RUN_POWER_H
#define FS_RUN_POWER_H

#include "report/result.h"

typedef struct fs_busy {
    double gpus, lpus;
} fs_busy;

/* busy: means over the ranks of a kind weighted by rated power, [0, 1]. All zero where a rank's GPU says no power. */
fs_power fs_run_power(const fs_topo *topo, const fs_work *work, fs_busy busy, double pue);
/* That part of a step, from its breakdown: ranks compute or communicate. Kernels of NCCL keep a GPU as busy as any. */
double fs_run_busy(const fs_result *result);

#endif
