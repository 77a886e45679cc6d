package demo

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func drawn(seed uint64, n int) (reviews []Review) {
	rng := rand.New(rand.NewPCG(seed, 9))
	for range n {
		reviews = append(reviews, Films().Draw(rng))
	}
	return reviews
}

// The grammar has at least 500 words and 20 forms of clauses, and 2,000 reviews hold nearly all of its words.
func TestGrammarIsRich(t *testing.T) {
	words, forms := Films().Words(), len(Films().rules["claim"].alternatives)
	seen := map[string]bool{}
	for _, r := range drawn(1, 2000) {
		for word := range strings.FieldsSeq(r.Prompt + r.Completion) {
			seen[word] = true
		}
	}
	t.Logf("%d words, %d of them in 2,000 reviews; %d forms of clauses", len(words), len(seen), forms)
	if len(words) < 500 || forms < 20 || len(seen) < len(words)*98/100 {
		t.Errorf("bars: 500 words, 98 %% of them seen, 20 forms")
	}
}

// small is a grammar whose texts can be listed. It is ambiguous: "a b" is one word after another and one alternative, and two prompts' first words are alike.
const small = `
review:
 2 <who> | <is> <good> . <more>
 1 <who> | <is> <!good>
more:
 1
 3 <who> <is> <good>
who:
 1 <topic>
 2 the <topic>
 1 b d
topic.west: a b
topic.sea: b c
topic: d
is.now: is
is.then: was
good.up.now: fine
good.up: nice
good.down:
 1 bad
 2 a b
 1 <topic> b
`

// list gives the probability of every text of a sequence, by trying all alternatives.
func list(symbols []symbol, setting int) map[string]float64 {
	texts := map[string]float64{"": 1}
	for _, s := range symbols {
		parts := map[string]float64{s.text + " ": 1}
		if s.variants != nil {
			of, within := s.in(setting)
			parts = map[string]float64{}
			for _, a := range of.alternatives {
				for text, p := range list(a.symbols, within) {
					parts[text] += p * a.share
				}
			}
		}
		longer := map[string]float64{}
		for text, p := range texts {
			for part, q := range parts {
				longer[text+part] += p * q
			}
		}
		texts = longer
	}
	return texts
}

// The log-probability of each text of a small grammar is what listing all derivations gives, to 1e-12; those of a prompt sum to 1.
func TestLogProbIsExact(t *testing.T) {
	g, err := parseGrammar(small)
	if err != nil {
		t.Fatal(err)
	}
	joint, prompts := map[Review]float64{}, map[string]float64{}
	for setting := range settings {
		for _, a := range g.root.variants[setting].alternatives {
			for prompt, p := range list(a.symbols[:a.border], setting) {
				prompts[prompt] += a.share * p
				for completion, q := range list(a.symbols[a.border:], setting) {
					joint[Review{prompt, completion}] += a.share * p * q
				}
			}
		}
	}
	sums := map[string]float64{}
	for r, p := range joint {
		got, want := g.LogProb(r), math.Log(p/prompts[r.Prompt])
		if math.Abs(got-want) > 1e-12 {
			t.Errorf("%q has log-probability %v, want %v", r, got, want)
		}
		sums[r.Prompt] += math.Exp(got)
	}
	for prompt, sum := range sums {
		if math.Abs(sum-1) > 1e-12 {
			t.Errorf("completions of %q sum to %v", prompt, sum)
		}
	}
	if len(sums) < 7 || len(joint) < 100 {
		t.Errorf("%d prompts with %d texts are listed", len(sums), len(joint))
	}
	if p := g.LogProb(Review{"a", "is d"}); !math.IsInf(p, -1) {
		t.Errorf("a text that the grammar does not make has log-probability %v", p)
	}
}

