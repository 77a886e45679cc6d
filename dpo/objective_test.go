package dpo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// rewardDir makes a reward model of a language model, with this head where it is not nil.
func rewardDir(t testing.TB, from string, score []float64) string {
	t.Helper()
	drawn := filepath.Join(t.TempDir(), "drawn")
	if err := models.WriteReward(drawn, from, 5); err != nil {
		t.Fatal(err)
	}
	if score == nil {
		return drawn
	}
	m, err := models.Open(drawn)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	dir := filepath.Join(t.TempDir(), "reward")
	_, err = m.Save(dir, "float32", func(name string) ([]byte, error) {
		if name == "score.weight" {
			return engine.Floats(onnx.Float32, score).Data, nil
		}
		of, err := m.Weights.Tensor(name)
		return of.Data, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// aimed is tinyConfig with an objective: its data are pairs, or their chosen answers.
func aimed(t *testing.T, name string) Config {
	t.Helper()
	c, err := NewObjective(name)
	if err != nil {
		t.Fatal(err)
	}
	tiny := tinyConfig(t)
	c.Model, c.Data, c.Out = tiny.Model, tiny.Data, tiny.Out
	c.Batch, c.Steps, c.LR, c.Warmup, c.SaveEvery = 8, 6, 1e-3, 0, 0
	if c.EvalData, c.EvalEvery = []string{writePairs(t, 5)}, 3; name == Reward {
		c.Model = rewardDir(t, c.Model, nil)
	} else {
		c.On = onChosen
	}
	return c
}

// trlObjective is what TRL logged of a run: see scripts/golden/make_objectives.py.
type trlObjective struct {
	Settings struct {
		Rows, Batch int
		LR          float64
		MaxGradNorm float64 `json:"max_grad_norm"`
		MaxLength   int     `json:"max_length"`
		Score       []float64
	}
	Steps []struct {
		Loss      float64
		GradNorm  float64 `json:"grad_norm"`
		NumTokens float64 `json:"num_tokens"`
		Accuracy  float64
		Margin    float64
	}
}

// Ten steps of supervised fine-tuning and of a reward model stay with TRL's trainers: the loss within 1e-4, the gradient's norm within 1e-3
// relative.
func TestObjectivesFollowTRL(t *testing.T) {
	for name, what := range map[string]string{Likelihood: "sft", Reward: "reward"} {
		t.Run(what, func(t *testing.T) {
			var run trlObjective
			golden.JSON(t, golden.Testdata(t, "golden", "trl", "tiny-llama-"+what+".json"), &run)
			c, s := aimed(t, name), run.Settings
			c.Data, c.EvalData = []string{head(t, golden.Testdata(t, "pref", "tiny.pairs.jsonl"), s.Rows)}, nil
			c.LR, c.MaxGradNorm, c.Schedule, c.Batch, c.Steps, c.NoShuffle, c.MaxLength = s.LR, s.MaxGradNorm, "constant", s.Batch, len(run.Steps), true, s.MaxLength
			if name == Reward {
				c.Model = rewardDir(t, golden.Testdata(t, "models", "tiny-llama"), s.Score)
			}
			var loss, norm float64
			for i, m := range mustTrain(t, c) {
				want := run.Steps[i]
				loss, norm = math.Max(loss, math.Abs(m.Loss-want.Loss)), math.Max(norm, math.Abs(m.GradNorm/want.GradNorm-1))
				if m.NumTokens != int64(want.NumTokens) || m.Accuracies != want.Accuracy || math.Abs(m.Margins-want.Margin) > 1e-4 {
					t.Errorf("step %d: %d tokens, accuracy %v, margin %v; TRL has %v, %v, %v", i+1, m.NumTokens, m.Accuracies, m.Margins, want.NumTokens, want.Accuracy, want.Margin)
				}
			}
			first, last := run.Steps[0].Loss, run.Steps[len(run.Steps)-1].Loss
			t.Logf("loss %.4f to %.4f; apart by %.1e at most, the norm by %.1e", first, last, loss, norm)
			if !(loss <= 1e-4 && norm <= 1e-3) || last > 0.9*first {
				t.Errorf("loss apart by %.2e at most (bar 1e-4), norm by %.2e (1e-3); TRL's loss %v to %v", loss, norm, first, last)
			}
		})
	}
}

// rewarded is what transformers says of a reward model: see scripts/golden/make_objectives.py.
type rewarded struct {
	Model  string
	Score  []float64
	Loss   float64
	Groups []struct {
		Prompt      []int32
		Completions []struct {
			IDs              []int32
			Start            int
			Reward, Reward32 float64
		}
	}
}

// examples are the groups as a reward model is asked about them, with the rewards in float64 and transformers' in float32.
func (r rewarded) examples(d models.Decoder) (out []datasets.Example, exact, plain []float64) {
	for _, g := range r.Groups {
		x := datasets.Example{Prompt: g.Prompt}
		for _, c := range g.Completions {
			x.Completions = append(x.Completions, datasets.Completion{IDs: c.IDs, Start: c.Start})
			exact, plain = append(exact, c.Reward), append(plain, c.Reward32)
		}
		out = append(out, asked(d, x))
	}
	return out, exact, plain
}

// Rewards of each architecture are as near to transformers in float64 as float32 transformers are, times four; at worst 1e-5.
func TestRewardsEqualTransformers(t *testing.T) {
	var all []rewarded
	golden.JSON(t, golden.Testdata(t, "golden", "reward.json"), &all)
	for _, model := range architectureModels {
		all = append(all, readJudged(t, model).Reward)
	}
	covered := map[string]bool{}
	for _, r := range all {
		t.Run(r.Model, func(t *testing.T) {
			n, err := openFrozen(rewardDir(t, golden.Testdata(t, "models", r.Model), r.Score), onnx.Float32, engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer n.close()
			covered[n.model.Architecture] = true
			groups, exact, plain := r.examples(n.model.Decoder)
			got, err := n.logps(groups)
			if err != nil {
				t.Fatal(err)
			}
			ours, theirs := furthest(got, exact), furthest(plain, exact)
			t.Logf("rewards %.3f to %.3f; error %.1e, transformers' own in float32 %.1e", slices.Min(exact), slices.Max(exact), ours, theirs)
			if bar := math.Max(4*theirs, 1e-5); !(ours <= bar) || slices.Max(exact)-slices.Min(exact) < 0.1 {
				t.Errorf("error %.2e, bar %.2e; rewards %v", ours, bar, exact)
			}
		})
	}
	for _, class := range models.Architectures() {
		if strings.HasSuffix(class, "ForSequenceClassification") && !covered[class] {
			t.Errorf("no model of reward.json is a %s: add one to scripts/golden/make_objectives.py", class)
		}
	}
}

// The Bradley-Terry loss of a reward model and its whole gradient, in float64, equal PyTorch's, on every rung: per tensor to 1e-8.
func TestRewardGradientEqualsPyTorch(t *testing.T) {
	var all []rewarded
	golden.JSON(t, golden.Testdata(t, "golden", "reward.json"), &all)
	r, want := all[0], golden.Tensors(t, golden.Testdata(t, "golden", all[0].Model+".reward.safetensors"))
	dir := rewardDir(t, golden.Testdata(t, "models", r.Model), r.Score)
	for _, rung := range artifact.Rungs {
		n := openTest(t, dir, onnx.Float64, engine.Options{Plan: engine.Uniform(rung, 99)})
		groups, exact, _ := r.examples(n.model.Decoder)
		pass, err := n.engine.Forward(n.weights, n.batch(groups))
		if err != nil {
			t.Fatal(err)
		}
		if d := furthest(pass.LogProbs, exact); d > 1e-10 {
			t.Errorf("%s: rewards %.2e apart", rung, d)
		}
		c, _ := NewObjective(Reward)
		m, err := newMethod(c, named(t, n.engine.Artifact().Loss), n.engine.Artifact())
		if err != nil {
			t.Fatal(err)
		}
		out, err := m.loss(n.engine, measured{groups: groups, policy: pass.LogProbs, reference: slices.Repeat([][]float64{{0, 0}}, len(groups))}, nil, whole{total: len(groups)})
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(out.loss-r.Loss) > 1e-10 {
			t.Errorf("%s: loss %v, PyTorch's %v", rung, out.loss, r.Loss)
		}
		grads, err := n.engine.NewGradients()
		if err != nil {
			t.Fatal(err)
		}
		defer grads.Close()
		if err := pass.Backward(grads, out.dlogps); err != nil {
			t.Fatal(err)
		}
		got := values(t, n, grads)
		if len(got) != len(want) {
			t.Errorf("%s: %d tensors have gradients, PyTorch has %d", rung, len(got), len(want))
		}
		for name, g := range got {
			if e := distance(g, want[name].Values) / math.Sqrt(square(want[name].Values)); !(e <= 1e-8) {
				t.Errorf("%s: gradient of %s: relative error %.2e", rung, name, e)
			}
		}
	}
}

// Runs of each objective that are stopped and resumed end in the same bits.
func TestObjectivesResume(t *testing.T) {
	for _, name := range []string{Likelihood, Reward} {
		for _, streamed := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " streamed ", streamed), func(t *testing.T) {
				through := aimed(t, name)
				through.NoShuffle = streamed
				want := mustTrain(t, through)
				if first, last := want[0].Loss, want[len(want)-1].Loss; !(last < first) {
					t.Errorf("the loss rises from %v to %v", first, last)
				}
				c, got := stoppedAndResumed(t, through, 2)
				for i, m := range got {
					if w := want[2+i]; m.Step != w.Step || m.Loss != w.Loss || m.GradNorm != w.GradNorm || m.NumTokens != w.NumTokens {
						t.Errorf("step %d: %+v, without the interruption %+v", w.Step, m, w)
					}
				}
				for _, file := range []string{"model.safetensors", "run/checkpoints/step-000006/optimizer.safetensors"} {
					a, err1 := os.ReadFile(filepath.Join(through.Out, file))
					b, err2 := os.ReadFile(filepath.Join(c.Out, file))
					if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
						t.Errorf("%s differs (%v, %v)", file, err1, err2)
					}
				}
				sameEvents(t, c.Out)
				if _, err := os.Stat(filepath.Join(c.Out, runFolder, referenceFile)); err == nil {
					t.Error("a reference was kept")
				}
			})
		}
	}
}

