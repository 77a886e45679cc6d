package report

import "math"

// A curve is drawn from at most 2·buckets points, and all curves of a figure together from at most 2·figureBuckets; a plot is
// about 400 points of print wide, so more could not be told apart.
const (
	buckets       = 240
	figureBuckets = 960
)

// bucketsOf is how many buckets a curve of a figure of n curves gets.
func bucketsOf(n int) int { return max(24, min(buckets, figureBuckets/max(n, 1))) }

// thin keeps of each of n equal stretches of a series its least and its greatest value, in their order, and of a stretch with a gap
// one gap after them. So extremes stay, however short they were. The first and the last point stay too. A series of at most 2n
// points is left as it is.
func thin(points []Point, n int) []Point {
	if len(points) <= 2*n {
		return points
	}
	kept := make([]Point, 0, 2*n+2)
	keep := func(p Point) {
		if len(kept) == 0 || kept[len(kept)-1] != p {
			kept = append(kept, p)
		}
	}
	keep(points[0])
	for i := range n {
		part := points[i*len(points)/n : (i+1)*len(points)/n]
		least, most, gap := -1, -1, -1
		for j, p := range part {
			switch {
			case !drawable(p.Value):
				gap = j
				continue
			case least < 0:
				least, most = j, j
			}
			if p.Value < part[least].Value {
				least = j
			}
			if p.Value > part[most].Value {
				most = j
			}
		}
		if least >= 0 {
			keep(part[min(least, most)])
			keep(part[max(least, most)])
		}
		if gap >= 0 {
			keep(Point{part[gap].Step, math.NaN()})
		}
	}
	keep(points[len(points)-1])
	return kept
}

// drawable tells whether a value has a place on an axis. Beyond 1e30 the arithmetic of ticks overflows.
func drawable(v float64) bool { return math.Abs(v) <= 1e30 }

// smoothed is how long a series is of which the running mean is drawn too, and meanShare which share of it one mean is over.
const (
	smoothed  = 80
	meanShare = 40
)

// runningMean gives the mean of the 1/40 of the series around each point, at most n of them evenly spaced and the last; nil where the
// series is short. Gaps are stepped over, and stay where all around is one.
func runningMean(points []Point, n int) []Point {
	if len(points) < smoothed {
		return nil
	}
	sums, counts := make([]float64, len(points)+1), make([]int, len(points)+1)
	for i, p := range points {
		sums[i+1], counts[i+1] = sums[i], counts[i]
		if drawable(p.Value) {
			sums[i+1] += p.Value
			counts[i+1]++
		}
	}
	half := max(1, len(points)/meanShare/2)
	var means []Point
	for k := range n {
		i := k * (len(points) - 1) / max(n-1, 1)
		if k > 0 && i == (k-1)*(len(points)-1)/max(n-1, 1) {
			continue
		}
		from, to := max(0, i-half), min(len(points), i+half+1)
		mean := math.NaN()
		if c := counts[to] - counts[from]; c > 0 {
			mean = (sums[to] - sums[from]) / float64(c)
		}
		means = append(means, Point{points[i].Step, mean})
	}
	return means
}
