# SPDX-License-Identifier: MIT
"""Every variant of the Triton kernels, compiled for GPUs that are not there, and what their machine code must show."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from yopo_ext.backends.triton_backend import why_not_triton

pytestmark = pytest.mark.skipif(why_not_triton() is not None, reason=str(why_not_triton()))

WORKER = Path(__file__).with_name("variants.py")
# Bytes of shared memory that one program may have.
SHARED_MEMORY = {80: 163 * 1024, 86: 99 * 1024, 90: 227 * 1024, 100: 227 * 1024}
ARCHITECTURES = (80, 90, 100)
STREAMING = {"linear_ascent", "nonlinear_ascent", "hamiltonian_input_gradient", "hamiltonian_weight_gradients"}


@pytest.fixture(scope="module")
def compiled() -> dict[int, list[dict]]:
    """The facts about each kernel, by architecture; the architectures side by side."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}  # the workers test the package tested here
    environment.pop("TRITON_INTERPRET", None)
    processes = {
        capability: subprocess.Popen(
            [sys.executable, str(WORKER), str(capability)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )
        for capability in ARCHITECTURES
    }  # fmt: skip
    facts = {}
    for capability, process in processes.items():
        output, errors = process.communicate()
        assert process.returncode == 0, f"sm_{capability}:\n{errors}"
        facts[capability] = [json.loads(line) for line in output.splitlines()]
    return facts


def offenders(facts: list[dict], wrong) -> list[str]:
    return [f"{fact['kernel']} ({fact['variant']}): {fact}" for fact in facts if wrong(fact)]


@pytest.mark.parametrize("capability", ARCHITECTURES)
def test_everything_compiles(compiled, capability):
    kernels = {fact["kernel"] for fact in compiled[capability]}
    assert kernels == {*STREAMING, "entry", "l2_step", "hamiltonian_value", "sum_parts"}


@pytest.mark.parametrize("capability", ARCHITECTURES)
def test_nothing_spills(compiled, capability):
    # Images more than 64 wide force so many pixels on a program that the nonlinear kernels do spill: slower, as right.
    facts = [fact for fact in compiled[capability] if fact["variant"] != "large images"]
    assert not offenders(facts, lambda fact: fact["spills"] or fact["stack"])


@pytest.mark.parametrize("capability", ARCHITECTURES)
def test_shared_memory_suffices(compiled, capability):
    assert not offenders(compiled[capability], lambda fact: fact["shared"] > SHARED_MEMORY[capability])


@pytest.mark.parametrize("capability", ARCHITECTURES)
def test_costate_is_loaded_16_bytes_at_a_time(compiled, capability):
    # A float32 p in channels-last is copied to shared memory transposed, 4 bytes a lane, a warp's bytes side by side.
    facts = [fact for fact in compiled[capability] if fact["kernel"] in STREAMING]
    facts = [fact for fact in facts if not fact["variant"].endswith("relu, float32 channels-last")]
    assert not offenders(facts, lambda fact: fact["wide_loads"] == 0)


@pytest.mark.parametrize("capability", ARCHITECTURES)
def test_tensor_cores_only_at_precision_high(compiled, capability):
    facts = [fact for fact in compiled[capability] if fact["kernel"] in STREAMING]
    high = [fact for fact in facts if "highest" not in fact["variant"]]
    highest = [fact for fact in facts if "highest" in fact["variant"]]
    assert not offenders(high, lambda fact: fact["tensor_cores"] == 0)
    assert not offenders(highest, lambda fact: fact["tensor_cores"] > 0 or fact["fma"] < 64)
