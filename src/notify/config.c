/* The receivers of the rules' file. What differs between the types is in the table of members below. */
#include "base/log.h"
#include "base/row.h"
#include "base/secret.h"
#include "notify/internal.h"
#include "options/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

enum {
  REPEAT_MS = 4 * 3600000,
  WAIT_MS = 10000,
  INTERVAL_MS = 300000,
  PER_HOUR = 12,
  RESEND_MS = 60000,

  ADDRESSES = 32,
  MEMBER_MAX = 1024
};

static const int64_t longest_ms = INT64_C(30) * 24 * 3600000;

/* ---- the members of a receiver ---- */

typedef enum { URL_HTTP, URL_SMTP, URL_FILE, TEXT, ADDRESS, LIST, SECRET_FILE, PATH, DURATION, BOOLEAN, TLS_MODE } kind;

enum {
  AM = 1 << OBS_NOTIFY_ALERTMANAGER,
  HOOK = 1 << OBS_NOTIFY_WEBHOOK,
  SLACK = 1 << OBS_NOTIFY_SLACK,
  MAIL = 1 << OBS_NOTIFY_MAIL,
  ALL = AM | HOOK | SLACK | MAIL
};

/* A member with `makes` is what tells the type: a receiver has exactly one of these. */
static const struct member {
  const char *name;
  unsigned types;
  kind kind;
  size_t at;
  bool makes;
} members[] = {
    {"alertmanager", AM, URL_HTTP, offsetof(obs_notify_receiver, url), true},
    {"url", HOOK, URL_HTTP, offsetof(obs_notify_receiver, url), true},
    {"url_file", HOOK, URL_FILE, offsetof(obs_notify_receiver, url), true},
    {"slack_url_file", SLACK, URL_FILE, offsetof(obs_notify_receiver, url), true},
    {"smtp", MAIL, URL_SMTP, offsetof(obs_notify_receiver, url), true},
    {"to", MAIL, LIST, 0, false},
    {"from", MAIL, ADDRESS, offsetof(obs_notify_receiver, from), false},
    {"user", AM | HOOK | MAIL, TEXT, offsetof(obs_notify_receiver, user), false},
    {"password_file", AM | HOOK | MAIL, SECRET_FILE, offsetof(obs_notify_receiver, password), false},
    {"bearer_file", AM | HOOK, SECRET_FILE, offsetof(obs_notify_receiver, bearer), false},
    {"ca_file", ALL, PATH, offsetof(obs_notify_receiver, ca_file), false},
    {"tls", MAIL, TLS_MODE, offsetof(obs_notify_receiver, plain), false},
    {"resend", AM, DURATION, offsetof(obs_notify_receiver, resend_ms), false},
    {"resolved", HOOK | SLACK | MAIL, BOOLEAN, offsetof(obs_notify_receiver, ends), false},
};
enum { MEMBERS = sizeof members / sizeof *members };

/* Where an error goes, and whose it is; whether files that are not there are those of another machine. */
typedef struct {
  char *error;
  size_t size;
  const char *receiver, *member;
  bool elsewhere;
} place;

