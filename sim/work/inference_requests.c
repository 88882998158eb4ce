/* inference_requests.c - "requests" of an inference trace: how they are drawn, or the file that has them. */
#include "work/inference_reader.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void take(fs_training_reader *r, const fs_json *object, const char *key, double *out)
{
    if (r->status == FS_OK)
        r->status = fs_json_number_in(r->doc, object, key, true, 1, FS_TOKENS_MAX, out, r->err);
}

static void read_uniform(fs_training_reader *r, const fs_json *range, fs_length *length)
{
    const fs_json *low = fs_json_first(range), *high = fs_json_next(low);
    double a = fs_json_kind(low) == FS_JSON_NUMBER ? fs_json_number(low) : 0;
    double b = fs_json_kind(high) == FS_JSON_NUMBER ? fs_json_number(high) : 0;
    if (fs_json_kind(range) != FS_JSON_ARRAY || fs_json_count(range) != 2 ||
        !(a >= 1 && a <= b && b <= FS_TOKENS_MAX) || floor(a) < a || floor(b) < b) {
        r->status = fs_json_fail(r->doc, range, false, r->err,
                                 "'uniform' is two numbers of tokens, the smaller first, from 1 to %d", FS_TOKENS_MAX);
        return;
    }
    length->kind = FS_UNIFORM;
    length->low = (uint32_t)a;
    length->high = (uint32_t)b;
    length->mean = (a + b) / 2;
}

static void read_lognormal(fs_training_reader *r, const fs_json *json, fs_length *length)
{
    static const char *const keys[] = {"mean", "cv", "max"};
    double max = FS_TOKENS_MAX;
    if (r->status == FS_OK && fs_json_kind(json) != FS_JSON_OBJECT)
        r->status = fs_json_fail(r->doc, json, false, r->err, "'lognormal' is {\"mean\": .., \"cv\": .., \"max\": ..}");
    if (r->status == FS_OK)
        r->status = fs_json_only(r->doc, json, keys, COUNT(keys), r->err);
    take(r, json, "mean", &length->mean);
    if (r->status == FS_OK)
        r->status = fs_json_number_in(r->doc, json, "cv", true, 0, 100, &length->cv, r->err);
    if (r->status == FS_OK)
        r->status = fs_json_number_in(r->doc, json, "max", false, 1, FS_TOKENS_MAX, &max, r->err);
    length->kind = FS_LOGNORMAL;
    length->high = (uint32_t)max;
}

/* A number of tokens; {"uniform": [a, b]}; {"lognormal": {"mean", "cv", "max"}}; {"exponential": mean}. */
static void read_length(fs_training_reader *r, const char *key, fs_length *length)
{
    static const char *const keys[] = {"uniform", "lognormal", "exponential"};
    const fs_json *requests = r->object, *json = fs_json_get(requests, key);
    uint64_t fixed = 0;
    *length = (fs_length){.low = 1, .high = FS_TOKENS_MAX};
    if (r->status != FS_OK)
        return;
    if (fs_json_kind(json) != FS_JSON_OBJECT) {
        r->status = fs_json_uint_in(r->doc, requests, key, true, 1, FS_TOKENS_MAX, &fixed, r->err);
        length->mean = (double)fixed;
        length->low = length->high = (uint32_t)fixed;
        return;
    }
    r->status = fs_json_only(r->doc, json, keys, COUNT(keys), r->err);
    if (r->status == FS_OK && fs_json_count(json) != 1)
        r->status = fs_json_fail(r->doc, json, false, r->err,
                                 "'%s' is a number, or one of 'uniform', 'lognormal', 'exponential'", key);
    if (r->status != FS_OK)
        return;
    if (fs_json_get(json, "uniform")) {
        read_uniform(r, fs_json_get(json, "uniform"), length);
    } else if (fs_json_get(json, "lognormal")) {
        read_lognormal(r, fs_json_get(json, "lognormal"), length);
    } else {
        length->kind = FS_EXPONENTIAL;
        take(r, json, "exponential", &length->mean);
    }
}

