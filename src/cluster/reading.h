/* Reading: which part of a failure's text says its kind. It comes before masking (mask.h).
 *
 * A traceback stands for its last line, a stack for its error line, any other text of several lines for its first, with
 * the next one where the first only announces it (it ends in a colon, counts what follows, or is one word). Of JSON or
 * a Python dict `type code status error message` stand for it, in this order, the innermost first; an object that has
 * none of them is a value. An HTML page stands for its title. proto/clusters.md says it for users.
 *
 * A pure function: any thread, nothing is allocated. A text of one line without a brace is returned as it is. */
#ifndef OBS_CLUSTER_READING_H
#define OBS_CLUSTER_READING_H

#include "base/str.h"

enum {
  OBS_READING_BYTES = 2048,    /* what is returned has at most so many, cut between two characters */
  OBS_READING_SCANNED = 65536, /* of a text; the rest is not looked at */
};

/* Before a word that is a constant whatever it looks like: the value of a code or a type. Masking knows it. */
#define OBS_READING_CONSTANT '\x02'

/* A view of `text` or of `room`. */
obs_str obs_reading_of(obs_str text, char room[OBS_READING_BYTES]);

#endif
