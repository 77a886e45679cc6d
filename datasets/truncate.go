package datasets

import "slices"

// truncate brings an example under the encoder's limits and settles what is scored. It
// returns the reason to drop the row, if there is one.
func (e *Encoder) truncate(x *Example, seqs []sequence) string {
	longest := 0
	for _, s := range seqs {
		longest = max(longest, len(s.ids))
	}
	if e.MaxLength > 0 && longest > e.MaxLength {
		x.Truncated = true
		if e.KeepStart {
			for _, s := range seqs {
				if s.border >= e.MaxLength {
					return DropPrompt
				}
			}
		} else {
			e.cutPrompt(x, seqs)
		}
		for i := range x.Completions {
			c := &x.Completions[i]
			if room := max(e.MaxLength-len(x.Prompt), 0); len(c.IDs) > room {
				c.cutTo(room)
			}
		}
	}
	return e.settle(x)
}

// settle fixes the first scored token of each completion, and returns the reason to drop the
// row if nothing is left to learn from.
func (e *Encoder) settle(x *Example) string {
	unscored, equal := DropUnscored, DropEqual
	if x.Truncated {
		unscored, equal = DropTruncated, DropTruncated
	}
	for i := range x.Completions {
		c := &x.Completions[i]
		if len(x.Prompt) == 0 {
			c.beginAt(1)
		}
		if c.Scored() == 0 {
			return unscored
		}
		for _, d := range x.Completions[:i] {
			if !e.AllowEqual && slices.Equal(c.IDs, d.IDs) {
				return equal
			}
		}
	}
	return ""
}

// cutPrompt cuts the prompt from the left to MaxPromptLength tokens, those at the heads of
// completions among them. The tokens that the tokenizer put first stay: a model without its BOS
// writes nonsense.
func (e *Encoder) cutPrompt(x *Example, seqs []sequence) {
	bos, prompt := len(x.Prompt), 0
	for _, s := range seqs {
		bos, prompt = min(bos, s.bos), max(prompt, s.border)
	}
	if e.MaxPromptLength <= 0 || prompt <= e.MaxPromptLength {
		return
	}
	cut := min(prompt-e.MaxPromptLength, len(x.Prompt)-bos)
	x.Prompt = slices.Concat(x.Prompt[:bos], x.Prompt[bos+cut:])
}
