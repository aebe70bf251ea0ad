from dataclasses import replace

import pytest
from facts import Facts, UnlikeServers, compare, lack
from measure import Sample
from rows import cold_text, long_prompt
from table import Result, Spread, markdown

FIGURES = {
    "output_tokens_per_s": 100,
    "first_token_p50_ms": 10,
    "first_token_p95_ms": 20,
    "inter_token_p50_ms": 5,
    "inter_token_p99_ms": 9,
    "prompt_tokens": 340,
    "answer_tokens": 128,
}
AMID = {
    "meanwhile_p50_ms": 30,
    "meanwhile_p99_ms": 1000,
    "late_total_ms": 10_000,
    "late_first_token_ms": 9000,
    "prompt_tokens": 6300,
    "answer_tokens": 64,
}


def result(ours: list[float], peer: list[float], **figures: float) -> Result:
    def samples(rates: list[float], **changed: float) -> list[Sample]:
        return [Sample(FIGURES | {"output_tokens_per_s": rate} | changed) for rate in rates]

    return Result(cold_text(8, 128), samples(ours, **figures), samples(peer))


def test_the_ratio_is_the_median_of_the_repetitions_own_ratios():
    # The medians' ratio would be 90 / 100.
    measured = result(ours=[90, 50, 95], peer=[100, 50, 190])
    assert measured.ratio("output_tokens_per_s") == Spread(0.9, 0.5, 1.0)


@pytest.mark.parametrize(("ours", "met"), [(130, True), (129.9, False)])
def test_the_goal_stands_in_the_table(ours, met):
    measured = result(ours=[ours], peer=[100])
    assert measured.goals_met is met
    assert f">= 1.3 {'met' if met else 'missed'}" in markdown([measured])


def test_a_row_has_goals_of_several_measures_and_in_either_direction():
    ours = Sample(AMID | {"meanwhile_p99_ms": 100, "late_total_ms": 15_001})
    measured = Result(long_prompt(), [ours], [Sample(AMID)])
    assert [measured.met(goal) for goal in measured.workload.goals] == [True, False]
    assert not measured.goals_met
    lines = {line.split("|")[2].strip(): line for line in markdown([measured]).splitlines()}
    assert "<= 0.1 met" in lines["chats between tokens p99, ms"]
    assert "<= 1.5 missed" in lines["long request, ms"]
    assert "met" not in lines["chats between tokens p50, ms"]


def test_no_ratio_to_nothing():
    measured = result(ours=[90], peer=[0])
    assert measured.ratio("output_tokens_per_s") is None
    assert "not judged" in markdown([measured])
    assert not measured.goals_met


def test_every_line_of_the_table_is_equally_wide():
    lines = markdown([result(ours=[90], peer=[100]), result(ours=[9000], peer=[1])]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len({line.count("|") for line in lines}) == 1


def test_unlike_work_and_a_busy_machine_are_remarked():
    assert result(ours=[90], peer=[100]).remarks == []
    assert "differ by the factor 0.50" in result(ours=[90], peer=[100], answer_tokens=64).remarks[0]
    busy = result(ours=[90], peer=[100])
    assert "NOT QUIET" in replace(busy, peer=[replace(busy.peer[0], busy_cores=1.5)]).remarks[0]


def test_servers_that_run_other_weights_or_threads_are_not_compared():
    ours = Facts(weights_sha256="aa", threads=2)
    assert compare(ours, Facts(weights_sha256="aa", threads=2, slots=8)) == set()
    assert len(compare(ours, Facts(weights_sha256="aa"))) == 1
    for unlike in (Facts(weights_sha256="bb"), Facts(threads=4)):
        with pytest.raises(UnlikeServers):
            compare(ours, unlike)


def test_a_server_that_is_too_small_for_a_row_lacks_something():
    row = long_prompt()
    assert lack("it", Facts(), row) is None
    assert lack("it", Facts(slots=5, context_tokens=8192), row) is None
    assert "5 are needed" in lack("it", Facts(slots=4), row)
    assert "8192 are needed" in lack("it", Facts(context_tokens=4096), row)
