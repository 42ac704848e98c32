/* Kinds of errors: each text with the kind that a careful reader gives it. */
#include "diagnose/error_kinds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

typedef struct {
  const char *text;
  obs_error_kind kind;
} kind_case;

static const kind_case cases[] = {
    /* ---- no known kind ---- */
    {"", OBS_ERROR_UNKNOWN},
    {"it broke", OBS_ERROR_UNKNOWN},
    {"bedroom", OBS_ERROR_UNKNOWN},
    {"found 401 rows", OBS_ERROR_UNKNOWN},
    {"error: 500 lines were dropped", OBS_ERROR_UNKNOWN},
    {"404 of 500 rows were imported", OBS_ERROR_UNKNOWN},
    {"the batch has 429 members", OBS_ERROR_UNKNOWN},
    {"no roster for city Dayton", OBS_ERROR_UNKNOWN},
    {"Loop detected: tool list_files called 11 times with identical arguments", OBS_ERROR_UNKNOWN},
    {"agent gave up", OBS_ERROR_UNKNOWN},
    {"tests_failed", OBS_ERROR_UNKNOWN},
    {"the shift of 14:00 is not filled", OBS_ERROR_UNKNOWN},
    {"process exited with code 1", OBS_ERROR_UNKNOWN},
    {"cannot open /srv/timeout/permission.txt", OBS_ERROR_UNKNOWN},
    {"see https://example.org/docs/rate-limit", OBS_ERROR_UNKNOWN},
    {"wrong answer: 4 instead of 5", OBS_ERROR_UNKNOWN},
    {"conflicting instructions", OBS_ERROR_UNKNOWN},
    {"Bewerber ohne Führerschein", OBS_ERROR_UNKNOWN},
    {"没有合适的候选人", OBS_ERROR_UNKNOWN},
    {"シフトが埋まりませんでした", OBS_ERROR_UNKNOWN},
    {"la ciudad no tiene turnos", OBS_ERROR_UNKNOWN},
    {"le poste reste vacant", OBS_ERROR_UNKNOWN},
    {"a roomy oompah band", OBS_ERROR_UNKNOWN},
    {"order 4290 was lost", OBS_ERROR_UNKNOWN},

    /* ---- rate limits ---- */
    {"HTTP 429 Too Many Requests", OBS_ERROR_RATE_LIMIT},
    {"rate-limit reached", OBS_ERROR_RATE_LIMIT},
    {"request timed out: rate_limit", OBS_ERROR_RATE_LIMIT},
    {"openai.RateLimitError: slow down", OBS_ERROR_RATE_LIMIT},
    {"Error code: 429 - {'error': {'message': 'You exceeded your current quota, please check your plan and billing "
     "details.', 'code': 'insufficient_quota'}}",
     OBS_ERROR_RATE_LIMIT},
    {"botocore.errorfactory.ThrottlingException: An error occurred", OBS_ERROR_RATE_LIMIT},
    {"{\"status\":429,\"title\":\"no\"}", OBS_ERROR_RATE_LIMIT},
    {"statusCode: 429", OBS_ERROR_RATE_LIMIT},
    {"status_code=429", OBS_ERROR_RATE_LIMIT},
    {"HTTP/1.1 429", OBS_ERROR_RATE_LIMIT},
    {"Monthly quota for this project has been used up", OBS_ERROR_RATE_LIMIT},
    {"Quota exceeded for quota metric 'Read requests'", OBS_ERROR_RATE_LIMIT},
    {"Request was throttled. Expected available in 12 seconds.", OBS_ERROR_RATE_LIMIT},
    {"Zu viele Anfragen, bitte später erneut versuchen", OBS_ERROR_RATE_LIMIT},
    {"Demasiadas solicitudes", OBS_ERROR_RATE_LIMIT},
    {"Trop de requêtes", OBS_ERROR_RATE_LIMIT},
    {"请求过于频繁，请稍后再试", OBS_ERROR_RATE_LIMIT},
    {"リクエストが多すぎます", OBS_ERROR_RATE_LIMIT},
    {"{\"error\":{\"message\":\"input must be sent more slowly\",\"code\":\"rate_limit_exceeded\"}}",
     OBS_ERROR_RATE_LIMIT},

    /* ---- timeouts ---- */
    {"Request timed out after 30 s", OBS_ERROR_TIMEOUT},
    {"context deadline exceeded", OBS_ERROR_TIMEOUT},
    {"HTTP 504", OBS_ERROR_TIMEOUT},
    {"ETIMEDOUT", OBS_ERROR_TIMEOUT},
    {"rpc error: code = DeadlineExceeded desc = late", OBS_ERROR_TIMEOUT},
    {"4 DEADLINE_EXCEEDED: Deadline exceeded after 27.436s, remote_addr=7.213.207.82:28273", OBS_ERROR_TIMEOUT},
    {"httpx.ReadTimeout", OBS_ERROR_TIMEOUT},
    {"litellm.Timeout: APITimeoutError - Request timed out. - timeout value=333.0", OBS_ERROR_TIMEOUT},
    {"java.net.SocketTimeoutException: Read", OBS_ERROR_TIMEOUT},
    {"i/o timeout", OBS_ERROR_TIMEOUT},
    {"Lock wait timeout exceeded; try restarting transaction", OBS_ERROR_TIMEOUT},
    {"canceling statement due to statement timeout", OBS_ERROR_TIMEOUT},
    {"upstream responded with a 504", OBS_ERROR_TIMEOUT},
    {"error 522 from the edge", OBS_ERROR_TIMEOUT},
    {"no response within 20 seconds", OBS_ERROR_TIMEOUT},
    {"Zeitüberschreitung bei der Verbindung zu api.example.org nach 57 Sekunden", OBS_ERROR_TIMEOUT},
    {"Die Anfrage dauerte zu lange", OBS_ERROR_TIMEOUT},
    {"Se agotó el tiempo de espera", OBS_ERROR_TIMEOUT},
    {"tiempo de espera agotado", OBS_ERROR_TIMEOUT},
    {"délai d'attente dépassé", OBS_ERROR_TIMEOUT},
    {"请求超时", OBS_ERROR_TIMEOUT},
    {"タイムアウトしました", OBS_ERROR_TIMEOUT},
    {"Der Server antwortet nicht", OBS_ERROR_TIMEOUT},
    {"El servidor no responde", OBS_ERROR_TIMEOUT},
    {"Erreur : le serveur ne répond pas", OBS_ERROR_TIMEOUT},
    {"服务器无响应", OBS_ERROR_TIMEOUT},
    {"サーバーが応答しません", OBS_ERROR_TIMEOUT},
    {"クォータを超えました", OBS_ERROR_RATE_LIMIT},
    {"no queda espacio en el disco", OBS_ERROR_RESOURCE},

    /* ---- connections ---- */
    {"connect ECONNREFUSED 127.0.0.1:80", OBS_ERROR_REFUSED},
    {"Connection refused", OBS_ERROR_REFUSED},
    {"ConnectionRefusedError", OBS_ERROR_REFUSED},
    {"Remote end closed connection without response", OBS_ERROR_REFUSED},
    {"read: connection reset by peer", OBS_ERROR_REFUSED},
    {"socket hang up", OBS_ERROR_REFUSED},
    {"getaddrinfo ENOTFOUND api.example.org", OBS_ERROR_REFUSED},
    {"getaddrinfo EAI_AGAIN db", OBS_ERROR_REFUSED},
    {"Temporary failure in name resolution", OBS_ERROR_REFUSED},
    {"no healthy upstream", OBS_ERROR_REFUSED},
    {"(503)", OBS_ERROR_REFUSED},
    {"got 502 from the proxy", OBS_ERROR_REFUSED},
    {"Request failed with status code 503", OBS_ERROR_REFUSED},
    {"rpc error: code = Unavailable desc = transport is closing", OBS_ERROR_REFUSED},
    {"14 UNAVAILABLE: failed to connect to all addresses", OBS_ERROR_REFUSED},
    {"HTTPSConnectionPool(host='a.example.net', port=443): Max retries exceeded with url: /hooks/timeout (Caused by "
     "NewConnectionError('<x>: Failed to establish a new connection: [Errno 111] Connection refused'))",
     OBS_ERROR_REFUSED},
    {"BrokenPipeError: [Errno 32]", OBS_ERROR_REFUSED},
    {"could not connect to server", OBS_ERROR_REFUSED},
    {"Verbindung abgelehnt", OBS_ERROR_REFUSED},
    {"Dienst nicht verfügbar", OBS_ERROR_REFUSED},
    {"Conexión rechazada por el servidor", OBS_ERROR_REFUSED},
    {"servicio no disponible", OBS_ERROR_REFUSED},
    {"Connexion refusée", OBS_ERROR_REFUSED},
    {"连接被拒绝", OBS_ERROR_REFUSED},
    {"服务不可用", OBS_ERROR_REFUSED},
    {"接続が拒否されました", OBS_ERROR_REFUSED},

    /* ---- credentials and permissions ---- */
    {"status code 401", OBS_ERROR_AUTH},
    {"permission denied", OBS_ERROR_AUTH},
    {"Error code: 401 - {'error': {'message': 'Incorrect API key provided: sk-p***F0h', 'code': 'invalid_api_key'}}",
     OBS_ERROR_AUTH},
    {"PermissionError: [Errno 13]", OBS_ERROR_AUTH},
    {"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1006)",
     OBS_ERROR_AUTH},
    {"403 Forbidden", OBS_ERROR_AUTH},
    {"password authentication failed for user \"observer\"", OBS_ERROR_AUTH},
    {"jwt expired", OBS_ERROR_AUTH},
    {"The security token included in the request is expired", OBS_ERROR_AUTH},
    {"login required", OBS_ERROR_AUTH},
    {"Acceso denegado para el usuario tarek: credenciales no válidas", OBS_ERROR_AUTH},
    {"Zugriff verweigert", OBS_ERROR_AUTH},
    {"Keine Berechtigung für dieses Projekt", OBS_ERROR_AUTH},
    {"Accès refusé", OBS_ERROR_AUTH},
    {"权限不足", OBS_ERROR_AUTH},
    {"アクセスが拒否されました", OBS_ERROR_AUTH},
    {"認証に失敗しました", OBS_ERROR_AUTH},

    /* ---- resources ---- */
    {"CUDA out of memory", OBS_ERROR_RESOURCE},
    {"No space left on device", OBS_ERROR_RESOURCE},
    {"ENOSPC: no space left on device, write '/tmp/app/out.csv'", OBS_ERROR_RESOURCE},
    {"(sqlite3.OperationalError) database is locked\n[SQL: INSERT INTO steps (id, v) VALUES (?, ?)]",
     OBS_ERROR_RESOURCE},
    {"SQLITE_BUSY: database table is locked", OBS_ERROR_RESOURCE},
    {"pq: deadlock detected", OBS_ERROR_RESOURCE},
    {"FATAL: sorry, too many clients already", OBS_ERROR_RESOURCE},
    {"ERROR 1040 (HY000): Too many connections", OBS_ERROR_RESOURCE},
    {"remaining connection slots are reserved for roles with the SUPERUSER attribute", OBS_ERROR_RESOURCE},
    {"Disk quota exceeded", OBS_ERROR_RESOURCE},
    {"This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
     OBS_ERROR_RESOURCE},
    {"400 {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt is too long: 282318 "
     "tokens > 200000 maximum\"}}",
     OBS_ERROR_RESOURCE},
    {"context_length_exceeded", OBS_ERROR_RESOURCE},
    {"529 {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}",
     OBS_ERROR_RESOURCE},
    {"0/7 nodes are available: 5 Insufficient cpu, 2 node(s) had untolerated taint "
     "{node.kubernetes.io/unreachable: }",
     OBS_ERROR_RESOURCE},
    {"java.lang.OutOfMemoryError: Java heap space", OBS_ERROR_RESOURCE},
    {"Cannot allocate memory", OBS_ERROR_RESOURCE},
    {"OOMKilled", OBS_ERROR_RESOURCE},
    {"Too many open files", OBS_ERROR_RESOURCE},
    {"QueuePool limit of size 5 overflow 10 reached", OBS_ERROR_RESOURCE},
    {"Your credit balance is too low to access the API", OBS_ERROR_RESOURCE},
    {"Could not obtain lock on row in relation \"jobs\"", OBS_ERROR_RESOURCE},
    {"Resource temporarily unavailable", OBS_ERROR_RESOURCE},
    {"Bind for 0.0.0.0:4028 failed: port is already allocated", OBS_ERROR_RESOURCE},
    {"listen EADDRINUSE: address already in use :::3000", OBS_ERROR_RESOURCE},
    {"Kein Speicherplatz mehr auf dem Gerät", OBS_ERROR_RESOURCE},
    {"Die Datenbank ist gesperrt", OBS_ERROR_RESOURCE},
    {"memoria insuficiente", OBS_ERROR_RESOURCE},
    {"mémoire insuffisante", OBS_ERROR_RESOURCE},
    {"内存不足", OBS_ERROR_RESOURCE},
    {"数据库被锁定", OBS_ERROR_RESOURCE},
    {"メモリが不足しています", OBS_ERROR_RESOURCE},

    /* ---- crashes ---- */
    {"panic: runtime error", OBS_ERROR_CRASH},
    {"Segmentation fault", OBS_ERROR_CRASH},
    {"Back-off restarting failed container app in pod web-7c9f", OBS_ERROR_CRASH},
    {"CrashLoopBackOff", OBS_ERROR_CRASH},
    {"process exited with code 137", OBS_ERROR_CRASH},
    {"exit status 139", OBS_ERROR_CRASH},
    {"killed by signal SIGKILL", OBS_ERROR_CRASH},
    {"TypeError: Cannot read properties of undefined (reading 'id')\n    at Layer.handle (/srv/a.js:88:30)",
     OBS_ERROR_CRASH},
    {"java.lang.NullPointerException", OBS_ERROR_CRASH},
    {"HTTP 500", OBS_ERROR_CRASH},
    {"Internal Server Error", OBS_ERROR_CRASH},
    {"AttributeError: 'NoneType' object has no attribute 'get'", OBS_ERROR_CRASH},
    {"IndexError: list index out of range", OBS_ERROR_CRASH},
    {"ZeroDivisionError: division by zero", OBS_ERROR_CRASH},
    {"free(): double free detected in tcache 2\nAborted (core dumped)", OBS_ERROR_CRASH},
    {"Speicherzugriffsfehler", OBS_ERROR_CRASH},
    {"Interner Serverfehler", OBS_ERROR_CRASH},
    {"Error interno del servidor", OBS_ERROR_CRASH},
    {"Erreur interne du serveur", OBS_ERROR_CRASH},
    {"服务器内部错误", OBS_ERROR_CRASH},
    {"内部サーバーエラー", OBS_ERROR_CRASH},

    /* ---- not found ---- */
    {"user not found", OBS_ERROR_NOT_FOUND},
    {"404", OBS_ERROR_NOT_FOUND},
    {"no such file or directory", OBS_ERROR_NOT_FOUND},
    {"Unknown tool: get_weather. Available tools: a, b", OBS_ERROR_NOT_FOUND},
    {"MCP error -32602: Tool run_sql not found", OBS_ERROR_NOT_FOUND},
    {"Tool \"rate_limit_check\" does not exist", OBS_ERROR_NOT_FOUND},
    {"column \"timeout\" does not exist", OBS_ERROR_NOT_FOUND},
    {"FileNotFoundError: [Errno 2]", OBS_ERROR_NOT_FOUND},
    {"Error code: 404 - {'error': {'message': 'The model `gpt-6` does not exist or you do not have access to it.', "
     "'code': 'model_not_found'}}",
     OBS_ERROR_NOT_FOUND},
    {"unknown function: fill_shift", OBS_ERROR_NOT_FOUND},
    {"Method not found", OBS_ERROR_NOT_FOUND},
    {"bash: jq: command not found", OBS_ERROR_NOT_FOUND},
    {"ModuleNotFoundError: No module named 'httpx'", OBS_ERROR_NOT_FOUND},
    {"Error response from daemon: No such container: 79f60e2801ac", OBS_ERROR_NOT_FOUND},
    {"relation \"users\" does not exist\nLINE 1: SELECT * FROM users WHERE id = 9610", OBS_ERROR_NOT_FOUND},
    {"KeyError: 'city'", OBS_ERROR_NOT_FOUND},
    {"Datei nicht gefunden", OBS_ERROR_NOT_FOUND},
    {"Unbekanntes Werkzeug: suche", OBS_ERROR_NOT_FOUND},
    {"El usuario no existe", OBS_ERROR_NOT_FOUND},
    {"archivo no encontrado", OBS_ERROR_NOT_FOUND},
    {"fichier introuvable", OBS_ERROR_NOT_FOUND},
    {"找不到文件", OBS_ERROR_NOT_FOUND},
    {"ユーザー「田中」が見つかりません（ID: 12）", OBS_ERROR_NOT_FOUND},

    /* ---- rejected input ---- */
    {"schema validation failed: name is required", OBS_ERROR_VALIDATION},
    {"1 validation error for ToolCall\nquantity\n  Field required [type=missing, input_value={'name': 'Alice'}]\n    "
     "For further information visit https://errors.pydantic.dev/2.6/v/missing",
     OBS_ERROR_VALIDATION},
    {"Expecting property name enclosed in double quotes: line 57 column 54 (char 2040)", OBS_ERROR_VALIDATION},
    {"Expecting ',' delimiter: line 24 column 58 (char 1249)", OBS_ERROR_VALIDATION},
    {"Could not parse LLM output: `I think the answer is 42.`", OBS_ERROR_VALIDATION},
    {"Unexpected token < in JSON at position 0", OBS_ERROR_VALIDATION},
    {"Unexpected end of JSON input", OBS_ERROR_VALIDATION},
    {"ValueError: invalid literal for int() with base 10: 'x'", OBS_ERROR_VALIDATION},
    {"timeout_ms must be positive", OBS_ERROR_VALIDATION},
    {"HTTP 422", OBS_ERROR_VALIDATION},
    {"413 Request Entity Too Large", OBS_ERROR_VALIDATION},
    {"duplicate key value violates unique constraint \"users_email_key\"", OBS_ERROR_VALIDATION},
    {"field 'permission' is required", OBS_ERROR_VALIDATION},
    {"Die Eingabe ist ungültig", OBS_ERROR_VALIDATION},
    {"El campo nombre es obligatorio", OBS_ERROR_VALIDATION},
    {"Requête invalide : champ manquant", OBS_ERROR_VALIDATION},
    {"参数无效", OBS_ERROR_VALIDATION},
    {"入力が不正です", OBS_ERROR_VALIDATION},

    /* ---- as libraries and services write them ---- */
    {"Rate limit reached for gpt-4o-mini in organization org-x on tokens per min (TPM): Limit 30000",
     OBS_ERROR_RATE_LIMIT},
    {"google.api_core.exceptions.ResourceExhausted: 429 Resource has been exhausted (e.g. check quota).",
     OBS_ERROR_RATE_LIMIT},
    {"You have hit your rate limit. Please wait 30 seconds.", OBS_ERROR_RATE_LIMIT},
    {"API rate limit exceeded for user ID 12345.", OBS_ERROR_RATE_LIMIT},
    {"anthropic.RateLimitError: Error code: 429", OBS_ERROR_RATE_LIMIT},
    {"SlowDown: Please reduce your request rate.", OBS_ERROR_RATE_LIMIT},
    {"Sie haben das Kontingent für heute überschritten", OBS_ERROR_RATE_LIMIT},
    {"Ha superado el límite de solicitudes por minuto", OBS_ERROR_RATE_LIMIT},
    {"Vous avez dépassé votre quota d'appels", OBS_ERROR_RATE_LIMIT},
    {"已超出配额限制", OBS_ERROR_RATE_LIMIT},
    {"1日の利用制限に達しました", OBS_ERROR_RATE_LIMIT},
    {"Read timed out. (read timeout=30)", OBS_ERROR_TIMEOUT},
    {"net/http: request canceled (Client.Timeout exceeded while awaiting headers)", OBS_ERROR_TIMEOUT},
    {"asyncio.exceptions.TimeoutError", OBS_ERROR_TIMEOUT},
    {"psycopg2.errors.QueryCanceled: canceling statement due to statement timeout", OBS_ERROR_TIMEOUT},
    {"Command '['git', 'fetch']' timed out after 60 seconds", OBS_ERROR_TIMEOUT},
    {"Navigation timeout of 30000 ms exceeded", OBS_ERROR_TIMEOUT},
    {"Operation timed out waiting for lock", OBS_ERROR_TIMEOUT},
    {"The operation was aborted due to timeout", OBS_ERROR_TIMEOUT},
    {"upstream request timeout", OBS_ERROR_TIMEOUT},
    {"Task exceeded its time limit of 120 s", OBS_ERROR_TIMEOUT},
    {"Die Verbindung hat das Zeitlimit überschritten", OBS_ERROR_TIMEOUT},
    {"La solicitud tardó demasiado tiempo", OBS_ERROR_TIMEOUT},
    {"La requête a expiré après 30 s (délai dépassé)", OBS_ERROR_TIMEOUT},
    {"等待响应超时（30 秒）", OBS_ERROR_TIMEOUT},
    {"応答がタイムアウトしました（30秒）", OBS_ERROR_TIMEOUT},
    {"context canceled: deadline_exceeded", OBS_ERROR_TIMEOUT},
    {"dial tcp 10.0.0.5:5432: connect: connection refused", OBS_ERROR_REFUSED},
    {"Get \"https://api.example.org/v1\": dial tcp: lookup api.example.org: no such host", OBS_ERROR_REFUSED},
    {"requests.exceptions.ConnectionError: ('Connection aborted.', RemoteDisconnected('Remote end closed connection "
     "without response'))",
     OBS_ERROR_REFUSED},
    {"upstream connect error or disconnect/reset before headers. reset reason: connection failure", OBS_ERROR_REFUSED},
    {"write EPIPE", OBS_ERROR_REFUSED},
    {"Error: read ECONNRESET", OBS_ERROR_REFUSED},
    {"java.net.ConnectException: Connection refused: no further information", OBS_ERROR_REFUSED},
    {"curl: (7) Failed to connect to localhost port 8080 after 0 ms: Couldn't connect to server", OBS_ERROR_REFUSED},
    {"curl: (6) Could not resolve host: api.example.org", OBS_ERROR_REFUSED},
    {"The service is temporarily unavailable, please retry", OBS_ERROR_REFUSED},
    {"redis.exceptions.ConnectionError: Error 111 connecting to redis:6379. Connection refused.", OBS_ERROR_REFUSED},
    {"server closed the connection unexpectedly", OBS_ERROR_REFUSED},
    {"Lost connection to MySQL server during query", OBS_ERROR_REFUSED},
    {"Die Verbindung wurde vom Server zurückgesetzt", OBS_ERROR_REFUSED},
    {"Server nicht erreichbar", OBS_ERROR_REFUSED},
    {"El servidor no está disponible", OBS_ERROR_REFUSED},
    {"Le serveur est indisponible", OBS_ERROR_REFUSED},
    {"目标计算机积极拒绝，无法连接。", OBS_ERROR_REFUSED},
    {"サーバーに接続できませんでした", OBS_ERROR_REFUSED},
    {"TLS handshake failed: EOF", OBS_ERROR_REFUSED},
    {"TLS handshake failed: certificate has expired", OBS_ERROR_AUTH},
    {"SSL handshake with api.example.com failed: self signed certificate in certificate chain", OBS_ERROR_AUTH},
    {"websocket handshake failed: 401 Unauthorized", OBS_ERROR_AUTH},
    {"handshake failed after 10 s: timed out", OBS_ERROR_TIMEOUT},
    {"remote error: tls: handshake failure", OBS_ERROR_REFUSED},
    {"x509: certificate signed by unknown authority", OBS_ERROR_AUTH},
    {"The access token expired", OBS_ERROR_AUTH},
    {"Access to the path '/srv/x' is denied.", OBS_ERROR_AUTH},
    {"User: arn:aws:iam::1:user/bob is not authorized to perform: s3:GetObject", OBS_ERROR_AUTH},
    {"AccessDeniedException: no", OBS_ERROR_AUTH},
    {"fatal: Authentication failed for 'https://example.org/repo.git/'", OBS_ERROR_AUTH},
    {"Permission denied (publickey).", OBS_ERROR_AUTH},
    {"operation not permitted", OBS_ERROR_AUTH},
    {"SSL: certificate verify failed", OBS_ERROR_AUTH},
    {"invalid x-api-key", OBS_ERROR_AUTH},
    {"{\"error\":\"invalid_grant\",\"error_description\":\"Token has been expired or revoked.\"}", OBS_ERROR_AUTH},
    {"Ihr Passwort ist falsch", OBS_ERROR_AUTH},
    {"Sie haben keine Rechte für diese Aktion", OBS_ERROR_AUTH},
    {"No tiene permisos para realizar esta acción", OBS_ERROR_AUTH},
    {"Vous n'avez pas les droits nécessaires", OBS_ERROR_AUTH},
    {"没有访问权限", OBS_ERROR_AUTH},
    {"ログインが必要です", OBS_ERROR_AUTH},
    {"torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", OBS_ERROR_RESOURCE},
    {"std::bad_alloc", OBS_ERROR_RESOURCE},
    {"fork: retry: Resource temporarily unavailable", OBS_ERROR_RESOURCE},
    {"Killed process 71 (python) total-vm: out of memory", OBS_ERROR_RESOURCE},
    {"OSError: [Errno 28] No space left on device", OBS_ERROR_RESOURCE},
    {"write failed: file system full", OBS_ERROR_RESOURCE},
    {"psycopg2.OperationalError: FATAL:  remaining connection slots are reserved for non-replication superuser "
     "connections",
     OBS_ERROR_RESOURCE},
    {"Deadlock found when trying to get lock; try restarting transaction", OBS_ERROR_RESOURCE},
    {"could not serialize access due to concurrent update", OBS_ERROR_RESOURCE},
    {"Another process is holding the lock", OBS_ERROR_RESOURCE},
    {"The input exceeds the model's context window of 32768 tokens", OBS_ERROR_RESOURCE},
    {"Request too large for model: 40000 tokens, max 32000 tokens", OBS_ERROR_RESOURCE},
    {"The model is currently overloaded with other requests", OBS_ERROR_RESOURCE},
    {"There is not enough memory to load the model (needs 12 GiB)", OBS_ERROR_RESOURCE},
    {"Pod was evicted: The node was low on resource: ephemeral-storage", OBS_ERROR_RESOURCE},
    {"Insufficient capacity in zone eu-1", OBS_ERROR_RESOURCE},
    {"Arbeitsspeicher reicht nicht aus", OBS_ERROR_RESOURCE},
    {"Datenbank gesperrt, bitte später erneut versuchen", OBS_ERROR_RESOURCE},
    {"La base de datos está bloqueada", OBS_ERROR_RESOURCE},
    {"La base de données est verrouillée", OBS_ERROR_RESOURCE},
    {"磁盘空间不足", OBS_ERROR_RESOURCE},
    {"数据库连接数过多", OBS_ERROR_RESOURCE},
    {"ディスク容量が不足しています", OBS_ERROR_RESOURCE},
    {"Segmentation fault (core dumped)", OBS_ERROR_CRASH},
    {"thread 'main' panicked at 'index out of bounds: the len is 3 but the index is 7'", OBS_ERROR_CRASH},
    {"RangeError: Maximum call stack size exceeded", OBS_ERROR_CRASH},
    {"ReferenceError: foo is not defined", OBS_ERROR_CRASH},
    {"Exception in thread \"main\" java.lang.ArrayIndexOutOfBoundsException: 5", OBS_ERROR_CRASH},
    {"worker died with signal 11", OBS_ERROR_CRASH},
    {"subprocess exited with code 139", OBS_ERROR_CRASH},
    {"container restarted 7 times in 10 minutes (CrashLoopBackOff)", OBS_ERROR_CRASH},
    {"RecursionError: maximum recursion depth exceeded", OBS_ERROR_CRASH},
    {"TypeError: 'NoneType' object is not subscriptable", OBS_ERROR_CRASH},
    {"{\"status\":\"error\",\"code\":500,\"message\":\"Something went wrong\"}", OBS_ERROR_CRASH},
    {"Ein interner Fehler ist aufgetreten", OBS_ERROR_CRASH},
    {"Se produjo un error interno", OBS_ERROR_CRASH},
    {"Une erreur interne est survenue", OBS_ERROR_CRASH},
    {"程序崩溃", OBS_ERROR_CRASH},
    {"サーバー内部でエラーが発生しました（内部エラー）", OBS_ERROR_CRASH},
    {"ENOENT: no such file or directory, open '/tmp/a.json'", OBS_ERROR_NOT_FOUND},
    {"Unknown tool: search_web", OBS_ERROR_NOT_FOUND},
    {"Tool 'fill_shift' is not available. Available tools are: a, b", OBS_ERROR_NOT_FOUND},
    {"Model 'llama9' not found, try pulling it first", OBS_ERROR_NOT_FOUND},
    {"The requested resource could not be found", OBS_ERROR_NOT_FOUND},
    {"sqlite3.OperationalError: no such table: ops", OBS_ERROR_NOT_FOUND},
    {"Table 'app.users' doesn't exist", OBS_ERROR_NOT_FOUND},
    {"The specified key does not exist.", OBS_ERROR_NOT_FOUND},
    {"NoSuchKey", OBS_ERROR_NOT_FOUND},
    {"Function get_roster is not defined", OBS_ERROR_NOT_FOUND},
    {"tool_not_found: run_sql", OBS_ERROR_NOT_FOUND},
    {"Kein Benutzer mit dieser ID gefunden", OBS_ERROR_NOT_FOUND},
    {"Das Werkzeug \"suche\" ist unbekannt", OBS_ERROR_NOT_FOUND},
    {"La ruta solicitada no existe", OBS_ERROR_NOT_FOUND},
    {"Aucun fichier trouvé", OBS_ERROR_NOT_FOUND},
    {"工具 search 不存在", OBS_ERROR_NOT_FOUND},
    {"指定されたファイルが存在しません", OBS_ERROR_NOT_FOUND},
    {"410 Gone", OBS_ERROR_NOT_FOUND},
    {"JSONDecodeError: Expecting value: line 1 column 1 (char 0)", OBS_ERROR_VALIDATION},
    {"'name' is a required property", OBS_ERROR_VALIDATION},
    {"Input should be a valid integer, unable to parse string as an integer", OBS_ERROR_VALIDATION},
    {"unexpected keyword argument 'city'", OBS_ERROR_VALIDATION},
    {"ERROR: syntax error at or near \"SELEC\"", OBS_ERROR_VALIDATION},
    {"null value in column \"city\" violates not-null constraint", OBS_ERROR_VALIDATION},
    {"Invalid parameter: count must be positive", OBS_ERROR_VALIDATION},
    {"400 Bad Request", OBS_ERROR_VALIDATION},
    {"Unprocessable Entity", OBS_ERROR_VALIDATION},
    {"date is in the wrong format", OBS_ERROR_VALIDATION},
    {"Value '35' is out of allowed range 1..31", OBS_ERROR_VALIDATION},
    {"Additional properties are not allowed ('foo' was unexpected)", OBS_ERROR_VALIDATION},
    {"missing required argument: city", OBS_ERROR_VALIDATION},
    {"Das Feld \"stadt\" fehlt", OBS_ERROR_VALIDATION},
    {"Falsches Format des Datums", OBS_ERROR_VALIDATION},
    {"Formato de fecha incorrecto", OBS_ERROR_VALIDATION},
    {"Le champ « ville » est obligatoire", OBS_ERROR_VALIDATION},
    {"缺少必填字段", OBS_ERROR_VALIDATION},
    {"日付の形式が正しくありません", OBS_ERROR_VALIDATION},
    {"the agent stopped after 12 turns", OBS_ERROR_UNKNOWN},
    {"nobody picked up the phone", OBS_ERROR_UNKNOWN},
    {"3 workers declined the shift", OBS_ERROR_UNKNOWN},
    {"score 0.41 is below 0.80", OBS_ERROR_UNKNOWN},
    {"diff does not apply", OBS_ERROR_UNKNOWN},
    {"test_fill.py::test_city FAILED", OBS_ERROR_UNKNOWN},
    {"the customer hung up after 400 seconds", OBS_ERROR_UNKNOWN},
    {"expected 12 rows, got 11", OBS_ERROR_UNKNOWN},
    {"merge conflict in src/a.c", OBS_ERROR_UNKNOWN},
    {"the answer cites 404 documents", OBS_ERROR_UNKNOWN},
    {"Das Ergebnis ist leer", OBS_ERROR_UNKNOWN},
    {"结果为空", OBS_ERROR_UNKNOWN},
    {"返答が空でした", OBS_ERROR_UNKNOWN},
    {"max turns reached", OBS_ERROR_UNKNOWN},
    {"content_filter: the response was filtered", OBS_ERROR_UNKNOWN},
    {"the judge gave 2 of 5 points", OBS_ERROR_UNKNOWN},
    {"no candidates", OBS_ERROR_UNKNOWN},
    {"Hostname/IP does not match certificate's altnames: Host: a.example.org. is not in the cert's altnames: "
     "DNS:*.example.net",
     OBS_ERROR_AUTH},
    {"Error: 429 Client Error: Too Many Requests for url: https://api.example.org", OBS_ERROR_RATE_LIMIT},
    {"You exceeded your current quota", OBS_ERROR_RATE_LIMIT},
    {"OpenAI API error 429: Request too large? no, rate limited", OBS_ERROR_RATE_LIMIT},
    {"twilio 20429 Too Many Requests", OBS_ERROR_RATE_LIMIT},
    {"{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"This request would exceed your "
     "organization's rate limit\"}}",
     OBS_ERROR_RATE_LIMIT},
    {"您的请求已被限流", OBS_ERROR_RATE_LIMIT},
    {"socket timeout", OBS_ERROR_TIMEOUT},
    {"Gateway Timeout", OBS_ERROR_TIMEOUT},
    {"ReadTimeoutError: HTTPSConnectionPool(host='a', port=443): Read timed out.", OBS_ERROR_TIMEOUT},
    {"tool call exceeded the time limit", OBS_ERROR_TIMEOUT},
    {"La conexión ha excedido el tiempo de espera", OBS_ERROR_TIMEOUT},
    {"Délai d'attente de la connexion dépassé", OBS_ERROR_TIMEOUT},
    {"サーバーからの応答がタイムアウトしました", OBS_ERROR_TIMEOUT},
    {"TimeoutError [ERR_TIMEOUT]: waiting for selector", OBS_ERROR_TIMEOUT},
    {"worker did not respond within 30 s", OBS_ERROR_TIMEOUT},
    {"hard deadline of 60 s passed: DEADLINE_EXCEEDED", OBS_ERROR_TIMEOUT},
    {"ECONNRESET", OBS_ERROR_REFUSED},
    {"Connection to 10.0.0.1 closed by remote host", OBS_ERROR_REFUSED},
    {"could not translate host name \"db\" to address: Name or service not known", OBS_ERROR_REFUSED},
    {"net::ERR_CONNECTION_REFUSED", OBS_ERROR_REFUSED},
    {"net::ERR_NAME_NOT_RESOLVED", OBS_ERROR_REFUSED},
    {"EHOSTUNREACH", OBS_ERROR_REFUSED},
    {"Service Unavailable", OBS_ERROR_REFUSED},
    {"upstream prematurely closed connection while reading response header", OBS_ERROR_REFUSED},
    {"kafka: no brokers available", OBS_ERROR_REFUSED},
    {"Verbindung zum Server verloren", OBS_ERROR_REFUSED},
    {"Se perdió la conexión con la base de datos", OBS_ERROR_REFUSED},
    {"La connexion a été interrompue", OBS_ERROR_REFUSED},
    {"与服务器的连接已断开", OBS_ERROR_REFUSED},
    {"401 Unauthorized", OBS_ERROR_AUTH},
    {"HTTP 403", OBS_ERROR_AUTH},
    {"Forbidden: insufficient scope", OBS_ERROR_AUTH},
    {"The provided API key is not valid", OBS_ERROR_AUTH},
    {"Your account does not have access to this feature", OBS_ERROR_AUTH},
    {"SSL_ERROR_BAD_CERT_DOMAIN", OBS_ERROR_AUTH},
    {"Zugriff auf das Verzeichnis verweigert", OBS_ERROR_AUTH},
    {"credenciales incorrectas", OBS_ERROR_AUTH},
    {"identifiants incorrects", OBS_ERROR_AUTH},
    {"用户名或密码错误", OBS_ERROR_AUTH},
    {"アクセス権がありません", OBS_ERROR_AUTH},
    {"database is locked", OBS_ERROR_RESOURCE},
    {"SQLITE_BUSY", OBS_ERROR_RESOURCE},
    {"ORA-00060: deadlock detected while waiting for resource", OBS_ERROR_RESOURCE},
    {"FATAL: too many clients already", OBS_ERROR_RESOURCE},
    {"context length exceeded: 131073 > 131072", OBS_ERROR_RESOURCE},
    {"maximum context length is 4096 tokens", OBS_ERROR_RESOURCE},
    {"Unable to allocate 2.3 GiB for an array", OBS_ERROR_RESOURCE},
    {"ENOSPC", OBS_ERROR_RESOURCE},
    {"the queue is full", OBS_ERROR_RESOURCE},
    {"MemoryError", OBS_ERROR_RESOURCE},
    {"OOM command not allowed when used memory > 'maxmemory'", OBS_ERROR_RESOURCE},
    {"Der Arbeitsspeicher ist voll", OBS_ERROR_RESOURCE},
    {"No queda espacio en disco", OBS_ERROR_RESOURCE},
    {"Espace disque insuffisant", OBS_ERROR_RESOURCE},
    {"显存不足", OBS_ERROR_RESOURCE},
    {"コンテキスト長を超えています", OBS_ERROR_RESOURCE},
    {"Back-off restarting failed container", OBS_ERROR_CRASH},
    {"CrashLoopBackOff: back-off 5m0s restarting failed container=app", OBS_ERROR_CRASH},
    {"SIGSEGV", OBS_ERROR_CRASH},
    {"Unhandled exception: System.NullReferenceException", OBS_ERROR_CRASH},
    {"UnboundLocalError: local variable 'x' referenced before assignment", OBS_ERROR_CRASH},
    {"Process terminated by signal 9", OBS_ERROR_CRASH},
    {"Das Programm ist abgestürzt", OBS_ERROR_CRASH},
    {"El proceso terminó inesperadamente", OBS_ERROR_CRASH},
    {"Le programme a planté", OBS_ERROR_CRASH},
    {"程序异常退出", OBS_ERROR_CRASH},
    {"プロセスが異常終了しました", OBS_ERROR_CRASH},
    {"Unknown tool: browse", OBS_ERROR_NOT_FOUND},
    {"tool \"browse\" is unknown", OBS_ERROR_NOT_FOUND},
    {"No tool named browse", OBS_ERROR_NOT_FOUND},
    {"model_not_found", OBS_ERROR_NOT_FOUND},
    {"HTTP 404 Not Found", OBS_ERROR_NOT_FOUND},
    {"ENOENT", OBS_ERROR_NOT_FOUND},
    {"ImportError: No module named requests", OBS_ERROR_NOT_FOUND},
    {"command not found: jq", OBS_ERROR_NOT_FOUND},
    {"Unknown command 'fil'", OBS_ERROR_NOT_FOUND},
    {"Ressource nicht gefunden", OBS_ERROR_NOT_FOUND},
    {"No se encontró el recurso", OBS_ERROR_NOT_FOUND},
    {"La page demandée est introuvable", OBS_ERROR_NOT_FOUND},
    {"未知工具：browse", OBS_ERROR_NOT_FOUND},
    {"ツールが見つかりません", OBS_ERROR_NOT_FOUND},
    {"invalid JSON", OBS_ERROR_VALIDATION},
    {"Missing required parameter: 'city'", OBS_ERROR_VALIDATION},
    {"'count' must be an integer", OBS_ERROR_VALIDATION},
    {"Unsupported media type", OBS_ERROR_VALIDATION},
    {"Failed to parse arguments as JSON", OBS_ERROR_VALIDATION},
    {"422 Unprocessable Entity", OBS_ERROR_VALIDATION},
    {"violates foreign key constraint", OBS_ERROR_VALIDATION},
    {"Das Datum hat ein ungültiges Format", OBS_ERROR_VALIDATION},
    {"Entrada no válida", OBS_ERROR_VALIDATION},
    {"Données invalides", OBS_ERROR_VALIDATION},
    {"请求参数不合法", OBS_ERROR_VALIDATION},
    {"必須項目が入力されていません", OBS_ERROR_VALIDATION},
    {"tests_failed", OBS_ERROR_UNKNOWN},
    {"the plan was rejected by the client", OBS_ERROR_UNKNOWN},
    {"bad vibes", OBS_ERROR_UNKNOWN},
    {"skipped", OBS_ERROR_UNKNOWN},
    {"answer was wrong", OBS_ERROR_UNKNOWN},
    {"the driver missed the exit", OBS_ERROR_UNKNOWN},
    {"3 of 40 checks red", OBS_ERROR_UNKNOWN},
    {"The nurse called in sick", OBS_ERROR_UNKNOWN},
    {"budget exceeded by 40 euros", OBS_ERROR_UNKNOWN},
    {"Kunde hat abgelehnt", OBS_ERROR_UNKNOWN},
    {"el cliente canceló", OBS_ERROR_UNKNOWN},
    {"le client a refusé", OBS_ERROR_UNKNOWN},
    {"既に存在します", OBS_ERROR_VALIDATION}, /* the last row of the table: none is left out */
};

