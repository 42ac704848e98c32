#include "notify/notify.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/thread.h"
#include "notify/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* RETRY_MS: the first pause after a failure; each further one is twice as long, up to OBS_BREAKER_MS_MAX. */
enum { RETRY_MS = 1000, RETRY_AFTER_MAX_MS = 3600000 };

const char *const obs_notify_severity_names[OBS_NOTIFY_SEVERITIES] = {"info", "warn", "page"};

const char *const obs_notify_type_names[OBS_NOTIFY_TYPE_COUNT] = {
#define OBS_NOTIFY_TYPE_NAME(name, text) [OBS_NOTIFY_##name] = (text),
    OBS_NOTIFY_TYPES(OBS_NOTIFY_TYPE_NAME)
#undef OBS_NOTIFY_TYPE_NAME
};

const char *const obs_notify_why_names[OBS_NOTIFY_WHY_COUNT] = {
#define OBS_NOTIFY_WHY_NAME(name, text) [OBS_NOTIFY_WHY_##name] = (text),
    OBS_NOTIFY_WHYS(OBS_NOTIFY_WHY_NAME)
#undef OBS_NOTIFY_WHY_NAME
};

/* ---- a receiver's thread ---- */

/* What became of a message. A failure is logged when it begins, and when it is over: not at each attempt. */
static void note_result(obs_notify *n, obs_notify_slot *s, const obs_notify_receiver *r, const obs_notify_message *m,
                        const obs_notify_result *result) {
  int64_t now = result->at_ms;
  bool stopped = atomic_load(&n->stopped) || atomic_load(&s->ending);
  pthread_mutex_lock(&n->lock);
  bool was_failing = s->failing;
  if (result->ok) {
    n->counts.sent[r->type]++;
    obs_breaker_result(&s->breaker, true, 1, RETRY_MS, (uint64_t)now);
    obs_notify_book_told(n, m, now);
    s->failing = false;
  } else if (stopped) { /* says nothing about the receiver */
    obs_breaker_release(&s->breaker, (uint64_t)now);
  } else {
    n->counts.failed[r->type]++;
    obs_breaker_result(&s->breaker, false, 1, RETRY_MS, (uint64_t)now);
    uint64_t asked = result->retry_after_ms < RETRY_AFTER_MAX_MS ? result->retry_after_ms : RETRY_AFTER_MAX_MS;
    if (s->breaker.until < (uint64_t)now + asked) s->breaker.until = (uint64_t)now + asked;
    s->failing = true;
  }
  if (result->unsure) s->unsure = m->id;
  if (result->ok || !stopped) obs_buf_fini(&s->in_flight); /* with what it was told, so that a row carried over fits */
  pthread_mutex_unlock(&n->lock);
  if (!result->ok && !stopped && !was_failing)
    obs_log_warn("notify", "receiver %s: %s; it is tried again", r->name, result->error);
  if (result->ok && was_failing) obs_log_info("notify", "receiver %s takes messages again", r->name);
}

/* With the lock, which it gives up meanwhile. */
static void send_one(obs_notify *n, obs_notify_slot *s, obs_notify_message *m) {
  const obs_notify_receiver *r = s->receiver; /* it stays while the thread runs */
  obs_notify_result result;
  (void)obs_breaker_admit(&s->breaker, (uint64_t)m->now_ms); /* its pause is over: due() has looked */
  pthread_mutex_unlock(&n->lock);
  obs_notify_ledger_begin(n, m, r);
  if (n->opts.admit != NULL && !n->opts.admit(n->opts.admit_arg, m->reason != OBS_NOTIFY_KEEP)) {
    atomic_store(&n->stopped, true);
    result = (obs_notify_result){.at_ms = obs_clock_receipt_ms()};
  } else
    obs_notify_send(s, r, m, &result);
  note_result(n, s, r, m, &result);
  /* What a stop has cut off gets no end: it may have been received. */
  if (result.ok || !(atomic_load(&n->stopped) || atomic_load(&s->ending))) obs_notify_ledger_end(n, m, r, &result);
  obs_notify_message_fini(n, m);
  pthread_mutex_lock(&n->lock);
}

