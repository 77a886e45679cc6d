package dpo

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// initialFolder is where, below run/, the model lies that a run made for itself to begin with.
const initialFolder = "init"

// Initial is the folder of the model that a run into Out makes for itself, where it does not begin with one that there is.
func (c Config) Initial() string { return filepath.Join(c.Out, runFolder, initialFolder) }

// WriteInitial has write make the model that a run begins with, in [Config.Initial], which Model is then to name. An output directory
// that cannot be the run's is refused first. undo removes what was written, for a run that does not begin.
func (c Config) WriteInitial(write func(dir string) error) (undo func() error, err error) {
	t := &Trainer{Config: c}
	if err := t.claim(false); err != nil {
		return nil, err
	}
	undo = func() error {
		err := safefile.RemoveAll(c.Initial())
		for _, dir := range []string{t.path(), c.Out} {
			if left, _ := os.ReadDir(dir); len(left) == 0 {
				err = errors.Join(err, safefile.RemoveAll(dir))
			}
		}
		return err
	}
	if err := safefile.RemoveAll(c.Initial()); err != nil { // of a run that was stopped before it began
		return nil, err
	}
	if err := write(c.Initial()); err != nil {
		return nil, errors.Join(err, undo())
	}
	return undo, nil
}
