// SPDX-License-Identifier: MIT
// Runs every kernel on small problems under several thread orders: all must agree bit for bit and be finite.
// Meant for the sanitizers and for planted faults (faults.h); whether results are right is the differential
// tests' question.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "cuda/host/launch.h"
#include "yopo/hamiltonian.h"
#include "yopo/inner_ascent.h"

namespace {

using namespace yopo;

struct Trial {
    const char* name;
    ConvShape shape;
    Activation activation;
    DType dtype = DType::float32;
    bool pixels = false;  // channels-last
    Precision precision = Precision::highest;
    Norm norm = Norm::linf;
    const char* path;
    int spare = -1;  // shared memory beyond the least with which the path is taken; -1: all that there is
};

// A problem on the heap, each tensor an allocation of its own, so that AddressSanitizer guards its ends.
class Problem {
  public:
    explicit Problem(const Trial& trial) : trial_(trial), s_(trial.shape) {
        fill(x_, images(), 0.0f, 1.0f);
        fill(eta_, images(), -0.03f, 0.03f);
        fill(weight_, s_.out_channels * taps(), -0.5f, 0.5f);
        fill(bias_, s_.out_channels, -0.1f, 0.1f);
        std::vector<float> p;
        fill(p, s_.batch * s_.out_channels * positions(), -1.0f, 1.0f);
        p_.resize(p.size() * (trial.dtype == DType::float32 ? 4 : 2));
        for (std::size_t i = 0; i < p.size(); ++i) store(i, p[i]);
    }

    std::vector<float> ascend() {
        InnerAscent problem;
        problem.layer = layer();
        problem.x = {x_.data(), strides(s_.in_channels, s_.height, s_.width, false)};
        problem.eta = {eta_.data(), problem.x.strides};
        problem.p = costate();
        std::vector<float> out(images(), NAN);
        problem.out = {out.data(), problem.x.strides};
        problem.budget = {eps_.data(), alpha_.data(), low_.data(), high_.data()};
        problem.steps = 2;
        problem.norm = trial_.norm;
        CudaOptions options = device();
        limit_shared_memory(problem, options);
        if (inner_ascent_cuda_path(problem, options) != trial_.path) {
            throw std::runtime_error(std::string(trial_.name) + " takes the path " +
                                     inner_ascent_cuda_path(problem, options));
        }
        // All NaN at first, as shared memory is.
        std::vector<unsigned char> workspace(workspace_bytes(problem, options), 0xff);
        options.workspace = workspace.data();
        const Status status = inner_ascent_cuda(problem, options);
        unsetenv(shared_limit);
        require(status);
        return out;
    }

    std::vector<float> differentiate() {
        const Hamiltonian problem{
            layer(), {x_.data(), strides(s_.in_channels, s_.height, s_.width, false)}, costate()};
        std::vector<float> weight(weight_.size(), NAN), bias(bias_.size(), NAN), input(images(), NAN),
            value(1, NAN);
        CudaOptions options = device();
        std::vector<char> workspace(hamiltonian_gradients_cuda_workspace(problem, options));
        options.workspace = workspace.data();
        require(hamiltonian_gradients_cuda(
            problem, {weight.data(), bias.data(), {input.data(), problem.u.strides}}, options));
        std::vector<double> sums(hamiltonian_cuda_workspace(problem, options) / sizeof(double));
        options.workspace = sums.data();
        require(hamiltonian_cuda(problem, value.data(), options));
        for (const auto* more : {&bias, &input, &value})
            weight.insert(weight.end(), more->begin(), more->end());
        return weight;
    }

  private:
    static constexpr const char* shared_limit = "SIMT_SHARED_BYTES";

    void limit_shared_memory(const InnerAscent& problem, const CudaOptions& options) const {
        if (trial_.spare < 0) return;
        int bytes = 0;
        const auto set = [&] { setenv(shared_limit, std::to_string(bytes).c_str(), 1); };
        do {
            bytes += 256;
            set();
        } while (bytes < 227 * 1024 && inner_ascent_cuda_path(problem, options) != trial_.path);
        bytes += trial_.spare;
        set();
    }

