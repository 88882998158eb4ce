/* fixture.h - small works and runs in a few words, for tests of fold, sched and run. Everything asserts success. */
#ifndef FS_TEST_FIXTURE_H
#define FS_TEST_FIXTURE_H

#include "base/mem.h"
#include "run.h"
#include "topo/spec.h"
#include "work/work_build.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MAYBE_UNUSED __attribute__((unused))

/* Where the calls inside ASSERT_OK put their error. */
MAYBE_UNUSED static fs_err failure;

/* Print the error where an operation fails that should not. */
#define ASSERT_OK(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != FS_OK)                                                                                           \
            fail_msg("%s:%u: %s", failure.file, failure.line, failure.text);                                           \
    } while (0)

#define ASSERT_CLOSE(got, want, relative)                                                                              \
    do {                                                                                                               \
        double got_ = (got), want_ = (want);                                                                           \
        if (!(fabs(got_ - want_) <= fabs(want_) * (relative)))                                                         \
            fail_msg("%.17g is not %.17g (%s)", got_, want_, #got);                                                    \
    } while (0)

MAYBE_UNUSED static fs_topo *make_topo(const char *line)
{
    fs_topo *topo = NULL;
    ASSERT_OK(fs_spec_oneline(line, &topo, &failure));
    return topo;
}

/* `ranks` ranks, rank i on GPU i, and the family "world" of all: family 0. */
MAYBE_UNUSED static fs_work_builder *make_builder(uint32_t ranks)
{
    uint32_t world = 0;
    fs_work_builder *b = fs_work_builder_new("test", "ops", "test.json");
    assert_non_null(b);
    ASSERT_OK(fs_work_set_ranks(b, ranks, &failure));
    ASSERT_OK(fs_work_family_strided(b, "world", ranks, 1, &world, &failure));
    assert_int_equal(world, 0);
    return b;
}

MAYBE_UNUSED static uint32_t add_program(fs_work_builder *b, const char *name, uint32_t first_rank, uint32_t last_rank)
{
    uint32_t program = 0;
    ASSERT_OK(fs_work_program(b, name, &program, &failure));
    for (uint32_t rank = first_rank; rank <= last_rank; rank++)
        ASSERT_OK(fs_work_assign(b, rank, program, &failure));
    return program;
}

MAYBE_UNUSED static uint32_t add_op(fs_work_builder *b, uint32_t program, const char *stream, const char *name,
                                    fs_op op, const uint32_t *deps, uint32_t n_deps)
{
    uint32_t index = 0;
    ASSERT_OK(fs_work_stream(b, stream, &op.stream, &failure));
    if (name)
        ASSERT_OK(fs_work_name(b, name, &op.name, &failure));
    ASSERT_OK(fs_work_op(b, program, &op, deps, n_deps, &index, &failure));
    return index;
}

/* An op without dependencies; after one op; after two. */
MAYBE_UNUSED static uint32_t add(fs_work_builder *b, uint32_t program, const char *stream, fs_op op)
{
    return add_op(b, program, stream, NULL, op, NULL, 0);
}

MAYBE_UNUSED static uint32_t add_after(fs_work_builder *b, uint32_t program, const char *stream, fs_op op, uint32_t dep)
{
    return add_op(b, program, stream, NULL, op, &dep, 1);
}

MAYBE_UNUSED static fs_op compute(double seconds)
{
    fs_op op = fs_op_default(FS_OP_COMPUTE);
    op.duration_s = seconds;
    return op;
}

MAYBE_UNUSED static fs_op kernel(double flops, double bytes, fs_dtype dtype)
{
    fs_op op = fs_op_default(FS_OP_COMPUTE);
    op.flops = flops;
    op.bytes = bytes;
    op.dtype = (uint8_t)dtype;
    return op;
}

MAYBE_UNUSED static fs_op delay(double seconds)
{
    fs_op op = fs_op_default(FS_OP_DELAY);
    op.duration_s = seconds;
    return op;
}

MAYBE_UNUSED static fs_op collective(fs_coll_kind kind, uint32_t family, double size_bytes)
{
    fs_op op = fs_op_default(FS_OP_COLLECTIVE);
    op.coll = (uint8_t)kind;
    op.family = family;
    op.size_bytes = size_bytes;
    op.algo = kind == FS_ALL_TO_ALL                       ? FS_ALGO_DIRECT
              : kind == FS_BROADCAST || kind == FS_REDUCE ? FS_ALGO_CHAIN
                                                          : FS_ALGO_RING;
    return op;
}

/* To or from a rank. */
MAYBE_UNUSED static fs_op transfer(fs_op_kind kind, uint32_t peer, uint32_t tag, double size_bytes)
{
    fs_op op = fs_op_default(kind);
    op.peer = (int32_t)peer;
    op.tag = tag;
    op.size_bytes = size_bytes;
    return op;
}

/* To or from the rank `shift` further in the own group. */
MAYBE_UNUSED static fs_op shifted(fs_op_kind kind, uint32_t family, int32_t shift, uint32_t tag, double size_bytes)
{
    fs_op op = fs_op_default(kind);
    op.family = family;
    op.peer = shift;
    op.tag = tag;
    op.size_bytes = size_bytes;
    return op;
}

/* Frees the builder. */
MAYBE_UNUSED static fs_work *finish(fs_work_builder *b)
{
    fs_work *work = NULL;
    ASSERT_OK(fs_work_freeze(b, &work, &failure));
    fs_work_builder_free(b);
    return work;
}

MAYBE_UNUSED static fs_run_options ideal(void)
{
    fs_run_options options = fs_run_default();
    options.cost = FS_COST_IDEAL;
    return options;
}

/* Step time under the options. */
MAYBE_UNUSED static double step_of(const fs_topo *topo, const fs_work *work, fs_run_options options)
{
    fs_result result = {0};
    ASSERT_OK(fs_run(topo, work, &options, &result, &failure));
    double step_s = result.step_time_s;
    fs_result_free(&result);
    return step_s;
}

#endif
