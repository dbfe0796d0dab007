# SPDX-License-Identifier: MIT
"""The pages' Python runs, their commands exist, and their tables and pictures are those that the scripts make."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import document
import pytest
import torch
import triton_document
from code_blocks import DOCS, ROOT, blocks, languages

from yopo_ext.cli import build_parser
from yopo_ext.training import PRESETS

PAGES = sorted(path for path in DOCS.glob("*.md") if not path.name.startswith("_"))
COMMANDS = [
    (path.name, line)
    for path in PAGES
    for code in blocks(path, "sh")
    for line in re.findall(r"^(.*?)(?:\s+#.*)?$", code, re.MULTILINE)
    if line
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_s_python_runs(page, monkeypatch, tmp_path):
    """One block after another, with the names of those before."""
    monkeypatch.chdir(tmp_path)
    before, names = torch.get_num_threads(), {"__name__": "page"}
    torch.set_num_threads(1)
    try:
        for code in blocks(page, "python"):
            exec(compile(code, str(page), "exec"), names)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_of_a_language_that_is_checked(page):
    directives = {"{toctree}", "{eval-rst}", "{include}"}
    assert languages(page) <= {"python", "sh", "text"} | directives
    if page.stem != "troubleshooting":  # whose texts test_troubleshooting.py raises
        assert "text" not in languages(page)


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=lambda value: value[:40])
def test_commands_exist(page, line):
    program, *arguments = line.split()
    if program == "yopo":
        preset = getattr(build_parser().parse_args(arguments), "preset", None)
        assert preset is None or preset in PRESETS
    elif program == "python":
        assert (ROOT / arguments[0]).is_file()
    elif program == "pytest":
        assert (ROOT / arguments[0]).is_dir()
    elif program == "torchrun":
        build_parser().parse_args(arguments[arguments.index("yopo_ext") + 1 :])
    elif program.startswith("bench/"):
        assert os.access(ROOT / program, os.X_OK)
    else:
        assert program in ("pip", "sphinx-build")


def test_python_in_sh_blocks_is_not_missed():
    """The parametrisations above are empty where a page or a fence is not found."""
    assert len(PAGES) >= 10
    assert len(COMMANDS) >= 10
    assert sum(len(blocks(page, "python")) for page in PAGES) >= 15


def test_links_to_files_of_the_repository_lead_somewhere():
    names = r"`((?:bench|csrc|docs|python_tests|yopo_ext|\.ci)/[\w./-]*[\w/])`"
    for page in PAGES:
        for name in re.findall(names, page.read_text(encoding="utf-8")):
            assert "NAME" in name or (ROOT / name).exists(), f"{page.name}: {name}"


def made_by(script: str, call: str) -> str:
    code = f"import sys; sys.path.insert(0, {str(DOCS / 'figures')!r}); import {script} as script; print(script.{call})"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    ("name", "script", "call"),
    [("_roofline.md", "roofline_table", "table()"), ("_mnist-methods.md", "methods_table", "tables()")],
)
def test_a_table_is_its_script_s(name, script, call):
    assert made_by(script, call) == (DOCS / name).read_text(encoding="utf-8").strip()


def test_the_readme_s_table_of_trainings_is_the_script_s():
    table = made_by("methods_table", "final_text()")
    assert table in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_picture_is_drawn_by_the_script_and_shown():
    source = (DOCS / "figures" / "draw.py").read_text(encoding="utf-8")
    shown = {name for page in PAGES for name in re.findall(r"\(figures/(\w+)\.svg\)", page.read_text(encoding="utf-8"))}
    assert shown == {path.stem for path in (DOCS / "figures").glob("*.svg")}
    assert all(f'"{name}": draw_{name}' in source for name in shown)


def test_the_counts_of_the_machine_code_are_those_that_were_written_down():
    for made, page, command in (
        (document.section(), "cuda-kernels.md", "python bench/machine_code/count.py --all --write"),
        (triton_document.section(), "triton-kernels.md", "python bench/machine_code/triton_count.py --write"),
    ):
        assert made in (DOCS / page).read_text(encoding="utf-8"), f"run: {command}"
