/* prop_coll.c - on random topologies and groups: coupled, flows and messages put the same bytes on every link; what
 * leaves each GPU follows the algorithm's formula; time is never below what the links allow. Forwarded tokens: what leaves
 * domains is what choices that are drawn one by one send there. */
#include "../unit/fabric_case.h"
#include "seeds.h"

#include "base/rng.h"

enum { CASES = 400 };

typedef struct sample {
    char line[128];
    bool switched; /* every GPU on one NVSwitch of its node */
    uint32_t nodes;
} sample;

static sample random_topology(fs_rng *rng)
{
    sample s = {.nodes = 1};
    uint32_t n = 2 + fs_rng_below(rng, 7), latency = fs_rng_below(rng, 3);
    double rate = 1 + fs_rng_below(rng, 100);
    switch (fs_rng_below(rng, 5)) {
    case 0:
        snprintf(s.line, sizeof s.line, "gpus:%u nvlink:%gGB/s,%uus multicast", n, rate, latency);
        s.switched = true;
        break;
    case 1: snprintf(s.line, sizeof s.line, "mesh:%u nvlink:%gGB/s,%uus", n, rate, latency); break;
    case 2: snprintf(s.line, sizeof s.line, "pcie:%u pcie:%gGB/s,%uus", n, rate, latency); break;
    case 3:
        s.nodes = 2 + fs_rng_below(rng, 4);
        snprintf(s.line, sizeof s.line, "nodes:%u gpus:%u nvlink:%gGB/s,%uus nic:%gGB/s,1us", s.nodes, 1 + n / 2, rate,
                 latency, rate / 4);
        break;
    default:
        s.nodes = 2 + fs_rng_below(rng, 4);
        snprintf(s.line, sizeof s.line, "nodes:%u gpus:%u nvlink:%gGB/s nic:%gGB/s,1us spine multicast", s.nodes,
                 1 + n / 2, rate, rate / 2);
    }
    return s;
}

static uint32_t random_group(fs_rng *rng, const fs_topo *topo, uint32_t *gpus)
{
    for (uint32_t i = 0; i < topo->n_gpus; i++)
        gpus[i] = topo->gpus[i];
    for (uint32_t i = topo->n_gpus; i-- > 1;) {
        uint32_t k = fs_rng_below(rng, i + 1), swap = gpus[i];
        gpus[i] = gpus[k];
        gpus[k] = swap;
    }
    return 2 + fs_rng_below(rng, topo->n_gpus - 1);
}

/* Egress of rank r in multiples of the size; below 0: not the same for all ranks, or not a formula of one rank. */
static double formula(const fs_coll_request *q, uint32_t r)
{
    double n = q->n;
    if (q->algo == FS_ALGO_NVLS)
        return q->kind == FS_ALL_REDUCE       ? 1 + 1 / n
               : q->kind == FS_ALL_GATHER     ? 1 / n
               : q->kind == FS_REDUCE_SCATTER ? 1
                                              : -1;
    switch (q->kind) {
    case FS_ALL_REDUCE: return q->algo == FS_ALGO_RING ? 2 * (n - 1) / n : -1;
    case FS_ALL_GATHER:
    case FS_REDUCE_SCATTER: return (n - 1) / n;
    case FS_ALL_TO_ALL: return q->algo == FS_ALGO_FORWARDED || q->load ? -1 : (n - 1) / n;
    case FS_REDUCE: return r == q->root ? 0 : 1;
    case FS_BROADCAST:
    case FS_BARRIER:
    case FS_SENDRECV:
    case FS_COLL_KINDS: break;
    }
    return -1;
}

static bool close_to(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fmax(fabs(a), fabs(b)) + 1e-6;
}

static void check_dag(const fs_plan *plan)
{
    uint32_t *pred = fs_zalloc(plan->n_moves, sizeof *pred);
    for (uint32_t i = 0; i < plan->succ_begin[plan->n_moves]; i++)
        pred[plan->succ[i]]++;
    for (uint32_t i = 0; i < plan->n_moves; i++)
        assert_int_equal(pred[i], plan->n_pred[i]);
    fs_free(pred);
    /* No cycle: repeatedly finish what has no unfinished predecessor. */
    uint32_t *left = fs_alloc(plan->n_moves, sizeof *left), *ready = fs_alloc(plan->n_moves, sizeof *ready), head = 0,
             tail = 0;
    for (uint32_t i = 0; i < plan->n_moves; i++)
        if ((left[i] = plan->n_pred[i]) == 0)
            ready[tail++] = i;
    while (head < tail) {
        uint32_t m = ready[head++];
        for (uint32_t i = plan->succ_begin[m]; i < plan->succ_begin[m + 1]; i++)
            if (--left[plan->succ[i]] == 0)
                ready[tail++] = plan->succ[i];
    }
    assert_int_equal(tail, plan->n_moves);
    fs_free(left);
    fs_free(ready);
}

