#include "diagnose/words.h"

#include "base/clock.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>

/* In brief, how many values of a condition are named, and how many bytes of each. */
enum { BRIEF_VALUES = 3, BRIEF_VALUE = 40 };

/* ---- numbers ---- */

void obs_words_count(obs_buf *out, uint64_t n) {
  char digits[24];
  int len = snprintf(digits, sizeof(digits), "%" PRIu64, n);
  for (int i = 0; i < len; i++) {
    if (i > 0 && (len - i) % 3 == 0) obs_buf_putc(out, ',');
    obs_buf_putc(out, digits[i]);
  }
}

void obs_words_ops(obs_buf *out, uint64_t n) {
  obs_words_count(out, n);
  obs_buf_puts(out, n == 1 ? " op" : " ops");
}

void obs_words_percent(obs_buf *out, uint64_t part, uint64_t all) {
  double percent = all > 0 ? 100.0 * (double)part / (double)all : 0;
  if (part < all && percent > 99)
    obs_buf_puts(out, "over 99 %");
  else if (part > 0 && percent < 0.01)
    obs_buf_puts(out, "under 0.01 %");
  else
    obs_buf_printf(out, percent < 10 ? "%.2g %%" : "%.0f %%", percent);
}

void obs_words_time(obs_buf *out, int64_t ms, int64_t now_ms) {
  char time[OBS_ISO8601_LEN + 1], now[OBS_ISO8601_LEN + 1] = "";
  obs_clock_format(ms, time);
  if (now_ms != INT64_MIN) obs_clock_format(now_ms, now);
  if (strncmp(time, now, 10) != 0) obs_buf_printf(out, "%.10s ", time);
  obs_buf_printf(out, "%.5s UTC", time + 11);
}

/* ---- what is blamed ---- */

static const obs_words_moment moments[] = {{"hour_of_day", "hour", " of the day (UTC)"},
                                           {"minute_of_hour", "minute", " of the hour"}};

const obs_words_moment *obs_words_moment_of(const char *field) {
  for (size_t i = 0; i < sizeof(moments) / sizeof(*moments); i++)
    if (strcmp(moments[i].field, field) == 0) return &moments[i];
  return NULL;
}

static bool is_word(const char *value) {
  for (const char *p = value; *p != '\0'; p++)
    if ((*p < '0' || *p > '9') && (*p < 'A' || *p > 'Z') && (*p < 'a' || *p > 'z') && strchr("_-./:@", *p) == NULL)
      return false;
  return *value != '\0';
}

void obs_words_value(obs_buf *out, const char *value, bool brief) {
  char cut[BRIEF_VALUE + sizeof("...")];
  if (brief && strlen(value) > BRIEF_VALUE) {
    (void)snprintf(cut, sizeof(cut), "%.*s...", (int)obs_utf8_cut(value, strlen(value), BRIEF_VALUE), value);
    value = cut;
  }
  if (brief && is_word(value))
    obs_buf_puts(out, value);
  else
    obs_buf_json_cstr(out, value);
}

void obs_words_values(obs_buf *out, const obs_diagnose_condition *c, bool brief) {
  const uint32_t n = brief && c->nvalues > BRIEF_VALUES ? BRIEF_VALUES : c->nvalues, more = c->more + c->nvalues - n;
  for (uint32_t i = 0; i < n; i++) {
    if (i > 0) obs_buf_puts(out, i + 1 == n && more == 0 ? " or " : ", ");
    if (obs_words_moment_of(c->field) != NULL)
      obs_buf_puts(out, c->values[i]);
    else
      obs_words_value(out, c->values[i], brief);
  }
  if (more > 0) obs_buf_printf(out, " or one of %u more", more);
}

/* What stands between "ops" and the condition. */
static const char *preposition_of(const obs_diagnose_condition *c) {
  if (c->relation == OBS_RELATION_ABSENT) return "without";
  return c->relation == OBS_RELATION_IS && obs_words_moment_of(c->field) != NULL ? "in" : "with";
}

/* `city "Toledo"`, `city` (which is absent), `count above 7`, `hour 3 of the day (UTC)` */
static void put_condition(obs_buf *out, const obs_diagnose_condition *c, bool brief) {
  const obs_words_moment *moment = obs_words_moment_of(c->field);
  const char *name = moment != NULL ? moment->before : c->field;
  const char *after = moment != NULL ? moment->after : "";
  switch (c->relation) {
  case OBS_RELATION_ABSENT:
    obs_buf_puts(out, name);
    return;
  case OBS_RELATION_ABOVE:
    obs_buf_printf(out, "%s%s above %.15g", name, after, c->number);
    return;
  case OBS_RELATION_AT_MOST:
    obs_buf_printf(out, "%s%s up to %.15g", name, after, c->number);
    return;
  case OBS_RELATION_IS:
  case OBS_RELATION_COUNT:
    break;
  }
  obs_buf_printf(out, "%s ", name);
  obs_words_values(out, c, brief);
  obs_buf_puts(out, after);
}

void obs_words_conditions(obs_buf *out, const obs_diagnose_finding *f, int but, bool brief) {
  const char *last = NULL;
  for (uint32_t k = 0; k < f->nconditions; k++) {
    if ((int)k == but) continue;
    const char *preposition = preposition_of(&f->conditions[k]);
    obs_buf_puts(out, last != NULL ? " and " : " ");
    if (last == NULL || strcmp(last, preposition) != 0) obs_buf_printf(out, "%s ", preposition);
    put_condition(out, &f->conditions[k], brief);
    last = preposition;
  }
}
