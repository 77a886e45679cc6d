package dpo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// What an evaluation keeps in its folder.
const (
	evalFile        = "eval.json"
	evalScoredFile  = "scored.parquet"
	evalSamplesFile = "samples.parquet"
)

// EvalConfig says what is measured of a model. The zero value of what is not asked for leaves it out.
type EvalConfig struct {
	Model string            `json:"model"`
	Ref   string            `json:"ref"`
	Beta  float64           `json:"beta"`
	Data  []string          `json:"data"` // preferences
	Names map[string]string `json:"columns"`

	Prompts   []string     `json:"prompts"`
	Samples   int          `json:"samples"` // of each prompt
	MaxTokens int          `json:"max-tokens"`
	Seed      int64        `json:"seed"`
	Reward    string       `json:"reward"`  // of its answers, as OpenJudge takes it
	Against   string       `json:"against"` // whose answers they are compared with: a model directory, or column:NAME of the prompts
	Contest   string       `json:"contest"` // which decides, as OpenContest takes it; "": the reward
	BestOf    []int        `json:"best-of"` // of the reference's answers
	Judge     JudgeOptions `json:"-"`
	Threads   int          `json:"-"`
	Device    string       `json:"device"`
}

// EvalResult is what was measured.
type EvalResult struct {
	Preferences *PreferenceEval `json:"preferences,omitempty"`
	Answers     *AnswerEval     `json:"answers,omitempty"`
}

// AnswerEval is what a policy's own answers come to, drawn at temperature 1.
type AnswerEval struct {
	Prompts  int           `json:"prompts"`
	Answers  int           `json:"answers"`
	Failed   int           `json:"failed"` // prompts that could not be continued
	KL       *Mean         `json:"kl,omitempty"`
	Reward   *Mean         `json:"reward,omitempty"`
	Tokens   Mean          `json:"tokens"` // of an answer
	Cut      float64       `json:"cut"`    // share of answers that ended by their length
	WinRate  *Mean         `json:"win_rate,omitempty"`
	Baseline []BestOfPoint `json:"best_of,omitempty"`
}

// BestOfPoint is what the best of N of the reference's answers come to, chosen by the reward.
type BestOfPoint struct {
	N      int     `json:"n"`
	KL     float64 `json:"kl"` // nats; see bestOfKL
	Reward Mean    `json:"reward"`
}

// Check reports all settings that make no sense.
func (c EvalConfig) Check() error {
	var wrong []string
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	refuse(c.Model == "", "model is missing: name a Hugging Face model directory")
	refuse(len(c.Data)+len(c.Prompts) == 0, "there is nothing to evaluate on: name preferences with --data, prompts with --prompts, or both")
	refuse(!(c.Beta > 0), "beta must be positive, it is %v", c.Beta)
	if len(c.Prompts) > 0 {
		refuse(c.Samples < 1 || c.MaxTokens < 1, "samples and max-tokens must be at least 1")
	} else {
		refuse(c.Reward != "" || c.Against != "" || c.Contest != "" || len(c.BestOf) > 0, "reward, against, contest and best-of are of answers to prompts: name some with --prompts")
	}
	refuse(c.Contest != "" && c.Against == "", "contest decides between answers: name others with --against")
	refuse(c.Against != "" && c.Contest == "" && c.Reward == "", "against needs --contest or --reward, which decides whose answer is better")
	refuse(len(c.BestOf) > 0 && (c.Ref == "" || c.Reward == ""), "best-of is of the reference's answers, by a reward: give --ref and --reward")
	refuse(slices.ContainsFunc(c.BestOf, func(n int) bool { return n < 1 }), "best-of must be at least 1, it is %v", c.BestOf)
	if wrong != nil {
		return Usage("%s", strings.Join(wrong, "; "))
	}
	return nil
}

// evaluating is an evaluation at work.
type evaluating struct {
	EvalConfig
	ctx   context.Context
	dir   string
	tok   datasets.Tokenizer
	yield func(Event) bool
}

