"""YAML file, overrides and environment in; a frozen Config out. The only module that reads environment variables for configs.

A file may name parents with `extends:` (paths relative to itself, or plain names of files in this folder), later
keys win. `${NAME}` and `${NAME:-default}` are filled from the environment, as text that the schema then converts; a value
that comes out empty counts as none. `--set a.b=c` wins over the file.
"""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from configs.errors import UserError
from configs.schema import Config

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_SECRET = re.compile(r"(secret|password|passwd|token|access_?key|credential)", re.IGNORECASE)
# Tokens of a text, and slips of the pen for them: not secrets.
_HARMLESS = re.compile(r"batch_token|tokeni[sz]er|token_vector|max_token|^tokens$", re.IGNORECASE)

# No bucket has a colon, no endpoint an @. A secret may hold a slash, which would end the part where URLs have it.
_CREDENTIALS = re.compile(r"^(?:[a-z][a-z0-9+.-]*://[^/]*@|https?://.*[@?]|s3://[^/]*:|s3://.*\?)", re.IGNORECASE)


def load_config(path: str | Path, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> Config:
    """Read, merge and check a config file. Raises UserError with the file, the field and the nearest right key."""
    file = _find(Path(path), "")
    data = _read(file, os.environ if environ is None else environ, ())
    for item in overrides:
        _override(data, item)
    return build_config(data, str(path))


def build_config(data: dict[str, Any], where: str) -> Config:
    """A Config from plain data. `where` is named in errors."""
    _refuse_secrets(data, where, ())
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise UserError("\n".join(_sentence(where, item) for item in error.errors())) from None


def dump_config(config: Config) -> str:
    """The resolved config as YAML that loads to the same config."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _find(path: Path, child: str) -> Path:
    here = Path(__file__).parent
    shipped = (here / path, here / f"{path}.yaml") if path.parent == Path() else ()
    for candidate in (path, *shipped):
        if candidate.is_file():
            return candidate
    known = sorted(p.stem for p in here.glob("*.yaml"))
    what = f"{child} extends {path}, but there is no such file." if child else f"There is no config file {path}."
    raise UserError(f"{what} Give a path, or one of the shipped names: {', '.join(known)}.")


def _read(file: Path, environ: Mapping[str, str], seen: tuple[Path, ...]) -> dict[str, Any]:
    if file.resolve() in seen:
        raise UserError(f"{file} extends itself: {' -> '.join(p.name for p in (*seen, file))}.")
    try:
        text = file.read_text("utf-8")
        _refuse_twins(yaml.compose(text, yaml.SafeLoader), set())
        data = yaml.safe_load(text) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise UserError(f"{file} must hold a mapping of sections such as corpus: and embed:, not a {type(data).__name__}.")
    merged: dict[str, Any] = {}
    for parent in _parents(data.pop("extends", None), file):
        merged = _merge(merged, _read(parent, environ, (*seen, file.resolve())))
    return _merge(merged, _fill(data, environ, str(file)))


def _refuse_twins(node: yaml.Node | None, seen: set[int]) -> None:
    """Raise YAMLError on a key that comes twice, of which YAML would keep the last. Anchors that are used again are looked at once."""
    if not isinstance(node, yaml.CollectionNode) or id(node) in seen:
        return
    seen.add(id(node))
    known: set[tuple[str, str]] = set()
    for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        name = (key.tag, str(key.value))
        if name in known and isinstance(key, yaml.ScalarNode) and key.value != "<<":
            raise yaml.YAMLError(f"the key {key.value!r} comes twice, again in line {key.start_mark.line + 1}: leave one of them")
        known.add(name)
    for inner in (value for _, value in node.value) if isinstance(node, yaml.MappingNode) else node.value:
        _refuse_twins(inner, seen)


def _parents(names: Any, file: Path) -> list[Path]:
    listed = [names] if isinstance(names, str) else names or []
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise UserError(f"{file}: extends must be a file or a list of files (got {names!r}).")
    beside = [file.parent / name for name in listed]
    return [path if path.is_file() else _find(Path(name), str(file)) for path, name in zip(beside, listed, strict=True)]


def _merge(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in top.items():
        old = out.get(key)
        out[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return out


def _fill(value: Any, environ: Mapping[str, str], where: str) -> Any:
    if isinstance(value, dict):
        return {key: _fill(item, environ, where) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, environ, where) for item in value]
    if not isinstance(value, str):
        return value

    def one(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        if _is_secret(name):
            raise UserError(f"{where} asks for ${{{name}}}: secrets are not put into configs; Raytrieve asks the AWS chain for them.")
        found = environ.get(name, default)
        if found is None:
            raise UserError(f"{where} asks for ${{{name}}}, which is not set: export {name}, or write ${{{name}:-default}}.")
        return found

    # Not read as YAML: an instruction such as "${ROLE}: " would become a mapping, a digits-only revision a number.
    filled = _VARIABLE.sub(one, value)
    return filled if filled or not value else None


def _override(data: dict[str, Any], item: str) -> None:
    dotted, sign, text = item.partition("=")
    keys = dotted.strip().split(".")
    if not sign or not all(keys):
        raise UserError(f"--set {item} is not of the form section.field=value, for example --set search.top_k=50.")
    here = data
    for key in keys[:-1]:
        below = here.setdefault(key, {})
        if not isinstance(below, dict):
            below = here[key] = {}
        here = below
    here[keys[-1]] = _value(item, text) if text else None


def _value(item: str, text: str) -> Any:
    # "query: " and "Task: rank: " are instructions; whoever means a mapping or quotes writes them so.
    meant = text.lstrip().startswith(("{", "[", '"', "'"))
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        if meant:
            raise UserError(f"--set {item}: the value is not valid YAML ({' '.join(str(error).split())}).") from None
        return text
    return text if isinstance(value, dict) and not meant else value


def _is_secret(name: str) -> bool:
    return bool(_SECRET.search(name)) and not _HARMLESS.search(name)


def _refuse_secrets(value: Any, where: str, path: tuple[str, ...]) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if _is_secret(str(key)):
                dotted = ".".join((*path, str(key)))
                raise UserError(f"{where}: {dotted} looks like a secret; take it out and use AWS_* variables or an AWS profile.")
            _refuse_secrets(item, where, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_secrets(item, where, path)
    elif isinstance(value, str) and _CREDENTIALS.match(value):
        raise UserError(
            f"{where}: the address in {'.'.join(path)} carries credentials or options: leave only host, bucket and path, "
            "and put credentials into the environment."
        )


def _sentence(where: str, error: Any) -> str:
    dotted = ".".join(str(part) for part in error["loc"]) or "the config"
    if error["type"] == "extra_forbidden":
        return f"{where}: there is no field {dotted}{_nearest(error['loc'])}"
    if error["type"] == "missing":
        return f"{where}: {dotted} is missing; it is required."
    text = error["msg"].removeprefix("Value error, ")
    got = "" if error["type"] == "value_error" else f" (got {error['input']!r})"
    return f"{where}: {dotted}: {text[0].lower() + text[1:]}{got}."


def _nearest(loc: tuple[Any, ...]) -> str:
    model: Any = Config
    for part in (name for name in loc[:-1] if isinstance(name, str)):  # a number is a place in a list of sections
        field = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, BaseModel) else None
        if field is None:
            break
        model = _section_of(field.annotation)
    known = list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
    close = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
    return f"; did you mean {'.'.join([*map(str, loc[:-1]), close[0]])}?" if close else f"; the fields there are: {', '.join(known)}."


def _section_of(annotation: Any) -> Any:
    options = getattr(annotation, "__args__", (annotation,))
    return next((a for a in options if isinstance(a, type) and issubclass(a, BaseModel)), None)
