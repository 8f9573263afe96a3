"""Films that benchmarks write."""

from fractions import Fraction
from pathlib import Path


def write_film(path: Path, frames: list, codec: str, options: dict[str, str]) -> None:
    """One film at 30 frames per second."""
    import av

    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=30, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for k, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 30)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
