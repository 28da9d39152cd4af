"""A command that cannot go on: one line for the user and an exit code.

This file knows nothing of commands; whoever raises says what happened in words that need no traceback.
"""


class Failure(Exception):
    """The command ends here; its text is printed as `shmzmq NAME: text`.

    Shape    code: the exit code, 1 failed or nothing found, 2 wrong usage.
    """

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code
