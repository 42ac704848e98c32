#include "observerctl/publish/publisher.h"

#include "base/clock.h"
#include "observerctl/ask/credentials.h"
#include "observerctl/ask/fetch.h"
#include "observerctl/cli/args.h"

#include <stdlib.h>

/* SLICE_MS: libobserver knows no signals, so they are looked for that often; PUB needs a quiet moment that is shorter.
 * GRACE_MS: what is under way when a signal comes may take so long. At a rate, a batch is sent MESSAGES_A_SECOND times
 * a second, so that the flow is even. MESSAGE_OPS: libobserver's limit. ASK_MS: for the daemon's answer where its
 * sockets are. */
enum { SLICE_MS = 200, GRACE_MS = 300, MESSAGES_A_SECOND = 10, MESSAGE_OPS = 1000 };
enum { MESSAGE_BYTES = 1 << 20, ASK_MS = 5000 };

struct obs_publisher_item {
  obs_publisher_origin origin;
  bool reported;
  observer_delivery delivery; /* its texts are gone */
  char *reason;               /* NULL: none */
};

static const struct {
  const char *flag, *peer;
  obs_socket_kind socket;
} modes[] = {
    [OBSERVER_PUSH] = {"push", "PULL", OBS_SOCKET_PULL},
    [OBSERVER_PUB] = {"pub", "SUB", OBS_SOCKET_SUB},
    [OBSERVER_ACKNOWLEDGED] = {"req", "REP", OBS_SOCKET_REP},
};

bool obs_publisher_choose(const obs_args *args, observer_mode *mode, const char **url) {
  const char *given = NULL;
  bool chosen = false;
  *url = NULL;
  for (size_t k = 0; k < args->command->nflags; k++) {
    const char *flag = args->command->flags[k].name;
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
      if (strcmp(modes[i].flag, flag) != 0) continue;
      bool this_one = obs_args_given(args, flag);
      if (this_one && given != NULL) {
        obs_args_error(args, "--%s, --%s: one of them, not both", given, flag);
        return false;
      }
      if (!this_one && chosen) continue;
      *mode = (observer_mode)i;
      chosen = true;
      if (!this_one) continue;
      given = flag;
      *url = obs_args_text(args, flag);
      if (**url == '\0') *url = NULL;
    }
  }
  for (size_t k = 0; k < args->command->nflags; k++) {
    if (strcmp(args->command->flags[k].name, "no-ack") != 0 || !obs_args_given(args, "no-ack")) continue;
    if (given != NULL && *mode == OBSERVER_ACKNOWLEDGED) {
      obs_args_error(args, "--%s, --no-ack: one of them, not both", given);
      return false;
    }
    if (given == NULL) *mode = OBSERVER_PUSH;
  }
  return true;
}

bool obs_publisher_find(const obs_args *args, observer_mode mode, uint32_t timeout_ms, char url[OBS_SOCKETS_URL_MAX],
                        char *error, size_t size) {
  return obs_sockets_find(args, modes[mode].socket, timeout_ms < ASK_MS ? timeout_ms : ASK_MS, url, error, size);
}

static bool fail(obs_publisher *p, const char *reason, bool timed_out) {
  p->failed = true;
  if (timed_out)
    snprintf(p->error, sizeof(p->error), "%s: %s (tried for %u ms)", p->url, reason, (unsigned)p->timeout_ms);
  else
    snprintf(p->error, sizeof(p->error), "%s: %s", p->url, reason);
  return false;
}

/* ---- waiting ---- */

typedef struct {
  uint64_t settled; /* records that got through so far */
  uint64_t end_ms;
  bool stopping, expired;
} patience;

static patience begin(const obs_publisher *p) {
  return (patience){.end_ms = obs_clock_mono_ms() + p->timeout_ms};
}

static uint32_t slice(const obs_publisher *p, const patience *w) {
  uint64_t now = obs_clock_mono_ms(), left = w->end_ms > now ? w->end_ms - now : 0;
  return left < SLICE_MS && p->mode != OBSERVER_PUB ? (uint32_t)left : SLICE_MS;
}

/* Between two slices of a wait: whether to go on. False: stopped, failed, or, when only the time is over, w->expired.
 */
