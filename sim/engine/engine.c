/* engine.c - the engine that the other stages see: fluid.c driven by SimGrid's loop, and beside it, for the backends
 * cm02 and ns3, a network of SimGrid's own. See engine.h.
 *
 * SimGrid's loop cannot carry a status, so the first failure is kept here, the model asks the bridge to stop, and
 * fs_engine_run returns what was kept. */
#include "engine/engine.h"

#include "base/mem.h"
#include "engine/bridge.h"
#include "engine/fluid.h"

#include <math.h>
#include <stdbool.h>

struct fs_engine {
    fs_fluid *fluid;
    fs_stock *stock; /* NULL for fabric */
    fs_backend backend;
    uint32_t n_resources;
    const fs_engine_calls *calls; /* of the run under way */
    fs_status status;             /* first failure of the run under way, in *err */
    fs_err *err;
    fs_status late; /* of fs_engine_set_capacity, which cannot say so */
    fs_err late_err;
};

/* Times that pass in one turn of SimGrid's loop, where only the fluid model has anything to happen. A turn costs some 1,600
 * instructions beside what happens in it, measured; so many share it that it is
 * lost in the rest. */
enum { TIMES_A_TURN = 64 };

static bool engine_exists; /* one at a time: SimGrid has one clock */

const char *fs_backend_name(fs_backend backend)
{
    static const char *const names[] = {"fabric", "cm02", "ns3"};
    return backend <= FS_BACKEND_NS3 ? names[backend] : "unknown";
}

/* ---- the carrier of the fluid model ---- */

static fs_status carrier_takes(void *context, uint32_t pattern, int *yes, fs_err *err)
{
    fs_engine *engine = context;
    return fs_stock_takes(engine->stock, pattern, yes, err);
}

static fs_status carrier_carry(void *context, uint32_t slot, uint32_t pattern, double amount, fs_err *err)
{
    fs_engine *engine = context;
    return fs_stock_carry(engine->stock, slot, pattern, amount, err);
}

/* ---- life ---- */

static fs_status check_def(const fs_engine_def *def, fs_err *err)
{
    if (def->backend > FS_BACKEND_NS3)
        return fs_fail(err, FS_E_SIM, "unknown network backend %d", (int)def->backend);
    if (def->n_links > def->n_resources)
        return fs_fail(err, FS_E_SIM, "%u links among %u resources", def->n_links, def->n_resources);
    for (uint32_t i = 0; i < def->n_resources; i++)
        if (!(def->capacity[i] > 0 && def->capacity[i] < INFINITY))
            return fs_fail(err, FS_E_SIM, "resource %u has a capacity of %g, expected more than 0", i,
                           def->capacity[i]);
    if (engine_exists)
        return fs_fail(err, FS_E_SIM, "there is an engine already: one at a time in a process");
    return FS_OK;
}

fs_status fs_engine_new(const fs_engine_def *def, fs_engine **engine, fs_err *err)
{
    fs_status status = check_def(def, err);
    if (status != FS_OK)
        return status;
    fs_engine *e = fs_zalloc(1, sizeof *e);
    if (e == NULL)
        return fs_fail_nomem(err);
    fs_carrier carrier = {.context = e, .carry = carrier_carry, .takes = carrier_takes};
    e->backend = def->backend;
    e->n_resources = def->n_resources;
    status = fs_fluid_new(def, def->backend == FS_BACKEND_FABRIC ? NULL : &carrier, &e->fluid, err);
    if (status == FS_OK)
        status = fs_bridge_open(def->backend, err);
    if (status == FS_OK && def->backend != FS_BACKEND_FABRIC)
        status = fs_stock_new(def, &e->stock, err);
    if (status != FS_OK) {
        fs_fluid_free(e->fluid);
        fs_free(e);
        return status;
    }
    engine_exists = true;
    *engine = e;
    return FS_OK;
}

void fs_engine_free(fs_engine *engine)
{
    if (engine == NULL)
        return;
    fs_stock_free(engine->stock);
    fs_fluid_free(engine->fluid);
    fs_free(engine);
    engine_exists = false;
}

/* ---- starts ---- */

fs_status fs_engine_transfer(fs_engine *engine, uint32_t pattern, double amount, double latency_s, uint64_t tag,
                             fs_err *err)
{
    return fs_fluid_transfer(engine->fluid, pattern, amount, latency_s, tag, err);
}

fs_status fs_engine_timer(fs_engine *engine, double delay_s, uint64_t tag, fs_err *err)
{
    return fs_fluid_timer(engine->fluid, delay_s, tag, err);
}

