"""A donor's tokenizer written beside a model of any type gives the donor's ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer

from tests.tiny import Tiny, build_tokenizer
from tokxfer.checkpoints import load_tokenizer, read_roles, write_tokenizer
from tokxfer.checkpoints.agreement import SAMPLES, disagreement, unlike_parts
from tokxfer.checkpoints.roles import read_stop_ids, vocabulary_size
from tokxfer.checkpoints.tokenizerfiles import PLAIN_MARKERS
from tokxfer.errors import FolderError, UnsupportedError

FAMILIES = ["bytebpe", "chat", "qwen", "spbpe", "unigram", "wordpiece"]


def target_of(tiny: Tiny, kind: str = "llama") -> Path:
    """An output folder in which only the model's config lies yet."""
    out = tiny.fresh()
    out.mkdir()
    (out / "config.json").write_bytes((tiny.model(kind) / "config.json").read_bytes())
    return out


def change(path: Path, **values: Any) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | values), encoding="utf-8")


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_plain_class_gives_the_donors_ids_and_text(
    tiny: Tiny, family: str, kind: str, bare: bool
) -> None:
    donor, target = tiny.tokenizer(family, bare=bare), target_of(tiny, kind)
    write_tokenizer(donor, target)
    file = Tokenizer.from_file(str(donor / "tokenizer.json"))
    auto = AutoTokenizer.from_pretrained(target)
    assert len(auto) == file.get_vocab_size()
    for text in SAMPLES:
        ids = file.encode(text).ids
        assert auto(text)["input_ids"] == ids
        assert auto.decode(ids) == file.decode(ids, skip_special_tokens=False)


@pytest.mark.parametrize("name", ["llama2", "gpt2", "xlmr-unigram-de-50k"])
def test_real_tokenizers_survive_beside_a_model_whose_type_rebuilds_tokenizers(
    tiny: Tiny, shared: Path, name: str
) -> None:
    target = target_of(tiny, "qwen2")
    write_tokenizer(shared / "tokenizers" / name, target)
    assert disagreement(target) == ""


def test_a_loader_is_added_only_where_transformers_would_rebuild_the_tokenizer(
    tiny: Tiny,
) -> None:
    donor = tiny.tokenizer("spbpe")
    plain, guarded = target_of(tiny, "llama"), target_of(tiny, "qwen2")
    assert not write_tokenizer(donor, plain).plain_code
    assert write_tokenizer(donor, guarded).plain_code
    assert not list(plain.glob("*.py"))
    assert list(guarded.glob("*.py"))
    assert not write_tokenizer(tiny.tokenizer("qwen"), target_of(tiny, "qwen2")).plain_code


def test_the_added_loader_works_when_remote_code_is_trusted(tiny: Tiny) -> None:
    target = target_of(tiny, "qwen2")
    write_tokenizer(tiny.tokenizer("spbpe"), target)
    assert disagreement(target, trust_remote_code=True) == ""


def test_a_tokenizer_json_alone_is_a_donor(tiny: Tiny) -> None:
    target = target_of(tiny)
    written = write_tokenizer(tiny.tokenizer("spbpe", bare=True) / "tokenizer.json", target)
    assert written.roles == {"bos": 1, "eos": 2, "unk": 0}
    tokenizer = load_tokenizer(target)
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (1, 2)


def test_the_file_is_copied_byte_for_byte(tiny: Tiny) -> None:
    donor, target = tiny.tokenizer("bytebpe"), target_of(tiny)
    write_tokenizer(donor, target)
    assert (target / "tokenizer.json").read_bytes() == (donor / "tokenizer.json").read_bytes()


def test_given_roles_win_over_the_donors_files(tiny: Tiny) -> None:
    target = target_of(tiny)
    written = write_tokenizer(tiny.tokenizer("chat"), target, roles={"eos": 417, "chat:x": 418})
    assert written.roles == {"eos": 417}
    tokenizer = load_tokenizer(target)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|endoftext|>", None)


def test_the_models_longest_sequence_is_stated_where_the_donor_states_none(tiny: Tiny) -> None:
    bare, stated = target_of(tiny), target_of(tiny)
    write_tokenizer(tiny.tokenizer("spbpe", bare=True), bare, max_length=77)
    write_tokenizer(tiny.tokenizer("spbpe"), stated, max_length=77)
    assert load_tokenizer(bare).model_max_length == 77
    assert load_tokenizer(stated).model_max_length == 128


