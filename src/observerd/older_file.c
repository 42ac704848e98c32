#include "jsonl/file.h"
#include "observerd/older.h"
#include "options/toml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char block[] = "observerd";

void obs_older_fini(obs_older *older) {
  free(older->bind.text);
  free(older->bind.where);
  free(older->persist_path.text);
  free(older->persist_path.where);
  *older = (obs_older){0};
}

static void keep(obs_older *older, char **to, const char *text) {
  free(*to);
  *to = strdup(text);
  older->oom = older->oom || *to == NULL;
}

bool obs_older_key(void *arg, const char *section, const char *key, const char *text, const char *where) {
  obs_older *older = arg;
  bool is_bind = strcmp(key, "bind") == 0;
  if (strcmp(section, block) != 0 || (!is_bind && strcmp(key, "persist_path") != 0)) return false;
  keep(older, is_bind ? &older->bind.text : &older->persist_path.text, text);
  keep(older, is_bind ? &older->bind.where : &older->persist_path.where, where);
  return true;
}

/* ---- TOML ---- */

bool obs_older_is_toml(const char *path) {
  static const char ending[] = ".toml";
  size_t n = strlen(path), m = sizeof(ending) - 1;
  return n >= m && strcasecmp(path + n - m, ending) == 0;
}

typedef struct {
  obs_older *older;
  obs_options *o;
  const char *path;
  obs_buf *notes;
  bool seen;       /* the header of the block */
  char within[64]; /* the key of the block that has been shown as a table */
} reading;

/* "lakehouse.toml, line 7, [observerd] bind: must be a string" */
static void complain(const reading *r, const char *where, const char *must, const char * not ) {
  char what[160];
  (void)snprintf(what, sizeof(what), "%s%s%s", must, *not != '\0' ? ", not " : "", not );
  obs_options_complain(r->o, where, what);
}

/* Whether an option of that name was given by the file before. */
static bool is_given(const reading *r, const obs_option *option, const char *key) {
  if (option != NULL) return obs_options_origin(r->o, option->name) == OBS_OPTION_FILE;
  return (strcmp(key, "bind") == 0 ? r->older->bind.text : r->older->persist_path.text) != NULL;
}

/* A key of the block that is not known: of a later version of the older system, a typing error, or an option that is
 * given elsewhere. */
static void pass_over(const reading *r, const char *key, const char *where) {
  static const char *const names[] = {"bind", "persist-path"};
  char space[OBS_OPTION_ENV_MAX];
  obs_option_table t = r->o->table;
  obs_option_near near = obs_option_near_begin(key);
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) obs_option_near_try(&near, names[i]);
  for (size_t i = 0; i < t.n; i++) {
    const obs_option *option = &t.at[i];
    if (option->section == NULL) continue;
    if (obs_options_of_key(t, option->section, key) == option) {
      obs_buf_printf(r->notes, "%s: no key of this block, passed over; give it as --%s or %s\n", where, option->name,
                     obs_option_env(t, option, space));
      return;
    }
    if (strcmp(option->section, block) == 0) obs_option_near_try(&near, option->name);
  }
  obs_buf_printf(r->notes, "%s: no key of this block, passed over", where);
  if (near.best != NULL) obs_buf_puts(r->notes, "; did you mean ");
  for (const char *p = near.best; p != NULL && *p != '\0'; p++) obs_buf_putc(r->notes, *p == '-' ? '_' : *p);
  obs_buf_puts(r->notes, near.best != NULL ? "?\n" : "\n");
}

static void take_key(const reading *r, const obs_toml_value *v, const char *key) {
  char where[512], text[4096];
  const obs_option *option = obs_options_of_key(r->o->table, block, key);
  bool known = option != NULL || strcmp(key, "bind") == 0 || strcmp(key, "persist_path") == 0;
  (void)snprintf(where, sizeof(where), "%s, line %u, [%s] %s", r->path, v->line, block, key);
  if (!known) {
    pass_over(r, key, where);
    return;
  }
  if (is_given(r, option, key)) {
    complain(r, where, "is given twice", "");
  } else if (option == NULL ? v->type != OBS_TOML_STRING : v->type > OBS_TOML_BOOLEAN) {
    complain(r, where, option == NULL ? "must be a string" : "must be a string, a number or a boolean",
             obs_toml_type_names[v->type]);
  } else if (v->text.len >= sizeof(text)) {
    complain(r, where, "is longer than 4095 bytes", "");
  } else if (memchr(v->text.p, '\0', v->text.len) != NULL) {
    complain(r, where, "must not have U+0000 in it", "");
  } else {
    memcpy(text, v->text.p, v->text.len);
    text[v->text.len] = '\0';
    if (option != NULL)
      obs_options_set(r->o, option->name, text, OBS_OPTION_FILE, where);
    else
      (void)obs_older_key(r->older, block, key, text, where);
  }
}

