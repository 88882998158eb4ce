/* direct.c - every pair at once; see algorithms.h.
 *
 * all_to_all: each rank sends S/n to each of the n - 1 others; all_gather: its S/n to all; reduce_scatter: to each the
 * S/n that is its. So in all three every ordered pair carries S/n. send/recv: one pair, all of S. With a load w, rank i
 * sends S w(j) to j, or, transposed, S w(i); the pair then counts n w times (apart: none between those of one side). So a pair is a(i) b(j) times S/n, always a
 * product, and one of the factors is 1.
 *
 * Coupled: one transfer for all pairs of one class of route (NVLink, PCIe, network, ...), at most five, O(links) in
 * total. Max-min fair sharing gives all pairs of an all-to-all the same rate until the most loaded link is full, and
 * that link's pairs keep that rate to the end; so the end of the whole, max over links of load / capacity, is the
 * same for single flows, one transfer per source, or one in all. What differs is when the others let go of their links.
 * One in all would hold NVLink for as long as the network takes; one per source costs n rows of O(links) each and gains
 * nothing where ranks are alike. By class, pairs within a node end when they would as flows, and cost stays O(links).
 *
 * Between domains pairs are not walked one by one. Their ways have three stages, source to NIC, NIC to NIC, NIC to
 * destination (crossing.c), so of each stage it is enough to know how many pairs take it, and as pairs are products,
 * that is a product of two sums: of a over the GPUs before it and of b over those behind it. That leaves
 * O(boards^2 x NICs of a board) routes for a group, in place of O(ranks^2). Where some NIC is not reached as
 * point-to-point traffic wants it, pairs are walked after all.
 * Messages: one per pair, no order among them. */
#include "coll/direct.h"

#include <math.h>

/* The side that is alike: all; or those behind `apart`, for as much in sum. */
static double alike(const fs_algo_run *run, uint32_t i)
{
    if (run->apart == 0)
        return 1.0;
    return i < run->apart ? 0.0 : (double)run->group.n / (run->group.n - run->apart);
}

/* Factors of a pair: it counts from(src) x to(dst) times S/n. */
static double from(const fs_algo_run *run, uint32_t src)
{
    return run->load != NULL && run->transpose ? run->load[src] * run->group.n : alike(run, src);
}

static double to(const fs_algo_run *run, uint32_t dst)
{
    return run->load != NULL && !run->transpose ? run->load[dst] * run->group.n : alike(run, dst);
}

static void note(fs_direct_classes *c, const fs_way *way)
{
    c->used[way->worst_class] = true;
    c->latency_s[way->worst_class] = fmax(c->latency_s[way->worst_class], way->latency_s);
}

/* ---- pair by pair ------------------------------------------------------------------------------------------------ */

/* A pair that has been added to the row: one transfer or message, or set aside among those of its class. */
static fs_status end_pair(const fs_algo_run *run, const fs_way *way, double share, double times, fs_err *err)
{
    uint32_t id;
    switch (run->b->mode) {
    case FS_LOWER_MESSAGES:
        return fs_shape_message_end(run->b, share * times, way->latency_s, way->worst_class, &id, err);
    case FS_LOWER_FLOWS: return fs_shape_move_end(run->b, share * times, way->latency_s, err);
    case FS_LOWER_COUPLED:
    case FS_LOWERINGS: break;
    }
    return fs_shape_set_aside(run->b, way->worst_class, times, err);
}

/* To which transfer a pair belongs: faults may lead it over other links, but it stays with those of its class. */
static fs_status healthy_way(const fs_algo_run *run, uint32_t src, uint32_t dst, fs_way *way, fs_err *err)
{
    fs_algo_run healthy = *run;
    healthy.router = run->hood->router;
    healthy.epoch = FS_NONE;
    return fs_way_pair(&healthy, src, dst, 0.0, way, err);
}

fs_status fs_direct_pair(const fs_algo_run *run, uint32_t src, uint32_t dst, double share, double times, double after_s,
                         fs_direct_classes *c, fs_err *err)
{
    bool together = run->form->domain_of[src] == run->form->domain_of[dst];
    fs_way way = {0};
    if (src == dst || !(times > 0.0))
        return FS_OK;
    fs_status status = fs_way_pair(run, src, dst, 1.0, &way, err);
    if (status == FS_OK && run->epoch != FS_NONE)
        status = healthy_way(run, src, dst, &way, err);
    if (status != FS_OK)
        return status;
    way.latency_s += after_s;
    note(c, &way);
    if (together && way.worst_class > run->b->intra_class)
        run->b->intra_class = way.worst_class;
    return end_pair(run, &way, share, times, err);
}

static fs_status add_pair(const fs_algo_run *run, uint32_t src, uint32_t dst, double share, fs_direct_classes *c,
                          fs_err *err)
{
    return fs_direct_pair(run, src, dst, share, from(run, src) * to(run, dst), 0.0, c, err);
}

