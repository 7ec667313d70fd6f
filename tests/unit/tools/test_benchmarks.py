import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from small_models import TINY

from dnalm.errors import UserError
from dnalm.machine import gpus, machine
from dnalm.provenance import versions
from dnalm.training.benchmarks import trainers
from dnalm.training.benchmarks.measurements import (
    LAUNCH_GAP,
    SPECIALS,
    SUITES,
    VOCABULARY,
    WINDOWS,
    Arm,
    Suite,
    Work,
    busy_seconds,
    idleness,
    judged,
    kernel_seconds,
    measure,
    mfu,
    ratios,
    synthesise,
)
from dnalm.training.benchmarks.trainers import ArmRun, run_arm
from dnalm.training.runtime.team import join_team

ALONE = join_team("cpu")
SMALL = Suite(TINY | {"max_position_embeddings": 512}, "cpu", ())


def result(trainer, batch, rate, processes=1, **more):
    return {"trainer": trainer, "batch": batch, "processes": processes, "sequences_per_second": rate} | more


def test_machine_and_versions():
    found = machine()
    assert found["cores"] >= 1 and found["memory_gib"] > 0 and found["processor"]
    assert {"python", "torch", "transformers", "numpy"} <= set(versions())


def test_gpus_are_those_of_nvidia_smi(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H100'\necho 'NVIDIA H200'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert gpus() == ["NVIDIA H100", "NVIDIA H200"]
    program.write_text("#!/bin/sh\necho 'no driver' ; exit 9\n")
    assert gpus() == []
    monkeypatch.setenv("PATH", "")
    assert gpus() == []


def test_synthetic_lengths_are_lognormal_and_the_same_each_time(tmp_path):
    tokens, labels = synthesise(tmp_path / "a", 20_000, seed=1)
    again, _ = synthesise(tmp_path / "b", 20_000, seed=1)
    other, _ = synthesise(tmp_path / "c", 20_000, seed=2)
    assert isinstance(tokens.ids, np.memmap)
    assert np.array_equal(tokens.ids, again.ids) and not np.array_equal(tokens.lengths, other.lengths)
    assert np.median(tokens.lengths) == pytest.approx(24, abs=1)
    assert np.log(tokens.lengths).std() == pytest.approx(0.78, abs=0.03)
    assert tokens.lengths.min() == 6 and tokens.lengths.max() == 510
    assert tokens.ids.min() >= 5 and tokens.ids.max() < VOCABULARY
    assert set(labels) == {0, 1} and len(labels) == len(tokens) == 20_000


@pytest.mark.parametrize(
    ("intervals", "gap", "expected"),
    [
        ([], 0, 0),
        ([(0, 1)], 0, 1),
        ([(3, 4), (0, 1)], 0, 2),
        ([(0, 10), (2, 3), (9, 12)], 0, 12),  # one within another, one beyond
        ([(0, 1), (1.5, 2)], 0.5, 2),
        ([(0, 1), (1.6, 2)], 0.5, 1.4),
    ],
)
def test_busy_seconds(intervals, gap, expected):
    starts, ends = np.array(intervals, dtype=float).reshape(-1, 2).T
    assert busy_seconds(starts, ends, gap) == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), min_size=1))
def test_busy_seconds_count_each_covered_second_once(spans):
    starts, lengths = np.array(spans, dtype=float).T
    covered = {t for start, length in spans for t in range(start, start + length)}
    assert busy_seconds(starts, starts + lengths) == pytest.approx(len(covered))
    assert busy_seconds(starts, starts + lengths, 100) == pytest.approx(max(covered) + 1 - min(covered))


def test_kernel_seconds_leave_out_what_is_no_kernel(tmp_path):
    events = [
        {"cat": "kernel", "ts": 1000.0, "dur": 10.0},
        {"cat": "gpu_memset", "ts": 1012.0, "dur": 8.0},  # 2 us later
        {"cat": "kernel", "ts": 1120.0, "dur": 30.0},  # 100 us later
        {"cat": "gpu_memcpy", "ts": 1020.0, "dur": 100.0},
        {"cat": "cuda_runtime", "ts": 0.0, "dur": 5000.0},
        {"name": "process_name"},
    ]
    trace = tmp_path / "trace.json"
    trace.write_text(json.dumps({"traceEvents": events}))
    assert kernel_seconds(trace) == (pytest.approx(50e-6), pytest.approx(48e-6))
    assert 2e-6 < LAUNCH_GAP < 100e-6


