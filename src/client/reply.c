#include "base/utf8.h"
#include "client/encode.h"
#include "client/internal.h"
#include "client/mp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* OPS_MAX: as many as a packet has. REASON_MAX: a longer one is cut. DEPTH: of an answer, with room for what a later
 * daemon may add. */
enum { OPS_MAX = 1000, REASON_MAX = 512, DEPTH = 16 };

static const char unnamed[] = "rejected, without a reason";

/* ---- the answer ---- */

typedef struct {
  bool retry;
  uint64_t accepted, duplicates, rejected; /* UINT64_MAX: absent, or no count */
  bool duplicate[OPS_MAX];
  obs_mp_item reason[OPS_MAX]; /* `p` NULL: not listed */
  obs_mp_item first_reason, last_reason;
} reply;

static bool is(const obs_mp_item *item, const char *text) {
  return item->type == OBS_MP_STR && item->n == strlen(text) && memcmp(item->p, text, item->n) == 0;
}

/* A count or an index; whatever else stands there is none. */
static bool read_number(obs_mp_reader *r, uint64_t *out) {
  obs_mp_item item;
  obs_mp_reader value = *r;
  if (!obs_mp_skip(r, DEPTH) || !obs_mp_next(&value, &item)) return false;
  bool natural = item.type == OBS_MP_UINT || (item.type == OBS_MP_INT && (int64_t)item.u >= 0);
  *out = natural ? item.u : UINT64_MAX;
  return true;
}

static bool read_error(obs_mp_reader *r, reply *out) {
  obs_mp_item map, key, text = {0};
  uint64_t index = UINT64_MAX;
  if (!obs_mp_next(r, &map)) return false;
  if (map.type != OBS_MP_MAP) return false;
  for (uint32_t i = 0; i < map.n; i++) {
    if (!obs_mp_next(r, &key)) return false;
    if (is(&key, "index")) {
      if (!read_number(r, &index)) return false;
    } else {
      obs_mp_reader value = *r;
      if (!obs_mp_skip(r, DEPTH)) return false;
      if (is(&key, "error") && !obs_mp_next(&value, &text)) return false;
    }
  }
  if (text.type != OBS_MP_STR || !obs_utf8_valid(text.p, text.n))
    text = (obs_mp_item){OBS_MP_STR, 0, unnamed, sizeof(unnamed) - 1};
  if (index < OPS_MAX) out->reason[index] = text;
  if (out->first_reason.p == NULL) out->first_reason = text;
  out->last_reason = text;
  return true;
}

static bool read_errors(obs_mp_reader *r, reply *out) {
  obs_mp_item list;
  if (!obs_mp_next(r, &list) || list.type != OBS_MP_ARRAY) return false;
  for (uint32_t i = 0; i < list.n; i++) {
    if (!read_error(r, out)) return false;
  }
  return true;
}

static bool read_duplicate_ops(obs_mp_reader *r, reply *out) {
  obs_mp_item list;
  if (!obs_mp_next(r, &list) || list.type != OBS_MP_ARRAY) return false;
  for (uint32_t i = 0; i < list.n; i++) {
    uint64_t index;
    if (!read_number(r, &index)) return false;
    if (index < OPS_MAX) out->duplicate[index] = true;
  }
  return true;
}

static bool read_retry(obs_mp_reader *r, reply *out) {
  obs_mp_item item;
  obs_mp_reader value = *r;
  if (!obs_mp_skip(r, DEPTH) || !obs_mp_next(&value, &item)) return false;
  out->retry = item.type == OBS_MP_BOOL && item.u != 0;
  return true;
}

static bool read_accepted(obs_mp_reader *r, reply *out) {
  return read_number(r, &out->accepted);
}
static bool read_duplicates(obs_mp_reader *r, reply *out) {
  return read_number(r, &out->duplicates);
}
static bool read_rejected(obs_mp_reader *r, reply *out) {
  return read_number(r, &out->rejected);
}

static const struct {
  const char *key;
  bool (*read)(obs_mp_reader *r, reply *out);
} keys[] = {
    {"accepted", read_accepted}, {"duplicates", read_duplicates},       {"rejected", read_rejected},
    {"errors", read_errors},     {"duplicate_ops", read_duplicate_ops}, {"retry", read_retry},
};

static bool read_pair(obs_mp_reader *r, reply *out) {
  obs_mp_item key;
  if (!obs_mp_next(r, &key)) return false;
  for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
    if (is(&key, keys[i].key)) return keys[i].read(r, out);
  }
  return obs_mp_skip(r, DEPTH);
}

static bool read_reply(const nng_msg *msg, reply *out) {
  obs_mp_reader r = {nng_msg_body((nng_msg *)msg), NULL};
  obs_mp_item map;
  r.end = r.p + nng_msg_len(msg);
  out->accepted = out->duplicates = out->rejected = UINT64_MAX;
  if (!obs_mp_next(&r, &map) || map.type != OBS_MP_MAP) return false;
  for (uint32_t i = 0; i < map.n; i++) {
    if (!read_pair(&r, out)) return false;
  }
  return out->accepted < UINT64_MAX && out->duplicates < UINT64_MAX && out->rejected < UINT64_MAX;
}

