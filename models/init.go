package models

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
)

// Files of a model directory.
const (
	configName    = "config.json"
	tokenizerName = "tokenizer.json"
	weightsName   = "model.safetensors"
)

// usualRange is the standard deviation of initial weights where config.json has no initializer_range, as transformers' configurations do.
const usualRange = 0.02

// WriteInitial writes a Hugging Face directory of random weights, float32: config is a config.json or a folder with one, tokenizer a
// tokenizer.json or a folder with one, whose other files are taken too; "" is config's folder. Weights are drawn as by [WriteWeights], with
// config.json's initializer_range.
func WriteInitial(dir, config, tokenizer string, seed int64) error {
	if info, err := os.Stat(config); err == nil && info.IsDir() {
		config = filepath.Join(config, configName)
	}
	data, err := os.ReadFile(config)
	if err != nil {
		return fmt.Errorf("random weights: %w", err)
	}
	c, err := parseConfig(config, data)
	if err != nil {
		return fmt.Errorf("random weights: %w", err)
	}
	_, d, err := c.describe()
	if err != nil {
		return fmt.Errorf("random weights: %w", err)
	}
	if d.Scalar {
		return fmt.Errorf("random weights: %s is of a reward model, which begins as a language model", config)
	}
	err = safefile.MkdirAll(dir, 0o755)
	if err == nil {
		err = copyTokenizer(dir, cmp.Or(tokenizer, filepath.Dir(config)))
	}
	if err == nil {
		err = c.write(filepath.Join(dir, configName), map[string]any{"dtype": "float32", "torch_dtype": nil})
	}
	if err != nil {
		return fmt.Errorf("random weights: %w", err)
	}
	deviation, err := initialRange(dir)
	if err != nil {
		return err
	}
	return WriteWeights(dir, seed, deviation)
}

// copyTokenizer copies a tokenizer.json, or that of a folder with the files beside it that belong to it.
func copyTokenizer(dir, from string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		if _, err := os.Stat(filepath.Join(from, tokenizerName)); err != nil {
			return fmt.Errorf("%w: name a tokenizer.json, or a folder with one", err)
		}
		return copyFiles(dir, from, companions[1:]) // generation_config.json is another model's
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return safefile.Write(filepath.Join(dir, tokenizerName), data)
}

// initialRange is the standard deviation that DIR/config.json asks for.
func initialRange(dir string) (float64, error) {
	c, err := ReadConfig(dir)
	if err != nil {
		return 0, err
	}
	deviation := c.Number("initializer_range", usualRange)
	if c.errs != nil {
		return 0, fmt.Errorf("read model configuration %s: %s", c.Path, strings.Join(c.errs, "; "))
	}
	return deviation, nil
}

// WriteWeights writes the weights that DIR/config.json asks for, drawn from a seed, which gives the same bytes again: normal with this
// standard deviation, norms 1 (0 where they are added to 1), biases 0, as transformers begins most of its models.
func WriteWeights(dir string, seed int64, deviation float64) error {
	_, d, err := Describe(dir)
	if err != nil {
		return fmt.Errorf("random weights: %w", err)
	}
	return drawn{d, nil, seed, deviation}.write(dir)
}

// drawn are the weights of a decoder: those that there are, and the others drawn.
type drawn struct {
	Decoder
	from      *Model // nil for none
	seed      int64
	deviation float64
}

// known is a tensor that there is.
func (w drawn) known(name string) (t safetensors.Tensor, there bool) {
	if w.from == nil {
		return t, false
	}
	t, err := w.from.base(name)
	return t, err == nil
}

func (w drawn) write(dir string) error {
	rng := rand.New(rand.NewPCG(uint64(w.seed), 2))
	shapes, dtype := w.Shapes(), ""
	var entries []safetensors.Entry
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		e := safetensors.Entry{Name: name, Shape: shapes[name]}
		if t, there := w.known(name); there {
			e.DType, e.Data = t.DType, t.Data
			dtype = t.DType
		} else if err := w.draw(&e, rng, dtype); err != nil {
			return fmt.Errorf("random weights: tensor %s: %w", name, err)
		}
		entries = append(entries, e)
	}
	return safetensors.Write(filepath.Join(dir, weightsName), entries, map[string]string{"format": "pt"})
}

// draw fills a tensor, of the type of those around it, or float32.
func (w drawn) draw(e *safetensors.Entry, rng *rand.Rand, dtype string) error {
	n := elements(e.Shape)
	values := make([]float32, n)
	neutral := float32(1)
	if w.Norm == UnitRMS {
		neutral = 0
	}
	for i := range values {
		switch {
		case strings.HasSuffix(e.Name, ".bias"):
		case len(e.Shape) == 1: // a norm's
			values[i] = neutral
		default:
			values[i] = float32(w.deviation * rng.NormFloat64())
		}
	}
	width := 2
	if dtype == "" || dtype == "F32" {
		dtype, width = "F32", 4
	}
	e.DType, e.Data = dtype, make([]byte, int(n)*width)
	return safetensors.Encode(values, dtype, e.Data)
}

// write writes the configuration with other fields; those that are nil are left out.
func (c *Config) write(path string, change map[string]any) error {
	fields := maps.Clone(c.fields)
	for name, value := range change {
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if fields[name] = text; value == nil {
			delete(fields, name)
		}
	}
	data, err := json.MarshalIndent(fields, "", "  ")
	if err != nil {
		return err
	}
	return safefile.Write(path, append(data, '\n'))
}