static bool same_bytes(const fabric f[3], const fs_coll_request *q, const fs_plan *const plans[3], bool check_egress)
{
    uint32_t n_links = f[0].topo->n_links;
    double *bytes = fs_zalloc(3 * (size_t)n_links, sizeof *bytes), bound = 0.0;
    bool good = true;
    for (uint32_t m = 0; m < 3; m++)
        plan_bytes(&f[m], plans[m], bytes + m * (size_t)n_links);
    for (uint32_t l = 0; l < n_links; l++) {
        good = good && close_to(bytes[l], bytes[n_links + l]) && close_to(bytes[l], bytes[2 * (size_t)n_links + l]);
        bound = fmax(bound, bytes[l] / fs_topo_link(f[0].topo, l).bandwidth_Bps);
    }
    good = good && plans[0]->estimate_s >= bound * (1 - 1e-9);
    for (uint32_t m = 1; m < 3; m++)
        good = good && close_to(plans[0]->estimate_s * 1e9, plans[m]->estimate_s * 1e9);
    for (uint32_t r = 0; r < q->n && check_egress; r++) {
        double expected = formula(q, r);
        /* The device ids of the three topologies are equal. */
        good = good && (expected < 0 || close_to(egress(&f[0], bytes, q->gpus[r]), expected * q->size_bytes));
    }
    fs_free(bytes);
    return good;
}

/* Weights that sum to 1, or none. */
static const double *random_load(fs_rng *rng, uint32_t n, double *weights)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += weights[i] = (double)fs_rng_below(rng, 5) + (i == 0);
    for (uint32_t i = 0; i < n; i++)
        weights[i] /= sum;
    return fs_rng_below(rng, 2) ? weights : NULL;
}

static void one_case(uint64_t seed)
{
    fs_rng rng = fs_rng_seed(seed);
    sample s = random_topology(&rng);
    fabric f[3];
    for (uint32_t m = 0; m < 3; m++)
        f[m] = fabric_open(s.line, FS_COST_IDEAL, (fs_lowering_mode)m);
    uint32_t gpus[64];
    fs_coll_request q = {
        .gpus = gpus, .n = random_group(&rng, f[0].topo, gpus), .size_bytes = 1 + fs_rng_below(&rng, 1u << 30)};
    q.root = fs_rng_below(&rng, q.n);
    double weights[64];
    const double *load = random_load(&rng, q.n, weights);
    uint32_t top_k = fs_rng_below(&rng, 10), top_domains = fs_rng_below(&rng, 4);
    bool transpose = fs_rng_below(&rng, 2);
    for (fs_coll_kind kind = FS_ALL_REDUCE; kind < FS_SENDRECV; kind++) {
        for (fs_algo algo = FS_ALGO_RING; algo < FS_ALGOS; algo++) {
            const fs_plan *plans[3];
            fs_status status[3];
            bool tokens = kind == FS_ALL_TO_ALL, forwarded = tokens && algo == FS_ALGO_FORWARDED;
            q.kind = kind;
            q.algo = algo;
            q.load = tokens ? load : NULL;
            q.transpose = transpose;
            q.top_k = forwarded ? (uint16_t)top_k : 0;
            q.top_domains = forwarded ? (uint16_t)top_domains : 0;
            for (uint32_t m = 0; m < 3; m++)
                status[m] = fs_lower(f[m].lowering, &q, &plans[m], &f[m].err);
            bool good = status[0] == status[1] && status[1] == status[2];
            if (good && status[0] == FS_OK) {
                check_dag(plans[2]);
                /* Between nodes GPUs also pass on what others send over their NIC. */
                good = same_bytes(f, &q, plans, s.nodes == 1 || algo == FS_ALGO_NVLS);
            } else {
                good = good && status[0] == FS_E_TRACE;
            }
            if (!good)
                print_error("seed %llu: %s, %u ranks, %s by %s: %s\n", (unsigned long long)seed, s.line, q.n,
                            fs_coll_names[kind], fs_algo_names[algo], status[0] ? f[0].err.text : "");
            assert_true(good);
        }
    }
    for (uint32_t m = 0; m < 3; m++)
        fabric_close(&f[m]);
}

/* ---- forwarded tokens -------------------------------------------------------------------------------------------- */

static uint32_t class_of(const fabric *f, uint32_t link)
{
    return f->topo->link_types[fs_topo_link(f->topo, link).type].class_;
}

/* Bytes that the links of a class carry away from devices of a kind. */
static double bytes_from(const fabric *f, const double *bytes, fs_device_kind kind, uint32_t class_)
{
    double sum = 0;
    for (uint32_t l = 0; l < f->topo->n_links; l++) {
        const fs_link link = fs_topo_link(f->topo, l);
        if (f->topo->parts[fs_topo_device(f->topo, link.src).part].kind == kind && class_of(f, l) == class_)
            sum += bytes[l];
    }
    return sum;
}