    // A planted fault: half of it is missing.
    static std::size_t workspace_bytes(const InnerAscent& problem, const CudaOptions& options) {
        const std::size_t bytes = inner_ascent_cuda_workspace(problem, options);
        return std::getenv("SIMT_SHORT_WORKSPACE") ? bytes / 2 : bytes;
    }

    static void require(const Status& status) {
        if (!status.ok()) throw std::runtime_error(status.message);
    }
    int taps() const { return s_.in_channels * s_.kernel_h * s_.kernel_w; }
    int positions() const { return s_.out_height() * s_.out_width(); }
    int images() const { return s_.batch * s_.in_channels * s_.height * s_.width; }

    void fill(std::vector<float>& to, int size, float low, float high) {
        std::uniform_real_distribution<float> values(low, high);
        to.resize(size);
        for (float& value : to) value = values(random_);
    }
    void store(std::size_t i, float value) {
        if (trial_.dtype == DType::float32) {
            std::memcpy(p_.data() + 4 * i, &value, 4);
        } else if (trial_.dtype == DType::bfloat16) {
            std::memcpy(p_.data() + 2 * i, reinterpret_cast<const char*>(&value) + 2, 2);
        } else {
            const _Float16 half = static_cast<_Float16>(value);
            std::memcpy(p_.data() + 2 * i, &half, 2);
        }
    }
    static Strides strides(int channels, int height, int width, bool pixels) {
        const std::int64_t plane = static_cast<std::int64_t>(height) * width;
        if (pixels) return {channels * plane, 1, static_cast<std::int64_t>(channels) * width, channels};
        return {channels * plane, plane, width, 1};
    }
    Costate costate() const {
        return {p_.data(), trial_.dtype,
                strides(s_.out_channels, s_.out_height(), s_.out_width(), trial_.pixels)};
    }
    FirstLayer layer() const {
        FirstLayer result;
        result.shape = s_;
        result.weight = weight_.data();
        result.bias = bias_.data();
        result.activation = trial_.activation;
        result.parameters = {1, 1, 1};
        result.normalization = {mean_.data(), std_.data()};
        return result;
    }
    CudaOptions device() const {
        CudaOptions options;
        options.precision = trial_.precision;
        return options;
    }