// Eval measures a model and writes what it finds into the folder dir: eval.json, scored.parquet with the preferences, samples.parquet with
// the answers. One that was stopped goes on where it was.
func Eval(ctx context.Context, c EvalConfig, tok datasets.Tokenizer, dir string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		e := &evaluating{EvalConfig: c, ctx: ctx, dir: dir, tok: tok, yield: func(e Event) bool { return yield(e, nil) }}
		if err := e.run(); err != nil && !errors.Is(err, errStopped) {
			yield(Event{}, err)
		}
	}
}

func (e *evaluating) run() (err error) {
	if err := e.Check(); err != nil {
		return err
	}
	lock, err := claimFolder(e.dir, planFile, e.EvalConfig)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	var r EvalResult
	if len(e.Data) > 0 {
		if r.Preferences, err = e.preferences(); err != nil {
			return err
		}
	}
	if len(e.Prompts) > 0 {
		if r.Answers, err = e.answers(); err != nil {
			return err
		}
	}
	return writeJSON(e.path(evalFile), r)
}

func (e *evaluating) path(name string) string { return filepath.Join(e.dir, name) }

// answers tries the policy on the prompts.
func (e *evaluating) answers() (*AnswerEval, error) {
	rows, err := e.try("answers", e.Model, e.Ref, e.Samples)
	if err != nil {
		return nil, err
	}
	a := &AnswerEval{Prompts: len(rows), Answers: answersOf(rows), Tokens: clustered(each(rows, func(t TriedText) float64 { return float64(t.Tokens) }))}
	if a.Answers == 0 {
		return nil, fmt.Errorf("evaluate: none of the %d prompts could be continued; the first: %s", len(rows), rows[0].Error)
	}
	a.Cut = clustered(each(rows, func(t TriedText) float64 { return asNumber(t.Finish == FinishLength) })).Mean
	a.Failed = len(rows) - len(each(rows, func(TriedText) float64 { return 0 }))
	if e.Ref != "" {
		kl := klOf(rows)
		a.KL = &kl
	}
	if e.Reward != "" {
		reward := rewardOf(rows)
		a.Reward = &reward
	}
	if e.Against != "" {
		if a.WinRate, err = e.winRate(rows); err != nil {
			return nil, err
		}
	}
	if len(e.BestOf) > 0 {
		if a.Baseline, err = e.bestOf(); err != nil {
			return nil, err
		}
	}
	return a, e.writeSamples(rows)
}

// try tries a model and keeps the results in the folder.
func (e *evaluating) try(phase, model, ref string, samples int) ([]Tried, error) {
	c := Trial{Policy: model, Ref: ref, Reward: e.Reward, Judge: e.Judge, Data: e.Prompts, Columns: e.Names, Samples: samples, MaxTokens: e.MaxTokens,
		Seed: e.Seed, Threads: e.Threads, Device: e.Device}
	return c.kept(e.ctx, e.path(phase+".json"), func(done, total int64) bool {
		return e.yield(Event{Phase: phase, Done: int(done), Total: int(total)})
	})
}

func asNumber(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// bestOf chooses among the reference's answers.
func (e *evaluating) bestOf() (out []BestOfPoint, err error) {
	rows, err := e.try("reference", e.Ref, "", slices.Max(e.BestOf))
	if err != nil {
		return nil, err
	}
	for _, n := range e.BestOf {
		out = append(out, BestOfPoint{n, bestOfKL(n), bestOfMean(rows, n)})
	}
	return out, nil
}

// bestOfMean is the mean over prompts of the reward of the best of n.
func bestOfMean(rows []Tried, n int) Mean {
	var of []float64
	for _, rewards := range each(rows, func(a TriedText) float64 { return a.Reward }) {
		of = append(of, bestOf(rewards, n))
	}
	return mean(of)
}

// winRate is the share of answers that are better than another model's, or than those of a column; a tie is a half.
func (e *evaluating) winRate(rows []Tried) (*Mean, error) {
	others, err := e.others(rows)
	if err != nil {
		return nil, err
	}
	contest, err := OpenContest(e.decider(), e.Judge)
	if err != nil {
		return nil, err
	}
	defer contest.Close()
	var shares [][]float64
	for i, r := range rows {
		var matches []Match
		for k, a := range r.Answers {
			if len(others[i]) > 0 {
				matches = append(matches, Match{e.answer(i, k, r.Prompt, a.Text), e.answer(i, k, r.Prompt, others[i][k%len(others[i])])})
			}
		}
		won, err := contest.Contest(e.ctx, matches)
		if err != nil {
			return nil, fmt.Errorf("compare answers to prompt %d: %w", i, err)
		}
		if shares = append(shares, won); !e.yield(Event{Phase: "compare", Done: i + 1, Total: len(rows)}) {
			return nil, errStopped
		}
	}
	m := clustered(shares)
	return &m, nil
}

// decider is what decides between answers.
func (e *evaluating) decider() string {
	if e.Contest != "" {
		return e.Contest
	}
	return e.Reward
}

func (e *evaluating) answer(row, k int, prompt, text string) Answer {
	return Answer{Prompt: datasets.Text{String: prompt}, Completion: datasets.Text{String: text}, File: strings.Join(e.Prompts, ","), Row: int64(row), K: k}
}

// others are the answers that the policy's are compared with, by prompt.
func (e *evaluating) others(rows []Tried) (out [][]string, err error) {
	if column, is := strings.CutPrefix(e.Against, "column:"); is {
		return e.column(column)
	}
	tried, err := e.try("against", e.Against, "", e.Samples)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		var texts []string
		for _, a := range tried[i].Answers {
			texts = append(texts, a.Text)
		}
		out = append(out, texts)
	}
	return out, nil
}

