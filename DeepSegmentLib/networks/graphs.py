"""TorchScript and ONNX graphs as torch modules: patches in, logits out.

Who calls this has checked the file, see `files.models.graphs`.
"""

from __future__ import annotations

import json
import math
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from DeepSegmentLib.data.progress import check_stop, waited_for
from DeepSegmentLib.errors import MissingPackageError, ModelError

if TYPE_CHECKING:
    from types import ModuleType

    from .graph_spec import Gives, GraphSpec

# Probabilities of exactly 0 or 1 have no logit; float32 tells no smaller distance from 1 apart.
_SMALLEST = 1e-7
# What onnxruntime says when memory runs out: its arena, CUDA and the C++ library.
_OUT_OF_MEMORY = ("failed to allocate memory", "out of memory", "bad_alloc", "bad allocation")


class Graph(nn.Module):
    """A graph with what it lacks to be a network as all others: logits out, any number of patches in."""

    def __init__(self, graph: nn.Module, spec: GraphSpec) -> None:
        super().__init__()
        self.graph, self.gives, self.batch = graph, spec.gives, spec.batch

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, out_channels, ...) of patches (batch, in_channels, ...).

        Raises:
            ModelError: The graph cannot run on them.
        """
        # A graph computes in the types that it was stored with.
        with torch.autocast(x.device.type, enabled=False):
            if self.batch in (0, len(x)):
                return logits_of(self._run(x), self.gives)
            parts = [self._filled(part) for part in torch.split(x, self.batch)]
            return logits_of(torch.cat(parts)[: len(x)], self.gives)

    def _filled(self, part: Tensor) -> Tensor:
        """The output for a part of a batch, filled up to what the graph takes."""
        missing = self.batch - len(part)
        return self._run(torch.cat([part, part[:1].expand(missing, *part.shape[1:])]) if missing else part)

    def _run(self, x: Tensor) -> Tensor:
        y = self.graph(x)
        if isinstance(y, (tuple, list)) and len(y) == 1:
            y = y[0]
        if not isinstance(y, Tensor) or y.ndim != x.ndim:
            shape = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
            raise ModelError(
                f"the graph gives {shape} for a patch of {tuple(x.shape)}; it must give one array (batch, channel, ...)"
            )
        return y.to(x.device)


def logits_of(output: Tensor, gives: Gives) -> Tensor:
    """What a graph gives as logits: those that its softmax or sigmoid was made of, up to a constant for all classes."""
    output = output.float()
    if gives == "softmax":
        return output.clamp(min=_SMALLEST).log()
    return output.logit(eps=_SMALLEST) if gives == "sigmoid" else output


def load_torchscript(path: Path, device: torch.device | str) -> nn.Module:
    """The graph of a checked TorchScript archive.

    Raises:
        ModelError: It cannot be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit stays, it only gets nothing new
        try:
            module: nn.Module = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
            module.eval()
        except MemoryError:
            raise
        except Exception as error:  # RuntimeError mostly; ValueError and IndexError of the C++ library
            raise ModelError(
                f"{path} is no TorchScript graph that torch {torch.__version__} reads: {said(error)}"
            ) from error
    return _TorchScript(module)


class _TorchScript(nn.Module):
    """A graph that torch runs; what it says of a patch that does not suit is an error of the model."""

    def __init__(self, script: nn.Module) -> None:
        super().__init__()
        self.script = script

    def forward(self, x: Tensor) -> Any:
        try:
            return self.script(x)
        except torch.jit.Error as error:
            raise ModelError(f"the graph cannot run on a patch of {tuple(x.shape)}: {said(error)}") from error


def load_onnx(content: bytes, device: torch.device | str) -> OnnxGraph:
    """The graph of a checked ONNX file.

    On CUDA where the installed onnxruntime can, otherwise on the CPU.

    Raises:
        MissingPackageError: onnxruntime is not installed.
        ModelError: onnxruntime does not read it.
    """
    return OnnxGraph(content, torch.device(device))


