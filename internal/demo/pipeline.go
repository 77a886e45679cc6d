package demo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A Stage is how one training of the demo goes: a linear warm-up and then a linear decay.
type Stage struct {
	Optimizer string
	Clip      float64 // most norm of a gradient
	LR        float64
	Batch     int // reviews, or pairs
	Steps     int
	Warmup    int // steps
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

	Align     Stage // by DPO, at each beta, on all pairs of the samples
	Betas     []float64
	Imitate   Stage // Preferred-FT
	Points    int   // of each training, at even distances
	Tries     int   // samples for each fresh prompt, a point
	Reference int   // samples of the reference for each fresh prompt: the bound reaches as far as they do
}

// NewPipeline gives the settings of make demo.
func NewPipeline() Pipeline {
	return Pipeline{
		Shape:   Shape{Hidden: 128, Intermediate: 256, Layers: 3, Heads: 4, KVHeads: 2, Positions: 128},
		Reviews: 1000 * 32, HeldOut: 500, Prompts: 2048, Fresh: 64, Samples: 4, Longest: 64,
		Learn: Stage{Optimizer: "adamw", Clip: 1, LR: 3e-3, Batch: 32, Steps: 1000, Warmup: 30},
		// SGD goes where the pairs agree; AdamW moves every parameter as far, and most of them by chance.
		// Clipped so low, a step is as long at a small beta, whose gradients are small, as at a large one.
		Align: Stage{Optimizer: "sgd", Clip: 0.3, LR: 0.03, Batch: 64, Steps: 160, Warmup: 5}, Betas: []float64{0.1, 0.3, 1},
		Imitate: Stage{Optimizer: "adamw", Clip: 1, LR: 3e-4, Batch: 32, Steps: 90, Warmup: 5},
		Points:  2, Tries: 16, Reference: 512,
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
func (p Pipeline) Write(dir string, seed int64) (Corpus, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Corpus{}, fmt.Errorf("write the demo's corpus: %w", err)
	}
	c := NewCorpus(seed, p.Reviews, p.HeldOut, p.Prompts, p.Fresh)
	return c, errors.Join(
		WriteShape(filepath.Join(dir, InitFolder), p.Shape, Films().Words()),
		WriteRows(filepath.Join(dir, ReviewsFile), c.Train),
		WriteRows(filepath.Join(dir, HeldOutFile), c.HeldOut),
		WriteRows(filepath.Join(dir, PromptsFile), c.Prompts),
		WriteRows(filepath.Join(dir, FreshFile), c.Fresh))
}
