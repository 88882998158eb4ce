/* bridge.h - what fabsim's C code and SimGrid's loop say to each other. Implemented by simgrid_bridge.cpp (the clock)
 * and stock_*.cpp (SimGrid's own network models). No exception leaves these functions.
 *
 * There is one SimGrid engine per process, made at the first use; its configuration holds from then on, so a process
 * whose first engine was ns3 cannot use cm02, and one whose first engine was not cannot use ns3. fabric goes with
 * either. */
#ifndef FS_BRIDGE_H
#define FS_BRIDGE_H

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The C side: a resource model, seen from SimGrid's loop. Times are seconds since the fabsim engine was made. */
typedef struct fs_bridge_model {
    void *context;
    double (*now)(void *context);
    /* Settle, then the time of the next event; INFINITY: none; NAN: stop. Where nothing else can happen it may let events
     * pass that come before the time which it returns: the clock then makes up for them in one step. */
    double (*next)(void *context);
    void (*advance)(void *context, double now_s); /* now is the time; events up to it happen */
    void (*landed)(void *context, uint32_t slot); /* a stock flow has ended, at the time of the last advance */
} fs_bridge_model;

typedef struct fs_stock fs_stock; /* the network of a cm02 or ns3 engine */

/* Make SimGrid ready for a backend. FS_E_SIM where the process is bound to another one. */
FS_MUST_CHECK fs_status fs_bridge_open(fs_backend backend, fs_err *err);
/* SimGrid's loop, until neither the model nor the stock network has anything left to happen. */
FS_MUST_CHECK fs_status fs_bridge_run(const fs_bridge_model *model, fs_err *err);

/* Links of a stock network. Patterns are read from def->patterns when they are first used. */
FS_MUST_CHECK fs_status fs_stock_new(const fs_engine_def *def, fs_stock **stock, fs_err *err);
void fs_stock_free(fs_stock *stock); /* forgets flows that still move */
/* Whether the stock network carries this pattern; FS_E_SIM where it has to and cannot. */
FS_MUST_CHECK fs_status fs_stock_takes(fs_stock *stock, uint32_t pattern, int *yes, fs_err *err);
FS_MUST_CHECK fs_status fs_stock_carry(fs_stock *stock, uint32_t slot, uint32_t pattern, double amount, fs_err *err);
FS_MUST_CHECK fs_status fs_stock_set_capacity(fs_stock *stock, uint32_t resource, double capacity, fs_err *err);
/* Whether the stock network knows the load of a resource, B/s, which it has settled for the time being. */
int fs_stock_load(const fs_stock *stock, uint32_t resource, double *load);

#ifdef __cplusplus
}
#endif

#endif
