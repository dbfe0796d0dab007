# SPDX-License-Identifier: MIT
"""Builds the native module with CMake and ninja; everything else is in pyproject.toml.

Environment:
    YOPO_EXT_NATIVE=auto|on|off   auto: pure Python where the platform or a C++ compiler is missing; on: fail there
    YOPO_EXT_CUDA=auto|on|off     auto: CUDA kernels wherever nvcc is found; on: fail without it
    YOPO_EXT_CUDA_ARCHS=80;90     the architectures to compile for; native: the GPUs here, without PTX for older ones
"""

import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
PLATFORMS = {("Linux", "x86_64"), ("Linux", "aarch64")}


def say(text: str) -> None:
    """pip shows it with -v, and where the build fails."""
    print(f"yopo_ext: {text}", file=sys.stderr, flush=True)


def choice(name: str) -> str:
    value = os.environ.get(name, "auto")
    if value not in ("auto", "on", "off"):
        raise SystemExit(f"{name} must be auto, on or off, not {value!r}")
    return value


def why_not_native() -> str | None:
    """The reason why the native module cannot be built here, or None."""
    here = platform.system(), platform.machine()
    if here not in PLATFORMS:
        return f"no native kernels for {here[0]} on {here[1]}"
    if not (os.environ.get("CXX") or any(map(shutil.which, ("c++", "g++", "clang++")))):
        return "no C++ compiler found (set CXX or install g++)"
    return None


def extensions() -> list[Extension]:
    native = choice("YOPO_EXT_NATIVE")
    choice("YOPO_EXT_CUDA")
    reason = "YOPO_EXT_NATIVE=off" if native == "off" else why_not_native()
    if reason is None:
        return [Extension("yopo_ext._native", sources=[])]
    if native == "on":
        raise SystemExit(f"YOPO_EXT_NATIVE=on, but {reason}")
    say(f"installing in pure Python, without native kernels: {reason}")
    return []


def executable(name: str) -> str:
    """The tool from the build environment's own package, else from PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} not found: pip install {name}")
    return found


class CMakeBuild(build_ext):
    def build_extension(self, ext: Extension) -> None:
        import pybind11

        target = Path(self.get_ext_fullpath(ext.name)).resolve().parent
        build = Path(self.build_temp).resolve() / "native"
        build.mkdir(parents=True, exist_ok=True)
        configure = [
            executable("cmake"), "-S", str(ROOT), "-B", str(build), "-G", "Ninja",
            f"-DCMAKE_MAKE_PROGRAM={executable('ninja')}",
            f"-DCMAKE_BUILD_TYPE={os.environ.get('CMAKE_BUILD_TYPE', 'Release')}",
            f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={target}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DYOPO_EXT_CUDA={choice('YOPO_EXT_CUDA')}",
        ]  # fmt: skip
        if archs := os.environ.get("YOPO_EXT_CUDA_ARCHS"):
            configure.append(f"-DYOPO_EXT_CUDA_ARCHS={archs}")
        begin = time.monotonic()
        subprocess.run(configure, check=True)
        say("compiling the native module: about half a minute, with CUDA kernels three to four minutes on two cores")
        subprocess.run(
            [executable("cmake"), "--build", str(build), "--target", "_native"],
            check=True, env={"NINJA_STATUS": "[%f/%t files, %e s] ", **os.environ},
        )  # fmt: skip
        say(f"the native module was built in {time.monotonic() - begin:.0f} s")


setup(ext_modules=extensions(), cmdclass={"build_ext": CMakeBuild})
