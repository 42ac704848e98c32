/* The list of changes. It is gathered twice: places alone, to see which are on the page, then those with their
 * sentences; so it never holds the texts of all. */
#include "base/utf8.h"
#include "base/vec.h"
#include "changes/internal.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
  AT_ONCE = 64,
  MANY = 4096 /* changes: so that they grow under nobody's lock, mostly */,
  QUOTED = 200 /* bytes of a template, correction or entry in a sentence */
};

const char *const obs_change_names[OBS_CHANGE_KINDS] = {
#define CHANGE_NAME(name, text) text,
    OBS_CHANGE_MAP(CHANGE_NAME)
#undef CHANGE_NAME
};

/* A change with its texts: their lengths, and where they begin among all texts. */
typedef struct {
  obs_page_place place; /* first: what obs_page_compare sorts by */
  obs_change x;
  size_t at;
  uint32_t value_len, text_len;
  bool has_value;
} row;

typedef struct {
  const obs_changes_filter *f;
  OBS_VEC(obs_page_place) places; /* of all that match and are in the rest of the walk */
  uint64_t total;
  bool wants_rows; /* the second time: of those up to `last` */
  obs_page_place last;
  OBS_VEC(row) rows;
  obs_buf texts;
  bool oom;
} gathered;

static void put_quoted(obs_buf *out, obs_str s) {
  obs_str cut = obs_utf8_cut_str(s, QUOTED);
  obs_buf_append(out, cut.p, cut.len);
  if (cut.len < s.len) obs_buf_puts(out, "\xe2\x80\xa6");
}

/* Takes a change; `say` appends its sentence. `id` tells it from others of the same kind. */
static void take(gathered *g, const obs_change *x, uint64_t id, void (*say)(obs_buf *out, const void *of),
                 const void *of) {
  if (x->time_ms < g->f->since_ms) return;
  uint64_t time = x->time_ms > 0 ? (uint64_t)x->time_ms : 0;
  obs_page_place place = {.id = id * OBS_CHANGE_KINDS + x->kind, .key = time, .then = x->seq};
  if (!g->wants_rows) {
    g->total++;
    if (!obs_page_walk_has(&g->f->page.walk, time, time, &place)) return;
    obs_page_place *at = OBS_VEC_PUSH(&g->places);
    if (at != NULL)
      *at = place;
    else
      g->oom = true;
    return;
  }
  if (!obs_page_walk_has(&g->f->page.walk, time, time, &place) || obs_page_compare(&place, &g->last) > 0) return;
  row *r = OBS_VEC_PUSH(&g->rows);
  if (r == NULL) {
    g->oom = true;
    return;
  }
  *r = (row){.place = place, .x = *x, .at = g->texts.len, .value_len = x->value.len, .has_value = x->value.p != NULL};
  if (x->value.len > 0) obs_buf_append(&g->texts, x->value.p, x->value.len);
  size_t from = g->texts.len;
  say(&g->texts, of);
  r->text_len = (uint32_t)(g->texts.len - from);
}

/* ---- values of the first time ---- */

static const struct {
  const char *one, *many;
} words[OBS_CHANGES_KINDS] = {
#define WORDS(name, member, one, many) {one, many},
    OBS_CHANGES_MAP(WORDS)
#undef WORDS
};

static void say_first(obs_buf *out, const void *of) {
  const obs_changes_first *f = of;
  if (f->beyond) {
    obs_buf_printf(out, "More than %d %s were seen: new ones are no longer told.", OBS_CHANGES_VALUES - 1,
                   words[f->what].many);
  } else if (f->more > 0) {
    obs_buf_printf(out, "%" PRIu32 " more %s were seen for the first time in the same minute.", f->more,
                   words[f->what].many);
  } else {
    obs_buf_printf(out, "%s ", words[f->what].one);
    obs_buf_append(out, f->value, f->len);
    obs_buf_puts(out, " was seen for the first time");
    if (f->what != OBS_CHANGES_OF_ENDPOINT && f->place_len > 0) {
      obs_buf_puts(out, ", at ");
      obs_buf_append(out, f->place, f->place_len);
    }
    obs_buf_putc(out, '.');
  }
}

