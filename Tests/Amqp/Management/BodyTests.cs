using System.Net.Sockets;
using System.Text;
using OrleansMq.Gateways.Connections;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Amqp.Management;

/// <summary>How large the bodies of requests may be, and when they are read.</summary>
public sealed class BodyTests : IDisposable
{
    private const string Guest = "guest:guest";
    private const int MaxBodyBytes = 1 << 20;
    private const int MaxImportBytes = 64 << 20;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-bodies").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [InlineData(null)]
    [InlineData("guest:wrong")]
    [InlineData("bob:p")]
    public async Task Client_that_may_not_import_is_refused_before_its_body_is_read(string? login)
    {
        await using var server = await ManagedServer.StartAsync(_directory);
        await server.DoAsync(201, "PUT", "users/bob", """{"password":"p","tags":"management"}""");
        using var client = await OpenAsync(server, "POST", "definitions", login,
            $"Expect: 100-continue\r\nContent-Length: {MaxImportBytes}\r\n");
        // A server that reads the body answers 100 first.
        Assert.StartsWith("HTTP/1.1 401", await ReadUntilAsync(client, "\r\n\r\n"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("PUT", "users/bob")]
    [InlineData("PUT", "policies/%2F/p")]
    [InlineData("PUT", "vhost-limits/%2F/max-queues")]
    [InlineData("PUT", "exchanges/%2F/e")]
    [InlineData("PUT", "queues/%2F/q")]
    [InlineData("POST", "bindings/%2F/e/amq.topic/q/q")]
    [InlineData("POST", "exchanges/%2F/amq.default/publish")]
    [InlineData("POST", "queues/%2F/q/get")]
    public async Task Body_that_is_no_import_has_1_MiB(string method, string path)
    {
        await using var server = await ManagedServer.StartAsync(_directory);
        using var client = await OpenAsync(server, method, path, Guest, $"Content-Length: {MaxBodyBytes + 1}\r\n");
        var answer = await ReadUntilAsync(client, "}");
        Assert.StartsWith("HTTP/1.1 413", answer, StringComparison.Ordinal);
        Assert.Contains($"body: has more than {MaxBodyBytes} bytes", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Body_of_the_most_bytes_is_taken_and_one_without_a_length_that_has_more_is_not()
    {
        await using var server = await ManagedServer.StartAsync(_directory);
        await server.DoAsync(201, "PUT", "queues/%2F/q", "{}".PadRight(MaxBodyBytes));
        using var client = await OpenAsync(server, "PUT", "queues/%2F/r", Guest, "Transfer-Encoding: chunked\r\n");
        await SendAsync(client, $"{MaxBodyBytes + 1:x}\r\n{"{}".PadRight(MaxBodyBytes + 1)}");
        Assert.StartsWith("HTTP/1.1 413", await ReadUntilAsync(client, "}"), StringComparison.Ordinal);
        await server.DoAsync(404, "GET", "queues/%2F/r");
    }

    [Fact]
    public async Task Import_may_be_larger()
    {
        await using var server = await ManagedServer.StartAsync(_directory);
        await server.DoAsync(204, "POST", "definitions", "{}".PadRight(2 * MaxBodyBytes));
        Assert.Equal(0, server.Management.Imports.Used);
        using var client = await OpenAsync(server, "POST", "definitions", Guest, $"Content-Length: {MaxImportBytes + 1}\r\n");
        var answer = await ReadUntilAsync(client, "}");
        Assert.StartsWith("HTTP/1.1 413", answer, StringComparison.Ordinal);
        Assert.Contains("import the definitions in parts", answer, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Imports_share_their_memory_until_they_are_carried_out()
    {
        await using var server = await ManagedServer.StartAsync(_directory, static options => options with { MaxImportBytes = 100_000 });
        using var slow = await OpenAsync(server, "POST", "definitions", Guest, "Content-Length: 70000\r\n");
        await SendAsync(slow, "{".PadRight(60_000));
        using (var deadline = new CancellationTokenSource(Patience))
        {
            while (server.Management.Imports.Used < 60_000)
                await Task.Delay(1, deadline.Token);
        }
        Assert.Contains("retry", await server.DoAsync(503, "POST", "definitions", "{}".PadRight(50_000)), StringComparison.Ordinal);
        await server.DoAsync(204, "POST", "definitions", "{}".PadRight(30_000));
        await SendAsync(slow, "}".PadLeft(10_000));
        Assert.StartsWith("HTTP/1.1 204", await ReadUntilAsync(slow, "\r\n\r\n"), StringComparison.Ordinal);
        Assert.Equal(0, server.Management.Imports.Used);
        await server.DoAsync(204, "POST", "definitions", "{}".PadRight(50_000));
    }

    [Fact]
    public async Task Large_bodies_wait_for_the_memory_of_their_objects_are_refused_later_and_give_it_back()
    {
        var time = new ManualClock();
        await using var server = await ManagedServer.StartAsync(_directory, options => options with { TimeProvider = time });
        // More than the budget, which one body may have alone.
        using (await server.Management.Parsed.TryTakeAsync(MaxImportBytes, default))
        {
            await server.DoAsync(201, "PUT", "queues/%2F/small", "{}".PadRight(ParsedBodies.FreeBytes - 1));
            foreach (var (method, path) in new[] { ("PUT", "queues/%2F/large"), ("POST", "definitions") })
            {
                var refused = server.DoAsync(503, method, path, "{}".PadRight(ParsedBodies.FreeBytes));
                using (var deadline = new CancellationTokenSource(Patience))
                {
                    while (server.Management.Parsed.Waiting == 0)
                        await Task.Delay(1, deadline.Token);
                }
                time.Advance(ParsedBodies.MostWait);
                Assert.Contains("retry", await refused, StringComparison.Ordinal);
            }
        }
        await server.DoAsync(201, "PUT", "queues/%2F/large", "{}".PadRight(ParsedBodies.FreeBytes));
        using var patience = new CancellationTokenSource(Patience);
        while (server.Management.Parsed.Used > 0)
            await Task.Delay(1, patience.Token);
    }

    private static async Task<TcpClient> OpenAsync(ManagedServer server, string method, string path, string? login, string headers)
    {
        var client = new TcpClient();
        await client.ConnectAsync("127.0.0.1", server.Address.Port);
        var credentials = login is null ? ""
            : $"Authorization: Basic {Convert.ToBase64String(Encoding.UTF8.GetBytes(login))}\r\n";
        await SendAsync(client, $"{method} /api/{path} HTTP/1.1\r\nHost: localhost\r\n{credentials}{headers}\r\n");
        return client;
    }

    private static async Task SendAsync(TcpClient client, string text) =>
        await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(text)).AsTask().WaitAsync(Patience);

    private static async Task<string> ReadUntilAsync(TcpClient client, string end)
    {
        var answer = "";
        var buffer = new byte[4_096];
        while (!answer.Contains(end, StringComparison.Ordinal))
        {
            var read = await client.GetStream().ReadAsync(buffer).AsTask().WaitAsync(Patience);
            Assert.True(read > 0, $"The answer ends early: '{answer}'.");
            answer += Encoding.ASCII.GetString(buffer, 0, read);
        }
        return answer;
    }
}
