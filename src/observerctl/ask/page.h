/* One page of rows as the daemon's HTTP bridge answers: {"ops":[{"seq":N,"op":{...}},...],"next_cursor":...}. */
#ifndef OBS_OBSERVERCTL_PAGE_H
#define OBS_OBSERVERCTL_PAGE_H

#include "base/buf.h"

enum { OBS_PAGE_CURSOR = 128 };

/* One row, verbatim, so not through a parser that would write numbers its own way. False: no more of them. */
typedef bool (*obs_page_row)(void *arg, uint64_t number, const char *row, size_t len);

/* Gives each row to `fn`; `cursor` is that of the next page, "" when there is none. False: `body` is no page. */
bool obs_page_read(const obs_buf *body, obs_page_row fn, void *arg, char cursor[OBS_PAGE_CURSOR]);

#endif