// Of each prompt that is drawn often from the small grammar, completions come as often as their probability says: χ² within four standard deviations.
func TestDrawFollowsLogProb(t *testing.T) {
	g, err := parseGrammar(small)
	if err != nil {
		t.Fatal(err)
	}
	const n = 20000
	counts, prompts := map[Review]float64{}, map[string]float64{}
	rng := rand.New(rand.NewPCG(5, 5))
	for range n {
		r := g.Draw(rng)
		counts[r]++
		prompts[r.Prompt]++
	}
	chi, cells := 0.0, 0.0
	for r, count := range counts {
		if want := prompts[r.Prompt] * math.Exp(g.LogProb(r)); want >= 5 {
			chi += (count - want) * (count - want) / want
			cells++
		}
	}
	t.Logf("χ² %.1f over %v cells", chi, cells)
	if cells < 30 || math.Abs(chi-cells) > 4*math.Sqrt(2*cells) {
		t.Errorf("χ² %.1f over %v cells: want their number within four standard deviations", chi, cells)
	}
}

// The grammar gives every review that it makes a probability; a bigram model's cross-entropy is at least 1.3 times the grammar's own.
func TestBigramMissesMuch(t *testing.T) {
	train, heldOut := drawn(2, 20000), drawn(3, 500)
	bigram := NewBigram(train, len(Films().Words())+1, 0.01)
	exact, of := Entropy(heldOut, Films().LogProb), Entropy(heldOut, bigram.LogProb)
	t.Logf("nats a token: %.4f exact, %.4f by bigrams", exact, of)
	if math.IsInf(exact, 0) || math.IsNaN(exact) || of < 1.3*exact {
		t.Errorf("bigrams have %.4f nats a token, the grammar %.4f: want a ratio of 1.3", of, exact)
	}
}

// Probabilities of bigrams after a word sum to 1, and an often seen pair has nearly its share.
func TestBigramSumsToOne(t *testing.T) {
	b := NewBigram([]Review{{"a", " b"}, {"a", " b"}, {"a", " c"}}, 4, 0.01)
	sum := 0.0
	for _, word := range []string{"a", "b", "c"} {
		sum += (b.pairs[[2]string{"a", word}] + b.added) / (b.before["a"] + b.added*b.words)
	}
	sum += b.added / (b.before["a"] + b.added*b.words) // the end
	want := math.Log(2.01/3.04) + math.Log(2.01/2.04)
	if got := b.LogProb(Review{"a", " b"}); math.Abs(sum-1) > 1e-12 || math.Abs(got-want) > 1e-12 {
		t.Errorf("probabilities sum to %v, b and the end have %v, want 1 and %v", sum, got, want)
	}
}

func TestReward(t *testing.T) {
	tests := []struct {
		text string
		want float64
	}{
		{"", 0},
		{"the zebra moos .", 0},
		{"the acting is superb .", 3},
		{"the acting is dull", -2},
		{"is not exactly a triumph .", -1},
		{"is hardly dull .", 1},
		{"is hardly dull and superb .", 2},
		{"is neither dull nor clumsy .", 1},
		{"never fails to bore , never not charms", 1.5},
		{"is very pleasant", 1.5},
		{"is simply perfect", 4.5},
		{"is very truly perfect", 4.5},
		{"is slightly slow", -0.5},
		{"is not very good", -1.5},
		{"the acting is dull but the ending moved me .", 2},
		{"the acting is dull yet the ending moved me .", 2},
		{"although the acting is dull , the ending is good , fine .", 1.5},
		{"the ending is superb , though the acting is dull .", 3},
		{"despite her dull acting , it was a gem .", 2},
		{"it was a gem . the acting is dreadful .", -0.5},
		{"it was a gem . the weather was cold . he smiled", 2},
		{"it was a gem . however , the acting is dreadful .", -3},
		{"superb . good , still , the acting is dull and good , pale", -1.0 / 3},
		{"though dull but fine", 1},
		{"not . dull", -2},
		{"but though not , .", 0},
	}
	c := NewCritic(Films())
	for _, test := range tests {
		if got := c.Reward(test.text); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("%q is worth %v, want %v", test.text, got, test.want)
		}
	}
}

