package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Bounds of what a server can make a client do.
const (
	redirects  = 5                // of one request
	listBytes  = 64 << 20         // of a list of files
	longestAsk = 60 * time.Second // that a server may ask to wait before the next try
	unreached  = 2                // tries in a row of a host that is not known, or takes no connection
)

// again is an error after which another try may do better.
type again struct {
	err   error
	after time.Duration // that the server asks to wait
	most  int           // of tries in a row, where fewer than c.Attempts tell enough
}

func (e *again) Error() string { return e.err.Error() }
func (e *again) Unwrap() error { return e.err }

// answer is a response, and the header of the hub's own, which may have sent on to another host.
type answer struct {
	*http.Response
	first http.Header
	host  string // that the body comes from
}

// get asks for a page, over a few redirects. The token goes to the hub's own host alone. An answer comes within c.Stall, and its
// body in pieces that are no further apart.
func (c *Client) get(ctx context.Context, address string, header http.Header) (*answer, error) {
	at, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	home, first := *at, http.Header(nil)
	for range redirects + 1 {
		resp, err := c.once(ctx, at, sameHost(at, &home), header)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = resp.Header
		}
		if resp.StatusCode < 300 || resp.StatusCode > 399 || resp.Header.Get("Location") == "" {
			return &answer{resp, first, at.Host}, nil
		}
		resp.Body.Close()
		to, err := at.Parse(resp.Header.Get("Location"))
		if err != nil || to.Scheme != "https" && (to.Scheme != "http" || at.Scheme != "http") {
			return nil, fmt.Errorf("%s sends on to an address that is not followed: it is none, or leaves https", at.Host)
		}
		at = to
	}
	return nil, fmt.Errorf("%s sends on more than %d times", home.Host, redirects)
}

func sameHost(a, b *url.URL) bool { return a.Scheme == b.Scheme && a.Host == b.Host }

// once is one request.
func (c *Client) once(ctx context.Context, at *url.URL, home bool, header http.Header) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stalled := fmt.Errorf("%s sent nothing for %s", at.Host, c.Stall)
	watch := time.AfterFunc(c.Stall, func() { cancel(stalled) })
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: it has no address that can be asked", at.Host)
	}
	maps.Copy(req.Header, header)
	req.Header.Set("User-Agent", "dpo-ort")
	req.Header.Set("Accept-Encoding", "identity") // bytes are counted, and gone on with
	if home && c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	watch.Stop()
	if err != nil {
		defer cancel(nil)
		return nil, c.broken(ctx, at.Host, err)
	}
	resp.Body = &watched{resp.Body, ctx, cancel, watch, c, at.Host}
	return resp, nil
}

// broken says what became of a connection. The addresses that net/http puts into errors may hold what grants access, so they are left out.
func (c *Client) broken(ctx context.Context, host string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
			return cause
		}
		return &again{err: cause}
	}
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	more := &again{err: fmt.Errorf("connection to %s: %w", host, err)}
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect") {
		more.most = unreached
	}
	return more
}

// watched is a body whose pieces may be c.Stall apart at most.
type watched struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	watch  *time.Timer
	c      *Client
	host   string
}

func (w *watched) Read(p []byte) (int, error) {
	w.watch.Reset(w.c.Stall)
	n, err := w.ReadCloser.Read(p)
	w.watch.Stop() // what is done with it may take longer
	if err != nil && err != io.EOF {
		err = w.c.broken(w.ctx, w.host, err)
	}
	return n, err
}

func (w *watched) Close() error {
	w.watch.Stop()
	defer w.cancel(nil)
	return w.ReadCloser.Close()
}

// retry tries until it is done, fails for good, or c.Attempts in a row have brought nothing. try tells whether one has brought something.
func (c *Client) retry(ctx context.Context, p *progress, try func() (came bool, err error)) error {
	for failed := 0; ; {
		came, err := try()
		var more *again
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.As(err, &more) {
			return err
		}
		if failed++; came {
			failed = 1
		}
		if failed >= min(c.Attempts, cmp.Or(more.most, c.Attempts)) {
			return fmt.Errorf("%w (%d %w; what is there is kept, and the same command goes on from it)", more.err, failed, errTries)
		}
		wait := c.Backoff << (failed - 1)
		wait = max(wait/2+rand.N(wait/2+1), more.after) // apart from others who were told the same
		if err := p.failed(more.err, wait); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// errTries is of a hub that was asked again and again.
var errTries = errors.New("tries in a row brought nothing")

// refused is the error of an answer that is not what was asked for; what names it in words.
func (c *Client) refused(r Ref, what string, a *answer) error {
	code := a.StatusCode
	head := fmt.Sprintf("the hub answers %d for %s", code, what)
	switch {
	case code == http.StatusUnauthorized && c.token == "":
		return fmt.Errorf("%s: it is not there, or is private or gated: check the name, or set HF_TOKEN to a token of an account that may read it", head)
	case code == http.StatusUnauthorized:
		return fmt.Errorf("%s: the token of HF_TOKEN, or of the token file, is not known there, or what it asks for is not there: make a new one at %s/settings/tokens", head, c.Endpoint)
	case code == http.StatusForbidden:
		return fmt.Errorf("%s: this account may not read it: accept its terms at %s, or set HF_TOKEN to a token with the right to read it", head, c.page(r))
	case code == http.StatusNotFound:
		return fmt.Errorf("%s: there is no such repository, revision or file: look at %s, and check the @revision and the path", head, c.page(r))
	case code == http.StatusTooManyRequests:
		after := askedToWait(a.Header)
		if after > longestAsk {
			return fmt.Errorf("%s: too many requests; it asks to come again in %s: wait, or set HF_TOKEN, whose limit is higher", head, after)
		}
		return &again{err: fmt.Errorf("%s: too many requests: wait, or set HF_TOKEN, whose limit is higher", head), after: after}
	case code >= 500 || code == http.StatusRequestTimeout:
		return &again{err: fmt.Errorf("%s: it has a fault of its own: try later, or another HF_ENDPOINT", head), after: min(askedToWait(a.Header), longestAsk)}
	}
	return fmt.Errorf("%s, which is not known here: is HF_ENDPOINT (%s) a hub?", head, c.Endpoint)
}

// askedToWait is what Retry-After says, in seconds.
func askedToWait(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 1<<20)) * time.Second
}
