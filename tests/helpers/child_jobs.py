"""What tests have children do: the worst that decoders do."""

import os
import signal
import time

from pretexto.datasets.index.build import scan_job
from pretexto.datasets.packs.transcode import pack_job
from pretexto.modalities.decode.sandbox import read_job
from pretexto.modalities.media import MediaError


def misbehave(path, *arguments):
    """Does what the file's name says, else tells its process."""
    if "crash" in path:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "hang" in path:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(60)
    if "greedy" in path:
        return {"bytes": len(bytearray(1 << 31))}, []
    if "loud" in path:
        print("noise on standard output", flush=True)
    if "refused" in path:
        raise MediaError(path, "demux", "no")
    return {"process": os.getpid(), "arguments": list(arguments)}, [b"abc", b""]


def scan(path, old_hash, name):
    """The index's job, with misbehaving files."""
    misbehave(path)
    if os.environ.get("SLOWLY"):
        time.sleep(0.3)
    return scan_job(path, old_hash)


def pack(path, settings, number, start, end):
    """The pack's job, with misbehaving files."""
    misbehave(path)
    if os.environ.get("SLOWLY"):
        time.sleep(0.3)
    return pack_job(path, settings, start, end)


def read(path, plan):
    """The isolated reader's job, with misbehaving files."""
    misbehave(path)
    return read_job(path, plan)