static bool fail(const place *at, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool fail(const place *at, const char *fmt, ...) {
  char why[512];
  va_list args;
  va_start(args, fmt);
  vsnprintf(why, sizeof why, fmt, args);
  va_end(args);
  snprintf(at->error, at->size, "receivers.%s%s%s: %s", at->receiver, at->member != NULL ? "." : "",
           at->member != NULL ? at->member : "", why);
  return false;
}

/* Visible characters and spaces between them: nothing that could end a header line. */
static bool is_line(const char *text) {
  for (const char *p = text; *p != '\0'; p++)
    if ((unsigned char)*p < ' ' || *p == 0x7f) return false;
  return *text != '\0';
}

static bool is_address(const char *text) {
  const char *at = strchr(text, '@');
  return is_line(text) && strpbrk(text, " <>,;\"\\") == NULL && at != NULL && at != text && at[1] != '\0' &&
         strchr(at + 1, '@') == NULL && strlen(text) < 255;
}

static bool keep(char **to, const char *text, const place *at) {
  *to = strdup(text);
  return *to != NULL || fail(at, "out of memory");
}

/* A URL to which messages go. The text of a secret one is in no error. */
static bool take_url(obs_notify_receiver *r, const char *text, bool mail, bool secret, const place *at) {
  obs_http_url names;
  const char *why = mail ? obs_http_mail_url_read(text, &names) : obs_http_url_read(text, &names);
  if (why != NULL) return fail(at, "%s%s", secret ? "its first line " : "", why);
  const char *host = strstr(text, "://") + 3, *user = strpbrk(host, "@/?#");
  if (!secret && user != NULL && *user == '@')
    return fail(at, "must have no user or password: `user` and `password_file` are for them");
  snprintf(r->shown, sizeof r->shown, "%s", secret ? names.base : names.shown);
  return keep(&r->url, text, at);
}

static bool read_secret(const char *path, char **out, const place *at) {
  char why[600];
  bool open = false;
  observer_err err = obs_secret_read("the file", path, out, &open, why, sizeof why);
  if (err != OBSERVER_E_OK) return fail(at, "%s", why);
  if (open)
    obs_log_warn("notify", "receivers.%s.%s: others can read %s: chmod 600 keeps it to its owner", at->receiver,
                 at->member, path);
  return true;
}

static bool take_list(obs_notify_receiver *r, const cJSON *value, const place *at) {
  const cJSON *item;
  int n = cJSON_GetArraySize(value);
  if (!cJSON_IsArray(value) || n == 0 || n > ADDRESSES)
    return fail(at, "must be an array of 1 to %d e-mail addresses", ADDRESSES);
  r->to = calloc((size_t)n, sizeof *r->to);
  if (r->to == NULL) return fail(at, "out of memory");
  cJSON_ArrayForEach(item, value) {
    if (!cJSON_IsString(item) || !is_address(item->valuestring))
      return fail(at, "must be an array of e-mail addresses such as ops@example.org");
    if (!keep(&r->to[r->nto], item->valuestring, at)) return false;
    r->nto++;
  }
  return true;
}

/* A duration: text with units, such as 10s. */
static bool read_duration(const cJSON *value, int64_t least, int64_t most, int64_t *out) {
  uint64_t ms;
  if (!cJSON_IsString(value) || !obs_option_read_duration(value->valuestring, &ms)) return false;
  if (ms > (uint64_t)most || (int64_t)ms < least) return false;
  *out = (int64_t)ms;
  return true;
}

/* A file of another machine: its path stands for what is in it. */
static bool take_elsewhere(obs_notify_receiver *r, const struct member *m, const char *path, const place *at) {
  return keep(m->kind == URL_FILE ? &r->url : (char **)((char *)r + m->at), path, at);
}

static bool take_member(obs_notify_receiver *r, const struct member *m, const cJSON *value, const place *at) {
  void *to = (char *)r + m->at;
  if (m->kind == LIST) return take_list(r, value, at);
  if (m->kind == BOOLEAN) {
    *(bool *)to = cJSON_IsTrue(value);
    return cJSON_IsBool(value) || fail(at, "must be true or false");
  }
  if (m->kind == DURATION)
    return read_duration(value, 1000, 3600000, to) || fail(at, "must be a duration from 1s to 1h, such as 60s");
  const char *text = cJSON_GetStringValue(value);
  if (text == NULL || *text == '\0' || strlen(text) > MEMBER_MAX) return fail(at, "must be a text");
  bool file = m->kind == URL_FILE || m->kind == SECRET_FILE || m->kind == PATH;
  if (file && at->elsewhere && access(text, F_OK) != 0) return take_elsewhere(r, m, text, at);
  switch (m->kind) {
  case URL_HTTP:
  case URL_SMTP:
    return take_url(r, text, m->kind == URL_SMTP, false, at);
  case URL_FILE: {
    char *url = NULL;
    bool ok = read_secret(text, &url, at) && take_url(r, url, false, true, at);
    obs_secret_free(url);
    return ok;
  }
  case SECRET_FILE:
    return read_secret(text, to, at);
  case PATH:
    if (access(text, R_OK) != 0) return fail(at, "cannot read %s: %s", text, strerror(errno));
    return keep(to, text, at);
  case ADDRESS:
    return is_address(text) ? keep(to, text, at) : fail(at, "must be an e-mail address");
  case TLS_MODE:
    *(bool *)to = strcmp(text, "none") == 0;
    return *(bool *)to || strcmp(text, "required") == 0 || fail(at, "must be required or none");
  default:
    return is_line(text) ? keep(to, text, at) : fail(at, "must be a text of one line");
  }
}

static const struct member *member_named(const char *name) {
  for (size_t i = 0; i < MEMBERS; i++)
    if (strcmp(members[i].name, name) == 0) return &members[i];
  return NULL;
}

/* Which type it is. */
static bool find_type(obs_notify_receiver *r, const cJSON *value, place *at) {
  const struct member *made = NULL;
  const cJSON *item;
  cJSON_ArrayForEach(item, value) {
    const struct member *m = member_named(item->string);
    at->member = item->string;
    if (m == NULL) return fail(at, "not known here");
    if (!m->makes) continue;
    if (made != NULL) return fail(at, "a receiver has one of alertmanager, url, url_file, slack_url_file and smtp");
    made = m;
  }
  at->member = NULL;
  if (made == NULL) return fail(at, "needs one of alertmanager, url, url_file, slack_url_file and smtp");
  while ((made->types & 1u << r->type) == 0) r->type++;
  return true;
}

/* A receiver that is changed, or whose secret is, has another one. */
static void make_digest(obs_notify_receiver *r, const cJSON *value) {
  const char *secrets[] = {r->url, r->bearer, r->password, r->from};
  char *text = cJSON_PrintUnformatted(value);
  XXH64_hash_t h = text != NULL ? XXH64(text, strlen(text), 0) : 0;
  for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
    if (secrets[i] != NULL) h = XXH64(secrets[i], strlen(secrets[i]), h);
  cJSON_free(text);
  r->digest = h;
}

static bool take_receiver(obs_notify_receiver *r, const cJSON *value, place *at) {
  const cJSON *item;
  if (!cJSON_IsObject(value)) return fail(at, "must be an object");
  snprintf(r->name, sizeof r->name, "%s", at->receiver);
  r->ends = true;
  r->resend_ms = RESEND_MS;
  if (!find_type(r, value, at)) return false;
  cJSON_ArrayForEach(item, value) {
    const struct member *m = member_named(item->string);
    at->member = item->string;
    if ((m->types & 1u << r->type) == 0)
      return fail(at, "not known for a receiver of type %s", obs_notify_type_names[r->type]);
    if (cJSON_GetObjectItemCaseSensitive(value, item->string) != item) return fail(at, "given twice");
    if (!take_member(r, m, item, at)) return false;
  }
  at->member = NULL;
  if (r->type == OBS_NOTIFY_MAIL && r->nto == 0) return fail(at, "needs `to`, an array of e-mail addresses");
  if ((r->user != NULL) != (r->password != NULL)) return fail(at, "needs both of user and password_file, or neither");
  if (r->user != NULL && r->bearer != NULL) return fail(at, "has one of user and bearer_file");
  if (r->type == OBS_NOTIFY_MAIL && r->plain && r->password != NULL)
    return fail(at, "a password goes over TLS only: `tls` must not be none");
  if (r->type == OBS_NOTIFY_MAIL && r->plain && strncmp(r->url, "smtps:", 6) == 0)
    return fail(at, "smtps:// is TLS: `tls` must not be none");
  if (r->type == OBS_NOTIFY_MAIL && r->from == NULL) {
    char host[200], from[256];
    if (gethostname(host, sizeof host) != 0) snprintf(host, sizeof host, "localhost");
    host[sizeof host - 1] = '\0';
    snprintf(from, sizeof from, "observer@%s", host);
    if (!keep(&r->from, from, at)) return false;
  }
  make_digest(r, value);
  return true;
}

/* ---- the file ---- */

/* "receivers.x" for names that are no names, too. */
static bool is_name(const char *name) {
  size_t n = strlen(name);
  return n > 0 && n <= OBS_NOTIFY_NAME_MAX &&
         strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == n;
}

static bool take_receivers(obs_notify_config *c, const cJSON *value, bool elsewhere, char *error, size_t size) {
  const cJSON *item;
  if (value == NULL) return true;
  if (!cJSON_IsObject(value) || cJSON_GetArraySize(value) > OBS_NOTIFY_RECEIVERS) {
    snprintf(error, size, "receivers: must be an object of at most %d receivers", OBS_NOTIFY_RECEIVERS);
    return false;
  }
  cJSON_ArrayForEach(item, value) {
    place at = {error, size, item->string, NULL, elsewhere};
    if (!is_name(item->string)) {
      snprintf(error, size, "receivers: a name has 1 to %d letters, digits and -_.", OBS_NOTIFY_NAME_MAX);
      return false;
    }
    if (obs_notify_config_has(c, obs_str_of(item->string))) return fail(&at, "given twice");
    obs_notify_receiver *r = calloc(1, sizeof *r);
    if (r == NULL) return fail(&at, "out of memory");
    c->at[c->n++] = r;
    if (!take_receiver(r, item, &at)) return false;
  }
  return true;
}

static bool take_to(obs_notify_config *c, const cJSON *value, char *error, size_t size) {
  const cJSON *item;
  if (value == NULL) {
    for (uint32_t i = 0; i < c->n; i++) c->at[i]->by_default = true;
    return true;
  }
  bool ok = cJSON_IsArray(value);
  cJSON_ArrayForEach(item, value) {
    bool found = false;
    for (uint32_t i = 0; ok && i < c->n; i++) {
      if (!cJSON_IsString(item) || strcmp(c->at[i]->name, item->valuestring) != 0) continue;
      found = c->at[i]->by_default = true;
    }
    ok = ok && found;
  }
  if (!ok) snprintf(error, size, "to: must be an array of names of receivers");
  return ok;
}

static bool take_time(const cJSON *file, const char *name, int64_t least, int64_t most, const char *range, int64_t *out,
                      char *error, size_t size) {
  const cJSON *value = cJSON_GetObjectItemCaseSensitive(file, name);
  if (value == NULL || read_duration(value, least, most, out)) return true;
  snprintf(error, size, "%s: must be a duration from %s, such as 10s, 5m or 4h", name, range);
  return false;
}

obs_notify_config *obs_notify_config_read(const cJSON *file, bool elsewhere, char *error, size_t size) {
  uint64_t per_hour = PER_HOUR;
  obs_notify_config *c = calloc(1, sizeof *c);
  if (c == NULL) {
    snprintf(error, size, "receivers: %s", observer_strerror(OBSERVER_E_NOMEM));
    return NULL;
  }
  c->repeat_ms = REPEAT_MS;
  c->wait_ms = WAIT_MS;
  c->interval_ms = INTERVAL_MS;
  const cJSON *value = cJSON_GetObjectItemCaseSensitive(file, "per_hour");
  bool ok = take_receivers(c, cJSON_GetObjectItemCaseSensitive(file, "receivers"), elsewhere, error, size) &&
            take_to(c, cJSON_GetObjectItemCaseSensitive(file, "to"), error, size) &&
            take_time(file, "repeat", 60000, longest_ms, "1m to 30d", &c->repeat_ms, error, size) &&
            take_time(file, "group_wait", 0, 3600000, "0s to 1h", &c->wait_ms, error, size) &&
            take_time(file, "group_interval", 1000, 86400000, "1s to 1d", &c->interval_ms, error, size);
  if (ok && value != NULL &&
      (!obs_row_u64(file, "per_hour", &per_hour) || per_hour == 0 || per_hour > OBS_NOTIFY_PER_HOUR_MAX)) {
    snprintf(error, size, "per_hour: must be a whole number from 1 to %d", OBS_NOTIFY_PER_HOUR_MAX);
    ok = false;
  }
  c->per_hour = (uint32_t)per_hour;
  if (ok) return c;
  obs_notify_config_free(c);
  return NULL;
}

bool obs_notify_config_has(const obs_notify_config *c, obs_str name) {
  for (uint32_t i = 0; i < c->n; i++)
    if (obs_str_is(name, c->at[i]->name)) return true;
  return false;
}

void obs_notify_config_free(obs_notify_config *c) {
  if (c == NULL) return;
  for (uint32_t i = 0; i < c->n; i++) {
    obs_notify_receiver *r = c->at[i];
    obs_secret_free(r->url);
    obs_secret_free(r->bearer);
    obs_secret_free(r->password);
    free(r->user);
    free(r->ca_file);
    free(r->from);
    for (uint32_t k = 0; k < r->nto; k++) free(r->to[k]);
    free(r->to);
    free(r);
  }
  free(c);
}
