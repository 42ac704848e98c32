/* key new, list, rotate, revoke, check: the keys of a daemon's key file. A key's text is printed once, when it is made,
 * alone on standard output; every word about it goes to standard error. */
#include "access/key_file.h"
#include "access/keys.h"
#include "base/clock.h"
#include "base/row.h"
#include "base/secret.h"
#include "observerctl/ask/ask.h"
#include "observerctl/ask/credentials.h"
#include "observerctl/cli/actions.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/when.h"

#include <errno.h>
#include <stdlib.h>

enum { ERROR_MAX = 1024, LIST_MAX = 512, ID_LEAST = 4, EXIT_NO = 3, TIMEOUT_MS = 60000 };
#define OVERLAP_MAX_MS UINT64_C(31622400000) /* a year */

/* The key file, read; locked where it is to be changed. */
typedef struct {
  const obs_args *args;
  const char *path;
  obs_key_file file;
  obs_keys keys;
  int64_t now_ms; /* one for all that the command says and writes */
} work;

/* ---- the file ---- */

/* False: it was reported. */
static bool read_keys(work *w) {
  char error[ERROR_MAX] = "", why[ERROR_MAX / 2] = "";
  struct stat st;
  obs_buf text = {0};
  observer_err err = obs_key_file_read(w->path, &text, &st, error, sizeof error);
  if (err == OBSERVER_E_OK) {
    err = obs_keys_read(obs_buf_view(&text), &w->keys, why, sizeof why);
    if (err != OBSERVER_E_OK) (void)snprintf(error, sizeof error, "keys: %s: %s", w->path, why);
  }
  obs_buf_fini(&text);
  if (err != OBSERVER_E_OK) obs_args_error(w->args, "%s", error);
  return err == OBSERVER_E_OK;
}

/* Where the file is; false: nobody said, which was reported. */
static bool find_file(work *w) {
  w->path = obs_args_text(w->args, "keys");
  if (w->path == NULL) obs_args_error(w->args, "which key file? give --keys FILE, or set OBSERVER_KEYS");
  return w->path != NULL;
}

/* For a change; the caller unlocks in either case. False: it was reported. */
static bool open_keys(work *w, bool make) {
  char error[ERROR_MAX] = "";
  if (obs_key_file_lock(&w->file, w->path, make, error, sizeof error) != OBSERVER_E_OK) {
    obs_args_error(w->args, "%s", error);
    return false;
  }
  return read_keys(w);
}

/* Writes the document as it is now. What is written is read first: nobody gets a file that the daemon would refuse. */
static bool save_keys(work *w) {
  char error[ERROR_MAX] = "";
  obs_buf text = {0};
  obs_keys again = {0};
  obs_keys_put(w->keys.document, &text);
  observer_err err = text.oom ? OBSERVER_E_NOMEM : obs_keys_read(obs_buf_view(&text), &again, error, sizeof error);
  if (err == OBSERVER_E_OK) err = obs_key_file_replace(&w->file, &text, error, sizeof error);
  if (err != OBSERVER_E_OK) obs_args_error(w->args, "%s", error[0] != '\0' ? error : observer_strerror(err));
  obs_keys_fini(&again);
  obs_buf_fini(&text);
  return err == OBSERVER_E_OK;
}

static void close_keys(work *w) {
  obs_keys_fini(&w->keys);
  obs_key_file_unlock(&w->file);
}

/* The key's object in the document. */
static cJSON *object_of(const work *w, const obs_key *k) {
  return cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(w->keys.document, "keys"), (int)(k - w->keys.at));
}

/* ---- which key ---- */

static bool is_named(const obs_key *k, obs_str by) {
  return obs_str_is(by, k->id) || obs_str_eq(k->name, by);
}

static bool begins_with(const obs_key *k, obs_str by) {
  return by.len >= ID_LEAST && by.len <= OBS_KEY_ID_LEN && memcmp(k->id, by.p, by.len) == 0;
}

/* The one key that an id, a name or the first digits of an id mean; `live`: a name is that of a key that is valid.
 * NULL: none or several, which was reported. */
static const obs_key *find_key(const work *w, const char *text, bool live) {
  obs_str by = obs_str_of(text);
  bool (*const ways[])(const obs_key *, obs_str) = {is_named, begins_with};
  const obs_key *found = NULL;
  char others[LIST_MAX] = "";
  unsigned n = 0;
  for (size_t way = 0; n == 0 && way < sizeof ways / sizeof *ways; way++) {
    for (const obs_key *k = w->keys.at; k < w->keys.at + w->keys.n; k++) {
      bool by_id = way > 0 || obs_str_is(by, k->id);
      if (!ways[way](k, by) || (live && !by_id && obs_key_state_at(k, w->now_ms) != OBS_KEY_VALID)) continue;
      size_t at = strlen(others);
      (void)snprintf(others + at, sizeof others - at, "%s%s", n > 0 ? ", " : "", k->id);
      found = k;
      n++;
    }
  }
  if (n == 1) return found;
  if (n == 0)
    obs_args_error(w->args, "%s: no %skey of this id or name in %s", text, live ? "valid " : "", w->path);
  else
    obs_args_error(w->args, "%s is several keys: give the id: %s", text, others);
  return NULL;
}

