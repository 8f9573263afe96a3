"""The command line: finds the command, runs it, and turns a user's mistake into one line."""

import argparse
import atexit
import difflib
import errno
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import NoReturn

from . import __version__
from .errors import InputError, Interrupted

# Command → what its line in the overview says. Each is a module of `commands` with
# `arguments(parser)` and `run(args)`; none imports torch before `run`, so help stays instant.
COMMANDS = {
    "demo": "pretrain, evaluate and compare on the embedded synthetic world, into report.html",
    "recipes": "what ships: each recipe's question, paper, media and cost; of one, all of it",
    "fetch": "download UCF101 or HMDB51, check it and unpack it as it is read",
    "index": "scan media into an index; quarantine what cannot be read, with the reason",
    "pack": "transcode an index into packs that load an order of magnitude faster",
    "pretrain": "one pretraining run → a run folder",
    "evaluate": "rows for a pretrained encoder: linear, knn, retrieval, lowshot or finetune",
    "compare": "tasks × seeds beside random-init and supervised controls → report.html",
    "report": "a comparison's report anew, from what it has so far",
    "apply": "what a trained run makes: colours, filled holes, solved puzzles",
    "audit": "can a pretext task be solved by a trivial cue on this data? guards on and off",
    "show": "a picture of what a task sees, asks and predicts",
    "doctor": "versions, devices, codecs, decoders, and what is wrong with them",
}


class Parser(argparse.ArgumentParser):
    """argparse that raises InputError and names the nearest command or option."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see `{self.prog} --help`)")


def main(argv: list[str] | None = None) -> int:
    """Runs one command.

    Returns:
        the exit code: 0 success, 1 failed runs, 2 a user's mistake, 128 + N after signal N.
    """
    # Threads that wait for each other in a loop take the cores from the loader's workers. Measured
    # with two workers on two busy cores: 58 examples per second, and fewer than 11 without this.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if argv is None:
        # Our own process, which when it ends needs no search for garbage in all that torch has
        # loaded: a second or two.
        atexit.register(gc.freeze)
    try:
        with _ended_by_signals():
            return _dispatch(sys.argv[1:] if argv is None else argv)
    except InputError as error:
        return _complain(str(error))
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, Interrupted) else signal.SIGINT
        print("pretexto: interrupted; the same command goes on from here", file=sys.stderr)
        return 128 + number
    except BrokenPipeError:
        # Whoever read the output has gone; Python must not try to write the rest of it either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        return _complain(
            f"{error.filename or 'disk'}: {error.strerror}; {_DISK_ERRORS[error.errno]}"
        )


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Signals that end the process raise Interrupted, so that what is open is closed and kept."""

    def answer(number: int, frame: object) -> NoReturn:
        raise Interrupted(number)

    numbers = []
    if threading.current_thread() is threading.main_thread():
        known = (signal.SIGTERM, signal.SIGHUP)
        numbers = [n for n in known if signal.getsignal(n) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, answer)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


_DISK_ERRORS = {
    errno.ENOSPC: "free some space and run the same command again",
    errno.EDQUOT: "free some of your quota and run the same command again",
    errno.EROFS: "choose a folder that can be written, with --out",
    errno.EACCES: "choose a folder that you may use",
    errno.EPERM: "choose a folder that you may use",
    errno.ENOTDIR: "a part of this path is a file, no folder; choose another path",
    errno.EEXIST: "this is a file where a folder is needed; choose another path",
    errno.EISDIR: "this is a folder where a file is needed; choose another path",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.ELOOP: "these links lead in a circle; choose another path",
}


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if argv[0] == "--version":
        print(f"pretexto {__version__}")
        return 0
    name = argv[0]
    if name not in COMMANDS:
        raise InputError(f"no command {name!r}{suggest(name, COMMANDS)}; see `pretexto --help`")
    command = import_module(f".commands.{name}", __package__)
    parser = Parser(
        prog=f"pretexto {name}",
        description=command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.arguments(parser)
    return _parse_and_run(command, parser, argv[1:])


def _parse_and_run(command, parser: Parser, argv: list[str]) -> int:
    args, rest = parser.parse_known_args(argv)
    takes_keys = getattr(command, "TAKES_KEYS", False)
    options = [o for action in parser._actions for o in action.option_strings]
    for word in rest:
        dotted = word.startswith("--") and "." in word
        if _is_option(word) and not (takes_keys and dotted):
            raise InputError(
                f"no option {word}{suggest(word, options)}; see `{parser.prog} --help`"
            )
    if takes_keys:
        args.overrides = _pairs(rest)
    elif rest:
        raise InputError(f"unexpected {rest[0]!r}; see `{parser.prog} --help`")
    return command.run(args) or 0


def _is_option(word: str) -> bool:
    """Whether a word is the name of an option, and no value such as -1 or -1e-3."""
    try:
        float(word)
    except ValueError:
        return word.startswith("-")
    return False


def _pairs(words: list[str]) -> list[tuple[str, str]]:
    """`--key.path value` and `--key.path=value` as (key.path, value)."""
    pairs, queue = [], list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith("--"):
            raise InputError(f"unexpected {word!r}: keys are set as --key.path value")
        key, equals, value = word[2:].partition("=")
        if not equals:
            if not queue or _is_option(queue[0]):
                raise InputError(f"{word} needs a value")
            value = queue.pop(0)
        pairs.append((key, value))
    return pairs


def suggest(word: str, known) -> str:
    """ "; did you mean X?" with the nearest of the known words, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {line}" for name, line in COMMANDS.items()]
    return "\n".join(
        [
            "usage: pretexto COMMAND [options]        (pretexto COMMAND --help)",
            "",
            "Self-supervised learning from video, sound, motion, images and text.",
            "",
            *lines,
            "",
            "Exit codes: 0 done, 1 some runs failed, 2 wrong input, 128 + N after signal N.",
        ]
    )


def _complain(message: str) -> int:
    print(f"pretexto: {' '.join(message.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
