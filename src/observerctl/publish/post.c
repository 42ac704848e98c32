#include "observerctl/publish/post.h"

#include "base/json.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/text.h"

#include <errno.h>
#include <inttypes.h>

/* ---- records that were not taken ---- */

static void put_origin(const obs_publisher_origin *o) {
  if (o->file != NULL && o->number > 0) obs_text_printf(stderr, "%s: ", o->file);
  if (o->number == 0)
    obs_text_printf(stderr, "%s:%" PRIu64 ": ", o->file, o->line);
  else if (o->line > 0)
    fprintf(stderr, "record %" PRIu64 " (line %" PRIu64 "): ", o->number, o->line);
  else
    fprintf(stderr, "record %" PRIu64 " (byte %" PRIu64 "): ", o->number, o->offset);
}

/* A record that the daemon rejected; `arg` is the post. */
static void rejected(void *arg, const obs_publisher_origin *o, obs_str reason) {
  obs_post *p = arg;
  if (!p->json) {
    obs_term_progress_end(&p->progress);
    fprintf(stderr, "observerctl %s: ", p->args->command->name);
    if (!p->alone) put_origin(o);
    obs_text_printf(stderr, "%.*s", (int)reason.len, reason.p);
    fputc('\n', stderr);
  } else if (p->nerrors++ < OBS_POST_ERRORS) {
    obs_json_writer w = obs_json_write(&p->errors);
    if (p->errors.len > 0) obs_buf_putc(&p->errors, ',');
    obs_json_object(&w, NULL);
    if (o->file != NULL) obs_json_cstr(&w, "file", o->file);
    if (o->number > 0) obs_json_u64(&w, "record", o->number);
    obs_json_u64(&w, o->line > 0 ? "line" : "byte", o->line > 0 ? o->line : o->offset);
    obs_json_text(&w, "error", reason);
    obs_json_end(&w);
  }
}

void obs_post_bad(obs_post *p, const obs_publisher_origin *origin, const char *reason) {
  p->bad++;
  rejected(p, origin, (obs_str){reason, (uint32_t)strlen(reason), 0});
}

/* ---- the way ---- */

bool obs_post_parse(obs_post *p, const obs_args *args) {
  *p = (obs_post){.args = args, .interrupt = {.fd = -1}};
  obs_publisher *out = &p->publisher;
  if (!obs_publisher_choose(args, &out->mode, &out->url)) return false;
  out->args = args;
  out->timeout_ms = (uint32_t)obs_args_u64(args, "timeout");
  out->batch_ops = (uint32_t)obs_args_u64(args, "batch");
  out->rate = obs_args_u64(args, "rate");
  out->interrupt = &p->interrupt;
  out->rejected = rejected;
  out->arg = p;
  p->json = obs_args_text(args, "json") != NULL;
  return true;
}

bool obs_post_fail(obs_post *p, const char *name, const char *reason) {
  snprintf(p->failure, sizeof(p->failure), "%s: %s", name, reason);
  return false;
}

bool obs_post_open(obs_post *p) {
  if (!obs_interrupt_open(&p->interrupt)) return obs_post_fail(p, "signals", strerror(errno));
  return obs_publisher_open(&p->publisher);
}

int obs_post_idle_ms(const obs_post *p) {
  return p->publisher.gathered > 0 ? OBS_POST_LINGER_MS : -1;
}

void obs_post_progress(obs_post *p, uint64_t bytes) {
  char note[48];
  if (p->publisher.gathered > 0) return; /* shown when a batch has just gone */
  snprintf(note, sizeof(note), "%" PRIu64 " sent", p->publisher.totals.sent);
  obs_term_progress_update(&p->progress, bytes >> 10, note);
}

/* ---- the result ---- */

static void put_count(const char *before, uint64_t n, const char *what) {
  if (n > 0) printf("%s%" PRIu64 " %s", before, n, what);
}

/* "3 recorded, 1 duplicate, 2 rejected"; what there is none of is left out, but for the first. */
static void put_text(const obs_post *p, bool acknowledged) {
  const obs_publisher_totals *t = &p->publisher.totals;
  printf("%" PRIu64 " %s", acknowledged ? t->accepted : t->sent, acknowledged ? "recorded" : "sent, not acknowledged");
  if (acknowledged) {
    put_count(", ", t->duplicates, t->duplicates == 1 ? "duplicate" : "duplicates");
    put_count(", ", t->rejected, "rejected");
  }
  put_count(", ", p->bad, "not readable");
  putchar('\n');
}

static void put_json(const obs_post *p, bool acknowledged, const char *failure) {
  const obs_publisher_totals *t = &p->publisher.totals;
  obs_buf out = {0};
  obs_json_writer w = obs_json_write(&out);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "sent", t->sent);
  if (acknowledged) {
    obs_json_u64(&w, "accepted", t->accepted);
    obs_json_u64(&w, "duplicates", t->duplicates);
    obs_json_u64(&w, "rejected", t->rejected);
  }
  obs_json_u64(&w, "bad", p->bad);
  obs_json_array(&w, "errors");
  obs_buf_append(&out, p->errors.p, p->errors.len);
  obs_json_end(&w);
  if (p->nerrors > OBS_POST_ERRORS) obs_json_u64(&w, "errors_left_out", p->nerrors - OBS_POST_ERRORS);
  if (failure != NULL) obs_json_cstr(&w, "failure", failure);
  obs_json_end(&w);
  obs_buf_putc(&out, '\n');
  obs_text_print_json(stdout, out.p, out.len); /* main looks at stdout's state */
  obs_buf_fini(&out);
}

int obs_post_end(obs_post *p) {
  const char *failure = obs_publisher_end(&p->publisher);
  if (p->failure[0] != '\0') failure = p->failure;
  bool acknowledged = p->publisher.mode == OBSERVER_ACKNOWLEDGED;
  obs_term_progress_end(&p->progress);
  if (p->json)
    put_json(p, acknowledged, failure);
  else
    put_text(p, acknowledged);
  if (failure != NULL) obs_args_error(p->args, "%s", failure);
  bool ok = failure == NULL && p->bad == 0 && p->publisher.totals.rejected == 0;
  int status = obs_interrupt_status(&p->interrupt, ok ? OBS_COMMAND_OK : OBS_COMMAND_FAILED);
  obs_publisher_close(&p->publisher);
  obs_interrupt_close(&p->interrupt);
  obs_buf_fini(&p->errors);
  return status;
}
