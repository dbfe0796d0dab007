# SPDX-License-Identifier: MIT
"""The pages' Python runs, their commands exist, and their tables and pictures are those that the scripts make."""

from __future__ import annotations

import ast
import functools
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import document
import pytest
import triton_document
from code_blocks import DOCS, ROOT, blocks, languages
from other_package import write_package

import yopo_ext
from yopo_ext.catalogue import KINDS, catalogue
from yopo_ext.cli import build_parser
from yopo_ext.training import PRESETS, Run, make_config
from yopo_ext.training.config.files import tomllib

PAGES = sorted(path for path in DOCS.glob("*.md") if not path.name.startswith("_"))
COMMANDS = [
    (path.name, line)
    for path in PAGES
    for code in blocks(path, "sh")
    for line in re.findall(r"^(.*?)(?:\s+#.*)?$", code, re.MULTILINE)
    if line
]
TOML = [(path.name, code) for path in PAGES for code in blocks(path, "toml")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_s_python_runs(page, monkeypatch, tmp_path, one_thread):
    """One block after another, with the names of those before."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec", dont_inherit=True), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_of_a_language_that_is_checked(page):
    directives = {"{toctree}", "{eval-rst}", "{include}"}
    assert languages(page) <= {"python", "sh", "text", "toml"} | directives
    if page.stem != "troubleshooting":  # whose texts test_troubleshooting.py raises
        assert "text" not in languages(page)


def options_in(script):
    """Those that a script, or a module beside it that it imports, adds to a parser."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    called = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = {
        word.value
        for call in called if getattr(call.func, "attr", None) == "add_argument"
        for word in call.args if isinstance(word, ast.Constant) and str(word.value).startswith("--")
    }  # fmt: skip
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    beside = [script.with_name(f"{name}.py") for name in imported]
    return found.union(*(options_in(path) for path in beside if path.is_file()))


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=lambda value: value[:40])
def test_commands_exist(page, line):
    # Variables that a command is given stand before it.
    program, *arguments = itertools.dropwhile(lambda word: "=" in word, shlex.split(line))
    if program == "yopo":
        preset = getattr(build_parser().parse_args(arguments), "preset", None)
        assert preset is None or preset in PRESETS
    elif program == "python":
        script = ROOT / arguments[0]
        assert script.is_file()
        words = (word for word in arguments if " " not in word)  # what is in quotes is another command's
        assert {word for word in words if word.startswith("--")} <= options_in(script)
    elif program == "pytest":
        assert (ROOT / arguments[0]).is_dir()
    elif program == "torchrun":
        if "yopo_ext" in arguments:
            build_parser().parse_args(arguments[arguments.index("yopo_ext") + 1 :])
        else:
            assert (ROOT / arguments[-1]).is_file()
    elif program.startswith(("bench/", ".ci/")):
        assert os.access(ROOT / program, os.X_OK)
    else:
        assert program in ("pip", "sphinx-build")


@pytest.mark.parametrize(("page", "code"), TOML, ids=lambda value: value[:20])
def test_toml_is_a_configuration_or_declares_entry_points(page, code, tmp_path):
    found = tomllib.loads(code)
    if "project" in found:
        groups = {f"yopo_ext.{kind}" for kind in KINDS}
        assert set(found["project"]["entry-points"]) <= groups
        assert all(catalogue(kind).group == f"yopo_ext.{kind}" for kind in KINDS)
        return
    file = tmp_path / "mine.toml"
    file.write_text(code, encoding="utf-8")
    assert make_config(file=file) != make_config()


def test_each_part_of_the_page_on_extending_is_a_file_of_another_package(tmp_path):
    """The blocks as they stand, found by the entry points as they stand, from the command line."""
    page = DOCS / "extending.md"
    (declared,) = [tomllib.loads(code) for code in blocks(page, "toml")]
    points, modules = declared["project"]["entry-points"], {}
    for value in (value for names in points.values() for value in names.values()):
        module, _, name = value.partition(":")
        (modules[module],) = [code for code in blocks(page, "python") if re.search(rf"^{name} = ", code, re.MULTILINE)]
    assert len(modules) >= 6
    write_package(tmp_path, "my-package", modules, points)
    installed = Path(yopo_ext.__file__).parents[1]
    command = "train --preset squares-yopo --optimizer rmsprop --csv-log --curve-steps 1 --eval-steps 1 --out run"
    found = subprocess.run(
        [sys.executable, "-m", "yopo_ext", *command.split()],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(installed)])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (found.returncode, found.stderr) == (0, "")
    written = json.loads((tmp_path / "run" / "config.json").read_text())
    assert [written[kind]["name"] for kind in ("method", "schedule", "optimizer")] == ["yopo", "polynomial", "rmsprop"]
    assert (written["data"]["dataset"], written["model"]["model"]) == ("squares", "two-layers")
    assert len((tmp_path / "run" / "log.csv").read_text().splitlines()) == 1


