"""Writes made-up preferences to testdata/pref: tiny.pairs.jsonl, the same as tiny.pairs.parquet, tiny.ranked.jsonl,
and conversations, tiny.talks.jsonl."""
import json
import pathlib
import random

import pyarrow
import pyarrow.parquet

OUT = pathlib.Path(__file__).resolve().parents[2] / "testdata" / "pref"
NAMES = "Ann Ben Tom Lily Max the dog the cat a bird".split()
GOOD = "happy glad kind warm bright good".split()
BAD = "sad cold dark bad mean lost".split()
VERBS = "saw found liked took gave made".split()


def story(rng, mood, sentences):
    return "".join(f" {rng.choice(NAMES)} {rng.choice(VERBS)} a {rng.choice(mood)} day." for _ in range(sentences))


def main():
    rng = random.Random(7)
    OUT.mkdir(parents=True, exist_ok=True)
    pairs = [{"prompt": f"One {rng.choice(['day', 'night', 'morning'])} {rng.choice(NAMES)}", "chosen": story(rng, GOOD, rng.randint(1, 4)),
              "rejected": story(rng, BAD, rng.randint(1, 4))} for _ in range(64)]
    with open(OUT / "tiny.pairs.jsonl", "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in pairs)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(pairs), OUT / "tiny.pairs.parquet")
    with open(OUT / "tiny.ranked.jsonl", "w") as file:
        for _ in range(16):
            k = rng.randint(2, 4)
            answers = [story(rng, GOOD if rank < k / 2 else BAD, rng.randint(1, 3)) for rank in range(k)]
            file.write(json.dumps({"prompt": f"One day {rng.choice(NAMES)}", "completions": answers, "ranks": list(range(1, k + 1))}) + "\n")
    rng = random.Random(8)
    with open(OUT / "tiny.talks.jsonl", "w") as file:
        for i in range(24):
            turns = [{"role": "system", "content": "Be kind."}] if i % 3 == 0 else []
            for _ in range(1 + i % 4):
                turns += [{"role": "user", "content": f"One day {rng.choice(NAMES)}"}, {"role": "assistant", "content": story(rng, GOOD, rng.randint(1, 3))}]
            file.write(json.dumps({"messages": turns}) + "\n")


if __name__ == "__main__":
    main()
