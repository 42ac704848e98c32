#include "observerctl/follow/event.h"

#include "observerctl/cli/show.h"
#include "observerctl/cli/when.h"

enum { TIME_COLUMNS = 12, WORD_COLUMNS = 10, TEXT_COLUMN = TIME_COLUMNS + 1 + WORD_COLUMNS + 1, TEXT_LEAST = 20 };

static void make_failure(const cJSON *map, obs_buf *out) {
  char failures[OBS_TEXT_COUNTED];
  obs_buf_printf(out, "%s at %s, %s (observerctl clusters %.*s)", obs_show_template(map),
                 obs_show_text(map, "endpoint"),
                 obs_text_counted(failures, (uint64_t)obs_show_number(map, "count"), "failure"), OBS_SHOW_ID_DIGITS,
                 obs_show_text(map, "id"));
}

static void make_analysis(const cJSON *map, obs_buf *out) {
  obs_buf_printf(out, "%s", obs_show_text(map, "cause"));
  if (*obs_show_text(map, "adjust") != '\0') obs_buf_printf(out, " %s", obs_show_text(map, "adjust"));
  obs_buf_printf(out, " (observerctl analyses %.0f)", obs_show_number(map, "id"));
}

static void make_playbook(const cJSON *map, obs_buf *out) {
  obs_buf_printf(out, "%s: %s (observerctl playbooks %.*s)",
                 strcmp(obs_show_text(map, "kind"), "dont") == 0 ? "don't" : "do", obs_show_text(map, "text"),
                 OBS_SHOW_ID_DIGITS, obs_show_text(map, "entry"));
}

static void make_escalation(const cJSON *map, obs_buf *out) {
  const char *error = obs_show_text(map, "error"), *answer = obs_show_text(map, "answer");
  char failures[OBS_TEXT_COUNTED];
  obs_buf_printf(out, "%s, %s (%s; observerctl clusters %.*s)", obs_show_template(map),
                 obs_text_counted(failures, (uint64_t)obs_show_number(map, "count"), "failure"),
                 obs_show_text(map, "reason"), OBS_SHOW_ID_DIGITS, obs_show_text(map, "cluster"));
  obs_buf_printf(out, ": %s", *error != '\0' ? error : *answer != '\0' ? answer : "not sent");
}

/* `word` NULL: the event's state. */
static const struct {
  const char *topic, *word, *colour;
  void (*make)(const cJSON *map, obs_buf *out);
} events[] = {
    {"failure.cluster", NULL, "\033[31m", make_failure},
    {"analysis", "analysis", "\033[33m", make_analysis},
    {"playbook", "playbook", "\033[32m", make_playbook},
    {"alert.escalation", "escalated", "\033[31m", make_escalation},
};

static void put_lines(obs_buf *out, const char *word, const char *colour, obs_str text, const obs_line_look *look) {
  char now[OBS_WHEN_LEN];
  unsigned room = OBS_TEXT_ALL, used;
  if (look->columns > 0) room = look->columns > TEXT_COLUMN + TEXT_LEAST ? look->columns - TEXT_COLUMN : TEXT_LEAST;
  obs_when_format(look->now_ms, look->utc, now);
  obs_buf_printf(out, "%s%s%s ", look->colour ? "\033[2m" : "", now + 11, look->colour ? "\033[0m" : "");
  if (look->colour) obs_buf_puts(out, colour);
  obs_text_pad(out, word, strlen(word), WORD_COLUMNS);
  if (look->colour) obs_buf_puts(out, "\033[0m");
  for (size_t at = 0; at < text.len;) {
    if (at > 0) obs_buf_putc(out, '\n');
    for (unsigned i = 0; i < (at > 0 ? TEXT_COLUMN : 1); i++) obs_buf_putc(out, ' ');
    at += obs_text_line(out, text.p + at, text.len - at, room, &used);
  }
}

bool obs_event_put(obs_buf *out, obs_str topic, const cJSON *map, const obs_line_look *look) {
  for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
    if (!obs_str_is(topic, events[i].topic)) continue;
    obs_buf text = {0};
    events[i].make(map, &text);
    const char *word = events[i].word != NULL ? events[i].word : obs_show_text(map, "state");
    put_lines(out, word, events[i].colour, obs_buf_view(&text), look);
    out->oom = out->oom || text.oom;
    obs_buf_fini(&text);
    return true;
  }
  return false;
}