static void *slot_thread(void *arg) {
  obs_notify_slot *s = arg;
  obs_notify *n = s->notify;
  uint32_t slot = (uint32_t)(s - n->slots);
  pthread_mutex_lock(&n->lock);
  while (!atomic_load(&n->stopped) && !atomic_load(&s->ending)) {
    obs_notify_message m;
    int64_t now = obs_clock_receipt_ms();
    if (obs_notify_book_due(n, slot, now, &m, &s->planned_ms)) {
      s->planned_ms = 0; /* it looks again by itself */
      send_one(n, s, &m);
      continue;
    }
    if (s->planned_ms > now) obs_thread_cond_wait_ms(&s->wake, &n->lock, (uint64_t)(s->planned_ms - now));
  }
  pthread_mutex_unlock(&n->lock);
  return NULL;
}

/* ---- life ---- */

observer_err obs_notify_open(const obs_notify_opts *opts, obs_notify **out, char *error_text, size_t error_size) {
  observer_err err = OBSERVER_E_NOMEM;
  *out = NULL;
  snprintf(error_text, error_size, "notify: %s", observer_strerror(err));
  obs_notify *n = calloc(1, sizeof *n);
  if (n == NULL) return err;
  n->opts = *opts;
  n->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  pthread_mutex_init(&n->lock, NULL); /* the default kind does not fail */
  pthread_mutex_init(&n->silencing, NULL);
  for (uint32_t i = 0; i < OBS_NOTIFY_SLOTS; i++) n->slots[i].notify = n;
  if (n->stop_fd >= 0 && obs_map_init(&n->places, 64)) err = obs_notify_silences_open(n, error_text, error_size);
  if (err == OBSERVER_E_OK) err = obs_notify_ledger_open(n, error_text, error_size);
  n->opts.dir = NULL; /* the caller's */
  if (err != OBSERVER_E_OK) {
    obs_notify_close(n);
    return err;
  }
  error_text[0] = '\0';
  *out = n;
  return err;
}

observer_err obs_notify_set_public_url(obs_notify *n, const char *url) {
  size_t len = url != NULL ? strlen(url) : 0;
  while (len > 0 && url[len - 1] == '/') len--;
  char *copy = len > 0 ? strndup(url, len) : NULL;
  if (len > 0 && copy == NULL) return OBSERVER_E_NOMEM;
  pthread_mutex_lock(&n->lock);
  free(n->public_url);
  n->public_url = copy;
  pthread_mutex_unlock(&n->lock);
  return OBSERVER_E_OK;
}

/* Place of a receiver in a file that is the same as this one; UINT32_MAX: there is none. */
static uint32_t find_same(const obs_notify_config *c, const obs_notify_receiver *r) {
  for (uint32_t i = 0; c != NULL && i < c->n; i++)
    if (strcmp(c->at[i]->name, r->name) == 0 && c->at[i]->digest == r->digest) return i;
  return UINT32_MAX;
}

/* A receiver that is in `next` as it is stays in use by its thread: it changes places with the new file's own. False:
 * it is not there. */
static bool keep_receiver(obs_notify *n, const obs_notify_slot *s, obs_notify_config *next) {
  uint32_t there = find_same(next, s->receiver), here = find_same(n->config, s->receiver);
  if (there == UINT32_MAX) return false;
  obs_notify_receiver *twin = next->at[there];
  pthread_mutex_lock(&n->lock);
  bool by_default = twin->by_default;
  next->at[there] = n->config->at[here];
  next->at[there]->by_default = by_default;
  n->config->at[here] = twin;
  pthread_mutex_unlock(&n->lock);
  return true;
}