static fs_status add_pairs_within(const fs_algo_run *run, double share, fs_direct_classes *c, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t d = 0; d < run->form->n_domains; d++) {
        const fs_domain *domain = &run->form->domains[d];
        for (uint32_t i = 0; i < domain->n; i++)
            for (uint32_t j = 0; j < domain->n && status == FS_OK; j++)
                status = add_pair(run, domain->members[j], domain->members[i], share, c, err);
    }
    return status;
}

static fs_status add_pairs_across(const fs_algo_run *run, double share, fs_direct_classes *c, fs_err *err)
{
    fs_status status = FS_OK;
    uint32_t n = run->group.n;
    for (uint32_t dst = 0; dst < n; dst++)
        for (uint32_t src = 0; src < n && status == FS_OK; src++)
            if (run->form->domain_of[src] != run->form->domain_of[dst])
                status = add_pair(run, src, dst, share, c, err);
    return status;
}

/* ---- stage by stage ---------------------------------------------------------------------------------------------- */

/* A NIC by which members of one board send, or get what is sent to them. */
typedef struct gate {
    uint32_t board; /* number in the form */
    uint32_t k;     /* number in its make */
    uint32_t nic;   /* device id */
    uint32_t rail;
    uint32_t domain; /* number in the form */
    double sum;      /* of a, or b, over the members that it serves */
    double beyond;   /* of the other factor, over what is at the other end of what passes here */
    double near_s;   /* latency between it and the farthest of these members */
} gate;

typedef FS_VEC(gate) gates;

typedef struct stages {
    gates out, in;       /* by board, then by NIC */
    uint32_t *out_begin; /* (n_boards + 1) */
} stages;

static const uint32_t *members_of(const fs_form *form, uint32_t board, uint32_t *n)
{
    *n = form->board_begin[board + 1] - form->board_begin[board];
    return form->on_board + form->board_begin[board];
}

/* What part of a member's traffic passes its board's NIC k: inwards, and outwards across rails, an even part over its
 * nearest; outwards by PXN what the rails at the other end want. */
static double part_of(const fs_algo_run *run, const fs_near_nics *near, uint32_t k, bool in)
{
    if (!in && !run->cross_rail)
        return near->make->open[k] && fs_make_nic_on_rail(near->make, near->make->rails[k]) == k ? 1.0 : 0.0;
    for (uint32_t i = 0; i < near->n; i++)
        if (near->near[i] == k)
            return 1.0 / near->n;
    return 0.0;
}

static fs_status list_gates(const fs_algo_run *run, uint32_t board, bool in, gates *list, fs_err *err)
{
    uint32_t n;
    const uint32_t *members = members_of(run->form, board, &n);
    fs_near_nics near;
    fs_status status = fs_find_near(run, run->group.gpus[members[0]], &near, err);
    for (uint32_t k = 0, n_nics = status == FS_OK ? near.make->n_nics : 0; k < n_nics; k++) {
        gate new = {.board = board,
                    .k = k,
                    .nic = near.base + near.make->nics[k],
                    .rail = near.make->rails[k],
                    .domain = run->form->domain_of[members[0]]};
        for (uint32_t i = 0; i < n; i++) {
            uint32_t gpu = run->group.gpus[members[i]];
            status = fs_find_near(run, gpu, &near, err);
            if (status != FS_OK)
                return status;
            double part = part_of(run, &near, k, in) * (in ? to : from)(run, members[i]);
            size_t at = (size_t)fs_make_gpu(near.make, gpu - near.base) * n_nics + k;
            new.sum += part;
            if (part > 0.0)
                new.near_s = fmax(new.near_s, (in ? near.make->in_s : near.make->out_s)[at]);
        }
        if (new.sum > 0.0 && FS_PUSH(list, new) == NULL)
            return fs_fail_nomem(err);
    }
    return status;
}

/* NIC to NIC from one board to all others. *found = false where some pair has no such way. */
static fs_status add_net(const fs_algo_run *run, uint32_t board, stages *s, fs_direct_classes *c, bool *found,
                         fs_err *err)
{
    uint32_t domain = run->form->domain_of[run->form->on_board[run->form->board_begin[board]]];
    *found = true;
    if (s->out_begin[board] == s->out_begin[board + 1]) /* nobody there sends */
        return FS_OK;
    for (uint32_t i = 0; i < s->in.count; i++) {
        gate *in = &s->in.data[i];
        if (in->domain == domain)
            continue;
        *found = false;
        for (uint32_t o = s->out_begin[board]; o < s->out_begin[board + 1]; o++) {
            gate *out = &s->out.data[o];
            if (!run->cross_rail && out->rail != in->rail)
                continue;
            fs_way way;
            fs_status status = fs_way_try(run, out->nic, in->nic, 0, out->sum * in->sum, &way, found, err);
            if (status != FS_OK || !*found)
                return status;
            way.latency_s += out->near_s + in->near_s;
            note(c, &way);
            out->beyond += in->sum;
            in->beyond += out->sum;
        }
        if (!*found)
            return FS_OK;
    }
    return FS_OK;
}

