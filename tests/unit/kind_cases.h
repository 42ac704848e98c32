/* Texts of failures as agents and services write them, and which of them a careful reader takes for one kind: the same
 * letter is the same kind. Each case is for a miner of its own. */
#ifndef OBS_TEST_KIND_CASES_H
#define OBS_TEST_KIND_CASES_H

typedef struct {
  const char *about, *letters;
  const char *texts[6];
} kind_case;

/* Values that were agreed on, word for word. */
static const kind_case right_values[] = {
    {"1: methods",
     "abcabc",
     {"10.0.0.1 \"GET /v2/54f/x HTTP/1.1\" status: 200 len: 17",
      "10.0.0.1 \"POST /v2/54f/x HTTP/1.1\" status: 200 len: 17",
      "10.0.0.1 \"DELETE /v2/54f/x HTTP/1.1\" status: 200 len: 17",
      "10.0.0.9 \"GET /v2/77a/y HTTP/1.1\" status: 200 len: 5",
      "10.0.0.9 \"POST /v2/77a/y HTTP/1.1\" status: 200 len: 5",
      "10.0.0.9 \"DELETE /v2/77a/y HTTP/1.1\" status: 200 len: 5"}},
    {"2: anything that names a host",
     "aaa",
     {"synchronized to 10.1.2.3, stratum 3", "synchronized to #3#, stratum 3",
      "synchronized to ntp1.example.org, stratum 3"}},
    {"3: hardware addresses", "aa", {"BSSID changed to 5c:50:15:36:bc:03", "BSSID changed to de:ad:be:ef:ca:fe"}},
    {"4: IPv6",
     "aaaaaa",
     {"connect to ::1 failed", "connect to fe80::1%eth0 failed", "connect to [2001:db8::8a2e:370:7334]:443 failed",
      "connect to 2001:0db8:85a3:0000:0000:8a2e:0370:7334 failed", "connect to ::ffff:192.0.2.1 failed",
      "connect to fe80::dead:beef failed"}},
    {"5: lists of pairs",
     "aaa",
     {"nodesets node-1 0x1f <ok>", "nodesets node-1 0x1f <ok> node-2 0x1f <ok>",
      "nodesets node-1 0x1f <ok> node-2 0x1f <ok> node-3 0x2f <ok>"}},
    {"6: status codes",
     "abc",
     {"Request failed with status code 404", "Request failed with status code 503",
      "Request failed with status code 401"}},
    {"7: a status and JSON",
     "aba",
     {"400 {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt is too long: 210000 "
      "tokens > 200000 maximum\"},\"request_id\":\"req_011\"}",
      "529 {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"},\"request_id\":"
      "\"req_012\"}",
      "400 {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt is too long: 987 "
      "tokens > "
      "9 maximum\"},\"request_id\":\"req_abc\"}"}},
    {"8: a status and a dict",
     "abc",
     {"Error code: 401 - {'error': {'message': 'Incorrect API key provided: sk-x1', 'code': 'invalid_api_key'}}",
      "Error code: 404 - {'error': {'message': 'The model `gpt-9` does not exist', 'code': 'model_not_found'}}",
      "Error code: 429 - {'error': {'message': 'You exceeded your current quota', 'code': 'insufficient_quota'}}"}},
    {"9: states in quotes",
     "ab",
     {"location icon is now in state 'Active'", "location icon is now in state 'Inactive'"}},
    {"10: three names",
     "aaa",
     {"session opened for user cyrus by (uid=0)", "session opened for user news by (uid=0)",
      "session opened for user test by (uid=0)"}},
    {"11: two words that vary together",
     "aaa",
     {"Agent Alice gave up: no candidate near Gary", "Agent Tarek gave up: no candidate near Erie",
      "Agent Mei gave up: no candidate near Flint"}},
    {"12: units", "aa", {"Tried to allocate 2.00 GiB", "Tried to allocate 20.00 MiB"}},
    {"13: lists of names",
     "aa",
     {"Unknown tool: foo. Available tools: a, b", "Unknown tool: foo. Available tools: a, b, c"}},
    {"14: stacks and tracebacks",
     "aaabb",
     {"TypeError: x is not a function\n    at f (/app/a.js:1:2)",
      "TypeError: x is not a function\n    at f (/app/a.js:1:2)\n    at g (/app/b.js:17:5)",
      "TypeError: x is not a function\n    at h (/srv/c.js:9:1)\n    at async run (/srv/d.js:2:7)\n    at main "
      "(/srv/e.js:3:3)",
      "Traceback (most recent call last):\n  File \"/app/a.py\", line 3, in f\n    g()\nhttpx.ReadTimeout: The read "
      "operation "
      "timed out",
      "Traceback (most recent call last):\n  File \"/srv/b.py\", line 30, in main\n    h()\n  File \"/srv/c.py\", line "
      "4, in "
      "h\n    r = get(url)\nhttpx.ReadTimeout: The read operation timed out"}},
    {"15: Japanese",
     "aa",
     {"\u30e6\u30fc\u30b6\u30fc\u300c\u7530\u4e2d\u300d\u304c\u898b\u3064\u304b\u308a\u307e\u305b\u3093\uff08ID: "
      "12\uff09",
      "\u30e6\u30fc\u30b6\u30fc\u300c\u4f50\u85e4\u300d\u304c\u898b\u3064\u304b\u308a\u307e\u305b\u3093\uff08ID: "
      "12\uff09"}},
    {"16: how a process ended",
     "abc",
     {"process exited with code 137", "process exited with code 1", "process killed by signal SIGKILL"}},
    {"17: what a name is set to", "aabc", {"content=/10.1.2.3", "content=/host.example.org", "state=up", "state=down"}},
    {"18: a fourth key",
     "abcda",
     {"cache.ttl set to 5", "cache.size set to 17", "pool.max set to 3", "pool.min set to 4", "cache.ttl set to 99"}},
};

