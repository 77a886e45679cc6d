package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// table is rows under a head. The first cell of a row says what the row is.
type table struct {
	Caption string
	Head    []string
	Rows    []row
}

// row is a row of cells; a marked one stands out.
type row struct {
	Cells  []string
	Marked bool
}

func (t *table) add(cells ...string) { t.Rows = append(t.Rows, row{Cells: cells}) }

// tableSteps is how many steps of training, and of evaluations, a curve's table has at most.
const tableSteps = 12

// table gives a curve's numbers: evenly spaced steps, the first and the last.
func (f figure) table() table {
	t := table{Caption: f.title + ", " + f.y, Head: []string{f.x}}
	var trained, held []float64
	for _, s := range f.series {
		t.Head = append(t.Head, s.title)
		for _, p := range s.all {
			if s.dots {
				held = append(held, p.Step)
			} else {
				trained = append(trained, p.Step)
			}
		}
	}
	for _, step := range sortedSet(slices.Concat(spread(sortedSet(trained), tableSteps), spread(sortedSet(held), tableSteps))) {
		cells := []string{number(step)}
		for _, s := range f.series {
			cells = append(cells, number(s.at(step)))
		}
		t.add(cells...)
	}
	return t
}

// at is what was measured after a step; NaN where nothing was.
func (s series) at(step float64) float64 {
	i, _ := slices.BinarySearchFunc(s.all, step, func(p Point, step float64) int { return cmp.Compare(p.Step, step) })
	for ; i < len(s.all) && s.all[i].Step == step; i++ {
		if drawable(s.all[i].Value) {
			return s.all[i].Value
		}
	}
	return math.NaN()
}

func sortedSet(values []float64) []float64 {
	slices.Sort(values)
	return slices.Compact(values)
}

// spread picks n evenly spaced values, the first and the last among them.
func spread(values []float64, n int) []float64 {
	if len(values) <= n {
		return values
	}
	var picked []float64
	for i := range n {
		picked = append(picked, values[i*(len(values)-1)/(n-1)])
	}
	return picked
}

// columns of the summary: a title, and the name whose last tenth of steps is averaged, or whose last evaluation is shown.
var summaryColumns = []struct{ title, name string }{
	{"loss", "loss"}, {"accuracy", "rewards/accuracies"}, {"margin", "rewards/margins"}, {"KL", "kl"},
	{"held-out loss", "eval_loss"}, {"held-out accuracy", "eval_rewards/accuracies"}, {"held-out margin", "eval_rewards/margins"},
}

// summary has a row a run, and only columns of which a run has something.
func summary(runs []Run) table {
	t := table{Caption: "Runs. Of training, the mean of the last tenth of the steps; of held-out data, the last evaluation.", Head: []string{"run", "steps"}}
	var shown []string
	for _, c := range summaryColumns {
		if slices.ContainsFunc(runs, func(r Run) bool { return len(r.Series[c.name]) > 0 }) {
			t.Head, shown = append(t.Head, c.title), append(shown, c.name)
		}
	}
	t.Head = append(t.Head, "rows left out")
	for i, called := range names(runs) {
		r := runs[i]
		last := 0.0
		for _, points := range r.Series {
			last = max(last, points[len(points)-1].Step)
		}
		cells := []string{called, number(last)}
		for _, name := range shown {
			cells = append(cells, number(lately(name, r.Series[name])))
		}
		t.add(append(cells, number(float64(r.Dropped.Rows)))...)
	}
	return t
}

// lately is where a series ended.
func lately(name string, points []Point) float64 {
	n := 1
	if !strings.HasPrefix(name, evalPrefix) {
		n = max(1, len(points)/10)
	}
	sum, count := 0.0, 0.0
	for _, p := range points[max(0, len(points)-n):] {
		if drawable(p.Value) {
			sum += p.Value
			count++
		}
	}
	return sum / count // NaN of none
}

// sideBySide sets lists of values beside each other: a row a name, a column a list. Rows that differ are marked.
func sideBySide(caption, first string, called []string, lists [][]Setting) table {
	t := table{Caption: caption, Head: append([]string{first}, called...)}
	var order []string
	known := map[string][]string{}
	for i, list := range lists {
		for _, s := range list {
			if known[s.Name] == nil {
				order = append(order, s.Name)
				known[s.Name] = slices.Repeat([]string{"–"}, len(lists))
			}
			known[s.Name][i] = line(s.Value, 300)
		}
	}
	for _, name := range order {
		differs := len(slices.Compact(slices.Clone(known[name]))) > 1
		t.Rows = append(t.Rows, row{append([]string{line(name, 80)}, known[name]...), differs})
	}
	return t
}

// mostReasons is how many reasons are told; those of fewer rows are put together.
const mostReasons = 20

// dropped tables say what the runs left out, and name the first rows.
func dropped(runs []Run) (tables []table) {
	called := names(runs)
	counts := table{Caption: "Rows left out, by reason", Head: []string{"run", "rows", "reason"}}
	first := table{Caption: fmt.Sprintf("The first rows left out, at most %d a run; run/dropped.jsonl has all. Rows are counted from 0.", firstDrops),
		Head: []string{"run", "file", "row", "reason"}}
	for i, r := range runs {
		reasons := slices.SortedFunc(maps.Keys(r.Dropped.Reasons), func(a, b string) int {
			return cmp.Or(cmp.Compare(r.Dropped.Reasons[b], r.Dropped.Reasons[a]), cmp.Compare(a, b))
		})
		rest := 0
		for j, reason := range reasons {
			if n := r.Dropped.Reasons[reason]; j < mostReasons {
				counts.add(called[i], number(float64(n)), line(reason, 200))
			} else {
				rest += n
			}
		}
		if rest > 0 {
			counts.add(called[i], number(float64(rest)), "other reasons")
		}
		for _, d := range r.Dropped.First {
			first.add(called[i], line(d.File, 120), number(float64(d.Row)), line(d.Reason, 200))
		}
	}
	if len(counts.Rows) == 0 {
		return nil
	}
	return []table{counts, first}
}
