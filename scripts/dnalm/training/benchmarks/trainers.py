"""The trainers that benchmarks compare: the original recipe, the Hugging Face Trainer's defaults, and ours."""

import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dnalm.config.recipes import Recipe
from dnalm.errors import UserError
from dnalm.tables.tokens import Tokens
from dnalm.training.benchmarks.measurements import (
    LABELS,
    NOMINAL_PEAK,
    SPECIALS,
    Arm,
    Suite,
    Work,
    idleness,
    kernel_seconds,
    measure,
    mfu,
    synthesise,
)
from dnalm.training.engine.devices import describe, make_repeatable, out_of_memory, quiet
from dnalm.training.engine.execution import Execution
from dnalm.training.engine.feeds import Examples
from dnalm.training.engine.loop import fine_tune
from dnalm.training.engine.state import State
from dnalm.training.engine.team import Team
from dnalm.training.engine.windows import cut
from dnalm.training.models.loading import build
from dnalm.training.objectives.causal import Causal
from dnalm.training.objectives.classification import Classification
from dnalm.training.objectives.language import Letters
from dnalm.training.runtime.checkpoints import Checkpoints
from dnalm.training.runtime.team import join_team

LEARNING_RATE = 1e-6
LARGEST = 256
"""Largest batch of the Trainer in one pass; for larger ones it accumulates gradients."""


def run_arm(arm: Arm, suite: Suite) -> dict[str, Any]:
    """Measure one arm in this process, which should be a new one; a `UserError` becomes the result's `error`."""
    with tempfile.TemporaryDirectory() as folder:
        # empty caches, so that the time of compiling is measured
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = os.environ["TRITON_CACHE_DIR"] = f"{folder}/compiled"
        try:
            team = join_team(suite.device)
            try:
                return _figures(ArmRun(arm, suite, team, Path(folder)))
            finally:
                team.leave()
        except UserError as error:
            return {**asdict(arm), "error": str(error)}


def _figures(arm_run: "ArmRun") -> dict[str, Any]:
    """All figures of an arm."""
    arm = arm_run.arm
    found = measure(arm, arm_run.train, arm_run.tokens_a_sequence) | arm_run.facts()
    print(f"{arm.name}: {found['sequences_per_second']:.1f} sequences/s", file=sys.stderr)
    if arm.profiled:
        found |= idleness(arm, arm_run.profile, found["step_seconds"])
    found["mfu"] = None
    if arm_run.on_gpu:
        found["measured_peak"] = arm_run.peak()
        for key, peak in (("mfu", NOMINAL_PEAK), ("mfu_of_measured_peak", found["measured_peak"])):
            found[key] = mfu(found["active_parameters"], found["tokens_per_second"] / arm.processes, peak)
    return found


