"""What ten rows of each file of ../shared/data mean, worked out from the files alone: lengths and digests, no text.

Where that folder is absent nothing is written. A text is its UTF-8; a conversation is each turn's role, a NUL, its content, a NUL. Answers stand best first.
"""

import hashlib
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"

ROLES = {"human": "user", "gpt": "assistant", "system": "system"}


def digest(text):
    if isinstance(text, list):
        text = "".join(f"{role}\0{content}\0" for role, content in text)
    data = text.encode()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def turns(messages):
    return [(m["role"], m["content"]) for m in messages]


def plain(row):
    return row["prompt"], [row["chosen"], row["rejected"]]


def chat(row):
    return turns(row["prompt"]), [[("assistant", row["chosen"])], [("assistant", row["rejected"])]]


def unpaired(row):
    return turns(row["prompt"]), [[("assistant", row["completion"])]]


def ranked(row):
    order = sorted(range(len(row["responses"])), key=lambda i: -row["scores"][i])  # stable
    return row["prompt"], [row["responses"][i] for i in order]


def votes(row):
    a, b = row["votes"].count(1), row["votes"].count(2)
    return row["prompt"], [row["a"], row["b"]] if a >= b else [row["b"], row["a"]]


def sharegpt(row):
    of = lambda turn: (ROLES[turn["from"]], turn["value"])
    return [of(t) for t in row["conversations"]], [[of(row["chosen"])], [of(row["rejected"])]]


def v1(row):
    def conversation(messages):
        return [(m["role"], "".join(part["value"] for part in m["content"])) for m in messages]

    chosen, rejected = conversation(row["chosen_messages"]), conversation(row["rejected_messages"])
    shared = 0
    while chosen[shared] == rejected[shared]:
        shared += 1
    return chosen[:shared], [chosen[shared:], rejected[shared:]]


FILES = {
    "pref/llamafactory-dpo-en-299.pairs.jsonl": chat,
    "pref/llamafactory-dpo-zh-300.pairs.jsonl": chat,
    "pref/llamafactory-kto-en-298.unpaired.jsonl": unpaired,
    "pref/pandalm-human-999.votes.jsonl": votes,
    "pref/qafeedback-human-500x4.ranked.jsonl": ranked,
    "pref/stories-sentiment-test.pairs.jsonl": plain,
    "pref/stories-sentiment-test.ranked.jsonl": ranked,
    "pref/stories-sentiment-train.pairs.jsonl": plain,
    "pref/stories-sentiment-train.ranked.jsonl": ranked,
    "pref/ultrafeedback-train1000.pairs.jsonl": plain,
    "raw-formats/llamafactory_dpo_en_demo.json": sharegpt,
    "raw-formats/llamafactory_v1_dpo_demo.jsonl": v1,
}


def main():
    if not DATA.is_dir():
        return
    files = []
    for name, read in FILES.items():
        text = (DATA / name).read_text(encoding="utf-8")
        rows = json.loads(text) if name.endswith(".json") else [json.loads(line) for line in text.split("\n") if line]
        groups = [read(row) for row in rows]
        broken = sum(any(not isinstance(answer, (str, list)) for answer in answers) for _, answers in groups)
        empty = sum(any(not answer for answer in answers) for _, answers in groups)
        equal = sum(all(answers) and len({json.dumps(a) for a in answers}) < len(answers) for _, answers in groups)
        picked = [len(rows) * i // 10 for i in range(9)] + [len(rows) - 1]
        files.append({
            "file": name,
            "rows": len(rows),
            "broken": broken,
            "empty": empty,
            "equal": equal,
            "worked": [{"row": i, "prompt": digest(groups[i][0]), "answers": [digest(a) for a in groups[i][1]]} for i in picked],
        })
    text = ",\n".join(json.dumps(f, separators=(",", ":")).replace('{"row"', '\n {"row"') for f in files)
    (ROOT / "testdata" / "golden" / "layouts.json").write_text(f"[{text}]\n")


main()
