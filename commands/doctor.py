"""Say which versions, devices, codecs and decoders are here, and what is wrong with them."""

import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version

NEEDED = (
    "torch torchvision torchaudio lightning av decord opencv-python-headless jsonargparse pyarrow "
    "simplejpeg timm scikit-learn safetensors rich"
).split()
OPTIONAL = ["torchcodec", "ray", "onnx", "wandb"]


def arguments(parser) -> None:
    parser.add_argument("--all", action="store_true", help="list every decoder, not only a few")


def run(args) -> int:
    problems: list[str] = []
    print(f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    _packages(problems)
    _devices(problems)
    _codecs(problems, args.all)
    _disk(problems)
    for problem in problems:
        print(f"PROBLEM: {problem}")
    print("nothing is wrong" if not problems else f"{len(problems)} problems")
    return 1 if problems else 0


def _packages(problems: list[str]) -> None:
    for name in NEEDED + OPTIONAL:
        try:
            print(f"  {name:24} {version(name)}")
        except PackageNotFoundError:
            print(f"  {name:24} —")
            if name == "decord":
                print("  (no decord wheel for this platform; backend `av` reads everything)")
            elif name in NEEDED:
                problems.append(f"{name} is missing: pip install {name}")


def _devices(problems: list[str]) -> None:
    try:
        import torch
    except (ImportError, OSError) as error:
        problems.append(f"torch does not load: {error}")
        return
    print(f"cpu: {torch.get_num_threads()} threads")
    for i in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(i)
        print(f"cuda:{i}: {properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    if not torch.cuda.is_available():
        print("no CUDA device: training runs on the CPU")
    for name in ("torchvision", "torchaudio"):
        try:
            __import__(name)
        except (ImportError, OSError, RuntimeError) as error:
            problems.append(f"{name} does not fit torch {torch.__version__}: {error}")


DECODERS = "h264 hevc mpeg4 mpeg1video vp8 vp9 av1 libdav1d aac mp2 mp3 opus vorbis flac".split()


def _codecs(problems: list[str], everything: bool) -> None:
    try:
        import av
        import av.codec
    except (ImportError, OSError) as error:
        problems.append(f"PyAV does not load: {error}")
        return
    known = set(av.codec.codecs_available)
    if everything:
        print("codecs:", " ".join(sorted(known)))
    else:
        print(
            "codecs:",
            " ".join(f"{name}{'' if name in known else ' (missing)'}" for name in DECODERS),
        )
    for name in ("h264", "aac"):
        if name not in known:
            problems.append(f"PyAV has no {name} decoder: reinstall av from its wheel")


def _disk(problems: list[str]) -> None:
    from ..datasets.cache import cache_root

    cache = cache_root()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        probe = cache / ".doctor"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        problems.append(
            f"cache folder {cache} cannot be written ({error.strerror}): set PRETEXTO_CACHE"
        )
        return
    free = shutil.disk_usage(cache).free / 2**30
    print(f"cache: {cache}, {free:.1f} GiB free")
    if free < 1:
        problems.append(f"less than 1 GiB free at {cache}")
    sys.stdout.flush()
