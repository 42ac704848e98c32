/* The store: entries in memory, their rows, what others ask. */
#include "base/utf8.h"
#include "learn/member.h"
#include "learn/playbooks/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#define SEED_DO UINT64_C(0x9ae16a3b2f90404f)
#define SEED_DONT UINT64_C(0xc949d7c7509e6557)

uint64_t obs_playbook_id(bool dont, obs_str endpoint, uint64_t cluster) {
  return dont ? XXH3_64bits_withSeed(&cluster, sizeof(cluster), SEED_DONT)
              : XXH3_64bits_withSeed(endpoint.p, endpoint.len, SEED_DO);
}

void obs_playbook_put(char *to, obs_str text, uint32_t max) {
  size_t n = obs_utf8_cut(text.p, text.len, max);
  for (size_t i = 0; i < n; i++) to[i] = text.p[i] != '\0' ? text.p[i] : ' ';
  to[n] = '\0';
}

/* ---- entries ---- */

static uint32_t place_of(const obs_playbooks *p, uint64_t id) {
  uint32_t at = 0;
  while (at < p->n && p->entries[at]->id != id) at++;
  return at;
}

const obs_playbook *obs_playbooks_find(const obs_playbooks *p, uint64_t id) {
  uint32_t at = place_of(p, id);
  return at < p->n ? p->entries[at] : NULL;
}

static bool is_older(const obs_playbook *a, const obs_playbook *b) {
  int64_t x = obs_playbook_edited(a), y = obs_playbook_edited(b);
  return x != y ? x < y : a->number < b->number;
}

/* The one edited longest ago. */
static uint32_t oldest(const obs_playbooks *p) {
  uint32_t at = 0;
  for (uint32_t i = 1; i < p->n; i++)
    if (is_older(p->entries[i], p->entries[at])) at = i;
  return at;
}

/* Puts an entry in its place, that of the oldest when there is no other. */
static bool store(obs_playbooks *p, const obs_playbook *e) {
  uint32_t at = place_of(p, e->id);
  if (at == p->n && p->n == OBS_PLAYBOOK_ENTRIES) at = oldest(p);
  obs_playbook *fresh = NULL;
  if (at == p->n && (fresh = malloc(sizeof(*fresh))) == NULL) return false;
  pthread_mutex_lock(&p->lock);
  if (fresh != NULL) p->entries[p->n++] = fresh;
  *p->entries[at] = *e;
  pthread_mutex_unlock(&p->lock);
  return true;
}

/* ---- open ---- */

static bool fold(void *arg, const cJSON *row, const char **why) {
  obs_playbook e;
  if (!obs_playbook_read(row, &e, why)) return false;
  if (store(arg, &e)) return true;
  *why = "no memory";
  return false;
}

static int by_number(const void *a, const void *b) {
  const obs_playbook *x = *(obs_playbook *const *)a, *y = *(obs_playbook *const *)b;
  return (x->number > y->number) - (x->number < y->number);
}

static obs_playbook_change change_of(const obs_playbook *e) {
  return e->nhistory > 0 ? e->history[e->nhistory - 1].change : OBS_PLAYBOOK_UPDATED;
}

/* On the learning thread, as every append is. */
static void carry(void *arg, obs_buf *out) {
  const obs_playbooks *p = arg;
  obs_playbook *list[OBS_PLAYBOOK_ENTRIES];
  memcpy(list, p->entries, p->n * sizeof(*list));
  qsort(list, p->n, sizeof(*list), by_number);
  for (uint32_t i = 0; i < p->n; i++) {
    obs_buf_printf(out, "{\"id\":%" PRIu64 ",\"entry\":\"%016" PRIx64 "\",", list[i]->number, list[i]->id);
    obs_playbook_members(list[i], change_of(list[i]), out);
    obs_buf_puts(out, "}\n");
  }
}

observer_err obs_playbooks_open(const obs_playbooks_opts *opts, obs_playbooks **out, char *error_text, size_t size) {
  obs_playbooks *p = calloc(1, sizeof(*p));
  observer_err err = OBSERVER_E_NOMEM;
  *out = NULL;
  if (p != NULL) {
    p->opts = *opts;
    p->lock_made = pthread_mutex_init(&p->lock, NULL) == 0;
  }
  if (p != NULL && p->lock_made) {
    /* What is asked is answered from the entries; of the rows none needs to stay in memory. */
    obs_records_opts records = {
        .dir = opts->dir, .name = "playbooks.jsonl", .kept = 1, .fold = fold, .carry = carry, .arg = p};
    err = obs_records_open(&records, &p->records, error_text, size);
  } else {
    snprintf(error_text, size, "playbooks: %s", observer_strerror(err));
  }
  if (err == OBSERVER_E_OK)
    *out = p;
  else
    obs_playbooks_close(p);
  return err;
}

