package dpo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"math"
	"slices"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo/tfevents"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// Metrics are what a step or an evaluation measured, under TRL's names in metrics.jsonl.
type Metrics struct {
	Step         int     `json:"step"` // steps done
	Epoch        float64 `json:"epoch"`
	Preferences          // of the groups before this step's update
	GradNorm     float64 `json:"grad_norm"` // before clipping, of the loss itself
	LearningRate float64 `json:"learning_rate"`
	NumTokens    int64   `json:"num_tokens"` // so far, prompts counted once a completion

	*Scaling        // of a run in float16
	Overflowed bool `json:"-"` // the gradient did, and there was no update

	StepSeconds      float64 `json:"step_seconds"`
	OptimizerSeconds float64 `json:"optimizer_seconds"` // of them; 0 where gradients are released
	Work
	TokensPerSecond  float64 `json:"tokens_per_second"`
	PeakMemoryBytes  int64   `json:"peak_memory_bytes"`
	DeviceMemory     int64   `json:"device_memory_bytes,omitempty"` // what is taken of a GPU's memory, by all processes
	RowsDropped      int     `json:"rows_dropped"`
	RowsTruncated    int     `json:"rows_truncated"`
	ReferenceSeconds float64 `json:"reference_seconds,omitempty"` // with the first step, or where rows stream with each that met new ones
}

// Work says how much of a step's computing served nothing, and how much was spared.
type Work struct {
	Padding float64 `json:"padding_ratio"` // share of attention's slots that hold no token
	Sharing float64 `json:"sharing_ratio"` // share of tokens spared because a prompt is computed once for all its answers
	Skipped float64 `json:"skipped_ratio"` // share of attention's pairs spared, of whole squares over separate sequences
}

// work counts what Work is the ratios of.
type work struct{ tokens, slots, separate, pairs, squares int }

// add counts a micro-batch of that shape.
func (w *work) add(s microShape, groups []datasets.Example) {
	w.tokens += s.T
	w.slots += s.G * (s.P + s.K*s.C)
	w.pairs += s.pairs()
	for _, x := range groups {
		for _, c := range x.Completions {
			n := len(x.Prompt) + len(c.IDs) - 1
			w.separate += n
			w.squares += n * n
		}
	}
}

func (w work) ratios() Work {
	spared := func(done, all int) float64 { return 1 - float64(done)/float64(max(all, 1)) }
	return Work{Padding: spared(w.tokens, w.slots), Sharing: spared(w.tokens, w.separate), Skipped: spared(w.pairs, w.squares)}
}

// Preferences sum up how a model's implicit rewards r̂ order groups: means over groups. In a ranked group "chosen" is
// the best answer, "rejected" the worst, and accuracies counts each pair of answers that are not tied. A reward model's rewards are
// its own.
type Preferences struct {
	Loss          float64 `json:"loss"`
	Chosen        float64 `json:"rewards/chosen"`
	Rejected      float64 `json:"rewards/rejected"`
	Accuracies    float64 `json:"rewards/accuracies"` // share of pairs with r̂(better) > r̂(worse)
	Margins       float64 `json:"rewards/margins"`
	ChosenLogps   float64 `json:"logps/chosen"`
	RejectedLogps float64 `json:"logps/rejected"`

	// KL estimates the divergence from the reference, in nats: of a loss of single answers that takes it into account, the mean of
	// log π − log π_ref of answers to other prompts, 0 at least.
	KL *float64 `json:"kl,omitempty"`

	Objective string `json:"-"` // of the run: Likelihood measures the loss alone, Reward no log-probabilities

	// Single answers, by their labels. Where there are any there are no accuracies, "chosen" are the answers whose label is true and
	// "rejected" the others, and what is said of a kind is left out where there is none of it.
	desirable, undesirable float64
}

// Singles reports whether the preferences are those of single answers, which have no accuracies.
func (p Preferences) Singles() bool { return p.KL != nil || p.desirable+p.undesirable > 0 }

// unmeasured are the names of what there is nothing to say of.
func (p Preferences) unmeasured() []string {
	names := unmeasured[p.Objective]
	if p.Singles() {
		names = []string{"rewards/accuracies"}
		if p.desirable == 0 {
			names = append(names, "rewards/chosen", "logps/chosen")
		}
		if p.undesirable == 0 {
			names = append(names, "rewards/rejected", "logps/rejected")
		}
		if p.desirable == 0 || p.undesirable == 0 {
			names = append(names, "rewards/margins")
		}
	}
	return names
}

// unmeasured are the names of what runs of an objective have nothing to say of.
var unmeasured = map[string][]string{
	Likelihood: {"rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected"},
	Reward:     {"logps/chosen", "logps/rejected"},
}

