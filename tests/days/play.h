/* Lets the daemon's own stages look at a day: its rows become JSON lines, are decoded as an intake decodes them, go to
 * the facts batch by batch in order of arrival with the times that the commit stage gives an op, and are diagnosed. */
#ifndef TESTS_DAYS_PLAY_H
#define TESTS_DAYS_PLAY_H

#include "world.h"

#include "diagnose/diagnose.h"

/* The op of a row as a JSON line with its newline. */
void days_line(const days_world *w, const days_row *r, obs_buf *out);
/* Row i gets seq i + 1. *took_ms: what the diagnosis alone took. Ends the program when something fails. */
void days_play(const days_world *w, obs_diagnose_report *report, double *took_ms);

#endif
