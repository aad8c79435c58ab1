using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Fuzz.Wire;

/// <summary>
/// A standalone broker in a process of its own, with users and rules. Clients without a name, and the user <c>mallory</c>, may use the
/// topic <c>orders</c> and some groups. The user <c>good</c> alone may use the topics whose names begin with <c>private</c>.
/// </summary>
internal sealed class BrokerProcess : IAsyncDisposable
{
    /// <summary>The password of the user <c>good</c>.</summary>
    public const string GoodPassword = "good-password";
    /// <summary>The password of the user <c>mallory</c>.</summary>
    public const string MalloryPassword = "mallory-password";

    private const string AdminPassword = "admin-password";
    private const int SigTerm = 15;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly TestCertificateFiles _files = new();
    private readonly TokenIssuer _issuer = new();
    private readonly string _directory = Directory.CreateTempSubdirectory("omq-fuzz-").FullName;
    private readonly List<string> _log = [];
    private readonly TaskCompletionSource<string> _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Process _process;
    private readonly Task _reading;
    private IPEndPoint? _http, _amqp, _management;

    private BrokerProcess()
    {
        var server = _files.Server();
        var program = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory,
            "../../OrleansMq.Silo/release/OrleansMq.Silo.dll"));
        if (!File.Exists(program))
            throw new FileNotFoundException("The broker was not built with this program.", program);
        var start = new ProcessStartInfo("dotnet", [program, "--standalone", "--data", Path.Combine(_directory, "data"),
            "--http", "127.0.0.1:0", "--amqp", "127.0.0.1:0", "--amqp-management", "https://127.0.0.1:0",
            "--kafka", $"PLAINTEXT={Plain},PLAINTEXT", "--kafka", $"SASL={Sasl},SASL_PLAINTEXT", "--kafka", $"SSL={Ssl},SSL",
            "--tls-certificate", server.Certificates[0].File, "--tls-key", server.Certificates[0].KeyFile!,
            "--oauthbearer-jwks", _files.Write("keys.json", _issuer.Keys), "--oauthbearer-issuer", TokenIssuer.Issuer,
            "--oauthbearer-audience", TokenIssuer.Audience, "--auto-create-topics", "false", "--verify-compressed", "true"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        foreach (var inherited in start.Environment.Keys.Where(static name => name.StartsWith("OMQ_", StringComparison.Ordinal)).ToArray())
            start.Environment.Remove(inherited);
        start.Environment["OMQ_ADMIN_PASSWORD"] = AdminPassword;
        _process = Process.Start(start)!;
        _reading = Task.WhenAll(ReadAsync(_process.StandardOutput), ReadAsync(_process.StandardError));
    }

    /// <summary>The port of Kafka's protocol in clear text.</summary>
    public IPEndPoint Plain { get; } = new(IPAddress.Loopback, FreePort.Choose());

    /// <summary>The port of Kafka's protocol where clients authenticate.</summary>
    public IPEndPoint Sasl { get; } = new(IPAddress.Loopback, FreePort.Choose());

    /// <summary>The port of Kafka's protocol with TLS.</summary>
    public IPEndPoint Ssl { get; } = new(IPAddress.Loopback, FreePort.Choose());

    /// <summary>The port of the HTTP API.</summary>
    public IPEndPoint Http => _http!;

    /// <summary>The port of AMQP.</summary>
    public IPEndPoint Amqp => _amqp!;

    /// <summary>The port of RabbitMQ's management API.</summary>
    public IPEndPoint Management => _management!;

    /// <summary>The process has ended.</summary>
    public bool HasExited => _process.HasExited;

    /// <summary>What it takes of the machine.</summary>
    public ProcessState State => ProcessState.Of(_process.Id);

    /// <summary>The lines of its log.</summary>
    public string[] Log
    {
        get
        {
            lock (_log)
                return [.. _log];
        }
    }

    /// <summary>A token of the issuer that the broker trusts, for <c>mallory</c>.</summary>
    public string Token => _issuer.Issue("mallory");

    /// <summary>Starts a broker, and makes users, rules and topics.</summary>
    public static async Task<BrokerProcess> StartAsync()
    {
        var broker = new BrokerProcess();
        try
        {
            await broker.PrepareAsync();
            return broker;
        }
        catch (Exception fault)
        {
            var log = string.Join('\n', broker.Log);
            await broker.DisposeAsync();
            throw new FuzzFailedException($"The broker did not start: {fault.Message}\n{log}", fault);
        }
    }

    /// <summary>A client of the HTTP API that authenticates as a user.</summary>
    public HttpClient Client(string user, string password)
    {
        var client = new HttpClient { BaseAddress = new Uri($"http://{Http}"), Timeout = Patience };
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Basic",
            Convert.ToBase64String(Encoding.UTF8.GetBytes($"{user}:{password}")));
        return client;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _ = Kill(_process.Id, SigTerm);
            try
            {
                await _process.WaitForExitAsync().WaitAsync(Patience);
            }
            catch (TimeoutException)
            {
                _process.Kill(entireProcessTree: true);
            }
        }
        await _reading;
        _process.Dispose();
        _issuer.Dispose();
        _files.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    private async Task PrepareAsync()
    {
        var first = await Task.WhenAny(_ready.Task, _reading).WaitAsync(Patience);
        if (first != _ready.Task)
            throw new InvalidOperationException("it ended instead");
        var fields = (await _ready.Task).Split(' ').Where(static word => word.Contains('=', StringComparison.Ordinal))
            .ToDictionary(static word => word[..word.IndexOf('=', StringComparison.Ordinal)],
                static word => word[(word.IndexOf('=', StringComparison.Ordinal) + 1)..]);
        _http = IPEndPoint.Parse(new Uri(fields["http"]).Authority);
        _amqp = IPEndPoint.Parse(fields["amqp"]);
        _management = IPEndPoint.Parse(new Uri(fields["amqp-management"]).Authority);

        using var admin = Client("admin", AdminPassword);
        await PutAsync(admin, "/api/users/good", $$"""{"password":"{{GoodPassword}}"}""");
        await PutAsync(admin, "/api/users/mallory", $$"""{"password":"{{MalloryPassword}}"}""");
        foreach (var topic in (string[])["orders", "private-kafka", "private-http"])
            await PutAsync(admin, $"/api/topics/{topic}", """{"partitions":1}""");
        var rules = new List<string> { Rule("User:good", "All", "Topic", "private", "Prefixed") };
        foreach (var principal in (string[])["User:ANONYMOUS", "User:mallory"])
        {
            rules.AddRange(((string[])["Read", "Write", "Describe", "DescribeConfigs", "AlterConfigs"])
                .Select(operation => Rule(principal, operation, "Topic", "orders")));
            foreach (var group in (string[])["readers", "modern", "workers", "x"])
                rules.Add(Rule(principal, "All", "Group", group));
            rules.Add(Rule(principal, "All", "TransactionalId", "x"));
            rules.AddRange(((string[])["Describe", "DescribeConfigs", "IdempotentWrite"])
                .Select(operation => Rule(principal, operation, "Cluster", "kafka-cluster")));
        }
        using var body = Json($$"""{"rules":[{{string.Join(',', rules)}}]}""");
        using var answer = await admin.PostAsync("/api/acls", body);
        await RequireAsync(answer);
    }

    private static string Rule(string principal, string operation, string type, string name, string pattern = "Literal") =>
        JsonSerializer.Serialize(new { principal, operation, resourceType = type, resourceName = name, pattern });

    private static async Task PutAsync(HttpClient client, string path, string json)
    {
        using var body = Json(json);
        using var answer = await client.PutAsync(path, body);
        await RequireAsync(answer);
    }

    private static async Task RequireAsync(HttpResponseMessage answer)
    {
        if (!answer.IsSuccessStatusCode)
            throw new InvalidOperationException($"{answer.RequestMessage!.RequestUri}: {answer.StatusCode}, "
                + await answer.Content.ReadAsStringAsync());
    }

    private static StringContent Json(string json) => new(json, Encoding.UTF8, "application/json");

    private async Task ReadAsync(StreamReader output)
    {
        while (await output.ReadLineAsync() is { } line)
        {
            lock (_log)
                _log.Add(line);
            if (line.StartsWith("ready ", StringComparison.Ordinal))
                _ready.TrySetResult(line);
        }
    }

    [DllImport("libc", EntryPoint = "kill")]
    private static extern int Kill(int process, int signal);
}
