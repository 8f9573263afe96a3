"""`pretexto apply` on text: runs that have learned a text by heart go on with it, and fill it."""

import json

import pytest
import torch
from text_kit import packed, text_input

from pretexto import cli
from pretexto.commands.run_task import trained_task
from pretexto.modalities.tokenizer import byte_tokenizer
from pretexto.tasks.parts.generation import continue_text
from pretexto.tasks.segment_recurrence import SegmentRecurrence

TEXT = ["abcdefgh" * 40]
SIZES = {"width": 32, "depth": 2, "heads": 2, "context": 32, "vocabulary": 260}


def trained(folder, name: str, **sizes) -> str:
    """A run of so many steps that it knows the eight letters."""
    data = packed(folder / "text", TEXT).path
    options = {"trainer.steps": 60, "trainer.batch_size": 16, "trainer.workers": 0,
               "optimizer.lr": 0.01, "task.text.length": 16}  # fmt: skip
    if name == "masked_language":
        options["trainer.steps"] = 5
    options |= {f"task.text.encoder.{k}": v for k, v in {**SIZES, **sizes}.items()}
    words = [part for k, v in options.items() for part in (f"--{k}", str(v))]
    run = folder / "run"
    assert (
        cli.main(["pretrain", "--config", name, "--data", str(data), "--out", str(run), *words])
        == 0
    )
    return str(run)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run folders by the name of their task, each made when it is first asked for."""
    made = {}

    def of(name: str) -> str:
        if name not in made:
            made[name] = trained(tmp_path_factory.mktemp(name), name)
        return made[name]

    return of


@pytest.mark.parametrize("name", ["causal_language", "segment_recurrence"])
def test_a_text_goes_on_as_it_was_learned(name, runs, tmp_path, capsys):
    words = ["apply", "--encoder", runs(name), "--prompt", "cdefgh", "--tokens", "13"]
    capsys.readouterr()
    assert cli.main([*words, "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == "cdefgh" + "abcdefghabcde"
    row = json.loads((tmp_path / "results.jsonl").read_text())
    assert (row["text"], row["tokens"]) == ("abcdefghabcde", 13)
    (tmp_path / "prompt.txt").write_text("cdefgh\n")
    words[3:5] = ["--data", str(tmp_path / "prompt.txt")]
    hot = ["--temperature", "50"]

    def printed(*more: str) -> str:
        assert cli.main([*words, *more]) == 0
        return capsys.readouterr().out

    assert printed() == "cdefghabcdefghabcde\n"
    assert printed(*hot) == printed(*hot) != printed(*hot, "--seed", "1")
    assert printed(*hot, "--top-k", "1") == printed(*hot, "--top-p", "0.001") == printed()


def test_a_prompt_that_is_too_long_is_cut_or_remembered(runs, capsys):
    long = "abcdefgh" * 10
    for name, told in (("causal_language", "the first 52 tokens"), ("segment_recurrence", None)):
        words = ["apply", "--encoder", runs(name), "--prompt", long, "--tokens", "4"]
        capsys.readouterr()
        assert cli.main(words) == 0
        out = capsys.readouterr().out
        assert out.endswith(f"{long}abcd\n"), name
        assert ("left out" in out) is bool(told)
        assert told is None or told in out


@torch.no_grad()
def test_masks_are_filled_with_their_probabilities(runs, tmp_path, capsys):
    run, prompt = runs("masked_language"), "abcd[MASK]fgh[MASK]bcd"
    capsys.readouterr()
    words = ["apply", "--encoder", run, "--top-k", "3", "--out", str(tmp_path)]
    assert cli.main([*words, "--prompt", prompt]) == 0
    text, *told = capsys.readouterr().out.splitlines()
    task, known = trained_task(run), byte_tokenizer()
    letters = {c: int(known.encode([c])[0][0]) for c in "abcdfgh"}
    mask, (cls, sep) = known.vocabulary.mask, (known.vocabulary.cls, known.vocabulary.sep)
    read = [cls, *(letters[c] for c in "abcd"), mask, *(letters[c] for c in "fgh"), mask,
            *(letters[c] for c in "bcd"), sep]  # fmt: skip
    p = task.logits(task.text.encoder.states(torch.tensor([read]))[-1])[0].softmax(-1)
    masks = json.loads((tmp_path / "results.jsonl").read_text())["masks"]
    for place, line, found in zip((5, 9), told, masks, strict=True):
        best = p[place].topk(3)
        assert [c["token"] for c in found] == [known.spelling(t) for t in best.indices.tolist()]
        assert [c["probability"] for c in found] == pytest.approx(best.values.tolist(), abs=1e-4)
        assert f"{100 * best.values[0]:.1f} %" in line
    assert text == "abcd{}fgh{}bcd".format(*(m[0]["token"] for m in masks))


def test_memory_gives_what_the_whole_pass_gives():
    """With as much memory as there is text, token by token."""
    task = SegmentRecurrence(text_input(16), memory=40).eval()
    encoder, prompt = task.text.encoder, torch.arange(20)[None]
    for parameter in encoder.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    found = continue_text(encoder, task.logits, prompt, 12, memory=64)
    whole = torch.cat([prompt, found], 1)
    again = task.logits(encoder.states(whole)[-1])[:, 19:-1].argmax(-1)
    assert again.tolist() == found.tolist()


MISTAKES = [
    ("causal_language", [], "a run on text needs one"),
    ("causal_language", ["--prompt", ""], "the prompt has no tokens"),
    ("causal_language", ["--prompt", "a", "--tokens", "32"], "take 31 or fewer"),
    ("causal_language", ["--prompt", "a", "--data", "x.txt"], "give one"),
    ("causal_language", ["--data", "photo.png"], "no text"),
    ("causal_language", ["--prompt", "a", "--box", "1", "1", "2", "2"], "--box does not apply"),
    ("causal_language", ["--prompt", "a", "--count", "2"], "--count does not apply to text"),
    ("causal_language", ["--prompt", "a", "--temperature", "-1"], "temperature"),
    ("masked_language", ["--prompt", "abc"], "no [MASK]"),
    ("masked_language", ["--prompt", "[MASK]" + "a" * 40], "shorten it"),
    ("masked_language", ["--prompt", "[MASK]", "--top-p", "0.5"], "--top-p does not apply"),
    ("causal_language", ["--prompt", "a", "--top-k", "3"], "give --temperature above 0 too"),
    ("segment_recurrence", ["--prompt", "a", "--top-p", "0.5"], "give --temperature above 0 too"),
]


@pytest.mark.parametrize(("name", "more", "told"), MISTAKES)
def test_mistakes_are_one_line(name, more, told, runs, tmp_path, monkeypatch, capsys):
    run = runs(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    capsys.readouterr()
    assert cli.main(["apply", "--encoder", run, *more]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1


def test_a_run_without_its_tokenizer_is_refused(tmp_path, capsys):
    run = tmp_path / "run"
    trained(tmp_path, "masked_language")
    tokenizer = run / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace("[CLS]", "[CLX]"))
    words = ["apply", "--encoder", str(run), "--prompt", "[MASK]"]
    assert cli.main(words) == 2
    assert "not the tokenizer that the run was trained with" in capsys.readouterr().err
    tokenizer.unlink()
    assert cli.main(words) == 2
    assert "no tokenizer.json here" in capsys.readouterr().err
    assert trained_task(str(run)) is not None
