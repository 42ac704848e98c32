#include "observerctl/publish/report.h"

#include "observerctl/cli/text.h"

#include <inttypes.h>

static void put_place(const obs_origin *o) {
  if (o->number == 0) {
    obs_text_printf(stderr, "%s:%" PRIu64 ": ", o->file, o->line);
    return;
  }
  if (o->file != NULL) obs_text_printf(stderr, "%s: ", o->file);
  fprintf(stderr, "record %" PRIu64, o->number);
  if (o->line > 0)
    fprintf(stderr, " (line %" PRIu64 "): ", o->line);
  else
    fprintf(stderr, " (byte %" PRIu64 "): ", o->offset);
}

static void add_error(obs_post_report *r, const obs_origin *o, obs_str reason) {
  if (r->nerrors++ >= OBS_REPORT_ERRORS) return;
  obs_buf *b = &r->errors;
  obs_buf_puts(b, b->len > 0 ? ",{" : "{");
  if (o->file != NULL) {
    obs_buf_puts(b, "\"file\":");
    obs_buf_json_cstr(b, o->file);
    obs_buf_putc(b, ',');
  }
  if (o->number > 0) obs_buf_printf(b, "\"record\":%" PRIu64 ",", o->number);
  if (o->line > 0)
    obs_buf_printf(b, "\"line\":%" PRIu64, o->line);
  else
    obs_buf_printf(b, "\"byte\":%" PRIu64, o->offset);
  obs_buf_puts(b, ",\"error\":");
  obs_buf_json_str(b, reason);
  obs_buf_putc(b, '}');
}

void obs_report_rejected(void *arg, const obs_origin *origin, obs_str reason) {
  obs_post_report *r = arg;
  if (r->json) {
    add_error(r, origin, reason);
    return;
  }
  obs_term_progress_end(&r->progress);
  fprintf(stderr, "observerctl %s: ", r->args->command->name);
  put_place(origin);
  obs_text_printf(stderr, "%.*s", (int)reason.len, reason.p);
  fputc('\n', stderr);
}

void obs_report_bad(obs_post_report *r, const obs_origin *origin, const char *reason) {
  r->bad++;
  obs_report_rejected(r, origin, (obs_str){reason, (uint32_t)strlen(reason), 0});
}

static void put_json(const obs_post_report *r, const obs_totals *totals, const char *failure) {
  obs_buf out = {0};
  obs_buf_putc(&out, '{');
  obs_totals_json(totals, r->acknowledged, &out);
  obs_buf_printf(&out, ",\"bad\":%" PRIu64 ",\"errors\":[", r->bad);
  obs_buf_append(&out, r->errors.p, r->errors.len);
  obs_buf_putc(&out, ']');
  if (r->nerrors > OBS_REPORT_ERRORS)
    obs_buf_printf(&out, ",\"errors_left_out\":%" PRIu64, r->nerrors - OBS_REPORT_ERRORS);
  if (failure != NULL) {
    obs_buf_puts(&out, ",\"failure\":");
    obs_buf_json_cstr(&out, failure);
  }
  obs_buf_puts(&out, "}\n");
  (void)fwrite(out.p, 1, out.len, stdout); /* main looks at stdout's state */
  obs_buf_fini(&out);
}

int obs_report_end(obs_post_report *r, const obs_totals *totals, const char *failure) {
  obs_term_progress_end(&r->progress);
  if (r->json) {
    put_json(r, totals, failure);
  } else {
    obs_totals_print(totals, r->acknowledged, stdout);
    if (r->bad > 0) printf(", %" PRIu64 " bad", r->bad);
    putchar('\n');
  }
  if (failure != NULL) obs_args_error(r->args, "%s", failure);
  return failure != NULL || r->bad > 0 || totals->rejected > 0 ? OBS_COMMAND_FAILED : OBS_COMMAND_OK;
}

void obs_report_fini(obs_post_report *r) {
  obs_buf_fini(&r->errors);
}
