#include "base/log.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/terminal.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What is formatted, and what of it is written: something is filtered whole, or is not written. */
enum { PER_SECOND = 10, FORMAT_MAX = 8192, TEXT_MAX = 1023 };

static _Atomic int log_level = OBS_LOG_INFO;
static _Atomic int log_format = OBS_LOG_TEXT;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

static _Atomic(obs_log_filter) log_filter;
static void *_Atomic log_filter_arg;

void obs_log_set_filter(obs_log_filter filter, void *arg) {
  atomic_store(&log_filter, NULL); /* never with another one's argument */
  atomic_store(&log_filter_arg, arg);
  atomic_store(&log_filter, filter);
}

void obs_log_setup(obs_log_level level, obs_log_format format) {
  atomic_store(&log_level, (int)level);
  atomic_store(&log_format, (int)format);
}

bool obs_log_enabled(obs_log_level level) {
  return (int)level >= atomic_load_explicit(&log_level, memory_order_relaxed);
}

/* False when this site already wrote its share of this second; *left_out is what it kept back before. */
static bool admit(obs_log_site *site, uint32_t *left_out) {
  uint64_t now = obs_clock_mono_ms() / 1000;
  uint64_t second = atomic_load(&site->second);
  if (second != now && atomic_compare_exchange_strong(&site->second, &second, now)) atomic_store(&site->in_second, 0);
  if (atomic_fetch_add(&site->in_second, 1) >= PER_SECOND) {
    atomic_fetch_add(&site->left_out, 1);
    return false;
  }
  *left_out = atomic_exchange(&site->left_out, 0);
  return true;
}

/* A reader that does not read must not stop the daemon: what would block is left out. */
static bool would_block(void) {
  struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
  return poll(&fd, 1, 0) == 0;
}

static void write_all(const char *p, size_t n) {
  while (n > 0 && !would_block()) {
    ssize_t w = write(STDERR_FILENO, p, n);
    if (w <= 0) return; /* nobody is left to tell */
    p += w;
    n -= (size_t)w;
  }
}

static void begin_json(obs_json_writer *w, obs_log_level level, const char *module, const char *text) {
  obs_json_object(w, NULL);
  obs_json_time(w, "time", obs_clock_wall_ms());
  obs_json_cstr(w, "level", level_names[level]);
  obs_json_cstr(w, "module", module);
  obs_json_cstr(w, "message", text);
}

static void begin_text(obs_buf *b, obs_log_level level, const char *module, const char *text) {
  char now[OBS_ISO8601_LEN + 1];
  obs_clock_format(obs_clock_wall_ms(), now);
  obs_buf_printf(b, "%s %s %s: %s", now, level_names[level], module, text);
}

/* Appends the text as it may be shown: filtered, cut at `max` bytes, and harmless to a terminal. */
static void put_shown(obs_buf *shown, obs_str text, size_t max) {
  obs_buf filtered = {0};
  obs_log_filter filter = atomic_load(&log_filter);
  if (filter != NULL && filter(atomic_load(&log_filter_arg), text, &filtered)) text = obs_buf_view(&filtered);
  if (filtered.oom)
    shown->oom = true;
  else
    obs_terminal_put(shown, text.p, text.len < max ? text.len : max, false); /* one record, one line */
  obs_buf_fini(&filtered);
}

static bool is_json(void) {
  return atomic_load(&log_format) == OBS_LOG_JSON;
}

static void render(obs_buf *b, obs_log_level level, const char *module, const char *text, uint32_t left_out) {
  if (is_json()) {
    obs_json_writer w = obs_json_write(b);
    begin_json(&w, level, module, text);
    if (left_out > 0) obs_json_u64(&w, "left_out", left_out);
    obs_json_end(&w);
  } else {
    begin_text(b, level, module, text);
    if (left_out > 0) obs_buf_printf(b, " (%u more like this left out)", left_out);
  }
  obs_buf_putc(b, '\n');
}

void obs_log_write(obs_log_site *site, obs_log_level level, const char *module, const char *fmt, ...) {
  uint32_t left_out = 0;
  if (!admit(site, &left_out)) return;
  char text[FORMAT_MAX];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof(text), fmt, ap);
  va_end(ap);
  obs_buf b = {0}, shown = {0};
  put_shown(&shown, obs_str_of(text), TEXT_MAX);
  obs_buf_putc(&shown, '\0');
  if (!shown.oom) render(&b, level, module, shown.p, left_out);
  if (!shown.oom && !b.oom) write_all(b.p, b.len);
  obs_buf_fini(&b);
  obs_buf_fini(&shown);
}

void obs_log_members(const char *module, const char *message, obs_str object) {
  obs_buf b = {0}, shown = {0};
  if (!obs_log_enabled(OBS_LOG_INFO)) return;
  put_shown(&shown, object, SIZE_MAX);
  if (is_json() && !shown.oom) {
    obs_json_writer w = obs_json_write(&b);
    begin_json(&w, OBS_LOG_INFO, module, message);
    obs_buf_putc(&b, ',');
    obs_buf_append(&b, shown.p + 1, shown.len - 1); /* its members, and the end of both */
  } else if (!shown.oom) {
    begin_text(&b, OBS_LOG_INFO, module, message);
    obs_buf_puts(&b, ": ");
    obs_buf_append(&b, shown.p, shown.len);
  }
  obs_buf_putc(&b, '\n');
  if (!shown.oom && !b.oom) write_all(b.p, b.len);
  obs_buf_fini(&b);
  obs_buf_fini(&shown);
}

void obs_log_fatal(const char *program, const char *line) {
  obs_buf b = {0}, shown = {0};
  put_shown(&shown, obs_str_of(line), SIZE_MAX);
  obs_buf_putc(&shown, '\0');
  if (is_json() && !shown.oom)
    render(&b, OBS_LOG_ERROR, program, shown.p, 0);
  else if (!shown.oom)
    obs_buf_printf(&b, "%s: %s\n", program, shown.p);
  if (!shown.oom && !b.oom) write_all(b.p, b.len);
  obs_buf_fini(&b);
  obs_buf_fini(&shown);
}
