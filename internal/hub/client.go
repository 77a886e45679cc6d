// Package hub fetches models and data sets from the Hugging Face hub into a cache, and gives their paths there:
//
//	c, err := hub.New(os.Getenv)
//	r, err := hub.Parse("hf://datasets/OWNER/NAME@main/data/train-*.parquet")
//	for e, err := range c.Fetch(ctx, r, true) {
//		// e.Done of e.Total bytes; the last event has the paths
//	}
//
// The cache is Python's: what huggingface_hub has fetched is not fetched again, and the other way round. A model comes as safetensors, tokenizer and
// configuration alone; nothing is fetched that can hold code.
//
// What a server says is not trusted: names, digests and sizes are checked, and a file has its name once its content has its digest. A download
// that breaks off goes on where it was, within a run and in the next. A commit that is named by its hash and was fetched is not asked for
// again. The token is sent to the endpoint's own host, and shown to nobody.
//
// Environment: HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH, HF_HUB_DISABLE_IMPLICIT_TOKEN, HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, HF_HUB_OFFLINE.
package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Endpoint is the hub that is asked where HF_ENDPOINT names no other.
const Endpoint = "https://huggingface.co"

// Client fetches from one hub into one cache.
type Client struct {
	Endpoint string        // without a slash at its end
	Cache    string        // folder of all repositories
	Offline  bool          // ask nobody, and take what is in the cache
	Stall    time.Duration // that a server may send nothing
	Backoff  time.Duration // before the second try; it doubles from try to try
	Attempts int           // tries in a row that may bring nothing; of a host that cannot be reached at all, two are enough

	token string
	http  *http.Client
}

