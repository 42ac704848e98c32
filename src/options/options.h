/* The options of a program, from one table: flags, environment, INI file, defaults, --help, the manual page and
 * --check-config read the same rows, so that an option is one row.
 *
 * A flag wins over the environment, which wins over the file, which wins over the default; a list that a stronger
 * origin gives replaces the weaker one's. Whoever loads them calls default, file, environment, flags in this order.
 * Each wrong value is reported with what it must be and where it came from, and the load goes on. The text of a key is
 * no value of any option, because values are shown: it is refused, and neither that nor a report shows it. One thread.
 */
#ifndef OBS_OPTIONS_OPTIONS_H
#define OBS_OPTIONS_OPTIONS_H

#include "base/buf.h"
#include "base/vec.h"

#include <stdio.h>

typedef enum {
  OBS_OPTION_ANY,    /* any text; a switch without `meta`, and with `choices` one that may be given a value of them
                        and is "true" without */
  OBS_OPTION_SWITCH, /* --name, --name=yes; true false yes no on off 1 0, in any case */
  OBS_OPTION_TEXT,   /* not empty */
  OBS_OPTION_NAME,   /* of a file, without a slash */
  OBS_OPTION_CHOICE, /* one of `choices` */
  OBS_OPTION_URL,    /* of one of the schemes in `choices` */
  OBS_OPTION_MAYBE,  /* a URL behind = or in the next argument, if that has ://; else "" */
  OBS_OPTION_FORM,   /* what `check` accepts, which `choices` describes */
  OBS_OPTION_NUMBER, /* min to max; with `bare` a time in that unit */
  OBS_OPTION_BYTES,  /* the same, with K, M, G or T (KB, KiB: the same) for powers of 1024: 1.5G */
  OBS_OPTION_TIME,   /* milliseconds: 50ms, 1.5s, 2m, 1h30m, 7d; a bare number (2, 0.5) is seconds */
  OBS_OPTION_TEXTS,  /* a list of texts that are not empty */
  OBS_OPTION_URLS    /* a list; several in one value separated by commas; each [listen:|dial:]URL; `none` empties it */
} obs_option_type;

/* A list member of a program's own structure. */
typedef struct {
  char **items;
  uint32_t n;
} obs_option_list;

typedef struct {
  const char *name;    /* without the dashes; the file's key is the same with _ for - */
  char letter;         /* 0: none */
  const char *meta;    /* what the value is, in capitals; NULL: a switch */
  const char *initial; /* the default, as text; NULL: none */
  const char *env;     /* NULL: none, or with a prefix in the table and a section the prefix and the name in capitals */
  const char *choices; /* separated by spaces; NULL: any */
  const char *help;    /* without a full stop */
  obs_option_type type;
  uint64_t min, max;
  uint64_t bare; /* of a NUMBER: the milliseconds of its unit, of which a time given with units must be a multiple */
  bool (*check)(const char *text);
  const char *section; /* of the file; NULL: no key of it */
  size_t offset;       /* of the member that obs_options_store fills: char *, bool, uint64_t or obs_option_list */
  bool live;           /* SIGHUP changes it */
  bool not_empty;      /* an empty variable of the environment is wrong; of others it is as good as none */
} obs_option;

typedef struct {
  const obs_option *at;
  size_t n;
  const char *env_prefix; /* "OBSERVER_"; NULL: only `env` counts */
} obs_option_table;

typedef enum { OBS_OPTION_DEFAULT, OBS_OPTION_FILE, OBS_OPTION_ENV, OBS_OPTION_FLAG } obs_option_origin;

/* What is wrong. `option` NULL: not with a value, and `must` is the sentence ("no such option (see --help)"). */
typedef struct {
  const obs_option *option;
  const char *value; /* NULL with option */
  const char *must;  /* "must be a number from 1 to 9" */
  obs_option_origin origin;
  const char *where; /* the argument, the variable, or "observer.ini, [bus] pull" */
} obs_option_fault;

typedef struct {
  obs_option_origin origin;
  char *where;     /* as in a fault; NULL: a default */
  uint64_t number; /* of NUMBER, BYTES and TIME; 1: a SWITCH is on */
  OBS_VEC(char *) texts;
} obs_option_value;

typedef struct {
  obs_option_table table;
  obs_option_value *values; /* one for each row */
  void (*report)(void *arg, const obs_option_fault *fault);
  void *arg;
  bool failed, oom; /* something was reported; memory ran out */
} obs_options;

