"""What a processor has instructions for, and what is said where it has none."""

from __future__ import annotations

import re

import pytest
import torch

from ssamba.inference.instructions import KINDS, instructions, without_instructions

ZEN3 = {"avx512_bf16": False, "amx_bf16": False, "avx512_fp16": False, "avx512_vnni": False, "avx_vnni": False}
ZEN4 = {**ZEN3, "avx512_bf16": True, "avx512_vnni": True}
ARM = {"bf16": False, "fp16_arith": True, "dot": True, "i8mm": False}


@pytest.fixture
def processor(monkeypatch):
    def pretend(capabilities):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)

    return pretend


@pytest.mark.parametrize(
    ("capabilities", "found"),
    [
        (ZEN3, [[], [], []]),
        (ZEN4, [["avx512_bf16"], [], ["avx512_vnni"]]),
        (ARM, [[], ["fp16_arith"], ["dot"]]),
        ({}, [[], [], []]),
    ],
)
def test_instructions(processor, capabilities, found):
    processor(capabilities)
    assert [instructions(kind) for kind in KINDS] == found


@pytest.mark.parametrize("kind", KINDS)
def test_none_of_them_is_said_with_what_a_product_took(processor, kind):
    processor(ZEN3)
    text = without_instructions(kind, width=16)
    names = {"bfloat16": "AVX512_BF16, AMX_BF16", "float16": "AVX512_FP16", "int8": "AVX512_VNNI, AVX_VNNI"}[kind]
    assert text.startswith(f"this processor has no instructions for products in {kind} ({names}): ")
    times = float(re.search(r"took (\S+) times as long as in float32", text).group(1))
    assert times > 0
    assert text.endswith("float32 is faster here") == (times > 1) or f"{times:.2g}" == "1"


def test_only_those_of_the_own_architecture_are_named(processor):
    processor(ARM)
    assert "(BF16)" in without_instructions("bfloat16", width=16)


@pytest.mark.parametrize(
    ("capabilities", "kind"),
    [(ZEN4, "bfloat16"), (ARM, "int8"), (ZEN3, "float32"), (ZEN3, "int8_weight_only"), ({}, "bfloat16")],
)
def test_nothing_to_say(processor, capabilities, kind):
    """Where there are instructions, where none are needed, and where torch does not know."""
    processor(capabilities)
    assert without_instructions(kind, width=16) is None
