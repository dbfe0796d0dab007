# SPDX-License-Identifier: MIT
"""YOPO adversarial training with the first-layer inner loop in one native kernel.

`inner_ascent` runs the n projected ascent steps of YOPO-m-n (Zhang et al., NeurIPS 2019) with the co-state frozen;
`hamiltonian` gives the first layer its own gradient; `FirstLayer`, `capture_costate` and `YOPO` put them to work
in a training loop; the `yopo` command trains and evaluates.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

# The command line has choices to make before torch is imported. Who has imported it gets the operators at once, so that
# `torch.ops.yopo_ext` is there.
if TYPE_CHECKING or "torch" in sys.modules:
    from .ops import explain, hamiltonian, inner_ascent

if TYPE_CHECKING:
    from .adversaries.yopo import YOPO
    from .ball import Ball
    from .costate import capture_costate
    from .first_layer import FirstLayer
    from .first_layer_cuts import find_cut, find_cuts
    from .first_layer_search import find_first_layer
    from .found_first_layer import FoundFirstLayer
    from .gradient_exchange import average_gradients
    from .perturbed_output import perturb_output
    from .principle import maximum_principle
    from .units import UnitCounter

__version__ = "0.1.0"
__all__ = [
    "YOPO",
    "Ball",
    "FirstLayer",
    "FoundFirstLayer",
    "UnitCounter",
    "average_gradients",
    "capture_costate",
    "explain",
    "find_cut",
    "find_cuts",
    "find_first_layer",
    "hamiltonian",
    "inner_ascent",
    "maximum_principle",
    "perturb_output",
]

_LAZY = {
    "YOPO": "yopo_ext.adversaries.yopo",
    "Ball": "yopo_ext.ball",
    "average_gradients": "yopo_ext.gradient_exchange",
    "FirstLayer": "yopo_ext.first_layer",
    "capture_costate": "yopo_ext.costate",
    "find_cut": "yopo_ext.first_layer_cuts",
    "find_cuts": "yopo_ext.first_layer_cuts",
    "find_first_layer": "yopo_ext.first_layer_search",
    "FoundFirstLayer": "yopo_ext.found_first_layer",
    "explain": "yopo_ext.ops",
    "hamiltonian": "yopo_ext.ops",
    "inner_ascent": "yopo_ext.ops",
    "maximum_principle": "yopo_ext.principle",
    "perturb_output": "yopo_ext.perturbed_output",
    "UnitCounter": "yopo_ext.units",
}


if not TYPE_CHECKING:  # or every name would be an attribute to a type checker

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_LAZY[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
