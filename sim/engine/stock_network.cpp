/* stock_network.cpp - SimGrid's own network models as carriers of transfers: cm02 (flows) and ns3 (packets).
 *
 * cm02. A transfer is one stock flow. A coefficient k/D is k entries of the link in the flow's route, over links of D times the
 * capacity: SimGrid charges a flow once per entry. D is the common denominator of the patterns that the table holds when
 * the engine is made. All flows go from one host to one other host; a zone of our own answers SimGrid's question for the
 * route with the links of the pattern that is being started, so neither hosts nor route tables grow with the
 * patterns. A zone without a parent may be made at any time, which is what lets one process make many engines.
 * SM pools are links here too, since one pattern may load both. */
#include "engine/stock_network.hpp"

#include <simgrid/kernel/routing/NetPoint.hpp>
#include <simgrid/kernel/routing/NetZoneImpl.hpp>
#include <simgrid/s4u.hpp>

#include <cmath>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <stdexcept>

namespace {

constexpr unsigned DENOMINATOR_MAX = 5040;    /* 7!: every denominator up to 10 at once */
constexpr unsigned ENTRIES_MAX = 1000000;     /* entries of one route */
constexpr double COEFFICIENT_ERROR = 1e-9;    /* relative; coefficients are sums of fractions */

/* The route of the flow that is being started. */
class RouteZone : public simgrid::kernel::routing::NetZoneImpl {
public:
    explicit RouteZone(const std::string &name) : NetZoneImpl(name) {}
    ~RouteZone() override = default;
    std::vector<simgrid::kernel::resource::StandardLinkImpl *> route;

private:
    void get_local_route(const simgrid::kernel::routing::NetPoint *, const simgrid::kernel::routing::NetPoint *,
                         simgrid::kernel::routing::Route *into, double *) override
    {
        into->link_list_ = route;
    }
};

struct Flow {
    simgrid::s4u::CommPtr comm;
    simgrid::kernel::resource::Action *action; /* of comm */
    uint32_t slot, pattern;
    fs_stock *stock; /* NULL: its engine is gone */
};

unsigned serial; /* names of zones must differ in a process */

} // namespace

struct fs_stock {
    fs_backend backend;
    uint32_t n_resources, n_links;
    const fs_pattern_table *patterns;
    unsigned denominator;
    simgrid::kernel::resource::Model *model; /* SimGrid's network model */
    RouteZone *zone; /* owned by SimGrid's process-wide state: zones cannot be taken down */
    simgrid::s4u::Host *from, *to;
    std::vector<simgrid::s4u::Link *> links; /* (n_resources) */
    std::vector<bool> dead;                  /* (n_resources) capacity 0 */
    std::vector<std::unique_ptr<Flow>> moving, landed;
};

