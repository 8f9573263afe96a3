"""Which sound goes with which clip? Choose among all of the batch, both ways."""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Generator, Tensor

from ..modalities.media import MediaInfo, Plan, Sample
from ..modalities.rng import uniform
from .parts.across import rejected
from .parts.audio_input import AudioInput, audible_with_picture, need_length
from .parts.check import check_least, check_positive
from .parts.clip_input import ClipInput
from .parts.heads import projector
from .parts.losses import cosines, info_nce, nt_xent
from .parts.pairing import PairingTask, plan_pairs
from .parts.pictures import rank_text, spectrogram, strip
from .parts.sound_changes import SoundChanges, SoundGuards
from .parts.sound_cues import marks_of_a_file, of_both_sides, tint
from .parts.transforms import Colour, Crop, of_view, stacked
from .task import Batch, Picture, Step, Traits


class CrossModal(PairingTask):
    """Cross-modal instance discrimination (AVID: Morgado et al. 2021, arXiv:2004.12943).

    A clip and the sound around it, each projected to a common space, have to find each other
    among all sounds and all clips of the batch, and of all processes' batches. The negatives are
    those of the batch, as in MMV (Alayrac et al. 2020, arXiv:2006.16228), not of a memory as in
    AVID. Terms within a modality, without which AVID did better, are options: two views of the
    same clip, or of the same sound, then have to find each other as well.

    Args:
        video: what is pretrained on pictures or clips.
        audio: what is pretrained on sound; its length is that inside which the clip lies.
        temperature: of all terms; AVID and MMV take 0.07.
        crop: of each view of a clip.
        colour: of each view of a clip.
        changes: of each view of a sound.
        within_video: weight of the term between two views of a clip; the cross-modal one has 1.
        within_audio: weight of the term between two views of a sound.
        outputs: length of the projected vectors.
        guards: against shortcuts.
    """

    def __init__(
        self,
        video: ClipInput,
        audio: AudioInput,
        *,
        temperature: float = 0.07,
        crop: Crop = Crop(scale=(0.3, 1.0)),
        colour: Colour = Colour(0.4, 0.4, 0.4, 0.1),
        changes: SoundChanges = SoundChanges(masks=1, mask=0.1),
        within_video: float = 0.0,
        within_audio: float = 0.0,
        outputs: int = 128,
        guards: SoundGuards = SoundGuards(),
    ):
        super().__init__(video, audio, crop=crop, colour=colour, guards=guards)
        check_positive(temperature=temperature)
        check_least(0, within_video=within_video, within_audio=within_audio)
        self.temperature, self.changes = temperature, changes
        self.within_video, self.within_audio = within_video, within_audio
        self.video_projector = projector(video.dim, outputs)
        self.audio_projector = projector(audio.dim, outputs)
        self.guards = guards.records(
            partial(of_both_sides, tint),
            loudness="loudness of the recording beside a kind of picture",
            equalise="microphone, room and codec, which go with a camera and a data set",
            silence="silence beside a kind of picture",
        )
        self.audits = (marks_of_a_file(of_both_sides),)
        self.traits = Traits(within_process=changes.mix > 0)

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        first, last = audible_with_picture(info)
        seconds = self.audio.seconds
        need_length(info, last - first, seconds, "lower seconds")
        sound = uniform(rng, first, last - seconds)
        clip = uniform(rng, sound, sound + seconds - self.video.span)
        return plan_pairs(self.video, self.audio, [clip], [sound])

    def example(self, sample: Sample, rng: Generator) -> Batch:
        clips, sounds = 2 if self.within_video else 1, 2 if self.within_audio else 1
        looks = [{**self.colour.draw(rng), **self.crop.draw(rng)} for _ in range(clips)]
        changes = [self.changes.draw(rng, self.sound_guards) for _ in range(sounds)]
        return {
            "clip": self.video.clips(sample, rng)[0],
            "audio": self.audio.sounds(sample)[0],
            **stacked(looks),
            **stacked(changes),
        }

    def augment(self, batch: Batch) -> Batch:
        raw = batch["audio"]
        views = raw[:, None].expand(-1, 2 if self.within_audio else 1, -1, -1)
        sounds = self.changes.apply(views, batch, self.audio.rate)
        made = {
            "inputs": self._clip(batch, 0),
            "audio": sounds[:, 0],
            "weight": self.sound_guards.audible(raw).float(),
        }
        if self.within_video:
            made["inputs_again"] = self._clip(batch, 1)
        if self.within_audio:
            made["audio_again"] = sounds[:, 1]
        return made

    def _clip(self, batch: Batch, k: int) -> Tensor:
        drawn = of_view(batch, k, ("box", "flip", "colour"))
        return self.colour.apply(self.crop.apply(batch["clip"], drawn, self.video.size), drawn)

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        clips, sounds = self.encode_video(batch["inputs"]), self.encode_audio(batch["audio"])
        weight, temperature = batch["weight"], self.temperature
        loss, found = info_nce(clips, sounds, temperature, weight)
        metrics = {"accuracy": found, "rejected": rejected(weight)}
        if self.within_video:
            again = self.encode_video(batch["inputs_again"])
            term, metrics["video_accuracy"] = nt_xent(clips, again, temperature, weight)
            loss = loss + self.within_video * term
        if self.within_audio:
            again = self.encode_audio(batch["audio_again"])
            term, metrics["audio_accuracy"] = nt_xent(sounds, again, temperature, weight)
            loss = loss + self.within_audio * term
        return Step(loss, metrics, _pictures(batch, cosines(clips, sounds), self.audio.rate))

    def encode_video(self, clips: Tensor) -> Tensor:
        return self.video_projector(self.video.encode(clips))

    def encode_audio(self, sounds: Tensor) -> Tensor:
        return self.audio_projector(self.audio.encode(sounds))

    def score(self, clips: Tensor, sounds: Tensor) -> Tensor:
        return F.cosine_similarity(clips, sounds)


def _pictures(batch: Batch, likeness: Tensor, rate: int) -> Callable[[], list[Picture]]:
    """Shows up to four clips, the sound of each, and the one that [B, B] takes for it."""
    captions = ["the clip", "its sound (pitch upwards)", "the sound that seems nearest"]

    def picture(i: int) -> Picture:
        sounds = [batch["audio"][k] for k in (i, int(likeness[i].argmax()))]
        images = [strip(batch["inputs"][i]), *(spectrogram(sound, rate) for sound in sounds)]
        rank = rank_text(likeness, i)
        return Picture(images, captions, "the first sound belongs to the clip", rank)

    return lambda: [picture(i) for i in range(min(len(likeness), 4))]
