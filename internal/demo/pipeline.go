package demo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A Stage is how one training of the demo goes: AdamW, gradients clipped at 1, a linear warm-up and then a linear decay.
type Stage struct {
	LR     float64
	Batch  int // reviews
	Steps  int
	Warmup int // steps
}

// Pipeline is the settings of the whole demo: what is made up, and how the reference is learnt from it.
type Pipeline struct {
	Shape   Shape
	Reviews int // to learn the reference from, each once
	HeldOut int // reviews to measure the reference on
	Prompts int // to sample answers for
	Fresh   int // prompts to measure on
	Samples int // of each prompt
	Longest int // tokens of an answer
	Learn   Stage
}

// NewPipeline gives the settings of make demo.
func NewPipeline() Pipeline {
	return Pipeline{
		Shape:   Shape{Hidden: 128, Intermediate: 256, Layers: 3, Heads: 4, KVHeads: 2, Positions: 128},
		Reviews: 500 * 64, HeldOut: 500, Prompts: 512, Fresh: 1024, Samples: 4, Longest: 80,
		Learn: Stage{LR: 3e-3, Batch: 64, Steps: 500, Warmup: 30},
	}
}

// The files that Write makes: a folder of config.json and tokenizer without weights, and rows of prompts with and without completions.
const (
	InitFolder  = "init"
	ReviewsFile = "reviews.jsonl"
	HeldOutFile = "held-out.jsonl"
	PromptsFile = "prompts.jsonl"
	FreshFile   = "fresh.jsonl"
)

// Write makes up the corpus for a seed and the shape of the model, in a folder that it makes.
func (p Pipeline) Write(dir string, seed int64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write the demo's corpus: %w", err)
	}
	c := NewCorpus(seed, p.Reviews, p.HeldOut, p.Prompts, p.Fresh)
	return errors.Join(
		WriteShape(filepath.Join(dir, InitFolder), p.Shape, Films().Words()),
		WriteRows(filepath.Join(dir, ReviewsFile), c.Train),
		WriteRows(filepath.Join(dir, HeldOutFile), c.HeldOut),
		WriteRows(filepath.Join(dir, PromptsFile), c.Prompts),
		WriteRows(filepath.Join(dir, FreshFile), c.Fresh))
}
