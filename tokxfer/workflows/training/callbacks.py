"""What is shown while training goes on, and what of it is kept for the account."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from tokxfer.workflows.progress import progress_bar


class Bar(TrainerCallback):  # type: ignore[misc]
    """One bar on stderr for all steps, with the latest loss and bits per byte.

    Args:
        shown: Whether to show it.
    """

    def __init__(self, shown: bool) -> None:
        self.shown, self._bar = shown, progress_bar(None, "", "", False)
        self._told: dict[str, str] = {}

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Open the bar, at the step where a resumed run goes on."""
        shown = self.shown and state.is_world_process_zero
        self._bar = progress_bar(state.max_steps, "training", "step", shown)
        self._bar.update(state.global_step)

    def on_step_end(self, _args: Any, _state: Any, _control: Any, **_: Any) -> None:
        """Move on."""
        self._bar.update(1)

    def on_log(self, _args: Any, _state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
        """Show the latest figures."""
        for name, label in (("loss", "loss"), ("eval_bits_per_byte", "bits/byte")):
            if logs and name in logs:
                self._told[label] = f"{logs[name]:.4g}"
        self._bar.set_postfix(self._told, refresh=False)

    def on_train_end(self, _args: Any, _state: Any, _control: Any, **_: Any) -> None:
        """Close the bar."""
        self._bar.close()


def curve(history: list[dict[str, Any]]) -> list[dict[str, float]]:
    """A run's log: step, losses and weights, and what evaluations found.

    Args:
        history: As the Trainer keeps it.
    """
    dull = {"epoch", "total_flos", "train_runtime", "train_loss"}
    return [
        {name: value for name, value in entry.items() if name not in dull}
        for entry in history
        if "loss" in entry or "eval_bits_per_byte" in entry
    ]
