/* board.c - see board.h.
 *
 * Makes are the nodes of the topology's units; domains come from union-find over boards and the NVSwitches between them.
 * Cost: O(units + boards + cables) once, and for each make that is asked for GPUs x NICs routes on one of its boards.
 *
 * A GPU's NICs are the nearest of its board: the fewest hops over the least slow class of link. A NIC's GPU, for PXN, is
 * of those next to it the one with the fewest NICs so far, so that two GPUs and two NICs behind one PCIe switch pair up
 * as NCCL pairs them. */
#include "coll/board.h"

#include "base/forest.h"

/* ---- domains ----------------------------------------------------------------------------------------------------- */

/* Vertex of a device: its board, or the NVSwitch of the system that it is. */
static uint32_t vertex_of(const fs_topo *topo, uint32_t device)
{
    const fs_device d = fs_topo_device(topo, device);
    if (d.node != FS_NONE)
        return d.node;
    /* NVSwitches of the system stand between boards and join only what is linked to them. */
    return d.kind == FS_DEVICE_NVSWITCH ? topo->n_nodes + 1 + d.index : topo->n_nodes;
}

/* The NVLinks of a unit that join different vertices, as pairs of devices, one pair for each two vertices. */
typedef struct join {
    uint32_t low, high;
} join;

typedef FS_VEC(join) joins;

static bool is_nvlink(const fs_topo *topo, const fs_connection *c)
{
    return topo->link_types[topo->shapes[c->shape[0]].type].class_ == FS_CLASS_NVLINK;
}

static fs_status list_joins(const fs_topo *topo, const fs_topo_run *run, joins *list, fs_err *err)
{
    list->count = 0;
    for (uint32_t c = 0; c < run->unit->n_links / 2; c++) {
        const fs_connection *link = &run->unit->connections[c];
        uint32_t a = vertex_of(topo, run->first_device + link->low),
                 b = vertex_of(topo, run->first_device + link->high);
        bool known = a == b || !is_nvlink(topo, link);
        for (uint32_t i = list->count; i-- > 0 && !known;) /* the last ones are the likely ones */
            known = vertex_of(topo, run->first_device + list->data[i].low) == a &&
                    vertex_of(topo, run->first_device + list->data[i].high) == b;
        if (!known && FS_PUSH(list, ((join){link->low, link->high})) == NULL)
            return fs_fail_nomem(err);
    }
    return FS_OK;
}

static fs_status join_units(const fs_topo *topo, uint32_t *parent, fs_err *err)
{
    joins list = {0};
    fs_status status = FS_OK;
    for (uint32_t r = 0; r < topo->n_runs && status == FS_OK; r++) {
        const fs_topo_run *run = &topo->runs[r];
        status = list_joins(topo, run, &list, err);
        for (uint32_t k = 0; k < run->copies && list.count > 0 && status == FS_OK; k++) {
            uint32_t base = run->first_device + k * run->unit->n_devices;
            for (uint32_t i = 0; i < list.count; i++)
                fs_forest_unite(parent, vertex_of(topo, base + list.data[i].low),
                                vertex_of(topo, base + list.data[i].high));
        }
    }
    fs_free(list.data);
    return status;
}

/* Devices of one board are near each other, and so is whatever NVLink joins. */
static fs_status label_domains(fs_neighbourhood *hood, fs_err *err)
{
    const fs_topo *topo = hood->topo;
    uint32_t n = topo->n_nodes + 1, n_domains = 0;
    for (uint32_t r = 0; r < topo->n_runs; r++)
        hood->n_nvswitches += topo->runs[r].copies * topo->runs[r].unit->of_kind[FS_DEVICE_NVSWITCH];
    uint32_t *parent = fs_alloc((size_t)n + hood->n_nvswitches, sizeof *parent);
    if (parent == NULL)
        return fs_fail_nomem(err);
    fs_forest_start(parent, n + hood->n_nvswitches);
    fs_status status = join_units(topo, parent, err);
    for (uint32_t c = 0; c < (topo->n_links - topo->first_cable) / 2 && status == FS_OK; c++)
        if (is_nvlink(topo, &topo->cables[c]))
            fs_forest_unite(parent, vertex_of(topo, topo->cables[c].low), vertex_of(topo, topo->cables[c].high));
    for (uint32_t b = 0; b < n && status == FS_OK; b++) {
        uint32_t root = fs_forest_root(parent, b); /* the smallest of its set, so it has its number already */
        hood->domain_of_board[b] = root == b ? n_domains++ : hood->domain_of_board[root];
    }
    fs_free(parent);
    return status;
}

