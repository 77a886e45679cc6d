package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// panel is a plot of names of metrics.jsonl that belong together. Names of no panel get one each.
type panel struct {
	id, title, unit string
	names           []string
	machine         bool // of how the run was computed, not of what it learnt
}

var panels = []panel{
	{"loss", "Loss", "loss", []string{"loss"}, false},
	{"accuracy", "Reward accuracy", "share of pairs", []string{"rewards/accuracies"}, false},
	{"rewards", "Implicit rewards", "reward", []string{"rewards/chosen", "rewards/rejected"}, false},
	{"margins", "Reward margin", "chosen − rejected", []string{"rewards/margins"}, false},
	{"logps", "Log-probabilities", "nats an answer", []string{"logps/chosen", "logps/rejected"}, false},
	{"kl", "KL to the reference", "nats", []string{"kl", "kl/policy", "kl/chosen", "kl/rejected"}, false},
	{"grad-norm", "Gradient norm", "before clipping", []string{"grad_norm"}, false},
	{"loss-scale", "Loss scale", "in float16", []string{"loss_scale"}, false},
	{"skipped-steps", "Skipped steps", "so far", []string{"skipped_steps"}, false},
	{"lengths", "Lengths", "tokens", []string{"lengths/prompt", "lengths/chosen", "lengths/rejected", "lengths/completion", "lengths/completions"}, false},
	{"learning-rate", "Learning rate", "a step", []string{"learning_rate"}, false},
	{"epoch", "Epochs", "epochs", []string{"epoch"}, true},
	{"tokens", "Tokens so far", "tokens", []string{"num_tokens"}, true},
	{"speed", "Speed", "tokens a second", []string{"tokens_per_second"}, true},
	{"seconds", "Time", "seconds", []string{"step_seconds", "optimizer_seconds", "reference_seconds", "seconds"}, true},
	{"memory", "Peak memory", "GiB", []string{"peak_memory_bytes"}, true},
	{"ratios", "Computing spared and wasted", "share", []string{"padding_ratio", "sharing_ratio", "skipped_ratio"}, true},
	{"rows", "Rows", "rows", []string{"rows_dropped", "rows_truncated", "groups"}, true},
}

// scales turn values into a panel's unit.
var scales = map[string]float64{"memory": 1.0 / (1 << 30)}

// curves draws the series of all runs: panels of what was learnt, of what no panel knows, and of how it was computed.
func curves(runs []Run) (learnt, machine []figure) {
	called := names(runs)
	all := map[string]bool{}
	for _, r := range runs {
		for name := range r.Series {
			all[strings.TrimPrefix(name, evalPrefix)] = true
		}
	}
	add := func(p panel) {
		f, ok := p.figure(runs, called)
		switch {
		case !ok:
		case p.machine:
			machine = append(machine, f)
		default:
			learnt = append(learnt, f)
		}
	}
	for _, p := range panels {
		add(p)
		for _, name := range p.names {
			delete(all, name)
		}
	}
	for i, name := range slices.Sorted(maps.Keys(all)) {
		add(panel{id: fmt.Sprintf("metric-%d-%s", i+1, slug(name)), title: line(name, 60), unit: line(name, 30), names: []string{name}})
	}
	return learnt, machine
}

// slug is a name as part of a file's, at most 40 characters of it.
func slug(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(line(name, 40)))
}

// figure draws the panel; it is not ok where no run measured anything of it.
func (p panel) figure(runs []Run, called []string) (f figure, ok bool) {
	f = figure{id: p.id, title: p.title, x: "step", y: p.unit}
	for i, r := range runs {
		for j, name := range p.names {
			look := look{colour: j, line: true}
			if len(runs) > 1 {
				look = lookOf(i, j)
			}
			title := p.label(name)
			if len(runs) > 1 {
				title = strings.TrimSpace(line(called[i], 30) + " " + title)
			}
			f.add(p, orElse(title, "training"), r.Series[name], look)
			look.dots = true
			f.add(p, strings.TrimSpace(title+" held out"), r.Series[evalPrefix+name], look)
		}
	}
	f.thin()
	f.describe()
	return f, len(f.series) > 0
}

// lookOf tells runs apart by colour, and names of one panel by dashes.
func lookOf(run, name int) look { return look{colour: run, dash: name, line: true} }

// label is what a name is called where its panel holds others.
func (p panel) label(name string) string {
	if len(p.names) == 1 {
		return ""
	}
	_, after, found := strings.Cut(name, "/")
	if !found {
		after = name
	}
	for _, end := range []string{"_seconds", "_ratio"} {
		after = strings.TrimSuffix(after, end)
	}
	return strings.ReplaceAll(strings.TrimPrefix(after, "rows_"), "_", " ")
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// add adds a curve, if there is anything to draw.
func (f *figure) add(p panel, title string, points []Point, look look) {
	if !slices.ContainsFunc(points, func(q Point) bool { return drawable(q.Value) }) {
		return
	}
	if scale, ok := scales[p.id]; ok {
		points = slices.Clone(points)
		for i := range points {
			points[i].Value *= scale
		}
	}
	f.series = append(f.series, series{title: title, all: points, look: look})
}

// thin makes what is drawn of each curve of what was measured.
func (f *figure) thin() {
	n := bucketsOf(len(f.series))
	for i := range f.series {
		s := &f.series[i]
		s.points = marks(thin(s.all, n))
		if !s.dots {
			s.mean = marks(runningMean(s.all, n))
		}
	}
}

// marks are points without errors.
func marks(points []Point) []mark {
	var m []mark
	for _, p := range points {
		m = append(m, mark{x: p.Step, y: p.Value})
	}
	return m
}

// describe tells in words what the plot shows, for those who cannot see it.
func (f *figure) describe() {
	var parts []string
	for _, s := range f.series {
		first, last, least, most := math.NaN(), math.NaN(), math.Inf(1), math.Inf(-1)
		for _, p := range s.all {
			if !drawable(p.Value) {
				continue
			}
			if math.IsNaN(first) {
				first = p.Value
			}
			last, least, most = p.Value, min(least, p.Value), max(most, p.Value)
		}
		parts = append(parts, fmt.Sprintf("%s: %s at step %s, %s at step %s; least %s, greatest %s.", s.title, number(first),
			number(s.all[0].Step), number(last), number(s.all[len(s.all)-1].Step), number(least), number(most)))
	}
	f.text = f.title + " by step. " + strings.Join(parts, " ")
}