// New makes a client as the environment says.
func New(getenv func(string) string) (*Client, error) {
	c := &Client{Endpoint: strings.TrimRight(cmp.Or(getenv("HF_ENDPOINT"), Endpoint), "/"), Offline: isSet(getenv("HF_HUB_OFFLINE")),
		Stall: 30 * time.Second, Backoff: time.Second, Attempts: 6}
	home, err := homeOf(getenv)
	if err != nil {
		return nil, err
	}
	c.Cache = cmp.Or(getenv("HF_HUB_CACHE"), filepath.Join(home, "hub"))
	if c.token, err = tokenOf(getenv, home); err != nil {
		return nil, err
	}
	at, err := url.Parse(c.Endpoint)
	if err != nil || at.Scheme != "https" && at.Scheme != "http" || at.Host == "" || at.User != nil || at.RawQuery != "" {
		return nil, fmt.Errorf("HF_ENDPOINT is no address of a hub: it is to be as %s, without a name or a query", Endpoint)
	}
	if at.Scheme == "http" && c.token != "" && !loopback(at.Hostname()) {
		return nil, fmt.Errorf("HF_ENDPOINT is %s, over which a token would go unencrypted: take https, or unset HF_TOKEN and set HF_HUB_DISABLE_IMPLICIT_TOKEN=1", c.Endpoint)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true
	c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

func isSet(v string) bool {
	return slices.Contains([]string{"1", "on", "yes", "true"}, strings.ToLower(v))
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// homeOf is the folder of all that belongs to the hub.
func homeOf(getenv func(string) string) (string, error) {
	if home := getenv("HF_HOME"); home != "" {
		return home, nil
	}
	if cache := getenv("XDG_CACHE_HOME"); cache != "" {
		return filepath.Join(cache, "huggingface"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the hub's cache: %w: set HF_HOME", err)
	}
	return filepath.Join(home, ".cache", "huggingface"), nil
}

// tokenOf is the token that HF_TOKEN holds, or the file that HF_TOKEN_PATH names, or that Python's login left. Errors do not show it.
func tokenOf(getenv func(string) string, home string) (string, error) {
	token, from := getenv("HF_TOKEN"), "HF_TOKEN"
	if token == "" && !isSet(getenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
		file := getenv("HF_TOKEN_PATH")
		text, err := os.ReadFile(cmp.Or(file, filepath.Join(home, "token")))
		if err != nil && (file != "" || !errors.Is(err, os.ErrNotExist)) {
			return "", fmt.Errorf("read the token: %w: mend HF_TOKEN_PATH, or unset it", err)
		}
		token, from = string(text), "the token file"
	}
	token = strings.TrimSpace(token)
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", fmt.Errorf("%s holds no token: it has spaces, or letters that a token does not have", from)
	}
	return token, nil
}

// Event is how far a fetch has come.
type Event struct {
	File        string   // that bytes came for
	Done, Total int64    // bytes of all files that are not in the cache
	Commit      string   // what the revision stands for
	Paths       []string // of the last event: a model's folder, or the files of data
	Pinned      []Ref    // what each of these is, at that commit

	Failed error         // why a try brought nothing
	Wait   time.Duration // before the next
}

// progress is how far a fetch has come, and who is told.
type progress struct {
	Event
	of    Ref
	yield func(Event) bool
}

// came tells of bytes that have come, or of fewer than none where what had come was thrown away.
func (p *progress) came(bytes int64) error {
	if p.Done += bytes; !p.yield(p.Event) {
		return errLoopEnded
	}
	return nil
}

// failed tells of a try that another follows.
func (p *progress) failed(err error, wait time.Duration) error {
	e := p.Event
	if e.Failed, e.Wait = fmt.Errorf("%s: %w", p.of, err), wait; !p.yield(e) {
		return errLoopEnded
	}
	return nil
}

// errLoopEnded is of a loop over events that ended before the last.
var errLoopEnded = errors.New("the loop ended")

// Fetch brings what a reference names into the cache; of a model without its weights, if only its tokenizer and configuration are
// wanted. An error is the last. A loop that ends before leaves what has come, for the next.
func (c *Client) Fetch(ctx context.Context, r Ref, weights bool) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		err := c.fetch(ctx, r, weights, &progress{of: r, yield: func(e Event) bool { return yield(e, nil) }})
		if err == nil || errors.Is(err, errLoopEnded) {
			return
		}
		if errors.Is(err, errTries) && c.caches(ctx, r, weights) {
			err = fmt.Errorf("%w; the cache has it as it was fetched last: take that with --offline", err)
		}
		yield(Event{}, fmt.Errorf("%s: %w", r, err))
	}
}

// caches tells whether all of a reference is there without asking anybody.
func (c *Client) caches(ctx context.Context, r Ref, weights bool) bool {
	offline := *c
	offline.Offline = true
	return offline.fetch(ctx, r, weights, &progress{yield: func(Event) bool { return true }}) == nil
}

func (c *Client) fetch(ctx context.Context, r Ref, weights bool, p *progress) error {
	at, err := c.find(ctx, r, p)
	if err != nil {
		return err
	}
	names, err := at.choose(weights)
	if err != nil {
		return err
	}
	if at.part {
		return at.done(names, p)
	}
	p.Commit = at.hash
	var missing []string
	for _, name := range names {
		if f := at.files[name]; !at.has(f) {
			missing = append(missing, name)
			p.Total += f.size()
		}
	}
	if missing != nil && c.Offline {
		return fmt.Errorf("%s of commit %s is not in the cache %s; %s", some(missing), at.hash, c.Cache, onceOnline)
	}
	for _, name := range missing {
		p.File = name
		if err := c.download(ctx, at, name, p); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := at.link(at.hash, name, at.files[name]); err != nil {
			return err
		}
	}
	p.File = ""
	return at.done(names, p)
}

// choose gives the files that the reference names. Where only a part of the files is known, nobody can say what a glob would match, so data is to be named
// file by file.
func (at *commit) choose(weights bool) (names []string, err error) {
	if _, there := at.files[at.ref.Path]; at.part && at.ref.Dataset && !there {
		return nil, fmt.Errorf("the cache has no list of the files of commit %s: name one of those there (%s); %s", at.hash, some(slices.Sorted(maps.Keys(at.files))), onceOnline)
	}
	if at.ref.Dataset {
		names, err = chooseData(at.files, at.ref.Path)
	} else {
		names, err = chooseModel(at.files, weights)
	}
	if err != nil && at.part {
		err = fmt.Errorf("the cache has a part of it alone: %w; %s", err, onceOnline)
	}
	return names, err
}

// done tells where the files lie: of a model, the folder.
func (at *commit) done(names []string, p *progress) error {
	if !at.ref.Dataset {
		names = []string{""}
	}
	p.Commit = at.hash
	for _, name := range names {
		p.Paths = append(p.Paths, at.snapshot(at.hash, name))
		p.Pinned = append(p.Pinned, Ref{at.ref.Dataset, at.ref.Repo, at.hash, name})
	}
	return p.came(0)
}