// A step in micro-batches is the step in one, though rows have unequal numbers of tokens.
func TestObjectivesInMicroBatches(t *testing.T) {
	for _, name := range []string{Likelihood, Reward} {
		whole := aimed(t, name)
		cut := whole
		cut.Out, cut.MicroBatch = filepath.Join(t.TempDir(), "out"), 1
		a, b := mustTrain(t, whole), mustTrain(t, cut)
		for i := range 3 {
			if math.Abs(a[i].Loss-b[i].Loss) > 1e-6*a[i].Loss || math.Abs(a[i].GradNorm-b[i].GradNorm) > 1e-5*a[i].GradNorm {
				t.Errorf("%s, step %d: loss %v and %v, norm %v and %v", name, i+1, a[i].Loss, b[i].Loss, a[i].GradNorm, b[i].GradNorm)
			}
		}
	}
}

// metricNames are the keys of a run's first step and of its last line, an evaluation.
func metricNames(t *testing.T, out string) (step, evaluation map[string]any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(out, runFolder, metricsName))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		of := map[string]any{}
		if err := json.Unmarshal(line, &of); err != nil {
			t.Fatal(err)
		}
		if _, ok := of["eval_loss"]; ok {
			evaluation = of
		} else if step == nil {
			step = of
		}
	}
	return step, evaluation
}

