"""How fast a model answers for bytes: against its own forwards, plain tokens and genlm-bytes.

    python scripts/bench/byte_speed.py                     # some minutes on one idle core
    python scripts/bench/byte_speed.py --page docs/benchmarks.md --json build/bench/byte_speed.json
    python scripts/bench/byte_speed.py --no-peers --rounds 1
    python scripts/bench/byte_speed.py --smoke             # seconds, on a tiny shape

The model has GPT-2's shape and random weights, and GPT-2's own tokenizer, read from
$TOKXFER_SHARED/tokenizers/gpt2; the text is English prose that is held out. Every contender runs
once a round, in turn; figures are medians over rounds, ratios are medians of the rounds' own. What
is left out at an epsilon is measured on a trained reference model, because random ones leave all
continuations open.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
import peers
from byte_speed_runs import LIMIT, Contest, Lap, overhead
from tables import markdown_table, replace_block

from tokxfer.bytelevel import ByteLM
from tokxfer.workflows.environment import environment
from tokxfer.workflows.text import read_documents

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
SHARED = Path(os.environ.get("TOKXFER_SHARED", ROOT.parent / "shared"))
RANDOM = "GPT-2's shape, random"
SHAPES = {"gpt2": {}, "tiny": {"n_layer": 2, "n_head": 2, "n_embd": 32}}
HEADINGS = ["heads a byte", "in the model"]
Figures = dict[str, Any]


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    folder = shaped(options.tokenizer, options.cache, "tiny" if options.smoke else "gpt2")
    text = next(iter(read_documents(options.text, 1))).encode()[: options.bytes]
    contests = {RANDOM: Contest(ByteLM.from_pretrained(folder), text, 0.0)}
    folders = {RANDOM: folder}
    for trained in options.trained:
        name = f"{trained.name}, trained"
        contests[name] = Contest(ByteLM.from_pretrained(trained), text, options.epsilon)
        folders[name] = trained
    rounds: list[dict[str, dict[str, Lap]]] = []
    for number in range(options.rounds + 1):  # the first one warms up
        laps = {name: contest.round() for name, contest in contests.items()}
        if options.peers:
            for name, where in folders.items():
                laps[name]["genlm-bytes"] = genlm(where, text, options, number == 0)
        rounds += [laps] if number else []
        print(f"round {number} of {options.rounds} is done", file=sys.stderr, flush=True)
    whole = "\n".join(read_documents(options.text, 4)).encode()
    document = {
        "schema_version": 1,
        "command": shlex.join(
            ["python", "scripts/bench/byte_speed.py", *(arguments or sys.argv[1:])]
        ),
        "bytes": len(text),
        "tokens": {name: len(contest.ids) for name, contest in contests.items()},
        "epsilon": options.epsilon,
        "threads": options.threads,
        "rounds": [
            {name: {who: lap.to_dict() for who, lap in laps.items()} for name, laps in one.items()}
            for one in rounds
        ],
        "overhead": overhead(contests[RANDOM].lm, whole[: 20 * len(text)]),
        "environment": environment().to_dict(),
    }
    page = written(document)
    print(page)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.page:
        replace_block(options.page, "byte-speed", page)
    if options.readme:
        replace_block(options.readme, "byte-speed", short(document))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokenizer", type=Path, default=SHARED / "tokenizers" / "gpt2")
    parser.add_argument("--trained", type=Path, nargs="+", default=[MODELS / "english-bytebpe"])
    parser.add_argument("--text", type=Path, default=MODELS / "held_out.jsonl")
    parser.add_argument("--bytes", type=int, default=500)
    parser.add_argument("--epsilon", type=float, default=1e-3, help="on the trained model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--smoke", action="store_true", help="a tiny shape, a short text, no peers")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "bench" / "byte_speed")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument("--page", type=Path, help="page whose place 'table:byte-speed' is filled")
    parser.add_argument("--readme", type=Path, help="the same, with two sentences")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.bytes, options.rounds, options.peers = 40, 1, False
    if not options.tokenizer.is_dir():
        sys.exit(
            f"There is no tokenizer in {options.tokenizer}: name a folder with --tokenizer, or the "
            "one that holds tokenizers/ with TOKXFER_SHARED."
        )
    return options


def shaped(tokenizer: Path, cache: Path, shape: str) -> Path:
    """A folder with a random model of GPT-2's shape, made once."""
    import transformers

    folder = cache / shape
    if not (folder / "config.json").exists():
        torch.manual_seed(0)
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**SHAPES[shape]))
        model.save_pretrained(folder)
        for file in tokenizer.iterdir():
            shutil.copyfile(file, folder / file.name)
        settings = {"tokenizer_class": "GPT2TokenizerFast"}
        settings |= dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
        (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def genlm(folder: Path, text: bytes, options: argparse.Namespace, warm: bool) -> Lap:
    """genlm-bytes at its README's setting, in its own environment; short when it warms up."""
    program = Path(__file__).parent / "byte_speed_genlm.py"
    asked = text[:20] if warm else text
    command = [str(peers.genlm_python()), str(program), str(folder), asked.hex()]
    told = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(options.threads)}
    answer = subprocess.run(command, env=told, capture_output=True, text=True, check=True).stdout
    found = json.loads(answer.splitlines()[-1])
    return Lap(found["seconds"], len(asked), heads=found["heads"], zeros=found["zeros"])


