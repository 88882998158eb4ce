/* report_in.h - parts of reports that training and inference share. Private to sim/report. */
#ifndef FS_REPORT_IN_H
#define FS_REPORT_IN_H

#include "base/jsonw.h"
#include "report/report.h"
#include "report/serving.h"

void fs_report_head(const fs_result *r, fs_style style, fs_out *out);
void fs_report_line(fs_out *out, const char *what, const char *value, const char *note);
void fs_report_similar(const fs_result *r, fs_out *out); /* what to expect of all figures: errors of measured cases */
void fs_report_power(const fs_result *r, fs_out *out);   /* nothing where no power is known */
FS_MUST_CHECK fs_status fs_report_tiers(const fs_result *r, fs_style style, fs_out *out, fs_err *err);
FS_MUST_CHECK fs_status fs_report_links(const fs_result *r, fs_style style, fs_out *out, fs_err *err);

/* The members load, timeline and fabric; null where there is nothing to draw. */
void fs_report_pictures_json(const fs_result *r, fs_jsonw *w);

/* Of a result that has `serving`. */
FS_MUST_CHECK fs_status fs_report_serving_text(const fs_result *r, fs_style style, fs_out *out, fs_err *err);
void fs_report_serving_json(const fs_serving_result *v, fs_jsonw *w);

/* Of inference with MLPs in another pool; nothing without. JSON: a pool's member "afd". */
FS_MUST_CHECK fs_status fs_report_afd_text(const fs_serving_result *v, fs_style style, fs_out *out, fs_err *err);
void fs_report_afd_json(const fs_afd_row *row, fs_jsonw *w);

#endif
