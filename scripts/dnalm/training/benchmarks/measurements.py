"""Benchmarks of training speed: synthetic data, suites, how rates are measured and compared."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dnalm.errors import UserError
from dnalm.tables.tokens import Tokens, read_tokens
from dnalm.training.models.tokenizers import Specials

VOCABULARY = 609
SPECIALS = Specials(prefix=(2,), suffix=(3,), pad=0, unknown=1, mask=4)
LABELS = {0: "0", 1: "1"}

NOMINAL_PEAK = 790e12
"""bf16 FLOP/s of large matrix products, as measured on an H100 and H200; the data sheet says 989e12."""

LAUNCH_GAP = 5e-6
"""Gaps of up to this many seconds between two kernels do not count as idle: one kernel needs that to follow another."""

METHOD = {
    "step_seconds": "difference of a long and a short training (wall clock, GPU synchronised at both ends) over the"
    " difference of their steps; both come after a first training, so compilation is in neither; neither saves"
    " checkpoints",
    "warmup_seconds": "the first training, compilers' caches empty, less its steps: an upper bound of the time before"
    " the first step, as it includes loading kernels, compiling, capturing and a validation of 16 sequences",
    "sequences_per_second": "batch / step_seconds",
    "tokens_per_second": "sequences_per_second * tokens per sequence, with special tokens, without padding",
    "mfu": f"6 * active_parameters * tokens_per_second / peak per GPU; attention's own products are not counted; peak:"
    f" {NOMINAL_PEAK:g} bf16 FLOP/s, and measured_peak, this GPU's in products of 8192 x 8192 matrices",
    "active_parameters": "parameters that a token is multiplied with: all but the table of token embeddings (unless the"
    " head shares it) and the experts that a token does not go through",
    "gpu_idle": "fraction of a step in which no kernel runs, without gaps of up to 5 us between kernels: difference of"
    " the kernel time of two profiled trainings (torch.profiler) over that of their steps, against step_seconds",
    "gpu_without_kernel": "the same with every gap counted",
    "padding": "fraction of the computed positions that are padding",
    "engine": "the training's engine, as in run.json; null for the Hugging Face Trainer",
    "peak_memory_mb": "peak of torch's GPU memory during the long training; on the CPU, of the process's memory",
}


@dataclass(frozen=True)
class Arm:
    """One trainer at one batch size (sequences per step over all GPUs).

    steps: of the short and the long training; profiled: the same under the profiler, None to skip that; processes: one
    per GPU.
    """

    trainer: str
    batch: int
    steps: tuple[int, int]
    profiled: tuple[int, int] | None = None
    processes: int = 1

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return f"{self.trainer}:{self.batch}"


@dataclass(frozen=True)
class Lengths:
    """Lognormal numbers of tokens of sequences, without special tokens: median, sigma and limits."""

    median: float
    sigma: float
    least: int
    most: int


ARRAYS = Lengths(24, 0.8, 6, 510)
"""As measured on short tandem arrays."""

WINDOWS = Lengths(47, 0.07, 30, 120)
"""As measured on windows of 200 bases of chr2 with the 4,096 tokens of DNABERT-2's tokenizer."""


@dataclass(frozen=True)
class Suite:
    """Arms that are compared: an architecture of transformers, a device, the arms, and what they learn from what."""

    architecture: dict[str, Any]
    device: str
    arms: tuple[Arm, ...]
    objective: Literal["classification", "causal"] = "classification"
    vocabulary: int = VOCABULARY
    lengths: Lengths = ARRAYS

    def chosen(self, names: Iterable[str] | None) -> tuple[Arm, ...]:
        """The arms with these names, in the suite's order; all if names is None."""
        wanted = list(names) if names is not None else [arm.name for arm in self.arms]
        for name in wanted:
            if name not in (known := [arm.name for arm in self.arms]):
                raise UserError(f"--arms: unknown arm '{name}'; choose from {', '.join(known)}")
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
MIXTRAL_105M = {
    "model_type": "mixtral",
    "hidden_size": 256,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "intermediate_size": 256,
    "num_local_experts": 64,
    "num_experts_per_tok": 1,
    "max_position_embeddings": 512,
}
"""The model of the Galaxy tutorial on pre-training with DNA: 105 M parameters, of which a token uses 6 M."""

LLAMA_105M = {
    "model_type": "llama",
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "intermediate_size": 2560,
    "max_position_embeddings": 512,
}
"""A dense model of about the same number of parameters."""

