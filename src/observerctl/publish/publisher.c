#include "observerctl/publish/publisher.h"

#include "base/clock.h"
#include "observerctl/publish/ack.h"

#include <inttypes.h>
#include <stdlib.h>

/* At a rate, a message is sent that often a second, so that the flow is even. */
enum { MESSAGES_A_SECOND = 10 };

bool obs_publisher_open(obs_publisher *p) {
  uint64_t even = p->rate / MESSAGES_A_SECOND;
  if (p->rate > 0 && even < p->batch_ops) p->batch_ops = even > 0 ? (uint32_t)even : 1;
  p->origins = calloc(p->batch_ops, sizeof(*p->origins));
  p->started_ns = obs_clock_mono_ns();
  return p->origins != NULL;
}

void obs_publisher_close(obs_publisher *p) {
  free(p->origins);
  p->origins = NULL;
  obs_buf_fini(&p->message);
}

/* ---- the answer ---- */

static void report(obs_publisher *p, const obs_ack_error *e) {
  if (e->index < p->gathered) p->rejected(p->arg, &p->origins[e->index], e->reason);
}

/* A message that breaks a limit of the daemon is refused as a whole, as one reject: what the answer does not account
 * for was not taken. */
static void account(obs_publisher *p, const obs_ack *a) {
  uint64_t known = a->accepted + a->duplicates + a->rejected;
  p->totals.sent += p->gathered;
  p->totals.accepted += a->accepted;
  p->totals.duplicates += a->duplicates;
  p->totals.rejected += a->rejected;
  for (uint32_t i = 0; i < a->nerrors; i++) report(p, &a->errors[i]);
  if (known >= p->gathered) return;
  p->totals.rejected += p->gathered - known;
  obs_str why = OBS_STR("not taken, with the message it was in");
  for (uint64_t i = known; i < p->gathered; i++) p->rejected(p->arg, &p->origins[i], why);
}

static bool ask(obs_publisher *p) {
  obs_ack answer;
  bool ok = obs_ack_ask(p->sender, p->message.p, p->message.len, &answer);
  if (ok) account(p, &answer);
  obs_ack_fini(&answer);
  return ok;
}

/* ---- sending ---- */

static bool send_now(obs_publisher *p) {
  if (p->sender->kind == OBS_SENDER_REQ) return ask(p);
  if (!obs_sender_send(p->sender, p->message.p, p->message.len)) return false;
  p->totals.sent += p->gathered;
  return true;
}

/* Waits until what is gathered is due. False: interrupted. */
static bool pace(obs_publisher *p) {
  if (p->rate == 0) return true;
  uint64_t due = p->started_ns + (uint64_t)((double)p->paced / (double)p->rate * 1e9);
  uint64_t now = obs_clock_mono_ns();
  p->paced += p->gathered;
  if (now >= due) return true;
  return !obs_interrupt_wait(p->interrupt, (int)((due - now) / 1000000 + 1));
}

bool obs_publisher_send(obs_publisher *p) {
  if (p->gathered == 0) return true;
  bool due = pace(p);
  bool ok = due && send_now(p);
  if (due && !ok && !p->sender->stopped) p->failed = true;
  p->gathered = 0;
  obs_buf_reset(&p->message, SIZE_MAX);
  return ok;
}

static void start_message(obs_publisher *p) {
  if (p->topic != NULL) obs_buf_append(&p->message, p->topic, strlen(p->topic) + 1);
}

static bool take(obs_publisher *p, const void *bytes, size_t len) {
  bool json = ((const char *)bytes)[0] == '{';
  if (p->gathered == 0) start_message(p);
  obs_buf_append(&p->message, bytes, len);
  if (json) obs_buf_putc(&p->message, '\n');
  if (!p->message.oom) return true;
  snprintf(p->sender->error, sizeof(p->sender->error), "out of memory");
  p->failed = true;
  return false;
}

bool obs_publisher_add(obs_publisher *p, const void *bytes, size_t len, const obs_origin *origin) {
  if (p->message.len + len > OBS_PUBLISHER_BATCH_BYTES && !obs_publisher_send(p)) return false;
  if (!take(p, bytes, len)) return false;
  p->origins[p->gathered++] = *origin;
  if (p->gathered < p->batch_ops && p->message.len < OBS_PUBLISHER_BATCH_BYTES) return true;
  return obs_publisher_send(p);
}

const char *obs_publisher_end(obs_publisher *p) {
  if (!p->failed && !p->sender->stopped && obs_publisher_send(p)) p->failed = !obs_sender_flush(p->sender);
  if (p->sender->stopped) return obs_interrupt_wait(p->interrupt, 0) ? NULL : p->sender->error;
  return p->failed ? p->sender->error : NULL;
}

/* ---- totals ---- */

void obs_totals_print(const obs_totals *t, bool acknowledged, FILE *out) {
  fprintf(out, "%" PRIu64 " sent", t->sent);
  if (acknowledged)
    fprintf(out, ": %" PRIu64 " accepted, %" PRIu64 " duplicates, %" PRIu64 " rejected", t->accepted, t->duplicates,
            t->rejected);
}

void obs_totals_json(const obs_totals *t, bool acknowledged, obs_buf *out) {
  obs_buf_printf(out, "\"sent\":%" PRIu64, t->sent);
  if (acknowledged)
    obs_buf_printf(out, ",\"accepted\":%" PRIu64 ",\"duplicates\":%" PRIu64 ",\"rejected\":%" PRIu64, t->accepted,
                   t->duplicates, t->rejected);
}
