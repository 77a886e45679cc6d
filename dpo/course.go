package dpo

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
)

// course is what the metrics of a run have shown so far.
type course struct {
	first, last *Metrics
	rate, norm  float64   // the most of any step
	rewarded    bool      // some step's rewards were not all 0
	recent      []Metrics // the last steps, at most recentSteps
	early       tally
	evaluations []evalPoint
	losses      tally // of the steps since the last evaluation; right is the loss
	over        bool  // the run has ended
}

// evalPoint is an evaluation, with the mean loss in training since the one before it.
type evalPoint struct {
	Evaluation
	trained float64
}

// tally sums up steps.
type tally struct {
	steps          int
	right, margins float64 // sums
}

const (
	// recentSteps is over how many steps the end of a run is averaged, of a long one; of a short one it is a tenth.
	recentSteps = 10
	// earlySteps are the first steps whose accuracy tells whether labels are flipped: later ones have seen their rows before, or
	// answers much like them.
	earlySteps = 20
)

// tookStep adds what a step measured.
func (c *course) tookStep(m Metrics) {
	if c.last = &m; c.first == nil {
		c.first = &m
	}
	c.rate, c.norm = max(c.rate, m.LearningRate), max(c.norm, m.GradNorm)
	if m.Chosen != 0 || m.Rejected != 0 {
		c.rewarded = true
		if c.early.steps < earlySteps {
			c.early.add(m.Accuracies, m.Margins)
		}
	}
	c.losses.add(m.Loss, 0)
	if c.recent = append(c.recent, m); len(c.recent) > recentSteps {
		c.recent = c.recent[1:]
	}
}

func (t *tally) add(right, margin float64) {
	t.steps++
	t.right += right
	t.margins += margin
}

// tookEvaluation adds what held-out data measured.
func (c *course) tookEvaluation(e Evaluation) {
	c.evaluations = append(c.evaluations, evalPoint{e, c.losses.right / float64(max(1, c.losses.steps))})
	c.losses = tally{}
}

// late is the mean of the last steps.
func (c *course) late() (p Preferences) {
	n := min(len(c.recent), max(1, c.last.Step/10))
	for _, m := range c.recent[len(c.recent)-n:] {
		p.Loss += m.Loss / float64(n)
		p.Chosen += m.Chosen / float64(n)
		p.Rejected += m.Rejected / float64(n)
		p.Margins += m.Margins / float64(n)
	}
	return p
}

// recall looks again at the metrics that a run has written, up to where its checkpoint stands. A line that cannot be read tells nothing:
// a diagnosis is no reason to refuse a run that can go on.
func (w *watcher) recall(path string, bytes int64) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	lines := bufio.NewReader(io.LimitReader(f, bytes))
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		if m, e := measuredIn(line); m != nil {
			w.tookStep(*m)
		} else if e != nil {
			w.tookEvaluation(*e)
		}
		w.look()
	}
}

const evalPrefix = "eval_"

// measuredIn reads a line of metrics.jsonl: a step, or an evaluation, or neither.
func measuredIn(line []byte) (*Metrics, *Evaluation) {
	if !bytes.Contains(line, []byte(`"`+evalPrefix)) {
		m := &Metrics{}
		if json.Unmarshal(line, m) != nil {
			return nil, nil
		}
		return m, nil
	}
	fields, plain := map[string]float64{}, map[string]float64{}
	if json.Unmarshal(line, &fields) != nil {
		return nil, nil
	}
	for name, v := range fields {
		plain[strings.TrimPrefix(name, evalPrefix)] = v
	}
	e := &Evaluation{Step: int(fields["step"]), Groups: int(fields[evalPrefix+"groups"])}
	text, err := json.Marshal(plain)
	if err != nil || json.Unmarshal(text, &e.Preferences) != nil {
		return nil, nil
	}
	return nil, e
}
