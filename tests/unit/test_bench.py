"""The benchmark's own arithmetic, tables, options and verdicts; nothing is measured here."""

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench import __main__ as program
from bench.markdown import table
from bench.options import MEMORY, Options
from bench.peer import WrongResults, measure
from bench.peer_process import PeerBroke
from bench.processes import ProcessGone, cpu_s, family, machine_s, pss_mb
from bench.readings import CpuTime, IdleReading, Reading, Readings, as_document
from bench.redis_counts import RedisCounts, counts_of
from bench.report import report
from bench.rows import CELERY, HOW, PEERS, ROWS, STEPLINE, STEPLINE_RAISED
from bench.samples import Summary
from bench.targets import judge
from bench.workloads import WARM_UP, WORKLOADS, Load

BY_NAME = {workload.name: workload for workload in WORKLOADS}


def reading(workload: str, row: str, *milliseconds: float, batches: int | None = None) -> Reading:
    count = len(milliseconds) if batches is None else batches
    return Reading(
        row=row,
        workload=workload,
        seconds=tuple(one / 1000 for one in milliseconds),
        batches=count,
        steps=count * len(BY_NAME[workload].load.expected),
        counts=RedisCounts(Counter(lpush=count, evalsha=3 * count), 5 * count),
        cpu=CpuTime(0.5, 1.0, 0.25, machine_s=1.8, passed_s=1),
    )


def idle(row: str, **pss: float) -> IdleReading:
    return IdleReading(row=row, idle_s=60, pss_mb=pss, counts=RedisCounts(Counter(brpop=120)))


def verdicts_of(*found: Reading, idle: Sequence[IdleReading] = ()) -> list[str]:
    return [str(verdict) for verdict in judge(Readings(all=list(found), idle=list(idle)))]


class InstantPeer:
    """A peer whose batches settle when they are gathered; notes how many are under way."""

    def __init__(self, values: list[object] | None = None) -> None:
        self.values = values
        self.under_way = 0
        self.most_under_way = 0

    def start(self) -> None: ...

    def submit(self, load: Load) -> Load:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        return load

    def gather(self, handle: Load) -> Sequence[object]:
        self.under_way -= 1
        return handle.expected if self.values is None else self.values

    def workers(self) -> dict[str, int]:
        return {}

    def stop(self) -> None: ...


# statistics -----------------------------------------------------------------------------------------------------------


def test_a_summary_has_median_nearest_rank_and_range() -> None:
    assert Summary.of(range(100, 0, -1)) == Summary(median=50.5, p95=95, least=1, most=100, count=100)
    assert Summary.of([3.0]) == Summary(median=3, p95=3, least=3, most=3, count=1)
    assert Summary.of(range(1, 22)).p95 == 20
    assert Summary.of([1, 2, 9]).p95 == 9


def test_nothing_cannot_be_summarised() -> None:
    with pytest.raises(ValueError, match="no samples"):
        Summary.of([])


def test_milliseconds_of_all_rounds_are_summarised_together() -> None:
    readings = Readings(all=[reading("view", STEPLINE, 120, 122), reading("view", STEPLINE, 118)])
    one = readings.summaries(BY_NAME["view"])[STEPLINE]
    assert (round(one.median, 6), one.count) == (120, 3)


def test_throughput_is_steps_a_second_of_each_round() -> None:
    rounds = [reading("throughput", CELERY, 2000, batches=10), reading("throughput", CELERY, 1000, batches=10)]
    one = Readings(all=rounds).summaries(BY_NAME["throughput"])[CELERY]
    assert (one.median, one.least, one.most) == (750, 500, 1000)


# what Redis and /proc say ---------------------------------------------------------------------------------------------


