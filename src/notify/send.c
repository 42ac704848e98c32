/* What the types of receivers differ in: what a message looks like, and how it gets there. */
#include "base/base64.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"
#include "http/mail.h"
#include "notify/internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

/* REPLY_MAX: of an answer only its status counts. ALIVE: an Alertmanager hears so often that an alert fires before it
 * would take it as resolved. */
enum { REPLY_MAX = 64 << 10, SAID_MAX = 120, ALIVE = 4, ENCODED_WORD = 42, MAIL_LINE = 57, PART_MIN = 6 };

typedef struct {
  bool groups;
  const char *path; /* behind the URL */
  void (*render)(const obs_notify *n, const obs_notify_receiver *r, const obs_notify_message *m, obs_buf *out);
} type;

/* ---- alerts as Alertmanager and its webhooks have them ---- */

/* Names of labels are letters, digits and underscores there; `alertname` and `severity` are taken. */
static void put_label(obs_json_writer *w, const obs_notify_label *label) {
  char name[OBS_NOTIFY_NAME_MAX + 3];
  size_t n = 0;
  if (label->name[0] >= '0' && label->name[0] <= '9') name[n++] = '_';
  for (const char *p = label->name; *p != '\0' && n < OBS_NOTIFY_NAME_MAX + 1; p++) {
    bool fits = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '_';
    name[n++] = fits ? *p : '_';
  }
  name[n] = '\0';
  if (strcmp(name, "alertname") == 0 || strcmp(name, "severity") == 0) {
    name[n] = '_';
    name[n + 1] = '\0';
  }
  obs_json_key(w, obs_str_of(name));
  obs_json_cstr(w, NULL, label->value);
}

static void put_labels(obs_json_writer *w, const obs_notify_facts *f) {
  obs_json_object(w, "labels");
  obs_json_cstr(w, "alertname", f->rule);
  obs_json_cstr(w, "severity", obs_notify_severity_names[f->severity]);
  for (uint32_t i = 0; i < f->nlabels; i++) put_label(w, &f->labels[i]);
  obs_json_end(w);
}

/* Annotations are texts. */
static void put_number(obs_json_writer *w, const char *name, double v) {
  char text[32];
  if (isnan(v)) return;
  snprintf(text, sizeof text, "%.6g", v);
  obs_json_cstr(w, name, text);
}

static void put_annotations(obs_json_writer *w, const obs_notify_facts *f) {
  obs_json_object(w, "annotations");
  obs_json_cstr(w, "summary", f->text);
  put_number(w, "value", f->value);
  put_number(w, "threshold", f->threshold);
  obs_json_end(w);
}

static void put_link(obs_json_writer *w, const obs_notify *n, const obs_notify_facts *f) {
  obs_buf link = {0};
  obs_notify_text_link(f, n->public_url, &link);
  if (link.len > 0) obs_json_text(w, "generatorURL", obs_buf_view(&link));
  w->out->oom = w->out->oom || link.oom;
  obs_buf_fini(&link);
}

static bool fires(const obs_notify_item *item) {
  return item->says == OBS_NOTIFY_BEGUN || item->says == OBS_NOTIFY_STILL;
}

static int64_t ended_ms(const obs_notify_item *item, const obs_notify_message *m) {
  int64_t at = item->facts->resolved_ms != 0 ? item->facts->resolved_ms : m->now_ms;
  return at > item->facts->fired_ms ? at : item->facts->fired_ms;
}

static void render_alertmanager(const obs_notify *n, const obs_notify_receiver *r, const obs_notify_message *m,
                                obs_buf *out) {
  obs_json_writer w = obs_json_write(out);
  obs_json_array(&w, NULL);
  for (uint32_t i = 0; i < m->items.n; i++) {
    const obs_notify_item *item = &m->items.at[i];
    obs_json_object(&w, NULL);
    put_labels(&w, item->facts);
    put_annotations(&w, item->facts);
    obs_json_time(&w, "startsAt", item->facts->fired_ms);
    obs_json_time(&w, "endsAt", fires(item) ? obs_clock_receipt_ms() + ALIVE * r->resend_ms : ended_ms(item, m));
    put_link(&w, n, item->facts);
    obs_json_end(&w);
  }
  obs_json_end(&w);
}

