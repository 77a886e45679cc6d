package dpo

import (
	"context"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// answersTo are answers to one prompt, in one row.
func answersTo(prompt string, texts ...string) (out []Answer) {
	for k, s := range texts {
		out = append(out, Answer{Prompt: datasets.Text{String: prompt}, Completion: datasets.Text{String: s}, File: "in.jsonl", Row: 3, K: k})
	}
	return out
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// judgeOptions opens tokenizers as the program does.
func judgeOptions(t *testing.T) JudgeOptions {
	return JudgeOptions{Tokenizer: func(dir string) (datasets.Tokenizer, error) { return loadTokenizer(t, dir), nil }}
}

// judgeCase is what a judge makes of "the cat" with " sat on good", "" and " is not good, BAD! bad": want holds scores, fails words of
// the errors, "" where there is none.
type judgeCase struct {
	spec  func(t *testing.T) string
	want  []float64
	fails []string
}

func judgeCases() map[string]judgeCase {
	fixed := func(spec string) func(*testing.T) string { return func(*testing.T) string { return spec } }
	none := []string{"", "", ""}
	return map[string]judgeCase{
		"lexicon": {func(t *testing.T) string { return "lexicon:" + golden.Testdata(t, "golden", "vader.lexicon.tsv") },
			[]float64{0.4404, 0, 0.6284}, none},
		"regex": {func(t *testing.T) string { return "regex:" + writeFile(t, "p.tsv", "good\t2\n(?i)\\bbad\\b\t-1.5\n") },
			[]float64{2, 0, -1}, none},
		"length": {fixed("length"), []float64{3, 0, 5}, none},
		"column": {fixed("column:votes"), []float64{7, 0, 0}, []string{"", "holds <nil>", "has 2 entries"}},
		"command": {fixed(`command:while read -r line; do case "$line" in *'"completion":""'*) echo '{"error":"empty"}';; *bad*) echo -2;; *) echo '{"score": 0.5}';; esac; done`),
			[]float64{0.5, 0, -2}, []string{"", "the judge says: empty", ""}},
		"implicit": {func(t *testing.T) string {
			return "implicit:" + golden.Testdata(t, "models", "tiny-llama") + "," + golden.Testdata(t, "models", "tiny-llama-linear")
		}, nil, []string{"", "empty completion", ""}},
		"loglik": {func(t *testing.T) string { return "loglik:" + golden.Testdata(t, "models", "tiny-llama") }, nil, []string{"", "empty completion", ""}},
	}
}

// Every judge of the table has its case: scores, and which answers it cannot judge and why.
func TestEachJudge(t *testing.T) {
	cases := judgeCases()
	for _, name := range slices.Sorted(maps.Keys(judges)) {
		if k := judges[name]; k.says == "" || strings.Contains(k.says, "\n") || !strings.HasPrefix(k.form, name) {
			t.Errorf("%s: written %q, says %q; want its name, and a line", name, k.form, k.says)
		}
		if name == "model" { // TestModelJudge
			continue
		}
		c, ok := cases[name]
		if !ok {
			t.Errorf("judge %s has no case", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			spec := c.spec(t)
			j, err := OpenJudge(spec, judgeOptions(t))
			if err != nil {
				t.Fatal(err)
			}
			defer j.Close()
			answers := answersTo("the cat", " sat on good", "", " is not good, BAD! bad")
			for i := range answers {
				answers[i].Values = map[string]any{"votes": []any{7.0, nil}}
			}
			got, err := j.Judge(context.Background(), answers)
			var some *UnjudgedError
			if err != nil && !errors.As(err, &some) {
				t.Fatal(err)
			}
			for i, want := range c.fails {
				var why error
				if some != nil {
					why = some.Answers[i]
				}
				if (why == nil) != (want == "") || why != nil && !strings.Contains(why.Error(), want) {
					t.Errorf("answer %d: error %v, want %q", i, why, want)
				}
			}
			want := c.want
			if want == nil {
				want = scoresOf(t, spec, answers)
			}
			if !slices.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-4 }) {
				t.Errorf("scores %v, want %v", got, want)
			}
		})
	}
}

