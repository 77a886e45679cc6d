package dpo

// Best is the evaluation with the lowest loss so far.
type Best struct {
	Step  int     `json:"step"`
	Loss  float64 `json:"loss"`
	Since int     `json:"since"` // evaluations after it
}

// judge takes in an evaluation, where the run may stop early, and reports whether it is the best so far.
func (t *Trainer) judge(e Evaluation) bool {
	b := t.state.Best
	switch {
	case t.EarlyStop == 0:
		return false
	case b == nil || e.Loss < b.Loss:
		t.state.Best = &Best{Step: e.Step, Loss: e.Loss}
		return true
	}
	t.state.Best = &Best{Step: b.Step, Loss: b.Loss, Since: b.Since + 1} // a checkpoint that is being written has the one before
	return false
}

// done reports whether the last step has been taken.
func (t *Trainer) done() bool {
	return t.state.Step == t.total || t.state.Best != nil && t.state.Best.Since >= t.EarlyStop
}