static bool go_on(obs_publisher *p, patience *w) {
  observer_counters n;
  char text[256], why[320];
  uint64_t now = obs_clock_mono_ms();
  observer_get_counters(p->client, &n);
  if (n.delivered + n.rejected > w->settled) {
    w->settled = n.delivered + n.rejected;
    if (!w->stopping) w->end_ms = now + p->timeout_ms;
  }
  /* libobserver asks again whatever the answer is. What is no observer will not become one, and who lacks a key is told
   * at once. */
  observer_err trouble = observer_get_trouble(p->client, text, sizeof(text));
  if (trouble == OBSERVER_E_DENIED) obs_credentials_advise(text, why, sizeof(why));
  if (trouble == OBSERVER_E_CORRUPT || trouble == OBSERVER_E_DENIED)
    return fail(p, trouble == OBSERVER_E_DENIED ? why : text, false);
  if (!w->stopping && obs_interrupt_pending(p->interrupt)) {
    w->stopping = true;
    if (now + GRACE_MS < w->end_ms) w->end_ms = now + GRACE_MS;
  }
  if (now < w->end_ms) return true;
  p->stopped = w->stopping;
  w->expired = !w->stopping;
  return false;
}

static bool fail_late(obs_publisher *p) {
  char text[256];
  observer_err trouble = observer_get_trouble(p->client, text, sizeof(text));
  if (trouble == OBSERVER_E_IO) return fail(p, text, false); /* its answer has the reason why it cannot record */
  return fail(p, p->mode == OBSERVER_ACKNOWLEDGED ? "no answer" : "does not take the message", true);
}

/* Waits until everything published is answered, or written. */
static bool settle(obs_publisher *p) {
  patience w = begin(p);
  while (observer_flush(p->client, slice(p, &w)) != OBSERVER_E_OK) {
    if (!go_on(p, &w)) return w.expired ? fail_late(p) : false;
  }
  return true;
}

/* ---- opening ---- */

/* On the client's thread, while the caller waits in settle() or gathers other records. */
static void on_delivery(void *arg, const observer_delivery *d) {
  obs_publisher_item *item = d->tag;
  (void)arg;
  item->reported = true;
  item->delivery = *d;
  item->reason = d->reason != NULL ? strdup(d->reason) : NULL;
}

/* What has not failed either hangs, or waits for a peer of another kind. */
static bool fail_to_connect(obs_publisher *p) {
  char text[128], why[256];
  size_t url = strlen(p->url);
  snprintf(text, sizeof(text), "the listener there is not a %s socket (wrong port?), or it hangs", modes[p->mode].peer);
  if (observer_get_trouble(p->client, why, sizeof(why)) != OBSERVER_E_NET) return fail(p, text, true);
  return fail(p, strncmp(why, p->url, url) == 0 ? why + url + 2 : why, true);
}

static bool is_interrupted(void *arg) {
  const obs_publisher *p = arg;
  return obs_interrupt_pending(p->interrupt);
}

static bool find(obs_publisher *p) {
  obs_fetch_set_stop(is_interrupted, p);
  bool ok = obs_publisher_find(p->args, p->mode, p->timeout_ms, p->found, p->error, sizeof(p->error));
  obs_fetch_set_stop(NULL, NULL);
  p->url = p->found;
  p->stopped = !ok && is_interrupted(p);
  p->failed = !ok && !p->stopped;
  return ok;
}

bool obs_publisher_open(obs_publisher *p) {
  if (p->url == NULL && !find(p)) return false;
  uint64_t even = p->rate / MESSAGES_A_SECOND;
  if (p->rate > 0 && even < p->batch_ops) p->batch_ops = even > 0 ? (uint32_t)even : 1;
  p->items = calloc(p->batch_ops, sizeof(*p->items));
  if (p->items == NULL) return fail(p, "out of memory", false);
  const char *const urls[] = {p->url, NULL};
  observer_options options = {
      .mode = p->mode,
      .urls = urls,
      .linger_ms = INT32_MAX, /* a message goes when it is full, or when obs_publisher_send says so */
      .batch_ops = p->batch_ops < MESSAGE_OPS ? p->batch_ops : MESSAGE_OPS,
      .batch_bytes = MESSAGE_BYTES,
      .expire_ms = -1,
      .request_timeout_ms = p->timeout_ms,
      .in_flight = 1, /* the order of the input is kept */
      .on_delivery = on_delivery,
  };
  obs_credentials_give(&options);
  if (observer_open(&options, &p->client) != OBSERVER_E_OK) {
    p->failed = true;
    snprintf(p->error, sizeof(p->error), "%s", observer_open_error());
    return false;
  }
  patience w = begin(p);
  while (observer_connect(p->client, slice(p, &w)) != OBSERVER_E_OK) {
    if (!go_on(p, &w)) return w.expired ? fail_to_connect(p) : false;
  }
  p->started_ns = obs_clock_mono_ns();
  return true;
}

/* ---- publishing ---- */

