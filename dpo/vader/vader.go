// Package vader scores the sentiment of text by VADER's rules: C.J. Hutto and E. Gilbert, "VADER: A Parsimonious Rule-based
// Model for Sentiment Analysis of Social Media Text", ICWSM 2014, and the authors' vaderSentiment 3.3.2, whose compound score
// this is, its quirks included.
//
//	l, err := vader.Open("vader_lexicon.txt", "")
//	score := l.Compound("Not bad at all!") // from −1 to 1
//
// A word's valence stands in a lexicon, which is a file of the user's. It is changed by what stands before it within three words
// (degree adverbs, negations, idioms), by capitals, by "but", and the sum by exclamation and question marks; then the
// sum s becomes s/√(s²+15).
package vader

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lexicon says how words are valued.
type Lexicon struct {
	valence map[string]float64
	emoji   map[rune]string // what is read in place of one
}

// Open reads a lexicon: lines of a word and its valence with a tab between them, what follows a second tab being ignored. Words are
// looked up in lower case. The file of emoji, an emoji and its description a line with a tab between them, may be "".
func Open(lexicon, emoji string) (*Lexicon, error) {
	l := &Lexicon{valence: map[string]float64{}, emoji: map[rune]string{}}
	err := eachLine(lexicon, func(word, valence string) error {
		v, err := strconv.ParseFloat(valence, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("the valence of %q is %q: a number is needed", word, valence)
		}
		l.valence[word] = v
		return nil
	})
	if err == nil && emoji != "" {
		err = eachLine(emoji, func(symbol, description string) error {
			if runes := []rune(symbol); len(runes) == 1 { // the others are never met, as text is taken rune by rune
				l.emoji[runes[0]] = description
			}
			return nil
		})
	}
	if err == nil && len(l.valence) == 0 {
		err = fmt.Errorf("read %s: it holds no word", lexicon)
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// eachLine gives the first two fields of each line.
func eachLine(path string, take func(a, b string) error) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read a lexicon: %w", err)
	}
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return fmt.Errorf("read %s: it is no text in UTF-8", path)
	}
	at := 0
	for line := range strings.Lines(string(text)) {
		at++
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		a, rest, found := strings.Cut(line, "\t")
		b, _, _ := strings.Cut(rest, "\t")
		err := fmt.Errorf("it is %q: a tab is needed between a word and what is said of it", line)
		if found {
			err = take(a, b)
		}
		if err != nil {
			return fmt.Errorf("read %s: line %d: %w", path, at, err)
		}
	}
	return nil
}

// Compound is the sentiment of a text, from −1 to 1, rounded to four decimals as VADER does.
func (l *Lexicon) Compound(text string) float64 {
	text = l.spelt(text)
	s := newSentence(text)
	valences := make([]float64, len(s.words))
	for i := range s.words {
		valences[i] = l.word(s, i)
	}
	s.but(valences)
	sum := 0.0
	for _, v := range valences {
		sum += v
	}
	switch emphasis := punctuation(text); {
	case sum > 0:
		sum += emphasis
	case sum < 0:
		sum -= emphasis
	}
	return math.RoundToEven(sum/math.Sqrt(sum*sum+alpha)*1e4) / 1e4
}

// spelt writes the descriptions of emoji in their place.
func (l *Lexicon) spelt(text string) string {
	if len(l.emoji) == 0 {
		return text
	}
	var b strings.Builder
	apart := true
	for _, r := range text {
		description, is := l.emoji[r]
		switch {
		case !is:
			b.WriteRune(r)
			apart = r == ' '
			continue
		case !apart:
			b.WriteByte(' ')
		}
		b.WriteString(description)
		apart = false
	}
	return b.String()
}

// sentence is a text as words, each as it is written and in lower case.
type sentence struct {
	words, lower []string
	mixed        bool // some words are in capitals and some are not
}

func newSentence(text string) *sentence {
	s := &sentence{}
	loud := 0
	for _, token := range strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }) {
		word := strings.Trim(token, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
		if len([]rune(word)) <= 2 { // as likely an emoticon
			word = token
		}
		s.words, s.lower = append(s.words, word), append(s.lower, strings.ToLower(word))
		if upper(word) {
			loud++
		}
	}
	s.mixed = loud > 0 && loud < len(s.words)
	return s
}

// upper reports a word with letters, all of them capitals.
func upper(word string) bool {
	letters := false
	for _, r := range word {
		if unicode.In(r, unicode.Lower, unicode.Other_Lowercase, unicode.Title) {
			return false
		}
		letters = letters || unicode.In(r, unicode.Upper, unicode.Other_Uppercase)
	}
	return letters
}

// at is the word in lower case at a place; "" beyond the ends.
func (s *sentence) at(i int) string {
	if i < 0 || i >= len(s.lower) {
		return ""
	}
	return s.lower[i]
}

// phrase joins the words from one place to another, both within the text.
func (s *sentence) phrase(from, to int) string { return strings.Join(s.lower[from:to+1], " ") }