/* With the defaults. False: no memory. Close in either case. */
bool obs_options_open(obs_options *o, obs_option_table table, void (*report)(void *, const obs_option_fault *),
                      void *arg);
void obs_options_close(obs_options *o);

/* Gives the option of that name a value; a list gets it added. */
void obs_options_set(obs_options *o, const char *name, const char *text, obs_option_origin origin, const char *where);
/* Reads an INI file. A comment begins a line with ; or #, or follows a value after white space. `other` gets keys that
 * the table does not have; false: it does not know it either. NULL: none. */
typedef bool (*obs_options_other)(void *arg, const char *section, const char *key, const char *text, const char *where);
void obs_options_file(obs_options *o, const char *path, obs_options_other other, void *arg);
/* The option that a key of a file's section sets; NULL: none does. */
const obs_option *obs_options_of_key(obs_option_table table, const char *section, const char *key);
/* Values lose the line ends that a file leaves at their end. */
void obs_options_environment(obs_options *o);
/* Looks for what a name, in whatever case and with _ or -, is likely meant to be: begin, try each that there is; then
 * `best` is the nearest one, or NULL. */
enum { OBS_OPTION_NAME_MAX = 64 };
typedef struct {
  char name[OBS_OPTION_NAME_MAX]; /* in small letters, with - */
  unsigned least;                 /* a nearer one has to be less far away than that */
  const char *best;
} obs_option_near;
obs_option_near obs_option_near_begin(const char *name);
void obs_option_near_try(obs_option_near *near, const char *candidate);
/* The option's name that `name` is likely meant to be; NULL: none is near. */
const char *obs_options_near(obs_option_table table, const char *name);
/* How many letters have to be changed, added, left out or swapped with the next one to make `b` of `a`; more than
 * `most`: most + 1. */
unsigned obs_option_distance(const char *a, const char *b, unsigned most);
/* The flag at argv[*i], which begins with a dash; moves *i over a value in the next argument. */
void obs_options_flag(obs_options *o, int argc, char **argv, int *i);
/* Reports what is not about a single value: "analyser: openai needs openai-url". */
void obs_options_complain(obs_options *o, const char *where, const char *what);

/* The value of an option of the table (asking for another is a fault of the program). NULL: it has none; "" for a
 * switch of ANY that is set. */
const char *obs_options_text(const obs_options *o, const char *name);
/* All values of a list; they stay the options'. */
char *const *obs_options_texts(const obs_options *o, const char *name, uint32_t *n);
/* Where the value came from. */
obs_option_origin obs_options_origin(const obs_options *o, const char *name);
uint64_t obs_options_number(const obs_options *o, const char *name);
bool obs_options_given(const obs_options *o, const char *name);

/* Fills the members of a structure; texts and lists stay the options'. */
void obs_options_store(const obs_options *o, void *base);
/* Exchanges the values of the options that a running program can change. */
void obs_options_swap_live(obs_options *a, obs_options *b);
/* Appends the names of the others that differ, separated by spaces. */
void obs_options_differing(const obs_options *a, const obs_options *b, obs_buf *names);

/* The values as a file, its sections in the given order; what is no default under a comment that says where it came
 * from. */
void obs_options_print(const obs_options *o, const char *const *sections, size_t n, FILE *out);
/* A file in which each option of those sections is a comment: its help, and a line with its default. */
void obs_options_sample(obs_option_table table, const char *const *sections, size_t n, FILE *out);
/* A line for each option. */
void obs_options_help(obs_option_table table, FILE *out);
/* A tagged paragraph of the manual page for each. */
void obs_options_man(obs_option_table table, FILE *out);
/* The environment variable of an option; NULL: none. `space` is for a name that is derived. */
enum { OBS_OPTION_ENV_MAX = 64 };
const char *obs_option_env(obs_option_table table, const obs_option *option, char space[OBS_OPTION_ENV_MAX]);

/* A text as it may be shown: without what may be a password, between a URL's scheme and its host, and without the text
 * of a key. To be freed; NULL: no memory. */
char *obs_option_shown(const char *text);
/* Digits within min and max; for programs that read a number inside of a FORM. */
bool obs_option_read_number(const char *text, uint64_t min, uint64_t max, uint64_t *out);
/* A duration with its units, as TIME takes them: 90s, 1h30m, 2w. */
bool obs_option_read_duration(const char *text, uint64_t *ms);

#endif