def test_truncation_left_by_a_training_run_is_taken_out(tiny: Tiny) -> None:
    donor = tiny.copy(tiny.tokenizer("bytebpe"))
    file = Tokenizer.from_file(str(donor / "tokenizer.json"))
    file.enable_truncation(4)
    file.enable_padding(length=8)
    file.save(str(donor / "tokenizer.json"))
    target = target_of(tiny)
    write_tokenizer(donor, target)
    written = Tokenizer.from_file(str(target / "tokenizer.json"))
    assert (written.truncation, written.padding) == (None, None)


@pytest.mark.parametrize("place", ["file", "config", "legacy file"])
def test_the_chat_template_travels_wherever_the_donor_keeps_it(tiny: Tiny, place: str) -> None:
    donor = tiny.copy(tiny.tokenizer("chat"))
    template = (donor / "chat_template.jinja").read_text()
    if place != "file":
        (donor / "chat_template.jinja").unlink()
    if place == "config":
        change(donor / "tokenizer_config.json", chat_template=template)
    if place == "legacy file":
        (donor / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    target = target_of(tiny)
    assert write_tokenizer(donor, target).chat_template
    assert load_tokenizer(target).chat_template == template


def test_several_chat_templates_travel_under_their_names(tiny: Tiny) -> None:
    donor = tiny.copy(tiny.tokenizer("chat"))
    (donor / "chat_template.jinja").unlink()
    named = [{"name": "default", "template": "A"}, {"name": "tool_use", "template": "B"}]
    change(donor / "tokenizer_config.json", chat_template=named)
    target = target_of(tiny)
    write_tokenizer(donor, target)
    again = target_of(tiny)
    write_tokenizer(target, again)
    for folder in (target, again):
        assert load_tokenizer(folder).chat_template == {"default": "A", "tool_use": "B"}


def test_markers_that_the_donor_writes_as_plain_text_are_noted(tiny: Tiny) -> None:
    donor = tiny.copy(tiny.tokenizer("spbpe"))
    (donor / "chat_template.jinja").write_text("<|user|>{{ messages[0]['content'] }}</s>")
    target = target_of(tiny)
    write_tokenizer(donor, target)
    config = json.loads((target / "tokenizer_config.json").read_text())
    assert config[PLAIN_MARKERS] == ["<|user|>"]
    assert disagreement(target) == ""


def test_tokens_that_only_the_config_names_are_dropped_and_told(tiny: Tiny) -> None:
    donor = tiny.copy(tiny.tokenizer("spbpe"))
    change(
        donor / "tokenizer_config.json",
        pad_token="[NEW]",
        extra_special_tokens=["</s>", "<extra>"],
        added_tokens_decoder={"900": {"content": "<far>", "special": True}},
    )
    target = target_of(tiny)
    written = write_tokenizer(donor, target)
    assert written.dropped == ("<extra>", "<far>", "[NEW]")
    assert len(load_tokenizer(target)) == written.size == vocabulary_size(donor)


def test_flags_that_contradict_the_post_processor_are_corrected(tiny: Tiny) -> None:
    """The post-processor decides what AutoTokenizer emits; other programs read the flags."""
    donor = tiny.copy(tiny.tokenizer("spbpe"))
    change(donor / "tokenizer_config.json", add_bos_token=False, add_eos_token=True)
    target = target_of(tiny)
    write_tokenizer(donor, target)
    config = json.loads((target / "tokenizer_config.json").read_text())
    assert (config["add_bos_token"], config["add_eos_token"]) == (True, False)
    ids = load_tokenizer(donor)("the dog")["input_ids"]
    assert load_tokenizer(target)("the dog")["input_ids"] == ids
    assert (ids[0], ids[-1] == 2) == (1, False)


def test_flags_that_agree_leave_the_file_alone(tiny: Tiny) -> None:
    donor = tiny.copy(tiny.tokenizer("spbpe"))
    change(donor / "tokenizer_config.json", add_bos_token=True, add_eos_token=False)
    target = target_of(tiny)
    write_tokenizer(donor, target)
    assert (target / "tokenizer.json").read_bytes() == (donor / "tokenizer.json").read_bytes()
    assert json.loads((target / "tokenizer_config.json").read_text())["add_bos_token"] is True


def test_a_donor_without_a_fast_tokenizer_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(b"")
    with pytest.raises(UnsupportedError, match="only a slow tokenizer"):
        write_tokenizer(tmp_path, target_of(tiny))
    with pytest.raises(FolderError, match="does not exist"):
        write_tokenizer(tmp_path / "nowhere", target_of(tiny))


def test_a_broken_tokenizer_is_explained(tiny: Tiny) -> None:
    donor = tiny.copy(tiny.tokenizer("spbpe", bare=True))
    change(donor / "tokenizer.json", decoder={"type": "Unheard"})
    with pytest.raises(FolderError, match="cannot be read by the tokenizers library"):
        write_tokenizer(donor, target_of(tiny))


def test_a_tokenizer_that_no_file_beside_it_can_save_is_refused(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokxfer.checkpoints import tokenizerfiles

    monkeypatch.setattr(tokenizerfiles, "disagreement", lambda *_, **__: "it gives other ids")
    target = target_of(tiny)
    with pytest.raises(UnsupportedError, match="it gives other ids"):
        write_tokenizer(tiny.tokenizer("spbpe"), target)
    assert not list(target.glob("*.py"))


def test_roles_come_from_the_config(tiny: Tiny) -> None:
    assert read_roles(tiny.tokenizer("chat")) == {"eos": 419, "pad": 417}


def test_the_legacy_map_of_special_tokens_is_read(tiny: Tiny) -> None:
    donor = tiny.copy(tiny.tokenizer("spbpe", bare=True))
    tokens = {"bos_token": {"content": "</s>", "lstrip": False}, "eos_token": "<none>"}
    (donor / "special_tokens_map.json").write_text(json.dumps(tokens))
    assert read_roles(donor) == {"bos": 2}


@pytest.mark.parametrize(
    ("family", "roles"),
    [
        ("bytebpe", {"bos": 419, "eos": 419}),
        ("spbpe", {"bos": 1, "eos": 2, "unk": 0}),
        ("unigram", {"bos": 0, "pad": 1, "eos": 2, "unk": 3}),
        ("wordpiece", {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}),
    ],
)
def test_a_bare_tokenizers_usual_names_have_their_usual_roles(
    tiny: Tiny, family: str, roles: dict[str, int]
) -> None:
    assert read_roles(tiny.tokenizer(family, bare=True)) == roles


def test_every_id_at_which_a_model_stops_is_listed_once_and_exists(tiny: Tiny) -> None:
    path = tiny.model("mistral", tokenizer="chat", eos=[417, 419, 9999])
    assert read_stop_ids(path) == [419, 417]


def test_a_rebuilt_tokenizer_is_noticed_by_its_parts_even_where_samples_agree(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokxfer.checkpoints import agreement

    monkeypatch.setattr(agreement, "SAMPLES", ("plain",))
    monkeypatch.setattr(agreement, "ODD_SAMPLES", ())
    path = tiny.model("qwen2", tokenizer="bytebpe")
    assert disagreement(path) == ""
    assert "another normalizer than tokenizer.json" in disagreement(path, by_parts=True)


@pytest.mark.parametrize(
    ("change_part", "part"),
    [
        (lambda t: setattr(t, "decoder", decoders.Fuse()), "decoder"),
        (lambda t: setattr(t, "pre_tokenizer", pre_tokenizers.Whitespace()), "pre_tokenizer"),
        (lambda t: setattr(t.model, "dropout", 0.5), "model"),
        (lambda t: setattr(t, "model", models.WordLevel({"a": 0}, unk_token="a")), "model"),
        (lambda t: t.add_tokens(["new"]), "vocabulary"),
        (lambda t: setattr(t, "decoder", decoders.ByteLevel(add_prefix_space=False)), ""),
    ],
    ids=["decoder", "pre-tokenizer", "dropout", "model", "vocabulary", "nothing that matters"],
)
def test_each_part_of_a_tokenizer_is_compared(change_part: Any, part: str) -> None:
    one, other = build_tokenizer("bytebpe"), build_tokenizer("bytebpe")
    change_part(other)
    assert unlike_parts(one, other) == part