    const Trial& trial_;
    const ConvShape& s_;
    std::mt19937 random_{7};
    std::vector<float> x_, eta_, weight_, bias_;
    std::vector<char> p_;
    std::vector<float> mean_{0.4f, 0.5f, 0.6f, 0.5f}, std_{0.2f, 0.3f, 0.25f, 0.2f};
    std::vector<float> eps_ = std::vector<float>(4, 0.031f), alpha_ = std::vector<float>(4, 0.01f);
    std::vector<float> low_ = std::vector<float>(4, 0.0f), high_ = std::vector<float>(4, 1.0f);
};

constexpr ConvShape small = {1, 3, 10, 12, 12, 3, 3, 1, 1, 1, 1, 1, 1};
constexpr ConvShape tall = {3, 1, 36, 12, 12, 3, 3, 1, 1, 1, 1, 1, 1};  // two tiles; more bands than sections
constexpr ConvShape wide = {1, 3, 12, 12, 40, 3, 3, 1, 1, 1, 1, 1, 1};
constexpr ConvShape crowd = {3, 3, 12, 12, 40, 3, 3, 1, 1, 1, 1, 1, 1};  // more images than blocks
constexpr ConvShape narrow = {1, 1, 20, 18, 72, 3, 3, 1, 1, 0, 0, 1, 1};
constexpr ConvShape strided = {1, 2, 150, 40, 9, 5, 3, 2, 3, 1, 2, 1, 1};
constexpr ConvShape one_cifar = {1, 3, 32, 32, 16, 3, 3, 1, 1, 1, 1, 1, 1};
constexpr ConvShape patches = {3, 3, 20, 24, 40, 4, 8, 4, 8, 0, 0, 1, 1};
constexpr ConvShape narrow_patches = {2, 2, 21, 15, 12, 7, 5, 7, 5, 0, 0, 1, 1};
constexpr ConvShape large = {1, 3, 20, 44, 8, 5, 5, 1, 1, 2, 2, 1, 1};
constexpr ConvShape cifar = {3, 3, 32, 32, 16, 3, 3, 1, 1, 1, 1, 1, 1};  // more images than blocks, as below
constexpr ConvShape mnist = {5, 1, 28, 28, 32, 3, 3, 1, 1, 0, 0, 1, 1};
const Trial trials[] = {
    {"relu", small, Activation::relu, DType::float32, false, Precision::highest, Norm::linf, "image"},
    {"relu in two tiles", tall, Activation::relu, DType::float32, false, Precision::highest, Norm::linf,
     "image"},
    {"relu pixels", wide, Activation::relu, DType::float32, true, Precision::highest, Norm::linf, "image"},
    {"gelu l2", small, Activation::gelu, DType::bfloat16, true, Precision::highest, Norm::l2, "image"},
    {"strided tiles", strided, Activation::relu, DType::float16, false, Precision::highest, Norm::linf,
     "tiles"},
    {"linear rows", one_cifar, Activation::identity, DType::float32, false, Precision::high, Norm::linf,
     "linear_rows"},
    {"linear rows pixels", one_cifar, Activation::identity, DType::bfloat16, true, Precision::high,
     Norm::linf, "linear_rows"},
    {"patches", patches, Activation::identity, DType::float32, true, Precision::high, Norm::linf, "patches"},
    {"narrow patches", narrow_patches, Activation::identity, DType::bfloat16, false, Precision::high,
     Norm::linf, "patches"},
    {"linear mma", wide, Activation::identity, DType::float32, false, Precision::high, Norm::linf,
     "linear_mma"},
    {"linear mma pixels", large, Activation::identity, DType::bfloat16, true, Precision::high, Norm::l2,
     "linear_mma"},
    {"linear fma", large, Activation::identity, DType::float32, false, Precision::highest, Norm::linf,
     "linear_fma"},
    {"linear fma pixels", wide, Activation::identity, DType::float16, true, Precision::highest, Norm::linf,
     "linear_fma"},
    {"fixed", cifar, Activation::relu, DType::float32, false, Precision::high, Norm::linf, "fixed"},
    {"fixed, one channel", mnist, Activation::relu, DType::float32, false, Precision::high, Norm::linf,
     "fixed"},
    {"fixed, smooth", cifar, Activation::gelu, DType::float32, false, Precision::high, Norm::linf, "fixed"},
    {"resident", wide, Activation::relu, DType::float32, false, Precision::high, Norm::linf, "resident"},
    {"resident l2", narrow, Activation::gelu, DType::bfloat16, true, Precision::high, Norm::l2, "resident"},
    {"streamed", crowd, Activation::relu, DType::float32, false, Precision::high, Norm::linf, "streamed",
     8192},
    {"streamed l2", narrow, Activation::gelu, DType::bfloat16, true, Precision::high, Norm::l2, "streamed",
     0},
};

bool same_and_finite(const std::vector<float>& a, const std::vector<float>& b) {
    for (float value : a) {
        if (!std::isfinite(value)) return false;
    }
    return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

bool orders_agree(const Trial& trial, int orders) {
    std::vector<float> ascent, gradients;
    for (int order = 0; order < orders; ++order) {
        simt::schedule() = {order < 2 ? static_cast<simt::Order>(order) : simt::Order::random,
                            static_cast<std::uint64_t>(order)};
        const std::vector<float> a = Problem(trial).ascend(), g = Problem(trial).differentiate();
        if (order == 0) ascent = a, gradients = g;
        if (!same_and_finite(a, ascent) || !same_and_finite(g, gradients)) {
            std::printf("%s: order %d disagrees with order 0, or is not finite\n", trial.name, order);
            return false;
        }
    }
    return true;
}

}  // namespace

// Usage: kernels [number of orders [trial]]
int main(int argc, char** argv) {
    const int orders = argc > 1 ? std::atoi(argv[1]) : 3;
    bool right = true;
    try {
        for (const Trial& trial : trials) {
            if (argc > 2 && std::strcmp(argv[2], trial.name) != 0) continue;
            simt::barriers_seen().clear();
            right &= orders_agree(trial, orders);
            for (const std::string& barrier : simt::barriers_seen()) {
                std::printf("barrier\t%s\t%s\n", trial.name, barrier.c_str());
            }
        }
    } catch (const std::exception& error) {
        std::printf("%s\n", error.what());
        return 3;
    }
    return right ? 0 : 2;
}
