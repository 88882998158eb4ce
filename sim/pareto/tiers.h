/* tiers.h - what tokens are sold at, by how fast they come. A file (docs/FORMATS.md, Tiers), or the one that ships. */
#ifndef FS_PARETO_TIERS_H
#define FS_PARETO_TIERS_H

#include "base/file.h"

enum { FS_TIERS_MAX = 16, FS_TIER_NAME_MAX = 31 };

typedef struct fs_price_tier {
    char name[FS_TIER_NAME_MAX + 1];
    double dollars;     /* for a million output tokens */
    double per_user;    /* tokens/s that a user gets, at least */
    double power_share; /* part of the facility's power, [0, 1] */
} fs_price_tier;

typedef struct fs_tiers {
    fs_price_tier all[FS_TIERS_MAX];
    uint32_t n;
} fs_tiers;

/* path NULL: the shipped ones. FS_E_USAGE at the place in the file; shares sum to at most 1. */
FS_MUST_CHECK fs_status fs_tiers_read(const char *path, fs_tiers *tiers, fs_err *err);

/* The shipped ones as the file that they are: to change and give back. */
void fs_tiers_print(fs_out *out);

#endif
