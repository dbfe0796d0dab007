# SPDX-License-Identifier: MIT
"""What a report says of AutoAttack beside other attacks."""

import pytest

from yopo_ext.evaluation import AutoAttack, PGDAttack, Report
from yopo_ext.evaluation.confirmation import confirmation

CE, OWN, AUTO = PGDAttack(0.1), PGDAttack(0.1, loss="objective"), AutoAttack(0.1)


@pytest.mark.parametrize(
    ("robust", "expected"),
    [
        ({}, ""),
        ({CE: 40.0}, ""),
        ({AUTO: 40.0}, ""),
        ({CE: 40.0, OWN: 50.0}, "not confirmed by AutoAttack (--attacks ... autoattack), without which a gain is none"),
        ({CE: 40.0, OWN: 50.0, AUTO: 39.0}, "AutoAttack 39.00 % beside 40.00 % under PGD-40, ce: confirmed"),
        ({CE: 40.0, OWN: 30.0, AUTO: 31.5}, "AutoAttack 31.50 % beside 30.00 % under PGD-40, objective: confirmed"),
        ({CE: 40.0, OWN: 50.0, AUTO: 2.5},
         "AutoAttack 2.50 % beside 40.00 % under PGD-40, ce: the 37.50 points between them are no robustness"),
    ],
)  # fmt: skip
def test_both_stand_side_by_side(robust, expected):
    accuracies = {attack.label: value for attack, value in robust.items()}
    attacks = {attack.label: attack for attack in robust}
    assert confirmation(accuracies, attacks) == expected
    table = Report(10, 90.0, accuracies, 2.5, attacks).to_table()
    assert expected in table
    assert bool(expected) == (table.count("AutoAttack") > (AUTO in robust))
