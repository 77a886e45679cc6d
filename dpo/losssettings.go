package dpo

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dpo-ort/dpo-ort/dpo/loss"
)

// LossSettings are settings of a loss by name, beside those with flags of their own. As a flag they are written "gamma=0.5,alpha=1".
type LossSettings map[string]float64

// String writes them sorted by name.
func (s LossSettings) String() string {
	parts := make([]string, 0, len(s))
	for _, name := range slices.Sorted(maps.Keys(s)) {
		parts = append(parts, fmt.Sprintf("%s=%v", name, s[name]))
	}
	return strings.Join(parts, ",")
}

// Set reads what String writes.
func (s *LossSettings) Set(text string) error {
	read := LossSettings{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		v, err := strconv.ParseFloat(value, 64)
		_, twice := read[name]
		switch {
		case part == "" && text == "":
			continue
		case !ok || name == "" || err != nil:
			return fmt.Errorf("%q is no setting: write NAME=NUMBER, several with commas between them", part)
		case twice:
			return fmt.Errorf("%s is given twice", name)
		}
		read[name] = v
	}
	*s = read
	return nil
}

// Type names the kind of flag in the help.
func (s *LossSettings) Type() string { return "name=number,..." }

// checkLoss reports settings that the loss does not have, or that are out of their range.
func (c Config) checkLoss() (wrong []string) {
	l, err := loss.Lookup(c.Loss)
	if err != nil {
		return nil // which is told with the objective
	}
	if smoothed := loss.Taking("label_smoothing"); c.LabelSmoothing != 0 && !slices.Contains(smoothed, l.Name) {
		wrong = append(wrong, fmt.Sprintf("label-smoothing is a setting of %s, not of %s: leave it out (it is %v)", loss.And(smoothed), l.Name, c.LabelSmoothing))
	}
	if _, err := l.Resolve(c.LossSettings); err != nil {
		wrong = append(wrong, "loss-settings: "+err.Error())
	}
	if c.Ref != "" && (l.Free || c.ReferenceFree) && !c.aim().alone {
		what := "loss " + l.Name
		if !l.Free {
			what = "reference-free"
		}
		wrong = append(wrong, what+" has no reference: leave out ref")
	}
	if c.ReferenceFree && c.aim().alone {
		wrong = append(wrong, c.aim().verb+" has no reference: leave out reference-free")
	}
	return wrong
}
