/* test_ring_search.c - the rings of meshes, switches, PCIe trees and several nodes. */
#include "coll/mesh_rings.h"
#include "fabric_case.h"

/* DGX-1 V100: from, to, lanes. P100 has the same pairs with one lane each. */
static const uint8_t cube_mesh[][3] = {{0, 1, 1}, {0, 2, 1}, {0, 3, 2}, {0, 4, 2}, {1, 2, 2}, {1, 3, 1},
                                       {1, 5, 2}, {2, 3, 2}, {2, 6, 1}, {3, 7, 1}, {4, 5, 1}, {4, 6, 1},
                                       {4, 7, 2}, {5, 6, 2}, {5, 7, 1}, {6, 7, 2}};

static void fill_cube_mesh(bool p100, uint32_t n, uint32_t *lanes)
{
    memset(lanes, 0, (size_t)n * n * sizeof *lanes);
    for (size_t i = 0; i < sizeof cube_mesh / sizeof *cube_mesh; i++) {
        uint32_t a = cube_mesh[i][0], b = cube_mesh[i][1];
        if (a < n && b < n)
            lanes[a * n + b] = lanes[b * n + a] = p100 ? 1 : cube_mesh[i][2];
    }
}

/* Rings are Hamiltonian and fit the lanes; returns how many, counting lanes. */
static uint32_t check_rings(uint32_t n, const uint32_t *lanes)
{
    fs_mesh_ring rings[FS_MESH_RINGS_MAX];
    uint32_t n_rings, total = 0, left[FS_MESH_MAX * FS_MESH_MAX];
    memcpy(left, lanes, (size_t)n * n * sizeof *left);
    fs_mesh_find_rings(n, lanes, rings, &n_rings);
    for (uint32_t r = 0; r < n_rings; r++) {
        uint32_t seen = 0;
        assert_int_equal(rings[r].order[0], 0);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t a = rings[r].order[i], b = rings[r].order[(i + 1) % n];
            seen |= 1u << a;
            assert_true(left[a * n + b] >= rings[r].lanes);
            left[a * n + b] -= rings[r].lanes;
        }
        assert_int_equal(seen, n == 32 ? UINT32_MAX : (1u << n) - 1);
        total += rings[r].lanes;
    }
    return total;
}

static void cube_meshes_have_their_published_rings(void **state)
{
    (void)state;
    uint32_t lanes[64];
    fill_cube_mesh(false, 8, lanes);
    assert_int_equal(check_rings(8, lanes), 6); /* NCCL: 3 x 2 directions on a DGX-1 V100 */
    fill_cube_mesh(true, 8, lanes);
    assert_int_equal(check_rings(8, lanes), 4);
    fill_cube_mesh(false, 4, lanes);
    assert_int_equal(check_rings(4, lanes), 4);
    fill_cube_mesh(false, 3, lanes);
    assert_int_equal(check_rings(3, lanes), 2);
}

static void full_meshes_use_all_lanes(void **state)
{
    (void)state;
    uint32_t lanes[16];
    for (uint32_t i = 0; i < 16; i++)
        lanes[i] = i % 5 == 0 ? 0 : 4;
    assert_int_equal(check_rings(4, lanes), 12); /* four A100 with 12 links: all of them */
    uint32_t pair[4] = {0, 3, 3, 0};
    assert_int_equal(check_rings(2, pair), 3);
    uint32_t one_way[9] = {0, 1, 0, 0, 0, 1, 1, 0, 0};
    assert_int_equal(check_rings(3, one_way), 1);
}

static void some_meshes_have_none(void **state)
{
    (void)state;
    uint32_t line[16] = {0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0};
    assert_int_equal(check_rings(4, line), 0);
    uint8_t order[4];
    assert_true(fs_mesh_find_path(4, line, 0, 3, order));
    assert_int_equal(order[2], 2);
    assert_true(fs_mesh_find_path(4, line, 0, FS_NONE, order));
    assert_false(fs_mesh_find_path(4, line, 0, 2, order));
    assert_false(fs_mesh_find_path(4, line, 1, FS_NONE, order));
}

