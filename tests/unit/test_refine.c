/* test_refine.c - colour refinement: known graphs, weights and colours, order of classes; random graphs beside a twin
 * that refines everything in rounds until nothing splits. */
#include "fold/refine.h"

#include "base/mem.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { NODES_MAX = 64, ARCS_MAX = 512, WEIGHTS = 6, RANDOM_GRAPHS = 3000 };

typedef struct arc {
    uint32_t from, to, weight;
} arc;

typedef struct graph {
    uint32_t n, n_arcs;
    fs_colour colours[NODES_MAX];
    arc arcs[ARCS_MAX];
} graph;

/* 3 = 1 + 2 and 4 = 2 + 2: sums count, not how they come about. The last one wraps around to 0 with 1. */
static const uint64_t weights[WEIGHTS] = {1, 2, 3, 4, UINT64_C(0x9e3779b97f4a7c15), UINT64_MAX};

static graph nodes(uint32_t n)
{
    graph g = {.n = n};
    for (uint32_t i = 0; i < n; i++)
        g.colours[i] = (fs_colour){1, 2};
    return g;
}

static void add(graph *g, uint32_t from, uint32_t to, uint32_t weight)
{
    assert_true(g->n_arcs < ARCS_MAX);
    g->arcs[g->n_arcs++] = (arc){from, to, weight};
}

static void add_edge(graph *g, uint32_t x, uint32_t y)
{
    add(g, x, y, 0);
    add(g, y, x, 0);
}

/* The graph as fs_refine takes it, until the next call. */
static fs_graph in_arrays(const graph *g)
{
    static uint64_t begin[NODES_MAX + 1];
    static fs_ray rays[ARCS_MAX];
    uint32_t n_rays = 0;
    for (uint32_t node = 0; node < g->n; node++) {
        begin[node] = n_rays;
        for (uint32_t i = 0; i < g->n_arcs; i++)
            if (g->arcs[i].from == node)
                rays[n_rays++] = (fs_ray){g->arcs[i].to, g->arcs[i].weight};
    }
    begin[g->n] = n_rays;
    return (fs_graph){.n_nodes = g->n, .colours = g->colours, .begin = begin, .rays = rays, .weights = weights};
}

static uint32_t refine(const graph *g, uint32_t *class_of)
{
    fs_graph arrays = in_arrays(g);
    uint32_t n_classes = FS_NONE;
    fs_err err = {0};
    assert_int_equal(fs_refine(&arrays, class_of, &n_classes, &err), FS_OK);
    return n_classes;
}

static void expect_classes(const graph *g, uint32_t n_classes, const uint32_t *want)
{
    uint32_t class_of[NODES_MAX];
    assert_int_equal(refine(g, class_of), n_classes);
    for (uint32_t i = 0; i < g->n; i++)
        assert_int_equal(class_of[i], want[i]);
}

/* ---- known graphs ------------------------------------------------------------------------------------------------ */

static void nothing_to_refine(void **state)
{
    (void)state;
    graph empty = nodes(0), loose = nodes(3);
    expect_classes(&empty, 0, NULL);
    expect_classes(&loose, 1, (uint32_t[]){0, 0, 0});
    loose.colours[1].b = 7; /* either half of a colour tells */
    loose.colours[2].a = 7;
    expect_classes(&loose, 3, (uint32_t[]){0, 1, 2});
}

static void a_path_folds_in_the_middle(void **state)
{
    (void)state;
    graph g = nodes(7);
    for (uint32_t i = 0; i + 1 < g.n; i++)
        add_edge(&g, i, i + 1);
    expect_classes(&g, 4, (uint32_t[]){0, 1, 2, 3, 2, 1, 0});
}

static void a_cycle_is_one_class_until_one_differs(void **state)
{
    (void)state;
    graph g = nodes(6);
    for (uint32_t i = 0; i < g.n; i++)
        add_edge(&g, i, (i + 1) % g.n);
    expect_classes(&g, 1, (uint32_t[]){0, 0, 0, 0, 0, 0});
    g.colours[2] = (fs_colour){9, 9};
    expect_classes(&g, 4, (uint32_t[]){0, 1, 2, 1, 0, 3});
}

/* The classic limit: one cycle of six looks like two of three. */
static void two_triangles_are_a_hexagon(void **state)
{
    (void)state;
    graph g = nodes(12);
    for (uint32_t i = 0; i < 6; i++) {
        add_edge(&g, i, (i + 1) % 6);
        add_edge(&g, 6 + i, i % 3 == 2 ? 4 + i : 7 + i);
    }
    expect_classes(&g, 1, (uint32_t[NODES_MAX]){0});
}

static void arcs_have_a_direction(void **state)
{
    (void)state;
    graph g = nodes(3);
    add(&g, 0, 1, 0); /* classes follow what comes in */
    expect_classes(&g, 2, (uint32_t[]){0, 1, 0});
    add(&g, 1, 2, 0);
    expect_classes(&g, 3, (uint32_t[]){0, 1, 2});
}

