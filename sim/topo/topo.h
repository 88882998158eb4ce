/* topo.h - the machine: parts, devices, links, frozen and constant.
 *
 * Life: fs_topo_load reads XML (topo_xml.c), expands boards and systems (topo_build.c) into a spec that checks every
 * addition (spec.c), and freezes that into flat arrays (spec_freeze.c). After that nothing changes.
 * Ids are dense and stable: they follow document order, and an expanded topology written back reads the same. Parts,
 * link types and tiers that nothing uses are left out.
 * A physical connection is two links, one per direction: ids 2k (from -> to) and 2k + 1 (to -> from). */
#ifndef FS_TOPO_H
#define FS_TOPO_H

#include "base/err.h"
#include "base/file.h"

#include <stdbool.h>

enum {
    FS_NAME_MAX = 255,                      /* bytes of the name of a device, part, node, ... */
    FS_LINK_NAME_SIZE = 2 * FS_NAME_MAX + 5 /* two names, an arrow, the NUL */
};

typedef enum fs_device_kind {
    FS_DEVICE_GPU,
    FS_DEVICE_NVSWITCH,
    FS_DEVICE_NIC,
    FS_DEVICE_CPU,
    FS_DEVICE_PCIE_SWITCH,
    FS_DEVICE_NET_SWITCH, /* leaf, spine, core */
    FS_DEVICE_KINDS
} fs_device_kind;

typedef enum fs_dtype { FS_FP64, FS_FP32, FS_TF32, FS_FP16, FS_BF16, FS_FP8, FS_FP4, FS_INT8, FS_DTYPES } fs_dtype;

/* What a link is made of decides routing preference and protocol constants. */
typedef enum fs_link_class {
    FS_CLASS_NVLINK,
    FS_CLASS_C2C,
    FS_CLASS_PCIE,
    FS_CLASS_CPU /* QPI, UPI, xGMI */,
    FS_CLASS_NET,
    FS_LINK_CLASSES
} fs_link_class;

typedef enum fs_arch {
    FS_ARCH_NONE,
    FS_PASCAL,
    FS_VOLTA,
    FS_TURING,
    FS_AMPERE,
    FS_HOPPER,
    FS_BLACKWELL,
    FS_RUBIN,
    FS_ARCHS
} fs_arch;

/* A part: what a device is. One struct for all kinds; fields that a kind lacks are 0. */
typedef struct fs_part {
    const char *name;
    fs_device_kind kind;
    fs_arch arch;                 /* GPUs */
    double peak_flops[FS_DTYPES]; /* FLOP/s, dense; 0 = not supported (GPUs) */
    double mem_bytes;             /* B (GPUs) */
    double mem_Bps;               /* B/s (GPUs) */
    double gemm_efficiency;       /* fraction of peak a large GEMM reaches, (0, 1] (GPUs) */
    double mem_efficiency;        /* fraction of mem_Bps a streaming kernel reaches, (0, 1] (GPUs) */
    double launch_s;              /* time between dependent kernels (GPUs) */
    double power_W;
    double latency_s; /* time through a switch chip, added to each link that leaves it */
    bool multicast;   /* NVLS: reduces and multicasts in the switch (NVSwitches) */
    uint32_t ports;   /* how many links a chip or box has room for; 0 = not said (NVSwitches, network switches) */
} fs_part;

typedef struct fs_link_type {
    const char *name;
    fs_link_class class_;
    uint32_t tier;
    double bandwidth_Bps; /* one lane, one direction: payload rate of the wire; --cost ideal uses it */
    double effective_Bps; /* what a bulk transfer by NCCL gets of it; --cost nccl uses it; <= bandwidth_Bps */
    double latency_s;     /* one traversal */
} fs_link_type;

typedef struct fs_device {
    fs_device_kind kind;
    uint32_t part;    /* id in parts[] */
    uint32_t node;    /* which placed board, or FS_NONE for switches of the system */
    uint32_t index;   /* among the devices of its kind, in id order: the GPU number for GPUs */
    uint32_t rail;    /* NICs: index among the NICs of its board; else FS_NONE */
    uint32_t network; /* switches of a network: id in networks[]; else FS_NONE */
} fs_device;

typedef struct fs_link {
    uint32_t src, dst; /* device ids */
    uint32_t type;     /* id in link_types[] */
    uint32_t lanes;    /* equal members; the capacities below are of all lanes together */
    double bandwidth_Bps;
    double effective_Bps;
    double latency_s; /* of the link, and of the switch it leaves */
} fs_link;

typedef struct fs_tier {
    const char *name;
} fs_tier;

/* How a network spreads traffic over equal paths. */
typedef enum fs_routing {
    FS_ROUTING_ADAPTIVE, /* all minimal paths, in fractions: InfiniBand with adaptive routing, Spectrum-X */
    FS_ROUTING_SPRAY,    /* the same to a fluid: packet by packet over all minimal paths */
    FS_ROUTING_ECMP,     /* one minimal path per flow, by a seeded hash at every switch */
    FS_ROUTING_STATIC,   /* one minimal path per destination, as a subnet manager lays them in a fat tree */
    FS_ROUTINGS
} fs_routing;

typedef struct fs_network {
    const char *name;
    fs_routing routing;
} fs_network;

/* What faults leave of some links or GPUs, epoch by epoch; what is not listed stays whole. */
typedef struct fs_factors {
    uint32_t count;
    const uint32_t *ids;   /* (count) ascending */
    const double *factors; /* (count x n_epochs) in [0, 1]; 0 = down */
} fs_factors;

