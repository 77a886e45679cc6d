package dpo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/dpo/loss"
	"github.com/dpo-ort/dpo-ort/dpo/optim"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// What a run keeps below its output directory.
const (
	runFolder      = "run"
	configFile     = "config.yaml"
	metricsName    = "metrics.jsonl"
	eventsName     = "events.out.tfevents.dpo-ort" // one for the whole run, for a resume cuts it back
	droppedFile    = "dropped.jsonl"
	lockFile       = "lock"
	referenceFile  = "reference.json"
	artifactFolder = "artifacts"
)

// ErrInterrupted ends a run whose context was cancelled; its state has been saved.
var ErrInterrupted = errors.New("interrupted")

// Trainer is a training run. Its files are in Out: the model when the run is over, and under Out/run all else.
type Trainer struct {
	Config
	settings    map[string]string // by the names of flags
	lock        *safefile.Lock
	exported    bool               // the artifact is new, not of the run so far
	damaged     []string           // checkpoints that are not what was written
	warnings    []datasets.Warning // of what was found before the first step
	saver       saver
	loss        *loss.Loss
	policy      *network
	engines     []*engine.Engine    // of the lanes that are computed at once
	grads       []*engine.Gradients // of each lane; none where they are released
	optimizer   *engine.Optimizer
	method      *method
	schedule    optim.Schedule
	rows, eval  *Rows
	stream      *stream              // what rows grow by; nil where all were read first
	columns     map[string]columnUse // by file
	known       *references          // before the first step: what ref_ columns hold, or the run has computed before
	fromColumns int                  // groups whose reference the data holds
	refs        *references
	follower    *engine.Weights // the reference that follows the policy; nil of one that stays
	beside      *standing       // the reference, where it is run while steps are taken; nil until then
	order       order
	total       int // steps
	options     engine.Options
	compute     onnx.DType
	memoryPlan  MemoryPlan
	expected    Memory               // by that plan
	need        engine.Need          // of it, what one lane's passes take, and all lanes' operators
	shapes      map[int][]microShape // of micro-batches, by their bound of tokens
	state       state
	digests     digests
	identity    identity // of the reference
	metrics     *metricsFiles
	summary     Summary
	watcher     *watcher
	spoiled     bool // some weights have moved in a step that failed
}

// digests tell whether a run goes on with the model and the data that it began with.
type digests struct{ model, data string }

// Event is progress of a run: of its phase "reference", "train" or "eval", Done of Total units; of "data" only what is wrong with it.
type Event struct {
	Phase       string
	Done, Total int
	Metrics     *Metrics    // after a training step
	Evaluation  *Evaluation // after an evaluation
	Saved       string      // the checkpoint just written

	Warning *datasets.Warning // what the user should know
}

