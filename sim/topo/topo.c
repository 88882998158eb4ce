/* topo.c - small questions to a frozen topology. See topo.h. */
#include "topo/topo.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

const char *const fs_dtype_names[FS_DTYPES] = {
    [FS_FP64] = "fp64", [FS_FP32] = "fp32", [FS_TF32] = "tf32", [FS_FP16] = "fp16",
    [FS_BF16] = "bf16", [FS_FP8] = "fp8",   [FS_FP4] = "fp4",   [FS_INT8] = "int8",
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
    [FS_ARCH_NONE] = "none", [FS_PASCAL] = "pascal", [FS_VOLTA] = "volta",         [FS_TURING] = "turing",
    [FS_AMPERE] = "ampere",  [FS_HOPPER] = "hopper", [FS_BLACKWELL] = "blackwell", [FS_RUBIN] = "rubin",
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

const char *fs_device_name(const fs_topo *topo, uint32_t device, char *buffer, size_t size)
{
    snprintf(buffer, size, "%s", topo->device_names[device]);
    return buffer;
}

const char *fs_node_name(const fs_topo *topo, uint32_t node, char *buffer, size_t size)
{
    snprintf(buffer, size, "%s", topo->nodes[node]);
    return buffer;
}

char *fs_link_name(const fs_topo *topo, uint32_t link, char *buffer, size_t size)
{
    const fs_link l = fs_topo_link(topo, link);
    snprintf(buffer, size, "%s -> %s", FS_DEVICE_NAME(topo, l.src), FS_DEVICE_NAME(topo, l.dst));
    return buffer;
}

/* Linear: people name few devices, and an index would be a second truth. */
uint32_t fs_topo_find(const fs_topo *topo, const char *name)
{
    for (uint32_t i = 0; i < topo->n_devices; i++)
        if (strcmp(topo->device_names[i], name) == 0)
            return i;
    return FS_NONE;
}

void fs_topo_free(fs_topo *topo)
{
    if (topo)
        fs_arena_free(topo->arena); /* the topology itself is in it */
}
