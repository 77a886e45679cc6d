package hub

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// Scheme begins what a reference to the hub looks like.
const Scheme = "hf://"

// Ref names a model, or files of a data set, on the hub.
type Ref struct {
	Dataset  bool
	Repo     string // OWNER/NAME
	Revision string // a branch, a tag, a commit, or refs/pr/N and refs/convert/NAME; "main" where none is named
	Path     string // of a data set: a file, a folder or a glob; "" for all its data
}

// Is reports whether text is meant for a reference.
func Is(text string) bool { return strings.HasPrefix(text, Scheme) }

const written = "write hf://OWNER/NAME, or hf://datasets/OWNER/NAME, each with @REVISION if need be, and of a data set a /FILE, /FOLDER or /GLOB"

var (
	nameRule     = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}$`)
	revisionRule = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+/-]{0,199}$`)
	specialRule  = regexp.MustCompile(`^refs/(?:pr|convert)/[A-Za-z0-9_.-]+`)
	commitRule   = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// Parse reads hf://OWNER/NAME[@REVISION] or hf://datasets/OWNER/NAME[@REVISION][/PATH]. A slash in a revision is written %2F, but for
// those that begin with refs/pr or refs/convert.
func Parse(text string) (Ref, error) {
	wrong := func(why string) (Ref, error) {
		return Ref{}, fmt.Errorf("%.200q is no reference to the hub: %s; %s", text, why, written)
	}
	rest, ok := strings.CutPrefix(text, Scheme)
	if !ok {
		return wrong("it does not begin with " + Scheme)
	}
	r := Ref{Revision: "main"}
	rest, r.Dataset = strings.CutPrefix(rest, "datasets/")
	owner, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return wrong("it has no OWNER/NAME")
	}
	name, below := rest, ""
	if i := strings.IndexAny(rest, "@/"); i >= 0 {
		name, below = rest[:i], rest[i:]
	}
	if !plainName(owner) || !plainName(name) {
		return wrong("OWNER and NAME are letters, digits, '-', '_' and '.'")
	}
	if owner == "spaces" || owner == "models" {
		return wrong("there is no " + owner + "/ before a model's owner")
	}
	r.Repo = owner + "/" + name
	if after, ok := strings.CutPrefix(below, "@"); ok {
		revision := specialRule.FindString(after)
		if revision == "" {
			revision, _, _ = strings.Cut(after, "/")
		}
		below = strings.TrimPrefix(after, revision)
		var err error
		if r.Revision, err = url.PathUnescape(revision); err != nil || !plainRevision(r.Revision) {
			return wrong(fmt.Sprintf("%.50q is no revision", revision))
		}
	}
	if r.Path = strings.Trim(below, "/"); r.Path == "" {
		return r, nil
	}
	switch {
	case !r.Dataset:
		return wrong("a model is taken whole, without a path")
	case !plainPath(r.Path):
		return wrong("its path leaves the data set, or holds what a path does not")
	}
	if _, err := path.Match(r.Path, ""); err != nil {
		return wrong("its glob has a bracket without an end")
	}
	return r, nil
}

// String writes the reference as Parse reads it.
func (r Ref) String() string {
	text := Scheme
	if r.Dataset {
		text += "datasets/"
	}
	text += r.Repo
	if r.Revision != "main" {
		revision := r.Revision
		if specialRule.FindString(revision) != revision {
			revision = strings.ReplaceAll(revision, "/", "%2F")
		}
		text += "@" + revision
	}
	if r.Path != "" {
		text += "/" + r.Path
	}
	return text
}

// kind is the word for the repository in the hub's addresses and folders.
func (r Ref) kind() string {
	if r.Dataset {
		return "datasets"
	}
	return "models"
}

func plainName(name string) bool {
	return nameRule.MatchString(name) && !strings.Contains(name, "..") && !strings.Contains(name, "--")
}

func plainRevision(name string) bool {
	return revisionRule.MatchString(name) && plainPath(name)
}

// plainPath tells whether a path stays in its folder on every system, and is written in one way.
func plainPath(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' || r == ':' || r == '\uFFFD' })
}