static void the_search_ends_on_hard_meshes(void **state)
{
    (void)state;
    static uint32_t lanes[32 * 32];
    for (uint32_t i = 0; i < 32; i++) /* two halves that meet in one vertex: no ring at all */
        for (uint32_t j = 0; j < 32; j++)
            lanes[i * 32 + j] = i != j && ((i < 16 && j < 16) || (i >= 15 && j >= 15));
    assert_int_equal(check_rings(32, lanes), 0);
}

static uint32_t channels(fabric *f, const uint32_t *gpus, uint32_t n)
{
    const fs_plan *plan = NULL;
    assert_int_equal(lower(f, FS_ALL_REDUCE, FS_ALGO_RING, gpus, n, 1e9, &plan), FS_OK);
    return plan->channels;
}

static void dgx1_rings_give_their_bandwidth(void **state)
{
    (void)state;
    fabric f = fabric_open("topologies/dgx1-v100.xml", FS_COST_IDEAL, FS_LOWER_COUPLED);
    const uint32_t *g = f.topo->gpus;
    assert_int_equal(channels(&f, g, 8), 6);
    assert_int_equal(channels(&f, g, 4), 4);
    uint32_t apart[] = {g[0], g[5]}, together[] = {g[0], g[3]};
    assert_int_equal(channels(&f, apart, 2), 1);
    assert_int_equal(channels(&f, together, 2), 1); /* one ring with both lanes */
    const fs_plan *plan = lower_all(&f, FS_ALL_REDUCE, FS_ALGO_RING, 1e12);
    near(plan->moves[0].bytes, 1e12 / 6 * 14 / 8);
    double busbw = 1e12 / plan->estimate_s * fs_busbw_factor(FS_ALL_REDUCE, 8);
    assert_true(busbw > 149.9e9 && busbw < 150e9);
    fabric_close(&f);
}

/* Each link between sockets, and each trunk between boards, is crossed once per direction. */
static void rings_cross_sockets_and_boards_once(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        fs_link_class class_;
        double crossings;
    } cases[] = {{"topologies/v100-pcie.xml", FS_CLASS_CPU, 1.0}, {"topologies/dgx2h.xml", FS_CLASS_NVLINK, 1.0 / 6}};
    for (size_t i = 0; i < 2; i++) {
        fabric f = fabric_open(cases[i].file, FS_COST_IDEAL, FS_LOWER_COUPLED);
        uint32_t n = f.topo->n_gpus, shuffled[16], found = 0;
        for (uint32_t k = 0; k < n; k++) /* ranks alternate between the halves: the search must sort them */
            shuffled[k] = f.topo->gpus[k / 2 + (k % 2) * n / 2];
        const fs_plan *plan = NULL;
        assert_int_equal(lower(&f, FS_ALL_GATHER, FS_ALGO_RING, shuffled, n, 1e9, &plan), FS_OK);
        double *bytes = fs_zalloc(f.topo->n_links, sizeof *bytes);
        plan_bytes(&f, plan, bytes);
        for (uint32_t l = 0; l < f.topo->n_links; l++) {
            const fs_link link = fs_topo_link(f.topo, l);
            bool trunk = fs_topo_device(f.topo, link.src).kind == fs_topo_device(f.topo, link.dst).kind;
            if (!trunk || f.topo->link_types[link.type].class_ != cases[i].class_)
                continue;
            near(bytes[l], cases[i].crossings * 1e9 * (n - 1) / n);
            found++;
        }
        assert_true(found > 0);
        fs_free(bytes);
        fabric_close(&f);
    }
}

static double link_bytes(const fabric *f, const double *bytes, const char *from, const char *to)
{
    uint32_t src = device(f, from), dst = device(f, to);
    double sum = 0.0;
    for (uint32_t l = 0; l < f->topo->n_links; l++)
        sum += fs_topo_link(f->topo, l).src == src && fs_topo_link(f->topo, l).dst == dst ? bytes[l] : 0.0;
    return sum;
}

