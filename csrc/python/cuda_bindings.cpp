// SPDX-License-Identifier: MIT
#include "python/arguments.h"
#include "python/bindings.h"

namespace py = pybind11;

namespace yopo::python {
namespace {

using Shape = std::array<int, 13>;
using Table =
    std::pair<Floats, Address>;  // rows of per-channel values: themselves, or where they lie on the device
using DeviceArguments = std::tuple<int, Address, int>;  // device, stream, precision

CudaOptions options(const DeviceArguments& arguments, Address workspace) {
    const auto& [device, stream, precision] = arguments;
    CudaOptions result;
    result.device = device;
    result.stream = reinterpret_cast<void*>(stream);
    result.precision = static_cast<Precision>(precision);
    result.workspace = reinterpret_cast<void*>(workspace);
    return result;
}

const float* device_table(const Table& table) {
    return reinterpret_cast<const float*>(table.second);
}

// A layer whose normalisation may lie on the device.
FirstLayer layer_with_table(const Shape& shape, Address weight, Address bias,
                            const ActivationArguments& activation, const Table& normalization,
                            CudaOptions& options) {
    FirstLayer layer = first_layer(shape, weight, bias, activation, normalization.first);
    if (const float* table = device_table(normalization)) {
        layer.normalization = {table, table + layer.shape.in_channels};
        options.normalization_on_device = true;
    }
    return layer;
}

// `budget_table`: rows eps and alpha, then low and high if `boxed`.
InnerAscent ascent(const Tensor4& x, const Tensor4& eta, const Tensor4& out, const Costate4& p,
                   FirstLayer layer, const Table& budget_table, bool boxed, std::int64_t steps, int norm,
                   int direction, CudaOptions& options) {
    InnerAscent problem;
    problem.layer = layer;
    problem.x = images(x);
    problem.eta = images(eta);
    problem.p = costate(p);
    problem.out = mutable_images(out);
    const int channels = layer.shape.in_channels;
    if (const float* table = device_table(budget_table)) {
        problem.budget = {table, table + channels, boxed ? table + 2 * channels : nullptr,
                          boxed ? table + 3 * channels : nullptr};
        options.budget_on_device = true;
    } else {
        problem.budget = budget(budget_table.first, channels);
    }
    problem.steps = steps;
    problem.norm = static_cast<Norm>(norm);
    problem.direction = static_cast<Direction>(direction);
    return problem;
}

void inner_ascent(const Tensor4& x, const Tensor4& eta, const Tensor4& out, const Costate4& p,
                  const Shape& shape, Address weight, Address bias, const ActivationArguments& activation,
                  const Table& normalization, const Table& budget_table, bool boxed, std::int64_t steps,
                  int norm, int direction, const DeviceArguments& device, Address workspace) {
    CudaOptions on = options(device, workspace);
    const FirstLayer layer = layer_with_table(shape, weight, bias, activation, normalization, on);
    const InnerAscent problem =
        ascent(x, eta, out, p, layer, budget_table, boxed, steps, norm, direction, on);
    py::gil_scoped_release unlocked;
    raise_if_failed(inner_ascent_cuda(problem, on));
}

// The workspace's bytes and the name of the path; both depend on shapes, strides and options, not on values.
std::pair<std::size_t, std::string> inner_ascent_plan(const Costate4& p, const Shape& shape,
                                                      const ActivationArguments& activation, int norm,
                                                      int direction, const DeviceArguments& device) {
    CudaOptions on = options(device, 0);
    InnerAscent problem;
    problem.layer = layer_with_table(shape, 0, 0, activation, {}, on);
    problem.p = costate(p);
    problem.norm = static_cast<Norm>(norm);
    problem.direction = static_cast<Direction>(direction);
    return {inner_ascent_cuda_workspace(problem, on), inner_ascent_cuda_path(problem, on)};
}

void hamiltonian(const Tensor4& u, const Costate4& p, const Shape& shape, Address weight, Address bias,
                 const ActivationArguments& activation, const Table& normalization, Address value,
                 const DeviceArguments& device, Address workspace) {
    CudaOptions on = options(device, workspace);
    const Hamiltonian problem{layer_with_table(shape, weight, bias, activation, normalization, on), images(u),
                              costate(p)};
    py::gil_scoped_release unlocked;
    raise_if_failed(hamiltonian_cuda(problem, reinterpret_cast<float*>(value), on));
}

void hamiltonian_gradients(const Tensor4& u, const Costate4& p, const Shape& shape, Address weight,
                           Address bias, const ActivationArguments& activation, const Table& normalization,
                           Address grad_weight, Address grad_bias, const Tensor4& grad_input,
                           const DeviceArguments& device, Address workspace) {
    CudaOptions on = options(device, workspace);
    const Hamiltonian problem{layer_with_table(shape, weight, bias, activation, normalization, on), images(u),
                              costate(p)};
    const HamiltonianGradients gradients{reinterpret_cast<float*>(grad_weight),
                                         reinterpret_cast<float*>(grad_bias), mutable_images(grad_input)};
    py::gil_scoped_release unlocked;
    raise_if_failed(hamiltonian_gradients_cuda(problem, gradients, on));
}

// Bytes of workspace for (the value, its gradients).
std::pair<std::size_t, std::size_t> hamiltonian_workspaces(const Shape& shape,
                                                           const DeviceArguments& device) {
    const CudaOptions on = options(device, 0);
    Hamiltonian problem{};
    problem.layer.shape = conv_shape(shape);
    return {hamiltonian_cuda_workspace(problem, on), hamiltonian_gradients_cuda_workspace(problem, on)};
}

}  // namespace

void bind_cuda(py::module_& module) {
    module.def("cuda_architectures", &cuda_architectures);
    module.def("cuda_geometries", &cuda_geometries);
    module.def("cuda_ptx", &cuda_ptx);
    module.def("cuda_refusal", [](const Shape& shape, bool hamiltonian, int device) {
        return cuda_refusal(conv_shape(shape), hamiltonian, device);
    });
    module.def("inner_ascent_cuda", &inner_ascent);
    module.def("inner_ascent_cuda_plan", &inner_ascent_plan);
    module.def("hamiltonian_cuda", &hamiltonian);
    module.def("hamiltonian_gradients_cuda", &hamiltonian_gradients);
    module.def("hamiltonian_cuda_workspaces", &hamiltonian_workspaces);
}

}  // namespace yopo::python
