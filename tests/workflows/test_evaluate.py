from __future__ import annotations

import inspect
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

import tokxfer as tx
from tests.tiny import TEXT, Tiny
from tests.workflows.known import BEGIN, LETTERS, Table, letters, random_table
from tokxfer.checkpoints import load_model, load_tokenizer
from tokxfer.errors import FolderError, TokxferError, UsageError

DOCUMENTS = [TEXT[0], TEXT[3] * 3, "I", TEXT[5]]


def loaded(folder: Path, **options: Any) -> tuple[Any, Any]:
    return load_model(folder, **options), load_tokenizer(folder)


def one_forward_per_token(model: Any, ids: list[int], window: int) -> float:
    """Nats of ids[1:], each by its own forward over the tokens of its window that precede it."""
    nats = 0.0
    for at in range(1, len(ids)):
        start = 0
        while at >= start + window:
            start += window // 2
        with torch.no_grad():
            logits = model(torch.tensor([ids[start:at]])).logits[0, -1].double()
        nats -= float(logits.log_softmax(-1)[ids[at]])
    return nats


@pytest.mark.parametrize("window", [2, 3, 7, 16, 128])
def test_it_equals_a_forward_of_its_own_for_every_token(tiny: Tiny, window: int) -> None:
    model, tokenizer = loaded(tiny.model("llama"))
    result = tx.evaluate_model(model, tokenizer, DOCUMENTS, window=window)
    begin = tokenizer.bos_token_id
    for nats, text in zip(result.nats, DOCUMENTS, strict=True):
        ids = [begin, *tokenizer(text, add_special_tokens=False).input_ids]
        assert nats == pytest.approx(one_forward_per_token(model, ids, window), rel=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "phi", "gemma", "gemma3", "qwen2", "mistral"])
def test_it_equals_a_forward_of_its_own_under_every_architecture(tiny: Tiny, kind: str) -> None:
    model, tokenizer = loaded(tiny.model(kind, tokenizer="spbpe"))
    texts = [TEXT[0][:40], "I"]
    result = tx.evaluate_model(model, tokenizer, texts, window=12)
    for nats, text in zip(result.nats, texts, strict=True):
        ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False).input_ids]
        assert nats == pytest.approx(one_forward_per_token(model, ids, 12), rel=1e-4)


def test_a_uniform_model_costs_the_logarithm_of_its_vocabulary() -> None:
    result = tx.evaluate_model(Table(torch.zeros(16, 16)), letters(), ["abca", "cab bac"])
    assert result.bits_per_byte == pytest.approx(4)
    assert result.perplexity == pytest.approx(16)
    assert result.stderr == pytest.approx(0, abs=1e-6)


def test_a_known_bigram_model_costs_what_it_should_in_bytes_as_given() -> None:
    table = torch.full((9, 9), -math.inf)
    a, e = LETTERS.index("a"), LETTERS.index("é")
    table[BEGIN, [a, e]] = torch.tensor([0.25, 0.75]).log()
    table[a, [a, e]] = torch.tensor([0.5, 0.5]).log()
    table[e, [a, e]] = torch.tensor([0.125, 0.875]).log()
    result = tx.evaluate_model(Table(table), letters(), ["aéa"], window=100)
    assert result.bits_per_byte == pytest.approx((2 + 1 + 3) / 4)
    assert (result.tokens, result.bytes) == (3, 4)
    assert result.perplexity == pytest.approx(2 ** (6 / 3))


def test_every_document_starts_afresh() -> None:
    model = Table(random_table())
    together = tx.evaluate_model(model, letters(), ["abc", "cab\n", "é"])
    alone = [tx.evaluate_model(model, letters(), [text]) for text in ("abc", "cab\n", "é")]
    assert list(together.nats) == pytest.approx([float(each.nats[0]) for each in alone])


