package dpo

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// rankings is what PyTorch says of the Plackett–Luce loss: see scripts/golden/make_rankings.py.
type rankings struct {
	Cases []struct {
		Ties              string
		Places            [][]int
		Dissent           []float64
		Beta              float64
		Policy, Reference [][]float64
		Losses            []float64
		Dlogps            [][]float64
	}
	Model struct {
		Places     [][]int
		Beta, Loss float64
		Losses     []float64
	}
}

// lossOf runs a loss in float64, with its gradient, over groups that weigh alike.
func lossOf(t *testing.T, name string, choices []loss.Choices, beta float64, policy, reference []float64) map[string][]float64 {
	t.Helper()
	l, err := loss.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	g, err := lossWithGradient(l, onnx.Float64)
	if err != nil {
		t.Fatal(err)
	}
	G := len(choices)
	K := len(policy) / G
	values := map[string][]float64{"beta": {beta}, "label_smoothing": {0}, "policy_logps": policy, "reference_logps": reference}
	for range G {
		values["weight"] = append(values["weight"], 1/float64(G))
	}
	Q := addChoices(values, choices, K)
	return run(t, g, map[string]int64{"G": int64(G), "K": int64(K), "Q": int64(Q)}, values)
}

// Value and gradient of rankings of one to eight answers, whole and partial, with ties averaged and dropped, and of votes, are
// PyTorch's, where ties are averaged order by order: for rewards near each other, far apart, and 1e4 apart.
func TestRankingsEqualPyTorch(t *testing.T) {
	var want rankings
	golden.JSON(t, golden.Testdata(t, "golden", "rankings.json"), &want)
	longest := 0
	for i, c := range want.Cases {
		var choices []loss.Choices
		for _, places := range c.Places {
			of, err := loss.Rank(places, c.Ties == "drop")
			if err != nil {
				t.Fatal(err)
			}
			choices, longest = append(choices, of), max(longest, len(places))
		}
		names := []string{"plackett_luce"}
		for _, dissent := range c.Dissent {
			choices, names = append(choices, loss.Vote(dissent)), []string{"plackett_luce", "sigmoid"}
		}
		for _, name := range names {
			out := lossOf(t, name, choices, c.Beta, flat(c.Policy), flat(c.Reference))
			what := fmt.Sprintf("case %d: %s of places %v, ties %s, dissent %v", i, name, c.Places, c.Ties, c.Dissent)
			near(t, what, out["losses"], c.Losses)
			near(t, "gradient of "+what, out["dlogps"], flat(c.Dlogps))
		}
	}
	if len(want.Cases) < 100 || longest != 8 {
		t.Errorf("%d cases of up to %d answers", len(want.Cases), longest)
	}
}

// Of two answers Plackett–Luce is the sigmoid loss, ranked, voted on or tied: value and gradient to 1e-12.
func TestRankingOfTwoIsSigmoid(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var choices []loss.Choices
	var policy, reference []float64
	for _, spread := range []float64{0, 0.1, 10, 1000, 1e5} {
		for _, dissent := range []float64{0, 0, 0.25, 0.5} {
			choices = append(choices, loss.Vote(dissent))
			policy = append(policy, -100+spread*rng.NormFloat64(), -100+spread*rng.NormFloat64())
			reference = append(reference, -100, -100)
		}
	}
	a, b := lossOf(t, "sigmoid", choices, 0.1, policy, reference), lossOf(t, "plackett_luce", choices, 0.1, policy, reference)
	for _, what := range []string{"loss", "losses", "rewards", "dlogps"} {
		if d := furthest(a[what], b[what]); d > 1e-12*(1+largest(a[what])) {
			t.Errorf("%s: sigmoid has %v, plackett_luce %v (%.1e apart)", what, a[what], b[what], d)
		}
	}
}

// asRankings writes pairs as rankings of two, every other one with the worse answer first.
func asRankings(t *testing.T, pairs string) string {
	t.Helper()
	var out strings.Builder
	for g, err := range datasets.Read([]string{pairs}, datasets.Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		answers, ranks := []string{g.Completions[0].String, g.Completions[1].String}, []int{1, 2}
		if g.Row%2 == 1 {
			slices.Reverse(answers)
			slices.Reverse(ranks)
		}
		line, err := json.Marshal(map[string]any{"prompt": g.Prompt.String, "completions": answers, "ranks": ranks})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(line, '\n'))
	}
	return writeLines(t, out.String())
}

