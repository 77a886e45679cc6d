package dpo

import (
	"math"
	"slices"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// Summary is what a run came to, or what is left of one since it was resumed.
type Summary struct {
	First, Last                 *Metrics    // of the steps taken; nil where there were none
	FirstEvaluation, Evaluation *Evaluation // the earliest and the latest; nil where there was none

	Best  *Best // the evaluation whose model was saved, where the run may stop early
	Steps int   // of the run, had it not stopped early

	Groups         int            // of the training data
	Dropped        int            // rows, of training and held-out data
	DroppedReasons map[string]int // of them, how many for which reason
	Truncated      int            // rows, of both
	UpdateKept     float64        // share of the changed weights whose change the saved type keeps

	Tokens                                           int64 // of the steps taken, prompts counted once a completion
	StepSeconds, ReferenceSeconds, EvaluationSeconds float64
	PeakMemoryBytes                                  int64
	DeviceMemory                                     int64 // most after a step, of a GPU's

	Warnings []datasets.Warning `json:"warnings"` // what was seen in the data and in the run, in that order; those before a resume too
}

// take adds a step.
func (s *Summary) take(m Metrics) {
	if s.Last = &m; s.First == nil {
		s.First = &m
	}
	s.DeviceMemory = max(s.DeviceMemory, m.DeviceMemory)
	s.Tokens += int64(math.Round(m.TokensPerSecond * m.StepSeconds))
	s.StepSeconds += m.StepSeconds
}

// takeEvaluation adds an evaluation.
func (s *Summary) takeEvaluation(e Evaluation) {
	if s.Evaluation = &e; s.FirstEvaluation == nil {
		s.FirstEvaluation = &e
	}
	s.EvaluationSeconds += e.Seconds
}

// Summary tells what the run came to, once it is over.
func (t *Trainer) Summary() Summary {
	s := t.summary
	s.Groups, s.Truncated = len(t.rows.Examples), t.rows.Truncated+t.eval.Truncated
	s.DroppedReasons = map[string]int{}
	for _, d := range slices.Concat(t.rows.Dropped, t.eval.Dropped) {
		s.Dropped++
		s.DroppedReasons[d.Reason]++
	}
	s.Best, s.Steps = t.state.Best, t.total
	s.ReferenceSeconds, s.PeakMemoryBytes = t.state.ReferenceSeconds, peakMemory()
	s.Warnings = []datasets.Warning{}
	if t.watcher != nil {
		s.Warnings = append(s.Warnings, t.watcher.warnings...)
	}
	return s
}
