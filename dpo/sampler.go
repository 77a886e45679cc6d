package dpo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// GenerateConfig is everything that samples depend on. NewGenerateConfig has the defaults.
type GenerateConfig struct {
	Model     string
	Samples   int // of each prompt
	MaxTokens int // of a sample, the one that ends it included

	Temperature float64  // what logits are divided by; 0: always the likeliest token
	TopK        int      // only so many of the likeliest tokens; 0: all
	TopP        float64  // only the likeliest tokens that have this share of the probability together; 1: all
	MinP        float64  // only tokens at least this share as likely as the likeliest; 0: all
	Stop        []string // a sample ends before the first of them
	Seed        int64

	Batch   int // sequences that are continued at once; 0: what is fast
	Threads int // 0: one a core
	Device  string
}

// leastTemperature keeps logits over it within float32.
const leastTemperature = 1e-6

// NewGenerateConfig is one sample a prompt from the model's own distribution.
func NewGenerateConfig() GenerateConfig {
	return GenerateConfig{Samples: 1, MaxTokens: 256, Temperature: 1, TopP: 1, Device: "cpu"}
}

// Check reports all settings that make no sense, by the names of their flags.
func (c GenerateConfig) Check() error {
	var wrong []string
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	refuse(c.Model == "", "model is missing: name a Hugging Face model directory")
	refuse(c.Samples < 1, "samples must be at least 1, it is %d", c.Samples)
	refuse(c.MaxTokens < 1, "max-tokens must be at least 1, it is %d", c.MaxTokens)
	refuse(c.Temperature != 0 && !(c.Temperature >= leastTemperature && c.Temperature <= math.MaxFloat32),
		"temperature must be 0 (always the likeliest token), or finite and at least %v, it is %v", leastTemperature, c.Temperature)
	refuse(c.TopK < 0, "top-k must not be negative, it is %d (0: all tokens)", c.TopK)
	refuse(!(c.TopP > 0 && c.TopP <= 1), "top-p must lie in (0, 1], it is %v (1: all tokens)", c.TopP)
	refuse(!(c.MinP >= 0 && c.MinP <= 1), "min-p must lie in [0, 1], it is %v (0: all tokens)", c.MinP)
	refuse(slices.Contains(c.Stop, ""), "stop must not be empty: every text has that in it")
	refuse(c.Batch < 0 || c.Threads < 0, "batch and threads must not be negative")
	_, err := ort.ParseDevice(c.Device)
	refuse(err != nil, "%v", err)
	if wrong != nil {
		return Usage("%s", strings.Join(wrong, "; "))
	}
	return nil
}

// Why a sample ended, as finish_reason has it.
const (
	FinishStop   = "stop"   // by a token that ends texts, or before a stop string
	FinishLength = "length" // at its most tokens, or at the end of the model's context
)

// Sample is one completion of a prompt.
type Sample struct {
	Text    string  `json:"text"`
	IDs     []int32 `json:"-"`    // drawn, the one that ends the text included; those of a stop string too, which Text has not
	LogProb float64 `json:"logp"` // of IDs under the model itself, at temperature 1, nats
	Tokens  int     `json:"tokens"`
	Finish  string  `json:"finish"` // FinishStop or FinishLength
}

// Sampler draws completions of prompts.
//
// Keys and values of all that came before are kept. A prompt is computed once for all its samples. The same seed gives the same
// texts, whatever the batch: only where two texts are as likely to a millionth may rounding choose the other.
type Sampler struct {
	GenerateConfig
	tok        datasets.Tokenizer
	eos        []int32
	context    int // most tokens of a prompt and what follows
	bound      string
	device     ort.Device
	room       func() int64 // what caches may take, beside what was there when they were first needed; 0 where it is not known
	generators []*generator
	free       chan *generator
}

// What is continued at once. Several generators of one thread serve small models better than one of several threads, whose operators
// are too short to share; of larger ones the weights should be read once for all.
const (
	generatorModel = 1 << 24 // parameters at most of a model with several generators
	manySequences  = 64      // of each of several, and of a GPU's
	fewSequences   = 16      // of one
)