// A likelihood measures the loss alone, a reward model rewards and no log-probabilities.
func TestObjectivesMeasure(t *testing.T) {
	c := aimed(t, Likelihood)
	mustTrain(t, c)
	step, evaluation := metricNames(t, c.Out)
	for _, name := range unmeasured[Likelihood] {
		if step[name] != nil || evaluation["eval_"+name] != nil {
			t.Errorf("a likelihood measures %s", name)
		}
	}
	for _, name := range []string{"loss", "grad_norm", "learning_rate", "num_tokens", "epoch"} {
		if step[name] == nil {
			t.Errorf("a likelihood does not measure %s", name)
		}
	}
	c = aimed(t, Reward)
	mustTrain(t, c)
	step, evaluation = metricNames(t, c.Out)
	if step["rewards/accuracies"] == nil || evaluation["eval_rewards/margins"] == nil || step["logps/chosen"] != nil || evaluation["eval_logps/rejected"] != nil {
		t.Errorf("a reward model measures %v, and held out %v", step, evaluation)
	}
}

// scoredLoss is the loss a token of the model before its first step, on the held-out chosen answers, by the scorer.
func scoredLoss(t *testing.T, c Config) float64 {
	t.Helper()
	s, err := NewScorer(ScoreConfig{Model: c.Model, Beta: 1, Truncate: "end", EOS: "add", Device: "cpu"}, loadTokenizer(t, c.Model))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	loss, tokens := 0.0, int64(0)
	for g, err := range datasets.Read(c.EvalData, datasets.Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		scores, err := s.Score([]datasets.Group{g})
		if err != nil {
			t.Fatal(err)
		}
		loss -= scores[0].Policy[0]
		tokens += scores[0].Tokens[0]
	}
	return loss / float64(tokens)
}