/* Whether all alerts have this label. */
static bool is_common(const obs_notify_message *m, const obs_notify_label *label) {
  for (uint32_t i = 1; i < m->items.n; i++) {
    const char *value = obs_notify_facts_label(m->items.at[i].facts, label->name);
    if (value == NULL || strcmp(value, label->value) != 0) return false;
  }
  return true;
}

static void put_common_labels(obs_json_writer *w, const obs_notify_message *m) {
  const obs_notify_facts *f = m->items.n > 0 ? m->items.at[0].facts : NULL;
  bool severity = f != NULL;
  for (uint32_t i = 0; i < m->items.n; i++) severity = severity && m->items.at[i].facts->severity == f->severity;
  obs_json_object(w, "commonLabels");
  if (m->rule != NULL) obs_json_cstr(w, "alertname", m->rule);
  if (severity) obs_json_cstr(w, "severity", obs_notify_severity_names[f->severity]);
  for (uint32_t i = 0; f != NULL && i < f->nlabels; i++)
    if (is_common(m, &f->labels[i])) put_label(w, &f->labels[i]);
  obs_json_end(w);
}

static void put_texts(obs_json_writer *w, const obs_notify *n, const obs_notify_message *m) {
  obs_buf subject = {0}, body = {0};
  obs_notify_text_subject(m, &subject);
  obs_notify_text_body(m, n->public_url, &body);
  obs_json_object(w, "commonAnnotations");
  obs_json_text(w, "summary", obs_buf_view(&subject));
  obs_json_text(w, "description", obs_buf_view(&body));
  obs_json_end(w);
  w->out->oom = w->out->oom || subject.oom || body.oom;
  obs_buf_fini(&subject);
  obs_buf_fini(&body);
}

/* Alertmanager's version 4. */
static void render_webhook(const obs_notify *n, const obs_notify_receiver *r, const obs_notify_message *m,
                           obs_buf *out) {
  char key[OBS_NOTIFY_NAME_MAX + 32];
  bool firing = m->counts[OBS_NOTIFY_BEGUN] + m->counts[OBS_NOTIFY_STILL] > 0;
  uint32_t all = 0;
  for (int i = OBS_NOTIFY_BEGUN; i < OBS_NOTIFY_SAYS; i++) all += m->counts[i];
  snprintf(key, sizeof key, m->rule != NULL ? "{}:{alertname=\"%s\"}" : "{}:{}", m->rule);
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  obs_json_cstr(&w, "version", "4");
  obs_json_cstr(&w, "groupKey", key);
  obs_json_u64(&w, "truncatedAlerts", all - m->items.n);
  obs_json_cstr(&w, "status", firing ? "firing" : "resolved");
  obs_json_cstr(&w, "receiver", r->name);
  obs_json_object(&w, "groupLabels");
  if (m->rule != NULL) obs_json_cstr(&w, "alertname", m->rule);
  obs_json_end(&w);
  put_common_labels(&w, m);
  put_texts(&w, n, m);
  obs_json_cstr(&w, "externalURL", n->public_url != NULL ? n->public_url : "");
  obs_json_array(&w, "alerts");
  for (uint32_t i = 0; i < m->items.n; i++) {
    const obs_notify_item *item = &m->items.at[i];
    obs_json_object(&w, NULL);
    obs_json_cstr(&w, "status", fires(item) ? "firing" : "resolved");
    put_labels(&w, item->facts);
    put_annotations(&w, item->facts);
    obs_json_time(&w, "startsAt", item->facts->fired_ms);
    if (fires(item))
      obs_json_cstr(&w, "endsAt", "0001-01-01T00:00:00Z");
    else
      obs_json_time(&w, "endsAt", ended_ms(item, m));
    put_link(&w, n, item->facts);
    obs_json_id(&w, "fingerprint", item->facts->fingerprint);
    obs_json_end(&w);
  }
  obs_json_end(&w);
  obs_json_end(&w);
}

