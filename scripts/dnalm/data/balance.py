"""Negatives for positives: matched windows, shuffles or whole pieces. A matched negative carries its positive's id."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from dnalm.config.stages.data import BalanceSettings
from dnalm.data.attrition import kept_and_dropped
from dnalm.data.intervals import clip_to_context, inside_one, outside, spaced
from dnalm.data.matching import Wanted, draw_pieces, find_windows
from dnalm.data.sampling import apportion
from dnalm.errors import UserError
from dnalm.sequence.kmers import gc_counts
from dnalm.sequence.shuffle import distinct_shuffles
from dnalm.sequence.trf import best_repeats, is_installed
from dnalm.tables.ledger import entry
from dnalm.tables.sequences import LOCUS, SHUFFLED, sequence_table

if TYPE_CHECKING:
    import pysam

ELSEWHERE = "chromosome in no split"
CROWDED = "flank meets another repeat"
CALLED = "negative called by TRF"
SIBLING_CALLED = "another negative of its positive called by TRF"
SURPLUS = "no piece left for its negatives"


def balance(
    positives: pd.DataFrame,
    pieces: Mapping[str, pd.DataFrame],
    context: pd.DataFrame | None,
    genome: "pysam.FastaFile",
    settings: BalanceSettings,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Positives with their negatives as one sequence table, and the ledger.

    positives: a sequence table whose `sequence` has the flank. pieces: columns chrom, start, end of each source with a
    weight, except `shuffled`. context: the intervals without N and masked catalogues, needed with a flank.
    The table's last columns are `positive`, `LOCUS` if the positives have it and, with zones, `split`. The order of the
    given rows does not matter.

    With a context, the flanks of positives and negatives must lie in it: otherwise a model could tell the classes apart
    by repeats in the flanks. No negative overlaps a positive or another negative, flanks included.

    A positive that does not get all of its negatives is dropped. With `match: []` negatives belong to no positive, and
    if they are too few for the ratio, positives are dropped at random. With `exclude_trf`, a negative in which TRF
    finds a tandem repeat, flanks included, is dropped together with its positive and that positive's other negatives.
    No replacement is drawn, so that the remaining records are a subset of those drawn without `exclude_trf`.
    """
    if settings.exclude_trf and not is_installed():
        raise UserError(
            "balance.exclude_trf: trf is not installed; install it (conda: bioconda::trf, Debian: trf) or "
            "set it to false"
        )
    positives = positives.sort_values("id", ignore_index=True)
    zones: Mapping[str, Sequence[str]] = settings.zones or {"": genome.references}
    zone_of = _zone_of(zones, genome)
    zone = positives["chrom"].map(zone_of).to_numpy(object) if settings.zones else np.full(len(positives), "", object)
    reason = np.where(pd.isna(zone), ELSEWHERE, "").astype(object)
    if context is not None:
        reason[(reason == "") & _crowded(positives, context, settings.flank)] = CROWDED
        context = outside(context, _with_flanks(positives[reason == ""], settings.flank))
        whole = not settings.match
        pieces = {kind: clip_to_context(table, context, settings.flank, whole) for kind, table in pieces.items()}
        pieces = spaced(pieces, settings.flank) if whole else pieces
    core = [s[settings.flank : len(s) - settings.flank] for s in positives["sequence"]]
    length, gc = np.array([len(array) for array in core], np.int64), gc_counts(core)

    if settings.match:
        source = _assign_sources(reason == "", settings)
        _check_pieces(pieces, source, length)
        negatives = pd.concat(
            [
                _windows(Wanted(source, zone, length, gc), zones, pieces, genome, settings),
                _shuffles(positives["sequence"].tolist(), core, np.flatnonzero(source == SHUFFLED), settings),
            ]
        )
        negatives = _name_after_positives(negatives, positives["id"].to_numpy(object), zone)
        unmatched = (reason == "") & ~positives["id"].isin(negatives["positive"]).to_numpy()
        reason[unmatched] = [_no_match(kind) for kind in source[unmatched]]
        asked: dict[str, int] = {kind: settings.ratio * int(np.sum(source == kind)) for kind in settings.negatives}
        shortage = "no match for all negatives of a positive"
    else:
        negatives, asked = _whole_pieces(zone[reason == ""], zone_of, pieces, genome, settings)
        shortage = "no piece left"

    drawn = Counter(negatives["source"])
    lost = {kind: Counter({shortage: count - drawn[kind]}) for kind, count in asked.items()}
    if settings.exclude_trf:
        why = _called(negatives)
        for kind, one in zip(negatives["source"][why != ""], why[why != ""], strict=True):
            lost[kind][one] += 1
        reason[(reason == "") & positives["id"].isin(negatives["positive"][why != ""]).to_numpy()] = CALLED
        negatives = negatives[why == ""]
    if not settings.match:
        reason[_surplus(reason == "", zone, negatives, settings)] = SURPLUS

    kept = reason == ""
    dropped = Counter(reason[~kept].tolist())
    if not kept.any():
        raise UserError(_none_left(positives, dropped))
    lines = [entry("balance", str(positives["source"].iloc[0]), len(kept), int(kept.sum()), dropped)]
    lines += [
        entry("balance", kind, count, count - lost[kind].total(), lost[kind]) for kind, count in sorted(asked.items())
    ]
    features: dict[str, Any] = {
        "gc": gc / np.maximum(length, 1),
        "length": length,
        **{name: positives[name].astype(float) for name in ("motif_length", "copies", "divergence")},
    }
    compared = {name: kept_and_dropped(values, kept) for name, values in features.items()}
    records = _records(positives[kept].assign(split=zone[kept]), negatives, settings.zones is not None)
    return records, {"ledger": lines, "kept_vs_dropped": compared}


