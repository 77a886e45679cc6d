package demo

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// dimensions are what a setting is made of: what a review keeps to from its first word to its last, and, in the lowest bit, the polarity
// of the clause at hand. A rule's variant is named by one of them, or by polarity and tense.
var dimensions = [][]string{strings.Fields("west space love war crime fright music sea"), {"woman", "man"}, {"now", "then"}, {"up", "down"}}

// settings is how many there are; each is as likely as any other.
var settings = len(dimensions[0]) * len(dimensions[1]) * len(dimensions[2]) * len(dimensions[3])

// A Grammar makes reviews by chance: a setting is drawn, then alternatives by their weights. It has no rule that leads back to itself, so every
// text ends, and the probability of a text is a finite sum.
type Grammar struct {
	root  *symbol
	rules map[string]*rule
	order []string // of rules' names, as they stand in the source
}

// A rule is one of its alternatives.
type rule struct {
	alternatives []alternative
	words        map[string]float64 // the probability of each, where all alternatives are single words
}

type alternative struct {
	share   float64 // of the rule's weight
	symbols []symbol
	border  int // symbols before it are the prompt's; 0 but in reviews
}

// A symbol is a word, or a reference to a rule's variant by setting.
type symbol struct {
	text     string
	turned   bool // the polarity of what it refers to is the opposite one
	variants []*rule
}

// in gives the rule that a reference means in a setting, and the setting that holds within.
func (s symbol) in(setting int) (*rule, int) {
	if s.turned {
		setting ^= 1
	}
	return s.variants[setting], setting
}

// parseGrammar reads rules as the head of reviews.txt explains them. The rule "review" is what is drawn.
func parseGrammar(source string) (*Grammar, error) {
	g := &Grammar{rules: map[string]*rule{}}
	var last *rule
	for i, line := range strings.Split(source, "\n") {
		var err error
		switch {
		case strings.TrimSpace(line) == "" || line[0] == '#':
		case line[0] == ' ' && last != nil:
			err = last.weigh(strings.Fields(line))
		default:
			last, err = g.open(line)
		}
		if err != nil {
			return nil, fmt.Errorf("read the grammar: line %d: %w", i+1, err)
		}
	}
	return g, g.link()
}

// open begins a rule: a name, a colon, and words of equal weight, which may be none.
func (g *Grammar) open(line string) (*rule, error) {
	name, words, ok := strings.Cut(line, ":")
	if !ok || g.rules[name] != nil {
		return nil, fmt.Errorf("%q begins no new rule", line)
	}
	r := &rule{}
	for word := range strings.FieldsSeq(words) {
		if err := r.weigh([]string{"1", word}); err != nil {
			return nil, err
		}
	}
	g.rules[name], g.order = r, append(g.order, name)
	return r, nil
}

// weigh adds an alternative: its weight and its symbols.
func (r *rule) weigh(fields []string) error {
	weight, err := strconv.ParseFloat(fields[0], 64)
	if err != nil || weight <= 0 {
		return fmt.Errorf("weight %q is no positive number", fields[0])
	}
	a := alternative{share: weight}
	for _, field := range fields[1:] {
		name, ok := strings.CutPrefix(field, "<")
		switch {
		case field == "|":
			a.border = len(a.symbols)
		case ok:
			name, turned := strings.CutPrefix(strings.TrimSuffix(name, ">"), "!")
			a.symbols = append(a.symbols, symbol{text: name, turned: turned, variants: make([]*rule, settings)})
		default:
			a.symbols = append(a.symbols, symbol{text: field})
		}
	}
	r.alternatives = append(r.alternatives, a)
	return nil
}

// link makes weights probabilities and gives every reference its variants.
func (g *Grammar) link() error {
	var missing []string
	for _, name := range g.order {
		r, total := g.rules[name], 0.0
		for _, a := range r.alternatives {
			total += a.share
		}
		for i := range r.alternatives {
			r.alternatives[i].share /= total
			for _, s := range r.alternatives[i].symbols {
				missing = append(missing, g.refer(name, s)...)
			}
		}
		r.index()
	}
	g.root = &symbol{text: "review", variants: make([]*rule, settings)}
	if missing = append(missing, g.refer("the grammar", *g.root)...); len(missing) > 0 {
		return fmt.Errorf("read the grammar: no rule for %s", strings.Join(slices.Compact(missing), ", "))
	}
	return nil
}

// refer fills in a reference's variants, and names what has none.
func (g *Grammar) refer(from string, s symbol) (missing []string) {
	for setting := range s.variants {
		if s.variants[setting] = g.variant(s.text, setting); s.variants[setting] == nil {
			missing = append(missing, fmt.Sprintf("<%s> of %s", s.text, from))
		}
	}
	return missing
}

func (g *Grammar) variant(name string, setting int) *rule {
	at := make([]string, len(dimensions))
	for i := len(dimensions) - 1; i >= 0; i-- {
		at[i] = "." + dimensions[i][setting%len(dimensions[i])]
		setting /= len(dimensions[i])
	}
	for _, suffix := range append(at, at[3]+at[2], "") {
		if r := g.rules[name+suffix]; r != nil {
			return r
		}
	}
	return nil
}

// index prepares the look-up of words where there is nothing else.
func (r *rule) index() {
	words := map[string]float64{}
	for _, a := range r.alternatives {
		if len(a.symbols) != 1 || a.symbols[0].variants != nil {
			return
		}
		words[a.symbols[0].text] += a.share
	}
	r.words = words
}

// Words lists all words of the grammar, each once, in the order of its source.
func (g *Grammar) Words() (words []string) {
	known := map[string]bool{}
	for _, name := range g.order {
		for _, a := range g.rules[name].alternatives {
			for _, s := range a.symbols {
				if s.variants == nil && !known[s.text] {
					words, known[s.text] = append(words, s.text), true
				}
			}
		}
	}
	return words
}

// Draw makes up a review.
func (g *Grammar) Draw(rng *rand.Rand) Review {
	setting := rng.IntN(settings)
	a := g.root.variants[setting].draw(rng)
	prompt := write(rng, a.symbols[:a.border], setting, nil)
	return Review{Prompt: strings.Join(prompt, " "), Completion: " " + strings.Join(write(rng, a.symbols[a.border:], setting, nil), " ")}
}

func (r *rule) draw(rng *rand.Rand) alternative {
	u := rng.Float64()
	for _, a := range r.alternatives {
		if u -= a.share; u < 0 {
			return a
		}
	}
	return r.alternatives[len(r.alternatives)-1]
}

func write(rng *rand.Rand, symbols []symbol, setting int, words []string) []string {
	for _, s := range symbols {
		if s.variants == nil {
			words = append(words, s.text)
			continue
		}
		of, within := s.in(setting)
		words = write(rng, of.draw(rng).symbols, within, words)
	}
	return words
}