def test_windows_that_hold_a_document_whole_obey_the_chain_rule(tiny: Tiny) -> None:
    model, tokenizer = loaded(tiny.model("llama"))
    text = TEXT[0]
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text).input_ids]])
    loss = model(ids, labels=ids).loss.detach()  # mean over all tokens but the first
    result = tx.evaluate_model(model, tokenizer, [text])
    assert result.nats[0] == pytest.approx(float(loss) * (ids.shape[1] - 1), rel=1e-5)
    assert result.tokens == ids.shape[1] - 1


def test_the_begin_token_of_a_post_processor_is_not_doubled() -> None:
    tokenizer = letters()
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A <s>", special_tokens=[("<s>", BEGIN)]
    )
    model = Table(random_table())
    with_processor = tx.evaluate_model(model, tokenizer, ["abc"])
    assert model.fed[-1].tolist() == [[BEGIN, 0, 1]]
    assert with_processor.nats == tx.evaluate_model(model, letters(), ["abc"]).nats


@pytest.mark.parametrize("family", ["spbpe", "bytebpe", "unigram"])
def test_tokens_are_those_of_the_text_whatever_the_post_processor(tiny: Tiny, family: str) -> None:
    model, tokenizer = loaded(tiny.model("llama", tokenizer=family))
    result = tx.evaluate_model(model, tokenizer, ["the lazy dog"])
    assert result.begin == tokenizer.bos_token_id
    assert result.tokens == len(tokenizer.tokenize("the lazy dog"))


def test_eos_begins_documents_where_there_is_no_bos() -> None:
    model = Table(random_table(), bos_token_id=None, eos_token_id=[4, 2])
    assert tx.evaluate_model(model, letters(), ["ab"]).begin == 4
    assert model.fed[-1].tolist() == [[4, 0]]


def test_without_bos_and_eos_the_first_token_is_one_of_all_ids() -> None:
    table = random_table()
    model = Table(table, bos_token_id=None)
    result = tx.evaluate_model(model, letters(), ["ab", "c"])
    second = -float(table.log_softmax(-1)[0, 1])
    assert list(result.nats) == pytest.approx([math.log(9) + second, math.log(9)], rel=1e-6)
    assert (result.begin, result.tokens) == (None, 3)


@pytest.mark.parametrize("kind", ["transformers", "tokenizers", "bytes"])
def test_every_kind_of_tokenizer_gives_the_same_figures(tiny: Tiny, kind: str) -> None:
    folder = tiny.model("llama", tokenizer="spbpe")
    fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer = {
        "transformers": load_tokenizer(folder),
        "tokenizers": fast,
        "bytes": tx.ByteVocabulary.from_tokenizer(fast, None),
    }[kind]
    model = load_model(folder)
    result = tx.evaluate_model(model, tokenizer, DOCUMENTS)
    assert (result.nats == tx.evaluate_model(model, fast, DOCUMENTS).nats).all()
    assert result.lossy_documents == 0


@pytest.mark.parametrize(
    "options", [{"batch_size": 1}, {"batch_size": 3}, {"memory_budget": 90_000}]
)
def test_neither_batch_size_nor_budget_changes_a_figure(tiny: Tiny, options: dict) -> None:
    model, tokenizer = loaded(tiny.model("llama"))
    plain = tx.evaluate_model(model, tokenizer, DOCUMENTS, window=16)
    assert tx.evaluate_model(model, tokenizer, DOCUMENTS, window=16, **options).nats == (
        pytest.approx(plain.nats, rel=1e-5)
    )


def test_the_mode_of_a_model_is_restored_and_dropout_is_off() -> None:
    class Dropping(Table):
        def forward(self, *arguments: Any, **options: Any) -> Any:
            assert not self.training
            return super().forward(*arguments, **options)

        # the signature that the windows are planned by
        forward.__signature__ = inspect.signature(Table.forward)

    model = Dropping(random_table()).train()
    tx.evaluate_model(model, letters(), ["abc"])
    assert model.training


