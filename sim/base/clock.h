/* clock.h - time that passes here, not in the simulation. */
#ifndef FS_CLOCK_H
#define FS_CLOCK_H

/* Seconds of the monotonic clock: only differences mean anything. */
double fs_clock_s(void);

#endif
