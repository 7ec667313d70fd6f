"""Markers: single k-mers that give a class away, at one position or anywhere, if only in a few of its records.

A word in every twentieth positive and in no negative has an AUROC of .525, so no probe of all records sees it. Here
k-mers are counted one by one: each at every position from either end, and anywhere, on either strand. Of every class in
every group one random record is counted, so that relatives count once and records are independent. Candidates are
chosen without a look at labels: k-mers in at least `RECALL` of the scarcest class. Fisher's exact test asks whether a
candidate is more frequent in a class than in the rest, and the bound of its precision is Clopper and Pearson's (1934),
both corrected for the number of candidates (Bonferroni): the bounds hold for the marker that looks best.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import beta, hypergeom
from tqdm import tqdm

from dnalm.evaluation.audit.checks import Check, Subject, check, worst
from dnalm.evaluation.audit.family import LEVEL, beyond_chance, one_of_each
from dnalm.evaluation.audit.probes import group_codes
from dnalm.evaluation.report.text import decimal, percent
from dnalm.names import TARGET
from dnalm.sequence.kmers import OTHER, canonical_kmers, decode, encode
from dnalm.tables.sequences import truth_column

SEARCHES = (("start", 4), ("start", 8), ("end", 4), ("end", 8), ("anywhere", 8), ("anywhere", 12))
"""Where, and the k of the k-mers. Short ones are looked for at single positions only: anywhere, chance has them all."""
LONG = 12
"""A k-mer of this length, in many unrelated groups, was put there; shorter ones may be motifs."""
RECALL = 0.02
"""Least share of a class that a marker is in."""
SERIOUS_RECALL = 0.05
"""From this share on, a marker that no biology excuses fails the audit."""
PRECISION = 1 / 3
"""How far the lower bound of a marker's precision is at least from the share of its class towards 1."""
ELSEWHERE = 3.0
"""A marker of a position is at least so many times as frequent there as its k-mer is at the other positions."""
FEWEST = 30
"""Fewest unrelated records of a class for which markers are looked for."""
MOST_RECORDS = 50_000
MOST_BASES = 10_000_000
"""Records and bases, at random, in which markers are looked for."""
_LONGEST_PERIOD = 6
_TRIED = 50
"""Best candidates of a search that are looked at closely."""


@dataclass(frozen=True)
class Marker:
    """The best marker of one search, or none (`word` empty).

    where: start, end, anywhere; place: bases before it from that end. label: the class that it marks. marked, unmarked:
    unrelated records of that class and of the others that have it; of, of_others: all of them. low: lower bound of
    the precision. candidates: k-mers (and places) times classes that were tried.
    """

    where: str
    k: int
    p: float | None
    p_holm: float | None = None
    word: str = ""
    place: int | None = None
    label: int = 0
    marked: int = 0
    of: int = 0
    unmarked: int = 0
    of_others: int = 0
    low: float = 0.0
    candidates: int = 0

    @property
    def precision(self) -> float:
        """Share of the records with the marker that are of its class."""
        return self.marked / max(self.marked + self.unmarked, 1)

    @property
    def recall(self) -> float:
        """Share of the records of its class that have the marker."""
        return self.marked / max(self.of, 1)

    @property
    def auroc(self) -> float:
        """AUROC of having the marker."""
        return (1 + self.recall - self.unmarked / max(self.of_others, 1)) / 2

    @property
    def periodic(self) -> bool:
        """Whether the word is a short repeat, which many sequences share by nature."""
        return any(self.word[period:] == self.word[:-period] for period in range(1, _LONGEST_PERIOD + 1))

    def as_json(self) -> dict[str, Any]:
        """The marker in the details of its check."""
        return {
            "where": self.where, "word": self.word, "place": self.place, "label": self.label,
            "precision": round(self.precision, 6), "precision_low": round(self.low, 6),
            "recall": round(self.recall, 6), "auroc": round(self.auroc, 6), "marked": self.marked, "of": self.of,
            "unmarked": self.unmarked, "of_others": self.of_others, "candidates": self.candidates,
            "p_holm": None if self.p_holm is None else float(f"{self.p_holm:.3g}"),
        }  # fmt: skip