def test_measured_rates_hold_neither_warm_up_nor_what_every_training_costs():
    """2 s of compiling at first, 0.5 s around each training, 0.1 s a step."""
    calls = []

    def train(steps):
        calls.append(steps)
        return Work((2.0 if len(calls) == 1 else 0.0) + 0.5 + 0.1 * steps, steps, padding=0.3)

    found = measure(Arm("ours", 4, (10, 30)), train, tokens_a_sequence=35)
    assert calls == [10, 10, 30]
    assert found["step_seconds"] == pytest.approx(0.1)
    assert found["sequences_per_second"] == pytest.approx(40)
    assert found["tokens_per_second"] == pytest.approx(1400)
    assert found["warmup_seconds"] == pytest.approx(2.5)
    assert found["padding"] == 0.3


def test_a_longer_training_that_takes_no_longer_is_refused():
    with pytest.raises(UserError, match="too short or too noisy"):
        measure(Arm("ours", 4, (1, 2)), lambda steps: Work(1.0, steps, 0.0), 35)


def test_idleness_is_of_a_step_alone():
    """5 s of kernels around each training; a step of 0.1 s has 0.08 s of them, 0.09 s with short breaks."""
    found = idleness(Arm("ours", 4, (1, 2), (10, 20)), lambda n: (n, 5 + 0.09 * n, 5 + 0.08 * n), 0.1)
    assert found == {"gpu_idle": pytest.approx(0.1), "gpu_without_kernel": pytest.approx(0.2)}


def test_mfu():
    assert round(mfu(86_000_000, 500_000, 790e12), 4) == 0.3266


def test_ratios_take_the_same_batch_or_the_best():
    arms = [
        result("original", 16, 100.0),
        result("original", 64, 150.0),
        {"trainer": "original", "batch": 32, "error": "the GPU's memory ran out"},
        result("ours", 16, 3000.0),
        result("ours", 256, 9000.0),
    ]
    assert ratios(arms) == {"ours_16_vs_original": 30.0, "ours_256_vs_original": 60.0}
    assert ratios([]) == {} and ratios(arms[-1:]) == {}


def test_ratios_of_processes():
    arms = [result("ours", 256, 9000.0), result("ours", 512, 17100.0, 2), result("ours", 2048, 1.0, 2)]
    assert ratios(arms) == {"2_gpus_vs_1": pytest.approx(1.9)}


def test_targets_are_judged_by_the_worst_arm_and_on_gpus_alone():
    arms = [
        result("ours", 16, 3000.0, mfu=0.1, warmup_seconds=35.0, gpu_idle=0.04),
        result("ours", 1024, 9000.0, mfu=0.31, warmup_seconds=30.0, gpu_idle=0.06),
        result("original", 16, 100.0, mfu=0.01, warmup_seconds=90.0, gpu_idle=0.5),
        {"trainer": "ours", "batch": 256, "error": "the GPU's memory ran out"},
    ]
    found = judged(arms, ratios(arms))
    assert {name: (target["found"], target["reached"]) for name, target in found.items()} == {
        "ours_16_vs_original": (30.0, True),
        "ours_1024_vs_original": (90.0, True),
        "ours_1024_mfu": (0.31, True),
        "ours_warmup_seconds": (35.0, True),
        "ours_gpu_idle": (0.06, False),
    }
    on_cpu = [result("ours", 32, 10.0, mfu=None, warmup_seconds=100.0)]
    assert judged(on_cpu, {"ours_32_vs_original": 3.0}) == {}
    assert judged([], {"2_gpus_vs_1": 1.7})["2_gpus_vs_1"]["reached"] is False


def test_arms_are_chosen_by_name():
    gpu = SUITES["gpu"]
    assert gpu.chosen(None) == gpu.arms
    assert [arm.name for arm in gpu.chosen(["ours:256", "original:16"])] == ["original:16", "ours:256"]
    with pytest.raises(UserError, match=r"--arms: unknown arm 'ours:17'; choose from original:16, "):
        gpu.chosen(["ours:17"])


