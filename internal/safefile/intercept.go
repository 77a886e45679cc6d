package safefile

import "sync/atomic"

// Op is a kind of change to what a disk holds.
type Op string

// The kinds of change.
const (
	OpCreate   Op = "create"
	OpWrite    Op = "write"
	OpTruncate Op = "truncate"
	OpSync     Op = "sync"
	OpRename   Op = "rename"
	OpRemove   Op = "remove"
	OpMkdir    Op = "mkdir"
	OpSyncDir  Op = "syncdir"
	OpLink     Op = "link"
)

// Call is one change.
type Call struct {
	Op   Op
	Path string // of the file or folder; before a create, the name that the file will get in the end
	To   string // of a rename; of a link, the file that it stands for
	Data []byte // of a write
	At   int64  // of a write, where it begins; of a truncate, the length
}

// Interceptor stands between the program and the disk, for tests. It is called by whoever makes the change, also by several at once.
type Interceptor interface {
	// Before is asked ahead of a change. With an error the change is not made, or of a write the first n bytes alone.
	Before(c Call) (n int, err error)
	// After is told of a change that was made; of a create with the name that the file has.
	After(c Call)
}

var interceptor atomic.Pointer[Interceptor]

// Intercept lets i see all changes until restore is called.
func Intercept(i Interceptor) (restore func()) {
	was := interceptor.Swap(&i)
	return func() { interceptor.Store(was) }
}

func before(c Call) (int, error) {
	if i := interceptor.Load(); i != nil {
		return (*i).Before(c)
	}
	return 0, nil
}

func after(c Call) {
	if i := interceptor.Load(); i != nil {
		(*i).After(c)
	}
}

// made makes a change between the two.
func made(c Call, change func() error) error {
	if _, err := before(c); err != nil {
		return err
	}
	err := change()
	if err == nil {
		after(c)
	}
	return err
}
