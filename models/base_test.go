package models

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// basedOn is an adapter of tiny-llama that calls its base by a name, at a revision.
func basedOn(t *testing.T, name, revision string) string {
	t.Helper()
	dir := newAdapter(t, plain)
	text, err := os.ReadFile(filepath.Join(dir, adapterConfigName))
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseConfig(adapterConfigName, text)
	if err == nil {
		err = c.write(filepath.Join(dir, adapterConfigName), map[string]any{baseKey: name, "revision": revision})
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// A base that is called by a name on a hub is missing until somebody says where it lies: that name at that revision, and no other.
func TestBasesByName(t *testing.T) {
	home := golden.Testdata(t, "models", "tiny-llama")
	for _, c := range []struct{ name, revision, at, fetch string }{
		{"own/base", "", "main", "fetch it from the hub once (dpo-ort doctor --model hf://own/base), or set"},
		{"own/base", "v1", "v1", "fetch it from the hub once (dpo-ort doctor --model hf://own/base@v1), or set"},
		{"own/base", "feature/x", "feature/x", "fetch it from the hub once (dpo-ort doctor --model hf://own/base@feature%2Fx), or set"},
		{"./own", "", "main", `its base "./own" is no model's folder here: set`},
		{"home/own/base", "", "main", `its base "home/own/base" is no model's folder here: set`},
	} {
		dir := basedOn(t, c.name, c.revision)
		if name, at := MissingBase(dir); name != c.name || at != c.at {
			t.Errorf("%+v: missing is %q at %q", c, name, at)
		}
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), c.fetch) {
			t.Errorf("%+v: %v", c, err)
		}
		SetBase(c.name, c.at, home)
		m, err := Open(dir)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if name, _ := MissingBase(dir); name != "" || m.Base != home {
			t.Errorf("%+v: missing %q, the base is %s", c, name, m.Base)
		}
		m.Close()
		bases.Clear()
	}
	if name, _ := MissingBase(newAdapter(t, plain)); name != "" {
		t.Errorf("a base in a folder is missing: %q", name)
	}
	if name, _ := MissingBase(home); name != "" {
		t.Errorf("a model that is no adapter misses %q", name)
	}
}
