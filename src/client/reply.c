#include "base/msgpack_cursor.h"
#include "base/utf8.h"
#include "client/encode.h"
#include "client/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* OPS_MAX: as many as a packet has. REASON_MAX: a longer one is cut. */
enum { OPS_MAX = 1000, REASON_MAX = 512 };

static const char unnamed[] = "rejected, without a reason";

/* ---- the answer ---- */

typedef struct {
  bool retry, ok;                          /* ok: the answer to a key that was taken */
  obs_str denied;                          /* the reason why this peer may not; `p` NULL: it may */
  uint64_t accepted, duplicates, rejected; /* UINT64_MAX: absent, or no count */
  bool duplicate[OPS_MAX];
  obs_str reason[OPS_MAX]; /* `p` NULL: not listed */
  obs_str first_reason, last_reason;
} reply;

/* A count or an index; whatever else stands there is none. */
static bool read_number(obs_cursor *c, uint64_t *out) {
  obs_cursor_value v;
  if (!obs_msgpack_cursor_value(c, &v)) return false;
  *out = v.kind == OBS_VALUE_INT && v.i >= 0 ? (uint64_t)v.i : UINT64_MAX;
  return true;
}

/* The head of a map or array, whose members follow. */
static bool read_head(obs_cursor *c, obs_msgpack_cursor_type type, uint32_t *n) {
  obs_msgpack_cursor_header h;
  if (!obs_msgpack_cursor_head(c, &h)) return false;
  *n = h.n;
  return h.type == type;
}

static bool read_key(obs_cursor *c, obs_str *key) {
  obs_cursor_value v;
  if (!obs_msgpack_cursor_value(c, &v)) return false;
  *key = v.kind == OBS_VALUE_TEXT ? v.s : (obs_str){"", 0, 0};
  return true;
}

/* {"index": n, "error": "reason"} */
static bool read_error(obs_cursor *c, reply *out) {
  obs_str key, reason = {unnamed, sizeof(unnamed) - 1, 0};
  uint64_t index = UINT64_MAX;
  uint32_t n;
  if (!read_head(c, OBS_MSGPACK_MAP, &n)) return false;
  for (; n > 0; n--) {
    obs_cursor_value v;
    if (!read_key(c, &key)) return false;
    if (obs_str_is(key, "index")) {
      if (!read_number(c, &index)) return false;
      continue;
    }
    if (!obs_msgpack_cursor_value(c, &v)) return false;
    if (obs_str_is(key, "error") && v.kind == OBS_VALUE_TEXT && obs_utf8_valid(v.s.p, v.s.len)) reason = v.s;
  }
  if (index < OPS_MAX) out->reason[index] = reason;
  if (out->first_reason.p == NULL) out->first_reason = reason;
  out->last_reason = reason;
  return true;
}

static bool read_reply(obs_str answer, reply *out) {
  obs_cursor c = obs_cursor_of(answer.p, answer.len);
  obs_str key;
  uint32_t n;
  out->accepted = out->duplicates = out->rejected = UINT64_MAX;
  if (!read_head(&c, OBS_MSGPACK_MAP, &n)) return false;
  for (; n > 0; n--) {
    obs_cursor_value v;
    uint64_t index;
    uint32_t left = 0;
    bool ok = true;
    if (!read_key(&c, &key)) return false;
    if (obs_str_is(key, "accepted")) {
      ok = read_number(&c, &out->accepted);
    } else if (obs_str_is(key, "duplicates")) {
      ok = read_number(&c, &out->duplicates);
    } else if (obs_str_is(key, "rejected")) {
      ok = read_number(&c, &out->rejected);
    } else if (obs_str_is(key, "errors")) {
      for (ok = read_head(&c, OBS_MSGPACK_ARRAY, &left); ok && left > 0; left--) ok = read_error(&c, out);
    } else if (obs_str_is(key, "duplicate_ops")) {
      for (ok = read_head(&c, OBS_MSGPACK_ARRAY, &left); ok && left > 0; left--) {
        ok = read_number(&c, &index);
        if (ok && index < OPS_MAX) out->duplicate[index] = true;
      }
    } else {
      ok = obs_msgpack_cursor_value(&c, &v);
      bool is_true = ok && v.kind == OBS_VALUE_BOOL && v.b;
      if (ok && obs_str_is(key, "retry")) out->retry = is_true;
      if (ok && obs_str_is(key, "ok")) out->ok = is_true;
      if (ok && obs_str_is(key, "error") && v.kind == OBS_VALUE_TEXT && obs_utf8_valid(v.s.p, v.s.len))
        out->denied = v.s;
    }
    if (!ok) return false;
  }
  return true;
}

