"""Configuration by flag, environment and file, the older names, reload, logs."""

import json
import os
import re
import signal
import subprocess

from harness import BUILD, OBSERVERD, DaemonTest, main, wait_until


class ConfigTest(DaemonTest):
    def observerd(self, *args, **env):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("OBSERVER_")}
        clean.update(env)
        return subprocess.run([OBSERVERD, *args], env=clean, capture_output=True, text=True, timeout=60,
                              cwd=self.tmp)

    def effective(self, *args, **env):
        """The effective values, {option: value or [values]}."""
        done = self.observerd("--check-config", *args, **env)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        values = {}
        for line in done.stdout.splitlines():
            if " = " in line:
                key, value = line.split(" = ", 1)
                values.setdefault(key, []).append(value)
        return {k: v[0] if len(v) == 1 else v for k, v in values.items()}

    def refused(self, *args, **env):
        done = self.observerd(*args, **env)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        lines = done.stderr.splitlines()
        self.assertEqual([line for line in lines if not line.startswith("observerd: ")], [])
        return [line[len("observerd: "):] for line in lines]

    def file(self, text):
        path = os.path.join(self.tmp, "observer.ini")
        with open(path, "w") as f:
            f.write(text)
        return path


class Urls(ConfigTest):
    def test_what_a_start_would_refuse_a_check_refuses(self):
        for option, url, why in (
                ("http", "http://127.0.0.1:0/x", "must be http://HOST:PORT without a path"),
                ("http", "https://127.0.0.1:0", "needs --tls-cert and --tls-key"),
                ("http", "dial:http://127.0.0.1:9", "dial: HTTP only listens"),
                ("http", "http://user@127.0.0.1:0", "user and password: not allowed"),
                ("pull", "tcp://127.0.0.1", "port: required"),
                ("pull", "tcp://127.0.0.1:99999", "port: must be 0 to 65535"),
                ("sub", "tcp://127.0.0.1:0/path", "must be tcp://HOST:PORT without a path"),
                ("rep", "tcp://127.0.0.1:0;key=a", "key: there is no key file"),
                ("rep", "tcp://127.0.0.1:0;uid=0", "uid: only an ipc listener knows its peers' users"),
                ("feed", "tcp://127.0.0.1:0;foo=1", "parameter foo=1: must be ;uid=NUMBER, or ;key=ID once"),
                ("feed", "wss://127.0.0.1:0/x", "needs --tls-cert and --tls-key"),
                ("feed", "ipc:///tmp/x;uid=x", "uid: must be a number")):
            for check in (["--check-config"], ["--ephemeral"]):
                shown = url.replace("user@", "***@")
                self.assertEqual(self.refused(*check, "--" + option, url), ["%s %s: %s" % (option, shown, why)])

    def test_all_wrong_ones_are_named(self):
        self.assertEqual(self.refused("--pull", "tcp://a", "--pull", "tcp://127.0.0.1:1", "--sub", "tcp://b"),
                         ["pull tcp://a: port: required", "sub tcp://b: port: required"])


