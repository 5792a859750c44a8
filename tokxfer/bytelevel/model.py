"""`ByteLM`: a tokenized language model as an exact distribution over bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import overload

import numpy as np
import torch

from tokxfer.bytelevel.context import Context
from tokxfer.bytelevel.core import HORIZON, ByteModel
from tokxfer.bytelevel.filling import Fill, Filled, FillTemplate
from tokxfer.bytelevel.filters import Filter, check_seed
from tokxfer.bytelevel.generation import Ending, Generated, generate_texts
from tokxfer.bytelevel.given import nothing, raw, several
from tokxfer.bytelevel.gradients import score_with_gradients
from tokxfer.bytelevel.healing import IMPOSSIBLE_TEXT, Healed, heal_text
from tokxfer.bytelevel.scores import NextByte, Score
from tokxfer.bytelevel.scoring import score_texts
from tokxfer.bytelevel.state import ByteState
from tokxfer.checkpoints import (
    ModelFolder,
    load_model,
    load_tokenizer,
    pick_device,
    pick_dtype,
    read_stop_ids,
)
from tokxfer.errors import TokxferError, UsageError
from tokxfer.vocabulary import read_vocabulary


class ByteLM(ByteModel):
    """A causal language model, asked for bytes.

    The canonical mass of a byte string is the probability that the model gives to the token
    sequences that cover it and that the tokenizer itself would write; under the law `all` it is
    that of all token sequences that cover it, of which those tokens that end further back than a
    horizon are what the tokenizer itself would write. What comes next is that mass with one more
    byte, or the end, renormalised at every byte.

    Args:
        model: A transformers causal LM; None where `trees` answers.
        vocabulary: Its tokenizer's vocabulary.
        stops: Ids that end a text: one outcome beside the 256 bytes.
        law: "canonical" or "all".
        horizon: Bytes at the end of a text within which the law `all` lets tokens end anyhow.
        tokenizer: Loads the transformers tokenizer, for chat messages as a context.
        trees: Makes a new, empty tree of a model that is not of transformers and takes sequences
            of any length. Texts begin behind the vocabulary's bos.

    Raises:
        UnsupportedError: No rule is known for the tokenizer, or the model is no causal LM that has
            a row for each of its ids.
        UsageError: The law has another name, the horizon is negative, or a stop out of range.

    Source: B. Phan et al., "Exact Byte-Level Probabilities from Tokenized Language Models for
    FIM-Tasks and Model Ensembles" (2410.09303).
    """

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        law: str = "canonical",
        horizon: int = HORIZON,
        device: str = "auto",
        dtype: str = "auto",
        revision: str | None = None,
        trust_remote_code: bool = False,
        offline: bool = False,
    ) -> ByteLM:
        """Load a model folder or hub name; arguments as everywhere.

        Raises:
            TokxferError: In one sentence, what is wrong.
        """
        folder = ModelFolder.open(
            name, revision=revision, trust_remote_code=trust_remote_code, offline=offline
        )
        place = pick_device(device)
        model = load_model(
            folder.path,
            dtype=pick_dtype(dtype) or (torch.float32 if place.type == "cpu" else None),
            device=place,
            trust_remote_code=trust_remote_code,
        )
        return cls(
            model,
            read_vocabulary(folder.path),
            stops=read_stop_ids(folder.path),
            law=law,
            horizon=horizon,
            tokenizer=partial(load_tokenizer, folder.path, trust_remote_code=trust_remote_code),
        )

    def next_byte(
        self, text: str | bytes = b"", context: Context = None, *, epsilon: float = 0.0
    ) -> NextByte:
        """The law of the byte behind a text.

        Args:
            text: What was written so far. Bytes are taken as tokens spell them.
            context: What stands before it: ids, ids that were read already (`CachedContext`), text,
                chat messages; None begins a text.
            epsilon: Token sequences with at most this part of the mass are not followed further,
                which the bounds of the law then say.

        Raises:
            UsageError: There is neither text nor context, nor a token that begins texts; or bytes
                that begin a text lack the space that encoding puts there.
            TokxferError: The model cannot have written the text.
        """
        before = self.context(context)
        data = self.begun(text, before)
        if not data and not before:
            raise nothing(context)
        state = self.start(before, epsilon=epsilon)
        law = state.push(data)[-1] if data else state.law
        if not law.found.possible:
            raise TokxferError(*IMPOSSIBLE_TEXT)
        return law

    @overload
    def score(
        self, text: str | bytes, context: Context = None, *, epsilon: float = 0.0,
        laws: bool = False, window: int | None = None, differentiable: bool = False,
    ) -> Score: ...  # fmt: skip
    @overload
    def score(
        self, text: list[str] | list[bytes], context: Context = None, *, epsilon: float = 0.0,
        laws: bool = False, window: int | None = None, differentiable: bool = False,
    ) -> list[Score]: ...  # fmt: skip
    def score(
        self,
        text: str | bytes | list[str] | list[bytes],
        context: Context = None,
        *,
        epsilon: float = 0.0,
        laws: bool = False,
        window: int | None = None,
        differentiable: bool = False,
    ) -> Score | list[Score]:
        """The log-probability of each byte of a text, given those before it.

        Behind the context all nodes of the texts' trees are asked in one forward pass: up to 2,048
        of them, or as many as 128 MB of logits, or the model's length, have room for, and then in
        one for each part.

        Args:
            text: What is scored, or several texts, each behind the same context.
            context: What stands before: see `next_byte`.
            epsilon: See `next_byte`; `mass` and `missing` bound the text's mass, `nats` have no
                bounds.
            laws: Whether to give the whole law at every place.
            window: Tokens of the windows, overlapping by half, that longer texts are read in: those
                of `tokxfer evaluate`. None takes the length the model was made for.
            differentiable: Whether `nats` and `laws` have gradients; then nothing is left out, and
                each text must fit into the model. Memory is that of one pass over 2,048 nodes
                (about as many bytes; more if one text has more), which are done again in the
                backward pass where there are several.

        Raises:
            UsageError: A text that is to be differentiated is longer than the window; or the window
                is below 2 tokens, longer than the model, or shorter than the context.
        """
        before = self.context(context, window)
        data = [self.begun(one, before) for one in several(text)]
        if differentiable:
            found = score_with_gradients(self, data, before, laws=laws, window=window)
        else:
            found = score_texts(self, data, before, epsilon=epsilon, laws=laws, window=window)
        return found[0] if isinstance(text, (str, bytes)) else found

    def bits_per_byte(
        self,
        text: str | bytes | list[str] | list[bytes],
        *,
        epsilon: float = 0.0,
        window: int | None = None,
    ) -> float:
        """Minus the binary logarithm of the probability of texts, per byte as given: see `score`.

        Raises:
            UsageError: There is no text, or the window makes no sense.
        """
        texts = several(text)
        size = sum(len(raw(one)) for one in texts)
        if not size:
            raise UsageError("There is no text to score.", "Give at least one byte.")
        nats = sum(score.total for score in self.score(texts, epsilon=epsilon, window=window))
        return -nats / math.log(2) / size

    @overload
    def generate(
        self,
        prompt: str | bytes = "",
        context: Context = None,
        *,
        max_new_bytes: int = 200,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        stop: str | bytes | Sequence[str | bytes] = (),
        by: str = "auto",
        epsilon: float = 0.0,
        seed: int = 0,
    ) -> Generated: ...
    @overload
    def generate(
        self,
        prompt: list[str] | list[bytes],
        context: Context = None,
        *,
        max_new_bytes: int = 200,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        stop: str | bytes | Sequence[str | bytes] = (),
        by: str = "auto",
        epsilon: float = 0.0,
        seed: int = 0,
    ) -> list[Generated]: ...
    def generate(
        self,
        prompt: str | bytes | list[str] | list[bytes] = "",
        context: Context = None,
        *,
        max_new_bytes: int = 200,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        stop: str | bytes | Sequence[str | bytes] = (),
        by: str = "auto",
        epsilon: float = 0.0,
        seed: int = 0,
    ) -> Generated | list[Generated]:
        """Let a prompt go on, or several side by side.

        Without temperature and cuts, one cover of the prompt is drawn by what it gives to what may
        come, exactly, and tokens behind it at the speed of tokens: by the model, of those that the
        law lets follow, renormalised at every token. The first byte has its law; later ones have
        nearly theirs, which is renormalised at every byte (docs/bytes.md says how near). With
        temperature and cuts, or `by="bytes"`, byte after byte is drawn by its law itself.

        Args:
            prompt: What was written so far; one or several. It may stop in mid-token.
            context: What stands before: see `next_byte`.
            max_new_bytes: Bytes at most.
            temperature, top_k, top_p, min_p: Of the law of the next byte: see `Filter`.
            stop: One string or several that end the text; they are left out.
            by: "tokens", "bytes", or "auto", which draws bytes where a filter asks for it.
            epsilon: See `next_byte`; for bytes.
            seed: Of what is drawn.

        Returns:
            A `Generated`, or a list of them for a list of prompts.

        Raises:
            UsageError: A value out of range, an empty stop string, or filters of bytes together
                with `by="tokens"`.
        """
        filters = Filter(temperature, top_k, top_p, min_p)
        check_seed(seed)
        strings = tuple(map(raw, several(stop)))
        if by not in ("auto", "tokens", "bytes"):
            raise UsageError(f"{by!r} is not drawn.", "Use auto, tokens or bytes.")
        if by == "tokens" and not filters.idle:
            raise UsageError(
                "Temperature and cuts are of bytes here, so tokens cannot be drawn with them.",
                "Leave them out, or draw bytes.",
            )
        before = self.context(context)
        data = [self.begun(one, before) for one in several(prompt)]
        if not before and not all(data):
            raise nothing(context)
        found = generate_texts(
            self, data, before, Ending(max_new_bytes, strings), filters,
            by=("tokens" if filters.idle else "bytes") if by == "auto" else by,
            epsilon=epsilon, seed=seed,
        )  # fmt: skip
        return found[0] if isinstance(prompt, (str, bytes)) else found

    def heal(
        self,
        prompt: str | bytes,
        context: Context = None,
        *,
        sample: bool = False,
        epsilon: float = 0.0,
        seed: int = 0,
    ) -> Healed:
        """A prompt as tokens that the model can go on from, its last ones mended.

        Args:
            prompt: What was written so far; it may stop in mid-token.
            context: What stands before: see `next_byte`.
            sample: Whether to draw the cover by its weight, not to take the heaviest.
            epsilon: See `next_byte`.
            seed: Of what is drawn.

        Returns:
            Ids of context and prompt, the bytes that the last token goes on with, and the cache:
            `model.generate(torch.tensor([healed.ids]), past_key_values=healed.cache)` goes on.

        Raises:
            UsageError: The prompt is empty.
            TokxferError: The model cannot have written it.
        """
        check_seed(seed)
        before = self.context(context)
        data = self.begun(prompt, before)
        if not data:
            raise UsageError("The prompt is empty: there is nothing to heal.", "Give it some text.")
        source = np.random.default_rng(seed) if sample else None
        return heal_text(self, data, before, source, epsilon)

    def fill(
        self,
        prefix: str | bytes,
        suffix: str | bytes,
        *,
        template: FillTemplate | None = None,
        context: Context = None,
        max_new_bytes: int = 200,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        epsilon: float = 0.0,
        seed: int = 0,
    ) -> Filled:
        """Write what stands between a prefix and a suffix.

        The prefix may stop in mid-token, however many tokens of it another cut changes. So may the
        suffix begin, if the template's `seam` moves its first bytes into the middle: then the
        middle ends only where they were written, so that the rest can follow. Without, the suffix
        is shown in the tokenizer's own tokens, and the middle ends wherever the model ends it.

        Args:
            prefix: What stands before.
            suffix: What stands behind.
            template: How the model is shown them; None takes the markers its vocabulary is known
                to have, the prefix first.
            context: What stands before all of it: see `next_byte`.
            max_new_bytes: Bytes at most.
            temperature, top_k, top_p, min_p: Of the law of the next byte: see `Filter`.
            epsilon: See `next_byte`; for bytes.
            seed: Of what is drawn.

        Raises:
            UsageError: The model has no markers, or a value is out of range.
        """
        template, size = template or FillTemplate.of(self.vocabulary), Ending(max_new_bytes).size
        seams = Fill.of(self, self.spell(prefix), raw(suffix), template, context)
        check_seed(seed)
        filters = Filter(temperature, top_k, top_p, min_p)
        (generated,) = generate_texts(
            self, [seams.before], self.context(seams.context),
            Ending(size + len(seams.behind), behind=seams.behind), filters,
            by="tokens" if filters.idle else "bytes", epsilon=epsilon, seed=seed,
        )  # fmt: skip
        return Filled.of(generated, seams.behind, size)

    def score_fill(
        self,
        prefix: str | bytes,
        middle: str | bytes,
        suffix: str | bytes,
        *,
        template: FillTemplate | None = None,
        context: Context = None,
        epsilon: float = 0.0,
    ) -> float:
        """Log-probability of a middle and its end between a prefix and a suffix: see `fill`."""
        template = template or FillTemplate.of(self.vocabulary)
        seams = Fill.of(self, self.spell(prefix), raw(suffix), template, context)
        data = seams.before + raw(middle) + seams.behind
        score = self.score(data, seams.context, epsilon=epsilon)
        return float(score.nats[len(seams.before) :].sum()) + score.stop

    def start(self, context: Context = None, *, epsilon: float = 0.0) -> ByteState:
        """The state behind a context, to go on from byte by byte."""
        tree = self.tree()
        return ByteState(self, tree, self.streams(tree, self.context(context), epsilon)[0])
