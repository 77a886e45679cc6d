package trend

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Over 1,000 made-up series of half an hour of seconds, with a known slope and noise that remembers itself for ten seconds, the limit lies
// above the true slope in about 975. Were values taken for independent, it would do so in about 680.
func TestSlope(t *testing.T) {
	const seconds, seed = 1800, 7
	random := rand.New(rand.NewPCG(seed, 0))
	for _, real := range []float64{0, 8} {
		under, average := 0, 0.0
		for range 1000 {
			x, y, noise := make([]float64, seconds), make([]float64, seconds), 0.0
			for i := range x {
				noise = 0.9*noise + 0.1*random.NormFloat64()
				x[i] = float64(i) / 3600
				y[i] = 100 + real*x[i] + noise
			}
			slope, upper := Slope(x, y)
			average += slope / 1000
			if upper < real {
				under++
			}
		}
		t.Logf("seed %d, slope %v: measured %.3f on average, limit below it in %d of 1,000", seed, real, average, under)
		if math.Abs(average-real) > 0.05 {
			t.Errorf("the slope is %.3f on average, it is %v in truth", average, real)
		}
		if under < 10 || under > 50 {
			t.Errorf("the upper limit of a 95 %% interval is under the true slope in %d of 1,000, want 25", under)
		}
	}
}

// Fewer values than blocks say nothing.
func TestSlopeOfTooLittle(t *testing.T) {
	if _, upper := Slope(make([]float64, 19), make([]float64, 19)); !math.IsNaN(upper) {
		t.Errorf("the limit of 19 values is %v, want NaN", upper)
	}
}