static void read_priorities(fs_training_reader *r, fs_request_source *s)
{
    const fs_json *list = fs_json_get(r->object, "priorities");
    double sum = 0;
    s->n_priorities = 1;
    s->priority_share[0] = 1;
    if (!list || r->status != FS_OK)
        return;
    s->n_priorities = fs_json_count(list);
    if (fs_json_kind(list) != FS_JSON_ARRAY || s->n_priorities < 1 || s->n_priorities > FS_PRIORITIES_MAX) {
        r->status = fs_json_fail(r->doc, list, false, r->err,
                                 "'priorities' lists what part of the requests has priority 0, 1, ...; at most %d",
                                 FS_PRIORITIES_MAX);
        return;
    }
    uint32_t i = 0;
    for (const fs_json *v = fs_json_first(list); v && r->status == FS_OK; v = fs_json_next(v), i++) {
        s->priority_share[i] = fs_json_kind(v) == FS_JSON_NUMBER ? fs_json_number(v) : -1;
        if (!(s->priority_share[i] >= 0 && s->priority_share[i] <= 1e9))
            r->status = fs_json_fail(r->doc, v, false, r->err, "expected a part of the requests: not negative");
        sum += s->priority_share[i];
    }
    if (r->status == FS_OK && !(sum > 0))
        r->status = fs_json_fail(r->doc, list, false, r->err, "'priorities' sums to nothing");
    for (i = 0; i < s->n_priorities && r->status == FS_OK; i++)
        s->priority_share[i] /= sum;
}

/* How many: `count`, or so many as come in `duration_s` on average. */
static void read_count(fs_training_reader *r, fs_request_source *s)
{
    double duration_s = 0;
    const fs_json *duration = fs_json_get(r->object, "duration_s");
    fs_training_number(r, "count", false, FS_REQUESTS_MAX, &s->count);
    fs_inference_number(r, "duration_s", false, 1e-6, FS_TRACE_SECONDS_MAX, &duration_s);
    if (r->status != FS_OK)
        return;
    double expected = floor(s->rate * duration_s + 0.5);
    if ((s->count > 0) == (duration != NULL))
        r->status = fs_json_fail(r->doc, r->object, false, r->err, "'requests' has either 'count' or 'duration_s'");
    else if (duration && s->arrival == FS_CLOSED)
        r->status = fs_json_fail(r->doc, duration, true, r->err, "a closed loop has a 'count', no 'duration_s'");
    else if (duration && !(expected >= 1 && expected <= FS_REQUESTS_MAX))
        r->status = fs_json_fail(r->doc, duration, false, r->err, "%.4g requests in %.4g s; expected 1 to %d", expected,
                                 duration_s, FS_REQUESTS_MAX);
    else if (duration)
        s->count = (uint32_t)expected;
}

static void read_arrival(fs_training_reader *r, fs_request_source *s)
{
    uint32_t arrival = FS_POISSON;
    fs_training_choice(r, r->object, "arrival", false, fs_arrival_names, FS_ARRIVALS, &arrival);
    s->arrival = (fs_arrival)arrival;
    bool closed = s->arrival == FS_CLOSED;
    s->cv = 1;
    s->burst = 1;
    static const struct {
        const char *key;
        fs_arrival of;
    } belongs[] = {{"cv", FS_GAMMA}, {"burst", FS_BURSTS}, {"concurrency", FS_CLOSED}, {"staggered", FS_CLOSED}};
    for (uint32_t i = 0; i < COUNT(belongs) && r->status == FS_OK; i++) {
        const fs_json *value = fs_json_get(r->object, belongs[i].key);
        if (value && s->arrival != belongs[i].of)
            r->status = fs_json_fail(r->doc, value, true, r->err, "'%s' goes with \"arrival\": \"%s\"", belongs[i].key,
                                     fs_arrival_names[belongs[i].of]);
    }
    if (r->status == FS_OK && closed && fs_json_get(r->object, "rate"))
        r->status = fs_json_fail(r->doc, fs_json_get(r->object, "rate"), true, r->err,
                                 "a closed loop has a 'concurrency', no 'rate'");
    if (!closed)
        fs_inference_number(r, "rate", true, 1e-9, 1e9, &s->rate);
    fs_inference_number(r, "cv", s->arrival == FS_GAMMA, 1e-3, 1e3, &s->cv);
    fs_training_number(r, "burst", s->arrival == FS_BURSTS, FS_REQUESTS_MAX, &s->burst);
    fs_training_number(r, "concurrency", closed, FS_REQUESTS_MAX, &s->concurrency);
    fs_training_flag(r, "staggered", &s->staggered);
}

