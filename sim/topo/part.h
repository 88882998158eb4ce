/* part.h - what devices and links are made of: the library of a topology. */
#ifndef FS_PART_H
#define FS_PART_H

#include <stdbool.h>
#include <stdint.h>

typedef enum fs_device_kind {
    FS_DEVICE_GPU,
    FS_DEVICE_NVSWITCH,
    FS_DEVICE_NIC,
    FS_DEVICE_CPU,
    FS_DEVICE_PCIE_SWITCH,
    FS_DEVICE_NET_SWITCH, /* leaf, spine, core */
    FS_DEVICE_KINDS
} fs_device_kind;

/* Number formats. Those below FS_DTYPES are multiplied in; the others are how weights are stored, and products read them as
 * one of the former. */
typedef enum fs_dtype {
    FS_FP64,
    FS_FP32,
    FS_TF32,
    FS_FP16,
    FS_BF16,
    FS_FP8,
    FS_FP4, /* a scale in fp8 for 16 numbers: NVFP4 */
    FS_INT8,
    FS_DTYPES,
    FS_MXFP4 = FS_DTYPES, /* a scale in 8 bits for 32 numbers (OCP Microscaling Formats 1.0) */
    FS_DTYPES_STORED
} fs_dtype;

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
    FS_LPU, /* no GPU, but computes in the place of one: SRAM for memory, no NVLink, no CUDA */
    FS_ARCHS
} fs_arch;

/* How a GPU multiplies matrices of a number format. docs/MODEL.md, Kernels, has the equations. */
typedef struct fs_gpu_product {
    double efficiency; /* fraction of the peak inside a large tile, clock at its highest, (0, 1] */
    double tile_s;     /* filling and emptying a tile of 256 x 128 numbers */
    double floor_s;    /* a product that has next to nothing to do */
    double grouped;    /* fraction of that efficiency which grouped products reach, (0, 1]; 0: all of it */
    double grouped_tensor, grouped_block; /* the same of kernels for a scale a tensor, or a block; 0: as `grouped` */
    double grouped_read; /* fraction of the memory's rate at which grouped products read; 0: as other products */
    double tile_min;     /* numbers of the smallest tile, where there are rows for it */
    double depth_s;      /* no tile goes through a number of k in less, however small it is */
    double row_s;        /* quantisation to the format, all SMs at work: a row, */
    double pass_s;       /* and each 2,048 numbers of it */
    bool whole;          /* sums over k are never split among SMs */
    bool overlap;        /* an SM starts its next tile while it empties the last */
} fs_gpu_product;

/* How kernels run on a GPU. sms == 0: not known, and every kernel takes its flat roofline. */
typedef struct fs_gpu_costs {
    double sms;
    double floor_s; /* a kernel that has next to nothing to do */
    double l2_Bps;  /* from the L2 cache to all SMs together */
    double operand; /* fraction of mem_Bps at which operands of products come, (0, 1] */
    double in_step, /* speed of kernels in a step of training against kernels alone, 0 (not said: 1) to 1 */
        sustained; /* fraction of the arithmetic rate that stays when the clock has fallen to what power allows, (0, 1] */
    double step;   /* columns by which tiles of products differ; 0: powers of two only */
    double tile_max;       /* numbers of the largest tile */
    double append_Bps;     /* rotating queries and keys, and writing keys and values to their cache */
    double append8_Bps;    /* the same with a cache in fp8 */
    double attention;      /* fraction of the peak at which attention multiplies, (0, 1] */
    double attention_grad; /* the same of its backward pass */
    double score_s;        /* of a score, the exponential and its like: SM seconds */
    double query_block;    /* queries that an SM works on at once */
    double block_s;        /* start and end of such a block */
    double attend_s;       /* attention that has next to nothing to do, cut by queries */
    double decode_s;       /* the same, cut by keys */
    double piece_s;        /* start and end of a piece of keys, heads of 128 */
    double join_s;         /* putting pieces together */
    double read;           /* fraction of mem_Bps at which attention reads keys and values, (0, 1] */
    double stream_Bps;     /* keys and values that one SM can read */
    double fp8_read;       /* time of a byte of keys and values in fp8, relative to other bytes */
} fs_gpu_costs;

/* A part: what a device is. One struct for all kinds; fields that a kind lacks are 0. */
typedef struct fs_part {
    const char *name;
    fs_device_kind kind;
    fs_arch arch;                      /* GPUs */
    double peak_flops[FS_DTYPES];      /* FLOP/s, dense; 0 = not supported (GPUs) */
    double mem_bytes;                  /* B (GPUs) */
    double mem_Bps;                    /* B/s (GPUs) */
    double gemm_efficiency;            /* fraction of peak a large GEMM reaches, (0, 1] (GPUs) */
    double mem_efficiency;             /* fraction of mem_Bps a streaming kernel reaches, (0, 1] (GPUs) */
    double launch_s;                   /* time between dependent kernels (GPUs) */
    fs_gpu_costs costs;                /* (GPUs) */
    fs_gpu_product product[FS_DTYPES]; /* (GPUs) */
    double power_W;                    /* at most; 0 = not said */
    double host_W; /* what stands around a socket: memory, drives, fans, conversion, switches without a power (CPUs) */
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

const char *fs_device_kind_name(fs_device_kind kind);
extern const char *const fs_dtype_names[FS_DTYPES_STORED]; /* "fp16" */
const char *fs_link_class_name(fs_link_class class_);
const char *fs_arch_name(fs_arch arch);
/* Of kind GPU, but no GPU: counted apart where figures are per GPU. */
bool fs_part_is_lpu(const fs_part *part);
extern const char *const fs_routing_names[FS_ROUTINGS]; /* "adaptive" */

#endif