// NewTrainer prepares a run, or where resume is set the rest of one, reading its models and data. Nothing is written
// until Run, but a file that tells whether the output directory can be, and is removed.
func NewTrainer(c Config, tok datasets.Tokenizer, resume bool) (t *Trainer, err error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	t = &Trainer{Config: c, state: state{Evaluated: -1}, columns: map[string]columnUse{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	if t.loss, err = c.resolveLoss(); err != nil {
		return t, err
	}
	if err := t.claim(resume); err != nil {
		return t, err
	}
	if t.settings, err = settingsByFlag(c); err != nil {
		return t, err
	}
	t.settings["loss"] = t.loss.Identity()
	if t.state.Scale, err = c.firstLossScale(); err != nil {
		return t, err
	}
	if t.options, t.compute, err = precision(c.Device, c.DType, c.TF32, c.Threads); err != nil {
		return t, err
	}
	t.options.Offload = engine.Offload(c.Offload)
	m, err := models.Open(c.Model)
	if err != nil {
		return t, err
	}
	t.policy = &network{model: m}
	if err := c.checkModel(m); err != nil {
		return t, err
	}
	t.warnPassedOver(m)
	if err := t.read(tok); err != nil {
		return t, err
	}
	if err := t.build(resume); err != nil {
		return t, err
	}
	return t, t.identify(resume)
}

// claim refuses an output directory that holds something else.
func (t *Trainer) claim(resume bool) error {
	_, err := os.Stat(t.path(configFile))
	switch {
	case resume && err != nil:
		return fmt.Errorf("resume: %s holds no run (%w)", t.Out, err)
	case resume:
		t.lock, err = safefile.TakeLock(t.path(lockFile))
		return err
	case err == nil:
		return fmt.Errorf("output directory %s holds another run: give --resume to go on with it, or another --out", t.Out)
	}
	entries, err := os.ReadDir(t.Out)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("output directory: %w (choose another --out)", err)
	}
	for _, e := range entries {
		if e.Name() != runFolder { // one without settings never began
			return fmt.Errorf("output directory %s is not empty (it holds %s): choose another --out", t.Out, e.Name())
		}
	}
	if err := safefile.Writable(existing(t.Out)); err != nil {
		return fmt.Errorf("output directory %s is not writable: %w", t.Out, err)
	}
	return nil
}

// existing is the folder, or the nearest above it that is there.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// path is a file of the run.
func (t *Trainer) path(name ...string) string {
	return filepath.Join(append([]string{t.Out, runFolder}, name...)...)
}

// read tokenizes the data and plans the order.
func (t *Trainer) read(tok datasets.Tokenizer) (err error) {
	t.identity = t.encoding(tok)
	enc, vocabulary := t.encoder(tok), t.policy.model.Vocab
	if tok.VocabSize() > vocabulary {
		return fmt.Errorf("the tokenizer of %s knows %d tokens, its model has embeddings for %d: they do not belong together",
			t.Model, tok.VocabSize(), vocabulary)
	}
	t.order = order{batch: t.Batch, seed: t.Seed, shuffle: !t.NoShuffle}
	if err := t.readTraining(enc, vocabulary); err != nil {
		return err
	}
	t.checkEnds(tok)
	t.eval = &Rows{}
	if len(t.EvalData) > 0 {
		if t.eval, err = ReadRows(t.EvalData, t.reading(), enc, vocabulary, t.Cache); err != nil {
			return fmt.Errorf("eval-data: %w", err)
		}
		t.eval.Examples = t.unpair(t.eval.Examples)
	}
	if err := t.admit(t.eval.Examples); err != nil {
		return err
	}
	if t.total = t.Steps; t.total == 0 {
		t.total = t.Epochs * t.order.stepsPerEpoch()
	}
	if t.schedule, err = optim.NewSchedule(t.Schedule, t.ScheduleSettings, t.LR, t.warmup(), t.total, t.WarmupRule); err != nil {
		return Usage("schedule-settings: %v", err)
	}
	return nil
}

// readTraining reads all rows, or where they stream those of the first step.
func (t *Trainer) readTraining(enc *datasets.Encoder, vocabulary int) error {
	if t.streams() {
		files, err := datasets.Expand(t.Data)
		if err != nil {
			return err
		}
		t.rows, t.stream, t.order.rows = &Rows{}, newStream(files, t.reading(), enc, vocabulary), t.Steps*t.Batch
		return t.fill(0)
	}
	rows, err := ReadRows(t.Data, t.reading(), enc, vocabulary, t.Cache)
	if err != nil {
		return err
	}
	rows.Examples = t.unpair(rows.Examples)
	t.rows, t.order.rows = rows, len(rows.Examples)
	return t.admit(rows.Examples)
}

// warmup is the number of steps that the rate rises over: the paper's 150, or a tenth of a run where that is fewer.
func (t *Trainer) warmup() int {
	if t.Warmup >= 0 {
		return t.Warmup
	}
	return min(150, t.total/10)
}

// reading says how the files of data are read.
func (c Config) reading() datasets.Options { return datasets.Options{Columns: c.Columns} }

// encoder gives what turns text into token ids under these settings.
func (c Config) encoder(tok datasets.Tokenizer) *datasets.Encoder {
	return &datasets.Encoder{Tokenizer: tok, MaxLength: c.MaxLength, MaxPromptLength: c.MaxPromptLength,
		KeepStart: c.Truncate == "end", EOS: datasets.EOSPolicy(c.EOS), First: c.On == onChosen, Turns: datasets.TurnPolicy(c.AssistantTurns), Ties: datasets.TiePolicy(c.Ties)}
}

// build exports the artifact, or loads the one that the run began with, and makes the policy's weights and states.
func (t *Trainer) build(resume bool) (err error) {
	var a *artifact.Artifact
	if resume {
		a, err = artifact.Load(t.path(artifactFolder))
		if err != nil {
			t.warn("damaged-artifact", err.Error(), "the graphs are made again; look after the disk")
		}
	}
	if a != nil && t.loss.Digest != "" && a.Loss != t.loss.Identity() {
		return t.otherLoss()
	}
	if t.exported = a == nil; t.exported {
		a, err = t.export()
	}
	if err != nil {
		return err
	}
	if t.options.Updates, err = t.updates(t.policy.model.Decoder); err != nil {
		return err
	}
	if t.policy, err = preparePolicy(t.policy.model, a, t.options); err != nil {
		return err
	}
	t.policy.tail = t.LDAlpha
	if err := t.fit(); err != nil {
		return err
	}
	if err := t.policy.load(); err != nil {
		return err
	}
	if err := t.openLanes(); err != nil {
		return err
	}
	if t.optimizer, err = t.policy.engine.NewOptimizer(t.policy.weights, t.sum()); err != nil {
		return err
	}
	if t.method, err = newMethod(t.Config, t.loss, a); err != nil {
		return err
	}
	return t.checkUpdates()
}

func (t *Trainer) export() (*artifact.Artifact, error) {
	rungs := artifact.Rungs
	if t.Rung != autoRung {
		rungs = []artifact.Rung{artifact.Rung(t.Rung)}
	}
	weights := onnx.Float32
	if t.policy.model.Adapter != nil { // which leaves them as they are
		weights = storedType(t.policy.model)
	}
	return NewArtifact(t.policy.model.Architecture, t.policy.model.Decoder, Export{
		Types: models.Types{Compute: t.compute, Weights: weights, Squares: t.UseWeighting, Fused: fuses(t.options.Device, t.compute)},
		Loss:  t.loss, Optimizer: t.Optimizer, OptimizerSettings: t.OptimizerSettings, Rungs: rungs,
	})
}

// identify digests models and data, and goes on from a checkpoint.
func (t *Trainer) identify(resume bool) (err error) {
	if t.digests.model, err = weightsDigest(t.policy.model); err != nil {
		return err
	}
	if t.stream == nil {
		t.digests.data = t.rows.digest() + t.eval.digest()
	}
	t.identity.Ref = t.digests.model
	var begin engine.Source = t.policy.model
	if t.Ref != "" {
		m, err := models.Open(t.Ref)
		if err != nil {
			return fmt.Errorf("reference: %w", err)
		}
		defer m.Close()
		if m.Vocab != t.policy.model.Vocab {
			return fmt.Errorf("reference %s has a vocabulary of %d, the policy %s one of %d: they do not belong together",
				t.Ref, m.Vocab, t.Model, t.policy.model.Vocab)
		}
		if m.Scalar {
			return fmt.Errorf("reference %s is a reward model (%s): it must be a language model", t.Ref, m.Architecture)
		}
		if t.SyncRefModel { // others are looked at as they are opened to be run
			if err := holds(t.compute, m); err != nil {
				return fmt.Errorf("reference: %w", err)
			}
		}
		if t.identity.Ref, err = weightsDigest(m); err != nil {
			return err
		}
		if begin = m; t.SyncRefModel && t.policy.model.Adapter != nil {
			return Usage("a reference that follows an adapter begins as that: leave out --ref")
		}
	}
	if err := t.openFollower(begin); err != nil {
		return err
	}
	if resume {
		if err := t.restore(); err != nil {
			return err
		}
	}
	if t.unreferenced() {
		t.refs, err = t.referenceColumns()
		return err
	}
	if t.follower != nil {
		t.forget()
		return nil
	}
	if resume {
		if t.known, err = t.loadReferences(); err != nil {
			return err
		}
		if t.known != nil {
			if len(t.referenceBatches()) == 0 {
				t.refs = t.known
			}
			return nil
		}
	}
	if t.known, err = t.referenceColumns(); t.known != nil {
		t.fromColumns = filled(t.known.Train) + filled(t.known.Eval)
	}
	return err
}

// Run trains and yields what happens. After an error it ends; what was saved before stays.
func (t *Trainer) Run(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		err := t.watch(func(e Event) bool { return yield(e, nil) }, func(show func(Event) bool) error { return t.run(ctx, show) })
		if err != nil && !errors.Is(err, errStopped) {
			yield(Event{}, err)
		}
	}
}