/* ---- makes ------------------------------------------------------------------------------------------------------- */

/* First and last device of each board of the first copy of a run, and its make: that of `twin`, a run of the same unit,
 * or a new one. */
static void name_boards(fs_neighbourhood *hood, const fs_topo_run *run, const fs_topo_run *twin)
{
    for (uint32_t d = 0; d < run->unit->n_devices; d++) {
        uint32_t device = run->first_device + d, board = fs_topo_device(hood->topo, device).node;
        if (board == FS_NONE)
            continue;
        if (hood->first_of_board[board] == FS_NONE) {
            hood->first_of_board[board] = device;
            hood->make_of_board[board] =
                twin ? hood->make_of_board[board - run->first_node + twin->first_node] : hood->n_makes++;
        }
        hood->end_of_board[board] = device + 1;
    }
}

/* Makes are the nodes of units. The system's own devices are units too; each node among them is a make. */
static fs_status find_makes(fs_neighbourhood *hood, fs_err *err)
{
    const fs_topo *topo = hood->topo;
    const fs_topo_run **first_run = fs_zalloc(topo->n_units, sizeof(fs_topo_run *));
    if (first_run == NULL)
        return fs_fail_nomem(err);
    for (uint32_t b = 0; b < topo->n_nodes; b++)
        hood->first_of_board[b] = FS_NONE;
    for (uint32_t r = 0; r < topo->n_runs; r++) {
        const fs_topo_run *run = &topo->runs[r], **first = &first_run[run->unit - topo->units];
        uint32_t n = run->unit->n_nodes;
        name_boards(hood, run, *first);
        if (*first == NULL && n > 0)
            *first = run;
        for (uint32_t k = 1; k < run->copies; k++) {
            for (uint32_t i = 0; i < n; i++) {
                uint32_t from = run->first_node + i, to = from + k * n;
                hood->first_of_board[to] = hood->first_of_board[from] + k * run->unit->n_devices;
                hood->end_of_board[to] = hood->end_of_board[from] + k * run->unit->n_devices;
                hood->make_of_board[to] = hood->make_of_board[from];
            }
        }
    }
    hood->first_of_board[topo->n_nodes] = 0;
    hood->end_of_board[topo->n_nodes] = topo->n_devices;
    hood->make_of_board[topo->n_nodes] = hood->n_makes++;
    fs_free(first_run);
    return FS_OK;
}

/* A GPU with an NVLink to what is not on its board makes its make odd. */
static void note_odd(fs_neighbourhood *hood, uint32_t gpu, uint32_t end)
{
    uint32_t board = fs_board_of(hood->topo, gpu);
    if (fs_topo_device(hood->topo, gpu).kind == FS_DEVICE_GPU && fs_topo_device(hood->topo, end).node != board)
        hood->odd[hood->make_of_board[board]] = true;
}

