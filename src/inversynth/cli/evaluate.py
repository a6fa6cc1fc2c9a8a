"""`inversynth evaluate`."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import metrics
from . import add_synth, printable
from .render import progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..evaluation import Evaluation
    from ..synths.synth import Published


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options; their defaults are those of `evaluation.evaluate`."""
    from ..evaluation import evaluate
    from ..predict.model import DEVICES

    defaults = {name: parameter.default for name, parameter in inspect.signature(evaluate).parameters.items()}
    parser.add_argument(
        "--model", metavar="NAME|FILE.onnx", help="a shipped model or an ONNX file (default: the synth's)"
    )
    add_synth(parser, "whose sounds to take", otherwise="that of the model")
    parser.add_argument(
        "--num-examples",
        type=int,
        default=defaults["num_examples"],
        metavar="N",
        help="how many sounds (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=defaults["seed"], help="seed of the test stream (default: %(default)s)"
    )
    parser.add_argument(
        "--device", choices=DEVICES, default=defaults["device"], help="where to run the model (default: %(default)s)"
    )
    parser.add_argument("--refine", type=float, metavar="SECONDS", help="also refine each sound, for at most SECONDS")
    parser.add_argument("--baselines", action="store_true", help="also what simpler searches find for the same sounds")
    parser.add_argument(
        "--budget",
        type=int,
        default=defaults["budget"],
        metavar="RENDERS",
        help="renders of each baseline for each sound (default: %(default)s)",
    )
    parser.add_argument(
        "--conditions",
        action="store_true",
        help="also under degradations: levels, noise, codecs, delays, sample rates, pitches between the notes",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for evaluation.json, two CSV files and a picture"
    )


def run(args: argparse.Namespace) -> int:
    """Evaluates, prints the tables, and says where the files are."""
    from rich.console import Console

    from ..evaluation import evaluate

    found = evaluate(
        args.model,
        args.synth,
        args.num_examples,
        args.seed,
        args.device,
        refine=args.refine,
        baselines=args.baselines,
        budget=args.budget,
        conditions=args.conditions,
        out=args.out,
        progress=progress,
    )
    console = Console()
    if not console.is_terminal:
        console = Console(width=100)
    _show_parameters(found, console)
    _show_sounds(found, console)
    if args.baselines:
        _show_baselines(found.facts["baselines"], console)
    if args.conditions:
        _show_conditions(found.facts["conditions"], console)
    if args.out:
        print(f"wrote {printable(args.out)}: evaluation.json, measures.csv, parameters.csv, evaluation.png")
    return 0


def _table(title: str, columns: tuple[str, ...]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=0)
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i else "left", no_wrap=True)
    return table


def _print(table: Table, console: Console) -> None:
    """A table at the width that it takes, also where the terminal is narrower: a figure that is cut says nothing."""
    from rich.console import Console

    takes = console.measure(table, options=console.options.update(width=1 << 16)).maximum
    Console(width=max(takes, console.width)).print(table)


def _show_parameters(found: Evaluation, console: Console) -> None:
    facts, published = found.facts, found.published
    table = _table(
        f"{facts['model']}: {facts['num_examples']} sounds of the test stream of seed {facts['seed']}",
        ("parameter", "MPR 95 %", "all", *(["published"] if published else []), "top 1..5 %", "MAE", "ECE"),
    )

    def add(row: dict[str, Any], everywhere: dict[str, Any], names: list[str], ece: str) -> None:
        table.add_row(
            row["name"],
            within(row["mpr"], row.get("mpr_95")),
            f"{everywhere['mpr']:.2f}",
            *([_published_mpr(published, names)] if published else []),
            " ".join(f"{100 * top:2.0f}" for top in row["top"]),
            "-" if row["mae"] is None else f"{row['mae']:.2f}",
            ece,
        )

    parameters, groups, calibration = facts["parameters"], facts["groups"], facts["calibration"]
    rows = zip(parameters["masked"], parameters["unmasked"], calibration["parameters"], strict=True)
    for row, other, reliability in rows:
        add(row, other, [row["name"]], f"{reliability['ece']:.3f}")
    table.add_section()
    means = facts["mean_mpr"]
    table.add_row(
        "mean",
        within(means["masked"], means["masked_95"]),
        f"{means['unmasked']:.2f}",
        *([f"{published.mean_mpr:.2f}"] if published else []),
        *("", ""),
        f"{np.mean([row['ece'] for row in calibration['parameters']]):.3f}",
    )
    table.add_row("chance", f"{facts['chance_mpr']:.2f}")
    table.add_section()
    for row, other in zip(groups["masked"], groups["unmasked"], strict=True):
        add(row, other, row["params"], "")
    _print(table, console)
    console.print(
        "MPR, top k, MAE (levels) and ECE count a parameter where it is audible, 'all' everywhere"
        + (f"; published: {published.source}." if published else "."),
        highlight=False,
    )
    if "failed" in facts:
        failed = facts["failed"]
        console.print(
            f"{failed['count']} of {facts['num_examples']} sounds can't be rendered and are left out: {failed['why']}",
            highlight=False,
            markup=False,
        )


