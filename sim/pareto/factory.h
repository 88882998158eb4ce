/* factory.h - a facility of given power that sells tokens: how many replicas fit, what they give, what that earns.
 *
 * Each tier has its share of the power. It is served at the point of a search that keeps the tier's tokens/s per user and
 * gives most tokens/s for each W of rated power: power must be provided for GPUs that work as hard as they can. As many
 * replicas as fit into the share stand there, whole ones. Energy is what they draw. Revenue counts output tokens, all sold,
 * all year. */
#ifndef FS_PARETO_FACTORY_H
#define FS_PARETO_FACTORY_H

#include "pareto/search.h"
#include "pareto/tiers.h"
#include "report/table.h"

typedef struct fs_factory_line {
    const fs_operating_point *point; /* of the search; NULL: none is fast enough */
    double replicas, gpus;
    double power_W, rated_W; /* of the facility: drawn, provided for */
    double tokens_per_s, dollars_per_year;
} fs_factory_line;

/* One system, and what it makes of each tier. */
typedef struct fs_factory_row {
    const char *system, *trace; /* not owned */
    fs_factory_line lines[FS_TIERS_MAX], total;
} fs_factory_row;

typedef struct fs_factory {
    double power_W, pue;
    const fs_tiers *tiers;
    fs_factory_row *rows; /* (n) */
    uint32_t n;
} fs_factory;

/* Fill the lines of a row from a search. */
void fs_factory_fill(const fs_factory *factory, const fs_search *search, fs_factory_row *row);

FS_MUST_CHECK fs_status fs_factory_text(const fs_factory *factory, fs_style style, fs_out *out, fs_err *err);
void fs_factory_json(const fs_factory *factory, fs_out *out);

#endif
