package dpo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/dpo-ort/dpo-ort/dpo/report"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
	"github.com/dpo-ort/dpo-ort/models"
)

// What a frontier keeps below its folder: the plan, a training run each under runs, what each point came to under points, and
// the whole as frontier.json.
const (
	planFile     = "plan.json"
	runsFolder   = "runs"
	pointsFolder = "points"
	frontierFile = "frontier.json"
)

// FrontierEvent is progress of a frontier.
type FrontierEvent struct {
	Stage string // what is being done: "dpo beta 0.1", "point reference"
	Event
	Point *report.FrontierPoint // one that is whole
}

// frontier is a frontier in the making.
type frontier struct {
	FrontierPlan
	dir   string
	ctx   context.Context
	yield func(FrontierEvent) bool
	out   report.Frontier
	// What prompts came to under the reference, and under the DPO point with the highest reward.
	before, after []Tried
	best          float64
}

// Frontier draws how much reward methods reach at what divergence from the reference (arXiv 2305.18290, Section 6.1 and Figure 2): DPO at
// several β and after several steps, Preferred-FT, best-of-N, and the optimum of Equation 4 as the bound. It trains what is to be trained,
// and tries each checkpoint on the plan's prompts. All of it lies in the folder dir, with the results in dir/frontier.json; one that was
// stopped in any way goes on from there.
func Frontier(ctx context.Context, p FrontierPlan, dir string) iter.Seq2[FrontierEvent, error] {
	return func(yield func(FrontierEvent, error) bool) {
		f := &frontier{FrontierPlan: p, dir: dir, ctx: ctx, yield: func(e FrontierEvent) bool { return yield(e, nil) }}
		if err := f.run(); err != nil && !errors.Is(err, errStopped) {
			yield(FrontierEvent{}, err)
		}
	}
}

func (f *frontier) run() (err error) {
	if err := f.Check(); err != nil {
		return err
	}
	lock, err := claimFolder(f.dir, planFile, f.FrontierPlan)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	f.out.Reward = f.Reward
	if err := f.reference(); err != nil {
		return err
	}
	for _, run := range f.runs() {
		if err := f.train(run); err != nil {
			return fmt.Errorf("%s: %w", run.stage(), err)
		}
		if err := f.checkpoints(run); err != nil {
			return fmt.Errorf("%s: %w", run.stage(), err)
		}
	}
	f.samples()
	return writeJSON(f.path(frontierFile), f.out)
}

// frontierRun is a run whose checkpoints become points.
type frontierRun struct {
	method, label string
	beta          float64
	config        Config
}

func (r frontierRun) stage() string { return r.method + " " + r.label }

// runs lists what is to be trained.
func (f *frontier) runs() []frontierRun {
	var out []frontierRun
	add := func(method, label string, beta float64, c Config) {
		c.Model, c.Out = f.Reference, f.path(runsFolder, label)
		if beta > 0 {
			c.Beta = beta
		}
		c.SaveEvery, c.Keep = max(c.Steps/f.Points, 1), f.Points+1
		out = append(out, frontierRun{method, label, beta, c})
	}
	for _, beta := range f.Betas {
		add("dpo", fmt.Sprintf("beta-%g", beta), beta, f.DPO)
	}
	if f.PreferredFT != nil {
		add("preferred-ft", "preferred-ft", 0, *f.PreferredFT)
	}
	return out
}

// train trains a run to its end.
func (f *frontier) train(r frontierRun) (err error) {
	if there(filepath.Join(r.config.Out, "model.safetensors")) {
		return nil
	}
	tok, err := f.Judge.Tokenizer(f.Reference)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeTokenizer(tok)) }()
	t, err := NewTrainer(r.config, tok, there(filepath.Join(r.config.Out, runFolder, configFile)))
	if err != nil {
		return err
	}
	defer t.Close()
	for e, err := range t.Run(f.ctx) {
		if err != nil {
			return err
		}
		if !f.yield(FrontierEvent{Stage: r.stage(), Event: e}) {
			return errStopped
		}
	}
	return nil
}

// there reports whether a file is.
func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// checkpoints makes points of a run's checkpoints.
func (f *frontier) checkpoints(r frontierRun) error {
	folder := filepath.Join(r.config.Out, runFolder, checkpointFolder)
	names, err := listCheckpoints(folder)
	if err != nil {
		return err
	}
	for _, name := range names[max(0, len(names)-f.Points):] {
		var step int
		if _, err := fmt.Sscanf(name, "step-%d", &step); err != nil {
			return fmt.Errorf("checkpoint %s: %w", name, err)
		}
		p := report.FrontierPoint{Method: r.method, Label: r.label, Run: filepath.Join(runsFolder, r.label), Beta: r.beta, Step: step}
		rows, err := f.try(fmt.Sprintf("%s-%s", r.label, name), f.Samples, f.Reference, func(dir string) error { return f.model(filepath.Join(folder, name), dir) })
		if err != nil {
			return err
		}
		if reward := rewardOf(rows).Mean; r.method == "dpo" && (f.after == nil || reward > f.best) {
			f.after, f.best = rows, reward
		}
		if !f.point(p, klOf(rows), rewardOf(rows), answersOf(rows)) {
			return errStopped
		}
	}
	return nil
}

