/* serving.c - see serving.h. */
#include "report/serving.h"

#include <math.h>

double fs_request_tpot_s(const fs_request_row *r)
{
    return r->output > 1 ? (r->done_s - r->first_s) / (r->output - 1.0) : 0;
}

static bool meets(const fs_serving_result *v, const fs_request_row *r)
{
    return (v->slo_ttft_s <= 0 || r->first_s - r->arrival_s <= v->slo_ttft_s) &&
           (v->slo_tpot_s <= 0 || fs_request_tpot_s(r) <= v->slo_tpot_s);
}

/* Waiting time that falls into each quarter of the time of arrivals. */
static void add_wait(const fs_request_row *r, double begin_s, double quarter_s, double *queued)
{
    for (int q = 0; q < 4 && quarter_s > 0; q++) {
        double from = fmax(r->arrival_s, begin_s + q * quarter_s), to = fmin(r->start_s, begin_s + (q + 1) * quarter_s);
        if (to > from)
            queued[q] += r->count * (to - from) / quarter_s;
    }
}

/* More wait in each quarter than in the one before, at the end twice as many as in the second and more than a twentieth of
 * all: a queue that is stable forgets its beginning. */
static bool is_unstable(const fs_serving_result *v)
{
    const double *q = v->queued;
    return v->concurrency == 0 && q[1] < q[2] && q[2] < q[3] && q[3] >= 2 * q[1] && q[3] > 0.05 * (double)v->n_requests;
}

enum { TTFT, TPOT, E2E, QUEUE, SAMPLES };

typedef struct sums {
    fs_samples *samples[SAMPLES];
    double done, met, input, output, good_output;
} sums;

static void count_request(const fs_request_row *r, fs_serving_result *v, sums *sum)
{
    double n = r->count;
    v->n_rejected += r->rejected ? r->count : 0;
    v->preemptions += (uint64_t)r->preemptions * r->count;
    if (r->rejected)
        return;
    sum->done += n;
    sum->input += n * r->input;
    sum->output += n * r->output;
    fs_samples_add(sum->samples[TTFT], r->first_s - r->arrival_s, n);
    fs_samples_add(sum->samples[E2E], r->done_s - r->arrival_s, n);
    fs_samples_add(sum->samples[QUEUE], r->start_s - r->arrival_s, n);
    if (r->output > 1)
        fs_samples_add(sum->samples[TPOT], fs_request_tpot_s(r), n);
    sum->met += meets(v, r) ? n : 0;
    sum->good_output += meets(v, r) ? n * r->output : 0;
}

/* A copy's rows: (n). */
static void count_copy(const fs_request_row *r, uint32_t n, fs_serving_result *v, sums *sum)
{
    double begin_s = r[0].arrival_s, last_s = r[n - 1].arrival_s;
    for (uint32_t k = 0; k < n; k++) {
        count_request(&r[k], v, sum);
        if (!r[k].rejected)
            add_wait(&r[k], begin_s, (last_s - begin_s) / 4, v->queued);
    }
}

static void fill_rates(fs_serving_result *v, const sums *sum, double end_s)
{
    v->mean_input = sum->done > 0 ? sum->input / sum->done : 0;
    v->mean_output = sum->done > 0 ? sum->output / sum->done : 0;
    v->slo_met = sum->done > 0 ? sum->met / sum->done : 0;
    v->output_tokens_per_s_per_user = v->tpot.mean > 0 ? 1 / v->tpot.mean : 0;
    if (!(end_s > 0))
        return;
    v->requests_per_s = sum->done / end_s;
    v->input_tokens_per_s = sum->input / end_s;
    v->output_tokens_per_s = sum->output / end_s;
    v->output_tokens_per_s_per_gpu = v->gpus > 0 ? v->output_tokens_per_s / (double)v->gpus : 0;
    v->goodput_per_s = sum->met / end_s;
    v->goodput_tokens_per_s = sum->good_output / end_s;
}

fs_status fs_serving_sum_up(fs_serving_result *v, uint32_t rows_of_copy, double end_s, fs_err *err)
{
    sums sum = {0};
    bool all = true;
    for (uint32_t k = 0; k < SAMPLES; k++) {
        sum.samples[k] = fs_samples_new();
        all = all && sum.samples[k];
    }
    if (all) {
        for (uint32_t row = 0; row < v->n_rows; row += rows_of_copy)
            count_copy(&v->requests[row], rows_of_copy, v, &sum);
        v->ttft = fs_samples_summary(sum.samples[TTFT]);
        v->tpot = fs_samples_summary(sum.samples[TPOT]);
        v->e2e = fs_samples_summary(sum.samples[E2E]);
        v->queue = fs_samples_summary(sum.samples[QUEUE]);
        fill_rates(v, &sum, end_s);
        v->unstable = is_unstable(v);
    }
    for (uint32_t k = 0; k < SAMPLES; k++)
        fs_samples_free(sum.samples[k]);
    return all ? FS_OK : fs_fail_nomem(err);
}
