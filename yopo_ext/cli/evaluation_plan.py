# SPDX-License-Identifier: MIT
"""What `yopo evaluate` is to measure, from its options."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .attack_options import asked_kinds, given_options, options_for, require_used

if TYPE_CHECKING:
    from ..evaluation import Attack, Budget
    from ..training import DetectionPlan, EvaluationPlan, Subject

CLEAN, DEFAULT = "clean", "pgd"
#: Beside the default, for a network whose own loss says more than cross entropy does.
OWN_LOSS = "adaptive"


def plan_of(options: argparse.Namespace, subject: Subject) -> EvaluationPlan:
    """Raises ``ValueError``, naming the option, for what does not go together."""
    from ..detectors import DETECTORS
    from ..evaluation import ATTACKS, Budget
    from ..training import EvaluationPlan

    asked, given = asked_kinds(options), given_options(options)
    sweeps = {"eps": options.sweep_eps, "steps": options.sweep_steps}
    sweeps = {over: values for over, values in sweeps.items() if values is not None}
    alone = not options.checkpoints and options.weights is None
    _require_detectors(options)
    if alone and (sweeps or options.attacks or asked or options.detectors or options.density):
        raise ValueError("--transfer alone makes the matrix only: name a checkpoint for the other measurements")
    default = (DEFAULT, OWN_LOSS) if "objective" in subject.losses else (DEFAULT,)
    wanted = [] if alone else [name for name in options.attacks or default if name != CLEAN]
    kinds = [ATTACKS[name] for name in dict.fromkeys((*wanted, *asked))]
    detectors = [DETECTORS[name] for name in dict.fromkeys(options.detectors or ())]
    crosses = bool(options.transfer) or options.member_transfer
    require_used(given, [*kinds, *detectors, *([ATTACKS[DEFAULT]] if crosses else [])])
    eps, norm = subject.eps if options.eps is None else options.eps, options.norm or subject.norm
    if eps is None:
        if kinds or sweeps or crosses or detectors:
            raise ValueError("--weights needs --eps, the radius of the attacks")
        return EvaluationPlan(cross_section=options.cross_section, density=options.density, plots=options.plots)
    # The step size of the run's own measurement is for that radius.
    own_alpha = subject.alpha if (eps, norm) == (subject.eps, subject.norm) else None
    budget = Budget(eps, norm, options.seed, subject.steps, own_alpha, options.attack_in_kernel)

    def attacks(within: Budget) -> tuple[Attack, ...]:
        found = [attack for kind in kinds for attack in kind.build(within, options_for(kind, given))]
        return tuple(attack for index, attack in enumerate(found) if attack not in found[:index])

    transfer = None
    if crosses:
        pgd = options_for(ATTACKS[DEFAULT], given)
        # One start, so that an example does not depend on what it was tried on.
        transfer = ATTACKS[DEFAULT].build(budget, replace(pgd, losses=pgd.losses[:1], restarts=1))[0]
    # What is swept has a step size that follows, unless it was given.
    return EvaluationPlan(
        attacks(budget), sweeps, attacks(replace(budget, alpha=None)), transfer, options.cross_section, options.plots,
        _detection(options, subject, budget, given), density=options.density,
    )  # fmt: skip


def _detection(
    options: argparse.Namespace, subject: Subject, budget: Budget, given: Mapping[str, Any]
) -> DetectionPlan | None:
    from ..detectors import DETECTORS, Fitting
    from ..evaluation import AdaptiveAttack, ClassLogits
    from ..training import DetectionPlan

    if options.detectors is None:
        return None
    fitting = Fitting(subject.objective or ClassLogits(), budget.eps, budget.norm, budget.seed)
    kinds = [DETECTORS[name] for name in dict.fromkeys(options.detectors)]
    detectors = tuple(kind.build(fitting, options_for(kind, given)) for kind in kinds)
    steps = AdaptiveAttack.steps if options.adaptive_steps is None else options.adaptive_steps
    adaptive = (
        AdaptiveAttack(one, budget.eps, steps, norm=budget.norm, seed=budget.seed) for one in detectors if steps
    )
    sizes = {"fit_images": options.fit_images, "false_alarms": options.false_alarms}
    asked = {name: value for name, value in sizes.items() if value is not None}
    return DetectionPlan(detectors, tuple(adaptive), **asked)


def _require_detectors(options: argparse.Namespace) -> None:
    for name in ("fit_images", "false_alarms", "adaptive_steps"):
        if getattr(options, name) is not None and options.detectors is None:
            raise ValueError(f"--{name.replace('_', '-')}: goes with --detectors, which are not asked for")
