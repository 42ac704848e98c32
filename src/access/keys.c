#include "access/keys.h"

#include "base/clock.h"
#include "base/json_search.h"
#include "base/row.h"
#include "base/utf8.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *const obs_key_members[OBS_KEY_MEMBERS] = {
#define NAME(member, name) [OBS_KEY_MEMBER_##member] = (name),
    OBS_KEY_MEMBER_MAP(NAME)
#undef NAME
};

/* ---- reading ---- */

typedef struct {
  char *error;
  size_t size;
  uint32_t number;  /* of the key at hand, from 1; 0: none */
  const char *name; /* of the key at hand; NULL: not known yet */
} reader;

/* A word of the file, of an error's text: not the text of a key, which stands in the wrong place. */
static const char *shown(const char *word) {
  obs_str key;
  return obs_key_text_find(word, strlen(word), &key) ? "[the text of a key]" : word;
}

static bool wrong(const reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(const reader *r, const char *fmt, ...) {
  char what[256];
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(what, sizeof what, fmt, ap);
  va_end(ap);
  if (r->number == 0) {
    (void)snprintf(r->error, r->size, "%s", what);
  } else if (r->name != NULL) {
    (void)snprintf(r->error, r->size, "key %u (%s): %s", r->number, shown(r->name), what);
  } else {
    (void)snprintf(r->error, r->size, "key %u: %s", r->number, what);
  }
  return false;
}

/* Of an id, as the map has it: its 40 bits. */
static uint64_t id_number(const char *id) {
  uint64_t n = 0;
  for (unsigned i = 0; i < OBS_KEY_ID_LEN; i++) n = n << 5 | (unsigned)(id[i] >= 'a' ? id[i] - 'a' : id[i] - '2' + 26);
  return n;
}

/* Every member has one of the names, or begins with `x_`, and comes once. */
static bool check_members(const reader *r, const cJSON *object, const char *const *names, size_t n) {
  const cJSON *member, *other;
  cJSON_ArrayForEach(member, object) {
    bool known = strncmp(member->string, "x_", 2) == 0;
    for (size_t i = 0; i < n && !known; i++) known = strcmp(member->string, names[i]) == 0;
    if (!known) return wrong(r, "unknown member %.64s; members of your own begin with x_", shown(member->string));
    for (other = object->child; other != member; other = other->next) {
      if (strcmp(other->string, member->string) == 0) return wrong(r, "%.64s: is there twice", shown(member->string));
    }
  }
  return true;
}

static bool read_text(const reader *r, const cJSON *object, obs_key_member member, uint32_t max, obs_str *out) {
  const char *name = obs_key_members[member];
  *out = obs_row_text(object, name);
  if (out->p == NULL || out->len == 0 || out->len > max)
    return wrong(r, "%s: must be a text of 1 to %u bytes", name, max);
  return true;
}

static bool read_time(const reader *r, const cJSON *object, obs_key_member member, int64_t *out) {
  const char *name = obs_key_members[member];
  *out = OBS_KEY_NEVER;
  if (cJSON_GetObjectItemCaseSensitive(object, name) == NULL || obs_row_time(object, name, out)) return true;
  return wrong(r, "%s: must be a time such as 2026-11-21T03:54:10Z", name);
}

static bool read_hash(const reader *r, const cJSON *object, uint8_t out[OBS_KEY_HASH_BYTES]) {
  static const char digits[] = "0123456789abcdef";
  const char *name = obs_key_members[OBS_KEY_MEMBER_SHA256];
  obs_str text = obs_row_text(object, name);
  bool good = text.len == 2 * OBS_KEY_HASH_BYTES;
  for (uint32_t i = 0; good && i < text.len; i++) {
    const char *digit = strchr(digits, text.p[i]);
    good = digit != NULL;
    if (good) out[i / 2] = (uint8_t)(out[i / 2] << 4 | (digit - digits));
  }
  return good || wrong(r, "%s: must be 64 lower-case hexadecimal digits", name);
}

static bool read_scopes(const reader *r, const cJSON *object, unsigned *out) {
  const char *name = obs_key_members[OBS_KEY_MEMBER_SCOPES];
  const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, name), *item;
  if (!cJSON_IsArray(list) || list->child == NULL)
    return wrong(r, "%s: must be a list of ingest, read or admin, and not empty", name);
  cJSON_ArrayForEach(item, list) {
    obs_scope scope;
    obs_str word = obs_row_item_text(item);
    if (word.p == NULL || !obs_scope_parse(word, &scope))
      return wrong(r, "%s: %.64s is none of ingest, read and admin", name,
                   word.p != NULL ? shown(word.p) : "one of them");
    *out |= scope;
  }
  *out = obs_scope_resolve(*out);
  return true;
}

