"""The one exception that stands for a user's mistake."""


class InputError(ValueError):
    """A mistake in what the user gave: a file, a folder, an option, a config.

    The message is one line that names the thing and the remedy. The command line prints it and
    exits with code 2; it never shows a traceback for it.
    """


class Interrupted(KeyboardInterrupt):
    """A signal ends the program; its exit code is 128 + the signal's number."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def some(names: list[str], count: int = 3, between: str = ", ") -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return between.join(names[:count]) + more
