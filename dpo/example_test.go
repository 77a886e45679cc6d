package dpo_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/datasets/tokenizer"
	"github.com/dpo-ort/dpo-ort/dpo"
)

// Training: the loop is the caller's, who may look at each step, stop, or go on later.
func ExampleTrainer() {
	folder, err := os.MkdirTemp("", "dpo-ort")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	c, err := dpo.NewConfig("paper")
	if err != nil {
		panic(err)
	}
	c.Model, c.Data, c.Out = "../testdata/models/tiny-llama", []string{"../testdata/pref/tiny.pairs.jsonl"}, filepath.Join(folder, "aligned")
	c.LR, c.Batch, c.Steps = 1e-3, 8, 12
	tok, err := tokenizer.Load(c.Model)
	if err != nil {
		panic(err)
	}
	defer tok.Close()
	t, err := dpo.NewTrainer(c, tok, false)
	if err != nil {
		panic(err)
	}
	defer t.Close()
	for event, err := range t.Run(context.Background()) {
		if err != nil {
			panic(err)
		}
		if m := event.Metrics; m != nil && m.Step%4 == 0 {
			fmt.Printf("step %d: loss below log 2: %t\n", m.Step, m.Loss < 0.69)
		}
	}
	// Output:
	// step 4: loss below log 2: true
	// step 8: loss below log 2: true
	// step 12: loss below log 2: true
}

// Scoring text that a service has at hand, without files.
func ExampleScorer() {
	model := "../testdata/models/tiny-llama"
	tok, err := tokenizer.Load(model)
	if err != nil {
		panic(err)
	}
	defer tok.Close()
	s, err := dpo.NewScorer(dpo.ScoreConfig{Model: model, Ref: model, Beta: 0.1, Truncate: "prompt", EOS: "add", Device: "cpu"}, tok)
	if err != nil {
		panic(err)
	}
	defer s.Close()
	scores, err := s.Score([]datasets.Group{{
		Prompt:      datasets.Text{String: "the cat"},
		Completions: []datasets.Text{{String: " sat down"}, {String: " ran"}},
	}})
	if err != nil {
		panic(err)
	}
	// The model is its own reference here, so it rewards nothing.
	fmt.Println(len(scores[0].Policy), scores[0].Rewards)
	// Output: 2 [0 0]
}
