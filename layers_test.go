// Package dporot_test holds the rules of this module that a machine can check, as ordinary tests: who may import whom, that
// packages and exported names are documented, how long a file may be, and what it may not be called. The layers are
// explained in ARCHITECTURE.md.
package dporot_test

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/dpo-ort/dpo-ort/"

// layers says what each folder may import of this module; "*" is everything. A folder below a listed one belongs to it, unless it has a row of
// its own. Tests may import what they need, so these are the rules for code that is not a test.
var layers = map[string][]string{
	"cmd":                {"*"},
	"bench":              {"*"},
	"scripts":            {"*"},
	"dpo":                {"internal/plainjson", "internal/plainyaml", "internal/safefile", "internal/settings", "internal/wording", "dpo/loss", "dpo/optim", "dpo/report", "dpo/tfevents", "models", "models/exported", "models/safetensors", "datasets", "runtime/onnx", "runtime/autodiff", "runtime/artifact", "runtime/ort", "runtime/engine"},
	"dpo/loss":           {"internal/settings", "internal/wording", "runtime/onnx"},
	"dpo/optim":          {"internal/settings", "runtime/onnx"},
	"dpo/report":         {"internal/plainjson", "internal/safefile", "internal/plainyaml"},
	"dpo/tfevents":       {"internal/safefile"},
	"models":             {"internal/plainjson", "internal/safefile", "models/exported", "models/safetensors", "runtime/onnx"},
	"models/exported":    {"internal/safefile", "runtime/autodiff", "runtime/formula", "runtime/onnx"},
	"models/safetensors": {"internal/plainjson", "internal/safefile"},
	"datasets":           {"internal/plainjson", "internal/safefile"},
	"datasets/chat":      {"datasets"},
	"datasets/tokenizer": {"internal/plainjson", "internal/safefile", "datasets"},
	"runtime/engine":     {"runtime/artifact", "runtime/ort", "runtime/onnx", "models/safetensors"},
	"runtime/artifact":   {"internal/plainjson", "runtime/onnx", "internal/safefile"},
	"runtime/autodiff":   {"runtime/onnx"},
	"runtime/formula":    {"runtime/onnx"},
	"runtime/onnx":       {},
	"runtime/ort":        {},
	"internal":           {},
	"internal/bom":       {},
	"internal/demo":      {"models", "models/safetensors"},
	"internal/faultdisk": {"internal/safefile"},
	"internal/golden":    {},
	"internal/graphtest": {"runtime/onnx", "runtime/ort"},
	"internal/hub":       {"internal/plainjson", "internal/safefile"},
	"internal/plainjson": {},
	"internal/plainyaml": {},
	"internal/safefile":  {},
	"internal/settings":  {"internal/wording"},
	"internal/trend":     {},
	"internal/wording":   {},
}

// owners are the only folders or files whose code may import what they stand beside: each native library has one door. One package
// reaches the network (net/url and net/netip do not), for who names what lies there; and what starts other programs, or loads code, is known by file: a judge that the user names, and python3, asked where
// its packages with CUDA's libraries lie.
var owners = map[string][]string{
	"github.com/daulet/tokenizers":    {"datasets/tokenizer"},
	"github.com/yalue/onnxruntime_go": {"runtime/ort"},
	"github.com/spf13/cobra":          {"cmd"},
	"net":                             {"internal/hub"},
	"net/http":                        {"internal/hub"},
	"net/rpc":                         nil,
	"net/smtp":                        nil,
	"net/textproto":                   nil,
	"crypto/tls":                      nil,
	"golang.org/x/net":                nil,
	"google.golang.org/grpc":          nil,
	"plugin":                          nil,
	"os/exec":                         {"dpo/program.go", "dpo/program_unix.go", "dpo/program_other.go", "runtime/ort/cudaparts.go", "internal/testreport", "internal/golden"},
}

// exactly are those that are owned without what lies below them.
var exactly = []string{"net"}

// A source is one Go file of the module.
type source struct {
	path      string // from the module's folder, with slashes
	lines     int
	generated bool
	tree      *ast.File
}

