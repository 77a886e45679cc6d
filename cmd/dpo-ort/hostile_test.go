package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/datasets/tokenizer"
	"github.com/dpo-ort/dpo-ort/dpo"
	"github.com/dpo-ort/dpo-ort/dpo/report"
	"github.com/dpo-ort/dpo-ort/dpo/vader"
	"github.com/dpo-ort/dpo-ort/internal/hostile"
	"github.com/dpo-ort/dpo-ort/models"
	"github.com/dpo-ort/dpo-ort/models/safetensors"
	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

const hostileGolden = "testdata/hostile.golden"

// hostileReaders read a case's folder as the program does, by format.
var hostileReaders = map[string]func(dir string) error{
	"safetensors":       openWeights,
	"safetensors-index": openWeights,
	"parquet":           func(dir string) error { return readRows(filepath.Join(dir, "rows.parquet")) },
	"jsonl":             func(dir string) error { return readRows(filepath.Join(dir, "rows.jsonl")) },
	"json":              func(dir string) error { return readRows(filepath.Join(dir, "rows.json")) },
	"tokenizer":         loadTokenizer,
	"tokenizer-config":  loadTokenizer,
	"config":            describeModel,
	"adapter":           openModel,
	"generation-config": func(dir string) error { _, err := models.ReadGeneration(dir); return err },
	"onnx":              func(dir string) error { _, err := onnx.Load(filepath.Join(dir, "model.onnx")); return err },
	"artifact":          func(dir string) error { _, err := artifact.Load(dir); return err },
	"settings":          checkSettings,
	"frontier-plan":     checkPlan,
	"patterns":          openPatterns,
	"lexicon":           func(dir string) error { _, err := vader.Open(filepath.Join(dir, "words.tsv"), ""); return err },
	"frontier-json":     func(dir string) error { _, err := report.ReadFrontier(filepath.Join(dir, "frontier.json")); return err },
	"checkpoint":        func(dir string) error { _, err := dpo.VerifyCheckpoint(filepath.Join(dir, "step-000002")); return err },
	"metrics":           func(dir string) error { _, err := report.Read(dir); return err },
}

func openWeights(dir string) error {
	m, err := safetensors.OpenModel(dir)
	if err != nil {
		return err
	}
	return m.Close()
}

// readRows reads a file as data validate and train do, and then whole, as score and data convert do.
func readRows(path string) error {
	for v, err := range datasets.Validate([]string{path}, datasets.Options{}, &datasets.Encoder{Ties: datasets.TiesAverage}) {
		if err != nil {
			return err
		}
		for _, f := range v.Findings {
			if f.Kind == datasets.FoundBroken {
				return fmt.Errorf("%s (%v)", f.Reason, f.First[0])
			}
		}
	}
	t, err := datasets.OpenTable(path, datasets.Options{})
	if err != nil {
		return fmt.Errorf("as a table: %w", err)
	}
	for row, err := range t.Rows(0) {
		if err = errors.Join(err, row.Err); err != nil {
			return fmt.Errorf("as a table: %w", err)
		}
	}
	return t.Close()
}

func loadTokenizer(dir string) error {
	tok, err := tokenizer.Load(dir)
	if err != nil {
		return err
	}
	ids, _, err := tok.Encode("ab a")
	if err == nil {
		_, err = tok.Decode(ids)
	}
	return errors.Join(err, tok.Close())
}

func describeModel(dir string) error {
	if _, _, err := models.Describe(dir); err != nil {
		return err
	}
	_, err := models.ReadGeneration(dir)
	return err
}

func openModel(dir string) error {
	m, err := models.Open(dir)
	if err != nil {
		return err
	}
	return m.Close()
}

func checkSettings(dir string) error {
	c, err := dpo.NewConfig("paper")
	if err != nil {
		return err
	}
	if err := readSettings(filepath.Join(dir, "run.yaml"), &c); err != nil {
		return err
	}
	return c.Check()
}

