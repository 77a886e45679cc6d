// Package hostile makes malformed files, each with a name that says what is wrong with it: what a program that reads strangers' files must
// refuse, saying which file, where in it, and why.
//
// Formats are a table: each has a file of this package, which registers it. [Cases] gives all files of all formats, always the same; [Case.Write]
// puts one into a folder. The expected errors are lines of cmd/dpo-ort/testdata/hostile.golden, which its test compares.
package hostile

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// A Case is one malformed file, or a folder of files that are wrong together.
type Case struct {
	Format string            // as it was registered
	Name   string            // what is wrong
	Files  map[string][]byte // by their paths in the case's folder
	Links  map[string]string // symbolic links: where they lie, and where they lead
}

// formatCases makes the cases of a format.
type formatCases struct {
	name  string
	cases func() []Case
}

var formats []formatCases

// register adds a format. Its file calls it once, from init.
func register(name string, cases func() []Case) { formats = append(formats, formatCases{name, cases}) }

// Formats lists the names of all formats, sorted.
func Formats() []string {
	var names []string
	for _, f := range formats {
		names = append(names, f.name)
	}
	slices.Sort(names)
	return names
}

// Cases gives all cases, by format and name. Two of one name are an error of this package, and panic.
func Cases() []Case {
	var all []Case
	seen := map[string]bool{}
	for _, f := range formats {
		for _, c := range f.cases() {
			c.Format = f.name
			if seen[c.Path()] {
				panic("hostile: two cases " + c.Path())
			}
			seen[c.Path()] = true
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b Case) int { return bytes.Compare([]byte(a.Path()), []byte(b.Path())) })
	return all
}

// Path is the case's folder, below that of all.
func (c Case) Path() string { return c.Format + "/" + c.Name }

// Size is how many bytes its files have.
func (c Case) Size() int64 {
	n := int64(0)
	for _, data := range c.Files {
		n += int64(len(data))
	}
	return n
}

// Write puts the case's files into root/format/name, and returns that folder.
func (c Case) Write(root string) (dir string, err error) {
	dir = filepath.Join(root, c.Format, c.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("write hostile files: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Files)) {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, c.Files[name], 0o644)
		}
		if err != nil {
			return "", fmt.Errorf("write hostile files: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Links)) {
		if err := os.Symlink(c.Links[name], filepath.Join(dir, name)); err != nil && !os.IsExist(err) {
			return "", fmt.Errorf("write hostile files: %w", err)
		}
	}
	return dir, nil
}

// list collects cases of a format whose folders hold one file of interest, and others that are as they should be.
type list struct {
	file   string
	beside map[string][]byte
	cases  []Case
}

// add adds a case with this content of the file.
func (l *list) add(name string, content []byte) { l.with(name, content, nil) }

// text is add of a text.
func (l *list) text(name, content string) { l.add(name, []byte(content)) }

// with adds a case with further files.
func (l *list) with(name string, content []byte, more map[string][]byte) {
	files := maps.Clone(l.beside)
	if files == nil {
		files = map[string][]byte{}
	}
	files[l.file] = content
	maps.Copy(files, more)
	l.cases = append(l.cases, Case{Name: name, Files: files})
}

// cuts adds what is left of a whole file that was cut at some places.
func (l *list) cuts(whole []byte, at ...int) {
	for _, n := range at {
		if n < 0 {
			n += len(whole)
		}
		l.add(fmt.Sprintf("cut at byte %d of %d", n, len(whole)), whole[:n:n])
	}
}

// deep nests opening and closing text around something.
func deep(open, inner, end string, n int) string {
	return string(bytes.Repeat([]byte(open), n)) + inner + string(bytes.Repeat([]byte(end), n))
}
