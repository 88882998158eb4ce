/* fold_colour.c - what is alike: the graph that is refined, and the classes that come of it.
 *
 * Nodes: trunks of links, the patterns that plans use, groups that meet, ranks. Colours say what each is by itself:
 *   trunk    of its links (trunk.h): tier, capacity
 *   pattern  the moves that use it
 *   group    family, size, and how its plans are built
 *   rank     program, kernel times, speed of its GPU, which of its forms share a slot, and its sends' plans
 * Arcs say what each sees of the others:
 *   pattern - trunk   the coefficient; and back, times the links of the trunk
 *   group - pattern, rank - pattern    which moves of which signatures use it: a word per move, summed
 *   group - rank      membership
 *   rank -> rank      the slots on both sides of a channel
 * A move is known by its bytes and latency where a plan has no order among its moves, so that plans alike but for the
 * order of their channels are alike; else by its number. With faults, each epoch's pattern counts as used by itself.
 * Words for moves and slots are hashes of what they stand for: the chance that two sets of them have equal sums is that
 * of refine.h.
 * Cost: O(shares of patterns + moves of plans + members), and 16 B for a share on a trunk's first link. */
#include "base/index.h"
#include "base/rng.h"
#include "fold/folding.h"
#include "fold/trunk.h"

#include <string.h>

/* A pattern that an owner's plans use, and in which moves. */
typedef struct use {
    uint32_t pattern, weight;
} use;

typedef struct painter {
    fs_folding *f;
    uint32_t n_patterns, n_owners; /* owners: groups that meet, then ranks */
    fs_trunks trunks;
    uint32_t *node_of;               /* (patterns of the table) its number among those in use, or FS_NONE */
    FS_VEC(uint32_t) patterns;       /* the other way round */
    FS_VEC(uint64_t) pattern_words;  /* sums of the words of all moves that use them */
    FS_VEC(use) uses;                /* owner after owner */
    uint32_t *use_begin;             /* (n_owners + 1) */
    uint32_t *last_owner, *last_use; /* scratch, (patterns of the table) */
    FS_VEC(uint64_t) words;          /* sums of the words of moves, like uses */
    FS_VEC(uint64_t) weights;
    fs_index weight_index;
    fs_colour *colours;
    uint64_t *begin;
    fs_ray *rays; /* NULL while they are counted */
} painter;

/* ---- words ------------------------------------------------------------------------------------------------------- */

static uint64_t word(uint64_t hash, uint64_t more)
{
    return fs_hash_bytes(hash, &more, sizeof more);
}

static uint64_t word_d(uint64_t hash, double more)
{
    return fs_hash_bytes(hash, &more, sizeof more);
}

static fs_status find_weight(painter *p, uint64_t value, uint32_t *id, fs_err *err)
{
    fs_index_probe probe = fs_index_search(&p->weight_index, value);
    for (uint32_t i = fs_index_next(&probe); i != FS_NONE; i = fs_index_next(&probe))
        if (p->weights.data[i] == value) {
            *id = i;
            return FS_OK;
        }
    *id = p->weights.count;
    if (!FS_PUSH(&p->weights, value) || !fs_index_add(&p->weight_index, value, *id))
        return fs_fail_nomem(err);
    return FS_OK;
}

/* ---- plans and the patterns they use ----------------------------------------------------------------------------- */

/* How a plan is built, but for its patterns. */
static void add_plan_colour(const fs_folding *f, fs_colour *c, uint32_t signature, const fs_plan *plan)
{
    fs_colour_add(c, signature);
    fs_colour_add(c, plan->n_moves);
    fs_colour_add(c, (uint64_t)plan->algo << 32 | plan->proto);
    fs_colour_add(c, plan->channels);
    if (!fs_fold_is_ordered(plan))
        return;
    for (uint32_t e = 0; e < f->topo->n_epochs; e++)
        fs_colour_add(c, fs_fold_patterns_at(plan, e) != NULL);
    const uint32_t *words[] = {plan->succ_begin, plan->succ};
    const uint32_t counts[] = {plan->n_moves + 1, plan->succ_begin[plan->n_moves]};
    for (uint32_t i = 0; i < 2; i++) {
        c->a = fs_hash_bytes(c->a, words[i], counts[i] * sizeof *words[i]);
        c->b = fs_hash_bytes(c->b, words[i], counts[i] * sizeof *words[i]);
    }
}

