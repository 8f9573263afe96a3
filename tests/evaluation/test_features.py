"""Features: which clips and crops they come from, what is dropped, what is left untouched."""

import io
import math
from dataclasses import replace

import evaluation_fakes as fakes
import pytest
import torch
from evaluation_fakes import IMAGE, SOUND, VIDEO

import pretexto.progress as progress_module
from pretexto.errors import InputError
from pretexto.evaluation.baselines import random_init
from pretexto.evaluation.clip_dataset import clip_starts, crop_squares
from pretexto.evaluation.features import autocast, default_batch, extract, precision
from pretexto.modalities.input_spec import InputSpec
from pretexto.modalities.media import MediaInfo
from pretexto.progress import progress


def colours(n: int) -> torch.Tensor:
    return torch.randint(256, (n, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


ENCODER, SOURCE = fakes.MeanColour(), fakes.Coloured(colours(4), [0] * 4)


def test_a_picture_of_one_colour_gives_that_colour_at_every_level():
    source = fakes.Coloured(colours(7), [0, 1] * 3 + [0], kind="image")
    features = extract(fakes.MeanColour(), source, IMAGE, batch_size=3, levels=True)
    expected = colours(7).float()
    assert list(features.values) == ["pixels", "embedding"]
    torch.testing.assert_close(features.values["pixels"], expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(features.values["embedding"], expected / 2, atol=1e-3, rtol=0)
    assert features.labels.tolist() == [0, 1] * 3 + [0]
    assert features.indices.tolist() == list(range(7))


def test_an_output_that_is_not_the_deepest_mean_has_a_value_of_its_own():
    source = fakes.Coloured(colours(3), [0, 1, 0])
    values = extract(fakes.ClipColour(), source, VIDEO, levels=True).values
    assert list(values) == ["pixels", "half", "embedding"]
    torch.testing.assert_close(values["embedding"], 3 * values["half"])


def test_levels_change_nothing_about_the_embedding_and_cost_no_second_pass():
    source, encoder = fakes.Coloured(colours(5), [0] * 5, kind="image"), fakes.MeanColour()
    alone = extract(encoder, source, IMAGE).values["embedding"]
    encoder.calls = 0
    levels = extract(encoder, source, IMAGE, levels=True).values["embedding"]
    assert torch.equal(alone, levels)
    assert encoder.calls == 1


def test_an_image_encoder_averages_the_frames_of_a_clip():
    # Red is ten times the time in seconds: the frames stand at 0.85, 0.95, 1.05 and 1.15 s.
    view = InputSpec(modality="image", size=8, frames=4, frame_interval=0.1)
    source = fakes.Clock([0, 1], duration=2.001)
    for levels in (False, True):
        values = extract(fakes.MeanColour(), source, view, clips=1, levels=levels).values
        (plan, *_) = source.plans
        red = torch.tensor([round(10 * t) for t in plan.times]).float().mean().item()
        assert plan.times == pytest.approx((0.85, 0.95, 1.05, 1.15))
        assert values["embedding"][:, 0].tolist() == pytest.approx([red / 2] * 2, abs=1e-3)


def test_clips_are_evenly_spaced_and_read_with_one_plan_per_file():
    source = fakes.Clock([0], duration=2.301)
    values = extract(fakes.MeanColour(), source, IMAGE, clips=3).values["embedding"]
    (plan,) = source.plans
    assert plan.times == pytest.approx((0.0, 1.15, 2.3))
    assert plan.short_side == 8
    reds = [round(10 * t) for t in plan.times]
    assert values[0, 0].item() * 2 == pytest.approx(sum(reds) / 3, abs=1e-3)


def test_all_clips_of_a_video_come_from_one_plan_clip_after_clip():
    source = fakes.Clock([0], duration=2.301)
    extract(fakes.ClipColour(), source, VIDEO, clips=2)
    (plan,) = source.plans
    assert plan.times == pytest.approx((0, 0.1, 0.2, 0.3, 2.0, 2.1, 2.2, 2.3))


def test_crops_lie_left_centre_right_or_top_centre_bottom():
    x = torch.arange(20).view(1, 20)
    wide, tall = x.expand(8, 20), x.T.expand(20, 8)
    assert [c[0, 0].item() for c in crop_squares(wide, 8, 3)] == [0, 6, 12]
    assert [c[0, 0].item() for c in crop_squares(tall, 8, 3)] == [0, 6, 12]
    assert [c[0, 0].item() for c in crop_squares(wide, 8, 1)] == [6]
    assert all(c.shape == (8, 8) for c in crop_squares(wide, 8, 3) + crop_squares(tall, 8, 3))


@pytest.mark.parametrize("crops", [1, 3])
def test_features_are_the_mean_over_crops(crops):
    # Green is the column: the centre of 16 columns has mean 7.5, and so has left+centre+right.
    source = fakes.Clock([0], width=16)
    value = extract(fakes.MeanColour(), source, IMAGE, clips=1, crops=crops).values["embedding"]
    assert value[0, 1].item() * 2 == pytest.approx(7.5, abs=1e-3)
    source = fakes.Clock([0], width=17)
    value = extract(fakes.MeanColour(), source, IMAGE, clips=1, crops=crops).values["embedding"]
    starts = [4] if crops == 1 else [0, 4, 9]
    expected = sum(start + 3.5 for start in starts) / len(starts)
    assert value[0, 1].item() * 2 == pytest.approx(expected, abs=1e-3)


def test_sound_is_heard_in_evenly_spaced_stretches():
    source = fakes.Clock([0], kind="audio", duration=2.501)
    value = extract(fakes.MeanWave(), source, SOUND, clips=3).values["embedding"]
    (plan,) = source.plans
    assert plan.audio
    assert (plan.audio[0].start, plan.audio[0].duration) == pytest.approx((0.0, 2.5))
    middles = [start + 0.2475 - 0.0 for start in (0.0, 1.0, 2.0)]
    assert value[0, 0].item() == pytest.approx(sum(middles) / 3, abs=0.005)
    # The last stretch alone must be the file's end, or a mean of symmetric stretches hides it.
    one = extract(fakes.MeanWave(), source, SOUND, clips=1).values["embedding"]
    assert one[0, 0].item() == pytest.approx(1.0 + 0.2475, abs=0.005)


def test_short_media_and_images_have_one_clip_only():
    short = MediaInfo("a", "video", duration=0.2)
    assert clip_starts(VIDEO, short, 10) == (0.0,)
    assert clip_starts(IMAGE, MediaInfo("a", "image"), 10) == (0.0,)
    assert len(clip_starts(IMAGE, MediaInfo("a", "video", duration=3), 10)) == 10


def test_every_clip_and_crop_has_its_row_and_short_media_fewer():
    class TwoLengths(fakes.Clock):
        def info(self, i):
            return replace(super().info(i), duration=2.301 if i else 0.2)

    found = extract(fakes.ClipColour(), TwoLengths([0, 1], width=17), VIDEO, clips=2, crops=3)
    assert found.counts.tolist() == [3, 6]
    rows = found.vectors["embedding"]
    torch.testing.assert_close(rows[:3].mean(0), found.values["embedding"][0])
    torch.testing.assert_close(rows[3:].mean(0), found.values["embedding"][1])
    # Green is the column: crops begin at 0, 4 and 9 of 17. Red is the time: clips at 0 and 2 s.
    assert (rows[:, 1] / 1.5).tolist() == pytest.approx([3.5, 7.5, 12.5] * 3, abs=1e-3)
    assert (rows[3:, 0] / 1.5).tolist() == pytest.approx([1.5] * 3 + [21.5] * 3, abs=1e-3)


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_files_are_dropped_named_and_never_replaced(workers):
    whole = fakes.Coloured(colours(9), [0, 1, 2] * 3)
    damaged = fakes.Coloured(colours(9), [0, 1, 2] * 3, broken=[0, 4, 5])
    encoder = fakes.MeanColour()
    all_values = extract(encoder, whole, IMAGE).values["embedding"]
    found = extract(encoder, damaged, IMAGE, batch_size=2, workers=workers)
    assert found.unreadable == tuple((f"{i:04}.mp4", "decode: planted damage") for i in (0, 4, 5))
    assert found.indices.tolist() == [1, 2, 3, 6, 7, 8]
    assert found.labels.tolist() == [1, 2, 0, 0, 1, 2]
    torch.testing.assert_close(found.values["embedding"], all_values[found.indices])


@pytest.mark.parametrize(
    ("kind", "encoder", "view", "word"),
    [("silent", fakes.MeanWave(), SOUND, "sound"), ("audio", fakes.MeanColour(), IMAGE, "picture")],
)
def test_a_file_without_the_stream_is_reported_with_the_reason(kind, encoder, view, word):
    with pytest.raises(InputError, match=rf"none of 2 .* 0000.mp4: plan: it has no {word}"):
        extract(encoder, fakes.Clock([0, 1], kind=kind), view)


def test_batch_size_and_workers_change_nothing():
    source, encoder = fakes.Clock([0, 1, 2, 3, 4]), fakes.ClipColour()
    first = extract(encoder, source, VIDEO, clips=3, crops=3, batch_size=1)
    for batch_size, workers in [(4, 0), (64, 1)]:
        other = extract(
            encoder, source, VIDEO, clips=3, crops=3, batch_size=batch_size, workers=workers
        )
        torch.testing.assert_close(other.values, first.values)


def test_the_encoder_is_left_bit_identical_in_the_modes_it_was_in():
    encoder = fakes.MeanColour().train()
    encoder.norm.eval()
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    extract(encoder, fakes.Coloured(colours(4), [0] * 4), IMAGE, levels=True)
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())
    assert (encoder.training, encoder.norm.training) == (True, False)
    assert all(p.grad is None and p.requires_grad for p in encoder.parameters())


def test_an_encoder_in_training_mode_is_evaluated_in_eval_mode():
    source = fakes.Coloured(colours(6), [0] * 6)
    encoder = fakes.MeanColour()
    expected = extract(encoder.eval(), source, IMAGE).values["embedding"]
    assert torch.equal(extract(encoder.train(), source, IMAGE).values["embedding"], expected)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_random_state_is_untouched(workers):
    before = torch.get_rng_state()
    extract(ENCODER, SOURCE, IMAGE, workers=workers)
    random_init(ENCODER, seed=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_random_init_is_the_same_network_drawn_anew():
    encoder = fakes.MeanColour(gain=2.0, pretrained=True)
    one, same, other = (random_init(encoder, seed=s) for s in (1, 1, 2))
    assert type(one) is fakes.MeanColour
    assert (one.gain, one.pretrained) == (2.0, False)
    assert torch.equal(one.noise, same.noise)
    assert not torch.equal(one.noise, other.noise)
    assert not torch.equal(one.noise, encoder.noise)


def test_a_cache_answers_without_reading_and_only_for_the_same_question(tmp_path):
    source, encoder = fakes.Coloured(colours(40), [0, 1] * 20, broken=[3]), fakes.MeanColour()
    first = extract(encoder, source, IMAGE, levels=True, cache=tmp_path)
    source.plans.clear()
    again = extract(encoder, source, IMAGE, levels=True, cache=tmp_path)
    assert len(source.plans) < 20, "all was read again"
    assert {k: v.tolist() for k, v in again.values.items()} == {
        k: v.tolist() for k, v in first.values.items()
    }
    assert (again.unreadable, again.unreadable_indices) == (first.unreadable, (3,))
    assert torch.equal(again.labels, first.labels)
    assert torch.equal(again.indices, first.indices)
    assert [p.suffix for p in tmp_path.iterdir()] == [".safetensors"]

    def files_after(**change) -> int:
        asked = {"encoder": encoder, "source": source, "spec": IMAGE, "cache": tmp_path}
        extract(**{**asked, **change})
        return len(list(tmp_path.iterdir()))

    assert files_after(clips=2) == 2
    assert files_after(crops=3) == 3
    assert files_after(spec=InputSpec(modality="image", size=4, frames=1)) == 4
    repainted = fakes.Coloured(colours(40).flip(0), [0, 1] * 20)
    assert files_after(source=repainted) == 5, "same names, other content"
    assert files_after(source=fakes.Coloured(colours(40), [1, 0] * 20)) == 6
    with torch.no_grad():
        encoder.scale[0] += 1
    assert files_after() == 7


def test_a_set_has_one_copy_of_its_features_that_answers_for_less(tmp_path):
    source, encoder = fakes.Coloured(colours(40), [0, 1] * 20), fakes.MeanColour()

    def passes(**asked) -> int:
        """How many passes over the media this takes; what is asked for is there, and no more."""
        source.plans.clear()
        found = extract(encoder, source, IMAGE, cache=tmp_path, **asked)
        assert len(found.vectors) == (2 if asked.get("levels") else 1)
        assert (found.tokens is not None) == asked.get("tokens", False)
        assert len(list(tmp_path.iterdir())) == 1
        return len(source.plans) // 40

    assert passes() == 1
    assert passes(levels=True) == 1, "the file has no levels yet"
    assert passes() == passes(levels=True) == 0
    assert passes(tokens=True) == 1
    assert passes() == passes(levels=True) == passes(tokens=True, levels=True) == 0


def test_results_are_brought_to_the_host_in_portions_without_a_change(monkeypatch):
    source, encoder = fakes.Coloured(colours(9), [0, 1, 2] * 3), fakes.MeanColour()
    whole = extract(encoder, source, IMAGE, batch_size=2, levels=True)
    monkeypatch.setattr("pretexto.evaluation.features.HELD", 1)
    parts = extract(encoder, source, IMAGE, batch_size=2, levels=True)
    assert all(torch.equal(parts.vectors[k], x) for k, x in whole.vectors.items())


def test_a_gpu_takes_large_batches_and_mixed_precision():
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    picture, clip = InputSpec("image", size=224, frames=1), InputSpec("video", size=224, frames=16)
    assert (default_batch(picture, gpu), default_batch(picture, cpu)) == (445, 32)
    assert default_batch(clip, gpu) == 27
    assert default_batch(InputSpec("audio", seconds=5.0, rate=16000), gpu) == 838
    assert (precision(gpu), precision(cpu)) == ("bf16", "32")
    with autocast(cpu):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_a_file_that_was_repaired_is_read_although_the_cache_lacks_it(tmp_path):
    source, encoder = fakes.Coloured(colours(20), [0, 1] * 10, broken=[13]), fakes.MeanColour()
    assert len(extract(encoder, source, IMAGE, cache=tmp_path).indices) == 19
    source.broken.clear()
    repaired = extract(encoder, source, IMAGE, cache=tmp_path)
    assert len(repaired.indices) == 20
    assert repaired.unreadable == ()


def test_a_damaged_cache_file_is_made_anew(tmp_path):
    first = extract(ENCODER, SOURCE, IMAGE, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:50])
    again = extract(ENCODER, SOURCE, IMAGE, cache=tmp_path)
    assert torch.equal(again.values["embedding"], first.values["embedding"])


@pytest.mark.parametrize(
    ("encoder", "view", "options", "message"),
    [
        (fakes.MeanColour(), VIDEO, {}, "the encoder is for image, the input asked for is video"),
        (fakes.MeanWave(rate=50), SOUND, {}, "expects 50 Hz, the input spec gives 100 Hz"),
        (fakes.MeanWave(), SOUND, {"crops": 3}, "sound has no crops"),
        (fakes.MeanColour(), IMAGE, {"crops": 2}, "take 1"),
        (fakes.MeanColour(), IMAGE, {"clips": 0}, "at least one clip"),
        (fakes.MeanColour(gain=math.inf), IMAGE, {}, "not finite"),
    ],
)
def test_mistakes_are_refused_in_words(encoder, view, options, message):
    with pytest.raises(InputError, match=message):
        extract(encoder, SOURCE, view, **options)


def test_progress_is_silent_when_quick_and_plain_without_a_terminal(monkeypatch):
    stream, clock = io.StringIO(), iter(range(0, 1000, 4))
    monkeypatch.setattr(progress_module.sys, "stderr", stream)
    assert list(progress(range(5), 5, "features")) == list(range(5))
    assert stream.getvalue() == ""
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    assert list(progress(range(8), 8, "features")) == list(range(8))
    lines = stream.getvalue().splitlines()
    assert lines
    assert all(line.startswith("features: ") and line.endswith("/8") for line in lines)
    assert len(lines) <= 8 * 4 // 10 + 1