static const kind_case kind_cases[] = {
    /* ---- what is said before the error and after it ---- */
    {"go panic",
     "aab",
     {"panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.main()\n"
      "\t/app/main.go:12 +0x1d\nexit status 2",
      "panic: runtime error: index out of range [17] with length 9\n\ngoroutine 88 [running]:\n"
      "github.com/acme/svc.(*Pool).Get(0xc00001, 0x11)\n\t/src/pool.go:99 +0xff\ncreated by main.start\n"
      "\t/src/main.go:7 +0x12",
      "panic: runtime error: invalid memory address or nil pointer dereference\n"
      "[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x45]\n\ngoroutine 34 [running]:\nmain.f()"}},
    {"java stack with causes",
     "aab",
     {"java.lang.IllegalStateException: Failed to load ApplicationContext\n\tat org.a.Ctx.load(Ctx.java:132)\n\t... 12 "
      "more\nCaused by: java.net.ConnectException: Connection refused\n\tat java.net.Socket.connect(Socket.java:5)",
      "java.lang.IllegalStateException: Failed to load ApplicationContext\n\tat org.b.Other.run(Other.java:9)\n"
      "\tat org.b.Main.main(Main.java:1)",
      "java.lang.NullPointerException: Cannot invoke \"String.length()\" because \"<local1>\" is null\n"
      "\tat Main.main(Main.java:5)"}},
    {"rust panic",
     "aab",
     {"thread 'main' panicked at src/main.rs:14:10:\ncalled `Result::unwrap()` on an `Err` value: Os { code: 2, kind: "
      "NotFound, message: \"No such file or directory\" }\nnote: run with `RUST_BACKTRACE=1` environment variable",
      "thread 'tokio-runtime-worker' panicked at src/net/pool.rs:99:5:\ncalled `Result::unwrap()` on an `Err` value: "
      "Os "
      "{ code: 2, kind: NotFound, message: \"No such file or directory\" }\nnote: run with `RUST_BACKTRACE=1`",
      "thread 'main' panicked at src/main.rs:14:10:\ncalled `Result::unwrap()` on an `Err` value: Os { code: 13, kind: "
      "PermissionDenied, message: \"Permission denied\" }"}},
    {"node prints the source first",
     "aab",
     {"/app/index.js:12\n    foo.bar();\n        ^\n\nTypeError: foo.bar is not a function\n    at Object.<anonymous> "
      "(/app/index.js:12:9)\n    at Module._compile (node:internal/modules/cjs/loader:1358:14)\n\nNode.js v20.1.0",
      "TypeError: foo.bar is not a function\n    at run (/srv/other.js:3:1)",
      "Error: Cannot find module 'express'\nRequire stack:\n- /app/index.js\n    at Module._resolveFilename "
      "(node:x:1:2)"}},
    {"node system errors",
     "aabc",
     {"Error: connect ECONNREFUSED 10.0.0.1:5432\n    at TCPConnectWrap.afterConnect [as oncomplete] "
      "(node:net:1555:16)",
      "Error: connect ECONNREFUSED 127.0.0.1:6379\n    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:99:16)",
      "Error: connect ETIMEDOUT 10.0.0.1:5432\n    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1555:16)",
      "Error: listen EADDRINUSE: address already in use :::3000"}},
    {"chained python tracebacks: the last error",
     "aa",
     {"Traceback (most recent call last):\n  File \"a.py\", line 3, in f\n    x = d['k']\nKeyError: 'k'\n\nDuring "
      "handling "
      "of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"a.py\", "
      "line "
      "9, in <module>\n    raise ConfigError(\"no key\")\nConfigError: the key is not configured",
      "ConfigError: the key is not configured"}},
    {"a python syntax error",
     "aa",
     {"  File \"<string>\", line 1\n    print(\n         ^\nSyntaxError: '(' was never closed",
      "SyntaxError: '(' was never closed"}},
    {"ruby",
     "aa",
     {"app.rb:3:in `load': cannot parse config (ConfigError)\n\tfrom app.rb:7:in `<main>'",
      "lib/other.rb:55:in `boot': cannot parse config (ConfigError)\n\tfrom x.rb:1:in `y'\n\tfrom z.rb:7:in `<main>'"}},
    {"dotnet",
     "aa",
     {"Unhandled exception. System.InvalidOperationException: Sequence contains no elements\n   at "
      "System.Linq.First[T]()"
      "\n   at Program.Main() in /src/Program.cs:line 5",
      "Unhandled exception. System.InvalidOperationException: Sequence contains no elements\n   at X.Y() in "
      "C:\\b\\Y.cs:line 9"}},
    {"a command and what it wrote",
     "aab",
     {"Command failed: git clone https://example.org/a.git\nfatal: repository 'https://example.org/a.git/' not found",
      "Command failed: git clone https://example.org/b/c.git\nfatal: repository 'https://example.org/b/c.git/' not "
      "found",
      "Command failed: git clone https://example.org/a.git\nfatal: could not read Username"}},

    /* ---- JSON, dicts, markup ---- */
    {"google api",
     "aab",
     {"{\"error\":{\"code\":503,\"message\":\"The model is overloaded. Please try again "
      "later.\",\"status\":\"UNAVAILABLE\"}}",
      "{\n  \"error\": {\n    \"status\": \"UNAVAILABLE\",\n    \"message\": \"The model is overloaded. Please try "
      "again "
      "later.\",\n    \"code\": 503\n  }\n}",
      "{\"error\":{\"code\":429,\"message\":\"Resource has been exhausted.\",\"status\":\"RESOURCE_EXHAUSTED\"}}"}},
    {"fastapi",
     "aab",
     {"{\"detail\":[{\"loc\":[\"body\",\"age\"],\"msg\":\"field required\",\"type\":\"value_error.missing\"}]}",
      "{\"detail\":[{\"loc\":[\"body\",\"name\"],\"msg\":\"field required\",\"type\":\"value_error.missing\"}]}",
      "{\"detail\":\"Not authenticated\"}"}},
    {"nest",
     "aab",
     {"{\"statusCode\":404,\"error\":\"Not Found\",\"message\":\"Cannot GET /api/users/17\"}",
      "{\"message\":\"Cannot GET /api/orders/4\",\"error\":\"Not Found\",\"statusCode\":404}",
      "{\"statusCode\":403,\"error\":\"Forbidden\",\"message\":\"Forbidden resource\"}"}},
    {"a code alone",
     "aab",
     {"read failed: {\"code\":\"ECONNRESET\",\"errno\":-104,\"syscall\":\"read\",\"fd\":31}",
      "read failed: {\"errno\":-104,\"code\":\"ECONNRESET\",\"syscall\":\"read\",\"fd\":77}",
      "read failed: {\"code\":\"EPIPE\",\"errno\":-32,\"syscall\":\"write\"}"}},
    {"problem details",
     "aa",
     {"{\"type\":\"https://example.com/probs/out-of-credit\",\"title\":\"You do not have enough "
      "credit.\",\"status\":403,"
      "\"detail\":\"Your balance is 30, but that costs 50.\",\"instance\":\"/account/12345/msgs/abc\"}",
      "{\"type\":\"https://example.com/probs/out-of-credit\",\"title\":\"You do not have enough "
      "credit.\",\"status\":403,"
      "\"detail\":\"Your balance is 3, but that costs 5000.\",\"instance\":\"/account/7/msgs/x\"}"}},
    {"a payload that was echoed says nothing",
     "aaa",
     {"cannot parse body {\"model\":\"small\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]} of the request",
      "cannot parse body {\"name\":\"Alice\",\"n\":5} of the request", "cannot parse body {} of the request"}},
    {"json in json",
     "aab",
     {"upstream said 500 {\"message\":\"{\\\"error\\\":{\\\"code\\\":\\\"E_DISK\\\",\\\"message\\\":\\\"disk 3 "
      "full\\\"}}\"}",
      "upstream said 500 {\"message\":\"{\\\"error\\\":{\\\"code\\\":\\\"E_DISK\\\",\\\"message\\\":\\\"disk 9 "
      "full\\\"}}\"}",
      "upstream said 500 {\"message\":\"{\\\"error\\\":{\\\"code\\\":\\\"E_NET\\\",\\\"message\\\":\\\"no "
      "route\\\"}}\"}"}},
    {"a message of a traceback",
     "aa",
     {"{\"error\":\"Traceback (most recent call last):\\n  File \\\"x.py\\\", line 3, in f\\nValueError: bad width "
      "3\"}",
      "{\"error\":\"Traceback (most recent call last):\\n  File \\\"yy.py\\\", line 93, in g\\n    z()\\nValueError: "
      "bad "
      "width 17\"}"}},
    {"html pages",
     "aab",
     {"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
      "<hr><center>nginx/1.18.0</center>\r\n</body>\r\n</html>",
      "<html>\n<head><title>502 Bad Gateway</title></head>\n<body><hr>cloudflare 7f3a</body></html>",
      "<!DOCTYPE html><html><head><title>504 Gateway Time-out</title></head><body></body></html>"}},
    {"xml of an object store",
     "aab",
     {"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>The specified key does not "
      "exist.</Message><Key>a/b.txt</Key><RequestId>4442587FB7D0A2F9</RequestId></Error>",
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>The specified key does not "
      "exist.</Message><Key>reports/may.csv</Key><RequestId>00FE</RequestId></Error>",
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message>"
      "<RequestId>656c76696e6727732072657175657374</RequestId></Error>"}},

    /* ---- codes, states, methods, signals ---- */
    {"status codes in other words",
     "abca",
     {"server returned 502 for https://example.org/a", "server returned 404 for https://example.org/b",
      "server returned 429 for https://example.org/a", "server returned 502 for https://example.org/cc"}},
    {"a success has no kind by its number",
     "aa",
     {"uploaded part 3, status: 200, 17 bytes", "uploaded part 4, status: 201, 9 bytes"}},
    {"exit codes",
     "abca",
     {"worker 7 died: exit code: 2", "worker 9 died: exit code: 139", "worker 1 died: exit code: 0xC0000005",
      "worker 12 died: exit code: 2"}},
    {"returned non-zero",
     "aab",
     {"Command '['make', 'all']' returned non-zero exit status 2.",
      "Command '['pip', 'install', 'x']' returned non-zero "
      "exit status 2.",
      "Command '['make', 'all']' returned non-zero exit status 127."}},
    {"http in a line", "aab", {"HTTP/1.1 404 Not Found", "HTTP/2 404 Not Found", "HTTP/1.1 500 Internal Server Error"}},
    {"grpc words",
     "aab",
     {"rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial tcp "
      "10.1.1.1:443: connect: connection refused\"",
      "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial tcp "
      "[fd00::1]:8443: i/o timeout\"",
      "rpc error: code = DeadlineExceeded desc = context deadline exceeded"}},
    {"os errors",
     "aab",
     {"[Errno 2] No such file or directory: '/data/a.csv'", "[Errno 2] No such file or directory: 'b.csv'",
      "[Errno 13] Permission denied: '/data/a.csv'"}},
    {"database errors by number",
     "aab",
     {"ERROR 1045 (28000): Access denied for user 'root'@'10.0.0.1' (using password: YES)",
      "ERROR 1045 (28000): Access denied for user 'app'@'db7' (using password: YES)",
      "ERROR 1049 (42000): Unknown database 'shop'"}},
    {"signals",
     "abab",
     {"child 17 got signal 9", "child 17 got signal 11", "child 2 got signal 9", "child 4 got signal 11"}},
    {"aws",
     "aab",
     {"An error occurred (ThrottlingException) when calling the InvokeModel operation (reached max retries: 4): Too "
      "many "
      "requests, please wait before trying again.",
      "An error occurred (ThrottlingException) when calling the InvokeModel operation (reached max retries: 2): Too "
      "many "
      "requests, please wait before trying again.",
      "An error occurred (AccessDeniedException) when calling the InvokeModel operation: no access"}},
    {"aws codes in one sentence stay apart",
     "abcd",
     {"An error occurred (NoSuchBucket) when calling the GetObject operation: see the log",
      "An error occurred (AccessDenied) when calling the GetObject operation: see the log",
      "An error occurred (SlowDown) when calling the GetObject operation: see the log",
      "An error occurred (InternalError) when calling the GetObject operation: see the log"}},
    {"states in quotes",
     "aab",
     {"pod is in phase 'Pending' after 30 s", "pod is in phase 'Pending' after 300 s",
      "pod is in phase 'Failed' after 30 s"}},

    /* ---- values ---- */
    {"ipv6 of any form",
     "aaaaaa",
     {"no route to ::1 today", "no route to fe80::1%eth0 today", "no route to 2001:db8::8a2e:370:7334 today",
      "no route to [2001:db8::1]:443 today", "no route to ::ffff:10.0.0.1 today",
      "no route to 2001:0db8:0000:0000:0000:ff00:0042:8329 today"}},
    {"macs",
     "aaa",
     {"lease of 00-1B-44-11-3A-B7 ended", "lease of de-ad-be-ef-ca-fe ended", "lease of 00:1b:44:11:3a:b7 ended"}},
    {"hex and uuids",
     "aaa",
     {"trace 4bf92f3577b34da6a3ce929d0e0e4736 was dropped", "trace deadbeef was dropped",
      "trace 550e8400-e29b-41d4-a716-446655440000 was dropped"}},
    {"durations",
     "aaaa",
     {"gave up waiting after 1h2m3.5s", "gave up waiting after 350\xc2\xb5s", "gave up waiting after 2 minutes",
      "gave up waiting after 1 minute 3 seconds"}},
    {"windows paths",
     "aaa",
     {"cannot open C:\\Users\\bob\\x.tmp for reading", "cannot open D:\\Program Files\\App\\y.log for reading",
      "cannot open \\\\server\\share\\z for reading"}},
    {"relative paths and places",
     "aa",
     {"src/main.c:14: unused variable found", "lib/deep/other.c:8: unused variable found"}},
    {"masked keys", "aa", {"bad key sk-ab****************yZkY given", "bad key sk-ab***********sF0h given"}},
    {"counts have plurals", "aa", {"1 file has changed since", "17 files has changed since"}},
    {"a quotation is text",
     "aaa",
     {"the model answered `I think it is 42, but I'm not sure` where a tool call was due",
      "the model answered `Sure!` where a tool call was due",
      "the model answered `{\"a\": [1, 2]}` where a tool call was due"}},
    {"a quotation that has no end",
     "aa",
     {"cannot parse output: `first a long story\nof several lines",
      "cannot parse output: `another one that was cut off"}},
    {"german quotes",
     "aaa",
     {"Die Datei \xe2\x80\x9e"
      "Bericht.docx\xe2\x80\x9c konnte nicht ge\xc3\xb6"
      "ffnet werden",
      "Die Datei \xe2\x80\x9eUmsatz 2024.xlsx\xe2\x80\x9c konnte nicht ge\xc3\xb6"
      "ffnet werden",
      "Die Datei \"Plan B\" konnte nicht ge\xc3\xb6"
      "ffnet werden"}},
    {"french quotes",
     "aa",
     {"Impossible d\xe2\x80\x99ouvrir le fichier \xc2\xab rapport.pdf \xc2\xbb : acc\xc3\xa8s refus\xc3\xa9",
      "Impossible d\xe2\x80\x99ouvrir le fichier \xc2\xab mon bilan \xc2\xbb : acc\xc3\xa8s refus\xc3\xa9"}},
    {"chinese",
     "aab",
     {"\u8fde\u63a5\u8d85\u65f6\uff1a\u670d\u52a1\u566810.0.0.5\u572830\u79d2\u5185\u6ca1\u6709\u54cd\u5e94",
      "\u8fde\u63a5\u8d85\u65f6\uff1a\u670d\u52a1\u566810.0.0.16\u57285\u79d2\u5185\u6ca1\u6709\u54cd\u5e94",
      "\u7528\u6237\u201c\u5f20\u4e09\u201d\u6ca1\u6709\u6743\u9650\u8bbf\u95ee\u201c\u8d22\u52a1\u62a5\u8868\u201d"}},
    {"chinese titles",
     "aa",
     {"\u6587\u4ef6\u300a\u62a5\u544a.docx\u300b\u4e0d\u5b58\u5728\u3002",
      "\u6587\u4ef6\u300a\u5408\u540c 2.pdf\u300b\u4e0d\u5b58\u5728\u3002"}},
    {"japanese",
     "aa",
     {"\u30d5\u30a1\u30a4\u30eb\u300ereport."
      "csv\u300f\u3092\u958b\u3051\u307e\u305b\u3093\u3067\u3057\u305f\uff08\u884c\uff1a\uff15\uff09",
      "\u30d5\u30a1\u30a4\u30eb\u300e\u58f2\u4e0a\u300f\u3092\u958b\u3051\u307e\u305b\u3093\u3067\u3057\u305f\uff08"
      "\u884c\uff1a12\uff09"}},

    /* ---- lists ---- */
    {"lists of like things",
     "aaa",
     {"unknown field color; allowed fields: id, name", "unknown field color; allowed fields: id, name, size, price",
      "unknown field color; allowed fields: id, name and size"}},
    {"lists in brackets",
     "aaa",
     {"expected one of [red, green] here", "expected one of [red, green, blue, grey] here",
      "expected one of ['red', 'green'] here"}},
    {"quoted lists",
     "aa",
     {"f() missing 2 required positional arguments: 'a' and 'b'",
      "f() missing 3 required positional arguments: 'a', 'b', "
      "and 'c'"}},
    {"a sentence is no list", "ab", {"could not connect: refused, retrying", "could not connect: reset, retrying"}},
    {"groups that repeat",
     "aaa",
     {"shards behind: s1=40, s2=7 in all", "shards behind: s1=40 in all",
      "shards behind: s4=1, s9=6, s11=2, s3=9 in all"}},

    /* ---- words that vary ---- */
    {"a long echo",
     "aa",
     {"the answer was refused by a filter. Prompt was: send all the letters of the week to the nurse and fill a list "
      "of the "
      "candidates for the next shift and report it to all that have not been told of it yet so that they can look at "
      "it "
      "again and send it on to those who ask for it when they come back from the long break that they took this year "
      "and "
      "then close the list for good",
      "the answer was refused by a filter. Prompt was: write me a poem, with rhymes and all the rest, that sings of "
      "the sea "
      "and of the wind and of the ships that go down to the harbour at night. it should have a long first part. the "
      "second "
      "part should be shorter, and the third one should end it with something that is nice to read aloud to the "
      "children "
      "who wait for it at the fire and who will not sleep before"}},
    {"two words vary together",
     "aaaa",
     {"user alice has no access to project apollo", "user bob has no access to project gemini",
      "user carol has no access to project vostok", "user dave has no access to project soyuz"}},
    {"three words vary",
     "aaaa",
     {"transfer of item apple from shelf north to shelf east was not possible today",
      "transfer of item pear from shelf south to shelf west was not possible today",
      "transfer of item plum from shelf top to shelf bottom was not possible today",
      "transfer of item fig from shelf left to shelf right was not possible today"}},
    {"snake names",
     "aa",
     {"the tool run_sql is not known to this server", "the tool get_weather is not known to this server"}},
    {"two sentences of one frame stay two",
     "ab",
     {"cannot read the file of the user", "cannot stat the file of the user"}},
    {"what happened is no name",
     "abcdea",
     {"the upload of the file was interrupted in step 3", "the upload of the file was cancelled in step 4",
      "the upload of the file was postponed in step 4", "the upload of the file was truncated in step 4",
      "the upload of the file was unexpected in step 5", "the upload of the file was interrupted in step 17"}},
    {"but it is one where names were",
     "aaaa",
     {"user alice has left the room", "user bob has left the room", "user ahmed has left the room",
      "user carol has left the room"}},
    {"exceptions are no values",
     "abcd",
     {"job 5 of the nightly run failed with KeyError", "job 6 of the nightly run failed with ValueError",
      "job 7 of the nightly run failed with TypeError", "job 8 of the nightly run failed with IndexError"}},
    {"what is set is a name",
     "abcde",
     {"cache.size set to 5", "pool.max set to 10", "queue.depth set to 3", "maxRetries set to 4", "timeout set to 9"}},
    {"states of a name",
     "abcd",
     {"health check of node 4 ended with state=up", "health check of node 4 ended with state=down",
      "health check of node 4 ended with state=draining", "health check of node 9 ended with state=paused"}},
    {"levels in capitals",
     "abcd",
     {"the peer is in state LOOKING since 5 s", "the peer is in state LEADING since 5 s",
      "the peer is in state FOLLOWING since 5 s", "the peer is in state OBSERVING since 5 s"}},
    {"kubernetes",
     "aab",
     {"Error from server (NotFound): pods \"web-7d4b9c6f5-x2x1z\" not found",
      "Error from server (NotFound): pods \"api\" not found",
      "Error from server (Forbidden): pods is forbidden: User \"system:serviceaccount:ci:bot\" cannot list resource "
      "\"pods\" in API group \"\" in the namespace \"prod\""}},
    {"back-off",
     "aa",
     {"Back-off restarting failed container web in pod web-7d4b9c6f5-x2x1z_prod(5c31862f-c6da-4bdf-a674-a8eac4f06470)",
      "Back-off restarting failed container web in pod "
      "web-7d4b9c6f5-zzz9q_stage(bfd90cd4-8bb7-4610-a7d2-6543873f90ef)"}},
    {"postgres",
     "aabc",
     {"ERROR: duplicate key value violates unique constraint \"users_email_key\"\nDETAIL: Key (email)=(a@b.example) "
      "already "
      "exists.",
      "ERROR: duplicate key value violates unique constraint \"orders_pkey\"\nDETAIL: Key (id)=(5) already exists.",
      "FATAL: password authentication failed for user \"app\"", "FATAL: sorry, too many clients already"}},
};

