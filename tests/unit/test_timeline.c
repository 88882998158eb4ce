/* test_timeline.c - the Chrome trace: it parses, slices nest, arrows arrive, counters stay few. */
#include "../fixture.h"
#include "base/json.h"
#include "base/rng.h"
#include "report/load_series.h"
#include "report/timeline.h"

#include <stdlib.h>
#include <unistd.h>

enum { THREADS_MAX = 64, DEPTH_MAX = 4, ARROWS_MAX = 4096 };

/* Microseconds with three decimals, as nanoseconds. */
static int64_t ns_of(const fs_json *event, const char *key)
{
    const fs_json *value = fs_json_get(event, key);
    assert_non_null(value);
    double us = fs_json_number(value);
    double ns = nearbyint(us * 1e3);
    assert_true(fabs(us * 1e3 - ns) < 1e-3);
    return (int64_t)ns;
}

static const char *text_of(const fs_json *event, const char *key)
{
    const fs_json *value = fs_json_get(event, key);
    assert_non_null(value);
    return fs_json_string(value);
}

typedef struct track {
    double id;
    int64_t last_ns;
    int64_t open[DEPTH_MAX]; /* ends of the slices that are open */
    int depth;
} track;

typedef struct picture {
    track tracks[THREADS_MAX];
    uint32_t n_tracks, slices, waits, moves, counters, processes, threads;
    uint8_t leaves[ARROWS_MAX], arrives[ARROWS_MAX];
    uint32_t arrows;
} picture;

static track *track_of(picture *p, double id)
{
    for (uint32_t i = 0; i < p->n_tracks; i++)
        if (p->tracks[i].id == id)
            return &p->tracks[i];
    assert_true(p->n_tracks < THREADS_MAX);
    p->tracks[p->n_tracks] = (track){.id = id, .last_ns = -1};
    return &p->tracks[p->n_tracks++];
}

static void look_at_slice(picture *p, const fs_json *event, track *t)
{
    int64_t begin = ns_of(event, "ts"), end = begin + ns_of(event, "dur");
    const char *name = text_of(event, "name");
    while (t->depth > 0 && t->open[t->depth - 1] <= begin && end > begin)
        t->depth--;
    for (int i = 0; i < t->depth; i++)
        assert_true(end <= t->open[i] || begin >= t->open[i]);
    assert_true(t->depth < DEPTH_MAX);
    t->open[t->depth++] = end;
    if (end == begin)
        t->depth--;
    p->slices++;
    p->waits += strcmp(name, "wait") == 0;
    p->moves += strcmp(name, "move") == 0;
}

static void look_at_arrow(picture *p, const fs_json *event, const track *t, uint8_t *ends)
{
    uint32_t id = (uint32_t)fs_json_number(fs_json_get(event, "id"));
    assert_true(id < ARROWS_MAX);
    assert_int_equal(ends[id]++, 0);
    p->arrows += ends == p->leaves;
    assert_true(t->depth > 0 && t->open[t->depth - 1] >= ns_of(event, "ts")); /* inside a slice */
}

static void look_at(picture *p, const fs_json *event)
{
    char kind = text_of(event, "ph")[0];
    if (kind == 'M') {
        p->processes += strcmp(text_of(event, "name"), "process_name") == 0;
        p->threads += strcmp(text_of(event, "name"), "thread_name") == 0;
        return;
    }
    double pid = fs_json_number(fs_json_get(event, "pid")), tid = fs_json_number(fs_json_get(event, "tid"));
    track *t = track_of(p, kind == 'C' ? -pid : tid);
    int64_t ts = ns_of(event, "ts");
    /* Inside an op: parent, wait, move, arrow. Time never goes back on a track; a counter has one value at a time. */
    assert_true(kind == 'C' ? ts > t->last_ns : ts >= t->last_ns);
    t->last_ns = ts > t->last_ns ? ts : t->last_ns;
    switch (kind) {
    case 'X': look_at_slice(p, event, t); break;
    case 's': look_at_arrow(p, event, t, p->leaves); break;
    case 'f': look_at_arrow(p, event, t, p->arrives); break;
    case 'C': p->counters++; break;
    default: fail_msg("event of kind %c", kind);
    }
}

static fs_json_doc *document_of(const fs_topo *topo, const fs_work *work, const char *path)
{
    fs_result result = {0};
    fs_json_doc *doc = NULL;
    fs_run_options options = ideal();
    options.timeline = path;
    ASSERT_OK(fs_run(topo, work, &options, &result, &failure));
    fs_result_free(&result);
    ASSERT_OK(fs_json_read(path, FS_E_IO, &doc, &failure));
    assert_int_equal(unlink(path), 0);
    return doc;
}

static picture draw(const char *line, fs_work *work, const char *path)
{
    static picture p;
    p = (picture){0};
    fs_topo *topo = make_topo(line);
    fs_json_doc *doc = document_of(topo, work, path);
    const fs_json *events = fs_json_get(fs_json_root(doc), "traceEvents");
    for (const fs_json *event = fs_json_first(events); event; event = fs_json_next(event))
        look_at(&p, event);
    for (uint32_t i = 0; i < ARROWS_MAX; i++)
        assert_int_equal(p.leaves[i], p.arrives[i]);
    fs_json_free(doc);
    fs_work_free(work);
    fs_topo_free(topo);
    return p;
}

