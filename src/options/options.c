#include "options/options.h"

#include "access/key_text.h"
#include "options/internal.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

enum { NOT_FOUND = -1 };
enum { FILE_LINE = 512 }; /* of an INI file, with newline and NUL */

static int find(obs_option_table t, const char *name, size_t len) {
  for (size_t i = 0; i < t.n; i++) {
    if (strlen(t.at[i].name) == len && memcmp(t.at[i].name, name, len) == 0) return (int)i;
  }
  return NOT_FOUND;
}

static obs_option_value *value_of(const obs_options *o, const char *name) {
  int i = find(o->table, name, strlen(name));
  if (i == NOT_FOUND) abort();
  return &o->values[i];
}

const char *obs_option_env(obs_option_table table, const obs_option *option, char space[OBS_OPTION_ENV_MAX]) {
  if (option->env != NULL) return option->env;
  if (table.env_prefix == NULL || option->section == NULL) return NULL;
  snprintf(space, OBS_OPTION_ENV_MAX, "%s%s", table.env_prefix, option->name);
  for (char *p = space; *p != '\0'; p++) *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
  return space;
}

/* Puts *** in place of what stands from `from` to `to`. */
static void hide(char *from, char *to) {
  size_t room = (size_t)(to - from);
  memset(from, '*', room < 3 ? room : 3);
  if (room > 3) memmove(from + 3, to, strlen(to) + 1);
}

/* What `;key=` names is an id; what is longer may be the secret of a key, without the rest of its text. */
static void hide_listener_key(char *text) {
  static const char name[] = ";key=";
  for (char *p = text; (p = strstr(p, name)) != NULL;) {
    p += sizeof(name) - 1;
    size_t n = strcspn(p, ";, ");
    if (n > OBS_KEY_ID_LEN * 2) hide(p, p + n);
  }
}

char *obs_option_shown(const char *text) {
  char *shown = strdup(text), *colon = shown != NULL ? strstr(shown, "://") : NULL;
  char *at = colon != NULL ? strrchr(colon, '@') : NULL;
  obs_str key;
  if (shown == NULL) return NULL;
  if (at != NULL) hide(colon + 3, at);
  hide_listener_key(shown);
  while (obs_key_text_find(shown, strlen(shown), &key)) {
    char *secret = shown + (key.p - shown) + OBS_KEY_SECRET_AT;
    hide(secret, secret + key.len - OBS_KEY_SECRET_AT);
  }
  return shown;
}

void obs_options_complain(obs_options *o, const char *where, const char *what) {
  char *where_shown = obs_option_shown(where), *what_shown = obs_option_shown(what);
  bool oom = where_shown == NULL || what_shown == NULL;
  obs_option_fault fault = {.must = oom ? OBS_OPTION_NO_MEMORY : what_shown, .where = oom ? "" : where_shown};
  o->failed = true;
  o->oom = o->oom || oom;
  o->report(o->arg, &fault);
  free(where_shown);
  free(what_shown);
}

static void clear(obs_option_value *v) {
  for (uint32_t i = 0; i < v->texts.n; i++) free(v->texts.at[i]);
  free(v->where);
  v->where = NULL;
  v->texts.n = 0;
  v->number = 0;
}

static void assign(obs_options *o, int row, const char *text, obs_option_origin origin, const char *where) {
  char must[OBS_OPTION_MUST_MAX] = "";
  obs_option_value *v = &o->values[row];
  /* A value given again by the same origin replaces a single one and adds to a list (obs_option_read); the first of a
   * stronger origin drops what weaker ones gave. The order of loading is the order of strength. */
  if (v->origin != origin) clear(v);
  v->origin = origin;
  if (v->where == NULL && origin != OBS_OPTION_DEFAULT) v->where = obs_option_shown(where); /* no memory: not shown */
  if (obs_option_read(&o->table.at[row], text, v, must)) return;
  char *shown = obs_option_shown(text), *where_shown = obs_option_shown(where);
  obs_option_fault fault = {&o->table.at[row], shown != NULL ? shown : "", must, origin,
                            where_shown != NULL ? where_shown : ""};
  o->failed = true;
  o->oom = o->oom || strcmp(must, OBS_OPTION_NO_MEMORY) == 0;
  o->report(o->arg, &fault);
  free(shown);
  free(where_shown);
}

