/* group.c - see group.h. Domains by union-find over boards and NVLinks; rails by the nearest NICs.
 *
 * A NIC serves the group where it is among the nearest NICs of one of its GPUs (fewest hops over the least slow class
 * of link). Each such NIC is given one GPU to enter by: of the GPUs next to it the one with the fewest NICs so far, so
 * two GPUs and two NICs behind one PCIe switch pair up as NCCL pairs them. */
#include "coll/group.h"

#include "base/forest.h"

#include <string.h>

uint32_t fs_board_of(const fs_topo *topo, uint32_t device)
{
    return fs_topo_device(topo, device).node == FS_NONE ? topo->n_nodes : fs_topo_device(topo, device).node;
}

/* Devices of one board are near each other, and so is whatever NVLink joins. */
static fs_status label_domains(fs_neighbourhood *hood, fs_err *err)
{
    const fs_topo *topo = hood->topo;
    uint32_t *label = hood->domain_of_device;
    uint32_t *first_of_node = fs_alloc((size_t)topo->n_nodes + 1, sizeof *first_of_node); /* the last: of no board */
    if (first_of_node == NULL)
        return fs_fail_nomem(err);
    for (uint32_t k = 0; k <= topo->n_nodes; k++)
        first_of_node[k] = FS_NONE;
    fs_forest_start(label, topo->n_devices);
    for (uint32_t d = 0; d < topo->n_devices; d++) {
        if (fs_topo_device(topo, d).kind == FS_DEVICE_NET_SWITCH)
            continue;
        uint32_t *first = &first_of_node[fs_board_of(topo, d)];
        if (*first == FS_NONE)
            *first = d;
        /* NVSwitches of the system stand between boards and join only what is linked to them. */
        if (fs_topo_device(topo, d).node != FS_NONE || fs_topo_device(topo, d).kind != FS_DEVICE_NVSWITCH)
            fs_forest_unite(label, *first, d);
    }
    fs_free(first_of_node);
    for (uint32_t l = 0; l < topo->n_links; l++)
        if (topo->link_types[fs_topo_link(topo, l).type].class_ == FS_CLASS_NVLINK)
            fs_forest_unite(label, fs_topo_link(topo, l).src, fs_topo_link(topo, l).dst);
    for (uint32_t d = 0; d < topo->n_devices; d++)
        label[d] = fs_forest_root(label, d);
    return FS_OK;
}

/* The NICs of each board, by device id. */
static fs_status list_nics(fs_neighbourhood *hood, fs_err *err)
{
    const fs_topo *topo = hood->topo;
    hood->nics_begin = fs_zalloc((size_t)topo->n_nodes + 2, sizeof *hood->nics_begin);
    hood->nics = fs_zalloc(topo->n_devices, sizeof *hood->nics);
    if (hood->nics_begin == NULL || hood->nics == NULL)
        return fs_fail_nomem(err);
    uint32_t *begin = hood->nics_begin;
    for (uint32_t d = 0; d < topo->n_devices; d++)
        begin[fs_board_of(topo, d) + 1] += fs_topo_device(topo, d).kind == FS_DEVICE_NIC;
    for (uint32_t b = 0; b <= topo->n_nodes; b++)
        begin[b + 1] += begin[b];
    for (uint32_t d = 0; d < topo->n_devices; d++)
        if (fs_topo_device(topo, d).kind == FS_DEVICE_NIC)
            hood->nics[begin[fs_board_of(topo, d)]++] = d;
    for (uint32_t b = topo->n_nodes + 1; b > 0; b--) /* filling has moved each start to the next one's place */
        begin[b] = begin[b - 1];
    begin[0] = 0;
    return FS_OK;
}

