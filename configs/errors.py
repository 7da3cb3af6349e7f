"""The one error a user can mend: a sentence that names the file, row or field, and the remedy."""


class UserError(Exception):
    """Bad input, config or environment. Command lines print the sentence and leave with status 2.

    Takes exactly one argument, so that it survives the trip out of a Ray worker.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self._sentence = sentence

    def __str__(self) -> str:
        return self._sentence  # Ray Data adds advice on its retries to the arguments of what a worker raises