static void slices_nest_and_arrows_arrive(void **state)
{
    (void)state;
    static const char *const paths[] = {"test_timeline.json", "test_timeline.json.gz"};
    for (uint32_t i = 0; i < 2; i++) {
        fs_work_builder *b = make_builder(4);
        for (uint32_t rank = 0; rank < 4; rank++) {
            uint32_t p = add_program(b, "p", rank, rank);
            for (uint32_t n = 0; n < 20; n++) {
                add(b, p, "main", compute(1.0000003e-5 * (rank + 1)));
                add(b, p, "main", collective(FS_ALL_REDUCE, 0, 12345));
                add(b, p, "aside", shifted(FS_OP_SEND, 0, 1, 0, 1e3 * (n + 1)));
                add(b, p, "back", shifted(FS_OP_RECV, 0, -1, 0, 1e3 * (n + 1)));
                add(b, p, "back", delay(1.7e-6 * rank));
            }
        }
        picture p = draw("gpus:4 nvlink:1GB/s,321ns", finish(b), paths[i]);
        assert_int_equal(p.processes, 4 + 1);
        assert_int_equal(p.threads, 4 * 3);
        assert_int_equal(p.arrows, 4 * 20);
        assert_true(p.waits > 0);
        assert_int_equal(p.waits, p.moves);
        assert_int_equal(p.slices, 4 * 20 * 5 + p.waits + p.moves);
        assert_true(p.counters > 10);
    }
}

/* Ten links fill up a third of a nanosecond after each other: more changes than a timeline has times for. */
static void changes_within_a_nanosecond_are_one(void **state)
{
    (void)state;
    enum { RANKS = 10 };
    fs_work_builder *b = make_builder(RANKS);
    for (uint32_t rank = 0; rank < RANKS; rank++) {
        uint32_t p = add_program(b, "p", rank, rank);
        add(b, p, "main", delay(rank * 0.33e-9));
        add(b, p, "main", shifted(FS_OP_SEND, 0, 1, 0, 1e6));
        add(b, p, "back", shifted(FS_OP_RECV, 0, -1, 0, 1e6));
    }
    picture drawn = draw("gpus:10 nvlink:300GB/s,0ns", finish(b), "test_timeline.json");
    assert_int_equal(drawn.arrows, RANKS);
    assert_in_range(drawn.counters, 5, RANKS); /* at 0, 1, 2, 3 ns and where they end */
}

static void a_whole_trace_to_the_letter(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(1);
    ASSERT_OK(fs_work_place(b, 0, 1, &failure));
    uint32_t p = add_program(b, "p", 0, 0);
    fs_op op = compute(1.5e-6);
    op.phase = FS_PHASE_FORWARD;
    add_op(b, p, "a\"b", "x\\y\n", op, NULL, 0);
    fs_work *work = finish(b);
    fs_topo *topo = make_topo("gpus:2 nvlink:1GB/s");
    fs_run_options options = ideal();
    options.timeline = "test_timeline.json";
    fs_result result = {0};
    ASSERT_OK(fs_run(topo, work, &options, &result, &failure));
    fs_result_free(&result);
    char *text = NULL;
    size_t length = 0;
    ASSERT_OK(fs_file_read(options.timeline, &text, &length, &failure));
    assert_int_equal(unlink(options.timeline), 0);
    char want[2048];
    snprintf(want, sizeof want,
             "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n"
             "{\"ph\":\"M\",\"pid\":1,\"tid\":0,\"name\":\"process_name\",\"args\":{\"name\":\"gpu1 (gpu1)\"}},\n"
             "{\"ph\":\"M\",\"pid\":1,\"tid\":0,\"name\":\"process_sort_index\",\"args\":{\"sort_index\":0}},\n"
             "{\"ph\":\"M\",\"pid\":1,\"tid\":3,\"name\":\"thread_name\",\"args\":{\"name\":\"a\\\"b\"}},\n"
             "{\"ph\":\"M\",\"pid\":1,\"tid\":3,\"name\":\"thread_sort_index\",\"args\":{\"sort_index\":0}},\n"
             "{\"ph\":\"X\",\"pid\":1,\"tid\":3,\"ts\":0.000,\"dur\":1.500,\"name\":\"x\\\\y\\u000a\",\"cat\":\"%s\","
             "\"args\":{\"op\":0}},\n"
             "{\"ph\":\"M\",\"pid\":2,\"tid\":0,\"name\":\"process_name\",\"args\":{\"name\":\"tier %s\"}},\n"
             "{\"ph\":\"M\",\"pid\":2,\"tid\":0,\"name\":\"process_sort_index\",\"args\":{\"sort_index\":1}},\n"
             "{\"ph\":\"C\",\"pid\":2,\"tid\":0,\"ts\":0.000,\"name\":\"load %%\",\"args\":{\"%s\":0.000}},\n"
             "{\"ph\":\"C\",\"pid\":2,\"tid\":0,\"ts\":1.500,\"name\":\"load %%\",\"args\":{\"%s\":0.000}}\n"
             "]}\n",
             fs_phase_names[FS_PHASE_FORWARD], topo->tiers[0].name, topo->tiers[0].name, topo->tiers[0].name);
    assert_string_equal(text, want);
    fs_free(text);
    fs_work_free(work);
    fs_topo_free(topo);
}

