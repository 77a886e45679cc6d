"""Writes the results as Markdown: a section a case. Sections of cases that did not run stay as they are."""
import re

from bench import size

HEAD = """# Results of the bench

Written by `make bench`; how each case is measured stands in its file under `bench/cases`. Ratios are medians over rounds in which ours and the
peer's alternate; in brackets the 95 % interval, by Student's t over the logarithms of the rounds' ratios. A ratio tells how many times
faster ours is, or where the bar is a most, ours as a share of what stands beside it. Memory is the most that was resident, pages of
mapped files included.
"""


def number(value):
    return "–" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def amount(value, unit):
    return number(value) + (f" {unit}" if unit and value is not None else "")


def ratio(summary):
    if summary.ratio is None:
        return "–"
    text = f"{summary.ratio:.3g}" if summary.row.less else f"{summary.ratio:.2f}×"
    return text + (f" ({summary.low:.3g}–{summary.high:.3g})" if summary.low is not None else "")


def bar(row):
    return "" if row.bar is None else f"{'≤' if row.less else '≥'} {row.bar:g}"


def cells(summary):
    row = summary.row
    return [row.label, amount(row.ours, row.unit), amount(row.theirs, row.unit), ratio(summary), bar(row), size(row.peak), size(row.their_peak)]


def section(name, title, summaries, measured):
    """One case. measured says when, on what, and with which versions."""
    lines = [f"## {name}", "", f"{title}.", "", "| | ours | beside | ratio | bar | our memory | theirs |", "|---|---|---|---|---|---|---|"]
    lines += ["| " + " | ".join(cells(s)) + " |" for s in summaries]
    lines += [""] + [f"- {note}" for s in summaries for note in s.notes] + [f"- Rounds: {max(s.rounds for s in summaries)}. {measured}".rstrip()]
    return "\n".join(lines) + "\n"


def merge(text, sections):
    """The page with these sections, by name, in place of those it has; sections are in the order of their names."""
    kept = {m[1]: m[0].rstrip() + "\n" for m in re.finditer(r"^## (\S+)\n(?:(?!^## ).*\n?)*", text, re.M)}
    return HEAD + "".join("\n" + of for _, of in sorted((kept | sections).items()))
