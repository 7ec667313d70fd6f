"""Seeds in comparisons: with three or more the verdict is on the methods, with fewer on the trained models."""

import numpy as np
import pytest
from clustered import SETTINGS, simulate_seeds
from run_groups import LIMITS, group, table

from dnalm.config.stages.evaluation import CompareSettings
from dnalm.evaluation.statistics.comparison import RunGroup, compare, difference


@pytest.mark.parametrize("groups", [150, 2500])
def test_equal_methods_differ_as_often_as_they_should(groups):
    """Seeds have a standard deviation of .03 in MCC, and the rival is as good as the method is on average."""
    rng, repeats, rejected, fixed = np.random.default_rng(groups), 150, 0, 0
    for _ in range(repeats):
        runs, rival, codes = simulate_seeds(rng, groups, seeds=5, spread=0.03)
        found = difference((runs, True), ([rival], False), codes, SETTINGS)
        assert found["about"] == "methods" and found["against_seed_sd"] is None
        rejected += found["p"] <= 0.05
        fixed += difference((runs[:1], True), ([rival], False), codes, SETTINGS)["p"] <= 0.05
    assert rejected <= 14, rejected  # of 150, at a true rate of .05 with probability .99
    assert groups == 150 or fixed > 40  # which is why one seed speaks of the trained model alone


def test_few_seeds_speak_of_the_models():
    kmer, small = group("baseline", "kmer", (0.7, 0.7)), group("small", "full", *[(0.7, 0.8)] * 3)
    three = compare([kmer, small], table(), LIMITS)["primary"]
    assert three["about"] == "methods" and three["seed_sd"] == pytest.approx(np.std(three["by_seed"], ddof=1))
    assert three["against_seeds"] == 1 and three["against_by_seed"] == [three["against_value"]]
    two = compare([kmer, RunGroup("small", "full", small.runs[:2])], table(), LIMITS)["primary"]
    assert two["about"] == "models" and "these trained models (2 seeds)" in two["about_note"]
    assert two["high"] - two["low"] < three["high"] - three["low"]
    one = compare([kmer, RunGroup("small", "full", small.runs[:1])], table(), LIMITS)["primary"]
    assert one["seed_sd"] is None and "1 seed)" in one["about_note"]


def test_a_pretrained_model_is_compared_with_its_random_twin():
    kmer = group("baseline", "kmer", (0.7, 0.7))
    pretrained, twin = (group(name, "full", *[skills] * 3) for name, skills in (("a", (0.9, 0.9)), ("b", (0.7, 0.7))))
    lonely = group("a", "probe", (0.8, 0.8))
    settings = CompareSettings.model_validate(LIMITS.model_dump() | {"twins": {"a": "b"}})
    found = compare([kmer, pretrained, twin, lonely], table(), settings)
    (entry,) = found["twins"]
    assert (entry["model"], entry["recipe"], entry["against"]) == ("a", "full", "b")
    assert (entry["seeds"], entry["against_seeds"], entry["about"]) == (3, 3, "methods")
    assert entry["against_seed_sd"] > 0 and entry["low"] > 0 and entry["significant"] and entry["p_holm"] == entry["p"]
    assert entry["difference"] == pytest.approx(np.mean(entry["by_seed"]) - np.mean(entry["against_by_seed"]))
    fewer = compare([kmer, pretrained, RunGroup("b", "full", twin.runs[:2])], table(), settings)["twins"][0]
    assert fewer["about"] == "models" and "(2 seeds)" in fewer["about_note"]


def test_the_detectable_difference_is_found_four_times_of_five():
    rng, null, found = np.random.default_rng(1), [], 0
    for _ in range(40):
        runs, rival, codes = simulate_seeds(rng, 300, seeds=1, spread=0.0)
        null.append(difference((runs, True), ([rival], False), codes, SETTINGS)["detectable"])
    for _ in range(300):
        runs, rival, codes = simulate_seeds(rng, 300, seeds=1, spread=0.0, gain=float(np.mean(null)))
        found += difference((runs, True), ([rival], False), codes, SETTINGS)["p"] <= 0.05
    assert 0.74 <= found / 300 <= 0.88, found
