#include "observerctl/publish/opflags.h"

#include "base/clock.h"
#include "base/json_cursor.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdlib.h>

static const char *const dashed[] = {
#define DASHED(name, kind, required, rule) OBS_DASHED_##name,
    OBSERVER_OP_FIELDS(DASHED)
#undef DASHED
};

/* Each kind's rule: NULL, or what is wrong. */
typedef const char *check(obs_opflag *v);

static const char *check_text(obs_opflag *v) {
  return obs_utf8_valid(v->text, strlen(v->text)) ? NULL : "must be valid UTF-8";
}

static const char *check_time(obs_opflag *v) {
  return obs_clock_parse(v->text, strlen(v->text), &v->number) ? NULL : "must be an ISO 8601 time";
}

static const char *check_bool(obs_opflag *v) {
  v->number = strcmp(v->text, "true") == 0;
  return NULL;
}

static const char *check_int(obs_opflag *v) {
  char *end;
  errno = 0;
  v->number = strtoll(v->text, &end, 10);
  if (end == v->text || *end != '\0') return "must be an integer";
  return errno != 0 ? "out of range" : NULL;
}

static const char *check_duration(obs_opflag *v) {
  const char *wrong = check_int(v);
  return wrong == NULL && v->number < 0 ? "must not be negative" : wrong;
}

static const char *check_json(obs_opflag *v) {
  obs_cursor c = obs_cursor_of(v->text, strlen(v->text));
  obs_json_cursor_space(&c);
  bool json = obs_json_cursor_skip(&c);
  obs_json_cursor_space(&c);
  return json && c.p == c.end ? NULL : "must be JSON";
}

static check *const checks[] = {
    [OBS_KIND_TIME] = check_time,         [OBS_KIND_TEXT] = check_text, [OBS_KIND_BOOL] = check_bool,
    [OBS_KIND_DURATION] = check_duration, [OBS_KIND_INT] = check_int,   [OBS_KIND_JSON] = check_json,
};

bool obs_opflag_read(const obs_args *args, obs_op_field field, obs_opflag *out) {
  *out = (obs_opflag){.text = obs_args_text(args, dashed[field])};
  const char *wrong = out->text != NULL ? checks[obs_op_fields[field].kind](out) : NULL;
  if (wrong != NULL) obs_args_error(args, "--%s: \"%s\" %s", dashed[field], out->text, wrong);
  return wrong == NULL;
}

static void put_value(obs_op_kind kind, const obs_opflag *v, obs_buf *out) {
  if (kind == OBS_KIND_TIME || kind == OBS_KIND_TEXT)
    obs_buf_json_cstr(out, v->text);
  else if (kind == OBS_KIND_INT || kind == OBS_KIND_DURATION)
    obs_buf_i64(out, v->number);
  else
    obs_buf_puts(out, v->text);
}

bool obs_opflags_json(const obs_args *args, obs_buf *out) {
  obs_opflag v;
  for (obs_op_field i = 0; i < OBS_F_COUNT; i++) {
    if (!obs_opflag_read(args, i, &v)) return false;
    if (v.text == NULL) continue;
    obs_buf_puts(out, out->len == 0 ? "{" : ",");
    obs_buf_puts(out, obs_op_fields[i].json_key);
    put_value(obs_op_fields[i].kind, &v, out);
  }
  if (out->len > 0) obs_buf_putc(out, '}');
  return true;
}