/* A part of tokens that was counted, and how far off it may well be: five standard deviations. */
typedef struct estimate {
    double part, error;
} estimate;

/* The part of all tokens that reaches the first ranks, so many, by drawing for each which domains are open to it, if not all
 * are, and then each of its choices. */
static estimate drawn(fs_rng *rng, uint32_t nodes, uint32_t each, const fs_coll_request *q, uint32_t first)
{
    enum { TOKENS = 20000 };
    uint32_t hits = 0, n_open = q->top_domains > 0 && q->top_domains < nodes ? q->top_domains : nodes;
    for (uint32_t token = 0; token < TOKENS; token++) {
        uint32_t open[16];
        for (uint32_t i = 0; i < nodes; i++)
            open[i] = i;
        for (uint32_t i = 0; i < n_open; i++) {
            uint32_t k = i + fs_rng_below(rng, nodes - i), kept = open[i];
            open[i] = open[k];
            open[k] = kept;
        }
        bool hit = false;
        for (uint32_t c = 0; c < q->top_k; c++)
            hit = open[fs_rng_below(rng, n_open)] * each + fs_rng_below(rng, each) < first || hit;
        hits += hit;
    }
    double part = (double)hits / TOKENS;
    return (estimate){part, 5 * sqrt(part * (1 - part) / TOKENS) + 1e-4};
}

static void one_exchange(uint64_t seed)
{
    fs_rng rng = fs_rng_seed(seed);
    uint32_t nodes = 1 + fs_rng_below(&rng, 4), each = 1 + fs_rng_below(&rng, 4) + (nodes == 1), n = nodes * each;
    char line[96];
    if (nodes == 1)
        snprintf(line, sizeof line, "gpus:%u nvlink:100GB/s", each);
    else
        snprintf(line, sizeof line, "nodes:%u gpus:%u nvlink:100GB/s nic:25GB/s", nodes, each);
    fabric f = fabric_open(line, FS_COST_IDEAL, FS_LOWER_COUPLED);
    fs_coll_request q = {.kind = FS_ALL_TO_ALL,
                         .algo = FS_ALGO_FORWARDED,
                         .gpus = f.topo->gpus,
                         .n = n,
                         .size_bytes = 1e9,
                         .top_k = (uint16_t)(1 + fs_rng_below(&rng, 8)),
                         .top_domains = (uint16_t)fs_rng_below(&rng, nodes + 1)},
                    plain = {.kind = FS_ALL_TO_ALL, .algo = FS_ALGO_DIRECT, .gpus = q.gpus, .n = n, .size_bytes = 1e9};
    const fs_plan *plan, *direct;
    double *bytes = fs_zalloc(2 * (size_t)f.topo->n_links, sizeof *bytes), *copies = bytes + f.topo->n_links;
    assert_int_equal(fs_lower(f.lowering, &q, &plan, &f.err), FS_OK);
    assert_int_equal(fs_lower(f.lowering, &plain, &direct, &f.err), FS_OK);
    plan_bytes(&f, plan, bytes);
    plan_bytes(&f, direct, copies);
    estimate domain = drawn(&rng, nodes, each, &q, each), gpu = drawn(&rng, nodes, each, &q, 1);
    double token = q.size_bytes / q.top_k; /* bytes of one copy of all tokens of a rank */
    /* To each domain but its own; there to all GPUs but the one that got them. */
    double across = n * (nodes - 1) * token, within = (double)n * nodes * (each - 1) * token;
    double net = bytes_from(&f, bytes, FS_DEVICE_NIC, FS_CLASS_NET);
    double near = bytes_from(&f, bytes, FS_DEVICE_GPU, FS_CLASS_NVLINK);
    bool good = fabs(net - across * domain.part) <= across * domain.error + 1 &&
                fabs(near - within * gpu.part) <= within * gpu.error + 1 &&
                net <= bytes_from(&f, copies, FS_DEVICE_NIC, FS_CLASS_NET) * (1 + 1e-9);
    for (uint32_t l = 0; q.top_k == 1 && l < f.topo->n_links; l++) /* one copy: nothing is saved */
        good = good && ((nodes > 1 && class_of(&f, l) != FS_CLASS_NET) || close_to(bytes[l], copies[l]));
    if (!good)
        print_error("seed %llu: %s, top %u, %u domains: network %g for %g, NVLinks %g for %g\n",
                    (unsigned long long)seed, line, q.top_k, q.top_domains, net, across * domain.part, near,
                    within * gpu.part);
    assert_true(good);
    fs_free(bytes);
    fabric_close(&f);
}

static void forwarded_tokens_are_those_drawn(void **state)
{
    (void)state;
    run_seeds(one_exchange, 60);
}

static void lowerings_agree_on_random_systems(void **state)
{
    (void)state;
    run_seeds(one_case, CASES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lowerings_agree_on_random_systems),
                                       cmocka_unit_test(forwarded_tokens_are_those_drawn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
