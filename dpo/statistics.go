package dpo

import (
	"math"
	"slices"
)

// Mean is an average with its standard error.
type Mean struct {
	Mean float64 `json:"mean"`
	SE   float64 `json:"se"` // 0 where one value alone gives none
	N    int     `json:"n"`  // values that are independent of each other
}

// interval95 is how many standard errors a 95 % interval reaches to each side.
const interval95 = 1.96

// Interval is where the true mean lies in 95 of 100 cases.
func (m Mean) Interval() (low, high float64) {
	return m.Mean - interval95*m.SE, m.Mean + interval95*m.SE
}

// mean is that of independent values.
func mean(values []float64) Mean {
	m := Mean{N: len(values)}
	for _, x := range values {
		m.Mean += x / float64(m.N)
	}
	if m.N < 2 {
		return m
	}
	for _, x := range values {
		m.SE += (x - m.Mean) * (x - m.Mean)
	}
	m.SE = math.Sqrt(m.SE / float64(m.N-1) / float64(m.N))
	return m
}

// clustered is the mean of values that belong to clusters, such as answers to prompts. Those of one cluster may be alike, so the
// standard error is that of the clusters' means.
func clustered(clusters [][]float64) Mean {
	var means []float64
	for _, values := range clusters {
		if len(values) > 0 {
			means = append(means, mean(values).Mean)
		}
	}
	return mean(means)
}

// bestOf is the expected largest of n rewards that are drawn from those given, each at most once: the unbiased estimate of
// best-of-n's reward. NaN where there are fewer than n.
//
//	Σ_i C(i−1, n−1) / C(M, n) · r_(i)          over the M rewards in rising order
func bestOf(rewards []float64, n int) float64 {
	M := len(rewards)
	if n < 1 || n > M {
		return math.NaN()
	}
	rising := slices.Sorted(slices.Values(rewards))
	sum, weight := 0.0, float64(n)/float64(M)
	for i := M; i >= n; i-- {
		sum += weight * rising[i-1]
		weight *= float64(i-n) / float64(i-1)
	}
	return sum
}

// bestOfKL is the divergence of best-of-n from what its answers are drawn from, where no two answers are equal, and a bound of it
// elsewhere (Beirami et al. 2024, arXiv 2401.01879): log n − (n−1)/n nats.
func bestOfKL(n int) float64 { return math.Log(float64(n)) - float64(n-1)/float64(n) }

// optimum is what the best policy for some β comes to on one prompt: π* ∝ πref·exp(r/β) (arXiv 2305.18290, Equation 4).
type optimum struct {
	kl, reward float64 // nats; expected under it
	samples    float64 // effective number of them: 1 / Σ w²
}

// newOptimum estimates it from rewards of πref's own answers, by self-normalised importance weights w ∝ exp(r/β):
//
//	E[r] = Σ w·r        KL = Σ w·r/β − log mean exp(r/β)
func newOptimum(rewards []float64, beta float64) (o optimum) {
	most, total, squares := slices.Max(rewards), 0.0, 0.0
	for _, r := range rewards {
		total += math.Exp((r - most) / beta)
	}
	for _, r := range rewards {
		w := math.Exp((r-most)/beta) / total
		o.reward += w * r
		squares += w * w
	}
	o.kl = (o.reward-most)/beta - math.Log(total/float64(len(rewards)))
	o.samples = 1 / squares
	return o
}