namespace {

/* Smallest d with coefficient * d whole, 0 if there is none. */
unsigned denominator_of(double coefficient)
{
    for (unsigned d = 1; d <= DENOMINATOR_MAX; d++) {
        double scaled = coefficient * d;
        if (std::fabs(scaled - std::nearbyint(scaled)) <= COEFFICIENT_ERROR * scaled)
            return d;
    }
    return 0;
}

fs_status common_denominator(const fs_pattern_table *patterns, unsigned *common, fs_err *err)
{
    unsigned so_far = 1;
    for (uint32_t p = 0; p < fs_pattern_count(patterns); p++) {
        uint32_t count;
        const fs_share *row = fs_pattern_row(patterns, p, &count);
        for (uint32_t i = 0; i < count; i++) {
            unsigned d = so_far * row[i].coefficient == std::nearbyint(so_far * row[i].coefficient)
                             ? 1
                             : denominator_of(row[i].coefficient);
            if (d == 0 || std::lcm(so_far, d) > DENOMINATOR_MAX)
                return fs_fail(err, FS_E_SIM,
                               "the network backend cm02 needs coefficients with a common denominator of at most %u, but "
                               "pattern %u loads resource %u with %.17g",
                               DENOMINATOR_MAX, p, row[i].resource, row[i].coefficient);
            so_far = std::lcm(so_far, d);
        }
    }
    *common = so_far;
    return FS_OK;
}

void completed(const simgrid::s4u::Activity &activity)
{
    Flow *flow = activity.get_data<Flow>();
    if (flow == nullptr || flow->stock == nullptr)
        return;
    fs_stock *stock = flow->stock;
    uint32_t slot = flow->slot;
    stock->landed.push_back(std::move(stock->moving[slot])); /* SimGrid still holds the activity: released by the next carry */
    fs_bridge_landed(slot);
}

void build(fs_stock *stock, const fs_engine_def *def)
{
    static bool listening = false;
    if (!listening) {
        simgrid::s4u::Activity::on_completion_cb(completed);
        listening = true;
    }
    for (auto *model : simgrid::s4u::Engine::get_instance()->get_all_models())
        if (model->get_name() == "Network_CM02")
            stock->model = model;
    if (stock->model == nullptr)
        throw std::logic_error("SimGrid has no network model of the name Network_CM02");
    const std::string name = "fabsim-" + std::to_string(serial++);
    const auto *root = simgrid::s4u::Engine::get_instance()->get_netzone_root()->get_impl();
    stock->zone = new RouteZone(name);
    stock->zone->set_network_model(root->get_network_model());
    stock->zone->set_cpu_pm_model(root->get_cpu_pm_model());
    stock->zone->set_cpu_vm_model(root->get_cpu_vm_model());
    stock->zone->set_disk_model(root->get_disk_model());
    stock->zone->set_host_model(root->get_host_model());
    auto *zone = stock->zone->get_iface();
    stock->from = zone->create_host(name + "-from", 1.0)->seal();
    stock->to = zone->create_host(name + "-to", 1.0)->seal();
    for (uint32_t i = 0; i < def->n_resources; i++)
        stock->links.push_back(
            zone->create_link(name + "-" + std::to_string(i), def->capacity[i] * stock->denominator)->seal());
    zone->seal();
    stock->dead.resize(def->n_resources);
}

/* SimGrid lets a flow keep its old end when a link's bandwidth becomes 0: take such flows out of the sharing instead. */
void stop_or_go(const fs_stock *stock, const Flow *flow)
{
    uint32_t count;
    const fs_share *row = fs_pattern_row(stock->patterns, flow->pattern, &count);
    bool stop = false;
    for (uint32_t i = 0; i < count; i++)
        stop = stop || stock->dead[row[i].resource];
    if (stop && !flow->action->is_suspended())
        flow->action->suspend();
    if (!stop && flow->action->is_suspended())
        flow->action->resume();
}

void set_capacity(fs_stock *stock, uint32_t resource, double capacity)
{
    if (capacity > 0)
        stock->links[resource]->set_bandwidth(capacity * stock->denominator);
    if (stock->dead[resource] == (capacity == 0))
        return;
    stock->dead[resource] = capacity == 0;
    for (const auto &flow : stock->moving)
        if (flow != nullptr)
            stop_or_go(stock, flow.get());
}

void start_flow(fs_stock *stock, uint32_t slot, uint32_t pattern, double amount)
{
    uint32_t count;
    const fs_share *row = fs_pattern_row(stock->patterns, pattern, &count);
    stock->landed.clear();
    stock->zone->route.clear();
    for (uint32_t i = 0; i < count; i++)
        stock->zone->route.insert(stock->zone->route.end(),
                                  static_cast<size_t>(std::nearbyint(row[i].coefficient * stock->denominator)),
                                  stock->links[row[i].resource]->get_impl());
    if (stock->moving.size() <= slot)
        stock->moving.resize(slot + 1);
    auto flow = std::make_unique<Flow>();
    flow->slot = slot;
    flow->pattern = pattern;
    flow->stock = stock;
    flow->comm = simgrid::s4u::Comm::sendto_init(stock->from, stock->to);
    flow->comm->set_data(flow.get());
    flow->comm->set_payload_size(1);
    simgrid::s4u::CommPtr comm = flow->comm;
    Flow *started = flow.get();
    stock->moving[slot] = std::move(flow);
    comm->start();
    /* A payload is a whole number of bytes; the flow's action takes a real one. */
    auto *action = &stock->model->get_started_action_set()->back();
    if (action->get_activity() != comm->get_impl())
        throw std::logic_error("the flow that was started last is not the last one of its model");
    action->set_cost(amount);
    action->set_remains(amount);
    action->set_bound(-1.0); /* else the bandwidth that the links have now would hold for good */
    started->action = action;
    stop_or_go(stock, started);
}

} // namespace

