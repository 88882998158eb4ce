/* stock_cm02.cpp - the backend cm02: a transfer is one stock SimGrid flow under the CM02 model.
 *
 * A coefficient k/D is k entries of the link in the flow's route, over links of D times the capacity: SimGrid charges a
 * flow once per entry. D is the common denominator of the patterns that the table holds when the engine is made. All
 * flows go from one host to one other; the zone answers with the links of the pattern that is being started, so neither
 * hosts nor route tables grow with the patterns. SM pools are links here too, since one pattern may load both. */
#include "engine/stock_network.hpp"

#include <cmath>
#include <numeric>
#include <stdexcept>

namespace
{

constexpr unsigned DENOMINATOR_MAX = 5040; /* 7!: every denominator up to 10, and most products of small ones */
constexpr unsigned ENTRIES_MAX = 1000000;  /* entries of one route: 8 MB */
constexpr double COEFFICIENT_ERROR = 1e-9; /* relative; coefficients are sums of fractions */

bool is_whole(double value)
{
    return std::fabs(value - std::nearbyint(value)) <= COEFFICIENT_ERROR * value;
}

/* Smallest multiple of `so_far` that makes the coefficient whole, 0 if there is none. */
unsigned widen(unsigned so_far, double coefficient)
{
    for (unsigned d = so_far; d <= DENOMINATOR_MAX; d += so_far)
        if (is_whole(coefficient * d))
            return d;
    return 0;
}

class Cm02 final : public fs_stock
{
  public:
    Cm02(const fs_engine_def *def, unsigned common_denominator) : fs_stock(def), denominator(common_denominator)
    {
        build(def);
    }

    fs_status takes(uint32_t pattern, bool *yes, fs_err *err) const override;
    void carry(uint32_t slot, uint32_t pattern, double amount) override;
    fs_status set_capacity(uint32_t resource, double capacity, fs_err *err) override;
    bool load(uint32_t resource, double *load) const override;

  private:
    void build(const fs_engine_def *def);
    void stop_or_go(const Flow *flow) const;

    const unsigned denominator;
    simgrid::kernel::resource::Model *model = nullptr; /* SimGrid's network model */
    simgrid::s4u::Host *from = nullptr, *to = nullptr;
    std::vector<simgrid::s4u::Link *> links; /* (n_resources) */
    std::vector<bool> dead;                  /* (n_resources) capacity 0 */
};

void Cm02::build(const fs_engine_def *def)
{
    for (auto *candidate : simgrid::s4u::Engine::get_instance()->get_all_models())
        if (candidate->get_name() == "Network_CM02")
            model = candidate;
    if (model == nullptr)
        throw std::logic_error("there is no network model of the name Network_CM02");
    zone = new RouteZone();
    auto *face = zone->get_iface();
    const std::string &name = face->get_name();
    from = face->create_host(name + "-from", 1.0)->seal();
    to = face->create_host(name + "-to", 1.0)->seal();
    for (uint32_t i = 0; i < n_resources; i++)
        links.push_back(face->create_link(name + "-" + std::to_string(i), def->capacity[i] * denominator)->seal());
    face->seal();
    dead.resize(n_resources);
}

/* SimGrid lets a flow keep its old end when a link's bandwidth becomes 0: such flows leave the sharing instead. */
void Cm02::stop_or_go(const Flow *flow) const
{
    uint32_t count;
    const fs_share *row = fs_pattern_row(patterns, flow->pattern, &count);
    bool stop = false;
    for (uint32_t i = 0; i < count; i++)
        stop = stop || dead[row[i].resource];
    if (stop && !flow->action->is_suspended())
        flow->action->suspend();
    if (!stop && flow->action->is_suspended())
        flow->action->resume();
}

fs_status Cm02::takes(uint32_t pattern, bool *yes, fs_err *err) const
{
    uint32_t count;
    const fs_share *row = fs_pattern_row(patterns, pattern, &count);
    double entries = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_whole(row[i].coefficient * denominator))
            return fs_fail(
                err, FS_E_SIM,
                "the network backend cm02 was made for coefficients in units of 1/%u, but pattern %u loads resource "
                "%u with %.17g",
                denominator, pattern, row[i].resource, row[i].coefficient);
        entries += row[i].coefficient * denominator;
    }
    if (entries > ENTRIES_MAX)
        return fs_fail(err, FS_E_SIM,
                       "the network backend cm02 would need %.0f route entries for pattern %u, at most %u", entries,
                       pattern, ENTRIES_MAX);
    *yes = true;
    return FS_OK;
}

void Cm02::carry(uint32_t slot, uint32_t pattern, double amount)
{
    uint32_t count;
    const fs_share *row = fs_pattern_row(patterns, pattern, &count);
    zone->route.clear();
    for (uint32_t i = 0; i < count; i++)
        zone->route.insert(zone->route.end(), static_cast<size_t>(std::nearbyint(row[i].coefficient * denominator)),
                           links[row[i].resource]->get_impl());
    Flow *flow = open_flow(slot, pattern, from, to, 1);
    flow->comm->start();
    /* A payload is a whole number of bytes; the flow's action takes a real one. */
    flow->action = &model->get_started_action_set()->back();
    if (flow->action->get_activity() != flow->comm->get_impl())
        throw std::logic_error("the flow that was started last is not the last one of its model");
    flow->action->set_cost(amount);
    flow->action->set_remains(amount);
    flow->action->set_bound(-1.0); /* else the bandwidth that the links have now would hold for good */
    stop_or_go(flow);
}

fs_status Cm02::set_capacity(uint32_t resource, double capacity, fs_err *)
{
    if (capacity > 0)
        links[resource]->set_bandwidth(capacity * denominator);
    if (dead[resource] != (capacity == 0)) {
        dead[resource] = capacity == 0;
        for (const auto &flow : moving)
            if (flow != nullptr)
                stop_or_go(flow.get());
    }
    return FS_OK;
}

bool Cm02::load(uint32_t resource, double *load) const
{
    *load = links[resource]->get_usage() / denominator;
    return true;
}

} // namespace

fs_status fs_cm02_new(const fs_engine_def *def, fs_stock **stock, fs_err *err)
{
    unsigned common = 1;
    for (uint32_t p = 0; p < fs_pattern_count(def->patterns); p++) {
        uint32_t count;
        const fs_share *row = fs_pattern_row(def->patterns, p, &count);
        for (uint32_t i = 0; i < count; i++) {
            unsigned wider = widen(common, row[i].coefficient);
            if (wider == 0)
                return fs_fail(
                    err, FS_E_SIM,
                    "the network backend cm02 needs coefficients with a common denominator of at most %u, but "
                    "pattern %u loads resource %u with %.17g",
                    DENOMINATOR_MAX, p, row[i].resource, row[i].coefficient);
            common = wider;
        }
    }
    return fs_bridge_guard(err, [=] { *stock = new Cm02(def, common); });
}
