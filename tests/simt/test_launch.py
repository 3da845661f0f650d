"""What the runtime and torch are asked for when a kernel is launched for a GPU, watched without one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import emulator

if emulator.LIBRARY is None:
    pytest.skip("needs the emulated GPU: make simt", allow_module_level=True)

BUILD = Path(emulator.LIBRARY).parent
BEFORE = ["device 3", "stream of device 3", "is device 3 right?"]
LAUNCH = "launch grid (5, 65535, 2) block (32, 4, 1) shared {} stream 0x1003 on device 3"
FEW, MANY = 48 << 10, (48 << 10) + 1  # bytes of shared memory that a kernel has without asking, and one more
NO_STREAM = "ssamba: torch does not tell its current CUDA stream; expected a CUDA build of torch 2.11 or newer"
NOT_STARTED = "ssamba: ssamba::some_kernel(int) did not start: "


def asked(case: str) -> list[str]:
    # Not under the address sanitizer, which is in this process: this program is not built for it.
    program = [BUILD / "launch_check", case, BUILD / "libtorch_cuda.so"]
    return subprocess.run(program, capture_output=True, text=True, check=True, env={}).stdout.splitlines()


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("launch", [*BEFORE, LAUNCH.format(FEW)]),
        ("much memory", [*BEFORE, f"grant {MANY} bytes", LAUNCH.format(MANY)]),
        ("multiprocessors", [*BEFORE, "103 multiprocessors", LAUNCH.format(FEW)]),
    ],
)
def test_a_launch(case, expected):
    """On the tensor's device and torch's stream there, with the memory that it needs; then the device is given back."""
    assert asked(case) == [*expected, "device 0"]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("refused memory", [*BEFORE, f"grant {MANY} bytes", "device 0", NOT_STARTED + "invalid configuration"]),
        ("refused launch", [*BEFORE, LAUNCH.format(FEW), "device 0", NOT_STARTED + "invalid configuration"]),
        (
            "nameless kernel",
            [*BEFORE, LAUNCH.format(FEW), "device 0", "ssamba: a kernel did not start: invalid configuration"],
        ),
        (
            "no image",
            [
                *BEFORE,
                LAUNCH.format(FEW),
                "device 0",
                NOT_STARTED + "no kernel image. The kernels were built for other GPUs; `ssamba doctor` says which. "
                "Rebuild with SSAMBA_CUDA_ARCHS.",
            ],
        ),
        ("wrong device", [*BEFORE, "device 0", "kernels are wrong here"]),
        ("no torch for GPUs", ["device 3", "device 0", NO_STREAM]),
        ("torch fails", ["device 3", "stream of device 3", "device 0", NO_STREAM]),
    ],
)
def test_what_goes_wrong_is_said_and_the_device_given_back(case, expected):
    assert asked(case) == expected