// scoresOf are the rewards of a judge that is a model, each answer scored alone by Scorer; 0 of those that it cannot score.
func scoresOf(t *testing.T, spec string, answers []Answer) (out []float64) {
	t.Helper()
	name, dirs, _ := strings.Cut(spec, ":")
	model, ref, _ := strings.Cut(dirs, ",")
	c := scoreConfig(model, ref)
	c.EOS = "add"
	s, err := NewScorer(c, loadTokenizer(t, model))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, a := range answers {
		scores, err := s.Score([]datasets.Group{{Prompt: a.Prompt, Completions: []datasets.Text{a.Completion}}})
		switch {
		case err != nil:
			t.Fatal(err)
		case scores[0].Err != nil:
			out = append(out, 0)
		case name == "implicit":
			out = append(out, scores[0].Rewards[0])
		default:
			out = append(out, scores[0].Policy[0])
		}
	}
	return out
}

// A mean over tokens is the sum over their number; an answer that was cut gets no EOS, and so has a token less.
func TestLogLikelihoodPerToken(t *testing.T) {
	dir := golden.Testdata(t, "models", "tiny-llama")
	answers := answersTo("the cat", " sat down", " sat down")
	answers[1].Finish = "length"
	score := func(perToken bool) []float64 {
		o := judgeOptions(t)
		o.PerToken = perToken
		j, err := OpenJudge("loglik:"+dir, o)
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		out, err := j.Judge(context.Background(), answers)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	sums, means := score(false), score(true)
	a, b := math.Round(sums[0]/means[0]), math.Round(sums[1]/means[1])
	if a != b+1 || math.Abs(sums[0]/means[0]-a) > 1e-9 {
		t.Errorf("sums %v, means %v: %v and %v tokens", sums, means, a, b)
	}
}

// The length of a tokenizer's tokens is that of its ids without BOS.
func TestLengthInTokens(t *testing.T) {
	dir := golden.Testdata(t, "models", "tiny-llama")
	j, err := OpenJudge("length:"+dir, judgeOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	got, err := j.Judge(context.Background(), answersTo("p", "", "the cat sat"))
	if err != nil {
		t.Fatal(err)
	}
	_, ends, err := loadTokenizer(t, dir).Encode("the cat sat")
	if err != nil {
		t.Fatal(err)
	}
	added := 0
	for _, end := range ends {
		if end < 0 {
			added++
		}
	}
	if want := float64(len(ends) - added); got[0] != 0 || got[1] != want || want < 3 {
		t.Errorf("lengths %v, want 0 and %v", got, want)
	}
}

func TestModelJudgeRefusesLanguageModels(t *testing.T) {
	_, err := OpenJudge("model:"+golden.Testdata(t, "models", "tiny-llama"), judgeOptions(t))
	if err == nil || !strings.Contains(err.Error(), "a sequence-classification model is needed") {
		t.Errorf("error %v", err)
	}
}

func TestOpenJudgeRefuses(t *testing.T) {
	for spec, want := range map[string]string{
		"lexicn:a":           "reward must be one of column, ",
		"lexicon":            `reward "lexicon": it is written lexicon:FILE[,EMOJI]`,
		"command:":           "it is written command:PROGRAM",
		"implicit:a":         "implicit needs a model and a reference",
		"lexicon:nowhere":    "reward lexicon:nowhere: read a lexicon: ",
		"regex:nowhere":      "read patterns: ",
		"model:nowhere":      "read a reward model: ",
		"loglik:nowhere-dir": "nowhere-dir",
	} {
		o := JudgeOptions{Tokenizer: func(dir string) (datasets.Tokenizer, error) { return nil, errors.New("no " + dir) }}
		if _, err := OpenJudge(spec, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", spec, err, want)
		}
	}
	for text, want := range map[string]string{"": "it holds no pattern", "a\tb\n": `line 1 is "a\tb"`, "(\t1\n": "missing closing )", "a 1\n": "a tab and a number"} {
		if _, err := OpenJudge("regex:"+writeFile(t, "p.tsv", text), JudgeOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("patterns %q: error %v, want %q", text, err, want)
		}
	}
}

// YAML and lines of patterns say the same.
func TestRegexOfYAML(t *testing.T) {
	path := writeFile(t, "p.yaml", "- pattern: good\n  weight: 2\n- {pattern: 'b.d', weight: -1}\n")
	j, err := OpenJudge("regex:"+path, JudgeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := j.Judge(context.Background(), answersTo("p", "good bad bed")); err != nil || got[0] != 0 {
		t.Errorf("scores %v (%v), want 0", got, err)
	}
	path = writeFile(t, "q.yaml", "- pattern: good\n  wieght: 2\n")
	if _, err := OpenJudge("regex:"+path, JudgeOptions{}); err == nil {
		t.Error("an unknown key is not refused")
	}
}
