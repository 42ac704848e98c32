#include "cluster/traits.h"

#include "cluster/words.h"

/* Each pair is a difference that matters. */
static const char *const opposites[] = {
    "start",     "stop",      "started",   "stopped",    "starting",     "stopping",  "open",     "close",
    "opened",    "closed",    "opening",   "closing",    "allow",        "deny",      "allowed",  "denied",
    "accept",    "reject",    "accepted",  "rejected",   "refused",      "success",   "failure",  "succeeded",
    "failed",    "up",        "down",      "on",         "off",          "enable",    "disable",  "enabled",
    "disabled",  "connect",   "connected", "disconnect", "disconnected", "true",      "false",    "startup",
    "shutdown",  "login",     "logout",    "added",      "removed",      "enter",     "exit",     "entering",
    "leaving",   "begin",     "end",       "online",     "offline",      "yes",       "no",       "read",
    "write",     "send",      "receive",   "sent",       "received",     "acquired",  "released", "valid",
    "invalid",   "known",     "unknown",   "created",    "deleted",      "attached",  "detached", "mounted",
    "unmounted", "locked",    "unlocked",  "passed",     "granted",      "revoked",   "lost",     "restored",
    "not",       "timeout",   "full",      "empty",      "healthy",      "unhealthy", "pass",     "fail",
    "active",    "inactive",  "push",      "pull",       "upload",       "download",  "create",   "delete",
    "add",       "remove",    "lock",      "unlock",     "insert",       "update",    "reading",  "writing",
    "sending",   "receiving", "minimum",   "maximum",
};

bool obs_trait_has_opposite(const obs_mask_token *t) {
  return OBS_WORD_IS_ONE_OF(opposites, t->p, t->len);
}

bool obs_trait_is_label(const obs_mask_token *t) {
  static const char *const classes[] = {"Error", "Exception", "Fault", "Failure", "Warning"};
  size_t upper = 0, lower = 0, dots = 0;
  for (uint16_t i = 0; i < t->len; i++) {
    upper += t->p[i] >= 'A' && t->p[i] <= 'Z';
    lower += (unsigned char)t->p[i] >= 'a';
    dots += t->p[i] == '.' && i + 1 < t->len;
  }
  if (upper > 2 && lower == 0 && dots == 0) return true; /* APP.USERS is a name, and OH one of a few */
  for (size_t i = 0; upper > 0 && i < sizeof(classes) / sizeof(classes[0]); i++) {
    size_t n = strlen(classes[i]);
    if (t->len > n && memcmp(t->p + t->len - n, classes[i], n) == 0) return true;
  }
  return false;
}

/* Of data; which one was expected or found is a value. */
static bool is_data_type(const obs_mask_token *t) {
  static const char *const names[] = {"integer", "int",     "string",   "str",        "boolean", "bool",
                                      "number",  "float",   "double",   "list",       "array",   "object",
                                      "dict",    "map",     "tuple",    "dictionary", "date",    "bytes",
                                      "long",    "decimal", "datetime", "set",        "uuid",    "url"};
  return OBS_WORD_IS_ONE_OF(names, t->p, t->len);
}

bool obs_trait_is_said(const obs_mask_token *t) {
  static const char *const verbs[] = {"is",   "was",   "are",  "were",  "has",  "had",  "have",   "does",    "did",
                                      "can",  "could", "will", "would", "may",  "must", "should", "already", "still",
                                      "only", "too",   "no",   "not",   "and",  "or",   "at",     "in",      "on",
                                      "for",  "of",    "to",   "with",  "from", "by",   "a",      "an",      "the"};
  static const char *const ends[] = {"ed", "ing", "able", "ible", "ive", "ful", "less", "ly"};
  if (OBS_WORD_IS_ONE_OF(verbs, t->p, t->len)) return true;
  if (is_data_type(t)) return false; /* string */
  for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
    size_t n = strlen(ends[i]);
    if (t->len > n + 2 && memcmp(t->p + t->len - n, ends[i], n) == 0) return true;
  }
  return t->len > 5 && memcmp(t->p, "un", 2) == 0;
}

/* Words behind which a capital begins a name rather than a sentence. */
static bool is_before_name(const obs_mask_token *t) {
  static const char *const words[] = {"for", "of", "in", "to", "from", "by", "near", "with", "at", "on", "the"};
  return !t->value && t->word && OBS_WORD_IS_ONE_OF(words, t->p, t->len);
}

/* What has a name, which stands right behind: `user alice`. */
static bool has_name(const obs_mask_token *t) {
  static const char *const things[] = {
      "user",      "agent",      "tool",       "container", "pod",          "node",      "host",      "server",
      "service",   "model",      "project",    "table",     "column",       "field",     "function",  "method",
      "queue",     "topic",      "bucket",     "role",      "group",        "worker",    "database",  "device",
      "city",      "customer",   "plugin",     "module",    "package",      "partition", "shard",     "cluster",
      "namespace", "account",    "collection", "benutzer",  "nutzer",       "datei",     "usuario",   "utilisateur",
      "fichier",   "archivo",    "team",       "tenant",    "organization", "region",    "zone",      "volume",
      "image",     "branch",     "repository", "resource",  "property",     "attribute", "parameter", "argument",
      "variable",  "client",     "company",    "vendor",    "supplier",     "order",     "shift",     "site",
      "store",     "department", "channel"};
  return !t->value && t->word && OBS_WORD_IS_ONE_OF(things, t->p, t->len);
}

bool obs_trait_is_name(const obs_mask_token *t, const obs_mask_token *before) {
  bool capital = t->p[0] >= 'A' && t->p[0] <= 'Z';
  if (is_data_type(t) || (capital && before != NULL && is_before_name(before))) return true;
  if (before != NULL && has_name(before) && !obs_trait_is_said(t)) return true;
  for (uint16_t i = 1; i + 1 < t->len; i++) {
    if (strchr("_./*@", t->p[i]) != NULL) return true;
    bool upper = t->p[i] >= 'A' && t->p[i] <= 'Z', after_lower = t->p[i - 1] >= 'a' && t->p[i - 1] <= 'z';
    if (upper && after_lower) return true;
  }
  return false;
}
