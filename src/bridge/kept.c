#include "bridge/kept.h"

#include "base/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

typedef struct {
  uint64_t id; /* 0: none */
  uint64_t used_ms;
  obs_kept_list list;
} kept;

struct obs_kept {
  kept lists[OBS_KEPT_LISTS];
};

obs_kept *obs_kept_open(void) {
  return calloc(1, sizeof(obs_kept));
}

void obs_kept_fini(obs_kept_list *l) {
  obs_buf_fini(&l->rows);
  obs_buf_fini(&l->members);
  OBS_VEC_FINI(&l->ends);
  l->cut = false;
}

static void forget(kept *x) {
  obs_kept_fini(&x->list);
  x->id = 0;
}

void obs_kept_close(obs_kept *k) {
  for (int i = 0; k != NULL && i < OBS_KEPT_LISTS; i++) forget(&k->lists[i]);
  free(k);
}

bool obs_kept_end_row(obs_kept_list *l) {
  uint32_t from = l->ends.n > 0 ? l->ends.at[l->ends.n - 1] : 0;
  uint32_t *end = l->rows.oom || l->rows.len > OBS_KEPT_BYTES ? NULL : OBS_VEC_PUSH(&l->ends);
  if (end != NULL) {
    *end = (uint32_t)l->rows.len;
    return true;
  }
  l->cut = true;
  if (!l->rows.oom) l->rows.len = from;
  return false;
}

/* ---- pages ---- */

/* The page from row `at` on; returns where the next begins. */
static uint32_t put_page(const obs_kept_list *l, uint32_t at, const char *name, const obs_page *page,
                         obs_json_writer *w) {
  obs_json_array(w, name);
  obs_page_fill fill = obs_page_fill_begin(page, w);
  for (; at < l->ends.n && fill.rows < fill.limit; at++) {
    uint32_t from = at > 0 ? l->ends.at[at - 1] : 0;
    obs_page_begin_row(&fill);
    obs_json_raw(w, NULL, (obs_str){l->rows.p + from, l->ends.at[at] - from, 0});
    if (!obs_page_end_row(&fill)) break;
  }
  bool more = at < l->ends.n, full = fill.rows == fill.limit;
  obs_json_end(w);
  obs_json_members(w, obs_buf_view(&l->members));
  obs_json_bool(w, "complete", more ? full : !l->cut);
  return at;
}

static void put_cursor(uint64_t id, uint32_t at, obs_json_writer *w) {
  char text[OBS_KEPT_CURSOR];
  (void)snprintf(text, sizeof text, "k%016llx-%x", (unsigned long long)id, at);
  obs_json_cstr(w, "next_cursor", text);
}

/* Room for one more of that size: lists that are over, then those that were asked for least lately. */
static kept *make_room(obs_kept *k, size_t bytes, uint64_t now_ms) {
  for (;;) {
    kept *spare = NULL, *oldest = NULL;
    size_t held = bytes;
    for (int i = 0; i < OBS_KEPT_LISTS; i++) {
      kept *x = &k->lists[i];
      if (x->id != 0 && now_ms - x->used_ms >= OBS_KEPT_MS) forget(x);
      if (x->id == 0) spare = x;
      if (x->id == 0) continue;
      held += x->list.rows.cap;
      if (oldest == NULL || x->used_ms < oldest->used_ms) oldest = x;
    }
    if (oldest == NULL || (spare != NULL && held <= OBS_KEPT_BYTES)) return spare;
    forget(oldest);
  }
}

void obs_kept_begin(obs_kept *k, obs_kept_list *l, const char *name, const obs_page *page, uint64_t now_ms,
                    obs_json_writer *w) {
  uint64_t id = 0;
  uint32_t at = put_page(l, 0, name, page, w);
  if (at < l->ends.n && getrandom(&id, sizeof id, 0) != sizeof id) id = now_ms;
  if (at < l->ends.n && id != 0) {
    kept *x = make_room(k, l->rows.cap, now_ms);
    *x = (kept){id, now_ms, *l};
    *l = (obs_kept_list){.cut = false};
    put_cursor(id, at, w);
  } else {
    obs_json_null(w, "next_cursor");
  }
  obs_kept_fini(l);
}

static bool parse(obs_str cursor, uint64_t *id, uint32_t *at) {
  uint64_t n = 0;
  if (cursor.len < 1 + OBS_HEX_LEN + 2 || cursor.len > 1 + OBS_HEX_LEN + 1 + 8 || cursor.p[0] != 'k') return false;
  if (!obs_hex_parse(obs_str_slice(cursor, 1, OBS_HEX_LEN), id) || cursor.p[1 + OBS_HEX_LEN] != '-') return false;
  for (uint32_t i = 2 + OBS_HEX_LEN; i < cursor.len; i++) {
    char c = cursor.p[i];
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
    n = n << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  *at = (uint32_t)n;
  return *id != 0;
}

bool obs_kept_go_on(obs_kept *k, obs_str cursor, const char *name, const obs_page *page, uint64_t now_ms,
                    obs_json_writer *w) {
  uint64_t id;
  uint32_t at;
  if (!parse(cursor, &id, &at)) return false;
  kept *x = k->lists;
  while (x < k->lists + OBS_KEPT_LISTS && x->id != id) x++;
  if (x == k->lists + OBS_KEPT_LISTS || now_ms - x->used_ms >= OBS_KEPT_MS || at >= x->list.ends.n) return false;
  x->used_ms = now_ms;
  at = put_page(&x->list, at, name, page, w);
  if (at < x->list.ends.n)
    put_cursor(id, at, w);
  else
    obs_json_null(w, "next_cursor");
  return true;
}