def written(document: Figures) -> str:
    """The tables, and what they were made with."""
    around = document["environment"]
    parts = [
        f"`{document['command']}`: {document['bytes']} bytes of held-out English, batch 1, "
        f"{document['threads']} thread(s), medians of {len(document['rounds'])} rounds, ratios "
        f"medians of the rounds' own. tokxfer "
        f"{around['tokxfer']}, torch {around['packages']['torch']}, transformers "
        f"{around['packages']['transformers']}, {peers.GENLM}; {around['platform']}."
    ]
    parts += [overhead_line(document["overhead"])]
    for name in document["rounds"][0]:
        rounds = [one[name] for one in document["rounds"]]
        rows = [row(who, rounds) for who in rounds[0]]
        parts += [
            f"{name} ({document['tokens'][name]} tokens):",
            markdown_table(
                ["", "bytes/s", "to plain tokens", "to one forward", *HEADINGS], rows, "lrrrrr"
            ),
        ]
    return "\n\n".join(parts)


def short(document: Figures) -> str:
    """How fast known texts are scored and unknown ones gone through, in two sentences."""
    scores, ratios, streams = list[str](), list[str](), list[str]()
    for name in document["rounds"][0]:
        rounds = [one[name] for one in document["rounds"]]
        _, rate, ratio, *_ = row("score, all laws", rounds)
        scores.append(f"{rate} bytes a second ({name})")
        ratios.append(ratio)
        streams.append(row("stream, all laws", rounds)[1])
    return (
        f"On {document['threads']} thread(s) of a CPU a known text is scored at "
        f"{' and '.join(scores)}: {' and '.join(ratios)} times the speed at which the same model "
        f"answers for its plain tokens. Byte after byte it is {' and '.join(streams)}."
    )


def overhead_line(found: dict[str, float]) -> str:
    """What a head costs beside the model: at once, and byte after byte as a text grows."""
    score, *streamed = found.values()
    last = list(found)[-1].removeprefix("stream at ")
    return (
        f"Outside the model, with GPT-2's vocabulary, a head takes {score:.2f} ms in `score`; in "
        f"`stream` {statistics.median(streamed):.2f} ms, in the last part before {last} "
        f"{streamed[-1]:.2f} ms."
    )


def row(who: str, rounds: list[Figures]) -> list[str]:
    """One contender's line."""
    rates = [one[who]["bytes"] / one[who]["seconds"] for one in rounds]
    beside = [
        [one[other]["seconds"] / one[who]["seconds"] for one in rounds]
        for other in ("plain tokens", LIMIT)
    ]
    ratios = [f"{statistics.median(found):.2f}" for found in beside]
    lap = rounds[0][who]
    share = [one[who]["model_seconds"] / one[who]["seconds"] for one in rounds]
    heads = "" if lap["heads"] is None else f"{lap['heads'] / lap['bytes']:.2f}"
    inside = f"{statistics.median(share):.0%}" if lap["model_seconds"] else ""
    zeros = f" ({lap['zeros']} true bytes got probability 0)" if lap["zeros"] else ""
    return [who + zeros, f"{statistics.median(rates):,.1f}", *ratios, heads, inside]


if __name__ == "__main__":
    main()
