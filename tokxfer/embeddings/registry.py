"""The initializers by name: one line each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

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


class Type(NamedTuple):
    """What an option of some type takes, and how that is called."""

    fits: Callable[[Any], bool]
    called: str


def truth(value: Any) -> bool:
    """Whether a value is a truth value, which Python takes for a number too."""
    return isinstance(value, (bool, np.bool_))


TYPES = {
    "bool": Type(truth, "true or false"),
    "int": Type(lambda v: isinstance(v, Integral) and not truth(v), "a whole number"),
    "float": Type(lambda v: isinstance(v, Real) and not truth(v), "a number"),
    "str": Type(lambda v: isinstance(v, str), "a word"),
}


def build_method(method: str | Method, **options: Any) -> Method:
    """The initializer of a name, with its options; an initializer given is returned as it is.

    Args:
        method: A name in `REGISTRY` or `ALIASES`, or an instance.
        options: The method's own options; those that are None keep their defaults.

    Raises:
        UsageError: The name is unknown, the method has no such option, or a value is none for it.
    """
    options = {name: value for name, value in options.items() if value is not None}
    if not isinstance(method, str):
        if options:
            raise UsageError(
                f"Options ({', '.join(options)}) were given beside a ready-made method.",
                f"Set them on the method: {type(method).__name__}({next(iter(options))}=…).",
            )
        check_values(type(method), own_options(method))
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
    check_values(chosen, options)
    types = {field.name: str(field.type).split(" | ") for field in dataclasses.fields(chosen)}
    built: Method = chosen(**{name: plain(v, types[name]) for name, v in options.items()})
    return built


def plain(value: Any, allowed: Sequence[str]) -> Any:
    """A value as Python and JSON have it, a float where no whole number is asked for."""
    value = value.item() if isinstance(value, np.generic) else value
    whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if whole and "float" in allowed else value


def own_options(method: Method) -> dict[str, Any]:
    """The options of a ready-made method."""
    return {f.name: getattr(method, f.name) for f in dataclasses.fields(method)}  # type: ignore[arg-type]


def check_values(method: Any, options: Mapping[str, Any]) -> None:
    """Refuse values that are of another type than an option; whole numbers are numbers, too.

    Raises:
        UsageError: One is.
    """
    types = {field.name: str(field.type) for field in dataclasses.fields(method)}
    for name, value in options.items():
        allowed = types[name].split(" | ")
        if not any(kind in TYPES and TYPES[kind].fits(value) for kind in allowed):
            wanted = " or ".join(TYPES[kind].called for kind in allowed if kind in TYPES)
            raise UsageError(
                f"The option {name} of {method.name} is {value!r}; it must be {wanted}.",
                f"Leave it out for the default, {getattr(method, name)!r}.",
            )
