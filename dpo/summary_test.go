package dpo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// summed trains and gives the summary.
func summed(t *testing.T, c Config) Summary {
	t.Helper()
	s, _ := trained(t, c)
	return s
}

// trained trains and gives the summary, and the metrics of each step.
func trained(t *testing.T, c Config) (Summary, []Metrics) {
	t.Helper()
	steps, s, err := trainWith(c, loadTokenizer(t, c.Model), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, steps
}

func writeLines(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pairs.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A summary counts rows, tokens and seconds as metrics.jsonl has them.
func TestSummaryCounts(t *testing.T) {
	c := tinyConfig(t)
	c.Steps, c.EvalEvery, c.EvalData = 3, 2, []string{writePairs(t, 5)}
	bad := writeLines(t, `{"prompt": "a", "chosen": "", "rejected": "b"}`, `{"prompt": "a", "chosen": "b", "rejected": "b"}`,
		`{"prompt": "a", "chosen": "c", "rejected": "c"}`)
	c.Data = append(c.Data, bad)
	s := summed(t, c)
	if s.Groups != 24 || s.Dropped != 3 || s.DroppedReasons["empty completion"] != 1 || s.DroppedReasons["equal answers"] != 2 {
		t.Errorf("%d groups, %d dropped (%v); want 24, 3 (1 empty, 2 equal)", s.Groups, s.Dropped, s.DroppedReasons)
	}
	if s.First.Step != 1 || s.Last.Step != 3 || s.FirstEvaluation.Step != 0 || s.Evaluation.Step != 3 {
		t.Errorf("steps %d to %d, evaluations %d to %d", s.First.Step, s.Last.Step, s.FirstEvaluation.Step, s.Evaluation.Step)
	}
	if s.Tokens != s.Last.NumTokens || s.StepSeconds < s.Last.StepSeconds+s.First.StepSeconds || s.ReferenceSeconds != s.First.ReferenceSeconds ||
		!(s.EvaluationSeconds > s.Evaluation.Seconds) || s.PeakMemoryBytes < s.Last.PeakMemoryBytes || s.Last.PeakMemoryBytes == 0 {
		t.Errorf("summary %+v, last step %+v", s, *s.Last)
	}
}
