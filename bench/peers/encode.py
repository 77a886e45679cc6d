"""Times encode_batch of Python's tokenizers and prints JSON: seconds, and tokens. The texts are each prompt with its chosen, and with its rejected answer.

    python bench/peers/encode.py --tokenizer FILE --pairs FILE --threads 2
"""
import argparse, json, os, time


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(args.threads)  # read when the first batch starts the threads
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(args.tokenizer)
    with open(args.pairs) as file:
        rows = [json.loads(line) for line in file]
    texts = [row["prompt"] + row[name] for row in rows for name in ("chosen", "rejected")]
    tokenizer.encode_batch(texts[:64])  # warm-up
    start = time.perf_counter()
    encoded = tokenizer.encode_batch(texts)
    print(json.dumps({"seconds": time.perf_counter() - start, "tokens": sum(len(e.ids) for e in encoded)}))


if __name__ == "__main__":
    main()
