"""Oracles of the tasks on text: what is asked, what is hidden, and what is remembered."""

import math

import pytest
import torch
import torch.nn.functional as F
from text_kit import SENTENCES, batch, example, packed, text_input
from transformers import BertConfig, BertForPreTraining, GPT2Config, GPT2LMHeadModel

from pretexto.encoders.text import TextTransformer
from pretexto.encoders.text_hub import from_hugging_face
from pretexto.errors import InputError
from pretexto.modalities.media import MediaError, MediaInfo
from pretexto.modalities.rng import generator
from pretexto.modalities.tokenizer import load_tokenizer, train_tokenizer
from pretexto.tasks.causal_language import CausalLanguage
from pretexto.tasks.masked_language import MaskedLanguage
from pretexto.tasks.parts.language import guess_pictures
from pretexto.tasks.parts.text_input import TextInput
from pretexto.tasks.segment_recurrence import SegmentRecurrence


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("text"))


def masked(length: int = 64, **options) -> MaskedLanguage:
    return MaskedLanguage(text_input(length), **{"short": 0.0, **options})


def originals(made: dict) -> torch.Tensor:
    return torch.where(made["target"] >= 0, made["target"], made["tokens"])


def test_of_the_chosen_tokens_so_many_are_masked_replaced_and_kept(corpus):
    task, source = masked(), corpus.for_length(64)
    mask = source.vocabulary.mask
    counts = torch.zeros(3)
    for k in range(1000):
        made = example(task, source, k % len(source), k)
        asked = made["target"] >= 0
        said, want = made["tokens"][asked], made["target"][asked]
        hidden = said == mask
        counts += torch.stack(
            [hidden.sum(), (~hidden & (said != want)).sum(), (said == want).sum()]
        )
    shares = (counts / counts.sum()).tolist()
    # A random token is the true one in 1 of 260 cases.
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.015)


@pytest.mark.parametrize(("share", "most"), [(0.15, 0), (0.3, 0), (0.3, 5)])
def test_exactly_so_many_are_asked_and_special_tokens_never(corpus, share, most):
    task, source = masked(share=share, most=most), corpus.for_length(64)
    words = source.vocabulary
    for k in range(30):
        made = example(task, source, k % len(source), k)
        whole = originals(made)
        plain = ~torch.isin(whole, torch.tensor([*words.special, -1]))
        asked = made["target"] >= 0
        want = max(1, round(share * int(plain.sum())))
        assert int(asked.sum()) == (min(want, most) if most else want)
        assert plain[asked].all()
        assert (whole[0], whole[whole >= 0][-1]) == (words.cls, words.sep)


def test_bernoulli_asks_for_a_share_on_average(corpus):
    task, source = masked(selection="bernoulli"), corpus.for_length(64)
    found = [example(task, source, k % len(source), k)["target"] >= 0 for k in range(400)]
    counts = torch.stack(found).sum(1).double()
    assert float(counts.mean()) == pytest.approx(0.15 * 60, rel=0.08)
    assert float(counts.std()) > 2, "not the same number each time"


def test_whole_words_are_asked_for_as_a_whole(corpus):
    task, source = masked(whole_word=True), corpus.for_length(64)
    for k in range(30):
        rng = generator(k, 0, 3)
        sample = source.read(3, task.plan(source.info(3), rng))
        asked = task.example(sample, rng)["target"][1:-1] >= 0
        word = sample.word_starts.cumsum(0)
        plain = ~torch.isin(sample.tokens, torch.tensor(source.vocabulary.special))
        for number in word.unique():
            part = asked[: len(word)][(word == number) & plain]
            assert part.all() or not part.any()
        assert asked.any()


def test_the_second_text_follows_or_is_from_elsewhere(corpus):
    task, source = masked(next_sentence=True), corpus.for_length(64)
    answers, text = [], corpus.corpus()
    for k in range(60):
        rng = generator(k, 0, 1)
        plan = task.plan(source.info(1), rng)
        (a, b), (c, d) = plan.tokens
        made = task.example(source.read(1, plan), rng)
        whole, kinds = originals(made), made["segments"]
        first, second = whole[1 : 1 + b - a], whole[2 + b - a : 2 + b - a + d - c]
        assert torch.equal(first, text[a:b])
        assert torch.equal(second, text[torch.arange(c, d) % len(text)])
        assert kinds[: 2 + b - a].sum() == 0
        assert kinds[2 + b - a : 3 + b - a + d - c].all()
        assert (b == c) is (int(made["follows"]) == 0)
        answers.append(int(made["follows"]))
    assert 15 < sum(answers) < 45


