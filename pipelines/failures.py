"""An error as Ray hands it over in, the errors inside it out: Ray wraps a worker's exception several times."""

from collections.abc import Iterator

from configs.errors import UserError


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


def wraps(link: BaseException) -> bool:
    """Whether an error stands for another, as Ray's do for a worker's."""
    return isinstance(getattr(link, "cause", None), BaseException)


def user_error(error: BaseException) -> UserError | None:
    """The first of them that the user can mend. What Ray makes of a worker's is one too, but its text is a traceback: it comes last."""
    found = [link for link in chain(error) if isinstance(link, UserError)]
    return min(found, key=wraps, default=None)
