using System.Net;
using System.Net.Sockets;

namespace OrleansMq.Tests.Chaos.Network;

/// <summary>Listens at the advertised address of a silo and forwards connections to its actual address, each over the link between the
/// connecting silo and this one. While the silo refuses connections the proxy refuses them, too: for other silos that is the proof that it
/// is dead.</summary>
internal sealed class SiloProxy : IAsyncDisposable
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);
    // The kernel's list is read in pieces while it changes, so that an entry may be missed.
    private const int Misses = 2;

    private readonly IPEndPoint _advertised;
    private readonly IPEndPoint _actual;
    private readonly Func<IPEndPoint, IPEndPoint, Link> _linkOf;
    private readonly CancellationTokenSource _stop = new();
    private readonly Thread _watcher;

    /// <param name="advertised">The address where other silos connect.</param>
    /// <param name="actual">The address where the silo listens.</param>
    /// <param name="linkOf">The link of a connection, by its two ends as the connecting side sees them.</param>
    public SiloProxy(IPEndPoint advertised, IPEndPoint actual, Func<IPEndPoint, IPEndPoint, Link> linkOf)
    {
        (_advertised, _actual, _linkOf) = (advertised, actual, linkOf);
        // A dedicated thread. Starting silos starve the thread pool, and a proxy that listens late would prove a silo dead that has just
        // started.
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

    /// <summary>Forwards connections until the silo stops listening.</summary>
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
            // The silo behind it no longer listens.
        }
    }

    /// <summary>Checks without connecting whether the silo listens. A live process has the port bound, and so has a stopped one.</summary>
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
                // A reset on one side becomes a reset on the other.
                client.LingerState = new LingerOption(true, 0);
                server.LingerState = new LingerOption(true, 0);
            }
        }
    }

    /// <summary>Forwards bytes until the sender ends.</summary>
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
