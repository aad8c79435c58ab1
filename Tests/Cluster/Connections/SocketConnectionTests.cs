using System.Buffers;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Options;
using Orleans.Networking.Shared;
using OrleansMq.Connections;

namespace OrleansMq.Tests.Cluster.Connections;

/// <summary>A connection as Orleans uses it: bytes in pieces of any size, and every way to end.</summary>
public sealed class SocketConnectionTests : IAsyncLifetime
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);
    private static readonly IOptions<SocketConnectionOptions> Options =
        Microsoft.Extensions.Options.Options.Create(new SocketConnectionOptions());

    private IConnectionListener _listener = null!;
    private ConnectionContext _client = null!;
    private ConnectionContext _server = null!;

    public async Task InitializeAsync()
    {
        _listener = await new SocketListeners(Options).BindAsync(new IPEndPoint(IPAddress.Loopback, 0));
        var accepting = _listener.AcceptAsync();
        _client = await new SocketConnections(Options).ConnectAsync(_listener.EndPoint);
        _server = (await accepting)!;
    }

    public async Task DisposeAsync()
    {
        foreach (var connection in new[] { _client, _server })
        {
            connection.Abort();
            await connection.DisposeAsync();
        }
        await _listener.DisposeAsync();
    }

    [Fact]
    public async Task Bytes_arrive_as_written()
    {
        // Around the block sizes, small after large, and one larger than any block.
        int[] sizes = [1, 4095, 4096, 4097, 65_600, 3, 65_600, 65_600, 65_600, 65_600, 262_144, 17, 5_000_000, 65_600, 1];
        var sent = new byte[sizes.Sum()];
        new Random(7).NextBytes(sent);
        var receiving = ReadAsync(_server, sent.Length);
        var from = 0;
        foreach (var size in sizes)
        {
            Write(_client, sent.AsSpan(from, size));
            await _client.Transport.Output.FlushAsync();
            from += size;
        }
        Assert.Equal(sent, await receiving.WaitAsync(Deadline));
    }

    [Fact]
    public async Task Both_directions_run_concurrently()
    {
        const int Bytes = 8 << 20;
        var both = new[] { (From: _client, To: _server), (From: _server, To: _client) }.Select(async way =>
        {
            var sent = new byte[Bytes];
            new Random(8).NextBytes(sent);
            var receiving = ReadAsync(way.To, Bytes);
            for (var from = 0; from < Bytes; from += 1 << 16)
            {
                Write(way.From, sent.AsSpan(from, 1 << 16));
                await way.From.Transport.Output.FlushAsync();
            }
            Assert.Equal(sent, await receiving);
        });
        await Task.WhenAll(both).WaitAsync(Deadline);
    }

    [Fact]
    public async Task Writer_gets_a_buffer_sized_by_recent_messages()
    {
        const int Message = 65_600;
        var receiving = ReadAsync(_server, 6 * Message);
        for (var number = 0; number < 6; number++)
        {
            // Like Orleans: a few KiB, and the remainder at the end.
            var offered = _client.Transport.Output.GetMemory(4104).Length;
            if (number > 0)
                Assert.True(offered >= Message, $"Message {number} was offered {offered} bytes");
            var first = Math.Min(offered, Message);
            _client.Transport.Output.Advance(first);
            if (first < Message)
            {
                _client.Transport.Output.GetSpan(Message - first);
                _client.Transport.Output.Advance(Message - first);
            }
            await _client.Transport.Output.FlushAsync();
        }
        await receiving.WaitAsync(Deadline);
    }

    [Fact]
    public async Task Bytes_sent_before_the_end_are_read_and_then_the_end()
    {
        Write(_client, [1, 2, 3]);
        await _client.Transport.Output.FlushAsync();
        Assert.Equal([1, 2, 3], await ReadAsync(_server, 3).WaitAsync(Deadline));
        var closed = ClosedAsync(_server);
        _client.Abort();
        await closed.WaitAsync(Deadline);
        await EndAsync(_server).WaitAsync(Deadline);
    }

    [Fact]
    public async Task Abort_ends_a_waiting_read_and_signals_the_close()
    {
        var reading = EndAsync(_client);
        var closed = ClosedAsync(_client);
        _client.Abort();
        await reading.WaitAsync(Deadline);
        await closed.WaitAsync(Deadline);
        await _client.DisposeAsync().AsTask().WaitAsync(Deadline);
    }

    [Fact]
    public async Task Abort_ends_a_send_that_the_peer_does_not_receive()
    {
        // More than both socket buffers hold, without a reader.
        Write(_client, new byte[64 << 20]);
        await _client.Transport.Output.FlushAsync();
        _client.Abort();
        await _client.DisposeAsync().AsTask().WaitAsync(Deadline);
    }

    [Fact]
    public async Task Cancelled_read_returns_and_the_next_one_continues()
    {
        var reading = _server.Transport.Input.ReadAsync();
        _server.Transport.Input.CancelPendingRead();
        Assert.True((await reading).IsCanceled);
        Write(_client, [7]);
        await _client.Transport.Output.FlushAsync();
        Assert.Equal([7], await ReadAsync(_server, 1).WaitAsync(Deadline));
    }

    [Fact]
    public async Task Connecting_to_a_closed_listener_is_refused()
    {
        await _listener.UnbindAsync();
        Assert.Null(await _listener.AcceptAsync());
        var refused = await Assert.ThrowsAsync<UnreachableEndpointException>(async () =>
            await new SocketConnections(Options).ConnectAsync(_listener.EndPoint));
        Assert.Equal($"Unable to connect to {_listener.EndPoint}: ConnectionRefused", $"{refused}");
    }

    [Fact]
    public async Task Address_in_use_is_reported()
    {
        using var other = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        other.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        other.Listen();
        await Assert.ThrowsAsync<AddressInUseException>(async () => await new SocketListeners(Options).BindAsync(other.LocalEndPoint!));
    }

    [Fact]
    public async Task Unbound_listener_ends_a_waiting_accept()
    {
        var accepting = _listener.AcceptAsync().AsTask();
        await _listener.UnbindAsync();
        Assert.Null(await accepting.WaitAsync(Deadline));
    }

    private static void Write(ConnectionContext connection, ReadOnlySpan<byte> bytes) => connection.Transport.Output.Write(bytes);

    private static async Task<byte[]> ReadAsync(ConnectionContext connection, int bytes)
    {
        var input = connection.Transport.Input;
        var read = await input.ReadAtLeastAsync(bytes);
        var result = read.Buffer.Slice(0, bytes).ToArray();
        input.AdvanceTo(read.Buffer.GetPosition(bytes));
        return result;
    }

    // Waits for the connection's end, normal or not.
    private static async Task EndAsync(ConnectionContext connection)
    {
        try
        {
            var read = await connection.Transport.Input.ReadAsync();
            Assert.True(read.IsCompleted || read.IsCanceled);
        }
        catch (Exception ended) when (ended is ConnectionAbortedException or ConnectionResetException or SocketException)
        {
            // Reset by a side that did not linger.
        }
    }

    private static Task ClosedAsync(ConnectionContext connection)
    {
        var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        connection.ConnectionClosed.Register(closed.SetResult);
        return closed.Task;
    }
}
