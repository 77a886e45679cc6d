// Package artifact is the contract between what exports training graphs and what runs them: a set of graphs without
// weights, and a manifest that says how they fit together. As files it is a directory of kilobytes.
//
//	manifest.json          format, architecture, sizes, element types, SHA-256 of each file, aliases, stages
//	embed.onnx block.onnx  a stage's forward graph, keeping nothing
//	block.local.onnx       the same for layers whose queries see a window, where the model has such
//	block.fused.onnx       the same by operators that have no gradient, for a GPU in half precision
//	block.stash.onnx       a block's, with what the backward pass needs as further outputs (residuals)
//	block.stash.grad.onnx  the backward graph that takes those residuals
//	block.grad.onnx        the backward graph that recomputes everything from the stage's inputs
//	*.grad.first.onnx      the same, for the first micro-batch of a step
//	final.onnx             the last norm, of the rows that predict a scored token
//	head.onnx              log-sum-exp and target's logit over any piece of the vocabulary
//	loss.onnx optimizer.onnx norm.onnx
//
// A backward graph takes a stage's inputs, the residuals, the gradient of the output (dy) and, for each parameter p, the
// gradient so far (acc.p); it gives dx and d.p = acc.p + gradient. First graphs have no acc.p. An output and the input it may share memory with
// are an alias, and [Verify] proves that sharing is safe.
package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/plainjson"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Format is the version of the manifest and of the contract between graphs that this package reads and writes.
const Format = 2

// Rung is what a stage keeps between its forward and its backward pass.
type Rung string

// The rungs, from most memory to least.
const (
	Stash     Rung = "stash"     // everything that is not cheap to compute again
	Probs     Rung = "probs"     // as Stash, but attention probabilities are computed again
	Recompute Rung = "recompute" // the stage's inputs only
)

// Rungs lists all three.
var Rungs = []Rung{Stash, Probs, Recompute}

// ParseRung reads a rung's name.
func ParseRung(s string) (Rung, error) {
	if r := Rung(s); slices.Contains(Rungs, r) {
		return r, nil
	}
	return "", fmt.Errorf("unknown rung %q: stash, probs and recompute are known", s)
}

// Forward names the graph that runs a stage graph forward and keeps what the rung says.
func (r Rung) Forward(graph string) string {
	if r == Recompute {
		return graph
	}
	return graph + "." + string(r)
}

// Backward names the graph that runs a stage graph backward from what the rung kept.
func (r Rung) Backward(graph string) string { return r.Forward(graph) + ".grad" }

// First names the backward graph that writes parameters' gradients where the one named here adds to them.
func First(backward string) string { return backward + ".first" }

// Param says which tensor of the checkpoint a graph input is bound to.
type Param struct {
	Tensor string `json:"tensor"`
	Frozen bool   `json:"frozen,omitempty"` // it is not trained, and has no gradient
}

// Stage is one step of the model.
type Stage struct {
	Name   string           `json:"name"`
	Graph  string           `json:"graph"`
	Params map[string]Param `json:"params"`
	Inputs []string         `json:"inputs"`
}

// Trained lists the graph's inputs that are bound to what is trained, sorted.
func (s Stage) Trained() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.Params)), func(input string) bool { return s.Params[input].Frozen })
}

// Manifest describes an artifact.
type Manifest struct {
	Format       int                          `json:"format"`
	Architecture string                       `json:"architecture"`
	Compute      string                       `json:"compute"` // element type of activations
	Weights      string                       `json:"weights"` // element type that the checkpoint's parameters are trained in; graphs may take them in Compute
	Opset        int64                        `json:"opset"`
	Dims         map[string]int64             `json:"dims"`
	Rotary       json.RawMessage              `json:"rotary,omitempty"`
	Stages       []Stage                      `json:"stages"`
	Aliases      map[string]map[string]string `json:"aliases"` // graph → output → input
	Loss         string                       `json:"loss,omitempty"`
	Optimizer    string                       `json:"optimizer,omitempty"`
	Files        map[string]string            `json:"files"` // file → SHA-256
}

// Artifact is a manifest with its graphs.
type Artifact struct {
	Manifest
	Graphs map[string]*onnx.Graph
}

