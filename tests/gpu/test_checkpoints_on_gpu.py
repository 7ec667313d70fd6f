"""Checkpoints of a training on a CUDA GPU: what is saved is the moment's, and it is saved beside the training.

Run with: python -m pytest -m gpu -s tests/gpu/test_checkpoints_on_gpu.py
"""

import time

import pytest
import torch
from needed import needs
from small_checkpoints import Training, same, tiny, write_toy_config

from dnalm.training.engine.state import State, config_writer, load_weights, restore_rng, rng_state
from dnalm.training.runtime.checkpoints import Checkpoints

pytestmark = [pytest.mark.gpu, needs("a CUDA GPU")]


def on_cpu(value):
    """The same, with every tensor fetched to the CPU at once."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return {key: on_cpu(item) for key, item in value.items()}
    return [on_cpu(item) for item in value] if isinstance(value, list) else value


def test_a_state_on_the_gpu_comes_back_to_the_last_bit(tmp_path):
    training = Training(tiny().cuda()).steps(5)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state := training.state(), config_writer(training.model))
        expected = on_cpu(state.weights), on_cpu(state.optimizer), state.rng
    draws = torch.rand(9, device="cuda"), torch.rand(9)
    training.steps(3)
    loaded = Checkpoints(tmp_path).load()
    assert same(loaded.weights, expected[0]) and same(loaded.optimizer, expected[1]) and same(loaded.rng, expected[2])
    other = Training(tiny(seed=2).cuda()).steps(1).restore(loaded)
    assert same(on_cpu(other.state().weights), expected[0]) and same(on_cpu(other.state().optimizer), expected[1])
    assert all(torch.equal(*pair) for pair in zip(draws, (torch.rand(9, device="cuda"), torch.rand(9)), strict=True))


def test_steps_queued_right_after_a_save_do_not_reach_it(tmp_path):
    weights = {f"w{i}": torch.full((1 << 24,), float(i), device="cuda") for i in range(8)}
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):  # the second time the host's memory is there already
            checkpoints.save(State(step, 1.0, weights, {}, {}, [rng_state()], {}), write_toy_config)
            for weight in weights.values():
                weight.add_(100)
    for step in (1, 2):
        found = load(tmp_path / f"checkpoint-{step}")
        assert all((found[f"w{i}"] == i + 100 * (step - 1)).all() for i in range(8))


def load(path):
    from safetensors.torch import load_file

    return load_file(path / "model.safetensors")


def test_dropout_in_a_captured_graph_repeats_after_a_restore():
    ones, stream = torch.ones(1000, device="cuda"), torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.nn.functional.dropout(ones)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        drawn = torch.nn.functional.dropout(ones)

    def replay():
        graph.replay()
        return drawn.clone()

    replay()
    state = rng_state()
    first = [replay() for _ in range(3)]
    restore_rng(state)
    again = [replay() for _ in range(3)]
    assert all(map(torch.equal, first, again)) and not torch.equal(first[0], first[1])


def test_saving_a_model_of_grovers_size_hardly_holds_up_training(tmp_path):
    """87 M parameters and their moments, 1 GB: what the caller waits, once the host's memory has been reserved."""
    sizes = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.for_model("bert", vocab_size=609, **sizes)
    training = Training(AutoModelForSequenceClassification.from_config(config).cuda()).steps(1)
    waits = []
    with Checkpoints(tmp_path) as checkpoints:
        for step in range(3):
            torch.cuda.synchronize()
            started = time.perf_counter()
            checkpoints.save(training.state(step), config_writer(training.model))
            waits.append(time.perf_counter() - started)
            checkpoints.wait()
            print(f"save returned after {waits[-1]:.3f} s, was on disk after {time.perf_counter() - started:.3f} s")
        load_weights(training.model, checkpoints.load().weights)
    assert min(waits[1:]) < 0.5