def find_markers(records: pd.DataFrame) -> list[Marker]:
    """The best marker of each search, not yet judged; empty if a class has fewer than `FEWEST` unrelated records.

    records: columns sequence, label or target, group. Targets are taken as two classes, at most the median and above
    it.
    """
    column = truth_column(records)
    classes = records[column].to_numpy()
    if column == TARGET:
        classes = (classes > np.median(classes)).astype(np.int64) if len(classes) else classes.astype(np.int64)
    mean = records["sequence"].str.len().mean() if len(records) else 1.0
    rows = one_of_each(group_codes(records), classes, min(MOST_RECORDS, int(MOST_BASES / max(mean, 1.0))))
    present, classes = np.unique(classes[rows], return_inverse=True)
    sizes = np.bincount(classes, minlength=len(present))
    if len(present) < 2 or sizes.min() < FEWEST:
        return []
    words = _Words(*encode(records["sequence"].iloc[rows].tolist()))
    searches = [one for one in SEARCHES if one[0] != "end" or not words.one_length]
    return [_best(words, classes, sizes, present, *one) for one in tqdm(searches, desc="markers", mininterval=1)]


class _Words:
    """The k-mers of some sequences by where they are."""

    def __init__(self, codes: np.ndarray, offsets: np.ndarray) -> None:
        self.codes, self.offsets = codes, offsets
        self.lengths = np.diff(offsets)
        self.one_length = len(np.unique(self.lengths)) == 1

    def at(self, where: str, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Keys (place * 4**k + k-mer) and their sequences, each pair once, both (m,)."""
        if where == "anywhere":
            found, owners = canonical_kmers(self.codes, self.offsets, k)
            pairs = np.unique(owners * np.int64(4**k) + found.astype(np.int64))
            return pairs % 4**k, pairs // 4**k
        found, owners, starts = self._forward(k)
        place = starts - self.offsets[owners] if where == "start" else self.offsets[owners + 1] - k - starts
        return place * 4**k + found, owners

    def _forward(self, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every k-mer on its own strand, its sequence and its start, all (m,)."""
        windows = max(len(self.codes) - k + 1, 0)
        found, known = np.zeros(windows, np.int64), np.ones(windows, bool)
        for i in range(k):
            base = self.codes[i : i + windows]
            known &= base < OTHER
            found = 4 * found + (base & 3)
        owners = np.repeat(np.arange(len(self.lengths)), self.lengths)
        known &= owners[:windows] == owners[k - 1 :]
        starts = np.flatnonzero(known)
        return found[starts], owners[starts], starts

    def rate(self, word: int, k: int, members: np.ndarray) -> tuple[int, int]:
        """How often a k-mer is anywhere in some sequences, and the number of all k-mers there."""
        found, owners, _ = self._forward(k)
        within = members[owners]
        return int((found[within] == word).sum()), int(within.sum())


def _best(words: _Words, classes: np.ndarray, sizes: np.ndarray, present: np.ndarray, where: str, k: int) -> Marker:
    """The most significant marker of a search that is precise and frequent enough."""
    keys, owners = words.at(where, k)
    least = max(int(np.ceil(RECALL * sizes.min())), 3)
    values, counts = np.unique(keys, return_counts=True)
    values = values[counts >= least]
    if not len(values):
        return Marker(where, k, 1.0)
    slot = np.searchsorted(values, keys).clip(max=len(values) - 1)
    kept = values[slot] == keys
    table = np.bincount(slot[kept] * len(sizes) + classes[owners[kept]], minlength=len(values) * len(sizes))
    table = table.reshape(-1, len(sizes))
    total, number, candidates = table.sum(axis=1), len(classes), table.size
    tried: list[tuple[float, float, int, int]] = []
    for label in range(len(sizes)):
        marked, share = table[:, label], sizes[label] / number
        near = np.flatnonzero((marked >= RECALL * sizes[label]) & (marked > (share + PRECISION * (1 - share)) * total))
        low = beta.ppf(LEVEL / candidates, marked[near], total[near] - marked[near] + 1)
        precise = (low - share) / (1 - share) > PRECISION
        p = hypergeom.sf(marked[near] - 1, number, total[near], sizes[label]) * candidates
        tried += [(min(float(p[i]), 1.0), float(low[i]), int(near[i]), label) for i in np.flatnonzero(precise)]
    for p_value, bound, row, label in sorted(tried)[:_TRIED]:
        place, word = divmod(int(values[row]), 4**k)
        marked_here, other = int(table[row, label]), int(total[row] - table[row, label])
        if where != "anywhere" and not _of_its_place(words, word, k, classes == label, marked_here, sizes[label]):
            continue
        letters = decode(np.array([word >> 2 * shift & 3 for shift in range(k - 1, -1, -1)]))
        return Marker(
            where, k, p_value, None, letters, None if where == "anywhere" else place, int(present[label]),
            marked_here, int(sizes[label]), other, int(number - sizes[label]), bound, candidates,
        )  # fmt: skip
    return Marker(where, k, 1.0, candidates=candidates)


def _of_its_place(words: _Words, word: int, k: int, members: np.ndarray, marked: int, size: int) -> bool:
    """Whether a k-mer is far more frequent at one place of a class than at the others; else it is composition."""
    anywhere, windows = words.rate(word, k, members)
    elsewhere = (anywhere - marked) / max(windows - size, 1)
    return marked / size > ELSEWHERE * elsewhere


def markers(subject: Subject, found: list[Marker]) -> Check:
    """The markers as a check, given their corrected p values.

    Fail: a k-mer at one position, or one of `LONG` bases anywhere that is no short repeat, in `SERIOUS_RECALL` of a
    class or more. Warn: the same in fewer records (`RECALL` at least), a shorter k-mer or a short repeat anywhere, and
    on kind `repeats` anything anywhere, as repeats of one family share words.
    """
    shown = _distinct([marker for marker in found if marker.word and beyond_chance(marker)])
    tested = "k-mers of 4 and 8 bases at each position from either end, and of 8 and 12 bases anywhere"
    if shown:
        text = ". ".join(_described(subject, marker) for marker in shown) + "."
    elif found:
        text = f"No single k-mer marks {_what(subject)} ({tested}; in {percent(RECALL, 1)} of it or more)."
    else:
        text = f"Not looked for: fewer than {FEWEST} unrelated records of {_what(subject)}."
    anywhere_only = all(marker.where == "anywhere" for marker in shown)
    fix = (
        "A marker at a fixed position comes from how the sequences were cut or sequenced: take it off, or cut all of"
        " them in the same way, unless they are centred on what is to be learnt. "
        if not anywhere_only
        else ""
    ) + (
        "Look for the word in adapters, primers, cloning sites and interspersed repeats; mask it, or give the others"
        " their share of it."
    )
    return check(
        "markers", "Single markers", worst([_status(subject, marker) for marker in shown]), text,
        "A model needs to learn no more than one word to be right about every record that has it, and AUROC over all"
        " records hardly shows it.",
        fix, max((marker.recall for marker in shown), default=0.0), SERIOUS_RECALL,
        markers=[marker.as_json() for marker in shown], searches=len(found),
    )  # fmt: skip


def _status(subject: Subject, marker: Marker) -> str:
    if marker.where == "anywhere" and (marker.k < LONG or marker.periodic or subject.kind == "repeats"):
        return "warn"
    return "fail" if marker.recall >= SERIOUS_RECALL else "warn"


def _distinct(found: list[Marker]) -> list[Marker]:
    """The longest marker for each place (start, end, anywhere), without words that a marker at a position explains."""
    kept: dict[str, Marker] = {}
    for marker in sorted(found, key=lambda marker: marker.k):
        before = kept.get(marker.where)
        if before is None or before.label != marker.label or marker.recall >= 0.8 * before.recall:
            kept[marker.where] = marker
    placed = max((marker.recall for where, marker in kept.items() if where != "anywhere"), default=0.0)
    return [marker for where, marker in kept.items() if where != "anywhere" or marker.recall > 1.2 * placed]


def _what(subject: Subject) -> str:
    return "high or low targets" if subject.truth == TARGET else "a class"


def _described(subject: Subject, marker: Marker) -> str:
    if subject.truth == TARGET:
        of = "targets above the median" if marker.label else "targets up to the median"
    else:
        of = _named(subject.labels, marker.label)
    where = "" if marker.place is None else f" at position {marker.place + 1:,} from the {marker.where}"
    return (
        f"{marker.word}{where} marks {of}: {marker.marked:,} of its {marker.of:,} unrelated records"
        f" ({percent(marker.marked, marker.of)}) have it, {marker.unmarked:,} of the {marker.of_others:,} others"
        f" (precision {decimal(marker.precision)}, at least {decimal(marker.low)}; AUROC {decimal(marker.auroc)})"
    )


def _named(labels: Mapping[int, str], label: int) -> str:
    name = labels.get(label, str(label))
    return f"label {label}" if name == str(label) else f"label {label} ({name})"
