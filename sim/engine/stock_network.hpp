/* stock_network.hpp - what the two C++ files of the engine share. */
#ifndef FS_STOCK_NETWORK_HPP
#define FS_STOCK_NETWORK_HPP

#include "engine/bridge.h"

#include <functional>
#include <string>
#include <vector>

/* Run `body`; an exception becomes a status. */
fs_status fs_bridge_guard(fs_err *err, const std::function<void()> &body);
/* Tell the model in the loop that a stock flow has ended. */
void fs_bridge_landed(uint32_t slot);
/* SimGrid's command-line settings for a backend; may set environment variables, so it comes before SimGrid starts. */
void fs_stock_settings(fs_backend backend, std::vector<std::string> &arguments);

#endif
