using System.Net;
using System.Net.Sockets;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Connections.Loops;

namespace OrleansMq.Tests.Kafka.Connections;

/// <summary>A socket that a loop serves: what arrives is received on the loop's thread, and nothing is missed.</summary>
public sealed class LoopSocketTests : IDisposable
{
    private readonly ConnectionLoop _loop = new("test-loop", EngineLog.Silent);
    private readonly Socket _client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly LoopSocket _socket;
    private readonly byte[] _received = new byte[100];

    public LoopSocketTests()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        _client.Connect(listener.LocalEndPoint!);
        _client.NoDelay = true;
        _socket = new LoopSocket(listener.Accept(), _loop) { IsQuick = true };
    }

    public void Dispose()
    {
        _client.Dispose();
        _socket.Dispose();
        _loop.Dispose();
    }

    [Fact]
    public async Task Bytes_and_end_that_arrive_while_the_loop_is_busy_are_received_afterwards()
    {
        await OnLoopAsync(() =>
        {
            // The loop learns of neither before this returns: this is its thread.
            _client.Send("hello"u8);
            _client.Shutdown(SocketShutdown.Send);
        });
        for (var count = 0; count < 5;)
        {
            var more = await ReceiveAsync();
            Assert.NotEqual(0, more);
            count += more;
        }
        Assert.Equal(0, await ReceiveAsync());
    }

    [Fact]
    public async Task Receive_that_is_pending_fails_when_the_socket_is_closed()
    {
        var receiving = ReceiveAsync();
        _socket.Dispose();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => receiving);
    }

    [Fact]
    public async Task Deferred_work_runs_once_an_iteration()
    {
        var work = new CountedWork();
        await OnLoopAsync(() =>
        {
            _loop.Defer(work);
            _loop.Defer(work);
            _loop.EndIteration();
            Assert.Equal(1, work.Runs);
            _loop.EndIteration();
            Assert.Equal(1, work.Runs);
            _loop.Defer(work);
            _loop.EndIteration();
            Assert.Equal(2, work.Runs);
        });
    }

    // Runs on the loop's thread.
    private async Task OnLoopAsync(Action action)
    {
        async Task WhenReceivedAsync(ValueTask<int> receiving)
        {
            Assert.Equal(1, await receiving.ConfigureAwait(false));
            Assert.Equal(_loop, _socket.CurrentLoop);
            action();
            await LoopExit.Now;
        }
        var receiving = _socket.ReceiveAsync(_received);
        Assert.False(receiving.IsCompleted);
        // The receive is pending before the byte is sent.
        var done = WhenReceivedAsync(receiving);
        _client.Send("x"u8);
        await done.WaitAsync(KafkaServer.Patience);
        Assert.Null(_socket.CurrentLoop);
    }

    private async Task<int> ReceiveAsync() => await _socket.ReceiveAsync(_received).AsTask().WaitAsync(KafkaServer.Patience);

    private sealed class CountedWork : IDeferredWork
    {
        public int Runs { get; private set; }

        public bool IsDeferred { get; set; }

        public void Run() => Runs++;
    }
}
