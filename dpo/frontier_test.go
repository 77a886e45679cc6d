package dpo

import (
	"bytes"
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/dpo/report"
	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// tinyPlan is a frontier of tiny-llama.
func tinyPlan(t *testing.T) FrontierPlan {
	t.Helper()
	p, err := NewFrontierPlan()
	if err != nil {
		t.Fatal(err)
	}
	p.Reference, p.Prompts, p.Reward, p.Judge = golden.Testdata(t, "models", "tiny-llama"), []string{promptsFile(t, 12)}, "length", judgeOptions(t)
	p.Samples, p.MaxTokens, p.Betas, p.Points, p.ReferenceSamples, p.BestOf, p.BoundBetas = 2, 6, []float64{0.5}, 2, 8, []int{1, 2, 8}, []float64{10, 1}
	data := []string{writePairs(t, 16)}
	p.DPO.Data, p.DPO.Steps, p.DPO.Batch, p.DPO.LR, p.DPO.Optimizer = data, 4, 4, 1e-2, "sgd"
	p.PreferredFT.Data, p.PreferredFT.Steps, p.PreferredFT.Batch = data, 2, 4
	return p
}

// draw makes a frontier until the end, or until it has yielded stop events, and gives frontier.json.
func drawFrontier(t *testing.T, p FrontierPlan, dir string, stop int) []byte {
	t.Helper()
	n := 0
	for _, err := range Frontier(context.Background(), p, dir) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == stop {
			return nil
		}
	}
	return readBytes(t, filepath.Join(dir, frontierFile))
}

// A frontier that is stopped anywhere goes on to the same bytes; its points are those of the plan.
func TestFrontierResumesToTheSameBytes(t *testing.T) {
	p := tinyPlan(t)
	through := filepath.Join(t.TempDir(), "out")
	want := drawFrontier(t, p, through, 0)
	for _, stop := range []int{1, 7, 12, 16} {
		dir := filepath.Join(t.TempDir(), "out")
		drawFrontier(t, p, dir, stop)
		if got := drawFrontier(t, p, dir, 0); !bytes.Equal(got, want) {
			t.Errorf("stopped after %d events: %s\nwant %s", stop, got, want)
		}
	}
	f, err := report.ReadFrontier(filepath.Join(through, frontierFile))
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for _, p := range f.Points {
		points = append(points, p.Method)
	}
	if got := strings.Join(points, ","); got != "reference,best-of-n,best-of-n,best-of-n,dpo,dpo,preferred-ft,preferred-ft" {
		t.Errorf("points %s", got)
	}
	if a, b := f.Points[4], f.Points[5]; a.Step != 2 || b.Step != 4 || a.KL == b.KL || a.Samples != 24 || a.KLSE <= 0 || a.RewardSE <= 0 {
		t.Errorf("checkpoints %+v, %+v", a, b)
	}
	if f.Points[1].Reward != f.ReferenceReward || f.Points[3].Reward < f.Points[2].Reward || f.Points[2].KL != bestOfKL(2) {
		t.Errorf("best of n: %+v", f.Points[1:4])
	}
	if b := f.Bound; len(b) != 2 || b[1].KL <= b[0].KL || b[1].Reward <= b[0].Reward || b[0].ESS > 8 || math.Abs(b[0].Reward-f.ReferenceReward) > b[1].Reward-f.ReferenceReward {
		t.Errorf("bound %+v", b)
	}
	if len(f.Samples) != 12 {
		t.Errorf("%d samples", len(f.Samples))
	}
	if left := names(t, filepath.Join(through, pointsFolder)); len(left) != 5 {
		t.Errorf("points leave %v", left)
	}
	p.Samples++
	for _, err := range Frontier(context.Background(), p, through) {
		if err == nil || !strings.Contains(err.Error(), "samples was 2, is 3") {
			t.Errorf("another plan: %v", err)
		}
	}
}