/* Queues one of the two, waiting for room. */
static bool publish(obs_publisher *p, const observer_op *op, const observer_encoded *record,
                    const obs_publisher_origin *origin) {
  obs_publisher_item *item = &p->items[p->gathered];
  patience w = begin(p);
  *item = (obs_publisher_item){.origin = *origin};
  for (;;) {
    int32_t block_ms = (int32_t)slice(p, &w);
    observer_err err = op != NULL ? observer_publish_wait(p->client, op, block_ms, item)
                                  : observer_publish_encoded(p->client, record, block_ms, item);
    if (err == OBSERVER_E_OK) break;
    if (err != OBSERVER_E_FULL) return fail(p, observer_strerror(err), false);
    if (!go_on(p, &w)) return w.expired ? fail_late(p) : false;
  }
  p->gathered++;
  return true;
}

static bool add(obs_publisher *p, const observer_op *op, const observer_encoded *record,
                const obs_publisher_origin *origin) {
  if (p->gathered == 0 && p->rate > 0) { /* not before the batch is due */
    uint64_t due = p->started_ns + (uint64_t)((double)p->paced / (double)p->rate * 1e9);
    uint64_t now = obs_clock_mono_ns();
    if (now < due && obs_interrupt_wait(p->interrupt, (int)((due - now) / 1000000 + 1))) return false;
  }
  if (!publish(p, op, record, origin)) return false;
  return p->gathered < p->batch_ops || obs_publisher_send(p);
}

bool obs_publisher_add(obs_publisher *p, const void *bytes, size_t len, const obs_publisher_origin *origin) {
  return add(p, NULL, &(observer_encoded){.bytes = bytes, .len = len, .topic = p->topic}, origin);
}

bool obs_publisher_add_op(obs_publisher *p, const observer_op *op) {
  return add(p, op, NULL, &(obs_publisher_origin){0});
}

/* Adds up what was reported on. The client's thread touches no item any more: it was flushed, or closed. */
static void account(obs_publisher *p) {
  for (uint32_t i = 0; i < p->gathered; i++) {
    obs_publisher_item *item = &p->items[i];
    const observer_delivery *d = &item->delivery;
    if (item->reported && d->outcome != OBSERVER_EXPIRED) {
      p->totals.sent++;
      p->totals.accepted += d->accepted;
      p->totals.duplicates += d->duplicates;
      p->totals.rejected += d->rejected;
      const char *reason = item->reason != NULL ? item->reason : "out of memory for the reason";
      if (d->outcome == OBSERVER_REJECTED && p->rejected != NULL)
        p->rejected(p->arg, &item->origin, (obs_str){reason, (uint32_t)strlen(reason), 0});
    }
    free(item->reason);
    item->reason = NULL;
  }
  p->gathered = 0;
}

static void count_sent(obs_publisher *p) {
  observer_counters n;
  observer_get_counters(p->client, &n);
  p->totals.sent = n.delivered;
}

bool obs_publisher_send(obs_publisher *p) {
  if (p->gathered == 0) return true;
  p->paced += p->gathered;
  if (p->mode == OBSERVER_ACKNOWLEDGED) {
    if (!settle(p)) return false;
    account(p);
  } else {
    (void)observer_flush(p->client, 0); /* starts it: the end waits */
    count_sent(p);
    p->gathered = 0;
  }
  return true;
}

bool obs_publisher_ask(obs_publisher *p, const void *bytes, size_t len, obs_publisher_totals *out, obs_str *reason) {
  const obs_publisher_item *item = &p->items[0];
  const observer_encoded message = {.bytes = bytes, .len = len, .whole = true};
  if (!publish(p, NULL, &message, &(obs_publisher_origin){0}) || !settle(p)) return false;
  snprintf(p->reason, sizeof(p->reason), "%s", item->reason != NULL ? item->reason : "");
  *out = (obs_publisher_totals){1, item->delivery.accepted, item->delivery.duplicates, item->delivery.rejected};
  *reason = (obs_str){p->reason, (uint32_t)strlen(p->reason), 0};
  account(p);
  return true;
}

/* ---- the end ---- */

const char *obs_publisher_end(obs_publisher *p) {
  if (p->client != NULL) {
    if (!p->failed && !p->stopped && obs_publisher_send(p)) (void)settle(p);
    if (p->mode != OBSERVER_ACKNOWLEDGED) count_sent(p);
    (void)observer_close(p->client, 0);
    p->client = NULL;
    if (p->mode == OBSERVER_ACKNOWLEDGED) account(p);
  }
  if (p->stopped) return obs_interrupt_wait(p->interrupt, 0) ? NULL : p->error;
  return p->failed ? p->error : NULL;
}

void obs_publisher_close(obs_publisher *p) {
  if (p->client != NULL) (void)observer_close(p->client, 0);
  p->client = NULL;
  for (uint32_t i = 0; i < p->gathered; i++) free(p->items[i].reason);
  p->gathered = 0;
  free(p->items);
  p->items = NULL;
}
