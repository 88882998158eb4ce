/* run_power.c - see run_power.h. */
#include "run_power.h"

#include <math.h>
#include <string.h>

/* What a GPU draws that does nothing, of its rated power: 60 to 75 W of an H100's 700, 50 of an A100's 400 (nvidia-smi on
 * idle machines, from memory). */
#define GPU_IDLE 0.1

/* What the devices of a copy of a unit draw at most, but for its GPUs. */
typedef struct around {
    double hosts_W, nics_W, switches_W;
} around;

static around of_unit(const fs_topo *topo, const fs_topo_unit *unit)
{
    around a = {0};
    for (uint32_t d = 0; d < unit->n_devices; d++) {
        const fs_part *part = &topo->parts[unit->devices[d].part];
        switch (part->kind) {
        case FS_DEVICE_CPU: a.hosts_W += part->power_W + part->host_W; break;
        case FS_DEVICE_NIC: a.nics_W += part->power_W; break;
        case FS_DEVICE_GPU: break;
        default: a.switches_W += part->power_W; break;
        }
    }
    return a;
}

static void add(fs_power *p, const around *a, double part)
{
    p->hosts_W += a->hosts_W * part;
    p->nics_W += a->nics_W * part;
    p->switches_W += a->switches_W * part;
}

static double drawn_W(double rated_W, double busy)
{
    return rated_W * (GPU_IDLE + (1 - GPU_IDLE) * busy);
}

fs_power fs_run_power(const fs_topo *topo, const fs_work *work, fs_busy busy, double pue)
{
    fs_power p = {.busy = busy.gpus, .pue = pue};
    const fs_topo_unit *unit = NULL;
    around a = {0};
    for (uint32_t rank = 0; rank < work->n_ranks; rank++) {
        fs_where at = fs_topo_where(topo, topo->gpus[work->gpu_of[rank]]);
        const fs_part *part = &topo->parts[at.run->unit->devices[at.local].part];
        if (!(part->power_W > 0))
            return (fs_power){0};
        if (at.run->unit != unit) /* ranks of a unit follow each other */
            a = of_unit(topo, unit = at.run->unit);
        *(fs_part_is_lpu(part) ? &p.lpus_rated_W : &p.gpus_rated_W) += part->power_W;
        add(&p, &a, 1.0 / unit->of_kind[FS_DEVICE_GPU]);
    }
    for (uint32_t r = 0; r < topo->n_runs; r++)
        if (topo->runs[r].unit->of_kind[FS_DEVICE_GPU] == 0) {
            a = of_unit(topo, topo->runs[r].unit);
            add(&p, &a, (double)topo->runs[r].copies * work->n_ranks / topo->n_gpus);
        }
    p.gpus_W = drawn_W(p.gpus_rated_W, busy.gpus);
    p.lpus_W = drawn_W(p.lpus_rated_W, busy.lpus);
    double rest_W = p.hosts_W + p.nics_W + p.switches_W;
    p.facility_W = (p.gpus_W + p.lpus_W + rest_W) * pue;
    p.rated_W = (p.gpus_rated_W + p.lpus_rated_W + rest_W) * pue;
    return p;
}

double fs_run_busy(const fs_result *r)
{
    static const char *const idle[] = {"bubble", "idle", "delay"};
    double idle_s = 0;
    for (uint32_t i = 0; i < r->n_breakdown; i++)
        for (size_t k = 0; k < sizeof idle / sizeof *idle; k++)
            idle_s += strcmp(r->breakdown[i].name, idle[k]) == 0 ? r->breakdown[i].seconds : 0;
    return r->step_time_s > 0 ? fmax(0, 1 - idle_s / r->step_time_s) : 0;
}
