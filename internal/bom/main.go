// Command bom writes what a built program is made of: a bill of materials as CycloneDX JSON, and a folder with the licence texts of all of it.
//
//	go run ./internal/bom -program PROGRAM -version VERSION ... (scripts/dist has all of it)
//
// Go modules are those that the program says it was linked from, with the digests of go.sum; FILE of -modules lists where each lies, by
// go list -m -f '{{.Path}}{{"\t"}}{{.Version}}{{"\t"}}{{.Dir}}' all, and NOTICE has their licences. Rust crates are those that the crate
// tokenizers-ffi links, by cargo metadata; their digests are the lock's. What has no licence that it knows of is an error.
package main

import (
	"cmp"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bom:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	f := flag.NewFlagSet("bom", flag.ContinueOnError)
	var (
		program  = f.String("program", "", "the built program")
		version  = f.String("version", "", "its version")
		library  = f.String("library", "", "ONNX Runtime's library, as it is packed beside it")
		folders  = f.String("modules", "", "where Go modules lie")
		crates   = f.String("crates", "", "cargo metadata's JSON")
		lock     = f.String("lock", "", "Cargo.lock")
		notice   = f.String("notice", "", "NOTICE")
		out      = f.String("out", "", "CycloneDX JSON to write")
		licences = f.String("licences", "", "folder of licence texts to write")
		texts    = f.String("library-licences", "", "folder with those of ONNX Runtime")
		rustc    = f.String("rustc", "", "version of the Rust compiler")
		goroot   = f.String("goroot", "", "folder of the Go that built it")
	)
	if err := f.Parse(args); err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(*program)
	if err != nil {
		return fmt.Errorf("read what the program is linked from: %w", err)
	}
	linked, err1 := linkedModules(info, readLines(*folders), readLines(*notice))
	rust, err2 := linkedCrates(*crates, *lock)
	runtime, err3 := runtimeLibrary(*library, *texts)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	std := component{name: "std", version: strings.TrimPrefix(info.GoVersion, "go"), purl: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go"), licence: "BSD-3-Clause", dir: *goroot, top: true}
	rustStd := component{name: "rust-std", version: *rustc, purl: "pkg:generic/rust-std@" + *rustc, licence: "MIT OR Apache-2.0"}
	all := slices.Concat([]component{runtime, std, rustStd}, linked, rust)
	slices.SortFunc(all, func(a, b component) int { return cmp.Compare(a.purl, b.purl) })
	for _, c := range all {
		if err := c.check(); err != nil {
			return err
		}
	}
	digest, err := fileDigest(*program)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(bill(*version, digest, all), "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(*out, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return writeLicences(*licences, all)
}

// readLines reads a file of a few lines; one that is not there has none, which shows in what is missing.
func readLines(path string) []string {
	text, _ := os.ReadFile(path)
	return strings.Split(string(text), "\n")
}

// licenceFile tells the names that licence texts have.
func licenceFile(name string) bool {
	upper := strings.ToUpper(name)
	return !slices.Contains([]string{".GO", ".RS", ".PY", ".C", ".H"}, filepath.Ext(upper)) && slices.ContainsFunc([]string{"LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE", "PATENTS", "THIRDPARTYNOTICES"},
		func(prefix string) bool { return strings.HasPrefix(upper, prefix) })
}

// writeLicences copies each component's licence texts, those of what it holds of others too, and says where there is none what its manifest says.
func writeLicences(folder string, all []component) error {
	for _, c := range all {
		place := filepath.Join(folder, c.folder())
		found, err := c.licenceTexts()
		if err != nil {
			return fmt.Errorf("look for the licence of %s: %w", c.name, err)
		}
		if len(found) == 0 {
			says := fmt.Sprintf("%s %s comes without a licence text; its manifest says: %s\n", c.name, c.version, c.licence)
			found = map[string][]byte{"LICENSE": []byte(says)}
		}
		for name, text := range found {
			to := filepath.Join(place, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, text, 0o644)); err != nil {
				return err
			}
		}
	}
	return nil
}

// licenceTexts finds a component's licence texts by their paths.
func (c component) licenceTexts() (map[string][]byte, error) {
	found := map[string][]byte{}
	if c.dir == "" {
		return found, nil
	}
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != c.dir && (c.top || slices.Contains([]string{"testdata", "target", ".git"}, d.Name())):
			return fs.SkipDir
		case !d.Type().IsRegular() || !licenceFile(d.Name()):
			return nil
		}
		name, err := filepath.Rel(c.dir, path)
		if err == nil {
			found[name], err = os.ReadFile(path)
		}
		return err
	})
	return found, err
}
