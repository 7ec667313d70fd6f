"""Processes that train together: two of them, over gloo."""

import pytest
import torch
from closeness import close
from processes import together

from dnalm.errors import UserError
from dnalm.training.engine.team import flat_gradients
from dnalm.training.runtime.team import join_team


def test_what_passes_between_two_processes(tmp_path):
    found = together(
        tmp_path,
        """
x = torch.tensor([1.0, 10.0]) * (team.rank + 1)
same = team.sum_(x) is x
team.barrier()
give([team.main, team.world, str(team.device), same, x.tolist(), team.agree(False, team.rank == 1, team.rank == 0),
      team.broadcast({"rank": team.rank}), [part.tolist() for part in team.gather(np.arange(team.rank + 1))]])
""",
    )
    for rank, (main, world, device, same, total, flags, told, parts) in enumerate(found):
        assert (main, world, device, same) == (rank == 0, 2, "cpu", True)
        assert total == [3.0, 30.0]
        assert flags == [False, True, True]
        assert told == {"rank": 0}
        assert parts == [[0], [0, 1]]


def test_one_process_exchanges_with_itself(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    team = join_team("cpu")
    x = torch.ones(2)
    assert (team.rank, team.world, team.main, team.device.type) == (0, 1, True, "cpu")
    assert team.sum_(x) is x and x.tolist() == [1, 1]
    assert team.agree(True, False) == [True, False]
    assert team.broadcast("a") == "a"
    assert team.gather(3) == [3]
    team.barrier()
    team.leave()
    assert not torch.distributed.is_initialized()


def test_a_process_without_a_gpu_of_its_own_is_refused(monkeypatch):
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "3"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(UserError, match=r"recipe\.processes: 4 or more on a machine with 2 visible GPUs"):
        join_team("cuda")


def test_flat_gradients_are_those_of_a_plain_backward_pass():
    def model():
        torch.manual_seed(0)
        return torch.nn.ModuleDict(
            {"used": torch.nn.Linear(3, 5), "low": torch.nn.Linear(5, 2).bfloat16(), "unused": torch.nn.Linear(2, 2)}
        )

    def loss(model, x):
        return model["low"](model["used"](x).bfloat16()).float().square().sum()

    plain, flat = model(), model()
    flat["used"].weight.data = flat["used"].weight.data.t().contiguous().t()  # strides are no obstacle
    buffers = flat_gradients(flat.parameters())
    places = [parameter.grad.data_ptr() for parameter in flat.parameters()]
    assert {buffer.dtype for buffer in buffers} == {torch.float32, torch.bfloat16}
    for _ in range(2):
        plain.zero_grad()
        for buffer in buffers:
            buffer.zero_()
        for seed in (1, 2):  # two micro-batches
            x = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
            loss(plain, x).backward()
            loss(flat, x).backward()
        assert [parameter.grad.data_ptr() for parameter in flat.parameters()] == places
        for one, other in zip(plain.parameters(), flat.parameters(), strict=True):
            expected = torch.zeros_like(one) if one.grad is None else one.grad
            assert torch.equal(other.grad, expected)
        used = torch.cat([p.grad.flatten().float() for p in plain.parameters() if p.grad is not None])
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(b.float()) for b in buffers]))
        assert close(norm, torch.linalg.vector_norm(used))


def test_a_frozen_parameter_gets_no_gradient():
    model = torch.nn.Linear(3, 4)
    model.bias.requires_grad_(False)
    (buffer,) = flat_gradients(model.parameters())
    assert model.bias.grad is None
    assert model.weight.grad.untyped_storage().data_ptr() == buffer.untyped_storage().data_ptr()


def test_two_processes_with_uneven_shares_train_as_one(tmp_path):
    program = """
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
buffers = flat_gradients(model.parameters())
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
random = torch.Generator().manual_seed(1)
for size in (7, 5, 1):
    x, y = torch.randn(size, 4, generator=random), torch.randint(2, (size,), generator=random)
    mine = slice(0, size) if team.world == 1 else slice(0, size - 1) if team.main else slice(size - 1, size)
    losses = torch.nn.functional.cross_entropy(model(x[mine]), y[mine], reduction="none")
    (losses / size).sum().backward()
    for buffer in buffers:
        team.sum_(buffer)
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
give([parameter.tolist() for parameter in model.parameters()])
"""
    first, second = together(tmp_path, program)
    (alone,) = together(tmp_path, program, world=1)
    assert first == second
    for one, other in zip(first, alone, strict=True):
        assert close(one, other)