/* Between the GPUs of a board and one of its NICs. */
static fs_status add_near(const fs_algo_run *run, const gate *g, bool in, fs_err *err)
{
    uint32_t n;
    const uint32_t *members = members_of(run->form, g->board, &n);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t gpu = run->group.gpus[members[i]], via = gpu;
        fs_near_nics near;
        fs_way way;
        fs_status status = fs_find_near(run, gpu, &near, err);
        if (status != FS_OK)
            return status;
        double times = part_of(run, &near, g->k, in) * (in ? to : from)(run, members[i]) * g->beyond;
        if (!(times > 0.0))
            continue;
        if (in) {
            status = fs_way_leg(run, g->nic, gpu, 0, times, &way, err);
        } else {
            status = fs_way_to_nic(run->hood, gpu, g->nic, &via, err);
            if (status == FS_OK && via != gpu)
                status = fs_way_leg(run, gpu, via, 0, times, &way, err);
            if (status == FS_OK)
                status = fs_way_leg(run, via, g->nic, 0, times, &way, err);
        }
        if (status != FS_OK)
            return status;
    }
    return FS_OK;
}

static fs_status list_stages(const fs_algo_run *run, stages *s, fs_err *err)
{
    fs_status status = FS_OK;
    s->out_begin = fs_alloc((size_t)run->form->n_boards + 1, sizeof *s->out_begin);
    if (s->out_begin == NULL)
        return fs_fail_nomem(err);
    for (uint32_t b = 0; b < run->form->n_boards && status == FS_OK; b++) {
        s->out_begin[b] = s->out.count;
        status = list_gates(run, b, false, &s->out, err);
        if (status == FS_OK)
            status = list_gates(run, b, true, &s->in, err);
    }
    s->out_begin[run->form->n_boards] = s->out.count;
    return status;
}

/* Has every member a NIC, and every board a way to all NICs that it sends by? */
static fs_status all_have_nics(const fs_algo_run *run, bool *found, fs_err *err)
{
    *found = true;
    for (uint32_t i = 0; i < run->group.n; i++) {
        fs_near_nics near;
        fs_status status = fs_find_near(run, run->group.gpus[i], &near, err);
        if (status != FS_OK)
            return status;
        *found = *found && near.n > 0;
    }
    return FS_OK;
}

/* All pairs between domains. *found = false, and nothing is added, where they have to be walked one by one. */
static fs_status add_stages(const fs_algo_run *run, fs_direct_classes *c, bool *found, fs_err *err)
{
    stages s = {0};
    fs_status status = all_have_nics(run, found, err);
    if (status == FS_OK && *found)
        status = list_stages(run, &s, err);
    for (uint32_t b = 0; b < run->form->n_boards && status == FS_OK && *found; b++)
        status = add_net(run, b, &s, c, found, err);
    for (uint32_t i = 0; i < s.out.count && status == FS_OK && *found; i++)
        status = add_near(run, &s.out.data[i], false, err);
    for (uint32_t i = 0; i < s.in.count && status == FS_OK && *found; i++)
        status = add_near(run, &s.in.data[i], true, err);
    if (status == FS_OK && *found)
        status = fs_shape_set_aside(run->b, FS_CLASS_NET, 1.0, err);
    else
        fs_shape_drop(run->b);
    fs_free(s.out.data);
    fs_free(s.in.data);
    fs_free(s.out_begin);
    return status;
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static fs_status add_all(const fs_algo_run *run, double share, fs_direct_classes *c, fs_err *err)
{
    bool found = false;
    fs_status status = add_pairs_within(run, share, c, err);
    if (status == FS_OK && run->form->n_domains > 1 && run->b->mode == FS_LOWER_COUPLED) {
        fs_direct_classes before = *c;
        status = add_stages(run, c, &found, err);
        if (!found)
            *c = before;
    }
    return status == FS_OK && !found ? add_pairs_across(run, share, c, err) : status;
}

fs_status fs_direct_end(const fs_algo_run *run, double share, const fs_direct_classes *c, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t class_ = 0; class_ < FS_LINK_CLASSES && status == FS_OK; class_++) {
        fs_shape_take_up(run->b, class_);
        if (c->used[class_])
            status = fs_shape_move_end(run->b, share, c->latency_s[class_], err);
    }
    return status;
}

fs_status fs_direct_emit(const fs_algo_run *run, fs_err *err)
{
    uint32_t n = run->group.n;
    bool pair = run->kind == FS_SENDRECV;
    double count = pair ? 1.0 : (double)n * (n - 1), share = pair ? 1.0 : 1.0 / n;
    fs_status status = FS_OK;
    fs_direct_classes c = {0};
    if (run->b->mode != FS_LOWER_COUPLED)
        status = fs_shape_check_moves(run->kind, FS_ALGO_DIRECT, n, count, err);
    if (status == FS_OK)
        status = pair ? add_pair(run, 0, 1, share, &c, err) : add_all(run, share, &c, err);
    return status == FS_OK ? fs_direct_end(run, share, &c, err) : status;
}
