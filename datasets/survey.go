package datasets

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Survey counts what makes preferences hard to learn from, or a measurement on held-out rows worthless. Of a row it keeps digests
// of 16 bytes, no text. Training rows are counted before held-out ones.
type Survey struct {
	MaxLength int  // the encoder's, for what is said of cut rows
	First     bool // the encoder's: several pairs may have the same best answer, which is no fault of theirs

	rows, taken int            // of the training data, all and those that make an example
	drops       map[string]int // of all, by reason
	refused     string         // the first reason that is none of the Drop constants
	cut, ends   int            // of those taken: rows that were cut, and those of which an answer lost its end
	answers     int            // of the rows taken
	border      int            // answers whose first token spans the border to the prompt

	aside, unasked int // rows with these notes

	groups  map[digest]order // by prompt and answers, whatever their order: how the first row of a group had them
	prompts map[digest]struct{}
	repeats int // rows that say what an earlier one says
	reverse int // rows that order an earlier row's answers otherwise

	unit            string // of lengths
	longer, shorter int    // rows whose best answer is longer, or shorter, than the worst
	ordered         int    // rows whose best answer is preferred to the worst
	best, worst     int    // lengths of these answers, of all such rows

	held, heldGroups, heldPrompts int // rows that are held out; those whose group, or else whose prompt, was trained on
}

// digest stands for a text or a list of token ids: half a SHA-256.
type digest [16]byte

// order stands for the order of a group's answers; soft is that of one that prefers none outright.
type order uint32

const soft order = 0

// sighting is a row as a survey sees it.
type sighting struct {
	prompt  digest
	answers []digest // each of prompt and answer together, the best first
	lengths []int    // of the answers
	places  []int    // as in Example
	dissent float64
	label   Label
	notes   Notes
}

// NewSurvey has seen nothing.
func NewSurvey() *Survey {
	return &Survey{drops: map[string]int{}, groups: map[digest]order{}, prompts: map[digest]struct{}{}}
}

// Add counts a training row.
func (s *Survey) Add(x Example) {
	s.unit = "tokens"
	if x.Truncated {
		s.cut++
	}
	if slices.ContainsFunc(x.Completions, func(c Completion) bool { return c.Truncated }) {
		s.ends++
	}
	s.border += x.BorderTokens
	s.add(ofExample(x))
}

// AddText counts a training row whose tokens are not known.
func (s *Survey) AddText(g Group) {
	s.unit = "characters"
	s.add(ofGroup(g))
}

// Drop counts a training row that was dropped, for one of the Drop reasons or another one.
func (s *Survey) Drop(reason string) {
	s.rows++
	s.drops[reason]++
	if s.refused == "" && !slices.Contains(dropReasons, reason) {
		s.refused = reason
	}
}

// Note counts a row by its notes alone.
func (s *Survey) Note(n Notes) {
	s.rows++
	if n&NoteAside != 0 {
		s.aside++
	}
	if n&NoteUnasked != 0 {
		s.unasked++
	}
}

// Hold counts a row that is held out.
func (s *Survey) Hold(x Example) { s.hold(ofExample(x)) }

// HoldText counts a row that is held out, whose tokens are not known.
func (s *Survey) HoldText(g Group) { s.hold(ofGroup(g)) }

func (s *Survey) add(x sighting) {
	s.Note(x.notes)
	s.taken++
	s.answers += len(x.answers)
	s.prompts[x.prompt] = struct{}{}
	key, order := x.group()
	switch first, known := s.groups[key]; {
	case !known:
		s.groups[key] = order
	case first == order:
		s.repeats++
	case first != soft && order != soft:
		s.reverse++
	}
	s.compare(x, order)
}

// compare counts the lengths of the best and the worst answer, where one is preferred to the other.
func (s *Survey) compare(x sighting, o order) {
	last := len(x.answers) - 1
	if last < 1 || o == soft || x.places != nil && x.places[0] == x.places[last] {
		return
	}
	best, worst := x.lengths[0], x.lengths[last]
	s.ordered++
	s.best += best
	s.worst += worst
	if best > worst {
		s.longer++
	} else if best < worst {
		s.shorter++
	}
}

func (s *Survey) hold(x sighting) {
	s.held++
	key, _ := x.group()
	if _, known := s.groups[key]; known {
		s.heldGroups++
	} else if _, known := s.prompts[x.prompt]; known {
		s.heldPrompts++
	}
}

// group gives what rows with the same prompt and answers have in common, which is the sum of the answers' digests, and what tells their
// orders apart, which is a sum with weights by place.
func (x sighting) group() (all digest, o order) {
	var low, high, ordered uint64
	for i, a := range x.answers {
		first, second := binary.LittleEndian.Uint64(a[:]), binary.LittleEndian.Uint64(a[8:])
		low, high = low+first, high+second
		ordered += first * uint64(2*i+1)
		if x.places != nil {
			ordered += second * uint64(2*x.places[i]+3) // a place is −1 at least
		}
	}
	binary.LittleEndian.PutUint64(all[:], low)
	binary.LittleEndian.PutUint64(all[8:], high)
	ordered += uint64(x.label) << 32
	if x.dissent == 0 {
		o = order(ordered>>32) | 1 // soft is 0
	}
	return all, o
}

func digestOf(b []byte) digest {
	sum := sha256.Sum256(b)
	return digest(sum[:16])
}

func ofExample(x Example) sighting {
	seen := sighting{places: x.Places, dissent: x.Dissent, label: x.Label, notes: x.Notes}
	b := appendTokens(make([]byte, 0, 1024), x.Prompt)
	seen.prompt = digestOf(b)
	for _, c := range x.Completions {
		border := uint32(len(x.Prompt) + c.Start) // the same tokens may be cut elsewhere
		seen.answers = append(seen.answers, digestOf(binary.LittleEndian.AppendUint32(appendTokens(b, c.IDs), border)))
		seen.lengths = append(seen.lengths, c.Scored())
	}
	return seen
}

func appendTokens(b []byte, ids []int32) []byte {
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	return b
}

func ofGroup(g Group) sighting {
	seen := sighting{places: g.places(), dissent: g.Dissent, label: g.Label, notes: g.Notes}
	prompt, _ := g.Prompt.content()
	seen.prompt = digestOf(prompt)
	for _, c := range g.Completions {
		answer, characters := c.content()
		seen.answers = append(seen.answers, digestOf(slices.Concat(seen.prompt[:], answer)))
		seen.lengths = append(seen.lengths, characters)
	}
	return seen
}

// content tells two texts apart, and how many characters one has.
func (t Text) content() (distinct []byte, characters int) {
	if t.Messages == nil {
		return []byte(t.String), utf8.RuneCountInString(t.String)
	}
	for _, m := range t.Messages {
		distinct = fmt.Appendf(distinct, "%d %s %d %s ", len(m.Role), m.Role, len(m.Content), m.Content)
		if m.Fields != "" {
			distinct = fmt.Appendf(distinct, "%d %s ", len(m.Fields), m.Fields)
		}
		characters += utf8.RuneCountInString(m.Content)
	}
	return distinct, characters
}
