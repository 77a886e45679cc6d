"""Writes testdata/golden/vader.json: sentences of our own with vaderSentiment's compound scores under vader.lexicon.tsv and
vader.emoji.tsv, which are our own too."""
import json
import pathlib
import random

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

OUT = pathlib.Path(__file__).resolve().parents[2] / "testdata" / "golden"
NOUNS = "the cat|a bird|this soup|my bus|the bus stop|Lily|that film|it".split("|")
WORDS = "good bad happy sad kind love hate no great ugly fine lost bomb cruel fun die".split()
DEGREES = "very|so|really|barely|kind of|sort of|just enough|absolutely|slightly|hardly|this|more|least|at least".split("|")
NEGATIONS = "not|never|isn't|wasn't|without|without doubt|never so|never this|no|nor|rarely|hadn't|no one or".split("|")
FIXED = ["", "   ", "!", "good", "GOOD", "Good but bad but good", "good good but good bad bad", "but good", "good but",
         "the bomb", "it is just the bomb today", "a happy old bad ass cat", "to die for", "it was to die for", "yeah right",
         "no good", "no", "no no no good", "no bad or ugly soup", "the least good soup", "at the least good", "least good",
         "at least good", "very least good", "what? good? fun?", "good????", "good!!!!!!", "good?!", "so good?? not", ":) good",
         "(good)", "'good'", "good...", "don't be sad", "GOOD soup is GOOD", "ALL GOOD HERE", "it is VERY good", "it is BARELY bad",
         "never so very good", "not this so good", "without any doubt good", "a 😊 day", "so😊😊 good", "good\ta\nbad\rday",
         "é bad É GOOD", "kind of kind kind", "a kind man of kind", "hate\u00a0love", "she isn't not happy", "happy, sad; fun: ugly."]


def phrase(rng):
    parts = [rng.choice(NOUNS), "was"]
    if rng.random() < 0.4:
        parts.append(rng.choice(NEGATIONS))
    if rng.random() < 0.5:
        parts.append(rng.choice(DEGREES))
    if rng.random() < 0.2:
        parts.append(rng.choice(["old", "quite", "so", "not"]))
    parts.append(rng.choice(WORDS))
    return " ".join(p.upper() if rng.random() < 0.12 else p for p in parts)


def sentence(rng):
    text = phrase(rng)
    for _ in range(rng.randint(0, 2)):
        text += rng.choice([", but ", " and ", ". ", " or ", " BUT ", "; "]) + phrase(rng)
    return text + rng.choice(["", ".", "!", "!!", "??", "????", " :)", " 😊"])


def main():
    rng = random.Random(11)
    analyzer = SentimentIntensityAnalyzer()
    analyzer.lexicon_full_filepath = (OUT / "vader.lexicon.tsv").read_text()
    analyzer.emoji_full_filepath = (OUT / "vader.emoji.tsv").read_text()
    analyzer.lexicon, analyzer.emojis = analyzer.make_lex_dict(), analyzer.make_emoji_dict()
    texts = FIXED + [sentence(rng) for _ in range(250)]
    rows = [{"text": text, "compound": analyzer.polarity_scores(text)["compound"]} for text in texts]
    (OUT / "vader.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