def test_loss_knows_only_the_tokens_that_are_asked_for(corpus):
    task, source = masked(), corpus.for_length(64)
    data = batch(task, source, [0, 1, 2])
    states = task.text.encoder.states(data["tokens"])[-1]
    asked = data["target"] >= 0
    want = F.cross_entropy(task.logits(states)[asked], data["target"][asked])
    step = task(data)
    torch.testing.assert_close(step.loss, want)
    nats = float(want.detach())
    assert float(step.metrics["perplexity"]) == pytest.approx(math.exp(nats), rel=1e-4)
    size = corpus.manifest.bytes_per_token
    assert float(step.metrics["bits_per_byte"]) == pytest.approx(
        nats / math.log(2) / size, rel=1e-4
    )


@torch.no_grad()
def test_heads_and_losses_are_those_of_bert():
    config = BertConfig(
        vocab_size=260, max_position_embeddings=32, hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=64,
    )  # fmt: skip
    net = BertForPreTraining(config).eval()
    for parameter in net.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    sizes = {"positions": "learned", "norm": "post", "segments": 2, "eps": 1e-12, "context": 32}
    task = MaskedLanguage(text_input(32, **sizes), next_sentence=True).eval()
    state = net.state_dict()
    task.text.encoder.load_state_dict(from_hugging_face(state))
    names = {
        "transform.0": "cls.predictions.transform.dense",
        "transform.2": "cls.predictions.transform.LayerNorm",
        "pooler.0": "bert.pooler.dense",
        "follows": "cls.seq_relationship",
    }
    heads = {f"{a}.{k}": state[f"{b}.{k}"] for a, b in names.items() for k in ("weight", "bias")}
    heads["bias"] = state["cls.predictions.bias"]
    missing = task.load_state_dict(heads, strict=False)
    assert not missing.unexpected_keys
    x = torch.randint(260, (3, 20))
    data = {
        "tokens": x, "target": torch.where(torch.rand(3, 20) < 0.3, x.flip(1), -1),
        "segments": (torch.arange(20) > 8).long().expand(3, -1), "follows": torch.tensor([0, 1, 1]),
        "bytes_per_token": torch.ones(3),
    }  # fmt: skip
    labels = data["target"].masked_fill(data["target"] < 0, -100)
    want = net(
        x, token_type_ids=data["segments"], labels=labels, next_sentence_label=data["follows"]
    )
    torch.testing.assert_close(task(data).loss, want.loss, atol=1e-5, rtol=1e-5)
    logits = task.logits(task.text.encoder.states(x, segments=data["segments"])[-1])
    torch.testing.assert_close(logits, want.prediction_logits, atol=1e-5, rtol=0)


