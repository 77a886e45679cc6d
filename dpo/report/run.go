package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/dpo-ort/dpo-ort/internal/plainjson"
	"github.com/dpo-ort/dpo-ort/internal/plainyaml"
)

// Read reads what train left in its output directory: run/metrics.jsonl, which must be there, config.yaml, dropped.jsonl, and the
// evaluations run/eval*.json.
func Read(dir string) (Run, error) {
	r := Run{Name: dir}
	at := func(name string) string { return filepath.Join(dir, "run", name) }
	if _, err := os.Stat(at("metrics.jsonl")); errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("reading run %s: it holds no run/metrics.jsonl: name the directory that train wrote (its --out)", dir)
	}
	if err := r.readMetrics(at("metrics.jsonl")); err != nil {
		return r, err
	}
	if err := r.readSettings(at("config.yaml")); err != nil {
		return r, err
	}
	if err := r.readDropped(at("dropped.jsonl")); err != nil {
		return r, err
	}
	files, err := filepath.Glob(at("eval*.json"))
	if err != nil {
		return r, fmt.Errorf("reading run %s: %w", dir, err)
	}
	for _, file := range files {
		e, err := ReadEvaluation(file)
		if err != nil {
			return r, err
		}
		r.Evaluations = append(r.Evaluations, e)
	}
	return r, nil
}

// eachLine gives each line of a file to take. Its errors get the file and the line's number, from 1, before them.
func eachLine(file string, take func(line []byte) error) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<16)
	for number := 1; ; number++ {
		text, err := in.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		if len(bytes.TrimSpace(text)) > 0 {
			if err := take(text); err != nil {
				return fmt.Errorf("%s:%d: %w", file, number, err)
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

// metricsReader turns lines into series.
type metricsReader struct {
	series map[string][]Point
	lines  [2]int         // so far, of training and of held-out data
	seen   map[string]int // the number of the last line of its kind that had the name
	step   float64        // of the line before
}

func (r *Run) readMetrics(file string) error {
	m := metricsReader{series: map[string][]Point{}, seen: map[string]int{}}
	r.Series = m.series
	return eachLine(file, m.take)
}

// take adds a line. A name that lines of its kind had before, and the last had not, leaves a gap; so does null.
func (m *metricsReader) take(text []byte) error {
	var values map[string]any
	if err := plainjson.Unmarshal(text, &values); err != nil {
		return fmt.Errorf("the line is damaged: %w; train --resume cuts the file back to the last checkpoint", err)
	}
	step, ok := values["step"].(float64)
	switch {
	case !ok:
		return errors.New(`the line has no number "step"`)
	case step < 0 || step > 1<<53 || step != math.Trunc(step):
		return fmt.Errorf("step is %v: a count of steps is needed", step)
	case step < m.step:
		return fmt.Errorf("step %v comes after step %v: lines of two runs are mixed", step, m.step)
	}
	m.step = step
	kind := 0
	for name := range values {
		if strings.HasPrefix(name, evalPrefix) {
			kind = 1
		}
	}
	m.lines[kind]++
	for name, v := range values {
		x, isNumber := v.(float64)
		if name == "step" || v != nil && !isNumber {
			continue
		}
		if v == nil {
			x = math.NaN()
		}
		if before, ok := m.seen[name]; ok && before < m.lines[kind]-1 {
			m.series[name] = append(m.series[name], Point{step, math.NaN()})
		}
		m.seen[name] = m.lines[kind]
		m.series[name] = append(m.series[name], Point{step, x})
	}
	return nil
}

// evalPrefix begins the names of what held-out data measured.
const evalPrefix = "eval_"

// readSettings reads the YAML that the run was made with, if it is there.
func (r *Run) readSettings(file string) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var values yaml.MapSlice
	if err := plainyaml.Unmarshal(text, &values, yaml.UseOrderedMap()); err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	r.Settings = settings("", values, nil)
	return nil
}

// settings lists a mapping's values, those of mappings below it under both names.
func settings(prefix string, values yaml.MapSlice, to []Setting) []Setting {
	for _, item := range values {
		name := prefix + fmt.Sprint(item.Key)
		if below, ok := item.Value.(yaml.MapSlice); ok {
			to = settings(name+".", below, to)
			continue
		}
		to = append(to, Setting{name, settingText(item.Value)})
	}
	return to
}

func settingText(v any) string {
	list, ok := v.([]any)
	switch {
	case ok:
		var parts []string
		for _, x := range list {
			parts = append(parts, settingText(x))
		}
		return strings.Join(parts, ", ")
	case v == nil:
		return ""
	}
	return fmt.Sprint(v)
}

// firstDrops is how many of the rows left out are named.
const firstDrops = 10

// readDropped reads the list of rows that were left out, if it is there.
func (r *Run) readDropped(file string) error {
	r.Dropped.Reasons = map[string]int{}
	err := eachLine(file, func(text []byte) error {
		var d Drop
		if err := plainjson.Unmarshal(text, &d); err != nil {
			return fmt.Errorf("the line is damaged: %w", err)
		}
		r.Dropped.Rows++
		r.Dropped.Reasons[d.Reason]++
		if len(r.Dropped.First) < firstDrops {
			r.Dropped.First = append(r.Dropped.First, d)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// ReadEvaluation reads a JSON object of measurements, whatever they are.
func ReadEvaluation(file string) (Evaluation, error) {
	e := Evaluation{Name: file}
	text, err := os.ReadFile(file)
	if err != nil {
		return e, err
	}
	if err := plainjson.Check(text); err != nil {
		return e, fmt.Errorf("reading %s: %w", file, err)
	}
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber() // numbers keep their digits
	var values map[string]any
	if err := in.Decode(&values); err != nil || values == nil {
		return e, fmt.Errorf("reading %s: an object of measurements is needed", file)
	}
	e.Values = flatten("", values, nil)
	return e, nil
}

// flatten lists the values of an object, or of a list, by their paths.
func flatten(prefix string, v any, to []Setting) []Setting {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			to = flatten(join(prefix, name), v[name], to)
		}
		return to
	case []any:
		for i, x := range v {
			to = flatten(join(prefix, strconv.Itoa(i)), x, to)
		}
		return to
	case nil:
		return append(to, Setting{prefix, ""})
	case json.Number:
		if x, err := v.Float64(); err == nil {
			return append(to, Setting{prefix, number(x)})
		}
	}
	return append(to, Setting{prefix, fmt.Sprint(v)})
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}
