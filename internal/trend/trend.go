// Package trend tells, for tests, whether a measured quantity grows.
package trend

import "math"

// blocks is into how many means a series is drawn together, and t975 Student's t of that many less two degrees of freedom.
const (
	blocks = 20
	t975   = 2.101
)

// Slope is the slope of y over x by least squares, with the upper end of its 95 % interval. Neighbouring values are taken to be alike, so the
// means of 20 blocks of the series, which are nearly independent of each other, stand for it. It is NaN where there are fewer values.
func Slope(x, y []float64) (slope, upper float64) {
	xs, ys := blockMeans(x), blockMeans(y)
	mx, my := mean(xs), mean(ys)
	var xx, xy, rest float64
	for b := range blocks {
		xx += (xs[b] - mx) * (xs[b] - mx)
		xy += (xs[b] - mx) * (ys[b] - my)
	}
	slope = xy / xx
	for b := range blocks {
		e := ys[b] - my - slope*(xs[b]-mx)
		rest += e * e
	}
	return slope, slope + t975*math.Sqrt(rest/(blocks-2)/xx)
}

func blockMeans(values []float64) []float64 {
	out := make([]float64, blocks)
	for b := range out {
		out[b] = mean(values[b*len(values)/blocks : (b+1)*len(values)/blocks])
	}
	return out
}

func mean(values []float64) (m float64) {
	for _, v := range values {
		m += v
	}
	return m / float64(len(values))
}
