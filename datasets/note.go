package datasets

// Notes are what a row that can be used has of which its owner should know, in a set of bits.
type Notes uint8

// The notes.
const (
	NoteAside   Notes = 1 << iota // a column system or tools says something, and stands beside texts, which have no place for it
	NoteUnasked                   // of a pair without a column for the prompt: the two have no beginning in common, so there is none
)
