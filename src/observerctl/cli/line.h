/* One op as one readable line, the same in every command that lists ops:
 *
 *   07:15:02.123 ok   mcp          /v1/chat                    812 ms  [planner-a] answer a question -> answered
 *   11-20 07:15  FAIL scenario     scenario:fill               220 ms  upstream timed out <- welder×2 in Cleveland, OH
 *
 * Time is UTC or local; of an op of another day the date stands before it. Of a failure what went wrong comes first
 * (the error, else output_summary), and wraps. On a terminal of less than 100 columns the source is left out. The op's
 * text never acts on the terminal (text.h). */
#ifndef OBS_OBSERVERCTL_LINE_H
#define OBS_OBSERVERCTL_LINE_H

#include "base/buf.h"

#include <cjson/cJSON.h>
#include <stdio.h>

/* The fields shown; NULL where the op has none. Views: they live as long as what they were taken from. */
typedef struct {
  const char *timestamp, *source, *endpoint, *staffer_id, *input_summary, *output_summary, *error;
  double duration_ms;
  bool success;
  uint64_t seq; /* shown in front; 0: it is not */
} obs_line_op;

/* How it is written. */
typedef struct {
  bool colour;
  unsigned columns; /* the line is cut there; 0: nothing is cut */
  bool utc;
  int64_t now_ms;       /* which day is today */
  unsigned seq_columns; /* of the seq */
  unsigned error_lines; /* lines that an error may take; the last one is cut */
} obs_line_look;

/* Takes the fields out of a recorded op (an object as in a journal row). */
void obs_line_of_json(const cJSON *op, obs_line_op *out);
/* Colours and width as `out` has them (cut at its width unless `wide`), the time now. */
obs_line_look obs_line_look_for(FILE *out, bool wide, bool utc);
/* Appends the line, without a newline. obs_text_setup() first. */
void obs_line_put(obs_buf *out, const obs_line_op *op, const obs_line_look *look);

#endif
