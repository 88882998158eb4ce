/* metric.h - where the time went, in integers and callbacks.
 *
 * Each actor has, at any time, one state: the category with the smallest number among its ops under way, or idle. The
 * seconds in each state add up to the step exactly: compute first, so communication counts only where it is exposed. */
#ifndef FS_METRIC_H
#define FS_METRIC_H

#include "base/err.h"

typedef struct fs_metric fs_metric;

/* Categories 0 .. n_categories-1 in order of precedence; idle is category n_categories. */
FS_MUST_CHECK fs_status fs_metric_new(uint32_t n_actors, uint32_t n_categories, uint32_t n_tiers, fs_metric **metric,
                                      fs_err *err);
void fs_metric_free(fs_metric *metric);
void fs_metric_begin(fs_metric *metric, uint32_t actor, uint32_t category, double now_s);
void fs_metric_end(fs_metric *metric, uint32_t actor, uint32_t category, double now_s);
/* The load of a link of a tier has changed by delta (B/s): for the tier's peak and its load over time. */
void fs_metric_load(fs_metric *metric, uint32_t tier, double delta_Bps, double now_s);
void fs_metric_finish(fs_metric *metric, double end_s);

/* After finish: seconds of the actor in the category (n_categories = idle). */
double fs_metric_seconds(const fs_metric *metric, uint32_t actor, uint32_t category);
double fs_metric_tier_peak(const fs_metric *metric, uint32_t tier); /* B/s */

/* Loads of tiers over time, for a picture: means over equal steps, exactly. Steps double when the run outgrows FS_METRIC_STEPS of
 * them, so that in the end there are more than half as many, the last of which may reach past the end. */
enum { FS_METRIC_STEPS = 256 };
double fs_metric_step_s(const fs_metric *metric);                               /* of all tiers */
double fs_metric_tier_load(const fs_metric *metric, uint32_t tier, uint32_t i); /* mean over step i, B/s */

#endif
