package datasets

import (
	"errors"
	"slices"
)

// TurnPolicy says which words of the assistant are scored.
type TurnPolicy string

const (
	TurnsLast TurnPolicy = "last" // the answer, of a conversation its last turn (the default)
	TurnsAll  TurnPolicy = "all"  // all that the chat template marks as the assistant's: TRL's assistant_only_loss
)

// DropSilent is why a row is dropped of which the template marks nothing that could be scored.
const DropSilent = "no assistant turn to score"

// written is a prompt and an answer as one text.
type written struct {
	text  string
	begin int      // of the answer, in bytes
	inert []int    // where special tokens are spelt that are text
	said  [][2]int // what is scored, as first byte and end of each part, in order; nil for all from begin on
}

var errUnmarked = errors.New("the chat template marks nothing as the assistant's, so its turns cannot be told from the others': write {% generation %} before and {% endgeneration %} after " +
	"what it writes of an assistant's message, the end of the turn included, in a copy of it (--chat-template FILE), or learn the last turn alone (--assistant-turns last)")

// scoreSaid scores what the template marked of the answer, which then begins there; false if that is nothing.
func (w *written) scoreSaid() bool {
	var said [][2]int
	for _, part := range w.said {
		if part[0] = max(part[0], w.begin); part[0] < part[1] {
			said = append(said, part)
		}
	}
	if w.said = said; said == nil {
		return false
	}
	w.begin = said[0][0]
	return true
}

// gapsOf gives the stretches of an answer's tokens that lie in none of the parts. A token counts to a part that it touches, as in
// transformers' masks. ends are the offsets just past each token of the answer, and begin that of the token before.
func gapsOf(ends []int, begin int, said [][2]int) (gaps [][2]int) {
	if said == nil {
		return nil
	}
	for i, end := range ends {
		first := min(begin, end-1) // a character may be several tokens, which all end where it does
		begin = end
		switch {
		case slices.ContainsFunc(said, func(part [2]int) bool { return first < part[1] && end > part[0] }):
		case len(gaps) > 0 && gaps[len(gaps)-1][1] == i:
			gaps[len(gaps)-1][1] = i + 1
		default:
			gaps = append(gaps, [2]int{i, i + 1})
		}
	}
	return gaps
}

// moved shifts gaps by a number of tokens.
func moved(gaps [][2]int, by int) (out [][2]int) {
	for _, gap := range gaps {
		out = append(out, [2]int{gap[0] + by, gap[1] + by})
	}
	return out
}

// cutTo takes the first tokens of a completion.
func (c *Completion) cutTo(tokens int) {
	c.IDs, c.Truncated = c.IDs[:tokens], true
	var gaps [][2]int
	for _, gap := range c.Gaps {
		if gap[0] < tokens {
			gaps = append(gaps, [2]int{gap[0], min(gap[1], tokens)})
		}
	}
	c.Gaps = gaps
}

// beginAt has no token before one scored, nor that one where it lies in a gap.
func (c *Completion) beginAt(start int) {
	c.Start = max(c.Start, start)
	for len(c.Gaps) > 0 && c.Gaps[0][0] <= c.Start {
		c.Start = max(c.Start, c.Gaps[0][1])
		c.Gaps = slices.Clip(c.Gaps[1:])
	}
	if len(c.Gaps) == 0 {
		c.Gaps = nil
	}
}

// Scores reports whether token i is scored.
func (c Completion) Scores(i int) bool {
	return i >= c.Start && !slices.ContainsFunc(c.Gaps, func(gap [2]int) bool { return gap[0] <= i && i < gap[1] })
}

// Scored is how many tokens are scored.
func (c Completion) Scored() int {
	n := len(c.IDs) - c.Start
	for _, gap := range c.Gaps {
		n -= gap[1] - gap[0]
	}
	return max(n, 0)
}

// Sound reports whether Start and Gaps are as a Completion has them.
func (c Completion) Sound() bool {
	after := c.Start
	for _, gap := range c.Gaps {
		if gap[0] <= after || gap[1] <= gap[0] || gap[1] > len(c.IDs) {
			return false
		}
		after = gap[1]
	}
	return c.Start >= 0
}
