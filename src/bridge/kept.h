/* Rows of a list that is made anew for each question, kept so that its pages are those of one moment.
 *
 * The first page keeps what it leaves; the cursor says which list, and how far. A list is kept for OBS_KEPT_MS after
 * its last page; when another one needs the room, the one that was asked for least lately makes way. Then its cursor is
 * refused, and the walk has to begin again. So it is where another daemon is asked for the next page.
 *
 * Memory: OBS_KEPT_LISTS lists, together OBS_KEPT_BYTES; of a longer one the end is cut off, which its last page says.
 * Threads: one. */
#ifndef OBS_BRIDGE_KEPT_H
#define OBS_BRIDGE_KEPT_H

#include "base/json.h"
#include "base/page.h"
#include "base/vec.h"

enum { OBS_KEPT_LISTS = 4, OBS_KEPT_BYTES = 64 << 20, OBS_KEPT_MS = 60000, OBS_KEPT_CURSOR = 48 };

typedef struct obs_kept obs_kept;

obs_kept *obs_kept_open(void); /* NULL: no memory */
/* NULL is allowed. */
void obs_kept_close(obs_kept *k);

/* One that is being made. Starts as {0}. */
typedef struct {
  obs_buf rows;           /* JSON, one behind the other */
  OBS_VEC(uint32_t) ends; /* of each row, in `rows` */
  obs_buf members;        /* of the answer, behind the rows; of every page */
  bool cut;               /* there were more */
} obs_kept_list;
void obs_kept_fini(obs_kept_list *l);
/* After a row was written to `rows`. False: there is no room for it, and it is not there; or no memory (rows.oom). */
bool obs_kept_end_row(obs_kept_list *l);

/* The first page of a list: the member `name` with its rows, the list's members, `next_cursor` and `complete`, to the
 * object that is open. `l` is taken over. */
void obs_kept_begin(obs_kept *k, obs_kept_list *l, const char *name, const obs_page *page, uint64_t now_ms,
                    obs_json_writer *w);
/* The next one; `now_ms` is monotonic. False: there is no such list, or not any more. */
bool obs_kept_go_on(obs_kept *k, obs_str cursor, const char *name, const obs_page *page, uint64_t now_ms,
                    obs_json_writer *w);

#endif
