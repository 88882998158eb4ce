/* serve_case.h - an inference trace in a few words, run on a topology of one line. Everything asserts success. */
#ifndef FS_TEST_SERVE_CASE_H
#define FS_TEST_SERVE_CASE_H

#include "../fixture.h"
#include "base/num.h"
#include "report/report.h"
#include "report/serving.h"
#include "serve_run.h"

/* A model whose numbers are easy: 2 layers, hidden 64, 4 heads of 16, MLP 256, vocabulary 128, 2 bytes a number. */
#define TINY_MODEL                                                                                                     \
    "\"model\":{\"layers\":2,\"hidden\":64,\"heads\":4,\"ffn\":256,\"vocab\":128,\"seq\":4096,\"norm\":\"rms\","       \
    "\"bias\":false,\"positions\":\"rotary\",\"dropout\":false}"

/* Engines and requests as JSON, and what else the trace says, which begins with a comma. */
MAYBE_UNUSED static fs_status try_serve(const char *line, const char *engines, const char *requests, const char *more,
                                        fs_run_options options, fs_topo **topo, fs_work **work, fs_result *result)
{
    static char text[16384];
    fs_snprintf(text, sizeof text,
                "{\"fabsim\":\"trace/1\",\"kind\":\"inference\",\"name\":\"t\"," TINY_MODEL
                ",\"engines\":[%s],\"requests\":{%s}%s}",
                engines, requests, more);
    if (strstr(line, ".xml"))
        ASSERT_OK(fs_topo_load(line, NULL, 0, topo, &failure));
    else
        *topo = make_topo(line);
    fs_status status = fs_work_parse("t.json", text, strlen(text), NULL, 0, work, &failure);
    return status == FS_OK ? fs_serve_run(*topo, *work, &options, result, &failure) : status;
}

typedef struct served {
    fs_topo *topo;
    fs_work *work;
    fs_result result;
    const fs_serving_result *v;
} served;

MAYBE_UNUSED static served serve_with(const char *line, const char *engines, const char *requests, const char *more,
                                      fs_run_options options)
{
    served s = {0};
    ASSERT_OK(try_serve(line, engines, requests, more, options, &s.topo, &s.work, &s.result));
    s.v = s.result.serving;
    return s;
}

MAYBE_UNUSED static served serve(const char *line, const char *engines, const char *requests, const char *more)
{
    return serve_with(line, engines, requests, more, ideal());
}

MAYBE_UNUSED static void end(served *s)
{
    fs_result_free(&s->result);
    fs_work_free(s->work);
    fs_topo_free(s->topo);
}

/* The run that fails: its message. */
MAYBE_UNUSED static const char *refuse(const char *line, const char *engines, const char *requests, const char *more,
                                       fs_status expected)
{
    served s = {0};
    fs_status status = try_serve(line, engines, requests, more, ideal(), &s.topo, &s.work, &s.result);
    end(&s);
    if (status != expected)
        fail_msg("status %d, '%s'", (int)status, status == FS_OK ? "" : failure.text);
    return failure.text;
}

#endif
