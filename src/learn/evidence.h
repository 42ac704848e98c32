/* Evidence: recorded ops by their seqs, for whoever quotes them.
 *
 * Reads the ring in memory first, then the journal's files; waits for the disk, so it is not for the commit thread or
 * NNG's. What retention has deleted is not found. Several threads may read at once. */
#ifndef OBS_LEARN_EVIDENCE_H
#define OBS_LEARN_EVIDENCE_H

#include "journal/journal.h"
#include "op/batch.h"
#include "state/state.h"

typedef struct {
  obs_state *state;
  obs_journal *journal; /* NULL: ephemeral, the ring alone */
} obs_evidence;

/* Gives each of the `n` seqs that is found to `fn`, in ascending order; op and line live as long as the call. Returns
 * how many there were. */
typedef void (*obs_evidence_row)(void *arg, uint64_t seq, const obs_op *op, obs_str line);
uint32_t obs_evidence_rows(const obs_evidence *e, const uint64_t *seqs, uint32_t n, obs_evidence_row fn, void *arg);
/* The last `limit` recorded ops (of the ring), newest first, until `fn` returns false. */
typedef bool (*obs_evidence_recent_row)(void *arg, uint64_t seq, const obs_op *op, obs_str line);
void obs_evidence_recent(const obs_evidence *e, uint32_t limit, obs_evidence_recent_row fn, void *arg);

/* Appends an op as a quotation for a prompt: one JSON object of one line {"seq","timestamp","endpoint","source",
 * "staffer_id","task_class","duration_ms","success","error","input_summary","output_summary"} with each text cut at
 * `text_max` bytes between two characters, and every `<`, `>` and control character escaped, so that no text can end
 * the quotation. */
void obs_evidence_quote(const obs_op *op, uint64_t seq, uint32_t text_max, obs_buf *out);
/* Appends other JSON text (valid, without white space between tokens) with the same characters escaped: it means the
 * same, and can stand in a prompt between marks. */
void obs_evidence_escape(obs_str json, obs_buf *out);

#endif
