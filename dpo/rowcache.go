package dpo

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// The cache of token ids is a folder of entries KEY.tokens, KEY being the SHA-256 of all that decides about the rows. It never
// fails a run: what cannot be read is tokenized again, what cannot be written is not kept.

// tokensFormat is part of each key: it counts the changes of rowcodec.go, and of how text becomes ids.
const tokensFormat = 6

// unusedFor is how long an entry may lie unused before one that is written removes it.
const unusedFor = 30 * 24 * time.Hour

// entryName matches entries, and what a killed process left of one that it wrote.
var entryName = regexp.MustCompile(`^(?:[0-9a-f]{64}\.tokens|\.[0-9a-f]{64}\.tokens\..*\.tmp)$`)

// tokensKey is what decides about rows. The names of the files do not: an entry refers to files by their place in the list.
type tokensKey struct {
	Format              int
	Tokenizer, Template string
	Vocabulary          int
	MaxLength           int
	MaxPromptLength     int
	KeepStart           bool
	EOS                 datasets.EOSPolicy
	Ties                datasets.TiePolicy
	AllowEqual          bool
	First               bool                `json:",omitempty"`
	Turns               datasets.TurnPolicy `json:",omitempty"`
	Columns             map[string]string
	Files               []string // extension, which chooses the format, and SHA-256
}

// entry is the place of rows in the cache; its path is "" where there is none.
type entry struct {
	path       string
	key        tokensKey
	sum        [sha256.Size]byte // of the key
	files      []string
	vocabulary int
}

// newEntry digests the files. Without a folder, or a tokenizer that knows its digest, or where the files cannot be read twice, the
// entry is nowhere.
func newEntry(folder string, files []string, o datasets.Options, enc *datasets.Encoder, vocabulary int) entry {
	e := entry{files: files, vocabulary: vocabulary}
	tok, ok := enc.Tokenizer.(digester)
	if folder == "" || !ok {
		return e
	}
	e.key = tokensKey{Format: tokensFormat, Vocabulary: vocabulary, MaxLength: enc.MaxLength, MaxPromptLength: enc.MaxPromptLength,
		KeepStart: enc.KeepStart, EOS: enc.EOS, Ties: enc.Ties, AllowEqual: enc.AllowEqual, First: enc.First, Turns: enc.Turns, Columns: o.Columns}
	if e.key.Tokenizer, e.key.Template = tok.Digests(); e.key.Tokenizer == "" {
		return e
	}
	var err error
	if e.key.Files, err = fileDigests(files); err != nil {
		return e // reading them says what is wrong
	}
	text, err := json.Marshal(e.key)
	if err != nil {
		return e
	}
	e.sum = sha256.Sum256(text)
	e.path = filepath.Join(folder, hex.EncodeToString(e.sum[:])+".tokens")
	return e
}

func fileDigests(files []string) (all []string, err error) {
	for _, file := range files {
		sum, err := fileDigest(file)
		if err != nil {
			return nil, err
		}
		all = append(all, strings.ToLower(filepath.Ext(file))+" "+sum)
	}
	return all, nil
}

func fileDigest(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("no regular file: it can be read once only")
	}
	sum, err := fileSum(file)
	return hex.EncodeToString(sum), err
}

// load gives the rows of the entry; nil if there is none, or it is damaged.
func (e entry) load() *Rows {
	if e.path == "" {
		return nil
	}
	f, err := os.Open(e.path)
	if err != nil {
		return nil
	}
	defer f.Close()
	rows, err := e.read(f)
	if err != nil {
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(e.path, now, now) // used; a folder that we may only read is fine
	return rows
}

// read checks the whole of a file before it decodes any of it, and decodes it as a stream.
func (e entry) read(f io.ReadSeeker) (*Rows, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	body := size - sha256.Size
	if body < 0 {
		return nil, errDamaged
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	h := sha256.New()
	if _, err := io.CopyN(h, f, body); err != nil {
		return nil, err
	}
	var sum [sha256.Size]byte
	if _, err := io.ReadFull(f, sum[:]); err != nil {
		return nil, err
	}
	if sum != [sha256.Size]byte(h.Sum(nil)) {
		return nil, errDamaged
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return e.decode(bufio.NewReaderSize(io.LimitReader(f, body), 1<<16), body)
}

// store keeps the rows, and removes entries that have not been used for long. The files are digested again, for they may
// have been written to while they were read.
func (e entry) store(rows *Rows) {
	if e.path == "" {
		return
	}
	now, err := fileDigests(e.files)
	if err != nil || strings.Join(now, "\n") != strings.Join(e.key.Files, "\n") {
		return
	}
	folder := filepath.Dir(e.path)
	if err := safefile.MkdirAll(folder, 0o700); err != nil { // what is in it can be turned back into the text
		return
	}
	removeUnused(folder, time.Now().Add(-unusedFor))
	_ = e.write(rows) // the next run tokenizes again
}

func (e entry) write(rows *Rows) (err error) {
	f, err := safefile.Create(e.path)
	if err != nil {
		return fmt.Errorf("keep token ids: %w", err)
	}
	defer func() { err = errors.Join(err, f.Abort()) }()
	h := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(f, h), 1<<16)
	if err := e.encode(w, rows); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if _, err := f.Write(h.Sum(nil)); err != nil {
		return err
	}
	return f.Commit()
}

// removeUnused removes the entries of a folder that were last used before a time, and nothing else.
func removeUnused(folder string, before time.Time) {
	list, err := os.ReadDir(folder)
	if err != nil {
		return
	}
	for _, d := range list {
		info, err := d.Info()
		if err == nil && info.Mode().IsRegular() && entryName.MatchString(d.Name()) && info.ModTime().Before(before) {
			_ = safefile.Remove(filepath.Join(folder, d.Name())) // another run may have been faster
		}
	}
}