// NewSampler opens the model.
func NewSampler(c GenerateConfig, tok datasets.Tokenizer) (s *Sampler, err error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	device, err := ort.ParseDevice(c.Device)
	if err != nil {
		return nil, err
	}
	if err := NotExported(c.Model, "here it is trained and scored; ONNX Runtime GenAI and Optimum continue text by such files"); err != nil {
		return nil, err
	}
	g, err := models.ReadGeneration(c.Model)
	if err != nil {
		return nil, err
	}
	s = &Sampler{GenerateConfig: c, tok: tok, device: device, eos: g.EOS, context: cmp.Or(g.Context, math.MaxInt32), bound: "max_position_embeddings"}
	if id, _, ok := tok.EOS(); ok && !slices.Contains(s.eos, id) {
		s.eos = append(s.eos, id)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.open(); err != nil {
		return s, err
	}
	// Keys that were turned for a shorter sequence are not those of a longer one.
	if n := s.model().Steady(); n > 0 && n < s.context {
		s.context, s.bound = n, "original_max_position_embeddings; beyond it its keys change, and nothing is generated"
	}
	if tok.VocabSize() > s.model().Vocab {
		return s, fmt.Errorf("the tokenizer of %s knows %d tokens, its model has embeddings for %d: they do not belong together",
			c.Model, tok.VocabSize(), s.model().Vocab)
	}
	return s, nil
}

// open makes the generators.
func (s *Sampler) open() error {
	if err := reach(s.device); err != nil {
		return err
	}
	n, o := 1, engine.Options{Device: s.device, Threads: s.Threads}
	for i := 0; i < n; i++ {
		network, err := openAs(s.Model, Export{Types: models.Types{Compute: onnx.Float32, Weights: onnx.Float32}, Decode: true}, o)
		if err != nil {
			return err
		}
		s.generators = append(s.generators, &generator{Sampler: s, network: network})
		if i > 0 {
			continue
		}
		if network.model.Parameters() > generatorModel && s.device.OnHost() {
			s.Batch = cmp.Or(s.Batch, fewSequences)
			break
		}
		s.Batch = cmp.Or(s.Batch, manySequences)
		if !s.device.OnHost() {
			break
		}
		threads := cmp.Or(s.Threads, runtime.GOMAXPROCS(0))
		n = min(threads, mostLanes)
		o.Threads = threads / n
	}
	s.room = sync.OnceValue(func() int64 {
		bytes, err := parseMemory(cacheMemory, s.device)
		if err != nil {
			return 0
		}
		return bytes
	})
	s.free = make(chan *generator, len(s.generators))
	for _, g := range s.generators {
		s.free <- g
	}
	return nil
}

func (s *Sampler) model() *models.Model { return s.generators[0].network.model }

// Endless reports a model that names no token which ends texts: all samples go on to their most tokens, or to a stop string.
func (s *Sampler) Endless() bool { return len(s.eos) == 0 }

// Sample draws the samples of prompts, which are rows of some data from row first on: of each Samples. A prompt that cannot be
// continued is an error.
func (s *Sampler) Sample(ctx context.Context, first int64, prompts []datasets.Text) ([][]Sample, error) {
	out := make([][]Sample, 0, len(prompts))
	for rows, err := range s.sampled(ctx, s.cut(first, prompts)) {
		if err == nil {
			err = rows.err
		}
		if err != nil {
			return nil, err
		}
		for _, r := range rows.rows {
			if r.Error != "" {
				return nil, fmt.Errorf("continue prompt %d: %s", len(out), r.Error)
			}
			out = append(out, r.Samples)
		}
	}
	return out, nil
}

// Close releases the model.
func (s *Sampler) Close() error {
	var errs []error
	for _, g := range s.generators {
		errs = append(errs, g.close())
	}
	s.generators = nil
	return errors.Join(errs...)
}
