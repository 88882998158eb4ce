/* test_trunk.c - links that patterns cross alike, and classes of links from those of trunks. */
#include "fold/trunk.h"

#include "fabric_case.h"
#include "topo/faults.h"

enum { LINKS = 8, PATTERNS_MAX = 4 };

/* Four GPUs in a ring: eight links of one type. */
typedef struct stage {
    fabric fabric;
    fs_folding folding;
    uint32_t patterns[PATTERNS_MAX], n_patterns;
    fs_trunks trunks;
} stage;

static void set_up(stage *s, const char *line)
{
    *s = (stage){.fabric = fabric_open(line, FS_COST_IDEAL, FS_LOWER_COUPLED)};
    s->folding = (fs_folding){.topo = s->fabric.topo, .patterns = s->fabric.patterns, .cost = FS_COST_IDEAL};
}

static void cross(stage *s, const fs_share *shares, uint32_t count)
{
    uint32_t *id = &s->patterns[s->n_patterns++];
    assert_int_equal(fs_pattern_add(s->fabric.patterns, shares, count, id, &s->fabric.err), FS_OK);
}

static void find(stage *s)
{
    assert_int_equal(fs_trunks_find(&s->folding, s->patterns, s->n_patterns, &s->trunks, &s->fabric.err), FS_OK);
}

static void tear_down(stage *s)
{
    fs_trunks_free(&s->trunks);
    fabric_close(&s->fabric);
}

static void expect_trunks(const stage *s, const uint32_t *want)
{
    for (uint32_t l = 0; l < LINKS; l++)
        assert_int_equal(s->trunks.of_link[l], want[l]);
}

static void idle_links_are_in_no_trunk(void **state)
{
    (void)state;
    stage s;
    set_up(&s, "ring:4 nvlink:10GB/s");
    assert_int_equal(s.fabric.topo->n_links, LINKS);
    find(&s);
    assert_int_equal(s.trunks.n, 0);
    expect_trunks(&s, (uint32_t[]){FS_NONE, FS_NONE, FS_NONE, FS_NONE, FS_NONE, FS_NONE, FS_NONE, FS_NONE});
    tear_down(&s);
}

static void crossed_alike_is_one_trunk(void **state)
{
    (void)state;
    stage s;
    set_up(&s, "ring:4 nvlink:10GB/s");
    cross(&s, (fs_share[]){{0, 1}, {2, 1}, {4, 0.5}, {5, 1}}, 4); /* 4: another coefficient */
    cross(&s, (fs_share[]){{5, 1}, {6, 1}}, 2);                   /* 5: in both */
    find(&s);
    assert_int_equal(s.trunks.n, 4);
    expect_trunks(&s, (uint32_t[]){0, FS_NONE, 0, FS_NONE, 1, 2, 3, FS_NONE});
    static const uint32_t first[] = {0, 4, 5, 6}, count[] = {2, 1, 1, 1};
    for (uint32_t t = 0; t < s.trunks.n; t++) {
        assert_int_equal(s.trunks.first[t], first[t]);
        assert_int_equal(s.trunks.count[t], count[t]);
    }
    tear_down(&s);
}

/* Links of other capacities, from the start or later, are no trunk though all cross them alike. */
static void colours_split_trunks(void **state)
{
    (void)state;
    stage s;
    set_up(&s, "gpus:4 nvlink:10GB/s");
    fs_link link = fs_topo_link(s.fabric.topo, 2);
    fs_fault slow = {.kind = FS_FAULT_LINK, .speed = 0.5, .from_s = 1, .to_s = 2, .origin = "test"};
    slow.name = FS_DEVICE_NAME(s.fabric.topo, link.src);
    slow.other = FS_DEVICE_NAME(s.fabric.topo, link.dst);
    assert_int_equal(fs_topo_apply_faults(s.fabric.topo, &slow, 1, &s.fabric.err), FS_OK);
    cross(&s, (fs_share[]){{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}, {7, 1}}, LINKS);
    find(&s);
    assert_int_equal(s.trunks.n, 2);
    assert_int_equal(s.trunks.of_link[0], 0);
    assert_int_equal(s.trunks.of_link[2], 1);
    tear_down(&s);
}

static void classes_of_links(void **state)
{
    (void)state;
    stage s;
    uint32_t class_of[LINKS], n_classes;
    set_up(&s, "ring:4 nvlink:10GB/s");
    cross(&s, (fs_share[]){{1, 1}, {2, 1}}, 2);
    cross(&s, (fs_share[]){{3, 1}, {4, 1}}, 2);
    cross(&s, (fs_share[]){{6, 1}}, 1);
    find(&s);
    assert_int_equal(s.trunks.n, 3);
    static const uint32_t class_of_trunk[] = {0, 0, 1}, want[] = {0, 1, 1, 1, 1, 0, 2, 0}; /* the idle ones: one */
    assert_int_equal(fs_trunks_classes(&s.folding, &s.trunks, class_of_trunk, class_of, &n_classes, &s.fabric.err),
                     FS_OK);
    assert_int_equal(n_classes, 3);
    for (uint32_t l = 0; l < LINKS; l++)
        assert_int_equal(class_of[l], want[l]);
    tear_down(&s);
}

static void coefficients_add_up_exactly(void **state)
{
    (void)state;
    uint64_t one = fs_coefficient_weight(1);
    for (uint32_t parts = 1; parts <= 16; parts++)
        assert_true(fs_coefficient_weight(1.0 / parts) * parts == one);
    assert_true(fs_coefficient_weight(1.0 / 4096) * 4096 == one);
    assert_true(fs_coefficient_weight(0.1 + 0.2) == fs_coefficient_weight(0.3)); /* rounding tells nothing apart */
    assert_true(fs_coefficient_weight(3) == 3 * one);
    assert_true(fs_coefficient_weight(1.0 / 17) * 17 != one); /* a word of its own */
    assert_true(fs_coefficient_weight(1.0 / 17) != fs_coefficient_weight(1.0 / 19));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_links_are_in_no_trunk),  cmocka_unit_test(crossed_alike_is_one_trunk),
        cmocka_unit_test(colours_split_trunks),        cmocka_unit_test(classes_of_links),
        cmocka_unit_test(coefficients_add_up_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
