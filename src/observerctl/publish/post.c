#include "observerctl/publish/post.h"

#include <errno.h>
#include <inttypes.h>

enum { RATE_MAX = 10000000, TIMEOUT_MAX_MS = 3600000 };

bool obs_post_parse(obs_post *p, const obs_args *args) {
  uint64_t batch = 0, timeout = 0;
  *p = (obs_post){.args = args, .interrupt = {.fd = -1}};
  if (!obs_sender_choose(args, &p->kind, &p->url) ||
      !obs_args_number(args, "batch", 1, OBS_PUBLISHER_BATCH_OPS_MAX, &batch) ||
      !obs_args_number(args, "rate", 0, RATE_MAX, &p->publisher.rate) ||
      !obs_args_number(args, "timeout", 1, TIMEOUT_MAX_MS, &timeout))
    return false;
  p->timeout_ms = (uint32_t)timeout;
  p->publisher.batch_ops = (uint32_t)batch;
  return true;
}

bool obs_post_fail(obs_post *p, const char *name, const char *reason) {
  snprintf(p->failure, sizeof(p->failure), "%s: %s", name, reason);
  return false;
}

bool obs_post_open(obs_post *p) {
  p->report.args = p->args;
  p->report.json = obs_args_text(p->args, "json") != NULL;
  p->report.acknowledged = p->kind == OBS_SENDER_REQ;
  p->publisher.sender = &p->sender;
  p->publisher.interrupt = &p->interrupt;
  p->publisher.rejected = obs_report_rejected;
  p->publisher.arg = &p->report;
  if (!obs_interrupt_open(&p->interrupt)) return obs_post_fail(p, "signals", strerror(errno));
  if (!obs_sender_open(&p->sender, p->kind, p->url, p->timeout_ms, p->interrupt.fd)) {
    p->publisher.failed = true;
    return false;
  }
  return obs_publisher_open(&p->publisher) || obs_post_fail(p, p->args->command->name, "out of memory");
}

int obs_post_idle_ms(const obs_post *p) {
  return p->publisher.gathered > 0 ? OBS_POST_LINGER_MS : -1;
}

void obs_post_progress(obs_post *p, uint64_t bytes) {
  char note[48];
  if (p->publisher.gathered > 0) return; /* a message has just gone */
  snprintf(note, sizeof(note), "%" PRIu64 " sent", p->publisher.totals.sent);
  obs_term_progress_update(&p->report.progress, bytes >> 10, note);
}

int obs_post_end(obs_post *p) {
  const char *failure = p->sender.url != NULL ? obs_publisher_end(&p->publisher) : NULL;
  if (p->failure[0] != '\0') failure = p->failure;
  int status = obs_report_end(&p->report, &p->publisher.totals, failure);
  status = obs_interrupt_status(&p->interrupt, status);
  obs_sender_close(&p->sender);
  obs_interrupt_close(&p->interrupt);
  obs_publisher_close(&p->publisher);
  obs_report_fini(&p->report);
  return status;
}