// model writes a checkpoint's weights as a model directory.
func (f *frontier) model(checkpoint, dir string) (err error) {
	base, err := models.Open(f.Reference)
	if err != nil {
		return err
	}
	defer base.Close()
	_, files, err := readCheckpoint(checkpoint)
	if err != nil {
		return fmt.Errorf("checkpoint %s: %w", checkpoint, err)
	}
	defer func() { err = errors.Join(err, closeFiles(files)) }()
	_, err = base.Save(dir, "float32", func(name string) ([]byte, error) {
		t, err := files[weightsFile].Tensor(name)
		return t.Data, err
	})
	return err
}

// try tries a policy on the prompts, unless that is done already. write makes its directory; nil means the reference.
func (f *frontier) try(name string, samples int, ref string, write func(dir string) error) (rows []Tried, err error) {
	c := Trial{Policy: f.Reference, Ref: ref, Reward: f.Reward, Judge: f.Judge, Data: f.Prompts, Samples: samples, MaxTokens: f.MaxTokens,
		Seed: f.Seed, Threads: f.Threads, Device: f.Device}
	if write != nil {
		c.Policy = f.path(pointsFolder, name)
		c.Prepare = func() error { return write(c.Policy) }
		defer func() { err = errors.Join(err, safefile.RemoveAll(c.Policy)) }()
	}
	return c.kept(f.ctx, f.path(pointsFolder, name+".json"), func(done, total int64) bool {
		return f.yield(FrontierEvent{Stage: "point " + name, Event: Event{Phase: "try", Done: int(done), Total: int(total)}})
	})
}

// reference tries the reference, and makes of its answers best-of-N and the bound.
func (f *frontier) reference() error {
	rows, err := f.try("reference", f.ReferenceSamples, "", nil)
	if err != nil {
		return fmt.Errorf("reference: %w", err)
	}
	f.before = rows
	f.out.ReferenceReward = rewardOf(rows).Mean
	if !f.point(report.FrontierPoint{Method: "reference", Label: "reference"}, Mean{}, rewardOf(rows), answersOf(rows)) {
		return errStopped
	}
	rewards := each(rows, func(a TriedText) float64 { return a.Reward })
	for _, n := range f.BestOf {
		if !f.point(report.FrontierPoint{Method: "best-of-n", Label: fmt.Sprint("best of ", n), N: n}, Mean{Mean: bestOfKL(n)}, bestOfMean(rows, n), answersOf(rows)) {
			return errStopped
		}
	}
	for _, beta := range f.BoundBetas {
		f.bound(rewards, beta)
	}
	return nil
}

// bound adds the optimum for a β: the mean over prompts, with the smallest effective sample size among them.
func (f *frontier) bound(rewards [][]float64, beta float64) {
	b := report.BoundPoint{Beta: beta}
	for i, r := range rewards {
		o := newOptimum(r, beta)
		b.KL += o.kl / float64(len(rewards))
		b.Reward += o.reward / float64(len(rewards))
		if i == 0 || o.samples < b.ESS {
			b.ESS = o.samples
		}
	}
	f.out.Bound = append(f.out.Bound, b)
}

// point adds a point, and reports whether to go on.
func (f *frontier) point(p report.FrontierPoint, kl, reward Mean, samples int) bool {
	p.KL, p.KLSE, p.Reward, p.RewardSE, p.Samples = kl.Mean, kl.SE, reward.Mean, reward.SE, samples
	f.out.Points = append(f.out.Points, p)
	return f.yield(FrontierEvent{Stage: "point " + p.Label, Point: &p})
}

// samples sets answers of the reference beside those of the DPO point with the highest reward.
func (f *frontier) samples() {
	const shown = 12
	for i := range min(shown, len(f.before), len(f.after)) {
		if len(f.before[i].Answers) == 0 || len(f.after[i].Answers) == 0 {
			continue
		}
		b, a := f.before[i].Answers[0], f.after[i].Answers[0]
		f.out.Samples = append(f.out.Samples, report.BeforeAfter{Prompt: f.before[i].Prompt, Before: b.Text, After: a.Text, RewardBefore: b.Reward, RewardAfter: a.Reward})
	}
}

func (f *frontier) path(name ...string) string {
	return filepath.Join(append([]string{f.dir}, name...)...)
}