/* Whether the counts can be those of an answer to `nops` ops. A message that the daemon broke off has fewer in all, and
 * an error that says why. */
static bool adds_up(const reply *a, uint32_t nops) {
  if (a->accepted > nops || a->duplicates > nops || a->rejected > nops) return false;
  uint64_t sum = a->accepted + a->duplicates + a->rejected;
  return sum == nops || (sum < nops && a->rejected > 0);
}

/* ---- the ops of a packet ---- */

/* Finds op_id in one op and passes it. `id` is "" where there is none. */
static bool next_op_id(obs_mp_reader *r, char id[OBS_CLIENT_TEXT_MAX + 1]) {
  obs_mp_item map, key, value;
  id[0] = '\0';
  if (!obs_mp_next(r, &map) || map.type != OBS_MP_MAP) return false;
  for (uint32_t i = 0; i < map.n; i++) {
    if (!obs_mp_next(r, &key)) return false;
    obs_mp_reader at = *r;
    if (!obs_mp_skip(r, OBS_CLIENT_DEPTH_MAX + 1)) return false;
    if (!is(&key, "op_id") || !obs_mp_next(&at, &value)) continue;
    if (value.type != OBS_MP_STR || value.n > OBS_CLIENT_TEXT_MAX) continue;
    memcpy(id, value.p, value.n);
    id[value.n] = '\0';
  }
  return true;
}

/* Fills in what became of op `i`; `d` lives as long as `reason`. */
typedef void (*judge)(void *arg, uint32_t i, observer_delivery *d, char reason[REASON_MAX + 1]);

static void report(observer_client *c, const obs_client_packet *p, judge of, void *arg) {
  char reason[REASON_MAX + 1];
  char *id = c->o.on_delivery != NULL && !p->raw ? malloc(OBS_CLIENT_TEXT_MAX + 1) : NULL;
  obs_mp_reader r = {p->body, p->body + p->len};
  obs_mp_item head;
  const char *topic_end = id != NULL && (unsigned char)*p->body != 0xdd ? memchr(p->body, '\0', p->len) : NULL;
  if (topic_end != NULL) r.p = topic_end + 1;
  bool readable = id != NULL && obs_mp_next(&r, &head);
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
  if (n > most) {
    for (n = most; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;) n--;
  }
  memcpy(out, text, n);
  out[n] = '\0';
}

static void reject(trial *t, const obs_mp_item *why, observer_delivery *d, char reason[REASON_MAX + 1]) {
  if (why->p == NULL) why = &t->reply->last_reason;
  cut_reason(reason, REASON_MAX, why->p != NULL ? why->p : unnamed, why->p != NULL ? why->n : sizeof(unnamed) - 1);
  t->verdict->rejected++;
  d->outcome = OBSERVER_REJECTED;
  d->rejected = 1;
}

/* The daemon lists every rejected op, unless it broke the message off: then what comes after is rejected too. */
static void judge_op(void *arg, uint32_t i, observer_delivery *d, char reason[REASON_MAX + 1]) {
  trial *t = arg;
  const obs_mp_item *why = i < OPS_MAX ? &t->reply->reason[i] : &t->reply->last_reason;
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

/* A daemon that does not name its duplicates counts them: they are recorded ones then. */
static uint64_t may_be_recorded(const reply *a, uint32_t nops) {
  uint64_t named = 0;
  for (uint32_t i = 0; i < nops && i < OPS_MAX; i++) named += a->duplicate[i] && a->reason[i].p == NULL;
  return a->accepted + (a->duplicates > named ? a->duplicates - named : 0);
}

observer_err obs_client_reply_settle(observer_client *c, const obs_client_packet *p, const nng_msg *answer,
                                     obs_client_verdict *out, char text[OBS_CLIENT_TROUBLE_MAX]) {
  static const char not_answer[] = "the answer is not that of an observer", not_now[] = "it cannot record now";
  reply *a = calloc(1, sizeof(*a));
  *out = (obs_client_verdict){0};
  observer_err err = OBSERVER_E_OK;
  if (a == NULL) {
    err = OBSERVER_E_NOMEM;
    snprintf(text, OBS_CLIENT_TROUBLE_MAX, "%s", observer_strerror(err));
  } else if (!read_reply(answer, a) || (!p->whole && !a->retry && !adds_up(a, p->nops))) {
    err = OBSERVER_E_CORRUPT;
    snprintf(text, OBS_CLIENT_TROUBLE_MAX, "%s", not_answer);
  } else if (a->retry) {
    const obs_mp_item *why = &a->first_reason;
    err = OBSERVER_E_IO;
    cut_reason(text, OBS_CLIENT_TROUBLE_MAX - 1, why->p != NULL ? why->p : not_now,
               why->p != NULL ? why->n : sizeof(not_now) - 1);
  } else {
    trial t = {a, p->whole ? 0 : may_be_recorded(a, p->nops), out};
    report(c, p, p->whole ? judge_whole : judge_op, &t);
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
