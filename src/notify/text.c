/* Messages in words, for people who read them at night: first what it is, then where and since when, then where to look
 * further. Times are UTC and say so. */
#include "base/clock.h"
#include "base/terminal.h"
#include "base/utf8.h"
#include "notify/internal.h"

#include <inttypes.h>
#include <stdio.h>

/* LISTED: alerts of a kind that are listed; SUBJECT: bytes. */
enum { LISTED = 20, SUBJECT = 150 };

static void put_time(obs_buf *out, int64_t ms) {
  char iso[OBS_ISO8601_LEN + 1];
  obs_clock_format(ms, iso);
  obs_buf_printf(out, "%.10s %.5s UTC", iso, iso + 11);
}

static void put_duration(obs_buf *out, int64_t ms) {
  int64_t s = ms > 0 ? ms / 1000 : 0;
  if (s < 120)
    obs_buf_printf(out, "%" PRIi64 " second%s", s, s == 1 ? "" : "s");
  else if (s < 7200)
    obs_buf_printf(out, "%" PRIi64 " minutes", s / 60);
  else if (s < 172800)
    obs_buf_printf(out, "%" PRIi64 " hours", s / 3600);
  else
    obs_buf_printf(out, "%" PRIi64 " days", s / 86400);
}

static void put_count(obs_buf *out, uint64_t n, const char *what) {
  obs_buf_printf(out, "%" PRIu64 " %s%s", n, what, n == 1 ? "" : "s");
}

/* What producers wrote. A character that turns the direction of writing would show a message as it is not: it stands
 * there as \u202e. */
static void put_shown(obs_buf *out, const char *text) {
  obs_terminal_put(out, text, strlen(text), false);
}

/* "endpoint /v1/chat, source bot"; of an alert without a group nothing. */
static void put_labels(obs_buf *out, const obs_notify_facts *f) {
  for (uint32_t i = 0; i < f->nlabels; i++) {
    obs_buf_printf(out, "%s%s ", i > 0 ? ", " : "", f->labels[i].name);
    put_shown(out, f->labels[i].value);
  }
}

static const obs_notify_item *first(const obs_notify_message *m, obs_notify_says says) {
  for (uint32_t i = 0; i < m->items.n; i++)
    if (m->items.at[i].says == says) return &m->items.at[i];
  return NULL;
}

void obs_notify_text_link(const obs_notify_facts *f, const char *public_url, obs_buf *out) {
  if (public_url == NULL) return;
  obs_buf_puts(out, public_url);
  obs_buf_puts(out, f->path);
}

/* ---- the first line ---- */

/* Of several alerts, or of several kinds: how many of each. */
static void put_counts(const obs_notify_message *m, obs_buf *out) {
  static const struct {
    obs_notify_says says;
    const char *words;
  } kinds[] = {{OBS_NOTIFY_BEGUN, "new"},
               {OBS_NOTIFY_ENDED, "resolved"},
               {OBS_NOTIFY_OVER, "already over"},
               {OBS_NOTIFY_STILL, "still firing"}};
  const char *between = "";
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    uint32_t n = m->counts[kinds[i].says];
    if (n == 0) continue;
    obs_buf_printf(out, "%s%u %s", between, (unsigned)n, kinds[i].words);
    between = ", ";
  }
}

/* What it is all about in a word: whatever fires is louder than what is over. */
static const char *word(const obs_notify_message *m) {
  if (m->reason == OBS_NOTIFY_REPEAT) return "STILL FIRING";
  if (m->counts[OBS_NOTIFY_BEGUN] > 0) return "FIRING";
  if (m->counts[OBS_NOTIFY_STILL] > 0) return "STILL FIRING";
  return m->counts[OBS_NOTIFY_ENDED] > 0 ? "RESOLVED" : "ALREADY OVER";
}

