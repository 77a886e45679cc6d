package dpo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"

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
	tok     datasets.Tokenizer
	sampler *Sampler
	scorer  *Scorer // nil where there is no reference
	judge   Judge   // nil where there is no reward
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
	if t.tok, err = c.Judge.Tokenizer(c.Policy); err != nil {
		return t, err
	}
	if t.sampler, err = NewSampler(c.sampling(), t.tok); err != nil {
		return t, err
	}
	if c.Ref != "" {
		score := ScoreConfig{Model: c.Policy, Ref: c.Ref, Beta: 1, Truncate: "prompt", EOS: "keep", Threads: c.Threads, Device: c.Device}
		if t.scorer, err = NewScorer(score, t.tok); err != nil {
			return t, err
		}
	}
	if c.Reward != "" {
		t.judge, err = OpenJudge(c.Reward, c.Judge)
	}
	return t, err
}

func (t *trying) close() error {
	errs := []error{t.closeJob()}
	if t.sampler != nil {
		errs = append(errs, t.sampler.Close())
	}
	if t.scorer != nil {
		errs = append(errs, t.scorer.Close())
	}
	if t.judge != nil {
		errs = append(errs, t.judge.Close())
	}
	if t.tok != nil {
		errs = append(errs, closeTokenizer(t.tok))
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
	if j.Reward = t.Reward; t.scorer != nil {
		j.Reference = t.scorer.digests.ref
	}
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
	out := make([]Tried, len(sampled))
	var answers []Answer
	for i, s := range sampled {
		out[i].Prompt, out[i].Error = s.prompt.String, s.Error
		file, row := t.place(first + int64(i))
		for k, a := range s.Samples {
			out[i].Answers = append(out[i].Answers, TriedText{Text: a.Text, Tokens: a.Tokens, Finish: a.Finish, Policy: a.LogProb})
			answers = append(answers, Answer{Prompt: s.prompt, Completion: datasets.Text{String: a.Text}, File: file, Row: row, K: k, Finish: a.Finish})
		}
	}
	if t.scorer != nil {
		if err := t.score(out, sampled); err != nil {
			return nil, err
		}
	}
	return out, t.reward(ctx, out, answers)
}

// scoredAtOnce is how many answers to a prompt are scored together.
const scoredAtOnce = 16

// score gives answers their log-probabilities under the policy and the reference, by the same graphs, so that those of equal models are
// equal.
func (t *trying) score(rows []Tried, sampled []sampledRow) error {
	var w together
	var of [][]TriedText // the answers of each example
	for i, s := range sampled {
		for at := 0; at < len(s.Samples); at += scoredAtOnce {
			last := min(at+scoredAtOnce, len(s.Samples))
			x := datasets.Example{Prompt: s.ids}
			for _, a := range s.Samples[at:last] {
				x.Completions = append(x.Completions, datasets.Completion{IDs: a.IDs})
			}
			w.usable, w.examples, of = append(w.usable, len(of)), append(w.examples, x), append(of, rows[i].Answers[at:last])
		}
	}
	w.asked, w.scores = w.examples, make([]Scores, len(of))
	scores, err := t.scorer.compute(w)
	if err != nil {
		return err
	}
	for i, answers := range of {
		if scores[i].Err != nil {
			return fmt.Errorf("score answers: %w", scores[i].Err)
		}
		for k := range answers {
			answers[k].Policy, answers[k].Reference = scores[i].Policy[k], scores[i].Reference[k]
		}
	}
	return nil
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
	if err := readSealed(file, &rows); err == nil {
		return rows, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w (remove the file to have it made again)", file, err)
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
	if err := writeSealed(file, rows); err != nil {
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
func answersOf(rows []Tried) (n int) {
	for _, r := range rows {
		n += len(r.Answers)
	}
	return n
}
