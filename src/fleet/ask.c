#include "fleet/ask.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/json_cursor.h"
#include "base/thread.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* ---- what is asked ---- */

static const char prefix[] = "/v1/observer/";

bool obs_fleet_ask_is_name(const char *who, size_t len) {
  if (len == 0 || len > OBS_FLEET_ASK_WHO_MAX) return false;
  for (size_t i = 0; i < len; i++)
    if (!((who[i] >= '0' && who[i] <= '9') || (who[i] >= 'a' && who[i] <= 'z') || who[i] == '-')) return false;
  return true;
}

/* Printable, and nothing that a URL ends at or a path may climb by: what it says is what the bridge gets. */
static bool is_target(const char *t, size_t len) {
  const char *query = memchr(t, '?', len);
  size_t path = query != NULL ? (size_t)(query - t) : len;
  if (len > OBS_FLEET_ASK_TARGET || len <= sizeof prefix - 1 || memcmp(t, prefix, sizeof prefix - 1) != 0) return false;
  for (size_t i = 0; i < len; i++)
    if (t[i] <= ' ' || t[i] >= 0x7f || strchr("#\"\\<>{}|^`", t[i]) != NULL) return false;
  return memchr(t, '%', path) == NULL && memmem(t, path, "..", 2) == NULL && memmem(t, path, "//", 2) == NULL &&
         memmem(t, path, "/.", 2) == NULL;
}

/* A parameter of a member's own. */
static bool is_more(const char *t, size_t len) {
  if (len > OBS_FLEET_ASK_TARGET) return false;
  for (size_t i = 0; i < len; i++)
    if (t[i] <= ' ' || t[i] >= 0x7f || strchr("#\"\\<>{}|^`?&%+", t[i]) != NULL) return false;
  return true;
}

/* The text that comes next, which has no escapes: what may be asked needs none. */
static bool take_text(obs_cursor *c, obs_str *out) {
  obs_cursor_value v;
  obs_json_cursor_space(c);
  if (!obs_json_cursor_take(c, '"') || !obs_json_cursor_string(c, &v)) return false;
  *out = v.s;
  return memchr(v.s.p, '\\', v.s.len) == NULL;
}

/* `{"who":"more",...}`; *mine: it names `who`. */
static bool take_members(obs_cursor *c, const char *who, bool *mine, obs_str *more) {
  obs_json_cursor_space(c);
  if (!obs_json_cursor_take(c, '{')) return false;
  obs_json_cursor_space(c);
  if (obs_json_cursor_take(c, '}')) return true;
  for (uint32_t n = 0; n < OBS_FLEET_ASK_MEMBERS; n++) {
    obs_cursor_value key;
    obs_str text;
    if (!obs_json_cursor_key(c, &key) || !take_text(c, &text) || !is_more(text.p, text.len)) return false;
    if (obs_str_is(key.s, who)) {
      *mine = true;
      *more = text;
    }
    obs_json_cursor_space(c);
    if (obs_json_cursor_take(c, '}')) return true;
    if (!obs_json_cursor_take(c, ',')) return false;
    obs_json_cursor_space(c);
  }
  return false;
}

obs_fleet_asked obs_fleet_ask_read(const void *data, size_t len, const char *who,
                                   char target[OBS_FLEET_ASK_TARGET + 1]) {
  obs_cursor c = obs_cursor_of(data, len);
  obs_str path = {0}, more = {0};
  bool version = false, chosen = false, mine = false, ended = false;
  obs_json_cursor_space(&c);
  if (!obs_json_cursor_take(&c, '{')) return OBS_FLEET_ASK_WRONG;
  while (!ended) {
    obs_cursor_value key, v;
    obs_json_cursor_space(&c);
    if (!obs_json_cursor_key(&c, &key)) return OBS_FLEET_ASK_WRONG;
    bool good;
    if (obs_str_is(key.s, "target")) {
      good = path.p == NULL && take_text(&c, &path) && is_target(path.p, path.len);
    } else if (obs_str_is(key.s, "for")) {
      good = !chosen && take_members(&c, who, &mine, &more);
      chosen = true;
    } else if (obs_str_is(key.s, "v")) {
      good = obs_json_cursor_value(&c, &v) && v.kind == OBS_VALUE_INT && v.i == 1;
      version = true;
    } else {
      good = obs_json_cursor_skip(&c);
    }
    if (!good) return OBS_FLEET_ASK_WRONG;
    obs_json_cursor_space(&c);
    ended = obs_json_cursor_take(&c, '}');
    if (!ended && !obs_json_cursor_take(&c, ',')) return OBS_FLEET_ASK_WRONG;
  }
  if (!version || path.p == NULL || path.len + 1 + more.len > OBS_FLEET_ASK_TARGET) return OBS_FLEET_ASK_WRONG;
  if (chosen && !mine) return OBS_FLEET_ASK_OTHERS;
  bool has = memchr(path.p, '?', path.len) != NULL;
  (void)snprintf(target, OBS_FLEET_ASK_TARGET + 1, "%.*s%s%.*s", (int)path.len, path.p,
                 more.len == 0 ? ""
                 : has         ? "&"
                               : "?",
                 (int)more.len, more.len > 0 ? more.p : "");
  return OBS_FLEET_ASK_MINE;
}