/* What clients, databases, clusters and agents say when they fail. */
static const kind_case service_cases[] = {
    {"requests",
     "aab",
     {"404 Client Error: Not Found for url: https://api.example.com/v1/items/17",
      "404 Client Error: Not Found for url: https://api.example.com/v2/users",
      "503 Server Error: Service Unavailable for url: https://api.example.com/v1/items/17"}},
    {"axios",
     "aab",
     {"Request failed with status code 500", "Request failed with status code 500", "timeout of 5000ms exceeded"}},
    {"aiohttp",
     "aa",
     {"Cannot connect to host api:443 ssl:default [Connect call failed ('10.1.2.3', 443)]",
      "Cannot connect to host db.internal:5432 ssl:default [Connect call failed ('10.7.2.3', 5432)]"}},
    {"go http",
     "aabc",
     {"Get \"https://a.example.com/v1\": dial tcp: lookup a.example.com on 10.0.0.2:53: no such host",
      "Get \"http://b.example.org:8080/x\": dial tcp: lookup b.example.org on 10.96.0.10:53: no such host",
      "Get \"https://a.example.com/v1\": x509: certificate signed by unknown authority",
      "Get \"https://a.example.com/v1\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"}},
    {"context length",
     "aa",
     {"This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. Please "
      "reduce the "
      "length of the messages.",
      "This model's maximum context length is 128000 tokens. However, your messages resulted in 131072 tokens. Please "
      "reduce "
      "the length of the messages."}},
    {"deadlocks",
     "aa",
     {"deadlock detected\nDETAIL:  Process 71 waits for ShareLock on transaction 5; blocked by process 9.\nProcess 9 "
      "waits for "
      "ShareLock on transaction 4; blocked by process 71.\nHINT:  See server log for query details.",
      "deadlock detected\nDETAIL:  Process 12345 waits for ShareLock on transaction 881; blocked by process 2."}},
    {"mongo",
     "aa",
     {"E11000 duplicate key error collection: shop.users index: email_1 dup key: { email: \"a@b.example\" }",
      "E11000 duplicate key error collection: shop.users index: email_1 dup key: { email: \"carol@d.example\" }"}},
    {"redis",
     "abcc",
     {"READONLY You can't write against a read only replica.",
      "WRONGTYPE Operation against a key holding the wrong kind of value", "MOVED 3999 127.0.0.1:6381",
      "MOVED 12182 10.0.0.7:6379"}},
    {"mysql",
     "aab",
     {"(1062, \"Duplicate entry '17' for key 'users.email'\")",
      "(1062, \"Duplicate entry 'x@y.example' for key 'PRIMARY'\")",
      "(2006, \"MySQL server has gone away (BrokenPipeError(32, 'Broken pipe'))\")"}},
    {"sqlalchemy",
     "aab",
     {"(psycopg2.OperationalError) could not translate host name \"db\" to address: Name or service not "
      "known\n\n(Background on "
      "this error at: https://sqlalche.me/e/14/e3q8)",
      "(psycopg2.OperationalError) could not translate host name \"db2.internal\" to address: Name or service not "
      "known",
      "(psycopg2.errors.UndefinedColumn) column \"x\" does not exist\nLINE 1: SELECT x FROM y\n               "
      "^\n\n[SQL: SELECT x "
      "FROM y]"}},
    {"playwright",
     "aa",
     {"page.click: Timeout 30000ms exceeded.\nCall log:\n  - waiting for locator('#submit')",
      "page.click: Timeout 5000ms exceeded.\nCall log:\n  - waiting for locator('text=Log in')\n  - locator resolved "
      "to <a>"}},
    {"selenium",
     "aa",
     {"no such element: Unable to locate element: {\"method\":\"css selector\",\"selector\":\"#login\"}\n  (Session "
      "info: "
      "chrome=120.0.6099.109)\nStacktrace:\n#0 0x55d4 <unknown>",
      "no such element: Unable to locate element: {\"method\":\"xpath\",\"selector\":\"//a[1]\"}\n  (Session info: "
      "chrome=121.0)\nStacktrace:\n#0 0x5623 <unknown>\n#1 0x56"}},
    {"git",
     "aab",
     {"error: failed to push some refs to 'git@example.org:a/b.git'",
      "error: failed to push some refs to 'https://example.org/c'",
      "fatal: not a git repository (or any of the parent directories): .git"}},
    {"pip",
     "aa",
     {"ERROR: Could not find a version that satisfies the requirement foo==1.2 (from versions: 1.0, 1.1)",
      "ERROR: Could not find a version that satisfies the requirement bar (from versions: none)"}},
    {"shells",
     "aaa",
     {"bash: line 1: foo: command not found", "bash: line 17: kubectl: command not found",
      "bash: line 2: jq: command not found"}},
    {"imports",
     "aabb",
     {"ModuleNotFoundError: No module named 'yaml'", "ModuleNotFoundError: No module named 'foo.bar'",
      "ImportError: cannot import name 'a' from 'b' (/usr/lib/python3/b.py)",
      "ImportError: cannot import name 'Client' from 'openai' (/srv/openai/__init__.py)"}},
    {"python's own",
     "aabbc",
     {"KeyError: 'user_id'", "KeyError: 'name'", "ValueError: invalid literal for int() with base 10: 'abc'",
      "ValueError: invalid literal for int() with base 10: ''", "IndexError: list index out of range"}},
    {"unicode",
     "aa",
     {"'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
      "'utf-8' codec can't decode byte 0x8b in position 171: invalid start byte"}},
    {"yaml",
     "aa",
     {"mapping values are not allowed here\n  in \"config.yaml\", line 3, column 5",
      "mapping values are not allowed here\n  in "
      "\"/etc/x/y.yml\", line 33, column 15"}},
    {"json of node",
     "aaa",
     {"Unexpected token } in JSON at position 17", "Unexpected token < in JSON at position 0",
      "Unexpected token o in JSON at "
      "position 1"}},
    {"json of newer node",
     "aa",
     {"Unexpected token '<', \"<!DOCTYPE \"... is not valid JSON",
      "Unexpected token 'I', \"Internal S\"... is not valid JSON"}},
    {"system calls of node",
     "aabc",
     {"ENOENT: no such file or directory, open '/app/config.json'",
      "ENOENT: no such file or directory, open '/srv/x y/z'", "EACCES: permission denied, mkdir '/data'",
      "EMFILE: too many open files, open '/tmp/1'"}},
    {"crash loops",
     "aa",
     {"back-off 5m0s restarting failed container=web "
      "pod=web-6d4cf56db6-abcde_prod(1b0fc4d5-7a3e-4d2f-9f1e-3d1f0c9a8b7e)",
      "back-off 40s restarting failed container=web pod=web-77f9-zzzzz_prod(8d0ae7f7-dbfb-4f7b-8d0a-e7f7dbfbff7b)"}},
    {"probes",
     "aabc",
     {"Readiness probe failed: HTTP probe failed with statuscode: 503",
      "Readiness probe failed: HTTP probe failed with statuscode: 503",
      "Readiness probe failed: HTTP probe failed with statuscode: 404",
      "Liveness probe failed: dial tcp 10.1.2.3:80: i/o timeout"}},
    {"images",
     "aa",
     {"Failed to pull image \"registry.example.com/a/b:1.2\": rpc error: code = NotFound desc = manifest unknown",
      "Failed to pull image \"c:latest\": rpc error: code = NotFound desc = manifest unknown"}},
    {"rate limits",
     "aab",
     {"API rate limit exceeded for 203.0.113.7. (But here's the good news: Authenticated requests get a higher rate "
      "limit.)",
      "API rate limit exceeded for 198.51.100.1. (But here's the good news: Authenticated requests get a higher rate "
      "limit.)",
      "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' of service 'maps.example.com' for "
      "consumer "
      "'project_number:123'."}},
    {"websockets",
     "aa",
     {"received 1011 (internal error) keepalive ping timeout; then sent 1011 (internal error) keepalive ping timeout",
      "received 1011 (internal error) keepalive ping timeout; then sent 1011 (internal error) keepalive ping timeout"}},
    {"assertions", "aa", {"AssertionError: expected 3 to equal 4", "AssertionError: expected 17 to equal 0"}},
    {"iteration limits",
     "aa",
     {"Max iterations reached (25) without a final answer", "Max iterations reached (10) without a final answer"}},
    {"roles and cities",
     "aaaa",
     {"no candidate for role nurse in Berlin within 30 km", "no candidate for role cook in Hamburg within 5 km",
      "no candidate for role driver in Bremen within 10 km", "no candidate for role clerk in Essen within 25 km"}},
    {"steps of a plan",
     "aa",
     {"Plan step 3 depends on step 7, which failed", "Plan step 11 depends on step 2, which failed"}},
    {"a tool that raised",
     "aab",
     {"Tool 'search' raised TimeoutError: timed out after 30 s",
      "Tool 'fetch_url' raised TimeoutError: timed out after 5 s", "Tool 'search' raised ValueError: empty query"}},
    {"types that were expected",
     "aab",
     {"arguments of the call are not valid: value is not a valid integer",
      "arguments of the call are not valid: value is not a "
      "valid boolean",
      "arguments of the call are not valid: extra fields are not permitted"}},
    {"validation of several",
     "aab",
     {"2 validation errors for Order\nitems.0.price\n  Input should be a valid number [type=float_type, "
      "input_value='x', "
      "input_type=str]\nname\n  Field required [type=missing, input_value={}, input_type=dict]",
      "1 validation error for User\nage\n  Input should be a valid integer [type=int_type, input_value='y', "
      "input_type=str]",
      "1 validation error for User\nage\n  Value error, too young [type=value_error, input_value=3, input_type=int]"}},
    {"russian",
     "aa",
     {"\u041e\u0448\u0438\u0431\u043a\u0430 \u043f\u0440\u0438 \u0447\u0442\u0435\u043d\u0438\u0438 "
      "\u0444\u0430\u0439\u043b\u0430 "
      "\u00ab\u043e\u0442\u0447\u0451\u0442.pdf\u00bb: \u0441\u0442\u0440\u043e\u043a\u0430 12",
      "\u041e\u0448\u0438\u0431\u043a\u0430 \u043f\u0440\u0438 \u0447\u0442\u0435\u043d\u0438\u0438 "
      "\u0444\u0430\u0439\u043b\u0430 "
      "\u00ab\u0434\u043e\u0433\u043e\u0432\u043e\u0440\u00bb: \u0441\u0442\u0440\u043e\u043a\u0430 3"}},
    {"korean",
     "aa",
     {"\uc0ac\uc6a9\uc790 '\uae40\ucca0\uc218'\uc744(\ub97c) \ucc3e\uc744 \uc218 \uc5c6\uc2b5\ub2c8\ub2e4",
      "\uc0ac\uc6a9\uc790 '\uc774\uc601\ud76c'\uc744(\ub97c) \ucc3e\uc744 \uc218 \uc5c6\uc2b5\ub2c8\ub2e4"}},
    {"spanish",
     "aa",
     {"No se pudo abrir el archivo \u00abinforme 3.pdf\u00bb: permiso denegado",
      "No se pudo abrir el archivo \u00abventas\u00bb: permiso "
      "denegado"}},
    {"terraform",
     "aaa",
     {"Error: creating S3 Bucket (my-logs): BucketAlreadyExists: status code: 409, request id: XYZ1",
      "Error: creating S3 Bucket (build-cache): BucketAlreadyExists: status code: 409, request id: QQ0",
      "Error: creating S3 Bucket (site): BucketAlreadyExists: status code: 409, request id: 77AB"}},
    {"tests that failed",
     "aa",
     {"FAILED tests/test_api.py::test_get - AssertionError: assert 3 == 4", "FAILED tests/unit/test_db.py::test_list - "
                                                                            "AssertionError: assert 17 == 0"}},
    {"constraints of schemas",
     "aaa",
     {"ORA-00001: unique constraint (APP.PK_USERS) violated", "ORA-00001: unique constraint (HR.UQ_MAIL) violated",
      "ORA-00001: unique constraint (SALES.PK_ORDERS) violated"}},
    {"a port at the end of a sentence",
     "aaa",
     {"Error 111 connecting to redis:6379. Connection refused.",
      "Error 111 connecting to 10.0.0.3:6379. Connection refused.",
      "Error 111 connecting to cache-1.internal:6380. Connection refused."}},
    {"unlike things are no list",
     "aa",
     {"bind failed: error code 49 - 80090308: comment: AcceptSecurityContext error, data 52e, v1db1",
      "bind failed: error code 49 - 80090308: comment: AcceptSecurityContext error, data 775, v23f0"}},
    {"a long message but for a word",
     "aa",
     {"The node was low on resource: memory. Threshold quantity: 100Mi, available: 7Ki. Container web was using 5Ki, "
      "request is 0, "
      "has larger consumption of memory.",
      "The node was low on resource: disk. Threshold quantity: 200Mi, available: 9Ki. Container web was using 77Ki, "
      "request is 0, "
      "has larger consumption of disk."}},
    {"times and levels in front",
     "aab",
     {"2026-11-21T07:00:00.123Z ERROR [worker-3] cannot lease job 17",
      "2026-11-22T09:10:11.001Z ERROR [worker-12] cannot lease job 4",
      "2026-11-22T09:10:11.001Z ERROR [worker-12] lease was lost"}},
    {"colours of a terminal",
     "aa",
     {"\x1b[31merror\x1b[0m: cannot find crate foo_1", "\x1b[1;31merror\x1b[0m: cannot find crate foo_22"}},
    {"percent and sizes",
     "aa",
     {"disk usage 97.3% exceeds limit 90% on /dev/sda1 (12.5G free)",
      "disk usage 99% exceeds limit 95% on /dev/nvme0n1p2 (300M free)"}},
    {"money and versions",
     "aa",
     {"balance $12.50 is below $100 for plan v2.1", "balance $0.07 is below $25 for plan v3.0-rc1"}},
    {"retries of some", "aa", {"attempt 2/5 failed, next in 400 ms", "attempt 4/10 failed, next in 3 s"}},
};

