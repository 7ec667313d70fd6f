"""How fast training is: what is trained on, how its rate is measured, and what is made of the figures."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.errors import UserError
from dnalm.tables.tokens import Tokens, read_tokens
from dnalm.training.models.tokenizers import Specials

VOCABULARY = 609
SPECIALS = Specials(prefix=(2,), suffix=(3,), pad=0, unknown=1, mask=4)
LABELS = {0: "0", 1: "1"}

NOMINAL_PEAK = 790e12
"""bf16 FLOP/s of large matrix products that an H100 or H200 was measured to reach; 989e12 is on its data sheet."""

BREATH = 5e-6
"""Seconds between two kernels up to which the GPU is not called idle: what one kernel needs to follow another."""

METHOD = {
    "step_seconds": "difference of a long and a short training (wall clock, GPU waited for at both ends) over the"
    " difference of their steps; both come after a first training, so nothing is compiled in one and not in the other; neither saves checkpoints",
    "warmup_seconds": "the first training, compilers' caches empty, less its steps: an upper bound of the wait before"
    " the first step, for it holds loading kernels, compiling, capturing and a validation of 16 sequences",
    "sequences_per_second": "batch / step_seconds",
    "tokens_per_second": "sequences_per_second * tokens a sequence, special tokens counted, padding not",
    "mfu": f"6 * parameters * tokens_per_second / peak a GPU; attention's own products are not counted; peak:"
    f" {NOMINAL_PEAK:g} bf16 FLOP/s, and measured_peak, this GPU's in products of 8192 x 8192 matrices",
    "gpu_idle": "part of a step in which no kernel runs, breaks of up to 5 us between kernels not counted: kernels of"
    " two profiled trainings (torch.profiler), their difference over that of their steps, against step_seconds",
    "gpu_without_kernel": "the same with every break counted",
    "padding": "part of the positions computed that are no token",
    "engine": "what the training says of its engine in run.json; null for the Hugging Face Trainer",
    "peak_memory_mb": "the most that torch held of the GPU's memory during the long training; on the CPU of the process",
}


@dataclass(frozen=True)
class Arm:
    """One trainer at one batch size: sequences a step over all GPUs, and steps of the trainings to compare.

    profiled: the same of the trainings under the profiler, if there are any; processes: one a GPU.
    """

    trainer: str
    batch: int
    steps: tuple[int, int]
    profiled: tuple[int, int] | None = None
    processes: int = 1

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return f"{self.trainer}:{self.batch}"


@dataclass(frozen=True)
class Suite:
    """What is measured together: a model (an architecture of transformers), where, and the arms."""

    architecture: dict[str, Any]
    device: str
    arms: tuple[Arm, ...]

    def chosen(self, names: Iterable[str] | None) -> tuple[Arm, ...]:
        """The arms of these names, in the suite's order; all without names."""
        wanted = list(names) if names is not None else [arm.name for arm in self.arms]
        for name in wanted:
            if name not in (known := [arm.name for arm in self.arms]):
                raise UserError(f"--arms: there is no '{name}'; choose from {', '.join(known)}")
        return tuple(arm for arm in self.arms if arm.name in wanted)


BERT_BASE = {
    "model_type": "bert",
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
}
BERT_SMALL = BERT_BASE | {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 512,
}
SUITES = {
    # The original at larger batches does not fit or is no faster, so its best rate here stands for it there.
    "gpu": Suite(
        BERT_BASE,
        "cuda",
        (
            Arm("original", 16, (3, 33), (2, 6)),
            Arm("original", 64, (2, 14), (1, 3)),
            Arm("ours", 16, (50, 1550), (20, 60)),
            Arm("ours", 64, (50, 850), (20, 60)),
            Arm("ours", 256, (20, 400), (10, 30)),
            Arm("ours", 1024, (10, 120), (5, 15)),
            Arm("hf_defaults", 16, (5, 45), (5, 15)),
            Arm("hf_defaults", 64, (5, 35), (5, 10)),
            Arm("hf_defaults", 256, (5, 25), (5, 10)),
        ),
    ),
    "cpu": Suite(
        BERT_SMALL,
        "cpu",
        (
            Arm("original", 32, (1, 5)),
            Arm("hf_defaults", 32, (3, 23)),
            Arm("ours", 32, (5, 65)),
        ),
    ),
    "scaling": Suite(BERT_BASE, "cuda", (Arm("ours", 256, (20, 300)), Arm("ours", 512, (20, 300), processes=2))),
}

TARGETS = {
    "ours_16_vs_original": (15, 25),
    "ours_256_vs_original": (60, None),
    "ours_1024_vs_original": (90, None),
    "ours_1024_mfu": (0.30, 0.40),
    "ours_warmup_seconds": (40, None),
    "ours_gpu_idle": (0.05, None),
    "2_gpus_vs_1": (1.8, None),
}
"""What is to be reached and, where there is one, the aim beyond it."""

CEILINGS = {"ours_warmup_seconds", "ours_gpu_idle"}
"""Targets that are the most allowed."""


@dataclass(frozen=True)
class Work:
    """What one training did: wall-clock seconds, optimizer steps, and the part of its positions that was padding."""

    seconds: float
    steps: int
    padding: float