class Precedence(ConfigTest):
    def test_defaults(self):
        values = self.effective()
        self.assertEqual(values["http"], "http://127.0.0.1:3800")
        self.assertEqual(values["pull"], "tcp://127.0.0.1:3801")
        self.assertEqual(values["sub"], "tcp://127.0.0.1:3802")
        self.assertEqual(values["rep"], "tcp://127.0.0.1:3803")
        self.assertEqual(values["data_dir"], "data/_observer")
        self.assertEqual((values["fsync"], values["ring"], values["cycle"]), ("always", "2000", "30"))

    def test_flag_over_environment_over_file_over_default(self):
        path = self.file("[observerd]\nring = 10\nendpoints = 11\nlog_level = warn\n[journal]\nfsync = never\n")
        values = self.effective("--config", path, "--ring", "30", OBSERVER_RING="20", OBSERVER_ENDPOINTS="21")
        self.assertEqual((values["ring"], values["endpoints"], values["fsync"]), ("30", "21", "never"))
        self.assertEqual(values["log_level"], "warn")

    def test_times_take_a_unit(self):
        self.assertEqual(self.effective("--cycle", "7")["cycle"], "7")
        self.assertEqual(self.effective("--cycle", "2s")["cycle"], "2")
        self.assertEqual(self.effective("--cycle=50ms")["cycle"], "50ms")
        self.assertEqual(self.effective("--cycle", "1h30m", "--http-idle", "2m")["http_idle"], "120")
        self.assertEqual(self.refused("--cycle", "2d"),
                         ['cycle: must be a time (ms s m h d) from 10ms to 1d, not "2d" (flag --cycle)'])

    def test_a_list_is_replaced_by_a_stronger_one(self):
        path = self.file("[bus]\npull = tcp://127.0.0.1:1\npull = tcp://127.0.0.1:2\n")
        self.assertEqual(self.effective("--config", path)["pull"], ["tcp://127.0.0.1:1", "tcp://127.0.0.1:2"])
        values = self.effective("--config", path, OBSERVER_PULL="tcp://127.0.0.1:3,dial:ipc:///tmp/x")
        self.assertEqual(values["pull"], ["tcp://127.0.0.1:3", "dial:ipc:///tmp/x"])
        self.assertEqual(self.effective("--config", path, "--pull", "none")["pull"], "none")

    def test_config_from_the_environment(self):
        self.assertEqual(self.effective(OBSERVER_CONFIG=self.file("[observerd]\nring = 7\n"))["ring"], "7")

    def test_printed_configuration_is_a_configuration(self):
        printed = self.observerd("--check-config", "--ring", "99", "--topic", "op.", "--topic", "x").stdout
        again = self.observerd("--check-config", "--config", self.file(printed)).stdout
        values = [[line for line in text.splitlines() if not line.startswith("#")] for text in (printed, again)]
        self.assertEqual(values[0], values[1])

    def test_where_values_come_from(self):
        path = self.file("[observerd]\nring = 10\n")
        printed = self.observerd("--check-config", "--config", path, "--topic", "x", OBSERVER_ENDPOINTS="21").stdout
        self.assertIn("# file %s, [observerd] ring\nring = 10\n" % path, printed)
        self.assertIn("# environment OBSERVER_ENDPOINTS\nendpoints = 21\n", printed)
        self.assertIn("# flag --topic\ntopic = x\n", printed)
        self.assertNotIn("OBSERVER_DATA_DIR", printed)

    def test_sizes(self):
        self.assertEqual(self.effective("--segment-bytes", "2K")["segment_bytes"], "2048")
        self.assertEqual(self.effective("--segment-bytes=3M")["segment_bytes"], str(3 << 20))
        self.assertEqual(self.effective("--segment-bytes", "1G")["segment_bytes"], str(1 << 30))


class OlderNames(ConfigTest):
    def test_environment(self):
        values = self.effective(OBSERVER_PORT="4800", OBSERVER_CYCLE="7", GATEWAY_URL="http://gw:3700",
                                LAKEHOUSE_URL="http://lake:3100", OVERSEER_CORRECTIONS_PATH="/kb/c.jsonl")
        self.assertEqual(values["http"], "http://127.0.0.1:4800")
        self.assertEqual(values["cycle"], "7")
        self.assertEqual(values["gateway_url"], "http://gw:3700")
        self.assertEqual(values["lakehouse_url"], "http://lake:3100")
        self.assertEqual(values["overseer_corrections_path"], "/kb/c.jsonl")

    def test_the_new_name_wins(self):
        values = self.effective(OBSERVER_PORT="4800", OBSERVER_HTTP="http://127.0.0.1:4801")
        self.assertEqual(values["http"], "http://127.0.0.1:4801")

    def test_file_of_the_older_port(self):
        path = self.file('[observerd]\nbind = "127.0.0.1:3219"\npersist_path = "/var/lib/o/observed.jsonl"\n')
        values = self.effective("--config", path)
        self.assertEqual(values["http"], "http://127.0.0.1:3219")
        self.assertEqual((values["data_dir"], values["journal_name"]), ("/var/lib/o", "observed.jsonl"))

    def test_rows_of_the_older_port_are_read(self):
        rows = os.path.join(self.tmp, "data", "observed.jsonl")
        os.mkdir(os.path.dirname(rows))
        with open(rows, "w") as f:
            f.write('{"timestamp":"2026-01-01T00:00:00Z","endpoint":"/v1/x","input_summary":"","success":true,'
                    '"duration_ms":3,"output_summary":"","source":"mcp"}\n')
        daemon = self.start(args=["--config", self.file('[observerd]\npersist_path = "%s"\n' % rows)])
        self.assertEqual(daemon.get("/stats").json["total"], 1)
        daemon.post("/event", {"source": "mcp"})
        with open(rows) as f:
            self.assertEqual(len(f.readlines()), 2)
        daemon.stop()


