package dpo

import (
	"fmt"
	"slices"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// checkEnds warns of a chat template that does not mark the token that ends a turn as the assistant's: a model that never learns it does
// not stop, and no loss tells.
func (t *Trainer) checkEnds(tok datasets.Tokenizer) {
	eos, text, ok := tok.EOS()
	if !ok || t.AssistantTurns != string(datasets.TurnsAll) {
		return
	}
	endless := 0
	for _, x := range t.rows.Examples {
		if slices.ContainsFunc(x.Completions, func(c datasets.Completion) bool { return unlearnt(c, eos) }) {
			endless++
		}
	}
	if endless > 0 {
		t.warn("unlearnt-ends", fmt.Sprintf("in %d of %d rows %s follows what the chat template marks as the assistant's, and so is not learnt: the model does not learn to stop",
			endless, len(t.rows.Examples), text), "write {% endgeneration %} after the end of the turn, in a copy of the template (--chat-template FILE)")
	}
}

// unlearnt reports whether a token follows what is scored, and is not.
func unlearnt(c datasets.Completion, id int32) bool {
	return slices.ContainsFunc(c.Gaps, func(gap [2]int) bool { return c.IDs[gap[0]] == id })
}