def _surplus(
    eligible: NDArray[np.bool_], zone: NDArray[np.object_], negatives: pd.DataFrame, settings: BalanceSettings
) -> NDArray[np.int64]:
    """Positives, drawn at random in each zone, for which there are fewer than `ratio` negatives each."""
    rng = np.random.default_rng([settings.seed, 5])
    surplus = [np.zeros(0, np.int64)]
    for name in sorted(set(zone[eligible])):
        members = np.flatnonzero(eligible & (zone == name))
        most = int((negatives["split"] == name).sum()) // settings.ratio
        surplus.append(rng.permutation(members)[most:])
    return np.concatenate(surplus)


def _called(negatives: pd.DataFrame) -> NDArray[np.object_]:
    """The reason to drop each negative, if any: TRF calls a repeat in it, or in another of its positive; shape (n,).

    TRF runs here, before `call_repeats` runs it on the records, because its calls decide which records there are.
    """
    called = np.array([repeat is not None for repeat in best_repeats(negatives["sequence"].tolist()) or []], bool)
    siblings = negatives["positive"].isin(negatives["positive"][called]).to_numpy()
    return np.where(called, CALLED, np.where(siblings, SIBLING_CALLED, "")).astype(object)


def _with_flanks(positives: pd.DataFrame, flank: int) -> pd.DataFrame:
    """Loci of the positives that have one, flanks included: columns chrom, start, end."""
    loci = positives.loc[positives["start"].notna(), ["chrom", "start", "end"]].astype({"start": int, "end": int})
    return loci.assign(start=loci["start"] - flank, end=loci["end"] + flank)


def _crowded(positives: pd.DataFrame, context: pd.DataFrame, flank: int) -> NDArray[np.bool_]:
    """Whether a flank of a located positive lies in no single context interval; shape (n,)."""
    loci = _with_flanks(positives, flank)
    clean = inside_one(loci.assign(end=loci["start"] + flank), context)
    clean &= inside_one(loci.assign(start=loci["end"] - flank), context)
    return positives.index.isin(loci.index[~clean])


def _zone_of(zones: Mapping[str, Sequence[str]], genome: "pysam.FastaFile") -> dict[str, str]:
    result = {}
    for zone, chromosomes in zones.items():
        for chrom in chromosomes:
            if chrom not in genome.references:
                there = ", ".join(genome.references[:5])
                raise UserError(
                    f"split.chromosomes.{zone}: the genome has no chromosome '{chrom}' (it has {there} ...)"
                )
            result[chrom] = zone
    return result


def _assign_sources(eligible: NDArray[np.bool_], settings: BalanceSettings) -> NDArray[np.object_]:
    """A source for each eligible positive, at random by weight and in exact proportion; empty for the others."""
    kinds = [kind for kind, weight in sorted(settings.negatives.items()) if weight]
    counts = apportion(int(eligible.sum()), [settings.negatives[kind] for kind in kinds])
    result = np.full(len(eligible), "", object)
    result[eligible] = np.random.default_rng([settings.seed, 0]).permutation(np.repeat(np.array(kinds, object), counts))
    return result


def _check_pieces(pieces: Mapping[str, pd.DataFrame], source: NDArray[np.object_], length: NDArray[np.int64]) -> None:
    """Raise a `UserError` if no piece of a source is as long as the shortest of its positives."""
    for kind, table in sorted(pieces.items()):
        lengths = length[source == kind]
        longest = int((table["end"] - table["start"]).max()) if len(table) else 0
        if len(lengths) and longest < lengths.min():
            raise UserError(
                _no_piece(kind, f"of {lengths.min()} bases, the shortest array (the longest has {longest})")
            )


