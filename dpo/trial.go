package dpo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// Trial says how a policy is tried: its own answers to prompts are drawn at temperature 1, and each gets its log-probability under the
// policy and the reference, and a reward.
type Trial struct {
	Policy    string // model directory
	Ref       string // of the reference; "" for none
	Reward    string // as OpenJudge takes it; "" for none
	Judge     JudgeOptions
	Data      []string          // files of prompts
	Columns   map[string]string // the data's names for columns, by ours
	Samples   int               // of each prompt
	MaxTokens int               // of a sample
	Seed      int64
	Threads   int
	Device    string

	Prepare func() error // makes the policy's directory, if it is to be tried; nil where it is there
}

// Tried is what became of a prompt.
type Tried struct {
	Prompt  string      `json:"prompt"`
	Answers []TriedText `json:"answers,omitempty"`
	Error   string      `json:"error,omitempty"` // why there are none
}

// TriedText is an answer: log-probabilities are sums over its tokens, EOS included where it was drawn, in nats.
type TriedText struct {
	Text      string  `json:"text"`
	Tokens    int     `json:"tokens"`
	Finish    string  `json:"finish"`
	Policy    float64 `json:"policy"`
	Reference float64 `json:"reference"` // 0 without a reference
	Reward    float64 `json:"reward"`    // 0 without one
}

// trialJob is all that a trial's results depend on.
type trialJob struct {
	Sampling  generateJob `json:"sampling"`
	Reference string      `json:"reference,omitempty"` // digest
	Reward    string      `json:"reward,omitempty"`
	Judge     any         `json:"judge,omitempty"`
}

// trying is a trial at work.
type trying struct {
	Trial
	rowJob[Tried]
	sampler *Sampler
	scorer  *Scorer
	judge   Judge // nil where there is no reward
}

// sampling are the settings that answers are drawn by.
func (t Trial) sampling() GenerateConfig {
	c := NewGenerateConfig()
	c.Model, c.Samples, c.MaxTokens, c.Seed, c.Threads, c.Device = t.Policy, t.Samples, t.MaxTokens, t.Seed, t.Threads, t.Device
	return c
}

// openTrial opens the models, the judge and the prompts.
func openTrial(c Trial) (t *trying, err error) {
	t = &trying{Trial: c}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close())
		}
	}()
	if err := t.open(c.Data, datasets.Options{Columns: c.Columns, PromptOnly: true}); err != nil {
		return t, err
	}
	tok, err := c.Judge.Tokenizer(c.Policy)
	if err != nil {
		return t, err
	}
	if t.sampler, err = NewSampler(c.sampling(), tok); err != nil {
		return t, err
	}
	score := ScoreConfig{Model: c.Policy, Ref: c.Ref, Beta: 1, Truncate: "prompt", EOS: "keep", Threads: c.Threads, Device: c.Device}
	if t.scorer, err = NewScorer(score, tok); err != nil {
		return t, err
	}
	if c.Reward != "" {
		t.judge, err = OpenJudge(c.Reward, c.Judge)
	}
	return t, err
}

func (t *trying) close() error {
	errs := []error{t.closeTables()}
	if t.sampler != nil {
		errs = append(errs, t.sampler.Close())
	}
	if t.scorer != nil {
		errs = append(errs, t.scorer.Close())
	}
	if t.judge != nil {
		errs = append(errs, t.judge.Close())
	}
	return errors.Join(errs...)
}

// job says what the results depend on.
func (t *trying) job() (j trialJob, err error) {
	data, err := dataDigest(t.tables)
	if err != nil {
		return j, err
	}
	if j.Sampling, err = t.sampler.job(data, t.Columns); err != nil {
		return j, err
	}
	j.Reference, j.Reward = t.scorer.digests.ref, t.Reward
	if t.judge != nil {
		j.Judge, err = judgeIdentity(t.judge)
	}
	return j, err
}

// try tries the policy on all prompts, and yields progress. What it has done so far lies in the parts of out; a trial that was stopped
// goes on from there, to the same results. The parts stay, for whoever uses the results to remove.
func (t *trying) try(ctx context.Context, out string, yield func(done, total int64) bool) (rows []Tried, err error) {
	j, err := t.job()
	if err != nil {
		return nil, err
	}
	p, err := openParts[Tried](out, j, false)
	if err != nil {
		return nil, err
	}
	t.tell = func(_ int64, done []Tried) error {
		rows = append(rows, done...)
		return nil
	}
	if _, err := t.resumeFrom(p); err != nil {
		return nil, err
	}
	err = t.keep(t.windows(ctx), func() bool { return yield(p.next, t.last) })
	return rows, err
}

