/* topo.c - small questions to a frozen topology. See topo.h. */
#include "topo/topo.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

const char *const fs_dtype_names[FS_DTYPES_STORED] = {
    [FS_FP64] = "fp64", [FS_FP32] = "fp32", [FS_TF32] = "tf32", [FS_FP16] = "fp16",   [FS_BF16] = "bf16",
    [FS_FP8] = "fp8",   [FS_FP4] = "fp4",   [FS_INT8] = "int8", [FS_MXFP4] = "mxfp4",
};

static const char *const kind_names[FS_DEVICE_KINDS] = {
    [FS_DEVICE_GPU] = "gpu", [FS_DEVICE_NVSWITCH] = "nvswitch",       [FS_DEVICE_NIC] = "nic",
    [FS_DEVICE_CPU] = "cpu", [FS_DEVICE_PCIE_SWITCH] = "pcie-switch", [FS_DEVICE_NET_SWITCH] = "net-switch",
};

static const char *const class_names[FS_LINK_CLASSES] = {
    [FS_CLASS_NVLINK] = "nvlink", [FS_CLASS_C2C] = "c2c", [FS_CLASS_PCIE] = "pcie",
    [FS_CLASS_CPU] = "cpu",       [FS_CLASS_NET] = "net",
};

static const char *const arch_names[FS_ARCHS] = {
    [FS_ARCH_NONE] = "none",      [FS_PASCAL] = "pascal", [FS_VOLTA] = "volta",
    [FS_TURING] = "turing",       [FS_AMPERE] = "ampere", [FS_HOPPER] = "hopper",
    [FS_BLACKWELL] = "blackwell", [FS_RUBIN] = "rubin",   [FS_LPU] = "lpu",
};

const char *const fs_routing_names[FS_ROUTINGS] = {
    [FS_ROUTING_ADAPTIVE] = "adaptive",
    [FS_ROUTING_SPRAY] = "spray",
    [FS_ROUTING_ECMP] = "ecmp",
    [FS_ROUTING_STATIC] = "static",
};

const char *fs_device_kind_name(fs_device_kind kind)
{
    return kind_names[kind];
}

const char *fs_link_class_name(fs_link_class class_)
{
    return class_names[class_];
}

const char *fs_arch_name(fs_arch arch)
{
    return arch_names[arch];
}

bool fs_part_is_lpu(const fs_part *part)
{
    return part->arch == FS_LPU;
}

/* "node3/gpu0": name and number of the copy, and the name within it. */
static const char *copy_name(const fs_topo_run *run, uint32_t copy, const char *local, char *buffer, size_t size)
{
    char number[16] = "";
    if (run->numbered)
        snprintf(number, sizeof number, "%u", run->first_number + copy);
    snprintf(buffer, size, "%s%s%s%s", run->name, number, run->name[0] && local[0] ? "/" : "", local);
    return buffer;
}

const char *fs_device_name(const fs_topo *topo, uint32_t device, char *buffer, size_t size)
{
    fs_where at = fs_topo_where(topo, device);
    return copy_name(at.run, at.copy, at.run->unit->names[at.local], buffer, size);
}

const char *fs_node_name(const fs_topo *topo, uint32_t node, char *buffer, size_t size)
{
    uint32_t low = 0, high = topo->n_runs;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (topo->runs[middle].first_node <= node)
            low = middle;
        else
            high = middle;
    }
    const fs_topo_run *run = &topo->runs[low];
    uint32_t offset = node - run->first_node, n = run->unit->n_nodes;
    return copy_name(run, offset / n, run->unit->nodes[offset % n], buffer, size);
}

char *fs_link_name(const fs_topo *topo, uint32_t link, char *buffer, size_t size)
{
    const fs_link l = fs_topo_link(topo, link);
    snprintf(buffer, size, "%s -> %s", FS_DEVICE_NAME(topo, l.src), FS_DEVICE_NAME(topo, l.dst));
    return buffer;
}

/* Whether `name` is that of a copy of the run, perhaps with "/" and more behind it, where *local then points. */
static bool in_run(const fs_topo_run *run, const char *name, uint32_t *copy, const char **local)
{
    size_t length = strlen(run->name);
    *copy = 0;
    *local = name;
    if (length == 0)
        return true; /* under their own names */
    if (strncmp(name, run->name, length) != 0)
        return false;
    const char *at = name + length;
    if (run->numbered) {
        size_t digits = strspn(at, "0123456789");
        if (digits == 0 || digits > 9 || (at[0] == '0' && digits > 1))
            return false;
        uint32_t number = 0;
        for (; digits > 0; digits--)
            number = number * 10 + (uint32_t)(*at++ - '0');
        if (number < run->first_number || number - run->first_number >= run->copies)
            return false;
        *copy = number - run->first_number;
    }
    *local = *at == '/' ? at + 1 : at;
    return *at == '/' || *at == '\0';
}

/* Linear in the runs, and binary in the names of one. */
uint32_t fs_topo_find(const fs_topo *topo, const char *name)
{
    for (uint32_t r = 0; r < topo->n_runs; r++) {
        const fs_topo_run *run = &topo->runs[r];
        const fs_topo_unit *unit = run->unit;
        uint32_t copy, low = 0, high = unit->n_devices;
        const char *local;
        if (!in_run(run, name, &copy, &local))
            continue;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            int order = strcmp(unit->names[unit->by_name[middle]], local);
            if (order == 0)
                return run->first_device + copy * unit->n_devices + unit->by_name[middle];
            if (order < 0)
                low = middle + 1;
            else
                high = middle;
        }
    }
    return FS_NONE;
}

void fs_topo_free(fs_topo *topo)
{
    if (topo)
        fs_arena_free(topo->arena); /* the topology itself is in it */
}