static void find_odd(fs_neighbourhood *hood)
{
    const fs_topo *topo = hood->topo;
    for (uint32_t r = 0; r < topo->n_runs; r++) {
        const fs_topo_run *run = &topo->runs[r];
        for (uint32_t c = 0; c < run->unit->n_links / 2; c++) {
            const fs_connection *link = &run->unit->connections[c];
            if (!is_nvlink(topo, link))
                continue;
            note_odd(hood, run->first_device + link->low, run->first_device + link->high);
            note_odd(hood, run->first_device + link->high, run->first_device + link->low);
        }
    }
    for (uint32_t c = 0; c < (topo->n_links - topo->first_cable) / 2; c++) {
        if (!is_nvlink(topo, &topo->cables[c]))
            continue;
        note_odd(hood, topo->cables[c].low, topo->cables[c].high);
        note_odd(hood, topo->cables[c].high, topo->cables[c].low);
    }
}

fs_status fs_neighbourhood_init(fs_neighbourhood *hood, const fs_topo *topo, fs_router *router, fs_arena *arena,
                                fs_err *err)
{
    size_t n = (size_t)topo->n_nodes + 1;
    *hood = (fs_neighbourhood){.topo = topo, .router = router, .arena = arena};
    hood->first_of_board = fs_alloc(n, sizeof *hood->first_of_board);
    hood->end_of_board = fs_alloc(n, sizeof *hood->end_of_board);
    hood->make_of_board = fs_alloc(n, sizeof *hood->make_of_board);
    hood->domain_of_board = fs_alloc(n, sizeof *hood->domain_of_board);
    if (!hood->first_of_board || !hood->end_of_board || !hood->make_of_board || !hood->domain_of_board)
        return fs_fail_nomem(err);
    fs_status status = fs_unit_legs_init(&hood->legs, topo, router, err);
    if (status == FS_OK)
        status = find_makes(hood, err);
    if (status != FS_OK)
        return status;
    hood->makes = fs_zalloc(hood->n_makes, sizeof *hood->makes);
    hood->odd = fs_zalloc(hood->n_makes, sizeof *hood->odd);
    if (hood->makes == NULL || hood->odd == NULL)
        return fs_fail_nomem(err);
    find_odd(hood);
    return label_domains(hood, err);
}

void fs_neighbourhood_free(fs_neighbourhood *hood)
{
    fs_route_buffer_free(&hood->buffer);
    fs_unit_legs_free(&hood->legs);
    fs_free(hood->first_of_board);
    fs_free(hood->end_of_board);
    fs_free(hood->make_of_board);
    fs_free(hood->domain_of_board);
    fs_free(hood->makes);
    fs_free(hood->odd);
}

/* ---- a make's NICs ----------------------------------------------------------------------------------------------- */

/* A make being found out on one board. */
typedef struct survey {
    fs_neighbourhood *hood;
    uint32_t board, base;
    FS_VEC(uint32_t) gpus, nics, rails, near;
    uint32_t *near_begin;
    uint32_t *host; /* (nics) local of the GPU that a NIC is given, or FS_NONE */
    uint32_t *via;
    double *out_s, *in_s;
    bool *open;
} survey;

static fs_status list_devices(survey *s, fs_err *err)
{
    const fs_topo *topo = s->hood->topo;
    for (uint32_t d = s->base; d < s->hood->end_of_board[s->board]; d++) {
        const fs_device device = fs_topo_device(topo, d);
        if (fs_board_of(topo, d) != s->board)
            continue;
        if ((device.kind == FS_DEVICE_GPU && FS_PUSH(&s->gpus, d - s->base) == NULL) ||
            (device.kind == FS_DEVICE_NIC &&
             (FS_PUSH(&s->nics, d - s->base) == NULL || FS_PUSH(&s->rails, device.rail) == NULL)))
            return fs_fail_nomem(err);
    }
    size_t g = s->gpus.count, n = s->nics.count;
    fs_arena *arena = s->hood->arena;
    s->near_begin = fs_arena_alloc(arena, g + 1, sizeof *s->near_begin);
    s->via = fs_arena_alloc(arena, g * n, sizeof *s->via);
    s->out_s = fs_arena_alloc(arena, g * n, sizeof *s->out_s);
    s->in_s = fs_arena_alloc(arena, g * n, sizeof *s->in_s);
    s->open = fs_arena_alloc(arena, n, sizeof *s->open);
    s->host = fs_alloc(n, sizeof *s->host);
    return s->near_begin && s->via && s->out_s && s->in_s && s->open && s->host ? FS_OK : fs_fail_nomem(err);
}

