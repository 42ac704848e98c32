#include "metrics/process.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t entries_of(const char *path) {
  DIR *dir = opendir(path);
  uint64_t n = 0;
  if (dir == NULL) return 0;
  for (const struct dirent *e; (e = readdir(dir)) != NULL;) n += e->d_name[0] != '.';
  (void)closedir(dir);
  return n;
}

void obs_metrics_read_process(obs_metrics_process *out) {
  struct rusage used;
  struct rlimit files;
  uint64_t mapped = 0, resident = 0, page = (uint64_t)sysconf(_SC_PAGESIZE);
  *out = (obs_metrics_process){0};
  if (getrusage(RUSAGE_SELF, &used) == 0)
    out->cpu_ms = (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
                  (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
  FILE *f = fopen("/proc/self/statm", "re");
  if (f != NULL) {
    if (fscanf(f, "%" SCNu64 " %" SCNu64, &mapped, &resident) != 2) mapped = resident = 0;
    (void)fclose(f);
  }
  out->virtual_bytes = mapped * page;
  out->resident_bytes = resident * page;
  uint64_t fds = entries_of("/proc/self/fd");
  out->open_fds = fds > 0 ? fds - 1 : 0; /* without the directory's own */
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) out->max_fds = files.rlim_cur;
  out->threads = entries_of("/proc/self/task");
}