/* ---- making a key ---- */

/* What a new key gets; the texts and the list are the caller's. */
typedef struct {
  const char *name, *note;
  unsigned scopes;
  char *const *sources;
  uint32_t nsources;
  int64_t expires_ms;
} rights;

/* "90d" from now, or a time; in the future. False: it was reported. */
static bool read_expires(const work *w, int64_t *out) {
  const obs_args *args = w->args;
  const char *text = obs_args_text(args, "expires");
  int64_t now = w->now_ms;
  uint64_t ms;
  if (text == NULL) return true;
  if (obs_option_read_duration(text, &ms) && ms <= (uint64_t)(OBS_CLOCK_MAX_MS - now)) {
    *out = now + (int64_t)ms;
  } else if (!obs_clock_parse(text, strlen(text), out) && !obs_clock_parse_epoch(text, strlen(text), out)) {
    obs_args_error(args, "--expires: \"%s\" is neither a time such as 2027-01-31 nor how long from now: 90d", text);
    return false;
  }
  if (*out > now) return true;
  obs_args_error(args, "--expires: %s is not in the future", text);
  return false;
}

/* Names separated by commas. False: it was reported. */
static bool read_scopes(const obs_args *args, unsigned *out) {
  const char *text = obs_args_text(args, "scope");
  if (text == NULL) {
    obs_args_error(args, "what may it do? --scope ingest, read or admin, or several: ingest,read");
    return false;
  }
  for (const char *p = text;; p++) {
    size_t n = strcspn(p, ",");
    obs_scope scope;
    if (!obs_scope_parse((obs_str){p, (uint32_t)n, 0}, &scope)) {
      obs_args_error(args, "--scope: \"%.*s\" is none of: ingest read admin", (int)n, p);
      return false;
    }
    *out |= scope;
    p += n;
    if (*p == '\0') return true;
  }
}

/* The prefixes of --source: each may be several, separated by commas. */
typedef struct {
  char *texts[OBS_KEYS_SOURCES_MAX + 1]; /* one more than a key can have, so that too many are refused */
  uint32_t n;
} prefixes;

/* Copies into `out`, which the caller frees. False: it was reported. */
static bool read_prefixes(const obs_args *args, unsigned scopes, prefixes *out) {
  uint32_t given;
  char *const *texts = obs_options_texts(&args->options, "source", &given);
  for (uint32_t i = 0; i < given; i++) {
    for (const char *p = texts[i];; p++) {
      size_t n = strcspn(p, ",");
      if (n == 0) {
        obs_args_error(args, "--source: \"%s\" has an empty one among those that commas separate", texts[i]);
        return false;
      }
      if (out->n == sizeof out->texts / sizeof *out->texts) break;
      out->texts[out->n] = strndup(p, n);
      if (out->texts[out->n] == NULL) {
        obs_args_error(args, "out of memory");
        return false;
      }
      out->n++;
      p += n;
      if (*p == '\0') break;
    }
  }
  if (given == 0 || (scopes & OBS_SCOPE_INGEST) != 0) return true;
  obs_args_error(args, "--source limits what a key may publish as, not what it may read: it needs --scope ingest");
  return false;
}

static void free_prefixes(prefixes *p) {
  for (uint32_t i = 0; i < p->n; i++) free(p->texts[i]);
}

static bool add_text(cJSON *object, obs_key_member member, const char *text) {
  return cJSON_AddStringToObject(object, obs_key_members[member], text) != NULL;
}

static bool add_time(cJSON *object, obs_key_member member, int64_t ms) {
  char text[OBS_ISO8601_LEN + 1];
  obs_clock_format(ms, text);
  cJSON_DeleteItemFromObjectCaseSensitive(object, obs_key_members[member]);
  return add_text(object, member, text);
}

static bool add_hash(cJSON *object, obs_str secret) {
  uint8_t hash[OBS_KEY_HASH_BYTES];
  char text[2 * OBS_KEY_HASH_BYTES + 1];
  if (!obs_key_text_hash(secret, hash)) return false;
  for (size_t i = 0; i < sizeof hash; i++) (void)snprintf(text + 2 * i, 3, "%02x", hash[i]);
  return add_text(object, OBS_KEY_MEMBER_SHA256, text);
}