static void on_value(void *arg, const obs_toml_value *v) {
  reading *r = arg;
  char key[sizeof(r->within)], where[512];
  if (!obs_str_is(v->path[0], block)) return;
  if (v->depth == 1) {
    (void)snprintf(where, sizeof(where), "%s, line %u, [%s]", r->path, v->line, block);
    if (v->type != OBS_TOML_TABLE)
      complain(r, where, "must be a table", obs_toml_type_names[v->type]);
    else if (r->seen)
      complain(r, where, "is given twice", "");
    r->seen = true;
    return;
  }
  obs_str name = v->path[1];
  if (name.len >= sizeof(key) || memchr(name.p, '\0', name.len) != NULL) name.len = 0; /* no name of ours */
  (void)snprintf(key, sizeof(key), "%.*s", (int)name.len, name.p);
  obs_toml_value seen = *v;
  if (v->depth > 2) { /* within a table, which `key.more = 1` makes without naming it */
    if (strcmp(r->within, key) == 0) return;
    seen.type = OBS_TOML_TABLE;
  }
  (void)snprintf(r->within, sizeof(r->within), "%s", seen.type >= OBS_TOML_TABLE ? key : "");
  take_key(r, &seen, key);
}

void obs_older_read_toml(obs_older *older, obs_options *o, const char *path, obs_buf *notes) {
  enum { FILE_MAX = 1 << 20 };
  obs_buf file = {0};
  obs_toml_fault fault;
  char what[512];
  reading r = {.older = older, .o = o, .path = path, .notes = notes};
  observer_err err = obs_file_read_all(AT_FDCWD, path, FILE_MAX, &file);
  if (err == OBSERVER_E_CORRUPT)
    (void)snprintf(what, sizeof(what), "%s: larger than 1 MiB", path);
  else if (err != OBSERVER_E_OK)
    (void)snprintf(what, sizeof(what), "cannot read \"%s\": %s", path, strerror(errno));
  else if (!obs_toml_read(obs_buf_view(&file).p, file.len, on_value, &r, &fault)) {
    (void)snprintf(what, sizeof(what), "%s, line %u: %s", path, fault.line, fault.why);
    err = OBSERVER_E_INVALID;
  }
  if (err != OBSERVER_E_OK) obs_options_complain(o, "config", what);
  obs_buf_fini(&file);
}

/* ---- what it means ---- */

/* `:3219`, as Go has it: on every address. */
static void apply_bind(const obs_older *older, obs_options *o) {
  obs_buf url = {0};
  const char *bind = older->bind.text;
  if (bind == NULL || *bind == '\0' || obs_options_given(o, "http")) return;
  obs_buf_printf(&url, "http://%s%s", *bind == ':' ? "0.0.0.0" : "", bind);
  obs_buf_putc(&url, '\0');
  if (!url.oom) obs_options_set(o, "http", url.p, OBS_OPTION_FILE, older->bind.where);
  o->oom = o->oom || url.oom;
  obs_buf_fini(&url);
}

/* An empty path, as the older observer had it, keeps nothing. */
static void apply_path(const obs_older *older, obs_options *o, obs_buf *notes) {
  const char *path = older->persist_path.text, *where = older->persist_path.where;
  if (path == NULL) return;
  bool dir_given = obs_options_given(o, "data-dir"), name_given = obs_options_given(o, "journal-name");
  if (*path == '\0') {
    if (dir_given || name_given || obs_options_given(o, "ephemeral")) return;
    obs_options_set(o, "ephemeral", "true", OBS_OPTION_FILE, where);
    obs_buf_printf(notes, "%s is empty, so nothing is kept on disk; give it a path, or use --data-dir\n", where);
    return;
  }
  const char *slash = strrchr(path, '/');
  char *dir = slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
  o->oom = o->oom || dir == NULL;
  if (dir != NULL && !dir_given) obs_options_set(o, "data-dir", dir, OBS_OPTION_FILE, where);
  if (!name_given) obs_options_set(o, "journal-name", slash != NULL ? slash + 1 : path, OBS_OPTION_FILE, where);
  free(dir);
}

void obs_older_apply_file(const obs_older *older, obs_options *o, obs_buf *notes) {
  o->oom = o->oom || older->oom;
  apply_bind(older, o);
  apply_path(older, o, notes);
}