static void read_drawn(fs_training_reader *r, fs_request_source *s)
{
    static const char *const prefix[] = {"groups", "tokens"};
    const fs_json *requests = r->object;
    read_arrival(r, s);
    read_count(r, s);
    read_length(r, "input", &s->input);
    read_length(r, "output", &s->output);
    read_priorities(r, s);
    if (fs_training_enter(r, requests, "prefix", false, prefix, COUNT(prefix))) {
        fs_training_number(r, "groups", true, FS_REQUESTS_MAX, &s->prefix_groups);
        fs_training_number(r, "tokens", true, FS_TOKENS_MAX, &s->prefix_tokens);
    }
}

double fs_mean_length(const fs_length *l)
{
    return l->kind == FS_UNIFORM ? (l->low + (double)l->high) / 2 : l->mean;
}

/* A tail beyond the context is cut where it is drawn, as engines stop there; what is meant as a whole must fit. */
static void check_lengths(fs_training_reader *r, const fs_transformer *m, const fs_request_source *s)
{
    double input = fs_mean_length(&s->input), output = fs_mean_length(&s->output);
    const char *word = s->input.kind == FS_FIXED && s->output.kind == FS_FIXED ? "" : "on average ";
    if (r->status == FS_OK && input + output > m->seq)
        r->status = fs_json_fail(r->doc, fs_json_get(r->object, input > output ? "input" : "output"), false, r->err,
                                 "requests have %s%.10g tokens in and %.10g out; the model's context, 'seq', is %u",
                                 word, input, output, m->seq);
}

/* Named from the trace's directory. */
static void read_file(fs_training_reader *r, const char *trace_path, fs_arena *arena, fs_request_source *s)
{
    static const char *const keys[] = {"file", "count", "speed"};
    const char *name = "", *slash = strrchr(trace_path, '/');
    const fs_json *place = fs_json_get(r->object, "file");
    double speed = 1;
    r->status = fs_json_only(r->doc, r->object, keys, COUNT(keys), r->err);
    if (r->status == FS_OK)
        r->status = fs_json_string_in(r->doc, r->object, "file", true, &name, r->err);
    fs_training_number(r, "count", false, FS_REQUESTS_MAX, &s->count);
    fs_inference_number(r, "speed", false, 1e-6, 1e6, &speed);
    if (r->status == FS_OK && (name[0] == '\0' || strcmp(name, "-") == 0))
        r->status = fs_json_fail(r->doc, place, false, r->err, "'file' is the name of a file");
    if (r->status != FS_OK)
        return;
    size_t folder = slash && name[0] != '/' ? (size_t)(slash + 1 - trace_path) : 0, length = strlen(name);
    char *path = fs_arena_alloc(arena, folder + length + 1, 1);
    if (!path) {
        r->status = fs_fail_nomem(r->err);
        return;
    }
    memcpy(path, trace_path, folder);
    memcpy(path + folder, name, length + 1);
    r->status = fs_request_file_read(path, s->count, speed, arena, s, r->err);
}

void fs_inference_read_requests(fs_training_reader *r, const char *trace_path, fs_arena *arena, fs_inference *in)
{
    static const char *const keys[] = {"arrival", "rate",       "cv",    "burst",    "concurrency",
                                       "count",   "duration_s", "input", "output",   "priorities",
                                       "prefix",  "file",       "speed", "staggered"};
    if (!fs_training_enter(r, fs_json_root(r->doc), "requests", true, keys, COUNT(keys)))
        return;
    if (fs_json_get(r->object, "file"))
        read_file(r, trace_path, arena, &in->source);
    else if (fs_json_get(r->object, "speed"))
        r->status = fs_json_fail(r->doc, fs_json_get(r->object, "speed"), true, r->err, "'speed' goes with 'file'");
    else {
        read_drawn(r, &in->source);
        check_lengths(r, &in->model, &in->source);
    }
    in->source.context = in->model.seq;
}
