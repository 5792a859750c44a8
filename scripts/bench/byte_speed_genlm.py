"""genlm-bytes through a text at its README's setting: run by its own environment's Python.

    python byte_speed_genlm.py MODEL HEX

Prints one line of JSON: seconds, model calls, and the true bytes that got probability zero.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import torch
from genlm.backend import load_model_by_name
from genlm.bytes import BeamParams, ByteBeamState

WIDTH, THRESHOLD = 5, 0.05


async def through(name: str, text: bytes) -> dict[str, float]:
    torch.set_num_threads(1)
    model = load_model_by_name(name, backend="hf", llm_opts={"hf_opts": {"dtype": torch.float32}})
    rows = [0]
    batched = model.batch_evaluate_queries

    def counted() -> None:
        rows[0] += len(model.queries)
        batched()

    model.batch_evaluate_queries = counted
    params = BeamParams(K=WIDTH, prune_threshold=THRESHOLD, eos_byte_strings=[b"<|endoftext|>"])
    started, zeros = time.perf_counter(), 0
    state = await ByteBeamState.initial(model, params)
    for byte in text:
        law = await state.logp_next()
        zeros += float(law[byte]) == float("-inf")
        state = await (state.prune() << byte)
    return {"seconds": time.perf_counter() - started, "heads": rows[0], "zeros": zeros}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(through(sys.argv[1], bytes.fromhex(sys.argv[2])))))