// without leaves names out of a JSON object.
func without(text []byte, names []string) ([]byte, error) {
	if names == nil {
		return text, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	for _, name := range names {
		delete(fields, name)
	}
	return json.Marshal(fields)
}

// updates is how many the optimizer has made.
func (m *Metrics) updates() int {
	if m.Scaling == nil {
		return m.Step
	}
	return m.Step - m.SkippedSteps
}

// MarshalJSON leaves out what the run's objective does not measure, and the norm of a gradient that overflowed.
func (m Metrics) MarshalJSON() ([]byte, error) {
	type plain Metrics
	text, err := json.Marshal(plain(m))
	if err != nil {
		return nil, err
	}
	names := m.unmeasured()
	if m.Overflowed {
		names = append(slices.Clone(names), "grad_norm")
	}
	return without(text, names)
}

// add takes in one micro-batch of groups of K completions whose weights are 1/total.
func (p *Preferences) add(groups []datasets.Example, of losses, total float64) {
	p.Loss += of.loss
	if of.rewards == nil {
		return
	}
	completions := len(groups[0].Completions)
	if completions == 1 {
		p.addSingles(groups, of, total)
		return
	}
	for g, x := range groups {
		at := g * completions
		r, logps := of.rewards[at:at+completions], of.policy[at:at+completions]
		p.Chosen += r[0] / total
		p.Rejected += r[completions-1] / total
		p.Margins += (r[0] - r[completions-1]) / total
		p.ChosenLogps += logps[0] / total
		p.RejectedLogps += logps[completions-1] / total
		p.Accuracies += ordered(x, r) / total
	}
}

// addSingles takes in single answers that are labelled. There may be more of one kind than of the other, so each has a mean of its own.
func (p *Preferences) addSingles(groups []datasets.Example, of losses, total float64) {
	for g, x := range groups {
		n, reward, logps := &p.undesirable, &p.Rejected, &p.RejectedLogps
		if x.Label == datasets.Desirable {
			n, reward, logps = &p.desirable, &p.Chosen, &p.ChosenLogps
		}
		*n++
		*reward += (of.rewards[g] - *reward) / *n
		*logps += (of.policy[g] - *logps) / *n
	}
	p.Margins = p.Chosen - p.Rejected
	if of.drift == nil {
		return
	}
	kl := 0.0
	if p.KL != nil {
		kl = *p.KL
	}
	kl += max(mean(of.drift).Mean, 0) * float64(len(groups)) / total
	p.KL = &kl
}

// ordered is the share of pairs whose better answer has the higher reward, of those that are not tied; a half where all are.
func ordered(x datasets.Example, rewards []float64) float64 {
	right, pairs := 0.0, 0.0
	for i, better := range rewards {
		for k := i + 1; k < len(rewards); k++ {
			if tied(x, i, k) {
				continue
			}
			pairs++
			if better > rewards[k] {
				right++
			}
		}
	}
	if pairs == 0 {
		return 0.5
	}
	return right / pairs
}

func (p Preferences) finite() bool {
	sum := p.Loss + p.ChosenLogps + p.RejectedLogps
	return !math.IsNaN(sum) && !math.IsInf(sum, 0)
}

// Evaluation is what held-out data measured.
type Evaluation struct {
	Step int
	Preferences
	Groups  int
	Seconds float64
}

// MarshalJSON writes the names of Preferences with "eval_" before them.
func (e Evaluation) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(e.Preferences)
	if err == nil {
		text, err = without(text, e.unmeasured())
	}
	if err != nil {
		return nil, err
	}
	values := map[string]float64{}
	if err := json.Unmarshal(text, &values); err != nil {
		return nil, err
	}
	line := map[string]float64{"step": float64(e.Step), "eval_groups": float64(e.Groups), "eval_seconds": e.Seconds}
	for name, v := range values {
		line["eval_"+name] = v
	}
	return json.Marshal(line)
}

// tokens counts a group's tokens as TRL does: the prompt once for each completion.
func tokens(x datasets.Example) int64 {
	n := 0
	for _, c := range x.Completions {
		n += len(x.Prompt) + len(c.IDs)
	}
	return int64(n)
}

// metricsFiles are run/metrics.jsonl, a line a step or evaluation, and the event file with the same numbers.
type metricsFiles struct {
	lines  *safefile.Appended
	events *tfevents.Writer
	sum    hash.Hash // of lines
}

// openMetrics cuts the files at the lengths they had when the state to go on from was saved, and reports whether so much of the lines is
// what it was.
func openMetrics(metrics, events string, s state) (m *metricsFiles, whole bool, err error) {
	f, err := safefile.Append(metrics, s.MetricsBytes)
	if err != nil {
		return nil, false, err
	}
	m = &metricsFiles{lines: f, sum: sha256.New()}
	if err = digestFile(m.sum, metrics); err == nil {
		m.events, err = tfevents.Open(events, s.EventsBytes)
	}
	if err != nil {
		return nil, false, errors.Join(err, f.Close())
	}
	return m, s.Step == 0 || m.digest() == s.MetricsDigest, nil
}

func (m *metricsFiles) digest() string { return hex.EncodeToString(m.sum.Sum(nil)) }

func (m *metricsFiles) write(measured any) error {
	text, err := json.Marshal(measured)
	if err != nil {
		return err
	}
	line := append(text, '\n')
	if _, err := m.lines.Write(line); err != nil {
		return err
	}
	m.sum.Write(line)
	step, scalars, err := scalars(text)
	if err != nil {
		return err
	}
	return m.events.Write(step, scalars)
}

// scalars are the numbers of a line of metrics.jsonl, but for its step.
func scalars(line []byte) (step int64, numbers map[string]float64, err error) {
	var values map[string]any
	if err := json.Unmarshal(line, &values); err != nil {
		return 0, nil, err
	}
	numbers = map[string]float64{}
	for name, v := range values {
		if x, ok := v.(float64); ok {
			numbers[name] = x
		}
	}
	step = int64(numbers["step"])
	delete(numbers, "step")
	return step, numbers, nil
}

// settle notes where the next line and the next event start, once all before them is on the disk.
func (m *metricsFiles) settle(s *state) (err error) {
	if s.MetricsBytes, err = m.lines.Sync(); err != nil {
		return err
	}
	s.MetricsDigest = m.digest()
	s.EventsBytes, err = m.events.Length()
	return err
}

func (m *metricsFiles) close() error { return errors.Join(m.lines.Close(), m.events.Close()) }