// Ten steps over pairs by the sigmoid loss, and over the same pairs as rankings by Plackett–Luce, are one run to 1e-7.
func TestTrainingOnRankingsOfTwoIsTrainingOnPairs(t *testing.T) {
	pairs := tinyConfig(t)
	pairs.Steps = 10
	ranked := pairs
	ranked.Data, ranked.Loss, ranked.Out = []string{asRankings(t, pairs.Data[0])}, "plackett_luce", filepath.Join(t.TempDir(), "out")
	a, b := mustTrain(t, pairs), mustTrain(t, ranked)
	worst := 0.0
	for i := range a {
		worst = max(worst, math.Abs(a[i].Loss-b[i].Loss), math.Abs(a[i].GradNorm/b[i].GradNorm-1), math.Abs(a[i].Margins-b[i].Margins))
	}
	t.Logf("loss %.4f to %.4f; loss, norm and margin apart by %.1e at most", a[0].Loss, a[9].Loss, worst)
	if worst > 1e-7 || a[9].Loss > 0.9*a[0].Loss {
		t.Errorf("loss %v and %v, norm %v and %v after ten steps: %.1e apart", a[9].Loss, b[9].Loss, a[9].GradNorm, b[9].GradNorm, worst)
	}
}

// The gradient of Plackett–Luce through the model, with ties and a partial ranking, is PyTorch's in float64.
func TestRankingGradientEqualsPyTorch(t *testing.T) {
	var want rankings
	golden.JSON(t, golden.Testdata(t, "golden", "rankings.json"), &want)
	grads := golden.Tensors(t, golden.Testdata(t, "golden", "tiny-llama.rankings.safetensors"))
	judged := readJudged(t, "tiny-llama").Batches[1].Groups
	groups, _ := examples(judged)
	var reference [][]float64
	for i, g := range judged {
		groups[i].Places = want.Model.Places[i]
		var of []float64
		for _, c := range g.Completions {
			of = append(of, c.Reference)
		}
		reference = append(reference, of)
	}
	n := openForLoss(t, "plackett_luce", golden.Testdata(t, "models", "tiny-llama"), onnx.Float64, engine.Options{})
	out, got := rankingGradient(t, n, want.Model.Beta, groups, reference)
	near(t, "losses", out.losses, want.Model.Losses)
	for name, g := range got {
		if e := distance(g, grads[name].Values) / math.Sqrt(square(grads[name].Values)); !(e <= 1e-8) {
			t.Errorf("gradient of %s: relative error %.2e", name, e)
		}
	}
}

// rankingGradient is the mean loss of groups of one K, and its gradient by tensor.
func rankingGradient(t *testing.T, n *network, beta float64, groups []datasets.Example, reference [][]float64) (losses, map[string][]float64) {
	t.Helper()
	config, err := NewConfig("paper")
	if err != nil {
		t.Fatal(err)
	}
	config.Beta = beta
	m, err := newMethod(config, named(t, n.engine.Artifact().Loss), n.engine.Artifact())
	if err != nil {
		t.Fatal(err)
	}
	pass, err := n.engine.Forward(n.weights, n.batch(groups))
	if err != nil {
		t.Fatal(err)
	}
	defer pass.Close()
	out, err := m.loss(n.engine, measured{groups: groups, policy: pass.LogProbs, reference: reference}, nil, whole{total: len(groups)})
	if err != nil {
		t.Fatal(err)
	}
	grads, err := n.engine.NewGradients()
	if err != nil {
		t.Fatal(err)
	}
	defer grads.Close()
	if err := pass.Backward(grads, out.dlogps); err != nil {
		t.Fatal(err)
	}
	return out, values(t, n, grads)
}

