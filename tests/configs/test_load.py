"""YAML, overrides and environment in; the right Config or one clear sentence out."""

from pathlib import Path

import pytest
import yaml

from configs.errors import UserError
from configs.load import build_config, dump_config, load_config

BASE = {"corpus": {"path": "c.jsonl"}, "embed": {"model": "m"}}


def written(folder: Path, file_name: str = "job.yaml", /, **sections: object) -> Path:
    file = folder / file_name
    file.write_text(yaml.safe_dump(BASE | sections))
    return file


def refused(file: Path, *overrides: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_config(file, overrides, environ or {})
    return str(caught.value)


# --- extends


def test_a_child_takes_what_it_does_not_name_from_its_parent(tmp_path):
    written(tmp_path, "parent.yaml", search={"top_k": 7, "searchers": 3})
    (tmp_path / "job.yaml").write_text("extends: parent.yaml\nsearch: {top_k: 9}\n")
    config = load_config(tmp_path / "job.yaml")
    assert (config.search.top_k, config.search.searchers, config.embed.model) == (9, 3, "m")


def test_a_chain_of_parents_is_relative_to_each_file(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    written(tmp_path, "root.yaml", name="root", index={"kind": "flat"})
    (tmp_path / "a" / "middle.yaml").write_text("extends: ../root.yaml\nindex: {nlist: 5}\n")
    (tmp_path / "a" / "b" / "job.yaml").write_text("extends: ../middle.yaml\nname: leaf\n")
    config = load_config(tmp_path / "a" / "b" / "job.yaml")
    assert (config.name, config.index.kind, config.index.nlist) == ("leaf", "flat", 5)


def test_of_several_parents_the_later_wins(tmp_path):
    written(tmp_path, "one.yaml", name="one", search={"top_k": 1})
    (tmp_path / "two.yaml").write_text("name: two\n")
    (tmp_path / "job.yaml").write_text("extends: [one.yaml, two.yaml]\n")
    config = load_config(tmp_path / "job.yaml")
    assert (config.name, config.search.top_k) == ("two", 1)


def test_a_shipped_config_can_be_extended_by_name(tmp_path):
    (tmp_path / "job.yaml").write_text("extends: quickstart\nname: mine\n")
    config = load_config(tmp_path / "job.yaml")
    assert config.name == "mine" and config.embed.model.startswith("pkg://")


def test_a_circle_of_parents_is_named(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    assert "a.yaml -> b.yaml -> a.yaml" in refused(tmp_path / "a.yaml")


def test_a_missing_parent_is_named_with_its_child(tmp_path):
    (tmp_path / "job.yaml").write_text("extends: nowhere.yaml\n")
    sentence = refused(tmp_path / "job.yaml")
    assert "job.yaml extends nowhere.yaml" in sentence and "quickstart" in sentence


def test_a_parent_that_is_no_file_name_is_refused(tmp_path):
    (tmp_path / "job.yaml").write_text("extends: {a: 1}\n")
    assert "extends must be a file or a list of files" in refused(tmp_path / "job.yaml")


# --- --set


@pytest.mark.parametrize(
    ("item", "path", "value"),
    [
        ("search.top_k=50", "search.top_k", 50),
        ("corpus.max_reject_share=0.5", "corpus.max_reject_share", 0.5),
        ("embed.normalize=false", "embed.normalize", False),
        ("embed.max_length=", "embed.max_length", None),
        ("corpus.path=[a, b]", "corpus.path", ("a", "b")),
        ("corpus.path=s3://bucket/x", "corpus.path", ("s3://bucket/x",)),
        ("embed.workers.max_size=3", "embed.workers.max_size", 3),
        ("corpus.columns={id: doc, text: body}", "corpus.columns.text", "body"),
        ("rerank.model=r", "rerank.model", "r"),
        ("embed.query_instruction=query: ", "embed.query_instruction", "query: "),
        ("embed.query_instruction=Task: rank: ", "embed.query_instruction", "Task: rank: "),
    ],
)
def test_an_override_wins_with_its_type(tmp_path, item, path, value):
    found = load_config(written(tmp_path, search={"top_k": 7}), [item], {})
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value and type(found) is type(value)


def test_of_two_overrides_of_one_field_the_later_wins(tmp_path):
    assert load_config(written(tmp_path), ["search.top_k=5", "search.top_k=6"]).search.top_k == 6


@pytest.mark.parametrize("item", ["search.top_k", "=5", "search..top_k=5", ".top_k=5", "search.=5"])
def test_a_malformed_override_shows_the_form(tmp_path, item):
    sentence = refused(written(tmp_path), item)
    assert f"--set {item}" in sentence and "section.field=value" in sentence


def test_an_override_with_broken_yaml_is_named(tmp_path):
    assert "--set corpus.path=[a, b" in refused(written(tmp_path), "corpus.path=[a, b")


def test_an_override_of_an_unknown_field_names_it(tmp_path):
    assert "did you mean search.top_k?" in refused(written(tmp_path), "search.topk=5")


# --- ${ENV}


def test_the_environment_fills_values_and_defaults(tmp_path):
    file = written(
        tmp_path,
        store={"uri": "s3://${BUCKET}/${PREFIX:-runs}"},
        search={"top_k": "${K}"},
        embed={"model": "m", "revision": "${REVISION}", "normalize": "${NORMALIZE:-false}", "query_instruction": "${ROLE}: "},
        queries={"path": ["${Q}"], "qrels": "${QRELS:-}"},
    )
    config = load_config(file, environ={"BUCKET": "b", "K": "12", "REVISION": "0123", "ROLE": "query", "Q": "q.tsv"})
    assert config.store.uri == "s3://b/runs" and config.search.top_k == 12
    assert (config.embed.revision, config.embed.normalize, config.embed.query_instruction) == ("0123", False, "query: ")
    assert config.queries is not None and config.queries.path == ("q.tsv",) and config.queries.qrels is None


def test_an_unset_variable_is_named_with_the_file_and_the_remedy(tmp_path):
    sentence = refused(written(tmp_path, store={"uri": "s3://${BUCKET}/x"}))
    assert "job.yaml" in sentence and "export BUCKET" in sentence and "${BUCKET:-default}" in sentence


def test_an_empty_text_in_the_file_stays_empty(tmp_path):
    assert load_config(written(tmp_path, corpus={"path": "c", "title_separator": ""})).corpus.title_separator == ""


# --- secrets


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "HF_TOKEN", "DB_PASSWORD"])
def test_a_secret_of_the_environment_is_not_put_into_a_config(tmp_path, name):
    sentence = refused(written(tmp_path, store={"uri": f"s3://b/${{{name}}}"}), environ={name: "hunter2"})
    assert name in sentence and "hunter2" not in sentence


@pytest.mark.parametrize("key", ["aws_secret_access_key", "secret", "access_key", "session_token", "password", "credentials"])
def test_a_key_that_looks_like_a_secret_is_refused_without_showing_it(tmp_path, key):
    sentence = refused(written(tmp_path, s3={key: "hunter2"}))
    assert f"s3.{key} looks like a secret" in sentence and "hunter2" not in sentence


def test_a_secret_given_by_override_is_refused_without_showing_it(tmp_path):
    sentence = refused(written(tmp_path), "s3.secret_key=hunter2")
    assert "s3.secret_key looks like a secret" in sentence and "hunter2" not in sentence


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("s3", {"endpoint_url": "https://KEY:hunter2@minio"}),
        ("s3", {"endpoint_url": "https://KEY:hunt/hunter2@minio"}),
        ("store", {"uri": "s3://KEY:hunter2@b/x"}),
        ("store", {"uri": "s3://KEY:hunter2/more@b/x"}),
        ("corpus", {"path": ["c", "s3://b/x?secret=hunter2"]}),
        ("corpus", "s3://KEY:hunter2@b/x"),
        ("reindex", {"deletions": "S3://KEY:hunter2@b/x"}),
        ("embed", {"model": "https://user:hunter2@hub/model"}),
        ("ray", {"address": "ray://user:hunter2@head"}),
    ],
)
def test_an_address_with_credentials_is_refused_without_showing_them(tmp_path, section, value):
    sentence = refused(written(tmp_path, **{section: value}))
    assert f"the address in {section}" in sentence and "carries credentials" in sentence and "hunter2" not in sentence


