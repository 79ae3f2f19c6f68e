"""The report of a comparison, as Markdown: times and ratios, costs, and which ratios are over the limit."""

import os
import platform
from collections.abc import Sequence
from typing import Final

from bench.code_tree import CodeTree
from bench.commits import short
from bench.markdown import table
from bench.options import Options
from bench.paired_rounds import TURNS
from bench.pairs import ROUNDS_FOR_SPREAD, Cost, Judgement, Pair, Pairs, Ratio, batch_s
from bench.readings import CpuTime, Reading
from bench.samples import Summary

MS_PER_S: Final = 1000.0

HOW_COMPARED: Final = (
    "Median milliseconds from submit to the last result; of batches that are under way together, their whole time by "
    "their number. The ratio is the median of the ratios of all turns, above 1 is slower; the spread is that of the "
    "rounds' own medians, and holds the true one nine times of ten with five rounds or more."
)


def pair_report(pairs: Pairs, found: Sequence[Ratio], options: Options, *, before: CodeTree, after: CodeTree) -> str:
    """Return the whole report.

    Args:
        pairs: What was measured.
        found: The ratios of it.
        options: What was asked for.
        before: The other commit's code.
        after: The code of the working tree.
    """
    return "\n\n".join(
        [
            _head(pairs, options, before, after),
            f"## Times\n\n{HOW_COMPARED}\n\n{_times(pairs, found)}",
            f"## Costs of a step: before, after\n\n{_costs(pairs, found)}",
            f"## Ratios over {options.limit:g}\n\n```\n{_verdict(found, options)}\n```\n",
        ]
    )


def _head(pairs: Pairs, options: Options, before: CodeTree, after: CodeTree) -> str:
    told = {side: ", ".join(f"{name} {it}" for name, it in found.items()) for side, found in pairs.versions.items()}
    versions = " before and ".join(dict.fromkeys(told[side] for side in sorted(told, reverse=True)))
    changed = "; it has changes that are in no commit, and they were measured too" if after.is_changed else ""
    environment = "the same environment" if before.python == after.python else "an environment of its own"
    how = "; quick, so the figures mean little" if options.quick else ""
    readings = [reading for pair in pairs.all for reading in (pair.before, pair.after)]
    others = sum((reading.cpu for reading in readings), CpuTime()).others
    return (
        f"# The working tree beside {short(before.commit)}\n\n"
        f"- before: commit {before.commit}, in {environment}.\n"
        f"- after: {after.root}, based on {after.commit}{changed}.\n\n"
        f"Rounds: {options.rounds}, of {TURNS} turns{how}. In each both have a site and a Redis server of their "
        f"own, and take turns. Python {platform.python_version()}, {versions}. {os.cpu_count()} CPUs. Other programs, "
        f"the site that waits for its turn among them, kept {others:.2f} of them busy meanwhile."
    )


def _times(pairs: Pairs, found: Sequence[Ratio]) -> str:
    rows = []
    for ratio in found:
        turns = pairs.of(ratio.workload)
        medians = [_median_ms(side) for side in _sides(turns)]
        spread = f"{ratio.least:.3f}..{ratio.most:.3f}"
        rows.append([ratio.workload.title, *(f"{ms:.2f}" for ms in medians), f"{ratio.median:.3f}", spread])
    return table(["workload", "before ms", "after ms", "ratio", "spread"], rows)


def _median_ms(readings: Sequence[Reading]) -> float:
    return Summary.of(batch_s(reading) * MS_PER_S for reading in readings).median


def _costs(pairs: Pairs, found: Sequence[Ratio]) -> str:
    rows = []
    for ratio in found:
        before, after = (Cost.of(side).figures() for side in _sides(pairs.of(ratio.workload)))
        shown = [f"{one:.2f}, {other:.2f}" for one, other in zip(before[:3], after[:3], strict=True)]
        rows.append([ratio.workload.title, *shown, f"{before[3]:.0f}, {after[3]:.0f}"])
    return table(["workload", "messages", "Redis commands", "Redis requests", "CPU us"], rows)


def _sides(turns: Sequence[Pair]) -> tuple[list[Reading], list[Reading]]:
    return [pair.before for pair in turns], [pair.after for pair in turns]


def _verdict(found: Sequence[Ratio], options: Options) -> str:
    judged = [(ratio, ratio.judge(options.limit)) for ratio in found]
    lines = [
        f"{judgement.value:7}  {ratio.workload.title}: {ratio.median:.3f}, spread {ratio.least:.3f}..{ratio.most:.3f}"
        for ratio, judgement in judged
        if judgement is not Judgement.WITHIN
    ] or ["none"]
    if any(judgement is Judgement.UNCLEAR for _, judgement in judged):
        lines.append("UNCLEAR: over the limit, but so may noise be; more rounds would tell")
    if options.rounds < ROUNDS_FOR_SPREAD:
        lines.append(f"rounds: {options.rounds}; with fewer than {ROUNDS_FOR_SPREAD} none is called over the limit")
    return "\n".join(lines)
