package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

const cargo = `{"packages": [
 {"id": "ffi", "name": "tokenizers-ffi", "version": "1.0.0", "manifest_path": "/x/Cargo.toml", "targets": [{"kind": ["staticlib"]}]},
 {"id": "a", "name": "a", "version": "1.2.3", "license": "MIT/Apache-2.0", "manifest_path": "FOLDER/a/Cargo.toml", "targets": [{"kind": ["lib"]}]},
 {"id": "onig_sys", "name": "onig_sys", "version": "69.0.0", "license": "MIT", "manifest_path": "FOLDER/onig_sys/Cargo.toml", "targets": [{"kind": ["lib"]}]},
 {"id": "cc", "name": "cc", "version": "1.0.0", "license": "MIT", "manifest_path": "/x/cc/Cargo.toml", "targets": [{"kind": ["lib"]}]},
 {"id": "m", "name": "m", "version": "1.0.0", "license": "MIT", "manifest_path": "/x/m/Cargo.toml", "targets": [{"kind": ["proc-macro"]}]},
 {"id": "syn", "name": "syn", "version": "1.0.0", "license": "MIT", "manifest_path": "/x/syn/Cargo.toml", "targets": [{"kind": ["lib"]}]}],
 "resolve": {"nodes": [
  {"id": "ffi", "deps": [{"pkg": "a", "dep_kinds": [{"kind": null}]}, {"pkg": "m", "dep_kinds": [{"kind": null}]}]},
  {"id": "a", "deps": [{"pkg": "onig_sys", "dep_kinds": [{"kind": "dev"}, {"kind": null}]}, {"pkg": "cc", "dep_kinds": [{"kind": "build"}]}]},
  {"id": "m", "deps": [{"pkg": "syn", "dep_kinds": [{"kind": null}]}]}]}}`

const locked = `version = 4

[[package]]
name = "a"
version = "1.2.3"
checksum = "aaaa"

[[package]]
name = "onig_sys"
version = "69.0.0"
checksum = "bbbb"
`

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Of crates, those that are linked are listed, with the lock's digests: none that only a build, a test or a macro needs.
func TestCrates(t *testing.T) {
	dir := t.TempDir()
	metadata, lock := write(t, dir, "meta.json", strings.ReplaceAll(cargo, "FOLDER", dir)), write(t, dir, "Cargo.lock", locked)
	all, err := linkedCrates(metadata, lock)
	if err != nil {
		t.Fatal(err)
	}
	want := []component{
		{name: "a", version: "1.2.3", purl: "pkg:cargo/a@1.2.3", sha256: "aaaa", licence: "MIT OR Apache-2.0", dir: filepath.Join(dir, "a")},
		{name: "onig_sys", version: "69.0.0", purl: "pkg:cargo/onig_sys@69.0.0", sha256: "bbbb", licence: "(MIT) AND BSD-2-Clause", dir: filepath.Join(dir, "onig_sys")},
	}
	if !slices.Equal(all, want) {
		t.Errorf("crates\n%+v\nwant\n%+v", all, want)
	}
	if _, err := linkedCrates(metadata, write(t, dir, "other.lock", strings.Replace(locked, "69.0.0", "68.0.0", 1))); err == nil || !strings.Contains(err.Error(), "onig_sys 69.0.0") {
		t.Errorf("a crate that the lock lacks: %v", err)
	}
}

const built = "go\tgo1.26.0\npath\texample.com/p\nmod\texample.com/p\t(devel)\n" +
	"dep\tgithub.com/x/y/v3\tv3.1.0\th1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"

