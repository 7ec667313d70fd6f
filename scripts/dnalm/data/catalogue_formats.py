"""Readers of tandem-repeat catalogues, strict: a line that is neither a record nor a known header is an error."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from dnalm.errors import UserError
from dnalm.files import open_text
from dnalm.sequence.alphabet import IUPAC


class Repeat(NamedTuple):
    """One record. Positions are 0-based, half-open; `divergence` is the fraction that differs between copies."""

    name: str | None
    chrom: str
    start: int
    end: int
    sequence: str | None = None
    motif: str | None = None
    motif_length: int | None = None
    copies: float | None = None
    divergence: float | None = None
    filter: str | None = None


class _MalformedError(Exception):
    """What is wrong with a line; `read_catalogue` adds file and line."""


def read_catalogue(path: Path, layout: str) -> Iterator[tuple[int, Repeat]]:
    """Yield (line number, record) of a catalogue, in order.

    `layout`: `vntrseek` (VCF 4.1 as VNTRseek writes it), `ucsc` (the simpleRepeat table, with or without its bin
    column), `trf` (.dat, standard or -ngs) or `bed`; plain or gzip. Raises `UserError` with file and line.
    """
    place = _Lines()
    with open_text(path) as stream:
        try:
            for repeat in _READERS[layout](place.lines(stream)):
                _check_interval(repeat)
                yield place.line, repeat
        except _MalformedError as error:
            raise UserError(f"{path}, line {place.line}: {error}") from None


class _Lines:
    """Yields lines and keeps the number of the last one, for error messages."""

    line = 1

    def lines(self, stream: Iterable[str]) -> Iterator[str]:
        for self.line, text in enumerate(stream, 1):
            yield text.rstrip("\n")


def _check_interval(repeat: Repeat) -> None:
    if repeat.start < 0:
        raise _MalformedError(f"the interval starts before the chromosome (0-based start {repeat.start})")
    if repeat.end <= repeat.start:
        raise _MalformedError(f"the interval is empty or backwards (start {repeat.start}, end {repeat.end})")


def _integer(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _MalformedError(f"{what} '{text[:20]}' is not a whole number") from None


def _number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _MalformedError(f"{what} '{text[:20]}' is not a number") from None


def _dna(text: str, what: str) -> str:
    sequence = text.upper()
    if not sequence or sequence.translate(_NO_LETTERS):
        raise _MalformedError(f"{what} '{text[:20]}' is not DNA")
    return sequence


_NO_LETTERS = str.maketrans("", "", IUPAC)

_VCF_COLUMNS = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"]


def _vntrseek(lines: Iterator[str]) -> Iterator[Repeat]:
    """VCF 4.1. REF is one base (at POS) and the array; INFO has its copies (RC), motif length and motif (RPL, RCP) and
    array length (RAL).
    """
    if not next(lines, "").startswith("##fileformat=VCFv4"):
        raise _MalformedError("not a VCF: it must begin with ##fileformat=VCFv4.1 (or another 4.x)")
    has_columns = False
    for line in lines:
        if line.startswith("##") or not line.strip():
            continue
        fields = line.split("\t")
        if line.startswith("#"):
            if fields[:8] != _VCF_COLUMNS:
                raise _MalformedError(f"the VCF's columns must be {' '.join(_VCF_COLUMNS)} ..., separated by tabs")
            has_columns = True
            continue
        if not has_columns:
            raise _MalformedError("a record before the VCF's line of column names (#CHROM POS ...)")
        if len(fields) < len(_VCF_COLUMNS):
            raise _MalformedError(
                f"{len(fields)} columns; a VCF record has at least {len(_VCF_COLUMNS)}, separated by tabs"
            )
        chrom, position, name, reference, _, _, status, about = fields[:8]
        start = _integer(position, "POS")
        info = dict(item.partition("=")[::2] for item in about.split(";"))
        missing = [key for key in ("RC", "RPL", "RAL", "RCP") if key not in info]
        if missing:
            raise _MalformedError(f"INFO lacks {', '.join(missing)}; is it VNTRseek's VCF?")
        sequence = _dna(reference, "REF")[1:]
        if len(sequence) != _integer(info["RAL"], "RAL"):
            raise _MalformedError(
                f"REF has {len(reference)} bases, and RAL is {info['RAL']}; VNTRseek's REF is the base before the "
                "array, then the array"
            )
        yield Repeat(
            name=None if name == "." else name,
            chrom=chrom,
            start=start,
            end=start + len(sequence),
            sequence=sequence,
            motif=_dna(info["RCP"], "RCP"),
            motif_length=_integer(info["RPL"], "RPL"),
            copies=_number(info["RC"], "RC"),
            filter=None if status == "." else status,
        )


def _ucsc(lines: Iterator[str]) -> Iterator[Repeat]:
    """UCSC's simpleRepeat table: [bin] chrom chromStart chromEnd name period copyNum consensusSize perMatch perIndel
    score A C G T entropy sequence.
    """
    for line in lines:
        if line.startswith("#") or not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) not in (16, 17):
            raise _MalformedError(f"{len(fields)} columns; simpleRepeat has 17 (16 without bin), separated by tabs")
        chrom, start, end, _, _, copies, size, matches = fields[len(fields) - 16 :][:8]
        yield Repeat(
            name=None,
            chrom=chrom,
            start=_integer(start, "chromStart"),
            end=_integer(end, "chromEnd"),
            motif=_dna(fields[-1], "sequence"),
            motif_length=_integer(size, "consensusSize"),
            copies=_number(copies, "copyNum"),
            divergence=_divergence(matches, "perMatch"),
        )


def _divergence(matches: str, what: str) -> float:
    """The fraction of mismatches, from the percentage of matches between neighbouring copies."""
    return round(1 - _number(matches, what) / 100, 4)


# First words of the header lines that TRF writes around its records.
_TRF_HEADINGS = (
    "Tandem Repeats Finder", "Gary Benson", "Program in Bioinformatics", "Boston University",
    "Department of", "Mount Sinai", "Version", "Parameters:",
)  # fmt: skip


def _trf(lines: Iterator[str]) -> Iterator[Repeat]:
    """TRF's .dat: 15 columns under `Sequence: name`, or with -ngs 17 (with the flanks) under `@name`."""
    chrom: str | None = None
    for line in lines:
        if not line.strip() or line.startswith(_TRF_HEADINGS):
            continue
        if line.startswith(("@", "Sequence:")):
            header = line.removeprefix("@").removeprefix("Sequence:").split(None, 1)
            if not header:
                raise _MalformedError("a sequence without a name")
            chrom = header[0]
            continue
        fields = line.split()
        if chrom is None or len(fields) not in (15, 17):
            raise _MalformedError(
                "not TRF's .dat: expected records of 15 or 17 columns under 'Sequence: name' or '@name'"
            )
        yield Repeat(
            name=None,
            chrom=chrom,
            start=_integer(fields[0], "start") - 1,
            end=_integer(fields[1], "end"),
            sequence=_dna(fields[14], "sequence"),
            motif=_dna(fields[13], "consensus"),
            motif_length=_integer(fields[4], "consensus size"),
            copies=_number(fields[3], "copies"),
            divergence=_divergence(fields[5], "percent matches"),
        )


def _bed(lines: Iterator[str]) -> Iterator[Repeat]:
    """BED: chrom, start, end and an optional name; other columns are ignored."""
    for line in lines:
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        fields = line.split("\t") if "\t" in line else line.split()
        if len(fields) < 3:
            raise _MalformedError(f"{len(fields)} columns; BED has at least 3: chrom, start, end")
        yield Repeat(
            name=fields[3] if len(fields) > 3 and fields[3] not in ("", ".") else None,
            chrom=fields[0],
            start=_integer(fields[1], "start"),
            end=_integer(fields[2], "end"),
        )


_READERS: dict[str, Callable[[Iterator[str]], Iterator[Repeat]]] = {
    "vntrseek": _vntrseek,
    "ucsc": _ucsc,
    "trf": _trf,
    "bed": _bed,
}
