package report

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/plainjson"
)

// Frontier is what policies gain in reward for what they depart from the reference: frontier.json. Rewards are in the reward's own
// unit, KL(π‖πref) in nats a prompt.
type Frontier struct {
	Reward          string          `json:"reward"`           // its name
	ReferenceReward float64         `json:"reference_reward"` // the reference's mean
	Points          []FrontierPoint `json:"points"`
	Bound           []BoundPoint    `json:"bound,omitempty"`
	Samples         []BeforeAfter   `json:"samples,omitempty"`
}

// FrontierPoint is one policy, measured on its own samples.
type FrontierPoint struct {
	Method   string  `json:"method"` // one of Methods
	Label    string  `json:"label"`
	Run      string  `json:"run,omitempty"`
	Beta     float64 `json:"beta,omitempty"`
	N        int     `json:"n,omitempty"` // of best-of-n
	Step     int     `json:"step,omitempty"`
	KL       float64 `json:"kl"`
	KLSE     float64 `json:"kl_se"` // standard errors of the means
	Reward   float64 `json:"reward"`
	RewardSE float64 `json:"reward_se"`
	Samples  int     `json:"samples"`
}

// BoundPoint is the optimum of Eq. 4 of the DPO paper, π* ∝ πref·exp(r/β), estimated from the reference's samples.
type BoundPoint struct {
	Beta   float64 `json:"beta"`
	KL     float64 `json:"kl"`
	Reward float64 `json:"reward"`
	ESS    float64 `json:"ess"` // effective sample size of the importance weights
}

// BeforeAfter is what the reference and a policy wrote after a prompt.
type BeforeAfter struct {
	Prompt       string  `json:"prompt"`
	Before       string  `json:"before"`
	After        string  `json:"after"`
	RewardBefore float64 `json:"reward_before"`
	RewardAfter  float64 `json:"reward_after"`
}

// methods are the series of a frontier, in the order of the legend, by their names in the file.
var methods = []struct{ name, title string }{
	{"dpo", "DPO"}, {"preferred-ft", "Preferred-FT"}, {"best-of-n", "best of N"}, {"reference", "reference"}, {"other", "other"},
}

// Methods lists what a FrontierPoint's Method may be.
func Methods() (names []string) {
	for _, m := range methods {
		names = append(names, m.name)
	}
	return names
}

// ReadFrontier reads a file of this form; a field that it does not know is refused.
func ReadFrontier(file string) (*Frontier, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var f Frontier
	err = plainjson.UnmarshalStrict(text, &f)
	if err == nil {
		err = f.Check()
	}
	if err != nil {
		return nil, fmt.Errorf("reading frontier %s: %w", file, err)
	}
	return &f, nil
}

// Check reports what cannot be drawn.
func (f *Frontier) Check() error {
	var wrong []error
	for i, p := range f.Points {
		if !slices.Contains(Methods(), p.Method) {
			wrong = append(wrong, fmt.Errorf("points[%d]: method %q is none of %s", i, p.Method, strings.Join(Methods(), ", ")))
		}
		if !drawable(p.KL) || !drawable(p.KLSE) || !drawable(p.Reward) || !drawable(p.RewardSE) {
			wrong = append(wrong, fmt.Errorf("points[%d]: kl %v or reward %v, or an error of theirs, is too large to draw", i, p.KL, p.Reward))
		}
		if p.KLSE < 0 || p.RewardSE < 0 {
			wrong = append(wrong, fmt.Errorf("points[%d]: a standard error is negative: kl_se %v, reward_se %v", i, p.KLSE, p.RewardSE))
		}
	}
	for i, b := range f.Bound {
		if !drawable(b.KL) || !drawable(b.Reward) {
			wrong = append(wrong, fmt.Errorf("bound[%d]: kl %v or reward %v is too large to draw", i, b.KL, b.Reward))
		}
	}
	return errors.Join(wrong...)
}

// leastESS is the effective sample size below which a point of the bound is left out.
const leastESS = 50

// bound gives the points of the bound that can be trusted, by growing KL, and how many were left out.
func (f *Frontier) bound() (kept []BoundPoint, left int) {
	for _, b := range f.Bound {
		if b.ESS < leastESS {
			left++
			continue
		}
		kept = append(kept, b)
	}
	slices.SortStableFunc(kept, func(a, b BoundPoint) int { return cmp.Compare(a.KL, b.KL) })
	return kept, left
}

// samples are the frontier's texts as columns.
func (f *Frontier) samples() Samples {
	s := Samples{Title: "Samples of the frontier", Columns: []string{"before", "after"}}
	for _, x := range f.Samples {
		s.Rows = append(s.Rows, Sample{x.Prompt, []Text{{Text: x.Before, Reward: &x.RewardBefore}, {Text: x.After, Reward: &x.RewardAfter}}})
	}
	return s
}
