// SPDX-License-Identifier: MIT
// Writes launches down instead of running them, for what executes a kernel's machine code: a line of JSON
// each, with the kernel's mangled name and its parameters as they lie in constant memory.
#pragma once

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "cuda/host/block.h"

namespace simt {

// The file that launches are added to, or null where they run.
inline const char* launch_record() {
    return std::getenv("SIMT_RECORD");
}

class ParameterBytes {
  public:
    template <class T>
    void add(const T& value) {
        bytes_.resize((bytes_.size() + alignof(T) - 1) / alignof(T) * alignof(T));
        const auto* from = reinterpret_cast<const unsigned char*>(&value);
        bytes_.insert(bytes_.end(), from, from + sizeof(T));
    }
    const std::vector<unsigned char>& all() const { return bytes_; }

  private:
    std::vector<unsigned char> bytes_;
};

template <class... Parameters, class... Arguments>
void record_launch(Index3 grid, Index3 threads, std::size_t shared_bytes, void (*kernel)(Parameters...),
                   const Arguments&... arguments) {
    ParameterBytes bytes;
    (bytes.add(static_cast<Parameters>(arguments)), ...);
    Dl_info symbol{};
    if (!dladdr(reinterpret_cast<void*>(kernel), &symbol) || !symbol.dli_sname) {
        throw std::runtime_error("a kernel without a name: it must not lie in an unnamed namespace");
    }
    std::FILE* file = std::fopen(launch_record(), "a");
    if (!file) throw std::runtime_error(std::string("cannot write ") + launch_record());
    std::fprintf(file,
                 "{\"kernel\": \"%s\", \"grid\": [%u, %u], \"threads\": %u, \"shared\": %zu, \"hex\": \"",
                 symbol.dli_sname, grid.x, grid.y, threads.x, shared_bytes);
    for (unsigned char byte : bytes.all()) std::fprintf(file, "%02x", byte);
    std::fprintf(file, "\"}\n");
    std::fclose(file);
}

}  // namespace simt
