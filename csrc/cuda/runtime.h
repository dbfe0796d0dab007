// SPDX-License-Identifier: MIT
// What the CUDA runtime is asked to do, with what went wrong as a Status.
#pragma once

#include <cstddef>

#include "yopo/status.h"

namespace yopo::cuda {

struct Launch {
    unsigned blocks_x = 1, blocks_y = 1, threads = 256;
    std::size_t shared_bytes = 0;
};

// Launches on the current device. Before a kernel's first launch there its code is loaded and it may use as
// much shared memory as a block can have: also inside a graph capture, which the loading does not disturb.
Status launch_kernel(const Launch& launch, void* stream, const void* kernel, void** arguments);

// "CUDA: ..." for a cudaError_t, with what was built and what was found where that is the reason.
Status runtime_error(int error);

// While it lives, this thread may do what a capturing thread must not, such as loading code.
class CaptureUndisturbed {
  public:
    CaptureUndisturbed();
    ~CaptureUndisturbed();
    CaptureUndisturbed(const CaptureUndisturbed&) = delete;
    CaptureUndisturbed& operator=(const CaptureUndisturbed&) = delete;

  private:
    int previous_ = -1;
};

}  // namespace yopo::cuda