def test_the_suites_are_what_they_say():
    for suite in SUITES.values():
        names = [arm.name for arm in suite.arms]
        assert len(set(names)) == len(names)
        for arm in suite.arms:
            assert 0 < arm.steps[0] < arm.steps[1] and arm.batch % arm.processes == 0
    assert {arm.batch for arm in SUITES["gpu"].arms if arm.trainer == "ours"} == {16, 64, 256, 1024}
    assert {arm.batch // arm.processes for arm in SUITES["scaling"].arms} == {256}


@pytest.mark.parametrize("trainer", ["original", "hf_defaults", "ours"])
def test_each_trainer_takes_as_many_steps_as_requested(tmp_path, trainer):
    arm_run = ArmRun(Arm(trainer, 4, (2, 5)), SMALL, ALONE, tmp_path)
    assert [arm_run.train(steps).steps for steps in (2, 5)] == [2, 5]
    assert arm_run.facts()["parameters"] > VOCABULARY * TINY["hidden_size"]


LANGUAGE = {"model_type": "mixtral", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
LANGUAGE |= {"num_key_value_heads": 2, "intermediate_size": 32, "num_local_experts": 4, "num_experts_per_tok": 1}


@pytest.mark.parametrize("trainer", ["tutorial", "folded", "ours"])
def test_language_models_are_trained_on_windows(tmp_path, trainer):
    suite = Suite(LANGUAGE | {"max_position_embeddings": 128}, "cpu", (), "causal", 300, WINDOWS)
    arm_run = ArmRun(Arm(trainer, 64, (1, 3)), suite, ALONE, tmp_path)
    assert arm_run.train(3).steps == 3 and 40 < arm_run.tokens_a_sequence < 60
    # all but the embedding, and three of four experts
    idle = 3 * (2 * 32 * 32 + 32 * 32)
    assert arm_run.facts()["parameters"] - arm_run.facts()["active_parameters"] == 300 * 32 + idle


def test_padding_is_what_the_sequences_leave_of_the_positions(tmp_path):
    arm_run = ArmRun(Arm("original", 4, (2, 5)), SMALL, ALONE, tmp_path)  # 20 sequences, each seen once
    tokens = arm_run.tokens.lengths.sum() + 20 * SPECIALS.added()
    assert arm_run.tokens_a_sequence == tokens / 20
    original = arm_run.train(5).padding
    assert original == pytest.approx(1 - tokens / (20 * 512))
    assert 0 < ArmRun(Arm("hf_defaults", 4, (2, 5)), SMALL, ALONE, tmp_path).train(5).padding < original


def test_the_trainer_accumulates_what_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(trainers, "LARGEST", 4)
    arm_run = ArmRun(Arm("original", 8, (1, 2)), SMALL, ALONE, tmp_path)
    work = arm_run.train(2)  # all 16 sequences, in two steps
    assert work.steps == 2
    assert work.padding == pytest.approx(1 - arm_run.tokens_a_sequence / 512)


def test_an_arm_that_fails_says_why(monkeypatch):
    def out(self, model, steps):
        raise RuntimeError("MPS backend out of memory")

    monkeypatch.setattr(ArmRun, "_original", out)
    found = run_arm(Arm("original", 4, (1, 2)), SMALL)
    assert found["error"].startswith("the GPU's memory ran out") and found["batch"] == 4


def run(*arguments):
    command = [sys.executable, str(ROOT / "tools/benchmark_training.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_program_writes_the_figures_of_an_arm(tmp_path):
    output = tmp_path / "results" / "cpu.json"
    done = run("--suite", "cpu", "--arms", "ours:32", "--steps", 1, 4, "--output", output)
    report = json.loads(output.read_text())
    assert set(report) == {
        "suite", "command", "machine", "versions", "method", "model", "arms", "ratios", "targets",
    }  # fmt: skip
    (arm,) = report["arms"]
    assert (arm["trainer"], arm["batch"], arm["steps"]) == ("ours", 32, [1, 4])
    if "error" in arm:  # on a machine too busy to measure anything
        assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("error: ours:32: ")
    else:
        assert done.returncode == 0, done.stderr
        assert arm["sequences_per_second"] == pytest.approx(32 / arm["step_seconds"])
        assert set(report["method"]) - {"gpu_idle", "gpu_without_kernel"} <= set(arm)
        assert 0 < arm["padding"] < 1 and arm["engine"]["kind"] == "padded"
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suite", "gpu", "--arms", "ours:3"], "error: --arms: unknown arm 'ours:3'; choose from original:16, "),
        (
            ["--suite", "cpu", "--steps", "5", "5"],
            "error: --steps: two numbers are needed, the second larger than the first",
        ),
        (["--suite", "cpu", "--here"], "error: --here: measures one arm; name it with --arms"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(tmp_path, arguments, message):
    done = run(*arguments, "--output", tmp_path / "x.json")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(message)
    assert not list(tmp_path.iterdir())
