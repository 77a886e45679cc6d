package dpo

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// overfit is a run whose held-out loss falls and then rises: what it learns is right for most held-out pairs, but wrong for one, where it
// becomes surer and surer.
func overfit(t *testing.T) Config {
	t.Helper()
	c := tinyConfig(t)
	c.Data, c.EvalData = []string{writePairs(t, 8)}, []string{swapped(t, writePairs(t, 6), 1)}
	c.Batch, c.Steps, c.EvalEvery, c.EarlyStop, c.Keep, c.Beta, c.LR = 4, 40, 1, 3, 1, 0.5, 2e-4
	return c
}

// A run stops after evaluations that are no better, and saves the model of the best one; an interruption changes nothing of that.
func TestEarlyStop(t *testing.T) {
	c := overfit(t)
	tok := loadTokenizer(t, c.Model)
	trainer, err := NewTrainer(c, tok, false)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	var evaluations []Evaluation
	for e, err := range trainer.Run(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Evaluation != nil {
			evaluations = append(evaluations, *e.Evaluation)
		}
	}
	at, lowest := 0, math.Inf(1)
	for i, e := range evaluations {
		if e.Loss < lowest {
			at, lowest = i, e.Loss
		}
	}
	last := evaluations[len(evaluations)-1]
	if at == 0 || last.Step >= c.Steps || len(evaluations) != at+1+c.EarlyStop {
		t.Fatalf("evaluation %d was the best, and the last was %d after step %d of %d", at, len(evaluations)-1, last.Step, c.Steps)
	}
	s := trainer.Summary()
	if s.Best == nil || s.Best.Step != evaluations[at].Step || s.Best.Loss != lowest {
		t.Errorf("the summary has %+v as the best, it was %+v", s.Best, evaluations[at])
	}
	if err := trainer.Close(); err != nil {
		t.Fatal(err)
	}
	of := readBytes(t, filepath.Join(c.Out, "model.safetensors"))
	short := c
	short.Steps, short.Out, short.EarlyStop = evaluations[at].Step, filepath.Join(t.TempDir(), "out"), 0
	mustTrain(t, short)
	if !bytes.Equal(of, readBytes(t, filepath.Join(short.Out, "model.safetensors"))) {
		t.Error("the model is not that of the best evaluation")
	}
	for _, stop := range []int{1, last.Step - 1} {
		again, _ := stoppedAndResumed(t, c, stop)
		if want, got := golden.Outcome(t, c.Out), golden.Outcome(t, again.Out); got != want {
			t.Errorf("interrupted after step %d it ends otherwise:\n%s", stop, golden.Difference(want, got))
		}
	}
}

// An evaluation that is interrupted is made again, and what follows it is the same.
func TestInterruptedEvaluation(t *testing.T) {
	c := tinyConfig(t)
	c.EvalData, c.EvalEvery, c.SaveEvery, c.MicroBatch = []string{writePairs(t, 12)}, 3, 3, 1
	mustTrain(t, c)
	whole := golden.Outcome(t, c.Out)
	if err := os.RemoveAll(filepath.Join(c.Out, runFolder, checkpointFolder, checkpointName(6))); err != nil {
		t.Fatal(err)
	}
	if _, err := train(t, c, true, nil); err != nil { // from step 3, which was evaluated
		t.Fatal(err)
	}
	if got := golden.Outcome(t, c.Out); got != whole {
		t.Errorf("resumed after an evaluation it ends otherwise:\n%s", golden.Difference(whole, got))
	}
	for _, step := range []int{0, 3, 6} {
		again := c
		again.Out = filepath.Join(t.TempDir(), "out")
		trainer, err := NewTrainer(again, loadTokenizer(t, c.Model), false)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var ended error
		for e, err := range trainer.Run(ctx) {
			if e.Phase == "eval" && trainer.state.Step == step && e.Evaluation == nil {
				cancel()
			}
			if e.Evaluation != nil && e.Evaluation.Step == step {
				t.Errorf("the evaluation after step %d went on", step)
			}
			ended = err
		}
		cancel()
		if err := trainer.Close(); err != nil || !errors.Is(ended, ErrInterrupted) {
			t.Fatalf("step %d: %v, %v", step, ended, err)
		}
		if _, err := train(t, again, true, nil); err != nil {
			t.Fatal(err)
		}
		if want, got := golden.Outcome(t, c.Out), golden.Outcome(t, again.Out); got != want {
			t.Errorf("interrupted in the evaluation after step %d it ends otherwise:\n%s", step, golden.Difference(want, got))
		}
	}
}

// A checkpoint that is written beside training is the one of its step, whatever training does meanwhile.
func TestSavedBesideTraining(t *testing.T) {
	c, tok := tortured(t)
	c.Steps, c.Keep = 6, 9
	if _, saved, err := attempt(c, tok, c.Out); err != nil || len(saved) == 0 {
		t.Fatalf("saved %v (%v)", saved, err)
	}
	besideFrom = 1 << 40
	inTurn := filepath.Join(t.TempDir(), "out")
	if _, saved, err := attempt(c, tok, inTurn); err != nil || len(saved) < 5 {
		t.Fatalf("saved %v (%v)", saved, err)
	}
	if want, got := golden.Outcome(t, inTurn), golden.Outcome(t, c.Out); got != want {
		t.Errorf("beside training other files are saved:\n%s", golden.Difference(want, got))
	}
}

var swap = strings.NewReplacer(`"chosen"`, `"rejected"`, `"rejected"`, `"chosen"`)

// swapped has the first preferences of a file the other way round.
func swapped(t *testing.T, pairs string, n int) string {
	t.Helper()
	lines := strings.SplitAfterN(string(readBytes(t, pairs)), "\n", n+1)
	for i := range n {
		lines[i] = swap.Replace(lines[i])
	}
	path := filepath.Join(t.TempDir(), "swapped.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
