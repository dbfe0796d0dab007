# SPDX-License-Identifier: MIT
"""`yopo list`: each kind, with what each entry says of itself."""

import pytest

from yopo_ext.catalogue import KINDS, catalogue, settings
from yopo_ext.cli import list_command, main
from yopo_ext.training.config.layout import homes

#: Some that must be there, as they are written.
KNOWN = {
    "methods": {
        "natural", "fast", "n-fgsm", "pgd-STEPS", "deep-ITERATIONS", "free-M", "yopo-M-N", "trades-STEPS",
        "trades-yopo-M-N", "yopo-attack-M-N", "free-yopo-M-N",
    },
    "starts": {"uniform", "zero", "previous-batch", "shared", "class", "previous-epoch", "momentum"},
    "objectives": {"cross-entropy", "reverse-cross-entropy", "trades", "mmc", "mmlda", "g-sce"},
    "heads": {"linear", "max-mahalanobis", "random-centres"},
    "attacks": {"fgsm", "bim", "ilcm", "pgd", "cw", "jsma", "deep", "adaptive"},
    "detectors": {"confidence", "k-density", "lid", "non-me"},
    "datasets": {"digits", "mnist", "fashion-mnist", "cifar10", "cifar100"},
    "models": {"digits-cnn", "smallcnn", "preactresnet18", "wrn-34-10"},
    "optimizers": {"sgd", "nesterov", "adam", "adamw"},
    "schedules": {"piecewise", "cosine", "one-cycle", "cyclic"},
    "events": {"curve", "delay", "best", "averaging", "warm_up"},
    "presets": {"mnist-yopo-5-10", "cifar10-fast", "cifar10-trades-yopo-3-4"},
}  # fmt: skip


def test_the_command_and_the_catalogue_have_the_same_kinds():
    assert list_command.KINDS == KINDS == tuple(KNOWN)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind(capsys, kind):
    assert main(["list", kind]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert all(len(line) == 2 for line in lines), "an entry without a help"
    assert {name for name, _ in lines} >= KNOWN[kind]
    assert len(lines) == len(catalogue(kind).names)


def test_an_unknown_kind_is_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["list", "planets"])
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "invalid choice: 'planets'" in err


def test_every_setting_is_told_once_for_each_home():
    found = list(settings())
    assert {name for _, name, *_ in found} == set(homes())
    assert len(found) == sum(map(len, homes().values()))
    assert ("ball", "eps", "", "0.1") in [row[:4] for row in found]
    assert all(text for *_, text in found)