class ArmRun:
    """Runs the trainings of one arm on synthetic sequences, which are the same for all arms of a suite."""

    def __init__(self, arm: Arm, suite: Suite, team: Team, folder: Path) -> None:
        """Write the sequences below `folder`."""
        quiet()
        make_repeatable()
        self.arm, self.suite, self.team, self.folder = arm, suite, team, folder
        self.device = team.device
        self.on_gpu = self.device.type == "cuda"
        self.sequences = max(some.steps[1] * some.batch for some in (arm, *suite.arms))
        self.tokens, self.labels = self._synthesise(self.sequences, 1, "train")
        self.tokens_a_sequence = float(self.tokens.lengths.mean()) + SPECIALS.added()
        self.parameters = self.active = 0
        self.engine: dict[str, Any] | None = None
        self._trainers: dict[str, Callable[[Any, int], tuple[int, float]]] = {
            "original": self._original,
            "hf_defaults": self._hf_defaults,
            "tutorial": self._tutorial,
            "folded": self._folded,
            "ours": self._ours,
        }

    def _synthesise(self, sequences: int, seed: int, split: str) -> tuple[Tokens, NDArray[np.int64]]:
        return synthesise(self.folder, sequences, seed, split, self.suite.vocabulary, self.suite.lengths)

    def _objective(self) -> Any:
        if self.suite.objective == "causal":
            return Causal(Letters(np.repeat([0, 4], [5, self.suite.vocabulary - 5]), len(SPECIALS.prefix)))
        return Classification(LABELS)

    def train(self, steps: int) -> Work:
        """Train a new model for `steps`; memory and compiled code of earlier trainings are dropped."""
        gc.collect()
        torch.compiler.reset()
        if self.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        model = build(self.suite.architecture, self._objective().head, SPECIALS, self.suite.vocabulary, seed=1)
        model.to(self.device)
        self.parameters, self.active = model.num_parameters(), active_parameters(model)
        self._wait()
        started = time.perf_counter()
        try:
            done, padding = self._trainers[self.arm.trainer](model, steps)
            self._wait()
        except RuntimeError as error:
            raise out_of_memory(error) or error from error
        seconds = time.perf_counter() - started
        if done != steps:  # the time of a step would be wrong
            raise ValueError(f"{self.arm.name} trained {done} steps, not {steps}")
        return Work(seconds, done, padding)

    def profile(self, steps: int) -> tuple[int, float, float]:
        """Train under the profiler; return the steps and the GPU's busy seconds with and without short gaps."""
        trace = self.folder / "trace.json"
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
            done = self.train(steps).steps
        profiler.export_chrome_trace(str(trace))
        return done, *kernel_seconds(trace)

    def facts(self) -> dict[str, Any]:
        """Facts of the last training besides its rates."""
        return {
            "device": describe(self.device),
            "engine": self.engine,
            "parameters": self.parameters,
            "active_parameters": self.active,
            "tokens_a_sequence": self.tokens_a_sequence,
            "peak_memory_mb": round(self._peak_memory() / 1e6),
        }

    def peak(self) -> float:
        """bf16 FLOP/s of this GPU in products of 8192 x 8192 matrices of random numbers."""
        one, other = (torch.randn(8192, 8192, device=self.device, dtype=torch.bfloat16) for _ in range(2))
        for _ in range(3):
            one @ other
        self._wait()
        started = time.perf_counter()
        for _ in range(20):
            one @ other
        self._wait()
        return 2 * 8192**3 * 20 / (time.perf_counter() - started)

    def _wait(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()

    def _peak_memory(self) -> float:
        if self.on_gpu:
            return torch.cuda.max_memory_reserved()
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024

    def _original(self, model: Any, steps: int) -> tuple[int, float]:
        """The published recipe: fp32, every sequence padded to the model's limit, eager attention."""
        model.set_attn_implementation("eager")
        width = self.suite.architecture["max_position_embeddings"]
        return self._hugging_face(model, steps, LARGEST, width, bf16=False)

    def _hf_defaults(self, model: Any, steps: int) -> tuple[int, float]:
        """The recipe of the Trainer's guides: padded to the longest of a random batch, bf16 on a GPU."""
        return self._hugging_face(model, steps, LARGEST, None, bf16=self.on_gpu)

    def _tutorial(self, model: Any, steps: int) -> tuple[int, float]:
        """The Galaxy tutorial's settings: micro-batches of 32 sequences, accumulated to a batch."""
        return self._hugging_face(model, steps, 32, None, bf16=self.on_gpu)

    def _folded(self, model: Any, steps: int) -> tuple[int, float]:
        """The Trainer with the whole batch as one micro-batch."""
        return self._hugging_face(model, steps, self.arm.batch, None, bf16=self.on_gpu)

    def _hugging_face(self, model: Any, steps: int, largest: int, width: int | None, bf16: bool) -> tuple[int, float]:
        from transformers import Trainer, TrainingArguments

        parts = -(-self.arm.batch // largest)
        arguments = TrainingArguments(
            output_dir=str(self.folder),
            max_steps=steps,
            per_device_train_batch_size=self.arm.batch // parts,
            gradient_accumulation_steps=parts,
            learning_rate=LEARNING_RATE,
            bf16=bf16,
            use_cpu=not self.on_gpu,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        if arguments.n_gpu > 1:
            arguments._n_gpu = 1  # these arms use one GPU
        rows = _Rows(self.tokens, self.labels if self.suite.objective == "classification" else None, width)
        trainer = Trainer(model=model, args=arguments, train_dataset=rows, data_collator=rows.pad)
        trainer.train()
        return trainer.state.global_step, 1 - rows.real / rows.positions

    def _ours(self, model: Any, steps: int) -> tuple[int, float]:
        """This project's training with the defaults of a recipe."""
        tokens, labels = self._synthesise(16, 2, "validation")
        size = self.suite.architecture["max_position_embeddings"] - SPECIALS.added()
        train, validation = (
            Examples(some, cut(some.lengths, size, "error", []), SPECIALS, truth)
            for some, truth in ((self.tokens, self.labels), (tokens, labels))
        )
        recipe = Recipe(
            objective=self.suite.objective,
            learning_rate=LEARNING_RATE,
            batch_size=self.arm.batch,
            max_steps=steps,
            compile=True,  # as in a long training
        )
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch, _Unsaved(Path(scratch)) as checkpoints:
            progress, self.engine = fine_tune(
                model,
                self._objective(),
                train,
                validation,
                recipe,
                1,
                Execution(self.team, checkpoints),
                save_best=lambda directory, weights: None,
            )
        return progress.step, self.engine["padding"]


def active_parameters(model: Any) -> int:
    """Number of parameters that a token is multiplied with, as defined in `METHOD`."""
    active = int(model.num_parameters())
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    if outputs is None or outputs.weight is not inputs.weight:
        active -= inputs.weight.numel()
    experts, used = (getattr(model.config, key, 0) for key in ("num_local_experts", "num_experts_per_tok"))
    fused = sum(p.numel() for p in model.parameters() if p.ndim == 3 and len(p) == experts)
    return active - (fused * (experts - used) // experts if experts else 0)


class _Unsaved(Checkpoints):
    """Saves no checkpoints, so that the disk does not affect the timing."""

    def save(self, state: State, write_config: Callable[[Path], None]) -> None:
        """Do nothing."""


class _Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """Tokenized records for the Hugging Face Trainer, padded to `width`, or to the longest of a batch if None.

    labels: of the records; None for a language model, whose labels are the tokens.
    """

    def __init__(self, tokens: Tokens, labels: NDArray[np.int64] | None, width: int | None) -> None:
        self.tokens, self.labels, self.width = tokens, labels, width
        self.real = self.positions = 0

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> dict[str, Any]:
        start, stop = self.tokens.offsets[index : index + 2]
        ids = np.concatenate([SPECIALS.prefix, self.tokens.ids[start:stop], SPECIALS.suffix])
        return {"input_ids": ids, "labels": None if self.labels is None else int(self.labels[index])}

    def pad(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """A padded batch of these items; counts its real tokens and positions."""
        lengths = torch.tensor([len(item["input_ids"]) for item in items])
        width = self.width or int(lengths.max())
        ids = torch.full((len(items), width), SPECIALS.pad)
        for row, item in zip(ids, items, strict=True):
            row[: len(item["input_ids"])] = torch.from_numpy(item["input_ids"])
        self.real, self.positions = self.real + int(lengths.sum()), self.positions + ids.numel()
        mask = (torch.arange(width) < lengths[:, None]).long()
        labels = ids.masked_fill(mask == 0, -100)  # a language model shifts them itself
        if self.labels is not None:
            labels = torch.tensor([item["labels"] for item in items])
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}
