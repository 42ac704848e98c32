/* Text of others, made fit to be kept and shown. */
#ifndef OBS_OUTBOUND_CLEAN_H
#define OBS_OUTBOUND_CLEAN_H

#include "base/buf.h"

/* Appends `text` without the white space at its ends, what is not UTF-8 as U+FFFD; control characters become spaces
 * when `line`, else only NUL does. */
void obs_clean_text(obs_str text, bool line, obs_buf *out);

#endif
