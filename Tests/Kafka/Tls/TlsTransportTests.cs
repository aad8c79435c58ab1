using System.Net;
using System.Net.Sockets;
using OrleansMq.Gateways.Tls;

namespace OrleansMq.Tests.Kafka.Tls;

/// <summary>One computes at a time below TLS: a reader, or the end of the connection. Both at once would damage the process's
/// memory.</summary>
public sealed class TlsTransportTests : IAsyncLifetime
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly TcpClient _client = new() { NoDelay = true };
    private Socket _server = null!;

    public async Task InitializeAsync()
    {
        _listener.Start();
        await _client.ConnectAsync((IPEndPoint)_listener.LocalEndpoint);
        _server = await _listener.AcceptSocketAsync();
    }

    public Task DisposeAsync()
    {
        _server.Dispose();
        _client.Dispose();
        _listener.Dispose();
        return Task.CompletedTask;
    }

    [Fact]
    public async Task End_waits_for_a_reader_that_computes_and_not_for_one_that_waits_for_its_client()
    {
        await using var transport = new TlsTransport(_server);
        await transport.EnterAsync();
        var end = transport.EnterAsync();
        Assert.False(end.IsCompleted);

        var reading = transport.ReadAsync(new byte[10]).AsTask();
        await end.WaitAsync(TimeSpan.FromSeconds(60));

        // What arrives now reaches the reader once the end has computed.
        await _client.GetStream().WriteAsync((byte[])[1, 2, 3]);
        Assert.NotSame(reading, await Task.WhenAny(reading, Task.Delay(TimeSpan.FromMilliseconds(200))));
        transport.Leave();
        Assert.Equal(3, await reading.WaitAsync(TimeSpan.FromSeconds(60)));
        Assert.False(transport.EnterAsync().IsCompleted);
    }

    [Fact]
    public async Task Reader_that_fails_computes_again()
    {
        await using var transport = new TlsTransport(_server);
        await transport.EnterAsync();
        var reading = transport.ReadAsync(new byte[10]).AsTask();
        _client.Client.Close(0);
        await Assert.ThrowsAsync<SocketException>(() => reading.WaitAsync(TimeSpan.FromSeconds(60)));
        var next = transport.EnterAsync();
        Assert.False(next.IsCompleted);
        transport.Leave();
        await next.WaitAsync(TimeSpan.FromSeconds(60));
    }
}