static void sums_count_and_not_arcs(void **state)
{
    (void)state;
    graph g = nodes(8); /* from node 0: 3; 1 + 2; 2; 1 + 1; nothing; 1 - 1; 4 */
    static const uint32_t to[] = {1, 2, 2, 3, 4, 4, 6, 6, 7}, weight[] = {2, 0, 1, 1, 0, 0, 0, 5, 3};
    for (uint32_t i = 0; i < sizeof to / sizeof *to; i++)
        add(&g, 0, to[i], weight[i]);
    expect_classes(&g, 4, (uint32_t[]){0, 1, 1, 2, 2, 0, 0, 3});
}

/* ---- the twin ---------------------------------------------------------------------------------------------------- */

/* Whether x and y have one class and equal sums from every class. */
static bool alike(const graph *g, const uint32_t *class_of, uint32_t x, uint32_t y)
{
    uint64_t balance[NODES_MAX] = {0};
    if (class_of[x] != class_of[y])
        return false;
    for (uint32_t i = 0; i < g->n_arcs; i++) {
        const arc *a = &g->arcs[i];
        if (a->to == x)
            balance[class_of[a->from]] += weights[a->weight];
        if (a->to == y)
            balance[class_of[a->from]] -= weights[a->weight];
    }
    for (uint32_t c = 0; c < g->n; c++)
        if (balance[c] != 0)
            return false;
    return true;
}

static uint32_t refine_slowly(const graph *g, uint32_t *class_of)
{
    uint32_t n_classes = 0, before;
    for (uint32_t i = 0; i < g->n; i++) {
        uint32_t like = 0;
        while (g->colours[like].a != g->colours[i].a || g->colours[like].b != g->colours[i].b)
            like++;
        class_of[i] = like == i ? n_classes++ : class_of[like];
    }
    do {
        uint32_t next[NODES_MAX];
        before = n_classes;
        n_classes = 0;
        for (uint32_t i = 0; i < g->n; i++) {
            uint32_t like = 0;
            while (like < i && !alike(g, class_of, like, i))
                like++;
            next[i] = like == i ? n_classes++ : next[like];
        }
        memcpy(class_of, next, g->n * sizeof *class_of);
    } while (n_classes > before);
    return n_classes;
}

/* Copies of one random graph, so that something is alike, and a few arcs and colours that break it. */
static graph draw(fs_rng *rng)
{
    uint32_t size = 1 + fs_rng_below(rng, 8), copies = 1 + fs_rng_below(rng, NODES_MAX / 8);
    uint32_t n_arcs = fs_rng_below(rng, 3 * size), used = 1 + fs_rng_below(rng, WEIGHTS), turn = fs_rng_below(rng, 2);
    graph g = nodes(size * copies);
    for (uint32_t i = 0; i < n_arcs; i++) {
        uint32_t from = fs_rng_below(rng, size), to = fs_rng_below(rng, size), weight = fs_rng_below(rng, used);
        uint32_t on = turn ? fs_rng_below(rng, copies) : 0; /* into another copy, by the same step from each */
        for (uint32_t k = 0; k < copies; k++)
            add(&g, k * size + from, (k + on) % copies * size + to, weight);
    }
    for (uint32_t i = fs_rng_below(rng, 3); i > 0; i--)
        add(&g, fs_rng_below(rng, g.n), fs_rng_below(rng, g.n), fs_rng_below(rng, used));
    for (uint32_t i = fs_rng_below(rng, 3); i > 0; i--)
        g.colours[fs_rng_below(rng, g.n)].a = fs_rng_below(rng, 3);
    return g;
}

static void the_coarsest_partition(void **state)
{
    (void)state;
    uint32_t proper = 0;
    for (uint64_t seed = 1; seed <= RANDOM_GRAPHS; seed++) {
        fs_rng rng = fs_rng_seed(seed);
        graph g = draw(&rng);
        uint32_t got[NODES_MAX], want[NODES_MAX];
        uint32_t n_got = refine(&g, got), n_want = refine_slowly(&g, want);
        if (n_got != n_want || memcmp(got, want, g.n * sizeof *got) != 0)
            fail_msg("seed %llu: %u classes, not %u", (unsigned long long)seed, n_got, n_want);
        proper += n_want > 1 && n_want < g.n;
    }
    assert_true(proper > RANDOM_GRAPHS / 3);
}

static void no_memory(void **state)
{
    (void)state;
    fs_rng rng = fs_rng_seed(7);
    graph g = draw(&rng);
    fs_graph arrays = in_arrays(&g);
    uint32_t class_of[NODES_MAX], n_classes;
    fs_status status = FS_E_NOMEM;
    for (uint64_t n = 1; status == FS_E_NOMEM; n++) {
        fs_err err = {0};
        uint64_t live = fs_mem_live();
        fs_mem_fail_after(n);
        status = fs_refine(&arrays, class_of, &n_classes, &err);
        fs_mem_fail_after(0);
        assert_int_equal(fs_mem_live(), live);
    }
    assert_int_equal(status, FS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_to_refine),
        cmocka_unit_test(a_path_folds_in_the_middle),
        cmocka_unit_test(a_cycle_is_one_class_until_one_differs),
        cmocka_unit_test(two_triangles_are_a_hexagon),
        cmocka_unit_test(arcs_have_a_direction),
        cmocka_unit_test(sums_count_and_not_arcs),
        cmocka_unit_test(the_coarsest_partition),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