/* Ends the threads of receivers that are not in `next` as they are: all are told to before one is waited for. */
static void end_others(obs_notify *n, obs_notify_config *next) {
  for (uint32_t i = 0; i < OBS_NOTIFY_SLOTS; i++) {
    obs_notify_slot *s = &n->slots[i];
    if (!s->running || keep_receiver(n, s, next)) continue;
    pthread_mutex_lock(&n->lock);
    atomic_store(&s->ending, true);
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&n->lock);
  }
  for (uint32_t i = 0; i < OBS_NOTIFY_SLOTS; i++) {
    obs_notify_slot *s = &n->slots[i];
    if (!atomic_load(&s->ending)) continue;
    pthread_join(s->thread, NULL);
    pthread_mutex_lock(&n->lock);
    s->running = false; /* nobody wakes it from here on */
    s->breaker = (obs_breaker){0};
    s->failing = false;
    pthread_mutex_unlock(&n->lock);
    pthread_cond_destroy(&s->wake);
    atomic_store(&s->ending, false);
  }
}

/* A place for the name: one that is not used any more makes room; there are more than receivers. With the lock. */
static uint32_t place_for(obs_notify *n, const char *name) {
  uint32_t slot = obs_notify_slot_of(n, obs_str_of(name));
  for (uint32_t i = 0; slot == UINT32_MAX && i < OBS_NOTIFY_SLOTS; i++) {
    if (n->slots[i].receiver != NULL || n->slots[i].running) continue;
    obs_buf_fini(&n->slots[i].in_flight);
    n->slots[i] = (obs_notify_slot){.notify = n};
    for (uint32_t k = 0; k < n->entries.n; k++) n->entries.at[k].told[i] = (obs_notify_told){0};
    for (uint32_t k = 0; k < n->rules.n; k++) n->rules.at[k].groups[i] = (obs_notify_group){0};
    slot = obs_notify_slot_of(n, obs_str_of(name));
  }
  return slot;
}

/* With the lock: whoever has something to tell looks whether it runs. */
static observer_err start_slot(obs_notify_slot *s) {
  if (s->running) return OBSERVER_E_OK;
  observer_err err = obs_thread_cond_init(&s->wake);
  if (err != OBSERVER_E_OK) return err;
  err = obs_thread_start(&s->thread, "obs:notify", slot_thread, s);
  s->running = err == OBSERVER_E_OK;
  if (!s->running) pthread_cond_destroy(&s->wake);
  return err;
}

static observer_err start_slots(obs_notify *n) {
  observer_err err = OBSERVER_E_OK;
  pthread_mutex_lock(&n->lock);
  for (uint32_t i = 0; i < OBS_NOTIFY_SLOTS && err == OBSERVER_E_OK; i++)
    if (n->slots[i].receiver != NULL) err = start_slot(&n->slots[i]);
  pthread_mutex_unlock(&n->lock);
  return err;
}

observer_err obs_notify_start(obs_notify *n) {
  n->started = true;
  return start_slots(n);
}

observer_err obs_notify_configure(obs_notify *n, obs_notify_config *config) {
  observer_err err = OBSERVER_E_OK;
  if (config == NULL) {
    config = calloc(1, sizeof *config);
    if (config == NULL) return OBSERVER_E_NOMEM;
  }
  end_others(n, config);
  pthread_mutex_lock(&n->lock);
  obs_notify_config *former = n->config;
  n->config = config;
  for (uint32_t i = 0; i < OBS_NOTIFY_SLOTS; i++) n->slots[i].receiver = NULL;
  for (uint32_t i = 0; i < config->n; i++) {
    uint32_t slot = place_for(n, config->at[i]->name);
    n->slots[slot].receiver = config->at[i];
  }
  obs_notify_book_aim(n);
  pthread_mutex_unlock(&n->lock);
  if (n->started) err = start_slots(n);
  pthread_mutex_lock(&n->lock);
  for (uint32_t i = 0; i < OBS_NOTIFY_SLOTS; i++) obs_notify_book_wake(n, i, 0);
  pthread_mutex_unlock(&n->lock);
  obs_notify_config_free(former);
  return err;
}