static fs_status use_pattern(painter *p, uint32_t owner, uint32_t pattern, uint64_t move_word, fs_err *err)
{
    if (p->node_of[pattern] == FS_NONE) {
        p->node_of[pattern] = p->patterns.count;
        if (!FS_PUSH(&p->patterns, pattern) || !FS_PUSH(&p->pattern_words, 0))
            return fs_fail_nomem(err);
    }
    if (p->last_owner[pattern] != owner) {
        p->last_owner[pattern] = owner;
        p->last_use[pattern] = p->uses.count;
        if (!FS_PUSH(&p->uses, ((use){.pattern = p->node_of[pattern]})) || !FS_PUSH(&p->words, 0))
            return fs_fail_nomem(err);
    }
    p->words.data[p->last_use[pattern]] += move_word;
    p->pattern_words.data[p->node_of[pattern]] += move_word;
    return FS_OK;
}

static fs_status use_plan(painter *p, uint32_t owner, uint32_t signature, const fs_plan *plan, fs_err *err)
{
    bool ordered = fs_fold_is_ordered(plan);
    uint64_t move_word = 0;
    double bytes = -1, latency_s = -1;
    for (uint32_t i = 0; i < plan->n_moves; i++) {
        const fs_move *m = &plan->moves[i];
        if (ordered || m->bytes != bytes || m->latency_s != latency_s) {
            move_word = word_d(word_d(word(FS_HASH_START, signature), m->bytes), m->latency_s);
            move_word = ordered ? word(move_word, i) : move_word;
            bytes = m->bytes;
            latency_s = m->latency_s;
        }
        fs_status status = use_pattern(p, owner, m->pattern, move_word, err);
        for (uint32_t e = 0; status == FS_OK && plan->patterns_at && e < p->f->topo->n_epochs; e++)
            if (plan->patterns_at[e])
                status = use_pattern(p, owner, plan->patterns_at[e][i], word(move_word, e), err);
        if (status != FS_OK)
            return status;
    }
    p->f->job->n_transfers += plan->n_moves;
    return FS_OK;
}

/* All plans of one owner: into its colour, and into uses. */
static fs_status use_plans(painter *p, uint32_t owner, fs_owner plans, fs_colour *colour, fs_err *err)
{
    p->use_begin[owner] = p->uses.count;
    for (uint32_t i = 0; i < plans.n; i++) {
        const fs_plan *plan = p->f->raw[p->f->raw_begin[plans.signatures[i]] + plans.place];
        if (!plan)
            continue;
        add_plan_colour(p->f, colour, plans.signatures[i], plan);
        fs_status status = use_plan(p, owner, plans.signatures[i], plan, err);
        if (status != FS_OK)
            return status;
    }
    for (uint32_t i = p->use_begin[owner]; i < p->uses.count; i++)
        if (find_weight(p, p->words.data[i] | 1, &p->uses.data[i].weight, err) != FS_OK)
            return err->status;
    return FS_OK;
}

/* ---- colours ----------------------------------------------------------------------------------------------------- */

/* Equal wherever refinement would find them equal, and a start that saves it a round. */
static fs_colour colour_of_pattern(const painter *p, uint32_t i)
{
    fs_colour c = fs_colour_start(FS_NODE_PATTERN);
    fs_colour_add(&c, p->pattern_words.data[i]);
    return c;
}

static fs_colour colour_of_group(const fs_folding *f, uint32_t met)
{
    fs_colour c = fs_colour_start(FS_NODE_GROUP);
    const fs_family *family = &f->work->families[f->mets[met].family];
    fs_colour_add(&c, f->mets[met].family);
    fs_colour_add(&c, fs_family_size(family, f->mets[met].group));
    return c;
}

static fs_colour colour_of_rank(const fs_folding *f, uint32_t rank)
{
    fs_colour c = fs_colour_start(FS_NODE_RANK);
    fs_colour_add(&c, (uint64_t)f->work->program_of[rank] << 32 | f->timing_of[rank]);
    fs_colour_add(&c, f->numbering[rank]);
    for (uint32_t e = 0; e < f->topo->n_epochs; e++)
        fs_colour_add_d(&c, fs_topo_gpu_factor(f->topo, f->work->gpu_of[rank], e));
    return c;
}

