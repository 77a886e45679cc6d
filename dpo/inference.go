package dpo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// InferenceConfig says which model is written for inference, and how.
type InferenceConfig struct {
	Model     string   // Hugging Face directory, or an adapter's, which is merged
	Out       string   // folder
	Weights   string   // one of models.InferenceWeights
	Overwrite bool     // replaces Out where it is such a folder
	Check     []string // files of preferences, see InferenceEvent; nil for none
	Threads   int      // of the check; 0: one a core
}

// checkedTokens is how many scored tokens of the check's data are compared at least, if it has as many.
const checkedTokens = 4096

// InferenceEvent is progress of writing a model for inference. The last one says what was written, and of Check how far the log-probabilities
// of its answers' tokens, nats, lie from those of the model itself in float32.
type InferenceEvent struct {
	Phase       string `json:"-"`
	Done, Total int    `json:"-"` // tensors, or answers

	Bytes   int64     `json:"bytes"` // of weights
	Float32 int64     `json:"float32_bytes"`
	Error   *LogError `json:"check,omitempty"`
}

// LogError is how far log-probabilities of tokens lie from what they should be, nats.
type LogError struct {
	Tokens   int64   `json:"tokens"`
	Mean     float64 `json:"mean"` // of the differences' magnitudes
	Most     float64 `json:"max"`
	Expected float64 `json:"logp"` // mean log-probability of a token
	Got      float64 `json:"exported_logp"`
}

// ExportInference writes a model for ONNX Runtime GenAI and Optimum, see [models.Inference]. The folder appears whole at the end.
func ExportInference(ctx context.Context, c InferenceConfig, tok datasets.Tokenizer) iter.Seq2[InferenceEvent, error] {
	return func(yield func(InferenceEvent, error) bool) {
		j := &inferenceJob{InferenceConfig: c, tok: tok, yield: yield}
		err := j.run(ctx)
		if err != nil && !errors.Is(err, errStopped) {
			yield(InferenceEvent{}, err)
		}
	}
}

// inferenceJob is a job of ExportInference.
type inferenceJob struct {
	InferenceConfig
	tok   datasets.Tokenizer
	yield func(InferenceEvent, error) bool
	event InferenceEvent

	checked  []answer
	expected [][]float64 // log-probabilities of each answer's scored tokens
}

// answer is a sequence whose tokens from one on are scored.
type answer struct {
	ids  []int32
	from int
}

func (j *inferenceJob) run(ctx context.Context) (err error) {
	if err := j.replaceable(); err != nil {
		return err
	}
	x, err := models.OpenInference(j.Model, j.Weights)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	if err := j.sparing(x.Folders()); err != nil {
		return err
	}
	if j.tok.VocabSize() > x.Decoder.Vocab {
		return fmt.Errorf("the tokenizer of %s knows %d tokens, its model has embeddings for %d: they do not belong together", j.Model, j.tok.VocabSize(), x.Decoder.Vocab)
	}
	if err := j.expect(ctx, x.Decoder); err != nil {
		return err
	}
	beside := filepath.Join(filepath.Dir(filepath.Clean(j.Out)), "."+filepath.Base(j.Out))
	part, old := beside+".part", beside+".old"
	if err := safefile.RemoveAll(part); err != nil { // of an export that was killed
		return err
	}
	if err = j.write(ctx, x, part); err == nil {
		err = j.check(ctx, x, part)
	}
	if err == nil {
		err = exchange(part, j.Out, old)
	}
	if err != nil {
		return errors.Join(err, safefile.RemoveAll(part))
	}
	j.event.Phase = ""
	return j.tell(ctx)
}

// exchange puts a folder in the place of another, which is kept as old until then: whatever ends it, one of the two is whole.
func exchange(fresh, path, old string) error {
	if err := safefile.RemoveAll(old); err != nil {
		return err
	}
	switch err := safefile.Rename(path, old); {
	case errors.Is(err, os.ErrNotExist):
		return safefile.Rename(fresh, path)
	case err != nil:
		return err
	}
	if err := safefile.Rename(fresh, path); err != nil {
		return errors.Join(err, safefile.Rename(old, path))
	}
	return safefile.RemoveAll(old)
}

// replaceable refuses a folder in which something else lies.
func (j *inferenceJob) replaceable() error {
	entries, err := os.ReadDir(j.Out)
	switch {
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("output directory: %w", err)
	case len(entries) == 0:
	case !j.Overwrite:
		return fmt.Errorf("output directory %s is not empty (it holds %s): give --overwrite to replace it, or another --out", j.Out, entries[0].Name())
	case !there(filepath.Join(j.Out, models.GenAIConfig)):
		return fmt.Errorf("output directory %s holds no %s: it is no model for inference, and is not replaced; choose another --out", j.Out, models.GenAIConfig)
	}
	return nil
}

// sparing refuses an output that would be replaced with what it is made of in it: some models come with files for inference beside their own.
func (j *inferenceJob) sparing(sources []string) error {
	out, err := filepath.EvalSymlinks(j.Out)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, dir := range sources {
		at, e := filepath.EvalSymlinks(dir)
		if err = errors.Join(err, e); err != nil {
			break
		}
		if liesIn(at, out) {
			return fmt.Errorf("output directory %s holds the model %s, which is not replaced; choose another --out", j.Out, dir)
		}
	}
	return err
}

// liesIn reports whether a path is a folder, or lies in it.
func liesIn(path, folder string) bool {
	path, err := filepath.Abs(path)
	folder, e := filepath.Abs(folder)
	if err != nil || e != nil {
		return false
	}
	below, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(below)
}

