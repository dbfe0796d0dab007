// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace yopo {

enum class StatusCode { ok, unsupported, out_of_memory, device_error };

// What every entry point returns: no exception crosses the C++ interface.
struct Status {
    StatusCode code = StatusCode::ok;
    std::string message;

    bool ok() const { return code == StatusCode::ok; }
    static Status error(StatusCode code, std::string message) { return {code, std::move(message)}; }
};

}  // namespace yopo