/* Patterns are numbered as they are met, so their place among the nodes is known only after the owners: colours of
 * owners wait in an array of their own. */
static fs_status paint(painter *p, fs_err *err)
{
    const fs_folding *f = p->f;
    fs_colour *owners = fs_alloc(p->n_owners, sizeof *owners);
    fs_status status = owners ? FS_OK : fs_fail_nomem(err);
    for (uint32_t m = 0; status == FS_OK && m < f->n_mets; m++) {
        owners[m] = colour_of_group(f, m);
        status = use_plans(p, m, fs_fold_met(f, m), &owners[m], err);
    }
    for (uint32_t rank = 0; status == FS_OK && rank < f->work->n_ranks; rank++) {
        uint32_t owner = f->n_mets + rank;
        owners[owner] = colour_of_rank(f, rank);
        status = use_plans(p, owner, fs_fold_sender(f, rank), &owners[owner], err);
    }
    if (status == FS_OK) {
        p->use_begin[p->n_owners] = p->uses.count;
        p->n_patterns = p->patterns.count;
        status = fs_trunks_find(f, p->patterns.data, p->n_patterns, &p->trunks, err);
    }
    if (status == FS_OK) {
        p->colours = fs_alloc((size_t)p->trunks.n + p->n_patterns + p->n_owners, sizeof *p->colours);
        status = p->colours ? FS_OK : fs_fail_nomem(err);
    }
    if (status == FS_OK) {
        fs_colour *at = p->colours;
        for (uint32_t t = 0; t < p->trunks.n; t++)
            *at++ = p->trunks.links[p->trunks.first[t]];
        for (uint32_t i = 0; i < p->n_patterns; i++)
            *at++ = colour_of_pattern(p, i);
        memcpy(at, owners, p->n_owners * sizeof *owners);
    }
    fs_free(owners);
    return status;
}

/* ---- arcs -------------------------------------------------------------------------------------------------------- */

/* Counted first, then filled in; begin[] is one ahead meanwhile. */
static void draw(painter *p, uint32_t from, uint32_t to, uint32_t weight)
{
    if (p->rays)
        p->rays[p->begin[from + 1]++] = (fs_ray){to, weight};
    else
        p->begin[from + 2]++;
}

static void draw_both(painter *p, uint32_t a, uint32_t b, uint32_t weight)
{
    draw(p, a, b, weight);
    draw(p, b, a, weight);
}

/* Weights of the arcs between a pattern and a trunk that it crosses so often; shares that follow each other are mostly
 * alike, and then the last answer is the answer. */
typedef struct crossing {
    double coefficient;
    uint32_t trunk_links;
    uint32_t there, back;
} crossing;

static fs_status weigh(painter *p, double coefficient, uint32_t trunk_links, crossing *last, fs_err *err)
{
    if (last->coefficient == coefficient && last->trunk_links == trunk_links)
        return FS_OK;
    uint64_t weight = fs_coefficient_weight(coefficient);
    *last = (crossing){coefficient, trunk_links, 0, 0};
    fs_status status = find_weight(p, weight, &last->there, err);
    return status == FS_OK ? find_weight(p, weight * trunk_links, &last->back, err) : status;
}

static fs_status draw_patterns(painter *p, fs_err *err)
{
    crossing last = {0};
    for (uint32_t i = 0; i < p->n_patterns; i++) {
        uint32_t count;
        const fs_share *row = fs_pattern_row(p->f->patterns, p->patterns.data[i], &count);
        for (uint32_t s = 0; s < count; s++) {
            uint32_t trunk = p->trunks.of_link[row[s].resource];
            if (p->trunks.first[trunk] != row[s].resource)
                continue;
            fs_status status = p->rays ? weigh(p, row[s].coefficient, p->trunks.count[trunk], &last, err) : FS_OK;
            if (status != FS_OK)
                return status;
            draw(p, p->trunks.n + i, trunk, last.there);
            draw(p, trunk, p->trunks.n + i, last.back);
        }
    }
    return FS_OK;
}

