package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
)

// topics are the words that belong together. Of a prompt about two words of a topic, the chosen answer stays with the topic and the
// rejected one turns to another.
var topics = [][]string{
	strings.Fields("boat wave fish harbour sail tide anchor gull"),
	strings.Fields("cow barn hay plough sheep field hen fence"),
	strings.Fields("oven spoon flour soup pan knife recipe salt"),
	strings.Fields("violin drum song choir piano tune band flute"),
	strings.Fields("planet comet star rocket orbit moon crater galaxy"),
	strings.Fields("teacher pupil lesson book desk exam chalk pencil"),
	strings.Fields("snow ice frost sledge scarf skate icicle glove"),
	strings.Fields("oak fern fox owl moss path mushroom deer"),
}

// openings of prompts and of answers; all other words say nothing of the topic.
var (
	promptOpenings = []string{"tell of", "write of", "i saw", "a tale of"}
	answerOpenings = []string{"", "near", "with", "here is", "then came"}
)

// Pair is a preference, as a line of a file.
type Pair struct {
	Prompt   string `json:"prompt"`
	Chosen   string `json:"chosen"`
	Rejected string `json:"rejected"`
}

// Preferences are made for one seed.
type Preferences struct {
	Train   []Pair
	Control []Pair // Train, with the answers of a random half changed over
	HeldOut []Pair // of pairs of words that no prompt of Train puts together
}

// How many pairs there are, and the share of each topic's pairs of words that is held out.
const (
	trainPairs, heldOutPairs = 2048, 512
	heldOutShare             = 4
)

// NewPreferences makes them up. Topics take turns, and lengths, openings and words are drawn alike for both answers, so that nothing
// about an answer alone tells whether it is the better one.
func NewPreferences(seed int64) Preferences {
	rng := rand.New(rand.NewPCG(uint64(seed), 1))
	train, heldOut := combinations(rng)
	p := Preferences{Train: pairs(rng, train, trainPairs), HeldOut: pairs(rng, heldOut, heldOutPairs)}
	p.Control = append(p.Control, p.Train...)
	for _, i := range rng.Perm(len(p.Control))[:len(p.Control)/2] {
		p.Control[i].Chosen, p.Control[i].Rejected = p.Control[i].Rejected, p.Control[i].Chosen
	}
	return p
}

// combinations splits each topic's pairs of words in those to train on and those held out.
func combinations(rng *rand.Rand) (train, heldOut [][][2]string) {
	for _, words := range topics {
		var all [][2]string
		for i, a := range words {
			for _, b := range words[i+1:] {
				all = append(all, [2]string{a, b})
			}
		}
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		cut := len(all) / heldOutShare
		heldOut, train = append(heldOut, all[:cut]), append(train, all[cut:])
	}
	return train, heldOut
}

func pairs(rng *rand.Rand, combinations [][][2]string, n int) (out []Pair) {
	for i := range n {
		topic := i % len(topics)
		other := (topic + 1 + rng.IntN(len(topics)-1)) % len(topics)
		of := combinations[topic][rng.IntN(len(combinations[topic]))]
		if rng.IntN(2) == 0 {
			of[0], of[1] = of[1], of[0]
		}
		out = append(out, Pair{Prompt: fmt.Sprintf("%s the %s and the %s", promptOpenings[rng.IntN(len(promptOpenings))], of[0], of[1]),
			Chosen: answer(rng, topics[topic]), Rejected: answer(rng, topics[other])})
	}
	return out
}

// answer names one to three words of a topic: " near the gull and the tide".
func answer(rng *rand.Rand, words []string) string {
	named := []string{answerOpenings[rng.IntN(len(answerOpenings))]}
	for i, word := range rng.Perm(len(words))[:1+rng.IntN(3)] {
		switch {
		case i > 0:
			named = append(named, "and the")
		case named[0] != "":
			named = append(named, "the")
		}
		named = append(named, words[word])
	}
	return " " + strings.TrimSpace(strings.Join(named, " "))
}

// vocabulary lists all words that pairs can hold, each once.
func vocabulary() (words []string) {
	known := map[string]bool{}
	for word := range strings.FieldsSeq(strings.Join(slices.Concat([]string{"the and"}, promptOpenings, answerOpenings), " ")) {
		if !known[word] {
			words, known[word] = append(words, word), true
		}
	}
	for _, of := range topics {
		words = append(words, of...)
	}
	return words
}

// WriteRows writes a file of JSON lines.
func WriteRows[T any](path string, rows []T) error {
	var b bytes.Buffer
	for _, row := range rows {
		line, err := json.Marshal(row)
		if err != nil {
			return fmt.Errorf("write rows: %w", err)
		}
		b.Write(append(line, '\n'))
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