/* Puts them to `room`, which is large enough. */
static bool read_sources(const reader *r, const cJSON *object, obs_str *room, uint32_t *n) {
  const char *name = obs_key_members[OBS_KEY_MEMBER_SOURCES];
  const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, name), *item;
  if (list == NULL) return true;
  if (!cJSON_IsArray(list) || list->child == NULL || cJSON_GetArraySize(list) > OBS_KEYS_SOURCES_MAX)
    return wrong(r, "%s: must be a list of 1 to %d texts; without it the key may speak as any source", name,
                 OBS_KEYS_SOURCES_MAX);
  cJSON_ArrayForEach(item, list) {
    obs_str source = obs_row_item_text(item);
    if (source.p == NULL || source.len == 0 || source.len > OBS_KEYS_NAME_MAX)
      return wrong(r, "%s: each must be a text of 1 to %d bytes", name, OBS_KEYS_NAME_MAX);
    room[(*n)++] = source;
  }
  return true;
}

static bool read_key(reader *r, const cJSON *object, obs_key *k, obs_str *room) {
  obs_str id;
  if (!cJSON_IsObject(object)) return wrong(r, "must be an object");
  if (!read_text(r, object, OBS_KEY_MEMBER_NAME, OBS_KEYS_NAME_MAX, &k->name)) return false;
  r->name = k->name.p;
  if (!check_members(r, object, obs_key_members, OBS_KEY_MEMBERS)) return false;
  id = obs_row_text(object, obs_key_members[OBS_KEY_MEMBER_ID]);
  if (id.p == NULL || !obs_key_text_is_id(id))
    return wrong(r, "%s: must be %d characters of a-z2-7", obs_key_members[OBS_KEY_MEMBER_ID], OBS_KEY_ID_LEN);
  memcpy(k->id, id.p, OBS_KEY_ID_LEN);
  if (!read_scopes(r, object, &k->scopes) || !read_hash(r, object, k->hash)) return false;
  k->sources = room;
  if (!read_sources(r, object, room, &k->nsources)) return false;
  if (cJSON_GetObjectItemCaseSensitive(object, obs_key_members[OBS_KEY_MEMBER_NOTE]) != NULL &&
      !read_text(r, object, OBS_KEY_MEMBER_NOTE, OBS_KEYS_NOTE_MAX, &k->note))
    return false;
  return read_time(r, object, OBS_KEY_MEMBER_CREATED, &k->created_ms) &&
         read_time(r, object, OBS_KEY_MEMBER_EXPIRES, &k->expires_ms) &&
         read_time(r, object, OBS_KEY_MEMBER_REVOKED, &k->revoked_ms);
}

static unsigned line_of(obs_str text, size_t at) {
  unsigned line = 1;
  for (size_t i = 0; i < at && i < text.len; i++) line += text.p[i] == '\n';
  return line;
}

static bool parse(const reader *r, obs_str text, cJSON **out) {
  const char *end = text.p;
  if (!obs_utf8_valid(text.p, text.len)) return wrong(r, "not UTF-8");
  /* cJSON's texts end at a NUL, which would make a prefix shorter than it reads. */
  const char *nul = memchr(text.p, 0, text.len);
  if (nul != NULL) return wrong(r, "a NUL byte in line %u", line_of(text, (size_t)(nul - text.p)));
  if (obs_json_has_nul(text)) return wrong(r, "a text has \\u0000 in it");
  *out = cJSON_ParseWithLengthOpts(text.p, text.len, &end, false);
  size_t at = (size_t)(end - text.p);
  while (*out != NULL && at < text.len && strchr(" \t\r\n", text.p[at]) != NULL) at++;
  if (*out != NULL && at == text.len) return true;
  return wrong(r, text.len == 0 ? "empty" : "not JSON, in line %u", line_of(text, at));
}

static observer_err read_list(reader *r, const cJSON *list, obs_keys *out) {
  size_t nsources = 0;
  uint32_t n = (uint32_t)cJSON_GetArraySize(list), used = 0;
  const cJSON *item;
  cJSON_ArrayForEach(item, list) {
    nsources +=
        (size_t)cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(item, obs_key_members[OBS_KEY_MEMBER_SOURCES]));
  }
  out->at = calloc(n + 1, sizeof *out->at);
  out->sources = calloc(nsources + 1, sizeof *out->sources);
  if (out->at == NULL || out->sources == NULL || !obs_map_init(&out->by_id, n)) return OBSERVER_E_NOMEM;
  cJSON_ArrayForEach(item, list) {
    obs_key *k = &out->at[out->n];
    r->number = out->n + 1;
    r->name = NULL;
    if (!read_key(r, item, k, out->sources + used)) return OBSERVER_E_INVALID;
    if (obs_keys_find(out, k->id) != NULL) {
      (void)wrong(r, "%s: %s is there twice", obs_key_members[OBS_KEY_MEMBER_ID], k->id);
      return OBSERVER_E_INVALID;
    }
    if (!obs_map_put(&out->by_id, id_number(k->id), out->n)) return OBSERVER_E_NOMEM;
    used += k->nsources;
    out->n++;
  }
  return OBSERVER_E_OK;
}