static void rails_carry_equal_parts_and_stay_apart(void **state)
{
    (void)state;
    for (uint32_t nodes = 2; nodes <= 5; nodes++) {
        char line[96];
        snprintf(line, sizeof line, "nodes:%u gpus:4 nvlink:100GB/s nic:25GB/s spine", nodes);
        fabric f = fabric_open(line, FS_COST_IDEAL, FS_LOWER_COUPLED);
        const fs_plan *plan = lower_all(&f, FS_ALL_REDUCE, FS_ALGO_RING, 1e9);
        double *bytes = fs_zalloc(f.topo->n_links, sizeof *bytes), edge = 1e9 / 4 * 2 * (4 * nodes - 1) / (4 * nodes);
        plan_bytes(&f, plan, bytes);
        assert_int_equal(plan->channels, 4);
        for (uint32_t d = 0; d < f.topo->n_devices; d++) {
            if (fs_topo_device(f.topo, d).kind == FS_DEVICE_NIC) {
                near(egress(&f, bytes, d), 2 * edge); /* once to the leaf, once to its GPU */
                near(ingress(&f, bytes, d), 2 * edge);
            }
        }
        /* Only the closing edge of an odd ring changes rails. */
        near(ingress(&f, bytes, device(&f, "spine0")), nodes % 2 ? 4 * edge : 0.0);
        fs_free(bytes);
        fabric_close(&f);
    }
}

static void rails_that_never_meet_still_close(void **state)
{
    (void)state;
    fabric f = fabric_open("nodes:3 gpus:4 nvlink:100GB/s nic:25GB/s", FS_COST_IDEAL, FS_LOWER_COUPLED);
    const fs_plan *plan = lower_all(&f, FS_ALL_REDUCE, FS_ALGO_RING, 1e9);
    double *bytes = fs_zalloc(f.topo->n_links, sizeof *bytes);
    plan_bytes(&f, plan, bytes);
    near(link_bytes(&f, bytes, "node2/nic0", "leaf0"), 1e9 / 4 * 22 / 12);
    near(plan->estimate_s, 1e9 / 4 * 22 / 12 / 25e9);
    fs_free(bytes);
    fabric_close(&f);
}

static void one_gpu_a_node_and_odd_groups_work(void **state)
{
    (void)state;
    fabric f = fabric_open("nodes:4 gpus:4 nvlink:100GB/s nic:25GB/s spine", FS_COST_IDEAL, FS_LOWER_COUPLED);
    const uint32_t *g = f.topo->gpus;
    uint32_t rail[] = {g[1], g[5], g[9], g[13]}, mixed[] = {g[0], g[1], g[2], g[6], g[7]}, cross[] = {g[0], g[5]};
    const fs_plan *plan = NULL;
    assert_int_equal(channels(&f, rail, 4), 1);
    assert_int_equal(channels(&f, mixed, 5), 2);
    assert_int_equal(channels(&f, cross, 2), 1);
    assert_int_equal(lower(&f, FS_ALL_REDUCE, FS_ALGO_RING, rail, 4, 1e9, &plan), FS_OK);
    near(plan->estimate_s, 1.5 * 1e9 / 25e9);
    fabric_close(&f);
}

