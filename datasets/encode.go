package datasets

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Tokenizer turns text into token ids and back.
type Tokenizer interface {
	// Encode returns the ids of text with all that the tokenizer adds by itself (BOS), as
	// transformers would. ends[i] is the offset in text, in bytes, just past what token i
	// stands for, -1 for a token that was added.
	Encode(text string) (ids []int32, ends []int, err error)
	// EncodeInert is Encode where no special token begins at the offsets given, in bytes: what
	// spells one there is text.
	EncodeInert(text string, inert []int) (ids []int32, ends []int, err error)
	// Specials returns the texts of the special tokens.
	Specials() []string
	Decode(ids []int32) (string, error)
	// EOS returns the token that ends an answer, and its text; false if there is none.
	EOS() (id int32, text string, ok bool)
	// VocabSize is the largest id + 1, added tokens included.
	VocabSize() int
}

// EOSPolicy says how a completion ends.
type EOSPolicy string

const (
	EOSAdd  EOSPolicy = "add"  // with the EOS token, once (the default)
	EOSKeep EOSPolicy = "keep" // as its text does
)

// Encoder turns groups into token ids.
//
// A prompt and its completion are tokenized together, as one string. A token that spans the
// border between them counts to the completion: the completion starts at the first token
// that ends after the prompt. What the tokenizer itself adds at the end (T5's EOS) is
// dropped, and one EOS added after each completion that does not end with it, unless EOS is
// [EOSKeep] or the answer was cut by length.
//
// Messages are written by the chat template of a tokenizer that is a [Renderer], which also ends the answer.
type Encoder struct {
	Tokenizer Tokenizer
	// MaxLength bounds a prompt and its longest completion together, in tokens; 0 is no bound.
	// Only where they exceed it is the prompt cut to MaxPromptLength (0: not at all), from
	// the left but for the BOS the tokenizer added, and then the completions from the right.
	MaxLength, MaxPromptLength int
	// KeepStart cuts all from the right instead, as TRL does: the first MaxLength tokens of
	// prompt and completion stay, and a row whose prompt alone fills them is dropped.
	KeepStart bool
	EOS       EOSPolicy // "" is EOSAdd
	// First takes the first of a group's answers alone, the best.
	First bool
	// Ties says how answers are compared; "" has all answers in an example, in order, as scoring needs them.
	Ties TiePolicy
	// Turns says what of conversations is scored; "" is TurnsLast.
	Turns TurnPolicy
	// Vocabulary is how many tokens the model has embeddings for; a row with an id beyond them is broken. 0 leaves that unsaid.
	Vocabulary int
	// AllowEqual takes answers that are equal, as scoring them does no harm.
	AllowEqual bool
}

// Example is a group in token ids. Prompt and a completion's IDs, one after the other, are
// the tokens of prompt and completion encoded together (less what was cut).
type Example struct {
	// Prompt is what the prompts of all completions have in common; empty if they have
	// nothing in common, or the prompt is empty and the tokenizer adds no BOS.
	Prompt      []int32
	Completions []Completion
	Truncated   bool // prompt and longest completion exceeded MaxLength
	// BorderTokens counts the completions whose first token spans the border to the prompt.
	BorderTokens int
	Margin       float64 // as in Group
	HasMargin    bool
	Dissent      float64
	Label        Label // of one answer
	Notes        Notes
	// Places says where the completions of a ranked row stand, from 0: tied ones share a place, and −1 is one without a rank,
	// below all that have one. It is nil where each stands above the next.
	Places []int
	Ref    []float64
	Order  []int // as in Group
	File   string
	Row    int64
}

// Completion is one answer. IDs[Start:] are scored, but for those in Gaps; before it is the end
// of the prompt as far as it differs between completions, or, where Example.Prompt is empty, a
// first token that nothing predicts.
type Completion struct {
	IDs   []int32
	Start int
	// Gaps are what others say between the assistant's turns, and after them: first token and end of each, in order and apart, after Start.
	Gaps      [][2]int
	Truncated bool // tokens were cut from its end
}

// Why a row is dropped.
const (
	DropEmpty     = "empty completion"
	DropEqual     = "equal answers"
	DropTruncated = "nothing left after truncation"
	DropPrompt    = "prompt fills max length"
	DropUnscored  = "no token to score" // one token, after an empty prompt without BOS
)

// dropReasons are the reasons of rows that hold nothing to learn from; any other is of a row that could not be understood.
var dropReasons = []string{DropEmpty, DropEqual, DropTruncated, DropPrompt, DropUnscored, DropSilent, DropUncompared, DropUnranked, DropTied}

// DropError is a row that has nothing to learn from.
type DropError struct {
	Reason string // one of the Drop constants
	File   string
	Row    int64
}

func (e *DropError) Error() string { return fmt.Sprintf("%s: row %d: %s", e.File, e.Row, e.Reason) }

// Encode returns the token ids of a group. A *[DropError] is a row that cannot be used, a *[RowError] one
// whose text cannot be encoded; any other error concerns all rows.
func (e *Encoder) Encode(g Group) (Example, error) {
	x, seqs, err := e.whole(g)
	if err != nil {
		return Example{}, err
	}
	return e.within(g, x, seqs)
}