/* A text that no key of the file has the id of. False: it was reported. */
static bool make_text(const work *w, unsigned scopes, char text[OBS_KEY_TEXT_LEN + 1], obs_key_text *parts) {
  do {
    if (!obs_key_text_make(scopes, text) || !obs_key_text_parse(obs_str_of(text), parts)) {
      obs_args_error(w->args, "no random numbers: %s", strerror(errno));
      return false;
    }
  } while (obs_keys_find(&w->keys, parts->id) != NULL);
  return true;
}

/* The object of a new key. `like`: an older one, whose other members it gets; NULL: none. NULL: no memory. */
static cJSON *make_object(const rights *r, const cJSON *like, const obs_key_text *parts, int64_t now_ms) {
  cJSON *object = cJSON_CreateObject(), *scopes = NULL;
  bool ok = add_text(object, OBS_KEY_MEMBER_ID, parts->id) && add_text(object, OBS_KEY_MEMBER_NAME, r->name) &&
            (scopes = cJSON_AddArrayToObject(object, obs_key_members[OBS_KEY_MEMBER_SCOPES])) != NULL &&
            add_hash(object, parts->secret);
  for (unsigned bit = 1; ok && bit < OBS_SCOPE_PUBLIC; bit <<= 1) {
    bool implied = (r->scopes & OBS_SCOPE_ADMIN) != 0 && bit != OBS_SCOPE_ADMIN;
    if ((r->scopes & bit) != 0 && !implied)
      ok = cJSON_AddItemToArray(scopes, cJSON_CreateString(obs_scope_name((obs_scope)bit)));
  }
  cJSON *sources =
      ok && r->nsources > 0 ? cJSON_AddArrayToObject(object, obs_key_members[OBS_KEY_MEMBER_SOURCES]) : NULL;
  for (uint32_t i = 0; ok && i < r->nsources; i++)
    ok = cJSON_AddItemToArray(sources, cJSON_CreateString(r->sources[i]));
  ok = ok && add_time(object, OBS_KEY_MEMBER_CREATED, now_ms);
  if (ok && r->expires_ms != OBS_KEY_NEVER) ok = add_time(object, OBS_KEY_MEMBER_EXPIRES, r->expires_ms);
  if (ok && r->note != NULL) ok = add_text(object, OBS_KEY_MEMBER_NOTE, r->note);
  const cJSON *member;
  cJSON_ArrayForEach(member, like) {
    bool known = false;
    for (size_t i = 0; i < OBS_KEY_MEMBERS; i++) known = known || strcmp(member->string, obs_key_members[i]) == 0;
    if (ok && !known) ok = cJSON_AddItemToObject(object, member->string, cJSON_Duplicate(member, true));
  }
  if (ok) return object;
  cJSON_Delete(object);
  return NULL;
}

/* Adds a key to the document. False: it was reported. */
static bool add_key(work *w, const rights *r, const cJSON *like, char text[OBS_KEY_TEXT_LEN + 1], obs_key_text *parts) {
  if (!make_text(w, r->scopes, text, parts)) return false;
  cJSON *object = make_object(r, like, parts, w->now_ms);
  if (cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(w->keys.document, "keys"), object)) return true;
  obs_args_error(w->args, "out of memory");
  return false;
}

/* The key's text, alone on standard output. */
static int print_key(const work *w, char text[OBS_KEY_TEXT_LEN + 1], const char *id) {
  bool ok = puts(text) >= 0 && fflush(stdout) == 0;
  explicit_bzero(text, OBS_KEY_TEXT_LEN);
  if (ok) return OBS_COMMAND_OK;
  obs_args_error(w->args, "the key %s was made and could not be printed: revoke it", id);
  return OBS_COMMAND_FAILED;
}

/* " as mailer, bot-; expires 2027-01-31 00:00": what follows its name and scopes. */
static void put_limits(obs_buf *out, const rights *r) {
  char when[OBS_WHEN_LEN];
  for (uint32_t i = 0; i < r->nsources; i++) obs_buf_printf(out, "%s%s", i == 0 ? " as " : ", ", r->sources[i]);
  if (r->nsources == 0 && (r->scopes & OBS_SCOPE_INGEST) != 0) obs_buf_puts(out, " as any source");
  if (r->expires_ms == OBS_KEY_NEVER) {
    obs_buf_puts(out, "; does not expire");
  } else {
    obs_when_format(r->expires_ms, false, when);
    obs_buf_printf(out, "; expires %.16s", when);
  }
}

static void say_made(const work *w, const rights *r, const char *id) {
  obs_buf words = {0};
  obs_scope_put(&words, r->scopes, ", ");
  put_limits(&words, r);
  obs_args_error(w->args,
                 "%s (%s): %.*s. This is the only time that it is shown: keep it in a file that you alone "
                 "can read, and name that in OBSERVER_KEY_FILE",
                 r->name, id, (int)words.len, obs_buf_view(&words).p);
  obs_buf_fini(&words);
}