fs_status fs_neighbourhood_init(fs_neighbourhood *hood, const fs_topo *topo, fs_router *router, fs_arena *arena,
                                fs_err *err)
{
    *hood = (fs_neighbourhood){.topo = topo, .router = router, .arena = arena};
    hood->domain_of_device = fs_zalloc(topo->n_devices, sizeof *hood->domain_of_device);
    hood->host_of_nic = fs_alloc(topo->n_devices, sizeof *hood->host_of_nic);
    hood->stamp_of_device = fs_zalloc(topo->n_devices, sizeof *hood->stamp_of_device);
    hood->index_of_device = fs_zalloc(topo->n_devices, sizeof *hood->index_of_device);
    if (hood->domain_of_device == NULL || hood->stamp_of_device == NULL || hood->index_of_device == NULL ||
        hood->host_of_nic == NULL)
        return fs_fail_nomem(err);
    for (uint32_t d = 0; d < topo->n_devices; d++)
        hood->host_of_nic[d] = FS_NONE;
    fs_status status = label_domains(hood, err);
    return status == FS_OK ? list_nics(hood, err) : status;
}

void fs_neighbourhood_free(fs_neighbourhood *hood)
{
    fs_free(hood->domain_of_device);
    fs_free(hood->host_of_nic);
    fs_free(hood->stamp_of_device);
    fs_free(hood->index_of_device);
    fs_free(hood->nics_begin);
    fs_free(hood->nics);
}

/* ---- rails ------------------------------------------------------------------------------------------------------- */

fs_status fs_nearest_nics(fs_neighbourhood *hood, uint32_t gpu, uint32_t as, fs_near_nics *near, fs_err *err)
{
    const fs_topo *topo = hood->topo;
    uint32_t board = fs_board_of(topo, gpu), best = UINT32_MAX, start = near->count;
    for (uint32_t k = hood->nics_begin[board]; k < hood->nics_begin[board + 1]; k++) {
        const fs_route *route;
        fs_err no_path;
        fs_status status = fs_router_find(hood->router, gpu, hood->nics[k], 0, &route, &no_path);
        if (status == FS_E_TOPOLOGY)
            continue; /* a NIC that this GPU does not reach is not its NIC */
        if (status != FS_OK) {
            *err = no_path;
            return status;
        }
        uint32_t far = fs_route_distance(route);
        if (far < best)
            near->count = start;
        if (far > best)
            continue;
        best = far;
        if (FS_PUSH(near, ((fs_near_nic){hood->nics[k], as})) == NULL)
            return fs_fail_nomem(err);
    }
    return FS_OK;
}

static uint32_t rails_of_gpu(const fs_rail *rails, uint32_t n, uint32_t position)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        count += rails[i].enter == position;
    return count;
}

uint32_t fs_assign_rails(const fs_near_nics *near, fs_rail *rails)
{
    uint32_t n = 0, last = FS_NONE;
    for (;;) {
        uint32_t nic = FS_NONE;
        for (uint32_t i = 0; i < near->count; i++)
            if ((last == FS_NONE || near->data[i].nic > last) && near->data[i].nic < nic)
                nic = near->data[i].nic;
        if (nic == FS_NONE)
            return n;
        fs_rail rail = {nic, FS_NONE, FS_NONE};
        uint32_t fewest = UINT32_MAX;
        for (uint32_t i = 0; i < near->count; i++) {
            uint32_t taken = near->data[i].nic == nic ? rails_of_gpu(rails, n, near->data[i].gpu) : UINT32_MAX;
            if (taken < fewest) {
                fewest = taken;
                rail.enter = near->data[i].gpu;
            }
        }
        for (uint32_t i = 0; i < near->count; i++)
            if (near->data[i].nic == nic && near->data[i].gpu != rail.enter && rail.leave == FS_NONE)
                rail.leave = near->data[i].gpu;
        if (rail.leave == FS_NONE)
            rail.leave = rail.enter;
        rails[n++] = rail;
        last = nic;
    }
}

static fs_status find_rails_of(fs_neighbourhood *hood, const fs_group *group, fs_domain *domain, fs_near_nics *near,
                               fs_err *err)
{
    near->count = 0;
    for (uint32_t i = 0; i < domain->n; i++) {
        uint32_t position = domain->members[i];
        fs_status status = fs_nearest_nics(hood, group->gpus[position], position, near, err);
        if (status != FS_OK)
            return status;
    }
    fs_rail *rails = fs_arena_alloc(hood->arena, near->count, sizeof *rails);
    if (rails == NULL)
        return fs_fail_nomem(err);
    domain->n_rails = fs_assign_rails(near, rails);
    domain->rails = rails;
    return FS_OK;
}

