package models

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// baseName is what an adapter calls its base: a folder, or a name on a hub and the revision there, "" for main.
type baseName struct {
	Name     string `json:"base_model_name_or_path"`
	Revision string `json:"revision"`
}

// bases are the folders of bases that have no folder's name.
var bases sync.Map // by baseName

// SetBase says in which folder the base lies that adapters call by a name on a hub, such as OWNER/NAME, at a revision.
func SetBase(name, revision, dir string) { bases.Store(baseName{name, revision}, dir) }

// MissingBase is what the adapter in a folder calls its base, and the revision, "main" where it names none, if that is no model's folder and [SetBase] was
// not told of it; name is "" for all other folders, broken ones too: those [Open] refuses.
func MissingBase(dir string) (name, revision string) {
	text, err := os.ReadFile(filepath.Join(dir, adapterConfigName))
	var of baseName
	if err != nil || json.Unmarshal(text, &of) != nil || of.folder(dir) != "" {
		return "", ""
	}
	return of.Name, cmp.Or(of.Revision, "main")
}

// folder is that of the base of the adapter in dir: a path, one from the adapter's folder, or what SetBase was told; "" where there is none of these.
func (of baseName) folder(dir string) string {
	if of.Name == "" {
		return ""
	}
	for _, path := range []string{of.Name, filepath.Join(dir, of.Name)} {
		if _, err := os.Stat(filepath.Join(path, configName)); err == nil {
			return path
		}
	}
	if path, ok := bases.Load(baseName{of.Name, cmp.Or(of.Revision, "main")}); ok {
		return path.(string)
	}
	return ""
}

// hubName is OWNER/NAME.
var hubName = regexp.MustCompile(`^\w[\w-]*/\w[\w.-]*$`)

// fetch says how a base that may lie on the hub comes into its cache, where the next command finds it.
func (of baseName) fetch() string {
	if !hubName.MatchString(of.Name) {
		return ""
	}
	at := ""
	if of.Revision != "" {
		at = "@" + strings.ReplaceAll(of.Revision, "/", "%2F") // or it would be a path
	}
	return fmt.Sprintf("fetch it from the hub once (dpo-ort doctor --model hf://%s%s), or ", of.Name, at)
}
