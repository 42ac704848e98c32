#include "observerctl/doctor/doctor.h"

#include "base/json.h"
#include "observerctl/ask/fetch.h"
#include "observerctl/ask/sockets.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/term.h"
#include "observerctl/cli/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 3000, NAME_COLUMNS = 14 };

static const struct {
  const char *name;
  obs_term_look style;
} looks[] = {[OBS_DOCTOR_OK] = {"ok", OBS_STYLE_GREEN},
             [OBS_DOCTOR_WARN] = {"warn", OBS_STYLE_YELLOW},
             [OBS_DOCTOR_FAIL] = {"fail", OBS_STYLE_RED}};

void obs_doctor_say(obs_doctor *d, obs_doctor_status status, const char *check, const char *fix, const char *fmt, ...) {
  char text[768];
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(text, sizeof(text), fmt, ap);
  va_end(ap);
  obs_doctor_finding *f = OBS_VEC_PUSH(&d->findings);
  if (f != NULL) {
    f->status = status;
    (void)snprintf(f->check, sizeof(f->check), "%s", check);
    f->text = strdup(text);
    f->fix = status != OBS_DOCTOR_OK && *fix != '\0' ? strdup(fix) : NULL;
  }
  /* A report without a finding would say that all is well. */
  d->oom = d->oom || f == NULL || f->text == NULL;
  d->failed += status == OBS_DOCTOR_FAIL;
  d->warned += status == OBS_DOCTOR_WARN;
}

static void (*const probes[])(obs_doctor *d) = {
    obs_doctor_libraries, obs_doctor_ports,     obs_doctor_data_dir, obs_doctor_journal, obs_doctor_disk,
    obs_doctor_files,     obs_doctor_clock,     obs_doctor_unit,     obs_doctor_daemon,  obs_doctor_access,
    obs_doctor_tls,       obs_doctor_producers, obs_doctor_fleet,
};

/* False: no memory. */
static bool report(const obs_doctor *d) {
  const char *plain = obs_term_style(stdout, OBS_STYLE_PLAIN);
  bool json = obs_args_given(d->args, "json");
  obs_buf out = {0};
  obs_json_writer w = obs_json_write(&out);
  if (json) {
    obs_json_object(&w, NULL);
    obs_json_cstr(&w, "status", d->failed > 0 ? "fail" : d->warned > 0 ? "warn" : "ok");
    obs_json_cstr(&w, "version", OBSERVER_VERSION);
    obs_json_array(&w, "checks");
  }
  for (uint32_t i = 0; i < d->findings.n; i++) {
    const obs_doctor_finding *f = &d->findings.at[i];
    if (json) {
      obs_json_object(&w, NULL);
      obs_json_cstr(&w, "check", f->check);
      obs_json_cstr(&w, "status", looks[f->status].name);
      obs_json_cstr(&w, "text", f->text);
      obs_json_cstr(&w, "fix", f->fix);
      obs_json_end(&w);
      continue;
    }
    obs_buf_printf(&out, "%s%-4s%s  ", obs_term_style(stdout, looks[f->status].style), looks[f->status].name, plain);
    obs_text_pad(&out, f->check, strlen(f->check), NAME_COLUMNS);
    obs_buf_puts(&out, "  ");
    (void)obs_text_put(&out, f->text, strlen(f->text), OBS_TEXT_ALL);
    if (f->fix != NULL) {
      obs_buf_printf(&out, "\n      %*s  fix: ", NAME_COLUMNS, "");
      (void)obs_text_put(&out, f->fix, strlen(f->fix), OBS_TEXT_ALL);
    }
    obs_buf_putc(&out, '\n');
  }
  if (json) {
    obs_json_end(&w);
    obs_json_end(&w);
    obs_buf_putc(&out, '\n');
  } else {
    obs_buf_printf(&out, "\n%u failed, %u warning%s\n", d->failed, d->warned, d->warned == 1 ? "" : "s");
  }
  bool ok = !out.oom;
  if (ok && json)
    obs_text_print_json(stdout, out.p, out.len);
  else if (ok)
    (void)fwrite(out.p, 1, out.len, stdout);
  obs_buf_fini(&out);
  return ok;
}