func checkPlan(dir string) error {
	p, err := readPlan(filepath.Join(dir, "plan.yaml"))
	if err != nil {
		return err
	}
	return p.Check()
}

func openPatterns(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "patterns.*"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("%d files of patterns, %w", len(files), err)
	}
	judge, err := dpo.OpenJudge("regex:"+files[0], dpo.JudgeOptions{})
	if closer, ok := judge.(io.Closer); ok && err == nil {
		err = closer.Close()
	}
	return err
}

// reading is what came of a case.
type reading struct {
	Case    string
	Error   string  // "" where it was accepted
	Heap    int64   // bytes allocated in all
	Peak    int64   // growth of the process's memory, at its highest
	Seconds float64 // of CPU time
}

// readHostile is a command of the test's program: it reads the cases whose folders are named on its stdin, and prints a line before and
// a line after each, so that whoever started it knows at which one it ended.
func readHostile() {
	root := os.Getenv("HOSTILE_ROOT")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		format, _, _ := strings.Cut(in.Text(), "/")
		fmt.Printf("begin %s\n", in.Text())
		text, err := json.Marshal(readCase(root, in.Text(), hostileReaders[format]))
		if err != nil {
			panic(err)
		}
		fmt.Printf("end %s\n", text)
	}
}

func readCase(root, name string, read func(string) error) reading {
	r := reading{Case: name}
	debug.FreeOSMemory()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, low := cpuSeconds(), resetPeak()
	err := read(filepath.Join(root, name))
	r.Seconds = cpuSeconds() - cpu
	r.Peak = peakMemory() - low
	runtime.ReadMemStats(&after)
	r.Heap = int64(after.TotalAlloc - before.TotalAlloc)
	if err != nil {
		r.Error = strings.ReplaceAll(strings.ReplaceAll(err.Error(), root+"/", ""), "\n", " | ")
		r.Error = printable(strings.ReplaceAll(r.Error, "\t", " "))
	}
	return r
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// resetPeak has the system measure the highest memory from now on, and gives what is in use; 0 where it cannot.
func resetPeak() int64 {
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		return math.MaxInt64 / 2
	}
	return peakMemory()
}

func peakMemory() int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	n := int64(0)
	fmt.Sscan(rest, &n)
	return n << 10
}

// readAllHostile reads the cases in programs of their own: where one ends in the middle of a case, the next goes on after it.
func readAllHostile(t *testing.T, root string, names []string) map[string]reading {
	t.Helper()
	got := map[string]reading{}
	for len(names) > 0 {
		cmd := exec.Command("read-hostile")
		cmd.Env = append(os.Environ(), "HOSTILE_ROOT="+root, "GOTRACEBACK=none")
		cmd.Stdin = strings.NewReader(strings.Join(names, "\n"))
		var said strings.Builder
		cmd.Stderr = &said
		out, ended := cmd.Output()
		at := ""
		for line := range strings.Lines(string(out)) {
			if name, ok := strings.CutPrefix(strings.TrimSpace(line), "begin "); ok {
				at = name
			}
			if text, ok := strings.CutPrefix(line, "end "); ok {
				var r reading
				if err := json.Unmarshal([]byte(text), &r); err != nil {
					t.Fatal(err)
				}
				got[r.Case] = r
			}
		}
		i := slices.Index(names, at)
		if i < 0 {
			t.Fatalf("no case was read: %v\n%s", ended, said.String())
		}
		if _, done := got[at]; !done {
			t.Errorf("%s: the program ended: %v\n%.2000s", at, ended, said.String())
			got[at] = reading{Case: at, Error: "the program ended"}
		}
		names = names[i+1:]
	}
	return got
}

