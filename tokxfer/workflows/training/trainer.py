"""The loop: transformers' Trainer, whose loss is an objective's, divided by what a step holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer

from tokxfer.distillation.balance import Balance
from tokxfer.errors import TokxferError
from tokxfer.workflows.training.bodies import Body
from tokxfer.workflows.training.newrows import NewRows
from tokxfer.workflows.training.objective import Objective
from tokxfer.workflows.training.state import restore_state, save_state


class DistillationTrainer(Trainer):  # type: ignore[misc]
    """Trains a student by an objective.

    The sum over all micro-batches of a step, on all processes, is divided by the count of them
    all: a step of four micro-batches of one row is the step of one of four.

    Args:
        objective: The losses.
        teacher: What is asked; None where the objective asks nothing.
        balance: How several losses are weighed.
        judge: Figures of the student as it is, for evaluation.
        new_rows: Rows that are trained beside adapters, which are all that the Trainer keeps of a
            student that has some; or None.
        told: For the Trainer itself.
    """

    loss_is_scaled_for_ga = True
    control: Any

    def __init__(
        self,
        *,
        objective: Objective,
        teacher: Body | None,
        balance: Balance,
        judge: Callable[[Any], dict[str, float]] | None = None,
        new_rows: NewRows | None = None,
        **told: Any,
    ) -> None:
        super().__init__(**told)
        self.objective, self.teacher, self.balance, self.judge = objective, teacher, balance, judge
        self.new_rows = new_rows
        self._sums: dict[str, torch.Tensor] = {}  # of the step at hand
        self._gradients: dict[str, list[torch.Tensor]] = {}
        self._logged: dict[str, list[float]] = {}  # of the steps since the last log

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], dict[str, torch.Tensor]]:
        """Take the micro-batches of a step, and let the teacher speak of them.

        Returns:
            The micro-batches, and how many losses each term has in all of them.
        """
        for parameter in self._beside():
            parameter.grad = None
        samples, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        counts = torch.zeros(len(self.objective.terms), dtype=torch.long, device=device)
        for at, sample in enumerate(samples):
            samples[at] = batch = self._prepare_inputs(sample)
            batch["targets"] = targets = self.objective.prepare(self.teacher, batch)
            found = [targets.counts[term] for term in self.objective.terms]
            counts += torch.tensor(found, device=device)
        self.objective.combine([batch["targets"] for batch in samples], self._add)
        counts = self._add(counts)
        return samples, dict(zip(self.objective.terms, counts, strict=True))

    def _add(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over all processes."""
        if self.args.world_size == 1:
            return tensor
        found: torch.Tensor = self.accelerator.reduce(tensor, reduction="sum")
        return found

    def training_step(self, *arguments: Any, **told: Any) -> torch.Tensor:
        """Go forward and back; a step's end puts modules' gradients of all processes together.

        The Trainer does that for the student, and forgets gradients of the student alone.
        """
        loss: torch.Tensor = super().training_step(*arguments, **told)
        if self.accelerator.sync_gradients and self.args.world_size > 1:
            for parameter in self._beside():
                if parameter.grad is not None:
                    parameter.grad = self._add(parameter.grad) / self.args.world_size
        return loss

    def _beside(self) -> list[torch.nn.Parameter]:
        """What the objective trains beside the student."""
        modules = self.objective.modules()
        return [parameter for module in modules for parameter in module.parameters()]

    def compute_loss(
        self,
        model: Any,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """A micro-batch's share of the step's loss."""
        assert num_items_in_batch is not None
        assert not return_outputs
        student = Body(model, self.accelerator.unwrap_model(model))
        parts = self.objective.parts(student, inputs, inputs["targets"])
        shares = {
            term: part.total / num_items_in_batch[term].clamp(min=1) for term, part in parts.items()
        }
        self._refuse_unless_finite(shares, inputs)
        for term, share in shares.items():
            self._sums[term] = self._sums.get(term, torch.zeros(())) + share.detach().cpu()
        if self.balance.measures:
            self._measure(student, shares)
        weights = self.balance.weights()
        loss = torch.stack([weights[term] * share for term, share in shares.items()]).sum()
        if self.accelerator.sync_gradients:
            self._end_step()
        scaled: torch.Tensor = loss * self.args.world_size  # gradients are averaged over processes
        return scaled

    def _measure(self, student: Body, shares: Mapping[str, torch.Tensor]) -> None:
        """Add up each loss's gradient at the student's last layer."""
        places = last_layer(student.core)
        for term, share in shares.items():
            if not share.requires_grad:
                continue
            found = torch.autograd.grad(share, places, retain_graph=True, allow_unused=True)
            whole = [
                torch.zeros_like(place) if part is None else part
                for place, part in zip(places, found, strict=True)
            ]
            sums = self._gradients.setdefault(term, [torch.zeros_like(part) for part in whole])
            for have, part in zip(sums, whole, strict=True):
                have += part

    def _end_step(self) -> None:
        """Tell balance and objective what the step was like."""
        names = list(self.objective.terms)
        sums = torch.stack([self._sums.get(term, torch.zeros(())).float() for term in names])
        sums = self._add(sums.to(self.args.device))
        losses = dict(zip(names, sums.tolist(), strict=True))
        if self.balance.measures:
            norms = {}
            for term in names:
                parts = [self._add(part) for part in self._gradients.get(term, [])]
                norms[term] = math.sqrt(sum(float(part.square().sum()) for part in parts))
            self.balance.update(norms, losses)
        self.objective.after(losses, (self.state.global_step + 1) / self.state.max_steps)
        for term, loss in losses.items():
            self._logged.setdefault(term, []).append(loss)
        self._sums, self._gradients = {}, {}

    def _refuse_unless_finite(
        self, shares: Mapping[str, torch.Tensor], inputs: Mapping[str, Any]
    ) -> None:
        bad = [term for term, share in shares.items() if not bool(share.isfinite())]
        if bad:
            numbers = sorted({number + 1 for row in inputs["numbers"] for number in row})
            rows = ", ".join(map(str, numbers))
            raise TokxferError(
                f"The loss ({', '.join(bad)}) is no number at step {self.state.global_step + 1}, "
                f"on documents {rows} of the data.",
                "Lower --lr, or look at these documents; the last checkpoint can be resumed.",
            )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add each term's mean since the last log, where there are several."""
        if "loss" in logs and len(self.objective.terms) > 1:
            for term, losses in self._logged.items():
                logs[f"loss_{term}"] = sum(losses) / len(losses)
            for term, weight in self.balance.weights().items():
                logs[f"weight_{term}"] = float(weight)
        self._logged = {}
        super().log(logs, start_time)

    def evaluate(
        self,
        eval_dataset: Any = None,  # noqa: ARG002
        ignore_keys: Any = None,  # noqa: ARG002
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Judge the student on held-out text."""
        assert self.judge is not None
        figures = self.judge(self.accelerator.unwrap_model(self.model))
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in figures.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.is_world_process_zero():
            folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            save_state(folder, self.balance, self.objective)
            if self.new_rows is not None:
                self.new_rows.save(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        restore_state(Path(resume_from_checkpoint), self.balance, self.objective)
        if self.new_rows is not None:
            self.new_rows.restore(Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        super()._load_best_model()
        if self.new_rows is not None:
            self.new_rows.restore(Path(self.state.best_model_checkpoint))

    def create_optimizer(self, *arguments: Any, **told: Any) -> Any:
        """Let what the objective trains beside the student be trained, too."""
        optimizer = super().create_optimizer(*arguments, **told)
        extra = self._beside()
        if extra and not any(group.get("beside") for group in optimizer.param_groups):
            optimizer.add_param_group({"params": extra, "weight_decay": 0.0, "beside": True})
        return optimizer


def last_layer(core: Any) -> list[torch.nn.Parameter]:
    """The weights of the last layer before the head, by which losses are balanced."""
    layers = next(
        part for part in core.modules() if isinstance(part, torch.nn.ModuleList) and len(part)
    )
    return [one for one in layers[-1].parameters() if one.requires_grad and one.ndim > 1]