@torch.no_grad()
def test_logits_and_loss_are_those_of_gpt2():
    config = GPT2Config(vocab_size=260, n_positions=64, n_embd=16, n_layer=2, n_head=2)
    net = GPT2LMHeadModel(config).eval()
    task = CausalLanguage(text_input(16, positions="learned", activation="gelu_tanh")).eval()
    task.text.encoder.load_state_dict(from_hugging_face(net.state_dict()))
    x = torch.randint(260, (3, 17))
    data = {"tokens": x[:, :-1], "target": x[:, 1:], "bytes_per_token": torch.ones(3)}
    want = net(x, labels=x)
    logits = task.logits(task.text.encoder.states(x)[-1])
    torch.testing.assert_close(logits, want.logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(task(data).loss, want.loss, atol=1e-5, rtol=1e-5)
    assert float(want.loss) == pytest.approx(math.log(260), rel=0.02), "no token is preferred yet"


def test_the_target_is_the_next_token_and_short_texts_end(tmp_path):
    source = packed(tmp_path, ["abc", "a longer text of more tokens"], unit="document")
    task = CausalLanguage(text_input(16))
    made = example(task, source, 0)
    text = source.corpus()[:4]
    assert made["tokens"].tolist() == [*text.tolist(), *[-1] * 12]
    assert made["target"].tolist() == [*text[1:].tolist(), *[-1] * 13]
    loss = task(batch(task, source, [0, 1])).loss
    assert loss.isfinite()


def test_the_output_layer_is_the_table_of_embeddings():
    task = CausalLanguage(text_input(16))
    assert sum(p.shape == (260, 16) for p in task.parameters()) == 1


def lanes(task: SegmentRecurrence, source, count: int):
    """Batches of two lanes that go on, as the trainer gives them."""
    steps = len(source) // 2
    return [batch(task, source, [k, k + steps]) for k in range(count)]


def test_segments_go_on_from_batch_to_batch(corpus):
    task = SegmentRecurrence(text_input(16), memory=32)
    source = corpus.for_length(16)
    batches = lanes(task, source, 3)
    losses = [task(data).loss for data in batches]
    rows = torch.cat([data["tokens"] for data in batches], 1)
    target = torch.cat([data["target"] for data in batches], 1)
    whole, *_ = task.score(rows, target)
    for k in range(3):
        torch.testing.assert_close(losses[k], whole[:, 16 * k : 16 * k + 16].mean())


def test_what_does_not_follow_is_forgotten(corpus):
    task = SegmentRecurrence(text_input(16), memory=32)
    source = corpus.for_length(16)
    first, second = batch(task, source, [0, 5]), batch(task, source, [1, 9])
    task(first)
    found = task(second).loss
    one, *_ = task.score(second["tokens"], second["target"])
    _, _, memory = task.score(first["tokens"], first["target"])
    both, *_ = task.score(second["tokens"], second["target"], memory)
    torch.testing.assert_close(found, torch.cat([both[:1], one[1:]]).mean())
    assert (both[0] - one[0]).abs().max() > 1e-6
    task(first)
    alone = task(batch(task, source, [1])).loss
    torch.testing.assert_close(
        alone, task.score(second["tokens"][:1], second["target"][:1])[0].mean()
    )


def test_what_is_carried_goes_on_in_another_task(corpus):
    task = SegmentRecurrence(text_input(16), memory=16)
    first, second = lanes(task, corpus.for_length(16), 2)
    assert task.carried() == {}
    task(first)
    kept = task.carried()
    assert {len(value) for value in kept.values()} == {2}
    want = task(second).loss
    other = SegmentRecurrence(text_input(16), memory=16)
    other.carry(kept)
    torch.testing.assert_close(other(second).loss, want, atol=0, rtol=0)


def test_adaptive_softmax_gives_probabilities(corpus):
    task = SegmentRecurrence(text_input(16), cutoffs=(20, 100), div=2.0)
    x = torch.randint(260, (1, 5))
    states = task.text.encoder.states(x)[-1].flatten(0, 1)
    losses = torch.stack([task._losses(states, torch.full((5,), t))[0] for t in range(260)])
    torch.testing.assert_close(losses.neg().exp().sum(0), torch.ones(5))
    with pytest.raises(InputError, match="cutoffs rise"):
        SegmentRecurrence(text_input(16), cutoffs=(20, 260))


WORDS = train_tokenizer("wordpiece", SENTENCES, 120)


def test_text_that_does_not_fit_is_refused_in_one_line(tmp_path, corpus):
    rng = generator(0, 0, 0)
    with pytest.raises(InputError, match="context of 64, got length 65"):
        text_input(65)
    task = CausalLanguage(text_input(16))
    with pytest.raises(MediaError, match="no text: pack it"):
        task.plan(MediaInfo("a.mp4", "video"), rng)
    other = packed(tmp_path, tokenizer=WORDS)
    said = f"a vocabulary of {WORDS.vocabulary.size}, but the encoder's has 260"
    with pytest.raises(InputError, match=said):
        task.plan(other.info(0), rng)
    with pytest.raises(MediaError, match="a segment has 16 and one behind it"):
        SegmentRecurrence(text_input(16)).plan(corpus.for_length(20).info(0), rng)
    with pytest.raises(InputError, match="causal: true"):
        CausalLanguage(text_input(16, causal=False))
    with pytest.raises(InputError, match="relative positions"):
        SegmentRecurrence(text_input(16, positions="learned"))


def test_pictures_name_words_where_the_tokenizer_is_known(corpus):
    text = TextInput(TextTransformer(context=32, width=16, depth=2, heads=2), length=32)
    text.spell_with(load_tokenizer(corpus.path))
    task = MaskedLanguage(text, short=0.0, masked=0.0, random=0.0)
    data = batch(task, corpus.for_length(32), [0, 1])
    (picture, _) = task(data).pictures()
    assert picture.answer.strip()
    assert set(picture.answer) <= set("".join(SENTENCES))
    assert picture.images[0].shape[0] == 3


def test_pictures_of_a_text_are_alike_in_shape_and_answers_stand_in_one_line():
    tokens = torch.arange(6)[None]
    words = ["a\n", "long word " * 20, "\n", "b", "c", "d"]

    def spelled(which):
        return [words[int(k)] for k in which]

    (picture,) = guess_pictures(tokens, tokens, torch.full((1, 6), 2), spelled)
    read, said = picture.images
    assert read.shape == said.shape
    # Of 205 letters in lines of 40; what is lower than a fifth of its width is stretched.
    assert read.shape[-2] >= read.shape[-1] / 5
    assert picture.answer == "a⏎" + words[1] + "⏎bcd"
    assert "\n" not in picture.prediction
    (low,) = guess_pictures(tokens[:, 2:], tokens[:, 2:], tokens[:, 2:], spelled)
    assert low.images[0].shape[-2] >= low.images[0].shape[-1] / 5
