// Package loss holds the losses, as graphs from log-probs of whole completions to a number per group. A group is a prompt
// with K completions, the best first. With the implicit rewards
//
//	r = β (log π(y|x) − log π_ref(y|x))                       (arXiv 2305.18290, Section 4)
//
// a loss's graph has, for G groups,
//
//	inputs   policy_logps, reference_logps, lengths [G,K]   sums of log-probs over a completion's scored tokens, how many they are
//	         wins [G,K], rivals [G,Q,K], choices [G,Q]      who was preferred to whom, and the choices' shares: see [Choices];
//	                                                        a group with fewer than Q has choices of share 0
//	         margin, weight [G]                             by how much the first should win; the group's share of loss
//	         mean_tokens                                    how many scored tokens the first completions of the whole step have, in the
//	                                                        mean; of rank 0, as are the settings: beta, …
//	         label, drift [G]                               of single completions: 1 for one that is desirable; log π − log π_ref of the
//	                                                        completion of another group, given this one's prompt
//	         state.NAME [1]                                 what the loss carries from the step before, 0 before the first
//	outputs  loss [1]                                             Σ weight · losses over the groups
//	         losses [G]                                           of each group
//	         rewards [G,K]                                        but for a loss of completions alone
//	         next.NAME [1]                                        what it carries to the next step
//
// of which it has only those inputs that it uses. A loss that is Free of a reference has log π(y|x) for the ratio of π and π_ref. The gradient is not part of it: whoever trains differentiates the graph.
// The groups of a loss of scope Step are all of a step; of another, any of them.
//
// Of a pair, h = r₁/β − r₂/β is how much further the policy has moved to the first completion than to the second. Some losses
// are functions of h, or of log-probs of another kind; their rewards are those above all the same.
//
// Each loss is one file that cites its paper and registers itself. Graphs consist of operators that ONNX Runtime has in
// float64, and never exponentiate a positive number.
package loss

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Loss is a function of a group's log-probs.
type Loss struct {
	Name     string
	Says     string             // the formula, in a line of plain text, for who chooses
	Paper    string             // where it comes from
	Settings []settings.Setting // numbers, graph inputs of rank 0
	Columns  []string           // of the data that each row must have, beside its completions: margin
	Scope    Scope              // what it is a function of at once
	State    []string           // numbers that it carries from one step to the next, 0 before the first

	Pairs    bool // defined for two completions only
	Unpaired bool // of single completions that are labelled
	Alone    bool // of each completion by itself: it compares none, and has no reference
	Free     bool // compares completions without a reference: none is run, and rewards are β·log π(y|x)
	Averaged bool // of log-probs averaged over each completion's tokens; the rewards, too, where it is Free
	Divided  bool // takes choices that votes or ties divide among completions

	// Difference: it sees the ratios of π and π_ref in their differences alone, so that another f-divergence may stand in the place of the
	// reverse KL: see [Loss.Under].
	Difference bool

	Digest string // of a loss of a file: the SHA-256 of its bytes

	parts []part  // of a mixture
	data  []byte  // of a file
	score scoring // of an f-divergence; nil for the reverse KL

	// losses gives the loss of each group, [G].
	losses func(f formula, in inputs) *onnx.Value
}

// Scope is what a loss looks at to give one group's part of it.
type Scope int

// The scopes.
const (
	Group Scope = iota // that group alone
	Step               // all groups of the step
)

var registry = map[string]*Loss{}

// register adds a loss. Each file calls it from init.
func register(l Loss) {
	if _, twice := registry[l.Name]; twice {
		panic("two losses named " + l.Name)
	}
	registry[l.Name] = &l
}

// Names lists the losses, sorted.
func Names() []string { return slices.Sorted(maps.Keys(registry)) }

// Comparing lists the losses of preferences: those that compare completions.
func Comparing() []string {
	return slices.DeleteFunc(Names(), func(name string) bool { return registry[name].Alone })
}

// Lookup finds a loss by name, or makes the mixture that the name writes: see [Mix].
func Lookup(name string) (*Loss, error) {
	if l, ok := registry[name]; ok {
		return l, nil
	}
	if strings.ContainsAny(name, "=,") {
		return Mix(name)
	}
	return nil, &UnknownError{name}
}

// UnknownError is a name that no loss has.
type UnknownError struct{ Name string }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("unknown loss %q: %s are known", e.Name, strings.Join(Names(), ", "))
}

// Check reports whether the loss is defined for groups of k completions.
func (l *Loss) Check(k int) error {
	switch {
	case l.Alone && k > 0, l.Unpaired && k == 1:
		return nil
	case l.Unpaired:
		return fmt.Errorf("loss %s takes single completions, each with a label, there are %d", l.Name, k)
	case k < 2:
		return fmt.Errorf("loss %s compares completions, there are %d", l.Name, k)
	case l.Pairs && k != 2:
		return fmt.Errorf("loss %s compares two completions, there are %d: plackett_luce takes a ranking", l.Name, k)
	}
	return nil
}

// CheckChoices reports whether the loss takes choices that may be divided.
func (l *Loss) CheckChoices(c Choices) error {
	if l.Divided || !c.Divided() {
		return nil
	}
	return fmt.Errorf("its answers are tied, or its votes divided, which loss %s does not take: give --loss sigmoid or plackett_luce, or leave such rows out", l.Name)
}
