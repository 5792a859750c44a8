# ruff: noqa: ARG002 (the interface is genlm's)
"""genlm-bytes on a law of tokens: run by the Python of its own environment, see `peers.py`.

    python markov_genlm.py job.npz answers.npz

The job holds the automaton of the law (`nats`, `behind`, see markov_law.py), the bytes of every
id, the ids that begin and end texts, and the texts. The answers are the laws of the byte behind
every beginning of every text, for every beam width.
"""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from genlm.backend.llm.base import AsyncLM
from genlm.backend.tokenization import Token
from genlm.bytes import BeamParams, ByteBeamState

STOP, OUTCOMES = 256, 257
EOS = 257  # of genlm-bytes
LEAST = 1e-30  # a probability: no token of a real model has none, and single precision has this


class LawLM(AsyncLM):  # type: ignore[misc]
    """A model that answers from the automaton; behind what never comes all tokens are alike."""

    def __init__(self, job: Any) -> None:
        size = job["nats"].shape[1]
        self.nats = torch.from_numpy(job["nats"]).clamp(min=float(np.log(LEAST)))
        self.nats = torch.cat([self.nats, torch.full((1, size), -float(np.log(size)))])
        self.behind = job["behind"].tolist()
        self.byte_vocab = [
            Token(token_id=token, byte_string=bytes.fromhex(spelled))
            for token, spelled in enumerate(job["tokens"].tolist())
        ]
        self.tokenizer = SimpleNamespace(bos_token_id=int(job["begin"]))

    def next_token_logprobs_sync(self, token_ids: Any, lora_name: Any = None) -> torch.Tensor:
        state = 0
        for token in token_ids[1:]:
            state = self.behind[state][token] if state >= 0 else state
        return self.nats[state]

    async def next_token_logprobs(self, token_ids: Any, lora_name: Any = None) -> torch.Tensor:
        return self.next_token_logprobs_sync(token_ids)


async def laws(model: LawLM, text: bytes, width: int, stop: bytes) -> np.ndarray:
    """The laws behind every beginning of a text [beginnings, outcomes]; none is 0 throughout."""
    params = BeamParams(K=width, eos_byte_strings=[stop])
    state = await ByteBeamState.initial(model, params)
    found = np.zeros((len(text), OUTCOMES))
    for at in range(len(text)):
        state = await state.prefill(text[at : at + 1])
        if not len(state):
            break
        nats = (await state.logp_next()).ps
        found[at, :STOP] = np.exp(nats[:STOP])
        found[at, STOP] = np.exp(nats[EOS])
    await state.cleanup()
    return found


async def main(job_path: str, answers_path: str) -> None:
    torch.set_num_threads(1)
    job = np.load(job_path)
    model = LawLM(job)
    stop = bytes.fromhex(job["tokens"][int(job["end"])])
    answers = {
        f"{width}/{at}": await laws(model, bytes.fromhex(text), width, stop)
        for width in job["widths"].tolist()
        for at, text in enumerate(job["texts"].tolist())
    }
    np.savez(answers_path, **answers)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
