"""How long, how fast and in what steps a student is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokxfer.errors import UsageError

RATE = 0.1  # over the width of the hidden states: what is tried by default


@dataclass(frozen=True)
class Schedule:
    """How a student is trained.

    Args:
        steps: Updates of the weights.
        rate: Learning rate at its height; it rises over `warmup` and falls in a line to nothing.
            None takes 0.1 over the width of the student's hidden states.
        batch_size: Rows of a micro-batch on each device.
        accumulate: Micro-batches of a step.
        max_length: Tokens of a row of the student's.
        warmup: Share of the steps in which the rate rises.
        weight_decay: Of AdamW.
        clip: Norm to which gradients are cut.
        save_every: Steps between checkpoints.
        judge_every: Steps between evaluations; 0 for none but those before and after.
        patience: Evaluations without a better one after which training ends; None for no end.
        seed: Of the order of the data and of everything drawn.

    Raises:
        UsageError: A value out of range.
    """

    steps: int = 300
    rate: float | None = None
    batch_size: int = 8
    accumulate: int = 1
    max_length: int = 512
    warmup: float = 0.1
    weight_decay: float = 0.0
    clip: float = 1.0
    save_every: int = 100
    judge_every: int = 0
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (
            ("steps", 1), ("batch_size", 1), ("accumulate", 1), ("max_length", 2),
            ("save_every", 1), ("judge_every", 0), ("seed", 0),
        ):  # fmt: skip
            if getattr(self, name) < least:
                told = name.replace("_", "-")
                raise UsageError(f"--{told} must be {least} or more, not {getattr(self, name)}.")
        if self.rate is not None and not 0 < self.rate < float("inf"):
            raise UsageError(f"--lr must be above 0, not {self.rate}.")
        if not 0 <= self.warmup < 1:
            raise UsageError(f"--warmup must be from 0 to below 1, not {self.warmup}.")
        if self.patience is not None and (self.patience < 1 or not self.judge_every):
            raise UsageError("--patience must be 1 or more, and needs --judge-every.")

    @property
    def rows(self) -> int:
        """Rows that all steps take, on one device."""
        return self.steps * self.batch_size * self.accumulate

    def arguments(
        self, folder: Path, width: int, device: Any, report_to: str, *, saves: bool = True
    ) -> Any:
        """The Trainer's own arguments.

        Args:
            folder: For checkpoints.
            width: Of the student's hidden states.
            device: Where to train; parallel training has its own.
            report_to: "none", "tensorboard", "wandb" and so on.
            saves: Whether there are to be checkpoints.
        """
        from transformers import TrainingArguments

        arguments = TrainingArguments(
            output_dir=str(folder),
            max_steps=self.steps,
            per_device_train_batch_size=self.batch_size,
            gradient_accumulation_steps=self.accumulate,
            learning_rate=self.rate or RATE / width,
            lr_scheduler_type="linear",
            warmup_steps=round(self.warmup * self.steps),
            weight_decay=self.weight_decay,
            max_grad_norm=self.clip,
            seed=self.seed,
            data_seed=self.seed,
            save_strategy="steps" if saves else "no",
            save_steps=self.save_every,
            save_total_limit=2,
            eval_strategy="steps" if self.judge_every else "no",
            eval_steps=self.judge_every or None,
            load_best_model_at_end=self.patience is not None,
            metric_for_best_model="eval_bits_per_byte" if self.patience is not None else None,
            greater_is_better=False if self.patience is not None else None,
            logging_steps=max(1, self.steps // 100),
            logging_nan_inf_filter=False,
            report_to=report_to,
            remove_unused_columns=False,
            disable_tqdm=True,
            use_cpu=device.type == "cpu",
            dataloader_pin_memory=device.type == "cuda",
            bf16=device.type == "cuda",
            average_tokens_across_devices=False,
            ddp_find_unused_parameters=False,  # the head is read outside of the forward pass
        )
        arguments._n_gpu = min(arguments.n_gpu, 1)  # one process, one device: no DataParallel
        return arguments
