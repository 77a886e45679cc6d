package dpo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/datasets"
)

func init() {
	registerJudge("implicit", judgeKind{
		form: "implicit:MODEL,REF",
		says: "the implicit reward beta·log pi(y|x)/pi_ref(y|x) of a model that was trained, over its reference",
		open: func(arg string, o JudgeOptions) (Judge, error) {
			model, ref, found := strings.Cut(arg, ",")
			if !found || model == "" || ref == "" {
				return nil, Usage("implicit needs a model and a reference: implicit:MODEL,REF")
			}
			return openScores(model, ref, o, func(s Scores, k int) float64 { return s.Rewards[k] })
		},
	})
	registerJudge("loglik", judgeKind{
		form: "loglik:MODEL",
		says: "log-probability of the answer under a model, or its mean over tokens (--per-token)",
		open: func(model string, o JudgeOptions) (Judge, error) {
			return openScores(model, "", o, func(s Scores, k int) float64 {
				if o.PerToken {
					return s.Policy[k] / float64(s.Tokens[k])
				}
				return s.Policy[k]
			})
		},
	})
	registerJudge("model", judgeKind{
		form: "model:DIR",
		says: "a Bradley-Terry reward model: a Hugging Face sequence-classification directory, as reward writes it",
		open: openRewardModel,
	})
}

func openRewardModel(dir string, o JudgeOptions) (Judge, error) {
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read a reward model: %w", err)
	}
	var c struct {
		Architectures []string `json:"architectures"`
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if !slices.ContainsFunc(c.Architectures, func(class string) bool { return strings.HasSuffix(class, "ForSequenceClassification") }) {
		return nil, fmt.Errorf("%s holds a %s: a sequence-classification model is needed (loglik:DIR and implicit:DIR,REF take language models)",
			dir, strings.Join(c.Architectures, ", "))
	}
	return openScores(dir, "", o, func(s Scores, k int) float64 { return s.Policy[k] })
}

// scoresJudge takes its rewards from a Scorer.
type scoresJudge struct {
	scorer *Scorer
	tok    datasets.Tokenizer
	of     func(s Scores, k int) float64 // the reward of a group's answer k
}

func openScores(model, ref string, o JudgeOptions, of func(Scores, int) float64) (Judge, error) {
	c := o.Score
	c.Model, c.Ref = model, ref
	c.Beta, c.MaxPromptLength = cmp.Or(c.Beta, 0.1), cmp.Or(c.MaxPromptLength, 256)
	c.Truncate, c.EOS, c.Device = cmp.Or(c.Truncate, "prompt"), cmp.Or(c.EOS, "add"), cmp.Or(c.Device, "cpu")
	tok, err := o.tokenizer(model)
	if err != nil {
		return nil, err
	}
	s, err := NewScorer(c, tok)
	if err != nil {
		return nil, errors.Join(err, closeTokenizer(tok))
	}
	return &scoresJudge{s, tok, of}, nil
}

func (j *scoresJudge) identity() (any, error) { return j.scorer.identity() }

// Close releases the models.
func (j *scoresJudge) Close() error { return errors.Join(j.scorer.Close(), closeTokenizer(j.tok)) }

// Judge scores the answers of a row together, so that their prompt is computed once, and at most 256 rows at a time.
func (j *scoresJudge) Judge(ctx context.Context, answers []Answer) (scores []float64, err error) {
	failed := map[int]error{}
	groups := rowGroups(answers)
	for len(groups) > 0 {
		if ctx.Err() != nil {
			return scores, ErrInterrupted
		}
		n := min(len(groups), largestWindow)
		results, err := j.scorer.Score(groups[:n])
		if err != nil {
			return scores, err
		}
		for i, r := range results {
			if scores, err = j.take(scores, r, groups[i], failed); err != nil {
				return scores, err
			}
		}
		groups = groups[n:]
	}
	return scores, unjudged(failed)
}

// take adds the rewards of a group. Where it could not be scored as a whole, each answer is scored alone: one may be at fault.
func (j *scoresJudge) take(scores []float64, s Scores, g datasets.Group, failed map[int]error) ([]float64, error) {
	if s.Err == nil {
		for k := range g.Completions {
			scores = append(scores, j.of(s, k))
		}
		return scores, nil
	}
	for k := range g.Completions {
		if len(g.Completions) > 1 {
			alone := g
			alone.Completions, alone.Cut = g.Completions[k:k+1], g.Cut[k:k+1]
			results, err := j.scorer.Score([]datasets.Group{alone})
			if err != nil {
				return scores, err
			}
			s = results[0]
		}
		if s.Err != nil {
			failed[len(scores)] = s.Err
			scores = append(scores, 0)
			continue
		}
		scores = append(scores, j.of(s, 0))
	}
	return scores, nil
}

// rowGroups makes groups of answers that follow each other and are of one row.
func rowGroups(answers []Answer) (groups []datasets.Group) {
	for i, a := range answers {
		if last := i - 1; last < 0 || a.File != answers[last].File || a.Row != answers[last].Row || textOf(a.Prompt) != textOf(answers[last].Prompt) {
			groups = append(groups, datasets.Group{Prompt: a.Prompt, File: a.File, Row: a.Row})
		}
		g := &groups[len(groups)-1]
		g.Completions, g.Cut = append(g.Completions, a.Completion), append(g.Cut, a.Finish == "length")
	}
	return groups
}
