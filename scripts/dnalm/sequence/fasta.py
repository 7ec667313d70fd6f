"""FASTA read in blocks and strictly: what is not nucleotide FASTA is an error that names the line.

Why not a library: Biopython's and pysam's parsers hold a whole record, have no line numbers and accept any letter.
"""

import codecs
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import IO, NamedTuple

from dnalm.errors import UserError
from dnalm.files import open_bytes
from dnalm.sequence.alphabet import IUPAC

BLOCK = 1 << 22
"""Bytes read at a time: memory does not grow with the record."""

_BLANK = b" \t\r\n"
_LETTERS = (IUPAC + IUPAC.lower()).encode()


class Piece(NamedTuple):
    """Some bases of a record, case kept; `line` is the line of the record's header, which identifies the record."""

    line: int
    name: str
    bases: bytes


def read_fasta(path: Path | str, whole_header: bool = False) -> Iterator[Piece]:
    """Yield a FASTA file (plain, gzip or bgzip) piece by piece, in order; each record has at least one piece.

    A record's name is its header up to the first blank, or all of it with `whole_header`. Raises `UserError` with file,
    line and record: not FASTA, no record, a record without a name or without bases, a letter that is no IUPAC code of
    DNA (U is refused).
    """
    name: str | None = None
    header = length = 0
    with open_bytes(path) as stream:
        for line, is_header, text in _parts(stream):
            if is_header:
                _check_length(path, header, name, length)
                words = text.decode(errors="replace").split(None, 0 if whole_header else 1)
                name = (words or [""])[0].rstrip()
                header, length = line, 0
                if not name or text[:1].isspace():
                    raise UserError(f"{path}, line {line}: a record without a name")
                continue
            bases = text.translate(None, _BLANK)
            if name is None:
                if bases:
                    start = text.split()[0][:20].decode(errors="replace")
                    raise UserError(f"{path}: not FASTA (starts with {start!r}, not '>')")
            elif bases.translate(None, _LETTERS):
                raise UserError(f"{path}, line {_bad_letter(line, text, name)}")
            elif bases:
                length += len(bases)
                yield Piece(header, name, bases)
    if name is None:
        raise UserError(f"{path}: the file is empty")
    _check_length(path, header, name, length)


def _check_length(path: Path | str, line: int, name: str | None, length: int) -> None:
    if name is not None and not length:
        raise UserError(f"{path}, line {line}: record '{name}' has no sequence")


def _bad_letter(line: int, text: bytes, name: str) -> str:
    offset = min(text.index(letter) for letter in set(text.translate(None, _LETTERS + _BLANK)))
    letter = chr(text[offset])
    line += text.count(b"\n", 0, offset)
    return f"{line}: record '{name}' has the letter {letter!r}, which is not DNA; give a nucleotide FASTA"


def _parts(stream: IO[bytes]) -> Iterator[tuple[int, bool, bytes]]:
    """Yield (number of the first line, is it a header, text): headers whole, sequence lines in blocks."""
    line = 1
    line_start = True
    header: bytes | None = None
    mark = codecs.BOM_UTF8
    while block := stream.read(BLOCK):
        block, mark = block.removeprefix(mark), b""
        at = 0
        while at < len(block):
            if header is not None:
                end = block.find(b"\n", at)
                header += block[at:] if end < 0 else block[at:end]
                if end < 0:
                    break
                yield line, True, header
                header, line_start, at, line = None, True, end + 1, line + 1
            elif line_start and block[at] == ord(">"):
                header, at = b"", at + 1
            else:
                end = block.find(b"\n>", at)
                text = block[at:] if end < 0 else block[at : end + 1]
                yield line, False, text
                line_start, at, line = text.endswith(b"\n"), at + len(text), line + text.count(b"\n")
    if header is not None:
        yield line, True, header


def read_sequences(path: Path | str) -> list[str]:
    """The sequences of a FASTA file as upper-case text, in order; errors as in `read_fasta`."""
    pieces = groupby(read_fasta(path), key=lambda piece: piece.line)
    return [b"".join(piece.bases for piece in record).decode().upper() for _, record in pieces]
