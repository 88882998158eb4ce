/* machine.c - cores and memory that this process may use. */
#include "sweep/workers_in.h"

#include "base/mem.h"

#include <hwloc.h>
#include <stdio.h>
#include <string.h>

struct fs_cores {
    hwloc_topology_t topology;
    hwloc_cpuset_t allowed; /* what the process was bound to, by taskset or a batch system */
};

static hwloc_obj_t nth_core(const fs_cores *c, uint32_t i)
{
    hwloc_obj_t core = NULL;
    while ((core = hwloc_get_next_obj_by_type(c->topology, HWLOC_OBJ_CORE, core)) != NULL)
        if (hwloc_bitmap_intersects(core->cpuset, c->allowed) && i-- == 0)
            return core;
    return NULL;
}

fs_status fs_cores_open(fs_cores **cores, fs_err *err)
{
    fs_cores *c = fs_zalloc(1, sizeof *c);
    if (!c)
        return fs_fail_nomem(err);
    c->allowed = hwloc_bitmap_alloc();
    if (!c->allowed || hwloc_topology_init(&c->topology) != 0) {
        c->topology = NULL;
        fs_cores_close(c);
        return fs_fail_nomem(err);
    }
    if (hwloc_topology_load(c->topology) != 0) {
        fs_cores_close(c);
        return fs_fail(err, FS_E_SIM, "hwloc cannot tell the cores of this machine");
    }
    if (hwloc_get_cpubind(c->topology, c->allowed, HWLOC_CPUBIND_PROCESS) != 0)
        hwloc_bitmap_copy(c->allowed, hwloc_topology_get_allowed_cpuset(c->topology));
    *cores = c;
    return FS_OK;
}

void fs_cores_close(fs_cores *cores)
{
    if (!cores)
        return;
    if (cores->topology)
        hwloc_topology_destroy(cores->topology);
    hwloc_bitmap_free(cores->allowed);
    fs_free(cores);
}

uint32_t fs_cores_count(const fs_cores *cores)
{
    uint32_t count = 0;
    while (nth_core(cores, count))
        count++;
    return count ? count : 1; /* a machine that shows no cores has one all the same */
}

void fs_cores_bind(const fs_cores *cores, uint32_t i)
{
    hwloc_obj_t core = nth_core(cores, i);
    hwloc_cpuset_t set = core ? hwloc_bitmap_alloc() : NULL;
    if (!set)
        return;
    hwloc_bitmap_and(set, core->cpuset, cores->allowed);
    (void)hwloc_set_cpubind(cores->topology, set, HWLOC_CPUBIND_PROCESS);
    hwloc_bitmap_free(set);
}

uint32_t fs_workers_cores(void)
{
    fs_cores *cores = NULL;
    fs_err ignored;
    if (fs_cores_open(&cores, &ignored) != FS_OK)
        return 1;
    uint32_t count = fs_cores_count(cores);
    fs_cores_close(cores);
    return count;
}

static bool read_number(const char *path, double *number)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    bool ok = fscanf(file, "%lf", number) == 1; /* "max" is no number */
    fclose(file);
    return ok;
}

/* What the limits of this process' cgroup (version 2) and of those above it leave. */
static double cgroup_free_bytes(double free_bytes)
{
    char group[512] = "", path[640];
    FILE *file = fopen("/proc/self/cgroup", "r");
    bool found = file && fscanf(file, "0::%511s", group) == 1;
    if (file)
        fclose(file);
    for (char *slash = group; found && slash; slash = strrchr(group, '/')) {
        double limit = 0, used = 0;
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", group);
        bool limited = read_number(path, &limit);
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.current", group);
        if (limited && read_number(path, &used) && limit - used < free_bytes)
            free_bytes = limit > used ? limit - used : 0;
        *strrchr(group, '/') = '\0';
    }
    return free_bytes;
}

double fs_workers_free_bytes(void)
{
    char line[128];
    double available = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && available == 0 && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %lf kB", &available) == 1)
            available *= 1024;
    if (file)
        fclose(file);
    return available > 0 ? cgroup_free_bytes(available) : 0;
}