bool obs_options_open(obs_options *o, obs_option_table table, void (*report)(void *, const obs_option_fault *),
                      void *arg) {
  *o = (obs_options){.table = table, .report = report, .arg = arg};
  o->values = calloc(table.n + 1, sizeof(*o->values));
  if (o->values == NULL) return false;
  for (size_t i = 0; i < table.n; i++) {
    if (table.at[i].initial != NULL) assign(o, (int)i, table.at[i].initial, OBS_OPTION_DEFAULT, "");
  }
  return !o->oom;
}

void obs_options_close(obs_options *o) {
  for (size_t i = 0; o->values != NULL && i < o->table.n; i++) {
    clear(&o->values[i]);
    OBS_VEC_FINI(&o->values[i].texts);
  }
  free(o->values);
  o->values = NULL;
}

void obs_options_set(obs_options *o, const char *name, const char *text, obs_option_origin origin, const char *where) {
  assign(o, (int)(value_of(o, name) - o->values), text, origin, where);
}

/* ---- the INI file ---- */

typedef struct {
  obs_options *o;
  const char *path;
  obs_options_other other;
  void *arg; /* its */
  FILE *file;
  char *line; /* getline's */
  size_t line_size;
  int number;       /* of the line */
  char section[64]; /* that it is in, for messages */
} reading;

/* Reports a line that does not fit into inih's buffer, by the option that it gives, if it gives one. */
static void complain_long(const reading *r, const char *begin, size_t most) {
  char what[512];
  size_t name = *begin != '[' && begin == r->line ? strcspn(begin, "=:") : 0;
  if (begin[name] == '\0') name = 0;
  while (name > 0 && isspace((unsigned char)begin[name - 1])) name--;
  int n = snprintf(what, sizeof(what), "%s, line %d", r->path, r->number);
  if (name > 0 && n >= 0 && (size_t)n < sizeof(what))
    n += snprintf(what + n, sizeof(what) - (size_t)n, ", [%s] %.*s", r->section, (int)(name < 64 ? name : 64), begin);
  if (n >= 0 && (size_t)n < sizeof(what))
    (void)snprintf(what + n, sizeof(what) - (size_t)n, ": longer than %zu bytes", most);
  obs_options_complain(r->o, "config", what);
}

/* Gives inih a line, as fgets does. Of one longer than its buffer it would take the rest for a line of its own: such a
 * comment is passed over, and all else is an error. */
static char *read_line(char *out, int size, void *arg) {
  reading *r = arg;
  const size_t most = (size_t)(size < FILE_LINE ? size : FILE_LINE) - 2;
  ssize_t len = getline(&r->line, &r->line_size, r->file);
  if (len < 0) return NULL;
  r->number++;
  if (len > 0 && r->line[len - 1] == '\n') r->line[--len] = '\0';
  const char *begin = r->line + strspn(r->line, " \t\r\v\f");
  bool comment = *begin == ';' || *begin == '#', fits = (size_t)len <= most;
  if (!fits && !comment) complain_long(r, begin, most);
  if (fits && *begin == '[') snprintf(r->section, sizeof(r->section), "%.*s", (int)strcspn(begin + 1, "]"), begin + 1);
  snprintf(out, (size_t)size, "%s\n", fits ? r->line : "");
  return out;
}

static bool key_is(const char *name, const char *key) {
  for (; *name != '\0' && *key != '\0'; name++, key++) {
    if (*name != *key && !(*name == '-' && *key == '_')) return false;
  }
  return *name == *key;
}

const obs_option *obs_options_of_key(obs_option_table table, const char *section, const char *key) {
  const obs_option *at = table.at;
  for (size_t i = 0; i < table.n; i++)
    if (at[i].section != NULL && strcmp(at[i].section, section) == 0 && key_is(at[i].name, key)) return at + i;
  return NULL;
}

