/* Names of the older observers, in the environment and in the older file, and what of the environment is nobody's.
 *
 * They yield to the options' own names: a variable is taken where no flag and no variable of the option's own gives it,
 * a key where nothing else does. Main thread only. */
#ifndef OBS_OBSERVERD_OLDER_H
#define OBS_OBSERVERD_OLDER_H

#include "options/options.h"

/* Keys that the older file had: an address for HTTP, the path of the journal. Zeroed before use.
 *
 * That file is the lakehouse.toml of all services of the older system, where the block [observerd] is ours. Whatever
 * else it has is another program's: it is passed over, and so is, with a note, a key of the block that nobody here
 * knows. What TOML does not allow is an error, as it was to the older observer. */
typedef struct {
  struct {
    char *text, *where;
  } bind, persist_path;
  bool oom;
} obs_older;

void obs_older_fini(obs_older *older);
/* Whether a file of that name is TOML, and not INI. */
bool obs_older_is_toml(const char *path);
/* Takes what the block [observerd] gives: bind and persist_path, and the options of the section of that name. Each
 * fault is reported with line, key and reason. `notes` gets a line for each key that is passed over. */
void obs_older_read_toml(obs_older *older, obs_options *o, const char *path, obs_buf *notes);
/* obs_options_other, with the obs_older as `arg`. */
bool obs_older_key(void *older, const char *section, const char *key, const char *text, const char *where);
/* What the older file gave, where nothing else gives it. */
void obs_older_apply_file(const obs_older *older, obs_options *o, obs_buf *notes);
/* That, and the variables; after all else is loaded. `notes` gets a line for each that is passed over. */
void obs_older_apply(const obs_older *older, obs_options *o, obs_buf *notes);
/* Adds a line to `notes` for each variable of the environment that looks like ours and is not. */
void obs_older_look(obs_option_table table, obs_buf *notes);

typedef struct {
  const char *env, *name;
  const char *format; /* makes an option's value of it; NULL: it is taken as it is */
  const char *help;
} obs_older_variable;

enum { OBS_OLDER_VARIABLES = 5 };
extern const obs_older_variable obs_older_variables[OBS_OLDER_VARIABLES];

#endif