func (s source) folder() string { return path.Dir(s.path) }
func (s source) test() bool     { return strings.HasSuffix(s.path, "_test.go") }

func parse(name string, text []byte) (source, error) {
	tree, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return source{}, err
	}
	return source{path: name, lines: strings.Count(string(text), "\n"), generated: ast.IsGenerated(tree), tree: tree}, nil
}

// walk gives each file of the project, leaving out what is built and what git keeps.
func walk(t *testing.T, visit func(name string, text []byte)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "build", "bin"}, name):
			return fs.SkipDir
		case !d.Type().IsRegular() || name == ".git": // a work tree has a file of that name
			return nil
		}
		text, err := os.ReadFile(name)
		if err == nil {
			visit(name, text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	walk(t, func(name string, text []byte) {
		if !strings.HasSuffix(name, ".go") || strings.Contains("/"+name, "/testdata/") {
			return
		}
		s, err := parse(name, text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	})
	return all
}

// each runs a check over all sources and reports what it finds.
func each(t *testing.T, check func(source) []string) {
	t.Helper()
	for _, s := range sources(t) {
		for _, problem := range check(s) {
			t.Errorf("%s: %s", s.path, problem)
		}
	}
}

func TestImports(t *testing.T) { each(t, imports) }

func imports(s source) (problems []string) {
	row, known := layer(s.folder())
	if !known {
		return []string{"its folder has no row in the table of layers_test.go"}
	}
	for _, spec := range s.tree.Imports {
		target, _ := strconv.Unquote(spec.Path.Value)
		if s.test() {
			continue
		}
		for owned, folders := range owners {
			if target != owned && (slices.Contains(exactly, owned) || !within(target, owned)) {
				continue
			}
			if !slices.ContainsFunc(folders, func(f string) bool { return within(s.folder(), f) || s.path == f }) {
				problems = append(problems, fmt.Sprintf("imports %s, which is for %s", target, cmp.Or(strings.Join(folders, " and "), "nobody")))
			}
		}
		ours, found := strings.CutPrefix(target, module)
		if !found {
			continue
		}
		to, _ := layer(ours)
		switch {
		case (to == "internal/golden" || to == "internal/faultdisk") && row != to:
			problems = append(problems, "imports "+to+", which is for tests")
		case to == row || slices.Contains(layers[row], to) || slices.Contains(layers[row], "*"):
		default:
			problems = append(problems, fmt.Sprintf("imports %s, but %s may import of ours: %s", ours, row, orNothing(layers[row])))
		}
	}
	return problems
}

// layer finds the row of a folder: its own, or that of the nearest folder above.
func layer(folder string) (row string, known bool) {
	for row = folder; row != "."; row = path.Dir(row) {
		if _, ok := layers[row]; ok {
			return row, true
		}
	}
	return row, folder == "."
}

func within(name, parent string) bool { return name == parent || strings.HasPrefix(name, parent+"/") }

func orNothing(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

func TestDiskIsChangedThroughSafefile(t *testing.T) { each(t, changesDisk) }

// changing are the functions of package os that change what a disk holds: internal/safefile is the one door to them, so that a crash
// at any of them is tested.
var changing = regexp.MustCompile(`^(Create|CreateTemp|OpenFile|WriteFile|Rename|Remove|RemoveAll|Mkdir|MkdirAll|MkdirTemp|Truncate|Link|Symlink|CopyFS)$`)

func changesDisk(s source) (problems []string) {
	if s.test() || within(s.folder(), "internal") && !within(s.folder(), "internal/hub") || within(s.folder(), "scripts") || within(s.folder(), "bench") {
		return nil
	}
	ast.Inspect(s.tree, func(n ast.Node) bool {
		if call, ok := n.(*ast.SelectorExpr); ok {
			if of, ok := call.X.(*ast.Ident); ok && of.Name == "os" && changing.MatchString(call.Sel.Name) {
				problems = append(problems, "calls os."+call.Sel.Name+": change the disk through internal/safefile")
			}
		}
		return true
	})
	return problems
}

func TestPackageDocs(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		// A package of tests alone has its comment there; one that is generated throughout needs none.
		if !s.generated && (!s.test() || s.folder() == ".") {
			documented[s.folder()] = documented[s.folder()] || s.tree.Doc != nil
		}
	}
	for folder, ok := range documented {
		if !ok {
			t.Errorf("%s: no file has a package comment", folder)
		}
	}
}

func TestFileSizes(t *testing.T) { each(t, size) }

func size(s source) []string {
	if s.lines > 600 && !s.generated {
		return []string{fmt.Sprintf("has %d lines; 600 is the most: split it by ideas", s.lines)}
	}
	return nil
}

func TestNames(t *testing.T) { each(t, names) }

var vague = regexp.MustCompile(`^(utils?|commons?|helpers?|types|misc)(_test)?(\.go)?$`)

func names(s source) (problems []string) {
	for part := range strings.SplitSeq(s.path, "/") {
		if vague.MatchString(part) {
			problems = append(problems, part+" says nothing: name it by its idea")
		}
	}
	return problems
}

func TestExportedNamesAreDocumented(t *testing.T) { each(t, undocumented) }

func undocumented(s source) (problems []string) {
	if s.test() || s.generated || s.tree.Name.Name == "main" {
		return nil
	}
	need := func(id *ast.Ident, docs ...*ast.CommentGroup) {
		if id.IsExported() && !slices.ContainsFunc(docs, func(d *ast.CommentGroup) bool { return d != nil }) {
			problems = append(problems, id.Name+" has no comment")
		}
	}
	for _, d := range s.tree.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if needsWords(d) {
				need(d.Name, d.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					need(spec.Name, d.Doc, spec.Doc)
				case *ast.ValueSpec:
					for _, id := range spec.Names {
						need(id, d.Doc, spec.Doc, spec.Comment)
					}
				}
			}
		}
	}
	return problems
}