// word is the valence of the word at a place, with all that stands around it but for "but".
func (l *Lexicon) word(s *sentence, i int) float64 {
	word := s.lower[i]
	valence, known := l.valence[word]
	if _, degree := boosters[word]; degree || !known || word == "kind" && s.at(i+1) == "of" {
		return 0
	}
	if _, next := l.valence[s.at(i+1)]; word == "no" && next {
		valence = 0 // it negates the next word instead
	}
	if s.at(i-1) == "no" || s.at(i-2) == "no" || s.at(i-3) == "no" && (s.at(i-1) == "or" || s.at(i-1) == "nor") {
		valence = l.valence[word] * negation
	}
	if s.mixed && upper(s.words[i]) {
		valence += away(valence, capitals)
	}
	for back := range 3 {
		if i <= back {
			break
		}
		if _, known := l.valence[s.lower[i-back-1]]; known {
			continue
		}
		valence += s.degree(i-back-1, valence) * []float64{1, 0.95, 0.9}[back]
		valence = s.negate(valence, i, back)
		if back == 2 {
			valence = s.idiom(valence, i)
		}
	}
	if _, known := l.valence["least"]; !known && s.at(i-1) == "least" && s.at(i-2) != "at" && s.at(i-2) != "very" {
		valence *= negation
	}
	return valence
}

// away is an amount in the direction that leads from zero; of zero downwards.
func away(valence, amount float64) float64 {
	if valence > 0 {
		return amount
	}
	return -amount
}

// degree is what a degree adverb adds to a valence.
func (s *sentence) degree(at int, valence float64) float64 {
	add, is := boosters[s.lower[at]]
	if !is {
		return 0
	}
	if valence < 0 {
		add = -add
	}
	if s.mixed && upper(s.words[at]) {
		add += away(valence, capitals)
	}
	return add
}

// negate applies what stands back+1 words before the word at i. "never so" and "never this" strengthen, "without doubt" does nothing;
// three words back, "so" or "this" just before the word strengthens whatever stands there.
func (s *sentence) negate(valence float64, i, back int) float64 {
	so := func(at int) bool { return s.at(at) == "so" || s.at(at) == "this" }
	word := s.lower[i-back-1]
	switch {
	case back == 1 && word == "never" && so(i-1), back == 2 && (word == "never" && so(i-2) || so(i-1)):
		return valence * 1.25
	case back == 1 && word == "without" && s.at(i-1) == "doubt",
		back == 2 && word == "without" && (s.at(i-2) == "doubt" || s.at(i-1) == "doubt"):
		return valence
	case negations[word] || strings.Contains(word, "n't"):
		return valence * negation
	}
	return valence
}

// idiom gives the valence of an idiom that the word at i, from the fourth on, is in or follows, and what degree adverbs of two words
// add.
func (s *sentence) idiom(valence float64, i int) float64 {
	before := []string{s.phrase(i-1, i), s.phrase(i-2, i), s.phrase(i-2, i-1), s.phrase(i-3, i-1), s.phrase(i-3, i-2)}
	for _, phrase := range before {
		if v, is := idioms[phrase]; is {
			valence = v
			break
		}
	}
	for to := i + 1; to <= i+2 && to < len(s.lower); to++ {
		if v, is := idioms[s.phrase(i, to)]; is {
			valence = v
		}
	}
	for _, phrase := range before[2:] {
		valence += boosters[phrase] // of one word it is none, since these have two and three
	}
	return valence
}

// but halves what stands before the first "but" and strengthens what stands after it. As in the authors' code, each valence is
// looked up by its value, so that of equal ones the first is changed in place of the others.
func (s *sentence) but(valences []float64) {
	at := -1
	for i, word := range s.lower {
		if word == "but" {
			at = i
			break
		}
	}
	if at < 0 {
		return
	}
	for _, v := range valences { // ranges over the slice as it changes
		first := 0
		for valences[first] != v {
			first++
		}
		switch {
		case first < at:
			valences[first] = v * 0.5
		case first > at:
			valences[first] = v * 1.5
		}
	}
}

// punctuation is the emphasis of exclamation and question marks.
func punctuation(text string) float64 {
	emphasis := float64(min(strings.Count(text, "!"), 4)) * exclamation
	switch n := strings.Count(text, "?"); {
	case n > 3:
		emphasis += questions
	case n > 1:
		emphasis += float64(n) * question
	}
	return emphasis
}

// set is of words separated by spaces.
func set(words string) map[string]bool {
	out := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		out[w] = true
	}
	return out
}

// degrees says what words add: those that strengthen, and those that weaken.
func degrees(more, less string, lessPhrases ...string) map[string]float64 {
	out := map[string]float64{}
	for w := range strings.FieldsSeq(more) {
		out[w] = booster
	}
	for _, w := range append(strings.Fields(less), lessPhrases...) {
		out[w] = -booster
	}
	return out
}
