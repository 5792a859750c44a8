"""`tokxfer.json`: what a transplant was made of, and how every token's row came about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tokxfer.embeddings import Assembly
from tokxfer.vocabulary import Origin

MANIFEST = "tokxfer.json"
PROVENANCE = "tokxfer_provenance.npz"


def write_manifest(
    folder: Path,
    *,
    inputs: Mapping[str, Any],
    options: Mapping[str, Any],
    versions: Mapping[str, str | None],
    result: Mapping[str, Any],
    assemblies: Mapping[str, Assembly],
) -> None:
    """Write the manifest, and beside it the combinations themselves.

    `options` are those asked for, `chosen` what the method made of them for each matrix.
    `tokxfer.json` names for every new token of every matrix its origin and, for a row taken over
    as it was, the base's id. `tokxfer_provenance.npz` holds the maps in compressed sparse rows:
    `<matrix>.indptr` [new tokens + 1], `<matrix>.indices` and `<matrix>.weights` [entries],
    `<matrix>.mean_weights` [new tokens].
    """
    provenance = {}
    arrays: dict[str, Any] = {}
    for matrix, assembly in assemblies.items():
        vocabulary_map = assembly.map
        taken = np.isin(vocabulary_map.origins, (Origin.COPIED, Origin.ROLE))
        firsts = vocabulary_map.indices[vocabulary_map.indptr[:-1][taken]]
        sources = np.full(vocabulary_map.rows, -1, dtype=np.int64)
        sources[taken] = firsts
        provenance[matrix] = {
            "counts": vocabulary_map.counts(),
            "origin": vocabulary_map.origins.tolist(),
            "base_id": sources.tolist(),
        }
        arrays[f"{matrix}.indptr"] = vocabulary_map.indptr
        arrays[f"{matrix}.indices"] = vocabulary_map.indices
        arrays[f"{matrix}.weights"] = vocabulary_map.weights
        arrays[f"{matrix}.mean_weights"] = vocabulary_map.means
    document = {
        "schema_version": 1,
        "inputs": dict(inputs),
        "options": dict(options),
        "chosen": {matrix: dict(assembly.details) for matrix, assembly in assemblies.items()},
        "versions": dict(versions),
        "result": dict(result),
        "origins": {int(origin): origin.name.lower() for origin in Origin},
        "provenance": provenance,
        "combinations": PROVENANCE,
    }
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    np.savez_compressed(folder / PROVENANCE, **arrays)


def file_hashes(files: list[Path]) -> dict[str, str]:
    """The sha256 of each file, by its name."""
    hashes = {}
    for path in files:
        with path.open("rb") as stream:
            hashes[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return hashes
