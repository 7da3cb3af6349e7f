"""LoRA adapters: those that peft wrote against what peft makes of them, others against weights merged by hand; and those refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from actors.models import load_encoder, load_reranker
from configs.errors import UserError

DATA = Path(__file__).parents[2] / "data"
CKPT = DATA / "parity" / "ckpt"
ENCODER, GEMMA, LAYERWISE = (CKPT / f"tiny-bge-{name}" for name in ("code-v1", "reranker-v2-gemma", "reranker-v2-minicpm-layerwise"))
CONFIG = {"peft_type": "LORA", "r": 4, "lora_alpha": 16, "bias": "none", "fan_in_fan_out": False, "use_dora": False, "alpha_pattern": {}}
TEXTS = ["what is panda?", "the giant panda " * 9, "", "北京的大熊猫"]
PAIRS = [(text, passage) for text in TEXTS for passage in TEXTS[:2]]


def adapt(folder: Path, tmp_path: Path, targets: tuple[str, ...], strip: str = "", lead: str = "", **config) -> tuple[Path, Path]:
    """A random adapter of the weights that end in `targets`, named as peft does, and the checkpoint merged with it by hand.

    The class that was trained may hold the network deeper (`lead`) or less deep (`strip`) than the checkpoint does.
    """
    adapter, merged = tmp_path / "adapter", Path(shutil.copytree(folder, tmp_path / "merged"))
    adapter.mkdir()
    settings, draw = {**CONFIG, **config}, torch.Generator().manual_seed(7)
    weights, parts = load_file(folder / "model.safetensors"), {}
    for name in [name for name in weights if name.endswith(tuple(f"{target}.weight" for target in targets))]:
        high, wide = weights[name].shape
        rank = settings["r"]
        down, up = torch.randn(rank, wide, generator=draw) * 0.2, torch.randn(high, rank, generator=draw) * 0.2
        module = "base_model.model." + lead + name.removesuffix(".weight").removeprefix(strip)
        parts |= {f"{module}.lora_A.weight": down, f"{module}.lora_B.weight": up}
        weights[name] += settings["lora_alpha"] / rank ** (0.5 if settings.get("use_rslora") else 1) * up @ down
    save_file(parts, adapter / "adapter_model.safetensors")
    save_file(weights, merged / "model.safetensors", {"format": "pt"})
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    return adapter, merged


def edit(adapter: Path, config: dict | None = None, weights: dict | None = None) -> None:
    known = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**known, **(config or {})}))
    save_file({**load_file(adapter / "adapter_model.safetensors"), **(weights or {})}, adapter / "adapter_model.safetensors")


@pytest.mark.parametrize("name", ["bge-en", "bge-code-v1"])
def test_an_adapter_that_peft_wrote_gives_what_peft_gives(name):
    reference = json.loads((DATA / "adapters" / "reference.json").read_text())
    encoder = load_encoder(CKPT / f"tiny-{name}", device="cpu", precision="fp32", adapter=DATA / "adapters" / name)
    np.testing.assert_allclose(encoder.encode_corpus(reference["texts"]).dense, reference["vectors"][name], atol=1e-5)


@pytest.mark.parametrize(("rslora", "lead"), [(False, ""), (True, ""), (False, "model.")])
def test_an_embedder_with_an_adapter_is_the_one_merged_by_hand(rslora, lead, tmp_path):
    adapter, merged = adapt(ENCODER, tmp_path, ("q_proj", "v_proj", "down_proj"), lead=lead, use_rslora=rslora)
    plain, mended = (
        load_encoder(ENCODER, device="cpu", precision="fp32"),
        load_encoder(ENCODER, device="cpu", precision="fp32", adapter=adapter),
    )
    want = load_encoder(merged, device="cpu", precision="fp32").encode_corpus(TEXTS).dense
    np.testing.assert_allclose(mended.encode_corpus(TEXTS).dense, want, atol=1e-6)
    assert np.abs(want - plain.encode_corpus(TEXTS).dense).max() > 0.01
    assert mended.digest != plain.digest


@pytest.mark.parametrize(
    ("folder", "targets", "strip"),
    [(GEMMA, ("o_proj", "up_proj"), ""), (LAYERWISE, ("k_proj", "linear_head"), ""), (GEMMA, ("q_proj",), "model.")],
)
def test_a_reranker_with_an_adapter_is_the_one_merged_by_hand(folder, targets, strip, tmp_path):
    adapter, merged = adapt(folder, tmp_path, targets, strip)
    mended = load_reranker(folder, device="cpu", precision="fp32", adapter=adapter)
    want = load_reranker(merged, device="cpu", precision="fp32").compute_score(PAIRS)
    np.testing.assert_allclose(mended.compute_score(PAIRS), want, atol=1e-5)
    assert np.abs(want - load_reranker(folder, device="cpu", precision="fp32").compute_score(PAIRS)).max() > 0.01


def test_weights_that_an_adapter_holds_whole_take_the_place_of_the_checkpoints(tmp_path):
    adapter, merged = adapt(GEMMA, tmp_path, ("q_proj",), modules_to_save=["norm"])
    weights = load_file(merged / "model.safetensors")
    norm = weights["model.norm.weight"] + 0.5
    edit(adapter, weights={"base_model.model.norm.weight": norm})
    save_file({**weights, "model.norm.weight": norm}, merged / "model.safetensors", {"format": "pt"})
    mended = load_reranker(GEMMA, device="cpu", precision="fp32", adapter=adapter).compute_score(PAIRS)
    np.testing.assert_allclose(mended, load_reranker(merged, device="cpu", precision="fp32").compute_score(PAIRS), atol=1e-5)


@pytest.mark.parametrize(
    ("config", "weights", "sentence"),
    [
        ({"use_dora": True}, {}, "adapter_config.json asks for use_dora, which is not supported: merge it with peft"),
        ({"peft_type": "IA3"}, {}, "asks for peft_type IA3"),
        ({"alpha_pattern": {"q_proj": 8}}, {}, "asks for alpha_pattern"),
        ({"init_lora_weights": "pissa"}, {}, "asks for init_lora_weights pissa"),
        ({}, {"base_model.model.model.embed_tokens.lora_embedding_A": torch.ones(2, 2)}, "lora_embedding_A, which is not supported"),
        ({}, {"base_model.model.model.layers.0.mlp.up_proj.lora_A.weight": torch.ones(4, 32)}, r"lacks .*up_proj\.lora_B"),
        ({}, {"base_model.model.score.weight": torch.ones(1, 32)}, "changes score.weight, which the checkpoint does not have"),
        ({}, {"base_model.model.model.layers.9.mlp.up_proj.lora_A.weight": torch.ones(4, 32)}, r"changes model\.layers\.9\.mlp"),
        ({}, {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(4, 16)}, "another shape for .*q_proj"),
    ],
)
def test_an_adapter_that_can_not_be_merged_is_one_sentence(config, weights, sentence, tmp_path):
    adapter, _ = adapt(GEMMA, tmp_path, ("q_proj",))
    edit(adapter, config, weights)
    with pytest.raises(UserError, match=sentence):
        load_reranker(GEMMA, device="cpu", adapter=adapter)


def test_an_adapter_without_weights_is_one_sentence(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(UserError, match=r"lacks adapter_model\.safetensors"):
        load_encoder(ENCODER, device="cpu", adapter=tmp_path)
    with pytest.raises(UserError, match="cross_encoder, which has no adapter"):
        load_reranker(CKPT / "tiny-bge-reranker", device="cpu", adapter=tmp_path)
