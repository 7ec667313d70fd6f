"""The operator of packed attention; its programs are tested in `interpreted_kernels`."""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from needed import require
from torch._subclasses import FakeTensorMode

from dnalm.training.engine import kernels


def test_programs():
    require("triton")
    require("no CUDA GPU")  # on a GPU, tests/gpu runs the programs compiled
    tests = ROOT / "tests/helpers/interpreted_kernels.py"
    # Triton asks once, when it is loaded, whether to interpret, and other tests have loaded it
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", tests]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_a_cpu_has_none():
    assert not kernels.available(torch.device("cpu"), torch.bfloat16, 64)


@pytest.mark.parametrize(
    ("capability", "dtype", "size", "triton", "expected"),
    [
        ((9, 0), torch.bfloat16, 64, True, True),
        ((8, 0), torch.float32, 128, True, True),
        ((7, 5), torch.float16, 64, True, False),
        ((9, 0), torch.float64, 64, True, False),
        ((9, 0), torch.bfloat16, 80, True, False),
        ((9, 0), torch.bfloat16, 64, False, False),
    ],
)
def test_which_gpu_has_it(monkeypatch, capability, dtype, size, triton, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if triton else None)
    assert kernels.available(torch.device("cuda", 0), dtype, size) is expected


def test_shapes_are_known_without_running():
    with FakeTensorMode():
        query, key = torch.empty(70, 4, 32, requires_grad=True), torch.empty(70, 2, 32, requires_grad=True)
        out = kernels.packed_attention(query, key, key, torch.empty(5, dtype=torch.int32), dropout=0.1)
        grads = torch.autograd.grad(out.sum(), (query, key))
    assert (out.shape, out.dtype) == (query.shape, query.dtype)
    assert [grad.shape for grad in grads] == [query.shape, key.shape]


@pytest.mark.parametrize(
    ("key_heads", "dropout", "message"), [(3, 0.0, "3 key heads do not divide 4 heads"), (2, 1.0, "dropout must be")]
)
def test_wrong_arguments(key_heads, dropout, message):
    query, key = torch.zeros(4, 4, 16), torch.zeros(4, key_heads, 16)
    with pytest.raises(ValueError, match=message):
        kernels.packed_attention(query, key, key, torch.tensor([0, 4], dtype=torch.int32), dropout=dropout)
