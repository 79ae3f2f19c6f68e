"""What the demo prints of a comparison: table and timeline of both runs, both totals, and the ratio."""

from examples.view_switch.timeline import timeline
from examples.view_switch.views import Comparison, Timed
from producer.cli.tables import print_outcomes, terminal


def show(comparison: Comparison) -> None:
    """Print a comparison on standard output."""
    view = comparison.view
    kind = "synthetic: its steps only sleep" if view.synthetic else "real data"
    terminal().rule(f"[bold]{view.title}[/bold] ({kind})", align="left")
    full_ms = max(comparison.sequential.result.total_ms, comparison.classified.result.total_ms)
    _show_run("sequential", comparison.sequential, full_ms)
    _show_run("as classified", comparison.classified, full_ms)
    _show_totals(comparison)


def _show_run(how: str, timed: Timed, full_ms: float) -> None:
    result = timed.result
    console = terminal()
    console.print(f"\n[bold]{how}[/bold]: {result.total_ms:.1f} ms, mode {result.mode}, run {result.run_id}")
    print_outcomes(result.outcomes)
    console.print(timeline(timed, full_ms=full_ms, columns=console.width))


def _show_totals(comparison: Comparison) -> None:
    before, after = comparison.sequential.result.total_ms, comparison.classified.result.total_ms
    terminal().print(
        f"\n[bold]{comparison.view.title}[/bold]: sequential {before:.1f} ms, as classified {after:.1f} ms: "
        f"[bold]{comparison.ratio:.1f} times as fast[/bold], in {100 * after / before:.0f}% of the time "
        "(one warm-up run before them is not shown)\n"
    )