// The loss on held-out rows before the first step is the scorer's, over all their tokens.
func TestLikelihoodIsTheScorers(t *testing.T) {
	c := aimed(t, Likelihood)
	c.Steps = 1
	s := summed(t, c)
	want := scoredLoss(t, c)
	if got := s.FirstEvaluation.Loss; math.Abs(got-want) > 1e-5 {
		t.Errorf("held-out loss %v, the scorer's %v", got, want)
	}
}

// The chosen answers of pairs are what rows of prompt and completion are, and a text is a completion without a prompt.
func TestChosenAnswersAreCompletions(t *testing.T) {
	pairs := writeLines(t, `{"prompt": "a cat", "chosen": " sat here", "rejected": ""}`, `{"prompt": "a dog", "chosen": " ran", "rejected": " ran"}`)
	ranked := writeLines(t, `{"prompt": "a cat", "completions": [" lost", " sat here"], "scores": [1, 2]}`, `{"prompt": "a dog", "completions": [" ran", " sat"], "ranks": [1, 2]}`)
	tied := writeLines(t, `{"prompt": "a cat", "completions": [" sat here", " lost"], "scores": [2, 2]}`, `{"prompt": "a dog", "completions": [" sat", " ran"], "ranks": [null, 1]}`)
	voted := writeLines(t, `{"prompt": "a cat", "a": " lost", "b": " sat here", "votes": [1, 2, 2]}`, `{"prompt": "a dog", "chosen": " ran", "rejected": " sat", "chosen_share": 0.5}`)
	single := writeLines(t, `{"prompt": "a cat", "completion": " sat here"}`, `{"prompt": "a dog", "completion": " ran"}`)
	prefixed := writeLines(t, `{"prompt": "", "completion": "a cat sat here"}`, `{"prompt": null, "completion": "a dog ran"}`)
	text := writeLines(t, `{"text": "a cat sat here"}`, `{"text": "a dog ran"}`)
	run := func(file, on string) string {
		c := aimed(t, Likelihood)
		c.Data, c.EvalData, c.On, c.Steps, c.Batch = []string{file}, nil, on, 2, 2
		m := mustTrain(t, c)
		return fmt.Sprint(m[0].Loss, m[1].Loss, m[1].NumTokens, m[1].RowsDropped)
	}
	want := run(single, onCompletion)
	if got := run(pairs, onChosen); got != want {
		t.Errorf("chosen of pairs: %s, completions: %s", got, want)
	}
	for _, file := range []string{ranked, tied, voted} {
		if got := run(file, onChosen); got != want {
			t.Errorf("best of %s: %s, completions: %s", file, got, want)
		}
	}
	whole := run(prefixed, onCompletion)
	if got := run(text, onCompletion); got != whole || whole == want {
		t.Errorf("texts: %s, completions of no prompt: %s, completions: %s", got, whole, want)
	}
}

