/* load_series.c - see load_series.h. O(1) a change, amortized: a thinning halves the points at least. */
#include "report/load_series.h"

/* Points per step at most (a busy part and a calm part), the factor kept free after thinning, and the end point. */
enum { POINTS_PER_STEP = 2, FREE_FACTOR = 2 };

fs_load_series fs_load_series_start(fs_load_point *points, uint32_t capacity)
{
    return (fs_load_series){.points = points, .capacity = capacity};
}

/* Merge points that are closer than the step into their mean. `end_s` is where the last one ends. */
static void thin(fs_load_series *s, double end_s)
{
    s->step_s = end_s * POINTS_PER_STEP * FREE_FACTOR / s->capacity;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->count;) {
        double begin = s->points[i].time_s, area = 0, end = begin;
        do {
            end = i + 1 < s->count ? s->points[i + 1].time_s : end_s;
            area += s->points[i].load * (end - s->points[i].time_s);
            i++;
        } while (i < s->count && end - begin < s->step_s);
        s->points[kept++] = (fs_load_point){begin, area / (end - begin)};
    }
    s->count = kept;
}

/* The point under way ends at end_s > begin_s. */
static void close_point(fs_load_series *s, double end_s, double area)
{
    if (s->count + 1 == s->capacity) /* one stays free for the end */
        thin(s, s->begin_s);
    s->points[s->count++] = (fs_load_point){s->begin_s, area / (end_s - s->begin_s)};
    s->begin_s = end_s;
}

void fs_load_series_set(fs_load_series *s, double now_s, double load)
{
    double calm = now_s - s->since_s;
    if (s->begin_s < s->since_s && calm > s->step_s && s->since_s - s->begin_s >= s->step_s) {
        /* A long stretch without a change gets a point of its own, lest it dilute the busy part before it. */
        close_point(s, s->since_s, s->area);
        s->area = 0;
    }
    s->area += s->load * calm;
    s->since_s = now_s;
    s->load = load;
    if (now_s > s->begin_s && now_s - s->begin_s >= s->step_s) {
        close_point(s, now_s, s->area);
        s->area = 0;
    }
}

void fs_load_series_finish(fs_load_series *s, double end_s)
{
    if (s->since_s > s->begin_s) {
        close_point(s, s->since_s, s->area);
        s->area = 0;
    }
    if (end_s > s->since_s)
        close_point(s, end_s, s->load * (end_s - s->since_s));
    s->points[s->count++] = (fs_load_point){end_s, s->load};
}
