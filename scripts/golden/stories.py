"""Little made-up texts: what the tiny tokenizer is trained on, and prompts with a good and a bad answer."""
import random

NAMES = "Ada Ben Cleo Dan Eve Finn Gus Hana Ivo June Kit Lou".split()
PLACES = ["the park", "the old mill", "a quiet lake", "the market", "grandma's house", "a café in Zürich"]
THINGS = "kite ball lamp boat drum cake key map stone bell".split()
GOOD = ["smiled and shared the {thing}", "found a friend near {place}", "laughed, for the {thing} was lovely", "fixed the {thing} with care", "said \"thank you!\""]
BAD = ["lost the {thing}", "shouted at everyone in {place}", "broke the {thing} and ran away", "was cold, tired and cross", "said \"go away!\""]


def fill(rng, text, name):
    return text.format(name=name, thing=rng.choice(THINGS), place=rng.choice(PLACES))


def prompt(rng):
    """A beginning, and whom it is about."""
    name = rng.choice(NAMES)
    starts = ["{name} went to {place}.", "One day {name} took a {thing} to {place}.", "Once there was a child called {name}. {name} liked every {thing} in {place}, and most of all the {thing}.", "{name} had {n} of them."]
    return fill(rng, rng.choice(starts).replace("{n}", str(rng.randrange(2, 100))), name), name


def answer(rng, phrases, name, sentences):
    """What follows: sentences that begin with a space, so that no token spans the border to the prompt."""
    return "".join(" " + fill(rng, f"{rng.choice([name, 'Then ' + name, 'So ' + name])} {rng.choice(phrases)}.", name) for _ in range(sentences))


def corpus(lines=400):
    rng = random.Random(1)
    for _ in range(lines):
        text, name = prompt(rng)
        yield text + answer(rng, GOOD + BAD, name, rng.randrange(1, 4))