/* *route = NULL where there is none. */
static fs_status try_route(survey *s, uint32_t from, uint32_t to, const fs_route **route, fs_err *err)
{
    fs_err no_path;
    fs_status status = fs_find_route(s->hood, s->base + from, s->base + to, route, &no_path);
    if (status == FS_OK)
        return FS_OK;
    *route = NULL;
    if (status == FS_E_TOPOLOGY)
        return FS_OK;
    *err = no_path;
    return status;
}

static fs_status find_near(survey *s, fs_err *err)
{
    for (uint32_t g = 0; g < s->gpus.count; g++) {
        uint32_t best = UINT32_MAX, start = s->near.count;
        s->near_begin[g] = start;
        for (uint32_t k = 0; k < s->nics.count; k++) {
            const fs_route *route;
            fs_status status = try_route(s, s->gpus.data[g], s->nics.data[k], &route, err);
            if (status != FS_OK)
                return status;
            uint32_t far = route ? fs_route_distance(route) : UINT32_MAX;
            if (far < best)
                s->near.count = start;
            if (route == NULL || far > best)
                continue; /* a NIC that this GPU does not reach is not its NIC */
            best = far;
            if (FS_PUSH(&s->near, k) == NULL)
                return fs_fail_nomem(err);
        }
        s->near_begin[g + 1] = s->near.count;
    }
    return FS_OK;
}

/* Give every NIC its GPU. */
static void find_hosts(survey *s)
{
    for (uint32_t k = 0; k < s->nics.count; k++) {
        uint32_t fewest = UINT32_MAX;
        s->host[k] = FS_NONE;
        for (uint32_t g = 0; g < s->gpus.count; g++) {
            bool next_to = false;
            for (uint32_t i = s->near_begin[g]; i < s->near_begin[g + 1] && !next_to; i++)
                next_to = s->near.data[i] == k;
            uint32_t taken = next_to ? 0 : UINT32_MAX;
            for (uint32_t i = 0; i < k && next_to; i++)
                taken += s->host[i] == s->gpus.data[g];
            if (taken < fewest) {
                fewest = taken;
                s->host[k] = s->gpus.data[g];
            }
        }
    }
}

static fs_status find_via(survey *s, uint32_t g, uint32_t k, fs_err *err)
{
    uint32_t gpu = s->gpus.data[g], nic = s->nics.data[k], host = s->host[k];
    size_t at = (size_t)g * s->nics.count + k;
    const fs_route *route;
    fs_status status = try_route(s, nic, gpu, &route, err);
    s->in_s[at] = route ? route->latency_s : 0.0;
    if (status == FS_OK)
        status = try_route(s, gpu, nic, &route, err);
    uint32_t direct = status == FS_OK && route ? fs_route_distance(route) : UINT32_MAX;
    s->via[at] = direct < UINT32_MAX ? gpu : FS_NONE;
    s->out_s[at] = direct < UINT32_MAX ? route->latency_s : 0.0;
    if (status != FS_OK || host == FS_NONE || host == gpu)
        return status;
    status = try_route(s, gpu, host, &route, err);
    if (status != FS_OK || route == NULL || route->worst_class != FS_CLASS_NVLINK)
        return status;
    double hand_over_s = route->latency_s;
    status = try_route(s, host, nic, &route, err);
    if (status == FS_OK && route != NULL && direct > fs_route_distance(route)) {
        s->via[at] = host;
        s->out_s[at] = hand_over_s + route->latency_s;
    }
    return status;
}

