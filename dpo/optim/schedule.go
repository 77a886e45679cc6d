package optim

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/settings"
)

// ScheduleKind is a schedule of the learning rate with its settings still to be chosen. All are those of transformers' get_scheduler.
type ScheduleKind struct {
	Name     string
	About    string // what the rate does after the warm-up
	Settings []settings.Setting

	make func(v settings.Resolved, run course) (curve, error)
}

// course is the run that a schedule belongs to.
type course struct {
	rate          float64
	warmup, total int
}

// progress is how far step i is on the way from the end of the warm-up to that of the run, from 0 to 1.
func (c course) progress(i int) float64 {
	return float64(i-c.warmup) / float64(max(1, c.total-c.warmup))
}

// curve is a schedule's factor of the rate: of the warm-up by how far it is, and of a step after it. A nil rise is linear.
type curve struct {
	rise func(progress float64) float64
	fall func(i int) float64
}

// Schedule is a learning rate that rises over the warm-up steps and then follows a curve.
type Schedule struct {
	course
	curve
	rule func(i, warmup int) float64
}

var schedules = map[string]ScheduleKind{}

// registerSchedule adds a schedule. Each file calls it from init.
func registerSchedule(k ScheduleKind) {
	if _, twice := schedules[k.Name]; twice {
		panic("two schedules named " + k.Name)
	}
	schedules[k.Name] = k
}

// rules of the warm-up. The paper's code reaches the full rate in step warmup and begins above 0;
// transformers, and so TRL, begin at 0.
var rules = map[string]func(i, warmup int) float64{
	"paper": func(i, warmup int) float64 { return float64(i+1) / float64(warmup+1) },
	"trl":   func(i, warmup int) float64 { return float64(i) / float64(warmup) },
}

// Schedules lists the names of schedules, sorted.
func Schedules() []string { return slices.Sorted(maps.Keys(schedules)) }

// WarmupRules lists the names of the rules that the rate rises by: "paper" and "trl".
func WarmupRules() []string { return slices.Sorted(maps.Keys(rules)) }

// LookupSchedule finds what there is to know of a schedule.
func LookupSchedule(name string) (ScheduleKind, error) {
	if k, ok := schedules[name]; ok {
		return k, nil
	}
	return ScheduleKind{}, fmt.Errorf("unknown schedule %q: %s are known", name, strings.Join(Schedules(), ", "))
}

// NewSchedule makes a schedule that rises to rate over warmup steps of total, by the named rule. Settings that are not given have
// their defaults.
func NewSchedule(name string, s settings.Values, rate float64, warmup, total int, rule string) (Schedule, error) {
	k, err := LookupSchedule(name)
	if err != nil {
		return Schedule{}, err
	}
	by, ok := rules[rule]
	if !ok {
		return Schedule{}, fmt.Errorf("unknown warm-up rule %q: %s are known", rule, strings.Join(WarmupRules(), ", "))
	}
	if warmup < 0 || total < 0 {
		return Schedule{}, fmt.Errorf("a schedule of %d steps, %d of them warm-up: neither can be negative", total, warmup)
	}
	c := course{rate, warmup, total}
	of, err := k.curve(s, c)
	return Schedule{c, of, by}, err
}

func (k ScheduleKind) curve(s settings.Values, run course) (curve, error) {
	peers := settings.Peers(schedules, func(k ScheduleKind) []settings.Setting { return k.Settings })
	v, err := settings.Owner{Name: k.Name, Settings: k.Settings, Peers: peers}.Resolve(s)
	if err != nil {
		return curve{}, err
	}
	of, err := k.make(v, run)
	if err != nil {
		return of, fmt.Errorf("%s: %w", k.Name, err)
	}
	return of, nil
}

// CheckSettings says what is wrong with the settings of a schedule at this learning rate, as far as it does not depend on the length of the run.
func (k ScheduleKind) CheckSettings(s settings.Values, rate float64) error {
	_, err := k.curve(s, course{rate: rate, total: math.MaxInt32})
	return err
}

// Rate is the learning rate of step i, from 0.
func (s Schedule) Rate(i int) float64 {
	if i >= s.warmup {
		return s.rate * s.fall(i)
	}
	risen := s.rule(i, s.warmup)
	if s.rise != nil {
		risen = s.rise(risen)
	}
	return s.rate * risen
}

// simple registers a schedule that has no settings and depends on how far the run is, from 0 to 1.
func simple(name, about string, fall func(progress float64) float64) {
	registerSchedule(ScheduleKind{Name: name, About: about, make: func(_ settings.Resolved, run course) (curve, error) {
		return curve{fall: func(i int) float64 { return fall(run.progress(i)) }}, nil
	}})
}

func init() {
	one := func(float64) float64 { return 1 }
	simple("constant", "stays (transformers' constant has no warm-up: --warmup 0)", one)
	simple("constant_with_warmup", "stays, as constant: transformers' name for it", one)
	simple("linear", "falls to 0 on a line", func(progress float64) float64 { return max(0, 1-progress) })
	simple("cosine", "falls to 0 on half a cosine", func(progress float64) float64 { return max(0, (1+math.Cos(math.Pi*progress))/2) })
}
