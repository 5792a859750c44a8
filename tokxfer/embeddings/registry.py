"""The initializers by name: one line each."""

from __future__ import annotations

import dataclasses
from typing import Any

from tokxfer.embeddings.asymmetric import Asymmetric
from tokxfer.embeddings.auto import Auto
from tokxfer.embeddings.blend import Blend
from tokxfer.embeddings.focus import Focus
from tokxfer.embeddings.gaussian import Gaussian
from tokxfer.embeddings.knn import Neighbours
from tokxfer.embeddings.linear import Linear
from tokxfer.embeddings.mean import Mean
from tokxfer.embeddings.omp import OMP
from tokxfer.embeddings.problem import Method
from tokxfer.embeddings.procrustes import Procrustes
from tokxfer.embeddings.subword import Subword
from tokxfer.embeddings.subword_first import SubwordFirst
from tokxfer.embeddings.subword_last import SubwordLast
from tokxfer.embeddings.subword_length import SubwordLength
from tokxfer.embeddings.tokenadapt_global import TokenAdaptGlobal
from tokxfer.embeddings.tokenadapt_hybrid import TokenAdaptHybrid
from tokxfer.embeddings.tokenadapt_local import TokenAdaptLocal
from tokxfer.embeddings.wechsel import Wechsel
from tokxfer.embeddings.zero import Zero
from tokxfer.errors import UsageError

REGISTRY: dict[str, type[Method]] = {
    "auto": Auto,
    "blend": Blend,
    "omp": OMP,
    "knn": Neighbours,
    "linear": Linear,
    "procrustes": Procrustes,
    "subword-uniform": Subword,
    "subword-length": SubwordLength,
    "subword-first": SubwordFirst,
    "subword-last": SubwordLast,
    "asymmetric": Asymmetric,
    "tokenadapt-local": TokenAdaptLocal,
    "tokenadapt-global": TokenAdaptGlobal,
    "tokenadapt-hybrid": TokenAdaptHybrid,
    "focus": Focus,
    "wechsel": Wechsel,
    "mean": Mean,
    "gaussian": Gaussian,
    "zero": Zero,
}
ALIASES = {"subword": "subword-uniform"}


def build_method(method: str | Method, **options: Any) -> Method:
    """The initializer of a name, with its options; an initializer given is returned as it is.

    Args:
        method: A name in `REGISTRY` or `ALIASES`, or an instance.
        options: The method's own options; those that are None keep their defaults.

    Raises:
        UsageError: The name is unknown, or the method has no such option.
    """
    options = {name: value for name, value in options.items() if value is not None}
    if not isinstance(method, str):
        if options:
            raise UsageError(
                f"Options ({', '.join(options)}) were given beside a ready-made method.",
                f"Set them on the method: {type(method).__name__}({next(iter(options))}=…).",
            )
        return method
    method = ALIASES.get(method, method)
    if method not in REGISTRY:
        raise UsageError(f"There is no method {method!r}.", f"Known: {', '.join(REGISTRY)}.")
    chosen: Any = REGISTRY[method]
    known = [field.name for field in dataclasses.fields(chosen)]
    for name in options:
        if name not in known:
            takes = f"It takes {', '.join(known)}." if known else "It takes no options."
            raise UsageError(f"The method {method!r} has no option {name!r}.", takes)
    built: Method = chosen(**options)
    return built