static int make_new(work *w, prefixes *sources) {
  char text[OBS_KEY_TEXT_LEN + 1];
  obs_key_text parts;
  rights r = {.expires_ms = OBS_KEY_NEVER, .note = obs_args_text(w->args, "note")};
  if (w->args->nrest != 2) {
    obs_args_error(w->args, "new needs one name for the key, such as that of its producer");
    return OBS_COMMAND_USAGE;
  }
  r.name = w->args->rest[1];
  if (!find_file(w) || !read_scopes(w->args, &r.scopes) || !read_expires(w, &r.expires_ms)) return OBS_COMMAND_USAGE;
  r.scopes = obs_scope_resolve(r.scopes);
  if (!read_prefixes(w->args, r.scopes, sources)) return OBS_COMMAND_USAGE;
  r.sources = sources->texts;
  r.nsources = sources->n;
  bool ok = open_keys(w, true);
  for (const obs_key *k = w->keys.at; ok && k < w->keys.at + w->keys.n; k++) {
    if (!obs_str_is(k->name, r.name) || obs_key_state_at(k, w->now_ms) != OBS_KEY_VALID) continue;
    obs_args_error(w->args, "%s is the name of a valid key (%s): rotate that one, or choose another name", r.name,
                   k->id);
    ok = false;
  }
  ok = ok && add_key(w, &r, NULL, text, &parts) && save_keys(w);
  if (!ok) return OBS_COMMAND_FAILED;
  int status = print_key(w, text, parts.id);
  if (status == OBS_COMMAND_OK) say_made(w, &r, parts.id);
  return status;
}

static int run_new(void *arg) {
  prefixes sources = {.n = 0};
  int status = make_new(arg, &sources);
  free_prefixes(&sources);
  return status;
}

/* ---- rotate ---- */

/* A key that expires is followed by one that lives as long. */
static int64_t successor_expires(const obs_key *k, int64_t now) {
  if (k->expires_ms == OBS_KEY_NEVER || k->created_ms == OBS_KEY_NEVER || k->created_ms > k->expires_ms)
    return k->expires_ms;
  int64_t life = k->expires_ms - k->created_ms;
  return life < OBS_CLOCK_MAX_MS - now ? now + life : OBS_CLOCK_MAX_MS;
}

static int rotate(work *w, const obs_key *k) {
  char text[OBS_KEY_TEXT_LEN + 1], when[OBS_WHEN_LEN], id[OBS_KEY_ID_LEN + 1];
  char *sources[OBS_KEYS_SOURCES_MAX];
  obs_key_text parts;
  int64_t now = w->now_ms, ends = now + (int64_t)obs_args_u64(w->args, "overlap");
  if (obs_key_state_at(k, now) != OBS_KEY_VALID) {
    obs_args_error(w->args, "%s is %s: make a new key instead", k->id, obs_key_state_name(obs_key_state_at(k, now)));
    return OBS_COMMAND_FAILED;
  }
  /* Views of the document are C strings. */
  for (uint32_t i = 0; i < k->nsources; i++) sources[i] = (char *)k->sources[i].p;
  rights r = {.name = k->name.p,
              .note = k->note.p,
              .scopes = k->scopes,
              .sources = sources,
              .nsources = k->nsources,
              .expires_ms = successor_expires(k, now)};
  if (!read_expires(w, &r.expires_ms)) return OBS_COMMAND_USAGE;
  if (ends > k->expires_ms) ends = k->expires_ms;
  memcpy(id, k->id, sizeof id);
  cJSON *old = object_of(w, k);
  if (!add_key(w, &r, old, text, &parts)) return OBS_COMMAND_FAILED;
  if (!add_time(old, OBS_KEY_MEMBER_EXPIRES, ends)) {
    obs_args_error(w->args, "out of memory");
    return OBS_COMMAND_FAILED;
  }
  if (!save_keys(w)) return OBS_COMMAND_FAILED;
  int status = print_key(w, text, parts.id);
  if (status != OBS_COMMAND_OK) return status;
  say_made(w, &r, parts.id);
  obs_when_format(ends, false, when);
  obs_args_error(w->args, "the old key (%s) %s %.16s", id, ends > now ? "expires" : "expired", when);
  return OBS_COMMAND_OK;
}

static int run_rotate(void *arg) {
  work *w = arg;
  if (w->args->nrest != 2) {
    obs_args_error(w->args, "rotate needs the id or name of one key; `list` shows them");
    return OBS_COMMAND_USAGE;
  }
  if (!find_file(w)) return OBS_COMMAND_USAGE;
  const obs_key *k = open_keys(w, false) ? find_key(w, w->args->rest[1], true) : NULL;
  return k != NULL ? rotate(w, k) : OBS_COMMAND_FAILED;
}

