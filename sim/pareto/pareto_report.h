/* pareto_report.h - what a search found: a table and a plot for people, JSON and CSV for programs. */
#ifndef FS_PARETO_REPORT_H
#define FS_PARETO_REPORT_H

#include "base/jsonw.h"
#include "pareto/search.h"
#include "report/report.h"

typedef struct fs_pareto_view {
    const fs_search_def *def;
    const fs_search *search;
    fs_frontier_by by;
    const uint32_t *frontier; /* (n) */
    uint32_t n, width;        /* width: columns of the terminal */
} fs_pareto_view;

FS_MUST_CHECK fs_status fs_pareto_text(const fs_pareto_view *view, fs_style style, fs_out *out, fs_err *err);
void fs_pareto_json(const fs_pareto_view *view, fs_out *out);
void fs_pareto_csv(const fs_pareto_view *view, fs_out *out);

#endif
