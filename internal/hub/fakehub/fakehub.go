// Package fakehub is a Hugging Face hub on this machine, for tests: a server that lists and sends files, and a second one, another host, to which
// it sends on for what lies in Git LFS. Serve stands before both, and may drop, stall and lie.
package fakehub

import (
	"crypto/sha1" // Git's
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Hub is the two servers. Set its fields before requests come.
type Hub struct {
	URL, CDN string // addresses of the hub, and of the host that has the files in LFS
	Token    string // without which nothing is sent; "" asks for none
	// Serve may answer a request itself, and says whether it did.
	Serve func(w http.ResponseWriter, r *http.Request) bool

	mu    sync.Mutex
	repos map[string]*repo // by kind and name
	seen  []Request
}

// Request is one that came.
type Request struct{ Host, Path, Token, Range, IfRange string }

type repo struct {
	refs    map[string]string            // commits, by revision
	commits map[string]map[string][]byte // files, by commit
}

// New starts a hub, which ends with the test.
func New(t testing.TB) *Hub {
	h := &Hub{repos: map[string]*repo{}}
	start := func(serve http.HandlerFunc) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.mu.Lock()
			h.seen = append(h.seen, Request{"http://" + r.Host, r.URL.Path, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), r.Header.Get("Range"), r.Header.Get("If-Range")})
			h.mu.Unlock()
			if h.Serve == nil || !h.Serve(w, r) {
				serve(w, r)
			}
		}))
		t.Cleanup(func() {
			s.CloseClientConnections()
			s.Close()
		})
		return s.URL
	}
	h.URL, h.CDN = start(h.hub), start(h.cdn)
	return h
}

// Add puts files into a repository, such as models/OWNER/NAME, at a revision, and gives the commit.
func (h *Hub) Add(name, revision string, files map[string]string) (commit string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.repos[name]
	if r == nil {
		r = &repo{map[string]string{}, map[string]map[string][]byte{}}
		h.repos[name] = r
	}
	sum := sha1.New()
	content := map[string][]byte{}
	for _, file := range sorted(files) {
		fmt.Fprintf(sum, "%s %d %s", file, len(files[file]), files[file])
		content[file] = []byte(files[file])
	}
	commit = hex.EncodeToString(sum.Sum(nil))
	r.refs[revision], r.commits[commit] = commit, content
	return commit
}

// Seen gives the requests so far, and forgets them.
func (h *Hub) Seen() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := h.seen
	h.seen = nil
	return seen
}

// LFS tells whether a file lies in Git LFS.
func LFS(name string) bool {
	return strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".parquet")
}

// SHA256 is the digest of a file in LFS.
func SHA256(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }

// BlobID is Git's digest of a file.
func BlobID(content []byte) string {
	return fmt.Sprintf("%x", sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(content)), content...)))
}

// hub answers /api/KIND/OWNER/NAME/revision/REVISION and [/datasets]/OWNER/NAME/resolve/COMMIT/FILE.
func (h *Hub) hub(w http.ResponseWriter, r *http.Request) {
	if h.Token != "" && r.Header.Get("Authorization") != "Bearer "+h.Token {
		http.Error(w, "", http.StatusUnauthorized)
		return
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if parts[0] == "api" && len(parts) > 5 {
		h.list(w, strings.Join(parts[1:4], "/"), strings.Join(parts[5:], "/"))
		return
	}
	if parts[0] != "datasets" {
		parts = append([]string{"models"}, parts...)
	}
	if len(parts) < 6 || parts[3] != "resolve" {
		http.NotFound(w, r)
		return
	}
	name, commit, file := strings.Join(parts[:3], "/"), parts[4], strings.Join(parts[5:], "/")
	content, ok := h.file(name, commit, file)
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("X-Repo-Commit", commit)
	if LFS(file) {
		w.Header().Set("X-Linked-Etag", `"`+SHA256(content)+`"`)
		w.Header().Set("Location", h.CDN+"/"+name+"/"+commit+"/"+file+"?Signature=secret")
		w.WriteHeader(http.StatusFound)
		return
	}
	w.Header().Set("ETag", `"`+BlobID(content)+`"`)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(content)))
}

// cdn answers /KIND/OWNER/NAME/COMMIT/FILE.
func (h *Hub) cdn(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	content, ok := h.file(strings.Join(parts[:min(3, len(parts))], "/"), parts[min(3, len(parts)-1)], strings.Join(parts[min(4, len(parts)):], "/"))
	if !ok || r.URL.Query().Get("Signature") != "secret" {
		http.Error(w, "", http.StatusForbidden)
		return
	}
	w.Header().Set("ETag", `"cdn-`+SHA256(content)[:8]+`"`)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(content)))
}

func (h *Hub) file(name, commit, file string) ([]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.repos[name] == nil {
		return nil, false
	}
	content, ok := h.repos[name].commits[commit][file]
	return content, ok
}

func (h *Hub) list(w http.ResponseWriter, name, revision string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.repos[name]
	if r == nil {
		http.Error(w, "", http.StatusNotFound)
		return
	}
	commit := r.refs[revision]
	if r.commits[revision] != nil {
		commit = revision
	}
	if commit == "" {
		http.Error(w, "", http.StatusNotFound)
		return
	}
	var files []map[string]any
	for _, file := range sorted(r.commits[commit]) {
		content := r.commits[commit][file]
		of := map[string]any{"rfilename": file, "size": len(content), "blobId": BlobID(content)}
		if LFS(file) {
			of["lfs"] = map[string]any{"sha256": SHA256(content), "size": len(content), "pointerSize": 130}
		}
		files = append(files, of)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"id": name, "sha": commit, "siblings": files})
}

func sorted[T any](m map[string]T) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