void obs_playbooks_close(obs_playbooks *p) {
  if (p == NULL) return;
  obs_records_close(p->records);
  for (uint32_t i = 0; i < p->n; i++) free(p->entries[i]);
  if (p->lock_made) pthread_mutex_destroy(&p->lock);
  free(p);
}

/* ---- edits ---- */

static void add_history(obs_playbook *e, obs_playbook_change change, uint32_t fields, int64_t now_ms) {
  uint32_t version = e->nhistory > 0 ? e->history[e->nhistory - 1].version + 1 : 1;
  if (e->nhistory == OBS_PLAYBOOK_HISTORY) {
    memmove(e->history, e->history + 1, (OBS_PLAYBOOK_HISTORY - 1) * sizeof(*e->history));
    e->nhistory--;
  }
  e->history[e->nhistory++] = (obs_playbook_edit){version, change, fields, now_ms};
}

/* The row's map, without its history. */
static void publish(const obs_announce *to, uint64_t number, const obs_buf *members) {
  cJSON *map = to->fn != NULL ? obs_member_row(number, members) : NULL;
  if (map != NULL) {
    cJSON_DeleteItemFromObjectCaseSensitive(map, "history");
    to->fn(to->arg, "playbook", map);
  }
  cJSON_Delete(map);
}

bool obs_playbooks_edit(obs_playbooks *p, obs_playbook *edited, obs_playbook_change change, uint32_t fields,
                        int64_t now_ms) {
  obs_buf members = {0};
  if (change != OBS_PLAYBOOK_COUNTED) add_history(edited, change, fields, now_ms);
  edited->written_seq = edited->effect.through_seq;
  edited->written_ops = edited->effect.before.ops + edited->effect.after.ops;
  obs_buf_printf(&members, "\"entry\":\"%016" PRIx64 "\",", edited->id);
  obs_playbook_members(edited, change, &members);
  bool ok = obs_records_append(p->records, &members, &edited->number) == OBSERVER_E_OK && store(p, edited);
  if (ok && change != OBS_PLAYBOOK_COUNTED) {
    atomic_fetch_add(&p->revision, 1);
    publish(&p->opts.announce, edited->number, &members);
  }
  obs_buf_fini(&members);
  return ok;
}

void obs_playbook_begin(obs_playbook *e, const obs_facts_view *view, uint64_t from_seq) {
  obs_before_after_scope scope = {obs_str_of(e->endpoint), obs_str_of(e->task_class), &e->effect};
  e->effect = (obs_before_after){.since_seq = view->n > 0 ? view->seq[view->n - 1] : 0,
                                 .through_seq = from_seq > 0 ? from_seq - 1 : 0};
  if (obs_before_after_count(view, &scope, 1) != OBSERVER_E_OK) e->effect.through_seq = e->effect.since_seq;
}

uint64_t obs_playbooks_revision(const obs_playbooks *p) {
  return atomic_load(&p->revision);
}

/* ---- what others ask; any thread ---- */

static int by_edit(const void *a, const void *b) {
  const obs_playbook *x = *(obs_playbook *const *)a, *y = *(obs_playbook *const *)b;
  return is_older(x, y) ? 1 : is_older(y, x) ? -1 : 0;
}

/* The last edited first; with the lock. */
static uint32_t in_order(const obs_playbooks *p, const obs_playbook *list[OBS_PLAYBOOK_ENTRIES]) {
  memcpy(list, p->entries, p->n * sizeof(*list));
  qsort(list, p->n, sizeof(*list), by_edit);
  return p->n;
}

/* Names are kept cut. */
static bool is_name(const char *have, obs_str want) {
  if (want.p == NULL) return true;
  want.len = (uint32_t)obs_utf8_cut(want.p, want.len, OBS_PLAYBOOK_NAME);
  return have[0] != '\0' && obs_str_eq(obs_str_of(have), want);
}

static bool is_of_class(const obs_playbook *e, obs_str want) {
  if (is_name(e->task_class, want)) return true;
  for (uint32_t i = 0; i < e->task_classes.n; i++)
    if (is_name(e->task_classes.v[i].text, want)) return true;
  return false;
}

static bool matches(const obs_playbook *e, const obs_playbooks_filter *f) {
  obs_str kind = e->dont ? OBS_STR("dont") : OBS_STR("do");
  return (f->retired || !e->retired) && (f->kind.p == NULL || obs_str_eq(f->kind, kind)) &&
         is_name(e->endpoint, f->endpoint) && is_of_class(e, f->task_class);
}