# --- wrong content


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"embd": {}}, "there is no field embd; did you mean embed?"),
        ({"search": {"topk": 5}}, "there is no field search.topk; did you mean search.top_k?"),
        ({"embed": {"model": "m", "workers": {"maxsize": 2}}}, "embed.workers.maxsize; did you mean embed.workers.max_size?"),
        ({"rerank": {"model": "m", "batch_token": 2}}, "rerank.batch_token; did you mean rerank.batch_tokens?"),
        ({"cascade": [{"model": "m", "workers": {"maxsize": 2}}]}, "cascade.0.workers.maxsize; did you mean cascade.0.workers.max_size?"),
        ({"embed": {"model": "m", "tokenizer": 2}}, "embed.tokenizer; did you mean embed.tokenizers?"),
        ({"store": {"zzzz": 5}}, "there is no field store.zzzz; the fields there are: uri, unsafe_single_writer, deadline_s."),
    ],
)
def test_an_unknown_key_names_its_path_and_the_nearest_right_key(tmp_path, sections, expected):
    sentence = refused(written(tmp_path, **sections))
    assert expected in sentence and "job.yaml" in sentence


@pytest.mark.parametrize(
    ("sections", "path", "value"),
    [
        ({"search": {"top_k": "many"}}, "search.top_k", "'many'"),
        ({"search": {"top_k": 0}}, "search.top_k", "0"),
        ({"embed": {"model": "m", "precision": "int4"}}, "embed.precision", "'int4'"),
        ({"queries": {"path": []}}, "queries.path", "[]"),
        ({"name": "a/b"}, "name", "'a/b'"),
        ({"s3": {"endpoint_url": "minio:9000"}}, "s3.endpoint_url", "'minio:9000'"),
        ({"evaluate": {"cuts": [0]}}, "evaluate.cuts.0", "0"),
        ({"ray": 5}, "ray", "5"),
    ],
)
def test_a_wrong_value_names_its_path_and_the_value(tmp_path, sections, path, value):
    sentence = refused(written(tmp_path, **sections))
    assert f"job.yaml: {path}: " in sentence and f"(got {value})" in sentence