void obs_notify_text_subject(const obs_notify_message *m, obs_buf *out) {
  const obs_notify_facts *f = m->items.n > 0 ? m->items.at[0].facts : NULL;
  if (m->reason == OBS_NOTIFY_DIGEST) {
    obs_buf_puts(out, "DIGEST of alerts held back: ");
    put_count(out, m->held_fired, "alert");
    obs_buf_printf(out, " fired, %" PRIu64 " resolved", m->held_ended);
    return;
  }
  if (f == NULL) return;
  obs_buf_printf(out, "%s %s", word(m), f->rule);
  if (m->items.n > 1) {
    obs_buf_puts(out, ": ");
    put_counts(m, out);
  } else if (f->nlabels > 0) {
    obs_buf_puts(out, ": ");
    put_labels(out, f);
  }
  if (m->counts[OBS_NOTIFY_BEGUN] + m->counts[OBS_NOTIFY_STILL] > 0)
    obs_buf_printf(out, " (%s)", obs_notify_severity_names[f->severity]);
  if (out->len > SUBJECT) out->len = obs_utf8_cut(out->p, out->len, SUBJECT);
}

/* ---- the rest ---- */

static void put_line(const obs_notify_message *m, const obs_notify_item *item, const char *public_url, obs_buf *out) {
  const obs_notify_facts *f = item->facts;
  obs_buf_puts(out, "- ");
  if (m->rule == NULL) obs_buf_printf(out, "%s: ", f->rule);
  if (f->nlabels > 0) {
    put_labels(out, f);
    obs_buf_puts(out, ": ");
  }
  put_shown(out, f->text[0] != '\0' ? f->text : f->rule);
  obs_buf_puts(out, "\n  ");
  if (item->says == OBS_NOTIFY_ENDED || item->says == OBS_NOTIFY_OVER) {
    obs_buf_puts(out, "Fired at ");
    put_time(out, f->fired_ms);
    obs_buf_puts(out, ", for ");
    put_duration(out, (f->resolved_ms != 0 ? f->resolved_ms : m->now_ms) - f->fired_ms);
  } else {
    obs_buf_puts(out, "Firing since ");
    put_time(out, f->fired_ms);
  }
  if (item->fired > 1) obs_buf_printf(out, "; it fired %u times since the last message", (unsigned)item->fired);
  obs_buf_puts(out, ".\n");
  if (public_url == NULL) return;
  obs_buf_puts(out, "  ");
  obs_notify_text_link(f, public_url, out);
  obs_buf_putc(out, '\n');
}

static void put_list(const obs_notify_message *m, obs_notify_says says, const char *title, const char *public_url,
                     obs_buf *out) {
  uint32_t listed = 0;
  if (first(m, says) == NULL) return;
  obs_buf_printf(out, "\n%s:\n", title);
  for (uint32_t i = 0; i < m->items.n && listed < LISTED; i++) {
    if (m->items.at[i].says != says) continue;
    put_line(m, &m->items.at[i], public_url, out);
    listed++;
  }
  if (m->counts[says] > listed) obs_buf_printf(out, "- and %u more\n", (unsigned)(m->counts[says] - listed));
}

static void put_notes(const obs_notify_message *m, obs_buf *out) {
  if (m->until_ms != 0) {
    obs_buf_printf(
        out, "\nThis is the last of %u messages that may be sent within an hour. What happens now is held back until ",
        (unsigned)m->per_hour);
    put_time(out, m->until_ms);
    obs_buf_puts(out, ", and then sent in one digest.\n");
  }
  if (m->maybe_again)
    obs_buf_puts(out, "\nYou may have received this before: observer does not know whether it arrived.\n");
}

void obs_notify_text_body(const obs_notify_message *m, const char *public_url, obs_buf *out) {
  if (m->reason == OBS_NOTIFY_DIGEST) {
    obs_buf_puts(out, "Too much happened for a message each. Since ");
    put_time(out, m->held_since_ms);
    obs_buf_puts(out, ", ");
    put_count(out, m->held_fired, "alert");
    obs_buf_printf(out, " fired and %" PRIu64 " were resolved without a message. This is the state now.\n",
                   m->held_ended);
  }
  put_list(m, OBS_NOTIFY_BEGUN, "Firing now", public_url, out);
  put_list(m, OBS_NOTIFY_STILL, "Still firing", public_url, out);
  put_list(m, OBS_NOTIFY_ENDED, "Resolved", public_url, out);
  put_list(m, OBS_NOTIFY_OVER, "Fired and ended before you could be told", public_url, out);
  if (m->reason == OBS_NOTIFY_DIGEST && m->items.n == 0) obs_buf_puts(out, "\nAll is as it was before.\n");
  put_notes(m, out);
}