/* ---- Slack ---- */

/* Text as Slack wants it: three characters are its own. */
static void put_escaped(obs_buf *out, const obs_buf *text) {
  for (size_t i = 0; i < text->len; i++) {
    switch (text->p[i]) {
    case '&':
      obs_buf_puts(out, "&amp;");
      break;
    case '<':
      obs_buf_puts(out, "&lt;");
      break;
    case '>':
      obs_buf_puts(out, "&gt;");
      break;
    default:
      obs_buf_putc(out, text->p[i]);
    }
  }
}

static void render_slack(const obs_notify *n, const obs_notify_receiver *r, const obs_notify_message *m, obs_buf *out) {
  obs_buf plain = {0}, text = {0};
  (void)r;
  obs_notify_text_subject(m, &plain);
  obs_buf_putc(&plain, '\n');
  obs_notify_text_body(m, n->public_url, &plain);
  put_escaped(&text, &plain);
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  obs_json_text(&w, "text", obs_buf_view(&text));
  obs_json_end(&w);
  out->oom = out->oom || plain.oom || text.oom;
  obs_buf_fini(&plain);
  obs_buf_fini(&text);
}

/* ---- e-mail ---- */

/* "Sun, 29 Nov 2026 17:00:00 +0000", whatever the locale. */
static void put_date(obs_buf *out, int64_t ms) {
  static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  time_t s = (time_t)(ms / 1000);
  struct tm t = {0};
  (void)gmtime_r(&s, &t);
  obs_buf_printf(out, "%s, %02d %s %04d %02d:%02d:%02d +0000", days[t.tm_wday], t.tm_mday, months[t.tm_mon],
                 t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

/* As it is when it is short and plain, else in encoded words (RFC 2047). */
static void put_subject(obs_buf *out, const obs_buf *subject) {
  bool plain = subject->len <= 60;
  for (size_t i = 0; i < subject->len; i++) plain = plain && subject->p[i] >= ' ' && subject->p[i] < 0x7f;
  if (plain) {
    obs_buf_append(out, subject->p, subject->len);
    return;
  }
  for (size_t at = 0; at < subject->len;) {
    size_t n = obs_utf8_cut(subject->p + at, subject->len - at, ENCODED_WORD);
    obs_buf_puts(out, at > 0 ? "\r\n =?utf-8?B?" : "=?utf-8?B?");
    obs_base64_encode(out, subject->p + at, n);
    obs_buf_puts(out, "?=");
    at += n;
  }
}

static void render_mail(const obs_notify *n, const obs_notify_receiver *r, const obs_notify_message *m, obs_buf *out) {
  obs_buf subject = {0}, body = {0};
  obs_buf_puts(&subject, "[observer] ");
  obs_notify_text_subject(m, &subject);
  obs_notify_text_body(m, n->public_url, &body);
  obs_buf_printf(out, "From: %s\r\nTo: ", r->from);
  for (uint32_t i = 0; i < r->nto; i++) obs_buf_printf(out, "%s%s", i > 0 ? ",\r\n " : "", r->to[i]);
  obs_buf_puts(out, "\r\nSubject: ");
  put_subject(out, &subject);
  obs_buf_puts(out, "\r\nDate: ");
  put_date(out, m->now_ms);
  obs_buf_printf(out, "\r\nMessage-ID: <%016" PRIx64 "@%s>\r\n", m->id, strchr(r->from, '@') + 1);
  obs_buf_puts(out, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n");
  for (size_t at = 0; at < body.len; at += MAIL_LINE) {
    obs_base64_encode(out, body.p + at, body.len - at < MAIL_LINE ? body.len - at : MAIL_LINE);
    obs_buf_puts(out, "\r\n");
  }
  out->oom = out->oom || subject.oom || body.oom;
  obs_buf_fini(&subject);
  obs_buf_fini(&body);
}

/* ---- the table ---- */

static const type types[OBS_NOTIFY_TYPE_COUNT] = {
    [OBS_NOTIFY_ALERTMANAGER] = {false, "/api/v2/alerts", render_alertmanager},
    [OBS_NOTIFY_WEBHOOK] = {true, "", render_webhook},
    [OBS_NOTIFY_SLACK] = {true, "", render_slack},
    [OBS_NOTIFY_MAIL] = {true, "", render_mail},
    [OBS_NOTIFY_FEED] = {false, "", NULL}, /* rows, not messages */
};

bool obs_notify_type_groups(obs_notify_type t) {
  return types[t].groups;
}

/* ---- sending ---- */

static bool is_stopped(void *arg) {
  const obs_notify_slot *s = arg;
  return atomic_load(&s->notify->stopped) || atomic_load(&s->ending);
}

/* Whether a text has a part of the URL in it that could be a secret: one of its path or query that is long enough. */
static bool has_part(const char *url, const char *text) {
  char part[OBS_HTTP_SHOWN_MAX];
  const char *host = strstr(url, "://");
  for (const char *p = host != NULL ? host + 3 + strcspn(host + 3, "/") : ""; *p != '\0';) {
    size_t len = strcspn(p, "/?&=#");
    if (len >= PART_MIN && len < sizeof part) {
      memcpy(part, p, len);
      part[len] = '\0';
      if (strstr(text, part) != NULL) return true;
    }
    p += len + (p[len] != '\0');
  }
  return false;
}

/* Whether a text has one of the receiver's secrets in it. */
static bool has_secret(const obs_notify_receiver *r, const char *text) {
  return has_part(r->url, text) || (r->bearer != NULL && strstr(text, r->bearer) != NULL) ||
         (r->password != NULL && strstr(text, r->password) != NULL);
}

/* Why it was not taken, for a person. What the receiver itself says of that is cut short, and left out where it may
 * have a secret in it. */
static void explain(const obs_notify_slot *s, const obs_notify_receiver *r, const obs_http_reply *reply,
                    obs_notify_result *result) {
  obs_buf said = {0}, clean = {0};
  if (reply->end != OBS_HTTP_OK && reply->end != OBS_HTTP_TOO_LONG) {
    snprintf(result->error, sizeof result->error, "%.80s: %.160s", r->shown, reply->error);
    return;
  }
  bool secret = reply->status == 401 || reply->status == 403 || reply->body.len == 0 || has_secret(r, reply->body.p);
  if (!secret) obs_http_clean_text(obs_buf_view(&reply->body), true, &said);
  if (obs_redact_text(s->notify->opts.redact, obs_buf_view(&said), &clean)) {
    obs_buf_fini(&said);
    said = clean;
  }
  int n = said.oom ? 0 : (int)obs_utf8_cut(obs_buf_view(&said).p, said.len, SAID_MAX);
  snprintf(result->error, sizeof result->error, "%.80s: HTTP status %ld%s%.*s", r->shown, reply->status,
           n > 0 ? ": " : "", n, obs_buf_view(&said).p);
  obs_buf_fini(&said);
}

static void put_authorization(const obs_notify_receiver *r, obs_buf *out) {
  obs_buf pair = {0};
  if (r->bearer != NULL) {
    obs_buf_puts(out, "authorization: Bearer ");
    obs_buf_puts(out, r->bearer);
  } else if (r->user != NULL) {
    obs_buf_puts(out, "authorization: Basic ");
    obs_buf_puts(&pair, r->user);
    obs_buf_putc(&pair, ':');
    obs_buf_puts(&pair, r->password);
    obs_base64_encode(out, pair.p, pair.len);
    out->oom = out->oom || pair.oom;
    if (pair.p != NULL) explicit_bzero(pair.p, pair.len);
    obs_buf_fini(&pair);
  }
  obs_buf_putc(out, '\0');
}

static void post(const obs_notify_slot *s, obs_http *http, const obs_notify_receiver *r, const obs_notify_message *m,
                 obs_str body, obs_http_reply *reply) {
  char message[64];
  obs_buf authorization = {0}, url = {0};
  snprintf(message, sizeof message, "x-observer-message: %016" PRIx64, m->id);
  put_authorization(r, &authorization);
  size_t len = strlen(r->url);
  while (types[r->type].path[0] != '\0' && len > 0 && r->url[len - 1] == '/') len--;
  obs_buf_append(&url, r->url, len);
  obs_buf_append(&url, types[r->type].path, strlen(types[r->type].path) + 1);
  const char *headers[] = {"content-type: application/json", message, authorization.len > 1 ? authorization.p : NULL,
                           NULL};
  const obs_http_request request = {.url = url.p,
                                    .headers = headers,
                                    .body = body,
                                    .tls_ca = r->ca_file,
                                    .timeout_ms = OBS_NOTIFY_TIMEOUT_MS,
                                    .reply_max = REPLY_MAX,
                                    .stop = is_stopped,
                                    .stop_arg = (void *)s,
                                    .stop_fd = s->notify->stop_fd};
  if (!authorization.oom && !url.oom) (void)obs_http_send(http, &request, reply);
  if (authorization.p != NULL) explicit_bzero(authorization.p, authorization.len);
  if (url.p != NULL) explicit_bzero(url.p, url.len);
  obs_buf_fini(&authorization);
  obs_buf_fini(&url);
}

static void mail(const obs_notify_slot *s, obs_http *http, const obs_notify_receiver *r, obs_str body,
                 obs_http_reply *reply) {
  const obs_http_mail letter = {.url = r->url,
                                .from = r->from,
                                .to = (const char *const *)r->to,
                                .nto = r->nto,
                                .user = r->user,
                                .password = r->password,
                                .tls_ca = r->ca_file,
                                .plain = r->plain,
                                .message = body,
                                .timeout_ms = OBS_NOTIFY_TIMEOUT_MS,
                                .stop = is_stopped,
                                .stop_arg = (void *)s,
                                .stop_fd = s->notify->stop_fd};
  (void)obs_http_send_mail(http, &letter, reply);
}

void obs_notify_send(const obs_notify_slot *s, const obs_notify_receiver *r, const obs_notify_message *m,
                     obs_notify_result *result) {
  obs_buf body = {0};
  obs_http_reply reply = {.end = OBS_HTTP_NO_MEMORY};
  uint64_t start = obs_clock_mono_ms();
  *result = (obs_notify_result){0};
  snprintf(reply.error, sizeof reply.error, "out of memory");
  types[r->type].render(s->notify, r, m, &body);
  /* A connection of its own for each: libcurl would repeat a request by itself on one that was kept open and is gone.
   */
  obs_http *http = body.oom ? NULL : obs_http_open();
  if (http != NULL && r->type == OBS_NOTIFY_MAIL)
    mail(s, http, r, obs_buf_view(&body), &reply);
  else if (http != NULL)
    post(s, http, r, m, obs_buf_view(&body), &reply);
  obs_http_close(http);
  /* Of an answer that is too long the status came first, and that is all that counts. */
  bool answered = reply.end == OBS_HTTP_OK || (reply.end == OBS_HTTP_TOO_LONG && r->type != OBS_NOTIFY_MAIL);
  result->ok = answered && (r->type == OBS_NOTIFY_MAIL || reply.status / 100 == 2);
  result->unsure = !answered && reply.sent;
  result->status = reply.status;
  result->at_ms = obs_clock_receipt_ms();
  result->ms = (uint32_t)(obs_clock_mono_ms() - start);
  result->retry_after_ms = reply.retry_after_ms;
  if (!result->ok) explain(s, r, &reply, result);
  obs_http_reply_fini(&reply);
  obs_buf_fini(&body);
}
