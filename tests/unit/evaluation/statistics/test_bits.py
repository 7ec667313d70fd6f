"""Bits per base: ratios of sums, intervals by stretch, and comparisons in which smaller is better."""

import numpy as np
import pandas as pd
import pytest

from dnalm.config.stages.evaluation import CompareSettings, EvaluateSettings, PairLimits
from dnalm.evaluation.statistics.bits import GroupedBits, bit_metrics
from dnalm.evaluation.statistics.comparison import RunGroup, compare, difference
from dnalm.evaluation.statistics.resampling import intervals
from dnalm.evaluation.statistics.run_metrics import evaluate
from dnalm.tables.predictions import BitPredictions

LIMITS = PairLimits(effective_groups=30, largest_group=0.05, confidence=0.95)
SETTINGS = EvaluateSettings(replicates=400, effective_groups=30, largest_group=0.05)


def _predictions(bits: np.ndarray, lengths: np.ndarray, objective: str = "causal") -> BitPredictions:
    """Records whose bases cost so many bits each; of every second record the first half is soft-masked."""
    soft = np.where(np.arange(len(bits)) % 2, lengths // 2, 0)
    counts = np.column_stack([lengths, bits * lengths, soft, bits * soft]).astype(float)
    return BitPredictions(np.array([f"r{i}" for i in range(len(bits))], dtype=object), counts, objective)


def _drawn(
    rng: np.random.Generator, stretches: int = 50, windows: int = 8
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bits of a base, lengths and stretches of windows whose stretches differ."""
    groups = np.repeat(np.arange(stretches), windows)
    bits = 1.9 + rng.normal(0, 0.05, stretches)[groups] + rng.normal(0, 0.05, len(groups))
    return bits, rng.integers(50, 400, len(groups)), groups


def test_a_metric_is_total_bits_by_total_bases() -> None:
    """Long records count by their bases; without soft-masked bases there is no figure of them."""
    found = bit_metrics(_predictions(np.array([1.0, 2.0, 1.5]), np.array([10, 30, 0])))
    assert found["bits_per_base"] == pytest.approx(70 / 40)
    assert found["bits_per_base_soft_masked"] == pytest.approx(2.0)
    assert found["bits_per_base_unmasked"] == pytest.approx((10 + 30) / 25)
    assert (found["n"], found["bases"], found["soft_masked_bases"]) == (3, 40, 15)
    one = bit_metrics(_predictions(np.array([1.0]), np.array([10]), "masked"))
    assert one["masked_bits_per_base"] == 1.0
    assert one["masked_bits_per_base_soft_masked"] is None


def test_derivatives_by_the_weights_of_groups_are_right() -> None:
    """Against differences of the ratio itself."""
    bits, lengths, groups = _drawn(np.random.default_rng(1), 5, 3)
    grouped = GroupedBits(_predictions(bits, lengths), groups, 5)
    weights = np.array([[1.0, 2, 0, 1, 3]])
    values, slopes = grouped.primary(weights)
    for group in range(5):
        step = np.zeros((1, 5))
        step[0, group] = 1e-6
        assert (grouped.primary(weights + step)[0] - values)[0] / 1e-6 == pytest.approx(slopes[0, group], rel=1e-4)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of 200 test sets of 50 stretches, about 95 % of the intervals hold 1.9."""
    held = 0
    for seed in range(200):
        bits, lengths, groups = _drawn(np.random.default_rng(seed))
        settings = SETTINGS.model_copy(update={"replicates": 200})
        bounds = intervals(_predictions(bits, lengths), groups, settings).bounds["bits_per_base"]
        held += bounds["low"] <= 1.9 <= bounds["high"]
    assert 0.90 <= held / 200 <= 0.99


def test_differences_without_a_true_one_are_rarely_significant() -> None:
    """Two models with the same bits on average over stretches, paired on the same records."""
    small = 0
    for seed in range(200):
        rng = np.random.default_rng([7, seed])
        bits, lengths, groups = _drawn(rng)
        other = bits + rng.normal(0, 0.01, 50)[groups]
        p = difference(([_predictions(other, lengths)], False), ([_predictions(bits, lengths)], False), groups, LIMITS)[
            "p"
        ]
        small += p <= 0.05
    assert small / 200 <= 0.09


def test_a_small_difference_on_every_stretch_is_found_and_seeds_widen_it() -> None:
    """Pairing removes what stretches have in common; seeds that differ add their variance."""
    rng = np.random.default_rng(3)
    bits, lengths, groups = _drawn(rng)
    rival = [_predictions(bits, lengths)]

    def runs(spread: float) -> list[BitPredictions]:
        return [
            _predictions(bits - 0.01 + spread * step + rng.normal(0, 0.01, len(bits)), lengths) for step in (-1, 0, 1)
        ]

    alike, unlike = (difference((runs(spread), True), (rival, False), groups, LIMITS) for spread in (0, 0.02))
    assert alike["difference"] == pytest.approx(-0.01, abs=0.002)
    assert alike["p"] < 0.01 and alike["about"] == "methods"
    assert unlike["p"] > 0.05
    assert unlike["high"] - unlike["low"] > 3 * (alike["high"] - alike["low"])


def test_the_best_have_the_fewest_bits_on_validation() -> None:
    """The primary comparison and the rivals; the uniform guess varies over no record and is compared all the same."""
    rng = np.random.default_rng(4)
    bits, lengths, groups = _drawn(rng)
    table = pd.DataFrame({"id": [f"r{i}" for i in range(len(bits))], "group": groups.astype(str)})

    def group(model: str, recipe: str, each: np.ndarray, objective: str = "causal") -> RunGroup:
        found = _predictions(each, lengths, objective)
        return RunGroup(model, recipe, [{"validation": found, "test": found}])

    members = [
        group("baseline", "uniform", np.full(len(bits), 2.0)), group("baseline", "mixture", bits - 0.1),
        group("baseline", "markov", bits), group("worse", "r", bits + 0.05), group("best", "r", bits - 0.15),
        group("other", "r", bits - 1, "masked"),
    ]  # fmt: skip
    settings = CompareSettings(dataset="c", kind="corpus", runs=[], twins={}, **LIMITS.model_dump())
    found = compare(members, table, settings)
    assert (found["primary"]["model"], found["primary"]["against"]) == ("best", "mixture")
    assert found["primary"]["significant"] and found["primary"]["difference"] == pytest.approx(-0.05)
    assert [one["against"] for one in found["rivals"]] == ["uniform", "markov"]
    assert [one["model"] for one in found["others"]] == ["worse"]
    assert all(one["significant"] for one in found["rivals"])
    assert found["apart"] == ["other/r"] and found["strata"] == []


def test_a_run_at_two_bits_collapsed() -> None:
    """metrics.json of a language model."""
    bits, lengths, groups = _drawn(np.random.default_rng(5))
    for more, collapsed in ((0.0, False), (0.3, True)):
        scored = dict.fromkeys(("validation", "test"), _predictions(bits + more, lengths))
        found = evaluate(scored, dict.fromkeys(scored, groups.astype(str)), SETTINGS)
        assert found["objective"] == "causal"
        assert found["collapsed"] is collapsed
        assert set(found["intervals"]) == {"bits_per_base", "bits_per_base_soft_masked", "bits_per_base_unmasked"}
        assert found["intervals"]["bits_per_base"]["low"] < found["bits_per_base"]