void fs_engine_set_capacity(fs_engine *engine, uint32_t resource, double capacity)
{
    if (engine->late != FS_OK)
        return;
    if (resource >= engine->n_resources || !(capacity >= 0 && capacity < INFINITY)) {
        engine->late =
            fs_fail(&engine->late_err, FS_E_SIM, "resource %u of %u gets a capacity of %g, expected 0 or more",
                    resource, engine->n_resources, capacity);
        return;
    }
    fs_fluid_set_capacity(engine->fluid, resource, capacity);
    if (engine->stock)
        engine->late = fs_stock_set_capacity(engine->stock, resource, capacity, &engine->late_err);
}

fs_status fs_engine_repattern(fs_engine *engine, uint32_t (*pattern_of)(void *context, uint64_t tag, uint32_t pattern),
                              void *context, fs_err *err)
{
    if (engine->stock)
        return fs_fail(err, FS_E_SIM, "the network backend %s cannot lead transfers that move another way; use fabric",
                       fs_backend_name(engine->backend));
    return fs_fluid_repattern(engine->fluid, pattern_of, context, err);
}

/* ---- the model in SimGrid's loop ---- */

/* Whether the run goes on. */
static bool going_on(fs_engine *engine)
{
    if (engine->status == FS_OK && engine->late != FS_OK) {
        *engine->err = engine->late_err;
        engine->status = engine->late;
    }
    return engine->status == FS_OK;
}

static double model_now(void *context)
{
    const fs_engine *engine = context;
    return fs_fluid_now(engine->fluid);
}

/* Deliver what comes first, time after time, as nothing of SimGrid's can come between: the time of what then comes, or,
 * where nothing does, the time that it is, which SimGrid's clock has yet to reach. */
static double run_ahead(fs_engine *engine, double next_s)
{
    for (uint32_t i = 1; i < TIMES_A_TURN && next_s < (double)INFINITY; i++) {
        engine->status = fs_fluid_deliver(engine->fluid, next_s, engine->calls, engine->err);
        if (!going_on(engine))
            return (double)NAN;
        fs_fluid_settle(engine->fluid, engine->calls);
        next_s = fs_fluid_next(engine->fluid);
        if (next_s == (double)INFINITY)
            return fs_fluid_now(engine->fluid);
    }
    return next_s;
}

static double model_next(void *context)
{
    fs_engine *engine = context;
    if (!going_on(engine))
        return (double)NAN;
    fs_fluid_settle(engine->fluid, engine->calls);
    double next_s = fs_fluid_next(engine->fluid), load;
    if (engine->stock == NULL)
        return run_ahead(engine, next_s);
    if (next_s > fs_fluid_now(engine->fluid)) /* else something starts at this very time */
        for (uint32_t r = 0; r < engine->n_resources; r++)
            if (fs_stock_load(engine->stock, r, &load))
                fs_fluid_observe(engine->fluid, r, load, engine->calls);
    return next_s;
}

static void model_advance(void *context, double now_s)
{
    fs_engine *engine = context;
    if (going_on(engine))
        engine->status = fs_fluid_deliver(engine->fluid, now_s, engine->calls, engine->err);
}

static void model_landed(void *context, uint32_t slot)
{
    fs_engine *engine = context;
    if (going_on(engine))
        engine->status = fs_fluid_landed(engine->fluid, slot, engine->calls, engine->err);
}

fs_status fs_engine_run(fs_engine *engine, const fs_engine_calls *calls, fs_err *err)
{
    engine->calls = calls;
    engine->status = FS_OK;
    engine->err = err;
    const fs_bridge_model model = {
        .context = engine, .now = model_now, .next = model_next, .advance = model_advance, .landed = model_landed};
    fs_status status = fs_bridge_run(&model, err);
    if (status == FS_OK && !going_on(engine))
        status = engine->status;
    if (status == FS_OK)
        status = fs_fluid_at_rest(engine->fluid, err);
    engine->calls = NULL;
    engine->err = NULL;
    return status;
}

/* ---- questions ---- */

double fs_engine_now(const fs_engine *engine)
{
    return fs_fluid_now(engine->fluid);
}

fs_resource_use fs_engine_use(const fs_engine *engine, uint32_t resource)
{
    return fs_fluid_use(engine->fluid, resource);
}

fs_engine_counters fs_engine_count(const fs_engine *engine)
{
    return fs_fluid_count(engine->fluid);
}
