package datasets

import "slices"

// splitPrompt finds the prompt of a pair.
//
// As in TRL, a pair whose prompt is of the same kind (text or messages) as its answers is
// taken as it is; otherwise chosen and rejected are whole texts or conversations, and
// their common beginning is the prompt. Where TRL would lose something we do not: a string
// answer after a prompt of messages is the assistant's turn, and a string prompt before
// answers that have no common turn is the user's.
func (g *Group) splitPrompt(given bool) error {
	chosen, rejected := g.Completions[0], g.Completions[1]
	talks := chosen.Messages != nil
	if talks != (rejected.Messages != nil) {
		return errAnswersDiffer
	}
	if given && (talks == (g.Prompt.Messages != nil) || !talks) {
		g.matchKinds()
		return nil
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
		return nil
	}
	n, _ := common(chosen.Messages, rejected.Messages)
	if n == 0 && given {
		g.matchKinds()
		return nil
	}
	g.Prompt = Text{Messages: slices.Clip(chosen.Messages[:n])}
	g.Completions = []Text{{Messages: chosen.Messages[n:]}, {Messages: rejected.Messages[n:]}}
	return nil
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

// matchKinds makes turns of the strings of a group that holds messages too.
func (g *Group) matchKinds() {
	talks := g.Prompt.Messages != nil
	for _, c := range g.Completions {
		talks = talks || c.Messages != nil
	}
	if !talks {
		return
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
}
