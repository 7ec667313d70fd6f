"""The energy that a GPU's driver counts.

Run with: python -m pytest -m gpu tests/gpu/test_energy.py
"""

import pytest
import torch
from needed import needs

from dnalm.training.runtime.energy import joules

pytestmark = [pytest.mark.gpu, needs("a CUDA GPU")]


def test_work_takes_energy():
    device = torch.device("cuda", 0)
    before = joules(device)
    assert before is not None
    matrix = torch.randn(8192, 8192, device=device)
    for _ in range(100):
        matrix = (matrix @ matrix).clamp(-1, 1)
    torch.cuda.synchronize()
    assert joules(device) - before > 10  # 100 products take seconds at hundreds of watts
