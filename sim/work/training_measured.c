/* training_measured.c - durations that were measured, in place of the model's. See training_reader.h. */
#include "work/training_reader.h"

#include "work/trace.h"

fs_status fs_training_read_measured(fs_training_reader *r, const fs_json *object, fs_work_builder *b)
{
    fs_status status = FS_OK;
    if (fs_json_kind(object) != FS_JSON_OBJECT)
        return fs_json_fail(r->doc, object, false, r->err, "expected durations by kernel: {\"mlp in\": \"812us\"}");
    for (const fs_json *v = fs_json_first(object); v && status == FS_OK; v = fs_json_next(v)) {
        double seconds = 0;
        status = fs_json_quantity_in(r->doc, object, fs_json_key(v), true, FS_UNIT_SECONDS, 1e-12, FS_TRACE_SECONDS_MAX,
                                     &seconds, r->err);
        if (status == FS_OK)
            status = fs_work_measured(b, fs_json_key(v), seconds, r->err);
    }
    return status;
}

fs_status fs_training_check_measured(fs_training_reader *r, const fs_json *object, const fs_work_builder *b)
{
    for (const fs_json *v = fs_json_first(object); v; v = fs_json_next(v)) {
        const char *name = fs_json_key(v);
        if (fs_work_measured_seen(b, name))
            continue;
        const char *near = fs_work_near(b, name);
        return fs_json_fail(r->doc, v, true, r->err,
                            near ? "the step has no kernel '%.100s' (did you mean '%.100s'?)"
                                 : "the step has no kernel '%.100s'",
                            name, near);
    }
    return FS_OK;
}