static void gather_firsts(obs_changes *c, gathered *g) {
  uint64_t number = 1, last = 1;
  while (number <= last) {
    obs_changes_first some[AT_ONCE];
    uint64_t numbers[AT_ONCE];
    uint32_t n = 0;
    pthread_mutex_lock(&c->lock);
    last = c->last;
    if (last >= OBS_CHANGES_KEPT && number <= last - OBS_CHANGES_KEPT) number = last - OBS_CHANGES_KEPT + 1;
    for (; n < AT_ONCE && number <= last; n++, number++) {
      some[n] = c->firsts[number % OBS_CHANGES_KEPT];
      numbers[n] = number;
    }
    pthread_mutex_unlock(&c->lock);
    for (uint32_t i = 0; i < n; i++) {
      const obs_changes_first *f = &some[i];
      bool one = !f->beyond && f->more == 0;
      take(g,
           &(obs_change){.kind = OBS_CHANGE_FIRST_SEEN,
                         .time_ms = f->time_ms,
                         .what = obs_changes_members[f->what],
                         .value = one ? (obs_str){f->value, f->len, 0} : (obs_str){0},
                         .seq = f->seq},
           numbers[i], say_first, f);
    }
  }
}

/* ---- clusters and corrections ---- */

static void say_cluster(obs_buf *out, const void *of) {
  const obs_clusters_change *x = of;
  static const char *const begin[] = {[OBS_CLUSTERS_CHANGE_NEW] = "A new kind of failure",
                                      [OBS_CLUSTERS_CHANGE_REGRESSED] = "A kind of failure came back",
                                      [OBS_CLUSTERS_CHANGE_SPREAD] = "A known kind of failure spread",
                                      [OBS_CLUSTERS_CHANGE_CORRECTION] = "A correction was given"};
  obs_buf_puts(out, begin[x->kind]);
  if (x->kind == OBS_CLUSTERS_CHANGE_SPREAD && x->endpoint.p != NULL) {
    obs_buf_puts(out, " to ");
    put_quoted(out, x->endpoint);
  }
  if (x->text.p == NULL || x->text.len == 0) {
    obs_buf_putc(out, '.');
    return;
  }
  obs_buf_puts(out, ": ");
  put_quoted(out, x->text);
}

static void on_cluster(void *arg, const obs_clusters_change *x) {
  static const obs_change_kind kinds[] = {[OBS_CLUSTERS_CHANGE_NEW] = OBS_CHANGE_CLUSTER_NEW,
                                          [OBS_CLUSTERS_CHANGE_REGRESSED] = OBS_CHANGE_CLUSTER_REGRESSED,
                                          [OBS_CLUSTERS_CHANGE_SPREAD] = OBS_CHANGE_CLUSTER_SPREAD,
                                          [OBS_CLUSTERS_CHANGE_CORRECTION] = OBS_CHANGE_CORRECTION};
  bool correction = x->kind == OBS_CLUSTERS_CHANGE_CORRECTION;
  take(arg,
       &(obs_change){.kind = kinds[x->kind],
                     .time_ms = x->time_ms,
                     .what = x->endpoint.p != NULL ? "endpoint" : NULL,
                     .value = x->endpoint,
                     .cluster = x->id,
                     .seq = x->seq},
       correction ? x->seq : x->id, say_cluster, x);
}

/* ---- playbooks ---- */

typedef struct {
  const obs_playbook_view *entry;
  obs_playbook_change change;
} edit;

static void say_edit(obs_buf *out, const void *of) {
  static const char *const done[OBS_PLAYBOOK_CHANGE_COUNT] = {[OBS_PLAYBOOK_CREATED] = "A new playbook entry",
                                                              [OBS_PLAYBOOK_UPDATED] = "A playbook entry was edited",
                                                              [OBS_PLAYBOOK_RETIRED] = "A playbook entry was retired",
                                                              [OBS_PLAYBOOK_REVIVED] = "A playbook entry is back"};
  const edit *e = of;
  const obs_playbook_view *x = e->entry;
  obs_buf_printf(out, "%s (%s)", done[e->change], x->dont ? "dont" : "do");
  /* Many an entry begins with its endpoint. */
  if (x->endpoint[0] != '\0' && strncmp(x->text, x->endpoint, strlen(x->endpoint)) != 0) {
    obs_buf_puts(out, " for ");
    put_quoted(out, obs_str_of(x->endpoint));
  }
  obs_buf_puts(out, ": ");
  put_quoted(out, obs_str_of(x->text));
}

/* The version of the last edit, of those that only changed its words: an entry is edited in many a cycle, and who looks
 * wants to know what it says now. */