SUITES = {
    # At larger batches the original runs out of memory or is no faster, so its best rate is used there.
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
    "pretraining": Suite(
        MIXTRAL_105M,
        "cuda",
        (
            Arm("tutorial", 1600, (1, 4)),
            Arm("folded", 1600, (3, 23)),
            Arm("ours", 1600, (10, 110), (5, 15)),
            Arm("ours", 6400, (5, 30), (2, 6)),
        ),
        "causal",
        4096,
        WINDOWS,
    ),
    "pretraining-dense": Suite(
        LLAMA_105M,
        "cuda",
        (
            Arm("folded", 1600, (3, 13)),
            Arm("ours", 1600, (10, 60), (5, 15)),
        ),
        "causal",
        4096,
        WINDOWS,
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
    "ours_1600_vs_tutorial": (60, 80),
    "2_gpus_vs_1": (1.8, None),
}
"""The required value and, for some, a further aim."""

CEILINGS = {"ours_warmup_seconds", "ours_gpu_idle"}
"""Targets that are upper limits."""


@dataclass(frozen=True)
class Work:
    """One timed training: wall-clock seconds, optimizer steps, and the fraction of its positions that was padding."""

    seconds: float
    steps: int
    padding: float


def synthesise(
    directory: Path,
    sequences: int,
    seed: int,
    split: str = "train",
    vocabulary: int = VOCABULARY,
    shape: Lengths = ARRAYS,
) -> tuple[Tokens, NDArray[np.int64]]:
    """Write token files of random sequences; return them memory-mapped, and labels of two classes (n,)."""
    random = np.random.default_rng([seed, sequences])
    drawn = random.lognormal(np.log(shape.median), shape.sigma, sequences).astype(np.int64)
    lengths = np.clip(drawn, shape.least, shape.most)
    offsets = np.concatenate([[0], lengths.cumsum()])
    directory.mkdir(parents=True, exist_ok=True)
    np.save(directory / f"{split}.ids.npy", random.integers(5, vocabulary, offsets[-1], dtype=np.uint16))
    np.save(directory / f"{split}.offsets.npy", offsets)
    return read_tokens(directory, split), random.integers(0, len(LABELS), sequences)


def busy_seconds(starts: NDArray[np.float64], ends: NDArray[np.float64], gap: float = 0.0) -> float:
    """Length of the union of intervals, including gaps of up to `gap` between them."""
    if not len(starts):
        return 0.0
    order = np.argsort(starts, kind="stable")
    starts, reached = starts[order], np.maximum.accumulate(ends[order])
    gaps = np.maximum(starts[1:] - reached[:-1], 0.0)
    return float(reached[-1] - starts[0] - gaps[gaps > gap].sum())


def measure(arm: Arm, train: Callable[[int], Work], tokens_a_sequence: float) -> dict[str, Any]:
    """Rates of `train`, which trains for the given number of steps; see `METHOD`."""
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
    """Idle fractions of a step.

    profile: trains for the given number of steps and returns it, and the GPU's busy seconds with and without gaps of up
    to `LAUNCH_GAP`.
    """
    short, long = (profile(steps) for steps in arm.profiled or ())
    stretches, kernels = ((long[i] - short[i]) / (long[0] - short[0]) for i in (1, 2))
    return {
        "gpu_idle": max(0.0, 1 - stretches / step_seconds),
        "gpu_without_kernel": max(0.0, 1 - kernels / step_seconds),
    }


def mfu(parameters: int, tokens_per_second: float, peak: float) -> float:
    """Model FLOPs utilisation: 6 FLOPs per parameter and token (both passes; Kaplan et al. 2020), over the peak."""
    return 6 * parameters * tokens_per_second / peak


def ratios(arms: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Our rates relative to the others' at the same batch size, or to their best if that size was not measured.

    Also rates of several processes relative to one process with the same number of sequences per process.
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
    """The targets for which these arms and their ratios `found` have a value, and whether each is reached."""
    values = dict(found)
    for arm in arms:
        if arm["trainer"] != "ours" or arm.get("mfu") is None or arm["processes"] > 1:
            continue  # the other targets are for one GPU
        values[f"ours_{arm['batch']}_mfu"] = arm["mfu"]
        for key in ("warmup_seconds", "gpu_idle"):
            if key in arm:  # the worst arm counts
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
    """Busy seconds of a GPU in a trace of torch.profiler, with gaps of up to `LAUNCH_GAP` included, and without."""
    events = [e for e in json.loads(trace.read_text())["traceEvents"] if e.get("cat") in ("kernel", "gpu_memset")]
    starts = np.array([event["ts"] for event in events], dtype=np.float64) * 1e-6
    ends = starts + np.array([event["dur"] for event in events], dtype=np.float64) * 1e-6
    return busy_seconds(starts, ends, LAUNCH_GAP), busy_seconds(starts, ends)
