"""Builds the C++ libraries with CMake and ninja; everything else about the package is in pyproject.toml."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()


class CMakeBuild(build_ext):
    def build_extension(self, ext: Extension) -> None:
        import pybind11
        import torch

        destination = Path(self.get_ext_fullpath(ext.name)).parent.resolve()
        sanitize = os.environ.get("SSAMBA_SANITIZE", "0") not in ("", "0")
        build = ROOT / "build" / f"{sys.implementation.cache_tag}{'-sanitize' if sanitize else ''}"
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
        ]
        subprocess.run(configure, check=True)
        subprocess.run(["cmake", "--build", build], check=True)
        subprocess.run(["cmake", "--install", build, "--prefix", destination], check=True)

    def copy_extensions_to_source(self) -> None:
        """For an editable install: setuptools copies the module, and the op library belongs beside it."""
        super().copy_extensions_to_source()
        package = Path(self.get_ext_fullpath("ssamba_ops._C")).parent
        for library in (Path(self.build_lib) / "ssamba_ops").glob("libssamba_*"):
            shutil.copy2(library, package)


setup(
    packages=[
        "ssamba_ops",
        "ssamba",
        "ssamba.bench",
        "ssamba.cli",
        "ssamba.data",
        "ssamba.data.preparers",
        "ssamba.demo",
        "ssamba.training",
    ],
    package_dir={"ssamba": "python/ssamba", "ssamba_ops": "ssamba_ops"},
    package_data={
        "ssamba_ops": ["py.typed"],
        "ssamba": ["py.typed", "bench/floor.cpp", "demo/*.css", "recipes/*.yaml"],
    },
    ext_modules=[Extension("ssamba_ops._C", sources=[])],
    cmdclass={"build_ext": CMakeBuild},
)
