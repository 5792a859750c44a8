"""What `next_bytes.py` writes into the pages: a table, or a picture with one sentence."""

from __future__ import annotations

from typing import Any

from tables import markdown_table

NAMES = {"tokens": "token prompt", "healing": "token healing", "bytes": "bytes"}
TAIL = 22  # bytes of a prompt that are shown
STOP = 256
SIGNS = {" ": "␣", "\n": "↵", "\t": "→", "\r": "↵"}
Figures = dict[str, Any]


def full(document: Figures, picture: str | None) -> str:
    """The table, and what it was made with."""
    around, (first, last) = document["environment"], document["places"]
    made = (
        f"`{document['command']}`, seed {document['seed']}; tokxfer {around['tokxfer']}, torch "
        f"{around['packages']['torch']}, Python {around['python']}; {around['platform']}. By the "
        f"seed: documents, and one cut between two letters in the bytes {first} to {last} of each."
    )
    rows = []
    for prompt in document["prompts"]:
        place = "inside" if prompt["inside"] else "at its end"
        cells = [cell(prompt, method) for method in NAMES]
        tail = code("…" + shown(tail_of(prompt)))
        rows.append([prompt["model"], tail, place, code(sign(prompt["next"])), *cells])
    columns = ["model", "prompt", "cut of a token", "next byte", *NAMES.values()]
    table = markdown_table(columns, rows, "llllrrr")
    return "\n\n".join([made, table, told(document), *pictured(picture)])


def short(document: Figures, picture: str | None) -> str:
    """How often each method is right, and the picture."""
    return "\n\n".join([told(document), *pictured(picture)])


def told(document: Figures) -> str:
    """How often each method is right, in one sentence."""
    prompts = document["prompts"]
    right = {m: sum(likeliest(one, m) == one["next"] for one in prompts) for m in NAMES}
    mean = {m: sum(one["laws"][m][one["next"]] for one in prompts) / len(prompts) for m in NAMES}
    says = ", ".join(f"{right[m]} by {name}" for m, name in NAMES.items())
    gives = ", ".join(f"{mean[m]:.2f} by {name}" for m, name in NAMES.items())
    return (
        f"Of {len(prompts)} cuts, the byte that really follows is called the likeliest at {says}; "
        f"its mean probability is {gives}."
    )


def cell(prompt: Figures, method: str) -> str:
    """The probability of the byte that follows; and what is likelier, if anything is."""
    law, top = prompt["laws"][method], likeliest(prompt, method)
    rival = "" if top == prompt["next"] else f" ({code(sign(top))} {law[top]:.2f})"
    return f"{law[prompt['next']]:.2f}{rival}"


def likeliest(prompt: Figures, method: str) -> int:
    """The outcome with the most probability."""
    law = prompt["laws"][method]
    return max(range(len(law)), key=law.__getitem__)


def tail_of(prompt: Figures) -> bytes:
    """The end of a prompt."""
    return bytes.fromhex(prompt["prompt"])[-TAIL:]


def shown(data: bytes) -> str:
    """Bytes as one line of text; spaces stay."""
    text = data.decode(errors="ignore")
    return "".join(" " if one == " " else sign(ord(one)) for one in text)


def sign(outcome: int) -> str:
    """A visible sign for a byte, a character or the end of the text."""
    if outcome == STOP:
        return "end"
    one = chr(outcome)
    return SIGNS.get(one) or (one if one.isprintable() else f"\\x{outcome:02x}")


def code(text: str) -> str:
    """Text as code in a Markdown table."""
    fence = "``" if "`" in text else "`"
    room = " " if "`" in text else ""
    return fence + room + text.replace("|", "\\|") + room + fence


def pictured(picture: str | None) -> list[str]:
    """The picture, if there is one."""
    about = "Probability of the next byte behind prompts cut in mid-word, by method"
    return [f"![{about}]({picture})"] if picture else []
