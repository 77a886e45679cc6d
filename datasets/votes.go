package datasets

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// dissent is the share of votes for the rejected answer of a pair, by the column chosen_share.
func (r row) dissent() (float64, error) {
	share, err := r.number("chosen_share", 1)
	if err == nil && (share < 0 || share > 1) {
		err = fmt.Errorf("column chosen_share holds %v: the share of votes for chosen is needed, from 0 to 1", share)
	}
	return 1 - share, err
}

// level tells whether a pair's answers have the same score, so that the data prefers neither.
func (r row) level() bool {
	for _, names := range [][2]string{{"score_chosen", "score_rejected"}, {"chosen_score", "rejected_score"}} {
		a, ok := r.value(names[0]).(float64)
		if b, both := r.value(names[1]).(float64); ok && both {
			return a == b
		}
	}
	return false
}

// voted reads two answers, a and b, and the votes on them: a pair whose first has the more. Of as many votes each, a is first.
func (r row) voted() (Group, error) {
	var g Group
	var err error
	if g.Prompt, err = r.text("prompt"); err != nil {
		return Group{}, err
	}
	g.Completions = make([]Text, 2)
	for i, column := range []string{"a", "b"} {
		if g.Completions[i], err = r.text(column); err != nil {
			return Group{}, err
		}
	}
	if err := g.matchKinds(); err != nil {
		return Group{}, err
	}
	v, err := asVotes(r.value("votes"))
	if err != nil {
		return Group{}, fmt.Errorf("column votes %w", err)
	}
	if g.Ref, err = r.numbers("ref_logps", 2, false); err != nil {
		return Group{}, err
	}
	if g.Cut, err = r.cut(2); err != nil {
		return Group{}, err
	}
	if v.a < v.b {
		g.permute([]int{1, 0})
	}
	g.Dissent = (min(v.a, v.b) + v.tie/2) / (v.a + v.b + v.tie)
	return g, nil
}

// votes counts those for each answer, and those for neither. A tie is half a vote for each.
type votes struct{ a, b, tie float64 }

const neededVotes = "needed is a list of votes, each 1 or a, 2 or b, 0 or tie, or an object with their counts: a, b, tie"

func asVotes(v any) (n votes, err error) {
	switch v := v.(type) {
	case []any:
		for _, vote := range v {
			of := n.of(vote)
			if of == nil {
				return n, fmt.Errorf("holds a list with %s: %s", shown(vote), neededVotes)
			}
			*of++
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			of := n.of(name)
			count, ok := v[name].(float64)
			if of == nil || v[name] != nil && !(ok && count >= 0 && count <= math.MaxInt32) {
				return n, fmt.Errorf("holds %s of %s: %s", describe(v[name]), name, neededVotes)
			}
			*of += count
		}
	default:
		return n, fmt.Errorf("holds %s: %s", describe(v), neededVotes)
	}
	if n.a+n.b+n.tie == 0 {
		return n, fmt.Errorf("holds no vote: %s", neededVotes)
	}
	return n, nil
}

// of is the count that a vote adds to; nil where it is no vote.
func (n *votes) of(vote any) *float64 {
	switch vote {
	case 1.0, "a":
		return &n.a
	case 2.0, "b":
		return &n.b
	case 0.0, "tie":
		return &n.tie
	}
	return nil
}

// shown is a value in an error message, or its type where it is long.
func shown(v any) string {
	switch v := v.(type) {
	case float64:
		return fmt.Sprint(v)
	case string:
		return fmt.Sprintf("%.20q", v)
	}
	return describe(v)
}
