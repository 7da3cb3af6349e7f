"""What the user, the checkpoint and the table of families say in, the two instructions that take effect out: plain strings.

An instruction is what goes before a text, or a whole text with {} where the input goes. First the user's, then the
sentence-transformers prompts of the checkpoint, then the table's (catalogue.py).
"""

from typing import NamedTuple

from actors.models.description import CheckpointInfo
from configs.errors import UserError


class Instructions(NamedTuple):
    """Of queries and of passages; "" is none."""

    query: str
    passage: str


def effective_instructions(
    info: CheckpointInfo, query: str | None = None, passage: str | None = None, task: str | None = None
) -> Instructions:
    """The instructions that take effect when the user gives these; none leaves it to the checkpoint, "" takes none.

    Where the family has a template, a query instruction is the task that is put into it, unless it is a whole text with {} or
    begins as the template does. `task`: of llm-embedder, by name. Raises UserError on a task that the checkpoint does not have.
    """
    default = _task_instructions(info, task) if task is not None else _default_instructions(info)
    template = info.named.template if info.named else ""
    return Instructions(default.query if query is None else _templated(template, query), default.passage if passage is None else passage)


def _task_instructions(info: CheckpointInfo, task: str) -> Instructions:
    tasks = info.named.tasks if info.named else {}
    if not tasks:
        raise UserError(f"task is {task!r} but {info.folder} has no named tasks, only llm-embedder has: leave it out.")
    if task not in tasks:
        raise UserError(f"{info.folder} has no task {task!r}: use one of {', '.join(tasks)}.")
    return Instructions(*tasks[task])


def _default_instructions(info: CheckpointInfo) -> Instructions:
    prompts = info.sentence.prompts
    if prompts or info.named is None:
        return Instructions(prompts.get("query", ""), prompts.get("passage", ""))
    return Instructions(*info.named.instructions)


def _templated(template: str, given: str) -> str:
    head = template.partition("{}")[0].strip()
    if not template or not given or "{}" in given or given.startswith(head):
        return given
    return template.replace("{}", given)