static obs_error_kind kind_of(const char *text) {
  return obs_error_kinds_of((obs_str){text, (uint32_t)strlen(text), 0});
}

static void test_texts(void **state) {
  int wrong = 0;
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    obs_error_kind got = kind_of(cases[i].text);
    if (got == cases[i].kind) continue;
    print_error("%s: %s, not %s\n", cases[i].text, obs_error_kind_names[got], obs_error_kind_names[cases[i].kind]);
    wrong++;
  }
  assert_int_equal(wrong, 0);
}

/* All the statuses, in all their usual shapes. */
static void test_statuses(void **state) {
  static const struct {
    int status;
    obs_error_kind kind;
  } statuses[] = {{429, OBS_ERROR_RATE_LIMIT}, {408, OBS_ERROR_TIMEOUT},    {504, OBS_ERROR_TIMEOUT},
                  {524, OBS_ERROR_TIMEOUT},    {502, OBS_ERROR_REFUSED},    {503, OBS_ERROR_REFUSED},
                  {521, OBS_ERROR_REFUSED},    {401, OBS_ERROR_AUTH},       {403, OBS_ERROR_AUTH},
                  {407, OBS_ERROR_AUTH},       {402, OBS_ERROR_RESOURCE},   {423, OBS_ERROR_RESOURCE},
                  {507, OBS_ERROR_RESOURCE},   {529, OBS_ERROR_RESOURCE},   {500, OBS_ERROR_CRASH},
                  {404, OBS_ERROR_NOT_FOUND},  {410, OBS_ERROR_NOT_FOUND},  {400, OBS_ERROR_VALIDATION},
                  {409, OBS_ERROR_VALIDATION}, {415, OBS_ERROR_VALIDATION}, {422, OBS_ERROR_VALIDATION},
                  {200, OBS_ERROR_UNKNOWN},    {302, OBS_ERROR_UNKNOWN}};
  static const char *const shapes[] = {"%d",
                                       "HTTP %d",
                                       "HTTP/2 %d",
                                       "HTTP/1.1 %d",
                                       "HTTP%d",
                                       "http status: %d",
                                       "http_status=%d",
                                       "status=%d",
                                       "status %d.",
                                       "status code: %d",
                                       "statusCode=%d",
                                       "StatusCode: %d",
                                       "Response status code %d",
                                       "{\"status\": %d}",
                                       "{'code': %d}",
                                       "{\"statusCode\":\"%d\"}",
                                       "Error code: %d - {}",
                                       "error %d",
                                       "Error(%d)",
                                       "the call came back with HTTP status code %d from the gateway",
                                       "server returned %d",
                                       "server returned a %d for it",
                                       "responded with %d",
                                       "upstream said: [%d]",
                                       "Received response: %d",
                                       "got a %d"};
  char text[96];
  int wrong = 0;
  (void)state;
  for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
    for (size_t k = 0; k < sizeof(shapes) / sizeof(shapes[0]); k++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
      snprintf(text, sizeof(text), shapes[k], statuses[i].status);
#pragma GCC diagnostic pop
      obs_error_kind got = kind_of(text);
      if (got == statuses[i].kind) continue;
      print_error("%s: %s, not %s\n", text, obs_error_kind_names[got], obs_error_kind_names[statuses[i].kind]);
      wrong++;
    }
  }
  assert_int_equal(wrong, 0);
}