def test_the_map_of_rooms_is_the_folders():
    package = Path(yopo_ext.__file__).parent
    rooms = {path.parent.relative_to(package.parent).as_posix() + "/" for path in package.rglob("__init__.py")}
    text = (DOCS / "extending.md").read_text(encoding="utf-8")
    described = re.findall(r"^\| `(yopo_ext/[\w/]*/)` \| \S", text, re.MULTILINE)
    assert len(described) == len(set(described))
    assert set(described) == rooms - {"yopo_ext/"}


def test_python_in_sh_blocks_is_not_missed():
    """The parametrisations above are empty where a page or a fence is not found."""
    assert len(PAGES) >= 10
    assert len(COMMANDS) >= 10
    assert len(TOML) >= 2
    assert sum(len(blocks(page, "python")) for page in PAGES) >= 15


def test_the_table_of_an_epoch_s_metrics_has_what_a_run_logs(tmp_path):
    config = make_config(
        method="yopo-1-1", epochs=2, delay=1, staleness_every=1, profile=True, limit_train=32, limit_eval=8,
        curve_images=8, curve_steps=1, amp="fp16", device="cpu", ewa_decay=0.5, curve_last_weights=True,
        model="wrn-10-1", progressive_sizes=(4,), progressive_epochs=(1,),
    )  # fmt: skip
    run = Run(config, tmp_path)
    run.fit()
    logged = {name for record in run.trainer.log for name in record}
    table = (DOCS / "training.md").read_text(encoding="utf-8").split("| name | what it is |")[1].split("\n\n")[0]
    described = {
        name for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"\w+", cell)
    }
    assert described == logged | {"warning", "resumed", "diversity", "gradient_cosine", "restarted", "given_up"}
    assert "spans" in logged


def test_links_to_files_of_the_repository_lead_somewhere():
    names = r"`((?:bench|csrc|docs|examples|python_tests|yopo_ext|\.ci)/[\w./-]*[\w/])`"
    for page in PAGES:
        for name in re.findall(names, page.read_text(encoding="utf-8")):
            assert "NAME" in name or (ROOT / name).exists(), f"{page.name}: {name}"


TABLES = {
    "_roofline.md": "roofline_table.table()",
    "_gpu-speed.md": "gpu_table.speed_table()",
    "_peers.md": "peers_table.table()",
    "_gradient-step.md": "gradient_step_table.table()",
    "_gpu-counters.md": "gpu_table.counters_table()",
    "_mnist-methods.md": "methods_table.tables()",
    "_detectors.md": "detectors_table.tables()",
    "_ensembles.md": "ensembles_table.tables()",
    "_front.md": "front_table.tables()",
    "_cosines.md": "overfitting_tables.cosines()",
    "_overfitting.md": "overfitting_tables.trainings()",
    "_mnist-full-length.md": "mnist_full_length_table.table()",
    "_what-n-buys.md": "what_n_buys_table.tables()",
    "_maximum-principle.md": "principle_table.table()",
    "_cuts.md": "cuts_table.table()",
    "_deep-forms.md": "deep_table.forms()",
    "_deep-trainings.md": "deep_table.trainings()",
    "_max-mahalanobis.md": "max_mahalanobis_table.tables()",
    "_black-box.md": "black_box_table.table()",
    "_catalogue.md": "catalogue_tables.catalogue_page()",
    "_settings.md": "catalogue_tables.settings_page()",
}
README_TABLES = ("methods_table.final_text()", "gpu_table.readme_table()", "cpu_table.readme_table()")


