/* INI files. */
#include "options/internal.h"

#include <ini.h>
#include <string.h>

typedef struct {
  obs_options *o;
  const char *path;
  obs_options_other other;
} reading;

static bool key_is(const char *name, const char *key) {
  for (; *name != '\0' && *key != '\0'; name++, key++) {
    if (*name != *key && !(*name == '-' && *key == '_')) return false;
  }
  return *name == *key;
}

static int on_key(void *arg, const char *section, const char *key, const char *raw) {
  const reading *r = arg;
  char where[320], text[512];
  size_t n = strlen(raw);
  bool quoted = n >= 2 && raw[0] == '"' && raw[n - 1] == '"'; /* the older port's file is TOML */
  snprintf(text, sizeof(text), "%.*s", (int)(quoted ? n - 2 : n), raw + quoted);
  snprintf(where, sizeof(where), "%s, [%s] %s", r->path, section, key);
  /* An unknown key is an error: a typing error would silently leave the default. */
  for (size_t i = 0; i < r->o->table.n; i++) {
    const obs_option *option = &r->o->table.at[i];
    if (option->section == NULL || strcmp(option->section, section) != 0 || !key_is(option->name, key)) continue;
    obs_options_set(r->o, option->name, text, OBS_OPTION_FILE, where);
    return 1;
  }
  if (r->other != NULL && r->other(r->o, section, key, text, where)) return 1;
  char what[320];
  snprintf(where, sizeof(where), "[%s] %s", section, key);
  snprintf(what, sizeof(what), "no such option (file %s)", r->path);
  obs_options_complain(r->o, where, what);
  return 1;
}

void obs_options_file(obs_options *o, const char *path, obs_options_other other) {
  reading r = {o, path, other};
  char what[320];
  int rc = ini_parse(path, on_key, &r);
  if (rc == 0) return;
  if (rc == -1)
    snprintf(what, sizeof(what), "cannot read \"%s\"", path);
  else if (rc < 0)
    snprintf(what, sizeof(what), "out of memory");
  else
    snprintf(what, sizeof(what), "%s, line %d: not a section, a key or a comment", path, rc);
  obs_options_complain(o, "config", what);
}
