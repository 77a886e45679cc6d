package dpo

import (
	"context"
	"errors"
	"fmt"
)

// betweenSteps evaluates and saves when it is time, and stops where that is asked for.
func (t *Trainer) betweenSteps(ctx context.Context, yield func(Event) bool) error {
	if err := t.tell(yield); err != nil {
		return err
	}
	better := false
	if t.evaluationDue() && ctx.Err() == nil {
		var err error
		if better, err = t.evaluate(ctx, yield); err != nil {
			return err
		}
	}
	over := t.done() && !t.evaluationDue()
	if ctx.Err() != nil && !over {
		return t.interrupted(yield)
	}
	if !better && (over || t.state.Step == 0 || t.SaveEvery == 0 || t.state.Step%t.SaveEvery != 0) {
		return nil
	}
	if err := t.saveBeside(); err != nil {
		return err
	}
	return t.tell(yield)
}

// tell yields what there is to say beside steps: warnings, and a checkpoint that is whole by now.
func (t *Trainer) tell(yield func(Event) bool) error {
	for _, w := range t.warnings {
		if !yield(Event{Phase: "train", Done: t.state.Step, Total: t.total, Warning: &w}) {
			return errStopped
		}
	}
	t.warnings = nil
	path, err := t.saver.done()
	if err != nil || path == "" {
		return err
	}
	return t.saved(path, yield)
}

func (t *Trainer) saved(path string, yield func(Event) bool) error {
	if !yield(Event{Phase: "train", Done: t.state.Step, Total: t.total, Saved: path}) {
		return errStopped
	}
	return nil
}

// interrupted keeps the state of a run that is to stop.
func (t *Trainer) interrupted(yield func(Event) bool) error {
	if t.state.Step == 0 {
		return fmt.Errorf("%w before the first step; go on with --resume", ErrInterrupted)
	}
	path, err := t.save()
	if err != nil {
		return err
	}
	if err := t.saved(path, yield); err != nil {
		return err
	}
	return fmt.Errorf("%w after step %d of %d, saved as %s; go on with --resume --out %s", ErrInterrupted, t.state.Step, t.total, path, t.Out)
}

// broken keeps the last good state when a step fails before its update.
func (t *Trainer) broken(err error) error {
	var bad *DivergedError
	if !errors.As(err, &bad) {
		return err
	}
	if finite, checked := t.finiteWeights(); checked == nil && finite && t.state.Step > 0 && !t.spoiled {
		if path, saved := t.save(); saved == nil {
			return fmt.Errorf("%w; the state before this step is saved as %s", err, path)
		}
	}
	if path, _ := t.newest(); path != "" {
		return fmt.Errorf("%w; the last good state is %s", err, path)
	}
	return err
}
