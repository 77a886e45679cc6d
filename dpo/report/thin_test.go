package report

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestThinKeepsExtremes(t *testing.T) {
	var points []Point
	for i := range 100_000 {
		points = append(points, Point{float64(i + 1), math.Sin(float64(i))})
	}
	points[31_415].Value, points[27_182].Value = 50, -50
	points[60_000].Value = math.NaN()
	got := thin(points, buckets)
	if len(got) > 2*buckets+3 {
		t.Errorf("%d points, at most %d are wanted", len(got), 2*buckets+3)
	}
	for _, p := range []Point{points[0], points[31_415], points[27_182], points[99_999]} {
		if !slices.Contains(got, p) {
			t.Errorf("%v is lost", p)
		}
	}
	gaps := 0
	for i, p := range got {
		if math.IsNaN(p.Value) {
			gaps++
		}
		if i > 0 && p.Step < got[i-1].Step && !math.IsNaN(p.Value) && !math.IsNaN(got[i-1].Value) {
			t.Fatalf("step %v comes after %v", p.Step, got[i-1].Step)
		}
	}
	if gaps != 1 {
		t.Errorf("%d gaps, want 1", gaps)
	}
	if short := points[:2*buckets]; len(thin(short, buckets)) != len(short) {
		t.Error("a short series was thinned")
	}
}

func TestRunningMean(t *testing.T) {
	var points []Point
	for i := range 400 {
		points = append(points, Point{float64(i), float64(i) + float64(i%2)})
	}
	points[200].Value = math.NaN()
	means := runningMean(points, 100)
	if len(means) != 100 || means[0].Step != 0 || means[99].Step != 399 {
		t.Fatalf("%d means from %v to %v", len(means), means[0], means[len(means)-1])
	}
	// 11 points around 201: 196 to 206 but for 200, of which six are odd: their mean is 201.1 + 5/10.
	for _, m := range means {
		if m.Step == 201 && math.Abs(m.Value-201.6) > 1e-9 {
			t.Errorf("mean at 201 is %v, want 201.6", m.Value)
		}
	}
	if runningMean(points[:smoothed-1], 100) != nil {
		t.Error("a short series got a mean")
	}
}

// A gap breaks the line: two strokes, not one.
func TestGapsBreakLines(t *testing.T) {
	strokes := func(values ...float64) int {
		var points []Point
		for i, v := range values {
			points = append(points, Point{float64(i), v})
		}
		f, ok := panels[0].figure([]Run{{Name: "a", Series: map[string][]Point{"loss": points}}}, []string{"a"})
		if !ok {
			t.Fatal("nothing to draw")
		}
		svg, err := f.onPage()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(svg), "stroke:var(--c0)")
	}
	if n := strokes(1, 2, 3, 4); n != 1 {
		t.Errorf("%d strokes without a gap, want 1", n)
	}
	if n := strokes(1, 2, math.NaN(), 3, 4); n != 2 {
		t.Errorf("%d strokes with one gap, want 2", n)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1: "1", -3: "-3", 100_000: "100000", math.Ln2: "0.6931", 0.5: "0.5", 123.456: "123.5", 12345.6: "12346",
		1e-6: "1e-06", 0.00012346: "0.0001235", 9.9999999: "10", 1e12: "1e+12", -0.25: "-0.25"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
	if got := number(math.NaN()); got != "–" {
		t.Errorf("number(NaN) = %q", got)
	}
}

// The table has the numbers that were measured, not those that are drawn.
func TestTableOfACurve(t *testing.T) {
	r := measured("a", 1000)
	f, _ := panels[0].figure([]Run{r}, []string{"a"})
	got := f.table()
	if len(got.Rows) > 2*tableSteps || len(got.Rows) < tableSteps {
		t.Errorf("%d rows", len(got.Rows))
	}
	for _, row := range got.Rows {
		if row.Cells[0] == "1000" {
			if want := []string{"1000", number(r.Series["loss"][999].Value), number(r.Series["eval_loss"][9].Value)}; !slices.Equal(row.Cells, want) {
				t.Errorf("row %v, want %v", row.Cells, want)
			}
			return
		}
	}
	t.Error("the last step has no row")
}