static fs_status find_all_via(survey *s, fs_err *err)
{
    fs_status status = FS_OK;
    uint32_t n = s->nics.count;
    for (uint32_t k = 0; k < n; k++) {
        s->open[k] = true;
        for (uint32_t g = 0; g < s->gpus.count && status == FS_OK; g++) {
            status = find_via(s, g, k, err);
            s->open[k] = s->open[k] && status == FS_OK && s->via[(size_t)g * n + k] != FS_NONE;
        }
    }
    return status;
}

static const uint32_t *keep(fs_arena *arena, const uint32_t *data, uint32_t count)
{
    uint32_t *copy = fs_arena_alloc(arena, count, sizeof *copy);
    for (uint32_t i = 0; copy != NULL && i < count; i++)
        copy[i] = data[i];
    return copy;
}

static fs_status keep_make(const survey *s, fs_make **out, fs_err *err)
{
    fs_arena *arena = s->hood->arena;
    fs_make *make = fs_arena_alloc(arena, 1, sizeof *make);
    if (make == NULL)
        return fs_fail_nomem(err);
    *make = (fs_make){.n_gpus = s->gpus.count,
                      .n_nics = s->nics.count,
                      .gpus = keep(arena, s->gpus.data, s->gpus.count),
                      .nics = keep(arena, s->nics.data, s->nics.count),
                      .rails = keep(arena, s->rails.data, s->rails.count),
                      .near_begin = s->near_begin,
                      .near = keep(arena, s->near.data, s->near.count),
                      .via = s->via,
                      .out_s = s->out_s,
                      .in_s = s->in_s,
                      .open = s->open};
    if (!make->gpus || !make->nics || !make->rails || !make->near)
        return fs_fail_nomem(err);
    *out = make;
    return FS_OK;
}

fs_status fs_find_make(fs_neighbourhood *hood, uint32_t board, const fs_make **out, fs_err *err)
{
    fs_make **make = &hood->makes[hood->make_of_board[board]];
    if (*make == NULL) {
        survey s = {.hood = hood, .board = board, .base = hood->first_of_board[board]};
        fs_status status = list_devices(&s, err);
        if (status == FS_OK)
            status = find_near(&s, err);
        if (status == FS_OK) {
            find_hosts(&s);
            status = find_all_via(&s, err);
        }
        if (status == FS_OK)
            status = keep_make(&s, make, err);
        fs_free(s.gpus.data);
        fs_free(s.nics.data);
        fs_free(s.rails.data);
        fs_free(s.near.data);
        fs_free(s.host);
        if (status != FS_OK)
            return status;
    }
    *out = *make;
    return FS_OK;
}

/* Where a value is in an ascending list, or FS_NONE. */
static uint32_t search(const uint32_t *list, uint32_t n, uint32_t value)
{
    uint32_t low = 0, high = n;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (list[middle] < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && list[low] == value ? low : FS_NONE;
}

uint32_t fs_make_gpu(const fs_make *make, uint32_t local)
{
    return search(make->gpus, make->n_gpus, local);
}

uint32_t fs_make_nic(const fs_make *make, uint32_t local)
{
    return search(make->nics, make->n_nics, local);
}

uint32_t fs_make_nic_on_rail(const fs_make *make, uint32_t rail)
{
    for (uint32_t k = 0; k < make->n_nics; k++)
        if (make->rails[k] == rail)
            return k;
    return FS_NONE;
}

fs_status fs_way_to_nic(fs_neighbourhood *hood, uint32_t gpu, uint32_t nic, uint32_t *via, fs_err *err)
{
    const fs_make *make;
    uint32_t board = fs_board_of(hood->topo, gpu), base = hood->first_of_board[board];
    fs_status status = fs_find_make(hood, board, &make, err);
    if (status != FS_OK)
        return status;
    uint32_t k = fs_make_nic(make, nic - base), g = fs_make_gpu(make, gpu - base);
    uint32_t local = k == FS_NONE ? FS_NONE : make->via[(size_t)g * make->n_nics + k];
    *via = local == FS_NONE ? FS_NONE : base + local;
    return FS_OK;
}