// On real rankings of four answers by people, some tied, and a real model the loss of each row is PyTorch's in float64, and so are the
// norm and a projection of each tensor's gradient.
func TestGradientOnRealRankingsEqualsPyTorch(t *testing.T) {
	rows, dir := golden.Shared(t, "pref/qafeedback-human-500x4.ranked.jsonl"), golden.Shared(t, "models/stories260K-hf")
	var want struct {
		Beta       float64
		References [][]float64
		Loss       float64
		Losses     []float64
		Tensors    map[string][2]float64
	}
	golden.JSON(t, golden.Testdata(t, "golden", "qafeedback.json"), &want)
	enc := &datasets.Encoder{Tokenizer: loadTokenizer(t, dir), Ties: datasets.TiesAverage}
	var groups []datasets.Example
	ties := 0
	for g, err := range datasets.Read([]string{head(t, rows, len(want.Losses))}, datasets.Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		x, err := enc.Encode(g)
		if err != nil {
			t.Fatal(err)
		}
		if x.Places != nil {
			ties++
		}
		groups = append(groups, x)
	}
	if ties == 0 || len(groups) != len(want.Losses) {
		t.Fatalf("%d rows, %d with ties", len(groups), ties)
	}
	n := openForLoss(t, "plackett_luce", dir, onnx.Float64, engine.Options{})
	out, grads := rankingGradient(t, n, want.Beta, groups, want.References)
	for i, l := range out.losses {
		if math.Abs(l-want.Losses[i]) > 1e-9*(1+want.Losses[i]) {
			t.Errorf("row %d: loss %v, PyTorch has %v", i, l, want.Losses[i])
		}
	}
	worst := 0.0
	for name, w := range want.Tensors {
		norm, projection := math.Sqrt(square(grads[name])), 0.0
		for i, g := range grads[name] {
			projection += g * math.Cos(float64(i))
		}
		worst = max(worst, math.Abs(norm-w[0])/w[0], math.Abs(projection-w[1])/w[0])
	}
	t.Logf("%d tensors, norm and projection within %.1e of PyTorch's", len(want.Tensors), worst)
	if !(worst <= 1e-8) || len(want.Tensors) != len(grads) {
		t.Errorf("%d tensors, PyTorch has %d: %.2e apart", len(grads), len(want.Tensors), worst)
	}
}

// What a run makes of ties, of answers that are not ranked or have no score, and of votes: the loss before the first step, where
// all rewards are equal, counts the choices.
func TestTrainOnTiesAndVotes(t *testing.T) {
	const three = `{"prompt": "the cat", "completions": [" sat", " ran off", " hid"], `
	log := math.Log
	for _, c := range []struct {
		name, row, loss, ties string
		want                  float64
	}{
		{"a ranking", three + `"ranks": [1, 2, 3]}`, "plackett_luce", "average", log(3) + log(2)},
		{"ties averaged", three + `"ranks": [1, 1, 2]}`, "plackett_luce", "average", log(3) + log(2)},
		{"ties dropped", three + `"ranks": [1, 1, 2]}`, "plackett_luce", "drop", log(2) + log(2)},
		{"the best alone is ranked", three + `"ranks": [null, 1, null]}`, "plackett_luce", "average", log(3)},
		{"an answer without a score", three + `"scores": [0.5, null, 0.1]}`, "sigmoid", "average", log(2)},
		{"two, tied", `{"prompt": "the cat", "completions": [" sat", " ran off"], "scores": [2, 2]}`, "sigmoid", "average", log(2)},
		{"votes", `{"prompt": "the cat", "a": " sat", "b": " ran off", "votes": [1, 2, 2]}`, "sigmoid", "drop", log(2)},
		{"a share of votes", `{"prompt": "the cat", "chosen": " sat", "rejected": " ran off", "chosen_share": 0.75}`, "plackett_luce", "average", log(2)},
	} {
		config := tinyConfig(t)
		config.Data, config.Loss, config.Ties, config.Steps = []string{writeLines(t, c.row)}, c.loss, c.ties, 1
		if got := mustTrain(t, config)[0].Loss; math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: loss %v, want %v", c.name, got, c.want)
		}
	}
}

// A reward model learns from ties and votes, too: a row of them is the mean of the pair and its reverse, in shares.
func TestRewardOnTiesAndVotes(t *testing.T) {
	first := func(loss, row string) float64 {
		c := aimed(t, Reward)
		c.Data, c.EvalData, c.Loss, c.Steps = []string{writeLines(t, row)}, nil, loss, 1
		return mustTrain(t, c)[0].Loss
	}
	right := first("sigmoid", `{"prompt": "the cat", "chosen": " sat", "rejected": " ran off"}`)
	wrong := first("sigmoid", `{"prompt": "the cat", "chosen": " ran off", "rejected": " sat"}`)
	for row, share := range map[string]float64{
		`{"prompt": "the cat", "completions": [" sat", " ran off"], "scores": [2, 2]}`:          1. / 2,
		`{"prompt": "the cat", "a": " ran off", "b": " sat", "votes": [1, 2, 2]}`:               2. / 3,
		`{"prompt": "the cat", "chosen": " sat", "rejected": " ran off", "chosen_share": 0.75}`: 3. / 4,
	} {
		for _, loss := range []string{"sigmoid", "plackett_luce"} {
			want := share*right + (1-share)*wrong
			if got := first(loss, row); math.Abs(got-want) > 1e-6 || math.Abs(right-wrong) < 1e-3 {
				t.Errorf("%s of %s: %v, want %v, of %v and %v", loss, row, got, want, right, wrong)
			}
		}
	}
}

