package dpo

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// ScoreConfig is everything that scores depend on.
type ScoreConfig struct {
	Model string
	Ref   string // "" for the policy's log-probabilities alone
	Beta  float64

	MaxLength       int // 0: no bound
	MaxPromptLength int
	Truncate        string // as in Config
	EOS             string // as in Config

	Threads    int
	Device     string
	DType      string // as in Config; "" means float32
	Offload    string // "parameters", or "" for nothing: see engine.Offload
	TF32       bool   // as in Config
	MicroBatch int
}

// Scores are what one group's completions came to, each list in the order of the file.
type Scores struct {
	Policy, Reference []float64 // log-probabilities, nats; of a reward model, Policy is the rewards
	Rewards           []float64 // beta·(policy − reference); nil without a reference
	Tokens            []int64   // scored
	Truncated         bool
	Err               error // why the group could not be scored; the rest is then empty
}

// GradientWeight is σ(r̂_l − r̂_w) of a pair: how wrongly the policy orders it (the gradient's weight in DPO, eq. 7).
func (s Scores) GradientWeight() float64 { return 1 / (1 + math.Exp(s.Rewards[0]-s.Rewards[1])) }

// Scorer computes log-probabilities and implicit rewards of groups of text, or the rewards of a reward model.
type Scorer struct {
	ScoreConfig
	encoder     *datasets.Encoder
	options     engine.Options
	precision   onnx.DType
	lanes       []*lane
	microTokens int
	digests     struct{ model, ref string } // "" where not computed yet
}

// settings are those that say how text becomes token ids.
func (c ScoreConfig) settings() Config {
	return Config{MaxLength: c.MaxLength, MaxPromptLength: c.MaxPromptLength, Truncate: c.Truncate, EOS: c.EOS, DType: c.DType, TF32: c.TF32}
}

// NewScorer opens the models.
func NewScorer(c ScoreConfig, tok datasets.Tokenizer) (s *Scorer, err error) {
	s = &Scorer{ScoreConfig: c, encoder: c.settings().encoder(tok)}
	if s.options, s.precision, err = precision(c.Device, c.DType, c.TF32, c.Threads); err != nil {
		return nil, Usage("%v", err)
	}
	if err := checkOffload(c.Offload, Offloads()[1:], s.options.Device); err != nil {
		return nil, err
	}
	s.options.Offload = engine.Offload(c.Offload)
	s.encoder.AllowEqual = true
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.openLanes(); err != nil {
		return s, err
	}
	if c.Ref != "" {
		if err := s.openReference(); err != nil {
			return s, err
		}
	}
	if tok.VocabSize() > s.model().Vocab {
		return s, fmt.Errorf("the tokenizer of %s knows %d tokens, its model has embeddings for %d: they do not belong together",
			c.Model, tok.VocabSize(), s.model().Vocab)
	}
	return s, nil
}

// Score scores groups together. What is wrong with one group is in its Scores; an error concerns all.
func (s *Scorer) Score(groups []datasets.Group) ([]Scores, error) {
	rows := make([]datasets.Row, len(groups))
	for i, g := range groups {
		rows[i].Group = g
	}
	return s.compute(s.encode(rows))
}

// together are rows to be scored together, as token ids.
type together struct {
	examples []datasets.Example
	asked    []datasets.Example // the same, as they are asked of the model
	usable   []int              // of the examples
	scores   []Scores           // of all rows; those that are not usable have their error
	err      error              // that there is no template for any row of messages
}

func (s *Scorer) encode(rows []datasets.Row) together {
	w := together{examples: make([]datasets.Example, len(rows)), asked: make([]datasets.Example, len(rows)), scores: make([]Scores, len(rows))}
	for i, row := range rows {
		err := row.Err
		if err == nil {
			w.examples[i], err = s.encoder.Encode(row.Group)
		}
		if err == nil {
			err = w.examples[i].CheckIDs(s.model().Vocab)
		}
		if err == nil {
			w.asked[i] = asked(s.model().Decoder, w.examples[i])
			err = checkPositions(s.model().Decoder, w.asked[i])
		}
		if errors.Is(err, datasets.ErrMessages) {
			w.err = err
			break
		}
		if err != nil {
			w.scores[i].Err = reason(err)
			continue
		}
		w.usable = append(w.usable, i)
	}
	return w
}

// compute scores what can be used.
func (s *Scorer) compute(w together) ([]Scores, error) {
	if w.err != nil {
		return nil, w.err
	}
	micros := microBatches(w.asked, w.usable, s.MicroBatch, s.microTokens)
	err := sideBySide(s.lanes, len(micros), func(l *lane, i int) error { return s.score(l, w, micros[i]) })
	return w.scores, err
}

// reason leaves out the file and row of an error about one, since it goes into that row.
func reason(err error) error {
	var drop *datasets.DropError
	var row *datasets.RowError
	switch {
	case errors.As(err, &drop):
		return errors.New(drop.Reason)
	case errors.As(err, &row):
		return row.Err
	}
	return err
}

// score scores one micro-batch.
func (s *Scorer) score(l *lane, w together, rows []int) error {
	groups := pick(w.asked, rows)
	policy, err := l.policy.logps(groups)
	if err != nil {
		return err
	}
	var ref []float64
	switch {
	case l.ref != nil:
		if ref, err = l.ref.logps(groups); err != nil {
			return fmt.Errorf("reference: %w", err)
		}
	case s.Ref != "":
		ref = policy
	}
	K := len(groups[0].Completions)
	for i, row := range rows {
		var of []float64
		if ref != nil {
			of = ref[i*K : (i+1)*K]
		}
		w.scores[row] = s.scores(w.examples[row], policy[i*K:(i+1)*K], of)
	}
	return nil
}

// scores puts a group's results in the order of the file.
func (s *Scorer) scores(x datasets.Example, policy, ref []float64) Scores {
	if !allFinite(policy) || !allFinite(ref) {
		return Scores{Err: fmt.Errorf("the log-probabilities are %v (policy) and %v (reference)", policy, ref)}
	}
	K := len(policy)
	r := Scores{Truncated: x.Truncated, Policy: make([]float64, K), Tokens: make([]int64, K)}
	if ref != nil {
		r.Reference = make([]float64, K)
	}
	for k := range K {
		at := k
		if x.Order != nil {
			at = x.Order[k]
		}
		r.Policy[at], r.Tokens[at] = policy[k], int64(scored(x, k))
		if ref != nil {
			r.Reference[at] = ref[k]
		}
	}
	r.Rewards = rewards(s.Beta, r.Policy, r.Reference)
	return r
}

// rewards are the implicit ones, beta·(policy − reference); nil without a reference.
func rewards(beta float64, policy, reference []float64) (out []float64) {
	for i, ref := range reference {
		out = append(out, beta*(policy[i]-ref))
	}
	return out
}

// identity says what the scores depend on.
func (s *Scorer) identity() (id identity, err error) {
	id = s.settings().encoding(s.encoder.Tokenizer)
	id.Beta = s.Beta
	if s.digests.model == "" {
		s.digests.model, err = weightsDigest(s.model())
	}
	id.Model, id.Ref = s.digests.model, s.digests.ref
	return id, err
}

// Close releases the models.
func (s *Scorer) Close() error {
	var errs []error
	for _, l := range slices.Backward(s.lanes) { // the first lends its weights to the others
		errs = append(errs, l.close())
	}
	s.lanes = nil
	return errors.Join(errs...)
}
