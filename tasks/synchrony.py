"""Is the sound in step with the clip, or from another moment of the same video?"""

from functools import partial

import torch.nn.functional as F
from torch import Generator, Tensor

from ..errors import InputError
from ..modalities.media import MediaInfo, Plan, Sample
from ..modalities.rng import uniform
from .parts.audio_input import AudioInput, audible_with_picture, need_length
from .parts.check import check_rising
from .parts.clip_input import ClipInput
from .parts.heads import Comparison, margin
from .parts.pairing import PairingTask, among_all, beside_other_moments, judged, plan_pairs
from .parts.pictures import strip_over_sound
from .parts.sound_changes import SoundChanges, SoundGuards
from .parts.sound_cues import marks_of_a_file, movement, of_pairs
from .parts.transforms import Colour, Crop, stacked
from .task import Batch, Step

NAMES = ("out of step", "in step")
CHANGES = SoundChanges()


class Synchrony(PairingTask):
    """Audio-visual temporal synchronisation (Korbar et al. 2018, arXiv:1807.00230, section 3).

    Two clips of each video, `shift_min` to `shift_max` seconds apart, with the sound of each: both
    clips with their own sound are in step, both with the other's are not. Every clip and every
    sound so stands once in a pair of either kind, and neither alone can tell the answer; nor can
    the end of the file, as all four lie within it. Nothing is encoded twice, and nothing but the
    two clips and their sounds is read.

    The paper draws two vectors together or apart by a contrastive loss, and starts with sounds of
    other videos (`cross_video`). Here a head compares both sides and answers with yes or no, as in
    Owens & Efros 2018 (arXiv:1804.03641, section 3); it sees the deepest maps of several moments
    in order, as an average over time may not tell what happens when.

    Args:
        video: what is pretrained on clips.
        audio: what is pretrained on sound, which starts with its clip and is no shorter.
        shift_min: least seconds between the two clips of a video. A shift below the length of the
            sound makes them overlap, which is harder; one of several seconds is easy.
        shift_max: most seconds; in a shorter file shifts end where the file does.
        moments: parts of the clip that are compared in order; 1: averages over all of it.
        cross_video: also pair each clip with a sound of the next video in the batch; these
            negatives weigh as much as the shifted ones. Codec, resolution and data set, which
            picture and sound of a file share, then tell them.
        crop: one for both clips.
        colour: one change for both clips.
        hidden: width of the hidden layer of the head.
        guards: against shortcuts.
    """

    def __init__(
        self,
        video: ClipInput,
        audio: AudioInput,
        *,
        shift_min: float = 0.5,
        shift_max: float = 2.0,
        moments: int = 4,
        cross_video: bool = False,
        crop: Crop = Crop(scale=(0.5, 1.0)),
        colour: Colour = Colour(brightness=1 / 8, saturation=1 / 2),
        hidden: int = 128,
        guards: SoundGuards = SoundGuards(equalise=False),
    ):
        super().__init__(video, audio, crop=crop, colour=colour, guards=guards)
        video.need_frames(2)
        check_rising("shift", shift_min, shift_max)
        if not 1 <= moments <= video.frames:
            raise InputError(
                f"moments are parts of a clip of {video.frames} frames, 1 to {video.frames}, not "
                f"{moments}: lower moments or raise frames"
            )
        video.use_maps_only()
        audio.use_maps_only()
        self.moments, self.cross_video = moments, cross_video
        self.shift_min, self.shift_max = shift_min, shift_max
        self.head = Comparison(moments * video.map_dim, moments * audio.map_dim, 2, hidden=hidden)
        self.guards = guards.records(
            partial(of_pairs, movement),
            loudness="loudness of the moment: loud may be taken to go with fast",
            equalise="room and microphone, of one file, beside its movement",
            silence="silence while something moves",
        )
        self.audits = (marks_of_a_file(of_pairs),)

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        first, last = audible_with_picture(info)
        seconds = self.audio.seconds
        need_length(info, last - first, seconds + self.shift_min, "lower seconds or shift_min")
        shift = uniform(rng, self.shift_min, min(self.shift_max, last - first - seconds))
        early = uniform(rng, first, last - seconds - shift)
        starts = (early, early + shift)
        return plan_pairs(self.video, self.audio, starts, starts)

    def example(self, sample: Sample, rng: Generator) -> Batch:
        return {
            "clips": self.video.clips(sample, rng),
            "audio": self.audio.sounds(sample),
            **self.crop.draw(rng),
            **self.colour.draw(rng),
            **stacked([CHANGES.draw(rng, self.sound_guards) for _ in range(2)]),
        }

    def augment(self, batch: Batch) -> Batch:
        """Joins both moments of all media: inputs [2B, 3, T, H, W], audio [2B, 1, S]."""
        clips = self.crop.apply(batch["clips"], batch, self.video.size)
        audible = self.sound_guards.audible(batch["audio"]).flatten()
        choose = partial(beside_other_moments, cross_video=self.cross_video)
        return {
            "inputs": self.colour.apply(clips, batch).flatten(0, 1),
            "audio": CHANGES.apply(batch["audio"], batch, self.audio.rate).flatten(0, 1),
            **among_all(choose, batch["index"], audible),
        }

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        interval, rate = self.video.spec.frame_interval, self.audio.rate

        clips, sounds = batch["inputs"], batch["audio"]

        def row(clip: int, sound: int) -> tuple[list[Tensor], list[str]]:
            caption = "the clip, and the sound below (time to the right, pitch upwards)"
            return [strip_over_sound(clips[clip], interval, sounds[sound], rate)], [caption]

        encoded = self.encode_video(clips), self.encode_audio(sounds)
        return judged(*encoded, self.head, batch, NAMES, row)

    def encode_video(self, clips: Tensor) -> Tensor:
        return self._in_order(self.video.encode_map(clips).flatten(3).mean(3))

    def encode_audio(self, sounds: Tensor) -> Tensor:
        return self._in_order(self.audio.encode_map(sounds).mean(2))

    def _in_order(self, over_time: Tensor) -> Tensor:
        """[B, C, T'] in `moments` parts of time: [B, C · moments]."""
        return F.adaptive_avg_pool1d(over_time, self.moments).flatten(1)

    def score(self, clips: Tensor, sounds: Tensor) -> Tensor:
        return margin(self.head(clips, sounds))
