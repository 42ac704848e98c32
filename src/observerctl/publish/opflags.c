#include "observerctl/publish/opflags.h"

#include "base/clock.h"
#include "base/json_cursor.h"
#include "base/utf8.h"
#include "observerctl/cli/args.h"
#include "op/reader.h"

#include <errno.h>
#include <stdlib.h>

static const char *const dashed[] = {
#define DASHED(name, kind, required, rule) OBS_DASHED_##name,
    OBSERVER_OP_FIELDS(DASHED)
#undef DASHED
};

/* NULL, or what is wrong with the text of that kind; sets the number. */
static const char *check(obs_op_kind kind, obs_opflag *v) {
  size_t len = strlen(v->text);
  char *end;
  switch (kind) {
  case OBS_KIND_TIME:
    return obs_clock_parse(v->text, len, &v->number) || obs_clock_parse_epoch(v->text, len, &v->number)
               ? NULL
               : OBS_READER_NO_TIME;
  case OBS_KIND_TEXT:
    return obs_utf8_valid(v->text, len) ? NULL : "must be valid UTF-8";
  case OBS_KIND_BOOL: /* its choices are checked already */
    v->number = strcmp(v->text, "true") == 0;
    return NULL;
  case OBS_KIND_INT:
  case OBS_KIND_DURATION:
    errno = 0;
    v->number = strtoll(v->text, &end, 10);
    if (end == v->text || *end != '\0') return "must be an integer";
    if (errno != 0) return "out of range";
    return kind == OBS_KIND_DURATION && v->number < 0 ? "must not be negative" : NULL;
  default: { /* JSON */
    obs_cursor c = obs_cursor_of(v->text, len);
    obs_json_cursor_space(&c);
    bool ok = obs_json_cursor_skip(&c);
    obs_json_cursor_space(&c);
    return ok && c.p == c.end ? NULL : "must be JSON";
  }
  }
}

bool obs_opflag_read(const obs_args *args, obs_op_field field, obs_opflag *out) {
  *out = (obs_opflag){.text = obs_args_text(args, dashed[field])};
  const char *wrong = out->text != NULL ? check(obs_op_fields[field].kind, out) : NULL;
  if (wrong != NULL) obs_args_error(args, "--%s: \"%s\" %s", dashed[field], out->text, wrong);
  return wrong == NULL;
}

bool obs_opflags_json(const obs_args *args, obs_buf *out) {
  obs_opflag v;
  for (obs_op_field i = 0; i < OBS_F_GIVEN; i++) {
    if (!obs_opflag_read(args, i, &v)) return false;
    if (v.text == NULL) continue;
    obs_buf_puts(out, out->len == 0 ? "{" : ",");
    obs_buf_puts(out, obs_op_fields[i].json_key);
    obs_op_kind kind = obs_op_fields[i].kind;
    if (kind == OBS_KIND_TIME || kind == OBS_KIND_TEXT)
      obs_buf_json_cstr(out, v.text);
    else if (kind == OBS_KIND_INT || kind == OBS_KIND_DURATION)
      obs_buf_i64(out, v.number);
    else
      obs_buf_puts(out, v.text);
  }
  if (out->len > 0) obs_buf_putc(out, '}');
  return true;
}