static bool has_counts(const reply *a) {
  return a->accepted < UINT64_MAX && a->duplicates < UINT64_MAX && a->rejected < UINT64_MAX;
}

/* Whether the counts can be those of an answer to `nops` ops. When the daemon stopped reading the message, the sum
 * is lower and there is an error. */
static bool adds_up(const reply *a, uint32_t nops) {
  if (a->accepted > nops || a->duplicates > nops || a->rejected > nops) return false;
  uint64_t sum = a->accepted + a->duplicates + a->rejected;
  return sum == nops || (sum < nops && a->rejected > 0);
}

/* ---- the ops of a packet ---- */

/* Finds op_id in one op and passes it. `id` is "" where there is none. */
static bool next_op_id(obs_cursor *c, char id[OBS_CLIENT_TEXT_MAX + 1]) {
  obs_str key;
  uint32_t n;
  id[0] = '\0';
  if (!read_head(c, OBS_MSGPACK_MAP, &n)) return false;
  for (; n > 0; n--) {
    obs_cursor_value v;
    if (!read_key(c, &key) || !obs_msgpack_cursor_value(c, &v)) return false;
    if (!obs_str_is(key, "op_id") || v.kind != OBS_VALUE_TEXT || v.s.len > OBS_CLIENT_TEXT_MAX) continue;
    memcpy(id, v.s.p, v.s.len);
    id[v.s.len] = '\0';
  }
  return true;
}

/* Fills in what became of op `i`; `d` lives as long as `reason`. */
typedef void (*judge)(void *arg, uint32_t i, observer_delivery *d, char reason[REASON_MAX + 1]);

static void report(observer_client *c, const obs_client_packet *p, judge of, void *arg) {
  char reason[REASON_MAX + 1];
  char *id = c->o.on_delivery != NULL && !p->raw ? malloc(OBS_CLIENT_TEXT_MAX + 1) : NULL;
  obs_cursor r = obs_cursor_of(p->body, p->len);
  uint32_t n;
  const char *topic_end = id != NULL && (unsigned char)*p->body != 0xdd ? memchr(p->body, '\0', p->len) : NULL;
  if (topic_end != NULL) r.p = (const uint8_t *)topic_end + 1;
  bool readable = id != NULL && read_head(&r, OBS_MSGPACK_ARRAY, &n);
  for (uint32_t i = 0; i < p->nops; i++) {
    reason[0] = '\0';
    observer_delivery d = {.op_id = "", .tag = i < p->ntags ? p->tags[i] : NULL};
    of(arg, i, &d, reason);
    if (c->o.on_delivery == NULL) continue;
    readable = readable && next_op_id(&r, id);
    if (readable) d.op_id = id;
    if (d.outcome == OBSERVER_REJECTED || d.outcome == OBSERVER_EXPIRED) d.reason = reason;
    c->o.on_delivery(c->o.delivery_arg, &d);
  }
  free(id);
}

/* ---- verdicts ---- */

typedef struct {
  const reply *reply;
  uint64_t accepted; /* ops that were named neither rejected nor duplicate, and may still be recorded ones */
  obs_client_verdict *verdict;
} trial;

static void cut_reason(char *out, size_t most, const char *text, size_t n) {
  n = obs_utf8_cut(text, n, most);
  memcpy(out, text, n);
  out[n] = '\0';
}

static void reject(trial *t, const obs_str *why, observer_delivery *d, char reason[REASON_MAX + 1]) {
  if (why->p == NULL) why = &t->reply->last_reason;
  cut_reason(reason, REASON_MAX, why->p != NULL ? why->p : unnamed, why->p != NULL ? why->len : sizeof(unnamed) - 1);
  t->verdict->rejected++;
  d->outcome = OBSERVER_REJECTED;
  d->rejected = 1;
}

/* The daemon lists every rejected op, unless it stopped reading the message: then the ops behind are rejected too. */
static void judge_op(void *arg, uint32_t i, observer_delivery *d, char reason[REASON_MAX + 1]) {
  trial *t = arg;
  const obs_str *why = i < OPS_MAX ? &t->reply->reason[i] : &t->reply->last_reason;
  bool duplicate = i < OPS_MAX && t->reply->duplicate[i];
  if (why->p != NULL || (!duplicate && t->accepted == 0)) {
    reject(t, why, d, reason);
    return;
  }
  t->verdict->delivered++;
  if (duplicate) {
    t->verdict->duplicates++;
    d->outcome = OBSERVER_DUPLICATE;
    d->duplicates = 1;
  } else {
    t->accepted--;
    d->outcome = OBSERVER_RECORDED;
    d->accepted = 1;
  }
}