static uint32_t last_edit(const obs_playbook_view *x) {
  uint32_t version = 0;
  for (uint32_t i = 0; i < x->nhistory; i++)
    if (x->history[i].change == OBS_PLAYBOOK_UPDATED && x->history[i].version > version)
      version = x->history[i].version;
  return version;
}

static bool on_entry(void *arg, const obs_playbook_view *x) {
  static const obs_change_kind kinds[OBS_PLAYBOOK_CHANGE_COUNT] = {[OBS_PLAYBOOK_CREATED] = OBS_CHANGE_PLAYBOOK_NEW,
                                                                   [OBS_PLAYBOOK_UPDATED] = OBS_CHANGE_PLAYBOOK_EDITED,
                                                                   [OBS_PLAYBOOK_RETIRED] = OBS_CHANGE_PLAYBOOK_RETIRED,
                                                                   [OBS_PLAYBOOK_REVIVED] = OBS_CHANGE_PLAYBOOK_EDITED};
  uint32_t edited = last_edit(x);
  for (uint32_t i = 0; i < x->nhistory; i++) {
    const obs_playbook_edit *h = &x->history[i];
    if (h->change == OBS_PLAYBOOK_COUNTED || (h->change == OBS_PLAYBOOK_UPDATED && h->version < edited)) continue;
    take(arg,
         &(obs_change){.kind = kinds[h->change],
                       .time_ms = h->time_ms,
                       .what = x->endpoint[0] != '\0' ? "endpoint" : NULL,
                       .value = x->endpoint[0] != '\0' ? obs_str_of(x->endpoint) : (obs_str){0},
                       .cluster = x->cluster,
                       .playbook = x->id},
         x->id + h->version, say_edit, &(edit){x, h->change});
  }
  return true;
}

/* ---- all ---- */

static bool gather(obs_changes *c, gathered *g) {
  gather_firsts(c, g);
  if (c->opts.clusters != NULL) obs_clusters_changes(c->opts.clusters, on_cluster, g);
  const obs_playbooks_filter all = {.page.limit = OBS_PLAYBOOK_ENTRIES, .retired = true};
  obs_page_end end;
  if (c->opts.playbooks != NULL && obs_playbooks_each(c->opts.playbooks, &all, on_entry, g, &end) != OBSERVER_E_OK)
    g->oom = true;
  return !g->oom && !g->texts.oom;
}

static void set_texts(row *r, const obs_buf *texts) {
  const char *at = texts->p + r->at;
  r->x.value = r->has_value ? (obs_str){at, r->value_len, 0} : (obs_str){0};
  r->x.text = (obs_str){at + r->value_len, r->text_len, 0};
}

observer_err obs_changes_each(obs_changes *c, const obs_changes_filter *f, int64_t now_ms,
                              bool (*fn)(void *arg, const obs_change *x), void *arg, obs_page_end *end) {
  gathered g = {.f = f};
  const uint32_t limit = obs_page_rows(&f->page);
  obs_page_walk walk = f->page.walk;
  uint32_t i = 0;
  observer_err err = OBSERVER_E_NOMEM;
  if (walk.through == 0)
    walk = (obs_page_walk){.through = (uint64_t)now_ms, .began_ms = now_ms, .order = OBS_CHANGES_ORDER};
  if (!OBS_VEC_RESERVE(&g.places, MANY) || !gather(c, &g)) goto end;
  qsort(g.places.at, g.places.n, sizeof(*g.places.at), obs_page_compare);
  uint32_t n = g.places.n < limit ? g.places.n : limit;
  if (n > 0) {
    g.wants_rows = true;
    g.last = g.places.at[n - 1];
    if (!gather(c, &g)) goto end;
    qsort(g.rows.at, g.rows.n, sizeof(*g.rows.at), obs_page_compare);
  }
  if (g.rows.n < n) n = g.rows.n; /* some went meanwhile */
  for (; i < n; i++) {
    set_texts(&g.rows.at[i], &g.texts);
    if (!fn(arg, &g.rows.at[i].x)) break;
    walk.at = g.rows.at[i].place;
  }
  *end = (obs_page_end){.counted = true, .total = g.total, .walk = walk};
  obs_page_end_after(end, i, g.places.n, limit);
  err = OBSERVER_E_OK;
end:
  OBS_VEC_FINI(&g.places);
  OBS_VEC_FINI(&g.rows);
  obs_buf_fini(&g.texts);
  return err;
}