// conventional methods say all with their names and signatures.
var conventional = []string{"String", "Error", "Unwrap", "Len", "Less", "Swap"}

// needsWords tells whether a function can be seen from outside and is no conventional method.
func needsWords(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	of := d.Recv.List[0].Type
	if p, ok := of.(*ast.StarExpr); ok {
		of = p.X
	}
	if p, ok := of.(*ast.IndexExpr); ok {
		of = p.X
	}
	id, ok := of.(*ast.Ident)
	return ok && id.IsExported() && !slices.Contains(conventional, d.Name.Name)
}

// TestNoPathsOfOneMachine: nothing may depend on, or tell of, where somebody's checkout lies.
func TestNoPathsOfOneMachine(t *testing.T) {
	walk(t, func(name string, text []byte) {
		if path.Base(name) == "go.sum" || len(text) > 1<<20 || strings.ContainsRune(string(text), 0) {
			return
		}
		for i, line := range strings.Split(string(text), "\n") {
			if m := onePlace(line); m != "" {
				t.Errorf("%s:%d: has the path of one machine: %s", name, i+1, m)
			}
		}
	})
}

var place = regexp.MustCompile(`(?:^|[^A-Za-z0-9_.])(/(?:work|root|farm|Users/\w+|home/\w+)/)`)

func onePlace(line string) string {
	if m := place.FindStringSubmatch(line); m != nil {
		return m[1]
	}
	return ""
}

