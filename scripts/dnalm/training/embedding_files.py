"""The files of embeddings: those stored of a model for all that read them, and those of one entry of the config."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dnalm.config.recipes import Pooling
from dnalm.config.stages.training import EmbedSettings
from dnalm.errors import UserError
from dnalm.files import atomic, read_json, write_json
from dnalm.tables.tokens import read_tokens
from dnalm.training.embedding import Embedder, chosen_layers, in_bf16, why_padded, write_vectors
from dnalm.training.engine.devices import choose_device, describe, make_repeatable, quiet, uses_bf16
from dnalm.training.engine.feeds import Examples
from dnalm.training.engine.records import Ids
from dnalm.training.engine.windows import cut
from dnalm.training.models.bodies import count_layers, open_body
from dnalm.training.models.loading import check_vocabulary, token_limit, window_size
from dnalm.training.models.tokenizers import load_tokenizer, specials_of

ROWS = 2**26
"""Bytes of vectors that are read at a time."""


def embed_split(
    settings: EmbedSettings,
    table: Path,
    tokens: Path,
    tokenizer: Path,
    checkpoint: Path | None,
    device: str,
    vectors: Path,
    record: Path,
) -> dict[str, Any]:
    """Write the vectors of a split's records, (n, layers, poolings, hidden) float32, and what they are; return that.

    table: the split; tokens: the folder of its tokens. The vectors of a record that `overlong: drop` leaves out are
    NaN. On a CUDA GPU that has bf16 the model runs in it, elsewhere in fp32.
    """
    quiet()
    make_repeatable()
    place, trust = choose_device(device), settings.trust_remote_code
    loaded = load_tokenizer(tokenizer, trust)
    specials = specials_of(loaded)
    body = open_body(
        checkpoint, settings.architecture, settings.seed is not None, specials, len(loaded), settings.seed or 0, trust
    )
    check_vocabulary(body, loaded, tokenizer)
    body.to(place)
    count = count_layers(body, specials)
    bf16 = uses_bf16("auto", place)
    found = read_tokens(tokens, settings.split)
    size = window_size(token_limit(body.body, loaded, settings.max_tokens), specials)
    windows = cut(found.lengths, size, settings.overlong, Ids(table))
    examples = Examples(found, windows, specials)
    reason = why_padded(in_bf16(body) if bf16 else body, examples)
    layers = chosen_layers(settings.layers, count)
    embedder = Embedder(body, count, layers, settings.pooling, packed=reason is None)
    with atomic(vectors) as temporary:
        write_vectors(temporary, embedder.vectors(examples, settings.split), windows.records, embedder.shape)
    facts = {
        "dataset": settings.dataset,
        "model": settings.model,
        "split": settings.split,
        "table": table.name,
        "initialisation": "pretrained" if settings.seed is None else "random",
        "seed": settings.seed,
        "checkpoint": settings.checkpoint,
        "counts": {
            **windows.counts(),
            "truncated": windows.overlong if settings.overlong == "truncate" else 0,
            "unknown_tokens": 0 if specials.unknown is None else found.count(specials.unknown),
        },
        "overlong": settings.overlong,
        "max_tokens": None if size >= 2**40 else size + specials.added(),
        "layers": layers,
        "layers_of_model": count,
        "poolings": settings.pooling,
        "hidden": embedder.hidden,
        "first_token": "special" if specials.prefix else "the record's own",
        "device": describe(place),
        "precision": "bf16" if bf16 else "fp32",
        "batches": "packed" if reason is None else "padded",
        "because": reason or "shown to give the same states as each sequence alone",
    }
    write_json(record, facts)
    return facts


@dataclass(frozen=True)
class Vectors:
    """Stored vectors of a split: values (n, layers, poolings, hidden), mapped; facts: what `embed_split` wrote."""

    values: NDArray[np.float32]
    facts: dict[str, Any]

    def column(self, layer: int, pooling: str) -> NDArray[np.float32]:
        """The vectors of a layer by its number, and a pooling, (n, hidden): a view of the file."""
        place = self.facts["layers"].index(layer), self.facts["poolings"].index(pooling)
        found: NDArray[np.float32] = self.values[:, place[0], place[1]]
        return found

    def kept(self) -> NDArray[np.bool_]:
        """Which records have vectors, (n,)."""
        if not self.facts["counts"]["dropped"]:
            return np.ones(len(self.values), dtype=bool)
        kept: NDArray[np.bool_] = ~np.isnan(self.values[:, 0, 0, 0])
        return kept

    def chosen(self, layers: str | Sequence[int], poolings: Sequence[str]) -> tuple[list[int], list[str]]:
        """Layers by their number in the model, and poolings, as a recipe or an embedding asks for them."""
        return chosen_layers(layers, self.facts["layers_of_model"]), list(poolings)


def read_vectors(path: Path) -> Vectors:
    """Map `{path}.npy` and read `{path}.json`."""
    values = path.with_name(f"{path.name}.npy")
    try:
        mapped = np.load(values, mmap_mode="r")
    except FileNotFoundError as error:
        raise UserError(f"{values}: no such file; embed the records first") from error
    except (ValueError, EOFError) as error:
        raise UserError(f"{values}: damaged file of vectors ({error})") from error
    return Vectors(mapped, read_json(path.with_name(f"{path.name}.json")))


def select(
    vectors: Vectors, table: Path, layers: str | Sequence[int], poolings: Sequence[Pooling], output: Path, parquet: Path
) -> dict[str, Any]:
    """Write some layers and poolings of stored vectors; return their facts.

    output: .npy of (kept records, layers, poolings, hidden) float32; parquet: the same, a row a record with its id and
    a list column `{pooling}_layer{n}` each. Memory holds `ROWS` bytes at a time.
    """
    numbers, names = vectors.chosen(layers, poolings)
    rows = [vectors.facts["layers"].index(number) for number in numbers]
    columns = [vectors.facts["poolings"].index(name) for name in names]
    hidden = vectors.facts["hidden"]
    kept = vectors.kept()
    shape = (len(rows), len(columns), hidden)
    kind = pa.list_(pa.float32(), hidden)
    fields = [pa.field("id", pa.string())]
    fields += [pa.field(f"{name}_layer{number}", kind) for number in numbers for name in names]
    step = max(1, ROWS // max(1, int(np.prod(vectors.values.shape[1:])) * 4))
    if (found := pq.ParquetFile(table).metadata.num_rows) != len(kept):
        raise UserError(f"{table}: has {found} records, and the stored vectors {len(kept)}; embed them again")
    with atomic(output) as npy, atomic(parquet) as temporary:

        def parts() -> Iterator[NDArray[Any]]:
            with pq.ParquetWriter(temporary, pa.schema(fields), compression="zstd") as writer:
                at = 0
                for ids in _ids(table, step):
                    inside = kept[at : at + len(ids)]
                    part = vectors.values[at : at + len(ids)][:, rows][:, :, columns][inside]
                    at += len(ids)
                    found = [pa.array(ids.to_numpy(zero_copy_only=False)[inside], pa.string())]
                    found += [
                        pa.FixedSizeListArray.from_arrays(pa.array(part[:, i, j].ravel()), hidden)
                        for i in range(len(rows))
                        for j in range(len(columns))
                    ]
                    writer.write_table(pa.Table.from_arrays(found, schema=pa.schema(fields)))
                    yield part

        write_vectors(npy, parts(), int(kept.sum()), shape)
    chosen = {"layers": numbers, "poolings": names, "records": int(kept.sum())}
    return vectors.facts | chosen


def _ids(table: Path, rows: int) -> Iterator[pa.Array]:
    """The ids of a table, a number of rows at a time."""
    with pq.ParquetFile(table) as opened:
        for batch in opened.iter_batches(rows, columns=["id"]):
            yield batch.column(0)
