"""The course of a training on the screen: a bar with loss and speed while it runs, and what came of it at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from harness.training.run import Trained
    from harness.training.watch import Step

BLOCKS = "▁▂▃▄▅▆▇█"
CURVE = 32
"""Characters of a loss curve."""
PLAIN_LINES = 10
"""Lines of a whole run where there is no terminal to draw on."""


@contextmanager
def shown_steps(console: Console) -> Iterator[Callable[[Step], None]]:
    """Give something to tell every step to: a live bar on a terminal, about ten lines elsewhere."""
    losses: list[float] = []
    if not console.is_terminal:
        yield lambda step: _print_now_and_then(console, step)
        return
    with Progress(
        TextColumn("training"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f} {task.fields[curve]}"),
        TextColumn("{task.fields[speed]:,.0f} tokens/s"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task("training", total=None, loss=float("nan"), curve="", speed=0.0)

        def show(step: Step) -> None:
            losses.append(step.loss)
            curve, speed = loss_curve(losses), step.tokens_per_second
            bar.update(task, completed=step.done, total=step.total, loss=step.loss, curve=curve, speed=speed)

        yield show


def loss_curve(losses: Sequence[float], width: int = CURVE) -> str:
    """Draw losses as blocks, each the mean of as many steps as fall to it, from the least to the greatest."""
    if not losses:
        return ""
    columns = min(width, len(losses))
    bounds = [len(losses) * column // columns for column in range(columns + 1)]
    means = [sum(losses[a:b]) / (b - a) for a, b in pairwise(bounds)]
    least, most = min(means), max(means)
    scale = (len(BLOCKS) - 1) / (most - least) if most > least else 0.0
    return "".join(BLOCKS[round((mean - least) * scale)] for mean in means)


def told(done: Trained) -> Iterator[str]:
    """What came of a training, in a few lines."""
    said = done.manifest
    share = said["parameters_trained"] / said["parameters"]
    yield f"trained  {done.folder} from {done.base}: {said['method']}, {said['dtype']}"
    yield f"weights  {said['parameters_trained']:,} of {said['parameters']:,} ({share:.2%})"
    yield (
        f"rows     {said['rows']} ({said['rows_dropped']} dropped), {said['tokens']:,} tokens, "
        f"{said['supervised_tokens']:,} supervised"
    )
    if "replay" in said:
        replayed = said["replay"]
        yield (
            f"replay   {replayed['share']:.1%} of the consumed tokens are general; "
            f"{replayed['general_rows_repeated']} general rows came again"
        )
    if "ewc" in said:
        held = said["ewc"]
        yield f"ewc      last penalty {held['last_penalty']:.4g}; Fisher and reference weights {held['mib']:g} MiB"
    yield f"loss     {said['losses'][0]:.3f} {loss_curve(said['losses'])} {said['losses'][-1]:.3f}"
    yield (
        f"effort   {said['steps']} steps in {said['seconds']:,.0f} s, {said['tokens_per_second']:,.0f} tokens/s, "
        f"peak {said['peak_rss_mib']:,} MiB"
    )
    yield f"next     pytest suites/ --model {done.folder} --base-model {done.base}"


def _print_now_and_then(console: Console, step: Step) -> None:
    tenth = max(1, step.total // PLAIN_LINES)
    if step.done == 1 or step.done == step.total or step.done % tenth == 0:
        console.print(
            f"step {step.done} of {step.total}  loss {step.loss:.3f}  {step.tokens_per_second:,.0f} tokens/s",
            soft_wrap=True,
            highlight=False,
        )
