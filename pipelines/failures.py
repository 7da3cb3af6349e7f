"""An error as Ray hands it over in, the errors inside it out: Ray wraps a worker's exception several times."""

from collections.abc import Iterator


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and everything it was caused by, outermost first, each once."""
    waiting, seen = [error], set()
    while waiting:
        link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        inner = (getattr(link, "cause", None), link.__cause__, link.__context__)
        waiting.extend(e for e in inner if isinstance(e, BaseException))