/* Lines of programs' logs, and services that say it their own way. */
static const kind_case log_cases[] = {
    {"logfmt",
     "aabc",
     {"level=error msg=\"connection lost\" err=\"dial tcp 10.0.0.1:5432: connect: connection refused\" attempt=3",
      "level=error msg=\"connection lost\" err=\"dial tcp 10.0.0.7:5432: connect: connection refused\" attempt=17",
      "level=error msg=\"connection lost\" err=\"unexpected end of file\" attempt=1",
      "level=error msg=\"cannot write the snapshot\" err=\"disk is full\" attempt=1"}},
    {"a log in JSON",
     "aab",
     {"{\"level\":\"error\",\"ts\":1700000000.1,\"msg\":\"lease of job 17 was lost\",\"caller\":\"x.go:12\"}",
      "{\"level\":\"error\",\"ts\":1700000009.4,\"msg\":\"lease of job 3 was lost\",\"caller\":\"x.go:12\"}",
      "{\"level\":\"error\",\"ts\":1700000009.4,\"msg\":\"no job was found\",\"caller\":\"y.go:7\"}"}},
    {"an error in a log in JSON",
     "aab",
     {"{\"level\":50,\"time\":1,\"err\":{\"type\":\"TypeError\",\"message\":\"x is not a "
      "function\",\"stack\":\"TypeError: x\\n    at "
      "f (/a.js:1:2)\"},\"msg\":\"request failed\"}",
      "{\"level\":50,\"time\":2,\"err\":{\"type\":\"TypeError\",\"message\":\"x is not a "
      "function\",\"stack\":\"TypeError: x\\n    at "
      "g (/b.js:7:2)\"},\"msg\":\"request failed\"}",
      "{\"level\":50,\"time\":3,\"err\":{\"type\":\"RangeError\",\"message\":\"too deep\"},\"msg\":\"request "
      "failed\"}"}},
    {"codes that are words",
     "aabc",
     {"query of user 17 failed, code: P2002", "query of user 3 failed, code: P2002",
      "query of user 3 failed, code: P2025", "query of user 3 failed, code: 42P01"}},
    {"graphql",
     "aab",
     {"{\"errors\":[{\"message\":\"Cannot query field \\\"foo\\\" on type \\\"Query\\\".\",\"extensions\":{\"code\":"
      "\"GRAPHQL_VALIDATION_FAILED\"}}]}",
      "{\"errors\":[{\"message\":\"Cannot query field \\\"bar\\\" on type \\\"User\\\".\",\"extensions\":{\"code\":"
      "\"GRAPHQL_VALIDATION_FAILED\"}}]}",
      "{\"errors\":[{\"message\":\"Not signed in\",\"extensions\":{\"code\":\"UNAUTHENTICATED\"}}]}"}},
    {"details do not stand for the message",
     "aab",
     {"{\"error\":{\"code\":400,\"message\":\"API key not "
      "valid.\",\"status\":\"INVALID_ARGUMENT\",\"details\":[{\"@type\":\"t/ErrorInfo\","
      "\"reason\":\"API_KEY_INVALID\",\"domain\":\"a.example.com\"}]}}",
      "{\"error\":{\"code\":400,\"message\":\"API key not valid.\",\"status\":\"INVALID_ARGUMENT\"}}",
      "{\"error\":{\"code\":400,\"message\":\"Request contains an invalid "
      "argument.\",\"status\":\"INVALID_ARGUMENT\"}}"}},
    {"lines of a log: the one that is an error",
     "aab",
     {"2026-01-02 10:00:00 INFO starting job 5\n2026-01-02 10:00:01 ERROR cannot open the feed of 17\n2026-01-02 "
      "10:00:02 INFO done",
      "2026-01-02 11:00:00 INFO starting job 9\n2026-01-02 11:20:01 ERROR cannot open the feed of 3",
      "2026-01-02 11:00:00 INFO starting job 9\n2026-01-02 11:20:01 ERROR feed is empty"}},
    {"php",
     "aa",
     {"PHP Fatal error:  Uncaught RuntimeException: no rows in /srv/a.php:12\nStack trace:\n#0 {main}\n  thrown in "
      "/srv/a.php on "
      "line 12",
      "PHP Fatal error:  Uncaught RuntimeException: no rows in /srv/b/c.php:99\nStack trace:\n#0 /srv/b/c.php(3): "
      "f()\n#1 {main}\n  "
      "thrown in /srv/b/c.php on line 99"}},
    {"perl",
     "aa",
     {"Can't locate Foo/Bar.pm in @INC at x.pl line 3.", "Can't locate Baz/Qux/Z.pm in @INC at /srv/y.pl line 33."}},
    {"sanitizers",
     "aa",
     {"==17==ERROR: AddressSanitizer: heap-use-after-free on address 0x602000000010 at pc 0x55d\nREAD of size 4 at "
      "0x6020 thread T0\n"
      "    #0 0x55d in main a.c:5",
      "==4242==ERROR: AddressSanitizer: heap-use-after-free on address 0x61f at pc 0x4ff\nWRITE of size 1 at 0x61f "
      "thread T3"}},
    {"compilers",
     "aab",
     {"src/main.rs:5:1: error[E0382]: use of moved value: `x`",
      "src/lib.rs:55:11: error[E0382]: use of moved value: `conn`",
      "src/lib.rs:55:11: error[E0499]: cannot borrow `y` as mutable more than once at a time"}},
    {"typescript",
     "aab",
     {"src/a.ts(12,5): error TS2304: Cannot find name 'foo'.",
      "src/b/c.ts(7,15): error TS2304: Cannot find name 'bar'.",
      "src/b/c.ts(7,15): error TS2339: Property 'x' does not exist on type 'Y'."}},
    {"mail",
     "aab",
     {"550 5.1.1 <bob@example.org>: Recipient address rejected: User unknown in virtual mailbox table",
      "550 5.1.1 <carol.b@example.com>: Recipient address rejected: User unknown in virtual mailbox table",
      "421 4.7.0 Try again later, closing connection."}},
    {"curl",
     "aab",
     {"curl: (7) Failed to connect to localhost port 8080 after 0 ms: Connection refused",
      "curl: (7) Failed to connect to localhost port 3000 after 12 ms: Connection refused",
      "curl: (28) Operation timed out after 30001 milliseconds with 0 bytes received"}},
    {"ssh",
     "aab",
     {"ssh: connect to host 10.0.0.5 port 22: No route to host",
      "ssh: connect to host build7.example.org port 2222: No route to host",
      "git@example.org: Permission denied (publickey)."}},
    {"systemd",
     "aab",
     {"web.service: Main process exited, code=exited, status=1/FAILURE",
      "api.service: Main process exited, code=exited, status=1/FAILURE",
      "web.service: Failed with result 'oom-kill'."}},
    {"apt", "aa", {"E: Unable to locate package foo1", "E: Unable to locate package libbar-2.0"}},
    {"arrow functions and generics",
     "aa",
     {"Cannot cast java.util.List<String> to java.util.Map<K, V> in step 3", "Cannot cast java.util.List<String> to "
                                                                             "java.util.Map<K, V> in step 17"}},
    {"thai and arabic",
     "aabb",
     {"\u0e44\u0e21\u0e48\u0e1e\u0e1a\u0e44\u0e1f\u0e25\u0e4c 'a.txt' 3",
      "\u0e44\u0e21\u0e48\u0e1e\u0e1a\u0e44\u0e1f\u0e25\u0e4c 'b c.txt' 17",
      "\u062e\u0637\u0623 \u0641\u064a \u0627\u0644\u0627\u062a\u0635\u0627\u0644 10.0.0.1",
      "\u062e\u0637\u0623 \u0641\u064a "
      "\u0627\u0644\u0627\u062a\u0635\u0627\u0644 10.7.0.9"}},
    {"emoji and boxes", "aa", {"\u274c build 17 failed \u2014 3 errors", "\u274c build 4 failed \u2014 12 errors"}},
    {"empty and blank", "aab", {"", "   \n\t ", "x"}},
};

