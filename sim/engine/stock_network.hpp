/* stock_network.hpp - what the C++ files of the engine share: a network of SimGrid's own that carries transfers. */
#ifndef FS_STOCK_NETWORK_HPP
#define FS_STOCK_NETWORK_HPP

#include "engine/bridge.h"

#include <simgrid/kernel/resource/Model.hpp>
#include <simgrid/kernel/routing/NetPoint.hpp>
#include <simgrid/kernel/routing/NetZoneImpl.hpp>
#include <simgrid/s4u.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

/* s. The precision of times that SimGrid and ns-3 agree on: what is nearer is equal. Above the nanosecond that ns-3
 * counts in, or SimGrid's binding waits for ever for the rest of one when it brings ns-3's clock up to its own. */
constexpr double FS_NS3_PRECISION_S = 2e-9;

/* Run `body`; an exception becomes a status. */
fs_status fs_bridge_guard(fs_err *err, const std::function<void()> &body);
/* Tell the model in the loop that a stock flow has ended. */
void fs_bridge_landed(uint32_t slot);
/* SimGrid's command-line settings for a backend. */
std::vector<std::string> fs_stock_settings(fs_backend backend);

/* A zone whose routes are whatever `route` holds while a flow is being started. Owned by SimGrid's process-wide state:
 * zones cannot be taken down, but one without a parent may be made at any time, so a process may make many engines. */
class RouteZone : public simgrid::kernel::routing::NetZoneImpl
{
  public:
    RouteZone();
    ~RouteZone() override = default;
    std::vector<simgrid::kernel::resource::StandardLinkImpl *> route;

  private:
    void get_local_route(const simgrid::kernel::routing::NetPoint *from, const simgrid::kernel::routing::NetPoint *to,
                         simgrid::kernel::routing::Route *into, double *latency) override;
};

/* One transfer under way. */
struct Flow {
    simgrid::s4u::CommPtr comm;
    simgrid::kernel::resource::Action *action; /* of comm; only cm02 uses it */
    fs_stock *stock;                           /* NULL: its engine is gone */
    uint32_t slot, pattern;
};

struct fs_stock {
    explicit fs_stock(const fs_engine_def *def);
    virtual ~fs_stock();
    fs_stock(const fs_stock &) = delete;
    fs_stock &operator=(const fs_stock &) = delete;

    virtual fs_status takes(uint32_t pattern, bool *yes, fs_err *err) const = 0;
    virtual void carry(uint32_t slot, uint32_t pattern, double amount) = 0;
    virtual fs_status set_capacity(uint32_t resource, double capacity, fs_err *err) = 0;
    virtual bool load(uint32_t resource, double *load) const = 0;

    const uint32_t n_resources, n_links;
    const fs_pattern_table *const patterns;

    void flow_ended(uint32_t slot);

  protected:
    /* A flow between two hosts, not started yet. */
    Flow *open_flow(uint32_t slot, uint32_t pattern, simgrid::s4u::Host *from, simgrid::s4u::Host *to, uint64_t bytes);

    RouteZone *zone = nullptr;                 /* set by the backend's build step */
    std::vector<std::unique_ptr<Flow>> moving; /* by slot */

  private:
    std::vector<std::unique_ptr<Flow>> landed; /* SimGrid still holds them; released when the next flow is opened */
};

/* The two backends. *stock is set on FS_OK only. */
fs_status fs_cm02_new(const fs_engine_def *def, fs_stock **stock, fs_err *err);
fs_status fs_ns3_new(const fs_engine_def *def, fs_stock **stock, fs_err *err);

#endif
