using System.Diagnostics;
using System.Text.RegularExpressions;
using RabbitMQ.Client;

namespace OrleansMq.Tests.Amqp.Management;

/// <summary><c>deploy/rabbitmqctl</c>, as suites of clients and operators call it.</summary>
public sealed partial class RabbitMqCtlTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly string Script = FindScript();

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-ctl").FullName;
    private ManagedServer _server = null!;

    public async Task InitializeAsync() => _server = await ManagedServer.StartAsync(_directory);

    public async Task DisposeAsync()
    {
        await _server.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Connection_is_found_by_its_name_and_closed_by_its_pid()
    {
        await using var connection = await ConnectAsync("suite-7");
        var closed = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        connection.ConnectionShutdownAsync += (_, shutdown) =>
        {
            closed.TrySetResult($"{shutdown.ReplyCode} {shutdown.ReplyText}");
            return Task.CompletedTask;
        };
        // As RabbitMQ's clients parse it: a process, and properties in Erlang's notation.
        var listed = await DoAsync("list_connections", "--silent", "pid", "client_properties");
        var match = Connection().Match(Assert.Single(listed.TrimEnd('\n').Split('\n')));
        Assert.True(match.Success, listed);
        Assert.Equal("suite-7", match.Groups["name"].Value);
        var port = await DoAsync("list_connections", "-q", "pid", "peer_port");
        Assert.Matches($"^pid\tpeer_port\n{Regex.Escape(match.Groups["pid"].Value)}\t[0-9]+\n$", port);
        await DoAsync("close_connection", match.Groups["pid"].Value, "test \"over\"");
        Assert.Equal("320 CONNECTION_FORCED - test \"over\"", await closed.Task.WaitAsync(Patience));
        Assert.Contains("there is no connection", await FailAsync(65, "close_connection", "<gone.1.0>", "x"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task All_connections_are_closed()
    {
        await using var first = await ConnectAsync("first");
        await using var second = await ConnectAsync("second");
        await using var channel = await first.CreateChannelAsync();
        Assert.EndsWith("(1)\n", await DoAsync("list_channels", "-s", "name"), StringComparison.Ordinal);
        await DoAsync("-p", "other", "close_all_connections", "not these");
        Assert.True(first.IsOpen && second.IsOpen);
        await DoAsync("close_all_connections", "maintenance");
        await UntilAsync(() => Task.FromResult(!first.IsOpen && !second.IsOpen));
    }

    [Fact]
    public async Task Users_hosts_and_permissions_are_made_changed_and_deleted()
    {
        await DoAsync("add_vhost", "v/1 ü", "--description", "a b");
        await DoAsync("add_user", "o'neil \"x\"", "secret");
        Assert.Contains("exists already", await FailAsync(65, "add_user", "o'neil \"x\"", "secret"), StringComparison.Ordinal);
        await DoAsync("set_user_tags", "o'neil \"x\"", "management", "monitoring");
        await DoAsync("change_password", "o'neil \"x\"", "new");
        var whoami = await _server.GetAsync("whoami", "o'neil \"x\":new");
        Assert.Equal(2, whoami.GetProperty("tags").GetArrayLength());
        await DoAsync("set_permissions", "-p", "v/1 ü", "o'neil \"x\"", "^c", "", ".*");
        Assert.Equal("o'neil \"x\"\t^c\t\t.*\n", (await DoAsync("list_permissions", "-s"))
            .Split('\n').Where(static line => line.StartsWith('o')).Single() + "\n");
        await DoAsync("set_topic_permissions", "-p", "v/1 ü", "o'neil \"x\"", "amq.topic", "^w", "^r");
        await DoAsync("set_topic_permissions", "-p", "v/1 ü", "o'neil \"x\"", "events", "^w", "^r");
        await DoAsync("clear_topic_permissions", "-p", "v/1 ü", "o'neil \"x\"", "amq.topic");
        Assert.Equal("events", Assert.Single((await _server.GetAsync("topic-permissions")).EnumerateArray().ToArray())
            .GetProperty("exchange").GetString());
        await DoAsync("clear_topic_permissions", "-p", "v/1 ü", "o'neil \"x\"");
        Assert.Equal(0, (await _server.GetAsync("topic-permissions")).GetArrayLength());
        await DoAsync("clear_permissions", "-p", "v/1 ü", "o'neil \"x\"");
        await DoAsync("delete_user", "o'neil \"x\"");
        await DoAsync("delete_vhost", "v/1 ü");
        Assert.Equal("name\n/\n", await DoAsync("-q", "list_vhosts"));
        Assert.Equal("guest\t[\"administrator\"]\n", await DoAsync("-s", "list_users"));
    }

    [Fact]
    public async Task Policies_and_queues_are_changed()
    {
        await _server.DoAsync(201, "PUT", "queues/%2F/q", "{}");
        await DoAsync("set_policy", "--priority", "3", "--apply-to", "queues", "short", "^q$", "{\"max-length\":5}");
        Assert.Equal("q\tshort\t0\n", await DoAsync("list_queues", "-s", "name", "policy", "messages"));
        await DoAsync("clear_policy", "short");
        Assert.Contains("must be JSON", await FailAsync(64, "set_policy", "p", "^q$", "{"), StringComparison.Ordinal);
        await DoAsync("purge_queue", "q");
        await DoAsync("delete_queue", "q", "--if-empty");
        Assert.Contains("404", await FailAsync(65, "delete_queue", "q"), StringComparison.Ordinal);
        var file = Path.Combine(_directory, "definitions.json");
        await DoAsync("export_definitions", file);
        await DoAsync("import_definitions", file);
    }

    [Fact]
    public async Task What_cannot_be_done_is_refused_by_name()
    {
        await DoAsync("await_startup");
        foreach (var command in new[] { "stop_app", "start_app", "trace_on", "trace_off" })
            Assert.StartsWith($"Error: {command}: the broker ", await FailAsync(65, command), StringComparison.Ordinal);
        Assert.Contains("there is no command", await FailAsync(64, "explode"), StringComparison.Ordinal);
        Assert.Contains("usage: rabbitmqctl add_user", await FailAsync(64, "add_user", "bob"), StringComparison.Ordinal);
        Assert.Contains("there is no column wings", await FailAsync(64, "list_vhosts", "wings"), StringComparison.Ordinal);
        var (code, _, fault) = await RunAsync("http://127.0.0.1:1", "await_startup", "-t", "0");
        Assert.Equal((69, true), (code, fault.Contains("Is the broker up", StringComparison.Ordinal)));
        var (wrong, _, login) = await RunAsync($"http://guest:wrong@{_server.Address.Authority}", "list_users");
        Assert.Equal((65, true), (wrong, login.Contains("401", StringComparison.Ordinal)));
    }

    [GeneratedRegex("^(?<pid><[^>]*>)\t\\[.*\"connection_name\",\"(?<name>[^\"]*)\".*\\]$")]
    private static partial Regex Connection();

    private Task<IConnection> ConnectAsync(string name) => new ConnectionFactory
    {
        HostName = "127.0.0.1",
        Port = _server.AmqpPort,
        AutomaticRecoveryEnabled = false,
    }.Patient().CreateConnectionAsync(name);

    private async Task<string> DoAsync(params string[] arguments)
    {
        var (code, output, fault) = await RunAsync($"http://guest:guest@{_server.Address.Authority}", arguments);
        Assert.True(code == 0, $"{string.Join(' ', arguments)}: {code} {fault}");
        return output;
    }

    private async Task<string> FailAsync(int expected, params string[] arguments)
    {
        var (code, output, fault) = await RunAsync($"http://guest:guest@{_server.Address.Authority}", arguments);
        Assert.Equal((expected, ""), (code, output));
        return fault;
    }

    private static async Task<(int Code, string Output, string Fault)> RunAsync(string address, params string[] arguments)
    {
        var start = new ProcessStartInfo("python3") { RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add(Script);
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        start.Environment["OMQ_AMQP_MANAGEMENT_URL"] = address;
        using var process = Process.Start(start)!;
        var (output, fault) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync().WaitAsync(Patience);
        return (process.ExitCode, await output, await fault);
    }

    private static string FindScript()
    {
        for (var directory = new DirectoryInfo(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            var script = Path.Combine(directory.FullName, "deploy", "rabbitmqctl");
            if (File.Exists(script))
                return script;
        }
        throw new FileNotFoundException("deploy/rabbitmqctl is above the tests.");
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        var deadline = DateTime.UtcNow + Patience;
        while (!await condition())
        {
            Assert.True(DateTime.UtcNow < deadline, "It did not happen in time.");
            await Task.Delay(10);
        }
    }
}