// Votes that are even draw two answers together, those of one mind apart: after some steps the rewards say so.
func TestVotesTeachTheirShare(t *testing.T) {
	for share, want := range map[string]float64{"0.5": 0, "0.75": log3, "0.9": math.Log(9)} {
		c := tinyConfig(t)
		c.Data = []string{writeLines(t, `{"prompt": "the cat", "chosen": " sat", "rejected": " ran off", "chosen_share": `+share+`}`)}
		c.Batch, c.Steps, c.LR, c.Beta = 1, 150, 3e-4, 0.5
		m := mustTrain(t, c)
		if got := m[len(m)-1].Margins; math.Abs(got-want) > 0.05 {
			t.Errorf("a share of %s: margin %.3f, want its logit %.3f", share, got, want)
		}
	}
}

const log3 = 1.0986122886681098

// Rows that a loss is not defined for are named, and so is what to do; rows that compare nothing are dropped.
func TestTiesThatCannotBeUsed(t *testing.T) {
	const row = `{"prompt": "the cat", "completions": [" sat", " ran off"], `
	for _, c := range []struct{ name, rows, loss, ties, want string }{
		{"votes for hinge", `{"prompt": "the cat", "a": " sat", "b": " ran off", "votes": {"a": 2, "b": 1}}`, "hinge", "average",
			"pairs.jsonl: its answers are tied, or its votes divided, which loss hinge does not take: give --loss sigmoid or plackett_luce"},
		{"a tie for ipo", row + `"scores": [1, 1]}`, "ipo", "average", "row 0 of "},
		{"a tie alone", row + `"scores": [1, 1]}`, "ipo", "drop", "(1 dropped); row 0 of"},
		{"no ranks", row + `"ranks": [null, null]}`, "sigmoid", "average", ": no answer is ranked ("},
		{"one score", row + `"scores": [1, null]}`, "sigmoid", "average", ": fewer than two answers have a score ("},
		{"nine tied", `{"prompt": "p", "completions": ["a","b","c","d","e","f","g","h","i"], "scores": [1,1,1,1,1,1,1,1,1]}`, "plackett_luce", "average",
			"9 of its answers are tied for one place"},
	} {
		config := tinyConfig(t)
		config.Data, config.Loss, config.Ties, config.Steps = []string{writeLines(t, c.rows)}, c.loss, c.ties, 1
		if _, err := train(t, config, false, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

// Accuracy counts pairs that are not tied: of equal answers neither is the better.
func TestAccuracyLeavesTiesOut(t *testing.T) {
	three := func(places []int, dissent float64) datasets.Example {
		return datasets.Example{Places: places, Dissent: dissent}
	}
	for _, c := range []struct {
		x       datasets.Example
		rewards []float64
		want    float64
	}{
		{three(nil, 0), []float64{3, 1, 2}, 2. / 3},
		{three([]int{0, 1, 1}, 0), []float64{3, 1, 2}, 1},
		{three([]int{0, -1, -1}, 0), []float64{1, 3, 0}, 0.5},
		{three([]int{0, 0, 0}, 0), []float64{1, 3, 0}, 0.5},
		{three(nil, 0.5), []float64{1, 3}, 0.5},
		{three(nil, 0.4), []float64{1, 3}, 0},
	} {
		if got := ordered(c.x, c.rewards); got != c.want {
			t.Errorf("%+v: %v, want %v", c.x, got, c.want)
		}
	}
}

// Lists of a row with votes stay in the order a, b, whichever has won, and those of a ranking hold answers without a score.
func TestScoreKeepsTheOrderOfVotes(t *testing.T) {
	voted, _ := scoreLines(t, "", `{"prompt": "the cat", "a": " sat", "b": " ran off", "votes": [2, 2, 1]}`)
	ranked, _ := scoreLines(t, "", `{"prompt": "the cat", "completions": [" sat", " ran off"], "scores": [null, 1]}`)
	if a, b := fmt.Sprint(voted[0]["policy_logps"]), fmt.Sprint(ranked[0]["policy_logps"]); a != b || len(a) < 10 {
		t.Errorf("two answers with votes score %s, as a list %s", a, b)
	}
}
