package dpo

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dpo-ort/dpo-ort/internal/plainjson"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// What a run or a job has come to is kept in sealed files: a JSON document, and behind it a line with its SHA-256, so that a file in
// which any bit has changed is told from one that is whole.
//
//	{"step":40, … }
//	{"sha256":"8f43…"}

// writeSealed writes a value as a sealed file.
func writeSealed(path string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return safefile.Write(path, sealed(append(text, '\n')))
}

// sealed adds the seal to what ends with a line.
func sealed(text []byte) []byte {
	return append(text, seal(text)...)
}

func seal(text []byte) []byte {
	return fmt.Appendf(nil, "{\"sha256\":\"%x\"}\n", sha256.Sum256(text))
}

// sealLength is that of any seal.
var sealLength = len(seal(nil))

// errDamaged is in the chain of an error about a file that is not what was written.
var errDamaged = errors.New("damaged, or of another program")

// readSealed reads what writeSealed wrote. A file that is there, but is not that, is [errDamaged].
func readSealed(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	body := text[:max(0, len(text)-sealLength)]
	if !bytes.Equal(text[len(body):], seal(body)) {
		return fmt.Errorf("%s is %w: its SHA-256 is not the one in its last line", filepath.Base(path), errDamaged)
	}
	err = plainjson.Check(body)
	if err == nil {
		err = readStrictly(body, into)
	}
	if err != nil {
		return fmt.Errorf("%s is %w: %w", filepath.Base(path), errDamaged, err)
	}
	return nil
}
