package hub_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/hub/fakehub"
)

// A hub that lies about what it sends is not believed, and nothing of it gets a name.
func TestLies(t *testing.T) {
	content := func(text string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
	}
	for name, c := range map[string]struct {
		serve func(w http.ResponseWriter, r *http.Request)
		want  string
	}{
		"other bytes": {content(strings.ToUpper(weights)), "model.safetensors: its digest is "},
		"a length":    {content("short"), "sends 5 bytes, in the list of files they were 800000"},
		"more than it has": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(weights))
			w.(http.Flusher).Flush()
			_, _ = w.Write([]byte("more"))
		}, "sends more than the 800000 bytes"},
		"less than it has": {func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			_, _ = w.Write([]byte("less"))
		}, "ended after"},
		"a range that was not asked for": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 7-9/10")
			w.WriteHeader(http.StatusPartialContent)
		}, `sends "bytes 7-9/10" of it`},
		"a commit": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Repo-Commit", strings.Repeat("0", 40))
		}, `the hub sends it from commit "0000000000000000000000000000000000000000", asked for was`},
		"a digest": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Linked-Etag", `"`+strings.Repeat("0", 64)+`"`)
		}, `the hub says now that its digest is "0000`},
		"a place": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		}, "sends on to an address that is not followed"},
		"a circle": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, "sends on more than 5 times"},
	} {
		h := fakehub.New(t)
		h.Add("models/own/tiny", "main", model)
		h.Serve = func(w http.ResponseWriter, r *http.Request) bool {
			if "http://"+r.Host == h.CDN || !strings.HasSuffix(r.URL.Path, "/model.safetensors") {
				return false
			}
			c.serve(w, r)
			return true
		}
		of := client(t, h, nil)
		if _, err := fetch(t, of, "hf://own/tiny"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		for _, file := range below(t, of.Cache) {
			if strings.HasSuffix(file, fakehub.SHA256([]byte(weights))) || strings.Contains(file, "snapshots") {
				t.Errorf("%s: %s is there", name, file)
			}
		}
		h.Serve = nil
		fetched(t, of, "hf://own/tiny") // and all is well once it does not lie
	}
}

// A list of files that is none, or leads out of its folder, is refused whole.
func TestListsThatLie(t *testing.T) {
	const sha, blob = "1111111111111111111111111111111111111111", `"blobId":"2222222222222222222222222222222222222222"`
	for text, want := range map[string]string{
		`<html>`:                       "what the hub says of it cannot be used",
		`[]`:                           "where an object {...} is needed",
		`{"sha":"main","siblings":[]}`: `its commit "main" is none`,
		`{"sha":"` + sha + `","siblings":[{"rfilename":"../../x","size":1,` + blob + `}]}`:                                   `it lists the file "../../x", whose name leaves the folder`,
		`{"sha":"` + sha + `","siblings":[{"rfilename":"/etc/x","size":1,` + blob + `}]}`:                                    `it lists the file "/etc/x"`,
		`{"sha":"` + sha + `","siblings":[{"rfilename":"c:\\x","size":1,` + blob + `}]}`:                                     `whose name leaves the folder`,
		`{"sha":"` + sha + `","siblings":[{"rfilename":"x","size":1,"blobId":"../x"}]}`:                                      "it lists x with a digest that is none",
		`{"sha":"` + sha + `","siblings":[{"rfilename":"x","size":1,` + blob + `,"lfs":{"sha256":"x"}}]}`:                    "", // without a digest it is no file in LFS
		`{"sha":"` + sha + `","siblings":[{"rfilename":"x","size":-1,` + blob + `}]}`:                                        "it lists x with a size below 0",
		`{"sha":"` + sha + `","siblings":[{"rfilename":"x",` + blob + `}]}`:                                                  `it lists "x" without a size`,
		`{"sha":"` + sha + `","siblings":[{"rfilename":"x","size":1,` + blob + `},{"rfilename":"x","size":1,` + blob + `}]}`: "it lists x twice",
	} {
		if want == "" {
			want = "it lists x with a digest that is none"
		}
		h := fakehub.New(t)
		h.Serve = func(w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write([]byte(text)); return true }
		c := client(t, h, nil)
		if _, err := fetch(t, c, "hf://own/tiny"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
		if left := below(t, filepath.Dir(c.Cache)); left != nil {
			t.Errorf("%s: left %v", text, left)
		}
	}
	h := fakehub.New(t)
	h.Serve = func(w http.ResponseWriter, _ *http.Request) bool {
		fmt.Fprintf(w, `{"sha":%q,"siblings":[]}`, sha)
		return true
	}
	if _, err := fetch(t, client(t, h, nil), "hf://own/tiny@"+strings.Repeat("3", 40)); err == nil || !strings.Contains(err.Error(), "its commit is "+sha+", asked for was 3333") {
		t.Errorf("another commit: %v", err)
	}
}
