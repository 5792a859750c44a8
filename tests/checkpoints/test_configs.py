"""Configs rewritten for another vocabulary."""

from __future__ import annotations

from typing import Any

import pytest

from tokxfer.checkpoints import rewrite_config, rewrite_generation_config

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 64,
    "bos_token_id": 1,
    "eos_token_id": [2, 7],
    "pad_token_id": 0,
    "tie_word_embeddings": False,
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    "dtype": "bfloat16",
}
ROLES = {"bos": 10, "eos": 11, "pad": None}


def test_sizes_ids_and_tying_are_rewritten() -> None:
    new = rewrite_config(LLAMA, vocab_size=500, roles=ROLES, tied=True)
    assert new["vocab_size"] == 500
    assert new["tie_word_embeddings"] is True
    assert (new["bos_token_id"], new["eos_token_id"], new["pad_token_id"]) == (10, 11, None)


def test_everything_else_is_kept_and_the_original_untouched() -> None:
    before = {**LLAMA, "rope_parameters": dict(LLAMA["rope_parameters"])}
    new = rewrite_config(LLAMA, vocab_size=500, roles=ROLES, tied=True)
    for key in ("architectures", "model_type", "hidden_size", "rope_parameters", "dtype"):
        assert new[key] == LLAMA[key]
    assert before == LLAMA


def test_a_list_of_eos_ids_keeps_those_with_a_counterpart() -> None:
    new = rewrite_config(LLAMA, vocab_size=500, roles=ROLES, tied=False, ids={7: 44})
    assert new["eos_token_id"] == [11, 44]


def test_a_vocabulary_without_eos_gets_none_from_the_old_list() -> None:
    new = rewrite_config(LLAMA, vocab_size=500, roles={}, tied=False, ids={7: 44})
    assert new["eos_token_id"] is None


def test_a_list_that_has_the_new_eos_already_keeps_its_order() -> None:
    new = rewrite_generation_config({"eos_token_id": [5, 2]}, roles={"eos": 2}, ids={5: 5, 2: 2})
    assert new == {"eos_token_id": [5, 2]}


def test_several_new_eos_ids_are_listed() -> None:
    new = rewrite_config(LLAMA, vocab_size=500, roles={"eos": [11, 12]}, tied=False)
    assert new["eos_token_id"] == [11, 12]


def test_a_role_without_a_token_becomes_none() -> None:
    new = rewrite_config(LLAMA, vocab_size=500, roles={}, tied=False)
    assert new["bos_token_id"] is new["eos_token_id"] is new["pad_token_id"] is None


def test_ids_are_stated_even_where_the_config_had_none() -> None:
    new = rewrite_config({"vocab_size": 3}, vocab_size=500, roles=ROLES, tied=False)
    assert (new["bos_token_id"], new["eos_token_id"]) == (10, 11)
    assert new["pad_token_id"] is None
    assert new["tie_word_embeddings"] is False


def test_what_a_nested_config_left_to_its_class_is_stated() -> None:
    """The defaults of the class are those of the old vocabulary."""
    config = {"model_type": "gemma3", "text_config": {"hidden_size": 64}}
    new = rewrite_config(config, vocab_size=500, roles=ROLES, tied=False)
    assert new["text_config"] == {
        "hidden_size": 64,
        "vocab_size": 500,
        "bos_token_id": 10,
        "eos_token_id": 11,
        "pad_token_id": None,
        "tie_word_embeddings": False,
    }


def test_a_nested_text_config_is_rewritten_too() -> None:
    config = {
        "model_type": "gemma3",
        "text_config": {**LLAMA, "vocab_size_per_layer_input": 32000},
        "vision_config": {"vocab_size": 32000, "bos_token_id": 5},
        "image_token_index": 7,
        "eos_token_id": [2],
    }
    new = rewrite_config(config, vocab_size=500, roles=ROLES, tied=True)
    assert new["text_config"]["vocab_size"] == 500
    assert new["text_config"]["vocab_size_per_layer_input"] == 500
    assert new["text_config"]["eos_token_id"] == new["eos_token_id"] == 11
    assert new["text_config"]["tie_word_embeddings"] is new["tie_word_embeddings"] is True
    assert new["vision_config"] == config["vision_config"]
    assert "vocab_size" not in new


@pytest.mark.parametrize(("ids", "expected"), [({7: 99}, 99), ({}, -1)])
def test_a_media_marker_follows_its_counterpart_or_becomes_impossible(
    ids: dict[int, int], expected: int
) -> None:
    config = {**LLAMA, "image_token_index": 7, "video_token_id": None}
    new = rewrite_config(config, vocab_size=500, roles=ROLES, tied=True, ids=ids)
    assert new["image_token_index"] == expected
    assert new["video_token_id"] is None


def test_what_names_the_old_tokenizer_or_machine_is_dropped() -> None:
    config = {
        **LLAMA,
        "_name_or_path": "/home/me/model",
        "tokenizer_class": "LlamaTokenizer",
        "auto_map": {"AutoTokenizer": ["a.B", None], "AutoModelForCausalLM": "a.M"},
        "decoder_start_token_id": 2,
        "forced_bos_token_id": 1,
        "bad_words_ids": [[4]],
    }
    new = rewrite_config(config, vocab_size=500, roles=ROLES, tied=True)
    assert not {"_name_or_path", "tokenizer_class", "bad_words_ids"} & new.keys()
    assert new["auto_map"] == {"AutoModelForCausalLM": "a.M"}
    assert new["decoder_start_token_id"] is new["forced_bos_token_id"] is None


def test_no_generation_config_stays_none() -> None:
    assert rewrite_generation_config(None, roles=ROLES) is None


def test_a_generation_config_gets_the_new_ids_and_keeps_its_taste() -> None:
    old = {"bos_token_id": 1, "eos_token_id": [2, 7], "temperature": 0.6, "do_sample": True}
    new = rewrite_generation_config(old, roles=ROLES, ids={7: 44})
    assert new == {
        "bos_token_id": 10,
        "eos_token_id": [11, 44],
        "temperature": 0.6,
        "do_sample": True,
    }


def test_a_generation_config_without_eos_gets_one() -> None:
    new = rewrite_generation_config({"temperature": 0.6}, roles=ROLES)
    assert new is not None
    assert new["eos_token_id"] == 11


def test_lists_of_old_ids_are_translated_or_dropped() -> None:
    old = {
        "suppress_tokens": [7, 8],
        "begin_suppress_tokens": [9],
        "bad_words_ids": [[7]],
        "decoder_start_token_id": 7,
    }
    new = rewrite_generation_config(old, roles={}, ids={7: 44})
    assert new is not None
    assert new["suppress_tokens"] == [44]
    assert new["begin_suppress_tokens"] is None
    assert "bad_words_ids" not in new
    assert new["decoder_start_token_id"] == 44


def test_no_id_beyond_the_rows_remains() -> None:
    old = {"pad_token_id": 3, "eos_token_id": 2}
    new = rewrite_generation_config(old, roles={"pad": 600, "eos": 11}, vocab_size=500)
    assert new == {"eos_token_id": 11}
