"""How fast text is packed, and in how much memory it is packed and trained from.

    python benchmarks/packing_text.py --megabytes 1000 --tokenizer bpe:8192

The text is made up: words drawn by Zipf's law from so many spellings, 20 to 200 a document, one
document a line.
"""

import argparse
import resource
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from parts.results import about_run, write_result

from pretexto.datasets.text.documents import read_documents
from pretexto.datasets.text.source import Tokens
from pretexto.datasets.text.write import pack_text, tokenizer_for
from pretexto.encoders.text import TextTransformer
from pretexto.tasks.causal_language import CausalLanguage
from pretexto.tasks.parts.text_input import TextInput
from pretexto.training.pretrain import TrainerArgs, pretrain

_SPELLINGS = 300_000
_LETTERS = np.frombuffer(b"etaoinshrdlucmfwypvbgkjqxz", np.uint8)


def write_words(file: Path, size: int) -> None:
    """So many bytes of made-up text."""
    rng = np.random.default_rng(0)
    share = np.arange(1, 27) ** -0.7
    lengths = 2 + rng.binomial(10, 0.35, _SPELLINGS)
    letters = rng.choice(_LETTERS, lengths.sum(), p=share / share.sum()).tobytes().decode()
    stops = lengths.cumsum().tolist()
    spellings = np.array([letters[a:b] for a, b in zip([0, *stops], stops, strict=False)])
    written = 0
    with file.open("w") as out:
        while written < size:
            drawn = np.minimum(rng.zipf(1.3, 1_000_000) - 1, _SPELLINGS - 1)
            words = spellings[drawn].tolist()
            cuts = np.cumsum(rng.integers(20, 201, 4_000)).tolist()
            for a, b in zip([0, *cuts], cuts, strict=False):
                written += out.write(" ".join(words[a:b]) + "\n")


def memory() -> float:
    """Most memory that this process ever held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def packed(text: Path, out: Path, spec: str) -> dict[str, float]:
    """Packs; seconds of processor time are this process's, threads included."""
    began = time.process_time()
    tokenizer = tokenizer_for(spec, lambda: read_documents(text))
    learned = time.process_time()
    made = pack_text(read_documents(text), out, tokenizer)
    seconds = time.process_time() - learned
    return {
        "megabytes": made.bytes / 1e6,
        "documents": made.documents,
        "tokens": made.tokens,
        "tokenizer_cpu_s": learned - began,
        "packing_cpu_s": seconds,
        "packing_mb_per_cpu_s": made.bytes / 1e6 / seconds,
        "memory_mb": memory(),
    }


def trained(packs: Path, folder: Path) -> dict[str, float]:
    """Twenty steps from the packed text, and the most memory until then."""
    source = Tokens(packs)
    encoder = TextTransformer(vocabulary=source.vocabulary.size, context=128)
    task = CausalLanguage(TextInput(encoder, length=128))
    pretrain(task, source, folder, trainer=TrainerArgs(steps=20, batch_size=8, logger="csv"))
    return {"training_memory_mb": memory()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--tokenizer", default="bpe:8192")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own, whose memory does not count.
        made = get_context("spawn").Process(
            target=write_words, args=(folder / "words.txt", args.megabytes * 1_000_000)
        )
        made.start()
        made.join()
        start = memory()
        row = packed(folder / "words.txt", folder / "packs", args.tokenizer)
        row |= {"memory_before_mb": start, **trained(folder / "packs", folder / "run")}
    print(row)
    if args.out:
        write_result(args.out, {**about_run(), "tokenizer": args.tokenizer, **row})


if __name__ == "__main__":
    main()
