package dpo

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
)

// story is a row of a file for the runs here: a preference for what is glad.
type story struct {
	Prompt   string   `json:"prompt"`
	Chosen   string   `json:"chosen"`
	Rejected string   `json:"rejected"`
	Share    *float64 `json:"chosen_share,omitempty"`
}

// stories makes up n rows from a seed. Prompts are counted, from first, so that none comes twice.
func stories(n, first int, seed uint64) []story {
	rng := rand.New(rand.NewPCG(seed, 3))
	glad, sad := strings.Fields("happy kind bright glad"), strings.Fields("cold bad sad mean")
	tell := func(words []string) string {
		text := ""
		for range 1 + rng.IntN(3) {
			text += fmt.Sprintf(" %s saw a %s day.", []string{"Tom", "Ann", "Ben", "Lily"}[rng.IntN(4)], words[rng.IntN(4)])
		}
		return text
	}
	rows := make([]story, n)
	for i := range rows {
		rows[i] = story{Prompt: fmt.Sprintf("One day %d", first+i), Chosen: tell(glad), Rejected: tell(sad)}
	}
	return rows
}

func (s *story) flip() { s.Chosen, s.Rejected = s.Rejected, s.Chosen }

// flipped changes the answers over of those rows that are asked for.
func flipped(rows []story, which func(i int) bool) []story {
	for i := range rows {
		if which(i) {
			rows[i].flip()
		}
	}
	return rows
}

func writeStories(t *testing.T, rows []story) []string {
	t.Helper()
	var lines []string
	for _, r := range rows {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(text))
	}
	return []string{writeLines(t, lines...)}
}

// told is the tiny Llama once it has learnt to write such stories, glad and sad ones.
func told(t *testing.T) string {
	t.Helper()
	c := aimed(t, Likelihood)
	var lines []string
	for i, s := range stories(256, 5000, 9) {
		text, err := json.Marshal(map[string]string{"prompt": s.Prompt, "completion": []string{s.Chosen, s.Rejected}[i%2]})
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(text))
	}
	c.Data, c.EvalData, c.On = []string{writeLines(t, lines...)}, nil, onCompletion
	c.Batch, c.Steps, c.LR = 32, 60, 1e-2
	mustTrain(t, c)
	return c.Out
}

// healthy is a run that learns what its held-out rows hold too, and of which nothing is to be said.
func healthy(t *testing.T, model string) Config {
	t.Helper()
	c := tinyConfig(t)
	c.Model, c.Data = model, writeStories(t, stories(128, 0, 1))
	c.EvalData, c.EvalEvery = writeStories(t, stories(64, 1000, 2)), 4
	c.Batch, c.Steps, c.LR = 16, 8, 3e-4
	return c
}

// watched trains, and gives the warnings of the events and of the summary.
func watched(t *testing.T, c Config, spoil func(*Trainer)) (events, summary []datasets.Warning) {
	t.Helper()
	trainer, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	if spoil != nil {
		spoil(trainer)
	}
	for e, err := range trainer.Run(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Warning != nil {
			events = append(events, *e.Warning)
		}
	}
	return events, trainer.Summary().Warnings
}

// streamed takes the rows of the first steps in the order of the file.
func streamed(c *Config) { c.NoShuffle, c.Steps, c.EvalData = true, 6, nil }