@functools.cache
def made() -> dict[str, str]:
    """What the calls of the scripts give, in a process of their own, where no test has registered anything."""
    calls = sorted({*TABLES.values(), *README_TABLES})
    scripts = ", ".join(sorted({call.partition(".")[0] for call in calls}))
    texts = ", ".join(f"{call!r}: {call}.strip()" for call in calls)
    code = f"import sys, json; sys.path.insert(0, {str(DOCS / 'figures')!r}); import {scripts}; "
    code += f"print(json.dumps({{{texts}}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_its_script_s(name):
    assert made()[TABLES[name]] == (DOCS / name).read_text(encoding="utf-8").strip()


def test_the_page_on_budgets_tells_the_front_s_figures():
    """Every one with a decimal, but for the network's size and the rate, is in the table."""
    page = (DOCS / "budgets.md").read_text(encoding="utf-8")
    section = page[page.index("## What it got: CIFAR-10") : page.index("## What n buys")]
    told, measured = (re.findall(r"\d+\.\d", text) for text in (section, made()[TABLES["_front.md"]]))
    assert len(told) > 10
    assert set(told) - {"12.5", "0.2"} <= set(measured)


def test_the_page_s_words_on_the_maximum_principle_are_what_was_measured():
    """All residuals 0, and those of YOPO's last pass from layer 1 on."""
    measured = json.loads((ROOT / "bench" / "results" / "maximum-principle.json").read_text(encoding="utf-8"))
    passes = [epoch for method in measured["methods"].values() for epoch in method["epochs"]]
    fresh = [layer for epoch in passes for layer in epoch["found"]["layers"]]
    stale = [layer for epoch in passes if epoch["stale"] for layer in epoch["stale"]["found"]["layers"][1:]]
    assert {layer[name] for layer in fresh for name in ("state", "costate", "sgd")} == {0}
    assert {layer[name] for layer in stale for name in ("state", "costate")} == {0}


def test_the_page_s_words_on_cuts_are_what_was_measured():
    """What the first gradient repeated leaves over, and what blocks and stems buy of it, by the unit too."""
    networks = json.loads((ROOT / "bench" / "results" / "cuts.json").read_text(encoding="utf-8"))["networks"]
    left, blocks_, stems = {}, [], {}
    for name, report in ((name, report) for name, network in networks.items() for report in network["reports"]):
        fresh, repeated = sum(report["fresh_gain"]), sum(report["cuts"][0]["repeated_gain"])
        left.setdefault(report["eps"], []).append(round(100 * repeated / fresh))
        for cut in (cut for cut in report["cuts"] if not cut["linear"]):
            ratio = cut["bought_per_unit"] / ((fresh - repeated) / (2 * (report["n"] - 1)))
            if "layer" in cut["name"]:
                blocks_.append((cut["bought"] / (fresh - repeated), ratio))
            else:
                stems.setdefault(name, []).append((cut["bought"] / (fresh - repeated), round(ratio)))
    assert [(min(values), max(values)) for _, values in sorted(left.items())] == [(95, 97), (87, 92), (73, 73)]
    assert all(0.33 < share < 0.44 and 0.74 < ratio < 0.96 for share, ratio in blocks_)
    assert all(0.18 < share < 0.22 for values in stems.values() for share, _ in values)
    assert {name: {ratio for _, ratio in values} for name, values in stems.items()} == {"resnet8": {5}, "smallcnn": {9}}
    chosen = {name: network["tuning"]["chosen"] for name, network in networks.items()}
    assert [(one["m"], one["n"], one["cut"]) for one in chosen.values()] == [
        (1, 2, "conv1"), (1, 2, "conv1"), (3, 5, "feature_extractor.relu1")
    ]  # fmt: skip


@pytest.mark.parametrize("call", README_TABLES)
def test_the_readme_s_tables_are_the_scripts(call):
    assert made()[call] in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_picture_is_drawn_by_the_script_and_shown():
    source = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "figures").glob("draw*.py"))
    shown = {name for page in PAGES for name in re.findall(r"\(figures/(\w+)\.svg\)", page.read_text(encoding="utf-8"))}
    assert shown == {path.stem for path in (DOCS / "figures").glob("*.svg")}
    assert all(f'"{name}": draw_{name}' in source for name in shown)


def test_the_counts_of_the_machine_code_are_those_that_were_written_down():
    for made, page, command in (
        (document.section(), "cuda-kernels.md", "python bench/machine_code/count.py --all --write"),
        (triton_document.section(), "triton-kernels.md", "python bench/machine_code/triton_count.py --write"),
    ):
        assert made in (DOCS / page).read_text(encoding="utf-8"), f"run: {command}"
