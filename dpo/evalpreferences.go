package dpo

import (
	"errors"
	"fmt"
	"math"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// PreferenceEval is how a model's rewards order the answers of a data set: implicit rewards, those of a reward model, or without a
// reference log-probabilities. Standard errors are over groups.
type PreferenceEval struct {
	Groups      int           `json:"groups"`
	Failed      int           `json:"failed"`   // rows that could not be scored
	Accuracy    Mean          `json:"accuracy"` // share of pairs whose better answer has the higher reward; a tie is a half
	Margin      Mean          `json:"margin"`   // of the rewards of a pair
	LogLoss     Mean          `json:"log_loss"` // −log σ(margin): that of the labels, if rewards were Bradley–Terry's
	Calibration []Calibrated  `json:"calibration"`
	ECE         float64       `json:"ece"` // expected calibration error, the mean of |accuracy − confidence|
	Lengths     []LengthShare `json:"lengths"`
}

// Calibrated are the pairs that σ(|margin|), the confidence, puts into a bin.
type Calibrated struct {
	From       float64 `json:"from"`
	To         float64 `json:"to"`
	Pairs      int     `json:"pairs"`
	Confidence float64 `json:"confidence"`
	Accuracy   float64 `json:"accuracy"`
}

// LengthShare are the groups whose longest answer has so many tokens.
type LengthShare struct {
	Most     int64 `json:"most"` // tokens; 0 for no bound
	Accuracy Mean  `json:"accuracy"`
}

// lengthBounds are the most tokens of each bucket but the last.
var lengthBounds = []int64{16, 32, 64, 128, 256, 512}

const calibrationBins = 10

// orderedGroup is a group's margins of all pairs, and its longest answer.
type orderedGroup struct {
	margins []float64
	longest int64
}

// preferences scores the data and measures how it is ordered.
func (e *evaluating) preferences() (*PreferenceEval, error) {
	out := e.path(evalScoredFile)
	c := ScoreConfig{Model: e.Model, Ref: e.Ref, Beta: e.Beta, MaxLength: e.Judge.Score.MaxLength, MaxPromptLength: max(e.Judge.Score.MaxPromptLength, 1),
		Truncate: "prompt", EOS: "add", Threads: e.Threads, Device: e.Device}
	if !there(out) {
		for s, err := range Score(e.ctx, c, e.tok, ScoreFiles{Data: e.Data, Columns: e.Names, Out: out}) {
			if err != nil {
				return nil, err
			}
			if !e.yield(Event{Phase: "score", Done: int(s.Rows), Total: int(s.Total)}) {
				return nil, errStopped
			}
			for _, w := range s.Warnings {
				if !e.yield(Event{Phase: "score", Warning: &w}) {
					return nil, errStopped
				}
			}
		}
	}
	groups, failed, err := e.scoredGroups(out)
	if err != nil {
		return nil, err
	}
	p := measurePreferences(groups)
	p.Failed = failed
	return p, nil
}

// scoredGroups reads what score wrote.
func (e *evaluating) scoredGroups(file string) (groups []orderedGroup, failed int, err error) {
	t, err := datasets.OpenTable(file, datasets.Options{Columns: e.Names})
	if err != nil {
		return nil, 0, err
	}
	defer t.Close()
	names, err := rewardColumns(t.Kind(), e.Ref != "")
	if err != nil {
		return nil, 0, err
	}
	if t, err = datasets.OpenTable(file, datasets.Options{Columns: e.Names, Keep: append(names, "error")}); err != nil {
		return nil, 0, err
	}
	defer t.Close()
	for row, err := range t.Rows(0) {
		switch {
		case err != nil:
			return nil, 0, err
		case row.Err != nil || row.Value("error") != nil:
			failed++
			continue
		}
		g, err := orderedRow(row, names)
		if err != nil {
			return nil, 0, fmt.Errorf("row %d of %s: %w", row.Group.Row, file, err)
		}
		if g.margins == nil {
			failed++
			continue
		}
		groups = append(groups, g)
	}
	if groups == nil {
		return nil, failed, fmt.Errorf("evaluate: no row of %v could be scored", e.Data)
	}
	return groups, failed, nil
}

// rewardColumns names the columns of rewards, or without a reference of log-probabilities, and of tokens.
func rewardColumns(k datasets.Kind, ref bool) ([]string, error) {
	switch {
	case k == datasets.Singles:
		return nil, errors.New("evaluate: rows of one answer have no order; pairs or rankings are needed")
	case k == datasets.Pairs && ref:
		return []string{"chosen_rewards", "rejected_rewards", "chosen_tokens", "rejected_tokens"}, nil
	case k == datasets.Pairs:
		return []string{"policy_chosen_logps", "policy_rejected_logps", "chosen_tokens", "rejected_tokens"}, nil
	case ref:
		return []string{"rewards", "tokens"}, nil
	}
	return []string{"policy_logps", "tokens"}, nil
}

// orderedRow takes the margins of all pairs of a row whose answers are not tied.
func orderedRow(row datasets.Row, names []string) (g orderedGroup, err error) {
	var values []float64
	for _, name := range names {
		of, err := numbersOf(row.Value(name))
		if err != nil {
			return g, fmt.Errorf("column %s: %w", name, err)
		}
		values = append(values, of...)
	}
	K := len(row.Group.Completions)
	if len(values) != 2*K {
		return g, fmt.Errorf("%d values in %v for %d answers", len(values), names, K)
	}
	inFile := func(k int) int {
		if row.Group.Order != nil {
			return row.Group.Order[k]
		}
		return k
	}
	for k := range K {
		g.longest = max(g.longest, int64(values[K+k]))
		for j := k + 1; j < K; j++ {
			if !row.Group.Tied(k, j) {
				g.margins = append(g.margins, values[inFile(k)]-values[inFile(j)])
			}
		}
	}
	return g, nil
}

// numbersOf gives a number, or the entries of a list of them.
func numbersOf(value any) ([]float64, error) {
	switch v := value.(type) {
	case float64:
		return []float64{v}, nil
	case int64:
		return []float64{float64(v)}, nil
	case []any:
		var out []float64
		for _, x := range v {
			of, err := numbersOf(x)
			if err != nil {
				return nil, err
			}
			out = append(out, of...)
		}
		return out, nil
	}
	return nil, fmt.Errorf("it holds %v, a number is needed", value)
}

// measurePreferences sums groups up.
func measurePreferences(groups []orderedGroup) *PreferenceEval {
	p := &PreferenceEval{Groups: len(groups), Calibration: make([]Calibrated, calibrationBins)}
	right, margins, losses := make([][]float64, len(groups)), make([][]float64, len(groups)), make([][]float64, len(groups))
	byLength := make([][][]float64, len(lengthBounds)+1)
	pairs := 0.0
	for i, g := range groups {
		for _, m := range g.margins {
			won := 0.5
			if m != 0 {
				won = asNumber(m > 0)
			}
			right[i], margins[i] = append(right[i], won), append(margins[i], m)
			losses[i] = append(losses[i], math.Max(-m, 0)+math.Log1p(math.Exp(-math.Abs(m))))
			p.calibrate(m, won)
			pairs++
		}
		bucket := 0
		for bucket < len(lengthBounds) && g.longest > lengthBounds[bucket] {
			bucket++
		}
		byLength[bucket] = append(byLength[bucket], right[i])
	}
	p.Accuracy, p.Margin, p.LogLoss = clustered(right), clustered(margins), clustered(losses)
	for i := range p.Calibration {
		c := &p.Calibration[i]
		c.From, c.To = 0.5+0.5*float64(i)/calibrationBins, 0.5+0.5*float64(i+1)/calibrationBins
		if c.Pairs > 0 {
			c.Confidence /= float64(c.Pairs)
			c.Accuracy /= float64(c.Pairs)
			p.ECE += math.Abs(c.Accuracy-c.Confidence) * float64(c.Pairs) / pairs
		}
	}
	for i, of := range byLength {
		if len(of) > 0 {
			most := int64(0)
			if i < len(lengthBounds) {
				most = lengthBounds[i]
			}
			p.Lengths = append(p.Lengths, LengthShare{most, clustered(of)})
		}
	}
	return p
}

// calibrate adds a pair to its bin.
func (p *PreferenceEval) calibrate(margin, won float64) {
	confidence := 1 / (1 + math.Exp(-math.Abs(margin)))
	c := &p.Calibration[min(int((confidence-0.5)*2*calibrationBins), calibrationBins-1)]
	c.Pairs++
	c.Confidence += confidence
	c.Accuracy += won
}
