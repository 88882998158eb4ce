/* report.h - the result in the forms that people and programs read. Nothing here computes: see run_result.c. */
#ifndef FS_REPORT_H
#define FS_REPORT_H

#include "report/result.h"
#include "report/table.h"

/* "132.5 kW", into the buffer, which is returned. */
const char *fs_format_watts(double value, char *text, size_t size);

/* The summary for a person: step time, where it went, communication, tiers, busiest links. */
FS_MUST_CHECK fs_status fs_report_text(const fs_result *result, fs_style style, fs_out *out, fs_err *err);

/* Instead of it for a scaling study: a row for each run. */
FS_MUST_CHECK fs_status fs_report_scaling(const fs_result *result, fs_style style, fs_out *out, fs_err *err);

/* Result JSON (docs/FORMATS.md, "Result"). No clock, address or environment goes into it but for the two members wall_s
 * and peak_memory_bytes, which `stable` leaves out. */
typedef struct fs_report_meta {
    const char *version;
    const char *command; /* the command line in one string, for the record */
    bool stable;         /* leave out what differs from run to run */
    uint32_t top_links;  /* how many of links[] to write; UINT32_MAX = all */
} fs_report_meta;
void fs_report_json(const fs_result *result, const fs_report_meta *meta, fs_out *out);

/* breakdown.csv, tiers.csv, links.csv, comms.csv, and scaling.csv of a scaling study, in an existing or creatable directory. */
FS_MUST_CHECK fs_status fs_report_csv(const fs_result *result, const char *directory, fs_err *err);

#endif