def test_a_lossy_tokenizer_is_counted(tiny: Tiny) -> None:
    model, tokenizer = loaded(tiny.model("llama", tokenizer="wordpiece"))
    result = tx.evaluate_model(model, tokenizer, ["the dog", "The Dog", "the\ndog"])
    assert (result.lossy_documents, result.lossy_bytes) == (2, 3)
    assert result.bytes == 21


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_a_text_of_no_probability_is_a_failure_not_a_figure(value: float) -> None:
    table = random_table()
    table[0, 1] = value
    with pytest.raises(TokxferError, match="it gives 1 of 2 documents probability zero or no num"):
        tx.evaluate_model(Table(table), letters(), ["ab", "cc"], name="it")


def test_a_window_longer_than_the_model_is_refused() -> None:
    model = Table(random_table(), n_positions=64)
    with pytest.raises(UsageError, match=r"65 tokens is longer than the 64 that it was made for"):
        tx.evaluate_model(model, letters(), ["ab"], window=65, name="it")


def test_a_window_of_one_token_is_refused() -> None:
    with pytest.raises(UsageError, match="2 tokens or more"):
        tx.evaluate_model(Table(random_table()), letters(), ["ab"], window=1)


def test_the_window_is_by_default_what_the_model_was_made_for() -> None:
    assert tx.evaluate_model(Table(random_table(), n_positions=64), letters(), ["a"]).window == 64
    assert tx.evaluate_model(Table(random_table()), letters(), ["a"]).window == 2048


# ---- from folders and files


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in DOCUMENTS))
    return path


def test_results_come_in_the_order_given_even_twice(tiny: Tiny, text: Path) -> None:
    names = [str(tiny.model("llama", seed=seed)) for seed in (0, 1)]
    report = tx.evaluate([names[1], names[0], names[1]], text=text)
    assert [result.model for result in report.results] == [names[1], names[0], names[1]]
    assert report.results[0].bits_per_byte != report.results[1].bits_per_byte


def test_folders_and_files_give_what_objects_give(tiny: Tiny, text: Path) -> None:
    folder = tiny.model("llama")
    report = tx.evaluate(folder, text=text)
    assert (report.results[0].nats == tx.evaluate_model(*loaded(folder), DOCUMENTS).nats).all()


def test_ratios_are_over_the_base_paired_by_document(tiny: Tiny, text: Path) -> None:
    base, other = (tiny.model("llama", seed=seed) for seed in (0, 1))
    report = tx.evaluate([other], text=text, against=base)
    assert report.against is not None
    ratio = report.ratios()[0]
    assert ratio == report.results[0].ratio(report.against)
    figures = report.to_dict()
    assert [result["model"] for result in figures["results"]] == [str(other)]
    assert figures["against"]["model"] == str(base)
    assert figures["results"][0]["ratio"] == pytest.approx(
        figures["results"][0]["bits_per_byte"] / figures["against"]["bits_per_byte"]
    )


def test_a_base_among_the_models_is_evaluated_once(
    tiny: Tiny, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tiny.model("llama", seed=seed) for seed in (0, 1)]
    opened = []
    monkeypatch.setattr(
        "tokxfer.workflows.evaluate.load_model",
        lambda path, **options: opened.append(path) or load_model(path, **options),
    )
    report = tx.evaluate(folders, text=text, against=folders[1])
    assert opened == [folders[1], folders[0]]
    assert report.to_dict()["results"][1]["ratio"] == 1


