package report

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// WritePlots writes each plot into a folder, which is made, as SVG and as PNG of 1067 pixels' width, in the light theme. It gives
// the names of the files: "loss.svg" and "loss.png" for the loss. Files of these names are replaced.
func WritePlots(dir string, r Report) (files []string, err error) {
	frontier, learnt, machine, err := r.figures()
	if err != nil {
		return nil, err
	}
	if err := safefile.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("folder of plots: %w", err)
	}
	for _, f := range slices.Concat(frontier, learnt, machine) {
		var png bytes.Buffer
		svg, err := f.onDisk()
		if err == nil {
			err = f.png(&png)
		}
		if err != nil {
			return nil, fmt.Errorf("drawing %s: %w", f.title, err)
		}
		for name, text := range map[string][]byte{f.id + ".svg": svg, f.id + ".png": png.Bytes()} {
			if err := safefile.Write(filepath.Join(dir, name), text); err != nil {
				return nil, err
			}
			files = append(files, name)
		}
	}
	slices.Sort(files)
	return files, nil
}
