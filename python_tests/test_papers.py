# SPDX-License-Identifier: MIT
"""The page that leads from the papers to the commands: each means something, and no row of their tables lacks."""

from __future__ import annotations

import importlib
import re
import shlex
from importlib.util import find_spec

import pytest
from code_blocks import DOCS, ROOT

from yopo_ext.cli import build_parser
from yopo_ext.cli.attack_options import given_options, options_for, require_used
from yopo_ext.cli.compare import _new as new_comparison
from yopo_ext.cli.train import _new as new_run
from yopo_ext.evaluation import ATTACKS, Budget
from yopo_ext.models import build_model

PAGE = (DOCS / "papers.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}


def rows(text):
    """The cells of every table's rows."""
    lines = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)
    return [cells for cells in (line.split(" | ") for line in lines) if cells[0] != "what"]


ROWS = [cells for part in SECTIONS.values() for cells in rows(part)]
COMMANDS = [(cells[0], command) for cells in ROWS for command in re.findall(r"`([^`]+)`", cells[-1])]


def check(command):
    """Raises where a word of it means nothing; returns what kind of thing it was."""
    program, *words = shlex.split(command)
    if program.startswith("yopo_ext."):
        module, _, name = program.rpartition(".")
        getattr(importlib.import_module(module), name)
    elif program == "yopo":
        options = build_parser().parse_args(words)
        READ.get(words[0], lambda _: None)(options)
    elif program == "python":
        assert (ROOT / words[0]).is_file()
    else:
        assert command in ('direction="gradient"',)
    return program


def check_run(options):
    """Names of libraries' networks are looked up when one is built."""
    model = new_run(options)[0].model.model
    if ":" in model:
        build_model(model, in_channels=3, num_classes=10, image_size=(32, 32))


def check_evaluation(options):
    kinds = [ATTACKS[name] for name in options.attacks or ("pgd",)]
    given = given_options(options)
    require_used(given, kinds)
    for kind in kinds:
        assert kind.build(Budget(8 / 255), options_for(kind, given))
    assert options.checkpoints or options.transfer


#: What reads the options of a command further than its parser does.
READ = {"train": check_run, "compare": new_comparison, "evaluate": check_evaluation}


@pytest.mark.parametrize(("what", "command"), COMMANDS, ids=lambda part: part[:60])
def test_a_row_s_command_means_something(what, command):
    library = re.search(r"--model (timm|torchvision):", command)
    if library and not find_spec(library[1]):
        pytest.skip(f"{library[1]} is not installed, so its names are not known")
    check(command)


@pytest.mark.parametrize(
    "wrong",
    [
        "yopo train --method yopo-5", "yopo train --optimizer lion", "yopo train --no-such-option",
        "yopo train --activation swish", "yopo compare --methods pgd-10:momentum=x", "yopo evaluate RUN --attacks none",
        "yopo evaluate RUN --attacks pgd --spsa-steps 3", "yopo evaluate RUN --losses hinge", "yopo_ext.no_such_thing",
        "yopo train --preset mnist-yopo", "yopo train --model vgg", "yopo train --model timm:no-such-network",
        "python docs/none.py", "yopo frobnicate", "something else",
    ],
)  # fmt: skip
def test_the_check_finds_what_is_not_there(wrong, capsys):
    with pytest.raises((SystemExit, ValueError, ImportError, AttributeError, AssertionError)):
        check(wrong)


def test_every_row_has_a_command():
    assert len(ROWS) > 60
    for cells in ROWS:
        assert len(cells) == 3
        assert re.findall(r"`([^`]+)`", cells[-1]), cells[0]


#: The rows and columns of the talk's tables, by their kind.
TALK = {
    "Activation": ["ReLU", "Leaky.", "ELU", "CELU", "SELU", "GELU", "Softplus", "Tanh", "Swish"],
    "Optimizer": ["Mom", "Nesterov", "Adam", "AdamW", "SGD-GC", "SGD-GCC"],
    "Attack": ["PGD-10", "PGD-1000, CE objective", "PGD-1000, C&W objective", "SPSA-10000", "AA", "RayS"],
    "Architecture": ["ResNet-18", "SENet-18", "DenseNet-121", "GoogleNet", "WRN-34-10", "WRN-34-20"],
    "": [
        "PGD-AT", "TRADES", "FastAT", "FreeAT", "Warmup on l.r.", "Warmup on perturb.", "Batch size, basic l.r.",
        "Batch size, scaled l.r.", "Label smoothing", "Weight decay", "BN mode: train, eval",
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", TALK)
def test_no_row_of_the_talk_s_tables_lacks(kind):
    found = {cells[0] for cells in rows(SECTIONS["Bag of tricks for adversarial training"])}
    expected = {f"{kind}: {name}" if kind else name for name in TALK[kind]}
    assert expected <= found
    if kind:
        assert {what for what in found if what.startswith(f"{kind}: ")} == expected


def test_no_method_attack_or_optimiser_of_ours_lacks():
    """What the package has from these papers can be found from them."""
    commands = " ".join(command for _, command in COMMANDS)
    for word in ("yopo-5-3", "pgd-10", "free-8", "fast", "natural", "trades-10", "--preset cifar10-trades-yopo-3-4"):
        assert word in commands
    for name in ("sgd", "nesterov", "adam", "adamw"):
        assert f"--optimizer {name}" in commands
