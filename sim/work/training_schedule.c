/* training_schedule.c - see training_schedule.h.
 *
 * 1F1B (D. Narayanan et al., "Memory-Efficient Pipeline-Parallel DNN Training", ICML 2021): stage s of p runs p - s - 1
 * forward passes ahead, then a forward and a backward pass in turn, then the backward passes that are left. Interleaved
 * (Narayanan et al. 2021, section 2.2): microbatches go through the chunks of a stage in groups of p, and
 * 2 (p - s - 1) + (v - 1) p passes run ahead. GPipe (Huang et al. 2019): all forward passes, then all backward ones.
 * ZB-H1 (Qi et al. 2024): 1F1B whose backward passes leave out the gradients of weights, which follow as many
 * microbatches later as the stage's number, so that what a stage holds stays that of 1F1B and the cool-down is filled.
 * `overlap.ep` (Megatron-LM's combined 1F1B; DualPipe of DeepSeek-V3 does the same with two ends of the pipeline): the backward and
 * the forward pass of a turn run beside each other. One more forward pass runs ahead, so that they are of different microbatches, and
 * only interleaved stages are twice their distance ahead of each other, as what is sent at the end of a turn is asked for at the
 * beginning of the next but one. O(passes). */
#include "work/training_schedule.h"

typedef struct maker {
    const fs_training *t;
    fs_slots *slots;
    uint32_t n_forward, n_backward, n_weights; /* passes listed */
    bool failed;
} maker;

/* The k-th pass of a kind: which chunk and microbatch. */
static void list(maker *m, fs_pass pass, uint32_t k)
{
    uint32_t p = m->t->pp, v = m->t->vpp, within = k % (p * v);
    fs_slot slot = {.pass = pass, .chunk = within / p, .microbatch = k / (p * v) * p + within % p};
    if (v == 1)
        slot = (fs_slot){.pass = pass, .microbatch = k};
    else if (pass != FS_PASS_FORWARD)
        slot.chunk = v - 1 - slot.chunk;
    m->failed = m->failed || FS_PUSH(m->slots, slot) == NULL;
}

static void list_backward(maker *m, uint32_t stage)
{
    list(m, FS_PASS_BACKWARD, m->n_backward++);
    if (m->t->schedule == FS_SCHEDULE_ZB_H1 && m->n_backward > stage)
        list(m, FS_PASS_WEIGHTS, m->n_weights++);
}

fs_status fs_schedule_make(const fs_training *t, uint32_t stage, fs_slots *slots, fs_err *err)
{
    maker m = {.t = t, .slots = slots};
    uint32_t total = fs_training_microbatches(t) * t->vpp, after = t->pp - stage - 1;
    uint64_t ahead = t->vpp > 1 ? 2 * (uint64_t)after + (uint64_t)(t->vpp - 1) * t->pp : after;
    ahead += t->overlap_ep;
    if (t->schedule == FS_SCHEDULE_GPIPE || ahead > total)
        ahead = total;
    while (m.n_forward < ahead)
        list(&m, FS_PASS_FORWARD, m.n_forward++);
    while (m.n_backward < total && !m.failed) {
        bool both = m.n_forward < total, beside = both && t->overlap_ep;
        if (both && !beside)
            list(&m, FS_PASS_FORWARD, m.n_forward++);
        list_backward(&m, stage);
        if (beside && !m.failed) {
            slots->data[slots->count - 1].beside = true;
            list(&m, FS_PASS_FORWARD, m.n_forward++);
        }
    }
    while (t->schedule == FS_SCHEDULE_ZB_H1 && m.n_weights < total && !m.failed)
        list(&m, FS_PASS_WEIGHTS, m.n_weights++);
    return m.failed ? fs_fail_nomem(err) : FS_OK;
}
