/* group.h - a process group seen from the fabric: who is near whom, which NICs serve it, which rings it has.
 *
 * Machines are made of boards by the thousand and jobs of groups by the thousand, and most groups lie on their boards as
 * others do on theirs. Such groups have one form: what makes it is, for each member in order, its board and its domain
 * (numbered as they appear), the make of the board, and where on it the member is. Everything about structure belongs to
 * the form and is found once: domains, rails, rings. NICs are therefore named by the distance of their device id from
 * that of a member on the same board. */
#ifndef FS_GROUP_H
#define FS_GROUP_H

#include "coll/board.h"

#include "base/index.h"

/* A NIC: device gpus[anchor] + offset of the group; none where offset is 0. */
typedef struct fs_port {
    uint32_t position; /* of the GPU through which a ring enters or leaves */
    uint32_t anchor;
    int32_t offset;
} fs_port;

/* A NIC that serves the form in one domain; its anchor is `enter`. */
typedef struct fs_rail {
    uint32_t enter, leave; /* positions in the group: GPUs next to it; different where there are two */
    int32_t offset;
} fs_rail;

/* A scale-up domain, or a node: members reach each other without the network. */
typedef struct fs_domain {
    uint32_t n;
    const uint32_t *members; /* (n) positions in the group, ascending */
    uint32_t n_rails;
    const fs_rail *rails; /* (n_rails) by board as it appears, then by NIC; found with the channels */
} fs_domain;

/* One ring over the whole group. */
typedef struct fs_channel {
    const uint32_t *order; /* (n) positions in the group */
    const fs_port *ports;  /* (2 x n_domains) where it enters and leaves each; NULL: there is one domain */
    double share;          /* of the bytes; the channels' sum to 1 */
} fs_channel;

typedef struct fs_form {
    uint32_t n;
    const uint32_t *key;       /* (FS_FORM_WORDS x n) */
    const uint32_t *sample;    /* (n) device ids of some group of this form */
    const uint32_t *domain_of; /* (n) index in domains[] */
    uint32_t n_domains, n_boards;
    fs_domain *domains;          /* (n_domains) by first member */
    const uint32_t *board_begin; /* (n_boards + 1) by first member */
    const uint32_t *on_board;    /* (n) positions, board after board, ascending */
    bool rails_found;
    uint32_t n_rails;    /* that every domain has; 0 where the network is not reached through NICs */
    uint32_t n_channels; /* 0: not searched yet */
    const fs_channel *channels;
} fs_form;

enum { FS_FORM_WORDS = 5 };

typedef struct fs_group {
    uint32_t n;
    uint32_t form;
    const uint32_t *gpus; /* (n) device ids */
} fs_group;

/* Numbers for ids in the order in which they appear in a group. */
typedef struct fs_numbering {
    uint32_t *stamp; /* by id: the last group that numbered it; */
    uint32_t *number;
    uint32_t count; /* of numbers given in this group */
} fs_numbering;

/* All groups and forms met so far. */
typedef struct fs_groups {
    fs_neighbourhood *hood;
    FS_VEC(fs_group) groups;
    FS_VEC(fs_form *) forms;
    fs_index group_index, form_index;
    uint32_t stamp;
    uint32_t *gpu_stamp;                    /* (n_gpus) scratch: the last group that named the GPU */
    uint32_t *outside;                      /* (n_gpus) see find_outside in group.c; asked for once */
    FS_VEC(uint32_t) key;                   /* scratch */
    fs_numbering boards, domains, switches; /* scratch */
} fs_groups;

FS_MUST_CHECK fs_status fs_groups_init(fs_groups *groups, fs_neighbourhood *hood, fs_err *err);
void fs_groups_free(fs_groups *groups);

/* The id of the group of these GPUs, made where it is new. FS_E_TRACE where a device is no GPU or is named twice. */
FS_MUST_CHECK fs_status fs_group_find(fs_groups *groups, const uint32_t *gpus, uint32_t n, uint32_t *id, fs_err *err);

static inline fs_form *fs_form_of(const fs_groups *groups, const fs_group *group)
{
    return groups->forms.data[group->form];
}

/* Fill the domains' rails. */
FS_MUST_CHECK fs_status fs_form_find_rails(fs_neighbourhood *hood, fs_form *form, fs_err *err);

/* ring_search.c: fill channels, and the rails where there are several domains. */
FS_MUST_CHECK fs_status fs_form_find_channels(fs_neighbourhood *hood, fs_form *form, fs_err *err);

/* The members of a domain as a path along the fabric that starts at position `first` and ends at `last` (FS_NONE:
 * anywhere); order (domain->n). lanes_left: see ring_search.c; NULL = all lanes. */
FS_MUST_CHECK fs_status fs_form_walk(fs_neighbourhood *hood, const fs_form *form, uint32_t domain, uint32_t first,
                                     uint32_t last, uint32_t *lanes_left, uint32_t *order, fs_err *err);

/* The first NVSwitch that a GPU hangs on, or FS_NONE: GPUs of one set of switches agree on it. */
uint32_t fs_switch_of(const fs_topo *topo, uint32_t gpu);

#endif
