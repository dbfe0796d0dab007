// SPDX-License-Identifier: MIT
#include "cpu/refusal.h"

#include "cpu/plan.h"
#include "yopo/cpu_options.h"

namespace yopo {
namespace cpu {

std::string too_large(const ConvShape& s) {
    return "an image of " + std::to_string(s.in_channels) + " x " + std::to_string(s.height) + " x " +
           std::to_string(s.width) + " needs more than the " + std::to_string(kScratchLimit >> 20) +
           " MB of scratch memory a thread may use";
}

Status unknown_isa(const std::string& isa) {
    std::string names;
    for (const std::string& name : runnable_isas()) names += (names.empty() ? "" : ", ") + name;
    return Status::error(StatusCode::unsupported,
                         "instruction set '" + isa + "': this processor runs " + names);
}

}  // namespace cpu

std::string cpu_refusal(const ConvShape& shape) {
    // The most that any of the operations needs.
    const cpu::PlanOptions needs{.input = true, .gradient = true, .reuse_p = false, .z = true};
    return cpu::make_plan(shape, needs).fits() ? "" : cpu::too_large(shape);
}

}  // namespace yopo