def test_all_mistakes_are_told_at_once_a_line_each(tmp_path):
    sentence = refused(written(tmp_path, search={"top_k": 0, "topk": 1}, store={"deadline_s": -1}))
    assert len(sentence.splitlines()) == 3


def test_a_missing_required_field_is_named():
    with pytest.raises(UserError, match=r"job: corpus is missing.*\n.*embed\.model is missing"):
        build_config({"embed": {}}, "job")


def test_a_depth_past_top_k_gives_a_sentence(tmp_path):
    sentence = refused(written(tmp_path, rerank={"model": "r", "depth": 200}))
    assert "rerank.depth is 200 but search.top_k is only 100: lower the depth or raise search.top_k" in sentence


def test_a_pool_whose_least_size_is_past_its_greatest_gives_a_sentence(tmp_path):
    sentence = refused(written(tmp_path, embed={"model": "m", "workers": {"min_size": 4, "max_size": 2}}))
    assert "embed.workers: min_size is 4 but max_size is only 2" in sentence


@pytest.mark.parametrize("text", ["corpus: [", "a: b: c", "\tcorpus: 1", "corpus: &a *b"])
def test_invalid_yaml_names_the_file(tmp_path, text):
    (tmp_path / "broken.yaml").write_text(text)
    sentence = refused(tmp_path / "broken.yaml")
    assert "broken.yaml is not valid YAML" in sentence and "\n" not in sentence


def test_a_section_that_comes_twice_is_refused(tmp_path):
    (tmp_path / "job.yaml").write_text("corpus: {path: a}\nembed: {max_length: 64}\nembed: {precision: fp32}\n")
    with pytest.raises(UserError, match=r"job\.yaml is not valid YAML: the key 'embed' comes twice, again in line 3"):
        load_config(tmp_path / "job.yaml")


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    assert "binary.yaml is not valid YAML" in refused(tmp_path / "binary.yaml")


def test_yaml_that_would_run_code_is_refused(tmp_path):
    (tmp_path / "evil.yaml").write_text(f"corpus: !!python/object/apply:os.mkdir ['{tmp_path}/made']\n")
    assert "evil.yaml is not valid YAML" in refused(tmp_path / "evil.yaml")
    assert not (tmp_path / "made").exists()


def test_a_list_instead_of_sections_is_refused(tmp_path):
    (tmp_path / "list.yaml").write_text("- corpus\n")
    assert "list.yaml must hold a mapping" in refused(tmp_path / "list.yaml")


def test_an_unknown_file_lists_the_shipped_names(tmp_path):
    sentence = refused(tmp_path / "nothing.yaml")
    assert "nothing.yaml" in sentence and "quickstart" in sentence and "bge" in sentence


def test_a_path_with_a_wrong_folder_is_not_silently_a_shipped_config(tmp_path):
    assert "There is no config file" in refused(tmp_path / "quickstart.yaml")


# --- the result


def test_a_dumped_config_loads_to_the_same_config(tmp_path):
    config = load_config(
        written(tmp_path, rerank={"model": "r"}, queries={"path": ["a", "b"], "columns": {"metadata": ["x", "ü"]}}, name="n-1"),
        ["embed.query_instruction=Represent: ", "evaluate.cuts=[1, 2]", "store.deadline_s=0.5"],
    )
    again = tmp_path / "dumped.yaml"
    again.write_text(dump_config(config), "utf-8")
    assert load_config(again, environ={}) == config
