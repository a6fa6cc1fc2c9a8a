"""The tables and the picture of an evaluation."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import metrics

if TYPE_CHECKING:
    from . import Evaluation

MODEL_COLOUR, OTHER_COLOUR, REFINED_COLOUR = "#2a6fb0", "#d1602b", "#3a923a"


def without_nan(data: Any) -> Any:
    """The same plain data with None for each NaN, the mean of nothing: JSON has no NaN."""
    if isinstance(data, dict):
        return {key: without_nan(each) for key, each in data.items()}
    if isinstance(data, list | tuple):
        return [without_nan(each) for each in data]
    return None if isinstance(data, float) and math.isnan(data) else data


def _write_csv(path: Path, header: list[str], rows: Iterable[list[Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def write_measures(found: Evaluation, path: Path) -> None:
    """One row a sound: `item`, its number in the test stream, and every measure; those of the refined, `refined_`."""
    named = found.sounds | {f"refined_{key}": column for key, column in (found.refined or {}).items()}
    columns = np.stack(list(named.values()), axis=1)
    rows = zip(found.items.tolist(), columns.tolist(), strict=True)
    _write_csv(path, ["item", *named], ([item, *row] for item, row in rows))


def write_parameters(found: Evaluation, path: Path) -> None:
    """One row a parameter; `count` to `mae` and `ece` where it is audible, `_all` everywhere."""
    published = [] if found.published is None else [found.published.mpr]
    header = ["name", "count", "mpr", "mpr_low", "mpr_high", "mpr_all", *(["mpr_published"] if published else [])]
    header += [f"top_{k}" for k in range(1, 6)] + ["mae", "mae_all", "ece"]
    kinds = found.facts["parameters"]
    rows = []
    for row, other, reliability in zip(
        kinds["masked"], kinds["unmasked"], found.facts["calibration"]["parameters"], strict=True
    ):
        at = [row["name"], row["count"], row["mpr"], *row["mpr_95"], other["mpr"]]
        at += [mpr.get(row["name"]) for mpr in published]
        rows.append([*at, *row["top"], row["mae"], other["mae"], reliability["ece"]])
    _write_csv(path, header, rows)


def draw(found: Evaluation, path: Path) -> None:
    """The measures of sounds beside chance, each parameter's MPR beside published ones, and how sure means right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    facts = found.facts
    rows = facts["parameters"]["masked"]
    bars = max(3.0, 0.1 * len(rows))  # the height of the lowest row of plots beside the others'
    figure = Figure(figsize=(14, 6 + 2 * bars), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(
        f"{facts['model']} on {facts['num_examples']} sounds of {facts['synth']}", fontsize=14, parse_math=False
    )
    grid = figure.add_gridspec(4, 4, height_ratios=(1, 1, 1, bars))
    kinds = {"chance": (found.chance, OTHER_COLOUR), "model": (found.sounds, MODEL_COLOUR)}
    if found.refined is not None:
        kinds["refined"] = (found.refined, REFINED_COLOUR)
    for i, (key, title) in enumerate(metrics.TITLES.items()):
        axes = figure.add_subplot(grid[i // 4, i % 4])
        both = np.concatenate([columns[key] for columns, _ in kinds.values()])
        edges = np.linspace(both.min(), np.percentile(both, 97), 41).tolist()
        for label, (columns, colour) in kinds.items():
            shown = np.clip(columns[key], edges[0], edges[-1])
            axes.hist(shown, edges, density=True, color=colour, alpha=0.6, label=label)
        axes.set(title=title, yticks=[])
        axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(0.8, 0.52), frameon=False)

    axes = figure.add_subplot(grid[3, :2])
    place = np.arange(len(rows))[::-1]
    mpr = np.array([row["mpr"] for row in rows])
    errors = np.abs(np.array([row["mpr_95"] for row in rows]).T - mpr)
    axes.barh(place, mpr, color=MODEL_COLOUR, alpha=0.7, xerr=errors, error_kw={"linewidth": 0.8}, label="model")
    if found.published:
        others = [(found.published.mpr.get(row["name"]), at) for at, row in zip(place, rows, strict=True)]
        shown = np.array([other for other in others if other[0] is not None], np.float64).reshape(-1, 2)
        axes.plot(*shown.T, "D", color=OTHER_COLOUR, label="published")
    axes.axvline(facts["chance_mpr"], color="0.4", linestyle=":", label="chance")
    axes.set(yticks=place, yticklabels=[row["name"] for row in rows], xlim=(45, 100.5), xlabel="MPR where audible (%)")
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)

    axes = figure.add_subplot(grid[3, 2:])
    axes.plot([0, 1], [0, 1], color="0.4", linestyle=":")
    for row in (*facts["calibration"]["parameters"], facts["calibration"]["pooled"]):
        all_of_them = "name" not in row
        filled = np.array(row["count"]) >= (1 if all_of_them else 20)  # a handful says nothing
        axes.plot(
            np.array(row["confidence"])[filled],
            np.array(row["accuracy"])[filled],
            "o-" if all_of_them else "-",
            color=MODEL_COLOUR if all_of_them else "0.6",
            linewidth=2.5 if all_of_them else 0.7,
            zorder=3 if all_of_them else 2,
        )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of the likeliest level", ylabel="how often it was right")
    axes.set_aspect("equal")
    axes.set_title(
        f"reliability: all parameters (error {facts['calibration']['pooled']['ece']:.3f}), and each (grey)", fontsize=11
    )
    figure.savefig(path)
