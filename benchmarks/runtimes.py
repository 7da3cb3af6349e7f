"""ONNX Runtime and OpenVINO under sentence-transformers' own encode: its tokenizing, sorting, batching and pooling, their forward pass.

That is what its onnx and openvino backends do; these need optimum, which does not install beside the transformers we pin. The model is
exported once per checkpoint. int8: ONNX Runtime's dynamic quantization, and NNCF's static one on 100 texts, as those backends
have it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from actors.machine import cpu_flags
from benchmarks.checkpoints import Checkpoint
from benchmarks.peers import Encode
from benchmarks.texts import scifact_passages

Forward = Callable[[dict[str, np.ndarray]], np.ndarray]
"""input_ids, attention_mask and token_type_ids int64 [n, L] -> hidden states float32 [n, L, d]."""

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_CALIBRATION, _CUT = 100, 128


def open_onnx(checkpoint: Checkpoint) -> Encode:
    """ONNX Runtime in float32."""
    return _encode_with(checkpoint, _onnx_session(_exported(checkpoint)))


def open_onnx_int8(checkpoint: Checkpoint) -> Encode:
    """ONNX Runtime, dynamically quantized; weights in 7 bits where the processor's sums of 8-bit products overflow."""
    from onnxruntime.quantization import quantize_dynamic

    target = _exported(checkpoint).with_name("model_int8.onnx")
    quantize_dynamic(_exported(checkpoint), target, reduce_range=not cpu_flags() & {"avx512_vnni", "avx_vnni"})
    return _encode_with(checkpoint, _onnx_session(target))


def open_openvino(checkpoint: Checkpoint) -> Encode:
    """OpenVINO in float32, also where it would choose bf16."""
    return _encode_with(checkpoint, _openvino_request(_read(checkpoint), "f32"))


def open_openvino_bf16(checkpoint: Checkpoint) -> Encode:
    """OpenVINO in bf16."""
    return _encode_with(checkpoint, _openvino_request(_read(checkpoint), "bf16"))


def open_openvino_int8(checkpoint: Checkpoint) -> Encode:
    """OpenVINO, statically quantized."""
    import nncf

    tokenizer = _sentence_transformer(checkpoint).tokenizer
    samples = [dict(tokenizer([text], truncation=True, max_length=_CUT, return_tensors="np")) for text in scifact_passages(_CALIBRATION)]
    quantized = nncf.quantize(_read(checkpoint), nncf.Dataset(samples), model_type=nncf.ModelType.TRANSFORMER, subset_size=_CALIBRATION)
    return _encode_with(checkpoint, _openvino_request(quantized, "f32"))


def _sentence_transformer(checkpoint: Checkpoint) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(checkpoint.folder), device="cpu", model_kwargs={"attn_implementation": "eager"})


def _encode_with(checkpoint: Checkpoint, forward: Forward) -> Encode:
    """SentenceTransformer.encode with another forward pass."""
    model = _sentence_transformer(checkpoint)

    def passed(**inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"last_hidden_state": torch.from_numpy(forward({name: inputs[name].numpy() for name in _INPUTS}))}

    model[0].model.forward = passed
    for parameter in model[0].model.parameters():
        parameter.data = torch.empty(0)  # many copies of large weights would not fit
    return lambda texts, batch: np.asarray(model.encode(list(texts), batch_size=batch or 32, show_progress_bar=False), np.float32)


def _exported(checkpoint: Checkpoint) -> Path:
    """The network as ONNX, made when it is first asked for."""
    path = checkpoint.scratch / "model.onnx"
    if not path.is_file():
        path.parent.mkdir(parents=True)
        network = _sentence_transformer(checkpoint)[0].model.eval()
        example = {name: torch.ones(2, 8, dtype=torch.int64) for name in _INPUTS}
        axes = {name: {0: "texts", 1: "tokens"} for name in (*_INPUTS, "hidden")}
        wrapped = _LastHidden(network)
        torch.onnx.export(
            wrapped, tuple(example.values()), path, input_names=list(_INPUTS), output_names=["hidden"], dynamic_axes=axes, dynamo=False
        )
    return path


class _LastHidden(torch.nn.Module):
    """A network with plain tensors as inputs and output, as an export wants it."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self._network = network

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self._network(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        return hidden


def _onnx_session(path: Path) -> Forward:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(["hidden"], inputs)[0]


def _read(checkpoint: Checkpoint) -> Any:
    import openvino

    return openvino.Core().read_model(_exported(checkpoint))


def _openvino_request(model: Any, precision: str) -> Forward:
    import openvino

    hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(model, "CPU", hints).create_infer_request()

    def run(inputs: dict[str, np.ndarray]) -> np.ndarray:
        return np.array(request.infer(inputs)[0])

    return run
