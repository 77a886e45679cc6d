package dpo

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestMeans(t *testing.T) {
	m := mean([]float64{1, 2, 3, 4})
	if m.Mean != 2.5 || math.Abs(m.SE-math.Sqrt(5.0/3/4)) > 1e-15 || m.N != 4 {
		t.Errorf("mean of 1 to 4: %+v", m)
	}
	// Four times the same answer tell no more of a prompt than one.
	if c := clustered([][]float64{{1, 1, 1, 1}, {2}, {3, 3}, {4}, nil}); c != m {
		t.Errorf("clusters: %+v, want %+v", c, m)
	}
	if low, high := m.Interval(); low >= m.Mean || high-m.Mean != m.Mean-low {
		t.Errorf("interval %v to %v", low, high)
	}
}

// The mean of the largest of n is that over all subsets of n.
func TestBestOfIsTheMeanOverSubsets(t *testing.T) {
	rewards := []float64{0.5, -1, 3, 3, 0.25, 2, -4}
	for n := 1; n <= len(rewards); n++ {
		sum, count := 0.0, 0
		for subset := range 1 << len(rewards) {
			size, largest := 0, math.Inf(-1)
			for i, r := range rewards {
				if subset>>i&1 == 1 {
					size++
					largest = max(largest, r)
				}
			}
			if size == n {
				sum += largest
				count++
			}
		}
		if got, want := bestOf(rewards, n), sum/float64(count); math.Abs(got-want) > 1e-12 {
			t.Errorf("best of %d: %v, want %v", n, got, want)
		}
	}
	if !math.IsNaN(bestOf(rewards, 8)) {
		t.Error("best of more than there are is a number")
	}
	if bestOfKL(1) != 0 || math.Abs(bestOfKL(4)-(math.Log(4)-0.75)) > 1e-15 {
		t.Errorf("divergence of best of 1 and 4: %v, %v", bestOfKL(1), bestOfKL(4))
	}
}

// Estimates from samples come near the optimum computed from the probabilities.
func TestOptimumIsThatOfTheProbabilities(t *testing.T) {
	probabilities, rewards := []float64{0.5, 0.3, 0.15, 0.05}, []float64{-1, 0, 1, 2}
	const beta = 0.7
	z, reward, kl := 0.0, 0.0, 0.0
	for i, p := range probabilities {
		z += p * math.Exp(rewards[i]/beta)
	}
	for i, p := range probabilities {
		q := p * math.Exp(rewards[i]/beta) / z
		reward += q * rewards[i]
		kl += q * math.Log(q/p)
	}
	draw := rand.New(rand.NewPCG(1, 2))
	var drawn []float64
	for range 200_000 {
		x, i := draw.Float64(), 0
		for x > probabilities[i] && i < 3 {
			x -= probabilities[i]
			i++
		}
		drawn = append(drawn, rewards[i])
	}
	got := newOptimum(drawn, beta)
	if math.Abs(got.reward-reward) > 0.02 || math.Abs(got.kl-kl) > 0.02 {
		t.Errorf("reward %v at %v nats, want %v at %v", got.reward, got.kl, reward, kl)
	}
	if far := newOptimum(drawn, 1e-3); math.Abs(far.reward-2) > 1e-9 || math.Abs(far.kl+math.Log(0.05)) > 0.05 || far.samples > got.samples {
		t.Errorf("for a small beta: %+v", far)
	}
	if flat := newOptimum([]float64{1, 1, 1}, beta); flat.kl > 1e-12 || math.Abs(flat.samples-3) > 1e-12 {
		t.Errorf("equal rewards: %+v", flat)
	}
}