/* Of a long text its beginning and its end are read, what lies between is not; a word that the cut halves is none. */
static void test_long_texts(void **state) {
  static const char last[] = "httpx.ConnectError: [Errno 111] Connection refused";
  char text[4096];
  (void)state;
  for (size_t len = 300; len < sizeof(text); len += 37) {
    memset(text, 'x', sizeof(text));
    for (size_t i = 9; i < sizeof(text); i += 10) text[i] = ' ';
    memcpy(text + len - sizeof(last) + 1, last, sizeof(last) - 1);
    obs_str all = {text, (uint32_t)len, 0};
    assert_int_equal(obs_error_kinds_of(all), OBS_ERROR_REFUSED);
    memset(text + len - sizeof(last) + 1, '.', sizeof(last) - 1);
    memcpy(text + 100, " timed out ", 11);
    assert_int_equal(obs_error_kinds_of(all), OBS_ERROR_TIMEOUT);
    memset(text + 100, '.', 11);
    assert_int_equal(obs_error_kinds_of(all), OBS_ERROR_UNKNOWN);
  }
  memset(text, 'x', sizeof(text));
  memcpy(text + sizeof(text) - OBS_ERROR_KINDS_BYTES - 2, "aftertimeout ", 13); /* the end begins inside of it */
  assert_int_equal(obs_error_kinds_of((obs_str){text, sizeof(text), 0}), OBS_ERROR_UNKNOWN);
}