def _published_mpr(published: Published, names: list[str]) -> str:
    known = [published.mpr[name] for name in names if name in published.mpr]
    return f"{np.mean(known):.2f}" if known else "-"


def _show_sounds(found: Evaluation, console: Console) -> None:
    facts, theirs = found.facts, found.published.sound if found.published else {}
    refined = facts.get("refined")
    columns = ["measure", "model", "95 %", *(["refined", "95 %"] if refined else []), "chance"]
    table = _table("sounds of the predicted patches", (*columns, *(["published"] if theirs else [])))
    for key, title in metrics.TITLES.items():
        mine, chance = facts["sound"][key], facts["chance_sound"][key]
        for kind in ("mean", "median"):
            table.add_row(
                f"{title}, {kind}",
                *(
                    cell
                    for row in ([mine, refined["sound"][key]] if refined else [mine])
                    for cell in (figure(row[kind]), "..".join(figure(end) for end in row[f"{kind}_95"]))
                ),
                figure(chance[kind]),
                *([figure(theirs[key][kind])] if key in theirs else []),
            )
    for title, key in (("levels exactly right where audible, %", "exact"), ("residual below -40 dB, %", "near")):
        shares = [f"{100 * row[key]:.2f}" for row in ([facts, refined] if refined else [facts])]
        table.add_row(title, *(cell for share in shares for cell in (share, "")))
    _print(table, console)
    if refined:
        console.print(
            f"refined for at most {refined['limit_s']:g} s on one core; in the mean {refined['seconds']:.3f} s and "
            f"{refined['renders']:.0f} renders; {100 * refined['pursuit']:.0f} % were recognised as the synth's own",
            highlight=False,
        )
    if theirs:
        console.print("F_delta grows with loudness; the published figures are of other data.", highlight=False)
    times = facts["inference_ms"]
    by = "native" if times["engine"] == "native" else f"onnxruntime on {facts['device']}"
    console.print(
        f"one window on one thread of {facts['machine']['cpu']}, {by}: "
        f"median {times['p50']:.2f} ms, 99th percentile {times['p99']:.2f} ms",
        highlight=False,
        soft_wrap=True,
    )


def _show_baselines(facts: dict[str, Any], console: Console) -> None:
    keys = {"rho_stft": "rho(STFT)", "lsd_db": "LSD dB", "mel_db": "mel dB", "mfcc_db": "MFCC dB"}
    table = _table(
        f"what simpler searches find with {facts['renders']} renders a sound",
        ("search", *keys.values(), "residual dB", "exact %", "s"),
    )
    for row in facts["rows"]:
        table.add_row(
            row["name"],
            *(figure(row["sound"][key]["mean"]) for key in keys),
            f"{row['sound']['residual_db']['median']:.1f}",
            f"{100 * row['exact']:.1f}",
            f"{row['seconds']:.3f}",
        )
    _print(table, console)
    console.print(
        "Means, but for the residual's median; exact: levels that are right where they are audible. "
        "The mean parameter and the network alone render nothing.",
        highlight=False,
    )


def _show_conditions(rows: list[dict[str, Any]], console: Console) -> None:
    table = _table("under degradations", ("condition", "MPR", "- clean", "rho(STFT)", "- clean", "median"))
    clean = rows[0]
    for row in rows:
        rho, clean_rho = row["rho_stft"], clean["rho_stft"]
        table.add_row(
            row["name"],
            f"{row['mpr']:.2f}",
            f"{row['mpr'] - clean['mpr']:+.2f}",
            f"{rho['mean']:.4f}",
            f"{rho['mean'] - clean_rho['mean']:+.4f}",
            f"{rho['median']:.4f}",
        )
    _print(table, console)
    console.print("rho(STFT) compares the re-rendered patch with the clean target.", highlight=False)


def within(percent: float, ends: list[float] | None) -> str:
    """A figure, and how far the farther end of its interval is."""
    return f"{percent:.2f}" + (f" ±{max(abs(end - percent) for end in ends):.1f}" if ends else "     ")


def figure(value: float) -> str:
    """Four digits, as a table shows them."""
    return f"{value:#.4g}".rstrip(".")