/* Nodes of four GPUs behind one PCIe switch with a few NICs, one network switch for all. */
static fabric open_nodes(uint32_t nodes, uint32_t nics, bool nvlink)
{
    static const fs_place nowhere = {0};
    static const fs_part parts[] = {{.name = "g",
                                     .kind = FS_DEVICE_GPU,
                                     .mem_bytes = 1,
                                     .mem_Bps = 1,
                                     .gemm_efficiency = 1,
                                     .mem_efficiency = 1,
                                     .peak_flops = {[FS_FP16] = 1}},
                                    {.name = "plx", .kind = FS_DEVICE_PCIE_SWITCH},
                                    {.name = "nic", .kind = FS_DEVICE_NIC},
                                    {.name = "sw", .kind = FS_DEVICE_NET_SWITCH}};
    static const fs_link_type types[] = {
        {.name = "nvl", .class_ = FS_CLASS_NVLINK, .bandwidth_Bps = 100e9, .effective_Bps = 100e9},
        {.name = "pci", .class_ = FS_CLASS_PCIE, .bandwidth_Bps = 30e9, .effective_Bps = 30e9},
        {.name = "net", .class_ = FS_CLASS_NET, .bandwidth_Bps = 10e9, .effective_Bps = 10e9}};
    static const char *const tiers[] = {"nvlink", "pcie", "net"};
    fabric f = {0};
    fs_spec *spec = fs_spec_new("t", "t");
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(fs_spec_part(spec, &parts[i], nowhere, &f.err), FS_OK);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(fs_spec_link_type(spec, &types[i], tiers[i], nowhere, &f.err), FS_OK);
    assert_int_equal(fs_spec_device(spec, "sw", "sw", FS_NONE, nowhere, &f.err), FS_OK);
    for (uint32_t k = 0; k < nodes; k++) {
        char name[32], other[32], plx[32];
        uint32_t node;
        snprintf(name, sizeof name, "n%u", k);
        assert_int_equal(fs_spec_node(spec, name, &node, nowhere, &f.err), FS_OK);
        snprintf(plx, sizeof plx, "n%u/plx", k);
        assert_int_equal(fs_spec_device(spec, plx, "plx", node, nowhere, &f.err), FS_OK);
        for (uint32_t i = 0; i < nics; i++) {
            snprintf(name, sizeof name, "n%u/nic%u", k, i);
            assert_int_equal(fs_spec_device(spec, name, "nic", node, nowhere, &f.err), FS_OK);
            assert_int_equal(fs_spec_link(spec, name, plx, "pci", 1, nowhere, &f.err), FS_OK);
            assert_int_equal(fs_spec_link(spec, name, "sw", "net", 1, nowhere, &f.err), FS_OK);
        }
        for (uint32_t i = 0; i < 4; i++) {
            snprintf(name, sizeof name, "n%u/g%u", k, i);
            assert_int_equal(fs_spec_device(spec, name, "g", node, nowhere, &f.err), FS_OK);
            assert_int_equal(fs_spec_link(spec, name, plx, "pci", 1, nowhere, &f.err), FS_OK);
            for (uint32_t j = 0; nvlink && j < i; j++) {
                snprintf(other, sizeof other, "n%u/g%u", k, j);
                assert_int_equal(fs_spec_link(spec, name, other, "nvl", 1, nowhere, &f.err), FS_OK);
            }
        }
    }
    assert_int_equal(fs_spec_freeze(spec, &f.topo, &f.err), FS_OK);
    fs_spec_free(spec);
    f.patterns = fs_pattern_table_new();
    assert_int_equal(fs_router_new(f.topo, (fs_router_options){0}, &f.router, &f.err), FS_OK);
    fs_lowering_options options = {.cost = FS_COST_IDEAL};
    assert_int_equal(fs_lowering_new(f.topo, f.router, f.patterns, options, &f.lowering, &f.err), FS_OK);
    return f;
}

static void nodes_with_fewer_nics_work(void **state)
{
    (void)state;
    for (uint32_t nodes = 2; nodes <= 3; nodes++) {
        for (uint32_t nics = 1; nics <= 6; nics++) {
            fabric f = open_nodes(nodes, nics, nics % 2 != 0);
            double *bytes = fs_zalloc(f.topo->n_links, sizeof *bytes), n = 4 * nodes;
            const fs_plan *plan = lower_all(&f, FS_ALL_REDUCE, FS_ALGO_RING, 1e9);
            assert_int_equal(plan->channels, nics);
            plan_bytes(&f, plan, bytes);
            /* All NICs carry the same, in and out; between them the whole ring. */
            for (uint32_t d = 0; d < f.topo->n_devices; d++)
                if (fs_topo_device(f.topo, d).kind == FS_DEVICE_NIC)
                    near(egress(&f, bytes, d), 2 * 1e9 / nics * 2 * (n - 1) / n);
            if (nics <= 2) /* else the PCIe links of the GPUs bind */
                near(plan->estimate_s, 1e9 / nics * 2 * (n - 1) / n / 10e9);
            fs_free(bytes);
            fabric_close(&f);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cube_meshes_have_their_published_rings),
        cmocka_unit_test(full_meshes_use_all_lanes),
        cmocka_unit_test(some_meshes_have_none),
        cmocka_unit_test(the_search_ends_on_hard_meshes),
        cmocka_unit_test(dgx1_rings_give_their_bandwidth),
        cmocka_unit_test(rings_cross_sockets_and_boards_once),
        cmocka_unit_test(rails_carry_equal_parts_and_stay_apart),
        cmocka_unit_test(rails_that_never_meet_still_close),
        cmocka_unit_test(one_gpu_a_node_and_odd_groups_work),
        cmocka_unit_test(nodes_with_fewer_nics_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