/* Any bytes: nothing is read beyond the text (the sanitizers watch), and the answer is a kind. */
static void test_any_bytes(void **state) {
  uint32_t seed = 7;
  (void)state;
  for (int round = 0; round < 20000; round++) {
    size_t len = (seed >> 3) % 40;
    char *text = test_malloc(len + 1);
    for (size_t i = 0; i < len; i++) {
      static const char some[] = "4 9tT_\"'/:\xe8\xbf\x9e\xe6\x8e\xa5\xc3\xa9\xe3\x82\xbfim=";
      seed = seed * 1664525 + 1013904223;
      text[i] = seed >> 31 ? some[(seed >> 8) % (sizeof(some) - 1)] : (char)(seed >> 16);
    }
    char *exact = test_malloc(len > 0 ? len : 1);
    memcpy(exact, text, len);
    obs_error_kind got = obs_error_kinds_of((obs_str){exact, (uint32_t)len, 0});
    assert_true(got < OBS_ERROR_KIND_COUNT);
    test_free(exact);
    test_free(text);
  }
}

static void test_deploys(void **state) {
  (void)state;
  assert_true(obs_error_kinds_is_deploy(OBS_STR("ops:deploy/payments")));
  assert_true(obs_error_kinds_is_deploy(OBS_STR("Service.Restarted")));
  assert_true(obs_error_kinds_is_deploy(OBS_STR("feature_flag")));
  assert_true(obs_error_kinds_is_deploy(OBS_STR("db-migration")));
  assert_false(obs_error_kinds_is_deploy(OBS_STR("/v1/employ")));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_texts),     cmocka_unit_test(test_statuses), cmocka_unit_test(test_long_texts),
      cmocka_unit_test(test_any_bytes), cmocka_unit_test(test_deploys),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
