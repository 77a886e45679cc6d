package report

import (
	"math"
	"strconv"
	"strings"
)

// figure is one plot: its SVG, its PNG and its table are made from it.
type figure struct {
	id, title string
	x, y      string // what the axes show, with units
	text      string // a description for those who cannot see it
	note      string // below the plot; mostly empty
	series    []series
	tables    []table // its numbers; those of curves are made from series
}

// series are points of one kind, under one name in the legend.
type series struct {
	title  string
	all    []Point // of a curve: what was measured
	points []mark  // what is drawn
	mean   []mark  // where it is drawn too, points are pale
	look
}

// mark is a place on a plot, with how far its error bars reach to each side, in the axes' units. A y of NaN is a gap.
type mark struct{ x, y, left, right, low, high float64 }

// look is how a series is drawn. Colours, dashes and glyphs are counted around.
type look struct {
	colour, dash, glyph int
	line, dots, bars    bool
	faint               bool // the line only guides the eye
}

// segments are the stretches of marks between gaps.
func segments(marks []mark) (parts [][]mark) {
	start := 0
	for i := 0; i <= len(marks); i++ {
		if i < len(marks) && drawable(marks[i].y) {
			continue
		}
		if i > start {
			parts = append(parts, marks[start:i])
		}
		start = i + 1
	}
	return parts
}

// number is a value in at most four significant digits, and whole numbers in full.
func number(v float64) string {
	size := math.Abs(v)
	switch {
	case math.IsNaN(v):
		return "–"
	case v == 0:
		return "0"
	case v == math.Trunc(v) && size < 1e9:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case size < 1e-4 || size >= 1e9:
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	text := strconv.FormatFloat(v, 'f', max(0, 3-int(math.Floor(math.Log10(size)))), 64)
	if strings.Contains(text, ".") {
		text = strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	}
	return text
}