void fs_stock_settings(fs_backend backend, std::vector<std::string> &arguments)
{
    if (backend == FS_BACKEND_NS3) {
        arguments.push_back("--cfg=network/model:ns-3");
        return;
    }
    /* Bare max-min: no cap by round-trip time, no acknowledgements, no weights by latency (fabsim pays it before). */
    for (const char *setting : {"network/model:CM02", "network/TCP-gamma:0", "network/crosstraffic:0", "network/weight-S:0",
                                "maxmin/precision:1e-12", "surf/precision:1e-12"})
        arguments.push_back(std::string("--cfg=") + setting);
}

fs_status fs_stock_new(const fs_engine_def *def, fs_stock **stock, fs_err *err)
{
    auto *s = new (std::nothrow) fs_stock{};
    if (s == nullptr)
        return fs_fail_nomem(err);
    s->backend = def->backend;
    s->n_resources = def->n_resources;
    s->n_links = def->n_links;
    s->patterns = def->patterns;
    fs_status status = common_denominator(def->patterns, &s->denominator, err);
    if (status == FS_OK)
        status = fs_bridge_guard(err, [s, def] { build(s, def); });
    if (status == FS_OK)
        *stock = s;
    else
        delete s;
    return status;
}

void fs_stock_free(fs_stock *stock)
{
    if (stock == nullptr)
        return;
    for (auto &flow : stock->moving)
        if (flow != nullptr) {
            flow->stock = nullptr;
            flow.release(); /* SimGrid keeps a flow that stands still to the end of the process */
        }
    delete stock;
}

fs_status fs_stock_takes(fs_stock *stock, uint32_t pattern, int *yes, fs_err *err)
{
    uint32_t count;
    const fs_share *row = fs_pattern_row(stock->patterns, pattern, &count);
    double entries = 0;
    for (uint32_t i = 0; i < count; i++) {
        double scaled = row[i].coefficient * stock->denominator;
        if (std::fabs(scaled - std::nearbyint(scaled)) > COEFFICIENT_ERROR * scaled)
            return fs_fail(err, FS_E_SIM,
                           "the network backend cm02 was made for coefficients in units of 1/%u, but pattern %u loads resource "
                           "%u with %.17g",
                           stock->denominator, pattern, row[i].resource, row[i].coefficient);
        entries += scaled;
    }
    if (entries > ENTRIES_MAX)
        return fs_fail(err, FS_E_SIM, "the network backend cm02 would need %.0f route entries for pattern %u, at most %u",
                       entries, pattern, ENTRIES_MAX);
    *yes = 1;
    return FS_OK;
}

fs_status fs_stock_carry(fs_stock *stock, uint32_t slot, uint32_t pattern, double amount, fs_err *err)
{
    return fs_bridge_guard(err, [=] { start_flow(stock, slot, pattern, amount); });
}

fs_status fs_stock_set_capacity(fs_stock *stock, uint32_t resource, double capacity, fs_err *err)
{
    return fs_bridge_guard(err, [=] { set_capacity(stock, resource, capacity); });
}

int fs_stock_load(const fs_stock *stock, uint32_t resource, double *load)
{
    *load = stock->links[resource]->get_usage() / stock->denominator;
    return 1;
}
