/* unit_legs.c - see unit_legs.h. Cost: a route for each pair of ends of a unit that is asked for, 4 B for each pair. */
#include "coll/unit_legs.h"

enum { ENDS_MAX = 1024 }; /* of a unit: 4 MB; racks have a few hundred. Beyond, the router is asked each time */

fs_status fs_unit_legs_init(fs_unit_legs *legs, const fs_topo *topo, fs_router *router, fs_err *err)
{
    *legs = (fs_unit_legs){.topo = topo, .router = router};
    legs->units = fs_zalloc(topo->n_units, sizeof *legs->units);
    return legs->units ? FS_OK : fs_fail_nomem(err);
}

void fs_unit_legs_free(fs_unit_legs *legs)
{
    for (uint32_t u = 0; legs->units != NULL && u < legs->topo->n_units; u++) {
        fs_free(legs->units[u].end_of);
        fs_free(legs->units[u].leg);
    }
    fs_free(legs->units);
    fs_free(legs->legs.data);
    fs_free(legs->shares.data);
    fs_route_buffer_free(&legs->buffer);
}

static fs_status number_ends(const fs_topo_unit *unit, fs_unit_ends *ends, fs_err *err)
{
    uint32_t n = unit->of_kind[FS_DEVICE_GPU] + unit->of_kind[FS_DEVICE_NIC];
    if (n > ENDS_MAX)
        n = 0;
    uint32_t *end_of = fs_alloc(unit->n_devices, sizeof *end_of);
    uint32_t *leg = fs_zalloc((size_t)n * n, sizeof *leg);
    if (end_of == NULL || leg == NULL) {
        fs_free(end_of);
        fs_free(leg);
        return fs_fail_nomem(err);
    }
    *ends = (fs_unit_ends){.end_of = end_of, .leg = leg};
    for (uint32_t d = 0; d < unit->n_devices; d++) {
        fs_device_kind kind = unit->devices[d].kind;
        end_of[d] = n > 0 && (kind == FS_DEVICE_GPU || kind == FS_DEVICE_NIC) ? ends->n++ : FS_NONE;
    }
    return FS_OK;
}

/* A route whose links are all in the copy that begins at first_link. */
static bool stays_inside(const fs_topo *topo, const fs_route *route, const fs_topo_unit *unit, uint32_t first_link)
{
    for (uint32_t i = 0; i < route->n_shares; i++) {
        uint32_t link = route->shares[i].resource;
        if (link >= topo->first_cable || link < first_link || link - first_link >= unit->n_links)
            return false;
    }
    return route->worst_class != FS_CLASS_NET; /* which may be hashed */
}

static fs_status find_leg(fs_unit_legs *legs, uint32_t src, uint32_t dst, const fs_topo_unit *unit, uint32_t first_link,
                          uint32_t *slot, fs_err *err)
{
    fs_err no_path;
    const fs_route *route = &legs->buffer.route;
    fs_status status = fs_router_compose(legs->router, src, dst, 0, &legs->buffer, &no_path);
    if (status == FS_E_TOPOLOGY || (status == FS_OK && !stays_inside(legs->topo, route, unit, first_link))) {
        *slot = FS_NONE;
        return FS_OK;
    }
    if (status != FS_OK) {
        *err = no_path;
        return status;
    }
    fs_unit_leg leg = {.first_share = legs->shares.count,
                       .n_shares = route->n_shares,
                       .latency_s = route->latency_s,
                       .worst_class = route->worst_class};
    for (uint32_t i = 0; i < route->n_shares; i++) {
        fs_share share = {route->shares[i].resource - first_link, route->shares[i].coefficient};
        if (FS_PUSH(&legs->shares, share) == NULL) {
            legs->shares.count = leg.first_share;
            return fs_fail_nomem(err);
        }
    }
    if (FS_PUSH(&legs->legs, leg) == NULL) {
        legs->shares.count = leg.first_share;
        return fs_fail_nomem(err);
    }
    *slot = legs->legs.count; /* + 1 */
    return FS_OK;
}

fs_status fs_unit_leg_find(fs_unit_legs *legs, uint32_t src, uint32_t dst, uint32_t *leg, uint32_t *first_link,
                           fs_err *err)
{
    const fs_topo *topo = legs->topo;
    fs_where at = fs_topo_where(topo, src);
    const fs_topo_unit *unit = at.run->unit;
    fs_unit_ends *ends = &legs->units[unit - topo->units];
    uint32_t to = dst - (src - at.local); /* wraps where dst is before the copy */
    *leg = FS_NONE;
    if (to >= unit->n_devices)
        return FS_OK;
    if (ends->end_of == NULL) {
        fs_status status = number_ends(unit, ends, err);
        if (status != FS_OK)
            return status;
    }
    if (ends->end_of[at.local] == FS_NONE || ends->end_of[to] == FS_NONE)
        return FS_OK;
    *first_link = at.run->first_link + at.copy * unit->n_links;
    uint32_t *slot = &ends->leg[(size_t)ends->end_of[at.local] * ends->n + ends->end_of[to]];
    if (*slot == 0) {
        fs_status status = find_leg(legs, src, dst, unit, *first_link, slot, err);
        if (status != FS_OK)
            return status;
    }
    *leg = *slot == FS_NONE ? FS_NONE : *slot - 1;
    return FS_OK;
}