class OnnxGraph(nn.Module):
    """A graph that onnxruntime runs.

    Attributes:
        rank: Axes of its input, batch and channel included.
        shape: Extents of its input; None where any goes.
    """

    def __init__(self, content: bytes, device: torch.device, *, profile: Path | None = None) -> None:
        super().__init__()
        runtime = _onnxruntime()
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        # Otherwise a file may also be one of onnxruntime's own format, which nobody looked through.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        options.intra_op_num_threads = torch.get_num_threads()
        if profile:
            options.enable_profiling, options.profile_file_prefix = True, str(profile)
            options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = runtime.InferenceSession(content, options, providers=_providers(runtime, device))
        except Exception as error:  # onnxruntime's errors have no common base but this
            raise ModelError(f"onnxruntime {runtime.__version__} does not read this graph: {said(error)}") from error
        self._check_ends()
        (given,) = self._session.get_inputs()
        self._name, self._half = given.name, given.type == "tensor(float16)"
        self.shape = tuple(n if isinstance(n, int) and n > 0 else None for n in given.shape)

    def _check_ends(self) -> None:
        ends = self._session.get_inputs(), self._session.get_outputs()
        kinds = [end.type for side in ends for end in side]
        if [len(side) for side in ends] != [1, 1] or not {*kinds} <= {"tensor(float)", "tensor(float16)"}:
            raise ModelError(
                f"a graph must take one array of floats and give one, this one takes {_ends(ends[0])} and gives "
                f"{_ends(ends[1])}; labels are not enough, since overlapping patches are averaged"
            )

    def forward(self, x: Tensor) -> Tensor:
        """The output for patches of the graph's extent."""
        patches = x.half() if self._half else x
        options, given = _onnxruntime().RunOptions(), {self._name: patches.cpu().numpy()}
        try:
            (output,) = waited_for(
                partial(self._session.run, None, given, options), partial(setattr, options, "terminate", True)
            )
        except Exception as error:  # see above
            check_stop()
            words = str(error)
            if any(phrase in words.lower() for phrase in _OUT_OF_MEMORY):
                raise MemoryError(words) from error
            raise ModelError(f"the graph cannot run on a patch of {tuple(x.shape)}: {said(error)}") from error
        return torch.from_numpy(output)

    def end_profile(self) -> list[dict[str, Any]]:
        """What each node did, in the order they ran; for a session that was made with `profile`."""
        events = json.loads(Path(self._session.end_profiling()).read_text(encoding="utf-8"))
        return [each["args"] | {"name": each["name"]} for each in events if each["name"].endswith("_kernel_time")]


def profile_onnx(content: bytes, patch: Tensor) -> list[dict[str, Any]]:
    """Run a graph once, node by node as it is stored, and tell what each did."""
    with tempfile.TemporaryDirectory() as folder:
        graph = OnnxGraph(content, torch.device("cpu"), profile=Path(folder) / "profile")
        graph(patch)
        return graph.end_profile()


def operations_of(event: dict[str, Any]) -> int:
    """Multiplications of a node; those of convolutions and matrix products count."""
    kind = event.get("op_name")
    if kind not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    inputs = [_shape(each) for each in event["input_type_shape"]]
    (output,) = [_shape(each) for each in event["output_type_shape"]]
    if kind == "Conv":
        return math.prod(output) * math.prod(inputs[1][1:])
    if kind == "ConvTranspose" and len(inputs) > 1 and len(inputs[1]) == len(inputs[0]):
        return math.prod(inputs[0]) * math.prod(inputs[1][1:])
    return math.prod(output) * inputs[0][-1]


def _shape(typed: dict[str, list[int]]) -> list[int]:
    return next(iter(typed.values()))


def _onnxruntime() -> ModuleType:
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "running an ONNX graph needs onnxruntime; install it: pip install onnxruntime"
        ) from error
    if hasattr(onnxruntime, "disable_telemetry_events"):  # the builds for Windows tell Microsoft of their use
        onnxruntime.disable_telemetry_events()
    runtime: ModuleType = onnxruntime
    return runtime


def _providers(runtime: ModuleType, device: torch.device) -> list[Any]:
    on_gpu = device.type == "cuda" and "CUDAExecutionProvider" in runtime.get_available_providers()
    gpu = [("CUDAExecutionProvider", {"device_id": device.index or 0})] if on_gpu else []
    return [*gpu, "CPUExecutionProvider"]


def _ends(side: Any) -> str:
    return ", ".join(f"{end.name[:60]}: {end.type}" for end in side) or "nothing"


def said(error: BaseException) -> str:
    """The last line of an error: those before it are where in the graph it was."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" ~^-")]
    return (lines[-1] if lines else type(error).__name__)[:300]
