package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// The commands of README.md and docs/*.md are run as they are written, each page in a folder of its own, in which stand
//
//	bin/dpo-ort                        this program
//	models/llama                       the tiny Llama of testdata: 28,832 parameters, 320 tokens
//	pairs.parquet, held-out.parquet    its 64 pairs, both the same: learning shows, generalizing does not
//	pairs.jsonl, ranked.jsonl          the same pairs, and 16 rankings
//	testdata                           the module's
//
// A block marked "sh" holds commands, which must end with exit code 0 or with that of "# exit N" behind them. One that ends
// with "# exit 130" gets Ctrl-C when its first step is over. The lines of a block marked "text output" that follows must be
// among those the commands printed, in their order; numbers and units are masked.

// notRun are the blocks whose commands are not run here, by page and first line.
var notRun = map[string]string{
	"README.md: make demo": "installs and builds",
	"README.md: make test": "runs this test",
	"docs/library.md: git clone https://github.com/dpo-ort/dpo-ort && make -C dpo-ort deps": "needs a network; TestModuleElsewhereBuilds has the recipe",
	"docs/reference.md: make deps-cuda":                                                     "downloads a gigabyte, and needs a GPU",
	"docs/troubleshooting.md: bin/dpo-ort doctor --device cuda:0":                           "needs a GPU",
	"docs/tutorial.md: tensorboard --logdir aligned/run":                                    "serves until it is stopped",
}

// foreign are flags of other programs that the pages name.
var foreign = []string{"gpus", "logdir"}

// A docBlock is what one pair of fences holds.
type docBlock struct {
	page, kind string // kind is what stands behind the opening fence
	line       int    // of its first line, from 1
	lines      []string
}

func (b docBlock) first() string {
	if len(b.lines) == 0 {
		return ""
	}
	return b.page + ": " + b.lines[0]
}

// docPages gives README.md and docs/*.md by their names from the module's folder.
func docPages(t *testing.T) map[string]string {
	t.Helper()
	root := golden.Root(t)
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("find docs: %v, %d pages", err, len(files))
	}
	pages := map[string]string{}
	for _, file := range append(files, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		pages[filepath.ToSlash(name)] = string(text)
	}
	return pages
}

func docBlocks(page, text string) (blocks []docBlock) {
	var open *docBlock
	for i, line := range strings.Split(text, "\n") {
		kind, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &docBlock{page: page, kind: kind, line: i + 2}
		case fence:
			blocks, open = append(blocks, *open), nil
		case open != nil:
			open.lines = append(open.lines, line)
		}
	}
	return blocks
}

func TestDocsRun(t *testing.T) {
	skipped := map[string]bool{}
	for page, text := range docPages(t) {
		t.Run(page, func(t *testing.T) {
			dir := docFolder(t)
			var said []string
			for _, b := range docBlocks(page, text) {
				switch {
				case b.kind == "sh" && notRun[b.first()] != "":
					skipped[b.first()] = true
				case b.kind == "sh":
					said = nil
					for _, c := range commandsOf(b) {
						said = append(said, runDoc(t, dir, c)...)
					}
				case b.kind == "text output":
					for _, problem := range missing(b.lines, said) {
						t.Errorf("%s:%d: the commands above did not print %q; they printed\n%s", page, b.line, problem, strings.Join(said, "\n"))
					}
				}
			}
		})
	}
	for block := range notRun {
		if !skipped[block] {
			t.Errorf("notRun lists %q, and no page has such a block", block)
		}
	}
}

