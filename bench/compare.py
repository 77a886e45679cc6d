"""Rows of the bench, what rounds make of them, and whether they are as good as those that were kept."""
import dataclasses, json, math, statistics

# Student's t, 0.975, by degrees of freedom.
T = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093]
ALLOWED = 0.95  # of what was kept


@dataclasses.dataclass
class Row:
    """One figure of a round, ours, beside what it is compared with. ratio is the number the bar is about; where less is set the lower is
    the better. peak and their_peak are bytes."""

    label: str
    ours: float
    theirs: float | None
    unit: str
    ratio: float | None
    bar: float | None = None
    less: bool = False
    peak: int | None = None
    their_peak: int | None = None
    note: str = ""


def faster(label, ours, theirs, bar=None, **more):
    """Seconds: how many times as long theirs takes."""
    return Row(label, ours, theirs, "s", theirs and theirs / ours, bar, **more)


def share(label, ours, of, unit, bar=None, **more):
    """What share ours is of something; the smaller the better."""
    return Row(label, ours, of, unit, of and ours / of, bar, less=True, **more)


@dataclasses.dataclass
class Summary:
    """A row over all rounds: medians; low and high are the 95 % interval of the ratio, None where there was one round."""

    row: Row
    rounds: int
    ratio: float | None
    low: float | None = None
    high: float | None = None
    notes: tuple = ()


def interval(ratios):
    """The 95 % interval of the mean of log ratios, by Student's t."""
    if len(ratios) < 2:
        return None, None
    logs = [math.log(r) for r in ratios]
    half = (T[len(logs) - 2] if len(logs) - 2 < len(T) else 1.96) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(statistics.mean(logs) - half), math.exp(statistics.mean(logs) + half)


def summarize(rounds):
    """Sums rows of one label up."""
    median = lambda values: statistics.median(values) if all(v is not None for v in values) else None
    most = lambda values: max((v for v in values if v is not None), default=None)
    first = rounds[0]
    row = dataclasses.replace(first, ours=median([r.ours for r in rounds]), theirs=median([r.theirs for r in rounds]),
                              peak=most(r.peak for r in rounds), their_peak=most(r.their_peak for r in rounds))
    ratios = [r.ratio for r in rounds]
    low, high = interval(ratios) if median(ratios) else (None, None)
    return Summary(row, len(rounds), median(ratios), low, high, tuple(dict.fromkeys(r.note for r in rounds if r.note)))


def falls_short(case, summary, kept):
    """A line that says how far a ratio is under the kept one; None where it is not, or one round alone leaves that open. Of a ratio that
    should be small, what counts is one over it."""
    if kept is None or summary.high is None:
        return None
    best = 1 / summary.low if summary.row.less else summary.high
    least = ALLOWED / kept if summary.row.less else ALLOWED * kept
    if best >= least:
        return None
    return (f"{case}: {summary.row.label}: {summary.ratio:.3g} ({summary.low:.3g} to {summary.high:.3g} over {summary.rounds} rounds), "
            f"kept is {kept:.3g}: worse by more than {1 - ALLOWED:.0%}")


def read_kept(path):
    """The kept ratios, by case and label, and the machine they were measured on."""
    if not path.exists():
        return {"machine": "", "ratios": {}}
    return json.loads(path.read_text())


def write_kept(path, kept, machine, results):
    """Keeps the ratios that were measured; others stay."""
    for case, summaries in results.items():
        kept["ratios"].setdefault(case, {}).update({s.row.label: round(s.ratio, 4) for s in summaries if s.ratio is not None})
    kept["machine"] = machine
    path.write_text(json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def failures(kept, results):
    """A line for each ratio that falls short."""
    lines = [falls_short(case, s, kept["ratios"].get(case, {}).get(s.row.label)) for case, summaries in results.items() for s in summaries]
    return [line for line in lines if line]
