// SPDX-License-Identifier: MIT
#include "python/arguments.h"
#include "python/bindings.h"

namespace py = pybind11;

namespace yopo::python {
namespace {

void inner_ascent(const Tensor4& x, const Tensor4& eta, const Tensor4& out, const Costate4& p,
                  const std::array<int, 13>& shape, Address weight, Address bias,
                  const ActivationArguments& activation, const Floats& normalization,
                  const Floats& budget_rows, std::int64_t steps, int norm, int direction, int threads,
                  std::string isa) {
    InnerAscent problem;
    problem.layer = first_layer(shape, weight, bias, activation, normalization);
    problem.x = images(x);
    problem.eta = images(eta);
    problem.p = costate(p);
    problem.out = mutable_images(out);
    problem.budget = budget(budget_rows, problem.layer.shape.in_channels);
    problem.steps = steps;
    problem.norm = static_cast<Norm>(norm);
    problem.direction = static_cast<Direction>(direction);
    py::gil_scoped_release unlocked;
    raise_if_failed(inner_ascent_cpu(problem, {threads, std::move(isa)}));
}

Hamiltonian hamiltonian_problem(const Tensor4& u, const Costate4& p, const std::array<int, 13>& shape,
                                Address weight, Address bias, const ActivationArguments& activation,
                                const Floats& normalization) {
    return {first_layer(shape, weight, bias, activation, normalization), images(u), costate(p)};
}

float hamiltonian(const Tensor4& u, const Costate4& p, const std::array<int, 13>& shape, Address weight,
                  Address bias, const ActivationArguments& activation, const Floats& normalization,
                  int threads, std::string isa) {
    const Hamiltonian problem = hamiltonian_problem(u, p, shape, weight, bias, activation, normalization);
    float value = 0;
    py::gil_scoped_release unlocked;
    raise_if_failed(hamiltonian_cpu(problem, &value, {threads, std::move(isa)}));
    return value;
}

void hamiltonian_gradients(const Tensor4& u, const Costate4& p, const std::array<int, 13>& shape,
                           Address weight, Address bias, const ActivationArguments& activation,
                           const Floats& normalization, Address grad_weight, Address grad_bias,
                           const Tensor4& grad_input, int threads, std::string isa) {
    const Hamiltonian problem = hamiltonian_problem(u, p, shape, weight, bias, activation, normalization);
    const HamiltonianGradients gradients{reinterpret_cast<float*>(grad_weight),
                                         reinterpret_cast<float*>(grad_bias), mutable_images(grad_input)};
    py::gil_scoped_release unlocked;
    raise_if_failed(hamiltonian_gradients_cpu(problem, gradients, {threads, std::move(isa)}));
}

std::string refusal(const std::array<int, 13>& shape) {
    return cpu_refusal(conv_shape(shape));
}

void use_threads(Address parallel_region) {
    use_threads_of(reinterpret_cast<ParallelRegion>(parallel_region));
}

double multiply_adds(std::int64_t iterations, int threads, std::string isa) {
    py::gil_scoped_release unlocked;
    return multiply_adds_cpu(iterations, {threads, std::move(isa)});
}

}  // namespace

void bind_cpu(py::module_& module) {
    module.def("cpu_isas", &runnable_isas);
    module.def("cpu_refusal", &refusal);
    module.def("use_threads", &use_threads);
    module.def("multiply_adds_cpu", &multiply_adds);
    module.def("inner_ascent_cpu", &inner_ascent);
    module.def("hamiltonian_cpu", &hamiltonian);
    module.def("hamiltonian_gradients_cpu", &hamiltonian_gradients);
}

}  // namespace yopo::python
