// Package datasets turns preference data into groups of token ids.
//
// A [Group] is a prompt and its completions, best first: a pair has two (chosen,
// rejected), a ranked list more, a single answer one. [Expand] finds the files,
// [Read] streams their groups, and an [Encoder] turns each group into an [Example]:
//
//	files, err := datasets.Expand([]string{"data/*.parquet"})
//	enc := &datasets.Encoder{Tokenizer: tok, MaxLength: 512, MaxPromptLength: 256}
//	for group, err := range datasets.Read(files, datasets.Options{}) {
//		// a *RowError is one bad row, after which the loop may go on
//		example, err := enc.Encode(group)
//		// a *DropError is a row that holds nothing to learn from
//	}
//
// # Columns
//
//	prompt      string, or a list of {role, content} messages
//	chosen, rejected
//	            a pair; without prompt (or with a string prompt beside whole
//	            conversations) the common beginning of the two is the prompt
//	completions (or responses)
//	            a list of answers, with ranks (lower is better) or scores (higher
//	            is better); tied answers keep the order of the file. One whose rank
//	            is null stands below all that have one; one whose score is null is
//	            left out of training
//	a, b, votes two answers, and the votes on them: a list, each 1 or a, 2 or b, 0
//	            or tie; or an object with the counts of a, b and tie
//	completion  one answer; its prompt may be empty or null
//	label       true or false, optional: whether that answer is desirable
//	text        a whole text, without a prompt, where there is no other answer
//	messages    one conversation, where there is no other answer: its last turn is the
//	            answer, and is to be the assistant's
//	tools       JSON schemas of what the model may call, for its chat template: a list,
//	            or a string that holds one; optional
//	margin      number, optional: by how much chosen should win
//	chosen_share
//	            number from 0 to 1, optional: the share of votes for chosen
//	ref_chosen_logps, ref_rejected_logps, ref_logps
//	            numbers, optional: the reference's log-probabilities
//	finish_reason, finish_reasons, chosen_finish_reason, rejected_finish_reason
//	            strings, optional: "length" marks an answer that was cut
//
// All other columns are ignored by [Read], and kept by a [Table].
//
// A file's columns may be others: a [Layout] says which ones stand for these, and is recognised by their names; [Layouts] lists them.
//
// # Messages
//
// Text may be a list of messages. The chat template of a tokenizer that is a [Renderer]
// writes them: the prompt with the beginning of the assistant's turn, and what the whole
// conversation has beyond that is the answer. Special tokens that messages spell are text.
//
// # Formats
//
// Parquet (.parquet), JSON Lines (.jsonl, .ndjson) and JSON arrays (.json). A format
// is one file of this package that registers the extensions it reads.
//
// # Caveats
//
// A Parquet file is read a row group at a time, and only the columns of its layout; a
// JSON row may be 256 MiB long at most. Broken files give errors, never panics.
package datasets