/* The body of a question. False: it is none, or there is no memory (`out->oom`). */
static bool put_question(const obs_fleet_question *q, obs_buf *out) {
  if (!is_target(q->target, strlen(q->target))) return false;
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "v", 1);
  obs_json_cstr(&w, "target", q->target);
  if (q->only) {
    obs_json_object(&w, "for");
    for (uint32_t i = 0; i < q->nmembers; i++) {
      const char *more = q->members[i].more != NULL ? q->members[i].more : "";
      if (!obs_fleet_ask_is_name(q->members[i].who, strlen(q->members[i].who)) || !is_more(more, strlen(more)))
        return false;
      obs_json_cstr(&w, q->members[i].who, more);
    }
    obs_json_end(&w);
  }
  obs_json_end(&w);
  return !out->oom;
}

/* ---- the answers ---- */

enum { INBOX = 48, PARTS_MAX = OBS_FLEET_ASK_BODY / OBS_FLEET_ASK_PART, WORKING = 102 };

typedef struct {
  char who[OBS_FLEET_ASK_WHO_MAX + 1];
  uint16_t status; /* 0: nothing has come */
  uint32_t n, have;
  obs_buf parts[PARTS_MAX]; /* those that came */
  bool came[PARTS_MAX];
  bool heard; /* it is working, or has answered */
  bool away;
} member;

/* A question under way; of the thread that asks. */
typedef struct question {
  struct question *next;
  uint64_t number;
  member *members; /* OBS_FLEET_ASK_MEMBERS of them, sorted by name */
  uint32_t n;
  uint64_t bytes;
} question;

struct obs_fleet_asker {
  obs_nats *nats;
  char inbox[INBOX];
  obs_nats_listener *listener;
  pthread_mutex_t lock; /* of what follows */
  pthread_cond_t came;
  uint64_t number;
  question *questions;
  obs_fleet_asker_counts counts;
};

static bool is_whole(const member *m) {
  return m->status != 0 && m->have == m->n;
}

/* The member of that name, which becomes one if there is room; NULL: there is none. */
static member *find_member(question *q, const char *who) {
  uint32_t i = 0;
  while (i < q->n && strcmp(q->members[i].who, who) < 0) i++;
  if (i < q->n && strcmp(q->members[i].who, who) == 0) return &q->members[i];
  if (q->n == OBS_FLEET_ASK_MEMBERS) return NULL;
  memmove(&q->members[i + 1], &q->members[i], (q->n - i) * sizeof *q->members);
  q->n++;
  q->members[i] = (member){.status = 0};
  (void)snprintf(q->members[i].who, sizeof q->members[i].who, "%s", who);
  return &q->members[i];
}

/* Takes a part in. False: it is not to be taken. */
static bool take_part(question *q, const char *who, uint32_t status, uint32_t k, uint32_t n, const void *data,
                      size_t len) {
  member *m = find_member(q, who);
  if (m == NULL) return false;
  m->heard = true;
  if (status == WORKING) return n == 0;
  if (status < 200 || status > 599 || n == 0 || n > PARTS_MAX || k >= n || len > OBS_FLEET_ASK_PART) return false;
  if (m->status != 0 && (m->status != status || m->n != n)) return false;
  if (m->came[k] || q->bytes + len > OBS_FLEET_ASK_BYTES) return false;
  m->status = (uint16_t)status;
  m->n = n;
  if (len > 0) obs_buf_append(&m->parts[k], data, len);
  if (m->parts[k].oom) return false;
  m->came[k] = true;
  m->have++;
  q->bytes += len;
  return true;
}