// No word is worth two things, and none that is worth something says something else, too.
func TestWordsHaveOneWorth(t *testing.T) {
	g, c := Films(), NewCritic(Films())
	for _, name := range g.order {
		rule, variant, _ := strings.Cut(name, ".")
		up := strings.HasPrefix(variant, "up")
		for _, a := range g.rules[name].alternatives {
			for _, s := range a.symbols {
				v := c.worth[s.text]
				if s.variants != nil {
					continue
				}
				if v != 0 && (math.Abs(v) != worth[rule] || up != (v > 0)) {
					t.Errorf("%q of %s is worth %v", s.text, name, v)
				}
				if _, sign := c.signs[s.text]; v != 0 && sign {
					t.Errorf("%q is an opinion and a sign", s.text)
				}
			}
		}
	}
}

// Rewards are graded and of both signs, prompts say nothing of them, and counting words tells the sign of at most 80 % of those that are not 0.
func TestRewardsOfReviews(t *testing.T) {
	c := NewCritic(Films())
	var all []float64
	right, signed, most, square := 0.0, 0.0, 0.0, 0.0
	values := map[float64]bool{}
	for _, r := range drawn(4, 4000) {
		v, n := c.Reward(r.Completion), c.Count(r.Completion)
		if whole := c.Reward(r.Prompt + r.Completion); whole != v || c.Reward(r.Prompt) != 0 {
			t.Fatalf("%q is worth %v with its prompt, %v without", r, whole, v)
		}
		all, values[v], square = append(all, v), true, square+v*v/4000
		if v != 0 {
			signed++
		}
		if v >= 2.5 {
			most++
		}
		switch {
		case v*n > 0:
			right++
		case v != 0 && n == 0:
			right += 0.5
		}
	}
	t.Logf("mean %.3f, deviation %.3f, %d values, %.3f of 2.5 and more, %.3f not 0; counting words tells %.3f", mean(all), math.Sqrt(square-mean(all)*mean(all)), len(values), most/4000, signed/4000, right/signed)
	if right > 0.8*signed || signed < 0.9*4000 || len(values) < 50 || most < 0.01*4000 {
		t.Error("bars: 80 % told, 90 % not 0, 50 values, 1 % of 2.5 and more")
	}
}

// A seed gives the same corpus; another seed, another one. Prompts to measure on are in no other part.
func TestCorpus(t *testing.T) {
	c := NewCorpus(7, 2000, 100, 300, 200)
	if !reflect.DeepEqual(c, NewCorpus(7, 2000, 100, 300, 200)) {
		t.Error("a seed gives another corpus each time")
	}
	if reflect.DeepEqual(c.Train, NewCorpus(8, 2000, 100, 300, 200).Train) {
		t.Error("two seeds give one corpus")
	}
	known := map[Prompt]bool{}
	for _, r := range slices.Concat(c.Train, c.HeldOut) {
		known[Prompt{r.Prompt}] = true
	}
	for _, p := range slices.Concat(c.Prompts, c.Fresh) {
		if known[p] {
			t.Errorf("prompt %q comes twice", p.Prompt)
		}
		known[p] = true
	}
	if len(c.Train) != 2000 || len(c.HeldOut) != 100 || len(c.Prompts) != 300 || len(c.Fresh) != 200 {
		t.Errorf("the corpus has %d, %d, %d and %d rows", len(c.Train), len(c.HeldOut), len(c.Prompts), len(c.Fresh))
	}
}

func TestBadGrammars(t *testing.T) {
	tests := []struct{ source, want string }{
		{"review\n", "line 1: \"review\" begins no new rule"},
		{"review: a\nreview: b\n", "line 2: \"review: b\" begins no new rule"},
		{"review:\n x a\n", "line 2: weight \"x\" is no positive number"},
		{"review:\n 0 a\n", "line 2: weight \"0\" is no positive number"},
		{"review:\n 1 <a>\nb: c\n", "no rule for <a> of review"},
		{"review:\n 1 <a>\na.up: c\n", "no rule for <a> of review"},
		{"a: b\n", "no rule for <review> of the grammar"},
	}
	for _, test := range tests {
		if _, err := parseGrammar(test.source); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q gives %v, want %q", test.source, err, test.want)
		}
	}
}