// A reward model's scores are its rewards, in the order of the file, with the answers' own tokens.
func TestScorerGivesRewards(t *testing.T) {
	dir := rewardDir(t, golden.Testdata(t, "models", "tiny-llama"), nil)
	c := ScoreConfig{Model: dir, Beta: 1, Truncate: "prompt", EOS: "add", Device: "cpu"}
	s, err := NewScorer(c, loadTokenizer(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	text := func(s string) datasets.Text { return datasets.Text{String: s} }
	groups := []datasets.Group{
		{Prompt: text("a cat"), Completions: []datasets.Text{text(" sat"), text(" ran far away")}, Order: []int{1, 0}},
		{Prompt: text("a cat"), Completions: []datasets.Text{text(" ran far away")}},
	}
	scores, err := s.Score(groups)
	if err != nil {
		t.Fatal(err)
	}
	pair, alone := scores[0], scores[1]
	if math.Abs(pair.Policy[0]-alone.Policy[0]) > 1e-6 || pair.Policy[0] == pair.Policy[1] || pair.Tokens[0] != alone.Tokens[0] || alone.Tokens[0] < 3 || pair.Rewards != nil {
		t.Errorf("a pair has %+v, its second answer alone %+v", pair, alone)
	}
	c.Ref = c.Model
	if _, err := NewScorer(c, loadTokenizer(t, dir)); err == nil || !strings.Contains(err.Error(), "leave out --ref") {
		t.Errorf("with a reference: error %v", err)
	}
	c.Model = golden.Testdata(t, "models", "tiny-llama")
	if _, err := NewScorer(c, loadTokenizer(t, dir)); err == nil || !strings.Contains(err.Error(), "is a reward model") {
		t.Errorf("as a reference: error %v", err)
	}
}

// byTransformers prints, for a reward model and a JSON list of token ids, the rewards.
const byTransformers = `
import json, sys, torch
from transformers import AutoModelForSequenceClassification
model, info = AutoModelForSequenceClassification.from_pretrained(sys.argv[1], output_loading_info=True)
assert not any(info.values()), info
with torch.no_grad():
    print(json.dumps([model(input_ids=torch.tensor([ids])).logits.item() for ids in json.loads(sys.argv[2])]))`

// What a run of reward leaves opens in transformers, with nothing missing or left over, and the same rewards, to 1e-5.
func TestTransformersOpensRewardModels(t *testing.T) {
	python := golden.Peers(t)
	c := aimed(t, Reward)
	mustTrain(t, c)
	n, err := openFrozen(c.Out, onnx.Float32, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	groups := randomGroups(3, n.model.Vocab, 9, 7)
	var sequences [][]int32
	for i, x := range groups {
		for _, c := range x.Completions {
			sequences = append(sequences, slices.Concat(x.Prompt, c.IDs))
		}
		groups[i] = asked(n.model.Decoder, x)
	}
	got, err := n.logps(groups)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := json.Marshal(sequences)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "-c", byTransformers, c.Out, string(ids)).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var want []float64
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("rewards %.3f to %.3f, %.1e apart", slices.Min(want), slices.Max(want), furthest(got, want))
	if d := furthest(got, want); !(d <= 1e-5) {
		t.Errorf("rewards %v, transformers' %v", got, want)
	}
}

// What an objective cannot use is refused, and says what can.
func TestObjectivesRefuse(t *testing.T) {
	reward := rewardDir(t, golden.Testdata(t, "models", "tiny-llama"), nil)
	single := []string{writeLines(t, `{"prompt": "a cat", "completion": " sat"}`)}
	for want, change := range map[string]func(c *Config){
		"objective must be one of preference, likelihood, reward":                        func(c *Config) { c.Objective = "rewards" },
		"dpo-ort sft trains by it":                                                       func(c *Config) { c.Objective, c.Loss, c.On, c.Beta = "", "nll", "", 0.1 },
		"sft has no reference: leave out ref":                                            func(c *Config) { c.Ref = c.Model },
		"loss must be one of nll":                                                        func(c *Config) { c.Loss = "sigmoid" },
		"on must be one of completion, chosen":                                           func(c *Config) { c.On = "best" },
		"on is a setting of sft":                                                         func(c *Config) { c.Objective, c.Loss, c.Beta = Reward, "sigmoid", 1 },
		"beta is no setting of reward":                                                   func(c *Config) { c.Objective, c.Loss, c.On, c.Beta = Reward, "sigmoid", "", 0.5 },
		"loss must be one of plackett_luce, sigmoid":                                     func(c *Config) { c.Objective, c.Loss, c.On, c.Beta = Reward, "ipo", "", 1 },
		"is a LlamaForCausalLM: reward trains a reward model":                            func(c *Config) { c.Objective, c.Loss, c.On, c.Beta = Reward, "sigmoid", "", 1 },
		"is a reward model (LlamaForSequenceClassification): sft takes a language model": func(c *Config) { c.Model = reward },
		"--on chosen takes the best of pairs":                                            func(c *Config) { c.Data = single },
		"give --on chosen for the best of each":                                          func(c *Config) { c.On = onCompletion },
		"has one completion; a preference needs": func(c *Config) {
			c.Objective, c.Loss, c.On, c.Beta, c.Data, c.Model = Reward, "sigmoid", "", 1, single, reward
		},
	} {
		c := aimed(t, Likelihood)
		change(&c)
		if _, err := NewTrainer(c, loadTokenizer(t, golden.Testdata(t, "models", "tiny-llama")), false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// A model that a run makes for itself is written only where the run may begin, and removed where it does not.
func TestWriteInitial(t *testing.T) {
	c := Config{Out: filepath.Join(t.TempDir(), "out")}
	write := func(dir string) error {
		return models.WriteInitial(dir, golden.Testdata(t, "models", "tiny-qwen3"), golden.Testdata(t, "models", "tiny-llama"), 1)
	}
	undo, err := c.WriteInitial(write)
	if err != nil {
		t.Fatal(err)
	}
	m, err := models.Open(c.Initial())
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.Out); err == nil {
		t.Error("something is left")
	}
	if err := os.MkdirAll(filepath.Join(c.Out, "other"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := c.WriteInitial(write); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("into a folder of something else: error %v", err)
	}
}
