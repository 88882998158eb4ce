/* load_series.h - a load over time in a bounded number of points, thinned as it comes.
 *
 * While there is room every change is kept exactly. When the points run out, time is cut into steps so wide that half
 * the points suffice, and each point becomes the mean load over its step: the area under the curve stays what it was.
 */
#ifndef FS_LOAD_SERIES_H
#define FS_LOAD_SERIES_H

#include "base/err.h"

typedef struct fs_load_point {
    double time_s, load; /* mean load from here to the next point */
} fs_load_point;

typedef struct fs_load_series {
    fs_load_point *points; /* (capacity) the caller's, capacity >= FS_LOAD_POINTS_MIN */
    uint32_t capacity, count;
    double step_s;        /* no two points are closer; 0 while nothing has been thinned */
    double begin_s, area; /* of the point under way: since when, load x time so far */
    double since_s, load; /* the load now, and since when */
} fs_load_series;

enum { FS_LOAD_POINTS_MIN = 16 };

fs_load_series fs_load_series_start(fs_load_point *points, uint32_t capacity);
/* The load changes to `load` at now_s; several changes at one time count as the last of them. */
void fs_load_series_set(fs_load_series *series, double now_s, double load);
/* The series ends; its last point is at end_s. */
void fs_load_series_finish(fs_load_series *series, double end_s);

#endif