def test_counts_are_differences_without_the_counting_itself() -> None:
    before = counts_of({"cmdstat_lpush": {"calls": 5}, "cmdstat_info": {"calls": 1}, "total_reads_processed": 10})
    after = counts_of(
        {
            "cmdstat_lpush": {"calls": 7},
            "cmdstat_client|setname": {"calls": 1},
            "cmdstat_client|setinfo": {"calls": 2},
            "cmdstat_info": {"calls": 2},
            "total_reads_processed": 21,
            "uptime_in_seconds": 3,
        }
    )
    delta = after.since(before)
    assert delta == RedisCounts(Counter(lpush=2, client=3), 10)
    assert (delta.messages, delta.all_commands) == (2, 5)


def test_a_process_belongs_to_its_own_family_and_has_memory() -> None:
    own = family(os.getpid())
    assert own[0] == os.getpid()
    assert pss_mb(own[:1]) > 1


def test_the_processors_time_is_told_apart_from_that_of_other_programs() -> None:
    before = CpuTime(1, 1, 1, machine_s=10, passed_s=100)
    taken = CpuTime(2, 3, 1.5, machine_s=14, passed_s=102).since(before)
    assert taken == CpuTime(1, 2, 0.5, machine_s=4, passed_s=2)
    assert taken.others == 0.25
    assert taken.us_per(10) == (100_000, 200_000, 50_000)
    assert CpuTime().others == 0
    assert 0 < cpu_s([os.getpid()]) < machine_s()


def test_the_family_of_a_process_that_is_gone_is_refused() -> None:
    with pytest.raises(ProcessGone):
        family(2**22 + 1)  # above the highest pid that Linux gives


# workloads ------------------------------------------------------------------------------------------------------------


def test_the_workloads_are_the_agreed_ones() -> None:
    assert {name: len(workload.load.expected) for name, workload in BY_NAME.items()} == {
        "view": 10,
        "noop1": 1,
        "noop10": 10,
        "noop100": 100,
        "noop1000": 1000,
        "ordered": 10,
        "mixed": 10,
        "throughput": 100,
    }
    assert sum(BY_NAME["view"].load.parallel_ms) == 753
    assert BY_NAME["ordered"].load.ordered_ms == (0,) * 10
    assert [name for name, workload in BY_NAME.items() if workload.is_throughput] == ["throughput"]


def test_a_limit_is_the_longest_of_the_ordered_together_and_each_parallel_one() -> None:
    limits = {name: workload.limit_ms for name, workload in BY_NAME.items() if workload.limit_ms is not None}
    assert limits == {"view": 117, "mixed": 80}


@pytest.mark.parametrize("load", [*WARM_UP, *(workload.load for workload in WORKLOADS)])
def test_a_load_survives_its_way_through_json(load: Load) -> None:
    given = replace(load, max_concurrency=7)
    assert Load.decode(json.loads(json.dumps(given.encode()))) == given


def test_every_row_says_how_it_ran_and_every_peer_is_a_row() -> None:
    assert set(HOW) == set(ROWS)
    assert set(PEERS) < set(ROWS)


# the peers' side ------------------------------------------------------------------------------------------------------


def test_each_batch_is_timed_by_itself() -> None:
    peer = InstantPeer()
    answer = measure(peer, Load(parallel_ms=(0, 0), repeats=7))
    assert (len(answer["seconds"]), answer["batches"], peer.most_under_way) == (7, 7, 1)


def test_a_flood_keeps_so_many_batches_under_way_and_gathers_all() -> None:
    peer = InstantPeer()
    answer = measure(peer, Load(parallel_ms=(0,), repeats=25, open_at_once=10))
    assert (len(answer["seconds"]), answer["batches"]) == (1, 25)
    assert (peer.most_under_way, peer.under_way) == (10, 0)


@pytest.mark.parametrize("values", [[20, None], [60, 20], [20], []])
@pytest.mark.parametrize("open_at_once", [1, 2])
def test_a_wrong_result_ends_the_measuring(values: list[object], open_at_once: int) -> None:
    load = Load(ordered_ms=(20,), parallel_ms=(60,), repeats=2, open_at_once=open_at_once)
    with pytest.raises(WrongResults, match=r"expected \[20, 60\]"):
        measure(InstantPeer(values), load)


