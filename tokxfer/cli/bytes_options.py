"""What the verbs of `tokxfer bytes` share: a text from one of three places, and the law."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tokxfer.cli import options

if TYPE_CHECKING:
    from tokxfer.bytelevel import ByteLM


class Share(click.FloatRange):
    """A part of one: 0 or more, less than 1."""

    def __init__(self) -> None:
        super().__init__(min=0, max=1, max_open=True)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number, which must be one."""
        found = float(super().convert(value, param, ctx))
        if math.isnan(found):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return found


model = click.argument("model", metavar="MODEL")
text = click.argument("text", required=False, metavar="[TEXT]")
in_hex = click.option(
    "--hex",
    "in_hex",
    metavar="DIGITS",
    help="Bytes in place of TEXT, as they are: nothing is put before them.",
)
law = click.option(
    "--law",
    type=click.Choice(["canonical", "all"]),
    default="canonical",
    show_default=True,
    help="Which token sequences count: those that the tokenizer itself writes, or all.",
)
horizon = click.option(
    "--horizon",
    type=click.IntRange(min=0),
    metavar="BYTES",
    help="all: bytes at the end of a text that are taken in every tokenization; each more than "
    "doubles the work.  [4]",
)
epsilon = click.option(
    "--epsilon",
    type=Share(),
    default=0.0,
    show_default=True,
    metavar="PART",
    help="Leave out token sequences with at most this part of the mass, and bound the error.",
)
no_bos = click.option("--no-bos", is_flag=True, help="Put no begin token before the text.")
asking = options.shared(law, horizon, epsilon, no_bos)
loaded = options.shared(
    options.device,
    options.compute_dtype,
    options.revision,
    options.trust_remote_code,
    options.offline,
)


def one_source(text: str | None, in_hex: str | None, file: str | None, name: str = "text") -> None:
    """Refuse two places to read a text from.

    Args:
        text, in_hex, file: What was given.
        name: The argument; other ones than "text" have options that begin with it.

    Raises:
        UsageError: There are two.
    """
    from tokxfer.errors import UsageError

    if sum(source is not None for source in (text, in_hex, file)) > 1:
        hexed, filed = (option(name, kind) for kind in ("hex", "file"))
        raise UsageError(
            f"There are two {'texts' if name == 'text' else f'of the {name}'}.",
            f"Give one of {name.upper()}, {hexed} and {filed}.",
        )


def option(name: str, kind: str) -> str:
    """How an argument is given otherwise: --hex, or --suffix-hex."""
    return f"--{kind}" if name == "text" else f"--{name}-{kind}"


def given(text: str | None, in_hex: str | None, name: str = "text") -> str | bytes | None:
    """The text of the command line itself, checked; None where there is none.

    Raises:
        UsageError: It is not UTF-8, or not hexadecimal.
    """
    from tokxfer.errors import UsageError

    if in_hex is not None:
        try:
            return bytes.fromhex(in_hex)
        except ValueError:
            raise UsageError(
                f"{option(name, 'hex')} {in_hex!r} is not hexadecimal.",
                "Write two digits a byte: 'c3 a9' or c3a9.",
            ) from None
    if text is not None:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{name.upper()} is not UTF-8.", f"Give its bytes with {option(name, 'hex')}."
            ) from None
    return text


def prompt(
    text: str | None, in_hex: str | None, file: str | None, name: str = "text"
) -> str | bytes:
    """The text to go on from: as given, or the whole of a file; empty where there is none.

    Raises:
        UsageError: There are two, or it is not what it should be.
        TokxferError: The file is not UTF-8.
    """
    one_source(text, in_hex, file, name)
    if file is None:
        return given(text, in_hex, name) or ""
    from tokxfer.workflows.text import read_whole

    return read_whole(Path(file))


def refuse_nothing(prompt: str | bytes, no_bos: bool) -> None:
    """Refuse to ask for a first byte that nothing stands before.

    Raises:
        UsageError: There is neither prompt nor begin token.
    """
    from tokxfer.errors import UsageError

    if no_bos and not prompt:
        raise UsageError("The prompt is empty, and --no-bos puts nothing before it.")


def within(law: str, horizon: int | None) -> dict[str, Any]:
    """The horizon as an argument, if one was given.

    Raises:
        UsageError: The law has none.
    """
    from tokxfer.errors import UsageError

    if horizon is None:
        return {}
    if law != "all":
        raise UsageError(f"The law {law} has no horizon.", "Add --law all, or leave it out.")
    return {"horizon": horizon}


def load(model: str, law: str, horizon: int | None, **loading: Any) -> ByteLM:
    """The model, asked for bytes by a law."""
    from tokxfer.bytelevel import ByteLM

    return ByteLM.from_pretrained(model, law=law, **within(law, horizon), **loading)


def spelled(value: int) -> str:
    """A byte as people read it: 'a', ' ', '\\n' or '\\xc3'."""
    return repr(bytes([value]))[1:]
