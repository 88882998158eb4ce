/* sweep.h - a sweep file: which points it means. docs/FORMATS.md, "Sweep".
 *
 * Points are never stored: a point is a number of a combination, whose digits say which topology, which trace and which
 * value of each axis; what a point sets is worked out when somebody asks. Only the numbers of the combinations that
 * fulfil all conditions are kept, 4 bytes a point. */
#ifndef FS_SWEEP_H
#define FS_SWEEP_H

#include "base/json.h"
#include "base/mem.h"
#include "run_set.h"
#include "sweep/expr.h"

/* Combinations before conditions, and points after them. */
#ifndef FS_SWEEP_COMBINATIONS_MAX
#define FS_SWEEP_COMBINATIONS_MAX 20000000u
#endif
#define FS_SWEEP_POINTS_MAX 1000000u
enum { FS_AXES_MAX = 32 };

typedef struct fs_setting {
    const char *name;
    fs_value value; /* never absent */
} fs_setting;

typedef struct fs_setting_list {
    fs_setting *data; /* (count) */
    uint32_t count;
} fs_setting_list;

/* A topology or a trace. */
typedef struct fs_sweep_input {
    const char *file; /* as the sweep says it */
    const char *path; /* where it is: from the sweep file's directory */
    fs_setting_list set;
} fs_sweep_input;

/* What changes together: one list of a grid, a zip of lists, samples, explicit points. */
typedef struct fs_axis {
    uint32_t n_names, n_values;
    const char **names; /* (n_names) */
    fs_value *values;   /* (n_values x n_names) */
} fs_axis;

typedef struct fs_derived {
    const char *name;
    fs_expr *expr;
} fs_derived;

typedef struct fs_sweep {
    fs_arena *arena; /* owns names, texts, arrays */
    fs_json_doc *doc;
    const char *name, *path;
    uint32_t n_topologies, n_traces, n_axes, n_derived, n_conditions;
    fs_sweep_input *topologies, *traces;
    fs_setting_list set; /* in all points */
    fs_axis axes[FS_AXES_MAX];
    fs_derived *derived;
    fs_expr **conditions;
    bool has_baseline; /* it is point 0 */
    uint32_t baseline_topology, baseline_trace;
    fs_setting_list baseline;
    FS_VEC(uint32_t) combinations; /* of the points behind the baseline */
} fs_sweep;

/* FS_E_USAGE with file, line and column where the file is wrong. */
FS_MUST_CHECK fs_status fs_sweep_load(const char *path, fs_sweep **sweep, fs_err *err);
FS_MUST_CHECK fs_status fs_sweep_parse(const char *path, const char *json, size_t length, fs_sweep **sweep,
                                       fs_err *err);
void fs_sweep_free(fs_sweep *sweep);
uint32_t fs_sweep_count(const fs_sweep *sweep); /* points, the baseline among them */

/* What one point sets, sorted by name, each name once. */
typedef struct fs_point {
    const fs_sweep_input *topology, *trace;
    bool baseline;
    uint32_t count;
    fs_setting settings[FS_SETTINGS_MAX];
} fs_point;
FS_MUST_CHECK fs_status fs_sweep_point(const fs_sweep *sweep, uint32_t number, fs_point *point, fs_err *err);

/* The settings as a JSON object on one line. */
void fs_point_write_settings(const fs_point *point, fs_out *out);

#endif
