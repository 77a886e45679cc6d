package dpo

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// Trained on rankings of four, a model orders held-out answers as well as one trained on all their pairs, in as many groups and steps:
// over three seeds the shares of pairs in the right order differ, prompt by prompt, by no more than a standard error downwards.
func TestRankingsTeachAsPairsDo(t *testing.T) {
	if !golden.Long() {
		t.Skip("needs DPO_ORT_LONG=1: six runs of a minute or two")
	}
	dir, held := golden.Shared(t, "models/stories260K-hf"), groupsOf(t, golden.Shared(t, "pref/stories-sentiment-test.ranked.jsonl"))
	sum := make([]float64, len(held))
	for seed := range 3 {
		pairs := orderedShares(t, dir, held, "sigmoid", golden.Shared(t, "pref/stories-sentiment-train.pairs.jsonl"), seed)
		ranked := orderedShares(t, dir, held, "plackett_luce", golden.Shared(t, "pref/stories-sentiment-train.ranked.jsonl"), seed)
		differences := make([]float64, len(held))
		for i := range held {
			differences[i] = ranked[i] - pairs[i]
			sum[i] += differences[i] / 3
		}
		a, _ := meanAndError(pairs)
		b, _ := meanAndError(ranked)
		d, e := meanAndError(differences)
		t.Logf("seed %d: pairs %.4f, rankings %.4f, difference %+.4f ± %.4f", seed, a, b, d, e)
	}
	d, e := meanAndError(sum)
	t.Logf("three seeds: difference %+.4f ± %.4f over %d prompts", d, e, len(held))
	if !(d >= -e) {
		t.Errorf("rankings order held-out pairs worse by %.4f, a standard error is %.4f", -d, e)
	}
}

// orderedShares trains on data and gives, for each held-out ranking, the share of its pairs that the implicit rewards put in order.
func orderedShares(t *testing.T, dir string, held []datasets.Group, loss, data string, seed int) []float64 {
	t.Helper()
	c, err := NewConfig("paper")
	if err != nil {
		t.Fatal(err)
	}
	c.Model, c.Data, c.Out, c.Loss, c.Seed = dir, []string{data}, filepath.Join(t.TempDir(), "out"), loss, int64(seed)
	c.Beta, c.LR, c.Optimizer, c.Batch, c.Steps, c.SaveEvery = 0.5, 1e-4, "adamw", 32, 120, 0
	mustTrain(t, c)
	tok := loadTokenizer(t, dir)
	s, err := NewScorer(ScoreConfig{Model: c.Out, Ref: dir, Beta: c.Beta, MaxLength: c.MaxLength, MaxPromptLength: c.MaxPromptLength,
		Truncate: c.Truncate, EOS: c.EOS, Device: c.Device}, tok)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	scores, err := s.Score(held)
	if err != nil {
		t.Fatal(err)
	}
	enc, shares := &datasets.Encoder{Tokenizer: tok, AllowEqual: true}, make([]float64, len(held))
	for i, g := range held {
		x, err := enc.Encode(g)
		if err != nil || scores[i].Err != nil {
			t.Fatalf("row %d: %v, %v", g.Row, err, scores[i].Err)
		}
		rewards := scores[i].Rewards // in the order of the file
		if x.Order != nil {
			rewards = pick(rewards, x.Order)
		}
		shares[i] = ordered(x, rewards)
	}
	return shares
}

// meanAndError is the mean of a sample with its standard error.
func meanAndError(sample []float64) (mean, standardError float64) {
	n := float64(len(sample))
	for _, v := range sample {
		mean += v / n
	}
	for _, v := range sample {
		standardError += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(standardError / (n - 1) / n)
}
