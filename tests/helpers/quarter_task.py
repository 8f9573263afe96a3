"""A task of one's own, outside the package: which quarter of the film is this clip from?"""

import torch
from torch import Generator

from pretexto.modalities.media import MediaInfo, Plan, Sample
from pretexto.modalities.rng import integer, uniform
from pretexto.tasks.parts.classify import classify
from pretexto.tasks.parts.clip_input import ClipInput, need_video
from pretexto.tasks.parts.heads import classifier
from pretexto.tasks.parts.pictures import frames_row
from pretexto.tasks.parts.transforms import Crop
from pretexto.tasks.task import Batch, Step, Task

QUARTERS = ("first quarter", "second quarter", "third quarter", "last quarter")


class Quarter(Task):
    """Which quarter of its film a clip is from (an example, after https://example.org)."""

    def __init__(self, video: ClipInput, *, crop: Crop = Crop(), hidden: int = 0):
        super().__init__(video=video)
        self.video, self.crop = video, crop
        self.head = classifier(video.dim, 4, hidden)

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        need_video(info, "a part of a film")
        quarter, room = integer(rng, 4), max(info.duration - self.video.span - 1e-3, 0.0)
        start = uniform(rng, quarter * room / 4, (quarter + 1) * room / 4)
        return self.video.plan(start, note=quarter)

    def example(self, sample: Sample, rng: Generator) -> Batch:
        clip = self.video.clips(sample, rng)[0]
        target, times = torch.tensor(sample.note), sample.times.float()
        return {"clip": clip, "times": times, "target": target, **self.crop.draw(rng)}

    def augment(self, batch: Batch) -> Batch:
        x = self.crop.apply(batch["clip"], batch, self.video.size)
        return {"inputs": x, "times": batch["times"], "target": batch["target"]}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        logits = self.head(self.video.encode(batch["inputs"]))
        return classify(logits, batch, QUARTERS, frames_row(batch))
