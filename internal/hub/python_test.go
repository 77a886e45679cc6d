package hub_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/internal/hub/fakehub"
)

// Python's huggingface_hub finds in the cache what we have fetched, and says of a snapshot that lacks the other files that it does.
func TestPythonFindsWhatWeFetched(t *testing.T) {
	python := golden.Peers(t)
	h := fakehub.New(t)
	h.Add("models/own/tiny", "main", model)
	c := client(t, h, nil)
	dir := fetched(t, c, "hf://own/tiny")[0]
	const script = `
from huggingface_hub import snapshot_download, scan_cache_dir
print(snapshot_download("own/tiny", local_files_only=True, allow_patterns=["config.json", "tokenizer.json", "model.safetensors"]))
try:
    snapshot_download("own/tiny", local_files_only=True)
except Exception as e:
    print(type(e).__name__)
found = scan_cache_dir()
print([r.repo_id for r in found.repos], [sorted(v.refs) for r in found.repos for v in r.revisions], found.warnings)
`
	cmd := exec.CommandContext(t.Context(), python, "-c", script)
	cmd.Env = append(os.Environ(), "HF_ENDPOINT="+h.URL, "HF_HOME="+filepath.Dir(c.Cache), "HF_HUB_CACHE="+c.Cache, "HF_HUB_OFFLINE=1")
	out, err := cmd.Output()
	want := dir + "\nIncompleteSnapshotError\n['own/tiny'] [['main']] []\n"
	if got := strings.ReplaceAll(string(out), "\r", ""); err != nil || got != want {
		t.Errorf("%v: Python says\n%s\nwant\n%s", err, got, want)
	}
}
