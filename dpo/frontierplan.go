package dpo

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// FrontierPlan says what a frontier is made of. In a file of YAML the keys are those below; dpo and preferred-ft hold settings of train
// and sft under the names of their flags.
type FrontierPlan struct {
	Reference string       `yaml:"reference" json:"reference"`   // model directory: what all runs begin with, and divergence is measured from
	Prompts   []string     `yaml:"prompts" json:"prompts"`       // files of prompts that no run has seen
	Reward    string       `yaml:"reward" json:"reward"`         // as OpenJudge takes it
	Samples   int          `yaml:"samples" json:"samples"`       // of each prompt, a point
	MaxTokens int          `yaml:"max-tokens" json:"max-tokens"` // of a sample
	Seed      int64        `yaml:"seed" json:"seed"`
	Threads   int          `yaml:"threads" json:"-"`
	Device    string       `yaml:"device" json:"device"`
	Judge     JudgeOptions `yaml:"-" json:"-"`

	Betas       []float64 `yaml:"betas" json:"betas"`   // a DPO run each
	Points      int       `yaml:"points" json:"points"` // checkpoints of each run that become points, at even distances, its end included
	DPO         Config    `yaml:"dpo" json:"dpo"`
	PreferredFT *Config   `yaml:"preferred-ft" json:"preferred-ft"` // nil for none

	ReferenceSamples int       `yaml:"reference-samples" json:"reference-samples"` // of each prompt, for best-of-n and the bound
	BestOf           []int     `yaml:"best-of" json:"best-of"`
	BoundBetas       []float64 `yaml:"bound-betas" json:"bound-betas"` // a point of the bound each
}

// NewFrontierPlan gives the defaults.
func NewFrontierPlan() (p FrontierPlan, err error) {
	p = FrontierPlan{Samples: 4, MaxTokens: 64, Device: "cpu", Betas: []float64{0.05, 0.1, 0.3, 1}, Points: 2, ReferenceSamples: 128,
		BestOf: []int{1, 2, 4, 8, 16, 32, 64, 128}}
	for beta := 4.0; beta > 0.04; beta /= math.Sqrt2 {
		p.BoundBetas = append(p.BoundBetas, beta)
	}
	if p.DPO, err = NewConfig("paper"); err != nil {
		return p, err
	}
	sft, err := NewObjective(Likelihood)
	sft.On = onChosen
	p.PreferredFT = &sft
	return p, err
}

// Check reports all settings that make no sense.
func (p FrontierPlan) Check() error {
	var wrong []string
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	refuse(p.Reference == "", "reference is missing: name the model directory that all runs begin with")
	refuse(len(p.Prompts) == 0, "prompts are missing: name files with a column prompt")
	refuse(p.Reward == "", "reward is missing: name what answers are judged by, such as lexicon:FILE")
	refuse(p.Samples < 1 || p.ReferenceSamples < 1 || p.Points < 1, "samples, reference-samples and points must be at least 1")
	refuse(p.MaxTokens < 1, "max-tokens must be at least 1, it is %d", p.MaxTokens)
	senseless := func(beta float64) bool { return !(beta > 0 && beta <= math.MaxFloat64) }
	refuse(slices.ContainsFunc(p.Betas, senseless), "betas must be positive, they are %v", p.Betas)
	refuse(slices.ContainsFunc(p.BoundBetas, senseless), "bound-betas must be positive, they are %v", p.BoundBetas)
	sorted := slices.Sorted(slices.Values(p.Betas))
	refuse(len(slices.Compact(sorted)) < len(p.Betas), "betas must differ, they are %v", p.Betas)
	refuse(slices.ContainsFunc(p.BestOf, func(n int) bool { return n < 1 || n > p.ReferenceSamples }),
		"best-of must be from 1 to reference-samples, which is %d; it is %v", p.ReferenceSamples, p.BestOf)
	check := func(name string, c Config) {
		c.Model, c.Out = "reference", "out" // the frontier sets them
		if err := c.Check(); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", name, err))
		}
		refuse(c.Steps == 0, "%s: steps are missing: points lie at even distances of a known number", name)
	}
	check("dpo", p.DPO)
	if p.PreferredFT != nil {
		check("preferred-ft", *p.PreferredFT)
	}
	if wrong != nil {
		return Usage("%s", strings.Join(wrong, "; "))
	}
	return nil
}