def test_several_files_are_read_one_after_another(tiny: Tiny, text: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.txt"
    plain.write_text("one more\n")
    report = tx.evaluate(tiny.model("llama"), text=[text, plain])
    assert list(report.results[0].document_bytes)[-2:] == [len(DOCUMENTS[-1].encode()), 9]


def test_the_limit_counts_documents(tiny: Tiny, text: Path) -> None:
    assert tx.evaluate(tiny.model("llama"), text=text, limit=2).results[0].documents == 2


def test_half_precision_weights_are_computed_in_float32_on_a_cpu(tiny: Tiny, text: Path) -> None:
    folder = tiny.model("llama", dtype="bfloat16")
    exact = tx.evaluate_model(*loaded(folder, dtype=torch.float32), DOCUMENTS)
    report = tx.evaluate(folder, text=text, device="cpu")
    assert (report.results[0].nats == exact.nats).all()
    assert report.settings["dtype"] == "float32"
    rough = tx.evaluate(folder, text=text, device="cpu", dtype="bfloat16")
    assert rough.results[0].bits_per_byte != exact.bits_per_byte
    assert rough.results[0].bits_per_byte == pytest.approx(exact.bits_per_byte, rel=0.05)


def test_settings_say_how_a_result_was_made(tiny: Tiny, text: Path) -> None:
    settings = tx.evaluate(tiny.model("llama"), text=text, memory_budget="1MB", window=8).settings
    assert settings["memory_budget"] == 1_000_000
    assert settings["window"] == 8
    assert settings["text"] == [str(text)]
    assert settings["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 1}, "The window must be 2 or more, not 1."),
        ({"limit": 0}, "The limit must be 1 or more, not 0."),
        ({"batch_size": 0}, "The batch size must be 1 or more, not 0."),
        ({"memory_budget": "many"}, "'many' is not a size."),
        ({"memory_budget": 0}, "A size must be above zero, not 0."),
        ({"device": "abacus"}, "'abacus' is not a device."),
        ({"dtype": "int3"}, "'int3' is not a dtype."),
    ],
)
def test_senseless_options_are_refused_before_any_work(
    tmp_path: Path, options: dict, message: str
) -> None:
    with pytest.raises(UsageError) as failure:
        tx.evaluate("nowhere", text=tmp_path / "nothing", **options)
    assert failure.value.message == message


def test_no_model_is_a_usage_error(text: Path) -> None:
    with pytest.raises(UsageError, match="at least one model"):
        tx.evaluate([], text=text)


def test_a_tokenizer_larger_than_the_matrix_is_refused_when_it_matters(
    tiny: Tiny, tmp_path: Path
) -> None:
    folder = tiny.model("llama", tokenizer="bytebpe", rows=300)
    path = tmp_path / "text.txt"
    path.write_text(TEXT[0])
    with pytest.raises(FolderError, match=r"gives id \d+, but the model has only 300 embedding"):
        tx.evaluate(folder, text=path)


def test_a_story_is_no_surprise_to_a_model_of_stories(shared: Path) -> None:
    folder = shared / "models" / "stories260K"
    story = (
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the "
        "park. One day, she saw a big, red ball. She wanted to play with it, but it was too high."
    )
    noise = "Qx zzv kwp! 77 jjq, vbnm wqp zxx; kjh 903 pq."
    model, tokenizer = loaded(folder)
    result = tx.evaluate_model(model, tokenizer, [story])
    assert 0.1 < result.bits_per_byte < 1.0
    assert tx.evaluate_model(model, tokenizer, [noise]).bits_per_byte > 4
    ids = torch.tensor([tokenizer(story).input_ids])  # this tokenizer puts bos in front itself
    assert ids[0, 0] == tokenizer.bos_token_id
    loss = float(model(ids, labels=ids).loss.detach()) * (ids.shape[1] - 1)
    assert result.nats[0] == pytest.approx(loss, rel=1e-5)


@pytest.mark.gpu
def test_a_gpu_gives_the_figures_of_the_cpu(tiny: Tiny, text: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    folder = tiny.model("llama")
    here = tx.evaluate(folder, text=text, device="cpu", window=16).results[0]
    there = tx.evaluate(folder, text=text, device="cuda", window=16).results[0]
    assert there.nats == pytest.approx(here.nats, rel=1e-3)
