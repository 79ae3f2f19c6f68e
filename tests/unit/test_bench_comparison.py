"""The arithmetic, the verdicts and the report of a comparison with another commit; nothing is measured here."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import __main__ as program
from bench import comparison
from bench.code_tree import CannotCompare, CodeTree
from bench.options import Options
from bench.paired_rounds import TURNS
from bench.pairs import Judgement, Pair, Pairs, Ratio, batch_s, ratios, spread
from bench.readings import CpuTime, Reading
from bench.redis_counts import RedisCounts
from bench.rows import STEPLINE
from bench.workloads import WORKLOADS

BY_NAME = {workload.name: workload for workload in WORKLOADS}
BEFORE = CodeTree(root=Path("/scratch/code"), commit="1234567890abcdef")
AFTER = CodeTree(root=Path("/home/project"), commit="fedcba0987654321", is_changed=True)


def reading(workload: str, *milliseconds: float, batches: int | None = None) -> Reading:
    count = len(milliseconds) if batches is None else batches
    steps = count * len(BY_NAME[workload].load.expected)
    return Reading(
        row=STEPLINE,
        workload=workload,
        seconds=tuple(one / 1000 for one in milliseconds),
        batches=count,
        steps=steps,
        counts=RedisCounts(Counter(lpush=count, evalsha=3 * steps), 2 * steps),
        cpu=CpuTime(0.001 * steps, 0.002 * steps, 0.003 * steps, machine_s=1, passed_s=1),
    )


def pair(before_ms: float, after_ms: float, *, round: int = 1, workload: str = "noop1") -> Pair:
    return Pair(round=round, before=reading(workload, before_ms), after=reading(workload, after_ms))


def rounds_of(*round_ratios: float) -> list[Pair]:
    return [pair(10, 10 * ratio, round=number) for number, ratio in enumerate(round_ratios, 1)]


# ratios ---------------------------------------------------------------------------------------------------------------


def test_a_ratio_is_that_of_two_turns_side_by_side_whatever_the_machine_did_to_both() -> None:
    drifting = [pair(10, 11), pair(100, 110), pair(1000, 1100)]
    one = Ratio.of(BY_NAME["noop1"], drifting)
    assert (round(one.median, 6), [round(ratio, 6) for ratio in one.rounds]) == (1.1, [1.1])


def test_the_time_of_batches_that_are_under_way_together_is_shared_among_them() -> None:
    assert batch_s(reading("throughput", 2000, batches=40)) == 0.05
    assert batch_s(reading("noop1", 1, 2, 9)) == 0.002


def test_each_workload_that_was_measured_has_a_ratio_of_its_own_turns() -> None:
    pairs = Pairs(all=[pair(10, 20), pair(10, 5, workload="view")])
    assert [(ratio.workload.name, ratio.median) for ratio in ratios(pairs)] == [("view", 0.5), ("noop1", 2)]


@pytest.mark.parametrize(
    ("count", "least", "most"), [(1, 1, 1), (2, 1, 2), (5, 1, 5), (7, 1, 7), (8, 2, 7), (11, 3, 9), (30, 11, 20)]
)
def test_the_spread_holds_the_median_nine_times_of_ten_where_there_are_rounds_enough(
    count: int, least: int, most: int
) -> None:
    assert spread(range(count, 0, -1)) == (least, most)


@pytest.mark.parametrize(
    ("round_ratios", "judgement"),
    [
        ((1.16, 1.2, 1.3, 1.2, 1.2), Judgement.OVER),
        ((1.15, 1.2, 1.3, 1.2, 1.2), Judgement.UNCLEAR),
        ((1.1, 1.15, 1.2, 1.3, 1.0), Judgement.WITHIN),
        ((0.5,), Judgement.WITHIN),
        ((1.3, 1.3, 1.3, 1.3), Judgement.UNCLEAR),
    ],
)
def test_a_ratio_is_over_only_where_its_whole_spread_is_and_of_rounds_enough(
    round_ratios: tuple[float, ...], judgement: Judgement
) -> None:
    assert Ratio.of(BY_NAME["noop1"], rounds_of(*round_ratios)).judge(1.15) is judgement


# options --------------------------------------------------------------------------------------------------------------


def test_a_comparison_has_five_rounds_and_a_limit_unless_said_otherwise() -> None:
    assert Options.parse(["--compare", "HEAD~1"]) == Options(rounds=5, compare="HEAD~1", limit=1.15)
    given = Options.parse(["--compare", "v1", "--limit", "1.5", "--rounds", "2"])
    assert given == Options(rounds=2, compare="v1", limit=1.5)
    assert Options.parse(["--compare", "v1", "--quick"]).rounds == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--compare", "HEAD", "--idle", "3"], "--compare measures no idle workers"),
        (["--compare", "HEAD", "--only", "memory"], "--compare measures no idle workers"),
        (["--limit", "1.2"], "--limit is of the ratios of --compare"),
        (["--compare", "HEAD", "--limit", "0"], "'0' is not a ratio such as 1.15"),
        (["--compare", "HEAD", "--limit", "15%"], "'15%' is not a ratio such as 1.15"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        Options.parse(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


# the whole of it, measured by hand ------------------------------------------------------------------------------------


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[Pair]:
    """The turns that a comparison finds; tests fill them in."""
    turns: list[Pair] = []

    @contextmanager
    def other(name: str) -> Iterator[CodeTree]:
        if name == "nonsense":
            raise CannotCompare("there is no commit 'nonsense'")
        yield BEFORE

    monkeypatch.setattr(comparison, "other_commit", other)
    monkeypatch.setattr(comparison, "working_tree", lambda: AFTER)
    monkeypatch.setattr(comparison, "run_paired_rounds", lambda options, **codes: Pairs(all=turns))
    return turns


def test_the_report_shows_both_codes_times_ratios_and_costs(
    compared: list[Pair], capsys: pytest.CaptureFixture[str]
) -> None:
    compared += rounds_of(1.0, 1.1, 1.05, 1.1, 1.2)
    assert program.main(["--compare", "HEAD"]) == 0
    text, progress = capsys.readouterr()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert ["1 no-op step", "10.00", "11.00", "1.100", "1.000..1.200"] in rows
    assert ["1 no-op step", "1.00, 1.00", "4.00, 4.00", "2.00, 2.00", "6000, 6000"] in rows
    assert "before: commit 1234567890abcdef, in the same environment." in text
    assert "after: /home/project, based on fedcba0987654321; it has changes that are in no commit" in text
    assert f"Rounds: 5, of {TURNS} turns." in text
    assert text.endswith("## Ratios over 1.15\n\n```\nnone\n```\n")
    assert "changes that are in no commit" in progress


def test_an_environment_of_its_own_is_told(
    compared: list[Pair], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "working_tree", lambda: CodeTree(python=Path("/other/python")))
    compared += rounds_of(1.0)
    program.main(["--compare", "HEAD"])
    assert "before: commit 1234567890abcdef, in an environment of its own." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("round_ratios", "arguments", "code", "said"),
    [
        ((1.3, 1.3, 1.3, 1.3, 1.3), [], 1, "OVER     1 no-op step: 1.300, spread 1.300..1.300"),
        ((1.3, 1.3, 1.3, 1.3, 1.3), ["--no-targets"], 0, "OVER "),
        ((1.3, 1.3, 1.3, 1.3, 1.3), ["--limit", "1.4"], 0, "```\nnone\n```"),
        ((1.1, 1.3, 1.3, 1.3, 1.3), [], 0, "more rounds would tell"),
        ((1.0, 1.0), ["--rounds", "2"], 0, "none\nrounds: 2; with fewer than 5 none is called over"),
    ],
)
def test_a_ratio_over_the_limit_beyond_noise_is_exit_code_1(
    compared: list[Pair],
    round_ratios: tuple[float, ...],
    arguments: list[str],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    compared += rounds_of(*round_ratios)
    assert program.main(["--compare", "HEAD", *arguments]) == code
    assert said in capsys.readouterr().out


def test_the_document_holds_every_turn_and_the_judgements(compared: list[Pair], tmp_path: Path) -> None:
    compared += rounds_of(1.5, 1.5)
    file = tmp_path / "f.json"
    program.main(["--compare", "HEAD", "--json", str(file)])
    document = json.loads(file.read_text())
    assert (document["before"], document["after"]) == (
        {"commit": "1234567890abcdef"},
        {"commit": "fedcba0987654321", "is_changed": True},
    )
    assert document["ratios"] == [
        {"workload": "noop1", "ratio": 1.5, "spread": [1.5, 1.5], "rounds": [1.5, 1.5], "judgement": "unclear"}
    ]
    assert [turn["before"]["seconds"] for turn in document["turns"]] == [[0.01], [0.01]]


def test_a_commit_that_cannot_be_compared_is_exit_code_2(
    compared: list[Pair], capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["--compare", "nonsense"]) == 2
    assert capsys.readouterr() == ("", "bench: there is no commit 'nonsense'\n")