// tell yields an event.
func (j *inferenceJob) tell(ctx context.Context) error {
	switch {
	case !j.yield(j.event, nil):
		return errStopped
	case ctx.Err() != nil && j.event.Phase != "":
		return fmt.Errorf("%w: nothing is written", ErrInterrupted)
	}
	return nil
}

func (j *inferenceJob) write(ctx context.Context, x *models.Inference, dir string) error {
	var eos []int32
	if id, _, ok := j.tok.EOS(); ok {
		eos = append(eos, id)
	}
	j.event = InferenceEvent{Phase: "convert", Total: x.Tensors(), Bytes: x.Size(), Float32: 4 * x.Parameters()}
	for done, err := range x.Write(dir, eos) {
		if err != nil {
			return fmt.Errorf("write %s: %w", j.Out, err)
		}
		j.event.Done = done
		if err := j.tell(ctx); err != nil {
			return err
		}
	}
	return nil
}

// expect computes what the check compares with: the model itself, by the graphs of generate.
func (j *inferenceJob) expect(ctx context.Context, d models.Decoder) (err error) {
	if j.Check == nil {
		return nil
	}
	g, err := models.ReadGeneration(j.Model)
	if err != nil {
		return err
	}
	enc := Config{EOS: "add", Truncate: "prompt", MaxLength: g.Context, MaxPromptLength: max(g.Context/2, 1)}.encoder(j.tok)
	enc.AllowEqual = true
	rows, err := ReadRows(j.Check, datasets.Options{}, enc, d.Vocab, "")
	if err != nil {
		return err
	}
	j.checked = answers(rows.Examples)
	n, err := openAs(j.Model, Export{Types: models.Types{Compute: onnx.Float32, Weights: onnx.Float32}, Decode: true}, engine.Options{Threads: j.Threads})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	own := &generator{Sampler: &Sampler{}, network: n}
	return j.each(ctx, "score", func(a answer) error {
		logps, err := own.logProbs(a.ids)
		j.expected = append(j.expected, logps)
		return err
	})
}

// answers are the first of all answers, with as many scored tokens as are checked.
func answers(examples []datasets.Example) (out []answer) {
	tokens := 0
	for _, x := range examples {
		for _, c := range x.Completions {
			if tokens >= checkedTokens {
				return out
			}
			a := answer{append(append([]int32{}, x.Prompt...), c.IDs...), max(len(x.Prompt)+c.Start, 1)}
			tokens += len(a.ids) - a.from
			out = append(out, a)
		}
	}
	return out
}

// each goes through what is checked.
func (j *inferenceJob) each(ctx context.Context, phase string, do func(a answer) error) error {
	for i, a := range j.checked {
		if err := do(a); err != nil {
			return fmt.Errorf("check answer %d: %w", i, err)
		}
		j.event.Phase, j.event.Done, j.event.Total = phase, i+1, len(j.checked)
		if err := j.tell(ctx); err != nil {
			return err
		}
	}
	return nil
}

// check runs what was written over the answers.
func (j *inferenceJob) check(ctx context.Context, x *models.Inference, dir string) (err error) {
	if j.Check == nil {
		return nil
	}
	m, err := openDeployed(dir, x.Decoder, j.Threads)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	e, at := &LogError{}, 0
	err = j.each(ctx, "check", func(a answer) error {
		logps, err := m.logProbs(a.ids)
		if err != nil {
			return err
		}
		e.add(j.expected[at][a.from-1:], logps[a.from-1:])
		if at++; math.IsNaN(e.Mean) {
			return errors.New("a log-probability is no number, of the model itself or of what was exported: nothing is written")
		}
		return nil
	})
	e.divide()
	j.event.Error = e
	return err
}

// add adds tokens' differences up.
func (e *LogError) add(expected, got []float64) {
	for i, x := range expected {
		d := math.Abs(got[i] - x)
		e.Tokens, e.Mean, e.Expected, e.Got = e.Tokens+1, e.Mean+d, e.Expected+x, e.Got+got[i]
		if !(d <= e.Most) { // of a NaN, too
			e.Most = d
		}
	}
}

// divide makes means of sums.
func (e *LogError) divide() {
	n := float64(max(e.Tokens, 1))
	e.Mean, e.Expected, e.Got = e.Mean/n, e.Expected/n, e.Got/n
}

// logProbs are those of the tokens of a sequence, but for the first, by the graphs that continue prompts.
func (g *generator) logProbs(ids []int32) (out []float64, err error) {
	next, done, err := g.whole(ids)
	if err != nil {
		return nil, err
	}
	defer done()
	for i, id := range ids[1:] {
		logits, _ := next.Row(i)
		out = append(out, float64(logits[id])-float64(next.LogSumExp[i]))
	}
	return out, nil
}

// whole says what may follow each token of a sequence, until done is called.
func (g *generator) whole(ids []int32) (next *engine.Next, done func(), err error) {
	if g.prompts, err = g.network.engine.NewCache(models.Step, 1, int64(roundUp(len(ids), 1))); err != nil {
		return nil, nil, err
	}
	b := g.promptBatch([]*prompt{{ids: ids}})
	rows := make([]int64, len(ids))
	for i := range rows {
		rows[i] = int64(i)
	}
	b.Sizes["R"], b.Inputs["rows"] = int64(len(rows)), engine.Int64s(rows, int64(len(rows)))
	if next, err = g.network.engine.Decode(g.network.weights, g.prompts, b); err != nil {
		g.prompts.Close()
		return nil, nil, err
	}
	return next, func() {
		next.Close()
		g.prompts.Close()
	}, nil
}