/* ---- revoke ---- */

static int run_revoke(void *arg) {
  work *w = arg;
  const obs_args *args = w->args;
  if (args->nrest < 2) {
    obs_args_error(args, "revoke needs the ids or names of keys; `list` shows them");
    return OBS_COMMAND_USAGE;
  }
  if (!find_file(w)) return OBS_COMMAND_USAGE;
  const obs_key **found = calloc((size_t)args->nrest, sizeof *found);
  bool ok = open_keys(w, false);
  for (int i = 1; ok && i < args->nrest; i++) {
    const obs_key *k = find_key(w, args->rest[i], true);
    ok = k != NULL && found != NULL;
    if (!ok) break;
    found[i] = k;
    if (k->revoked_ms == OBS_KEY_NEVER) ok = add_time(object_of(w, k), OBS_KEY_MEMBER_REVOKED, w->now_ms);
    if (!ok) obs_args_error(args, "out of memory");
  }
  ok = ok && save_keys(w);
  for (int i = 1; ok && i < args->nrest; i++) {
    const obs_key *k = found[i];
    obs_text_printf(stdout, "%s %s (%s)", k->revoked_ms != OBS_KEY_NEVER ? "already revoked:" : "revoked", k->name.p,
                    k->id);
    putchar('\n');
  }
  free((void *)found);
  return ok ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

/* ---- list ---- */

/* A key as list and check show it, without what it is recognised by. NULL: no memory. */
static cJSON *shown_key(const work *w, const obs_key *k) {
  cJSON *object = cJSON_Duplicate(object_of(w, k), true);
  cJSON_DeleteItemFromObjectCaseSensitive(object, obs_key_members[OBS_KEY_MEMBER_SHA256]);
  const char *state = obs_key_state_name(obs_key_state_at(k, w->now_ms));
  if (cJSON_AddStringToObject(object, "state", state) != NULL) return object;
  cJSON_Delete(object);
  return NULL;
}

static void make_sources(const cJSON *key, obs_buf *out) {
  const cJSON *sources = obs_show_member(key, "sources");
  obs_show_join(out, sources);
  if (cJSON_GetArraySize(sources) == 0) obs_buf_puts(out, "any");
}

/* `in 89 d (2027-01-31 00:00)`. */
static void make_expires(const cJSON *key, obs_buf *out) {
  char when[OBS_WHEN_LEN], span[OBS_TEXT_NUMBER];
  int64_t ms, now = obs_clock_wall_ms();
  if (!obs_row_time(key, "expires", &ms)) return;
  obs_when_format(ms, false, when);
  obs_text_duration(span, (double)(ms > now ? ms - now : now - ms));
  obs_buf_printf(out, "%s%s%s (%.16s)", ms > now ? "in " : "", span, ms > now ? "" : " ago", when);
}

static obs_term_look style_of_state(const cJSON *key) {
  return strcmp(obs_show_text(key, "state"), "valid") == 0 ? OBS_STYLE_GREEN : OBS_STYLE_RED;
}

static int run_list(void *arg) {
  static const obs_show_field columns[] = {
      {"ID", .key = "id"},
      {"NAME", .key = "name"},
      {"SCOPES", OBS_SHOW_VALUES, .key = "scopes"},
      {"SOURCES", .make = make_sources, .gives = true},
      {"CREATED", OBS_SHOW_AGE, .key = "created"},
      {"EXPIRES", .make = make_expires},
      {"STATE", .key = "state", .style = style_of_state},
  };
  work *w = arg;
  if (w->args->nrest > 1) {
    obs_args_error(w->args, "unexpected argument \"%s\"", w->args->rest[1]);
    return OBS_COMMAND_USAGE;
  }
  if (!find_file(w)) return OBS_COMMAND_USAGE;
  if (!read_keys(w)) return OBS_COMMAND_FAILED;
  cJSON *all = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(all, "keys");
  bool ok = list != NULL;
  for (const obs_key *k = w->keys.at; ok && k < w->keys.at + w->keys.n; k++)
    ok = cJSON_AddItemToArray(list, shown_key(w, k));
  if (ok && obs_args_given(w->args, "json")) {
    char *text = cJSON_PrintUnformatted(all);
    ok = text != NULL;
    if (ok) obs_text_print_json(stdout, text, strlen(text));
    cJSON_free(text);
  } else if (ok && w->keys.n == 0) {
    obs_args_error(w->args, "no keys yet in %s", w->path);
  } else if (ok) {
    ok = obs_show_rows(list, columns, sizeof columns / sizeof *columns, false, NULL);
  }
  cJSON_Delete(all);
  if (!ok) obs_args_error(w->args, "out of memory");
  return ok ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

/* ---- check ---- */

/* The key's text: a file's or the environment's, else the first line of standard input. NULL: it was reported. */
static char *read_text(const obs_args *args) {
  const char *file = obs_args_text(args, "key-file"), *given = getenv("OBSERVER_KEY");
  char error[ERROR_MAX] = "", line[OBS_SECRET_MAX + 2] = "", *out = NULL;
  if (file != NULL) {
    (void)obs_secret_read("key-file", file, &out, NULL, error, sizeof error);
  } else if (given != NULL && *given != '\0') {
    (void)obs_secret_copy(given, strcspn(given, "\r\n"), "OBSERVER_KEY", &out, error, sizeof error);
  } else {
    obs_args_reading(args, "the key");
    if (fgets(line, sizeof line, stdin) != NULL)
      (void)obs_secret_copy(line, strcspn(line, "\r\n"), "standard input", &out, error, sizeof error);
    else
      (void)snprintf(error, sizeof error,
                     "no key: standard input is empty, and neither OBSERVER_KEY_FILE nor "
                     "OBSERVER_KEY is set");
    explicit_bzero(line, sizeof line);
  }
  if (out == NULL) obs_args_error(args, "%s", error[0] != '\0' ? error : "out of memory");
  return out;
}

/* Whether the request that was asked about is allowed, and what it needs. */
static void make_request(const cJSON *answer, obs_buf *out) {
  const cJSON *allowed = obs_show_member(answer, "allowed"), *needs = obs_show_member(answer, "needs"), *scope;
  const char *before = ", needs ";
  if (allowed == NULL) return;
  obs_buf_printf(out, "%s %s: %s", obs_show_text(answer, "method"), obs_show_text(answer, "path"),
                 cJSON_IsTrue(allowed)           ? "allowed"
                 : cJSON_GetArraySize(needs) > 0 ? "not allowed"
                                                 : "there is no such route");
  if (cJSON_IsTrue(allowed)) return;
  cJSON_ArrayForEach(scope, needs) {
    obs_buf_printf(out, "%s%s", before, obs_row_item_text(scope).p != NULL ? scope->valuestring : "?");
    before = " or ";
  }
}

static bool show_key(const cJSON *key) {
  static const obs_show_field facts[] = {
      {"name", .key = "name"},           {"scopes", OBS_SHOW_VALUES, .key = "scopes"},
      {"sources", .make = make_sources}, {"created", OBS_SHOW_AGO, .key = "created"},
      {"expires", .make = make_expires}, {"revoked", OBS_SHOW_AGO, .key = "revoked"},
      {"note", .key = "note"},           {"state", .key = "state"},
      {"request", .make = make_request},
  };
  return obs_show_facts(obs_show_text(key, "id"), key, facts, sizeof facts / sizeof *facts, false);
}

/* Prints what was found out, and `why` where it is no. The exit status. */
static int answer_with(const obs_args *args, const cJSON *key, const char *why) {
  bool ok = key != NULL;
  if (ok && obs_args_given(args, "json")) {
    char *text = cJSON_PrintUnformatted(key);
    ok = text != NULL;
    if (ok) obs_text_print_json(stdout, text, strlen(text));
    cJSON_free(text);
  } else if (ok && obs_show_member(key, "name") != NULL) {
    ok = show_key(key);
  }
  if (!ok) obs_args_error(args, "out of memory");
  if (ok && why != NULL) obs_args_error(args, "%s", why);
  return !ok ? OBS_COMMAND_FAILED : why != NULL ? EXIT_NO : OBS_COMMAND_OK;
}

/* Of a key that the file does not have. */
static cJSON *no_key(const char *id, const char *state) {
  cJSON *object = cJSON_CreateObject();
  bool ok = id == NULL || cJSON_AddStringToObject(object, "id", id) != NULL;
  if (ok && cJSON_AddStringToObject(object, "state", state) != NULL) return object;
  cJSON_Delete(object);
  return NULL;
}

/* What is no text of a key is looked up nowhere, and sent to nobody. */
static int answer_malformed(const obs_args *args) {
  cJSON *shown = no_key(NULL, "malformed");
  int status = answer_with(args, shown, "this is not the text of a key: a character is wrong or missing");
  cJSON_Delete(shown);
  return status;
}

/* What the key file says of it. */
static int check_file(work *w, const char *text) {
  char why[ERROR_MAX];
  obs_key_text parts;
  cJSON *shown;
  if (!read_keys(w)) return OBS_COMMAND_FAILED;
  if (!obs_key_text_parse(obs_str_of(text), &parts)) return answer_malformed(w->args);
  const obs_key *k = obs_keys_match(&w->keys, &parts);
  obs_key_state state = k != NULL ? obs_key_state_at(k, w->now_ms) : OBS_KEY_VALID;
  if (k == NULL) {
    bool known = obs_keys_find(&w->keys, parts.id) != NULL;
    (void)snprintf(why, sizeof why, known ? "%s: the key of this id in %s has another secret" : "%s: no such key in %s",
                   parts.id, w->path);
    shown = no_key(parts.id, "unknown");
  } else {
    (void)snprintf(why, sizeof why, "%s is %s", k->id, obs_key_state_name(state));
    shown = shown_key(w, k);
  }
  int status = answer_with(w->args, shown, k != NULL && state == OBS_KEY_VALID ? NULL : why);
  cJSON_Delete(shown);
  return status;
}

/* What the daemon answered, for a person too. False: there is no memory. */
static bool complete_answer(const obs_args *args, cJSON *key) {
  if (args->nrest == 3 && (cJSON_AddStringToObject(key, "method", args->rest[1]) == NULL ||
                           cJSON_AddStringToObject(key, "path", args->rest[2]) == NULL))
    return false;
  return cJSON_AddStringToObject(key, "state", "valid") != NULL;
}

/* Without a key file the daemon has no key to tell of. */
static int answer_without_keys(const obs_args *args, const obs_fetch_answer *answer) {
  if (obs_args_given(args, "json")) obs_text_print_json(stdout, answer->body.p, answer->body.len);
  obs_args_error(args, "the daemon has no key file: whoever reaches it may do everything, with any key or none");
  return OBS_COMMAND_OK;
}

static int answer_of_daemon(const obs_args *args, const obs_fetch_answer *answer) {
  cJSON *key = cJSON_ParseWithLength(answer->body.p, answer->body.len);
  const cJSON *id = obs_show_member(key, "id"), *allowed = obs_show_member(key, "allowed");
  bool asked = args->nrest == 3;
  int status = OBS_COMMAND_FAILED;
  if (id == NULL || (asked && !cJSON_IsBool(allowed)))
    obs_args_error(args, "%s: the answer does not tell of a key: is this observerd?", obs_args_text(args, "url"));
  else if (cJSON_IsNull(id))
    status = answer_without_keys(args, answer);
  else if (!complete_answer(args, key))
    obs_args_error(args, "out of memory");
  else
    status = answer_with(args, key, asked && !cJSON_IsTrue(allowed) ? "the key does not allow this request" : NULL);
  cJSON_Delete(key);
  return status;
}

/* What the daemon says of it. */
static int check_daemon(const obs_args *args, const char *text) {
  enum { UNAUTHORIZED = 401 };
  obs_key_text parts;
  if (!obs_key_text_parse(obs_str_of(text), &parts)) return answer_malformed(args);
  obs_fetch_answer answer = {0};
  obs_buf path = {0};
  int status = OBS_COMMAND_FAILED;
  obs_buf_puts(&path, "/v1/observer/key");
  if (args->nrest == 3) {
    obs_fetch_param(&path, "method", args->rest[1]);
    obs_fetch_param(&path, "path", args->rest[2]);
  }
  obs_buf_putc(&path, '\0');
  obs_credentials_warn(args);
  obs_fetch_set_key(text);
  if (path.oom) {
    obs_args_error(args, "out of memory");
  } else if (obs_fetch_get(obs_args_text(args, "url"), path.p, TIMEOUT_MS, &answer)) {
    status = answer_of_daemon(args, &answer);
  } else if (answer.status == UNAUTHORIZED) {
    cJSON *none = no_key(NULL, "refused");
    status = answer_with(args, none, "the daemon does not take this key: it is unknown there, expired or revoked");
    cJSON_Delete(none);
  } else {
    (void)obs_ask_report(args, false, &answer);
  }
  obs_fetch_set_key(NULL);
  obs_fetch_answer_fini(&answer);
  obs_buf_fini(&path);
  return status;
}

static int run_check(void *arg) {
  work *w = arg;
  const obs_args *args = w->args;
  w->path = obs_args_text(args, "keys");
  bool keys_named = obs_options_origin(&args->options, "keys") == OBS_OPTION_FLAG;
  bool url_named = obs_options_origin(&args->options, "url") == OBS_OPTION_FLAG;
  bool of_file = w->path != NULL && !url_named;
  const char *wrong = keys_named && url_named ? "give either --keys or --url, not both"
                      : args->nrest != 1 && args->nrest != 3
                          ? "check takes nothing, or METHOD PATH: GET /v1/observer/ops"
                      : of_file && args->nrest == 3 ? "which requests a key allows, the daemon knows: give --url"
                                                    : NULL;
  if (wrong != NULL) {
    obs_args_error(args, "%s", wrong);
    return OBS_COMMAND_USAGE;
  }
  char *text = read_text(args);
  if (text == NULL) return OBS_COMMAND_FAILED;
  int status = of_file ? check_file(w, text) : check_daemon(args, text);
  obs_secret_free(text);
  return status;
}

/* ---- the command ---- */

static const obs_action actions[] = {
    {"new", run_new, {"scope", "source", "expires", "note"}},
    {"list", run_list, {"json", "color"}},
    {"rotate", run_rotate, {"overlap", "expires"}},
    {"revoke", run_revoke, {NULL}},
    {"check", run_check, {"url", "key-file", "tls-ca", "tls-cert", "tls-key", "json", "color"}},
};

static int run_key(const obs_args *args) {
  static const char *const common[] = {"keys"};
  work w = {.args = args, .file = {.dir_fd = -1, .fd = -1}, .now_ms = obs_clock_wall_ms()};
  const obs_action *act =
      obs_actions_find(args, OBS_TABLE(actions), OBS_TABLE(common), "new, list, rotate, revoke or check");
  if (act == NULL) return OBS_COMMAND_USAGE;
  int status = act->run(&w);
  close_keys(&w);
  return status;
}

static const obs_option flags[] = {
    {"keys", 'k', "FILE", .env = "OBSERVER_KEYS", .type = OBS_OPTION_TEXT,
     .help = "the daemon's key file; `new` makes one where there is none"},
    {"scope", 's', "SCOPES", .type = OBS_OPTION_TEXT,
     .help = "new: what the key may do: ingest, read or admin, or several, separated by commas"},
    {"source", 0, "PREFIX", .type = OBS_OPTION_TEXTS,
     .help =
         "new: the sources that a key with the scope ingest may speak as: one, or several, separated by commas; mailer "
         "allows mailer-2, too; without it, any source"},
    {"expires", 'e', "TIME", .type = OBS_OPTION_TEXT,
     .help = "new, rotate: when the new key ends: how long from now (90d), or a time in ISO 8601"},
    {"note", 0, "TEXT", .type = OBS_OPTION_TEXT, .help = "new: a note for people, kept in the key file"},
    {"overlap", 0, "TIME", .initial = "24h", .type = OBS_OPTION_TIME, .min = 0, .max = OVERLAP_MAX_MS,
     .help = "rotate: how long the old key is still valid; 0: it ends now"},
    OBS_FLAG_URL,
    OBS_FLAG_KEY_FILE,
    OBS_FLAGS_TLS,
    OBS_FLAG_JSON,
    OBS_FLAG_COLOR,
};

static const obs_command_exit exits[] = {{EXIT_NO, "check: the key is not valid or does not allow the request"}};

OBS_COMMAND(key) = {
    .name = "key",
    .arguments = "new|list|rotate|revoke|check [NAME|ID|METHOD PATH]...",
    .summary = "make, list, rotate, revoke or check the keys of a daemon",
    .description =
        "Works on the key file that observerd reads with --keys. The file holds what keys are recognised by, not the "
        "keys. A daemon that runs reads it again within about a second of a change, also on connections that are "
        "open.\n\n"
        "new NAME: makes a key with the rights of --scope and prints it on standard output, alone and only this once. "
        "NAME says whose it is. ingest: may publish; read: may look at everything; admin: may change the daemon, and "
        "all of the others. Where there is no key file, one is made with mode 0600, for the user that "
        "runs this command, or when that is root, for the owner of its directory: observerd has to be able to read "
        "it.\n\n"
        "list: a line for each key, also those that have expired or were revoked.\n\n"
        "rotate ID|NAME: makes a key with the same rights and prints it; the old one expires after --overlap. A key "
        "that expires is followed by one that lives as long, unless --expires is given.\n\n"
        "revoke ID|NAME...: the keys are no longer valid. They stay in the file, so that their ids keep a name.\n\n"
        "check: what a key is and may do, and whether it is valid, according to the key file of --keys or "
        "OBSERVER_KEYS; without one, or with --url, according to the daemon. With METHOD PATH, also whether the daemon "
        "would allow that request, which is not made. The key is read from the file of --key-file or "
        "OBSERVER_KEY_FILE, from OBSERVER_KEY, or from standard input.\n\n"
        "A key is never an argument: every user of the machine can see the arguments of all processes. An id may be "
        "given by its first four or more characters.",
    .examples =
        "observerctl key new mailer --keys keys.json --scope ingest --source mailer --expires 90d > mailer.key\n"
        "observerctl key list --keys keys.json\n"
        "observerctl key rotate mailer --keys keys.json > mailer.new && mv mailer.new mailer.key\n"
        "observerctl key revoke mailer --keys keys.json\n"
        "observerctl key check --keys keys.json < mailer.key\n"
        "observerctl key check GET /v1/observer/ops --url https://observer.example:3800 < mailer.key",
    .flags = OBS_TABLE(flags),
    .exits = OBS_TABLE(exits),
    .own_key = true,
    .run = run_key,
};
