package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/dpo-ort/dpo-ort/internal/plainjson"
)

// page is where a person finds the repository.
func (c *Client) page(r Ref) string {
	if r.Dataset {
		return c.Endpoint + "/datasets/" + r.Repo
	}
	return c.Endpoint + "/" + r.Repo
}

// commit is a repository as it is at one commit.
type commit struct {
	store
	ref   Ref
	hash  string
	files map[string]file
	part  bool // only those files are known that another program has put into the cache
}

// onceOnline says what helps where nothing may be fetched.
const onceOnline = "nothing may be fetched offline: run once without --offline and HF_HUB_OFFLINE"

// find gives the commit that a reference means. One that is named by its hash is not asked for again; nor is any where the client is offline.
func (c *Client) find(ctx context.Context, r Ref, p *progress) (*commit, error) {
	at := &commit{store: c.store(r), ref: r}
	switch {
	case commitRule.MatchString(r.Revision):
		at.hash = r.Revision
	case c.Offline:
		at.hash = at.store.ref(r.Revision)
	}
	if at.hash != "" {
		at.files = at.tree(at.hash)
	}
	switch {
	case at.files != nil:
		return at, nil
	case !c.Offline:
		return at, c.list(ctx, at, p)
	case at.hash != "":
		at.files, at.part = at.linked(at.hash), true
	}
	if len(at.files) == 0 {
		return nil, fmt.Errorf("it is not in the cache %s; %s", c.Cache, onceOnline)
	}
	return at, nil
}

// listed is what the hub's interface says of a repository at a revision.
type listed struct {
	SHA      string `json:"sha"`
	Siblings []struct {
		Name   string `json:"rfilename"`
		Size   *int64 `json:"size"`
		BlobID string `json:"blobId"`
		LFS    *struct {
			SHA256 string `json:"sha256"`
			Size   int64  `json:"size"`
		} `json:"lfs"`
	} `json:"siblings"`
}

// list asks the hub for a commit's hash and files, and keeps both.
func (c *Client) list(ctx context.Context, at *commit, p *progress) error {
	r := at.ref
	address := fmt.Sprintf("%s/api/%s/%s/revision/%s?blobs=true", c.Endpoint, r.kind(), r.Repo, url.PathEscape(r.Revision))
	var text []byte
	err := c.retry(ctx, p, func() (bool, error) {
		a, err := c.get(ctx, address, nil)
		if err != nil {
			return false, err
		}
		defer a.Body.Close()
		if a.StatusCode != http.StatusOK {
			return false, c.refused(r, "its list of files", a)
		}
		text, err = io.ReadAll(io.LimitReader(a.Body, listBytes+1))
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = &again{err: errors.New("the list of files ends in the middle")}
		}
		return false, err
	})
	if err != nil {
		return err
	}
	var l listed
	if len(text) > listBytes {
		err = fmt.Errorf("its list of files is longer than %d MiB", listBytes>>20)
	} else if err = plainjson.Unmarshal(text, &l); err == nil {
		err = at.take(l)
	}
	if err != nil {
		return fmt.Errorf("what the hub says of it cannot be used: %w; is HF_ENDPOINT (%s) a hub?", err, c.Endpoint)
	}
	kept, err := json.Marshal(tree{treeVersion, at.files})
	if err == nil {
		err = write(at.path("trees", at.hash+".json"), kept)
	}
	if err == nil {
		err = at.keepRef(r.Revision, at.hash)
	}
	return err
}

// take checks what the hub says.
func (at *commit) take(l listed) error {
	if !commitRule.MatchString(l.SHA) {
		return fmt.Errorf("its commit %.60q is none", l.SHA)
	}
	if at.hash != "" && l.SHA != at.hash {
		return fmt.Errorf("its commit is %s, asked for was %s", l.SHA, at.hash)
	}
	at.hash, at.files = l.SHA, make(map[string]file, len(l.Siblings))
	for _, s := range l.Siblings {
		f := file{BlobID: s.BlobID}
		if s.LFS != nil {
			f.LFSSHA256, f.LFSSize = s.LFS.SHA256, s.LFS.Size
		}
		if s.Size == nil {
			return fmt.Errorf("it lists %.200q without a size", s.Name)
		}
		f.Size = *s.Size
		if err := f.check(s.Name); err != nil {
			return err
		}
		if _, twice := at.files[s.Name]; twice {
			return fmt.Errorf("it lists %s twice", s.Name)
		}
		at.files[s.Name] = f
	}
	return nil
}
