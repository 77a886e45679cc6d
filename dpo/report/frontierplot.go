package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// figures draws the frontier twice, over KL and over its root, in which the theory's optimum begins as a straight line.
func (f *Frontier) figures() []figure {
	kl := f.figure("frontier-kl", "Reward and KL", "KL(π‖πref), nats a prompt", func(v float64) float64 { return v })
	root := f.figure("frontier-sqrt-kl", "Reward and √KL", "√KL(π‖πref), √nats", func(v float64) float64 { return math.Sqrt(max(v, 0)) })
	return []figure{kl, root}
}

// figure draws points, and the bound, over a growing function of KL.
func (f *Frontier) figure(id, title, x string, of func(float64) float64) figure {
	g := figure{id: id, title: title, x: x, y: orElse(line(f.Reward, 40), "reward"), tables: f.tables()}
	most := 0.0
	bound, left := f.bound()
	curve := series{title: "bound (Eq. 4)", look: look{colour: 6, dash: 1, line: true}}
	for _, b := range bound {
		curve.points = append(curve.points, mark{x: of(b.KL), y: b.Reward})
		most = max(most, of(b.KL))
	}
	for i, m := range methods {
		s := series{title: m.title, look: look{colour: i, glyph: i, dots: true, bars: true}}
		for _, p := range f.Points {
			if p.Method == m.name {
				s.points = append(s.points, p.mark(of))
				most = max(most, of(p.KL+p.KLSE))
			}
		}
		if len(s.points) > 0 {
			g.series = append(g.series, s)
		}
	}
	g.series = append(g.series, f.paths(of)...)
	if len(curve.points) > 0 {
		g.series = append(g.series, curve)
	}
	g.series = append(g.series, series{title: "reference's reward", look: look{colour: 3, dash: 2, line: true, faint: true},
		points: []mark{{x: 0, y: f.ReferenceReward}, {x: max(most, 1e-3), y: f.ReferenceReward}}})
	if left > 0 {
		g.note = fmt.Sprintf("Points of the bound left out, for their effective sample size is under %d: %d.", leastESS, left)
	}
	g.text = fmt.Sprintf("%s over %s. The reference's reward is %s. %s", g.y, x, number(f.ReferenceReward), f.best())
	return g
}

// mark is the point's place; error bars are one standard error to each side.
func (p FrontierPoint) mark(of func(float64) float64) mark {
	x := of(p.KL)
	return mark{x: x, y: p.Reward, left: x - of(p.KL-p.KLSE), right: of(p.KL+p.KLSE) - x, low: p.RewardSE, high: p.RewardSE}
}

// paths are lines through the checkpoints of one run by step, and through best of N by N. They have no names of their own.
func (f *Frontier) paths(of func(float64) float64) (lines []series) {
	type path struct{ method, run, label string }
	points := map[path][]FrontierPoint{}
	var order []path
	for _, p := range f.Points {
		key := path{p.Method, p.Run, p.Label}
		if p.Method == "best-of-n" {
			key = path{method: p.Method}
		}
		if points[key] == nil {
			order = append(order, key)
		}
		points[key] = append(points[key], p)
	}
	for _, key := range order {
		through := points[key]
		if len(through) < 2 {
			continue
		}
		slices.SortStableFunc(through, func(a, b FrontierPoint) int { return cmp.Or(cmp.Compare(a.N, b.N), cmp.Compare(a.Step, b.Step)) })
		s := series{look: look{colour: slices.Index(Methods(), key.method), line: true, faint: true}}
		for _, p := range through {
			s.points = append(s.points, p.mark(of))
		}
		lines = append(lines, s)
	}
	return lines
}

// best says in words how far each method comes.
func (f *Frontier) best() string {
	var parts []string
	for _, m := range methods {
		var top *FrontierPoint
		for i, p := range f.Points {
			if p.Method == m.name && (top == nil || p.Reward > top.Reward) {
				top = &f.Points[i]
			}
		}
		if top != nil {
			parts = append(parts, fmt.Sprintf("%s reaches %s at a KL of %s nats.", m.title, number(top.Reward), number(top.KL)))
		}
	}
	return strings.Join(parts, " ")
}

// tables are the frontier's numbers.
func (f *Frontier) tables() []table {
	points := table{Caption: "Points, each with its standard error", Head: []string{"method", "label", "β", "N", "step", "KL, nats", "reward", "samples"}}
	some := func(v float64) string {
		if v == 0 {
			return "–"
		}
		return number(v)
	}
	for _, p := range f.Points {
		points.add(methods[slices.Index(Methods(), p.Method)].title, line(p.Label, 60), some(p.Beta), some(float64(p.N)), some(float64(p.Step)),
			number(p.KL)+" ± "+number(p.KLSE), number(p.Reward)+" ± "+number(p.RewardSE), some(float64(p.Samples)))
	}
	tables := []table{points}
	if bound, _ := f.bound(); len(bound) > 0 {
		t := table{Caption: "The bound: π* ∝ πref·exp(r/β), by importance weights", Head: []string{"β", "KL, nats", "reward", "effective samples"}}
		for _, b := range bound {
			t.add(number(b.Beta), number(b.KL), number(b.Reward), number(b.ESS))
		}
		tables = append(tables, t)
	}
	return tables
}
