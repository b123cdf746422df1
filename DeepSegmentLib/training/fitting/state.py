"""What a training is at some step: weights, their average, the optimiser; and how it is kept on disk."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from DeepSegmentLib.data.dataclass_json import from_json, to_json
from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.networks.back_ends.machine import has_bfloat16

from .checks import Checked
from .instance_norm import with_quick_norms
from .processes import average_gradients

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from DeepSegmentLib.training.unlabelled.pseudo_labels import PseudoLabels

    from .settings import TrainSettings

    Loss = Callable[..., Tensor]
    Undisturbed = Callable[[], AbstractContextManager[object]]

RECENT = 100
"""Steps whose losses are averaged for the result."""

_SUPERVISED = 3
"""Resolutions that the loss looks at, the finest first."""

_UNLABELLED = 3
"""Tensors of a sample, the last ones, that are of a volume without labels, where such are learned from."""


class TrainingState:
    """Weights, their moving average, the optimiser and how far it is.

    Args:
        network: To train, in place.
        settings: How.
        loss: Of the logits of each resolution, finest first, and what a sample holds beside its image.
        groups: Parameters by their rates: dicts with "params", "factor" (of the learning rate) and "begin" (the step
            from which they learn); None for all alike.
        unlabelled: How it learns from volumes without labels, whose patches each sample has at its end; None without.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: TrainSettings,
        loss: Loss,
        groups: Sequence[dict[str, Any]] | None = None,
        unlabelled: PseudoLabels | None = None,
    ) -> None:
        self.unlabelled = unlabelled
        self.device = next(network.parameters()).device
        self.precision = precision_on(settings.precision, self.device)
        self.network, self.settings, self.loss, self.iteration = learning(_laid_out(network)), settings, loss, 0
        self.losses, self.checks, self.seconds = list[float](), list[Checked](), 0.0
        self._counted = time.monotonic()
        self.average = deepcopy(self.network)
        all_alike = [{"params": [each for each in network.parameters() if each.requires_grad]}]
        self.optimizer = _optimizer(list(groups or all_alike), settings)

    def start_the_clock(self) -> None:
        """Time counts from now on."""
        self._counted = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether all steps are done, or the time is."""
        return self.settings.is_over(self.iteration, self.seconds)

    @property
    def rate(self) -> float:
        """The learning rate of the next step, of groups without a factor."""
        return self.settings.learning_rate * self.settings.rate_at(self.iteration, self.progress)

    @property
    def progress(self) -> float:
        """How much of the training is done, 0 to 1."""
        return self.settings.progress(self.iteration, self.seconds)

    def step(self, batches: Sequence[Sequence[Tensor]], undisturbed: Undisturbed) -> float:
        """One step of the optimiser by the mean gradient of some batches; their mean loss.

        Raises:
            ModelError: The loss is not a finite number; the weights are as before.
        """
        self.optimizer.zero_grad(set_to_none=True)
        total = sum(self._backward(batch, len(batches)) for batch in batches)
        if not math.isfinite(total):
            raise ModelError(
                f"the loss of step {self.iteration + 1} is {total}: lower learning_rate in the recipe (it is "
                f"{self.settings.learning_rate}), or look for volumes with extreme intensities"
            )
        average_gradients(self.network)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        for group in self.optimizer.param_groups:
            begun = self.iteration >= group.get("begin", 0)
            group["lr"] = self.rate * group.get("factor", 1.0) if begun else 0.0
        with undisturbed():
            self._change(total)
        return total

    def _backward(self, batch: Sequence[Tensor], parts: int) -> float:
        tensors = [each.to(self.device, non_blocking=True) for each in batch]
        labelled = len(tensors) if self.unlabelled is None else len(tensors) - _UNLABELLED
        image, *target = tensors[:labelled]
        loss = self.loss(self._logits(image), *target) / parts
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach()) + self._backward_unlabelled(tensors[labelled:], parts)

    def _backward_unlabelled(self, batch: Sequence[Tensor], parts: int) -> float:
        """Add the gradient of what volumes without labels teach: the average's answers, to the network."""
        weight = 0.0 if self.unlabelled is None else self.unlabelled.settings.weight_at(self.progress)
        if self.unlabelled is None or weight == 0:
            return 0.0
        changed, plain, inside = batch
        with torch.no_grad(), self._autocast():
            teacher = self.average.eval()(_channels_last(plain)).float()
        loss = weight / parts * self.unlabelled(self._logits(changed), teacher, inside)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _logits(self, image: Tensor) -> list[Tensor]:
        with self._autocast():
            outputs = self._outputs(_channels_last(image))
        return [each.float() for each in outputs]

    def _autocast(self) -> AbstractContextManager[object]:
        if self.precision is torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.precision)

    def _outputs(self, image: Tensor) -> list[Tensor]:
        if getattr(getattr(self.network, "spec", None), "deep_supervision", False):
            outputs: list[Tensor] = self.network.forward_all(image)  # type: ignore[operator]
            return outputs[:_SUPERVISED]
        return [self.network(image)]

    def _change(self, loss: float) -> None:
        """All that a step changes, so that between two of them the state is whole."""
        self.optimizer.step()
        self.iteration += 1
        self._update_average()
        self.losses = [*self.losses, loss][-RECENT:]
        now = time.monotonic()
        self.seconds, self._counted = self.seconds + now - self._counted, now

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average would remember the random first weights: let it grow with the steps done.
        decay = min(self.settings.average, (1 + self.iteration) / (10 + self.iteration))
        for mean, now in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)

    def snapshot(self) -> dict[str, Any]:
        """What goes to disk."""
        return {
            "iteration": self.iteration,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "losses": self.losses,
            "checks": [to_json(each) for each in self.checks],
            "seconds": self.seconds,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """The inverse."""
        self.iteration = snapshot["iteration"]
        self.network.load_state_dict(snapshot["network"])
        self.average.load_state_dict(snapshot["average"])
        self.optimizer.load_state_dict(snapshot["optimizer"])
        self.losses, self.seconds = list(snapshot["losses"]), float(snapshot["seconds"])
        self.checks = [from_json(Checked, each, "check") for each in snapshot.get("checks", ())]
        self._counted = time.monotonic()


def precision_on(wanted: str, device: torch.device) -> torch.dtype:
    """The type of layers on a device, see `TrainSettings.precision`."""
    if wanted == "auto":
        able = has_bfloat16() if device.type == "cpu" else device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if able else torch.float32
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


def _channels_last(image: Tensor) -> Tensor:
    return image.contiguous(memory_format=torch.channels_last_3d) if image.ndim == 5 else image


def _laid_out(network: nn.Module) -> nn.Module:
    """With channels last, which is several times as quick on a CPU, and norms that keep them there."""
    if any(each.ndim == 5 for each in network.parameters()):
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return with_quick_norms(network) if next(network.parameters()).device.type == "cpu" else network


def learning(network: nn.Module) -> nn.Module:
    """In training mode, but for batch norms that are frozen: their running statistics stay, too."""
    network.train()
    for module in network.modules():
        frozen = isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine
        if frozen and not module.weight.requires_grad:
            module.eval()
    return network


def _optimizer(groups: list[dict[str, Any]], settings: TrainSettings) -> torch.optim.Optimizer:
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=settings.momentum > 0,
            weight_decay=settings.weight_decay,
        )
    return torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)