/* Lines of the kind that system logs hold, with the same letters. */
static const kind_case line_cases[] = {
    {"spark",
     "aabb",
     {"Running task 3.0 in stage 1.0 (TID 17)", "Running task 12.0 in stage 0.0 (TID 4)", "Found block rdd_2_1 locally",
      "Found block rdd_42_14 locally"}},
    {"spark blocks",
     "aab",
     {"Block broadcast_2 stored as values in memory (estimated size 5.3 KB, free 317.5 KB)",
      "Block broadcast_11 stored as values in memory (estimated size 384.0 B, free 1.2 MB)",
      "Block broadcast_2_piece0 stored as bytes in memory (estimated size 5.3 KB, free 317.5 KB)"}},
    {"openstack requests",
     "aabcc",
     {"10.11.10.1 \"GET /v2/54fadb412c4e40cdbaed9335e4c35a9e/servers/detail HTTP/1.1\" status: 200 len: 1893",
      "10.11.10.2 \"GET /v2/54fadb412c4e40cdbaed9335e4c35a9e/servers/detail HTTP/1.1\" status: 200 len: 7",
      "10.11.10.1 \"DELETE /v2/54f/servers/7 HTTP/1.1\" status: 204 len: 203 time: 0.2",
      "10.11.10.1 \"POST /v2/54f/servers HTTP/1.1\" status: 202 len: 733 time: 0.4",
      "10.11.10.1 \"POST /v2/e97/os-server-external-events HTTP/1.1\" status: 200 len: 380 time: 0.09"}},
    {"openstack instances",
     "aabc",
     {"[instance: b9000564-fe1a-409b-b8cc-1e88b294cd1d] VM Paused (Lifecycle Event)",
      "[instance: 78dc1847-8848-49cc-933e-9239b12c9dcf] VM Paused (Lifecycle Event)",
      "[instance: 78dc1847-8848-49cc-933e-9239b12c9dcf] VM Resumed (Lifecycle Event)",
      "[instance: 78dc1847-8848-49cc-933e-9239b12c9dcf] VM Started (Lifecycle Event)"}},
    {"openstack sizes",
     "aabb",
     {"Total memory: 64172 MB, used: 512.00 MB", "Total memory: 64172 MB, used: 2560.00 MB",
      "memory limit: 96258.00 MB, free: 95746.00 MB", "memory limit: 96258.00 MB, free: 93698.00 MB"}},
    {"machine checks",
     "aabbc",
     {"CE sym 2, at 0x0b85eee0, mask 0x05", "CE sym 20, at 0x1438f9e0, mask 0x40",
      "12 ddr errors(s) detected and corrected on rank 0, symbol 7, bit 5",
      "1 ddr errors(s) detected and corrected on rank 0, symbol 11, bit 4",
      "instruction cache parity error corrected"}},
    {"register dumps",
     "aa",
     {"r00=0x00000001 r01=0x0feea000 r02=0x1eeeeeee r03=0x1", "r04=0x00000001 r05=0x0feea000 r06=0x1eeeeeee r07=0xf"}},
    {"node lists",
     "aaab",
     {"inconsistent nodesets node-31 0x1fffffffe <ok>",
      "inconsistent nodesets node-31 0x1fffffffe <ok> node-0 0xfffffffe <ok>",
      "inconsistent nodesets node-1 0x1fffffffe <ok> node-2 0xfffffffe <ok> node-3 0xfffffffe <ok> node-5 0xff <ok>",
      "Link error on broadcast tree Interconnect-0T00:00:3:2"}},
    {"fans", "aa", {"Fan speeds ( 3552 3534 3375 4354 3515 3479 )", "Fan speeds ( 3552 3534 3375 4299 3515 3479 )"}},
    {"power",
     "abab",
     {"PSU status ( on on )", "PSU status ( off on )", "PSU status ( on on )", "PSU status ( off on )"}},
    {"time daemon",
     "aaab",
     {"synchronized to 10.100.20.250, stratum 3", "synchronized to #7#, stratum 4",
      "synchronized to ntp1.example.org, stratum 2", "kernel time sync enabled 0001"}},
    {"cron",
     "aab",
     {"(root) CMD (run-parts /etc/cron.hourly)", "(root) CMD (run-parts /etc/cron.daily)",
      "(root) MAIL (mailed 17 bytes)"}},
    {"windows servicing",
     "aabc",
     {"Loaded Servicing Stack v6.1.7601.23505 with Core: C:\\Windows\\winsxs\\amd64_stack_31bf_none_681\\cbscore.dll",
      "Loaded Servicing Stack v6.1.7601.17592 with Core: C:\\Windows\\winsxs\\amd64_stack_31bf_none_67b\\cbscore.dll",
      "Failed to get next element [HRESULT = 0x800f080d - CBS_E_MANIFEST_INVALID_ITEM]",
      "Expecting attribute name [HRESULT = 0x800f080d - CBS_E_MANIFEST_INVALID_ITEM]"}},
    {"windows sessions",
     "aab",
     {"Session: 30546173_4262462443 initialized by client WindowsUpdateAgent.",
      "Session: 30546354_3254110936 initialized by client WindowsUpdateAgent.",
      "Read out cached package applicability for package: Package_for_KB2928120~31bf3856ad364e35~amd64~~6.1.1.2, "
      "ApplicableState: 112, CurrentState:112"}},
    {"a laptop",
     "aabbcd",
     {"en0: BSSID changed to 5c:50:15:4c:18:13", "en0: BSSID changed to de:ad:be:ef:ca:fe",
      "ARPT: 620701.011328: AirPort_Brcm43xx::syncPowerState: WWEN[enabled]",
      "ARPT: 639236.211271: AirPort_Brcm43xx::syncPowerState: WWEN[enabled]",
      "Location icon should now be in state 'Active'", "Location icon should now be in state 'Inactive'"}},
    {"a phone",
     "aabb",
     {"acquire lock=233570404, flags=0x1, tag=\"View Lock\", name=com.android.systemui, ws=null, uid=10037, pid=2227",
      "acquire lock=166121161, flags=0x1, tag=\"RILJ_ACK_WL\", name=com.android.phone, ws=null, uid=1001, pid=2626",
      "Skipping AppWindowToken{df0798e token=Token{78af589 ActivityRecord{3b04890 u0 com.t.qt/.Video t761}}} -- going "
      "to hide",
      "Skipping AppWindowToken{9f4ef63 token=Token{a64f992 ActivityRecord{de9231d u0 com.t.qt/.News t761}}} -- going "
      "to hide"}},
    {"codes of other things are values",
     "aaabb",
     {"interceptKey keyCode=24 down=true repeatCount=0", "interceptKey keyCode=164 down=false repeatCount=3",
      "interceptKey keyCode=3 down=true repeatCount=0", "wifi: rssi poll, signal=-65 on en0",
      "wifi: rssi poll, signal=-7 on en0"}},
    {"where it was said",
     "abab",
     {"getRunningAppProcesses: caller 10113 does not hold REAL_GET_TASKS; limiting output",
      "getTasks: caller 10111 does not hold REAL_GET_TASKS; limiting output",
      "getRunningAppProcesses: caller 7 does not hold REAL_GET_TASKS; limiting output",
      "getTasks: caller 99 does not hold REAL_GET_TASKS; limiting output"}},
    {"apache",
     "aab",
     {"jk2_init() Can't find child 1566 in scoreboard", "jk2_init() Can't find child 5 in scoreboard",
      "mod_jk child workerEnv in error state 6"}},
};

#endif