typedef struct fs_topo {
    const char *name;
    const char *path;    /* the file it came from */
    uint64_t hash;       /* of its expanded content */
    bool gpu_forwarding; /* may a GPU pass on traffic of others over NVLink */
    bool cross_rail;     /* traffic for another rail goes through the network's spines, not over NVLink first (PXN) */

    uint32_t n_parts, n_link_types, n_tiers, n_networks, n_devices, n_links, n_gpus, n_nodes;
    const fs_part *parts;           /* (n_parts) */
    const fs_link_type *link_types; /* (n_link_types) */
    const fs_tier *tiers;           /* (n_tiers), in the order of their link types */
    const fs_network *networks;     /* (n_networks) */
    const uint32_t *gpus;           /* (n_gpus) device ids; GPU number -> device */
    uint32_t n_epochs;              /* >= 1: times between which links fail, slow down or come back */
    const double *epoch_start_s;    /* (n_epochs) ascending, the first 0 */
    fs_factors link_faults;         /* by link id */
    fs_factors gpu_faults;          /* by GPU number */
    uint32_t n_faults;
    const struct fs_fault *faults; /* (n_faults) what made these (faults.h) */
    /* Storage: read it through the functions below. */
    const fs_device *devices;        /* (n_devices) */
    const char *const *device_names; /* (n_devices) unique, full: "node0/gpu3" in a system, "gpu3" on a bare board */
    const fs_link *links;            /* (n_links), even: see above */
    const char *const *nodes;        /* (n_nodes) names of placed boards */
    const uint32_t *out_begin;       /* (n_devices + 1) */
    const uint32_t *out_links;       /* (n_links) links by source device, ascending */
    struct fs_arena *arena;          /* owns everything above */
} fs_topo;

/* One `--set topo:NAME.ATTRIBUTE=VALUE`: the element with that name attribute gets the value before validation. */
typedef struct fs_topo_override {
    const char *name, *attribute, *value;
} fs_topo_override;

FS_MUST_CHECK fs_status fs_topo_load(const char *path, const fs_topo_override *overrides, uint32_t n_overrides,
                                     fs_topo **topo, fs_err *err);
/* The same from memory (fuzzing, tests); `path` is for messages and relative XIncludes. */
FS_MUST_CHECK fs_status fs_topo_parse(const char *path, const char *xml, size_t length,
                                      const fs_topo_override *overrides, uint32_t n_overrides, fs_topo **topo,
                                      fs_err *err);
void fs_topo_free(fs_topo *topo);

/* Explicit XML of the same machine: every device and link written out. Reads back with equal arrays. */
void fs_topo_write_xml(const fs_topo *topo, fs_out *out);
void fs_topo_write_dot(const fs_topo *topo, fs_out *out); /* Graphviz */

/* By value: nothing is stored per copy of a board. */
static inline fs_device fs_topo_device(const fs_topo *topo, uint32_t device)
{
    return topo->devices[device];
}

static inline fs_link fs_topo_link(const fs_topo *topo, uint32_t link)
{
    return topo->links[link];
}

static inline double fs_factor_at(const fs_factors *f, uint32_t id, uint32_t n_epochs, uint32_t epoch)
{
    uint32_t low = 0, high = f->count; /* mostly 0: then this is one comparison */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (f->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < f->count && f->ids[low] == id ? f->factors[(size_t)low * n_epochs + epoch] : 1.0;
}

/* What is left of a link in an epoch: 1 whole, 0 down. */
static inline double fs_topo_link_factor(const fs_topo *topo, uint32_t link, uint32_t epoch)
{
    return fs_factor_at(&topo->link_faults, link, topo->n_epochs, epoch);
}

/* The speed of a GPU in an epoch, as a part of its part's. */
static inline double fs_topo_gpu_factor(const fs_topo *topo, uint32_t gpu, uint32_t epoch)
{
    return fs_factor_at(&topo->gpu_faults, gpu, topo->n_epochs, epoch);
}

/* The links that leave a device, ascending. */
static inline uint32_t fs_topo_out_count(const fs_topo *topo, uint32_t device)
{
    return topo->out_begin[device + 1] - topo->out_begin[device];
}

static inline uint32_t fs_topo_out_link(const fs_topo *topo, uint32_t device, uint32_t i)
{
    return topo->out_links[topo->out_begin[device] + i];
}

/* Names, into the caller's buffer, which is returned; FS_NAME_MAX + 1 bytes hold every one. */
const char *fs_device_name(const fs_topo *topo, uint32_t device, char *buffer, size_t size);
const char *fs_node_name(const fs_topo *topo, uint32_t node, char *buffer, size_t size);
/* The same in a buffer that lives as long as the block around. */
#define FS_DEVICE_NAME(topo, device) fs_device_name(topo, device, (char[FS_NAME_MAX + 1]){0}, FS_NAME_MAX + 1)
#define FS_NODE_NAME(topo, node) fs_node_name(topo, node, (char[FS_NAME_MAX + 1]){0}, FS_NAME_MAX + 1)

const char *fs_device_kind_name(fs_device_kind kind);
extern const char *const fs_dtype_names[FS_DTYPES]; /* "fp16" */
const char *fs_link_class_name(fs_link_class class_);
const char *fs_arch_name(fs_arch arch);
extern const char *const fs_routing_names[FS_ROUTINGS]; /* "adaptive" */
/* "node0/gpu3 -> node0/nvsw1", into the caller's buffer; FS_LINK_NAME_SIZE bytes hold every one. */
char *fs_link_name(const fs_topo *topo, uint32_t link, char *buffer, size_t size);
/* Device of that name, or FS_NONE. */
uint32_t fs_topo_find(const fs_topo *topo, const char *name);

#endif
