package hub

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/plainjson"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// A store is the part of the cache for one repository, laid out as Python's huggingface_hub has it, so that both use each other's files:
//
//	blobs/DIGEST              a file's content, by the SHA-256 that Git LFS has, or Git's SHA-1; DIGEST.incomplete is a part of one
//	snapshots/COMMIT/PATH     a link to its blob
//	refs/REVISION             the commit that a branch or tag stood for when it was asked for last
//	trees/COMMIT.json         the list of all files of a commit
//	../.locks/REPO/DIGEST.lock    the right to write a blob
type store struct{ cache, name string }

func (c *Client) store(r Ref) store {
	return store{c.Cache, r.kind() + "--" + strings.ReplaceAll(r.Repo, "/", "--")}
}

func (s store) path(parts ...string) string {
	return filepath.Join(append([]string{s.cache, s.name}, parts...)...)
}

func (s store) blob(f file) string { return s.path("blobs", f.digest()) }

func (s store) lock(f file) string {
	return filepath.Join(s.cache, ".locks", s.name, f.digest()+".lock")
}

func (s store) snapshot(commit, name string) string {
	return s.path("snapshots", commit, filepath.FromSlash(name))
}

// ref is the commit that a revision stood for when it was asked for last; "" where it never was.
func (s store) ref(revision string) string {
	text, err := os.ReadFile(s.path("refs", filepath.FromSlash(revision)))
	commit := strings.TrimSpace(string(text))
	if err != nil || !commitRule.MatchString(commit) {
		return ""
	}
	return commit
}

// keepRef writes down what a revision stands for.
func (s store) keepRef(revision, commit string) error {
	if revision == commit || s.ref(revision) == commit {
		return nil
	}
	return write(s.path("refs", filepath.FromSlash(revision)), []byte(commit))
}

// tree is the list of a commit's files as it is kept.
type tree struct {
	Version int             `json:"format_version"`
	Files   map[string]file `json:"files"`
}

const treeVersion = 1

// tree reads the list of a commit's files; nil where there is none that can be read.
func (s store) tree(commit string) map[string]file {
	text, err := os.ReadFile(s.path("trees", commit+".json"))
	var t tree
	if err != nil || plainjson.Unmarshal(text, &t) != nil || t.Version != treeVersion {
		return nil
	}
	for name, f := range t.Files {
		if f.check(name) != nil {
			return nil
		}
	}
	return t.Files
}

// has tells whether a blob is there, whole.
func (s store) has(f file) bool {
	info, err := os.Stat(s.blob(f))
	return err == nil && info.Mode().IsRegular() && info.Size() == f.size()
}

// link gives a file of a commit its name.
func (s store) link(commit, name string, f file) error {
	at := s.snapshot(commit, name)
	if a, err := os.Stat(at); err == nil {
		if b, err := os.Stat(s.blob(f)); err == nil && os.SameFile(a, b) {
			return nil
		}
	}
	if err := safefile.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	return safefile.Link(s.blob(f), at)
}

// linked lists the files of a commit that have names, by these. Whether those are all, nobody knows.
func (s store) linked(commit string) map[string]file {
	root, files := s.path("snapshots", commit), map[string]file{}
	_ = filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := os.Stat(at); err == nil && info.Mode().IsRegular() {
			if name, err := filepath.Rel(root, at); err == nil {
				files[filepath.ToSlash(name)] = file{}
			}
		}
		return nil
	})
	return files
}

// write replaces a file, in a folder that it makes.
func write(path string, text []byte) error {
	if err := safefile.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return safefile.Write(path, text)
}

// A file is what is known of one file of a commit, under the names that Python's cache has for it.
type file struct {
	Size      int64  `json:"size"`
	BlobID    string `json:"blob_id"`              // Git's SHA-1
	LFSSHA256 string `json:"lfs_sha256,omitempty"` // of a file in Git LFS; "" for others
	LFSSize   int64  `json:"lfs_size,omitempty"`
}

// digest is the name of the file's blob.
func (f file) digest() string {
	if f.LFSSHA256 != "" {
		return f.LFSSHA256
	}
	return f.BlobID
}

func (f file) size() int64 {
	if f.LFSSHA256 != "" {
		return f.LFSSize
	}
	return f.Size
}

// check refuses what a list may not say of a file.
func (f file) check(name string) error {
	switch {
	case !plainPath(name):
		return fmt.Errorf("it lists the file %.200q, whose name leaves the folder", name)
	case !commitRule.MatchString(f.BlobID), f.LFSSHA256 != "" && !sha256Rule.MatchString(f.LFSSHA256):
		return fmt.Errorf("it lists %s with a digest that is none", name)
	case f.Size < 0, f.LFSSize < 0:
		return fmt.Errorf("it lists %s with a size below 0", name)
	}
	return nil
}
