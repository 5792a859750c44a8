from __future__ import annotations

import math

import numpy as np
import pytest

from tokxfer.errors import TokxferError
from tokxfer.workflows.evaluation import Evaluation, EvaluationReport, Ratio


def evaluation(nats: list[float], sizes: list[int], name: str = "model") -> Evaluation:
    return Evaluation(
        model=name,
        nats=np.array(nats),
        document_tokens=np.array([4] * len(nats)),
        document_bytes=np.array(sizes),
        lossy_documents=0,
        lossy_bytes=0,
        empty_documents=0,
        window=8,
        begin=0,
        seconds=1.0,
    )


def test_bits_per_byte_weigh_documents_by_their_bytes() -> None:
    result = evaluation([math.log(2) * 10, math.log(2) * 2], [10, 30])
    assert result.bits_per_byte == pytest.approx(12 / 40)


def test_perplexity_is_per_token() -> None:
    assert evaluation([4 * math.log(7), 4 * math.log(7)], [1, 2]).perplexity == pytest.approx(7)


def test_a_single_document_has_no_standard_error() -> None:
    result = evaluation([3.0], [10])
    assert result.stderr is None
    assert result.to_dict()["stderr"] is None


def test_documents_at_one_rate_have_no_error_whatever_their_sizes() -> None:
    assert evaluation([3.0, 30.0, 6.0], [1, 10, 2]).stderr == pytest.approx(0, abs=1e-12)


def test_the_standard_error_is_that_of_a_mean_where_documents_are_equally_long() -> None:
    nats = np.array([3.0, 5.0, 4.0, 9.0])
    rates = nats / 10 / math.log(2)
    result = evaluation(list(nats), [10] * 4)
    assert result.stderr == pytest.approx(rates.std(ddof=1) / math.sqrt(4))


def test_the_standard_error_is_the_spread_over_fresh_samples_of_documents() -> None:
    random = np.random.default_rng(0)

    def sample() -> Ratio:
        sizes = random.integers(50, 500, 200)
        return Ratio.of(sizes * random.normal(1.0, 0.3, 200), sizes)

    samples = [sample() for _ in range(300)]
    spread = np.std([each.value for each in samples])
    # 300 samples know a spread to about 4%
    assert np.mean([each.stderr for each in samples]) == pytest.approx(spread, rel=0.15)


def test_a_model_over_itself_is_one_without_error() -> None:
    result = evaluation([3.0, 5.0], [10, 20])
    assert result.ratio(result) == Ratio(1.0, 0.0)


def test_pairing_cancels_what_documents_have_in_common() -> None:
    base = evaluation([3.0, 50.0, 7.0], [10, 20, 30])
    worse = evaluation([3.3, 55.0, 7.7], [10, 20, 30])
    ratio = worse.ratio(base)
    assert ratio.value == pytest.approx(1.1)
    assert ratio.stderr == pytest.approx(0, abs=1e-12)
    assert base.stderr is not None
    assert base.stderr > 0.1


def test_models_on_different_texts_are_not_compared() -> None:
    with pytest.raises(TokxferError, match="a and b were evaluated on different texts"):
        evaluation([1.0], [10], "a").ratio(evaluation([1.0], [11], "b"))


def test_a_report_without_a_base_has_no_ratios() -> None:
    report = EvaluationReport((evaluation([1.0], [1]),), None, {})
    assert report.ratios() == (None,)
    assert "ratio" not in report.to_dict()["results"][0]


def test_a_base_that_is_also_a_result_is_listed_once() -> None:
    base, other = evaluation([1.0], [1], "base"), evaluation([2.0], [1], "other")
    report = EvaluationReport((other, base), base, {})
    assert report.all_results() == (base, other)
    assert [figures["ratio"] for figures in report.to_dict()["results"]] == [2.0, 1.0]


def test_a_hopeless_model_still_has_a_perplexity_that_json_can_hold() -> None:
    assert math.isfinite(evaluation([1e9], [1]).perplexity)
