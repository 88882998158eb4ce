/* nccl_table.h - NCCL's constants, by algorithm, protocol and architecture, from topologies/parts/nccl.xml or another file.
 *
 * Two kinds, kept apart: what NCCL believes when it picks an algorithm and a protocol (its own published tuning model), and
 * what these then take (fitted on measurements; docs/MODEL.md has the equations, the file the sources). */
#ifndef FS_NCCL_TABLE_H
#define FS_NCCL_TABLE_H

#include "coll/coll.h"

enum { FS_NCCL_COLUMNS = 3 /* LL, LL128, Simple */, FS_NCCL_CORRECTIONS = 24, FS_NCCL_RELEASES_MAX = 16 };

/* Algorithms as the table knows them; fs_nccl_row maps ours. */
typedef enum fs_nccl_row {
    FS_NCCL_TREE,
    FS_NCCL_RING,
    FS_NCCL_NVLS,
    FS_NCCL_NVLSTREE,
    FS_NCCL_PAT,
    FS_NCCL_DIRECT,
    FS_NCCL_ONESHOT, /* not NCCL's: nothing believed of it */
    FS_NCCL_TWOSHOT,
    FS_NCCL_FORWARDED,
    FS_NCCL_LOWLATENCY,
    FS_NCCL_ROWS
} fs_nccl_row;

/* What a step goes over. */
typedef enum fs_nccl_hardware { FS_NCCL_NVLINK, FS_NCCL_PCI, FS_NCCL_NET, FS_NCCL_HARDWARE } fs_nccl_hardware;

/* What one algorithm and protocol take on one architecture. */
typedef struct fs_nccl_takes {
    double launch_s;                /* kernel, and the first and the last synchronisation */
    double hop_s[FS_NCCL_HARDWARE]; /* per step */
    double efficiency;              /* (0, 1] of the NVLinks' effective rate; of all links' where there are none */
    double net_efficiency;          /* (0, 1] of the links' between domains */
    double cap_Bps;                 /* of payload through one GPU, or of one message; 0: none */
    double fill;     /* >= 0: parts of a chunk that nothing overlaps: filling and draining the pipeline, copying */
    double drain;    /* of a chunk's time on the GPU: what the last step of each round adds, which sends nothing */
    double drift_s;  /* > 0: chunks so long hide half of the drain and the copy */
    double copy;     /* all-to-all, all_gather: of the time of a message, for a rank's own */
    double crowd;    /* part by which a step in a node takes longer once a block has all its threads */
    double window_s; /* > 0: the fill grows no further than fill x this; NVLS: for each GPU of a domain */
    double flight;   /* latencies of the way between domains that show as well, once chunks are full */
    double overlap;  /* >= 1: 1, a step's latency adds to its bytes' time; infinity, the longer counts */
} fs_nccl_takes;

/* What differs between releases of NCCL. */
typedef struct fs_nccl_release {
    const char *name;
    double nvls_all_reduce; /* part of NVLS's rate that an all_reduce gets, with its stages' hand-over */
    double nvlstree_net_s;  /* NVLSTree's step between domains; 0: as <believes> has it */
    uint32_t nvls_ranks;    /* NVLS only for as many ranks in a domain */
} fs_nccl_release;

struct fs_nccl_table {
    struct fs_arena *arena;
    /* What NCCL believes. */
    double base_s[FS_NCCL_ROWS][FS_NCCL_COLUMNS];
    double hop_s[FS_NCCL_HARDWARE][FS_NCCL_ROWS][FS_NCCL_COLUMNS];
    double ll_max_Bps[FS_ARCHS][3];       /* on one, two and more nodes */
    double ll128_max_Bps[FS_ARCHS];       /* of rings; INFINITY where the links are slower */
    double tree_channel_Bps[FS_ARCHS][2]; /* most bus rate of a tree's channel, on two nodes and more */
    double nvls[FS_ARCHS];                /* share of the NVLinks */
    double tree_correction[FS_NCCL_COLUMNS][FS_NCCL_CORRECTIONS]; /* at 64 B, 128 B, ... 512 MiB */
    fs_nccl_release releases[FS_NCCL_RELEASES_MAX];
    uint32_t n_releases, release; /* the one in use */
    double p2p_LL_bytes;          /* messages up to that go with LL */
    /* What it takes. */
    fs_nccl_takes takes[FS_ARCHS][FS_NCCL_ROWS][FS_NCCL_COLUMNS];
};
typedef struct fs_nccl_table fs_nccl_table;

/* path NULL: the one inside the program. release NULL: the file's default. FS_E_TOPOLOGY with a place where the file is wrong,
 * FS_E_USAGE where an override or the release is. */
FS_MUST_CHECK fs_status fs_nccl_table_load(const char *path, const char *release, const fs_topo_override *overrides,
                                           uint32_t n_overrides, fs_nccl_table **table, fs_err *err);
void fs_nccl_table_free(fs_nccl_table *table);

fs_nccl_row fs_nccl_row_of(fs_algo algo);
uint32_t fs_nccl_column_of(fs_proto proto);
fs_nccl_hardware fs_nccl_hardware_of(uint32_t link_class);

#endif
