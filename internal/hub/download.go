package hub

import (
	"context"
	"crypto/sha1" // Git's, which the hub has for files outside LFS
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

var sha256Rule = regexp.MustCompile(`^[0-9a-f]{64}$`)

// download fetches a blob that is not there. Whoever else fetches the same one waits, and then has it.
func (c *Client) download(ctx context.Context, at *commit, name string, p *progress) (err error) {
	f := at.files[name]
	if err := safefile.MkdirAll(filepath.Dir(at.blob(f)), 0o755); err != nil {
		return err
	}
	lock, err := waitForLock(ctx, at.lock(f))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if at.has(f) {
		return p.came(f.size())
	}
	d := &blob{c: c, at: at, name: name, file: f, part: at.blob(f) + ".incomplete", progress: p}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.open(); err != nil {
		return err
	}
	if err := d.whole(ctx); err != nil {
		return err
	}
	if _, err := d.out.Sync(); err != nil {
		return err
	}
	return safefile.Rename(d.part, at.blob(f))
}

// waitForLock takes a lock once whoever has it is done.
func waitForLock(ctx context.Context, path string) (*safefile.Lock, error) {
	if err := safefile.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	for {
		l, err := safefile.TakeLock(path)
		if !errors.Is(err, safefile.ErrLocked) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// blob is a file on its way.
type blob struct {
	c         *Client
	at        *commit
	name      string
	file      file
	part      string // where it grows
	out       *safefile.Appended
	validator string // what the server that sends it calls this very content
	told      int64
	most      int64 // that was ever there: what is sent anew again and again brings nothing
	progress  *progress
}

// open goes on after what an earlier download has left.
func (d *blob) open() (err error) {
	if info, err := os.Stat(d.part); err == nil && info.Size() > d.file.size() {
		if err := safefile.Remove(d.part); err != nil {
			return err
		}
	}
	if d.out, err = safefile.Append(d.part, d.file.size()); err != nil {
		return err
	}
	d.most = d.out.Len()
	return d.count()
}

func (d *blob) close() error {
	if d.out == nil {
		return nil
	}
	return d.out.Close()
}

// count tells how far it is.
func (d *blob) count() error {
	n := d.out.Len() - d.told
	d.told = d.out.Len()
	return d.progress.came(n)
}

// restart throws away what has come.
func (d *blob) restart() error {
	if err := d.out.Close(); err != nil {
		return err
	}
	d.out = nil
	err := safefile.Remove(d.part)
	if err == nil {
		d.out, err = safefile.Append(d.part, 0)
	}
	if err != nil {
		return err
	}
	d.validator = ""
	return d.count()
}

// whole fetches what is missing and checks all. What was left by an earlier process may be damaged: then it is fetched anew, once.
func (d *blob) whole(ctx context.Context) error {
	resumed := d.out.Len() > 0
	for {
		err := d.c.retry(ctx, d.progress, func() (bool, error) { return d.more(ctx) })
		if err != nil {
			return err
		}
		if err = d.check(); err == nil {
			return nil
		}
		if again := d.restart(); again != nil || !resumed {
			return errors.Join(err, again)
		}
		resumed = false
	}
}

// more asks for what is missing, and tells whether there is more of the file than ever.
func (d *blob) more(ctx context.Context) (progress bool, err error) {
	err = d.ask(ctx)
	if d.out != nil && d.out.Len() > d.most {
		d.most, progress = d.out.Len(), true
	}
	return progress, err
}

func (d *blob) ask(ctx context.Context) error {
	from, size := d.out.Len(), d.file.size()
	if from == size {
		return nil
	}
	header := http.Header{}
	if from > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", from))
		if d.validator != "" {
			header.Set("If-Range", d.validator)
		}
	}
	a, err := d.c.get(ctx, d.address(), header)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	switch {
	case a.StatusCode == http.StatusRequestedRangeNotSatisfiable && from > 0:
		return errors.Join(d.restart(), &again{err: fmt.Errorf("%s: %s cannot go on after %d bytes", d.name, a.host, from)})
	case a.StatusCode == http.StatusOK && from > 0: // it is sent anew
		if err := d.restart(); err != nil {
			return err
		}
	case a.StatusCode == http.StatusPartialContent && a.Header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", from, size-1, size):
		return fmt.Errorf("%s: %s sends %.80q of it, asked for was the rest from %d of %d bytes: is a proxy in between?", d.name, a.host, a.Header.Get("Content-Range"), from, size)
	case a.StatusCode != http.StatusOK && a.StatusCode != http.StatusPartialContent:
		return d.c.refused(d.at.ref, d.name, a)
	}
	if err := d.promised(a); err != nil {
		return err
	}
	if tag := a.Header.Get("ETag"); strings.HasPrefix(tag, `"`) { // a weak one is none of these bytes
		d.validator = tag
	}
	return d.copy(a)
}

func (d *blob) address() string {
	parts := strings.Split(d.name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return fmt.Sprintf("%s/resolve/%s/%s", d.c.page(d.at.ref), d.at.hash, strings.Join(parts, "/"))
}

// promised refuses an answer that says by its header that it is another file.
func (d *blob) promised(a *answer) error {
	if is := a.first.Get("X-Repo-Commit"); is != "" && is != d.at.hash {
		return fmt.Errorf("%s: the hub sends it from commit %.60q, asked for was %s", d.name, is, d.at.hash)
	}
	if is := strings.Trim(a.first.Get("X-Linked-Etag"), `"`); is != "" && is != d.file.digest() {
		return fmt.Errorf("%s: the hub says now that its digest is %.80q, in its list of files it was %s", d.name, is, d.file.digest())
	}
	if n, want := a.ContentLength, d.file.size()-d.out.Len(); n >= 0 && n != want {
		return fmt.Errorf("%s: %s sends %d bytes, in the list of files they were %d: is a proxy in between?", d.name, a.host, n, want)
	}
	return nil
}

// copy takes what comes, up to the size that the file has.
func (d *blob) copy(a *answer) error {
	buf := make([]byte, 1<<18)
	for {
		n, err := a.Body.Read(buf)
		if d.out.Len()+int64(n) > d.file.size() {
			return errors.Join(fmt.Errorf("%s: %s sends more than the %d bytes that it has", d.name, a.host, d.file.size()), d.restart())
		}
		if n > 0 {
			if _, err := d.out.Write(buf[:n]); err != nil {
				return fmt.Errorf("write %s: %w", d.part, err)
			}
			if err := d.count(); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF && d.out.Len() == d.file.size():
			return nil
		case err == io.EOF:
			return &again{err: fmt.Errorf("%s: %s ended after %d of %d bytes", d.name, a.host, d.out.Len(), d.file.size())}
		case err != nil:
			var more *again
			if errors.As(err, &more) {
				err = &again{err: fmt.Errorf("%s, after %d of %d bytes: %w", d.name, d.out.Len(), d.file.size(), more.err)}
			}
			return err
		}
	}
}

// check compares what the disk has with the digest: SHA-256 of the content, or Git's SHA-1 of a header and the content.
func (d *blob) check() error {
	in, err := os.Open(d.part)
	if err != nil {
		return err
	}
	defer in.Close()
	h := sha256.New()
	if d.file.LFSSHA256 == "" {
		h = sha1.New()
		fmt.Fprintf(h, "blob %d\x00", d.file.size())
	}
	if _, err := io.Copy(h, in); err != nil {
		return err
	}
	if is := hex.EncodeToString(h.Sum(nil)); is != d.file.digest() {
		return fmt.Errorf("%s: its digest is %s, in the list of files it was %s: it was damaged on its way, or is not what the hub has; it was thrown away: try again, and if that fails look for a proxy", d.name, is, d.file.digest())
	}
	return nil
}
