package dpo

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/golden"
)

func scoreConfig(model, ref string) ScoreConfig {
	return ScoreConfig{Model: model, Ref: ref, Beta: 0.1, MaxPromptLength: 256, Truncate: "prompt", EOS: "keep", Device: "cpu"}
}

// The log-probabilities of 24 real pairs are transformers' in float64, to 1e-5 a token.
func TestScoreEqualsTransformers(t *testing.T) {
	dir := golden.Shared(t, "models/stories260K-hf")
	var want struct {
		Pairs []struct {
			Prompt, Chosen, Rejected string
			ChosenIDs                []int   `json:"chosen_ids"`
			RejectedIDs              []int   `json:"rejected_ids"`
			ChosenLogp               float64 `json:"chosen_logp"`
			RejectedLogp             float64 `json:"rejected_logp"`
		}
	}
	golden.JSON(t, filepath.Join(dir, "golden.json"), &want)
	s, err := NewScorer(scoreConfig(dir, ""), loadTokenizer(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var groups []datasets.Group
	for _, p := range want.Pairs {
		groups = append(groups, datasets.Group{Prompt: datasets.Text{String: p.Prompt}, Completions: []datasets.Text{{String: p.Chosen}, {String: p.Rejected}}})
	}
	scores, err := s.Score(groups)
	if err != nil {
		t.Fatal(err)
	}
	worst := 0.0
	for i, p := range want.Pairs {
		for k, w := range []float64{p.ChosenLogp, p.RejectedLogp} {
			worst = math.Max(worst, math.Abs(scores[i].Policy[k]-w)/float64(scores[i].Tokens[k]))
		}
	}
	t.Logf("%d pairs, largest error %.1e a token", len(want.Pairs), worst)
	if len(want.Pairs) != 24 || worst > 1e-5 {
		t.Errorf("%d pairs, largest error %.2e a token, bar 1e-5", len(want.Pairs), worst)
	}
}

// scored scores lines of JSON and reads the file back.
func scoreLines(t *testing.T, ref string, lines ...string) (rows []map[string]any, file []byte) {
	t.Helper()
	model := golden.Testdata(t, "models", "tiny-llama")
	data, out := filepath.Join(t.TempDir(), "in.jsonl"), filepath.Join(t.TempDir(), "out.parquet")
	if err := os.WriteFile(data, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, err := range Score(context.Background(), scoreConfig(model, ref), loadTokenizer(t, model), ScoreFiles{Data: []string{data}, Out: out}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	read, err := parquet.Read[any](bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range read {
		rows = append(rows, r.(map[string]any))
	}
	return rows, file
}

func TestScorePairs(t *testing.T) {
	ref := golden.Testdata(t, "models", "tiny-llama-linear")
	lines := []string{`{"id": 7, "prompt": "the cat", "chosen": " sat", "rejected": " ran off", "extra": [1, 2]}`,
		`{"id": 8, "prompt": "the cat", "chosen": "", "rejected": " ran off", "extra": []}`}
	rows, first := scoreLines(t, ref, lines...)
	if _, again := scoreLines(t, ref, lines...); !bytes.Equal(first, again) {
		t.Error("the same input gave other bytes")
	}
	r := rows[0]
	margin := r["chosen_rewards"].(float64) - r["rejected_rewards"].(float64)
	reward := 0.1 * (r["policy_chosen_logps"].(float64) - r["ref_chosen_logps"].(float64))
	if r["id"] != int64(7) || r["reward_margins"] != margin || r["chosen_rewards"] != reward || r["truncated"] != false || r["error"] != nil {
		t.Errorf("scored row %v", r)
	}
	if w := 1 / (1 + math.Exp(margin)); math.Abs(r["gradient_weight"].(float64)-w) > 1e-15 {
		t.Errorf("gradient weight %v, want %v", r["gradient_weight"], w)
	}
	if bad := rows[1]; bad["error"] != "empty completion" || bad["policy_chosen_logps"] != nil || bad["id"] != int64(8) {
		t.Errorf("row that cannot be scored %v", bad)
	}
}

// Lists of a ranked row stay in the order of the file, whatever the ranks.
func TestScoreRankedAndSingle(t *testing.T) {
	ranked, _ := scoreLines(t, "", `{"prompt": "the cat", "completions": [" sat", " ran off"], "ranks": [2, 1]}`)
	sat, _ := scoreLines(t, "", `{"prompt": "the cat", "completion": " sat"}`)
	ran, _ := scoreLines(t, "", `{"prompt": "the cat", "completion": " ran off"}`)
	text, err := json.Marshal(ranked[0]["policy_logps"])
	if err != nil {
		t.Fatal(err)
	}
	var list []float64
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	alone := []float64{sat[0]["policy_logps"].(float64), ran[0]["policy_logps"].(float64)}
	if !slices.EqualFunc(list, alone, func(a, b float64) bool { return math.Abs(a-b) < 1e-4 }) {
		t.Errorf("a ranked row scores %v, its answers alone %v", list, alone)
	}
	if _, there := ranked[0]["rewards"]; there {
		t.Error("rewards without a reference")
	}
}