def synthesise(directory: Path, sequences: int, seed: int, split: str = "train") -> tuple[Tokens, NDArray[np.int64]]:
    """Write token files of random sequences; return them mapped into memory, and two classes' labels (n,).

    Lengths are lognormal as measured on short tandem arrays: median 24 tokens, sigma 0.8, cut to 6 to 510.
    """
    random = np.random.default_rng([seed, sequences])
    lengths = np.clip(random.lognormal(np.log(24), 0.8, sequences).astype(np.int64), 6, 510)
    offsets = np.concatenate([[0], lengths.cumsum()])
    directory.mkdir(parents=True, exist_ok=True)
    np.save(directory / f"{split}.ids.npy", random.integers(5, VOCABULARY, offsets[-1], dtype=np.uint16))
    np.save(directory / f"{split}.offsets.npy", offsets)
    return read_tokens(directory, split), random.integers(0, len(LABELS), sequences)


def busy_seconds(starts: NDArray[np.float64], ends: NDArray[np.float64], breath: float = 0.0) -> float:
    """Length of the union of intervals, with breaks of up to `breath` between them counted in."""
    if not len(starts):
        return 0.0
    order = np.argsort(starts, kind="stable")
    starts, reached = starts[order], np.maximum.accumulate(ends[order])
    breaks = np.maximum(starts[1:] - reached[:-1], 0.0)
    return float(reached[-1] - starts[0] - breaks[breaks > breath].sum())


def measure(arm: Arm, train: Callable[[int], Work], tokens_a_sequence: float) -> dict[str, Any]:
    """Rates of `train`, which trains so many steps at each call; see `METHOD`."""
    first, short, long = train(arm.steps[0]), train(arm.steps[0]), train(arm.steps[1])
    step = (long.seconds - short.seconds) / (long.steps - short.steps)
    if step <= 0:
        raise UserError(f"{arm.name}: {long.steps} steps took no longer than {short.steps}; too short or too noisy")
    return {
        **asdict(arm),
        "step_seconds": step,
        "sequences_per_second": arm.batch / step,
        "tokens_per_second": arm.batch * tokens_a_sequence / step,
        "warmup_seconds": max(0.0, first.seconds - first.steps * step),
        "padding": long.padding,
    }


def idleness(arm: Arm, profile: Callable[[int], tuple[int, float, float]], step_seconds: float) -> dict[str, float]:
    """Idle part of a step; `profile` trains so many steps and says how many, and the GPU's busy seconds.

    Busy seconds are given with breaks of up to `BREATH` counted in, and without.
    """
    short, long = (profile(steps) for steps in arm.profiled or ())
    stretches, kernels = ((long[i] - short[i]) / (long[0] - short[0]) for i in (1, 2))
    return {
        "gpu_idle": max(0.0, 1 - stretches / step_seconds),
        "gpu_without_kernel": max(0.0, 1 - kernels / step_seconds),
    }


def mfu(parameters: int, tokens_per_second: float, peak: float) -> float:
    """Model FLOPs utilisation: 6 FLOPs a parameter and token, forward and backward (Kaplan et al. 2020), over the peak."""
    return 6 * parameters * tokens_per_second / peak


def ratios(arms: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Rates of ours over those of others at the same batch size, or over their best where they were not measured.

    And rates of several processes over that of one with as many sequences each.
    """
    rate: dict[str, dict[tuple[int, int], float]] = {}
    for arm in arms:
        if "error" not in arm:
            rate.setdefault(arm["trainer"], {})[arm["batch"], arm["processes"]] = arm["sequences_per_second"]
    ours, found = rate.pop("ours", {}), {}
    for (batch, processes), reached in sorted(ours.items()):
        if processes > 1:
            if (one := (batch // processes, 1)) in ours:
                found[f"{processes}_gpus_vs_1"] = reached / ours[one]
        else:
            for trainer, theirs in sorted(rate.items()):
                found[f"ours_{batch}_vs_{trainer}"] = reached / theirs.get((batch, 1), max(theirs.values()))
    return found


def judged(arms: Iterable[Mapping[str, Any]], found: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """The targets that these arms and the ratios `found` among them can answer, and whether each is reached."""
    values = dict(found)
    for arm in arms:
        if arm["trainer"] != "ours" or arm.get("mfu") is None or arm["processes"] > 1:
            continue  # the rest is said of one GPU
        values[f"ours_{arm['batch']}_mfu"] = arm["mfu"]
        for key in ("warmup_seconds", "gpu_idle"):
            if key in arm:  # the worst of all
                values[f"ours_{key}"] = max(arm[key], values.get(f"ours_{key}", 0.0))
    return {
        name: {
            "target": target,
            "aim": aim,
            "found": values[name],
            "reached": values[name] <= target if name in CEILINGS else values[name] >= target,
        }
        for name, (target, aim) in TARGETS.items()
        if name in values
    }


def kernel_seconds(trace: Path) -> tuple[float, float]:
    """Busy seconds of a GPU in a trace of torch.profiler, with breaks of up to `BREATH` counted in, and without."""
    events = [e for e in json.loads(trace.read_text())["traceEvents"] if e.get("cat") in ("kernel", "gpu_memset")]
    starts = np.array([event["ts"] for event in events], dtype=np.float64) * 1e-6
    ends = starts + np.array([event["dur"] for event in events], dtype=np.float64) * 1e-6
    return busy_seconds(starts, ends, BREATH), busy_seconds(starts, ends)
