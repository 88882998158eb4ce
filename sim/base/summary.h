/* summary.h - samples with weights, and what one says about them: mean, percentiles, greatest.
 *
 * Samples are counted in bins of equal ratio, 0.1 % wide, from 1 ns to 1e9 s (a sample is a time, or any other positive
 * number in that range; smaller ones, 0 too, share the lowest bin). Mean, sum and greatest are exact; percentiles are
 * the middle of a bin, so within 0.05 %. Adding is O(1) and never allocates. */
#ifndef FS_SUMMARY_H
#define FS_SUMMARY_H

#include "base/err.h"

enum { FS_QUANTILES = 51 };

typedef struct fs_summary {
    double count, mean, p50, p90, p99, least, greatest; /* all 0 without samples */
    double quantiles
        [FS_QUANTILES]; /* what 0, 1/50, ..., 1 of the samples stay below or at: the distribution for a picture */
} fs_summary;

typedef struct fs_samples fs_samples;

fs_samples *fs_samples_new(void); /* NULL when out of memory */
void fs_samples_free(fs_samples *samples);
void fs_samples_add(fs_samples *samples, double value, double weight); /* value >= 0, weight >= 0 */
fs_summary fs_samples_summary(const fs_samples *samples);

#endif