static bool check_document(const reader *r, const cJSON *document) {
  static const char *const members[] = {"v", "keys"};
  uint64_t version = 0;
  const cJSON *list = cJSON_GetObjectItemCaseSensitive(document, "keys");
  if (!cJSON_IsObject(document)) return wrong(r, "must be an object");
  if (!obs_row_u64(document, "v", &version) || version != OBS_KEYS_VERSION)
    return wrong(r, "v: must be %d, the version that this program reads", OBS_KEYS_VERSION);
  if (!check_members(r, document, members, sizeof members / sizeof *members)) return false;
  if (!cJSON_IsArray(list)) return wrong(r, "keys: must be a list");
  return cJSON_GetArraySize(list) <= OBS_KEYS_MAX || wrong(r, "keys: more than %d", OBS_KEYS_MAX);
}

observer_err obs_keys_read(obs_str text, obs_keys *out, char *error, size_t size) {
  reader r = {.error = error, .size = size};
  *out = (obs_keys){0};
  if (!parse(&r, text, &out->document) || !check_document(&r, out->document)) return OBSERVER_E_INVALID;
  observer_err err = read_list(&r, cJSON_GetObjectItemCaseSensitive(out->document, "keys"), out);
  if (err == OBSERVER_E_NOMEM) (void)snprintf(error, size, "no memory");
  return err;
}

void obs_keys_fini(obs_keys *k) {
  cJSON_Delete(k->document);
  free(k->at);
  free(k->sources);
  obs_map_fini(&k->by_id);
  *k = (obs_keys){0};
}

/* ---- writing ---- */

static void put_json(obs_buf *out, const cJSON *value) {
  char *text = cJSON_PrintUnformatted(value);
  if (text != NULL)
    obs_buf_puts(out, text);
  else
    out->oom = true;
  cJSON_free(text);
}

/* A key a line. */
static void put_list(obs_buf *out, const cJSON *list) {
  const cJSON *key;
  const char *before = "\n";
  obs_buf_putc(out, '[');
  cJSON_ArrayForEach(key, list) {
    obs_buf_puts(out, before);
    put_json(out, key);
    before = ",\n";
  }
  obs_buf_puts(out, "\n]");
}

void obs_keys_put(const cJSON *document, obs_buf *out) {
  const cJSON *member;
  const char *before = "{";
  cJSON_ArrayForEach(member, document) {
    obs_buf_puts(out, before);
    obs_buf_json_cstr(out, member->string);
    obs_buf_putc(out, ':');
    if (strcmp(member->string, "keys") == 0)
      put_list(out, member);
    else
      put_json(out, member);
    before = ",";
  }
  obs_buf_puts(out, "}\n");
}

/* ---- using ---- */

const obs_key *obs_keys_find(const obs_keys *k, const char *id) {
  uint32_t place;
  if (k->n == 0 || !obs_key_text_is_id(obs_str_of(id)) || !obs_map_get(&k->by_id, id_number(id), &place)) return NULL;
  return &k->at[place];
}

const obs_key *obs_keys_match(const obs_keys *k, const obs_key_text *text) {
  static const uint8_t nobody[OBS_KEY_HASH_BYTES] = {0}; /* the SHA-256 of nothing that is known */
  uint8_t hash[OBS_KEY_HASH_BYTES];
  const obs_key *found = obs_keys_find(k, text->id);
  if (!obs_key_text_hash(text->secret, hash)) return NULL;
  bool same = CRYPTO_memcmp(hash, found != NULL ? found->hash : nobody, sizeof hash) == 0;
  return same ? found : NULL;
}

obs_key_state obs_key_state_at(const obs_key *k, int64_t wall_ms) {
  if (k->revoked_ms != OBS_KEY_NEVER) return OBS_KEY_REVOKED;
  return k->expires_ms <= wall_ms ? OBS_KEY_EXPIRED : OBS_KEY_VALID;
}

const char *obs_key_state_name(obs_key_state s) {
  static const char *const names[] = {
      [OBS_KEY_VALID] = "valid", [OBS_KEY_EXPIRED] = "expired", [OBS_KEY_REVOKED] = "revoked"};
  return names[s];
}

/* A byte beyond ASCII is part of some letter. */
static bool in_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (uint8_t)c >= 0x80;
}

bool obs_key_speaks_as(const obs_key *k, obs_str source) {
  for (uint32_t i = 0; i < k->nsources; i++) {
    obs_str prefix = k->sources[i];
    if (source.len < prefix.len || memcmp(source.p, prefix.p, prefix.len) != 0) continue;
    if (source.len == prefix.len || !in_word(source.p[prefix.len]) || !in_word(prefix.p[prefix.len - 1])) return true;
  }
  return k->nsources == 0;
}
