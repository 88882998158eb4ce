/* stock_network.cpp - what cm02 and ns3 have in common: flows that SimGrid moves, and the C interface to them. */
#include "engine/stock_network.hpp"

#include <new>

namespace
{

unsigned serial; /* names of zones must differ in a process */

void completed(const simgrid::s4u::Activity &activity)
{
    const Flow *flow = activity.get_data<Flow>();
    if (flow == nullptr || flow->stock == nullptr)
        return;
    uint32_t slot = flow->slot;
    flow->stock->flow_ended(slot);
    fs_bridge_landed(slot);
}

} // namespace

RouteZone::RouteZone() : NetZoneImpl("fabsim-" + std::to_string(serial++))
{
    const auto *root = simgrid::s4u::Engine::get_instance()->get_netzone_root()->get_impl();
    set_network_model(root->get_network_model());
    set_cpu_pm_model(root->get_cpu_pm_model());
    set_cpu_vm_model(root->get_cpu_vm_model());
    set_disk_model(root->get_disk_model());
    set_host_model(root->get_host_model());
}

void RouteZone::get_local_route(const simgrid::kernel::routing::NetPoint *, const simgrid::kernel::routing::NetPoint *,
                                simgrid::kernel::routing::Route *into, double *)
{
    into->link_list_ = route;
}

fs_stock::fs_stock(const fs_engine_def *def)
    : n_resources(def->n_resources), n_links(def->n_links), patterns(def->patterns)
{
    static bool listening = false;
    if (!listening)
        simgrid::s4u::Activity::on_completion_cb(completed);
    listening = true;
}

fs_stock::~fs_stock()
{
    for (auto &flow : moving)
        if (flow != nullptr) { /* it stands still: SimGrid keeps it to the end of the process */
            flow->stock = nullptr;
            static_cast<void>(flow.release());
        }
}

Flow *fs_stock::open_flow(uint32_t slot, uint32_t pattern, simgrid::s4u::Host *from, simgrid::s4u::Host *to,
                          uint64_t bytes)
{
    landed.clear();
    if (moving.size() <= slot)
        moving.resize(slot + 1);
    moving[slot].reset(new Flow{simgrid::s4u::Comm::sendto_init(from, to), nullptr, this, slot, pattern});
    Flow *flow = moving[slot].get();
    flow->comm->set_data(flow);
    flow->comm->set_payload_size(bytes);
    return flow;
}

void fs_stock::flow_ended(uint32_t slot)
{
    landed.push_back(std::move(moving[slot]));
}

std::vector<std::string> fs_stock_settings(fs_backend backend)
{
    if (backend == FS_BACKEND_NS3)
        return {"--cfg=network/model:ns-3", "--cfg=surf/precision:" + std::to_string(FS_NS3_PRECISION_S * 1e9) + "e-9"};
    /* Bare max-min: no cap by round-trip time, no acknowledgements, no weights by latency (fabsim pays it before). */
    return {"--cfg=network/model:CM02", "--cfg=network/TCP-gamma:0",    "--cfg=network/crosstraffic:0",
            "--cfg=network/weight-S:0", "--cfg=maxmin/precision:1e-12", "--cfg=surf/precision:1e-12"};
}

fs_status fs_stock_new(const fs_engine_def *def, fs_stock **stock, fs_err *err)
{
    return def->backend == FS_BACKEND_NS3 ? fs_ns3_new(def, stock, err) : fs_cm02_new(def, stock, err);
}

void fs_stock_free(fs_stock *stock)
{
    delete stock;
}

fs_status fs_stock_takes(fs_stock *stock, uint32_t pattern, int *yes, fs_err *err)
{
    bool taken = false;
    fs_status status = stock->takes(pattern, &taken, err);
    if (status == FS_OK)
        *yes = taken;
    return status;
}

fs_status fs_stock_carry(fs_stock *stock, uint32_t slot, uint32_t pattern, double amount, fs_err *err)
{
    return fs_bridge_guard(err, [=] { stock->carry(slot, pattern, amount); });
}

fs_status fs_stock_set_capacity(fs_stock *stock, uint32_t resource, double capacity, fs_err *err)
{
    fs_status status = FS_OK;
    fs_status guarded = fs_bridge_guard(err, [&] { status = stock->set_capacity(resource, capacity, err); });
    return guarded != FS_OK ? guarded : status;
}

int fs_stock_load(const fs_stock *stock, uint32_t resource, double *load)
{
    return stock->load(resource, load);
}