// errStopped ends a run whose loop was left.
var errStopped = errors.New("stopped")

func (t *Trainer) run(ctx context.Context, yield func(Event) bool) (err error) {
	if err := t.begin(); err != nil {
		return err
	}
	if err := t.prepare(ctx, yield); err != nil {
		return err
	}
	for {
		if err := t.betweenSteps(ctx, yield); err != nil {
			return err
		}
		if t.done() {
			return t.finish()
		}
		seconds, err := t.advance()
		if err != nil {
			return t.cutShort(err)
		}
		m, err := t.step()
		if err != nil {
			return t.broken(err)
		}
		m.ReferenceSeconds = max(m.ReferenceSeconds, seconds)
		if err := t.metrics.write(m); err != nil {
			return fmt.Errorf("write metrics: %w", err)
		}
		t.summary.take(m)
		if !yield(Event{Phase: "train", Done: t.state.Step, Total: t.total, Metrics: &m}) {
			return errStopped
		}
	}
}

// begin writes what the run is made of.
func (t *Trainer) begin() error {
	if t.metrics != nil {
		return nil
	}
	if err := safefile.MkdirAll(t.path(checkpointFolder), 0o755); err != nil {
		return fmt.Errorf("output directory: %w", err)
	}
	if t.lock == nil {
		if err := t.lockNew(); err != nil {
			return err
		}
	}
	if err := errors.Join(safefile.Sweep(t.Out), safefile.Sweep(t.path()), t.setAside()); err != nil {
		return err
	}
	if t.exported {
		if err := t.policy.engine.Artifact().Write(t.path(artifactFolder)); err != nil {
			return err
		}
	}
	if t.state.Step == 0 {
		if err := t.writeDropped(); err != nil {
			return err
		}
		text, err := yaml.Marshal(t.named())
		if err != nil {
			return fmt.Errorf("write settings: %w", err)
		}
		if err := safefile.Write(t.path(configFile), text); err != nil {
			return err
		}
	}
	f, whole, err := openMetrics(t.path(metricsName), t.path(eventsName), t.state)
	if err != nil {
		return fmt.Errorf("open metrics: %w", err)
	}
	if t.metrics = f; !whole {
		t.warn("damaged-metrics", fmt.Sprintf("%s is not what it was after step %d", t.path(metricsName), t.state.Step),
			"the steps that follow are added to it; the run itself is whole")
	}
	// what a device gives is a copy, and what is offloaded lies where the next update changes it
	t.saver.beside = t.expected.Copies > 0 || !t.options.Device.OnHost() && t.Offload == ""
	return nil
}

