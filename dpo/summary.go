package dpo

import (
	"fmt"
	"math"
	"slices"
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

	Hint string // why the numbers look as they do, where they look wrong; mostly empty
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
	s.Hint = t.hint(s)
	return s
}

// still is how near to 0 rewards lie that have not moved: the loss is then within 1e-3 of where it began.
const still = 2e-3

// hint explains what is often taken for a bug: a loss that stays where it began (log 2 = 0.693), and rewards that both fall. Answers
// that are equal, or of which nothing is scored, are dropped and cannot be the cause; a run of little else is pointed out.
func (t *Trainer) hint(s Summary) string {
	switch {
	case s.Last == nil:
		return ""
	case !t.aim().alone && s.Last.Step > s.First.Step && math.Abs(s.Last.Margins) < still && math.Abs(s.Last.Chosen) < still:
		return "nothing was learnt: " + t.stuck(s)
	case t.aim().alone && t.LR == 0:
		return "nothing was learnt: " + t.stuck(s)
	case s.Dropped > s.Groups:
		return fmt.Sprintf("more rows were dropped (%d) than learnt from (%d): %s says why", s.Dropped, s.Groups, t.path(droppedFile))
	case !t.aim().alone && s.Last.Rejected < s.Last.Chosen && s.Last.Chosen < -still:
		return "the chosen answers became less likely too: DPO asks only that the rejected ones fall further; a higher --beta or a lower --lr stays nearer to the reference"
	}
	return ""
}

// stuck tells why rewards are 0 after some steps.
func (t *Trainer) stuck(s Summary) string {
	switch {
	case t.LR == 0:
		return "the learning rate is 0: raise --lr"
	case t.warmup() >= t.total:
		return fmt.Sprintf("the warm-up of %d steps is as long as the run, whose rate reached %.2g of --lr %.2g: lower --warmup", t.warmup(), s.Last.LearningRate, t.LR)
	}
	return fmt.Sprintf("%d steps at a rate of %.2g moved the margin by %.1e only: raise --lr, or take more steps", s.Last.Step, t.LR, s.Last.Margins)
}