// TestHostileFiles reads every malformed file: each is refused with its line of hostile.golden, without a panic or an abort, in at most
// 64 MiB and eight times its size of memory, and a second of CPU time for each MiB (at least one second).
func TestHostileFiles(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("messages of other systems differ")
	}
	root := t.TempDir()
	var names []string
	size, formats := map[string]int64{}, map[string]int{}
	for _, c := range hostile.Cases() {
		if _, err := c.Write(root); err != nil {
			t.Fatal(err)
		}
		names = append(names, c.Path())
		size[c.Path()] = c.Size()
		formats[c.Format]++
	}
	got := readAllHostile(t, root, names)
	want := readHostileGolden(t)
	lines := map[string]string{}
	for _, name := range names {
		r := got[name]
		r.Error = withoutRegistries(r.Error)
		lines[name] = r.Error
		most := 64<<20 + 8*size[name]
		switch {
		case r.Error == "":
			t.Errorf("%s: accepted", name)
		case strings.Contains(r.Error, "panic") || strings.Contains(r.Error, "runtime error"):
			t.Errorf("%s: a panic: %s", name, r.Error)
		case !*update && r.Error != want[name]:
			t.Errorf("%s\ngot  %s\nwant %s\n(-update rewrites %s)", name, r.Error, want[name], hostileGolden)
		}
		if r.Heap > most || r.Peak > most {
			t.Errorf("%s of %d bytes: %d MiB were allocated, and the process grew by %d MiB", name, size[name], r.Heap>>20, r.Peak>>20)
		}
		if r.Seconds > max(1, float64(size[name])/(1<<20)) {
			t.Errorf("%s of %d bytes took %.1f s", name, size[name], r.Seconds)
		}
		delete(want, name)
	}
	if *update {
		writeHostileGolden(t, lines)
	} else if len(want) > 0 {
		t.Errorf("lines of %s without a case: %v", hostileGolden, slices.Sorted(maps.Keys(want)))
	}
	t.Logf("%d files of %d formats, %d distinct errors", len(names), len(formats), len(distinct(lines)))
}

// TestHostileIsEnough holds how many files there are, and in how many ways they are wrong.
func TestHostileIsEnough(t *testing.T) {
	lines := readHostileGolden(t)
	if n := len(lines); n < 500 {
		t.Errorf("%d malformed files, at least 500 are wanted", n)
	}
	if n := len(distinct(lines)); n < 200 {
		t.Errorf("%d distinct errors, at least 200 are wanted", n)
	}
	semantic := map[string]int{}
	for name := range lines {
		format, fault, _ := strings.Cut(name, "/")
		if !strings.HasPrefix(fault, "cut at byte") {
			semantic[format]++
		}
	}
	for _, format := range hostile.Formats() {
		if hostileReaders[format] == nil {
			t.Errorf("nothing reads the format %s", format)
		}
		if semantic[format] < 10 {
			t.Errorf("%s: %d faults that are no cuts, at least 10 are wanted", format, semantic[format])
		}
	}
	for format := range hostileReaders {
		if !slices.Contains(hostile.Formats(), format) {
			t.Errorf("no malformed files of %s", format)
		}
	}
}

var varying = regexp.MustCompile(`"[^"]*"|[^\s]*\d[^\s]*|[\w./-]+/[\w./-]+`)

// distinct counts error texts without the names and numbers in them.
func distinct(lines map[string]string) map[string]int {
	texts := map[string]int{}
	for name, line := range lines {
		texts[varying.ReplaceAllString(strings.ReplaceAll(line, name, ""), "*")]++
	}
	return texts
}

func readHostileGolden(t *testing.T) map[string]string {
	t.Helper()
	lines := map[string]string{}
	text, err := os.ReadFile(hostileGolden)
	if err != nil && !*update {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		lines[name] = rest
	}
	return lines
}

func writeHostileGolden(t *testing.T, lines map[string]string) {
	t.Helper()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		fmt.Fprintf(&b, "%s\t%s\n", name, lines[name])
	}
	if err := os.WriteFile(hostileGolden, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