fs_status fs_group_find_rails(fs_neighbourhood *hood, fs_group *group, fs_err *err)
{
    fs_status status = FS_OK;
    fs_near_nics near = {0};
    for (uint32_t d = 0; d < group->n_domains && status == FS_OK; d++) {
        status = find_rails_of(hood, group, &group->domains[d], &near, err);
        if (d == 0 || group->domains[d].n_rails < group->n_rails)
            group->n_rails = group->domains[d].n_rails;
    }
    fs_free(near.data);
    return status;
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static fs_status check_gpus(fs_neighbourhood *hood, const uint32_t *gpus, uint32_t n, fs_err *err)
{
    const fs_topo *topo = hood->topo;
    uint32_t stamp = ++hood->stamp;
    for (uint32_t i = 0; i < n; i++) {
        if (gpus[i] >= topo->n_devices)
            return fs_fail(err, FS_E_TRACE, "a group names device %u, but '%s' has %u devices", gpus[i], topo->name,
                           topo->n_devices);
        if (fs_topo_device(topo, gpus[i]).kind != FS_DEVICE_GPU)
            return fs_fail(err, FS_E_TRACE, "a group names '%s', which is no GPU", FS_DEVICE_NAME(topo, gpus[i]));
        if (hood->stamp_of_device[gpus[i]] == stamp)
            return fs_fail(err, FS_E_TRACE, "a group names '%s' twice", FS_DEVICE_NAME(topo, gpus[i]));
        hood->stamp_of_device[gpus[i]] = stamp;
    }
    return FS_OK;
}

/* Number the domains by first member; members[] holds them one after the other. */
static fs_status split_domains(fs_neighbourhood *hood, fs_group *group, fs_err *err)
{
    uint32_t n = group->n, *index_of_label = hood->index_of_device;
    uint32_t *domain_of = fs_arena_alloc(hood->arena, n, sizeof *domain_of);
    uint32_t *members = fs_arena_alloc(hood->arena, n, sizeof *members);
    if (domain_of == NULL || members == NULL)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < n; i++)
        index_of_label[hood->domain_of_device[group->gpus[i]]] = FS_NONE;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t *index = &index_of_label[hood->domain_of_device[group->gpus[i]]];
        if (*index == FS_NONE)
            *index = group->n_domains++;
        domain_of[i] = *index;
    }
    fs_domain *domains = fs_arena_alloc(hood->arena, group->n_domains, sizeof *domains);
    uint32_t *fill = fs_zalloc((size_t)group->n_domains + 1, sizeof *fill);
    if (domains == NULL || fill == NULL) {
        fs_free(fill);
        return fs_fail_nomem(err);
    }
    for (uint32_t i = 0; i < n; i++)
        domains[domain_of[i]].n++;
    for (uint32_t d = 0, sum = 0; d < group->n_domains; sum += domains[d++].n) {
        domains[d].members = members + sum;
        fill[d] = sum;
    }
    for (uint32_t i = 0; i < n; i++)
        members[fill[domain_of[i]]++] = i;
    fs_free(fill);
    group->domain_of = domain_of;
    group->domains = domains;
    return FS_OK;
}

fs_status fs_group_new(fs_neighbourhood *hood, const uint32_t *gpus, uint32_t n, fs_group **out, fs_err *err)
{
    fs_status status = check_gpus(hood, gpus, n, err);
    if (status != FS_OK)
        return status;
    fs_group *group = fs_arena_alloc(hood->arena, 1, sizeof *group);
    uint32_t *copy = fs_arena_alloc(hood->arena, n, sizeof *copy);
    if (group == NULL || copy == NULL)
        return fs_fail_nomem(err);
    memcpy(copy, gpus, n * sizeof *copy);
    group->n = n;
    group->gpus = copy;
    status = split_domains(hood, group, err);
    if (status == FS_OK)
        *out = group;
    return status;
}
