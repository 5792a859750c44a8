"""A model of bytes for the LM evaluation harness: importing this registers `tokxfer-bytes`.

The harness looks for no plugins, so its command does not know the name; `tokxfer-lm-eval` is that
command with this module imported. From Python, importing it is enough.
"""

from __future__ import annotations

import hashlib
from typing import Any

import lm_eval.models  # noqa: F401  (the harness registers its own only where none is)
import torch
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from tokxfer.bytelevel import ByteLM
from tokxfer.errors import UsageError
from tokxfer.workflows.chat import ChatPrompt, Messages, render, template_of
from tokxfer.workflows.likelihood import continuations, until, whole_texts
from tokxfer.workflows.progress import progress_bar


@register_model("tokxfer-bytes")
class TokxferBytes(LM):  # type: ignore[misc]
    """A tokenized model that answers the harness byte by byte.

    A continuation's log-probability is that of its bytes behind the context's, so that a token that
    spans the two is no problem. `max_gen_toks` counts bytes. Of a prompt that a chat template wrote
    the special tokens stay ids, and are never spelled.

    Args:
        pretrained: A model folder or hub name, or a `ByteLM`.
        epsilon: See `ByteLM.score`.
        bytes_per_token: Bytes that one of a task's `max_gen_toks` stands for.
        seed: Of what is drawn where a task samples.
        device: Where to compute. The harness says cuda:0 unless it is told otherwise, so that
            where there is no such device, whatever there is takes its place.
        batch_size, max_batch_size: What the harness hands over; texts are put side by side by
            their size.
        loading: `law`, `horizon`, `dtype` and so on: see `ByteLM.from_pretrained`.
    """

    def __init__(
        self,
        pretrained: str | ByteLM,
        *,
        epsilon: float = 0.0,
        bytes_per_token: int = 1,
        seed: int = 0,
        device: str | None = None,
        batch_size: Any = None,  # noqa: ARG002
        max_batch_size: Any = None,  # noqa: ARG002
        **loading: Any,
    ) -> None:
        super().__init__()
        if int(bytes_per_token) < 1:
            raise UsageError(f"A token stands for one byte or more, not {bytes_per_token}.")
        self.name = pretrained if isinstance(pretrained, str) else "model"
        self.lm = (
            pretrained
            if isinstance(pretrained, ByteLM)
            else ByteLM.from_pretrained(pretrained, device=present(device), **loading)
        )
        self.epsilon, self.seed = float(epsilon), int(seed)
        self.bytes_per_token = int(bytes_per_token)
        self._device = getattr(self.lm.model, "device", None)
        self._template: str | None = None

    @property
    def tokenizer_name(self) -> str:
        """What the harness tells models and their chat templates apart by in its cache."""
        try:
            template = template_of(self.templates, self._template)
        except UsageError:
            return f"tokxfer-bytes:{self.name}"
        return f"tokxfer-bytes:{self.name}:{hashlib.sha256(template.encode()).hexdigest()[:16]}"

    @property
    def templates(self) -> Any:
        """The transformers tokenizer with the model's chat templates.

        Raises:
            UsageError: There are none.
        """
        try:
            return self.lm.chat_tokenizer
        except UsageError as failure:
            raise UsageError(
                f"{self.name} has no chat template.",
                "Run without --apply_chat_template, or give the model's tokenizer one.",
            ) from failure

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The chat template that is applied; with a name, that of several is from now on.

        Args:
            chat_template: False for none, True for the default, or a name.

        Raises:
            UsageError: The model has no such template.
        """
        if chat_template is False or chat_template is None:
            return None
        name = chat_template if isinstance(chat_template, str) else None
        found = template_of(self.templates, name)
        self._template = name
        return found

    def apply_chat_template(
        self, chat_history: Messages, add_generation_prompt: bool = True
    ) -> ChatPrompt:
        """Messages as a prompt, in which special tokens can be told from text.

        Args:
            chat_history: Each with a role and a content.
            add_generation_prompt: Whether an answer begins; if not, the last message is its
                beginning, which goes on.

        Raises:
            UsageError: The model has no chat template, or it refuses the messages.
        """
        template = template_of(self.templates, self._template)
        return render(self.templates, chat_history, template, answered=not add_generation_prompt)

    def loglikelihood(
        self, requests: list[Any], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Log-probability of continuations, and whether each is what greedy bytes would be."""
        pairs = [request.args for request in requests]
        with progress_bar(len(pairs), "loglikelihood", "req", not disable_tqdm) as bar:
            found = continuations(self.lm, pairs, epsilon=self.epsilon, progress=bar.update)
        for pair, answer in zip(pairs, found, strict=True):
            self.cache_hook.add_partial("loglikelihood", pair, answer)
        return found

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-probability of whole texts."""
        texts = [request.args[0] for request in requests]
        with progress_bar(len(texts), "loglikelihood_rolling", "req", not disable_tqdm) as bar:
            found = whole_texts(self.lm, texts, epsilon=self.epsilon, progress=bar.update)
        for text, answer in zip(texts, found, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), answer)
        return found

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Let prompts go on until a stop string, the end of the text or enough bytes."""
        found = []
        with progress_bar(len(requests), "generate_until", "req", not disable_tqdm) as bar:
            for request in requests:
                prompt, wishes = request.args
                found.append(
                    until(
                        self.lm, prompt, wishes, bytes_per_token=self.bytes_per_token,
                        epsilon=self.epsilon, seed=self.seed,
                    )
                )  # fmt: skip
                self.cache_hook.add_partial("generate_until", request.args, found[-1])
                bar.update(1)
        return found


def present(device: str | None) -> str:
    """A device that is there."""
    if device is None or (device.startswith("cuda") and not torch.cuda.is_available()):
        return "auto"
    return device
