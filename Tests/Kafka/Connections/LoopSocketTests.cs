using System.Net;
using System.Net.Sockets;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Kafka.Connections.Loops;

namespace OrleansMq.Tests.Kafka.Connections;

/// <summary>Which loop serves a connection, and that nothing is lost when it moves to another.</summary>
public sealed class LoopSocketTests : IDisposable
{
    private const int Small = LoopSocket.SmallBytes, Large = LoopSocket.SmallBytes + 1;

    private readonly ConnectionLoop _home = new(0, EngineLog.Silent);
    private readonly ConnectionLoop _homeWhileSmall = new(1, EngineLog.Silent);
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
        _socket = new LoopSocket(listener.Accept(), _home, _homeWhileSmall) { IsQuick = true };
    }

    public void Dispose()
    {
        _client.Dispose();
        _socket.Dispose();
        _home.Dispose();
        _homeWhileSmall.Dispose();
    }

    [Fact]
    public async Task Connection_moves_to_a_loop_after_small_requests_and_back_after_large_ones()
    {
        await OnLoopAsync(_home, () => Move(Small));
        await OnLoopAsync(_homeWhileSmall, () => Move(Large));
        await OnLoopAsync(_home, () => Move(Small));
        await OnLoopAsync(_homeWhileSmall, () => { });
    }

    [Fact]
    public async Task Connection_with_alternating_request_sizes_stays() => await OnLoopAsync(_home, () =>
        {
        for (var round = 0; round < 5; round++)
        {
            for (var request = 1; request < LoopSocket.MovesAfter; request++)
                Assert.False(_socket.TryMove(Small));
            Assert.False(_socket.TryMove(Large));
        }
        Assert.Equal(_home, _socket.Turn);
    });

    [Fact]
    public async Task Bytes_received_before_a_move_precede_later_ones_and_the_end()
    {
        await OnLoopAsync(_home, () =>
        {
            // The former loop does not notice, since this is its thread.
            _client.Send("hello"u8);
            _client.Shutdown(SocketShutdown.Send);
            Move(Small);
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
    public async Task Receive_waiting_behind_a_move_ends_when_closed()
    {
        await OnLoopAsync(_home, () => Move(Small));
        var receiving = ReceiveAsync();
        _socket.Dispose();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => receiving);
    }

    [Fact]
    public async Task Closed_connection_does_not_move() => await OnLoopAsync(_home, () =>
        {
        _socket.Dispose();
        for (var request = 0; request < 2 * LoopSocket.MovesAfter; request++)
            Assert.False(_socket.TryMove(Small));
    });

    [Fact]
    public async Task Work_left_to_a_loop_is_done_by_another_whose_turn_ends_first()
    {
        var work = new CountedWork();
        using var done = new ManualResetEventSlim();
        await OnLoopAsync(_home, () =>
        {
            _home.Defer(work);
            _home.Defer(work);
            _homeWhileSmall.Post(new Posted(() =>
            {
                _homeWhileSmall.Defer(work);
                _homeWhileSmall.EndTurn();
                done.Set();
            }));
            // This is still the first one's turn.
            Assert.True(done.Wait(KafkaServer.Patience));
            Assert.Equal(1, work.Runs);
            _home.EndTurn();
            Assert.Equal(2, work.Runs);
        });
    }

    // Runs on the thread of the loop that serves the socket, which must be the expected one.
    private async Task OnLoopAsync(ConnectionLoop expected, Action action)
    {
        async Task WhenReceivedAsync(ValueTask<int> receiving)
        {
            Assert.Equal(1, await receiving.ConfigureAwait(false));
            Assert.Equal(expected, _socket.Turn);
            action();
            await LoopExit.Now;
        }
        var receiving = _socket.ReceiveAsync(_received);
        Assert.False(receiving.IsCompleted);
        // It waits before there is anything to receive.
        var done = WhenReceivedAsync(receiving);
        _client.Send("x"u8);
        await done.WaitAsync(KafkaServer.Patience);
    }

    private async Task<int> ReceiveAsync() => await _socket.ReceiveAsync(_received).AsTask().WaitAsync(KafkaServer.Patience);

    private void Move(int requestBytes)
    {
        for (var request = 1; request < LoopSocket.MovesAfter; request++)
            Assert.False(_socket.TryMove(requestBytes));
        Assert.True(_socket.TryMove(requestBytes));
        Assert.Null(_socket.Turn);
    }

    private sealed class CountedWork : ITurnWork
    {
        public int Runs { get; private set; }

        public ConnectionLoop? DeferredBy { get; set; }

        public void Run() => Runs++;
    }

    private sealed class Posted(Action action) : IThreadPoolWorkItem
    {
        public void Execute() => action();
    }
}