// windows tries the policy on the prompts that are not in the parts.
func (t *trying) windows(ctx context.Context) iter.Seq2[doneRows[Tried], error] {
	return func(yield func(doneRows[Tried], error) bool) {
		for w, err := range t.sampler.sampled(ctx, t.sampler.promptWindows(t.span, t.parts.next)) {
			done := doneRows[Tried]{err: w.err}
			if err == nil && w.err == nil {
				done.rows, done.err = t.window(ctx, t.parts.next, w.rows)
			}
			if !yield(done, err) {
				return
			}
		}
	}
}

// window scores and judges the answers to the prompts from a row on.
func (t *trying) window(ctx context.Context, first int64, sampled []sampledRow) ([]Tried, error) {
	out, score := make([]Tried, len(sampled)), together{examples: make([]datasets.Example, len(sampled)), scores: make([]Scores, len(sampled))}
	for i, s := range sampled {
		out[i].Prompt, out[i].Error = s.prompt.String, s.Error
		if s.Error != "" {
			continue
		}
		score.usable = append(score.usable, i)
		score.examples[i].Prompt = s.ids
		for _, answer := range s.Samples {
			score.examples[i].Completions = append(score.examples[i].Completions, datasets.Completion{IDs: answer.IDs})
			out[i].Answers = append(out[i].Answers, TriedText{Text: answer.Text, Tokens: answer.Tokens, Finish: answer.Finish})
		}
	}
	score.asked = score.examples
	scores, err := t.scorer.compute(score)
	if err != nil {
		return nil, err
	}
	var answers []Answer
	for i := range out {
		file, row := t.place(first + int64(i))
		for k := range out[i].Answers {
			a := &out[i].Answers[k]
			if scores[i].Err != nil {
				return nil, fmt.Errorf("answers to row %d of %s: %w", row, file, scores[i].Err)
			}
			a.Policy = scores[i].Policy[k]
			if t.Ref != "" {
				a.Reference = scores[i].Reference[k]
			}
			answers = append(answers, Answer{Prompt: datasets.Text{String: out[i].Prompt}, Completion: datasets.Text{String: a.Text},
				File: file, Row: row, K: k, Finish: a.Finish})
		}
	}
	return out, t.reward(ctx, out, answers)
}

// reward judges answers, in the order of the rows that they are of.
func (t *trying) reward(ctx context.Context, rows []Tried, answers []Answer) error {
	if t.judge == nil || len(answers) == 0 {
		return nil
	}
	rewards, err := t.judge.Judge(ctx, answers)
	if err != nil {
		return fmt.Errorf("judge answers: %w", err)
	}
	for i := range rows {
		for k := range rows[i].Answers {
			rows[i].Answers[k].Reward, rewards = rewards[0], rewards[1:]
		}
	}
	return nil
}

// kept tries the policy and keeps the results as a file of JSON, unless they are there already.
func (t Trial) kept(ctx context.Context, file string, yield func(done, total int64) bool) (rows []Tried, err error) {
	text, err := os.ReadFile(file)
	if err == nil {
		if err = json.Unmarshal(text, &rows); err != nil {
			err = fmt.Errorf("read %s: %w (remove the file to have it made again)", file, err)
		}
		return rows, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if t.Prepare != nil {
		if err := t.Prepare(); err != nil {
			return nil, err
		}
	}
	attempt, err := openTrial(t)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, attempt.close()) }()
	if rows, err = attempt.try(ctx, file, yield); err != nil {
		return nil, err
	}
	if err := writeJSON(file, rows); err != nil {
		return nil, err
	}
	return rows, attempt.parts.remove()
}

// each gives a value of every answer, by prompt; prompts without answers are left out.
func each(rows []Tried, value func(TriedText) float64) [][]float64 {
	var out [][]float64
	for _, r := range rows {
		if len(r.Answers) == 0 {
			continue
		}
		values := make([]float64, len(r.Answers))
		for k, a := range r.Answers {
			values[k] = value(a)
		}
		out = append(out, values)
	}
	return out
}

// klOf is the divergence KL(π‖πref) from the policy's own answers, in nats: the mean of log π(y|x) − log πref(y|x).
func klOf(rows []Tried) Mean {
	return clustered(each(rows, func(a TriedText) float64 { return a.Policy - a.Reference }))
}

// rewardOf is the expected reward.
func rewardOf(rows []Tried) Mean {
	return clustered(each(rows, func(a TriedText) float64 { return a.Reward }))
}

// answersOf counts the answers.
func answersOf(rows []Tried) int {
	return len(slices.Concat(each(rows, func(a TriedText) float64 { return 0 })...))
}
