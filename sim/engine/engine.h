/* engine.h - the clock and the resources: what runs inside SimGrid.
 *
 * The engine knows integers only: resources with capacities, patterns (which resources, which coefficients),
 * transfers and timers with tags. SimGrid owns the clock and the event loop (simgrid_bridge.cpp); fabsim's fluid
 * model (fluid.c: incremental weighted max-min, one event heap) is a SimGrid resource model in it.
 *
 * A transfer waits for its latency, then moves `amount` units per edge. Its rate r is shared max-min fair under
 *     sum over transfers of coefficient(t, l) * rate(t) <= capacity(l)   for every resource l,
 * and ends when amount units have moved. Amount 0, or an empty pattern, ends after the latency.
 * Events at one time are delivered in the order of their start (time, sequence): runs are reproducible.
 *
 * One engine per process at a time, and SimGrid cannot be restarted: after fs_engine_free a new engine may be made
 * and its time starts at 0 again (fabsim keeps its own epoch). But a process has one engine with FS_BACKEND_NS3 in its
 * life: ns-3 keeps its network and its clock. */
#ifndef FS_ENGINE_H
#define FS_ENGINE_H

#include "base/pattern.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fs_backend {
    FS_BACKEND_FABRIC, /* fluid transfers, the default */
    FS_BACKEND_CM02,   /* stock SimGrid flows for links and SM pools; coefficients with a common denominator <= 5040 */
    FS_BACKEND_NS3     /* SimGrid's ns-3 binding, packets over TCP; small systems; checks sharing, not latency */
} fs_backend;

/* ns-3 reads this when it is loaded: who wants FS_BACKEND_NS3 must have been started with it (set it and execv). */
#define FS_NS3_VARIABLE "NS_ATTRIBUTE_DEFAULT"
#define FS_NS3_VALUE "ns3::TcpSocket::SndBufSize=2000000000"

typedef struct fs_engine_def {
    fs_backend backend;
    uint32_t n_resources;
    uint32_t n_links;                 /* resources [0, n_links) are links, the rest SM pools */
    const double *capacity;           /* (n_resources) > 0: B/s for links, 1 for an SM pool */
    const fs_pattern_table *patterns; /* outlives the engine; may grow (cm02: fs_engine_new fixes its denominator) */
    uint64_t max_events;              /* stop with FS_E_SIM beyond it; 0 = no limit */
} fs_engine_def;

typedef struct fs_engine fs_engine;

typedef struct fs_engine_calls {
    void *context;
    /* A transfer or timer has ended. May start others. A status other than FS_OK ends the run with it. */
    fs_status (*done)(void *context, uint64_t tag, double now_s, fs_err *err);
    /* Optional (NULL): the load of a resource has changed to load (B/s); called after rates settle at a time. */
    void (*load)(void *context, uint32_t resource, double load, double now_s);
} fs_engine_calls;

/* What one resource did so far. */
typedef struct fs_resource_use {
    double amount; /* bytes that crossed (coefficient x amount, of ended transfers and of the moved part of others) */
    double peak;   /* highest load, B/s */
    double busy_s; /* time with load > 0 */
} fs_resource_use;

/* Deterministic work counters, for gates and benchmarks. */
typedef struct fs_engine_counters {
    uint64_t events; /* ends of transfers and timers */
    uint64_t transfers;
    uint64_t solves;       /* times at which rates were solved for */
    uint64_t solve_visits; /* shares (of a transfer in a resource) looked at or changed in them */
    uint64_t peak_active;  /* transfers moving at once */
} fs_engine_counters;

FS_MUST_CHECK fs_status fs_engine_new(const fs_engine_def *def, fs_engine **engine, fs_err *err);
void fs_engine_free(fs_engine *engine);

/* Callable before the run and from done(). */
FS_MUST_CHECK fs_status fs_engine_transfer(fs_engine *engine, uint32_t pattern, double amount, double latency_s,
                                           uint64_t tag, fs_err *err);
FS_MUST_CHECK fs_status fs_engine_timer(fs_engine *engine, double delay_s, uint64_t tag, fs_err *err);
/* From now on. Capacity may be 0: what needs the resource then stands still. What is wrong with it, the run says. */
void fs_engine_set_capacity(fs_engine *engine, uint32_t resource, double capacity);

/* Links have failed or come back: each transfer that has not ended (it pays its latency, or moves) follows from now on
 * the pattern that `pattern_of` returns for it, the one it has or another. What has moved counts where it moved; the
 * rest takes the new way. Callable before the run and from done(). FS_E_SIM where something is left to move and the new
 * pattern is empty though the old one was not, or the pattern is none; the engine is then good for nothing but
 * fs_engine_free. Only FS_BACKEND_FABRIC can do it: FS_E_SIM from the others. O(transfers), and O(pattern) for those that
 * change. */
FS_MUST_CHECK fs_status fs_engine_repattern(fs_engine *engine,
                                            uint32_t (*pattern_of)(void *context, uint64_t tag, uint32_t pattern),
                                            void *context, fs_err *err);

/* Run until nothing is left to happen. Transfers that stand still for good are FS_E_SIM. */
FS_MUST_CHECK fs_status fs_engine_run(fs_engine *engine, const fs_engine_calls *calls, fs_err *err);

double fs_engine_now(const fs_engine *engine); /* s since the engine was made */
fs_resource_use fs_engine_use(const fs_engine *engine, uint32_t resource);
fs_engine_counters fs_engine_count(const fs_engine *engine);
const char *fs_backend_name(fs_backend backend);

#ifdef __cplusplus
}
#endif

#endif
