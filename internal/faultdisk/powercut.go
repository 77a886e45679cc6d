package faultdisk

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// Left is what a disk may hold after a power cut, beside what was synced.
type Left int

// What may be left.
const (
	Killed Left = iota // everything: the process was killed, not the machine
	Cut                // nothing: only files, and names in folders, that were synced
	Names              // the names, but not the data of files
	Torn               // everything, but of the last write one half
	Mixed              // of each name and each file's data, one or the other, by chance
)

// All lists them.
var All = []Left{Killed, Cut, Names, Torn, Mixed}

func (l Left) String() string { return []string{"killed", "cut", "names", "torn", "mixed"}[l] }

// node is a file or a folder, as the program sees it and as it is on the disk.
type node struct {
	folder       bool
	data, synced []byte
	names, safe  map[string]*node
}

// Cut writes into the empty folder dir what is left of the root after the first n changes.
func (d *Disk) Cut(n int, left Left, seed uint64, dir string) error {
	root := &node{folder: true, names: map[string]*node{}, safe: map[string]*node{}}
	for i, c := range d.journal[:n] {
		if i == n-1 && left == Torn && c.Op == safefile.OpWrite {
			c.Data = c.Data[:len(c.Data)/2]
		}
		d.replay(root, c)
	}
	return root.write(dir, left, rand.New(rand.NewPCG(seed, uint64(n))))
}

// replay makes a change.
func (d *Disk) replay(root *node, c safefile.Call) {
	parent, base := d.find(root, c.Path)
	of := parent.names[base]
	switch c.Op {
	case safefile.OpCreate:
		parent.names[base] = &node{}
	case safefile.OpMkdir:
		parent.names[base] = &node{folder: true, names: map[string]*node{}, safe: map[string]*node{}}
	case safefile.OpWrite:
		of.data = append(of.data[:c.At:c.At], c.Data...)
	case safefile.OpTruncate:
		of.data = of.data[:c.At]
	case safefile.OpSync:
		of.synced = bytes.Clone(of.data)
	case safefile.OpRename:
		delete(parent.names, base)
		to, name := d.find(root, c.To)
		to.names[name] = of
	case safefile.OpLink:
		to, name := d.find(root, c.To)
		parent.names[base] = to.names[name]
	case safefile.OpRemove:
		delete(parent.names, base)
	case safefile.OpSyncDir:
		if c.Path == d.root {
			of = root
		}
		of.safe = maps.Clone(of.names)
	}
}

// find gives the folder of a path, and its name there.
func (d *Disk) find(root *node, path string) (*node, string) {
	name, _ := d.name(path)
	parts := strings.Split(filepath.ToSlash(name), "/")
	for _, part := range parts[:len(parts)-1] {
		root = root.names[part]
	}
	return root, parts[len(parts)-1]
}

// write writes what is left of a folder.
func (n *node) write(dir string, left Left, random *rand.Rand) error {
	all := maps.Clone(n.safe)
	maps.Copy(all, n.names)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		of := n.names[name]
		if left == Cut || left == Mixed && random.IntN(2) == 0 {
			of = n.safe[name]
		}
		if of == nil {
			continue
		}
		path := filepath.Join(dir, name)
		if of.folder {
			if err := os.Mkdir(path, 0o755); err != nil {
				return err
			}
			if err := of.write(path, left, random); err != nil {
				return err
			}
			continue
		}
		data := of.data
		if left == Cut || left == Names || left == Mixed && random.IntN(2) == 0 {
			data = of.synced
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