class Environment(ConfigTest):
    def notes(self, *args, **env):
        done = self.observerd("--check-config", *args, **env)
        self.assertEqual(done.returncode, 0)
        return done.stderr.splitlines()

    def test_what_kubernetes_sets_for_a_service(self):
        service = {"OBSERVER_PORT": "tcp://10.43.0.17:3800", "OBSERVER_SERVICE_HOST": "10.43.0.17", "OBSERVER_SERVICE_PORT": "3800",
                   "OBSERVER_SERVICE_PORT_HTTP": "3800", "OBSERVER_PORT_3800_TCP": "tcp://10.43.0.17:3800",
                   "OBSERVER_PORT_3800_TCP_PROTO": "tcp", "OBSERVER_PORT_3800_TCP_PORT": "3800",
                   "OBSERVER_PORT_3800_TCP_ADDR": "10.43.0.17", "OBSERVER_FEED_PORT": "tcp://10.43.0.18:3804"}
        note = ["observerd: OBSERVER_PORT=tcp://10.43.0.17:3800 is ignored, as Kubernetes sets it for a Service; --http "
                "sets the port"]
        self.assertEqual(self.notes(**service), note)
        self.assertEqual(self.notes("--http", "http://127.0.0.1:1", **service), [])

    def test_an_older_name_yields(self):
        self.assertEqual(self.effective("--http", "http://127.0.0.1:1", OBSERVER_PORT="abc")["http"], "http://127.0.0.1:1")
        path = self.file("[observerd]\nbind = :5800\n[http]\nhttp = http://127.0.0.1:2\n")
        self.assertEqual(self.effective("--config", path)["http"], "http://127.0.0.1:2")
        path = self.file("[observerd]\nbind = :5800\n[security]\nallow_open = yes\n")
        self.assertEqual(self.effective("--config", path)["http"], "http://0.0.0.0:5800")
        self.assertEqual(self.effective("--config", path, OBSERVER_PORT="9\n")["http"], "http://127.0.0.1:9")

    def test_names_that_are_nobodys(self):
        self.assertEqual(self.notes(OBSERVER_HTPP="x", OBSERVER_URL="http://h", OVERSEER_CORECTIONS_PATH="/x"),
                         ["observerd: unknown environment variable OBSERVER_HTPP; did you mean OBSERVER_HTTP?",
                          "observerd: unknown environment variable OVERSEER_CORECTIONS_PATH; did you mean "
                          "OVERSEER_CORRECTIONS_PATH?"])
        # Those of clients, which run in the same environment.
        self.assertEqual(self.notes(OBSERVER_KEY="obs_i_x", OBSERVER_KEY_FILE="/x", OBSERVER_FEED_URL="tcp://h:1"), [])
        self.assertEqual(self.notes(OBSERVER_SOMETHING_ELSE="x"),
                         ["observerd: unknown environment variable OBSERVER_SOMETHING_ELSE"])

    def test_values_as_files_and_people_write_them(self):
        values = self.effective(OBSERVER_EPHEMERAL="TRUE\n", OBSERVER_RING="7\r\n")
        self.assertEqual((values["ephemeral"], values["ring"]), ("true", "7"))

    def test_the_start_says_what_runs(self):
        daemon = self.start(args=["--config", self.file("[learn]\ngateway_url = http://127.0.0.1:1\n")],
                            env={"LAKEHOUSE_URL": "http://127.0.0.1:2", "OBSERVER_HTPP": "x"})
        daemon.stop()
        log = daemon.stderr()
        self.assertRegex(log, r"info observerd: observerd \d+\.\d+\.\d+, pid %d, configuration file %s, data directory %s, "
                              r"analyser lakehouse \(environment\)\n" % (daemon.process.pid, os.path.join(self.tmp, "observer.ini"),
                                                                    daemon.data_dir))
        self.assertIn("texts of failures are sent to the URL of --lakehouse-url (environment)", log)
        self.assertIn("findings and playbooks are sent to the URL of --gateway-url (file)", log)
        self.assertIn("warn observerd: unknown environment variable OBSERVER_HTPP; did you mean OBSERVER_HTTP?", log)


