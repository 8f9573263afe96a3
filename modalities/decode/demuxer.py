"""Opening media files with PyAV: streams chosen, packets replayed, failures made MediaErrors."""

from collections.abc import Iterator
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..media import MediaError
from .failures import failing
from .origin import Origin

if TYPE_CHECKING:
    from av import Packet
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

MAX_PIXELS = 1 << 27  # a larger picture is an attack or an accident
_KEPT_BYTES = 32 << 20


class Kind(NamedTuple):
    """Names of a container's format and of the video's pixels; the chosen streams' numbers."""

    format: str | None
    pixels: str | None
    video: int | None
    audio: int | None


class Medium:
    """One open file and the streams to read from it; a context manager, closed whatever happens.

    Args:
        origin: where its bytes are.
        video: number among the file's video streams, None: its best one.
        audio: likewise.
        keep: hold the packets of the first pass in memory, if they are few, for another pass.
        known: its `kind`, from an earlier opening: spares finding that out, which takes decoding.

    Attributes:
        video: the chosen stream or None. Cover art is no video.
        audio: likewise.
        errors: what went wrong while demuxing and decoding, in words.
        fresh: nothing was read from it yet.
        pixels: in a picture of the video, 0 without one.

    Raises:
        MediaError: the file cannot be opened, or has nothing to read.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        video: int | None = None,
        audio: int | None = None,
        keep: bool = False,
        known: Kind | None = None,
    ):
        self.origin, self.name = origin, origin.name
        self.errors: list[str] = []
        self._choice, self._keep, self._known = (video, audio), keep, known
        self._kept: list[Packet] | None = None
        self.fresh = True
        self._open()

    def __enter__(self) -> "Medium":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._kept = None
        self._shut()

    def _shut(self) -> None:
        self.container.close()
        self._close_file()

    def rest(self) -> None:
        """Nobody reads for a while: lets go of packets held in memory."""
        self._kept, self._keep = None, False

    def _open(self) -> None:
        with failing(self.name, "open"):
            # Only local files: a playlist inside a file must not make us fetch anything.
            options = {"protocol_whitelist": "file"}
            known = self._known or Kind(None, None, None, None)
            if known.pixels:
                options["pixel_format"] = known.pixels
            self._file: Any = self.origin.for_ffmpeg()
            self.container = self._opened(known.format, options)
        try:
            with failing(self.name, "open"):
                self.video, self.audio = self._chosen()
                if self.video is None and self.audio is None:
                    raise ValueError("holds no video or sound that can be decoded")
                size = self.video.codec_context if self.video else None
                self.pixels = size.width * size.height if size else 0
                for stream in self.streams:
                    # One thread: parallelism comes from the loader's workers.
                    stream.codec_context.thread_count = 1
        except BaseException:
            self._shut()
            raise

    def _opened(self, format_name: str | None, options: dict[str, str]) -> "InputContainer":
        import av

        try:
            return av.open(  # pyright: ignore[reportReturnType]
                self._file, format=format_name, metadata_errors="replace", options=options
            )
        except BaseException:
            self._close_file()
            raise

    def _close_file(self) -> None:
        if not isinstance(self._file, str):
            self._file.close()

    def _chosen(self) -> "tuple[VideoStream | None, AudioStream | None]":
        streams: Any = self.container.streams
        if self._known:
            numbers = self._known.video, self._known.audio
            return tuple(None if n is None else streams[n] for n in numbers)  # type: ignore
        video, audio = self._choice
        return (
            _choose(self.container, "video", video, self.name),
            _choose(self.container, "audio", audio, self.name),
        )

    @property
    def streams(self) -> list[Any]:
        """The chosen ones."""
        return [s for s in (self.video, self.audio) if s is not None]

    @property
    def in_memory(self) -> bool:
        """Whether another pass costs no reading."""
        return self._kept is not None and not self.errors

    @property
    def format(self) -> str:
        """The first of the names that the container's format goes by."""
        return self.container.format.name.split(",")[0]

    @property
    def kind(self) -> Kind:
        """What opening the file found out."""
        video, audio = self.video, self.audio
        return Kind(
            self.format,
            video.codec_context.pix_fmt if video else None,
            video.index if video else None,
            audio.index if audio else None,
        )

    def packets(self) -> "Iterator[Packet]":
        """All packets of the chosen streams from the very start, decoders reset."""
        # A decoder that met an error is not the same after a flush: it is opened anew.
        if self.in_memory:
            assert self._kept is not None
            for stream in self.streams:
                stream.codec_context.flush_buffers()
            yield from self._kept
            return
        if not self.fresh:
            self._shut()
            self.errors.clear()
            self._known = None
            self._open()
        self.fresh = False
        kept: list[Packet] | None = [] if self._keep else None
        size = 0
        for packet in self._demux():
            if kept is not None:
                kept.append(packet)
                size += packet.size
                if size > _KEPT_BYTES:
                    kept = None
            yield packet
        self._kept = kept

    def packets_from(self, ticks: int, stream) -> "Iterator[Packet]":
        """Packets from about `ticks` of a stream on (the container decides where exactly)."""
        self.fresh, self._kept = False, None
        self.container.seek(ticks, stream=stream, backward=True)
        yield from self._demux()

    def _demux(self) -> "Iterator[Packet]":
        try:
            # PyAV's generator leaks its last packet unless it is closed.
            demuxed: Any = self.container.demux(self.streams)
            with closing(demuxed) as packets:
                for packet in packets:
                    if not packet.size:
                        packet.stream = packet.stream  # PyAV numbers the last, empty ones 0
                    elif packet.is_corrupt:
                        self.errors.append("demux: a packet is flagged as corrupt")
                    yield packet
            if self._ends_within_a_packet():
                self.errors.append("demux: the file ends within a packet")
        except Exception as error:
            # What was read so far stands; the stream ends here, for every reader alike.
            self.errors.append(f"demux: {error}")

    def _ends_within_a_packet(self) -> bool:
        """Transport streams do not tell their length, but are made of packets of equal size."""
        return self.format == "mpegts" and all(self.origin.size % n for n in (188, 192, 204))

    def decode(self, packet: "Packet") -> list:
        """The frames that come out when a packet goes in; what fails is noted in `errors`."""
        try:
            return packet.decode()
        except Exception as error:
            if not isinstance(error, EOFError):
                self.errors.append(f"decode: {error}")
            return []

    def drain(self, stream) -> list:
        """The frames that the decoder still holds; it decodes nothing more after that."""
        try:
            return stream.codec_context.decode(None)
        except Exception as error:
            if not isinstance(error, EOFError):
                self.errors.append(f"decode: {error}")
            return []


def _choose(
    container: "InputContainer", kind: Literal["video", "audio"], index: int | None, name: str
) -> Any:
    """Stream number `index` of its kind, else the container's best, None where there is none."""
    streams = list(getattr(container.streams, kind))
    usable = [s for s in streams if s.codec_context is not None and not _is_cover(s)]
    if index is not None:
        if not 0 <= index < len(streams) or streams[index] not in usable:
            reason = f"no readable {kind} stream {index}, of {len(usable)} that are readable"
            raise MediaError(name, "open", reason)
        return streams[index]
    best = container.streams.best(kind)
    if kind == "video" and container.metadata.get("major_brand") == "avis":
        # Beside its moving picture such a file holds a still one, for those who show no others.
        best = max(usable, key=lambda stream: stream.frames, default=None)
    return best if best in usable else next(iter(usable), None)


def _is_cover(stream) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)
