// Package faultdisk is a disk that fails, for tests: it stands between a program and the real one (see [safefile.Intercept]), keeps a
// journal of all changes below a folder, fails one of them, and tells what a power cut at any moment would have left.
//
//	d := faultdisk.New(root)
//	restore := safefile.Intercept(d)
//	... run ...
//	restore()
//	for n := range d.Len() {
//		err := d.Cut(n, faultdisk.Names, seed, elsewhere)
//		... run again on what is there ...
//	}
package faultdisk

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// Fault is how a change fails.
type Fault struct {
	Err   error
	Short bool // of a write, half of it is made first
	Stays bool // so do all changes but removals that follow, as on a disk that is full
}

// Disk is the journal of a folder, and what is to fail.
type Disk struct {
	root  string
	fail  string // the change's key; "" for none
	fault Fault

	mu      sync.Mutex
	asked   map[string]int
	keys    []string
	journal []safefile.Call
	failed  bool
}

// New is the disk below a folder, which is empty.
func New(root string) *Disk { return &Disk{root: root, asked: map[string]int{}} }

// Fail has the change of that key fail: one of another run's [Disk.Keys].
func (d *Disk) Fail(key string, f Fault) *Disk {
	d.fail, d.fault = key, f
	return d
}

// temporary matches what makes the names of temporary files differ from run to run.
var temporary = regexp.MustCompile(`\.\d+\.tmp$`)

// Before implements [safefile.Interceptor].
func (d *Disk) Before(c safefile.Call) (int, error) {
	name, ok := d.name(c.Path)
	if !ok {
		return 0, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	kind := fmt.Sprintf("%s %s", c.Op, temporary.ReplaceAllString(name, ".tmp"))
	d.asked[kind]++
	key := fmt.Sprintf("%s %d", kind, d.asked[kind])
	d.keys = append(d.keys, key)
	goesOn := d.failed && d.fault.Stays && c.Op != safefile.OpRemove
	if key != d.fail && !goesOn {
		return 0, nil
	}
	d.failed = true
	if d.fault.Short {
		return len(c.Data) / 2, d.fault.Err
	}
	return 0, d.fault.Err
}

// After implements [safefile.Interceptor].
func (d *Disk) After(c safefile.Call) {
	if _, ok := d.name(c.Path); !ok {
		return
	}
	c.Data = bytes.Clone(c.Data)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.journal = append(d.journal, c)
}

// name is a path from the root.
func (d *Disk) name(path string) (string, bool) {
	name, err := filepath.Rel(d.root, path)
	return name, err == nil && name != ".." && !strings.HasPrefix(name, ".."+string(filepath.Separator))
}

// Keys name the changes that were asked for, in their order. Equal runs have equal keys.
func (d *Disk) Keys() []string { return d.keys }

// Failed reports whether the fault was met.
func (d *Disk) Failed() bool { return d.failed }

// Len is how many changes were made.
func (d *Disk) Len() int { return len(d.journal) }

// Change describes a change, from 0.
func (d *Disk) Change(i int) string {
	c := d.journal[i]
	name, _ := d.name(c.Path)
	return fmt.Sprintf("%s %s", c.Op, name)
}