static bool ports_ok(const obs_args *args) {
  const char *list = obs_args_text(args, "ports");
  const char *p = list;
  do {
    char *end;
    unsigned long port = *p >= '0' && *p <= '9' ? strtoul(p, &end, 10) : 0;
    if (port == 0 || port > UINT16_MAX || (*end != ',' && *end != '\0')) {
      obs_args_error(args, "--ports: \"%s\" is not a list of ports such as 3800,3801", list);
      return false;
    }
    p = end;
  } while (*p++ == ',');
  return true;
}

/* The directory that the daemon says it uses, unless another one was given. */
static void find_data_dir(obs_doctor *d) {
  const cJSON *dir = cJSON_GetObjectItemCaseSensitive(d->health, "data_dir");
  const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(d->health, "journal_name"));
  if (obs_args_given(d->args, "data-dir") || dir == NULL) return; /* nobody answers, or an older daemon */
  d->ephemeral = cJSON_IsNull(dir);
  d->elsewhere = !d->ephemeral && !obs_sockets_is_here(d->url);
  if (cJSON_IsString(dir)) d->data_dir = dir->valuestring;
  if (name != NULL) d->journal_name = name;
}

static int run_doctor(const obs_args *args) {
  if (!ports_ok(args)) return OBS_COMMAND_USAGE;
  obs_doctor d = {.args = args,
                  .url = obs_args_text(args, "url"),
                  .data_dir = obs_args_text(args, "data-dir"),
                  .journal_name = "ops.jsonl",
                  .url_given = obs_args_given(args, "url")};
  char lock[4096];
  d.health = obs_fetch_json(d.url, "/v1/observer/health", TIMEOUT_MS, d.error, sizeof(d.error));
  find_data_dir(&d);
  snprintf(lock, sizeof(lock), "%s/lock", d.data_dir);
  (void)obs_owner_of_lock(lock, &d.lock_held, &d.lock_owner);
  for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) probes[i](&d);
  bool ok = !d.oom && report(&d);
  if (!ok) obs_args_error(args, "out of memory");
  cJSON_Delete(d.health);
  for (uint32_t i = 0; i < d.findings.n; i++) {
    free(d.findings.at[i].text);
    free(d.findings.at[i].fix);
  }
  OBS_VEC_FINI(&d.findings);
  return ok && d.failed == 0 ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    {"data-dir", 'd', "DIR", .initial = "data/_observer", .env = "OBSERVER_DATA_DIR",
     .help = "observerd's data directory; without it, that of the daemon which answers"},
    {"ports", 'p', "LIST", .initial = "3800,3801,3802,3803,3804", .help = "the TCP ports that observerd needs"},
    OBS_FLAG_JSON,
};

OBS_COMMAND(doctor) = {
    .name = "doctor",
    .summary = "check this machine and the daemon, and show how to fix what is wrong",
    .description =
        "Probes the libraries and their versions, the ports, the data directory with its lock and journal, disk space, "
        "the open-file limit, the clock, the systemd unit, the daemon and, where it belongs to one, its fleet. Each "
        "finding is ok, warn or fail, with a "
        "sentence; a warning or failure comes with the command that fixes it. Nothing is modified.\n\n"
        "A daemon that does not answer is a failure when --url or OBSERVER_URL names it or the data directory is "
        "locked by one, else a warning: it may just not be started. Status 1 is that of any failure; warnings alone "
        "are status 0.",
    .examples = "observerctl doctor\n"
                "sudo observerctl doctor --data-dir /var/lib/observerd\n"
                "observerctl doctor --json | jq '.checks[] | select(.status != \"ok\")'",
    .flags = OBS_TABLE(flags),
    .run = run_doctor,
};
