package optim

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Schedule is a learning rate that rises over the warm-up steps and then follows a curve.
type Schedule struct {
	rate          float64
	warmup, total int
	rise          func(i, warmup int) float64
	fall          func(progress float64) float64
}

// falls are the curves after the warm-up, from progress 0 to 1, as transformers' get_*_schedule_with_warmup have them.
var falls = map[string]func(progress float64) float64{
	"constant": func(float64) float64 { return 1 },
	"linear":   func(progress float64) float64 { return max(0, 1-progress) },
	"cosine":   func(progress float64) float64 { return max(0, (1+math.Cos(math.Pi*progress))/2) },
}

// rises are the rules of the warm-up. The paper's code reaches the full rate in step warmup and begins above 0;
// transformers, and so TRL, begin at 0.
var rises = map[string]func(i, warmup int) float64{
	"paper": func(i, warmup int) float64 { return float64(i+1) / float64(warmup+1) },
	"trl":   func(i, warmup int) float64 { return float64(i) / float64(warmup) },
}

// Schedules lists the names of schedules, sorted.
func Schedules() []string { return slices.Sorted(maps.Keys(falls)) }

// WarmupRules lists the names of the rules that the rate rises by: "paper" and "trl".
func WarmupRules() []string { return slices.Sorted(maps.Keys(rises)) }

// NewSchedule makes a schedule that rises to rate over warmup steps of total, by the named rule.
func NewSchedule(name string, rate float64, warmup, total int, rule string) (Schedule, error) {
	fall, ok := falls[name]
	if !ok {
		return Schedule{}, fmt.Errorf("unknown schedule %q: %s are known", name, strings.Join(Schedules(), ", "))
	}
	rise, ok := rises[rule]
	if !ok {
		return Schedule{}, fmt.Errorf("unknown warm-up rule %q: %s are known", rule, strings.Join(WarmupRules(), ", "))
	}
	if warmup < 0 || total < 0 {
		return Schedule{}, fmt.Errorf("a schedule of %d steps, %d of them warm-up: neither can be negative", total, warmup)
	}
	return Schedule{rate, warmup, total, rise, fall}, nil
}

// Rate is the learning rate of step i, from 0.
func (s Schedule) Rate(i int) float64 {
	if i < s.warmup {
		return s.rate * s.rise(i, s.warmup)
	}
	return s.rate * s.fall(float64(i-s.warmup)/float64(max(1, s.total-s.warmup)))
}
