"""Rows of preference data to measure with: of exact lengths, real ones, and many that are all different. Each function writes JSON lines."""
import json, random


def write(path, rows):
    with open(path, "w") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")


def read(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def exact(path, count, prompt, completion, vocabulary):
    """Pairs of exact lengths for a tokenizer of words. The last word of an answer is EOS, so that no program adds one."""
    rng = random.Random(0)
    words = lambda n: " ".join(f"w{rng.randrange(2, vocabulary)}" for _ in range(n))
    answer = lambda: " " + words(completion - 1) + " <eos>"
    write(path, ({"prompt": words(prompt), "chosen": answer(), "rejected": answer()} for _ in range(count)))


def usable(rows):
    """Rows that no program drops: answers that differ, and none empty."""
    return [r for r in rows if r["prompt"].strip() and r["chosen"].strip() and r["rejected"].strip() and r["chosen"] != r["rejected"]]


def texts(rows):
    return [{name: r[name] for name in ("prompt", "chosen", "rejected")} for r in rows]


def first(path, source, count):
    """The first usable rows of a file."""
    write(path, texts(usable(read(source)))[:count])


def repeated(path, source, count):
    """Rows of a file over and over, each with a number before its prompt, so that none is like another."""
    rows = texts(usable(read(source)))
    write(path, (rows[i % len(rows)] | {"prompt": f"{i}. " + rows[i % len(rows)]["prompt"]} for i in range(count)))


def distinct(path, source, count):
    """Rows no two of which are equal: prompts and answers of a file in new pairs. Row i takes prompt i mod p, chosen answer i mod a, and
    the rejected one that many further as i has gone around all pairs of those; p and a are made to share no divisor."""
    rows = usable(read(source))
    prompts = list(dict.fromkeys(r["prompt"] for r in rows))
    answers = list(dict.fromkeys(r[name] for r in rows for name in ("chosen", "rejected")))
    while not coprime(len(prompts), len(answers)):
        answers.pop()
    write(path, distinct_rows(prompts, answers, count))


def distinct_rows(prompts, answers, count):
    p, a = len(prompts), len(answers)
    if count > p * a * (a - 1):
        raise ValueError(f"{p} prompts and {a} answers make {p * a * (a - 1)} rows that differ, {count} are asked for")
    for i in range(count):
        yield {"prompt": prompts[i % p], "chosen": answers[i % a], "rejected": answers[(i + 1 + i // (p * a)) % a]}


def coprime(a, b):
    while b:
        a, b = b, a % b
    return a == 1