static void draw_owners(painter *p, uint32_t member_weight)
{
    const fs_folding *f = p->f;
    uint32_t first_owner = p->trunks.n + p->n_patterns, first_rank = first_owner + f->n_mets;
    for (uint32_t o = 0; o < p->n_owners; o++)
        for (uint32_t i = p->use_begin[o]; i < p->use_begin[o + 1]; i++)
            draw_both(p, first_owner + o, p->trunks.n + p->uses.data[i].pattern, p->uses.data[i].weight);
    for (uint32_t m = 0; m < f->n_mets; m++) {
        const fs_family *family = &f->work->families[f->mets[m].family];
        uint32_t group = f->mets[m].group, size = fs_family_size(family, group);
        for (uint32_t i = 0; i < size; i++)
            draw_both(p, first_owner + m, first_rank + fs_family_member(family, group, i), member_weight);
    }
}

static fs_status draw_slots(painter *p, fs_err *err)
{
    const fs_folding *f = p->f;
    uint32_t first_rank = p->trunks.n + p->n_patterns + f->n_mets;
    for (uint32_t rank = 0; rank < f->work->n_ranks; rank++) {
        const fs_end *ends = f->ends + f->form_begin[rank];
        uint32_t n = f->form_count[f->work->program_of[rank]];
        for (uint32_t i = 0; i < n; i++) {
            uint32_t weight = 0;
            if (ends[i].slot != i) /* drawn by the lowest form */
                continue;
            if (p->rays && find_weight(p, word(word(FS_HASH_START, ends[i].peer_slot), i) | 1, &weight, err) != FS_OK)
                return err->status;
            draw(p, first_rank + rank, first_rank + ends[i].peer, weight);
        }
    }
    return FS_OK;
}

static fs_status draw_all(painter *p, fs_err *err)
{
    uint32_t member_weight = 0;
    fs_status status = find_weight(p, 1, &member_weight, err);
    if (status == FS_OK)
        status = draw_patterns(p, err);
    if (status == FS_OK) {
        draw_owners(p, member_weight);
        status = draw_slots(p, err);
    }
    return status;
}

static fs_status build_graph(painter *p, fs_graph *graph, fs_err *err)
{
    uint64_t n = (uint64_t)p->trunks.n + p->n_patterns + p->n_owners;
    if (n >= FS_NONE - 2)
        return fs_fail_nomem(err);
    p->begin = fs_zalloc((size_t)n + 2, sizeof *p->begin);
    fs_status status = p->begin ? draw_all(p, err) : fs_fail_nomem(err);
    if (status != FS_OK)
        return status;
    for (uint64_t i = 0; i < n; i++)
        p->begin[i + 2] += p->begin[i + 1];
    p->rays = fs_alloc(p->begin[n + 1], sizeof *p->rays);
    status = p->rays ? draw_all(p, err) : fs_fail_nomem(err);
    *graph = (fs_graph){
        .n_nodes = (uint32_t)n, .colours = p->colours, .begin = p->begin, .rays = p->rays, .weights = p->weights.data};
    return status;
}

/* ---- classes ----------------------------------------------------------------------------------------------------- */

/* Classes of the nodes [first, first + n) that are numbered from 0; classes are numbered by first members, so those of
 * a kind follow each other. Returns the number of classes so far. */
static uint32_t take(const uint32_t *class_of, uint32_t first, uint32_t n, uint32_t seen, uint32_t *out)
{
    uint32_t next = seen;
    for (uint32_t i = 0; i < n; i++) {
        out[i] = class_of[first + i] - seen;
        if (class_of[first + i] >= next)
            next = class_of[first + i] + 1;
    }
    return next;
}