/* A value without quotes around it and without the comment behind it. */
static void read_value(const char *raw, char text[FILE_LINE]) {
  size_t n = strlen(raw);
  bool outer = n >= 2 && raw[0] == '"' && raw[n - 1] == '"'; /* it may have others within */
  const char *end = outer         ? raw + n - 1
                    : *raw == '"' ? strchr(raw + 1, '"')
                                  : NULL,
             *rest = end != NULL ? end + 1 : "x";
  rest += strspn(rest, " \t");
  bool quoted = end != NULL && (*rest == '\0' || *rest == '#' || *rest == ';');
  for (size_t i = 1; !quoted && i < n; i++)
    if (raw[i] == '#' && (raw[i - 1] == ' ' || raw[i - 1] == '\t')) n = i;
  while (!quoted && n > 0 && (raw[n - 1] == ' ' || raw[n - 1] == '\t')) n--;
  snprintf(text, FILE_LINE, "%.*s", (int)(quoted ? (size_t)(end - raw) - 1 : n), raw + quoted);
}

/* A key that no section, or another one, has. */
static void complain_key(const reading *r, const char *section, const char *key) {
  char where[320], what[512];
  const char *belongs = NULL;
  for (size_t i = 0; i < r->o->table.n; i++)
    if (r->o->table.at[i].section != NULL && key_is(r->o->table.at[i].name, key)) belongs = r->o->table.at[i].section;
  const char *near = obs_options_near(r->o->table, key);
  if (*section == '\0')
    snprintf(where, sizeof(where), "%s, line %d, %s", r->path, r->number, key);
  else
    snprintf(where, sizeof(where), "%s, line %d, [%s] %s", r->path, r->number, section, key);
  if (belongs != NULL)
    snprintf(what, sizeof(what), "%s it belongs to [%s]",
             *section == '\0' ? "stands before any section;" : "no such option;", belongs);
  else if (near != NULL)
    snprintf(what, sizeof(what), "no such option; did you mean %s?", near);
  else
    snprintf(what, sizeof(what), "no such option");
  obs_options_complain(r->o, where, what);
}

static int on_key(void *arg, const char *section, const char *key, const char *raw) {
  const reading *r = arg;
  char where[320], text[FILE_LINE];
  read_value(raw, text);
  snprintf(where, sizeof(where), "%s, [%s] %s", r->path, section, key);
  /* An unknown key is an error: a typing error would silently leave the default. */
  const obs_option *option = obs_options_of_key(r->o->table, section, key);
  if (option != NULL)
    assign(r->o, (int)(option - r->o->table.at), text, OBS_OPTION_FILE, where);
  else if (r->other == NULL || !r->other(r->arg, section, key, text, where))
    complain_key(r, section, key);
  return 1;
}

void obs_options_file(obs_options *o, const char *path, obs_options_other other, void *arg) {
  reading r = {.o = o, .path = path, .other = other, .arg = arg, .file = fopen(path, "re")};
  char what[320];
  int rc = r.file != NULL ? ini_parse_stream(read_line, &r, on_key, &r) : -1, errnum = errno;
  if (r.file != NULL && ferror(r.file)) rc = -1; /* a directory */
  if (r.file != NULL) (void)fclose(r.file);
  free(r.line);
  if (rc == 0) return;
  if (rc == -1)
    snprintf(what, sizeof(what), "cannot read \"%s\": %s", path, strerror(errnum));
  else if (rc < 0)
    snprintf(what, sizeof(what), "out of memory");
  else
    snprintf(what, sizeof(what), "%s, line %d: not a section, a key or a comment", path, rc);
  obs_options_complain(o, "config", what);
}

/* ---- names that are nearly right ---- */

enum { NEAR_NAME = OBS_OPTION_NAME_MAX };