# options --------------------------------------------------------------------------------------------------------------


def test_by_default_everything_is_measured_in_full() -> None:
    options = Options.parse([])
    assert options == Options(rounds=3, quick=False, only=(), idle_s=60, json=None, is_judged=True)
    assert options.workloads == WORKLOADS
    assert options.measures_memory


def test_quick_means_one_round_and_a_short_wait_unless_said_otherwise() -> None:
    assert Options.parse(["--quick"]) == Options(rounds=1, quick=True, idle_s=5)
    assert Options.parse(["--quick", "--rounds", "2", "--idle", "0"]) == Options(rounds=2, quick=True, idle_s=0)


def test_only_what_is_named_is_measured(tmp_path: Path) -> None:
    options = Options.parse(["--only", "noop1", "--only", "view", "--no-targets", "--json", str(tmp_path / "f.json")])
    assert [workload.name for workload in options.workloads] == ["view", "noop1"]
    assert not options.measures_memory
    assert (options.is_judged, options.json) == (False, tmp_path / "f.json")
    assert Options.parse(["--only", "memory"]).measures_memory
    assert Options.parse(["--only", "memory"]).workloads == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rounds", "0"], "'0' is not a number of rounds"),
        (["--rounds", "two"], "'two' is not a number of rounds"),
        (["--idle", "-1"], "'-1' is not a number of seconds"),
        (["--idle", "inf"], "'inf' is not a number of seconds"),
        (["--idle", "long"], "'long' is not a number of seconds"),
        (["--only", "views"], "invalid choice: 'views'"),
        (["--json", "/no/such/folder/f.json"], "is not a file that can be written"),
    ],
)
def test_a_wrong_option_is_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        Options.parse(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


# targets --------------------------------------------------------------------------------------------------------------


def test_the_view_may_take_six_percent_more_than_its_longest_sleep() -> None:
    assert verdicts_of(reading("view", STEPLINE, 124.0))[0].startswith("PASS  ten-sleep view: median 124.0 ms")
    assert verdicts_of(reading("view", STEPLINE, 124.1))[0].startswith("FAIL  ten-sleep view: median 124.1 ms")


def test_a_hundred_steps_may_take_a_fifth_of_plain_celerys_time() -> None:
    celery = reading("noop100", CELERY, 100)
    assert verdicts_of(celery, reading("noop100", STEPLINE, 19.99))[0].startswith("PASS  100 no-op steps")
    assert verdicts_of(celery, reading("noop100", STEPLINE, 20.01))[0].startswith("FAIL  100 no-op steps")


def test_one_step_may_be_no_slower_than_plain_celery() -> None:
    celery = reading("noop1", CELERY, 3)
    assert verdicts_of(celery, reading("noop1", STEPLINE, 3))[0].startswith("PASS  1 no-op step:")
    assert verdicts_of(celery, reading("noop1", STEPLINE, 3.01))[0].startswith("FAIL  1 no-op step:")


def test_each_idle_worker_of_ours_must_be_below_a_hundred_megabytes() -> None:
    said = verdicts_of(idle=[idle(CELERY, celery=300), idle(STEPLINE, critical=99.9, parallel=100)])
    assert [one[:16] for one in said] == ["PASS  worker cri", "FAIL  worker par"]


def test_what_was_not_measured_is_not_judged() -> None:
    raised = reading("noop100", STEPLINE_RAISED, 1)
    assert verdicts_of(raised, reading("noop100", CELERY, 100), reading("view", CELERY, 500)) == []


# the report -----------------------------------------------------------------------------------------------------------


def test_a_table_aligns_figures_to_the_right() -> None:
    assert table(["what", "who", "ms", "of"], [["1 step", "a", "1.5", ""], ["b", "long", "10.25", "2"]]) == (
        "| what   | who  |    ms |  of |\n"
        "| ------ | ---- | ----: | --: |\n"
        "| 1 step | a    |   1.5 |     |\n"
        "| b      | long | 10.25 |   2 |"
    )


def test_a_table_with_a_cell_missing_is_refused() -> None:
    with pytest.raises(ValueError, match="must have 2 cells"):
        table(["a", "b"], [["1"]])


READINGS = Readings(
    all=[
        reading("view", STEPLINE, 120, 121, 122),
        reading("view", CELERY, 124, 125, 130),
        reading("throughput", CELERY, 2000, batches=10),
        reading("throughput", STEPLINE, 1000, batches=50),
    ],
    idle=[idle(STEPLINE, critical=60.25, parallel=45)],
    versions={"Redis": "7.0.15"},
    orders=[[STEPLINE, CELERY]],
)


def test_the_report_shows_medians_ratios_costs_and_verdicts() -> None:
    text = report(READINGS, judge(READINGS), Options())
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert ["ten-sleep view (limit 117)", CELERY, "125.00", "130.00", "124.00..130.00", "3", "1.068", "1.000"] in rows
    assert ["ten-sleep view (limit 117)", STEPLINE, "121.00", "122.00", "120.00..122.00", "3", "1.034", "0.968"] in rows
    flood = "batches of 100 no-op steps, 10 under way"
    assert [flood, STEPLINE, "5000", "5000..5000", "10.000", "100, 200, 50"] in rows
    assert ["ten-sleep view", STEPLINE, "1.00", "0.40", "0.50", "evalsha 3.0, lpush 1.0"] in rows
    assert [STEPLINE, "critical", "60.2", "60", "2.0", "brpop 2.0"] in rows
    assert "PASS  ten-sleep view" in text
    assert "Redis 7.0.15" in text
    assert "Other programs kept 0.05 of them busy meanwhile." in text
    assert STEPLINE_RAISED not in text


def test_the_report_says_when_its_figures_mean_little() -> None:
    disturbed = replace(reading("noop10", CELERY, 10), cpu=CpuTime(1, 2, 1, machine_s=6, passed_s=4))
    text = report(Readings(all=[disturbed]), [], Options(quick=True))
    assert "quick, so the figures mean little" in text
    assert "**Other programs kept 0.50 of them busy meanwhile: run it again on a quiet machine.**" in text
    assert "no figures of a target were measured" in text


def test_the_document_holds_every_sample() -> None:
    document = json.loads(json.dumps(as_document(READINGS)))
    assert document["readings"][0]["seconds"] == [0.12, 0.121, 0.122]
    assert document["readings"][0]["redis"] == {"commands": {"lpush": 3, "evalsha": 9}, "requests": 15}
    assert document["idle"][0]["pss_mb"] == {"critical": 60.25, "parallel": 45}


@pytest.mark.parametrize(
    ("milliseconds", "arguments", "code"), [(120, [], 0), (500, [], 1), (500, ["--no-targets"], 0)]
)
def test_a_missed_target_is_exit_code_1_unless_only_measured(
    milliseconds: float, arguments: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = Readings(all=[reading("view", STEPLINE, milliseconds)])
    monkeypatch.setattr(program, "run_rounds", lambda options: measured)
    assert program.main([*arguments, "--json", str(tmp_path / "f.json")]) == code
    assert json.loads((tmp_path / "f.json").read_text())["targets"][0]["is_met"] is (milliseconds == 120)


def test_a_peer_that_broke_is_exit_code_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(options: Options) -> Readings:
        raise PeerBroke("the peer ended")

    monkeypatch.setattr(program, "run_rounds", broken)
    assert program.main([]) == 3
    assert capsys.readouterr() == ("", "bench: the peer ended\n")


def test_the_page_on_performance_names_every_workload_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()
    with pytest.raises(SystemExit):
        Options.parse(["--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert len(options) == 8
    assert [one for one in [*options, *BY_NAME, MEMORY] if f"`{one}" not in page] == []