// adapted trains a new adapter of the model, whose B is zero, or one with nothing but zeros.
func adapted(empty bool) func(t *testing.T, c *Config) {
	return func(t *testing.T, c *Config) {
		dir := filepath.Join(t.TempDir(), "adapter")
		if err := models.WriteAdapter(dir, c.Model, models.AdapterSpec{Rank: 2, Alpha: 4, Targets: []string{models.AllLinear}}, 1); err != nil {
			t.Fatal(err)
		}
		if c.Model = dir; !empty {
			c.LR = 1e-2
			return
		}
		path := filepath.Join(dir, "adapter_model.safetensors")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		clear(data[8+binary.LittleEndian.Uint64(data):]) // behind the header
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// diagnosisCase is a run that fails, and one that nearly does.
type diagnosisCase struct {
	name          string
	provoke, near func(t *testing.T, c *Config)
	spoil         func(*Trainer) // of the one that fails
	says          string         // in the warning
}

// diagnosisCases are runs that fail in each of the ways that are known, and beside each one that nearly does.
var diagnosisCases = []diagnosisCase{
	{"zero-rate", func(_ *testing.T, c *Config) { c.LR = 0 }, func(_ *testing.T, c *Config) { c.LR = 1e-4 }, nil,
		"the learning rate is 0 in all 8 steps (--lr 0, schedule constant, warm-up 0)"},
	{"zero-rate",
		func(_ *testing.T, c *Config) { c.Steps, c.Warmup, c.WarmupRule = 1, 1, "trl" },
		func(_ *testing.T, c *Config) { c.Steps, c.Warmup, c.WarmupRule = 3, 1, "trl" }, nil,
		"the learning rate is 0 in all 1 steps (--lr 0.0003, schedule constant, warm-up 1)"},
	{"zero-gradient", evenVotes(1), evenVotes(2), nil, "the gradient's norm is 0 in each of 3 steps, so no weight moves and the loss stays at 0.6931"},
	{"adapter-not-attached", adapted(true), adapted(false), nil, "the gradient's norm is 0 in each of 3 steps, and the loss stays at 0.6931"},
	{"updates-too-small", func(_ *testing.T, c *Config) { c.LR = 1e-20 }, func(_ *testing.T, c *Config) { c.LR = 1e-4 }, nil,
		"3 updates at a rate of 1e-20 at most"},
	{"updates-too-small",
		func(t *testing.T, c *Config) { likelihoodOf(t, c); c.LR = 1e-20 },
		func(t *testing.T, c *Config) { likelihoodOf(t, c); c.LR = 1e-9 }, nil, "3 updates at a rate of 1e-20 at most"},
	{"shared-reference", func(_ *testing.T, c *Config) { streamed(c) }, func(_ *testing.T, c *Config) { streamed(c) }, func(t *Trainer) {
		moving := func(groups []datasets.Example) ([]float64, error) {
			return t.logps(t.engines[0], t.policy.weights, groups)
		}
		t.beside = &standing{[]referenceLane{moving}, func() error { return nil }}
	}, "the weights have moved in 3 steps, and all rewards and the margin are exactly 0"},
	{"little-learnt", func(_ *testing.T, c *Config) { c.LR = 1e-9 }, func(_ *testing.T, c *Config) { c.LR = 1e-5 }, nil,
		"8 steps at a rate of 1e-09 moved the margin by "},
	{"little-learnt", func(_ *testing.T, c *Config) { c.LR, c.Warmup = 1e-5, 1000 }, func(_ *testing.T, c *Config) { c.LR, c.Warmup = 1e-4, 6 }, nil,
		"hint: lower --warmup: its 1000 steps are as long as the run, whose rate never reached --lr 1e-05"},
	{"reference-differs", func(t *testing.T, c *Config) { c.Ref = madeOf(t, c.Model, 5) }, func(t *testing.T, c *Config) { c.Ref = narrowed(t, c.Model) }, nil,
		"policy and reference differ before the first step: its loss is "},
	{"unlikely-answers", func(t *testing.T, c *Config) { c.Model = golden.Testdata(t, "models", "tiny-llama") }, func(*testing.T, *Config) {}, nil,
		"where a uniform guess among its 320 tokens has 5.77"},
	{"flipped-labels",
		func(t *testing.T, c *Config) {
			c.EvalData = writeStories(t, flipped(stories(64, 1000, 2), func(int) bool { return true }))
		},
		func(t *testing.T, c *Config) {
			c.EvalData = writeStories(t, flipped(stories(64, 1000, 2), func(i int) bool { return i%2 == 0 }))
		}, nil, "standard errors under one half, margin -"},
	{"flipped-labels",
		func(t *testing.T, c *Config) {
			streamed(c)
			c.Data, c.LR = writeStories(t, flipped(stories(128, 0, 1), func(i int) bool { return i >= 2*c.Batch })), 1e-3
			c.Batch, c.Steps = 32, 3
		},
		func(t *testing.T, c *Config) {
			streamed(c)
			c.Data, c.LR = writeStories(t, flipped(stories(128, 0, 1), func(i int) bool { return i >= 2*c.Batch && i%2 == 0 })), 1e-3
			c.Batch, c.Steps = 32, 3
		}, nil, "from the first steps on the reward prefers the wrong answer: accuracy 0."},
	{"flipped-labels",
		func(t *testing.T, c *Config) {
			rewardRunOf(t, c)
			c.EvalData = writeStories(t, flipped(stories(64, 1000, 2), func(int) bool { return true }))
		},
		rewardRunOf, nil, "the reward prefers the wrong answer of held-out data: accuracy 0."},
	{"over-optimised", memorised(func(i int) bool { return i%2 == 0 }), memorised(func(int) bool { return false }), nil, "hint: stop earlier: --early-stop 3"},
	{"skipped-steps", inHalf, inHalf, func(t *Trainer) { t.state.Scale.Value = 1 << 40 }, "8 of 8 steps were skipped, for their gradients overflowed float16: the loss scale, 65536 at first, came to "},
	{"both-rewards-fall",
		func(_ *testing.T, c *Config) { c.LR, c.Steps, c.EvalData = 1e-2, 24, nil },
		func(_ *testing.T, c *Config) { c.LR, c.Steps, c.EvalData = 1e-4, 24, nil }, nil, "both rewards fell while the margin grew to "},
}

// inHalf computes in float16.
func inHalf(_ *testing.T, c *Config) {
	c.Device, c.DType = guarded.String(), "float16"
}

// evenVotes has as many votes for either answer in each row, or in each n-th.
func evenVotes(each int) func(*testing.T, *Config) {
	return func(t *testing.T, c *Config) {
		rows, even, all := stories(128, 0, 1), 0.5, 1.0
		for i := range rows {
			if rows[i].Share = &all; i%each == 0 {
				rows[i].Share = &even
			}
		}
		c.Data = writeStories(t, rows)
	}
}

// memorised takes many steps on few rows, of which some are labelled the wrong way round.
func memorised(wrong func(i int) bool) func(*testing.T, *Config) {
	return func(t *testing.T, c *Config) {
		c.Data, c.Batch, c.Steps, c.LR, c.EvalEvery = writeStories(t, flipped(stories(16, 0, 1), wrong)), 16, 16, 3e-4, 2
		c.EvalData = writeStories(t, flipped(stories(64, 1000, 2), wrong))
	}
}

// likelihoodOf makes a run of sft of one of preferences.
func likelihoodOf(t *testing.T, c *Config) {
	t.Helper()
	sft := aimed(t, Likelihood)
	sft.Model, sft.Data, sft.EvalData, sft.Out, sft.Steps = c.Model, c.Data, c.EvalData, c.Out, c.Steps
	*c = sft
}

// rewardRunOf makes a run of reward of one of preferences.
func rewardRunOf(t *testing.T, c *Config) {
	t.Helper()
	reward := aimed(t, Reward)
	reward.Model, reward.Data, reward.EvalData, reward.Out = rewardDir(t, c.Model, nil), c.Data, c.EvalData, c.Out
	reward.Batch, reward.Steps, reward.LR, reward.EvalEvery = 16, 16, 1e-2, 0
	*c = reward
}

// madeOf is the model after some steps of training, without a warning of its own.
func madeOf(t *testing.T, model string, steps int) string {
	t.Helper()
	c := healthy(t, model)
	c.Steps, c.EvalData, c.LR = steps, nil, 1e-3
	mustTrain(t, c)
	return c.Out
}

// narrowed is the model with its weights rounded to bfloat16.
func narrowed(t *testing.T, model string) string {
	t.Helper()
	return savedAs(t, openModel(t, model), "bfloat16", nil)
}

// Each failure is named, with its numbers, in an event and in the summary, and nothing is in a run that nearly fails.
func TestDiagnoses(t *testing.T) {
	for _, d := range diagnoses {
		if !slices.ContainsFunc(diagnosisCases, func(c diagnosisCase) bool { return c.name == d.name }) {
			t.Errorf("diagnosisCases has nothing for %q", d.name)
		}
	}
	model := told(t)
	for _, test := range diagnosisCases {
		t.Run(test.name, func(t *testing.T) {
			c := healthy(t, model)
			test.provoke(t, &c)
			events, summary := watched(t, c, test.spoil)
			if len(events) != 1 || events[0].Name != test.name || !strings.Contains(events[0].String(), test.says) || strings.Contains(events[0].String(), "\n") {
				t.Errorf("provoked: %q, want %s with %q", events, test.name, test.says)
			}
			if !slices.Equal(events, summary) {
				t.Errorf("the summary has %q, the events %q", summary, events)
			}
			c = healthy(t, model)
			test.near(t, &c)
			if events, _ := watched(t, c, nil); len(events) > 0 {
				t.Errorf("nearly: %q", events)
			}
		})
	}
}

// A run that is stopped anywhere and resumed comes to the same warnings, and none is said twice.
func TestWarningsSurviveAResume(t *testing.T) {
	overfit := healthy(t, told(t))
	memorised(func(i int) bool { return i%2 == 0 })(t, &overfit)
	overfit.Data = append(overfit.Data, writeStories(t, flipped(stories(2, 0, 1), func(i int) bool { return i == 0 }))...)
	random := tinyConfig(t)
	streamed(&random)
	random.Data, random.LR = writeStories(t, append(stories(24, 0, 1), stories(24, 0, 1)...)), 1e-9
	for want, c := range map[string]Config{"duplicates over-optimised": overfit, "unlikely-answers duplicates little-learnt": random} {
		_, whole := watched(t, c, nil)
		var names []string
		for _, w := range whole {
			names = append(names, w.Name)
		}
		if strings.Join(names, " ") != want {
			t.Errorf("%q, want %s", whole, want)
		}
		for _, stop := range []int{1, c.Steps - 1} {
			c.Out = filepath.Join(t.TempDir(), "out")
			var said []datasets.Warning
			if _, err := listen(t, c, false, stop, &said); !errors.Is(err, ErrInterrupted) {
				t.Fatal(err)
			}
			got, err := listen(t, c, true, 0, &said)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, whole) || !slices.Equal(said, whole) {
				t.Errorf("stopped after step %d: the summary has %q, the events %q; without a stop %q", stop, got, said, whole)
			}
		}
	}
}

// A run whose reference has to be computed again comes to the same warnings, too.
func TestWarningsWithoutKeptReference(t *testing.T) {
	c := tinyConfig(t)
	c.Steps, c.Ref = 4, madeOf(t, c.Model, 5)
	var said []datasets.Warning
	if _, err := listen(t, c, false, 2, &said); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(c.Out, "run", referenceFile)); err != nil {
		t.Fatal(err)
	}
	got, err := listen(t, c, true, 0, &said)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Name != "reference-differs" || got[1].Name != "unlikely-answers" {
		t.Errorf("the summary has %q", got)
	}
}

