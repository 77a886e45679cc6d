package hub_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/hub"
	"github.com/dpo-ort/dpo-ort/internal/hub/fakehub"
)

// nobody is an address at which connections are refused.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// tries fetches, and gives why each try but the last brought nothing, and the error at the end.
func tries(t *testing.T, c *hub.Client, text string) (failed []string, last error) {
	t.Helper()
	r, err := hub.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range c.Fetch(t.Context(), r, true) {
		if last = err; e.Failed != nil {
			failed = append(failed, e.Failed.Error())
			if e.Wait <= 0 {
				t.Errorf("%v, and no wait", e.Failed)
			}
		}
	}
	return failed, last
}

// Of a hub that cannot be reached two tries are told of, and what the cache has is offered: all of it, or nothing.
func TestUnreached(t *testing.T) {
	h := fakehub.New(t)
	h.Add("models/own/tiny", "main", model)
	home := t.TempDir()
	env := map[string]string{"HF_HOME": home}
	fetched(t, client(t, h, env), "hf://own/tiny")
	h.URL = nobody(t)
	for text, offered := range map[string]bool{"hf://own/tiny": true, "hf://own/other": false} {
		failed, err := tries(t, client(t, h, env), text)
		want := text + ": connection to " + strings.TrimPrefix(h.URL, "http://")
		if len(failed) != 1 || !strings.HasPrefix(failed[0], want) || err == nil || !strings.Contains(err.Error(), "(2 tries in a row brought nothing") {
			t.Errorf("%s: %q, then %v", text, failed, err)
		}
		if err == nil || strings.Contains(err.Error(), "take that with --offline") != offered {
			t.Errorf("%s: offline offered %v: %v", text, !offered, err)
		}
	}
}

// Of one that can be reached each try is told of.
func TestTriesAreTold(t *testing.T) {
	h := fakehub.New(t)
	h.Serve = func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "", http.StatusBadGateway)
		return true
	}
	failed, err := tries(t, client(t, h, nil), "hf://own/tiny")
	if len(failed) != 3 || !strings.Contains(failed[2], "answers 502") || err == nil || !strings.Contains(err.Error(), "(4 tries in a row brought nothing") {
		t.Errorf("%q, then %v", failed, err)
	}
}