/* ---- the series of a counter ------------------------------------------------------------------------------------- */

static double area_of(const fs_load_series *s)
{
    double area = 0;
    for (uint32_t i = 0; i + 1 < s->count; i++)
        area += s->points[i].load * (s->points[i + 1].time_s - s->points[i].time_s);
    return area;
}

static void a_short_series_is_exact(void **state)
{
    (void)state;
    fs_load_point room[FS_LOAD_POINTS_MIN];
    fs_load_series s = fs_load_series_start(room, FS_LOAD_POINTS_MIN);
    fs_load_series_set(&s, 1, 0.25);
    fs_load_series_set(&s, 1, 0.5); /* the last word at a time counts */
    fs_load_series_set(&s, 3, 1);
    fs_load_series_set(&s, 4, 0);
    fs_load_series_finish(&s, 6);
    static const fs_load_point want[] = {{0, 0}, {1, 0.5}, {3, 1}, {4, 0}, {6, 0}};
    assert_int_equal(s.count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_true(s.points[i].time_s == want[i].time_s);
        assert_true(s.points[i].load == want[i].load);
    }
}

static void a_series_of_no_time(void **state)
{
    (void)state;
    fs_load_point room[FS_LOAD_POINTS_MIN];
    fs_load_series s = fs_load_series_start(room, FS_LOAD_POINTS_MIN);
    fs_load_series_finish(&s, 0);
    assert_int_equal(s.count, 1);
}

/* Thinned series keep their area, their order and their room, whatever the rhythm of changes. */
static void a_long_series_keeps_its_area(void **state)
{
    (void)state;
    enum { CAPACITY = 64, GUARD = 4 };
    for (uint64_t seed = 1; seed <= 200; seed++) {
        fs_rng rng = fs_rng_seed(seed);
        fs_load_point room[CAPACITY + GUARD];
        fs_load_series s = fs_load_series_start(room, CAPACITY);
        double now = 0, load = 0, area = 0;
        uint32_t changes = fs_rng_below(&rng, 3000);
        for (uint32_t i = 0; i < changes; i++) {
            double step = fs_rng_below(&rng, 4) == 0 ? 0 : fs_rng_below(&rng, 50) == 0 ? 100 : fs_rng_unit(&rng);
            area += load * step;
            now += step;
            load = fs_rng_unit(&rng);
            fs_load_series_set(&s, now, load);
            assert_true(s.count < CAPACITY);
        }
        area += load;
        fs_load_series_finish(&s, now + 1);
        assert_true(s.count <= CAPACITY);
        for (uint32_t i = 0; i + 1 < s.count; i++)
            if (!(s.points[i].time_s < s.points[i + 1].time_s))
                fail_msg("seed %llu: point %u of %u", (unsigned long long)seed, i, s.count);
        assert_true(s.points[s.count - 1].time_s == now + 1);
        if (fabs(area_of(&s) - area) > 1e-9 * area + 1e-12)
            fail_msg("seed %llu: area %.17g is not %.17g", (unsigned long long)seed, area_of(&s), area);
        if (changes > 1000)
            assert_true(s.count > CAPACITY / 16);
    }
}

/* A busy second in a calm day stays visible. */
static void a_calm_stretch_does_not_dilute(void **state)
{
    (void)state;
    fs_load_point room[FS_LOAD_POINTS_MIN];
    fs_load_series s = fs_load_series_start(room, FS_LOAD_POINTS_MIN);
    for (uint32_t i = 0; i < 1000; i++)
        fs_load_series_set(&s, i * 1e-3, i % 2 ? 0.5 : 1);
    fs_load_series_set(&s, 1, 0);
    fs_load_series_finish(&s, 1000);
    assert_true(area_of(&s) > 0.74 && area_of(&s) < 0.76);
    for (uint32_t i = 0; i < s.count; i++)
        if (s.points[i].time_s < 0.5)
            assert_true(s.points[i].load > 0.5);
}

static char folder[] = "/tmp/fabsim-test-XXXXXX";

static int enter_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL || chdir(folder) != 0;
}

static int leave_folder(void **state)
{
    (void)state;
    return chdir("/") != 0 || rmdir(folder) != 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_nest_and_arrows_arrive),
        cmocka_unit_test(changes_within_a_nanosecond_are_one),
        cmocka_unit_test(a_whole_trace_to_the_letter),
        cmocka_unit_test(a_short_series_is_exact),
        cmocka_unit_test(a_series_of_no_time),
        cmocka_unit_test(a_long_series_keeps_its_area),
        cmocka_unit_test(a_calm_stretch_does_not_dilute),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
