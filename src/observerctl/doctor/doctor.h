/* doctor: a table of probes; each reports one or more findings. */
#ifndef OBS_OBSERVERCTL_DOCTOR_H
#define OBS_OBSERVERCTL_DOCTOR_H

#include "base/owner.h"
#include "base/vec.h"
#include "observerctl/cli/command.h"

#include <cjson/cJSON.h>

typedef enum { OBS_DOCTOR_OK, OBS_DOCTOR_WARN, OBS_DOCTOR_FAIL } obs_doctor_status;

typedef struct {
  obs_doctor_status status;
  char check[32];   /* what was looked at: "port 3800" */
  char *text, *fix; /* fix NULL: none */
} obs_doctor_finding;

typedef struct {
  const obs_args *args;
  const char *url, *data_dir, *journal_name;
  bool url_given;  /* by the user: then somebody has to answer there */
  cJSON *health;   /* the daemon's answer; NULL: none */
  char error[256]; /* then why */
  /* The daemon's data directory is not here: it keeps no files, or runs on another machine. */
  bool ephemeral, elsewhere;
  bool lock_held; /* on the data directory */
  obs_owner lock_owner;
  OBS_VEC(obs_doctor_finding) findings;
  unsigned failed, warned;
  bool oom; /* a finding was lost */
} obs_doctor;

/* Adds a finding. `fix`: the command that fixes it, "" for none. */
void obs_doctor_say(obs_doctor *d, obs_doctor_status status, const char *check, const char *fix, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* The probes, in the order of the report. */
void obs_doctor_libraries(obs_doctor *d);
void obs_doctor_ports(obs_doctor *d);
void obs_doctor_data_dir(obs_doctor *d);
void obs_doctor_journal(obs_doctor *d);
void obs_doctor_disk(obs_doctor *d);
void obs_doctor_files(obs_doctor *d);
void obs_doctor_clock(obs_doctor *d);
void obs_doctor_daemon(obs_doctor *d);
void obs_doctor_access(obs_doctor *d);
void obs_doctor_tls(obs_doctor *d);
void obs_doctor_unit(obs_doctor *d);
void obs_doctor_producers(obs_doctor *d);
void obs_doctor_fleet(obs_doctor *d);

#endif
