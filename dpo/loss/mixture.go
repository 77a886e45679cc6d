package loss

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// part is a loss in a mixture.
type part struct {
	of     *Loss
	weight float64
}

// Mix makes the weighted sum of several losses, written as "sigmoid=0.8,bco_pair=0.2,sft=1"; a loss without a weight has 1, as in TRL. What
// the losses need it needs, and their settings are its own, shared by those that have the same one. A row's rewards are β·(log π − log π_ref),
// or where none has a reference those of the first.
func Mix(text string) (*Loss, error) {
	l := &Loss{Name: text, Free: true, Divided: true, Difference: true, Paper: "a weighted sum"}
	var says []string
	for item := range strings.SplitSeq(text, ",") {
		p, err := readPart(item)
		if err == nil {
			err = l.join(p)
		}
		if err != nil {
			return nil, fmt.Errorf("loss %q: %w", text, err)
		}
		says = append(says, fmt.Sprintf("%v·%s", p.weight, p.of.Name))
	}
	l.Says = strings.Join(says, " + ")
	return l, nil
}

func readPart(item string) (p part, err error) {
	name, weight, given := strings.Cut(strings.TrimSpace(item), "=")
	of, ok := registry[name]
	switch p = (part{of, 1}); {
	case name == "":
		return p, fmt.Errorf("%q names no loss: write NAME=WEIGHT, several with commas between them", item)
	case !ok && strings.HasSuffix(name, ".onnx"):
		return p, fmt.Errorf("the loss of a file, %s, cannot be mixed: write the sum into the file", name)
	case !ok:
		return p, &UnknownError{name}
	case of.Unpaired:
		return p, fmt.Errorf("%s is of single completions that are labelled and cannot be mixed", name)
	case of.Alone:
		return p, fmt.Errorf("%s is of completions by themselves and cannot be mixed: sft and sft_mean are the terms for chosen answers", name)
	}
	if given {
		p.weight, err = strconv.ParseFloat(weight, 64)
	}
	if err != nil || !(p.weight > 0) || math.IsInf(p.weight, 1) {
		return p, fmt.Errorf("the weight of %s must be a positive number, it is %q", name, weight)
	}
	return p, nil
}

// join adds a part, with what it needs.
func (l *Loss) join(p part) error {
	for _, q := range l.parts {
		if q.of == p.of {
			return fmt.Errorf("%s is given twice", p.of.Name)
		}
		for _, s := range p.of.Settings {
			for _, other := range q.of.Settings {
				if s.Name == other.Name && s.About != other.About {
					return fmt.Errorf("%s is one thing to %s (%s) and another to %s (%s): they cannot be mixed", s.Name, q.of.Name, other.About, p.of.Name, s.About)
				}
			}
		}
	}
	l.parts = append(l.parts, p)
	for _, s := range p.of.Settings {
		if !slices.ContainsFunc(l.Settings, s.Same) {
			l.Settings = append(l.Settings, s)
		}
	}
	for _, c := range p.of.Columns {
		if !slices.Contains(l.Columns, c) {
			l.Columns = append(l.Columns, c)
		}
	}
	l.Scope, l.State = max(l.Scope, p.of.Scope), append(l.State, p.of.State...)
	l.Pairs = l.Pairs || p.of.Pairs
	l.Free, l.Divided = l.Free && p.of.Free, l.Divided && p.of.Divided
	l.Difference = l.Difference && (p.of.Difference || p.of.Free)
	return nil
}

// mixed is the weighted sum, and the rewards.
func (l *Loss) mixed(f formula, in inputs) (losses, rewards *onnx.Value) {
	for _, p := range l.parts {
		of, r := p.of.of(f, in)
		of = f.mul(f.Scalar(f.t, p.weight), of)
		if losses == nil {
			losses, rewards = of, r
			continue
		}
		losses = f.add(losses, of)
	}
	if !l.Free {
		rewards = f.mul(in.scalars["beta"], f.sub(in.policy, in.reference))
	}
	return losses, rewards
}
