from dataclasses import replace

import pytest
from measure import Sample, percentile, sample_of
from servers import Facts, UnlikeServers, compare
from stream import Answer
from table import Result, Spread, markdown
from workloads import cold_chat, context_for

SAMPLE = Sample(100, 10, 20, 5, 9, 340, 128, 128, 8, 10.24, 0.1)


def result(ours: list[float], peer: list[float], **fields: float) -> Result:
    def samples(rates: list[float]) -> list[Sample]:
        return [replace(SAMPLE, output_tokens_per_s=rate) for rate in rates]

    found = Result(cold_chat(8, 128), samples(ours), samples(peer), [0.0])
    return replace(found, ours=[replace(sample, **fields) for sample in found.ours])


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([3, 1, 2], 50, 2),
        ([1, 2, 3, 4], 50, 2),
        (range(1, 101), 95, 95),
        ([7], 99, 7),
        ([1, 2], 0, 1),
        ([], 50, 0),
    ],
)
def test_percentile_is_the_nearest_rank(values, percent, expected):
    assert percentile(list(values), percent) == expected


def test_a_sample_runs_from_the_first_request_to_the_last_end():
    answers = [
        Answer(10.0, (10.5, 10.6, 11.0), 11.2, 340, 3, ""),
        Answer(10.1, (11.1,), 12.0, 344, 1, ""),
    ]
    sample = sample_of(answers, client_cpu_s=0.2)
    assert sample.wall_s == 2.0
    assert sample.output_tokens_per_s == 2.0
    assert sample.first_token_p50_ms == pytest.approx(500)
    assert sample.first_token_p95_ms == pytest.approx(1000)
    assert sample.inter_token_p99_ms == pytest.approx(400)
    assert (sample.prompt_tokens, sample.answer_tokens, sample.events, sample.requests) == (342, 2, 2, 2)


def test_the_ratio_is_the_median_of_the_repetitions_own_ratios():
    # The medians' ratio would be 90 / 100.
    measured = result(ours=[90, 50, 95], peer=[100, 50, 190])
    assert measured.ratio("output_tokens_per_s") == Spread(0.9, 0.5, 1.0)


def test_no_ratio_to_nothing():
    assert result(ours=[90], peer=[0]).ratio("output_tokens_per_s") is None


@pytest.mark.parametrize(("ours", "met"), [(90, True), (89.9, False)])
def test_the_goal_stands_in_the_table(ours, met):
    measured = result(ours=[ours], peer=[100])
    assert measured.goal_met is met
    assert f">= 0.9 {'met' if met else 'missed'}" in markdown([measured])


def test_every_line_of_the_table_is_equally_wide():
    lines = markdown([result(ours=[90], peer=[100]), result(ours=[9000], peer=[1])]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len({line.count("|") for line in lines}) == 1


def test_unlike_work_and_a_busy_machine_are_remarked():
    assert result(ours=[90], peer=[100]).remarks == []
    assert "differ by the factor 0.50" in result(ours=[90], peer=[100], answer_tokens=64).remarks[0]
    assert "NOT QUIET" in replace(result(ours=[90], peer=[100]), busy_cores=[0.0, 1.5]).remarks[0]


def test_servers_that_run_other_weights_or_threads_are_not_compared():
    ours = Facts(weights_sha256="aa", threads=2)
    assert compare(ours, Facts(weights_sha256="aa", threads=2, slots=8), clients=8) == set()
    assert len(compare(ours, Facts(weights_sha256="aa"), clients=8)) == 1
    for unlike in (Facts(weights_sha256="bb"), Facts(threads=4), Facts(slots=4)):
        with pytest.raises(UnlikeServers):
            compare(ours, unlike, clients=8)


def test_a_slot_has_room_for_prompt_and_answer():
    assert context_for(340, 128) == 768
    assert context_for(2000, 128) == 3328
