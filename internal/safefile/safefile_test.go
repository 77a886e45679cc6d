package safefile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// folder lists what a folder holds.
func folder(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestNothingShowsBeforeCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Write(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "old" {
		t.Errorf("before Commit the file holds %q", text)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := f.Abort(); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v (%v)", info.Mode(), err)
	}
	if text, _ := os.ReadFile(path); string(text) != "new" {
		t.Errorf("after Commit the file holds %q", text)
	}
	if names := folder(t, filepath.Dir(path)); len(names) != 1 {
		t.Errorf("the folder holds %v", names)
	}
}

func TestAbortLeavesTheOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Write(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Abort(); err != nil {
			t.Fatal(err)
		}
	}
	if text, _ := os.ReadFile(path); string(text) != "old" || len(folder(t, filepath.Dir(path))) != 1 {
		t.Errorf("after Abort the file holds %q, its folder %v", text, folder(t, filepath.Dir(path)))
	}
}

// A place that cannot be taken, such as a folder's, leaves nothing behind.
func TestFailedCommitLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("new")); err == nil {
		t.Error("a folder was replaced")
	}
	if names := folder(t, dir); len(names) != 1 {
		t.Errorf("the folder holds %v", names)
	}
	if err := Write(filepath.Join(dir, "nowhere", "file"), nil); err == nil {
		t.Error("a file was written into a folder that does not exist")
	}
}

// A folder goes whole, and what a killed process left of one that went, too.
func TestRemoveAll(t *testing.T) {
	dir := t.TempDir()
	gone := filepath.Join(dir, "gone")
	for range 2 {
		if err := MkdirAll(filepath.Join(gone, "a", "b"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := MkdirAll(filepath.Join(dir, ".gone.tmp", "left"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := RemoveAll(gone); err != nil || len(folder(t, dir)) != 0 {
			t.Errorf("the folder holds %v (%v)", folder(t, dir), err)
		}
	}
	if err := RemoveAll(gone); err != nil {
		t.Errorf("nothing to remove: %v", err)
	}
}

func TestSweepLeavesFilesOfOthersAlone(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".model.safetensors.12.tmp", ".hidden", "kept.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := Sweep(dir); err != nil || len(folder(t, dir)) != 2 {
		t.Errorf("the folder holds %v (%v)", folder(t, dir), err)
	}
}

// Changes are seen before and after they are made, and can be made to fail.
func TestIntercept(t *testing.T) {
	seen := &seer{}
	restore := Intercept(seen)
	path := filepath.Join(t.TempDir(), "file")
	if err := Write(path, []byte("text")); err != nil {
		t.Fatal(err)
	}
	want := []Op{OpCreate, OpWrite, OpSync, OpRename, OpSyncDir}
	if !slices.Equal(seen.before, want) || !slices.Equal(seen.after, want) {
		t.Errorf("seen %v and %v, want %v", seen.before, seen.after, want)
	}
	seen.fail = OpWrite
	if err := Write(path, []byte("other")); !errors.Is(err, errSeen) {
		t.Errorf("error %v", err)
	}
	restore()
	if text, _ := os.ReadFile(path); string(text) != "text" || len(folder(t, filepath.Dir(path))) != 1 {
		t.Errorf("after a failed write the file holds %q, its folder %v", text, folder(t, filepath.Dir(path)))
	}
}

var errSeen = errors.New("seen")

type seer struct {
	before, after []Op
	fail          Op
}

func (s *seer) Before(c Call) (int, error) {
	s.before = append(s.before, c.Op)
	if c.Op == s.fail {
		return 2, errSeen
	}
	return 0, nil
}

func (s *seer) After(c Call) { s.after = append(s.after, c.Op) }

func TestAppendCutsWhatComesLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lines")
	write := func(length int64, text, want string) {
		t.Helper()
		a, err := Append(path, length)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if n, err := a.Sync(); err != nil || n != int64(len(want)) || a.Close() != nil {
			t.Fatalf("length %d (%v), want %d", n, err, len(want))
		}
		if got, _ := os.ReadFile(path); string(got) != want {
			t.Errorf("the file holds %q, want %q", got, want)
		}
	}
	write(0, "one two", "one two")
	write(4, "three", "one three")
	write(100, " four", "one three four")
}

// A lock is of one at a time, tells who holds it, and outlives nobody.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for range 2 {
		l, err := TakeLock(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := TakeLock(path); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
			t.Errorf("taken twice: %v", err)
		}
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
		if names := folder(t, filepath.Dir(path)); len(names) != 0 {
			t.Errorf("after its release the folder holds %v", names)
		}
	}
	l, err := TakeLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, err := TakeLock(path) // as after the folder was removed and made again
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := TakeLock(path); !errors.Is(err, ErrLocked) {
		t.Errorf("the release of one lock gave up another: %v", err)
	}
	if err := other.Release(); err != nil {
		t.Fatal(err)
	}
}
