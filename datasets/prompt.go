package datasets

import (
	"errors"
	"slices"
)

// splitPrompt finds the prompt of a pair.
//
// As in TRL, a pair whose prompt is of the same kind (text or messages) as its answers is
// taken as it is; otherwise chosen and rejected are whole texts or conversations, and
// their common beginning is the prompt. Where TRL would lose something we do not: a string
// answer after a prompt of messages is the assistant's turn, and a string prompt before
// answers that have no common turn is the user's. Two conversations in which different users' turns come first answer
// two prompts, which is refused.
func (g *Group) splitPrompt(given bool) error {
	chosen, rejected := g.Completions[0], g.Completions[1]
	talks := chosen.Messages != nil
	if talks != (rejected.Messages != nil) {
		return errAnswersDiffer
	}
	if given && (talks == (g.Prompt.Messages != nil) || !talks) {
		return g.matchKinds()
	}
	if !talks {
		a, b := []rune(chosen.String), []rune(rejected.String)
		n, differ := common(a, b)
		// The space before an answer belongs to the answer: tokenizers join it to the word.
		if differ && n > 0 && a[n-1] == ' ' {
			n--
		}
		g.Prompt = Text{String: string(a[:n])}
		g.Completions = []Text{{String: string(a[n:])}, {String: string(b[n:])}}
		g.noteUnasked(n)
		return nil
	}
	n, differ := common(chosen.Messages, rejected.Messages)
	if n == 0 && given {
		return g.matchKinds()
	}
	users := func(m Message) bool { return m.Role == "user" }
	if differ && !slices.ContainsFunc(chosen.Messages[:n], users) && (users(chosen.Messages[n]) || users(rejected.Messages[n])) {
		return errOtherPrompts
	}
	g.Prompt = Text{Messages: slices.Clip(chosen.Messages[:n])}
	g.Completions = []Text{{Messages: chosen.Messages[n:]}, {Messages: rejected.Messages[n:]}}
	g.noteUnasked(n)
	return nil
}

func (g *Group) noteUnasked(common int) {
	if common == 0 {
		g.Notes |= NoteUnasked
	}
}

// common returns the length of the common beginning of two answers, and whether they differ
// after it; where one begins with the whole of the other they do not, and the length is an
// item less, so that both keep an answer.
func common[T comparable](a, b []T) (n int, differ bool) {
	short := min(len(a), len(b))
	for i := range short {
		if a[i] != b[i] {
			return i, true
		}
	}
	return max(short-1, 0), false
}

// matchKinds makes turns of the strings of a group that holds messages too, and takes the prompt off answers that repeat it.
func (g *Group) matchKinds() error {
	talks := g.Prompt.Messages != nil
	for _, c := range g.Completions {
		talks = talks || c.Messages != nil
	}
	if !talks {
		return nil
	}
	asTurn := func(t *Text, role string) {
		if t.Messages == nil {
			*t = Text{Messages: []Message{{Role: role, Content: t.String}}}
		}
	}
	asTurn(&g.Prompt, "user")
	for i := range g.Completions {
		asTurn(&g.Completions[i], "assistant")
	}
	return g.unrepeat()
}

// unrepeat takes the prompt off answers that are whole conversations, which begin with it: all of a row, or none.
func (g *Group) unrepeat() error {
	n := len(g.Prompt.Messages)
	repeats := 0
	for _, c := range g.Completions {
		if len(c.Messages) >= n && slices.Equal(c.Messages[:n], g.Prompt.Messages) {
			repeats++
		}
	}
	switch {
	case n == 0 || repeats == 0:
		return nil
	case repeats < len(g.Completions):
		return errSomeRepeat
	}
	for i := range g.Completions {
		g.Completions[i].Messages = g.Completions[i].Messages[n:]
	}
	return nil
}

var (
	errAnswersDiffer = errors.New("chosen and rejected are of two kinds: both are to be strings, or both lists of messages")
	errOtherPrompts  = errors.New("chosen and rejected begin with different turns of the user: they answer two prompts, where a preference has one")
	errSomeRepeat    = errors.New("one answer begins with the messages of the prompt and another does not: all are to be whole conversations, or what follows the prompt alone")
)
