"""The working tree beside another commit of the project, from its name to the report."""

import sys
from collections.abc import Sequence
from typing import Any

from bench.code_tree import CodeTree
from bench.options import Options
from bench.other_code import other_commit, working_tree
from bench.pair_report import pair_report
from bench.paired_rounds import run_paired_rounds
from bench.pairs import Judgement, Pairs, Ratio, pairs_document, ratios


def compare(name: str, options: Options) -> tuple[str, dict[str, Any], bool]:
    """Measure both; return the report, the document, and whether no ratio is over the limit beyond noise.

    Args:
        name: Of the other commit, as git takes it.
        options: What was asked for.

    Raises:
        CannotCompare: There is no such commit, or it cannot be compared.
    """
    with other_commit(name) as before:
        after = working_tree()
        if after.is_changed:
            said = f"{after.root} has changes that are in no commit: they are measured as part of the working tree"
            print(said, file=sys.stderr, flush=True)
        pairs = run_paired_rounds(options, before=before, after=after)
    found = ratios(pairs)
    is_met = all(ratio.judge(options.limit) is not Judgement.OVER for ratio in found)
    text = pair_report(pairs, found, options, before=before, after=after)
    return text, _document(pairs, found, options, before, after), is_met


def _document(
    pairs: Pairs, found: Sequence[Ratio], options: Options, before: CodeTree, after: CodeTree
) -> dict[str, Any]:
    judged = [
        {
            "workload": ratio.workload.name,
            "ratio": ratio.median,
            "spread": [ratio.least, ratio.most],
            "rounds": ratio.rounds,
            "judgement": ratio.judge(options.limit).value.lower(),
        }
        for ratio in found
    ]
    return {
        "before": {"commit": before.commit},
        "after": {"commit": after.commit, "is_changed": after.is_changed},
        "limit": options.limit,
        "ratios": judged,
        **pairs_document(pairs),
    }
