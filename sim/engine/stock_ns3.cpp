/* stock_ns3.cpp - the backend ns3: a transfer is one TCP connection in ns-3, through SimGrid's binding.
 *
 * Checks sharing, not timing: it is TCP over drop-tail queues, and latencies are paid by fluid.c before it starts.
 * Small systems.
 *
 * ns-3 builds its own network from point-to-point links and finds its own shortest paths. fabsim's patterns say which
 * links a transfer crosses, not between which devices, and no more is needed: link i becomes a pair of routers with one
 * ns-3 link of its capacity, and the patterns, each read in order of link ids, say what follows what:
 *
 *     source of p -- tail(i) == head(i) -- o -- tail(j) == head(j) -- sink of p        for pattern p = {i, j}
 *
 * where -- are fast connections that never limit, and the router o makes it a detour to change links more often than
 * the pattern does: ns-3 counts hops. The order of the links does not matter to sharing. The reverse direction of an
 * ns-3 link carries acknowledgements only. That ns-3's shortest path is the pattern's is checked here: the path is
 * refused if another one is as short.
 *
 * Only patterns of links with coefficient 1 that the table holds when the engine is made can be carried. Patterns of SM
 * pools alone stay fluid. SimGrid's binding counts bytes in 32 bits, and aborts when a message does not fit into TCP's
 * send buffer (131,072 B by default) unless NS_ATTRIBUTE_DEFAULT enlarges it; ns-3 reads that variable when it is
 * loaded, so whoever starts the program sets it (see FS_NS3_VARIABLE). The receive buffer stays as it is: it bounds the
 * losses. */
#include "engine/stock_network.hpp"

#include <simgrid/config.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <set>
#include <stdexcept>

#if SIMGRID_HAVE_NS3

namespace
{

constexpr double FAST = 10.0;              /* capacity of connections over the largest link's: they never limit */
constexpr unsigned CONNECTIONS_MAX = 4000; /* SimGrid's binding numbers 255 x 255 networks in a process */
constexpr double BYTES_MAX = UINT32_MAX;

using simgrid::kernel::routing::NetPoint;

/* The network as ns-3 will see it: nodes 2i and 2i + 1 are tail and head of link i, then source and sink of each
 * pattern, then the routers between links. */
struct Graph {
    std::vector<std::vector<uint32_t>> neighbours;

    void connect(uint32_t a, uint32_t b)
    {
        neighbours[a].push_back(b);
        neighbours[b].push_back(a);
    }

    /* Length of the shortest path, and whether there is only one. */
    unsigned distance(uint32_t from, uint32_t to, bool *unique) const
    {
        std::vector<unsigned> length(neighbours.size(), UINT32_MAX), ways(neighbours.size(), 0);
        std::deque<uint32_t> queue{from};
        length[from] = 0;
        ways[from] = 1;
        for (; !queue.empty(); queue.pop_front())
            for (uint32_t next : neighbours[queue.front()]) {
                if (length[next] == UINT32_MAX) {
                    length[next] = length[queue.front()] + 1;
                    queue.push_back(next);
                }
                if (length[next] == length[queue.front()] + 1) /* saturates: only "more than one" matters */
                    ways[next] = std::min(2U, ways[next] + ways[queue.front()]);
            }
        *unique = ways[to] == 1;
        return length[to];
    }
};

class Ns3 final : public fs_stock
{
  public:
    explicit Ns3(const fs_engine_def *def) : fs_stock(def), n_patterns(fs_pattern_count(def->patterns))
    {
        build(def);
    }

    fs_status takes(uint32_t pattern, bool *yes, fs_err *err) const override;
    void carry(uint32_t slot, uint32_t pattern, double amount) override;
    fs_status set_capacity(uint32_t resource, double capacity, fs_err *err) override;
    bool load(uint32_t, double *) const override
    {
        return false;
    }

  private:
    bool is_plain(uint32_t pattern) const;
    void build(const fs_engine_def *def);
    void connect(Graph *graph, uint32_t a, uint32_t b, double capacity);
    uint32_t connect_router(Graph *graph, uint32_t a, double capacity);
    uint32_t source(uint32_t pattern) const
    {
        return 2 * n_links + 2 * pattern;
    }