// lockNew takes the lock of a run that begins, unless another has begun there meanwhile.
func (t *Trainer) lockNew() (err error) {
	if t.lock, err = safefile.TakeLock(t.path(lockFile)); err != nil {
		return err
	}
	if _, err := os.Stat(t.path(configFile)); err == nil {
		return fmt.Errorf("output directory %s holds another run by now: choose another --out", t.Out)
	}
	return nil
}

// finish saves the last checkpoint and the model.
func (t *Trainer) finish() error {
	for _, e := range t.engines {
		e.Trim() // no pass follows
	}
	finite, err := t.finiteWeights()
	if err != nil {
		return err
	}
	if !finite {
		path, _ := t.newest()
		return fmt.Errorf("the weights after step %d hold NaN or infinity, so the model is not saved (lower --lr; the last checkpoint is %q)", t.state.Step, path)
	}
	if _, err := t.save(); err != nil {
		return err
	}
	if err := t.loadBest(); err != nil {
		return err
	}
	return t.saveModel()
}

// Close releases everything.
func (t *Trainer) Close() error {
	errs := []error{t.saver.wait()}
	if t.stream != nil {
		t.stream.stop()
	}
	if t.follower != nil {
		errs = append(errs, t.follower.Close())
	}
	if t.beside != nil {
		errs = append(errs, t.beside.close())
	}
	if t.metrics != nil {
		errs = append(errs, t.metrics.close())
	}
	if t.optimizer != nil {
		errs = append(errs, t.optimizer.Close())
	}
	if t.policy != nil {
		errs = append(errs, t.closeLanes(), t.policy.close())
	}
	errs = append(errs, t.lock.Release())
	*t = Trainer{Config: t.Config}
	return errors.Join(errs...)
}
