"""The figures of docs/evaluation.md, from an evaluation.

    inversynth evaluate --num-examples 1024 --baselines --conditions --refine 2 --out EVALUATION
    python benchmarks/evaluation.py EVALUATION/evaluation.json

Keeps them, to four digits, in benchmarks/evaluation.json, and writes them into the page.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from pages import as_markdown, commit, dated, rewritten, rounded

from inversynth import metrics
from inversynth.cli.evaluate import figure
from inversynth.errors import InversynthError
from inversynth.synths.paper import published as paper
from inversynth.system.files import read_json, write_json, writing

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "benchmarks" / "evaluation.json"
PAGE = ROOT / "docs" / "evaluation.md"


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join(as_markdown([(tuple(header), [tuple(row) for row in rows])])[1:])


def markdown(found: dict[str, Any]) -> str:
    """The tables of the page."""
    at = found["machine"]
    means, calibration = found["mean_mpr"], found["calibration"]
    worst = max(row["ece"] for row in calibration["parameters"])
    refined = found.get("refined")
    low, high = means["masked_95"]
    parts = [
        f"`{found['model']}` on {found['num_examples']:,} sounds of the test stream of seed {found['seed']}, on "
        f"{at['cores']} cores of {at['cpu']}. MPR {means['masked']:.2f} ({low:.2f} to {high:.2f}) where audible, "
        f"{means['unmasked']:.2f} over all; expected calibration error {calibration['pooled']['ece']:.3f} over all "
        f"parameters, at most {worst:.3f} for one."
    ]
    columns = {"model": found["sound"], **({"refined": refined["sound"]} if refined else {})}
    theirs = paper.SOUND if found["synth"] == "paper" else {}
    rows = []
    for key, title in metrics.TITLES.items():
        cells = []
        for sound in columns.values():
            low, high = sound[key]["mean_95"]
            cells += [f"{figure(sound[key]['mean'])} ({figure(low)} to {figure(high)})", figure(sound[key]["median"])]
        their = [figure(theirs[key][kind]) if key in theirs else "" for kind in ("mean", "median")]
        rows.append([title, *cells, figure(found["chance_sound"][key]["mean"]), " / ".join(filter(None, their))])
    heads = [head for name in columns for head in (f"{name}: mean (95 %)", "median")]
    parts.append(table(["measure", *heads, "chance: mean", "the paper: mean / median"], rows))
    if refined:
        parts.append(
            f"Refined for at most {refined['limit_s']:g} s on one core, in the mean {refined['seconds']:.2f} s and "
            f"{refined['renders']:,.0f} renders: {100 * refined['exact']:.1f} % of the levels are exactly right where "
            f"they are audible ({100 * found['exact']:.1f} % before), and {100 * refined['near']:.1f} % of the sounds "
            f"have a residual below -40 dB ({100 * found['near']:.1f} %)."
        )
    if "baselines" in found:
        keys = ("rho_stft", "lsd_db", "mel_db", "mfcc_db")
        parts.append(
            f"**Baselines**, {found['baselines']['renders']:,} renders a sound (means, the residual's median):"
        )
        parts.append(
            table(
                ["baseline", *(metrics.TITLES[key] for key in keys), "residual (dB)", "levels exactly right"],
                [
                    [
                        row["name"],
                        *(figure(row["sound"][key]["mean"]) for key in keys),
                        f"{row['sound']['residual_db']['median']:.1f}",
                        f"{100 * row['exact']:.1f} %",
                    ]
                    for row in found["baselines"]["rows"]
                ],
            )
        )
    if "conditions" in found:
        clean = found["conditions"][0]
        parts.append("**Degradations:**")
        parts.append(
            table(
                ["condition", "MPR", "beside clean", "rho(STFT), mean", "beside clean", "median"],
                [
                    [
                        row["name"],
                        f"{row['mpr']:.2f}",
                        f"{row['mpr'] - clean['mpr']:+.2f}",
                        f"{row['rho_stft']['mean']:.4f}",
                        f"{row['rho_stft']['mean'] - clean['rho_stft']['mean']:+.4f}",
                        f"{row['rho_stft']['median']:.4f}",
                    ]
                    for row in found["conditions"]
                ],
            )
        )
    return "\n\n".join(parts)


def main() -> int:
    """Keeps the figures and writes the page; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("evaluation", type=Path, help="evaluation.json of inversynth evaluate")
    args = parser.parse_args()
    try:
        found = rounded(read_json(args.evaluation, "evaluation.json of inversynth evaluate")) | {"commit": commit()}
        write_json(KEPT, found)
        with writing(PAGE) as temporary:
            page, figures = PAGE.read_text(encoding="utf-8"), dated(markdown(found), found)
            temporary.write_text(rewritten(page, "benchmarks/evaluation.json", figures), encoding="utf-8")
    except InversynthError as error:
        print(f"evaluation: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
