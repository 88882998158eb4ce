/* simgrid_bridge.cpp - fabsim's fluid model as a resource model in SimGrid's loop; see bridge.h.
 *
 * SimGrid asks every model for the time to its next event, advances its clock by the smallest answer and tells the
 * models. The clock of fabsim is the truth for fabsim: a promised event happens at exactly the promised time, so the
 * sums of differences on SimGrid's side never accumulate into results. SimGrid's clock never restarts; fabsim's time is
 * an offset from it only where a stock flow ended first.
 *
 * ns-3 counts whole nanoseconds and leaves SimGrid's clock where it stops itself; see TICK_S and STALLED_TURNS.
 *
 * kernel:: headers are no stable API, hence the check of the version. */
#include "engine/bridge.h"
#include "engine/stock_network.hpp"

#include <simgrid/config.h>
#include <simgrid/version.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#if SIMGRID_VERSION_MAJOR != 3 || SIMGRID_VERSION_MINOR != 32
#error "SimGrid 3.32 (Debian 12: libsimgrid-dev) is needed: its kernel headers change between releases"
#endif

namespace
{

/* ns-3's clock has whole nanoseconds, and times are cut to them: a pause shorter than two may be none at all. What is
 * due within that happens at once, as it would never come nearer. fs_stock_settings gives SimGrid's binding the same
 * precision. */
constexpr double TICK_S = FS_NS3_PRECISION_S;
/* ns-3 that has flows but nothing to do for them returns at once, at the same time, for ever. Many flows may end at one
 * time, one a turn; each is progress. */
constexpr unsigned STALLED_TURNS = 100000;

/* Thrown through SimGrid's loop where a run has failed: flows under way would keep it going. */
struct Stop {
};

class FluidModel : public simgrid::kernel::resource::Model
{
  public:
    explicit FluidModel(fs_backend network) : Model("fabsim fluid model"), has_ns3_(network == FS_BACKEND_NS3)
    {
    }

    /* Steps in and out of the loop: without a driver the model has nothing to say. */
    void attach(const fs_bridge_model *driver)
    {
        driver_ = driver;
        if (driver != nullptr)
            epoch_s_ = simgrid::s4u::Engine::get_clock() - driver->now(driver->context);
    }
    const fs_bridge_model *driver() const
    {
        return driver_;
    }
    void landed(uint32_t slot)
    {
        stalled_turns_ = 0;
        if (driver_ != nullptr)
            driver_->landed(driver_->context, slot);
    }

    double next_occurring_event(double) override
    {
        promised_ = driver_ != nullptr;
        if (!promised_)
            return -1.0;
        double now_s = driver_->now(driver_->context);
        due_s_ = driver_->next(driver_->context);
        if (std::isnan(due_s_))
            throw Stop{};
        if (has_ns3_) { /* which has stopped somewhere near */
            now_s = simgrid::s4u::Engine::get_clock() - epoch_s_;
            if (due_s_ - now_s < TICK_S)
                now_s = due_s_;
        }
        promised_delta_ = std::fmax(0.0, due_s_ - now_s);
        return std::isfinite(due_s_) ? promised_delta_ : -1.0;
    }

    void update_actions_state(double now, double delta) override
    {
        if (driver_ == nullptr || !promised_)
            return;
        promised_ = false;
        double now_s = due_s_;
        if (delta != promised_delta_ || !std::isfinite(due_s_)) /* a stock flow came first */
            now_s = std::fmin(due_s_, std::fmax(driver_->now(driver_->context), now - epoch_s_));
        watch_progress(delta, now_s);
        driver_->advance(driver_->context, now_s);
    }

  private:
    /* Throws where ns-3 goes nowhere. */
    void watch_progress(double delta, double now_s)
    {
        if (delta > 0 || now_s >= due_s_)
            stalled_turns_ = 0;
        else if (++stalled_turns_ > STALLED_TURNS)
            throw std::runtime_error("the network backend ns3 has stopped moving packets at " +
                                     std::to_string(now_s * 1e6) + " us; use --network fabric or cm02");
    }

