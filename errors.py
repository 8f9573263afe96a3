"""The one exception that stands for a user's mistake."""


class InputError(ValueError):
    """A mistake in what the user gave: a file, a folder, an option, a config.

    The message is one line that names the thing and the remedy. The command line prints it and
    exits with code 2; it never shows a traceback for it.
    """