    const uint32_t n_patterns; /* at the start */
    unsigned n_connections = 0;
    std::vector<NetPoint *> nodes;           /* as in Graph */
    std::vector<simgrid::s4u::Host *> hosts; /* (2 x n_patterns) sources and sinks; NULL where not plain */
    std::vector<bool> direct;                /* (n_patterns) ns-3 will take the pattern's own path */
};

/* Links alone, once each. */
bool Ns3::is_plain(uint32_t pattern) const
{
    uint32_t count;
    const fs_share *row = fs_pattern_row(patterns, pattern, &count);
    for (uint32_t i = 0; i < count; i++)
        if (row[i].resource >= n_links || row[i].coefficient < 1 || row[i].coefficient > 1)
            return false;
    return count > 0;
}

/* One ns-3 link: SimGrid's binding makes one when it hears of a route of one link. */
void Ns3::connect(Graph *graph, uint32_t a, uint32_t b, double capacity)
{
    if (++n_connections > CONNECTIONS_MAX)
        throw std::length_error("the network backend ns3 is for small systems: more than " +
                                std::to_string(CONNECTIONS_MAX) + " connections are needed; use fabric or cm02");
    auto *link =
        zone->get_iface()->create_link(zone->get_iface()->get_name() + "-" + std::to_string(n_connections), capacity);
    link->seal();
    simgrid::kernel::routing::NetZoneImpl::on_route_creation(false, nodes[a], nodes[b], nullptr, nullptr,
                                                             {link->get_impl()});
    graph->connect(a, b);
}

/* A new router behind a. */
uint32_t Ns3::connect_router(Graph *graph, uint32_t a, double capacity)
{
    auto router = static_cast<uint32_t>(nodes.size());
    nodes.push_back(
        zone->get_iface()->create_router(zone->get_iface()->get_name() + "-between-" + std::to_string(router)));
    graph->neighbours.emplace_back();
    connect(graph, a, router, capacity);
    return router;
}

void Ns3::build(const fs_engine_def *def)
{
    zone = new RouteZone();
    auto *face = zone->get_iface();
    const std::string &name = face->get_name();
    std::vector<bool> used(n_links);
    hosts.resize(size_t{2} * n_patterns);
    nodes.resize(source(n_patterns));
    direct.resize(n_patterns);
    Graph graph{std::vector<std::vector<uint32_t>>(nodes.size())};
    std::set<std::pair<uint32_t, uint32_t>> followed;
    double fast = 0;
    for (uint32_t i = 0; i < n_links; i++)
        fast = std::fmax(fast, FAST * def->capacity[i]);
    for (uint32_t p = 0; p < n_patterns; p++) {
        if (!is_plain(p))
            continue;
        uint32_t count, at = source(p);
        const fs_share *row = fs_pattern_row(patterns, p, &count);
        for (uint32_t end = 0; end < 2; end++) {
            hosts[2 * p + end] =
                face->create_host(name + "-" + std::to_string(p) + (end ? "-sink" : "-source"), 1.0)->seal();
            nodes[at + end] = hosts[2 * p + end]->get_netpoint();
        }
        for (uint32_t i = 0; i < count; i++) {
            uint32_t link = row[i].resource, tail = 2 * link, head = 2 * link + 1;
            if (!used[link]) {
                used[link] = true;
                nodes[tail] = face->create_router(name + "-tail-" + std::to_string(link));
                nodes[head] = face->create_router(name + "-head-" + std::to_string(link));
                connect(&graph, tail, head, def->capacity[link]);
            }
            if (followed.insert({at, tail}).second) {
                if (i > 0)
                    at = connect_router(&graph, at, fast);
                connect(&graph, at, tail, fast);
            }
            at = head;
        }
        connect(&graph, at, source(p) + 1, fast);
    }
    for (uint32_t p = 0; p < n_patterns; p++)
        if (is_plain(p)) {
            uint32_t count;
            bool unique;
            fs_pattern_row(patterns, p, &count);
            direct[p] = graph.distance(source(p), source(p) + 1, &unique) == 3 * count && unique;
        }
    face->seal();
    simgrid::s4u::Engine::on_platform_created(); /* ns-3 finds its routes now */
}

fs_status Ns3::takes(uint32_t pattern, bool *yes, fs_err *err) const
{
    uint32_t count, links = 0;
    const fs_share *row = fs_pattern_row(patterns, pattern, &count);
    for (uint32_t i = 0; i < count; i++)
        links += row[i].resource < n_links;
    if (links > 0 && !is_plain(pattern))
        return fs_fail(
            err, FS_E_SIM,
            "the network backend ns3 carries plain paths: links with coefficient 1 and no SM pools, which pattern %u "
            "is not; use fabric or cm02",
            pattern);
    if (links > 0 && pattern >= n_patterns)
        return fs_fail(
            err, FS_E_SIM,
            "the network backend ns3 was made for %u patterns, and pattern %u came later; use fabric or cm02",
            n_patterns, pattern);
    if (links > 0 && !direct[pattern])
        return fs_fail(
            err, FS_E_SIM,
            "the network backend ns3 cannot route pattern %u: ns-3 would find another way as short; use fabric or cm02",
            pattern);
    *yes = links > 0;
    return FS_OK;
}

void Ns3::carry(uint32_t slot, uint32_t pattern, double amount)
{
    if (amount > BYTES_MAX)
        throw std::length_error(
            "the network backend ns3 moves at most 4294967295 bytes in a transfer; use fabric or cm02");
    auto bytes = static_cast<uint64_t>(std::fmax(1.0, std::nearbyint(amount)));
    open_flow(slot, pattern, hosts[2 * pattern], hosts[2 * pattern + 1], bytes)->comm->start();
}

fs_status Ns3::set_capacity(uint32_t resource, double, fs_err *err)
{
    if (resource >= n_links)
        return FS_OK; /* SM pools are fluid */
    return fs_fail(err, FS_E_SIM,
                   "the network backend ns3 cannot change the capacity of link %u in flight; use fabric or cm02",
                   resource);
}

} // namespace

fs_status fs_ns3_new(const fs_engine_def *def, fs_stock **stock, fs_err *err)
{
    const char *value = std::getenv(FS_NS3_VARIABLE);
    if (value == nullptr || std::strstr(value, "ns3::TcpSocket::SndBufSize=") == nullptr)
        return fs_fail(err, FS_E_SIM,
                       "the network backend ns3 needs the environment variable %s=%s when the program starts",
                       FS_NS3_VARIABLE, FS_NS3_VALUE);
    return fs_bridge_guard(err, [=] { *stock = new Ns3(def); });
}

#else

fs_status fs_ns3_new(const fs_engine_def *, fs_stock **, fs_err *err)
{
    return fs_fail(err, FS_E_SIM, "this SimGrid was built without ns-3"); /* fs_bridge_open has said so before */
}

#endif