// listen trains, until a step if that is not 0, and adds what is said; it gives the summary's warnings.
func listen(t *testing.T, c Config, resume bool, stop int, said *[]datasets.Warning) ([]datasets.Warning, error) {
	t.Helper()
	trainer, err := NewTrainer(c, loadTokenizer(t, c.Model), resume)
	if err != nil {
		return nil, err
	}
	defer trainer.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for e, err := range trainer.Run(ctx) {
		if err != nil {
			return nil, err
		}
		if e.Warning != nil {
			*said = append(*said, *e.Warning)
		}
		if e.Metrics != nil && e.Metrics.Step == stop {
			cancel()
		}
	}
	return trainer.Summary().Warnings, nil
}

// At margin 0 each loss is what its formula says there, for pairs and for a ranking of three.
func TestLossAtNoMargin(t *testing.T) {
	log := math.Log
	const eps = 1e-3
	values := map[string]float64{"sigmoid": log(2), "robust": log(2), "hinge": 1, "ipo": 25, "ipo_mean": 25, "plackett_luce": log(2), "sigmoid_norm": log(2),
		"exo_pair": -log(2) - (log(1-eps)+log(eps))/2, "nca_pair": 2 * log(2), "sppo_hard": 50, "apo_zero": 1, "apo_down": 1, "discopop": (log(2) + 1) / 2,
		"dpop": log(2), "aot": log(2), "aot_unpaired": log(2), "bco_pair": 2 * log(2), "bco_pair_unshifted": 2 * log(2), "beta_dpo": log(2)}
	for _, c := range stepLossRuns(t) {
		if s := c.Steps[0]; named(t, c.Name).Unpaired && slices.Max(s.Drift) == 0 && slices.Equal(flat(s.Policy), flat(s.Reference)) {
			values[c.Name] = s.Loss // of one answer of each label
		}
	}
	for name, want := range values {
		c := tinyConfig(t)
		if c.Loss = name; name == "exo_pair" {
			c.LabelSmoothing = eps
		}
		if got := noMargin(t, c); math.Abs(got-want) > 1e-5*want {
			t.Errorf("%s: %v at margin 0, want %v", name, got, want)
		}
	}
	ranked := tinyConfig(t)
	ranked.Loss, ranked.Batch = "plackett_luce", 2
	ranked.Data = []string{writeLines(t, `{"prompt": "a cat", "completions": [" sat", " ran", " saw"], "ranks": [1, 2, 3]}`,
		`{"prompt": "a dog", "completions": [" sat", " ran", " saw"], "ranks": [3, 2, 1]}`)}
	if got, want := noMargin(t, ranked), log(6); math.Abs(got-want) > 1e-5 {
		t.Errorf("three in order: %v at margin 0, want log 3!", got)
	}
	for _, name := range loss.Comparing() {
		l := named(t, name)
		if _, ok := values[name]; !ok && !l.Free && l.Columns == nil {
			t.Errorf("no case for loss %s", name)
		}
	}
}

func noMargin(t *testing.T, c Config) float64 {
	t.Helper()
	trainer, err := NewTrainer(c, loadTokenizer(t, c.Model), false)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	w := &watcher{Trainer: trainer}
	got := w.atNoMargin()
	if w.err != nil {
		t.Fatal(w.err)
	}
	return got
}