void obs_notify_stop(obs_notify *n) {
  atomic_store(&n->stopped, true);
  if (eventfd_write(n->stop_fd, 1) != 0 && errno != EAGAIN) /* EAGAIN: it is readable already */
    obs_log_warn("notify", "cannot interrupt the messages in progress: %s; they end by themselves", strerror(errno));
  pthread_mutex_lock(&n->lock);
  for (uint32_t i = 0; i < OBS_NOTIFY_SLOTS; i++)
    if (n->slots[i].running) pthread_cond_signal(&n->slots[i].wake);
  pthread_mutex_unlock(&n->lock);
}

void obs_notify_close(obs_notify *n) {
  if (n == NULL) return;
  if (n->stop_fd >= 0) obs_notify_stop(n);
  end_others(n, NULL);
  for (uint32_t i = 0; i < n->entries.n; i++) obs_notify_facts_release(n->entries.at[i].facts);
  for (uint32_t i = 0; i < OBS_NOTIFY_SLOTS; i++) {
    obs_buf_fini(&n->slots[i].in_flight);
    cJSON_Delete(n->slots[i].open);
  }
  OBS_VEC_FINI(&n->entries);
  OBS_VEC_FINI(&n->rules);
  obs_map_fini(&n->places);
  obs_notify_silences_fini(n);
  obs_records_close(n->ledger);
  obs_notify_config_free(n->config);
  free(n->public_url);
  if (n->stop_fd >= 0) (void)close(n->stop_fd);
  pthread_mutex_destroy(&n->lock);
  pthread_mutex_destroy(&n->silencing);
  free(n);
}

/* ---- transitions ---- */

static bool fits(const obs_notify_alert *a) {
  bool ok = a->fingerprint != 0 && strlen(a->rule) > 0 && strlen(a->rule) <= OBS_NOTIFY_NAME_MAX &&
            a->nlabels <= OBS_NOTIFY_LABELS && a->nreceivers <= OBS_NOTIFY_RECEIVERS &&
            (unsigned)a->severity < OBS_NOTIFY_SEVERITIES;
  for (uint32_t i = 0; ok && i < a->nlabels; i++) ok = strlen(a->labels[i].name) <= OBS_NOTIFY_NAME_MAX;
  for (uint32_t i = 0; ok && i < a->nreceivers; i++) ok = strlen(a->receivers[i]) <= OBS_NOTIFY_NAME_MAX;
  return ok;
}

/* The row of the feed. */
static void put_row(const obs_notify *n, const obs_notify_facts *f, bool firing, uint64_t silenced_by, obs_buf *out) {
  obs_buf link = {0};
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  obs_json_id(&w, "alert", f->fingerprint);
  obs_json_cstr(&w, "rule", f->rule);
  obs_json_cstr(&w, "severity", obs_notify_severity_names[f->severity]);
  obs_json_cstr(&w, "state", firing ? "firing" : "resolved");
  obs_json_object(&w, "group");
  for (uint32_t i = 0; i < f->nlabels; i++) {
    obs_json_key(&w, obs_str_of(f->labels[i].name));
    obs_json_cstr(&w, NULL, f->labels[i].value);
  }
  obs_json_end(&w);
  obs_json_cstr(&w, "text", f->text);
  obs_json_double(&w, "value", f->value);
  obs_json_double(&w, "threshold", f->threshold);
  obs_json_time(&w, "since", f->since_ms);
  obs_json_time(&w, "fired", f->fired_ms);
  obs_json_time_or_null(&w, "resolved", firing ? 0 : f->resolved_ms);
  obs_notify_text_link(f, n->public_url, &link);
  obs_json_text(&w, "link", link.len > 0 ? obs_buf_view(&link) : (obs_str){0});
  obs_json_u64_or_null(&w, "silenced_by", silenced_by);
  obs_json_end(&w);
  out->oom = out->oom || link.oom;
  obs_buf_fini(&link);
}