static void put_entry(const obs_playbook *e, obs_buf *out) {
  obs_buf_printf(out, "{\"id\":\"%016" PRIx64 "\",", e->id);
  obs_playbook_members(e, change_of(e), out);
  obs_buf_putc(out, '}');
}

observer_err obs_playbooks_list_json(obs_playbooks *p, const obs_playbooks_filter *f, obs_buf *out, uint32_t *total) {
  const obs_playbook *list[OBS_PLAYBOOK_ENTRIES];
  *total = 0;
  obs_buf_putc(out, '[');
  pthread_mutex_lock(&p->lock);
  uint32_t n = in_order(p, list);
  for (uint32_t i = 0; i < n; i++) {
    if (!matches(list[i], f)) continue;
    if (*total < f->limit) {
      if (*total > 0) obs_buf_putc(out, ',');
      put_entry(list[i], out);
    }
    ++*total;
  }
  pthread_mutex_unlock(&p->lock);
  obs_buf_putc(out, ']');
  return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

bool obs_playbooks_one_json(obs_playbooks *p, obs_str id, obs_buf *out) {
  uint64_t want;
  if (!obs_cluster_id_parse(id, &want)) return false;
  pthread_mutex_lock(&p->lock);
  uint32_t at = place_of(p, want);
  bool found = at < p->n;
  if (found) put_entry(p->entries[at], out);
  pthread_mutex_unlock(&p->lock);
  return found;
}

static obs_str given(const char *text) {
  return text[0] != '\0' ? obs_str_of(text) : (obs_str){NULL, 0, 0};
}

void obs_playbooks_each(obs_playbooks *p, void (*fn)(void *arg, const obs_playbook_view *entry), void *arg) {
  const obs_playbook *list[OBS_PLAYBOOK_ENTRIES];
  pthread_mutex_lock(&p->lock);
  uint32_t n = in_order(p, list);
  for (uint32_t i = 0; i < n; i++) {
    const obs_playbook *e = list[i];
    if (e->retired) continue;
    char id[OBS_CLUSTER_ID_LEN + 1];
    obs_cluster_id_format(e->id, id);
    obs_playbook_view v = {.id = {id, OBS_CLUSTER_ID_LEN, 1},
                           .endpoint = given(e->endpoint),
                           .task_class = given(e->task_class),
                           .text = given(e->text),
                           .dont = e->dont,
                           .successes = e->successes};
    for (uint32_t k = 0; k < e->task_classes.n; k++) v.done[v.ndone++] = obs_str_of(e->task_classes.v[k].text);
    fn(arg, &v);
  }
  pthread_mutex_unlock(&p->lock);
}

/* ---- the loop ---- */

static observer_err open_loop(obs_loop_tools *tools, void **loop, char *error_text, size_t size) {
  obs_playbooks *p = NULL;
  obs_playbooks_opts opts = {.dir = tools->opts->dir,
                             .facts = tools->facts,
                             .evidence = tools->evidence,
                             .gateway = tools->gateway,
                             .announce = tools->opts->announce};
  observer_err err = obs_playbooks_open(&opts, &p, error_text, size);
  *loop = p;
  if (err != OBSERVER_E_OK) return err;
  p->every = tools->opts->playbook_cycles != 0 ? tools->opts->playbook_cycles : OBS_PLAYBOOK_CYCLES;
  tools->dont = obs_playbooks_dont;
  tools->dont_arg = p;
  return err;
}

static void run_loop(void *loop, const obs_loop_turn *turn) {
  obs_playbooks *p = loop;
  if (turn->cycle / p->every <= p->consolidated) return;
  p->consolidated = turn->cycle / p->every;
  obs_playbooks_cycle(p, turn->stop);
}

static observer_err put_page(void *loop, const void *filter, obs_buf *out, obs_loop_end *end) {
  uint32_t total = 0;
  observer_err err = obs_playbooks_list_json(loop, filter, out, &total);
  *end = (obs_loop_end){.counted = true, .total = total};
  return err;
}

static bool put_one(void *loop, uint64_t id, obs_buf *out) {
  char text[OBS_CLUSTER_ID_LEN + 1];
  obs_cluster_id_format(id, text);
  return obs_playbooks_one_json(loop, (obs_str){text, OBS_CLUSTER_ID_LEN, 1}, out);
}

static void close_loop(void *loop) {
  obs_playbooks_close(loop);
}

const obs_loop obs_playbooks_loop = {
    .name = "playbooks", .open = open_loop, .cycle = run_loop, .close = close_loop, .page = put_page, .one = put_one};