    const fs_bridge_model *driver_ = nullptr;
    const bool has_ns3_;
    unsigned stalled_turns_ = 0;
    bool promised_ = false;
    double due_s_ = 0.0, promised_delta_ = 0.0, epoch_s_ = 0.0;
};

/* The SimGrid engine of this process. Never freed: SimGrid supports one, and no restart. */
struct Process {
    fs_backend network; /* CM02 or NS3: which stock network was configured */
    simgrid::s4u::Engine *engine;
    std::shared_ptr<FluidModel> model;
};
Process *process;

/* SimGrid takes over SIGINT, SIGSEGV and SIGBUS when it starts; fabsim keeps what its program had. */
class KeepSignals
{
  public:
    KeepSignals()
    {
        for (int i = 0; i < 3; i++)
            sigaction(signals_[i], nullptr, &actions_[i]);
    }
    ~KeepSignals()
    {
        for (int i = 0; i < 3; i++)
            sigaction(signals_[i], &actions_[i], nullptr);
    }
    KeepSignals(const KeepSignals &) = delete;
    KeepSignals &operator=(const KeepSignals &) = delete;

  private:
    static constexpr int signals_[3] = {SIGINT, SIGSEGV, SIGBUS};
    struct sigaction actions_[3];
};
constexpr int KeepSignals::signals_[3];

void start_simgrid(fs_backend backend)
{
    KeepSignals keep;
    std::vector<std::string> arguments = {"fabsim", "--log=root.thresh:critical", "--cfg=debug/verbose-exit:no",
                                          "--cfg=debug/clean-atexit:no"};
    for (const std::string &setting : fs_stock_settings(backend))
        arguments.push_back(setting);
    std::vector<char *> argv;
    for (std::string &argument : arguments)
        argv.push_back(argument.data());
    argv.push_back(nullptr);
    int argc = static_cast<int>(arguments.size());
    auto *engine = new simgrid::s4u::Engine(&argc, argv.data());
    /* A platform there must be, or the loop crashes: one zone, one host. */
    auto *zone = simgrid::s4u::create_empty_zone("fabsim");
    zone->create_host("fabsim", 1.0);
    zone->seal();
    auto model = std::make_shared<FluidModel>(backend);
    engine->add_model(model);
    process = new Process{backend, engine, model};
}

} // namespace

fs_status fs_bridge_guard(fs_err *err, const std::function<void()> &body)
{
    try {
        body();
        return FS_OK;
    } catch (const std::bad_alloc &) {
        return fs_fail_nomem(err);
    } catch (const std::exception &e) {
        return fs_fail(err, FS_E_SIM, "SimGrid: %s", e.what());
    } catch (...) {
        return fs_fail(err, FS_E_SIM, "SimGrid failed for an unknown reason");
    }
}

void fs_bridge_landed(uint32_t slot)
{
    process->model->landed(slot);
}

fs_status fs_bridge_open(fs_backend backend, fs_err *err)
{
#if !SIMGRID_HAVE_NS3
    if (backend == FS_BACKEND_NS3)
        return fs_fail(err, FS_E_SIM, "this SimGrid was built without ns-3");
#endif
    if (process == nullptr) /* fabric needs no stock network; it gets the one that does not preclude cm02 */
        return fs_bridge_guard(err,
                               [backend] { start_simgrid(backend == FS_BACKEND_NS3 ? backend : FS_BACKEND_CM02); });
    if (backend == FS_BACKEND_NS3 && process->network == FS_BACKEND_NS3)
        return fs_fail(err, FS_E_SIM,
                       "ns-3 simulates once: this process has had its engine with the network backend ns3");
    if (backend == FS_BACKEND_FABRIC || backend == process->network)
        return FS_OK;
    return fs_fail(err, FS_E_SIM, "this process has started SimGrid for the network backend %s and cannot switch to %s",
                   fs_backend_name(process->network), fs_backend_name(backend));
}

fs_status fs_bridge_run(const fs_bridge_model *model, fs_err *err)
{
    process->model->attach(model);
    fs_status status = fs_bridge_guard(err, [] {
        try {
            process->engine->run();
        } catch (const Stop &) {
            /* the caller knows why */
        }
    });
    process->model->attach(nullptr);
    return status;
}