// whole encodes a group without any limit.
func (e *Encoder) whole(g Group) (Example, []sequence, error) {
	g, reason := e.usable(g)
	if reason != "" {
		return Example{}, nil, e.drop(g, reason)
	}
	seqs := make([]sequence, len(g.Completions))
	for i, c := range g.Completions {
		var err error
		if seqs[i], err = e.join(g, c, len(g.Cut) > i && g.Cut[i]); err != nil {
			return Example{}, nil, err
		}
		if seqs[i].border == len(seqs[i].ids) {
			return Example{}, nil, e.drop(g, DropEmpty)
		}
	}
	x := share(seqs)
	x.Margin, x.HasMargin, x.Dissent, x.Label, x.Places, x.Ref = g.Margin, g.HasMargin, g.Dissent, g.Label, g.places(), g.Ref
	x.Order, x.Notes, x.File, x.Row = g.Order, g.Notes, g.File, g.Row
	return x, seqs, nil
}

// within brings what whole gave under the encoder's limits; x stays as it is.
func (e *Encoder) within(g Group, x Example, seqs []sequence) (Example, error) {
	x.Completions = slices.Clone(x.Completions)
	if reason := e.truncate(&x, seqs); reason != "" {
		return Example{}, e.drop(g, reason)
	}
	if e.Vocabulary > 0 {
		if err := x.CheckIDs(e.Vocabulary); err != nil {
			return Example{}, &RowError{File: g.File, Row: g.Row, Line: g.Line, Err: err}
		}
	}
	return x, nil
}

// CheckIDs refuses token ids that a model with so many embeddings has none for.
func (x Example) CheckIDs(vocabulary int) error {
	all := [][]int32{x.Prompt}
	for _, c := range x.Completions {
		all = append(all, c.IDs)
	}
	for _, ids := range all {
		for _, id := range ids {
			if id < 0 || int(id) >= vocabulary {
				return fmt.Errorf("token id %d outside the model's vocabulary of %d: tokenizer and model do not belong together", id, vocabulary)
			}
		}
	}
	return nil
}

func (e *Encoder) drop(g Group, reason string) error {
	return &DropError{Reason: reason, File: g.File, Row: g.Row}
}

// usable leaves out the answers that are not taken, and returns the reason to drop a group whatever its tokens are.
func (e *Encoder) usable(g Group) (Group, string) {
	var reason string
	if e.First {
		g, reason = g.first()
	} else {
		g, reason = e.compared(g)
	}
	if reason == "" {
		reason = e.unusable(g)
	}
	return g, reason
}

func (e *Encoder) unusable(g Group) string {
	for i, c := range g.Completions {
		if c.empty() {
			return DropEmpty
		}
		for _, d := range g.Completions[:i] {
			if !e.AllowEqual && c.String == d.String && slices.Equal(c.Messages, d.Messages) {
				return DropEqual
			}
		}
	}
	return ""
}

// A sequence is a prompt and a completion encoded together.
type sequence struct {
	ids    []int32
	border int      // index of the completion's first token
	bos    int      // tokens that the tokenizer added at the beginning
	spans  bool     // the first token of the completion begins in the prompt
	gaps   [][2]int // of the completion, counted from its first token
}

// join encodes a prompt and a completion.
func (e *Encoder) join(g Group, c Text, cut bool) (sequence, error) {
	w, err := e.texts(g, c)
	if err != nil {
		return sequence{}, err
	}
	if !utf8.ValidString(w.text) {
		return sequence{}, &RowError{File: g.File, Row: g.Row, Line: g.Line, Err: errors.New("its text is not valid UTF-8"), Whole: true}
	}
	ids, ends, err := e.Tokenizer.EncodeInert(w.text, w.inert)
	if err != nil {
		return sequence{}, &RowError{File: g.File, Row: g.Row, Line: g.Line, Err: err, Whole: true}
	}
	// What the tokenizer adds at the end by itself would be the model's input after the answer.
	for len(ends) > 0 && ends[len(ends)-1] < 0 {
		ids, ends = ids[:len(ids)-1], ends[:len(ends)-1]
	}
	s := sequence{border: len(ids)}
	for s.bos < len(ends) && ends[s.bos] < 0 {
		s.bos++
	}
	if i := slices.IndexFunc(ends, func(end int) bool { return end > w.begin }); i >= 0 {
		s.border = i
		before := 0
		if i > s.bos {
			before = ends[i-1]
		}
		s.spans = before < w.begin
		s.gaps = gapsOf(ends[i:], before, w.said)
	}
	if c.Messages != nil {
		// The template wrote all special tokens, the first and the last among them.
		s.ids, s.border, s.bos = ids[s.bos:], s.border-s.bos, 0
		return s, nil
	}
	s.ids = ids
	if s.border == len(ids) || cut || e.EOS == EOSKeep {
		return s, nil
	}
	id, _, ok := e.Tokenizer.EOS()
	if !ok {
		return sequence{}, errors.New("encoding: the tokenizer names no EOS token to end answers with: name one in tokenizer_config.json, or take answers as they are (--eos keep)")
	}
	if ids[len(ids)-1] != id {
		s.ids = append(ids, id)
	}
	return s, nil
}

// share splits off what the prompts of all sequences have in common.
func share(seqs []sequence) Example {
	n := seqs[0].border
	for _, s := range seqs[1:] {
		i := 0
		for i < min(n, s.border) && s.ids[i] == seqs[0].ids[i] {
			i++
		}
		n = i
	}
	x := Example{Prompt: slices.Clip(seqs[0].ids[:n])}
	for _, s := range seqs {
		x.Completions = append(x.Completions, Completion{IDs: s.ids[n:], Start: s.border - n, Gaps: moved(s.gaps, s.border-n)})
		if s.spans {
			x.BorderTokens++
		}
	}
	return x
}
