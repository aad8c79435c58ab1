using System.Buffers;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>Forwards TCP connections, and delays what is sent in both directions as a longer way does: pieces wait beside each
/// other.</summary>
internal sealed class DelayingProxy : IAsyncDisposable
{
    private const int PieceBytes = 64 << 10;
    // Beyond it the sender waits.
    private const int MostPieces = 1_024;

    private readonly TcpListener _listener;
    private readonly IPEndPoint _target;
    private readonly TimeSpan _delay;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _accepting;

    /// <summary>Listens.</summary>
    /// <param name="listen">Where.</param>
    /// <param name="target">Where connections go.</param>
    /// <param name="delay">The least delay of each direction.</param>
    public DelayingProxy(IPEndPoint listen, IPEndPoint target, TimeSpan delay)
    {
        (_target, _delay) = (target, delay);
        _listener = new TcpListener(listen);
        _listener.Start();
        _accepting = AcceptAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        _listener.Dispose();
        await _accepting;
        _stopping.Dispose();
    }

    /// <summary>Measures the round trip of a byte through a proxy, in milliseconds: the median of 200.</summary>
    public static async Task<double> MeasureAsync(TimeSpan delay)
    {
        using var echo = new TcpListener(IPAddress.Loopback, 0);
        echo.Start();
        var (target, port) = ((IPEndPoint)echo.LocalEndpoint, Shared.FreePort.Choose());
        await using var proxy = new DelayingProxy(new IPEndPoint(IPAddress.Loopback, port), target, delay);
        using var client = new TcpClient { NoDelay = true };
        await client.ConnectAsync(IPAddress.Loopback, port);
        using var served = await echo.AcceptTcpClientAsync();
        served.NoDelay = true;
        var (piece, took) = (new byte[1], new double[200]);
        for (var round = 0; round < took.Length; round++)
        {
            var began = Stopwatch.GetTimestamp();
            await client.GetStream().WriteAsync(piece);
            await served.GetStream().ReadExactlyAsync(piece);
            await served.GetStream().WriteAsync(piece);
            await client.GetStream().ReadExactlyAsync(piece);
            took[round] = Stopwatch.GetElapsedTime(began).TotalMilliseconds;
        }
        Array.Sort(took);
        return took[took.Length / 2];
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
                _ = ForwardAsync(await _listener.AcceptSocketAsync(_stopping.Token));
        }
        catch (Exception ended) when (ended is OperationCanceledException or ObjectDisposedException or SocketException)
        {
            // It is disposed.
        }
    }

    private async Task ForwardAsync(Socket client)
    {
        using var server = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token);
        using (client)
        {
            client.NoDelay = true;
            try
            {
                await server.ConnectAsync(_target, ending.Token);
                await await Task.WhenAny(PumpAsync(client, server, ending.Token), PumpAsync(server, client, ending.Token));
                await ending.CancelAsync();
            }
            catch (Exception ended) when (ended is SocketException or OperationCanceledException or ObjectDisposedException)
            {
                // One side is gone: the other one is closed.
            }
        }
    }

    private async Task PumpAsync(Socket from, Socket to, CancellationToken ending)
    {
        var pieces = Channel.CreateBounded<(byte[] Bytes, int Length, long At)>(MostPieces);
        var sending = SendAsync();
        try
        {
            while (true)
            {
                var bytes = ArrayPool<byte>.Shared.Rent(PieceBytes);
                var length = await from.ReceiveAsync(bytes.AsMemory(0, PieceBytes), ending);
                if (length == 0)
                    return;
                await pieces.Writer.WriteAsync((bytes, length, Stopwatch.GetTimestamp()), ending);
            }
        }
        finally
        {
            pieces.Writer.TryComplete();
            await sending;
        }

        async Task SendAsync()
        {
            await foreach (var (bytes, length, at) in pieces.Reader.ReadAllAsync(ending))
            {
                if (_delay - Stopwatch.GetElapsedTime(at) is var left && left > TimeSpan.Zero)
                {
                    // A timer cuts off parts of a millisecond.
                    await Task.Delay(TimeSpan.FromMilliseconds(Math.Ceiling(left.TotalMilliseconds)), ending);
                }
                await to.SendAsync(bytes.AsMemory(0, length), ending);
                ArrayPool<byte>.Shared.Return(bytes);
            }
        }
    }
}