static void publish(obs_notify *n, const char *rule, const obs_buf *row) {
  char topic[OBS_NOTIFY_NAME_MAX + 8];
  snprintf(topic, sizeof topic, "alert.%s", rule);
  bool ok = !row->oom && n->opts.publish(n->opts.arg, topic, obs_buf_view(row)) == OBSERVER_E_OK;
  pthread_mutex_lock(&n->lock);
  *(ok ? &n->counts.sent[OBS_NOTIFY_FEED] : &n->counts.failed[OBS_NOTIFY_FEED]) += 1;
  pthread_mutex_unlock(&n->lock);
}

observer_err obs_notify_transition(obs_notify *n, const obs_notify_alert *a) {
  bool changed = false, firing = a->state == OBS_NOTIFY_FIRING;
  if (!fits(a)) return OBSERVER_E_INVALID;
  obs_notify_facts *facts = obs_notify_facts_make(a, n->opts.redact);
  if (facts == NULL) return OBSERVER_E_NOMEM;
  obs_buf row = {0};
  pthread_mutex_lock(&n->lock);
  (void)obs_notify_facts_hold(facts);
  observer_err err = obs_notify_book_take(n, facts, firing, obs_clock_receipt_ms(), &changed);
  if (changed && !a->again && n->opts.publish != NULL)
    put_row(n, facts, firing, obs_notify_silenced_by(n, facts), &row);
  obs_notify_facts_release(facts);
  pthread_mutex_unlock(&n->lock);
  if (row.len > 0 || row.oom) publish(n, a->rule, &row);
  obs_buf_fini(&row);
  return err;
}

void obs_notify_settled(obs_notify *n) {
  pthread_mutex_lock(&n->lock);
  obs_notify_book_settle(n, obs_clock_receipt_ms());
  pthread_mutex_unlock(&n->lock);
}

/* ---- views ---- */

void obs_notify_look_at(obs_notify *n, const obs_notify_alert *a, obs_notify_look *out) {
  *out = (obs_notify_look){0};
  pthread_mutex_lock(&n->lock);
  const obs_notify_entry *e = obs_notify_book_find(n, a->fingerprint);
  if (e != NULL) {
    out->notified_ms = e->notified_ms;
    out->silenced_by = e->silenced_by;
    pthread_mutex_unlock(&n->lock);
    return;
  }
  pthread_mutex_unlock(&n->lock);
  obs_notify_facts *facts = fits(a) ? obs_notify_facts_make(a, n->opts.redact) : NULL;
  if (facts == NULL) return;
  pthread_mutex_lock(&n->lock);
  out->silenced_by = obs_notify_silenced_by(n, facts);
  obs_notify_facts_release(facts);
  pthread_mutex_unlock(&n->lock);
}

void obs_notify_get_counts(obs_notify *n, obs_notify_counts *out) {
  int64_t now = obs_clock_receipt_ms();
  pthread_mutex_lock(&n->lock);
  *out = n->counts;
  out->alerts = n->nentries;
  for (uint32_t i = 0; i < n->silences.n; i++) out->silences += !obs_notify_silence_is_over(&n->silences.at[i], now);
  for (uint32_t i = 0; i < OBS_NOTIFY_SLOTS; i++) {
    const obs_notify_slot *s = &n->slots[i];
    if (s->receiver == NULL) continue;
    out->receivers++;
    out->failing += s->failing;
    if (s->holding) out->held_back += s->held_fired + s->held_ended;
  }
  pthread_mutex_unlock(&n->lock);
  obs_records_get_counts(n->ledger, &out->ledger);
  obs_records_get_counts(n->silence_rows, &out->silence_rows);
}