// Of Go modules, those that the program was linked from are listed, with go.sum's digests and NOTICE's licences.
func TestModules(t *testing.T) {
	info, err := debug.ParseBuildInfo(built)
	if err != nil {
		t.Fatal(err)
	}
	all, err := linkedModules(info, []string{"github.com/x/y/v3\tv3.1.0\t/modules/y"}, []string{"Linked", "  github.com/x/y                  BSD-3-Clause, MIT         plots"})
	if err != nil {
		t.Fatal(err)
	}
	want := []component{{name: "github.com/x/y/v3", version: "v3.1.0", purl: "pkg:golang/github.com/x/y/v3@v3.1.0", sha256: strings.Repeat("0", 64),
		licence: "BSD-3-Clause AND MIT", dir: "/modules/y"}}
	if !slices.Equal(all, want) {
		t.Errorf("modules\n%+v\nwant\n%+v", all, want)
	}
	all, err = linkedModules(info, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := all[0].check(); err == nil || !strings.Contains(err.Error(), "github.com/x/y/v3 v3.1.0: no licence is known") {
		t.Errorf("a module that NOTICE lacks: %v", err)
	}
}

// NOTICE of this project has a licence for each module that it names.
func TestNoticeIsRead(t *testing.T) {
	of := noticeLicences(readLines("../../NOTICE"))
	for name, want := range map[string]string{"github.com/klauspost/compress": "BSD-3-Clause AND Apache-2.0 AND MIT", "github.com/golang/freetype": "FTL", "golang.org/x/sys": "BSD-3-Clause",
		"git.sr.ht/~sbinet/gg": "MIT", "github.com/KimMachineGun/automemlimit": "MIT", "codeberg.org/go-fonts/liberation": "BSD-3-Clause AND OFL-1.1"} {
		if of[name] != want {
			t.Errorf("%s: %q, want %q", name, of[name], want)
		}
	}
}

func TestCopyleftIsRefused(t *testing.T) {
	for licence, refused := range map[string]bool{"MIT": false, "GPL-3.0-only": true, "MIT OR GPL-2.0-only": false, "LGPL-2.1-only": true, "": true} {
		if err := (component{name: "c", version: "1", licence: licence}).check(); (err != nil) != refused {
			t.Errorf("%q: %v, refused: want %v", licence, err, refused)
		}
	}
}

// The bill has each component once, with what it is known by; texts of licences lie under the component's name, at any depth.
func TestBillAndLicences(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a/LICENSE-MIT", "mine")
	write(t, dir, "a/oniguruma/COPYING", "theirs")
	write(t, dir, "a/src/license.rs", "code")
	write(t, dir, "a/testdata/LICENSE", "no part of it")
	all := []component{{name: "a", version: "1", purl: "pkg:cargo/a@1", sha256: "ab", licence: "MIT", dir: filepath.Join(dir, "a")}, {name: "bare", version: "2", purl: "pkg:cargo/bare@2", licence: "MIT"}}
	out := filepath.Join(dir, "licences")
	if err := writeLicences(out, all); err != nil {
		t.Fatal(err)
	}
	var found []string
	err := filepath.WalkDir(out, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			text, _ := os.ReadFile(path)
			name, _ := filepath.Rel(out, path)
			found = append(found, filepath.ToSlash(name)+": "+strings.TrimSpace(string(text)))
		}
		return err
	})
	if want := []string{"cargo/a@1/LICENSE-MIT: mine", "cargo/a@1/oniguruma/COPYING: theirs", "cargo/bare@2/LICENSE: bare 2 comes without a licence text; its manifest says: MIT"}; err != nil || !slices.Equal(found, want) {
		t.Errorf("texts %q, %v; want %q", found, err, want)
	}
	text, err := json.Marshal(bill("v1", "cd", all))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"metadata":{"component":{"type":"application","bom-ref":"dpo-ort","name":"dpo-ort","version":"v1","hashes":[{"alg":"SHA-256","content":"cd"}],` +
		`"licenses":[{"expression":"Apache-2.0"}]}},"components":[{"type":"library","bom-ref":"pkg:cargo/a@1","name":"a","version":"1","hashes":[{"alg":"SHA-256","content":"ab"}],"licenses":[{"expression":"MIT"}],"purl":"pkg:cargo/a@1"},` +
		`{"type":"library","bom-ref":"pkg:cargo/bare@2","name":"bare","version":"2","licenses":[{"expression":"MIT"}],"purl":"pkg:cargo/bare@2"}],"dependencies":[{"ref":"dpo-ort","dependsOn":["pkg:cargo/a@1","pkg:cargo/bare@2"]}]}`
	if string(text) != want {
		t.Errorf("the bill is\n%s\nwant\n%s", text, want)
	}
}