/* A message that counts as one op, whatever it holds. */
static void judge_whole(void *arg, uint32_t i, observer_delivery *d, char reason[REASON_MAX + 1]) {
  trial *t = arg;
  const reply *a = t->reply;
  (void)i;
  if (a->rejected > 0) {
    reject(t, &a->first_reason, d, reason);
  } else {
    bool duplicate = a->duplicates > 0 && a->accepted == 0;
    t->verdict->delivered++;
    t->verdict->duplicates += duplicate;
    d->outcome = duplicate ? OBSERVER_DUPLICATE : OBSERVER_RECORDED;
  }
  d->accepted = a->accepted;
  d->duplicates = a->duplicates;
  d->rejected = a->rejected;
}

/* An older daemon counts its duplicates but does not name them: they are reported as recorded. */
static uint64_t may_be_recorded(const reply *a, uint32_t nops) {
  uint64_t named = 0;
  for (uint32_t i = 0; i < nops && i < OPS_MAX; i++) named += a->duplicate[i] && a->reason[i].p == NULL;
  return a->accepted + (a->duplicates > named ? a->duplicates - named : 0);
}

observer_err obs_client_reply_settle(observer_client *c, const obs_client_packet *p, obs_str answer,
                                     obs_client_verdict *out, char text[OBS_CLIENT_TROUBLE_MAX]) {
  static const char not_answer[] = "the answer is not that of an observer", not_now[] = "it cannot record now";
  reply *a = calloc(1, sizeof(*a));
  *out = (obs_client_verdict){0};
  observer_err err = OBSERVER_E_OK;
  if (a == NULL) {
    err = OBSERVER_E_NOMEM;
    snprintf(text, OBS_CLIENT_TROUBLE_MAX, "%s", observer_strerror(err));
  } else if (!read_reply(answer, a)) {
    err = OBSERVER_E_CORRUPT;
    snprintf(text, OBS_CLIENT_TROUBLE_MAX, "%s", not_answer);
  } else if (a->denied.p != NULL) {
    err = OBSERVER_E_DENIED;
    cut_reason(text, OBS_CLIENT_TROUBLE_MAX - 1, a->denied.p, a->denied.len);
  } else if (!has_counts(a) || (!p->whole && !a->retry && !adds_up(a, p->nops))) {
    err = OBSERVER_E_CORRUPT;
    snprintf(text, OBS_CLIENT_TROUBLE_MAX, "%s", not_answer);
  } else if (a->retry) {
    const obs_str *why = &a->first_reason;
    err = OBSERVER_E_IO;
    cut_reason(text, OBS_CLIENT_TROUBLE_MAX - 1, why->p != NULL ? why->p : not_now,
               why->p != NULL ? why->len : sizeof(not_now) - 1);
  } else {
    trial t = {a, p->whole ? 0 : may_be_recorded(a, p->nops), out};
    report(c, p, p->whole ? judge_whole : judge_op, &t);
  }
  free(a);
  return err;
}

/* An older daemon takes the key for an op, and rejects it: it knows no keys, so none is needed. */
observer_err obs_client_reply_key(obs_str answer, char text[OBS_CLIENT_TROUBLE_MAX]) {
  reply *a = calloc(1, sizeof(*a));
  observer_err err = OBSERVER_E_OK;
  text[0] = '\0';
  if (a == NULL) {
    err = OBSERVER_E_NOMEM;
  } else if (!read_reply(answer, a) || (!a->ok && a->denied.p == NULL && !has_counts(a))) {
    err = OBSERVER_E_CORRUPT;
    snprintf(text, OBS_CLIENT_TROUBLE_MAX, "the answer is not that of an observer");
  } else if (!a->ok && a->denied.p != NULL) {
    err = OBSERVER_E_DENIED;
    cut_reason(text, OBS_CLIENT_TROUBLE_MAX - 1, a->denied.p, a->denied.len);
  }
  free(a);
  return err;
}

typedef struct {
  observer_outcome outcome;
  const char *reason;
} same;

static void judge_same(void *arg, uint32_t i, observer_delivery *d, char reason[REASON_MAX + 1]) {
  const same *s = arg;
  (void)i;
  cut_reason(reason, REASON_MAX, s->reason, strlen(s->reason));
  d->outcome = s->outcome;
}

void obs_client_report_all(observer_client *c, const obs_client_packet *p, observer_outcome outcome,
                           const char *reason) {
  report(c, p, judge_same, &(same){outcome, reason});
}