// docFolder makes a folder with what the pages' commands name.
func docFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"bin", "models"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	pairs := golden.Testdata(t, "pref", "tiny.pairs.parquet")
	for name, target := range map[string]string{
		"bin/dpo-ort": program, "models/llama": golden.Testdata(t, "models", "tiny-llama"), "testdata": golden.Testdata(t),
		"pairs.parquet": pairs, "held-out.parquet": pairs,
		"pairs.jsonl": golden.Testdata(t, "pref", "tiny.pairs.jsonl"), "ranked.jsonl": golden.Testdata(t, "pref", "tiny.ranked.jsonl"),
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A docCommand is a command of a page with the exit code it must have.
type docCommand struct {
	where, text string
	exit        int
}

var exitNote = regexp.MustCompile(`\s+# exit (\d+)$`)

// commandsOf joins the lines that end in a backslash with those after them.
func commandsOf(b docBlock) (out []docCommand) {
	text := ""
	for i, line := range b.lines {
		if text += line; strings.HasSuffix(text, `\`) {
			text += "\n"
			continue
		}
		c := docCommand{where: fmt.Sprintf("%s:%d", b.page, b.line+i), text: text}
		if m := exitNote.FindStringSubmatch(text); m != nil {
			c.exit, _ = strconv.Atoi(m[1]) // digits
			c.text = strings.TrimSuffix(text, m[0])
		}
		if text = ""; strings.TrimSpace(c.text) != "" {
			out = append(out, c)
		}
	}
	return out
}

// runDoc runs a command and gives the lines it printed, on stdout and stderr.
func runDoc(t *testing.T, dir string, c docCommand) []string {
	t.Helper()
	out := &heard{}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "exec "+c.text)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	if c.exit == exitInterrupted {
		out.on, out.then = []byte("train     "), func() { _ = cmd.Process.Signal(os.Interrupt) } // if it is over, its exit code tells
	}
	err, got := cmd.Run(), 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatalf("%s: %v", c.where, err)
	}
	if got != c.exit {
		t.Errorf("%s: %s: exit code %d, want %d:\n%s", c.where, c.text, got, c.exit, out.text.String())
	}
	return strings.Split(out.text.String(), "\n")
}

// heard keeps what a command prints, and does something when it has printed a word.
type heard struct {
	text bytes.Buffer
	on   []byte
	then func()
	once sync.Once
}

// Write is never called twice at a time: one writer serves both streams.
func (h *heard) Write(p []byte) (int, error) {
	n, err := h.text.Write(p)
	if h.then != nil && bytes.Contains(h.text.Bytes(), h.on) {
		h.once.Do(h.then)
	}
	return n, err
}

var (
	numbers = regexp.MustCompile(`-?\d[\d.,]*(e[+-]?\d+)?( ?[KMG]iB|m?s\b)?`)
	blanks  = regexp.MustCompile(`\s+`)
)

// masked is a line without what differs between machines.
func masked(line string) string {
	return strings.TrimSpace(blanks.ReplaceAllString(numbers.ReplaceAllString(line, "0"), " "))
}

// missing lists the lines of a page that are not among those printed, in their order.
func missing(want, said []string) (out []string) {
	for _, line := range want {
		at := slices.IndexFunc(said, func(s string) bool { return masked(s) == masked(line) })
		if at < 0 {
			out = append(out, line)
			continue
		}
		said = said[at+1:]
	}
	return out
}

func TestDocsOutputIsCompared(t *testing.T) {
	said := []string{"data  64 groups", "train     1/40  loss 0.69", "trained in 1.3s of 2.5 MiB"}
	for _, test := range []struct {
		want    []string
		missing int
	}{
		{[]string{"trained in 27s of 812.0 KiB"}, 0},
		{[]string{"data 3 groups", "trained in 1s of 1 MiB"}, 0},
		{[]string{"trained in 1s of 1 MiB", "data 64 groups"}, 1},
		{[]string{"data 64 rows"}, 1},
	} {
		if got := missing(test.want, said); len(got) != test.missing {
			t.Errorf("%q: missing are %q, want %d", test.want, got, test.missing)
		}
	}
}

var docLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// Every relative link of every page leads somewhere.
func TestDocsLinks(t *testing.T) {
	root := golden.Root(t)
	files, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	below, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for _, file := range append(files, below...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range docLink.FindAllStringSubmatch(string(text), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), filepath.FromSlash(target))); err != nil {
				t.Errorf("%s: link to %s: %v", file, m[1], err)
			}
		}
	}
	if links == 0 {
		t.Error("no page has a relative link")
	}
}

var docFlag = regexp.MustCompile(`(?:^|[^-\w])--([a-z][a-z0-9-]*[a-z0-9])`)

// Every flag that a page names is one, and every flag of train is named by a page.
func TestDocsFlags(t *testing.T) {
	root, known := newRoot(), map[string]bool{"help": true, "version": true}
	for _, cmd := range append(allCommands(root), root) {
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { known[f.Name] = true })
	}
	named := map[string]bool{}
	for page, text := range docPages(t) {
		for _, m := range docFlag.FindAllStringSubmatch(text, -1) {
			named[m[1]] = true
			if !known[m[1]] && !slices.Contains(foreign, m[1]) {
				t.Errorf("%s names --%s, which no command has", page, m[1])
			}
		}
	}
	for _, name := range flagNames(newTrain().Flags()) {
		if !named[name] {
			t.Errorf("no page names --%s of train", name)
		}
	}
}

func allCommands(of *cobra.Command) (out []*cobra.Command) {
	for _, cmd := range of.Commands() {
		out = append(append(out, cmd), allCommands(cmd)...)
	}
	return out
}
