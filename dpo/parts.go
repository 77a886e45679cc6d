package dpo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// What a job that goes row by row has done so far lies in the folder OUT.parts until OUT is whole:
//
//	job.json           what it is computed with: a job with other settings or data does not go on from here
//	000000001024.json  the results of the rows from 1024 on, in their order; the next part begins where it ends; sealed
//	.lock              held by the process that writes
//
// A part is written whole or not at all. Where parts end has no effect on the results.
const (
	partsSuffix = ".parts"
	jobFile     = "job.json"
	folderLock  = ".lock"          // of a folder that a job writes
	partRows    = 1024             // of a part, at least
	partTime    = 10 * time.Second // after which one with fewer is written
)

// parts are the results of a job as far as it has come, a Row of data each, which JSON keeps as it is.
type parts[Row any] struct {
	dir     string
	job     []byte // what it is computed with, as JSON
	lock    *safefile.Lock
	next    int64 // the row after those in pending
	pending []Row
	since   time.Time // the last part was written
}

// openParts goes on with the parts of out, if there are any: those of another job are refused, or removed if they are to
// be replaced.
func openParts[Row, Job any](out string, j Job, replace bool) (p *parts[Row], err error) {
	p = &parts[Row]{dir: out + partsSuffix, since: time.Now()}
	if p.job, err = json.MarshalIndent(j, "", "  "); err != nil {
		return nil, fmt.Errorf("describe a job: %w", err)
	}
	text, err := os.ReadFile(p.path(jobFile))
	if errors.Is(err, fs.ErrNotExist) {
		return p, p.vacant()
	}
	if err == nil {
		p.lock, err = safefile.TakeLock(p.path(folderLock))
	}
	if err != nil {
		return nil, fmt.Errorf("go on with %s: %w", p.dir, err)
	}
	defer func(begun *parts[Row]) {
		if err != nil {
			err = errors.Join(err, begun.close())
		}
	}(p)
	var begun Job
	if err := readStrictly(text, &begun); err != nil {
		return nil, fmt.Errorf("go on with %s: %s: %w (remove the folder to begin anew)", p.dir, jobFile, err)
	}
	changed, err := differences(begun, j)
	switch {
	case err != nil:
		return nil, fmt.Errorf("go on with %s: %w", p.dir, err)
	case changed == nil:
		return p, nil
	case replace:
		return p, p.remove()
	}
	return nil, fmt.Errorf("%s holds the parts of a job with other settings or data: %s; give what it began with to go on, or --overwrite to begin anew",
		p.dir, strings.Join(changed, "; "))
}

// vacant refuses a folder that is somebody else's, since it is removed in the end.
func (p *parts[Row]) vacant() error {
	entries, err := os.ReadDir(p.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for parts: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") { // what a crash may leave of a file
			return fmt.Errorf("the folder %s is to hold parts, and it holds %s: choose another --out", p.dir, e.Name())
		}
	}
	return nil
}

func (p *parts[Row]) path(name string) string { return filepath.Join(p.dir, name) }

func partName(first int64) string { return fmt.Sprintf("%012d.json", first) }

// read gives the part that begins at a row; nil where there is none.
func (p *parts[Row]) read(first int64) ([]Row, error) {
	path := p.path(partName(first))
	var rows []Row
	err := readSealed(path, &rows)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && len(rows) == 0 {
		err = errors.New("it holds no row")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w (remove the file to have its rows computed again)", path, err)
	}
	return rows, nil
}

// add keeps the results of the rows that follow, and writes a part when it is time.
func (p *parts[Row]) add(rows []Row) error {
	p.pending = append(p.pending, rows...)
	p.next += int64(len(rows))
	if len(p.pending) < partRows && time.Since(p.since) < partTime {
		return nil
	}
	return p.commit()
}

// commit writes what is pending as a part.
func (p *parts[Row]) commit() error {
	if len(p.pending) == 0 {
		return nil
	}
	if err := p.begin(); err != nil {
		return err
	}
	if err := writeSealed(p.path(partName(p.next-int64(len(p.pending)))), p.pending); err != nil {
		return err
	}
	p.pending, p.since = nil, time.Now()
	return nil
}

// begin makes the folder, with what the job is computed with.
func (p *parts[Row]) begin() error {
	if p.lock != nil {
		return nil
	}
	err := safefile.MkdirAll(p.dir, 0o755)
	if err == nil {
		p.lock, err = safefile.TakeLock(p.path(folderLock))
	}
	if err == nil && there(p.path(jobFile)) {
		err = errors.New("another process has begun there meanwhile: give the same command again to go on with what it did")
	}
	if err != nil {
		return fmt.Errorf("write parts: %w", err)
	}
	return safefile.Write(p.path(jobFile), append(p.job, '\n'))
}

// close lets another process go on.
func (p *parts[Row]) close() error {
	if p == nil {
		return nil
	}
	err := p.lock.Release()
	p.lock = nil
	return err
}

func (p *parts[Row]) remove() error {
	if err := errors.Join(safefile.RemoveAll(p.dir), p.close()); err != nil {
		return fmt.Errorf("remove parts: %w", err)
	}
	return nil
}

// partReader gives the results of rows one by one, a part at a time.
type partReader[Row any] struct {
	parts *parts[Row]
	at    int64
	rows  []Row
}

func (r *partReader[Row]) next() (row Row, err error) {
	if len(r.rows) == 0 {
		if r.rows, err = r.parts.read(r.at); err != nil {
			return row, err
		}
		if r.rows == nil {
			return row, fmt.Errorf("read %s: no part begins at row %d (was the folder changed? give the same command again)", r.parts.dir, r.at)
		}
	}
	row = r.rows[0]
	r.rows = r.rows[1:]
	r.at++
	return row, nil
}

// dataDigest is the SHA-256 of the files' digests, in order.
func dataDigest(tables []*datasets.Table) (string, error) {
	all := sha256.New()
	for _, t := range tables {
		sum, err := fileSum(t.File)
		if err != nil {
			return "", fmt.Errorf("digest the data: %w", err)
		}
		all.Write(sum)
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// fileSum is the SHA-256 of a file.
func fileSum(path string) ([]byte, error) {
	h := sha256.New()
	err := digestFile(h, path)
	return h.Sum(nil), err
}

// digestFile adds a file to a digest.
func digestFile(h hash.Hash, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(h, f)
	return err
}
