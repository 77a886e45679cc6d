"""What a case runs with: our program, the peers' programs, Go's benchmarks, and the models and rows that they share."""
import json, pathlib, re, statistics, subprocess

import make_model, make_rows, process
from process import Failed

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
PROGRAM = ROOT / "bin" / "dpo-ort"
SHARED = ROOT.parent / "shared" / "data"


class Skip(Exception):
    """Why a case, or a part of it, cannot run here."""


class Bench:
    """One run of the bench. python is the peers' interpreter, None where there is none; with quick everything is as short as shows that it works."""

    def __init__(self, work, python=None, quick=False, without=(), kills=0, seed=0):
        self.work, self.python, self.quick = pathlib.Path(work), python, quick
        self.without, self.kills, self.seed = without, kills, seed
        self.round = 0
        self.said = {}  # what ran once this round, by what it was
        self.help = None

    def begin(self, number):
        self.round, self.said = number, {}

    def once(self, key, run):
        """Runs something once a round, though several cases ask for it."""
        if key not in self.said:
            self.said[key] = run()
        return self.said[key]

    def some(self, things):
        """All of them; with quick the first."""
        return list(things)[: 1 if self.quick else None]

    def wants(self, label):
        """Whether a row is to be measured."""
        return not any(part in label for part in self.without)

    def say(self, text):
        print(f"  {text}", flush=True)

    # What is measured with.

    def made(self, name, make):
        """A path in the work folder; what lies there is made on first use."""
        path = self.work / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(path.name + ".part")
            make(part)
            part.rename(path)
        return path

    def model(self, shape, tokenizer=None):
        packed = tokenizer and self.shared(f"tok/{tokenizer}.tokenizer.json.gz")
        return self.made(f"models/{shape}", lambda path: make_model.write_model(shape, path, packed))

    def exact(self, shape, count, prompt, completion):
        """Pairs of exact lengths for a model of make_model."""
        vocabulary = make_model.SHAPES[shape]["vocab_size"]
        return self.made(f"rows/{shape}-{count}x{prompt}+{completion}.jsonl",
                         lambda path: make_rows.exact(path, count, prompt, completion, vocabulary))

    def shared(self, name):
        path = SHARED / name
        if not path.exists():
            raise Skip(f"needs shared/data/{name}: not present")
        return path

    # What is measured.

    def program(self, *words, **how):
        return process.run([PROGRAM, *words], **how)

    def has_flag(self, flag):
        """Whether train has a flag."""
        if self.help is None:
            self.help = self.program("train", "--help").stdout
        return re.search(rf"^\s+--{flag}\s", self.help, re.M) is not None

    def train(self, model, rows, *flags):
        """A training run: (its Run, the lines of metrics.jsonl that are steps)."""
        out = self.work / "trained"
        subprocess.run(["rm", "-rf", out], check=True)
        run = self.program("train", "--model", model, "--data", rows, "--out", out, "--save-every", 0, "--cache", "none", "--log-format", "json", *flags)
        with open(out / "run" / "metrics.jsonl") as file:
            lines = [json.loads(line) for line in file]
        subprocess.run(["rm", "-rf", out], check=True)
        return run, [m for m in lines if "step_seconds" in m]

    def peer(self, script, *words):
        """A peer's program, in an interpreter of its own: (its Run, what its last line says). Nothing is fetched from a network."""
        if not self.python:
            return None
        run = process.run([self.python, HERE / "peers" / script, *words],
                          environment={"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true", "PYTHONWARNINGS": "ignore"})
        return run, json.loads(run.stdout.splitlines()[-1])

    def go(self, package, benchmark, *flags, times="1x"):
        """The metrics of Go benchmarks: [(name, {unit: value})]."""
        command = ["go", "test", "-run", "^$", "-bench", f"^{benchmark}$", "-benchtime", times, "-timeout", "2h", f"./{package}", *flags]
        run = subprocess.run([str(word) for word in command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if run.returncode:
            raise Failed(f"{' '.join(command[:6])} ended with {run.returncode}:\n{run.stdout[-2000:].rstrip()}")
        found = []
        for line in run.stdout.splitlines():
            if line.startswith("Benchmark") and len(words := line.split()) > 3:
                found.append((words[0], {unit: float(n) for n, unit in zip(words[2::2], words[3::2])}))
        if not found:
            raise Failed(f"no result of {benchmark}: {run.stdout[-2000:].rstrip()}")
        return found


def middle(seconds, warm_up):
    """The median of steps after warm-up."""
    return statistics.median(seconds[warm_up:])


def size(count):
    return "–" if count is None else f"{count / 1e9:.2f} GB"
