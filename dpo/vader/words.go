package vader

// What a word does to the valence of those after it, in units of the lexicon (−4 to 4), as measured by the authors.
const (
	booster     = 0.293
	capitals    = 0.733 // where not all is in capitals
	negation    = -0.74 // a factor
	exclamation = 0.292 // each, up to four
	question    = 0.18  // each, of two or three
	questions   = 0.96  // of four and more
	alpha       = 15    // of the normalisation
)

var negations = set(`aint arent cannot cant couldnt darent didnt doesnt ain't aren't can't couldn't daren't didn't doesn't
	dont hadnt hasnt havent isnt mightnt mustnt neither don't hadn't hasn't haven't isn't mightn't mustn't
	neednt needn't never none nope nor not nothing nowhere oughtnt shant shouldnt uhuh wasnt werent
	oughtn't shan't shouldn't uh-uh wasn't weren't without wont wouldnt won't wouldn't rarely seldom despite`)

// boosters are the degree adverbs, with what they add.
var boosters = degrees(`absolutely amazingly awfully completely considerable considerably decidedly deeply effing enormous
	enormously entirely especially exceptional exceptionally extreme extremely fabulously flipping flippin frackin fracking
	fricking frickin frigging friggin fully fuckin fucking fuggin fugging greatly hella highly hugely incredible incredibly
	intensely major majorly more most particularly purely quite really remarkably so substantially thoroughly total totally
	tremendous tremendously uber unbelievably unusually utter utterly very`,
	`almost barely hardly kinda kindof kind-of less little marginal marginally occasional occasionally partly scarce scarcely
	slight slightly somewhat sorta sortof sort-of`,
	"just enough", "kind of", "sort of")

// idioms hold words of the lexicon, and mean something else.
var idioms = map[string]float64{
	"the shit": 3, "the bomb": 3, "bad ass": 1.5, "badass": 1.5, "bus stop": 0, "yeah right": -2, "kiss of death": -1.5,
	"to die for": 3, "beating heart": 3.5,
}