const manifestFile = "manifest.json"

// ErrAlias is in the chain of an error about an output that cannot share memory with an input.
var ErrAlias = errors.New("unsafe alias")

// Write verifies a and writes it into dir, which is made; the manifest comes last.
func (a *Artifact) Write(dir string) error {
	if err := a.Verify(); err != nil {
		return fmt.Errorf("write artifact %s: %w", dir, err)
	}
	err := safefile.MkdirAll(dir, 0o755)
	if err == nil {
		err = safefile.Sweep(dir)
	}
	if err != nil {
		return fmt.Errorf("write artifact: %w", err)
	}
	files, err := a.describe()
	if err != nil {
		return fmt.Errorf("write artifact %s: %w", dir, err)
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if err := safefile.Write(filepath.Join(dir, file), files[file]); err != nil {
			return fmt.Errorf("write artifact: %w", err)
		}
	}
	text, err := json.MarshalIndent(a.Manifest, "", "  ")
	if err != nil {
		return fmt.Errorf("write artifact %s: %w", dir, err)
	}
	if err := safefile.Write(filepath.Join(dir, manifestFile), append(text, '\n')); err != nil {
		return fmt.Errorf("write artifact: %w", err)
	}
	return nil
}

// describe completes the manifest, and gives the files of the graphs.
func (a *Artifact) describe() (files map[string][]byte, err error) {
	files = map[string][]byte{}
	a.Format, a.Opset, a.Files = Format, onnx.Opset, map[string]string{}
	for name, g := range a.Graphs {
		file := name + ".onnx"
		if files[file], err = g.Marshal(); err != nil {
			return nil, fmt.Errorf("graph %s: %w", name, err)
		}
		a.Files[file] = digest(files[file])
	}
	return files, nil
}

// Digest is the SHA-256 of the manifest, which has those of all graphs.
func (a *Artifact) Digest() (string, error) {
	if a.Files == nil {
		if _, err := a.describe(); err != nil {
			return "", fmt.Errorf("digest artifact: %w", err)
		}
	}
	text, err := json.Marshal(a.Manifest)
	if err != nil {
		return "", fmt.Errorf("digest artifact: %w", err)
	}
	return digest(text), nil
}

// Load reads a directory that Write made. A file that is missing, changed, or not in the manifest is an error.
func Load(dir string) (*Artifact, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		return nil, fmt.Errorf("load artifact: %w (make one with dpo-ort export)", err)
	}
	a := &Artifact{Graphs: map[string]*onnx.Graph{}}
	if err := plainjson.UnmarshalStrict(text, &a.Manifest); err != nil {
		return nil, fmt.Errorf("load artifact %s: %s: %w", dir, manifestFile, err)
	}
	if a.Format != Format {
		return nil, fmt.Errorf("load artifact %s: format %d, this program reads %d; export it again", dir, a.Format, Format)
	}
	for file, want := range a.Files {
		name, ok := strings.CutSuffix(file, ".onnx")
		if !ok || name == "" || !fs.ValidPath(file) || strings.ContainsAny(file, `/\`) {
			return nil, fmt.Errorf("load artifact %s: %s names the file %q: a graph in its folder, NAME.onnx, is needed", dir, manifestFile, file)
		}
		data, err := readRegular(filepath.Join(dir, file))
		if err != nil {
			return nil, fmt.Errorf("load artifact: %w", err)
		}
		if digest(data) != want {
			return nil, fmt.Errorf("load artifact %s: %s is not the file that was exported (SHA-256 differs); export it again", dir, file)
		}
		if a.Graphs[name], err = onnx.Unmarshal(data); err != nil {
			return nil, fmt.Errorf("load artifact %s: %s: %w", dir, file, err)
		}
	}
	if err := a.Verify(); err != nil {
		return nil, fmt.Errorf("load artifact %s: %w", dir, err)
	}
	return a, nil
}

// readRegular reads a file that is neither a link nor a device: one of these may have no end.
func readRegular(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is a link, or no file: an artifact holds its graphs itself", path)
	}
	return os.ReadFile(path)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
