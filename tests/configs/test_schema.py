"""The schema itself: frozen, documented, and honest about which fields change results."""

from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from actors.storage.fingerprints import fingerprint, semantic_fields
from configs import schema
from configs.load import build_config
from configs.schema import Config, Section

RERANKER = {"model": "r", "depth": 20, "cutoff_layers": [4], "exits": [{"layer": 2, "keep": 10}]}
FULL = {
    "corpus": {"path": "c", "chunking": {"tokens": 256, "overlap": 32}},
    "embed": {"model": "m", "store_sparse": True, "normalize": True, "examples": [{"query": "q", "response": "r"}]},
    "queries": {"path": "q"},
    "search": {"retrievers": ["dense", "bm25"]},
    "rerank": RERANKER,
    "cascade": [{**RERANKER, "depth": 10}],
}
OTHERS = {
    "retrievers": ["dense", "sparse"],
    "fetch": 200,
    "weights": [2.0, 1.0, 1.0],
    "max_growth": 3.0,
}  # where any other value will not do
SECTIONS = [value for value in vars(schema).values() if isinstance(value, type) and issubclass(value, Section)]


def nested(annotation: Any) -> type[BaseModel] | None:
    return next((each for each in (annotation, *get_args(annotation)) if isinstance(each, type) and issubclass(each, BaseModel)), None)


def leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], FieldInfo]]:
    """(path, field) of every value of a config, sections entered."""
    found = []
    for name, field in model.model_fields.items():
        below = nested(field.annotation)
        found += leaves(below, (*path, name)) if below else [((*path, name), field)]
    return found


LEAVES = [pytest.param(path, field, id=".".join(path)) for path, field in leaves(Config)]


def another(value: Any, options: tuple[Any, ...]) -> Any:
    """A valid value other than `value`. `options` are the choices of a literal."""
    if options:
        return next(option for option in options if option != value)
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value / 2 or 0.5
        case tuple():
            return (another(value[0], ()), *value[1:]) if value else ("extra",)
        case _:
            return f"{value or 'http://'}x"


def changed(path: tuple[str, ...], field: FieldInfo) -> Config:
    data = build_config(FULL, "test").model_dump()
    *sections, name = path
    here = data
    for section in sections:
        here = here[section]
        here = here[0] if isinstance(here, tuple | list) else here
    if name == "min_size":
        here["max_size"] = 9
    choices = get_args(field.annotation) if "Literal" in str(field.annotation) else ()
    numeric = field.annotation in (int | None, float | None) and here[name] is None
    here[name] = OTHERS[name] if name in OTHERS and name in here else 16 if numeric else another(here[name], choices)
    return Config.model_validate(data)


def identity(config: Config) -> str:
    return fingerprint(semantic_fields(config))


@pytest.mark.parametrize(("path", "field"), LEAVES)
def test_only_fields_that_are_not_marked_execution_change_the_fingerprint(path, field):
    before, after = build_config(FULL, "test"), changed(path, field)
    execution = bool((field.json_schema_extra or {}).get("execution"))
    assert after != before
    assert (identity(after) == identity(before)) is execution


@pytest.mark.parametrize(
    "path",
    ["store.uri", "s3.endpoint_url", "embed.workers.max_size", "embed.batch_tokens", "embed.device", "ray.address", "index.builders"],
)
def test_where_and_how_fast_a_job_runs_is_no_part_of_its_identity(path):
    field = {".".join(each): info for each, info in leaves(Config)}[path]
    assert identity(changed(tuple(path.split(".")), field)) == identity(build_config(FULL, "test"))


@pytest.mark.parametrize(
    "path", ["embed.model", "embed.revision", "embed.max_length", "embed.precision", "embed.query_instruction", "index.seed", "corpus.path"]
)
def test_what_changes_vectors_or_rankings_is_part_of_the_identity(path):
    field = {".".join(each): info for each, info in leaves(Config)}[path]
    assert identity(changed(tuple(path.split(".")), field)) != identity(build_config(FULL, "test"))


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_field_of_a_section_explains_itself(section):
    assert section.__doc__
    silent = [name for name, field in section.model_fields.items() if len(field.description or "") < 5]
    assert not silent


def test_a_config_can_not_be_changed():
    config = build_config(FULL, "test")
    with pytest.raises(ValidationError, match="frozen"):
        config.search.top_k = 5  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        config.name = "other"  # type: ignore[misc]
    assert hash(config) == hash(build_config(FULL, "test"))


def test_two_configs_that_say_the_same_have_the_same_identity():
    spelled_out = build_config(FULL | {"search": {**FULL["search"], "top_k": 100}}, "test")
    assert identity(spelled_out) == identity(build_config(dict(reversed(FULL.items())), "test"))


def test_a_pool_that_is_given_its_size_alone_keeps_its_section_share_of_a_gpu():
    reranker = {"model": "r", "workers": {"max_size": 2}}
    config = build_config(
        FULL | {"search": {"workers": {"max_size": 2}}, "rerank": reranker, "cascade": [{**reranker, "depth": 10}]}, "job"
    )
    assert config.search.workers.gpus == 0.25
    assert [stage.workers.gpus for stage in config.rerankers] == [0.5, 0.5]
