/* Rows that several edges have, as one list, newest first: a page of each edge is asked for (ask.h), and they are
 * merged by time.
 *
 * In an edge's page each row begins with two members of its own: `at`, its time in milliseconds, and `from`, the edge's
 * cursor of a page that begins with it. An edge's rows keep their order; of two edges the later row comes first. A page
 * ends where it is full, or where an edge has given all of its page and has more: what comes next may be that one's.
 * The cursor says of each edge how far it is, so that a walk gives each row of each edge once, whatever is recorded
 * meanwhile: `<list>-` and `<edge>.<cursor>` of each edge that is not at its end, with a `_` between them. An edge that
 * was missing is in it, from where it was left, and what it has comes when it is back; when nobody else is left, the
 * walk ends.
 *
 * Threads: one. Memory: the pages, and 32 bytes a row. Failure: an edge's page that is no page is as if it were
 * missing.
 */
#ifndef OBS_FLEET_ROWS_H
#define OBS_FLEET_ROWS_H

#include "base/json.h"
#include "base/page.h"
#include "fleet/ask.h"

enum {
  OBS_FLEET_ROWS_CURSOR = 112,      /* bytes of an edge's cursor */
  OBS_FLEET_ROWS_CURSORS = 10 << 10 /* of that of all */
};

typedef struct obs_fleet_rows obs_fleet_rows;

/* `list`: the member that has the rows, "ops"; a literal. NULL: no memory. */
obs_fleet_rows *obs_fleet_rows_open(const char *list);
/* NULL is allowed. */
void obs_fleet_rows_close(obs_fleet_rows *r);

/* Goes on behind an earlier page. False: it is no cursor of this list. Before anybody is expected. */
bool obs_fleet_rows_go_on(obs_fleet_rows *r, obs_str cursor);
/* An edge that the fleet has; `away`: no answer of it is expected. Of a walk that goes on, its cursor says which edges
 * are asked. False: there are too many. */
bool obs_fleet_rows_expect(obs_fleet_rows *r, const char *who, bool away);
/* Whom to ask what: fills members, nmembers and only, which live until take. */
void obs_fleet_rows_ask(obs_fleet_rows *r, obs_fleet_question *q);
/* An answer; for obs_fleet_ask, `rows` is the obs_fleet_rows. */
void obs_fleet_rows_take(void *rows, const obs_fleet_reply *reply);

/* What an edge says is wrong with the question, a body with its status; len 0: none does. */
obs_str obs_fleet_rows_fault(const obs_fleet_rows *r, uint16_t *status);
/* How many have answered. */
uint32_t obs_fleet_rows_answered(const obs_fleet_rows *r);
/* The members of the answer's object that is open: the list, each row with the member `edge`; `cluster`, `next_cursor`
 * and `complete`. NOMEM. */
observer_err obs_fleet_rows_put(obs_fleet_rows *r, const obs_page *page, obs_json_writer *w);

/* ---- for lists that are put together otherwise: each edge's answer as it came ---- */

/* In place of take. */
void obs_fleet_rows_keep(void *rows, const obs_fleet_reply *reply);
typedef struct {
  const char *who;
  obs_str cursor; /* that it was asked with; empty: none */
  obs_str body;   /* p NULL: it is missing */
} obs_fleet_rows_edge;
/* In the order of their names, which is the same in all pages of a walk. p NULL of `who`: there are no more. */
obs_fleet_rows_edge obs_fleet_rows_at(const obs_fleet_rows *r, uint32_t i);
/* Its answer was no answer. */
void obs_fleet_rows_drop(obs_fleet_rows *r, uint32_t i);
/* Where one that has answered goes on; of a walk that does, all of them are told. */
void obs_fleet_rows_set_next(obs_fleet_rows *r, uint32_t i, const char *cursor);
/* The member `cluster`; and `next_cursor`, null where no edge was told where it goes on. False: no memory. */
void obs_fleet_rows_put_cluster(const obs_fleet_rows *r, obs_json_writer *w);
bool obs_fleet_rows_put_cursor(const obs_fleet_rows *r, obs_json_writer *w);

/* ---- in an edge's page ---- */

/* The members that a row begins with. */
void obs_fleet_rows_put_place(obs_json_writer *w, int64_t at_ms, const char *from);

#endif
