# SPDX-License-Identifier: MIT
"""The kernels' sources as cubins, compiled once for everything that looks at machine code. Needs nvcc, but no GPU."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"


def sources() -> list[Path]:
    """The sources that define kernels."""
    return sorted(path for path in (CSRC / "cuda").glob("*.cu") if path.name != "device.cu")


def base_name(kernel: str) -> str:
    """The name without its namespace and arguments: "resident_kernel"."""
    found = re.match(r"_ZN4yopo4cuda(\d+)", kernel)
    if found is None:
        raise ValueError(f"kernel: got {kernel}, expected a name in yopo::cuda")
    return kernel[found.end() : found.end() + int(found[1])]


def sources_naming(kernel: str) -> Iterator[Path]:
    """The sources in which the kernel's own name stands."""
    word = re.compile(rf"\b{base_name(kernel)}\b")
    return (source for source in sources() if word.search(source.read_text()))


def find_tool(name: str) -> str | None:
    """A program of the CUDA toolkit: from PATH, beside nvcc, or as the triton wheel carries it."""
    if (found := shutil.which(name)) is not None:
        return found
    folders = []
    if (nvcc := shutil.which("nvcc")) is not None:
        folders.append(Path(nvcc).resolve().parent)
    if (triton := find_spec("triton")) is not None and triton.origin is not None:
        folders.append(Path(triton.origin).parent / "backends/nvidia/bin")
    return next((str(folder / name) for folder in folders if (folder / name).exists()), None)


@cache
def nvcc_version() -> str:
    """As in "13.0.88"."""
    said = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    return said.split("V")[-1].split()[0]


@cache
def _folder() -> Path:
    """For cubins of these sources by this nvcc: YOPO_TEST_BUILD, or a folder for temporary files."""
    digest = hashlib.sha256(nvcc_version().encode())
    for pattern in ("cuda/*.cu", "cuda/*.cuh", "cuda/*.h", "math/*.h", "include/yopo/*.h"):
        for path in sorted(CSRC.glob(pattern)):
            digest.update(str(path.relative_to(CSRC)).encode() + path.read_bytes())
    folder = Path(os.environ.get("YOPO_TEST_BUILD", tempfile.gettempdir())) / f"yopo-cubins-{os.getuid()}"
    folder = folder / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def compile_cubin(source: Path, architecture: int) -> tuple[Path, str]:
    """(the cubin, with source lines; what ptxas says of its kernels), built anew only when a source has changed."""
    cubin = _folder() / f"{source.stem}.sm_{architecture}.cubin"
    report = cubin.with_suffix(".ptxas")
    if not cubin.exists():
        partial = cubin.with_suffix(f".{os.getpid()}.cubin")
        done = subprocess.run(
            ["nvcc", "-std=c++20", "-O3", f"-arch=sm_{architecture}", f"-I{CSRC}", f"-I{CSRC / 'include'}",
             "-lineinfo", "-Xptxas", "-v", "-cubin", str(source), "-o", str(partial)],
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{source.name} for sm_{architecture}: {done.stderr}")
        report.write_text(done.stderr)
        partial.rename(cubin)
    return cubin, report.read_text()


def listing_of(cubin: Path) -> Path:
    """The cubin's machine code as nvdisasm prints it, with source lines."""
    listing = cubin.with_suffix(".sass")
    if not listing.exists():
        tool = find_tool("nvdisasm")
        if tool is None:
            raise RuntimeError("nvdisasm not found: pip install triton, which carries it")
        partial = cubin.with_suffix(f".{os.getpid()}.sass")
        with open(partial, "w") as out:
            subprocess.run([tool, "-gi", "-c", str(cubin)], stdout=out, check=True)
        partial.rename(listing)
    return listing