/* On libnats' thread. `<inbox>.<number>.<who>.<status>.<k>.<n>` */
static void on_answer(void *arg, const char *subject, const char *reply, const void *data, size_t len) {
  obs_fleet_asker *a = arg;
  uint64_t number;
  uint32_t status, k, n;
  char who[OBS_FLEET_ASK_WHO_MAX + 1];
  int end = 0;
  (void)reply;
  size_t skip = strlen(a->inbox);
  bool good = strlen(subject) > skip &&
              sscanf(subject + skip, ".%" SCNu64 ".%32[0-9a-z-].%" SCNu32 ".%" SCNu32 ".%" SCNu32 "%n", &number, who,
                     &status, &k, &n, &end) == 5 &&
              subject[skip + (size_t)end] == '\0';
  pthread_mutex_lock(&a->lock);
  question *q = good ? a->questions : NULL;
  while (q != NULL && q->number != number) q = q->next;
  if (q == NULL || !take_part(q, who, status, k, n, data, len))
    a->counts.dropped++;
  else
    pthread_cond_broadcast(&a->came);
  pthread_mutex_unlock(&a->lock);
}

observer_err obs_fleet_asker_open(obs_nats *nats, obs_fleet_asker **out, char *why) {
  uint64_t id;
  char all[INBOX + 2];
  *out = NULL;
  obs_fleet_asker *a = calloc(1, sizeof *a);
  if (a == NULL) return OBSERVER_E_NOMEM;
  a->nats = nats;
  pthread_mutex_init(&a->lock, NULL); /* the default kind does not fail */
  observer_err err = obs_thread_cond_init(&a->came);
  if (err != OBSERVER_E_OK) {
    pthread_mutex_destroy(&a->lock);
    free(a);
    return err;
  }
  if (getrandom(&id, sizeof id, 0) != sizeof id) id = obs_clock_mono_ns() ^ (uint64_t)(uintptr_t)a;
  (void)snprintf(a->inbox, sizeof a->inbox, "observer.got.%016" PRIx64, id);
  (void)snprintf(all, sizeof all, "%s.>", a->inbox);
  err = obs_nats_listen(nats, all, on_answer, a, &a->listener, why);
  if (err == OBSERVER_E_OK)
    *out = a;
  else
    obs_fleet_asker_close(a);
  return err;
}

void obs_fleet_asker_close(obs_fleet_asker *a) {
  if (a == NULL) return;
  obs_nats_listener_close(a->listener);
  pthread_cond_destroy(&a->came);
  pthread_mutex_destroy(&a->lock);
  free(a);
}

void obs_fleet_asker_add_counts(obs_fleet_asker *a, obs_fleet_asker_counts *sum) {
  if (a == NULL) return;
  pthread_mutex_lock(&a->lock);
  sum->asked += a->counts.asked;
  sum->missing += a->counts.missing;
  sum->dropped += a->counts.dropped;
  pthread_mutex_unlock(&a->lock);
}

static const member *first_whole(const question *q) {
  const member *m = q->members, *end = m + q->n;
  while (m < end && !is_whole(m)) m++;
  return m < end ? m : NULL;
}

/* Whether nothing more is to be waited for. `begun`: who was not heard of by now will not be; before that, more may be
 * heard of, unless it is known who is expected. With the lock. */
static bool is_done(const question *q, const obs_fleet_question *asked, bool begun) {
  uint32_t waiting = 0;
  if (asked->one && first_whole(q) != NULL) return true;
  for (const member *m = q->members, *end = m + q->n; m < end; m++)
    waiting += !is_whole(m) && (m->heard || (!begun && !m->away));
  return waiting == 0 && (begun || (asked->nmembers > 0 && !asked->one));
}

