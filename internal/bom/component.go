package main

import (
	"bufio"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A component is a piece of others' work in the program.
type component struct {
	name, version, purl string
	sha256              string // hex; "" where none is known
	licence             string // an SPDX expression
	dir                 string // where its licence texts lie, at any depth; "" where there are none
	top                 bool   // only at its top
}

// folder is that of its licence texts among all.
func (c component) folder() string {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(c.purl, "pkg:"), "/")
	return filepath.Join(kind, filepath.FromSlash(rest))
}

// check refuses what may not be given away so, or is not known well enough.
func (c component) check() error {
	switch {
	case c.licence == "":
		return fmt.Errorf("%s %s: no licence is known: name it in NOTICE", c.name, c.version)
	case strings.Contains(c.licence, "GPL") && !strings.Contains(c.licence, " OR "):
		return fmt.Errorf("%s %s is under %s, which a program under Apache-2.0 may not be linked with as it is", c.name, c.version, c.licence)
	case c.version == "":
		return fmt.Errorf("%s: no version is known", c.name)
	}
	return nil
}

var noticeRow = regexp.MustCompile(`^  ([a-z][A-Za-z0-9.-]*\.[a-z]+/\S+) +(\S.*?)(?:   .*)?$`)

// noticeLicences are the licences by module, without its major version, as NOTICE lists them.
func noticeLicences(notice []string) map[string]string {
	of := map[string]string{}
	for _, line := range notice {
		if m := noticeRow.FindStringSubmatch(line); m != nil {
			of[m[1]] = strings.ReplaceAll(m[2], ", ", " AND ")
		}
	}
	return of
}

var majorVersion = regexp.MustCompile(`/v\d+$`)

// linkedModules are the Go modules of a program.
func linkedModules(info *buildinfo.BuildInfo, folders, notice []string) ([]component, error) {
	dirs := map[string]string{}
	for _, line := range folders {
		if f := strings.Split(line, "\t"); len(f) == 3 {
			dirs[f[0]+"@"+f[1]] = f[2]
		}
	}
	licences := noticeLicences(notice)
	var all []component
	for _, m := range info.Deps {
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
		if err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("module %s: its digest is %q", m.Path, m.Sum)
		}
		all = append(all, component{name: m.Path, version: m.Version, purl: "pkg:golang/" + m.Path + "@" + m.Version, sha256: hex.EncodeToString(sum),
			licence: licences[majorVersion.ReplaceAllString(m.Path, "")], dir: dirs[m.Path+"@"+m.Version]})
	}
	if len(all) == 0 {
		return nil, errors.New("the program does not say which modules it is linked from")
	}
	return all, nil
}

// crateMetadata is what cargo metadata says, as far as it is needed.
type crateMetadata struct {
	Packages []struct {
		ID, Name, Version, License string
		Manifest                   string `json:"manifest_path"`
		Targets                    []struct{ Kind []string }
	}
	Resolve struct {
		Nodes []struct {
			ID   string
			Deps []struct {
				Package string `json:"pkg"`
				Kinds   []struct {
					Kind *string // nil: linked; build or dev otherwise
				} `json:"dep_kinds"`
			}
		}
	}
}

// linked lists the packages that a crate links, itself among them: what its build scripts, macros and tests need is none of it.
func (m crateMetadata) linked(crate string) map[string]bool {
	needs, macro := map[string][]string{}, map[string]bool{}
	var open []string
	for _, p := range m.Packages {
		macro[p.ID] = len(p.Targets) > 0 && slices.Contains(p.Targets[0].Kind, "proc-macro")
		if p.Name == crate {
			open = append(open, p.ID)
		}
	}
	for _, n := range m.Resolve.Nodes {
		for _, d := range n.Deps {
			for _, k := range d.Kinds {
				if k.Kind == nil && !macro[d.Package] {
					needs[n.ID] = append(needs[n.ID], d.Package)
				}
			}
		}
	}
	found := map[string]bool{}
	for len(open) > 0 {
		id := open[len(open)-1]
		if open = open[:len(open)-1]; !found[id] {
			found[id] = true
			open = append(open, needs[id]...)
		}
	}
	return found
}

// within are licences of what crates hold of others, beside their own.
var within = map[string]string{"onig_sys": "BSD-2-Clause"} // Oniguruma

const bindings = "tokenizers-ffi" // the crate that Go calls

// linkedCrates are the Rust crates of the tokenizers.
func linkedCrates(metadata, lock string) ([]component, error) {
	text, err := os.ReadFile(metadata)
	if err != nil {
		return nil, fmt.Errorf("read cargo's metadata: %w", err)
	}
	var m crateMetadata
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("read cargo's metadata: %w", err)
	}
	sums, err := lockDigests(lock)
	if err != nil {
		return nil, err
	}
	linked := m.linked(bindings)
	var all []component
	for _, p := range m.Packages {
		if !linked[p.ID] || p.Name == bindings { // that one is part of the Go module
			continue
		}
		sum := sums[p.Name+" "+p.Version]
		if sum == "" {
			return nil, fmt.Errorf("crate %s %s: %s has no digest of it", p.Name, p.Version, lock)
		}
		c := component{name: p.Name, version: p.Version, purl: "pkg:cargo/" + p.Name + "@" + p.Version, sha256: sum,
			licence: strings.ReplaceAll(p.License, "/", " OR "), dir: filepath.Dir(p.Manifest)}
		if also := within[p.Name]; also != "" {
			c.licence = "(" + c.licence + ") AND " + also
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("cargo's metadata has no crate that %s links", bindings)
	}
	return all, nil
}

// lockDigests reads the digests of a Cargo.lock, by "name version".
func lockDigests(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the crates' lock: %w", err)
	}
	defer f.Close()
	sums := map[string]string{}
	var name, version string
	for s := bufio.NewScanner(f); s.Scan(); {
		key, value, _ := strings.Cut(s.Text(), " = ")
		switch value = strings.Trim(value, `"`); key {
		case "name":
			name = value
		case "version":
			version = value
		case "checksum":
			sums[name+" "+version] = value
		}
	}
	return sums, nil
}

var libraryVersion = regexp.MustCompile(`\d+\.\d+\.\d+`)

// runtimeLibrary is ONNX Runtime.
func runtimeLibrary(path, texts string) (component, error) {
	digest, err := fileDigest(path)
	if err != nil {
		return component{}, err
	}
	version := libraryVersion.FindString(filepath.Base(path))
	return component{name: "onnxruntime", version: version, purl: "pkg:pypi/onnxruntime@" + version, sha256: digest, licence: "MIT", dir: texts}, nil
}

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
