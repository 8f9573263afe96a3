"""The one exception that stands for a user's mistake."""


class InputError(ValueError):
    """A mistake in what the user gave: a file, a folder, an option, a config.

    The message is one line that names the thing and the remedy. The command line prints it and
    exits with code 2; it never shows a traceback for it.
    """


def some(names: list[str], count: int = 3) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