static void wait_for(obs_fleet_asker *a, const question *q, const obs_fleet_question *asked) {
  uint64_t start_ms = obs_clock_mono_ms(), passed_ms;
  while ((passed_ms = obs_clock_mono_ms() - start_ms) < OBS_FLEET_ASK_WAIT_MS) {
    bool begun = passed_ms >= OBS_FLEET_ASK_BEGIN_MS;
    if (is_done(q, asked, begun)) return;
    obs_thread_cond_wait_ms(&a->came, &a->lock, (begun ? OBS_FLEET_ASK_WAIT_MS : OBS_FLEET_ASK_BEGIN_MS) - passed_ms);
  }
}

/* The body of one that is whole, in `space`. */
static bool give(const member *m, obs_buf *space, void (*fn)(void *arg, const obs_fleet_reply *reply), void *arg) {
  obs_fleet_reply r = {.who = m->who, .status = is_whole(m) ? m->status : 0};
  obs_buf_reset(space, OBS_FLEET_ASK_PART);
  for (uint32_t k = 0; r.status != 0 && k < m->n; k++) obs_buf_append(space, m->parts[k].p, m->parts[k].len);
  if (space->oom) return false;
  r.body = obs_buf_view(space);
  fn(arg, &r);
  return true;
}

static observer_err give_all(const question *q, bool one, void (*fn)(void *arg, const obs_fleet_reply *reply),
                             void *arg) {
  obs_buf space = {0};
  bool good = true;
  const member *first = one ? first_whole(q) : NULL;
  if (one && first == NULL) return OBSERVER_E_NOTFOUND;
  if (one) good = give(first, &space, fn, arg);
  for (uint32_t i = 0; !one && good && i < q->n; i++) good = give(&q->members[i], &space, fn, arg);
  obs_buf_fini(&space);
  return good ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

static void question_begin(obs_fleet_asker *a, question *q) {
  pthread_mutex_lock(&a->lock);
  q->number = ++a->number;
  q->next = a->questions;
  a->questions = q;
  a->counts.asked++;
  pthread_mutex_unlock(&a->lock);
}

static void question_end(obs_fleet_asker *a, question *q) {
  pthread_mutex_lock(&a->lock);
  question **at = &a->questions;
  while (*at != q) at = &(*at)->next;
  *at = q->next;
  for (uint32_t i = 0; i < q->n; i++) a->counts.missing += !is_whole(&q->members[i]);
  pthread_mutex_unlock(&a->lock);
}

observer_err obs_fleet_ask(obs_fleet_asker *a, const obs_fleet_question *q,
                           void (*fn)(void *arg, const obs_fleet_reply *reply), void *arg) {
  char reply[INBOX + 24];
  obs_buf body = {0};
  question mine = {.members = calloc(OBS_FLEET_ASK_MEMBERS, sizeof *mine.members)};
  if (mine.members == NULL) return OBSERVER_E_NOMEM;
  bool good = q->nmembers <= OBS_FLEET_ASK_MEMBERS && put_question(q, &body);
  observer_err err = body.oom ? OBSERVER_E_NOMEM : good ? OBSERVER_E_OK : OBSERVER_E_INVALID;
  if (err == OBSERVER_E_OK && !obs_nats_is_connected(a->nats)) err = OBSERVER_E_NET;
  if (err == OBSERVER_E_OK) {
    for (uint32_t i = 0; i < q->nmembers; i++) {
      member *m = find_member(&mine, q->members[i].who);
      if (m != NULL) m->away = q->members[i].away;
    }
    question_begin(a, &mine);
    (void)snprintf(reply, sizeof reply, "%s.%" PRIu64, a->inbox, mine.number);
    err = obs_nats_send(a->nats, q->subject, reply, body.p, body.len);
    if (err == OBSERVER_E_OK) {
      pthread_mutex_lock(&a->lock);
      wait_for(a, &mine, q);
      pthread_mutex_unlock(&a->lock);
    }
    question_end(a, &mine); /* what comes later is for nobody */
    if (err == OBSERVER_E_OK) err = give_all(&mine, q->one, fn, arg);
  }
  for (uint32_t i = 0; i < mine.n; i++)
    for (uint32_t k = 0; k < PARTS_MAX; k++) obs_buf_fini(&mine.members[i].parts[k]);
  free(mine.members);
  obs_buf_fini(&body);
  return err;
}