/* Damerau and Levenshtein's, where no letter is swapped twice. */
unsigned obs_option_distance(const char *a, const char *b, unsigned most) {
  unsigned rows[3][NEAR_NAME], *before = rows[0], *last = rows[1], *now = rows[2];
  size_t na = strlen(a), nb = strlen(b);
  if (na >= NEAR_NAME || nb >= NEAR_NAME) return most + 1;
  for (size_t k = 0; k <= nb; k++) last[k] = before[k] = (unsigned)k;
  for (size_t i = 1; i <= na; i++) {
    now[0] = (unsigned)i;
    for (size_t k = 1; k <= nb; k++) {
      unsigned least = last[k - 1] + (a[i - 1] != b[k - 1]);
      if (last[k] + 1 < least) least = last[k] + 1;
      if (now[k - 1] + 1 < least) least = now[k - 1] + 1;
      if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] && before[k - 2] + 1 < least)
        least = before[k - 2] + 1;
      now[k] = least;
    }
    unsigned *spare = before;
    before = last;
    last = now;
    now = spare;
  }
  return last[nb] <= most ? last[nb] : most + 1;
}

/* Short names are near only by one letter. A name that was cut off is as near as one letter. */
obs_option_near obs_option_near_begin(const char *name) {
  enum { SHORT = 5 };
  obs_option_near near = {.best = NULL};
  size_t n = 0;
  for (; name[n] != '\0' && n + 1 < sizeof(near.name); n++)
    near.name[n] = name[n] == '_' ? '-' : (char)tolower((unsigned char)name[n]);
  near.least = n < 2 ? 0 : n <= SHORT ? 2 : 3;
  return near;
}

void obs_option_near_try(obs_option_near *near, const char *candidate) {
  enum { CUT_MIN = 3 };
  size_t n = strlen(near->name);
  if (near->least == 0) return;
  unsigned far = obs_option_distance(near->name, candidate, near->least - 1);
  if (far > 1 && n >= CUT_MIN && strncmp(near->name, candidate, n) == 0) far = 1;
  if (far >= near->least) return;
  near->least = far;
  near->best = candidate;
}

const char *obs_options_near(obs_option_table table, const char *name) {
  obs_option_near near = obs_option_near_begin(name);
  for (size_t i = 0; i < table.n; i++) obs_option_near_try(&near, table.at[i].name);
  return near.best;
}

/* ---- environment and flags ---- */

void obs_options_environment(obs_options *o) {
  for (size_t i = 0; i < o->table.n; i++) {
    char space[OBS_OPTION_ENV_MAX];
    const char *name = obs_option_env(o->table, &o->table.at[i], space);
    const char *text = name != NULL ? getenv(name) : NULL;
    if (text == NULL) continue;
    size_t n = strlen(text);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r')) n--;
    if (n == 0 && !o->table.at[i].not_empty) continue;
    char *value = strndup(text, n);
    if (value != NULL) assign(o, (int)i, value, OBS_OPTION_ENV, name);
    o->oom = o->oom || value == NULL;
    free(value);
  }
}

void obs_options_flag(obs_options *o, int argc, char **argv, int *i) {
  const char *arg = argv[*i];
  bool is_long = arg[1] == '-';
  int row = is_long ? find(o->table, arg + 2, strcspn(arg + 2, "=")) : NOT_FOUND;
  for (size_t k = 0; !is_long && row == NOT_FOUND && k < o->table.n; k++)
    if (o->table.at[k].letter == arg[1]) row = (int)k;
  if (row == NOT_FOUND || arg[1] == '\0') {
    char what[96], name[64];
    snprintf(name, sizeof(name), "%.*s", (int)(is_long ? strcspn(arg + 2, "=") : 0), is_long ? arg + 2 : "");
    const char *near = obs_options_near(o->table, name);
    if (near != NULL)
      snprintf(what, sizeof(what), "no such option; did you mean --%s?", near);
    else
      snprintf(what, sizeof(what), "no such option (see --help)");
    obs_options_complain(o, arg, what);
    return;
  }
  const obs_option *option = &o->table.at[row];
  const char *joined = is_long ? strchr(arg, '=') : arg[2] != '\0' ? arg + 1 : NULL;
  const char *text = joined != NULL ? joined + 1 : NULL, *next = *i + 1 < argc ? argv[*i + 1] : NULL;
  if (option->type == OBS_OPTION_SWITCH) {
    if (text == NULL) text = "true";
  } else if (option->meta == NULL && option->choices != NULL) { /* may have a value */
    /* `--success false` gives it one; in `--success FILE` the file is an argument. */
    if (text == NULL && next != NULL && obs_option_among(option->choices, next, strlen(next))) text = argv[++*i];
    if (text == NULL) text = "true";
  } else if (option->meta == NULL) {
    if (text != NULL) {
      obs_options_complain(o, arg, "takes no value");
      return;
    }
    text = "";
  } else if (option->type == OBS_OPTION_MAYBE) {
    if (text == NULL) text = next != NULL && *next != '-' && strstr(next, "://") != NULL ? argv[++*i] : "";
  } else if (text == NULL) {
    if (next == NULL) {
      obs_options_complain(o, arg, "needs a value");
      return;
    }
    text = argv[++*i];
  }
  assign(o, row, text, OBS_OPTION_FLAG, arg);
}

