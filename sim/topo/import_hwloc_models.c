/* import_hwloc_models.c - what hwloc does not know: models and ids against the parts that ship.
 *
 * GPU model names are those that NVML reports. PCI ids: the PCI ID Repository (pci.ids). Rates and counts of NVLinks:
 * NVIDIA's architecture whitepapers and hwloc's topology-nvml.c, which counts 20 GB/s for version 1 and 25 GB/s from
 * version 2 on. Tables are searched from the top; a new part is one line here beside its entry in topologies/parts. */
#include "topo/import_hwloc_board.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct {
    const char *model;   /* without the maker's "NVIDIA " or "Tesla " */
    uint32_t pci_device; /* 0: not told apart by it */
    const char *part;
} gpu_models[] = {
    {"P100-SXM2-16GB", 0x15f9, "p100-sxm2"},
    {"V100-SXM2-32GB", 0x1db5, "v100-sxm2-32gb"},
    {"V100-SXM3-32GB", 0x1db8, "v100-sxm3-32gb"},
    {"V100-SXM3-32GB-H", 0, "v100-sxm3-32gb-h"},
    {"V100-PCIE-32GB", 0x1db6, "v100-pcie-32gb"},
    {"A100-SXM4-40GB", 0x20b0, "a100-sxm4-40gb"},
    {"A100-SXM4-80GB", 0x20b2, "a100-sxm4-80gb"},
    {"H100 80GB HBM3", 0x2330, "h100-sxm5"},
    {"H200", 0x2335, "h200-sxm"},
    {"B200", 0x2901, "b200-sxm"},
    {"GB200", 0x2941, "gb200"},
};

const char *fs_hw_gpu_part(const char *model, uint32_t pci_device)
{
    static const char *const makers[] = {"NVIDIA ", "Tesla "};
    for (size_t i = 0; model && i < COUNT(makers); i++)
        if (strncmp(model, makers[i], strlen(makers[i])) == 0)
            model += strlen(makers[i]);
    for (size_t i = 0; model && i < COUNT(gpu_models); i++)
        if (strcmp(model, gpu_models[i].model) == 0)
            return gpu_models[i].part;
    for (size_t i = 0; pci_device && i < COUNT(gpu_models); i++)
        if (gpu_models[i].pci_device == pci_device)
            return gpu_models[i].part;
    return NULL;
}

const fs_hw_gpu_arch *fs_hw_gpu_arch_of(const char *arch)
{
    static const fs_hw_gpu_arch known[] = {
        {"pascal", NULL, "nvlink1-mesh", "nvlink1-cpu", NULL, NULL, 20000, 4, 3},
        {"volta", "nvlink2", "nvlink2-mesh", "nvlink2-cpu", "nvlink2-trunk", "nvswitch1", 25000, 6, 3},
        {"ampere", "nvlink3", "nvlink3-mesh", NULL, "nvlink3-trunk", "nvswitch2", 25000, 12, 4},
        {"hopper", "nvlink4", "nvlink4-mesh", NULL, NULL, "nvswitch3", 25000, 18, 5},
        {"blackwell", "nvlink5", "nvlink5-mesh", NULL, NULL, "nvswitch4", 50000, 18, 5},
    };
    static const fs_hw_gpu_arch none = {"none", NULL, NULL, NULL, NULL, NULL, 0, 0, 0};
    for (size_t i = 0; arch && i < COUNT(known); i++)
        if (strcmp(arch, known[i].arch) == 0)
            return &known[i];
    return &none;
}

const char *fs_hw_nic_part(uint32_t pci_vendor, uint32_t pci_device)
{
    static const struct {
        uint32_t vendor, device; /* of the physical and of the virtual function */
        const char *part;
    } known[] = {
        {0x15b3, 0x1013, "connectx-4"}, {0x15b3, 0x1014, "connectx-4"}, {0x15b3, 0x1017, "connectx-5"},
        {0x15b3, 0x1018, "connectx-5"}, {0x15b3, 0x1019, "connectx-5"}, {0x15b3, 0x101a, "connectx-5"},
        {0x15b3, 0x101b, "connectx-6"}, {0x15b3, 0x101c, "connectx-6"}, {0x15b3, 0x1021, "connectx-7"},
    };
    for (size_t i = 0; i < COUNT(known); i++)
        if (known[i].vendor == pci_vendor && known[i].device == pci_device)
            return known[i].part;
    return NULL;
}

const char *fs_hw_pcie_switch_part(uint32_t pcie_generation)
{
    return pcie_generation <= 3 ? "plx-gen3" : pcie_generation == 4 ? "pex-gen4" : "pex-gen5";
}

const char *fs_hw_cpu_part(hwloc_obj_t package)
{
    static const struct {
        const char *text; /* in hwloc's CPUModel */
        const char *part;
    } known[] = {
        {"E5-2698 v4", "xeon-e5-2698v4"}, {"Platinum 8168", "xeon-8168"}, {"Platinum 8174", "xeon-8174"},
        {"EPYC 7742", "epyc-7742"},       {"8480C", "xeon-8480c"},        {"PLATINUM 8570", "xeon-8570"},
        {"Neoverse-V2", "grace"},
    };
    const char *model = hwloc_obj_get_info_by_name(package, "CPUModel");
    for (size_t i = 0; model && i < COUNT(known); i++)
        if (strstr(model, known[i].text))
            return known[i].part;
    return "other-cpu";
}

const char *fs_hw_socket_link(hwloc_obj_t package)
{
    static const struct {
        long model; /* CPUID model of Intel family 6, up to this one (Intel SDM, volume 4) */
        const char *type;
    } intel[] = {
        {84, "qpi-broadwell"},        /* Broadwell-EP is 79; older ones had QPI too */
        {142, "upi-skylake"},         /* Skylake-SP and Cascade Lake 85, Ice Lake 106 */
        {206, "upi-sapphire-rapids"}, /* 143 */
        {255, "upi-emerald-rapids"},  /* 207 */
    };
    const char *vendor = hwloc_obj_get_info_by_name(package, "CPUVendor");
    const char *number = hwloc_obj_get_info_by_name(package, "CPUModelNumber");
    const char *model = hwloc_obj_get_info_by_name(package, "CPUModel");
    if (vendor && strcmp(vendor, "AuthenticAMD") == 0)
        return "xgmi-rome";
    for (size_t i = 0; vendor && number && strcmp(vendor, "GenuineIntel") == 0 && i < COUNT(intel); i++)
        if (strtol(number, NULL, 10) <= intel[i].model)
            return intel[i].type;
    if (model && strncmp(model, "POWER8", 6) == 0)
        return "xbus-power8";
    if (model && strncmp(model, "POWER9", 6) == 0)
        return "xbus-power9";
    return "other-socket-link";
}
