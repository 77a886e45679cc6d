import json, random, subprocess, time

import make_rows
import process
from cases import case
from compare import Row, share
from process import Failed

SIZES = (1_000, 10_000, 100_000)
MARKS = (0.1, 0.5, 1)


class Watch:
    """Looks at a scoring job's memory as its rows pass the marks, and at the clock with each report."""

    def __init__(self):
        self.memory, self.reports = {}, []

    def __call__(self, line, pid):
        if not line.startswith("{"):
            return
        event = json.loads(line)
        self.reports.append((time.monotonic(), event["Done"]))
        for mark in MARKS:
            if event["Done"] >= mark * event["Total"] and mark not in self.memory:
                self.memory[mark] = process.status(pid)

    def seconds_a_row(self):
        """From the first report to the last: without start-up and the writing of the whole."""
        (start, first), (end, last) = self.reports[0], self.reports[-1]
        return (end - start) / (last - first)


@case("growth", "Cost as work grows: score over 1k, 10k and 100k distinct rows, stories260K")
def growth(bench):
    sizes = (500, 1_000, 5_000) if bench.quick else SIZES
    watches = {count: score(bench, count)[1] for count in sizes}
    for less, more in zip(sizes, sizes[1:]):
        yield share(f"a row's time, {more:,} rows over {less:,}", 1e3 * watches[more].seconds_a_row(), 1e3 * watches[less].seconds_a_row(), "ms", 1.05)
    for count in sizes[1:]:
        at = watches[count].memory
        for name in "RssAnon", "VmRSS":
            if at and all(name in at[mark] for mark in MARKS):
                most = max(at[mark][name] for mark in MARKS[1:])
                yield share(f"{name} from 50 % on over 10 %, {count:,} rows", most / 1e6, at[MARKS[0]][name] / 1e6, "MB", 1.05,
                            note=f"{count:,} rows, {name} at 10, 50, 100 %: " + ", ".join(f"{at[mark][name] / 1e6:.0f}" for mark in MARKS) + " MB")
    if bench.kills and not bench.round:
        yield from killed(bench, sizes[-1])


def command(bench, count, out):
    source = bench.shared("pref/stories-sentiment-train.pairs.jsonl")
    rows = bench.made(f"rows/distinct-{count}.jsonl", lambda path: make_rows.distinct(path, source, count))
    return ["score", "--model", bench.shared("models/stories260K-hf"), "--data", rows, "--out", out, "--log-format", "json"]


def score(bench, count):
    watch, out = Watch(), bench.work / f"scored-{count}.parquet"
    run = bench.program(*command(bench, count, out), "--overwrite", on_line=watch)
    return run, watch


def killed(bench, count):
    """Kills the job at random moments, restarts it, and holds its output against that of the job which was left alone."""
    whole, out = bench.work / f"scored-{count}.parquet", bench.work / "killed.parquet"
    subprocess.run(["rm", "-rf", out, f"{out}.parts"], check=True)
    run, _ = score(bench, count)
    rng = random.Random(bench.seed)
    moments = [rng.uniform(0.1, 0.9) * run.seconds / bench.kills for _ in range(bench.kills)]
    for moment in moments:
        bench.program(*command(bench, count, out), kill_after=moment)
        if out.exists():
            raise Failed(f"the job ended before it could be killed after {moment:.1f} s: is the machine busy with other things?")
    bench.program(*command(bench, count, out))
    told = f"killed after {', '.join(f'{m:.1f}' for m in moments)} s of {run.seconds:.1f} (seed {bench.seed}) and restarted each time"
    if whole.read_bytes() != out.read_bytes():
        raise Failed(f"a job of {count:,} rows {told} wrote other bytes than one that was left alone")
    yield Row(f"kills of a job of {count:,} rows", bench.kills, None, "", None, note=f"{told}: the same bytes")