def _no_piece(kind: str, what: str) -> str:
    if kind == "interspersed":
        return (
            f"negatives.interspersed: no soft-masked piece {what}; is the genome soft-masked? lower min_length, or "
            "leave this source out"
        )
    return f"negatives.{kind}: no unmasked piece {what}; lower min_length or mask less"


def _no_match(kind: str) -> str:
    return "shuffle equals an array" if kind == SHUFFLED else f"no matching negative ({kind})"


def _none_left(positives: pd.DataFrame, dropped: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
    if dropped.get(ELSEWHERE) and positives["chrom"].isna().all():
        return "split.method chromosome: arrays of a catalogue without a genome have no chromosome; use grouped"
    return f"none of {len(positives)} positives is left ({reasons}); widen gc_tolerance, mask less or lower flank"


def _windows(
    wanted: Wanted,
    zones: Mapping[str, Sequence[str]],
    pieces: Mapping[str, pd.DataFrame],
    genome: "pysam.FastaFile",
    settings: BalanceSettings,
) -> pd.DataFrame:
    """Matched windows: columns positive (row number), source, chrom, start, end, sequence."""
    tolerance = settings.gc_tolerance if "gc" in settings.match else 1.0
    found = find_windows(wanted, pieces, zones, genome, tolerance, settings.ratio, settings.flank, settings.seed)
    return found.assign(source=wanted.source[found["positive"]])


def _shuffles(whole: list[str], core: list[str], members: NDArray[np.int64], settings: BalanceSettings) -> pd.DataFrame:
    """Shuffles of some arrays, with their real flanks; none equals an array. Columns positive, source, sequence."""
    rng = np.random.default_rng([settings.seed, 1])
    taken, flank = set(core), settings.flank
    rows: list[tuple[int, str, str]] = []
    for member in tqdm(members.tolist(), desc="shuffling", mininterval=2, disable=not len(members)):
        shuffles = distinct_shuffles(core[member], settings.ratio, taken, rng) or []
        before, after = whole[member][:flank], whole[member][flank + len(core[member]) :]
        rows += [(member, SHUFFLED, before + shuffled + after) for shuffled in shuffles]
    return pd.DataFrame(rows, columns=["positive", "source", "sequence"]).astype({"positive": "int64"})


def _name_after_positives(negatives: pd.DataFrame, ids: NDArray[np.object_], zone: NDArray[np.object_]) -> pd.DataFrame:
    """Replace the row number in `positive` by the positive's id; the negative's id and split follow from it."""
    names = ids[negatives["positive"]]
    serial = negatives.groupby("positive").cumcount() + 1
    own = [f"{name}:{kind}-{n}" for name, kind, n in zip(names, negatives["source"], serial, strict=True)]
    return negatives.assign(id=own, positive=names, split=zone[negatives["positive"]])


def _whole_pieces(
    zone: NDArray[np.object_],
    zone_of: Mapping[str, str],
    pieces: Mapping[str, pd.DataFrame],
    genome: "pysam.FastaFile",
    settings: BalanceSettings,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Whole pieces for each zone, `ratio` for each of its positives, and how many were asked for of each source."""
    weights = {kind: weight for kind, weight in sorted(settings.negatives.items()) if weight}
    for kind in weights:
        if pieces[kind].empty:
            raise UserError(_no_piece(kind, "is long enough"))
    asked: dict[str, int] = dict.fromkeys(weights, 0)
    drawn = []
    for number, name in enumerate(sorted(set(zone))):
        wanted = apportion(settings.ratio * int(np.sum(zone == name)), list(weights.values()))
        for kind, count in zip(weights, wanted, strict=True):
            asked[kind] += int(count)
            here = pieces[kind][pieces[kind]["chrom"].map(zone_of) == name]
            rng = np.random.default_rng([settings.seed, 2, number])
            drawn.append(draw_pieces(here, int(count), genome, settings.flank, rng).assign(source=kind, split=name))
    negatives = pd.concat(drawn, ignore_index=True)
    places = zip(negatives["source"], negatives["chrom"], negatives["start"], negatives["end"], strict=True)
    ids = [f"{kind}:{chrom}:{start}-{end}" for kind, chrom, start, end in places]
    return negatives.assign(id=ids, positive=ids), asked


def _records(positives: pd.DataFrame, negatives: pd.DataFrame, with_split: bool) -> pd.DataFrame:
    """One sequence table of both: each positive followed by its negatives, then negatives that belong to none."""
    extra = ["positive", *(name for name in LOCUS if name in positives), *(["split"] if with_split else [])]
    negatives = sequence_table(negatives.assign(label=0, group=""), extra)
    negatives.loc[negatives["chrom"].notna(), "strand"] = "+"
    both = pd.concat([positives, negatives], ignore_index=True)
    both = both.assign(negative=both["label"] != 1).sort_values(["positive", "negative", "id"], ignore_index=True)
    return sequence_table(both, extra)