static fs_status take_classes(const painter *p, const uint32_t *class_of, fs_err *err)
{
    fs_folding *f = p->f;
    fs_classes *c = &f->classes;
    uint32_t n_table = fs_pattern_count(f->patterns);
    uint32_t *pattern = fs_alloc((size_t)p->trunks.n + p->n_patterns, sizeof *pattern);
    c->link = fs_arena_alloc(f->own, f->topo->n_links, sizeof *c->link);
    c->met = fs_arena_alloc(f->own, f->n_mets, sizeof *c->met);
    c->rank = fs_arena_alloc(f->own, f->work->n_ranks, sizeof *c->rank);
    c->pattern = fs_arena_alloc(f->own, n_table, sizeof *c->pattern);
    if (!pattern || !c->link || !c->met || !c->rank || !c->pattern) {
        fs_free(pattern);
        return fs_fail_nomem(err);
    }
    uint32_t *trunk = pattern + p->n_patterns;
    uint32_t at = 0, trunks = take(class_of, at, p->trunks.n, 0, trunk);
    uint32_t patterns = take(class_of, at += p->trunks.n, p->n_patterns, trunks, pattern);
    uint32_t mets = take(class_of, at += p->n_patterns, f->n_mets, patterns, c->met);
    uint32_t ranks = take(class_of, at += f->n_mets, f->work->n_ranks, mets, c->rank);
    c->n_patterns = patterns - trunks;
    c->n_mets = mets - patterns;
    c->n_ranks = ranks - mets;
    for (uint32_t i = 0; i < n_table; i++)
        c->pattern[i] = p->node_of[i] == FS_NONE ? FS_NONE : pattern[p->node_of[i]];
    fs_status status = fs_trunks_classes(f, &p->trunks, trunk, c->link, &c->n_links, err);
    fs_free(pattern);
    if (c->n_links == f->topo->n_links && c->n_mets == f->n_mets && c->n_ranks == f->work->n_ranks)
        c->pattern = NULL; /* nothing is alike: plans stay as they are */
    return status;
}

static fs_status partition(painter *p, fs_err *err)
{
    fs_graph graph;
    uint32_t n_classes;
    fs_status status = paint(p, err);
    if (status == FS_OK)
        status = build_graph(p, &graph, err);
    if (status != FS_OK)
        return status;
    uint32_t *class_of = fs_alloc(graph.n_nodes, sizeof *class_of);
    status = class_of ? fs_refine(&graph, class_of, &n_classes, err) : fs_fail_nomem(err);
    if (status == FS_OK)
        status = take_classes(p, class_of, err);
    fs_free(class_of);
    return status;
}

fs_status fs_fold_colour(fs_folding *f, fs_err *err)
{
    uint32_t n_table = fs_pattern_count(f->patterns);
    painter p = {.f = f, .n_owners = f->n_mets + f->work->n_ranks};
    p.node_of = fs_alloc(n_table, 3 * sizeof *p.node_of);
    p.use_begin = fs_alloc((size_t)p.n_owners + 1, sizeof *p.use_begin);
    fs_status status = p.node_of && p.use_begin ? FS_OK : fs_fail_nomem(err);
    if (status == FS_OK) {
        p.last_owner = p.node_of + n_table;
        p.last_use = p.last_owner + n_table;
        memset(p.node_of, 0xff, (size_t)n_table * 2 * sizeof *p.node_of); /* FS_NONE */
        status = partition(&p, err);
    }
    fs_free(p.node_of);
    fs_free(p.patterns.data);
    fs_free(p.pattern_words.data);
    fs_trunks_free(&p.trunks);
    fs_free(p.uses.data);
    fs_free(p.use_begin);
    fs_free(p.words.data);
    fs_free(p.weights.data);
    fs_index_free(&p.weight_index);
    fs_free(p.colours);
    fs_free(p.begin);
    fs_free(p.rays);
    return status;
}

fs_status fs_fold_alone(fs_folding *f, fs_err *err)
{
    fs_classes *c = &f->classes;
    *c = (fs_classes){.n_ranks = f->work->n_ranks, .n_mets = f->n_mets, .n_links = f->topo->n_links};
    uint32_t most = c->n_ranks > c->n_mets ? c->n_ranks : c->n_mets;
    most = most > c->n_links ? most : c->n_links;
    uint32_t *numbers = fs_arena_alloc(f->own, most, sizeof *numbers);
    if (!numbers)
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < most; i++)
        numbers[i] = i;
    c->rank = c->met = c->link = numbers;
    for (uint32_t i = 0; i < f->raw_begin[f->job->n_signatures]; i++)
        f->job->n_transfers += f->raw[i] ? f->raw[i]->n_moves : 0;
    return FS_OK;
}