// column reads a column of texts, or of lists of them, of the prompts.
func (e *evaluating) column(name string) (out [][]string, err error) {
	tables, _, err := datasets.OpenTables(e.Prompts, datasets.Options{Columns: e.Names, PromptOnly: true, Keep: []string{name}})
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		defer t.Close()
		for row, err := range t.Rows(0) {
			if err != nil {
				return nil, err
			}
			switch v := row.Value(name).(type) {
			case string:
				out = append(out, []string{v})
			case []any:
				var texts []string
				for _, x := range v {
					if s, is := x.(string); is {
						texts = append(texts, s)
					}
				}
				out = append(out, texts)
			default:
				return nil, fmt.Errorf("row %d of %s: column %s holds %T, text or a list of texts is needed", row.Group.Row, t.File, name, v)
			}
		}
	}
	return out, nil
}

// writeSamples writes the prompts with the answers.
func (e *evaluating) writeSamples(rows []Tried) error {
	if there(e.path(evalSamplesFile)) {
		return nil
	}
	tables, _, err := datasets.OpenTables(e.Prompts, datasets.Options{Columns: e.Names, PromptOnly: true})
	if err != nil {
		return err
	}
	w, err := datasets.CreateTable(e.path(evalSamplesFile), tables[0], []datasets.Column{
		{Name: "completions", Type: datasets.StringsColumn}, {Name: "policy_logps", Type: datasets.Float64sColumn}, {Name: "ref_logps", Type: datasets.Float64sColumn},
		{Name: "scores", Type: datasets.Float64sColumn}, {Name: "completion_tokens", Type: datasets.Int64sColumn},
		{Name: "finish_reasons", Type: datasets.StringsColumn}, {Name: "error", Type: datasets.StringColumn}},
		datasets.TableOptions{Overwrite: true, Names: leftOut(tables[0].Answers())})
	if err != nil {
		return err
	}
	at := 0
	for _, t := range tables {
		defer t.Close()
		for row, err := range t.Rows(0) {
			if err == nil {
				err = w.Write(row, rows[at].columns(e.Ref != "", e.Reward != "")...)
			}
			if err != nil {
				return errors.Join(err, w.Abort())
			}
			at++
		}
	}
	return w.Close()
}

// columns are a row's values in the order of writeSamples.
func (t Tried) columns(ref, reward bool) []any {
	if t.Error != "" {
		return []any{nil, nil, nil, nil, nil, nil, t.Error}
	}
	var texts, reasons []string
	var policy, reference, rewards []float64
	var tokens []int64
	for _, a := range t.Answers {
		texts, reasons, tokens = append(texts, a.Text), append(reasons, a.Finish), append(tokens, int64(a.Tokens))
		policy, reference, rewards = append(policy, a.Policy), append(reference, a.Reference), append(rewards, a.Reward)
	}
	out := []any{texts, policy, nil, nil, tokens, reasons, nil}
	if ref {
		out[2] = reference
	}
	if reward {
		out[3] = rewards
	}
	return out
}