class BadValues(ConfigTest):
    def test_each_is_named_with_where_it_came_from(self):
        path = self.file("[observerd]\nring = many\n[journal]\nfsync = sometimes\n[nonsense]\nx = 1\n")
        self.assertEqual(
            self.refused("--config", path, "--cycle", "0", "--http", "ftp://x", OBSERVER_ENDPOINTS="-1"),
            ['ring: must be an integer from 1 to 1000000, not "many" (file %s, [observerd] ring)' % path,
             'fsync: must be always, interval:MS (1 to 3600000) or never, not "sometimes" (file %s, [journal] fsync)'
             % path,
             "%s, line 6, [nonsense] x: no such option" % path,
             'endpoints: must be an integer from 1 to 100000, not "-1" (environment OBSERVER_ENDPOINTS)',
             'cycle: must be a time (ms s m h d) from 10ms to 1d, not "0" (flag --cycle)',
             'http: must begin with http://, https:// or ipc://, not "ftp://x" (flag --http)'])

    def test_flags(self):
        self.assertEqual(self.refused("--nope"), ["--nope: no such option (see --help)"])
        self.assertEqual(self.refused("nope"), ["nope: unexpected argument: options begin with -- (see --help)"])
        self.assertEqual(self.refused("-x"), ["-x: no such option (see --help)"])
        self.assertEqual(self.refused("--data", "x")[0], "--data: no such option; did you mean --data-dir?")
        self.assertEqual(self.refused("--data-dir", ""), ["data-dir: must not be empty (flag --data-dir)"])
        self.assertEqual(self.refused("--http", "localhost:80"),
                         ['http: must begin with http://, https:// or ipc://, not "localhost:80" (flag --http)'])
        self.assertEqual(self.refused("--ring"), ["--ring: needs a value"])
        self.assertEqual(self.refused("--log-format", "xml"),
                         ['log-format: must be one of: text json, not "xml" (flag --log-format)'])
        self.assertEqual(self.refused("--pull", "tcp//x"),
                         ['pull: must begin with tcp://, tls+tcp://, ipc://, ws://, wss:// or inproc://, not "tcp//x" (flag --pull)'])
        self.assertEqual(self.refused("--http", "http://127.0.0.1:70000"),
                         ['http: must be a URL such as http://host:8080/path, not "http://127.0.0.1:70000" (flag --http)'])
        self.assertEqual(self.refused("--max-op-bytes", "3M")[0][:34], "max-op-bytes: must be a size (K, M")
        self.assertEqual(self.refused("--segment-bytes", "5X")[0][:33], "segment-bytes: must be a size (K,")

    def test_urls(self):
        self.assertEqual(self.refused("--gateway-url", "http://["),
                         ['gateway-url: must be a URL such as http://host:8080/path, not "http://[" (flag --gateway-url)'])
        self.assertEqual(self.effective("--gateway-url", "http://[::1]:80/x")["gateway_url"], "http://[::1]:80/x")
        many = ",".join("ipc:///tmp/%060d" % n for n in range(20))
        self.assertIn("pull: must be shorter than 1024 bytes (it may be given again)", self.refused("--pull", many)[0])

    def test_a_password_is_not_repeated(self):
        for given, shown in (("http://user:secret@host/", "http://***@host/"), ("http://s:ecret@b@host/x", "http://***@host/x"),
                             ("ftp://secret@host", "ftp://***@host"), ("http://u:sec/ret@h", "http://***@h"),
                             ("http://:s@h", "http://**@h")):
            must = "must begin with http:// or https://" if given.startswith("ftp") else "must be a URL such as http://host:8080/path"
            self.assertEqual(self.refused("--openai-url", given),
                             ['openai-url: %s, not "%s" (flag --openai-url)' % (must, shown)])
        done = subprocess.run([os.path.join(BUILD, "observerctl"), "stats", "--url", "http://user:secret@127.0.0.1:1/"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("http://127.0.0.1:1: Connection refused", done.stderr)
        self.assertNotIn("secret", done.stderr)

    def test_a_password_is_in_nothing_that_is_printed(self):
        secret = "http://sekret@gw.example/x"
        done = self.observerd("--check-config", "--openai-url", secret, "--gateway-url", secret, LLM_TEAM_URL=secret)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stdout.count("_url = http://***@gw.example/x\n"), 3)
        self.assertNotIn("sekret", done.stdout + done.stderr)
        for args in (["--rign=http://u:sekret@h"], ["http://u:sekret@h"], ["--gateway-url", "http://u:sekret@h"]):
            self.assertNotIn("sekret", "".join(self.refused(*args)))

    def test_a_directory_is_no_file(self):
        self.assertEqual(self.refused("--config", self.tmp), ['config: cannot read "%s": Is a directory' % self.tmp])

    def test_nothing_to_do(self):
        none = [a for kind in ("http", "pull", "sub", "rep") for a in ("--" + kind, "none")]
        said = "nothing to do: http, pull, sub and rep are all none, so no op can come in"
        self.assertEqual(self.observerd("--check-config", *none).stderr, "observerd: %s\n" % said)
        self.assertEqual(self.observerd("--check-config", *none, OVERSEER_CORRECTIONS_PATH="/c").stderr, "")
        self.assertEqual(self.observerd("--check-config", *none[2:]).stderr, "")
        daemon = self.make(args=none)
        daemon.spawn()
        wait_until(lambda: "ready\n" in daemon.stdout(), 10, "the start")
        self.assertIn("warn observerd: " + said, daemon.stderr())
        daemon.stop()

    def test_standard_output_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            self.assertEqual(subprocess.run([OBSERVERD, "--check-config"], stdout=full, timeout=60).returncode, 1)

    def test_older_names(self):
        self.assertEqual(self.refused(OBSERVER_PORT="abc"),
                         ['http: must be a URL such as http://host:8080/path, not "http://127.0.0.1:abc" (environment OBSERVER_PORT)'])

    def test_files(self):
        self.assertEqual(self.refused("--config", "/no/such/file"), ['config: cannot read "/no/such/file": No such file or directory'])
        path = self.file("[observerd]\nring = 5\nthis is no line\n")
        self.assertEqual(self.refused("--config", path),
                         ["config: %s, line 3: not a section, a key or a comment" % path])
        self.assertEqual(self.refused("--config", self.tmp), ['config: cannot read "%s": Is a directory' % self.tmp])
        path = self.file("[bus]\npull = ipc:///tmp/%s\n" % ("x" * 600))
        self.assertEqual(self.refused("--config", path),
                         ["config: %s, line 2, [bus] pull: longer than 198 bytes" % path])

    def test_an_older_variable_is_not_cut(self):
        url = "http://h/" + "x" * 700
        self.assertEqual(self.effective(LAKEHOUSE_URL=url)["lakehouse_url"], url)


class Questions(ConfigTest):
    def test_version_and_help(self):
        self.assertRegex(self.observerd("--version").stdout, r"^observerd \d+\.\d+\.\d+\n$")
        text = self.observerd("--help").stdout
        for flag in ("--http URL", "--pull URL", "--sub URL", "--rep URL", "--feed URL", "--topic PREFIX",
                     "--data-dir DIR", "--ephemeral", "--fsync MODE", "--ring N", "--config FILE", "--check-config",
                     "--log-level LEVEL", "--log-format FORMAT", "--version", "-h, --help"):
            self.assertIn("  %s " % flag, text)
        self.assertEqual(self.observerd("-h").stdout, text)


class Sample(ConfigTest):
    """The file is printed from the table of options; what it says holds."""

    def test_it_is_the_defaults(self):
        sample = self.observerd("--sample-config").stdout
        self.assertEqual(self.values(self.file(sample)), self.values(None))
        given = "".join(re.sub(r"^#(?=[a-z])", "", line) + "\n" for line in sample.splitlines()
                        if not re.match(r"#[a-z_]+ = [A-Z]+$", line))
        self.assertEqual(self.values(self.file(given)), self.values(None))

    def test_it_has_every_option(self):
        sample = self.observerd("--sample-config").stdout
        options = re.findall(r"^(?:# )?([a-z_]+) =", self.observerd("--check-config").stdout, re.M)
        self.assertGreater(len(options), 50)
        self.assertEqual(re.findall(r"^#([a-z_]+) =", sample, re.M), options)
        for name in options:  # each is explained by the words of --help
            self.assertRegex(sample, r"\n# [^\n]+\n#%s =" % name)
        self.assertLessEqual(max(map(len, sample.splitlines())), 120)

    def values(self, path):
        done = self.observerd("--check-config", *(["--config", path] if path else []))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return [line for line in done.stdout.splitlines() if not line.startswith("# file ")]


class Reload(ConfigTest):
    def test_sighup(self):
        path = self.file("[observerd]\nlog_format = text\n")
        daemon = self.start(args=["--config", path])
        self.file("[observerd]\nlog_format = json\nring = 5\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: '"message":"reloaded; a restart is needed for: ring"' in daemon.stderr(), 10, "the reload")
        daemon.process.send_signal(signal.SIGHUP)  # what runs still has another ring
        wait_until(lambda: daemon.stderr().count("a restart is needed for: ring") == 2, 10, "the second reload")
        self.file("[observerd]\nlog_format = json\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: '"message":"reloaded"' in daemon.stderr(), 10, "the third reload")
        self.file("[observerd]\nlog_format = yaml\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "reload refused, nothing changed" in daemon.stderr(), 10, "the refusal")
        self.assertEqual(daemon.post("/event", {}).status, 200)
        daemon.stop()
        refusal = [line for line in daemon.stderr().splitlines() if "refused" in line][0]
        self.assertEqual(json.loads(refusal)["level"], "error")


class Logs(ConfigTest):
    TOTALS = {"total_ops": 3, "successes": 2, "failures": 1, "scenario_ops": 1, "langfuse_ops": 1,
              "overseer_corrections": 1}

    def record(self, daemon):
        daemon.post("/event", {"success": True})
        daemon.post("/event", {"success": False, "source": "langfuse"})
        daemon.post("/v1/observer/event", {"endpoint": "overseer:x", "success": True, "source": "overseer_correction"})

    def totals(self, daemon):
        """Of the lines of cycles, as text or JSON."""
        rows, log = [], daemon.stderr()
        for line in log.splitlines():
            text = re.fullmatch(r"\S+Z info observerd: \[observer\] cycle (\d+): (\{.*\})", line)
            if text:
                row = json.loads(text[2])
                self.assertEqual(row.pop("cycle"), int(text[1]))
                rows.append(row)
            elif line.startswith("{") and "[observer] cycle" in line:
                row = json.loads(line)
                self.assertEqual((row.pop("level"), row.pop("module")), ("info", "observerd"))
                self.assertEqual(row.pop("message"), "[observer] cycle %d" % row.pop("cycle"))
                self.assertRegex(row.pop("time"), r"Z$")
                rows.append(row)
        self.assertEqual(log.count("[observer] cycle"), len(rows))
        return rows

    def test_cycle_line(self):
        for form in ("text", "json"):
            daemon = self.start(args=["--cycle", "100ms", "--log-format", form], data_dir=form)
            self.record(daemon)
            wait_until(lambda d=daemon: self.TOTALS in self.totals(d), 10, "a cycle line")
            before = len(self.totals(daemon))
            cycles = lambda d=daemon: d.get("/health").json["learn"]["cycles"]
            begun = cycles()
            wait_until(lambda: cycles() > begun + 5, 10, "cycles in which nothing came")
            self.assertEqual(len(self.totals(daemon)), before)
            daemon.stop()

    def test_what_ends_the_start_has_the_form_of_the_log(self):
        path = self.file("[observerd]\nlog_format = json\nrign = 1\n")
        for args, env in ((["--config", path], {}), (["--rign", "1", "--log-format=json"], {}),
                          (["--http", "x"], {"OBSERVER_LOG_FORMAT": "json"})):
            done = self.observerd(*args, **env)
            self.assertEqual(done.returncode, 2)
            for line in done.stderr.splitlines():
                row = json.loads(line)
                self.assertEqual((row["level"], row["module"]), ("error", "observerd"))
        self.assertRegex(self.observerd("--rign", "1").stderr, r"^observerd: --rign: no such option")

    def test_every_json_line_is_json(self):
        daemon = self.start(args=["--log-format", "json", "--cycle", "100ms", "--log-level", "debug"])
        daemon.post("/v1/observer/event", {"endpoint": 'x"\n\x01', "duration_ms": "no"})
        daemon.post("/v1/observer/event", {"endpoint": "/x"})
        wait_until(lambda: "[observer] cycle" in daemon.stderr(), 10, "a cycle line")
        daemon.stop()
        for line in daemon.stderr().splitlines():
            self.assertLessEqual({"time", "level", "module", "message"}, set(json.loads(line)))

    def test_one_cause_is_logged_at_most_ten_times_a_second(self):
        daemon = self.start()
        with daemon.push() as push:
            for _ in range(2000):
                push.send(b"{}")
            wait_until(lambda: len(daemon.rejected_rows()) == 2000, 30, "2000 rejects")
        daemon.stop()
        self.assertLess(daemon.stderr().count("endpoint: required"), 500)


if __name__ == "__main__":
    main()
