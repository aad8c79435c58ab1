using System.Net;
using System.Net.Sockets;

namespace OrleansMq.Tests.Chaos.Network;

/// <summary>
/// Stands where a silo says that it listens, and hands connections on to where it does: each by way of the link between the silo it came
/// from and this one. While the silo refuses connections so does the proxy, for to the others that is the proof that it is dead.
/// </summary>
internal sealed class SiloProxy : IAsyncDisposable
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);
    // The list is read in pieces while it changes, so that an entry may be missed.
    private const int Misses = 2;

    private readonly IPEndPoint _advertised;
    private readonly IPEndPoint _actual;
    private readonly Func<IPEndPoint, IPEndPoint, Link> _linkOf;
    private readonly CancellationTokenSource _stop = new();
    private readonly Thread _watcher;

    /// <param name="advertised">Where the others look for the silo.</param>
    /// <param name="actual">Where it listens.</param>
    /// <param name="linkOf">The link of a connection, by its two ends as the one who connected sees them.</param>
    public SiloProxy(IPEndPoint advertised, IPEndPoint actual, Func<IPEndPoint, IPEndPoint, Link> linkOf)
    {
        (_advertised, _actual, _linkOf) = (advertised, actual, linkOf);
        // A thread of its own: one that is late, since silos that start keep the pool's waiting, is late to listen, and that proves a silo
        // dead that has just come up.
        _watcher = new Thread(Watch) { IsBackground = true, Name = $"proxy of {actual}" };
        _watcher.Start();
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.Run(_watcher.Join);
        _stop.Dispose();
    }

    private void Watch()
    {
        while (!_stop.IsCancellationRequested)
        {
            if (IsListening())
                Serve();
            else
                _stop.Token.WaitHandle.WaitOne(Poll);
        }
    }

    /// <summary>Hands connections on until the silo does not listen any more.</summary>
    private void Serve()
    {
        using var listener = new TcpListener(_advertised);
        listener.Start();
        using var over = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        var accepting = AcceptAsync(listener, over.Token);
        for (var missed = 0; missed < Misses && !_stop.IsCancellationRequested; missed = IsListening() ? 0 : missed + 1)
            _stop.Token.WaitHandle.WaitOne(Poll);
        over.Cancel();
        accepting.GetAwaiter().GetResult();
    }

    private async Task AcceptAsync(TcpListener listener, CancellationToken over)
    {
        try
        {
            while (true)
            {
                var accepted = await listener.AcceptSocketAsync(over);
                _ = Task.Run(() => HandOnAsync(accepted), CancellationToken.None);
            }
        }
        catch (OperationCanceledException)
        {
            // Nobody listens behind it any more.
        }
    }

    /// <summary>Without a trace in the silo: a process that is alive has the port bound, one that is stopped too.</summary>
    private bool IsListening()
    {
        var port = $"{_actual.Port:X4}";
        var address = Convert.ToHexString([.. _actual.Address.GetAddressBytes().Reverse()]);
        var entry = $": {address}:{port} 00000000:0000 0A ";
        return File.ReadAllText("/proc/net/tcp").Contains(entry, StringComparison.Ordinal);
    }

    private async Task HandOnAsync(Socket client)
    {
        using var server = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        using (client)
        {
            client.NoDelay = true;
            var link = _linkOf((IPEndPoint)client.RemoteEndPoint!, _advertised);
            using var end = CancellationTokenSource.CreateLinkedTokenSource(link.Reset, _stop.Token);
            try
            {
                await link.Open.WaitAsync(end.Token);
                await server.ConnectAsync(_actual, end.Token);
                var there = PumpAsync(client, server, link, end.Token);
                var back = PumpAsync(server, client, link, end.Token);
                await await Task.WhenAny(there, back);
                await end.CancelAsync();
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException)
            {
                // A reset on one side is one on the other.
                client.LingerState = new LingerOption(true, 0);
                server.LingerState = new LingerOption(true, 0);
            }
        }
    }

    /// <summary>Ends when the sender has ended.</summary>
    private static async Task PumpAsync(Socket from, Socket to, Link link, CancellationToken end)
    {
        var piece = new byte[64 << 10];
        for (int read; (read = await from.ReceiveAsync(piece, end)) > 0;)
        {
            if (link.Delay > TimeSpan.Zero)
                await Task.Delay(link.Delay, end);
            await link.Open.WaitAsync(end);
            await to.SendAsync(piece.AsMemory(0, read), end);
        }
    }
}