// TestRulesCatch gives each rule something to find, so that none passes because it looks at nothing.
func TestRulesCatch(t *testing.T) {
	tests := []struct {
		name  string
		check func(source) []string
		path  string
		text  string
		want  string // part of the only problem; empty: none
	}{
		{"upward import", imports, "runtime/onnx/a.go", `import "` + module + `runtime/ort"`, "may import of ours: nothing"},
		{"import by a folder below", imports, "runtime/onnx/pb/a.go", `import "` + module + `models"`, "may import of ours: nothing"},
		{"import of a folder below", imports, "runtime/onnx/a.go", `import "` + module + `runtime/onnx/pb"`, ""},
		{"own row of a folder below", imports, "dpo/loss/a.go", `import "` + module + `models"`, "may import of ours: internal/settings, internal/wording, runtime/onnx"},
		{"tokenizer in dpo", imports, "dpo/a.go", `import "` + module + `datasets/tokenizer"`, "imports datasets/tokenizer"},
		{"allowed", imports, "runtime/autodiff/a.go", `import "` + module + `runtime/onnx"`, ""},
		{"everything for cmd", imports, "cmd/dpo-ort/a.go", `import "` + module + `datasets/tokenizer"`, ""},
		{"golden in code", imports, "cmd/dpo-ort/a.go", `import "` + module + `internal/golden"`, "is for tests"},
		{"golden in a test", imports, "runtime/onnx/a_test.go", `import "` + module + `internal/golden"`, ""},
		{"no row", imports, "newcomer/a.go", ``, "has no row"},
		{"native library elsewhere", imports, "dpo/a.go", `import "github.com/daulet/tokenizers"`, "which is for datasets/tokenizer"},
		{"a file written beside safefile", changesDisk, "dpo/a.go", `import "os"; func f() { os.WriteFile("", nil, 0) }`, "calls os.WriteFile"},
		{"a file read", changesDisk, "dpo/a.go", `import "os"; func f() { os.ReadFile("") }`, ""},
		{"network", imports, "cmd/dpo-ort/a.go", `import "net/http"`, "imports net/http, which is for internal/hub"},
		{"network below http", imports, "cmd/dpo-ort/a.go", `import "net/http/httptest"`, "which is for internal/hub"},
		{"sockets", imports, "dpo/a.go", `import "net"`, "imports net, which is for internal/hub"},
		{"the hub", imports, "internal/hub/a.go", `import "net/http"`, ""},
		{"the hub below the program", imports, "dpo/a.go", `import "` + module + `internal/hub"`, "imports internal/hub, but dpo may import of ours"},
		{"other protocols", imports, "internal/hub/a.go", `import "net/smtp"`, "imports net/smtp, which is for nobody"},
		{"the hub's files beside safefile", changesDisk, "internal/hub/a.go", `import "os"; func f() { os.WriteFile("", nil, 0) }`, "calls os.WriteFile"},
		{"addresses", imports, "dpo/a.go", `import "net/url"`, ""},
		{"another program", imports, "dpo/a.go", `import "os/exec"`, "imports os/exec, which is for dpo/program.go and "},
		{"a judge", imports, "dpo/program.go", `import "os/exec"`, ""},
		{"long file", size, "a.go", strings.Repeat("\n", 601), "lines"},
		{"long generated file", size, "a.go", "// Code generated by x. DO NOT EDIT.\n\npackage p\n" + strings.Repeat("\n", 601), ""},
		{"vague folder", names, "models/util/a.go", "", "util says nothing"},
		{"vague file", names, "models/helpers.go", "", "helpers.go says nothing"},
		{"bare function", undocumented, "a.go", "func F() {}", "F has no comment"},
		{"bare method", undocumented, "a.go", "func (t *T[X]) M() {}", "M has no comment"},
		{"bare constant", undocumented, "a.go", "const C = 1", "C has no comment"},
		{"method of a hidden type", undocumented, "a.go", "func (t t) M() {}", ""},
		{"documented", undocumented, "a.go", "// F does.\nfunc F() {}", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := test.text
			if !strings.Contains(text, "package p\n") {
				text = "package p\n" + text
			}
			s, err := parse(test.path, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			problems := test.check(s)
			if test.want == "" && len(problems) > 0 || test.want != "" && (len(problems) != 1 || !strings.Contains(problems[0], test.want)) {
				t.Errorf("found %q, want %q", problems, test.want)
			}
		})
	}
	for line, found := range map[string]bool{"/wo" + "rk/main": true, "cd /ro" + "ot/x": true, "../work/x": false, "https://x.org/work/": false, "/home/me" + "/x": true} {
		if (onePlace(line) != "") != found {
			t.Errorf("path of one machine in %q: want %v", line, found)
		}
	}
}
