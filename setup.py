"""Builds the C++ libraries with CMake and ninja; everything else about the package is in pyproject.toml."""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
SOURCES = runpy.run_path(str(ROOT / "ssamba_ops" / "sources.py"))["sources"](ROOT)


def with_cuda(torch_is_for_cuda: bool) -> bool:
    """SSAMBA_CUDA decides; without it, whether there is an nvcc and the torch at hand is a CUDA build."""
    asked = os.environ.get("SSAMBA_CUDA", "")
    nvcc = os.environ.get("CUDACXX") or shutil.which("nvcc")
    if asked not in ("", "0") and nvcc is None:
        raise SystemExit("SSAMBA_CUDA=1 asks for CUDA kernels, but there is no nvcc on PATH nor in CUDACXX.")
    return asked != "0" and nvcc is not None and (asked != "" or torch_is_for_cuda)


class CMakeBuild(build_ext):
    def build_extension(self, ext: Extension) -> None:
        import pybind11
        import torch

        destination = Path(self.get_ext_fullpath(ext.name)).parent.resolve()
        sanitize = os.environ.get("SSAMBA_SANITIZE", "0") not in ("", "0")
        cuda = with_cuda(torch.version.cuda is not None)
        kind = ("-cuda" if cuda else "") + ("-sanitize" if sanitize else "")
        build = ROOT / "build" / f"{sys.implementation.cache_tag}{kind}"
        build.mkdir(parents=True, exist_ok=True)
        configure = [
            "cmake",
            f"-S{ROOT}",
            f"-B{build}",
            "-GNinja",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DSSAMBA_TORCH_DIR={Path(torch.__file__).parent}",
            f"-DSSAMBA_SANITIZE={'ON' if sanitize else 'OFF'}",
            f"-DSSAMBA_CUDA={'ON' if cuda else 'OFF'}",
            f"-DSSAMBA_SOURCES={SOURCES}",
        ]
        if archs := os.environ.get("SSAMBA_CUDA_ARCHS"):  # such as "90" or "80;90"
            configure.append(f"-DSSAMBA_CUDA_ARCHS={archs.replace(',', ';')}")
        subprocess.run(configure, check=True)
        subprocess.run(["cmake", "--build", build], check=True)
        subprocess.run(["cmake", "--install", build, "--prefix", destination], check=True)

    def copy_extensions_to_source(self) -> None:
        """For an editable install: setuptools copies the module, and the op libraries belong beside it."""
        super().copy_extensions_to_source()
        package = Path(self.get_ext_fullpath("ssamba_ops._C")).parent
        for stale in package.glob("libssamba_*.so"):
            stale.unlink()
        for library in (Path(self.build_lib) / "ssamba_ops").glob("libssamba_*"):
            shutil.copy2(library, package)


setup(
    packages=["ssamba_ops", *find_packages("python")],
    package_dir={"ssamba": "python/ssamba", "ssamba_ops": "ssamba_ops"},
    package_data={
        "ssamba_ops": ["py.typed"],
        "ssamba": ["py.typed", "bench/floor.cpp", "demo/*.css", "recipes/*.yaml"],
    },
    ext_modules=[Extension("ssamba_ops._C", sources=[])],
    cmdclass={"build_ext": CMakeBuild},
)