/* ---- the values ---- */

const char *obs_options_text(const obs_options *o, const char *name) {
  const obs_option_value *v = value_of(o, name);
  return v->texts.n > 0 ? v->texts.at[0] : NULL;
}

char *const *obs_options_texts(const obs_options *o, const char *name, uint32_t *n) {
  const obs_option_value *v = value_of(o, name);
  *n = v->texts.n;
  return v->texts.at;
}

uint64_t obs_options_number(const obs_options *o, const char *name) {
  return value_of(o, name)->number;
}

bool obs_options_given(const obs_options *o, const char *name) {
  return value_of(o, name)->origin != OBS_OPTION_DEFAULT;
}

obs_option_origin obs_options_origin(const obs_options *o, const char *name) {
  return value_of(o, name)->origin;
}

/* Every row has a member; a table without members is read by name only. What has not changed is not written: at a
 * reload other threads read such members. */
void obs_options_store(const obs_options *o, void *base) {
  for (size_t i = 0; i < o->table.n; i++) {
    const obs_option *option = &o->table.at[i];
    obs_option_value *v = &o->values[i];
    void *member = (char *)base + option->offset;
    char *text = v->texts.n > 0 ? v->texts.at[0] : NULL;
    if (obs_option_is_number(option)) {
      if (*(uint64_t *)member != v->number) *(uint64_t *)member = v->number;
    } else if (option->type == OBS_OPTION_SWITCH) {
      if (*(bool *)member != (v->number != 0)) *(bool *)member = v->number != 0;
    } else if (obs_option_is_list(option)) {
      obs_option_list *list = member;
      if (list->items != v->texts.at || list->n != v->texts.n) *list = (obs_option_list){v->texts.at, v->texts.n};
    } else if (*(char **)member != text) {
      *(char **)member = text;
    }
  }
}

void obs_options_swap_live(obs_options *a, obs_options *b) {
  for (size_t i = 0; i < a->table.n; i++) {
    if (!a->table.at[i].live) continue;
    obs_option_value saved = a->values[i];
    a->values[i] = b->values[i];
    b->values[i] = saved;
  }
}

void obs_options_differing(const obs_options *a, const obs_options *b, obs_buf *names) {
  for (size_t i = 0; i < a->table.n; i++) {
    const obs_option_value *x = &a->values[i], *y = &b->values[i];
    const obs_option *option = &a->table.at[i];
    /* 8M and 8388608 are the same value, as are yes and true. */
    bool by_number = obs_option_is_number(option) || option->type == OBS_OPTION_SWITCH;
    bool same = x->number == y->number && (by_number || x->texts.n == y->texts.n);
    for (uint32_t k = 0; same && !by_number && k < x->texts.n; k++) same = strcmp(x->texts.at[k], y->texts.at[k]) == 0;
    if (!same && !option->live) obs_buf_printf(names, "%s%s", names->len > 0 ? " " : "", option->name);
  }
}
