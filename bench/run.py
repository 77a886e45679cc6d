"""Measures dpo-ort beside its peers on this machine, and holds the ratios against those that were kept.

    python3 bench/run.py [--cases step,score] [--rounds 3] [--quick] [--keep]

Each round runs each case once; ours and the peer's alternate. Results go to stdout and into bench/RESULTS.md, whose sections of other cases
stay. With --keep the ratios go to bench/kept.json too. Exit code 1: a ratio's upper 95 % limit is under 0.95 of the kept one, or a case
failed. --quick is as short as shows that everything works: one round, nothing written or compared.
"""
import argparse, datetime, os, pathlib, shutil, signal, subprocess, sys, tempfile

import cases, compare, machine, results
from bench import HERE, PROGRAM, ROOT, Bench, Failed, Skip


def peers():
    """The interpreter with the peers: $DPO_ORT_BENCH_PYTHON, or that of make bench-peers; None where there is none."""
    if named := os.environ.get("DPO_ORT_BENCH_PYTHON"):
        return named if shutil.which(named) else sys.exit(f"bench: $DPO_ORT_BENCH_PYTHON is {named}, which is no program")
    return subprocess.run([ROOT / "scripts" / "bench-peers", "--present"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip() or None


def split(words):
    return [word for word in words.split(",") if word]


def choose(wanted, known):
    if unknown := [name for name in wanted if name not in known]:
        sys.exit(f"bench: no case {', '.join(unknown)}; there are {', '.join(known)}")
    return wanted or list(known)


def measure(bench, names, known, rounds):
    """Runs the cases and gives the rows of each, by label, over rounds, and a line for each case that failed."""
    found, failed = {}, {}
    for number in range(rounds):
        bench.begin(number)
        for name in names:
            if name in failed:
                continue
            print(f"round {number + 1} of {rounds}: {name}", flush=True)
            try:
                for row in known[name][1](bench):
                    found.setdefault(name, {}).setdefault(row.label, []).append(row)
                    bench.say(" | ".join(results.cells(compare.summarize([row]))))
            except Skip as why:
                bench.say(f"skipped: {why}")
            except Failed as why:
                failed[name] = f"{name}: failed: {why}"
                bench.say(f"failed: {why}")
    return {name: [compare.summarize(rows) for rows in labels.values()] for name, labels in found.items()}, list(failed.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends what runs, too
    known = cases.load()
    parser.add_argument("--cases", default="", help=f"some of {','.join(known)}; all if not given")
    parser.add_argument("--rounds", type=int, help="3; 1 with --quick")
    parser.add_argument("--without", default="", help="leave out rows whose name has one of these: bf16,512")
    parser.add_argument("--quick", action="store_true", help="as short as shows that everything works")
    parser.add_argument("--keep", action="store_true", help="keep the ratios in bench/kept.json")
    parser.add_argument("--kills", type=int, default=0, help="growth: kill the largest job so many times, restart it, and compare its output")
    parser.add_argument("--seed", type=int, default=0, help="of the moments at which it is killed")
    parser.add_argument("--work", help="folder for models and rows, kept for the next run, instead of a temporary one")
    args = parser.parse_args()
    if args.quick and args.keep:
        parser.error("--keep keeps what a whole run measured: leave --quick out")
    if not PROGRAM.exists():
        parser.error("bin/dpo-ort is not there: make build")
    names = choose(split(args.cases), known)
    python = peers()
    if not python:
        print("bench: no peers (make bench-peers installs them): ours alone", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(pathlib.Path(args.work or temporary).resolve(), python, args.quick, split(args.without), args.kills, args.seed)
        found, lines = measure(bench, names, known, args.rounds or (1 if args.quick else 3))
    for name, summaries in found.items():
        print("\n" + results.section(name, known[name][0], summaries, ""), end="", flush=True)
    if not args.quick:
        lines += record(found, known, python, args.keep)
    for line in lines:
        print(f"bench: {line}", file=sys.stderr)
    sys.exit(1 if lines else 0)


def record(found, known, python, keep):
    """Writes the results down, and gives a line for each ratio that is worse than the kept one."""
    measured = f"{datetime.date.today()}, {machine.versions(ROOT, PROGRAM, python)}; {machine.describe()}."
    page = HERE / "RESULTS.md"
    sections = {name: results.section(name, known[name][0], summaries, measured) for name, summaries in found.items()}
    page.write_text(results.merge(page.read_text() if page.exists() else "", sections))
    kept = compare.read_kept(HERE / "kept.json")
    if keep:
        compare.write_kept(HERE / "kept.json", kept, machine.processor(), found)
        return []
    if unkept := sum(s.ratio is not None and s.row.label not in kept["ratios"].get(name, {}) for name, summaries in found.items() for s in summaries):
        print(f"bench: {unkept} ratios have none kept to be held against; --keep keeps them", flush=True)
    other = f" (kept on {kept['machine']})" if kept["machine"] not in ("", machine.processor()) else ""
    return [line + other for line in compare.failures(kept, found)]


if __name__ == "__main__":
    main()
