using System.Net;
using System.Net.Sockets;

namespace OrleansMq.Tests.Chaos.Network;

/// <summary>
/// Stands where a silo says that it listens, and hands connections on to where it does: each by way of the link between the silo it came from
/// and this one. While the silo refuses connections so does the proxy, for to the others that is the proof that it is dead.
/// </summary>
internal sealed class SiloProxy : IAsyncDisposable
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);

    private readonly IPEndPoint _advertised;
    private readonly IPEndPoint _actual;
    private readonly Func<IPEndPoint, IPEndPoint, Link> _linkOf;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _running;

    /// <param name="advertised">Where the others look for the silo.</param>
    /// <param name="actual">Where it listens.</param>
    /// <param name="linkOf">The link of a connection, by its two ends as the one who connected sees them.</param>
    public SiloProxy(IPEndPoint advertised, IPEndPoint actual, Func<IPEndPoint, IPEndPoint, Link> linkOf)
    {
        (_advertised, _actual, _linkOf) = (advertised, actual, linkOf);
        _running = Task.Run(RunAsync);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _running;
        _stop.Dispose();
    }

    private async Task RunAsync()
    {
        try
        {
            while (true)
            {
                if (await IsListeningAsync())
                    await ServeAsync();
                else
                    await Task.Delay(Poll, _stop.Token);
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // That is its end.
        }
    }

    /// <summary>Hands connections on until the silo does not listen any more.</summary>
    private async Task ServeAsync()
    {
        using var listener = new TcpListener(_advertised);
        listener.Start();
        using var over = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        var accepting = AcceptAsync(listener, over.Token);
        while (!_stop.IsCancellationRequested && await IsListeningAsync())
            await Task.WhenAny(Task.Delay(Poll, over.Token));
        await over.CancelAsync();
        await accepting;
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
    private async Task<bool> IsListeningAsync()
    {
        var port = $"{_actual.Port:X4}";
        var address = Convert.ToHexString([.. _actual.Address.GetAddressBytes().Reverse()]);
        var entry = $": {address}:{port} 00000000:0000 0A ";
        return (await File.ReadAllTextAsync("/proc/net/tcp", _stop.Token)).Contains(entry, StringComparison.Ordinal);
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
