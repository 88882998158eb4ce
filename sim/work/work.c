/* work.c - see work.h. */
#include "work/work.h"

#include "base/mem.h"

const char *const fs_phase_names[FS_PHASES] = {"none", "forward", "backward", "recompute", "optimizer"};

void fs_work_free(fs_work *work)
{
    if (work)
        fs_arena_free(work->arena); /* the work itself lies in it */
}
