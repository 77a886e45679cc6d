package dpo

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
)

func answerTexts(texts ...string) (out []datasets.Text) {
	for _, s := range texts {
		out = append(out, datasets.Text{String: s})
	}
	return out
}

// Answers a to d have scores 1, 3, 3, 2; the last is a once more, with another score.
func TestPairing(t *testing.T) {
	texts, scores := answerTexts("a", "b", "c", "d", "a"), []float64{1, 3, 3, 2, 0}
	judged := []int{0, 1, 2, 3, 4}
	for _, test := range []struct {
		p            Pairing
		want         string
		ties, equals int64
	}{
		{Pairing{}, "[{1 0} {2 0} {3 0} {1 3} {1 4} {2 3} {2 4} {3 4}]", 1, 1},
		{Pairing{Ties: "keep"}, "[{1 0} {2 0} {3 0} {1 2} {1 3} {1 4} {2 3} {2 4} {3 4}]", 1, 1},
		{Pairing{Ties: "average"}, "[{1 0} {2 0} {3 0} {1 2} {2 1} {1 3} {1 4} {2 3} {2 4} {3 4}]", 1, 1},
		{Pairing{Pairs: "best-worst"}, "[{1 4}]", 0, 0},
		{Pairing{Pairs: "adjacent"}, "[{2 3} {3 0}]", 1, 1},
		{Pairing{Pairs: "adjacent", Ties: "keep"}, "[{1 2} {2 3} {3 0}]", 1, 1},
		{Pairing{Pairs: "sampled", Temperature: 1e-9, Ties: "drop"}, "[{1 0} {2 0} {3 0} {1 3} {1 4} {2 3} {2 4} {3 4}]", 1, 1},
	} {
		got, ties, equals := test.p.pairsOf(0, texts, judged, scores)
		if fmt.Sprint(got) != test.want || ties != test.ties || equals != test.equals {
			t.Errorf("%+v: %v, %d ties, %d equal; want %s, %d, %d", test.p, got, ties, equals, test.want, test.ties, test.equals)
		}
	}
	for name := range pairings {
		if got, _, _ := (Pairing{Pairs: name}).pairsOf(0, texts, nil, scores); got != nil {
			t.Errorf("%s of no answer: %v", name, got)
		}
		if got, _, _ := (Pairing{Pairs: name}).pairsOf(0, texts, []int{2}, scores); got != nil {
			t.Errorf("%s of one answer: %v", name, got)
		}
		if got, ties, _ := (Pairing{Pairs: name, Ties: "drop"}).pairsOf(0, texts, []int{1, 2}, scores); got != nil || ties != 1 {
			t.Errorf("%s of equal scores: %v, %d ties", name, got, ties)
		}
	}
}

// Sampled winners come as often as Bradley-Terry has it, within 4 standard errors of 20,000 rows; ties are a fair coin; the same seed
// draws the same, and another one others.
func TestSampledPairsAreBradleyTerrys(t *testing.T) {
	const n = 20_000
	texts, judged := answerTexts("a", "b"), []int{0, 1}
	for _, test := range []struct{ difference, temperature float64 }{{1, 1}, {-2, 1}, {1, 0.5}, {0, 1}} {
		p := Pairing{Pairs: "sampled", Temperature: test.temperature, Seed: 5}
		wins, same := 0, 0
		for row := range int64(n) {
			scores := []float64{test.difference, 0}
			first, _, _ := p.pairsOf(row, texts, judged, scores)
			again, _, _ := p.pairsOf(row, texts, judged, scores)
			other, _, _ := Pairing{Pairs: "sampled", Temperature: test.temperature, Seed: 6}.pairsOf(row, texts, judged, scores)
			if len(first) != 1 || !slices.Equal(first, again) {
				t.Fatalf("row %d: %v, again %v", row, first, again)
			}
			if first[0].chosen == 0 {
				wins++
			}
			if first[0] == other[0] {
				same++
			}
		}
		share := 1 / (1 + math.Exp(-test.difference/test.temperature))
		bar := 4 * math.Sqrt(share*(1-share)/n)
		if got := float64(wins) / n; math.Abs(got-share) > bar {
			t.Errorf("%+v: the first wins %.4f, want %.4f ± %.4f", test, got, share, bar)
		}
		agree := share*share + (1-share)*(1-share)
		if got := float64(same) / n; math.Abs(got-agree) > 4*math.Sqrt(agree*(1-agree)/n) {
			t.Errorf("%+v: another seed agrees in %.4f, want %.4f", test, got, agree)
		}
	}
}

// Numbers drawn at neighbouring counters are uniform and not correlated.
func TestDraw(t *testing.T) {
	const n = 1 << 16
	var sum, squares, neighbours float64
	last := Pairing{}.drawFor(0, 0, 1)
	for i := range int64(n) {
		x := Pairing{}.drawFor(i+1, 0, 1)
		sum, squares, neighbours = sum+x, squares+x*x, neighbours+(x-0.5)*(last-0.5)
		last = x
	}
	mean, variance, correlation := sum/n, squares/n-sum/n*sum/n, neighbours/n*12
	if math.Abs(mean-0.5) > 4*math.Sqrt(1.0/12/n) || math.Abs(variance-1.0/12) > 2e-3 || math.Abs(correlation) > 4/math.Sqrt(n) {
		t.Errorf("mean %v, variance %v, correlation of neighbours %v", mean, variance, correlation)
	}
}

func TestPairingCheck(t *testing.T) {
	for _, p := range []Pairing{{Pairs: "some"}, {Ties: "maybe"}, {Temperature: -1}, {Temperature: math.Inf(1)}} {
		if p.check() == nil {
			t.Errorf("%+v is not refused", p)
		}
	}
}
