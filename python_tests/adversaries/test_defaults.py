# SPDX-License-Identifier: MIT
"""A method named on the command line and its class, both without numbers, are the same method."""

import inspect
import typing

import pytest

from yopo_ext.adversaries.method import METHODS


@pytest.mark.parametrize("name", [method.name for method in METHODS.entries.values() if method.numbers])
def test_numbers_are_the_classs(name):
    method = METHODS[name]
    adversary = typing.get_type_hints(method.build)["return"]
    parameters = inspect.signature(adversary).parameters
    options = method.options()
    for number in method.numbers:
        assert getattr(options, number) == parameters[number.removeprefix("pgd_")].default
